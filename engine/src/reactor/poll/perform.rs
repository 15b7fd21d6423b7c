//! Operations as system calls, on a thread that may wait for the disk.

#![allow(unsafe_code)]

use std::os::fd::{AsRawFd, IntoRawFd};

use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;

use crate::io::DiskFile;
use crate::reactor::op::{Op, SUBMISSION_BYTES_MAX, Step, gather};

/// Carries an operation out, to its end.
///
/// # Errors
/// What the system says.
pub(super) fn perform(op: &mut Op) -> std::io::Result<()> {
    loop {
        let result = call(op).unwrap_or_else(|errno| -errno.raw_os_error());
        match op.advance(result) {
            Step::Again => {}
            Step::Done(result) => return result,
        }
    }
}

/// One system call of an operation: what it counts, or the descriptor that it has opened.
fn call(op: &mut Op) -> Result<i32, Errno> {
    let count = match op {
        Op::Read { file, buffer } => {
            let place = buffer.start + buffer.done as u64;
            let rest = buffer.rest();
            let length = rest.len().min(SUBMISSION_BYTES_MAX);
            rustix::io::pread(&*file, &mut rest[..length], place.0)?
        }
        Op::Write { file, position, parts, done, vectors } => {
            gather(parts, *done, vectors);
            let (count, place) = (vectors.len() as libc::c_int, (position.0 + *done as u64) as libc::off_t);
            // SAFETY: the vectors lead into `parts`, which stay where they are.
            counted(unsafe { libc::pwritev(number(file), vectors.as_ptr(), count, place) })?
        }
        Op::WriteAligned { file, position, buffer, done } => {
            let rest = &buffer.as_ref()[*done..];
            let length = rest.len().min(SUBMISSION_BYTES_MAX);
            rustix::io::pwrite(&*file, &rest[..length], position.0 + *done as u64)?
        }
        Op::Sync { file, data_only: true } => none(rustix::fs::fdatasync(&*file)?),
        Op::Sync { file, data_only: false } => none(rustix::fs::fsync(&*file)?),
        Op::SetLen { file, length } => none(rustix::fs::ftruncate(&*file, *length)?),
        Op::Prefetch { file, position, length } => {
            let length = std::num::NonZeroU64::new(*length);
            none(rustix::fs::fadvise(&*file, position.0, length, rustix::fs::Advice::WillNeed)?)
        }
        Op::WriteBack { file, position, length } => {
            let (place, length) = (position.0 as libc::off64_t, libc::off64_t::from(*length));
            // SAFETY: it touches no memory.
            let result =
                unsafe { libc::sync_file_range(number(file), place, length, libc::SYNC_FILE_RANGE_WRITE) };
            counted(result as isize)?
        }
        Op::Make { path, flags, .. } => {
            let flags = OFlags::from_bits_retain(*flags as u32);
            let flags = flags | OFlags::CREATE | OFlags::RDWR | OFlags::CLOEXEC;
            let file = rustix::fs::open(path.as_c_str(), flags, Mode::from_raw_mode(0o666))?;
            return Ok(file.into_raw_fd());
        }
        Op::Rename { from, to } => none(rustix::fs::rename(from.as_c_str(), to.as_c_str())?),
        Op::Unlink { path, flags } => {
            none(rustix::fs::unlinkat(CWD, path.as_c_str(), AtFlags::from_bits_retain(*flags as u32))?)
        }
        Op::Poll { .. } | Op::Receive { .. } | Op::Away => unreachable!("no thread waits for a peer"),
    };
    Ok(count as i32)
}

fn none((): ()) -> usize {
    0
}

fn number(file: &DiskFile) -> libc::c_int {
    std::os::fd::AsFd::as_fd(file).as_raw_fd()
}

fn counted(result: isize) -> Result<usize, Errno> {
    usize::try_from(result).map_err(|_| {
        let error = std::io::Error::last_os_error();
        Errno::from_io_error(&error).expect("the system says why")
    })
}
