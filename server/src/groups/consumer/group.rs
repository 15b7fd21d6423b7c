//! One consumer group (KIP-848): who is in it, who shall have what, and who has what. Pure: time and topics
//! are arguments, nothing is sent or written here. What members ask is in `group/heartbeat`,
//! what those ask that speak the classic protocol in `group/classic`.
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

mod classic;
mod heartbeat;
#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::rc::Rc;
use std::sync::{Arc, Weak};

use strandline_engine::topics::TopicTable;
use strandline_engine::types::TopicId;
use strandline_protocol::wire::ErrorCode;

use super::assignment::Assignment;
use super::assignors::{self, Assignor};
use super::member::{About, Held, Member};
use super::named::Named;
use super::patterns::Patterns;
use super::survey::{Found, Subscription, Survey, Visible};
use crate::authorization::Rules;
use crate::coordination::{Begun, Working, begin};
use crate::groups::group::State;
use crate::groups::records::GroupKey;
use crate::groups::records::consumer::{
    ClassicProtocolValue, ConsumerChange, EpochValue, MemberKey, RegexKey, TargetEpochValue, TargetValue,
};
use crate::groups::removed::Removed;

pub use classic::Moved;
pub use heartbeat::{Beat, Heartbeat};

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
    /// How long it is at least from one sharing out to the next, in milliseconds.
    pub assignment_interval_ms: i64,
    /// What of a survey is done within a heartbeat, in units of [`crate::coordination::Pace::step`].
    pub units_at_once: usize,
}

/// Some two milliseconds: what is more goes on beside the group.
const UNITS_AT_ONCE: usize = 1 << 15;

impl Default for ConsumerSettings {
    /// Kafka's.
    fn default() -> ConsumerSettings {
        ConsumerSettings {
            session_timeout_ms: 45_000,
            heartbeat_interval_ms: 5000,
            size_max: i32::MAX as usize,
            assignor: Assignor::Uniform,
            assignment_interval_ms: 1000,
            units_at_once: UNITS_AT_ONCE,
        }
    }
}

/// The epoch that a group begins with.
const FIRST: i32 = 1;

/// A consumer group.
#[derive(Debug)]
pub struct ConsumerGroup {
    id: String,
    settings: ConsumerSettings,
    epoch: i32,
    /// Of the topics that it is subscribed to, when it was looked last.
    metadata_hash: i64,
    /// Whether a change of one of the two has yet to be written.
    is_epoch_new: bool,
    target_epoch: i32,
    targets: BTreeMap<String, Rc<Assignment>>,
    /// When partitions were shared out last, in milliseconds; 0 when that is not known.
    assigned_at: i64,
    members: BTreeMap<String, Member>,
    /// What members name, each set once.
    named: Named,
    /// Member ids of static members, by their names.
    static_ids: HashMap<String, String>,
    patterns: Patterns,
    /// Of who may describe what, as they were when a member last said something; `None` where everybody may
    /// all. They are kept once, and not with each member (D11).
    rules: Option<Rules>,
    /// What the members have; the key says it for the assignment of every member.
    taken: HashSet<(TopicId, i32)>,
    /// The topics that it goes by, and since when.
    seen: Weak<TopicTable>,
    surveyed_at: i64,
    surveying: Option<Surveying>,
    /// What is left of the survey, until it is taken.
    ongoing: Option<Ongoing>,
    is_dead: bool,
    /// Whether the log lacks something, and when it was last tried to make up for it.
    is_torn: bool,
    mended_at: i64,
    /// Members that are gone, and may not be in the log.
    removed: Removed,
    /// How often the log has not taken something.
    failures: Rc<Cell<u64>>,
    /// Nothing is due before.
    wake_at: i64,
}

/// A survey that has begun.
#[derive(Debug)]
struct Surveying {
    token: Rc<()>,
    /// That of the group when it began.
    epoch: i32,
    /// Static members that have come back under another id since.
    renamed: Vec<(String, String)>,
}

/// A survey that is too long for one heartbeat, and whose it is.
#[derive(Debug)]
pub struct Ongoing {
    /// The rest of the work.
    pub working: Working<Found>,
    /// For [`ConsumerGroup::surveyed`].
    pub token: Rc<()>,
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
    /// A group that nobody has joined yet. As in Kafka from 4.3 on it begins with an epoch in which nobody
    /// has anything, so that a member has one to be in before partitions are shared out.
    pub fn new(id: &str, settings: ConsumerSettings) -> ConsumerGroup {
        ConsumerGroup { epoch: FIRST, target_epoch: FIRST, ..ConsumerGroup::unread(id, settings) }
    }

    /// A group of which nothing has been read yet.
    pub fn unread(id: &str, settings: ConsumerSettings) -> ConsumerGroup {
        ConsumerGroup {
            id: id.to_owned(),
            settings,
            epoch: 0,
            metadata_hash: 0,
            is_epoch_new: false,
            target_epoch: 0,
            targets: BTreeMap::new(),
            assigned_at: 0,
            members: BTreeMap::new(),
            named: Named::default(),
            static_ids: HashMap::new(),
            patterns: Patterns::default(),
            rules: None,
            taken: HashSet::new(),
            seen: Weak::new(),
            surveyed_at: 0,
            surveying: None,
            ongoing: None,
            is_dead: false,
            is_torn: false,
            mended_at: 0,
            removed: Removed::default(),
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
                let value = value.unwrap_or_default();
                (self.target_epoch, self.assigned_at) = (value.assignment_epoch, value.assignment_timestamp);
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
                let target = Assignment::from_value(&value.topic_partitions);
                self.targets.insert(key.member_id, Rc::new(target));
            }
            ConsumerChange::Target(key, None) => drop(self.targets.remove(&key.member_id)),
            ConsumerChange::Regex(key, Some(_)) => self.patterns.load(key.regex),
            ConsumerChange::Regex(key, None) => self.patterns.unload(&key.regex),
        }
    }

    fn load_member(&mut self, id: String) -> &mut Member {
        self.members.entry(id).or_default()
    }

    /// The log has been read: sessions begin.
    pub fn resume(&mut self, now: i64) {
        self.drop_halves();
        if self.target_epoch == 0 {
            // It was not shared out before the end.
            (self.target_epoch, self.epoch) = (FIRST, self.epoch.max(FIRST + 1));
        }
        self.surveyed_at = self.assigned_at;
        for member in self.members.values_mut() {
            member.about.topics = self.named.one_of(member.about.topics.clone());
            if let Some(regex) = &member.about.regex {
                self.patterns.insert(regex);
            }
        }
        for (id, member) in &mut self.members {
            member.renew_session(now, self.settings.session_timeout_ms);
            if !member.held.revoking.is_empty() {
                member.act_until = now.saturating_add(member.about.rebalance_timeout_ms.into());
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

    /// Which of these topics a member consumes, in no order. It is asked for many together: there may be many
    /// members, each with names of its own.
    pub fn subscribed<'a>(&self, topics: &[&'a str]) -> HashSet<&'a str> {
        let asked: HashSet<&str> = topics.iter().copied().collect();
        let mut found: HashSet<&str> = self.patterns.matched(topics).into_iter().collect();
        for named in self.named.sets() {
            match named.len() < asked.len() {
                true => found.extend(named.iter().filter_map(|name| asked.get(name.as_str()).copied())),
                false => found.extend(asked.iter().copied().filter(|topic| named.contains(*topic))),
            }
        }
        found
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
            let target = self.targets.get(id).map_or(0, |target| partitions(target));
            let protocols = about.classic.iter().flat_map(|classic| &classic.supported_protocols);
            let protocols: usize =
                protocols.map(|known| size_of::<ClassicProtocolValue>() + known.name.len()).sum();
            size_of::<Member>() + protocols + texts + topics + partitions(&held.assigned) + target
        });
        members.sum()
    }

    /// The group for those who ask what it does.
    pub fn describe(&self) -> ConsumerDescription {
        let members = self.members.iter().map(|(id, member)| {
            let target = self.targets.get(id).map(|target| (**target).clone()).unwrap_or_default();
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

    /// Whether the member may commit offsets of these partitions in this epoch: its newest one, or one in
    /// which it had all of them already (KIP-1251).
    ///
    /// # Errors
    /// That it is not in the group, or that the epoch is none of these.
    pub fn check_commit(
        &self,
        member_id: &str,
        epoch: i32,
        mut partitions: impl Iterator<Item = (Option<TopicId>, i32)>,
    ) -> Result<(), ErrorCode> {
        let member = self.members.get(member_id).ok_or(ErrorCode::UnknownMemberId)?;
        let held = &member.held;
        let mut has_all = || {
            partitions
                .all(|(topic, partition)| topic.is_some_and(|topic| held.has_since(epoch, topic, partition)))
        };
        match epoch == held.epoch || (epoch < held.epoch && has_all()) {
            true => Ok(()),
            false => Err(member.stale()),
        }
    }

    /// Whether the member may fetch offsets in this epoch.
    ///
    /// # Errors
    /// That it is not in the group, or has an epoch of before.
    pub fn check_epoch(&self, member_id: &str, epoch: i32) -> Result<(), ErrorCode> {
        match self.members.get(member_id) {
            None => Err(ErrorCode::UnknownMemberId),
            Some(member) if member.held.epoch != epoch => Err(member.stale()),
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

    /// That the group is gone, and everybody in it.
    pub fn tombstones(&self) -> Vec<ConsumerChange> {
        let regexes = self.patterns.logged().map(|regex| {
            ConsumerChange::Regex(RegexKey { group: self.id.clone(), regex: regex.to_owned() }, None)
        });
        let mut gone: Vec<_> = regexes.collect();
        for id in self.members.keys().chain(self.removed.iter()) {
            gone.extend(self.member_tombstones(id));
        }
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
    fn mend(&mut self, changes: &mut Vec<ConsumerChange>) {
        if !std::mem::take(&mut self.is_torn) {
            return;
        }
        let ids: Vec<_> = self.members.keys().cloned().collect();
        self.removed.say_again();
        for id in self.removed.iter().filter(|id| !self.members.contains_key(*id)) {
            changes.extend(self.member_tombstones(id));
        }
        changes.extend(ids.iter().map(|id| self.member_change(id)));
        // One that has come back and is not assigned anything yet.
        for id in ids.iter().filter(|id| self.removed.contains(id) && !self.targets.contains_key(*id)) {
            changes.push(ConsumerChange::Target(self.member_key(id), None));
        }
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

    fn member_tombstones(&self, id: &str) -> [ConsumerChange; 3] {
        let key = self.member_key(id);
        [
            ConsumerChange::Current(key.clone(), None),
            ConsumerChange::Target(key.clone(), None),
            ConsumerChange::Member(key, None),
        ]
    }

    fn epoch_change(&self) -> ConsumerChange {
        let value = EpochValue { epoch: self.epoch, metadata_hash: self.metadata_hash };
        ConsumerChange::Epoch(self.key(), Some(value))
    }

    fn target_epoch_change(&self) -> ConsumerChange {
        let value =
            TargetEpochValue { assignment_epoch: self.target_epoch, assignment_timestamp: self.assigned_at };
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
        self.removed.note(id);
        changes.push(ConsumerChange::Current(self.member_key(id), None));
        if self.targets.remove(id).is_some() {
            changes.push(ConsumerChange::Target(self.member_key(id), None));
        }
        changes.push(ConsumerChange::Member(self.member_key(id), None));
        Some(member)
    }

    /// A member goes: whoever is left shares its partitions, from the next beat on.
    fn lose(&mut self, id: &str, changes: &mut Vec<ConsumerChange>) {
        self.remove(id, changes);
        self.raise_epoch();
    }

    fn raise_epoch(&mut self) {
        self.epoch += 1;
        self.is_epoch_new = true;
    }

    fn write_epoch(&mut self, changes: &mut Vec<ConsumerChange>) {
        if std::mem::take(&mut self.is_epoch_new) {
            changes.push(self.epoch_change());
        }
    }

    /// Forgets what nobody is subscribed to any more.
    fn forget_unused(&mut self, changes: &mut Vec<ConsumerChange>) {
        let used: HashSet<&str> =
            self.members.values().filter_map(|member| member.about.regex.as_deref()).collect();
        for regex in self.patterns.retain(|regex| used.contains(regex)) {
            changes.push(ConsumerChange::Regex(RegexKey { group: self.id.clone(), regex }, None));
        }
        self.named.forget_unused();
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

    /// Whether a member is subscribed to a topic.
    fn wants(&self, topics: &TopicTable, member: &Member, topic: TopicId) -> bool {
        let Some(topic) = topics.by_id(topic) else { return false };
        let shows = || match (&self.rules, &member.asker) {
            (Some(rules), Some(asker)) => rules.show(asker, &topic.name),
            _ => true,
        };
        let about = &member.about;
        about.topics.contains(&topic.name)
            || about.regex.as_ref().is_some_and(|regex| self.patterns.matches(regex, &topic.name) && shows())
    }

    /// Whether it is not known of all members that describe topics which of them they may: those that were
    /// there before the start have yet to say something.
    fn is_blind(&self) -> bool {
        let is_unheard = |member: &Member| member.about.regex.is_some() && member.asker.is_none();
        self.rules.is_some() && self.members.values().any(is_unheard)
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

    /// Looks at the topics, and shares partitions out, where it is time to. What is too long for that goes
    /// on beside the group, see [`ConsumerGroup::take_ongoing`].
    fn survey(&mut self, now: i64, topics: &Arc<TopicTable>, changes: &mut Vec<ConsumerChange>) {
        let must_assign = self.epoch > self.target_epoch;
        // A time that is to come is another clock's.
        let is_early = (0..self.settings.assignment_interval_ms).contains(&(now - self.surveyed_at));
        let can_wait = !must_assign && (self.has_seen(topics) || self.is_blind());
        if self.surveying.is_some() || is_early || can_wait {
            return;
        }
        let token = Rc::new(());
        let survey = self.begin_survey(topics, must_assign);
        self.surveying = Some(Surveying { token: token.clone(), epoch: self.epoch, renamed: Vec::new() });
        match begin(self.settings.units_at_once, |pace| survey.run(pace)) {
            Begun::Done(found) => self.take_found(now, &token, found, changes),
            Begun::Stopped(working) => self.ongoing = Some(Ongoing { working, token }),
        }
    }

    fn begin_survey(&self, topics: &Arc<TopicTable>, must_assign: bool) -> Survey {
        let mut places = HashMap::new();
        let mut subscriptions = Vec::new();
        let nothing = Rc::<Assignment>::default();
        let members = self.members.iter().map(|(id, Member { about, asker, .. })| {
            let assignment = self.targets.get(id).unwrap_or(&nothing).clone();
            // Sets that are the same are one, where the same is seen of what is described.
            let is_limited = about.regex.is_some() && self.rules.is_some();
            let sees = is_limited.then(|| asker.as_deref().ok_or(id));
            let key = (Arc::as_ptr(&about.topics), about.regex.as_deref(), sees);
            let subscription = *places.entry(key).or_insert_with(|| {
                let regex = about.regex.as_ref().and_then(|regex| self.patterns.get(regex));
                let visible = match (is_limited, asker) {
                    (false, _) => Visible::Every,
                    (true, Some(asker)) => Visible::To(asker.clone()),
                    (true, None) => Visible::Only(assignment.clone()),
                };
                subscriptions.push(Subscription { names: about.topics.clone(), regex, visible });
                subscriptions.len() - 1
            });
            assignors::Member {
                id: id.clone(),
                instance_id: about.instance_id.clone(),
                subscription,
                assignment,
            }
        });
        let members = members.collect();
        Survey {
            topics: topics.clone(),
            rules: self.rules.clone(),
            subscriptions,
            members,
            assignor: self.assignor(),
            hash: self.metadata_hash,
            must_assign,
        }
    }

    /// The rest of a survey that is too long for a heartbeat: when it is done, it is for
    /// [`ConsumerGroup::surveyed`].
    pub fn take_ongoing(&mut self) -> Option<Ongoing> {
        self.ongoing.take()
    }

    /// A survey has come to its end.
    pub fn surveyed(&mut self, now: i64, token: &Rc<()>, found: Found) -> Vec<ConsumerChange> {
        let mut changes = Vec::new();
        self.take_found(now, token, found, &mut changes);
        if !changes.is_empty() {
            self.mend(&mut changes);
        }
        changes
    }

    /// Takes in what a survey of this group has found. It counts for the members that there are: whoever has
    /// joined since has nothing yet, and what was for one that is gone waits for the next survey.
    fn take_found(&mut self, now: i64, token: &Rc<()>, found: Found, changes: &mut Vec<ConsumerChange>) {
        let is_its = |surveying: &mut Surveying| Rc::ptr_eq(&surveying.token, token);
        let Some(surveying) = self.surveying.take_if(is_its) else { return };
        self.seen = Arc::downgrade(&found.topics);
        self.surveyed_at = now;
        if self.metadata_hash != found.hash {
            (self.metadata_hash, self.is_epoch_new) = (found.hash, true);
        }
        let Some(targets) = found.targets else { return };
        // With new topics alone it has no epoch yet; one that it got since then is somebody else's.
        let target_epoch = surveying.epoch.max(self.target_epoch + 1);
        let is_taken = self.epoch == target_epoch && surveying.epoch != target_epoch;
        if self.epoch < target_epoch || is_taken {
            self.raise_epoch();
        }
        self.write_epoch(changes);
        for (id, (target, is_new)) in targets {
            let renamed = surveying.renamed.iter().find(|(before, _)| *before == id);
            let id = renamed.map_or(id, |(_, after)| after.clone());
            if self.members.contains_key(&id) && (is_new || !self.targets.contains_key(&id)) {
                changes.push(self.target_change(&id, &target));
                self.targets.insert(id, target);
            }
        }
        (self.target_epoch, self.assigned_at) = (target_epoch, now);
        changes.push(self.target_epoch_change());
    }

    // ---- time ---------------------------------------------------------------------------------------------

    /// Members whose time is up go.
    pub fn tick(&mut self, now: i64) -> Vec<ConsumerChange> {
        let mut changes = Vec::new();
        if now < self.wake_at {
            return changes;
        }
        let late: Vec<_> = self
            .members
            .iter()
            .filter(|(_, member)| member.session_until.min(member.act_until) <= now)
            .map(|(id, member)| (id.clone(), member.session_until <= now))
            .collect();
        for (member, was_silent) in late {
            match was_silent {
                true => tracing::info!(group = self.id, member, "a member was silent for too long: it goes"),
                false => {
                    tracing::info!(group = self.id, member, "a member did not do what it was told: it goes")
                }
            }
            self.lose(&member, &mut changes);
        }
        if !changes.is_empty() {
            self.forget_unused(&mut changes);
            self.write_epoch(&mut changes);
            self.mend(&mut changes);
        }
        self.wake_at = self.next_due();
        changes
    }

    fn next_due(&self) -> i64 {
        let due = self.members.values().map(|member| member.session_until.min(member.act_until));
        due.min().unwrap_or(i64::MAX)
    }
}
