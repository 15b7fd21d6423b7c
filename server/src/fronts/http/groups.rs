//! What all faces ask of groups: which there are, who is in one, and how far it is behind.

use std::collections::BTreeMap;

use strandline_engine::Isolation;
use strandline_protocol::messages::{
    ConsumerGroupDescribeRequest, ConsumerGroupDescribedGroup, ConsumerProtocolAssignment,
    DescribeGroupsRequest, DescribedGroup, ListGroupsRequest, ListedGroup, OffsetFetchRequest,
    OffsetFetchRequestGroup,
};
use strandline_protocol::wire::ErrorCode;

use super::ask::Asker;
use super::problem::Problem;
use super::topics::{Moment, check};

/// The versions that are asked.
const LIST_GROUPS: i16 = 5;
const DESCRIBE_GROUPS: i16 = 5;
const CONSUMER_GROUP_DESCRIBE: i16 = 1;
const OFFSET_FETCH: i16 = 8;

/// A group, whichever protocol it has.
#[derive(Default)]
pub(super) struct Found {
    pub(super) id: String,
    pub(super) state: String,
    pub(super) kind: String,
    pub(super) assignor: String,
    pub(super) members: Vec<Member>,
}

/// A member of a group.
pub(super) struct Member {
    pub(super) id: String,
    pub(super) instance: Option<String>,
    pub(super) client: String,
    pub(super) host: String,
    /// What it has, where the broker knows it.
    pub(super) has: Vec<(String, i32)>,
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

    /// Who has a partition.
    pub(super) fn owner(&self, topic: &str, partition: i32) -> Option<&Member> {
        self.members
            .iter()
            .find(|member| member.has.iter().any(|(name, index)| name == topic && *index == partition))
    }
}

/// What a member of the classic protocol was assigned, when it is a consumer's.
fn assigned(bytes: &[u8]) -> Vec<(String, i32)> {
    let Ok(assignment) = ConsumerProtocolAssignment::decode(bytes) else { return Vec::new() };
    let topics = assignment.assigned_partitions.into_iter();
    topics.flat_map(|topic| topic.partitions.into_iter().map(move |it| (topic.topic.clone(), it))).collect()
}

/// How far a group is behind in a partition.
pub(super) struct Lag {
    pub(super) topic: String,
    pub(super) partition: i32,
    pub(super) committed: i64,
    pub(super) end: i64,
}

impl Lag {
    /// The records between both.
    pub(super) fn behind(&self) -> i64 {
        (self.end - self.committed).max(0)
    }
}

/// Where a group has committed something.
///
/// # Errors
/// [`Problem`].
pub(super) async fn behind(asker: &Asker, name: &str) -> Result<Vec<Lag>, Problem> {
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

/// All groups that the client may see, by name.
///
/// # Errors
/// [`Problem`].
pub(super) async fn listed(asker: &Asker) -> Result<Vec<ListedGroup>, Problem> {
    let answer = asker.ask(LIST_GROUPS, &ListGroupsRequest::default()).await?;
    check(answer.error_code, "groups")?;
    let mut found = answer.groups;
    found.sort_unstable_by(|one, other| one.group_id.cmp(&other.group_id));
    Ok(found)
}

/// A group.
///
/// # Errors
/// [`Problem`], also where there is none.
pub(super) async fn find(asker: &Asker, name: &str) -> Result<Found, Problem> {
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
