//! The transactional ids of one partition of `__transaction_state`: what becomes of requests, what is due,
//! and which markers are to be written.
//!
//! ```text
//! request > Transaction (the rules) > Change, to be written > replay > answer
//!                                                               |
//!                     Prepare*: Marking > markers (a task) > complete > Change, to be written > replay
//! ```
//!
//! * It is a [`Machine`]: memory says what is durable. While a change of a transactional id is on its way,
//!   the next one is told CONCURRENT_TRANSACTIONS, so that there is never more than one.
//! * The end of a transaction is decided when its `Prepare*` record is durable: it is answered then, and the
//!   markers are handed over to whoever writes them. What a start finds in that state is handed over again.
//! * Time comes in looks, as often as the settings say, that take a bounded number of steps each: open
//!   transactions whose time is up are aborted, idle ids are forgotten.

use std::collections::{BTreeSet, HashMap, VecDeque};

use async_channel::Sender;
use strandline_engine::TransactionResult;
use strandline_engine::format::batch::Producer;
use strandline_engine::types::{LeaderEpoch, Offset, ProducerId};
use strandline_protocol::wire::ErrorCode;

use super::records::Change;
use super::transaction::{BUMPING_LEVEL, ByTopic, Init, Next, State, Transaction};
use crate::coordination::{Machine, Outcome, Reply, Stored, Turn, Write};

/// Transactional ids that one step of a look takes.
const STEP_MAX: usize = 100;

/// The settings of the coordinators.
#[derive(Clone, Debug)]
pub struct CoordinatorSettings {
    /// The longest time that transactions may be open, in milliseconds.
    pub timeout_max_ms: i32,
    /// How long a transactional id is kept that nobody uses, in milliseconds.
    pub expiration_ms: i64,
    /// How often it is looked for transactions whose time is up, in milliseconds.
    pub timeout_check_ms: i64,
    /// How often it is looked for transactional ids to forget, in milliseconds.
    pub expiration_check_ms: i64,
    /// Where the ends of transactions go. Unbounded: there is one at a time of each transactional id.
    pub markers: Sender<Marking>,
}

/// A transaction that has ended: what is to be told to which partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marking {
    /// The transactional id.
    pub id: String,
    /// Its producer, in the epoch of the markers.
    pub producer: Producer,
    /// How it has ended.
    pub result: TransactionResult,
    /// Whether the epoch was raised by the end.
    pub is_bumped: bool,
    /// The epoch in which the partition of the transactional id is coordinated.
    pub coordinator_epoch: LeaderEpoch,
    /// Where it has written.
    pub partitions: ByTopic,
}

/// What an operation answers that may need a fresh producer id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Given<T> {
    /// The answer.
    Answer(T),
    /// It is to be asked again, with a producer id.
    NeedsProducerId,
}

/// A transactional id in the list of all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The transactional id.
    pub id: String,
    /// Its producer id.
    pub producer_id: ProducerId,
    /// Where it is in its life.
    pub state: State,
    /// How long its transaction has been running, in milliseconds.
    pub age_ms: i64,
}

/// What is counted of the transactional ids of a partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Transactional ids.
    pub ids: u64,
    /// Open transactions.
    pub open: u64,
    /// Transactions that have ended, and whose markers are on their way.
    pub ending: u64,
    /// When the oldest of these began, in milliseconds since 1970.
    pub oldest: Option<i64>,
    /// What has happened since the coordinator began.
    pub counts: Counts,
}

impl Report {
    /// Of two, what both say together.
    pub(super) fn plus(self, other: Report) -> Report {
        Report {
            ids: self.ids + other.ids,
            open: self.open + other.open,
            ending: self.ending + other.ending,
            oldest: self.oldest.into_iter().chain(other.oldest).min(),
            counts: Counts {
                committed: self.counts.committed + other.counts.committed,
                aborted: self.counts.aborted + other.counts.aborted,
                timed_out: self.counts.timed_out + other.counts.timed_out,
                fenced: self.counts.fenced + other.counts.fenced,
            },
        }
    }
}

/// What has happened since a coordinator began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Transactions that were committed.
    pub committed: u64,
    /// Transactions that were aborted, for whatever reason.
    pub aborted: u64,
    /// Those of them whose time was up.
    pub timed_out: u64,
    /// Requests of instances that a newer one has fenced.
    pub fenced: u64,
}

/// What follows when a change has settled.
pub enum Then {
    /// Nothing.
    Nothing,
    /// The markers are to be written.
    Mark,
    /// As [`Then::Mark`]; it is counted that the time was up.
    TimedOut,
    /// Who waited for its turn to add partitions is told.
    Added(Reply<Result<(), ErrorCode>>),
}

/// Partitions that are to be added to a transaction, and who waits for it.
pub struct Adding {
    /// Whose transaction it is.
    pub producer: Producer,
    /// What it is to write to.
    pub partitions: ByTopic,
    /// The `transaction.version` of who asks.
    pub level: i16,
    /// Where the answer goes.
    pub reply: Reply<Result<(), ErrorCode>>,
}

/// The transactional ids of one partition.
pub struct TransactionCoordinator {
    settings: CoordinatorSettings,
    transactions: HashMap<String, Transaction>,
    timeouts: Looks,
    expirations: Looks,
    counts: Counts,
    /// Who waits until it is its turn to add partitions: one for each request that has not been given up.
    waiting: HashMap<String, VecDeque<Adding>>,
}

/// When each of some transactional ids is due, and when it is looked for those that are.
struct Looks {
    every_ms: i64,
    next: i64,
    due: BTreeSet<(i64, String)>,
}

impl Looks {
    fn new(every_ms: i64) -> Looks {
        Looks { every_ms, next: 0, due: BTreeSet::new() }
    }

    fn wake_at(&self) -> i64 {
        self.due.first().map_or(i64::MAX, |(at, _)| self.next.max(*at))
    }

    /// Some of those that are due; they are not due any more. When none is left the look is over.
    fn take(&mut self, now: i64) -> Vec<String> {
        let mut taken = Vec::new();
        if self.wake_at() > now {
            return taken;
        }
        while taken.len() < STEP_MAX && self.due.first().is_some_and(|(at, _)| *at <= now) {
            taken.extend(self.due.pop_first().map(|(_, id)| id));
        }
        if taken.len() < STEP_MAX {
            self.next = now.saturating_add(self.every_ms);
        }
        taken
    }
}

type TransactionTurn<'a> = Turn<'a, TransactionCoordinator>;

impl TransactionCoordinator {
    // ---- requests -----------------------------------------------------------------------------------------

    /// An instance of a producer begins, or goes on after an error; its answer is the producer that it is.
    pub fn init(
        &mut self,
        turn: &mut TransactionTurn<'_>,
        id: &str,
        init: &Init,
        fresh: Option<ProducerId>,
    ) -> Outcome<TransactionCoordinator, Result<Given<Producer>, ErrorCode>> {
        if init.timeout_ms <= 0 || init.timeout_ms > self.settings.timeout_max_ms {
            return Outcome::Answer(Err(ErrorCode::InvalidTransactionTimeout));
        }
        if turn.is_in_flight(id) {
            return Outcome::Answer(Err(ErrorCode::ConcurrentTransactions));
        }
        let next = match (self.transactions.get(id), fresh) {
            (Some(known), _) => known.init(init, fresh, turn.now),
            (None, None) => Ok(Next::NeedsProducerId),
            (None, Some(fresh)) => Ok(Next::Write(Transaction::first(fresh, init, turn.now))),
        };
        match self.note(next) {
            Ok(Next::Write(next)) if next.state == State::PrepareAbort => {
                let refused = Err(ErrorCode::ConcurrentTransactions);
                write(id, next, Then::Mark, refused)
            }
            Ok(Next::Write(next)) => {
                let given = Ok(Given::Answer(next.producer));
                write(id, next, Then::Nothing, given)
            }
            Ok(Next::NeedsProducerId) => Outcome::Answer(Ok(Given::NeedsProducerId)),
            Ok(Next::Same) => unreachable!("each instance is written down"),
            Err(error) => Outcome::Answer(Err(error)),
        }
    }

    /// A transaction is to write to these partitions as well.
    pub fn add(
        &mut self,
        turn: &mut TransactionTurn<'_>,
        id: &str,
        producer: Producer,
        partitions: ByTopic,
        level: i16,
    ) -> Outcome<TransactionCoordinator, Result<(), ErrorCode>> {
        let known = self.transactions.get(id).ok_or(ErrorCode::InvalidProducerIdMapping);
        let next = known.and_then(|known| {
            let next = known.add(producer, partitions, level, turn.now);
            // As in Kafka, who may not is told so first.
            unless_in_flight(turn, id, next)
        });
        match self.note(next) {
            Ok(Next::Write(next)) => write(id, next, Then::Nothing, Ok(())),
            Ok(Next::Same) => Outcome::Answer(Ok(())),
            Ok(Next::NeedsProducerId) => unreachable!("partitions need none"),
            Err(error) => Outcome::Answer(Err(error)),
        }
    }

    /// Whether a transaction is to write to each of these partitions. What is on its way does not count.
    ///
    /// # Errors
    /// See [`Transaction::verify`].
    pub fn verify(
        &mut self,
        id: &str,
        producer: Producer,
        partitions: &[(String, i32)],
    ) -> Result<Vec<Result<(), ErrorCode>>, ErrorCode> {
        let known = self.transactions.get(id).ok_or(ErrorCode::InvalidProducerIdMapping);
        let verified = known.and_then(|known| known.verify(producer, partitions));
        self.note(verified)
    }

    /// A client ends its transaction; its answer is the producer that it goes on with.
    pub fn end(
        &mut self,
        turn: &mut TransactionTurn<'_>,
        id: &str,
        producer: Producer,
        result: TransactionResult,
        level: i16,
        fresh: Option<ProducerId>,
    ) -> Outcome<TransactionCoordinator, Result<Given<Producer>, ErrorCode>> {
        let known = self.transactions.get(id).ok_or(ErrorCode::InvalidProducerIdMapping);
        let current = known.map(|known| known.producer);
        let next = known.and_then(|known| {
            let next = known.end(producer, result, level, fresh, turn.now);
            unless_in_flight(turn, id, next)
        });
        match self.note(next) {
            Ok(Next::Write(next)) => {
                let given = Ok(Given::Answer(next.answered()));
                write(id, next, Then::Mark, given)
            }
            Ok(Next::Same) => Outcome::Answer(current.map(Given::Answer)),
            Ok(Next::NeedsProducerId) => Outcome::Answer(Ok(Given::NeedsProducerId)),
            Err(error) => Outcome::Answer(Err(error)),
        }
    }

    /// All markers of a transaction are written. What is not being ended (any more) stays as it is.
    pub fn complete(
        &mut self,
        turn: &mut TransactionTurn<'_>,
        id: &str,
        producer: Producer,
    ) -> Outcome<TransactionCoordinator, Result<(), ErrorCode>> {
        let known = self.transactions.get(id).filter(|known| known.producer == producer);
        let completed = known.and_then(|known| known.completed(turn.now));
        let Some(completed) = completed.filter(|_| !turn.is_in_flight(id)) else {
            return Outcome::Answer(Ok(()));
        };
        let Some((next, reply)) = self.begin_next(id, &completed, turn.now) else {
            return write(id, completed, Then::Nothing, Ok(()));
        };
        let records = [completed, next].map(|transaction| change(id, transaction)).to_vec();
        let write = Write {
            key: Some(id.to_owned()),
            records,
            transaction: None,
            is_whole: false,
            then: Then::Added(reply),
        };
        Outcome::Write(write, Box::new(|stored: Stored| stored.map_err(ErrorCode::from)))
    }

    /// As [`TransactionCoordinator::add`], but what is told CONCURRENT_TRANSACTIONS there waits here for its
    /// turn. A transaction that waits for the end of the one before begins in the same write that says that
    /// all markers of that are written.
    pub fn add_in_turn(&mut self, turn: &mut TransactionTurn<'_>, id: &str, adding: Adding) {
        match self.add(turn, id, adding.producer, adding.partitions.clone(), adding.level) {
            Outcome::Write(Write { key, records, .. }, _) => {
                turn.write(key, records, Then::Added(adding.reply));
            }
            Outcome::Answer(Err(ErrorCode::ConcurrentTransactions)) => {
                let waiting = self.waiting.entry(id.to_owned()).or_default();
                // Markers may have to wait for long, and those who ask for a moment only.
                waiting.retain(|adding| adding.reply.is_awaited());
                waiting.push_back(adding);
            }
            Outcome::Answer(answer) => adding.reply.send(answer),
        }
    }

    /// The transaction that begins when this one is complete, of the first who waits for that, and who it is.
    fn begin_next(
        &mut self,
        id: &str,
        completed: &Transaction,
        now: i64,
    ) -> Option<(Transaction, Reply<Result<(), ErrorCode>>)> {
        let waiting = self.waiting.get_mut(id)?;
        while let Some(Adding { producer, partitions, level, reply }) = waiting.pop_front() {
            if !reply.is_awaited() {
                continue;
            }
            match completed.add(producer, partitions, level, now) {
                Ok(Next::Write(next)) => return Some((next, reply)),
                Ok(_) => reply.send(Ok(())),
                Err(error) => reply.send(Err(error)),
            }
        }
        None
    }

    /// Goes on with those who wait: a change has settled.
    fn go_on(&mut self, turn: &mut TransactionTurn<'_>, id: &str) {
        for adding in self.waiting.remove(id).into_iter().flatten() {
            if adding.reply.is_awaited() {
                self.add_in_turn(turn, id, adding);
            }
        }
    }

    /// Counts who is fenced.
    fn note<T>(&mut self, outcome: Result<T, ErrorCode>) -> Result<T, ErrorCode> {
        self.counts.fenced += u64::from(matches!(outcome, Err(ErrorCode::ProducerFenced)));
        outcome
    }

    // ---- questions ----------------------------------------------------------------------------------------

    /// What is known of a transactional id.
    pub fn describe(&self, id: &str) -> Option<Transaction> {
        self.transactions.get(id).cloned()
    }

    /// All transactional ids.
    pub fn list(&self, now: i64) -> Vec<Listed> {
        let listed = self.transactions.iter().map(|(id, transaction)| {
            let is_running = transaction.started >= 0
                && (transaction.state == State::Ongoing || transaction.state.prepared().is_some());
            Listed {
                id: id.clone(),
                producer_id: transaction.producer.id,
                state: transaction.state,
                age_ms: if is_running { now - transaction.started } else { -1 },
            }
        });
        listed.collect()
    }

    /// What is counted.
    pub fn report(&self) -> Report {
        let mut report = Report { counts: self.counts, ..Report::default() };
        for transaction in self.transactions.values() {
            let is_open = transaction.state == State::Ongoing;
            let is_ending = transaction.state.prepared().is_some();
            report.ids += 1;
            report.open += u64::from(is_open);
            report.ending += u64::from(is_ending);
            if is_open || is_ending {
                let oldest = report.oldest.unwrap_or(i64::MAX);
                report.oldest = Some(oldest.min(transaction.started));
            }
        }
        report
    }

    // ---- what follows -------------------------------------------------------------------------------------

    /// Hands over the markers of a transaction that has ended.
    fn mark(&self, turn: &TransactionTurn<'_>, id: &str) {
        let Some(transaction) = self.transactions.get(id) else { return };
        let Some(result) = transaction.state.prepared() else { return };
        let marking = Marking {
            id: id.to_owned(),
            producer: transaction.producer,
            result,
            is_bumped: transaction.level >= BUMPING_LEVEL,
            coordinator_epoch: turn.epoch,
            partitions: transaction.partitions.clone(),
        };
        // Nobody takes any more when the broker stops; the next start hands over again.
        let _ = self.settings.markers.try_send(marking);
    }

    fn unschedule(&mut self, id: &str) {
        let Some(known) = self.transactions.get(id) else { return };
        if let Some(at) = known.times_out_at() {
            self.timeouts.due.remove(&(at, id.to_owned()));
        }
        if let Some(at) = known.expires_at(self.settings.expiration_ms) {
            self.expirations.due.remove(&(at, id.to_owned()));
        }
    }

    fn schedule(&mut self, id: &str) {
        let Some(known) = self.transactions.get(id) else { return };
        if let Some(at) = known.times_out_at() {
            self.timeouts.due.insert((at, id.to_owned()));
        }
        if let Some(at) = known.expires_at(self.settings.expiration_ms) {
            self.expirations.due.insert((at, id.to_owned()));
        }
    }

    /// Aborts open transactions whose time is up, with an epoch that fences their clients.
    fn time_out(&mut self, turn: &mut TransactionTurn<'_>) {
        for id in self.timeouts.take(turn.now) {
            // Of those that change just now it is looked again when that has settled.
            if turn.is_in_flight(&id) {
                continue;
            }
            let next = self.transactions[&id].timed_out(turn.now);
            tracing::info!(
                transactional_id = id,
                producer = next.producer.id.0,
                "a transaction has timed out"
            );
            let change = Change { id: id.clone(), transaction: Some(next) };
            turn.write(Some(id), vec![change], Then::TimedOut);
        }
    }

    /// Forgets transactional ids that nobody uses.
    fn expire(&mut self, turn: &mut TransactionTurn<'_>) {
        for id in self.expirations.take(turn.now) {
            if turn.is_in_flight(&id) {
                continue;
            }
            let change = Change { id: id.clone(), transaction: None };
            turn.write(Some(id), vec![change], Then::Nothing);
        }
    }
}

/// Nothing is changed while a change is on its way.
fn unless_in_flight(
    turn: &TransactionTurn<'_>,
    id: &str,
    next: Result<Next, ErrorCode>,
) -> Result<Next, ErrorCode> {
    let is_identity =
        |error: &ErrorCode| matches!(error, ErrorCode::InvalidProducerIdMapping | ErrorCode::ProducerFenced);
    match next {
        Err(error) if is_identity(&error) => Err(error),
        _ if turn.is_in_flight(id) => Err(ErrorCode::ConcurrentTransactions),
        next => next,
    }
}

fn change(id: &str, next: Transaction) -> Change {
    Change { id: id.to_owned(), transaction: Some(next) }
}

/// Has a change written; the answer leaves when it is durable.
fn write<T: 'static>(
    id: &str,
    next: Transaction,
    then: Then,
    answer: Result<T, ErrorCode>,
) -> Outcome<TransactionCoordinator, Result<T, ErrorCode>> {
    let records = vec![change(id, next)];
    let write = Write { key: Some(id.to_owned()), records, transaction: None, is_whole: false, then };
    Outcome::Write(write, Box::new(move |stored: Stored| stored.map_err(ErrorCode::from).and(answer)))
}

impl Machine for TransactionCoordinator {
    type Settings = CoordinatorSettings;
    type Record = Change;
    type Then = Then;

    fn new(settings: &CoordinatorSettings) -> TransactionCoordinator {
        TransactionCoordinator {
            transactions: HashMap::new(),
            timeouts: Looks::new(settings.timeout_check_ms),
            expirations: Looks::new(settings.expiration_check_ms),
            counts: Counts::default(),
            waiting: HashMap::new(),
            settings: settings.clone(),
        }
    }

    fn replay(&mut self, _: i64, _: Offset, Change { id, transaction }: Change) {
        self.unschedule(&id);
        match transaction {
            Some(transaction) => drop(self.transactions.insert(id.clone(), transaction)),
            None => drop(self.transactions.remove(&id)),
        }
        self.schedule(&id);
    }

    fn begin(&mut self, turn: &mut TransactionTurn<'_>) {
        self.timeouts.next = turn.now.saturating_add(self.settings.timeout_check_ms);
        self.expirations.next = turn.now.saturating_add(self.settings.expiration_check_ms);
        let prepared = self.transactions.iter().filter(|(_, known)| known.state.prepared().is_some());
        prepared.for_each(|(id, _)| self.mark(turn, id));
    }

    fn settled(&mut self, turn: &mut TransactionTurn<'_>, key: Option<&str>, then: Then, stored: Stored) {
        let id = key.expect("every change is of a transactional id");
        match (then, stored) {
            (Then::Added(reply), stored) => reply.send(stored.map_err(ErrorCode::from)),
            (Then::Mark, Ok(())) => self.mark(turn, id),
            (Then::TimedOut, Ok(())) => {
                self.counts.timed_out += 1;
                self.mark(turn, id);
            }
            (Then::Nothing, _) | (_, Err(_)) => {}
        }
        match self.transactions.get(id).and_then(|known| known.state.prepared()) {
            // Whatever was due still is.
            _ if stored.is_err() => self.schedule(id),
            Some(TransactionResult::Commit) => self.counts.committed += 1,
            Some(TransactionResult::Abort) => self.counts.aborted += 1,
            None => {}
        }
        self.go_on(turn, id);
    }

    fn wake_at(&self) -> i64 {
        self.timeouts.wake_at().min(self.expirations.wake_at())
    }

    fn tick(&mut self, turn: &mut TransactionTurn<'_>) {
        self.time_out(turn);
        self.expire(turn);
    }
}
