//! How long things took, in fixed buckets: cheap enough for every turn and every request.

use std::time::Duration;

/// Upper bounds of the buckets in microseconds: from a journal write that hits a fast disk to a client's
/// longest patience.
const BOUNDS_US: [u64; 17] = [
    50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 5_000_000, 10_000_000,
];

/// A histogram of durations. Whoever owns it adds to it; there is nothing to lock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Durations {
    /// Those up to each bound, and those above the last one.
    counts: [u64; BOUNDS_US.len() + 1],
    sum_us: u64,
}

impl Durations {
    /// Counts one duration.
    pub fn note(&mut self, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.counts[BOUNDS_US.partition_point(|bound| *bound < us)] += 1;
        self.sum_us = self.sum_us.saturating_add(us);
    }

    /// Adds all of `other`.
    pub fn merge(&mut self, other: &Durations) {
        for (count, more) in self.counts.iter_mut().zip(other.counts) {
            *count += more;
        }
        self.sum_us = self.sum_us.saturating_add(other.sum_us);
    }

    /// How many there were.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// All of them together.
    pub fn sum(&self) -> Duration {
        Duration::from_micros(self.sum_us)
    }

    /// For each bound, how many took no longer.
    pub fn cumulative(&self) -> impl Iterator<Item = (Duration, u64)> {
        let counts = self.counts.iter().scan(0, |sum, count| {
            *sum += count;
            Some(*sum)
        });
        BOUNDS_US.iter().map(|bound| Duration::from_micros(*bound)).zip(counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_counted_up_to_the_first_bound_that_it_does_not_pass() {
        let mut durations = Durations::default();
        for us in [0, 50, 51, 10_000_000, 10_000_001] {
            durations.note(Duration::from_micros(us));
        }
        let cumulative: Vec<_> = durations.cumulative().map(|(_, count)| count).collect();
        assert_eq!((cumulative[0], cumulative[1], cumulative[15], cumulative[16]), (2, 3, 3, 4));
        assert_eq!((durations.count(), durations.sum()), (5, Duration::from_micros(20_000_102)));
    }

    #[test]
    fn merged_durations_are_as_if_counted_in_one_place() {
        let (mut one, mut other, mut all) = Default::default();
        for (at, us) in [3, 70, 600, 1 << 40].into_iter().enumerate() {
            let one_of_them: &mut Durations = if at % 2 == 0 { &mut one } else { &mut other };
            one_of_them.note(Duration::from_micros(us));
            all = Durations::clone(&all);
            all.note(Duration::from_micros(us));
        }
        one.merge(&other);
        assert_eq!(one, all);
    }
}
