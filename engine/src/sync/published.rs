//! A value that one thread replaces and every thread reads.

use super::shim::{Arc, Mutex};

/// The newest snapshot of a value. Reading clones an `Arc`; a reader keeps the snapshot it took for as long
/// as it likes.
///
/// The lock is held for one reference count and nothing else, so a reader never waits for a writer's work.
#[derive(Debug)]
pub(crate) struct Published<T> {
    newest: Mutex<Arc<T>>,
}

impl<T> Published<T> {
    pub(crate) fn new(value: T) -> Published<T> {
        Published { newest: Mutex::new(Arc::new(value)) }
    }

    /// The newest snapshot.
    pub(crate) fn get(&self) -> Arc<T> {
        self.newest.lock().expect("nothing panics while it holds the lock").clone()
    }

    /// Replaces the value.
    pub(crate) fn set(&self, value: T) {
        let old = std::mem::replace(
            &mut *self.newest.lock().expect("nothing panics while it holds the lock"),
            Arc::new(value),
        );
        // The last reference may be this one: its memory is freed without the lock.
        drop(old);
    }
}
