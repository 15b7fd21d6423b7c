//! The runtime: one thread with three task queues, timers, its disk, and its sockets. No other room of the
//! engine knows how tasks run, or what a thread waits on.
//!
//! * A task runs until it waits; it must not compute for more than some 50 us without [`yield_if_needed`].
//! * Wakers may be called on any thread.
//! * A dropped [`Task`] is cancelled. A task that still waits when its executor ends is never dropped, and
//!   keeps its files open: keep the handles, and await or drop them.
//! * When the executor's future has ended, its ring is closed and finishes what was started; then the thread
//!   ends.
//!
//! Two implementations keep this, and one of them is built: `executor`, our own, where the thread sleeps in
//! the ring itself; and, with the cargo feature `glommio`, that runtime, so that what was measured between
//! the two can be measured again. Decision 11 has the figures. Both wait on the thread's [`ring`], which is
//! also its disk ([`ShardDisk`]) and what its [`Sockets`] wait on.

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
use self::executor::Spawned;
#[cfg(not(feature = "glommio"))]
pub use self::executor::{
    ExecutorHandle, set_background_share, sleep, spawn, spawn_watched, yield_if_needed,
};
#[cfg(feature = "glommio")]
use self::glommio::Spawned;
#[cfg(feature = "glommio")]
pub use self::glommio::{ExecutorHandle, set_background_share, sleep, spawn, spawn_watched, yield_if_needed};
pub use self::ring::RingDisk as ShardDisk;
pub(crate) use self::ring::probe;
pub use self::sockets::{SendFileError, Sockets, receive, set_congestion_control, set_nodelay};
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

/// A task; awaiting it gives its output, dropping it cancels it.
#[must_use = "a dropped task is cancelled"]
pub struct Task<T>(Spawned<T>);

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

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;
    use std::thread;

    use super::*;

    fn on_executor<F, T>(test: impl FnOnce() -> F + Send + 'static) -> T
    where
        F: Future<Output = T> + 'static,
        T: Send + 'static,
    {
        spawn_executor("test", None, 0.1, |_| test()).unwrap().join().unwrap()
    }

    #[test]
    fn a_wake_from_another_thread_is_never_lost() {
        on_executor(|| async {
            let (asked, questions) = async_channel::bounded(1);
            let (answer, answers) = async_channel::bounded(1);
            let thread = thread::spawn(move || {
                while let Ok(question) = questions.recv_blocking() {
                    answer.send_blocking(question).unwrap();
                }
            });
            for number in 0..20_000 {
                asked.send(number).await.unwrap();
                assert_eq!(answers.recv().await, Ok(number));
            }
            drop(asked);
            thread.join().unwrap();
        });
    }

    #[test]
    fn timers_fire_in_their_order_and_a_dropped_one_not_at_all() {
        on_executor(|| async {
            let fired = Rc::new(RefCell::new(Vec::new()));
            let sleeper = |millis: u64| {
                let (fired, began) = (fired.clone(), now());
                spawn(Queue::Net, async move {
                    sleep(Duration::from_millis(millis)).await;
                    assert!(began.elapsed() >= Duration::from_millis(millis), "not before its time");
                    fired.borrow_mut().push(millis);
                })
            };
            // All of them are asked for in one turn, microseconds apart, and fire a hundred milliseconds
            // apart.
            let tasks: Vec<_> = [300, 100, 200].map(sleeper).into_iter().collect();
            let dropped = sleeper(60_000);
            let none = with_timeout(Duration::from_millis(5), std::future::pending::<()>()).await;
            assert!(none.is_none());
            drop(dropped);
            for task in tasks {
                task.await;
            }
            assert_eq!(*fired.borrow(), [100, 200, 300]);
        });
    }

    #[test]
    fn a_panic_of_a_task_is_told_by_the_executor() {
        let executor = spawn_executor("test", None, 0.1, |_| async { panic!("no way") }).unwrap();
        let error = executor.join().unwrap_err();
        assert!(error.to_string().contains("no way"), "{error}");
    }

    #[test]
    fn the_end_of_an_executor_is_told_however_it_ends() {
        for panics in [false, true] {
            let (told, ends) = std::sync::mpsc::channel();
            let ended = move || told.send(()).unwrap();
            let future = async move { assert!(!panics, "no way") };
            let executor = spawn_watched("test", None, 0.1, ended, move |_| future).unwrap();
            assert_eq!(ends.recv(), Ok(()));
            assert_eq!(executor.join().is_err(), panics);
        }
    }

    #[test]
    fn an_executor_that_panics_has_woken_whom_it_was_about_to_wake() {
        let (asked, question) = futures_channel::oneshot::channel::<()>();
        let (answered, answer) = futures_channel::oneshot::channel();
        let waits = spawn_executor("waits", None, 0.1, |_| async move {
            answered.send(()).unwrap();
            question.await
        });
        let panics = spawn_executor("panics", None, 0.1, |_| async move {
            answer.await.unwrap();
            // Long enough for the other one to sleep, and no harm when it does not.
            sleep(Duration::from_millis(20)).await;
            let _ = asked.send(());
            panic!("no way")
        });
        assert!(panics.unwrap().join().is_err());
        assert_eq!(waits.unwrap().join().unwrap(), Ok(()));
    }
}
