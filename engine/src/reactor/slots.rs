//! The operations of a thread that are under way, each in a slot with all that it owns, until it is over.
//!
//! ```text
//! start ──> slot + waiting queue ──(turn)──> kernel or thread
//!                 ^    short: again             │
//!                 └─────────────────────────────┘──> waker, or, without a future, dropped
//! ```
//!
//! * An operation stays here from [`Slots::insert`] until it is over, whether anybody waits for it or not.
//!   The ring leaves its memory in the slot; `poll` lends it to a thread, and [`Op::Away`] stands there.
//! * No waker is called or dropped, and no operation is dropped, while slots are borrowed: both may run
//!   foreign code. [`Aftermath`] takes them out.

use std::collections::VecDeque;
use std::io;
use std::task::{Poll, Waker};
use std::time::Duration;

use super::op::{Op, Step};

/// How long a turn may wait for something to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    /// Not at all.
    No,
    /// So long; `None` is for ever.
    AtMost(Option<Duration>),
}

/// A slot and the number of its tenant, so that a late cancellation never meets the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key {
    slot: u32,
    tenant: u32,
}

impl Key {
    pub(super) fn to_user_data(self) -> u64 {
        u64::from(self.tenant) << 32 | u64::from(self.slot)
    }

    pub(super) fn from_user_data(data: u64) -> Key {
        Key { slot: data as u32, tenant: (data >> 32) as u32 }
    }
}

#[derive(Default)]
struct Slot {
    tenant: u32,
    operation: Option<Operation>,
}

pub(super) struct Operation {
    pub(super) op: Op,
    /// The task that waits for the result.
    waker: Option<Waker>,
    result: Option<io::Result<()>>,
    /// Nobody waits for the result any more.
    orphan: bool,
    /// In the hands of the kernel, or of a thread.
    submitted: bool,
}

/// The operations of one thread.
#[derive(Default)]
pub(super) struct Slots {
    slots: Vec<Slot>,
    vacant: Vec<u32>,
    /// Started or short, not yet submitted, in this order.
    waiting: VecDeque<Key>,
    cancellations: VecDeque<Key>,
    /// Operations that were submitted and end by themselves.
    submitted: usize,
    /// Those that wait for a peer.
    open_ended: usize,
}

/// What a turn leaves to do when the slots are not borrowed any more.
#[derive(Default)]
pub(super) struct Aftermath {
    wakers: Vec<Waker>,
    orphans: Vec<Operation>,
}

impl Aftermath {
    pub(super) fn is_empty(&self) -> bool {
        self.wakers.is_empty() && self.orphans.is_empty()
    }

    /// Wakes who has waited, and drops what nobody has waited for.
    pub(super) fn come(self) {
        self.wakers.into_iter().for_each(Waker::wake);
        drop(self.orphans);
    }
}

impl Slots {
    /// Takes an operation in, to be submitted by the next turn.
    pub(super) fn insert(&mut self, op: Op, waker: &Waker) -> Key {
        let slot = self.vacant.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            self.slots.len() as u32 - 1
        });
        let waker = Some(waker.clone());
        let vacancy = &mut self.slots[slot as usize];
        vacancy.operation = Some(Operation { op, waker, result: None, orphan: false, submitted: false });
        let key = Key { slot, tenant: vacancy.tenant };
        self.waiting.push_back(key);
        key
    }

    /// The operation and its result, when it is over; else takes note of who waits, and gives back the waker
    /// that is not needed any more.
    pub(super) fn take(&mut self, key: Key, waker: &Waker) -> (Poll<(Op, io::Result<()>)>, Option<Waker>) {
        let operation = self.get(key).expect("an operation is taken once");
        match operation.result.take() {
            Some(result) => {
                let operation = self.vacate(key);
                (Poll::Ready((operation.op, result)), operation.waker)
            }
            None => {
                let fresh = operation.waker.as_ref().is_none_or(|known| !known.will_wake(waker));
                let stale = if fresh { operation.waker.replace(waker.clone()) } else { None };
                (Poll::Pending, stale)
            }
        }
    }

    /// Takes note that nobody waits for the result: the operation goes on, except that one which waits for a
    /// peer is cancelled. What comes back is to be dropped.
    pub(super) fn abandon(&mut self, key: Key) -> (Option<Waker>, Option<Operation>) {
        let operation = self.get(key).expect("an operation is abandoned once");
        operation.orphan = true;
        let waker = operation.waker.take();
        let (open_ended, submitted) = (operation.op.is_open_ended(), operation.submitted);
        let mut finished = None;
        if operation.result.is_some() || (open_ended && !submitted) {
            finished = Some(self.vacate(key));
        } else if open_ended {
            self.cancellations.push_back(key);
        }
        (waker, finished)
    }

    /// Cancels what waits for a peer; what was not submitted ends here, and its wakers come back.
    pub(super) fn cancel_open_ended(&mut self) -> Vec<Waker> {
        let mut wakers = Vec::new();
        for (index, slot) in self.slots.iter_mut().enumerate() {
            match &mut slot.operation {
                Some(operation) if operation.op.is_open_ended() && operation.result.is_none() => {
                    if operation.submitted {
                        self.cancellations.push_back(Key { slot: index as u32, tenant: slot.tenant });
                    } else {
                        operation.result = Some(Err(io::Error::from_raw_os_error(libc::ECANCELED)));
                        wakers.extend(operation.waker.take());
                    }
                }
                _ => {}
            }
        }
        wakers
    }

    /// Whether something that was started is not over.
    pub(super) fn is_busy(&self) -> bool {
        self.submitted + self.open_ended + self.waiting.len() > 0
    }

    /// Whether something that was submitted is not over.
    pub(super) fn is_under_way(&self) -> bool {
        self.submitted + self.open_ended > 0
    }

    /// How many were submitted that end by themselves.
    pub(super) fn submitted(&self) -> usize {
        self.submitted
    }

    /// How many were submitted that wait for a peer.
    pub(super) fn open_ended(&self) -> usize {
        self.open_ended
    }

    /// Whether something waits to be submitted, or cancelled, while so many may be under way.
    pub(super) fn has_submissions(&self, in_flight_max: usize) -> bool {
        !self.cancellations.is_empty() || (self.submitted < in_flight_max && !self.waiting.is_empty())
    }

    /// The operation that is under way with this key.
    pub(super) fn get(&mut self, key: Key) -> Option<&mut Operation> {
        let slot = &mut self.slots[key.slot as usize];
        if slot.tenant == key.tenant { slot.operation.as_mut() } else { None }
    }

    /// Submits the next operation, while fewer than so many that end by themselves are under way.
    pub(super) fn submit_next(&mut self, in_flight_max: usize) -> Option<(Key, &mut Operation)> {
        while self.submitted < in_flight_max {
            let key = self.waiting.pop_front()?;
            // Nothing, or a result: a wait for a peer that ended before it was submitted.
            let Some(operation) = self.get(key).filter(|operation| operation.result.is_none()) else {
                continue;
            };
            operation.submitted = true;
            match operation.op.is_open_ended() {
                true => self.open_ended += 1,
                false => self.submitted += 1,
            }
            return self.get(key).map(|operation| (key, operation));
        }
        None
    }

    /// The next operation to be cancelled that is still there.
    pub(super) fn next_cancelled(&mut self) -> Option<Key> {
        loop {
            let key = self.cancellations.pop_front()?;
            if self.get(key).is_some() {
                return Some(key);
            }
        }
    }

    /// Takes in what has become of one that was submitted. Its operation is in its slot again.
    pub(super) fn settle(&mut self, key: Key, step: Step, aftermath: &mut Aftermath) {
        let operation = self.get(key).expect("a completion belongs to an operation under way");
        operation.submitted = false;
        let (open_ended, orphan) = (operation.op.is_open_ended(), operation.orphan);
        match step {
            Step::Again => self.waiting.push_front(key),
            Step::Done(_) if orphan => aftermath.orphans.push(self.vacate(key)),
            Step::Done(result) => {
                operation.result = Some(result);
                aftermath.wakers.extend(operation.waker.take());
            }
        }
        match open_ended {
            true => self.open_ended -= 1,
            false => self.submitted -= 1,
        }
    }

    fn vacate(&mut self, key: Key) -> Operation {
        let slot = &mut self.slots[key.slot as usize];
        slot.tenant = slot.tenant.wrapping_add(1);
        self.vacant.push(key.slot);
        slot.operation.take().expect("only a tenant leaves")
    }
}
