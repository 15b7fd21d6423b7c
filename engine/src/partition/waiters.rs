//! The readers that wait for records of one partition.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use futures_channel::oneshot;

use super::watermarks::{Reader, Watermarks};
use crate::types::Offset;

/// Waiters below which nobody looks for those that have gone.
const PRUNE_FROM: usize = 64;

struct Waiter {
    reader: Reader,
    beyond: Offset,
    wake: WakeOnce,
}

/// Wakes one waiting reader, once, whichever of its partitions moves first.
#[derive(Clone)]
pub(crate) struct WakeOnce(Rc<RefCell<Option<oneshot::Sender<()>>>>);

impl WakeOnce {
    pub(crate) fn new(sender: oneshot::Sender<()>) -> WakeOnce {
        WakeOnce(Rc::new(RefCell::new(Some(sender))))
    }

    pub(crate) fn wake(&self) {
        if let Some(sender) = self.0.borrow_mut().take() {
            // The reader may have gone: then nobody minds.
            let _ = sender.send(());
        }
    }

    fn is_spent(&self) -> bool {
        self.0.borrow().as_ref().is_none_or(|sender| sender.is_canceled())
    }
}

/// Readers, each with the offset beyond which it wants records.
pub(super) struct Waiters {
    waiting: RefCell<Vec<Waiter>>,
    /// Those that are spent are taken out when there are so many.
    prune_at: Cell<usize>,
}

impl Waiters {
    pub(super) fn new() -> Waiters {
        Waiters { waiting: RefCell::default(), prune_at: Cell::new(PRUNE_FROM) }
    }

    /// Has `wake` woken by the first [`Waiters::wake`] that lets this reader read beyond `beyond`.
    pub(super) fn push(&self, reader: Reader, beyond: Offset, wake: &WakeOnce) {
        let mut waiting = self.waiting.borrow_mut();
        if waiting.len() >= self.prune_at.get() {
            waiting.retain(|waiter| !waiter.wake.is_spent());
            self.prune_at.set((waiting.len() * 2).max(PRUNE_FROM));
        }
        waiting.push(Waiter { reader, beyond, wake: wake.clone() });
    }

    /// Wakes the readers that may read now what they wait for.
    pub(super) fn wake(&self, watermarks: &Watermarks) {
        self.waiting.borrow_mut().retain(|waiter| {
            if watermarks.end_for(waiter.reader) > waiter.beyond {
                waiter.wake.wake();
                return false;
            }
            true
        });
    }

    /// Wakes everybody.
    pub(super) fn wake_all(&self) {
        for waiter in self.waiting.take() {
            waiter.wake.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::watermarks::Isolation;
    use super::*;

    const CONSUMER: Reader = Reader::Consumer(Isolation::ReadUncommitted);

    fn watermarks(last_stable: i64, high_watermark: i64, log_end: i64) -> Watermarks {
        let [last_stable, high_watermark, log_end] = [last_stable, high_watermark, log_end].map(Offset::new);
        Watermarks { log_start: Offset::ZERO, last_stable, high_watermark, log_end }
    }

    #[test]
    fn those_who_have_gone_do_not_pile_up() {
        let waiters = Waiters::new();
        let (sender, mut stays) = oneshot::channel();
        waiters.push(CONSUMER, Offset::new(7), &WakeOnce::new(sender));
        for _ in 0..1000 {
            let (sender, gone) = oneshot::channel();
            waiters.push(CONSUMER, Offset::new(7), &WakeOnce::new(sender));
            drop(gone);
        }
        assert!(waiters.waiting.borrow().len() <= 2 * PRUNE_FROM);
        waiters.wake(&watermarks(7, 7, 7));
        assert_eq!(stays.try_recv(), Ok(None), "nothing lies behind the offset yet");
        waiters.wake(&watermarks(8, 8, 8));
        assert_eq!(stays.try_recv(), Ok(Some(())));
    }

    #[test]
    fn each_reader_waits_for_its_own_watermark() {
        let waiters = Waiters::new();
        let readers = [Reader::Consumer(Isolation::ReadCommitted), CONSUMER, Reader::Replica];
        let mut waiting: Vec<_> = readers
            .map(|reader| {
                let (sender, woken) = oneshot::channel();
                waiters.push(reader, Offset::new(7), &WakeOnce::new(sender));
                woken
            })
            .into();
        let mut woken =
            || waiting.iter_mut().map(|woken| matches!(woken.try_recv(), Ok(Some(())))).collect::<Vec<_>>();
        waiters.wake(&watermarks(7, 7, 8));
        assert_eq!(woken(), [false, false, true]);
        waiters.wake(&watermarks(7, 8, 8));
        assert_eq!(woken(), [false, true, false], "each is woken once");
        waiters.wake(&watermarks(8, 8, 8));
        assert_eq!(woken(), [true, false, false]);
    }
}
