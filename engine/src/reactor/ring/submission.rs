//! Operations as entries of the ring's submission queue.

use std::os::fd::{AsFd, AsRawFd};

use io_uring::types::FsyncFlags;
use io_uring::{opcode, squeue, types};

use crate::io::DiskFile;
use crate::reactor::op::{Op, SUBMISSION_BYTES_MAX, gather};

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

/// The next submission. Its pointers lead to heap memory that the operation owns, so they stay good while
/// the operation itself is moved, and until it is dropped.
pub(super) fn submission(op: &mut Op) -> squeue::Entry {
    match op {
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
        Op::Sync { file, data_only } => {
            let flags = if *data_only { FsyncFlags::DATASYNC } else { FsyncFlags::empty() };
            opcode::Fsync::new(descriptor(file)).flags(flags).build()
        }
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
        Op::Away => unreachable!("the ring leaves an operation in its slot"),
    }
}

fn descriptor(file: &DiskFile) -> types::Fd {
    types::Fd(file.as_fd().as_raw_fd())
}
