//! What one turn of the shard wants to append to one partition.

use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;

use super::Log;
use super::producers::{DraftProducers, Producers};
use super::transactions::Origin;
use crate::config::TopicConfig;
use crate::error::{AppendError, Fault};
use crate::format::batch::{self, BatchHeader};
use crate::format::check::CheckedBatch;
use crate::format::index::IndexEntry;
use crate::format::marker::{EndMarker, Marker};
use crate::io::Disk;
use crate::log::producers::SequenceCheck;
use crate::segment::{Segment, SegmentEnd, WriteFailure, boundary};
use crate::types::{EpochStart, LeaderEpoch, Offset, Position, Timestamp};

/// Appended batches of one partition, between "given an offset" and "settled".
pub(crate) struct Draft<D: Disk> {
    /// The log end offset that the draft starts from.
    pub(super) start: Offset,
    pub(super) runs: Vec<Run<D>>,
    pub(super) producers: DraftProducers,
    /// The leader epochs that begin in it.
    pub(super) epochs: Vec<EpochStart>,
    last_epoch: Option<LeaderEpoch>,
    /// Where the next batch goes.
    segment: Rc<Segment<D>>,
    tail: SegmentEnd,
    last_indexed: Position,
    config: Arc<TopicConfig>,
    /// Names the partition, for the jitter of its segments.
    seed: u64,
    batches: Vec<Bytes>,
    bytes: u64,
    records: u64,
    has_markers: bool,
    /// Tells the log that there is a draft.
    _held: Rc<()>,
}

/// Consecutive batches for one segment.
pub(super) struct Run<D: Disk> {
    pub(super) segment: Rc<Segment<D>>,
    pub(super) end: SegmentEnd,
    pub(super) boundaries: Vec<IndexEntry>,
    position: Position,
    batches: Vec<Bytes>,
}

/// Where a batch has gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// It was appended at this offset.
    Appended(Offset),
    /// It was there before, at this offset and with this timestamp (facts of Kafka: the first answer is given
    /// again).
    Duplicate(Offset, Timestamp),
}

impl<D: Disk> Draft<D> {
    pub(super) fn new(
        active: Rc<Segment<D>>,
        last_epoch: Option<LeaderEpoch>,
        config: Arc<TopicConfig>,
        seed: u64,
        held: Rc<()>,
    ) -> Draft<D> {
        let tail = active.end();
        Draft {
            start: tail.next_offset,
            runs: Vec::new(),
            producers: DraftProducers::default(),
            epochs: Vec::new(),
            last_epoch,
            last_indexed: active.last_indexed(),
            segment: active,
            tail,
            config,
            seed,
            batches: Vec::new(),
            bytes: 0,
            records: 0,
            has_markers: false,
            _held: held,
        }
    }

    /// Gives a batch its offset and the epoch of the leader, unless its producer's sequence or transaction
    /// says that it must not be appended (again).
    pub(crate) fn push(
        &mut self,
        log: &Log<D>,
        epoch: LeaderEpoch,
        mut batch: CheckedBatch,
        origin: Origin,
    ) -> Result<Place, AppendError> {
        let settled = log.producers.borrow();
        match self.producers.check(&settled, batch.header(), origin)? {
            SequenceCheck::Duplicate { base_offset, timestamp } => {
                Ok(Place::Duplicate(base_offset, timestamp))
            }
            SequenceCheck::New => {
                let offset = self.tail.next_offset;
                batch.stamp(offset, epoch);
                self.place(log, &settled, batch.into_bytes_mut().freeze());
                Ok(Place::Appended(offset))
            }
        }
    }

    /// Appends the marker that ends a transaction, and gives its offset, unless a newer instance of the
    /// producer, or a newer coordinator, has written already. Where nothing is open, that does no harm.
    pub(crate) fn end_transaction(
        &mut self,
        log: &Log<D>,
        epoch: LeaderEpoch,
        marker: &Marker,
        now: Timestamp,
    ) -> Result<Offset, AppendError> {
        let settled = log.producers.borrow();
        self.producers.check_marker(&settled, marker)?;
        let offset = self.tail.next_offset;
        let mut batch = marker.build(now);
        batch::stamp(&mut batch, offset, epoch);
        self.place(log, &settled, batch.freeze());
        Ok(offset)
    }

    /// Places a batch that carries its offset and its epoch already, as recovery does with what the journal
    /// holds.
    ///
    /// # Panics
    /// When its base offset is not the next one, or its epoch is older than the one before.
    pub(crate) fn push_stamped(&mut self, log: &Log<D>, batch: Bytes) {
        self.place(log, &log.producers.borrow(), batch);
    }

    fn place(&mut self, log: &Log<D>, settled: &Producers, batch: Bytes) {
        let header = *BatchHeader::peek(&batch).expect("a checked batch has a header");
        assert_eq!(header.base_offset(), self.tail.next_offset, "offsets follow each other");
        let epoch = header.leader_epoch();
        assert!(self.last_epoch <= Some(epoch), "{epoch:?} comes behind {:?}", self.last_epoch);
        if self.last_epoch != Some(epoch) {
            self.epochs.push(EpochStart { epoch, start: header.base_offset() });
            self.last_epoch = Some(epoch);
        }
        if self.must_roll(&header) {
            self.segment.fix_length();
            self.segment = log.new_segment(self.tail.next_offset);
            self.tail = self.segment.end();
            self.last_indexed = Position::ZERO;
        }
        let position = self.tail.position;
        let starts_run = self.runs.last().is_none_or(|run| !Rc::ptr_eq(&run.segment, &self.segment));
        if starts_run {
            self.runs.push(Run {
                segment: self.segment.clone(),
                end: self.tail,
                boundaries: Vec::new(),
                position,
                batches: Vec::new(),
            });
        }
        let run = self.runs.last_mut().expect("pushed above");
        // A segment that was closed has an entry at its end, and a truncation may have opened it again.
        let since_indexed = position - self.last_indexed;
        if since_indexed > 0 && since_indexed >= self.config.index_interval_bytes {
            run.boundaries.push(boundary(
                self.segment.base(),
                header.base_offset(),
                position,
                self.tail.max_timestamp,
            ));
            self.last_indexed = position;
        }
        self.tail = SegmentEnd {
            position: position + batch.len() as u64,
            next_offset: header.next_offset(),
            first_timestamp: self.tail.first_timestamp.or(Some(header.max_timestamp())),
            max_timestamp: self.tail.max_timestamp.max(header.max_timestamp()),
        };
        run.end = self.tail;
        run.batches.push(batch.clone());
        let marker = if header.is_control() { EndMarker::read(&batch) } else { None };
        self.has_markers |= header.is_control();
        self.producers.note(settled, &header, marker);
        self.bytes += batch.len() as u64;
        self.records += u64::from(header.record_count().max(0) as u32);
        self.batches.push(batch);
    }

    /// Kafka's rules: by size, by the span of the records' timestamps, and where a 32-bit relative offset
    /// ends.
    fn must_roll(&self, header: &BatchHeader) -> bool {
        if self.tail.position == Position::ZERO {
            return false;
        }
        let full = self.tail.position.0 + header.total_bytes() as u64 > self.config.segment_bytes;
        let old = self
            .tail
            .first_timestamp
            .is_some_and(|first| header.max_timestamp().since(first) > self.roll_ms());
        let far = header.last_offset().get() - self.segment.base().get() > i64::from(i32::MAX);
        full || old || far
    }

    fn roll_ms(&self) -> i64 {
        let jitter = self.config.roll_jitter_ms(self.seed ^ self.segment.base().get() as u64);
        (self.config.roll_ms() - jitter).max(0)
    }

    /// Writes the batches behind the ends of their segments.
    pub(crate) async fn write(&mut self, log: &Log<D>) -> Result<(), WriteFailure> {
        if self.runs.is_empty() {
            return Ok(());
        }
        log.ensure_directory()
            .await
            .map_err(|error| WriteFailure::of("create", &*log.home.directory, Position::ZERO, error))?;
        for run in &mut self.runs {
            run.segment.write(run.position, std::mem::take(&mut run.batches)).await?;
        }
        Ok(())
    }

    /// Makes what was written durable without the journal: the segments of this draft, those before them that
    /// still wait for their sync (a later segment that survives alone would be cut at recovery), and the
    /// directory entries.
    pub(crate) async fn sync(&self, log: &Log<D>) -> Result<(), Fault> {
        let segments: Vec<_> = {
            let own =
                |segment: &Rc<Segment<D>>| self.runs.iter().any(|run| Rc::ptr_eq(&run.segment, segment));
            let there = log.segments.borrow();
            there.iter().filter(|segment| segment.is_dirty() && !own(segment)).cloned().collect()
        };
        for segment in segments {
            segment.sync().await?;
        }
        for run in &self.runs {
            run.segment.sync_written(run.end.position).await?;
        }
        let makes_segment =
            self.runs.iter().any(|run| !log.active().is_some_and(|active| Rc::ptr_eq(&active, &run.segment)));
        if makes_segment || log.is_directory_dirty() {
            log.sync_directory().await?;
        }
        Ok(())
    }

    /// The batches with their offsets, in order.
    pub(crate) fn batches(&self) -> &[Bytes] {
        &self.batches
    }

    /// Whether nothing is to be written: all batches were duplicates.
    pub(crate) fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    /// Whether it ends transactions.
    pub(crate) fn has_markers(&self) -> bool {
        self.has_markers
    }

    /// Bytes of all batches.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Records of all batches.
    pub(crate) fn records(&self) -> u64 {
        self.records
    }
}
