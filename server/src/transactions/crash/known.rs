//! What may be seen of transactions: it changes with what clients have asked for and what they were answered,
//! and can be copied at any moment.
//!
//! * Before its end was asked for, and after it was aborted, nothing of a transaction is seen.
//! * When its end was answered, everything of it is seen that was acknowledged: as soon as its markers are
//!   written and no transaction before it is open, and from then on for good.
//! * When its end was asked for and never answered, it is seen whole, or not at all. What is found then
//!   counts from then on.

use std::collections::{BTreeMap, BTreeSet};

/// Names a transaction: whose it is, and the how manieth.
pub(super) type Name = (usize, u32);

/// A value: the transaction that it is of, and its number in it.
pub(super) type Value = (Name, u32);

/// How far a transaction has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Nobody has asked for its commit.
    Open,
    /// A commit was asked for.
    Committing,
    /// It was answered, or was seen.
    Committed,
    /// It was aborted, or will be.
    Aborted,
}

#[derive(Clone, Debug)]
pub(super) struct Transaction {
    pub(super) fate: Fate,
    /// What was acknowledged, by partition.
    pub(super) values: BTreeMap<i32, BTreeSet<u32>>,
    /// Whether the offset that counts transactions was acknowledged as a part of it.
    pub(super) has_offset: bool,
}

#[derive(Clone, Default)]
pub(super) struct Known {
    pub(super) transactions: BTreeMap<Name, Transaction>,
    /// Whether all topics have been acknowledged.
    pub(super) topics_made: bool,
    /// Commits that were answered.
    pub(super) committed: usize,
    /// Ends that were found out after they were not answered.
    pub(super) in_doubt: usize,
}

/// What a consumer of committed records sees, by partition, and what the groups of clients have committed.
pub(super) struct Seen {
    pub(super) values: BTreeMap<i32, Vec<Value>>,
    /// The partitions in which no transaction is open.
    pub(super) stable: BTreeSet<i32>,
    pub(super) offsets: BTreeMap<usize, i64>,
}

impl Known {
    pub(super) fn begin(&mut self, name: Name) {
        let transaction = Transaction { fate: Fate::Open, values: BTreeMap::new(), has_offset: false };
        assert!(self.transactions.insert(name, transaction).is_none(), "a name is used once");
    }

    pub(super) fn of(&mut self, name: Name) -> &mut Transaction {
        self.transactions.get_mut(&name).expect("it was begun")
    }

    pub(super) fn is_decided(&mut self, name: Name, fate: Fate) {
        self.committed += usize::from(fate == Fate::Committed);
        self.of(name).fate = fate;
    }

    /// Holds what is seen while markers may be on their way.
    pub(super) fn see(&self, seen: &Seen) {
        for (partition, values) in &seen.values {
            let mut met = BTreeSet::new();
            for value in values {
                assert!(met.insert(value), "{value:?} is seen twice in partition {partition}");
                let fate = self.transactions.get(&value.0).map(|transaction| transaction.fate);
                assert!(
                    matches!(fate, Some(Fate::Committing | Fate::Committed)),
                    "{value:?} is seen in partition {partition}, and its transaction is {fate:?}"
                );
            }
        }
        for (client, offset) in &seen.offsets {
            let fate = self.transactions.get(&(*client, *offset as u32)).map(|transaction| transaction.fate);
            assert!(
                matches!(fate, Some(Fate::Committing | Fate::Committed)),
                "client {client} has committed {offset}, and that transaction is {fate:?}"
            );
        }
    }

    /// Holds what is seen when all markers are written.
    pub(super) fn see_all(&mut self, seen: &Seen) {
        self.see(seen);
        let mut last_offsets: BTreeMap<usize, i64> = BTreeMap::new();
        for (name, transaction) in &mut self.transactions {
            let is_there = |(partition, number): (i32, u32)| {
                seen.values.get(&partition).is_some_and(|values| values.contains(&(*name, number)))
            };
            let acknowledged = transaction.values.iter();
            let acknowledged: Vec<(i32, u32)> = acknowledged
                .flat_map(|(partition, numbers)| numbers.iter().map(move |number| (*partition, *number)))
                .collect();
            let is_offset_there =
                transaction.has_offset && seen.offsets.get(&name.0) == Some(&i64::from(name.1));
            let is_seen = is_offset_there || acknowledged.iter().any(|value| is_there(*value));
            // One of which nothing is seen may still be committed: its client may ask again.
            if transaction.fate == Fate::Committing && is_seen {
                self.in_doubt += 1;
                transaction.fate = Fate::Committed;
            }
            if transaction.fate == Fate::Committed {
                for value in acknowledged.iter().filter(|(partition, _)| seen.stable.contains(partition)) {
                    assert!(is_there(*value), "of {name:?}, {transaction:?}, {value:?} is not seen");
                }
                if transaction.has_offset {
                    last_offsets.insert(name.0, i64::from(name.1));
                }
            }
        }
        assert_eq!(seen.offsets, last_offsets, "the offsets are those of the transactions");
    }
}
