//! How much clients may produce and fetch in a second (KIP-13, KIP-55, KIP-219): the quotas in force, what
//! each client has used of them, and how long it has to be silent for it.
//!
//! ```text
//! answer is ready > which quota (table) > what was used in the last windows (rate) > how long to wait
//!                                                                  answered at once, then the client is not read
//! ```
//! * Of several quotas that could be a client's, the first of Kafka's order counts: see [`Table::of`].
//! * Clients that a quota does not tell apart share it, whatever shard they are on: what they have used
//!   stands in one place, under a lock that is taken for clients with a quota only, and held for a sum of
//!   eleven numbers.
//! * A client is answered at once and not listened to for as long as it takes until its rate is what it may
//!   be.

mod rate;
mod table;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use strandline_engine::config::Texts;

use rate::Rate;
pub use rate::Windows;
pub use table::{Entity, QUOTAS_MAX, QuotaKey, Table, UnfitQuota, Whose, read_values, whole_text};

/// Clients whose use is remembered; those that have used nothing for all windows make room.
const RATES_MAX: usize = 20_000;

/// Who shares a quota: user and client id, where the quota tells them apart.
type Sharer = (QuotaKey, Option<String>, Option<String>);

/// What clients have used, on all shards.
#[derive(Clone, Default)]
pub struct Used(Arc<Mutex<HashMap<Sharer, Rate>>>);

/// The quotas as a shard sees them.
pub struct Quotas {
    windows: Windows,
    used: Used,
    known: RefCell<(Texts, Rc<Table>)>,
}

/// Until when a connection is not read.
#[derive(Clone, Default)]
pub struct Mute(Rc<Cell<Option<Instant>>>);

impl Mute {
    /// Has it not read for so long, or longer where it is already.
    pub fn extend(&self, how_long: Duration) {
        let until = Instant::now().checked_add(how_long);
        self.0.set(self.0.get().max(until));
    }

    /// How much of that is left.
    pub fn left(&self) -> Option<Duration> {
        let left = self.0.get()?.saturating_duration_since(Instant::now());
        (!left.is_zero()).then_some(left)
    }
}

impl Quotas {
    /// Of a shard; what was used is shared by all.
    pub fn new(windows: Windows, used: Used) -> Quotas {
        Quotas { windows, used, known: RefCell::default() }
    }

    /// The most that a client may use at once, so that it need not wait; a fetch that asks for more gets no
    /// more.
    pub fn most(&self, kept: &Texts, key: QuotaKey, user: &str, client_id: &str) -> Option<u64> {
        let (per_second, _) = self.table(kept)?.of(key, user, client_id)?;
        let most = per_second * self.windows.least().as_secs_f64();
        Some(most.clamp(1.0, u64::MAX as f64) as u64)
    }

    /// Notes that a client has used so much, and tells for how long it has to be silent.
    pub fn used(&self, kept: &Texts, key: QuotaKey, user: &str, client_id: &str, amount: u64) -> Duration {
        self.note(kept, key, user, client_id, amount, true)
    }

    /// The same of what is not to be used when it would be too much. It never is for a client that has used
    /// nothing in all windows: a batch that is larger than the quota is given, or its reader would stand
    /// still.
    pub fn would_use(
        &self,
        kept: &Texts,
        key: QuotaKey,
        user: &str,
        client_id: &str,
        amount: u64,
    ) -> Duration {
        self.note(kept, key, user, client_id, amount, false)
    }

    fn note(
        &self,
        kept: &Texts,
        key: QuotaKey,
        user: &str,
        client_id: &str,
        amount: u64,
        anyway: bool,
    ) -> Duration {
        let found = self.table(kept).and_then(|table| {
            let (per_second, entity) = table.of(key, user, client_id)?;
            let sharer = (
                key,
                entity.user.is_some().then(|| user.to_owned()),
                entity.client_id.is_some().then(|| client_id.to_owned()),
            );
            Some((per_second, sharer))
        });
        let Some((per_second, sharer)) = found else { return Duration::ZERO };
        let now = Instant::now();
        // A thread that panicked in there has left numbers, which are right at every moment.
        let mut rates = self.used.0.lock().unwrap_or_else(PoisonError::into_inner);
        if rates.len() >= RATES_MAX && !rates.contains_key(&sharer) {
            rates.retain(|_, rate| !rate.is_over(self.windows, now));
            if rates.len() >= RATES_MAX {
                // So many at once are told apart no more.
                return Duration::ZERO;
            }
        }
        let rate = rates.entry(sharer).or_default();
        let wait = match !anyway && rate.is_over(self.windows, now) {
            true => Duration::ZERO,
            false => rate.wait(self.windows, now, amount, per_second),
        };
        if anyway || wait.is_zero() {
            rate.note(self.windows, now, amount);
        }
        wait
    }

    /// The quotas in force; `None` where there are none.
    fn table(&self, kept: &Texts) -> Option<Rc<Table>> {
        if kept.entries().is_empty() {
            return None;
        }
        let mut known = self.known.borrow_mut();
        if !known.0.are(kept) {
            *known = (kept.clone(), Rc::new(Table::of_kept(kept)));
        }
        Some(known.1.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(quotas: &[(&str, &str)]) -> Texts {
        let mut kept = Texts::default();
        for (name, text) in quotas {
            kept.entries_mut().insert((*name).to_owned(), (*text).to_owned());
        }
        kept
    }

    #[test]
    fn clients_of_one_user_share_its_quota_on_all_shards_and_others_have_their_own() {
        let used = Used::default();
        let shard = || Quotas::new(Windows::default(), used.clone());
        let (one, other) = (shard(), shard());
        let quotas = kept(&[("user=a", "producer_byte_rate=100"), ("client-id", "producer_byte_rate=100")]);
        let key = QuotaKey::ProducerByteRate;
        assert_eq!(one.used(&quotas, key, "a", "x", 1000), Duration::ZERO);
        let wait = other.used(&quotas, key, "a", "y", 1000);
        assert!(wait > Duration::from_secs(8) && wait <= Duration::from_secs(10), "{wait:?}");
        assert_eq!(one.used(&quotas, key, "b", "x", 1000), Duration::ZERO);
        assert_eq!(one.used(&quotas, key, "c", "y", 1000), Duration::ZERO);
        assert!(one.used(&quotas, key, "c", "x", 100) > Duration::ZERO, "client x has used its own");
        assert_eq!(one.used(&quotas, QuotaKey::ConsumerByteRate, "a", "x", 9999), Duration::ZERO);
        assert_eq!(one.used(&Texts::default(), key, "a", "x", u64::MAX), Duration::ZERO);
    }

    #[test]
    fn what_would_be_too_much_and_is_not_given_does_not_count() {
        let quotas = Quotas::new(Windows::default(), Used::default());
        let table = kept(&[("user", "consumer_byte_rate=10")]);
        let key = QuotaKey::ConsumerByteRate;
        assert_eq!(quotas.most(&table, key, "a", ""), Some(100));
        assert_eq!(quotas.would_use(&table, key, "a", "", 500), Duration::ZERO, "it is the first");
        for _ in 0..3 {
            assert!(quotas.would_use(&table, key, "a", "", 100) > Duration::from_secs(5));
        }
    }

    #[test]
    fn a_connection_is_silent_for_the_longest_that_it_was_told() {
        let mute = Mute::default();
        assert_eq!(mute.left(), None);
        mute.extend(Duration::from_secs(100));
        mute.extend(Duration::from_secs(1));
        assert!(mute.left().unwrap() > Duration::from_secs(90));
    }
}
