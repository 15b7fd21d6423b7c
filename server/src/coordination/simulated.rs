//! [`Partitions`] on a simulated machine: the shipping engine of a process that can be crashed at every
//! operation of its disk.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_channel::oneshot;
use strandline_engine::crash::Process;
use strandline_engine::error::{AppendError, TopicError};
use strandline_engine::sim::Clock;
use strandline_engine::topics::{NewTopic, Topic, TopicSnapshot};
use strandline_engine::types::{Offset, PartitionId, ProducerId};
use strandline_engine::{Appended, Marker, Origin, Participation};

use super::partitions::{Partitions, RecordsError};

/// So small that a log takes several reads.
const READ_BYTES_MAX: u64 = 1000;

/// One shard of a process.
#[derive(Clone)]
pub(crate) struct Simulated {
    process: Process,
    index: usize,
    clock: Clock,
    timers: Timers,
}

/// What sleeps until the clock is moved.
#[derive(Clone, Default)]
pub(crate) struct Timers(Rc<RefCell<Vec<Sleeper>>>);

/// Until when, and whom to wake.
type Sleeper = (i64, oneshot::Sender<()>);

impl Timers {
    /// Wakes what is due.
    pub(crate) fn tick(&self, now: i64) {
        let mut sleeping = self.0.borrow_mut();
        sleeping.retain(|(_, sleeper)| !sleeper.is_canceled());
        for (_, sleeper) in sleeping.extract_if(.., |(at, _)| *at <= now) {
            let _ = sleeper.send(());
        }
    }
}

impl Simulated {
    /// Every shard of the process.
    pub(crate) fn shards(process: &Process, clock: &Clock, timers: &Timers) -> Vec<Simulated> {
        let shard = |index| Simulated {
            process: process.clone(),
            index,
            clock: clock.clone(),
            timers: timers.clone(),
        };
        (0..process.shards()).map(shard).collect()
    }
}

impl Partitions for Simulated {
    type Pending = oneshot::Receiver<Result<Appended, AppendError>>;

    fn index(&self) -> usize {
        self.index
    }

    fn shards(&self) -> usize {
        self.process.shards()
    }

    fn topics(&self) -> TopicSnapshot {
        Rc::new(self.process.topics())
    }

    async fn create_topic(&self, new: NewTopic) -> Result<Arc<Topic>, TopicError> {
        self.process.create_topic(new).await.await.unwrap_or(Err(TopicError::Stopping))
    }

    async fn allocate_producer_id(&self) -> Result<ProducerId, TopicError> {
        self.process.allocate_producer_id().await.await.unwrap_or(Err(TopicError::Stopping))
    }

    async fn append(&self, partition: PartitionId, batch: BytesMut) -> Result<Self::Pending, AppendError> {
        self.process.append(partition, batch, self.clock.timestamp()).await
    }

    async fn append_transactional(
        &self,
        partition: PartitionId,
        batch: BytesMut,
        verified: Option<Participation>,
    ) -> Result<Self::Pending, AppendError> {
        let origin = Origin::Coordinator(verified);
        self.process.append_as(partition, batch, origin, self.clock.timestamp()).await
    }

    async fn end_transaction(
        &self,
        partition: PartitionId,
        marker: Marker,
    ) -> Result<Self::Pending, AppendError> {
        Ok(self.process.end_transaction(partition, marker).await)
    }

    async fn settled(pending: Self::Pending) -> Result<Offset, AppendError> {
        let appended = pending.await.unwrap_or(Err(AppendError::Stopping))?;
        Ok(appended.base_offset)
    }

    async fn read(
        &self,
        partition: PartitionId,
        offset: Offset,
        bytes_max: u64,
    ) -> Result<Bytes, RecordsError> {
        Ok(self.process.read_batches(partition, offset, bytes_max.min(READ_BYTES_MAX)).await?)
    }

    fn clock(&self) -> impl Fn() -> i64 + 'static {
        let clock = self.clock.clone();
        move || clock.timestamp().0
    }

    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + 'static {
        let (sleeper, woken) = oneshot::channel();
        if !duration.is_zero() {
            let until = self.clock.timestamp().0 + duration.as_millis() as i64;
            self.timers.0.borrow_mut().push((until, sleeper));
        }
        // Dropped or told: it is over.
        async move {
            let _ = woken.await;
        }
    }

    async fn yield_if_needed(&self) {}
}
