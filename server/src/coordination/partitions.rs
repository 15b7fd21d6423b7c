//! What the runtime needs of the world: partitions of a log that can be appended to and read, the topics that
//! there are, and time.
//!
//! [`Local`] implements it in production. The crash tests implement it with the same engine on a simulated
//! disk.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::{Bytes, BytesMut};
use strandline_engine::error::{AppendError, ReadError, TopicError};
use strandline_engine::io::is_shortage;
use strandline_engine::topics::{NewTopic, Topic, TopicSnapshot};
use strandline_engine::types::{Offset, PartitionId, ProducerId};
use strandline_engine::{Local, Marker, Origin, Participation, PendingAppend, ReadRequest, reactor};

/// The engine as a coordinator sees it, from one shard's thread.
#[allow(async_fn_in_trait, reason = "it stays on the shard's thread: no future of it is `Send`")]
pub trait Partitions: Clone + 'static {
    /// A batch on its way to the log.
    type Pending: 'static;

    /// The number of this shard.
    fn index(&self) -> usize;

    /// Number of shards.
    fn shards(&self) -> usize;

    /// All topics at this moment.
    fn topics(&self) -> TopicSnapshot;

    /// Creates a topic, durably.
    async fn create_topic(&self, new: NewTopic) -> Result<Arc<Topic>, TopicError>;

    /// A producer id that nobody has.
    async fn allocate_producer_id(&self) -> Result<ProducerId, TopicError>;

    /// Hands a record batch over, after those that were handed over before.
    async fn append(&self, partition: PartitionId, batch: BytesMut) -> Result<Self::Pending, AppendError>;

    /// As [`Partitions::append`], with a batch of a producer's transaction, which was found to be `verified`:
    /// its epoch is looked at, its sequence is not.
    async fn append_transactional(
        &self,
        partition: PartitionId,
        batch: BytesMut,
        verified: Option<Participation>,
    ) -> Result<Self::Pending, AppendError>;

    /// Hands over the marker that ends a transaction, after the batches that were handed over before.
    async fn end_transaction(
        &self,
        partition: PartitionId,
        marker: Marker,
    ) -> Result<Self::Pending, AppendError>;

    /// Waits until the batch or the marker is durable; where its first record stands.
    fn settled(pending: Self::Pending) -> impl Future<Output = Result<Offset, AppendError>> + 'static;

    /// Whole record batches from the one on that holds `offset`: some `bytes_max`, or one larger batch.
    /// Nothing where the log ends.
    async fn read(
        &self,
        partition: PartitionId,
        offset: Offset,
        bytes_max: u64,
    ) -> Result<Bytes, RecordsError>;

    /// A clock in milliseconds since 1970 that never goes back.
    fn clock(&self) -> impl Fn() -> i64 + 'static;

    /// Returns after some time.
    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + 'static;

    /// Gives way to the other tasks of the thread when this one has run for a while.
    async fn yield_if_needed(&self);
}

/// Why record batches could not be read.
#[derive(Debug, thiserror::Error)]
pub enum RecordsError {
    /// The engine does not give them.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Reading the file failed.
    #[error("reading records failed: {0}")]
    Io(#[from] io::Error),
}

impl RecordsError {
    /// Whether the system was short of something that comes back.
    pub(crate) fn is_shortage(&self) -> bool {
        match self {
            RecordsError::Read(ReadError::Faulty { fault, .. }) => fault.is_shortage(),
            RecordsError::Read(_) => false,
            RecordsError::Io(error) => is_shortage(error),
        }
    }

    /// Whether records are missing that may come back: the newest ones of a key may be among them.
    pub(super) fn is_incomplete(&self) -> bool {
        matches!(self, RecordsError::Read(ReadError::Incomplete { .. }))
    }
}

impl Partitions for Local {
    type Pending = PendingAppend;

    fn index(&self) -> usize {
        Local::index(self)
    }

    fn shards(&self) -> usize {
        Local::shards(self)
    }

    fn topics(&self) -> TopicSnapshot {
        Local::topics(self)
    }

    async fn create_topic(&self, new: NewTopic) -> Result<Arc<Topic>, TopicError> {
        self.handle().create_topic(new).await
    }

    async fn allocate_producer_id(&self) -> Result<ProducerId, TopicError> {
        self.handle().allocate_producer_id().await
    }

    async fn append(&self, partition: PartitionId, batch: BytesMut) -> Result<PendingAppend, AppendError> {
        Local::append(self, partition, batch).await
    }

    async fn append_transactional(
        &self,
        partition: PartitionId,
        batch: BytesMut,
        verified: Option<Participation>,
    ) -> Result<PendingAppend, AppendError> {
        Local::append_as(self, partition, batch, Origin::Coordinator(verified)).await
    }

    async fn end_transaction(
        &self,
        partition: PartitionId,
        marker: Marker,
    ) -> Result<PendingAppend, AppendError> {
        Ok(Local::end_transaction(self, partition, marker).await)
    }

    async fn settled(pending: PendingAppend) -> Result<Offset, AppendError> {
        pending.settled().await.map(|appended| appended.base_offset)
    }

    async fn read(
        &self,
        partition: PartitionId,
        offset: Offset,
        bytes_max: u64,
    ) -> Result<Bytes, RecordsError> {
        let request = ReadRequest::new(partition, offset, bytes_max);
        let found = Local::read(self, &[request]).await.pop().expect("one answer to one request")?;
        match found.batches {
            Some(range) => Ok(self.copy(&range).await?),
            None => Ok(Bytes::new()),
        }
    }

    /// The wall clock at the start, and from then on the monotonic one: no session ends because somebody sets
    /// the clock.
    fn clock(&self) -> impl Fn() -> i64 + 'static {
        let (started, since) = (Instant::now(), SystemTime::now().duration_since(UNIX_EPOCH));
        let wall_ms = since.map_or(0, |since| since.as_millis() as i64);
        move || wall_ms + started.elapsed().as_millis() as i64
    }

    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + 'static {
        reactor::sleep(duration)
    }

    async fn yield_if_needed(&self) {
        reactor::yield_if_needed().await;
    }
}
