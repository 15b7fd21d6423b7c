//! What a pass of compaction knows of transactions, from batch to batch.
//!
//! | a batch | is |
//! |---|---|
//! | of a transaction that was aborted | [`Part::Aborted`]: its records go |
//! | of one that was committed, or of none | [`Part::Data`]: the newest record of each key stays |
//! | a marker, and the pass has met a batch of its transaction, be it an empty one | [`Part::Marker`]: it stays |
//! | a marker whose row still stands among the aborted transactions | the same |
//! | any other marker | [`Part::SpentMarker`]: it gets a delete horizon, and goes when that has passed |
//!
//! A pass goes from the beginning of the log to what it cleans, so a marker that it finds spent has been
//! parted from its records by an earlier pass, durably. A marker that went before its records would leave a
//! transaction open for ever; one that went before its row would leave readers waiting for it, who drop all
//! that its producer has committed since.

use std::collections::HashSet;

use crate::format::aborted::AbortedRow;
use crate::format::batch::BatchHeader;
use crate::types::{Offset, ProducerId};

/// Offsets whose rows are held at once: two for the smallest transaction, so that the rows of a window are
/// few beside what is open at its edges.
const WINDOW_OFFSETS: i64 = 4096;

/// What a batch is to a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Records that count.
    Data,
    /// Records of an aborted transaction.
    Aborted,
    /// A marker that is needed.
    Marker,
    /// A marker that is not.
    SpentMarker,
}

/// The transactions that a pass has met.
#[derive(Debug, Default)]
pub struct Transactions {
    /// The rows that concern the window, by producer and marker.
    rows: Vec<AbortedRow>,
    window_end: Offset,
    /// Producers of whom a transactional batch was met since their last marker.
    met: HashSet<ProducerId>,
}

impl Transactions {
    /// Where the rows begin and end that are wanted before this batch is passed; `None` while they are there.
    pub fn wants(&self, header: &BatchHeader) -> Option<(Offset, Offset)> {
        let start = header.base_offset();
        let is_of_one = header.is_transactional() || header.is_control();
        let end = Offset::new(start.get().saturating_add(WINDOW_OFFSETS));
        (is_of_one && start >= self.window_end).then_some((start, end))
    }

    /// Takes the rows of the transactions with records from the one to the other.
    pub fn give(&mut self, end: Offset, mut rows: Vec<AbortedRow>) {
        rows.sort_unstable_by_key(|row| (row.producer_id, row.marker_offset));
        (self.rows, self.window_end) = (rows, end);
    }

    /// Judges the next batch. Its rows are there.
    ///
    /// # Panics
    /// When [`Transactions::wants`] was not asked before.
    pub fn pass(&mut self, header: &BatchHeader) -> Part {
        let Some(producer) = header.producer().filter(|_| header.is_transactional() || header.is_control())
        else {
            return Part::Data;
        };
        let offset = header.base_offset();
        assert!(offset < self.window_end, "the rows were given before");
        let key = |row: &AbortedRow| (row.producer_id, row.marker_offset);
        let next = self.rows.partition_point(|row| key(row) < (producer.id, offset));
        let row = self.rows.get(next).filter(|row| row.producer_id == producer.id);
        if header.is_control() {
            let has_row = row.is_some_and(|row| row.marker_offset == offset);
            return match self.met.remove(&producer.id) || has_row {
                true => Part::Marker,
                false => Part::SpentMarker,
            };
        }
        self.met.insert(producer.id);
        match row.is_some_and(|row| row.first_offset <= offset) {
            true => Part::Aborted,
            false => Part::Data,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::batch::{self, BatchHeader};
    use crate::format::builder::BatchBuilder;
    use crate::format::compression::Codec;
    use crate::types::{LeaderEpoch, ProducerEpoch, Sequence, Timestamp};

    fn header(producer: i64, offset: i64, is_control: bool) -> BatchHeader {
        let mut builder = BatchBuilder::new(Codec::None)
            .producer(ProducerId(producer), ProducerEpoch::FIRST, Sequence::FIRST)
            .transactional(true)
            .control(is_control);
        builder.push(Timestamp(1), Some(b"key"), None, &[]);
        let mut bytes = builder.build();
        batch::stamp(&mut bytes, Offset::new(offset), LeaderEpoch::FIRST);
        *BatchHeader::peek(&bytes).expect("a batch of ours")
    }

    fn row(producer: i64, first: i64, marker: i64) -> AbortedRow {
        let [first_offset, marker_offset] = [first, marker].map(Offset::new);
        let last_stable = first_offset;
        AbortedRow { producer_id: ProducerId(producer), first_offset, marker_offset, last_stable }
    }

    #[test]
    fn a_batch_belongs_to_the_next_marker_of_its_producer() {
        let mut transactions = Transactions::default();
        assert_eq!(transactions.wants(&header(1, 5, false)), Some((Offset::new(5), Offset::new(4101))));
        transactions.give(Offset::new(4101), vec![row(1, 5, 9), row(1, 30, 40), row(2, 7, 20)]);
        assert_eq!(transactions.wants(&header(1, 4100, false)), None);
        for (producer, offset, is_control, expected) in [
            (1, 5, false, Part::Aborted),
            (2, 6, false, Part::Data),
            (2, 7, false, Part::Aborted),
            (1, 8, false, Part::Aborted),
            (1, 9, true, Part::Marker),
            (1, 10, false, Part::Data),
            (1, 11, true, Part::Marker),
            (1, 12, true, Part::SpentMarker),
            (2, 20, true, Part::Marker),
            (3, 21, true, Part::SpentMarker),
            (1, 40, true, Part::Marker),
            (1, 41, false, Part::Data),
        ] {
            let part = transactions.pass(&header(producer, offset, is_control));
            assert_eq!(part, expected, "producer {producer} at {offset}");
        }
    }
}
