//! A wake-up within one thread.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::task::{Poll, Waker};

/// One task waits, others notify. A notification that comes first is not lost; several count as one.
#[derive(Default)]
pub(crate) struct Signal {
    set: Cell<bool>,
    waiter: RefCell<Option<Waker>>,
}

impl Signal {
    pub(crate) fn new() -> Signal {
        Signal::default()
    }

    pub(crate) fn notify(&self) {
        self.set.set(true);
        if let Some(waiter) = self.waiter.borrow_mut().take() {
            waiter.wake();
        }
    }

    /// Returns once there was a notification since the last return.
    pub(crate) async fn wait(&self) {
        poll_fn(|context| {
            if self.set.replace(false) {
                return Poll::Ready(());
            }
            *self.waiter.borrow_mut() = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_executor::LocalPool;
    use futures_util::task::LocalSpawnExt;
    use std::rc::Rc;

    #[test]
    fn a_notification_before_the_wait_is_not_lost_and_counts_once() {
        let mut pool = LocalPool::new();
        let signal = Rc::new(Signal::new());
        let woken = Rc::new(Cell::new(0));
        signal.notify();
        signal.notify();
        let (waiting, counted) = (signal.clone(), woken.clone());
        pool.spawner()
            .spawn_local(async move {
                loop {
                    waiting.wait().await;
                    counted.set(counted.get() + 1);
                }
            })
            .unwrap();
        pool.run_until_stalled();
        assert_eq!(woken.get(), 1);
        signal.notify();
        pool.run_until_stalled();
        assert_eq!(woken.get(), 2);
    }
}
