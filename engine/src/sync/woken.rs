//! Tasks that other threads have woken, and the sleep of the thread that runs them.
//!
//! ```text
//!   its own thread:  take > run what is ready > falls asleep > waits for the bell >
//!   other threads:                                    push, and ring if it sleeps
//! ```
//!
//! A push before [`Woken::falls_asleep`] keeps the thread awake, a push after it rings. So the bell has to
//! keep a ring that comes before the wait, and the thread may end its wait for other reasons.

use super::shim::{Mutex, MutexGuard};

/// What one thread runs and every thread wakes.
pub(crate) struct Woken<T> {
    state: Mutex<State<T>>,
}

struct State<T> {
    tasks: Vec<T>,
    /// The thread sleeps, or is about to, and nobody has rung yet.
    asleep: bool,
    closed: bool,
}

impl<T> Woken<T> {
    pub(crate) fn new() -> Woken<T> {
        Woken { state: Mutex::new(State { tasks: Vec::new(), asleep: false, closed: false }) }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().expect("nothing panics while it holds the lock")
    }

    /// Hands a task to the thread, and rings when it sleeps: once a sleep. The task comes back when nobody
    /// will run it any more.
    pub(crate) fn push(&self, task: T, ring: impl FnOnce()) -> Result<(), T> {
        let rings = {
            let mut state = self.lock();
            if state.closed {
                return Err(task);
            }
            state.tasks.push(task);
            std::mem::take(&mut state.asleep)
        };
        if rings {
            ring();
        }
        Ok(())
    }

    /// What was woken since the last call. The thread is awake.
    pub(crate) fn take(&self) -> Vec<T> {
        let mut state = self.lock();
        state.asleep = false;
        std::mem::take(&mut state.tasks)
    }

    /// Whether the thread may sleep: from now on, whoever pushes rings.
    pub(crate) fn falls_asleep(&self) -> bool {
        let mut state = self.lock();
        state.asleep = state.tasks.is_empty();
        state.asleep
    }

    /// Takes no more tasks, and drops those that were not taken: here, on the thread that would have run
    /// them.
    pub(crate) fn close(&self) {
        let left = {
            let mut state = self.lock();
            state.closed = true;
            std::mem::take(&mut state.tasks)
        };
        drop(left);
    }
}
