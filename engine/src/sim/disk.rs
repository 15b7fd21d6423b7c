//! The simulated disk: operations in flight, their order, and the faults that meet them.
//!
//! An operation is queued when its future is first polled and completes in some later [`SimDisk::step`],
//! whether or not the future is still there. The medium changes only then, all at once. What an operation
//! does is in [`super::operation`].

use std::cell::RefCell;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use bytes::Bytes;
use fastrand::Rng;
use futures_channel::oneshot;
use rustix::io::Errno;

use super::medium::{Medium, SimFile};
use super::operation::{Completion, OperationKind, Request};
use crate::io::{AlignedBuffer, Disk, Entry, OpenMode};
use crate::types::Position;

/// How often what goes wrong. Probabilities are per operation, from 0 to 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Faults {
    /// A write or a `set_len` fails with `EIO`.
    pub write_error: f64,
    /// A sync of a file or a directory fails with `EIO`.
    pub sync_error: f64,
    /// A read fails with `EIO`.
    pub read_error: f64,
    /// What needs a descriptor (an open, a listing, the sync of a directory, a removal of a whole one) fails
    /// with `EMFILE` and has done nothing.
    pub no_descriptor: f64,
    /// A sync of a file or a directory, or a durable write, reports success and has flushed nothing.
    pub flush_lie: f64,
    /// An operation is held back ...
    pub delay: f64,
    /// ... until up to this many others have completed.
    pub delay_operations_max: u64,
    /// A write that fails may leave a part of itself, or all. Without it a failed write leaves nothing.
    pub torn: bool,
}

impl Faults {
    /// Nothing goes wrong, and what fails by [`SimDisk::fail_next`] does it as badly as it can.
    pub const NONE: Faults = Faults {
        write_error: 0.0,
        sync_error: 0.0,
        read_error: 0.0,
        no_descriptor: 0.0,
        flush_lie: 0.0,
        delay: 0.0,
        delay_operations_max: 16,
        torn: true,
    };
}

/// A disk in memory that forgets what was not synced; see [`crate::sim`] for what it assumes.
///
/// A clone is a handle to the same disk. Paths are absolute, or relative to the same root; the root exists.
#[derive(Clone)]
pub struct SimDisk {
    state: Rc<RefCell<State>>,
}

struct State {
    medium: Medium,
    rng: Rng,
    faults: Faults,
    targets: Vec<Target>,
    in_flight: Vec<Operation>,
    completed: u64,
    /// Operations that change the disk, counted when they start and again when they complete.
    changes: u64,
    last_change: Option<OperationKind>,
    stop_after: u64,
}

struct Operation {
    request: Request,
    /// Not before so many operations have completed, unless nothing else is left.
    due: u64,
    reply: oneshot::Sender<io::Result<Completion>>,
}

struct Target {
    which: Which,
    error: io::Error,
}

enum Which {
    /// The next of a kind whose path matches.
    Next(OperationKind, Box<dyn Fn(&Path) -> bool>),
    /// The one that completes with this number, whatever it is.
    At(u64),
}

impl SimDisk {
    /// An empty disk without faults.
    pub fn new(seed: u64) -> SimDisk {
        SimDisk::on(Medium::new(), Rng::with_seed(seed))
    }

    fn on(medium: Medium, rng: Rng) -> SimDisk {
        let state = State {
            medium,
            rng,
            faults: Faults::NONE,
            targets: Vec::new(),
            in_flight: Vec::new(),
            completed: 0,
            changes: 0,
            last_change: None,
            stop_after: u64::MAX,
        };
        SimDisk { state: Rc::new(RefCell::new(state)) }
    }

    /// Completes one operation in flight, any of them; `false` when there is none, or none may complete any
    /// more.
    pub fn step(&self) -> bool {
        let Some((operation, result)) = self.state.borrow_mut().step() else { return false };
        // Nobody waits where the future was dropped.
        drop(operation.reply.send(result));
        true
    }

    /// The number of operations that were started and have not completed.
    pub fn in_flight(&self) -> usize {
        self.state.borrow().in_flight.len()
    }

    /// The number of operations that have completed.
    pub fn operations(&self) -> u64 {
        self.state.borrow().completed
    }

    /// Grows whenever a crash may leave something else than before.
    pub fn changes(&self) -> u64 {
        self.state.borrow().changes
    }

    /// What has completed last of those that change the disk.
    pub fn last_change(&self) -> Option<OperationKind> {
        self.state.borrow().last_change
    }

    /// No operation after the `count`-th completes: the place for a crash. `u64::MAX` lets all go on.
    pub fn stop_after(&self, count: u64) {
        self.state.borrow_mut().stop_after = count;
    }

    /// The count that [`SimDisk::stop_after`] was given.
    pub fn stop_after_count(&self) -> u64 {
        self.state.borrow().stop_after
    }

    /// Sets what goes wrong from now on.
    pub fn set_faults(&self, faults: Faults) {
        self.state.borrow_mut().faults = faults;
    }

    /// Sets the size of the disk in bytes, given out in blocks of [`BLOCK_BYTES`](super::BLOCK_BYTES); `None`
    /// is without end.
    pub fn set_capacity(&self, capacity: Option<u64>) {
        self.state.borrow_mut().medium.capacity = capacity;
    }

    /// The bytes of the disk that are taken.
    pub fn used(&self) -> u64 {
        self.state.borrow().medium.used()
    }

    /// Makes the next operation of this kind fail whose path `matches`, when it would complete. Several can
    /// wait.
    pub fn fail_next(
        &self,
        kind: OperationKind,
        matches: impl Fn(&Path) -> bool + 'static,
        error: impl Into<io::Error>,
    ) {
        let target = Target { which: Which::Next(kind, Box::new(matches)), error: error.into() };
        self.state.borrow_mut().targets.push(target);
    }

    /// Makes the operation fail that would be the `number`-th to complete, counted as in
    /// [`SimDisk::operations`] from 0.
    pub fn fail_at(&self, number: u64, error: impl Into<io::Error>) {
        let target = Target { which: Which::At(number), error: error.into() };
        self.state.borrow_mut().targets.push(target);
    }

    /// The power goes out: the disk that is found afterwards. This one is not changed and can crash again.
    ///
    /// It has the same capacity and no faults; nothing is in flight.
    pub fn crash(&self, rng: &mut Rng) -> SimDisk {
        let mut medium = self.interrupted(rng);
        medium.lose_power(rng);
        SimDisk::on(medium, rng.fork())
    }

    /// The process dies and the kernel lives: the disk that the next process finds. This one is not changed.
    ///
    /// It has the same capacity and no faults; nothing is in flight, and what was not durable is not durable
    /// yet.
    pub fn kill(&self, rng: &mut Rng) -> SimDisk {
        let mut medium = self.interrupted(rng);
        medium.lose_process();
        SimDisk::on(medium, rng.fork())
    }

    /// The content of a file as programs see it; `None` when it is not there.
    pub fn read_cached(&self, path: impl AsRef<Path>) -> Option<Vec<u8>> {
        self.state.borrow().medium.read_cached(path.as_ref())
    }

    /// The content that a file has after a crash that loses all it may; `None` when it may not be there.
    pub fn read_durable(&self, path: impl AsRef<Path>) -> Option<Vec<u8>> {
        self.state.borrow().medium.read_durable(path.as_ref())
    }

    /// All files as programs see them, with their lengths in bytes, by path.
    pub fn list_all(&self) -> Vec<(PathBuf, u64)> {
        let state = self.state.borrow();
        state.medium.files().into_iter().map(|(path, file)| (path, file.cached.len())).collect()
    }

    /// Puts a file there, durable at once, with the directories above it; replaces a file that has the name.
    pub fn install(&self, path: impl AsRef<Path>, content: &[u8]) {
        self.state.borrow_mut().medium.install(path.as_ref(), content);
    }

    /// Turns over bit `bit` (0 to 7) of one byte of a file, in the cache and on the medium.
    ///
    /// # Panics
    /// When there is no such file.
    pub fn flip(&self, path: impl AsRef<Path>, position: u64, bit: u32) {
        self.state.borrow_mut().medium.flip(path.as_ref(), position, bit).expect("the file is there");
    }

    /// What is there and what is going on, for the message of a test that fails.
    pub fn dump(&self) -> String {
        let state = self.state.borrow();
        let mut text = format!("after {} operations:\n", state.completed);
        for (path, file) in state.medium.files() {
            let durable =
                state.medium.read_durable(&path).map_or("not there".into(), |bytes| bytes.len().to_string());
            let (cached, unsynced) = (file.cached.len(), file.unsynced_count());
            let _ = writeln!(
                text,
                "  {}: {cached} bytes, durable {durable}, {unsynced} unsynced",
                path.display()
            );
        }
        let _ = writeln!(text, "  names not durable: {}", state.medium.pending_names().join(" "));
        for Operation { request, .. } in &state.in_flight {
            let _ = writeln!(text, "  in flight: {:?} {}", request.kind(), request.path().display());
        }
        text
    }

    /// A copy of the medium after all that was in flight has happened in some part and order.
    fn interrupted(&self, rng: &mut Rng) -> Medium {
        let state = self.state.borrow();
        let mut medium = state.medium.clone();
        let mut in_flight: Vec<&Operation> = state.in_flight.iter().collect();
        rng.shuffle(&mut in_flight);
        for operation in in_flight {
            operation.request.interrupt(&mut medium, rng);
        }
        medium
    }

    /// Queues an operation and waits for it.
    async fn submit(&self, request: impl FnOnce(&mut Medium) -> Request) -> io::Result<Completion> {
        let (reply, result) = oneshot::channel();
        self.state.borrow_mut().start(request, reply);
        result.await.expect("the disk lives as long as this handle")
    }

    async fn done(&self, request: impl FnOnce(&mut Medium) -> Request) -> io::Result<()> {
        self.submit(request).await.map(drop)
    }

    async fn write_bytes(&self, file: &SimFile, position: Position, bytes: Bytes) -> io::Result<()> {
        let file = file.clone();
        self.done(|_| Request::Write { file, position, bytes }).await
    }
}

impl State {
    fn start(
        &mut self,
        request: impl FnOnce(&mut Medium) -> Request,
        reply: oneshot::Sender<io::Result<Completion>>,
    ) {
        let delayed = self.rng.f64() < self.faults.delay;
        let delay = if delayed { self.rng.u64(..=self.faults.delay_operations_max) } else { 0 };
        let request = request(&mut self.medium);
        self.changes += u64::from(request.changes_disk());
        self.in_flight.push(Operation { request, due: self.completed + delay, reply });
    }

    fn step(&mut self) -> Option<(Operation, io::Result<Completion>)> {
        if self.in_flight.is_empty() || self.completed >= self.stop_after {
            return None;
        }
        let due: Vec<usize> =
            (0..self.in_flight.len()).filter(|at| self.in_flight[*at].due <= self.completed).collect();
        let at = match due.is_empty() {
            true => self.rng.usize(..self.in_flight.len()),
            false => due[self.rng.usize(..due.len())],
        };
        let operation = self.in_flight.remove(at);
        let result = match self.fault(&operation.request) {
            Some(error) => {
                operation.request.fail(&mut self.medium, self.faults.torn, &mut self.rng);
                Err(error)
            }
            None if self.lies() => operation.request.pretend(&mut self.medium, &mut self.rng),
            None => operation.request.complete(&mut self.medium, &mut self.rng),
        };
        self.completed += 1;
        if operation.request.changes_disk() {
            self.changes += 1;
            self.last_change = Some(operation.request.kind());
        }
        Some((operation, result))
    }

    fn fault(&mut self, request: &Request) -> Option<io::Error> {
        let (kind, path) = (request.kind(), request.path());
        let number = self.completed;
        let is_meant = |target: &Target| match &target.which {
            Which::Next(meant, matches) => *meant == kind && matches(path),
            Which::At(meant) => *meant == number,
        };
        if let Some(at) = self.targets.iter().position(is_meant) {
            return Some(self.targets.remove(at).error);
        }
        let probability = match kind {
            OperationKind::Write | OperationKind::SetLen => self.faults.write_error,
            OperationKind::Sync | OperationKind::SyncDir => self.faults.sync_error,
            OperationKind::Read => self.faults.read_error,
            _ => 0.0,
        };
        let failed = (self.rng.f64() < probability).then(|| Errno::IO.into());
        let needs_descriptor = matches!(
            kind,
            OperationKind::Open | OperationKind::List | OperationKind::SyncDir | OperationKind::RemoveDir
        );
        let refused =
            self.faults.no_descriptor > 0.0 && needs_descriptor && self.rng.f64() < self.faults.no_descriptor;
        failed.or_else(|| refused.then(|| Errno::MFILE.into()))
    }

    fn lies(&mut self) -> bool {
        self.faults.flush_lie > 0.0 && self.rng.f64() < self.faults.flush_lie
    }
}

impl Disk for SimDisk {
    type File = SimFile;

    async fn open(&self, path: &Path, mode: OpenMode) -> io::Result<SimFile> {
        match self.submit(|_| Request::Open { path: path.into(), mode }).await? {
            Completion::File(file) => Ok(file),
            _ => unreachable!("open gives a file"),
        }
    }

    async fn len(&self, file: &SimFile) -> io::Result<u64> {
        match self.submit(|_| Request::Len { file: file.clone() }).await? {
            Completion::Length(length) => Ok(length),
            _ => unreachable!("len gives a length"),
        }
    }

    async fn read(&self, file: &SimFile, position: Position, length: usize) -> io::Result<Bytes> {
        match self.submit(|_| Request::Read { file: file.clone(), position, length }).await? {
            Completion::Bytes(bytes) => Ok(bytes),
            _ => unreachable!("read gives bytes"),
        }
    }

    async fn write(&self, file: &SimFile, position: Position, parts: Vec<Bytes>) -> io::Result<()> {
        assert!(!file.durable, "a file opened as durable is written through write_aligned");
        self.write_bytes(file, position, parts.concat().into()).await
    }

    async fn write_aligned(
        &self,
        file: &SimFile,
        position: Position,
        buffer: AlignedBuffer,
    ) -> (io::Result<()>, AlignedBuffer) {
        assert!(file.durable, "write_aligned is for a file opened as durable");
        let alignment = AlignedBuffer::ALIGNMENT as u64;
        assert!(
            position.0.is_multiple_of(alignment) && (buffer.len() as u64).is_multiple_of(alignment),
            "direct I/O is aligned: {} bytes at {position}",
            buffer.len()
        );
        let bytes = Bytes::copy_from_slice(buffer.as_ref());
        (self.write_bytes(file, position, bytes).await, buffer)
    }

    async fn sync(&self, file: &SimFile) -> io::Result<()> {
        self.done(|medium| {
            let covered = medium.file(file.node).expect("an open file").sync_start();
            Request::Sync { file: file.clone(), covered }
        })
        .await
    }

    async fn set_len(&self, file: &SimFile, length: u64) -> io::Result<()> {
        self.done(|_| Request::SetLen { file: file.clone(), length }).await
    }

    async fn prefetch(&self, file: &SimFile, _position: Position, _length: u64) -> io::Result<()> {
        self.done(|_| Request::Prefetch { file: file.clone() }).await
    }

    async fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.done(|_| Request::CreateDir { path: path.into() }).await
    }

    async fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        match self.submit(|_| Request::List { path: path.into() }).await? {
            Completion::Entries(entries) => Ok(entries),
            _ => unreachable!("list gives entries"),
        }
    }

    async fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.done(|_| Request::Rename { from: from.into(), to: to.into() }).await
    }

    async fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.done(|_| Request::RemoveFile { path: path.into() }).await
    }

    async fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.done(|_| Request::RemoveDir { path: path.into() }).await
    }

    async fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.done(|medium| Request::SyncDir { path: path.into(), covered: medium.sync_dir_start() }).await
    }
}
