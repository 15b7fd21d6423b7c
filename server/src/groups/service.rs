//! The coordinators of all shards, for the handlers of any: each request goes to the shard that has the group, and its answer comes back.
//!
//! Each shard runs one task ([`Groups::run`]) with the state of its groups ([`Coordinator`]). A request is a function on it, handed over by
//! a bounded channel; it never waits there, so that no group holds up another.

use std::collections::HashMap;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use async_channel::{Receiver, Sender};
use futures_channel::oneshot;
use futures_util::future::{LocalBoxFuture, join_all};
use futures_util::stream::{FuturesUnordered, StreamExt};
use futures_util::{FutureExt, select_biased};
use strandline_engine::error::{AppendError, ReadError, TopicError};
use strandline_engine::topics::Topic;
use strandline_engine::types::PartitionId;
use strandline_engine::{Local, PendingAppend, reactor};

use super::coordinator::{Append, Coordinator, CoordinatorSettings, GroupReport, Listed, Reply};
use super::load::{self, LoadError, Loaded};
use super::topic::{self, OFFSETS_TOPIC};
use crate::wire::ErrorCode;

/// Requests that wait for a shard's task; a connection has one at a time.
const MAILBOX_MAX: usize = 1024;

type Request = Box<dyn FnOnce(&mut Coordinator) + Send>;

/// The way to the coordinators of all shards.
#[derive(Clone)]
pub struct Groups(Arc<Shared>);

struct Shared {
    settings: CoordinatorSettings,
    mailboxes: Vec<(Sender<Request>, Receiver<Request>)>,
}

/// Something that a shard's task waited for.
enum Event {
    Settled {
        partition: u32,
        write: u64,
        result: Result<(), AppendError>,
    },
    Loaded {
        partition: u32,
        result: Result<HashMap<String, Loaded>, LoadError>,
    },
    /// It is time to read a partition again that lacked records.
    LoadAgain {
        partition: PartitionId,
    },
}

impl Groups {
    /// Coordinators for so many shards; [`Groups::run`] brings each to life.
    pub fn new(settings: CoordinatorSettings, shards: usize) -> Groups {
        let mailboxes = (0..shards).map(|_| async_channel::bounded(MAILBOX_MAX)).collect();
        Groups(Arc::new(Shared { settings, mailboxes }))
    }

    // ---- asking ----------------------------------------------------------------------------------------------------------

    /// The internal topic, made when it is not there yet.
    ///
    /// # Errors
    /// When it can not be made.
    pub async fn topic(&self, shard: &Local) -> Result<Arc<Topic>, TopicError> {
        if let Some(topic) = shard.topics().by_name(OFFSETS_TOPIC) {
            return Ok(topic.clone());
        }
        let topic = topic::create(shard, self.0.settings.topic_partitions).await?;
        let begun = self.ask_all(|| {
            let topic = topic.clone();
            move |coordinator, reply: Reply<()>| {
                coordinator.begin(&topic);
                let _ = reply.send(Ok(()));
            }
        });
        // Who could not be told finds out by itself.
        let _ = begun.await;
        Ok(topic)
    }

    /// Asks the coordinator of a group; `ask` is given the group's partition.
    ///
    /// # Errors
    /// What `ask` answers; that there is no coordinator, or that it stops.
    pub async fn ask<T: Send + 'static>(
        &self,
        shard: &Local,
        group: String,
        ask: impl FnOnce(&mut Coordinator, u32, String, Reply<T>) + Send + 'static,
    ) -> Result<T, ErrorCode> {
        let topics = shard.topics();
        let topic = topics.by_name(OFFSETS_TOPIC).ok_or(ErrorCode::NotCoordinator)?;
        let index = topic::partition_of(&group, topic.partitions);
        let owner = PartitionId::new(topic.id, index).shard(shard.shards());
        self.ask_shard(owner, move |coordinator, reply| ask(coordinator, index, group, reply)).await
    }

    /// All groups there are.
    ///
    /// # Errors
    /// When a shard can not tell, such as while it loads.
    pub async fn list(&self) -> Result<Vec<Listed>, ErrorCode> {
        let lists = self.ask_all(|| |coordinator: &mut Coordinator, reply| coordinator.list(reply)).await?;
        Ok(lists.into_iter().flatten().collect())
    }

    /// How many groups there are.
    ///
    /// # Errors
    /// When a shard stops.
    pub async fn count(&self) -> Result<usize, ErrorCode> {
        let counts = self.ask_all(|| |coordinator: &mut Coordinator, reply| coordinator.count(reply)).await?;
        Ok(counts.into_iter().sum())
    }

    /// What all groups are, have and have committed.
    ///
    /// # Errors
    /// When a shard stops.
    pub async fn reports(&self) -> Result<Vec<GroupReport>, ErrorCode> {
        let reports =
            self.ask_all(|| |coordinator: &mut Coordinator, reply| coordinator.report(reply)).await?;
        Ok(reports.into_iter().flatten().collect())
    }

    /// Lets go of the offsets of topics that were deleted.
    pub async fn forget_deleted_topics(&self) {
        let forget = || |coordinator: &mut Coordinator, reply| coordinator.forget_deleted_topics(reply);
        // A shard that stops does it when it starts again.
        let _ = self.ask_all(forget).await;
    }

    async fn ask_all<T, F>(&self, ask: impl Fn() -> F) -> Result<Vec<T>, ErrorCode>
    where
        T: Send + 'static,
        F: FnOnce(&mut Coordinator, Reply<T>) + Send + 'static,
    {
        let asks = (0..self.0.mailboxes.len()).map(|shard| self.ask_shard(shard, ask()));
        join_all(asks).await.into_iter().collect()
    }

    async fn ask_shard<T: Send + 'static>(
        &self,
        shard: usize,
        ask: impl FnOnce(&mut Coordinator, Reply<T>) + Send + 'static,
    ) -> Result<T, ErrorCode> {
        let (reply, answer) = oneshot::channel();
        let request: Request = Box::new(move |coordinator| ask(coordinator, reply));
        // A closed mailbox drops the request and the reply in it.
        let _ = self.0.mailboxes[shard].0.send(request).await;
        answer.await.unwrap_or(Err(ErrorCode::CoordinatorNotAvailable))
    }

    // ---- the task of a shard ---------------------------------------------------------------------------------------------

    /// Keeps the groups of a shard, until it is dropped; whoever waits then is told that there is no coordinator.
    pub(crate) async fn run(self, shard: Local) {
        let mailbox = Mailbox(self.0.mailboxes[shard.index()].1.clone());
        let clock = Clock::start();
        let mut coordinator = Coordinator::new(shard.clone(), self.0.settings.clone(), clock.now());
        let mut events: FuturesUnordered<LocalBoxFuture<'static, Event>> = FuturesUnordered::new();
        let (mut is_loading, mut loading) = (false, None);
        loop {
            while let Some(append) = coordinator.next_append() {
                events.push(Box::pin(hand_over(&shard, append).await));
            }
            if !is_loading && let Some(partition) = coordinator.next_load() {
                is_loading = true;
                let shard = shard.clone();
                events.push(Box::pin(async move {
                    let mut result = load::load(&shard, partition).await;
                    while let Err(error) = &result
                        && error.is_shortage()
                    {
                        tracing::warn!(%partition, %error, "groups are loaded a little later");
                        reactor::sleep(LOAD_PAUSE).await;
                        result = load::load(&shard, partition).await;
                    }
                    Event::Loaded { partition: partition.index, result }
                }));
                loading = Some(partition);
            }
            let pause = coordinator.wake_at().saturating_sub(clock.now()).clamp(0, PAUSE_MAX_MS);
            let mut pause = pin!(reactor::sleep(Duration::from_millis(pause as u64)).fuse());
            let mut request = pin!(mailbox.0.recv().fuse());
            let happened = select_biased! {
                event = events.select_next_some() => Some(Ok(event)),
                request = request => request.ok().map(Err),
                _ = pause => None,
            };
            coordinator.tick(clock.now());
            match happened {
                Some(Ok(Event::Settled { partition, write, result })) => {
                    coordinator.settled(partition, write, result);
                }
                Some(Ok(Event::Loaded { partition, result })) => {
                    is_loading = false;
                    // Its offsets may be among what is missing: nobody is told of older ones, and clients wait until it is back.
                    let is_incomplete = matches!(&result, Err(LoadError::Read(ReadError::Incomplete { .. })));
                    if let (true, Some(partition)) = (is_incomplete, loading.take()) {
                        tracing::debug!(%partition, "the groups of a partition wait for records that are missing");
                        events.push(Box::pin(async move {
                            reactor::sleep(LOAD_AGAIN_AFTER).await;
                            Event::LoadAgain { partition }
                        }));
                    } else {
                        coordinator.loaded(partition, result);
                    }
                }
                Some(Ok(Event::LoadAgain { partition })) => coordinator.load_again(partition),
                Some(Err(request)) => request(&mut coordinator),
                None => {}
            }
            reactor::yield_if_needed().await;
        }
    }
}

/// How long to wait when the system was too short of something for a partition's groups to be loaded.
const LOAD_PAUSE: Duration = Duration::from_secs(1);
/// How long a partition waits that lacked records when its groups were loaded.
const LOAD_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// The longest that a shard's task sleeps, in milliseconds: a timer need not hold centuries.
const PAUSE_MAX_MS: i64 = 60 * 60 * 1000;

/// A shard's mailbox. Dropped, it takes no more requests, and drops those that wait in it with their replies.
struct Mailbox(Receiver<Request>);

impl Drop for Mailbox {
    fn drop(&mut self) {
        self.0.close();
        while self.0.try_recv().is_ok() {}
    }
}

/// Appends in order; the future that comes back waits until all of it is durable.
async fn hand_over(shard: &Local, append: Append) -> impl Future<Output = Event> + use<> {
    let Append { partition, write, batches } = append;
    let mut pending: Vec<Result<PendingAppend, AppendError>> = Vec::with_capacity(batches.len());
    for batch in batches {
        pending.push(shard.append(partition, batch).await);
    }
    async move {
        let mut result = Ok(());
        for pending in pending {
            let settled = match pending {
                Ok(pending) => pending.settled().await.map(|_| ()),
                Err(error) => Err(error),
            };
            result = result.and(settled);
        }
        Event::Settled { partition: partition.index, write, result }
    }
}

/// The wall clock at the start, and from then on the monotonic one: no session ends because somebody sets the clock.
struct Clock {
    started: Instant,
    wall_ms: i64,
}

impl Clock {
    fn start() -> Clock {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        Clock { started: Instant::now(), wall_ms: since.map_or(0, |since| since.as_millis() as i64) }
    }

    fn now(&self) -> i64 {
        self.wall_ms + self.started.elapsed().as_millis() as i64
    }
}
