//! Plays a plan: generations of a process on one machine, what it is asked, how it ends, and what it must
//! know when it comes back.
//!
//! The driver is no task of its own. It gives the machine one request at a time and takes in what was
//! answered before every operation of the disk, so that what is known is exact at each of these moments,
//! which are the places for a crash (see [`super::images`]). Functions that drive the machine give `None`
//! when it has stopped.

use std::sync::Arc;

use bytes::Bytes;
use fastrand::Rng;
use futures_channel::oneshot::Receiver;
use rustix::io::Errno;

use super::images::{Image, Images, Subject};
use super::known::{Known, Stage, choose};
use super::machine::{Ending, ORDINARY, Only, Process, Settings, start};
use super::model::{BatchNumber, Sent};
use super::plan::{Attempt, Configs, Generation, Operation, Pick, Plan};
use crate::config::{TopicConfig, TopicDefaults};
use crate::error::{AppendError, DeleteRecordsError, StartError, TopicError, TruncateError};
use crate::format::batch::Producer;
use crate::format::builder::BatchBuilder;
use crate::format::check::check;
use crate::format::compression::Codec;
use crate::io::is_no_space;
use crate::message::{Appended, DeleteBefore, OffsetQuery};
use crate::partition::{Reader, WakeOnce};
use crate::sim::{Clock, Faults, SimDisk, Simulation};
use crate::topics::{ConfigChange, NewTopic, Replica, Role, Topic};
use crate::types::{LeaderEpoch, Offset, PartitionId, ProducerId, Sequence, TopicId};

/// Operations of the disk after which an answer that is still missing never comes.
const PATIENCE: usize = 20_000;

/// A machine, what runs on it, and what that must know.
pub(super) struct Run {
    seed: u64,
    pub(super) rng: Rng,
    simulation: Option<Simulation>,
    pub(super) clock: Clock,
    pub(super) known: Known,
    pub(super) pending: Pending,
    pub(super) images: Option<Images>,
}

/// What was asked and not answered yet.
#[derive(Default)]
pub(super) struct Pending {
    pub(super) appends: Vec<PendingAppend>,
    creates: Vec<(String, Only<Arc<Topic>>)>,
    deletes: Vec<(TopicId, Only<()>)>,
    changes: Vec<(TopicId, Only<Arc<Topic>>)>,
    deletions: Vec<PendingDeletion>,
    allocations: Vec<Answer<ProducerId>>,
}

type Answer<T> = Receiver<Result<T, TopicError>>;

pub(super) struct PendingAppend {
    number: BatchNumber,
    /// The offset that it must be answered with, when it was sent again and is known.
    expected: Option<i64>,
    pub(super) answer: Receiver<Result<Appended, AppendError>>,
}

struct PendingDeletion {
    partition: PartitionId,
    /// Where the log starts at least, once it is done.
    least: i64,
    answer: Receiver<Result<Offset, DeleteRecordsError>>,
}

impl Pending {
    fn len(&self) -> usize {
        self.appends.len()
            + self.creates.len()
            + self.deletes.len()
            + self.changes.len()
            + self.deletions.len()
            + self.allocations.len()
    }
}

impl Run {
    pub(super) fn new(seed: u64) -> Run {
        Run::on(Simulation::new(seed), Known::default())
    }

    /// What is known, on this machine.
    fn on(mut simulation: Simulation, known: Known) -> Run {
        let (seed, rng, clock) = (simulation.seed(), simulation.rng().fork(), simulation.clock());
        Run {
            seed,
            rng,
            simulation: Some(simulation),
            clock,
            known,
            pending: Pending::default(),
            images: None,
        }
    }

    /// Plays the whole plan, and starts once more at its end.
    pub(super) fn play(&mut self, plan: &Plan) {
        for generation in &plan.generations {
            self.live(generation);
        }
        let last = self.start(&Settings::small(2));
        assert!(last.is_some(), "nothing stops the last start");
    }

    pub(super) fn live(&mut self, generation: &Generation) {
        for attempt in &generation.attempts {
            self.attempt(&generation.settings, attempt);
        }
        let process = self.start(&generation.settings).expect("nothing stops it");
        if let Some(count) = generation.stop_after {
            self.disk().stop_after(self.disk().operations() + count);
        }
        self.work(&process, generation);
        drop(process);
        self.end(generation.ending);
    }

    /// One operation of the disk fails, from the start on: the one with this number. False when there are
    /// fewer.
    pub(super) fn live_with_fault(&mut self, generation: &Generation, number: u64) -> bool {
        let disk = self.disk();
        disk.set_faults(ORDINARY);
        disk.fail_at(number, Errno::IO);
        let known = &mut self.known;
        (known.errors_seen, known.full_seen, known.stopping) = (true, false, false);
        known.short_seen = false;
        if let Ok(process) = self.launch(&generation.settings).expect("nothing stops it") {
            self.work(&process, generation);
        }
        let is_reached = disk.operations() > number;
        self.end(generation.ending);
        is_reached
    }

    fn machine(&mut self) -> &mut Simulation {
        self.simulation.as_mut().expect("a machine is there")
    }

    pub(super) fn disk(&self) -> SimDisk {
        self.simulation.as_ref().expect("a machine is there").disk()
    }

    // ---- the machine --------------------------------------------------------------------------------------

    /// Runs until nothing happens any more.
    pub(super) fn settle(&mut self) {
        self.machine().run_until_quiet();
        self.harvest();
    }

    /// Starts the engine.
    pub(super) fn launch(&mut self, settings: &Settings) -> Option<Result<Process, StartError>> {
        let mut simulation = self.simulation.take().expect("a machine is there");
        let started = start(&mut simulation, settings, |disk| self.look(disk));
        self.simulation = Some(simulation);
        started
    }

    /// Starts the engine, and compares all it has with what is known.
    pub(super) fn start(&mut self, settings: &Settings) -> Option<Process> {
        self.disk().set_capacity(None);
        self.disk().set_faults(ORDINARY);
        let process = self.launch(settings)?;
        let process = process
            .unwrap_or_else(|error| panic!("the engine did not start: {error}\n{}", self.disk().dump()));
        let known = &mut self.known;
        (known.errors_seen, known.full_seen, known.stopping) = (false, false, false);
        known.short_seen = false;
        self.lead_all(&process)?;
        self.check(&process)?;
        Some(process)
    }

    /// A start that comes to nothing: the machine stops, or the disk fails.
    fn attempt(&mut self, settings: &Settings, attempt: &Attempt) {
        if let Some(room) = attempt.room {
            return self.attempt_full(settings, room, attempt.ending);
        }
        let disk = self.disk();
        disk.set_capacity(None);
        disk.set_faults(Faults { write_error: attempt.errors, sync_error: attempt.errors, ..ORDINARY });
        disk.stop_after(disk.operations().saturating_add(attempt.stop_after));
        match self.launch(settings) {
            Some(Err(error)) if attempt.errors == 0.0 => panic!("the engine did not start: {error}"),
            Some(Err(_)) | None => {}
            // Logs are opened by who reads them.
            Some(Ok(process)) => {
                let ids: Vec<_> = self.known.model.partitions.keys().copied().collect();
                ids.into_iter().try_for_each(|id| self.drive(process.read(id, Offset::ZERO, 1)).map(drop));
            }
        }
        self.end(attempt.ending);
    }

    /// A start on a disk that has so much room left: nobody is told of less than was acknowledged (D2), and
    /// all of it is there as soon as there is room, in the same process (D7).
    fn attempt_full(&mut self, settings: &Settings, room: u64, ending: Ending) {
        let disk = self.disk();
        disk.set_faults(ORDINARY);
        disk.set_capacity(Some(disk.used() + room));
        let known = &mut self.known;
        (known.errors_seen, known.full_seen, known.stopping) = (false, true, false);
        match self.launch(settings).expect("nothing stops it") {
            // For a directory, or a file of the first start, there must be room.
            Err(StartError::Io { source, .. }) if is_no_space(&source) => {}
            Err(error) => panic!("the engine did not start: {error}"),
            Ok(process) => {
                let ids: Vec<_> = self.known.model.partitions.keys().copied().collect();
                let is_led = |id: &PartitionId| {
                    let table = process.topics.get();
                    table.replica(*id).is_some_and(|(_, replica)| replica.role == Role::Leader)
                };
                for id in ids.into_iter().filter(is_led) {
                    self.check_not_short(&process, id);
                }
                disk.set_capacity(None);
                self.look_for_room_now(&process);
                self.lead_all(&process).expect("nothing stops it");
                self.check(&process).expect("nothing stops it");
            }
        }
        self.end(ending);
    }

    /// Ends the machine's process; what was not answered may have happened or not.
    pub(super) fn end(&mut self, ending: Ending) {
        tracing::debug!("{ending:?}");
        let simulation = self.simulation.take().expect("a machine is there");
        self.simulation = Some(match ending {
            Ending::PowerLoss => {
                self.known.model.lose_power();
                simulation.crash()
            }
            Ending::Kill | Ending::Stop => simulation.kill(),
        });
        for append in std::mem::take(&mut self.pending).appends {
            self.known.make_uncertain(append.number);
        }
    }

    // ---- what it is asked ---------------------------------------------------------------------------------

    fn work(&mut self, process: &Process, generation: &Generation) {
        let finished = self.try_work(process, generation);
        let stopped_early = process.disk.operations() >= process.disk.stop_after_count();
        assert!(finished.is_some() || stopped_early, "everything waits\n{}", process.disk.dump());
    }

    fn try_work(&mut self, process: &Process, generation: &Generation) -> Option<()> {
        for operation in &generation.operations {
            self.perform(process, operation)?;
        }
        process.disk.set_capacity(None);
        process.disk.set_faults(ORDINARY);
        if self.known.short_seen && !self.known.errors_seen && !self.known.full_seen {
            self.check_resumed(process)?;
        }
        if generation.ending == Ending::Stop {
            self.known.stopping = true;
            let stopped = self.drive(process.stop())?;
            let excused = self.known.errors_seen || self.known.full_seen;
            assert!(excused || stopped.is_ok(), "a clean stop: {stopped:?}");
        } else if generation.patient {
            self.wait_for_answers(process)?;
        }
        Some(())
    }

    pub(super) fn perform(&mut self, process: &Process, operation: &Operation) -> Option<()> {
        match operation {
            Operation::Append { partition, records, bytes, producer } => {
                let Some(partition) = self.known.choose_partition(*partition) else { return Some(()) };
                let producer = producer.and_then(|pick| self.known.next_sequence(partition, pick, *records));
                let number = self.new_batch(partition, *records, *bytes, producer);
                self.send(process, number, None)?;
            }
            Operation::AppendAgain { producer, back } => {
                if let Some((number, expected)) = self.known.batch_to_repeat(*producer, *back) {
                    self.send(process, number, expected)?;
                }
            }
            Operation::Read { partition, at, bytes_max, anywhere } => {
                let Some(id) = self.known.choose_partition(*partition) else { return Some(()) };
                let end = self.known.model.end(id);
                let least = if *anywhere { 0 } else { self.known.model.partitions[&id].start };
                self.check_read(process, id, Offset::new(between(least, end, *at)), *bytes_max)?;
            }
            Operation::Wait { partition, beyond } => self.wait_for_record(process, *partition, *beyond)?,
            Operation::CreateTopic { name, partitions, configs } => {
                self.create(process, name, *partitions, configs.clone())?;
            }
            Operation::AlterTopic { topic, configs } => self.alter(process, *topic, configs.clone())?,
            Operation::GrowTopic { topic, by } => self.grow(process, *topic, *by)?,
            Operation::DeleteTopic { topic } => self.delete(process, *topic)?,
            Operation::DeleteRecords { partition, before } => {
                self.delete_records(process, *partition, *before)?;
            }
            Operation::Truncate { partition, at } => self.truncate(process, *partition, *at)?,
            Operation::Lead { partition } => self.lead(process, *partition)?,
            Operation::AllocateProducerId => {
                let answer = self.drive(process.allocate_producer_id())?;
                self.pending.allocations.push(answer);
            }
            Operation::PassTime(by) => {
                self.clock.advance(*by);
                process.shards.iter().for_each(|shard| shard.tick(self.clock.timestamp()));
            }
            Operation::Work(operations) => self.drive(process.pass_time(*operations))?,
            Operation::Answers => self.wait_for_answers(process)?,
            Operation::Errors { write, sync } => {
                self.known.errors_seen |= write + sync > 0.0;
                process.disk.set_faults(Faults { write_error: *write, sync_error: *sync, ..ORDINARY });
            }
            Operation::Descriptors(share) => {
                self.known.short_seen |= *share > 0.0;
                process.disk.set_faults(Faults { no_descriptor: *share, ..ORDINARY });
            }
            Operation::Lies(share) => {
                process.disk.set_faults(Faults { flush_lie: *share, ..ORDINARY });
            }
            Operation::Room(room) => {
                self.known.full_seen |= room.is_some();
                process.disk.set_capacity(room.map(|room| process.disk.used() + room));
            }
        }
        Some(())
    }

    /// Descriptors are back: every partition takes records again and is read, nothing is called damaged, and
    /// nothing waits for the next start.
    fn check_resumed(&mut self, process: &Process) -> Option<()> {
        self.wait_for_answers(process)?;
        self.known.short_seen = false;
        let there: Vec<_> = self.known.topics.iter().filter(|topic| topic.stage == Stage::There).collect();
        let ids: Vec<_> = (there.iter())
            .filter_map(|topic| Some((topic.id?, topic.partitions)))
            .flat_map(|(id, count)| (0..count).map(move |index| PartitionId::new(id, index)))
            .collect();
        for id in ids {
            let number = self.new_batch(id, 1, 8, None);
            self.send(process, number, None)?;
            let before = self.known.acknowledged;
            self.wait_for_answers(process)?;
            assert!(self.known.acknowledged > before, "{id} takes no records");
            let start = Offset::new(self.known.model.partitions[&id].start);
            self.check_read(process, id, start, 1 << 20)?;
        }
        for shard in &process.shards {
            assert_eq!(shard.stats().damages, 0, "something is called damaged");
            let report = self.drive(shard.report())?;
            assert_eq!(report.fenced_partitions, 0, "a partition is fenced");
        }
        Some(())
    }

    /// Makes up a batch like no other.
    pub(super) fn new_batch(
        &mut self,
        partition: PartitionId,
        records: usize,
        bytes: usize,
        producer: Option<(Producer, Sequence)>,
    ) -> BatchNumber {
        let number = self.known.model.sent.len();
        let mut builder = BatchBuilder::new(Codec::None);
        if let Some((Producer { id, epoch }, sequence)) = producer {
            builder = builder.producer(id, epoch, sequence);
        }
        let mut timestamps = Vec::new();
        for at in 0..records {
            let mut value = vec![0; if at == 0 { bytes } else { 8 }];
            self.rng.fill(&mut value);
            value[..8].copy_from_slice(&(number as u64).to_le_bytes());
            let timestamp = self.clock.timestamp().plus(self.rng.i64(-500..500));
            builder.push(timestamp, None, Some(&value), &[]);
            timestamps.push(timestamp);
        }
        let bytes: Bytes = builder.build().freeze();
        tracing::debug!("batch {number} for {partition} of {producer:?}");
        self.known.model.send(Sent { partition, bytes, producer, timestamps })
    }

    pub(super) fn send(
        &mut self,
        process: &Process,
        number: BatchNumber,
        expected: Option<i64>,
    ) -> Option<()> {
        let sent = &self.known.model.sent[number];
        let partition = sent.partition;
        let topics = process.topics.get();
        let Some(topic) = topics.by_id(partition.topic) else {
            self.known.make_uncertain(number);
            return Some(());
        };
        let rules = topic.config.check_rules(self.clock.timestamp());
        let checked = check(sent.bytes[..].into(), &rules).expect("the batch keeps the rules");
        assert_eq!(checked.as_ref()[16..], sent.bytes[16..], "the check changes nothing");
        self.known.model.note_attempt(number);
        let answer = self.drive(process.owner(partition).append(partition, checked))?;
        self.pending.appends.push(PendingAppend { number, expected, answer });
        Some(())
    }

    /// A reader that waits for what is there already is woken at once.
    fn wait_for_record(&mut self, process: &Process, partition: Pick, beyond: Pick) -> Option<()> {
        let Some(id) = self.known.choose_partition(partition) else { return Some(()) };
        let end = self.known.model.end(id);
        let beyond = between(0, end, beyond);
        let (sender, mut woken) = futures_channel::oneshot::channel();
        let wake = WakeOnce::new(sender);
        self.drive(process.owner(id).wait(Reader::default(), &[(id, Offset::new(beyond))], &wake))?;
        let is_woken = matches!(woken.try_recv(), Ok(Some(())));
        assert!(beyond >= end || is_woken, "{id}: {beyond} of {end} is there");
        Some(())
    }

    pub(super) fn create(
        &mut self,
        process: &Process,
        name: &str,
        partitions: u32,
        configs: Configs,
    ) -> Option<()> {
        if self.known.note_creation(name, partitions, configs.clone()) {
            let new = NewTopic { name: name.to_owned(), partitions, configs };
            let answer = self.drive(process.create_topic(new))?;
            self.pending.creates.push((name.to_owned(), answer));
        }
        Some(())
    }

    fn alter(&mut self, process: &Process, pick: Pick, configs: Configs) -> Option<()> {
        let still =
            |state: &&mut super::known::TopicState| state.stage == Stage::There && state.changing.is_none();
        let Some(state) = choose(self.known.topics.iter_mut().filter(still), pick) else { return Some(()) };
        let id = state.id.expect("it is there");
        state.changing = Some((state.partitions, configs.clone()));
        let config = TopicConfig::resolve(&TopicDefaults::default(), &configs).expect("good settings");
        for partition in (0..state.partitions).map(|index| PartitionId::new(id, index)) {
            let end = self.known.model.end(partition);
            let partition = self.known.model.partitions.get_mut(&partition).expect("it is there");
            partition.limits.push(config.limits());
            if partition.durable && !config.is_durable() {
                (partition.durable, partition.floor) = (false, end);
            }
        }
        let answer = self.drive(process.alter_topic(id, ConfigChange::Replace(configs)))?;
        self.pending.changes.push((id, answer));
        Some(())
    }

    fn grow(&mut self, process: &Process, pick: Pick, by: u32) -> Option<()> {
        let still =
            |state: &&mut super::known::TopicState| state.stage == Stage::There && state.changing.is_none();
        let Some(state) = choose(self.known.topics.iter_mut().filter(still), pick) else { return Some(()) };
        let id = state.id.expect("it is there");
        let partitions = state.partitions + by;
        state.changing = Some((partitions, state.configs.clone()));
        let answer = self.drive(process.grow_topic(id, partitions))?;
        self.pending.changes.push((id, answer));
        Some(())
    }

    fn delete(&mut self, process: &Process, pick: Pick) -> Option<()> {
        let there = self.known.topics.iter_mut().filter(|topic| topic.stage == Stage::There);
        let Some(state) = choose(there, pick) else { return Some(()) };
        state.stage = Stage::Deleting;
        let id = state.id.expect("it is there");
        let answer = self.drive(process.delete_topic(id))?;
        self.pending.deletes.push((id, answer));
        Some(())
    }

    /// Deletes topics in one change, and waits until it is answered.
    pub(super) fn delete_together(&mut self, process: &Process, ids: &[TopicId]) -> Option<()> {
        let named = self.known.topics.iter_mut().filter(|topic| topic.id.is_some_and(|id| ids.contains(&id)));
        named.for_each(|topic| topic.stage = Stage::Deleting);
        let answers = self.drive(async { process.delete_topics(ids.to_vec()).await.await })?;
        for (id, answer) in ids.iter().zip(answers.expect("it is answered")) {
            self.known.take_deleted(*id, answer);
        }
        Some(())
    }

    fn delete_records(&mut self, process: &Process, pick: Pick, before: Option<Pick>) -> Option<()> {
        let Some(id) = self.known.choose_partition(pick) else { return Some(()) };
        let end = self.known.model.end(id);
        let model = self.known.model.partitions.get_mut(&id).expect("it is there");
        let (before, least) = match before.map(|pick| between(0, end, pick)) {
            None => {
                model.asked = i64::MAX;
                (DeleteBefore::HighWatermark, end)
            }
            Some(before) => {
                model.asked = model.asked.max(before);
                (DeleteBefore::Offset(Offset::new(before)), before)
            }
        };
        let answer = self.drive(process.delete_records(id, before))?;
        self.pending.deletions.push(PendingDeletion { partition: id, least, answer });
        Some(())
    }

    /// Cuts a log off somewhere. Nothing else is under way meanwhile, so that it is known what was appended
    /// before.
    fn truncate(&mut self, process: &Process, pick: Pick, at: Pick) -> Option<()> {
        self.wait_for_answers(process)?;
        let Some(id) = self.known.choose_partition(pick) else { return Some(()) };
        let Some(partition) = self.known.model.partitions.get(&id) else { return Some(()) };
        // What a truncation that has failed has done is told by the next start.
        if partition.cutting.is_some() {
            return Some(());
        }
        let start = partition.start;
        let to = between(start, self.known.model.end(id), at);
        let partition = self.known.model.partitions.get_mut(&id).expect("it is there");
        (partition.cutting, partition.was_cut) = (Some(to), true);
        let answer = self.drive(process.owner(id).truncate(id, Offset::new(to)))?;
        tracing::debug!("{id} is cut off at {to}: {answer:?}");
        if answer.is_ok()
            && let Ok(Some(found)) =
                self.drive(process.owner(id).find_offset(id, OffsetQuery::Earliest, None))?
        {
            // What retention has deleted cannot tell of producers.
            self.known.model.see_start(id, found.offset, self.clock.timestamp());
        }
        let known = &mut self.known;
        match answer {
            Ok(end) => {
                let expected = known.model.end_after_cut(id, to);
                assert!(end.get() >= expected, "{id}: cut off at {end}, not at {expected}");
                assert!(
                    end.get() == expected || expected < start || end.get() <= to,
                    "{id}: cut off at {end}, not at {expected}"
                );
                known.cut(id, expected);
            }
            Err(TruncateError::OffsetOutOfRange { log_start, .. }) => {
                assert!(log_start.get() > to, "{id}: {to} lies in a log that starts at {log_start}");
                known.model.partitions.get_mut(&id).expect("it is there").cutting = None;
            }
            Err(TruncateError::NoSpace(_)) => assert!(known.full_seen, "the disk was never full"),
            Err(TruncateError::Faulty { fault, .. }) => {
                let excused = known.errors_seen || known.short_seen && fault.is_shortage();
                assert!(excused, "nothing has failed, but: {fault}");
            }
            Err(TruncateError::UnknownPartition(_)) => assert!(!known.is_there(id.topic), "{id} exists"),
            Err(error) => panic!("{id}: {error}"),
        }
        Some(())
    }

    /// Another term begins, and another broker may have led meanwhile.
    fn lead(&mut self, process: &Process, pick: Pick) -> Option<()> {
        let Some(id) = self.known.choose_partition(pick) else { return Some(()) };
        if self.rng.bool() {
            self.known.given_up.insert(id);
            self.place(process, id, Role::Follower)?;
        }
        self.place(process, id, Role::Leader)
    }

    /// Gives a partition a role in the next leader epoch.
    pub(super) fn place(&mut self, process: &Process, id: PartitionId, role: Role) -> Option<()> {
        let Some(current) = process.topics.get().replica(id).map(|(_, replica)| replica) else {
            return Some(());
        };
        let replica = Replica { role, epoch: LeaderEpoch(current.epoch.0 + 1) };
        let answer = self.drive(async { process.place(id, replica).await.await })?;
        self.known.take_placed(id, replica, answer.unwrap_or(Err(TopicError::Stopping)));
        Some(())
    }

    // ---- what it answers ----------------------------------------------------------------------------------

    pub(super) fn wait_for_answers(&mut self, process: &Process) -> Option<()> {
        for _ in 0..PATIENCE {
            if self.pending.len() == 0 {
                return Some(());
            }
            self.drive(process.pass_time(1))?;
        }
        panic!("{} questions are never answered\n{}", self.pending.len(), process.disk.dump());
    }
}

impl Subject for Run {
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
        let mut fork = Run::on(machine, self.known.clone());
        for append in &self.pending.appends {
            fork.known.make_uncertain(append.number);
        }
        if image.ending == Ending::PowerLoss {
            fork.known.model.lose_power();
        }
        fork.images = image.images;
        let mut settings = Settings::random(&mut fork.rng);
        settings.shards = fork.rng.usize(1..=2);
        settings.journal_file_bytes_max = 8192;
        let process = fork.start(&settings).expect("nothing stops it");
        if image.lives {
            let afterwards = Operation::afterwards(&mut fork.rng);
            let lived = afterwards.iter().try_for_each(|operation| fork.perform(&process, operation));
            assert!(lived.is_some(), "nothing stops it");
        }
    }

    fn harvest(&mut self) {
        let Run { pending, known, clock, .. } = self;
        let stopping = || Err(TopicError::Stopping);
        keep_waiting(&mut pending.appends, |append| {
            let answer = append.answer.try_recv();
            let answer = answer.unwrap_or_else(|_| panic!("batch {} was never answered", append.number));
            answer.map(|answer| known.take_appended(append.number, append.expected, answer))
        });
        keep_waiting(&mut pending.creates, |(name, answer)| {
            let answer = answer.try_recv().unwrap_or_else(|_| Some(stopping()));
            answer.map(|answer| known.take_created(name, answer))
        });
        keep_waiting(&mut pending.deletes, |(id, answer)| {
            let answer = answer.try_recv().unwrap_or(Some(Err(TopicError::Stopping)));
            answer.map(|answer| known.take_deleted(*id, answer))
        });
        keep_waiting(&mut pending.changes, |(id, answer)| {
            let answer = answer.try_recv().unwrap_or_else(|_| Some(stopping()));
            answer.map(|answer| known.take_changed(*id, answer))
        });
        keep_waiting(&mut pending.deletions, |PendingDeletion { partition, least, answer }| {
            let answer = answer.try_recv().unwrap_or(Some(Err(DeleteRecordsError::Stopping)));
            answer.map(|answer| known.take_deletion(*partition, *least, answer, clock.timestamp()))
        });
        keep_waiting(&mut pending.allocations, |answer| {
            let answer = answer.try_recv().unwrap_or(Some(Err(TopicError::Stopping)));
            answer.map(|answer| known.take_producer_id(answer))
        });
    }
}

/// Takes out of the list, in its order, what `take` could take.
fn keep_waiting<T>(list: &mut Vec<T>, mut take: impl FnMut(&mut T) -> Option<()>) {
    list.retain_mut(|item| take(item).is_none());
}

/// The offset from `least` to `end` that `pick` chooses.
fn between(least: i64, end: i64, pick: Pick) -> i64 {
    least + i64::from(pick) % (end - least + 1)
}
