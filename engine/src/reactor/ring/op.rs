//! What the ring can be asked to do: each operation owns all the memory that the kernel may touch on its
//! behalf.
//!
//! An operation may take several submissions: [`Op::advance`] asks for another one until a short read or
//! write is whole. So an operation whose future was dropped is still finished by the ring.

#![allow(unsafe_code)]

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::rc::Rc;

use bytes::{BufMut, Bytes, BytesMut};
use io_uring::{opcode, squeue, types};

use crate::buffer::AlignedBuffer;
use crate::io::{DiskFile, PARTS_MAX, ReadBuffer};
use crate::types::Position;

/// The most bytes that one submission moves: below the kernel's own bound, and aligned.
const SUBMISSION_BYTES_MAX: usize = 1 << 30;

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
        flags: types::FsyncFlags,
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
}

/// The operations that a kernel must have. One that it may lack has another way: `SetLen`.
pub(super) const OPCODES: [(u8, &str); 13] = [
    (opcode::Nop::CODE, "NOP"),
    (opcode::Read::CODE, "READ"),
    (opcode::Write::CODE, "WRITE"),
    (opcode::Writev::CODE, "WRITEV"),
    (opcode::Fsync::CODE, "FSYNC"),
    (opcode::Fadvise::CODE, "FADVISE"),
    (opcode::SyncFileRange::CODE, "SYNC_FILE_RANGE"),
    (opcode::OpenAt::CODE, "OPENAT"),
    (opcode::RenameAt::CODE, "RENAMEAT"),
    (opcode::UnlinkAt::CODE, "UNLINKAT"),
    (opcode::PollAdd::CODE, "POLL_ADD"),
    (opcode::Recv::CODE, "RECV"),
    (opcode::AsyncCancel::CODE, "ASYNC_CANCEL"),
];

/// What a completion means for its operation.
pub(super) enum Step {
    /// The rest must be submitted.
    Again,
    Done(io::Result<()>),
}

impl Op {
    /// Whether it waits for a peer, which may take for ever: it is cancelled when nobody waits for its result
    /// any more.
    pub(super) fn is_open_ended(&self) -> bool {
        matches!(self, Op::Poll { .. } | Op::Receive { .. })
    }

    /// The next submission. Its pointers lead to heap memory that the operation owns, so they stay good while
    /// the operation itself is moved, and until it is dropped.
    pub(super) fn submission(&mut self) -> squeue::Entry {
        match self {
            Op::Read { file, buffer } => {
                let place = buffer.start + buffer.done as u64;
                let rest = buffer.rest();
                let length = rest.len().min(SUBMISSION_BYTES_MAX) as u32;
                opcode::Read::new(descriptor(file), rest.as_mut_ptr(), length).offset(place.0).build()
            }
            Op::Write { file, position, parts, done, vectors } => {
                gather(parts, *done, vectors);
                let count = vectors.len() as u32;
                opcode::Writev::new(descriptor(file), vectors.as_ptr(), count)
                    .offset(position.0 + *done as u64)
                    .build()
            }
            Op::WriteAligned { file, position, buffer, done } => {
                let rest = &buffer.as_ref()[*done..];
                let length = rest.len().min(SUBMISSION_BYTES_MAX) as u32;
                opcode::Write::new(descriptor(file), rest.as_ptr(), length)
                    .offset(position.0 + *done as u64)
                    .build()
            }
            Op::Sync { file, flags } => opcode::Fsync::new(descriptor(file)).flags(*flags).build(),
            Op::SetLen { file, length } => opcode::Ftruncate::new(descriptor(file), *length).build(),
            Op::Prefetch { file, position, length } => {
                opcode::Fadvise::new(descriptor(file), *length as libc::off_t, libc::POSIX_FADV_WILLNEED)
                    .offset(position.0)
                    .build()
            }
            Op::WriteBack { file, position, length } => opcode::SyncFileRange::new(descriptor(file), *length)
                .offset(position.0)
                .flags(libc::SYNC_FILE_RANGE_WRITE)
                .build(),
            Op::Make { path, flags, .. } => opcode::OpenAt::new(types::Fd(libc::AT_FDCWD), path.as_ptr())
                .flags(*flags | libc::O_CREAT | libc::O_RDWR | libc::O_CLOEXEC)
                .mode(0o666)
                .build(),
            Op::Rename { from, to } => {
                let here = types::Fd(libc::AT_FDCWD);
                opcode::RenameAt::new(here, from.as_ptr(), here, to.as_ptr()).build()
            }
            Op::Unlink { path, flags } => {
                opcode::UnlinkAt::new(types::Fd(libc::AT_FDCWD), path.as_ptr()).flags(*flags).build()
            }
            Op::Poll { descriptor, events } => opcode::PollAdd::new(types::Fd(*descriptor), *events).build(),
            Op::Receive { socket, buffer } => {
                let room = buffer.spare_capacity_mut();
                let length = room.len().min(SUBMISSION_BYTES_MAX) as u32;
                opcode::Recv::new(types::Fd(socket.as_raw_fd()), room.as_mut_ptr().cast(), length).build()
            }
        }
    }

    /// Takes in the result of a submission: a count, or a negative error number.
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

fn descriptor(file: &DiskFile) -> types::Fd {
    types::Fd(file.as_fd().as_raw_fd())
}

/// Points `vectors` at what is left of `parts` behind the first `done` bytes.
fn gather(parts: &[Bytes], done: usize, vectors: &mut Vec<libc::iovec>) {
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
            op.submission();
            let Op::Write { vectors, .. } = &op else { unreachable!() };
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
        op.submission();
        assert!(matches!(op.advance(0), Step::Done(Err(error)) if error.kind() == io::ErrorKind::WriteZero));
    }
}
