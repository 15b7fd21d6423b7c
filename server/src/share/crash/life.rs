//! Plays with a share group on one machine: generations of a process, what its members fetch and say, how it
//! ends, and which records must come again when it comes back.
//!
//! The records are not there: where a share partition wants to be read, batches are made up, as a log that
//! never ends would have them. Functions that drive the machine give `None` when it has stopped.
//!
//! Where the group has a dead letter queue, what was rejected is looked for there after each start.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use fastrand::Rng;
use futures_channel::oneshot::{self, Receiver};
use strandline_engine::Isolation;
use strandline_engine::crash::{Counts, Ending, Image, Images, Process, Subject, start};
use strandline_engine::format::batch::{BATCH_HEADER_BYTES, Batches};
use strandline_engine::format::record::{Record, Records};
use strandline_engine::sim::{Clock, SimDisk, Simulation};
use strandline_engine::topics::NewTopic;
use strandline_engine::types::{Offset, PartitionId};
use strandline_protocol::wire::ErrorCode;

use crate::config::Reset;
use crate::coordination::Partitions;
use crate::coordination::simulated::{Simulated, Timers, Trouble, compacted, some_settings};
use crate::refusal::Refusal;
use crate::share::coordinator::CoordinatorSettings;
use crate::share::leaders::Queues;
use crate::share::{
    Acknowledgement, Archive, Asked, DeadLetterQueue, Found, Kind, Limits, ReadBatch, ReadBatches, Replaces,
    STATE_TOPIC, ShareKey, ShareLeaders, ShareLog, ShareStates, Want,
};

/// Operations of the disk after which an answer that is still missing never comes.
const PATIENCE: usize = 20_000;

const TOPIC: &str = "t";
const PARTITIONS: u32 = 2;
const GROUP: &str = "g";
const MEMBERS: u64 = 3;

const QUEUE: &str = "dlq.t";

/// Nothing is archived by its deliveries.
const LIMITS: Limits = Limits {
    lock_ms: 5000,
    deliveries_max: u16::MAX,
    locks_max: 30,
    is_renewable: true,
    has_dead_letters: false,
};

impl ShareLog for Simulated {
    async fn log_start(&self, _: PartitionId) -> Result<i64, ErrorCode> {
        Ok(0)
    }

    async fn reset(&self, _: PartitionId, _: Reset) -> Result<i64, ErrorCode> {
        Ok(0)
    }

    async fn grown(&self, _: PartitionId, _: Isolation, _: i64) -> Option<i64> {
        std::future::pending().await
    }
}

/// A record: its partition and its offset.
type At = (u32, i64);

/// What must be known of the records.
#[derive(Clone, Default)]
pub(super) struct Known {
    is_made: bool,
    /// Where records were given out up to, by partition.
    ends: BTreeMap<u32, i64>,
    /// It was answered that they are done.
    done: BTreeSet<At>,
    /// They may be done: it was not answered.
    perhaps: BTreeSet<At>,
    /// Who has them, in this generation.
    held: BTreeMap<At, u64>,
    /// What was said of them last.
    said: BTreeMap<At, Kind>,
    /// Those that are in the queue, as of the last start.
    pub(super) letters: BTreeSet<At>,
    pub(super) acknowledged: u64,
}

struct Pending {
    said: Vec<(At, Kind)>,
    answer: Receiver<Result<(), Refusal>>,
}

/// A machine, and what must be known of the records on it.
pub(super) struct Life {
    seed: u64,
    rng: Rng,
    simulation: Option<Simulation>,
    clock: Clock,
    trouble: Trouble,
    is_troubled: bool,
    pub(super) known: Known,
    pending: Vec<Pending>,
    pub(super) images: Option<Images>,
    /// Questions in one generation.
    pub(super) questions_max: usize,
    /// Whether the group has a dead letter queue.
    pub(super) has_queue: bool,
}

/// A process with its share groups.
struct Running {
    process: Process,
    states: ShareStates,
    leaders: ShareLeaders,
    shards: Vec<Simulated>,
    timers: Timers,
}

impl Running {
    fn asked(&self, partition: u32) -> Asked {
        let topic = self.process.topics().by_name(TOPIC).expect("it is there").id;
        Asked {
            key: ShareKey { group: GROUP.to_owned(), topic, partition: partition as i32 },
            partition: PartitionId::new(topic, partition),
            leader_epoch: 0,
            limits: LIMITS,
            isolation: Isolation::ReadUncommitted,
            reset: Reset::Latest,
        }
    }
}

impl Life {
    pub(super) fn new(seed: u64, trouble: Trouble) -> Life {
        Life::on(Simulation::new(seed), trouble)
    }

    fn on(mut simulation: Simulation, trouble: Trouble) -> Life {
        let (seed, rng, clock) = (simulation.seed(), simulation.rng().fork(), simulation.clock());
        Life {
            seed,
            rng,
            simulation: Some(simulation),
            clock,
            trouble,
            is_troubled: false,
            known: Known::default(),
            pending: Vec::new(),
            images: None,
            questions_max: 80,
            has_queue: false,
        }
    }

    /// Generation after generation, and a last start.
    pub(super) fn generations(&mut self, count: usize) {
        for _ in 0..count {
            let running = self.begin();
            let ending = *self.rng.choice(&[Ending::PowerLoss, Ending::Kill]).expect("two");
            if self.rng.u8(..4) > 0 {
                let disk = self.disk();
                disk.stop_after(disk.operations() + self.rng.u64(..3000));
            }
            let finished = self.work(&running);
            let disk = &running.process.disk;
            let is_over = finished.is_some() || disk.operations() >= disk.stop_after_count();
            assert!(is_over, "everything waits\n{}", disk.dump());
            self.end(running, ending);
        }
        drop(self.begin());
    }

    fn end(&mut self, running: Running, ending: Ending) {
        drop(running);
        let simulation = self.simulation.take().expect("a machine is there");
        self.simulation = Some(match ending {
            Ending::PowerLoss => simulation.crash(),
            Ending::Kill | Ending::Stop => simulation.kill(),
        });
        self.restart();
    }

    /// What has no answer now never gets one.
    fn restart(&mut self) {
        self.pending.clear();
        self.known.held.clear();
        self.is_troubled = false;
    }

    fn disk(&self) -> SimDisk {
        self.simulation.as_ref().expect("a machine is there").disk()
    }

    // ---- start --------------------------------------------------------------------------------------------

    fn begin(&mut self) -> Running {
        Trouble::end(&self.disk());
        let settings = some_settings(&mut self.rng);
        let mut simulation = self.simulation.take().expect("a machine is there");
        let started = start(&mut simulation, &settings, |disk| self.look(disk));
        self.simulation = Some(simulation);
        let process = started.expect("nothing stops it").expect("the engine starts");
        let timers = Timers::default();
        let shards = Simulated::shards(&process, &self.clock, &timers);
        let of_coordinators = CoordinatorSettings { updates_max: 3 };
        let states = ShareStates::on(compacted(STATE_TOPIC), of_coordinators, shards.len());
        let leaders = ShareLeaders::new(shards.len());
        for shard in &shards {
            let simulation = self.simulation.as_ref().expect("a machine is there");
            simulation.spawn(states.clone().run(shard.clone()));
            simulation.spawn(leaders.clone().run(shard.clone(), states.clone(), self.queues()));
        }
        let running = Running { process, states, leaders, shards, timers };
        let begun = self.make(&running).and_then(|()| self.see_all(&running));
        let begun = begun.and_then(|()| self.see_letters(&running));
        assert!(begun.is_some(), "nothing stops it");
        running
    }

    fn queues(&self) -> Queues {
        let queue = self.has_queue.then(|| {
            Rc::new(DeadLetterQueue {
                topic: QUEUE.to_owned(),
                copies: self.seed % 2 == 1,
                prefix: "dlq.".to_owned(),
                creates: true,
                partitions: 1,
            })
        });
        Rc::new(move |_| queue.clone())
    }

    fn make(&mut self, running: &Running) -> Option<()> {
        if running.process.topics().by_name(TOPIC).is_none() {
            assert!(!self.known.is_made, "the topic is lost");
            let new = NewTopic { name: TOPIC.to_owned(), partitions: PARTITIONS, configs: Vec::new() };
            let made = self.drive(async { running.process.create_topic(new).await.await })?;
            made.expect("an answer").expect("it is created");
        }
        self.drive(running.states.topic(&running.shards[0]))?.expect("it is created");
        if self.known.is_made {
            return Some(());
        }
        for partition in 0..PARTITIONS {
            let key = running.asked(partition).key;
            loop {
                let key = key.clone();
                match self.drive(running.states.initialize(
                    &running.shards[0],
                    key,
                    (1, -1),
                    Replaces::Unused,
                ))? {
                    Ok(()) => break,
                    Err(ErrorCode::CoordinatorLoadInProgress) => self.drive(running.process.pass_time(1))?,
                    Err(code) => panic!("it is not initialized: {code}"),
                }
            }
        }
        self.known.is_made = true;
        Some(())
    }

    // ---- what it is asked ---------------------------------------------------------------------------------

    fn work(&mut self, running: &Running) -> Option<()> {
        for _ in 0..self.rng.usize(..self.questions_max) {
            let partition = self.rng.u32(..PARTITIONS);
            match self.rng.u8(..20) {
                0..=5 => self.fetch(running, partition)?,
                6..=12 => self.acknowledge(running)?,
                13 => self.release(running, partition)?,
                14 => {
                    let by = Duration::from_millis(self.rng.u64(..3000));
                    self.pass_time(running, by)?;
                }
                15 if self.trouble != Trouble::NONE => {
                    self.is_troubled |= self.trouble.strike(&mut self.rng, &running.process.disk);
                }
                _ => {
                    let operations = self.rng.usize(1..60);
                    self.drive(running.process.pass_time(operations))?;
                }
            }
        }
        Trouble::end(&running.process.disk);
        if self.rng.bool() {
            self.wait_for_answers(running)?;
        }
        Some(())
    }

    fn pass_time(&mut self, running: &Running, by: Duration) -> Option<()> {
        self.clock.advance(by);
        running.process.tick(self.clock.timestamp());
        running.timers.tick(self.clock.timestamp().0);
        // Whose lock is over is not known here: it may be given out, and need not be.
        self.drive(async {})
    }

    /// Asks, and lets time pass until there is an answer.
    fn ask<T: 'static>(
        &mut self,
        running: &Running,
        question: impl Future<Output = T> + 'static,
    ) -> Option<T> {
        let (sender, mut answer) = oneshot::channel();
        let simulation = self.simulation.as_ref().expect("a machine is there");
        simulation.spawn(async move {
            let _ = sender.send(question.await);
        });
        for tries in 1..PATIENCE {
            self.wait_a_little(running, tries)?;
            if let Some(answer) = answer.try_recv().expect("the machine drops no task while it runs") {
                return Some(answer);
            }
        }
        panic!("a question is never answered\n{}", self.disk().dump());
    }

    fn wait_a_little(&mut self, running: &Running, tries: usize) -> Option<()> {
        if tries.is_multiple_of(50) {
            self.pass_time(running, Duration::from_millis(100))?;
        }
        self.drive(running.process.pass_time(1))
    }

    /// Gives a member what there is; the records.
    fn take(&mut self, running: &Running, partition: u32, member: u64) -> Option<Vec<i64>> {
        let asked = running.asked(partition);
        let mut tries = 0;
        let next = loop {
            let (leaders, asked) = (running.leaders.clone(), asked.clone());
            match self.ask(running, async move { leaders.next_fetch(asked, false, None).await })? {
                Ok(next) => break next,
                Err(_) if self.is_troubled && tries == 50 => return Some(Vec::new()),
                // What was on its way has to settle first, or the disk takes nothing.
                Err(code) => {
                    tries += 1;
                    assert!(tries < PATIENCE, "{code}");
                    self.wait_a_little(running, 50)?;
                }
            }
        };
        let Some(offset) = next.offset else { return Some(Vec::new()) };
        let mut read = ReadBatches::default();
        let mut first = offset;
        for _ in 0..self.rng.usize(1..4) {
            let last = first + self.rng.i64(0..6);
            read.push(ReadBatch { first, last, archive: Archive::No });
            first = last + 1;
        }
        let want = Want { records_max: 20, is_strict: false, batch_size: 10 };
        let owner = (member.to_string(), member);
        let leaders = running.leaders.clone();
        let found = Found { offset, read, log_end: first, turn: None };
        let acquired = self.ask(running, async move { leaders.acquire(asked, owner, found, want).await })?;
        let acquired = acquired.unwrap_or_default();
        let offsets: Vec<_> = acquired.iter().flat_map(|acquired| acquired.first..=acquired.last).collect();
        for offset in &offsets {
            assert!(
                !self.known.done.contains(&(partition, *offset)),
                "{offset} of {partition} has come back"
            );
            let end = self.known.ends.entry(partition).or_default();
            *end = (*end).max(offset + 1);
        }
        Some(offsets)
    }

    fn fetch(&mut self, running: &Running, partition: u32) -> Option<()> {
        let member = self.rng.u64(..MEMBERS);
        for offset in self.take(running, partition, member)? {
            self.known.held.insert((partition, offset), member);
        }
        Some(())
    }

    fn release(&mut self, running: &Running, partition: u32) -> Option<()> {
        let member = self.rng.u64(..MEMBERS);
        let Asked { key, partition: id, .. } = running.asked(partition);
        self.drive(running.leaders.release(key, id, member))?;
        self.known.held.retain(|(of, _), by| *of != partition || *by != member);
        Some(())
    }

    /// A member says something of records that stand behind each other, and waits for no answer.
    fn acknowledge(&mut self, running: &Running) -> Option<()> {
        let held: Vec<_> = self.known.held.iter().map(|(at, member)| (*at, *member)).collect();
        let Some((first, member)) = self.rng.choice(held) else { return Some(()) };
        let mut said = Vec::new();
        let mut at = first;
        while self.known.held.get(&at) == Some(&member) && said.len() < 8 {
            let kinds = [Kind::Accept, Kind::Accept, Kind::Accept, Kind::Release, Kind::Reject];
            said.push((at, self.rng.choice(kinds).expect("there are some")));
            at.1 += 1;
        }
        for (at, kind) in &said {
            self.known.held.remove(at);
            self.known.said.insert(*at, *kind);
            if *kind != Kind::Release {
                self.known.perhaps.insert(*at);
            }
        }
        let one = Acknowledgement {
            first: first.1,
            last: at.1 - 1,
            kinds: said.iter().map(|(_, kind)| *kind).collect(),
        };
        let (leaders, asked) = (running.leaders.clone(), running.asked(first.0));
        let (sender, answer) = oneshot::channel();
        self.pending.push(Pending { said, answer });
        let simulation = self.simulation.as_ref().expect("a machine is there");
        simulation.spawn(async move {
            let _ = sender.send(leaders.acknowledge(asked, member.to_string(), vec![one]).await);
        });
        self.drive(async {})
    }

    fn wait_for_answers(&mut self, running: &Running) -> Option<()> {
        for tries in 1..PATIENCE {
            if self.pending.is_empty() {
                return Some(());
            }
            self.wait_a_little(running, tries)?;
        }
        panic!("{} questions are never answered\n{}", self.pending.len(), self.disk().dump());
    }

    // ---- what comes again ---------------------------------------------------------------------------------

    /// After a start: what was given out before and is not done comes again, all of it; what is done does
    /// not.
    fn see_all(&mut self, running: &Running) -> Option<()> {
        for partition in 0..PARTITIONS {
            let end = self.known.ends.get(&partition).copied().unwrap_or(0);
            let mut seen = BTreeSet::new();
            loop {
                let next = self.take(running, partition, MEMBERS)?;
                let is_past = next.iter().all(|offset| *offset >= end);
                seen.extend(next.iter().copied());
                if is_past {
                    break;
                }
            }
            for offset in 0..end {
                let at = (partition, offset);
                let is_there = seen.contains(&offset);
                let is_perhaps = self.known.perhaps.remove(&at);
                let is_done = self.known.done.contains(&at);
                assert!(is_there || is_done || is_perhaps, "{offset} of {partition} is lost");
                let is_letter = self.known.letters.contains(&at);
                assert!(!is_there || !is_letter, "{offset} of {partition} is a dead letter, and comes again");
                if !is_there {
                    self.known.done.insert(at);
                }
            }
            let Asked { key, partition: id, .. } = running.asked(partition);
            self.drive(running.leaders.release(key, id, MEMBERS))?;
        }
        Some(())
    }

    /// What was rejected is in the queue, or gets there: none of it is archived without. And nothing else is.
    fn see_letters(&mut self, running: &Running) -> Option<()> {
        if !self.has_queue {
            return Some(());
        }
        for tries in 1.. {
            let leaders = running.leaders.clone();
            if self.ask(running, async move { leaders.letters().await })?.waiting == 0 {
                break;
            }
            assert!(tries < PATIENCE, "dead letters are never written\n{}", self.disk().dump());
            self.wait_a_little(running, tries)?;
        }
        self.known.letters = self.read_letters(running)?;
        for at in self.known.done.iter().filter(|at| self.known.said.get(at) == Some(&Kind::Reject)) {
            assert!(self.known.letters.contains(at), "{at:?} was rejected, and is no dead letter");
        }
        for at in &self.known.letters {
            assert!(self.known.done.contains(at), "{at:?} is a dead letter, and is not done");
        }
        Some(())
    }

    fn read_letters(&mut self, running: &Running) -> Option<BTreeSet<At>> {
        let mut letters = BTreeSet::new();
        let Some(queue) = running.process.topics().by_name(QUEUE).map(|queue| queue.id) else {
            return Some(letters);
        };
        let mut next = Offset::ZERO;
        loop {
            let (shard, from) = (running.shards[0].clone(), next);
            let read = async move { shard.read(PartitionId::new(queue, 0), from, 1000).await };
            let bytes = self.ask(running, read)?.expect("it can be read");
            for batch in Batches::new(&bytes) {
                let (header, batch) = batch.expect("it is whole");
                next = header.next_offset();
                let records = Records::new(&batch[BATCH_HEADER_BYTES..], header.record_count() as u32);
                letters.extend(records.map(|record| origin(&record.expect("it is whole"))));
            }
            if bytes.is_empty() {
                return Some(letters);
            }
        }
    }
}

/// The record that a dead letter stands for.
fn origin(letter: &Record<'_>) -> At {
    let header = |wanted: &str| {
        let mut headers = letter.headers.map(|header| header.expect("it is whole"));
        let (_, value) = headers.find(|(name, _)| *name == wanted.as_bytes()).expect("it is there");
        str::from_utf8(value.expect("it is not null")).expect("it is text").to_owned()
    };
    let number = |wanted| header(wanted).parse::<i64>().expect("it is a number");
    assert_eq!((header("__dlq.errors.topic"), header("__dlq.errors.group")), (TOPIC.into(), GROUP.into()));
    (number("__dlq.errors.partition") as u32, number("__dlq.errors.offset"))
}

impl Subject for Life {
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
        let mut fork =
            Life { known: self.known.clone(), images: image.images, ..Life::on(machine, Trouble::default()) };
        fork.has_queue = self.has_queue;
        fork.restart();
        let running = fork.begin();
        if image.lives {
            let lived = fork
                .fetch(&running, 0)
                .and_then(|()| fork.acknowledge(&running))
                .and_then(|()| fork.wait_for_answers(&running));
            assert!(lived.is_some(), "nothing stops it");
        }
    }

    fn harvest(&mut self) {
        for mut pending in std::mem::take(&mut self.pending) {
            match pending.answer.try_recv() {
                Ok(None) => self.pending.push(pending),
                Ok(Some(Ok(()))) => {
                    for (at, kind) in pending.said.into_iter().filter(|(_, kind)| *kind != Kind::Release) {
                        assert!(kind != Kind::Release);
                        self.known.perhaps.remove(&at);
                        self.known.done.insert(at);
                        self.known.acknowledged += 1;
                    }
                }
                // Its lock was over, or it was not stored.
                Ok(Some(Err(_))) => {}
                Err(_) => unreachable!("the machine drops no task while it runs"),
            }
        }
    }
}

/// Counts of what was looked at, to be shared by several runs.
pub(super) type Counted = Rc<std::cell::RefCell<Counts>>;
