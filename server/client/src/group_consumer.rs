//! Reads one topic as a member of a consumer group: the members share its partitions, and the group remembers
//! how far it is.
//!
//! ```text
//!            +-------------------- REBALANCE_IN_PROGRESS: commit --------------------+
//!            v                                                                       |
//! poll > JoinGroup > [leader: assign] > SyncGroup > OffsetFetch > fetch, heartbeat, commit > ...
//! ```
//!
//! A record counts as done when the call after the [`poll`](GroupConsumer::poll) that gave it begins, so do
//! with it what has to be done before that. What is done is committed every second, before partitions are
//! handed over, and by [`commit`](GroupConsumer::commit); after a crash what was done since the last commit
//! is given again, to whoever has the partition then.
//!
//! No thread of its own: heartbeats are sent by `poll`, and a member that does not come back to it for ten
//! seconds is taken for dead. Partitions that the topic is given later are noticed by the next generation.

use super::assignor;
use super::cluster::Retriable;
use super::connection::Connection;
use super::groups::{CONSUMER, check, commit_at, offsets_at};
use super::retry::Retry;
use crate::{
    Client, ConsumeError, ConsumedRecord, Consumer, GroupError, GroupOffsets, ListOffsetsError, Moment,
};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::thread;
use std::time::{Duration, Instant};
use strandline_protocol::messages::{
    ConsumerProtocolAssignment, ConsumerProtocolSubscription, HeartbeatRequest, JoinGroupRequest,
    JoinGroupRequestProtocol, JoinGroupResponseMember, LeaveGroupRequest, MemberIdentity, SyncGroupRequest,
    SyncGroupRequestAssignment, TopicPartition,
};
use strandline_protocol::wire::{ApiKey, EncodeError, ErrorCode, WireError};

/// A member that is silent for so long is taken for dead.
const SESSION: Duration = Duration::from_secs(10);

/// How long the others wait for this member to rejoin: as long as one call of `poll` and what is done with
/// its records may take.
const REBALANCE: Duration = Duration::from_secs(60);

/// What is done is committed so often.
const COMMIT_EVERY: Duration = Duration::from_secs(1);

/// Three heartbeats a session, so that one may be lost.
const HEARTBEAT_EVERY: Duration = Duration::from_secs(3);

/// From this version on, LeaveGroup takes a list of members.
const LEAVE_MEMBERS_FROM: i16 = 3;

/// Why a member can not go on.
#[derive(Debug, thiserror::Error)]
pub enum GroupConsumeError {
    /// The coordinator.
    #[error(transparent)]
    Group(#[from] GroupError),
    /// The leaders of the partitions.
    #[error(transparent)]
    Consume(#[from] ConsumeError),
}

impl From<ListOffsetsError> for GroupConsumeError {
    fn from(error: ListOffsetsError) -> GroupConsumeError {
        GroupConsumeError::Consume(error.into())
    }
}

impl Retriable for GroupConsumeError {
    fn is_retriable(&self) -> bool {
        match self {
            GroupConsumeError::Group(error) => error.is_retriable(),
            GroupConsumeError::Consume(error) => error.is_retriable(),
        }
    }
}

/// A member of a group.
#[derive(Debug)]
pub struct GroupConsumer {
    client: Client,
    group: String,
    topic: String,
    start: Moment,
    coordinator: Option<Connection>,
    /// Empty until the coordinator has given one.
    member_id: String,
    generation: Option<Generation>,
    failing: Option<Retry>,
}

/// The member's part of one generation of the group.
#[derive(Debug)]
struct Generation {
    id: i32,
    /// Without partitions when there are more members than those.
    consumer: Consumer,
    committed: BTreeMap<i32, i64>,
    heartbeat_at: Instant,
    commit_at: Instant,
}

impl Generation {
    /// What is done and not committed.
    fn uncommitted(&self) -> BTreeMap<i32, i64> {
        let news = self
            .consumer
            .positions()
            .iter()
            .filter(|(partition, offset)| self.committed.get(partition) != Some(offset));
        news.map(|(&partition, &offset)| (partition, offset)).collect()
    }
}

impl GroupConsumer {
    /// A member of `group` that reads `topic`; partitions of which the group has no offset, or one that is
    /// not there any more, are read from `start` on. The group is joined by the first
    /// [`poll`](GroupConsumer::poll).
    pub fn new(client: Client, group: &str, topic: &str, start: Moment) -> GroupConsumer {
        GroupConsumer {
            client,
            group: group.to_owned(),
            topic: topic.to_owned(),
            start,
            coordinator: None,
            member_id: String::new(),
            generation: None,
            failing: None,
        }
    }

    /// For each partition that this member has the offset of the next record that will be given; `None` while
    /// the group rebalances.
    pub fn positions(&self) -> Option<&BTreeMap<i32, i64>> {
        self.generation.as_ref().map(|generation| generation.consumer.positions())
    }

    /// Joins the group if need be, or fetches once, waiting up to `wait` for records, and gives them to
    /// `each` until that breaks off; what it has not been given then comes again with the next call.
    ///
    /// Joining takes until all other members have rejoined, or their rebalance timeouts are over.
    ///
    /// # Errors
    /// [`GroupConsumeError`], after what may pass by itself was tried again.
    pub fn poll(
        &mut self,
        wait: Duration,
        each: impl FnMut(&ConsumedRecord<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, GroupConsumeError> {
        match self.step(wait, each) {
            Ok(flow) => {
                self.failing = None;
                Ok(flow)
            }
            Err(GroupConsumeError::Group(error)) => {
                self.recover(error)?;
                Ok(ControlFlow::Continue(()))
            }
            Err(error) => Err(error),
        }
    }

    /// Commits everything that was given.
    ///
    /// # Errors
    /// [`GroupConsumeError`]. When the group has begun another generation meanwhile it is none, and what was
    /// not committed will be given again.
    pub fn commit(&mut self) -> Result<(), GroupConsumeError> {
        loop {
            match self.commit_once() {
                Err(error) => self.recover(error)?,
                Ok(()) => {
                    self.failing = None;
                    return Ok(());
                }
            }
        }
    }

    /// Leaves the group, so that the others need not wait for the end of the session. Does not commit.
    ///
    /// # Errors
    /// [`GroupConsumeError`], when the coordinator could not be told at once.
    pub fn leave(mut self) -> Result<(), GroupConsumeError> {
        let member_id = std::mem::take(&mut self.member_id);
        if member_id.is_empty() {
            return Ok(());
        }
        let group_id = self.group.clone();
        let coordinator = self.coordinator()?;
        let version = coordinator.version::<LeaveGroupRequest>(i16::MAX).map_err(GroupError::from)?;
        let mut request = LeaveGroupRequest { group_id, ..LeaveGroupRequest::default() };
        match version >= LEAVE_MEMBERS_FROM {
            true => request.members = vec![MemberIdentity { member_id, ..MemberIdentity::default() }],
            false => request.member_id = member_id,
        }
        let response = coordinator.call_in(version, &request).map_err(GroupError::from)?;
        match check(&self.group, ApiKey::LeaveGroup, response.error_code) {
            // Taken for dead before.
            Err(error) if error.is(ErrorCode::UnknownMemberId) => Ok(()),
            left => Ok(left?),
        }
    }

    fn step(
        &mut self,
        wait: Duration,
        each: impl FnMut(&ConsumedRecord<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, GroupConsumeError> {
        let now = Instant::now();
        match &self.generation {
            None => {
                self.generation = Some(self.join()?);
                return Ok(ControlFlow::Continue(()));
            }
            Some(generation) => {
                let (commit_due, heartbeat_due) =
                    (generation.commit_at <= now, generation.heartbeat_at <= now);
                if commit_due {
                    self.commit_once()?;
                }
                if heartbeat_due {
                    self.heartbeat()?;
                }
            }
        }
        let Some(generation) = &mut self.generation else { return Ok(ControlFlow::Continue(())) };
        let wait = wait.min(generation.heartbeat_at.saturating_duration_since(Instant::now()));
        if generation.consumer.positions().is_empty() {
            thread::sleep(wait);
            return Ok(ControlFlow::Continue(()));
        }
        Ok(generation.consumer.poll(wait, each)?)
    }

    /// Makes good what the coordinator said no to, so that the next step can succeed; or says that nothing
    /// can.
    fn recover(&mut self, error: GroupError) -> Result<(), GroupConsumeError> {
        if error.is(ErrorCode::RebalanceInProgress) || error.is(ErrorCode::IllegalGeneration) {
            self.generation = None;
        } else if error.is(ErrorCode::UnknownMemberId) {
            self.generation = None;
            self.member_id.clear();
        } else if error.is_retriable() {
            self.coordinator = None;
        } else {
            return Err(error.into());
        }
        let give_up_after = self.client.limits().give_up_after;
        match self.failing.get_or_insert_with(|| Retry::new(give_up_after)).pause() {
            true => Ok(()),
            false => Err(error.into()),
        }
    }

    fn coordinator(&mut self) -> Result<&mut Connection, GroupError> {
        if self.coordinator.is_none() {
            self.coordinator = Some(self.client.dial_coordinator(&self.group)?.1);
        }
        Ok(self.coordinator.as_mut().expect("it was there or has been set"))
    }

    fn heartbeat(&mut self) -> Result<(), GroupError> {
        let Some(generation) = &mut self.generation else { return Ok(()) };
        let request = HeartbeatRequest {
            group_id: self.group.clone(),
            generation_id: generation.id,
            member_id: self.member_id.clone(),
            ..HeartbeatRequest::default()
        };
        generation.heartbeat_at = Instant::now() + HEARTBEAT_EVERY;
        let response = self.coordinator()?.call(&request)?;
        let alive = check(&self.group, ApiKey::Heartbeat, response.error_code);
        if let Err(error) = &alive
            && error.is(ErrorCode::RebalanceInProgress)
        {
            // Whoever has the partitions next shall begin where this member has stopped.
            self.commit_once()?;
        }
        alive
    }

    fn commit_once(&mut self) -> Result<(), GroupError> {
        let Some(generation) = &mut self.generation else { return Ok(()) };
        generation.commit_at = Instant::now() + COMMIT_EVERY;
        let news = generation.uncommitted();
        if news.is_empty() {
            return Ok(());
        }
        let id = generation.id;
        let offsets = GroupOffsets::from([(self.topic.clone(), news)]);
        let (group, member_id) = (self.group.clone(), self.member_id.clone());
        commit_at(self.coordinator()?, &group, Some((&member_id, id)), &offsets)?;
        if let Some(generation) = &mut self.generation {
            generation.committed.extend(offsets.into_values().flatten());
        }
        Ok(())
    }

    /// Enters the next generation of the group.
    fn join(&mut self) -> Result<Generation, GroupConsumeError> {
        let subscription =
            ConsumerProtocolSubscription { topics: vec![self.topic.clone()], ..Default::default() };
        let metadata = subscription.encode().map_err(|source| self.unwritable(source))?;
        let mut request = JoinGroupRequest {
            group_id: self.group.clone(),
            session_timeout_ms: SESSION.as_millis() as i32,
            rebalance_timeout_ms: REBALANCE.as_millis() as i32,
            member_id: self.member_id.clone(),
            protocol_type: CONSUMER.to_owned(),
            protocols: vec![JoinGroupRequestProtocol { name: assignor::RANGE.to_owned(), metadata }],
            ..JoinGroupRequest::default()
        };
        let joined = loop {
            let coordinator = self.coordinator()?;
            let version = coordinator.version::<JoinGroupRequest>(i16::MAX).map_err(GroupError::from)?;
            let response =
                coordinator.call_patiently(version, &request, REBALANCE).map_err(GroupError::from)?;
            let asked_to_come_back = response.error_code == ErrorCode::MemberIdRequired.code()
                && request.member_id.is_empty()
                && !response.member_id.is_empty();
            if !asked_to_come_back {
                check(&self.group, ApiKey::JoinGroup, response.error_code)?;
                break response;
            }
            self.member_id.clone_from(&response.member_id);
            request.member_id = response.member_id;
        };
        self.member_id.clone_from(&joined.member_id);

        let leads = joined.leader == joined.member_id && !joined.skip_assignment;
        let assignments = if leads { self.assign(&joined.members)? } else { Vec::new() };
        let sync = SyncGroupRequest {
            group_id: self.group.clone(),
            generation_id: joined.generation_id,
            member_id: joined.member_id,
            protocol_type: Some(CONSUMER.to_owned()),
            protocol_name: Some(assignor::RANGE.to_owned()),
            assignments,
            ..SyncGroupRequest::default()
        };
        let coordinator = self.coordinator()?;
        let version = coordinator.version::<SyncGroupRequest>(i16::MAX).map_err(GroupError::from)?;
        let synced = coordinator.call_patiently(version, &sync, REBALANCE).map_err(GroupError::from)?;
        check(&self.group, ApiKey::SyncGroup, synced.error_code)?;
        let assignment = ConsumerProtocolAssignment::decode(&synced.assignment)
            .map_err(|source| self.unreadable(&self.member_id, source))?;
        let own = assignment.assigned_partitions.into_iter().filter(|assigned| assigned.topic == self.topic);
        self.begin(joined.generation_id, own.flat_map(|assigned| assigned.partitions).collect())
    }

    /// As the leader: who reads what.
    fn assign(
        &mut self,
        members: &[JoinGroupResponseMember],
    ) -> Result<Vec<SyncGroupRequestAssignment>, GroupConsumeError> {
        let mut subscriptions = BTreeMap::new();
        let mut partitions: BTreeMap<String, i32> = BTreeMap::new();
        for member in members {
            let read = ConsumerProtocolSubscription::decode(&member.metadata)
                .map_err(|source| self.unreadable(&member.member_id, source))?;
            for topic in &read.topics {
                if !partitions.contains_key(topic) {
                    match self.client.topic(topic) {
                        Ok(found) => partitions.insert(topic.clone(), found.partitions.len() as i32),
                        // Nobody can read it.
                        Err(error) if error.is_unknown_topic() && *topic != self.topic => continue,
                        Err(error) => return Err(ConsumeError::from(error).into()),
                    };
                }
            }
            subscriptions.insert(member.member_id.clone(), read.topics);
        }
        let mut assignments = Vec::with_capacity(members.len());
        for (member_id, topics) in assignor::range(&subscriptions, &partitions) {
            let topics = topics.into_iter().map(|(topic, partitions)| TopicPartition { topic, partitions });
            let assignment =
                ConsumerProtocolAssignment { assigned_partitions: topics.collect(), user_data: None };
            let assignment = assignment.encode().map_err(|source| self.unwritable(source))?;
            assignments.push(SyncGroupRequestAssignment { member_id, assignment });
        }
        Ok(assignments)
    }

    /// Starts to read these partitions where the group has stopped.
    fn begin(&mut self, id: i32, partitions: Vec<i32>) -> Result<Generation, GroupConsumeError> {
        let (group, topic) = (self.group.clone(), self.topic.clone());
        let mut committed = offsets_at(self.coordinator()?, &group, Some((&topic, &partitions)))?;
        let committed = committed.remove(&topic).unwrap_or_default();
        let earliest = self.client.offsets(&topic, &partitions, Moment::Earliest)?;
        let latest = self.client.offsets(&topic, &partitions, Moment::Latest)?;
        let mut positions = latest.clone();
        positions.extend(self.client.offsets(&topic, &partitions, self.start)?);
        for (&partition, &offset) in &committed {
            let at = |offsets: &BTreeMap<i32, i64>| offsets.get(&partition).copied().unwrap_or(0);
            if (at(&earliest)..=at(&latest)).contains(&offset) {
                positions.insert(partition, offset);
            }
        }
        let topic = self.client.topic(&topic).map_err(ConsumeError::from)?;
        let consumer = Consumer::new(self.client.another(), topic, positions);
        let now = Instant::now();
        let (heartbeat_at, commit_at) = (now + HEARTBEAT_EVERY, now + COMMIT_EVERY);
        Ok(Generation { id, consumer, committed, heartbeat_at, commit_at })
    }

    fn unreadable(&self, member: &str, source: WireError) -> GroupError {
        GroupError::Unreadable { group: self.group.clone(), member: member.to_owned(), source }
    }

    fn unwritable(&self, source: EncodeError) -> GroupError {
        GroupError::Unwritable { group: self.group.clone(), source }
    }
}
