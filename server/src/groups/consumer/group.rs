//! One consumer group (KIP-848): who is in it, who shall have what, and who has what. Pure: time and topics
//! are arguments, nothing is sent or written here. What members ask is in `group/heartbeat`.
//!
//! ```text
//! a member comes, goes, or wants other topics; a topic changes
//!   > epoch + 1  > a target assignment of that epoch (assignors)  > each member, one beat after the other,
//!                                                                   comes to it (member)
//! ```
//!
//! * A change counts here at once, and leaves as [`ConsumerChange`]s; an answer that goes by it waits until
//!   they are durable (D9). When the log does not take them, the next change writes all of the group again
//!   ([`ConsumerGroup::unstored`]).
//! * No partition is with two members at a time: what one has is taken from nobody, and given to nobody else,
//!   before that member has given it up or is gone.
//! * Time comes by [`ConsumerGroup::tick`], not later than [`ConsumerGroup::wake_at`] says.

mod heartbeat;
#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::rc::Rc;
use std::sync::{Arc, Weak};

use strandline_engine::topics::TopicTable;
use strandline_engine::types::TopicId;
use strandline_protocol::wire::ErrorCode;

use super::assignment::Assignment;
use super::assignors::{self, Assignor};
use super::member::{About, Held, Member};
use super::patterns::Patterns;
use crate::groups::group::State;
use crate::groups::records::GroupKey;
use crate::groups::records::consumer::{
    ConsumerChange, EpochValue, MemberKey, RegexKey, RegexValue, TargetEpochValue, TargetValue,
};

pub use heartbeat::{Beat, Heartbeat, Refusal};

/// The settings of consumer groups.
#[derive(Clone, Copy, Debug)]
pub struct ConsumerSettings {
    /// How long a member may be silent, in milliseconds.
    pub session_timeout_ms: i64,
    /// How often a member is to say something, in milliseconds.
    pub heartbeat_interval_ms: i32,
    /// The most members.
    pub size_max: usize,
    /// Where the members prefer none.
    pub assignor: Assignor,
}

impl Default for ConsumerSettings {
    /// Kafka's.
    fn default() -> ConsumerSettings {
        ConsumerSettings {
            session_timeout_ms: 45_000,
            heartbeat_interval_ms: 5000,
            size_max: i32::MAX as usize,
            assignor: Assignor::Uniform,
        }
    }
}

/// A consumer group.
#[derive(Debug)]
pub struct ConsumerGroup {
    id: String,
    settings: ConsumerSettings,
    epoch: i32,
    /// Of the topics that it is subscribed to, when the epoch was raised last.
    metadata_hash: i64,
    target_epoch: i32,
    targets: BTreeMap<String, Assignment>,
    members: BTreeMap<String, Member>,
    /// Member ids of static members, by their names.
    static_ids: HashMap<String, String>,
    patterns: Patterns,
    /// What the members have; the key says it for the assignment of every member.
    taken: HashSet<(TopicId, i32)>,
    /// The topics that it goes by.
    seen: Weak<TopicTable>,
    is_dead: bool,
    /// Whether the log lacks something.
    is_torn: bool,
    /// Members that are gone, and may not be in the log.
    removed: BTreeSet<String>,
    /// How often the log has not taken something.
    failures: Rc<Cell<u64>>,
    /// Nothing is due before.
    wake_at: i64,
}

/// A consumer group as it is described to others.
#[derive(Clone, Debug)]
pub struct ConsumerDescription {
    /// Where it is in its life.
    pub state: State,
    /// How often its members or topics have changed.
    pub epoch: i32,
    /// The epoch of its target assignment.
    pub target_epoch: i32,
    /// How partitions are shared out.
    pub assignor: Assignor,
    /// Everybody, with what each shall have, by their ids.
    pub members: Vec<(String, About, Held, Assignment)>,
}

impl ConsumerGroup {
    /// A group that nobody has joined yet.
    pub fn new(id: &str, settings: ConsumerSettings) -> ConsumerGroup {
        ConsumerGroup {
            id: id.to_owned(),
            settings,
            epoch: 0,
            metadata_hash: 0,
            target_epoch: 0,
            targets: BTreeMap::new(),
            members: BTreeMap::new(),
            static_ids: HashMap::new(),
            patterns: Patterns::default(),
            taken: HashSet::new(),
            seen: Weak::new(),
            is_dead: false,
            is_torn: false,
            removed: BTreeSet::new(),
            failures: Rc::default(),
            wake_at: i64::MAX,
        }
    }

    // ---- out of the log -----------------------------------------------------------------------------------

    /// Takes in what the log says of the group, while it is loaded.
    pub fn load(&mut self, change: ConsumerChange) {
        match change {
            ConsumerChange::Epoch(_, value) => {
                let value = value.unwrap_or_default();
                (self.epoch, self.metadata_hash) = (value.epoch, value.metadata_hash);
            }
            ConsumerChange::TargetEpoch(_, value) => {
                self.target_epoch = value.unwrap_or_default().assignment_epoch;
            }
            ConsumerChange::Member(key, Some(value)) => {
                self.load_member(key.member_id).about = About::from_value(value);
            }
            ConsumerChange::Member(key, None) => drop(self.members.remove(&key.member_id)),
            ConsumerChange::Current(key, Some(value)) => {
                self.load_member(key.member_id).held = Held::from_value(&value);
            }
            ConsumerChange::Current(key, None) => {
                // A member that is gone loses this first.
                if let Some(member) = self.members.get_mut(&key.member_id) {
                    member.held = Held::default();
                }
            }
            ConsumerChange::Target(key, Some(value)) => {
                self.targets.insert(key.member_id, Assignment::from_value(&value.topic_partitions));
            }
            ConsumerChange::Target(key, None) => drop(self.targets.remove(&key.member_id)),
            ConsumerChange::Regex(key, Some(value)) => self.patterns.load(key.regex, value.topics),
            ConsumerChange::Regex(key, None) => self.patterns.remove(&key.regex),
        }
    }

    fn load_member(&mut self, id: String) -> &mut Member {
        self.members.entry(id).or_insert_with(|| Member {
            about: About::default(),
            held: Held::default(),
            session_until: i64::MAX,
            revoke_until: i64::MAX,
        })
    }

    /// The log has been read: sessions begin.
    pub fn resume(&mut self, now: i64) {
        self.drop_halves();
        let described: Vec<_> =
            self.members.values().filter_map(|member| member.about.regex.clone()).collect();
        described.into_iter().for_each(|regex| self.patterns.load_missing(regex));
        let session_until = now.saturating_add(self.settings.session_timeout_ms);
        for (id, member) in &mut self.members {
            member.session_until = session_until;
            if !member.held.revoking.is_empty() {
                member.revoke_until = now.saturating_add(member.about.rebalance_timeout_ms.into());
            }
            if let Some(instance) = &member.about.instance_id {
                self.static_ids.insert(instance.clone(), id.clone());
            }
        }
        self.targets.retain(|id, _| self.members.contains_key(id));
        self.wake_at = self.next_due();
    }

    /// What a log lacks of which a write was not taken: where two members have a partition, the one of the
    /// newer epoch was given it when the other had given it up.
    fn drop_halves(&mut self) {
        let mut ids: Vec<_> =
            self.members.iter().map(|(id, member)| (member.held.epoch, id.clone())).collect();
        ids.sort_unstable();
        for (_, id) in ids.into_iter().rev() {
            let held = &mut self.members.get_mut(&id).expect("it is one of them").held;
            let lost: Vec<_> = held.all().filter(|partition| self.taken.contains(partition)).collect();
            for (topic, partition) in lost {
                held.assigned.remove(topic, partition);
                held.revoking.remove(topic, partition);
                self.is_torn = true;
            }
            self.taken.extend(held.all());
        }
    }

    // ---- what there is ------------------------------------------------------------------------------------

    /// Where it is in its life.
    pub fn state(&self) -> State {
        let is_reconciled = |member: &Member| member.held.is_reconciled_to(self.target_epoch);
        if self.is_dead {
            State::Dead
        } else if self.members.is_empty() {
            State::Empty
        } else if self.epoch > self.target_epoch {
            State::Assigning
        } else if self.members.values().all(is_reconciled) {
            State::Stable
        } else {
            State::Reconciling
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

    /// Whether a member consumes the topic.
    pub fn is_subscribed(&self, topic: &str) -> bool {
        self.members.values().any(|member| member.about.topics.contains(topic))
            || self.patterns.contain(topic)
    }

    /// When [`ConsumerGroup::tick`] must be called, at the latest; `i64::MAX` when nothing is due.
    pub fn wake_at(&self) -> i64 {
        self.wake_at
    }

    /// About what [`ConsumerGroup::describe`] takes of the memory.
    pub fn description_bytes(&self) -> usize {
        let partitions = |assignment: &Assignment| assignment.len() * size_of::<(TopicId, i32)>();
        let members = self.members.iter().map(|(id, Member { about, held, .. })| {
            let texts = id.len() + about.client_id.len() + about.client_host.len();
            let topics: usize = about.topics.iter().map(String::len).sum();
            let target = self.targets.get(id).map_or(0, partitions);
            size_of::<Member>() + texts + topics + partitions(&held.assigned) + target
        });
        members.sum()
    }

    /// The group for those who ask what it does.
    pub fn describe(&self) -> ConsumerDescription {
        let members = self.members.iter().map(|(id, member)| {
            let target = self.targets.get(id).cloned().unwrap_or_default();
            (id.clone(), member.about.clone(), member.held.clone(), target)
        });
        ConsumerDescription {
            state: self.state(),
            epoch: self.epoch,
            target_epoch: self.target_epoch,
            assignor: self.assignor(),
            members: members.collect(),
        }
    }

    /// Whether the member may commit offsets, or fetch them, in this epoch.
    ///
    /// # Errors
    /// That it is not in the group, or has an epoch of before.
    pub fn check_epoch(&self, member_id: &str, epoch: i32) -> Result<(), ErrorCode> {
        match self.members.get(member_id) {
            None => Err(ErrorCode::UnknownMemberId),
            Some(member) if member.held.epoch != epoch => Err(ErrorCode::StaleMemberEpoch),
            Some(_) => Ok(()),
        }
    }

    // ---- deletion -----------------------------------------------------------------------------------------

    /// Takes nobody any more, until [`ConsumerGroup::revive`].
    ///
    /// # Errors
    /// When it has members, or is being deleted.
    pub fn bury(&mut self) -> Result<(), ErrorCode> {
        match (self.is_dead, self.members.is_empty()) {
            (true, _) => Err(ErrorCode::GroupIdNotFound),
            (false, false) => Err(ErrorCode::NonEmptyGroup),
            (false, true) => {
                self.is_dead = true;
                Ok(())
            }
        }
    }

    /// Undoes [`ConsumerGroup::bury`]: the log did not take it.
    pub fn revive(&mut self) {
        self.is_dead = false;
    }

    /// That a group that nobody is in is gone.
    pub fn tombstones(&self) -> Vec<ConsumerChange> {
        let regexes = self.patterns.iter().map(|regex| {
            ConsumerChange::Regex(RegexKey { group: self.id.clone(), regex: regex.to_owned() }, None)
        });
        let mut gone: Vec<_> = regexes.collect();
        gone.push(ConsumerChange::TargetEpoch(self.key(), None));
        gone.push(ConsumerChange::Epoch(self.key(), None));
        gone
    }

    // ---- the log ------------------------------------------------------------------------------------------

    /// The log has not taken a change: whoever waits for one of then is not told by what is here, and the
    /// next change says everything.
    pub fn unstored(&mut self) {
        self.is_torn = true;
        self.failures.set(self.failures.get() + 1);
    }

    /// The log has taken everything that was on its way.
    pub fn stored(&mut self) {
        if !self.is_torn {
            self.removed.clear();
        }
    }

    /// Counts what the log has not taken.
    pub fn failures(&self) -> Rc<Cell<u64>> {
        self.failures.clone()
    }

    /// Makes up for changes that the log has not taken.
    fn mend(&mut self, changes: &mut Vec<ConsumerChange>) {
        if !std::mem::take(&mut self.is_torn) {
            return;
        }
        let ids: Vec<_> = self.members.keys().cloned().collect();
        for id in self.removed.iter().filter(|id| !self.members.contains_key(*id)) {
            changes.push(ConsumerChange::Current(self.member_key(id), None));
            changes.push(ConsumerChange::Target(self.member_key(id), None));
            changes.push(ConsumerChange::Member(self.member_key(id), None));
        }
        changes.extend(ids.iter().map(|id| self.member_change(id)));
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

    fn epoch_change(&self) -> ConsumerChange {
        let value = EpochValue { epoch: self.epoch, metadata_hash: self.metadata_hash };
        ConsumerChange::Epoch(self.key(), Some(value))
    }

    fn target_epoch_change(&self) -> ConsumerChange {
        let value = TargetEpochValue { assignment_epoch: self.target_epoch };
        ConsumerChange::TargetEpoch(self.key(), Some(value))
    }

    fn target_change(&self, id: &str, target: &Assignment) -> ConsumerChange {
        let value = TargetValue { topic_partitions: target.to_value() };
        ConsumerChange::Target(self.member_key(id), Some(value))
    }

    fn member_change(&self, id: &str) -> ConsumerChange {
        ConsumerChange::Member(self.member_key(id), Some(self.members[id].about.to_value()))
    }

    fn current_change(&self, id: &str) -> ConsumerChange {
        ConsumerChange::Current(self.member_key(id), Some(self.members[id].held.to_value()))
    }

    // ---- members ------------------------------------------------------------------------------------------

    /// Takes a member out, with all that the log says of it. What it had is free.
    fn remove(&mut self, id: &str, changes: &mut Vec<ConsumerChange>) -> Option<Member> {
        let member = self.members.remove(id)?;
        for partition in member.held.all() {
            self.taken.remove(&partition);
        }
        if let Some(instance) = &member.about.instance_id
            && self.static_ids.get(instance).is_some_and(|known| known == id)
        {
            self.static_ids.remove(instance);
        }
        self.removed.insert(id.to_owned());
        changes.push(ConsumerChange::Current(self.member_key(id), None));
        if self.targets.remove(id).is_some() {
            changes.push(ConsumerChange::Target(self.member_key(id), None));
        }
        changes.push(ConsumerChange::Member(self.member_key(id), None));
        Some(member)
    }

    /// A member goes: whoever is left shares its partitions, from the next beat on.
    fn lose(&mut self, topics: &Arc<TopicTable>, id: &str, changes: &mut Vec<ConsumerChange>) {
        self.remove(id, changes);
        self.drop_unused_patterns(changes);
        self.metadata_hash = self.hash(topics);
        self.epoch += 1;
        changes.push(self.epoch_change());
    }

    fn drop_unused_patterns(&mut self, changes: &mut Vec<ConsumerChange>) {
        let used: BTreeSet<&str> =
            self.members.values().filter_map(|member| member.about.regex.as_deref()).collect();
        let unused: Vec<_> =
            self.patterns.iter().filter(|regex| !used.contains(regex)).map(str::to_owned).collect();
        for regex in unused {
            self.patterns.remove(&regex);
            changes.push(ConsumerChange::Regex(RegexKey { group: self.id.clone(), regex }, None));
        }
    }

    /// Gives a member what it has from now on.
    fn hold(&mut self, id: &str, held: Held) {
        let member = self.members.get_mut(id).expect("it is a member");
        for partition in member.held.all() {
            self.taken.remove(&partition);
        }
        for partition in held.all() {
            let is_new = self.taken.insert(partition);
            debug_assert!(is_new, "{partition:?} is with two members");
        }
        member.held = held;
    }

    // ---- topics and targets -------------------------------------------------------------------------------

    /// The topics that a member is subscribed to and that exist.
    fn topics_of<'a>(&'a self, topics: &'a TopicTable, about: &'a About) -> BTreeSet<&'a str> {
        let described = about.regex.iter().flat_map(|regex| self.patterns.topics(regex));
        let named = about.topics.iter().map(String::as_str).chain(described);
        named.filter(|name| topics.by_name(name).is_some()).collect()
    }

    /// Tells one state of the topics that it is subscribed to from another: their names, ids and numbers of
    /// partitions (FNV-1a, which is the same after a start). 0 when there is none.
    fn hash(&self, topics: &TopicTable) -> i64 {
        let all = self.members.values().flat_map(|member| self.topics_of(topics, &member.about));
        let all: BTreeSet<&str> = all.collect();
        if all.is_empty() {
            return 0;
        }
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        let mut take = |bytes: &[u8]| {
            for byte in bytes {
                hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
            }
        };
        for topic in all.into_iter().filter_map(|name| topics.by_name(name)) {
            take(topic.name.as_bytes());
            take(&topic.id.to_bytes());
            take(&topic.partitions.to_be_bytes());
        }
        hash as i64
    }

    /// Goes by the topics that there are now, with one more expression; whether it is subscribed to others
    /// than before.
    fn look(
        &mut self,
        now: i64,
        topics: &Arc<TopicTable>,
        more: Option<(String, regex::Regex)>,
        changes: &mut Vec<ConsumerChange>,
    ) -> bool {
        self.seen = Arc::downgrade(topics);
        for regex in self.patterns.resolve(topics, more) {
            let topics = self.patterns.topics(&regex).map(str::to_owned).collect();
            // Versions of the metadata are not counted here.
            let value = RegexValue { topics, version: 0, timestamp: now };
            changes.push(ConsumerChange::Regex(RegexKey { group: self.id.clone(), regex }, Some(value)));
        }
        let hash = self.hash(topics);
        std::mem::replace(&mut self.metadata_hash, hash) != hash
    }

    fn has_seen(&self, topics: &Arc<TopicTable>) -> bool {
        Weak::ptr_eq(&self.seen, &Arc::downgrade(topics))
    }

    /// The assignor that most members prefer.
    fn assignor(&self) -> Assignor {
        let preferred = self.members.values().filter_map(|member| member.about.assignor.as_deref());
        let mut votes = BTreeMap::new();
        preferred.for_each(|name| *votes.entry(name).or_insert(0) += 1);
        let chosen = votes.into_iter().rev().max_by_key(|(_, votes)| *votes);
        chosen.and_then(|(name, _)| Assignor::by_name(name)).unwrap_or(self.settings.assignor)
    }

    /// Computes the target assignment of the group's epoch.
    fn assign(&mut self, topics: &TopicTable, changes: &mut Vec<ConsumerChange>) {
        let nothing = Assignment::default();
        let mut group = assignors::Group::default();
        for (id, Member { about, .. }) in &self.members {
            let mut ids = BTreeSet::new();
            for topic in self.topics_of(topics, about).into_iter().filter_map(|name| topics.by_name(name)) {
                ids.insert(topic.id);
                group.partitions.insert(topic.id, topic.partitions as i32);
            }
            let (instance_id, assignment) = (about.instance_id.as_deref(), self.targets.get(id));
            let assignment = assignment.unwrap_or(&nothing);
            group.members.insert(id, assignors::Member { instance_id, topics: ids, assignment });
        }
        let targets = self.assignor().assign(&group);
        let changed = targets.iter().filter(|(id, target)| self.targets.get(*id) != Some(target));
        changes.extend(changed.map(|(id, target)| self.target_change(id, target)));
        (self.targets, self.target_epoch) = (targets, self.epoch);
        changes.push(self.target_epoch_change());
    }

    // ---- time ---------------------------------------------------------------------------------------------

    /// Members whose time is up go.
    pub fn tick(&mut self, now: i64, topics: &Arc<TopicTable>) -> Vec<ConsumerChange> {
        let mut changes = Vec::new();
        if now < self.wake_at {
            return changes;
        }
        let late: Vec<_> = self
            .members
            .iter()
            .filter(|(_, member)| member.session_until.min(member.revoke_until) <= now)
            .map(|(id, member)| (id.clone(), member.session_until <= now))
            .collect();
        for (member, was_silent) in late {
            match was_silent {
                true => tracing::info!(group = self.id, member, "a member was silent for too long: it goes"),
                false => {
                    tracing::info!(group = self.id, member, "a member did not give partitions up: it goes")
                }
            }
            self.lose(topics, &member, &mut changes);
        }
        if !changes.is_empty() {
            self.mend(&mut changes);
        }
        self.wake_at = self.next_due();
        changes
    }

    fn next_due(&self) -> i64 {
        let due = self.members.values().map(|member| member.session_until.min(member.revoke_until));
        due.min().unwrap_or(i64::MAX)
    }
}
