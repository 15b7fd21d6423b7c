//! The disk seam: everything that the engine asks of a disk, and nothing else.
//!
//! Four backends stand behind it: the disk of the [reactor](crate::reactor) (production), [`pwrite`] (plain
//! system calls, for recovery, which runs alone, and for comparison), `sim::SimDisk` (two images per file,
//! for the crash tests), and [`latch::Latch`], which wraps any of them and never lets a failed write or sync
//! be followed by another (D3).
//!
//! * Buffers given to an operation are owned by it until it completes.
//! * An operation that was started goes on when its future is dropped; only its result is lost.
//! * Writes are all or nothing to the caller: short writes are finished inside.
//! * Nothing is `Send`: a disk belongs to one thread. A file handle may cross threads where the backend says
//!   so.

mod file;
pub mod latch;
mod lock;
pub mod pwrite;
mod turn;

use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use rustix::io::Errno;

pub use file::DiskFile;
pub(crate) use file::{PARTS_MAX, ReadBuffer, list};
pub(crate) use lock::Lock;
pub use turn::yield_now;

pub use crate::buffer::AlignedBuffer;
use crate::types::Position;

/// How a file is opened. All files are opened for reading and writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    /// The file exists.
    Existing,
    /// The file is made when it is not there.
    Create,
    /// The file is made, or emptied when it is there.
    Truncate,
    /// The file exists and each write reaches the medium before it completes (`O_DIRECT | O_DSYNC` where the
    /// file system has it, `O_DSYNC` otherwise). Writes go through [`Disk::write_aligned`] only.
    Durable,
}

/// A disk, as seen by one thread.
///
/// Errors are those of the operating system, unchanged; `ENOSPC` and `EDQUOT` tell a full disk (D7), any
/// other error of a write or a sync means that what it covered can not be trusted any more (D3).
pub trait Disk: Clone + 'static {
    /// An open file: a cheap handle, closed when its last clone is dropped.
    type File: Clone + 'static;

    /// Opens a file.
    fn open(&self, path: &Path, mode: OpenMode) -> impl Future<Output = io::Result<Self::File>>;

    /// The file's length in bytes.
    fn len(&self, file: &Self::File) -> impl Future<Output = io::Result<u64>>;

    /// Up to `length` bytes from `position` on; fewer only where the file ends.
    fn read(
        &self,
        file: &Self::File,
        position: Position,
        length: usize,
    ) -> impl Future<Output = io::Result<Bytes>>;

    /// Writes `parts`, one behind the other, from `position` on. Not durable before [`Disk::sync`].
    fn write(
        &self,
        file: &Self::File,
        position: Position,
        parts: Vec<Bytes>,
    ) -> impl Future<Output = io::Result<()>>;

    /// Writes a whole aligned buffer to a file opened with [`OpenMode::Durable`] and gives the buffer back;
    /// `position` and the buffer's length are multiples of [`AlignedBuffer::ALIGNMENT`]. Durable when it
    /// completes.
    fn write_aligned(
        &self,
        file: &Self::File,
        position: Position,
        buffer: AlignedBuffer,
    ) -> impl Future<Output = (io::Result<()>, AlignedBuffer)>;

    /// Makes the file's data and length durable (`fdatasync`).
    fn sync(&self, file: &Self::File) -> impl Future<Output = io::Result<()>>;

    /// Cuts the file, or extends it with zeros. Durable after [`Disk::sync`].
    fn set_len(&self, file: &Self::File, length: u64) -> impl Future<Output = io::Result<()>>;

    /// Asks the system to bring a range into memory, and waits until its last byte is there.
    fn prefetch(
        &self,
        file: &Self::File,
        position: Position,
        length: u64,
    ) -> impl Future<Output = io::Result<()>>;

    /// Asks the system to begin writing a range to the medium. A hint: nothing is durable by it, but a later
    /// sync has less to do.
    fn write_back(
        &self,
        _file: &Self::File,
        _position: Position,
        _length: u64,
    ) -> impl Future<Output = io::Result<()>> {
        std::future::ready(Ok(()))
    }

    /// Makes a directory and the ones above it. Durable after [`Disk::sync_dir`] of the directory above.
    fn create_dir(&self, path: &Path) -> impl Future<Output = io::Result<()>>;

    /// What a directory holds, in no order; an error when it is not there.
    fn list(&self, path: &Path) -> impl Future<Output = io::Result<Vec<Entry>>>;

    /// Renames a file or a directory, replacing a file that has the new name. Durable after
    /// [`Disk::sync_dir`].
    fn rename(&self, from: &Path, to: &Path) -> impl Future<Output = io::Result<()>>;

    /// Removes a file. Durable after [`Disk::sync_dir`].
    fn remove_file(&self, path: &Path) -> impl Future<Output = io::Result<()>>;

    /// Removes a directory and all that it holds. Durable after [`Disk::sync_dir`] of the directory above.
    fn remove_dir(&self, path: &Path) -> impl Future<Output = io::Result<()>>;

    /// Makes the directory's entries durable.
    fn sync_dir(&self, path: &Path) -> impl Future<Output = io::Result<()>>;
}

/// One entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name, without the directory; names that are not UTF-8 are left out of a listing.
    pub name: String,
    /// Whether it is a directory.
    pub is_dir: bool,
    /// A file's length in bytes; 0 for a directory.
    pub length: u64,
}

/// Whether the error says that there is no room left (D7), which is no damage and may pass.
pub fn is_no_space(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    )
}

/// Whether the error says that the process or the system has used up its descriptors. It is told by what
/// makes one (an open, a listing, the sync of a directory, which opens it first), before anything is done: no
/// damage, no fault of the disk, and it may pass.
pub fn is_out_of_descriptors(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE))
}

/// Whether the error says that the system was short of something that comes back: descriptors, or memory for
/// the moment. Of anything but a sync, it says nothing about the disk: an open, a read or a listing has done
/// nothing, and of a write nobody has to trust what is there of it.
pub fn is_shortage(error: &io::Error) -> bool {
    is_out_of_descriptors(error)
        || matches!(Errno::from_io_error(error), Some(Errno::NOMEM | Errno::AGAIN | Errno::NOBUFS))
}

/// Replaces the file `path` whole: after a crash it holds either the old bytes or the new ones.
///
/// Writes `<path>.tmp`, syncs it, renames it over `path` and syncs the directory. When it fails before the
/// rename, the temporary file is removed: it takes no room on a full disk, and the next attempt is another
/// file, which no failure of this one stands against (D3).
pub async fn replace<D: Disk>(disk: &D, path: &Path, content: Bytes) -> io::Result<()> {
    let temporary = temporary_of(path);
    let written = async {
        let file = disk.open(&temporary, OpenMode::Truncate).await?;
        disk.write(&file, Position::ZERO, vec![content]).await?;
        disk.sync(&file).await?;
        disk.rename(&temporary, path).await
    };
    if let Err(error) = written.await {
        // What is left of it is overwritten by the next attempt.
        let _ = disk.remove_file(&temporary).await;
        return Err(error);
    }
    disk.sync_dir(path.parent().expect("a file stands in a directory")).await
}

/// Bytes of zeros that are written at once.
const ZEROS_BYTES: u64 = 64 << 10;

/// Sees to it that the file `path` has `bytes` bytes, durably, which [`replace_in`] may write into. It is
/// filled with zeros, so that the file system has given it all of its blocks.
///
/// # Errors
/// What the system says, for instance that there is no room; a smaller file that was there before is still
/// there then.
pub async fn keep_room<D: Disk>(disk: &D, path: &Path, bytes: u64) -> io::Result<()> {
    match disk.open(path, OpenMode::Existing).await {
        Ok(file) if disk.len(&file).await? >= bytes => return Ok(()),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let temporary = temporary_of(path);
    let written = async {
        let file = disk.open(&temporary, OpenMode::Truncate).await?;
        for position in (0..bytes).step_by(ZEROS_BYTES as usize) {
            let zeros = vec![0; ZEROS_BYTES.min(bytes - position) as usize];
            disk.write(&file, Position(position), vec![zeros.into()]).await?;
        }
        disk.sync(&file).await?;
        disk.rename(&temporary, path).await
    };
    if let Err(error) = written.await {
        let _ = disk.remove_file(&temporary).await;
        return Err(error);
    }
    disk.sync_dir(path.parent().expect("a file stands in a directory")).await
}

/// Like [`replace`], on a disk that has not a single free block: the content is written into the file `room`,
/// which [`keep_room`] has made and which is used up by it. Overwriting needs no new blocks.
///
/// # Errors
/// `StorageFull` when `room` is not there, or is too small; else what the system says. The old file counts
/// then.
pub async fn replace_in<D: Disk>(disk: &D, room: &Path, path: &Path, content: Bytes) -> io::Result<()> {
    let (length, temporary) = (content.len() as u64, temporary_of(path));
    let file = match disk.open(room, OpenMode::Existing).await {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Err(error) => return Err(error),
    };
    if disk.len(&file).await? < length {
        return Err(io::ErrorKind::StorageFull.into());
    }
    drop(file);
    disk.rename(room, &temporary).await?;
    let written = async {
        let file = disk.open(&temporary, OpenMode::Existing).await?;
        disk.write(&file, Position::ZERO, vec![content]).await?;
        disk.set_len(&file, length).await?;
        disk.sync(&file).await?;
        disk.rename(&temporary, path).await
    };
    if let Err(error) = written.await {
        let _ = disk.remove_file(&temporary).await;
        return Err(error);
    }
    disk.sync_dir(path.parent().expect("a file stands in a directory")).await
}

fn temporary_of(path: &Path) -> PathBuf {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".tmp");
    temporary.into()
}

/// The whole content of a small file; `None` when it is not there.
///
/// A file longer than `length_max` is an error of the kind `InvalidData`, so that no file can eat memory
/// (D8).
pub async fn read_whole<D: Disk>(disk: &D, path: &Path, length_max: u64) -> io::Result<Option<Bytes>> {
    let file = match disk.open(path, OpenMode::Existing).await {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let length = disk.len(&file).await?;
    if length > length_max {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("{} has {length} bytes, {length_max} at most are expected", path.display()),
        ));
    }
    disk.read(&file, Position::ZERO, length as usize).await.map(Some)
}
