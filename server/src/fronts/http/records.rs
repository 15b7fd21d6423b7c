//! Records as they come out of a fetch, and as they leave in JSON.
//!
//! ```text
//! batches > CRC, transactions that were aborted > unpack > records from a position on > JSON, until it is enough
//! ```
//! A batch is unpacked while its records are written, and no two at a time; it has at most
//! [`UNPACKED_BYTES_MAX`].

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::io::Write as _;
use std::ops::ControlFlow;
use std::sync::Arc;

use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Serialize;
use serde_json::value::RawValue;
use strandline_engine::format::batch::{BATCH_HEADER_BYTES, BatchHeader, Batches, TimestampType, verify_crc};
use strandline_engine::format::compression::{Codec, decompress};
use strandline_engine::format::marker::{EndMarker, TransactionResult};
use strandline_engine::format::record::{Headers, Records};
use strandline_protocol::messages::AbortedTransaction;
use strandline_schemas::definition::SchemaType;
use strandline_schemas::values::{Values, taken_apart};

use super::problem::Problem;

/// No batch unpacks to more here.
const UNPACKED_BYTES_MAX: usize = 64 << 20;

/// A value by a schema has no longer JSON.
const DECODED_BYTES_MAX: usize = 4 << 20;

/// Schemas by their ids, as far as they are at hand; or why one is not there.
pub(super) type AtHand = HashMap<i32, Result<Arc<Values>, String>>;

/// Why a record is not written.
#[derive(Debug)]
pub(super) enum Unwritten {
    /// The schema with this id is not at hand.
    Needs(i32),
    /// For good.
    Problem(Problem),
}

/// How keys and values stand in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// As base64.
    Binary,
    /// As the JSON that they are.
    Json,
    /// As text.
    Text,
    /// By a schema of Avro, as its encoding in JSON.
    Avro,
    /// By a JSON Schema.
    JsonSchema,
    /// By a schema of Protobuf, as its encoding in JSON.
    Protobuf,
}

impl Form {
    /// All of them.
    pub(super) const ALL: [Form; 6] =
        [Form::Binary, Form::Json, Form::Text, Form::Avro, Form::JsonSchema, Form::Protobuf];

    /// The word for it in media types and in the settings of consumers.
    pub(super) fn word(self) -> &'static str {
        match self {
            Form::Binary => "binary",
            Form::Json => "json",
            Form::Text => "text",
            Form::Avro => "avro",
            Form::JsonSchema => "jsonschema",
            Form::Protobuf => "protobuf",
        }
    }

    /// The type of the schemas that it goes by.
    pub(super) fn schema_type(self) -> Option<SchemaType> {
        match self {
            Form::Binary | Form::Json | Form::Text => None,
            Form::Avro => Some(SchemaType::Avro),
            Form::JsonSchema => Some(SchemaType::Json),
            Form::Protobuf => Some(SchemaType::Protobuf),
        }
    }

    /// The form of what goes by schemas of a type.
    pub(super) fn by_schemas_of(schema_type: SchemaType) -> Form {
        match schema_type {
            SchemaType::Avro => Form::Avro,
            SchemaType::Json => Form::JsonSchema,
            SchemaType::Protobuf => Form::Protobuf,
        }
    }

    /// The form of this word.
    pub(super) fn of_word(word: &str) -> Option<Form> {
        Form::ALL.into_iter().find(|form| form.word() == word)
    }
}

/// A record that was read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record<'a> {
    pub(super) partition: i32,
    pub(super) offset: i64,
    pub(super) timestamp: i64,
    pub(super) key: Option<&'a [u8]>,
    pub(super) value: Option<&'a [u8]>,
    headers: Headers<'a>,
}

/// What a reader gets to see, one record after the other.
pub(super) type Each<'a> = dyn FnMut(&Record<'_>) -> Result<ControlFlow<()>, Problem> + 'a;

/// Gives the records from `position` on, without those of aborted transactions, and moves it past each that
/// was taken: one that ends the walk comes again.
///
/// # Errors
/// For bytes that are no records, and what `each` says.
pub(super) fn walk(
    partition: i32,
    batches: &[u8],
    aborted: Option<&[AbortedTransaction]>,
    position: &mut i64,
    each: &mut Each<'_>,
) -> Result<ControlFlow<()>, Problem> {
    let mut open = Aborted::new(aborted.unwrap_or_default());
    for batch in Batches::new(batches) {
        let broken = |why: &dyn std::fmt::Display, at: i64| {
            let words = format!("partition {partition}, in the batch at offset {at}: {why}");
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, Some(2), words)
        };
        let (header, batch) = batch.map_err(|why| broken(&why, *position))?;
        let base = header.base_offset().get();
        let is_aborted = open.passes(header, batch);
        if header.next_offset().get() <= *position {
            continue;
        }
        if !is_aborted && !header.is_control() {
            verify_crc(batch).map_err(|why| broken(&why, base))?;
            let packed = &batch[BATCH_HEADER_BYTES..];
            let records = match header.codec().map_err(|why| broken(&why, base))? {
                Codec::None => Cow::Borrowed(packed),
                codec => {
                    let unpacked = decompress(codec, packed, UNPACKED_BYTES_MAX);
                    Cow::Owned(unpacked.map_err(|why| broken(&why, base))?)
                }
            };
            let is_stamped = header.timestamp_type() == TimestampType::LogAppendTime;
            for record in Records::new(&records, header.record_count().max(0) as u32) {
                let record = record.map_err(|why| broken(&why, base))?;
                let offset = base.wrapping_add(i64::from(record.offset_delta));
                if offset < *position {
                    continue;
                }
                let timestamp = match is_stamped {
                    true => header.max_timestamp(),
                    false => header.base_timestamp().with_delta(record.timestamp_delta),
                };
                let (key, value, headers) = (record.key, record.value, record.headers);
                let record = Record { partition, offset, timestamp: timestamp.0, key, value, headers };
                if each(&record)?.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
                *position = offset.wrapping_add(1);
            }
        }
        // Compaction may have left gaps, even at the end of a batch.
        *position = header.next_offset().get();
    }
    Ok(ControlFlow::Continue(()))
}

/// The aborted transactions that a walk is in.
struct Aborted<'a> {
    to_come: std::iter::Peekable<std::slice::Iter<'a, AbortedTransaction>>,
    open: HashSet<i64>,
}

impl<'a> Aborted<'a> {
    /// Of those that overlap what is walked over, in the order of their first offsets.
    fn new(aborted: &'a [AbortedTransaction]) -> Aborted<'a> {
        Aborted { to_come: aborted.iter().peekable(), open: HashSet::new() }
    }

    /// Whether a batch, the next one, belongs to one.
    fn passes(&mut self, header: &BatchHeader, batch: &[u8]) -> bool {
        let last = header.last_offset().get();
        while let Some(aborted) = self.to_come.next_if(|aborted| aborted.first_offset <= last) {
            self.open.insert(aborted.producer_id);
        }
        let producer = header.producer_id().0;
        if header.is_control() {
            let is_abort = EndMarker::read(batch).is_some_and(|it| it.result == TransactionResult::Abort);
            if is_abort {
                self.open.remove(&producer);
            }
        }
        header.is_transactional() && !header.is_control() && self.open.contains(&producer)
    }
}

/// Text in JSON.
pub(super) fn write_text(out: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(out, text).expect("memory takes everything");
}

/// Bytes as base64 in JSON.
fn write_base64(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    let at = out.len();
    out.resize(at + bytes.len().div_ceil(3) * 4, 0);
    let written = BASE64.encode_slice(bytes, &mut out[at..]).expect("there is room for it");
    out.truncate(at + written);
    out.push(b'"');
}

/// Whether the bytes are a JSON value.
fn as_json(bytes: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(bytes).ok()?;
    serde_json::from_str::<&RawValue>(text).ok().map(|_| text.trim())
}

/// What a key or a value is.
#[derive(Clone, Copy)]
enum Part {
    Key,
    Value,
}

impl Record<'_> {
    /// As an element of the answers of the API's second version.
    ///
    /// # Errors
    /// 406 where a key or a value is not of the form; and where a schema is not at hand.
    pub(super) fn write_v2(
        &self,
        out: &mut Vec<u8>,
        topic: &str,
        form: Form,
        schemas: &AtHand,
    ) -> Result<(), Unwritten> {
        out.extend_from_slice(b"{\"topic\":");
        write_text(out, topic);
        out.extend_from_slice(b",\"key\":");
        self.write_part(out, topic, Part::Key, form, schemas)?;
        out.extend_from_slice(b",\"value\":");
        self.write_part(out, topic, Part::Value, form, schemas)?;
        let (partition, offset, timestamp) = (self.partition, self.offset, self.timestamp);
        let _ = write!(out, ",\"partition\":{partition},\"offset\":{offset},\"timestamp\":{timestamp}");
        self.write_headers(out).map_err(Unwritten::Problem)
    }

    fn write_part(
        &self,
        out: &mut Vec<u8>,
        topic: &str,
        part: Part,
        form: Form,
        schemas: &AtHand,
    ) -> Result<(), Unwritten> {
        let bytes = match part {
            Part::Key => self.key,
            Part::Value => self.value,
        };
        let refused = |why: &str| {
            let (partition, offset) = (self.partition, self.offset);
            let what = if matches!(part, Part::Key) { "key" } else { "value" };
            let words = format!(
                "topic {topic}, partition {partition}: the {what} at offset {offset} {why}; read it as binary, or \
                 go on behind it"
            );
            Unwritten::Problem(Problem::new(StatusCode::NOT_ACCEPTABLE, Some(1), words))
        };
        let not_of_form = || refused(&format!("is no {}", form.word()));
        match (bytes, form) {
            (None, _) => out.extend_from_slice(b"null"),
            (Some(bytes), Form::Binary) => write_base64(out, bytes),
            (Some(bytes), Form::Json) => {
                out.extend_from_slice(as_json(bytes).ok_or_else(not_of_form)?.as_bytes());
            }
            (Some(bytes), Form::Text) => {
                write_text(out, std::str::from_utf8(bytes).map_err(|_| not_of_form())?);
            }
            (Some(bytes), Form::Avro | Form::JsonSchema | Form::Protobuf) => {
                let (id, encoded) = taken_apart(bytes).ok_or_else(|| refused("goes by no schema"))?;
                let values = schemas.get(&id).ok_or(Unwritten::Needs(id))?;
                let values = values.as_ref().map_err(|why| refused(&format!("cannot be shown: {why}")))?;
                if form.schema_type() != Some(values.schema_type()) {
                    return Err(refused(&format!("goes by a schema of {}", values.schema_type())));
                }
                let decoded = values.decode(encoded, out, DECODED_BYTES_MAX);
                decoded.map_err(|why| refused(&format!("is not what schema {id} describes: {why}")))?;
            }
        }
        Ok(())
    }

    /// As an element of our own answers, with a word for what each of key and value is: JSON, else text, else
    /// base64; or what `form` says, where that is possible.
    ///
    /// # Errors
    /// For headers that cannot be read.
    pub(super) fn write_own(&self, out: &mut Vec<u8>, form: Option<Form>) -> Result<(), Problem> {
        let (partition, offset, timestamp) = (self.partition, self.offset, self.timestamp);
        let _ = write!(out, "{{\"partition\":{partition},\"offset\":{offset},\"timestamp\":{timestamp}");
        for (name, bytes) in [("key", self.key), ("value", self.value)] {
            let _ = write!(out, ",\"{name}\":");
            let word = write_as_it_is(out, bytes, form);
            let _ = write!(out, ",\"{name}_format\":\"{}\"", word.word());
        }
        self.write_headers(out)
    }

    /// The same for people: what goes by a schema is decoded by it, as far as that is possible, up to so many
    /// bytes of a key or a value.
    ///
    /// # Errors
    /// Where a schema is not at hand, and for headers that cannot be read.
    pub(super) fn write_decoded(
        &self,
        out: &mut Vec<u8>,
        schemas: &AtHand,
        bytes_max: usize,
    ) -> Result<(), Unwritten> {
        let (partition, offset, timestamp) = (self.partition, self.offset, self.timestamp);
        let _ = write!(out, "{{\"partition\":{partition},\"offset\":{offset},\"timestamp\":{timestamp}");
        for (name, bytes) in [("key", self.key), ("value", self.value)] {
            let decoded = bytes.map(|bytes| decode(bytes, schemas, bytes_max)).transpose();
            let decoded = decoded.map_err(Unwritten::Needs)?.flatten();
            let _ = write!(out, ",\"{name}\":");
            let word = match decoded.and_then(Result::ok) {
                Some(Decoded { id, schema_type, json }) => {
                    out.extend(one_line(&json));
                    let _ = write!(out, ",\"{name}_schema_id\":{id}");
                    Form::by_schemas_of(schema_type)
                }
                None => write_as_it_is(out, bytes, None),
            };
            let _ = write!(out, ",\"{name}_format\":\"{}\"", word.word());
        }
        self.write_headers(out).map_err(Unwritten::Problem)
    }

    /// The headers, and the end of the record.
    fn write_headers(&self, out: &mut Vec<u8>) -> Result<(), Problem> {
        out.extend_from_slice(b",\"headers\":[");
        for (at, header) in self.headers.enumerate() {
            let (name, value) = header.map_err(|why| {
                let (partition, offset) = (self.partition, self.offset);
                let words = format!("partition {partition}, the headers at offset {offset}: {why}");
                Problem::new(StatusCode::INTERNAL_SERVER_ERROR, Some(2), words)
            })?;
            if at > 0 {
                out.push(b',');
            }
            out.extend_from_slice(b"{\"key\":");
            write_text(out, &String::from_utf8_lossy(name));
            out.extend_from_slice(b",\"value\":");
            match value {
                None => out.extend_from_slice(b"null"),
                Some(value) => write_base64(out, value),
            }
            out.push(b'}');
        }
        out.extend_from_slice(b"]}");
        Ok(())
    }
}

/// A key or a value that went by a schema.
pub(super) struct Decoded {
    /// The schema.
    pub(super) id: i32,
    /// Its type.
    pub(super) schema_type: SchemaType,
    /// The JSON of it.
    pub(super) json: Vec<u8>,
}

/// What a key or a value says by the schema that it names, in no more than so many bytes; `None` where it
/// names none. The inner error says why it cannot be shown: what is no serializer's may begin like it.
///
/// # Errors
/// The id of the schema, where it is not at hand.
pub(super) fn decode(
    bytes: &[u8],
    schemas: &AtHand,
    bytes_max: usize,
) -> Result<Option<Result<Decoded, String>>, i32> {
    let Some((id, encoded)) = taken_apart(bytes) else { return Ok(None) };
    let values = match schemas.get(&id).ok_or(id)? {
        Ok(values) => values,
        Err(why) => return Ok(Some(Err(why.clone()))),
    };
    let mut json = Vec::new();
    let decoded = values.decode(encoded, &mut json, bytes_max);
    let schema_type = values.schema_type();
    let decoded = decoded.map(|()| Decoded { id, schema_type, json });
    Ok(Some(decoded.map_err(|why| format!("it is not what schema {id} describes: {why}"))))
}

/// JSON in one line, whatever its writer liked: an event ends at the end of a line.
fn one_line(json: &[u8]) -> impl Iterator<Item = u8> {
    json.iter().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte })
}

fn write_as_it_is(out: &mut Vec<u8>, bytes: Option<&[u8]>, form: Option<Form>) -> Form {
    let Some(bytes) = bytes else {
        out.extend_from_slice(b"null");
        return form.unwrap_or(Form::Json);
    };
    let json = || as_json(bytes).filter(|_| form.is_none_or(|form| form == Form::Json));
    let text = || std::str::from_utf8(bytes).ok().filter(|_| form != Some(Form::Binary));
    if let Some(json) = json() {
        out.extend(one_line(json.as_bytes()));
        return Form::Json;
    }
    match text() {
        Some(text) => {
            write_text(out, text);
            Form::Text
        }
        None => {
            write_base64(out, bytes);
            Form::Binary
        }
    }
}

/// A value as the body of an answer.
pub(super) fn json<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).expect("memory takes everything, and the keys of maps are texts")
}

#[cfg(test)]
mod tests {
    use super::*;
    use strandline_engine::format::batch::stamp;
    use strandline_engine::format::builder::BatchBuilder;
    use strandline_engine::types::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence, Timestamp};

    fn batch(base: i64, producer: Option<i64>, values: &[&[u8]]) -> Vec<u8> {
        let mut builder = BatchBuilder::new(Codec::Lz4);
        if let Some(id) = producer {
            builder = builder.producer(ProducerId(id), ProducerEpoch(0), Sequence(0)).transactional(true);
        }
        for value in values {
            builder.push(Timestamp(7), Some(b"\xff"), Some(value), &[("h", Some(b"v")), ("n", None)]);
        }
        let mut batch = builder.build();
        stamp(&mut batch, Offset::new(base), LeaderEpoch(0));
        batch.to_vec()
    }

    fn offsets(bytes: &[u8], aborted: &[AbortedTransaction], mut position: i64) -> Vec<i64> {
        let mut found = Vec::new();
        let flow = walk(0, bytes, Some(aborted), &mut position, &mut |record| {
            found.push(record.offset);
            Ok(ControlFlow::Continue(()))
        });
        assert_eq!(flow, Ok(ControlFlow::Continue(())));
        found
    }

    #[test]
    fn d10_records_of_aborted_transactions_are_passed_over_and_all_others_are_not() {
        // Version and kind; version and the coordinator's epoch.
        let marker = |at: i64, id: i64, kind: u8| {
            let builder = BatchBuilder::new(Codec::None);
            let builder = builder.producer(ProducerId(id), ProducerEpoch(0), Sequence::NONE);
            let mut builder = builder.transactional(true).control(true);
            builder.push(Timestamp(9), Some(&[0, 0, 0, kind]), Some(&[0; 6]), &[]);
            let mut batch = builder.build();
            stamp(&mut batch, Offset::new(at), LeaderEpoch(0));
            batch.to_vec()
        };
        let (abort, commit) = (0, 1);
        let log = [
            batch(0, Some(1), &[b"a", b"b"]),
            batch(2, Some(2), &[b"c"]),
            batch(3, None, &[b"d"]),
            marker(4, 1, abort),
            batch(5, Some(1), &[b"e"]),
            marker(6, 1, commit),
            marker(7, 2, commit),
        ]
        .concat();
        let aborted = [AbortedTransaction { producer_id: 1, first_offset: 0 }];
        assert_eq!(offsets(&log, &aborted, 0), [2, 3, 5]);
        assert_eq!(offsets(&log, &aborted, 3), [3, 5]);
        assert_eq!(offsets(&log, &[], 1), [1, 2, 3, 5]);
    }

    #[test]
    fn a_walk_that_is_broken_off_goes_on_where_it_was() {
        let log = [batch(0, None, &[b"a", b"b"]), batch(5, None, &[b"c"])].concat();
        let (mut position, mut seen) = (0, Vec::new());
        for _ in 0..3 {
            let mut is_first = true;
            let flow = walk(0, &log, None, &mut position, &mut |record| {
                if !std::mem::take(&mut is_first) {
                    return Ok(ControlFlow::Break(()));
                }
                seen.push(record.offset);
                Ok(ControlFlow::Continue(()))
            });
            assert!(flow.is_ok());
        }
        assert_eq!((seen, position), (vec![0, 1, 5], 6));
    }

    #[test]
    fn a_record_is_written_in_the_form_that_is_asked_for_or_the_one_that_it_has() {
        let values: [&[u8]; 3] = [b"{\"a\":\n1}", b"plain", b"\xfe"];
        let log = batch(0, None, &values);
        let (mut own, mut binary, mut position) = (Vec::new(), Vec::new(), 0);
        let flow = walk(3, &log, None, &mut position, &mut |record| {
            let mut out = Vec::new();
            record.write_own(&mut out, None)?;
            own.push(String::from_utf8(out).unwrap());
            let mut out = Vec::new();
            record.write_v2(&mut out, "t", Form::Binary, &AtHand::new()).unwrap();
            binary.push(String::from_utf8(out).unwrap());
            for form in [Form::Json, Form::Text, Form::Avro] {
                let refused = record.write_v2(&mut Vec::new(), "t", form, &AtHand::new()).unwrap_err();
                assert!(
                    matches!(&refused, Unwritten::Problem(problem) if problem.code == 40601),
                    "the key is neither: {refused:?}"
                );
            }
            Ok(ControlFlow::Continue(()))
        });
        assert!(flow.is_ok());
        let headers = "\"headers\":[{\"key\":\"h\",\"value\":\"dg==\"},{\"key\":\"n\",\"value\":null}]}";
        let expected = [("{\"a\": 1}", "json"), ("\"plain\"", "text"), ("\"/g==\"", "binary")];
        for (at, (value, word)) in expected.into_iter().enumerate() {
            let start =
                format!("{{\"partition\":3,\"offset\":{at},\"timestamp\":7,\"key\":\"/w==\",\"key_format\":");
            let rest = format!("\"binary\",\"value\":{value},\"value_format\":\"{word}\",{headers}");
            assert_eq!(own[at], format!("{start}{rest}"));
            assert!(serde_json::from_str::<serde_json::Value>(&own[at]).is_ok());
            assert!(serde_json::from_str::<serde_json::Value>(&binary[at]).is_ok());
        }
    }

    #[test]
    fn what_is_damaged_is_told_and_not_given() {
        let mut log = batch(0, None, &[b"a"]);
        *log.last_mut().unwrap() ^= 1;
        let flow = walk(0, &log, None, &mut 0, &mut |_| panic!("nothing is given"));
        assert_eq!(flow.unwrap_err().code, 50002);
    }
}
