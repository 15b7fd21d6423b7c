//! A machine: tasks of one thread, a simulated disk and a clock that moves when it is told to.
//!
//! Tasks run until all of them wait; then the disk completes one operation; and so on. Nothing else wakes
//! them, so a run is decided by its seed.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use fastrand::Rng;
use futures_executor::LocalPool;
use futures_util::stream::{FuturesUnordered, StreamExt};
use futures_util::task::LocalSpawnExt;

use super::disk::SimDisk;
use crate::types::Timestamp;

/// Tasks on a [`SimDisk`], under one seed.
pub struct Simulation {
    seed: u64,
    rng: Rng,
    pool: LocalPool,
    disk: SimDisk,
    clock: Clock,
}

impl Simulation {
    /// A machine with an empty disk.
    pub fn new(seed: u64) -> Simulation {
        let mut rng = Rng::with_seed(seed);
        let disk = SimDisk::new(rng.u64(..));
        Simulation { seed, rng, pool: LocalPool::new(), disk, clock: Clock::new() }
    }

    /// A machine with this disk.
    pub fn with_disk(seed: u64, disk: SimDisk) -> Simulation {
        Simulation { disk, ..Simulation::new(seed) }
    }

    /// A machine with this disk and a clock of its own that shows what `clock` does.
    pub fn resume(seed: u64, disk: SimDisk, clock: &Clock) -> Simulation {
        Simulation { clock: clock.detached(), ..Simulation::with_disk(seed, disk) }
    }

    /// The seed that [`Simulation::new`] was given; a machine after a crash still has it.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The machine's disk.
    pub fn disk(&self) -> SimDisk {
        self.disk.clone()
    }

    /// The machine's clock, which goes on after a crash.
    pub fn clock(&self) -> Clock {
        self.clock.clone()
    }

    /// Chance for the test itself, from the same seed.
    pub fn rng(&mut self) -> &mut Rng {
        &mut self.rng
    }

    /// Starts a task. It runs while one of the `run` functions does.
    pub fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        self.pool.spawner().spawn_local(task).expect("the pool lives as long as the simulation");
    }

    /// Runs until `future` is ready. Tasks and operations that it did not wait for may be left.
    ///
    /// # Panics
    /// When everything waits and the disk has nothing to complete, with the seed and the disk's state.
    pub fn run_until<F: Future>(&mut self, future: F) -> F::Output {
        match self.try_run_until(future) {
            Some(output) => output,
            None => panic!("seed {}: everything waits for something else\n{}", self.seed, self.disk.dump()),
        }
    }

    /// Runs until `future` is ready, or until nothing can go on: `None`, as after [`SimDisk::stop_after`].
    pub fn try_run_until<F: Future>(&mut self, future: F) -> Option<F::Output> {
        self.try_run_until_with(future, |_| {})
    }

    /// As [`Simulation::try_run_until`]; `between` is called whenever all wait for the disk, before it
    /// completes the next operation.
    ///
    /// These are the moments at which one crash differs from another.
    pub fn try_run_until_with<F: Future>(
        &mut self,
        future: F,
        mut between: impl FnMut(&SimDisk),
    ) -> Option<F::Output> {
        let polls = Cell::new(0u64);
        let mut future = pin!(future);
        let counted = poll_fn(|context| {
            polls.set(polls.get() + 1);
            future.as_mut().poll(context)
        });
        // It polls its only member when that was woken, and not before: so that the count tells whether there
        // was progress.
        let mut woken = FuturesUnordered::from_iter([counted]);
        let mut context = Context::from_waker(Waker::noop());
        loop {
            loop {
                // The tasks first: what they wake must not be overlooked when the disk has nothing left to
                // do.
                self.pool.run_until_stalled();
                let polls_before = polls.get();
                if let Poll::Ready(output) = woken.poll_next_unpin(&mut context) {
                    return output;
                }
                if polls.get() == polls_before {
                    break;
                }
            }
            between(&self.disk);
            if !self.disk.step() {
                return None;
            }
        }
    }

    /// Runs until every task waits for something else than the disk and nothing completes any more.
    pub fn run_until_quiet(&mut self) {
        self.pool.run_until_stalled();
        while self.disk.step() {
            self.pool.run_until_stalled();
        }
    }

    /// The power goes out: drops all tasks and starts a machine on what the disk kept.
    pub fn crash(mut self) -> Simulation {
        let disk = self.disk.crash(&mut self.rng);
        Simulation { disk, pool: LocalPool::new(), ..self }
    }

    /// The process dies: drops all tasks and starts a process on what the kernel has.
    pub fn kill(mut self) -> Simulation {
        let disk = self.disk.kill(&mut self.rng);
        Simulation { disk, pool: LocalPool::new(), ..self }
    }
}

/// A clock that stands still until it is moved. Clones show the same time.
#[derive(Clone)]
pub struct Clock {
    start: Instant,
    elapsed: Rc<Cell<Duration>>,
    /// The time of day at the start, as it looks since the clock was last set.
    timestamp_start: Rc<Cell<Timestamp>>,
}

impl Clock {
    /// Where every simulation starts: 2020-01-01 UTC, in milliseconds.
    pub const START: Timestamp = Timestamp(1_577_836_800_000);

    fn new() -> Clock {
        // An `Instant` can only be had from the system; what matters is the distance to it, which is ours.
        let start = Instant::now();
        Clock { start, elapsed: Rc::default(), timestamp_start: Rc::new(Cell::new(Clock::START)) }
    }

    /// Another clock that shows the same time now.
    fn detached(&self) -> Clock {
        Clock {
            start: self.start,
            elapsed: Rc::new(self.elapsed.as_ref().clone()),
            timestamp_start: Rc::new(self.timestamp_start.as_ref().clone()),
        }
    }

    /// The time of day.
    pub fn timestamp(&self) -> Timestamp {
        self.timestamp_start.get().plus(self.elapsed.get().as_millis() as i64)
    }

    /// The monotonic time. Only differences between two of them are the same in every run.
    pub fn instant(&self) -> Instant {
        self.start + self.elapsed.get()
    }

    /// Moves both times on.
    pub fn advance(&self, by: Duration) {
        self.elapsed.set(self.elapsed.get() + by);
    }

    /// Sets the time of day, also backwards, as an administrator does; the monotonic time stays.
    pub fn set_timestamp(&self, timestamp: Timestamp) {
        self.timestamp_start.set(timestamp.minus(self.elapsed.get().as_millis() as i64));
    }
}
