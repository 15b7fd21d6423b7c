//! How often and how long something is tried again.

use std::thread;
use std::time::{Duration, Instant};

/// The first pause; each one is twice the one before.
const PAUSE_MIN: Duration = Duration::from_millis(20);

/// No pause is longer: a broker that is back should not wait for us.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// What fails for longer is told: a broker that starts, or elects a leader, takes less as a rule.
const TELL_AFTER: Duration = Duration::from_millis(250);

/// A number of attempts with growing pauses until a deadline.
#[derive(Clone, Copy, Debug)]
pub(super) struct Retry {
    begun: Instant,
    deadline: Instant,
    pause: Duration,
    told: bool,
}

impl Retry {
    pub(super) fn new(give_up_after: Duration) -> Retry {
        let begun = Instant::now();
        Retry { begun, deadline: begun + give_up_after, pause: PAUSE_MIN, told: false }
    }

    /// Whether it has lasted so long that somebody who watches wonders. True once.
    pub(super) fn is_worth_telling(&mut self) -> bool {
        let is_first = !self.told && self.begun.elapsed() >= TELL_AFTER;
        self.told |= is_first;
        is_first
    }

    /// Sleeps, or says that there is no time left.
    pub(super) fn pause(&mut self) -> bool {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return false;
        }
        thread::sleep(self.pause.min(left));
        self.pause = (2 * self.pause).min(PAUSE_MAX);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pauses_grow_and_end_at_the_deadline() {
        let start = Instant::now();
        let mut retry = Retry::new(Duration::from_millis(100));
        let mut attempts = 1;
        while retry.pause() {
            attempts += 1;
        }
        assert!(start.elapsed() >= Duration::from_millis(100));
        // A busy machine makes a pause longer, and so leaves room for fewer.
        assert!((2..=4).contains(&attempts), "{attempts} instead of 20, 40 and the rest of 100 ms");
    }
}
