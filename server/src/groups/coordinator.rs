//! The groups of one shard: which there are, who waits for an answer, what is on its way to the log.
//!
//! ```text
//! request > group, offsets > effects > answers
//!                               |
//!                               '----> write: records, and what follows when they are durable
//!                                        |
//!   outbox > Local::append, in order ----'---> settled, in the order of the partition > answers, memory
//! ```
//!
//! * Nothing here waits: the shard's task (`service`) hands the outbox over, and brings back what settled.
//! * Memory says what is durable: an offset is taken in when its record is. The writes of one partition settle in the order in which they
//!   were appended, so that memory and log never disagree on which of two was the later one.
//! * A partition's groups are served once its log has been read.
//! * How committed offsets come in, are asked for and go is in `coordinator/offsets`.

mod offsets;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::ops::RangeInclusive;

use bytes::BytesMut;
use futures_channel::oneshot;
use strandline_engine::Local;
use strandline_engine::error::AppendError;
use strandline_engine::format::builder::BatchBuilder;
use strandline_engine::format::check::CheckError;
use strandline_engine::format::compression::Codec;
use strandline_engine::topics::Topic;
use strandline_engine::types::PartitionId;

use super::group::{Description, Effects, Group, GroupSettings, State};
use super::load::{LoadError, Loaded};
use super::member::{Identity, Join, Joined, Sync, Synced, Ticket};
use super::offsets::Offsets;
use super::records::{Change, GroupKey, OffsetKey};
use super::topic::OFFSETS_TOPIC;
use crate::wire::ErrorCode;

/// A batch of the log is closed when it reaches this size; a single record may make it larger.
const BATCH_BYTES: usize = 1 << 20;

/// The settings of the coordinators.
#[derive(Clone, Debug)]
pub struct CoordinatorSettings {
    /// Those of each group.
    pub group: GroupSettings,
    /// The sessions that members may have, in milliseconds.
    pub session_timeout_ms: RangeInclusive<i32>,
    /// How long offsets are kept, in milliseconds.
    pub offsets_retention_ms: i64,
    /// How often it is looked for offsets that have expired, in milliseconds.
    pub retention_check_ms: i64,
    /// The longest metadata of an offset, in the characters that Java counts.
    pub offset_metadata_max: usize,
    /// Partitions that the internal topic is made with.
    pub topic_partitions: u32,
}

/// Where an answer goes. Whoever asked may have gone.
pub type Reply<T> = oneshot::Sender<Result<T, ErrorCode>>;

/// Offsets by topic and partition, as they are asked for or told.
pub type ByPartition<T> = Vec<(String, Vec<(i32, T)>)>;

/// What was asked for, when it takes no more of the memory than the asker has for it.
#[derive(Clone, Debug)]
pub enum Within<T> {
    /// All of it, and about how many bytes it takes.
    All(T, usize),
    /// Nothing yet: it takes about so many bytes, which is too much.
    Beyond(usize),
}

/// What follows when records are durable, or are not.
type Then = Box<dyn FnOnce(&mut Coordinator, Result<(), ErrorCode>)>;

/// A group in the list of all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its id.
    pub group: String,
    /// Such as "consumer".
    pub protocol_type: String,
    /// Where it is in its life.
    pub state: State,
}

/// A group at one moment.
#[derive(Clone, Debug)]
pub struct GroupReport {
    /// Its id.
    pub group: String,
    /// Where it is in its life.
    pub state: State,
    /// How many are in it.
    pub members: u64,
    /// The offsets that it has committed.
    pub committed: ByPartition<i64>,
}

/// Batches for one partition, to be appended in order.
pub(super) struct Append {
    pub(super) partition: PartitionId,
    pub(super) write: u64,
    pub(super) batches: Vec<BytesMut>,
}

/// The groups of one shard.
pub struct Coordinator {
    shard: Local,
    settings: CoordinatorSettings,
    now: i64,
    /// Owned partitions of the internal topic that have been met.
    partitions: BTreeMap<u32, Partition>,
    waiting: HashMap<Ticket, Waiting>,
    next_ticket: Ticket,
    /// When groups want to be woken: time, partition, group.
    wakes: BTreeSet<(i64, u32, String)>,
    next_check: i64,
    /// Partitions that are still to be looked at in this check.
    checking: Vec<u32>,
    outbox: VecDeque<Append>,
    loads: VecDeque<PartitionId>,
}

struct Partition {
    id: PartitionId,
    state: PartitionState,
    groups: HashMap<String, Entry>,
    writes: VecDeque<Write>,
    /// The number of the first of `writes`.
    first_write: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum PartitionState {
    Loading,
    Active,
    /// Its log can not be read.
    Failed,
}

/// What is on its way to the log, and what follows.
struct Write {
    result: Option<Result<(), ErrorCode>>,
    then: Then,
}

struct Entry {
    group: Group,
    offsets: Offsets,
    /// Whether it has had offsets. As in Kafka, it is then there until the next look at what has expired, though the last of them is gone:
    /// whoever deletes a group's offsets and then the group does not find it gone.
    had_offsets: bool,
    /// Writes for the group that have not settled.
    writes: usize,
    /// As it stands in `wakes`.
    wake_at: i64,
}

enum Waiting {
    Join(Reply<Joined>),
    Sync(Reply<Synced>),
}

impl Coordinator {
    pub(super) fn new(shard: Local, settings: CoordinatorSettings, now: i64) -> Coordinator {
        let next_check = now.saturating_add(settings.retention_check_ms);
        let mut coordinator = Coordinator {
            shard,
            settings,
            now,
            partitions: BTreeMap::new(),
            waiting: HashMap::new(),
            next_ticket: 0,
            wakes: BTreeSet::new(),
            next_check,
            checking: Vec::new(),
            outbox: VecDeque::new(),
            loads: VecDeque::new(),
        };
        let topics = coordinator.shard.topics();
        if let Some(topic) = topics.by_name(OFFSETS_TOPIC) {
            for id in coordinator.own_partitions(topic) {
                coordinator.meet(id, PartitionState::Loading);
            }
        }
        coordinator
    }

    fn own_partitions(&self, topic: &Topic) -> Vec<PartitionId> {
        let (index, shards) = (self.shard.index(), self.shard.shards());
        topic.partition_ids().filter(|id| id.shard(shards) == index).collect()
    }

    fn meet(&mut self, id: PartitionId, state: PartitionState) {
        if self.partitions.contains_key(&id.index) {
            return;
        }
        if state == PartitionState::Loading {
            self.loads.push_back(id);
        }
        let (groups, writes) = (HashMap::new(), VecDeque::new());
        self.partitions.insert(id.index, Partition { id, state, groups, writes, first_write: 0 });
    }

    /// The internal topic was just made: there is nothing to read.
    pub(super) fn begin(&mut self, topic: &Topic) {
        for id in self.own_partitions(topic) {
            self.meet(id, PartitionState::Active);
        }
    }

    /// The partition, once its groups are known.
    fn active(&mut self, index: u32) -> Result<&mut Partition, ErrorCode> {
        if !self.partitions.contains_key(&index) {
            // Whoever made the topic has not told us yet.
            let topics = self.shard.topics();
            let topic = topics.by_name(OFFSETS_TOPIC).ok_or(ErrorCode::NotCoordinator)?;
            self.meet(PartitionId::new(topic.id, index), PartitionState::Loading);
        }
        let partition = self.partitions.get_mut(&index).expect("it was just met");
        match partition.state {
            PartitionState::Active => Ok(partition),
            PartitionState::Loading => Err(ErrorCode::CoordinatorLoadInProgress),
            PartitionState::Failed => Err(ErrorCode::CoordinatorNotAvailable),
        }
    }

    fn entry(&mut self, index: u32, group: &str) -> Result<Option<&mut Entry>, ErrorCode> {
        Ok(self.active(index)?.groups.get_mut(group))
    }

    fn entry_or_new(&mut self, index: u32, group: &str) -> Result<&mut Entry, ErrorCode> {
        let (now, settings) = (self.now, self.settings.group);
        let groups = &mut self.active(index)?.groups;
        if !groups.contains_key(group) {
            groups.insert(group.to_owned(), Entry::new(Group::new(now, settings), Offsets::default()));
        }
        Ok(groups.get_mut(group).expect("it was just there"))
    }

    // ---- members ---------------------------------------------------------------------------------------------------------

    /// A member wants in.
    pub fn join(&mut self, index: u32, group: String, join: Join, reply: Reply<Joined>) {
        let known = match self.entry(index, &group) {
            Err(error) => return answer(reply, Err(error)),
            Ok(entry) => entry.is_some(),
        };
        if !self.settings.session_timeout_ms.contains(&join.session_timeout_ms) {
            return answer(reply, Ok(Joined::refused(ErrorCode::InvalidSessionTimeout, &join.member_id)));
        }
        if !known && !join.member_id.is_empty() {
            return answer(reply, Ok(Joined::refused(ErrorCode::UnknownMemberId, &join.member_id)));
        }
        let ticket = self.park(Waiting::Join(reply));
        let now = self.now;
        let mut effects = Effects::default();
        if let Ok(entry) = self.entry_or_new(index, &group) {
            entry.group.join(now, ticket, join, &mut effects);
        }
        self.carry_out(index, group, effects);
    }

    /// A member wants its assignment, or brings everybody's.
    pub fn sync(&mut self, index: u32, group: String, sync: Sync, reply: Reply<Synced>) {
        match self.entry(index, &group) {
            Err(error) => return answer(reply, Err(error)),
            Ok(None) => return answer(reply, Ok(Synced::refused(ErrorCode::UnknownMemberId))),
            Ok(Some(_)) => {}
        }
        let ticket = self.park(Waiting::Sync(reply));
        let now = self.now;
        let mut effects = Effects::default();
        if let Ok(Some(entry)) = self.entry(index, &group) {
            entry.group.sync(now, ticket, sync, &mut effects);
        }
        self.carry_out(index, group, effects);
    }

    /// A member is alive.
    pub fn heartbeat(&mut self, index: u32, group: String, identity: &Identity, reply: Reply<()>) {
        let now = self.now;
        let alive = match self.entry(index, &group) {
            // As in Kafka: it can not be known, and nobody shall rebalance for it.
            Err(ErrorCode::CoordinatorLoadInProgress) => Ok(()),
            Err(error) => Err(error),
            Ok(None) => Err(ErrorCode::UnknownMemberId),
            Ok(Some(entry)) => entry.group.heartbeat(now, identity),
        };
        answer(reply, alive);
        self.schedule(index, &group);
    }

    /// Members leave, or are made to. What became of each stands in their order.
    pub fn leave(
        &mut self,
        index: u32,
        group: String,
        leaving: &[Identity],
        reply: Reply<Vec<Result<(), ErrorCode>>>,
    ) {
        let now = self.now;
        let mut effects = Effects::default();
        let left = match self.entry(index, &group) {
            Err(error) => Err(error),
            Ok(None) => Ok(vec![Err(ErrorCode::UnknownMemberId); leaving.len()]),
            Ok(Some(entry)) => entry.group.leave(now, leaving, &mut effects),
        };
        answer(reply, left);
        self.carry_out(index, group, effects);
    }

    // ---- groups as a whole -----------------------------------------------------------------------------------------------

    /// Deletes a group that nobody is in, with its offsets.
    pub fn delete(&mut self, index: u32, group: String, reply: Reply<()>) {
        match self.entry(index, &group) {
            Err(error) => return answer(reply, Err(error)),
            Ok(None) => return answer(reply, Err(ErrorCode::GroupIdNotFound)),
            Ok(Some(entry)) => {
                if let Err(error) = entry.group.bury() {
                    return answer(reply, Err(error));
                }
            }
        }
        // Commits that are on their way will be there by then, and no others are accepted.
        self.after_writes(index, Box::new(move |coordinator, _| coordinator.inter(index, group, reply)));
    }

    /// Writes that the group is gone, and lets go of it.
    fn inter(&mut self, index: u32, group: String, reply: Reply<()>) {
        let Ok(Some(entry)) = self.entry(index, &group) else { return };
        let gone = entry.offsets.partitions_of(|_| true).into_iter();
        let gone = gone.map(|(topic, at)| Change::Offset(offset_key(&group, &topic, at), None));
        let changes = gone.chain([Change::Group(GroupKey { group: group.clone() }, None)]).collect();
        let name = group.clone();
        let then = move |coordinator: &mut Coordinator, stored: Result<(), ErrorCode>| {
            let (now, settings) = (coordinator.now, coordinator.settings.group);
            if let Ok(Some(entry)) = coordinator.entry(index, &name) {
                match stored {
                    // As nobody would miss it now, it goes with `schedule`.
                    Ok(()) => {
                        (entry.group, entry.offsets) = (Group::new(now, settings), Offsets::default());
                        entry.had_offsets = false;
                    }
                    Err(_) => entry.group.revive(),
                }
            }
            answer(reply, stored);
        };
        self.write(index, group, changes, Box::new(then));
    }

    /// What a group is doing; `None` when there is no such group.
    pub fn describe(
        &mut self,
        index: u32,
        group: &str,
        bytes_max: usize,
        reply: Reply<Within<Option<Description>>>,
    ) {
        let described = self.entry(index, group).map(|entry| {
            let bytes = entry.as_ref().map_or(0, |entry| entry.group.description_bytes());
            match bytes <= bytes_max {
                true => Within::All(entry.map(|entry| entry.group.describe()), bytes),
                false => Within::Beyond(bytes),
            }
        });
        answer(reply, described);
    }

    /// How many groups this shard has.
    pub fn count(&mut self, reply: Reply<usize>) {
        let count = self.partitions.values().map(|partition| partition.groups.len()).sum();
        answer(reply, Ok(count));
    }

    /// All groups of this shard.
    pub fn list(&mut self, reply: Reply<Vec<Listed>>) {
        let mut all = Vec::new();
        for partition in self.partitions.values() {
            match partition.state {
                PartitionState::Active => {}
                PartitionState::Loading => return answer(reply, Err(ErrorCode::CoordinatorLoadInProgress)),
                PartitionState::Failed => return answer(reply, Err(ErrorCode::CoordinatorNotAvailable)),
            }
            all.extend(partition.groups.iter().map(|(name, entry)| Listed {
                group: name.clone(),
                protocol_type: entry.group.protocol_type().unwrap_or_default().to_owned(),
                state: entry.group.state(),
            }));
        }
        answer(reply, Ok(all));
    }

    /// What each group of this shard is, has and has committed. Groups that are still being read are left out.
    pub fn report(&mut self, reply: Reply<Vec<GroupReport>>) {
        let groups = self.partitions.values().flat_map(|partition| &partition.groups);
        let reports = groups.map(|(name, entry)| {
            let committed = entry.offsets.topics().map(|(topic, partitions)| {
                (topic.to_owned(), partitions.iter().map(|(at, value)| (*at, value.offset)).collect())
            });
            GroupReport {
                group: name.clone(),
                state: entry.group.state(),
                members: entry.group.size() as u64,
                committed: committed.collect(),
            }
        });
        let reports = reports.collect();
        answer(reply, Ok(reports));
    }

    // ---- effects ---------------------------------------------------------------------------------------------------------

    fn park(&mut self, waiting: Waiting) -> Ticket {
        self.next_ticket += 1;
        self.waiting.insert(self.next_ticket, waiting);
        self.next_ticket
    }

    fn carry_out(&mut self, index: u32, group: String, effects: Effects) {
        for (ticket, joined) in effects.joined {
            match self.waiting.remove(&ticket) {
                Some(Waiting::Join(reply)) => answer(reply, Ok(joined)),
                Some(Waiting::Sync(_)) | None => unreachable!("a join has the ticket of a join"),
            }
        }
        for (ticket, synced) in effects.synced {
            match self.waiting.remove(&ticket) {
                Some(Waiting::Sync(reply)) => answer(reply, Ok(synced)),
                Some(Waiting::Join(_)) | None => unreachable!("a sync has the ticket of a sync"),
            }
        }
        for store in effects.stores {
            let change = Change::Group(GroupKey { group: group.clone() }, Some(store.value));
            let name = group.clone();
            let then = move |coordinator: &mut Coordinator, stored: Result<(), ErrorCode>| {
                let now = coordinator.now;
                let mut effects = Effects::default();
                if let Ok(Some(entry)) = coordinator.entry(index, &name) {
                    entry.group.stored(now, store.id, stored, &mut effects);
                }
                coordinator.carry_out(index, name, effects);
            };
            self.write(index, group.clone(), vec![change], Box::new(then));
        }
        self.schedule(index, &group);
    }

    /// Notes when the group wants to be woken, and lets go of one that nobody would miss.
    fn schedule(&mut self, index: u32, group: &str) {
        let Ok(Some(entry)) = self.entry(index, group) else { return };
        let (before, after) = (entry.wake_at, entry.group.wake_at());
        let is_gone =
            entry.group.is_blank() && entry.offsets.is_empty() && !entry.had_offsets && entry.writes == 0;
        entry.wake_at = after;
        if before != after || is_gone {
            self.wakes.remove(&(before, index, group.to_owned()));
            if after < i64::MAX && !is_gone {
                self.wakes.insert((after, index, group.to_owned()));
            }
        }
        if is_gone && let Some(partition) = self.partitions.get_mut(&index) {
            partition.groups.remove(group);
        }
    }

    // ---- writes ----------------------------------------------------------------------------------------------------------

    /// Appends records for a group, and goes on with `then`.
    fn write(&mut self, index: u32, group: String, changes: Vec<Change>, then: Then) {
        let batches = match batches(self.now, &changes) {
            Ok(batches) => batches,
            Err(error) => return then(self, Err(error)),
        };
        if let Ok(Some(entry)) = self.entry(index, &group) {
            entry.writes += 1;
        }
        let settled = move |coordinator: &mut Coordinator, stored: Result<(), ErrorCode>| {
            if let Ok(Some(entry)) = coordinator.entry(index, &group) {
                entry.writes = entry.writes.saturating_sub(1);
            }
            then(coordinator, stored);
            coordinator.schedule(index, &group);
        };
        let partition = self.partitions.get_mut(&index).expect("a group is in a partition");
        let write = partition.first_write + partition.writes.len() as u64;
        partition.writes.push_back(Write { result: None, then: Box::new(settled) });
        self.outbox.push_back(Append { partition: partition.id, write, batches });
    }

    /// Goes on with `then` when everything that is on its way has settled.
    fn after_writes(&mut self, index: u32, then: Then) {
        let Some(partition) = self.partitions.get_mut(&index) else { return };
        match partition.writes.is_empty() {
            true => then(self, Ok(())),
            false => partition.writes.push_back(Write { result: Some(Ok(())), then }),
        }
    }

    /// What is to be appended next, in this order.
    pub(super) fn next_append(&mut self) -> Option<Append> {
        self.outbox.pop_front()
    }

    /// Tells what an append came to.
    pub(super) fn settled(&mut self, index: u32, write: u64, result: Result<(), AppendError>) {
        let result = result.map_err(|error| {
            tracing::warn!(partition = index, %error, "a change of groups was not stored");
            write_error(&error)
        });
        let Some(partition) = self.partitions.get_mut(&index) else { return };
        let at = (write - partition.first_write) as usize;
        partition.writes[at].result = Some(result);
        while let Some(partition) = self.partitions.get_mut(&index)
            && let Some(Write { result: Some(result), .. }) = partition.writes.front()
        {
            let result = *result;
            let Write { then, .. } = partition.writes.pop_front().expect("it was just there");
            partition.first_write += 1;
            then(self, result);
        }
    }

    // ---- loading ---------------------------------------------------------------------------------------------------------

    /// A partition that is to be read next.
    pub(super) fn next_load(&mut self) -> Option<PartitionId> {
        self.loads.pop_front()
    }

    /// Has a partition read again whose log was not whole; its groups are loading until then.
    pub(super) fn load_again(&mut self, partition: PartitionId) {
        self.loads.push_back(partition);
    }

    /// Takes in what the log says, and serves its groups from now on.
    pub(super) fn loaded(&mut self, index: u32, result: Result<HashMap<String, Loaded>, LoadError>) {
        let (now, settings) = (self.now, self.settings.group);
        let Some(partition) = self.partitions.get_mut(&index) else { return };
        let groups = match result {
            Ok(groups) => groups,
            Err(error) => {
                tracing::error!(partition = index, %error, "the groups of a partition can not be loaded");
                partition.state = PartitionState::Failed;
                return;
            }
        };
        if !groups.is_empty() {
            tracing::info!(partition = index, groups = groups.len(), "groups loaded");
        }
        partition.state = PartitionState::Active;
        let names: Vec<_> = groups.keys().cloned().collect();
        for (name, Loaded { value, offsets }) in groups {
            let group = match value {
                Some(value) => Group::load(value, settings),
                None => Group::new(now, settings),
            };
            partition.groups.insert(name, Entry::new(group, offsets));
        }
        for name in names {
            let mut effects = Effects::default();
            if let Ok(Some(entry)) = self.entry(index, &name) {
                entry.group.resume(now, &mut effects);
            }
            self.carry_out(index, name, effects);
        }
        // A topic may have been deleted, and the deletion of its offsets not have been written.
        self.sweep(index);
    }

    // ---- time ------------------------------------------------------------------------------------------------------------

    /// When [`Coordinator::tick`] must be called, at the latest.
    pub(super) fn wake_at(&self) -> i64 {
        let wake = self.wakes.first().map_or(i64::MAX, |(at, ..)| *at);
        if self.checking.is_empty() { wake.min(self.next_check) } else { i64::MIN }
    }

    /// Moves the clock, and does a piece of what is due.
    pub(super) fn tick(&mut self, now: i64) {
        self.now = now;
        let is_due = |(at, ..): &(i64, u32, String)| *at <= now;
        if let Some((_, index, group)) = self.wakes.first().filter(|wake| is_due(wake)).cloned() {
            let mut effects = Effects::default();
            if let Ok(Some(entry)) = self.entry(index, &group) {
                entry.group.tick(now, &mut effects);
            }
            self.carry_out(index, group, effects);
        }
        if self.next_check <= now {
            self.next_check = now.saturating_add(self.settings.retention_check_ms);
            self.checking = self.partitions.keys().copied().collect();
        }
        if let Some(index) = self.checking.pop() {
            self.expire(index);
        }
    }
}

impl Entry {
    fn new(group: Group, offsets: Offsets) -> Entry {
        let had_offsets = !offsets.is_empty();
        Entry { group, offsets, had_offsets, writes: 0, wake_at: i64::MAX }
    }
}

fn answer<T>(reply: Reply<T>, result: Result<T, ErrorCode>) {
    // Whoever asked may have gone.
    let _ = reply.send(result);
}

fn offset_key(group: &str, topic: &str, partition: i32) -> OffsetKey {
    OffsetKey { group: group.to_owned(), topic: topic.to_owned(), partition }
}

/// The changes as record batches.
fn batches(now: i64, changes: &[Change]) -> Result<Vec<BytesMut>, ErrorCode> {
    let mut batches = Vec::new();
    let mut batch = BatchBuilder::new(Codec::None);
    for change in changes {
        // A name beyond 32,767 bytes: no client of ours has one.
        let record = change.encode().map_err(|_| ErrorCode::InvalidRequest)?;
        batch.push(now, Some(&record.key), record.value.as_deref(), &[]);
        if batch.bytes_estimate() >= BATCH_BYTES {
            batches.push(std::mem::replace(&mut batch, BatchBuilder::new(Codec::None)).build());
        }
    }
    if !batch.is_empty() {
        batches.push(batch.build());
    }
    Ok(batches)
}

/// The code for a change that was not stored: the client looks for its coordinator again, and comes back.
fn write_error(error: &AppendError) -> ErrorCode {
    match error {
        AppendError::Invalid(CheckError::TooLarge { .. }) => ErrorCode::UnknownServerError,
        _ => ErrorCode::CoordinatorNotAvailable,
    }
}
