//! Groups, their members, and how far they are behind.

use axum::http::{StatusCode, Uri};
use axum::response::Response;
use serde_json::{Value, json};
use strandline_protocol::messages::ListedGroup;

use super::part::{answer, list, many, object, of_this, one, related, thing};
use crate::fronts::http::ask::{Asker, InPath};
use crate::fronts::http::faces::call::{Call, offset, schema};
use crate::fronts::http::groups::{Found, Lag, Member, behind, find, listed};
use crate::fronts::http::media::JSON;
use crate::fronts::http::problem::Problem;

pub(super) fn calls(cluster: &str) -> Vec<Call> {
    let at = |rest: &str| format!("{cluster}/consumer-groups{rest}");
    let types = [JSON];
    vec![
        Call::get(at(""), "All groups", groups).gives(200, "Groups", &types, many("KafkaConsumerGroup")),
        Call::get(at("/{consumer_group_id}"), "A group", group).gives(
            200,
            "The group",
            &types,
            schema("KafkaConsumerGroup"),
        ),
        Call::get(at("/{consumer_group_id}/consumers"), "The members of a group", consumers).gives(
            200,
            "Members",
            &types,
            many("KafkaConsumer"),
        ),
        Call::get(at("/{consumer_group_id}/lags"), "How far a group is behind, by partition", lags).gives(
            200,
            "Lags",
            &types,
            many("KafkaConsumerLag"),
        ),
        Call::get(at("/{consumer_group_id}/lag-summary"), "How far a group is behind", lag_summary).gives(
            200,
            "The lag",
            &types,
            schema("KafkaConsumerGroupLagSummary"),
        ),
    ]
}

pub(super) fn schemas() -> Value {
    let text = || json!({"type": "string"});
    let may = || json!({"type": "string", "nullable": true});
    let number = || json!({"type": "integer", "format": "int32"});
    let partitions =
        object(json!({"topic_name": text(), "partition_id": number()}), &["topic_name", "partition_id"]);
    json!({
        "KafkaConsumerGroup": one(
            json!({
                "cluster_id": text(), "consumer_group_id": text(), "is_simple": {"type": "boolean"},
                "partition_assignor": text(), "state": text(), "type": text(),
                "consumers": schema("Related"), "lag_summary": schema("Related"),
            }),
            &["cluster_id", "consumer_group_id", "is_simple", "partition_assignor", "state"],
        ),
        "KafkaConsumer": one(
            json!({
                "cluster_id": text(), "consumer_group_id": text(), "consumer_id": text(), "instance_id": may(),
                "client_id": text(), "host": text(), "assignments": {"type": "array", "items": partitions},
            }),
            &["cluster_id", "consumer_group_id", "consumer_id", "client_id"],
        ),
        "KafkaConsumerLag": one(
            json!({
                "cluster_id": text(), "consumer_group_id": text(), "topic_name": text(), "partition_id": number(),
                "current_offset": offset(), "log_end_offset": offset(), "lag": offset(),
                "consumer_id": text(), "instance_id": may(), "client_id": text(),
            }),
            &["cluster_id", "consumer_group_id", "topic_name", "partition_id", "current_offset", "log_end_offset", "lag"],
        ),
        "KafkaConsumerGroupLagSummary": one(
            json!({
                "cluster_id": text(), "consumer_group_id": text(), "max_lag_consumer_id": text(),
                "max_lag_client_id": text(), "max_lag_topic_name": text(), "max_lag_partition_id": number(),
                "max_lag": offset(), "total_lag": offset(),
            }),
            &["cluster_id", "consumer_group_id", "max_lag", "total_lag"],
        ),
    })
}

type InGroup = InPath<(String, String)>;

/// A group as it is told.
fn group_thing(group: &Found, cluster: &str) -> Value {
    let at = format!("/v3/clusters/{cluster}/consumer-groups/{}", group.id);
    let has = json!({
        "cluster_id": cluster,
        "consumer_group_id": group.id,
        "is_simple": group.kind == "classic" && group.members.is_empty() && group.assignor.is_empty(),
        "partition_assignor": group.assignor,
        "state": group.state.to_uppercase(),
        "type": group.kind,
        "consumers": related(format!("{at}/consumers")),
        "lag_summary": related(format!("{at}/lag-summary")),
    });
    thing("KafkaConsumerGroup", at, has)
}

async fn groups(asker: Asker, InPath(named): InPath<String>, uri: Uri) -> Result<Response, Problem> {
    let id = of_this(&asker, &named)?;
    let told = |group: ListedGroup| {
        let assignor = String::new();
        let found = Found {
            id: group.group_id,
            state: group.group_state,
            kind: group.group_type.to_lowercase(),
            assignor,
            members: Vec::new(),
        };
        let mut told = group_thing(&found, &id);
        told["is_simple"] = (found.kind == "classic" && group.protocol_type.is_empty()).into();
        told
    };
    Ok(list("KafkaConsumerGroupList", &uri, listed(&asker).await?.into_iter().map(told).collect()))
}

async fn group(asker: Asker, InPath((named, name)): InGroup) -> Result<Response, Problem> {
    let id = of_this(&asker, &named)?;
    Ok(answer(StatusCode::OK, &group_thing(&find(&asker, &name).await?, &id)))
}

async fn consumers(asker: Asker, InPath((named, name)): InGroup, uri: Uri) -> Result<Response, Problem> {
    let id = of_this(&asker, &named)?;
    let found = find(&asker, &name).await?;
    let told = |member: &Member| {
        let at = format!("/v3/clusters/{id}/consumer-groups/{name}/consumers/{}", member.id);
        let has: Vec<Value> = member
            .has
            .iter()
            .map(|(topic, partition)| json!({"topic_name": topic, "partition_id": partition}))
            .collect();
        let has = json!({
            "cluster_id": id, "consumer_group_id": name, "consumer_id": member.id, "instance_id": member.instance,
            "client_id": member.client, "host": member.host, "assignments": has,
        });
        thing("KafkaConsumer", at, has)
    };
    Ok(list("KafkaConsumerList", &uri, found.members.iter().map(told).collect()))
}

async fn lags(asker: Asker, InPath((named, name)): InGroup, uri: Uri) -> Result<Response, Problem> {
    let id = of_this(&asker, &named)?;
    let found = find(&asker, &name).await?;
    let told = |lag: &Lag| {
        let at = format!(
            "/v3/clusters/{id}/consumer-groups/{name}/lags/{}/partitions/{}",
            lag.topic, lag.partition
        );
        let owner = found.owner(&lag.topic, lag.partition);
        let has = json!({
            "cluster_id": id, "consumer_group_id": name, "topic_name": lag.topic, "partition_id": lag.partition,
            "current_offset": lag.committed, "log_end_offset": lag.end, "lag": lag.behind(),
            "consumer_id": owner.map_or("", |owner| &owner.id), "instance_id": owner.and_then(|it| it.instance.clone()),
            "client_id": owner.map_or("", |owner| &owner.client),
        });
        thing("KafkaConsumerLag", at, has)
    };
    let behind = behind(&asker, &name).await?;
    Ok(list("KafkaConsumerLagList", &uri, behind.iter().map(told).collect()))
}

async fn lag_summary(asker: Asker, InPath((named, name)): InGroup) -> Result<Response, Problem> {
    let id = of_this(&asker, &named)?;
    let found = find(&asker, &name).await?;
    let behind = behind(&asker, &name).await?;
    let most = behind.iter().max_by_key(|lag| lag.behind());
    let owner = most.and_then(|lag| found.owner(&lag.topic, lag.partition));
    let at = format!("/v3/clusters/{id}/consumer-groups/{name}/lag-summary");
    let has = json!({
        "cluster_id": id, "consumer_group_id": name,
        "max_lag_consumer_id": owner.map_or("", |owner| &owner.id),
        "max_lag_client_id": owner.map_or("", |owner| &owner.client),
        "max_lag_topic_name": most.map_or("", |lag| &lag.topic),
        "max_lag_partition_id": most.map_or(0, |lag| lag.partition),
        "max_lag": most.map_or(0, Lag::behind),
        "total_lag": behind.iter().map(Lag::behind).sum::<i64>(),
    });
    Ok(answer(StatusCode::OK, &thing("KafkaConsumerGroupLagSummary", at, has)))
}
