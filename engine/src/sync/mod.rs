//! What threads and tasks share, and nothing else: published snapshots, wake-ups.
//!
//! What threads share takes its locks from `shim`, in whose place `tests/sync` puts loom's.

mod published;
mod signal;
mod woken;

mod shim {
    pub(super) use std::sync::MutexGuard;
    pub(super) use std::sync::{Arc, Mutex};
}

pub(crate) use published::Published;
pub(crate) use signal::Signal;
pub(crate) use woken::Woken;
