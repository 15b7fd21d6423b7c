//! A shard as other threads know it: a mailbox, a thread that sleeps when nothing is ready, and wakers that
//! end its sleep.
//!
//! What wakes it is the engine's own code. Its executor has one task here, and a bell in the place of the
//! ring.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Wake, Waker};

use super::shim::{Arc, Condvar, Mutex};
use super::woken::Woken;

/// Keeps a ring that comes before the wait, as an eventfd does.
pub(crate) struct Bell {
    rung: Mutex<bool>,
    heard: Condvar,
}

impl Bell {
    pub(crate) fn new() -> Bell {
        Bell { rung: Mutex::new(false), heard: Condvar::new() }
    }

    pub(crate) fn ring(&self) {
        *self.rung.lock().expect("nobody panics") = true;
        self.heard.notify_one();
    }

    /// Waits for a ring. That nobody rings is a deadlock, which loom reports.
    pub(crate) fn wait(&self) {
        let mut rung = self.rung.lock().expect("nobody panics");
        while !std::mem::take(&mut *rung) {
            rung = self.heard.wait(rung).expect("nobody panics");
        }
    }
}

/// What a waker holds.
struct Remote {
    woken: Woken<()>,
    bell: Bell,
}

struct Wakes(Arc<Remote>);

impl Wake for Wakes {
    fn wake(self: std::sync::Arc<Self>) {
        // Nobody waits any more for what has ended.
        let _ = self.0.woken.push((), || self.0.bell.ring());
    }
}

/// Runs a future on this thread to its end, in the turns of the executor.
pub(crate) fn run<T>(future: impl Future<Output = T>) -> T {
    let remote = Arc::new(Remote { woken: Woken::new(), bell: Bell::new() });
    let waker = Waker::from(std::sync::Arc::new(Wakes(remote.clone())));
    let mut future = pin!(future);
    let mut ready = true;
    loop {
        ready |= !remote.woken.take().is_empty();
        if !ready && remote.woken.falls_asleep() {
            remote.bell.wait();
        }
        if std::mem::take(&mut ready)
            && let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker))
        {
            remote.woken.close();
            return output;
        }
    }
}
