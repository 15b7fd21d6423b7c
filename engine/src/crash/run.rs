//! Several generations of a process on one machine: what it is asked, how it ends, and what it must know when it comes back.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fastrand::Rng;
use futures_channel::oneshot::Receiver;

use super::machine::{DATA_DIR, Process, Settings, start};
use super::model::{BatchNumber, Model, Sent};
use crate::config::{TopicConfig, TopicDefaults};
use crate::error::{AppendError, DeleteRecordsError, ReadError, TopicError};
use crate::format::builder::BatchBuilder;
use crate::format::check::check;
use crate::format::compression::Codec;
use crate::format::names;
use crate::partition::WakeOnce;
use crate::shard::{Appended, DeleteBefore, OffsetQuery};
use crate::sim::{Clock, Faults, Simulation};
use crate::topics::{ConfigChange, NewTopic, Topic};
use crate::types::{Offset, PartitionId, Timestamp, TopicId};

/// Names are few, so that a topic is often made again under the name of a deleted one.
const NAMES: [&str; 4] = ["orders", "clicks", "audit", "relaxed"];

/// Operations of the disk after which an answer that is still missing never comes.
const PATIENCE: usize = 20_000;

/// What may go wrong besides the end of the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Trouble {
    /// Writes and syncs fail now and then.
    pub(super) errors: bool,
    /// The disk is full now and then.
    pub(super) full: bool,
}

/// How a process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    PowerLoss,
    Kill,
    Stop,
}

type Answer<T> = Receiver<Result<T, TopicError>>;

/// A machine, what runs on it, and what that must know.
pub(super) struct Run {
    pub(super) rng: Rng,
    pub(super) simulation: Option<Simulation>,
    pub(super) model: Model,
    topics: Vec<TopicState>,
    producers: BTreeMap<(PartitionId, i64), ProducerModel>,
    producer_ids: BTreeSet<i64>,
    appends: Vec<PendingAppend>,
    creates: Vec<(String, Answer<Arc<Topic>>)>,
    deletes: Vec<(TopicId, Answer<()>)>,
    changes: Vec<(TopicId, Answer<Arc<Topic>>)>,
    deletions: Vec<PendingDeletion>,
    allocations: Vec<Answer<i64>>,
    clock: Clock,
    trouble: Trouble,
    /// Whether there was trouble since the start.
    errors_seen: bool,
    full_seen: bool,
    stopping: bool,
    pub(super) acknowledged: usize,
}

struct TopicState {
    name: String,
    /// Not known while its creation is under way.
    id: Option<TopicId>,
    partitions: u32,
    configs: Vec<(String, String)>,
    /// What it was asked to have instead; there or not.
    changing: Option<(u32, Vec<(String, String)>)>,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Asked for; there or not.
    Creating,
    There,
    /// Asked to go; there or not.
    Deleting,
    Gone,
}

struct ProducerModel {
    epoch: i16,
    next_sequence: i32,
    /// The batches of this epoch.
    batches: Vec<BatchNumber>,
    /// One of them was refused, or its answer was lost: the producer starts a new epoch.
    uncertain: bool,
}

struct PendingAppend {
    number: BatchNumber,
    /// The offset that it must be answered with, when it was sent again and is known.
    expected: Option<i64>,
    answer: Receiver<Result<Appended, AppendError>>,
}

struct PendingDeletion {
    partition: PartitionId,
    /// Where the log starts at least, once it is done.
    least: i64,
    answer: Receiver<Result<Offset, DeleteRecordsError>>,
}

impl Run {
    pub(super) fn new(seed: u64, trouble: Trouble) -> Run {
        let mut simulation = Simulation::new(seed);
        let rng = simulation.rng().fork();
        let clock = simulation.clock();
        Run {
            rng,
            simulation: Some(simulation),
            model: Model::default(),
            topics: Vec::new(),
            producers: BTreeMap::new(),
            producer_ids: BTreeSet::new(),
            appends: Vec::new(),
            creates: Vec::new(),
            deletes: Vec::new(),
            changes: Vec::new(),
            deletions: Vec::new(),
            allocations: Vec::new(),
            clock,
            trouble,
            errors_seen: false,
            full_seen: false,
            stopping: false,
            acknowledged: 0,
        }
    }

    /// Generation after generation, each with other settings.
    pub(super) fn generations(&mut self, count: usize) {
        for _ in 0..count {
            let settings = Settings::random(&mut self.rng);
            let Some(process) = self.start(&settings) else { continue };
            let ending = match self.rng.u8(..10) {
                0..=4 => Ending::PowerLoss,
                5..=7 => Ending::Kill,
                _ => Ending::Stop,
            };
            if ending != Ending::Stop || self.rng.bool() {
                let operations = self.rng.u64(..3000);
                self.disk().stop_after(self.disk().operations() + operations);
            }
            let work = self.rng.usize(..150);
            self.work(&process, work, ending);
            drop(process);
            self.end(ending);
        }
        let process = self.start(&Settings::small(2)).expect("nothing stops the last start");
        drop(process);
    }

    pub(super) fn disk(&self) -> crate::sim::SimDisk {
        self.simulation.as_ref().expect("a machine is there").disk()
    }

    /// Starts the engine, perhaps after some attempts that are cut short, and compares all it has with the model.
    pub(super) fn start(&mut self, settings: &Settings) -> Option<Process> {
        let mut simulation = self.simulation.take().expect("a machine is there");
        self.clock = simulation.clock();
        simulation.disk().set_capacity(None);
        while self.rng.u8(..4) == 0 {
            let operations = self.rng.u64(..200);
            simulation.disk().set_faults(Faults { delay: 0.2, ..Faults::NONE });
            simulation.disk().stop_after(simulation.disk().operations() + operations);
            let started = start(&mut simulation, settings);
            if let Some(Err(error)) = &started {
                panic!("the engine did not start: {error}");
            }
            drop(started);
            simulation = match self.rng.bool() {
                true => {
                    self.model.lose_power();
                    simulation.crash()
                }
                false => simulation.kill(),
            };
        }
        simulation.disk().set_faults(Faults { delay: 0.2, ..Faults::NONE });
        let process = match start(&mut simulation, settings).expect("nothing stops it") {
            Ok(process) => process,
            Err(error) => panic!("the engine did not start: {error}\n{}", simulation.disk().dump()),
        };
        assert_eq!(process.report.damaged_partitions, 0, "no crash damages a partition");
        (self.errors_seen, self.full_seen, self.stopping) = (false, false, false);
        self.compare_topics(&process);
        simulation.run_until(self.compare_all(&process));
        self.simulation = Some(simulation);
        Some(process)
    }

    /// Topics that were acknowledged are there, deleted ones are not, and nothing of them is on the disk.
    fn compare_topics(&mut self, process: &Process) {
        let table = process.topics.get();
        for topic in &mut self.topics {
            let there = match topic.id {
                Some(id) => table.by_id(id).is_some(),
                None => table.by_name(&topic.name).is_some(),
            };
            match (topic.stage, there) {
                (Stage::There, false) => panic!("topic {} is lost", topic.name),
                (Stage::Gone, true) => panic!("topic {} has come back", topic.name),
                (Stage::Creating, true) => topic.id = Some(table.by_name(&topic.name).expect("found").id),
                _ => {}
            }
            topic.stage = if there { Stage::There } else { Stage::Gone };
            let found = topic.id.and_then(|id| table.by_id(id));
            if let Some(found) = found {
                let is = (found.partitions, found.own_configs.clone());
                let known = is == (topic.partitions, topic.configs.clone());
                assert!(
                    known || topic.changing.as_ref() == Some(&is),
                    "{}: {is:?}, not {:?}",
                    topic.name,
                    topic.configs
                );
                (topic.partitions, topic.configs) = is;
                topic.changing = None;
            }
            for id in (0..topic.partitions).filter_map(|index| Some(PartitionId::new(topic.id?, index))) {
                let Some(found) = found else {
                    self.model.partitions.remove(&id);
                    continue;
                };
                match self.model.partitions.get_mut(&id) {
                    None => self.model.add_partition(id, &found.config),
                    Some(partition) => {
                        partition.durable = found.config.is_durable();
                        partition.limits.push(found.config.limits());
                    }
                }
            }
        }
        self.topics.retain(|topic| topic.stage == Stage::There);
        assert_eq!(table.len(), self.topics.len(), "there are no other topics");
        for (path, _) in self.disk_of(process).list_all() {
            let directory = path.parent().and_then(|parent| parent.file_name()?.to_str()).unwrap_or_default();
            if path.starts_with(DATA_DIR)
                && let Some((topic, index)) = names::parse_partition_dir(directory)
            {
                let claimed = table.by_name(topic).is_some_and(|topic| index < topic.partitions);
                assert!(claimed, "{} belongs to no topic", path.display());
            }
        }
    }

    fn disk_of(&self, process: &Process) -> crate::sim::SimDisk {
        process.disk.clone()
    }

    // ---- one step after the other, for tests of one property --------------------------------------------------------------

    pub(super) fn create_now(&mut self, process: &Process, name: &str, partitions: u32) -> Vec<PartitionId> {
        let stage = Stage::Creating;
        let configs = Vec::new();
        self.topics.push(TopicState {
            name: name.to_owned(),
            id: None,
            partitions,
            configs,
            changing: None,
            stage,
        });
        let new = NewTopic { name: name.to_owned(), partitions, configs: Vec::new() };
        let mut simulation = self.simulation.take().expect("a machine is there");
        let made = simulation.run_until(async { process.create_topic(new).await.await });
        self.simulation = Some(simulation);
        let topic = made.expect("it was answered").expect("the topic is made");
        self.note_created(name, &topic);
        topic.partition_ids().collect()
    }

    /// Appends a batch and waits for the answer.
    pub(super) fn append_now(&mut self, process: &Process, id: PartitionId) -> Result<Appended, AppendError> {
        let number = self.new_batch(id, 2, 100, None);
        let mut simulation = self.simulation.take().expect("a machine is there");
        let answer = simulation.run_until(async {
            self.send(process, number, None).await;
            self.appends.pop().expect("it was sent").answer.await.expect("it is answered")
        });
        self.simulation = Some(simulation);
        if let Ok(appended) = &answer {
            self.model.know(id, appended.base_offset.get(), number, "was acknowledged");
        }
        answer
    }

    /// Reads a partition whole: all that was acknowledged is there.
    pub(super) fn read_now(&mut self, process: &Process, id: PartitionId) {
        let mut simulation = self.simulation.take().expect("a machine is there");
        let (start, log) = simulation.run_until(self.read_whole(process, id));
        self.model.see_start(id, start, self.clock.timestamp());
        self.model.compare(id, &log);
        self.simulation = Some(simulation);
    }

    /// Lets a minute pass, and the background do what it does then.
    pub(super) fn retain_now(&mut self, process: &Process) {
        self.clock.advance(Duration::from_secs(60));
        process.shards.iter().for_each(|shard| shard.tick(self.clock.timestamp()));
        self.simulation.as_mut().expect("a machine is there").run_until_quiet();
    }

    pub(super) fn log_start_now(&mut self, process: &Process, id: PartitionId) -> i64 {
        let simulation = self.simulation.as_mut().expect("a machine is there");
        let found = simulation.run_until(process.owner(id).find_offset(id, OffsetQuery::Earliest));
        let start = found.expect("the log can be read").expect("it has a start").offset;
        self.model.see_start(id, start, self.clock.timestamp());
        start.get()
    }

    /// Deletes all records of a partition.
    pub(super) fn delete_now(
        &mut self,
        process: &Process,
        id: PartitionId,
    ) -> Result<Offset, DeleteRecordsError> {
        self.model.partitions.get_mut(&id).expect("it is there").asked = i64::MAX;
        let simulation = self.simulation.as_mut().expect("a machine is there");
        simulation.run_until(process.owner(id).delete_records(id, DeleteBefore::HighWatermark))
    }

    pub(super) fn note_full(&mut self) {
        self.full_seen = true;
    }

    /// Starts on a disk with a rotten bit. What is read without an error was sent, and stands where it was; what is missing was reported,
    /// or is the last of its partition.
    pub(super) fn start_damaged(&mut self, settings: &Settings) {
        let mut simulation = self.simulation.take().expect("a machine is there");
        let Ok(process) = start(&mut simulation, settings).expect("nothing stops it") else { return };
        let ids: Vec<_> = self.model.partitions.keys().copied().collect();
        for id in ids.into_iter().filter(|id| process.topics.get().holds(*id)) {
            let end = self.model.end(id);
            let mut at = 0;
            while at < end {
                let read = simulation.run_until(process.read(id, Offset::new(at), 1));
                // What stands behind the damage is read on.
                if let Ok((_, bytes)) = read {
                    if bytes.is_empty() {
                        break;
                    }
                    self.model.note_read(id, Offset::new(at), &bytes);
                }
                at += 2;
            }
        }
    }

    async fn compare_all(&mut self, process: &Process) {
        let ids: Vec<_> = self.model.partitions.keys().copied().collect();
        for id in ids {
            let (start, log) = self.read_whole(process, id).await;
            self.model.see_start(id, start, self.clock.timestamp());
            self.model.compare(id, &log);
            self.compare_times(process, id).await;
            self.compare_files(process, id, start);
            let config = process.topics.get().by_id(id.topic).expect("it is there").config.clone();
            let partition = self.model.partitions.get_mut(&id).expect("it was just compared");
            partition.limits = vec![config.limits()];
            partition.asked = start.get();
        }
    }

    /// What was deleted does not take up room.
    fn compare_files(&self, process: &Process, id: PartitionId, start: Offset) {
        let topics = process.topics.get();
        let name = &topics.by_id(id.topic).expect("it is there").name;
        let directory = Path::new(DATA_DIR).join(names::partition_dir(name, id.index));
        let mut bases: Vec<_> = (self.disk_of(process).list_all().iter())
            .filter(|(path, _)| path.parent() == Some(&directory))
            .filter_map(|(path, _)| Some(names::parse_segment(path.file_name()?.to_str()?)?.0))
            .collect();
        bases.sort();
        bases.dedup();
        // The log may start where the segment ends that the recovery point lies in.
        assert!(
            bases.get(2).is_none_or(|third| *third > start),
            "{id}: {bases:?} are there, the log starts at {start}"
        );
    }

    async fn read_whole(&mut self, process: &Process, id: PartitionId) -> (Offset, Vec<(i64, BatchNumber)>) {
        let bytes_max = self.rng.u64(1..20_000);
        let mut log = Vec::new();
        let start = process.owner(id).find_offset(id, OffsetQuery::Earliest).await;
        let start = start.expect("the log can be read").expect("it has a start").offset;
        let mut offset = start;
        loop {
            let read = process.read(id, offset, bytes_max).await;
            let (result, bytes) = read.unwrap_or_else(|error| panic!("{id} offset {offset}: {error}"));
            if bytes.is_empty() {
                assert_eq!(result.high_watermark, offset, "{id}: a read before the end finds something");
                return (start, log);
            }
            let found = self.model.identify(id, &bytes);
            assert!(found[0].0 == offset.get() || offset == start, "{id}: the batch at the offset asked for");
            let (last, number) = *found.last().expect("it is not empty");
            offset = Offset::new(last + self.model.sent[number].timestamps.len() as i64);
            log.extend(found);
        }
    }

    async fn compare_times(&mut self, process: &Process, id: PartitionId) {
        let timestamp = Clock::START + self.rng.i64(-1000..300_000);
        let queries = [
            (OffsetQuery::AtTimestamp(timestamp), self.model.offset_for_timestamp(id, timestamp)),
            (OffsetQuery::MaxTimestamp, self.model.offset_of_max_timestamp(id)),
        ];
        for (query, expected) in queries {
            let found = process.owner(id).find_offset(id, query).await.expect("the log can be read");
            let found = found.map(|found| (found.offset.get(), found.timestamp));
            assert_eq!(found, expected, "{id}: {query:?}");
        }
    }

    /// Runs random operations until they are done or the machine stops.
    pub(super) fn work(&mut self, process: &Process, operations: usize, ending: Ending) {
        let mut simulation = self.simulation.take().expect("a machine is there");
        let finished = simulation.try_run_until(async {
            for _ in 0..operations {
                self.operation(process).await;
                self.harvest();
            }
            process.disk.set_capacity(None);
            process.disk.set_faults(Faults { delay: 0.2, ..Faults::NONE });
            self.stopping = ending == Ending::Stop;
            if self.stopping {
                let stopped = process.stop().await;
                assert!(self.errors_seen || self.full_seen || stopped.is_ok(), "a clean stop: {stopped:?}");
            } else if self.rng.bool() {
                self.wait_for_answers(process).await;
            }
        });
        let stopped_early = process.disk.operations() >= process.disk.stop_after_count();
        assert!(finished.is_some() || stopped_early, "everything waits\n{}", process.disk.dump());
        self.harvest();
        self.simulation = Some(simulation);
    }

    /// Ends the machine's process; what was not answered may have happened or not.
    pub(super) fn end(&mut self, ending: Ending) {
        let simulation = self.simulation.take().expect("a machine is there");
        self.simulation = Some(match ending {
            Ending::PowerLoss => {
                self.model.lose_power();
                simulation.crash()
            }
            Ending::Kill | Ending::Stop => simulation.kill(),
        });
        for append in self.appends.drain(..) {
            if let Some((id, _, _)) = self.model.sent[append.number].producer {
                let partition = self.model.sent[append.number].partition;
                self.producers.get_mut(&(partition, id)).expect("it has sent").uncertain = true;
            }
        }
        self.creates.clear();
        self.deletes.clear();
        self.changes.clear();
        self.deletions.clear();
        self.allocations.clear();
    }

    async fn operation(&mut self, process: &Process) {
        let kind = self.rng.u8(..100);
        match kind {
            0..=29 => self.append(process, false).await,
            30..=54 => self.append(process, true).await,
            55..=61 => self.append_again(process).await,
            62..=73 => self.read(process).await,
            74..=75 => self.wait_for_record(process).await,
            76..=79 => self.create(process).await,
            80 => self.change(process).await,
            81 => self.delete(process).await,
            82..=83 => self.allocations.push(process.allocate_producer_id().await),
            84..=86 => {
                self.clock.advance(Duration::from_millis(self.rng.u64(..1000)));
                process.shards.iter().for_each(|shard| shard.tick(self.clock.timestamp()));
            }
            87..=89 => self.make_trouble(process),
            90 => self.wait_for_answers(process).await,
            91..=92 => self.delete_records(process).await,
            _ => {
                let operations = self.rng.usize(1..40);
                process.pass_time(operations).await;
            }
        }
    }

    fn make_trouble(&mut self, process: &Process) {
        if self.trouble.errors {
            let mut faults = Faults { delay: 0.2, ..Faults::NONE };
            if self.rng.bool() {
                self.errors_seen = true;
                faults.write_error = 0.02 * self.rng.f64();
                faults.sync_error = 0.1 * self.rng.f64();
            }
            process.disk.set_faults(faults);
        }
        if self.trouble.full {
            let room = self.rng.bool().then(|| process.disk.used() + self.rng.u64(..100_000));
            self.full_seen |= room.is_some();
            process.disk.set_capacity(room);
        }
    }

    // ---- appends ---------------------------------------------------------------------------------------------------------

    fn any_partition(&mut self) -> Option<(PartitionId, String)> {
        let there: Vec<_> = self.topics.iter().filter(|topic| topic.id.is_some()).collect();
        let topic = self.rng.choice(there)?;
        let index = self.rng.u32(..topic.partitions);
        Some((PartitionId::new(topic.id?, index), topic.name.clone()))
    }

    async fn append(&mut self, process: &Process, idempotent: bool) {
        let Some((partition, _)) = self.any_partition() else { return };
        let records = self.rng.usize(1..5);
        let bytes = match self.rng.u8(..20) {
            0 => self.rng.usize(8..60_000),
            1..=4 => self.rng.usize(8..6_000),
            _ => self.rng.usize(8..200),
        };
        let producer = idempotent.then(|| self.next_sequence(partition, records)).flatten();
        let number = self.new_batch(partition, records, bytes, producer);
        self.send(process, number, None).await;
    }

    fn next_sequence(&mut self, partition: PartitionId, records: usize) -> Option<(i64, i16, i32)> {
        let id = self.rng.choice(self.producer_ids.iter().copied())?;
        let next = self.model.sent.len();
        let producer = self.producers.entry((partition, id)).or_insert_with(|| ProducerModel {
            epoch: 0,
            next_sequence: 0,
            batches: Vec::new(),
            uncertain: false,
        });
        if producer.uncertain {
            producer.epoch += 1;
            producer.next_sequence = 0;
            producer.batches.clear();
            producer.uncertain = false;
        }
        let sequence = producer.next_sequence;
        producer.next_sequence += records as i32;
        producer.batches.push(next);
        Some((id, producer.epoch, sequence))
    }

    /// Makes up a batch like no other.
    pub(super) fn new_batch(
        &mut self,
        partition: PartitionId,
        records: usize,
        bytes: usize,
        producer: Option<(i64, i16, i32)>,
    ) -> BatchNumber {
        let number = self.model.sent.len();
        let mut builder = BatchBuilder::new(Codec::None);
        if let Some((id, epoch, sequence)) = producer {
            builder = builder.producer(id, epoch, sequence);
        }
        let mut timestamps = Vec::new();
        for at in 0..records {
            let mut value = vec![0; if at == 0 { bytes } else { 8 }];
            self.rng.fill(&mut value);
            value[..8].copy_from_slice(&(number as u64).to_le_bytes());
            let timestamp: Timestamp = self.clock.timestamp() + self.rng.i64(-500..500);
            builder.push(timestamp, None, Some(&value), &[]);
            timestamps.push(timestamp);
        }
        let bytes: Bytes = builder.build().freeze();
        self.model.send(Sent { partition, bytes, producer, timestamps })
    }

    pub(super) async fn send(&mut self, process: &Process, number: BatchNumber, expected: Option<i64>) {
        let sent = &self.model.sent[number];
        let topics = process.topics.get();
        let Some(topic) = topics.by_id(sent.partition.topic) else { return self.make_uncertain(number) };
        let rules = topic.config.check_rules(self.clock.timestamp());
        let checked = check(sent.bytes[..].into(), &rules).expect("the batch keeps the rules");
        assert_eq!(checked.as_ref()[16..], sent.bytes[16..], "the check changes nothing");
        let answer = process.owner(sent.partition).append(sent.partition, checked).await;
        self.appends.push(PendingAppend { number, expected, answer });
    }

    /// An idempotent producer sends one of its last five batches again: if it is in the log, its first offset is the answer.
    async fn append_again(&mut self, process: &Process) {
        let Some(key) = self.rng.choice(self.producers.keys().copied()) else { return };
        let producer = &self.producers[&key];
        let Some(model) = self.model.partitions.get(&key.0) else { return };
        let Some(back) = self.rng.choice(0..producer.batches.len().min(5)) else { return };
        let number = producer.batches[producer.batches.len() - 1 - back];
        let durable = model.durable;
        let expected = model.offset_of.get(&number).copied().filter(|_| durable);
        self.send(process, number, expected).await;
    }

    fn make_uncertain(&mut self, number: BatchNumber) {
        let sent = &self.model.sent[number];
        if let Some((id, epoch, _)) = sent.producer
            && let Some(producer) = self.producers.get_mut(&(sent.partition, id))
        {
            producer.uncertain |= producer.epoch == epoch;
        }
    }

    /// Takes in the answers that have come.
    fn harvest(&mut self) {
        for mut append in std::mem::take(&mut self.appends) {
            match append.answer.try_recv() {
                Ok(None) => self.appends.push(append),
                Ok(Some(answer)) => self.take_answer(append.number, append.expected, answer),
                Err(_) => panic!("batch {} was never answered", append.number),
            }
        }
        for (name, mut answer) in std::mem::take(&mut self.creates) {
            match answer.try_recv().unwrap_or(Some(Err(TopicError::Stopping))) {
                None => self.creates.push((name, answer)),
                Some(Ok(topic)) => self.note_created(&name, &topic),
                Some(Err(error)) => assert!(self.may_fail_topic(&error), "{name}: {error}"),
            }
        }
        for (id, mut answer) in std::mem::take(&mut self.deletes) {
            match answer.try_recv().unwrap_or(Some(Err(TopicError::Stopping))) {
                None => self.deletes.push((id, answer)),
                Some(Ok(())) => {
                    self.topics.iter_mut().filter(|topic| topic.id == Some(id)).for_each(|topic| {
                        topic.stage = Stage::Gone;
                    });
                }
                Some(Err(error)) => assert!(self.may_fail_topic(&error), "{id}: {error}"),
            }
        }
        for (id, mut answer) in std::mem::take(&mut self.changes) {
            match answer.try_recv().unwrap_or(Some(Err(TopicError::Stopping))) {
                None => self.changes.push((id, answer)),
                Some(Ok(topic)) => self.note_changed(&topic),
                Some(Err(error)) => {
                    let there = |topic: &TopicState| topic.id == Some(id) && topic.stage == Stage::There;
                    let gone = matches!(error, TopicError::Unknown(_)) && !self.topics.iter().any(there);
                    assert!(gone || self.may_fail_topic(&error), "{id}: {error}");
                }
            }
        }
        for mut deletion in std::mem::take(&mut self.deletions) {
            match deletion.answer.try_recv().unwrap_or(Some(Err(DeleteRecordsError::Stopping))) {
                None => self.deletions.push(deletion),
                Some(answer) => self.take_deletion(deletion.partition, deletion.least, answer),
            }
        }
        for mut answer in std::mem::take(&mut self.allocations) {
            match answer.try_recv().unwrap_or(Some(Err(TopicError::Stopping))) {
                None => self.allocations.push(answer),
                Some(Ok(id)) => assert!(self.producer_ids.insert(id), "producer id {id} was given out twice"),
                Some(Err(error)) => assert!(self.may_fail_topic(&error), "{error}"),
            }
        }
    }

    fn take_answer(
        &mut self,
        number: BatchNumber,
        expected: Option<i64>,
        answer: Result<Appended, AppendError>,
    ) {
        let partition = self.model.sent[number].partition;
        let stage =
            self.topics.iter().find(|topic| topic.id == Some(partition.topic)).map(|topic| topic.stage);
        match answer {
            Ok(appended) => {
                self.acknowledged += 1;
                let offset = appended.base_offset.get();
                if let Some(expected) = expected {
                    assert_eq!((offset, appended.duplicate), (expected, true), "batch {number} sent again");
                }
                self.model.know(partition, offset, number, "was acknowledged");
                return;
            }
            Err(AppendError::NoSpace(_)) => assert!(self.full_seen, "the disk was never full"),
            Err(AppendError::Fenced { fault, .. }) => {
                assert!(self.errors_seen, "nothing has failed, but: {fault}, {stage:?}");
            }
            Err(AppendError::UnknownPartition(_)) => {
                assert!(stage != Some(Stage::There), "the partition exists");
            }
            Err(AppendError::Stopping) => assert!(self.stopping, "nobody has stopped the engine"),
            Err(AppendError::OutOfOrderSequence { .. } | AppendError::StaleProducerEpoch { .. }) => {
                assert!(expected.is_none(), "batch {number} is known, sent again it is refused");
            }
            Err(error @ AppendError::Invalid(_)) => panic!("a batch that was checked is refused: {error}"),
        }
        self.make_uncertain(number);
    }

    pub(super) async fn wait_for_answers(&mut self, process: &Process) {
        for _ in 0..PATIENCE {
            self.harvest();
            let waiting = self.appends.len()
                + self.creates.len()
                + self.deletes.len()
                + self.changes.len()
                + self.deletions.len()
                + self.allocations.len();
            if waiting == 0 {
                return;
            }
            process.pass_time(1).await;
        }
        panic!("{} appends are never answered\n{}", self.appends.len(), process.disk.dump());
    }

    // ---- reads -----------------------------------------------------------------------------------------------------------

    async fn read(&mut self, process: &Process) {
        let Some((partition, _)) = self.any_partition() else { return };
        let (start, end) = (self.model.partitions[&partition].start, self.model.end(partition));
        let least = if self.rng.u8(..8) == 0 { 0 } else { start };
        let offset = Offset::new(self.rng.i64(least..=end));
        let bytes_max = self.rng.u64(..10_000);
        match process.read(partition, offset, bytes_max).await {
            Ok((result, bytes)) => {
                assert!(offset.get() >= start, "{partition}: {offset} is read, the log starts at {start}");
                self.model.see_start(partition, result.log_start, self.clock.timestamp());
                assert!(result.high_watermark.get() >= end, "{partition}: the high watermark goes back");
                assert!(
                    offset.get() >= end || !bytes.is_empty(),
                    "{partition}: nothing at {offset} of {end}"
                );
                self.model.note_read(partition, offset, &bytes);
            }
            Err(ReadError::OffsetOutOfRange { log_start, high_watermark, .. }) => {
                assert!(offset < log_start, "{partition} offset {offset} of {log_start} to {high_watermark}");
                self.model.see_start(partition, log_start, self.clock.timestamp());
            }
            Err(ReadError::UnknownPartition(_)) => {
                let there =
                    |topic: &TopicState| topic.id == Some(partition.topic) && topic.stage == Stage::There;
                assert!(!self.topics.iter().any(there), "{partition} exists");
            }
            Err(ReadError::Faulty { fault, .. }) => {
                let stage = self
                    .topics
                    .iter()
                    .find(|topic| topic.id == Some(partition.topic))
                    .map(|topic| topic.stage);
                assert!(
                    self.errors_seen || stage != Some(Stage::There),
                    "{partition} offset {offset}: {fault}"
                );
            }
            Err(error) => panic!("{partition} offset {offset}, end {end}: {error}"),
        }
    }

    /// A reader that waits for what is there already is woken at once; one that waits for more is not.
    async fn wait_for_record(&mut self, process: &Process) {
        let Some((partition, _)) = self.any_partition() else { return };
        let end = self.model.end(partition);
        let (sender, mut woken) = futures_channel::oneshot::channel();
        let beyond = self.rng.i64(0..=end);
        process.owner(partition).wait(&[(partition, Offset::new(beyond))], &WakeOnce::new(sender)).await;
        if beyond < end {
            assert!(matches!(woken.try_recv(), Ok(Some(()))), "{partition}: {beyond} of {end} is there");
        }
    }

    // ---- topics ----------------------------------------------------------------------------------------------------------

    async fn create(&mut self, process: &Process) {
        let name = *self.rng.choice(&NAMES).expect("there are names");
        if self.topics.iter().any(|topic| topic.name == name && topic.stage != Stage::Gone) {
            return;
        }
        let partitions = self.rng.u32(1..4);
        let configs = self.new_configs(name == "relaxed");
        self.topics.push(TopicState {
            name: name.to_owned(),
            id: None,
            partitions,
            configs: configs.clone(),
            changing: None,
            stage: Stage::Creating,
        });
        let new = NewTopic { name: name.to_owned(), partitions, configs };
        self.creates.push((name.to_owned(), process.create_topic(new).await));
    }

    fn note_created(&mut self, name: &str, topic: &Topic) {
        let state = self.topics.iter_mut().rev().find(|topic| topic.name == name).expect("it was asked for");
        state.id = Some(topic.id);
        state.stage = Stage::There;
        for id in topic.partition_ids() {
            self.model.add_partition(id, &topic.config);
        }
    }

    fn new_configs(&mut self, relaxed: bool) -> Vec<(String, String)> {
        let mut configs = Vec::new();
        let mut set = |name: &str, value: u64| configs.push((name.to_owned(), value.to_string()));
        if relaxed {
            set("flush.messages", self.rng.u64(2..20));
            set("flush.ms", 1000);
        }
        match self.rng.u8(..4) {
            0 => set("retention.ms", self.rng.u64(..5000)),
            1 => set("retention.bytes", self.rng.u64(..50_000)),
            _ => {}
        }
        configs
    }

    /// Other settings for a topic, or more partitions.
    async fn change(&mut self, process: &Process) {
        let relaxed = self.rng.u8(..3) == 0;
        let configs = self.new_configs(relaxed);
        let still = |topic: &&mut TopicState| topic.stage == Stage::There && topic.changing.is_none();
        let Some(topic) = self.rng.choice(self.topics.iter_mut().filter(still).collect::<Vec<_>>()) else {
            return;
        };
        let id = topic.id.expect("it is there");
        let answer = if self.rng.bool() {
            let partitions = topic.partitions + self.rng.u32(1..3);
            topic.changing = Some((partitions, topic.configs.clone()));
            process.grow_topic(id, partitions).await
        } else {
            topic.changing = Some((topic.partitions, configs.clone()));
            let config = TopicConfig::resolve(&TopicDefaults::default(), &configs).expect("good settings");
            for partition in (0..topic.partitions).map(|index| PartitionId::new(id, index)) {
                let end = self.model.end(partition);
                let partition = self.model.partitions.get_mut(&partition).expect("it is there");
                partition.limits.push(config.limits());
                if partition.durable && relaxed {
                    (partition.durable, partition.floor) = (false, end);
                }
            }
            process.alter_topic(id, ConfigChange::Replace(configs)).await
        };
        self.changes.push((id, answer));
    }

    fn note_changed(&mut self, topic: &Topic) {
        let Some(state) = self.topics.iter_mut().find(|state| state.id == Some(topic.id)) else { return };
        (state.partitions, state.configs) = state.changing.take().expect("it was asked for");
        assert_eq!((topic.partitions, &topic.own_configs), (state.partitions, &state.configs));
        for id in topic.partition_ids() {
            match self.model.partitions.get_mut(&id) {
                None => self.model.add_partition(id, &topic.config),
                // Of a partition that was fenced, the sync may have failed that makes the rest durable.
                Some(partition) => partition.durable |= topic.config.is_durable() && !self.errors_seen,
            }
        }
    }

    // ---- records that go --------------------------------------------------------------------------------------------------

    async fn delete_records(&mut self, process: &Process) {
        let Some((partition, _)) = self.any_partition() else { return };
        let end = self.model.end(partition);
        let before = self.rng.i64(0..=end);
        let model = self.model.partitions.get_mut(&partition).expect("it is there");
        let (before, least) = match self.rng.u8(..3) {
            0 => {
                model.asked = i64::MAX;
                (DeleteBefore::HighWatermark, end)
            }
            _ => {
                model.asked = model.asked.max(before);
                (DeleteBefore::Offset(Offset::new(before)), before)
            }
        };
        let answer = process.delete_records(partition, before).await;
        self.deletions.push(PendingDeletion { partition, least, answer });
    }

    fn take_deletion(&mut self, id: PartitionId, least: i64, answer: Result<Offset, DeleteRecordsError>) {
        match answer {
            Ok(start) => {
                assert!(start.get() >= least, "{id}: the log starts at {start}, not at {least}");
                // A later deletion, or a reader, may have been answered before.
                let seen = self.model.partitions.get(&id).map_or(0, |partition| partition.start);
                self.model.see_start(id, start.max(Offset::new(seen)), self.clock.timestamp());
            }
            Err(DeleteRecordsError::NoSpace(_)) => assert!(self.full_seen, "the disk was never full"),
            Err(DeleteRecordsError::Faulty { fault, .. }) => {
                assert!(self.errors_seen, "nothing has failed, but: {fault}");
            }
            Err(DeleteRecordsError::UnknownPartition(_)) => {
                let there = |topic: &TopicState| topic.id == Some(id.topic) && topic.stage == Stage::There;
                assert!(!self.topics.iter().any(there), "{id} exists");
            }
            Err(DeleteRecordsError::Stopping) => assert!(self.stopping, "nobody has stopped the engine"),
            Err(error) => panic!("{id}: {error}"),
        }
    }

    async fn delete(&mut self, process: &Process) {
        let there = self.topics.iter_mut().filter(|topic| topic.stage == Stage::There);
        let Some(topic) = self.rng.choice(there.collect::<Vec<_>>()) else { return };
        topic.stage = Stage::Deleting;
        let id = topic.id.expect("it is there");
        self.deletes.push((id, process.delete_topic(id).await));
    }

    fn may_fail_topic(&self, error: &TopicError) -> bool {
        match error {
            TopicError::Storage(_) => self.errors_seen || self.full_seen,
            TopicError::Stopping => true,
            _ => false,
        }
    }
}
