//! The executor on glommio: it sleeps in that runtime's ring, and one of its tasks pumps ours.
//!
//! Its executor can wait for its own ring only. So completions of ours count up an eventfd, and its ring
//! reads that: no thread, no polling. While nothing is in the kernel's hands after a turn (all was done at
//! once), nothing is armed. Completions that are themselves caused by another eventfd are delayed by the
//! kernel: [`ShardDisk::readable`] must not be asked for one here.
//!
//! Queues are run by shares, not in the order of our own executor, and a turn of the ring costs a task's run,
//! a read and a system call more.
//!
//! One clause of the contract it does not keep: beside tasks that give way and never wait, a queue starves.
//! The engine's tasks wait.

#![allow(unsafe_code)]

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::io::{self, IoSliceMut};
use std::os::fd::{FromRawFd, IntoRawFd};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{Fuse, FusedFuture};
use glommio::io::BufferedFile;
use glommio::{
    BuilderErrorKind, ExecutorJoinHandle, GlommioError, Latency, LocalExecutorBuilder, Placement,
    PoolPlacement, ReactorErrorKind, Shares, TaskQueueHandle,
};
use rustix::io::ReadWriteFlags;

use super::disk::ShardDisk;
use super::slots::Wait;
use super::{OnDrop, Queue, Reactor};
use crate::config::ReactorKind;

/// How often a running queue is asked to give way. Tasks are short by rule, so this is for the exception; and
/// see [`HEARTBEATS`] for why it is not shorter.
const PREEMPT: Duration = Duration::from_millis(20);

/// The same before the queues are there. An executor whose timer fires before its very first task has run
/// sleeps for good: nothing that could wake it exists yet. Of 1,700 starts on a busy machine, one hung that
/// way.
const PREEMPT_FIRST: Duration = Duration::from_secs(60);

/// The longest that an executor sleeps, in the end.
///
/// glommio-ng 0.12.0 may sleep with a task ready to run: when its preemption timer has fired before the first
/// queue gets its turn, `run_task_queues` reports that nothing is left to run, and the executor parks.
/// Without another event it never wakes: with a timer of 1 ms, about once in 100,000 appends. A timer of 20
/// ms makes it rarer than can be measured on an idle machine; on a busy one the thread is kept waiting for as
/// long now and then. A heartbeat bounds the stall, unless it is itself the task that is left ready: then the
/// next one, which is due at another time, does.
const HEARTBEATS: [Duration; 3] =
    [Duration::from_millis(20), Duration::from_millis(130), Duration::from_millis(1700)];

#[derive(Clone, Copy)]
struct Queues {
    net: TaskQueueHandle,
    storage: TaskQueueHandle,
    background: TaskQueueHandle,
}

/// Whoever wants to know that the executor has ended, however it did.
type Ended = OnDrop<Box<dyn FnOnce()>>;

thread_local! {
    static QUEUES: Cell<Option<Queues>> = const { Cell::new(None) };

    /// Told when the thread ends. The runtime forgets its futures when a task has panicked, and what they
    /// hold with them.
    static TOLD_LAST: RefCell<Option<Ended>> = const { RefCell::new(None) };
}

/// The executor on glommio.
pub(super) struct Glommio;

impl Reactor for Glommio {
    type Spawned<T> = glommio::Task<T>;
    type Thread<T: Send + 'static> = ExecutorJoinHandle<io::Result<T>>;

    fn is_here() -> bool {
        QUEUES.get().is_some()
    }

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
        T: Send + 'static,
    {
        LocalExecutorBuilder::new(cpu.map_or(Placement::Unbound, Placement::Fixed))
            .name(name)
            .preempt_timer(PREEMPT_FIRST)
            // Else the pool's thread is pinned to the first CPU, whatever the executor's is.
            .blocking_thread_pool_placement(PoolPlacement::Unbound(1))
            .spawn(move || {
                TOLD_LAST.set(Some(OnDrop(Some(Box::new(ended)))));
                make_queues(background_share);
                run(kind, f)
            })
            .map_err(explain)
    }

    fn join<T: Send + 'static>(thread: Self::Thread<T>) -> io::Result<T> {
        thread.join().map_err(explain)?
    }

    fn spawn<T: 'static>(queue: Queue, future: impl Future<Output = T> + 'static) -> Self::Spawned<T> {
        let queues = QUEUES.get().expect("this is a thread of `spawn_executor`");
        let handle = match queue {
            Queue::Net => queues.net,
            Queue::Storage => queues.storage,
            Queue::Background => queues.background,
        };
        glommio::spawn_local_into(future, handle).expect("queues live as long as their executor")
    }

    fn detach<T>(task: Self::Spawned<T>) {
        task.detach();
    }

    fn cancel<T>(task: Self::Spawned<T>) -> impl Future<Output = Option<T>> {
        task.cancel()
    }

    async fn sleep(duration: Duration) {
        glommio::timer::sleep(duration).await;
    }

    async fn yield_if_needed() {
        glommio::yield_if_needed().await;
    }

    /// Nothing: the shares of that runtime's queues are fixed.
    fn set_background_share(_share: f64) {}
}

fn make_queues(background_share: f64) {
    let executor = glommio::executor();
    let queue = |shares, latency, name| executor.create_task_queue(Shares::Static(shares), latency, name);
    QUEUES.set(Some(Queues {
        net: queue(1000, Latency::Matters(PREEMPT), "net"),
        storage: queue(1000, Latency::Matters(PREEMPT), "storage"),
        background: queue(
            (1000.0 * background_share).ceil() as usize,
            Latency::Matters(PREEMPT),
            "background",
        ),
    }));
}

async fn run<F>(kind: ReactorKind, f: impl FnOnce(ShardDisk) -> F) -> io::Result<F::Output>
where
    F: Future<Output: 'static> + 'static,
{
    let heartbeats = HEARTBEATS.map(|period| {
        Glommio::spawn(Queue::Net, async move {
            loop {
                Glommio::sleep(period).await;
            }
        })
    });
    let disk = ShardDisk::new(kind)?;
    let pumping = Glommio::spawn(Queue::Storage, pump(disk.clone()));
    let output = Glommio::spawn(Queue::Net, f(disk.clone())).await;
    disk.close();
    pumping.await?;
    for heartbeat in heartbeats {
        let _: Option<()> = heartbeat.cancel().await;
    }
    Ok(output)
}

/// Submits, completes and wakes, until the ring is closed and everything that was started is done.
async fn pump(disk: ShardDisk) -> io::Result<()> {
    let doorbell = disk.doorbell();
    let descriptor = doorbell.descriptor().try_clone()?;
    // SAFETY: the descriptor is open, and given away.
    let event = unsafe { BufferedFile::from_raw_fd(descriptor.into_raw_fd()) };
    {
        let mut signal = pin!(Fuse::terminated());
        poll_fn(|context| {
            loop {
                disk.turn(Wait::No);
                if disk.has_submissions() {
                    continue;
                }
                let over = !disk.is_busy() && disk.is_closing();
                match signal.is_terminated() {
                    true if over => return Poll::Ready(()),
                    true if disk.is_busy() => {
                        if take_signal(&disk) {
                            continue;
                        }
                        signal.set(event.read_at(0, 8).fuse());
                    }
                    // Ends the read that is under way.
                    false if over => doorbell.ring(),
                    _ => {}
                }
                disk.set_pump(context.waker());
                if signal.is_terminated() {
                    return Poll::Pending;
                }
                match signal.as_mut().poll(context) {
                    Poll::Ready(Ok(_)) => {}
                    Poll::Ready(Err(error)) => {
                        panic!("the ring's completions can not be waited for: {error}")
                    }
                    Poll::Pending => return Poll::Pending,
                }
            }
        })
        .await;
    }
    event.close().await.map_err(io::Error::from)
}

/// Resets the count without waiting; whether there was one.
fn take_signal(disk: &ShardDisk) -> bool {
    let mut count = [0; 8];
    // An eventfd has no positions: `u64::MAX` stands for "where it is".
    let doorbell = disk.doorbell();
    let count = &mut [IoSliceMut::new(&mut count)];
    rustix::io::preadv2(doorbell.descriptor(), count, u64::MAX, ReadWriteFlags::NOWAIT).is_ok()
}

fn explain(error: GlommioError<()>) -> io::Error {
    match error {
        GlommioError::ReactorError(ReactorErrorKind::MemLockLimit(limit, needed)) => io::Error::new(
            io::ErrorKind::OutOfMemory,
            format!(
                "the limit on locked memory is {limit} bytes, {needed} are needed: raise `ulimit -l`, or LimitMEMLOCK= of the \
                 service"
            ),
        ),
        GlommioError::BuilderError(BuilderErrorKind::ThreadPanic(text)) => {
            io::Error::other(format!("a task panicked: {text}"))
        }
        error => error.into(),
    }
}
