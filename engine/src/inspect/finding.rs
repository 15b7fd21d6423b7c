//! What is found in a data directory, each with its place.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;

use super::segment::SegmentProblem;
use crate::format::aborted::AbortedError;
use crate::format::batch::BATCH_PREFIX_BYTES;
use crate::format::envelope::EnvelopeError;
use crate::format::index::IndexError;
use crate::format::journal::End;
use crate::format::record::RecordsError;
use crate::types::{Offset, Position, ProducerId, Timestamp};

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// As it may be: the next start, or a repair, deals with it, and no record is lost.
    Note,
    /// Something is not what was written.
    Damage,
}

/// One finding.
#[derive(Debug)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// The file, or the directory.
    pub path: PathBuf,
    /// Where in the file, if it is about a place.
    pub position: Option<Position>,
    /// The offsets that are concerned, if that is known.
    pub offsets: Option<Range<Offset>>,
    /// What was found.
    pub what: What,
}

/// What was found.
#[derive(Debug, thiserror::Error)]
pub enum What {
    /// Damage in a segment.
    #[error("{problem}; {bytes} bytes up to what follows{}", if prefix.is_some() { "; repair puts it right" } else { "" })]
    Segment {
        /// Bytes up to the next whole batch or the end of the file.
        bytes: u64,
        /// What is wrong.
        problem: SegmentProblem,
        /// The first bytes of the batch as they were, where that is known and nothing else is wrong.
        prefix: Option<[u8; BATCH_PREFIX_BYTES]>,
    },
    /// Damage behind the recovery point that nothing whole follows.
    #[error("a torn tail of {bytes} bytes, which the next start cuts off: {problem}")]
    TornTail {
        /// Bytes up to the end of the file.
        bytes: u64,
        /// What is wrong.
        problem: SegmentProblem,
    },
    /// The checksum holds, and the records can not be read.
    #[error("the batch's records can not be read: {0}")]
    Records(#[from] RecordsError),
    /// Offsets that nothing has and that no compaction explains.
    #[error("no batch has these offsets")]
    Missing,
    /// The directory of a partition of which a checkpoint has records.
    #[error(
        "the directory of the partition is gone, and these offsets with it: put it back, or have repair --accept-loss give them up"
    )]
    Gone,
    /// A small file that can not be read.
    #[error(transparent)]
    SmallFile(#[from] EnvelopeError),
    /// An index that is none.
    #[error("{0}; it is made anew when it is needed")]
    Index(#[from] IndexError),
    /// An index of another segment.
    #[error("the index of the segment {found}; it is made anew when it is needed")]
    IndexBase {
        /// The base offset in it.
        found: Offset,
    },
    /// An index with chunks that are not whole.
    #[error("{bytes} bytes behind the last whole chunk; they are made anew when they are needed")]
    IndexTail {
        /// Bytes that do not count.
        bytes: u64,
    },
    /// An entry that the segment contradicts. It would be believed.
    #[error("an entry says that offset {offset} is at position {position}, where no such batch begins")]
    IndexEntry {
        /// The offset in the entry.
        offset: Offset,
        /// The position in the entry.
        position: Position,
    },
    /// An entry whose timestamp is not the largest before its place. It would be believed.
    #[error(
        "an entry for position {position} has the timestamp {found}, {expected} is the largest before it"
    )]
    IndexTime {
        /// The position in the entry.
        position: Position,
        /// What the batches say.
        expected: Timestamp,
        /// What the entry says.
        found: Timestamp,
    },
    /// A file of aborted transactions that is none.
    #[error("{0}; it is made anew from the log")]
    Aborted(#[from] AbortedError),
    /// One with bytes that are no row that follows.
    #[error("{bytes} bytes behind the last whole row that follows")]
    AbortedTail {
        /// Bytes that do not count.
        bytes: u64,
    },
    /// One that lacks rows.
    #[error(
        "the rows of {rows} aborted transactions are missing, the first is that of the marker at {marker}"
    )]
    AbortedMissing {
        /// The first marker without a row.
        marker: Offset,
        /// How many there are.
        rows: usize,
    },
    /// A row without a marker. It would be believed.
    #[error(
        "a row says that producer {producer} has aborted at offset {marker}, where no such marker stands"
    )]
    AbortedMarker {
        /// The producer in the row.
        producer: ProducerId,
        /// The marker offset in the row.
        marker: Offset,
    },
    /// A row that leaves out what it has to tell. It would be believed.
    #[error("the row of the marker at {marker} has a first or a last stable offset behind that of the log")]
    AbortedRow {
        /// The marker.
        marker: Offset,
    },
    /// A journal whose sequence of commits breaks off before its end.
    #[error("the journal breaks off, and goes on {bytes} bytes behind: {end}")]
    Journal {
        /// Bytes up to the next commit.
        bytes: u64,
        /// What is found there.
        end: End,
    },
    /// A journal that ends as one that was interrupted.
    #[error("the journal ends in a write that was cut short: {end}")]
    JournalTail {
        /// What is found there.
        end: End,
    },
    /// A journal of a newer release.
    #[error("{end}")]
    JournalVersion {
        /// What is found there.
        end: End,
    },
    /// A journal without its first commit.
    #[error("the first commit is not whole, those behind it are used: {end}")]
    JournalStart {
        /// What is found at the beginning.
        end: End,
    },
    /// A recovery point, or a log start, of a partition that is not there.
    #[error("a row for partition {index} of topic {topic}, which the topic table does not have")]
    UnknownPartition {
        /// The topic's id.
        topic: crate::types::TopicId,
        /// The partition.
        index: u32,
    },
    /// A file that was there.
    #[error("the file is missing")]
    NoFile,
    /// A directory that no topic claims.
    #[error("no topic claims this directory; the next start sets it aside")]
    Unclaimed,
    /// A directory of a topic whose deletion was cut short.
    #[error("its topic was deleted; the next start removes it")]
    Deleted,
    /// A directory that was set aside, since no topic claimed it.
    #[error("set aside, since no topic claimed it; strandline log strays deletes it")]
    Stray,
    /// Something that a crash has left, and the next opening removes.
    #[error("left over; the next opening removes it")]
    Leftover,
    /// A compaction that has committed, and that the next opening finishes.
    #[error("a compaction that the next opening finishes")]
    Swap,
    /// A file of nobody.
    #[error("not a file of ours; it is left alone")]
    Foreign,
    /// The file can not be opened or listed.
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Note => "note",
            Severity::Damage => "damage",
        };
        write!(f, "{severity}: {}", self.path.display())?;
        if let Some(position) = self.position {
            write!(f, ", position {position}")?;
        }
        if let Some(offsets) = &self.offsets {
            write!(f, ", offsets {} to {}", offsets.start, offsets.end.get() - 1)?;
        }
        write!(f, ": {}", self.what)
    }
}
