//! Transactions on a machine that crashes: a reader of committed records sees all of a transaction or none.
//!
//! Producers write to the partitions of one topic, most of it in transactions; the test is their coordinator
//! and outlives the machine. What was acknowledged, or read, is *known*: a batch or a marker, at its offset.
//! A read of a whole log is held against that, and tells by itself, batch after batch, what is decided:
//!
//! * what is known is there, and so an acknowledged marker is: its transaction stays decided;
//! * what was missing once is missing for ever;
//! * the last stable offset is where the first open transaction begins, or the log ends, or starts;
//! * the engine knows each open transaction, and no other;
//! * whoever reads committed records in pieces of any size, and leaves out what the aborted transactions of
//!   each answer say, is left with the records of committed transactions and those of none, each once.

mod compare;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use fastrand::Rng;
use futures_channel::oneshot::Receiver;

use super::images::{Image, Images, Subject};
use super::machine::{Ending, ORDINARY, Process, Settings, start};
use crate::error::{AppendError, TruncateError};
use crate::format::batch::Producer;
use crate::format::builder::BatchBuilder;
use crate::format::check::check;
use crate::format::compression::Codec;
use crate::format::marker::{Marker, TransactionResult};
use crate::log::{Origin, Participation};
use crate::message::{Appended, Appending, DeleteBefore};
use crate::sim::{Clock, Simulation};
use crate::topics::NewTopic;
use crate::types::{Offset, PartitionId, ProducerEpoch, ProducerId, Sequence};

const PARTITIONS: u32 = 2;
const PRODUCERS: usize = 3;

/// The first byte of a batch behind what the log stamps: base offset, length and leader epoch.
const STAMPED_BYTES: usize = 16;

/// What stands at an offset: a batch, by its number, or a marker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Item {
    Batch(usize),
    Marker(Producer, TransactionResult),
}

/// A producer, as its coordinator sees it.
#[derive(Clone)]
struct Transactor {
    producer: Producer,
    /// Whether the coordinator raises the epoch with each marker.
    bumps: bool,
    sequences: BTreeMap<u32, Sequence>,
    phase: Phase,
    /// Nobody knows what became of a batch.
    uncertain: bool,
}

#[derive(Clone)]
enum Phase {
    Idle,
    /// The partitions that take part.
    Open(BTreeSet<u32>),
    /// Decided, and the partitions that have not confirmed it.
    Ending {
        marker: Marker,
        left: BTreeSet<u32>,
    },
}

/// What was handed over and not answered yet.
struct Pending {
    partition: u32,
    producer: Option<usize>,
    item: Item,
    answer: Receiver<Result<Appended, AppendError>>,
}

pub(super) struct Transactions {
    seed: u64,
    rng: Rng,
    simulation: Option<Simulation>,
    clock: Clock,
    topic: Option<PartitionId>,
    errors: bool,
    truncates: bool,
    /// Whether nothing was appended since the start.
    is_fresh: bool,
    /// Whether producers may have been forgotten.
    expires: bool,
    /// The partition of each batch.
    sent: Vec<u32>,
    by_content: HashMap<Vec<u8>, usize>,
    known: BTreeMap<u32, BTreeMap<i64, Item>>,
    gone: BTreeSet<usize>,
    /// Where each log starts at least, and at most.
    starts: BTreeMap<u32, (i64, i64)>,
    producers: Vec<Transactor>,
    coordinator_epoch: i32,
    pending: Vec<Pending>,
    pub(super) questions_max: usize,
    pub(super) images: Option<Images>,
}

impl Transactions {
    pub(super) fn new(seed: u64, errors: bool, truncates: bool) -> Transactions {
        let mut transactions = Transactions::on(Simulation::new(seed));
        (transactions.errors, transactions.truncates) = (errors, truncates);
        transactions
    }

    fn on(mut simulation: Simulation) -> Transactions {
        let (seed, rng, clock) = (simulation.seed(), simulation.rng().fork(), simulation.clock());
        let producer = |at: usize| Transactor {
            producer: Producer { id: ProducerId(at as i64), epoch: ProducerEpoch::FIRST },
            bumps: at > 0,
            sequences: BTreeMap::new(),
            phase: Phase::Idle,
            uncertain: false,
        };
        Transactions {
            seed,
            rng,
            simulation: Some(simulation),
            clock,
            topic: None,
            errors: false,
            truncates: false,
            is_fresh: false,
            expires: false,
            sent: Vec::new(),
            by_content: HashMap::new(),
            known: (0..PARTITIONS).map(|at| (at, BTreeMap::new())).collect(),
            gone: BTreeSet::new(),
            starts: (0..PARTITIONS).map(|at| (at, (0, 0))).collect(),
            producers: (0..PRODUCERS).map(producer).collect(),
            coordinator_epoch: 0,
            pending: Vec::new(),
            questions_max: 200,
            images: None,
        }
    }

    fn id(&self, partition: u32) -> PartitionId {
        PartitionId::new(self.topic.expect("it was made").topic, partition)
    }

    // ---- the machine --------------------------------------------------------------------------------------

    /// Generation after generation.
    pub(super) fn generations(&mut self, count: usize) {
        for _ in 0..count {
            let process = self.start();
            let ending = *self.rng.choice(&[Ending::PowerLoss, Ending::Kill, Ending::Stop]).expect("three");
            if self.rng.u8(..4) > 0 {
                let disk = process.disk.clone();
                disk.stop_after(disk.operations() + self.rng.u64(..3000));
            }
            self.work(&process, ending);
            drop(process);
            let simulation = self.simulation.take().expect("a machine is there");
            self.simulation = Some(match ending {
                Ending::PowerLoss => simulation.crash(),
                Ending::Kill | Ending::Stop => simulation.kill(),
            });
            self.forget_pending();
        }
        drop(self.start());
    }

    fn settings(&mut self) -> Settings {
        let mut settings = Settings::small(self.rng.usize(1..=2));
        settings.journal_file_bytes_max = 4096 * self.rng.u64(2..=4);
        settings.open_files_max = self.rng.usize(1..=8);
        let defaults = &mut settings.topic_defaults;
        defaults.set_unchecked("segment.bytes", &self.rng.u64(600..4000).to_string());
        defaults.set_unchecked("index.interval.bytes", &self.rng.u64(0..500).to_string());
        settings
    }

    fn start(&mut self) -> Process {
        let settings = self.settings();
        while self.topic.is_some() && self.images.is_none() && self.rng.u8(..3) == 0 {
            let disk = self.simulation.as_ref().expect("a machine is there").disk();
            disk.set_faults(ORDINARY);
            disk.stop_after(disk.operations() + self.rng.u64(..200));
            if let Some(process) = self.launch(&settings) {
                // The log is opened by who reads it.
                self.drive(process.read(self.id(0), Offset::ZERO, 1));
            }
            let simulation = self.simulation.take().expect("a machine is there");
            self.simulation = Some(if self.rng.bool() { simulation.crash() } else { simulation.kill() });
        }
        self.begin(&settings)
    }

    fn launch(&mut self, settings: &Settings) -> Option<Process> {
        let mut simulation = self.simulation.take().expect("a machine is there");
        let started = start(&mut simulation, settings, |disk| self.look(disk));
        self.simulation = Some(simulation);
        started.map(|started| started.unwrap_or_else(|error| panic!("the engine did not start: {error}")))
    }

    /// Starts, compares, and has the coordinator decide what nobody knows of.
    fn begin(&mut self, settings: &Settings) -> Process {
        self.simulation.as_ref().expect("a machine is there").disk().set_faults(ORDINARY);
        let process = self.launch(settings).expect("nothing stops it");
        let begun = if self.topic.is_none() { self.create(&process) } else { Some(()) };
        self.is_fresh = true;
        let begun = begun.and_then(|()| self.compare(&process, true));
        self.is_fresh = false;
        assert!(begun.is_some(), "nothing stops it");
        self.coordinator_epoch += i32::from(self.rng.bool());
        for at in 0..PRODUCERS {
            if std::mem::take(&mut self.producers[at].uncertain) {
                self.fence(at);
            }
        }
        process
    }

    fn create(&mut self, process: &Process) -> Option<()> {
        // Of an earlier creation that was interrupted nobody was told, and it may have come to something.
        if let Some(topic) = process.topics.get().by_name("orders") {
            self.topic = topic.partition_ids().next();
            return Some(());
        }
        let configs = vec![("retention.ms".to_owned(), "-1".to_owned())];
        let new = NewTopic { name: "orders".to_owned(), partitions: PARTITIONS, configs };
        let topic = self.drive(async { process.create_topic(new).await.await })?;
        self.topic = topic.expect("an answer").expect("it is made").partition_ids().next();
        Some(())
    }

    fn forget_pending(&mut self) {
        for pending in std::mem::take(&mut self.pending) {
            self.doubt(&pending);
        }
    }

    /// What became of it is not known. A marker is sent again.
    fn doubt(&mut self, pending: &Pending) {
        if let (Some(at), Item::Batch(_)) = (pending.producer, pending.item) {
            self.producers[at].uncertain = true;
        }
    }

    // ---- what happens -------------------------------------------------------------------------------------

    fn work(&mut self, process: &Process, ending: Ending) {
        let finished = self.try_work(process, ending);
        let stopped_early = process.disk.operations() >= process.disk.stop_after_count();
        assert!(finished.is_some() || stopped_early, "everything waits\n{}", process.disk.dump());
    }

    fn try_work(&mut self, process: &Process, ending: Ending) -> Option<()> {
        for _ in 0..self.rng.usize(..self.questions_max) {
            self.step(process)?;
        }
        process.disk.set_faults(ORDINARY);
        if ending == Ending::Stop {
            let stopped = self.drive(process.stop())?;
            assert!(self.errors || stopped.is_ok(), "a clean stop: {stopped:?}");
        }
        Some(())
    }

    fn step(&mut self, process: &Process) -> Option<()> {
        match self.rng.u8(..40) {
            0..=13 => self.append(process),
            14..=19 => self.end_transaction(process),
            20..=21 => self.append_plain(process),
            22..=24 => {
                // Sometimes silent producers are forgotten, those with open transactions are not.
                let jumps = self.rng.u8(..10) == 0;
                self.expires |= jumps;
                let ms = if jumps { 90_000_000 } else { self.rng.u64(..1000) };
                self.clock.advance(Duration::from_millis(ms));
                process.shards.iter().for_each(|shard| shard.tick(self.clock.timestamp()));
                Some(())
            }
            25..=32 => {
                let operations = self.rng.usize(1..60);
                self.drive(process.pass_time(operations))
            }
            33 if self.errors => {
                let mut faults = ORDINARY;
                if self.rng.bool() {
                    faults.write_error = 0.02 * self.rng.f64();
                    faults.sync_error = 0.05 * self.rng.f64();
                }
                process.disk.set_faults(faults);
                Some(())
            }
            34 => self.delete_records(process),
            35 if self.truncates => self.truncate(process),
            36..=39 => self.compare(process, false),
            _ => Some(()),
        }
    }

    fn is_pending(&self, producer: usize, partition: Option<u32>) -> bool {
        let concerns = |pending: &Pending| {
            pending.producer == Some(producer) && partition.is_none_or(|at| at == pending.partition)
        };
        self.pending.iter().any(concerns)
    }

    /// A batch of some transaction, which it may begin.
    fn append(&mut self, process: &Process) -> Option<()> {
        let (at, partition) = (self.rng.usize(..PRODUCERS), self.rng.u32(..PARTITIONS));
        let transactor = &mut self.producers[at];
        if transactor.uncertain || matches!(transactor.phase, Phase::Ending { .. }) {
            return Some(());
        }
        if self.is_pending(at, Some(partition)) {
            return Some(());
        }
        let producer = self.producers[at].producer;
        let asked =
            self.drive(process.owner(self.id(partition)).participation(self.id(partition), producer))?;
        let origin = match asked {
            Ok(Participation::Open) => Origin::Client,
            Ok(Participation::Absent(guard)) => Origin::Transaction(guard),
            Err(error) => {
                assert!(self.errors, "nothing has failed, but: {error}");
                return Some(());
            }
        };
        let records = self.rng.usize(1..4);
        let transactor = &mut self.producers[at];
        match &mut transactor.phase {
            Phase::Open(partitions) => drop(partitions.insert(partition)),
            phase => *phase = Phase::Open([partition].into()),
        }
        let sequence = transactor.sequences.entry(partition).or_insert(Sequence::FIRST);
        let first = *sequence;
        *sequence = first.plus(records as i32);
        let builder =
            BatchBuilder::new(Codec::None).producer(producer.id, producer.epoch, first).transactional(true);
        self.send(process, partition, Some(at), builder, records, origin)
    }

    /// A batch of no transaction.
    fn append_plain(&mut self, process: &Process) -> Option<()> {
        let partition = self.rng.u32(..PARTITIONS);
        self.send(process, partition, None, BatchBuilder::new(Codec::None), 1, Origin::Client)
    }

    fn send(
        &mut self,
        process: &Process,
        partition: u32,
        producer: Option<usize>,
        mut builder: BatchBuilder,
        records: usize,
        origin: Origin,
    ) -> Option<()> {
        let number = self.sent.len();
        for _ in 0..records {
            let value = [&(number as u64).to_le_bytes()[..], &vec![b'v'; self.rng.usize(..150)]].concat();
            builder.push(self.clock.timestamp(), None, Some(&value), &[]);
        }
        let bytes = builder.build();
        self.sent.push(partition);
        self.by_content.insert(bytes[STAMPED_BYTES..].to_vec(), number);
        let id = self.id(partition);
        let topics = process.topics.get();
        let rules = topics.by_id(id.topic).expect("it is there").config.check_rules(self.clock.timestamp());
        let checked = check(bytes, &rules).expect("the batch keeps the rules");
        tracing::debug!("batch {number} of {producer:?} for {partition}");
        let answer = self.drive(process.owner(id).append(id, Appending::Batch(checked, origin)))?;
        self.pending.push(Pending { partition, producer, item: Item::Batch(number), answer });
        Some(())
    }

    /// Decides some transaction, or tells a partition what was decided.
    fn end_transaction(&mut self, process: &Process) -> Option<()> {
        let at = self.rng.usize(..PRODUCERS);
        if let Phase::Open(partitions) = &self.producers[at].phase
            && !self.producers[at].uncertain
            && !self.is_pending(at, None)
        {
            let left = partitions.clone();
            let result = match self.rng.bool() {
                true => TransactionResult::Commit,
                false => TransactionResult::Abort,
            };
            let bumped = self.producers[at].bumps;
            self.decide(at, result, bumped, i16::from(bumped), left);
        }
        let Phase::Ending { marker, left } = &self.producers[at].phase else { return Some(()) };
        let marker = Marker { coordinator_epoch: self.coordinator_epoch, ..*marker };
        for partition in left.clone() {
            if self.is_pending(at, Some(partition)) || self.rng.u8(..3) == 0 {
                continue;
            }
            tracing::debug!("{:?} of {at} for {partition}", marker.result);
            let id = self.id(partition);
            let answer = self.drive(process.owner(id).append(id, Appending::Marker(marker)))?;
            let item = Item::Marker(marker.producer, marker.result);
            self.pending.push(Pending { partition, producer: Some(at), item, answer });
        }
        Some(())
    }

    fn decide(&mut self, at: usize, result: TransactionResult, bumped: bool, bump: i16, left: BTreeSet<u32>) {
        let Producer { id, epoch } = self.producers[at].producer;
        let producer = Producer { id, epoch: ProducerEpoch(epoch.0 + bump) };
        let marker = Marker { producer, coordinator_epoch: self.coordinator_epoch, result, bumped };
        self.producers[at].phase = Phase::Ending { marker, left };
    }

    /// Aborts whatever a producer has under way anywhere, in another epoch.
    fn fence(&mut self, at: usize) {
        let bumped = self.producers[at].bumps;
        self.decide(at, TransactionResult::Abort, bumped, 1, (0..PARTITIONS).collect());
    }

    /// What is in the log is known. A partition that has confirmed the end of a transaction is done with it.
    fn take(&mut self, pending: &Pending, appended: Appended) {
        let offset = appended.base_offset.get();
        self.know(pending.partition, offset, pending.item);
        let Item::Marker(producer, _) = pending.item else { return };
        let transactor = &mut self.producers[pending.producer.expect("a marker is of a producer")];
        let Phase::Ending { left, .. } = &mut transactor.phase else { return };
        left.remove(&pending.partition);
        if left.is_empty() {
            transactor.phase = Phase::Idle;
            if transactor.producer.epoch != producer.epoch {
                transactor.sequences.clear();
            }
            transactor.producer = producer;
        }
    }

    fn know(&mut self, partition: u32, offset: i64, item: Item) {
        if offset < self.starts[&partition].0 {
            return;
        }
        let known = self.known.get_mut(&partition).expect("it is there");
        let there = *known.entry(offset).or_insert(item);
        assert_eq!(there, item, "{partition} offset {offset}: there was something else");
    }

    fn delete_records(&mut self, process: &Process) -> Option<()> {
        let partition = self.rng.u32(..PARTITIONS);
        let end = self.known[&partition].keys().next_back().copied().unwrap_or_default();
        let (least, most) = self.starts[&partition];
        let before = self.rng.i64(least..=end.max(least));
        self.starts.insert(partition, (least, most.max(before)));
        let id = self.id(partition);
        let before = DeleteBefore::Offset(Offset::new(before));
        let answer = self.drive(async { process.delete_records(id, before).await.await })?;
        if let Ok(Ok(start)) = answer {
            self.see_start(partition, start);
        }
        Some(())
    }

    fn see_start(&mut self, partition: u32, start: Offset) {
        let (least, most) = self.starts[&partition];
        let start = start.get();
        assert!((least..=most).contains(&start), "{partition} starts at {start}, not {least} to {most}");
        self.starts.insert(partition, (start, most));
        let known = self.known.get_mut(&partition).expect("it is there");
        *known = known.split_off(&start);
    }

    /// Cuts a log off, as a replica does. Nothing else is under way.
    fn truncate(&mut self, process: &Process) -> Option<()> {
        while !self.pending.is_empty() {
            self.drive(process.pass_time(1))?;
        }
        let partition = self.rng.u32(..PARTITIONS);
        let end = self.known[&partition].keys().next_back().copied().unwrap_or_default();
        let to = self.rng.i64(self.starts[&partition].0..=end.max(self.starts[&partition].0));
        // What is known from here on may be gone, and producers are told by their coordinator.
        let known = self.known.get_mut(&partition).expect("it is there");
        let holding = known.range(..=to).next_back().map_or(to, |(offset, _)| *offset);
        let cut = known.split_off(&holding);
        (0..PRODUCERS).for_each(|at| self.producers[at].uncertain = true);
        let id = self.id(partition);
        tracing::debug!("{partition} is cut off at {to}");
        match self.drive(process.owner(id).truncate(id, Offset::new(to)))? {
            Ok(end) => {
                let stays = |(offset, _): &(&i64, &Item)| **offset < end.get();
                let kept: Vec<_> = cut.iter().filter(stays).map(|(offset, item)| (*offset, *item)).collect();
                for (offset, item) in kept {
                    self.know(partition, offset, item);
                }
                let gone = cut.range(end.get()..).filter_map(|(_, item)| match item {
                    Item::Batch(number) => Some(*number),
                    Item::Marker(..) => None,
                });
                self.gone.extend(gone);
            }
            Err(TruncateError::OffsetOutOfRange { .. }) => {}
            Err(error) => assert!(self.errors, "nothing has failed, but: {error}"),
        }
        self.compare(process, true)?;
        for at in 0..PRODUCERS {
            self.producers[at].uncertain = false;
            self.fence(at);
        }
        Some(())
    }
}

impl Subject for Transactions {
    fn seed(&self) -> u64 {
        self.seed
    }

    fn place(&mut self) -> &mut Option<Simulation> {
        &mut self.simulation
    }

    fn images(&mut self) -> &mut Option<Images> {
        &mut self.images
    }

    fn examine(&self, image: Image) {
        let machine = Simulation::resume(image.seed, image.disk, &self.clock);
        let mut fork = Transactions {
            topic: self.topic,
            errors: self.errors,
            truncates: self.truncates,
            expires: self.expires,
            sent: self.sent.clone(),
            by_content: self.by_content.clone(),
            known: self.known.clone(),
            gone: self.gone.clone(),
            starts: self.starts.clone(),
            producers: self.producers.clone(),
            coordinator_epoch: self.coordinator_epoch,
            images: image.images,
            ..Transactions::on(machine)
        };
        for pending in &self.pending {
            fork.doubt(pending);
        }
        let settings = fork.settings();
        let process = fork.begin(&settings);
        if image.lives {
            for _ in 0..20 {
                let lived = fork.append(&process).and_then(|()| fork.end_transaction(&process));
                assert!(lived.is_some(), "nothing stops it");
            }
            while !fork.pending.is_empty() {
                fork.drive(process.pass_time(1)).expect("nothing stops it");
            }
            fork.compare(&process, true).expect("nothing stops it");
        }
    }

    fn harvest(&mut self) {
        for mut pending in std::mem::take(&mut self.pending) {
            match pending.answer.try_recv() {
                Ok(None) => self.pending.push(pending),
                Ok(Some(Ok(appended))) => self.take(&pending, appended),
                Ok(Some(Err(AppendError::Stopping))) | Err(_) => self.doubt(&pending),
                // A marker that was sent again has told of a producer whose sequences are forgotten.
                Ok(Some(Err(AppendError::OutOfOrderSequence { .. }))) if self.expires => self.doubt(&pending),
                Ok(Some(Err(error))) => {
                    assert!(self.errors, "nothing has failed, but: {error}");
                    self.doubt(&pending);
                }
            }
        }
    }
}
