//! The aborted transactions of a log: what a reader that wants committed records only has to leave out.
//!
//! ```text
//! markers      1   2   3   4   5   6       7          8   9
//!              '------ the file ---'  '- a gap -'  '- unsaved, in memory -'
//! ```
//! A row for each transaction with records that was aborted, in the order of the markers. It is noted when
//! the marker is taken in, before the last stable offset moves past it, so that nobody reads records of the
//! transaction without being told. It waits in memory until the log is synced; then it goes into the file,
//! durably, before the recovery point passes the marker. The file (`format/aborted.rs`) may be as long as
//! clients want to abort, so nobody holds it in memory: a look-up is a binary search with small reads.
//!
//! | found | done |
//! |---|---|
//! | rows behind the recovery point | cut off, durably: the batches there tell them again |
//! | the last row is not the one that the checkpoint names | the file is read from its front; what does not follow is cut, the rest is a gap |
//! | a row is damaged when it is read | the same |
//! | a gap | the log is scanned for it, from the last stable offset of the row before; until that is done no look-up passes it |
//! | no room, or no descriptor, for the file | the rows stay in memory. What a crash makes of them then is a gap |
//!
//! Rows go from the front only: those of transactions that lie before the log start, once they are more than
//! half, and those of which compaction has removed all records. A reader that was between its records and
//! their rows meanwhile reads again ([`Log::aborted_removals`]).

use std::cell::{Cell, RefCell};
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use bytes::Bytes;
use futures_util::lock::Mutex;

use super::{Log, give_way};
use crate::error::{Damage, Fault, FaultKind, io_fault};
use crate::format::aborted::{
    ABORTED_HEADER_BYTES, ABORTED_ROW_BYTES, AbortedRow, Transactions, decode_header, decode_rows,
    encode_header, row_position, rows_in,
};
use crate::format::marker::EndMarker;
use crate::format::names;
use crate::io::{Disk, OpenMode, replace};
use crate::segment::{HeaderScan, Home};
use crate::types::{Offset, Position, ProducerId};

/// Rows that are read at once: 4 KiB of them.
const ROWS_AT_ONCE: u64 = 4096 / ABORTED_ROW_BYTES as u64;

/// Bytes that are copied at once, whole rows.
const COPY_BYTES: usize = 1024 * ABORTED_ROW_BYTES;

/// Bytes of rows that [`Log::check_aborted`] reads.
pub(crate) const CHECK_ROWS_BYTES: usize = 1024 * ABORTED_ROW_BYTES;

/// Unsaved rows with which a log wants to be synced: 128 KiB. A log that nothing else syncs, since its topic
/// relaxes durability, would keep all of them in memory.
const UNSAVED_MAX: usize = 4096;

/// A transaction that was aborted, as readers are told of it: the producer's transactional batches from the
/// first offset up to its next marker do not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AbortedTransaction {
    /// The producer.
    pub producer_id: ProducerId,
    /// The offset of the transaction's first record.
    pub first_offset: Offset,
}

/// The rows of a log.
pub(super) struct Aborted<D: Disk> {
    home: Rc<Home<D>>,
    file: Cell<InFile>,
    gap: RefCell<Option<Gap>>,
    unsaved: RefCell<Vec<AbortedRow>>,
    /// Held by whoever changes the file.
    changing: Mutex<()>,
    /// How often rows went from the front, twice: odd while another file is taking this one's place.
    removals: Cell<u64>,
    /// The name of a file that has taken another one's place may not be durable.
    is_unnamed: Cell<bool>,
}

/// What the file holds.
#[derive(Clone, Copy, Debug, Default)]
struct InFile {
    /// Whether it is there, with a right header.
    is_made: bool,
    purged_end: Offset,
    rows: u64,
    /// The last row.
    last: Option<AbortedRow>,
    /// Whether something may stand behind the rows: what found no room.
    is_ragged: bool,
}

/// Markers behind those of the file and before the unsaved ones whose rows are not known.
#[derive(Clone, Debug)]
struct Gap {
    /// The last of these markers stands here at the latest.
    upto: Offset,
    /// Why the last attempt to find them has failed.
    fault: Option<Fault>,
}

/// What a checkpoint knows of the rows before its recovery point.
#[derive(Clone, Copy, Debug)]
pub(super) enum Known {
    /// The marker of the last one, if there is one.
    Last(Option<Offset>),
    /// Nothing: there is none, or the log was cut off since. All markers that count stand before this offset.
    Before(Offset),
}

impl InFile {
    /// From where on transactions have to be looked at to find the rows behind those of the file.
    fn rescan_from(&self) -> Offset {
        self.last.map_or(Offset::ZERO, |last| last.last_stable)
    }

    fn end(&self) -> Position {
        row_position(self.rows)
    }
}

impl<D: Disk> Aborted<D> {
    fn new(home: Rc<Home<D>>) -> Aborted<D> {
        Aborted {
            home,
            file: Cell::default(),
            gap: RefCell::default(),
            unsaved: RefCell::default(),
            changing: Mutex::new(()),
            removals: Cell::new(0),
            is_unnamed: Cell::new(false),
        }
    }

    fn path(&self) -> PathBuf {
        self.home.directory.join(names::ABORTED_FILE)
    }

    // ---- open ---------------------------------------------------------------------------------------------

    /// Opens the file, if `is_there`. What it lacks of what is known is a gap.
    pub(super) async fn open(home: Rc<Home<D>>, is_there: bool, known: Known) -> Result<Aborted<D>, Fault> {
        let aborted = Aborted::new(home);
        let counts = |row: &AbortedRow| match known {
            Known::Last(last) => last.is_some_and(|last| row.marker_offset <= last),
            Known::Before(end) => row.marker_offset < end,
        };
        let mut is_complete = matches!(known, Known::Last(None) | Known::Before(Offset::ZERO));
        if is_there && let Some((handle, length, purged_end)) = aborted.read_header().await? {
            let (mut rows, mut last) = aborted.partition(&handle, rows_in(length), counts).await?;
            is_complete |= match known {
                Known::Last(Some(known)) => match last {
                    Some(last) => last.marker_offset == known,
                    None => rows == 0 && known < purged_end,
                },
                _ => false,
            };
            if !is_complete {
                (rows, last) = aborted.walk(&handle, rows, purged_end).await?;
            }
            let file = InFile { is_made: true, purged_end, rows, last, is_ragged: false };
            if Position(length) != file.end() {
                aborted.cut_file(&handle, file.end()).await?;
            }
            aborted.file.set(file);
        }
        if !is_complete {
            let upto = match known {
                Known::Last(last) => last.unwrap_or_default(),
                Known::Before(end) => Offset::new(end.get() - 1),
            };
            *aborted.gap.borrow_mut() = Some(Gap { upto, fault: None });
        }
        Ok(aborted)
    }

    /// The open file, its length and its purged end; `None` where it has no right header.
    async fn read_header(&self) -> Result<Option<(D::File, u64, Offset)>, Fault> {
        let handle = self.open_file().await?;
        let length = self.home.disk.len(&handle).await.map_err(|error| self.fault("read", error))?;
        let header = self.read(&handle, Position::ZERO, ABORTED_HEADER_BYTES).await?;
        match decode_header(&header) {
            Ok(purged_end) => Ok(Some((handle, length, purged_end))),
            Err(error) => {
                tracing::error!(path = %self.path().display(), %error, "the file is damaged: it is made anew");
                Ok(None)
            }
        }
    }

    async fn open_file(&self) -> Result<D::File, Fault> {
        let opened = self.home.disk.open(&self.path(), OpenMode::Existing).await;
        opened.map_err(|error| self.fault("open", error))
    }

    /// Cuts the file to `end`, durably: what stood behind must not come back (D4).
    async fn cut_file(&self, handle: &D::File, end: Position) -> Result<(), Fault> {
        let cut = self.home.disk.set_len(handle, end.0).await;
        cut.map_err(|error| self.fault("truncate", error))?;
        self.home.disk.sync(handle).await.map_err(|error| self.fault("sync", error))
    }

    /// How many of the first `rows` rows `counts` holds for, and the last of these. It holds for the front of
    /// the rows; a row that is not whole is none of them.
    async fn partition(
        &self,
        handle: &D::File,
        rows: u64,
        counts: impl Fn(&AbortedRow) -> bool,
    ) -> Result<(u64, Option<AbortedRow>), Fault> {
        let (mut low, mut high) = (0, rows);
        let mut last = None;
        while low < high {
            let middle = low + (high - low) / 2;
            let read = self.read(handle, row_position(middle), ABORTED_ROW_BYTES).await?;
            match AbortedRow::decode(&read).filter(&counts) {
                Some(row) => (low, last) = (middle + 1, Some(row)),
                None => high = middle,
            }
        }
        Ok((low, last))
    }

    /// Reads the first `rows` rows one after the other: how many of them follow each other, and the last of
    /// these.
    async fn walk(
        &self,
        handle: &D::File,
        rows: u64,
        purged_end: Offset,
    ) -> Result<(u64, Option<AbortedRow>), Fault> {
        let (mut passed, mut last) = (0, None);
        while passed < rows {
            let wanted = (rows - passed).min(ROWS_AT_ONCE);
            let read = self.read(handle, row_position(passed), wanted as usize * ABORTED_ROW_BYTES).await?;
            let found = decode_rows(&read, last);
            if passed == 0 && found.first().is_some_and(|first| first.marker_offset < purged_end) {
                break;
            }
            passed += found.len() as u64;
            last = found.last().copied().or(last);
            if (found.len() as u64) < wanted {
                break;
            }
            give_way().await;
        }
        Ok((passed, last))
    }

    async fn read(&self, handle: &D::File, position: Position, length: usize) -> Result<Bytes, Fault> {
        let read = self.home.disk.read(handle, position, length).await;
        read.map_err(|error| io_fault("read", self.path(), position, error))
    }

    fn fault(&self, operation: &'static str, error: io::Error) -> Fault {
        io_fault(operation, self.path(), self.file.get().end(), error)
    }

    // ---- note ---------------------------------------------------------------------------------------------

    /// Notes an aborted transaction; its marker lies behind all that are known.
    pub(super) fn note(&self, row: AbortedRow) {
        assert!(self.last_marker().is_none_or(|last| last < row.marker_offset), "markers follow each other");
        self.unsaved.borrow_mut().push(row);
    }

    /// The marker of the last row: no row concerns who reads behind it.
    pub(super) fn last_marker(&self) -> Option<Offset> {
        let last = self.unsaved.borrow().last().map(|last| last.marker_offset);
        let in_gap = || self.gap.borrow().as_ref().map(|gap| gap.upto);
        last.or_else(in_gap).or_else(|| self.file.get().last.map(|last| last.marker_offset))
    }

    /// Whether so many rows wait in memory that the log wants to be synced.
    pub(super) fn is_crowded(&self) -> bool {
        self.unsaved.borrow().len() >= UNSAVED_MAX && self.gap.borrow().is_none()
    }

    /// Forgets the rows that wait in memory and whose marker lies at or behind `end`.
    pub(super) fn forget_from(&self, end: Offset) {
        self.unsaved.borrow_mut().retain(|row| row.marker_offset < end);
        let mut gap = self.gap.borrow_mut();
        *gap = match gap.take() {
            Some(Gap { upto, fault }) if end > Offset::ZERO => {
                Some(Gap { upto: upto.min(Offset::new(end.get() - 1)), fault })
            }
            _ => None,
        };
    }

    // ---- save ---------------------------------------------------------------------------------------------

    /// Appends the rows that wait in memory to the file, durably. Where there is no room, or the system is
    /// short of something, they go on waiting: the checkpoint says what a crash has lost then.
    async fn save(&self) -> Result<(), Fault> {
        // Before the gap is filled nothing can follow it.
        let rows = self.unsaved.borrow().clone();
        let Some(last) = rows.last().copied().filter(|_| self.gap.borrow().is_none()) else { return Ok(()) };
        match self.append(&rows).await {
            Ok(()) => {
                let file = self.file.get();
                let rows = file.rows + rows.len() as u64;
                self.file.set(InFile { is_made: true, rows, last: Some(last), is_ragged: false, ..file });
                self.unsaved.borrow_mut().retain(|row| row.marker_offset > last.marker_offset);
                Ok(())
            }
            Err(fault) if fault.is_shortage() || fault.is_no_space() => {
                tracing::warn!(path = %self.path().display(), %fault, "aborted transactions are kept in memory");
                self.file.set(InFile { is_ragged: true, ..self.file.get() });
                Ok(())
            }
            Err(fault) => Err(fault),
        }
    }

    async fn append(&self, rows: &[AbortedRow]) -> Result<(), Fault> {
        let file = self.file.get();
        let mut bytes = Vec::with_capacity(ABORTED_HEADER_BYTES + rows.len() * ABORTED_ROW_BYTES);
        if !file.is_made {
            bytes.extend_from_slice(&encode_header(file.purged_end));
        }
        rows.iter().for_each(|row| bytes.extend_from_slice(&row.encode()));
        let disk = &self.home.disk;
        if !file.is_made {
            let made = replace(disk, &self.path(), bytes.into()).await;
            return made.map_err(|error| self.fault("write", error));
        }
        let handle = self.open_file().await?;
        if file.is_ragged {
            self.cut_file(&handle, file.end()).await?;
        }
        let written = disk.write(&handle, file.end(), vec![bytes.into()]).await;
        written.map_err(|error| self.fault("write", error))?;
        disk.sync(&handle).await.map_err(|error| self.fault("sync", error))
    }

    // ---- look up ------------------------------------------------------------------------------------------

    /// The rows of the transactions with records from `start` to `end` (Kafka's `collectAbortedTxns`): those
    /// with a marker at or behind `start` and the first record before `end`.
    async fn overlapping(&self, start: Offset, end: Offset) -> Result<Vec<AbortedRow>, Fault> {
        while start < end && self.last_marker().is_some_and(|last| start <= last) {
            let (file, removals) = (self.file.get(), self.removals.get());
            if removals % 2 == 1 {
                drop(self.changing.lock().await);
                continue;
            }
            // A gap has rows of transactions that are not known: any that were open at the row before, or
            // began later.
            if let Some(gap) = &*self.gap.borrow()
                && start <= gap.upto
                && end > file.rescan_from()
            {
                let unknown = || self.damage(file.rows, file.rescan_from());
                return Err(gap.fault.clone().unwrap_or_else(unknown));
            }
            let unsaved: Vec<_> = {
                let rows = self.unsaved.borrow();
                rows.iter().filter(|row| row.overlaps(start, end)).copied().collect()
            };
            let found = match file.last.is_some_and(|last| start <= last.marker_offset) {
                true => self.search(file, start, end).await,
                false => Ok((Vec::new(), false)),
            };
            if self.removals.get() != removals {
                continue;
            }
            let (mut found, is_all) = found?;
            if !is_all {
                found.extend(unsaved);
            }
            return Ok(found);
        }
        Ok(Vec::new())
    }

    /// The rows of the file among them, and whether no later row can be one.
    async fn search(
        &self,
        file: InFile,
        start: Offset,
        end: Offset,
    ) -> Result<(Vec<AbortedRow>, bool), Fault> {
        let handle = self.open_file().await?;
        let (mut next, _) = self.partition(&handle, file.rows, |row| row.marker_offset < start).await?;
        let mut found = Vec::new();
        while next < file.rows {
            let wanted = (file.rows - next).min(ROWS_AT_ONCE);
            let read = self.read(&handle, row_position(next), wanted as usize * ABORTED_ROW_BYTES).await?;
            let rows = decode_rows(&read, None);
            for row in &rows {
                if row.marker_offset < start {
                    // The search was led astray by a row that is not whole.
                    return Err(self.damage(next, start));
                }
                if row.overlaps(start, end) {
                    found.push(*row);
                }
                if row.last_stable >= end {
                    return Ok((found, true));
                }
            }
            if (rows.len() as u64) < wanted {
                return Err(self.damage(next + rows.len() as u64, start));
            }
            next += wanted;
            give_way().await;
        }
        Ok((found, false))
    }

    fn damage(&self, row: u64, offset: Offset) -> Fault {
        let what = Damage::AbortedRow { row };
        FaultKind::Damage { path: self.path(), position: row_position(row), offset, what }.into()
    }

    /// Reads some rows past the page cache, from this one on: where to go on, `None` behind the last one.
    async fn check(&self, next: u64) -> Result<Option<u64>, Fault> {
        let (file, removals) = (self.file.get(), self.removals.get());
        if next >= file.rows {
            return Ok(None);
        }
        let opened = self.home.disk.open(&self.path(), OpenMode::Durable).await;
        let handle = opened.map_err(|error| self.fault("open", error))?;
        let is_sound = match next {
            0 => decode_header(&self.read(&handle, Position::ZERO, ABORTED_HEADER_BYTES).await?).is_ok(),
            _ => true,
        };
        let wanted = (file.rows - next).min((CHECK_ROWS_BYTES / ABORTED_ROW_BYTES) as u64);
        let read = self.read(&handle, row_position(next), wanted as usize * ABORTED_ROW_BYTES).await?;
        let rows = decode_rows(&read, None).len() as u64;
        if is_sound && rows == wanted {
            return Ok(Some(next + wanted));
        }
        // What was read is not the log's any more.
        let is_stale = self.removals.get() != removals || self.file.get().rows < file.rows;
        if is_stale { Ok(None) } else { Err(self.damage(next + rows, Offset::ZERO)) }
    }

    /// Reads the whole file, and makes a gap of what follows the first row that is not whole.
    async fn judge(&self) -> Result<(), Fault> {
        let file = self.file.get();
        if !file.is_made || self.gap.borrow().is_some() {
            return Ok(());
        }
        let upto = file.last.map_or(Offset::ZERO, |last| last.marker_offset);
        let is_sound = match self.read_header().await? {
            Some((handle, _, purged_end)) => {
                let (rows, last) = self.walk(&handle, file.rows, purged_end).await?;
                if rows < file.rows {
                    *self.gap.borrow_mut() = Some(Gap { upto, fault: None });
                    self.file.set(InFile { rows, last, is_ragged: true, ..file });
                }
                true
            }
            None => false,
        };
        if !is_sound {
            *self.gap.borrow_mut() = Some(Gap { upto, fault: None });
            self.file.set(InFile { purged_end: file.purged_end, ..InFile::default() });
        }
        Ok(())
    }

    // ---- remove -------------------------------------------------------------------------------------------

    /// Removes the rows whose marker lies before `end`, if there are any, and for good: with the fault of a
    /// sync it is not known whether they may come back.
    async fn purge(&self, end: Offset) -> Result<(), Fault> {
        if self.is_unnamed.get() {
            self.sync_name().await?;
        }
        let file = self.file.get();
        let in_file = match file.rows {
            0 => 0,
            _ => {
                let handle = self.open_file().await?;
                self.partition(&handle, file.rows, |row| row.marker_offset < end).await?.0
            }
        };
        if in_file > 0 {
            self.rewrite(in_file, end).await?;
        }
        self.gap.borrow_mut().take_if(|gap| gap.upto < end);
        let mut unsaved = self.unsaved.borrow_mut();
        let before = unsaved.len();
        unsaved.retain(|row| row.marker_offset >= end);
        if unsaved.len() < before {
            self.removals.set(self.removals.get() + 2);
        }
        Ok(())
    }

    async fn sync_name(&self) -> Result<(), Fault> {
        let synced = self.home.disk.sync_dir(&self.home.directory).await;
        synced.map_err(|error| self.fault("sync", error))?;
        self.is_unnamed.set(false);
        Ok(())
    }

    /// Puts a file without the first `gone` rows in this one's place.
    async fn rewrite(&self, gone: u64, purged_end: Offset) -> Result<(), Fault> {
        let (file, disk) = (self.file.get(), &self.home.disk);
        let temporary = self.home.directory.join(format!("{}{}", names::ABORTED_FILE, names::TEMPORARY));
        let left = file.rows - gone;
        let renamed = match self.copy(&temporary, gone, purged_end).await {
            Ok(()) => {
                self.removals.set(self.removals.get() + 1);
                let renamed = disk.rename(&temporary, &self.path()).await;
                self.removals.set(self.removals.get() + 1);
                renamed
            }
            failed => failed,
        };
        if let Err(error) = renamed {
            let _ = disk.remove_file(&temporary).await;
            return Err(self.fault("write", error));
        }
        let last = file.last.filter(|_| left > 0);
        self.file.set(InFile { purged_end, rows: left, last, is_ragged: false, ..file });
        self.is_unnamed.set(true);
        self.sync_name().await
    }

    /// Writes and syncs a file without the first `gone` rows.
    async fn copy(&self, to: &Path, gone: u64, purged_end: Offset) -> io::Result<()> {
        let (disk, end) = (&self.home.disk, self.file.get().end());
        let new = disk.open(to, OpenMode::Truncate).await?;
        disk.write(&new, Position::ZERO, vec![encode_header(purged_end).to_vec().into()]).await?;
        let old = disk.open(&self.path(), OpenMode::Existing).await?;
        let shift = row_position(gone) - row_position(0);
        let mut position = row_position(gone);
        while position < end {
            let bytes = disk.read(&old, position, COPY_BYTES.min((end - position) as usize)).await?;
            if bytes.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let length = bytes.len() as u64;
            disk.write(&new, Position(position.0 - shift), vec![bytes]).await?;
            position += length;
            give_way().await;
        }
        disk.sync(&new).await
    }

    /// Cuts the rows off whose marker lies at or behind `end`, durably.
    async fn cut(&self, end: Offset) -> Result<(), Fault> {
        self.forget_from(end);
        let file = self.file.get();
        if !file.is_made || file.last.is_none_or(|last| last.marker_offset < end) && file.purged_end <= end {
            return Ok(());
        }
        let handle = self.open_file().await?;
        if file.purged_end > end {
            // None that is left is wanted, and what is appended now lies before what its header says.
            self.file.set(InFile { purged_end: end, ..InFile::default() });
            let made = replace(&self.home.disk, &self.path(), encode_header(end).to_vec().into()).await;
            made.map_err(|error| self.fault("write", error))?;
            self.file.set(InFile { is_made: true, purged_end: end, ..InFile::default() });
            return Ok(());
        }
        let (rows, last) = self.partition(&handle, file.rows, |row| row.marker_offset < end).await?;
        let file = InFile { rows, last, is_ragged: false, ..file };
        self.file.set(file);
        self.cut_file(&handle, file.end()).await
    }
}

impl<D: Disk> Log<D> {
    /// The aborted transactions that a reader of the offsets from `start` to `end` has to be told of.
    pub(crate) async fn aborted_between(
        &self,
        start: Offset,
        end: Offset,
    ) -> Result<Vec<AbortedTransaction>, Fault> {
        let rows = self.aborted_rows(start, end).await?;
        let told = |row: &AbortedRow| AbortedTransaction {
            producer_id: row.producer_id,
            first_offset: row.first_offset,
        };
        Ok(rows.iter().map(told).collect())
    }

    /// The rows of these transactions, by marker. Those that the file has lost are looked for in the log.
    pub(crate) async fn aborted_rows(&self, start: Offset, end: Offset) -> Result<Vec<AbortedRow>, Fault> {
        match self.aborted.overlapping(start, end).await {
            Err(fault) if fault.is_damage() => {
                tracing::error!(partition = %self.partition, %fault, "aborted transactions are looked for in the log");
                let _changing = self.aborted.changing.lock().await;
                self.aborted.judge().await?;
                // In memory: the name may be that of another topic's file by now. The next sync saves it.
                self.fill_gap().await?;
            }
            found => return found,
        }
        self.aborted.overlapping(start, end).await
    }

    /// Reads some rows of the file from the medium, from this one on, counted from 0: where to go on, `None`
    /// behind the last one.
    pub(crate) async fn check_aborted(&self, next: u64) -> Result<Option<u64>, Fault> {
        self.aborted.check(next).await
    }

    /// Whether so many rows wait in memory that a sync is due.
    pub(crate) fn wants_sync(&self) -> bool {
        self.aborted.is_crowded()
    }

    /// How often rows were removed: a reader that has seen another number reads again, since what it has read
    /// may be of segments that are replaced.
    pub(crate) fn aborted_removals(&self) -> u64 {
        self.aborted.removals.get()
    }

    /// Makes the rows durable that are known so far.
    pub(super) async fn save_aborted(&self) -> Result<(), Fault> {
        if self.aborted.unsaved.borrow().is_empty() && self.aborted.gap.borrow().is_none() {
            return Ok(());
        }
        let _changing = self.aborted.changing.lock().await;
        // The log is damaged, too: the rows stay in memory, and readers are told why they are not.
        if let Err(fault) = self.fill_gap().await
            && !fault.is_damage()
        {
            tracing::warn!(partition = %self.partition, %fault, "aborted transactions can not be looked for in the log");
        }
        self.aborted.save().await
    }

    /// Looks for the rows that the file has lost.
    pub(super) async fn fill_gap(&self) -> Result<(), Fault> {
        let Some(gap) = self.aborted.gap.borrow().clone() else { return Ok(()) };
        let file = self.aborted.file.get();
        match self.scan_aborted(file, gap.upto).await {
            Ok(mut rows) => {
                let mut unsaved = self.aborted.unsaved.borrow_mut();
                rows.append(&mut unsaved);
                *unsaved = rows;
                *self.aborted.gap.borrow_mut() = None;
                Ok(())
            }
            Err(fault) => {
                let known = fault.is_damage().then(|| fault.clone());
                *self.aborted.gap.borrow_mut() = Some(Gap { fault: known, ..gap });
                Err(fault)
            }
        }
    }

    /// The rows of markers behind the last one of `file` and up to `upto`, as the log tells them.
    async fn scan_aborted(&self, file: InFile, upto: Offset) -> Result<Vec<AbortedRow>, Fault> {
        let from = file.rescan_from();
        let mut transactions = Transactions::default();
        let mut found = Vec::new();
        let segments = self.segments.borrow().clone();
        for segment in
            segments.iter().filter(|segment| segment.end().next_offset > from && segment.base() <= upto)
        {
            let Some((start, first)) = segment.locate(from.max(segment.base())).await? else { continue };
            let mut scan = HeaderScan::at(segment, start, first, segment.end().position);
            while let Some((position, header)) = scan.next().await? {
                if header.base_offset() > upto {
                    return Ok(found);
                }
                let end = match header.is_control() {
                    true => EndMarker::read(&segment.read_batch(position).await?),
                    false => None,
                };
                let row = transactions.pass(&header, end.map(|end| end.result));
                found.extend(row.filter(|row| file.last.is_none_or(|last| last.precedes(row))));
            }
            give_way().await;
        }
        Ok(found)
    }

    /// Removes the rows of transactions that lie before the log start, once they are more than half.
    pub(crate) async fn purge_deleted(&self) -> Result<(), Fault> {
        let aborted = &self.aborted;
        let log_start = self.log_start.get();
        let _changing = aborted.changing.lock().await;
        let file = aborted.file.get();
        if file.rows == 0 {
            return Ok(());
        }
        let handle = aborted.open_file().await?;
        let middle = aborted.read(&handle, row_position(file.rows / 2), ABORTED_ROW_BYTES).await?;
        drop(handle);
        match AbortedRow::decode(&middle) {
            Some(middle) if middle.marker_offset < log_start => aborted.purge(log_start).await,
            _ => Ok(()),
        }
    }

    /// Removes the rows of markers before `end`: compaction has removed all records of their transactions.
    pub(crate) async fn purge_cleaned(&self, end: Offset) -> Result<(), Fault> {
        let aborted = &self.aborted;
        let _changing = aborted.changing.lock().await;
        aborted.purge(end).await
    }

    /// Cuts the rows off whose marker was cut off, durably.
    pub(super) async fn cut_aborted(&self, end: Offset) -> Result<(), Fault> {
        let _changing = self.aborted.changing.lock().await;
        self.aborted.cut(end).await
    }
}

#[cfg(test)]
mod tests;
