//! Walking a partition as a start would leave it: its segments, with the journals' batches laid over them,
//! from the log start on, but over damage and not up to it.
//!
//! | at an offset stand | comes out |
//! |---|---|
//! | a batch in a segment, and the same, or none, in a journal | that one |
//! | a batch in a journal only | that one |
//! | different ones, behind the recovery point | the journal's; the segments count no further, as in recovery |
//! | different ones, before it | the segment's: the journal is older |
//! | nothing | [`Item::Missing`], unless compaction explains it |
//!
//! Where the journals have a truncation that the checkpoint does not know, the segments end there; what they
//! have from before it does not count.

use std::collections::{BTreeMap, VecDeque};
use std::iter::Peekable;
use std::ops::Range;
use std::{slice, vec};

use bytes::Bytes;

use super::directory::{DataDir, PartitionDir, SegmentFile};
use super::finding::{Finding, Severity, What};
use super::journal::{JournalItem, JournalWalk};
use super::segment::{Damage, FoundBatch, SegmentItem, SegmentWalk};
use super::source::Source;
use crate::format::batch::BatchHeader;
use crate::format::checkpoint::PartitionCheckpoint;
use crate::format::journal::{End, Truncation};
use crate::types::{EpochStart, LeaderEpoch, Offset, PartitionId, Position, ProducerId};

/// A batch that a journal holds.
#[derive(Clone, Debug)]
pub struct Journaled {
    /// Which of [`DataDir::journals`] holds it.
    pub journal: usize,
    /// Where in it.
    pub position: Position,
    /// The batch.
    pub bytes: Bytes,
    header: BatchHeader,
    /// How often the log was truncated before.
    truncations: u32,
}

impl Journaled {
    /// Who has written it; negative for nobody.
    pub(super) fn producer_id(&self) -> ProducerId {
        self.header.producer_id()
    }
}

/// What the journals have of one partition.
#[derive(Clone, Debug, Default)]
pub struct PartitionJournal {
    /// The batches that count, by offset.
    pub batches: Vec<Journaled>,
    /// A truncation that was not finished.
    pub truncation: Option<Truncation>,
}

/// What all journals have, by partition.
pub type Journals = BTreeMap<PartitionId, PartitionJournal>;

/// Reads all journals of a directory, and says what is wrong with them.
pub fn read_journals(dir: &DataDir) -> (Journals, Vec<Finding>) {
    let mut journals = Journals::new();
    let mut findings = Vec::new();
    for (number, path) in dir.journals.iter().enumerate() {
        let mut report = |severity, position, what| {
            findings.push(Finding { severity, path: path.clone(), position, offsets: None, what });
        };
        let bytes: Bytes = match std::fs::read(path) {
            Ok(bytes) => bytes.into(),
            Err(error) => {
                report(Severity::Damage, None, error.into());
                continue;
            }
        };
        for item in JournalWalk::new(&bytes) {
            match item {
                JournalItem::Commit { position, commit } => {
                    for batch in commit.batches() {
                        let place = position.0 as usize;
                        let whole = bytes.slice(place + batch.range.start..place + batch.range.end);
                        let header = *batch.header();
                        let (journal, position, truncations) =
                            (number, Position(place as u64), batch.truncations);
                        let found = Journaled { journal, position, bytes: whole, header, truncations };
                        journals.entry(batch.partition).or_default().batches.push(found);
                    }
                    for truncation in commit.truncations() {
                        let known = &mut journals.entry(truncation.partition).or_default().truncation;
                        if known.is_none_or(|known| known.truncations < truncation.truncations) {
                            *known = Some(truncation);
                        }
                    }
                }
                JournalItem::Damage { position, bytes, end } => {
                    report(Severity::Damage, Some(position), What::Journal { bytes, end });
                }
                JournalItem::LostStart { end, .. } => {
                    report(Severity::Note, Some(Position::ZERO), What::JournalStart { end });
                }
                JournalItem::End { position, end: end @ End::Version { .. } } => {
                    report(Severity::Damage, Some(position), What::JournalVersion { end });
                }
                JournalItem::End { position, end } if !end.is_clean() => {
                    report(Severity::Note, Some(position), What::JournalTail { end });
                }
                JournalItem::End { .. } => {}
            }
        }
    }
    for (id, journal) in &mut journals {
        let point = dir.points.get(id);
        let known = point.map_or(0, |point| point.truncations);
        let of_batches = journal.batches.iter().map(|batch| batch.truncations);
        let of_truncation = journal.truncation.map(|truncation| truncation.truncations);
        let number = of_batches.chain(of_truncation).fold(known, u32::max);
        journal.batches.retain(|batch| batch.truncations == number);
        journal.batches.sort_by_key(|batch| batch.header.base_offset());
        let is_pending = |truncation: &Truncation| truncation.truncations == number && number > known;
        journal.truncation = journal.truncation.filter(is_pending).filter(|_| point.is_some());
    }
    (journals, findings)
}

/// The next thing in a partition.
#[derive(Debug)]
pub enum Item<'a> {
    /// A segment begins. Batches and damage of it follow, and batches of journals between them.
    Segment(&'a SegmentFile),
    /// A whole batch that is part of the log; offsets grow.
    Batch {
        /// The batch. Its position is that in its segment, if it stands in one.
        batch: FoundBatch,
        /// Whether it stands in the segment.
        in_segment: bool,
        /// Whether a start takes it as it is: it lies before the recovery point, or a journal has it.
        is_safe: bool,
    },
    /// A whole batch wholly before the log start: it is still there, and nobody reads it.
    Deleted(FoundBatch),
    /// Something in the segment that is no whole batch.
    Damage {
        /// What it is.
        damage: Damage,
        /// Whether it lies before the recovery point, where it is never cut.
        is_synced: bool,
    },
    /// A segment that can not be read.
    Unreadable(&'a SegmentFile, std::io::Error),
    /// No batch has these offsets, and something should.
    Missing(Range<Offset>),
}

/// The log of one partition.
pub struct PartitionWalk<'a> {
    segments: vec::IntoIter<&'a SegmentFile>,
    walk: Option<(&'a SegmentFile, SegmentWalk)>,
    /// The base offset of the segment behind the one that is walked.
    behind: Option<Offset>,
    journaled: Peekable<slice::Iter<'a, Journaled>>,
    held: Option<FoundBatch>,
    ready: VecDeque<Item<'a>>,
    point: Point,
    /// Where the leader epochs before the recovery point begin.
    epochs: Vec<EpochStart>,
    /// The leader epoch of the last batch of the segments.
    epoch: Option<LeaderEpoch>,
    /// From here on no offset is missing between two batches.
    gaps_end: Offset,
    /// Where a truncation that was not finished ends the segments.
    cut: Option<Offset>,
    /// Before it compaction may have removed what a journal still has, and all was durable once.
    compacted_end: Offset,
    /// The offset that the next batch has, if none is missing.
    next: Offset,
    /// Damage has come since the last batch: what is missing is its doing.
    broken: bool,
    is_kafka: bool,
    start: Offset,
    done: bool,
}

/// What is known to be durable.
#[derive(Clone, Copy)]
struct Point {
    segment_base: Offset,
    position: Position,
    next_offset: Offset,
    /// Whether a checkpoint says so.
    known: bool,
}

impl<'a> PartitionWalk<'a> {
    /// The log in a partition's directory. `point` is its farthest recovery point, `journal` what the
    /// journals have of it.
    pub fn new(
        dir: &'a PartitionDir,
        point: Option<&PartitionCheckpoint>,
        journal: Option<&'a PartitionJournal>,
    ) -> PartitionWalk<'a> {
        let journaled = journal.map_or(&[][..], |journal| &journal.batches);
        let truncation = journal.and_then(|journal| journal.truncation);
        let first = dir.segments.first().map(|segment| segment.base);
        let gaps_end = if dir.is_kafka { Offset::new(i64::MAX) } else { dir.compacted.gaps_end };
        let (known, log_start) = match point {
            Some(point) => {
                let (segment_base, position, next_offset) = match truncation {
                    Some(cut) => (cut.segment_base, cut.position, cut.end),
                    None => (point.segment_base, point.position, point.next_offset),
                };
                let known = Point { segment_base, position, next_offset, known: true };
                let synced = first.filter(|base| *base <= point.segment_base);
                (known, point.log_start.max(synced.unwrap_or(Offset::ZERO)))
            }
            None => {
                let first = first.unwrap_or(dir.compacted.compacted_end);
                let durable = first.max(dir.compacted.compacted_end);
                let known = Point {
                    segment_base: durable,
                    position: Position::ZERO,
                    next_offset: durable,
                    known: false,
                };
                (known, dir.kafka_log_start.unwrap_or(first).max(first))
            }
        };
        // Segments wholly before the log start were deleted.
        let end_of = |at: usize| {
            let next = dir.segments.get(at + 1).map_or(known.segment_base, |next| next.base);
            next.min(known.segment_base)
        };
        let deleted = (0..dir.segments.len())
            .take_while(|at| dir.segments[*at].base < known.segment_base && end_of(*at) <= log_start)
            .count();
        let segments: Vec<&SegmentFile> = dir.segments[deleted..].iter().collect();
        let next = segments.first().map_or(log_start, |segment| segment.base.min(log_start));
        PartitionWalk {
            behind: None,
            segments: segments.into_iter(),
            walk: None,
            journaled: journaled.iter().peekable(),
            held: None,
            ready: VecDeque::new(),
            point: known,
            epochs: point.map_or(Vec::new(), |point| point.epochs.clone()),
            epoch: None,
            gaps_end,
            cut: truncation.map(|cut| cut.end),
            compacted_end: truncation
                .map_or(dir.compacted.compacted_end, |cut| dir.compacted.compacted_end.min(cut.end)),
            next,
            broken: false,
            is_kafka: dir.is_kafka,
            start: log_start,
            done: false,
        }
    }

    /// The first offset that may be read.
    pub fn log_start(&self) -> Offset {
        self.start
    }

    /// The offset behind the last batch that has come; at the end, where the next record goes.
    pub fn next_offset(&self) -> Offset {
        self.next.max(self.start)
    }

    fn is_synced(&self, segment: Offset, end: Position) -> bool {
        segment < self.point.segment_base
            || (segment == self.point.segment_base && end <= self.point.position)
    }

    /// Brings the next batch of the segments into `held`, and what stands before it into `ready`.
    fn hold(&mut self) {
        while self.held.is_none() {
            let Some((segment, walk)) = &mut self.walk else {
                let Some(segment) = self.segments.next() else { return };
                self.behind = self.segments.as_slice().first().map(|next| next.base);
                // Whatever compaction does, a segment ends where the next one begins.
                self.broken |= !self.is_kafka && segment.base > self.next;
                match Source::open(&segment.path) {
                    Ok(source) => {
                        self.ready.push_back(Item::Segment(segment));
                        let walk = SegmentWalk::new(source, segment.base, self.behind)
                            .with_gaps_before(self.gaps_end)
                            .with_epochs(&self.epochs, self.point.next_offset, self.epoch);
                        self.walk = Some((segment, walk));
                    }
                    Err(error) => {
                        self.broken = true;
                        self.ready.push_back(Item::Unreadable(segment, error));
                    }
                }
                continue;
            };
            let base = segment.base;
            match walk.next() {
                None => {
                    self.epoch = walk.leader_epoch();
                    self.walk = None;
                }
                Some(SegmentItem::Batch(batch)) => self.held = Some(batch),
                Some(SegmentItem::Damage(damage)) => {
                    self.broken |= damage.restored.is_none();
                    self.held = damage.restored.clone();
                    let is_synced = self.is_synced(base, damage.position + 1);
                    self.ready.push_back(Item::Damage { damage, is_synced });
                }
            }
        }
    }

    /// Gives out a batch, and what is missing before it.
    fn take(&mut self, batch: FoundBatch, in_segment: bool, is_safe: bool) {
        let base = batch.header.base_offset();
        self.miss(base, self.broken || base > self.gaps_end);
        self.broken = false;
        self.next = batch.header.next_offset();
        self.ready.push_back(match self.next > self.start {
            true => Item::Batch { batch, in_segment, is_safe },
            false => Item::Deleted(batch),
        });
    }

    fn miss(&mut self, upto: Offset, counts: bool) {
        let from = self.next.max(self.start);
        if counts && from < upto {
            self.ready.push_back(Item::Missing(from..upto));
        }
        self.next = self.next.max(upto);
    }

    fn take_journaled(&mut self) {
        let found = self.journaled.next().expect("it was looked at");
        let batch = FoundBatch { position: found.position, header: found.header, bytes: found.bytes.clone() };
        self.take(batch, false, true);
    }

    /// Decides between the next batch of the segments and the next one of the journals.
    fn step(&mut self) {
        self.hold();
        let is_cut = |held: &FoundBatch| self.cut.is_some_and(|cut| held.header.base_offset() >= cut);
        if self.held.as_ref().is_some_and(is_cut) {
            self.held = None;
            self.walk = None;
            self.segments = Vec::new().into_iter();
        }
        let (next, start, point, compacted_end) = (self.next, self.start, self.point, self.compacted_end);
        // Before the recovery point a journal only fills what is missing, and nothing that compaction has
        // removed.
        let stale = |found: &&Journaled| {
            let header = &found.header;
            header.base_offset() < next
                || header.next_offset() <= start
                || (header.base_offset() < point.next_offset && header.base_offset() < compacted_end)
        };
        while self.journaled.peek().is_some_and(stale) {
            self.journaled.next();
        }
        let journaled = self.journaled.peek().map(|found| found.header);
        let Some(held) = &self.held else {
            match journaled {
                Some(_) => self.take_journaled(),
                None => self.finish(),
            }
            return;
        };
        let Some(journaled) = journaled else {
            let held = self.held.take().expect("it was looked at");
            let is_safe = held.header.base_offset() < point.next_offset;
            return self.take(held, true, is_safe);
        };
        let same = held.header.base_offset() == journaled.base_offset()
            && held.header.crc() == journaled.crc()
            && held.header.leader_epoch() == journaled.leader_epoch()
            && held.bytes.len() == journaled.total_bytes();
        if same || held.header.next_offset() <= journaled.base_offset() {
            if same {
                self.journaled.next();
            }
            let held = self.held.take().expect("it was looked at");
            let is_safe = same || held.header.base_offset() < point.next_offset;
            self.take(held, true, is_safe);
        } else if journaled.next_offset() <= held.header.base_offset() {
            self.take_journaled();
        } else if journaled.base_offset() < point.next_offset {
            self.journaled.next();
        } else {
            // The log is cut where an acknowledged batch differs from it.
            self.held = None;
            self.walk = None;
            self.segments = Vec::new().into_iter();
            self.take_journaled();
        }
    }

    fn finish(&mut self) {
        self.done = true;
        let end = if self.point.known { self.point.next_offset } else { self.next };
        let end = if self.is_kafka { end } else { end.max(self.compacted_end) };
        self.miss(end, true);
    }
}

impl<'a> Iterator for PartitionWalk<'a> {
    type Item = Item<'a>;

    fn next(&mut self) -> Option<Item<'a>> {
        loop {
            if let Some(item) = self.ready.pop_front() {
                return Some(item);
            }
            if self.done {
                return None;
            }
            self.step();
        }
    }
}
