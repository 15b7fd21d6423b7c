//! Plays with transactions on one machine: generations of a process, what clients do on it, how it ends, and
//! what must be seen when it comes back. Clients live on: they repeat what was not answered, or begin anew.
//!
//! Functions that drive the machine give `None` when it has stopped.

mod seen;

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use bytes::BytesMut;
use fastrand::Rng;
use futures_util::future::{Either, select};
use strandline_engine::crash::{Counts, Ending, Image, Images, Process, Settings, Subject, start};
use strandline_engine::error::AppendError;
use strandline_engine::format::batch::Producer;
use strandline_engine::format::builder::BatchBuilder;
use strandline_engine::format::compression::Codec;
use strandline_engine::sim::{Clock, SimDisk, Simulation};
use strandline_engine::topics::NewTopic;
use strandline_engine::types::{PartitionId, Sequence, Timestamp};
use strandline_engine::{Marker, Origin, Participation, TransactionResult};
use strandline_protocol::wire::ErrorCode;

use super::known::{Fate, Known, Name, Value};
use crate::coordination::Partitions;
use crate::coordination::Transactional;
use crate::coordination::simulated::{Simulated, Timers, Trouble, compacted, some_settings};
use crate::groups::crash::groups;
use crate::groups::records::OffsetValue;
use crate::groups::{Commit, Groups, Identity, OFFSETS_TOPIC};
use crate::transactions::{BUMPING_LEVEL, ByTopic, Init, STATE_TOPIC, TransactionSettings, Transactions};

/// Steps after which something that is still under way never ends.
const PATIENCE: usize = 20_000;

/// The same while something is wrong with the disk, which may last until the next start.
const PATIENCE_IN_TROUBLE: usize = 30;

/// Turns for which who adds partitions waits for the end of the transaction before.
const ADD_TURNS: usize = 200;

/// The topic that is written to, and its partitions.
const TOPIC: &str = "t";
const PARTITIONS: i32 = 3;

/// Clients, each with a transactional id, and a group that counts its transactions.
const CLIENTS: usize = 3;

/// How long transactions may be open, in milliseconds.
const TIMEOUT_MS: i32 = 60_000;

/// Counts of what was looked at, to be shared by several runs.
pub(super) type Counted = Rc<std::cell::RefCell<Counts>>;

/// A machine, and what must be known of the transactions on it.
pub(super) struct Life {
    seed: u64,
    rng: Rng,
    simulation: Option<Simulation>,
    clock: Clock,
    trouble: Trouble,
    /// Whether there was trouble since the start, which excuses a refusal.
    pub(super) is_troubled: bool,
    pub(super) known: Known,
    clients: Vec<Client>,
    pub(super) images: Option<Images>,
    /// What clients do in one generation.
    pub(super) steps_max: usize,
    /// Whether the machine may stop while they do it.
    pub(super) is_mortal: bool,
}

/// A client as it knows itself.
#[derive(Clone, Default)]
struct Client {
    /// `None` until an instance has begun.
    producer: Option<Producer>,
    level: i16,
    /// The how manieth transaction is the next or the open one.
    count: u32,
    is_open: bool,
    next_value: u32,
    sequences: BTreeMap<i32, i32>,
    /// What was not answered.
    doubt: Option<Doubt>,
}

/// What a client has asked for and has no answer to.
#[derive(Clone, Copy, Debug)]
enum Doubt {
    /// Something of the open transaction: it can only be aborted.
    Part,
    /// The end of the open transaction.
    End(TransactionResult),
}

/// A process with its coordinators.
pub(super) struct Running {
    pub(super) process: Process,
    groups: Groups,
    transactions: Transactions,
    shards: Vec<Simulated>,
    timers: Timers,
}

fn transaction_settings() -> TransactionSettings {
    TransactionSettings {
        timeout_max_ms: i32::MAX,
        expiration_ms: i64::MAX,
        timeout_check_ms: 500,
        expiration_check_ms: 5000,
        topic_partitions: 2,
        topic_segment_bytes: 4096,
    }
}

fn id_of(client: usize) -> String {
    format!("x{client}")
}

fn group_of(client: usize) -> String {
    format!("g{client}")
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
            clients: vec![Client::default(); CLIENTS],
            images: None,
            steps_max: 60,
            is_mortal: true,
        }
    }

    /// Generation after generation, and a last start, after which nothing stays open.
    pub(super) fn generations(&mut self, count: usize) {
        for _ in 0..count {
            self.start_in_vain();
            let settings = some_settings(&mut self.rng);
            let running = self.begin(&settings);
            let ending = *self.rng.choice(&[Ending::PowerLoss, Ending::Kill, Ending::Stop]).expect("three");
            if self.rng.u8(..4) > 0 {
                let disk = self.disk();
                disk.stop_after(disk.operations() + self.rng.u64(..1000));
            }
            let finished = self.work(&running).and_then(|()| self.calm(&running, ending));
            let disk = &running.process.disk;
            assert!(
                finished.is_some() || disk.operations() >= disk.stop_after_count(),
                "everything waits\n{}",
                disk.dump()
            );
            self.end(running, ending);
        }
        self.start_in_vain();
        let settings = some_settings(&mut self.rng);
        let running = self.begin(&settings);
        assert!(self.nothing_stays_open(&running).is_some(), "nothing stops it");
    }

    /// Nothing is wrong any more; an administrator may stop the process.
    fn calm(&mut self, running: &Running, ending: Ending) -> Option<()> {
        Trouble::end(&running.process.disk);
        if ending == Ending::Stop {
            self.is_troubled = true;
            drop(self.drive(running.process.stop())?);
        }
        Some(())
    }

    pub(super) fn end(&mut self, running: Running, ending: Ending) {
        drop(running);
        self.crash(ending);
    }

    fn crash(&mut self, ending: Ending) {
        let simulation = self.simulation.take().expect("a machine is there");
        self.simulation = Some(match ending {
            Ending::PowerLoss => simulation.crash(),
            Ending::Kill | Ending::Stop => simulation.kill(),
        });
    }

    fn disk(&self) -> SimDisk {
        self.simulation.as_ref().expect("a machine is there").disk()
    }

    // ---- start --------------------------------------------------------------------------------------------

    /// Starts that end somewhere: while the engine recovers, while coordinators load, or while markers are
    /// written that are due.
    fn start_in_vain(&mut self) {
        while self.known.topics_made && self.images.is_none() && self.rng.u8(..3) == 0 {
            Trouble::end(&self.disk());
            let disk = self.disk();
            disk.stop_after(disk.operations() + self.rng.u64(..400));
            let settings = some_settings(&mut self.rng);
            if let Some(running) = self.launch(&settings) {
                let _ = self.find(&running);
            }
            let ending = *self.rng.choice(&[Ending::PowerLoss, Ending::Kill]).expect("two");
            self.crash(ending);
        }
    }

    /// Starts the process and its coordinators, and compares what is seen with what is known: at once, and
    /// when all markers are written.
    pub(super) fn begin(&mut self, settings: &Settings) -> Running {
        Trouble::end(&self.disk());
        let running = self.launch(settings).expect("nothing stops it");
        assert!(self.find(&running).is_some(), "nothing stops it");
        running
    }

    fn launch(&mut self, settings: &Settings) -> Option<Running> {
        self.is_troubled = false;
        let mut simulation = self.simulation.take().expect("a machine is there");
        let started = start(&mut simulation, settings, |disk| self.look(disk));
        self.simulation = Some(simulation);
        let process = started?.expect("the engine starts");
        let timers = Timers::default();
        let shards = Simulated::shards(&process, &self.clock, &timers);
        let groups = groups(shards.len());
        let transactions = Transactions::on(compacted(STATE_TOPIC), &transaction_settings(), shards.len());
        for shard in &shards {
            let simulation = self.simulation.as_ref().expect("a machine is there");
            simulation.spawn(groups.clone().run(shard.clone()));
            simulation.spawn(transactions.clone().run(shard.clone(), groups.clone()));
        }
        Some(Running { process, groups, transactions, shards, timers })
    }

    fn find(&mut self, running: &Running) -> Option<()> {
        self.make_topics(running)?;
        self.compare(running, false)?;
        self.settle(running)?;
        self.compare(running, true)
    }

    fn make_topics(&mut self, running: &Running) -> Option<()> {
        for name in [TOPIC, OFFSETS_TOPIC, STATE_TOPIC] {
            let is_there = running.process.topics().by_name(name).is_some();
            assert!(!self.known.topics_made || is_there, "{name} is lost");
        }
        if running.process.topics().by_name(TOPIC).is_none() {
            // The records' own time is long ago, and none of them may expire.
            let configs = vec![("retention.ms".to_owned(), "-1".to_owned())];
            let new = NewTopic { name: TOPIC.to_owned(), partitions: PARTITIONS as u32, configs };
            let made = self.drive(async { running.process.create_topic(new).await.await })?;
            made.expect("an answer").expect("it is created");
        }
        self.drive(running.groups.topic(&running.shards[0]))?.expect("it is created");
        self.drive(running.transactions.topic(&running.shards[0]))?.expect("it is created");
        self.known.topics_made = true;
        Some(())
    }

    /// Waits until every transaction that has ended is marked, in all its partitions.
    pub(super) fn settle(&mut self, running: &Running) -> Option<()> {
        for _ in 0..PATIENCE {
            match self.drive(running.transactions.list())? {
                Ok(all) if all.iter().all(|of| of.state.prepared().is_none()) => return Some(()),
                Ok(_) | Err(ErrorCode::CoordinatorLoadInProgress) => self.pause(running)?,
                Err(error) => panic!("the transactions are not loaded: {error}"),
            }
        }
        panic!("the markers are never written\n{}", self.disk().dump());
    }

    /// Ends what a client has open, in every partition, as a coordinator of a later epoch.
    pub(super) fn end_as_successor(&mut self, running: &Running, at: usize, epoch: i32) -> Option<()> {
        let producer = self.clients[at].producer.expect("it has begun");
        let result = TransactionResult::Abort;
        let marker = Marker { producer, coordinator_epoch: epoch, result, bumped: false };
        for partition in 0..PARTITIONS {
            let place = partition_id(running, partition);
            let pending = self.drive(running.shards[0].end_transaction(place, marker))?;
            let ended = self.drive(Simulated::settled(pending.expect("it is taken")))?;
            ended.expect("nobody knows a later coordinator");
        }
        Some(())
    }

    /// Whether a client's transaction has ended and waits for markers.
    pub(super) fn is_ending(&mut self, running: &Running, at: usize) -> Option<bool> {
        let all = self.drive(running.transactions.list())?.expect("they are loaded");
        Some(all.iter().any(|of| of.id == id_of(at) && of.state.prepared().is_some()))
    }

    fn pause(&mut self, running: &Running) -> Option<()> {
        self.pass_time(running, Duration::from_millis(5))?;
        self.drive(running.process.pass_time(1))
    }

    /// Moves the clock, wakes what is due, and lets the tasks run.
    pub(super) fn pass_time(&mut self, running: &Running, by: Duration) -> Option<()> {
        self.clock.advance(by);
        let now = self.clock.timestamp();
        running.process.tick(now);
        running.timers.tick(now.0);
        self.drive(async {})
    }

    // ---- what clients do ----------------------------------------------------------------------------------

    pub(super) fn work(&mut self, running: &Running) -> Option<()> {
        for _ in 0..self.rng.usize(1..=self.steps_max) {
            let client = self.rng.usize(..CLIENTS);
            if self.clients[client].doubt.is_some() && self.rng.bool() {
                self.resolve(running, client)?;
                continue;
            }
            match self.rng.u8(..21) {
                _ if self.clients[client].producer.is_none() => self.init(running, client)?,
                0 => self.init(running, client)?,
                1..=9 => self.write(running, client)?,
                10..=11 => self.commit_offset(running, client)?,
                12..=15 => self.end_with(running, client, TransactionResult::Commit)?,
                16 => self.end_with(running, client, TransactionResult::Abort)?,
                17 => {
                    let operations = self.rng.usize(1..60);
                    self.drive(running.process.pass_time(operations))?;
                }
                18 => {
                    let by = Duration::from_millis(self.rng.u64(..30_000));
                    self.pass_time(running, by)?;
                }
                19 if self.trouble != Trouble::NONE => {
                    self.is_troubled |= self.trouble.strike(&mut self.rng, &running.process.disk);
                }
                _ => self.compare(running, false)?,
            }
        }
        Some(())
    }

    /// Asks until the answer is another one than "later".
    fn patiently<T>(
        &mut self,
        running: &Running,
        mut ask: impl AsyncFnMut(&Simulated) -> Result<T, ErrorCode>,
    ) -> Option<Result<T, ErrorCode>> {
        let patience = if self.is_troubled { PATIENCE_IN_TROUBLE } else { PATIENCE };
        for _ in 0..patience {
            let shard = running.shards[self.rng.usize(..running.shards.len())].clone();
            match self.drive(ask(&shard))? {
                Err(ErrorCode::ConcurrentTransactions | ErrorCode::CoordinatorLoadInProgress) => {
                    self.pause(running)?;
                }
                answer => return Some(answer),
            }
        }
        assert!(self.is_troubled, "it is never time\n{}", self.disk().dump());
        Some(Err(ErrorCode::ConcurrentTransactions))
    }

    /// Whether an error says no more than that it cannot be done for the moment.
    fn is_trouble(&self, error: ErrorCode) -> bool {
        let passes = matches!(
            error,
            ErrorCode::ConcurrentTransactions
                | ErrorCode::CoordinatorNotAvailable
                | ErrorCode::KafkaStorageError
        );
        self.is_troubled && passes
    }

    /// Another instance of a client begins: what the one before left open is aborted, unless its commit was
    /// asked for.
    fn init(&mut self, running: &Running, at: usize) -> Option<()> {
        let is_committing = matches!(self.clients[at].doubt, Some(Doubt::End(TransactionResult::Commit)));
        if self.clients[at].is_open && !is_committing {
            self.decide(at, Fate::Aborted);
        }
        let init = Init { timeout_ms: TIMEOUT_MS, expected: None };
        let level = if self.rng.bool() { BUMPING_LEVEL } else { 0 };
        let count = self.clients[at].count + u32::from(is_committing);
        // Whatever comes of it: nobody goes on as the instance before.
        self.clients[at] = Client { level, count, ..Client::default() };
        let begun = self.patiently(running, async |shard| {
            running.transactions.init_producer_id(shard, id_of(at), init.clone()).await
        });
        match begun? {
            Ok(producer) => self.clients[at].producer = Some(producer),
            Err(error) => assert!(self.is_trouble(error), "{error}"),
        }
        Some(())
    }

    /// What became of the client's open transaction: the next one is another.
    fn decide(&mut self, at: usize, fate: Fate) {
        let client = &mut self.clients[at];
        self.known.is_decided((at, client.count), fate);
        (client.is_open, client.doubt) = (false, None);
        (client.count, client.next_value) = (client.count + 1, 0);
    }

    fn open(&mut self, at: usize) -> Name {
        let name = (at, self.clients[at].count);
        if !self.clients[at].is_open {
            self.clients[at].is_open = true;
            self.known.begin(name);
        }
        name
    }

    /// A client that is fenced has no more to say: its transaction is aborted, and it begins anew.
    fn is_fenced(&mut self, at: usize, error: ErrorCode) {
        assert!(
            matches!(
                error,
                ErrorCode::ProducerFenced
                    | ErrorCode::InvalidProducerEpoch
                    | ErrorCode::InvalidTxnState
                    | ErrorCode::TransactionAbortable
            ),
            "{error}"
        );
        if self.clients[at].is_open {
            self.decide(at, Fate::Aborted);
        }
        self.clients[at].producer = None;
    }

    pub(super) fn write(&mut self, running: &Running, at: usize) -> Option<()> {
        if self.clients[at].doubt.is_some() {
            return Some(());
        }
        let (name, partition) = (self.open(at), self.rng.i32(0..PARTITIONS));
        let client = &mut self.clients[at];
        let (producer, level) = (client.producer.expect("it has begun"), client.level);
        let number = client.next_value;
        client.next_value += 1;
        client.doubt = Some(Doubt::Part);
        let sequence = client.sequences.get(&partition).copied().unwrap_or(0);
        let batch = batch(producer, sequence, (name, number));
        let written = self.patiently(running, async |shard| {
            append(running, shard, &id_of(at), producer, level, partition, batch.clone()).await
        });
        match written? {
            Ok(()) => {
                self.known.of(name).values.entry(partition).or_default().insert(number);
                self.clients[at].sequences.insert(partition, sequence + 1);
                self.clients[at].doubt = None;
            }
            // Whether it is there is known when the transaction has ended.
            Err(error) if self.is_trouble(error) => {}
            Err(error) => self.is_fenced(at, error),
        }
        Some(())
    }

    /// Commits as its offset how many transactions the client has had.
    fn commit_offset(&mut self, running: &Running, at: usize) -> Option<()> {
        // A transaction without values would be seen by nothing.
        if self.clients[at].doubt.is_some() || !self.clients[at].is_open {
            return Some(());
        }
        let name = self.open(at);
        if self.known.of(name).values.is_empty() {
            return Some(());
        }
        let client = &mut self.clients[at];
        let producer = client.producer.expect("it has begun");
        client.doubt = Some(Doubt::Part);
        let level = client.level;
        let committed = self.patiently(running, async |shard| {
            commit(running, shard, at, producer, level, i64::from(name.1)).await
        });
        match committed? {
            Ok(()) => {
                self.known.of(name).has_offset = true;
                self.clients[at].doubt = None;
            }
            Err(error) if self.is_trouble(error) => {}
            Err(error) => self.is_fenced(at, error),
        }
        Some(())
    }

    pub(super) fn end_with(&mut self, running: &Running, at: usize, result: TransactionResult) -> Option<()> {
        if self.clients[at].doubt.is_some() || !self.clients[at].is_open {
            return Some(());
        }
        let name = self.open(at);
        if result == TransactionResult::Commit {
            self.known.of(name).fate = Fate::Committing;
        }
        self.clients[at].doubt = Some(Doubt::End(result));
        // An end is few operations among many: seldom enough would the machine stop in one by itself.
        if self.is_mortal && self.rng.u8(..6) == 0 {
            let disk = self.disk();
            disk.stop_after(disk.operations() + self.rng.u64(..30));
        }
        self.resolve(running, at)
    }

    /// Every client that has none begins an instance.
    pub(super) fn init_all(&mut self, running: &Running) -> Option<()> {
        (0..CLIENTS).try_for_each(|at| match self.clients[at].producer {
            None => self.init(running, at),
            Some(_) => Some(()),
        })
    }

    /// How many clients have something in doubt.
    pub(super) fn doubts(&self) -> usize {
        self.clients.iter().filter(|client| client.doubt.is_some()).count()
    }

    /// Goes on with all that was not answered.
    pub(super) fn resolve_all(&mut self, running: &Running) -> Option<()> {
        (0..CLIENTS).try_for_each(|at| match self.clients[at].doubt {
            Some(_) => self.resolve(running, at),
            None => Some(()),
        })
    }

    /// Goes on with what was not answered.
    fn resolve(&mut self, running: &Running, at: usize) -> Option<()> {
        let result = match self.clients[at].doubt.expect("something is in doubt") {
            // An old client has no other way to know which of its sequences are used.
            Doubt::Part if self.clients[at].level < BUMPING_LEVEL => return self.init(running, at),
            Doubt::Part => TransactionResult::Abort,
            Doubt::End(result) => result,
        };
        self.clients[at].doubt = Some(Doubt::End(result));
        let (producer, level) = (self.clients[at].producer.expect("it has begun"), self.clients[at].level);
        let ended = self.patiently(running, async |shard| {
            running.transactions.end(shard, id_of(at), producer, result, level).await
        });
        match ended? {
            Ok(producer) => {
                self.decide(
                    at,
                    match result {
                        TransactionResult::Commit => Fate::Committed,
                        TransactionResult::Abort => Fate::Aborted,
                    },
                );
                let client = &mut self.clients[at];
                if client.producer != Some(producer) {
                    client.sequences.clear();
                }
                client.producer = Some(producer);
            }
            Err(error) if self.is_trouble(error) => {}
            // Its time was up, or it had not begun when a crash came.
            Err(error) => self.is_fenced(at, error),
        }
        Some(())
    }
}

fn partition_id(running: &Running, partition: i32) -> PartitionId {
    let topics = running.process.topics();
    PartitionId::new(topics.by_name(TOPIC).expect("it was made").id, partition as u32)
}

fn batch(producer: Producer, sequence: i32, ((client, count), number): Value) -> BytesMut {
    let mut batch = BatchBuilder::new(Codec::None)
        .producer(producer.id, producer.epoch, Sequence(sequence))
        .transactional(true);
    let value = format!("{client} {count} {number}");
    batch.push(Timestamp(1), None, Some(value.as_bytes()), &[]);
    batch.build()
}

/// Appends a batch as a produce request does.
async fn append(
    running: &Running,
    shard: &Simulated,
    id: &str,
    producer: Producer,
    level: i16,
    partition: i32,
    batch: BytesMut,
) -> Result<(), ErrorCode> {
    let at = partition_id(running, partition);
    let refused = |error: AppendError| code(&error);
    let origin = match running.process.participation(at, producer).await.map_err(refused)? {
        Participation::Open => Origin::Client,
        Participation::Absent(guard) => {
            let added = ByTopic::from([(TOPIC.to_owned(), [partition].into())]);
            add(running, shard, id, producer, added, level).await?;
            if level < BUMPING_LEVEL {
                let asked = vec![(TOPIC.to_owned(), partition)];
                let verified =
                    running.transactions.verify_partitions(shard, id.to_owned(), producer, asked).await?;
                verified.into_iter().collect::<Result<Vec<()>, _>>()?;
            }
            match level >= BUMPING_LEVEL {
                true => Origin::EpochOfItsOwn(guard),
                false => Origin::Transaction(guard),
            }
        }
    };
    let now = Timestamp(1);
    let pending = running.process.append_as(at, batch, origin, now).await.map_err(refused)?;
    let appended = pending.await.expect("the machine drops no task while it runs");
    appended.map(drop).map_err(refused)
}

/// Adds partitions as Produce does: a client of the new level waits for its turn, but not for ever.
async fn add(
    running: &Running,
    shard: &Simulated,
    id: &str,
    producer: Producer,
    added: ByTopic,
    level: i16,
) -> Result<(), ErrorCode> {
    let (transactions, id) = (&running.transactions, id.to_owned());
    if level < BUMPING_LEVEL {
        return transactions.add_partitions(shard, id, producer, added, level).await;
    }
    let adding = pin!(transactions.add_partitions_in_turn(shard, id, producer, added, level));
    match select(adding, pin!(turns(ADD_TURNS))).await {
        Either::Left((added, _)) => added,
        Either::Right(_) => Err(ErrorCode::ConcurrentTransactions),
    }
}

/// So many turns of the machine.
async fn turns(count: usize) {
    let mut left = count;
    poll_fn(|context| {
        left = left.saturating_sub(1);
        context.waker().wake_by_ref();
        if left == 0 { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

fn code(error: &AppendError) -> ErrorCode {
    match error {
        AppendError::StaleProducerEpoch { .. } => ErrorCode::InvalidProducerEpoch,
        AppendError::InvalidTransactionState { .. } => ErrorCode::InvalidTxnState,
        AppendError::NoSpace(_) | AppendError::Fenced { .. } => ErrorCode::KafkaStorageError,
        error => panic!("a batch is refused: {error}"),
    }
}

/// Commits an offset of the client's group, as a part of its transaction.
async fn commit(
    running: &Running,
    shard: &Simulated,
    client: usize,
    producer: Producer,
    level: i16,
    offset: i64,
) -> Result<(), ErrorCode> {
    let group = group_of(client);
    let partition = running.groups.partition(shard, &group).await.expect("the topic is there");
    let participation =
        running.process.participation(partition, producer).await.map_err(|error| code(&error))?;
    let added = ByTopic::from([(OFFSETS_TOPIC.to_owned(), [partition.index as i32].into())]);
    running.transactions.add_partitions(shard, id_of(client), producer, added, level).await?;
    let value = OffsetValue { offset, expire_timestamp: -1, ..Default::default() };
    let commit = Commit {
        identity: Identity { generation: -1, ..Identity::default() },
        unknown: ErrorCode::IllegalGeneration,
        offsets: vec![(TOPIC.to_owned(), vec![(0, value)])],
        transaction: Some(Transactional { producer, verified: Some(participation) }),
    };
    let codes = running.groups.commit(shard, group, commit).await?;
    let mut codes = codes.into_iter().flat_map(|(_, codes)| codes).map(|(_, code)| code);
    codes.find(|code| *code != ErrorCode::None).map_or(Ok(()), Err)
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
        let mut fork = Life {
            known: self.known.clone(),
            clients: self.clients.clone(),
            images: image.images,
            ..Life::on(machine, Trouble::NONE)
        };
        let settings = some_settings(&mut fork.rng);
        let running = fork.begin(&settings);
        if image.lives {
            (fork.steps_max, fork.is_mortal) = (5, false);
            let lived = fork.work(&running).and_then(|()| fork.nothing_stays_open(&running));
            assert!(lived.is_some(), "nothing stops it");
        }
    }

    fn harvest(&mut self) {}
}
