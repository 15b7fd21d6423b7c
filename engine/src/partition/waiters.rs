//! The readers that wait for records of one partition.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use futures_channel::oneshot;

use crate::types::Offset;

/// Waiters below which nobody looks for those that have gone.
const PRUNE_FROM: usize = 64;

struct Waiter {
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

    /// Has `wake` woken by the first [`Waiters::wake`] with an end beyond `beyond`.
    pub(super) fn push(&self, beyond: Offset, wake: &WakeOnce) {
        let mut waiting = self.waiting.borrow_mut();
        if waiting.len() >= self.prune_at.get() {
            waiting.retain(|waiter| !waiter.wake.is_spent());
            self.prune_at.set((waiting.len() * 2).max(PRUNE_FROM));
        }
        waiting.push(Waiter { beyond, wake: wake.clone() });
    }

    /// Wakes the readers that wait for what lies before `end`.
    pub(super) fn wake(&self, end: Offset) {
        self.waiting.borrow_mut().retain(|waiter| {
            if end > waiter.beyond {
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
    use super::*;

    #[test]
    fn those_who_have_gone_do_not_pile_up() {
        let waiters = Waiters::new();
        let (sender, mut stays) = oneshot::channel();
        waiters.push(Offset::new(7), &WakeOnce::new(sender));
        for _ in 0..1000 {
            let (sender, gone) = oneshot::channel();
            waiters.push(Offset::new(7), &WakeOnce::new(sender));
            drop(gone);
        }
        assert!(waiters.waiting.borrow().len() <= 2 * PRUNE_FROM);
        waiters.wake(Offset::new(7));
        assert_eq!(stays.try_recv(), Ok(None), "nothing lies behind the offset yet");
        waiters.wake(Offset::new(8));
        assert_eq!(stays.try_recv(), Ok(Some(())));
    }
}
