//! One version of a subject: its text, what is said about it, and how it differs from another version.

use std::sync::Arc;

use axum::Extension;
use axum::http::StatusCode;
use axum::response::Response;
use maud::{Markup, html};
use serde::Deserialize;
use strandline_schemas::State;
use strandline_schemas::definition::{Definition, Reference, SchemaType};
use strandline_schemas::limits::TEXT_BYTES_MAX;
use strandline_schemas::state::Entry;
use strandline_schemas::subject::{DEFAULT_CONTEXT, Subject};

use super::diff::{Lines, lines};
use super::format::{cut, fit, moment, pretty, things, whole};
use super::frame::Section;
use super::guard::{Ask, Failed};
use super::page::page;
use super::schemas::{level, linked};
use super::shown::named;
use super::viewer::Viewer;
use crate::fronts::http::ask::Queried;
use crate::fronts::http::problem::Problem;
use crate::fronts::http::schemas::{Registry, Seen};

/// Versions that can be chosen from.
const VERSIONS_MAX: usize = 100;

/// References that are shown, and characters of the name of each.
const REFERENCES_MAX: usize = 20;
const NAME_CHARS: usize = 100;

/// Bytes of a page that the text has.
const TEXT_BYTES: usize = 30_000;

/// Memory for the texts of two versions, in lines, and what is made of them.
const ROOM_BYTES: usize = 16 << 20;

#[derive(Deserialize)]
pub(super) struct Asked {
    /// A qualified name; or by id.
    #[serde(default)]
    subject: String,
    id: Option<i32>,
    /// A number; without one, the latest.
    #[serde(default)]
    version: String,
    /// The version that it is held against; without one, its text is shown.
    #[serde(default)]
    against: String,
}

/// What is asked for.
struct Chosen<'a> {
    subject: Subject,
    version: i32,
    entry: &'a Entry,
    /// What it is held against.
    against: Option<(i32, &'a Entry)>,
}

fn missing(words: &str) -> Failed {
    Failed(Problem::new(StatusCode::NOT_FOUND, None, words))
}

fn choose<'a>(seen: &'a Seen, asked: &Asked) -> Result<Chosen<'a>, Failed> {
    let state = seen.state();
    if let Some(id) = asked.id {
        let mut places = state.places_of_id(DEFAULT_CONTEXT, id).filter(|(place, _)| seen.has(&place.0));
        let ((name, version), entry) =
            places.next().ok_or_else(|| missing("there is no schema with this id that you may see"))?;
        return Ok(Chosen { subject: Subject::parse(name), version: *version, entry, against: None });
    }
    let subject = Subject::parse(&asked.subject);
    if !seen.has(&asked.subject) || state.versions(&subject).next().is_none() {
        return Err(missing("there is no such subject that you may see"));
    }
    let of = |version: &str| {
        let version = version.parse::<i32>().ok()?;
        Some((version, state.entry(&subject, version)?))
    };
    let found = match asked.version.as_str() {
        "" => state.latest(&subject).or_else(|| state.versions(&subject).next_back()),
        version => of(version),
    };
    let no_version = || missing("the subject has no such version");
    let (version, entry) = found.ok_or_else(no_version)?;
    let against = match asked.against.as_str() {
        "" => None,
        against => Some(of(against).ok_or_else(no_version)?),
    };
    Ok(Chosen { version, entry, against, subject })
}

pub(super) async fn show(
    viewer: Viewer,
    Extension(registry): Extension<Arc<Registry>>,
    Ask(Queried(asked)): Ask<Queried<Asked>>,
) -> Result<Response, Failed> {
    let seen = registry.seen(&viewer.asker).await?;
    let chosen = choose(&seen, &asked)?;
    let room = viewer.asker.shared.room(ROOM_BYTES).await?;
    let (new, old) = (
        chosen.entry.definition.clone(),
        chosen.against.map(|(version, entry)| (version, entry.definition.clone())),
    );
    let text = registry
        .encode(move || match old {
            None => text(&in_lines(&new)),
            Some((version, old)) => changes(version, &lines(&in_lines(&old), &in_lines(&new))),
        })
        .await?;
    drop(room);
    let body = html! {
        (form(seen.state(), &chosen))
        (facts(&seen, &chosen))
        (text)
    };
    let name = chosen.subject.to_string();
    Ok(page(&viewer, Section::Schemas, cut(&name, NAME_CHARS).0, &body))
}

/// The text as people read it.
fn in_lines(definition: &Definition) -> String {
    match definition.schema_type {
        SchemaType::Avro | SchemaType::Json => pretty(&definition.text, 2 * TEXT_BYTES_MAX),
        SchemaType::Protobuf => definition.text.clone(),
    }
}

/// The choice of a version, and of one that it is held against.
fn form(state: &State, chosen: &Chosen<'_>) -> Markup {
    let versions: Vec<_> = state.versions(&chosen.subject).rev().take(VERSIONS_MAX).collect();
    let against = chosen.against.map(|(version, _)| version);
    let option = |version: i32, entry: &Entry, is_chosen: bool| {
        html! {
            option value=(version) selected[is_chosen] { (version) @if entry.is_deleted { " (deleted)" } }
        }
    };
    html! {
        form.fields method="get" action="/console/schema" {
            input type="hidden" name="subject" value=(chosen.subject);
            div {
                label for="version" { "Version" }
                select #version name="version" {
                    @for (version, entry) in &versions { (option(*version, entry, *version == chosen.version)) }
                }
            }
            div {
                label for="against" { "Changes since" }
                select #against name="against" {
                    option value="" { "none: the text" }
                    @for (version, entry) in &versions { (option(*version, entry, Some(*version) == against)) }
                }
            }
            div { button { "Show" } }
        }
    }
}

fn facts(seen: &Seen, chosen: &Chosen<'_>) -> Markup {
    let (state, entry) = (seen.state(), chosen.entry);
    let (level, from) = level(state, &chosen.subject);
    let count = state.versions(&chosen.subject).count();
    html! {
        dl {
            dt { "Type" } dd { (named(entry.definition.schema_type)) }
            dt { "Version" }
            dd {
                (chosen.version) ", of " (things(count as u64, "version", "versions"))
                @if entry.is_deleted { " " span.tag { "deleted" } }
            }
            dt { "Id" } dd { (whole(entry.id)) }
            dt { "GUID" } dd { code { (entry.guid) } }
            dt { "Registered" } dd { (moment(entry.timestamp)) }
            dt { "Compatibility" } dd { (level.name()) span.quiet { ", " (from) } }
            dt { "Mode" } dd { (state.mode_in_scope(Some(&chosen.subject)).name()) }
            @if !entry.definition.references.is_empty() {
                dt { "Refers to" } dd { (references(seen, &chosen.subject, &entry.definition.references)) }
            }
        }
    }
}

fn references(seen: &Seen, of: &Subject, references: &[Reference]) -> Markup {
    html! {
        @for reference in references.iter().take(REFERENCES_MAX) {
            @let subject = of.sibling(&reference.subject).to_string();
            div {
                code { (cut(&reference.name, NAME_CHARS).0) } ": "
                @if seen.has(&subject) {
                    (linked(&subject, (reference.version > 0).then_some(reference.version)))
                } @else { (cut(&subject, NAME_CHARS).0) }
                @if reference.version > 0 { ", version " (reference.version) } @else { ", the latest" }
            }
        }
        @if references.len() > REFERENCES_MAX { div { "and " (whole((references.len() - REFERENCES_MAX) as i64)) " more" } }
    }
}

fn text(text: &str) -> Markup {
    let (shown, is_cut) = fit(text, TEXT_BYTES);
    html! {
        h2 #text { "Text" }
        pre.value data-copy="text" tabindex="0" role="region" aria-labelledby="text" { code { (shown) } }
        @if is_cut { p.quiet { "This is its beginning." } }
    }
}

fn changes(since: i32, lines: &Lines) -> Markup {
    html! {
        h2 #text { "Changes since version " (since) }
        @if lines.is_empty() { p { "The texts are the same." } }
        @else {
            p { (things(lines.added, "line", "lines")) " added, " (things(lines.removed, "line", "lines")) " removed." }
            pre.value tabindex="0" role="region" aria-labelledby="text" { (lines.markup(TEXT_BYTES)) }
        }
    }
}
