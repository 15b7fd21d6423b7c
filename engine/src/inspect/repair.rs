//! What can be put right in place without losing a record, and nothing else: what a start would do, or could not do for want of a file that
//! can be made anew. Every file is copied before it is changed.
//!
//! | found | done |
//! |---|---|
//! | an index that is damaged, or contradicts its segment | made anew from the batches |
//! | a torn tail behind the recovery point | cut off |
//! | what a crash has left over | removed |
//! | a damaged `compacted` | made anew: everything before the recovery point may have gaps |
//! | a damaged `meta` | made anew, with another cluster id |
//! | a damaged `producer-ids` | made anew, behind all ids that are known |
//!
//! Anything else stays, and is [`salvage`](super::salvage())'s to go around.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::directory::{DataDir, InspectError, failed};
use super::finding::{Severity, What};
use super::partition::{Item, PartitionWalk, read_journals};
use super::segment::{SegmentItem, SegmentWalk};
use super::source::Source;
use super::verify::verify;
use super::writer::IndexBuilder;
use crate::catalog::PRODUCER_IDS_FILE;
use crate::format::compacted::Compacted;
use crate::format::meta::{Meta, NODE_ID_UNKNOWN};
use crate::format::{names, producer_ids};
use crate::recovery::META_FILE;
use crate::types::{Offset, Position, random_uuid};

/// Producer ids that are left out behind the largest one that is known: some were given out and have not written yet.
const PRODUCER_IDS_MARGIN: i64 = 1_000_000;

/// One thing to put right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Repair {
    /// The file gets other contents, which were made from what is whole.
    Rewrite {
        /// The file.
        path: PathBuf,
        /// All of it.
        bytes: Bytes,
    },
    /// The file is cut.
    Cut {
        /// The file.
        path: PathBuf,
        /// What it has then.
        length: Position,
        /// What is cut off.
        bytes: u64,
    },
    /// The file is removed.
    Remove {
        /// The file.
        path: PathBuf,
    },
}

/// What can be put right in a directory, and how many findings of damage stay.
pub fn plan_repair(dir: &DataDir, progress: &mut dyn FnMut(u64)) -> (Vec<Repair>, u64) {
    let mut repairs: Vec<Repair> = Vec::new();
    let mut stays = 0;
    let mut note = |finding: &super::Finding| {
        let path = &finding.path;
        let repair = match &finding.what {
            What::Index(_) | What::IndexBase { .. } | What::IndexTail { .. } => rebuilt_index(path),
            What::IndexEntry { .. } | What::IndexTime { .. } => rebuilt_index(path),
            What::TornTail { bytes, .. } => {
                let length = finding.position.expect("a tail has a place");
                Some(Repair::Cut { path: path.clone(), length, bytes: *bytes })
            }
            What::Leftover => Some(Repair::Remove { path: path.clone() }),
            What::SmallFile(_) => remade(dir, path),
            _ => None,
        };
        match repair {
            Some(repair) if !repairs.contains(&repair) => repairs.push(repair),
            Some(_) => {}
            None => stays += u64::from(finding.severity == Severity::Damage),
        }
    };
    verify(dir, &mut note, progress);
    (repairs, stays)
}

/// The index of a segment that is whole; nothing of one that is damaged, since entries would be missing.
fn rebuilt_index(index: &Path) -> Option<Repair> {
    let log = index.with_extension("log");
    let (base, _) = names::parse_segment(log.file_name()?.to_str()?)?;
    let mut builder = IndexBuilder::new(base);
    for item in SegmentWalk::new(Source::open(&log).ok()?, base, None) {
        match item {
            // Positions have 32 bits.
            SegmentItem::Batch(batch) if batch.position <= Position::from(u32::MAX) => {
                builder.pass(batch.position, &batch.header);
            }
            // An index ends before what is damaged; a reader goes on from its last entry.
            _ => break,
        }
    }
    Some(Repair::Rewrite { path: index.to_owned(), bytes: builder.finish().into() })
}

/// A small file that can be made anew.
fn remade(dir: &DataDir, path: &Path) -> Option<Repair> {
    let name = path.file_name()?.to_str()?;
    let bytes = match name {
        META_FILE => Meta { cluster_id: random_uuid(), node_id: NODE_ID_UNKNOWN }.encode(),
        PRODUCER_IDS_FILE => {
            producer_ids::encode(largest_producer_id(dir).saturating_add(PRODUCER_IDS_MARGIN))
        }
        names::COMPACTED_FILE => {
            let partition = dir.partitions.iter().find(|partition| path.starts_with(&partition.path))?;
            let point = dir.points.get(&partition.id?)?;
            let end = point.next_offset;
            Compacted { compacted_end: end, clean_end: Offset::ZERO, gaps_end: end }.encode()
        }
        _ => return None,
    };
    Some(Repair::Rewrite { path: path.to_owned(), bytes })
}

fn largest_producer_id(dir: &DataDir) -> i64 {
    let producers = dir.points.values().flat_map(|point| &point.producers);
    let mut largest = producers.map(|producer| producer.id).max().unwrap_or(-1);
    let (journals, _) = read_journals(dir);
    for partition in &dir.partitions {
        let journaled = partition.id.and_then(|id| journals.get(&id)).map_or(&[][..], Vec::as_slice);
        for item in PartitionWalk::new(partition, None, journaled) {
            if let Item::Batch { batch, .. } | Item::Deleted(batch) = item {
                largest = largest.max(batch.header.producer_id());
            }
        }
    }
    largest
}

impl Repair {
    /// The file.
    pub fn path(&self) -> &Path {
        match self {
            Repair::Rewrite { path, .. } | Repair::Cut { path, .. } | Repair::Remove { path } => path,
        }
    }

    /// Copies the file to `backup`, durably, and changes it. The change is durable when this returns.
    ///
    /// # Errors
    /// `Io`; the file is unchanged when `backup` is there already, or can not be written.
    pub fn apply(&self, backup: &Path) -> Result<(), InspectError> {
        if self.path().exists() {
            copy(self.path(), backup).map_err(failed("copying to", backup))?;
        }
        let change = || match self {
            Repair::Rewrite { path, bytes } => {
                let mut temporary = path.clone().into_os_string();
                temporary.push(".tmp");
                fs::write(&temporary, bytes)?;
                File::open(&temporary)?.sync_all()?;
                fs::rename(&temporary, path)
            }
            Repair::Cut { path, length, .. } => {
                let file = File::options().write(true).open(path)?;
                file.set_len(*length)?;
                file.sync_all()
            }
            Repair::Remove { path } => fs::remove_file(path),
        };
        let parent = self.path().parent().expect("a file stands in a directory");
        change().and_then(|()| File::open(parent)?.sync_all()).map_err(failed("repairing", self.path()))
    }
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let parent = to.parent().expect("a file stands in a directory");
    fs::create_dir_all(parent)?;
    let mut copy = File::create_new(to)?;
    io::copy(&mut File::open(from)?, &mut copy)?;
    copy.sync_all()?;
    File::open(parent)?.sync_all()
}
