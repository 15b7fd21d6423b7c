//! The subjects of the schema registry: their latest versions, and what a new one has to get along with.

use std::sync::Arc;

use axum::Extension;
use axum::response::Response;
use maud::{Markup, html};
use serde::Deserialize;
use strandline_schemas::State;
use strandline_schemas::settings::Level;
use strandline_schemas::state::Entry;
use strandline_schemas::subject::Subject;

use super::format::{cut, link, moment, things, whole};
use super::frame::Section;
use super::guard::{Ask, Failed};
use super::page::{Part, page, table};
use super::shown::named;
use super::viewer::Viewer;
use crate::fronts::http::ask::Queried;
use crate::fronts::http::schemas::Registry;

/// Subjects of a page.
const EACH: usize = 30;

/// Characters that are shown of a name.
const NAME_CHARS: usize = 80;

/// A longer name has no link: it would fill the page.
const LINKED_BYTES_MAX: usize = 255;

#[derive(Deserialize)]
pub(super) struct Asked {
    #[serde(default)]
    q: String,
    /// `yes`: also subjects whose versions are all deleted.
    #[serde(default)]
    deleted: String,
    page: Option<usize>,
}

/// A line of the list.
struct Row<'a> {
    name: &'a str,
    /// The latest version, of those that are not deleted where there are such.
    version: i32,
    latest: &'a Entry,
    versions: usize,
}

/// A subject with the way to its page, as far as it is shown.
pub(super) fn linked(name: &str, version: Option<i32>) -> Markup {
    let (shown, is_cut) = cut(name, NAME_CHARS);
    let shown = html! { (shown) @if is_cut { span.quiet { " ..." } } };
    html! {
        @if name.len() <= LINKED_BYTES_MAX { a href=(of_subject(name, version)) { (shown) } } @else { (shown) }
    }
}

/// The page of a version of a subject, or of its latest.
pub(super) fn of_subject(name: &str, version: Option<i32>) -> String {
    let version = version.map(|version| version.to_string()).unwrap_or_default();
    link("/console/schema", &[("subject", name), ("version", &version)])
}

/// What a new version has to get along with, and where that is set.
pub(super) fn level(state: &State, subject: &Subject) -> (Level, &'static str) {
    let level = state.config_in_scope(Some(subject)).level.unwrap_or(Level::DEFAULT);
    let has_own = state.config(Some(subject)).is_some_and(|config| config.level.is_some());
    (level, if has_own { "set for the subject" } else { "set for all, or the default" })
}

pub(super) async fn show(
    viewer: Viewer,
    Extension(registry): Extension<Arc<Registry>>,
    Ask(Queried(asked)): Ask<Queried<Asked>>,
) -> Result<Response, Failed> {
    let asked = Asked { q: cut(&asked.q, NAME_CHARS).0.to_owned(), ..asked };
    let (query, has_deleted) = (asked.q.to_lowercase(), asked.deleted == "yes");
    let seen = registry.seen(&viewer.asker).await?;
    let state = seen.state();
    let mut found = Vec::new();
    for (name, versions) in state.subjects() {
        if !name.to_lowercase().contains(&query) || !seen.has(name) {
            continue;
        }
        let live = versions.iter().rev().find(|(_, entry)| !entry.is_deleted);
        let latest = live.or_else(|| versions.iter().next_back().filter(|_| has_deleted));
        if let Some((version, latest)) = latest {
            found.push(Row { name, version: *version, latest, versions: versions.len() });
        }
    }
    let part = Part::of(found.len(), EACH, asked.page);
    let deleted = if has_deleted { "yes" } else { "" };
    let body = html! {
        form.search method="get" action="/console/schemas" role="search" {
            label for="q" { "Part of the subject" }
            input #q name="q" type="search" value=(asked.q) maxlength="80";
            label { input type="checkbox" name="deleted" value="yes" checked[has_deleted]; " also deleted ones" }
            button { "Find" }
        }
        @if found.is_empty() { p { "There is no such subject that you may see." } }
        @else {
            (list(state, &found[part.begin..part.end]))
            (part.links("/console/schemas", &[("q", &asked.q), ("deleted", deleted)]))
        }
    };
    Ok(page(&viewer, Section::Schemas, "Schemas", &body))
}

fn list(state: &State, rows: &[Row<'_>]) -> Markup {
    let head = html! {
        th scope="col" { "Subject" } th scope="col" { "Type" } th.number scope="col" { "Latest version" }
        th.number scope="col" { "Id" } th scope="col" { "Compatibility" } th scope="col" { "Registered" }
    };
    let lines = html! {
        @for row in rows {
            tr {
                th scope="row" {
                    (linked(row.name, None))
                    @if row.latest.is_deleted { " " span.tag { "deleted" } }
                }
                td { (named(row.latest.definition.schema_type)) }
                td.number { (row.version) ", of " (things(row.versions as u64, "version", "versions")) }
                td.number { (whole(row.latest.id)) }
                td { (level(state, &Subject::parse(row.name)).0.name()) }
                td.time { (moment(row.latest.timestamp)) }
            }
        }
    };
    table("Schemas", &head, &lines)
}
