//! Which bytes of a segment are known to be what was written.
//!
//! ```text
//! file      |======== written before this process =========|==== written or checked by it ====|
//! verified      [----------]        [------]                [--------------------------------]
//! a fetch             <...........>                          only [ .... ) is read and checked, once
//! ```
//!
//! Records are sent from the file by its descriptor, so that nobody sees them on their way. What this process
//! has written, or read at its start, needs no check. Everything else is read and checked before it is sent
//! the first time (D5): each batch's CRC-32C, and what that does not cover - base offset, leader epoch and
//! length - by the batches before it. The read is the one that brings a cold range into memory.
//!
//! "Once" is as long as the segment is held. The system may drop the pages, and a sector that rots after its
//! check comes back rotten: that is what the scrub is for (`shard/scrub`), which reads the medium again and
//! again, and has what it finds damaged checked anew.

use std::rc::Rc;

use bytes::{Buf, Bytes};

use super::Segment;
use super::scan::Chain;
use crate::error::{Damage, Fault};
use crate::format::batch::{BATCH_HEADER_BYTES, BatchCrc, BatchHeader};
use crate::io::{Disk, yield_now};
use crate::types::{Offset, Position};

/// Bytes that are read and checked between two yields: some 30 us, half of it the copy.
const STEP_BYTES: usize = 128 << 10;

/// Bytes that one request brings into memory, as much as most fetches take; behind it the system reads ahead.
const PREFETCH_BYTES: u64 = 1 << 20;

/// Stretches that are remembered of one segment: readers that jump about leave many. The shortest is
/// forgotten, and checked again if need be.
const STRETCHES_MAX: usize = 64;

/// A row of whole batches that were checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stretch {
    start: Position,
    end: Position,
    /// The offset behind its last batch.
    next: Offset,
}

/// The stretches of a segment that were checked, in order, none touching another.
#[derive(Debug, Default)]
pub(super) struct VerifiedStretches(Vec<Stretch>);

impl VerifiedStretches {
    /// Adds the batches from `start` to `end`, behind which `next` follows.
    pub(super) fn note(&mut self, start: Position, end: Position, next: Offset) {
        if start >= end {
            return;
        }
        // What is appended comes behind all others.
        if let Some(last) = self.0.last_mut()
            && last.end == start
        {
            (last.end, last.next) = (end, next);
            return;
        }
        let first = self.0.partition_point(|stretch| stretch.end < start);
        let behind = self.0.partition_point(|stretch| stretch.start <= end);
        let mut new = Stretch { start, end, next };
        if let [one, ..] = self.0[first..behind] {
            new.start = new.start.min(one.start);
        }
        if let [.., one] = self.0[first..behind]
            && one.end > end
        {
            (new.end, new.next) = (one.end, one.next);
        }
        self.0.splice(first..behind, [new]);
        if self.0.len() > STRETCHES_MAX {
            let shortest = (0..self.0.len()).min_by_key(|at| self.0[*at].end - self.0[*at].start);
            self.0.remove(shortest.expect("there are many"));
        }
    }

    /// Nothing from `start` on is known any more.
    pub(super) fn forget_from(&mut self, start: Position) {
        self.0.retain(|stretch| stretch.end <= start);
    }

    /// Nothing of the stretch around `position` is known any more.
    fn forget_at(&mut self, position: Position) {
        self.0.retain(|stretch| position < stretch.start || stretch.end <= position);
    }

    /// What has to be checked of the batches from `position`, where `offset` begins, to `end`.
    fn unchecked(&self, position: Position, offset: Offset, end: Position) -> (Position, Offset, Position) {
        let holding = |at| {
            let behind = self.0.partition_point(|stretch| stretch.start <= at);
            self.0[..behind].last().filter(|stretch| at < stretch.end)
        };
        let (position, offset) =
            holding(position).map_or((position, offset), |stretch| (stretch.end, stretch.next));
        let end = match end > position {
            true => holding(Position(end.0 - 1)).map_or(end, |stretch| stretch.start),
            false => end,
        };
        (position, offset, end)
    }
}

/// How far batches are intact.
pub(crate) struct Intact {
    /// Where the last intact one ends, or the first would begin.
    pub(crate) end: Position,
    /// What is wrong with the next one.
    pub(crate) damage: Option<Fault>,
}

impl<D: Disk> Segment<D> {
    /// Checks the whole batches from `position`, where the one with `offset` begins, to `end`, as far as that
    /// was not done before.
    ///
    /// # Errors
    /// When the file can not be read. Damage is no error here: what stands before it is intact.
    pub(crate) async fn verify(
        self: &Rc<Self>,
        position: Position,
        offset: Offset,
        end: Position,
    ) -> Result<Intact, Fault> {
        let (start, offset, stop) = self.verified.borrow().unchecked(position, offset, end);
        if start >= stop {
            return Ok(Intact { end, damage: None });
        }
        // Where this fails, the reads below do, too, and tell.
        let file = self.file().await?;
        let _ = self.home.disk.prefetch(&file, start, PREFETCH_BYTES.min(stop - start)).await;
        let mut walk = Walk::new(self, start, offset, stop);
        let truncations = self.truncations.get();
        loop {
            let before = walk.position;
            let checked = walk.next(async |at, bytes| self.read(at, bytes).await).await;
            if self.truncations.get() != truncations {
                // What stands here is not known any more. Who asked sees that the log was truncated, and asks
                // again.
                return Ok(Intact { end: before, damage: None });
            }
            self.verified.borrow_mut().note(before, walk.position, walk.chain.next());
            match checked {
                Ok(Some(_)) => {}
                Ok(None) => return Ok(Intact { end, damage: None }),
                Err(fault) if fault.is_damage() => {
                    return Ok(Intact { end: walk.position, damage: Some(fault) });
                }
                Err(fault) => return Err(fault),
            }
        }
    }

    /// Has the batches around `position` checked again when they are read: they were found damaged on the
    /// medium.
    pub(crate) fn distrust(&self, position: Position) {
        self.verified.borrow_mut().forget_at(position);
    }
}

/// A walk from batch to batch that checks all there is to check, in steps of [`STEP_BYTES`].
pub(crate) struct Walk<'a, D: Disk> {
    segment: &'a Rc<Segment<D>>,
    chain: Chain,
    /// Where the next batch begins.
    pub(crate) position: Position,
    end: Position,
    /// Bytes of the file from `position` on.
    ahead: Bytes,
}

impl<'a, D: Disk> Walk<'a, D> {
    /// A walk from `position`, where the batch with `offset` begins, to `end`.
    pub(crate) fn new(
        segment: &'a Rc<Segment<D>>,
        position: Position,
        offset: Offset,
        end: Position,
    ) -> Walk<'a, D> {
        Walk { segment, chain: Chain::new(segment, offset), position, end, ahead: Bytes::new() }
    }

    /// The next batch's position and header; `None` at the end. `read` gives bytes of the file, fewer only at
    /// its end.
    ///
    /// # Errors
    /// Damage: the walk stands where it begins. Where the header still tells the batch's length,
    /// [`Walk::skip`] goes past it.
    pub(crate) async fn next(
        &mut self,
        read: impl AsyncFn(Position, usize) -> Result<Bytes, Fault>,
    ) -> Result<Option<(Position, BatchHeader)>, Fault> {
        if self.position >= self.end {
            return self.chain.check_end(self.segment, self.position).map(|()| None);
        }
        let left = self.end - self.position;
        let wanted = left.min(STEP_BYTES as u64) as usize;
        if self.ahead.len() < BATCH_HEADER_BYTES {
            self.refill(wanted, &read).await?;
        }
        let header = self.chain.check(self.segment, self.position, self.end, &self.ahead)?;
        let total = header.total_bytes();
        if self.ahead.len() < total.min(wanted) {
            self.refill(wanted, &read).await?;
        }
        let damage = |what: Damage| self.segment.damage_at(self.position, header.base_offset(), what);
        let here = self.ahead.len().min(total);
        if here < BATCH_HEADER_BYTES {
            return Err(damage(Damage::BatchCutOff { found: here, needed: total }));
        }
        let mut crc = BatchCrc::new(&self.ahead[..here]);
        let mut done = here;
        while done < total {
            let more = read(self.position + done as u64, (total - done).min(STEP_BYTES)).await?;
            if more.is_empty() {
                return Err(damage(Damage::BatchCutOff { found: done, needed: total }));
            }
            crc.add(&more);
            done += more.len();
            yield_now().await;
        }
        crc.finish().map_err(|error| damage(error.into()))?;
        let position = self.position;
        self.position += total as u64;
        self.ahead.advance(here);
        self.chain.pass(self.segment, &header);
        Ok(Some((position, header)))
    }

    async fn refill(
        &mut self,
        wanted: usize,
        read: &impl AsyncFn(Position, usize) -> Result<Bytes, Fault>,
    ) -> Result<(), Fault> {
        self.ahead = read(self.position, wanted).await?;
        yield_now().await;
        Ok(())
    }

    /// Goes past a damaged batch, if its header continues the chain; false when nobody knows where the next
    /// one begins.
    pub(crate) fn skip(&mut self) -> bool {
        let Ok(header) = self.chain.check(self.segment, self.position, self.end, &self.ahead) else {
            return false;
        };
        self.position += header.total_bytes() as u64;
        self.ahead.advance(self.ahead.len().min(header.total_bytes()));
        self.chain.pass(self.segment, &header);
        true
    }

    /// Goes on at another place, where the batch with `offset` begins.
    pub(crate) fn go_to(&mut self, position: Position, offset: Offset) {
        (self.position, self.ahead) = (position, Bytes::new());
        self.chain = Chain::new(self.segment, offset);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_to_check_is_what_a_set_of_bytes_says() {
        for seed in 0..200 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let (mut verified, mut bytes) = (VerifiedStretches::default(), [false; 300]);
            for _ in 0..rng.usize(1..40) {
                let start = rng.usize(..299);
                let end = rng.usize(start..300);
                verified.note(Position(start as u64), Position(end as u64), Offset::new(end as i64));
                bytes[start..end].fill(true);
                if rng.u8(..8) == 0 {
                    let cut = rng.usize(..300);
                    verified.forget_from(Position(cut as u64));
                    // A stretch goes as a whole.
                    let kept = verified.0.last().map_or(0, |stretch| stretch.end.0 as usize);
                    bytes[kept..].fill(false);
                }
                assert!(verified.0.windows(2).all(|pair| pair[0].end < pair[1].start), "in order, apart");
                let from = rng.usize(..300);
                let to = rng.usize(from..=300);
                let (start, next, stop) =
                    verified.unchecked(Position(from as u64), Offset::new(1000), Position(to as u64));
                let unchecked: Vec<_> = (from..to).filter(|at| !bytes[*at]).collect();
                match (unchecked.first(), unchecked.last()) {
                    (Some(first), Some(last)) => {
                        assert_eq!((start.0 as usize, stop.0 as usize), (*first, *last + 1));
                        assert_eq!(next.get(), if start.0 as usize == from { 1000 } else { start.0 as i64 });
                    }
                    _ => assert!(start >= stop, "all of {from}..{to} was checked, not {start}..{stop}"),
                }
            }
        }
    }

    #[test]
    fn what_is_remembered_of_a_segment_is_bounded() {
        let mut verified = VerifiedStretches::default();
        for at in 0..1000 {
            verified.note(Position(at * 10), Position(at * 10 + 1 + at % 3), Offset::new(0));
        }
        assert_eq!(verified.0.len(), STRETCHES_MAX);
    }
}
