//! A disk of plain system calls: each operation is done when its future is first polled, and the thread waits
//! for it.
//!
//! For recovery, for directories that no broker runs on, for comparison, and for tests. It needs no executor.

use std::io::{self, IoSlice};
use std::os::unix::fs::FileExt;
use std::path::Path;

use bytes::Bytes;

use super::file::{self, DiskFile, ReadBuffer};
use super::{AlignedBuffer, Disk, Entry, OpenMode};
use crate::types::Position;

/// The most parts that one `pwritev` takes (`IOV_MAX`).
const PARTS_MAX: usize = 1024;

/// Plain system calls.
#[derive(Clone, Copy, Debug, Default)]
pub struct PwriteDisk;

impl Disk for PwriteDisk {
    type File = DiskFile;

    async fn open(&self, path: &Path, mode: OpenMode) -> io::Result<DiskFile> {
        DiskFile::open(path, mode)
    }

    async fn len(&self, file: &DiskFile) -> io::Result<u64> {
        file.len()
    }

    async fn read(&self, file: &DiskFile, position: Position, length: usize) -> io::Result<Bytes> {
        let mut buffer = ReadBuffer::new(file, position, length);
        loop {
            let place = buffer.start + buffer.done as u64;
            match file.std().read_at(buffer.rest(), place.0) {
                Ok(read) if buffer.advance(read) => return Ok(buffer.into_bytes()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    async fn write(&self, file: &DiskFile, mut position: Position, parts: Vec<Bytes>) -> io::Result<()> {
        let mut slices: Vec<IoSlice<'_>> = parts.iter().map(|part| IoSlice::new(part)).collect();
        let mut slices = slices.as_mut_slice();
        IoSlice::advance_slices(&mut slices, 0);
        while !slices.is_empty() {
            match rustix::io::pwritev(file, &slices[..slices.len().min(PARTS_MAX)], position.0) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    IoSlice::advance_slices(&mut slices, written);
                    position += written as u64;
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(())
    }

    async fn write_aligned(
        &self,
        file: &DiskFile,
        position: Position,
        buffer: AlignedBuffer,
    ) -> (io::Result<()>, AlignedBuffer) {
        (file.std().write_all_at(buffer.as_ref(), position.0), buffer)
    }

    async fn sync(&self, file: &DiskFile) -> io::Result<()> {
        Ok(rustix::fs::fdatasync(file)?)
    }

    async fn set_len(&self, file: &DiskFile, length: u64) -> io::Result<()> {
        file.std().set_len(length)
    }

    async fn prefetch(&self, file: &DiskFile, position: Position, length: u64) -> io::Result<()> {
        if file.is_cached(position, length) {
            return Ok(());
        }
        rustix::fs::fadvise(
            file,
            position.0,
            std::num::NonZeroU64::new(length),
            rustix::fs::Advice::WillNeed,
        )?;
        file.std().read_at(&mut [0], position.0 + length - 1).map(drop)
    }

    async fn create_dir(&self, path: &Path) -> io::Result<()> {
        std::fs::create_dir_all(path)
    }

    async fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        file::list(path)
    }

    async fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    async fn remove_file(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    async fn remove_dir(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_dir_all(path)
    }

    async fn sync_dir(&self, path: &Path) -> io::Result<()> {
        DiskFile::open_dir(path)?.std().sync_all()
    }
}
