//! When records are due in an open loop, whatever the broker does.
//!
//! ```text
//! interval   |    0    |    1    |    2    |    3    |     of one producer: producers / rate
//! arrival    |  x      |      x  |x        |   x     |     somewhere in its interval, from a hash
//! ```
//! One record in every interval, so the rate is exact; at a random place in it, so producers do not fall into
//! step. Arrival `k` is a pure function of `k`: a backlog of any length costs no memory and loses nothing.

/// The arrivals of one producer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schedule {
    start: u64,
    interval: f64,
    seed: u64,
}

impl Schedule {
    /// One of `producers` that share `records_per_second`, from `start` (nanoseconds) on.
    pub(crate) fn new(start: u64, records_per_second: f64, producers: usize, producer: usize) -> Schedule {
        let interval = producers as f64 * 1e9 / records_per_second;
        Schedule { start, interval, seed: mix(producer as u64 + 1) }
    }

    /// When record `k` is due, in nanoseconds. Ascending in `k`.
    pub(crate) fn at(&self, k: u64) -> u64 {
        let place = (mix(self.seed ^ k) >> 11) as f64 / (1u64 << 53) as f64;
        self.start + ((k as f64 + place) * self.interval) as u64
    }

    /// How many of the records from `first` on are due by `now`, at most `limit`.
    pub(crate) fn due(&self, first: u64, now: u64, limit: u64) -> u64 {
        let past = now.saturating_sub(self.start) as f64 / self.interval;
        // Whole intervals that have passed hold one arrival each; the one under way may have had its own.
        let sure = (past as u64).saturating_sub(first).min(limit);
        (sure..limit).find(|&more| self.at(first + more) > now).unwrap_or(limit)
    }
}

/// A bijection of 64 bits whose output looks random (the finalizer of SplitMix64, Steele et al. 2014).
pub(crate) fn mix(mut x: u64) -> u64 {
    x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SECOND;

    #[test]
    fn every_interval_has_one_arrival_and_the_rate_is_exact() {
        let schedule = Schedule::new(7 * SECOND, 4_000.0, 4, 2);
        for k in 0..10_000 {
            let interval = 7 * SECOND + k * 1_000_000;
            assert!((interval..=interval + 1_000_000).contains(&schedule.at(k)), "arrival {k}");
        }
        assert_eq!(schedule.due(0, 17 * SECOND, u64::MAX), 10_000);
    }

    #[test]
    fn due_counts_exactly_the_arrivals_up_to_now() {
        let schedule = Schedule::new(0, 1_000_000.0, 3, 0);
        for now in (0..3_000_000).step_by(997) {
            let counted = (0..2_000).filter(|&k| schedule.at(k) <= now).count() as u64;
            assert_eq!(schedule.due(0, now, 2_000), counted);
            assert_eq!(schedule.due(counted / 2, now, 2_000), counted - counted / 2);
            assert_eq!(schedule.due(0, now, 5), counted.min(5));
        }
    }

    #[test]
    fn two_producers_do_not_arrive_in_step() {
        let [a, b] = [0, 1].map(|producer| Schedule::new(0, 2_000.0, 2, producer));
        let near = (0..1_000).filter(|&k| a.at(k).abs_diff(b.at(k)) < 10_000).count();
        assert!(near < 100, "{near} of 1000 pairs within 10 us of each other");
    }
}
