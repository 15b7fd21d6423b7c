//! Consumer instances: made, subscribed or assigned, read, committed, sought, deleted.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use strandline_engine::Isolation;

use super::topics::answer;
use crate::fronts::http::ask::{Asker, InPath, Queried, Whole, held};
use crate::fronts::http::consumers::{Consumers, Partition, Reset, Settings, Subscription};
use crate::fronts::http::faces::call::{Call, offset, schema};
use crate::fronts::http::media::{self, JSON, V2, V2_RECORDS};
use crate::fronts::http::problem::Problem;
use crate::fronts::http::produce::at_most;
use crate::fronts::http::records::Form;
use crate::fronts::http::schemas::Registry;
use crate::fronts::http::topics::Moment;
use crate::security::random;

/// How long a read waits where nothing is said: as in Confluent's proxy.
const WAIT: Duration = Duration::from_secs(1);

/// How long it may.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// Bytes of records that a read fetches, where nothing is said, and at most.
const BYTES: usize = 1 << 20;
const BYTES_MAX: usize = 8 << 20;

/// Topics, partitions or offsets of a body.
const LIST_MAX: usize = 10_000;

/// Longest name of a group, an instance or a topic, and longest pattern.
const NAME_BYTES_MAX: usize = 249;

const TYPES: [&str; 2] = [V2, JSON];

pub(super) fn calls() -> Vec<Call> {
    const INSTANCE: &str = "/consumers/{group_name}/instances/{instance_name}";
    const SUBSCRIPTION: &str = "/consumers/{group_name}/instances/{instance_name}/subscription";
    const ASSIGNMENTS: &str = "/consumers/{group_name}/instances/{instance_name}/assignments";
    const RECORDS: &str = "/consumers/{group_name}/instances/{instance_name}/records";
    const OFFSETS: &str = "/consumers/{group_name}/instances/{instance_name}/offsets";
    const POSITIONS: &str = "/consumers/{group_name}/instances/{instance_name}/positions";
    const BEGINNING: &str = "/consumers/{group_name}/instances/{instance_name}/positions/beginning";
    const END: &str = "/consumers/{group_name}/instances/{instance_name}/positions/end";
    let small = || json!({"type": "integer", "format": "int32", "minimum": 0});
    vec![
        Call::post("/consumers/{group_name}", "Makes a consumer instance", create)
            .may_take(&TYPES, schema("NewInstance"))
            .gives(200, "It is there", &TYPES, schema("Instance")),
        Call::delete(INSTANCE, "Ends a consumer instance", delete).gives_nothing(204, "It has ended"),
        Call::post(SUBSCRIPTION, "Subscribes to topics", subscribe)
            .takes(&TYPES, schema("Subscription"))
            .gives_nothing(204, "It is subscribed"),
        Call::get(SUBSCRIPTION, "The topics that are subscribed to", subscription).gives(
            200,
            "Topics",
            &TYPES,
            schema("Subscribed"),
        ),
        Call::delete(SUBSCRIPTION, "Unsubscribes", unsubscribe)
            .gives_nothing(204, "It is subscribed to nothing"),
        Call::post(ASSIGNMENTS, "Assigns partitions", assign)
            .takes(&TYPES, schema("Partitions"))
            .gives_nothing(204, "They are assigned"),
        Call::get(ASSIGNMENTS, "The partitions that are assigned", assignments).gives(
            200,
            "Partitions",
            &TYPES,
            schema("Partitions"),
        ),
        Call::get(RECORDS, "Records; the first call waits for the assignment", records)
            .query("timeout", small(), "How long to wait for records, in milliseconds")
            .query("max_bytes", small(), "Bytes of records to fetch at most")
            .gives(200, "Records", &[&V2_RECORDS[..], &[JSON]].concat(), schema("ConsumedRecords")),
        Call::post(
            OFFSETS,
            "Commits offsets: of the last records that are done, or, without a body, of all that was given",
            commit,
        )
        .may_take(&TYPES, schema("OffsetsToCommit"))
        .gives_nothing(204, "They are committed"),
        Call::get(OFFSETS, "The offsets that the group has committed", committed)
            .may_take(&TYPES, schema("Partitions"))
            .gives(200, "Offsets", &TYPES, schema("CommittedOffsets")),
        Call::post(POSITIONS, "Goes on at offsets", seek)
            .takes(&TYPES, schema("OffsetsToSeek"))
            .gives_nothing(204, "It goes on there"),
        Call::post(BEGINNING, "Goes on where partitions start", seek_to_beginning)
            .takes(&TYPES, schema("Partitions"))
            .gives_nothing(204, "It goes on there"),
        Call::post(END, "Goes on where partitions end", seek_to_end)
            .takes(&TYPES, schema("Partitions"))
            .gives_nothing(204, "It goes on there"),
    ]
}

pub(super) fn schemas() -> Value {
    let text = || json!({"type": "string"});
    let texts = || json!({"type": "array", "items": text()});
    let list = |name: &str, item: Value| json!({"type": "object", "required": [name], "properties": {name: {"type": "array", "items": item}}});
    let of_partition = |more: Value, required: Value| {
        let mut properties = json!({"topic": text(), "partition": {"type": "integer", "format": "int32"}});
        if let (Value::Object(all), Value::Object(more)) = (&mut properties, more) {
            all.extend(more);
        }
        json!({"type": "object", "required": required, "properties": properties})
    };
    let with_offset = || of_partition(json!({"offset": offset()}), json!(["topic", "partition", "offset"]));
    json!({
        "NewInstance": {
            "type": "object",
            "properties": {
                "name": text(),
                "format": {"type": "string", "enum": Form::ALL.map(Form::word)},
                "auto.offset.reset": {"type": "string", "enum": ["earliest", "latest", "none"]},
                "auto.commit.enable": {"oneOf": [{"type": "boolean"}, {"type": "string", "enum": ["true", "false"]}]},
                "fetch.min.bytes": {"oneOf": [{"type": "integer"}, text()]},
                "consumer.request.timeout.ms": {"oneOf": [{"type": "integer"}, text()]},
                "isolation.level": {"type": "string", "enum": ["read_uncommitted", "read_committed"]},
            },
        },
        "Instance": {
            "type": "object",
            "required": ["instance_id", "base_uri"],
            "properties": {"instance_id": text(), "base_uri": text()},
        },
        "Subscription": {
            "type": "object",
            "properties": {"topics": texts(), "topic_pattern": text()},
        },
        "Subscribed": {"type": "object", "required": ["topics"], "properties": {"topics": texts()}},
        "Partitions": list("partitions", of_partition(json!({}), json!(["topic", "partition"]))),
        "OffsetsToSeek": list("offsets", with_offset()),
        "OffsetsToCommit": list("offsets", with_offset()),
        "CommittedOffsets": list("offsets", of_partition(
            json!({"offset": offset(), "metadata": text()}),
            json!(["topic", "partition", "offset", "metadata"]),
        )),
        "ConsumedRecords": {
            "type": "array",
            "items": of_partition(
                json!({
                    "key": {}, "value": {}, "offset": offset(), "timestamp": offset(),
                    "headers": {"type": "array", "items": schema("RecordHeader")},
                }),
                json!(["topic", "key", "value", "partition", "offset"]),
            ),
        },
    })
}

type Named = (String, String);
type All = Extension<Arc<Consumers>>;

fn read<'a, T: Deserialize<'a>>(headers: &HeaderMap, body: &'a Whole) -> Result<T, Problem> {
    media::check_json(headers)?;
    serde_json::from_slice(&body.bytes).map_err(|why| Problem::invalid(1, why.to_string()))
}

fn check_name(what: &str, name: &str) -> Result<(), Problem> {
    match (1..=NAME_BYTES_MAX).contains(&name.len()) {
        true => Ok(()),
        false => Err(Problem::invalid(
            4,
            format!("{what} has {} bytes, and 1 to {NAME_BYTES_MAX} are allowed", name.len()),
        )),
    }
}

// ---- made and ended ---------------------------------------------------------------------------------------

async fn create(
    asker: Asker,
    Extension(all): All,
    InPath(group): InPath<String>,
    headers: HeaderMap,
    body: Whole,
) -> Result<Response, Problem> {
    let written: Map<String, Value> = match body.bytes.is_empty() {
        true => Map::new(),
        false => read(&headers, &body)?,
    };
    let name = match written.get("name").or_else(|| written.get("id")) {
        None | Some(Value::Null) => format!("rest-consumer-{:032x}", u128::from_be_bytes(random())),
        Some(Value::String(name)) => name.clone(),
        Some(_) => return Err(wrong("name", "a string")),
    };
    check_name("the group", &group)?;
    check_name("the name", &name)?;
    let settings = settings(&written)?;
    all.create(&asker, &group, &name, settings)?;
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
    let scheme = asker.shared.scheme();
    let base_uri = format!("{scheme}://{host}/consumers/{}/instances/{}", escaped(&group), escaped(&name));
    Ok(answer(&headers, &json!({"instance_id": name, "base_uri": base_uri})))
}

/// As it stands in a path.
fn escaped(name: &str) -> String {
    let mut out = String::new();
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(byte.into()),
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

fn wrong(name: &str, expected: &str) -> Problem {
    Problem::invalid(4, format!("Invalid consumer configuration: {name} is {expected}"))
}

/// The settings of an instance, in Confluent's names or Strimzi's, as texts or as what they are.
fn settings(written: &Map<String, Value>) -> Result<Settings, Problem> {
    let text = |name: &str| -> Result<Option<String>, Problem> {
        match written.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(Value::Bool(is)) => Ok(Some(is.to_string())),
            Some(Value::Number(number)) => Ok(Some(number.to_string())),
            Some(_) => Err(wrong(name, "a word or a number")),
        }
    };
    let number = |name: &str, otherwise: u64| -> Result<u64, Problem> {
        let text = text(name)?;
        text.map_or(Ok(otherwise), |text| text.parse().map_err(|_| wrong(name, "a whole number")))
    };
    let form = match text("format")?.as_deref() {
        None => Form::Binary,
        Some(word) => {
            let words = Form::ALL.map(Form::word).join(", ");
            Form::of_word(word).ok_or_else(|| wrong("format", &format!("one of {words}")))?
        }
    };
    let reset = match text("auto.offset.reset")?.as_deref() {
        None | Some("latest") => Reset::Latest,
        Some("earliest") => Reset::Earliest,
        Some("none") => Reset::None,
        Some(_) => return Err(wrong("auto.offset.reset", "earliest, latest or none")),
    };
    let enable = text("auto.commit.enable")?.map_or_else(|| text("enable.auto.commit"), |it| Ok(Some(it)))?;
    let auto_commit = match enable.as_deref() {
        None | Some("true") => true,
        Some("false") => false,
        Some(_) => return Err(wrong("auto.commit.enable", "true or false")),
    };
    let isolation = match text("isolation.level")?.as_deref() {
        None | Some("read_uncommitted") => Isolation::ReadUncommitted,
        Some("read_committed") => Isolation::ReadCommitted,
        Some(_) => return Err(wrong("isolation.level", "read_uncommitted or read_committed")),
    };
    let bytes_min = number("fetch.min.bytes", 1)?.min(BYTES as u64) as usize;
    let wait = number("consumer.request.timeout.ms", WAIT.as_millis() as u64)?;
    let wait = Duration::from_millis(wait).min(WAIT_MAX);
    Ok(Settings { form, reset, auto_commit, bytes_min, wait, isolation })
}

async fn delete(
    asker: Asker,
    Extension(all): All,
    InPath((group, name)): InPath<Named>,
) -> Result<StatusCode, Problem> {
    let instance = all.of(&asker, &group, &name)?;
    all.remove(&instance);
    instance.end(true).await;
    Ok(StatusCode::NO_CONTENT)
}

// ---- what is read -----------------------------------------------------------------------------------------

#[derive(Deserialize)]
struct Subscribing {
    #[serde(default, deserialize_with = "names")]
    topics: Option<Vec<String>>,
    topic_pattern: Option<String>,
}

fn names<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Vec<String>>, D::Error> {
    at_most(from, LIST_MAX).map(Some)
}

async fn subscribe(
    asker: Asker,
    Extension(all): All,
    InPath((group, name)): InPath<Named>,
    headers: HeaderMap,
    body: Whole,
) -> Result<StatusCode, Problem> {
    let instance = all.of(&asker, &group, &name)?;
    let written: Subscribing = read(&headers, &body)?;
    let to = match (written.topics, written.topic_pattern) {
        (Some(mut topics), None) if !topics.is_empty() => {
            topics.iter().try_for_each(|topic| check_name("a topic", topic))?;
            topics.sort_unstable();
            topics.dedup();
            Subscription::Topics(topics)
        }
        (None, Some(pattern)) => {
            check_name("the pattern", &pattern)?;
            Subscription::Pattern(pattern)
        }
        (Some(_), Some(_)) => {
            return Err(Problem::invalid(1, "either topics or topic_pattern, and not both"));
        }
        _ => return Err(Problem::invalid(1, "topics, or topic_pattern, is needed")),
    };
    instance.subscribe(to).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn subscription(
    asker: Asker,
    Extension(all): All,
    InPath((group, name)): InPath<Named>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let topics = all.of(&asker, &group, &name)?.topics();
    Ok(answer(&headers, &json!({"topics": topics})))
}

async fn unsubscribe(
    asker: Asker,
    Extension(all): All,
    InPath((group, name)): InPath<Named>,
) -> Result<StatusCode, Problem> {
    all.of(&asker, &group, &name)?.unsubscribe().await;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize, Serialize)]
struct OfTopic {
    topic: String,
    partition: i32,
}

#[derive(Deserialize)]
struct Partitions {
    #[serde(deserialize_with = "of_topics")]
    partitions: Vec<OfTopic>,
}

fn of_topics<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Vec<OfTopic>, D::Error> {
    at_most(from, LIST_MAX)
}

impl Partitions {
    fn read(headers: &HeaderMap, body: &Whole) -> Result<Vec<Partition>, Problem> {
        let Partitions { partitions } = read(headers, body)?;
        let mut all: Vec<Partition> = partitions.into_iter().map(|it| (it.topic, it.partition)).collect();
        all.sort_unstable();
        all.dedup();
        all.iter().try_for_each(|(topic, _)| check_name("a topic", topic))?;
        Ok(all)
    }
}

async fn assign(
    asker: Asker,
    Extension(all): All,
    InPath((group, name)): InPath<Named>,
    headers: HeaderMap,
    body: Whole,
) -> Result<StatusCode, Problem> {
    let instance = all.of(&asker, &group, &name)?;
    instance.assign(Partitions::read(&headers, &body)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn assignments(
    asker: Asker,
    Extension(all): All,
    InPath((group, name)): InPath<Named>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let partitions = all.of(&asker, &group, &name)?.partitions();
    let partitions: Vec<OfTopic> =
        partitions.into_iter().map(|(topic, partition)| OfTopic { topic, partition }).collect();
    Ok(answer(&headers, &json!({"partitions": partitions})))
}

#[derive(Deserialize)]
struct Reading {
    timeout: Option<u32>,
    max_bytes: Option<usize>,
}

async fn records(
    asker: Asker,
    Extension(all): All,
    Extension(registry): Extension<Arc<Registry>>,
    InPath((group, name)): InPath<Named>,
    Queried(reading): Queried<Reading>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let instance = all.of(&asker, &group, &name)?;
    let form = instance.settings.form;
    if let Some(asked) = media::accepted(&headers).and_then(media::form_of_v2).filter(|asked| *asked != form)
    {
        let words = format!(
            "the consumer was made for {}, and {} is accepted: Accept is {} or {JSON}",
            form.word(),
            asked.word(),
            V2_RECORDS[form as usize]
        );
        return Err(Problem::new(StatusCode::NOT_ACCEPTABLE, Some(1), words));
    }
    let wait = reading.timeout.map(|wait| Duration::from_millis(wait.into()).min(WAIT_MAX));
    let bytes_max = reading.max_bytes.unwrap_or(BYTES).clamp(1, BYTES_MAX);
    let (elements, room) = instance.records(&asker, &registry, wait, bytes_max).await?;
    let mut out = Vec::with_capacity(elements.len() + 2);
    out.push(b'[');
    out.extend_from_slice(&elements);
    out.push(b']');
    let out = room.map_or(Bytes::from_static(b"[]"), |room| held(out, room));
    let of_form = V2_RECORDS[form as usize];
    let content_type = match media::accepted(&headers) {
        Some(accept) if accept.contains(of_form) || !accept.contains(JSON) => of_form,
        Some(_) => JSON,
        None => of_form,
    };
    Ok((StatusCode::OK, [(header::CONTENT_TYPE, content_type)], out).into_response())
}

// ---- offsets ----------------------------------------------------------------------------------------------

#[derive(Deserialize)]
struct WithOffset {
    topic: String,
    partition: i32,
    offset: i64,
}

#[derive(Deserialize)]
struct Offsets {
    #[serde(deserialize_with = "with_offsets")]
    offsets: Vec<WithOffset>,
}

fn with_offsets<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Vec<WithOffset>, D::Error> {
    at_most(from, LIST_MAX)
}

impl Offsets {
    fn read(headers: &HeaderMap, body: &Whole) -> Result<Vec<(Partition, i64)>, Problem> {
        let Offsets { offsets } = read(headers, body)?;
        if let Some(bad) = offsets.iter().find(|it| !(0..i64::MAX).contains(&it.offset)) {
            return Err(Problem::invalid(1, format!("{} is no offset", bad.offset)));
        }
        Ok(offsets.into_iter().map(|it| ((it.topic, it.partition), it.offset)).collect())
    }
}

async fn commit(
    asker: Asker,
    Extension(all): All,
    InPath((group, name)): InPath<Named>,
    headers: HeaderMap,
    body: Whole,
) -> Result<StatusCode, Problem> {
    let instance = all.of(&asker, &group, &name)?;
    let offsets = match body.bytes.is_empty() {
        true => None,
        // The record is done: the group goes on behind it.
        false => {
            let done = Offsets::read(&headers, &body)?.into_iter();
            Some(done.map(|(partition, offset)| (partition, offset + 1)).collect())
        }
    };
    instance.commit(&asker, offsets).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn committed(
    asker: Asker,
    Extension(all): All,
    InPath((group, name)): InPath<Named>,
    headers: HeaderMap,
    body: Whole,
) -> Result<Response, Problem> {
    let instance = all.of(&asker, &group, &name)?;
    let partitions = match body.bytes.is_empty() {
        true => instance.partitions(),
        false => Partitions::read(&headers, &body)?,
    };
    let committed = instance.committed(&asker, &partitions).await?;
    let offsets: Vec<Value> = partitions
        .iter()
        .zip(committed)
        .filter_map(|((topic, partition), committed)| {
            let (offset, metadata) = committed?;
            let metadata = metadata.unwrap_or_default();
            Some(json!({"topic": topic, "partition": partition, "offset": offset, "metadata": metadata}))
        })
        .collect();
    Ok(answer(&headers, &json!({"offsets": offsets})))
}

async fn seek(
    asker: Asker,
    Extension(all): All,
    InPath((group, name)): InPath<Named>,
    headers: HeaderMap,
    body: Whole,
) -> Result<StatusCode, Problem> {
    let instance = all.of(&asker, &group, &name)?;
    instance.seek(Offsets::read(&headers, &body)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn seek_to_beginning(
    asker: Asker,
    all: All,
    named: InPath<Named>,
    headers: HeaderMap,
    body: Whole,
) -> Result<StatusCode, Problem> {
    seek_to(&asker, &all, &named, &headers, &body, Moment::Earliest).await
}

async fn seek_to_end(
    asker: Asker,
    all: All,
    named: InPath<Named>,
    headers: HeaderMap,
    body: Whole,
) -> Result<StatusCode, Problem> {
    seek_to(&asker, &all, &named, &headers, &body, Moment::Latest).await
}

async fn seek_to(
    asker: &Asker,
    Extension(all): &All,
    InPath((group, name)): &InPath<Named>,
    headers: &HeaderMap,
    body: &Whole,
    moment: Moment,
) -> Result<StatusCode, Problem> {
    let instance = all.of(asker, group, name)?;
    instance.seek_to(asker, Partitions::read(headers, body)?, moment).await?;
    Ok(StatusCode::NO_CONTENT)
}
