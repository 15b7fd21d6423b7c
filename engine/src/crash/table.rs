//! A compacted topic on a machine that crashes: what was written last stays, and nothing that was gone comes back.
//!
//! Every record has a number in a header, a key of few, and a value or none. What is *known* of a record is its offset: from an answer, or
//! from a read. A read of the whole log is held against that:
//!
//! * what is found was sent, once, and lies where it is known to lie;
//! * what was missing once is missing for ever;
//! * of each key the newest known record is there, unless it is a tombstone that is old enough;
//! * of two records of a key the older one is not there without the newer one, unless that came between the two while the log was read.
//!
//! A producer that sends again what was acknowledged last is answered with the same offset, whatever was compacted.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use fastrand::Rng;
use futures_channel::oneshot::Receiver;

use super::machine::{Process, Settings, start};
use super::plan::Ending;
use crate::error::{AppendError, ReadError};
use crate::format::batch::{BATCH_HEADER_BYTES, BatchHeader, Batches, verify_crc};
use crate::format::builder::BatchBuilder;
use crate::format::check::check;
use crate::format::compression::{Codec, decompress};
use crate::format::record::Records;
use crate::shard::{Appended, OffsetQuery, ShardStats};
use crate::sim::{Clock, Faults, Simulation};
use crate::topics::NewTopic;
use crate::types::{Offset, PartitionId, Timestamp};

/// How long tombstones stay.
const DELETE_RETENTION_MS: i64 = 3000;

struct Sent {
    key: u8,
    is_tombstone: bool,
    timestamp: Timestamp,
    /// When it was given to the engine.
    sent_at: Timestamp,
}

/// Consecutive numbers, and who sent them.
#[derive(Clone)]
struct Batch {
    first: usize,
    bytes: Vec<u8>,
    producer: i64,
}

struct Producer {
    epoch: i16,
    next_sequence: i32,
    last: Option<(Batch, i64)>,
}

pub(super) struct Table {
    rng: Rng,
    simulation: Option<Simulation>,
    clock: Clock,
    partition: Option<PartitionId>,
    errors: bool,
    sent: Vec<Sent>,
    known: BTreeMap<usize, i64>,
    gone: BTreeSet<usize>,
    producers: BTreeMap<i64, Producer>,
    pending: Vec<(Batch, Receiver<Result<Appended, AppendError>>)>,
    /// What the shards have counted, all generations together.
    pub(super) stats: ShardStats,
}

impl Table {
    pub(super) fn new(seed: u64, errors: bool) -> Table {
        let mut simulation = Simulation::new(seed);
        let rng = simulation.rng().fork();
        let clock = simulation.clock();
        Table {
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
            stats: ShardStats::default(),
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
            if loses_checkpoints && self.rng.bool() {
                self.rot_checkpoints();
            }
        }
        drop(self.start());
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

    /// Starts the engine, perhaps after some attempts that are cut short, and compares the log with what is known.
    fn start(&mut self) -> Process {
        let settings = self.settings();
        let mut simulation = self.simulation.take().expect("a machine is there");
        simulation.disk().set_faults(Faults { delay: 0.2, ..Faults::NONE });
        while let Some(id) = self.partition
            && self.rng.u8(..3) == 0
        {
            simulation.disk().stop_after(simulation.disk().operations() + self.rng.u64(..200));
            if let Some(process) = start(&mut simulation, &settings, |_| {}) {
                let process = process.unwrap_or_else(|error| panic!("the engine did not start: {error}"));
                // The log is opened by who reads it.
                simulation.try_run_until(process.read(id, Offset::ZERO, 1));
            }
            simulation = if self.rng.bool() { simulation.crash() } else { simulation.kill() };
            simulation.disk().set_faults(Faults { delay: 0.2, ..Faults::NONE });
        }
        self.clock = simulation.clock();
        let process = start(&mut simulation, &settings, |_| {}).expect("nothing stops it");
        let process = process.unwrap_or_else(|error| panic!("the engine did not start: {error}"));
        assert_eq!(process.report.damaged_partitions, 0, "no crash damages a partition");
        simulation.run_until(async {
            if self.partition.is_none() {
                let configs = [
                    ("cleanup.policy", "compact".to_owned()),
                    ("min.cleanable.dirty.ratio", self.rng.choice([0.0, 0.3]).expect("two").to_string()),
                    ("delete.retention.ms", DELETE_RETENTION_MS.to_string()),
                ];
                let configs = configs.map(|(name, value)| (name.to_owned(), value)).to_vec();
                let new = NewTopic { name: "table".to_owned(), partitions: 1, configs };
                let topic = process.create_topic(new).await.await.expect("an answer").expect("it is made");
                self.partition = topic.partition_ids().next();
            }
            self.compare(&process, true).await;
            self.send_again(&process).await;
        });
        self.simulation = Some(simulation);
        process
    }

    /// What each producer was answered last, it is answered again.
    async fn send_again(&mut self, process: &Process) {
        let last: Vec<_> = self.producers.values().filter_map(|producer| producer.last.clone()).collect();
        for (batch, offset) in last {
            let appended = self.send(process, &batch).await.await.expect("an answer").expect("it is there");
            assert!(appended.duplicate, "batch {} was appended a second time", batch.first);
            assert_eq!(appended.base_offset.get(), offset, "batch {}", batch.first);
        }
    }

    fn work(&mut self, process: &Process, ending: Ending) {
        let mut simulation = self.simulation.take().expect("a machine is there");
        let finished = simulation.try_run_until(async {
            for _ in 0..self.rng.usize(..250) {
                match self.rng.u8(..20) {
                    0..=10 => self.append(process).await,
                    11..=13 => {
                        self.clock.advance(Duration::from_millis(self.rng.u64(..1000)));
                        process.shards.iter().for_each(|shard| shard.tick(self.clock.timestamp()));
                    }
                    14..=17 => process.pass_time(self.rng.usize(1..60)).await,
                    18 if self.errors => {
                        let mut faults = Faults { delay: 0.2, ..Faults::NONE };
                        if self.rng.bool() {
                            faults.write_error = 0.02 * self.rng.f64();
                            faults.sync_error = 0.05 * self.rng.f64();
                        }
                        process.disk.set_faults(faults);
                    }
                    _ => self.compare(process, false).await,
                }
                self.harvest();
            }
            process.disk.set_faults(Faults { delay: 0.2, ..Faults::NONE });
            if ending == Ending::Stop {
                let stopped = process.stop().await;
                assert!(self.errors || stopped.is_ok(), "a clean stop: {stopped:?}");
            }
        });
        let stopped_early = process.disk.operations() >= process.disk.stop_after_count();
        assert!(finished.is_some() || stopped_early, "everything waits\n{}", process.disk.dump());
        self.harvest();
        self.simulation = Some(simulation);
    }

    // ---- append ----------------------------------------------------------------------------------------------------------

    async fn append(&mut self, process: &Process) {
        let id = self.rng.i64(1..4);
        // One batch at a time: the one before has settled.
        if self.pending.iter().any(|(batch, _)| batch.producer == id) {
            return;
        }
        let fresh = Producer { epoch: 0, next_sequence: 0, last: None };
        let producer = self.producers.entry(id).or_insert(fresh);
        let codec = *self.rng.choice(&Codec::ALL).expect("five");
        let mut builder = BatchBuilder::new(codec).producer(id, producer.epoch, producer.next_sequence);
        let first = self.sent.len();
        for _ in 0..self.rng.usize(1..5) {
            let (key, timestamp) = (self.rng.u8(..8), self.clock.timestamp() + self.rng.i64(-500..500));
            let value = (self.rng.u8(..4) > 0).then(|| vec![b'v'; self.rng.usize(..200)]);
            let number = (self.sent.len() as u64).to_le_bytes();
            builder.push(timestamp, Some(&[key]), value.as_deref(), &[("number", Some(&number))]);
            let sent_at = self.clock.timestamp();
            self.sent.push(Sent { key, is_tombstone: value.is_none(), timestamp, sent_at });
        }
        producer.next_sequence += builder.len() as i32;
        let batch = Batch { first, bytes: builder.build().to_vec(), producer: id };
        let answer = self.send(process, &batch).await;
        self.pending.push((batch, answer));
    }

    async fn send(&self, process: &Process, batch: &Batch) -> Receiver<Result<Appended, AppendError>> {
        let id = self.partition.expect("it was made");
        let topics = process.topics.get();
        let config = &topics.by_id(id.topic).expect("it is there").config;
        let rules = config.check_rules(self.clock.timestamp());
        let checked = check(batch.bytes[..].into(), &rules).expect("the batch keeps the rules");
        process.owner(id).append(id, checked).await
    }

    fn harvest(&mut self) {
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

    /// Nobody knows what became of the producer's last batch.
    fn begin_epoch(&mut self, id: i64) {
        let producer = self.producers.get_mut(&id).expect("it has sent");
        *producer = Producer { epoch: producer.epoch + 1, next_sequence: 0, last: None };
    }

    fn know(&mut self, number: usize, offset: i64) {
        let known = *self.known.entry(number).or_insert(offset);
        assert_eq!(known, offset, "record {number} is found at a second offset");
    }

    // ---- read ------------------------------------------------------------------------------------------------------------

    /// Reads the whole log. When `quiet`, nothing is compacted meanwhile.
    async fn compare(&mut self, process: &Process, quiet: bool) {
        let known_before: Vec<_> = self.known.keys().copied().collect();
        let Some(found) = self.read_whole(process, quiet).await else { return };
        for (number, offset) in &found {
            assert!(!self.gone.contains(number), "record {number} has come back at {offset}");
            self.know(*number, *offset);
        }
        let newest_found = |key: u8| {
            let of_key = found.iter().filter(|(number, _)| self.sent[**number].key == key);
            of_key.map(|(_, offset)| *offset).max()
        };
        let oldest_found = |key: u8| {
            let of_key = found.iter().filter(|(number, _)| self.sent[**number].key == key);
            of_key.map(|(_, offset)| *offset).min()
        };
        let mut gone = Vec::new();
        for number in known_before.into_iter().filter(|number| !found.contains_key(number)) {
            let Sent { key, is_tombstone, sent_at, .. } = self.sent[number];
            let offset = self.known[&number];
            let has_newer = newest_found(key).is_some_and(|newest| newest > offset);
            // A tombstone that was newest may go, and so may what it has deleted.
            let now = self.clock.timestamp();
            let deleted = self.known.iter().any(|(other, at)| {
                let other = &self.sent[*other];
                other.key == key
                    && *at >= offset
                    && other.is_tombstone
                    && now >= other.sent_at + DELETE_RETENTION_MS
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
    }

    /// The numbers of all records, with their offsets; `None` where a disk that fails is to blame.
    async fn read_whole(&mut self, process: &Process, quiet: bool) -> Option<BTreeMap<usize, i64>> {
        let id = self.partition.expect("it was made");
        let bytes_max = self.rng.u64(1..5000);
        let mut found = BTreeMap::new();
        let mut next = Offset::ZERO;
        loop {
            let (result, bytes) = match process.read(id, next, bytes_max).await {
                Ok(read) => read,
                Err(ReadError::Faulty { .. }) if self.errors => return None,
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
                self.take_batch(header, batch, &mut found);
                next = header.next_offset();
                is_first = false;
            }
            assert_eq!(batches.consumed(), bytes.len(), "what is read is whole batches");
        }
        self.compare_times(process, &found, quiet).await;
        Some(found)
    }

    fn take_batch(&self, header: &BatchHeader, batch: &[u8], found: &mut BTreeMap<usize, i64>) {
        let records = decompress(header.codec().expect("a codec"), &batch[BATCH_HEADER_BYTES..], 1 << 20);
        let records = records.expect("what can be unpacked");
        for record in Records::new(&records, header.record_count() as u32) {
            let record = record.expect("a record");
            let offset = header.base_offset().get() + i64::from(record.offset_delta);
            let number = record.headers.into_iter().next().expect("a header").expect("a good one").1;
            let number = u64::from_le_bytes(number.expect("a number").try_into().expect("8 bytes")) as usize;
            let sent = &self.sent[number];
            assert_eq!(record.key, Some(&[sent.key][..]), "record {number}");
            assert_eq!(record.value.is_none(), sent.is_tombstone, "record {number}");
            assert_eq!(header.base_timestamp() + record.timestamp_delta, sent.timestamp, "record {number}");
            assert_eq!(found.insert(number, offset), None, "record {number} is there twice");
        }
    }

    /// Some record has the largest timestamp; when `quiet`, one of those that were found.
    async fn compare_times(&self, process: &Process, found: &BTreeMap<usize, i64>, quiet: bool) {
        let id = self.partition.expect("it was made");
        let largest = found.keys().map(|number| self.sent[*number].timestamp).max();
        let answer = match process.owner(id).find_offset(id, OffsetQuery::MaxTimestamp).await {
            Ok(answer) => answer,
            Err(error) => return assert!(self.errors, "{error}"),
        };
        assert!(largest.is_none() || answer.is_some(), "there is a record, so one has the largest timestamp");
        assert!(!quiet || answer.map(|found| found.timestamp) == largest, "{answer:?}, not {largest:?}");
    }
}
