//! Looking into a data directory that no broker runs on: for the command line's tools, and for tests that flip bits.
//!
//! ```text
//! source > segment         one `.log` file, batch by batch, over whatever damage there is
//!          journal         one journal file, commit by commit, likewise
//! ```

mod journal;
mod segment;
mod source;

pub use crate::compaction::{CompactionError as RecordsError, Placed, Unpacked};
pub use journal::{JournalItem, JournalWalk};
pub use segment::{Damage, FoundBatch, SegmentItem, SegmentProblem, SegmentWalk};
pub use source::Source;
