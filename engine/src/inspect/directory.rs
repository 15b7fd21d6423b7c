//! What stands in a data directory: ours, Kafka's, or a single partition's. Nothing is changed, and nothing
//! is believed without its sum.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::finding::{Finding, Severity, What};
use crate::config::DynamicSettings;
use crate::format::checkpoint::{self, PartitionCheckpoint};
use crate::format::compacted::Compacted;
use crate::format::envelope::EnvelopeError;
use crate::format::meta::Meta;
use crate::format::names::{self, Beside, Compacting, DataFile, Missing, Scope};
use crate::format::topics::{DeletedTopic, TopicRecord};
use crate::format::{producer_ids, settings, topics};
use crate::io::Lock;
use crate::recovery::note_point;
use crate::types::{Offset, PartitionId, ProducerId, TopicId};

/// Files that Kafka keeps beside its partitions, by which its data directories are known.
const KAFKA_FILES: [&str; 2] = ["meta.properties", "recovery-point-offset-checkpoint"];

/// The file that Kafka holds a lock on.
const KAFKA_LOCK: &str = ".lock";

/// Kafka's file of log start offsets.
const KAFKA_LOG_STARTS: &str = "log-start-offset-checkpoint";

/// Why a directory could not be looked into.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// A broker runs on it.
    #[error("{path}: a broker runs on this directory; stop it first")]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// The operating system refused.
    #[error("{doing} {path}: {source}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is nothing of ours, or of Kafka's, in it.
    #[error("{path}: neither a data directory nor a partition's")]
    NoData {
        /// The directory.
        path: PathBuf,
    },
    /// What is to be made is there already.
    #[error("{path}: it is there already, and has something in it")]
    Occupied {
        /// The directory.
        path: PathBuf,
    },
}

pub(super) fn failed<'a>(doing: &'static str, path: &'a Path) -> impl Fn(io::Error) -> InspectError + 'a {
    move |source| InspectError::Io { doing, path: path.to_owned(), source }
}

/// Whose directory it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// A data directory of ours.
    Strandline,
    /// A data directory of Apache Kafka.
    Kafka,
    /// The directory of one partition, of either.
    Partition,
}

/// A data directory, locked for as long as this lives, if a broker would lock it.
#[derive(Debug)]
pub struct DataDir {
    /// Where it is.
    pub path: PathBuf,
    /// Whose it is.
    pub owner: Owner,
    /// `None` when the file is missing or damaged.
    pub meta: Option<Meta>,
    /// The topic table; `None` when the file is missing or damaged, and for directories that have none.
    pub topics: Option<Vec<TopicRecord>>,
    /// Topics whose deletion was cut short: the next start removes their directories.
    pub deleted: Vec<DeletedTopic>,
    /// What was set for the broker while it ran; `None` when the file is damaged.
    pub settings: Option<DynamicSettings>,
    /// The first producer id that was never given out; `None` when the file is missing or damaged.
    pub next_producer_id: Option<ProducerId>,
    /// The farthest recovery point of each partition.
    pub points: BTreeMap<PartitionId, PartitionCheckpoint>,
    /// All journal files, in the order in which recovery reads them.
    pub journals: Vec<PathBuf>,
    /// All checkpoint files.
    pub checkpoints: Vec<PathBuf>,
    /// The partitions' directories, by topic and number.
    pub partitions: Vec<PartitionDir>,
    /// Directories that were set aside, since no topic had them.
    pub strays: Vec<PathBuf>,
    /// What is wrong with files that are not a partition's.
    pub findings: Vec<Finding>,
    _lock: Option<Lock>,
    _lock_of_process: Option<fs::File>,
}

/// The directory of one partition.
#[derive(Debug)]
pub struct PartitionDir {
    /// Where it is.
    pub path: PathBuf,
    /// The topic's name.
    pub topic: String,
    /// The partition's number.
    pub index: u32,
    /// The partition; `None` when no topic is known to claim the directory.
    pub id: Option<PartitionId>,
    /// The segments that an opening finds, by base offset: what compaction has committed stands in the place
    /// of what it replaces.
    pub segments: Vec<SegmentFile>,
    /// How far the partition was compacted.
    pub compacted: Compacted,
    /// The file with its aborted transactions, if it has one.
    pub aborted: Option<PathBuf>,
    /// Whether a file of ours stands in it.
    pub is_ours: bool,
    /// Whether it is Kafka's: any offsets may be missing, and the indexes are not ours.
    pub is_kafka: bool,
    /// Kafka's log start offset, where its checkpoint has one.
    pub kafka_log_start: Option<Offset>,
    /// What is wrong with the files that are no segments.
    pub findings: Vec<Finding>,
}

/// One data file, with its index.
#[derive(Clone, Debug)]
pub struct SegmentFile {
    /// The base offset in its name.
    pub base: Offset,
    /// The `.log` file, or the `.swap` that becomes it.
    pub path: PathBuf,
    /// Bytes of it.
    pub length: u64,
    /// The index, if it has one.
    pub index: Option<PathBuf>,
}

/// A small file that was looked for.
enum Small<T> {
    Read(T),
    Damaged,
    Missing,
}

impl<T> Small<T> {
    fn content(self) -> Option<T> {
        match self {
            Small::Read(content) => Some(content),
            Small::Damaged | Small::Missing => None,
        }
    }
}

/// Every entry of a directory, by name.
fn list(path: &Path) -> Result<Vec<(String, fs::Metadata)>, InspectError> {
    let entries = || -> io::Result<Vec<_>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            // A name that is no text is none of ours.
            if let Ok(name) = entry.file_name().into_string() {
                // A symbolic link may lead nowhere.
                let meta = fs::metadata(entry.path()).or_else(|_| fs::symlink_metadata(entry.path()))?;
                entries.push((name, meta));
            }
        }
        entries.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(entries)
    };
    entries().map_err(failed("listing", path))
}

impl DataDir {
    /// Reads what stands in a directory, and takes the lock that a broker would hold.
    ///
    /// # Errors
    /// [`InspectError::InUse`], [`InspectError::NoData`], and `Io` when the directory can not be listed. A
    /// file that can not be read is a finding.
    pub fn open(path: &Path) -> Result<DataDir, InspectError> {
        let entries = list(path)?;
        let has = |name: &str| entries.iter().any(|(entry, _)| entry == name);
        let name = path.canonicalize().map_err(failed("reading", path))?;
        let name = name.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        let mut dir = DataDir {
            path: path.to_owned(),
            owner: Owner::Strandline,
            meta: None,
            topics: None,
            deleted: Vec::new(),
            settings: None,
            next_producer_id: None,
            points: BTreeMap::new(),
            journals: Vec::new(),
            checkpoints: Vec::new(),
            partitions: Vec::new(),
            strays: Vec::new(),
            findings: Vec::new(),
            _lock: None,
            _lock_of_process: None,
        };
        let partition_entries = || {
            entries.iter().filter(|(name, meta)| meta.is_dir() && names::parse_partition_dir(name).is_some())
        };
        let follows_meta = entries.iter().any(|(name, meta)| names::follows_meta(name, meta.is_dir()));
        if has(names::META_FILE) || follows_meta {
            let partitions = partition_entries().next().is_some();
            dir.lock(names::LOCK_FILE, false)?;
            dir.read_own_files(&entries, Beside { follows_meta, partitions, ..Beside::default() })?;
        } else if let Some((topic, index)) = names::parse_partition_dir(&name)
            && entries.iter().any(|(name, _)| names::parse_segment(name).is_some())
        {
            dir.owner = Owner::Partition;
            dir.partitions.push(PartitionDir::read(path, topic, index)?);
        } else if KAFKA_FILES.into_iter().any(has) || partition_entries().next().is_some() {
            dir.owner = Owner::Kafka;
            dir.lock(KAFKA_LOCK, true)?;
        } else {
            return Err(InspectError::NoData { path: path.to_owned() });
        }
        if dir.owner != Owner::Partition {
            for (name, _) in partition_entries() {
                let (topic, index) = names::parse_partition_dir(name).expect("it was parsed before");
                let partition = PartitionDir::read(&path.join(name), topic, index)?;
                if dir.owner == Owner::Strandline && !partition.is_ours && !dir.has(topic, index) {
                    dir.note(path.join(name), What::Foreign);
                } else {
                    dir.partitions.push(partition);
                }
            }
            dir.partitions.sort_by(|a, b| (&a.topic, a.index).cmp(&(&b.topic, b.index)));
            dir.claim();
        }
        Ok(dir)
    }

    /// Takes the lock of the broker whose directory it is.
    fn lock(&mut self, name: &str, posix: bool) -> Result<(), InspectError> {
        use rustix::fs::FlockOperation::NonBlockingLockExclusive;
        let path = self.path.join(name);
        let file = match fs::File::options().read(true).write(posix).open(&path) {
            Ok(file) => file,
            // A copy of a directory, or one that can only be read: no broker runs there that we could see.
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound) => return Ok(()),
            Err(_) if posix => return Ok(()),
            Err(source) => return Err(InspectError::Io { doing: "locking", path, source }),
        };
        let locked = match posix {
            // Of this process alone: it goes with the file.
            true => rustix::fs::fcntl_lock(&file, NonBlockingLockExclusive).map(|()| {
                self._lock_of_process = Some(file);
            }),
            false => Lock::of(file).map(|lock| self._lock = Some(lock)),
        };
        match locked {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK | rustix::io::Errno::ACCESS) => {
                return Err(InspectError::InUse { path: self.path.clone() });
            }
            Err(errno) => {
                return Err(InspectError::Io { doing: "locking", path, source: errno.into() });
            }
        }
        Ok(())
    }

    /// Whether a topic of the table has such a partition.
    fn has(&self, topic: &str, index: u32) -> bool {
        self.topics.iter().flatten().any(|record| record.name == topic && record.replica(index).is_some())
    }

    fn read_own_files(
        &mut self,
        entries: &[(String, fs::Metadata)],
        beside: Beside,
    ) -> Result<(), InspectError> {
        for (name, meta) in entries {
            let path = self.path.join(name);
            match DataFile::parse(Scope::DataDir, name).filter(|_| !meta.is_dir()) {
                // Read below, by name: one may have to be there.
                Some(DataFile::Meta | DataFile::Topics | DataFile::Settings | DataFile::ProducerIds) => {}
                // Nothing in them counts.
                Some(DataFile::Lock | DataFile::Reserve) => {}
                Some(DataFile::Temporary) => self.note(path, What::Leftover),
                Some(
                    DataFile::Journal
                    | DataFile::Checkpoint
                    | DataFile::CheckpointCopy
                    | DataFile::SegmentLog
                    | DataFile::SegmentIndex
                    | DataFile::Cleaned
                    | DataFile::Swap
                    | DataFile::Compacted
                    | DataFile::Aborted,
                ) => unreachable!("they stand in other directories"),
                None if meta.is_dir() && names::is_stray_dir(name) => {
                    self.note(path.clone(), What::Stray);
                    self.strays.push(path);
                }
                None if meta.is_dir()
                    && (name == names::SHARDS_DIR || names::parse_partition_dir(name).is_some()) => {}
                None => self.note(path, What::Foreign),
            }
        }
        self.meta = self.small_file(DataFile::Meta, beside, Meta::decode).content();
        self.settings = match self.small_file(DataFile::Settings, beside, settings::decode) {
            // Without the file nothing was set.
            Small::Missing => Some(DynamicSettings::default()),
            read => read.content(),
        };
        self.next_producer_id =
            self.small_file(DataFile::ProducerIds, beside, producer_ids::decode).content();
        let rows = self.read_shards()?;
        let beside = Beside { partitions: beside.partitions || !rows.is_empty(), ..beside };
        match self.small_file(DataFile::Topics, beside, topics::decode) {
            Small::Read(file) => (self.topics, self.deleted) = (Some(file.topics), file.deleted),
            // No topic was ever made.
            Small::Missing if !beside.partitions => self.topics = Some(Vec::new()),
            Small::Missing | Small::Damaged => {}
        }
        self.note_points(rows);
        Ok(())
    }

    /// The files in the shards' directories, and the rows of the checkpoints, each with its file.
    fn read_shards(&mut self) -> Result<Vec<(PathBuf, PartitionCheckpoint)>, InspectError> {
        let shards = self.path.join(names::SHARDS_DIR);
        let mut rows = Vec::new();
        if !shards.is_dir() {
            return Ok(rows);
        }
        for (name, meta) in list(&shards)? {
            let directory = shards.join(&name);
            if !meta.is_dir() || !names::is_shard_dir(&name) {
                self.note(directory, What::Foreign);
                continue;
            }
            let mut beside = Beside::default();
            for (name, _) in list(&directory)? {
                let path = directory.join(&name);
                match DataFile::parse(Scope::Shard, &name) {
                    Some(DataFile::Checkpoint) => {
                        beside.shard = true;
                        self.checkpoints.push(path);
                    }
                    Some(DataFile::CheckpointCopy) => beside.shard = true,
                    Some(DataFile::Journal) => {
                        beside.shard = true;
                        self.journals.push(path);
                    }
                    Some(DataFile::Temporary) => self.note(path, What::Leftover),
                    Some(
                        DataFile::Lock
                        | DataFile::Meta
                        | DataFile::Topics
                        | DataFile::Settings
                        | DataFile::ProducerIds
                        | DataFile::Reserve
                        | DataFile::SegmentLog
                        | DataFile::SegmentIndex
                        | DataFile::Cleaned
                        | DataFile::Swap
                        | DataFile::Compacted
                        | DataFile::Aborted,
                    ) => unreachable!("they stand in other directories"),
                    None => self.note(path, What::Foreign),
                }
            }
            let checkpoint =
                self.file_in(&directory, DataFile::Checkpoint, beside, checkpoint::decode).content();
            let copy =
                self.file_in(&directory, DataFile::CheckpointCopy, beside, checkpoint::decode).content();
            let path = directory.join(names::CHECKPOINT_FILE);
            let points = checkpoint.or(copy).unwrap_or_default();
            rows.extend(points.into_iter().map(|point| (path.clone(), point)));
        }
        self.journals.sort();
        Ok(rows)
    }

    /// The recovery points, and which of them nobody knows the partition of.
    fn note_points(&mut self, rows: Vec<(PathBuf, PartitionCheckpoint)>) {
        for (path, point) in rows {
            let PartitionId { topic, index } = point.partition;
            let is_known = self.topics.as_ref().is_none_or(|topics| {
                topics.iter().any(|known| known.id == topic && known.replica(index).is_some())
            });
            match is_known {
                true => note_point(&mut self.points, point),
                false => self.note(path, What::UnknownPartition { topic, index }),
            }
        }
    }

    fn note(&mut self, path: PathBuf, what: What) {
        self.findings.push(Finding { severity: Severity::Note, path, position: None, offsets: None, what });
    }

    /// A small file of the data directory.
    fn small_file<T>(
        &mut self,
        file: DataFile,
        beside: Beside,
        decode: impl Fn(&[u8]) -> Result<T, EnvelopeError>,
    ) -> Small<T> {
        let directory = self.path.clone();
        self.file_in(&directory, file, beside, decode)
    }

    /// A small file, and a finding when it is damaged, or missing beside what would not be there without it.
    fn file_in<T>(
        &mut self,
        directory: &Path,
        file: DataFile,
        beside: Beside,
        decode: impl Fn(&[u8]) -> Result<T, EnvelopeError>,
    ) -> Small<T> {
        let path = directory.join(file.fixed_name().expect("a small file has one name"));
        let torn = if file.may_be_torn() { Severity::Note } else { Severity::Damage };
        let (small, severity, what) = match fs::read(&path).map(|bytes| decode(&bytes)) {
            Ok(Ok(content)) => return Small::Read(content),
            Ok(Err(error)) => (Small::Damaged, torn, error.into()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let severity = match file.missing(beside) {
                    Missing::Nothing => return Small::Missing,
                    Missing::Noted => Severity::Note,
                    Missing::Refused => Severity::Damage,
                };
                (Small::Missing, severity, What::NoFile)
            }
            Err(error) => (Small::Damaged, Severity::Damage, error.into()),
        };
        self.findings.push(Finding { severity, path, position: None, offsets: None, what });
        small
    }

    /// Finds out which partitions the directories belong to.
    fn claim(&mut self) {
        if self.owner == Owner::Kafka {
            let starts = fs::read_to_string(self.path.join(KAFKA_LOG_STARTS)).unwrap_or_default();
            for partition in &mut self.partitions {
                partition.is_kafka = true;
                let row = format!("{} {} ", partition.topic, partition.index);
                let start = starts.lines().find_map(|line| line.strip_prefix(&row)?.trim().parse().ok());
                partition.kafka_log_start = start.and_then(Offset::checked);
            }
            return;
        }
        let Some(topics) = &self.topics else { return };
        for partition in &mut self.partitions {
            let topic = topics.iter().find(|topic| topic.name == partition.topic);
            match topic.filter(|topic| topic.replica(partition.index).is_some()) {
                Some(topic) => partition.id = Some(PartitionId::new(topic.id, partition.index)),
                None => {
                    let path = partition.path.clone();
                    let severity = Severity::Note;
                    let was_deleted = |deleted: &DeletedTopic| {
                        deleted.name == partition.topic && deleted.partitions.contains(&partition.index)
                    };
                    let what = match self.deleted.iter().any(was_deleted) {
                        true => What::Deleted,
                        false => What::Unclaimed,
                    };
                    partition.findings.push(Finding { severity, path, position: None, offsets: None, what });
                }
            }
        }
    }
}

impl PartitionDir {
    /// A directory that is not there.
    pub(super) fn empty(path: &Path, topic: &str, index: u32) -> PartitionDir {
        PartitionDir {
            path: path.to_owned(),
            topic: topic.to_owned(),
            index,
            id: None,
            segments: Vec::new(),
            compacted: Compacted::default(),
            aborted: None,
            is_ours: false,
            is_kafka: false,
            kafka_log_start: None,
            findings: Vec::new(),
        }
    }

    fn read(path: &Path, topic: &str, index: u32) -> Result<PartitionDir, InspectError> {
        let mut dir = PartitionDir::empty(path, topic, index);
        let mut indexes = BTreeMap::new();
        let mut swaps = Vec::new();
        for (name, meta) in list(path)? {
            let file = path.join(&name);
            let kind = DataFile::parse(Scope::Partition, &name).filter(|_| !meta.is_dir());
            dir.is_ours |= kind.is_some();
            let base = names::parse_segment(&name).map(|(base, _)| base);
            let note = match kind {
                Some(DataFile::SegmentLog) => {
                    let base = base.expect("its name has one");
                    dir.segments.push(SegmentFile { base, path: file, length: meta.len(), index: None });
                    continue;
                }
                Some(DataFile::SegmentIndex) => {
                    indexes.insert(base.expect("its name has one"), file);
                    continue;
                }
                Some(DataFile::Swap) => {
                    let Some(Compacting::Swap { base, end }) = names::parse_compacting(&name) else {
                        unreachable!("its name has both");
                    };
                    let segment = SegmentFile { base, path: file.clone(), length: meta.len(), index: None };
                    swaps.push((end, segment));
                    What::Swap
                }
                Some(DataFile::Cleaned | DataFile::Temporary) => What::Leftover,
                Some(DataFile::Compacted) => {
                    dir.read_compacted(&file);
                    continue;
                }
                Some(DataFile::Aborted) => {
                    dir.aborted = Some(file);
                    continue;
                }
                Some(
                    DataFile::Lock
                    | DataFile::Meta
                    | DataFile::Topics
                    | DataFile::Settings
                    | DataFile::ProducerIds
                    | DataFile::Reserve
                    | DataFile::Journal
                    | DataFile::Checkpoint
                    | DataFile::CheckpointCopy,
                ) => unreachable!("they stand in other directories"),
                // Kafka's own: the timestamps of a segment, and a topic's identity.
                None if name.ends_with(".timeindex") || name == "partition.metadata" => {
                    dir.is_kafka = true;
                    continue;
                }
                None => What::Foreign,
            };
            dir.note(file, note);
        }
        if dir.is_kafka {
            dir.findings.clear();
            return Ok(dir);
        }
        for segment in &mut dir.segments {
            segment.index = indexes.remove(&segment.base);
        }
        for (end, swap) in swaps {
            dir.segments.retain(|segment| segment.base < swap.base || segment.base >= end);
            dir.segments.push(swap);
        }
        dir.segments.sort_by_key(|segment| segment.base);
        for orphan in indexes.into_values() {
            dir.note(orphan, What::Leftover);
        }
        Ok(dir)
    }

    fn note(&mut self, path: PathBuf, what: What) {
        self.findings.push(Finding { severity: Severity::Note, path, position: None, offsets: None, what });
    }

    fn read_compacted(&mut self, path: &Path) {
        let what = match fs::read(path).map(|bytes| Compacted::decode(&bytes)) {
            Ok(Ok(compacted)) => {
                self.compacted = compacted;
                return;
            }
            Ok(Err(error)) => error.into(),
            Err(error) => What::Io(error),
        };
        let path = path.to_owned();
        let severity = Severity::Damage;
        self.findings.push(Finding { severity, path, position: None, offsets: None, what });
    }

    /// The topic's identity, where Kafka has noted it.
    pub(super) fn kafka_topic_id(&self) -> Option<TopicId> {
        let metadata = fs::read_to_string(self.path.join("partition.metadata")).ok()?;
        let id = metadata.lines().find_map(|line| line.strip_prefix("topic_id:"))?;
        TopicId::parse(id.trim())
    }
}
