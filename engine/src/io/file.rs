//! An open file of the operating system, and the system calls on files and directories that never wait for
//! long.
//!
//! Shared by the reactor's disk and [`super::pwrite`]. Nothing here is asynchronous; what may wait
//! for a disk says so.

use std::fs;
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use rustix::fs::{Mode, OFlags};
use rustix::io::{Errno, ReadWriteFlags};

use super::{AlignedBuffer, Entry, OpenMode};
use crate::types::Position;

/// The most parts that one gathering write takes (`IOV_MAX`).
pub(crate) const PARTS_MAX: usize = 1024;

/// An open file; the descriptor is closed when the last clone is dropped. Clones may cross threads.
#[derive(Clone, Debug)]
pub struct DiskFile(Arc<Open>);

#[derive(Debug)]
struct Open {
    file: fs::File,
    /// Opened with `O_DIRECT`: memory, positions and lengths must be aligned.
    direct: bool,
}

impl AsFd for DiskFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.file.as_fd()
    }
}

impl From<OwnedFd> for DiskFile {
    fn from(file: OwnedFd) -> DiskFile {
        DiskFile(Arc::new(Open { file: file.into(), direct: false }))
    }
}

impl DiskFile {
    /// Opens a file. May wait for a directory to be read.
    pub(crate) fn open(path: &Path, mode: OpenMode) -> io::Result<DiskFile> {
        let mut options = fs::OpenOptions::new();
        options.read(true).write(true);
        let (file, direct) = match mode {
            OpenMode::Existing => (options.open(path)?, false),
            OpenMode::Create => (options.create(true).truncate(false).open(path)?, false),
            OpenMode::Truncate => (options.create(true).truncate(true).open(path)?, false),
            OpenMode::Durable => {
                let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::DSYNC;
                match rustix::fs::open(path, flags | OFlags::DIRECT, Mode::empty()) {
                    Ok(file) => (file.into(), true),
                    // The file system has no direct I/O.
                    Err(Errno::INVAL) => (rustix::fs::open(path, flags, Mode::empty())?.into(), false),
                    Err(errno) => return Err(errno.into()),
                }
            }
        };
        Ok(DiskFile(Arc::new(Open { file, direct })))
    }

    /// Opens a directory, to be synced.
    pub(crate) fn open_dir(path: &Path) -> io::Result<DiskFile> {
        Ok(DiskFile(Arc::new(Open { file: fs::File::open(path)?, direct: false })))
    }

    pub(crate) fn std(&self) -> &fs::File {
        &self.0.file
    }

    pub(crate) fn len(&self) -> io::Result<u64> {
        Ok(self.0.file.metadata()?.len())
    }

    /// Copies what is in memory from `position` on, without ever waiting for the disk; fewer bytes than asked
    /// for when the rest is not in memory, or when the file ends.
    pub(crate) fn read_cached(&self, position: Position, buffer: &mut [u8]) -> usize {
        let mut done = 0;
        while !self.0.direct && done < buffer.len() {
            let slice = &mut [IoSliceMut::new(&mut buffer[done..])];
            match rustix::io::preadv2(self, slice, position.0 + done as u64, ReadWriteFlags::NOWAIT) {
                Ok(0) => break,
                Ok(read) => done += read,
                Err(Errno::INTR) => {}
                // AGAIN: the page is not in memory. Anything else (a file system without NOWAIT, a damaged
                // disk) is for the read that waits to find and to report.
                Err(_) => break,
            }
        }
        done
    }

    /// Writes the parts as far as one call takes them, and says how far that was. Waits only when the system
    /// is short of clean memory.
    pub(crate) fn write_now(&self, position: Position, parts: &[Bytes]) -> io::Result<usize> {
        let slices: Vec<_> = parts.iter().take(PARTS_MAX).map(|part| IoSlice::new(part)).collect();
        match rustix::io::pwritev(self, &slices, position.0) {
            Ok(written) => Ok(written),
            Err(Errno::INTR) => Ok(0),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Whether the first and the last byte of a range are in memory (1-2 us); a range past the end of the
    /// file counts as being there.
    pub(crate) fn is_cached(&self, position: Position, length: u64) -> bool {
        let probe = |position: Position| {
            let mut byte = [0];
            let result = rustix::io::preadv2(
                self,
                &mut [IoSliceMut::new(&mut byte)],
                position.0,
                ReadWriteFlags::NOWAIT,
            );
            result.is_ok()
        };
        length == 0 || self.0.direct || (probe(position + (length - 1)) && probe(position))
    }
}

/// Memory that a read goes to: a plain vector, or whole aligned blocks around the range where the file
/// demands it.
pub(crate) struct ReadBuffer {
    memory: Memory,
    /// Where in the file the memory starts.
    pub(crate) start: Position,
    /// How many of the memory's first bytes are not asked for.
    skip: usize,
    length: usize,
    /// How many bytes of the memory have been read.
    pub(crate) done: usize,
}

enum Memory {
    Plain(Vec<u8>),
    Aligned(AlignedBuffer),
}

impl ReadBuffer {
    pub(crate) fn new(file: &DiskFile, position: Position, length: usize) -> ReadBuffer {
        if !file.0.direct {
            return ReadBuffer {
                memory: Memory::Plain(vec![0; length]),
                start: position,
                skip: 0,
                length,
                done: 0,
            };
        }
        let skip = (position.0 % AlignedBuffer::ALIGNMENT as u64) as usize;
        let blocks = (skip + length).next_multiple_of(AlignedBuffer::ALIGNMENT);
        let memory = Memory::Aligned(AlignedBuffer::zeroed(blocks));
        ReadBuffer { memory, start: Position(position.0 - skip as u64), skip, length, done: 0 }
    }

    /// The memory that still waits for bytes; its first byte belongs to `start + done`.
    pub(crate) fn rest(&mut self) -> &mut [u8] {
        let memory = match &mut self.memory {
            Memory::Plain(memory) => memory.as_mut_slice(),
            Memory::Aligned(memory) => memory.as_mut(),
        };
        &mut memory[self.done..]
    }

    /// Takes note of `read` more bytes; whether the read is over.
    pub(crate) fn advance(&mut self, read: usize) -> bool {
        self.done += read;
        // A direct read that stops inside a block has met the end of the file; to go on from there would be
        // refused.
        let ended =
            matches!(self.memory, Memory::Aligned(_)) && !read.is_multiple_of(AlignedBuffer::ALIGNMENT);
        read == 0 || ended || self.rest().is_empty()
    }

    pub(crate) fn into_bytes(self) -> Bytes {
        let end = self.done.min(self.skip + self.length);
        let bytes = match self.memory {
            Memory::Plain(mut memory) => {
                memory.truncate(self.done);
                Bytes::from(memory)
            }
            Memory::Aligned(memory) => Bytes::from_owner(memory),
        };
        bytes.slice(self.skip.min(end)..end)
    }
}

/// What a directory holds; names that are not UTF-8 are left out.
pub(crate) fn list(path: &Path) -> io::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let metadata = match entry.metadata() {
            Ok(metadata) => metadata,
            // It went away between the listing and the look at it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        if let Ok(name) = entry.file_name().into_string() {
            let length = if metadata.is_dir() { 0 } else { metadata.len() };
            entries.push(Entry { name, is_dir: metadata.is_dir(), length });
        }
    }
    Ok(entries)
}
