//! The production disk: a thread's, which its executor's [`Driver`] carries out.
//!
//! * An operation starts when its future is first polled, and then goes on even if the future is dropped.
//! * Operations that one turn of the executor starts are submitted together.
//! * Cached reads and small buffered writes do not go that way at all.
//! * The thread's executor must call [`ShardDisk::turn`] again and again; without it nothing moves.

use std::ffi::CString;
use std::future::Future;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::pin::Pin;
use std::rc::Rc;
#[cfg(feature = "glommio")]
use std::task::Waker;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use futures_util::future::join_all;

use super::doorbell::Doorbell;
use super::driver::Driver;
use super::op::Op;
use super::slots::{Key, Wait};
use crate::config::ReactorKind;
use crate::io::{AlignedBuffer, Disk, DiskFile, Entry, OpenMode, ReadBuffer, list, yield_now};
use crate::types::Position;

/// How much is copied from memory in one go, so that a big cached read does not hold up the thread: some 30
/// us.
const COPY_BYTES_MAX: usize = 256 << 10;

/// The largest write that is made at once, into the page cache, instead of by the driver: the ring hands
/// every buffered write to a kernel thread first. 4 KiB to each of 16 files take 56 us then instead of 106,
/// and half the CPU. Larger ones are better off on that thread.
pub(super) const INLINE_BYTES_MAX: usize = 256 << 10;

/// How much one advice covers: the kernel reads ahead at most this much per call on a common disk.
pub(super) const ADVICE_BYTES_MAX: u64 = 128 << 10;

/// A thread's disk, shared by its clones, for the thread that made it.
#[derive(Clone)]
pub struct ShardDisk {
    driver: Rc<Driver>,
}

impl ShardDisk {
    /// Makes the disk of an executor of that kind, on the thread that will use it.
    ///
    /// # Errors
    /// When what it needs is blocked, missing, or used up; the message says what to do about it.
    pub(super) fn new(kind: ReactorKind) -> io::Result<ShardDisk> {
        Ok(ShardDisk { driver: Rc::new(Driver::new(kind)?) })
    }

    /// Submits what was started, takes in what is complete and wakes who waits for it; waits for something to
    /// happen when told to.
    pub(super) fn turn(&self, wait: Wait) {
        self.driver.turn(wait);
    }

    /// Ends [`ShardDisk::turn`]'s wait from another thread.
    pub(super) fn doorbell(&self) -> Doorbell {
        self.driver.doorbell()
    }

    /// Refuses new operations from now on (`BrokenPipe`), ends what waits for a peer (`ECANCELED`), lets the
    /// others finish.
    pub(super) fn close(&self) {
        self.driver.close();
    }

    /// Whether something that was started is not over.
    pub(super) fn is_busy(&self) -> bool {
        self.driver.is_busy()
    }

    /// Has `waker` woken when there is something to do for [`ShardDisk::turn`] that was not done by the
    /// kernel.
    #[cfg(feature = "glommio")]
    pub(super) fn set_pump(&self, waker: &Waker) {
        self.driver.set_pump(waker);
    }

    /// Whether another turn would hand something to the kernel.
    #[cfg(feature = "glommio")]
    pub(super) fn has_submissions(&self) -> bool {
        self.driver.has_submissions()
    }

    /// Whether [`ShardDisk::close`] was called.
    #[cfg(feature = "glommio")]
    pub(super) fn is_closing(&self) -> bool {
        self.driver.is_closing()
    }

    /// Waits until the descriptor can be read, or has failed.
    pub async fn readable(&self, descriptor: BorrowedFd<'_>) -> io::Result<()> {
        self.ready(descriptor, libc::POLLIN).await
    }

    /// Waits until the descriptor can be written, or has failed.
    pub async fn writable(&self, descriptor: BorrowedFd<'_>) -> io::Result<()> {
        self.ready(descriptor, libc::POLLOUT).await
    }

    /// Waits until the peer of the socket has ended its side, or the socket has failed.
    pub async fn hung_up(&self, descriptor: BorrowedFd<'_>) -> io::Result<()> {
        self.ready(descriptor, libc::POLLRDHUP).await
    }

    /// Receives into the buffer's spare capacity, which must not be empty, as soon as something has come. The
    /// buffer comes back unchanged when the peer has ended. What is received after the future was dropped is
    /// lost.
    pub async fn receive(&self, socket: &Rc<OwnedFd>, buffer: BytesMut) -> (io::Result<()>, BytesMut) {
        let (op, result) = self.run(Op::Receive { socket: socket.clone(), buffer }).await;
        let Op::Receive { buffer, .. } = op else { unreachable!("an operation keeps its kind") };
        (result, buffer)
    }

    async fn ready(&self, descriptor: BorrowedFd<'_>, events: libc::c_short) -> io::Result<()> {
        self.run(Op::Poll { descriptor: descriptor.as_raw_fd(), events: events as u32 }).await.1
    }

    pub(super) fn run(&self, op: Op) -> Run<'_> {
        Run { driver: &self.driver, state: RunState::New(op) }
    }

    /// Opens a file that it makes where there is none. On another thread: making an entry waits for the file
    /// system's journal, measured up to 7 ms.
    async fn make(&self, path: &Path, flags: i32) -> io::Result<DiskFile> {
        let (op, result) = self.run(Op::Make { path: c_path(path)?, flags, file: None }).await;
        result?;
        let Op::Make { file, .. } = op else { unreachable!("an operation keeps its kind") };
        Ok(DiskFile::from(file.expect("it was opened")))
    }

    async fn unlink(&self, path: &Path, flags: i32) -> io::Result<()> {
        let path = c_path(path)?;
        self.run(Op::Unlink { path, flags }).await.1
    }
}

impl Disk for ShardDisk {
    type File = DiskFile;

    async fn open(&self, path: &Path, mode: OpenMode) -> io::Result<DiskFile> {
        match mode {
            OpenMode::Create => self.make(path, 0).await,
            OpenMode::Truncate => self.make(path, libc::O_TRUNC).await,
            OpenMode::Existing | OpenMode::Durable => DiskFile::open(path, mode),
        }
    }

    async fn len(&self, file: &DiskFile) -> io::Result<u64> {
        file.len()
    }

    async fn read(&self, file: &DiskFile, position: Position, length: usize) -> io::Result<Bytes> {
        let mut buffer = ReadBuffer::new(file, position, length);
        while !buffer.rest().is_empty() {
            let place = buffer.start + buffer.done as u64;
            let rest = buffer.rest();
            let slice = rest.len().min(COPY_BYTES_MAX);
            let copied = file.read_cached(place, &mut rest[..slice]);
            buffer.advance(copied);
            if copied < slice {
                // Not in memory, or the end of the file: the driver finds out.
                let (op, result) = self.run(Op::Read { file: file.clone(), buffer }).await;
                result?;
                let Op::Read { buffer, .. } = op else { unreachable!("an operation keeps its kind") };
                return Ok(buffer.into_bytes());
            }
            if !buffer.rest().is_empty() {
                yield_now().await;
            }
        }
        Ok(buffer.into_bytes())
    }

    async fn write(&self, file: &DiskFile, position: Position, parts: Vec<Bytes>) -> io::Result<()> {
        if parts.iter().all(Bytes::is_empty) {
            return Ok(());
        }
        let length: usize = parts.iter().map(Bytes::len).sum();
        let at_once = length <= INLINE_BYTES_MAX && !self.driver.is_closing();
        let done = if at_once { file.write_now(position, &parts)? } else { 0 };
        if done == length {
            return Ok(());
        }
        self.run(Op::Write { file: file.clone(), position, parts, done, vectors: Vec::new() }).await.1
    }

    async fn write_aligned(
        &self,
        file: &DiskFile,
        position: Position,
        buffer: AlignedBuffer,
    ) -> (io::Result<()>, AlignedBuffer) {
        if buffer.is_empty() {
            return (Ok(()), buffer);
        }
        let (op, result) = self.run(Op::WriteAligned { file: file.clone(), position, buffer, done: 0 }).await;
        let Op::WriteAligned { buffer, .. } = op else { unreachable!("an operation keeps its kind") };
        (result, buffer)
    }

    async fn sync(&self, file: &DiskFile) -> io::Result<()> {
        self.run(Op::Sync { file: file.clone(), data_only: true }).await.1
    }

    async fn set_len(&self, file: &DiskFile, length: u64) -> io::Result<()> {
        match self.run(Op::SetLen { file: file.clone(), length }).await.1 {
            // Kernels before 6.9 do not know the operation, and answer before they touch the file.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => file.std().set_len(length),
            result => result,
        }
    }

    async fn prefetch(&self, file: &DiskFile, position: Position, length: u64) -> io::Result<()> {
        if file.is_cached(position, length) {
            return Ok(());
        }
        let end = (position + length).min(Position(file.len()?));
        let advices = advised(position, end)
            .map(|(position, length)| self.run(Op::Prefetch { file: file.clone(), position, length }));
        for (_, result) in join_all(advices).await {
            result?;
        }
        // The pieces arrive in any order: the last byte of each tells that it is there.
        let lasts = advised(position, end).map(|(position, length)| {
            let last = position + (length - 1);
            self.run(Op::Read { file: file.clone(), buffer: ReadBuffer::new(file, last, 1) })
        });
        for (_, result) in join_all(lasts).await {
            result?;
        }
        Ok(())
    }

    async fn write_back(&self, file: &DiskFile, position: Position, length: u64) -> io::Result<()> {
        let length = length.min(u64::from(u32::MAX)) as u32;
        self.run(Op::WriteBack { file: file.clone(), position, length }).await.1
    }

    async fn create_dir(&self, path: &Path) -> io::Result<()> {
        std::fs::create_dir_all(path)
    }

    async fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        list(path)
    }

    async fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.run(Op::Rename { from: c_path(from)?, to: c_path(to)? }).await.1
    }

    async fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.unlink(path, 0).await
    }

    async fn remove_dir(&self, path: &Path) -> io::Result<()> {
        let mut directories = vec![path.to_owned()];
        let mut listed = 0;
        while listed < directories.len() {
            for entry in std::fs::read_dir(&directories[listed])? {
                let entry = entry?;
                match entry.file_type()?.is_dir() {
                    true => directories.push(entry.path()),
                    false => self.unlink(&entry.path(), 0).await?,
                }
            }
            listed += 1;
        }
        for directory in directories.iter().rev() {
            self.unlink(directory, libc::AT_REMOVEDIR).await?;
        }
        Ok(())
    }

    async fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let file = DiskFile::open_dir(path)?;
        self.run(Op::Sync { file, data_only: false }).await.1
    }
}

fn c_path(path: &Path) -> io::Result<CString> {
    Ok(CString::new(path.as_os_str().as_bytes())?)
}

/// The pieces in which a range is asked for: position and length of each.
pub(super) fn advised(position: Position, end: Position) -> impl Iterator<Item = (Position, u64)> {
    let piece = move |at| (Position(at), ADVICE_BYTES_MAX.min(end.0 - at));
    (position.0..end.0).step_by(ADVICE_BYTES_MAX as usize).map(piece)
}

/// An operation on its way through the driver.
pub(super) struct Run<'a> {
    driver: &'a Driver,
    state: RunState,
}

enum RunState {
    New(Op),
    Started(Key),
    Over,
}

impl Unpin for Run<'_> {}

impl Future for Run<'_> {
    type Output = (Op, io::Result<()>);

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match std::mem::replace(&mut self.state, RunState::Over) {
            RunState::New(op) => match self.driver.start(op, context.waker()) {
                Ok(key) => {
                    self.state = RunState::Started(key);
                    Poll::Pending
                }
                Err((op, error)) => Poll::Ready((op, Err(error))),
            },
            RunState::Started(key) => {
                let poll = self.driver.poll(key, context.waker());
                if poll.is_pending() {
                    self.state = RunState::Started(key);
                }
                poll
            }
            RunState::Over => panic!("polled after it was ready"),
        }
    }
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        if let RunState::Started(key) = self.state {
            self.driver.abandon(key);
        }
    }
}
