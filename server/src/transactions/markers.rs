//! Writes the markers of transactions that have ended: one control batch in each partition that a transaction
//! has written to, then the record that says that all are written.
//!
//! ```text
//! coordinator > Marking > each partition: Partitions::end_transaction, or Groups::end_transaction
//!                           |  all written, or gone           |  not for the moment
//!                           v                                 v
//!                         complete > the coordinator        again, after a pause that grows
//! ```
//!
//! There is a task on each shard, and all take from one queue: markers go wherever they are to go, and none
//! is bound to a shard. What can be written later is tried for as long as the process lives, and by the next
//! one again: until then a transaction is neither complete nor visible (D10). A partition whose topic was
//! deleted has nothing left to tell. One that has seen a newer epoch of the producer is told nothing more:
//! what was open in it has been ended by that. One that has seen a newer coordinator may have the transaction
//! open still: it is not complete until the marker is written, by this coordinator or by that one.

use std::time::Duration;

use async_channel::Receiver;
use futures_util::future::{LocalBoxFuture, join_all};
use futures_util::stream::{FuturesUnordered, StreamExt};
use futures_util::{FutureExt, select_biased};
use strandline_engine::Marker;
use strandline_engine::error::AppendError;
use strandline_engine::types::PartitionId;

use super::coordinator::{Marking, TransactionCoordinator};
use super::transaction::ByTopic;
use crate::coordination::{Coordinators, Partitions};
use crate::groups::{Groups, OFFSETS_TOPIC};

/// Transactions of a shard whose markers are written at a time.
const AT_ONCE_MAX: usize = 64;

/// Markers of one transaction that are under way at a time.
const MARKERS_AT_ONCE: usize = 128;

/// Pauses before what could not be written is tried again: the first, and the longest.
const PAUSE: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// The markers that are still to be written for a transaction.
struct Job {
    marking: Marking,
    /// Before it is tried again.
    pause: Duration,
}

/// What a task of a shard needs.
pub(super) struct Writer<P> {
    pub(super) coordinators: Coordinators<TransactionCoordinator>,
    pub(super) partitions: P,
    pub(super) groups: Groups,
}

type UnderWay<'a> = FuturesUnordered<LocalBoxFuture<'a, Option<Job>>>;

impl<P: Partitions> Writer<P> {
    /// Writes markers, until it is dropped.
    pub(super) async fn run(self, markings: Receiver<Marking>) {
        let (mut writing, mut pausing) = (UnderWay::new(), UnderWay::new());
        loop {
            let mut next = match writing.len() < AT_ONCE_MAX {
                true => markings.recv().boxed_local().fuse(),
                false => futures_util::future::pending().boxed_local().fuse(),
            };
            let job = select_biased! {
                left = writing.select_next_some() => {
                    pausing.extend(left.map(|job| self.pause(job)));
                    continue;
                }
                job = pausing.select_next_some() => job,
                marking = next => marking.ok().map(|marking| Job { marking, pause: PAUSE }),
            };
            match job {
                Some(job) => writing.push(self.write(job).boxed_local()),
                None => return,
            }
        }
    }

    /// Gives the job back when it is time to try again.
    fn pause(&self, job: Job) -> LocalBoxFuture<'static, Option<Job>> {
        let paused = self.partitions.sleep(job.pause);
        paused.map(move |()| Some(Job { pause: PAUSE_MAX.min(2 * job.pause), ..job })).boxed_local()
    }

    /// Writes what is left of a transaction's markers, and that all are written; what is left then.
    async fn write(&self, mut job: Job) -> Option<Job> {
        let partitions = std::mem::take(&mut job.marking.partitions);
        let all: Vec<(&str, i32)> = partitions
            .iter()
            .flat_map(|(topic, indexes)| indexes.iter().map(move |index| (topic.as_str(), *index)))
            .collect();
        let mut left = ByTopic::new();
        for some in all.chunks(MARKERS_AT_ONCE) {
            let marked = some.iter().map(|(topic, index)| self.mark(&job.marking, topic, *index));
            for ((topic, index), is_done) in some.iter().zip(join_all(marked).await) {
                if !is_done {
                    left.entry((*topic).to_owned()).or_default().insert(*index);
                }
            }
            self.partitions.yield_if_needed().await;
        }
        let is_complete = left.is_empty() && self.complete(&job.marking).await;
        job.marking.partitions = left;
        (!is_complete).then_some(job)
    }

    /// Writes a marker; false when it is to be tried again.
    async fn mark(&self, marking: &Marking, topic: &str, index: i32) -> bool {
        let topics = self.partitions.topics();
        let found = topics.by_name(topic).and_then(|found| found.partition(index));
        let Some(partition) = found else { return true };
        let marker = Marker {
            producer: marking.producer,
            coordinator_epoch: marking.coordinator_epoch.0,
            result: marking.result,
            bumped: marking.is_bumped,
        };
        match self.append(topic, partition, marker).await {
            Ok(()) | Err(AppendError::UnknownPartition(_)) => true,
            Err(error @ AppendError::StaleProducerEpoch { .. }) => {
                let id = &marking.id;
                tracing::warn!(transactional_id = id, %partition, %error, "a marker is not written");
                true
            }
            Err(error @ AppendError::CoordinatorFenced { .. }) => {
                let id = &marking.id;
                tracing::warn!(transactional_id = id, %partition, %error, "a marker cannot be written");
                false
            }
            Err(error) => {
                let id = &marking.id;
                tracing::debug!(transactional_id = id, %partition, %error, "a marker is written later");
                false
            }
        }
    }

    async fn append(&self, topic: &str, partition: PartitionId, marker: Marker) -> Result<(), AppendError> {
        if topic == OFFSETS_TOPIC {
            let ended = self.groups.end_transaction(&self.partitions, partition, marker).await;
            // Its coordinator will be there again.
            return ended.unwrap_or(Err(AppendError::Stopping));
        }
        let pending = self.partitions.end_transaction(partition, marker).await?;
        P::settled(pending).await.map(drop)
    }

    /// Says that all markers are written; false when it is to be tried again.
    async fn complete(&self, marking: &Marking) -> bool {
        let (id, producer) = (marking.id.clone(), marking.producer);
        let completed = self.coordinators.change(&self.partitions, &marking.id, move |machine, turn| {
            machine.complete(turn, &id, producer)
        });
        // A coordinator that is not here hands over again when it begins.
        !matches!(completed.await, Ok(Err(_)))
    }
}
