//! The coordinators of all shards, for the handlers of any: a request goes to the shard that has the key's
//! partition, and its answer comes back.

use std::sync::Arc;

use async_channel::{Receiver, Sender};
use futures_util::future::join_all;
use strandline_engine::Marker;
use strandline_engine::error::{AppendError, TopicError};
use strandline_engine::topics::Topic;
use strandline_engine::types::{LeaderEpoch, PartitionId};

use super::error::Unavailable;
use super::machine::{Machine, Outcome, Turn};
use super::partitions::Partitions;
use super::reply::{Pending, Reply};
use super::runtime::{LogStart, Runtime};
use super::task::{self, Mailbox, Request};
use super::topic::{InternalTopic, partition_of};

/// Requests that wait for a shard's task; a connection has one at a time.
const MAILBOX_MAX: usize = 1024;

/// The way to the coordinators of all shards.
pub struct Coordinators<M: Machine>(Arc<Shared<M>>);

struct Shared<M: Machine> {
    topic: InternalTopic,
    settings: M::Settings,
    mailboxes: Vec<Ends<M>>,
}

/// Both ends of a shard's mailbox.
type Ends<M> = (Sender<Request<M>>, Receiver<Request<M>>);

impl<M: Machine> Clone for Coordinators<M> {
    fn clone(&self) -> Coordinators<M> {
        Coordinators(self.0.clone())
    }
}

impl<M: Machine> Coordinators<M> {
    /// Coordinators for so many shards, whose state is in `topic`; [`Coordinators::run`] brings each to life.
    pub fn new(topic: InternalTopic, settings: M::Settings, shards: usize) -> Coordinators<M> {
        let mailboxes = (0..shards).map(|_| async_channel::bounded(MAILBOX_MAX)).collect();
        Coordinators(Arc::new(Shared { topic, settings, mailboxes }))
    }

    /// The internal topic, created when it does not exist yet.
    ///
    /// # Errors
    /// When it cannot be created.
    pub async fn topic(&self, partitions: &impl Partitions) -> Result<Arc<Topic>, TopicError> {
        if let Some(topic) = partitions.topics().by_name(self.0.topic.name) {
            return Ok(topic.clone());
        }
        let topic = self.0.topic.create(partitions).await?;
        let shards = self.0.mailboxes.len();
        let begun = (0..shards).map(|shard| {
            let own = own_partitions(&topic, shard, shards);
            self.ask_shard(shard, move |runtime, reply| {
                own.into_iter().for_each(|id| runtime.begin(id, LeaderEpoch::FIRST, LogStart::Empty));
                reply.send(());
            })
        });
        // A shard that could not be told finds out with the first request.
        join_all(begun).await;
        Ok(topic)
    }

    /// The partition that a key belongs to; the topic is created when it does not exist yet.
    ///
    /// # Errors
    /// When it cannot be created.
    pub async fn partition(
        &self,
        partitions: &impl Partitions,
        key: &str,
    ) -> Result<PartitionId, TopicError> {
        let topic = self.topic(partitions).await?;
        Ok(PartitionId::new(topic.id, partition_of(key, topic.partitions)))
    }

    // ---- asking -------------------------------------------------------------------------------------------

    /// Asks the machine of a key something that it knows the answer to.
    ///
    /// # Errors
    /// When the key has no coordinator at the moment.
    pub async fn ask<T: Send + 'static>(
        &self,
        partitions: &impl Partitions,
        key: &str,
        operation: impl FnOnce(&mut M, &mut Turn<'_, M>) -> T + Send + 'static,
    ) -> Result<T, Unavailable> {
        self.ask_owner(partitions, key, move |runtime, index, reply| {
            reply.settle(runtime.call(index, operation));
        })
        .await
    }

    /// Has the machine of a key change something; the answer comes when that is durable.
    ///
    /// # Errors
    /// When the key has no coordinator at the moment. That the change was not stored is for the answer to
    /// say.
    pub async fn change<T: Send + 'static>(
        &self,
        partitions: &impl Partitions,
        key: &str,
        operation: impl FnOnce(&mut M, &mut Turn<'_, M>) -> Outcome<M, T> + Send + 'static,
    ) -> Result<T, Unavailable> {
        self.ask_owner(partitions, key, move |runtime, index, reply| runtime.change(index, operation, reply))
            .await
    }

    /// Asks the machine of a key something that it answers when it is time.
    ///
    /// # Errors
    /// When the key has no coordinator at the moment, or loses it while the request waits.
    pub async fn wait<T: Send + 'static>(
        &self,
        partitions: &impl Partitions,
        key: &str,
        operation: impl FnOnce(&mut M, &mut Turn<'_, M>, Reply<T>) + Send + 'static,
    ) -> Result<T, Unavailable> {
        self.ask_owner(partitions, key, move |runtime, index, reply| runtime.wait(index, operation, reply))
            .await
    }

    /// Asks every machine; there is an error for each partition, or shard, that has no answer.
    pub async fn ask_all<T: Send + 'static>(
        &self,
        operation: impl Fn(&mut M, &mut Turn<'_, M>, Reply<T>) + Clone + Send + 'static,
    ) -> Vec<Result<T, Unavailable>> {
        let shards = (0..self.0.mailboxes.len()).map(async |shard| {
            let operation = operation.clone();
            let asked = self.ask_shard(shard, move |runtime, reply| {
                let asked = runtime.call_all(|machine, turn| {
                    let (reply, answer) = Reply::new();
                    operation(machine, turn, reply);
                    answer
                });
                reply.send(asked);
            });
            let answers = match asked.await {
                Ok(asked) => asked,
                Err(why) => vec![Err(why)],
            };
            join_all(answers.into_iter().map(async |answer| self.answer(shard, answer?).await)).await
        });
        join_all(shards).await.into_iter().flatten().collect()
    }

    /// Ends a producer's transaction in a partition of the topic: appends the marker behind what was written
    /// before, and is answered when it is durable and the machine goes by it. A transaction of which nothing
    /// is here ends as well.
    ///
    /// # Errors
    /// When the partition is not coordinated here at the moment; within, why the log has not taken the
    /// marker.
    pub async fn end_transaction(
        &self,
        partitions: &impl Partitions,
        partition: PartitionId,
        marker: Marker,
    ) -> Result<Result<(), AppendError>, Unavailable> {
        let topics = partitions.topics();
        let topic = topics.by_name(self.0.topic.name);
        if !topic.is_some_and(|topic| topic.id == partition.topic && partition.index < topic.partitions) {
            return Ok(Err(AppendError::UnknownPartition(partition)));
        }
        self.ask_partition(partition, partitions.shards(), move |runtime, index, reply| {
            runtime.end_transaction(index, marker, reply);
        })
        .await
    }

    async fn ask_owner<T: Send + 'static>(
        &self,
        partitions: &impl Partitions,
        key: &str,
        ask: impl FnOnce(&mut Runtime<M>, u32, Reply<T>) + Send + 'static,
    ) -> Result<T, Unavailable> {
        let topics = partitions.topics();
        let topic = topics.by_name(self.0.topic.name).ok_or(Unavailable::NotHere)?;
        let id = PartitionId::new(topic.id, partition_of(key, topic.partitions));
        self.ask_partition(id, partitions.shards(), ask).await
    }

    async fn ask_partition<T: Send + 'static>(
        &self,
        id: PartitionId,
        shards: usize,
        ask: impl FnOnce(&mut Runtime<M>, u32, Reply<T>) + Send + 'static,
    ) -> Result<T, Unavailable> {
        self.ask_shard(id.shard(shards), move |runtime, reply| {
            if !runtime.knows(id.index) {
                // Whoever created the topic has not told this shard yet.
                runtime.begin(id, LeaderEpoch::FIRST, LogStart::Unread);
            }
            ask(runtime, id.index, reply);
        })
        .await
    }

    async fn ask_shard<T: Send + 'static>(
        &self,
        shard: usize,
        ask: impl FnOnce(&mut Runtime<M>, Reply<T>) + Send + 'static,
    ) -> Result<T, Unavailable> {
        let (reply, answer) = Reply::new();
        let request: Request<M> = Box::new(move |runtime| ask(runtime, reply));
        // A closed mailbox drops the request and the reply in it.
        let _ = self.0.mailboxes[shard].0.send(request).await;
        self.answer(shard, answer).await
    }

    async fn answer<T>(&self, shard: usize, answer: Pending<T>) -> Result<T, Unavailable> {
        // The machine that had the reply has gone, or its whole shard.
        let gone = || match self.0.mailboxes[shard].0.is_closed() {
            true => Unavailable::Stopping,
            false => Unavailable::NotHere,
        };
        answer.await.unwrap_or_else(|_| Err(gone()))
    }

    // ---- leadership ---------------------------------------------------------------------------------------

    /// Coordinates a partition of the topic from this epoch on; its log is replayed first. Where it is
    /// coordinated in this epoch or a newer one already, nothing changes.
    pub async fn begin(&self, partition: PartitionId, epoch: LeaderEpoch) {
        self.lead(partition, move |runtime| runtime.begin(partition, epoch, LogStart::Unread)).await;
    }

    /// Lets go of a partition of the topic: another broker coordinates it from this epoch on. Whoever waits
    /// here is sent to look for it.
    pub async fn resign(&self, partition: PartitionId, epoch: LeaderEpoch) {
        self.lead(partition, move |runtime| runtime.resign(partition, epoch)).await;
    }

    async fn lead(&self, partition: PartitionId, change: impl FnOnce(&mut Runtime<M>) + Send + 'static) {
        let owner = partition.shard(self.0.mailboxes.len());
        let changed = self.ask_shard(owner, move |runtime, reply| {
            change(runtime);
            reply.send(());
        });
        // A shard that stops coordinates nothing.
        let _ = changed.await;
    }

    // ---- the task of a shard ------------------------------------------------------------------------------

    /// Keeps the machines of a shard, until it is dropped; whoever waits then is told that there is no
    /// coordinator.
    pub async fn run(self, partitions: impl Partitions) {
        let Shared { topic, settings, mailboxes } = &*self.0;
        let mailbox = Mailbox(mailboxes[partitions.index()].1.clone());
        let (clock, table) = (partitions.clock(), partitions.clone());
        let mut runtime = Runtime::new(settings.clone(), move || table.topics(), clock());
        if let Some(topic) = partitions.topics().by_name(topic.name) {
            for id in own_partitions(topic, partitions.index(), partitions.shards()) {
                runtime.begin(id, LeaderEpoch::FIRST, LogStart::Unread);
            }
        }
        task::run(partitions, mailbox, runtime, clock).await;
    }
}

fn own_partitions(topic: &Topic, shard: usize, shards: usize) -> Vec<PartitionId> {
    topic.partition_ids().filter(|id| id.shard(shards) == shard).collect()
}
