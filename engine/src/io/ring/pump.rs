//! The bridge between the ring and the executor: one task that submits, completes and wakes.
//!
//! The executor can wait for its own ring only. So completions of ours count up an eventfd, and the executor's ring reads it:
//! no thread, no polling, and no latency that could be measured. While nothing is in the kernel's hands after a turn (all was done
//! at once), nothing is armed. Completions that are themselves caused by another eventfd are delayed by the kernel: ring
//! descriptors other than eventfds only.

#![allow(unsafe_code)]

use std::future::{Future, poll_fn};
use std::io::{self, IoSliceMut};
use std::os::fd::{FromRawFd, IntoRawFd};
use std::pin::pin;
use std::task::Poll;

use futures_util::FutureExt;
use futures_util::future::{Fuse, FusedFuture};
use glommio::io::BufferedFile;
use rustix::io::ReadWriteFlags;

use super::driver::Ring;

/// Runs the ring until it is closed and everything that was started is done.
pub(super) async fn run(ring: &Ring) -> io::Result<()> {
    let descriptor = ring.event().try_clone()?;
    // SAFETY: the descriptor is open, and given away.
    let event = unsafe { BufferedFile::from_raw_fd(descriptor.into_raw_fd()) };
    {
        let mut signal = pin!(Fuse::terminated());
        poll_fn(|context| {
            loop {
                ring.turn();
                if signal.is_terminated() {
                    if !ring.is_busy() && ring.is_closing() {
                        return Poll::Ready(Ok(()));
                    }
                    if ring.is_busy() {
                        if take_signal(ring) {
                            continue;
                        }
                        signal.set(event.read_at(0, 8).fuse());
                    }
                } else if !ring.is_busy() && ring.is_closing() {
                    // Ends the read that is under way.
                    rustix::io::write(ring.event(), &1_u64.to_ne_bytes())?;
                }
                ring.set_pump(context.waker());
                if signal.is_terminated() {
                    return Poll::Pending;
                }
                match signal.as_mut().poll(context) {
                    Poll::Ready(Ok(_)) => {}
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(io::Error::from(error))),
                    Poll::Pending => return Poll::Pending,
                }
            }
        })
        .await?;
    }
    event.close().await.map_err(io::Error::from)
}

/// Resets the count without waiting; whether there was one.
fn take_signal(ring: &Ring) -> bool {
    let mut count = [0; 8];
    // An eventfd has no positions: `u64::MAX` stands for "where it is".
    rustix::io::preadv2(ring.event(), &mut [IoSliceMut::new(&mut count)], u64::MAX, ReadWriteFlags::NOWAIT)
        .is_ok()
}
