//! What a log knows of transactions: which of them are open, and what an append may rely on.
//!
//! The headers of batches tell it all: the first transactional batch of a producer opens its transaction, the
//! next control batch of the producer ends it. A consumer that wants to see committed records only reads as
//! far as the first open transaction.

use std::collections::BTreeMap;

use crate::format::aborted::AbortedRow;
use crate::types::{Offset, ProducerId, Timestamp};

/// Who appends a batch, and so what is asked of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    /// A producer: its sequences have to follow each other, and a transactional batch belongs to a
    /// transaction that is open here.
    #[default]
    Client,
    /// A producer, of whose transaction the coordinator has said that this partition takes part in it: the
    /// batch may be the first one here.
    Transaction(VerificationGuard),
    /// The same of a producer that has an epoch of its own for each transaction, so that its sequences begin
    /// anew: where nothing is known of it, a later sequence means that batches before it were lost (KIP-890).
    EpochOfItsOwn(VerificationGuard),
    /// A coordinator that keeps a producer's records in a topic of its own: they have no sequences. With what
    /// was found before the coordinator of the transaction gave its word they are held to it: the transaction
    /// that was open still is, or the guard is not stale. With `None` they are taken.
    Coordinator(Option<Participation>),
}

/// A moment at which nothing of a producer was open in a partition. It is stale once a marker of that
/// producer has come: what the coordinator has said may be of the transaction that the marker has ended. The
/// default is the moment before the first marker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VerificationGuard(u64);

impl VerificationGuard {
    /// The moment behind the marker at this offset; `None` before the first one.
    pub(super) fn behind(marker: Option<Offset>) -> VerificationGuard {
        VerificationGuard(marker.map_or(0, |marker| marker.get() as u64 + 1))
    }
}

/// Whether a transaction of a producer is open in a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Participation {
    /// One of this epoch is: its batches are taken.
    Open,
    /// None is. With the guard and the coordinator's word a batch may be the first one.
    Absent(VerificationGuard),
}

/// What a batch has done to the transaction of its producer.
#[derive(Clone, Copy, Debug)]
pub(super) enum Change {
    Began { producer: ProducerId, first: Offset, timestamp: Timestamp },
    Ended { producer: ProducerId, first: Offset, marker: Offset, is_aborted: bool },
}

/// An open transaction.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Open {
    producer: ProducerId,
    /// The largest timestamp of its first batch, or of a later one where that is not known any more.
    timestamp: Timestamp,
}

/// The open transactions of a log, by their first offsets.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct OpenTransactions(BTreeMap<Offset, Open>);

impl OpenTransactions {
    pub(super) fn insert(&mut self, first: Offset, producer: ProducerId, timestamp: Timestamp) {
        self.0.insert(first, Open { producer, timestamp });
    }

    pub(super) fn remove(&mut self, first: Offset) {
        self.0.remove(&first);
    }

    /// Takes in what a batch has done, in the order of the log. Of a transaction with records that was
    /// aborted, gives the row that tells readers of it.
    pub(super) fn apply(&mut self, change: Change) -> Option<AbortedRow> {
        match change {
            Change::Began { producer, first, timestamp } => {
                self.insert(first, producer, timestamp);
                None
            }
            Change::Ended { producer, first, marker, is_aborted } => {
                self.remove(first);
                let last_stable = self.first().unwrap_or(marker.plus(1));
                let (first_offset, marker_offset) = (first, marker);
                is_aborted.then_some(AbortedRow {
                    producer_id: producer,
                    first_offset,
                    marker_offset,
                    last_stable,
                })
            }
        }
    }

    /// Where the first one begins.
    pub(super) fn first(&self) -> Option<Offset> {
        self.0.first_key_value().map(|(first, _)| *first)
    }

    /// How many there are, and the smallest timestamp with which one began.
    pub(super) fn summary(&self) -> (u64, Option<Timestamp>) {
        (self.0.len() as u64, self.0.values().map(|open| open.timestamp).min())
    }
}
