//! One share group (KIP-932): who is in it, who shall fetch from where, and which partitions have a state.
//! Pure: time and topics are arguments, nothing is sent or written here. What members ask is in
//! `group/heartbeat`.
//!
//! ```text
//! a member comes, goes, or wants other topics; a topic changes; partitions have got their state
//!   > epoch + 1  > a target assignment of that epoch  > each member, with its next beat, has what it shall have
//! ```
//!
//! * Partitions are shared: what one is given is taken from nobody, so a member has at once what it shall
//!   have. Only partitions with a state are given out, or nothing could be fetched there.
//! * A change counts here at once, and leaves as [`ShareChange`]s; an answer that goes by it waits until they
//!   are durable (D9). When the log does not take them, the next change writes all of the group again
//!   ([`ShareGroup::unstored`]).
//! * Time comes by [`ShareGroup::tick`], not later than [`ShareGroup::wake_at`] says.

mod heartbeat;
#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::{Arc, Weak};

use strandline_engine::topics::TopicTable;
use strandline_engine::types::TopicId;
use strandline_protocol::Uuid;
use strandline_protocol::wire::ErrorCode;

use super::assignor;
use crate::groups::consumer::Assignment;
use crate::groups::group::State;
use crate::groups::records::GroupKey;
use crate::groups::records::consumer::{MemberKey, TargetEpochValue, TargetValue};
use crate::groups::records::share::{
    ShareChange, ShareCurrentValue, ShareEpochValue, ShareMemberValue, ShareStatesValue, ShareTopicValue,
};
use crate::groups::removed::Removed;

pub use heartbeat::{ShareBeat, ShareHeartbeat};

/// Partitions of topics, with the names of these.
pub type Topics = BTreeMap<TopicId, (String, BTreeSet<i32>)>;

/// The settings of share groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShareGroupSettings {
    /// How long a member may be silent, in milliseconds.
    pub session_timeout_ms: i64,
    /// How often a member is to say something, in milliseconds.
    pub heartbeat_interval_ms: i32,
    /// The most members.
    pub size_max: usize,
}

impl Default for ShareGroupSettings {
    /// Kafka's.
    fn default() -> ShareGroupSettings {
        ShareGroupSettings { session_timeout_ms: 45_000, heartbeat_interval_ms: 5000, size_max: 200 }
    }
}

/// What a member has said of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct About {
    /// Where it is.
    pub rack_id: Option<String>,
    /// As its requests name it.
    pub client_id: String,
    /// Where it is, in Kafka's form: "/127.0.0.1".
    pub client_host: String,
    /// The topics that it is subscribed to.
    pub topics: BTreeSet<String>,
}

/// A member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// What it has said of itself.
    pub about: About,
    /// The epoch that it has come to.
    pub epoch: i32,
    /// The one before.
    pub previous_epoch: i32,
    /// Where it fetches from.
    pub assigned: Assignment,
    session_until: i64,
}

/// A share group.
#[derive(Debug)]
pub struct ShareGroup {
    id: String,
    settings: ShareGroupSettings,
    epoch: i32,
    /// Of the topics that it is subscribed to, when the epoch was raised last.
    metadata_hash: i64,
    target_epoch: i32,
    targets: BTreeMap<String, Assignment>,
    members: BTreeMap<String, Member>,
    /// The partitions that have a state.
    states: Topics,
    /// Whether that has changed since the target was computed.
    is_restated: bool,
    /// Whether it is known that every partition that somebody is subscribed to has one.
    is_stateful: bool,
    /// The topics that it goes by.
    seen: Weak<TopicTable>,
    is_dead: bool,
    /// Whether the log lacks something.
    is_torn: bool,
    /// Members that are gone, and may not be in the log.
    removed: Removed,
    /// How often the log has not taken something.
    failures: Rc<Cell<u64>>,
    /// Nothing is due before.
    wake_at: i64,
}

/// A share group as it is described to others.
#[derive(Clone, Debug)]
pub struct ShareDescription {
    /// Where it is in its life.
    pub state: State,
    /// How often its members or topics have changed.
    pub epoch: i32,
    /// The epoch of its target assignment.
    pub target_epoch: i32,
    /// Everybody, by their ids.
    pub members: Vec<(String, Member)>,
}

impl ShareGroup {
    /// A group that nobody has joined yet.
    pub fn new(id: &str, settings: ShareGroupSettings) -> ShareGroup {
        ShareGroup {
            id: id.to_owned(),
            settings,
            epoch: 0,
            metadata_hash: 0,
            target_epoch: 0,
            targets: BTreeMap::new(),
            members: BTreeMap::new(),
            states: Topics::new(),
            is_restated: false,
            is_stateful: false,
            seen: Weak::new(),
            is_dead: false,
            is_torn: false,
            removed: Removed::default(),
            failures: Rc::default(),
            wake_at: i64::MAX,
        }
    }

    // ---- out of the log -----------------------------------------------------------------------------------

    /// Takes in what the log says of the group, while it is loaded.
    pub fn load(&mut self, change: ShareChange) {
        match change {
            ShareChange::Epoch(_, value) => {
                let value = value.unwrap_or_default();
                (self.epoch, self.metadata_hash) = (value.epoch, value.metadata_hash);
            }
            ShareChange::TargetEpoch(_, value) => {
                self.target_epoch = value.unwrap_or_default().assignment_epoch;
            }
            ShareChange::Member(key, Some(value)) => {
                self.load_member(key.member_id).about = About {
                    rack_id: value.rack_id,
                    client_id: value.client_id,
                    client_host: value.client_host,
                    topics: value.subscribed_topic_names.into_iter().collect(),
                };
            }
            ShareChange::Member(key, None) => drop(self.members.remove(&key.member_id)),
            ShareChange::Current(key, Some(value)) => {
                let member = self.load_member(key.member_id);
                member.epoch = value.member_epoch;
                member.previous_epoch = value.previous_member_epoch;
                member.assigned = Assignment::from_value(&value.assigned_partitions);
            }
            // A member that is gone loses this first.
            ShareChange::Current(_, None) => {}
            ShareChange::Target(key, Some(value)) => {
                self.targets.insert(key.member_id, Assignment::from_value(&value.topic_partitions));
            }
            ShareChange::Target(key, None) => drop(self.targets.remove(&key.member_id)),
            ShareChange::States(_, value) => {
                let topics = value.unwrap_or_default().initialized_topics.into_iter().map(|topic| {
                    let id = TopicId::from_bytes(topic.topic_id.into_bytes());
                    (id, (topic.topic_name, topic.partitions.into_iter().collect()))
                });
                self.states = topics.collect();
            }
        }
    }

    fn load_member(&mut self, id: String) -> &mut Member {
        self.members.entry(id).or_insert_with(|| Member::new(About::default()))
    }

    /// The log has been read: sessions begin.
    pub fn resume(&mut self, now: i64) {
        let session_until = now.saturating_add(self.settings.session_timeout_ms);
        self.members.values_mut().for_each(|member| member.session_until = session_until);
        self.targets.retain(|id, _| self.members.contains_key(id));
        // Whether the target is of these states is not known.
        self.is_restated = true;
        self.wake_at = self.next_due();
    }

    // ---- what there is ------------------------------------------------------------------------------------

    /// Where it is in its life.
    pub fn state(&self) -> State {
        match (self.is_dead, self.members.is_empty()) {
            (true, _) => State::Dead,
            (false, true) => State::Empty,
            (false, false) => State::Stable,
        }
    }

    /// How often its members or topics have changed; 0 when nobody has joined yet.
    pub fn epoch(&self) -> i32 {
        self.epoch
    }

    /// How many members there are.
    pub fn size(&self) -> usize {
        self.members.len()
    }

    /// Whether a member is subscribed to the topic.
    pub fn is_subscribed(&self, topic: &str) -> bool {
        self.members.values().any(|member| member.about.topics.contains(topic))
    }

    /// The partitions that have a state.
    pub fn states(&self) -> &Topics {
        &self.states
    }

    /// When [`ShareGroup::tick`] must be called, at the latest; `i64::MAX` when nothing is due.
    pub fn wake_at(&self) -> i64 {
        self.wake_at
    }

    /// About what [`ShareGroup::describe`] takes of the memory.
    pub fn description_bytes(&self) -> usize {
        let members = self.members.iter().map(|(id, Member { about, assigned, .. })| {
            let texts = id.len() + about.client_id.len() + about.client_host.len();
            let topics: usize = about.topics.iter().map(String::len).sum();
            size_of::<Member>() + texts + topics + assigned.len() * size_of::<(TopicId, i32)>()
        });
        members.sum()
    }

    /// About what [`ShareGroup::states`] takes of the memory.
    pub fn states_bytes(&self) -> usize {
        let topics = self.states.values();
        topics.map(|(name, partitions)| 64 + name.len() + 64 * partitions.len()).sum()
    }

    /// The group for those who ask what it does.
    pub fn describe(&self) -> ShareDescription {
        let members = self.members.iter().map(|(id, member)| (id.clone(), member.clone()));
        ShareDescription {
            state: self.state(),
            epoch: self.epoch,
            target_epoch: self.target_epoch,
            members: members.collect(),
        }
    }

    // ---- states -------------------------------------------------------------------------------------------

    /// These partitions have got their state.
    pub fn initialized(&mut self, topics: Topics) -> Vec<ShareChange> {
        for (id, (name, partitions)) in topics {
            let known = self.states.entry(id).or_insert_with(|| (name, BTreeSet::new()));
            known.1.extend(partitions);
        }
        self.is_restated = true;
        let mut changes = vec![self.states_change()];
        self.mend(&mut changes);
        changes
    }

    /// Topics whose states are to be forgotten, with what they have.
    ///
    /// # Errors
    /// NON_EMPTY_GROUP while somebody is in the group.
    pub fn forget(&mut self, topics: &[TopicId]) -> Result<(Topics, Vec<ShareChange>), ErrorCode> {
        self.check_offsets()?;
        self.is_stateful = false;
        let gone: Topics = topics.iter().filter_map(|id| self.states.remove_entry(id)).collect();
        if gone.is_empty() {
            return Ok((gone, Vec::new()));
        }
        self.is_restated = true;
        let mut changes = vec![self.states_change()];
        self.mend(&mut changes);
        Ok((gone, changes))
    }

    /// Lets go of the states of topics that were deleted.
    pub fn sweep(&mut self, topics: &TopicTable) -> Vec<ShareChange> {
        let before = self.states.len();
        self.states.retain(|id, _| topics.by_id(*id).is_some());
        if before == self.states.len() {
            return Vec::new();
        }
        let mut changes = vec![self.states_change()];
        self.mend(&mut changes);
        changes
    }

    /// Whether the states may be changed from outside.
    ///
    /// # Errors
    /// NON_EMPTY_GROUP while somebody is in the group, GROUP_ID_NOT_FOUND when it is being deleted.
    pub fn check_offsets(&self) -> Result<(), ErrorCode> {
        match (self.is_dead, self.members.is_empty()) {
            (true, _) => Err(ErrorCode::GroupIdNotFound),
            (false, false) => Err(ErrorCode::NonEmptyGroup),
            (false, true) => Ok(()),
        }
    }

    // ---- deletion -----------------------------------------------------------------------------------------

    /// Takes nobody any more, until [`ShareGroup::revive`].
    ///
    /// # Errors
    /// When it has members, or is being deleted.
    pub fn bury(&mut self) -> Result<(), ErrorCode> {
        self.check_offsets()?;
        self.is_dead = true;
        Ok(())
    }

    /// Undoes [`ShareGroup::bury`]: the log did not take it.
    pub fn revive(&mut self) {
        self.is_dead = false;
    }

    /// That a group that nobody is in is gone.
    pub fn tombstones(&self) -> Vec<ShareChange> {
        vec![
            ShareChange::TargetEpoch(self.key(), None),
            ShareChange::States(self.key(), None),
            ShareChange::Epoch(self.key(), None),
        ]
    }

    // ---- the log ------------------------------------------------------------------------------------------

    /// The log has not taken a change: whoever waits for one of then is not told by what is here, and the
    /// next change says everything.
    pub fn unstored(&mut self) {
        self.is_torn = true;
        self.failures.set(self.failures.get() + 1);
    }

    /// The number of a write that says what has changed until now.
    pub fn begin_write(&mut self) -> u64 {
        self.removed.begin_write()
    }

    /// The log has taken a write.
    pub fn stored(&mut self, write: u64) {
        if !self.is_torn {
            self.removed.stored(write);
        }
    }

    /// Counts what the log has not taken.
    pub fn failures(&self) -> Rc<Cell<u64>> {
        self.failures.clone()
    }

    /// Makes up for changes that the log has not taken.
    fn mend(&mut self, changes: &mut Vec<ShareChange>) {
        if changes.is_empty() || !std::mem::take(&mut self.is_torn) {
            return;
        }
        self.removed.say_again();
        for id in self.removed.iter().filter(|id| !self.members.contains_key(*id)) {
            changes.push(ShareChange::Current(self.member_key(id), None));
            changes.push(ShareChange::Target(self.member_key(id), None));
            changes.push(ShareChange::Member(self.member_key(id), None));
        }
        let ids: Vec<_> = self.members.keys().cloned().collect();
        changes.extend(ids.iter().map(|id| self.member_change(id)));
        changes.push(self.states_change());
        changes.push(self.epoch_change());
        changes.extend(self.targets.iter().map(|(id, target)| self.target_change(id, target)));
        changes.push(self.target_epoch_change());
        changes.extend(ids.iter().map(|id| self.current_change(id)));
    }

    fn key(&self) -> GroupKey {
        GroupKey { group: self.id.clone() }
    }

    fn member_key(&self, id: &str) -> MemberKey {
        MemberKey { group: self.id.clone(), member_id: id.to_owned() }
    }

    /// That there is such a group.
    pub fn epoch_change(&self) -> ShareChange {
        let value = ShareEpochValue { epoch: self.epoch, metadata_hash: self.metadata_hash };
        ShareChange::Epoch(self.key(), Some(value))
    }

    fn target_epoch_change(&self) -> ShareChange {
        let value = TargetEpochValue { assignment_epoch: self.target_epoch, ..Default::default() };
        ShareChange::TargetEpoch(self.key(), Some(value))
    }

    fn target_change(&self, id: &str, target: &Assignment) -> ShareChange {
        let value = TargetValue { topic_partitions: target.to_value() };
        ShareChange::Target(self.member_key(id), Some(value))
    }

    fn member_change(&self, id: &str) -> ShareChange {
        let about = self.members[id].about.clone();
        let value = ShareMemberValue {
            rack_id: about.rack_id,
            client_id: about.client_id,
            client_host: about.client_host,
            subscribed_topic_names: about.topics.into_iter().collect(),
        };
        ShareChange::Member(self.member_key(id), Some(value))
    }

    fn current_change(&self, id: &str) -> ShareChange {
        let member = &self.members[id];
        let value = ShareCurrentValue {
            member_epoch: member.epoch,
            previous_member_epoch: member.previous_epoch,
            state: 0,
            assigned_partitions: member.assigned.to_value(),
        };
        ShareChange::Current(self.member_key(id), Some(value))
    }

    fn states_change(&self) -> ShareChange {
        let topics = self.states.iter().map(|(id, (name, partitions))| ShareTopicValue {
            topic_id: Uuid::from_bytes(id.to_bytes()),
            topic_name: name.clone(),
            partitions: partitions.iter().copied().collect(),
        });
        let value = ShareStatesValue { initialized_topics: topics.collect(), ..Default::default() };
        ShareChange::States(self.key(), Some(value))
    }

    // ---- members, topics and targets ----------------------------------------------------------------------

    /// A member goes: whoever is left is given its partitions, from the next beat on.
    fn lose(&mut self, topics: &TopicTable, id: &str, changes: &mut Vec<ShareChange>) {
        self.members.remove(id);
        self.removed.note(id);
        changes.push(ShareChange::Current(self.member_key(id), None));
        if self.targets.remove(id).is_some() {
            changes.push(ShareChange::Target(self.member_key(id), None));
        }
        changes.push(ShareChange::Member(self.member_key(id), None));
        self.metadata_hash = self.hash(topics);
        self.epoch += 1;
        changes.push(self.epoch_change());
    }

    /// The topics that somebody is subscribed to and that exist.
    fn subscribed(&self) -> BTreeSet<&str> {
        self.members.values().flat_map(|member| member.about.topics.iter().map(String::as_str)).collect()
    }

    /// Tells one state of the topics that it is subscribed to from another: their names, ids and numbers of
    /// partitions (FNV-1a, which is the same after a start). 0 when there is none.
    fn hash(&self, topics: &TopicTable) -> i64 {
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        let mut is_empty = true;
        let mut take = |bytes: &[u8]| {
            for byte in bytes {
                hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
            }
        };
        for topic in self.subscribed().into_iter().filter_map(|name| topics.by_name(name)) {
            is_empty = false;
            take(topic.name.as_bytes());
            take(&topic.id.to_bytes());
            take(&topic.partitions.to_be_bytes());
        }
        match is_empty {
            true => 0,
            false => hash as i64,
        }
    }

    /// Goes by the topics that there are now; whether it is subscribed to others than before.
    fn look(&mut self, topics: &Arc<TopicTable>) -> bool {
        self.is_stateful = false;
        self.seen = Arc::downgrade(topics);
        let hash = self.hash(topics);
        std::mem::replace(&mut self.metadata_hash, hash) != hash
    }

    fn has_seen(&self, topics: &Arc<TopicTable>) -> bool {
        Weak::ptr_eq(&self.seen, &Arc::downgrade(topics))
    }

    /// The partitions of topics that somebody is subscribed to which have no state yet.
    fn stateless(&mut self, topics: &TopicTable) -> Topics {
        let mut found = Topics::new();
        if self.is_stateful {
            return found;
        }
        for topic in self.subscribed().into_iter().filter_map(|name| topics.by_name(name)) {
            let known = self.states.get(&topic.id);
            if known.is_some_and(|(_, partitions)| partitions.len() == topic.partitions as usize) {
                continue;
            }
            let all = 0..topic.partitions as i32;
            let missing = all.filter(|at| known.is_none_or(|(_, partitions)| !partitions.contains(at)));
            found.insert(topic.id, (topic.name.clone(), missing.collect()));
        }
        self.is_stateful = found.is_empty();
        found
    }

    /// Computes the target assignment of the group's epoch.
    fn assign(&mut self, topics: &TopicTable, changes: &mut Vec<ShareChange>) {
        let with_state = |id: &TopicId| Some((*id, self.states.get(id)?.1.clone()));
        let subscribed = self.subscribed().into_iter().filter_map(|name| Some(topics.by_name(name)?.id));
        let partitions: BTreeMap<_, _> = subscribed.filter_map(|id| with_state(&id)).collect();
        let members = self.members.iter().map(|(id, member)| {
            let ids = member.about.topics.iter().filter_map(|name| Some(topics.by_name(name)?.id));
            let topics = ids.filter(|id| partitions.contains_key(id)).collect();
            (id.as_str(), assignor::Member { topics, assignment: self.targets.get(id) })
        });
        let targets = assignor::assign(&members.collect(), &partitions);
        let changed = targets.iter().filter(|(id, target)| self.targets.get(*id) != Some(target));
        changes.extend(changed.map(|(id, target)| self.target_change(id, target)));
        (self.targets, self.target_epoch) = (targets, self.epoch);
        self.is_restated = false;
        changes.push(self.target_epoch_change());
    }

    // ---- time ---------------------------------------------------------------------------------------------

    /// Members whose time is up go.
    pub fn tick(&mut self, now: i64, topics: &Arc<TopicTable>) -> Vec<ShareChange> {
        let mut changes = Vec::new();
        if now < self.wake_at {
            return changes;
        }
        let late = self.members.iter().filter(|(_, member)| member.session_until <= now);
        let late: Vec<_> = late.map(|(id, _)| id.clone()).collect();
        for member in late {
            tracing::info!(group = self.id, member, "a member was silent for too long: it goes");
            self.lose(topics, &member, &mut changes);
        }
        self.mend(&mut changes);
        self.wake_at = self.next_due();
        changes
    }

    fn next_due(&self) -> i64 {
        self.members.values().map(|member| member.session_until).min().unwrap_or(i64::MAX)
    }
}

impl Member {
    fn new(about: About) -> Member {
        Member {
            about,
            epoch: 0,
            previous_epoch: 0,
            assigned: Assignment::default(),
            session_until: i64::MAX,
        }
    }
}
