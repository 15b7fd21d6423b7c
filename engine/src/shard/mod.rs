//! A shard: the partitions of one thread, their journal, and the requests of other threads.
//!
//! Everything here runs in one thread and needs nothing but a disk and an executor for four futures, which
//! the engine spawns on the ring ([`reactor`]) and the crash tests on a simulated disk:
//!
//! * [`Shard::run_commits`]: the turns that append;
//! * [`Shard::run_recycling`]: recycling journal files, writing the checkpoint, syncing what relaxed topics
//!   have acknowledged, deleting;
//! * [`Shard::run_background`]: what nobody waits for;
//! * [`Shard::run_requests`]: what other threads ask through the mailbox.
//!
//! A partition is opened when it is first used: ten thousand idle ones cost a row each.

mod background;
mod clean;
mod commit;
mod inbox;
mod rate;
mod report;
pub(crate) mod requests;
mod room;
mod scrub;
mod trim;
mod truncate;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_channel::oneshot;
use futures_util::lock::Mutex;

use crate::config::{InForce, SettingsSnapshot};
use crate::error::{AppendError, Fault, ReadError, StartError};
use crate::format::checkpoint::PartitionCheckpoint;
use crate::format::names;
use crate::io::{Disk, OpenMode, replace};
use crate::journal::{Journal, JournalPool};
use crate::log::{ActiveProducer, Log, OffsetAndTimestamp};
use crate::message::{Appended, Appending, OffsetQuery, ReadRequest};
use crate::partition::{Incomplete, Isolation, Partition, ReadResult, Reader, Unwritten, WakeOnce};
use crate::segment::{OpenFiles, Segment};
use crate::stats::{Counters, ShardStats};
use crate::sync::{Published, Signal};
use crate::topics::{TopicSnapshot, TopicTable};
use crate::types::{EpochEnd, LeaderEpoch, Offset, PartitionId, Position, Timestamp, TopicId};
use clean::Cleaning;
use inbox::{Arrival, Inbox};
use room::Room;
use scrub::Scrubbing;
use trim::Trims;

/// Reads the wall clock; the crash tests bring their own.
pub(crate) type Clock = Rc<dyn Fn() -> Timestamp>;

/// Reads the monotonic clock, to see how long things take; the crash tests bring their own.
pub(crate) type Stopwatch = Rc<dyn Fn() -> Duration>;

/// What a shard is started with.
pub(crate) struct ShardStart<D: Disk> {
    pub(crate) disk: D,
    pub(crate) data_dir: PathBuf,
    pub(crate) index: usize,
    /// Number of shards.
    pub(crate) shards: usize,
    pub(crate) topics: Arc<Published<TopicTable>>,
    /// The recovery points of the shard's partitions.
    pub(crate) checkpoints: Vec<PartitionCheckpoint>,
    /// Where the checkpoint files do not have these recovery points: there was no room for them.
    pub(crate) unwritten: Option<Arc<Unwritten>>,
    /// Partitions that lack records that were acknowledged, of any shard.
    pub(crate) damaged: Arc<BTreeMap<PartitionId, Incomplete>>,
    /// The number of the shard's first new journal file.
    pub(crate) journal_number: u64,
    /// The generation of the first use of a journal file: random, so that no record can be made to look like
    /// a commit.
    pub(crate) generation: u64,
    pub(crate) journal_file_bytes_max: u64,
    pub(crate) open_files_max: usize,
    pub(crate) retention_check: Duration,
    pub(crate) settings: Arc<Published<InForce>>,
    /// Bytes that the scrub reads in a second, of all shards together; 0 for none.
    pub(crate) scrub_bytes_per_second: u64,
    /// Part of the thread's time that background tasks may take at least.
    pub(crate) background_share: f64,
    pub(crate) clock: Clock,
    pub(crate) stopwatch: Stopwatch,
}

pub(crate) struct Shard<D: Disk> {
    disk: D,
    data_dir: PathBuf,
    directory: PathBuf,
    index: usize,
    shards: usize,
    topics: Arc<Published<TopicTable>>,
    /// The table for the path of the data, which takes no lock that shards share; renewed by the mailbox.
    snapshot: RefCell<TopicSnapshot>,
    settings: Arc<Published<InForce>>,
    /// The settings for the path of the data, renewed with the table.
    settings_snapshot: RefCell<SettingsSnapshot>,
    files: Rc<OpenFiles<D>>,
    partitions: RefCell<BTreeMap<PartitionId, Rc<Partition<D>>>>,
    /// Recovery points of partitions that are not open.
    closed: RefCell<BTreeMap<PartitionId, PartitionCheckpoint>>,
    /// Where the checkpoint files do not have the recovery points that this process was started with.
    unwritten: RefCell<Option<Arc<Unwritten>>>,
    /// Rows of other shards' partitions that this shard's checkpoint keeps until the next start.
    others: Option<Arc<Unwritten>>,
    damaged: Arc<BTreeMap<PartitionId, Incomplete>>,
    /// One partition is opened at a time.
    opening: Mutex<()>,
    inbox: Inbox,
    pool: Rc<JournalPool<D>>,
    flushes: Flushes<D>,
    trims: Trims<D>,
    cleaning: Cleaning,
    scrubbing: Scrubbing,
    write_backs: WriteBacks<D>,
    /// Held by a turn, and by a round of background work: a topic is let go when neither may still write into
    /// its directories.
    turn: Mutex<()>,
    background: Mutex<()>,
    background_ended: Cell<bool>,
    counters: Counters,
    /// Whether the last append that needed room was refused for want of it.
    disk_full: Cell<bool>,
    room: Room,
    clock: Clock,
    stopwatch: Stopwatch,
}

/// Partitions whose topic's `flush.messages` asks for a sync.
struct Flushes<D: Disk> {
    due: RefCell<Vec<Rc<Partition<D>>>>,
    signal: Signal,
}

impl<D: Disk> Flushes<D> {
    fn push(&self, partition: Rc<Partition<D>>) {
        let mut due = self.due.borrow_mut();
        if !due.iter().any(|other| Rc::ptr_eq(other, &partition)) {
            due.push(partition);
        }
        self.signal.notify();
    }
}

/// Segments that have grown enough to be written out.
struct WriteBacks<D: Disk> {
    due: RefCell<Vec<Rc<Segment<D>>>>,
    signal: Signal,
}

impl<D: Disk> WriteBacks<D> {
    fn push(&self, segment: Rc<Segment<D>>) {
        self.due.borrow_mut().push(segment);
        self.signal.notify();
    }
}

/// The directory of a shard's journal and checkpoint.
pub(crate) fn shard_dir(data_dir: &Path, index: usize) -> PathBuf {
    data_dir.join(names::SHARDS_DIR).join(index.to_string())
}

/// Replaces a shard's checkpoint, durably. A copy of it is written and synced before, for the day that a bit
/// of the checkpoint has rotted: log starts stand nowhere else (D5). What it says is true already, so after
/// any crash it is as new as the checkpoint, or newer, or torn, and says so by its sum. It may fail: a full
/// disk costs the copy.
///
/// # Errors
/// When the checkpoint could not be replaced; the old one counts.
pub(crate) async fn replace_checkpoint<D: Disk>(disk: &D, path: &Path, content: Bytes) -> io::Result<()> {
    let copied = async {
        let copy = disk.open(&path.with_file_name(names::CHECKPOINT_COPY_FILE), OpenMode::Truncate).await?;
        disk.write(&copy, Position::ZERO, vec![content.clone()]).await?;
        disk.sync(&copy).await
    };
    if let Err(error) = copied.await {
        tracing::debug!(path = %path.display(), %error, "the checkpoint has no copy");
    }
    replace(disk, path, content).await
}

impl<D: Disk> Shard<D> {
    /// Makes the shard's journal, empty and durable. Recovery has run.
    pub(crate) async fn start(start: ShardStart<D>) -> Result<(Rc<Shard<D>>, Journal<D>), StartError> {
        let directory = shard_dir(&start.data_dir, start.index);
        let failed =
            |source| StartError::Io { doing: "creating the journal in", path: directory.clone(), source };
        if start.unwritten.is_some() {
            // Recovery had no room for the checkpoint that it makes the directory for.
            start.disk.create_dir(&directory).await.map_err(failed)?;
            let shards = start.data_dir.join(names::SHARDS_DIR);
            start.disk.sync_dir(&shards).await.map_err(failed)?;
            start.disk.sync_dir(&start.data_dir).await.map_err(failed)?;
        }
        let (pool, active) = JournalPool::create(
            start.disk.clone(),
            &directory,
            start.journal_number,
            start.generation,
            start.journal_file_bytes_max,
        )
        .await
        .map_err(failed)?;
        let journal = Journal::new(start.disk.clone(), pool.clone(), active);
        let shard = Shard {
            disk: start.disk,
            data_dir: start.data_dir,
            directory,
            index: start.index,
            shards: start.shards,
            snapshot: RefCell::new(Rc::new(start.topics.get())),
            topics: start.topics,
            settings_snapshot: RefCell::new(Rc::new(start.settings.get())),
            settings: start.settings.clone(),
            files: OpenFiles::new(start.open_files_max),
            partitions: RefCell::new(BTreeMap::new()),
            closed: RefCell::new(
                start.checkpoints.into_iter().map(|point| (point.partition, point)).collect(),
            ),
            others: start.unwritten.clone(),
            unwritten: RefCell::new(start.unwritten),
            room: Room::new(&start.damaged, start.index, start.shards),
            damaged: start.damaged,
            opening: Mutex::new(()),
            inbox: Inbox::default(),
            pool,
            flushes: Flushes { due: RefCell::new(Vec::new()), signal: Signal::new() },
            trims: Trims::new(start.retention_check, (start.clock)()),
            cleaning: Cleaning::new(
                &start.settings.get().cleaner,
                start.shards,
                start.generation,
                start.background_share,
                (start.clock)(),
            ),
            scrubbing: Scrubbing::new(start.scrub_bytes_per_second, start.shards, (start.clock)()),
            write_backs: WriteBacks { due: RefCell::new(Vec::new()), signal: Signal::new() },
            turn: Mutex::new(()),
            background: Mutex::new(()),
            background_ended: Cell::new(false),
            counters: Counters::default(),
            disk_full: Cell::new(false),
            clock: start.clock,
            stopwatch: start.stopwatch,
        };
        Ok((Rc::new(shard), journal))
    }

    // ---- partitions ---------------------------------------------------------------------------------------

    /// The partition, opened if it was not; `None` when there is no such topic or partition.
    pub(crate) async fn partition(&self, id: PartitionId) -> Result<Option<Rc<Partition<D>>>, Fault> {
        if let Some(partition) = self.partitions.borrow().get(&id) {
            return Ok(Some(partition.clone()));
        }
        let _one_at_a_time = self.opening.lock().await;
        if let Some(partition) = self.partitions.borrow().get(&id) {
            return Ok(Some(partition.clone()));
        }
        let topics = self.topics.get();
        let Some((topic, replica)) = topics.replica(id) else { return Ok(None) };
        let directory = self.data_dir.join(names::partition_dir(&topic.name, id.index));
        let point = self.closed.borrow().get(&id).cloned();
        let recovery =
            Log::open(self.disk.clone(), self.files.clone(), &directory, id, point.as_ref()).await?;
        let noted = point.as_ref().map(|point| (point.segment_base, point.next_offset));
        let (checkpointed_base, checkpointed_next) = match &*self.unwritten.borrow() {
            Some(unwritten) => unwritten.bases.get(&id).and_then(|base| Some((*base, noted?.1))),
            None => noted,
        }
        .unwrap_or_default();
        let durable = point.unwrap_or_else(|| recovery.recovery_point());
        // Behind the recovery point and in no journal: perhaps only in the page cache, and nobody may see it
        // before it is durable.
        recovery.rewrite_scanned().await?;
        // Nor may anybody see that something is not there, which the medium still has: a batch that was
        // refused and cut off (D4).
        let dirty = recovery.log.is_dirty();
        let incomplete = self.damaged.get(&id).cloned();
        let lost =
            incomplete.as_ref().filter(|lacks| lacks.journaled.is_empty()).map(|lacks| lacks.fault.clone());
        let config = topic.config.clone();
        let partition = Rc::new(Partition::new(id, recovery.log, config, replica, durable, incomplete));
        partition.set_checkpointed(checkpointed_base, checkpointed_next);
        if self.unwritten.borrow().as_ref().is_some_and(|unwritten| unwritten.truncated.contains(&id)) {
            partition.await_checkpoint();
        }
        if let Some(fault) = lost {
            partition.fence(&fault);
        }
        if dirty {
            partition.sync().await?;
        }
        // A topic that was deleted meanwhile must not be taken in: `close_topics` has passed. So have
        // `reconfigure` and `take_roles`.
        let topics = self.topics.get();
        let Some((topic, replica)) = topics.replica(id) else { return Ok(None) };
        partition.set_config(topic.config.clone());
        partition.take_role(replica);
        self.closed.borrow_mut().remove(&id);
        self.partitions.borrow_mut().insert(id, partition.clone());
        self.counters.add(|stats| stats.open_partitions += 1);
        Ok(Some(partition))
    }

    fn open_partitions(&self) -> Vec<Rc<Partition<D>>> {
        self.partitions.borrow().values().cloned().collect()
    }

    /// Lets go of a topic that the table does not hold any more; who waits for it wakes up and is told. When
    /// this returns, nothing writes into the topic's directories, which the next topic of its name will use.
    pub(crate) async fn close_topics(&self, topics: &[TopicId]) {
        let gone: HashSet<&TopicId> = topics.iter().collect();
        let _no_turn = self.turn.lock().await;
        let _no_background = self.background.lock().await;
        let _no_opening = self.opening.lock().await;
        self.closed.borrow_mut().retain(|id, _| !gone.contains(&id.topic));
        self.trims.forget(&gone);
        let closed: Vec<_> = self
            .partitions
            .borrow_mut()
            .extract_if(.., |id, _| gone.contains(&id.topic))
            .map(|(_, gone)| gone)
            .collect();
        for partition in closed {
            partition.close();
            self.counters.add(|stats| stats.open_partitions -= 1);
        }
    }

    /// The topics as this shard's thread knows them: each change is known before it is answered.
    pub(crate) fn topics(&self) -> TopicSnapshot {
        self.snapshot.borrow().clone()
    }

    /// The settings as this shard's thread knows them: each change is known before it is answered.
    pub(crate) fn settings(&self) -> SettingsSnapshot {
        self.settings_snapshot.borrow().clone()
    }

    /// Takes the newest table and the newest settings.
    pub(crate) fn renew_topics(&self) {
        self.snapshot.replace(Rc::new(self.topics.get()));
        self.settings_snapshot.replace(Rc::new(self.settings.get()));
    }

    /// Puts the settings that the table has for these topics in force, or for all of them and for the shard
    /// itself. When this returns, nothing that was acknowledged under other settings is less durable than
    /// these promise.
    pub(crate) async fn reconfigure(&self, topics: Option<&[TopicId]>) {
        let concerned = || match topics {
            Some(topics) => topics.iter().flat_map(|topic| self.partitions_of(*topic)).collect(),
            None => self.open_partitions(),
        };
        if topics.is_none() {
            self.cleaning.configure(&self.settings.get().cleaner, (self.clock)());
        }
        {
            let _no_turn = self.turn.lock().await;
            let table = self.topics.get();
            for partition in concerned() {
                if let Some(topic) = table.by_id(partition.id.topic) {
                    partition.set_config(topic.config.clone());
                }
            }
        }
        let _background = self.background.lock().await;
        let mut partitions = concerned();
        partitions.retain(|partition| partition.has_relaxed());
        // One that fails is fenced, and says so to whoever appends.
        let _ = self.sync_all(partitions).await;
    }

    /// Has the partitions of these topics be what the table says of them. When this returns, what is appended
    /// carries the epochs of the table, and nothing is appended any more to what is led elsewhere.
    pub(crate) async fn take_roles(&self, topics: &[TopicId]) {
        let _no_turn = self.turn.lock().await;
        let table = self.topics.get();
        for partition in topics.iter().flat_map(|topic| self.partitions_of(*topic)) {
            if let Some((_, replica)) = table.replica(partition.id) {
                partition.take_role(replica);
            }
        }
    }

    fn partitions_of(&self, topic: TopicId) -> Vec<Rc<Partition<D>>> {
        let open = self.partitions.borrow();
        open.range(PartitionId::new(topic, 0)..=PartitionId::new(topic, u32::MAX))
            .map(|(_, partition)| partition.clone())
            .collect()
    }

    // ---- the words of the engine --------------------------------------------------------------------------

    /// Takes a batch or a marker for the next turn. The answer comes when it is durable, or as durable as its
    /// topic wants it.
    pub(crate) async fn append(
        &self,
        partition: PartitionId,
        what: impl Into<Appending>,
    ) -> oneshot::Receiver<Result<Appended, AppendError>> {
        let (reply, answer) = oneshot::channel();
        self.inbox.room().await;
        self.inbox.push(Arrival { partition, what: what.into(), reply });
        answer
    }

    pub(crate) async fn read(&self, request: ReadRequest) -> Result<ReadResult<D::File>, ReadError> {
        let partition = self.readable(request.partition).await?;
        partition.check_epoch(request.leader_epoch)?;
        let result = partition.read(request.offset, request.bytes_max, true, request.reader).await;
        if let Ok(found) = &result {
            let bytes = found.bytes();
            partition.note_read(bytes);
            self.counters.add(|stats| {
                stats.reads += 1;
                stats.read_bytes += bytes;
            });
        }
        if let Err(ReadError::Faulty { fault, .. }) = &result {
            self.note_read_fault(fault);
        }
        // A file that was opened after the topic was deleted may be another topic's of the same name.
        if partition.is_closed() { Err(ReadError::UnknownPartition(request.partition)) } else { result }
    }

    /// Wakes `wake` as soon as one of the partitions has records for this reader beyond its offset, or goes
    /// away.
    pub(crate) async fn wait(&self, reader: Reader, beyond: &[(PartitionId, Offset)], wake: &WakeOnce) {
        for (id, offset) in beyond {
            match self.partition(*id).await {
                Ok(Some(partition)) => partition.wait(reader, *offset, wake),
                Ok(None) | Err(_) => wake.wake(),
            }
        }
    }

    pub(crate) async fn find_offset(
        &self,
        id: PartitionId,
        query: OffsetQuery,
        leader_epoch: Option<LeaderEpoch>,
    ) -> Result<Option<OffsetAndTimestamp>, ReadError> {
        let partition = self.readable(id).await?;
        partition.check_epoch(leader_epoch)?;
        let latest = |isolation| -> Result<_, ReadError> {
            let offset = partition.latest(Reader::Consumer(isolation))?;
            let leader_epoch = Some(partition.leader_epoch());
            Ok(Some(OffsetAndTimestamp { offset, timestamp: Timestamp::NONE, leader_epoch }))
        };
        match query {
            OffsetQuery::Earliest => {
                let offset = partition.log.log_start();
                let leader_epoch = partition.log.epoch_at(offset);
                Ok(Some(OffsetAndTimestamp { offset, timestamp: Timestamp::NONE, leader_epoch }))
            }
            OffsetQuery::Latest => latest(Isolation::ReadUncommitted),
            OffsetQuery::LatestStable => latest(Isolation::ReadCommitted),
            OffsetQuery::MaxTimestamp => partition.offset_of_max_timestamp().await,
            OffsetQuery::AtTimestamp(timestamp) => partition.offset_for_timestamp(timestamp).await,
        }
    }

    /// Where `epoch`, or the newest one before it, ends; `None` for one that is yet to come.
    pub(crate) async fn end_of_epoch(
        &self,
        id: PartitionId,
        epoch: LeaderEpoch,
        leader_epoch: Option<LeaderEpoch>,
    ) -> Result<Option<EpochEnd>, ReadError> {
        let partition = self.readable(id).await?;
        partition.check_epoch(leader_epoch)?;
        partition.end_of_epoch(epoch)
    }

    pub(crate) async fn producers(&self, id: PartitionId) -> Result<Vec<ActiveProducer>, ReadError> {
        Ok(self.readable(id).await?.log.active_producers())
    }

    async fn readable(&self, id: PartitionId) -> Result<Rc<Partition<D>>, ReadError> {
        match self.partition(id).await {
            Ok(Some(partition)) => Ok(partition),
            Ok(None) => Err(ReadError::UnknownPartition(id)),
            Err(fault) => {
                self.note_read_fault(&fault);
                Err(ReadError::Faulty { partition: id, fault })
            }
        }
    }

    /// A read has failed: perhaps there are too many files.
    fn note_read_fault(&self, fault: &Fault) {
        if fault.is_shortage() {
            self.note_shortage(fault);
        }
    }

    pub(crate) fn stats(&self) -> ShardStats {
        let damages: u64 = self.partitions.borrow().values().map(|partition| partition.damages()).sum();
        let stats = self.counters.get();
        ShardStats { damages: stats.damages + damages, ..stats }
    }
}
