//! Which records of a partition have been kept for long enough: Kafka's rules, as a pure plan.
//!
//! ```text
//! log start                                              log end
//!    | segment | segment | segment | segment | active |
//!    |<- older than retention.ms ->|                     the newest timestamp in each of them; a file's time never counts
//!    |<-- more than retention.bytes remain -->|          without the oldest segment there are still as many
//!    `------------------------ new log start -^
//! ```
//!
//! Only whole segments go, from the front, and the first one that stays keeps all behind it: one record from
//! the future keeps a segment, and records without a timestamp never grow old. The active segment goes like
//! any other; the shard closes it first.
//!
//! What a new log start means on the disk, and in which order, is in `shard/trim.rs`.

use crate::config::RetentionLimits;
use crate::types::{Offset, Timestamp};

/// What the plan needs to know of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentFacts {
    /// The offset behind its last record.
    pub next_offset: Offset,
    /// Bytes of its batches.
    pub bytes: u64,
    /// The newest timestamp of its records; `None` when it was not looked up, since a segment before it
    /// stays.
    pub max_timestamp: Option<Timestamp>,
}

/// Where the log should begin. Never before `log_start`, never behind the end of the last segment that lies
/// wholly before `high_watermark`.
pub fn plan(
    segments: &[SegmentFacts],
    log_start: Offset,
    high_watermark: Offset,
    limits: RetentionLimits,
    now: Timestamp,
) -> Offset {
    let mut start = log_start;
    let kept = || segments.iter().filter(|segment| segment.next_offset > log_start);
    let mut left: u64 = kept().map(|segment| segment.bytes).sum();
    for segment in kept() {
        let is_old = segment.max_timestamp.is_some_and(|newest| limits.is_expired(newest, now));
        let is_too_much = limits.bytes.is_some_and(|limit| left - segment.bytes >= limit);
        let is_needed = segment.next_offset > high_watermark || !is_old && !is_too_much;
        if is_needed {
            break;
        }
        left -= segment.bytes;
        start = segment.next_offset;
    }
    start
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Segments of ten records each, with their bytes and newest timestamps.
    fn segments(of: &[(u64, i64)]) -> Vec<SegmentFacts> {
        let facts = |(at, (bytes, newest)): (usize, &(u64, i64))| SegmentFacts {
            next_offset: Offset::new(10 * (at as i64 + 1)),
            bytes: *bytes,
            max_timestamp: Some(Timestamp(*newest)),
        };
        of.iter().enumerate().map(facts).collect()
    }

    fn start(of: &[(u64, i64)], log_start: i64, limits: RetentionLimits, now: i64) -> i64 {
        plan(&segments(of), Offset::new(log_start), Offset::new(i64::MAX), limits, Timestamp(now)).get()
    }

    fn age(limit: i64) -> RetentionLimits {
        RetentionLimits { age_ms: Some(limit), bytes: None }
    }

    fn bytes(limit: u64) -> RetentionLimits {
        RetentionLimits { age_ms: None, bytes: Some(limit) }
    }

    #[test]
    fn a_segment_goes_when_its_newest_record_is_older_than_the_limit() {
        let log = [(1, 100), (1, 200), (1, 300)];
        assert_eq!(start(&log, 0, age(50), 150), 0, "a record of just that age stays");
        assert_eq!(start(&log, 0, age(50), 151), 10);
        assert_eq!(start(&log, 0, age(50), 1000), 30, "the active one goes, too");
        assert_eq!(start(&log, 0, age(i64::MAX), i64::MAX), 0);
        assert_eq!(start(&log, 0, RetentionLimits::default(), i64::MAX), 0);
    }

    #[test]
    fn the_first_segment_that_stays_keeps_all_behind_it() {
        assert_eq!(start(&[(1, 100), (1, 99_999), (1, 100)], 0, age(50), 1000), 10, "one from the future");
        assert_eq!(
            start(&[(1, Timestamp::NONE.0), (1, 100)], 0, age(50), 1000),
            0,
            "no time never grows old"
        );
        assert_eq!(start(&[(1, i64::MIN), (1, 1)], 0, age(50), i64::MAX), 20, "no overflow");
    }

    #[test]
    fn a_segment_goes_when_the_others_have_as_much_as_is_kept() {
        let log = [(30, 0), (30, 0), (30, 0), (10, 0)];
        assert_eq!(start(&log, 0, bytes(71), 0), 0, "without the first, 70 would be left");
        assert_eq!(start(&log, 0, bytes(70), 0), 10);
        assert_eq!(start(&log, 0, bytes(11), 0), 20);
        assert_eq!(start(&log, 0, bytes(0), 0), 40);
    }

    #[test]
    fn what_may_still_be_cut_off_stays() {
        let log = segments(&[(1, 100), (1, 200), (1, 300)]);
        for (high_watermark, start) in [(0, 0), (9, 0), (10, 10), (25, 20), (30, 30)] {
            let planned = plan(&log, Offset::ZERO, Offset::new(high_watermark), age(50), Timestamp(1000));
            assert_eq!(planned.get(), start, "a segment goes when all of it lies before {high_watermark}");
        }
    }

    #[test]
    fn what_lies_before_the_log_start_does_not_count() {
        let log = [(30, 0), (30, 0), (30, 0), (10, 0)];
        assert_eq!(start(&log, 10, bytes(70), 0), 10, "70 are left already");
        assert_eq!(start(&log, 15, bytes(40), 0), 20);
        assert_eq!(start(&log, 25, bytes(40), 0), 25, "in the middle of a segment that stays");
        assert_eq!(start(&[], 25, bytes(0), 0), 25);
    }
}
