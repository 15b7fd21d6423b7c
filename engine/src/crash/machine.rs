//! One process of the engine on a simulated machine: the shipping recovery, shards and catalog, without
//! threads and sockets.

use std::path::Path;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use async_channel::Sender;
use bytes::{Bytes, BytesMut};
use fastrand::Rng;
use futures_channel::oneshot;
use futures_util::FutureExt;
use futures_util::future::join;

use crate::catalog::Catalog;
#[cfg(test)]
use crate::config::InForce;
use crate::config::{CleanerConfig, TopicDefaults};
use crate::error::{AppendError, Fault, ReadError, StartError, TopicError};
use crate::format::batch::Producer;
use crate::format::check::check;
use crate::format::marker::Marker;
use crate::io::Disk;
use crate::io::latch::Latch;
use crate::journal::Journal;
use crate::log::{AbortedTransaction, Origin, Participation};
use crate::message::{Appended, Appending, CatalogMessage, Message, ReadRequest};
use crate::partition::{Isolation, ReadResult, Reader};
use crate::recovery::{Owner, RecoveryReport, recover};
use crate::shard::{Shard, ShardStart};
use crate::sim::{Faults, SimDisk, SimFile, Simulation};
use crate::sync::Published;
use crate::topics::{NewTopic, Topic, TopicTable};
use crate::types::{Offset, PartitionId, ProducerId, Timestamp, TopicId};

/// What a shard runs on: as in production, with the simulated disk in place of the ring.
type CrashDisk = Latch<SimDisk>;
type File = <CrashDisk as Disk>::File;

/// Where everything is kept. Its parent is the root of the simulated disk.
pub const DATA_DIR: &str = "/data";

/// Operations take turns; that is all that happens to them.
pub const ORDINARY: Faults = Faults { delay: 0.2, ..Faults::NONE };

/// How a process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The power goes out.
    PowerLoss,
    /// The process dies and the kernel lives.
    Kill,
    /// It is stopped as an administrator does it.
    Stop,
}

/// How an engine is started.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Number of shards.
    pub shards: usize,
    /// The size of a journal file.
    pub journal_file_bytes_max: u64,
    /// Segments whose files a shard keeps open.
    pub open_files_max: usize,
    /// How often retention looks.
    pub retention_check: Duration,
    /// The settings of compaction.
    pub cleaner: CleanerConfig,
    /// What the scrub reads; 0 for none.
    pub scrub_bytes_per_second: u64,
    /// What topics get where they are silent.
    pub topic_defaults: TopicDefaults,
}

impl Settings {
    /// Small enough that a few hundred batches roll segments and recycle journal files many times.
    pub fn small(shards: usize) -> Settings {
        let mut topic_defaults = TopicDefaults::default();
        topic_defaults.set_unchecked("segment.bytes", "8192");
        topic_defaults.set_unchecked("index.interval.bytes", "256");
        Settings {
            shards,
            journal_file_bytes_max: 16 << 10,
            open_files_max: 4,
            retention_check: Duration::from_secs(1),
            cleaner: CleanerConfig { backoff: Duration::from_secs(1), ..CleanerConfig::default() },
            scrub_bytes_per_second: 0,
            topic_defaults,
        }
    }

    /// Small ones that differ from seed to seed.
    pub fn random(rng: &mut Rng) -> Settings {
        let mut settings = Settings::small(rng.usize(1..=3));
        settings.journal_file_bytes_max = 4096 * rng.u64(2..=10);
        settings.open_files_max = rng.usize(1..=8);
        settings.retention_check = Duration::from_millis(rng.u64(1..3000));
        let segment_bytes = rng.u64(1024..20_000).to_string();
        settings.topic_defaults.set_unchecked("segment.bytes", &segment_bytes);
        settings.topic_defaults.set_unchecked("index.interval.bytes", &rng.u64(0..1000).to_string());
        settings
    }
}

/// A running engine. It is gone when its simulation has crashed.
#[derive(Clone)]
pub struct Process {
    /// The disk that it runs on.
    pub disk: SimDisk,
    pub(crate) shards: Vec<Rc<Shard<CrashDisk>>>,
    pub(crate) topics: Arc<Published<TopicTable>>,
    #[cfg(test)]
    pub(crate) settings: Arc<Published<InForce>>,
    /// What its start has found.
    pub report: RecoveryReport,
    pub(super) mailboxes: Vec<Sender<Message<File>>>,
    ends: Rc<std::cell::RefCell<Vec<End>>>,
}

/// What comes back when a shard ends.
struct End {
    journal: oneshot::Receiver<Journal<CrashDisk>>,
    requests: oneshot::Receiver<()>,
    background: oneshot::Receiver<()>,
}

/// Starts the engine; `None` when the machine stops before it runs. `between` is called before each operation
/// of the disk.
pub fn start(
    simulation: &mut Simulation,
    settings: &Settings,
    between: impl FnMut(&SimDisk),
) -> Option<Result<Process, StartError>> {
    let disk = simulation.disk();
    let generation = simulation.rng().u64(..) >> 1;
    let mut ids = simulation.rng().fork();
    let clock = simulation.clock();
    let data_dir = Path::new(DATA_DIR);
    let started = async {
        let (defaults, owner) = (&settings.topic_defaults, Owner::default());
        let recovered = recover(&disk, data_dir, settings.shards, defaults, &settings.cleaner, owner).await?;
        let in_force = Arc::new(Published::new(recovered.settings));
        let topics = Arc::new(Published::new(recovered.topics));
        let damaged = Arc::new(recovered.damaged);
        let unwritten = recovered.unwritten.map(Arc::new);
        let mut shards = Vec::new();
        for (index, checkpoints) in recovered.checkpoints.into_iter().enumerate() {
            let (clock, stopwatch) = (clock.clone(), clock.clone());
            let latch = Latch::new(disk.clone());
            let start = ShardStart {
                disk: latch.clone(),
                data_dir: data_dir.to_owned(),
                index,
                shards: settings.shards,
                topics: topics.clone(),
                checkpoints,
                unwritten: unwritten.clone(),
                damaged: damaged.clone(),
                journal_number: recovered.journal_number,
                generation: generation + ((index as u64) << 20),
                journal_file_bytes_max: settings.journal_file_bytes_max,
                open_files_max: settings.open_files_max,
                retention_check: settings.retention_check,
                settings: in_force.clone(),
                scrub_bytes_per_second: settings.scrub_bytes_per_second,
                background_share: 0.1,
                clock: Rc::new(move || clock.timestamp()),
                stopwatch: Rc::new(move || Duration::from_millis(stopwatch.timestamp().0.unsigned_abs())),
            };
            let (shard, journal) = Shard::start(start).await?;
            shards.push((shard, journal, latch));
        }
        Ok((topics, in_force, shards, recovered.next_producer_id, recovered.report))
    };
    let started = simulation.try_run_until_with(started, between)?;
    let (topics, in_force, started, next_producer_id, report) = match started {
        Ok(started) => started,
        Err(error) => return Some(Err(error)),
    };
    let (mailboxes, receivers): (Vec<_>, Vec<_>) =
        started.iter().map(|_| async_channel::bounded(1024)).unzip();
    let (mut shards, mut ends) = (Vec::new(), Vec::new());
    for (index, ((shard, journal, latch), mailbox)) in started.into_iter().zip(receivers).enumerate() {
        let catalog = (index == 0).then(|| {
            let ids = std::cell::RefCell::new(ids.fork());
            Rc::new(Catalog::new(
                latch,
                data_dir.to_owned(),
                topics.clone(),
                in_force.clone(),
                mailboxes.clone(),
                Rc::new(move || TopicId::from_bytes(ids.borrow_mut().u128(1..).to_le_bytes())),
                next_producer_id,
            ))
        });
        let journal = spawn(simulation, shard.clone().run_commits(journal));
        let requests = spawn(simulation, shard.clone().run_requests(mailbox, catalog));
        let background =
            spawn(simulation, join(shard.clone().run_recycling(), shard.clone().run_background()).map(drop));
        shards.push(shard);
        ends.push(End { journal, requests, background });
    }
    let ends = Rc::new(std::cell::RefCell::new(ends));
    Some(Ok(Process {
        disk,
        shards,
        topics,
        #[cfg(test)]
        settings: in_force,
        report,
        mailboxes,
        ends,
    }))
}

fn spawn<T: 'static>(
    simulation: &Simulation,
    task: impl Future<Output = T> + 'static,
) -> oneshot::Receiver<T> {
    let (sender, receiver) = oneshot::channel();
    simulation.spawn(async move { drop(sender.send(task.await)) });
    receiver
}

impl Process {
    /// Number of shards.
    pub fn shards(&self) -> usize {
        self.shards.len()
    }

    /// All topics at this moment.
    pub fn topics(&self) -> Arc<TopicTable> {
        self.topics.get()
    }

    /// Tells every shard the time, as its timer does.
    pub fn tick(&self, now: Timestamp) {
        self.shards.iter().for_each(|shard| shard.tick(now));
    }

    /// Checks a record batch and hands it over, as the front does; the answer comes when it is durable.
    ///
    /// # Errors
    /// What is wrong with the batch, or that there is no such partition.
    pub async fn append(
        &self,
        partition: PartitionId,
        batch: BytesMut,
        now: Timestamp,
    ) -> Result<oneshot::Receiver<Result<Appended, AppendError>>, AppendError> {
        self.append_as(partition, batch, Origin::Client, now).await
    }

    /// The same for a batch of another origin.
    ///
    /// # Errors
    /// Those of [`Process::append`].
    pub async fn append_as(
        &self,
        partition: PartitionId,
        batch: BytesMut,
        origin: Origin,
        now: Timestamp,
    ) -> Result<oneshot::Receiver<Result<Appended, AppendError>>, AppendError> {
        let topics = self.topics.get();
        let (topic, _) = topics.replica(partition).ok_or(AppendError::UnknownPartition(partition))?;
        let rules = topic.config.check_rules(now);
        let batch = check(batch, &rules)?;
        Ok(self.owner(partition).append(partition, Appending::Batch(batch, origin)).await)
    }

    /// Ends a transaction in a partition; the answer comes when the marker is durable.
    pub async fn end_transaction(
        &self,
        partition: PartitionId,
        marker: Marker,
    ) -> oneshot::Receiver<Result<Appended, AppendError>> {
        self.owner(partition).append(partition, Appending::Marker(marker)).await
    }

    /// Whether a transaction of this producer is open in a partition.
    ///
    /// # Errors
    /// What would refuse a batch whatever it holds.
    pub async fn participation(
        &self,
        partition: PartitionId,
        producer: Producer,
    ) -> Result<Participation, AppendError> {
        self.owner(partition).participation(partition, producer).await
    }

    /// Compactions since the start, of all shards together.
    pub fn compactions(&self) -> u64 {
        self.shards.iter().map(|shard| shard.stats().compactions).sum()
    }

    /// What a reader of committed records finds from an offset on.
    ///
    /// # Errors
    /// Why there is nothing.
    pub async fn read_committed(
        &self,
        partition: PartitionId,
        offset: Offset,
        bytes_max: u64,
    ) -> Result<(Found, Bytes), ReadError> {
        let reader = Reader::Consumer(Isolation::ReadCommitted);
        let request = ReadRequest { reader, ..ReadRequest::new(partition, offset, bytes_max) };
        let (result, bytes) = self.read_as(request).await?;
        let ReadResult { last_stable, high_watermark, aborted, .. } = result;
        Ok((Found { last_stable, high_watermark, aborted }, bytes))
    }

    /// The record batches from an offset on.
    ///
    /// # Errors
    /// Why there are none.
    pub async fn read_batches(
        &self,
        partition: PartitionId,
        offset: Offset,
        bytes_max: u64,
    ) -> Result<Bytes, ReadError> {
        Ok(self.read(partition, offset, bytes_max).await?.1)
    }

    pub(super) fn owner(&self, partition: PartitionId) -> &Rc<Shard<CrashDisk>> {
        &self.shards[partition.shard(self.shards.len())]
    }

    pub(super) async fn ask_catalog<T>(
        &self,
        message: impl FnOnce(oneshot::Sender<T>) -> CatalogMessage,
    ) -> oneshot::Receiver<T> {
        let (reply, answer) = oneshot::channel();
        let _ = self.mailboxes[0].send(Message::Catalog(message(reply))).await;
        answer
    }

    /// Asks for a producer id.
    pub async fn allocate_producer_id(&self) -> oneshot::Receiver<Result<ProducerId, TopicError>> {
        self.ask_catalog(|reply| CatalogMessage::AllocateProducerId { reply }).await
    }

    /// Asks for a topic.
    pub async fn create_topic(&self, new: NewTopic) -> Only<Arc<Topic>> {
        Only(self.ask_catalog(|reply| CatalogMessage::CreateTopics { new: vec![new], reply }).await)
    }

    /// The result of a read with the bytes that it leads to.
    pub(super) async fn read(
        &self,
        partition: PartitionId,
        offset: Offset,
        bytes_max: u64,
    ) -> Result<(ReadResult<File>, Bytes), ReadError> {
        self.read_as(ReadRequest::new(partition, offset, bytes_max)).await
    }

    /// The same for any reader.
    pub(super) async fn read_as(&self, request: ReadRequest) -> Result<(ReadResult<File>, Bytes), ReadError> {
        let result = self.owner(request.partition).read(request).await?;
        let mut bytes = Bytes::new();
        if let Some(range) = &result.batches {
            let file: &SimFile = range.file.get_ref();
            // Sending is the front's business, and so is an error meanwhile: the reader asks again.
            while bytes.is_empty() {
                bytes = self.disk.read(file, range.position, range.length as usize).await.unwrap_or_default();
            }
        }
        Ok((result, bytes))
    }

    /// Lets some operations of the disk complete.
    pub async fn pass_time(&self, operations: usize) {
        for _ in 0..operations {
            let _ = self.disk.list(Path::new("/")).await;
        }
    }

    /// Ends as the engine does when it is stopped.
    pub async fn stop(&self) -> Result<(), Fault> {
        for mailbox in &self.mailboxes {
            mailbox.close();
        }
        let ends = std::mem::take(&mut *self.ends.borrow_mut());
        let mut result = Ok(());
        for (shard, end) in self.shards.iter().zip(ends) {
            end.requests.await.expect("the task lives as long as the simulation");
            shard.close();
            let journal = end.journal.await.expect("the task lives as long as the simulation");
            shard.end_background();
            end.background.await.expect("the task lives as long as the simulation");
            result = result.and(shard.shut_down(journal).await);
        }
        result
    }
}

/// What a read says beside the records.
#[derive(Clone, Debug)]
pub struct Found {
    /// How far a reader of committed records may come.
    pub last_stable: Offset,
    /// How far any consumer may come.
    pub high_watermark: Offset,
    /// Of what was read, the transactions that were aborted.
    pub aborted: Vec<AbortedTransaction>,
}

/// The answer to a change of one topic, which the catalog takes by the many.
pub struct Only<T>(pub(super) oneshot::Receiver<Vec<Result<T, TopicError>>>);

impl<T> Only<T> {
    /// The answer, when it has come.
    ///
    /// # Errors
    /// When it never comes.
    pub fn try_recv(&mut self) -> Result<Option<Result<T, TopicError>>, oneshot::Canceled> {
        Ok(self.0.try_recv()?.map(only))
    }
}

impl<T> Future for Only<T> {
    type Output = Result<Result<T, TopicError>, oneshot::Canceled>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context).map(|answers| answers.map(only))
    }
}

fn only<T>(mut answers: Vec<T>) -> T {
    assert_eq!(answers.len(), 1, "one topic, one answer");
    answers.remove(0)
}
