//! Changes of topics and records: a topic is created or deleted, a message appended once more.

use std::borrow::Cow;

use axum::response::{IntoResponse, Redirect, Response};
use maud::{Markup, html};
use strandline_protocol::messages::CreatableTopicConfig;

use super::change::Change;
use super::format::{link, of_topic};
use super::frame::Section;
use super::guard::{Ask, Failed};
use super::page::page;
use super::record;
use super::viewer::Viewer;
use crate::fronts::http::admin::{create_topic, delete_topic};
use crate::fronts::http::ask::InPath;
use crate::fronts::http::problem::Problem;
use crate::fronts::http::produce::{New, append};

/// Settings of a new topic.
const SETTINGS_MAX: usize = 100;

fn wrong(words: &str) -> Problem {
    Problem::invalid(1, words)
}

/// The form of a new topic.
pub(super) async fn new_topic(viewer: Viewer) -> Result<Response, Failed> {
    let body = html! {
        @if viewer.may_change() { (new_form(&viewer)) }
        @else { p { "To create a topic, log in." } }
    };
    Ok(page(&viewer, Section::Topics, "New topic", &body))
}

fn new_form(viewer: &Viewer) -> Markup {
    html! {
        form method="post" action="/console/new-topic" {
            (viewer.token())
            p { label for="name" { "Name" } br; input #name name="name" size="40" maxlength="249" required pattern="[a-zA-Z0-9._\\-]+"; }
            p {
                label for="partitions" { "Partitions" } br;
                input #partitions name="partitions" size="8" inputmode="numeric" aria-describedby="partitions-note";
                " " small #partitions-note { "without a number: " code { "num.partitions" } }
            }
            p {
                label for="settings" { "Settings, one a line" } br;
                textarea #settings name="settings" rows="4" cols="50" placeholder="retention.ms=86400000" {}
            }
            p { button name="do" value="create" { "Create" } " " button name="do" value="look" { "Only look whether it can be" } }
        }
    }
}

pub(super) async fn create(change: Change) -> Result<Response, Failed> {
    let name = change.field("name").trim().to_owned();
    let partitions = match change.field("partitions").trim() {
        "" => None,
        count => Some(count.parse::<i32>().map_err(|_| wrong("partitions are a number"))?),
    };
    let lines = change.field("settings").lines().map(str::trim).filter(|line| !line.is_empty());
    let setting = |line: &str| -> Result<CreatableTopicConfig, Problem> {
        let (name, value) =
            line.split_once('=').ok_or_else(|| wrong("a setting is written as name=value"))?;
        Ok(CreatableTopicConfig { name: name.trim().to_owned(), value: Some(value.trim().to_owned()) })
    };
    let configs = lines.take(SETTINGS_MAX).map(setting).collect::<Result<Vec<_>, Problem>>()?;
    let is_look = change.field("do") == "look";
    let done = create_topic(&change.viewer.asker, &name, partitions, None, configs, is_look).await;
    if is_look {
        done?;
        let body = html! {
            p.note role="status" { "It can be created: topic " code { (name) } "." }
            (new_form(&change.viewer))
        };
        return Ok(page(&change.viewer, Section::Topics, "New topic", &body));
    }
    change.noted(format!("create topic {name}"), done)?;
    Ok(Redirect::to(&of_topic(&name, "")).into_response())
}

/// The form that deletes a topic.
pub(super) fn delete_form(viewer: &Viewer, name: &str) -> Markup {
    html! {
        @if viewer.may_change() {
            fieldset {
                legend { "Delete the topic" }
                form.fields method="post" action=(of_topic(name, "/delete")) {
                    (viewer.token())
                    div {
                        label for="typed" { "Its records go with it. Type its name to delete it" }
                        input #typed name="name" size="40" autocomplete="off" required;
                    }
                    div { button.danger { "Delete" } }
                }
            }
        }
    }
}

pub(super) async fn delete(
    Ask(InPath(name)): Ask<InPath<String>>,
    change: Change,
) -> Result<Response, Failed> {
    if change.field("name").trim() != name {
        return Err(Failed(wrong("the name that was typed is not that of the topic: it is not deleted")));
    }
    change.noted(format!("delete topic {name}"), delete_topic(&change.viewer.asker, &name).await)?;
    Ok(Redirect::to("/console/topics").into_response())
}

/// The form that appends a message once more.
pub(super) fn replay_form(viewer: &Viewer, name: &str, partition: i32, offset: i64) -> Markup {
    html! {
        @if viewer.may_change() {
            fieldset {
                legend { "Replay the message" }
                form.fields method="post" action=(of_topic(name, "/replay")) {
                    (viewer.token())
                    input type="hidden" name="partition" value=(partition);
                    input type="hidden" name="offset" value=(offset);
                    div {
                        label for="target" { "To the topic" }
                        input #target name="target" size="32" value=(name) required;
                    }
                    div { label { input type="checkbox" name="sure" value="yes" required; " append it once more, as a new message" } }
                    div { button { "Replay" } }
                }
            }
            p.quiet { "Key, value and headers are the same; the time is new, and the partition is that of the key." }
        }
    }
}

pub(super) async fn replay(
    Ask(InPath(name)): Ask<InPath<String>>,
    change: Change,
) -> Result<Response, Failed> {
    let number =
        |field: &str| change.field(field).parse::<i64>().map_err(|_| wrong("a place is two numbers"));
    let (partition, offset) = (number("partition")?, number("offset")?);
    let partition = i32::try_from(partition).map_err(|_| wrong("a partition is a small number"))?;
    if change.field("sure") != "yes" {
        return Err(Failed(wrong("a replay has to be confirmed")));
    }
    let target = change.field("target").trim().to_owned();
    let what = format!("replay {name}-{partition} offset {offset} to topic {target}");
    let (partition, offset) =
        change.noted(what, again(&change.viewer, (&name, partition, offset), &target).await)?;
    let (partition, offset) = (partition.to_string(), offset.to_string());
    let to = link(&of_topic(&target, "/message"), &[("partition", &partition), ("offset", &offset)]);
    Ok(Redirect::to(&to).into_response())
}

/// Appends a message to a topic; gives where it is.
async fn again(
    viewer: &Viewer,
    (name, partition, offset): (&str, i32, i64),
    target: &str,
) -> Result<(i32, i64), Problem> {
    let message = record::at(viewer, name, partition, offset).await?;
    let topic = viewer.asker.topic(target, false).await?;
    let new = New {
        partition: None,
        timestamp: None,
        key: message.key.map(Cow::Owned),
        value: message.value.map(Cow::Owned),
        headers: message.headers.into_iter().map(|(name, value)| (Cow::Owned(name), value)).collect(),
    };
    let became = append(&viewer.asker, &topic, None, &[new]).await?.pop();
    let became = became.ok_or_else(|| Problem::away("the broker has said nothing of the message"))?;
    match became.offset {
        Ok(offset) => Ok((became.partition, offset)),
        Err((code, words)) => {
            let problem = Problem::of_kafka(code, &format!("topic {target}"));
            Err(Problem { message: format!("topic {target}: {words}"), ..problem })
        }
    }
}
