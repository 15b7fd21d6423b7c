//! Walking a segment's file from batch to batch.

use std::rc::Rc;

use bytes::{Buf, Bytes};

use super::Segment;
use crate::error::{Damage, Fault};
use crate::format::batch::{BATCH_HEADER_BYTES, BatchHeader, verify_crc};
use crate::format::marker::EndMarker;
use crate::io::Disk;
use crate::types::{LeaderEpoch, Offset, Position};

/// Bytes read at once: several small batches cost one read, a large one costs little more than its header.
const SCAN_READ_BYTES: usize = 8 << 10;

/// Bytes of a control batch that are read: its first record lies in them.
const MARKER_READ_BYTES: usize = 1 << 10;

/// Bytes read at once where the records are read too.
const CHECK_READ_BYTES: usize = 1 << 20;

/// What the next batch of a segment has to look like to continue the ones before it. No checksum covers a
/// base offset, a leader epoch and a length: what does not fit is damage.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chain {
    next: Offset,
    /// Whether the next batch begins with `next`, and not perhaps later.
    exact: bool,
    /// The leader epoch of the batch before, or an older one.
    epoch: LeaderEpoch,
}

impl Chain {
    /// Before the batch with `offset`.
    pub(super) fn new<D: Disk>(segment: &Segment<D>, offset: Offset) -> Chain {
        Chain { next: offset, exact: segment.is_gapless(), epoch: LeaderEpoch::FIRST }
    }

    /// Before the batch at `position`, whose offset the index may know.
    fn at<D: Disk>(segment: &Segment<D>, position: Position) -> Chain {
        match segment.indexed_offset(position) {
            Some(offset) => Chain::new(segment, offset),
            None if position == Position::ZERO => Chain::new(segment, segment.base()),
            None => Chain { exact: false, ..Chain::new(segment, segment.base()) },
        }
    }

    /// The offset that the next batch begins with, at least.
    pub(super) fn next(&self) -> Offset {
        self.next
    }

    /// The header at the front of `bytes`, which stand at `position`; its batch lies before `end`.
    pub(super) fn check<D: Disk>(
        &self,
        segment: &Segment<D>,
        position: Position,
        end: Position,
        bytes: &[u8],
    ) -> Result<BatchHeader, Fault> {
        let damage = |what| segment.damage_at(position, self.next, what);
        let header = *BatchHeader::peek(bytes).map_err(|error| damage(error.into()))?;
        let total = header.total_bytes();
        if position + total as u64 > end {
            return Err(damage(Damage::BatchTooLong { bytes: total }));
        }
        let offset = header.base_offset();
        let expected = if self.exact { Some(self.next) } else { segment.indexed_offset(position) };
        let fits = offset >= self.next
            && expected.is_none_or(|expected| offset == expected)
            && header.next_offset() <= segment.end().next_offset
            && u32::try_from(offset.get() - segment.base().get()).is_ok()
            && u32::try_from(position.0).is_ok();
        if !fits {
            return Err(damage(Damage::BatchOffset { found: offset }));
        }
        let epoch = header.leader_epoch();
        if epoch < self.epoch || segment.home.epochs.contradict(offset, epoch) {
            return Err(damage(Damage::BatchEpoch { found: epoch }));
        }
        Ok(header)
    }

    /// Goes on behind a batch that fits.
    pub(super) fn pass<D: Disk>(&mut self, segment: &Segment<D>, header: &BatchHeader) {
        *self = Chain { epoch: header.leader_epoch(), ..Chain::new(segment, header.next_offset()) };
    }

    /// What is wrong where the segment's batches end: its last one ends where the next segment begins, or a
    /// segment between them is gone.
    pub(super) fn check_end<D: Disk>(&self, segment: &Segment<D>, position: Position) -> Result<(), Fault> {
        let end = segment.end();
        // A walk that has begun between two entries of the index and met no batch knows nothing.
        let is_known = self.next > segment.base() || position == Position::ZERO;
        if !is_known || position != end.position || self.next == end.next_offset {
            return Ok(());
        }
        let what = Damage::BatchesEnd { next: end.next_offset };
        Err(segment.damage_at(position, self.next, what))
    }
}

/// The headers between two batch boundaries of a segment. Records are not read, checksums are not verified.
pub(crate) struct HeaderScan<'a, D: Disk> {
    segment: &'a Rc<Segment<D>>,
    position: Position,
    end: Position,
    chain: Chain,
    /// Bytes of the file from `position` on.
    ahead: Bytes,
}

impl<'a, D: Disk> HeaderScan<'a, D> {
    /// # Panics
    /// Never; `position` should be a boundary, or the first step reports damage.
    pub(crate) fn new(segment: &'a Rc<Segment<D>>, position: Position, end: Position) -> HeaderScan<'a, D> {
        HeaderScan { segment, position, end, chain: Chain::at(segment, position), ahead: Bytes::new() }
    }

    /// A scan from `position`, where the batch with `offset` begins.
    pub(crate) fn at(
        segment: &'a Rc<Segment<D>>,
        position: Position,
        offset: Offset,
        end: Position,
    ) -> HeaderScan<'a, D> {
        HeaderScan { segment, position, end, chain: Chain::new(segment, offset), ahead: Bytes::new() }
    }

    /// The offset that the next batch begins with, at least.
    pub(crate) fn next_offset(&self) -> Offset {
        self.chain.next()
    }

    /// The next batch's position and header.
    pub(crate) async fn next(&mut self) -> Result<Option<(Position, BatchHeader)>, Fault> {
        if self.position >= self.end {
            return self.chain.check_end(self.segment, self.position).map(|()| None);
        }
        if self.ahead.len() < BATCH_HEADER_BYTES {
            let wanted = SCAN_READ_BYTES.min((self.end - self.position) as usize);
            self.ahead = self.segment.read(self.position, wanted).await?;
        }
        let position = self.position;
        let header = self.chain.check(self.segment, position, self.end, &self.ahead)?;
        let total = header.total_bytes();
        self.chain.pass(self.segment, &header);
        self.position += total as u64;
        self.ahead.advance(total.min(self.ahead.len()));
        Ok(Some((position, header)))
    }

    /// The next batch's header, and what it says if it is a marker.
    pub(crate) async fn next_with_marker(
        &mut self,
    ) -> Result<Option<(BatchHeader, Option<EndMarker>)>, Fault> {
        let Some((position, header)) = self.next().await? else { return Ok(None) };
        if !header.is_control() {
            return Ok(Some((header, None)));
        }
        let batch = self.segment.read(position, header.total_bytes().min(MARKER_READ_BYTES)).await?;
        Ok(Some((header, EndMarker::read(&batch))))
    }
}

/// The whole batches of a closed segment, one after the other. Checksums are left to who takes them.
pub(crate) struct BatchScan<D: Disk> {
    segment: Rc<Segment<D>>,
    position: Position,
    chain: Chain,
    /// Bytes of the file from `position` on.
    ahead: Bytes,
}

impl<D: Disk> BatchScan<D> {
    pub(crate) fn new(segment: Rc<Segment<D>>) -> BatchScan<D> {
        let chain = Chain::new(&segment, segment.base());
        BatchScan { segment, position: Position::ZERO, chain, ahead: Bytes::new() }
    }

    /// The next batch with its position.
    pub(crate) async fn next(&mut self) -> Result<Option<(Position, Bytes)>, Fault> {
        if self.position >= self.segment.end().position {
            return self.chain.check_end(&self.segment, self.position).map(|()| None);
        }
        let (position, end) = (self.position, self.segment.end());
        let left = (end.position - position) as usize;
        if self.ahead.len() < BATCH_HEADER_BYTES.min(left) {
            self.ahead = self.segment.read(position, CHECK_READ_BYTES.min(left)).await?;
        }
        let header = self.chain.check(&self.segment, position, end.position, &self.ahead)?;
        let total = header.total_bytes();
        if self.ahead.len() < total {
            self.ahead = self.segment.read(position, total.max(CHECK_READ_BYTES).min(left)).await?;
        }
        if self.ahead.len() < total {
            let what = Damage::FileShortened { known: end.position };
            return Err(self.segment.damage_at(position, header.base_offset(), what));
        }
        self.position += total as u64;
        self.chain.pass(&self.segment, &header);
        Ok(Some((position, self.ahead.split_to(total))))
    }
}

/// One batch that [`scan_checked`] found intact.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scanned {
    pub(crate) position: Position,
    pub(crate) header: BatchHeader,
    /// What a control batch says.
    pub(crate) marker: Option<EndMarker>,
}

/// Reads the file from `position` to `length` and finds the longest row of intact batches that continues
/// `next`; after a crash what follows them is a torn tail. At each batch its checksum is verified, its base
/// offset must continue the one before, and its leader epoch must not go back behind `epoch`.
pub(crate) async fn scan_checked<D: Disk>(
    segment: &Rc<Segment<D>>,
    position: Position,
    length: Position,
    next: Offset,
    epoch: LeaderEpoch,
) -> Result<Vec<Scanned>, Fault> {
    let mut found = Vec::new();
    let mut at = position;
    let (mut next, mut epoch) = (next, epoch);
    let mut ahead = Bytes::new();
    while at < length {
        if ahead.len() < BATCH_HEADER_BYTES {
            ahead = segment.read(at, CHECK_READ_BYTES.min((length - at) as usize)).await?;
        }
        let Ok(header) = BatchHeader::peek(&ahead).copied() else { break };
        let total = header.total_bytes();
        if at + total as u64 > length || header.base_offset() != next || header.leader_epoch() < epoch {
            break;
        }
        if ahead.len() < total {
            ahead = segment.read(at, total.max(CHECK_READ_BYTES).min((length - at) as usize)).await?;
        }
        if ahead.len() < total || verify_crc(&ahead[..total]).is_err() {
            break;
        }
        let marker = if header.is_control() { EndMarker::read(&ahead[..total]) } else { None };
        found.push(Scanned { position: at, header, marker });
        (next, epoch) = (header.next_offset(), header.leader_epoch());
        at += total as u64;
        ahead.advance(total);
    }
    Ok(found)
}
