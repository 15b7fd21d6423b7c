//! The runtime: one thread with three task queues, timers, its disk, and its sockets. No other room of the
//! engine knows how tasks run, or what a thread waits on.
//!
//! [`Reactor`] says what an implementation owes to the engine. Two keep it, and one of them is built:
//! `executor`, our own, where the thread sleeps in the ring itself; and, with the cargo feature `glommio`,
//! that runtime, so that what was measured between the two can be measured again. Decision 11 has the
//! figures. Both wait on the thread's [`ring`], which is also its disk ([`ShardDisk`]) and what its
//! [`Sockets`] wait on. `contract` holds whichever is built to it. Another one is a module here that
//! implements the trait, and a line that chooses it; where its thread does not sleep in a ring, it brings a
//! [`Disk`](crate::io::Disk) that completes on this thread, and sockets.

#[cfg(test)]
mod contract;
#[cfg(not(feature = "glommio"))]
mod executor;
#[cfg(feature = "glommio")]
mod glommio;
pub(crate) mod ring;
mod sockets;

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_util::future::{Either, select};

#[cfg(not(feature = "glommio"))]
use self::executor::Own as Built;
#[cfg(feature = "glommio")]
use self::glommio::Glommio as Built;
pub use self::ring::RingDisk as ShardDisk;
pub(crate) use self::ring::probe;
pub use self::sockets::{SendFileError, Sockets, receive, send_ready, set_congestion_control, set_nodelay};
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
///   the panic. That there is no ring, or too little locked memory, is told by `join`, too.
trait Reactor {
    /// A task, before it is a [`Task`].
    type Spawned<T>: Future<Output = T> + Unpin;
    /// A thread with an executor, before it is an [`ExecutorHandle`].
    type Thread<T: Send + 'static>;

    /// See [`spawn_watched`].
    fn start<F, T>(
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
pub struct Task<T>(<Built as Reactor>::Spawned<T>);

impl<T> Task<T> {
    /// Lets the task run on without a handle.
    pub fn detach(self) {
        Built::detach(self.0);
    }

    /// Cancels the task and waits until it is dropped; its output when it had finished already.
    pub async fn cancel(self) -> Option<T> {
        Built::cancel(self.0).await
    }
}

impl<T> Future for Task<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        Pin::new(&mut self.0).poll(context)
    }
}

/// Starts an executor whose end nobody is told of; see [`spawn_watched`].
///
/// # Errors
/// When the thread can not be made.
pub fn spawn_executor<F, T>(
    name: &str,
    cpu: Option<usize>,
    background_share: f64,
    f: impl FnOnce(ShardDisk) -> F + Send + 'static,
) -> io::Result<ExecutorHandle<T>>
where
    F: Future<Output = T> + 'static,
    T: Send + 'static,
{
    spawn_watched(name, cpu, background_share, || (), f)
}

/// Starts a thread with an executor that runs the future made by `f` to its end. `f` gets the disk of the
/// thread.
///
/// `cpu` pins the thread to that one of the CPUs that the process may run on, counted from 0, when that is
/// allowed. `background_share` is the part of the thread's time that background tasks get where others are
/// ready, up to 1. `ended` is called when the executor has ended, however it did; then
/// [`ExecutorHandle::join`] tells how, and does not wait for long.
///
/// # Errors
/// When the thread can not be made. That there is no ring to be had is reported by [`ExecutorHandle::join`].
pub fn spawn_watched<F, T>(
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
    Built::start(name, cpu, background_share, ended, f).map(ExecutorHandle)
}

/// A running executor.
pub struct ExecutorHandle<T: Send + 'static>(<Built as Reactor>::Thread<T>);

impl<T: Send + 'static> ExecutorHandle<T> {
    /// Waits for the executor's end.
    ///
    /// # Errors
    /// When the executor could not start (no io_uring, not enough locked memory), or a task panicked.
    pub fn join(self) -> io::Result<T> {
        Built::join(self.0)
    }
}

/// Starts a task in a queue of this thread's executor.
pub fn spawn<T: 'static>(queue: Queue, future: impl Future<Output = T> + 'static) -> Task<T> {
    Task(Built::spawn(queue, future))
}

/// Waits; 40-180 us longer than asked for when the thread slept.
pub fn sleep(duration: Duration) -> impl Future<Output = ()> {
    Built::sleep(duration)
}

/// Gives way when this task has run for a while; cheap enough for every step of a loop.
pub fn yield_if_needed() -> impl Future<Output = ()> {
    Built::yield_if_needed()
}

/// Changes the part of this thread's time that background tasks may take, where it is not fixed.
pub fn set_background_share(share: f64) {
    Built::set_background_share(share);
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
