//! Our own executor, which sleeps in the ring or in the poller: in what its thread's disk waits on.
//!
//! ```text
//!   turn:   due timers, wakes from other threads
//!           > net       every connection that something has arrived for
//!           > storage   what they brought, together: one commit for all of them
//!           > background, a tenth of the time of the others
//!           > disk      submits all that was started, takes in all that is complete, and sleeps when nothing is ready;
//!                       with the ring, in one system call
//! ```
//!
//! * Tasks of a queue that are ready run once each before one of them runs again; connections before storage,
//!   so that what has arrived in one turn is committed together.
//! * A wake from another thread rings a doorbell only when this one sleeps.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use async_task::Runnable;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use super::disk::ShardDisk;
use super::doorbell::Doorbell;
use super::slots::Wait;
use super::{OnDrop, Queue, Reactor};
use crate::config::ReactorKind;
use crate::io::yield_now;
use crate::sync::Woken;

/// How long a task may go on when others wait. The rule for a step between two looks is 50 us.
const RUN_MAX: Duration = Duration::from_micros(200);

/// How much time background tasks may save up while there was nothing for them to do, and take at once.
const CREDIT_MAX: Duration = Duration::from_millis(1);

/// A thread is quiet when its other tasks have taken less than a hundredth of this.
const QUIET_WINDOW: Duration = Duration::from_millis(100);

thread_local! {
    static EXECUTOR: RefCell<Option<Rc<Executor>>> = const { RefCell::new(None) };
}

/// The executor of our own.
pub(super) struct Own;

impl Reactor for Own {
    type Spawned<T> = async_task::Task<T>;
    type Thread<T: Send + 'static> = thread::JoinHandle<io::Result<T>>;

    fn is_here() -> bool {
        EXECUTOR.with_borrow(Option::is_some)
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
        let run = move || {
            let _told_last = OnDrop(Some(ended));
            if let Some(cpu) = cpu {
                pin_thread(cpu);
            }
            let disk = ShardDisk::new(kind)?;
            Ok(Executor::new(disk.clone(), background_share).run(f(disk)))
        };
        thread::Builder::new().name(name.to_owned()).spawn(run)
    }

    fn join<T: Send + 'static>(thread: Self::Thread<T>) -> io::Result<T> {
        thread.join().unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
            let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
            Err(io::Error::other(format!("a task panicked: {}", text.unwrap_or_default())))
        })
    }

    fn spawn<T: 'static>(queue: Queue, future: impl Future<Output = T> + 'static) -> Self::Spawned<T> {
        let remote = with_executor(|executor| executor.remote.clone());
        let schedule = move |runnable| schedule(&remote, queue, runnable);
        let (runnable, task) = async_task::spawn_local(future, schedule);
        runnable.schedule();
        task
    }

    fn detach<T>(task: Self::Spawned<T>) {
        task.detach();
    }

    fn cancel<T>(task: Self::Spawned<T>) -> impl Future<Output = Option<T>> {
        task.cancel()
    }

    fn sleep(duration: Duration) -> impl Future<Output = ()> {
        Sleep { due: Instant::now() + duration, timer: None }
    }

    async fn yield_if_needed() {
        if with_executor(Executor::is_time_up) {
            yield_now().await;
        }
    }

    fn set_background_share(share: f64) {
        with_executor(|executor| executor.allowance.share.set(share));
    }
}

/// Pins this thread to the `number`-th of the CPUs that it may run on, in a cpuset as well.
fn pin_thread(number: usize) {
    let allowed = sched_getaffinity(None).unwrap_or_default();
    let Some(cpu) = (0..CpuSet::MAX_CPU).filter(|cpu| allowed.is_set(*cpu)).nth(number) else { return };
    let mut cpus = CpuSet::new();
    cpus.set(cpu);
    if let Err(error) = sched_setaffinity(None, &cpus) {
        tracing::warn!(cpu, %error, "a shard's thread is not pinned");
    }
}

fn with_executor<R>(f: impl FnOnce(&Executor) -> R) -> R {
    EXECUTOR.with_borrow(|executor| f(executor.as_ref().expect("this is a thread of `spawn_executor`")))
}

struct Executor {
    disk: ShardDisk,
    net: RefCell<VecDeque<Runnable>>,
    storage: RefCell<VecDeque<Runnable>>,
    background: RefCell<VecDeque<Runnable>>,
    allowance: Allowance,
    /// When the running task first asked whether its time was up.
    began: Cell<Option<Instant>>,
    timers: RefCell<Timers>,
    remote: Arc<Remote>,
    /// Executors that sleep and have got a task from this one: they are rung for when the turn is over, since
    /// a wake may be called under a lock of a channel, where the woken thread would run into it.
    bells: RefCell<Vec<Arc<Remote>>>,
}

impl Executor {
    fn new(disk: ShardDisk, background_share: f64) -> Rc<Executor> {
        let remote = Remote { woken: Woken::new(), doorbell: disk.doorbell() };
        Rc::new(Executor {
            disk,
            net: RefCell::default(),
            storage: RefCell::default(),
            background: RefCell::default(),
            allowance: Allowance::new(background_share, Instant::now()),
            began: Cell::new(None),
            timers: RefCell::default(),
            remote: Arc::new(remote),
            bells: RefCell::default(),
        })
    }

    /// Runs tasks until `future` is ready, then closes the disk and lets it finish.
    fn run<T: 'static>(self: Rc<Self>, future: impl Future<Output = T> + 'static) -> T {
        EXECUTOR.set(Some(self.clone()));
        let _unwinding = Unwinding(&self);
        let output = Rc::new(Cell::new(None));
        let (over, done) = (Rc::new(Cell::new(false)), output.clone());
        let ended = over.clone();
        Own::spawn(Queue::Net, async move {
            done.set(Some(future.await));
            ended.set(true);
        })
        .detach();
        while !over.get() {
            self.turn();
        }
        self.disk.close();
        while self.disk.is_busy() {
            self.turn();
        }
        // What is ready is dropped here, while tasks can still be scheduled; what waits is left alone.
        self.remote.woken.close();
        for queue in [&self.net, &self.storage, &self.background] {
            while let Some(runnable) = pop(queue) {
                drop(runnable);
            }
        }
        self.ring_bells();
        EXECUTOR.take();
        output.take().expect("the future has ended")
    }

    fn turn(&self) {
        for (queue, runnable) in self.remote.woken.take() {
            self.queue(queue).borrow_mut().push_back(runnable);
        }
        let wait = self.wait();
        self.ring_bells();
        self.disk.turn(wait);
        let began = Instant::now();
        self.timers.borrow_mut().due(began).into_iter().for_each(Waker::wake);
        if self.run_ready(&self.net) | self.run_ready(&self.storage) {
            self.allowance.note_others(began.elapsed());
            self.ring_bells();
        }
        self.run_background();
    }

    fn ring_bells(&self) {
        self.bells.take().iter().for_each(|remote| remote.doorbell.ring());
    }

    /// Whether the thread may wait for something to happen, and how long.
    fn wait(&self) -> Wait {
        let others_ready = !self.net.borrow().is_empty() || !self.storage.borrow().is_empty();
        let background_ready = !self.background.borrow().is_empty();
        let pause = background_ready.then(|| self.allowance.pause(Instant::now()));
        if others_ready || pause == Some(Duration::ZERO) || !self.remote.woken.falls_asleep() {
            return Wait::No;
        }
        let timer = self.timers.borrow().patience();
        Wait::AtMost(timer.into_iter().chain(pause).min())
    }

    /// Runs each task that is ready now once. Whether there was one.
    fn run_ready(&self, queue: &RefCell<VecDeque<Runnable>>) -> bool {
        let ready = queue.borrow().len();
        for _ in 0..ready {
            let Some(runnable) = pop(queue) else { break };
            self.run_task(runnable);
        }
        ready > 0
    }

    fn run_task(&self, runnable: Runnable) {
        self.began.set(None);
        runnable.run();
    }

    /// Runs each background task that is ready now once, as long as they are allowed to.
    fn run_background(&self) {
        let ready = self.background.borrow().len();
        let mut now = Instant::now();
        for _ in 0..ready {
            if !self.allowance.pause(now).is_zero() {
                break;
            }
            let Some(runnable) = pop(&self.background) else { break };
            self.run_task(runnable);
            let after = Instant::now();
            self.allowance.spend(after - now);
            now = after;
        }
    }

    fn is_time_up(&self) -> bool {
        let now = Instant::now();
        match self.began.get() {
            Some(began) => now - began >= RUN_MAX,
            None => {
                self.began.set(Some(now));
                false
            }
        }
    }

    fn queue(&self, queue: Queue) -> &RefCell<VecDeque<Runnable>> {
        match queue {
            Queue::Net => &self.net,
            Queue::Storage => &self.storage,
            Queue::Background => &self.background,
        }
    }
}

/// Lets other threads go on when a panic of a task ends this one.
struct Unwinding<'a>(&'a Executor);

impl Drop for Unwinding<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            // From here on a wake called on this thread rings at once: there is no end of a turn to ring at.
            drop(EXECUTOR.take());
            self.0.remote.woken.close();
            self.0.ring_bells();
        }
    }
}

/// The borrow ends before the task runs, or is dropped: both may schedule others.
fn pop(queue: &RefCell<VecDeque<Runnable>>) -> Option<Runnable> {
    queue.borrow_mut().pop_front()
}

/// Puts a task that was woken into its executor's queue, from whichever thread.
fn schedule(remote: &Arc<Remote>, queue: Queue, runnable: Runnable) {
    let mut runnable = Some(runnable);
    // An error means that this thread ends, so it is not the executor's either.
    let _ = EXECUTOR.try_with(|executor| match &*executor.borrow() {
        Some(executor) if Arc::ptr_eq(&executor.remote, remote) => {
            executor.queue(queue).borrow_mut().extend(runnable.take());
        }
        Some(executor) => {
            let runnable = runnable.take().expect("it was not taken yet");
            remote.push(queue, runnable, || executor.bells.borrow_mut().push(remote.clone()));
        }
        None => {}
    });
    if let Some(runnable) = runnable {
        remote.push(queue, runnable, || remote.doorbell.ring());
    }
}

/// What another thread needs to wake a task of this one.
struct Remote {
    woken: Woken<(Queue, Runnable)>,
    doorbell: Doorbell,
}

impl Remote {
    /// Hands a task over; `ring` is called when its executor sleeps, and somebody has to ring for it.
    fn push(&self, queue: Queue, runnable: Runnable, ring: impl FnOnce()) {
        if let Err((_, runnable)) = self.woken.push((queue, runnable), ring) {
            // Its future belongs to a thread that has ended: it can neither run nor be dropped.
            std::mem::forget(runnable);
        }
    }
}

/// How much of the thread's time background tasks may take: a share of all that passes, so that a thread
/// which has idle time leaves it to whatever else the core runs, and finds itself rested when a request
/// comes. On a quiet thread they may take all of it.
struct Allowance {
    share: Cell<f64>,
    /// What background tasks may take now, in nanoseconds; what they took too much is below zero.
    credit: Cell<f64>,
    /// Up to when the share is in the credit.
    credited: Cell<Instant>,
    /// The window in which the time of the others is counted, and what they have taken in it.
    window: Cell<Instant>,
    others: Cell<Duration>,
    quiet: Cell<bool>,
}

impl Allowance {
    fn new(share: f64, now: Instant) -> Allowance {
        Allowance {
            share: Cell::new(share),
            credit: Cell::new(0.0),
            credited: Cell::new(now),
            window: Cell::new(now),
            others: Cell::new(Duration::ZERO),
            quiet: Cell::new(false),
        }
    }

    /// How long background tasks have to wait; nothing when one may run.
    fn pause(&self, now: Instant) -> Duration {
        if now - self.window.get() >= QUIET_WINDOW {
            let passed = now - self.window.replace(now);
            self.quiet.set(self.others.take() * 100 < passed);
        }
        let share = if self.quiet.get() { 1.0 } else { self.share.get() };
        let passed = (now - self.credited.replace(now)).as_nanos() as f64;
        let credit = (self.credit.get() + passed * share).min(CREDIT_MAX.as_nanos() as f64);
        self.credit.set(credit);
        match credit >= 0.0 {
            true => Duration::ZERO,
            false => Duration::from_nanos((-credit / share).ceil() as u64),
        }
    }

    fn spend(&self, taken: Duration) {
        self.credit.set(self.credit.get() - taken.as_nanos() as f64);
    }

    fn note_others(&self, taken: Duration) {
        self.others.set(self.others.get() + taken);
    }
}

/// Who waits for which time.
#[derive(Default)]
struct Timers {
    waiting: BTreeMap<(Instant, u64), Waker>,
    numbers: u64,
}

impl Timers {
    /// How long until the next one is due; `None` when there is none.
    fn patience(&self) -> Option<Duration> {
        let ((due, _), _) = self.waiting.first_key_value()?;
        Some(due.saturating_duration_since(Instant::now()))
    }

    /// Takes out what is due.
    fn due(&mut self, now: Instant) -> Vec<Waker> {
        let mut due = Vec::new();
        while let Some(first) = self.waiting.first_entry()
            && first.key().0 <= now
        {
            due.push(first.remove());
        }
        due
    }
}

struct Sleep {
    due: Instant,
    timer: Option<u64>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if Instant::now() >= self.due {
            return Poll::Ready(());
        }
        with_executor(|executor| {
            let mut timers = executor.timers.borrow_mut();
            timers.numbers += 1;
            let number = *self.timer.get_or_insert(timers.numbers);
            timers.waiting.insert((self.due, number), context.waker().clone());
        });
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        let Some(number) = self.timer else { return };
        let timer = (self.due, number);
        // Without an executor its timers have gone with it.
        let stale = EXECUTOR.try_with(|executor| {
            executor
                .borrow()
                .as_ref()
                .and_then(|executor| executor.timers.borrow_mut().waiting.remove(&timer))
        });
        drop(stale);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reactor::{sleep, spawn, spawn_executor, with_timeout, yield_if_needed};

    fn on_executor<F, T>(test: impl FnOnce() -> F + Send + 'static) -> T
    where
        F: Future<Output = T> + 'static,
        T: Send + 'static,
    {
        spawn_executor(ReactorKind::Poll, "test", None, 0.1, |_| test()).unwrap().join().unwrap()
    }

    #[test]
    fn a_timer_that_was_dropped_leaves_nothing_behind() {
        on_executor(|| async {
            let none = with_timeout(Duration::from_millis(1), sleep(Duration::from_secs(60))).await;
            assert!(none.is_none());
            with_executor(|executor| assert!(executor.timers.borrow().waiting.is_empty()));
        });
    }

    #[test]
    fn a_busy_background_leaves_the_others_their_time_and_a_busy_foreground_leaves_it_some() {
        on_executor(|| async {
            let spins = |queue| {
                let steps = Rc::new(Cell::new(0_u32));
                let counted = steps.clone();
                let task = spawn(queue, async move {
                    loop {
                        let began = Instant::now();
                        while began.elapsed() < Duration::from_micros(50) {}
                        counted.set(counted.get() + 1);
                        yield_now().await;
                    }
                });
                (task, steps)
            };
            let (net, net_steps) = spins(Queue::Net);
            let (background, background_steps) = spins(Queue::Background);
            let began = Instant::now();
            while began.elapsed() < Duration::from_millis(200) || background_steps.get() < 20 {
                sleep(Duration::from_millis(10)).await;
            }
            // A step takes 50 us at least, however busy the machine is with something else.
            let (taken, passed) = (background_steps.get() * Duration::from_micros(50), began.elapsed());
            let most = passed.mul_f64(0.1) + 2 * CREDIT_MAX;
            assert!(taken <= most, "{taken:?} of {passed:?} in the background");
            assert!(net_steps.get() > 0);
            drop((net, background));
        });
    }

    /// What background tasks with steps of 50 us get in a second beside others that take `others` of every
    /// millisecond.
    fn background_time(share: f64, others: Duration) -> Duration {
        let step = Duration::from_micros(50);
        let begin = Instant::now();
        let allowance = Allowance::new(share, begin);
        let (mut now, mut next, mut taken) = (begin, begin, Duration::ZERO);
        // Two windows pass before it counts: the first one ends late, when it is known what a thread does.
        while now - begin < Duration::from_millis(1200) {
            if now >= next {
                next += Duration::from_millis(1);
                allowance.note_others(others);
                now += others;
            }
            let pause = allowance.pause(now);
            if pause.is_zero() {
                allowance.spend(step);
                now += step;
                taken += if now - begin > Duration::from_millis(200) { step } else { Duration::ZERO };
            } else {
                now += pause.min(next.saturating_duration_since(now)).max(Duration::from_nanos(1));
            }
        }
        taken
    }

    #[test]
    fn background_tasks_have_their_share_of_a_busy_thread_and_all_of_a_quiet_one() {
        for (share, others, least, most) in
            [(0.1, 300, 95, 105), (0.1, 950, 45, 105), (0.25, 300, 240, 260), (0.1, 5, 950, 1000)]
        {
            let taken = background_time(share, Duration::from_micros(others)).as_millis();
            assert!(
                (least..=most).contains(&taken),
                "{taken} ms of a second, share {share}, others {others} us of every ms"
            );
        }
    }

    #[test]
    fn background_tasks_save_up_no_more_than_a_moment() {
        let begin = Instant::now();
        let allowance = Allowance::new(0.1, begin);
        allowance.note_others(Duration::from_secs(1));
        let later = begin + Duration::from_secs(10);
        let mut taken = Duration::ZERO;
        while allowance.pause(later).is_zero() {
            allowance.spend(Duration::from_micros(50));
            taken += Duration::from_micros(50);
        }
        assert!(taken <= CREDIT_MAX + Duration::from_micros(50), "{taken:?}");
    }

    #[test]
    fn a_task_gives_way_when_its_time_is_up_and_not_before() {
        on_executor(|| async {
            let other = Rc::new(Cell::new(false));
            let seen = other.clone();
            let task = spawn(Queue::Net, async move { seen.set(true) });
            yield_if_needed().await;
            assert!(!other.get());
            let began = Instant::now();
            while began.elapsed() < 2 * RUN_MAX {}
            yield_if_needed().await;
            assert!(other.get());
            task.await;
        });
    }
}
