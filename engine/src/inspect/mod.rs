//! Looking into a data directory that no broker runs on: for the command line's tools, and for tests that
//! flip bits.
//!
//! ```text
//! source > segment         one `.log` file, batch by batch, over whatever damage there is
//!          journal         one journal file, commit by commit, likewise
//! directory                what stands in a data directory; ours, Kafka's, or one partition's
//! partition                one log as a start would leave it: segments, and the journals laid over them
//! aborted                  a partition's aborted transactions, held against its log
//! finding, verify          everything held against everything else
//! writer, salvage          everything that is whole, into a new directory
//! repair                   what can be put right in place, and nothing else
//! strays                   directories that were set aside
//! ```
//!
//! Everything here works with plain system calls, opens what it looks at for reading only, and never fails
//! for what is wrong with it. A directory is locked meanwhile, so that no broker starts on it; but not for
//! strays, which no broker looks at.

mod aborted;
mod directory;
mod finding;
mod journal;
mod partition;
mod repair;
mod salvage;
mod segment;
mod source;
mod strays;
#[cfg(test)]
mod tests;
mod verify;
mod writer;

pub use crate::compaction::{Placed, Unpacked};
pub use crate::format::record::RecordsError;
pub use directory::{DataDir, InspectError, Owner, PartitionDir, SegmentFile};
pub use finding::{Finding, Severity, What};
pub use journal::{JournalItem, JournalWalk};
pub use partition::{Item, Journaled, Journals, PartitionJournal, PartitionWalk, read_journals};
pub use repair::{Repair, plan_repair};
pub use salvage::{SalvageReport, Salvaged, salvage};
pub use segment::{Damage, FoundBatch, SegmentItem, SegmentProblem, SegmentWalk};
pub use source::Source;
pub use strays::{Stray, strays};
pub use verify::{Verified, verify};
