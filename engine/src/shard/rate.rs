//! How many bytes background work may move in a second.

use std::cell::Cell;

use crate::io::yield_now;
use crate::sync::Signal;
use crate::types::Timestamp;

/// Bytes that may be moved at once before the rate counts, in seconds of it.
const BURST_SECONDS: f64 = 1.0;

pub(super) struct Rate {
    bytes_per_second: Cell<f64>,
    /// Bytes that may be moved now; what was taken too much is waited for.
    allowed: Cell<f64>,
    last_tick: Cell<Timestamp>,
    more: Signal,
    ended: Cell<bool>,
}

impl Rate {
    pub(super) fn new(bytes_per_second: f64, now: Timestamp) -> Rate {
        Rate {
            bytes_per_second: Cell::new(bytes_per_second),
            allowed: Cell::new(bytes_per_second * BURST_SECONDS),
            last_tick: Cell::new(now),
            more: Signal::new(),
            ended: Cell::new(false),
        }
    }

    /// Lets more bytes be moved.
    pub(super) fn tick(&self, now: Timestamp) {
        let passed = now.since(self.last_tick.replace(now)).max(0) as f64 / 1000.0;
        let most = self.bytes_per_second.get() * BURST_SECONDS;
        self.allowed.set((self.allowed.get() + passed * self.bytes_per_second.get()).min(most));
        self.more.notify();
    }

    /// Goes on at another rate.
    pub(super) fn change(&self, bytes_per_second: f64) {
        self.bytes_per_second.set(bytes_per_second);
        self.allowed.set(bytes_per_second * BURST_SECONDS);
        self.more.notify();
    }

    /// Nobody waits any more.
    pub(super) fn end(&self) {
        self.ended.set(true);
        self.more.notify();
    }

    /// Takes note of so many bytes, gives way, and waits until they were allowed; false at the end.
    pub(super) async fn pay(&self, bytes: usize) -> bool {
        self.allowed.set(self.allowed.get() - bytes as f64);
        yield_now().await;
        while self.allowed.get() < 0.0 && !self.ended.get() {
            self.more.wait().await;
        }
        !self.ended.get()
    }

    /// Waits for the next tick; false at the end.
    pub(super) async fn next_tick(&self) -> bool {
        if !self.ended.get() {
            self.more.wait().await;
        }
        !self.ended.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_moved_is_the_rate_and_one_second_of_it_at_once() {
        let rate = Rate::new(1000.0, Timestamp(0));
        let allowed = || rate.allowed.get();
        rate.allowed.set(-500.0);
        rate.tick(Timestamp(250));
        assert_eq!(allowed(), -250.0);
        rate.tick(Timestamp(10_000));
        assert_eq!(allowed(), 1000.0);
        rate.change(10.0);
        rate.allowed.set(0.0);
        rate.tick(Timestamp(10_100));
        assert_eq!(allowed(), 1.0);
    }
}
