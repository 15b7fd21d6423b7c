//! A compacted topic on a machine that crashes: what was written last stays, and nothing that was gone comes
//! back.
//!
//! Every record has a number in a header, a key of few, and a value or none. What is *known* of a record is
//! its offset: from an answer, or from a read. A read of the whole log is held against that:
//!
//! * what is found was sent, once, and lies where it is known to lie;
//! * what was missing once is missing for ever;
//! * of each key the newest known record is there, unless it is a tombstone that is old enough;
//! * of two records of a key the older one is not there without the newer one, unless that came between the
//!   two while the log was read.
//!
//! A producer that sends again what was acknowledged last is answered with the same offset, whatever was
//! compacted. Where producers have transactions, `transactions` says what else must hold.

mod transactions;

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use fastrand::Rng;
use futures_channel::oneshot::Receiver;
use rustix::io::Errno;

use super::for_seeds;
use super::images::{Image, Images, Subject};
use super::machine::{Ending, ORDINARY, Process, Settings, start};
use crate::error::{AppendError, ReadError};
use crate::format::batch::{BATCH_HEADER_BYTES, BatchHeader, Batches, verify_crc};
use crate::format::builder::BatchBuilder;
use crate::format::check::check;
use crate::format::compression::{Codec, decompress};
use crate::format::record::Records;
use crate::log::Origin;
use crate::message::{Appended, Appending, OffsetQuery};
use crate::sim::{Clock, OperationKind, Simulation};
use crate::stats::ShardStats;
use crate::topics::NewTopic;
use crate::types::{Offset, PartitionId, ProducerEpoch, ProducerId, Sequence, Timestamp};
use transactions::Transactions;

/// How long tombstones stay.
const DELETE_RETENTION_MS: i64 = 3000;

#[derive(Clone)]
struct Sent {
    key: u8,
    is_tombstone: bool,
    timestamp: Timestamp,
    /// When it was given to the engine.
    sent_at: Timestamp,
    /// The transaction that it belongs to.
    transaction: Option<usize>,
}

/// Consecutive numbers, and who sent them.
#[derive(Clone)]
struct Batch {
    first: usize,
    bytes: Vec<u8>,
    producer: ProducerId,
}

#[derive(Clone)]
struct Producer {
    epoch: ProducerEpoch,
    next_sequence: Sequence,
    last: Option<(Batch, i64)>,
    /// Its transaction that is not decided.
    open: Option<usize>,
}

pub(super) struct Table {
    seed: u64,
    rng: Rng,
    simulation: Option<Simulation>,
    clock: Clock,
    partition: Option<PartitionId>,
    errors: bool,
    sent: Vec<Sent>,
    known: BTreeMap<usize, i64>,
    gone: BTreeSet<usize>,
    producers: BTreeMap<ProducerId, Producer>,
    pending: Vec<(Batch, Receiver<Result<Appended, AppendError>>)>,
    /// Whether producers have transactions.
    pub(super) is_transactional: bool,
    transactions: Transactions,
    /// What the shards have counted, all generations together.
    pub(super) stats: ShardStats,
    /// Questions in one generation.
    pub(super) questions_max: usize,
    /// Whether no more of them are asked.
    enough: Rc<Cell<bool>>,
    pub(super) images: Option<Images>,
}

impl Table {
    pub(super) fn new(seed: u64, errors: bool) -> Table {
        Table::on(Simulation::new(seed), errors)
    }

    fn on(mut simulation: Simulation, errors: bool) -> Table {
        let (seed, rng, clock) = (simulation.seed(), simulation.rng().fork(), simulation.clock());
        Table {
            seed,
            rng,
            simulation: Some(simulation),
            clock,
            partition: None,
            errors,
            sent: Vec::new(),
            known: BTreeMap::new(),
            gone: BTreeSet::new(),
            producers: BTreeMap::new(),
            pending: Vec::new(),
            is_transactional: false,
            transactions: Transactions::default(),
            stats: ShardStats::default(),
            questions_max: 250,
            enough: Rc::default(),
            images: None,
        }
    }

    /// Generation after generation; `loses_checkpoints` has bits of them rot in between.
    pub(super) fn generations(&mut self, count: usize, loses_checkpoints: bool) {
        for _ in 0..count {
            let process = self.start();
            let ending = *self.rng.choice(&[Ending::PowerLoss, Ending::Kill, Ending::Stop]).expect("three");
            if self.rng.u8(..4) > 0 {
                let disk = self.disk();
                disk.stop_after(disk.operations() + self.rng.u64(..4000));
            }
            self.work(&process, ending);
            let stats: Vec<_> =
                process.shards.iter().map(|shard| shard.stats()).chain([self.stats]).collect();
            self.stats = ShardStats::sum(&stats);
            drop(process);
            let simulation = self.simulation.take().expect("a machine is there");
            self.simulation = Some(match ending {
                Ending::PowerLoss => simulation.crash(),
                Ending::Kill | Ending::Stop => simulation.kill(),
            });
            for (batch, _) in std::mem::take(&mut self.pending) {
                self.begin_epoch(batch.producer);
            }
            self.transactions.forget_answers();
            if loses_checkpoints && self.rng.bool() {
                self.rot_checkpoints();
            }
        }
        drop(self.start());
    }

    /// A generation in which this sync of the partition's directory fails, counted from 0, and which then
    /// stops in good order; then the next start. Whether so many came.
    pub(super) fn with_failing_directory_sync(&mut self, number: u32) -> bool {
        let mut settings = Settings::small(1);
        // Indexes are written at the stop, and not before: no journal file is used twice.
        settings.journal_file_bytes_max = 1 << 20;
        settings.cleaner.backoff = Duration::from_millis(1);
        settings.topic_defaults.set_unchecked("segment.bytes", &self.rng.u64(600..4000).to_string());
        settings.topic_defaults.set_unchecked("index.interval.bytes", "0");
        let process = self.begin(&settings);
        let (left, enough) = (Cell::new(number), self.enough.clone());
        let is_it = move |path: &Path| {
            if path.ends_with("table-0") {
                enough.set(left.get() == 0);
                left.set(left.get().wrapping_sub(1));
            }
            enough.get()
        };
        process.disk.fail_next(OperationKind::SyncDir, is_it, Errno::IO);
        self.work(&process, Ending::Stop);
        self.stats = ShardStats::sum(&process.shards.iter().map(|shard| shard.stats()).collect::<Vec<_>>());
        drop(process);
        self.simulation = self.simulation.take().map(Simulation::kill);
        // Nothing fails any more, and nothing is damaged.
        self.errors = false;
        drop(self.start());
        self.enough.get()
    }

    fn disk(&self) -> crate::sim::SimDisk {
        self.simulation.as_ref().expect("a machine is there").disk()
    }

    fn rot_checkpoints(&mut self) {
        let disk = self.disk();
        for (path, bytes) in disk.list_all() {
            if path.to_str().is_some_and(|path| path.contains("/checkpoint")) && bytes > 0 {
                disk.flip(&path, self.rng.u64(..bytes), self.rng.u32(..8));
            }
        }
    }

    fn settings(&mut self) -> Settings {
        let mut settings = Settings::small(self.rng.usize(1..=2));
        settings.journal_file_bytes_max = 4096 * self.rng.u64(2..=4);
        settings.open_files_max = self.rng.usize(1..=8);
        settings.cleaner.backoff = Duration::from_millis(self.rng.u64(1..2000));
        settings.cleaner.map_bytes = *self.rng.choice(&[150, 300, 1 << 16]).expect("three");
        settings.cleaner.bytes_per_second = *self.rng.choice(&[20_000.0, f64::MAX]).expect("two");
        let defaults = &mut settings.topic_defaults;
        defaults.set_unchecked("segment.bytes", &self.rng.u64(600..4000).to_string());
        defaults.set_unchecked("index.interval.bytes", &self.rng.u64(0..500).to_string());
        settings
    }

    /// Starts the engine, perhaps after some attempts that are cut short, and compares the log with what is
    /// known.
    fn start(&mut self) -> Process {
        let settings = self.settings();
        while let Some(id) = self.partition
            && self.images.is_none()
            && self.rng.u8(..3) == 0
        {
            let disk = self.disk();
            disk.set_faults(ORDINARY);
            disk.stop_after(disk.operations() + self.rng.u64(..200));
            if let Some(process) = self.launch(&settings) {
                // The log is opened by who reads it.
                self.drive(process.read(id, Offset::ZERO, 1));
            }
            let simulation = self.simulation.take().expect("a machine is there");
            self.simulation = Some(if self.rng.bool() { simulation.crash() } else { simulation.kill() });
        }
        self.disk().set_faults(ORDINARY);
        self.begin(&settings)
    }

    fn launch(&mut self, settings: &Settings) -> Option<Process> {
        let mut simulation = self.simulation.take().expect("a machine is there");
        let started = start(&mut simulation, settings, |disk| self.look(disk));
        self.simulation = Some(simulation);
        started.map(|started| started.unwrap_or_else(|error| panic!("the engine did not start: {error}")))
    }

    fn begin(&mut self, settings: &Settings) -> Process {
        let process = self.launch(settings).expect("nothing stops it");
        assert_eq!(process.report.damaged_partitions, 0, "no crash damages a partition");
        let begun = if self.partition.is_none() { self.create(&process) } else { Some(()) };
        let begun =
            begun.and_then(|()| self.compare(&process, true)).and_then(|()| self.send_again(&process));
        let begun = begun.and_then(|()| self.decide_all(&process));
        assert!(begun.is_some(), "nothing stops it");
        process
    }

    fn create(&mut self, process: &Process) -> Option<()> {
        // Of an earlier creation that was interrupted nobody was told, and it may have come to something.
        if let Some(topic) = process.topics.get().by_name("table") {
            self.partition = topic.partition_ids().next();
            return Some(());
        }
        let configs = [
            ("cleanup.policy", "compact".to_owned()),
            ("min.cleanable.dirty.ratio", self.rng.choice([0.0, 0.3]).expect("two").to_string()),
            ("delete.retention.ms", DELETE_RETENTION_MS.to_string()),
        ];
        let configs = configs.map(|(name, value)| (name.to_owned(), value)).to_vec();
        let new = NewTopic { name: "table".to_owned(), partitions: 1, configs };
        let topic = self.drive(async { process.create_topic(new).await.await })?;
        self.partition = topic.expect("an answer").expect("it is made").partition_ids().next();
        Some(())
    }

    /// What each producer was answered last, it is answered again.
    fn send_again(&mut self, process: &Process) -> Option<()> {
        let last: Vec<_> = self.producers.values().filter_map(|producer| producer.last.clone()).collect();
        for (batch, offset) in last {
            let answer = self.send(process, &batch)?;
            let appended = self.drive(answer)?.expect("an answer").expect("it is there");
            assert!(appended.duplicate, "batch {} was appended a second time", batch.first);
            assert_eq!(appended.base_offset.get(), offset, "batch {}", batch.first);
        }
        Some(())
    }

    fn work(&mut self, process: &Process, ending: Ending) {
        let finished = self.try_work(process, ending);
        let stopped_early = process.disk.operations() >= process.disk.stop_after_count();
        assert!(finished.is_some() || stopped_early, "everything waits\n{}", process.disk.dump());
    }

    fn try_work(&mut self, process: &Process, ending: Ending) -> Option<()> {
        for _ in 0..self.rng.usize(..self.questions_max) {
            if self.enough.get() {
                break;
            }
            match self.rng.u8(..20) {
                0..=10 => self.append(process)?,
                11..=13 => {
                    self.clock.advance(Duration::from_millis(self.rng.u64(..1000)));
                    process.shards.iter().for_each(|shard| shard.tick(self.clock.timestamp()));
                }
                14..=17 => {
                    let operations = self.rng.usize(1..60);
                    self.drive(process.pass_time(operations))?;
                }
                18 if self.errors => {
                    let mut faults = ORDINARY;
                    if self.rng.bool() {
                        faults.write_error = 0.02 * self.rng.f64();
                        faults.sync_error = 0.05 * self.rng.f64();
                    }
                    process.disk.set_faults(faults);
                }
                _ => self.compare(process, false)?,
            }
            if self.is_transactional {
                self.begin_or_end(process)?;
            }
        }
        process.disk.set_faults(ORDINARY);
        if ending == Ending::Stop {
            let stopped = self.drive(process.stop())?;
            assert!(self.errors || stopped.is_ok(), "a clean stop: {stopped:?}");
        }
        Some(())
    }

    // ---- append -------------------------------------------------------------------------------------------

    fn append(&mut self, process: &Process) -> Option<()> {
        let id = ProducerId(self.rng.i64(1..4));
        // One batch at a time: the one before has settled.
        if self.is_waiting(id) {
            return Some(());
        }
        let (epoch, next_sequence) = (ProducerEpoch::FIRST, Sequence::FIRST);
        let fresh = Producer { epoch, next_sequence, last: None, open: None };
        let producer = self.producers.entry(id).or_insert(fresh);
        let codec = *self.rng.choice(&Codec::ALL).expect("five");
        let mut builder = BatchBuilder::new(codec).producer(id, producer.epoch, producer.next_sequence);
        let transaction = producer.open;
        builder = builder.transactional(transaction.is_some());
        let first = self.sent.len();
        for _ in 0..self.rng.usize(1..5) {
            let (key, timestamp) = (self.rng.u8(..8), self.clock.timestamp().plus(self.rng.i64(-500..500)));
            let value = (self.rng.u8(..4) > 0).then(|| vec![b'v'; self.rng.usize(..200)]);
            let number = (self.sent.len() as u64).to_le_bytes();
            builder.push(timestamp, Some(&[key]), value.as_deref(), &[("number", Some(&number))]);
            let sent_at = self.clock.timestamp();
            self.sent.push(Sent { key, is_tombstone: value.is_none(), timestamp, sent_at, transaction });
        }
        producer.next_sequence = producer.next_sequence.plus(builder.len() as i32);
        let batch = Batch { first, bytes: builder.build().to_vec(), producer: id };
        let answer = self.send(process, &batch)?;
        self.pending.push((batch, answer));
        Some(())
    }

    fn send(&mut self, process: &Process, batch: &Batch) -> Option<Receiver<Result<Appended, AppendError>>> {
        let id = self.partition.expect("it was made");
        let topics = process.topics.get();
        let config = &topics.by_id(id.topic).expect("it is there").config;
        let rules = config.check_rules(self.clock.timestamp());
        let checked = check(batch.bytes[..].into(), &rules).expect("the batch keeps the rules");
        let origin = match checked.header().is_transactional() {
            true => self.origin(process, checked.header())?,
            false => Origin::Client,
        };
        self.drive(process.owner(id).append(id, Appending::Batch(checked, origin)))
    }

    /// Nobody knows what became of the producer's last batch.
    fn begin_epoch(&mut self, id: ProducerId) {
        let producer = self.producers.get_mut(&id).expect("it has sent");
        let epoch = ProducerEpoch(producer.epoch.0 + 1);
        let open = producer.open;
        *producer = Producer { epoch, next_sequence: Sequence::FIRST, last: None, open };
    }

    fn know(&mut self, number: usize, offset: i64) {
        let known = *self.known.entry(number).or_insert(offset);
        assert_eq!(known, offset, "record {number} is found at a second offset");
    }

    // ---- read ---------------------------------------------------------------------------------------------

    /// Reads the whole log. When `quiet`, nothing is compacted meanwhile.
    fn compare(&mut self, process: &Process, quiet: bool) -> Option<()> {
        let known_before: Vec<_> = self.known.keys().copied().collect();
        let Some(found) = self.read_whole(process, quiet)? else { return Some(()) };
        for (number, offset) in &found {
            assert!(!self.gone.contains(number), "record {number} has come back at {offset}");
            self.know(*number, *offset);
        }
        // What was aborted neither stays nor removes anything.
        let counts = |number: usize, key: u8| self.sent[number].key == key && !self.is_aborted(number);
        let newest_found = |key: u8| {
            let of_key = found.iter().filter(|(number, _)| counts(**number, key));
            of_key.map(|(_, offset)| *offset).max()
        };
        let oldest_found = |key: u8| {
            let of_key = found.iter().filter(|(number, _)| counts(**number, key));
            of_key.map(|(_, offset)| *offset).min()
        };
        let mut gone = Vec::new();
        for number in known_before.into_iter().filter(|number| !found.contains_key(number)) {
            if self.is_aborted(number) {
                gone.push(number);
                continue;
            }
            let Sent { key, is_tombstone, sent_at, .. } = self.sent[number];
            let offset = self.known[&number];
            let has_newer = newest_found(key).is_some_and(|newest| newest > offset);
            // A tombstone that was newest may go, and so may what it has deleted.
            let now = self.clock.timestamp();
            let deleted = self.known.iter().any(|(other, at)| {
                let counts = !self.is_aborted(*other);
                let other = &self.sent[*other];
                counts
                    && other.key == key
                    && *at >= offset
                    && other.is_tombstone
                    && now >= other.sent_at.plus(DELETE_RETENTION_MS)
            });
            assert!(
                has_newer || deleted,
                "record {number} of key {key} at {offset} is lost: tombstone {is_tombstone}, sent at {sent_at}, {now} now"
            );
            let alone = oldest_found(key).is_some_and(|oldest| oldest < offset);
            assert!(!quiet || !alone, "key {key}: {offset} is gone, and an older record is there");
            gone.push(number);
        }
        self.gone.extend(gone);
        match self.is_transactional {
            true => self.compare_committed(process, &found, quiet),
            false => Some(()),
        }
    }

    /// The numbers of all records, with their offsets; `None` where a disk that fails is to blame.
    fn read_whole(&mut self, process: &Process, quiet: bool) -> Option<Option<BTreeMap<usize, i64>>> {
        let id = self.partition.expect("it was made");
        let bytes_max = self.rng.u64(1..5000);
        let mut found = BTreeMap::new();
        let mut next = Offset::ZERO;
        loop {
            let (result, bytes) = match self.drive(process.read(id, next, bytes_max))? {
                Ok(read) => read,
                Err(ReadError::Faulty { .. }) if self.errors => return Some(None),
                Err(error) => panic!("offset {next}: {error}"),
            };
            if bytes.is_empty() {
                assert_eq!(result.high_watermark, next, "a read before the end finds something");
                break;
            }
            let mut batches = Batches::new(&bytes);
            let mut is_first = true;
            for batch in &mut batches {
                let (header, batch) = batch.expect("a batch");
                verify_crc(batch).expect("an intact batch");
                assert!(header.base_offset() >= next || is_first, "offsets only grow");
                assert!(header.last_offset() >= next, "a batch behind the offset asked for");
                self.take_batch(header, batch, next, &mut found);
                next = header.next_offset();
                is_first = false;
            }
            assert_eq!(batches.consumed(), bytes.len(), "what is read is whole batches");
        }
        self.compare_times(process, &found, quiet)?;
        Some(Some(found))
    }

    /// Notes a batch's records from `next` on: like every client, since a batch may begin before the offset
    /// that was asked for. Compaction may just have stretched it over that.
    fn take_batch(&self, header: &BatchHeader, batch: &[u8], next: Offset, found: &mut BTreeMap<usize, i64>) {
        if header.is_control() {
            return;
        }
        let records = decompress(header.codec().expect("a codec"), &batch[BATCH_HEADER_BYTES..], 1 << 20);
        let records = records.expect("what can be unpacked");
        for record in Records::new(&records, header.record_count() as u32) {
            let record = record.expect("a record");
            let offset = header.base_offset().get() + i64::from(record.offset_delta);
            if offset < next.get() {
                continue;
            }
            let number = record.headers.into_iter().next().expect("a header").expect("a good one").1;
            let number = u64::from_le_bytes(number.expect("a number").try_into().expect("8 bytes")) as usize;
            let sent = &self.sent[number];
            assert_eq!(record.key, Some(&[sent.key][..]), "record {number}");
            assert_eq!(record.value.is_none(), sent.is_tombstone, "record {number}");
            assert_eq!(
                header.base_timestamp().with_delta(record.timestamp_delta),
                sent.timestamp,
                "record {number}"
            );
            assert_eq!(found.insert(number, offset), None, "record {number} is there twice");
        }
    }

    /// Some record has the largest timestamp; when `quiet`, one of those that were found.
    fn compare_times(&mut self, process: &Process, found: &BTreeMap<usize, i64>, quiet: bool) -> Option<()> {
        let id = self.partition.expect("it was made");
        let largest = found.keys().map(|number| self.sent[*number].timestamp).max();
        let answer = match self.drive(process.owner(id).find_offset(id, OffsetQuery::MaxTimestamp, None))? {
            Ok(answer) => answer,
            Err(error) => {
                assert!(self.errors, "{error}");
                return Some(());
            }
        };
        assert!(largest.is_none() || answer.is_some(), "there is a record, so one has the largest timestamp");
        // It may be that of a marker.
        let is_exact = quiet && !self.is_transactional;
        assert!(!is_exact || answer.map(|found| found.timestamp) == largest, "{answer:?}, not {largest:?}");
        Some(())
    }
}

impl Subject for Table {
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
        let mut fork = Table {
            partition: self.partition,
            sent: self.sent.clone(),
            known: self.known.clone(),
            gone: self.gone.clone(),
            producers: self.producers.clone(),
            is_transactional: self.is_transactional,
            transactions: self.transactions.without_answers(),
            images: image.images,
            ..Table::on(machine, self.errors)
        };
        for (batch, _) in &self.pending {
            fork.begin_epoch(batch.producer);
        }
        let settings = fork.settings();
        let process = fork.begin(&settings);
        if image.lives {
            let appended = fork.append(&process).and_then(|()| fork.compare(&process, false));
            assert!(appended.is_some(), "nothing stops it");
        }
    }

    fn harvest(&mut self) {
        self.take_ends();
        for (batch, mut answer) in std::mem::take(&mut self.pending) {
            match answer.try_recv() {
                Ok(None) => self.pending.push((batch, answer)),
                Ok(Some(Ok(appended))) => {
                    let offset = appended.base_offset.get();
                    let header = *BatchHeader::peek(&batch.bytes).expect("a batch");
                    for at in 0..header.record_count() as usize {
                        self.know(batch.first + at, offset + at as i64);
                    }
                    let producer = self.producers.get_mut(&batch.producer).expect("it has sent");
                    producer.last = Some((batch, offset));
                }
                Ok(Some(Err(AppendError::Stopping))) | Err(_) => self.begin_epoch(batch.producer),
                Ok(Some(Err(error))) => {
                    assert!(self.errors, "nothing has failed, but: {error}");
                    self.begin_epoch(batch.producer);
                }
            }
        }
    }
}

/// Behind some of them a swap of compacted segments is committed: the log is the new one, memory has the old.
#[test]
fn d3_any_one_sync_of_the_directory_may_fail_while_a_log_is_compacted() {
    let rounds = Cell::new(0);
    for_seeds("d3_any_one_sync_of_the_directory_may_fail_while_a_log_is_compacted", 0..40, |seed| {
        for number in 0.. {
            let mut table = Table::new(seed, true);
            table.questions_max = 300;
            let failed = table.with_failing_directory_sync(number);
            rounds.set(rounds.get() + table.stats.compactions);
            if !failed {
                break;
            }
        }
    });
    assert!(rounds.get() > 0, "nothing was ever compacted");
}
