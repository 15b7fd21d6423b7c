//! How much was used in the last windows, as Kafka counts it: a second each, of which eleven are looked at.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Longest wait: a client that owes more is cut as idle long before.
pub(super) const WAIT_MAX: Duration = Duration::from_secs(86_400);

/// How many windows there are, and how long each is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Windows {
    /// How many, 1 or more; the newest one is not over yet.
    pub count: u32,
    /// How long each of them is.
    pub length: Duration,
}

impl Default for Windows {
    fn default() -> Windows {
        Windows { count: 11, length: Duration::from_secs(1) }
    }
}

impl Windows {
    /// So many, of so long each.
    pub fn of((count, length): (u32, Duration)) -> Windows {
        Windows { count, length }
    }

    /// All but the newest, at least one: the shortest time that a rate is of.
    pub fn least(self) -> Duration {
        self.length.saturating_mul(self.count.saturating_sub(1).max(1))
    }

    /// All of them together.
    pub fn whole(self) -> Duration {
        self.length.saturating_mul(self.count)
    }
}

/// What is kept of a sharer's use.
pub(super) trait Measure: Default {
    /// Whether nothing is left of it.
    fn is_over(&mut self, windows: Windows, now: Instant) -> bool;
}

/// What was used, by windows, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Rate(VecDeque<(Instant, u64)>);

impl Rate {
    /// How long nothing may be used, when so much more was, until no more than `per_second` was used.
    ///
    /// What was used in a time T is too much by `used - per_second * T`, which takes `used / per_second - T`
    /// to pass; T is at least all windows but the newest.
    pub(super) fn wait(&mut self, windows: Windows, now: Instant, more: u64, per_second: f64) -> Duration {
        self.forget(windows, now);
        let oldest = self.0.front().map_or(now, |(since, _)| *since);
        let time = now.saturating_duration_since(oldest).max(windows.least());
        let used: u64 = self.0.iter().map(|(_, used)| used).fold(more, |sum, used| sum.saturating_add(*used));
        let wait = used as f64 / per_second - time.as_secs_f64();
        Duration::try_from_secs_f64(wait.max(0.0)).unwrap_or(WAIT_MAX).min(WAIT_MAX)
    }

    /// Notes what was used.
    pub(super) fn note(&mut self, windows: Windows, now: Instant, amount: u64) {
        self.forget(windows, now);
        match self.0.back_mut() {
            Some((since, used)) if now.saturating_duration_since(*since) < windows.length => {
                *used = used.saturating_add(amount);
            }
            _ => self.0.push_back((now, amount)),
        }
    }

    fn forget(&mut self, windows: Windows, now: Instant) {
        while self
            .0
            .front()
            .is_some_and(|(since, _)| now.saturating_duration_since(*since) >= windows.whole())
        {
            self.0.pop_front();
        }
    }
}

impl Measure for Rate {
    fn is_over(&mut self, windows: Windows, now: Instant) -> bool {
        self.forget(windows, now);
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_as_told_has_used_hardly_more_than_it_may() {
        let mut rng = fastrand::Rng::with_seed(13);
        for _ in 0..200 {
            let windows =
                Windows { count: rng.u32(8..12), length: Duration::from_millis(rng.u64(500..2000)) };
            let (per_second, begun) = (rng.f64() * 1e6 + 50_000.0, Instant::now());
            let (mut rate, mut now, mut used) = (Rate::default(), begun, 0.0);
            for _ in 0..300 {
                let amount = rng.u64(0..100_000);
                let wait = rate.wait(windows, now, amount, per_second);
                rate.note(windows, now, amount);
                used += amount as f64;
                now += wait + Duration::from_millis(rng.u64(0..50));
            }
            let took = (now - begun).max(windows.whole()).as_secs_f64();
            // What is forgotten with a window was not waited for to its end; it is little.
            let most = 1.1 * per_second * (took + windows.whole().as_secs_f64()) + 100_000.0;
            assert!(used <= most, "{used} in {took} s at {per_second}: {windows:?}");
        }
    }

    #[test]
    fn the_wait_is_that_of_kafkas_example() {
        let (mut rate, windows, now) = (Rate::default(), Windows::default(), Instant::now());
        assert_eq!(rate.wait(windows, now, 1000, 100.0), Duration::ZERO);
        rate.note(windows, now, 1000);
        assert_eq!(rate.wait(windows, now, 500, 100.0), Duration::from_secs(5));
        rate.note(windows, now, 500);
        let later = now + Duration::from_secs(5);
        assert_eq!(rate.wait(windows, later, 0, 100.0), Duration::from_secs(5));
        assert!(rate.is_over(windows, now + Duration::from_secs(11)));
        assert_eq!(rate.wait(windows, now, u64::MAX, 1e-300), WAIT_MAX);
    }
}
