//! What was changed by the console, and what was refused.

use axum::response::Response;
use maud::html;
use serde::Deserialize;

use super::format::moment;
use super::frame::Section;
use super::guard::{Ask, Failed};
use super::noted::CHANGES_MAX;
use super::page::{Part, page, table};
use super::viewer::Viewer;
use crate::fronts::http::ask::Queried;
use crate::fronts::http::problem::Problem;
use strandline_protocol::wire::ErrorCode;

/// Changes of a page.
const EACH: usize = 30;

#[derive(Deserialize)]
pub(super) struct Asked {
    page: Option<usize>,
}

pub(super) async fn show(
    viewer: Viewer,
    Ask(Queried(asked)): Ask<Queried<Asked>>,
) -> Result<Response, Failed> {
    if !viewer.may_describe {
        return Err(Failed(Problem::of_kafka(ErrorCode::ClusterAuthorizationFailed, "changes")));
    }
    let changes = viewer.console.changes.newest();
    let part = Part::of(changes.len(), EACH, asked.page);
    let head = html! {
        th scope="col" { "Time" } th scope="col" { "User" } th scope="col" { "From" } th scope="col" { "What" } th scope="col" { "Done" }
    };
    let rows = html! {
        @for change in &changes[part.begin..part.end] {
            tr {
                td.time { (moment(change.at)) }
                td { (change.user) }
                td { (change.peer) }
                td.data { (change.what) }
                td.data { @match &change.refused { None => "yes", Some(why) => { span.warn { "no: " } (super::format::cut(why, 300).0) } } }
            }
        }
    };
    let body = html! {
        p {
            "Changes that were asked for by this console since the broker was started: the newest " (CHANGES_MAX)
            " are kept in memory, and each is a line of the log. Changes by other clients are not among them."
        }
        @if changes.is_empty() { p { "There was none." } } @else { (table("Changes", &head, &rows)) }
        (part.links("/console/audit", &[]))
    };
    Ok(page(&viewer, Section::Audit, "Audit", &body))
}
