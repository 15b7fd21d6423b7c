//! What can be put right in place without losing a record, and nothing else: what a start would do, or could
//! not do for want of a file that can be made anew. Every file is copied before it is changed.
//!
//! | found | done |
//! |---|---|
//! | an index that is damaged, or contradicts its segment | made anew from the batches |
//! | aborted transactions that are damaged, or contradict the log | made anew from the batches |
//! | a torn tail behind the recovery point | cut off |
//! | a batch with a wrong base offset, length, leader epoch or version, none of which a checksum covers | what was there, where nothing else fits ([`segment`](super::segment)) |
//! | what a crash has left over | removed |
//! | a small file with one flipped bit | the bit is turned back: the sum tells which one it was |
//! | a damaged or missing `checkpoint`, or its copy | the other one's content |
//! | a damaged `compacted` | made anew: everything before the recovery point may have gaps |
//! | a damaged or missing `meta` | made anew, with another cluster id and directory id |
//! | a damaged or missing `producer-ids` | made anew, behind all ids that are known |
//! | a partition's directory that is gone, when that is accepted | its rows in the checkpoints: the log goes on, empty, where it ended |
//! | a damaged `settings` | made anew without any; what it seems to say is told, to be set again |
//!
//! Anything else stays, and is [`salvage`](super::salvage())'s to go around.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::aborted::Told;
use super::directory::{DataDir, InspectError, failed};
use super::finding::{Severity, What};
use super::partition::{Item, PartitionWalk, read_journals};
use super::segment::{Damage, SegmentItem, SegmentWalk};
use super::source::Source;
use super::verify::verify;
use super::writer::IndexBuilder;
use crate::config::DynamicSettings;
use crate::format::batch::BATCH_PREFIX_BYTES;
use crate::format::checkpoint::{self, CheckpointEncoder};
use crate::format::compacted::Compacted;
use crate::format::envelope;
use crate::format::meta::{DirectoryId, Meta, NODE_ID_UNKNOWN};
use crate::format::names::{self, DataFile, Scope, Sum};
use crate::format::{producer_ids, settings};
use crate::types::{Offset, PartitionId, Position, ProducerId, Timestamp, random_uuid};

/// Producer ids that are left out behind the largest one that is known: some were given out and have not
/// written yet.
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
        /// What is lost by it; `None` when all that the file said is in it.
        lost: Option<String>,
    },
    /// Batches of a segment get back their first bytes, which no checksum covers and everything around tells.
    Restore {
        /// The file.
        path: PathBuf,
        /// Where each batch begins, and what stands there then.
        batches: Vec<(Position, [u8; BATCH_PREFIX_BYTES])>,
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

/// What can be put right in a directory, and how many findings of damage stay. `accept_loss` gives up the
/// records of partitions whose directory is gone: nothing else brings them back into service.
pub fn plan_repair(dir: &DataDir, accept_loss: bool, progress: &mut dyn FnMut(u64)) -> (Vec<Repair>, u64) {
    let mut repairs: Vec<Repair> = if accept_loss { without_gone(dir) } else { Vec::new() };
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
            What::Segment { prefix: Some(prefix), .. } => {
                let batch = (finding.position.expect("a batch has a place"), *prefix);
                let of_file = repairs.iter_mut().find_map(|repair| match repair {
                    Repair::Restore { path: known, batches } if known == path => Some(batches),
                    _ => None,
                });
                if let Some(batches) = of_file {
                    return batches.push(batch);
                }
                Some(Repair::Restore { path: path.clone(), batches: vec![batch] })
            }
            What::Aborted(_) | What::AbortedTail { .. } | What::AbortedMissing { .. } => {
                remade_aborted(dir, path)
            }
            What::AbortedMarker { .. } | What::AbortedRow { .. } => remade_aborted(dir, path),
            What::Leftover => Some(Repair::Remove { path: path.clone() }),
            What::SmallFile(_) | What::NoFile => remade(dir, path),
            What::Gone if accept_loss => return,
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

/// Checkpoints in which the logs of partitions whose directory is gone begin where they ended.
fn without_gone(dir: &DataDir) -> Vec<Repair> {
    let is_there = |id: PartitionId| dir.partitions.iter().any(|partition| partition.id == Some(id));
    let is_gone = |id: PartitionId| {
        dir.points.get(&id).filter(|point| !is_there(id) && point.log_start < point.next_offset)
    };
    let mut repairs = Vec::new();
    for path in &dir.checkpoints {
        // One that can not be read is a finding.
        let Ok(rows) = fs::read(path).map(|bytes| checkpoint::decode(&bytes).unwrap_or_default()) else {
            continue;
        };
        let (mut encoder, mut lost) = (CheckpointEncoder::new(), Vec::new());
        for mut row in rows {
            if let Some(point) = is_gone(row.partition) {
                let PartitionId { topic, index } = row.partition;
                let name = dir.topics.iter().flatten().find(|record| record.id == topic);
                let name = name.map_or(topic.to_string(), |record| record.name.clone());
                let last = point.next_offset.get() - 1;
                lost.push(format!("{name} partition {index}: offsets {} to {last}", point.log_start));
                (row.log_start, row.segment_base, row.next_offset) =
                    (point.next_offset, point.next_offset, point.next_offset);
                (row.position, row.max_timestamp) = (Position::ZERO, Timestamp::NONE);
            }
            encoder.push(&row);
        }
        if !lost.is_empty() {
            let (path, bytes, lost) = (path.clone(), encoder.finish(), Some(lost.join(", ")));
            repairs.push(Repair::Rewrite { path, bytes, lost });
        }
    }
    repairs
}

/// The index of a segment that is whole; nothing of one that is damaged, since entries would be missing.
fn rebuilt_index(index: &Path) -> Option<Repair> {
    let log = index.with_extension("log");
    let (base, _) = names::parse_segment(log.file_name()?.to_str()?)?;
    let mut builder = IndexBuilder::new(base);
    for item in SegmentWalk::new(Source::open(&log).ok()?, base, None) {
        match item {
            // Positions have 32 bits.
            SegmentItem::Batch(batch) | SegmentItem::Damage(Damage { restored: Some(batch), .. })
                if batch.position <= Position::from(u32::MAX) =>
            {
                builder.pass(batch.position, &batch.header);
            }
            // An index ends before what is damaged; a reader goes on from its last entry.
            _ => break,
        }
    }
    Some(Repair::Rewrite { path: index.to_owned(), bytes: builder.finish().into(), lost: None })
}

/// The aborted transactions that the log of a partition tells, as far as the recovery point. Nothing where
/// the log is damaged, since some would be missing.
fn remade_aborted(dir: &DataDir, path: &Path) -> Option<Repair> {
    let partition = dir.partitions.iter().find(|partition| path.starts_with(&partition.path))?;
    let point = dir.points.get(&partition.id?)?;
    let (journals, _) = read_journals(dir);
    let mut told = Told::default();
    for item in PartitionWalk::new(partition, Some(point), journals.get(&partition.id?)) {
        match item {
            Item::Batch { batch, .. } => told.pass(&batch.header, &batch.bytes),
            Item::Segment(_) | Item::Deleted(_) => {}
            Item::Damage { is_synced: false, .. } => {}
            Item::Damage { .. } | Item::Unreadable(..) | Item::Missing(_) => return None,
        }
    }
    let path = partition.path.join(names::ABORTED_FILE);
    Some(Repair::Rewrite { path, bytes: told.file(point.next_offset).into(), lost: None })
}

/// A small file that can be mended or made anew, or taken from its copy.
fn remade(dir: &DataDir, path: &Path) -> Option<Repair> {
    let name = path.file_name()?.to_str()?;
    let parent = path.parent()?;
    let scope = match parent == dir.path {
        true if dir.owner == super::Owner::Strandline => Scope::DataDir,
        _ if parent.parent().is_some_and(|above| above.ends_with(names::SHARDS_DIR)) => Scope::Shard,
        _ => Scope::Partition,
    };
    let file = DataFile::parse(scope, name)?;
    let damaged = match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        read => read.ok()?,
    };
    if let Sum::Whole(kind, check) = file.sum()
        && let Some(mended) = envelope::mended(&damaged)
        && mended.starts_with(&kind.0)
        && check(&mended).is_ok()
    {
        return Some(Repair::Rewrite { path: path.to_owned(), bytes: mended.into(), lost: None });
    }
    let (bytes, lost) = match file {
        DataFile::Meta => {
            let directory_id = Some(DirectoryId::random());
            let meta = Meta { cluster_id: random_uuid(), node_id: NODE_ID_UNKNOWN, directory_id };
            let lost = "the cluster id and the directory id are other ones, and the node id is what the next start sets";
            (meta.encode(), lost.to_owned())
        }
        DataFile::ProducerIds => {
            let next = ProducerId(largest_producer_id(dir).0.saturating_add(PRODUCER_IDS_MARGIN));
            (producer_ids::encode(next), format!("producer ids go on at {next}, behind all that are known"))
        }
        DataFile::Compacted => {
            let partition = dir.partitions.iter().find(|partition| path.starts_with(&partition.path))?;
            let point = dir.points.get(&partition.id?)?;
            let end = point.next_offset;
            let compacted = Compacted { compacted_end: end, clean_end: Offset::ZERO, gaps_end: end };
            (compacted.encode(), "all of the log is compacted again".to_owned())
        }
        DataFile::Settings => {
            let seen = settings::glimpse(&damaged);
            let lost = match seen.is_empty() {
                true => "all that was set for the broker while it ran".to_owned(),
                false => format!(
                    "all that was set for the broker while it ran; the file seems to say, and what is right of it is to be set again: {}",
                    seen.join(", ")
                ),
            };
            (settings::encode(&DynamicSettings::default()), lost)
        }
        DataFile::Checkpoint | DataFile::CheckpointCopy => {
            let other = match file {
                DataFile::Checkpoint => names::CHECKPOINT_COPY_FILE,
                _ => names::CHECKPOINT_FILE,
            };
            let bytes = fs::read(parent.join(other)).ok()?;
            checkpoint::decode(&bytes).ok()?;
            return Some(Repair::Rewrite { path: path.to_owned(), bytes: bytes.into(), lost: None });
        }
        // Topics can not be told from the directories alone: `salvage` goes around them. The others have no
        // sum over all of them, or nobody reads them.
        DataFile::Topics
        | DataFile::Lock
        | DataFile::Reserve
        | DataFile::Journal
        | DataFile::SegmentLog
        | DataFile::SegmentIndex
        | DataFile::Cleaned
        | DataFile::Swap
        | DataFile::Aborted
        | DataFile::Temporary => return None,
    };
    Some(Repair::Rewrite { path: path.to_owned(), bytes, lost: Some(lost) })
}

fn largest_producer_id(dir: &DataDir) -> ProducerId {
    let producers = dir.points.values().flat_map(|point| &point.producers);
    let known = producers.map(|producer| producer.id).filter(|id| id.may_be_given());
    let mut largest = known.max().unwrap_or(ProducerId::NONE);
    let (journals, _) = read_journals(dir);
    for partition in &dir.partitions {
        let journal = partition.id.and_then(|id| journals.get(&id));
        for item in PartitionWalk::new(partition, None, journal) {
            if let Item::Batch { batch, .. } | Item::Deleted(batch) = item {
                let id = batch.header.producer_id();
                largest = if id.may_be_given() { largest.max(id) } else { largest };
            }
        }
    }
    largest
}

impl Repair {
    /// The file.
    pub fn path(&self) -> &Path {
        match self {
            Repair::Rewrite { path, .. }
            | Repair::Restore { path, .. }
            | Repair::Cut { path, .. }
            | Repair::Remove { path } => path,
        }
    }

    /// Copies the file to `backup`, durably, and changes it; `None` for one that was copied before another
    /// repair of it. The change is durable when this returns.
    ///
    /// # Errors
    /// `Io`; the file is unchanged when `backup` is there already, or can not be written.
    pub fn apply(&self, backup: Option<&Path>) -> Result<(), InspectError> {
        if let Some(backup) = backup.filter(|_| self.path().exists()) {
            copy(self.path(), backup).map_err(failed("copying to", backup))?;
        }
        let change = || match self {
            Repair::Rewrite { path, bytes, .. } => {
                let mut temporary = path.clone().into_os_string();
                temporary.push(".tmp");
                fs::write(&temporary, bytes)?;
                File::open(&temporary)?.sync_all()?;
                fs::rename(&temporary, path)
            }
            Repair::Restore { path, batches } => {
                let file = File::options().write(true).open(path)?;
                for (position, bytes) in batches {
                    file.write_all_at(bytes, position.0)?;
                }
                file.sync_all()
            }
            Repair::Cut { path, length, .. } => {
                let file = File::options().write(true).open(path)?;
                file.set_len(length.0)?;
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
