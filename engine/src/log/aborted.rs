//! The aborted transactions of a log: what a reader that wants committed records only has to leave out.
//!
//! A row for each transaction with records that was aborted, in the order of the markers. It is noted when
//! the marker is taken in, before the last stable offset moves past it, so that nobody reads records of the
//! transaction without being told.

use std::collections::VecDeque;

use crate::types::{Offset, ProducerId};

/// A transaction that was aborted, as readers are told of it: the producer's transactional batches from the
/// first offset up to its next marker do not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AbortedTransaction {
    /// The producer.
    pub producer_id: ProducerId,
    /// The offset of the transaction's first record.
    pub first_offset: Offset,
}

/// An aborted transaction with the place of its marker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AbortedRow {
    pub(crate) producer_id: ProducerId,
    /// The offset of its first record.
    pub(crate) first: Offset,
    /// That of its marker.
    pub(crate) marker: Offset,
    /// The last stable offset once the marker was appended: all rows behind this one are of transactions that
    /// were open there, or began later.
    pub(crate) last_stable: Offset,
}

/// The rows of a log.
#[derive(Debug, Default)]
pub(super) struct Aborted {
    rows: VecDeque<AbortedRow>,
}

impl Aborted {
    /// Notes an aborted transaction; its marker lies behind all that are known.
    pub(super) fn note(&mut self, row: AbortedRow) {
        assert!(self.last_marker().is_none_or(|last| last < row.marker), "markers follow each other");
        self.rows.push_back(row);
    }

    /// Forgets the rows whose marker lies at or behind `end`.
    pub(super) fn truncate(&mut self, end: Offset) {
        let kept = self.rows.partition_point(|row| row.marker < end);
        self.rows.truncate(kept);
    }

    /// Forgets the rows whose marker lies before the log start.
    pub(super) fn raise_start(&mut self, start: Offset) {
        let gone = self.rows.partition_point(|row| row.marker < start);
        self.rows.drain(..gone);
    }

    /// The marker of the last row.
    pub(super) fn last_marker(&self) -> Option<Offset> {
        self.rows.back().map(|row| row.marker)
    }

    /// Whether no row can matter to who reads from `offset` on.
    pub(super) fn is_clear_from(&self, offset: Offset) -> bool {
        self.last_marker().is_none_or(|last| last < offset)
    }

    /// The transactions with records before `upto` whose marker lies at or behind `from`.
    pub(super) fn between(&self, from: Offset, upto: Offset) -> Vec<AbortedTransaction> {
        let mut found = Vec::new();
        for row in self.rows.range(self.rows.partition_point(|row| row.marker < from)..) {
            if row.first < upto {
                found.push(AbortedTransaction { producer_id: row.producer_id, first_offset: row.first });
            }
            if row.last_stable >= upto {
                break;
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(producer_id: i64, first: i64, marker: i64, last_stable: i64) -> AbortedRow {
        let [first, marker, last_stable] = [first, marker, last_stable].map(Offset::new);
        AbortedRow { producer_id: ProducerId(producer_id), first, marker, last_stable }
    }

    fn between(aborted: &Aborted, from: i64, upto: i64) -> Vec<(i64, i64)> {
        let found = aborted.between(Offset::new(from), Offset::new(upto));
        found.iter().map(|found| (found.producer_id.0, found.first_offset.get())).collect()
    }

    fn rows() -> Aborted {
        let mut aborted = Aborted::default();
        // 3 begins before 1 ends, and ends last.
        for row in [row(1, 0, 10, 5), row(2, 12, 20, 5), row(3, 5, 30, 31), row(1, 40, 50, 51)] {
            aborted.note(row);
        }
        aborted
    }

    #[test]
    fn a_reader_is_told_of_each_transaction_that_its_range_touches_and_of_no_other() {
        let aborted = rows();
        assert_eq!(between(&aborted, 0, 5), [(1, 0)]);
        assert_eq!(between(&aborted, 0, 6), [(1, 0), (3, 5)]);
        assert_eq!(between(&aborted, 11, 13), [(2, 12), (3, 5)]);
        assert_eq!(between(&aborted, 21, 40), [(3, 5)]);
        assert_eq!(between(&aborted, 30, 31), [(3, 5)], "the marker itself");
        assert_eq!(between(&aborted, 31, 40), []);
        assert_eq!(between(&aborted, 31, 41), [(1, 40)]);
        assert!(aborted.is_clear_from(Offset::new(51)) && !aborted.is_clear_from(Offset::new(50)));
    }

    #[test]
    fn rows_go_with_their_markers() {
        let mut aborted = rows();
        aborted.truncate(Offset::new(30));
        assert_eq!(between(&aborted, 0, 100), [(1, 0), (2, 12)]);
        aborted.raise_start(Offset::new(11));
        assert_eq!(between(&aborted, 0, 100), [(2, 12)]);
    }
}
