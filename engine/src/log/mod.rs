//! The ordered segments of one partition: append, read, roll, recover.
//!
//! Appending is done in three steps, so that a turn of the shard that fails leaves nothing behind:
//!
//! 1. [`Log::draft`] starts a [`Draft`]; [`Draft::push`] gives each batch its offset and its place in a
//!    segment, in memory only;
//! 2. [`Draft::write`] writes the batches behind the ends of their segments, where nobody looks;
//! 3. [`Log::adopt`] moves the ends. Dropping the draft instead, after [`Log::discard`], forgets it.
//!
//! Invariants: segments are ordered by base offset and follow each other without a gap; only the last one
//! grows; everything before an end is whole batches. Where the log was compacted, offsets are missing inside
//! a segment, never between two: its last batch ends where the next one begins. The log start lies in the
//! first segment, or between segments that wait to be dropped; a log without segments begins and ends there.

mod aborted;
mod draft;
mod open;
mod producers;
mod replace;
mod transactions;
mod truncate;

use std::cell::{Cell, RefCell};
use std::cmp::Ordering;
use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use futures_util::lock::Mutex;

use aborted::Aborted;
pub use aborted::AbortedTransaction;
pub(crate) use aborted::CHECK_ROWS_BYTES;
pub(crate) use draft::{Draft, Place};
pub(crate) use open::gone;
pub use producers::ActiveProducer;
pub(crate) use producers::Producers;
pub(crate) use replace::Replacement;
pub use transactions::{Origin, Participation, VerificationGuard};
pub(crate) use truncate::Cut;

use crate::compaction::LastOfProducer;
use crate::config::{DECOMPRESSED_BYTES_MAX, RetentionLimits, TopicConfig};
use crate::error::Fault;
use crate::format::aborted::AbortedRow;
use crate::format::batch::{BATCH_HEADER_BYTES, BatchHeader, Producer, TimestampType};
use crate::format::checkpoint::PartitionCheckpoint;
use crate::format::compacted::Compacted;
use crate::format::compression::{Codec, DecompressError, PIECE_BYTES, Strictness, Unpacker, decompress};
use crate::format::marker::EndMarker;
use crate::format::record::{RecordError, RecordsError};
use crate::format::walk::{RecordWalk, Seen};
use crate::io::Disk;
use crate::retention::SegmentFacts;
use crate::segment::{HeaderScan, Home, Segment, SegmentEnd};
use crate::types::{EpochEnd, EpochStart, LeaderEpoch, Offset, PartitionId, Position, ProducerId, Timestamp};

/// Milliseconds of silence after which an idempotent producer is forgotten (Kafka's
/// `producer.id.expiration.ms`).
const PRODUCER_EXPIRATION_MS: i64 = 86_400_000;

pub(crate) struct Log<D: Disk> {
    partition: PartitionId,
    home: Rc<Home<D>>,
    segments: RefCell<Vec<Rc<Segment<D>>>>,
    log_start: Cell<Offset>,
    /// Whether the last segment takes no more batches: the next draft begins another one.
    rolled: Cell<bool>,
    /// Held by every draft.
    drafts: Rc<()>,
    /// What a draft has left that could not be cleared away yet, the last segment first: no other draft
    /// begins before it is.
    leftovers: RefCell<VecDeque<Rc<Segment<D>>>>,
    /// Whether a file of a draft was removed, and the directory not synced since.
    removed: Cell<bool>,
    producers: RefCell<Producers>,
    aborted: Aborted<D>,
    /// The entries of the directory, and its own entry in the one above.
    entries: Entries,
    own_entry: Entries,
    /// How far the log was compacted, and whether a replacement of segments is under way.
    compacted: Cell<Compacted>,
    replacing: Cell<bool>,
    /// Held by whoever writes index files or replaces segments: the index of a segment that is being replaced
    /// would be taken for that of its successor, which has the same name.
    index_files: Mutex<()>,
    /// What was found damaged when the log was opened: nothing from there on is served, and nothing is
    /// appended.
    damage: RefCell<Option<Fault>>,
    /// The offset behind the last record that is known to have been acknowledged, when the log was opened.
    acknowledged_end: Cell<Offset>,
    /// How often the log was truncated.
    truncations: Cell<u32>,
    /// Why a truncation that the journal has was not finished: the next start does it, and nothing is durable
    /// before.
    unfinished: RefCell<Option<Fault>>,
}

/// Entries that were made in a directory, and how many of them a sync is known to cover. A sync that is under
/// way covers nothing yet: an append that relied on it would be acknowledged too early.
struct Entries {
    made: Cell<u64>,
    synced: Cell<u64>,
}

impl Entries {
    /// There are so many, made or removed by another process: no sync is known to cover that.
    fn found(count: u64) -> Entries {
        Entries { made: Cell::new(count), synced: Cell::new(0) }
    }

    fn note_made(&self) {
        self.made.set(self.made.get() + 1);
    }

    fn is_dirty(&self) -> bool {
        self.synced.get() < self.made.get()
    }
}

/// A stretch of whole batches in one file, ready to be sent. Holding it keeps the file alive, even when its
/// segment is removed.
#[derive(Clone, Debug)]
pub struct FileRange<F> {
    /// The open file.
    pub file: F,
    /// The first byte.
    pub position: Position,
    /// Number of bytes.
    pub length: u64,
}

/// What was read of a log.
pub(crate) struct Found<F> {
    pub(crate) range: FileRange<F>,
    /// Whether the range reaches the limit, or the end of the log.
    pub(crate) reaches_end: bool,
    /// An offset that no batch of the range reaches. It lies just behind them where transactions were aborted
    /// behind the offset that was asked for.
    pub(crate) upto: Offset,
}

/// A record's place in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OffsetAndTimestamp {
    /// The record's offset.
    pub offset: Offset,
    /// The record's timestamp.
    pub timestamp: Timestamp,
    /// The leader epoch of the record, or of the next one where there is none; `None` where that is not known
    /// any more.
    pub leader_epoch: Option<LeaderEpoch>,
}

impl<D: Disk> Log<D> {
    pub(crate) fn log_start(&self) -> Offset {
        self.log_start.get()
    }

    /// The offset that the next record gets.
    pub(crate) fn end(&self) -> Offset {
        self.segments.borrow().last().map_or(self.log_start.get(), |segment| segment.end().next_offset)
    }

    /// Bytes of all batches, also of those that wait to be dropped.
    pub(crate) fn bytes(&self) -> u64 {
        self.segments.borrow().iter().map(|segment| segment.end().position.0).sum()
    }

    /// How many segments there are, and their bytes; also of those that wait to be dropped.
    pub(crate) fn size(&self) -> (u64, u64) {
        (self.segments.borrow().len() as u64, self.bytes())
    }

    /// The offset behind the last record that is known to have been acknowledged: beyond the end of a log
    /// that is damaged there.
    pub(crate) fn acknowledged_end(&self) -> Offset {
        self.acknowledged_end.get().max(self.end())
    }

    /// What was found damaged when the log was opened.
    pub(crate) fn damage(&self) -> Option<Fault> {
        self.damage.borrow().clone()
    }

    fn active(&self) -> Option<Rc<Segment<D>>> {
        self.segments.borrow().last().cloned()
    }

    // ---- append -------------------------------------------------------------------------------------------

    /// Starts a draft on top of the log's end.
    pub(crate) async fn draft(&self, config: &Arc<TopicConfig>) -> Result<Draft<D>, Fault> {
        self.clear_leftovers().await?;
        let held = self.drafts.clone();
        let active = match self.active() {
            Some(segment) if !self.rolled.get() => segment,
            _ => self.new_segment(self.end()),
        };
        active.load_index().await?;
        let topic = u128::from_le_bytes(self.partition.topic.to_bytes()) as u64;
        let seed = topic ^ (u64::from(self.partition.index) << 40);
        Ok(Draft::new(active, self.home.epochs.at(self.end()), config.clone(), seed, held))
    }

    fn new_segment(&self, base: Offset) -> Rc<Segment<D>> {
        Segment::empty(self.home.clone(), base)
    }

    /// Takes in what a draft has written. From here on the records can be read.
    pub(crate) fn adopt(&self, draft: Draft<D>) {
        assert_eq!(draft.start, self.end(), "one draft at a time");
        let mut segments = self.segments.borrow_mut();
        for run in draft.runs {
            let known = segments.last().is_some_and(|last| Rc::ptr_eq(last, &run.segment));
            if !known {
                if let Some(last) = segments.last() {
                    last.seal();
                }
                self.entries.note_made();
                self.rolled.set(false);
                segments.push(run.segment.clone());
            }
            run.segment.extend(run.end, &run.boundaries);
        }
        for EpochStart { epoch, start } in draft.epochs {
            self.home.epochs.begin(epoch, start);
        }
        for row in self.producers.borrow_mut().adopt(draft.producers) {
            self.aborted.note(row);
        }
    }

    /// Clears away what a draft may have written in part, durably: else a crash may leave some of it before
    /// what the next draft writes in the same place, and the two together may look like one log. Where the
    /// system is short of what that takes, the next draft does it first.
    pub(crate) async fn discard(&self, draft: Draft<D>) -> Result<(), Fault> {
        // The last one first: a crash in between must not leave a later segment alone, which would look like
        // the log's beginning.
        self.leftovers.borrow_mut().extend(draft.runs.into_iter().rev().map(|run| run.segment));
        self.clear_leftovers().await
    }

    /// Whether a draft has left something that was not cleared away.
    pub(crate) fn has_leftovers(&self) -> bool {
        !self.leftovers.borrow().is_empty() || self.removed.get()
    }

    pub(crate) async fn clear_leftovers(&self) -> Result<(), Fault> {
        loop {
            let Some(segment) = self.leftovers.borrow().front().cloned() else { break };
            if self.active().is_some_and(|active| Rc::ptr_eq(&active, &segment)) {
                segment.cut_to_end().await?;
                segment.sync().await?;
            } else if segment.may_exist() {
                // A file that stayed behind would stand in the way once the segment before it has grown past
                // its base offset.
                segment.remove().await?;
                self.removed.set(true);
            }
            self.leftovers.borrow_mut().pop_front();
        }
        if !self.removed.get() {
            return Ok(());
        }
        match self.home.disk.sync_dir(&self.home.directory).await {
            // There was no room for the directory either.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            synced => synced.map_err(|error| {
                crate::error::io_fault("sync", &*self.home.directory, Position::ZERO, error)
            })?,
        }
        self.removed.set(false);
        Ok(())
    }

    /// Makes the directory that the first segment will stand in.
    pub(crate) async fn ensure_directory(&self) -> std::io::Result<()> {
        if self.segments.borrow().is_empty() {
            self.home.disk.create_dir(&self.home.directory).await?;
            self.own_entry.note_made();
        }
        Ok(())
    }

    /// The active segment, when it has grown enough to be written out.
    pub(crate) fn wants_write_back(&self) -> Option<Rc<Segment<D>>> {
        self.active().filter(|segment| segment.wants_write_back())
    }

    // ---- drop ---------------------------------------------------------------------------------------------

    /// Closes the active segment, so that it can be dropped like the others. Not while a draft builds on it,
    /// or has left something behind its end: false then.
    pub(crate) fn roll(&self) -> bool {
        if Rc::strong_count(&self.drafts) > 1 || self.has_leftovers() {
            return false;
        }
        if let Some(last) = self.active()
            && !self.rolled.replace(true)
        {
            last.fix_length();
            last.seal();
        }
        true
    }

    /// What a retention plan needs to know. Timestamps are looked up from the first segment on up to the
    /// first that stays by its age.
    pub(crate) async fn facts(
        &self,
        limits: RetentionLimits,
        now: Timestamp,
    ) -> Result<Vec<SegmentFacts>, Fault> {
        let segments = self.segments.borrow().clone();
        let mut facts = Vec::with_capacity(segments.len());
        let mut ages_matter = limits.age_ms.is_some();
        for segment in &segments {
            let mut max_timestamp = None;
            if ages_matter && segment.end().next_offset > self.log_start.get() {
                match segment.max_timestamp().await {
                    Ok(newest) => {
                        ages_matter = limits.is_expired(newest, now);
                        max_timestamp = Some(newest);
                    }
                    // Its age is not known: it stays, and what follows.
                    Err(fault) if fault.is_damage() => ages_matter = false,
                    Err(fault) => return Err(fault),
                }
            }
            let SegmentEnd { next_offset, position: Position(bytes), .. } = segment.end();
            facts.push(SegmentFacts { next_offset, bytes, max_timestamp });
        }
        Ok(facts)
    }

    /// Lets the log begin at `offset`, which must be durable by then: nothing before it is read any more.
    pub(crate) fn set_log_start(&self, offset: Offset) {
        assert!(self.log_start.get() <= offset && offset <= self.end(), "a log starts before its end");
        self.log_start.set(offset);
        self.home.epochs.raise_start(offset);
    }

    /// Takes out the first segment, if all of it lies before the log start and its base before
    /// `recovery_base`: the segment that the recovery point lies in is needed at the next start. Who reads it
    /// goes on; its files are removed with [`Segment::remove`].
    pub(crate) fn take_dropped(&self, recovery_base: Offset) -> Option<Rc<Segment<D>>> {
        let mut segments = self.segments.borrow_mut();
        let first = segments.first()?;
        let is_last = segments.len() == 1;
        let is_whole = first.end().next_offset <= self.log_start.get();
        let is_closed = !is_last || self.rolled.get();
        if !is_whole || !is_closed || first.base() >= recovery_base {
            return None;
        }
        let first = segments.remove(0);
        first.note_dropped();
        if is_last {
            self.rolled.set(false);
        }
        Some(first)
    }

    /// Where the first segment ends, if it and the one behind it lie before `recovery_base`:
    /// [`Log::take_dropped`] takes it out once the log starts there. Without a checkpoint, the next file is
    /// all that tells where the log starts, so it must be one that no recovery cuts.
    pub(crate) fn first_end(&self, recovery_base: Offset) -> Option<Offset> {
        let segments = self.segments.borrow();
        let [first, second, ..] = segments.as_slice() else { return None };
        (second.base() < recovery_base).then(|| first.end().next_offset)
    }

    /// Whether segments wait for [`Log::take_dropped`], or for [`Log::roll`] before.
    pub(crate) fn has_deleted_segment(&self) -> bool {
        self.segments.borrow().first().is_some_and(|first| first.end().next_offset <= self.log_start.get())
    }

    /// Removes the files of the first segment, durably, before the log starts behind it.
    pub(crate) async fn remove_first(&self) -> Result<(), Fault> {
        let first = self.segments.borrow()[0].clone();
        first.note_dropped();
        first.remove().await?;
        let fault = |error| crate::error::io_fault("sync", &*self.home.directory, Position::ZERO, error);
        self.home.disk.sync_dir(&self.home.directory).await.map_err(fault)
    }

    // ---- sync ---------------------------------------------------------------------------------------------

    /// Makes everything up to the end durable, with the directory entries that it needs, and says what that
    /// is.
    pub(crate) async fn sync(&self) -> Result<PartitionCheckpoint, Fault> {
        if let Some(fault) = &*self.unfinished.borrow() {
            return Err(fault.clone());
        }
        let checkpoint = self.checkpoint();
        self.save_aborted().await?;
        let dirty: Vec<_> =
            self.segments.borrow().iter().filter(|segment| segment.is_dirty()).cloned().collect();
        for segment in dirty {
            segment.sync().await?;
        }
        if self.is_directory_dirty() {
            self.sync_directory().await?;
        }
        Ok(checkpoint)
    }

    /// Whether the log up to its end, or that it ends there, is not known to be durable.
    pub(crate) fn is_dirty(&self) -> bool {
        self.is_directory_dirty() || self.segments.borrow().iter().any(|segment| segment.is_dirty())
    }

    fn is_directory_dirty(&self) -> bool {
        self.entries.is_dirty() || self.own_entry.is_dirty()
    }

    /// Makes the directory's entries durable, also those that a draft has made and nobody has noted yet, and
    /// its own in the one above.
    async fn sync_directory(&self) -> Result<(), Fault> {
        self.sync_entries(&self.home.directory, &self.entries).await?;
        if self.own_entry.is_dirty() {
            let parent = self.home.directory.parent().expect("a partition stands in the data directory");
            self.sync_entries(parent, &self.own_entry).await?;
        }
        Ok(())
    }

    async fn sync_entries(&self, directory: &Path, entries: &Entries) -> Result<(), Fault> {
        let covered = entries.made.get();
        let synced = self.home.disk.sync_dir(directory).await;
        synced.map_err(|error| crate::error::io_fault("sync", directory, Position::ZERO, error))?;
        entries.synced.set(entries.synced.get().max(covered));
        Ok(())
    }

    /// The log's end and producers, as they go into the shard's checkpoint once the end is durable.
    pub(crate) fn checkpoint(&self) -> PartitionCheckpoint {
        // Behind a closed segment the recovery point is the beginning of the next one, which need not be
        // there.
        let active = self.active().filter(|_| !self.rolled.get());
        let end = active.map(|segment| (segment.base(), segment.end()));
        PartitionCheckpoint {
            partition: self.partition,
            log_start: self.log_start.get(),
            segment_base: end.map_or(self.end(), |(base, _)| base),
            position: end.map_or(Position::ZERO, |(_, end)| end.position),
            next_offset: self.end(),
            max_timestamp: end.map_or(Timestamp::NONE, |(_, end)| end.max_timestamp),
            high_watermark: self.end(),
            truncations: self.truncations.get(),
            last_aborted: self.aborted.last_marker(),
            epochs: self.home.epochs.to_vec(),
            producers: self.producers.borrow().to_checkpoint(),
        }
    }

    /// Notes what the header of a batch tells that was found in the log; `marker` is what a control batch
    /// says.
    fn note(&self, header: &BatchHeader, marker: Option<EndMarker>) {
        if let Some(row) = self.note_known(header, marker) {
            self.aborted.note(row);
        }
    }

    /// The same where the row of a transaction that it aborts is known. Gives that row.
    fn note_known(&self, header: &BatchHeader, marker: Option<EndMarker>) -> Option<AbortedRow> {
        // One that goes back is damaged, and is told when it is read.
        if header.leader_epoch() >= self.home.epochs.last() {
            self.home.epochs.begin(header.leader_epoch(), header.base_offset());
        }
        self.producers.borrow_mut().note(header, marker)
    }

    // ---- leader epochs ------------------------------------------------------------------------------------

    /// The newest leader epoch.
    pub(crate) fn last_epoch(&self) -> LeaderEpoch {
        self.home.epochs.last()
    }

    /// A leader begins to append, whose epoch is at least the newest one.
    pub(crate) fn begin_epoch(&self, epoch: LeaderEpoch) {
        self.home.epochs.begin(epoch, self.end());
    }

    /// The leader epoch of the record with this offset; `None` where that is not known any more.
    pub(crate) fn epoch_at(&self, offset: Offset) -> Option<LeaderEpoch> {
        self.home.epochs.at(offset)
    }

    /// Where `epoch`, or the newest one before it, ends; `None` for one that is yet to come.
    pub(crate) fn end_of_epoch(&self, epoch: LeaderEpoch) -> Option<EpochEnd> {
        self.home.epochs.end_of(epoch, self.end())
    }

    // ---- producers ----------------------------------------------------------------------------------------

    /// What compaction has to leave of each producer.
    pub(crate) fn last_of_producers(&self) -> HashMap<ProducerId, LastOfProducer> {
        self.producers.borrow().last_of_each()
    }

    /// The idempotent producers that are remembered, by id.
    pub(crate) fn active_producers(&self) -> Vec<ActiveProducer> {
        self.producers.borrow().active()
    }

    /// Forgets producers that were silent for a day and have no open transaction.
    pub(crate) fn expire_producers(&self, now: Timestamp) {
        self.producers.borrow_mut().expire(now.minus(PRODUCER_EXPIRATION_MS));
    }

    // ---- transactions -------------------------------------------------------------------------------------

    /// Where the first open transaction begins, or the log in it.
    pub(crate) fn first_undecided(&self) -> Option<Offset> {
        let first = self.producers.borrow().first_open()?;
        Some(first.max(self.log_start.get()))
    }

    /// How many transactions are open, and the smallest timestamp with which one began.
    pub(crate) fn open_transactions(&self) -> (u64, Option<Timestamp>) {
        self.producers.borrow().open_transactions()
    }

    /// Whether a transaction of this producer is open.
    pub(crate) fn participation(&self, producer: Producer) -> Participation {
        self.producers.borrow().participation(producer)
    }

    /// Appends to the index files what lies before `checkpoint`. Losing it costs reading, never records.
    pub(crate) async fn persist_indexes(&self, checkpoint: &PartitionCheckpoint) -> std::io::Result<()> {
        // Segments are being replaced: what is left out now is written the next time.
        let Some(_writing) = self.index_files.try_lock() else { return Ok(()) };
        // A replacement has failed after its commit: the files are those of its segments, memory has the old
        // ones.
        if self.replacing.get() {
            return Ok(());
        }
        let segments: Vec<_> = self.segments.borrow().iter().rev().take(2).cloned().collect();
        for segment in segments {
            let upto = match segment.base().cmp(&checkpoint.segment_base) {
                Ordering::Less => segment.end().position,
                Ordering::Equal => checkpoint.position,
                // Batches that are not durable may be replaced by others: an index that knows them would
                // outlive them.
                Ordering::Greater => continue,
            };
            segment.persist_index(upto).await?;
        }
        Ok(())
    }

    /// The segments, each as far as `durable` says that it is on the medium.
    pub(crate) fn durable_segments(&self, durable: &PartitionCheckpoint) -> Vec<(Rc<Segment<D>>, Position)> {
        let segments = self.segments.borrow();
        let end_of = |segment: &Rc<Segment<D>>| match segment.base().cmp(&durable.segment_base) {
            Ordering::Less => segment.end().position,
            Ordering::Equal => durable.position,
            Ordering::Greater => Position::ZERO,
        };
        let durable = segments.iter().map(|segment| (segment.clone(), end_of(segment)));
        durable.filter(|(_, end)| *end > Position::ZERO).collect()
    }

    /// Whether the segment is still one of the log's.
    pub(crate) fn holds(&self, segment: &Rc<Segment<D>>) -> bool {
        self.segments.borrow().iter().any(|other| Rc::ptr_eq(other, segment))
    }

    /// The directory of the partition.
    pub(crate) fn directory(&self) -> &std::path::Path {
        &self.home.directory
    }

    // ---- read ---------------------------------------------------------------------------------------------

    /// Whole batches from the one that holds `offset` on: `bytes_max` at most, but the first one whatever its
    /// size when `first_whole`, and none that reaches behind `limit`, which is asked when it is needed.
    /// `None` when there is nothing at or behind `offset`. The caller has checked that the offset is in
    /// range. All of it is intact (D5): it ends before what is damaged, and damage at `offset` is the error.
    pub(crate) async fn read(
        &self,
        offset: Offset,
        bytes_max: u64,
        first_whole: bool,
        limit: impl Fn() -> Offset,
    ) -> Result<Option<Found<D::File>>, Fault> {
        let holding =
            self.segments.borrow().partition_point(|segment| segment.base() <= offset).saturating_sub(1);
        let mut next = self.segments.borrow().get(holding).cloned();
        while let Some(segment) = next {
            if let Some((position, first)) = segment.locate(offset).await? {
                let limit = limit();
                let stop = match limit < segment.end().next_offset {
                    true => segment.locate(limit).await?.map(|(stop, _)| stop),
                    // All of the segment may be read, as far as it goes now.
                    false => None,
                };
                let bytes_max = match stop {
                    Some(stop) if stop <= position => return Ok(None),
                    Some(stop) => bytes_max.min(stop - position),
                    None => bytes_max,
                };
                let extent = segment.extent(position, bytes_max, first_whole).await?;
                let intact = segment.verify(position, first, position + extent.length).await?;
                if intact.end == position
                    && let Some(damage) = intact.damage
                {
                    return Err(damage);
                }
                let file = segment.file().await?;
                let is_last = self.segments.borrow().last().is_some_and(|last| Rc::ptr_eq(last, &segment));
                let reaches_end = match stop {
                    Some(stop) => intact.end >= stop,
                    None => is_last && intact.end >= segment.end().position,
                };
                let is_clear = self.aborted.last_marker().is_none_or(|last| last < offset);
                let upto = match is_clear {
                    true => limit,
                    false => limit.min(segment.offset_behind(intact.end).await?),
                };
                let range = FileRange { file, position, length: intact.end - position };
                return Ok(Some(Found { range, reaches_end, upto }));
            }
            // Looked up again: segments may have been dropped meanwhile.
            next = self.segments.borrow().iter().find(|later| later.base() > segment.base()).cloned();
        }
        Ok(None)
    }

    /// The first record, in offset order, with a timestamp of at least `timestamp`.
    pub(crate) async fn offset_for_timestamp(
        &self,
        timestamp: Timestamp,
    ) -> Result<Option<OffsetAndTimestamp>, Fault> {
        let log_start = self.log_start.get();
        first_at_or_after(&self.segments_from(log_start), log_start, timestamp).await
    }

    /// The first record that has the largest timestamp of the log.
    pub(crate) async fn offset_of_max_timestamp(&self) -> Result<Option<OffsetAndTimestamp>, Fault> {
        let log_start = self.log_start.get();
        // The same segments are looked at twice: in those that compaction puts in their places, the record
        // may be gone.
        let segments = self.segments_from(log_start);
        let mut largest = Timestamp::NONE;
        for segment in &segments {
            let newest = match segment.base() >= log_start {
                true => segment.max_timestamp().await?,
                false => max_timestamp_from(segment, log_start).await?,
            };
            largest = largest.max(newest);
        }
        if largest == Timestamp::NONE {
            Ok(None)
        } else {
            first_at_or_after(&segments, log_start, largest).await
        }
    }

    /// The segments with records at or behind `offset`.
    fn segments_from(&self, offset: Offset) -> Vec<Rc<Segment<D>>> {
        let segments = self.segments.borrow();
        segments.iter().filter(|segment| segment.end().next_offset > offset).cloned().collect()
    }
}

/// The first record of these segments, at or behind `log_start`, with a timestamp of at least `timestamp`.
async fn first_at_or_after<D: Disk>(
    segments: &[Rc<Segment<D>>],
    log_start: Offset,
    timestamp: Timestamp,
) -> Result<Option<OffsetAndTimestamp>, Fault> {
    for segment in segments {
        if segment.max_timestamp().await? < timestamp {
            continue;
        }
        let Some(mut from) = segment.locate(log_start).await? else { continue };
        while let Some(position) = segment.first_at_or_after(from, timestamp).await? {
            let batch = segment.read_batch(position).await?;
            let passes =
                |record: OffsetAndTimestamp| record.timestamp >= timestamp && record.offset >= log_start;
            let found =
                first_record(&batch, passes).await.map_err(|error| segment.damage(position, error))?;
            if found.is_some() {
                return Ok(found);
            }
            let header = BatchHeader::peek(&batch).map_err(|error| segment.damage(position, error))?;
            from = (position + batch.len() as u64, header.next_offset());
        }
    }
    Ok(None)
}

/// The largest timestamp of the records at or behind `offset`, which lies in the segment.
async fn max_timestamp_from<D: Disk>(segment: &Rc<Segment<D>>, offset: Offset) -> Result<Timestamp, Fault> {
    let mut largest = Timestamp::NONE;
    let Some((start, _)) = segment.locate(offset).await? else { return Ok(largest) };
    let mut scan = HeaderScan::new(segment, start, segment.end().position);
    while let Some((position, header)) = scan.next().await? {
        if header.base_offset() >= offset {
            // A batch that compaction has emptied keeps the time of a record that is gone.
            if header.record_count() > 0 {
                largest = largest.max(header.max_timestamp());
            }
            continue;
        }
        let batch = segment.read_batch(position).await?;
        let passed = first_record(&batch, |record| {
            if record.offset >= offset {
                largest = largest.max(record.timestamp);
            }
            false
        });
        passed.await.map_err(|error| segment.damage(position, error))?;
    }
    Ok(largest)
}

/// The first record of a batch that passes. Gives way between two pieces of a batch that is compressed: it
/// may be large.
async fn first_record(
    batch: &Bytes,
    mut passes: impl FnMut(OffsetAndTimestamp) -> bool,
) -> Result<Option<OffsetAndTimestamp>, RecordsError> {
    let header = BatchHeader::peek(batch)?;
    let codec = header.codec()?;
    let packed = &batch[BATCH_HEADER_BYTES..];
    let mut found = None;
    let mut see = |record: Seen| {
        let offset = header.base_offset().plus(i64::from(record.offset_delta));
        let timestamp = match header.timestamp_type() {
            TimestampType::LogAppendTime => header.max_timestamp(),
            TimestampType::CreateTime => header.base_timestamp().with_delta(record.timestamp_delta),
        };
        let record = OffsetAndTimestamp { offset, timestamp, leader_epoch: Some(header.leader_epoch()) };
        if found.is_none() && passes(record) {
            found = Some(record);
        }
        Ok::<_, RecordError>(())
    };
    let mut walk = RecordWalk::new(header.record_count().max(0) as u32);
    let mut unpacker = Unpacker::default();
    unpacker.begin(codec, DECOMPRESSED_BYTES_MAX, PIECE_BYTES, Strictness::Read);
    let mut is_first = true;
    loop {
        match unpacker.next(packed) {
            Ok(Some(piece)) => walk.feed(piece, &mut see)?,
            Ok(None) => break,
            // Only a whole frame of linked blocks can be read, and an older version has taken such.
            Err(DecompressError::Invalid { codec: Codec::Lz4 }) if is_first => {
                let records = decompress(codec, packed, DECOMPRESSED_BYTES_MAX);
                let records = records?;
                walk.feed(&records, &mut see)?;
                break;
            }
            Err(error) => return Err(error.into()),
        }
        is_first = false;
        give_way().await;
    }
    walk.finish()?;
    Ok(found)
}

/// Lets the other tasks of this thread run once, whatever runs them.
async fn give_way() {
    let mut given = false;
    poll_fn(|context| {
        if std::mem::replace(&mut given, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
