//! The groups of every kind: state, and how far behind.

use std::collections::BTreeMap;

use axum::response::Response;
use maud::{Markup, html};
use serde::Deserialize;
use strandline_protocol::messages::ListedGroup;

use super::chart::spark;
use super::format::{cut, link, whole};
use super::frame::Section;
use super::guard::{Ask, Failed};
use super::page::{Part, page, table};
use super::viewer::Viewer;
use crate::fronts::http::ask::Queried;
use crate::fronts::http::groups::listed;

/// Groups of a page.
const EACH: usize = 30;

/// Characters that are shown of an id.
const ID_CHARS: usize = 80;

/// A longer id has no link: it would fill the page.
const LINKED_BYTES_MAX: usize = 255;

#[derive(Deserialize)]
pub(super) struct Asked {
    #[serde(default)]
    q: String,
    #[serde(default)]
    kind: String,
    #[serde(default)]
    sort: String,
    page: Option<usize>,
}

/// The page of a group.
pub(super) fn of_group(id: &str) -> String {
    link("/console/group", &[("id", id)])
}

/// An id with the way to its page, as far as it is shown.
pub(super) fn linked(id: &str) -> Markup {
    let (shown, is_cut) = cut(id, ID_CHARS);
    let shown = html! { (shown) @if is_cut { span.quiet { " ..." } } };
    html! {
        @if id.len() <= LINKED_BYTES_MAX { a href=(of_group(id)) { (shown) } } @else { (shown) }
    }
}

pub(super) async fn show(
    viewer: Viewer,
    Ask(Queried(asked)): Ask<Queried<Asked>>,
) -> Result<Response, Failed> {
    let asked = Asked {
        q: cut(&asked.q, ID_CHARS).0.to_owned(),
        kind: cut(&asked.kind, ID_CHARS).0.to_owned(),
        sort: cut(&asked.sort, ID_CHARS).0.to_owned(),
        ..asked
    };
    let mut found = listed(&viewer.asker).await?;
    let (named, kind) = (asked.q.to_lowercase(), asked.kind.to_lowercase());
    found.retain(|group| {
        group.group_id.to_lowercase().contains(&named)
            && (kind.is_empty() || group.group_type.eq_ignore_ascii_case(&kind))
    });
    let sample = viewer.console.history().now();
    let groups = sample.iter().flat_map(|sample| &sample.groups);
    let lags: BTreeMap<&str, i64> = groups.map(|group| (group.group.as_str(), group.lag())).collect();
    let is_by_lag = asked.sort == "lag";
    if is_by_lag {
        found.sort_by_key(|group| std::cmp::Reverse(lags.get(group.group_id.as_str()).copied()));
    }
    let part = Part::of(found.len(), EACH, asked.page);
    let body = html! {
        (search(&asked))
        @if found.is_empty() { p { "There is no such group that you may see." } }
        @else {
            (list(&viewer, &found[part.begin..part.end], &lags, &asked))
            (part.links("/console/groups", &[("q", &asked.q), ("kind", &asked.kind), ("sort", &asked.sort)]))
            p.quiet { "Lags are of partitions that were used since the start; the page of a group has all." }
        }
    };
    Ok(page(&viewer, Section::Groups, "Groups", &body))
}

fn search(asked: &Asked) -> Markup {
    let kinds = [
        ("", "all kinds"),
        ("consumer", "consumer"),
        ("classic", "classic"),
        ("share", "share"),
        ("streams", "streams"),
    ];
    html! {
        form.search method="get" action="/console/groups" role="search" {
            label for="q" { "Part of the id" }
            input #q name="q" type="search" value=(asked.q) maxlength="249";
            label for="kind" { "Kind" }
            select #kind name="kind" {
                @for (word, name) in kinds {
                    option value=(word) selected[word.eq_ignore_ascii_case(&asked.kind)] { (name) }
                }
            }
            input name="sort" type="hidden" value=(asked.sort);
            button { "Find" }
        }
    }
}

fn list(viewer: &Viewer, groups: &[ListedGroup], lags: &BTreeMap<&str, i64>, asked: &Asked) -> Markup {
    let to = |sort: &str| link("/console/groups", &[("q", &asked.q), ("kind", &asked.kind), ("sort", sort)]);
    let is_by_lag = asked.sort == "lag";
    let head = html! {
        th scope="col" aria-sort=[(!is_by_lag).then_some("ascending")] { a href=(to("")) { "Group" } }
        th scope="col" { "Kind" } th scope="col" { "State" }
        th.number scope="col" aria-sort=[is_by_lag.then_some("descending")] { a href=(to("lag")) { "Lag" } }
        th scope="col" { "Last 24 hours" }
    };
    let rows = html! {
        @for group in groups {
            @let points = viewer.console.history().group(&group.group_id);
            tr {
                th scope="row" { (linked(&group.group_id)) }
                td { (group.group_type.to_lowercase()) }
                td { (group.group_state) }
                td.number { @match lags.get(group.group_id.as_str()) { Some(lag) => (whole(*lag)), None => "-" } }
                td { @if let Some(points) = points { (spark(&points, "lag over the last 24 hours")) } }
            }
        }
    };
    table("Groups", &head, &rows)
}
