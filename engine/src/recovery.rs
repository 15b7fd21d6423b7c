//! From what a stop or a crash has left to a data directory that needs no journal.
//!
//! One pass, before any shard runs and whatever their number was or will be:
//!
//! 1. read every checkpoint: of each partition the recovery point that is farthest counts;
//! 2. read every journal: the batches, by partition and offset, and the truncations;
//! 3. open each partition that a journal names, cut it where a truncation was not finished
//!    (`log/truncate.rs`), lay its batches over what the segments hold (`log/open.rs` has the table), sync;
//! 4. write the checkpoints of the coming shards, remove the directories of deleted topics, set aside what
//!    looks like a partition of ours and is in no table (`directories.rs`), then remove the journals and the
//!    other shards' directories.
//!
//! Journals are removed last, so a crash at any point of this repeats it with the same result (D8). Where
//! acknowledged records are missing, the journals stay, and the partition is fenced at every start until
//! somebody decides. Where the disk has no room for them, the journals stay, too, and the shard puts the
//! batches back when there is some (`shard/room.rs`). On a disk without any room the checkpoints stay as they
//! are, and so do the journals (D7). The cost follows the journals: a partition that no journal names is not
//! opened here.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use futures_util::stream::{self, StreamExt};

use crate::catalog::keep_reserve;
use crate::config::{CleanerConfig, DynamicSettings, InForce, NODE_ID_DEFAULT, TopicDefaults};
use crate::directories::{holds_partition, remove_partition, remove_shard, set_aside};
use crate::error::{Fault, FaultKind, FormatError, StartError};
use crate::format::checkpoint::{self, CheckpointEncoder, PartitionCheckpoint};
use crate::format::envelope::EnvelopeError;
use crate::format::journal::Truncation;
use crate::format::meta::{DirectoryId, Meta, NODE_ID_UNKNOWN};
use crate::format::names::{self, Beside, DataFile, Missing};
use crate::format::{producer_ids, settings, topics};
use crate::io::{Disk, Entry as DirEntry, OpenMode, is_no_space, read_whole, replace};
use crate::journal::replay::{JournaledBatch, read_journal, rewrite_journal};
use crate::log::{Log, gone};
use crate::partition::{Incomplete, Unwritten};
use crate::segment::{OpenFiles, WriteFailure};
use crate::shard::{replace_checkpoint, shard_dir};
use crate::topics::{Topic, TopicTable};
use crate::types::{Offset, PartitionId, ProducerId, base64_url, random_uuid};

/// Most bytes of a small file that is read whole; a table of 100,000 topics has a tenth of it.
const SMALL_FILE_BYTES_MAX: u64 = 1 << 30;

/// Partitions that are replayed at the same time: nearly all of the time goes into waiting for their syncs.
const REPLAYS_AT_ONCE: usize = 64;

/// What recovery hands to the shards.
pub(crate) struct Recovered {
    pub(crate) meta: Meta,
    /// With what was set while it ran.
    pub(crate) settings: InForce,
    pub(crate) topics: TopicTable,
    pub(crate) next_producer_id: ProducerId,
    /// Recovery points, by the shard that will own the partition.
    pub(crate) checkpoints: Vec<Vec<PartitionCheckpoint>>,
    /// What the shards have to know where there was no room for those recovery points.
    pub(crate) unwritten: Option<Unwritten>,
    /// Partitions that lack records that were acknowledged: they take no appends.
    pub(crate) damaged: BTreeMap<PartitionId, Incomplete>,
    /// A number that no journal file that was kept has.
    pub(crate) journal_number: u64,
    pub(crate) report: RecoveryReport,
}

/// What recovery did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecoveryReport {
    /// Journal files that were read.
    pub journals: u64,
    /// Batches that they held.
    pub batches: u64,
    /// Partitions that they named.
    pub partitions: u64,
    /// Partitions of which acknowledged records are missing or damaged; the log names them.
    pub damaged_partitions: u64,
    /// Partitions of which acknowledged records wait in a journal, since the disk has no room for them; the
    /// log names them.
    pub waiting_partitions: u64,
}

/// Files of all shard directories.
struct ShardFiles {
    directories: Vec<PathBuf>,
    journals: Vec<PathBuf>,
}

/// Whose a data directory is to be. What is `None` was not asked for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Owner {
    pub(crate) node_id: Option<i32>,
    pub(crate) cluster_id: Option<[u8; 16]>,
}

/// Recovers the data directory for `shards` shards; makes it when it is empty. It belongs to `owner` from
/// then on; where that says nothing, to the node and the cluster that it was made for.
pub(crate) async fn recover<D: Disk>(
    disk: &D,
    data_dir: &Path,
    shards: usize,
    defaults: &TopicDefaults,
    cleaner: &CleanerConfig,
    owner: Owner,
) -> Result<Recovered, StartError> {
    let meta = read_or_make_meta(disk, data_dir, owner).await?;
    // A killed process may have replaced the topic table and not synced that: on its word, rows and
    // directories of topics are dropped.
    disk.sync_dir(data_dir).await.map_err(failed("syncing", data_dir))?;
    let settings = InForce::new(defaults, cleaner, read_settings(disk, data_dir).await?);
    let table = read_topics(disk, data_dir, &settings.topic_defaults).await?;
    let kept_producer_id = read_producer_ids(disk, data_dir).await?;
    let files = find_shard_files(disk, data_dir).await?;
    let mut points = read_checkpoints(disk, data_dir, &files.directories, table.as_ref()).await?;
    let topics = table.unwrap_or_default();
    let written_bases: BTreeMap<_, _> = points.iter().map(|(id, point)| (*id, point.segment_base)).collect();
    let mut report = RecoveryReport { journals: files.journals.len() as u64, ..RecoveryReport::default() };
    let entries = disk.list(data_dir).await.map_err(failed("listing", data_dir))?;
    let gone = find_gone(data_dir, &entries, &topics, &points);
    let Replayed { keep_journals, incomplete: mut damaged, truncated } =
        replay(disk, data_dir, &files.journals, &topics, &mut points, &mut report).await?;
    for (id, lacks) in gone {
        // Where a journal has some of it, that was told already.
        if let Entry::Vacant(place) = damaged.entry(id) {
            let topic = topics.by_id(id.topic).expect("it has a directory's name");
            tell(topic, id.index, &lacks.fault);
            report.damaged_partitions += 1;
            place.insert(lacks);
        }
    }
    let next_producer_id = kept_producer_id.unwrap_or_else(|| behind_known_producers(data_dir, &points));
    let mut checkpoints = vec![Vec::new(); shards];
    for point in points.into_values() {
        checkpoints[point.partition.shard(shards)].push(point);
    }
    let unwritten = match write_checkpoints(disk, data_dir, &checkpoints).await {
        Ok(()) => None,
        // Whoever has room first writes them. Until then another start does all of this again (D7).
        Err(StartError::Io { source, path, .. }) if is_no_space(&source) => {
            tracing::warn!(path = %path.display(), "the disk is full: no checkpoint was written, the journals stay");
            Some(Unwritten { bases: written_bases, rows: checkpoints.concat(), truncated })
        }
        Err(error) => return Err(error),
    };
    let topics = clear_directories(disk, data_dir, &entries, topics).await?;
    let keep_journals = keep_journals || unwritten.is_some();
    // What makes room on a full disk is written into it (D7).
    let table_bytes = topics::encode(&topics.to_file()).len();
    if let Err(error) = keep_reserve(disk, data_dir, table_bytes).await {
        tracing::warn!(%error, "there is no reserve for the small files");
    }
    let journal_number = remove_old(disk, data_dir, &files, shards, keep_journals).await?;
    Ok(Recovered {
        meta,
        settings,
        topics,
        next_producer_id,
        checkpoints,
        unwritten,
        damaged,
        journal_number,
        report,
    })
}

fn failed<'a>(doing: &'static str, path: &'a Path) -> impl Fn(io::Error) -> StartError + 'a {
    move |source| StartError::Io { doing, path: path.to_owned(), source }
}

/// A small file that can not be read: which one, why, and what mends it.
fn damaged_file(data_dir: &Path, path: &Path, source: EnvelopeError) -> StartError {
    let source = match source {
        EnvelopeError::Version { .. } => FormatError::Newer { source },
        _ => FormatError::Damaged { data_dir: data_dir.to_owned(), source },
    };
    StartError::Format { path: path.to_owned(), source }
}

/// Something of the data directory that only a start with `meta` makes, and whether a partition's directory
/// is there.
async fn find_beside<D: Disk>(disk: &D, data_dir: &Path) -> Result<(Beside, Option<PathBuf>), StartError> {
    let entries = match disk.list(data_dir).await {
        Ok(entries) => entries,
        // The first start makes it.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((Beside::default(), None)),
        Err(error) => return Err(failed("listing", data_dir)(error)),
    };
    let (mut beside, mut first) = (Beside::default(), None);
    for entry in entries {
        let path = data_dir.join(&entry.name);
        if names::follows_meta(&entry.name, entry.is_dir) {
            beside.follows_meta = true;
            first.get_or_insert(path);
        } else if entry.is_dir
            && names::parse_partition_dir(&entry.name).is_some()
            && holds_partition(disk, &path).await.map_err(failed("listing", &path))?
        {
            // Nothing says more of what is missing.
            beside.partitions = true;
            first = Some(path);
            break;
        }
    }
    Ok((beside, first))
}

async fn read_or_make_meta<D: Disk>(disk: &D, data_dir: &Path, owner: Owner) -> Result<Meta, StartError> {
    let Owner { node_id, cluster_id } = owner;
    let path = data_dir.join(names::META_FILE);
    let new_node_id = node_id.unwrap_or(NODE_ID_DEFAULT);
    if let Some(bytes) =
        read_whole(disk, &path, SMALL_FILE_BYTES_MAX).await.map_err(failed("reading", &path))?
    {
        let found = Meta::decode(&bytes).map_err(|error| damaged_file(data_dir, &path, error))?;
        let mut meta = found;
        match node_id {
            _ if found.node_id == NODE_ID_UNKNOWN => meta.node_id = new_node_id,
            Some(asked) if asked != found.node_id => {
                return Err(StartError::NodeId { path, found: found.node_id, asked });
            }
            _ => {}
        }
        if let Some(asked) = cluster_id.filter(|asked| *asked != found.cluster_id) {
            let (found, asked) = (base64_url(&found.cluster_id), base64_url(&asked));
            return Err(StartError::ClusterId { path, found, asked });
        }
        meta.directory_id.get_or_insert_with(DirectoryId::random);
        if meta == found {
            return Ok(found);
        }
        return match replace(disk, &path, meta.encode()).await {
            Ok(()) => Ok(meta),
            // An identity that is not kept is told to nobody: the next start makes another one (D7).
            Err(error) if is_no_space(&error) && meta.node_id == found.node_id => Ok(found),
            Err(error) => Err(failed("writing", &path)(error)),
        };
    }
    let (beside, there) = find_beside(disk, data_dir).await?;
    if let (Missing::Refused, Some(beside)) = (DataFile::Meta.missing(beside), there) {
        let source = FormatError::NoMeta { data_dir: data_dir.to_owned(), beside };
        return Err(StartError::Format { path, source });
    }
    // The first start may have made the directory: without its own name, nothing that is synced in it is
    // durable (D1).
    let parent = data_dir.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    disk.create_dir(data_dir).await.map_err(failed("making", data_dir))?;
    disk.sync_dir(parent).await.map_err(failed("syncing", parent))?;
    let directory_id = Some(DirectoryId::random());
    let cluster_id = cluster_id.unwrap_or_else(random_uuid);
    let meta = Meta { cluster_id, node_id: new_node_id, directory_id };
    replace(disk, &path, meta.encode()).await.map_err(failed("writing", &path))?;
    Ok(meta)
}

async fn read_settings<D: Disk>(disk: &D, data_dir: &Path) -> Result<DynamicSettings, StartError> {
    let path = data_dir.join(names::SETTINGS_FILE);
    match read_whole(disk, &path, SMALL_FILE_BYTES_MAX).await.map_err(failed("reading", &path))? {
        Some(bytes) => settings::decode(&bytes).map_err(|error| damaged_file(data_dir, &path, error)),
        None => Ok(DynamicSettings::default()),
    }
}

async fn read_topics<D: Disk>(
    disk: &D,
    data_dir: &Path,
    defaults: &TopicDefaults,
) -> Result<Option<TopicTable>, StartError> {
    let path = data_dir.join(names::TOPICS_FILE);
    let read = read_whole(disk, &path, SMALL_FILE_BYTES_MAX).await.map_err(failed("reading", &path))?;
    let Some(bytes) = read else {
        // Recovery sets aside what no topic has here: without this, a lost table would take every record with
        // it.
        let (beside, there) = find_beside(disk, data_dir).await?;
        return match (DataFile::Topics.missing(beside), there) {
            (Missing::Refused, Some(beside)) => Err(no_topics(data_dir, beside)),
            _ => Ok(None),
        };
    };
    let file = topics::decode(&bytes).map_err(|error| damaged_file(data_dir, &path, error))?;
    let table = TopicTable::from_file(file, defaults);
    table.map(Some).map_err(|error| StartError::Format { path, source: error.into() })
}

fn no_topics(data_dir: &Path, beside: PathBuf) -> StartError {
    let source = FormatError::NoTopics { data_dir: data_dir.to_owned(), beside };
    StartError::Format { path: data_dir.join(names::TOPICS_FILE), source }
}

/// The producer id that is given next; `None` where none was given yet, or the file is gone.
async fn read_producer_ids<D: Disk>(disk: &D, data_dir: &Path) -> Result<Option<ProducerId>, StartError> {
    let path = data_dir.join(names::PRODUCER_IDS_FILE);
    let read = read_whole(disk, &path, SMALL_FILE_BYTES_MAX).await.map_err(failed("reading", &path))?;
    let decoded = read.map(|bytes| producer_ids::decode(&bytes)).transpose();
    decoded.map_err(|error| damaged_file(data_dir, &path, error))
}

/// The first producer id behind those that the logs know. One that is given twice would have its new batches
/// taken for those of before, acknowledged and dropped.
fn behind_known_producers(
    data_dir: &Path,
    points: &BTreeMap<PartitionId, PartitionCheckpoint>,
) -> ProducerId {
    let known = points.values().flat_map(|point| &point.producers).map(|producer| producer.id);
    let last = known.filter(|id| id.may_be_given()).max();
    let beside = Beside { producers: last.is_some(), ..Beside::default() };
    if DataFile::ProducerIds.missing(beside) == Missing::Nothing {
        return ProducerId(0);
    }
    let next = ProducerId(last.map_or(0, |last| last.0 + 1));
    tracing::warn!(
        path = %data_dir.join(names::PRODUCER_IDS_FILE).display(), %next,
        "the file is missing; ids go on behind those that are known, and one that a producer has not written with yet may be given again: strandline log repair, while the broker is stopped, leaves out a million"
    );
    next
}

async fn find_shard_files<D: Disk>(disk: &D, data_dir: &Path) -> Result<ShardFiles, StartError> {
    let mut files = ShardFiles { directories: Vec::new(), journals: Vec::new() };
    let shards = data_dir.join(names::SHARDS_DIR);
    disk.create_dir(&shards).await.map_err(failed("making", &shards))?;
    for entry in disk.list(&shards).await.map_err(failed("listing", &shards))? {
        if !entry.is_dir || !names::is_shard_dir(&entry.name) {
            continue;
        }
        let directory = shards.join(&entry.name);
        // A killed process may have renamed its checkpoint and not synced that: segments are removed on the
        // word of it.
        disk.sync_dir(&directory).await.map_err(failed("syncing", &directory))?;
        for file in disk.list(&directory).await.map_err(failed("listing", &directory))? {
            if names::parse_journal(&file.name).is_some() {
                files.journals.push(directory.join(file.name));
            }
        }
        files.directories.push(directory);
    }
    files.journals.sort();
    Ok(files)
}

/// The farthest recovery point of each partition. A row without any topic table tells that there was one.
async fn read_checkpoints<D: Disk>(
    disk: &D,
    data_dir: &Path,
    directories: &[PathBuf],
    table: Option<&TopicTable>,
) -> Result<BTreeMap<PartitionId, PartitionCheckpoint>, StartError> {
    let mut farthest: BTreeMap<PartitionId, PartitionCheckpoint> = BTreeMap::new();
    for directory in directories {
        let points = read_checkpoint(disk, directory).await?;
        let beside = Beside { partitions: !points.is_empty(), ..Beside::default() };
        if table.is_none() && DataFile::Topics.missing(beside) == Missing::Refused {
            return Err(no_topics(data_dir, directory.join(names::CHECKPOINT_FILE)));
        }
        let is_known = |partition| table.is_some_and(|table| table.holds(partition));
        for point in points.into_iter().filter(|point| is_known(point.partition)) {
            note_point(&mut farthest, point);
        }
    }
    Ok(farthest)
}

/// Holds another row of a checkpoint against the farthest one.
pub(crate) fn note_point(
    farthest: &mut BTreeMap<PartitionId, PartitionCheckpoint>,
    point: PartitionCheckpoint,
) {
    // A log start never goes back, and the row that has it is not always the one that counts otherwise:
    // another shard may have left an old one.
    let known = farthest.entry(point.partition).or_insert_with(|| point.clone());
    let log_start = known.log_start.max(point.log_start);
    if known.progress() <= point.progress() {
        *known = point;
    }
    known.log_start = log_start;
}

/// A shard's checkpoint, or what its copy says where it is damaged. Where both are lost that costs time, not
/// records: the partitions are read from their beginning.
async fn read_checkpoint<D: Disk>(
    disk: &D,
    directory: &Path,
) -> Result<Vec<PartitionCheckpoint>, StartError> {
    for name in [names::CHECKPOINT_FILE, names::CHECKPOINT_COPY_FILE] {
        let path = directory.join(name);
        let read = read_whole(disk, &path, SMALL_FILE_BYTES_MAX).await.map_err(failed("reading", &path))?;
        let Some(bytes) = read else { continue };
        match checkpoint::decode(&bytes) {
            Ok(points) => {
                if name == names::CHECKPOINT_COPY_FILE {
                    tracing::warn!(path = %path.display(), "this copy of the checkpoint counts");
                }
                return Ok(points);
            }
            Err(error) if name == names::CHECKPOINT_FILE => {
                tracing::error!(path = %path.display(), %error, "the checkpoint is damaged");
            }
            Err(error) => {
                tracing::error!(path = %path.display(), %error, "the copy of the checkpoint is damaged, too; the partitions are read from their beginning");
            }
        }
    }
    Ok(Vec::new())
}

/// Finds partitions whose directory is gone, although a checkpoint has records of them. One that was never
/// used has none, and no records (D5).
fn find_gone(
    data_dir: &Path,
    entries: &[DirEntry],
    topics: &TopicTable,
    points: &BTreeMap<PartitionId, PartitionCheckpoint>,
) -> Vec<(PartitionId, Incomplete)> {
    let there: BTreeSet<&str> = entries.iter().map(|entry| &*entry.name).collect();
    let mut found = Vec::new();
    for (id, point) in points.iter().filter(|(_, point)| point.log_start < point.next_offset) {
        let Some(topic) = topics.by_id(id.topic) else { continue };
        let name = names::partition_dir(&topic.name, id.index);
        if !there.contains(&*name) {
            let fault = gone(&data_dir.join(name), point);
            found.push((*id, Incomplete { fault, end: point.next_offset, journaled: Vec::new() }));
        }
    }
    found
}

/// Says which partition lacks what was acknowledged, and for which of the reasons there are.
fn tell(topic: &Topic, partition: u32, fault: &Fault) {
    let topic = &topic.name;
    match &**fault {
        FaultKind::Missing { .. } => tracing::error!(
            topic, partition, %fault,
            "acknowledged records are missing; the partition takes no appends, and what is missing is refused"
        ),
        FaultKind::NoRoom { .. } => tracing::error!(
            topic, partition, %fault,
            "the disk is full, and acknowledged records wait in the journal; what waits is refused until there is room"
        ),
        FaultKind::Damage { .. } | FaultKind::Io { .. } => tracing::error!(
            topic, partition, %fault,
            "acknowledged records are damaged; the partition takes no appends, and what is damaged is refused"
        ),
    }
}

/// What has become of the journals.
struct Replayed {
    /// They must stay.
    keep_journals: bool,
    incomplete: BTreeMap<PartitionId, Incomplete>,
    /// Partitions whose truncation was finished.
    truncated: BTreeSet<PartitionId>,
}

/// What the journals have of one partition.
#[derive(Default)]
struct PartitionJournal {
    /// Each with the number of its file.
    batches: Vec<(usize, JournaledBatch)>,
    truncations: Vec<(usize, Truncation)>,
}

impl PartitionJournal {
    /// Drops what counts no more, and puts the rest in the order of its offsets: the log has been truncated
    /// as often as anything here says, or its checkpoint. Gives that number, and the truncation that the
    /// checkpoint does not know, with its file. Where there is no checkpoint, it was lost, and the truncation
    /// is done.
    fn settle(&mut self, point: Option<&PartitionCheckpoint>) -> (u32, Option<(usize, Truncation)>) {
        let known = point.map_or(0, |point| point.truncations);
        let of_batches = self.batches.iter().map(|(_, batch)| batch.truncations);
        let of_truncations = self.truncations.iter().map(|(_, truncation)| truncation.truncations);
        let number = of_batches.chain(of_truncations).fold(known, u32::max);
        self.batches.retain(|(_, batch)| batch.truncations == number);
        self.batches.sort_by_key(|(_, batch)| batch.base_offset);
        let pending = self.truncations.iter().find(|(_, truncation)| truncation.truncations == number);
        (number, pending.copied().filter(|_| point.is_some() && number > known))
    }
}

/// Lays the journals over the segments and moves the recovery points.
async fn replay<D: Disk>(
    disk: &D,
    data_dir: &Path,
    journals: &[PathBuf],
    topics: &TopicTable,
    points: &mut BTreeMap<PartitionId, PartitionCheckpoint>,
    report: &mut RecoveryReport,
) -> Result<Replayed, StartError> {
    let mut replayed =
        Replayed { keep_journals: false, incomplete: BTreeMap::new(), truncated: BTreeSet::new() };
    let mut by_partition: BTreeMap<PartitionId, PartitionJournal> = BTreeMap::new();
    for (number, path) in journals.iter().enumerate() {
        let content = read_journal(disk, path).await.map_err(failed("reading", path))?;
        if let Some((position, end)) = content.damage {
            tracing::error!(path = %content.path.display(), %position, %end, "the journal is damaged in its middle; what is intact behind it is used");
            replayed.keep_journals = true;
        }
        report.batches += content.batches.len() as u64;
        for batch in content.batches {
            by_partition.entry(batch.partition).or_default().batches.push((number, batch));
        }
        for truncation in content.truncations {
            by_partition.entry(truncation.partition).or_default().truncations.push((number, truncation));
        }
    }
    let files = OpenFiles::new(2 * REPLAYS_AT_ONCE);
    let mut known = Vec::with_capacity(by_partition.len());
    let mut cut_by = BTreeSet::new();
    for (partition, mut journal) in by_partition {
        if let Some((topic, _)) = topics.replica(partition) {
            let point = points.get(&partition).cloned();
            let (truncations, truncation) = journal.settle(point.as_ref());
            cut_by.extend(truncation.map(|(number, _)| number));
            let truncation = truncation.map(|(_, truncation)| truncation);
            known.push((partition, topic, journal.batches, truncations, truncation, point));
        }
    }
    report.partitions = known.len() as u64;
    // What files are cut by must not be gone when this start is cut short, too.
    for path in cut_by.into_iter().map(|number| &journals[number]) {
        rewrite_journal(disk, path).await.map_err(failed("rewriting", path))?;
    }
    let replays = known.into_iter().map(|(partition, topic, batches, truncations, truncation, point)| {
        let files = &files;
        async move {
            let directory = data_dir.join(names::partition_dir(&topic.name, partition.index));
            let replay = PartitionReplay { disk, files, directory: &directory, partition, topic, journals };
            let ran = replay.run(&batches, point.as_ref(), truncations, truncation.as_ref()).await;
            (partition, topic, directory, batches, truncation.is_some(), ran)
        }
    });
    let mut replays = stream::iter(replays).buffer_unordered(REPLAYS_AT_ONCE);
    while let Some((partition, topic, directory, batches, is_truncated, ran)) = replays.next().await {
        match ran {
            Ok(point) => {
                points.insert(partition, point);
                replayed.truncated.extend(is_truncated.then_some(partition));
            }
            Err(ReplayFailure::Damage { fault, end }) => {
                tell(topic, partition.index, &fault);
                report.damaged_partitions += 1;
                replayed.keep_journals = true;
                replayed.incomplete.insert(partition, Incomplete { fault, end, journaled: Vec::new() });
            }
            // The others go on (D7). The journal stays: its batches are put back as soon as there is room.
            Err(ReplayFailure::NoRoom { from, point }) => {
                if is_truncated {
                    points.insert(partition, *point);
                    replayed.truncated.insert(partition);
                }
                let end = batches.iter().map(|(_, batch)| batch.next_offset).max().unwrap_or(from);
                let fault = FaultKind::NoRoom { path: directory, offset: from, end }.into();
                tell(topic, partition.index, &fault);
                report.waiting_partitions += 1;
                replayed.keep_journals = true;
                let journaled =
                    batches.into_iter().map(|(journal, batch)| (journals[journal].clone(), batch)).collect();
                replayed.incomplete.insert(partition, Incomplete { fault, end, journaled });
            }
            Err(ReplayFailure::Io(source)) => {
                return Err(StartError::Io { doing: "recovering", path: directory, source });
            }
        }
    }
    Ok(replayed)
}

struct PartitionReplay<'a, D: Disk> {
    disk: &'a D,
    files: &'a std::rc::Rc<OpenFiles<D>>,
    directory: &'a Path,
    partition: PartitionId,
    topic: &'a Topic,
    journals: &'a [PathBuf],
}

enum ReplayFailure {
    /// The partition can not be recovered whole, now or ever; the others can. With the offset behind what is
    /// known of it.
    Damage { fault: Fault, end: Offset },
    /// The disk is too full for the batches from this offset on. With the recovery point before them.
    NoRoom { from: Offset, point: Box<PartitionCheckpoint> },
    /// Recovery can not go on: the disk is full or refuses.
    Io(io::Error),
}

impl From<Fault> for ReplayFailure {
    fn from(fault: Fault) -> ReplayFailure {
        match &*fault {
            FaultKind::Damage { offset: end, .. }
            | FaultKind::Missing { end, .. }
            | FaultKind::NoRoom { end, .. } => {
                let end = *end;
                ReplayFailure::Damage { fault, end }
            }
            FaultKind::Io { source, .. } => {
                ReplayFailure::Io(io::Error::new(source.kind(), fault.to_string()))
            }
        }
    }
}

impl<D: Disk> PartitionReplay<'_, D> {
    async fn run(
        &self,
        batches: &[(usize, JournaledBatch)],
        point: Option<&PartitionCheckpoint>,
        truncations: u32,
        truncation: Option<&Truncation>,
    ) -> Result<PartitionCheckpoint, ReplayFailure> {
        let (disk, files) = (self.disk.clone(), self.files.clone());
        let mut recovery = match point.zip(truncation) {
            Some((point, truncation)) => {
                Log::open_truncated(disk, files, self.directory, self.partition, point, truncation).await?
            }
            None => Log::open(disk, files, self.directory, self.partition, point).await?,
        };
        recovery.set_truncations(truncations);
        let durable = recovery.recovery_point();
        for (journal, batch) in batches {
            if point.is_some() && batch.base_offset < durable.next_offset {
                continue;
            }
            let file = self
                .disk
                .open(&self.journals[*journal], OpenMode::Existing)
                .await
                .map_err(ReplayFailure::Io)?;
            let bytes = self
                .disk
                .read(&file, batch.position, batch.length as usize)
                .await
                .map_err(ReplayFailure::Io)?;
            match recovery.replay(bytes, &self.topic.config).await {
                Ok(()) => {}
                Err(WriteFailure::NoSpace) => {
                    return Err(ReplayFailure::NoRoom { from: recovery.log.end(), point: Box::new(durable) });
                }
                Err(WriteFailure::Shortage(fault) | WriteFailure::Fault(fault)) => return Err(fault.into()),
            }
        }
        if let Some(fault) = recovery.log.damage() {
            let end = recovery.log.acknowledged_end();
            return Err(ReplayFailure::Damage { fault, end });
        }
        recovery.rewrite_scanned().await?;
        Ok(recovery.log.sync().await?)
    }
}

async fn write_checkpoints<D: Disk>(
    disk: &D,
    data_dir: &Path,
    by_shard: &[Vec<PartitionCheckpoint>],
) -> Result<(), StartError> {
    let all = by_shard.concat();
    // A row stands in one file at least at any time: with it, a log start would be lost. The first file has
    // all of them until the others are durable.
    write_checkpoint(disk, data_dir, 0, &all).await?;
    for (shard, points) in by_shard.iter().enumerate().skip(1) {
        write_checkpoint(disk, data_dir, shard, points).await?;
    }
    for directory in [&data_dir.join(names::SHARDS_DIR), data_dir] {
        disk.sync_dir(directory).await.map_err(failed("syncing", directory))?;
    }
    if by_shard[0].len() < all.len() {
        write_checkpoint(disk, data_dir, 0, &by_shard[0]).await?;
    }
    Ok(())
}

async fn write_checkpoint<D: Disk>(
    disk: &D,
    data_dir: &Path,
    shard: usize,
    points: &[PartitionCheckpoint],
) -> Result<(), StartError> {
    let directory = shard_dir(data_dir, shard);
    disk.create_dir(&directory).await.map_err(failed("making", &directory))?;
    let mut encoder = CheckpointEncoder::new();
    for point in points {
        encoder.push(point);
    }
    let path = directory.join(names::CHECKPOINT_FILE);
    let content = encoder.finish();
    replace_checkpoint(disk, &path, content).await.map_err(failed("writing", &path))
}

/// Removes the directories of topics whose deletion was cut short, and sets aside what looks like a partition
/// and is in no table. Gives the table, which does not have those topics any more.
async fn clear_directories<D: Disk>(
    disk: &D,
    data_dir: &Path,
    entries: &[DirEntry],
    topics: TopicTable,
) -> Result<TopicTable, StartError> {
    let mut changed = false;
    for entry in entries {
        let Some((topic, index)) = names::parse_partition_dir(&entry.name) else { continue };
        if topics.by_name(topic).is_some_and(|topic| topic.replica(index).is_some()) {
            continue;
        }
        let path = data_dir.join(&entry.name);
        if topics.deleted().iter().any(|gone| gone.name == topic && gone.partitions.contains(&index)) {
            tracing::info!(path = %path.display(), "removing the directory of a deleted topic");
            remove_partition(disk, data_dir, &entry.name).await.map_err(failed("removing", &path))?;
            changed = true;
        } else if entry.is_dir && holds_partition(disk, &path).await.map_err(failed("listing", &path))? {
            match set_aside(disk, data_dir, &entry.name).await {
                Ok(()) => changed = true,
                // Something may be mounted on it. It is told again when a topic would use it.
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "no topic has this directory here, and it can not be set aside");
                }
            }
        }
    }
    if changed {
        disk.sync_dir(data_dir).await.map_err(failed("syncing", data_dir))?;
    }
    if topics.deleted().is_empty() {
        return Ok(topics);
    }
    let (path, cleared) = (data_dir.join(names::TOPICS_FILE), topics.without_deleted(|_| true));
    match replace(disk, &path, topics::encode(&cleared.to_file())).await {
        Ok(()) => Ok(cleared),
        // Whoever has room first writes it.
        Err(error) if is_no_space(&error) => Ok(topics),
        Err(error) => Err(failed("writing", &path)(error)),
    }
}

/// Removes the journals, which are not needed any more, and directories of shards that there will not be.
/// Gives the first free number.
async fn remove_old<D: Disk>(
    disk: &D,
    data_dir: &Path,
    files: &ShardFiles,
    shards: usize,
    keep_journals: bool,
) -> Result<u64, StartError> {
    if keep_journals {
        let numbers =
            files.journals.iter().filter_map(|path| names::parse_journal(path.file_name()?.to_str()?));
        return Ok(numbers.max().map_or(0, |last| last + 1));
    }
    let mut changed = BTreeSet::new();
    for path in &files.journals {
        disk.remove_file(path).await.map_err(failed("removing", path))?;
        changed.extend(path.parent().map(Path::to_path_buf));
    }
    for directory in changed {
        disk.sync_dir(&directory).await.map_err(failed("syncing", &directory))?;
    }
    let current: BTreeSet<_> = (0..shards).map(|shard| shard_dir(data_dir, shard)).collect();
    for directory in files.directories.iter().filter(|directory| !current.contains(*directory)) {
        remove_shard(disk, directory).await.map_err(failed("removing", directory))?;
    }
    let shards = data_dir.join(names::SHARDS_DIR);
    disk.sync_dir(&shards).await.map_err(failed("syncing", &shards))?;
    Ok(0)
}
