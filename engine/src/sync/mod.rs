//! What threads and tasks share, and nothing else: published snapshots, wake-ups.
//!
//! What threads share takes its locks from `shim`, in whose place `tests/sync` puts loom's.

mod published;
mod signal;

mod shim {
    pub(super) use std::sync::{Arc, Mutex};
}

pub(crate) use published::Published;
pub(crate) use signal::Signal;
