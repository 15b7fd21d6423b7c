//! Sending on a socket from memory and from files, and receiving, without ever waiting in a system call.
//!
//! Works on the raw descriptor of a connected, non-blocking socket; the thread's
//! disk, which waits for descriptors too, waits when the socket is full. A
//! send whose future is dropped has sent an unknown part: the connection must be closed then, as after an
//! error.

use std::io::{self, IoSlice};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::rc::Rc;

use bytes::BytesMut;
use rustix::io::Errno;
use rustix::net::sockopt;
use rustix::net::{SendAncillaryBuffer, SendFlags};

use super::disk::ShardDisk;
use crate::io::{Disk, DiskFile, yield_now};
use crate::types::Position;

/// How much is handed to the socket in one system call: 15-150 us from memory.
const SLICE_BYTES_MAX: u64 = 256 << 10;

/// Parts that one system call takes (`UIO_MAXIOV` is 1024). More of them are sent one call after the other.
const PARTS_MAX: usize = 64;

/// How far a cold file is read ahead of the socket.
const READ_AHEAD_BYTES: u64 = 1 << 20;

/// Sends what the socket takes of `parts` at this moment, and says how many bytes that is.
///
/// # Errors
/// `AGAIN` when it takes nothing now.
pub fn send_ready(socket: BorrowedFd<'_>, parts: &[IoSlice<'_>]) -> Result<usize, Errno> {
    let mut nothing = SendAncillaryBuffer::default();
    let parts = &parts[..parts.len().min(PARTS_MAX)];
    rustix::net::sendmsg(socket, parts, &mut nothing, SendFlags::NOSIGNAL | SendFlags::DONTWAIT)
}

/// Why a file was not sent whole.
#[derive(Debug, thiserror::Error)]
pub enum SendFileError {
    /// The socket or the disk failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The file ends before the range does.
    #[error("the file ends at position {position}, {missing} bytes before the range's end")]
    FileEnded {
        /// The position at which nothing more was read.
        position: Position,
        /// How many bytes were still to be sent.
        missing: u64,
    },
}

/// A thread's sockets: what waits for them, receives, and sends.
#[derive(Clone)]
pub struct Sockets {
    disk: ShardDisk,
}

impl Sockets {
    /// Those of the thread that has this disk.
    pub(crate) fn new(disk: &ShardDisk) -> Sockets {
        Sockets { disk: disk.clone() }
    }

    /// Waits until the descriptor can be read, or has failed.
    ///
    /// # Errors
    /// What the system says; `BrokenPipe` or `ECANCELED` when the executor ends.
    pub async fn readable(&self, descriptor: BorrowedFd<'_>) -> io::Result<()> {
        self.disk.readable(descriptor).await
    }

    /// Waits until the socket takes more, or has failed.
    ///
    /// # Errors
    /// As [`Sockets::readable`].
    pub async fn writable(&self, descriptor: BorrowedFd<'_>) -> io::Result<()> {
        self.disk.writable(descriptor).await
    }

    /// Waits until the peer of the socket has ended its side, or the socket has failed. What it has sent
    /// before may still be there to be received.
    ///
    /// # Errors
    /// As [`Sockets::readable`].
    pub async fn hung_up(&self, descriptor: BorrowedFd<'_>) -> io::Result<()> {
        self.disk.hung_up(descriptor).await
    }

    /// Receives into the buffer's spare capacity, which must not be empty, as soon as something has come. The
    /// buffer comes back unchanged when the peer has ended. What is received after the future was dropped is
    /// lost.
    pub async fn receive(&self, socket: &Rc<OwnedFd>, buffer: BytesMut) -> (io::Result<()>, BytesMut) {
        self.disk.receive(socket, buffer).await
    }

    /// Sends all of `bytes`; `more` says that something follows at once, so that both may share a packet
    /// (`MSG_MORE`).
    pub async fn send(&self, socket: BorrowedFd<'_>, bytes: &[u8], more: bool) -> io::Result<()> {
        let mut flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        flags.set(SendFlags::MORE, more);
        let mut rest = bytes;
        while !rest.is_empty() {
            let slice = rest.len().min(SLICE_BYTES_MAX as usize);
            // More follows within this send, too.
            let within = if slice < rest.len() { flags | SendFlags::MORE } else { flags };
            match rustix::net::send(socket, &rest[..slice], within) {
                Ok(sent) => rest = &rest[sent..],
                Err(Errno::AGAIN) => {
                    self.disk.writable(socket).await?;
                    continue;
                }
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(errno.into()),
            }
            if !rest.is_empty() {
                yield_now().await;
            }
        }
        Ok(())
    }

    /// Sends all of `parts`, one after the other (`sendmsg`): several pieces of memory cost one system call,
    /// and share a packet. `more` as in [`Sockets::send`].
    pub async fn send_vectored(
        &self,
        socket: BorrowedFd<'_>,
        mut parts: &mut [IoSlice<'_>],
        more: bool,
    ) -> io::Result<()> {
        // Those without bytes go.
        IoSlice::advance_slices(&mut parts, 0);
        loop {
            let count = leading(parts);
            if count == 0 || parts.len() == 1 {
                // One part is left, or the next is a slice of its own.
                let Some(part) = parts.first() else { return Ok(()) };
                let bytes = part.len();
                self.send(socket, part, more || parts.len() > 1).await?;
                IoSlice::advance_slices(&mut parts, bytes);
                continue;
            }
            let mut flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
            flags.set(SendFlags::MORE, more || count < parts.len());
            let mut nothing = SendAncillaryBuffer::default();
            match rustix::net::sendmsg(socket, &parts[..count], &mut nothing, flags) {
                Ok(sent) => IoSlice::advance_slices(&mut parts, sent),
                Err(Errno::AGAIN) => {
                    self.disk.writable(socket).await?;
                    continue;
                }
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(errno.into()),
            }
            if !parts.is_empty() {
                yield_now().await;
            }
        }
    }

    /// Sends `length` bytes of a file from `position` on (`sendfile`), bringing what is cold into memory
    /// before, and giving way to other tasks between slices. The socket must be non-blocking.
    pub async fn send_file(
        &self,
        socket: BorrowedFd<'_>,
        file: &DiskFile,
        position: Position,
        length: u64,
    ) -> Result<(), SendFileError> {
        let end = position + length;
        let mut position = position;
        while position < end {
            let slice = SLICE_BYTES_MAX.min(end - position);
            if !file.is_cached(position, slice) {
                self.disk.prefetch(file, position, READ_AHEAD_BYTES.min(end - position)).await?;
            }
            let mut place = position.0;
            match rustix::fs::sendfile(socket, file, Some(&mut place), slice as usize) {
                Ok(0) => return Err(SendFileError::FileEnded { position, missing: end - position }),
                Ok(sent) => position += sent as u64,
                Err(Errno::AGAIN) => {
                    self.disk.writable(socket).await?;
                    continue;
                }
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(io::Error::from(errno).into()),
            }
            if position < end {
                yield_now().await;
            }
        }
        Ok(())
    }
}

/// How many of the parts are handed to the socket in one call: as many as a slice has room for.
fn leading(parts: &[IoSlice<'_>]) -> usize {
    let mut room = SLICE_BYTES_MAX as usize;
    let fits = |part: &&IoSlice<'_>| {
        let left = room.checked_sub(part.len());
        left.inspect(|left| room = *left).is_some()
    };
    parts.iter().take(PARTS_MAX).take_while(fits).count()
}

/// Sends small answers at once instead of waiting for more (`TCP_NODELAY`).
pub fn set_nodelay(socket: BorrowedFd<'_>) -> io::Result<()> {
    Ok(sockopt::set_tcp_nodelay(socket, true)?)
}

/// Chooses the congestion control (`TCP_CONGESTION`); whether the system has it and allows it. The common
/// default `bbr` paces, which holds a loopback connection to 3 GB/s; `reno`, which every system allows,
/// reaches 9.
pub fn set_congestion_control(socket: BorrowedFd<'_>, name: &str) -> bool {
    sockopt::set_tcp_congestion(socket, name).is_ok()
}
