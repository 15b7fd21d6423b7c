//! Whether a log is worth a round of compaction, which part of it, and which segments become one.

use std::ops::Range;

use crate::config::CompactionLimits;
use crate::types::{Offset, Timestamp};

/// What the plan needs to know of a segment that takes no more appends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SealedSegment {
    /// The offset that it is named after.
    pub base: Offset,
    /// The offset behind its last batch: the base of the next segment.
    pub next_offset: Offset,
    /// Bytes of its batches.
    pub bytes: u64,
    /// The largest timestamp of its first batch.
    pub first_timestamp: Timestamp,
    /// The largest timestamp of its records.
    pub max_timestamp: Timestamp,
}

/// A round that is due.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Round {
    /// The first offset that no round has read: here the offset map begins.
    pub first_dirty: Offset,
    /// The end of the segments that may be compacted: here the offset map ends, if it is not full before.
    pub end: Offset,
    /// The share of dirty bytes; of several logs, that with the largest goes first.
    pub dirty_ratio: f64,
    /// Whether `max.compaction.lag.ms` asks for the round, whatever the ratio.
    pub is_overdue: bool,
}

/// The round that a log is due, if any.
///
/// `sealed` are all segments but the active one, from the log start on, in order. What lies before
/// `first_dirty` was compacted before; nothing at or behind `stable_end` may be touched: the last stable
/// offset, or what is durable.
pub fn plan(
    sealed: &[SealedSegment],
    first_dirty: Offset,
    stable_end: Offset,
    limits: CompactionLimits,
    now: Timestamp,
) -> Option<Round> {
    let first_dirty = first_dirty.max(sealed.first()?.base);
    let (clean, rest) = sealed.split_at(sealed.partition_point(|segment| segment.next_offset <= first_dirty));
    // A record without a timestamp (-1) is older than every lag.
    let is_young = |segment: &SealedSegment| {
        limits.lag_min_ms > 0 && segment.max_timestamp > now.minus(limits.lag_min_ms)
    };
    let is_cleanable = |segment: &&SealedSegment| segment.next_offset <= stable_end && !is_young(segment);
    let dirty = &rest[..rest.iter().take_while(is_cleanable).count()];
    let end = dirty.last()?.next_offset;

    let bytes = |segments: &[SealedSegment]| segments.iter().map(|segment| segment.bytes).sum::<u64>() as f64;
    let dirty_ratio = bytes(dirty) / (bytes(clean) + bytes(dirty)).max(1.0);
    let oldest =
        dirty.iter().map(|segment| segment.first_timestamp).filter(|timestamp| timestamp.0 > 0).min();
    let is_overdue = oldest.is_some_and(|oldest| oldest < now.minus(limits.lag_max_ms));
    let is_due = is_overdue || dirty_ratio > limits.dirty_ratio_min;
    is_due.then_some(Round { first_dirty, end, dirty_ratio, is_overdue })
}

/// The segments that are rewritten into one each: neighbours of together at most `segment_bytes`, whose
/// offsets fit 32 bits from the first one's base. All that lies before `end` is in a group, and so is the
/// rest of the segment that holds `end`.
pub fn group(sealed: &[SealedSegment], end: Offset, segment_bytes: u64) -> Vec<Range<usize>> {
    let mut groups: Vec<Range<usize>> = Vec::new();
    let mut bytes = 0;
    for (at, segment) in sealed.iter().enumerate().take_while(|(_, segment)| segment.base < end) {
        let fits = |group: &&mut Range<usize>| {
            let span = segment.next_offset.get() - 1 - sealed[group.start].base.get();
            bytes + segment.bytes <= segment_bytes && span <= i64::from(i32::MAX)
        };
        match groups.last_mut().filter(fits) {
            Some(group) => {
                group.end = at + 1;
                bytes += segment.bytes;
            }
            None => {
                groups.push(at..at + 1);
                bytes = segment.bytes;
            }
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Segments of ten offsets each, with their bytes and the time of all their records.
    fn sealed(of: &[(u64, i64)]) -> Vec<SealedSegment> {
        let facts = |(at, (bytes, timestamp)): (usize, &(u64, i64))| SealedSegment {
            base: Offset::new(10 * at as i64),
            next_offset: Offset::new(10 * (at as i64 + 1)),
            bytes: *bytes,
            first_timestamp: Timestamp(*timestamp),
            max_timestamp: Timestamp(*timestamp),
        };
        of.iter().enumerate().map(facts).collect()
    }

    const AT_ONCE: CompactionLimits =
        CompactionLimits { dirty_ratio_min: 0.0, lag_min_ms: 0, lag_max_ms: i64::MAX };
    const FAR: Offset = Offset::new(1_000);

    fn range(
        sealed: &[SealedSegment],
        first_dirty: i64,
        stable_end: i64,
        limits: CompactionLimits,
    ) -> Option<(i64, i64)> {
        plan(sealed, Offset::new(first_dirty), Offset::new(stable_end), limits, Timestamp(1000))
            .map(|round| (round.first_dirty.get(), round.end.get()))
    }

    #[test]
    fn a_round_reaches_from_the_first_dirty_offset_to_the_last_stable_segment() {
        let log = sealed(&[(50, 1), (50, 2), (50, 3)]);
        assert_eq!(range(&log, 0, 1000, AT_ONCE), Some((0, 30)));
        assert_eq!(range(&log, 10, 1000, AT_ONCE), Some((10, 30)));
        assert_eq!(
            range(&log, 15, 29, AT_ONCE),
            Some((15, 20)),
            "a segment is stable as a whole or not at all"
        );
        assert_eq!(range(&log, 15, 19, AT_ONCE), None);
        assert_eq!(range(&log, 30, 1000, AT_ONCE), None, "nothing is dirty");
        assert_eq!(
            range(&log[1..], 0, 1000, AT_ONCE),
            Some((10, 30)),
            "the log start passed the first dirty offset"
        );
        assert_eq!(range(&[], 0, 1000, AT_ONCE), None);
    }

    #[test]
    fn a_log_is_due_when_its_dirty_share_exceeds_the_ratio() {
        let log = sealed(&[(50, 1), (30, 2), (20, 3)]);
        let half = CompactionLimits { dirty_ratio_min: 0.5, ..AT_ONCE };
        assert_eq!(range(&log, 10, 1000, half), None, "half is not more than half");
        assert_eq!(range(&log, 9, 1000, half), Some((9, 30)), "a segment with one dirty record is dirty");
        assert_eq!(range(&log, 0, 1000, CompactionLimits { dirty_ratio_min: 1.0, ..AT_ONCE }), None);
        let share = plan(&log, Offset::new(10), FAR, AT_ONCE, Timestamp(1000)).map(|round| round.dirty_ratio);
        assert_eq!(share, Some(0.5));
    }

    #[test]
    fn a_segment_with_a_young_record_stays_and_keeps_all_behind_it() {
        let log = sealed(&[(50, 700), (50, 901), (50, 100)]);
        let lag = CompactionLimits { lag_min_ms: 100, ..AT_ONCE };
        assert_eq!(range(&log, 0, 1000, lag), Some((0, 10)));
        assert_eq!(range(&log, 0, 1000, CompactionLimits { lag_min_ms: 99, ..AT_ONCE }), Some((0, 30)));
        assert_eq!(range(&log, 10, 1000, lag), None);
        assert_eq!(
            range(&sealed(&[(1, -1), (1, i64::MAX)]), 0, 1000, AT_ONCE),
            Some((0, 20)),
            "no lag, no time"
        );
    }

    #[test]
    fn a_record_that_waited_for_the_longest_lag_waits_for_no_ratio() {
        let log = sealed(&[(950, 1), (50, 700)]);
        let half = |lag_max_ms| CompactionLimits { dirty_ratio_min: 0.5, lag_min_ms: 0, lag_max_ms };
        assert_eq!(range(&log, 10, 1000, half(300)), None);
        assert_eq!(range(&log, 10, 1000, half(299)), Some((10, 20)));
        let young = CompactionLimits { lag_min_ms: 400, ..half(299) };
        assert_eq!(range(&log, 10, 1000, young), None, "the shortest lag wins");
    }

    #[test]
    fn neighbours_are_grouped_up_to_the_size_of_a_segment() {
        let log = sealed(&[(40, 0), (60, 0), (1, 0), (150, 0), (10, 0), (10, 0)]);
        assert_eq!(group(&log, FAR, 100), [0..2, 2..3, 3..4, 4..6]);
        assert_eq!(group(&log, Offset::new(40), 100), [0..2, 2..3, 3..4]);
        assert_eq!(
            group(&log, Offset::new(41), 100),
            [0..2, 2..3, 3..4, 4..5],
            "the segment that holds the end"
        );
        assert_eq!(group(&log, FAR, 1000), vec![0..6]);
        assert!(group(&log, Offset::ZERO, 1000).is_empty());
    }

    #[test]
    fn a_group_never_spans_more_offsets_than_an_index_can_name() {
        let mut log = sealed(&[(1, 0), (1, 0)]);
        log[1].next_offset = Offset::new(i64::from(i32::MAX) + 1);
        assert_eq!(group(&log, FAR, 1000), vec![0..2]);
        log[1].next_offset = Offset::new(i64::from(i32::MAX) + 2);
        assert_eq!(group(&log, FAR, 1000), [0..1, 1..2]);
    }
}
