//! What is known of one transactional id, and the rules by which it changes. Pure: time and fresh producer
//! ids are arguments, and a change is a new value that counts once it is durable.
//!
//! ```text
//!            add            end(commit)               markers written
//!   Empty ---------> Ongoing ------> PrepareCommit --------------------> CompleteCommit
//!     ^                 |
//!     |                 '----------> PrepareAbort  --------------------> CompleteAbort
//!     |                  end(abort), fence (a newer instance, or time is up)
//!     '--- init: from Empty and Complete*        add: Complete* > Ongoing
//! ```
//!
//! * The epoch of a producer is what fences: `init` raises it, so that an instance of before is refused
//!   everywhere. A client of level 2 (KIP-890) has it raised by each `end` as well, so that nothing that is
//!   late can join the next transaction.
//! * An epoch of `i16::MAX - 1` is the last that a client is given: one remains to fence it with. Then the
//!   transactional id goes on with another producer id.
//! * Rules and codes are those of Kafka's TransactionCoordinator.

use std::collections::{BTreeMap, BTreeSet};

use strandline_engine::TransactionResult;
use strandline_engine::format::batch::Producer;
use strandline_engine::types::{ProducerEpoch, ProducerId};
use strandline_protocol::wire::ErrorCode;

/// The last epoch that a client is given.
const LAST_EPOCH: i16 = i16::MAX - 1;

/// The epoch that is left to fence such a client with.
const EPOCH_MAX: ProducerEpoch = ProducerEpoch(i16::MAX);

/// The level (`transaction.version`) from which on each end of a transaction raises the epoch.
pub const BUMPING_LEVEL: i16 = 2;

/// Partitions by the names of their topics.
pub type ByTopic = BTreeMap<String, BTreeSet<i32>>;

/// Where a transactional id is in its life. The numbers are those of Kafka's records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(i8)]
pub enum State {
    /// It has a producer, and had no transaction since.
    Empty = 0,
    /// Its transaction is open.
    Ongoing = 1,
    /// It is decided that the transaction is committed: markers are on their way.
    PrepareCommit = 2,
    /// It is decided that the transaction is aborted: markers are on their way.
    PrepareAbort = 3,
    /// Its last transaction was committed.
    CompleteCommit = 4,
    /// Its last transaction was aborted.
    CompleteAbort = 5,
}

impl State {
    /// All states.
    pub const ALL: [State; 6] = [
        State::Empty,
        State::Ongoing,
        State::PrepareCommit,
        State::PrepareAbort,
        State::CompleteCommit,
        State::CompleteAbort,
    ];

    /// Kafka's name of it.
    pub fn name(self) -> &'static str {
        match self {
            State::Empty => "Empty",
            State::Ongoing => "Ongoing",
            State::PrepareCommit => "PrepareCommit",
            State::PrepareAbort => "PrepareAbort",
            State::CompleteCommit => "CompleteCommit",
            State::CompleteAbort => "CompleteAbort",
        }
    }

    /// The state with this number. Kafka has two more, which it writes nowhere: Dead and PrepareEpochFence.
    pub fn of(number: i8) -> Option<State> {
        State::ALL.into_iter().find(|state| *state as i8 == number)
    }

    /// How the transaction ends whose markers are on their way.
    pub fn prepared(self) -> Option<TransactionResult> {
        match self {
            State::PrepareCommit => Some(TransactionResult::Commit),
            State::PrepareAbort => Some(TransactionResult::Abort),
            _ => None,
        }
    }

    fn preparing(result: TransactionResult) -> State {
        match result {
            TransactionResult::Commit => State::PrepareCommit,
            TransactionResult::Abort => State::PrepareAbort,
        }
    }

    fn completing(result: TransactionResult) -> State {
        match result {
            TransactionResult::Commit => State::CompleteCommit,
            TransactionResult::Abort => State::CompleteAbort,
        }
    }
}

/// A transactional id: what the log says of it, and a little that memory alone knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// Its producer.
    pub producer: Producer,
    /// The producer id that it had before the epochs of that one were used up.
    pub previous_producer_id: ProducerId,
    /// The producer id that it has when the markers are written, if another one.
    pub next_producer_id: ProducerId,
    /// The epoch that the client had before, when a retry with it is still answered. Not in the log, as in
    /// Kafka: a retry that spans a start is fenced.
    pub last_epoch: ProducerEpoch,
    /// How long a transaction may be open, in milliseconds.
    pub timeout_ms: i32,
    /// Where it is in its life.
    pub state: State,
    /// What the open or prepared transaction has written to.
    pub partitions: ByTopic,
    /// When the transaction began, in milliseconds since 1970; -1 for none.
    pub started: i64,
    /// When it changed last, in milliseconds since 1970.
    pub updated: i64,
    /// The `transaction.version` by which it came into its state.
    pub level: i16,
}

/// What InitProducerId asks for.
#[derive(Clone, Debug)]
pub struct Init {
    /// How long its transactions may be open, in milliseconds.
    pub timeout_ms: i32,
    /// The producer that the client has, when it goes on after an error.
    pub expected: Option<Producer>,
}

/// What a request comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// It is so already.
    Same,
    /// It becomes so, once that is durable.
    Write(Transaction),
    /// A fresh producer id is needed first.
    NeedsProducerId,
}

impl Transaction {
    /// A transactional id that nobody knows gets its first producer.
    pub fn first(producer_id: ProducerId, init: &Init, now: i64) -> Transaction {
        Transaction {
            producer: Producer { id: producer_id, epoch: ProducerEpoch::FIRST },
            previous_producer_id: ProducerId::NONE,
            next_producer_id: ProducerId::NONE,
            last_epoch: ProducerEpoch::NONE,
            timeout_ms: init.timeout_ms,
            state: State::Empty,
            partitions: ByTopic::new(),
            started: -1,
            updated: now,
            level: 0,
        }
    }

    // ---- init ---------------------------------------------------------------------------------------------

    /// An instance of the producer begins, or goes on after an error. An open transaction is aborted first:
    /// the next state is [`State::PrepareAbort`] then, and the client has to come again.
    ///
    /// # Errors
    /// CONCURRENT_TRANSACTIONS while markers are on their way; PRODUCER_FENCED when another instance has
    /// begun since.
    pub fn init(&self, init: &Init, fresh: Option<ProducerId>, now: i64) -> Result<Next, ErrorCode> {
        let is_known = |expected: Producer| {
            let is_own = expected.id == self.producer.id;
            is_own || (expected.id == self.previous_producer_id && expected.epoch.0 >= LAST_EPOCH)
        };
        if !init.expected.is_none_or(is_known) {
            return Err(ErrorCode::ProducerFenced);
        }
        if self.state.prepared().is_some() {
            return Err(ErrorCode::ConcurrentTransactions);
        }
        let is_current = |expected: Producer| expected.epoch == self.producer.epoch;
        let is_retry = init.expected.is_some_and(|expected| {
            !is_current(expected)
                && self.last_epoch != ProducerEpoch::NONE
                && expected.epoch == self.last_epoch
        });
        if !is_retry && !init.expected.is_none_or(is_current) {
            return Err(ErrorCode::ProducerFenced);
        }
        if self.state == State::Ongoing {
            let last_epoch = init.expected.map_or(ProducerEpoch::NONE, |expected| expected.epoch);
            return Ok(Next::Write(Transaction { last_epoch, ..self.fenced(now) }));
        }
        let next = Transaction {
            timeout_ms: init.timeout_ms,
            state: State::Empty,
            partitions: ByTopic::new(),
            started: -1,
            updated: now,
            level: 0,
            ..self.clone()
        };
        let last_epoch = init.expected.map_or(ProducerEpoch::NONE, |_| self.producer.epoch);
        if self.is_exhausted() {
            let Some(id) = fresh else { return Ok(Next::NeedsProducerId) };
            let producer = Producer { id, epoch: ProducerEpoch::FIRST };
            let previous_producer_id = self.producer.id;
            return Ok(Next::Write(Transaction { producer, previous_producer_id, last_epoch, ..next }));
        }
        // The answer to the call before got lost, and nobody else has begun since.
        if is_retry {
            return Ok(Next::Write(next));
        }
        Ok(Next::Write(Transaction { producer: self.raised(), last_epoch, ..next }))
    }

    fn is_exhausted(&self) -> bool {
        self.producer.epoch.0 >= LAST_EPOCH
    }

    fn raised(&self) -> Producer {
        let epoch = self.producer.epoch.0.checked_add(1).expect("no client is given the last but one");
        Producer { id: self.producer.id, epoch: ProducerEpoch(epoch) }
    }

    // ---- partitions ---------------------------------------------------------------------------------------

    /// The transaction is to write to these partitions; it begins with the first.
    ///
    /// # Errors
    /// INVALID_PRODUCER_ID_MAPPING, PRODUCER_FENCED, CONCURRENT_TRANSACTIONS.
    pub fn add(
        &self,
        producer: Producer,
        partitions: ByTopic,
        level: i16,
        now: i64,
    ) -> Result<Next, ErrorCode> {
        self.check(producer)?;
        let has = |topic: &String, indexes: &BTreeSet<i32>| {
            self.partitions.get(topic).is_some_and(|known| known.is_superset(indexes))
        };
        if self.state == State::Ongoing && partitions.iter().all(|(topic, indexes)| has(topic, indexes)) {
            return Ok(Next::Same);
        }
        let mut next = Transaction { state: State::Ongoing, updated: now, level, ..self.clone() };
        if self.state != State::Ongoing {
            next.started = now;
        }
        for (topic, indexes) in partitions {
            next.partitions.entry(topic).or_default().extend(indexes);
        }
        Ok(Next::Write(next))
    }

    /// Whether the transaction is to write to each of these partitions.
    ///
    /// # Errors
    /// As [`Transaction::add`]; of a partition, TRANSACTION_ABORTABLE when it was not added.
    pub fn verify(
        &self,
        producer: Producer,
        partitions: &[(String, i32)],
    ) -> Result<Vec<Result<(), ErrorCode>>, ErrorCode> {
        self.check(producer)?;
        let has = |(topic, index): &(String, i32)| {
            self.partitions.get(topic).is_some_and(|indexes| indexes.contains(index))
        };
        let verified = partitions.iter().map(|partition| match has(partition) {
            true => Ok(()),
            false => Err(ErrorCode::TransactionAbortable),
        });
        Ok(verified.collect())
    }

    /// Whether it is the producer's current instance, and its transaction is not being ended.
    fn check(&self, producer: Producer) -> Result<(), ErrorCode> {
        if producer.id != self.producer.id {
            return Err(ErrorCode::InvalidProducerIdMapping);
        }
        if producer.epoch != self.producer.epoch {
            return Err(ErrorCode::ProducerFenced);
        }
        match self.state.prepared() {
            Some(_) => Err(ErrorCode::ConcurrentTransactions),
            None => Ok(()),
        }
    }

    // ---- end ----------------------------------------------------------------------------------------------

    /// The client ends its transaction, at its own level.
    ///
    /// # Errors
    /// INVALID_PRODUCER_ID_MAPPING, PRODUCER_FENCED, CONCURRENT_TRANSACTIONS, INVALID_TXN_STATE.
    pub fn end(
        &self,
        producer: Producer,
        result: TransactionResult,
        level: i16,
        fresh: Option<ProducerId>,
        now: i64,
    ) -> Result<Next, ErrorCode> {
        match level >= BUMPING_LEVEL {
            true => self.end_and_bump(producer, result, level, fresh, now),
            false => self.end_in_epoch(producer, result, level, now),
        }
    }

    /// As clients before KIP-890 do: the epoch stays, and a repetition of the last end cannot be told from an
    /// end of nothing.
    fn end_in_epoch(
        &self,
        producer: Producer,
        result: TransactionResult,
        level: i16,
        now: i64,
    ) -> Result<Next, ErrorCode> {
        if producer.id != self.producer.id {
            return Err(ErrorCode::InvalidProducerIdMapping);
        }
        if producer.epoch != self.producer.epoch {
            return Err(ErrorCode::ProducerFenced);
        }
        match self.state {
            State::Ongoing => {
                let state = State::preparing(result);
                Ok(Next::Write(Transaction { state, updated: now, level, ..self.clone() }))
            }
            state if state == State::completing(result) => Ok(Next::Same),
            state if state == State::preparing(result) => Err(ErrorCode::ConcurrentTransactions),
            _ => Err(ErrorCode::InvalidTxnState),
        }
    }

    /// KIP-890: each end raises the epoch, so that a repetition is one that comes with the epoch before.
    /// There may be nothing to abort: the client does not know what has reached us.
    fn end_and_bump(
        &self,
        producer: Producer,
        result: TransactionResult,
        level: i16,
        fresh: Option<ProducerId>,
        now: i64,
    ) -> Result<Next, ErrorCode> {
        // Only what is fenced is in the largest epoch and has no other producer id to go on with.
        let is_out_of_epochs = self.producer.epoch == EPOCH_MAX && self.next_producer_id.is_none();
        let is_bumped = producer.id == self.producer.id
            && producer.epoch.0.checked_add(1) == Some(self.producer.epoch.0)
            && !is_out_of_epochs;
        let is_overflown = producer.id == self.previous_producer_id
            && producer.epoch.0 == LAST_EPOCH
            && self.producer.epoch == ProducerEpoch::FIRST;
        if producer.id != self.producer.id && !is_overflown {
            return Err(ErrorCode::InvalidProducerIdMapping);
        }
        let is_current = producer == self.producer;
        let is_valid = match self.state {
            State::Ongoing | State::Empty => is_current,
            State::PrepareCommit | State::PrepareAbort => is_bumped,
            State::CompleteCommit | State::CompleteAbort => is_bumped || is_overflown || is_current,
        };
        if !is_valid {
            return Err(ErrorCode::ProducerFenced);
        }
        match (self.state, result) {
            (State::Ongoing, _) => Ok(self.prepare_and_bump(result, level, fresh, now)),
            (state, _) if state == State::preparing(result) => Err(ErrorCode::ConcurrentTransactions),
            (state, _) if !is_current && state == State::completing(result) => Ok(Next::Same),
            (State::Empty | State::CompleteCommit | State::CompleteAbort, TransactionResult::Abort)
                if is_current =>
            {
                Ok(self.prepare_and_bump(result, level, fresh, now))
            }
            _ => Err(ErrorCode::InvalidTxnState),
        }
    }

    fn prepare_and_bump(
        &self,
        result: TransactionResult,
        level: i16,
        fresh: Option<ProducerId>,
        now: i64,
    ) -> Next {
        let next_producer_id = match (self.is_exhausted(), fresh) {
            (true, None) => return Next::NeedsProducerId,
            (true, Some(fresh)) => fresh,
            (false, _) => ProducerId::NONE,
        };
        let started = if self.state == State::Ongoing { self.started } else { now };
        Next::Write(Transaction {
            producer: self.raised(),
            next_producer_id,
            last_epoch: self.producer.epoch,
            state: State::preparing(result),
            started,
            updated: now,
            level,
            ..self.clone()
        })
    }

    /// The open transaction is aborted with an epoch that no client has, because its time is up.
    pub fn timed_out(&self, now: i64) -> Transaction {
        // The client may go on with an epoch of its own, when it says which one it had (KIP-360).
        Transaction { last_epoch: self.producer.epoch, ..self.fenced(now) }
    }

    /// The epoch is raised twice, as Kafka does: with the next one, a client that comes late with its own end
    /// would look as if it asked once more for the one that raised it.
    fn fenced(&self, now: i64) -> Transaction {
        assert_eq!(self.state, State::Ongoing, "only what is open is aborted");
        let epoch = ProducerEpoch(self.producer.epoch.0.saturating_add(2));
        Transaction {
            producer: Producer { id: self.producer.id, epoch },
            next_producer_id: ProducerId::NONE,
            state: State::PrepareAbort,
            updated: now,
            level: BUMPING_LEVEL,
            ..self.clone()
        }
    }

    /// All markers are written. `None` when nothing was decided.
    pub fn completed(&self, now: i64) -> Option<Transaction> {
        let result = self.state.prepared()?;
        let mut next = Transaction {
            producer: self.answered(),
            next_producer_id: ProducerId::NONE,
            state: State::completing(result),
            partitions: ByTopic::new(),
            updated: now,
            ..self.clone()
        };
        if next.producer.id != self.producer.id {
            next.previous_producer_id = self.producer.id;
        }
        Some(next)
    }

    /// The producer that the client goes on with.
    pub fn answered(&self) -> Producer {
        match self.next_producer_id.is_none() {
            true => self.producer,
            false => Producer { id: self.next_producer_id, epoch: ProducerEpoch::FIRST },
        }
    }

    // ---- time ---------------------------------------------------------------------------------------------

    /// When the open transaction has been open for too long, in milliseconds since 1970.
    pub fn times_out_at(&self) -> Option<i64> {
        let is_open = self.state == State::Ongoing;
        is_open.then(|| self.started.saturating_add(i64::from(self.timeout_ms)).saturating_add(1))
    }

    /// When a transactional id that nobody uses is forgotten, in milliseconds since 1970.
    pub fn expires_at(&self, after_ms: i64) -> Option<i64> {
        let is_idle = matches!(self.state, State::Empty | State::CompleteCommit | State::CompleteAbort);
        is_idle.then(|| self.updated.saturating_add(after_ms))
    }
}
