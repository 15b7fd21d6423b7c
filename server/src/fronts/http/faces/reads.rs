//! Two calls of our own, which need no consumer: the records of one partition from an offset or a time on, as
//! JSON, and the same as Server-Sent Events that go on for ever.
//!
//! ```text
//! GET /topics/orders/partitions/0/records?offset=earliest&timeout=1000
//! {"records": [{"partition": 0, "offset": 0, ..., "value": ..., "value_format": "json"}], "next_offset": 1, ...}
//!
//! Accept: text/event-stream
//! id: 0                      a client that comes again says Last-Event-ID: 0, and gets what follows
//! data: {"partition": 0, "offset": 0, ...}
//! ```
//! Where a media type of the second API is asked for, the records stand in its form. An event is sent when
//! the client has taken those before; what it does not take is not read.

use std::convert::Infallible;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::Deserialize;
use serde_json::json;
use strandline_engine::Isolation;
use tokio::time::Instant;

use super::call::{Call, Face, PROBLEM, schema};
use crate::fronts::http::ask::{Asker, InPath, Queried, held};
use crate::fronts::http::media::{self, V2_RECORDS};
use crate::fronts::http::problem::Problem;
use crate::fronts::http::records::{Form, Unwritten, walk, write_text};
use crate::fronts::http::schemas::Registry;
use crate::fronts::http::topics::{Moment, Wanted};

/// Bytes of records that are fetched at once, where nothing is said, and at most.
const BYTES: usize = 1 << 20;
const BYTES_MAX: usize = 8 << 20;

/// Records of an answer, at most.
const COUNT_MAX: usize = 10_000;

/// How long an answer may be waited for.
const TIMEOUT_MAX: Duration = Duration::from_secs(60);

/// So often a stream without events shows that it lives.
const SIGN_OF_LIFE: Duration = Duration::from_secs(15);

/// Bytes of records that a stream fetches at once.
const EVENTS_BYTES: usize = 256 << 10;

const EVENTS: &str = "text/event-stream";
const JSON: &str = "application/json";

/// The face.
pub(super) fn face() -> Face {
    let integer = || json!({"type": "integer", "format": "int64", "minimum": 0});
    let small = || json!({"type": "integer", "format": "int32", "minimum": 0});
    let path = "/topics/{topic_name}/partitions/{partition_id}/records";
    let read = Call::get(path, "Records of a partition from an offset or a time on, without a consumer", read)
        .query(
            "offset",
            json!({"oneOf": [integer(), {"type": "string", "enum": ["earliest", "latest"]}], "default": "earliest"}),
            "The first offset, or earliest, or latest",
        )
        .query("timestamp", integer(), "Instead of an offset: the first record that is not older, in milliseconds")
        .query("timeout", small(), "How long to wait for a record when there is none, in milliseconds; default 0")
        .query("max_bytes", small(), "Bytes of records to fetch at most; the first batch comes in any case")
        .query("max_records", small(), "Records to give at most")
        .query("format", json!({"type": "string", "enum": ["json", "text", "binary"]}), "How keys and values stand")
        .query("isolation", json!({"type": "string", "enum": ["read_uncommitted", "read_committed"]}), "What is read of transactions")
        .gives(200, "The records", &[JSON], schema("PartitionRecords"));
    let schemas = json!({
        "PartitionRecords": {
            "type": "object",
            "required": ["records", "next_offset", "log_start_offset", "high_watermark"],
            "properties": {
                "records": {"type": "array", "items": schema("PartitionRecord")},
                "next_offset": {"type": "integer", "format": "int64"},
                "log_start_offset": {"type": "integer", "format": "int64"},
                "high_watermark": {"type": "integer", "format": "int64"},
            },
        },
        "PartitionRecord": {
            "type": "object",
            "required": ["partition", "offset", "timestamp", "key", "key_format", "value", "value_format", "headers"],
            "properties": {
                "partition": {"type": "integer"},
                "offset": {"type": "integer", "format": "int64"},
                "timestamp": {"type": "integer", "format": "int64"},
                "key": {}, "value": {},
                "key_format": {"type": "string", "enum": ["json", "text", "binary"]},
                "value_format": {"type": "string", "enum": ["json", "text", "binary"]},
                "headers": {"type": "array", "items": schema("RecordHeader")},
            },
        },
        "RecordHeader": {
            "type": "object",
            "required": ["key", "value"],
            "properties": {"key": {"type": "string"}, "value": {"type": "string", "nullable": true}},
        },
    });
    Face { name: "reads", calls: vec![read], schemas, problem: PROBLEM }
}

#[derive(Deserialize)]
struct Asked {
    offset: Option<String>,
    timestamp: Option<i64>,
    timeout: Option<u32>,
    max_bytes: Option<usize>,
    max_records: Option<usize>,
    format: Option<String>,
    isolation: Option<String>,
}

/// Where to begin.
enum From {
    Offset(i64),
    Moment(Moment),
}

impl Asked {
    fn from(&self, headers: &HeaderMap) -> Result<From, Problem> {
        let last = headers.get("last-event-id").and_then(|id| id.to_str().ok());
        // A new EventSource says an empty one, or nothing.
        if let Some(last) = last.filter(|last| !last.is_empty()) {
            let last: i64 = last.parse().map_err(|_| Problem::invalid(9, "Last-Event-ID is no offset"))?;
            return Ok(From::Offset(last.saturating_add(1)));
        }
        match (&self.offset, self.timestamp) {
            (Some(_), Some(_)) => Err(Problem::invalid(9, "either offset or timestamp, and not both")),
            (None, Some(timestamp)) if timestamp >= 0 => Ok(From::Moment(Moment::Time(timestamp))),
            (None, Some(_)) => Err(Problem::invalid(9, "timestamp is milliseconds since 1970")),
            (None, None) => Ok(From::Moment(Moment::Earliest)),
            (Some(offset), None) => match offset.as_str() {
                "earliest" => Ok(From::Moment(Moment::Earliest)),
                "latest" => Ok(From::Moment(Moment::Latest)),
                offset => match offset.parse() {
                    Ok(offset @ 0..) => Ok(From::Offset(offset)),
                    _ => Err(Problem::invalid(9, "offset is a whole number from 0 on, earliest or latest")),
                },
            },
        }
    }

    fn isolation(&self) -> Result<Isolation, Problem> {
        match self.isolation.as_deref() {
            None | Some("read_uncommitted") => Ok(Isolation::ReadUncommitted),
            Some("read_committed") => Ok(Isolation::ReadCommitted),
            Some(_) => Err(Problem::invalid(9, "isolation is read_uncommitted or read_committed")),
        }
    }

    fn form(&self) -> Result<Option<Form>, Problem> {
        let own = |word: &str| Form::of_word(word).filter(|form| form.schema_type().is_none());
        match self.format.as_deref().map(own) {
            Some(None) => Err(Problem::invalid(9, "format is json, text or binary")),
            form => Ok(form.flatten()),
        }
    }
}

async fn read(
    asker: Asker,
    Extension(registry): Extension<Arc<Registry>>,
    InPath((topic, partition)): InPath<(String, i32)>,
    Queried(asked): Queried<Asked>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let isolation = asked.isolation()?;
    let form = asked.form()?;
    let from = asked.from(&headers)?;
    asker.topic_with(&topic, partition).await?;
    let offset = match from {
        From::Offset(offset) => offset,
        From::Moment(moment) => {
            let at = [(topic.as_str(), partition)];
            match asker.offsets(&at, moment, isolation).await?.first() {
                Some(Some(offset)) => *offset,
                // Nothing is as new: what comes next will be.
                _ => asker.offsets(&at, Moment::Latest, isolation).await?[0].unwrap_or(0),
            }
        }
    };
    let accept = media::accepted(&headers);
    if accept.is_some_and(|accept| accept.contains(EVENTS)) {
        return Ok(events(asker, topic, partition, offset, isolation, form));
    }
    let bytes_max = asked.max_bytes.unwrap_or(BYTES).clamp(1, BYTES_MAX);
    let wanted = Wanted { topic: &topic, partition, offset, bytes_max, isolation };
    let wait = Duration::from_millis(asked.timeout.unwrap_or(0).into()).min(TIMEOUT_MAX);
    let deadline = Instant::now() + wait;
    let (data, room) = loop {
        let (data, room) = asker.read_now(&wanted).await?;
        if !data.records.is_empty() || !asker.wait(&wanted, deadline).await {
            break (data, room);
        }
        drop(room);
    };
    let v2 = accept.and_then(media::form_of_v2);
    let count_max = asked.max_records.unwrap_or(COUNT_MAX).min(COUNT_MAX);
    let (mut out, mut count, mut position) = (Vec::new(), 0, offset);
    out.extend_from_slice(if v2.is_some() { b"[" } else { b"{\"records\":[" });
    let aborted = data.aborted_transactions.as_deref();
    let mut schemas = registry.readers();
    loop {
        let mut needed = None;
        let _ = walk(partition, &data.records, aborted, &mut position, &mut |record| {
            if count >= count_max || (count > 0 && out.len() >= 2 * BYTES_MAX) {
                return Ok(ControlFlow::Break(()));
            }
            let before = out.len();
            if count > 0 {
                out.push(b',');
            }
            let written = match v2 {
                Some(form) => record.write_v2(&mut out, &topic, form, schemas.at_hand()),
                None => record.write_own(&mut out, form).map_err(Unwritten::Problem),
            };
            match written {
                Ok(()) => {
                    count += 1;
                    Ok(ControlFlow::Continue(()))
                }
                Err(Unwritten::Needs(id)) => {
                    out.truncate(before);
                    needed = Some(id);
                    Ok(ControlFlow::Break(()))
                }
                Err(Unwritten::Problem(problem)) => Err(problem),
            }
        })?;
        match needed {
            Some(id) if schemas.fetch(&asker, id).await? => {}
            _ => break,
        }
    }
    out.push(b']');
    let content_type = match v2 {
        Some(form) => V2_RECORDS[form as usize],
        None => {
            let (start, end) = (data.log_start_offset, data.high_watermark);
            let rest = format!(
                ",\"next_offset\":{position},\"log_start_offset\":{start},\"high_watermark\":{end}}}"
            );
            out.extend_from_slice(rest.as_bytes());
            JSON
        }
    };
    Ok((StatusCode::OK, [(header::CONTENT_TYPE, content_type)], held(out, room)).into_response())
}

/// Where a stream of events is.
struct Events {
    asker: Asker,
    topic: String,
    partition: i32,
    position: i64,
    isolation: Isolation,
    form: Option<Form>,
    is_over: bool,
}

fn events(
    asker: Asker,
    topic: String,
    partition: i32,
    position: i64,
    isolation: Isolation,
    form: Option<Form>,
) -> Response {
    let events = Events { asker, topic, partition, position, isolation, form, is_over: false };
    let stream = stream::unfold(events, |mut events| async move {
        let next = events.next().await?;
        Some((Ok::<_, Infallible>(next), events))
    });
    let headers = [(header::CONTENT_TYPE, EVENTS), (header::CACHE_CONTROL, "no-cache")];
    (StatusCode::OK, headers, Body::from_stream(stream)).into_response()
}

impl Events {
    /// The next events, or a sign of life; `None` at the end.
    async fn next(&mut self) -> Option<Bytes> {
        if self.is_over {
            return None;
        }
        match self.read().await {
            Ok(events) => Some(events),
            Err(_) if *self.asker.shared.stopping.borrow() => None,
            Err(problem) => {
                self.is_over = true;
                let mut out = Vec::new();
                out.extend_from_slice(b"event: error\ndata: {\"error_code\":");
                out.extend_from_slice(problem.code.to_string().as_bytes());
                out.extend_from_slice(b",\"message\":");
                write_text(&mut out, &problem.message);
                out.extend_from_slice(b"}\n\n");
                Some(out.into())
            }
        }
    }

    async fn read(&mut self) -> Result<Bytes, Problem> {
        let deadline = Instant::now() + SIGN_OF_LIFE;
        loop {
            let wanted = Wanted {
                topic: &self.topic,
                partition: self.partition,
                offset: self.position,
                bytes_max: EVENTS_BYTES,
                isolation: self.isolation,
            };
            let (data, room) = match self.asker.read_now(&wanted).await {
                Err(Problem { status: StatusCode::TOO_MANY_REQUESTS, after: Some(after), .. }) => {
                    tokio::time::sleep(after).await;
                    continue;
                }
                found => found?,
            };
            if data.records.is_empty() {
                drop(room);
                if self.asker.wait(&wanted, deadline).await {
                    continue;
                }
                if *self.asker.shared.stopping.borrow() {
                    return Err(Problem::away("the broker stops"));
                }
                return Ok(Bytes::from_static(b": nothing new\n\n"));
            }
            let (form, mut out) = (self.form, Vec::new());
            let aborted = data.aborted_transactions.as_deref();
            let _ = walk(self.partition, &data.records, aborted, &mut self.position, &mut |record| {
                if out.len() >= 2 * EVENTS_BYTES {
                    return Ok(ControlFlow::Break(()));
                }
                out.extend_from_slice(format!("id: {}\ndata: ", record.offset).as_bytes());
                record.write_own(&mut out, form)?;
                out.extend_from_slice(b"\n\n");
                Ok(ControlFlow::Continue(()))
            })?;
            if !out.is_empty() {
                return Ok(held(out, room));
            }
        }
    }
}
