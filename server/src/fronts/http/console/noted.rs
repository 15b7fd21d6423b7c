//! The changes that were asked for by the console, in memory.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Changes that are kept.
pub(super) const CHANGES_MAX: usize = 500;

/// A change that was done, or was not.
#[derive(Clone, Debug)]
pub(super) struct Noted {
    /// When, in milliseconds since 1970.
    pub(super) at: i64,
    /// Who.
    pub(super) user: String,
    /// From where.
    pub(super) peer: String,
    /// What.
    pub(super) what: String,
    /// Why not, if it was not.
    pub(super) refused: Option<String>,
}

/// The newest changes.
#[derive(Default)]
pub(super) struct Changes(Mutex<VecDeque<Noted>>);

impl Changes {
    fn list(&self) -> MutexGuard<'_, VecDeque<Noted>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds one; the oldest goes when there are too many.
    pub(super) fn note(&self, noted: Noted) {
        let mut list = self.list();
        list.push_front(noted);
        list.truncate(CHANGES_MAX);
    }

    /// The newest first.
    pub(super) fn newest(&self) -> Vec<Noted> {
        self.list().iter().cloned().collect()
    }
}
