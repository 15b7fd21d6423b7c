//! Opening a partition's log, after a clean stop or after a crash.
//!
//! What is on the disk is judged by the recovery point of the shard's checkpoint: everything before it was
//! synced once.
//!
//! | found | before the recovery point | behind it |
//! |---|---|---|
//! | intact batches | kept unread | kept, if they continue the offsets; checksums verified |
//! | a torn or foreign batch | damage: found when it is read, never cut | torn tail: cut, durably |
//! | the file is shorter, or missing | damage: appends are refused, the rest is served | nothing was acknowledged there |
//! | a segment that does not continue the one before | - | torn tail: removed |
//! | a segment wholly before the log start | deleted before: removed, and not missed where it is gone | - |
//! | no segment before the first one, from the log start on | deleted on a full disk: the log starts there | - |
//!
//! Before that, what compaction was at is finished or forgotten (`log/replace.rs`). Without a checkpoint, the
//! recovery point is as far as the log was compacted: what lies before was durable once.
//!
//! Where the journal has a truncation that the checkpoint does not know, the files are cut first
//! (`log/truncate.rs`).
//!
//! Then the journal's batches are laid over it ([`Recovery::replay`]); they were acknowledged, so they win:
//!
//! | the journal's batch | done |
//! |---|---|
//! | ends before the recovery point | skipped |
//! | is in the log, byte for byte by checksum | skipped |
//! | differs from what the log has at its offset | the log is cut there, the batch is appended |
//! | continues the log | appended |
//! | begins behind the log's end | acknowledged records are missing: nothing more is appended, and nobody is told where the log ends |
//! | lies where another one of the journals does | damage: one of the two is not of this log, nothing more is appended |

use std::cell::{Cell, RefCell};
use std::io;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::lock::Mutex;

use super::aborted::{Aborted, Known};
use super::producers::Producers;
use super::replace::finish_swap;
use super::{Entries, Log};
use crate::config::TopicConfig;
use crate::error::{Damage, Fault, FaultKind, MissingCause, io_fault};
use crate::format::batch::BatchHeader;
use crate::format::checkpoint::PartitionCheckpoint;
use crate::format::compacted::Compacted;
use crate::format::names::{self, Compacting, SegmentFileKind};
use crate::io::{Disk, Entry, read_whole};
use crate::segment::{
    Epochs, HeaderScan, Home, OpenFiles, Scanned, Segment, SegmentEnd, WriteFailure, scan_checked,
};
use crate::types::{Offset, PartitionId, Position, Timestamp};

/// Most bytes of a `compacted` file: it has 36.
const COMPACTED_BYTES_MAX: u64 = 1 << 10;

/// A log that was opened, with the batches found behind the recovery point.
pub(crate) struct Recovery<D: Disk> {
    pub(crate) log: Log<D>,
    scanned: Vec<ScannedIn<D>>,
    /// The header of the last batch of a journal that is in the log now.
    replayed: Option<BatchHeader>,
    recovery_point: PartitionCheckpoint,
}

struct ScannedIn<D: Disk> {
    segment: Rc<Segment<D>>,
    batch: Scanned,
}

/// What stands in a partition's directory.
pub(super) struct Found {
    pub(super) base: Offset,
    pub(super) length: u64,
}

impl<D: Disk> Log<D> {
    /// Opens the log in `directory`, which need not be there. `checkpoint` is its newest recovery point,
    /// `None` when it has none.
    pub(crate) async fn open(
        disk: D,
        files: Rc<OpenFiles<D>>,
        directory: &Path,
        partition: PartitionId,
        checkpoint: Option<&PartitionCheckpoint>,
    ) -> Result<Recovery<D>, Fault> {
        finish_compaction(&disk, directory).await?;
        let compacted = read_compacted(&disk, directory, checkpoint).await?;
        let entries = list(&disk, directory).await?;
        let is_there = entries.is_some();
        let is_aborted = |entry: &Entry| entry.name == names::ABORTED_FILE;
        let has_aborted = entries.iter().flatten().any(is_aborted);
        let (mut found, orphans) = segments_of(&entries.unwrap_or_default());
        for base in orphans {
            remove_files(&disk, directory, base).await?;
        }
        if let Some(checkpoint) = checkpoint {
            remove_deleted(&disk, directory, &mut found, checkpoint).await?;
        }
        let first_base = found.first().map(|segment| segment.base);
        let point = match checkpoint {
            Some(checkpoint) => checkpoint.clone(),
            None => {
                let log_start = first_base.unwrap_or(compacted.compacted_end);
                let durable = log_start.max(compacted.compacted_end);
                PartitionCheckpoint {
                    partition,
                    log_start,
                    segment_base: durable,
                    position: Position::ZERO,
                    next_offset: durable,
                    max_timestamp: Timestamp::NONE,
                    high_watermark: durable,
                    truncations: 0,
                    last_aborted: None,
                    epochs: Vec::new(),
                    producers: Vec::new(),
                }
            }
        };
        // A full disk takes no checkpoint: then retention removes the first segments durably, and the log
        // begins where they ended.
        let first_synced = first_base.filter(|base| *base <= point.segment_base);
        let log_start = point.log_start.max(first_synced.unwrap_or(Offset::ZERO));
        let home = Rc::new(Home { disk, files, directory: directory.to_owned(), epochs: Epochs::default() });
        home.epochs.reset(&point.epochs, log_start);
        let known = match checkpoint {
            Some(_) if point.last_aborted < Some(point.next_offset) => Known::Last(point.last_aborted),
            // There is no checkpoint, or the log was cut off behind what it says.
            _ => Known::Before(point.next_offset),
        };
        let aborted = Aborted::open(home.clone(), has_aborted, known).await?;
        let log = Log {
            partition,
            home,
            segments: RefCell::new(Vec::new()),
            log_start: Cell::new(log_start),
            rolled: Cell::new(false),
            drafts: Rc::new(()),
            leftovers: RefCell::default(),
            removed: Cell::new(false),
            producers: RefCell::new(Producers::from_checkpoint(&point.producers)),
            aborted,
            entries: Entries::found(u64::from(is_there)),
            own_entry: Entries::found(u64::from(is_there)),
            compacted: Cell::new(compacted),
            replacing: Cell::new(false),
            index_files: Mutex::new(()),
            damage: RefCell::new(None),
            acknowledged_end: Cell::new(point.next_offset),
            truncations: Cell::new(point.truncations),
            unfinished: RefCell::new(None),
        };
        let mut recovery =
            Recovery { log, scanned: Vec::new(), replayed: None, recovery_point: point.clone() };
        recovery.take_synced(&found, &point, is_there);
        recovery.find_aborted().await?;
        if checkpoint.is_none() {
            recovery.note_synced_headers().await?;
        }
        if recovery.log.damage().is_none() {
            recovery.scan_unsynced(&found, &point).await?;
        }
        recovery.log.home.epochs.set_complete();
        Ok(recovery)
    }

    pub(super) fn existing_segment(&self, base: Offset, end: SegmentEnd, synced: Position) -> Rc<Segment<D>> {
        self.segment(base, end, synced, base >= self.compacted.get().gaps_end)
    }

    pub(super) fn segment(
        &self,
        base: Offset,
        end: SegmentEnd,
        synced: Position,
        gapless: bool,
    ) -> Rc<Segment<D>> {
        Segment::existing(self.home.clone(), base, end, synced, gapless)
    }
}

impl<D: Disk> Recovery<D> {
    /// Takes in the segments, and the part of one, that lie before the recovery point, without reading them.
    fn take_synced(&mut self, found: &[Found], point: &PartitionCheckpoint, is_there: bool) {
        let log = &self.log;
        let mut segments = Vec::new();
        for (at, file) in found.iter().enumerate().filter(|(_, file)| file.base < point.segment_base) {
            let next_offset = found.get(at + 1).map_or(point.segment_base, |next| next.base);
            let end = SegmentEnd {
                position: Position(file.length),
                next_offset: next_offset.min(point.segment_base),
                first_timestamp: None,
                max_timestamp: Timestamp::NONE,
            };
            segments.push(log.existing_segment(file.base, end, end.position));
        }
        let file = found.iter().find(|file| file.base == point.segment_base);
        // When no newer checkpoint could be written: nothing that anybody may read was in it.
        let is_deleted = file.is_none() && point.next_offset <= log.log_start();
        if !is_there && point.log_start < point.next_offset {
            *log.damage.borrow_mut() = Some(gone(&log.home.directory, point));
        } else if point.position > Position::ZERO && !is_deleted {
            let length = Position(file.map_or(0, |file| file.length));
            if length < point.position {
                *log.damage.borrow_mut() = Some(
                    FaultKind::Damage {
                        path: log.home.directory.join(names::segment_log(point.segment_base)),
                        position: length,
                        offset: point.segment_base,
                        what: Damage::FileTooShort { found: length, synced: point.position },
                    }
                    .into(),
                );
            } else {
                let end = SegmentEnd {
                    position: point.position,
                    next_offset: point.next_offset,
                    first_timestamp: None,
                    max_timestamp: point.max_timestamp,
                };
                segments.push(log.existing_segment(point.segment_base, end, point.position));
            }
        }
        *log.segments.borrow_mut() = segments;
        self.note_rolled();
        let end = log.end();
        if end < point.next_offset && log.damage().is_none() {
            let path = log.home.directory.join(names::segment_log(end));
            let (end, cause) = (point.next_offset, MissingCause::Segment);
            *log.damage.borrow_mut() =
                Some(FaultKind::Missing { path, offset: log.end(), end, cause }.into());
        }
    }

    /// Looks in the log for the aborted transactions that their file has lost. Where the log is damaged, too,
    /// readers that need them are told.
    async fn find_aborted(&mut self) -> Result<(), Fault> {
        match self.log.fill_gap().await {
            Err(fault) if fault.is_damage() => {
                tracing::error!(%fault, "some aborted transactions are not known");
            }
            found => found?,
        }
        self.recovery_point.last_aborted = self.log.aborted.last_marker();
        Ok(())
    }

    /// Has the batches before the recovery point tell what a lost checkpoint would have of producers and
    /// leader epochs: compaction keeps the last one of each producer.
    async fn note_synced_headers(&mut self) -> Result<(), Fault> {
        let segments = self.log.segments.borrow().clone();
        for segment in &segments {
            let mut scan = HeaderScan::new(segment, Position::ZERO, segment.end().position);
            loop {
                match scan.next_with_marker().await {
                    Ok(Some((header, marker))) => drop(self.log.note_known(&header, marker)),
                    Ok(None) => break,
                    Err(fault) if fault.is_shortage() => return Err(fault),
                    Err(fault) => {
                        tracing::error!(%fault, "what stands behind is not known of producers and leader epochs");
                        break;
                    }
                }
            }
        }
        self.recovery_point.producers = self.log.producers.borrow().to_checkpoint();
        self.recovery_point.epochs = self.log.home.epochs.to_vec();
        Ok(())
    }

    /// Reads what lies behind the recovery point, keeps what is intact and cuts what is not.
    async fn scan_unsynced(&mut self, found: &[Found], point: &PartitionCheckpoint) -> Result<(), Fault> {
        let log = &self.log;
        let unsynced = &found[found.partition_point(|file| file.base < point.segment_base)..];
        for (at, file) in unsynced.iter().enumerate() {
            let mut next = log.end();
            if file.base != point.segment_base && file.base != next {
                return self.remove_all(&unsynced[at..]).await;
            }
            let file_end = Position(file.length);
            let known = log.active().filter(|segment| segment.base() == file.base);
            let mut end = known.as_ref().map_or(SegmentEnd::empty(file.base), |segment| segment.end());
            let start = end.position;
            if let Some(segment) = &known
                && start == file_end
            {
                // It may have been cut here by a process that had no room, and was killed before a sync.
                segment.fix_length();
                continue;
            }
            let segment = known.unwrap_or_else(|| {
                if let Some(before) = log.active() {
                    before.fix_length();
                }
                let segment = log.existing_segment(file.base, end, Position::ZERO);
                log.segments.borrow_mut().push(segment.clone());
                log.rolled.set(false);
                segment
            });
            for batch in scan_checked(&segment, start, file_end, next, log.last_epoch()).await? {
                next = batch.header.next_offset();
                end.position = batch.position + batch.header.total_bytes() as u64;
                end.next_offset = next;
                end.max_timestamp = end.max_timestamp.max(batch.header.max_timestamp());
                log.note(&batch.header, batch.marker);
                self.scanned.push(ScannedIn { segment: segment.clone(), batch });
            }
            if end.position > start {
                segment.extend(end, &[]);
            }
            if end.position == file_end && end.position > Position::ZERO {
                continue;
            }
            self.remove_all(&unsynced[at + 1..]).await?;
            if end.position < file_end {
                tracing::warn!(
                    path = %segment.log_path().display(),
                    position = end.position.0,
                    bytes = file_end - end.position,
                    "torn tail is cut"
                );
                segment.truncate(end).await?;
            }
            if end.position == Position::ZERO {
                log.segments.borrow_mut().pop();
                self.note_rolled();
                self.remove(file.base).await?;
            }
            return Ok(());
        }
        Ok(())
    }

    /// Removes segments, the last one first: what a crash leaves is always the front of the log, never a
    /// later segment that looks like its beginning.
    async fn remove_all(&self, files: &[Found]) -> Result<(), Fault> {
        for file in files.iter().rev() {
            self.remove(file.base).await?;
        }
        Ok(())
    }

    /// Removes a segment's files, durably: nothing of them may come back (D4).
    async fn remove(&self, base: Offset) -> Result<(), Fault> {
        let directory = &self.log.home.directory;
        remove_files(&self.log.home.disk, directory, base).await?;
        self.log
            .home
            .disk
            .sync_dir(directory)
            .await
            .map_err(|error| io_fault("sync", &**directory, Position::ZERO, error))
    }

    /// The point up to which the log was known to be durable before it was opened.
    pub(crate) fn recovery_point(&self) -> PartitionCheckpoint {
        self.recovery_point.clone()
    }

    /// Says what the log knows of producers at the recovery point.
    pub(super) fn set_producers(&mut self, producers: Producers) {
        self.recovery_point.producers = producers.to_checkpoint();
        *self.log.producers.borrow_mut() = producers;
    }

    /// The journals have seen so many truncations of the log, which has been through all of them.
    pub(crate) fn set_truncations(&mut self, truncations: u32) {
        self.recovery_point.truncations = truncations;
        self.log.truncations.set(truncations);
    }

    /// Lays one batch of the journal over the log, by the table above. Batches come in the order of their
    /// offsets.
    pub(crate) async fn replay(
        &mut self,
        batch: Bytes,
        config: &Arc<TopicConfig>,
    ) -> Result<(), WriteFailure> {
        let header = *BatchHeader::peek(&batch).expect("the journal's reader has verified the batch");
        self.log.acknowledged_end.set(self.log.acknowledged_end.get().max(header.next_offset()));
        if header.base_offset() < self.recovery_point.next_offset || self.log.damage().is_some() {
            return Ok(());
        }
        if let Some(before) = self.replayed.filter(|before| header.base_offset() < before.next_offset()) {
            if before != header {
                self.note_damage(Damage::JournaledTwice { offset: header.base_offset() });
            }
            return Ok(());
        }
        if header.base_offset() < self.log.end() {
            // The checksum of its records is part of the header.
            if self.scanned.iter().any(|found| found.batch.header == header) {
                self.replayed = Some(header);
                return Ok(());
            }
            self.cut(header.base_offset()).await.map_err(WriteFailure::Fault)?;
        }
        if header.base_offset() > self.log.end() {
            let (end, found) = (self.log.end(), header.base_offset());
            let path =
                self.log.active().map_or(self.log.home.directory.clone(), |segment| segment.log_path());
            let cause = MissingCause::BeforeJournal;
            *self.log.damage.borrow_mut() =
                Some(FaultKind::Missing { path, offset: end, end: found, cause }.into());
            return Ok(());
        }
        if header.leader_epoch() < self.log.last_epoch() {
            let (found, last) = (header.leader_epoch(), self.log.last_epoch());
            self.note_damage(Damage::JournaledEpoch { found, last });
            return Ok(());
        }
        let mut draft = self.log.draft(config).await.map_err(WriteFailure::Fault)?;
        draft.push_stamped(&self.log, batch);
        match draft.write(&self.log).await {
            Ok(()) => {
                self.log.adopt(draft);
                self.replayed = Some(header);
                Ok(())
            }
            Err(failure) => {
                self.log.discard(draft).await.map_err(WriteFailure::Fault)?;
                Err(failure)
            }
        }
    }

    /// Writes again what was found intact behind the recovery point, so that the sync that follows covers it.
    /// The process before may have ended because a sync had failed: the system then shows the bytes from
    /// memory, takes them for written and never writes them (D3).
    pub(crate) async fn rewrite_scanned(&self) -> Result<(), Fault> {
        let mut rest = &self.scanned[..];
        while let Some(first) = rest.first() {
            let of_segment =
                rest.iter().take_while(|found| Rc::ptr_eq(&found.segment, &first.segment)).count();
            let last = &rest[of_segment - 1].batch;
            let end = last.position + last.header.total_bytes() as u64;
            first.segment.rewrite(first.batch.position, end).await?;
            rest = &rest[of_segment..];
        }
        Ok(())
    }

    /// Cuts everything from the scanned batch on that holds `offset`, and what it said about producers and
    /// transactions.
    async fn cut(&mut self, offset: Offset) -> Result<(), Fault> {
        let Some(first) = self.scanned.iter().position(|found| found.batch.header.last_offset() >= offset)
        else {
            return Ok(());
        };
        let cut = self.scanned.split_off(first);
        *self.log.producers.borrow_mut() = Producers::from_checkpoint(&self.recovery_point.producers);
        self.log.aborted.forget_from(self.recovery_point.next_offset);
        self.log.home.epochs.reset(&self.recovery_point.epochs, self.log.log_start());
        for kept in &self.scanned {
            self.log.note(&kept.batch.header, kept.batch.marker);
        }
        let keep = &cut[0];
        loop {
            let last = self.log.active().expect("the scanned batch stands in a segment");
            if Rc::ptr_eq(&last, &keep.segment) {
                break;
            }
            self.log.segments.borrow_mut().pop();
            self.remove(last.base()).await?;
        }
        let mut end = keep.segment.end();
        let kept = self.scanned.iter().filter(|found| Rc::ptr_eq(&found.segment, &keep.segment));
        let before = match keep.segment.base() == self.recovery_point.segment_base {
            true => self.recovery_point.max_timestamp,
            false => Timestamp::NONE,
        };
        end.max_timestamp = kept.map(|found| found.batch.header.max_timestamp()).fold(before, Timestamp::max);
        end.first_timestamp = None;
        end.position = keep.batch.position;
        end.next_offset = keep.batch.header.base_offset();
        keep.segment.truncate(end).await?;
        if end.position == Position::ZERO {
            self.log.segments.borrow_mut().pop();
            self.note_rolled();
            self.remove(keep.segment.base()).await?;
        }
        Ok(())
    }

    /// A last segment that lies wholly before the recovery point stays closed: how far it counts is told by
    /// its length.
    fn note_rolled(&self) {
        let last = self.log.active().map(|segment| segment.base());
        self.log.rolled.set(last.is_some_and(|base| base < self.recovery_point.segment_base));
    }

    fn note_damage(&self, what: Damage) {
        let end = self.log.end();
        let (path, position) = match self.log.active() {
            Some(segment) => (segment.log_path(), segment.end().position),
            None => (self.log.home.directory.clone(), Position::ZERO),
        };
        *self.log.damage.borrow_mut() = Some(FaultKind::Damage { path, position, offset: end, what }.into());
    }
}

/// The fault of a log whose directory is not there, although a checkpoint has records of it.
pub(crate) fn gone(directory: &Path, point: &PartitionCheckpoint) -> Fault {
    let (path, cause) = (directory.to_owned(), MissingCause::Directory);
    FaultKind::Missing { path, offset: point.log_start, end: point.next_offset, cause }.into()
}

/// Removes a segment that compaction was writing, and finishes the swap that it has committed.
async fn finish_compaction<D: Disk>(disk: &D, directory: &Path) -> Result<(), Fault> {
    let entries = list(disk, directory).await?.unwrap_or_default();
    for entry in &entries {
        match names::parse_compacting(&entry.name) {
            None => {}
            Some(Compacting::Cleaned) => {
                let path = directory.join(&entry.name);
                disk.remove_file(&path)
                    .await
                    .map_err(|error| io_fault("remove", path, Position::ZERO, error))?;
            }
            Some(Compacting::Swap { base, end }) => {
                tracing::info!(directory = %directory.display(), %base, %end, "finishing a compaction");
                let bases = entries.iter().filter_map(|entry| Some(names::parse_segment(&entry.name)?.0));
                let replaced = bases.filter(|other| base <= *other && *other < end);
                finish_swap(disk, directory, base, end, replaced).await?;
            }
        }
    }
    Ok(())
}

/// How far the log was compacted. A damaged file costs a round more, unless the log can not be opened without
/// it.
pub(super) async fn read_compacted<D: Disk>(
    disk: &D,
    directory: &Path,
    checkpoint: Option<&PartitionCheckpoint>,
) -> Result<Compacted, Fault> {
    let path = directory.join(names::COMPACTED_FILE);
    let read = read_whole(disk, &path, COMPACTED_BYTES_MAX).await;
    let decoded = match read {
        Ok(None) => return Ok(Compacted::default()),
        Ok(Some(bytes)) => Compacted::decode(&bytes).map_err(Damage::from),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            Err(Damage::FileTooLarge { most: COMPACTED_BYTES_MAX })
        }
        Err(error) => return Err(io_fault("read", path, Position::ZERO, error)),
    };
    match decoded {
        Ok(compacted) => Ok(compacted),
        Err(what) => match checkpoint {
            Some(point) => {
                tracing::warn!(path = %path.display(), %what, "the file is damaged: all of the log is compacted again");
                // Only what the checkpoint has as closed is ever compacted, and an older release may have
                // left gaps there.
                let end = point.segment_base;
                Ok(Compacted { compacted_end: end, clean_end: Offset::ZERO, gaps_end: end })
            }
            None => {
                Err(FaultKind::Damage { path, position: Position::ZERO, offset: Offset::ZERO, what }.into())
            }
        },
    }
}

/// Takes out the segments that lie wholly before the log start, and removes what a crash has left of their
/// files.
async fn remove_deleted<D: Disk>(
    disk: &D,
    directory: &Path,
    found: &mut Vec<Found>,
    point: &PartitionCheckpoint,
) -> Result<(), Fault> {
    let end_of =
        |at: usize| found.get(at + 1).map_or(point.segment_base, |next| next.base.min(point.segment_base));
    let is_deleted = |at: &usize| found[*at].base < point.segment_base && end_of(*at) <= point.log_start;
    let deleted = (0..found.len()).take_while(is_deleted).count();
    for file in found.drain(..deleted) {
        tracing::info!(directory = %directory.display(), base = %file.base, "removing a segment that was deleted before");
        remove_files(disk, directory, file.base).await?;
    }
    Ok(())
}

/// Removes a segment's files. Durable with the next sync of the directory.
pub(super) async fn remove_files<D: Disk>(disk: &D, directory: &Path, base: Offset) -> Result<(), Fault> {
    for name in [names::segment_log(base), names::segment_index(base)] {
        let path = directory.join(name);
        match disk.remove_file(&path).await {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(io_fault("remove", path, Position::ZERO, error)),
        }
    }
    Ok(())
}

/// What stands in a directory; `None` when it is not there.
pub(super) async fn list<D: Disk>(disk: &D, directory: &Path) -> Result<Option<Vec<Entry>>, Fault> {
    match disk.list(directory).await {
        Ok(entries) => Ok(Some(entries)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io_fault("list", directory, Position::ZERO, error)),
    }
}

/// The segments in a directory, by base offset, and the bases of indexes whose segment is gone.
pub(super) fn segments_of(entries: &[Entry]) -> (Vec<Found>, Vec<Offset>) {
    let mut found: Vec<_> = entries
        .iter()
        .filter_map(|entry| match names::parse_segment(&entry.name) {
            Some((base, SegmentFileKind::Log)) => Some(Found { base, length: entry.length }),
            _ => None,
        })
        .collect();
    found.sort_unstable_by_key(|segment| segment.base);
    let is_orphan = |base: &Offset| found.binary_search_by_key(base, |segment| segment.base).is_err();
    let indexes = entries.iter().filter_map(|entry| match names::parse_segment(&entry.name) {
        Some((base, SegmentFileKind::Index)) => Some(base),
        _ => None,
    });
    let orphans = indexes.filter(is_orphan).collect();
    (found, orphans)
}
