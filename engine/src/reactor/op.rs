//! What a thread's disk and sockets can be asked to do: each operation owns all the memory that the kernel
//! may touch on its behalf.
//!
//! An operation may take several system calls, or submissions to the ring: [`Op::advance`] asks for another
//! one until a short read or write is whole. So an operation whose future was dropped is still finished.

#![allow(unsafe_code)]

use std::ffi::CString;
use std::io;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::rc::Rc;

use bytes::{BufMut, Bytes, BytesMut};
use rustix::io::Errno;
use rustix::net::RecvFlags;

use crate::buffer::AlignedBuffer;
use crate::io::{DiskFile, PARTS_MAX, ReadBuffer};
use crate::types::Position;

/// The most bytes that one system call moves: below the kernel's own bound, and aligned.
pub(super) const SUBMISSION_BYTES_MAX: usize = 1 << 30;

pub(super) enum Op {
    Read {
        file: DiskFile,
        buffer: ReadBuffer,
    },
    Write {
        file: DiskFile,
        position: Position,
        parts: Vec<Bytes>,
        done: usize,
        /// What the kernel reads while a submission is under way; points into `parts`.
        vectors: Vec<libc::iovec>,
    },
    WriteAligned {
        file: DiskFile,
        position: Position,
        buffer: AlignedBuffer,
        done: usize,
    },
    Sync {
        file: DiskFile,
        /// What is needed to read the data back (`fdatasync`), or all.
        data_only: bool,
    },
    SetLen {
        file: DiskFile,
        length: u64,
    },
    /// Starts to bring a range into memory, without waiting for it.
    Prefetch {
        file: DiskFile,
        position: Position,
        length: u64,
    },
    /// Starts to write a range to the medium, without waiting for it.
    WriteBack {
        file: DiskFile,
        position: Position,
        length: u32,
    },
    /// Opens a file that it makes where there is none: such an entry waits for the file system's journal.
    Make {
        path: CString,
        flags: i32,
        file: Option<OwnedFd>,
    },
    Rename {
        from: CString,
        to: CString,
    },
    Unlink {
        path: CString,
        flags: i32,
    },
    /// Waits for a descriptor, which the future borrows. Touches no memory.
    Poll {
        descriptor: RawFd,
        events: u32,
    },
    /// Receives into the buffer's spare capacity what a socket brings, and waits for it. Nothing received
    /// means that the peer has ended.
    Receive {
        socket: Rc<OwnedFd>,
        buffer: BytesMut,
    },
    /// Stands in the slot of one that is in the hands of a thread.
    Away,
}

/// What a completion means for its operation.
pub(super) enum Step {
    /// The rest must be asked for.
    Again,
    Done(io::Result<()>),
}

impl Op {
    /// Whether it waits for a peer, which may take for ever: it is cancelled when nobody waits for its result
    /// any more.
    pub(super) fn is_open_ended(&self) -> bool {
        matches!(self, Op::Poll { .. } | Op::Receive { .. })
    }

    /// Takes in the result of a system call: a count, or a negative error number.
    pub(super) fn advance(&mut self, result: i32) -> Step {
        let transfers =
            matches!(self, Op::Read { .. } | Op::Write { .. } | Op::WriteAligned { .. } | Op::Receive { .. });
        if result < 0 {
            // A transfer that was interrupted before it began has not failed; an interrupted sync says
            // nothing and is an error.
            if transfers && -result == libc::EINTR {
                return Step::Again;
            }
            return Step::Done(Err(io::Error::from_raw_os_error(-result)));
        }
        let moved = result as usize;
        let over = match self {
            Op::Read { buffer, .. } => buffer.advance(moved),
            Op::Write { parts, done, .. } => {
                *done += moved;
                *done == parts.iter().map(Bytes::len).sum::<usize>()
            }
            Op::WriteAligned { buffer, done, .. } => {
                *done += moved;
                *done == buffer.len()
            }
            Op::Receive { buffer, .. } => {
                // SAFETY: the kernel has filled that many bytes of the spare capacity.
                unsafe { buffer.advance_mut(moved) };
                true
            }
            Op::Make { file, .. } => {
                // SAFETY: the kernel has just opened it for this operation, and nobody else knows of it.
                *file = Some(unsafe { OwnedFd::from_raw_fd(result) });
                true
            }
            _ => true,
        };
        if over {
            Step::Done(Ok(()))
        } else if moved == 0 {
            Step::Done(Err(io::ErrorKind::WriteZero.into()))
        } else {
            Step::Again
        }
    }
}

/// Receives into the buffer's spare capacity what the socket has; 0 when it was closed, or when there is no
/// spare capacity.
///
/// # Errors
/// `AGAIN` when nothing has arrived.
pub fn receive(socket: BorrowedFd<'_>, buffer: &mut BytesMut) -> Result<usize, Errno> {
    let (received, _) = rustix::net::recv(socket, buffer.spare_capacity_mut(), RecvFlags::DONTWAIT)?;
    let received = received.0.len();
    // SAFETY: the kernel has filled that many bytes of the spare capacity.
    unsafe { buffer.advance_mut(received) };
    Ok(received)
}

/// Points `vectors` at what is left of `parts` behind the first `done` bytes.
pub(super) fn gather(parts: &[Bytes], done: usize, vectors: &mut Vec<libc::iovec>) {
    vectors.clear();
    let mut skip = done;
    for part in parts {
        let rest = &part[skip.min(part.len())..];
        skip -= part.len() - rest.len();
        if !rest.is_empty() {
            vectors.push(libc::iovec { iov_base: rest.as_ptr().cast_mut().cast(), iov_len: rest.len() });
        }
        if vectors.len() == PARTS_MAX {
            break;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::OpenMode;

    #[test]
    fn a_short_write_goes_on_where_it_stopped_and_leaves_nothing_out() {
        let dir = tempfile::tempdir().unwrap();
        let file = DiskFile::open(&dir.path().join("file"), OpenMode::Create).unwrap();
        let parts = vec![
            Bytes::from_static(b"abc"),
            Bytes::new(),
            Bytes::from_static(b"defgh"),
            Bytes::from_static(b"i"),
        ];
        let mut op = Op::Write { file, position: Position(100), parts, done: 0, vectors: Vec::new() };
        for (moved, rest) in [(2, vec![3, 5, 1]), (1, vec![1, 5, 1]), (4, vec![5, 1]), (2, vec![1, 1])] {
            let Op::Write { parts, done, vectors, .. } = &mut op else { unreachable!() };
            gather(parts, *done, vectors);
            assert_eq!(vectors.iter().map(|vector| vector.iov_len).collect::<Vec<_>>(), rest);
            match op.advance(moved) {
                Step::Again => assert_ne!(rest, [1, 1]),
                Step::Done(result) => {
                    result.unwrap();
                    assert_eq!(rest, [1, 1]);
                }
            }
        }
    }

    #[test]
    fn a_write_that_moves_nothing_is_an_error_and_no_endless_loop() {
        let dir = tempfile::tempdir().unwrap();
        let file = DiskFile::open(&dir.path().join("file"), OpenMode::Create).unwrap();
        let parts = vec![Bytes::from_static(b"abc")];
        let mut op = Op::Write { file, position: Position::ZERO, parts, done: 0, vectors: Vec::new() };
        assert!(matches!(op.advance(0), Step::Done(Err(error)) if error.kind() == io::ErrorKind::WriteZero));
    }
}
