//! One streams group (KIP-1071): who is in it, what the application is, who shall have which task, and who
//! has it. Pure: time and topics are arguments, nothing is sent or written here. What members ask is in
//! `group/heartbeat`.
//!
//! ```text
//! a member comes, goes, or is another process; a topic of the topology changes; a setting of the group
//!   > epoch + 1  > a target assignment of that epoch (assignor)  > each member, one beat after the other,
//!                                                                  comes to it (member)
//! ```
//!
//! * A change counts here at once, and leaves as [`StreamsChange`]s; an answer that goes by it waits until
//!   they are durable (D9). When the log does not take them, the next change writes all of the group again
//!   ([`StreamsGroup::unstored`]).
//! * No active task is with two members at a time: what one has is taken from nobody, and given to nobody
//!   else, before that member has given it up or is gone. A process has a task in one role at the most.
//! * The first member of an empty group brings the topology, which all others must have. Topics that it
//!   lacks are told, so that whoever serves the members can create them.
//! * Time comes by [`StreamsGroup::tick`], not later than [`StreamsGroup::wake_at`] says.

mod heartbeat;
#[cfg(test)]
mod tests;
mod told;

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::{Arc, Weak};

use strandline_engine::topics::TopicTable;
use strandline_protocol::messages::StreamsGroupKeyValue;
use strandline_protocol::wire::ErrorCode;

use super::assignor;
use super::configured::Configured;
use super::member::{About, Held, Member, Offsets};
use super::survey::{Found, Survey};
use super::tasks::{Roles, Task, Tasks};
use super::topology::Topology;
use crate::coordination::{Begun, Working, begin};
use crate::groups::group::State;
use crate::groups::records::GroupKey;
use crate::groups::records::consumer::{MemberKey, TargetEpochValue};
use crate::groups::records::streams::{StreamsChange, StreamsEpochValue, StreamsTargetValue};
use crate::groups::removed::Removed;

pub use heartbeat::{StreamsBeat, StreamsHeartbeat};
pub use told::{Endpoints, StreamsDescription};

/// The settings of streams groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamsSettings {
    /// How long a member may be silent, in milliseconds.
    pub session_timeout_ms: i64,
    /// How often a member is to say something, in milliseconds.
    pub heartbeat_interval_ms: i32,
    /// The most members.
    pub size_max: usize,
    /// How many members stand by each task with a state.
    pub standbys: u32,
    /// How long an empty group waits for more members than the first, in milliseconds.
    pub initial_rebalance_delay_ms: i64,
    /// How long it is at least from one sharing out to the next, in milliseconds.
    pub assignment_interval_ms: i64,
    /// What of a survey is done within a heartbeat, in units of [`crate::coordination::Pace::step`].
    pub units_at_once: usize,
}

/// Some two milliseconds: what is more goes on beside the group.
const UNITS_AT_ONCE: usize = 1 << 15;

impl Default for StreamsSettings {
    /// Kafka's.
    fn default() -> StreamsSettings {
        StreamsSettings {
            session_timeout_ms: 45_000,
            heartbeat_interval_ms: 5000,
            size_max: i32::MAX as usize,
            standbys: 0,
            initial_rebalance_delay_ms: 3000,
            assignment_interval_ms: 1000,
            units_at_once: UNITS_AT_ONCE,
        }
    }
}

/// The epoch that a group begins with.
const FIRST: i32 = 1;
/// The epoch of a topology that is none.
const NONE: i32 = -1;
/// The name under which the log has [`StreamsSettings::standbys`].
const STANDBYS: &str = "num.standby.replicas";

/// A streams group.
#[derive(Debug)]
pub struct StreamsGroup {
    id: String,
    settings: StreamsSettings,
    epoch: i32,
    /// Of the topics that the topology needs, when it was looked last.
    metadata_hash: i64,
    /// The epoch of the topology whose topics are as they must be.
    validated_epoch: i32,
    /// How many were to stand by when the epoch was raised last.
    standbys: u32,
    /// Whether a change of one of these has yet to be written.
    is_epoch_new: bool,
    topology: Option<Rc<Topology>>,
    /// What the topology comes to with the topics that there are.
    configured: Option<Rc<Configured>>,
    target_epoch: i32,
    targets: BTreeMap<String, Rc<Roles>>,
    /// When tasks were shared out last, in milliseconds; 0 when that is not known.
    assigned_at: i64,
    /// Until when more members are waited for.
    delayed_until: i64,
    members: BTreeMap<String, Member>,
    /// Member ids of static members, by their names.
    static_ids: HashMap<String, String>,
    /// The processes that have active tasks.
    working: HashMap<Task, Arc<str>>,
    /// How many members of a process stand by a task.
    standing_by: HashMap<(Task, Arc<str>), usize>,
    /// The topics that it goes by.
    seen: Weak<TopicTable>,
    surveying: Option<Surveying>,
    /// What is left of the survey, until it is taken.
    ongoing: Option<Ongoing>,
    /// The member that wants all to stop. It is not in the log, as in Kafka.
    shutdown: Option<String>,
    /// How often it has changed who can be asked for which state.
    endpoints_epoch: i32,
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
    /// For [`StreamsGroup::surveyed`].
    pub token: Rc<()>,
}

impl StreamsGroup {
    /// A group that nobody has joined yet. It begins with an epoch in which nobody has anything, so that a
    /// member has one to be in before tasks are shared out.
    pub fn new(id: &str, settings: StreamsSettings) -> StreamsGroup {
        StreamsGroup { epoch: FIRST, target_epoch: FIRST, ..StreamsGroup::unread(id, settings) }
    }

    /// A group of which nothing has been read yet.
    pub fn unread(id: &str, settings: StreamsSettings) -> StreamsGroup {
        StreamsGroup {
            id: id.to_owned(),
            settings,
            epoch: 0,
            metadata_hash: 0,
            validated_epoch: NONE,
            standbys: settings.standbys,
            is_epoch_new: false,
            topology: None,
            configured: None,
            target_epoch: 0,
            targets: BTreeMap::new(),
            assigned_at: 0,
            delayed_until: i64::MIN,
            members: BTreeMap::new(),
            static_ids: HashMap::new(),
            working: HashMap::new(),
            standing_by: HashMap::new(),
            seen: Weak::new(),
            surveying: None,
            ongoing: None,
            shutdown: None,
            endpoints_epoch: -1,
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
    pub fn load(&mut self, change: StreamsChange) {
        match change {
            StreamsChange::Epoch(_, value) => {
                let value = value.unwrap_or_default();
                (self.epoch, self.metadata_hash) = (value.epoch, value.metadata_hash);
                self.validated_epoch = value.validated_topology_epoch;
                let configs = value.last_assignment_configs.unwrap_or_default();
                let standbys = configs.iter().find(|config| config.key == STANDBYS);
                self.standbys = standbys.and_then(|config| config.value.parse().ok()).unwrap_or_default();
            }
            StreamsChange::TargetEpoch(_, value) => {
                let value = value.unwrap_or_default();
                (self.target_epoch, self.assigned_at) = (value.assignment_epoch, value.assignment_timestamp);
            }
            StreamsChange::Topology(_, value) => {
                self.topology = value.and_then(Topology::load).map(Rc::new);
            }
            StreamsChange::Member(key, Some(value)) => {
                self.load_member(key.member_id).about = About::from_value(value);
            }
            StreamsChange::Member(key, None) => drop(self.members.remove(&key.member_id)),
            StreamsChange::Current(key, Some(value)) => {
                self.load_member(key.member_id).held = Held::from_value(&value);
            }
            StreamsChange::Current(key, None) => {
                // A member that is gone loses this first.
                if let Some(member) = self.members.get_mut(&key.member_id) {
                    member.held = Held::default();
                }
            }
            StreamsChange::Target(key, Some(value)) => {
                let active = Tasks::from_ids(&value.active_tasks);
                let standby = Tasks::from_ids(&value.standby_tasks);
                self.targets.insert(key.member_id, Rc::new(Roles { active, standby }));
            }
            StreamsChange::Target(key, None) => drop(self.targets.remove(&key.member_id)),
        }
    }

    fn load_member(&mut self, id: String) -> &mut Member {
        self.members.entry(id).or_insert_with(Member::unknown)
    }

    /// The log has been read: sessions begin.
    pub fn resume(&mut self, now: i64) {
        self.drop_halves();
        if self.target_epoch == 0 {
            // It was not shared out before the end.
            (self.target_epoch, self.epoch) = (FIRST, self.epoch.max(FIRST + 1));
        }
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

    /// What a log lacks of which a write was not taken: where two members have an active task, the one of
    /// the newer epoch was given it when the other had given it up; so where a process has one twice.
    fn drop_halves(&mut self) {
        let mut ids: Vec<_> =
            self.members.iter().map(|(id, member)| (member.held.epoch, id.clone())).collect();
        ids.sort_unstable();
        for (_, id) in ids.into_iter().rev() {
            let Member { about, held, .. } = &self.members[&id];
            let (mut held, process) = (held.clone(), about.process.clone());
            let is_in = |task: &Task| self.standing_by.contains_key(&(task.clone(), process.clone()));
            let no_active: Vec<_> =
                held.active().filter(|task| self.working.contains_key(task) || is_in(task)).collect();
            let works = |task: &Task| self.working.get(task) == Some(&process);
            let no_standby: Vec<_> = held.standby().filter(|task| works(task) || is_in(task)).collect();
            for task in &no_active {
                held.assigned.active.remove(task);
                held.revoking.active.remove(task);
                held.since.remove(task);
            }
            for task in &no_standby {
                held.assigned.standby.remove(task);
                held.revoking.standby.remove(task);
            }
            self.is_torn |= !no_active.is_empty() || !no_standby.is_empty();
            self.note_held(&held, &process);
            self.members.get_mut(&id).expect("it is one of them").held = held;
        }
    }

    // ---- what there is ------------------------------------------------------------------------------------

    /// Where it is in its life.
    pub fn state(&self) -> State {
        let is_reconciled = |member: &Member| member.held.is_reconciled_to(self.target_epoch);
        let is_valid = |topology: &Rc<Topology>| topology.epoch() == self.validated_epoch;
        if self.is_dead {
            State::Dead
        } else if self.members.is_empty() {
            State::Empty
        } else if !self.topology.as_ref().is_some_and(is_valid) {
            State::NotReady
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

    /// Whether the application reads the topic, and somebody runs it.
    pub fn is_subscribed(&self, topic: &str) -> bool {
        let reads = |topology: &Rc<Topology>| topology.reader(topic).is_some();
        !self.members.is_empty() && self.topology.as_ref().is_some_and(reads)
    }

    /// When [`StreamsGroup::tick`] must be called, at the latest; `i64::MAX` when nothing is due.
    pub fn wake_at(&self) -> i64 {
        self.wake_at
    }

    /// Whether the member may fetch offsets in this epoch.
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

    /// Whether the member may commit offsets of these partitions in this epoch: its newest one, or one in
    /// which it had the tasks that read all of them already (KIP-1251).
    ///
    /// # Errors
    /// That it is not in the group, or that the epoch is none of these.
    pub fn check_commit<'a>(
        &self,
        member_id: &str,
        epoch: i32,
        mut partitions: impl Iterator<Item = (&'a str, i32)>,
    ) -> Result<(), ErrorCode> {
        let reader = |topic| self.topology.as_ref().and_then(|topology| topology.reader(topic));
        let Some(Member { held, .. }) = self.members.get(member_id) else {
            return Err(ErrorCode::UnknownMemberId);
        };
        let mut has_all = || {
            partitions.all(|(topic, partition)| {
                reader(topic).is_some_and(|id| held.had(&(id.clone(), partition), epoch))
            })
        };
        match epoch == held.epoch || (epoch < held.epoch && has_all()) {
            true => Ok(()),
            false => Err(ErrorCode::StaleMemberEpoch),
        }
    }

    // ---- deletion -----------------------------------------------------------------------------------------

    /// Takes nobody any more, until [`StreamsGroup::revive`].
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

    /// Undoes [`StreamsGroup::bury`]: the log did not take it.
    pub fn revive(&mut self) {
        self.is_dead = false;
    }

    /// That a group that nobody is in is gone.
    pub fn tombstones(&self) -> Vec<StreamsChange> {
        vec![
            StreamsChange::TargetEpoch(self.key(), None),
            StreamsChange::Topology(self.key(), None),
            StreamsChange::Epoch(self.key(), None),
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
    fn mend(&mut self, changes: &mut Vec<StreamsChange>) {
        if !std::mem::take(&mut self.is_torn) {
            return;
        }
        let ids: Vec<_> = self.members.keys().cloned().collect();
        self.removed.say_again();
        for id in self.removed.iter().filter(|id| !self.members.contains_key(*id)) {
            changes.push(StreamsChange::Current(self.member_key(id), None));
            changes.push(StreamsChange::Target(self.member_key(id), None));
            changes.push(StreamsChange::Member(self.member_key(id), None));
        }
        changes.extend(self.topology_change());
        changes.extend(ids.iter().map(|id| self.member_change(id)));
        // One that has come back and is not assigned anything yet.
        for id in ids.iter().filter(|id| self.removed.contains(id) && !self.targets.contains_key(*id)) {
            changes.push(StreamsChange::Target(self.member_key(id), None));
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

    fn topology_change(&self) -> Option<StreamsChange> {
        let topology = self.topology.as_ref()?;
        Some(StreamsChange::Topology(self.key(), Some(topology.value().clone())))
    }

    fn epoch_change(&self) -> StreamsChange {
        let standbys = StreamsGroupKeyValue { key: STANDBYS.to_owned(), value: self.standbys.to_string() };
        let value = StreamsEpochValue {
            epoch: self.epoch,
            metadata_hash: self.metadata_hash,
            validated_topology_epoch: self.validated_epoch,
            last_assignment_configs: Some(vec![standbys]),
        };
        StreamsChange::Epoch(self.key(), Some(value))
    }

    fn target_epoch_change(&self) -> StreamsChange {
        let value =
            TargetEpochValue { assignment_epoch: self.target_epoch, assignment_timestamp: self.assigned_at };
        StreamsChange::TargetEpoch(self.key(), Some(value))
    }

    fn target_change(&self, id: &str, target: &Roles) -> StreamsChange {
        let value = StreamsTargetValue {
            active_tasks: target.active.to_ids(),
            standby_tasks: target.standby.to_ids(),
            warmup_tasks: Vec::new(),
        };
        StreamsChange::Target(self.member_key(id), Some(value))
    }

    fn member_change(&self, id: &str) -> StreamsChange {
        StreamsChange::Member(self.member_key(id), Some(self.members[id].about.to_value()))
    }

    fn current_change(&self, id: &str) -> StreamsChange {
        StreamsChange::Current(self.member_key(id), Some(self.members[id].held.to_value()))
    }

    // ---- members ------------------------------------------------------------------------------------------

    /// Takes a member out, with all that the log says of it. What it had is free.
    fn remove(&mut self, id: &str, changes: &mut Vec<StreamsChange>) -> Option<Member> {
        let member = self.members.remove(id)?;
        self.forget_held(&member.held, &member.about.process);
        if let Some(instance) = &member.about.instance_id
            && self.static_ids.get(instance).is_some_and(|known| known == id)
        {
            self.static_ids.remove(instance);
        }
        if member.about.endpoint.is_some() {
            self.endpoints_epoch = self.endpoints_epoch.wrapping_add(1);
        }
        self.removed.note(id);
        changes.push(StreamsChange::Current(self.member_key(id), None));
        if self.targets.remove(id).is_some() {
            changes.push(StreamsChange::Target(self.member_key(id), None));
        }
        changes.push(StreamsChange::Member(self.member_key(id), None));
        Some(member)
    }

    /// A member goes: whoever is left shares its tasks, from the next beat on.
    fn lose(&mut self, id: &str, changes: &mut Vec<StreamsChange>) {
        self.remove(id, changes);
        if self.members.is_empty() {
            self.shutdown = None;
        }
        self.raise_epoch();
    }

    fn raise_epoch(&mut self) {
        self.epoch += 1;
        self.is_epoch_new = true;
        self.standbys = self.settings.standbys;
    }

    fn write_epoch(&mut self, changes: &mut Vec<StreamsChange>) {
        if std::mem::take(&mut self.is_epoch_new) {
            changes.push(self.epoch_change());
        }
    }

    fn note_held(&mut self, held: &Held, process: &Arc<str>) {
        for task in held.active() {
            let before = self.working.insert(task, process.clone());
            debug_assert!(before.is_none(), "an active task is with two members");
        }
        for task in held.standby() {
            *self.standing_by.entry((task, process.clone())).or_default() += 1;
        }
    }

    fn forget_held(&mut self, held: &Held, process: &Arc<str>) {
        held.active().for_each(|task| drop(self.working.remove(&task)));
        for task in held.standby() {
            let key = (task, process.clone());
            if let Some(count) = self.standing_by.get_mut(&key) {
                *count -= 1;
                if *count == 0 {
                    self.standing_by.remove(&key);
                }
            }
        }
    }

    /// Gives a member what it has from now on.
    fn hold(&mut self, id: &str, held: Held) {
        let member = &self.members[id];
        let (before, process) = (member.held.clone(), member.about.process.clone());
        self.forget_held(&before, &process);
        self.note_held(&held, &process);
        self.members.get_mut(id).expect("it is a member").held = held;
    }

    /// Whether nobody keeps a task from a member in a role.
    fn is_free(&self, member: &Member, task: &Task, is_active: bool) -> bool {
        // What it has given up it keeps from nobody.
        let revoking = &member.held.revoking;
        let process = &member.about.process;
        let worker = self.working.get(task).filter(|_| !revoking.active.contains(task));
        let others = self.standing_by.get(&(task.clone(), process.clone())).copied().unwrap_or_default();
        let is_stood_by = others > usize::from(revoking.standby.contains(task));
        match is_active {
            true => worker.is_none() && !is_stood_by,
            false => worker != Some(process) && !is_stood_by,
        }
    }

    // ---- topics and targets -------------------------------------------------------------------------------

    fn has_seen(&self, topics: &Arc<TopicTable>) -> bool {
        self.configured.is_some() && Weak::ptr_eq(&self.seen, &Arc::downgrade(topics))
    }

    /// Why tasks are not shared out yet, when they may not.
    fn delay(&self, now: i64) -> Option<&'static str> {
        // A time that is to come is another clock's.
        let since = now - self.assigned_at;
        let is_early = self.assigned_at != 0 && (0..self.settings.assignment_interval_ms).contains(&since);
        if now < self.delayed_until {
            Some("Assignment delayed due to the configured initial rebalance delay.")
        } else if is_early {
            Some("Assignment delayed due to the configured assignment interval.")
        } else {
            None
        }
    }

    /// Looks at the topics, and shares tasks out, where it is time to. What is too long for that goes on
    /// beside the group, see [`StreamsGroup::take_ongoing`].
    fn survey(&mut self, now: i64, topics: &Arc<TopicTable>, changes: &mut Vec<StreamsChange>) {
        let Some(topology) = self.topology.clone() else { return };
        let (must_assign, may_assign) = (self.epoch > self.target_epoch, self.delay(now).is_none());
        if self.surveying.is_some() || (self.has_seen(topics) && !(must_assign && may_assign)) {
            return;
        }
        let token = Rc::new(());
        let survey = Survey {
            topics: topics.clone(),
            is_valid: self.validated_epoch == topology.epoch(),
            topology,
            configured: self.configured.clone(),
            members: self.members.iter().map(|(id, member)| self.for_assignor(id, member)).collect(),
            standbys: self.standbys,
            hash: self.metadata_hash,
            must_assign,
            may_assign,
        };
        self.surveying = Some(Surveying { token: token.clone(), epoch: self.epoch, renamed: Vec::new() });
        match begin(self.settings.units_at_once, |pace| survey.run(pace)) {
            Begun::Done(found) => self.take_found(now, &token, found, changes),
            Begun::Stopped(working) => self.ongoing = Some(Ongoing { working, token }),
        }
    }

    fn for_assignor(&self, id: &str, member: &Member) -> assignor::Member {
        let offsets = member.offsets.current.iter();
        let offsets =
            offsets.map(|task| ((task.subtopology_id.as_str().into(), task.partition), task.offset));
        assignor::Member {
            id: id.to_owned(),
            process: member.about.process.clone(),
            before: self.targets.get(id).cloned().unwrap_or_default(),
            offsets: offsets.collect(),
        }
    }

    /// The rest of a survey that is too long for a heartbeat: when it is done, it is for
    /// [`StreamsGroup::surveyed`].
    pub fn take_ongoing(&mut self) -> Option<Ongoing> {
        self.ongoing.take()
    }

    /// A survey has come to its end.
    pub fn surveyed(&mut self, now: i64, token: &Rc<()>, found: Found) -> Vec<StreamsChange> {
        let mut changes = Vec::new();
        self.take_found(now, token, found, &mut changes);
        self.write_epoch(&mut changes);
        if !changes.is_empty() {
            self.mend(&mut changes);
        }
        changes
    }

    /// Takes in what a survey of this group has found. It counts for the members that there are: whoever has
    /// joined since has nothing yet, and what was for one that is gone waits for the next survey.
    fn take_found(&mut self, now: i64, token: &Rc<()>, found: Found, changes: &mut Vec<StreamsChange>) {
        let is_its = |surveying: &mut Surveying| Rc::ptr_eq(&surveying.token, token);
        let Some(surveying) = self.surveying.take_if(is_its) else { return };
        let Some(topology) = &self.topology else { return };
        let validated = if found.configured.is_ready() { topology.epoch() } else { NONE };
        let is_current = self.epoch == surveying.epoch;
        if (self.metadata_hash, self.validated_epoch) != (found.hash, validated) {
            (self.metadata_hash, self.validated_epoch) = (found.hash, validated);
            // One that was raised for a member a moment ago is this one's, too.
            if !(is_current && self.is_epoch_new && self.epoch > self.target_epoch) {
                self.raise_epoch();
            }
        }
        if let Some(problem) = &found.configured.problem
            && self.configured.as_ref() != Some(&found.configured)
        {
            tracing::info!(group = self.id, problem = problem.detail, "a topology cannot be worked on yet");
        }
        (self.seen, self.configured) = (Arc::downgrade(&found.topics), Some(found.configured));
        let Some(targets) = found.targets else { return };
        let target_epoch = match is_current {
            true => self.epoch,
            false => surveying.epoch.max(self.target_epoch + 1),
        };
        if !is_current && self.epoch <= target_epoch {
            // It is of members that there were then.
            self.epoch = target_epoch;
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
        self.target_epoch = target_epoch;
        if self.validated_epoch != NONE {
            // While nothing can be shared out nothing has to wait for the next time.
            self.assigned_at = now;
        }
        changes.push(self.target_epoch_change());
    }

    // ---- time ---------------------------------------------------------------------------------------------

    /// Members whose time is up go.
    pub fn tick(&mut self, now: i64) -> Vec<StreamsChange> {
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
                false => tracing::info!(group = self.id, member, "a member did not give tasks up: it goes"),
            }
            self.lose(&member, &mut changes);
        }
        if !changes.is_empty() {
            self.write_epoch(&mut changes);
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

impl Member {
    /// One of which nothing is known yet.
    fn unknown() -> Member {
        Member {
            about: About::default(),
            held: Held::default(),
            offsets: Offsets::default(),
            session_until: i64::MAX,
            revoke_until: i64::MAX,
        }
    }
}
