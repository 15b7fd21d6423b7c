//! The task of one shard: takes requests out of the mailbox, appends what machines want to be written, brings
//! back what settled, replays logs, and keeps the time. It never waits for one partition, so that no key
//! holds up another.

use std::pin::pin;
use std::time::Duration;

use async_channel::Receiver;
use futures_util::future::LocalBoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use futures_util::{FutureExt, select_biased};

use super::content::Content;
use super::load::{LoadError, load};
use super::machine::{Finish, Machine};
use super::partitions::Partitions;
use super::runtime::{Append, Load, Runtime, Settled, Task, Term};

/// How long a replay waits when the system was too short of something for it.
const LOAD_PAUSE: Duration = Duration::from_secs(1);
/// How long a partition waits that lacked records when it was replayed.
const LOAD_AGAIN_AFTER: Duration = Duration::from_secs(1);
/// The longest that the task sleeps, in milliseconds: a timer need not hold centuries.
const PAUSE_MAX_MS: i64 = 60 * 60 * 1000;

/// What other shards and handlers ask: a function on the runtime.
pub(super) type Request<M> = Box<dyn FnOnce(&mut Runtime<M>) + Send>;

/// A shard's mailbox. Dropped, it takes no more requests, and drops those that wait in it with their replies.
pub(super) struct Mailbox<M: Machine>(pub(super) Receiver<Request<M>>);

impl<M: Machine> Drop for Mailbox<M> {
    fn drop(&mut self) {
        self.0.close();
        while self.0.try_recv().is_ok() {}
    }
}

/// Something that the task waited for.
enum Event<M: Machine> {
    Settled {
        index: u32,
        term: Term,
        write: u64,
        settled: Settled,
    },
    Loaded {
        load: Load,
        result: Result<M, LoadError>,
    },
    Worked {
        index: u32,
        term: Term,
        finish: Finish<M>,
    },
    /// It is time to replay a partition again that lacked records.
    LoadAgain {
        load: Load,
    },
}

type Events<M> = FuturesUnordered<LocalBoxFuture<'static, Event<M>>>;

/// Runs until it is dropped; whoever waits then is told that there is no coordinator.
pub(super) async fn run<M: Machine, P: Partitions>(
    partitions: P,
    mailbox: Mailbox<M>,
    mut runtime: Runtime<M>,
    clock: impl Fn() -> i64,
) {
    let mut events: Events<M> = FuturesUnordered::new();
    let mut is_loading = false;
    loop {
        while let Some(append) = runtime.next_append() {
            events.push(hand_over(&partitions, append).await);
        }
        if !is_loading && let Some(load) = runtime.next_load() {
            is_loading = true;
            events.push(replay(partitions.clone(), load, runtime.settings().clone()));
        }
        while let Some(task) = runtime.next_work() {
            events.push(go_on(&partitions, task));
        }
        let pause = runtime.wake_at().saturating_sub(clock()).clamp(0, PAUSE_MAX_MS);
        let mut pause = pin!(partitions.sleep(Duration::from_millis(pause as u64)).fuse());
        let mut request = pin!(mailbox.0.recv().fuse());
        let happened = select_biased! {
            event = events.select_next_some() => Some(Ok(event)),
            request = request => request.ok().map(Err),
            _ = pause => None,
        };
        runtime.tick(clock());
        match happened {
            Some(Ok(Event::Settled { index, term, write, settled })) => {
                runtime.settled(index, term, write, settled);
            }
            Some(Ok(Event::Loaded { load, result })) => {
                is_loading = false;
                match result {
                    // The newest records of some keys may be missing: nobody is told of older ones, and
                    // clients wait.
                    Err(error) if error.is_incomplete() => {
                        tracing::debug!(partition = %load.partition, "a coordinator waits for records that are missing");
                        let again = partitions.sleep(LOAD_AGAIN_AFTER);
                        events.push(Box::pin(again.map(move |()| Event::LoadAgain { load })));
                    }
                    result => runtime.loaded(load, result),
                }
            }
            Some(Ok(Event::Worked { index, term, finish })) => runtime.worked(index, term, finish),
            Some(Ok(Event::LoadAgain { load })) => runtime.load_again(load),
            Some(Err(request)) => request(&mut runtime),
            None => {}
        }
        partitions.yield_if_needed().await;
    }
}

/// Appends in order; the future that comes back waits until all of it is durable.
async fn hand_over<M: Machine, P: Partitions>(
    partitions: &P,
    append: Append,
) -> LocalBoxFuture<'static, Event<M>> {
    let Append { partition, term, write, content } = append;
    let mut pending = Vec::new();
    match content {
        Content::Batches(batches) => {
            for batch in batches {
                pending.push(partitions.append(partition, batch).await);
            }
        }
        Content::Transactional(batches, verified) => {
            for batch in batches {
                pending.push(partitions.append_transactional(partition, batch, verified).await);
            }
        }
        Content::Marker(marker) => pending.push(partitions.end_transaction(partition, marker).await),
    }
    Box::pin(async move {
        let mut settled = Vec::with_capacity(pending.len());
        for pending in pending {
            settled.push(match pending {
                Ok(pending) => P::settled(pending).await,
                Err(error) => Err(error),
            });
        }
        Event::Settled { index: partition.index, term, write, settled }
    })
}

/// Has work go on to its end, in slices.
fn go_on<M: Machine>(partitions: &impl Partitions, task: Task<M>) -> LocalBoxFuture<'static, Event<M>> {
    let Task { index, term, work } = task;
    let partitions = partitions.clone();
    let finish = work.finish(move || {
        let partitions = partitions.clone();
        Box::pin(async move { partitions.yield_if_needed().await })
    });
    Box::pin(finish.map(move |finish| Event::Worked { index, term, finish }))
}

/// Replays a log, and tries again as long as the system is short of something.
fn replay<M: Machine, P: Partitions>(
    partitions: P,
    wanted: Load,
    settings: M::Settings,
) -> LocalBoxFuture<'static, Event<M>> {
    Box::pin(async move {
        loop {
            let result = load(&partitions, wanted.partition, &settings).await;
            match &result {
                Err(error) if error.is_shortage() => {
                    tracing::warn!(partition = %wanted.partition, %error, "a coordinator is loaded a little later");
                    partitions.sleep(LOAD_PAUSE).await;
                }
                _ => return Event::Loaded { load: wanted, result },
            }
        }
    })
}
