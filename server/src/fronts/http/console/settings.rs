//! Settings of the broker and of topics: what is in force, where it comes from, what the default is.

use axum::response::{IntoResponse, Redirect, Response};
use maud::{Markup, html};
use serde::Deserialize;
use strandline_protocol::messages::DescribeConfigsResourceResult;

use super::change::Change;
use super::format::{cut, link, of_topic, whole};
use super::frame::Section;
use super::guard::{Ask, Failed};
use super::page::{Part, page, table};
use super::topic::{Tab, tabbed};
use super::viewer::Viewer;
use crate::fronts::http::admin::{DELETE, Resource, SET};
use crate::fronts::http::ask::{InPath, Queried};
use crate::fronts::http::problem::Problem;

/// Settings of a page, and characters that are shown of each value.
const EACH: usize = 60;
const VALUE_CHARS: usize = 120;

/// The number of what is the default.
const DEFAULT: i8 = 5;

#[derive(Deserialize)]
pub(super) struct Asked {
    #[serde(default)]
    q: String,
    /// `own`: only what is not the default.
    #[serde(default)]
    only: String,
    page: Option<usize>,
    #[serde(default)]
    done: String,
}

/// Where a setting comes from, in words.
fn origin(source: i8) -> &'static str {
    match source {
        1 => "set for the topic",
        2 => "set for this broker while it runs",
        3 => "set for all brokers while they run",
        4 => "the file, or the command line",
        5 => "the default",
        _ => "not known",
    }
}

/// The settings, with the way to change one.
async fn body(viewer: &Viewer, of: Resource<'_>, path: &str, asked: &Asked) -> Result<Markup, Problem> {
    let query = cut(&asked.q, VALUE_CHARS).0;
    let mut found = of.settings(&viewer.asker, None).await?;
    found.sort_unstable_by(|one, other| one.name.cmp(&other.name));
    let named = query.to_lowercase();
    let is_own = asked.only == "own";
    found.retain(|it| it.name.contains(&named) && (!is_own || it.config_source != DEFAULT));
    let part = Part::of(found.len(), EACH, asked.page);
    Ok(html! {
        @if !asked.done.is_empty() { p.note role="status" { "The setting is changed." } }
        form.search method="get" action=(path) role="search" {
            label for="q" { "Part of the name" }
            input #q name="q" type="search" value=(query) maxlength="100";
            label { input type="checkbox" name="only" value="own" checked[is_own]; " only what is not the default" }
            button { "Find" }
        }
        @if found.is_empty() { p { "There is none." } }
        @else { (list(&found[part.begin..part.end])) }
        (part.links(path, &[("q", query), ("only", if is_own { "own" } else { "" })]))
        (form(viewer, path))
    })
}

fn list(settings: &[DescribeConfigsResourceResult]) -> Markup {
    let value = |value: Option<&str>, is_sensitive: bool| -> Markup {
        html! {
            @match value {
                _ if is_sensitive => span.tag { "not shown" },
                Some("") => span.tag { "empty" },
                Some(value) => code { (cut(value, VALUE_CHARS).0) },
                None => span.tag { "none" },
            }
        }
    };
    let head = html! {
        th scope="col" { "Setting" } th scope="col" { "Value" } th scope="col" { "From" } th scope="col" { "Default" }
    };
    let rows = html! {
        @for setting in settings {
            @let default = setting.synonyms.iter().find(|it| it.source == DEFAULT);
            tr {
                th scope="row" { (setting.name) @if setting.read_only { " " span.tag { "at the start" } } }
                td.data { (value(setting.value.as_deref(), setting.is_sensitive)) }
                td { (origin(setting.config_source)) }
                td.data {
                    @if setting.config_source == DEFAULT { "the same" }
                    @else if let Some(default) = default { (value(default.value.as_deref(), setting.is_sensitive)) }
                }
            }
        }
    };
    html! {
        (table("Settings", &head, &rows))
        p.quiet { (whole(settings.len() as i64)) " on this page. What says \"at the start\" is changed in the file, and by a restart." }
    }
}

fn form(viewer: &Viewer, path: &str) -> Markup {
    html! {
        @if viewer.may_change() {
            fieldset {
                legend { "Change a setting" }
                form.fields method="post" action=(path) {
                    (viewer.token())
                    div { label for="name" { "Setting" } input #name name="name" size="32" required; }
                    div { label for="new-value" { "Value" } input #new-value name="value" size="24"; }
                    div { button name="do" value="set" { "Set it" } }
                    div { button name="do" value="default" { "Have the default again" } }
                }
            }
        }
    }
}

async fn changed(change: &Change, of: Resource<'_>, words: &str) -> Result<(), Problem> {
    let (name, value) = (change.field("name").trim().to_owned(), change.field("value").to_owned());
    let (what, step) = match change.field("do") {
        "set" => (format!("set {name}={value} {words}"), (name, SET, Some(value))),
        "default" => (format!("have the default of {name} {words}"), (name, DELETE, None)),
        _ => return Err(Problem::invalid(1, "a setting is set, or has its default again")),
    };
    change.noted(what, of.change(&change.viewer.asker, vec![step], false).await)
}

fn node(viewer: &Viewer) -> Result<String, Problem> {
    Ok(viewer.asker.engine()?.meta().node_id.to_string())
}

pub(super) async fn of_broker(
    viewer: Viewer,
    Ask(Queried(asked)): Ask<Queried<Asked>>,
) -> Result<Response, Failed> {
    let node = node(&viewer)?;
    let body = body(&viewer, Resource::Broker(&node), "/console/settings", &asked).await?;
    Ok(page(&viewer, Section::Settings, "Settings", &body))
}

pub(super) async fn change_broker(change: Change) -> Result<Response, Failed> {
    let node = node(&change.viewer)?;
    changed(&change, Resource::Broker(&node), "for the broker").await?;
    Ok(Redirect::to(&link("/console/settings", &[("only", "own"), ("done", "1")])).into_response())
}

pub(super) async fn of_a_topic(
    viewer: Viewer,
    Ask(InPath(name)): Ask<InPath<String>>,
    Ask(Queried(asked)): Ask<Queried<Asked>>,
) -> Result<Response, Failed> {
    let body = body(&viewer, Resource::Topic(&name), &of_topic(&name, "/settings"), &asked).await?;
    Ok(tabbed(&viewer, &name, Tab::Settings, &body))
}

pub(super) async fn change_topic(
    Ask(InPath(name)): Ask<InPath<String>>,
    change: Change,
) -> Result<Response, Failed> {
    changed(&change, Resource::Topic(&name), &format!("for topic {name}")).await?;
    Ok(Redirect::to(&link(&of_topic(&name, "/settings"), &[("done", "1")])).into_response())
}
