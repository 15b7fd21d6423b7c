//! What connections hold of a shard's memory (D11): bytes of packets that are not whole, of messages on their
//! way to the log, and of those that their clients have not taken yet.
//!
//! Each may have a little without being asked. What they have beyond that is bounded together: past it
//! nothing more is read from or for those who have much. Whoever has much and lets nothing go for a while is
//! cut then, one after the other, so that a few who do not read hold up nobody for long.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// What each may have in any case: some messages of devices.
const EACH_BYTES: usize = 8 << 10;

/// What all of a front have beyond that, on all shards together.
const TOGETHER_BYTES_MAX: usize = 128 << 20;

/// What a shard's part is at least: a few of the largest packets, in and out.
const PART_BYTES_MIN: usize = 16 << 20;

/// How long a connection that has much may let go nothing while others need it.
const STALL_MAX: Duration = Duration::from_secs(5);

/// Time between two that are cut: the first may be enough.
const CUT_PAUSE: Duration = Duration::from_millis(100);

/// The memory of the connections of one shard.
#[derive(Debug)]
pub(super) struct Memory {
    bytes_max: usize,
    /// What is held beyond what each may have.
    taken: Cell<usize>,
    cut_at: Cell<Option<Instant>>,
}

/// What one connection has of it. It is given back when this is dropped.
#[derive(Debug)]
pub(super) struct Share {
    memory: Rc<Memory>,
    holds: usize,
    moved_at: Instant,
}

impl Memory {
    /// That of one of so many shards.
    pub(super) fn of_shard(shards: usize) -> Rc<Memory> {
        let bytes_max = (TOGETHER_BYTES_MAX / shards.max(1)).max(PART_BYTES_MIN);
        Rc::new(Memory { bytes_max, taken: Cell::new(0), cut_at: Cell::new(None) })
    }

    fn is_full(&self) -> bool {
        self.taken.get() >= self.bytes_max
    }
}

impl Share {
    /// That of a connection which has nothing yet.
    pub(super) fn new(memory: Rc<Memory>, now: Instant) -> Share {
        Share { memory, holds: 0, moved_at: now }
    }

    /// Notes how much the connection holds now.
    pub(super) fn holds(&mut self, bytes: usize, now: Instant) {
        if bytes < self.holds || bytes <= EACH_BYTES {
            self.moved_at = now;
        }
        let taken = self.memory.taken.get() - self.beyond();
        self.holds = bytes;
        self.memory.taken.set(taken + self.beyond());
    }

    /// Notes that something of what it holds has gone.
    pub(super) fn moved(&mut self, now: Instant) {
        self.moved_at = now;
    }

    /// Whether it may have more.
    pub(super) fn may_grow(&self) -> bool {
        self.holds <= EACH_BYTES || !self.memory.is_full()
    }

    /// Whether it is to be cut: it has much, others need it, and nothing has moved for a while.
    pub(super) fn is_stuck(&self, now: Instant) -> bool {
        let since = |at: Instant| now.saturating_duration_since(at);
        let is_stuck = self.memory.is_full()
            && self.holds > EACH_BYTES
            && since(self.moved_at) >= STALL_MAX
            && self.memory.cut_at.get().is_none_or(|at| since(at) >= CUT_PAUSE);
        if is_stuck {
            self.memory.cut_at.set(Some(now));
        }
        is_stuck
    }

    fn beyond(&self) -> usize {
        self.holds.saturating_sub(EACH_BYTES)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.memory.taken.set(self.memory.taken.get() - self.beyond());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_have_so_much_together_and_those_with_little_go_on() {
        let (memory, now) = (Memory::of_shard(8), Instant::now());
        let mut shares: Vec<Share> = (0..3).map(|_| Share::new(memory.clone(), now)).collect();
        shares[0].holds(memory.bytes_max, now);
        assert!(shares[0].may_grow(), "a part of it is its own");
        shares[1].holds(EACH_BYTES * 2, now);
        let may: Vec<bool> = shares.iter().map(Share::may_grow).collect();
        assert_eq!(may, [false, false, true]);
        drop(shares.remove(0));
        assert!(shares[0].may_grow());
        drop(shares);
        assert_eq!(memory.taken.get(), 0);
    }

    #[test]
    fn of_those_that_let_nothing_go_one_after_the_other_is_cut_while_there_is_no_room() {
        let (memory, began) = (Memory::of_shard(8), Instant::now());
        let mut shares: Vec<Share> = (0..3).map(|_| Share::new(memory.clone(), began)).collect();
        shares.iter_mut().for_each(|share| share.holds(memory.bytes_max / 2 + EACH_BYTES, began));
        let later = began + STALL_MAX;
        assert!(!shares[0].is_stuck(later - Duration::from_millis(1)));
        shares[1].moved(later);
        let stuck: Vec<bool> = shares.iter().map(|share| share.is_stuck(later)).collect();
        assert_eq!(stuck, [true, false, false], "who lets go stays, and the third has to wait");
        assert!(shares[2].is_stuck(later + CUT_PAUSE));
        shares.truncate(1);
        assert!(!shares[0].is_stuck(later + STALL_MAX), "there is room");
    }
}
