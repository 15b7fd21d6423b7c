//! The threads of a shard that wait for its disk.
//!
//! One is for the journal: aligned writes, which are durable when they return (`O_DIRECT | O_DSYNC`), one
//! after the other, in the order in which they were asked for. [`POOL_THREADS`] are for everything else that
//! may wait: syncs, cold reads, large writes, entries of directories. Nothing is put in front of an
//! operation, or given up: a thread ends when all that was asked of it is done.

#![allow(unsafe_code)]

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use async_channel::{Receiver, Sender};
use rustix::thread::CpuSet;

use super::perform::perform;
use crate::reactor::doorbell::Doorbell;
use crate::reactor::op::Op;
use crate::reactor::slots::Key;
use crate::sync::Woken;

/// Threads beside the one for the journal: as many syncs, or cold reads, of a shard are under way at a time.
/// The kernel has as many for a ring on two cores, before it is asked for more.
pub(super) const POOL_THREADS: usize = 8;

/// Operations of a shard that are in the hands of its threads, at most. Others wait with the shard, as with a
/// ring, which has room for as many.
pub(super) const OPERATIONS_MAX: usize = 512;

/// What a thread has on its stack is a few calls deep.
const STACK_BYTES: usize = 256 << 10;

/// An operation for a thread.
struct Job {
    key: Key,
    op: Portable,
}

/// An operation that may cross threads.
struct Portable(Op);

// SAFETY: of all that an operation may own, only the socket of a `Receive` is counted without atomics, and
// the vectors of a `Write` lead into memory that goes along with them. `Portable::new` lets no `Receive` in.
unsafe impl Send for Portable {}

impl Portable {
    fn new(op: Op) -> Portable {
        assert!(!op.is_open_ended(), "no thread waits for a peer");
        Portable(op)
    }
}

/// An operation that is over.
pub(super) struct Finished {
    key: Key,
    op: Portable,
    result: io::Result<()>,
}

impl Finished {
    pub(super) fn into_parts(self) -> (Key, Op, io::Result<()>) {
        (self.key, self.op.0, self.result)
    }
}

/// What the threads have finished, and how they tell.
struct Done {
    finished: Woken<Finished>,
    doorbell: Doorbell,
}

/// The threads of a shard; dropping them waits until they have done what they were given.
pub(super) struct Threads {
    journal: Sender<Job>,
    pool: Sender<Job>,
    done: Arc<Done>,
    threads: Vec<JoinHandle<()>>,
}

impl Threads {
    /// Starts all of them, so that none is missing later. They ring the doorbell of the thread that sleeps.
    ///
    /// # Errors
    /// When there are no threads to be had.
    pub(super) fn start(doorbell: &Doorbell) -> io::Result<Threads> {
        let done = Arc::new(Done { finished: Woken::new(), doorbell: doorbell.clone() });
        let (journal, journal_jobs) = async_channel::bounded(OPERATIONS_MAX);
        let (pool, pool_jobs) = async_channel::bounded(OPERATIONS_MAX);
        let mut threads = Threads { journal, pool, done, threads: Vec::new() };
        threads.spawn("journal", journal_jobs)?;
        for _ in 0..POOL_THREADS {
            threads.spawn("disk", pool_jobs.clone())?;
        }
        Ok(threads)
    }

    fn spawn(&mut self, name: &str, jobs: Receiver<Job>) -> io::Result<()> {
        let shard = thread::current();
        let name = format!("{}-{name}", shard.name().unwrap_or_default());
        let done = self.done.clone();
        let run = move || {
            unpin_thread();
            while let Ok(Job { key, mut op }) = jobs.recv_blocking() {
                let result = perform(&mut op.0);
                let told = done.finished.push(Finished { key, op, result }, || done.doorbell.ring());
                assert!(told.is_ok(), "the shard takes in all that is finished");
            }
        };
        self.threads.push(thread::Builder::new().name(name).stack_size(STACK_BYTES).spawn(run)?);
        Ok(())
    }

    /// Hands an operation over; no more than [`OPERATIONS_MAX`] at a time.
    pub(super) fn start_on(&self, key: Key, op: Op) {
        let lane = match op {
            Op::WriteAligned { .. } => &self.journal,
            _ => &self.pool,
        };
        let job = Job { key, op: Portable::new(op) };
        assert!(lane.try_send(job).is_ok(), "there is room, and the threads live as long as the shard");
    }

    /// Puts what is finished into `finished`, which is empty. The shard is awake.
    pub(super) fn take_finished(&self, finished: &mut Vec<Finished>) {
        *finished = self.done.finished.take();
    }

    /// Whether the shard may sleep: from now on, whoever finishes something rings.
    pub(super) fn may_sleep(&self) -> bool {
        self.done.finished.falls_asleep()
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.journal.close();
        self.pool.close();
        for thread in self.threads.drain(..) {
            // One that has panicked has told so.
            let _ = thread.join();
        }
    }
}

/// The threads of a pinned one inherit its CPU, and are better off on those of the process. A wish: without
/// it they are slower and right.
fn unpin_thread() {
    let process = rustix::process::getpid();
    let allowed: CpuSet = match rustix::thread::sched_getaffinity(Some(process)) {
        Ok(allowed) => allowed,
        Err(_) => return,
    };
    let _ = rustix::thread::sched_setaffinity(None, &allowed);
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use futures_util::future::join_all;

    use crate::config::ReactorKind;
    use crate::io::{AlignedBuffer, Disk, OpenMode};
    use crate::reactor::{Queue, spawn, spawn_executor};
    use crate::types::Position;

    #[test]
    fn the_writes_of_a_journal_reach_the_disk_in_the_order_in_which_they_were_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        // A file for each: no lock of the file system puts them in order. Long ones, short ones behind.
        let paths: Vec<_> = (0..16).map(|number| dir.path().join(format!("journal-{number}"))).collect();
        paths.iter().for_each(|path| std::fs::write(path, "").unwrap());
        let executor = spawn_executor(ReactorKind::Poll, "test", None, 0.1, move |disk| async move {
            let order = Rc::new(RefCell::new(Vec::new()));
            let mut writes = Vec::new();
            for (number, path) in paths.iter().enumerate() {
                let file = disk.open(path, OpenMode::Durable).await.unwrap();
                let (disk, order) = (disk.clone(), order.clone());
                let buffer = AlignedBuffer::zeroed(if number % 4 == 0 { 4 << 20 } else { 4096 });
                writes.push(async move {
                    disk.write_aligned(&file, Position::ZERO, buffer).await.0.unwrap();
                    order.borrow_mut().push(number);
                });
            }
            let writes: Vec<_> = writes.into_iter().map(|write| spawn(Queue::Storage, write)).collect();
            join_all(writes).await;
            assert_eq!(*order.borrow(), (0..16).collect::<Vec<_>>());
        });
        executor.unwrap().join().unwrap();
    }

    /// One that fails has its own answer among those of the others.
    #[test]
    fn more_operations_than_there_is_room_for_are_all_answered() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let executor = spawn_executor(ReactorKind::Poll, "test", None, 0.1, move |disk| async move {
            let file = disk.open(&path, OpenMode::Create).await.unwrap();
            let syncs = (0..3 * super::OPERATIONS_MAX).map(|number| {
                let (disk, file) = (disk.clone(), file.clone());
                async move {
                    match number {
                        2 => disk.set_len(&file, 1 << 63).await.is_err(),
                        _ => disk.sync(&file).await.is_ok(),
                    }
                }
            });
            assert!(join_all(syncs).await.into_iter().all(|as_expected| as_expected));
        });
        executor.unwrap().join().unwrap();
    }
}
