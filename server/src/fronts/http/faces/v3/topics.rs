//! The cluster, its topics, their partitions and settings.

use axum::http::{StatusCode, Uri};
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};
use strandline_protocol::messages::{
    CreatableTopicConfig, DescribeConfigsResourceResult, MetadataResponsePartition, MetadataResponseTopic,
};

use super::part::{answer, cluster_id, list, many, object, of_this, one, read, related, thing};
use crate::fronts::http::admin::{DELETE, Resource, SET, create_topic, delete_topic, source};
use crate::fronts::http::ask::{Asker, InPath, Whole};
use crate::fronts::http::faces::call::{Call, schema};
use crate::fronts::http::media::JSON;
use crate::fronts::http::problem::Problem;
use crate::fronts::http::produce::at_most;
use crate::fronts::http::topics::no_partition;

/// Settings of a body.
const SETTINGS_MAX: usize = 1000;

pub(super) fn calls(clusters: &str, cluster: &str) -> Vec<Call> {
    let at = |rest: &str| format!("{cluster}{rest}");
    let types = [JSON];
    vec![
        Call::get(clusters, "The clusters: this one", all).gives(
            200,
            "Clusters",
            &types,
            many("KafkaCluster"),
        ),
        Call::get(cluster, "The cluster", one_cluster).gives(
            200,
            "The cluster",
            &types,
            schema("KafkaCluster"),
        ),
        Call::get(at("/topics"), "All topics", topics).gives(200, "Topics", &types, many("KafkaTopic")),
        Call::post(at("/topics"), "Creates a topic", create)
            .takes(&types, schema("CreateTopic"))
            .gives(201, "It is created", &types, schema("KafkaTopic"))
            .gives(200, "It could be created", &types, schema("KafkaTopic")),
        Call::get(at("/topics/{topic_name}"), "A topic", topic).gives(
            200,
            "The topic",
            &types,
            schema("KafkaTopic"),
        ),
        Call::delete(at("/topics/{topic_name}"), "Deletes a topic", delete)
            .gives_nothing(204, "It is deleted"),
        Call::get(at("/topics/{topic_name}/partitions"), "The partitions of a topic", partitions).gives(
            200,
            "Partitions",
            &types,
            many("KafkaPartition"),
        ),
        Call::get(at("/topics/{topic_name}/partitions/{partition_id}"), "A partition", partition).gives(
            200,
            "The partition",
            &types,
            schema("KafkaPartition"),
        ),
        Call::get(at("/topics/{topic_name}/configs"), "The settings of a topic", configs).gives(
            200,
            "Settings",
            &types,
            many("KafkaTopicConfig"),
        ),
        Call::post(at("/topics/{topic_name}/configs:alter"), "Changes settings of a topic", alter)
            .takes(&types, schema("AlterConfigs"))
            .gives_nothing(204, "They are changed"),
        Call::get(at("/topics/{topic_name}/configs/{config_name}"), "A setting of a topic", config).gives(
            200,
            "The setting",
            &types,
            schema("KafkaTopicConfig"),
        ),
        Call::put(at("/topics/{topic_name}/configs/{config_name}"), "Sets a setting", set)
            .takes(&types, schema("ConfigValue"))
            .gives_nothing(204, "It is set"),
        Call::delete(
            at("/topics/{topic_name}/configs/{config_name}"),
            "Has the default in force again",
            reset,
        )
        .gives_nothing(204, "It is the default"),
    ]
}

pub(super) fn schemas() -> Value {
    let text = || json!({"type": "string"});
    let may = || json!({"type": "string", "nullable": true});
    let truth = || json!({"type": "boolean"});
    let number = || json!({"type": "integer", "format": "int32"});
    let configs = |more: Value| {
        let mut has = json!({"name": text(), "value": may()});
        if let (Value::Object(has), Value::Object(more)) = (&mut has, more) {
            has.extend(more);
        }
        json!({"type": "array", "maxItems": SETTINGS_MAX, "items": object(has, &["name"])})
    };
    let synonym = object(json!({"name": text(), "value": may(), "source": text()}), &["name", "source"]);
    json!({
        "KafkaCluster": one(
            json!({"cluster_id": text(), "topics": schema("Related"), "consumer_groups": schema("Related"), "acls": schema("Related")}),
            &["cluster_id"],
        ),
        "KafkaTopic": one(
            json!({
                "cluster_id": text(), "topic_name": text(), "is_internal": truth(),
                "replication_factor": number(), "partitions_count": number(),
                "partitions": schema("Related"), "configs": schema("Related"),
            }),
            &["cluster_id", "topic_name", "is_internal", "replication_factor", "partitions_count"],
        ),
        "KafkaPartition": one(
            json!({"cluster_id": text(), "topic_name": text(), "partition_id": number()}),
            &["cluster_id", "topic_name", "partition_id"],
        ),
        "KafkaTopicConfig": one(
            json!({
                "cluster_id": text(), "topic_name": text(), "name": text(), "value": may(), "is_default": truth(),
                "is_read_only": truth(), "is_sensitive": truth(), "source": text(),
                "synonyms": {"type": "array", "items": synonym},
            }),
            &["cluster_id", "topic_name", "name", "value", "is_default", "source", "synonyms"],
        ),
        "CreateTopic": object(
            json!({
                "topic_name": text(), "partitions_count": number(), "replication_factor": number(),
                "configs": configs(json!({})), "validate_only": truth(),
            }),
            &["topic_name"],
        ),
        "ConfigValue": object(json!({"value": may()}), &["value"]),
        "AlterConfigs": object(
            json!({
                "data": configs(json!({"operation": {"type": "string", "enum": ["SET", "DELETE"]}})),
                "validate_only": truth(),
            }),
            &["data"],
        ),
    })
}

type InTopic = InPath<(String, String)>;

fn cluster_thing(id: &str) -> Value {
    let at = format!("/v3/clusters/{id}");
    let has = json!({
        "cluster_id": id,
        "topics": related(format!("{at}/topics")),
        "consumer_groups": related(format!("{at}/consumer-groups")),
        "acls": related(format!("{at}/acls")),
    });
    thing("KafkaCluster", at, has)
}

async fn all(asker: Asker, uri: Uri) -> Result<Response, Problem> {
    let id = cluster_id(&asker)?;
    Ok(list("KafkaClusterList", &uri, vec![cluster_thing(&id)]))
}

async fn one_cluster(asker: Asker, InPath(named): InPath<String>) -> Result<Response, Problem> {
    let id = of_this(&asker, &named)?;
    Ok(answer(StatusCode::OK, &cluster_thing(&id)))
}

fn topic_thing(id: &str, topic: &MetadataResponseTopic) -> Value {
    let name = topic.name.as_deref().unwrap_or_default();
    let at = format!("/v3/clusters/{id}/topics/{name}");
    let replicas = topic.partitions.first().map_or(1, |partition| partition.replica_nodes.len());
    let has = json!({
        "cluster_id": id,
        "topic_name": name,
        "is_internal": topic.is_internal,
        "replication_factor": replicas,
        "partitions_count": topic.partitions.len(),
        "partitions": related(format!("{at}/partitions")),
        "configs": related(format!("{at}/configs")),
    });
    thing("KafkaTopic", at, has)
}

async fn topics(asker: Asker, InPath(named): InPath<String>, uri: Uri) -> Result<Response, Problem> {
    let id = of_this(&asker, &named)?;
    let mut found = asker.topics(None, false).await?;
    found.sort_unstable_by(|one, other| one.name.cmp(&other.name));
    Ok(list("KafkaTopicList", &uri, found.iter().map(|topic| topic_thing(&id, topic)).collect()))
}

async fn topic(asker: Asker, InPath((named, name)): InTopic) -> Result<Response, Problem> {
    let id = of_this(&asker, &named)?;
    Ok(answer(StatusCode::OK, &topic_thing(&id, &asker.topic(&name, false).await?)))
}

#[derive(Deserialize)]
struct Config {
    name: String,
    #[serde(default)]
    value: Option<String>,
    #[serde(default)]
    operation: Option<String>,
}

fn settings<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Vec<Config>, D::Error> {
    at_most(from, SETTINGS_MAX)
}

#[derive(Deserialize)]
struct NewTopic {
    topic_name: String,
    #[serde(default)]
    partitions_count: Option<i32>,
    #[serde(default)]
    replication_factor: Option<i16>,
    #[serde(default, deserialize_with = "settings")]
    configs: Vec<Config>,
    #[serde(default)]
    validate_only: bool,
}

async fn create(asker: Asker, InPath(named): InPath<String>, body: Whole) -> Result<Response, Problem> {
    let id = of_this(&asker, &named)?;
    let new: NewTopic = read(&body)?;
    let configs = new.configs.into_iter();
    let configs = configs.map(|it| CreatableTopicConfig { name: it.name, value: it.value }).collect();
    let (partitions, replicas) = (new.partitions_count, new.replication_factor);
    create_topic(&asker, &new.topic_name, partitions, replicas, configs, new.validate_only).await?;
    let (status, topic) = match new.validate_only {
        true => {
            let count = partitions.unwrap_or(1).max(1) as usize;
            let name = Some(new.topic_name);
            let partitions = vec![MetadataResponsePartition::default(); count.min(100_000)];
            (StatusCode::OK, MetadataResponseTopic { name, partitions, ..Default::default() })
        }
        false => (StatusCode::CREATED, asker.topic(&new.topic_name, false).await?),
    };
    Ok(answer(status, &topic_thing(&id, &topic)))
}

async fn delete(asker: Asker, InPath((named, name)): InTopic) -> Result<StatusCode, Problem> {
    of_this(&asker, &named)?;
    delete_topic(&asker, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn partition_thing(id: &str, topic: &str, partition: &MetadataResponsePartition) -> Value {
    let index = partition.partition_index;
    let at = format!("/v3/clusters/{id}/topics/{topic}/partitions/{index}");
    let has = json!({
        "cluster_id": id, "topic_name": topic, "partition_id": index,
        "leader_id": partition.leader_id, "replica_ids": partition.replica_nodes, "in_sync_ids": partition.isr_nodes,
    });
    thing("KafkaPartition", at, has)
}

async fn partitions(asker: Asker, InPath((named, name)): InTopic, uri: Uri) -> Result<Response, Problem> {
    let id = of_this(&asker, &named)?;
    let mut found = asker.topic(&name, false).await?.partitions;
    found.sort_unstable_by_key(|partition| partition.partition_index);
    let data = found.iter().map(|partition| partition_thing(&id, &name, partition)).collect();
    Ok(list("KafkaPartitionList", &uri, data))
}

async fn partition(
    asker: Asker,
    InPath((named, name, index)): InPath<(String, String, i32)>,
) -> Result<Response, Problem> {
    let id = of_this(&asker, &named)?;
    let topic = asker.topic(&name, false).await?;
    let found = topic.partitions.iter().find(|partition| partition.partition_index == index);
    let found = found.ok_or_else(|| no_partition(&name, index))?;
    Ok(answer(StatusCode::OK, &partition_thing(&id, &name, found)))
}

// ---- settings ---------------------------------------------------------------------------------------------

fn config_thing(id: &str, topic: &str, config: &DescribeConfigsResourceResult) -> Value {
    let at = format!("/v3/clusters/{id}/topics/{topic}/configs/{}", config.name);
    let synonyms: Vec<Value> = config
        .synonyms
        .iter()
        .map(|it| json!({"name": it.name, "value": it.value, "source": source(it.source)}))
        .collect();
    let has = json!({
        "cluster_id": id, "topic_name": topic, "name": config.name, "value": config.value,
        "is_default": config.config_source != 1, "is_read_only": config.read_only,
        "is_sensitive": config.is_sensitive, "source": source(config.config_source), "synonyms": synonyms,
    });
    thing("KafkaTopicConfig", at, has)
}

async fn configs(asker: Asker, InPath((named, name)): InTopic, uri: Uri) -> Result<Response, Problem> {
    let id = of_this(&asker, &named)?;
    let found = Resource::Topic(&name).settings(&asker, None).await?;
    let data = found.iter().map(|config| config_thing(&id, &name, config)).collect();
    Ok(list("KafkaTopicConfigList", &uri, data))
}

type OfTopic = InPath<(String, String, String)>;

async fn config(asker: Asker, InPath((named, topic, name)): OfTopic) -> Result<Response, Problem> {
    let id = of_this(&asker, &named)?;
    let found = Resource::Topic(&topic).settings(&asker, Some(&name)).await?;
    let found = found.iter().find(|config| config.name == name).ok_or_else(|| {
        Problem::new(StatusCode::NOT_FOUND, Some(4), format!("topic {topic} has no setting {name}"))
    })?;
    Ok(answer(StatusCode::OK, &config_thing(&id, &topic, found)))
}

async fn change(
    asker: &Asker,
    topic: &str,
    changes: Vec<(String, i8, Option<String>)>,
    validate_only: bool,
) -> Result<StatusCode, Problem> {
    Resource::Topic(topic).change(asker, changes, validate_only).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize)]
struct Changes {
    #[serde(deserialize_with = "settings")]
    data: Vec<Config>,
    #[serde(default)]
    validate_only: bool,
}

async fn alter(asker: Asker, InPath((named, topic)): InTopic, body: Whole) -> Result<StatusCode, Problem> {
    of_this(&asker, &named)?;
    let Changes { data, validate_only } = read(&body)?;
    let changes = data.into_iter().map(|config| match config.operation.as_deref() {
        None | Some("SET") => Ok((config.name, SET, config.value)),
        Some("DELETE") => Ok((config.name, DELETE, None)),
        Some(other) => Err(Problem::invalid(1, format!("operation is SET or DELETE, and not {other}"))),
    });
    change(&asker, &topic, changes.collect::<Result<_, _>>()?, validate_only).await
}

#[derive(Deserialize)]
struct ConfigValue {
    value: Option<String>,
}

async fn set(
    asker: Asker,
    InPath((named, topic, name)): OfTopic,
    body: Whole,
) -> Result<StatusCode, Problem> {
    of_this(&asker, &named)?;
    let ConfigValue { value } = read(&body)?;
    change(&asker, &topic, vec![(name, SET, value)], false).await
}

async fn reset(asker: Asker, InPath((named, topic, name)): OfTopic) -> Result<StatusCode, Problem> {
    of_this(&asker, &named)?;
    change(&asker, &topic, vec![(name, DELETE, None)], false).await
}
