//! How much of a thread's time compaction may take: its share, and more while it falls behind.
//!
//! A share that leaves the appends of a busy thread their latency may be too small for what they bring. Then
//! the share grows, a step a second, until compaction keeps up or the most is reached; and shrinks back as
//! slowly when nothing waits any more (decision 13).

use crate::types::Timestamp;

/// The most that the share grows to, unless more was asked for: compaction takes no more than the appends
/// that it follows.
pub const SHARE_MAX: f64 = 0.5;

/// By how much the share changes in one step. From a tenth to a half it takes eight.
const STEP: f64 = 1.25;

/// Milliseconds between two steps.
const STEP_MS: i64 = 1000;

/// What is due may wait for so many times [`CleanerConfig::backoff`](crate::config::CleanerConfig::backoff),
/// within these milliseconds, before compaction counts as behind.
const PATIENCE_BACKOFFS: i64 = 2;
const PATIENCE_MS: std::ops::RangeInclusive<i64> = 10_000..=60_000;

/// What waits for compaction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Behind {
    /// Milliseconds since the log that waits longest became due; `None` when none waits.
    pub due_ms: Option<i64>,
    /// Whether records have waited longer than `max.compaction.lag.ms` allows.
    pub is_overdue: bool,
}

/// A share of a thread's time that follows what waits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    least: f64,
    share: f64,
    next_step: Timestamp,
}

impl Pace {
    /// A share of `least`, above 0 and up to 1, which it never falls below.
    pub fn new(least: f64, now: Timestamp) -> Pace {
        Pace { least, share: least, next_step: now }
    }

    /// The share now.
    pub fn share(&self) -> f64 {
        self.share
    }

    /// Makes a step, when it is time for one. `backoff_ms` is how often logs are looked at.
    pub fn step(&mut self, behind: Behind, backoff_ms: i64, now: Timestamp) {
        if now < self.next_step {
            return;
        }
        self.next_step = now.plus(STEP_MS);
        let patience =
            backoff_ms.saturating_mul(PATIENCE_BACKOFFS).clamp(*PATIENCE_MS.start(), *PATIENCE_MS.end());
        self.share = match behind.due_ms {
            None => (self.share / STEP).max(self.least),
            Some(due) if due > patience || behind.is_overdue => {
                (self.share * STEP).min(SHARE_MAX.max(self.least))
            }
            Some(_) => self.share,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEHIND: Behind = Behind { due_ms: Some(61_000), is_overdue: false };
    const OVERDUE: Behind = Behind { due_ms: Some(0), is_overdue: true };
    const AT_WORK: Behind = Behind { due_ms: Some(9_000), is_overdue: false };
    const CAUGHT_UP: Behind = Behind { due_ms: None, is_overdue: false };
    const START: Timestamp = Timestamp(0);

    #[test]
    fn a_share_stays_between_what_was_asked_for_and_the_most_whatever_waits() {
        let mut rng = fastrand::Rng::with_seed(1);
        for least in [0.001, 0.1, 0.3, 0.5, 0.7, 1.0] {
            let mut pace = Pace::new(least, START);
            let mut now = START;
            for _ in 0..10_000 {
                now = now.plus(rng.i64(0..3000));
                let due_ms = rng.bool().then(|| rng.i64(0..200_000));
                let behind = Behind { due_ms, is_overdue: due_ms.is_some() && rng.bool() };
                let before = pace.share();
                pace.step(behind, rng.i64(0..100_000), now);
                let share = pace.share();
                assert!(least <= share && share <= SHARE_MAX.max(least), "{share} of {least}");
                assert!(share / before < 1.2501 && before / share < 1.2501, "{before} to {share} at once");
            }
        }
    }

    #[test]
    fn a_share_grows_to_the_most_within_eight_steps_and_is_back_after_as_many() {
        for behind in [BEHIND, OVERDUE] {
            let mut pace = Pace::new(0.1, START);
            (0..8).for_each(|step| pace.step(behind, 15_000, START.plus(step * STEP_MS)));
            assert_eq!(pace.share(), SHARE_MAX);
            (8..20).for_each(|step| pace.step(AT_WORK, 15_000, START.plus(step * STEP_MS)));
            assert_eq!(pace.share(), SHARE_MAX, "it is given time");
            (20..28).for_each(|step| pace.step(CAUGHT_UP, 15_000, START.plus(step * STEP_MS)));
            assert_eq!(pace.share(), 0.1);
        }
    }

    #[test]
    fn a_step_takes_its_time_however_often_it_is_asked_for() {
        let mut pace = Pace::new(0.1, START);
        (0..STEP_MS).for_each(|now| pace.step(BEHIND, 15_000, START.plus(now)));
        assert_eq!(pace.share(), 0.1 * STEP);
    }

    /// A log on a busy thread, to which so many bytes come in a second, all of them dirty, and of which
    /// compaction moves so many in a second of the thread's time, in rounds over all that is dirty. Gives the
    /// longest round of the last half, and the share at the end.
    fn longest_round(pace: &mut Pace, adapts: bool, arriving: f64, moved: f64) -> (i64, f64) {
        let (mut waiting, mut left, mut began, mut longest) = (0.0, 0.0, 0, 0);
        for now in (0..4_000_000).step_by(100) {
            waiting += arriving / 10.0;
            if left <= 0.0 {
                longest = if now > 2_000_000 { longest.max(now - began) } else { 0 };
                // Half of what is kept was there before, and is read again.
                (left, waiting, began) = (waiting * 2.0, 0.0, now);
            }
            left -= moved * pace.share() / 10.0;
            if adapts {
                let behind = Behind { due_ms: Some(now - began), is_overdue: false };
                pace.step(behind, 1000, START.plus(now));
            }
        }
        (longest.max(4_000_000 - began), pace.share())
    }

    /// With a tenth of the time, each round takes longer than the one before: there is more to do each time.
    #[test]
    fn a_busy_thread_keeps_up_with_a_log_that_it_fell_behind_on_with_a_fixed_share() {
        let (arriving, moved) = (10e6, 120e6);
        let (fixed, _) = longest_round(&mut Pace::new(0.1, START), false, arriving, moved);
        assert!(fixed > 500_000, "{fixed} ms: it keeps up anyhow");
        let mut pace = Pace::new(0.1, START);
        let (adapting, share) = longest_round(&mut pace, true, arriving, moved);
        assert!(adapting < 60_000, "a round takes {adapting} ms with a share of {share}");
        assert!(share < SHARE_MAX, "{share}: no more than it needs");
        for now in (4_000_000..4_010_000).step_by(100) {
            pace.step(CAUGHT_UP, 1000, START.plus(now));
        }
        assert_eq!(pace.share(), 0.1, "the load has ended");
    }
}
