//! Who shares a quota, and what they have used of it, in memory that is bounded (D11).
//!
//! A sharer is remembered by a hash with a key of this process (made in [`super`]): clients give themselves
//! names of any length.
//! Those for whom there is no room share one measure of each quota, so that more of them are not more free.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use super::rate::{Measure, Windows};
use super::table::QuotaKey;

/// Sharers that are told apart at a time; those that have used nothing in all windows make room.
pub(super) const SHARERS_MAX: usize = 20_000;

/// How often it is looked for those that make room, while there is none: looking goes through all of them.
const SWEEP: Duration = Duration::from_secs(1);

/// The sharers of some quotas, each with its measure.
pub(super) struct Sharers<M> {
    windows: Windows,
    known: HashMap<(QuotaKey, u64), M>,
    /// Of those for whom there is no room.
    others: BTreeMap<QuotaKey, M>,
    swept: Option<Instant>,
}

impl<M: Measure> Sharers<M> {
    /// Nobody yet.
    pub(super) fn new(windows: Windows) -> Sharers<M> {
        Sharers { windows, known: HashMap::new(), others: BTreeMap::new(), swept: None }
    }

    /// The measure of one, by the hash that it is remembered by.
    pub(super) fn measure(&mut self, key: QuotaKey, sharer: u64, now: Instant) -> &mut M {
        let sharer = (key, sharer);
        match self.known.len() < SHARERS_MAX || self.known.contains_key(&sharer) || self.makes_room(now) {
            true => self.known.entry(sharer).or_default(),
            false => self.others.entry(key).or_default(),
        }
    }

    /// Forgets who has used nothing, where that was not looked for just now; whether there is room then.
    fn makes_room(&mut self, now: Instant) -> bool {
        if self.swept.is_none_or(|swept| now.saturating_duration_since(swept) >= SWEEP) {
            self.known.retain(|_, measure| !measure.is_over(self.windows, now));
            self.swept = Some(now);
        }
        self.known.len() < SHARERS_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quotas::bucket::Bucket;

    const KEY: QuotaKey = QuotaKey::ControllerMutationRate;

    #[test]
    fn d11_sharers_beyond_the_most_are_limited_together_until_others_make_room() {
        let (windows, now) = (Windows::default(), Instant::now());
        let mut sharers = Sharers::<Bucket>::new(windows);
        let mut take = |who: u64, now: Instant| {
            let bucket = sharers.measure(KEY, who, now);
            bucket.take(windows, now, 8, 1.0);
            (bucket.debt(windows, now), sharers.known.len())
        };
        for who in 0..SHARERS_MAX as u64 {
            assert_eq!(take(who, now).0, Duration::ZERO, "each has its own");
        }
        assert_eq!(take(SHARERS_MAX as u64, now).0, Duration::ZERO);
        for who in 1..10 {
            let (debt, known) = take(SHARERS_MAX as u64 + who, now);
            assert_eq!(debt, Duration::from_secs(8 * (who + 1) - 11), "they share one");
            assert_eq!(known, SHARERS_MAX);
        }
        assert_eq!(take(0, now).0, Duration::from_secs(5), "one that is known keeps its own");
        let later = now + Duration::from_secs(9);
        assert_eq!(
            take(SHARERS_MAX as u64, later),
            (Duration::ZERO, 2),
            "those that are full again are forgotten"
        );
    }
}
