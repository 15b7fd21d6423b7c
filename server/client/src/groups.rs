//! Consumer groups from outside: which there are, who is in them, how far they have read.
//!
//! Every broker coordinates some groups. A list is collected from all brokers; everything else is asked of
//! the group's own coordinator, which FindCoordinator names.

use super::admin::said;
use super::cluster::Retriable;
use super::connection::Connection;
use super::streams_groups::{StreamsMember, StreamsTopology};
use crate::{Address, Client, Code, MetadataError, RequestError};
use std::collections::BTreeMap;
use strandline_protocol::messages::{
    Coordinator, DeleteGroupsRequest, FindCoordinatorRequest, ListGroupsRequest, OffsetCommitRequest,
    OffsetCommitRequestPartition, OffsetCommitRequestTopic, OffsetFetchRequest, OffsetFetchRequestGroup,
    OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use strandline_protocol::wire::{ApiKey, EncodeError, ErrorCode, WireError};

/// What FindCoordinator calls a group.
const KEY_GROUP: i8 = 0;

/// From this version on, FindCoordinator takes a list of keys.
const COORDINATORS_FROM: i16 = 4;

/// From this version on, OffsetFetch takes a list of groups.
const GROUPS_FROM: i16 = 8;

/// The protocol type of consumers, whose members say in a known format what they read.
pub(super) const CONSUMER: &str = "consumer";

/// How far a group has read: for each topic and partition the offset of the next record.
pub type GroupOffsets = BTreeMap<String, BTreeMap<i32, i64>>;

/// A group in a list.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct GroupSummary {
    /// Its name.
    pub name: String,
    /// As Kafka writes it, for example `Stable`; empty from brokers before Kafka 2.6.
    pub state: String,
    /// `consumer` for consumers, `share` for a share group, `streams` for a streams group; empty when the
    /// group has nothing but offsets.
    pub protocol_type: String,
    /// How its members agree: `classic` or `consumer` among consumers, `share`, `streams`; empty from
    /// brokers before Kafka 3.8.
    pub group_type: String,
}

/// A group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// As Kafka writes it, for example `Stable`.
    pub state: String,
    /// The broker that keeps it, and where that listens.
    pub coordinator: (i32, Address),
    /// `consumer` for consumers, `share` for a share group, `streams` for a streams group; empty when the
    /// group has nothing but offsets.
    pub protocol_type: String,
    /// The assignor; empty unless the group is stable.
    pub protocol: String,
    /// Who is in it.
    pub members: Vec<Member>,
    /// Of a group whose broker says who reads what (KIP-848, KIP-932, KIP-1071).
    pub epochs: Option<GroupEpochs>,
    /// Of a streams group that somebody has joined.
    pub topology: Option<StreamsTopology>,
}

/// How far a group is whose broker says who reads what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupEpochs {
    /// Raised with each change of members or topics.
    pub group: i32,
    /// The one that the assignment was computed for.
    pub assignment: i32,
}

/// How far a member of such a group is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberTarget {
    /// That of the assignment that it has come to.
    pub epoch: i32,
    /// What it shall read.
    pub assignment: BTreeMap<String, Vec<i32>>,
}

/// A member of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The id that the coordinator gave it.
    pub id: String,
    /// The name that its operator gave it, of a static member.
    pub instance_id: Option<String>,
    /// What the client calls itself.
    pub client_id: String,
    /// Where it connects from.
    pub host: String,
    /// What it reads; empty of a classic group unless that is a stable one of consumers.
    pub assignment: BTreeMap<String, Vec<i32>>,
    /// Of a member of a group whose broker says who reads what.
    pub target: Option<MemberTarget>,
    /// Of a member of a streams group.
    pub streams: Option<StreamsMember>,
}

/// Why something about a group was not done.
#[derive(Debug, thiserror::Error)]
pub enum GroupError {
    /// There was no broker to ask.
    #[error(transparent)]
    Metadata(#[from] MetadataError),
    /// A broker did not answer; whether it did what it was asked is not known when the connection was lost.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// A broker did not list its groups.
    #[error("{address}: ListGroups: {code}")]
    List {
        /// The broker.
        address: Address,
        /// Its reason.
        code: Code,
    },
    /// The coordinator, or whoever was to name it, said no.
    #[error("group {group}: {api}: {code}{}", said(message))]
    Refused {
        /// The group.
        group: String,
        /// The request.
        api: ApiKey,
        /// The reason.
        code: Code,
        /// Its words.
        message: Option<String>,
    },
    /// The coordinator said no for one partition.
    #[error("group {group}: {api}: topic {topic}, partition {partition}: {code}")]
    Partition {
        /// The group.
        group: String,
        /// The request.
        api: ApiKey,
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The reason.
        code: Code,
    },
    /// The coordinator is at an address that is none.
    #[error("group {group}: FindCoordinator: {host}:{port} is no address")]
    Address {
        /// The group.
        group: String,
        /// The host.
        host: String,
        /// The port.
        port: i32,
    },
    /// The answer does not have the group that was asked for.
    #[error("group {group}: {api}: the broker's answer does not mention it")]
    NotMentioned {
        /// The group.
        group: String,
        /// The request.
        api: ApiKey,
    },
    /// What a member told the others is not readable.
    #[error("group {group}: what member {member} says to the others is not readable: {source}")]
    Unreadable {
        /// The group.
        group: String,
        /// The member.
        member: String,
        /// What is wrong.
        source: WireError,
    },
    /// What is to be told to the others can not be written.
    #[error("group {group}: {source}")]
    Unwritable {
        /// The group.
        group: String,
        /// What is wrong.
        source: EncodeError,
    },
}

impl GroupError {
    /// Whether it was refused for this reason.
    pub fn is(&self, reason: ErrorCode) -> bool {
        self.code().is_some_and(|code| code.is(reason))
    }

    pub(super) fn code(&self) -> Option<Code> {
        match self {
            GroupError::Refused { code, .. }
            | GroupError::Partition { code, .. }
            | GroupError::List { code, .. } => Some(*code),
            _ => None,
        }
    }
}

impl Retriable for GroupError {
    fn is_retriable(&self) -> bool {
        match self {
            GroupError::Metadata(error) => error.is_retriable(),
            GroupError::Request(error) => error.is_retriable(),
            _ => self.code().is_some_and(|code| code.is_retriable() && !code.is_unknown_topic()),
        }
    }
}

/// `Ok` for 0, else the refusal.
pub(super) fn check(group: &str, api: ApiKey, code: i16) -> Result<(), GroupError> {
    let refused = |code| GroupError::Refused { group: group.to_owned(), api, code, message: None };
    Code::check(code).map_err(refused)
}

impl Client {
    /// The groups of all brokers that are in one of these states, or all for no state, in the order of their
    /// names.
    ///
    /// # Errors
    /// [`GroupError`].
    pub fn groups(&mut self, states: &[String]) -> Result<Vec<GroupSummary>, GroupError> {
        self.retrying(|client| {
            let mut groups = Vec::new();
            for mut broker in client.dial_all()? {
                let request =
                    ListGroupsRequest { states_filter: states.to_vec(), ..ListGroupsRequest::default() };
                let response = broker.call(&request)?;
                Code::check(response.error_code)
                    .map_err(|code| GroupError::List { address: broker.address().clone(), code })?;
                groups.extend(response.groups.into_iter().map(|group| GroupSummary {
                    name: group.group_id,
                    state: group.group_state,
                    protocol_type: group.protocol_type,
                    group_type: group.group_type,
                }));
            }
            groups.sort();
            Ok(groups)
        })
    }

    /// Deletes a group without members, and its offsets.
    ///
    /// # Errors
    /// [`GroupError`].
    pub fn delete_group(&mut self, name: &str) -> Result<(), GroupError> {
        let mut lost = false;
        self.retrying(|client| {
            let (_, mut coordinator) = client.dial_coordinator(name)?;
            let response = coordinator.call(&DeleteGroupsRequest { groups_names: vec![name.to_owned()] });
            let before = std::mem::replace(&mut lost, response.is_err());
            let response = response?;
            let result = response.results.into_iter().find(|result| result.group_id == name);
            let result = result.ok_or_else(|| not_mentioned(name, ApiKey::DeleteGroups))?;
            match Code(result.error_code).is(ErrorCode::GroupIdNotFound) && before {
                // The attempt whose answer was lost has done it.
                true => Ok(()),
                false => check(name, ApiKey::DeleteGroups, result.error_code),
            }
        })
    }

    /// All offsets that a group has committed; none for a group that there is not.
    ///
    /// # Errors
    /// [`GroupError`].
    pub fn group_offsets(&mut self, name: &str) -> Result<GroupOffsets, GroupError> {
        self.retrying(|client| {
            let (_, mut coordinator) = client.dial_coordinator(name)?;
            offsets_at(&mut coordinator, name, None)
        })
    }

    /// Sets offsets of a group that has no members.
    ///
    /// # Errors
    /// [`GroupError`]; the offsets of some partitions may have been set.
    pub fn set_group_offsets(&mut self, name: &str, offsets: &GroupOffsets) -> Result<(), GroupError> {
        self.retrying(|client| {
            let (_, mut coordinator) = client.dial_coordinator(name)?;
            commit_at(&mut coordinator, name, None, offsets)
        })
    }

    /// A new connection to the coordinator of a group, and its id.
    pub(super) fn dial_coordinator(&mut self, group: &str) -> Result<(i32, Connection), GroupError> {
        let found = self.asking(|control| {
            let version = control.version::<FindCoordinatorRequest>(i16::MAX)?;
            let many = version >= COORDINATORS_FROM;
            let request = FindCoordinatorRequest {
                key: if many { String::new() } else { group.to_owned() },
                key_type: KEY_GROUP,
                coordinator_keys: if many { vec![group.to_owned()] } else { Vec::new() },
            };
            let response = control.call_in(version, &request)?;
            Ok(match many {
                true => response.coordinators.into_iter().find(|coordinator| coordinator.key == group),
                false => Some(Coordinator {
                    key: group.to_owned(),
                    node_id: response.node_id,
                    host: response.host,
                    port: response.port,
                    error_code: response.error_code,
                    error_message: response.error_message,
                }),
            })
        })?;
        let api = ApiKey::FindCoordinator;
        let Coordinator { node_id, host, port, error_code, error_message: message, .. } =
            found.ok_or_else(|| not_mentioned(group, api))?;
        Code::check(error_code).map_err(|code| {
            let group = group.to_owned();
            GroupError::Refused { group, api, code, message }
        })?;
        match u16::try_from(port) {
            Ok(port) => Ok((node_id, self.dial(&Address { host, port })?)),
            Err(_) => Err(GroupError::Address { group: group.to_owned(), host, port }),
        }
    }
}

pub(super) fn not_mentioned(group: &str, api: ApiKey) -> GroupError {
    GroupError::NotMentioned { group: group.to_owned(), api }
}

/// The offsets that a group has committed, of one topic or of all.
pub(super) fn offsets_at(
    coordinator: &mut Connection,
    group: &str,
    of: Option<(&str, &[i32])>,
) -> Result<GroupOffsets, GroupError> {
    let api = ApiKey::OffsetFetch;
    let version = coordinator.version::<OffsetFetchRequest>(i16::MAX)?;
    let mut request = OffsetFetchRequest::default();
    if version >= GROUPS_FROM {
        let topics = of.map(|(name, partitions)| {
            vec![OffsetFetchRequestTopics { name: name.to_owned(), partition_indexes: partitions.to_vec() }]
        });
        let group_id = group.to_owned();
        request.groups =
            vec![OffsetFetchRequestGroup { group_id, topics, ..OffsetFetchRequestGroup::default() }];
    } else {
        request.group_id = group.to_owned();
        request.topics = of.map(|(name, partitions)| {
            vec![OffsetFetchRequestTopic { name: name.to_owned(), partition_indexes: partitions.to_vec() }]
        });
    }
    let response = coordinator.call_in(version, &request)?;

    // Both forms of the answer as (code, topic, partition, code, offset).
    let (code, partitions): (i16, Vec<(String, i32, i16, i64)>) = if version >= GROUPS_FROM {
        let found = response.groups.into_iter().find(|found| found.group_id == group);
        let found = found.ok_or_else(|| not_mentioned(group, api))?;
        let partitions = found.topics.into_iter().flat_map(|topic| {
            let name = topic.name;
            topic.partitions.into_iter().map(move |partition| {
                (name.clone(), partition.partition_index, partition.error_code, partition.committed_offset)
            })
        });
        (found.error_code, partitions.collect())
    } else {
        let partitions = response.topics.into_iter().flat_map(|topic| {
            let name = topic.name;
            topic.partitions.into_iter().map(move |partition| {
                (name.clone(), partition.partition_index, partition.error_code, partition.committed_offset)
            })
        });
        (response.error_code, partitions.collect())
    };
    check(group, api, code)?;
    let mut offsets = GroupOffsets::new();
    for (topic, partition, code, offset) in partitions {
        Code::check(code).map_err(|code| {
            let (group, topic) = (group.to_owned(), topic.clone());
            GroupError::Partition { group, api, topic, partition, code }
        })?;
        // -1: nothing has been committed.
        if offset >= 0 {
            offsets.entry(topic).or_default().insert(partition, offset);
        }
    }
    Ok(offsets)
}

/// Commits offsets, as a member (its id and generation) or from outside.
pub(super) fn commit_at(
    coordinator: &mut Connection,
    group: &str,
    member: Option<(&str, i32)>,
    offsets: &GroupOffsets,
) -> Result<(), GroupError> {
    let topics = offsets.iter().map(|(name, offsets)| OffsetCommitRequestTopic {
        name: name.clone(),
        partitions: offsets
            .iter()
            .map(|(&partition_index, &committed_offset)| OffsetCommitRequestPartition {
                partition_index,
                committed_offset,
                committed_metadata: Some(String::new()),
                ..OffsetCommitRequestPartition::default()
            })
            .collect(),
    });
    let (member_id, generation) = member.unwrap_or(("", -1));
    let request = OffsetCommitRequest {
        group_id: group.to_owned(),
        generation_id_or_member_epoch: generation,
        member_id: member_id.to_owned(),
        topics: topics.collect(),
        ..OffsetCommitRequest::default()
    };
    let response = coordinator.call(&request)?;
    for topic in response.topics {
        for partition in topic.partitions {
            Code::check(partition.error_code).map_err(|code| GroupError::Partition {
                group: group.to_owned(),
                api: ApiKey::OffsetCommit,
                topic: topic.name.clone(),
                partition: partition.partition_index,
                code,
            })?;
        }
    }
    Ok(())
}
