//! Walking a segment's file from batch to batch.

use std::rc::Rc;

use bytes::{Buf, Bytes};

use super::Segment;
use crate::error::Fault;
use crate::format::batch::{BATCH_HEADER_BYTES, BatchHeader, verify_crc};
use crate::io::Disk;
use crate::types::{Offset, Position};

/// Bytes read at once: several small batches cost one read, a large one costs little more than its header.
const SCAN_READ_BYTES: usize = 8 << 10;

/// Bytes read at once where the records are read too.
const CHECK_READ_BYTES: usize = 1 << 20;

/// The headers between two batch boundaries of a segment. Records are not read, checksums are not verified.
pub(crate) struct HeaderScan<'a, D: Disk> {
    segment: &'a Rc<Segment<D>>,
    position: Position,
    end: Position,
    /// The least offset that the next batch may begin with.
    next: Offset,
    /// Bytes of the file from `position` on.
    ahead: Bytes,
}

impl<'a, D: Disk> HeaderScan<'a, D> {
    /// # Panics
    /// Never; `position` should be a boundary, or the first step reports damage.
    pub(crate) fn new(segment: &'a Rc<Segment<D>>, position: Position, end: Position) -> HeaderScan<'a, D> {
        HeaderScan { segment, position, end, next: segment.base(), ahead: Bytes::new() }
    }

    /// The next batch's position and header.
    pub(crate) async fn next(&mut self) -> Result<Option<(Position, BatchHeader)>, Fault> {
        if self.position >= self.end {
            return Ok(None);
        }
        if self.ahead.len() < BATCH_HEADER_BYTES {
            let wanted = SCAN_READ_BYTES.min((self.end - self.position) as usize);
            self.ahead = self.segment.read(self.position, wanted).await?;
        }
        let position = self.position;
        let header = *BatchHeader::peek(&self.ahead)
            .map_err(|error| self.segment.damage(position, error.to_string()))?;
        let total = header.total_bytes();
        if position + total as u64 > self.end {
            return Err(self.segment.damage(position, format!("a batch of {total} bytes crosses the end")));
        }
        // No checksum covers a base offset: what does not continue the batches before, or leaves the segment, is damage.
        let (base, offset) = (self.segment.base().get(), header.base_offset());
        let fits = offset >= self.next
            && header.next_offset() <= self.segment.end().next_offset
            && u32::try_from(offset.get() - base).is_ok()
            && u32::try_from(position).is_ok();
        if !fits {
            return Err(self
                .segment
                .damage(position, format!("a batch with the offset {offset}, which does not fit")));
        }
        self.next = header.next_offset();
        self.position += total as u64;
        self.ahead.advance(total.min(self.ahead.len()));
        Ok(Some((position, header)))
    }
}

/// The whole batches of a closed segment, one after the other. Checksums are left to who takes them.
pub(crate) struct BatchScan<D: Disk> {
    segment: Rc<Segment<D>>,
    position: Position,
    next: Offset,
    /// Bytes of the file from `position` on.
    ahead: Bytes,
}

impl<D: Disk> BatchScan<D> {
    pub(crate) fn new(segment: Rc<Segment<D>>) -> BatchScan<D> {
        let next = segment.base();
        BatchScan { segment, position: 0, next, ahead: Bytes::new() }
    }

    /// Whether all batches were given out.
    pub(crate) fn is_at_end(&self) -> bool {
        self.position >= self.segment.end().position
    }

    /// The next batch with its position.
    pub(crate) async fn next(&mut self) -> Result<Option<(Position, Bytes)>, Fault> {
        if self.is_at_end() {
            return Ok(None);
        }
        let (position, end) = (self.position, self.segment.end());
        let left = (end.position - position) as usize;
        if self.ahead.len() < BATCH_HEADER_BYTES.min(left) {
            self.ahead = self.segment.read(position, CHECK_READ_BYTES.min(left)).await?;
        }
        let damage = |what: String| self.segment.damage(position, what);
        let header = *BatchHeader::peek(&self.ahead).map_err(|error| damage(error.to_string()))?;
        let total = header.total_bytes();
        if total > left {
            return Err(damage(format!("a batch of {total} bytes crosses the end")));
        }
        if header.base_offset() < self.next || header.next_offset() > end.next_offset {
            return Err(damage(format!(
                "a batch with the offset {}, which does not fit",
                header.base_offset()
            )));
        }
        if self.ahead.len() < total {
            self.ahead = self.segment.read(position, total.max(CHECK_READ_BYTES).min(left)).await?;
        }
        if self.ahead.len() < total {
            return Err(self
                .segment
                .damage(position, format!("the file ends, {} bytes were there", end.position)));
        }
        self.position += total as u64;
        self.next = header.next_offset();
        Ok(Some((position, self.ahead.split_to(total))))
    }
}

/// One batch that [`scan_checked`] found intact.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scanned {
    pub(crate) position: Position,
    pub(crate) header: BatchHeader,
}

/// Reads the file from `position` to `length` and finds the longest row of intact batches that continues `next`; after a crash
/// what follows them is a torn tail. At each batch its checksum is verified and its base offset must continue the one before.
pub(crate) async fn scan_checked<D: Disk>(
    segment: &Rc<Segment<D>>,
    position: Position,
    length: Position,
    next: Offset,
) -> Result<Vec<Scanned>, Fault> {
    let mut found = Vec::new();
    let mut at = position;
    let mut next = next;
    let mut ahead = Bytes::new();
    while at < length {
        if ahead.len() < BATCH_HEADER_BYTES {
            ahead = segment.read(at, CHECK_READ_BYTES.min((length - at) as usize)).await?;
        }
        let Ok(header) = BatchHeader::peek(&ahead).copied() else { break };
        let total = header.total_bytes();
        if at + total as u64 > length || header.base_offset() != next {
            break;
        }
        if ahead.len() < total {
            ahead = segment.read(at, total.max(CHECK_READ_BYTES).min((length - at) as usize)).await?;
        }
        if ahead.len() < total || verify_crc(&ahead[..total]).is_err() {
            break;
        }
        found.push(Scanned { position: at, header });
        next = header.next_offset();
        at += total as u64;
        ahead.advance(total);
    }
    Ok(found)
}
