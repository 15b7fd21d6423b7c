//! Work of a machine that may take long: it runs beside the machine, in slices, and is handed back to it when
//! it is done.
//!
//! Work says how much it has done ([`Pace::step`]). Up to a budget it runs at once, within the call that
//! needs it, so that what is small is answered without a detour. What is more goes on in the task of the
//! shard, which gives way to others between two slices (D11).

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use futures_util::future::LocalBoxFuture;

/// What is done between two looks at whether others wait, in units: one is some 50 to 100 ns of a core.
const STEP_UNITS: usize = 256;

/// How work gives way.
type GiveWay = Rc<dyn Fn() -> LocalBoxFuture<'static, ()>>;

/// How much of a piece of work is done, and how it gives way to others.
#[derive(Clone)]
pub struct Pace(Rc<Paced>);

struct Paced {
    /// What may still be done before it stops for the first time; `None` once it has.
    budget: Cell<Option<usize>>,
    /// Since it has looked last.
    done: Cell<usize>,
    give_way: RefCell<Option<GiveWay>>,
    /// The longest step there was.
    #[cfg(test)]
    longest: Cell<usize>,
}

impl Pace {
    /// For work that stops when it has done so many units.
    pub fn new(budget: usize) -> Pace {
        Pace(Rc::new(Paced {
            budget: Cell::new(Some(budget)),
            done: Cell::new(0),
            give_way: RefCell::new(None),
            #[cfg(test)]
            longest: Cell::new(0),
        }))
    }

    /// From now on work gives way by this.
    pub(super) fn give_way_by(&self, give_way: impl Fn() -> LocalBoxFuture<'static, ()> + 'static) {
        *self.0.give_way.borrow_mut() = Some(Rc::new(give_way));
    }

    /// The longest step there was, in units: others wait for it.
    #[cfg(test)]
    pub(crate) fn longest(&self) -> usize {
        self.0.longest.get()
    }

    /// Notes that so many units have been done since the last call; gives way when it is time.
    pub async fn step(&self, units: usize) {
        let paced = &self.0;
        #[cfg(test)]
        paced.longest.set(paced.longest.get().max(units));
        if let Some(budget) = paced.budget.get() {
            paced.budget.set(budget.checked_sub(units));
            if paced.budget.get().is_none() {
                stop_once().await;
            }
            return;
        }
        let done = paced.done.get() + units;
        paced.done.set(if done < STEP_UNITS { done } else { 0 });
        if done >= STEP_UNITS {
            let give_way = paced.give_way.borrow().clone();
            if let Some(give_way) = give_way {
                give_way().await;
            }
        }
    }
}

/// Stops until the next time that it is polled, which is whoever takes the work over.
async fn stop_once() {
    let mut has_stopped = false;
    poll_fn(|_| match std::mem::replace(&mut has_stopped, true) {
        true => Poll::Ready(()),
        false => Poll::Pending,
    })
    .await;
}

/// Work that has begun.
pub enum Begun<T> {
    /// It is done.
    Done(T),
    /// It has come to the end of its budget.
    Stopped(Working<T>),
}

/// Work that goes on.
pub struct Working<T> {
    future: LocalBoxFuture<'static, T>,
    pace: Pace,
}

/// Begins with a piece of work, up to a budget in units.
pub fn begin<T: 'static, F>(budget: usize, work: impl FnOnce(Pace) -> F) -> Begun<T>
where
    F: Future<Output = T> + 'static,
{
    let pace = Pace::new(budget);
    let mut future: LocalBoxFuture<'static, T> = Box::pin(work(pace.clone()));
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => Begun::Done(done),
        Poll::Pending => Begun::Stopped(Working { future, pace }),
    }
}

impl<T> fmt::Debug for Working<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Working")
    }
}

impl<T: 'static> Working<T> {
    /// Goes on to the end, giving way by this.
    pub(super) async fn finish(self, give_way: impl Fn() -> LocalBoxFuture<'static, ()> + 'static) -> T {
        self.pace.give_way_by(give_way);
        self.future.await
    }

    /// The same work, with something made of what it comes to.
    pub fn map<U: 'static>(self, then: impl FnOnce(T) -> U + 'static) -> Working<U> {
        let Working { future, pace } = self;
        Working { future: Box::pin(async move { then(future.await) }), pace }
    }

    /// How far it is, for tests.
    #[cfg(test)]
    pub(crate) fn pace(&self) -> Pace {
        self.pace.clone()
    }

    /// All the rest at once, for tests.
    #[cfg(test)]
    pub(crate) fn finish_now(self) -> T {
        futures_util::FutureExt::now_or_never(self.future).expect("it gives way to nobody")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn count(pace: Pace, to: usize) -> usize {
        for _ in 0..to {
            pace.step(1).await;
        }
        to
    }

    #[test]
    fn what_is_small_is_done_at_once_and_what_is_not_gives_way() {
        assert!(matches!(begin(100, |pace| count(pace, 100)), Begun::Done(100)));
        let Begun::Stopped(working) = begin(100, |pace| count(pace, 100 + 3 * STEP_UNITS)) else {
            panic!("it is too much");
        };
        let given = Rc::new(Cell::new(0));
        let counted = given.clone();
        let finished = working.finish(move || {
            counted.set(counted.get() + 1);
            Box::pin(async {})
        });
        assert_eq!(futures_util::FutureExt::now_or_never(finished), Some(100 + 3 * STEP_UNITS));
        assert_eq!(given.get(), 2, "the first step over the budget does not count");
    }
}
