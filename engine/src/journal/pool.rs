//! The journal's files between two uses: fresh ones, and retired ones that wait for their segments to be
//! synced.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::CommitFailure;
use crate::error::{Fault, io_fault};
use crate::format::journal::COMMIT_ALIGNMENT;
use crate::format::names;
use crate::io::{Disk, OpenMode, is_no_space};
use crate::sync::Signal;
use crate::types::{PartitionId, Position};

/// Files of one journal: one in use, one fresh, one that is recycled.
const FILES: usize = 3;

/// Size of the first files: small enough to be written in a millisecond.
const FILE_BYTES_FIRST: u64 = 1 << 20;

/// By how much the file that replaces a full one is larger: a broker that has written little keeps a small
/// journal.
const GROWTH: u64 = 4;

/// Bytes of zeros that are on their way to the medium at once, while there is time.
const ZEROS_BYTES: usize = 256 << 10;

/// A journal file: pre-written, opened for durable writes.
pub(crate) struct JournalFile<D: Disk> {
    pub(crate) file: D::File,
    pub(crate) number: u64,
    pub(crate) bytes: u64,
    /// The generation of its present use.
    pub(crate) generation: u64,
}

/// A full journal file, and the partitions whose batches it holds.
pub(crate) struct Retired<D: Disk> {
    pub(crate) file: JournalFile<D>,
    pub(crate) partitions: BTreeSet<PartitionId>,
    /// A write to it failed: it is replaced instead of used again.
    pub(crate) broken: bool,
}

/// How full a journal is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JournalUse {
    /// Files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes of commits whose segments are not known to be durable yet.
    pub used_bytes: u64,
}

pub(crate) struct JournalPool<D: Disk> {
    disk: D,
    directory: PathBuf,
    file_bytes_max: u64,
    next_number: Cell<u64>,
    next_generation: Cell<u64>,
    /// Bytes of the file in use, and how many of them hold commits.
    active: Cell<(u64, u64)>,
    fresh: RefCell<Vec<JournalFile<D>>>,
    retired: RefCell<VecDeque<Retired<D>>>,
    /// Files that found no room at the start.
    missing: Cell<usize>,
    failure: RefCell<Option<PoolFailure>>,
    /// Told when there is something to recycle, or when a commit can not go on without.
    wanted: Signal,
    /// Told when a file was recycled, or could not be.
    returned: Signal,
}

/// Why no fresh file could be had.
#[derive(Clone)]
pub(crate) enum PoolFailure {
    NoSpace,
    Fault(Fault),
}

impl<D: Disk> JournalPool<D> {
    /// Makes the journal's files in `directory`, with numbers from `first_number` on, and takes the first
    /// into use. The directory is synced. On a full disk there may be fewer of them, or none (D7):
    /// [`JournalPool::make_missing`] makes the rest.
    pub(crate) async fn create(
        disk: D,
        directory: &Path,
        first_number: u64,
        first_generation: u64,
        file_bytes_max: u64,
    ) -> io::Result<(Rc<JournalPool<D>>, Option<JournalFile<D>>)> {
        let file_bytes_max = file_bytes_max.next_multiple_of(COMMIT_ALIGNMENT as u64);
        let pool = Rc::new(JournalPool {
            disk,
            directory: directory.to_owned(),
            file_bytes_max,
            next_number: Cell::new(first_number),
            next_generation: Cell::new(first_generation),
            active: Cell::new((0, 0)),
            fresh: RefCell::new(Vec::new()),
            retired: RefCell::new(VecDeque::new()),
            missing: Cell::new(FILES),
            failure: RefCell::new(None),
            wanted: Signal::new(),
            returned: Signal::new(),
        });
        match pool.make_files().await {
            Err(error) if is_no_space(&error) => {
                tracing::warn!(directory = %directory.display(), "the disk is full: appends are refused until there is room for a journal");
            }
            made => made?,
        }
        let mut active = pool.fresh.borrow_mut().pop();
        active.iter_mut().for_each(|active| active.generation = pool.new_generation());
        Ok((pool, active))
    }

    /// The size of a first file.
    pub(super) fn file_bytes_first(&self) -> u64 {
        FILE_BYTES_FIRST.min(self.file_bytes_max)
    }

    async fn make_files(&self) -> io::Result<()> {
        while self.missing.get() > 0 {
            let file = self.make_file(self.file_bytes_first()).await?;
            self.missing.set(self.missing.get() - 1);
            self.give_back(file);
        }
        Ok(())
    }

    pub(crate) fn path(&self, number: u64) -> PathBuf {
        self.directory.join(names::journal(number))
    }

    fn new_generation(&self) -> u64 {
        let generation = self.next_generation.get();
        self.next_generation.set(generation + 1);
        generation
    }

    /// A new file full of zeros, synced with its directory entry.
    async fn make_file(&self, bytes: u64) -> io::Result<JournalFile<D>> {
        let number = self.next_number.get();
        self.next_number.set(number + 1);
        let path = self.path(number);
        let made = async {
            self.write_zeros(&path, bytes).await?;
            let file = self.disk.open(&path, OpenMode::Durable).await?;
            self.disk.sync_dir(&self.directory).await?;
            Ok(JournalFile { file, number, bytes, generation: 0 })
        };
        let made = made.await;
        if made.is_err() {
            // Give the space back; what is left of it is removed at the next start.
            let _ = self.disk.remove_file(&path).await;
        }
        made
    }

    async fn write_zeros(&self, path: &Path, bytes: u64) -> io::Result<()> {
        let file = self.disk.open(path, OpenMode::Truncate).await?;
        let zeros = bytes::Bytes::from(vec![0; ZEROS_BYTES]);
        let mut position = 0;
        while position < bytes {
            let part = zeros.slice(..(bytes - position).min(ZEROS_BYTES as u64) as usize);
            let length = part.len() as u64;
            self.disk.write(&file, Position(position), vec![part]).await?;
            position += length;
            if position < bytes && self.has_time() {
                self.disk.sync(&file).await?;
            }
        }
        self.disk.sync(&file).await
    }

    /// Whether commits go on without the file that is made now: then it leaves the device to them. Behind all
    /// of the zeros at once, 64 MiB, they waited up to 40 ms.
    fn has_time(&self) -> bool {
        let (active, _) = self.active.get();
        active > 0 && !self.fresh.borrow().is_empty()
    }

    /// How much of the journal there is, and is needed.
    pub(crate) fn usage(&self) -> JournalUse {
        let (fresh, retired, (active, written)) =
            (self.fresh.borrow(), self.retired.borrow(), self.active.get());
        let retired_bytes: u64 = retired.iter().map(|retired| retired.file.bytes).sum();
        JournalUse {
            files: (fresh.len() + retired.len() + usize::from(active > 0)) as u64,
            bytes: fresh.iter().map(|file| file.bytes).sum::<u64>() + retired_bytes + active,
            used_bytes: retired_bytes + written,
        }
    }

    // ---- the committing side ------------------------------------------------------------------------------

    /// A file for the next commits; waits until one was recycled, or until that is known to be impossible
    /// now.
    pub(super) async fn take_fresh(&self) -> Result<JournalFile<D>, CommitFailure> {
        loop {
            let fresh = self.fresh.borrow_mut().pop();
            if let Some(mut file) = fresh {
                file.generation = self.new_generation();
                return Ok(file);
            }
            self.failure.take();
            self.wanted.notify();
            self.returned.wait().await;
            match self.failure.take() {
                None => {}
                Some(PoolFailure::NoSpace) => return Err(CommitFailure::NoSpace),
                Some(PoolFailure::Fault(fault)) => return Err(CommitFailure::Unavailable(fault)),
            }
        }
    }

    /// Notes how far the file in use is written.
    pub(super) fn note_active(&self, bytes: u64, written: u64) {
        self.active.set((bytes, written));
    }

    pub(super) fn retire(&self, retired: Retired<D>) {
        self.retired.borrow_mut().push_back(retired);
        self.wanted.notify();
    }

    // ---- the recycling side -------------------------------------------------------------------------------

    /// Waits until there may be something to do.
    pub(crate) async fn wanted(&self) {
        self.wanted.wait().await;
    }

    /// Makes the files that found no room at the start, as far as there is some now.
    pub(crate) async fn make_missing(&self) -> Result<(), PoolFailure> {
        self.make_files().await.map_err(|error| self.refusal(self.next_number.get(), error))
    }

    fn refusal(&self, number: u64, error: io::Error) -> PoolFailure {
        if is_no_space(&error) {
            PoolFailure::NoSpace
        } else {
            PoolFailure::Fault(io_fault("create", self.path(number), Position::ZERO, error))
        }
    }

    /// The partitions of the oldest retired file; `None` when no file waits.
    pub(crate) fn oldest_retired(&self) -> Option<BTreeSet<PartitionId>> {
        self.retired.borrow().front().map(|retired| retired.partitions.clone())
    }

    /// Takes the oldest retired file back into use: what it covered is durable and the checkpoint says so.
    ///
    /// It is replaced by a larger one while there is one, and by a new one when a write has failed on it.
    pub(crate) async fn recycle_oldest(&self) -> Result<(), PoolFailure> {
        let Some(retired) = self.retired.borrow_mut().pop_front() else { return Ok(()) };
        let wanted = (retired.file.bytes * GROWTH).min(self.file_bytes_max);
        if !retired.broken && retired.file.bytes >= wanted {
            self.give_back(retired.file);
            return Ok(());
        }
        match self.replace(&retired, wanted).await {
            Ok(file) => {
                self.give_back(file);
                Ok(())
            }
            Err(error) if !retired.broken => {
                tracing::warn!(%error, "no larger journal file could be made; the old one stays in use");
                self.give_back(retired.file);
                Ok(())
            }
            Err(error) => {
                let refusal = self.refusal(retired.file.number, error);
                self.retired.borrow_mut().push_front(retired);
                Err(refusal)
            }
        }
    }

    async fn replace(&self, retired: &Retired<D>, bytes: u64) -> io::Result<JournalFile<D>> {
        let file = self.make_file(bytes).await?;
        // A crash that brings the old file back brings back what is synced already.
        self.disk.remove_file(&self.path(retired.file.number)).await?;
        Ok(file)
    }

    fn give_back(&self, file: JournalFile<D>) {
        self.fresh.borrow_mut().push(file);
        self.returned.notify();
    }

    /// Keeps the oldest retired file as it is, for the next start: what it covers could not be synced.
    pub(crate) async fn set_oldest_aside(&self) -> Result<(), PoolFailure> {
        let oldest = self.retired.borrow().front().map(|retired| (retired.file.number, retired.file.bytes));
        let Some((number, bytes)) = oldest else { return Ok(()) };
        let fault = |error| self.refusal(number, error);
        // It stays in line until there is another one: without any, commits would wait for ever.
        let file = self.make_file(bytes).await.map_err(fault)?;
        self.retired.borrow_mut().pop_front();
        self.give_back(file);
        Ok(())
    }

    /// Removes every file, and `active`.
    pub(super) async fn remove_all(&self, active: Option<JournalFile<D>>) -> Result<(), Fault> {
        let fresh = self.fresh.take().into_iter();
        let retired = self.retired.take().into_iter().map(|retired| retired.file);
        for file in fresh.chain(retired).chain(active) {
            let path = self.path(file.number);
            self.disk
                .remove_file(&path)
                .await
                .map_err(|error| io_fault("remove", path, Position::ZERO, error))?;
        }
        let fault = |error| io_fault("sync", &self.directory, Position::ZERO, error);
        self.disk.sync_dir(&self.directory).await.map_err(fault)
    }

    /// Tells a waiting commit that nothing could be recycled.
    pub(crate) fn refuse(&self, refusal: PoolFailure) {
        *self.failure.borrow_mut() = Some(refusal);
        self.returned.notify();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::{SimDisk, Simulation};

    /// Has a first file replaced by one of 4 MiB, with so many fresh files beside it: how many operations of
    /// the disk that takes.
    fn operations_of_a_replacement(fresh: usize) -> u64 {
        let mut simulation = Simulation::new(1);
        let disk: SimDisk = simulation.disk();
        let directory = Path::new("/shard");
        simulation.run_until(disk.create_dir(directory)).unwrap();
        let created = JournalPool::create(disk.clone(), directory, 0, 1, 4 * FILE_BYTES_FIRST);
        let (pool, active) = simulation.run_until(created).unwrap();
        pool.note_active(FILE_BYTES_FIRST, 0);
        pool.retire(Retired { file: active.unwrap(), partitions: BTreeSet::new(), broken: false });
        pool.fresh.borrow_mut().truncate(fresh);
        let before = disk.operations();
        assert!(simulation.run_until(pool.recycle_oldest()).is_ok());
        let newest = pool.fresh.borrow().last().map(|file| file.bytes);
        assert_eq!(newest, Some(4 * FILE_BYTES_FIRST));
        disk.operations() - before
    }

    #[test]
    fn zeros_go_out_piece_by_piece_while_there_is_a_fresh_file_and_at_once_when_commits_wait() {
        let pieces = 4 * FILE_BYTES_FIRST / ZEROS_BYTES as u64;
        let at_once = operations_of_a_replacement(0);
        assert_eq!(operations_of_a_replacement(1), at_once + pieces - 1);
    }
}
