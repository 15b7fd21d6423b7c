//! A bucket of tokens, as Kafka has it for changes of topics (KIP-599): it fills at the rate of the quota and
//! holds what may be used in all windows. What is taken may be more than there is; then it is in debt.
//!
//! Kept is only when it will be full again. A bucket lacks the tokens that flow in until then, and is in debt
//! when that takes longer than filling an empty one.

use std::time::{Duration, Instant};

use super::rate::{Measure, WAIT_MAX, Windows};

/// A bucket; a new one is full.
#[derive(Debug, Default)]
pub(super) struct Bucket {
    full_at: Option<Instant>,
}

impl Bucket {
    /// Takes so many tokens, however many there are.
    pub(super) fn take(&mut self, windows: Windows, now: Instant, tokens: u64, per_second: f64) {
        let flows_in = Duration::try_from_secs_f64(tokens as f64 / per_second).unwrap_or(WAIT_MAX);
        let lacks = self.lacks(now).saturating_add(flows_in).min(windows.whole().saturating_add(WAIT_MAX));
        self.full_at = now.checked_add(lacks);
    }

    /// How long it is in debt.
    pub(super) fn debt(&self, windows: Windows, now: Instant) -> Duration {
        self.lacks(now).saturating_sub(windows.whole())
    }

    fn lacks(&self, now: Instant) -> Duration {
        self.full_at.map_or(Duration::ZERO, |full_at| full_at.saturating_duration_since(now))
    }
}

impl Measure for Bucket {
    fn is_over(&mut self, _: Windows, now: Instant) -> bool {
        self.lacks(now).is_zero()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_debt_is_that_of_kafkas_bucket() {
        // Ten windows of a second at 2 a second hold 20 tokens.
        let (windows, now) = (Windows { count: 10, length: Duration::from_secs(1) }, Instant::now());
        let mut bucket = Bucket::default();
        bucket.take(windows, now, 20, 2.0);
        assert_eq!(bucket.debt(windows, now), Duration::ZERO, "it is empty, and owes nothing");
        bucket.take(windows, now, 6, 2.0);
        assert_eq!(bucket.debt(windows, now), Duration::from_secs(3));
        let later = now + Duration::from_secs(2);
        assert_eq!(bucket.debt(windows, later), Duration::from_secs(1));
        bucket.take(windows, later, 2, 2.0);
        assert_eq!(bucket.debt(windows, later), Duration::from_secs(2));
        assert!(!bucket.is_over(windows, later + Duration::from_secs(11)));
        assert!(bucket.is_over(windows, later + Duration::from_secs(12)), "it is full again, and not fuller");
    }

    #[test]
    fn no_debt_is_longer_than_the_longest_wait() {
        let (windows, now) = (Windows::default(), Instant::now());
        let mut bucket = Bucket::default();
        for _ in 0..3 {
            bucket.take(windows, now, u64::MAX, 1e-300);
            assert!(bucket.debt(windows, now) <= WAIT_MAX);
        }
        assert_eq!(bucket.debt(windows, now), WAIT_MAX);
    }
}
