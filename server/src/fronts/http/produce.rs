//! Records on their way into topics: from JSON to batches, to the partitions that they belong to, and what
//! became of each.
//!
//! ```text
//! body > records (bounded), by schemas where the form has some
//!      > partition: given, by the key as in Kafka's clients, or one for all without keys
//!      > batches, one a partition at a time > Produce with acks=all > the offset of each record, or why not
//! ```
//! An answer that gives an offset gives it when the record is durable, as any acknowledgement of this broker.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::BytesMut;
use serde::de::{DeserializeSeed, Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use strandline_client::partition_of_key;
use strandline_engine::format::builder::BatchBuilder;
use strandline_engine::format::compression::Codec;
use strandline_engine::types::Timestamp;
use strandline_protocol::messages::{
    MetadataResponseTopic, PartitionProduceData, ProduceRequest, TopicProduceData,
};
use strandline_protocol::wire::ErrorCode;
use strandline_schemas::limits::Budget;
use strandline_schemas::values::Values;

use super::ask::Asker;
use super::problem::Problem;
use super::records::Form;
use crate::security::random;

/// The version of Produce that is asked: the last one that names topics.
const PRODUCE: i16 = 12;

/// For all replicas; here, for the disk.
const ALL: i16 = -1;

/// Records of a body.
pub(super) const RECORDS_MAX: usize = 50_000;

/// Headers of a record.
const HEADERS_MAX: usize = 1_000;

/// A batch is full with so many bytes, or one record: below the default of `max.message.bytes`.
const BATCH_BYTES: usize = 512 << 10;

/// A record to be appended.
#[derive(Debug)]
pub(super) struct New<'a> {
    pub(super) partition: Option<i32>,
    pub(super) timestamp: Option<i64>,
    pub(super) key: Option<Cow<'a, [u8]>>,
    pub(super) value: Option<Cow<'a, [u8]>>,
    pub(super) headers: Vec<(Cow<'a, str>, Option<Vec<u8>>)>,
}

impl New<'_> {
    fn into_owned(self) -> New<'static> {
        let bytes = |part: Option<Cow<'_, [u8]>>| part.map(|bytes| Cow::Owned(bytes.into_owned()));
        let headers = self.headers.into_iter();
        New {
            partition: self.partition,
            timestamp: self.timestamp,
            key: bytes(self.key),
            value: bytes(self.value),
            headers: headers.map(|(name, value)| (Cow::Owned(name.into_owned()), value)).collect(),
        }
    }
}

/// What became of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Became {
    pub(super) partition: i32,
    /// Its offset, or the broker's code and words.
    pub(super) offset: Result<i64, (ErrorCode, String)>,
    /// Its timestamp, as far as it is known.
    pub(super) timestamp: i64,
}

/// A body of records as it is written.
#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow, deserialize_with = "records")]
    records: Vec<Written<'a>>,
}

/// The schemas that a body names: a text, or the id of one that is registered.
#[derive(Debug, Default, Deserialize, PartialEq, Eq)]
pub(super) struct Named {
    #[serde(default)]
    pub(super) key_schema: Option<String>,
    #[serde(default)]
    pub(super) key_schema_id: Option<i32>,
    #[serde(default)]
    pub(super) value_schema: Option<String>,
    #[serde(default)]
    pub(super) value_schema_id: Option<i32>,
}

/// A schema that keys or values are written by.
#[derive(Clone, Debug)]
pub(super) struct BySchema {
    pub(super) id: i32,
    pub(super) values: Arc<Values>,
}

/// One of them.
#[derive(Deserialize)]
struct Written<'a> {
    #[serde(borrow, default)]
    key: Option<&'a RawValue>,
    #[serde(borrow, default)]
    value: Option<&'a RawValue>,
    #[serde(default)]
    partition: Option<i32>,
    #[serde(default)]
    timestamp: Option<i64>,
    #[serde(borrow, default, deserialize_with = "headers")]
    headers: Vec<WrittenHeader<'a>>,
}

#[derive(Deserialize)]
struct WrittenHeader<'a> {
    #[serde(borrow)]
    key: Cow<'a, str>,
    #[serde(borrow, default)]
    value: Option<Cow<'a, str>>,
}

fn records<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Written<'de>>, D::Error> {
    at_most(from, RECORDS_MAX)
}

fn headers<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<WrittenHeader<'de>>, D::Error> {
    at_most(from, HEADERS_MAX)
}

/// An array of no more than so many elements: a short text may be many of them.
pub(super) fn at_most<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    from: D,
    most: usize,
) -> Result<Vec<T>, D::Error> {
    struct AtMost<T>(usize, PhantomData<T>);
    impl<'de, T: Deserialize<'de>> Visitor<'de> for AtMost<T> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "an array of at most {} elements", self.0)
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Vec<T>, A::Error> {
            let mut found = Vec::new();
            while let Some(next) = from.next_element()? {
                if found.len() == self.0 {
                    return Err(A::Error::invalid_length(found.len() + 1, &self));
                }
                found.push(next);
            }
            Ok(found)
        }
    }
    impl<'de, T: Deserialize<'de>> DeserializeSeed<'de> for AtMost<T> {
        type Value = Vec<T>;

        fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Vec<T>, D::Error> {
            from.deserialize_seq(self)
        }
    }
    AtMost(most, PhantomData).deserialize(from)
}

/// The records of a body of the second API.
///
/// # Errors
/// 400 and 422, with the record that is wrong.
pub(super) fn read(body: &[u8], form: Form) -> Result<Vec<New<'_>>, Problem> {
    each(body, |what, written| bytes(what, written, form))
}

fn each<'a>(
    body: &'a [u8],
    mut part: impl FnMut(&'static str, &'a RawValue) -> Result<Cow<'a, [u8]>, Wrong>,
) -> Result<Vec<New<'a>>, Problem> {
    let body: Body<'a> = serde_json::from_slice(body).map_err(|why| Problem::invalid(1, why.to_string()))?;
    if body.records.is_empty() {
        return Err(Problem::invalid(1, "records is empty"));
    }
    let written = body.records.into_iter().enumerate();
    written.map(|(at, written)| written.read(&mut part).map_err(|why| why.of(at))).collect()
}

/// The schemas that a body of the second API names.
///
/// # Errors
/// 422.
pub(super) fn named(body: &[u8]) -> Result<Named, Problem> {
    serde_json::from_slice(body).map_err(|why| Problem::invalid(1, why.to_string()))
}

/// The records of a body of the second API whose keys and values go by schemas.
///
/// # Errors
/// 422, with the record that is wrong.
pub(super) fn read_by_schema(
    body: &[u8],
    key: Option<&BySchema>,
    value: Option<&BySchema>,
) -> Result<Vec<New<'static>>, Problem> {
    let mut budget = Budget::for_values();
    let records = each(body, |what, json| {
        let (schema, digits) = if what == "key" { (key, 1) } else { (value, 2) };
        let Some(BySchema { id, values }) = schema else {
            let why = format!("neither {what}_schema nor {what}_schema_id is there");
            return Err(Wrong { what, why: why.into(), digits });
        };
        let bytes = values.encode(*id, json.get().as_bytes(), &mut budget);
        let wrong = |why| Wrong { what, why: format!("by schema {id}: {why}").into(), digits: 3 };
        bytes.map(Cow::Owned).map_err(wrong)
    })?;
    Ok(records.into_iter().map(New::into_owned).collect())
}

/// What is wrong with a record.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    what: &'static str,
    why: Cow<'static, str>,
    /// What follows the status in the code.
    digits: u32,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.why)
    }
}

impl Wrong {
    fn new(what: &'static str, why: &'static str) -> Wrong {
        Wrong { what, why: Cow::Borrowed(why), digits: 1 }
    }

    /// Of a record of a body.
    fn of(&self, at: usize) -> Problem {
        Problem::invalid(self.digits, format!("records[{at}].{self}"))
    }
}

impl<'a> Written<'a> {
    fn read(
        self,
        part: &mut impl FnMut(&'static str, &'a RawValue) -> Result<Cow<'a, [u8]>, Wrong>,
    ) -> Result<New<'a>, Wrong> {
        let headers = self.headers.into_iter().map(|header| {
            let wrong = |_| Wrong::new("headers", "a value is base64");
            let value = header.value.map(|value| BASE64.decode(&*value).map_err(wrong)).transpose()?;
            Ok((header.key, value))
        });
        check_time(self.timestamp)?;
        Ok(New {
            partition: self.partition,
            timestamp: self.timestamp,
            key: self.key.map(|key| part("key", key)).transpose()?,
            value: self.value.map(|value| part("value", value)).transpose()?,
            headers: headers.collect::<Result<_, _>>()?,
        })
    }
}

/// Holds a timestamp against what it may be.
///
/// # Errors
/// [`Wrong`].
pub(super) fn check_time(timestamp: Option<i64>) -> Result<(), Wrong> {
    match timestamp {
        Some(..=-1) => Err(Wrong::new("timestamp", "it is milliseconds since 1970")),
        _ => Ok(()),
    }
}

/// A key or a value of a form.
///
/// # Errors
/// [`Wrong`].
pub(super) fn bytes<'a>(
    what: &'static str,
    written: &'a RawValue,
    form: Form,
) -> Result<Cow<'a, [u8]>, Wrong> {
    let text = || -> Result<Cow<'a, str>, Wrong> {
        #[derive(Deserialize)]
        struct Text<'a>(#[serde(borrow)] Cow<'a, str>);
        let text: Result<Text<'a>, _> = serde_json::from_str(written.get());
        text.map(|Text(text)| text).map_err(|_| Wrong::new(what, "it is no string"))
    };
    match form {
        Form::Json => Ok(Cow::Borrowed(written.get().as_bytes())),
        Form::Text => Ok(match text()? {
            Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
        }),
        Form::Binary => {
            let bytes = BASE64.decode(text()?.as_bytes());
            bytes.map(Cow::Owned).map_err(|_| Wrong::new(what, "it is no base64"))
        }
        Form::Avro | Form::JsonSchema | Form::Protobuf => Err(Wrong::new(what, "it goes by no schema")),
    }
}

/// Appends records to a topic; what became of each stands in their order. `only` is the partition of all.
///
/// # Errors
/// [`Problem`] where nothing was appended.
pub(super) async fn append(
    asker: &Asker,
    topic: &MetadataResponseTopic,
    only: Option<i32>,
    records: &[New<'_>],
) -> Result<Vec<Became>, Problem> {
    let name = topic.name.as_deref().unwrap_or_default();
    let count = topic.partitions.len() as i32;
    let without_key = i32::from_be_bytes(random()).rem_euclid(count.max(1));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64);
    let mut by_partition: BTreeMap<i32, Vec<usize>> = BTreeMap::new();
    let mut became = Vec::with_capacity(records.len());
    for (at, record) in records.iter().enumerate() {
        let partition = match (only.or(record.partition), &record.key) {
            (Some(partition), _) => partition,
            (None, Some(key)) => partition_of_key(key, count.max(1)),
            (None, None) => without_key,
        };
        let timestamp = record.timestamp.unwrap_or(now);
        let offset = match (0..count).contains(&partition) {
            true => {
                by_partition.entry(partition).or_default().push(at);
                Err((ErrorCode::NetworkException, String::new()))
            }
            false => {
                let words = format!("topic {name} has no partition {partition}");
                Err((ErrorCode::UnknownTopicOrPartition, words))
            }
        };
        became.push(Became { partition, offset, timestamp });
    }
    let mut is_first = true;
    while !by_partition.is_empty() {
        let mut sent = Vec::new();
        let mut partition_data = Vec::new();
        by_partition.retain(|partition, left| {
            let (batch, count) = batch(records, left, now);
            let taken: Vec<usize> = left.drain(..count).collect();
            partition_data.push(PartitionProduceData { index: *partition, records: Some(batch) });
            sent.push((*partition, taken));
            !left.is_empty()
        });
        let data = TopicProduceData { name: name.to_owned(), partition_data, ..Default::default() };
        let request =
            ProduceRequest { acks: ALL, timeout_ms: 30_000, topic_data: vec![data], ..Default::default() };
        let answer = match asker.ask(PRODUCE, &request).await {
            Ok(answer) => answer,
            Err(problem) if is_first => return Err(problem),
            // What went before has its offsets; the rest has the reason.
            Err(problem) => {
                let all = sent.iter().flat_map(|(_, taken)| taken).chain(by_partition.values().flatten());
                for at in all {
                    became[*at].offset = Err((ErrorCode::RequestTimedOut, problem.message.clone()));
                }
                return Ok(became);
            }
        };
        let answers = answer.responses.iter().flat_map(|topic| &topic.partition_responses);
        for answer in answers {
            let code = ErrorCode::try_from(answer.error_code).unwrap_or(ErrorCode::UnknownServerError);
            if code == ErrorCode::TopicAuthorizationFailed {
                return Err(Problem::of_kafka(code, &format!("topic {name}")));
            }
            let taken = sent.iter().find(|(partition, _)| *partition == answer.index);
            for (nth, at) in taken.map(|(_, taken)| taken.as_slice()).unwrap_or_default().iter().enumerate() {
                let became = &mut became[*at];
                if answer.log_append_time_ms >= 0 {
                    became.timestamp = answer.log_append_time_ms;
                }
                became.offset = match code {
                    ErrorCode::None => Ok(answer.base_offset + nth as i64),
                    code => {
                        let own = answer.record_errors.iter().find(|it| it.batch_index == nth as i32);
                        let words = own.and_then(|it| it.batch_index_error_message.clone());
                        let words = words.or_else(|| answer.error_message.clone());
                        Err((code, words.unwrap_or_else(|| code.to_string())))
                    }
                };
            }
        }
        is_first = false;
    }
    Ok(became)
}

/// A batch of the first of these records, and how many it has.
fn batch(records: &[New<'_>], of: &[usize], now: i64) -> (BytesMut, usize) {
    let mut builder = BatchBuilder::new(Codec::None);
    for at in of {
        let record = &records[*at];
        let bytes = record.key.as_ref().map_or(0, |key| key.len())
            + record.value.as_ref().map_or(0, |value| value.len());
        if !builder.is_empty() && builder.bytes_estimate() + bytes > BATCH_BYTES {
            break;
        }
        let headers: Vec<(&str, Option<&[u8]>)> =
            record.headers.iter().map(|(name, value)| (&**name, value.as_deref())).collect();
        let timestamp = Timestamp(record.timestamp.unwrap_or(now));
        builder.push(timestamp, record.key.as_deref(), record.value.as_deref(), &headers);
    }
    let count = builder.len();
    (builder.build(), count)
}

/// Whether the same may be tried again.
pub(super) fn is_retriable(code: ErrorCode) -> bool {
    use ErrorCode as E;
    matches!(
        code,
        E::RequestTimedOut
            | E::NetworkException
            | E::KafkaStorageError
            | E::NotLeaderOrFollower
            | E::LeaderNotAvailable
            | E::NotEnoughReplicas
            | E::NotEnoughReplicasAfterAppend
            | E::ThrottlingQuotaExceeded
    )
}

/// What a stranger sends as a body of records: read in each form, and what is read has no more in it.
#[cfg(any(test, feature = "testing"))]
pub(super) fn check_bodies(body: &[u8]) {
    for form in Form::ALL {
        let Ok(records) = read(body, form) else { continue };
        assert!((1..=RECORDS_MAX).contains(&records.len()));
        let part = |part: &Option<Cow<'_, [u8]>>| part.as_ref().map_or(0, |bytes| bytes.len());
        let bytes: usize = records.iter().map(|record| part(&record.key) + part(&record.value)).sum();
        assert!(bytes <= body.len(), "{bytes} of {}", body.len());
        let of: Vec<usize> = (0..records.len()).collect();
        let mut left = &of[..];
        while !left.is_empty() {
            let (batch, count) = batch(&records, left, 0);
            assert!(count > 0 && !batch.is_empty());
            left = &left[count..];
        }
    }
    let _ = named(body);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(form: Form, body: &str) -> Result<Vec<u8>, String> {
        let mut records = read(body.as_bytes(), form).map_err(|problem| problem.message)?;
        Ok(records.remove(0).value.map(Cow::into_owned).unwrap_or_default())
    }

    #[test]
    fn a_value_is_what_its_form_says() {
        let body = "{\"records\":[{\"value\":\"aGk=\"}]}";
        assert_eq!(value(Form::Binary, body).unwrap(), b"hi");
        assert_eq!(value(Form::Text, body).unwrap(), b"aGk=");
        assert_eq!(value(Form::Json, body).unwrap(), b"\"aGk=\"");
        assert_eq!(
            value(Form::Json, "{\"records\":[{\"value\":{\"a\": [1.50]}}]}").unwrap(),
            b"{\"a\": [1.50]}"
        );
        assert_eq!(
            value(Form::Text, "{\"records\":[{\"value\":\"\\u00e9\\n\"}]}").unwrap(),
            "\u{e9}\n".as_bytes()
        );
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        let told = |form, body| value(form, body).unwrap_err();
        assert_eq!(
            told(Form::Binary, "{\"records\":[{\"value\":\"a\"}]}"),
            "records[0].value: it is no base64"
        );
        assert_eq!(told(Form::Text, "{\"records\":[{},{\"key\":1}]}"), "records[1].key: it is no string");
        assert_eq!(told(Form::Json, "{\"records\":[]}"), "records is empty");
        let time = "{\"records\":[{\"timestamp\":-5}]}";
        assert_eq!(told(Form::Json, time), "records[0].timestamp: it is milliseconds since 1970");
        assert!(told(Form::Json, "{\"records\":[{\"value\":1}").contains("EOF"));
        assert!(
            told(Form::Json, "[]").contains("invalid type")
                || told(Form::Json, "[]").contains("invalid length")
        );
    }

    #[test]
    fn d11_a_short_text_is_not_many_records() {
        let many = |count: usize| format!("{{\"records\":[{}]}}", vec!["{}"; count].join(","));
        assert_eq!(read(many(RECORDS_MAX).as_bytes(), Form::Json).unwrap().len(), RECORDS_MAX);
        let told = read(many(RECORDS_MAX + 1).as_bytes(), Form::Json).unwrap_err();
        assert!(told.message.contains("at most 50000 elements"), "{}", told.message);
    }

    #[test]
    fn batches_are_full_and_no_fuller_and_a_large_record_has_its_own() {
        let new = |bytes: usize| New {
            partition: None,
            timestamp: None,
            key: None,
            value: Some(Cow::Owned(vec![0; bytes])),
            headers: Vec::new(),
        };
        let records = [new(200 << 10), new(200 << 10), new(200 << 10), new(900 << 10)];
        let of: Vec<usize> = (0..4).collect();
        assert_eq!(
            [batch(&records, &of, 0).1, batch(&records, &of[2..], 0).1, batch(&records, &of[3..], 0).1],
            [2, 1, 1]
        );
    }
}
