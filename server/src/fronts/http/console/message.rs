//! One message: all of its key, value and headers that a page can have, and the bytes as they are.

use std::sync::Arc;

use axum::Extension;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};
use serde::Deserialize;

use super::edit;
use super::format::{bytes, cut, link, moment, of_topic, whole};
use super::guard::{Ask, Failed};
use super::record::{Message, at};
use super::shown::{Shown, alone};
use super::topic::{Tab, tabbed};
use super::viewer::Viewer;
use crate::fronts::http::ask::{InPath, Queried, held};
use crate::fronts::http::schemas::Registry;

/// Characters that are shown of a key, a value, and a header: escaped they may be six times as many bytes.
const KEY_CHARS: usize = 500;
const VALUE_CHARS: usize = 6_000;
const HEADER_CHARS: usize = 100;

/// Characters of why a key or a value is not read.
const WHY_CHARS: usize = 300;

/// Memory for a key and a value in another form.
const ROOM_BYTES: usize = 16 << 20;

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
    Extension(registry): Extension<Arc<Registry>>,
    Ask(InPath(name)): Ask<InPath<String>>,
    Ask(Queried(asked)): Ask<Queried<Asked>>,
) -> Result<Response, Failed> {
    let message = at(&viewer, &name, asked.partition, asked.offset).await?;
    let _room = viewer.asker.shared.room(ROOM_BYTES).await?;
    let key = alone(&viewer.asker, &registry, message.key.as_deref(), KEY_CHARS).await;
    let shown = alone(&viewer.asker, &registry, message.value.as_deref(), VALUE_CHARS).await;
    let to = |offset: i64| {
        let (partition, offset) = (asked.partition.to_string(), offset.to_string());
        link(&of_topic(&name, "/message"), &[("partition", &partition), ("offset", &offset)])
    };
    let body = html! {
        h2 { "Partition " (asked.partition) ", offset " (whole(asked.offset)) }
        dl {
            dt { "Time" } dd { (moment(message.timestamp)) }
            dt { "Key" } dd { (key.0.markup()) (not_read(key.1.as_deref())) }
            @for (header, value) in message.headers.iter().take(HEADERS_MAX) {
                dt { "Header " code { (Shown::of(Some(header.as_bytes()), HEADER_CHARS).text) } }
                dd { (Shown::of(value.as_deref(), HEADER_CHARS).markup()) }
            }
        }
        @if message.headers.len() > HEADERS_MAX {
            p { "And " (whole((message.headers.len() - HEADERS_MAX) as i64)) " more headers." }
        }
        (value(&name, &asked, &message, &shown))
        (edit::replay_form(&viewer, &name, asked.partition, asked.offset))
        nav.pages aria-label="Messages" {
            @if asked.offset > 0 { a href=(to(asked.offset - 1)) rel="prev" { "Offset before" } }
            a href=(to(asked.offset.saturating_add(1))) rel="next" { "Offset behind" }
        }
    };
    Ok(tabbed(&viewer, &name, Tab::Messages, &body))
}

/// Why a key or a value is not read by the schema that it seems to name.
fn not_read(why: Option<&str>) -> Markup {
    html! {
        @if let Some(why) = why {
            p.quiet { "It begins as what goes by a schema does, and is not shown by it: " (cut(why, WHY_CHARS).0) "." }
        }
    }
}

fn value(name: &str, asked: &Asked, message: &Message, (shown, why): &(Shown, Option<String>)) -> Markup {
    let (partition, offset) = (asked.partition.to_string(), asked.offset.to_string());
    let file = |part: &str| {
        let place = [("partition", partition.as_str()), ("offset", offset.as_str()), ("part", part)];
        link(&of_topic(name, "/bytes"), &place)
    };
    let size = |part: &Option<Vec<u8>>| bytes(part.as_ref().map_or(0, Vec::len) as u64);
    html! {
        h3 #value { "Value" }
        @if let Some(word) = shown.word() { p { (word) } }
        (not_read(why.as_deref()))
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
