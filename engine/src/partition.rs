//! One partition: its log, who waits for it, and whether it may be written.
//!
//! * The high watermark of a single node is the log end offset: the log's end moves only when an append has settled, which in the
//!   default configuration means that it is durable (D1, D2).
//! * Where a start could not bring back all that was acknowledged, the log ends before its high watermark: what lies between is refused, by a
//!   reason that may pass, until it is back or somebody has decided (D2, D5).
//! * After a failed write or sync the partition is fenced: appends are refused with the fault until the next start, reads go on (D3).

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use futures_channel::oneshot;

use crate::config::TopicConfig;
use crate::error::{AppendError, Fault, FaultKind, ReadError};
use crate::format::checkpoint::PartitionCheckpoint;
use crate::io::Disk;
use crate::journal::replay::JournaledBatch;
use crate::log::{FileRange, Log, OffsetAndTimestamp};
use crate::types::{Offset, PartitionId, Position, Timestamp};

/// Damaged places of a partition that are kept apart: with more, the log of the broker has said enough.
const DAMAGES_MAX: usize = 1000;

/// Milliseconds that retention waits for the recovery point of a log that is being appended to. A busy journal is recycled within seconds; what
/// a slow one leaves undeleted meanwhile is less than its files hold.
const RETENTION_PATIENCE_MS: i64 = 30_000;

/// What a partition lacks of all that was acknowledged.
#[derive(Clone, Debug)]
pub(crate) struct Incomplete {
    /// Which records, and why.
    pub(crate) fault: Fault,
    /// The offset behind the last one that is known of.
    pub(crate) end: Offset,
    /// The batches that wait for room, by offset, and the journal's file that each is in; none where they are lost.
    pub(crate) journaled: Vec<(PathBuf, JournaledBatch)>,
}

/// Recovery points that no checkpoint file has yet.
pub(crate) struct Unwritten {
    /// The segments' bases that the files have.
    pub(crate) bases: BTreeMap<PartitionId, Offset>,
    /// The rows of all shards. A file may be the only one that has a row of another shard's partition, and with it where its log starts: whoever
    /// replaces one writes all of them.
    pub(crate) rows: Vec<PartitionCheckpoint>,
}

pub(crate) struct Partition<D: Disk> {
    pub(crate) id: PartitionId,
    pub(crate) log: Log<D>,
    incomplete: RefCell<Option<Incomplete>>,
    config: RefCell<Arc<TopicConfig>>,
    fence: RefCell<Option<Fault>>,
    /// What is known to be durable, for the shard's checkpoint.
    durable: RefCell<PartitionCheckpoint>,
    /// Where the log begins as soon as the shard's checkpoint says so.
    next_log_start: Cell<Offset>,
    /// The base of the segment that the recovery point in the shard's checkpoint file lies in.
    checkpointed_base: Cell<Offset>,
    /// Whether the shard's checkpoint file has records of this partition.
    is_noted: Cell<bool>,
    /// Where the log ended when retention looked at it last, and since when retention waits for the recovery point.
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
    waiters: RefCell<Vec<Waiter>>,
    /// Readers that wait to be told where the log starts.
    log_start_waiters: RefCell<Vec<oneshot::Sender<()>>>,
    /// Waiters that are pruned when there are so many.
    prune_at: Cell<usize>,
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

struct Waiter {
    beyond: Offset,
    wake: WakeOnce,
}

/// Wakes one waiting reader, once, whichever of its partitions moves first.
#[derive(Clone)]
pub(crate) struct WakeOnce(Rc<RefCell<Option<oneshot::Sender<()>>>>);

impl WakeOnce {
    pub(crate) fn new(sender: oneshot::Sender<()>) -> WakeOnce {
        WakeOnce(Rc::new(RefCell::new(Some(sender))))
    }

    pub(crate) fn wake(&self) {
        if let Some(sender) = self.0.borrow_mut().take() {
            // The reader may have gone: then nobody minds.
            let _ = sender.send(());
        }
    }

    fn is_spent(&self) -> bool {
        self.0.borrow().as_ref().is_none_or(|sender| sender.is_canceled())
    }
}

/// What a read found.
#[derive(Clone, Debug)]
pub struct ReadResult<F> {
    /// The end of what may be read.
    pub high_watermark: Offset,
    /// The first offset there is.
    pub log_start: Offset,
    /// Whole record batches, the first of which holds the offset asked for or the first one behind it; `None` at the end.
    pub batches: Option<FileRange<F>>,
    /// Whether the batches reach the high watermark. Otherwise another read gets more at once: a limit or the end of a segment came first.
    pub reaches_end: bool,
}

impl<F> ReadResult<F> {
    /// Bytes of the batches.
    pub fn bytes(&self) -> u64 {
        self.batches.as_ref().map_or(0, |range| range.length)
    }
}

impl<D: Disk> Partition<D> {
    pub(crate) fn new(
        id: PartitionId,
        log: Log<D>,
        config: Arc<TopicConfig>,
        durable: PartitionCheckpoint,
        incomplete: Option<Incomplete>,
    ) -> Partition<D> {
        let fence = RefCell::new(log.damage());
        let lacks = |fault| Incomplete { fault, end: log.acknowledged_end(), journaled: Vec::new() };
        let incomplete = incomplete.or_else(|| log.damage().map(lacks));
        let next_log_start = Cell::new(log.log_start());
        Partition {
            id,
            log,
            incomplete: RefCell::new(incomplete),
            config: RefCell::new(config),
            fence,
            durable: RefCell::new(durable),
            next_log_start,
            checkpointed_base: Cell::new(Offset::ZERO),
            is_noted: Cell::new(false),
            retention_look: Cell::default(),
            relaxed: Cell::new(Relaxed::default()),
            traffic: Cell::new(Traffic::default()),
            syncing_relaxed: Cell::new(0),
            closed: Cell::new(false),
            uncleanable: Cell::new(false),
            damages: RefCell::default(),
            waiters: RefCell::new(Vec::new()),
            log_start_waiters: RefCell::default(),
            prune_at: Cell::new(64),
        }
    }

    pub(crate) fn config(&self) -> Arc<TopicConfig> {
        self.config.borrow().clone()
    }

    /// Puts other settings in force, for the turns to come.
    pub(crate) fn set_config(&self, config: Arc<TopicConfig>) {
        *self.config.borrow_mut() = config;
    }

    pub(crate) fn high_watermark(&self) -> Offset {
        let known = self.incomplete.borrow().as_ref().map_or(Offset::ZERO, |lacks| lacks.end);
        self.log.end().max(known)
    }

    // ---- what is missing -------------------------------------------------------------------------------------------------

    /// What the log lacks; `None` when all that was acknowledged is there.
    pub(crate) fn incomplete(&self) -> Option<Incomplete> {
        self.incomplete.borrow().clone()
    }

    /// Says that all that was acknowledged is in the log.
    pub(crate) fn complete(&self) {
        *self.incomplete.borrow_mut() = None;
    }

    /// Refuses what the end of the log decides, while that is not where acknowledged records end.
    fn check_complete(&self) -> Result<(), ReadError> {
        match &*self.incomplete.borrow() {
            Some(lacks) => Err(ReadError::Incomplete { partition: self.id, fault: lacks.fault.clone() }),
            None => Ok(()),
        }
    }

    /// Refuses appends to a log that takes none, or none yet.
    pub(crate) fn check_appendable(&self) -> Result<(), AppendError> {
        self.check_fence()?;
        match &*self.incomplete.borrow() {
            Some(lacks) if !lacks.journaled.is_empty() => Err(AppendError::NoSpace(self.id)),
            Some(lacks) => Err(AppendError::Fenced { partition: self.id, fault: lacks.fault.clone() }),
            None => Ok(()),
        }
    }

    /// The high watermark, for those who ask where the log ends.
    pub(crate) fn latest(&self) -> Result<Offset, ReadError> {
        self.check_complete()?;
        Ok(self.high_watermark())
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

    // ---- fence -----------------------------------------------------------------------------------------------------------

    /// Refuses appends from here on. The first fault stays.
    pub(crate) fn fence(&self, fault: &Fault) {
        let mut fence = self.fence.borrow_mut();
        if fence.is_none() {
            tracing::error!(partition = %self.id, %fault, "partition is fenced: it takes no appends until the next start");
            *fence = Some(fault.clone());
        }
    }

    pub(crate) fn check_fence(&self) -> Result<(), AppendError> {
        match &*self.fence.borrow() {
            None => Ok(()),
            Some(fault) => Err(AppendError::Fenced { partition: self.id, fault: fault.clone() }),
        }
    }

    // ---- durability ------------------------------------------------------------------------------------------------------

    /// Notes records that were acknowledged before they are durable; true when the topic's `flush.messages` asks for a sync now.
    pub(crate) fn note_relaxed(&self, records: u64, now: Timestamp) -> bool {
        let mut relaxed = self.relaxed.get();
        if relaxed.records == 0 {
            relaxed.since = now;
        }
        relaxed.records += records;
        self.relaxed.set(relaxed);
        relaxed.records >= self.config.borrow().flush_messages
    }

    /// Whether records were acknowledged that no sync covers yet. Behind them, nothing may be in the journal alone: it would continue
    /// a log that a crash may cut before it.
    pub(crate) fn has_relaxed(&self) -> bool {
        self.relaxed.get().records > 0 || self.syncing_relaxed.get() > 0
    }

    /// Whether the topic's `flush.ms` asks for a sync.
    pub(crate) fn is_flush_due(&self, now: Timestamp) -> bool {
        let relaxed = self.relaxed.get();
        relaxed.records > 0 && now.saturating_sub(relaxed.since) as u64 >= self.config.borrow().flush_ms
    }

    /// Makes all that is settled durable. A failure fences the partition, unless the system was short of what it takes to begin.
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
        if (checkpoint.next_offset, checkpoint.segment_base) >= (durable.next_offset, durable.segment_base) {
            *durable = checkpoint;
        }
    }

    /// What is known to be durable, and where the log is to begin.
    pub(crate) fn durable(&self) -> PartitionCheckpoint {
        PartitionCheckpoint { log_start: self.next_log_start.get(), ..self.durable.borrow().clone() }
    }

    /// The offset up to which the log is known to be durable, and the base of the segment that this point lies in.
    pub(crate) fn recovery_point(&self) -> (Offset, Offset) {
        let durable = self.durable.borrow();
        (durable.next_offset, durable.segment_base)
    }

    // ---- log start -------------------------------------------------------------------------------------------------------

    /// Has the next checkpoint say that the log begins at `offset`, at or before what is durable. Nobody sees it yet.
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

    /// The checkpoint says where the log begins, or the segments before it are gone: from now on readers see it.
    pub(crate) fn publish_log_start(&self, offset: Offset) {
        self.next_log_start.set(offset);
        self.log.set_log_start(offset);
        self.log_start_waiters.borrow_mut().clear();
    }

    /// The base of the segment that the recovery point in the checkpoint file lies in.
    pub(crate) fn checkpointed_base(&self) -> Offset {
        self.checkpointed_base.get()
    }

    /// The shard's checkpoint file has this recovery point.
    pub(crate) fn set_checkpointed(&self, base: Offset, next_offset: Offset) {
        self.checkpointed_base.set(base);
        self.is_noted.set(next_offset > Offset::ZERO);
    }

    /// Whether the shard's checkpoint file has records of this partition: where its directory is gone, that tells it from one that was never
    /// used.
    pub(crate) fn is_noted(&self) -> bool {
        self.is_noted.get()
    }

    /// Whether retention, which wants the log to begin at `wanted`, leaves it to the recycling of the journal to make durable what lies before, since
    /// the log was appended to after the last look. Not where records were acknowledged that no journal holds. Asked once a look.
    pub(crate) fn retention_waits(&self, wanted: Offset, now: Timestamp) -> bool {
        let end = self.log.end();
        let (last_end, since) = self.retention_look.get();
        let grows = last_end.is_some_and(|last_end| last_end != end);
        let since = since.unwrap_or(now);
        let waits = grows
            && !self.has_relaxed()
            && wanted > self.recovery_point().0
            && now.saturating_sub(since) < RETENTION_PATIENCE_MS;
        self.retention_look.set((Some(end), waits.then_some(since)));
        waits
    }

    // ---- read ------------------------------------------------------------------------------------------------------------

    pub(crate) async fn read(
        &self,
        offset: Offset,
        bytes_max: u64,
        first_whole: bool,
    ) -> Result<ReadResult<D::File>, ReadError> {
        let (log_start, high_watermark) = (self.log.log_start(), self.high_watermark());
        if offset >= self.log.end() && offset >= log_start {
            self.check_complete()?;
        }
        if offset < log_start || offset > high_watermark {
            return Err(ReadError::OffsetOutOfRange { requested: offset, log_start, high_watermark });
        }
        let found = if offset == self.log.end() {
            None
        } else {
            match self.log.read(offset, bytes_max, first_whole).await {
                Ok(found) => found,
                Err(fault) => {
                    // Its segment may be on its way out. Where the log starts then is told when that is durable.
                    while self.log.log_start() <= offset && offset < self.next_log_start.get() {
                        let (settled, settles) = oneshot::channel();
                        self.log_start_waiters.borrow_mut().push(settled);
                        let _ = settles.await;
                    }
                    let log_start = self.log.log_start();
                    if log_start <= offset {
                        return Err(self.faulty(fault));
                    }
                    return Err(ReadError::OffsetOutOfRange { requested: offset, log_start, high_watermark });
                }
            }
        };
        let (batches, reaches_end) =
            found.map_or((None, true), |(range, reaches_end)| (Some(range), reaches_end));
        let batches = batches.filter(|range| range.length > 0);
        // What was appended while the log was read may be among the batches.
        let high_watermark = self.high_watermark();
        Ok(ReadResult { high_watermark, log_start, batches, reaches_end })
    }

    pub(crate) async fn offset_for_timestamp(
        &self,
        timestamp: Timestamp,
    ) -> Result<Option<OffsetAndTimestamp>, ReadError> {
        loop {
            let log_start = self.log.log_start();
            match self.log.offset_for_timestamp(timestamp).await {
                // A segment was deleted under the reader.
                Err(_) if log_start < self.log.log_start() => {}
                // It may be among what is missing.
                Ok(None) => return self.check_complete().map(|()| None),
                found => return found.map_err(|fault| self.faulty(fault)),
            }
        }
    }

    pub(crate) async fn offset_of_max_timestamp(&self) -> Result<Option<OffsetAndTimestamp>, ReadError> {
        self.check_complete()?;
        loop {
            let log_start = self.log.log_start();
            match self.log.offset_of_max_timestamp().await {
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

    // ---- wait ------------------------------------------------------------------------------------------------------------

    /// Wakes `wake` as soon as the high watermark lies beyond `beyond`.
    pub(crate) fn wait(&self, beyond: Offset, wake: &WakeOnce) {
        if self.high_watermark() > beyond {
            wake.wake();
            return;
        }
        let mut waiters = self.waiters.borrow_mut();
        if waiters.len() >= self.prune_at.get() {
            waiters.retain(|waiter| !waiter.wake.is_spent());
            self.prune_at.set((waiters.len() * 2).max(64));
        }
        waiters.push(Waiter { beyond, wake: wake.clone() });
    }

    /// Wakes the readers that waited for what has been appended.
    pub(crate) fn wake(&self) {
        let high_watermark = self.high_watermark();
        self.waiters.borrow_mut().retain(|waiter| {
            if high_watermark > waiter.beyond {
                waiter.wake.wake();
                return false;
            }
            true
        });
    }

    /// Wakes everybody: the topic was deleted.
    pub(crate) fn close(&self) {
        self.closed.set(true);
        for waiter in self.waiters.take() {
            waiter.wake.wake();
        }
    }
}
