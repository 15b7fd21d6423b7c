//! Everything that is whole, into a new directory that a broker starts on. The source is only read.
//!
//! Offsets, timestamps, topics with their identities and settings, log starts, the state of producers: all of
//! it stays; the directory has another identity. What is missing is told, and stands in the new log as
//! batches without records. Kafka's directories are taken over alike; what Kafka keeps elsewhere (settings of
//! topics) is not there to take.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::Range;
use std::path::Path;

use bytes::Bytes;

use super::aborted::Told;
use super::directory::{DataDir, InspectError, Owner, PartitionDir, failed};
use super::partition::{Item, Journals, PartitionJournal, PartitionWalk, read_journals};
use super::writer::LogWriter;
use crate::config::{DynamicSettings, PARTITIONS_MAX};
use crate::format::checkpoint::{CheckpointEncoder, PartitionCheckpoint};
use crate::format::compacted::Compacted;
use crate::format::marker::EndMarker;
use crate::format::meta::{DirectoryId, Meta, NODE_ID_UNKNOWN};
use crate::format::names::{self, DataFile, Scope};
use crate::format::topics::{Placement, TopicRecord, TopicsFile};
use crate::format::{producer_ids, settings, topics};
use crate::log::Producers;
use crate::shard::shard_dir;
use crate::types::{Offset, PartitionId, Position, ProducerId, Timestamp, TopicId, random_uuid};

/// What was recovered of a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Salvaged {
    /// The topic's name.
    pub topic: String,
    /// The partition's number.
    pub index: u32,
    /// Where the log starts.
    pub log_start: Offset,
    /// Where the next record goes.
    pub log_end: Offset,
    /// Batches that were written.
    pub batches: u64,
    /// Records in them.
    pub records: u64,
    /// Batches that only a journal had.
    pub from_journals: u64,
    /// Batches with a wrong base offset, length, leader epoch or version, which was put right.
    pub restored: u64,
    /// Bytes of segments that were no batches.
    pub damaged_bytes: u64,
    /// Offsets that nothing had.
    pub missing: Vec<Range<Offset>>,
}

/// What was recovered in all, beside the partitions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SalvageReport {
    /// Topics of the new table.
    pub topics: usize,
    /// Whether the topic table was lost: topics have their directories' names, new identities and no
    /// settings.
    pub topics_guessed: bool,
    /// Whether the file `settings` was lost: what was set for the broker while it ran is not in the new
    /// directory.
    pub settings_lost: bool,
    /// Topics that were left out because the caller did not want them.
    pub left_out: Vec<String>,
    /// Batches in journals that belong to no partition that is known.
    pub unclaimed_journaled: u64,
}

/// Writes what is whole in `dir` to `target`, which must not be there, or be empty. `wanted` says which of
/// Kafka's topics to take; `report` is given each partition when it is written, `progress` the bytes read
/// since its last call.
///
/// # Errors
/// [`InspectError::Occupied`], and `Io` when the new directory can not be written. Nothing that is wrong with
/// the source is an error.
pub fn salvage(
    dir: &DataDir,
    target: &Path,
    wanted: &dyn Fn(&str) -> bool,
    report: &mut dyn FnMut(&Salvaged),
    progress: &mut dyn FnMut(u64),
) -> Result<SalvageReport, InspectError> {
    make_empty(target)?;
    let mut summary = SalvageReport::default();
    let (journals, _) = read_journals(dir);
    let records = topic_records(dir, wanted, &mut summary);
    let mut rows = Vec::new();
    let mut producer_id = dir.next_producer_id.unwrap_or(ProducerId(0));
    for topic in &records {
        let of_topic = |id: &PartitionId| id.topic == topic.id && topic.replica(id.index).is_some();
        let known = dir.points.keys().chain(journals.keys()).filter(|id| of_topic(id)).map(|id| id.index);
        let found = dir.partitions.iter().filter(|found| found.topic == topic.name).map(|found| found.index);
        let is_here = |index: &u32| topic.replica(*index).is_some();
        let indexes: BTreeSet<u32> = known.chain(found.filter(is_here)).collect();
        for index in indexes {
            let id = PartitionId::new(topic.id, index);
            let found = dir.partitions.iter().find(|dir| dir.topic == topic.name && dir.index == index);
            let partition = Partition { dir, topic, id, found, target };
            let (salvaged, row) = partition.write(journals.get(&id), &mut producer_id, progress)?;
            report(&salvaged);
            rows.push(row);
        }
    }
    summary.topics = records.len();
    summary.unclaimed_journaled = unclaimed(&journals, &records);
    let mut checkpoint = CheckpointEncoder::new();
    rows.iter().for_each(|row| checkpoint.push(row));
    let shard = shard_dir(target, 0);
    fs::create_dir_all(&shard).map_err(failed("making", &shard))?;
    let checkpoint = checkpoint.finish();
    for name in [names::CHECKPOINT_COPY_FILE, names::CHECKPOINT_FILE] {
        write(&shard.join(name), &checkpoint)?;
    }
    summary.settings_lost = dir.owner == Owner::Strandline && dir.settings.is_none();
    let known = dir.meta.map(|meta| (meta.cluster_id, meta.node_id));
    let (cluster_id, node_id) = known.unwrap_or_else(|| (random_uuid(), NODE_ID_UNKNOWN));
    // It may lack what the other one had, and must not pass for it.
    let meta = Meta { cluster_id, node_id, directory_id: Some(DirectoryId::random()) };
    let table = TopicsFile { topics: records, deleted: Vec::new() };
    let mut last = None;
    for file in DataFile::ALL.into_iter().filter(|file| file.scope() == Scope::DataDir) {
        let content = match file {
            // No start takes a directory without this file: it is written last.
            DataFile::Meta => {
                last = Some(meta.encode());
                continue;
            }
            DataFile::Topics => topics::encode(&table),
            DataFile::ProducerIds => producer_ids::encode(producer_id),
            DataFile::Settings => match &dir.settings {
                Some(set) if *set != DynamicSettings::default() => settings::encode(set),
                _ => continue,
            },
            // The first start makes them.
            DataFile::Lock | DataFile::Reserve | DataFile::Temporary => continue,
            // Written above, or with the partitions.
            DataFile::Journal
            | DataFile::Checkpoint
            | DataFile::CheckpointCopy
            | DataFile::SegmentLog
            | DataFile::SegmentIndex
            | DataFile::Cleaned
            | DataFile::Swap
            | DataFile::Compacted
            | DataFile::Aborted => continue,
        };
        write(&target.join(file.fixed_name().expect("there is one of each")), &content)?;
    }
    write(&target.join(names::META_FILE), &last.expect("it is among them"))?;
    for directory in [shard.as_path(), shard.parent().expect("it stands in another"), target] {
        sync_dir(directory)?;
    }
    Ok(summary)
}

fn make_empty(target: &Path) -> Result<(), InspectError> {
    fs::create_dir_all(target).map_err(failed("making", target))?;
    match fs::read_dir(target).map_err(failed("listing", target))?.next() {
        None => Ok(()),
        Some(_) => Err(InspectError::Occupied { path: target.to_owned() }),
    }
}

fn write(path: &Path, bytes: &Bytes) -> Result<(), InspectError> {
    let write = || {
        fs::write(path, bytes)?;
        fs::File::open(path)?.sync_all()
    };
    write().map_err(failed("writing", path))
}

fn sync_dir(path: &Path) -> Result<(), InspectError> {
    fs::File::open(path).and_then(|directory| directory.sync_all()).map_err(failed("syncing", path))
}

/// The topics of the new directory.
fn topic_records(
    dir: &DataDir,
    wanted: &dyn Fn(&str) -> bool,
    summary: &mut SalvageReport,
) -> Vec<TopicRecord> {
    if let Some(topics) = &dir.topics {
        return topics.clone();
    }
    summary.topics_guessed = dir.owner == Owner::Strandline;
    let mut found: BTreeMap<&str, TopicRecord> = BTreeMap::new();
    // A number that no topic can have is part of a name that is not ours.
    for partition in dir.partitions.iter().filter(|partition| partition.index < PARTITIONS_MAX) {
        if !summary.topics_guessed && !wanted(&partition.topic) {
            if !summary.left_out.contains(&partition.topic) {
                summary.left_out.push(partition.topic.clone());
            }
            continue;
        }
        let record = found.entry(&partition.topic).or_insert_with(|| TopicRecord {
            name: partition.topic.clone(),
            id: partition.kafka_topic_id().unwrap_or_else(TopicId::random),
            partitions: 1,
            configs: Vec::new(),
            placement: Placement::ALONE,
        });
        record.partitions = record.partitions.max(partition.index + 1);
    }
    found.into_values().collect()
}

fn unclaimed(journals: &Journals, topics: &[TopicRecord]) -> u64 {
    let is_known = |id: &PartitionId| {
        topics.iter().any(|topic| topic.id == id.topic && topic.replica(id.index).is_some())
    };
    journals.iter().filter(|(id, _)| !is_known(id)).map(|(_, journal)| journal.batches.len() as u64).sum()
}

impl Salvaged {
    /// Nothing yet, of a log that begins here.
    fn of(topic: &str, index: u32, log_start: Offset) -> Salvaged {
        Salvaged {
            topic: topic.to_owned(),
            index,
            log_start,
            log_end: log_start,
            batches: 0,
            records: 0,
            from_journals: 0,
            restored: 0,
            damaged_bytes: 0,
            missing: Vec::new(),
        }
    }
}

/// What stands beside the segments of a partition.
fn write_side_files(
    directory: &Path,
    compacted: Compacted,
    told: &Told,
    log_end: Offset,
) -> Result<(), InspectError> {
    if !directory.exists() {
        return Ok(());
    }
    if compacted != Compacted::default() {
        let compacted = Compacted { gaps_end: Offset::ZERO, ..compacted };
        write(&directory.join(names::COMPACTED_FILE), &compacted.encode())?;
    }
    if !told.rows.is_empty() {
        write(&directory.join(names::ABORTED_FILE), &told.file(log_end).into())?;
    }
    sync_dir(directory)
}

struct Partition<'a> {
    dir: &'a DataDir,
    topic: &'a TopicRecord,
    id: PartitionId,
    found: Option<&'a PartitionDir>,
    target: &'a Path,
}

impl Partition<'_> {
    fn write(
        &self,
        journal: Option<&PartitionJournal>,
        producer_id: &mut ProducerId,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(Salvaged, PartitionCheckpoint), InspectError> {
        let directory = self.target.join(names::partition_dir(&self.topic.name, self.id.index));
        let none = PartitionDir::empty(&directory, &self.topic.name, self.id.index);
        let found = self.found.unwrap_or(&none);
        let point = self.dir.points.get(&self.id);
        let mut walk = PartitionWalk::new(found, point, journal);
        let mut producers = Producers::from_checkpoint(point.map_or(&[], |point| &point.producers));
        let mut noted = point.map_or(Offset::ZERO, |point| point.next_offset);
        if journal.is_some_and(|journal| journal.truncation.is_some()) {
            // What is left of the log tells it anew.
            (producers, noted) = (Producers::default(), Offset::ZERO);
        }
        let mut log = LogWriter::new(&directory);
        let mut told = Told::default();
        let mut salvaged = Salvaged::of(&self.topic.name, self.id.index, walk.log_start());
        let mut rolls = false;
        let mut next = walk.log_start();
        let write_failed = failed("writing", &directory);
        for item in walk.by_ref() {
            match item {
                Item::Segment(segment) => {
                    rolls = true;
                    progress(segment.length);
                }
                Item::Batch { batch, in_segment, .. } => {
                    let header = &batch.header;
                    if header.base_offset() > next {
                        // Compaction has been here, that of Kafka or of an older release.
                        log.fill(header.base_offset()).map_err(&write_failed)?;
                    }
                    if std::mem::take(&mut rolls) {
                        log.roll(header.base_offset()).map_err(&write_failed)?;
                    }
                    log.push(&batch.bytes).map_err(&write_failed)?;
                    told.pass(header, &batch.bytes);
                    next = header.next_offset();
                    if header.base_offset() >= noted {
                        producers.note(header, EndMarker::read(&batch.bytes));
                    }
                    let behind = ProducerId(header.producer_id().0.saturating_add(1));
                    *producer_id = (*producer_id).max(behind);
                    salvaged.batches += 1;
                    salvaged.records += header.record_count().max(0) as u64;
                    salvaged.from_journals += u64::from(!in_segment);
                }
                Item::Missing(offsets) => {
                    log.begin(offsets.start);
                    log.fill(offsets.end).map_err(&write_failed)?;
                    next = offsets.end;
                    salvaged.missing.push(offsets);
                }
                Item::Damage { damage, .. } => match damage.restored {
                    Some(_) => salvaged.restored += 1,
                    None => salvaged.damaged_bytes += damage.bytes,
                },
                Item::Unreadable(segment, _) => salvaged.damaged_bytes += segment.length,
                Item::Deleted(_) => {}
            }
        }
        salvaged.log_end = walk.next_offset();
        // What is lost of the end may have been in the checkpoint.
        producers.roll_back(salvaged.log_end);
        let epochs = log.epochs().to_vec();
        log.finish().map_err(&write_failed)?;
        write_side_files(&directory, found.compacted, &told, salvaged.log_end)?;
        let row = PartitionCheckpoint {
            partition: self.id,
            log_start: salvaged.log_start,
            segment_base: salvaged.log_end,
            position: Position::ZERO,
            next_offset: salvaged.log_end,
            max_timestamp: Timestamp::NONE,
            high_watermark: salvaged.log_end,
            truncations: 0,
            last_aborted: told.rows.last().map(|row| row.marker_offset),
            epochs,
            producers: producers.to_checkpoint(),
        };
        Ok((salvaged, row))
    }
}
