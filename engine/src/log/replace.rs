//! Putting a segment in the place of several, as compaction does. It survives a crash at any point:
//!
//! | step | after a crash before the next step is durable, opening |
//! |---|---|
//! | `<base>.cleaned` is written and synced | removes it: nothing has happened |
//! | it is renamed to `<base>-<end>.swap`; the directory is synced | finds all done but the rest of this table, and does that |
//! | the logs from `base` to `end` but the first, and all indexes of them, are removed; the directory is synced | the same |
//! | it is renamed to `<base>.log`, over the first of them; the directory is synced | finds the new segment |
//!
//! So the one rename commits, and nothing that was replaced is ever seen beside what replaces it: a deleted
//! key would come back. The third step is durable before the fourth, which takes the word away that those
//! logs are to go.
//!
//! Only what the checkpoint on the disk has as durable and closed may be replaced; no recovery reads it, and
//! no journal is laid over it. Should the checkpoint be lost, the `compacted` file says how far that goes. It
//! is written before the first replacement.
//!
//! Readers of what is replaced finish it: the old segments keep file and index open as long as anybody holds
//! them.

use std::path::PathBuf;
use std::rc::Rc;

use bytes::BytesMut;

use super::Log;
use crate::error::{Fault, io_fault};
use crate::format::batch::BatchHeader;
use crate::format::compacted::Compacted;
use crate::format::index::IndexEntry;
use crate::format::names;
use crate::io::{Disk, OpenMode, replace};
use crate::segment::{Segment, SegmentEnd, boundary};
use crate::types::{Offset, Position, Timestamp};

/// Bytes that are written at once.
const WRITE_BYTES: usize = 1 << 20;

/// A segment in the making.
pub(crate) struct Replacement<D: Disk> {
    replaced: Vec<Rc<Segment<D>>>,
    /// How often the log had been truncated.
    truncations: u32,
    path: PathBuf,
    file: D::File,
    end: SegmentEnd,
    entries: Vec<IndexEntry>,
    last_indexed: Position,
    index_interval_bytes: u64,
    /// Bytes that are not written yet, and where they go.
    unwritten: BytesMut,
    written: Position,
}

impl<D: Disk> Replacement<D> {
    /// Whether a batch of so many bytes can be appended: positions have 32 bits.
    pub(crate) fn has_room(&self, bytes: usize) -> bool {
        self.end.position + bytes as u64 <= Position::from(u32::MAX)
    }

    /// Bytes so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.end.position.0
    }

    /// Appends a batch, which begins where the one before ends.
    ///
    /// # Panics
    /// When it does not, or there is no room.
    pub(crate) async fn push(&mut self, disk: &D, batch: &[u8]) -> Result<(), Fault> {
        let header = *BatchHeader::peek(batch).expect("it was a batch before");
        assert_eq!(header.base_offset(), self.end.next_offset, "a new segment has no gaps");
        let position = self.end.position;
        if position > Position::ZERO && position - self.last_indexed >= self.index_interval_bytes {
            let base = self.replaced[0].base();
            self.entries.push(boundary(base, header.base_offset(), position, self.end.max_timestamp));
            self.last_indexed = position;
        }
        let newest = if header.record_count() > 0 { header.max_timestamp() } else { Timestamp::NONE };
        self.end = SegmentEnd {
            position: position + batch.len() as u64,
            next_offset: header.next_offset(),
            first_timestamp: self.end.first_timestamp.or(Some(header.max_timestamp())),
            max_timestamp: self.end.max_timestamp.max(newest),
        };
        // Copied: a batch that is read is a slice of what was read at once, and a small one would hold on to
        // all of it.
        self.unwritten.extend_from_slice(batch);
        if self.unwritten.len() >= WRITE_BYTES { self.write(disk).await } else { Ok(()) }
    }

    async fn write(&mut self, disk: &D) -> Result<(), Fault> {
        let position = self.written;
        let bytes = self.unwritten.split().freeze();
        disk.write(&self.file, position, vec![bytes]).await.map_err(|error| self.fault("write", error))?;
        self.written = self.end.position;
        // The sync at the end finds little to do, and commits do not wait behind a whole segment. A hint: it
        // may fail.
        let _ = disk.write_back(&self.file, position, self.written - position).await;
        Ok(())
    }

    fn fault(&self, doing: &'static str, error: std::io::Error) -> Fault {
        io_fault(doing, &*self.path, self.written, error)
    }
}

impl<D: Disk> Log<D> {
    /// The sealed segments of which all lies before `end`, from the one with the log start on.
    pub(crate) fn sealed_segments(&self, end: Offset) -> Vec<Rc<Segment<D>>> {
        let segments = self.segments.borrow();
        let log_start = self.log_start.get();
        let active = usize::from(!self.rolled.get());
        let closed = &segments[..segments.len().saturating_sub(active)];
        let lies_before = |segment: &&Rc<Segment<D>>| {
            segment.end().next_offset > log_start && segment.end().next_offset <= end
        };
        closed.iter().filter(lies_before).cloned().collect()
    }

    /// How far the log was compacted.
    pub(crate) fn compacted(&self) -> Compacted {
        self.compacted.get()
    }

    /// Notes durably how far the log was compacted, or is going to be.
    pub(crate) async fn note_compacted(&self, compacted: Compacted) -> Result<(), Fault> {
        if compacted == self.compacted.get() {
            return Ok(());
        }
        let path = self.home.directory.join(names::COMPACTED_FILE);
        let written = replace(&self.home.disk, &path, compacted.encode()).await;
        written.map_err(|error| io_fault("write", path, Position::ZERO, error))?;
        self.compacted.set(compacted);
        Ok(())
    }

    /// Whether a replacement has failed after its commit: the next opening finishes it, and nothing else is
    /// replaced before.
    pub(crate) fn has_open_replacement(&self) -> bool {
        self.replacing.get()
    }

    /// Begins a segment in the place of `replaced`, which follow each other.
    pub(crate) async fn begin_replacement(
        &self,
        replaced: Vec<Rc<Segment<D>>>,
        index_interval_bytes: u64,
    ) -> Result<Replacement<D>, Fault> {
        let base = replaced[0].base();
        let path = self.home.directory.join(names::cleaned_segment(base));
        let opened = self.home.disk.open(&path, OpenMode::Truncate).await;
        let file = opened.map_err(|error| io_fault("open", &*path, Position::ZERO, error))?;
        let end = SegmentEnd::empty(base);
        Ok(Replacement {
            replaced,
            truncations: self.truncations.get(),
            path,
            file,
            end,
            entries: Vec::new(),
            last_indexed: Position::ZERO,
            index_interval_bytes,
            unwritten: BytesMut::new(),
            written: Position::ZERO,
        })
    }

    /// Forgets a replacement.
    pub(crate) async fn discard_replacement(&self, replacement: Replacement<D>) {
        // What stays behind is removed by the next opening, or emptied by the next attempt.
        let _ = self.home.disk.remove_file(&replacement.path).await;
    }

    /// Puts the new segment in the place of the old ones. False when one of those was deleted, or the log
    /// truncated, meanwhile: then nothing has happened.
    ///
    /// # Panics
    /// When the new segment does not end where the old ones do.
    pub(crate) async fn replace_segments(&self, mut replacement: Replacement<D>) -> Result<bool, Fault> {
        let _replacing = self.index_files.lock().await;
        let replaced = std::mem::take(&mut replacement.replaced);
        if self.find_all(&replaced).is_none() || self.truncations.get() != replacement.truncations {
            self.discard_replacement(replacement).await;
            return Ok(false);
        }
        let (base, end) = (replaced[0].base(), replaced[replaced.len() - 1].end().next_offset);
        assert_eq!(replacement.end.next_offset, end, "the last batch tells where the segment ends");
        let swap = self.home.directory.join(names::swap_segment(base, end));
        let prepared = async {
            replacement.write(&self.home.disk).await?;
            let synced = self.home.disk.sync(&replacement.file).await;
            synced.map_err(|error| replacement.fault("sync", error))?;
            for segment in &replaced {
                segment.keep_open().await?;
            }
            let renamed = self.home.disk.rename(&replacement.path, &swap).await;
            renamed.map_err(|error| replacement.fault("rename", error))
        };
        if let Err(fault) = prepared.await {
            self.discard_replacement(replacement).await;
            return Err(fault);
        }
        self.replacing.set(true);
        finish_swap(
            &self.home.disk,
            &self.home.directory,
            base,
            end,
            replaced.iter().map(|segment| segment.base()),
        )
        .await?;
        self.replacing.set(false);

        let Replacement { file, end, entries, .. } = replacement;
        // Whatever gaps there are in others.
        let segment = self.segment(base, end, end.position, true);
        segment.take_over(file, entries);
        segment.seal();
        let at =
            self.find_all(&replaced).expect("they are taken out in the background only, one after the other");
        self.segments.borrow_mut().splice(at..at + replaced.len(), [segment.clone()]);
        if let Err(error) = segment.persist_index(end.position).await {
            tracing::warn!(path = %segment.log_path().display(), %error, "the index was not written; it is kept in memory");
        }
        Ok(true)
    }

    /// Where these segments stand, one behind the other, if they do.
    fn find_all(&self, wanted: &[Rc<Segment<D>>]) -> Option<usize> {
        let segments = self.segments.borrow();
        let at = segments.iter().position(|segment| Rc::ptr_eq(segment, &wanted[0]))?;
        let there = segments.get(at..at + wanted.len())?;
        there.iter().zip(wanted).all(|(there, wanted)| Rc::ptr_eq(there, wanted)).then_some(at)
    }
}

/// Makes a swap durable, and finishes it: by the table above, from its second step on. `bases` are those of
/// the segments that it replaces, as far as they are still there.
pub(super) async fn finish_swap<D: Disk>(
    disk: &D,
    directory: &std::path::Path,
    base: Offset,
    end: Offset,
    bases: impl Iterator<Item = Offset>,
) -> Result<(), Fault> {
    let sync = async || {
        disk.sync_dir(directory).await.map_err(|error| io_fault("sync", directory, Position::ZERO, error))
    };
    sync().await?;
    for replaced in bases {
        let log = (replaced != base).then(|| names::segment_log(replaced));
        for name in log.into_iter().chain([names::segment_index(replaced)]) {
            let path = directory.join(name);
            match disk.remove_file(&path).await {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(io_fault("remove", path, Position::ZERO, error));
                }
                _ => {}
            }
        }
    }
    sync().await?;
    let (swap, log) =
        (directory.join(names::swap_segment(base, end)), directory.join(names::segment_log(base)));
    disk.rename(&swap, &log).await.map_err(|error| io_fault("rename", swap, Position::ZERO, error))?;
    sync().await
}
