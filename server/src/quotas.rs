//! How much clients may use of the broker: the quotas in force, what each client has used of them, and how
//! long it has to be silent for it.
//!
//! ```text
//! answer is ready > which quota (table) > who shares it (sharers) > what was used in the last windows (rate)
//!                                                                   or is left (bucket) > how long to wait
//! ```
//! * Which quota is a client's and with whom it shares it is looked up once for a connection ([`Standing`]),
//!   and again when quotas, the user or the client id are others.
//! * Of several quotas that could be a client's, the first of Kafka's order counts: see [`Table::of`].
//! * Clients that a quota does not tell apart share it, whatever shard they are on: what they have used
//!   stands in one place, under a lock that is taken for clients with a quota only, and held for a sum of
//!   eleven numbers.
//! * A client is answered at once and not listened to for as long as it takes until its rate is what it may
//!   be (KIP-219).

mod bucket;
mod rate;
mod sharers;
mod table;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::rc::{Rc, Weak};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use strandline_engine::config::Texts;

use crate::config::ConnectionRates;

use bucket::Bucket;
pub use rate::Windows;
use rate::{Measure, Rate};
use sharers::Sharers;
pub use table::{
    Entity, QUOTAS_MAX, QuotaKey, Table, UnfitQuota, Whose, of_address, read_values, whole_text,
};

/// What clients have used, on all shards.
#[derive(Clone)]
pub struct Used(Arc<InUse>);

struct InUse {
    /// In which bytes, time and connections are counted.
    windows: Windows,
    rates: Mutex<Sharers<Rate>>,
    comings: Mutex<Comings>,
    /// Whose worth of changes a bucket holds.
    of_changes: Windows,
    buckets: Mutex<Sharers<Bucket>>,
    /// By which sharers are remembered.
    hashes: RandomState,
}

/// Connections that have come.
#[derive(Default)]
struct Comings {
    by_all: Rate,
    by_listener: HashMap<Arc<str>, Rate>,
}

impl Used {
    /// Nothing yet. Changes of topics are counted in windows of their own.
    pub fn new(windows: Windows, of_changes: Windows) -> Used {
        let (rates, buckets) = (Sharers::new(windows), Sharers::new(of_changes));
        let (rates, comings, buckets) = (rates.into(), Mutex::default(), buckets.into());
        Used(Arc::new(InUse { windows, rates, comings, of_changes, buckets, hashes: RandomState::new() }))
    }
}

impl Default for Used {
    fn default() -> Used {
        Used::new(Windows::default(), Windows::default())
    }
}

/// A thread that panicked in there has left numbers, which are right at every moment.
fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The quotas as a shard sees them.
pub struct Quotas {
    used: Used,
    known: RefCell<(Texts, Rc<Table>)>,
}

/// What became of changes that a client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Changed {
    /// Whether they count, and are to be made.
    pub may: bool,
    /// How long the client has to be silent.
    pub wait: Duration,
}

/// How a connection stands: until when it is not read, and the quotas that its client was found to have.
#[derive(Clone, Default)]
pub struct Standing(Rc<Stand>);

#[derive(Default)]
struct Stand {
    mute_until: Cell<Option<Instant>>,
    limits: RefCell<Option<Limits>>,
}

/// The quotas of a client, by their keys.
struct Limits {
    /// Where they were looked up, for whom. A connection that says nothing any more keeps no table alive.
    table: Weak<Table>,
    user: Box<str>,
    client_id: Box<str>,
    of_keys: [Option<Limit>; QuotaKey::ALL.len()],
}

/// One of them.
#[derive(Clone, Copy)]
struct Limit {
    value: f64,
    /// Whoever has the same shares it.
    sharer: u64,
}

impl Standing {
    /// Has the connection not be read for so long, or longer where it is already.
    pub fn mute(&self, how_long: Duration) {
        if how_long.is_zero() {
            return;
        }
        let until = Instant::now().checked_add(how_long);
        self.0.mute_until.set(self.0.mute_until.get().max(until));
    }

    /// For how long it is not read from now on.
    pub fn muted_for(&self) -> Option<Duration> {
        let left = self.0.mute_until.get()?.saturating_duration_since(Instant::now());
        (!left.is_zero()).then_some(left)
    }
}

/// A client that uses something.
#[derive(Clone, Copy)]
pub struct Who<'a> {
    /// Its user's name.
    pub user: &'a str,
    /// What it calls itself.
    pub client_id: &'a str,
    /// How its connection stands.
    pub standing: &'a Standing,
}

impl Quotas {
    /// Of a shard; what was used is shared by all.
    pub fn new(used: Used) -> Quotas {
        Quotas { used, known: RefCell::default() }
    }

    /// Whether anybody has such a quota.
    pub fn has(&self, kept: &Texts, key: QuotaKey) -> bool {
        self.table(kept).is_some_and(|table| table.has(key))
    }

    /// The most that a client may use at once, so that it need not wait; a fetch that asks for more gets no
    /// more.
    pub fn most(&self, kept: &Texts, key: QuotaKey, who: Who<'_>) -> Option<u64> {
        let limit = self.limit(kept, key, who)?;
        let most = limit.value * self.used.0.windows.least().as_secs_f64();
        Some(most.clamp(1.0, u64::MAX as f64) as u64)
    }

    /// Notes that a client has used so much, and tells for how long it has to be silent.
    pub fn used(&self, kept: &Texts, key: QuotaKey, who: Who<'_>, amount: u64) -> Duration {
        self.note(kept, key, who, amount, true)
    }

    /// The same of what is not to be used when it would be too much. It never is for a client that has used
    /// nothing in all windows: a batch that is larger than the quota is given, or its reader would stand
    /// still.
    pub fn would_use(&self, kept: &Texts, key: QuotaKey, who: Who<'_>, amount: u64) -> Duration {
        self.note(kept, key, who, amount, false)
    }

    /// Notes that an address has made a connection, unless it is one too many; then it tells for how long
    /// that is to be held.
    pub fn came(&self, kept: &Texts, address: IpAddr) -> Duration {
        let key = QuotaKey::ConnectionCreationRate;
        let found = self.table(kept).filter(|table| table.has(key));
        let Some(value) = found.and_then(|table| table.of_address(key, address)) else {
            return Duration::ZERO;
        };
        // By the default, too, each address has its own measure.
        let sharer = self.used.0.hashes.hash_one(address.to_canonical());
        self.rate(key, Limit { value, sharer }, 1, false)
    }

    /// Notes that a connection has come by a listener, and tells how much later it is to be accepted: as long
    /// as it takes until no more have come than may; a window at most, as in Kafka.
    pub fn came_by(&self, listener: &Arc<str>, rates: ConnectionRates) -> Duration {
        if rates == ConnectionRates::default() {
            return Duration::ZERO;
        }
        let (windows, now) = (self.used.0.windows, Instant::now());
        let wait = |rate: &mut Rate, per_second: u32| {
            let wait = rate.wait(windows, now, 1, per_second.into());
            rate.note(windows, now, 1);
            wait.min(windows.length)
        };
        let mut comings = lock(&self.used.0.comings);
        let by_all = rates.all.map(|per_second| wait(&mut comings.by_all, per_second));
        let by_listener = rates
            .listener
            .map(|per_second| wait(comings.by_listener.entry(listener.clone()).or_default(), per_second));
        by_all.max(by_listener).unwrap_or_default()
    }

    /// Notes that a client changes so many partitions. Where it is held to that strictly, it may not once it
    /// owes some.
    pub fn change(&self, kept: &Texts, who: Who<'_>, partitions: u64, strictly: bool) -> Changed {
        let key = QuotaKey::ControllerMutationRate;
        let Some(limit) = self.limit(kept, key, who) else {
            return Changed { may: true, wait: Duration::ZERO };
        };
        let (windows, now) = (self.used.0.of_changes, Instant::now());
        let mut buckets = lock(&self.used.0.buckets);
        let bucket = buckets.measure(key, limit.sharer, now);
        let debt = bucket.debt(windows, now);
        if strictly && !debt.is_zero() {
            return Changed { may: false, wait: debt };
        }
        bucket.take(windows, now, partitions, key.per_second(limit.value));
        let wait = if strictly { Duration::ZERO } else { bucket.debt(windows, now) };
        Changed { may: true, wait }
    }

    fn note(&self, kept: &Texts, key: QuotaKey, who: Who<'_>, amount: u64, anyway: bool) -> Duration {
        let limit = self.limit(kept, key, who);
        limit.map_or(Duration::ZERO, |limit| self.rate(key, limit, amount, anyway))
    }

    /// Counts for whoever shares the quota.
    fn rate(&self, key: QuotaKey, limit: Limit, amount: u64, anyway: bool) -> Duration {
        let (windows, now) = (self.used.0.windows, Instant::now());
        let mut rates = lock(&self.used.0.rates);
        let rate = rates.measure(key, limit.sharer, now);
        let wait = match !anyway && rate.is_over(windows, now) {
            true => Duration::ZERO,
            false => rate.wait(windows, now, amount, key.per_second(limit.value)),
        };
        if anyway || wait.is_zero() {
            rate.note(windows, now, amount);
        }
        match key.waits_a_window() {
            true => wait.min(windows.length),
            false => wait,
        }
    }

    /// The client's quota, as it was found before or is now.
    fn limit(&self, kept: &Texts, key: QuotaKey, who: Who<'_>) -> Option<Limit> {
        let table = self.table(kept).filter(|table| table.has(key))?;
        let Who { user, client_id, standing } = who;
        let mut known = standing.0.limits.borrow_mut();
        let is_known = known.as_ref().is_some_and(|known| {
            let is_same = std::ptr::eq(known.table.as_ptr(), Rc::as_ptr(&table));
            is_same && *known.user == *user && *known.client_id == *client_id
        });
        if !is_known {
            *known = Some(self.limits(&table, user, client_id));
        }
        known.as_ref()?.of_keys[key as usize]
    }

    fn limits(&self, table: &Rc<Table>, user: &str, client_id: &str) -> Limits {
        let of_keys = QuotaKey::ALL.map(|key| {
            let (value, entity) = table.of(key, user, client_id)?;
            Some(Limit { value, sharer: self.used.0.hashes.hash_one(entity.sharer(user, client_id)) })
        });
        Limits { table: Rc::downgrade(table), user: user.into(), client_id: client_id.into(), of_keys }
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

    fn who<'a>(standing: &'a Standing, user: &'a str, client_id: &'a str) -> Who<'a> {
        Who { user, client_id, standing }
    }

    #[test]
    fn clients_of_one_user_share_its_quota_on_all_shards_and_others_have_their_own() {
        let used = Used::default();
        let shard = || Quotas::new(used.clone());
        let (one, other) = (shard(), shard());
        let quotas = kept(&[("user=a", "producer_byte_rate=100"), ("client-id", "producer_byte_rate=100")]);
        let (key, standing) = (QuotaKey::ProducerByteRate, Standing::default());
        // A connection by which a user comes after the other has the quota of the one that it is.
        let used = |shard: &Quotas, user, client_id, amount| {
            shard.used(&quotas, key, who(&standing, user, client_id), amount)
        };
        assert_eq!(used(&one, "a", "x", 1000), Duration::ZERO);
        let wait = used(&other, "a", "y", 1000);
        assert!(wait > Duration::from_secs(8) && wait <= Duration::from_secs(10), "{wait:?}");
        assert_eq!(used(&one, "b", "x", 1000), Duration::ZERO);
        assert_eq!(used(&one, "c", "y", 1000), Duration::ZERO);
        assert!(used(&one, "c", "x", 100) > Duration::ZERO, "client x has used its own");
        let who = who(&standing, "a", "x");
        assert_eq!(one.used(&quotas, QuotaKey::ConsumerByteRate, who, 9999), Duration::ZERO);
        assert_eq!(one.used(&Texts::default(), key, who, u64::MAX), Duration::ZERO);
    }

    #[test]
    fn what_a_connection_was_found_to_have_is_looked_up_again_when_the_quotas_are_others() {
        let (quotas, standing) = (Quotas::new(Used::default()), Standing::default());
        let most = |kept: &Texts| quotas.most(kept, QuotaKey::ConsumerByteRate, who(&standing, "a", "x"));
        let (mut before, key) = (kept(&[("user=a", "consumer_byte_rate=1")]), "client-id=x");
        assert_eq!(most(&before), Some(10));
        assert_eq!(most(&kept(&[("user=a", "consumer_byte_rate=2")])), Some(20));
        assert_eq!(most(&kept(&[("user=b", "consumer_byte_rate=2")])), None);
        assert_eq!(most(&before), Some(10));
        before.entries_mut().remove("user=a");
        before.entries_mut().insert(key.to_owned(), "consumer_byte_rate=3".to_owned());
        assert_eq!(most(&before), Some(30), "the same settings, changed in place");
    }

    #[test]
    fn d11_a_silent_connection_keeps_no_quotas_of_before() {
        let (quotas, standing) = (Quotas::new(Used::default()), Standing::default());
        let before = kept(&[("user=a", "consumer_byte_rate=1")]);
        assert_eq!(quotas.most(&before, QuotaKey::ConsumerByteRate, who(&standing, "a", "x")), Some(10));
        let table = Rc::downgrade(&quotas.table(&before).unwrap());
        assert!(table.upgrade().is_some());
        quotas.table(&kept(&[("user=a", "consumer_byte_rate=2")]));
        assert!(table.upgrade().is_none());
    }

    #[test]
    fn what_would_be_too_much_and_is_not_given_does_not_count() {
        let (quotas, standing) = (Quotas::new(Used::default()), Standing::default());
        let table = kept(&[("user", "consumer_byte_rate=10")]);
        let (key, who) = (QuotaKey::ConsumerByteRate, who(&standing, "a", ""));
        assert_eq!(quotas.most(&table, key, who), Some(100));
        assert_eq!(quotas.would_use(&table, key, who, 500), Duration::ZERO, "it is the first");
        for _ in 0..3 {
            assert!(quotas.would_use(&table, key, who, 100) > Duration::from_secs(5));
        }
    }

    #[test]
    fn the_time_of_a_thread_is_counted_in_hundredths_and_waited_for_at_most_a_window() {
        let (quotas, standing) = (Quotas::new(Used::default()), Standing::default());
        let table = kept(&[("user", "request_percentage=50")]);
        let used = |nanos| quotas.used(&table, QuotaKey::RequestPercentage, who(&standing, "a", ""), nanos);
        // Half of ten seconds are five.
        assert_eq!(used(5_000_000_000), Duration::ZERO);
        let wait = used(250_000_000);
        assert!(wait > Duration::from_millis(400) && wait <= Duration::from_millis(500), "{wait:?}");
        assert_eq!(used(5_000_000_000), Duration::from_secs(1));
    }

    #[test]
    fn who_owes_changes_is_refused_where_it_is_held_to_that_and_else_told_to_wait() {
        let (quotas, standing) = (Quotas::new(Used::default()), Standing::default());
        let table = kept(&[("user=a", "controller_mutation_rate=2")]);
        let change =
            |partitions, strictly| quotas.change(&table, who(&standing, "a", ""), partitions, strictly);
        let free = Changed { may: true, wait: Duration::ZERO };
        assert_eq!(change(32, true), free, "more than the 22 that there are, of which some are left");
        let owes = change(1, true);
        assert!(!owes.may && owes.wait > Duration::from_millis(4900), "{owes:?}");
        let served = change(2, false);
        assert!(served.may && served.wait > Duration::from_millis(5900), "{served:?}");
        assert_eq!(quotas.change(&table, who(&standing, "b", ""), u64::MAX, true), free, "it has no quota");
    }

    #[test]
    fn an_address_makes_so_many_connections_and_those_that_are_too_many_do_not_count() {
        let quotas = Quotas::new(Used::default());
        let table = kept(&[("ip", "connection_creation_rate=1"), ("user", "producer_byte_rate=1")]);
        let came = |last: u8| quotas.came(&table, [10, 0, 0, last].into());
        assert!((0..10).all(|_| came(1).is_zero()), "ten windows' worth");
        for _ in 0..30 {
            let wait = came(1);
            assert!(wait > Duration::from_millis(900) && wait <= Duration::from_secs(1), "{wait:?}");
        }
        assert_eq!(came(2), Duration::ZERO, "each address has its own");
        assert_eq!(quotas.came(&Texts::default(), [10, 0, 0, 1].into()), Duration::ZERO);
    }

    #[test]
    fn a_connection_that_comes_too_soon_is_accepted_later_by_a_window_at_most() {
        let quotas = Quotas::new(Used::default());
        let (one, other): (Arc<str>, Arc<str>) = ("ONE".into(), "OTHER".into());
        let came = |listener, all, of_listener| {
            quotas.came_by(listener, ConnectionRates { all, listener: of_listener })
        };
        let is_window = |wait: Duration| wait > Duration::from_millis(900) && wait <= Duration::from_secs(1);
        assert!((0..100).all(|_| came(&one, None, None).is_zero()), "there is no limit");
        assert!((0..10).all(|_| came(&one, None, Some(1)).is_zero()), "ten windows' worth");
        assert!(is_window(came(&one, None, Some(1))));
        // What is accepted late counts.
        assert!(is_window(came(&one, None, Some(1))));
        assert_eq!(came(&other, None, Some(1)), Duration::ZERO, "each listener has its own");
        assert!((0..9).all(|_| came(&other, Some(1), None).is_zero()));
        assert_eq!(came(&one, Some(1), None), Duration::ZERO);
        assert!(is_window(came(&other, Some(1), None)), "all have one together");
        assert!(is_window(came(&other, Some(1), Some(1000))), "the longer one counts");
        assert!(is_window(came(&other, Some(0), None)));
    }

    #[test]
    fn a_connection_is_silent_for_the_longest_that_it_was_told() {
        let standing = Standing::default();
        assert_eq!(standing.muted_for(), None);
        standing.mute(Duration::from_secs(100));
        standing.mute(Duration::from_secs(1));
        assert!(standing.muted_for().unwrap() > Duration::from_secs(90));
    }
}
