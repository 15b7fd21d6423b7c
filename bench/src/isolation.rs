//! Isolation levels as a consumer keeps them: which batches of a fetched partition are shown to the
//! application.
//!
//! A broker sends a reader of committed records nothing behind the last stable offset, and beside the batches
//! it names the aborted transactions among them; leaving those out is the consumer's work. Markers are shown
//! to nobody.

use std::collections::HashSet;
use strandline_engine::TransactionResult;
use strandline_engine::format::batch::BatchHeader;
use strandline_engine::format::marker::EndMarker;
use strandline_protocol::messages::AbortedTransaction;

/// What a reader sees of transactions. The numbers are Kafka's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i8)]
pub(crate) enum Isolation {
    /// Everything.
    Uncommitted = 0,
    /// What was committed, up to the first transaction that is open.
    Committed = 1,
}

/// The aborted transactions of one partition of one answer, as its batches are passed in turn.
#[derive(Debug)]
pub(crate) struct Shown {
    /// Those that begin further on, the next one last.
    ahead: Vec<AbortedTransaction>,
    /// The producers whose transactions, here, were aborted.
    aborted: HashSet<i64>,
}

impl Shown {
    /// What the answer says; nothing when uncommitted records are read.
    pub(crate) fn new(aborted: Option<Vec<AbortedTransaction>>) -> Shown {
        let mut ahead = aborted.unwrap_or_default();
        ahead.sort_by_key(|transaction| std::cmp::Reverse(transaction.first_offset));
        Shown { ahead, aborted: HashSet::new() }
    }

    /// Whether the next batch has records for the application.
    pub(crate) fn shows(&mut self, header: &BatchHeader, batch: &[u8]) -> bool {
        let (producer, last) = (header.producer_id().0, header.last_offset().get());
        while let Some(transaction) = self.ahead.pop_if(|transaction| transaction.first_offset <= last) {
            self.aborted.insert(transaction.producer_id);
        }
        if header.is_control() {
            if EndMarker::read(batch).is_some_and(|marker| marker.result == TransactionResult::Abort) {
                self.aborted.remove(&producer);
            }
            return false;
        }
        !(header.is_transactional() && self.aborted.contains(&producer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::BytesMut;
    use strandline_engine::format::batch;
    use strandline_engine::format::builder::BatchBuilder;
    use strandline_engine::format::compression::Codec;
    use strandline_engine::types::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence, Timestamp};

    /// A batch of a producer, in a transaction when that is not 0, with one record.
    fn batch(id: i64, offset: i64, key: Option<&[u8]>, value: &[u8]) -> BytesMut {
        let mut builder = BatchBuilder::new(Codec::None)
            .transactional(id > 0)
            .control(key.is_some())
            .producer(ProducerId(id), ProducerEpoch(0), Sequence(0));
        builder.push(Timestamp(1), key, Some(value), &[]);
        let mut batch = builder.build();
        batch::stamp(&mut batch, Offset::new(offset), LeaderEpoch(0));
        batch
    }

    fn records(id: i64, offset: i64) -> BytesMut {
        batch(id, offset, None, b"x")
    }

    fn end(id: i64, offset: i64, result: TransactionResult) -> BytesMut {
        let kind = if result == TransactionResult::Commit { 1 } else { 0 };
        batch(id, offset, Some(&[0, 0, 0, kind]), &[0; 6])
    }

    #[test]
    fn an_aborted_transaction_is_left_out_from_its_first_record_to_its_marker() {
        let log = [
            (records(1, 0), true),
            (records(2, 1), true),
            (records(0, 2), true),
            (end(1, 3, TransactionResult::Commit), false),
            // From here on producer 1 is aborted, and producer 2 is not.
            (records(1, 4), false),
            (records(2, 5), true),
            (records(0, 6), true),
            (end(2, 7, TransactionResult::Commit), false),
            (records(1, 8), false),
            (end(1, 9, TransactionResult::Abort), false),
            (records(1, 10), true),
            (end(1, 11, TransactionResult::Commit), false),
            // And once more.
            (records(1, 12), false),
        ];
        let aborted = [12, 4].map(|first_offset| AbortedTransaction { producer_id: 1, first_offset });
        let mut shown = Shown::new(Some(aborted.to_vec()));
        let mut uncommitted = Shown::new(None);
        for (batch, expected) in &log {
            let header = BatchHeader::peek(batch).expect("a batch");
            let offset = header.base_offset().get();
            assert_eq!(shown.shows(header, batch), *expected, "offset {offset}");
            assert_eq!(uncommitted.shows(header, batch), !header.is_control(), "offset {offset}");
        }
    }
}
