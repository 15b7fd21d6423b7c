//! The messages of a topic: looked for, listed, downloaded.

use std::sync::Arc;

use axum::Extension;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};
use strandline_protocol::messages::MetadataResponseTopic;

use super::format::{link, moment, of_topic, things, whole};
use super::guard::{Ask, Failed};
use super::search::{Asked, Found, Look, Looked, PARTITIONS_MAX, written};
use super::shown::{DECODED_BYTES_MAX, Shown};
use super::topic::{Tab, tabbed};
use super::viewer::Viewer;
use crate::fronts::http::ask::{InPath, Queried, held};
use crate::fronts::http::records::{Record, Unwritten};
use crate::fronts::http::schemas::{Readers, Registry};

/// Records of a page, and characters that are shown of each key and value: with them it stays below 60 kB.
const EACH: usize = 25;
const KEY_CHARS: usize = 60;
const VALUE_CHARS: usize = 240;

/// Records of a file, and about how many bytes it has.
const FILE_RECORDS_MAX: usize = 10_000;
const FILE_BYTES_MAX: usize = 8 << 20;

struct Row {
    partition: i32,
    offset: i64,
    timestamp: i64,
    key: Shown,
    value: Shown,
    value_bytes: usize,
}

/// Leaves a page of the newest rows, which stand first then.
fn keep_newest(rows: &mut Vec<Row>) {
    rows.sort_by_key(|row| std::cmp::Reverse(row.moment()));
    rows.truncate(EACH);
}

impl Row {
    /// What rows are sorted by.
    fn moment(&self) -> (i64, i32, i64) {
        (self.timestamp, self.partition, self.offset)
    }

    fn of(record: &Record<'_>) -> Row {
        Row {
            partition: record.partition,
            offset: record.offset,
            timestamp: record.timestamp,
            key: Shown::of(record.key, KEY_CHARS),
            value: Shown::of(record.value, VALUE_CHARS),
            value_bytes: record.value.map_or(0, <[u8]>::len),
        }
    }

    /// Shows what it says by the schemas that it names.
    async fn decode(&mut self, viewer: &Viewer, schemas: &mut Readers<'_>) {
        self.key.decode(&viewer.asker, schemas, KEY_CHARS).await;
        self.value.decode(&viewer.asker, schemas, VALUE_CHARS).await;
    }
}

pub(super) async fn show(
    viewer: Viewer,
    Extension(registry): Extension<Arc<Registry>>,
    Ask(InPath(name)): Ask<InPath<String>>,
    Ask(Queried(asked)): Ask<Queried<Asked>>,
) -> Result<Response, Failed> {
    let topic = viewer.asker.topic(&name, false).await?;
    let mut look = asked.look(&viewer.asker, &topic, EACH).await?;
    let began = look.positions.clone();
    let (mut rows, is_newest_first) = (Vec::new(), look.is_newest_first);
    // The newest are known when all was looked at.
    let wanted = if is_newest_first { usize::MAX } else { EACH };
    let looked = look
        .on(&viewer.asker, wanted, &mut |record| {
            rows.push(Row::of(record));
            if is_newest_first && rows.len() >= 8 * EACH {
                keep_newest(&mut rows);
            }
            Ok(Found::Taken)
        })
        .await?;
    match is_newest_first {
        true => keep_newest(&mut rows),
        false => rows.sort_by_key(Row::moment),
    }
    let mut schemas = registry.readers();
    for row in &mut rows {
        row.decode(&viewer, &mut schemas).await;
    }
    let body = html! {
        (form(&name, &topic, &asked))
        @if look.is_part {
            p { "The topic has more partitions than are looked through together: these are the first " (PARTITIONS_MAX) "." }
        }
        (said(&look, looked, rows.len()))
        @if !rows.is_empty() { (list(&name, &rows)) }
        (ways(&name, &asked, &began, &look, looked))
        (tail(&name, &asked, &look))
    };
    Ok(tabbed(&viewer, &name, Tab::Messages, &body))
}

fn form(name: &str, topic: &MetadataResponseTopic, asked: &Asked) -> Markup {
    let from = if matches!(asked.from.as_str(), "" | "at") { "end" } else { asked.from.as_str() };
    let choices = [
        ("end", "the end: the newest"),
        ("start", "the start: the oldest"),
        ("offset", "an offset"),
        ("time", "a time"),
    ];
    html! {
        form.fields method="get" action=(of_topic(name, "/messages")) {
            div {
                label for="partition" { "Partition, 0 to " (topic.partitions.len().saturating_sub(1)) }
                input #partition name="partition" inputmode="numeric" size="8" placeholder="all" value=(asked.partition);
            }
            div {
                label for="from" { "From" }
                select #from name="from" {
                    @for (word, name) in choices { option value=(word) selected[word == from] { (name) } }
                }
            }
            div {
                label for="offset" { "Offset" }
                input #offset name="offset" inputmode="numeric" size="9" value=(asked.offset);
            }
            div {
                label for="time" { "Time (UTC)" }
                input #time name="time" size="20" placeholder="2026-03-01T12:00:00Z" value=(asked.time);
            }
            div {
                label for="key" { "Key has" }
                input #key name="key" size="11" maxlength="256" value=(asked.key);
            }
            div {
                label for="text" { "Value has" }
                input #text name="text" size="14" maxlength="256" value=(asked.text);
            }
            div { button { "Show" } }
        }
    }
}

/// How far the look has come.
fn said(look: &Look, looked: Looked, shown: usize) -> Markup {
    html! {
        p role="status" {
            (things(shown as u64, "message", "messages")) " of " (whole(looked.records)) " that were looked at"
            @if looked.is_done { ", up to the end." } @else { "; there are more." }
            @if look.is_newest_first { " The newest stands first." }
        }
    }
}

fn list(name: &str, rows: &[Row]) -> Markup {
    let head = html! {
        th.number scope="col" { "Partition" } th.number scope="col" { "Offset" } th scope="col" { "Time" }
        th scope="col" { "Key" } th scope="col" { "Value" } th.number scope="col" { "Bytes" }
    };
    let lines = html! {
        @for row in rows {
            @let (partition, offset) = (row.partition.to_string(), row.offset.to_string());
            tr {
                td.number { (partition) }
                th.number scope="row" {
                    a href=(link(&of_topic(name, "/message"), &[("partition", &partition), ("offset", &offset)])) { (whole(row.offset)) }
                }
                td.time { (moment(row.timestamp)) }
                td.data { (row.key.markup()) }
                td.data { (row.value.markup()) }
                td.number { (whole(row.value_bytes as i64)) }
            }
        }
    };
    super::page::table("Messages", &head, &lines)
}

/// To the messages before and behind these, and to a file of them.
fn ways(name: &str, asked: &Asked, began: &[(i32, i64)], look: &Look, looked: Looked) -> Markup {
    let path = of_topic(name, "/messages");
    let at = |positions: &[(i32, i64)]| {
        let at = written(positions);
        link(&path, &[("from", "at"), ("at", &at), ("key", &asked.key), ("text", &asked.text)])
    };
    let each = EACH.div_ceil(began.len().max(1)) as i64;
    let older: Vec<(i32, i64)> =
        began.iter().map(|(index, offset)| (*index, (offset - each).max(0))).collect();
    let file = written(began);
    let file = link(
        &of_topic(name, "/records.jsonl"),
        &[("from", "at"), ("at", &file), ("key", &asked.key), ("text", &asked.text)],
    );
    html! {
        nav.pages aria-label="More messages" {
            @if began.iter().any(|(_, offset)| *offset > 0) { a href=(at(&older)) rel="prev" { "Older" } }
            @if !looked.is_done { a href=(at(&look.positions)) rel="next" { "Go on" } }
            a href=(file) download { "Download from here, as JSON lines" }
        }
    }
}

/// What the script makes a live view of.
fn tail(name: &str, asked: &Asked, look: &Look) -> Markup {
    let partition = if look.positions.len() == 1 { look.positions[0].0.to_string() } else { String::new() };
    let from = link(
        &of_topic(name, "/tail"),
        &[("partition", &partition), ("key", &asked.key), ("text", &asked.text)],
    );
    html! {
        section #live data-from=(from) data-message=(of_topic(name, "/message")) {
            h2 { "Live" }
            p.quiet {
                "What comes from now on, by the same filters. The broker reads on where it was, whatever the pace: nothing is left out."
            }
            noscript { p { "The live view needs a script." } }
        }
    }
}

/// The records of a look, a JSON object a line.
pub(super) async fn file(
    viewer: Viewer,
    Extension(registry): Extension<Arc<Registry>>,
    Ask(InPath(name)): Ask<InPath<String>>,
    Ask(Queried(asked)): Ask<Queried<Asked>>,
) -> Result<Response, Failed> {
    let topic = viewer.asker.topic(&name, false).await?;
    let mut look = asked.look(&viewer.asker, &topic, FILE_RECORDS_MAX).await?;
    // The last record may be as long as one can be.
    let room = viewer.asker.shared.room(2 * FILE_BYTES_MAX).await?;
    let (mut lines, mut schemas, mut left) = (Vec::new(), registry.readers(), FILE_RECORDS_MAX);
    loop {
        let mut needed = None;
        let _ = look
            .on(&viewer.asker, left, &mut |record| {
                let before = lines.len();
                match record.write_decoded(&mut lines, schemas.at_hand(), DECODED_BYTES_MAX) {
                    Ok(()) => lines.push(b'\n'),
                    Err(Unwritten::Needs(id)) => {
                        lines.truncate(before);
                        needed = Some(id);
                        return Ok(Found::Left);
                    }
                    Err(Unwritten::Problem(problem)) => return Err(problem),
                }
                left -= 1;
                Ok(if lines.len() < FILE_BYTES_MAX { Found::Taken } else { Found::Last })
            })
            .await?;
        match needed {
            Some(id) => schemas.look_up(&viewer.asker, id).await,
            None => break,
        }
    }
    let headers = [
        (header::CONTENT_TYPE, "application/jsonl"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"records.jsonl\""),
    ];
    Ok((StatusCode::OK, headers, held(lines, room)).into_response())
}
