//! The four offsets that a partition is described by, in their order.
//!
//! ```text
//! log start            last stable        high watermark            log end
//!    |  deleted before    |  a transaction is   |  not yet as safe as     |  the next batch
//!    |                    |  undecided from here |  it will be            |  goes here
//!    |<- read_committed ->|                      |                        |
//!    |<------------- any consumer -------------->|                        |
//!    |<------------------------------ a replica ------------------------->|
//! ```
//!
//! * Retention, compaction and DeleteRecords stop at the high watermark: what lies behind it may still be cut
//!   off.
//! * A single node is the trivial case. Its log end moves only when an append is durable, so the high
//!   watermark is the log end. So is the last stable offset while no transaction is open; it never lies
//!   before the log start.
//! * Where a start could not bring back all that was acknowledged, the log end counts what is missing: nobody
//!   is told of a shorter log (D2).

use std::cell::Cell;

use crate::types::Offset;

/// Which records a consumer wants to see.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Isolation {
    /// All that cannot vanish any more.
    #[default]
    ReadUncommitted,
    /// Of transactions only those that were committed: it stops before the first that is undecided.
    ReadCommitted,
}

/// Who reads a partition, and so up to where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// A consumer, up to the high watermark or the last stable offset.
    Consumer(Isolation),
    /// A replica of the partition, up to the log end.
    Replica,
}

impl Default for Reader {
    fn default() -> Reader {
        Reader::Consumer(Isolation::ReadUncommitted)
    }
}

/// Four offsets of one partition: `log_start <= last_stable <= high_watermark <= log_end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Watermarks {
    /// The first offset that may be read.
    pub(crate) log_start: Offset,
    /// The end of what a `read_committed` consumer may read.
    pub(crate) last_stable: Offset,
    /// The end of what consumers may read.
    pub(crate) high_watermark: Offset,
    /// The offset that the next record gets.
    pub(crate) log_end: Offset,
}

impl Watermarks {
    /// Those of a log that nobody else has a copy of and that has no open transaction.
    pub(crate) fn alone(log_start: Offset, log_end: Offset) -> Watermarks {
        Watermarks { log_start, last_stable: log_end, high_watermark: log_end, log_end }
    }

    /// The end of what a reader may read.
    pub(crate) fn end_for(&self, reader: Reader) -> Offset {
        match reader {
            Reader::Consumer(Isolation::ReadCommitted) => self.last_stable,
            Reader::Consumer(Isolation::ReadUncommitted) => self.high_watermark,
            Reader::Replica => self.log_end,
        }
    }

    fn are_in_order(&self) -> bool {
        self.log_start <= self.last_stable
            && self.last_stable <= self.high_watermark
            && self.high_watermark <= self.log_end
    }
}

/// Holds the watermarks of a live partition.
pub(super) struct CurrentWatermarks(Cell<Watermarks>);

impl CurrentWatermarks {
    /// # Panics
    /// Like [`CurrentWatermarks::set`].
    pub(super) fn new(watermarks: Watermarks) -> CurrentWatermarks {
        let current = CurrentWatermarks(Cell::new(watermarks));
        current.set(watermarks);
        current
    }

    pub(super) fn get(&self) -> Watermarks {
        self.0.get()
    }

    /// The only way in which they move.
    ///
    /// # Panics
    /// When they are out of order.
    pub(super) fn set(&self, watermarks: Watermarks) {
        assert!(watermarks.are_in_order(), "watermarks out of order: {watermarks:?}");
        self.0.set(watermarks);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watermarks(of: [i64; 4]) -> Watermarks {
        let [log_start, last_stable, high_watermark, log_end] = of.map(Offset::new);
        Watermarks { log_start, last_stable, high_watermark, log_end }
    }

    #[test]
    fn only_offsets_in_order_are_taken() {
        let current = CurrentWatermarks::new(Watermarks::alone(Offset::new(2), Offset::new(5)));
        for good in [[2, 2, 2, 2], [0, 1, 2, 3], [2, 5, 5, 5]] {
            current.set(watermarks(good));
            assert_eq!(current.get(), watermarks(good));
        }
        for bad in [[3, 2, 5, 5], [0, 4, 3, 5], [0, 1, 6, 5]] {
            let set = std::panic::AssertUnwindSafe(|| current.set(watermarks(bad)));
            assert!(std::panic::catch_unwind(set).is_err(), "{bad:?}");
            assert_eq!(current.get(), watermarks([2, 5, 5, 5]), "nothing has moved");
        }
    }
}
