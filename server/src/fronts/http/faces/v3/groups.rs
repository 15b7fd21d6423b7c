//! Groups, their members, and how far they are behind.

use std::collections::BTreeMap;

use axum::http::{StatusCode, Uri};
use axum::response::Response;
use serde_json::{Value, json};
use strandline_engine::Isolation;
use strandline_protocol::messages::{
    ConsumerGroupDescribeRequest, ConsumerGroupDescribedGroup, DescribeGroupsRequest, DescribedGroup,
    ListGroupsRequest, ListedGroup, OffsetFetchRequest, OffsetFetchRequestGroup,
};
use strandline_protocol::wire::ErrorCode;

use super::part::{answer, list, many, object, of_this, one, related, thing};
use crate::fronts::http::ask::{Asker, InPath};
use crate::fronts::http::faces::call::{Call, offset, schema};
use crate::fronts::http::media::JSON;
use crate::fronts::http::problem::Problem;
use crate::fronts::http::topics::{Moment, check};

/// The versions that are asked.
const LIST_GROUPS: i16 = 5;
const DESCRIBE_GROUPS: i16 = 5;
const CONSUMER_GROUP_DESCRIBE: i16 = 1;
const OFFSET_FETCH: i16 = 8;

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

/// A group, whichever protocol it has.
#[derive(Default)]
struct Found {
    id: String,
    state: String,
    kind: String,
    assignor: String,
    members: Vec<Member>,
}

struct Member {
    id: String,
    instance: Option<String>,
    client: String,
    host: String,
    /// What it has, where the broker knows it.
    has: Vec<(String, i32)>,
}

impl Found {
    fn of_consumer(group: ConsumerGroupDescribedGroup) -> Found {
        let members = group.members.into_iter().map(|member| Member {
            id: member.member_id,
            instance: member.instance_id,
            client: member.client_id,
            host: member.client_host,
            has: member
                .assignment
                .topic_partitions
                .into_iter()
                .flat_map(|topic| {
                    let name = topic.topic_name;
                    topic.partitions.into_iter().map(move |partition| (name.clone(), partition))
                })
                .collect(),
        });
        Found {
            members: members.collect(),
            id: group.group_id,
            state: group.group_state,
            kind: "consumer".to_owned(),
            assignor: group.assignor_name,
        }
    }

    fn of_classic(group: DescribedGroup) -> Found {
        let members = group.members.into_iter().map(|member| Member {
            id: member.member_id,
            instance: member.group_instance_id,
            client: member.client_id,
            host: member.client_host,
            has: assigned(&member.member_assignment),
        });
        Found {
            members: members.collect(),
            id: group.group_id,
            state: group.group_state,
            kind: "classic".to_owned(),
            assignor: group.protocol_data,
        }
    }

    fn told(&self, cluster: &str) -> Value {
        let at = format!("/v3/clusters/{cluster}/consumer-groups/{}", self.id);
        let has = json!({
            "cluster_id": cluster,
            "consumer_group_id": self.id,
            "is_simple": self.kind == "classic" && self.members.is_empty() && self.assignor.is_empty(),
            "partition_assignor": self.assignor,
            "state": self.state.to_uppercase(),
            "type": self.kind,
            "consumers": related(format!("{at}/consumers")),
            "lag_summary": related(format!("{at}/lag-summary")),
        });
        thing("KafkaConsumerGroup", at, has)
    }

    /// Who has a partition.
    fn owner(&self, topic: &str, partition: i32) -> Option<&Member> {
        self.members
            .iter()
            .find(|member| member.has.iter().any(|(name, index)| name == topic && *index == partition))
    }
}

/// What a member of the classic protocol was assigned, when it is a consumer's.
fn assigned(bytes: &[u8]) -> Vec<(String, i32)> {
    use strandline_protocol::messages::ConsumerProtocolAssignment;
    let Ok(assignment) = ConsumerProtocolAssignment::decode(bytes) else { return Vec::new() };
    let topics = assignment.assigned_partitions.into_iter();
    topics.flat_map(|topic| topic.partitions.into_iter().map(move |it| (topic.topic.clone(), it))).collect()
}

async fn listed(asker: &Asker) -> Result<Vec<ListedGroup>, Problem> {
    let answer = asker.ask(LIST_GROUPS, &ListGroupsRequest::default()).await?;
    check(answer.error_code, "groups")?;
    let mut found = answer.groups;
    found.sort_unstable_by(|one, other| one.group_id.cmp(&other.group_id));
    Ok(found)
}

async fn find(asker: &Asker, name: &str) -> Result<Found, Problem> {
    let request = ConsumerGroupDescribeRequest { group_ids: vec![name.to_owned()], ..Default::default() };
    let answer = asker.ask(CONSUMER_GROUP_DESCRIBE, &request).await?;
    let of = format!("group {name}");
    if let Some(group) = answer.groups.into_iter().next() {
        match ErrorCode::try_from(group.error_code) {
            Ok(ErrorCode::GroupIdNotFound) => {}
            _ => {
                check(group.error_code, &of)?;
                return Ok(Found::of_consumer(group));
            }
        }
    }
    let request = DescribeGroupsRequest { groups: vec![name.to_owned()], ..Default::default() };
    let answer = asker.ask(DESCRIBE_GROUPS, &request).await?;
    let group = answer.groups.into_iter().next().unwrap_or_default();
    check(group.error_code, &of)?;
    if group.group_state == "Dead" {
        return Err(Problem::of_kafka(ErrorCode::GroupIdNotFound, &of));
    }
    Ok(Found::of_classic(group))
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
        let mut told = found.told(&id);
        told["is_simple"] = (found.kind == "classic" && group.protocol_type.is_empty()).into();
        told
    };
    Ok(list("KafkaConsumerGroupList", &uri, listed(&asker).await?.into_iter().map(told).collect()))
}

async fn group(asker: Asker, InPath((named, name)): InGroup) -> Result<Response, Problem> {
    let id = of_this(&asker, &named)?;
    Ok(answer(StatusCode::OK, &find(&asker, &name).await?.told(&id)))
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

/// How far a group is behind in a partition.
struct Lag {
    topic: String,
    partition: i32,
    committed: i64,
    end: i64,
}

impl Lag {
    fn behind(&self) -> i64 {
        (self.end - self.committed).max(0)
    }
}

/// Where a group has committed something.
async fn behind(asker: &Asker, name: &str) -> Result<Vec<Lag>, Problem> {
    let group = OffsetFetchRequestGroup { group_id: name.to_owned(), topics: None, ..Default::default() };
    let request = OffsetFetchRequest { groups: vec![group], ..Default::default() };
    let answer = asker.ask(OFFSET_FETCH, &request).await?;
    let mut committed = BTreeMap::new();
    for group in answer.groups {
        check(group.error_code, &format!("group {name}"))?;
        for topic in group.topics {
            for partition in topic.partitions {
                if partition.error_code == 0 && partition.committed_offset >= 0 {
                    committed
                        .insert((topic.name.clone(), partition.partition_index), partition.committed_offset);
                }
            }
        }
    }
    // What was deleted since has no end.
    let topics = asker.engine()?.topics();
    committed.retain(|(topic, partition), _| {
        topics.by_name(topic).is_some_and(|it| it.partition(*partition).is_some())
    });
    drop(topics);
    let at: Vec<(&str, i32)> =
        committed.keys().map(|(topic, partition)| (topic.as_str(), *partition)).collect();
    let ends = asker.offsets(&at, Moment::Latest, Isolation::ReadUncommitted).await?;
    let found = committed.iter().zip(ends).map(|(((topic, partition), committed), end)| Lag {
        topic: topic.clone(),
        partition: *partition,
        committed: *committed,
        end: end.unwrap_or(*committed),
    });
    Ok(found.collect())
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
