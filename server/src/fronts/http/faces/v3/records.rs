//! Records, one after the other: JSON objects in a request that need not end, and a report for each, in their
//! order, as soon as it is durable. And batches of them, with an answer for all.
//!
//! ```text
//! > {"value": {"type": "JSON", "data": {"a": 1}}} {"key": {"type": "STRING", "data": "k"}} ...
//! < {"error_code": 200, "partition_id": 0, "offset": 0, ...} ...
//! ```
//! Records that have come together are appended together. A record is at most [`RECORD_BYTES_MAX`] long and
//! has to come whole within [`RECORD_TIME_MAX`]; an object that is none ends the request, after its report.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::body::{Body, BodyDataStream, Bytes};
use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::{Buf as _, BytesMut};
use futures_util::stream::{self, StreamExt};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use strandline_protocol::messages::MetadataResponseTopic;
use strandline_protocol::wire::ErrorCode;
use tokio::time::timeout;

use super::part::{answer, object, of_this, read};
use crate::fronts::http::ask::{Asker, Held, InPath, Whole};
use crate::fronts::http::faces::call::{Call, offset, schema};
use crate::fronts::http::media::JSON;
use crate::fronts::http::problem::Problem;
use crate::fronts::http::produce::{self, Became, New, at_most};
use crate::fronts::http::records::{self, Form};

/// Longest record: one of the default `max.message.bytes` in base64, and its words.
const RECORD_BYTES_MAX: usize = 2 << 20;

/// How long the rest of a record may take that has begun to come.
const RECORD_TIME_MAX: Duration = Duration::from_secs(30);

/// Records that are appended together.
const TOGETHER_MAX: usize = 1000;

/// Records of a batch: as in Confluent's cloud, many times.
const ENTRIES_MAX: usize = 1000;

pub(super) fn calls(cluster: &str) -> Vec<Call> {
    let records = format!("{cluster}/topics/{{topic_name}}/records");
    vec![
        Call::post(&records, "Produces records, with a report for each", stream_in)
            .takes(&[JSON], schema("ProduceV3"))
            .gives(200, "Reports, one after the other", &[JSON], schema("ProduceReport")),
        Call::post(format!("{records}:batch"), "Produces a batch of records", batch)
            .takes(&[JSON], schema("ProduceBatch"))
            .gives(207, "What became of each", &[JSON], schema("ProduceBatchReport")),
    ]
}

pub(super) fn schemas() -> Value {
    let text = || json!({"type": "string"});
    let number = || json!({"type": "integer", "format": "int32"});
    let part = || {
        let kinds = json!({"type": "string", "enum": ["BINARY", "JSON", "STRING"]});
        json!({"type": "object", "nullable": true, "required": ["data"], "properties": {"type": kinds, "data": {}}})
    };
    let size = || object(json!({"type": text(), "size": number()}), &["type", "size"]);
    let named = json!({"name": text(), "value": {"type": "string", "nullable": true}});
    let has = || {
        json!({
            "partition_id": {"type": "integer", "format": "int32", "nullable": true},
            "headers": {"type": "array", "items": object(named.clone(), &["name"])},
            "key": part(), "value": part(),
            "timestamp": {"type": "string", "format": "date-time", "nullable": true},
        })
    };
    let mut entry = has();
    entry["id"] = json!({"type": "string", "minLength": 1, "maxLength": 80});
    let entries =
        json!({"type": "array", "minItems": 1, "maxItems": ENTRIES_MAX, "items": object(entry, &["id"])});
    let reported = || {
        json!({
            "cluster_id": text(), "topic_name": text(), "partition_id": number(), "offset": offset(),
            "timestamp": text(), "key": size(), "value": size(),
        })
    };
    let mut report = reported();
    report["error_code"] = number();
    report["message"] = text();
    let mut success = reported();
    success["id"] = text();
    let failure = json!({"id": text(), "error_code": number(), "message": text()});
    let all = |item: Value| json!({"type": "array", "items": item});
    json!({
        "ProduceV3": object(has(), &[]),
        "ProduceReport": object(report, &["error_code"]),
        "ProduceBatch": object(json!({"entries": entries}), &["entries"]),
        "ProduceBatchReport": object(
            json!({
                "successes": all(object(success, &["id", "partition_id", "offset"])),
                "failures": all(object(failure, &["id", "error_code", "message"])),
            }),
            &["successes", "failures"],
        ),
    })
}

/// A record as it is written.
#[derive(Deserialize)]
struct Written<'a> {
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    partition_id: Option<i32>,
    #[serde(default, deserialize_with = "headers")]
    headers: Vec<WrittenHeader>,
    #[serde(borrow, default)]
    key: Option<Part<'a>>,
    #[serde(borrow, default)]
    value: Option<Part<'a>>,
    #[serde(default)]
    timestamp: Option<String>,
}

#[derive(Deserialize)]
struct WrittenHeader {
    name: String,
    #[serde(default)]
    value: Option<String>,
}

#[derive(Deserialize)]
struct Part<'a> {
    #[serde(rename = "type", default)]
    kind: Option<String>,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
}

fn headers<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Vec<WrittenHeader>, D::Error> {
    at_most(from, 1000)
}

/// A record, and what its key and value are called.
struct Record<'a> {
    new: New<'a>,
    kinds: [&'static str; 2],
}

impl<'a> Written<'a> {
    fn record(self) -> Result<Record<'a>, Problem> {
        let part = |what: &'static str, part: Option<Part<'a>>| {
            let Some(part) = part else { return Ok((None, "BINARY")) };
            let (form, kind) = match part.kind.as_deref() {
                None | Some("BINARY") => (Form::Binary, "BINARY"),
                Some("JSON") => (Form::Json, "JSON"),
                Some("STRING") => (Form::Text, "STRING"),
                Some(other) => {
                    let words =
                        format!("{what}: records of {other} are taken by the second version of the API");
                    let known = matches!(other, "AVRO" | "JSONSCHEMA" | "PROTOBUF");
                    let words = if known { words } else { format!("{what}.type is BINARY, JSON or STRING") };
                    return Err(Problem::invalid(1, words));
                }
            };
            let bytes =
                part.data.filter(|data| data.get() != "null").map(|data| produce::bytes(what, data, form));
            Ok((bytes.transpose().map_err(|wrong| Problem::invalid(1, wrong.to_string()))?, kind))
        };
        let headers = self.headers.into_iter().map(|header| {
            let wrong = |_| Problem::invalid(1, "headers: a value is base64");
            let value = header.value.map(|value| BASE64.decode(value).map_err(wrong)).transpose()?;
            Ok((header.name.into(), value))
        });
        let headers = headers.collect::<Result<Vec<_>, Problem>>()?;
        let time = |text: String| {
            let time = humantime::parse_rfc3339_weak(&text).ok();
            let since = time.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
            let wrong =
                || Problem::invalid(1, "timestamp: it is like 2026-12-01T12:00:00.000Z, from 1970 on");
            since.map(|since| since.as_millis() as i64).ok_or_else(wrong)
        };
        let ((key, of_key), (value, of_value)) = (part("key", self.key)?, part("value", self.value)?);
        let timestamp = self.timestamp.map(time).transpose()?;
        let new = New { partition: self.partition_id, timestamp, key, value, headers };
        Ok(Record { new, kinds: [of_key, of_value] })
    }
}

/// What is said of a record that was appended.
fn told(cluster: &str, topic: &str, record: &Record<'_>, became: &Became, offset: i64) -> Value {
    let size = |part: &Option<std::borrow::Cow<'_, [u8]>>, kind: &str| {
        part.as_ref().map(|part| json!({"type": kind, "size": part.len()}))
    };
    let at = UNIX_EPOCH + Duration::from_millis(became.timestamp.max(0) as u64);
    let mut told = json!({
        "cluster_id": cluster, "topic_name": topic, "partition_id": became.partition, "offset": offset,
        "timestamp": shown(at),
    });
    for (name, part, kind) in
        [("key", &record.new.key, record.kinds[0]), ("value", &record.new.value, record.kinds[1])]
    {
        if let Some(size) = size(part, kind) {
            told[name] = size;
        }
    }
    told
}

/// A time as text; one that no calendar has is a number.
fn shown(at: SystemTime) -> String {
    const YEARS_MAX: Duration = Duration::from_secs(253_402_300_799);
    match at.duration_since(UNIX_EPOCH) {
        Ok(since) if since < YEARS_MAX => humantime::format_rfc3339_millis(at).to_string(),
        Ok(since) => since.as_millis().to_string(),
        Err(_) => "0".to_owned(),
    }
}

/// What is said of one that was not.
fn refused(code: ErrorCode, words: &str) -> (u32, String) {
    let problem = Problem::of_kafka(code, "the record");
    let words = if words.is_empty() { problem.message } else { words.to_owned() };
    (problem.code, words)
}

// ---- a batch ----------------------------------------------------------------------------------------------

#[derive(Deserialize)]
struct Batch<'a> {
    #[serde(borrow, deserialize_with = "entries")]
    entries: Vec<Written<'a>>,
}

fn entries<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Vec<Written<'de>>, D::Error> {
    at_most(from, ENTRIES_MAX)
}

async fn batch(
    asker: Asker,
    InPath((named, name)): InPath<(String, String)>,
    body: Whole,
) -> Result<Response, Problem> {
    let cluster = of_this(&asker, &named)?;
    let Batch { entries } = read(&body)?;
    if entries.is_empty() {
        return Err(Problem::invalid(1, "entries is empty"));
    }
    let topic = asker.topic(&name, true).await?;
    let (mut ids, mut good, mut failures) = (Vec::new(), Vec::new(), Vec::new());
    for mut entry in entries {
        let id = entry.id.take().filter(|id| (1..=80).contains(&id.len()));
        let id = id.ok_or_else(|| Problem::invalid(1, "each entry has an id of 1 to 80 letters"))?;
        match entry.record() {
            Ok(record) => {
                ids.push(id);
                good.push(record);
            }
            Err(problem) => {
                failures.push(json!({"id": id, "error_code": problem.code, "message": problem.message}));
            }
        }
    }
    let mut successes = Vec::new();
    let (records, kinds): (Vec<New<'_>>, Vec<[&str; 2]>) =
        good.into_iter().map(|record| (record.new, record.kinds)).unzip();
    if !records.is_empty() {
        let became = produce::append(&asker, &topic, None, &records).await?;
        for (((id, new), kinds), became) in ids.into_iter().zip(records).zip(kinds).zip(&became) {
            match &became.offset {
                Ok(offset) => {
                    let mut told = told(&cluster, &name, &Record { new, kinds }, became, *offset);
                    told["id"] = id.into();
                    successes.push(told);
                }
                Err((code, words)) => {
                    let (code, words) = refused(*code, words);
                    failures.push(json!({"id": id, "error_code": code, "message": words}));
                }
            }
        }
    }
    Ok(answer(StatusCode::MULTI_STATUS, &json!({"successes": successes, "failures": failures})))
}

// ---- a stream ---------------------------------------------------------------------------------------------

/// Finds where objects end, letter by letter.
#[derive(Default)]
struct Scanner {
    /// Bytes that were looked at.
    at: usize,
    depth: usize,
    in_text: bool,
    is_escaped: bool,
}

/// What does not stand between objects.
#[derive(Debug, PartialEq, Eq)]
struct NoObject;

impl Scanner {
    /// The length of the object at the front of `bytes`, of which the front was looked at before.
    fn next(&mut self, bytes: &[u8]) -> Result<Option<usize>, NoObject> {
        while let Some(byte) = bytes.get(self.at) {
            self.at += 1;
            match (*byte, self.in_text) {
                (_, true) if self.is_escaped => self.is_escaped = false,
                (b'\\', true) => self.is_escaped = true,
                (b'"', true) => self.in_text = false,
                (_, true) => {}
                (b'"', false) if self.depth > 0 => self.in_text = true,
                (b'{' | b'[', false) if self.depth > 0 || *byte == b'{' => self.depth += 1,
                (b'}' | b']', false) if self.depth > 0 => {
                    self.depth -= 1;
                    if self.depth == 0 {
                        return Ok(Some(std::mem::take(&mut self.at)));
                    }
                }
                (_, false) if self.depth > 0 => {}
                _ => return Err(NoObject),
            }
        }
        Ok(None)
    }
}

/// Where records go.
struct Sink {
    asker: Asker,
    cluster: String,
    topic: MetadataResponseTopic,
}

/// Records that come, and reports that go.
struct Streaming {
    sink: Sink,
    body: BodyDataStream,
    buffer: BytesMut,
    scanner: Scanner,
    /// The memory of what waits in the buffer.
    room: Held,
    is_over: bool,
}

async fn stream_in(
    asker: Asker,
    InPath((named, name)): InPath<(String, String)>,
    request: Request,
) -> Result<Response, Problem> {
    let cluster = of_this(&asker, &named)?;
    let topic = asker.topic(&name, true).await?;
    let streaming = Streaming {
        sink: Sink { asker, cluster, topic },
        body: request.into_body().into_data_stream(),
        buffer: BytesMut::new(),
        scanner: Scanner::default(),
        room: Held::default(),
        is_over: false,
    };
    let reports = stream::unfold(streaming, |mut streaming| async move {
        let reports = streaming.next().await?;
        Some((Ok::<_, Infallible>(reports), streaming))
    });
    Ok((StatusCode::OK, [(header::CONTENT_TYPE, JSON)], Body::from_stream(reports)).into_response())
}

fn report_of(problem: &Problem) -> Value {
    json!({"error_code": problem.code, "message": problem.message})
}

impl Streaming {
    /// The next reports; `None` when there will be none any more.
    async fn next(&mut self) -> Option<Bytes> {
        let mut whole = VecDeque::new();
        let mut problem = None;
        while !self.is_over {
            match self.take(&mut whole) {
                Ok(()) if whole.is_empty() => {}
                Ok(()) => break,
                Err(why) => {
                    problem = Some(why);
                    self.is_over = true;
                    break;
                }
            }
            match self.receive().await {
                Ok(true) => {}
                Ok(false) => self.is_over = true,
                Err(why) => {
                    problem = Some(why);
                    self.is_over = true;
                }
            }
        }
        let mut reports = self.sink.append(whole).await;
        reports.extend(problem.as_ref().map(report_of));
        if reports.is_empty() {
            return None;
        }
        let mut out = Vec::new();
        for report in reports {
            out.extend_from_slice(&records::json(&report));
            out.extend_from_slice(b"\r\n");
        }
        Some(out.into())
    }

    /// Takes whole objects out of the buffer.
    fn take(&mut self, whole: &mut VecDeque<Bytes>) -> Result<(), Problem> {
        while whole.len() < TOGETHER_MAX {
            if self.scanner.depth == 0 {
                let is_blank = |byte: &&u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
                self.buffer.advance(self.buffer.iter().take_while(is_blank).count());
                self.scanner = Scanner::default();
            }
            match self.scanner.next(&self.buffer) {
                Ok(Some(length)) => whole.push_back(self.buffer.split_to(length).freeze()),
                Ok(None) if self.buffer.len() > RECORD_BYTES_MAX => {
                    let words = format!("a record is longer than {RECORD_BYTES_MAX} bytes");
                    return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, None, words));
                }
                Ok(None) => break,
                // What came before is appended first.
                Err(NoObject) if !whole.is_empty() => break,
                Err(NoObject) => {
                    return Err(Problem::unreadable("records are JSON objects, one behind the other"));
                }
            }
        }
        Ok(())
    }

    /// Receives some more; false at the end.
    async fn receive(&mut self) -> Result<bool, Problem> {
        let next = self.body.next();
        let next = match self.buffer.is_empty() {
            true => {
                self.room = Held::default();
                tokio::select! {
                    next = next => next,
                    () = self.sink.asker.shared.stopped() => return Ok(false),
                }
            }
            false => {
                let slow =
                    || Problem::new(StatusCode::REQUEST_TIMEOUT, None, "the rest of a record does not come");
                timeout(RECORD_TIME_MAX, next).await.map_err(|_| slow())?
            }
        };
        match next {
            Some(Ok(bytes)) => {
                // What was appended is not held any more, even where the buffer is never empty.
                let held = self.buffer.len() + bytes.len();
                self.sink.asker.shared.hold_body(&mut self.room, held).await?;
                self.buffer.extend_from_slice(&bytes);
                Ok(true)
            }
            None if self.buffer.is_empty() => Ok(false),
            None => Err(Problem::unreadable("the request ends in the middle of a record")),
            Some(Err(error)) => Err(Problem::unreadable(format!("the request ends early: {error}"))),
        }
    }
}

impl Sink {
    /// Appends records, and reports each.
    async fn append(&self, whole: VecDeque<Bytes>) -> Vec<Value> {
        if whole.is_empty() {
            return Vec::new();
        }
        let name = self.topic.name.as_deref().unwrap_or_default();
        let bytes: usize = whole.iter().map(Bytes::len).sum();
        let _room = match self.asker.shared.room(2 * bytes).await {
            Ok(room) => room,
            Err(problem) => return whole.iter().map(|_| report_of(&problem)).collect(),
        };
        let mut reports: Vec<Value> = Vec::with_capacity(whole.len());
        let (mut records, mut kinds, mut places) = (Vec::new(), Vec::new(), Vec::new());
        for bytes in &whole {
            let written = serde_json::from_slice::<Written<'_>>(bytes);
            let record =
                written.map_err(|why| Problem::invalid(1, why.to_string())).and_then(Written::record);
            match record {
                Ok(record) => {
                    places.push(reports.len());
                    reports.push(Value::Null);
                    records.push(record.new);
                    kinds.push(record.kinds);
                }
                Err(problem) => reports.push(report_of(&problem)),
            }
        }
        if records.is_empty() {
            return reports;
        }
        match produce::append(&self.asker, &self.topic, None, &records).await {
            Err(problem) => places.iter().for_each(|at| reports[*at] = report_of(&problem)),
            Ok(became) => {
                for (((at, new), kinds), became) in places.into_iter().zip(records).zip(kinds).zip(&became) {
                    reports[at] = match &became.offset {
                        Ok(offset) => {
                            let record = Record { new, kinds };
                            let mut report = told(&self.cluster, name, &record, became, *offset);
                            report["error_code"] = 200.into();
                            report
                        }
                        Err((code, words)) => {
                            let (code, words) = refused(*code, words);
                            json!({"error_code": code, "message": words})
                        }
                    };
                }
            }
        }
        reports
    }
}

/// What a stranger streams: objects are found in it wherever it is cut, and each is a record or refused.
#[cfg(any(test, feature = "testing"))]
pub(in crate::fronts::http) fn check_stream(bytes: &[u8]) {
    let found = |step: usize| {
        let (mut scanner, mut buffer, mut found) = (Scanner::default(), Vec::new(), Vec::new());
        for piece in bytes.chunks(step) {
            buffer.extend_from_slice(piece);
            loop {
                match scanner.next(&buffer) {
                    Ok(Some(length)) => found.push(buffer.drain(..length).collect::<Vec<u8>>()),
                    Ok(None) => break,
                    Err(NoObject) => return found,
                }
            }
        }
        found
    };
    let whole = found(bytes.len().max(1));
    assert_eq!(found(7), whole, "wherever it is cut");
    for object in &whole {
        let _ = serde_json::from_slice::<Written<'_>>(object).map(Written::record);
    }
    let _ = serde_json::from_slice::<Batch<'_>>(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_found_however_they_are_cut() {
        let text = br#"{"a":"}\"{","b":[{}]}{"c":1}"#;
        for step in 1..=text.len() {
            let (mut scanner, mut buffer, mut found) = (Scanner::default(), Vec::new(), Vec::new());
            for piece in text.chunks(step) {
                buffer.extend_from_slice(piece);
                while let Some(length) = scanner.next(&buffer).unwrap() {
                    found.push(String::from_utf8(buffer.drain(..length).collect()).unwrap());
                }
            }
            assert_eq!(found, [r#"{"a":"}\"{","b":[{}]}"#, r#"{"c":1}"#], "{step}");
        }
        for none in ["1", "\"a\"", "[]", "}", "x{"] {
            assert_eq!(Scanner::default().next(none.as_bytes()), Err(NoObject), "{none}");
        }
    }

    #[test]
    fn a_time_is_shown_whatever_it_is() {
        assert_eq!(shown(UNIX_EPOCH + Duration::from_millis(1_500)), "1970-01-01T00:00:01.500Z");
        assert_eq!(shown(UNIX_EPOCH + Duration::from_secs(300_000_000_000)), "300000000000000");
    }
}
