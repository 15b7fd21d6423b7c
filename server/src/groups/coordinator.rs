//! The groups of one partition: which there are, who waits for an answer, and when they want to be woken.
//!
//! ```text
//! request > group > effects > answers
//!                     |
//!                     '------> Change, to be written > replay (a deletion), ClassicGroup::stored > answers
//! ```
//!
//! * It is a [`Machine`]: `coordination` takes its records to the log, replays them when they are durable,
//!   and calls [`GroupCoordinator`] back in the order of the partition. Nothing here waits.
//! * A group that is served knows more than its last record (sessions, and who is about to join): a record of
//!   its own is not replayed into it; [`ClassicGroup::stored`] is told instead. Its offsets are in memory
//!   what they are in the log, and change by replay alone; those of open transactions are kept apart.
//! * Consumer groups (KIP-848) are in `coordinator/consumer`, how a group with members comes from one
//!   protocol to the other in `coordinator/migration`, share groups (KIP-932) in `coordinator/share`, streams
//!   groups (KIP-1071) in `coordinator/streams`.
//! * How committed offsets come in, are asked for and go is in `coordinator/offsets`.

mod consumer;
mod migration;
mod offsets;
mod share;
mod streams;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap};
use std::ops::RangeInclusive;

use strandline_engine::TransactionResult;
use strandline_engine::types::{Offset, ProducerId};
use strandline_protocol::wire::ErrorCode;

use super::consumer::{ConsumerGroup, ConsumerSettings};
use super::group::{ClassicGroup, Description, Effects, GroupSettings, State, StoreId};
use super::kind::Kind;
use super::member::{Identity, Join, Joined, Sync, Synced, Ticket};
use super::migration::MigrationPolicy;
use super::offsets::{Committed, Offsets};
use super::pending::Pending;
use super::records::{Change, GroupKey, GroupValue, OffsetKey};
use super::share::{ShareGroup, ShareGroupSettings};
use super::streams::{StreamsGroup, StreamsSettings};
use crate::coordination::{Machine, Outcome, Reply, Stored, Turn};

pub use migration::Conversion;
pub use offsets::{ByPartition, Commit, Fetch, Fetched, Within};

/// The settings of the coordinators.
#[derive(Clone, Debug)]
pub struct CoordinatorSettings {
    /// Those of each group.
    pub group: GroupSettings,
    /// Those of each consumer group (KIP-848).
    pub consumer: ConsumerSettings,
    /// Which way a group may go from one protocol to the other while members are in it.
    pub migration: MigrationPolicy,
    /// Those of each share group (KIP-932).
    pub share: ShareGroupSettings,
    /// Those of each streams group (KIP-1071).
    pub streams: StreamsSettings,
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

/// A group in the list of all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its id.
    pub group: String,
    /// The group protocol: "classic", "consumer", "share" or "streams".
    pub kind: &'static str,
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

/// What follows when a write has settled, apart from what replay does.
pub enum Then {
    /// Nothing.
    Nothing,
    /// The group goes on.
    Store(StoreId),
    /// What a consumer group has said, in the write of this number.
    StoreConsumer(u64),
    /// The group is of the other protocol from now on.
    Convert(Box<Conversion>),
    /// What a share group has said, likewise.
    StoreShare(u64),
    /// What a streams group has said, likewise.
    StoreStreams(u64),
    /// Everything that was on its way for the group has settled: that it is gone can be written.
    Inter(Deleted),
    /// The group is gone, or is not.
    Interred(Deleted),
    /// What was on its way for the group has settled: it can be told what there is.
    Tell(Box<dyn FnOnce(&GroupCoordinator)>),
    /// The commits that were accepted while a topic was there have settled: its offsets go.
    Sweep(Reply<()>),
    /// They are gone.
    Swept(Reply<()>),
}

/// What became of each member that leaves, in their order, or why of nobody.
pub type Left = Result<Vec<Result<(), ErrorCode>>, ErrorCode>;

/// Where it is told that a group is deleted; a group that expires has nobody to tell.
type Deleted = Option<Reply<Result<(), ErrorCode>>>;

/// The groups of one partition.
pub struct GroupCoordinator {
    settings: CoordinatorSettings,
    groups: HashMap<String, Entry>,
    /// The groups that a producer's open transaction has pending offsets of, or had.
    transactions: HashMap<ProducerId, BTreeSet<String>>,
    /// What the log says of groups, until all of it is known.
    loading: Option<Loading>,
    waiting: HashMap<Ticket, Waiting>,
    next_ticket: Ticket,
    /// When groups want to be woken.
    wakes: BTreeSet<(i64, String)>,
    /// When it is looked for offsets that have expired.
    next_check: i64,
}

/// What has been read of groups.
#[derive(Default)]
struct Loading {
    classic: HashMap<String, GroupValue>,
    consumer: HashMap<String, ConsumerGroup>,
    share: HashMap<String, ShareGroup>,
    streams: HashMap<String, StreamsGroup>,
}

struct Entry {
    group: Kind,
    offsets: Offsets,
    pending: Pending,
    /// Whether it has had offsets. As in Kafka, it is then there until the next look at what has expired,
    /// though the last of them is gone: whoever deletes a group's offsets and then the group does not find it
    /// gone.
    had_offsets: bool,
    /// Whether that it is of another protocol is on its way to the log: nothing else changes meanwhile.
    is_converting: bool,
    /// As it stands in `wakes`.
    wake_at: i64,
}

enum Waiting {
    Join(Reply<Joined>),
    Sync(Reply<Synced>),
}

type GroupTurn<'a> = Turn<'a, GroupCoordinator>;

impl GroupCoordinator {
    fn entry_or_new(&mut self, now: i64, group: &str) -> &mut Entry {
        if !self.groups.contains_key(group) {
            self.groups.insert(
                group.to_owned(),
                Entry::new(Kind::Classic(ClassicGroup::new(now, self.settings.group))),
            );
        }
        self.groups.get_mut(group).expect("it was just there")
    }

    /// The group, when it is of the classic protocol.
    fn classic(&mut self, group: &str) -> Option<&mut ClassicGroup> {
        self.groups.get_mut(group)?.group.classic()
    }

    // ---- members ------------------------------------------------------------------------------------------

    /// A member wants in.
    pub fn join(&mut self, turn: &mut GroupTurn<'_>, group: &str, join: Join, reply: Reply<Joined>) {
        if !self.settings.session_timeout_ms.contains(&join.session_timeout_ms) {
            return reply.send(Joined::refused(ErrorCode::InvalidSessionTimeout, &join.member_id));
        }
        if !self.groups.contains_key(group) && !join.member_id.is_empty() {
            return reply.send(Joined::refused(ErrorCode::UnknownMemberId, &join.member_id));
        }
        if self.is_converting(group) {
            return reply.send(Joined::refused(ErrorCode::CoordinatorLoadInProgress, &join.member_id));
        }
        if self.mixed(group).is_some() {
            return self.join_consumer(turn, group, join, reply);
        }
        if let Err(error) = self.make_classic(turn, group) {
            return reply.send(Joined::refused(error, &join.member_id));
        }
        let ticket = self.park(Waiting::Join(reply));
        let mut effects = Effects::default();
        let entry = self.entry_or_new(turn.now, group);
        entry.group.classic().expect("it was made one").join(turn.now, ticket, join, &mut effects);
        self.carry_out(turn, group, effects);
    }

    /// A member wants its assignment, or brings everybody's.
    pub fn sync(&mut self, turn: &mut GroupTurn<'_>, group: &str, sync: Sync, reply: Reply<Synced>) {
        if self.is_converting(group) {
            return reply.send(Synced::refused(ErrorCode::RebalanceInProgress));
        }
        if self.mixed(group).is_some() {
            return self.sync_consumer(turn, group, &sync, reply);
        }
        let ticket = self.park(Waiting::Sync(reply));
        let mut effects = Effects::default();
        match self.classic(group) {
            Some(classic) => classic.sync(turn.now, ticket, sync, &mut effects),
            None => effects.synced.push((ticket, Synced::refused(ErrorCode::UnknownMemberId))),
        }
        self.carry_out(turn, group, effects);
    }

    /// A member is alive.
    ///
    /// # Errors
    /// That it has no place here, or must join again.
    pub fn heartbeat(
        &mut self,
        turn: &mut GroupTurn<'_>,
        group: &str,
        identity: &Identity,
    ) -> Result<(), ErrorCode> {
        if self.is_converting(group) {
            return Ok(());
        }
        if self.mixed(group).is_some() {
            return self.heartbeat_consumer(turn, group, identity);
        }
        let classic = self.classic(group).ok_or(ErrorCode::UnknownMemberId)?;
        let alive = classic.heartbeat(turn.now, identity);
        self.schedule(turn, group);
        alive
    }

    /// Members leave, or are made to.
    pub fn leave(
        &mut self,
        turn: &mut GroupTurn<'_>,
        group: &str,
        leaving: &[Identity],
    ) -> Outcome<GroupCoordinator, Left> {
        if self.is_converting(group) {
            return Outcome::Answer(Err(ErrorCode::CoordinatorLoadInProgress));
        }
        if self.mixed(group).is_some() {
            return self.leave_consumer(turn, group, leaving);
        }
        let Some(classic) = self.classic(group) else {
            return Outcome::Answer(Ok(vec![Err(ErrorCode::UnknownMemberId); leaving.len()]));
        };
        let mut effects = Effects::default();
        let left = classic.leave(turn.now, leaving, &mut effects);
        self.carry_out(turn, group, effects);
        Outcome::Answer(left)
    }

    // ---- groups as a whole --------------------------------------------------------------------------------

    /// Deletes a group that nobody is in, with its offsets.
    pub fn delete(&mut self, turn: &mut GroupTurn<'_>, group: &str, reply: Reply<Result<(), ErrorCode>>) {
        match self.bury(group) {
            // Commits that are on their way will be there by then, and no others are accepted.
            Ok(()) => turn.write(Some(group.to_owned()), Vec::new(), Then::Inter(Some(reply))),
            Err(error) => reply.send(Err(error)),
        }
    }

    fn bury(&mut self, group: &str) -> Result<(), ErrorCode> {
        if self.is_converting(group) {
            return Err(ErrorCode::CoordinatorLoadInProgress);
        }
        self.groups.get_mut(group).ok_or(ErrorCode::GroupIdNotFound)?.group.bury()
    }

    /// Writes that the group is gone; with the record it is.
    fn inter(&mut self, turn: &mut GroupTurn<'_>, group: &str, deleted: Deleted) {
        let gone = self.groups.get(group).map(|entry| entry.partitions_of(|_| true));
        let mut changes = tombstones(group, gone.iter().flatten());
        match self.groups.get(group) {
            Some(entry) => changes.extend(entry.group.tombstones(group)),
            None => changes.push(Change::Group(GroupKey { group: group.to_owned() }, None)),
        }
        turn.write(Some(group.to_owned()), changes, Then::Interred(deleted));
    }

    /// What a group of the classic protocol is doing; `None` when there is no such group.
    pub fn describe(&self, group: &str, bytes_max: usize) -> Within<Option<Description>> {
        let group = self.groups.get(group).and_then(|entry| match &entry.group {
            Kind::Classic(group) => Some(group),
            Kind::Consumer(_) | Kind::Share(_) | Kind::Streams(_) => None,
        });
        let bytes = group.map_or(0, ClassicGroup::description_bytes);
        match bytes <= bytes_max {
            true => Within::All(group.map(ClassicGroup::describe), bytes),
            false => Within::Beyond(bytes),
        }
    }

    /// How many groups there are.
    pub fn count(&self) -> usize {
        self.groups.len()
    }

    /// All groups.
    pub fn list(&self) -> Vec<Listed> {
        let listed = self.groups.iter().map(|(name, entry)| Listed {
            group: name.clone(),
            kind: entry.group.name(),
            protocol_type: entry.group.protocol_type().unwrap_or_default().to_owned(),
            state: entry.group.state(),
        });
        listed.collect()
    }

    /// What each group is, has and has committed.
    pub fn report(&self) -> Vec<GroupReport> {
        let reports = self.groups.iter().map(|(name, entry)| {
            let committed = entry.offsets.topics().map(|(topic, partitions)| {
                (
                    topic.to_owned(),
                    partitions.iter().map(|(at, committed)| (*at, committed.value.offset)).collect(),
                )
            });
            GroupReport {
                group: name.clone(),
                state: entry.group.state(),
                members: entry.group.size() as u64,
                committed: committed.collect(),
            }
        });
        reports.collect()
    }

    // ---- effects ------------------------------------------------------------------------------------------

    fn park(&mut self, waiting: Waiting) -> Ticket {
        self.next_ticket += 1;
        self.waiting.insert(self.next_ticket, waiting);
        self.next_ticket
    }

    fn carry_out(&mut self, turn: &mut GroupTurn<'_>, group: &str, effects: Effects) {
        for (ticket, joined) in effects.joined {
            match self.waiting.remove(&ticket) {
                Some(Waiting::Join(reply)) => reply.send(joined),
                Some(Waiting::Sync(_)) | None => unreachable!("a join has the ticket of a join"),
            }
        }
        for (ticket, synced) in effects.synced {
            match self.waiting.remove(&ticket) {
                Some(Waiting::Sync(reply)) => reply.send(synced),
                Some(Waiting::Join(_)) | None => unreachable!("a sync has the ticket of a sync"),
            }
        }
        for store in effects.stores {
            let change = Change::Group(GroupKey { group: group.to_owned() }, Some(store.value));
            turn.write(Some(group.to_owned()), vec![change], Then::Store(store.id));
        }
        self.schedule(turn, group);
    }

    /// Notes when the group wants to be woken, and lets go of one that nobody would miss.
    fn schedule(&mut self, turn: &GroupTurn<'_>, group: &str) {
        let Some(entry) = self.groups.get_mut(group) else { return };
        let (before, wake_at) = (entry.wake_at, entry.group.wake_at());
        let after = if entry.is_converting { i64::MAX } else { wake_at };
        let is_gone =
            entry.group.is_blank() && !entry.has_offsets() && !entry.had_offsets && !turn.is_in_flight(group);
        entry.wake_at = after;
        if before != after || is_gone {
            self.wakes.remove(&(before, group.to_owned()));
            if after < i64::MAX && !is_gone {
                self.wakes.insert((after, group.to_owned()));
            }
        }
        if is_gone {
            self.groups.remove(group);
        }
    }
}

impl Machine for GroupCoordinator {
    type Settings = CoordinatorSettings;
    type Record = Change;
    type Then = Then;

    fn new(settings: &CoordinatorSettings) -> GroupCoordinator {
        GroupCoordinator {
            settings: settings.clone(),
            groups: HashMap::new(),
            transactions: HashMap::new(),
            loading: Some(Loading::default()),
            waiting: HashMap::new(),
            next_ticket: 0,
            wakes: BTreeSet::new(),
            next_check: i64::MAX,
        }
    }

    fn replay(&mut self, now: i64, record: Offset, change: Change) {
        match (change, &mut self.loading) {
            (Change::Offset(key, Some(value)), _) => {
                let entry = self.entry_or_new(now, &key.group);
                entry.had_offsets = true;
                entry.offsets.put(key.topic, key.partition, Committed { value, record });
            }
            (Change::Offset(key, None), _) => {
                if let Some(entry) = self.groups.get_mut(&key.group) {
                    entry.offsets.remove(&key.topic, key.partition);
                    entry.pending.remove(&key.topic, key.partition);
                }
            }
            (Change::Group(key, Some(value)), Some(loading)) => {
                loading.consumer.remove(&key.group);
                loading.share.remove(&key.group);
                loading.streams.remove(&key.group);
                loading.classic.insert(key.group, value);
            }
            (Change::Group(key, None), Some(loading)) => drop(loading.classic.remove(&key.group)),
            // The group is where it has this from.
            (Change::Group(..), None) => {}
            (Change::Consumer(change), _) => self.load_consumer(change),
            (Change::Share(change), _) => self.load_share(change),
            (Change::Streams(change), _) => self.load_streams(change),
            (Change::Foreign(kind), _) => {
                tracing::debug!(kind, "a record of a group protocol that is not served");
            }
        }
    }

    /// Of a transaction there are offsets and nothing else; what else there should be counts at once, as in
    /// Kafka.
    fn replay_pending(&mut self, now: i64, record: Offset, producer: ProducerId, change: Change) {
        match change {
            Change::Offset(key, Some(value)) => {
                self.transactions.entry(producer).or_default().insert(key.group.clone());
                let entry = self.entry_or_new(now, &key.group);
                entry.had_offsets = true;
                entry.pending.put(producer, key.topic, key.partition, Committed { value, record });
            }
            change => self.replay(now, record, change),
        }
    }

    fn end_transaction(&mut self, _: i64, producer: ProducerId, result: TransactionResult) {
        for group in self.transactions.remove(&producer).into_iter().flatten() {
            if let Some(entry) = self.groups.get_mut(&group)
                && let Some(pending) = entry.pending.take(producer)
                && result == TransactionResult::Commit
            {
                entry.offsets.commit(pending);
            }
        }
    }

    /// Members go on as if nothing had happened.
    fn begin(&mut self, turn: &mut GroupTurn<'_>) {
        let now = turn.now;
        self.next_check = now.saturating_add(self.settings.retention_check_ms);
        let Loading { classic, consumer, share, streams } = self.loading.take().unwrap_or_default();
        for (name, value) in classic {
            let group = ClassicGroup::load(value, self.settings.group);
            self.entry_or_new(now, &name).group = Kind::Classic(group);
        }
        // What is left of one that has gone has no epoch.
        for (name, mut group) in consumer.into_iter().filter(|(_, group)| group.epoch() > 0) {
            group.resume(now);
            self.entry_or_new(now, &name).group = Kind::Consumer(group);
        }
        // One that was told where it begins is there before anybody has joined it.
        let is_there = |group: &ShareGroup| group.epoch() > 0 || !group.states().is_empty();
        for (name, mut group) in share.into_iter().filter(|(_, group)| is_there(group)) {
            group.resume(now);
            self.entry_or_new(now, &name).group = Kind::Share(group);
        }
        for (name, mut group) in streams.into_iter().filter(|(_, group)| group.epoch() > 0) {
            group.resume(now);
            self.entry_or_new(now, &name).group = Kind::Streams(group);
        }
        self.groups.retain(|_, entry| !entry.group.is_blank() || entry.has_offsets());
        if !self.groups.is_empty() {
            tracing::info!(groups = self.groups.len(), "the groups of a partition are loaded");
        }
        let names: Vec<_> = self.groups.keys().cloned().collect();
        for name in names {
            let mut effects = Effects::default();
            if let Some(entry) = self.groups.get_mut(&name) {
                entry.had_offsets = entry.has_offsets();
                if let Some(classic) = entry.group.classic() {
                    classic.resume(now, &mut effects);
                }
            }
            self.carry_out(turn, &name, effects);
        }
        // A topic may have been deleted, and the deletion of its offsets not have been written.
        self.sweep(turn);
    }

    fn settled(&mut self, turn: &mut GroupTurn<'_>, key: Option<&str>, then: Then, stored: Stored) {
        let stored = stored.map_err(ErrorCode::from);
        match (then, key) {
            (Then::Nothing, _) => {}
            (Then::Store(id), Some(group)) => {
                let mut effects = Effects::default();
                if let Some(classic) = self.classic(group) {
                    classic.stored(turn.now, id, stored, &mut effects);
                }
                self.carry_out(turn, group, effects);
            }
            (Then::StoreConsumer(write), Some(group)) => {
                let consumer = self.groups.get_mut(group).and_then(|entry| entry.group.consumer());
                match (consumer, stored) {
                    (Some(consumer), Err(_)) => consumer.unstored(),
                    (Some(consumer), Ok(())) => consumer.stored(write),
                    (None, _) => {}
                }
            }
            (Then::Convert(conversion), Some(group)) => self.converted(turn, group, *conversion, stored),
            (Then::StoreShare(write), Some(group)) => {
                if let Some(Kind::Share(share)) = self.groups.get_mut(group).map(|entry| &mut entry.group) {
                    match stored {
                        Err(_) => share.unstored(),
                        Ok(()) => share.stored(write),
                    }
                }
            }
            (Then::StoreStreams(write), Some(group)) => self.streams_settled(group, write, stored),
            (Then::Inter(deleted), Some(group)) => self.inter(turn, group, deleted),
            (Then::Interred(deleted), Some(group)) => {
                if let Some(entry) = self.groups.get_mut(group) {
                    match stored {
                        Err(_) => entry.group.revive(),
                        Ok(()) => {
                            // As nobody would miss it now, it goes with `schedule`.
                            entry.group = Kind::Classic(ClassicGroup::new(turn.now, self.settings.group));
                            entry.had_offsets = false;
                        }
                    }
                }
                deleted.into_iter().for_each(|reply| reply.send(stored));
            }
            (Then::Tell(tell), _) => tell(self),
            (
                Then::Store(_)
                | Then::StoreConsumer(_)
                | Then::Convert(_)
                | Then::StoreShare(_)
                | Then::StoreStreams(_)
                | Then::Inter(_)
                | Then::Interred(_),
                None,
            ) => {
                unreachable!("what a group writes is of the group")
            }
            (Then::Sweep(reply), _) => {
                self.sweep(turn);
                turn.write(None, Vec::new(), Then::Swept(reply));
            }
            (Then::Swept(reply), _) => reply.send(()),
        }
        if let Some(group) = key {
            self.schedule(turn, group);
        }
    }

    fn wake_at(&self) -> i64 {
        self.wakes.first().map_or(i64::MAX, |(at, _)| *at).min(self.next_check)
    }

    fn tick(&mut self, turn: &mut GroupTurn<'_>) {
        let now = turn.now;
        if let Some((_, name)) = self.wakes.first().filter(|(at, _)| *at <= now).cloned() {
            let mut effects = Effects::default();
            match self.groups.get_mut(&name).map(|entry| &mut entry.group) {
                Some(Kind::Classic(group)) => group.tick(now, &mut effects),
                Some(Kind::Consumer(group)) => {
                    let changes = group.tick(now);
                    if !changes.is_empty() {
                        let write = self.after_loss(turn, &name, changes);
                        turn.write_all_of(write);
                    }
                }
                Some(Kind::Share(group)) => {
                    let changes = group.tick(now, &turn.topics());
                    if !changes.is_empty() {
                        let changes = changes.into_iter().map(Change::Share).collect();
                        turn.write(Some(name.clone()), changes, Then::StoreShare(group.begin_write()));
                    }
                }
                Some(Kind::Streams(group)) => {
                    let changes = group.tick(now);
                    if !changes.is_empty() {
                        let changes = changes.into_iter().map(Change::Streams).collect();
                        turn.write(Some(name.clone()), changes, Then::StoreStreams(group.begin_write()));
                    }
                }
                None => {}
            }
            self.carry_out(turn, &name, effects);
        }
        if self.next_check <= now {
            self.next_check = now.saturating_add(self.settings.retention_check_ms);
            self.expire(turn);
        }
    }
}

impl Entry {
    fn new(group: Kind) -> Entry {
        Entry {
            group,
            offsets: Offsets::default(),
            pending: Pending::default(),
            had_offsets: false,
            is_converting: false,
            wake_at: i64::MAX,
        }
    }

    /// Whether it has offsets, committed ones or pending.
    fn has_offsets(&self) -> bool {
        !self.offsets.is_empty() || !self.pending.is_empty()
    }

    /// The partitions of the topics that `chosen` picks of which it has offsets, committed ones or pending.
    fn partitions_of(&self, chosen: impl Fn(&str) -> bool) -> BTreeSet<(String, i32)> {
        let mut partitions = self.pending.partitions_of(&chosen);
        partitions.extend(self.offsets.partitions_of(chosen));
        partitions
    }
}

fn offset_key(group: &str, topic: &str, partition: i32) -> OffsetKey {
    OffsetKey { group: group.to_owned(), topic: topic.to_owned(), partition }
}

/// That offsets are gone, pending ones as well.
fn tombstones<'a>(group: &str, gone: impl IntoIterator<Item = &'a (String, i32)>) -> Vec<Change> {
    let gone = gone.into_iter();
    gone.map(|(topic, at)| Change::Offset(offset_key(group, topic, *at), None)).collect()
}
