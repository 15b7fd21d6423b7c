//! The runtime: one thread with three task queues, timers, its disk, and its sockets. No other room of the
//! engine knows how tasks run, or what a thread waits on.
//!
//! Three are built, and [`choose`] takes one of them, before a thread starts:
//!
//! | | tasks run on | the thread sleeps in | files |
//! |---|---|---|---|
//! | `ring` | our `executor` | its [`ring`] | the ring |
//! | `glommio` | that runtime (a feature, on by default) | that runtime's ring, which is told of ours | our ring |
//! | `poll` | our `executor` | its `poll`er | a thread for the journal, and some for the rest |
//!
//! ```text
//!   Reactor: executor | glommio         spawn, sleep, give way: what runs the tasks of this thread
//!   ShardDisk, Sockets                  what the engine's disk and the server's connections are made of
//!     > driver > slots, op              operations under way, the same whatever carries them out
//!              > ring | poll            submission, completion, waiting
//! ```
//!
//! [`Reactor`] says what an implementation owes to the engine, and `contract` holds each of the three to it.
//! Decision 11 has the figures.

#[cfg(test)]
mod contract;
mod disk;
mod doorbell;
mod driver;
mod executor;
#[cfg(feature = "glommio")]
mod glommio;
mod op;
mod poll;
mod ring;
mod slots;
mod sockets;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_util::future::{Either, select};

pub use self::disk::ShardDisk;
use self::executor::Own;
#[cfg(not(feature = "glommio"))]
use self::executor::Own as Other;
#[cfg(feature = "glommio")]
use self::glommio::Glommio as Other;
pub use self::op::receive;
pub use self::sockets::{SendFileError, Sockets, send_ready, set_congestion_control, set_nodelay};
use crate::config::{ReactorChoice, ReactorKind};
use crate::io::latch::Latch;
pub use crate::io::yield_now;

/// The disk that the shards write on: the thread's, which lets no failed write or sync be followed by another
/// (D3).
pub(crate) type EngineDisk = Latch<ShardDisk>;

/// A task queue of an executor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Queue {
    /// Connections.
    Net,
    /// Appends, the journal, and what appends may come to wait for.
    Storage,
    /// Compaction and scrub: a share of the thread's time, for which see [`spawn_executor`].
    Background,
}

/// What an implementation owes to the engine.
///
/// * **One thread.** Tasks run on the thread that spawned them, one at a time, and need not be `Send`. A task
///   runs until it waits; it gives way by [`yield_now`] or `yield_if_needed`.
/// * **Wakes.** A waker may be called on any thread, also after the executor has ended. A wake is never lost,
///   whatever the thread is doing: about to sleep, asleep, or in the middle of the task that is woken. One
///   that is called by a task is delivered even if that task panics next.
/// * **Queues.** A queue with a task that is ready is never starved by the two others. Background tasks get
///   their share of the time where others are ready, and leave them the rest.
/// * **Tasks.** Awaiting a spawned task gives its output; dropping it cancels it, and its future is dropped
///   on this thread; a detached one runs on.
/// * **Timers.** `sleep` never ends before its time, ends in the order of the times, and costs nothing once
///   it is dropped.
/// * **The end.** The executor ends with its future. What was started on the disk by then is finished before
///   the thread ends, whether anybody waits for it or not: a write that was begun is never taken back. A task
///   that still waits may never be dropped, and keep its files open: whoever spawns keeps the handles, and
///   awaits or drops them.
/// * **Failure.** A panic of a task ends the executor, `ended` is called however it ended, and `join` tells
///   the panic. That there is no ring, no thread, or too little locked memory, is told by `join`, too.
trait Reactor {
    /// A task, before it is a [`Task`].
    type Spawned<T>: Future<Output = T> + Unpin;
    /// A thread with an executor, before it is an [`ExecutorHandle`].
    type Thread<T: Send + 'static>;

    /// Whether this thread is one of its executors.
    fn is_here() -> bool;

    /// See [`spawn_watched`].
    fn start<F, T>(
        kind: ReactorKind,
        name: &str,
        cpu: Option<usize>,
        background_share: f64,
        ended: impl FnOnce() + Send + 'static,
        f: impl FnOnce(ShardDisk) -> F + Send + 'static,
    ) -> io::Result<Self::Thread<T>>
    where
        F: Future<Output = T> + 'static,
        T: Send + 'static;

    /// See [`ExecutorHandle::join`].
    fn join<T: Send + 'static>(thread: Self::Thread<T>) -> io::Result<T>;

    /// See [`spawn`].
    fn spawn<T: 'static>(queue: Queue, future: impl Future<Output = T> + 'static) -> Self::Spawned<T>;

    /// See [`Task::detach`].
    fn detach<T>(task: Self::Spawned<T>);

    /// See [`Task::cancel`].
    fn cancel<T>(task: Self::Spawned<T>) -> impl Future<Output = Option<T>>;

    /// See [`sleep`].
    fn sleep(duration: Duration) -> impl Future<Output = ()>;

    /// See [`yield_if_needed`].
    fn yield_if_needed() -> impl Future<Output = ()>;

    /// See [`set_background_share`].
    fn set_background_share(share: f64);
}

/// A task; awaiting it gives its output, dropping it cancels it.
#[must_use = "a dropped task is cancelled"]
pub struct Task<T>(Spawned<T>);

enum Spawned<T> {
    Own(<Own as Reactor>::Spawned<T>),
    Other(<Other as Reactor>::Spawned<T>),
}

impl<T> Task<T> {
    /// Lets the task run on without a handle.
    pub fn detach(self) {
        match self.0 {
            Spawned::Own(task) => Own::detach(task),
            Spawned::Other(task) => Other::detach(task),
        }
    }

    /// Cancels the task and waits until it is dropped; its output when it had finished already.
    pub async fn cancel(self) -> Option<T> {
        match self.0 {
            Spawned::Own(task) => Own::cancel(task).await,
            Spawned::Other(task) => Other::cancel(task).await,
        }
    }
}

impl<T> Future for Task<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        match &mut self.0 {
            Spawned::Own(task) => Pin::new(task).poll(context),
            Spawned::Other(task) => Pin::new(task).poll(context),
        }
    }
}

/// What threads will run on, and why that is not what could have been hoped for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// What they run on.
    pub kind: ReactorKind,
    /// What is refused or missing of the ring, where it was asked for and could be done without.
    pub instead: Option<String>,
}

impl std::fmt::Display for Chosen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.instead {
            None => self.kind.fmt(f),
            Some(reason) => write!(f, "{}, because {reason}", self.kind),
        }
    }
}

/// The environment variable that says what `auto` takes: one for a container, or for a run of all tests.
pub const ENVIRONMENT: &str = "STRANDLINE_REACTOR";

/// Finds out what threads of this process can run on, and takes one: no thread is started on another. `auto`
/// takes what the [`ENVIRONMENT`] says; else the ring, and the poller where the ring is forbidden (`EPERM`)
/// or not there (`ENOSYS`, or an operation that the kernel does not know).
///
/// # Errors
/// What is refused or missing, and what to do about it. Short memory and used-up descriptors are errors for
/// `auto`, too: they may pass, and would be short for the poller next.
pub fn choose(choice: ReactorChoice) -> io::Result<Chosen> {
    let choice = match std::env::var(ENVIRONMENT) {
        Ok(word) if choice == ReactorChoice::Auto => word.parse().map_err(|error| {
            io::Error::new(io::ErrorKind::InvalidInput, format!("{ENVIRONMENT} is {word:?}: {error}"))
        })?,
        _ => choice,
    };
    let kind = match choice {
        ReactorChoice::Only(ReactorKind::Poll) => {
            return Ok(Chosen { kind: ReactorKind::Poll, instead: None });
        }
        ReactorChoice::Only(ReactorKind::Glommio) if !cfg!(feature = "glommio") => {
            let told = "this binary was built without glommio (`--features glommio`)";
            return Err(io::Error::new(io::ErrorKind::Unsupported, told));
        }
        ReactorChoice::Only(kind) => kind,
        ReactorChoice::Auto => ReactorKind::Ring,
    };
    match ring::probe() {
        Ok(()) => Ok(Chosen { kind, instead: None }),
        Err(refused) if refused.is_absent && choice == ReactorChoice::Auto => {
            Ok(Chosen { kind: ReactorKind::Poll, instead: Some(refused.error.to_string()) })
        }
        Err(refused) => Err(refused.error),
    }
}

/// What the threads of a test run on that is about something else.
#[cfg(test)]
pub(crate) fn kind_for_tests() -> ReactorKind {
    choose(ReactorChoice::Auto).unwrap().kind
}

/// Starts an executor whose end nobody is told of; see [`spawn_watched`].
///
/// # Errors
/// When the thread can not be made.
pub fn spawn_executor<F, T>(
    kind: ReactorKind,
    name: &str,
    cpu: Option<usize>,
    background_share: f64,
    f: impl FnOnce(ShardDisk) -> F + Send + 'static,
) -> io::Result<ExecutorHandle<T>>
where
    F: Future<Output = T> + 'static,
    T: Send + 'static,
{
    spawn_watched(kind, name, cpu, background_share, || (), f)
}

/// Starts a thread with an executor that runs the future made by `f` to its end. `f` gets the disk of the
/// thread.
///
/// `kind` is what [`choose`] has found.
/// `cpu` pins the thread to that one of the CPUs that the process may run on, counted from 0, when that is
/// allowed. `background_share` is the part of the thread's time that background tasks get where others are
/// ready, up to 1. `ended` is called when the executor has ended, however it did; then
/// [`ExecutorHandle::join`] tells how, and does not wait for long.
///
/// # Errors
/// When the thread can not be made. What it can not have after all is reported by [`ExecutorHandle::join`].
pub fn spawn_watched<F, T>(
    kind: ReactorKind,
    name: &str,
    cpu: Option<usize>,
    background_share: f64,
    ended: impl FnOnce() + Send + 'static,
    f: impl FnOnce(ShardDisk) -> F + Send + 'static,
) -> io::Result<ExecutorHandle<T>>
where
    F: Future<Output = T> + 'static,
    T: Send + 'static,
{
    let thread = match kind {
        ReactorKind::Ring | ReactorKind::Poll => {
            Running::Own(Own::start(kind, name, cpu, background_share, ended, f)?)
        }
        ReactorKind::Glommio => Running::Other(Other::start(kind, name, cpu, background_share, ended, f)?),
    };
    Ok(ExecutorHandle(thread))
}

/// A running executor.
pub struct ExecutorHandle<T: Send + 'static>(Running<T>);

enum Running<T: Send + 'static> {
    Own(<Own as Reactor>::Thread<T>),
    Other(<Other as Reactor>::Thread<T>),
}

impl<T: Send + 'static> ExecutorHandle<T> {
    /// Waits for the executor's end.
    ///
    /// # Errors
    /// When the executor could not start (no io_uring, not enough locked memory), or a task panicked.
    pub fn join(self) -> io::Result<T> {
        match self.0 {
            Running::Own(thread) => Own::join(thread),
            Running::Other(thread) => Other::join(thread),
        }
    }
}

/// Whether this thread's executor is not of our own.
fn is_other() -> bool {
    cfg!(feature = "glommio") && Other::is_here()
}

/// Starts a task in a queue of this thread's executor.
pub fn spawn<T: 'static>(queue: Queue, future: impl Future<Output = T> + 'static) -> Task<T> {
    Task(match is_other() {
        true => Spawned::Other(Other::spawn(queue, future)),
        false => Spawned::Own(Own::spawn(queue, future)),
    })
}

/// Waits; 40-180 us longer than asked for when the thread slept, with `poll` up to a millisecond more.
pub fn sleep(duration: Duration) -> impl Future<Output = ()> {
    match is_other() {
        true => Either::Right(Other::sleep(duration)),
        false => Either::Left(Own::sleep(duration)),
    }
}

/// Gives way when this task has run for a while; cheap enough for every step of a loop.
pub async fn yield_if_needed() {
    match is_other() {
        true => Other::yield_if_needed().await,
        false => Own::yield_if_needed().await,
    }
}

/// Changes the part of this thread's time that background tasks may take, where it is not fixed.
pub fn set_background_share(share: f64) {
    match is_other() {
        true => Other::set_background_share(share),
        false => Own::set_background_share(share),
    }
}

/// Calls what it holds when it is dropped, also by a panic.
struct OnDrop<F: FnOnce()>(Option<F>);

impl<F: FnOnce()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        if let Some(call) = self.0.take() {
            call();
        }
    }
}

/// The monotonic clock.
pub fn now() -> Instant {
    Instant::now()
}

/// The future's output, or `None` when `duration` passes first; then the future is dropped. Never around an
/// append: its future would be dropped, its write not.
pub async fn with_timeout<T>(duration: Duration, future: impl Future<Output = T>) -> Option<T> {
    match select(pin!(future), pin!(sleep(duration))).await {
        Either::Left((output, _)) => Some(output),
        Either::Right(_) => None,
    }
}
