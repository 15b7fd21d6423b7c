//! A segment's index: in memory while the segment is in use, and its file.
//!
//! The file is appended to in checksummed chunks and may lack the last entries, which are made again from the
//! headers of batches; what it has behind a recovery point, or of what was cut off, does not count and is
//! taken out durably. What goes into the index comes from intact batches only. Where segments end, and when
//! their entries are asked for, is left to [`Segment`].

use std::io;
use std::rc::Rc;

use super::{HeaderScan, Segment};
use crate::error::{Fault, io_fault};
use crate::format::index::{self, IndexEntry};
use crate::io::{Disk, OpenMode};
use crate::types::{Offset, Position, Timestamp};

/// Largest index file that is read, in bytes: a segment of 2 GiB with an entry every 256 bytes has no larger
/// one.
const INDEX_BYTES_MAX: u64 = 160 << 20;

/// Distance of index entries that are made by reading headers, where the topic's own setting is not at hand.
pub(crate) const INDEX_STRIDE_BYTES: u64 = 4096;

/// The index as far as it is in memory, and how much of it the index file has.
pub(super) struct IndexState {
    /// `None` while it is not loaded.
    pub(super) entries: Option<Vec<IndexEntry>>,
    /// Entries and bytes that the file holds; `None` while that is not known.
    pub(super) persisted: Option<Persisted>,
    /// Entries of the file that start behind this position come from before a recovery and do not count.
    pub(super) trusted: Position,
    /// Where the batches that the file has no entries for are damaged: what lies behind is not known, nor is
    /// the largest timestamp.
    pub(super) damage: Option<Fault>,
}

impl IndexState {
    pub(super) fn unloaded(trusted: Position) -> IndexState {
        IndexState { entries: None, persisted: None, trusted, damage: None }
    }
}

#[derive(Clone, Copy)]
pub(super) struct Persisted {
    pub(super) entries: usize,
    pub(super) bytes: u64,
}

impl<D: Disk> Segment<D> {
    pub(super) fn with_entries<T>(&self, look: impl FnOnce(&[IndexEntry]) -> T) -> T {
        look(self.index.borrow().entries.as_deref().expect("the index was loaded"))
    }

    /// The offset of the batch at `position`, if the index is loaded and has an entry for it.
    pub(super) fn indexed_offset(&self, position: Position) -> Option<Offset> {
        let index = self.index.borrow();
        let entries = index.entries.as_deref()?;
        let at = entries.binary_search_by_key(&position, IndexEntry::start).ok()?;
        Some(self.base.plus(i64::from(entries[at].relative_offset)))
    }

    /// The first batch behind `position` that the index knows: where it stands, and the offset that it begins
    /// with.
    pub(crate) async fn next_indexed(
        self: &Rc<Self>,
        position: Position,
    ) -> Result<Option<(Position, Offset)>, Fault> {
        self.load_index().await?;
        Ok(self.with_entries(|entries| {
            let next = entries.get(entries.partition_point(|entry| entry.start() <= position))?;
            Some((next.start(), self.base.plus(i64::from(next.relative_offset))))
        }))
    }

    /// An offset that no batch before `position` reaches, which is a boundary: that of the next batch that
    /// the index knows, or the end.
    pub(crate) async fn offset_behind(self: &Rc<Self>, position: Position) -> Result<Offset, Fault> {
        let end = self.end();
        if position >= end.position || position == Position::ZERO {
            return Ok(end.next_offset);
        }
        let next = self.next_indexed(Position(position.0 - 1)).await?;
        Ok(next.map_or(end.next_offset, |(_, offset)| offset))
    }

    /// The position of the last index entry, 0 without one.
    pub(crate) fn last_indexed(&self) -> Position {
        self.with_entries(|entries| entries.last().map_or(Position::ZERO, IndexEntry::start))
    }

    /// Brings the index into memory: from its file, and from the batch headers behind the file's last entry.
    pub(crate) async fn load_index(self: &Rc<Self>) -> Result<(), Fault> {
        self.home.files.touch(self);
        loop {
            self.load_index_once().await?;
            if self.index.borrow().entries.is_some() {
                return Ok(());
            }
        }
    }

    /// Loads the index, unless the file is cut meanwhile.
    async fn load_index_once(self: &Rc<Self>) -> Result<(), Fault> {
        let truncations = self.truncations.get();
        if self.index.borrow().entries.is_some() {
            return Ok(());
        }
        let end = self.end.get();
        let trusted = self.index.borrow().trusted;
        let (mut entries, persisted) = self.read_index_file(trusted).await?;
        // Meanwhile another task may have loaded it for good, and the file under its name be that of the
        // segment in this one's place.
        if self.kept_open.get() && self.index.borrow().entries.is_some() {
            return Ok(());
        }
        let (mut last, first) = entries.last().map_or((Position::ZERO, self.base), |entry| {
            (entry.start(), self.base.plus(i64::from(entry.relative_offset)))
        });
        let mut max_timestamp = entries.last().map_or(Timestamp::NONE, |entry| entry.max_timestamp);
        // What goes into the index is trusted later: it comes from intact batches only.
        let intact = self.verify(last, first, end.position).await?;
        let mut damage = intact.damage;
        let mut scan = HeaderScan::at(self, last, first, intact.end);
        loop {
            let (position, header) = match scan.next().await {
                Ok(Some(next)) => next,
                Ok(None) => break,
                Err(fault) if fault.is_damage() => {
                    damage = damage.or(Some(fault));
                    break;
                }
                Err(fault) => return Err(fault),
            };
            if position - last >= INDEX_STRIDE_BYTES {
                entries.push(boundary(self.base, header.base_offset(), position, max_timestamp));
                last = position;
            }
            // A batch that compaction has emptied keeps the time of a record that is gone.
            if header.record_count() > 0 {
                max_timestamp = max_timestamp.max(header.max_timestamp());
            }
        }
        let first_timestamp = match HeaderScan::at(self, Position::ZERO, self.base, end.position).next().await
        {
            Ok(first) => first.map(|(_, header)| header.max_timestamp()),
            Err(fault) if fault.is_damage() => None,
            Err(fault) => return Err(fault),
        };
        // Another task may have loaded it, and appended to it, while this one was reading.
        let mut index = self.index.borrow_mut();
        if index.entries.is_none() && self.truncations.get() == truncations {
            index.entries = Some(entries);
            index.persisted = Some(persisted);
            index.damage = damage;
            let mut end = self.end.get();
            end.max_timestamp = end.max_timestamp.max(max_timestamp);
            end.first_timestamp = end.first_timestamp.or(first_timestamp);
            self.end.set(end);
        }
        Ok(())
    }

    /// The entries of the index file that can be trusted. Others are cut off durably, or they would come back
    /// as truth later.
    async fn read_index_file(&self, trusted: Position) -> Result<(Vec<IndexEntry>, Persisted), Fault> {
        let path = self.index_path();
        let fault = |error: io::Error| io_fault("read", &path, Position::ZERO, error);
        let Some(bytes) =
            crate::io::read_whole(&self.home.disk, &path, INDEX_BYTES_MAX).await.map_err(fault)?
        else {
            return Ok((Vec::new(), Persisted { entries: 0, bytes: 0 }));
        };
        let (entries, valid_bytes) = match index::decode_index(&bytes) {
            Ok(decoded) if decoded.base == self.base => (decoded.entries, decoded.valid_bytes),
            Ok(_) | Err(_) => (Vec::new(), 0),
        };
        let usable = entries.partition_point(|entry| entry.start() <= trusted);
        if usable == entries.len() && valid_bytes == bytes.len() && !self.index_outlives_cut.get() {
            let persisted = Persisted { entries: entries.len(), bytes: bytes.len() as u64 };
            return Ok((entries, persisted));
        }
        tracing::info!(path = %path.display(), "the index ends beyond what was recovered; it is written anew");
        self.index_outlives_cut.set(true);
        let file = self.home.disk.open(&path, OpenMode::Existing).await.map_err(fault)?;
        self.home.disk.set_len(&file, 0).await.map_err(fault)?;
        self.home.disk.sync(&file).await.map_err(fault)?;
        self.index_outlives_cut.set(false);
        Ok((entries[..usable].to_vec(), Persisted { entries: 0, bytes: 0 }))
    }

    /// Appends the entries up to `position` that the index file lacks. A crash may lose them; they are made
    /// again by reading.
    pub(crate) async fn persist_index(self: &Rc<Self>, position: Position) -> io::Result<()> {
        let (offset, chunk, entries) = {
            let index = self.index.borrow();
            let (Some(entries), Some(persisted)) = (index.entries.as_deref(), index.persisted) else {
                return Ok(());
            };
            let upto = entries.partition_point(|entry| entry.start() <= position);
            if upto <= persisted.entries {
                return Ok(());
            }
            let mut chunk = Vec::new();
            if persisted.bytes == 0 {
                chunk.extend_from_slice(&index::encode_header(self.base));
            }
            chunk.extend_from_slice(&index::encode_chunk(&entries[persisted.entries..upto]));
            (persisted.bytes, chunk, upto)
        };
        let file = self.home.disk.open(&self.index_path(), OpenMode::Create).await?;
        let bytes = offset + chunk.len() as u64;
        self.home.disk.write(&file, Position(offset), vec![chunk.into()]).await?;
        self.index.borrow_mut().persisted = Some(Persisted { entries, bytes });
        Ok(())
    }

    /// Adds the boundary at the end, once no batch will follow: the file then tells the segment's largest
    /// timestamp.
    pub(crate) fn seal(&self) {
        let end = self.end.get();
        if let Some(entries) = self.index.borrow_mut().entries.as_mut()
            && entries.last().is_none_or(|entry| entry.start() < end.position)
            && end.position > Position::ZERO
        {
            entries.push(boundary(self.base, end.next_offset, end.position, end.max_timestamp));
        }
    }
}

/// The index entry for the batch that begins at `position`.
pub(crate) fn boundary(
    base: Offset,
    offset: Offset,
    position: Position,
    max_timestamp: Timestamp,
) -> IndexEntry {
    let narrow = "a segment rolls before an offset or a position in it passes 32 bits";
    IndexEntry {
        relative_offset: u32::try_from(offset.get() - base.get()).expect(narrow),
        position: u32::try_from(position.0).expect(narrow),
        max_timestamp,
    }
}
