//! What a coordinator is to its runtime: a state machine that replays records, and returns records and
//! answers.
//!
//! There is one machine for each partition of the internal topic. It is called by one task, never waits, and
//! neither reads a clock nor writes a file: what it wants to know of the world is in its [`Turn`], what it
//! wants to survive leaves as a [`Write`].

use std::collections::HashMap;
use std::fmt;

use bytes::Bytes;
use strandline_engine::topics::TopicSnapshot;
use strandline_engine::types::{LeaderEpoch, Offset, ProducerId};
use strandline_engine::{Participation, Producer, TransactionResult};
use strandline_protocol::wire::EncodeError;

use super::error::Stored;
use super::work::Working;

/// A coordinator's state of one partition.
pub trait Machine: Sized + 'static {
    /// What all machines of a kind are made with.
    type Settings: Clone + Send + Sync + 'static;
    /// What can be written of it.
    type Record: Record;
    /// What it wants to know again when a write has settled.
    type Then: 'static;

    /// A machine that nothing has been replayed into.
    fn new(settings: &Self::Settings) -> Self;

    /// Takes in a record that is durable, at its offset: one of the log while it is loaded, and from then on
    /// each of the machine's own.
    fn replay(&mut self, now: i64, offset: Offset, record: Self::Record);

    /// As [`Machine::replay`], with a record of a transaction that is open: it counts when
    /// [`Machine::end_transaction`] says so. A machine that writes none has none.
    fn replay_pending(&mut self, _now: i64, _offset: Offset, _producer: ProducerId, _record: Self::Record) {}

    /// A producer's transaction has ended, durably: what was replayed of it counts from now on, or never.
    fn end_transaction(&mut self, _now: i64, _producer: ProducerId, _result: TransactionResult) {}

    /// The log has been replayed to its end: the machine is served from now on.
    fn begin(&mut self, turn: &mut Turn<'_, Self>);

    /// What became of a write. When it is durable, its records have just been replayed.
    fn settled(&mut self, turn: &mut Turn<'_, Self>, key: Option<&str>, then: Self::Then, stored: Stored);

    /// When [`Machine::tick`] must be called, at the latest, in milliseconds; `i64::MAX` when nothing is due.
    fn wake_at(&self) -> i64;

    /// Does a bounded piece of what is due.
    fn tick(&mut self, turn: &mut Turn<'_, Self>);
}

/// A record of an internal topic. Of two with one key the later counts; one without a value says that the key
/// is gone.
pub trait Record: Sized + 'static {
    /// Why bytes are not such a record.
    type Error: fmt::Display;

    /// The record's key and value.
    ///
    /// # Errors
    /// When a field does not fit its length.
    fn encode(&self) -> Result<Encoded, EncodeError>;

    /// Reads a record.
    ///
    /// # Errors
    /// When it is none. The loader passes over it, as Kafka does: a newer broker may have written it.
    fn decode(key: &[u8], value: Option<&[u8]>) -> Result<Self, Self::Error>;
}

/// A record's key and value as bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// The key.
    pub key: Bytes,
    /// The value; `None` for a tombstone.
    pub value: Option<Bytes>,
}

/// What an operation of a machine comes to, where it does not have to wait for other requests.
pub enum Outcome<M: Machine, T> {
    /// The answer leaves at once.
    Answer(T),
    /// The answer leaves when the records are durable, or are not: `T` is made of what became of them.
    Write(Write<M>, Box<dyn FnOnce(Stored) -> T>),
}

/// Records that are written for one key. They may be found in part after a crash, unless they are asked to be
/// found whole.
pub struct Write<M: Machine> {
    /// Whose records they are: the group's id, say. `None` when they concern the whole partition.
    pub key: Option<String>,
    /// In the order of the log. None is a barrier: it settles when everything of the partition before it has.
    pub records: Vec<M::Record>,
    /// The transaction that they are part of; `None` when they count once they are durable.
    pub transaction: Option<Transactional>,
    /// Whether they are found together or not at all: they are one batch, however large.
    pub is_whole: bool,
    /// For [`Machine::settled`].
    pub then: M::Then,
}

/// A transaction that records are written in.
#[derive(Clone, Copy, Debug)]
pub struct Transactional {
    /// The producer whose transaction it is.
    pub producer: Producer,
    /// What the log said of it before its coordinator gave its word that the partition takes part; the
    /// records are refused when the transaction has ended since. `None` writes them unverified.
    pub verified: Option<Participation>,
}

/// What a machine does with the work that it has begun.
pub type Finish<M> = Box<dyn FnOnce(&mut M, &mut Turn<'_, M>)>;

/// Work of a machine.
pub type Work<M> = Working<Finish<M>>;

/// One call of a machine: what it may know, and what it wants to be written.
pub struct Turn<'a, M: Machine> {
    /// The time, in milliseconds since 1970. It never goes back.
    pub now: i64,
    /// The epoch in which the partition is coordinated.
    pub epoch: LeaderEpoch,
    topics: &'a dyn Fn() -> TopicSnapshot,
    in_flight: &'a HashMap<String, usize>,
    writes: Vec<Write<M>>,
    works: Vec<Work<M>>,
}

impl<'a, M: Machine> Turn<'a, M> {
    pub(crate) fn new(
        now: i64,
        epoch: LeaderEpoch,
        topics: &'a dyn Fn() -> TopicSnapshot,
        in_flight: &'a HashMap<String, usize>,
    ) -> Turn<'a, M> {
        Turn { now, epoch, topics, in_flight, writes: Vec::new(), works: Vec::new() }
    }

    /// All topics at this moment.
    pub fn topics(&self) -> TopicSnapshot {
        (self.topics)()
    }

    /// Whether something of this key is on its way to the log: memory does not show it yet.
    pub fn is_in_flight(&self, key: &str) -> bool {
        self.in_flight.contains_key(key) || self.writes.iter().any(|write| write.key.as_deref() == Some(key))
    }

    /// Has records written; [`Machine::settled`] is called with `then`. Without records it is a barrier, see
    /// [`Write::records`].
    pub fn write(&mut self, key: Option<String>, records: Vec<M::Record>, then: M::Then) {
        self.writes.push(Write { key, records, transaction: None, is_whole: false, then });
    }

    /// Has a write written as it is.
    pub fn write_all_of(&mut self, write: Write<M>) {
        self.writes.push(write);
    }

    /// Has work go on beside the machine, in slices; it comes back as a call of the machine, unless that is
    /// gone by then.
    pub fn work(&mut self, work: Work<M>) {
        self.works.push(work);
    }

    #[cfg(test)]
    pub(crate) fn into_writes(self) -> Vec<Write<M>> {
        self.writes
    }

    pub(crate) fn into_parts(self) -> (Vec<Write<M>>, Vec<Work<M>>) {
        (self.writes, self.works)
    }
}
