//! Batches and truncations that wait for the shard's next turn.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use crate::error::{AppendError, TruncateError};
use crate::message::{Appended, Appending, Reply};
use crate::sync::Signal;
use crate::types::{Offset, PartitionId};

/// Bytes that may wait before whoever brings more has to wait too: several turns' worth, so that the disk
/// never starves.
const WAITING_BYTES_MAX: usize = 32 << 20;

/// How many turns the first of those that wait stays behind while others go before it.
const PASSED_MAX: u32 = 4;

/// Most batches that others go before in one turn.
const HELD_MAX: usize = 8;

/// A batch or a marker that has arrived.
pub(crate) struct Arrival {
    pub(crate) partition: PartitionId,
    pub(crate) what: Appending,
    pub(crate) reply: Reply<Result<Appended, AppendError>>,
}

/// A log that is to be cut off.
pub(crate) struct AskedTruncation {
    pub(crate) partition: PartitionId,
    pub(crate) to: Offset,
    pub(crate) reply: Reply<Result<Offset, TruncateError>>,
}

#[derive(Default)]
pub(crate) struct Inbox {
    waiting: RefCell<VecDeque<Arrival>>,
    /// In how many turns others went before the first of them.
    passed: Cell<u32>,
    truncations: RefCell<VecDeque<AskedTruncation>>,
    /// Somebody wants a turn without bringing anything.
    woken: Cell<bool>,
    bytes: Cell<usize>,
    arrived: Signal,
    closed: Cell<bool>,
    room: RefCell<VecDeque<futures_channel::oneshot::Sender<()>>>,
}

impl Inbox {
    /// Waits until more batches may come. Those who wait go on in the order in which they came.
    pub(crate) async fn room(&self) {
        while self.bytes.get() >= WAITING_BYTES_MAX && !self.closed.get() {
            let (sender, receiver) = futures_channel::oneshot::channel();
            self.room.borrow_mut().push_back(sender);
            // A dropped sender means that the inbox has closed: the loop's condition tells.
            let _ = receiver.await;
        }
    }

    /// Takes in a batch. After [`Inbox::close`] it is refused.
    pub(crate) fn push(&self, arrival: Arrival) {
        if self.closed.get() {
            let _ = arrival.reply.send(Err(AppendError::Stopping));
            return;
        }
        self.bytes.set(self.bytes.get() + arrival.what.bytes());
        self.waiting.borrow_mut().push_back(arrival);
        self.arrived.notify();
    }

    /// Takes in a truncation. After [`Inbox::close`] it is refused.
    pub(crate) fn push_truncation(&self, asked: AskedTruncation) {
        if self.closed.get() {
            let _ = asked.reply.send(Err(TruncateError::Stopping));
            return;
        }
        self.truncations.borrow_mut().push_back(asked);
        self.arrived.notify();
    }

    /// A truncation for the turn that has begun.
    pub(crate) fn take_truncation(&self) -> Option<AskedTruncation> {
        self.truncations.borrow_mut().pop_front()
    }

    /// Asks for a turn, be there batches or not.
    pub(crate) fn wake(&self) {
        self.woken.set(true);
        self.arrived.notify();
    }

    /// The batches of the next turn: not more than `bytes_max` unless the first alone is, and none where
    /// something else wants the turn. `None` once closed and empty.
    ///
    /// They go in the order in which they came, but for a large one that does not fit any more: those of
    /// other partitions that come after it and fit go before it. So whoever sends little waits for one large
    /// write at a time, and not for all that others have sent. It goes before all others once it has been
    /// passed in [`PASSED_MAX`] turns.
    pub(crate) async fn take(&self, bytes_max: usize) -> Option<Vec<Arrival>> {
        let is_empty = || self.waiting.borrow().is_empty() && self.truncations.borrow().is_empty();
        while is_empty() && !self.woken.take() {
            if self.closed.get() {
                return None;
            }
            self.arrived.wait().await;
        }
        let (taken, bytes) = self.choose(bytes_max);
        self.bytes.set(self.bytes.get() - bytes);
        if self.bytes.get() < WAITING_BYTES_MAX {
            for sender in self.room.borrow_mut().drain(..) {
                let _ = sender.send(());
            }
        }
        Some(taken)
    }

    fn choose(&self, bytes_max: usize) -> (Vec<Arrival>, usize) {
        let mut waiting = self.waiting.borrow_mut();
        let (mut taken, mut bytes) = (Vec::new(), 0);
        // The first ones of those that wait, and stay.
        let mut held = 0;
        let mut passed = self.passed.get();
        let may_hold = passed < PASSED_MAX;
        while let Some(next) = waiting.get(held) {
            let length = next.what.bytes();
            let follows_held = waiting.range(..held).any(|held| held.partition == next.partition);
            if bytes + length <= bytes_max && !follows_held {
                bytes += length;
                taken.extend(waiting.remove(held));
                if held == 0 {
                    passed = 0;
                }
                continue;
            }
            // Not for those that are small: nothing is gained by looking for a smaller one.
            if !may_hold || held == HELD_MAX || length <= bytes_max / 4 && !follows_held {
                break;
            }
            held += 1;
        }
        if taken.is_empty()
            && let Some(first) = waiting.pop_front()
        {
            bytes += first.what.bytes();
            taken.push(first);
            held = 0;
        }
        self.passed.set(if held == 0 { 0 } else { passed + 1 });
        (taken, bytes)
    }

    /// How many batches wait, and their bytes.
    pub(crate) fn waiting(&self) -> (u64, u64) {
        (self.waiting.borrow().len() as u64, self.bytes.get() as u64)
    }

    /// Takes no more batches; those that wait are still taken out.
    pub(crate) fn close(&self) {
        self.closed.set(true);
        self.arrived.notify();
        self.room.borrow_mut().clear();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::config::{TopicConfig, TopicDefaults};
    use crate::format::builder::BatchBuilder;
    use crate::format::check::check;
    use crate::format::compression::Codec;
    use crate::types::{Timestamp, TopicId};

    const TURN_BYTES: usize = 4000;

    /// An inbox in which batches of so many bytes wait, each for a partition.
    fn with(waiting: &[(u32, usize)]) -> Inbox {
        let inbox = Inbox::default();
        bring(&inbox, waiting);
        inbox
    }

    fn bring(inbox: &Inbox, batches: &[(u32, usize)]) {
        for (index, bytes) in batches {
            let mut batch = BatchBuilder::new(Codec::None);
            // A batch of one record has some bytes beside its value.
            batch.push(Timestamp(1), None, Some(&vec![0; bytes - 80]), &[]);
            let config = TopicConfig::resolve(&TopicDefaults::default(), &[]).expect("defaults are sound");
            let rules = config.check_rules(Timestamp(1));
            let batch = check(batch.build(), &rules).expect("it is sound");
            let partition = PartitionId::new(TopicId::ZERO, *index);
            inbox.push(Arrival {
                partition,
                what: batch.into(),
                reply: futures_channel::oneshot::channel().0,
            });
        }
    }

    /// The partitions whose batches are in the next turn.
    fn turn(inbox: &Inbox) -> Vec<u32> {
        let taken = inbox.take(TURN_BYTES).now_or_never().expect("some wait").expect("it is open");
        taken.into_iter().map(|arrival| arrival.partition.index).collect()
    }

    #[test]
    fn small_batches_go_before_a_large_one_of_another_partition_and_never_of_their_own() {
        let inbox = with(&[(1, 6000), (2, 500), (1, 500), (3, 6000), (3, 500), (2, 500)]);
        assert_eq!(turn(&inbox), [2, 2]);
        assert_eq!(turn(&inbox), [1], "nothing passes it any more");
        assert_eq!(turn(&inbox), [1]);
        assert_eq!(turn(&inbox), [3]);
        assert_eq!(turn(&inbox), [3]);
        assert_eq!(inbox.waiting(), (0, 0));
    }

    #[test]
    fn a_large_batch_is_passed_in_some_turns_only() {
        let inbox = with(&[(1, 6000)]);
        for _ in 0..PASSED_MAX {
            bring(&inbox, &[(2, 500)]);
            assert_eq!(turn(&inbox), [2]);
        }
        bring(&inbox, &[(2, 500)]);
        assert_eq!(turn(&inbox), [1]);
        bring(&inbox, &[(1, 6000)]);
        assert_eq!(turn(&inbox), [2]);
        assert_eq!(turn(&inbox), [1]);
    }

    #[test]
    fn what_is_small_or_fits_goes_in_the_order_in_which_it_came() {
        let inbox = with(&[(1, 900), (2, 900), (3, 900), (4, 900), (5, 900), (6, 100)]);
        assert_eq!(turn(&inbox), [1, 2, 3, 4], "the fifth is no large one: what comes after it waits");
        assert_eq!(turn(&inbox), [5, 6]);
        let inbox = with(&[(1, 2000), (2, 3000), (3, 900)]);
        assert_eq!(turn(&inbox), [1, 3]);
        assert_eq!(turn(&inbox), [2]);
    }

    #[test]
    fn so_many_large_ones_are_looked_past_and_no_more() {
        let large: Vec<_> = (0..HELD_MAX as u32 + 1).map(|index| (index, 6000)).collect();
        let inbox = with(&large);
        bring(&inbox, &[(99, 500)]);
        assert_eq!(turn(&inbox), [0]);
        assert_eq!(turn(&inbox), [99]);
    }
}
