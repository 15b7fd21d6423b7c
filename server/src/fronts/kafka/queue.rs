//! The answers that a connection owes, in the order of its requests: from the one task that reads to the one
//! that writes.
//!
//! Bounded in number and in the bytes of the requests behind them. One item always fits, whatever its size.
//! One thread, so no locks.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

struct State<T> {
    items: VecDeque<(T, usize)>,
    /// Items that were pushed and are not done.
    open: usize,
    /// Their bytes.
    bytes: usize,
    items_max: usize,
    bytes_max: usize,
    /// Set when one side has gone.
    closed: bool,
    pushing: Option<Waker>,
    popping: Option<Waker>,
}

/// The pushing side. Dropping it lets the other side take what is left, and then end.
pub(super) struct Pusher<T>(Rc<RefCell<State<T>>>);

/// The popping side. Dropping it refuses what is pushed from then on.
pub(super) struct Popper<T>(Rc<RefCell<State<T>>>);

/// An item that was popped and still counts until this is dropped.
pub(super) struct Claim<T> {
    queue: Rc<RefCell<State<T>>>,
    bytes: usize,
}

/// A queue of at most `items_max` items, which together have at most `bytes_max` bytes or are one.
pub(super) fn queue<T>(items_max: usize, bytes_max: usize) -> (Pusher<T>, Popper<T>) {
    let state = Rc::new(RefCell::new(State {
        items: VecDeque::new(),
        open: 0,
        bytes: 0,
        items_max,
        bytes_max,
        closed: false,
        pushing: None,
        popping: None,
    }));
    (Pusher(state.clone()), Popper(state))
}

impl<T> Pusher<T> {
    /// Waits until an item of `bytes` fits; false when nobody takes items any more.
    pub(super) async fn room(&self, bytes: usize) -> bool {
        poll_fn(|context| {
            let mut state = self.0.borrow_mut();
            if state.closed {
                return Poll::Ready(false);
            }
            if state.open == 0 || (state.open < state.items_max && state.bytes + bytes <= state.bytes_max) {
                return Poll::Ready(true);
            }
            state.pushing = Some(context.waker().clone());
            Poll::Pending
        })
        .await
    }

    /// Appends an item.
    pub(super) fn push(&self, item: T, bytes: usize) {
        let popping = {
            let mut state = self.0.borrow_mut();
            state.items.push_back((item, bytes));
            state.open += 1;
            state.bytes += bytes;
            state.popping.take()
        };
        popping.into_iter().for_each(Waker::wake);
    }
}

impl<T> Popper<T> {
    /// The next item; `None` when there will be none.
    pub(super) async fn pop(&self) -> Option<(T, Claim<T>)> {
        poll_fn(|context| {
            let mut state = self.0.borrow_mut();
            if let Some((item, bytes)) = state.items.pop_front() {
                return Poll::Ready(Some((item, Claim { queue: self.0.clone(), bytes })));
            }
            if state.closed {
                return Poll::Ready(None);
            }
            state.popping = Some(context.waker().clone());
            Poll::Pending
        })
        .await
    }
}

impl<T> Drop for Claim<T> {
    fn drop(&mut self) {
        let pushing = {
            let mut state = self.queue.borrow_mut();
            state.open -= 1;
            state.bytes -= self.bytes;
            state.pushing.take()
        };
        pushing.into_iter().for_each(Waker::wake);
    }
}

fn close<T>(queue: &Rc<RefCell<State<T>>>) {
    let wakers = {
        let mut state = queue.borrow_mut();
        state.closed = true;
        [state.pushing.take(), state.popping.take()]
    };
    wakers.into_iter().flatten().for_each(Waker::wake);
}

impl<T> Drop for Pusher<T> {
    fn drop(&mut self) {
        close(&self.0);
    }
}

impl<T> Drop for Popper<T> {
    fn drop(&mut self) {
        close(&self.0);
        let left = std::mem::take(&mut self.0.borrow_mut().items);
        drop(left);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[test]
    fn an_item_counts_until_it_is_done() {
        let (pusher, popper) = queue(2, 100);
        let room = |bytes| pusher.room(bytes).now_or_never();
        assert_eq!(room(1000), Some(true), "one item always fits");
        pusher.push('a', 60);
        assert_eq!(room(41), None, "too many bytes");
        assert_eq!(room(40), Some(true));
        pusher.push('b', 40);
        assert_eq!(room(0), None, "too many items");
        let (item, claim) = popper.pop().now_or_never().flatten().unwrap();
        assert_eq!((item, room(0)), ('a', None));
        drop(claim);
        assert_eq!(room(60), Some(true));
    }

    #[test]
    fn what_was_pushed_is_popped_after_the_pusher_has_gone() {
        let (pusher, popper) = queue(2, 100);
        pusher.push('a', 1);
        drop(pusher);
        assert_eq!(popper.pop().now_or_never().flatten().map(|(item, _)| item), Some('a'));
        assert!(popper.pop().now_or_never().unwrap().is_none());
    }

    #[test]
    fn nothing_is_pushed_after_the_popper_has_gone() {
        let (pusher, popper) = queue::<char>(2, 100);
        drop(popper);
        assert_eq!(pusher.room(1).now_or_never(), Some(false));
    }
}
