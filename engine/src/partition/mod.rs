//! One partition: its log, how far that may be read ([`watermarks`]), the readers that wait for it
//! ([`waiters`]), and whether it may be written ([`fence`]).
//!
//! The end of the log moves only when an append has settled, which in the default configuration means that it
//! is durable (D1, D2).

mod fence;
mod waiters;
mod watermarks;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use futures_channel::oneshot;

pub(crate) use fence::Incomplete;
pub(crate) use waiters::WakeOnce;
pub(crate) use watermarks::Watermarks;
pub use watermarks::{Isolation, Reader};

use crate::config::TopicConfig;
use crate::error::{AppendError, Fault, FaultKind, ReadError};
use crate::format::checkpoint::PartitionCheckpoint;
use crate::format::topics::{Replica, Role};
use crate::io::Disk;
use crate::log::{AbortedTransaction, Cut, Draft, FileRange, Log, OffsetAndTimestamp};
use crate::types::{EpochEnd, LeaderEpoch, Offset, PartitionId, Position, Timestamp};
use fence::Fence;
use waiters::Waiters;
use watermarks::CurrentWatermarks;

/// Damaged places of a partition that are kept apart: with more, the log of the broker has said enough.
const DAMAGES_MAX: usize = 1000;

/// Milliseconds that retention waits for the recovery point of a log that is being appended to. A busy
/// journal is recycled within seconds; what a slow one leaves undeleted meanwhile is less than its files
/// hold.
const RETENTION_PATIENCE_MS: i64 = 30_000;

/// Recovery points that no checkpoint file has yet.
pub(crate) struct Unwritten {
    /// The segments' bases that the files have.
    pub(crate) bases: BTreeMap<PartitionId, Offset>,
    /// The rows of all shards. A file may be the only one that has a row of another shard's partition, and
    /// with it where its log starts: whoever replaces one writes all of them.
    pub(crate) rows: Vec<PartitionCheckpoint>,
    /// Those whose row in the files is from before a truncation.
    pub(crate) truncated: BTreeSet<PartitionId>,
}

pub(crate) struct Partition<D: Disk> {
    pub(crate) id: PartitionId,
    pub(crate) log: Log<D>,
    watermarks: CurrentWatermarks,
    /// What this broker is to it, and the term of the partition's leader as it is known here.
    role: Cell<Role>,
    leader_epoch: Cell<LeaderEpoch>,
    fence: Fence,
    config: RefCell<Arc<TopicConfig>>,
    /// What is known to be durable, for the shard's checkpoint.
    durable: RefCell<PartitionCheckpoint>,
    /// Where the log begins as soon as the shard's checkpoint says so.
    next_log_start: Cell<Offset>,
    /// The base of the segment that the recovery point in the shard's checkpoint file lies in.
    checkpointed_base: Cell<Offset>,
    /// Whether the shard's checkpoint file has records of this partition.
    is_noted: Cell<bool>,
    /// The log was truncated, and the shard's checkpoint file does not say so yet: nothing may be appended
    /// before.
    awaits_checkpoint: Cell<bool>,
    /// Where the log ended when retention looked at it last, and since when retention waits for the recovery
    /// point.
    retention_look: Cell<(Option<Offset>, Option<Timestamp>)>,
    relaxed: Cell<Relaxed>,
    traffic: Cell<Traffic>,
    /// Syncs under way that cover relaxed records.
    syncing_relaxed: Cell<u32>,
    closed: Cell<bool>,
    /// Compaction has found something wrong.
    uncleanable: Cell<bool>,
    /// The places where files were found damaged (D5): each is told once.
    damages: RefCell<BTreeSet<(PathBuf, Position)>>,
    waiters: Waiters,
    /// Readers that wait to be told where the log starts.
    log_start_waiters: RefCell<Vec<oneshot::Sender<()>>>,
}

/// What came to a partition and was given out, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Batches that were appended.
    pub batches: u64,
    /// Their records.
    pub records: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Reads.
    pub reads: u64,
    /// Bytes that they gave out.
    pub read_bytes: u64,
}

impl Traffic {
    /// Both together.
    #[must_use]
    pub fn plus(self, other: Traffic) -> Traffic {
        Traffic {
            batches: self.batches + other.batches,
            records: self.records + other.records,
            bytes: self.bytes + other.bytes,
            reads: self.reads + other.reads,
            read_bytes: self.read_bytes + other.read_bytes,
        }
    }
}

/// What a partition with relaxed durability has acknowledged and not synced.
#[derive(Clone, Copy, Default)]
struct Relaxed {
    records: u64,
    since: Timestamp,
}

/// What a read found.
#[derive(Clone, Debug)]
pub struct ReadResult<F> {
    /// The first offset there is.
    pub log_start: Offset,
    /// The end of what a `read_committed` consumer may read.
    pub last_stable: Offset,
    /// The end of what consumers may read.
    pub high_watermark: Offset,
    /// The end of what this reader may read: one of those two, or the log end.
    pub readable_end: Offset,
    /// Whole record batches, the first of which holds the offset asked for or the first one behind it; `None`
    /// at the end.
    pub batches: Option<FileRange<F>>,
    /// Whether the batches reach the end of what may be read. Otherwise another read gets more at once: a
    /// limit or the end of a segment came first.
    pub reaches_end: bool,
    /// For a `read_committed` consumer: the aborted transactions whose records may be among the batches. It
    /// leaves out the transactional batches of such a producer, from the offset given up to the producer's
    /// next marker.
    pub aborted: Vec<AbortedTransaction>,
}

impl<F> ReadResult<F> {
    /// Bytes of the batches.
    pub fn bytes(&self) -> u64 {
        self.batches.as_ref().map_or(0, |range| range.length)
    }
}

/// The watermarks of a log that nobody else has a copy of, and which ends at `end`, or should.
fn alone<D: Disk>(log: &Log<D>, end: Offset) -> Watermarks {
    let watermarks = Watermarks::alone(log.log_start(), end);
    match log.first_undecided() {
        Some(first) => Watermarks { last_stable: first.min(end), ..watermarks },
        None => watermarks,
    }
}

impl<D: Disk> Partition<D> {
    pub(crate) fn new(
        id: PartitionId,
        log: Log<D>,
        config: Arc<TopicConfig>,
        replica: Replica,
        durable: PartitionCheckpoint,
        incomplete: Option<Incomplete>,
    ) -> Partition<D> {
        let lacks = |fault| Incomplete { fault, end: log.acknowledged_end(), journaled: Vec::new() };
        let incomplete = incomplete.or_else(|| log.damage().map(lacks));
        let next_log_start = Cell::new(log.log_start());
        let leader_epoch = log.last_epoch();
        let fence = Fence::new(id, log.damage(), incomplete);
        let end = log.end().max(fence.missing_end().unwrap_or_default());
        let partition = Partition {
            id,
            watermarks: CurrentWatermarks::new(alone(&log, end)),
            role: Cell::new(replica.role),
            leader_epoch: Cell::new(leader_epoch),
            log,
            fence,
            config: RefCell::new(config),
            durable: RefCell::new(durable),
            next_log_start,
            checkpointed_base: Cell::new(Offset::ZERO),
            is_noted: Cell::new(false),
            awaits_checkpoint: Cell::new(false),
            retention_look: Cell::default(),
            relaxed: Cell::new(Relaxed::default()),
            traffic: Cell::new(Traffic::default()),
            syncing_relaxed: Cell::new(0),
            closed: Cell::new(false),
            uncleanable: Cell::new(false),
            damages: RefCell::default(),
            waiters: Waiters::new(),
            log_start_waiters: RefCell::default(),
        };
        partition.take_role(replica);
        partition
    }

    pub(crate) fn config(&self) -> Arc<TopicConfig> {
        self.config.borrow().clone()
    }

    /// Puts other settings in force, for the turns to come.
    pub(crate) fn set_config(&self, config: Arc<TopicConfig>) {
        *self.config.borrow_mut() = config;
    }

    // ---- role and leader epoch ----------------------------------------------------------------------------

    /// The leader epoch that appended batches are stamped with.
    pub(crate) fn leader_epoch(&self) -> LeaderEpoch {
        self.leader_epoch.get()
    }

    /// Whether this broker leads it.
    pub(crate) fn is_led(&self) -> bool {
        self.role.get() == Role::Leader
    }

    /// Refuses a reader that believes in another leader epoch, and one of a partition that is not led here.
    pub(crate) fn check_epoch(&self, expected: Option<LeaderEpoch>) -> Result<(), ReadError> {
        let (partition, current) = (self.id, self.leader_epoch.get());
        match expected {
            Some(expected) if expected < current => {
                Err(ReadError::FencedLeaderEpoch { partition, current, expected })
            }
            Some(expected) if expected > current => {
                Err(ReadError::UnknownLeaderEpoch { partition, current, expected })
            }
            _ if !self.is_led() => Err(ReadError::NotLeader(partition)),
            _ => Ok(()),
        }
    }

    /// Takes a role, in another term or the same: not in an older one than the log has. Who waits for records
    /// of a partition that is not led here any more is woken, and told so. Not while a draft is under way.
    pub(crate) fn take_role(&self, Replica { role, epoch }: Replica) {
        self.leader_epoch.set(epoch.max(self.leader_epoch.get()));
        self.role.set(role);
        match role {
            Role::Leader => self.begin_epoch(),
            Role::Follower => self.waiters.wake_all(),
        }
    }

    /// What is appended from now on is of the present term. Where the journal has records of older ones that
    /// the log lacks, or may have, that has to wait for them: until there is room, or for the next start.
    fn begin_epoch(&self) {
        if self.is_led() && self.fence.check_appendable().is_ok() {
            self.log.begin_epoch(self.leader_epoch.get());
        }
    }

    /// Where `epoch`, or the newest one before it, ends; `None` for one that is yet to come.
    pub(crate) fn end_of_epoch(&self, epoch: LeaderEpoch) -> Result<Option<EpochEnd>, ReadError> {
        self.fence.check_complete()?;
        Ok(self.log.end_of_epoch(epoch))
    }

    // ---- watermarks ---------------------------------------------------------------------------------------

    /// Log start, last stable offset, high watermark and log end.
    pub(crate) fn watermarks(&self) -> Watermarks {
        self.watermarks.get()
    }

    /// The end of what consumers may read.
    pub(crate) fn high_watermark(&self) -> Offset {
        self.watermarks.get().high_watermark
    }

    /// Takes in what a draft has written: from here on the records can be read.
    pub(crate) fn adopt(&self, draft: Draft<D>) {
        self.log.adopt(draft);
        self.renew_watermarks();
    }

    /// The log has moved. Nobody else has a copy of it, so the other ends move with its own.
    fn renew_watermarks(&self) {
        let end = self.log.end().max(self.fence.missing_end().unwrap_or_default());
        self.watermarks.set(alone(&self.log, end));
    }

    /// Puts other watermarks in force until the log moves again.
    #[cfg(test)]
    pub(crate) fn set_watermarks(&self, watermarks: Watermarks) {
        self.watermarks.set(watermarks);
    }

    // ---- what is missing ----------------------------------------------------------------------------------

    /// What the log lacks; `None` when all that was acknowledged is there.
    pub(crate) fn incomplete(&self) -> Option<Incomplete> {
        self.fence.lacks()
    }

    /// Says that all that was acknowledged is in the log.
    pub(crate) fn complete(&self) {
        self.fence.complete();
        self.begin_epoch();
        self.renew_watermarks();
    }

    /// Refuses appends to a log that takes none, or none yet.
    pub(crate) fn check_appendable(&self) -> Result<(), AppendError> {
        self.fence.check_appendable()?;
        if self.awaits_checkpoint.get() { Err(AppendError::NoSpace(self.id)) } else { Ok(()) }
    }

    /// Where the log ends for this reader.
    pub(crate) fn latest(&self, reader: Reader) -> Result<Offset, ReadError> {
        self.fence.check_complete()?;
        Ok(self.watermarks().end_for(reader))
    }

    /// Whether the topic was deleted meanwhile.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.get()
    }

    /// Whether compaction leaves the log alone until the next start.
    pub(crate) fn is_uncleanable(&self) -> bool {
        self.uncleanable.get()
    }

    pub(crate) fn set_uncleanable(&self) {
        self.uncleanable.set(true);
    }

    /// What came and went since the start.
    pub(crate) fn traffic(&self) -> Traffic {
        self.traffic.get()
    }

    pub(crate) fn note_appended(&self, batches: u64, records: u64, bytes: u64) {
        self.traffic.set(self.traffic.get().plus(Traffic { batches, records, bytes, ..Traffic::default() }));
    }

    pub(crate) fn note_read(&self, read_bytes: u64) {
        self.traffic.set(self.traffic.get().plus(Traffic { reads: 1, read_bytes, ..Traffic::default() }));
    }

    // ---- fence --------------------------------------------------------------------------------------------

    /// Refuses appends from here on. The first fault stays.
    pub(crate) fn fence(&self, fault: &Fault) {
        self.fence.close(fault);
    }

    pub(crate) fn check_fence(&self) -> Result<(), AppendError> {
        self.fence.check()
    }

    // ---- durability ---------------------------------------------------------------------------------------

    /// Notes records that were acknowledged before they are durable; true when the topic's `flush.messages`
    /// asks for a sync now.
    pub(crate) fn note_relaxed(&self, records: u64, now: Timestamp) -> bool {
        let mut relaxed = self.relaxed.get();
        if relaxed.records == 0 {
            relaxed.since = now;
        }
        relaxed.records += records;
        self.relaxed.set(relaxed);
        relaxed.records >= self.config.borrow().flush_messages
    }

    /// Whether records were acknowledged that no sync covers yet. Behind them, nothing may be in the journal
    /// alone: it would continue a log that a crash may cut before it.
    pub(crate) fn has_relaxed(&self) -> bool {
        self.relaxed.get().records > 0 || self.syncing_relaxed.get() > 0
    }

    /// Whether the topic's `flush.ms` asks for a sync.
    pub(crate) fn is_flush_due(&self, now: Timestamp) -> bool {
        let relaxed = self.relaxed.get();
        relaxed.records > 0 && now.since(relaxed.since) as u64 >= self.config.borrow().flush_ms
    }

    /// Makes all that is settled durable. A failure fences the partition, unless the system was short of what
    /// it takes to begin.
    pub(crate) async fn sync(&self) -> Result<(), Fault> {
        if self.log.damage().is_some() {
            return Ok(());
        }
        let relaxed = self.relaxed.take();
        self.syncing_relaxed.set(self.syncing_relaxed.get() + u32::from(relaxed.records > 0));
        let synced = self.log.sync().await;
        self.syncing_relaxed.set(self.syncing_relaxed.get() - u32::from(relaxed.records > 0));
        match synced {
            Ok(checkpoint) => {
                self.note_durable(checkpoint);
                Ok(())
            }
            Err(fault) => {
                self.relaxed
                    .set(Relaxed { records: relaxed.records + self.relaxed.get().records, ..relaxed });
                if !fault.is_shortage() {
                    self.fence(&fault);
                }
                Err(fault)
            }
        }
    }

    /// Notes what a sync has covered. Of two syncs that overlap, the one that saw more stays.
    fn note_durable(&self, checkpoint: PartitionCheckpoint) {
        let mut durable = self.durable.borrow_mut();
        if checkpoint.progress() >= durable.progress() {
            *durable = checkpoint;
        }
    }

    /// What is known to be durable, and where the log is to begin.
    pub(crate) fn durable(&self) -> PartitionCheckpoint {
        let (log_start, high_watermark) = (self.next_log_start.get(), self.high_watermark());
        PartitionCheckpoint { log_start, high_watermark, ..self.durable.borrow().clone() }
    }

    /// The offset up to which the log is known to be durable, and the base of the segment that this point
    /// lies in.
    pub(crate) fn recovery_point(&self) -> (Offset, Offset) {
        let durable = self.durable.borrow();
        (durable.next_offset, durable.segment_base)
    }

    // ---- truncation ---------------------------------------------------------------------------------------

    /// Cuts the log off, durably. The journal has the truncation; the shard's checkpoint must say so before
    /// anything is appended.
    pub(crate) async fn truncate(&self, cut: Cut) -> Result<(), Fault> {
        self.await_checkpoint();
        let removed = self.log.begin_cut(cut);
        self.renew_watermarks();
        let truncated = self.log.finish_cut(removed).await;
        match &truncated {
            Ok(()) => *self.durable.borrow_mut() = self.log.checkpoint(),
            Err(fault) => self.fence(fault),
        }
        truncated
    }

    /// The log was truncated, and the shard's checkpoint file does not say so.
    pub(crate) fn await_checkpoint(&self) {
        self.awaits_checkpoint.set(true);
    }

    pub(crate) fn awaits_checkpoint(&self) -> bool {
        self.awaits_checkpoint.get()
    }

    // ---- log start ----------------------------------------------------------------------------------------

    /// Has the next checkpoint say that the log begins at `offset`, at or before what is durable. Nobody sees
    /// it yet.
    pub(crate) fn prepare_log_start(&self, offset: Offset) {
        assert!(
            offset <= self.recovery_point().0,
            "what lies before a log start is durable, or was never needed"
        );
        self.next_log_start.set(offset);
    }

    /// The checkpoint was not written: the log begins where it did.
    pub(crate) fn revert_log_start(&self) {
        self.next_log_start.set(self.log.log_start());
        self.log_start_waiters.borrow_mut().clear();
    }

    /// The checkpoint says where the log begins, or the segments before it are gone: from now on readers see
    /// it.
    pub(crate) fn publish_log_start(&self, offset: Offset) {
        self.next_log_start.set(offset);
        self.log.set_log_start(offset);
        self.renew_watermarks();
        self.log_start_waiters.borrow_mut().clear();
    }

    /// The base of the segment that the recovery point in the checkpoint file lies in.
    pub(crate) fn checkpointed_base(&self) -> Offset {
        self.checkpointed_base.get()
    }

    /// The shard's checkpoint file has this recovery point.
    pub(crate) fn set_checkpointed(&self, base: Offset, next_offset: Offset) {
        self.checkpointed_base.set(base);
        self.awaits_checkpoint.set(false);
        self.is_noted.set(next_offset > Offset::ZERO);
    }

    /// Whether the shard's checkpoint file has records of this partition: where its directory is gone, that
    /// tells it from one that was never used.
    pub(crate) fn is_noted(&self) -> bool {
        self.is_noted.get()
    }

    /// Whether retention, which wants the log to begin at `wanted`, leaves it to the recycling of the journal
    /// to make durable what lies before, since the log was appended to after the last look. Not where records
    /// were acknowledged that no journal holds. Asked once a look.
    pub(crate) fn retention_waits(&self, wanted: Offset, now: Timestamp) -> bool {
        let end = self.log.end();
        let (last_end, since) = self.retention_look.get();
        let grows = last_end.is_some_and(|last_end| last_end != end);
        let since = since.unwrap_or(now);
        let waits = grows
            && !self.has_relaxed()
            && wanted > self.recovery_point().0
            && now.since(since) < RETENTION_PATIENCE_MS;
        self.retention_look.set((Some(end), waits.then_some(since)));
        waits
    }

    // ---- read ---------------------------------------------------------------------------------------------

    /// Whole batches from `offset` on, as far as this reader may read. Where the log is truncated meanwhile,
    /// it reads again.
    pub(crate) async fn read(
        &self,
        offset: Offset,
        bytes_max: u64,
        first_whole: bool,
        reader: Reader,
    ) -> Result<ReadResult<D::File>, ReadError> {
        loop {
            let seen = (self.log.truncations(), self.log.aborted_removals());
            let result = self.read_once(offset, bytes_max, first_whole, reader).await;
            // What compaction has removed of an aborted transaction may be among the batches, and its row not
            // in the list.
            if (self.log.truncations(), self.log.aborted_removals()) == seen {
                if let Err(ReadError::Faulty { fault, .. }) = &result {
                    self.note_fault(fault);
                }
                return result;
            }
        }
    }

    async fn read_once(
        &self,
        offset: Offset,
        bytes_max: u64,
        first_whole: bool,
        reader: Reader,
    ) -> Result<ReadResult<D::File>, ReadError> {
        let watermarks = self.watermarks();
        let Watermarks { log_start, high_watermark, log_end, .. } = watermarks;
        if offset >= self.log.end() && offset >= log_start {
            self.fence.check_complete()?;
        }
        if offset < log_start || offset > log_end {
            return Err(ReadError::OffsetOutOfRange { requested: offset, log_start, high_watermark });
        }
        let found = if offset >= watermarks.end_for(reader) {
            None
        } else {
            match self.log.read(offset, bytes_max, first_whole, || self.watermarks().end_for(reader)).await {
                Ok(found) => found,
                Err(fault) => {
                    // Its segment may be on its way out. Where the log starts then is told when that is
                    // durable.
                    while self.log.log_start() <= offset && offset < self.next_log_start.get() {
                        let (settled, settles) = oneshot::channel();
                        self.log_start_waiters.borrow_mut().push(settled);
                        let _ = settles.await;
                    }
                    let log_start = self.log.log_start();
                    if log_start <= offset {
                        return Err(ReadError::Faulty { partition: self.id, fault });
                    }
                    return Err(ReadError::OffsetOutOfRange { requested: offset, log_start, high_watermark });
                }
            }
        };
        let aborted = match &found {
            Some(found) if reader == Reader::Consumer(Isolation::ReadCommitted) => {
                let aborted = self.log.aborted_between(offset, found.upto).await;
                aborted.map_err(|fault| ReadError::Faulty { partition: self.id, fault })?
            }
            _ => Vec::new(),
        };
        let (batches, reaches_end) =
            found.map_or((None, true), |found| (Some(found.range), found.reaches_end));
        let batches = batches.filter(|range| range.length > 0);
        // What was appended while the log was read may be among the batches.
        let watermarks = self.watermarks();
        let Watermarks { last_stable, high_watermark, .. } = watermarks;
        let readable_end = watermarks.end_for(reader);
        Ok(ReadResult { log_start, last_stable, high_watermark, readable_end, batches, reaches_end, aborted })
    }

    pub(crate) async fn offset_for_timestamp(
        &self,
        timestamp: Timestamp,
    ) -> Result<Option<OffsetAndTimestamp>, ReadError> {
        loop {
            let (log_start, truncations) = (self.log.log_start(), self.log.truncations());
            match self.log.offset_for_timestamp(timestamp).await {
                _ if truncations != self.log.truncations() => {}
                // A segment was deleted under the reader.
                Err(_) if log_start < self.log.log_start() => {}
                // It may be among what is missing.
                Ok(None) => return self.fence.check_complete().map(|()| None),
                // Nobody is told of it yet.
                Ok(Some(found)) if found.offset >= self.high_watermark() => return Ok(None),
                found => return found.map_err(|fault| self.faulty(fault)),
            }
        }
    }

    pub(crate) async fn offset_of_max_timestamp(&self) -> Result<Option<OffsetAndTimestamp>, ReadError> {
        self.fence.check_complete()?;
        loop {
            let (log_start, truncations) = (self.log.log_start(), self.log.truncations());
            match self.log.offset_of_max_timestamp().await {
                _ if truncations != self.log.truncations() => {}
                // A segment was deleted under the reader.
                Err(_) if log_start < self.log.log_start() => {}
                found => return found.map_err(|fault| self.faulty(fault)),
            }
        }
    }

    fn faulty(&self, fault: Fault) -> ReadError {
        self.note_fault(&fault);
        ReadError::Faulty { partition: self.id, fault }
    }

    /// Tells what could not be read; damage once for each place. What is intact is served on (D5).
    pub(crate) fn note_fault(&self, fault: &Fault) {
        let FaultKind::Damage { path, position, .. } = &**fault else {
            if fault.is_shortage() {
                tracing::debug!(partition = %self.id, %fault, "read failed for the moment");
                return;
            }
            tracing::error!(partition = %self.id, %fault, "read failed");
            return;
        };
        let mut damages = self.damages.borrow_mut();
        if damages.len() < DAMAGES_MAX && damages.insert((path.clone(), *position)) {
            tracing::error!(partition = %self.id, %fault, "damage was found; it is not served, the rest is");
        }
    }

    /// The number of damaged places that were found since the partition was opened.
    pub(crate) fn damages(&self) -> u64 {
        self.damages.borrow().len() as u64
    }

    // ---- wait ---------------------------------------------------------------------------------------------

    /// Wakes `wake` as soon as this reader may read beyond `beyond`.
    pub(crate) fn wait(&self, reader: Reader, beyond: Offset, wake: &WakeOnce) {
        match !self.is_led() || self.watermarks().end_for(reader) > beyond {
            true => wake.wake(),
            false => self.waiters.push(reader, beyond, wake),
        }
    }

    /// Wakes the readers that waited for what has been appended.
    pub(crate) fn wake(&self) {
        self.waiters.wake(&self.watermarks());
    }

    /// Wakes everybody: the topic was deleted.
    pub(crate) fn close(&self) {
        self.closed.set(true);
        self.waiters.wake_all();
    }
}
