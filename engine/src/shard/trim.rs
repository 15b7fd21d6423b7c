//! Moving log starts: DeleteRecords, and what [retention](crate::retention) finds old enough.
//!
//! A log start moves in this order, each step done before the next: all before it is synced; the shard's
//! checkpoint, which says where the log begins, is durable; readers see it, and whoever asked is answered;
//! segments that lie wholly before it are taken out of the log; their files are removed. So it never goes
//! back once anybody has seen it, and the recovery point never lies in a file that is gone. A crash in
//! between leaves files before the log start, which the next opening removes.
//!
//! A disk without any room takes no checkpoint (D7). Then the first segments are removed one at a time, each
//! durably, as long as the checkpoint's recovery point lies behind them: the next start finds the log's
//! beginning where its files begin.
//!
//! Retention leaves the first step to the recycling of the journal, which syncs the same segments anyway: it
//! deletes up to the recovery point, and syncs by itself only in a log that rests, or has made it wait for
//! long ([`Partition::retention_waits`]).
//!
//! All of it happens in steps of the storage queue, some partitions or some files each, so that a journal
//! file never waits long for its recycling.

use std::cell::{Cell, RefCell};
use std::collections::{HashSet, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use futures_channel::oneshot;
use futures_util::future::join_all;

use super::Shard;
use crate::config::RetentionLimits;
use crate::error::{DeleteRecordsError, Fault, ReadError};
use crate::format::names::{self, SegmentFileKind};
use crate::io::{Disk, yield_now};
use crate::journal::PoolFailure;
use crate::message::{DeleteBefore, READS_AT_ONCE, Reply};
use crate::partition::Partition;
use crate::retention::plan;
use crate::segment::Segment;
use crate::sync::Signal;
use crate::types::{Offset, PartitionId, Position, Timestamp, TopicId};

/// Partitions that one step looks at: with the sync of each in parallel and one checkpoint for all, some
/// milliseconds.
const PARTITIONS_AT_ONCE: usize = 32;

/// Files that one step removes. Removing a large one takes the file system some milliseconds.
const FILES_AT_ONCE: usize = 8;

/// When a shard first looks for old records after its start, at the latest; Kafka waits as long.
const FIRST_CHECK: Duration = Duration::from_secs(30);

type Deletion = Result<Offset, DeleteRecordsError>;

/// What waits for a step.
pub(super) struct Trims<D: Disk> {
    pub(super) signal: Signal,
    /// Records that somebody wants deleted.
    asked: RefCell<Vec<Asked>>,
    /// Partitions that retention is to look at.
    due: RefCell<VecDeque<PartitionId>>,
    /// Segments that are not in their logs any more, and whose files are there.
    dropped: RefCell<VecDeque<(PartitionId, Rc<Segment<D>>)>>,
    /// Milliseconds from one look at all partitions to the next, and when the next one is.
    interval: i64,
    next_check: Cell<Timestamp>,
}

struct Asked {
    partition: PartitionId,
    before: DeleteBefore,
    reply: Reply<Deletion>,
}

/// A log start on its way.
struct Move<D: Disk> {
    partition: Rc<Partition<D>>,
    to: Offset,
    /// Who asked; nobody where it is retention.
    reply: Option<Reply<Deletion>>,
}

impl<D: Disk> Trims<D> {
    pub(super) fn new(interval: Duration, now: Timestamp) -> Trims<D> {
        let first = now.plus(interval.min(FIRST_CHECK).as_millis() as i64);
        Trims {
            signal: Signal::new(),
            asked: RefCell::default(),
            due: RefCell::default(),
            dropped: RefCell::default(),
            interval: i64::try_from(interval.as_millis()).unwrap_or(i64::MAX).max(1),
            next_check: Cell::new(first),
        }
    }

    /// Lets go of a topic: its directories may soon be another one's.
    pub(super) fn forget(&self, gone: &HashSet<&TopicId>) {
        self.due.borrow_mut().retain(|id| !gone.contains(&id.topic));
        self.dropped.borrow_mut().retain(|(id, _)| !gone.contains(&id.topic));
    }

    /// How many partitions retention has still to look at, and how many segments' files it has to remove.
    pub(super) fn waiting(&self) -> (u64, u64) {
        (self.due.borrow().len() as u64, self.dropped.borrow().len() as u64)
    }

    fn is_empty(&self) -> bool {
        self.asked.borrow().is_empty() && self.due.borrow().is_empty() && self.dropped.borrow().is_empty()
    }
}

impl<D: Disk> Move<D> {
    fn answer(self, answer: Deletion) {
        if let Some(reply) = self.reply {
            // An asker that has gone is not missed.
            let _ = reply.send(answer);
        }
    }
}

impl<D: Disk> Shard<D> {
    /// Deletes the records before an offset. Durable when it returns; gives the first offset that is left.
    pub(crate) async fn delete_records(&self, partition: PartitionId, before: DeleteBefore) -> Deletion {
        let (reply, answer) = oneshot::channel();
        self.trims.asked.borrow_mut().push(Asked { partition, before, reply });
        self.trims.signal.notify();
        answer.await.unwrap_or(Err(DeleteRecordsError::Stopping))
    }

    /// Bytes of the partitions' batches on the disk. Those that are not open stay so.
    pub(crate) async fn sizes(&self, partitions: &[PartitionId]) -> Vec<Result<u64, ReadError>> {
        let mut sizes = Vec::with_capacity(partitions.len());
        for (at, id) in partitions.iter().enumerate() {
            if at % READS_AT_ONCE == READS_AT_ONCE - 1 {
                yield_now().await;
            }
            let open = self.partitions.borrow().get(id).cloned();
            sizes.push(match open {
                Some(partition) => Ok(partition.log.bytes()),
                None if self.topics.get().holds(*id) => Ok(self.closed_segments(*id).await.iter().sum()),
                None => Err(ReadError::UnknownPartition(*id)),
            });
        }
        sizes
    }

    /// The lengths of a partition's segments, by a look at its directory.
    pub(super) async fn closed_segments(&self, id: PartitionId) -> Vec<u64> {
        let topics = self.topics.get();
        let Some(topic) = topics.by_id(id.topic) else { return Vec::new() };
        let directory = self.data_dir.join(names::partition_dir(&topic.name, id.index));
        // A partition that was never used has no directory.
        let entries = self.disk.list(&directory).await.unwrap_or_default();
        let is_log = |name: &str| matches!(names::parse_segment(name), Some((_, SegmentFileKind::Log)));
        entries.into_iter().filter(|entry| is_log(&entry.name)).map(|entry| entry.length).collect()
    }

    /// Has all partitions looked at when it is time.
    pub(super) fn look_for_old_records(&self, now: Timestamp) {
        if now < self.trims.next_check.get() {
            return;
        }
        self.trims.next_check.set(now.plus(self.trims.interval));
        self.counters.add(|stats| {
            stats.retention_looks += 1;
            stats.retention_looked_at = now;
        });
        let topics = self.topics.get();
        let mine = |id: &PartitionId| id.shard(self.shards) == self.index;
        let mut due = self.trims.due.borrow_mut();
        // What is left of the round before is part of this one.
        due.clear();
        due.extend(topics.iter().flat_map(|topic| topic.partitions_here()).filter(mine));
        self.trims.signal.notify();
    }

    /// One step, under the lock of the background. Another one follows while there is work.
    pub(super) async fn trim(&self) {
        self.remove_some().await;
        let mut moves = Vec::new();
        let asked = {
            let mut asked = self.trims.asked.borrow_mut();
            let count = asked.len().min(PARTITIONS_AT_ONCE);
            asked.drain(..count).collect::<Vec<_>>()
        };
        for Asked { partition, before, reply } in asked {
            match self.resolve(partition, before).await {
                Ok((partition, to)) => moves.push(Move { partition, to, reply: Some(reply) }),
                Err(error) => drop(reply.send(Err(error))),
            }
        }
        for _ in 0..PARTITIONS_AT_ONCE {
            let Some(id) = self.trims.due.borrow_mut().pop_front() else { break };
            match self.plan_retention(id).await {
                Ok(planned) => moves.extend(planned),
                Err(fault) => {
                    tracing::error!(partition = %id, %fault, "retention can not read the partition")
                }
            }
            yield_now().await;
        }
        self.move_log_starts(moves).await;
        if !self.trims.is_empty() {
            self.trims.signal.notify();
        }
    }

    /// Where DeleteRecords moves the log start to.
    async fn resolve(
        &self,
        id: PartitionId,
        before: DeleteBefore,
    ) -> Result<(Rc<Partition<D>>, Offset), DeleteRecordsError> {
        let partition = match self.partition(id).await {
            Ok(Some(partition)) => partition,
            Ok(None) => return Err(DeleteRecordsError::UnknownPartition(id)),
            Err(fault) => return Err(DeleteRecordsError::Faulty { partition: id, fault }),
        };
        if !partition.is_led() {
            return Err(DeleteRecordsError::NotLeader(id));
        }
        let config = partition.config();
        if config.compacted && !config.deleted {
            return Err(DeleteRecordsError::Compacted(id));
        }
        if let Some(lacks) = partition.incomplete() {
            return Err(DeleteRecordsError::Faulty { partition: id, fault: lacks.fault });
        }
        let high_watermark = partition.high_watermark();
        match before {
            DeleteBefore::HighWatermark => Ok((partition, high_watermark)),
            DeleteBefore::Offset(offset) if offset <= high_watermark => Ok((partition, offset)),
            DeleteBefore::Offset(requested) => {
                Err(DeleteRecordsError::OffsetOutOfRange { requested, high_watermark })
            }
        }
    }

    /// What retention wants of a partition; `None` when nothing is old enough.
    async fn plan_retention(&self, id: PartitionId) -> Result<Option<Move<D>>, Fault> {
        let topics = self.topics.get();
        let Some(topic) = topics.by_id(id.topic) else { return Ok(None) };
        let limits = topic.config.limits();
        let now = (self.clock)();
        let is_open = self.partitions.borrow().contains_key(&id);
        if !is_open && !self.is_worth_opening(id, limits, now).await {
            return Ok(None);
        }
        let Some(partition) = self.partition(id).await? else { return Ok(None) };
        // What is left of a damaged log is for somebody to look at.
        if partition.log.damage().is_some() {
            return Ok(None);
        }
        let log_start = partition.log.log_start();
        let facts = partition.log.facts(limits, now).await?;
        let wanted = plan(&facts, log_start, partition.high_watermark(), limits, now);
        let to = match partition.retention_waits(wanted, now) {
            true => wanted.min(partition.recovery_point().1).max(log_start),
            false => wanted,
        };
        let wanted = to > log_start || partition.log.has_deleted_segment();
        Ok(wanted.then_some(Move { partition, to, reply: None }))
    }

    /// Whether a partition that is not open may have something to delete. Idle partitions stay closed (a row
    /// each).
    async fn is_worth_opening(&self, id: PartitionId, limits: RetentionLimits, now: Timestamp) -> bool {
        if limits.is_none() {
            return false;
        }
        let segments = self.closed_segments(id).await;
        if segments.len() != 1 {
            return !segments.is_empty();
        }
        let closed = self.closed.borrow();
        let is_young = closed.get(&id).is_some_and(|point| {
            point.position > Position::ZERO && !limits.is_expired(point.max_timestamp, now)
        });
        !is_young || limits.bytes.is_some_and(|limit| limit == 0)
    }

    async fn move_log_starts(&self, moves: Vec<Move<D>>) {
        let moves = self.make_durable(moves).await;
        if moves.is_empty() {
            return;
        }
        let changes = moves.iter().any(|go| go.to > go.partition.log.log_start());
        for Move { partition, to, .. } in &moves {
            let to = (*to).max(partition.durable().log_start);
            partition.prepare_log_start(to);
        }
        // Segments of before that wait to be dropped need a recovery point behind them, too.
        let behind =
            moves.iter().any(|go| go.partition.checkpointed_base() < go.partition.recovery_point().1);
        let written = if changes || behind { self.write_checkpoint().await } else { Ok(()) };
        match written {
            Ok(()) => {
                for go in moves {
                    let partition = &go.partition;
                    partition.publish_log_start(partition.durable().log_start);
                    while let Some(segment) = partition.log.take_dropped(partition.checkpointed_base()) {
                        self.note_deleted(&segment);
                        self.trims.dropped.borrow_mut().push_back((partition.id, segment));
                    }
                    let (partition, log_start) = (partition.clone(), partition.log.log_start());
                    tracing::debug!(partition = %partition.id, %log_start, asked = go.reply.is_some(), "log start moved");
                    go.answer(Ok(log_start));
                    self.purge_aborted(&partition).await;
                }
            }
            Err(refusal) => self.refuse_moves(moves, &refusal).await,
        }
    }

    /// Removes the rows of aborted transactions that lie before the log start, once they are many.
    async fn purge_aborted(&self, partition: &Partition<D>) {
        match partition.log.purge_deleted().await {
            Ok(()) => {}
            // The next move of the log start tries again.
            Err(fault) if fault.is_no_space() || fault.is_shortage() => {
                tracing::debug!(partition = %partition.id, %fault, "the rows of aborted transactions stay for the moment");
            }
            // They may come back, or stay: either does no harm, as long as their markers do not go.
            Err(fault) => {
                tracing::error!(partition = %partition.id, %fault, "the rows of aborted transactions were not removed");
                partition.set_uncleanable();
            }
        }
    }

    /// Closes the active segments that go, and syncs what a log start would otherwise pass. What can not be
    /// synced stays out.
    async fn make_durable(&self, moves: Vec<Move<D>>) -> Vec<Move<D>> {
        let mut unsynced = Vec::new();
        for Move { partition, to, .. } in &moves {
            let is_healthy = partition.check_fence().is_ok();
            let rolled = is_healthy && *to == partition.log.end() && partition.log.roll();
            if is_healthy && (rolled || *to > partition.recovery_point().0) {
                unsynced.push(partition.clone());
            }
        }
        // One after the other: nobody waits for this, and the journal's writes wait behind whatever the
        // device has to flush at once.
        let mut short = None;
        for partition in unsynced {
            if let Err(fault) = self.sync_all(vec![partition]).await
                && fault.is_shortage()
            {
                short = Some(fault);
            }
        }
        let mut durable = Vec::with_capacity(moves.len());
        for go in moves {
            let is_durable = go.to <= go.partition.recovery_point().0;
            let fault = match go.partition.check_fence() {
                Err(crate::error::AppendError::Fenced { fault, .. }) => Some(fault),
                // The next look tries again.
                _ => short.clone(),
            };
            match fault.filter(|_| !is_durable) {
                Some(fault) => {
                    let partition = go.partition.id;
                    go.answer(Err(DeleteRecordsError::Faulty { partition, fault }));
                }
                None => durable.push(go),
            }
        }
        durable
    }

    fn note_deleted(&self, segment: &Segment<D>) {
        self.counters.add(|stats| {
            stats.deleted_segments += 1;
            stats.deleted_bytes += segment.end().position.0;
        });
    }

    /// The checkpoint was not written. On a full disk it goes on without, until there is room for one.
    async fn refuse_moves(&self, moves: Vec<Move<D>>, refusal: &PoolFailure) {
        for go in &moves {
            go.partition.revert_log_start();
        }
        for go in moves {
            let partition = go.partition.id;
            match refusal {
                PoolFailure::NoSpace if self.free_first_segment(&go).await => match go.reply {
                    None => self.trims.due.borrow_mut().push_front(partition),
                    Some(reply) => {
                        let again = Asked { partition, before: DeleteBefore::Offset(go.to), reply };
                        self.trims.asked.borrow_mut().push(again);
                    }
                },
                PoolFailure::NoSpace => go.answer(Err(DeleteRecordsError::NoSpace(partition))),
                PoolFailure::Fault(fault) => {
                    tracing::error!(%partition, %fault, "the log start has not moved");
                    go.answer(Err(DeleteRecordsError::Faulty { partition, fault: fault.clone() }));
                }
            }
        }
    }

    /// Removes the first segment of a partition, durably, without a checkpoint; false when it is needed, or
    /// can not be removed.
    async fn free_first_segment(&self, go: &Move<D>) -> bool {
        let partition = &go.partition;
        let base = partition.checkpointed_base();
        let Some(end) = partition.log.first_end(base).filter(|end| *end <= go.to) else { return false };
        if partition.check_fence().is_err() {
            return false;
        }
        let log_start = end.max(partition.log.log_start());
        partition.prepare_log_start(log_start);
        if let Err(fault) = partition.log.remove_first().await {
            // The next start may find the segment or not: nobody may have seen a log that begins behind it,
            // and no second sync tells (D3).
            partition.fence(&fault);
            partition.revert_log_start();
            return false;
        }
        partition.publish_log_start(log_start);
        if let Some(segment) = partition.log.take_dropped(base) {
            self.note_deleted(&segment);
        }
        true
    }

    /// Removes the files of some dropped segments; false when none waits.
    pub(super) async fn remove_some(&self) -> bool {
        let some: Vec<_> = {
            let mut dropped = self.trims.dropped.borrow_mut();
            let count = dropped.len().min(FILES_AT_ONCE);
            dropped.drain(..count).collect()
        };
        let removals = some.iter().map(async |(id, segment)| {
            if let Err(fault) = segment.remove().await {
                tracing::error!(partition = %id, %fault, "a deleted segment was not removed; the next opening does it");
            }
        });
        join_all(removals).await;
        !some.is_empty()
    }
}
