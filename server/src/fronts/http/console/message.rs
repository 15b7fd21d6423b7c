//! One message: all of its key, value and headers that a page can have, and the bytes as they are.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};
use serde::Deserialize;

use super::edit;
use super::format::{bytes, link, moment, of_topic, whole};
use super::guard::{Ask, Failed};
use super::messages::Shown;
use super::record::{Message, at};
use super::topic::{Tab, tabbed};
use super::viewer::Viewer;
use crate::fronts::http::ask::{InPath, Queried, held};

/// Characters that are shown of a key, a value, and a header: escaped they may be six times as many bytes.
const KEY_CHARS: usize = 500;
const VALUE_CHARS: usize = 6_000;
const HEADER_CHARS: usize = 100;

/// Headers that are shown.
const HEADERS_MAX: usize = 20;

#[derive(Deserialize)]
pub(super) struct Asked {
    partition: i32,
    offset: i64,
    #[serde(default)]
    part: String,
}

pub(super) async fn show(
    viewer: Viewer,
    Ask(InPath(name)): Ask<InPath<String>>,
    Ask(Queried(asked)): Ask<Queried<Asked>>,
) -> Result<Response, Failed> {
    let message = at(&viewer, &name, asked.partition, asked.offset).await?;
    let to = |offset: i64| {
        let (partition, offset) = (asked.partition.to_string(), offset.to_string());
        link(&of_topic(&name, "/message"), &[("partition", &partition), ("offset", &offset)])
    };
    let body = html! {
        h2 { "Partition " (asked.partition) ", offset " (whole(asked.offset)) }
        dl {
            dt { "Time" } dd { (moment(message.timestamp)) }
            dt { "Key" } dd { (Shown::of(message.key.as_deref(), KEY_CHARS).markup()) }
            @for (header, value) in message.headers.iter().take(HEADERS_MAX) {
                dt { "Header " code { (Shown::of(Some(header.as_bytes()), HEADER_CHARS).text) } }
                dd { (Shown::of(value.as_deref(), HEADER_CHARS).markup()) }
            }
        }
        @if message.headers.len() > HEADERS_MAX {
            p { "And " (whole((message.headers.len() - HEADERS_MAX) as i64)) " more headers." }
        }
        (value(&name, &asked, &message))
        (edit::replay_form(&viewer, &name, asked.partition, asked.offset))
        nav.pages aria-label="Messages" {
            @if asked.offset > 0 { a href=(to(asked.offset - 1)) rel="prev" { "Offset before" } }
            a href=(to(asked.offset.saturating_add(1))) rel="next" { "Offset behind" }
        }
    };
    Ok(tabbed(&viewer, &name, Tab::Messages, &body))
}

fn value(name: &str, asked: &Asked, message: &Message) -> Markup {
    let shown = Shown::of(message.value.as_deref(), VALUE_CHARS);
    let (partition, offset) = (asked.partition.to_string(), asked.offset.to_string());
    let file = |part: &str| {
        let place = [("partition", partition.as_str()), ("offset", offset.as_str()), ("part", part)];
        link(&of_topic(name, "/bytes"), &place)
    };
    let size = |part: &Option<Vec<u8>>| bytes(part.as_ref().map_or(0, Vec::len) as u64);
    html! {
        h3 #value { "Value" }
        @if let Some(word) = shown.word { p { span.tag { (word) } } }
        @if !shown.text.is_empty() {
            pre.value data-copy="value" tabindex="0" role="region" aria-labelledby="value" { code { (shown.text) } }
        }
        @if shown.is_cut { p.quiet { "This is its beginning." } }
        p {
            a href=(file("value")) download { "Download the value" } " (" (size(&message.value)) ") "
            a href=(file("key")) download { "Download the key" } " (" (size(&message.key)) ")"
        }
    }
}

/// A key or a value, as it is.
pub(super) async fn part(
    viewer: Viewer,
    Ask(InPath(name)): Ask<InPath<String>>,
    Ask(Queried(asked)): Ask<Queried<Asked>>,
) -> Result<Response, Failed> {
    let message = at(&viewer, &name, asked.partition, asked.offset).await?;
    let (part, file) = match asked.part.as_str() {
        "key" => (message.key, "attachment; filename=\"key.bin\""),
        _ => (message.value, "attachment; filename=\"value.bin\""),
    };
    let part = part.unwrap_or_default();
    let room = viewer.asker.shared.room(part.len()).await?;
    let headers = [(header::CONTENT_TYPE, "application/octet-stream"), (header::CONTENT_DISPOSITION, file)];
    Ok((StatusCode::OK, headers, held(part, room)).into_response())
}
