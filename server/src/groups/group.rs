//! One classic group: where it is in its life, and who works on what. Pure: time and new ids are arguments,
//! nothing is sent or written here. Who is in it, how members come in and how they go is in `group/members`.
//!
//! ```text
//!            first join               all have joined,            the leader's assignment
//!                                     or the time is up           is durable
//!   Empty ------------> Preparing --------------------> Completing ----------------------> Stable
//!     ^                 Rebalance  generation + 1       Rebalance                            |
//!     |                  |   ^                            |                                  |
//!     '------------------'   '----------------------------+----------------------------------'
//!       nobody has joined      a member comes, goes, or wants something else
//! ```
//!
//! * Calls that have an answer at once return it. A join or a sync may have to wait: it comes with a
//!   [`Ticket`], and every ticket is answered exactly once, in the [`Effects`] of this or of a later call.
//! * What must outlive us leaves as [`Store`], and [`ClassicGroup::stored`] tells how that ended. An
//!   assignment counts when it is durable (D9).
//! * Time comes by [`ClassicGroup::tick`], not later than [`ClassicGroup::wake_at`] says.
//!
//! The rules are those of Kafka's classic protocol, with KIP-345 (static members), KIP-394 (an id before the
//! first join) and KIP-814 (a leader that has come back and need not assign).

mod effects;
mod members;
mod moved;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

use bytes::Bytes;
use strandline_protocol::wire::ErrorCode;

use super::member::{Joined, JoinedMember, Member, MemberDescription, Sync, Synced, Terms, Ticket};
use super::offsets::Retention;
use super::records::GroupValue;
use super::subscription::{self, CONSUMER};

pub use effects::{Effects, Store, StoreId};

/// How often a rebalance is tried at most that nobody joins, in milliseconds.
const RETRY_MIN_MS: i64 = 1000;

/// The settings of groups.
#[derive(Clone, Copy, Debug)]
pub struct GroupSettings {
    /// How long the first rebalance of an empty group waits for more members, in milliseconds.
    pub initial_rebalance_delay_ms: i64,
    /// The most members.
    pub size_max: usize,
}

/// Where a group is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Nobody is in it.
    Empty,
    /// It waits for everybody to join.
    PreparingRebalance,
    /// It waits for the leader's assignment.
    CompletingRebalance,
    /// Everybody works.
    Stable,
    /// It is being deleted.
    Dead,
    /// The broker has yet to say who works on what: a group of KIP-848, as in the next.
    Assigning,
    /// Members have yet to come to what the broker has said.
    Reconciling,
    /// The topics of a streams group are not as its application needs them.
    NotReady,
}

impl State {
    /// All of them.
    pub const ALL: [State; 8] = [
        State::Empty,
        State::PreparingRebalance,
        State::CompletingRebalance,
        State::Stable,
        State::Dead,
        State::Assigning,
        State::Reconciling,
        State::NotReady,
    ];

    /// The name that clients are told.
    pub fn name(self) -> &'static str {
        match self {
            State::Empty => "Empty",
            State::PreparingRebalance => "PreparingRebalance",
            State::CompletingRebalance => "CompletingRebalance",
            State::Stable => "Stable",
            State::Dead => "Dead",
            State::Assigning => "Assigning",
            State::Reconciling => "Reconciling",
            State::NotReady => "NotReady",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A group as it is described to others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// Where it is in its life.
    pub state: State,
    /// Such as "consumer"; empty for a group that has committed offsets and nothing else.
    pub protocol_type: String,
    /// The protocol in use, while the group is stable.
    pub protocol: String,
    /// Everybody.
    pub members: Vec<MemberDescription>,
}

/// A classic group.
#[derive(Clone, Debug)]
pub struct ClassicGroup {
    settings: GroupSettings,
    state: State,
    /// Since when it is in its state; -1 when a log of old does not say.
    since: i64,
    generation: i32,
    protocol_type: Option<String>,
    protocol: Option<String>,
    leader: Option<String>,
    members: BTreeMap<String, Member>,
    /// Member ids of static members, by their names.
    static_ids: HashMap<String, String>,
    /// How many members support each protocol.
    supported: HashMap<String, usize>,
    /// Ids that were given out, and until when they can be used.
    pending_joins: BTreeMap<String, i64>,
    /// Members of the generation that have not asked for their assignment yet.
    pending_syncs: BTreeSet<String>,
    /// The topics of a consumer group; `None` when they are not known.
    subscribed: Option<BTreeSet<String>>,
    join_timer: Option<JoinTimer>,
    sync_timer: Option<i64>,
    storing: BTreeMap<StoreId, Storing>,
    next_store: StoreId,
    /// Nothing is due before.
    wake_at: i64,
}

/// Ends the time to join.
#[derive(Clone, Copy, Debug)]
struct JoinTimer {
    at: i64,
    initial: Option<InitialDelay>,
}

/// The first rebalance of an empty group: it is put off while members come.
#[derive(Clone, Copy, Debug)]
struct InitialDelay {
    /// By how much it may still be put off.
    remaining: i64,
    /// Whether somebody came since it was put off last.
    has_new: bool,
}

/// What is being made durable, for the moment that it is.
#[derive(Clone, Debug)]
enum Storing {
    Assignment { generation: i32, assignments: HashMap<String, Bytes> },
    Swap(Box<Swap>),
    Nothing,
}

/// A static member that came back under a new id.
#[derive(Clone, Debug)]
struct Swap {
    instance_id: String,
    old_id: String,
    old_terms: Terms,
    new_id: String,
    leader_before: String,
    may_skip_assignment: bool,
}

impl ClassicGroup {
    /// A group that nobody has joined yet.
    pub fn new(now: i64, settings: GroupSettings) -> ClassicGroup {
        ClassicGroup {
            settings,
            state: State::Empty,
            since: now,
            generation: 0,
            protocol_type: None,
            protocol: None,
            leader: None,
            members: BTreeMap::new(),
            static_ids: HashMap::new(),
            supported: HashMap::new(),
            pending_joins: BTreeMap::new(),
            pending_syncs: BTreeSet::new(),
            subscribed: None,
            join_timer: None,
            sync_timer: None,
            storing: BTreeMap::new(),
            next_store: 0,
            wake_at: i64::MAX,
        }
    }

    /// A group out of the log. Its members' sessions begin with [`ClassicGroup::resume`].
    pub fn load(value: GroupValue, settings: GroupSettings) -> ClassicGroup {
        let mut group = ClassicGroup::new(value.current_state_timestamp, settings);
        group.generation = value.generation;
        group.protocol_type = Some(value.protocol_type).filter(|kind| !kind.is_empty());
        let protocol = value.protocol.unwrap_or_default();
        for member in value.members {
            let (id, instance) = (member.member_id.clone(), member.group_instance_id.as_ref());
            let is_known = instance.is_some_and(|instance| group.static_ids.contains_key(instance));
            if !is_known && !group.members.contains_key(&id) {
                group.insert(id, Member::load(member, protocol.clone()));
            }
        }
        if !group.members.is_empty() {
            group.state = State::Stable;
            group.protocol = Some(protocol);
            group.leader = value.leader;
        }
        group.subscribed = group.find_subscribed();
        group
    }

    /// Starts the sessions of a group that was loaded, so that its members go on as if nothing had happened;
    /// or rebalance, when that is what they were about to do (see `after_loss`).
    pub fn resume(&mut self, now: i64, effects: &mut Effects) {
        let ids: Vec<_> = self.members.keys().cloned().collect();
        for id in ids {
            self.refresh(now, &id);
        }
        let is_without_leader = self.leader.is_none() && !self.members.is_empty();
        if self.leader.as_ref().is_none_or(|leader| !self.members.contains_key(leader)) {
            self.leader = self.members.keys().next().cloned();
        }
        // The setting may have changed: members that come too late will not get in again.
        if is_without_leader || self.members.len() > self.settings.size_max {
            self.prepare_rebalance(now, effects);
        }
    }

    // ---- what it is ---------------------------------------------------------------------------------------

    /// Where it is in its life.
    pub fn state(&self) -> State {
        self.state
    }

    /// Counts the rebalances.
    pub fn generation(&self) -> i32 {
        self.generation
    }

    /// The type of its members, such as "consumer".
    pub fn protocol_type(&self) -> Option<&str> {
        self.protocol_type.as_deref()
    }

    /// When [`ClassicGroup::tick`] must be called, at the latest; `i64::MAX` when nothing is due.
    pub fn wake_at(&self) -> i64 {
        self.wake_at
    }

    /// Whether it is as [`ClassicGroup::new`] made it: nothing is lost without it.
    pub fn is_blank(&self) -> bool {
        self.is_idle() && self.generation == 0 && self.protocol_type.is_none()
    }

    /// Whether nobody is in it or on the way.
    pub fn is_idle(&self) -> bool {
        self.state == State::Empty && self.pending_joins.is_empty()
    }

    /// How many members there are.
    pub fn size(&self) -> usize {
        self.members.len()
    }

    /// About what [`ClassicGroup::describe`] takes of the memory.
    pub fn description_bytes(&self) -> usize {
        self.members.iter().map(|(id, member)| id.len() + member.bytes()).sum()
    }

    /// The group for those who ask what it does.
    pub fn describe(&self) -> Description {
        let protocol = self.protocol.as_deref().filter(|_| self.state == State::Stable);
        let members = self.members.iter().map(|(id, member)| member.describe(id, protocol));
        Description {
            state: self.state,
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            protocol: protocol.unwrap_or_default().to_owned(),
            members: members.collect(),
        }
    }

    /// Whether a member consumes the topic, as far as can be known.
    pub fn is_subscribed(&self, topic: &str) -> bool {
        self.subscribed.as_ref().map_or_else(|| self.is_consumer(), |topics| topics.contains(topic))
    }

    /// From when on the retention of the group's offsets counts.
    pub fn retention(&self) -> Retention {
        match (&self.protocol_type, self.state) {
            (None, _) => Retention::Commit,
            (Some(_), State::Empty) if self.since < 0 => Retention::Commit,
            (Some(_), State::Empty) => Retention::EmptySince(self.since),
            (Some(_), State::Stable) if self.is_consumer() && self.subscribed.is_some() => Retention::Commit,
            (Some(_), _) => Retention::None,
        }
    }

    fn is_consumer(&self) -> bool {
        self.protocol_type.as_deref() == Some(CONSUMER)
    }

    fn find_subscribed(&self) -> Option<BTreeSet<String>> {
        if !self.is_consumer() {
            return None;
        }
        let mut all = BTreeSet::new();
        for member in self.members.values() {
            match subscription::topics(&member.metadata(self.protocol.as_deref())) {
                Ok(topics) => all.extend(topics),
                Err(error) => {
                    tracing::debug!(%error, "a consumer's subscription can not be read");
                    return None;
                }
            }
        }
        Some(all)
    }

    // ---- rebalance ----------------------------------------------------------------------------------------

    fn rebalance(&mut self, now: i64, effects: &mut Effects) {
        match self.state {
            State::PreparingRebalance => self.complete_join_if_all(now, effects),
            _ => self.prepare_rebalance(now, effects),
        }
    }

    /// Goes on without a member.
    ///
    /// While the others are waited for, the log says who is left, without a leader. Otherwise a crash now
    /// would bring the member back: the others would go on, and nobody would read its partitions until its
    /// session ends once more.
    fn after_loss(&mut self, now: i64, effects: &mut Effects) {
        match self.state {
            State::Stable | State::CompletingRebalance => self.prepare_rebalance(now, effects),
            State::PreparingRebalance => self.complete_join_if_all(now, effects),
            State::Empty | State::Dead | State::Assigning | State::Reconciling | State::NotReady => {}
        }
        if self.state == State::PreparingRebalance && self.protocol.is_some() && !self.members.is_empty() {
            self.store(self.unled_record(), Storing::Nothing, effects);
        }
    }

    fn prepare_rebalance(&mut self, now: i64, effects: &mut Effects) {
        if self.state == State::CompletingRebalance {
            self.end_syncs(now, ErrorCode::RebalanceInProgress, effects);
        }
        self.pending_syncs.clear();
        self.sync_timer = None;
        let is_first = self.state == State::Empty;
        self.enter(State::PreparingRebalance, now);
        if is_first {
            let delay = self.settings.initial_rebalance_delay_ms;
            let remaining = (self.rebalance_timeout_ms() - delay).max(0);
            let initial = InitialDelay { remaining, has_new: false };
            self.set_join_timer(JoinTimer { at: now + delay, initial: Some(initial) });
        } else if self.have_all_joined() {
            self.complete_join(now, effects);
        } else {
            self.set_join_timer(JoinTimer { at: now + self.rebalance_timeout_ms(), initial: None });
        }
    }

    fn have_all_joined(&self) -> bool {
        self.pending_joins.is_empty() && self.members.values().all(|member| member.joining.is_some())
    }

    fn complete_join_if_all(&mut self, now: i64, effects: &mut Effects) {
        // The first rebalance waits for members that nobody knows of yet.
        let is_first = self.join_timer.is_some_and(|timer| timer.initial.is_some());
        if self.state == State::PreparingRebalance && !is_first && self.have_all_joined() {
            self.complete_join(now, effects);
        }
    }

    /// Begins the next generation with those who have joined, and with static members, who may be away for a
    /// while.
    fn complete_join(&mut self, now: i64, effects: &mut Effects) {
        self.join_timer = None;
        let is_missing = |member: &Member| member.joining.is_none() && member.instance_id.is_none();
        let missing: Vec<_> = self.members.iter().filter(|(_, member)| is_missing(member)).collect();
        let missing: Vec<_> = missing.into_iter().map(|(id, _)| id.clone()).collect();
        for id in missing {
            self.remove(&id, effects);
        }
        if !self.members.is_empty() && !self.elect_leader() {
            let at = now + self.rebalance_timeout_ms().max(RETRY_MIN_MS);
            self.set_join_timer(JoinTimer { at, initial: None });
            return;
        }
        self.generation = self.generation.wrapping_add(1).max(0);
        self.pending_syncs.clear();
        if self.members.is_empty() {
            self.protocol = None;
            self.subscribed = self.find_subscribed();
            self.enter(State::Empty, now);
            // Nobody waits for it: what the log had before has no member any more, whose session would end it
            // as well.
            let value = self.record(|_, _| Bytes::new());
            self.store(value, Storing::Nothing, effects);
            return;
        }
        self.protocol = Some(self.vote().to_owned());
        self.subscribed = self.find_subscribed();
        self.enter(State::CompletingRebalance, now);
        let ids: Vec<_> = self.members.keys().cloned().collect();
        for id in ids {
            let joined = self.joined(&id);
            let member = self.members.get_mut(&id).expect("its key was just there");
            member.is_new = false;
            if let Some(ticket) = member.joining.take() {
                effects.joined.push((ticket, joined));
            }
            self.refresh(now, &id);
            self.pending_syncs.insert(id);
        }
        let at = now + self.rebalance_timeout_ms();
        self.sync_timer = Some(at);
        self.due(at);
    }

    /// Makes sure that the leader has joined; `false` when nobody has.
    fn elect_leader(&mut self) -> bool {
        let has_joined = |id: &String| self.members.get(id).is_some_and(|member| member.joining.is_some());
        if self.leader.as_ref().is_some_and(has_joined) {
            return true;
        }
        match self.members.keys().find(|id| has_joined(id)) {
            Some(id) => {
                self.leader = Some(id.clone());
                true
            }
            None => false,
        }
    }

    /// The protocol that most members like best of those that all support; of equals, the one that the first
    /// member likes better.
    fn vote(&self) -> &str {
        let mut votes: HashMap<&str, usize> = HashMap::new();
        for member in self.members.values() {
            let favourite = self.common_protocols(member).next();
            *votes.entry(favourite.expect("who shares no protocol does not get in")).or_default() += 1;
        }
        let (_, first) = self.members.first_key_value().expect("a generation has members");
        // Of equals, `max_by_key` takes the last.
        let names = self.common_protocols(first).rev();
        names.max_by_key(|name| votes.get(name).copied().unwrap_or(0)).expect("there is a common protocol")
    }

    fn common_protocols<'a>(&'a self, member: &'a Member) -> impl DoubleEndedIterator<Item = &'a str> {
        let names = member.terms.protocols.iter().map(|protocol| protocol.name.as_str());
        names.filter(|name| self.supported.get(*name) == Some(&self.members.len()))
    }

    /// The generation as the member is told it.
    fn joined(&self, id: &str) -> Joined {
        let is_leader = self.leader.as_deref() == Some(id);
        let members = self.members.iter().filter(|_| is_leader).map(|(id, member)| JoinedMember {
            member_id: id.clone(),
            instance_id: member.instance_id.clone(),
            metadata: member.metadata(self.protocol.as_deref()),
        });
        Joined {
            error: ErrorCode::None,
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            leader: self.leader.clone().unwrap_or_default(),
            skip_assignment: false,
            member_id: id.to_owned(),
            members: members.collect(),
        }
    }

    fn enter(&mut self, state: State, now: i64) {
        self.state = state;
        self.since = now;
    }

    // ---- sync ---------------------------------------------------------------------------------------------

    /// A member wants its assignment; the leader brings everybody's.
    pub fn sync(&mut self, now: i64, ticket: Ticket, sync: Sync, effects: &mut Effects) {
        if let Err(error) = self.check_sync(&sync) {
            effects.synced.push((ticket, Synced::refused(error)));
            return;
        }
        let id = sync.identity.member_id;
        if self.pending_syncs.remove(&id) && self.pending_syncs.is_empty() {
            self.sync_timer = None;
        }
        if self.state == State::Stable {
            self.refresh(now, &id);
            effects.synced.push((ticket, self.synced(&id)));
            return;
        }
        let member = self.members.get_mut(&id).expect("it was checked");
        if let Some(earlier) = member.syncing.replace(ticket) {
            effects.synced.push((earlier, Synced::refused(ErrorCode::RebalanceInProgress)));
        }
        let is_leader = self.leader.as_ref() == Some(&id);
        let is_on_its_way = |storing: &Storing| matches!(storing, Storing::Assignment { generation, .. } if *generation == self.generation);
        if is_leader && !self.storing.values().any(is_on_its_way) {
            let assignments: HashMap<_, _> = sync.assignments.into_iter().collect();
            let value = self.record(|id, _| assignments.get(id).cloned().unwrap_or_default());
            let storing = Storing::Assignment { generation: self.generation, assignments };
            self.store(value, storing, effects);
        }
    }

    fn check_sync(&self, sync: &Sync) -> Result<(), ErrorCode> {
        let differs =
            |asked: &Option<String>, own: &Option<String>| asked.is_some() && own.is_some() && asked != own;
        self.check_generation(&sync.identity)?;
        if differs(&sync.protocol_type, &self.protocol_type) || differs(&sync.protocol, &self.protocol) {
            return Err(ErrorCode::InconsistentGroupProtocol);
        }
        match self.state {
            State::PreparingRebalance => Err(ErrorCode::RebalanceInProgress),
            _ => Ok(()),
        }
    }

    fn synced(&self, id: &str) -> Synced {
        Synced {
            error: ErrorCode::None,
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            assignment: self.members[id].assignment.clone(),
        }
    }

    /// Answers all who wait for their assignment with an error; nobody has one then.
    fn end_syncs(&mut self, now: i64, error: ErrorCode, effects: &mut Effects) {
        let ids: Vec<_> = self.members.keys().cloned().collect();
        for id in ids {
            let member = self.members.get_mut(&id).expect("its key was just there");
            member.assignment = Bytes::new();
            if let Some(ticket) = member.syncing.take() {
                effects.synced.push((ticket, Synced::refused(error)));
                self.refresh(now, &id);
            }
        }
    }

    // ---- what becomes durable -----------------------------------------------------------------------------

    fn store(&mut self, value: GroupValue, storing: Storing, effects: &mut Effects) {
        let id = self.next_store;
        self.next_store += 1;
        self.storing.insert(id, storing);
        effects.stores.push(Store { id, value });
    }

    /// What a [`Store`] came to. The group may have moved on meanwhile; then it does not matter to it any
    /// more.
    pub fn stored(&mut self, now: i64, id: StoreId, result: Result<(), ErrorCode>, effects: &mut Effects) {
        match self.storing.remove(&id) {
            Some(Storing::Assignment { generation, assignments }) => {
                if self.state == State::CompletingRebalance && self.generation == generation {
                    self.assignment_stored(now, assignments, result, effects);
                }
            }
            Some(Storing::Swap(swap)) => self.swap_stored(now, *swap, result, effects),
            Some(Storing::Nothing) | None => {}
        }
    }

    fn assignment_stored(
        &mut self,
        now: i64,
        mut assignments: HashMap<String, Bytes>,
        result: Result<(), ErrorCode>,
        effects: &mut Effects,
    ) {
        if let Err(error) = result {
            self.end_syncs(now, error, effects);
            self.prepare_rebalance(now, effects);
            return;
        }
        self.enter(State::Stable, now);
        let ids: Vec<_> = self.members.keys().cloned().collect();
        for id in ids {
            let member = self.members.get_mut(&id).expect("its key was just there");
            member.assignment = assignments.remove(&id).unwrap_or_default();
            if let Some(ticket) = member.syncing.take() {
                effects.synced.push((ticket, self.synced(&id)));
                self.refresh(now, &id);
            }
        }
    }

    /// The group for the log, with these assignments.
    fn record(&self, assignment: impl Fn(&str, &Member) -> Bytes) -> GroupValue {
        let protocol = self.protocol.as_deref();
        let members =
            self.members.iter().map(|(id, member)| member.record(id, protocol, assignment(id, member)));
        GroupValue {
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            generation: self.generation,
            protocol: self.protocol.clone(),
            leader: self.leader.clone(),
            current_state_timestamp: self.since,
            members: members.collect(),
        }
    }

    // ---- deletion -----------------------------------------------------------------------------------------

    /// Takes nobody any more, until [`ClassicGroup::revive`].
    ///
    /// # Errors
    /// When it has members, or is being deleted.
    pub fn bury(&mut self) -> Result<(), ErrorCode> {
        match self.state {
            State::Empty => {
                self.state = State::Dead;
                Ok(())
            }
            State::Dead => Err(ErrorCode::GroupIdNotFound),
            _ => Err(ErrorCode::NonEmptyGroup),
        }
    }

    /// Undoes [`ClassicGroup::bury`]: the log did not take it.
    pub fn revive(&mut self) {
        if self.state == State::Dead {
            self.state = State::Empty;
        }
    }

    /// Whether offsets may be deleted of topics that it is not subscribed to.
    ///
    /// # Errors
    /// When that can not be known, or the group is being deleted.
    pub fn check_offset_delete(&self) -> Result<(), ErrorCode> {
        match self.state {
            State::Dead => Err(ErrorCode::GroupIdNotFound),
            State::Empty => Ok(()),
            _ if self.is_consumer() => Ok(()),
            _ => Err(ErrorCode::NonEmptyGroup),
        }
    }

    // ---- time ---------------------------------------------------------------------------------------------

    /// Does what is due.
    pub fn tick(&mut self, now: i64, effects: &mut Effects) {
        if now < self.wake_at {
            return;
        }
        let is_over = |(_, until): &(&String, &i64)| **until <= now;
        let over: Vec<_> = self.pending_joins.iter().filter(is_over).map(|(id, _)| id.clone()).collect();
        let is_overdue = |(_, member): &(&String, &Member)| member.is_overdue(now);
        let overdue: Vec<_> = self.members.iter().filter(is_overdue).map(|(id, _)| id.clone()).collect();
        for id in over.iter().chain(&overdue) {
            self.remove(id, effects);
        }
        if !overdue.is_empty() {
            self.after_loss(now, effects);
        } else if !over.is_empty() {
            self.complete_join_if_all(now, effects);
        }
        if self.join_timer.is_some_and(|timer| timer.at <= now) {
            self.end_join_time(now, effects);
        }
        if self.sync_timer.is_some_and(|at| at <= now) {
            self.end_sync_time(now, effects);
        }
        self.wake_at = self.next_due();
    }

    fn end_join_time(&mut self, now: i64, effects: &mut Effects) {
        if let Some(JoinTimer { initial: Some(initial), .. }) = self.join_timer
            && initial.has_new
            && initial.remaining > 0
        {
            let delay = self.settings.initial_rebalance_delay_ms.clamp(1, initial.remaining);
            let initial = InitialDelay { remaining: initial.remaining - delay, has_new: false };
            self.set_join_timer(JoinTimer { at: now + delay, initial: Some(initial) });
            return;
        }
        self.complete_join(now, effects);
    }

    fn end_sync_time(&mut self, now: i64, effects: &mut Effects) {
        self.sync_timer = None;
        let late = std::mem::take(&mut self.pending_syncs);
        for id in &late {
            self.remove(id, effects);
        }
        if !late.is_empty() {
            self.after_loss(now, effects);
        }
    }

    fn due(&mut self, at: i64) {
        self.wake_at = self.wake_at.min(at);
    }

    fn next_due(&self) -> i64 {
        let sessions = self.members.values().filter(|member| {
            // Who waits for us gets a new session with the answer.
            member.is_new || (member.joining.is_none() && member.syncing.is_none())
        });
        let sessions = sessions.map(|member| member.expires_at);
        let pending = self.pending_joins.values().copied();
        let timers = self.join_timer.map(|timer| timer.at).into_iter().chain(self.sync_timer);
        sessions.chain(pending).chain(timers).min().unwrap_or(i64::MAX)
    }

    fn set_join_timer(&mut self, timer: JoinTimer) {
        self.join_timer = Some(timer);
        self.due(timer.at);
    }

    fn rebalance_timeout_ms(&self) -> i64 {
        let timeouts = self.members.values().map(|member| member.terms.rebalance_timeout_ms);
        timeouts.max().unwrap_or(0).max(0).into()
    }
}
