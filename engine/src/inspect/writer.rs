//! Writing a partition's directory anew, batch after batch, as the engine would have left it after a clean
//! stop.
//!
//! What is missing is said in the log itself: a batch without records takes the place of it, as compaction
//! leaves them. So nothing that reads the log, and no later compaction, meets a hole, and every offset stays
//! what it was.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use bytes::BytesMut;

use crate::format::batch::{self, BatchHeader};
use crate::format::index::{self, IndexEntry};
use crate::format::names;
use crate::segment::{INDEX_STRIDE_BYTES, boundary};
use crate::types::{EpochStart, LeaderEpoch, Offset, Position, Timestamp};

/// Bytes after which a segment ends, whatever the source has: Kafka's default.
const SEGMENT_BYTES: u64 = 1 << 30;

/// The most batches that stand for one missing range; each takes 2^31 offsets, and what is longer was made
/// up.
const FILLERS_MAX: usize = 64;

/// The log of one partition in the making.
pub(super) struct LogWriter {
    directory: PathBuf,
    segment: Option<SegmentWriter>,
    /// The offset behind the last batch.
    next: Option<Offset>,
    /// Where the leader epochs of the batches begin.
    epochs: Vec<EpochStart>,
}

/// The entries of an index, collected from batch to batch.
#[derive(Debug)]
pub(super) struct IndexBuilder {
    base: Offset,
    entries: Vec<IndexEntry>,
    last: Position,
    max: Timestamp,
}

impl IndexBuilder {
    pub(super) fn new(base: Offset) -> IndexBuilder {
        IndexBuilder { base, entries: Vec::new(), last: Position::ZERO, max: Timestamp::NONE }
    }

    pub(super) fn pass(&mut self, position: Position, header: &BatchHeader) {
        if position - self.last >= INDEX_STRIDE_BYTES {
            self.entries.push(boundary(self.base, header.base_offset(), position, self.max));
            self.last = position;
        }
        if header.record_count() > 0 {
            self.max = self.max.max(header.max_timestamp());
        }
    }

    /// The whole file.
    pub(super) fn finish(self) -> Vec<u8> {
        let mut bytes = index::encode_header(self.base);
        if !self.entries.is_empty() {
            bytes.extend(index::encode_chunk(&self.entries));
        }
        bytes
    }
}

struct SegmentWriter {
    base: Offset,
    path: PathBuf,
    file: BufWriter<File>,
    position: Position,
    index: IndexBuilder,
}

impl LogWriter {
    pub(super) fn new(directory: &Path) -> LogWriter {
        LogWriter { directory: directory.to_owned(), segment: None, next: None, epochs: Vec::new() }
    }

    /// Ends the segment: the next batch begins another one.
    pub(super) fn roll(&mut self, at: Offset) -> io::Result<()> {
        // A segment ends where the next one begins.
        self.fill(at)?;
        self.segment.take().map_or(Ok(()), SegmentWriter::finish)
    }

    /// Appends a batch behind all others. One of an older leader epoch than the last one was damaged there:
    /// it gets that.
    pub(super) fn push(&mut self, batch: &[u8]) -> io::Result<()> {
        let header = *BatchHeader::peek(batch).expect("it was found whole");
        let base = header.base_offset();
        let has_room = |segment: &SegmentWriter| {
            segment.position.0 + batch.len() as u64 <= SEGMENT_BYTES
                && header.next_offset().get() - segment.base.get() <= i64::from(i32::MAX)
        };
        if !self.segment.as_ref().is_none_or(has_room) {
            self.roll(base)?;
        }
        let epoch = header.leader_epoch().max(self.last_epoch());
        let segment = match &mut self.segment {
            Some(segment) => segment,
            None => {
                std::fs::create_dir_all(&self.directory)?;
                self.segment.insert(SegmentWriter::create(&self.directory, base)?)
            }
        };
        let mut stamped = BytesMut::from(batch);
        batch::stamp(&mut stamped, base, epoch);
        segment.write(&stamped, &header)?;
        if self.epochs.last().is_none_or(|last| last.epoch < epoch) {
            self.epochs.push(EpochStart { epoch, start: base });
        }
        self.next = Some(header.next_offset());
        Ok(())
    }

    /// Puts batches without records in the place of everything up to `end`.
    pub(super) fn fill(&mut self, end: Offset) -> io::Result<()> {
        for _ in 0..FILLERS_MAX {
            let Some(next) = self.next.filter(|next| *next < end) else { return Ok(()) };
            let count = (end.get() - next.get()).min(i64::from(i32::MAX));
            self.push(&batch::without_records(next, count as i32, self.last_epoch()))?;
        }
        Ok(())
    }

    fn last_epoch(&self) -> LeaderEpoch {
        self.epochs.last().map_or(LeaderEpoch::FIRST, |last| last.epoch)
    }

    /// Where the leader epochs of the batches begin.
    pub(super) fn epochs(&self) -> &[EpochStart] {
        &self.epochs
    }

    /// Says where the log begins that nothing was written to yet.
    pub(super) fn begin(&mut self, start: Offset) {
        self.next.get_or_insert(start);
    }

    /// Makes all of it durable, and gives the offset behind the last batch.
    pub(super) fn finish(mut self) -> io::Result<Option<Offset>> {
        if let Some(segment) = self.segment.take() {
            segment.finish()?;
            File::open(&self.directory)?.sync_all()?;
        }
        Ok(self.next)
    }
}

impl SegmentWriter {
    fn create(directory: &Path, base: Offset) -> io::Result<SegmentWriter> {
        let path = directory.join(names::segment_log(base));
        let file = BufWriter::with_capacity(1 << 20, File::create_new(&path)?);
        Ok(SegmentWriter { base, path, file, position: Position::ZERO, index: IndexBuilder::new(base) })
    }

    fn write(&mut self, batch: &[u8], header: &BatchHeader) -> io::Result<()> {
        self.index.pass(self.position, header);
        self.position += batch.len() as u64;
        self.file.write_all(batch)
    }

    fn finish(self) -> io::Result<()> {
        self.file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        let mut file = File::create_new(self.path.with_extension("index"))?;
        file.write_all(&self.index.finish())?;
        file.sync_all()
    }
}
