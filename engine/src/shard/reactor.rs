//! The runtime fence: executors, task queues, timers. No other file of the engine names the runtime for these.
//!
//! Each executor is a thread with three task queues. Whichever queue a task is in, it must not compute for more than some 50 us
//! without [`yield_if_needed`]; the latency goals below then keep the sockets going while background work runs.
//!
//! A dropped [`Task`] is cancelled. A task that is still pending when its executor ends is never dropped, and keeps its files
//! open: keep the handles, and await or drop them.

use std::cell::Cell;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_util::future::{Either, select};
use glommio::{
    ExecutorJoinHandle, GlommioError, Latency, LocalExecutorBuilder, Placement, PoolPlacement,
    ReactorErrorKind, Shares, TaskQueueHandle,
};

pub use crate::io::yield_now;

/// How often a running queue is asked to give way. Tasks are short by rule, so this is for the exception; and see [`HEARTBEATS`] for why it
/// is not shorter.
const PREEMPT: Duration = Duration::from_millis(20);

/// The same before the queues are there. An executor whose timer fires before its very first task has run sleeps for good: nothing that could
/// wake it exists yet. Of 1,700 starts on a busy machine, one hung that way.
const PREEMPT_FIRST: Duration = Duration::from_secs(60);

/// The longest that an executor sleeps, in the end.
///
/// glommio-ng 0.12.0 may sleep with a task ready to run: when its preemption timer has fired before the first queue gets its turn,
/// `run_task_queues` reports that nothing is left to run, and the executor parks. Without another event it never wakes: with a timer of
/// 1 ms, about once in 100,000 appends. A timer of 20 ms makes it rarer than can be measured on an idle machine; on a busy one the thread is
/// kept waiting for as long now and then. A heartbeat bounds the stall, unless it is itself the task that is left ready: then the next one,
/// which is due at another time, does.
const HEARTBEATS: [Duration; 3] =
    [Duration::from_millis(20), Duration::from_millis(130), Duration::from_millis(1700)];

/// A task queue of an executor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Queue {
    /// Connections.
    Net,
    /// Appends, the journal, the ring's pump.
    Storage,
    /// Retention, compaction, syncs that nobody waits for: a tenth of a share of the others.
    Background,
}

#[derive(Clone, Copy)]
struct Queues {
    net: TaskQueueHandle,
    storage: TaskQueueHandle,
    background: TaskQueueHandle,
}

thread_local! {
    static QUEUES: Cell<Option<Queues>> = const { Cell::new(None) };
}

/// Starts a thread with an executor that runs the future made by `f` to its end.
///
/// `cpu` pins the thread. `spin` is how long it looks for work before it sleeps: 0 leaves an idle core alone, 20-50 us takes some
/// 40 us of wake-up out of every answer to a busy client and costs CPU.
///
/// # Errors
/// When the thread can not be made, or the CPU does not exist. What the executor itself lacks (io_uring, locked memory) is reported by
/// [`ExecutorHandle::join`].
pub fn spawn_executor<F, T>(
    name: &str,
    cpu: Option<usize>,
    spin: Duration,
    f: impl FnOnce() -> F + Send + 'static,
) -> io::Result<ExecutorHandle<T>>
where
    F: Future<Output = T> + 'static,
    T: Send + 'static,
{
    LocalExecutorBuilder::new(cpu.map_or(Placement::Unbound, Placement::Fixed))
        .name(name)
        .spin_before_park(spin)
        .preempt_timer(PREEMPT_FIRST)
        // Else the pool's thread is pinned to the first CPU, whatever the executor's is.
        .blocking_thread_pool_placement(PoolPlacement::Unbound(1))
        .spawn(move || {
            let executor = glommio::executor();
            let queue =
                |shares, latency, name| executor.create_task_queue(Shares::Static(shares), latency, name);
            QUEUES.set(Some(Queues {
                net: queue(1000, Latency::Matters(PREEMPT), "net"),
                storage: queue(1000, Latency::Matters(PREEMPT), "storage"),
                background: queue(100, Latency::Matters(PREEMPT), "background"),
            }));
            async move {
                let heartbeats = HEARTBEATS.map(|period| {
                    spawn(Queue::Net, async move {
                        loop {
                            sleep(period).await;
                        }
                    })
                });
                let output = f().await;
                for heartbeat in heartbeats {
                    let _: Option<()> = heartbeat.cancel().await;
                }
                output
            }
        })
        .map(ExecutorHandle)
        .map_err(explain)
}

/// A running executor.
pub struct ExecutorHandle<T: Send + 'static>(ExecutorJoinHandle<T>);

impl<T: Send + 'static> ExecutorHandle<T> {
    /// Waits for the executor's end.
    ///
    /// # Errors
    /// When the executor could not start (no io_uring, not enough locked memory), or a task panicked.
    pub fn join(self) -> io::Result<T> {
        self.0.join().map_err(explain)
    }
}

fn explain(error: GlommioError<()>) -> io::Error {
    if let GlommioError::ReactorError(ReactorErrorKind::MemLockLimit(limit, needed)) = &error {
        return io::Error::new(
            io::ErrorKind::OutOfMemory,
            format!(
                "the limit on locked memory is {limit} bytes, {needed} are needed: raise `ulimit -l`, or LimitMEMLOCK= of the \
                 service"
            ),
        );
    }
    error.into()
}

/// Starts a task in a queue of this thread's executor.
pub fn spawn<T: 'static>(queue: Queue, future: impl Future<Output = T> + 'static) -> Task<T> {
    let queues = QUEUES.get().expect("tasks are spawned on a thread of `spawn_executor`");
    let handle = match queue {
        Queue::Net => queues.net,
        Queue::Storage => queues.storage,
        Queue::Background => queues.background,
    };
    Task(glommio::spawn_local_into(future, handle).expect("queues live as long as their executor"))
}

/// A task; awaiting it gives its output, dropping it cancels it.
#[must_use = "a dropped task is cancelled"]
pub struct Task<T>(glommio::Task<T>);

impl<T> Task<T> {
    /// Lets the task run on without a handle.
    pub fn detach(self) {
        self.0.detach();
    }

    /// Cancels the task and waits until it is dropped; its output when it had finished already.
    pub async fn cancel(self) -> Option<T> {
        self.0.cancel().await
    }
}

impl<T> Future for Task<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        Pin::new(&mut self.0).poll(context)
    }
}

/// Waits; 40-180 us longer than asked for when the thread slept.
pub async fn sleep(duration: Duration) {
    glommio::timer::sleep(duration).await;
}

/// The monotonic clock.
pub fn now() -> Instant {
    Instant::now()
}

/// Gives way when this queue's time is up; cheap enough for every step of a loop.
pub async fn yield_if_needed() {
    glommio::yield_if_needed().await;
}

/// The future's output, or `None` when `duration` passes first; then the future is dropped. Never around an append: its future
/// would be dropped, its write not.
pub async fn with_timeout<T>(duration: Duration, future: impl Future<Output = T>) -> Option<T> {
    match select(pin!(future), pin!(sleep(duration))).await {
        Either::Left((output, _)) => Some(output),
        Either::Right(_) => None,
    }
}
