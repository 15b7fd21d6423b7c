//! What ends the wait of an executor's thread, from any thread.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::Arc;

use rustix::event::{EventfdFlags, eventfd};

/// Ends the wait of a thread. Nobody waits for it by reading, except where it was made for that.
#[derive(Clone)]
pub(super) struct Doorbell(Arc<OwnedFd>);

impl Doorbell {
    /// One that is watched, and never read: each ring counts, whatever the sum.
    pub(super) fn new() -> io::Result<Doorbell> {
        Doorbell::with(EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
    }

    /// One that a ring waits for by reading it, which it does not where the descriptor does not block.
    #[cfg(feature = "glommio")]
    pub(super) fn to_be_read() -> io::Result<Doorbell> {
        Doorbell::with(EventfdFlags::CLOEXEC)
    }

    fn with(flags: EventfdFlags) -> io::Result<Doorbell> {
        Ok(Doorbell(Arc::new(eventfd(0, flags)?)))
    }

    /// The turn that waits, or else the next one that would, returns at once.
    pub(super) fn ring(&self) {
        // It fails when the count is full, and then it has been rung.
        let _ = rustix::io::write(&self.0, &1_u64.to_ne_bytes());
    }

    /// What becomes readable, and keeps the count until it is read.
    #[cfg(feature = "glommio")]
    pub(super) fn descriptor(&self) -> &OwnedFd {
        &self.0
    }
}

impl AsFd for Doorbell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for Doorbell {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}
