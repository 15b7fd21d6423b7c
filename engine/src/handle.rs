//! The engine for threads of other runtimes: `Send`, `Clone`, and every call is a message to the shard that
//! owns the partition.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use async_channel::Sender;
use bytes::{Bytes, BytesMut};
use futures_channel::oneshot;
use futures_util::future::join_all;

use crate::config::{ConfigError, DynamicSettings, InForce};
use crate::error::{AppendError, DeleteRecordsError, ReadError, TopicError, TruncateError};
use crate::format::batch::Producer;
use crate::format::check::{self, CheckRules};
use crate::format::marker::Marker;
use crate::format::meta::Meta;
use crate::io::{Disk, DiskFile as File};
use crate::log::{ActiveProducer, FileRange, OffsetAndTimestamp, Origin, Participation};
use crate::message::{Appended, Appending, CatalogMessage, DeleteBefore, Message, OffsetQuery, ReadRequest};
use crate::partition::{ReadResult, Reader};
use crate::reactor::EngineDisk;
use crate::stats::{ShardReport, ShardStats};
use crate::sync::Published;
use crate::topics::{ConfigChange, NewTopic, Topic, TopicDelta, TopicTable};
use crate::types::{EpochEnd, LeaderEpoch, Offset, PartitionId, ProducerId, Timestamp, TopicId};

type EngineFile = <EngineDisk as Disk>::File;

/// The shard that keeps the topic table.
const CATALOG_SHARD: usize = 0;

/// The engine, for any thread.
#[derive(Clone)]
pub struct Handle(Arc<Shared>);

pub(crate) struct Shared {
    pub(crate) meta: Meta,
    pub(crate) topics: Arc<Published<TopicTable>>,
    pub(crate) settings: Arc<Published<InForce>>,
    pub(crate) mailboxes: Vec<Sender<Message<EngineFile>>>,
}

/// A batch on its way: the answer comes when it is durable.
#[must_use = "the batch is acknowledged by awaiting this"]
pub struct PendingAppend(oneshot::Receiver<Result<Appended, AppendError>>);

impl PendingAppend {
    pub(crate) fn new(answer: oneshot::Receiver<Result<Appended, AppendError>>) -> PendingAppend {
        PendingAppend(answer)
    }

    /// Waits until the batch is durable (or as durable as its topic wants it). Dropping the future does not
    /// undo the append.
    pub async fn settled(self) -> Result<Appended, AppendError> {
        self.0.await.unwrap_or(Err(AppendError::Stopping))
    }
}

impl Handle {
    pub(crate) fn new(shared: Shared) -> Handle {
        Handle(Arc::new(shared))
    }

    /// Number of shards.
    pub fn shards(&self) -> usize {
        self.0.mailboxes.len()
    }

    /// The identity of the data directory.
    pub fn meta(&self) -> Meta {
        self.0.meta
    }

    /// All topics at this moment.
    pub fn topics(&self) -> Arc<TopicTable> {
        self.0.topics.get()
    }

    /// The settings in force that may change while the engine runs, at this moment.
    pub fn settings(&self) -> Arc<InForce> {
        self.0.settings.get()
    }

    pub(crate) async fn send(&self, shard: usize, message: Message<EngineFile>) {
        // A closed mailbox drops the message and the reply in it, which tells the asker that the engine
        // stops.
        let _ = self.0.mailboxes[shard].send(message).await;
    }

    async fn ask<T>(
        &self,
        shard: usize,
        message: impl FnOnce(oneshot::Sender<T>) -> Message<EngineFile>,
    ) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.send(shard, message(reply)).await;
        answer.await.ok()
    }

    fn owner(&self, partition: PartitionId) -> usize {
        partition.shard(self.shards())
    }

    /// Appends one record batch (see [`BatchBuilder`](crate::format::builder::BatchBuilder)) in two steps:
    /// this call checks it and hands it over, so that batches of one caller keep their order;
    /// [`PendingAppend::settled`] tells when it is durable, and its offset.
    ///
    /// # Errors
    /// What is wrong with the batch, or that there is no such partition. Everything else is told by the
    /// [`PendingAppend`].
    pub async fn append(
        &self,
        partition: PartitionId,
        batch: BytesMut,
    ) -> Result<PendingAppend, AppendError> {
        self.append_as(partition, batch, Origin::Client).await
    }

    /// Appends a batch likewise, and says who sends it. A transactional batch is refused
    /// ([`AppendError::InvalidTransactionState`]) unless a transaction of its producer and epoch is open in
    /// the partition, or the origin lets it be the first one; so is another batch of a producer with an open
    /// transaction. What it opens ends with the producer's next marker ([`Handle::end_transaction`]).
    ///
    /// # Errors
    /// Those of [`Handle::append`].
    pub async fn append_as(
        &self,
        partition: PartitionId,
        batch: BytesMut,
        origin: Origin,
    ) -> Result<PendingAppend, AppendError> {
        let batch = check::check(batch, &check_rules(&self.topics(), partition)?)?;
        Ok(self.hand_over(partition, Appending::Batch(batch, origin)).await)
    }

    /// Ends the transaction of a producer in a partition: appends the marker, behind all batches that were
    /// handed over before. It is durable when it has settled, however relaxed the topic is, and
    /// `read_committed` consumers read on from then on. Where nothing is open, the marker is appended all the
    /// same, so that it may be sent again.
    ///
    /// The [`PendingAppend`] tells of an older epoch of the producer ([`AppendError::StaleProducerEpoch`]) or
    /// of the coordinator ([`AppendError::CoordinatorFenced`]), and the errors of an append.
    pub async fn end_transaction(&self, partition: PartitionId, marker: Marker) -> PendingAppend {
        self.hand_over(partition, Appending::Marker(marker)).await
    }

    pub(crate) async fn hand_over(&self, partition: PartitionId, what: Appending) -> PendingAppend {
        let (reply, answer) = oneshot::channel();
        self.send(self.owner(partition), Message::Append { partition, what, reply }).await;
        PendingAppend(answer)
    }

    /// Whether a transaction of this producer, in this epoch, is open in a partition, as far as its batches
    /// have settled.
    ///
    /// # Errors
    /// [`AppendError`]: what would refuse a batch whatever it holds.
    pub async fn participation(
        &self,
        partition: PartitionId,
        producer: Producer,
    ) -> Result<Participation, AppendError> {
        let shard = self.owner(partition);
        let found = self.ask(shard, |reply| Message::Participation { partition, producer, reply }).await;
        found.unwrap_or(Err(AppendError::Stopping))
    }

    /// Reads whole record batches from several partitions; results stand in the order of the requests.
    ///
    /// What comes back are ranges of open files, not copies: [`FileRange::read`] copies.
    pub async fn read(&self, requests: &[ReadRequest]) -> Vec<Result<ReadResult<File>, ReadError>> {
        let reads =
            requests.iter().map(|request| self.read_at(self.owner(request.partition), vec![*request]));
        join_all(reads).await.into_iter().flatten().collect()
    }

    pub(crate) async fn read_at(
        &self,
        shard: usize,
        requests: Vec<ReadRequest>,
    ) -> Vec<Result<ReadResult<File>, ReadError>> {
        let count = requests.len();
        match self.ask(shard, |reply| Message::Read { requests, reply }).await {
            Some(results) => results.into_iter().map(|result| result.map(unlatch)).collect(),
            None => (0..count).map(|_| Err(ReadError::Stopping)).collect(),
        }
    }

    /// Returns when the partition has records at or beyond `offset`, or is gone.
    pub async fn wait(&self, partition: PartitionId, offset: Offset) {
        self.wait_as(Reader::default(), partition, offset).await;
    }

    /// Returns when this reader may read beyond `offset`, or the partition is gone.
    pub async fn wait_as(&self, reader: Reader, partition: PartitionId, offset: Offset) {
        let beyond = vec![(partition, offset)];
        // No answer means that the engine stops: that ends the wait as well.
        let _ = self.ask(self.owner(partition), |reply| Message::Wait { reader, beyond, reply }).await;
    }

    /// Finds an offset; `None` when no record fits. `leader_epoch` is the one that the asker believes in, if
    /// it knows one.
    ///
    /// # Errors
    /// [`ReadError`], also where the partition is in another leader epoch.
    pub async fn find_offset(
        &self,
        partition: PartitionId,
        query: OffsetQuery,
        leader_epoch: Option<LeaderEpoch>,
    ) -> Result<Option<OffsetAndTimestamp>, ReadError> {
        let shard = self.owner(partition);
        let message = |reply| Message::FindOffset { partition, query, leader_epoch, reply };
        self.ask(shard, message).await.unwrap_or(Err(ReadError::Stopping))
    }

    /// Finds where `epoch` ends in a log, or the newest one before it, so that whoever has read it can tell
    /// whether its records are still there (KIP-320). `None` for an epoch that is yet to come. `leader_epoch`
    /// is the present one as the asker believes, if it knows one.
    ///
    /// # Errors
    /// [`ReadError`], also where the partition is in another leader epoch.
    pub async fn end_of_epoch(
        &self,
        partition: PartitionId,
        epoch: LeaderEpoch,
        leader_epoch: Option<LeaderEpoch>,
    ) -> Result<Option<EpochEnd>, ReadError> {
        let shard = self.owner(partition);
        let message = |reply| Message::EndOfEpoch { partition, epoch, leader_epoch, reply };
        self.ask(shard, message).await.unwrap_or(Err(ReadError::Stopping))
    }

    /// The idempotent producers that a partition remembers, by id: those that appended within a day.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn producers(&self, partition: PartitionId) -> Result<Vec<ActiveProducer>, ReadError> {
        let shard = self.owner(partition);
        let found = self.ask(shard, |reply| Message::Producers { partition, reply }).await;
        found.unwrap_or(Err(ReadError::Stopping))
    }

    /// Deletes the records before an offset, for good: they are not read any more, and their segments go as a
    /// whole. Gives the first offset that is left.
    ///
    /// # Errors
    /// [`DeleteRecordsError`].
    pub async fn delete_records(
        &self,
        partition: PartitionId,
        before: DeleteBefore,
    ) -> Result<Offset, DeleteRecordsError> {
        let shard = self.owner(partition);
        let deleted = self.ask(shard, |reply| Message::DeleteRecords { partition, before, reply }).await;
        deleted.unwrap_or(Err(DeleteRecordsError::Stopping))
    }

    /// Cuts a log off: the record with the offset `to` goes, all others of its batch, and all behind it, and
    /// the next record gets the offset that is given back. For a replica whose last records are not those of
    /// its leader; a leader's consumers may have read what goes.
    ///
    /// # Errors
    /// [`TruncateError`].
    pub async fn truncate(&self, partition: PartitionId, to: Offset) -> Result<Offset, TruncateError> {
        let shard = self.owner(partition);
        let truncated = self.ask(shard, |reply| Message::Truncate { partition, to, reply }).await;
        truncated.unwrap_or(Err(TruncateError::Stopping))
    }

    /// Bytes of the partitions' batches on the disk, in the order of the request.
    pub async fn sizes(&self, partitions: &[PartitionId]) -> Vec<Result<u64, ReadError>> {
        let mut by_shard: Vec<Vec<usize>> = vec![Vec::new(); self.shards()];
        for (at, partition) in partitions.iter().enumerate() {
            by_shard[self.owner(*partition)].push(at);
        }
        let asks = by_shard.iter().enumerate().filter(|(_, at)| !at.is_empty()).map(async |(shard, at)| {
            let partitions = at.iter().map(|at| partitions[*at]).collect();
            (at, self.ask(shard, |reply| Message::Sizes { partitions, reply }).await)
        });
        let mut sizes: Vec<_> = partitions.iter().map(|_| Err(ReadError::Stopping)).collect();
        for (at, found) in join_all(asks).await {
            for (at, size) in at.iter().zip(found.into_iter().flatten()) {
                sizes[*at] = size;
            }
        }
        sizes
    }

    /// Asks for a change of several topics; `count` is how many answers there are.
    async fn ask_catalog<T>(
        &self,
        count: usize,
        message: impl FnOnce(oneshot::Sender<Vec<Result<T, TopicError>>>) -> CatalogMessage,
    ) -> Vec<Result<T, TopicError>> {
        let answers = self.ask(CATALOG_SHARD, |reply| Message::Catalog(message(reply))).await;
        answers.unwrap_or_else(|| (0..count).map(|_| Err(TopicError::Stopping)).collect())
    }

    /// Makes a topic. It is durable, and every shard knows it, when this returns.
    ///
    /// # Errors
    /// When there is one of its name, when it can not be, or cannot be written down.
    pub async fn create_topic(&self, new: NewTopic) -> Result<Arc<Topic>, TopicError> {
        only(self.create_topics(vec![new]).await)
    }

    /// Makes topics, for which the table is written once; the answers stand in the order of `new`. A topic
    /// that can not be does not keep the others from being made. The same holds of the other changes of
    /// several topics.
    pub async fn create_topics(&self, new: Vec<NewTopic>) -> Vec<Result<Arc<Topic>, TopicError>> {
        self.ask_catalog(new.len(), |reply| CatalogMessage::CreateTopics { new, reply }).await
    }

    /// Changes the settings of topics' own. They are durable, and in force for live partitions, when this
    /// returns.
    ///
    /// # Errors
    /// When there is no such topic, or a setting can not be: nothing has changed then. When the engine stops,
    /// it may have.
    pub async fn alter_topics(
        &self,
        changes: Vec<(TopicId, ConfigChange)>,
    ) -> Vec<Result<Arc<Topic>, TopicError>> {
        self.ask_catalog(changes.len(), |reply| CatalogMessage::AlterTopics { changes, reply }).await
    }

    /// Changes what is set for the broker while it runs: `change` makes other settings out of those in force,
    /// once no other change is under way. They are durable, and in force for live partitions, when this
    /// returns.
    ///
    /// # Errors
    /// What `change` says: nothing has changed then. When the engine stops, it may have.
    pub async fn alter_settings(
        &self,
        change: impl FnOnce(&InForce) -> Result<DynamicSettings, ConfigError> + Send + 'static,
    ) -> Result<(), TopicError> {
        let change = Box::new(change);
        let message = |reply| Message::Catalog(CatalogMessage::AlterSettings { change, reply });
        self.ask(CATALOG_SHARD, message).await.unwrap_or(Err(TopicError::Stopping))
    }

    /// Adds partitions to topics, up to the numbers given. They are durable, and every shard knows them, when
    /// this returns.
    ///
    /// # Errors
    /// When there is no such topic, or it would not grow.
    pub async fn create_partitions(
        &self,
        growing: Vec<(TopicId, u32)>,
    ) -> Vec<Result<Arc<Topic>, TopicError>> {
        self.ask_catalog(growing.len(), |reply| CatalogMessage::GrowTopics { growing, reply }).await
    }

    /// Deletes a topic and its records. It is gone for good when this returns.
    ///
    /// # Errors
    /// When there is no such topic, or its end cannot be written down.
    pub async fn delete_topic(&self, id: TopicId) -> Result<(), TopicError> {
        only(self.delete_topics(vec![id]).await)
    }

    /// Deletes topics and their records. They are gone for good when this returns.
    pub async fn delete_topics(&self, ids: Vec<TopicId>) -> Vec<Result<(), TopicError>> {
        self.ask_catalog(ids.len(), |reply| CatalogMessage::DeleteTopics { ids, reply }).await
    }

    /// Takes in what another source has decided about topics, in the order given: one that stands where the
    /// engine's own catalog decides otherwise, and which must be the only one then. What is taken in is
    /// durable, and in force on every shard, when this returns: a partition whose leadership is given up
    /// takes no more appends. Deltas of one kind that stand together are one write of the topic table.
    ///
    /// # Errors
    /// [`TopicError`], for each delta by itself. When the engine stops, it may have been taken in.
    pub async fn apply(&self, deltas: Vec<TopicDelta>) -> Vec<Result<Arc<Topic>, TopicError>> {
        self.ask_catalog(deltas.len(), |reply| CatalogMessage::Apply { deltas, reply }).await
    }

    /// A producer id that was never given out and never will be again, also after a crash.
    pub async fn allocate_producer_id(&self) -> Result<ProducerId, TopicError> {
        let message = |reply| Message::Catalog(CatalogMessage::AllocateProducerId { reply });
        self.ask(CATALOG_SHARD, message).await.unwrap_or(Err(TopicError::Stopping))
    }

    /// The counters of every shard.
    pub async fn stats(&self) -> Vec<ShardStats> {
        let asks = (0..self.shards()).map(|shard| self.ask(shard, |reply| Message::Stats { reply }));
        join_all(asks).await.into_iter().flatten().collect()
    }

    /// What every shard looks like, with a line for every open partition. The shard makes it in pieces, with
    /// others in between. Shards that have stopped are left out.
    pub async fn reports(&self) -> Vec<ShardReport> {
        let asks = (0..self.shards()).map(async |shard| {
            let waiting_requests = self.0.mailboxes[shard].len() as u64;
            let report = self.ask(shard, |reply| Message::Report { reply }).await?;
            Some(ShardReport { waiting_requests, ..report })
        });
        join_all(asks).await.into_iter().flatten().collect()
    }
}

impl FileRange<File> {
    /// Copies the batches out of the file. Waits for the disk when they are not in memory.
    ///
    /// # Errors
    /// What the system says; `UnexpectedEof` when the file is shorter than it was.
    pub fn read(&self) -> std::io::Result<Bytes> {
        let mut bytes = BytesMut::zeroed(self.length as usize);
        let mut done = 0;
        while done < bytes.len() {
            match rustix::io::pread(&self.file, &mut bytes[done..], self.position.0 + done as u64)? {
                0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
                read => done += read,
            }
        }
        Ok(bytes.freeze())
    }
}

/// The rules of the partition's topic at this moment.
pub(crate) fn check_rules(topics: &TopicTable, partition: PartitionId) -> Result<CheckRules, AppendError> {
    let (topic, _) = topics.replica(partition).ok_or(AppendError::UnknownPartition(partition))?;
    Ok(topic.config.check_rules(now()))
}

/// The one answer to one question.
fn only<T>(mut answers: Vec<Result<T, TopicError>>) -> Result<T, TopicError> {
    answers.pop().unwrap_or(Err(TopicError::Stopping))
}

/// The plain file of a range: who only reads needs no latch.
pub(crate) fn unlatch(result: ReadResult<EngineFile>) -> ReadResult<File> {
    let batches = result.batches.map(|range| FileRange {
        file: range.file.get_ref().clone(),
        position: range.position,
        length: range.length,
    });
    let ReadResult { log_start, last_stable, high_watermark, readable_end, reaches_end, aborted, .. } =
        result;
    ReadResult { log_start, last_stable, high_watermark, readable_end, batches, reaches_end, aborted }
}

/// The wall clock in milliseconds.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    Timestamp(since.map_or(0, |since| since.as_millis() as i64))
}
