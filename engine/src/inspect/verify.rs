//! Everything in a data directory held against everything else.
//!
//! * every batch's checksum, and that its records can be read;
//! * of each batch what its checksum does not cover: length, version, and the leader epoch by the checkpoint;
//! * that offsets grow, and that none is missing but where Kafka or an older release has compacted, or a
//!   journal has the batch;
//! * every entry of every index against the batches;
//! * every row of aborted transactions against markers and records;
//! * journals, checkpoints, the topic table and the other small files by their sums, and against each other;
//! * what is left over, which is no damage.

use std::collections::VecDeque;
use std::path::Path;

use super::aborted::{Told, Wrong, held_against};
use super::directory::{DataDir, Owner, PartitionDir, SegmentFile};
use super::finding::{Finding, Severity, What};
use super::partition::{Item, Journaled, Journals, PartitionJournal, PartitionWalk, read_journals};
use super::segment::FoundBatch;
use crate::compaction::Unpacked;
use crate::format::index::{IndexEntry, decode_index};
use crate::format::names::{self, Beside, DataFile, Missing};
use crate::types::{Offset, Position, ProducerId, Timestamp};

/// What was gone through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// Partitions.
    pub partitions: u64,
    /// Segments.
    pub segments: u64,
    /// Whole batches that are part of a log.
    pub batches: u64,
    /// Records in them.
    pub records: u64,
    /// Findings that are damage.
    pub damage: u64,
    /// Other findings.
    pub notes: u64,
}

/// Verifies a whole directory. `report` is given each finding as it is made, `progress` the bytes that were
/// gone through since its last call.
pub fn verify(dir: &DataDir, report: &mut dyn FnMut(&Finding), progress: &mut dyn FnMut(u64)) -> Verified {
    let mut verified = Verified::default();
    let mut report = |finding: &Finding| {
        match finding.severity {
            Severity::Damage => verified.damage += 1,
            Severity::Note => verified.notes += 1,
        }
        report(finding);
    };
    dir.findings.iter().for_each(&mut report);
    let (journals, findings) = read_journals(dir);
    findings.iter().for_each(&mut report);
    if let Some(severity) = lost_producer_ids(dir, &journals) {
        let path = dir.path.join(names::PRODUCER_IDS_FILE);
        report(&Finding { severity, path, position: None, offsets: None, what: What::NoFile });
    }
    let mut counts = Verified::default();
    for partition in &dir.partitions {
        partition.findings.iter().for_each(&mut report);
        let journal = partition.id.and_then(|id| journals.get(&id));
        let mut check = Check {
            report: &mut report,
            counts: &mut counts,
            dir,
            partition,
            segment: None,
            torn: Vec::new(),
            told: Told::default(),
        };
        check.run(journal, progress);
    }
    // Of a partition without a directory, something may be known all the same.
    for (id, point) in &dir.points {
        let has_directory = dir.partitions.iter().any(|partition| partition.id == Some(*id));
        let topic = dir.topics.iter().flatten().find(|topic| topic.id == id.topic);
        if let (false, Some(topic)) = (has_directory, topic)
            && point.log_start < point.next_offset
        {
            let path = dir.path.join(names::partition_dir(&topic.name, id.index));
            let (severity, offsets) = (Severity::Damage, Some(point.log_start..point.next_offset));
            report(&Finding { severity, path, position: None, offsets, what: What::Gone });
        }
    }
    Verified { damage: verified.damage, notes: verified.notes, ..counts }
}

/// How bad it is that there is no file of producer ids, if there should be one.
fn lost_producer_ids(dir: &DataDir, journals: &Journals) -> Option<Severity> {
    if dir.owner != Owner::Strandline || dir.path.join(names::PRODUCER_IDS_FILE).exists() {
        return None;
    }
    let of_points = dir.points.values().flat_map(|point| &point.producers).map(|producer| producer.id);
    let of_journals = journals.values().flat_map(|journal| &journal.batches).map(Journaled::producer_id);
    let producers = of_points.chain(of_journals).any(ProducerId::may_be_given);
    match DataFile::ProducerIds.missing(Beside { producers, ..Beside::default() }) {
        Missing::Nothing => None,
        Missing::Noted => Some(Severity::Note),
        Missing::Refused => Some(Severity::Damage),
    }
}

/// The check of one partition.
struct Check<'a> {
    report: &'a mut dyn FnMut(&Finding),
    counts: &'a mut Verified,
    dir: &'a DataDir,
    partition: &'a PartitionDir,
    segment: Option<(&'a SegmentFile, IndexCheck)>,
    /// Damage behind the recovery point, until it is known whether something whole follows.
    torn: Vec<(Position, Offset, Finding)>,
    /// What the log tells of aborted transactions.
    told: Told,
}

impl<'a> Check<'a> {
    fn run(&mut self, journal: Option<&'a PartitionJournal>, progress: &mut dyn FnMut(u64)) {
        self.counts.partitions += 1;
        let point = self.partition.id.and_then(|id| self.dir.points.get(&id));
        let mut walk = PartitionWalk::new(self.partition, point, journal);
        let mut told = Position::ZERO;
        while let Some(item) = walk.next() {
            match item {
                Item::Segment(segment) => {
                    self.end_segment();
                    told = Position::ZERO;
                    self.counts.segments += 1;
                    self.begin_segment(segment);
                }
                Item::Unreadable(segment, error) => {
                    self.tell(Severity::Damage, &segment.path, None, None, error.into());
                }
                Item::Batch { batch, in_segment, is_safe } => {
                    if in_segment {
                        let end = batch.position + batch.bytes.len() as u64;
                        progress(end - told);
                        told = end;
                        if !is_safe {
                            self.settle_torn(Severity::Damage);
                        }
                    }
                    self.batch(&batch, in_segment);
                }
                Item::Deleted(batch) => {
                    if let Some((_, index)) = &mut self.segment {
                        index.pass(&batch);
                    }
                }
                Item::Damage { damage, is_synced } => {
                    if let Some((_, index)) = &mut self.segment {
                        index.skip(damage.position + damage.bytes);
                    }
                    let (bytes, problem) = (damage.bytes, damage.problem);
                    let offsets = damage.claims.and_then(|(first, last)| Some(first..last.checked_add(1)?));
                    let path = self.segment.as_ref().expect("it stands in a segment").0.path.clone();
                    let what = What::Segment { bytes, problem, prefix: damage.prefix() };
                    let finding = Finding {
                        severity: Severity::Damage,
                        path,
                        position: Some(damage.position),
                        offsets,
                        what,
                    };
                    if is_synced || self.partition.is_kafka {
                        (self.report)(&finding);
                    } else {
                        self.torn.push((damage.position, walk.next_offset(), finding));
                    }
                }
                Item::Missing(offsets) => {
                    self.settle_torn(Severity::Damage);
                    let path =
                        self.segment.as_ref().map_or(&self.partition.path, |(file, _)| &file.path).clone();
                    self.tell(Severity::Damage, &path, None, Some(offsets), What::Missing);
                }
            }
        }
        self.settle_torn(Severity::Note);
        self.end_segment();
        if !self.partition.is_kafka {
            let end = point.map_or(self.partition.compacted.compacted_end, |point| point.next_offset);
            self.aborted(walk.log_start(), end);
        }
    }

    /// Holds the file of aborted transactions against what has passed.
    fn aborted(&mut self, log_start: Offset, end: Offset) {
        let path = self.partition.aborted.as_deref();
        let named = path.unwrap_or(&self.partition.path).to_owned();
        match held_against(path, &self.told, log_start, end) {
            Err(error) => self.tell(Severity::Damage, &named, None, None, error.into()),
            Ok(wrong) => {
                for Wrong { severity, position, what } in wrong {
                    let position = position.map(|position| Position(position as u64));
                    self.tell(severity, &named, position, None, what);
                }
            }
        }
    }

    fn tell(
        &mut self,
        severity: Severity,
        path: &Path,
        position: Option<Position>,
        offsets: Option<std::ops::Range<Offset>>,
        what: What,
    ) {
        (self.report)(&Finding { severity, path: path.to_owned(), position, offsets, what });
    }

    fn batch(&mut self, batch: &FoundBatch, in_segment: bool) {
        self.counts.batches += 1;
        self.told.pass(&batch.header, &batch.bytes);
        if in_segment && let Some((_, index)) = &mut self.segment {
            index.pass(batch);
        }
        let records = Unpacked::new(&batch.header, &batch.bytes).and_then(|unpacked| {
            let mut count = 0;
            for record in unpacked.records() {
                record?;
                count += 1;
            }
            Ok(count)
        });
        match records {
            Ok(count) => self.counts.records += count,
            Err(error) => {
                let path = self.segment.as_ref().map_or(&self.partition.path, |(file, _)| &file.path).clone();
                let offsets = batch.header.base_offset()..batch.header.next_offset();
                self.tell(Severity::Damage, &path, Some(batch.position), Some(offsets), error.into());
            }
        }
    }

    /// Says what damage behind the recovery point is, now that it is known what follows it.
    fn settle_torn(&mut self, severity: Severity) {
        for (_, _, mut finding) in std::mem::take(&mut self.torn) {
            // One whose first bytes are known is put right, and not cut off.
            if let (Severity::Note, What::Segment { bytes, problem, prefix: None }) =
                (severity, &finding.what)
            {
                finding.what = What::TornTail { bytes: *bytes, problem: *problem };
            }
            finding.severity = severity;
            (self.report)(&finding);
        }
    }

    fn begin_segment(&mut self, segment: &'a SegmentFile) {
        let mut check = IndexCheck {
            base: segment.base,
            entries: VecDeque::new(),
            max: Timestamp::NONE,
            wrong: Vec::new(),
        };
        if let Some(path) = &segment.index {
            match std::fs::read(path) {
                Err(error) => self.tell(Severity::Damage, path, None, None, error.into()),
                Ok(bytes) => match decode_index(&bytes) {
                    // An index is made by appending: a crash may leave it empty.
                    Err(error) => {
                        let severity = if bytes.is_empty() { Severity::Note } else { Severity::Damage };
                        self.tell(severity, path, Some(Position::ZERO), None, error.into());
                    }
                    Ok(index) if index.base != segment.base => {
                        let what = What::IndexBase { found: index.base };
                        self.tell(Severity::Damage, path, Some(Position(16)), None, what);
                    }
                    Ok(index) => {
                        if index.valid_bytes < bytes.len() {
                            let tail = (bytes.len() - index.valid_bytes) as u64;
                            let place = Some(Position(index.valid_bytes as u64));
                            self.tell(Severity::Damage, path, place, None, What::IndexTail { bytes: tail });
                        }
                        check.entries = index.entries.into();
                    }
                },
            }
        }
        self.segment = Some((segment, check));
    }

    fn end_segment(&mut self) {
        let Some((segment, mut index)) = self.segment.take() else { return };
        index.end(segment.length);
        let path = segment.index.as_ref().unwrap_or(&segment.path);
        for what in index.wrong {
            self.tell(Severity::Damage, path, None, None, what);
        }
    }
}

/// The entries of an index, held against the batches as they pass.
struct IndexCheck {
    base: Offset,
    entries: VecDeque<IndexEntry>,
    /// The largest timestamp so far.
    max: Timestamp,
    wrong: Vec<What>,
}

impl IndexCheck {
    fn pass(&mut self, batch: &FoundBatch) {
        while let Some(entry) = self.entries.front().copied()
            && entry.start() <= batch.position
        {
            self.entries.pop_front();
            let offset = self.offset(&entry);
            let here = batch.header.base_offset();
            if entry.start() < batch.position || offset != here {
                self.wrong.push(What::IndexEntry { offset, position: entry.start() });
            } else if entry.max_timestamp != self.max {
                let position = entry.start();
                self.wrong.push(What::IndexTime { position, expected: self.max, found: entry.max_timestamp });
            }
        }
        if batch.header.record_count() > 0 {
            self.max = self.max.max(batch.header.max_timestamp());
        }
    }

    fn offset(&self, entry: &IndexEntry) -> Offset {
        Offset::new(self.base.get().saturating_add(i64::from(entry.relative_offset)))
    }

    /// Nothing can be said of entries for what is damaged.
    fn skip(&mut self, end: Position) {
        while self.entries.front().is_some_and(|entry| entry.start() < end) {
            self.entries.pop_front();
        }
    }

    /// What is left may be the boundary at the segment's end, which a sealed one has, or lie behind a
    /// recovery point.
    fn end(&mut self, length: u64) {
        for entry in std::mem::take(&mut self.entries) {
            if u64::from(entry.position) < length {
                let offset = self.offset(&entry);
                self.wrong.push(What::IndexEntry { offset, position: entry.start() });
            }
        }
    }
}
