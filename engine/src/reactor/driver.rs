//! What an executor's thread waits on, and what carries its operations out: the ring, or a poller with some
//! threads.
//!
//! * Nothing is submitted by [`Driver::start`]: what one turn of the executor starts is submitted together by
//!   [`Driver::turn`], which also waits, when there is nothing else to do.
//! * Where the thread sleeps in another runtime's ring, an operation that is started wakes whoever calls
//!   [`Driver::turn`].
//! * No waker is called or dropped, and no operation is dropped, while the state is borrowed: both may run
//!   foreign code.

use std::cell::{RefCell, RefMut};
use std::io;
use std::task::{Poll, Waker};

use super::doorbell::Doorbell;
use super::op::Op;
use super::poll::Poller;
use super::ring::Ring;
use super::slots::{Aftermath, Key, Slots, Wait};
use crate::config::ReactorKind;

/// The operations of a thread, and what carries them out.
pub(super) struct Driver {
    state: RefCell<State>,
    doorbell: Doorbell,
}

struct State {
    slots: Slots,
    backend: Backend,
    /// Whoever has to call [`Driver::turn`] when something is started, and does not know.
    pump: Option<Waker>,
    closing: bool,
}

enum Backend {
    Ring(Ring),
    Poll(Poller),
}

impl Backend {
    /// Submits what was started, takes in what is complete; waits only when nothing more could be submitted.
    ///
    /// # Errors
    /// When the kernel refuses for good.
    fn turn(&mut self, slots: &mut Slots, wait: Wait, aftermath: &mut Aftermath) -> io::Result<()> {
        match self {
            Backend::Ring(ring) => ring.turn(slots, wait, aftermath),
            Backend::Poll(poller) => poller.turn(slots, wait, aftermath),
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Backend::Ring(_) => "the ring",
            Backend::Poll(_) => "the poller",
        }
    }
}

impl Driver {
    pub(super) fn new(kind: ReactorKind) -> io::Result<Driver> {
        let (backend, doorbell) = match kind {
            ReactorKind::Ring => {
                let doorbell = Doorbell::new()?;
                (Backend::Ring(Ring::new(&doorbell)?), doorbell)
            }
            #[cfg(feature = "glommio")]
            ReactorKind::Glommio => {
                let doorbell = Doorbell::to_be_read()?;
                (Backend::Ring(Ring::counting_up(&doorbell)?), doorbell)
            }
            #[cfg(not(feature = "glommio"))]
            ReactorKind::Glommio => unreachable!("what was not built is not chosen"),
            ReactorKind::Poll => {
                let doorbell = Doorbell::new()?;
                (Backend::Poll(Poller::new(&doorbell)?), doorbell)
            }
        };
        let state = State { slots: Slots::default(), backend, pump: None, closing: false };
        Ok(Driver { state: RefCell::new(state), doorbell })
    }

    pub(super) fn doorbell(&self) -> Doorbell {
        self.doorbell.clone()
    }

    /// Takes an operation in; it is submitted by the next turn. An error, and the operation back, once the
    /// driver closes.
    pub(super) fn start(&self, op: Op, waker: &Waker) -> Result<Key, (Op, io::Error)> {
        let mut state = self.state.borrow_mut();
        if state.closing {
            return Err((op, io::Error::new(io::ErrorKind::BrokenPipe, "the executor has ended")));
        }
        let key = state.slots.insert(op, waker);
        kick(state);
        Ok(key)
    }

    /// The operation and its result, when it is over.
    pub(super) fn poll(&self, key: Key, waker: &Waker) -> Poll<(Op, io::Result<()>)> {
        let mut state = self.state.borrow_mut();
        let (poll, stale) = state.slots.take(key, waker);
        drop(state);
        drop(stale);
        poll
    }

    /// Takes note that nobody waits for the result: the operation goes on, except that one which waits for a
    /// peer is cancelled.
    pub(super) fn abandon(&self, key: Key) {
        let mut state = self.state.borrow_mut();
        let left = state.slots.abandon(key);
        kick(state);
        drop(left);
    }

    /// Refuses new operations and cancels those that wait for a peer; the others go on.
    pub(super) fn close(&self) {
        let mut state = self.state.borrow_mut();
        state.closing = true;
        let wakers = state.slots.cancel_open_ended();
        kick(state);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Submits what was started, takes in what is complete, and wakes who waits for it. It waits only when
    /// nothing more could be submitted.
    pub(super) fn turn(&self, wait: Wait) {
        let mut aftermath = Aftermath::default();
        let mut state = self.state.borrow_mut();
        let State { slots, backend, .. } = &mut *state;
        let entered = backend.turn(slots, wait, &mut aftermath);
        let name = backend.name();
        drop(state);
        if let Err(error) = entered {
            panic!("the kernel refuses to run {name}: {error}");
        }
        aftermath.come();
    }

    /// Whether a completion may still come.
    pub(super) fn is_busy(&self) -> bool {
        self.state.borrow().slots.is_busy()
    }

    pub(super) fn is_closing(&self) -> bool {
        self.state.borrow().closing
    }
}

/// What an executor needs that sleeps elsewhere.
#[cfg(feature = "glommio")]
impl Driver {
    /// Has `waker` woken by the next operation that is started, abandoned or ended by [`Driver::close`].
    pub(super) fn set_pump(&self, waker: &Waker) {
        let stale = self.state.borrow_mut().pump.replace(waker.clone());
        drop(stale);
    }

    /// Whether another turn would hand something to the kernel.
    pub(super) fn has_submissions(&self) -> bool {
        let State { slots, backend, .. } = &mut *self.state.borrow_mut();
        match backend {
            Backend::Ring(ring) => ring.has_submissions(slots),
            Backend::Poll(_) => unreachable!("no other runtime pumps a poller"),
        }
    }
}

/// Gives the state back after a change that only a turn carries out. Our own executor does not sleep before
/// its next turn; another one has to be woken for it.
fn kick(mut state: RefMut<'_, State>) {
    if let Some(pump) = state.pump.take() {
        drop(state);
        pump.wake();
    }
}

impl Drop for State {
    /// Finishes what was started: the kernel or a thread may touch an operation's memory until it is over,
    /// and a write that was started is not lost. What waits for a peer is cancelled.
    fn drop(&mut self) {
        drop(self.slots.cancel_open_ended());
        while self.slots.is_busy() {
            let wait = if self.slots.is_under_way() { Wait::AtMost(None) } else { Wait::No };
            let mut aftermath = Aftermath::default();
            if self.backend.turn(&mut self.slots, wait, &mut aftermath).is_err() {
                // Nobody knows what the kernel still does with their memory: it stays.
                std::mem::forget(std::mem::take(&mut self.slots));
                return;
            }
        }
    }
}
