//! Who is in a group, and what each member has: of whichever kind it is.

use std::collections::BTreeMap;

use super::connection::Connection;
use super::groups::{CONSUMER, Group, GroupEpochs, GroupError, Member, MemberTarget, not_mentioned};
use super::streams_groups::{StreamsMember, StreamsTopology, TasksByRole};
use crate::{Address, Client, Code};
use strandline_protocol::messages::{
    ConsumerGroupDescribeRequest, ConsumerGroupDescribedAssignment, ConsumerGroupDescribedMember,
    ConsumerProtocolAssignment, DescribeGroupsRequest, DescribedGroup, ShareGroupDescribeRequest,
    ShareGroupDescribedMember, StreamsGroupDescribeRequest, StreamsGroupDescribedMember,
};
use strandline_protocol::wire::{ApiKey, ErrorCode};

/// The protocol type of share groups.
const SHARE: &str = "share";

/// The protocol type of streams groups.
const STREAMS: &str = "streams";

/// The state of a group that there is not.
const DEAD: &str = "Dead";

impl Client {
    /// A group.
    ///
    /// # Errors
    /// [`GroupError`]; GROUP_ID_NOT_FOUND when there is none of this name.
    pub fn group(&mut self, name: &str) -> Result<Group, GroupError> {
        self.retrying(|client| {
            let (id, mut coordinator) = client.dial_coordinator(name)?;
            if let Some(group) = consumer_group_at(&mut coordinator, id, name)? {
                return Ok(group);
            }
            if let Some(group) = share_group_at(&mut coordinator, id, name)? {
                return Ok(group);
            }
            if let Some(group) = streams_group_at(&mut coordinator, id, name)? {
                return Ok(group);
            }
            let request =
                DescribeGroupsRequest { groups: vec![name.to_owned()], ..DescribeGroupsRequest::default() };
            let response = coordinator.call(&request)?;
            let found = response.groups.into_iter().find(|group| group.group_id == name);
            let found = found.ok_or_else(|| not_mentioned(name, ApiKey::DescribeGroups))?;
            // Before version 6 a group that there is not is a dead one.
            let code = match found.error_code {
                0 if found.group_state == DEAD => ErrorCode::GroupIdNotFound.code(),
                code => code,
            };
            Code::check(code).map_err(|code| {
                let (group, message) = (name.to_owned(), found.error_message.clone());
                GroupError::Refused { group, api: ApiKey::DescribeGroups, code, message }
            })?;
            described(found, (id, coordinator.address().clone()))
        })
    }
}

/// A group of KIP-848; `None` when it is another one, or the broker knows no such groups.
fn consumer_group_at(coordinator: &mut Connection, id: i32, name: &str) -> Result<Option<Group>, GroupError> {
    if coordinator.version::<ConsumerGroupDescribeRequest>(i16::MAX).is_err() {
        return Ok(None);
    }
    let request = ConsumerGroupDescribeRequest { group_ids: vec![name.to_owned()], ..Default::default() };
    let response = coordinator.call(&request)?;
    let found = response.groups.into_iter().find(|group| group.group_id == name);
    let api = ApiKey::ConsumerGroupDescribe;
    let found = found.ok_or_else(|| not_mentioned(name, api))?;
    let code = Code(found.error_code);
    // Kafka before 4.0 has the request, and a switch for it.
    if code.is(ErrorCode::GroupIdNotFound) || code.is(ErrorCode::UnsupportedVersion) {
        return Ok(None);
    }
    Code::check(found.error_code).map_err(|code| {
        let (group, message) = (name.to_owned(), found.error_message.clone());
        GroupError::Refused { group, api, code, message }
    })?;
    let mut members: Vec<_> = found.members.into_iter().map(consumer_member).collect();
    members.sort_by(|one, other| one.id.cmp(&other.id));
    Ok(Some(Group {
        name: found.group_id,
        state: found.group_state,
        coordinator: (id, coordinator.address().clone()),
        protocol_type: CONSUMER.to_owned(),
        protocol: found.assignor_name,
        members,
        epochs: Some(GroupEpochs { group: found.group_epoch, assignment: found.assignment_epoch }),
        topology: None,
    }))
}

fn consumer_member(member: ConsumerGroupDescribedMember) -> Member {
    let by_topic = |assignment: ConsumerGroupDescribedAssignment| {
        let topics = assignment.topic_partitions.into_iter().map(|topic| {
            let mut partitions = topic.partitions;
            partitions.sort_unstable();
            (topic.topic_name, partitions)
        });
        topics.collect()
    };
    Member {
        id: member.member_id,
        instance_id: member.instance_id,
        client_id: member.client_id,
        host: member.client_host,
        assignment: by_topic(member.assignment),
        target: Some(MemberTarget {
            epoch: member.member_epoch,
            assignment: by_topic(member.target_assignment),
        }),
        streams: None,
    }
}

fn described(found: DescribedGroup, coordinator: (i32, Address)) -> Result<Group, GroupError> {
    let mut members = Vec::with_capacity(found.members.len());
    for member in found.members {
        let mut assignment = BTreeMap::new();
        if found.protocol_type == CONSUMER {
            let read = ConsumerProtocolAssignment::decode(&member.member_assignment).map_err(|source| {
                let (group, member) = (found.group_id.clone(), member.member_id.clone());
                GroupError::Unreadable { group, member, source }
            })?;
            assignment.extend(read.assigned_partitions.into_iter().map(|topic| {
                let mut partitions = topic.partitions;
                partitions.sort_unstable();
                (topic.topic, partitions)
            }));
        }
        members.push(Member {
            id: member.member_id,
            instance_id: member.group_instance_id,
            client_id: member.client_id,
            host: member.client_host,
            assignment,
            target: None,
            streams: None,
        });
    }
    members.sort_by(|one, other| one.id.cmp(&other.id));
    Ok(Group {
        name: found.group_id,
        state: found.group_state,
        coordinator,
        protocol_type: found.protocol_type,
        protocol: found.protocol_data,
        members,
        epochs: None,
        topology: None,
    })
}

/// A share group; `None` when it is another one, or the broker knows no such groups.
fn share_group_at(coordinator: &mut Connection, id: i32, name: &str) -> Result<Option<Group>, GroupError> {
    if coordinator.version::<ShareGroupDescribeRequest>(i16::MAX).is_err() {
        return Ok(None);
    }
    let request = ShareGroupDescribeRequest { group_ids: vec![name.to_owned()], ..Default::default() };
    let response = coordinator.call(&request)?;
    let found = response.groups.into_iter().find(|group| group.group_id == name);
    let found = found.ok_or_else(|| not_mentioned(name, ApiKey::ShareGroupDescribe))?;
    let code = Code(found.error_code);
    if code.is(ErrorCode::GroupIdNotFound) || code.is(ErrorCode::UnsupportedVersion) {
        return Ok(None);
    }
    Code::check(found.error_code).map_err(|code| {
        let (group, message) = (name.to_owned(), found.error_message.clone());
        GroupError::Refused { group, api: ApiKey::ShareGroupDescribe, code, message }
    })?;
    let mut members: Vec<_> = found.members.into_iter().map(member).collect();
    members.sort_by(|one, other| one.id.cmp(&other.id));
    Ok(Some(Group {
        name: found.group_id,
        state: found.group_state,
        coordinator: (id, coordinator.address().clone()),
        protocol_type: SHARE.to_owned(),
        protocol: found.assignor_name,
        members,
        epochs: Some(GroupEpochs { group: found.group_epoch, assignment: found.assignment_epoch }),
        topology: None,
    }))
}

fn member(member: ShareGroupDescribedMember) -> Member {
    let topics = member.assignment.topic_partitions.into_iter().map(|topic| {
        let mut partitions = topic.partitions;
        partitions.sort_unstable();
        (topic.topic_name, partitions)
    });
    let assignment: BTreeMap<_, _> = topics.collect();
    // It gives nothing up, and so has at once what it shall have.
    let target = MemberTarget { epoch: member.member_epoch, assignment: assignment.clone() };
    Member {
        id: member.member_id,
        instance_id: None,
        client_id: member.client_id,
        host: member.client_host,
        assignment,
        target: Some(target),
        streams: None,
    }
}

/// A streams group; `None` when it is another one, or the broker knows no such groups.
fn streams_group_at(coordinator: &mut Connection, id: i32, name: &str) -> Result<Option<Group>, GroupError> {
    if coordinator.version::<StreamsGroupDescribeRequest>(i16::MAX).is_err() {
        return Ok(None);
    }
    let request = StreamsGroupDescribeRequest { group_ids: vec![name.to_owned()], ..Default::default() };
    let response = coordinator.call(&request)?;
    let found = response.groups.into_iter().find(|group| group.group_id == name);
    let found = found.ok_or_else(|| not_mentioned(name, ApiKey::StreamsGroupDescribe))?;
    let code = Code(found.error_code);
    if code.is(ErrorCode::GroupIdNotFound) || code.is(ErrorCode::UnsupportedVersion) {
        return Ok(None);
    }
    Code::check(found.error_code).map_err(|code| {
        let (group, message) = (name.to_owned(), found.error_message.clone());
        GroupError::Refused { group, api: ApiKey::StreamsGroupDescribe, code, message }
    })?;
    let topology = found.topology.map(StreamsTopology::from);
    let members = found.members.into_iter().map(|member| streams_member(member, topology.as_ref()));
    let mut members: Vec<_> = members.collect();
    members.sort_by(|one, other| one.id.cmp(&other.id));
    Ok(Some(Group {
        name: found.group_id,
        state: found.group_state,
        coordinator: (id, coordinator.address().clone()),
        protocol_type: STREAMS.to_owned(),
        protocol: found.assignor_name.unwrap_or_default(),
        members,
        epochs: Some(GroupEpochs { group: found.group_epoch, assignment: found.assignment_epoch }),
        topology,
    }))
}

fn streams_member(member: StreamsGroupDescribedMember, topology: Option<&StreamsTopology>) -> Member {
    let tasks = TasksByRole::from(member.assignment);
    let target = TasksByRole::from(member.target_assignment);
    let read = |tasks: &TasksByRole| {
        topology.map(|topology| topology.partitions_of(&tasks.active)).unwrap_or_default()
    };
    Member {
        id: member.member_id,
        instance_id: member.instance_id,
        client_id: member.client_id,
        host: member.client_host,
        assignment: read(&tasks),
        target: Some(MemberTarget { epoch: member.member_epoch, assignment: read(&target) }),
        streams: Some(StreamsMember {
            process_id: member.process_id,
            endpoint: member.user_endpoint.map(|endpoint| (endpoint.host, endpoint.port)),
            topology_epoch: member.topology_epoch,
            tasks,
            target,
        }),
    }
}
