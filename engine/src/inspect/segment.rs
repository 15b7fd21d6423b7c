//! Walking a `.log` file from batch to batch, over whatever damage there is. Kafka's own segments are read
//! alike.
//!
//! ```text
//! | batch | batch | ?????????????????? | batch | batch | ????
//!                   '- damage, up to     '- the next whole batch:
//!                      the next batch       where the damaged one says that it ends, or else found by its checksum
//! ```
//! A batch is whole when its checksum holds. That covers all but the first 21 bytes, and what else tells them
//! is this:
//!
//! | field | what tells it |
//! |---|---|
//! | base offset | the batches before and behind: each begins where the one before ends |
//! | length | where the next whole batch begins, if the checksum holds with it |
//! | leader epoch | the checkpoint's rows; behind the recovery point, and without rows, the batches before and behind: it never decreases |
//! | magic | there is one |
//!
//! One that does not fit is damage too, and where only one value fits, the batch is given with it
//! ([`Damage::restored`]).
//!
//! What a client has put into a record can look like a batch. It is found only inside a batch that is damaged
//! so that its length, or the offset behind it, is lost, and only if its base offset fits there.

use bytes::Bytes;

use super::source::Source;
use crate::format::batch::{
    self, BATCH_HEADER_BYTES, BATCH_OVERHEAD_BYTES, BATCH_PREFIX_BYTES, BatchError, BatchHeader,
};
use crate::segment::epoch_at;
use crate::types::{EpochStart, LeaderEpoch, Offset, Position};

/// Bytes that are searched at once.
const SEARCH_BYTES: usize = 128 << 10;

/// The longest batch whose length is restored: as long as a commit of a journal may be.
const RESTORED_BYTES_MAX: u64 = 128 << 20;

/// A whole batch of a segment.
#[derive(Clone, Debug)]
pub struct FoundBatch {
    /// Where it begins in the file.
    pub position: Position,
    /// Its header.
    pub header: BatchHeader,
    /// All of it; the checksum holds.
    pub bytes: Bytes,
}

/// What stands where a batch should.
#[derive(Clone, Debug)]
pub struct Damage {
    /// Where it begins in the file.
    pub position: Position,
    /// Bytes up to the next whole batch, or the end of the file.
    pub bytes: u64,
    /// What is wrong.
    pub problem: SegmentProblem,
    /// The least and the last offset that the damaged bytes claim to hold; nothing says that this is true.
    pub claims: Option<(Offset, Offset)>,
    /// The batch as it was, where nothing was wrong but a field that no checksum covers, and that is known.
    /// Only a leader epoch may be a guess: the nearest one that fits.
    pub restored: Option<FoundBatch>,
}

impl Damage {
    /// The first bytes of the batch as they were written, where nothing else can have been.
    pub fn prefix(&self) -> Option<[u8; BATCH_PREFIX_BYTES]> {
        if matches!(self.problem, SegmentProblem::LeaderEpoch { least, most, .. } if least != most) {
            return None;
        }
        let bytes = &self.restored.as_ref()?.bytes[..BATCH_PREFIX_BYTES];
        Some(bytes.try_into().expect("it has as many"))
    }
}

/// What is wrong at a place of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SegmentProblem {
    /// No batch, or not the one that was written.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// Nothing but zeros up to the end of the file.
    #[error("zeros up to the end of the file")]
    Zeros,
    /// The batch is whole, and its base offset can not be.
    #[error("base offset {found} does not fit, {expected} is the next one")]
    BaseOffset {
        /// The offset that would continue the log.
        expected: Offset,
        /// The base offset in the batch.
        found: i64,
    },
    /// The batch is whole, and longer or shorter than it says.
    #[error("batch length {found}, the checksum holds with {expected}")]
    Length {
        /// The length field, as it was.
        expected: i32,
        /// The length field.
        found: i32,
    },
    /// The batch is whole, and its leader epoch can not be.
    #[error("leader epoch {} does not fit, {} is the least and {} the greatest that does", found.0, least.0, most.0)]
    LeaderEpoch {
        /// The least that fits.
        least: LeaderEpoch,
        /// The greatest that fits.
        most: LeaderEpoch,
        /// The leader epoch in the batch.
        found: LeaderEpoch,
    },
}

/// The next thing in a segment.
#[derive(Clone, Debug)]
pub enum SegmentItem {
    /// A whole batch whose offsets grow. Whether offsets are missing before it is for the caller to see.
    Batch(FoundBatch),
    /// Anything else.
    Damage(Damage),
}

/// The batches and the damage of a segment, from its beginning to the end of the file. Never fails; memory is
/// bounded by the largest batch.
#[derive(Debug)]
pub struct SegmentWalk {
    source: Source,
    base: Offset,
    /// Where the next segment begins, if there is one.
    end: Option<Offset>,
    position: Position,
    /// The least offset that the next batch may have.
    next: Offset,
    /// From here on no offset is missing but where there is damage.
    gaps_end: Offset,
    /// Damage has come since the last batch.
    broken: bool,
    /// Where leader epochs begin, and the offset up to which all of them are there.
    epochs: (Vec<EpochStart>, Offset),
    /// That of the last batch.
    epoch: Option<LeaderEpoch>,
    ahead: Option<Step>,
}

/// The next thing in the file, not yet held against its neighbours.
#[derive(Debug)]
enum Step {
    Whole(Whole),
    Damage(Damage),
}

/// A batch whose checksum holds.
#[derive(Debug)]
struct Whole {
    /// With length and version as they were.
    found: FoundBatch,
    /// The base offset that it claims; where that is none at all, it is 0 in the batch.
    claimed: i64,
    /// What is wrong with the length or the version that it claims.
    wrong: Option<SegmentProblem>,
}

impl SegmentWalk {
    /// A walk over a segment with this base offset. `end` is that of the segment behind it, `None` for the
    /// last one.
    pub fn new(source: Source, base: Offset, end: Option<Offset>) -> SegmentWalk {
        let gaps_end = Offset::new(i64::MAX);
        SegmentWalk {
            source,
            base,
            end,
            position: Position::ZERO,
            next: base,
            gaps_end,
            broken: false,
            epochs: (Vec::new(), Offset::ZERO),
            epoch: None,
            ahead: None,
        }
    }

    /// Holds leader epochs against the rows of a checkpoint, which has all of those before `end`. `before` is
    /// the epoch of the last batch of the segment before.
    #[must_use]
    pub fn with_epochs(
        mut self,
        rows: &[EpochStart],
        end: Offset,
        before: Option<LeaderEpoch>,
    ) -> SegmentWalk {
        self.epochs = (rows.to_vec(), end);
        self.epoch = before;
        self
    }

    /// Only before `gaps_end` may offsets be missing between two batches, since compaction by Kafka or an
    /// older release has been there.
    #[must_use]
    pub fn with_gaps_before(mut self, gaps_end: Offset) -> SegmentWalk {
        self.gaps_end = gaps_end;
        self
    }

    /// The offset behind the last batch that was given out.
    pub fn next_offset(&self) -> Offset {
        self.next
    }

    /// The leader epoch of the last batch that was given out, or of the one before the segment.
    pub fn leader_epoch(&self) -> Option<LeaderEpoch> {
        self.epoch
    }

    /// What is read.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// The next whole batch, wherever its offsets lie, or what stands in its place.
    fn step(&mut self) -> Option<Step> {
        let position = self.position;
        if position >= Position(self.source.length()) {
            return None;
        }
        let whole = match self.whole_at(position) {
            Err(BatchError::BaseOffset { found } | BatchError::OffsetOverflow { base_offset: found, .. }) => {
                self.unplaced_at(position).map(|batch| (batch, found))
            }
            whole => whole.map(|batch| {
                let claimed = batch.header.base_offset().get();
                (batch, claimed)
            }),
        };
        let error = match whole {
            Ok((found, claimed)) => {
                self.position += found.bytes.len() as u64;
                return Some(Step::Whole(Whole { found, claimed, wrong: None }));
            }
            Err(error) => error,
        };
        let claims = self.header_at(position).ok().filter(|header| self.may_hold(header));
        let end = self.find_behind(position);
        self.position = end;
        if let Some(found) = self.resized(position, end) {
            let claimed = found.header.base_offset().get();
            let expected = (found.bytes.len() - BATCH_OVERHEAD_BYTES) as i32;
            let wrong = match BatchHeader::length_at(self.source.at(position, BATCH_HEADER_BYTES)) {
                Some(found) if found != expected => SegmentProblem::Length { expected, found },
                _ => SegmentProblem::Batch(error),
            };
            return Some(Step::Whole(Whole { found, claimed, wrong: Some(wrong) }));
        }
        let problem = match end == Position(self.source.length()) && self.is_zero(position) {
            true => SegmentProblem::Zeros,
            false => SegmentProblem::Batch(error),
        };
        let claims = claims.map(|header| (header.base_offset(), header.last_offset()));
        Some(Step::Damage(Damage { position, bytes: end - position, problem, claims, restored: None }))
    }

    fn header_at(&mut self, position: Position) -> Result<BatchHeader, BatchError> {
        BatchHeader::peek(self.source.at(position, BATCH_HEADER_BYTES)).copied()
    }

    fn whole_at(&mut self, position: Position) -> Result<FoundBatch, BatchError> {
        let header = self.header_at(position)?;
        let needed = header.total_bytes();
        let bytes = self.source.at(position, needed);
        if bytes.len() < needed {
            return Err(BatchError::Truncated { needed, found: bytes.len() });
        }
        batch::verify_crc(bytes)?;
        Ok(FoundBatch { position, header, bytes: Bytes::copy_from_slice(bytes) })
    }

    /// The batch whose base offset is none, with 0 in its place.
    fn unplaced_at(&mut self, position: Position) -> Result<FoundBatch, BatchError> {
        let mut header = self.source.at(position, BATCH_HEADER_BYTES).to_vec();
        header[..8].fill(0);
        let header = *BatchHeader::peek(&header)?;
        let needed = header.total_bytes();
        let mut bytes = self.source.at(position, needed).to_vec();
        if bytes.len() < needed {
            return Err(BatchError::Truncated { needed, found: bytes.len() });
        }
        batch::verify_crc(&bytes)?;
        bytes[..8].fill(0);
        Ok(FoundBatch { position, header, bytes: bytes.into() })
    }

    /// The batch that ends where the next one begins, if its checksum holds so.
    fn resized(&mut self, position: Position, end: Position) -> Option<FoundBatch> {
        let total = end - position;
        if !(BATCH_HEADER_BYTES as u64..=RESTORED_BYTES_MAX).contains(&total) {
            return None;
        }
        let mut bytes = self.source.at(position, total as usize).to_vec();
        batch::resize(&mut bytes);
        let header = *BatchHeader::peek(&bytes).ok()?;
        let is_whole = bytes.len() as u64 == total && batch::verify_crc(&bytes).is_ok();
        is_whole.then(|| FoundBatch { position, header, bytes: bytes.into() })
    }

    /// Where the next whole batch begins behind a damaged one, or the file ends.
    fn find_behind(&mut self, position: Position) -> Position {
        if let Ok(header) = self.header_at(position)
            && let behind = position + header.total_bytes() as u64
            && behind < Position(self.source.length())
            && let Ok(next) = self.whole_at(behind)
            && next.header.base_offset() == header.next_offset()
        {
            return behind;
        }
        self.search(position + 1)
    }

    /// The first place from `start` on where a whole batch begins that may stand here, or the end of the
    /// file.
    fn search(&mut self, start: Position) -> Position {
        let mut at = start;
        loop {
            let window = self.source.at(at, SEARCH_BYTES);
            if window.len() < BATCH_HEADER_BYTES {
                return Position(self.source.length());
            }
            let last = window.len() - BATCH_HEADER_BYTES;
            // The version, and the upper half of the attributes, which no bit is known of.
            let found = (0..=last).find(|at| window[at + 16] == batch::BATCH_MAGIC && window[at + 21] == 0);
            let Some(found) = found else {
                at += last as u64 + 1;
                continue;
            };
            let place = at + found as u64;
            if self.header_at(place).is_ok_and(|header| self.may_hold(&header))
                && self.whole_at(place).is_ok()
            {
                return place;
            }
            at = place + 1;
        }
    }

    /// Whether a batch with these offsets may stand at the walk's place.
    fn may_hold(&self, header: &BatchHeader) -> bool {
        header.base_offset() >= self.next
            && u32::try_from(header.base_offset().get() - self.base.get()).is_ok()
            && self.end.is_none_or(|end| header.next_offset() <= end)
            && i64::from(header.record_count()) <= i64::from(header.last_offset_delta()) + 1
    }

    fn is_zero(&mut self, position: Position) -> bool {
        let mut at = position;
        loop {
            let window = self.source.at(at, SEARCH_BYTES);
            if window.is_empty() {
                return true;
            }
            if window.iter().any(|byte| *byte != 0) {
                return false;
            }
            at += window.len() as u64;
        }
    }

    /// Holds a whole batch against its neighbours: the one before it, and the next one in the file.
    fn judge(&mut self, whole: Whole) -> SegmentItem {
        let Whole { found, claimed, wrong } = whole;
        let (expected, position, bytes) = (self.next, found.position, found.bytes.len() as u64);
        let base = self.place(&found, claimed);
        let is_placed = base.is_some_and(|base| base.get() == claimed);
        let epoch = found.header.leader_epoch();
        let span = i64::from(found.header.last_offset_delta()) + 1;
        let (least, most) = match base {
            Some(base) => self.epoch_bounds(base, base.plus(span), epoch),
            None => (epoch, epoch),
        };
        let nearest = epoch.clamp(least, most);
        let problem = match wrong {
            Some(problem) => problem,
            None if !is_placed => SegmentProblem::BaseOffset { expected, found: claimed },
            None if nearest != epoch => SegmentProblem::LeaderEpoch { least, most, found: epoch },
            None => return SegmentItem::Batch(found),
        };
        // Of two fields that are wrong, neither is guessed.
        let is_alone = matches!(problem, SegmentProblem::LeaderEpoch { .. });
        let is_known = is_alone || nearest == epoch || least == most;
        let restored = base.filter(|_| is_known).map(|base| stamped(&found, base, nearest));
        let restored = restored.filter(|restored| self.may_hold(&restored.header));
        let claims = restored.as_ref().filter(|_| is_placed);
        let claims = claims.map(|batch| (batch.header.base_offset(), batch.header.last_offset()));
        SegmentItem::Damage(Damage { position, bytes, problem, claims, restored })
    }

    /// The next thing in the file behind the one that is judged.
    fn look_ahead(&mut self) -> Option<&Step> {
        if self.ahead.is_none() {
            self.ahead = self.step();
        }
        self.ahead.as_ref()
    }

    /// The base offset of a whole batch: the one that it claims, if that fits, or else the only one that
    /// does.
    fn place(&mut self, found: &FoundBatch, claimed: i64) -> Option<Offset> {
        let expected = self.next;
        // Where every offset is there, a batch right behind another one continues it, unless the next one
        // bears it out.
        let continues = expected >= self.gaps_end && !self.broken;
        let base = found.header.base_offset();
        let fits = base.get() == claimed && self.may_hold(&found.header);
        if fits && base == expected {
            return Some(base);
        }
        let behind = match self.look_ahead() {
            // One that does not fit either says nothing about this one.
            Some(Step::Whole(next)) => Offset::checked(next.claimed).filter(|behind| *behind >= expected),
            Some(Step::Damage(_)) => None,
            None => self.end,
        };
        let end = found.header.next_offset();
        let is_confirmed = behind == Some(end);
        if fits && (is_confirmed || (!continues && behind.is_none_or(|behind| end <= behind))) {
            return Some(base);
        }
        let span = i64::from(found.header.last_offset_delta()) + 1;
        let end = expected.checked_add(span);
        let has_one_place = (behind.is_some() && end == behind)
            || (continues && end.is_some_and(|end| behind.is_none_or(|behind| end <= behind)));
        has_one_place.then_some(expected)
    }

    /// The least and the greatest leader epoch that a batch with these offsets can have.
    fn epoch_bounds(&mut self, base: Offset, next: Offset, found: LeaderEpoch) -> (LeaderEpoch, LeaderEpoch) {
        let (rows, rows_end) = &self.epochs;
        if let Some(first) = rows.first()
            && base < *rows_end
            && next > first.start
            && let Some(epoch) = epoch_at(rows, base.max(first.start))
        {
            return (epoch, epoch);
        }
        let known = rows.last().filter(|_| base >= *rows_end).map(|last| last.epoch);
        let least = known.max(self.epoch);
        if least == Some(found) {
            return (found, found);
        }
        let behind = match self.look_ahead() {
            Some(Step::Whole(next)) => Some(next.found.header.leader_epoch()),
            Some(Step::Damage(_)) | None => None,
        };
        // Two that agree: it was the one before them that was wrong.
        if known < Some(found) && behind == Some(found) {
            return (found, found);
        }
        // Kafka writes -1 where it knows none.
        let least = least.unwrap_or(LeaderEpoch::FIRST.min(found.max(LeaderEpoch(-1))));
        (least, behind.filter(|behind| *behind >= least).unwrap_or(LeaderEpoch(i32::MAX)))
    }
}

/// The batch with another base offset and leader epoch.
fn stamped(found: &FoundBatch, base: Offset, epoch: LeaderEpoch) -> FoundBatch {
    let mut bytes = found.bytes.to_vec();
    batch::stamp(&mut bytes, base, epoch);
    let header = *BatchHeader::peek(&bytes).expect("it was a batch, and the offset fits");
    FoundBatch { position: found.position, header, bytes: bytes.into() }
}

impl Iterator for SegmentWalk {
    type Item = SegmentItem;

    fn next(&mut self) -> Option<SegmentItem> {
        let item = match self.ahead.take().or_else(|| self.step())? {
            Step::Whole(whole) => self.judge(whole),
            Step::Damage(damage) => SegmentItem::Damage(damage),
        };
        let batch = match &item {
            SegmentItem::Batch(found) => Some(found),
            SegmentItem::Damage(damage) => damage.restored.as_ref(),
        };
        self.broken = batch.is_none();
        self.next = batch.map_or(self.next, |batch| batch.header.next_offset());
        self.epoch = batch.map_or(self.epoch, |batch| Some(batch.header.leader_epoch()));
        Some(item)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::builder::BatchBuilder;
    use crate::format::compression::Codec;
    use crate::types::{LeaderEpoch, Timestamp};

    /// Batches of 3 records each, from `base` on.
    fn batches(base: i64, count: i64) -> Vec<Vec<u8>> {
        let batch = |number: i64| {
            let mut builder = BatchBuilder::new(Codec::None);
            for record in 0..3 {
                builder.push(Timestamp(1000), None, Some(format!("value {number} {record}").as_bytes()), &[]);
            }
            let mut batch = builder.build().to_vec();
            batch::stamp(&mut batch, Offset::new(base + 3 * number), LeaderEpoch(0));
            batch
        };
        (0..count).map(batch).collect()
    }

    fn walk(bytes: Vec<u8>, end: Option<i64>) -> Vec<SegmentItem> {
        SegmentWalk::new(Source::of_bytes(bytes), Offset::new(10), end.map(Offset::new)).collect()
    }

    /// The base offsets of what is whole, and what is said of the rest.
    fn told(items: &[SegmentItem]) -> (Vec<i64>, Vec<(Position, u64, SegmentProblem)>) {
        let base = |batch: &FoundBatch| batch.header.base_offset().get();
        let mut bases = Vec::new();
        let mut damage = Vec::new();
        for item in items {
            match item {
                SegmentItem::Batch(batch) => bases.push(base(batch)),
                SegmentItem::Damage(found) => {
                    bases.extend(found.restored.iter().map(base));
                    damage.push((found.position, found.bytes, found.problem));
                }
            }
        }
        (bases, damage)
    }

    #[test]
    fn every_batch_but_the_damaged_one_is_found_wherever_a_bit_flips() {
        let all = batches(10, 4);
        let bytes = all.concat();
        for bit in 0..bytes.len() * 8 {
            let mut copy = bytes.clone();
            copy[bit / 8] ^= 1 << (bit % 8);
            let (bases, damage) = told(&walk(copy, Some(22)));
            let in_batch = bit / 8 % all[0].len();
            let hit = 10 + 3 * (bit / 8 / all[0].len()) as i64;
            match in_batch {
                // Of the last batch nothing tells that its epoch is not a newer one.
                12..16 if hit == 19 && (in_batch, bit % 8) != (12, 7) => {
                    assert_eq!((bases, damage.len()), (vec![10, 13, 16, 19], 0), "bit {bit}: epoch");
                }
                0..17 => assert_eq!((bases, damage.len()), (vec![10, 13, 16, 19], 1), "bit {bit}: restored"),
                _ => {
                    let rest: Vec<i64> = [10, 13, 16, 19].into_iter().filter(|base| *base != hit).collect();
                    assert_eq!((bases, damage.len()), (rest, 1), "bit {bit}");
                    let place = (bit / 8 / all[0].len() * all[0].len()) as u64;
                    assert_eq!((damage[0].0.0, damage[0].1), (place, all[0].len() as u64), "bit {bit}");
                }
            }
        }
    }

    /// What the walk restores of a log that has these epochs, and what its first bytes are then.
    fn restored(walk: SegmentWalk) -> Vec<(i64, i32, bool)> {
        walk.filter_map(|item| match item {
            SegmentItem::Batch(_) => None,
            SegmentItem::Damage(damage) => {
                let (is_known, batch) = (damage.prefix().is_some(), damage.restored?);
                Some((batch.header.base_offset().get(), batch.header.leader_epoch().0, is_known))
            }
        })
        .collect()
    }

    #[test]
    fn d5_a_leader_epoch_is_what_the_rows_have_or_else_what_the_neighbours_leave() {
        let row = |epoch, start| EpochStart { epoch: LeaderEpoch(epoch), start: Offset::new(start) };
        let rows = [row(0, 12), row(3, 13), row(5, 19)];
        let log = |epochs: [i32; 5]| {
            let mut all = batches(10, 5);
            for (number, (batch, epoch)) in all.iter_mut().zip(epochs).enumerate() {
                batch::stamp(batch, Offset::new(10 + 3 * number as i64), LeaderEpoch(epoch));
            }
            SegmentWalk::new(Source::of_bytes(all.concat()), Offset::new(10), None)
        };
        let with_rows =
            |epochs, end| restored(log(epochs).with_epochs(&rows, Offset::new(end), Some(LeaderEpoch(0))));
        assert_eq!(with_rows([0, 3, 3, 5, 5], 25), []);
        assert_eq!(with_rows([4, 3, 3, 5, 5], 25), [(10, 0, true)], "the log starts in it");
        assert_eq!(with_rows([0, 3, 5, 5, 5], 25), [(16, 3, true)], "one that the neighbours allow");
        assert_eq!(with_rows([0, 3, 3, 5, 69], 25), [(22, 5, true)], "the last one");
        assert_eq!(with_rows([0, 3, 3, 5, 69], 22), [], "behind the recovery point it may be a new one");
        assert_eq!(with_rows([0, 3, 3, 5, 4], 22), [(22, 5, false)], "but none that is older");
        // Without a checkpoint.
        let alone = |epochs| restored(log(epochs));
        assert_eq!(alone([0, 3, 3, 5, 5]), []);
        assert_eq!(alone([0, 0, 64, 0, 0]), [(16, 0, true)], "an epoch that both neighbours have");
        assert_eq!(alone([3, 3, 2, 3, 3]), [(16, 3, true)]);
        assert_eq!(alone([0, 3, 67, 5, 5]), [(16, 5, false)], "3, 4 or 5");
        assert_eq!(alone([64, 0, 0, 0, 0]), [(10, 0, true)]);
        assert_eq!(alone([-1, -1, -1, 0, 0]), [], "Kafka has -1 where it knows none");
    }

    #[test]
    fn the_last_batch_has_one_place_where_no_offset_may_be_missing() {
        let mut bytes = batches(10, 3).concat();
        let last = 2 * bytes.len() / 3;
        bytes[last + 5] ^= 1;
        let walk = |gaps_end| {
            let walk = SegmentWalk::new(Source::of_bytes(bytes.clone()), Offset::new(10), None);
            told(&walk.with_gaps_before(Offset::new(gaps_end)).collect::<Vec<_>>()).0
        };
        assert_eq!(walk(0), [10, 13, 16]);
        assert_eq!(walk(100), [10, 13, 16 + (1 << 16)], "a compacted segment may go on there");
        let mut hole = batches(10, 4);
        hole.remove(1);
        let walk = SegmentWalk::new(Source::of_bytes(hole.concat()), Offset::new(10), None);
        let (bases, damage) = told(&walk.with_gaps_before(Offset::ZERO).collect::<Vec<_>>());
        assert_eq!((bases, damage.len()), (vec![10, 16, 19], 0), "two that agree are where they say");
    }

    #[test]
    fn bytes_that_were_put_in_or_taken_out_hide_only_what_they_touch() {
        let all = batches(10, 4);
        let size = all[0].len();
        let mut bytes = all.concat();
        bytes.splice(size..size, *b"something of another program");
        assert_eq!(told(&walk(bytes, None)).0, [10, 13, 16, 19]);
        let mut bytes = all.concat();
        bytes.drain(size + 20..size + 50);
        assert_eq!(told(&walk(bytes.clone(), None)).0, [10, 16, 19]);
        bytes.truncate(bytes.len() - 1);
        let (bases, damage) = told(&walk(bytes.clone(), None));
        assert_eq!((bases, damage.len()), (vec![10, 16], 2));
        let length = bytes.len() as u64;
        assert_eq!(damage[1].0 + damage[1].1, Position(length), "a torn tail reaches to the end");
    }

    #[test]
    fn a_batch_inside_a_record_of_a_damaged_one_is_not_taken_for_one_of_the_log() {
        let inner = batches(11, 1).remove(0);
        let mut outer = BatchBuilder::new(Codec::None);
        outer.push(Timestamp(0), None, Some(&inner), &[]);
        outer.push(Timestamp(0), None, None, &[]);
        outer.push(Timestamp(0), None, None, &[]);
        let mut outer = outer.build().to_vec();
        batch::stamp(&mut outer, Offset::new(10), LeaderEpoch(0));
        let length = outer.len();
        outer[length - 1] ^= 1;
        outer.extend(batches(13, 1).remove(0));
        let items = walk(outer, None);
        let (bases, damage) = told(&items);
        assert_eq!((bases, damage.len()), (vec![13], 1));
        let SegmentItem::Damage(damage) = &items[0] else { panic!("damage first") };
        assert_eq!(damage.claims, Some((Offset::new(10), Offset::new(12))));
    }

    #[test]
    fn gaps_are_no_damage_and_a_tail_of_zeros_is_named() {
        let all = batches(10, 4);
        let mut bytes = [&all[0][..], &all[2], &all[3]].concat();
        bytes.resize(bytes.len() + 5000, 0);
        let (bases, damage) = told(&walk(bytes, Some(22)));
        assert_eq!(bases, [10, 16, 19]);
        assert_eq!(damage, [(Position(3 * all[0].len() as u64), 5000, SegmentProblem::Zeros)]);
    }
}
