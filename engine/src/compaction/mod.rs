//! Log compaction: of each key the newest record stays. Kafka's rules, as pure functions over segments' facts
//! and batches' bytes.
//!
//! ```text
//! log start         first dirty                       stable end      active
//!    |  clean  |  clean  |  dirty  |  dirty  |  dirty  |  too young  |  ...
//!                        '------ 2. read into the OffsetMap -'                  newest offset per key, bounded memory
//!    '------------------ 3. grouped, rewritten by the Cleaner '                 front to back, a group of segments at a time
//! ```
//!
//! 1. [`plan`] says whether a log is worth a round, and which part of it. The active segment is never among
//!    what it is given.
//! 2. [`OffsetMap::note_batch`] takes in the dirty part. A map that is full ends the round early; another
//!    round begins there.
//! 3. [`group`] puts small segments together, [`Cleaner::clean`] says of each of their batches what is left
//!    of it, and a [`Row`] closes the gaps.
//!
//! Both go through the log from front to back, with the [`Transactions`] that they meet.
//!
//! What holds afterwards:
//!
//! * No record gets another offset or timestamp; a batch keeps its base offset, producer, sequence and codec.
//! * What is gone leaves no gap between two batches ([`Row`]): each begins where the one before ends, from
//!   the first offset of a group to its last, so that a base offset that has rotted is found (D5), and a
//!   segment is never empty.
//! * The batch with a producer's last sequence stays, without records if need be, so that a log read from its
//!   beginning still tells a batch that is sent again; and so does the marker that has its last epoch, where
//!   no record has.
//! * Records of aborted transactions are gone, and their markers follow in a later round ([`Transactions`]).
//! * A batch whose checksum does not hold stops the round: rewriting it would make damage look sound (D5).
//! * A tombstone goes no earlier than `delete.retention.ms` after the round that removed what it deletes
//!   (KIP-534), and groups are replaced front to back: what it deletes lies before it, and is gone first.
//!
//! Files, tasks and the swap of segments are left to the caller.

mod cleaner;
mod offset_map;
mod pace;
mod plan;
mod row;
#[cfg(test)]
mod tests;
mod transactions;
mod unpacked;

pub use cleaner::{Cleaned, Cleaner, LastOfProducer};
pub use offset_map::{HashKeys, OffsetMap};
pub use pace::{Behind, Pace, SHARE_MAX};
pub use plan::{Round, SealedSegment, group, plan};
pub use row::Row;
pub use transactions::{Part, Transactions};
pub use unpacked::{Placed, Unpacked, verified};
