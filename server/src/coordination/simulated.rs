//! [`Partitions`] on a simulated machine: the shipping engine of a process that can be crashed at every
//! operation of its disk. And what plays with coordinators have in common: settings, topics, and trouble.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use fastrand::Rng;
use futures_channel::oneshot;
use strandline_engine::crash::{ORDINARY, Process, Settings};
use strandline_engine::error::{AppendError, TopicError};
use strandline_engine::sim::{Clock, SimDisk};
use strandline_engine::topics::{NewTopic, Topic, TopicSnapshot};
use strandline_engine::types::{Offset, PartitionId, ProducerId};
use strandline_engine::{Appended, Marker, Origin, Participation};

use super::partitions::{Partitions, RecordsError};
use super::topic::InternalTopic;

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

// ---- plays ------------------------------------------------------------------------------------------------

/// What goes wrong besides the end of the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Trouble {
    /// Writes and syncs fail now and then.
    pub(crate) errors: bool,
    /// The disk is full now and then.
    pub(crate) full: bool,
}

impl Trouble {
    /// Nothing goes wrong.
    pub(crate) const NONE: Trouble = Trouble { errors: false, full: false };

    /// Begins or ends; whether there is trouble from now on.
    pub(crate) fn strike(self, rng: &mut Rng, disk: &SimDisk) -> bool {
        if self.errors {
            let mut faults = ORDINARY;
            if rng.bool() {
                faults.write_error = 0.02 * rng.f64();
                faults.sync_error = 0.05 * rng.f64();
            }
            let is_bad = faults.write_error + faults.sync_error > 0.0;
            disk.set_faults(faults);
            return is_bad;
        }
        let room = rng.bool().then(|| rng.u64(..30_000));
        disk.set_capacity(room.map(|room| disk.used() + room));
        room.is_some()
    }

    /// Nothing goes wrong any more.
    pub(crate) fn end(disk: &SimDisk) {
        disk.set_faults(ORDINARY);
        disk.set_capacity(None);
    }
}

/// Settings of a process that differ from start to start.
pub(crate) fn some_settings(rng: &mut Rng) -> Settings {
    let mut settings = Settings::small(rng.usize(1..=2));
    settings.journal_file_bytes_max = 4096 * rng.u64(2..=6);
    settings.open_files_max = rng.usize(1..=8);
    settings.cleaner.backoff = Duration::from_millis(rng.u64(1..2000));
    let segment_bytes = rng.u64(600..6000).to_string();
    settings.topic_defaults.set_unchecked("segment.bytes", &segment_bytes);
    settings
}

/// An internal topic as in production, but with segments of the default size, and compacted all the time.
pub(crate) fn compacted(name: &'static str) -> InternalTopic {
    let configs = [
        ("cleanup.policy", "compact"),
        ("flush.messages", "1"),
        ("min.cleanable.dirty.ratio", "0"),
        ("delete.retention.ms", "3000"),
    ];
    let configs = configs.map(|(name, value)| (name.to_owned(), value.to_owned()));
    InternalTopic { name, partitions: 2, configs: configs.to_vec() }
}
