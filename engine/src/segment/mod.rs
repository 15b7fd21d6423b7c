//! One data file of a partition, with its index.
//!
//! ```text
//! 00000000000000004711.log     batch | batch | batch | batch | ...      record batches v2, as they travel on the wire
//! 00000000000000004711.index            ^               ^                every 4 KiB: offset, position, largest timestamp before
//! ```
//!
//! * The end of a segment moves only when the shard says that an append has settled; what lies behind it in
//!   the file does not exist.
//! * The index is a hint about boundaries, kept in memory while the segment is in use, appended to its file
//!   in checksummed chunks when the shard's checkpoint is written, and completed by reading batch headers
//!   where the file falls short. It can always be rebuilt.
//! * What was written before this process is checked before it is sent, once ([`verify`]).
//! * File and index are let go when the shard has too many open ([`OpenFiles`]) and taken up again at the
//!   next use.

mod epochs;
mod index_state;
mod open_files;
mod scan;
mod verify;

use std::cell::{Cell, RefCell};
use std::io;
use std::path::PathBuf;
use std::rc::Rc;

use bytes::Bytes;

pub(crate) use epochs::{Epochs, epoch_at};
pub(crate) use index_state::{INDEX_STRIDE_BYTES, boundary};
use index_state::{IndexState, Persisted};
pub(crate) use open_files::OpenFiles;
pub(crate) use scan::{BatchScan, HeaderScan, Scanned, scan_checked};
use verify::VerifiedStretches;
pub(crate) use verify::Walk;

use crate::error::{Damage, Fault, FaultKind, io_fault};
use crate::format::batch::{BATCH_HEADER_BYTES, BatchHeader};
use crate::format::index::{self, IndexEntry};
use crate::format::names;
use crate::io::{Disk, OpenMode, is_no_space, is_shortage};
use crate::types::{Offset, Position, Timestamp};

/// Bytes that are read and written again at once.
const REWRITE_BYTES: usize = 1 << 20;

/// Where a segment ends, and what that end tells about it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct SegmentEnd {
    pub(crate) position: Position,
    pub(crate) next_offset: Offset,
    /// Largest timestamp of the first batch; `None` in an empty segment and in one that was not read yet.
    pub(crate) first_timestamp: Option<Timestamp>,
    /// Largest timestamp of all batches; [`Timestamp::NONE`] in an empty segment.
    pub(crate) max_timestamp: Timestamp,
}

impl SegmentEnd {
    /// That of a segment without a batch.
    pub(crate) const fn empty(base: Offset) -> SegmentEnd {
        let (position, max_timestamp) = (Position::ZERO, Timestamp::NONE);
        SegmentEnd { position, next_offset: base, first_timestamp: None, max_timestamp }
    }
}

/// A stretch of whole batches in a segment's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) position: Position,
    pub(crate) length: u64,
}

/// What all segments of one log have in common.
pub(crate) struct Home<D: Disk> {
    pub(crate) disk: D,
    pub(crate) files: Rc<OpenFiles<D>>,
    pub(crate) directory: PathBuf,
    pub(crate) epochs: Epochs,
}

pub(crate) struct Segment<D: Disk> {
    home: Rc<Home<D>>,
    base: Offset,
    end: Cell<SegmentEnd>,
    synced: Cell<Position>,
    /// Up to where the system was asked to write the file out.
    written_back: Cell<Position>,
    /// How often the file was cut, and how many of the cuts a sync covers: a crash may bring back the length
    /// of before, with zeros.
    cuts: Cell<u64>,
    cuts_synced: Cell<u64>,
    /// How often the log was truncated in it.
    truncations: Cell<u64>,
    /// The file is older than this process, which has not synced it: a cut by the process before may not be
    /// durable.
    inherited: Cell<bool>,
    /// It was deleted: its files go, or are gone, and nothing of it needs a sync.
    dropped: Cell<bool>,
    /// File and index are never let go: another segment takes its place, and its name.
    kept_open: Cell<bool>,
    /// Whether the file may be there.
    may_exist: Cell<bool>,
    /// No offset is missing between its batches. Only an older release's compaction has left gaps.
    gapless: bool,
    file: RefCell<Option<D::File>>,
    index: RefCell<IndexState>,
    /// The index file has entries that do not count, on the medium at least: cutting them off has not
    /// succeeded yet.
    index_outlives_cut: Cell<bool>,
    verified: RefCell<VerifiedStretches>,
    last_used: Cell<u64>,
}

impl<D: Disk> Segment<D> {
    /// A segment that begins with `base` and has no file yet: the first write makes it.
    pub(crate) fn empty(home: Rc<Home<D>>, base: Offset) -> Rc<Segment<D>> {
        let segment = Segment::existing(home, base, SegmentEnd::empty(base), Position::ZERO, true);
        segment.inherited.set(false);
        segment.may_exist.set(false);
        segment.index.borrow_mut().entries = Some(Vec::new());
        segment.index.borrow_mut().persisted = Some(Persisted { entries: 0, bytes: 0 });
        segment
    }

    /// A segment whose file is there up to `end`; of its index file, entries up to `trusted` count. `gapless`
    /// where no offset is missing.
    pub(crate) fn existing(
        home: Rc<Home<D>>,
        base: Offset,
        end: SegmentEnd,
        trusted: Position,
        gapless: bool,
    ) -> Rc<Segment<D>> {
        Rc::new(Segment {
            home,
            base,
            end: Cell::new(end),
            synced: Cell::new(trusted),
            written_back: Cell::new(trusted),
            cuts: Cell::new(0),
            cuts_synced: Cell::new(0),
            truncations: Cell::new(0),
            inherited: Cell::new(true),
            dropped: Cell::new(false),
            kept_open: Cell::new(false),
            may_exist: Cell::new(true),
            gapless,
            file: RefCell::new(None),
            index: RefCell::new(IndexState::unloaded(trusted)),
            index_outlives_cut: Cell::new(false),
            verified: RefCell::default(),
            last_used: Cell::new(0),
        })
    }

    pub(crate) fn base(&self) -> Offset {
        self.base
    }

    pub(crate) fn end(&self) -> SegmentEnd {
        self.end.get()
    }

    /// Whether the segment's file may be there: it is not while no descriptor was to be had to make it with.
    pub(crate) fn may_exist(&self) -> bool {
        self.may_exist.get()
    }

    fn is_gapless(&self) -> bool {
        self.gapless
    }

    /// Whether bytes before the end, or the end itself, are not known to be durable.
    pub(crate) fn is_dirty(&self) -> bool {
        self.cuts_synced.get() < self.cuts.get() || self.synced.get() < self.end.get().position
    }

    pub(crate) fn log_path(&self) -> PathBuf {
        self.home.directory.join(names::segment_log(self.base))
    }

    fn index_path(&self) -> PathBuf {
        self.home.directory.join(names::segment_index(self.base))
    }

    // ---- append -------------------------------------------------------------------------------------------

    /// The open file; made when the segment is empty.
    pub(crate) async fn file(self: &Rc<Self>) -> Result<D::File, Fault> {
        self.home.files.touch(self);
        if let Some(file) = self.file.borrow().as_ref() {
            return Ok(file.clone());
        }
        let mode =
            if self.end.get().position == Position::ZERO { OpenMode::Create } else { OpenMode::Existing };
        let path = self.log_path();
        let opened = self.home.disk.open(&path, mode).await;
        if !opened.as_ref().is_err_and(is_shortage) {
            self.may_exist.set(true);
        }
        // Another task may have opened it meanwhile, for good, and another segment, or none, stand under its
        // name by now.
        if let Some(file) = self.file.borrow().as_ref() {
            return Ok(file.clone());
        }
        let opened = opened.map_err(|error| io_fault("open", path, Position::ZERO, error))?;
        Ok(self.file.borrow_mut().insert(opened).clone())
    }

    /// Writes batches behind the end without moving it: until [`Segment::extend`] they do not exist.
    pub(crate) async fn write(
        self: &Rc<Self>,
        position: Position,
        batches: Vec<Bytes>,
    ) -> Result<(), WriteFailure> {
        let file = self.file().await.map_err(WriteFailure::from)?;
        match self.home.disk.write(&file, position, batches).await {
            Ok(()) => Ok(()),
            Err(error) => Err(WriteFailure::of("write", self.log_path(), position, error)),
        }
    }

    /// Writes the same bytes again where they are; they wait for a sync then, whatever was synced before.
    pub(crate) async fn rewrite(self: &Rc<Self>, position: Position, end: Position) -> Result<(), Fault> {
        let file = self.file().await?;
        let mut at = position;
        while at < end {
            let bytes = self.read(at, REWRITE_BYTES.min((end - at) as usize)).await?;
            let length = bytes.len() as u64;
            if length == 0 {
                return Err(self.damage(at, Damage::FileShortened { known: end }));
            }
            let fault = |error| io_fault("write", self.log_path(), at, error);
            self.home.disk.write(&file, at, vec![bytes]).await.map_err(fault)?;
            at += length;
        }
        self.synced.set(self.synced.get().min(position));
        Ok(())
    }

    /// Takes in what was written, or checked, up to `end`, with the index entries of it.
    pub(crate) fn extend(&self, end: SegmentEnd, boundaries: &[IndexEntry]) {
        let before = self.end.replace(end).position;
        assert!(end.position > before, "a segment only grows");
        self.verified.borrow_mut().note(before, end.position, end.next_offset);
        if let Some(entries) = self.index.borrow_mut().entries.as_mut() {
            entries.extend_from_slice(boundaries);
        }
    }

    /// Cuts away what lies behind the end in the file: the rest of a write that found no space.
    pub(crate) async fn cut_to_end(self: &Rc<Self>) -> Result<(), Fault> {
        let end = self.end.get().position;
        let file = self.file().await?;
        let result = self.home.disk.set_len(&file, end.0).await;
        // What is cut may have been synced: what comes in its place is not.
        self.synced.set(self.synced.get().min(end));
        // Counted when it is done: a sync that has started before does not cover it.
        self.cuts.set(self.cuts.get() + 1);
        result.map_err(|error| io_fault("truncate", self.log_path(), end, error))
    }

    /// Another segment is going to follow: from then on the file's length tells where this one ends, so it
    /// has to be durable, too.
    pub(crate) fn fix_length(&self) {
        if self.inherited.get() {
            self.cuts.set(self.cuts.get() + 1);
        }
    }

    /// Notes that the segment was deleted, before its files are removed.
    pub(crate) fn note_dropped(&self) {
        self.dropped.set(true);
    }

    /// Opens file and index, and keeps them: what stands under the segment's name is going to be another one.
    pub(crate) async fn keep_open(self: &Rc<Self>) -> Result<(), Fault> {
        self.kept_open.set(true);
        self.load_index().await?;
        self.file().await.map(drop)
    }

    /// Takes the file and the index entries of a whole new segment, which is durable and has no index file.
    pub(crate) fn take_over(&self, file: D::File, entries: Vec<IndexEntry>) {
        *self.file.borrow_mut() = Some(file);
        let persisted = Some(Persisted { entries: 0, bytes: 0 });
        let end = self.end.get();
        *self.index.borrow_mut() =
            IndexState { entries: Some(entries), persisted, ..IndexState::unloaded(end.position) };
        self.verified.borrow_mut().note(Position::ZERO, end.position, end.next_offset);
        self.inherited.set(false);
    }

    /// Removes the files of a segment that was deleted, or never came to be. Durable with the next sync of
    /// the directory, and not needed before: what comes back lies before the log start, or what follows wins
    /// over it. Who has the file open goes on reading it.
    pub(crate) async fn remove(&self) -> Result<(), Fault> {
        *self.file.borrow_mut() = None;
        for path in [self.log_path(), self.index_path()] {
            match self.home.disk.remove_file(&path).await {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(io_fault("remove", path, Position::ZERO, error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Moves the end back to `end` and cuts the file durably, so that nothing of what was cut comes back
    /// (D4).
    pub(crate) async fn truncate(self: &Rc<Self>, end: SegmentEnd) -> Result<(), Fault> {
        self.shorten(end);
        self.cut_shortened().await
    }

    /// Moves the end back to `end`: what lies behind does not exist any more, and [`Segment::cut_shortened`]
    /// removes it. Who is reading it looks again.
    pub(crate) fn shorten(&self, end: SegmentEnd) {
        self.end.set(end);
        let trusted = self.index.borrow().trusted.min(end.position);
        *self.index.borrow_mut() = IndexState::unloaded(trusted);
        self.verified.borrow_mut().forget_from(end.position);
        self.written_back.set(self.written_back.get().min(end.position));
        self.truncations.set(self.truncations.get() + 1);
    }

    /// As [`Segment::shorten`], and keeps of the index what it can. [`Segment::remove_index`] has to follow.
    pub(crate) fn shorten_indexed(&self, mut end: SegmentEnd) {
        let kept = {
            let mut index = self.index.borrow_mut();
            index.entries.take().filter(|_| index.damage.is_none())
        };
        end.first_timestamp = self.end.get().first_timestamp.filter(|_| end.position > Position::ZERO);
        self.shorten(end);
        if let Some(mut entries) = kept {
            entries.truncate(entries.partition_point(|entry| entry.start() <= end.position));
            self.index.borrow_mut().entries = Some(entries);
        }
    }

    /// Removes the index file, durably with the next sync of the directory: it has entries of what was cut,
    /// which would look right again once as much is there as before.
    pub(crate) async fn remove_index(&self) -> Result<(), Fault> {
        let path = self.index_path();
        match self.home.disk.remove_file(&path).await {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(io_fault("remove", path, Position::ZERO, error));
            }
            _ => {}
        }
        let mut index = self.index.borrow_mut();
        index.persisted = index.entries.as_ref().map(|_| Persisted { entries: 0, bytes: 0 });
        Ok(())
    }

    /// Cuts the file to its end, durably.
    pub(crate) async fn cut_shortened(self: &Rc<Self>) -> Result<(), Fault> {
        let file = self.file().await?;
        let end = self.end.get().position;
        let fault = |error| io_fault("truncate", self.log_path(), end, error);
        self.home.disk.set_len(&file, end.0).await.map_err(fault)?;
        self.home.disk.sync(&file).await.map_err(fault)?;
        self.synced.set(end);
        Ok(())
    }

    /// The end of what lies before the batch that holds `offset`, or of all where that lies behind.
    pub(crate) async fn end_before(self: &Rc<Self>, offset: Offset) -> Result<SegmentEnd, Fault> {
        self.load_index().await?;
        let end = self.end.get();
        if offset >= end.next_offset {
            return Ok(end);
        }
        let relative = offset.get().saturating_sub(self.base.get()).max(0) as u32;
        let floor = self.with_entries(|entries| index::floor(entries, relative));
        let (start, first, mut max_timestamp) =
            floor.map_or((Position::ZERO, self.base, Timestamp::NONE), |entry| {
                let first = self.base.plus(i64::from(entry.relative_offset));
                (entry.start(), first, entry.max_timestamp)
            });
        let mut reached = (start, first);
        let mut scan = HeaderScan::at(self, start, first, end.position);
        while let Some((position, header)) = scan.next().await? {
            if header.next_offset() > offset {
                break;
            }
            reached = (position + header.total_bytes() as u64, header.next_offset());
            if header.record_count() > 0 {
                max_timestamp = max_timestamp.max(header.max_timestamp());
            }
        }
        let (position, next_offset) = reached;
        Ok(SegmentEnd { position, next_offset, first_timestamp: None, max_timestamp })
    }

    /// Makes everything before the end durable.
    pub(crate) async fn sync(self: &Rc<Self>) -> Result<(), Fault> {
        let position = self.end.get().position;
        if self.is_dirty() { self.sync_written(position).await } else { Ok(()) }
    }

    /// Whether enough was appended since the last [`Segment::write_back`] for another one.
    pub(crate) fn wants_write_back(&self) -> bool {
        self.end.get().position >= self.written_back.get() + WRITE_BACK_BYTES
    }

    /// Has the system begin to write the file out, so that the sync of a full journal finds little to do and
    /// the disk's queue stays short. The last page stays, since it will change.
    pub(crate) async fn write_back(self: &Rc<Self>) {
        let start = self.written_back.get();
        let end = Position(self.end.get().position.0 & !0xfff);
        self.written_back.set(end);
        let Some(file) = self.file.borrow().clone() else { return };
        if end > start {
            // A hint that fails costs nothing: the sync will tell.
            let _ = self.home.disk.write_back(&file, start, end - start).await;
        }
    }

    /// Makes everything up to `position` durable, be it settled or only written.
    pub(crate) async fn sync_written(self: &Rc<Self>, position: Position) -> Result<(), Fault> {
        let file = match self.file().await {
            Err(_) if self.dropped.get() => return Ok(()),
            file => file?,
        };
        let cuts = self.cuts.get();
        self.home
            .disk
            .sync(&file)
            .await
            .map_err(|error| io_fault("sync", self.log_path(), position, error))?;
        self.cuts_synced.set(self.cuts_synced.get().max(cuts));
        self.inherited.set(false);
        self.synced.set(self.synced.get().max(position));
        Ok(())
    }

    // ---- read ---------------------------------------------------------------------------------------------

    /// Where the batch begins that holds `offset`, or else the first one behind it, and the offset that it
    /// begins with, at least; `None` when none follows in this segment.
    pub(crate) async fn locate(self: &Rc<Self>, offset: Offset) -> Result<Option<(Position, Offset)>, Fault> {
        let end = self.end.get();
        if offset >= end.next_offset {
            return Ok(None);
        }
        if offset <= self.base && end.position > Position::ZERO {
            return Ok(Some((Position::ZERO, self.base)));
        }
        self.load_index().await?;
        let relative = (offset.get() - self.base.get()) as u32;
        let floor = self.with_entries(|entries| index::floor(entries, relative));
        let start = floor.map_or(Position::ZERO, |entry| entry.start());
        if floor.is_some_and(|entry| entry.relative_offset == relative) && start < end.position {
            return Ok(Some((start, offset)));
        }
        let mut scan = HeaderScan::new(self, start, end.position);
        let first = scan.next_offset();
        loop {
            let expected = scan.next_offset();
            // The scan tells where the last batch ends before it should.
            let (position, header) = match scan.next().await {
                Ok(Some(next)) => next,
                Ok(None) => return Ok(None),
                // A rotten length leads astray: the damage is where the first batch is that is not intact.
                Err(fault) if fault.is_damage() => {
                    return Err(self.verify(start, first, end.position).await?.damage.unwrap_or(fault));
                }
                Err(fault) => return Err(fault),
            };
            if header.last_offset() >= offset {
                return Ok(Some((position, expected)));
            }
        }
    }

    /// Whole batches from `position` on, `bytes_max` at most; the first one whatever its size when
    /// `first_whole`. Not verified.
    pub(crate) async fn extent(
        self: &Rc<Self>,
        position: Position,
        bytes_max: u64,
        first_whole: bool,
    ) -> Result<Extent, Fault> {
        let end = self.end.get().position;
        if position >= end {
            return Ok(Extent { position, length: 0 });
        }
        let limit = position.saturating_add(bytes_max);
        if limit >= end {
            return Ok(Extent { position, length: end - position });
        }
        self.load_index().await?;
        let last = self.with_entries(|entries| index::floor_position(entries, limit));
        if let Some(entry) = last
            && entry.start() > position
        {
            return Ok(Extent { position, length: entry.start() - position });
        }
        // The limit lies within one stride of the index: walk to the last batch that fits.
        let mut reached = position;
        let mut scan = HeaderScan::new(self, position, end);
        loop {
            let (at, header) = match scan.next().await {
                Ok(Some(next)) => next,
                Ok(None) => break,
                // What stands before it is intact.
                Err(fault) if fault.is_damage() && reached > position => break,
                Err(fault) => return Err(fault),
            };
            let next = at + header.total_bytes() as u64;
            let fits = next <= limit || (first_whole && at == position);
            if !fits {
                break;
            }
            reached = next;
            if reached == end {
                break;
            }
        }
        Ok(Extent { position, length: reached - position })
    }

    /// The first batch, in offset order and from the batch at `from` on, whose largest timestamp is at least
    /// `timestamp`.
    pub(crate) async fn first_at_or_after(
        self: &Rc<Self>,
        (from, offset): (Position, Offset),
        timestamp: Timestamp,
    ) -> Result<Option<Position>, Fault> {
        let end = self.end.get();
        self.load_index().await?;
        let start = self.with_entries(|entries| index::before_timestamp(entries, timestamp));
        let start = start.map_or(Position::ZERO, |entry| entry.start()).max(from);
        // The index need not know the place where the log starts.
        let mut scan = match start == from {
            true => HeaderScan::at(self, from, offset, end.position),
            false => HeaderScan::new(self, start, end.position),
        };
        let first = scan.next_offset();
        let (reached, found) = loop {
            let Some((position, header)) = scan.next().await? else { break (end.position, None) };
            if header.max_timestamp() >= timestamp && header.record_count() > 0 {
                break (position + header.total_bytes() as u64, Some(position));
            }
        };
        // A rotten header may have hidden the one that is looked for.
        match self.verify(start, first, reached).await?.damage {
            Some(fault) => Err(fault),
            None => Ok(found),
        }
    }

    /// The largest timestamp of the segment's records; [`Timestamp::NONE`] when it is empty. An error where
    /// damage hides it.
    pub(crate) async fn max_timestamp(self: &Rc<Self>) -> Result<Timestamp, Fault> {
        self.load_index().await?;
        match &self.index.borrow().damage {
            Some(fault) => Err(fault.clone()),
            None => Ok(self.end.get().max_timestamp),
        }
    }

    /// The whole batch at `position`, its checksum verified.
    pub(crate) async fn read_batch(self: &Rc<Self>, position: Position) -> Result<Bytes, Fault> {
        let head = self.read(position, BATCH_HEADER_BYTES).await?;
        let total = BatchHeader::peek(&head).map_err(|error| self.damage(position, error))?.total_bytes();
        if position + total as u64 > self.end.get().position {
            return Err(self.damage(position, Damage::BatchTooLong { bytes: total }));
        }
        let batch = self.read(position, total).await?;
        crate::format::batch::verify_crc(&batch).map_err(|error| self.damage(position, error))?;
        Ok(batch)
    }

    /// Up to `length` bytes of the file.
    pub(crate) async fn read(self: &Rc<Self>, position: Position, length: usize) -> Result<Bytes, Fault> {
        let file = self.file().await?;
        let fault = |error| io_fault("read", self.log_path(), position, error);
        self.home.disk.read(&file, position, length).await.map_err(fault)
    }

    pub(crate) fn damage(&self, position: Position, what: impl Into<Damage>) -> Fault {
        self.damage_at(position, self.base, what.into())
    }

    /// Damage of the batch that begins with `offset`.
    pub(crate) fn damage_at(&self, position: Position, offset: Offset, what: Damage) -> Fault {
        FaultKind::Damage { path: self.log_path(), position, offset, what }.into()
    }

    /// Lets go of file and index, unless bytes wait for their sync: their errors are told to an open file
    /// only.
    fn release(&self) -> bool {
        if self.is_dirty() || self.end.get().position == Position::ZERO || self.kept_open.get() {
            return false;
        }
        *self.file.borrow_mut() = None;
        let mut index = self.index.borrow_mut();
        let complete = match (&index.entries, index.persisted) {
            (Some(entries), Some(persisted)) => entries.len() == persisted.entries,
            _ => true,
        };
        if complete {
            let end = self.end.get().position;
            *index = IndexState::unloaded(end);
        }
        true
    }
}

/// Appended bytes after which the system is asked to write them out.
const WRITE_BACK_BYTES: u64 = 1 << 20;

/// Why batches were not written.
#[derive(Debug)]
pub(crate) enum WriteFailure {
    /// The disk is full; nothing is wrong with what is there.
    NoSpace,
    /// The system is short of something that comes back ([`FaultKind::is_shortage`]); nothing is wrong with
    /// what is there.
    Shortage(Fault),
    /// Anything else.
    Fault(Fault),
}

impl WriteFailure {
    pub(crate) fn of(
        operation: &'static str,
        path: impl Into<PathBuf>,
        position: Position,
        error: io::Error,
    ) -> WriteFailure {
        io_fault(operation, path, position, error).into()
    }
}

impl From<Fault> for WriteFailure {
    fn from(fault: Fault) -> WriteFailure {
        match &*fault {
            FaultKind::Io { source, .. } if is_no_space(source) => WriteFailure::NoSpace,
            _ if fault.is_shortage() => WriteFailure::Shortage(fault),
            _ => WriteFailure::Fault(fault),
        }
    }
}
