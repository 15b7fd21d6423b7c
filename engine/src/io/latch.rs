//! The decorator that never lets a failed write or sync be followed by another (D3).
//!
//! After a failed sync the system forgets which pages it could not write, so that a second sync would succeed
//! and mean nothing; after a failed write nobody knows what the file holds. So the first failure of a file is
//! remembered, and answers every later write, sync and change of length of it. Reads go on.
//!
//! * Syncs of one file go one after the other: the system tells a failure once, and a second sync under way
//!   at that moment would take it for success.
//! * What is fenced is the file, not the handle: a file that is opened again is still fenced, also under a
//!   new name, until it is removed.
//! * A write or change of length that finds no room (D7), or the system short of memory, is no failure:
//!   whoever asked for it clears away what there may be of it. An open, a read or a listing that fails closes
//!   nothing: nothing was written.
//! * An operation whose future is dropped before it has answered fences the file, too: its result will never
//!   be known.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use futures_util::lock::Mutex;

use super::{AlignedBuffer, Disk, Entry, OpenMode, is_no_space, is_shortage};
use crate::types::Position;

/// A disk whose files are fenced by their first failure.
#[derive(Clone)]
pub struct Latch<D> {
    disk: D,
    files: Rc<RefCell<Files>>,
}

/// A file of a [`Latch`].
#[derive(Clone)]
pub struct LatchedFile<F> {
    file: F,
    fence: Arc<Fence>,
}

impl<F> LatchedFile<F> {
    /// The handle of the disk below, for what the seam does not cover.
    pub fn get_ref(&self) -> &F {
        &self.file
    }
}

/// Why a file is fenced: inside of the [`io::Error`] that answers every operation after the first failure.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{} is fenced, because a {operation} failed earlier: {}", path.display(), describe(failure))]
pub struct Fenced {
    /// The file's name when it was opened.
    pub path: PathBuf,
    /// What failed first.
    pub operation: Operation,
    /// How it failed; `None` when its future was dropped before it answered.
    pub failure: Option<Failure>,
}

/// An [`io::Error`] that can be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// How it failed.
    pub kind: io::ErrorKind,
    /// The system's error number, when it gave one.
    pub os_error: Option<i32>,
}

/// An operation that fences its file when it fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// A write of so many bytes.
    Write {
        /// Where it began.
        position: Position,
        /// How many bytes.
        length: u64,
    },
    /// A sync.
    Sync,
    /// A change of length.
    SetLen {
        /// The length that was asked for.
        length: u64,
    },
}

impl std::fmt::Display for Operation {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Operation::Write { position, length } => {
                write!(formatter, "write of {length} bytes at position {position}")
            }
            Operation::Sync => write!(formatter, "sync"),
            Operation::SetLen { length } => write!(formatter, "change of length to {length} bytes"),
        }
    }
}

fn describe(failure: &Option<Failure>) -> String {
    match failure {
        None => "its result was not waited for".to_owned(),
        Some(Failure { os_error: Some(number), .. }) => io::Error::from_raw_os_error(*number).to_string(),
        Some(Failure { kind, os_error: None }) => kind.to_string(),
    }
}

impl<D: Disk> Latch<D> {
    /// Wraps a disk. Clones share what they know; another `Latch` on the same files does not.
    pub fn new(disk: D) -> Latch<D> {
        Latch { disk, files: Rc::default() }
    }

    /// The disk below.
    pub fn get_ref(&self) -> &D {
        &self.disk
    }
}

impl<D: Disk> Disk for Latch<D> {
    type File = LatchedFile<D::File>;

    async fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Self::File> {
        let file = self.disk.open(path, mode).await?;
        Ok(LatchedFile { file, fence: self.files.borrow_mut().fence(path) })
    }

    async fn len(&self, file: &Self::File) -> io::Result<u64> {
        self.disk.len(&file.file).await
    }

    async fn read(&self, file: &Self::File, position: Position, length: usize) -> io::Result<Bytes> {
        self.disk.read(&file.file, position, length).await
    }

    async fn write(&self, file: &Self::File, position: Position, parts: Vec<Bytes>) -> io::Result<()> {
        let length = parts.iter().map(|part| part.len() as u64).sum();
        let attempt = file.fence.attempt(Operation::Write { position, length })?;
        attempt.settle(self.disk.write(&file.file, position, parts).await)
    }

    async fn write_aligned(
        &self,
        file: &Self::File,
        position: Position,
        buffer: AlignedBuffer,
    ) -> (io::Result<()>, AlignedBuffer) {
        let length = buffer.len() as u64;
        let attempt = match file.fence.attempt(Operation::Write { position, length }) {
            Ok(attempt) => attempt,
            Err(error) => return (Err(error), buffer),
        };
        let (result, buffer) = self.disk.write_aligned(&file.file, position, buffer).await;
        (attempt.settle(result), buffer)
    }

    async fn sync(&self, file: &Self::File) -> io::Result<()> {
        let _one_at_a_time = file.fence.syncing.lock().await;
        let attempt = file.fence.attempt(Operation::Sync)?;
        attempt.settle(self.disk.sync(&file.file).await)
    }

    async fn set_len(&self, file: &Self::File, length: u64) -> io::Result<()> {
        let attempt = file.fence.attempt(Operation::SetLen { length })?;
        attempt.settle(self.disk.set_len(&file.file, length).await)
    }

    async fn prefetch(&self, file: &Self::File, position: Position, length: u64) -> io::Result<()> {
        self.disk.prefetch(&file.file, position, length).await
    }

    async fn write_back(&self, file: &Self::File, position: Position, length: u64) -> io::Result<()> {
        self.disk.write_back(&file.file, position, length).await
    }

    async fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.disk.create_dir(path).await
    }

    async fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        self.disk.list(path).await
    }

    async fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to).await?;
        self.files.borrow_mut().rename(from, to);
        Ok(())
    }

    async fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.disk.remove_file(path).await?;
        self.files.borrow_mut().take_under(path);
        Ok(())
    }

    async fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.disk.remove_dir(path).await?;
        self.files.borrow_mut().take_under(path);
        Ok(())
    }

    async fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.disk.sync_dir(path).await
    }
}

/// What is known of one file, shared by all of its handles.
struct Fence {
    path: PathBuf,
    first: OnceLock<Fenced>,
    /// Held by a sync: of two at the same time one may be told of the failure and the other that all is well.
    syncing: Mutex<()>,
}

impl Fence {
    /// Lets an operation pass when none has failed before it.
    fn attempt(&self, operation: Operation) -> io::Result<Attempt<'_>> {
        match self.first.get() {
            Some(fenced) => Err(io::Error::other(fenced.clone())),
            None => Ok(Attempt { fence: self, operation, settled: false }),
        }
    }

    fn close(&self, operation: Operation, failure: Option<Failure>) {
        let path = self.path.clone();
        self.first.get_or_init(|| Fenced { path, operation, failure });
    }
}

/// An operation under way. Dropped without a result, it fences the file.
struct Attempt<'a> {
    fence: &'a Fence,
    operation: Operation,
    settled: bool,
}

impl Attempt<'_> {
    fn settle(mut self, result: io::Result<()>) -> io::Result<()> {
        self.settled = true;
        if let Err(error) = &result
            && (self.operation == Operation::Sync || !(is_no_space(error) || is_shortage(error)))
        {
            let failure = Failure { kind: error.kind(), os_error: error.raw_os_error() };
            self.fence.close(self.operation, Some(failure));
        }
        result
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if !self.settled {
            self.fence.close(self.operation, None);
        }
    }
}

/// The fences of all open and all fenced files.
#[derive(Default)]
struct Files {
    fences: BTreeMap<PathBuf, Arc<Fence>>,
    /// The number of entries at which those of closed files are swept out.
    sweep_at: usize,
}

impl Files {
    fn fence(&mut self, path: &Path) -> Arc<Fence> {
        if let Some(fence) = self.fences.get(path) {
            return fence.clone();
        }
        if self.fences.len() >= self.sweep_at {
            self.fences.retain(|_, fence| Arc::strong_count(fence) > 1 || fence.first.get().is_some());
            self.sweep_at = 2 * self.fences.len() + 64;
        }
        let fence =
            Arc::new(Fence { path: path.to_owned(), first: OnceLock::new(), syncing: Mutex::new(()) });
        self.fences.insert(path.to_owned(), fence.clone());
        fence
    }

    /// Forgets a file, or all the files of a directory.
    fn take_under(&mut self, path: &Path) -> Vec<(PathBuf, Arc<Fence>)> {
        // Paths are ordered by their parts, so a directory's files follow it.
        let under = self.fences.range(path.to_owned()..).take_while(|(name, _)| name.starts_with(path));
        let names: Vec<PathBuf> = under.map(|(name, _)| name.clone()).collect();
        names.into_iter().filter_map(|name| self.fences.remove_entry(&name)).collect()
    }

    fn rename(&mut self, from: &Path, to: &Path) {
        let moved = self.take_under(from);
        self.take_under(to);
        for (name, fence) in moved {
            let rest = name.strip_prefix(from).expect("it stands under `from`");
            // Joining an empty rest would leave a slash behind, which a path of a file must not have.
            let name = if rest.as_os_str().is_empty() { to.to_owned() } else { to.join(rest) };
            self.fences.insert(name, fence);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use futures_executor::block_on;
    use futures_util::FutureExt;

    use super::*;
    use crate::io::pwrite::PwriteDisk;
    use crate::io::{DiskFile, replace};

    /// A disk that fails the next write, sync or change of length with an error number, or never answers it.
    #[derive(Clone, Default)]
    struct Faulty {
        next: Rc<Cell<Option<Fault>>>,
    }

    #[derive(Clone, Copy)]
    enum Fault {
        Error(i32),
        Hang,
    }

    const EIO: i32 = 5;
    const EAGAIN: i32 = 11;
    const ENOMEM: i32 = 12;
    const ENFILE: i32 = 23;
    const EMFILE: i32 = 24;
    const ENOSPC: i32 = 28;
    const ENOBUFS: i32 = 105;

    impl Faulty {
        async fn strike(&self) -> io::Result<()> {
            match self.next.take() {
                None => Ok(()),
                Some(Fault::Error(number)) => Err(io::Error::from_raw_os_error(number)),
                Some(Fault::Hang) => std::future::pending().await,
            }
        }
    }

    impl Disk for Faulty {
        type File = DiskFile;

        async fn open(&self, path: &Path, mode: OpenMode) -> io::Result<DiskFile> {
            PwriteDisk.open(path, mode).await
        }
        async fn len(&self, file: &DiskFile) -> io::Result<u64> {
            PwriteDisk.len(file).await
        }
        async fn read(&self, file: &DiskFile, position: Position, length: usize) -> io::Result<Bytes> {
            PwriteDisk.read(file, position, length).await
        }
        async fn write(&self, file: &DiskFile, position: Position, parts: Vec<Bytes>) -> io::Result<()> {
            self.strike().await?;
            PwriteDisk.write(file, position, parts).await
        }
        async fn write_aligned(
            &self,
            file: &DiskFile,
            position: Position,
            buffer: AlignedBuffer,
        ) -> (io::Result<()>, AlignedBuffer) {
            match self.strike().await {
                Ok(()) => PwriteDisk.write_aligned(file, position, buffer).await,
                Err(error) => (Err(error), buffer),
            }
        }
        async fn sync(&self, file: &DiskFile) -> io::Result<()> {
            self.strike().await?;
            PwriteDisk.sync(file).await
        }
        async fn set_len(&self, file: &DiskFile, length: u64) -> io::Result<()> {
            self.strike().await?;
            PwriteDisk.set_len(file, length).await
        }
        async fn prefetch(&self, file: &DiskFile, position: Position, length: u64) -> io::Result<()> {
            PwriteDisk.prefetch(file, position, length).await
        }
        async fn create_dir(&self, path: &Path) -> io::Result<()> {
            PwriteDisk.create_dir(path).await
        }
        async fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
            PwriteDisk.list(path).await
        }
        async fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
            PwriteDisk.rename(from, to).await
        }
        async fn remove_file(&self, path: &Path) -> io::Result<()> {
            PwriteDisk.remove_file(path).await
        }
        async fn remove_dir(&self, path: &Path) -> io::Result<()> {
            PwriteDisk.remove_dir(path).await
        }
        async fn sync_dir(&self, path: &Path) -> io::Result<()> {
            PwriteDisk.sync_dir(path).await
        }
    }

    struct World {
        dir: tempfile::TempDir,
        faults: Rc<Cell<Option<Fault>>>,
        disk: Latch<Faulty>,
    }

    impl World {
        fn new() -> World {
            let disk = Latch::new(Faulty::default());
            World { dir: tempfile::tempdir().unwrap(), faults: disk.get_ref().next.clone(), disk }
        }

        fn path(&self, name: &str) -> PathBuf {
            self.dir.path().join(name)
        }

        fn open(&self, name: &str) -> LatchedFile<DiskFile> {
            block_on(self.disk.open(&self.path(name), OpenMode::Create)).unwrap()
        }

        fn write(&self, file: &LatchedFile<DiskFile>) -> io::Result<()> {
            block_on(self.disk.write(file, Position::ZERO, vec![Bytes::from_static(b"abc")]))
        }

        fn fail(&self, file: &LatchedFile<DiskFile>, number: i32) {
            self.faults.set(Some(Fault::Error(number)));
            assert_eq!(
                self.write(file).unwrap_err().raw_os_error(),
                Some(number),
                "the first error is the disk's own"
            );
        }
    }

    fn fenced(result: io::Result<()>) -> Fenced {
        let error = result.expect_err("the file is fenced");
        assert!(!is_no_space(&error));
        error.get_ref().unwrap().downcast_ref::<Fenced>().expect("the latch answers, not the disk").clone()
    }

    #[test]
    fn d3_nothing_is_written_or_synced_after_a_failed_sync_and_reads_go_on() {
        let world = World::new();
        let file = world.open("a");
        world.write(&file).unwrap();
        world.faults.set(Some(Fault::Error(EIO)));
        block_on(world.disk.sync(&file)).unwrap_err();
        let first = fenced(block_on(world.disk.sync(&file)));
        assert_eq!(first.operation, Operation::Sync);
        assert_eq!(first.failure.unwrap().os_error, Some(EIO));
        assert!(first.to_string().contains("Input/output error"), "{first}");
        fenced(world.write(&file));
        fenced(block_on(world.disk.set_len(&file, 0)));
        fenced(block_on(world.disk.write_aligned(&file, Position::ZERO, AlignedBuffer::zeroed(4096))).0);
        assert_eq!(block_on(world.disk.read(&file, Position::ZERO, 10)).unwrap(), "abc");
        assert_eq!(block_on(world.disk.len(&file)).unwrap(), 3);
    }

    #[test]
    fn d3_the_other_files_go_on() {
        let world = World::new();
        let (file, other) = (world.open("a"), world.open("b"));
        world.fail(&file, EIO);
        let first = fenced(world.write(&file));
        assert_eq!(first.operation, Operation::Write { position: Position::ZERO, length: 3 });
        world.write(&other).unwrap();
        block_on(world.disk.sync(&other)).unwrap();
    }

    #[test]
    fn d3_closing_opening_and_renaming_do_not_lift_the_fence_and_removing_does() {
        let world = World::new();
        world.disk.files.borrow_mut().sweep_at = 0;
        std::fs::create_dir(world.path("dir")).unwrap();
        world.fail(&world.open("dir/a"), EIO);
        for unrelated in 0..200 {
            world.open(&format!("other-{unrelated}"));
        }
        assert!(world.disk.files.borrow().fences.len() < 100, "closed files are swept out");
        fenced(world.write(&world.open("dir/a")));
        block_on(world.disk.rename(&world.path("dir"), &world.path("moved"))).unwrap();
        fenced(world.write(&world.open("moved/a")));
        block_on(world.disk.rename(&world.path("moved/a"), &world.path("moved/b"))).unwrap();
        fenced(world.write(&world.open("moved/b")));
        world.write(&world.open("moved/a")).unwrap();
        block_on(world.disk.remove_file(&world.path("moved/b"))).unwrap();
        world.write(&world.open("moved/b")).unwrap();
    }

    #[test]
    fn d7_a_full_disk_fences_nothing_unless_it_fails_a_sync() {
        let world = World::new();
        let file = world.open("a");
        world.fail(&file, ENOSPC);
        world.write(&file).unwrap();
        world.faults.set(Some(Fault::Error(ENOSPC)));
        block_on(world.disk.sync(&file)).unwrap_err();
        fenced(world.write(&file));
    }

    #[test]
    fn a_system_short_of_memory_fences_nothing_unless_it_fails_a_sync() {
        let world = World::new();
        let file = world.open("a");
        for number in [EAGAIN, ENOMEM, ENOBUFS, EMFILE, ENFILE] {
            world.fail(&file, number);
            world.write(&file).unwrap();
        }
        world.faults.set(Some(Fault::Error(ENOMEM)));
        block_on(world.disk.sync(&file)).unwrap_err();
        fenced(world.write(&file));
    }

    #[test]
    fn d7_a_device_that_is_really_full_is_no_failure() {
        let disk = Latch::new(PwriteDisk);
        let file = block_on(disk.open(Path::new("/dev/full"), OpenMode::Existing)).unwrap();
        for _ in 0..2 {
            let error =
                block_on(disk.write(&file, Position::ZERO, vec![Bytes::from_static(b"abc")])).unwrap_err();
            assert!(is_no_space(&error), "{error}");
        }
    }

    #[test]
    fn d3_a_write_whose_answer_nobody_waited_for_fences_the_file() {
        let world = World::new();
        let file = world.open("a");
        world.faults.set(Some(Fault::Hang));
        let polled = world.disk.write(&file, Position::ZERO, vec![Bytes::from_static(b"abc")]).now_or_never();
        assert!(polled.is_none());
        assert_eq!(fenced(world.write(&file)).failure, None);
    }

    #[test]
    fn a_file_that_was_replaced_is_not_the_one_that_failed() {
        let world = World::new();
        world.fail(&world.open("a"), EIO);
        block_on(replace(&world.disk, &world.path("a"), Bytes::from_static(b"new"))).unwrap();
        world.write(&world.open("a")).unwrap();
    }
}
