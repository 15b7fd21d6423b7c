//! One process of the engine on a simulated machine: the shipping recovery, shards and catalog, without threads and sockets.

use std::path::Path;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use async_channel::Sender;
use bytes::Bytes;
use fastrand::Rng;
use futures_channel::oneshot;
use futures_util::FutureExt;
use futures_util::future::join;

use crate::catalog::Catalog;
use crate::config::{CleanerConfig, DynamicSettings, InForce, TopicDefaults};
use crate::error::{DeleteRecordsError, Fault, ReadError, StartError, TopicError};
use crate::io::Disk;
use crate::io::latch::Latch;
use crate::journal::Journal;
use crate::message::{CatalogMessage, DeleteBefore, Message, ReadRequest};
use crate::partition::ReadResult;
use crate::recovery::{RecoveryReport, recover};
use crate::shard::{Shard, ShardStart};
use crate::sim::{Faults, SimDisk, SimFile, Simulation};
use crate::sync::Published;
use crate::topics::{ConfigChange, NewTopic, Topic, TopicTable};
use crate::types::{Offset, PartitionId, TopicId};

/// What a shard runs on: as in production, with the simulated disk in place of the ring.
pub(super) type CrashDisk = Latch<SimDisk>;
type File = <CrashDisk as Disk>::File;

/// Where everything is kept. Its parent is the root of the simulated disk.
pub(super) const DATA_DIR: &str = "/data";

/// Operations take turns; that is all that happens to them.
pub(super) const ORDINARY: Faults = Faults { delay: 0.2, ..Faults::NONE };

/// How an engine is started.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) shards: usize,
    pub(super) journal_file_bytes_max: u64,
    pub(super) open_files_max: usize,
    pub(super) retention_check: Duration,
    pub(super) cleaner: CleanerConfig,
    pub(super) scrub_bytes_per_second: u64,
    pub(super) topic_defaults: TopicDefaults,
}

impl Settings {
    /// Small enough that a few hundred batches roll segments and recycle journal files many times.
    pub(super) fn small(shards: usize) -> Settings {
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

    pub(super) fn random(rng: &mut Rng) -> Settings {
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
pub(super) struct Process {
    pub(super) disk: SimDisk,
    pub(super) shards: Vec<Rc<Shard<CrashDisk>>>,
    pub(super) topics: Arc<Published<TopicTable>>,
    pub(super) settings: Arc<Published<InForce>>,
    pub(super) report: RecoveryReport,
    mailboxes: Vec<Sender<Message<File>>>,
    ends: Rc<std::cell::RefCell<Vec<End>>>,
}

/// What comes back when a shard ends.
struct End {
    journal: oneshot::Receiver<Journal<CrashDisk>>,
    requests: oneshot::Receiver<()>,
    background: oneshot::Receiver<()>,
}

/// Starts the engine; `None` when the machine stops before it runs. `between` is called before each operation of the disk.
pub(super) fn start(
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
        let recovered =
            recover(&disk, data_dir, settings.shards, &settings.topic_defaults, &settings.cleaner, None)
                .await?;
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
                stopwatch: Rc::new(move || Duration::from_millis(stopwatch.timestamp().unsigned_abs())),
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
    Some(Ok(Process { disk, shards, topics, settings: in_force, report, mailboxes, ends }))
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
    pub(super) fn owner(&self, partition: PartitionId) -> &Rc<Shard<CrashDisk>> {
        &self.shards[partition.shard(self.shards.len())]
    }

    async fn ask_catalog<T>(
        &self,
        message: impl FnOnce(oneshot::Sender<T>) -> CatalogMessage,
    ) -> oneshot::Receiver<T> {
        let (reply, answer) = oneshot::channel();
        let _ = self.mailboxes[0].send(Message::Catalog(message(reply))).await;
        answer
    }

    pub(super) async fn create_topic(&self, new: NewTopic) -> Only<Arc<Topic>> {
        Only(self.ask_catalog(|reply| CatalogMessage::CreateTopics { new: vec![new], reply }).await)
    }

    /// Has these settings for all brokers, instead of those there are.
    pub(super) async fn alter_settings(
        &self,
        all_brokers: Vec<(String, String)>,
    ) -> oneshot::Receiver<Result<(), TopicError>> {
        let change =
            Box::new(|_: &InForce| Ok(DynamicSettings { all_brokers, ..DynamicSettings::default() }));
        self.ask_catalog(|reply| CatalogMessage::AlterSettings { change, reply }).await
    }

    pub(super) async fn alter_topic(&self, id: TopicId, change: ConfigChange) -> Only<Arc<Topic>> {
        let changes = vec![(id, change)];
        Only(self.ask_catalog(|reply| CatalogMessage::AlterTopics { changes, reply }).await)
    }

    pub(super) async fn grow_topic(&self, id: TopicId, partitions: u32) -> Only<Arc<Topic>> {
        let growing = vec![(id, partitions)];
        Only(self.ask_catalog(|reply| CatalogMessage::GrowTopics { growing, reply }).await)
    }

    pub(super) async fn delete_records(
        &self,
        partition: PartitionId,
        before: DeleteBefore,
    ) -> oneshot::Receiver<Result<Offset, DeleteRecordsError>> {
        let (reply, answer) = oneshot::channel();
        let owner = partition.shard(self.shards.len());
        let _ = self.mailboxes[owner].send(Message::DeleteRecords { partition, before, reply }).await;
        answer
    }

    pub(super) async fn delete_topic(&self, id: TopicId) -> Only<()> {
        Only(self.delete_topics(vec![id]).await)
    }

    pub(super) async fn delete_topics(
        &self,
        ids: Vec<TopicId>,
    ) -> oneshot::Receiver<Vec<Result<(), TopicError>>> {
        self.ask_catalog(|reply| CatalogMessage::DeleteTopics { ids, reply }).await
    }

    pub(super) async fn allocate_producer_id(&self) -> oneshot::Receiver<Result<i64, TopicError>> {
        self.ask_catalog(|reply| CatalogMessage::AllocateProducerId { reply }).await
    }

    /// The result of a read with the bytes that it leads to.
    pub(super) async fn read(
        &self,
        partition: PartitionId,
        offset: Offset,
        bytes_max: u64,
    ) -> Result<(ReadResult<File>, Bytes), ReadError> {
        let result = self.owner(partition).read(ReadRequest { partition, offset, bytes_max }).await?;
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
    pub(super) async fn pass_time(&self, operations: usize) {
        for _ in 0..operations {
            let _ = self.disk.list(Path::new("/")).await;
        }
    }

    /// Ends as the engine does when it is stopped.
    pub(super) async fn stop(&self) -> Result<(), Fault> {
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

/// The answer to a change of one topic, which the catalog takes by the many.
pub(super) struct Only<T>(oneshot::Receiver<Vec<Result<T, TopicError>>>);

impl<T> Only<T> {
    pub(super) fn try_recv(&mut self) -> Result<Option<Result<T, TopicError>>, oneshot::Canceled> {
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
