//! The partitions that one shard coordinates: which there are, in which epoch, what is on its way to their
//! logs, and when they want to be woken. Nothing here waits: the shard's task ([`super::task`]) hands the
//! outbox over, and brings back what settled.
//!
//! ```text
//!            begin(epoch)          replayed to the end
//!   (none) --------------> Loading -------------------> Active
//!     ^                      | ^                          |
//!     |  resign(epoch)       | | begin(a newer epoch)     |
//!     +-------- from any     | +--------------------------+
//!                            v
//!                          Failed    its log cannot be read
//! ```
//!
//! A partition that was begun again is another one, whatever its number: what its predecessor had on the way
//! settles for nobody. The askers of a machine that goes are told by the channels that go with it.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use strandline_engine::Marker;
use strandline_engine::error::AppendError;
use strandline_engine::topics::TopicSnapshot;
use strandline_engine::types::{LeaderEpoch, Offset, PartitionId, ProducerId};

use super::content::{Content, Packed, pack};
use super::error::{StoreError, Stored, Unavailable};
use super::load::LoadError;
use super::machine::{Finish, Machine, Outcome, Turn, Work, Write};
use super::reply::Reply;
use super::writes::Writes;

/// Tells one life of a partition from the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Term(u64);

/// What is to be appended to one partition.
pub(super) struct Append {
    pub(super) partition: PartitionId,
    pub(super) term: Term,
    pub(super) write: u64,
    pub(super) content: Content,
}

/// What an append came to: where each batch, or the marker, stands, or why it is not durable.
pub(super) type Settled = Vec<Result<Offset, AppendError>>;

/// Work of the machine of one partition.
pub(super) struct Task<M: Machine> {
    pub(super) index: u32,
    pub(super) term: Term,
    pub(super) work: Work<M>,
}

/// A partition whose log is to be replayed.
#[derive(Clone, Copy)]
pub(super) struct Load {
    pub(super) partition: PartitionId,
    pub(super) term: Term,
}

/// What is known of the log of a partition that begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LogStart {
    /// It was just created: there is nothing to replay.
    Empty,
    /// It is to be replayed.
    Unread,
}

/// The machines of one shard.
pub(super) struct Runtime<M: Machine> {
    settings: M::Settings,
    topics: Box<dyn Fn() -> TopicSnapshot>,
    now: i64,
    partitions: BTreeMap<u32, Coordinated<M>>,
    /// When machines want to be woken: time, partition.
    wakes: BTreeSet<(i64, u32)>,
    next_term: u64,
    outbox: VecDeque<Append>,
    loads: VecDeque<Load>,
    works: VecDeque<Task<M>>,
}

struct Coordinated<M: Machine> {
    id: PartitionId,
    epoch: LeaderEpoch,
    term: Term,
    stage: Stage<M>,
}

enum Stage<M: Machine> {
    Loading,
    Active(Box<Active<M>>),
    Failed,
    /// Another broker coordinates it, since an epoch that is kept: an order of an older one comes too late.
    Resigned,
}

struct Active<M: Machine> {
    machine: M,
    /// A write that could not be encoded has settled before it was appended.
    writes: Writes<InFlight<M>, Result<Settled, StoreError>>,
    /// The writes of each key that have not settled.
    in_flight: HashMap<String, usize>,
    /// As it stands in `wakes`.
    wake_at: i64,
}

/// What is on its way to the log, and what follows.
enum InFlight<M: Machine> {
    Records {
        write: Write<M>,
        /// How many of them are in each batch.
        counts: Vec<usize>,
        answer: Option<Box<dyn FnOnce(Stored)>>,
    },
    Marker {
        marker: Marker,
        reply: Reply<Result<(), AppendError>>,
    },
}

impl<M: Machine> Active<M> {
    /// Counts a write of the key out.
    fn let_go(&mut self, key: &str) {
        let count = self.in_flight.get_mut(key).expect("it was counted in");
        *count -= 1;
        if *count == 0 {
            self.in_flight.remove(key);
        }
    }

    /// Has the machine replay the records whose batches are durable; what became of all.
    fn replay(
        &mut self,
        now: i64,
        transaction: Option<ProducerId>,
        records: Vec<M::Record>,
        counts: &[usize],
        settled: Settled,
    ) -> Stored {
        let mut records = records.into_iter();
        let mut stored = Ok(());
        for (count, settled) in counts.iter().zip(settled) {
            let of_batch = records.by_ref().take(*count);
            match settled {
                Ok(base_offset) => of_batch.zip(0..).for_each(|(record, at)| match transaction {
                    None => self.machine.replay(now, base_offset.plus(at), record),
                    Some(producer) => {
                        self.machine.replay_pending(now, base_offset.plus(at), producer, record);
                    }
                }),
                Err(error) => {
                    of_batch.for_each(drop);
                    stored = stored.and(Err(StoreError::from(&error)));
                }
            }
        }
        stored
    }
}

impl<M: Machine> Stage<M> {
    fn active(&mut self) -> Result<&mut Active<M>, Unavailable> {
        match self {
            Stage::Active(active) => Ok(active),
            Stage::Loading => Err(Unavailable::Loading),
            Stage::Failed => Err(Unavailable::Failed),
            Stage::Resigned => Err(Unavailable::NotHere),
        }
    }
}

impl<M: Machine> Runtime<M> {
    pub(super) fn new(
        settings: M::Settings,
        topics: impl Fn() -> TopicSnapshot + 'static,
        now: i64,
    ) -> Runtime<M> {
        Runtime {
            settings,
            topics: Box::new(topics),
            now,
            partitions: BTreeMap::new(),
            wakes: BTreeSet::new(),
            next_term: 0,
            outbox: VecDeque::new(),
            loads: VecDeque::new(),
            works: VecDeque::new(),
        }
    }

    // ---- begin and resign ---------------------------------------------------------------------------------

    /// Coordinates a partition from this epoch on. One that is coordinated in this epoch or a newer one goes
    /// on.
    pub(super) fn begin(&mut self, id: PartitionId, epoch: LeaderEpoch, log: LogStart) {
        if self.partitions.get(&id.index).is_some_and(|known| known.epoch >= epoch) {
            return;
        }
        let term = self.end(id.index);
        match log {
            LogStart::Unread => self.loads.push_back(Load { partition: id, term }),
            LogStart::Empty => {}
        }
        self.partitions.insert(id.index, Coordinated { id, epoch, term, stage: Stage::Loading });
        if log == LogStart::Empty {
            self.activate(id.index, M::new(&self.settings));
        }
    }

    /// Lets go of a partition that another broker coordinates from this epoch on.
    pub(super) fn resign(&mut self, id: PartitionId, epoch: LeaderEpoch) {
        if self.partitions.get(&id.index).is_some_and(|known| known.epoch > epoch) {
            return;
        }
        let term = self.end(id.index);
        self.partitions.insert(id.index, Coordinated { id, epoch, term, stage: Stage::Resigned });
    }

    /// Whether anything was said of the partition.
    pub(super) fn knows(&self, index: u32) -> bool {
        self.partitions.contains_key(&index)
    }

    /// Drops the machine that there is, with whoever waits for it; the term is that of the next.
    fn end(&mut self, index: u32) -> Term {
        if let Some(Coordinated { term, stage, .. }) = self.partitions.remove(&index) {
            self.outbox.retain(|append| append.term != term);
            self.loads.retain(|load| load.term != term);
            self.works.retain(|task| task.term != term);
            if let Stage::Active(active) = stage {
                self.wakes.remove(&(active.wake_at, index));
            }
        }
        self.next_term += 1;
        Term(self.next_term)
    }

    fn activate(&mut self, index: u32, machine: M) {
        let active = Active { machine, writes: Writes::new(), in_flight: HashMap::new(), wake_at: i64::MAX };
        let partition = self.partitions.get_mut(&index).expect("it has begun");
        partition.stage = Stage::Active(Box::new(active));
        let begun = self.call(index, |machine, turn| machine.begin(turn));
        debug_assert!(begun.is_ok(), "it is active");
    }

    // ---- loading ------------------------------------------------------------------------------------------

    /// A partition that is to be replayed next.
    pub(super) fn next_load(&mut self) -> Option<Load> {
        self.loads.pop_front()
    }

    /// What the machine of a partition is made with.
    pub(super) fn settings(&self) -> &M::Settings {
        &self.settings
    }

    /// Has a partition replayed again whose log lacked records, unless it was let go meanwhile; it is loading
    /// until then.
    pub(super) fn load_again(&mut self, load: Load) {
        if self.is_current(load.partition.index, load.term) {
            self.loads.push_back(load);
        }
    }

    /// Serves a machine that its log was replayed into.
    pub(super) fn loaded(&mut self, load: Load, result: Result<M, LoadError>) {
        let index = load.partition.index;
        if !self.is_current(index, load.term) {
            return;
        }
        match result {
            Ok(machine) => self.activate(index, machine),
            Err(error) => {
                tracing::error!(partition = %load.partition, %error, "the state of a coordinator cannot be loaded");
                self.partitions.get_mut(&index).expect("it is current").stage = Stage::Failed;
            }
        }
    }

    fn is_current(&self, index: u32, term: Term) -> bool {
        self.partitions.get(&index).is_some_and(|partition| partition.term == term)
    }

    // ---- requests -----------------------------------------------------------------------------------------

    /// Calls the machine of a partition, has written what it wants to be, and notes when it wants to be
    /// woken.
    pub(super) fn call<T>(
        &mut self,
        index: u32,
        operation: impl FnOnce(&mut M, &mut Turn<'_, M>) -> T,
    ) -> Result<T, Unavailable> {
        let result = self.call_once(index, operation)?;
        self.settle(index);
        Ok(result)
    }

    /// As [`Runtime::call`], with an answer that leaves at once or when the records of the operation are
    /// durable.
    pub(super) fn change<T: 'static>(
        &mut self,
        index: u32,
        operation: impl FnOnce(&mut M, &mut Turn<'_, M>) -> Outcome<M, T>,
        reply: Reply<T>,
    ) {
        match self.call_once(index, operation) {
            Err(why) => return reply.settle(Err(why)),
            Ok(Outcome::Answer(answer)) => reply.send(answer),
            Ok(Outcome::Write(write, answer)) => {
                self.write(index, write, Some(Box::new(move |stored| reply.send(answer(stored)))));
            }
        }
        self.settle(index);
    }

    /// As [`Runtime::call`], with an answer that the machine gives when it is time.
    pub(super) fn wait<T>(
        &mut self,
        index: u32,
        operation: impl FnOnce(&mut M, &mut Turn<'_, M>, Reply<T>),
        reply: Reply<T>,
    ) {
        let mut reply = Some(reply);
        let called = self.call(index, |machine, turn| {
            operation(machine, turn, reply.take().expect("a machine is called once"));
        });
        if let (Err(why), Some(reply)) = (called, reply) {
            reply.settle(Err(why));
        }
    }

    /// Calls the machines of all partitions; there is no result where a partition is not coordinated here.
    pub(super) fn call_all<T>(
        &mut self,
        mut operation: impl FnMut(&mut M, &mut Turn<'_, M>) -> T,
    ) -> Vec<Result<T, Unavailable>> {
        let indexes: Vec<_> = self.partitions.keys().copied().collect();
        let called = indexes.into_iter().map(|index| self.call(index, &mut operation));
        called.filter(|result| !matches!(result, Err(Unavailable::NotHere))).collect()
    }

    fn call_once<T>(
        &mut self,
        index: u32,
        operation: impl FnOnce(&mut M, &mut Turn<'_, M>) -> T,
    ) -> Result<T, Unavailable> {
        let partition = self.partitions.get_mut(&index).ok_or(Unavailable::NotHere)?;
        let (epoch, term) = (partition.epoch, partition.term);
        let active = partition.stage.active()?;
        let mut turn = Turn::new(self.now, epoch, &*self.topics, &active.in_flight);
        let result = operation(&mut active.machine, &mut turn);
        let (writes, works) = turn.into_parts();
        self.works.extend(works.into_iter().map(|work| Task { index, term, work }));
        for write in writes {
            self.write(index, write, None);
        }
        Ok(result)
    }

    // ---- writes -------------------------------------------------------------------------------------------

    /// Appends records; [`Runtime::settle`] goes on with them.
    fn write(&mut self, index: u32, write: Write<M>, answer: Option<Box<dyn FnOnce(Stored)>>) {
        let partition = self.partitions.get_mut(&index).expect("its machine was just called");
        let Stage::Active(active) = &mut partition.stage else { unreachable!("its machine was just called") };
        let transaction = write.transaction;
        let producer = transaction.map(|transaction| transaction.producer);
        let packed = pack(self.now, &write.records, producer, write.is_whole);
        if let Some(key) = &write.key {
            *active.in_flight.entry(key.clone()).or_default() += 1;
        }
        let counts = packed.as_ref().map_or_else(|_| Vec::new(), |packed| packed.counts.clone());
        let number = active.writes.push(InFlight::Records { write, counts, answer });
        let batches = match packed {
            Err(error) => return active.writes.settle(number, Err(error)),
            Ok(Packed { batches, .. }) => batches,
        };
        if batches.is_empty() {
            // A barrier.
            return active.writes.settle(number, Ok(Vec::new()));
        }
        let content = match transaction {
            Some(transaction) => Content::Transactional(batches, transaction.verified),
            None => Content::Batches(batches),
        };
        let (partition, term) = (partition.id, partition.term);
        self.outbox.push_back(Append { partition, term, write: number, content });
    }

    /// Appends the marker that ends a producer's transaction, behind all that was written before. The answer
    /// comes when it is durable and the machine knows of it, or why it is not.
    pub(super) fn end_transaction(
        &mut self,
        index: u32,
        marker: Marker,
        reply: Reply<Result<(), AppendError>>,
    ) {
        let Some(partition) = self.partitions.get_mut(&index) else {
            return reply.settle(Err(Unavailable::NotHere));
        };
        let active = match partition.stage.active() {
            Ok(active) => active,
            Err(why) => return reply.settle(Err(why)),
        };
        let write = active.writes.push(InFlight::Marker { marker, reply });
        let (partition, term) = (partition.id, partition.term);
        self.outbox.push_back(Append { partition, term, write, content: Content::Marker(marker) });
    }

    /// Work that has not begun to go on.
    pub(super) fn next_work(&mut self) -> Option<Task<M>> {
        self.works.pop_front()
    }

    /// Work has come to its end.
    pub(super) fn worked(&mut self, index: u32, term: Term, finish: Finish<M>) {
        if self.is_current(index, term) {
            let told = self.call(index, finish);
            debug_assert!(told.is_ok(), "it has begun its work");
        }
    }

    /// What is to be appended next, in this order.
    pub(super) fn next_append(&mut self) -> Option<Append> {
        self.outbox.pop_front()
    }

    /// What an append came to.
    pub(super) fn settled(&mut self, index: u32, term: Term, write: u64, settled: Settled) {
        let Some(partition) = self.partitions.get_mut(&index).filter(|known| known.term == term) else {
            return;
        };
        let Stage::Active(active) = &mut partition.stage else { return };
        for error in settled.iter().filter_map(|settled| settled.as_ref().err()) {
            match StoreError::from(error) {
                // A client's doing.
                StoreError::StaleProducer | StoreError::NoTransaction => {
                    tracing::debug!(partition = %partition.id, %error, "a transaction is over");
                }
                _ => {
                    tracing::warn!(partition = %partition.id, %error, "a change of a coordinator was not stored");
                }
            }
        }
        active.writes.settle(write, Ok(settled));
        self.settle(index);
    }

    /// Goes on with the writes that have settled, in the order of the log, and with what they lead to.
    fn settle(&mut self, index: u32) {
        while let Some(Ok(active)) = self.partitions.get_mut(&index).map(|known| known.stage.active())
            && let Some((in_flight, settled)) = active.writes.pop_settled()
        {
            let (write, counts, answer) = match in_flight {
                InFlight::Records { write, counts, answer } => (write, counts, answer),
                InFlight::Marker { marker, reply } => {
                    let appended = settled.ok().and_then(|mut settled| settled.pop());
                    let ended = appended.expect("a marker is one batch").map(drop);
                    if ended.is_ok() {
                        active.machine.end_transaction(self.now, marker.producer.id, marker.result);
                    }
                    reply.send(ended);
                    continue;
                }
            };
            let Write { key, records, transaction, then, .. } = write;
            if let Some(key) = &key {
                active.let_go(key);
            }
            let stored = settled.and_then(|settled| {
                let producer = transaction.map(|transaction| transaction.producer.id);
                active.replay(self.now, producer, records, &counts, settled)
            });
            let told =
                self.call_once(index, |machine, turn| machine.settled(turn, key.as_deref(), then, stored));
            debug_assert!(told.is_ok(), "it is active");
            if let Some(answer) = answer {
                answer(stored);
            }
        }
        self.schedule(index);
    }

    // ---- time ---------------------------------------------------------------------------------------------

    /// Notes when a machine wants to be woken.
    fn schedule(&mut self, index: u32) {
        let Some(partition) = self.partitions.get_mut(&index) else { return };
        let Stage::Active(active) = &mut partition.stage else { return };
        let (before, after) = (active.wake_at, active.machine.wake_at());
        if before != after {
            active.wake_at = after;
            self.wakes.remove(&(before, index));
            if after < i64::MAX {
                self.wakes.insert((after, index));
            }
        }
    }

    /// When [`Runtime::tick`] must be called, at the latest.
    pub(super) fn wake_at(&self) -> i64 {
        self.wakes.first().map_or(i64::MAX, |(at, _)| *at)
    }

    /// Moves the clock, and has the machine that is due first do a piece.
    pub(super) fn tick(&mut self, now: i64) {
        self.now = now;
        if let Some((_, index)) = self.wakes.first().filter(|(at, _)| *at <= now).copied() {
            let woken = self.call(index, |machine, turn| machine.tick(turn));
            debug_assert!(woken.is_ok(), "it is active");
        }
    }
}
