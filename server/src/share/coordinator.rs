//! The share partitions of one partition of `__share_group_state`: what is stored of each, and who may change
//! it.
//!
//! * It is a [`Machine`]: memory says what is durable. While a change of a share partition is on its way, the
//!   next one is told to come again: its leader has one at a time, and nobody shall read what is older.
//! * A write names the state epoch and the leader's epoch that it goes by; one of before is fenced.
//! * Small states are written whole each time; of larger ones an update says what has changed since (see
//!   `records`).

use std::collections::HashMap;

use strandline_engine::topics::TopicTable;
use strandline_engine::types::{Offset, TopicId, base64_url};
use strandline_protocol::Uuid;
use strandline_protocol::wire::ErrorCode;

use super::partition::StateWrite;
use super::records::{Change, StateKey, from_values};
use super::state::{ShareState, Stored, UNINITIALIZED};
use crate::coordination::{self, Machine, Outcome, Reply, Turn, Write};

/// The settings of the coordinators.
#[derive(Clone, Debug)]
pub struct CoordinatorSettings {
    /// Updates that are written between two snapshots, at the most.
    pub updates_max: u32,
}

/// A partition of a topic for a group.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ShareKey {
    /// The group.
    pub group: String,
    /// The topic.
    pub topic: TopicId,
    /// The partition of it.
    pub partition: i32,
}

impl ShareKey {
    /// What decides which coordinator it has, as in Kafka.
    pub fn name(&self) -> String {
        format!("{}:{}:{}", self.group, base64_url(&self.topic.to_bytes()), self.partition)
    }

    fn record_key(&self) -> StateKey {
        StateKey {
            group: self.group.clone(),
            topic_id: Uuid::from_bytes(self.topic.to_bytes()),
            partition: self.partition,
        }
    }

    fn from_record(key: StateKey) -> ShareKey {
        let StateKey { group, topic_id, partition } = key;
        ShareKey { group, topic: TopicId::from_bytes(topic_id.into_bytes()), partition }
    }
}

/// Which state it is of those that a share partition has had: the state epoch, and the number of the
/// snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateVersion(i32, i32);

/// What of a share partition may be lost when it gets its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replaces {
    /// Nothing that was used. Several members that come at once have the states of their group made, and one
    /// of them may have acknowledged records by then (D9).
    Unused,
    /// This one, which a group of the same name has left.
    Version(StateVersion),
    /// Whatever there is: the group is told to begin elsewhere.
    Any,
}

/// What others want to know of a share partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Which state it is.
    pub version: StateVersion,
    /// Everything before it is done with; -1 when nobody has fetched yet.
    pub start: i64,
    /// The epoch of the leader that wrote last.
    pub leader_epoch: i32,
    /// Offsets from `start` on that are done with.
    pub done: i32,
}

/// What follows when a write has settled, apart from what replay does.
pub(super) enum Then {
    /// Nothing.
    Nothing,
    /// Whoever had topics forgotten is told.
    Swept(Reply<()>),
}

/// The share partitions of one partition of the topic.
pub(super) struct ShareCoordinator {
    settings: CoordinatorSettings,
    states: HashMap<ShareKey, ShareState>,
}

type ShareTurn<'a> = Turn<'a, ShareCoordinator>;
type Answered<T> = Outcome<ShareCoordinator, Result<T, ErrorCode>>;

impl ShareCoordinator {
    /// A group has a share partition from now on, or has it begin elsewhere, in this state epoch or a later
    /// one: everybody who knows an older one is fenced. FENCED_STATE_EPOCH tells who may not have it so that
    /// there is one which stays.
    pub(super) fn initialize(
        &mut self,
        turn: &ShareTurn<'_>,
        key: &ShareKey,
        state_epoch: i32,
        start: i64,
        replaces: Replaces,
    ) -> Answered<()> {
        if let Err(code) = check(turn, key) {
            return Outcome::Answer(Err(code));
        }
        // A group of this name may have been here before, and left its state.
        let known = self.states.get(key);
        let stays = known.is_some_and(|known| match replaces {
            Replaces::Unused => known.start != UNINITIALIZED,
            Replaces::Version(version) => known.version() != version,
            Replaces::Any => false,
        });
        if stays {
            return Outcome::Answer(Err(ErrorCode::FencedStateEpoch));
        }
        if let Some(unused) = known.filter(|_| replaces == Replaces::Unused) {
            // Whoever serves it goes on; who was about to delete it does not.
            let change = self.snapshot(turn.now, key, unused.clone());
            return write(key, vec![change]);
        }
        let state_epoch =
            known.map_or(state_epoch, |known| state_epoch.max(known.state_epoch.saturating_add(1)));
        let mut state = ShareState::new(turn.now, state_epoch, start);
        state.snapshot_epoch = known.map_or(0, |known| known.snapshot_epoch.wrapping_add(1));
        write(key, vec![Change::Snapshot(key.record_key(), Some(state.to_snapshot()))])
    }

    /// What is stored, for the leader of this epoch: those before it are fenced from then on.
    pub(super) fn read(
        &mut self,
        turn: &ShareTurn<'_>,
        key: &ShareKey,
        leader_epoch: i32,
    ) -> Answered<Stored> {
        if let Err(code) = check(turn, key) {
            return Outcome::Answer(Err(code));
        }
        let Some(state) = self.states.get(key) else {
            return Outcome::Answer(Err(ErrorCode::InvalidRequest));
        };
        if state.leader_epoch > leader_epoch {
            return Outcome::Answer(Err(ErrorCode::FencedLeaderEpoch));
        }
        let stored = state.stored();
        if state.leader_epoch == leader_epoch {
            return Outcome::Answer(Ok(stored));
        }
        let mut next = state.clone();
        next.leader_epoch = leader_epoch;
        let change = self.snapshot(turn.now, key, next);
        let answer = move |settled: coordination::Stored| settled.map(|()| stored).map_err(ErrorCode::from);
        Outcome::Write(new_write(key, vec![change]), Box::new(answer))
    }

    /// Takes a change in.
    pub(super) fn write(
        &mut self,
        turn: &ShareTurn<'_>,
        key: &ShareKey,
        state_epoch: i32,
        leader_epoch: i32,
        change: &StateWrite,
    ) -> Answered<()> {
        if let Err(code) = check(turn, key) {
            return Outcome::Answer(Err(code));
        }
        let Some(state) = self.states.get(key) else {
            return Outcome::Answer(Err(ErrorCode::InvalidRequest));
        };
        if state.leader_epoch > leader_epoch {
            return Outcome::Answer(Err(ErrorCode::FencedLeaderEpoch));
        }
        if state.state_epoch > state_epoch {
            return Outcome::Answer(Err(ErrorCode::FencedStateEpoch));
        }
        let mut next = state.clone();
        let done = change.done.clamp(0, i32::MAX.into()) as i32;
        next.update(leader_epoch, change.start, done, &change.batches);
        let is_small = next.changed.len() >= next.batches.len();
        let change = match is_small || next.updates > self.settings.updates_max {
            true => self.snapshot(turn.now, key, next),
            false => Change::Update(key.record_key(), Some(next.to_update())),
        };
        write(key, vec![change])
    }

    fn snapshot(&self, now: i64, key: &ShareKey, mut next: ShareState) -> Change {
        next.snapshot_epoch = next.snapshot_epoch.wrapping_add(1);
        next.written = now;
        Change::Snapshot(key.record_key(), Some(next.to_snapshot()))
    }

    /// A group has a share partition no more, as it was: a state that was made since stays.
    pub(super) fn delete(
        &mut self,
        turn: &ShareTurn<'_>,
        key: &ShareKey,
        version: StateVersion,
    ) -> Answered<()> {
        if turn.is_in_flight(&key.name()) {
            return Outcome::Answer(Err(ErrorCode::CoordinatorLoadInProgress));
        }
        match self.states.get(key) {
            Some(known) if known.version() == version => write(key, tombstones(key)),
            Some(_) => Outcome::Answer(Err(ErrorCode::FencedStateEpoch)),
            None => Outcome::Answer(Ok(())),
        }
    }

    /// What others want to know; `None` when the group does not have it.
    pub(super) fn summary(&self, key: &ShareKey) -> Option<Summary> {
        let state = self.states.get(key)?;
        let ShareState { start, leader_epoch, done, .. } = *state;
        Some(Summary { version: state.version(), start, leader_epoch, done })
    }

    /// Lets go of the share partitions of topics that were deleted.
    pub(super) fn forget_deleted_topics(&mut self, turn: &mut ShareTurn<'_>, reply: Reply<()>) {
        self.sweep(turn);
        turn.write(None, Vec::new(), Then::Swept(reply));
    }

    fn sweep(&mut self, turn: &mut ShareTurn<'_>) {
        let topics = turn.topics();
        let gone: Vec<_> =
            self.states.keys().filter(|key| topics.by_id(key.topic).is_none()).cloned().collect();
        for key in gone {
            turn.write(Some(key.name()), tombstones(&key), Then::Nothing);
        }
    }
}

/// Whether a share partition may be asked for now.
fn check(turn: &ShareTurn<'_>, key: &ShareKey) -> Result<(), ErrorCode> {
    if !exists(&turn.topics(), key) {
        return Err(ErrorCode::UnknownTopicOrPartition);
    }
    match turn.is_in_flight(&key.name()) {
        true => Err(ErrorCode::CoordinatorLoadInProgress),
        false => Ok(()),
    }
}

fn exists(topics: &TopicTable, key: &ShareKey) -> bool {
    topics.by_id(key.topic).is_some_and(|topic| topic.partition(key.partition).is_some())
}

fn tombstones(key: &ShareKey) -> Vec<Change> {
    vec![Change::Snapshot(key.record_key(), None), Change::Update(key.record_key(), None)]
}

fn new_write(key: &ShareKey, records: Vec<Change>) -> Write<ShareCoordinator> {
    Write { key: Some(key.name()), records, transaction: None, is_whole: false, then: Then::Nothing }
}

fn write(key: &ShareKey, records: Vec<Change>) -> Answered<()> {
    Outcome::Write(new_write(key, records), Box::new(|stored| stored.map_err(ErrorCode::from)))
}

impl ShareState {
    fn version(&self) -> StateVersion {
        StateVersion(self.state_epoch, self.snapshot_epoch)
    }
}

impl Machine for ShareCoordinator {
    type Settings = CoordinatorSettings;
    type Record = Change;
    type Then = Then;

    fn new(settings: &CoordinatorSettings) -> ShareCoordinator {
        ShareCoordinator { settings: settings.clone(), states: HashMap::new() }
    }

    fn replay(&mut self, _: i64, _: Offset, record: Change) {
        match record {
            Change::Snapshot(key, Some(value)) => {
                self.states.insert(ShareKey::from_record(key), ShareState::from_snapshot(&value));
            }
            Change::Snapshot(key, None) => drop(self.states.remove(&ShareKey::from_record(key))),
            Change::Update(key, Some(value)) => {
                // One without a snapshot is older than the next one.
                if let Some(state) = self.states.get_mut(&ShareKey::from_record(key)) {
                    let done = value.delivery_complete_count;
                    let batches = from_values(&value.state_batches);
                    state.update(value.leader_epoch, value.start_offset, done, &batches);
                }
            }
            Change::Update(_, None) => {}
            Change::Foreign(kind) => tracing::debug!(kind, "a record of share groups that is not known"),
        }
    }

    fn begin(&mut self, turn: &mut ShareTurn<'_>) {
        if !self.states.is_empty() {
            tracing::info!(share_partitions = self.states.len(), "the state of share partitions is loaded");
        }
        self.sweep(turn);
    }

    fn settled(&mut self, _: &mut ShareTurn<'_>, _: Option<&str>, then: Then, _: coordination::Stored) {
        match then {
            Then::Nothing => {}
            Then::Swept(reply) => reply.send(()),
        }
    }

    fn wake_at(&self) -> i64 {
        i64::MAX
    }

    fn tick(&mut self, _: &mut ShareTurn<'_>) {}
}

#[cfg(test)]
mod tests;
