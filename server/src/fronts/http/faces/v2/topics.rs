//! Topics, partitions, offsets, brokers; producing; creating a topic.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Extension;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use strandline_engine::Isolation;
use strandline_protocol::messages::{
    CreatableTopicConfig, DescribeConfigsRequest, DescribeConfigsResource, MetadataResponsePartition,
    MetadataResponseTopic,
};

use crate::fronts::http::admin::create_topic;
use crate::fronts::http::ask::{Asker, InPath, Whole};
use crate::fronts::http::faces::call::{Call, offset, schema};
use crate::fronts::http::media::{self, JSON, V2, V2_RECORDS};
use crate::fronts::http::problem::Problem;
use crate::fronts::http::produce::{self, Became, Named, New};
use crate::fronts::http::records::{self, Form};
use crate::fronts::http::schemas::Registry;
use crate::fronts::http::topics::{Moment, check, no_partition};

/// The version of DescribeConfigs that is asked, and what stands for a topic in it.
const DESCRIBE_CONFIGS: i16 = 4;
const TOPIC: i8 = 2;

const ANSWERS: [&str; 2] = [V2, JSON];

pub(super) fn calls() -> Vec<Call> {
    let names = || json!({"type": "array", "items": {"type": "string"}});
    let all = |name: &str| json!({"type": "array", "items": schema(name)});
    vec![
        Call::get("/topics", "The names of all topics", list).gives(200, "Names", &ANSWERS, names()),
        Call::get("/topics/{topic_name}", "A topic", topic).gives(
            200,
            "The topic",
            &ANSWERS,
            schema("Topic"),
        ),
        Call::post("/topics/{topic_name}", "Produces records to a topic", produce_to_topic)
            .takes(&V2_RECORDS, schema("ProduceRequest"))
            .gives(200, "What became of each record", &ANSWERS, schema("ProduceResponse")),
        Call::get("/topics/{topic_name}/partitions", "The partitions of a topic", partitions).gives(
            200,
            "Partitions",
            &ANSWERS,
            all("Partition"),
        ),
        Call::get("/topics/{topic_name}/partitions/{partition_id}", "A partition", partition).gives(
            200,
            "The partition",
            &ANSWERS,
            schema("Partition"),
        ),
        Call::post(
            "/topics/{topic_name}/partitions/{partition_id}",
            "Produces records to a partition",
            produce_to_partition,
        )
        .takes(&V2_RECORDS, schema("ProduceRequest"))
        .gives(200, "What became of each record", &ANSWERS, schema("ProduceResponse")),
        Call::get(
            "/topics/{topic_name}/partitions/{partition_id}/offsets",
            "Where a partition begins and ends",
            offsets,
        )
        .gives(200, "Offsets", &ANSWERS, schema("Offsets")),
        Call::get("/brokers", "The brokers", brokers).gives(200, "Brokers", &ANSWERS, schema("Brokers")),
        Call::post("/admin/topics", "Creates a topic", create)
            .takes(&ANSWERS, schema("NewTopic"))
            .gives_nothing(201, "It is created"),
    ]
}

pub(super) fn schemas() -> Value {
    let text = || json!({"type": "string"});
    json!({
        "Problem": {
            "type": "object",
            "required": ["error_code", "message"],
            "properties": {"error_code": {"type": "integer"}, "message": text()},
        },
        "Replica": {
            "type": "object",
            "required": ["broker", "leader", "in_sync"],
            "properties": {
                "broker": {"type": "integer"}, "leader": {"type": "boolean"}, "in_sync": {"type": "boolean"},
            },
        },
        "Partition": {
            "type": "object",
            "required": ["partition", "leader", "replicas"],
            "properties": {
                "partition": {"type": "integer"},
                "leader": {"type": "integer"},
                "replicas": {"type": "array", "items": schema("Replica")},
            },
        },
        "Topic": {
            "type": "object",
            "required": ["name", "configs", "partitions"],
            "properties": {
                "name": text(),
                "configs": {"type": "object", "additionalProperties": {"type": "string", "nullable": true}},
                "partitions": {"type": "array", "items": schema("Partition")},
            },
        },
        "Offsets": {
            "type": "object",
            "required": ["beginning_offset", "end_offset"],
            "properties": {"beginning_offset": offset(), "end_offset": offset()},
        },
        "Brokers": {
            "type": "object",
            "required": ["brokers"],
            "properties": {"brokers": {"type": "array", "items": {"type": "integer"}}},
        },
        "NewTopic": {
            "type": "object",
            "required": ["topic_name"],
            "properties": {
                "topic_name": text(),
                "partitions_count": {"type": "integer", "minimum": 1},
                "replication_factor": {"type": "integer", "minimum": 1},
                "configs": {"type": "object", "additionalProperties": text()},
            },
        },
        "ProduceRequest": produce_request(),
        "ProduceResponse": produce_response(),
    })
}

fn produce_request() -> Value {
    json!({
        "type": "object",
        "required": ["records"],
        "properties": {
            "key_schema": {"type": "string", "nullable": true, "description": "avro, jsonschema, protobuf: a schema"},
            "key_schema_id": id_or_null(),
            "value_schema": {"type": "string", "nullable": true, "description": "the same for values"},
            "value_schema_id": id_or_null(),
            "records": {
                "type": "array", "minItems": 1, "maxItems": produce::RECORDS_MAX,
                "items": {
                    "type": "object",
                    "properties": {
                        "key": {"description": "of the media type: base64, JSON or a string; null for none"},
                        "value": {"description": "of the media type: base64, JSON or a string; null for none"},
                        "partition": {"type": "integer", "format": "int32", "nullable": true},
                        "timestamp": {"type": "integer", "format": "int64", "minimum": 0, "nullable": true},
                        "headers": {"type": "array", "items": schema("RecordHeader")},
                    },
                },
            },
        },
    })
}

fn id_or_null() -> Value {
    json!({"type": "integer", "format": "int32", "minimum": 1, "nullable": true})
}

fn produce_response() -> Value {
    let or_null = |schema: Value| json!({"nullable": true, "allOf": [schema]});
    json!({
        "type": "object",
        "required": ["offsets", "key_schema_id", "value_schema_id"],
        "properties": {
            "offsets": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["partition", "offset", "error_code", "error"],
                    "properties": {
                        "partition": {"type": "integer", "nullable": true},
                        "offset": or_null(offset()),
                        "error_code": {"type": "integer", "nullable": true},
                        "error": {"type": "string", "nullable": true},
                    },
                },
            },
            "key_schema_id": id_or_null(),
            "value_schema_id": id_or_null(),
        },
    })
}

/// An answer that is no records.
pub(super) fn answer<T: Serialize>(headers: &HeaderMap, value: &T) -> Response {
    let content_type = [(header::CONTENT_TYPE, media::of_answer(headers))];
    (StatusCode::OK, content_type, records::json(value)).into_response()
}

async fn list(asker: Asker, headers: HeaderMap) -> Result<Response, Problem> {
    let mut names: Vec<String> =
        asker.topics(None, false).await?.into_iter().filter_map(|topic| topic.name).collect();
    names.sort_unstable();
    Ok(answer(&headers, &names))
}

#[derive(Serialize)]
struct Topic {
    name: String,
    configs: BTreeMap<String, Option<String>>,
    partitions: Vec<Partition>,
}

#[derive(Serialize)]
struct Partition {
    partition: i32,
    leader: i32,
    replicas: Vec<Replica>,
}

#[derive(Serialize)]
struct Replica {
    broker: i32,
    leader: bool,
    in_sync: bool,
}

impl Partition {
    fn of(found: &MetadataResponsePartition) -> Partition {
        let replica = |broker: &i32| Replica {
            broker: *broker,
            leader: *broker == found.leader_id,
            in_sync: found.isr_nodes.contains(broker),
        };
        Partition {
            partition: found.partition_index,
            leader: found.leader_id,
            replicas: found.replica_nodes.iter().map(replica).collect(),
        }
    }

    fn all(topic: &MetadataResponseTopic) -> Vec<Partition> {
        let mut all: Vec<Partition> = topic.partitions.iter().map(Partition::of).collect();
        all.sort_unstable_by_key(|partition| partition.partition);
        all
    }
}

async fn topic(asker: Asker, InPath(name): InPath<String>, headers: HeaderMap) -> Result<Response, Problem> {
    let found = asker.topic(&name, false).await?;
    let resource =
        DescribeConfigsResource { resource_type: TOPIC, resource_name: name.clone(), ..Default::default() };
    let request = DescribeConfigsRequest { resources: vec![resource], ..Default::default() };
    let described = asker.ask(DESCRIBE_CONFIGS, &request).await?;
    let mut configs = BTreeMap::new();
    for result in described.results {
        check(result.error_code, &format!("the configuration of topic {name}"))?;
        configs.extend(result.configs.into_iter().map(|config| (config.name, config.value)));
    }
    let partitions = Partition::all(&found);
    Ok(answer(&headers, &Topic { name, configs, partitions }))
}

async fn partitions(
    asker: Asker,
    InPath(name): InPath<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let found = asker.topic(&name, false).await?;
    Ok(answer(&headers, &Partition::all(&found)))
}

async fn partition(
    asker: Asker,
    InPath((name, index)): InPath<(String, i32)>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let found = asker.topic(&name, false).await?;
    let partition = found.partitions.iter().find(|partition| partition.partition_index == index);
    let partition = partition.ok_or_else(|| no_partition(&name, index))?;
    Ok(answer(&headers, &Partition::of(partition)))
}

async fn offsets(
    asker: Asker,
    InPath((name, index)): InPath<(String, i32)>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    asker.topic_with(&name, index).await?;
    let at = [(name.as_str(), index)];
    let beginning = asker.offsets(&at, Moment::Earliest, Isolation::ReadUncommitted).await?[0].unwrap_or(0);
    let end = asker.offsets(&at, Moment::Latest, Isolation::ReadUncommitted).await?[0].unwrap_or(beginning);
    Ok(answer(&headers, &json!({"beginning_offset": beginning, "end_offset": end})))
}

async fn brokers(asker: Asker, headers: HeaderMap) -> Result<Response, Problem> {
    let node = asker.engine()?.meta().node_id;
    Ok(answer(&headers, &json!({"brokers": [node]})))
}

async fn produce_to_topic(
    asker: Asker,
    Extension(registry): Extension<Arc<Registry>>,
    InPath(name): InPath<String>,
    headers: HeaderMap,
    body: Whole,
) -> Result<Response, Problem> {
    produce(&asker, &registry, &name, None, &headers, &body).await
}

async fn produce_to_partition(
    asker: Asker,
    Extension(registry): Extension<Arc<Registry>>,
    InPath((name, index)): InPath<(String, i32)>,
    headers: HeaderMap,
    body: Whole,
) -> Result<Response, Problem> {
    produce(&asker, &registry, &name, Some(index), &headers, &body).await
}

async fn produce(
    asker: &Asker,
    registry: &Registry,
    name: &str,
    only: Option<i32>,
    headers: &HeaderMap,
    body: &Whole,
) -> Result<Response, Problem> {
    let form = media::form_of_body(headers)?;
    let plain = match form.schema_type() {
        None => Some(produce::read(&body.bytes, form)?),
        Some(_) => None,
    };
    // A producer makes a topic where the broker lets it.
    let topic = asker.topic(name, true).await?;
    if let Some(only) = only
        && !topic.partitions.iter().any(|partition| partition.partition_index == only)
    {
        return Err(no_partition(name, only));
    }
    let (records, key_id, value_id) = match plain {
        Some(records) => (records, None, None),
        None => by_schema(asker, registry, name, form, body).await?,
    };
    let became = produce::append(asker, &topic, only, &records).await?;
    let offsets: Vec<Value> = became.iter().map(told).collect();
    Ok(answer(headers, &json!({"offsets": offsets, "key_schema_id": key_id, "value_schema_id": value_id})))
}

/// The records of a body that go by schemas, and the ids of these.
async fn by_schema(
    asker: &Asker,
    registry: &Registry,
    topic: &str,
    form: Form,
    body: &Whole,
) -> Result<(Vec<New<'static>>, Option<i32>, Option<i32>), Problem> {
    let Named { key_schema, key_schema_id, value_schema, value_schema_id } = produce::named(&body.bytes)?;
    let key = registry.writer(asker, &format!("{topic}-key"), form, key_schema, key_schema_id).await?;
    let value =
        registry.writer(asker, &format!("{topic}-value"), form, value_schema, value_schema_id).await?;
    let ids = (key.as_ref().map(|key| key.id), value.as_ref().map(|value| value.id));
    let bytes = body.bytes.clone();
    let read = move || produce::read_by_schema(&bytes, key.as_ref(), value.as_ref());
    Ok((registry.encode(read).await??, ids.0, ids.1))
}

/// What became of a record: the code is 2 where the same may be tried again, and 1 where not.
fn told(became: &Became) -> Value {
    match &became.offset {
        Ok(offset) => {
            json!({"partition": became.partition, "offset": offset, "error_code": null, "error": null})
        }
        Err((code, words)) => {
            let number = if produce::is_retriable(*code) { 2 } else { 1 };
            let words = if words.is_empty() { code.to_string() } else { words.clone() };
            json!({"partition": null, "offset": null, "error_code": number, "error": words})
        }
    }
}

#[derive(Deserialize)]
struct NewTopic {
    topic_name: String,
    partitions_count: Option<i32>,
    replication_factor: Option<i16>,
    #[serde(default)]
    configs: BTreeMap<String, Option<String>>,
}

async fn create(asker: Asker, headers: HeaderMap, body: Whole) -> Result<StatusCode, Problem> {
    media::check_json(&headers)?;
    let new: NewTopic =
        serde_json::from_slice(&body.bytes).map_err(|why| Problem::invalid(1, why.to_string()))?;
    let configs = new.configs.into_iter().map(|(name, value)| CreatableTopicConfig { name, value });
    create_topic(
        &asker,
        &new.topic_name,
        new.partitions_count,
        new.replication_factor,
        configs.collect(),
        false,
    )
    .await?;
    Ok(StatusCode::CREATED)
}
