//! Starting and stopping: the lock on the data directory, recovery, one thread a shard.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use async_channel::{Receiver, Sender};

use crate::admission::Bench;
use crate::catalog::Catalog;
use crate::config::{EngineConfig, InForce, ReactorKind, SHARDS_MAX};
use crate::error::{Fault, StartError};
use crate::format::checkpoint::PartitionCheckpoint;
use crate::format::names;
use crate::front::{Front, Local};
use crate::handle::{Handle, Shared, now};
use crate::io::latch::Latch;
use crate::io::pwrite::PwriteDisk;
use crate::io::{Disk, Lock};
use crate::message::Message;
use crate::partition::{Incomplete, Unwritten};
use crate::reactor::{self, Chosen, EngineDisk, ExecutorHandle, Queue, ShardDisk};
use crate::recovery::{Owner, Recovered, RecoveryReport, recover};
use crate::shard::{Shard, ShardStart};
use crate::sync::Published;
use crate::topics::TopicTable;
use crate::types::{PartitionId, ProducerId, TopicId, random_uuid};

/// Requests that wait in a shard's mailbox before their senders wait too.
const MAILBOX_MESSAGES: usize = 1024;

/// How often a shard looks for syncs that `flush.ms` asks for: its precision.
const TICK: Duration = Duration::from_millis(100);

/// How long a stop waits for the other shards when one has ended by itself: what they still wait for may
/// never come.
const STOP_PATIENCE: Duration = Duration::from_secs(5);

/// A running engine. Dropping it stops it.
pub struct Engine {
    handle: Handle,
    running: Option<Running>,
    report: RecoveryReport,
    recovery_time: Duration,
    reactor: Chosen,
}

struct Running {
    shards: BTreeMap<usize, ExecutorHandle<Result<(), Fault>>>,
    /// Closing it tells the fronts to end.
    stop: Sender<()>,
    /// Closing it tells the shards to end.
    close: Sender<()>,
    events: mpsc::Receiver<Event>,
    watch: Watch,
    /// Held for as long as the shards run.
    lock: Lock,
}

/// What the shards' threads tell the one that starts and stops them.
enum Event {
    /// A shard serves, or can not.
    Started(Result<(), StartError>),
    /// A shard's front has ended.
    FrontDone(usize),
    /// A shard's thread ends.
    Ended(usize),
}

/// Tells when a shard ends that was not asked to. The engine can not go on then: [`Engine::stop`] says why.
#[derive(Clone)]
pub struct Watch(Receiver<usize>);

impl Watch {
    /// Waits until a shard has ended by itself, and gives its number; `None` when the engine was stopped
    /// instead.
    pub fn wait(&self) -> Option<usize> {
        self.0.recv_blocking().ok()
    }
}

/// Why an engine has not stopped cleanly. Nothing acknowledged is lost: the next start recovers it.
#[derive(Debug, thiserror::Error)]
pub enum StopError {
    /// A shard could not write what it had to.
    #[error("shard {shard}: {fault}")]
    Fault {
        /// The shard.
        shard: usize,
        /// What failed.
        fault: Fault,
    },
    /// A shard's thread has ended before it was asked to.
    #[error("shard {shard} has ended: {source}")]
    Ended {
        /// The shard.
        shard: usize,
        /// Why.
        source: io::Error,
    },
}

impl Engine {
    /// Locks the data directory, recovers it, and starts the shards with `front` on each. Returns when all of
    /// them serve.
    ///
    /// # Errors
    /// [`StartError`]; nothing runs then. What the shards' threads can run on is found out before anything is
    /// touched.
    pub fn start<F: Front>(config: EngineConfig, front: F) -> Result<Engine, StartError> {
        if config.shards == 0 || config.shards > SHARDS_MAX {
            return Err(StartError::Shards { found: config.shards, max: SHARDS_MAX });
        }
        let chosen = reactor::choose(config.reactor).map_err(|source| StartError::Reactor { source })?;
        if let Some(reason) = &chosen.instead {
            tracing::warn!(reactor = chosen.kind.name(), reason, "the shards run without the I/O ring");
        }
        let lock = lock_data_dir(&config.data_dir)?;
        let began = Instant::now();
        let recovered = block_on(recover(
            &PwriteDisk,
            &config.data_dir,
            config.shards,
            &config.topic_defaults,
            &config.cleaner,
            Owner { node_id: config.node_id, cluster_id: config.cluster_id },
        ))?;
        let recovery_time = began.elapsed();
        let report = recovered.report;
        let (handle, running) = start_shards(&config, chosen.kind, front, recovered, lock)?;
        Ok(Engine { handle, running: Some(running), report, recovery_time, reactor: chosen })
    }

    /// A handle for any thread.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// What the shards' threads run on.
    pub fn reactor(&self) -> &Chosen {
        &self.reactor
    }

    /// What recovery found, and how long it took.
    pub fn recovery(&self) -> (RecoveryReport, Duration) {
        (self.report, self.recovery_time)
    }

    /// Tells when a shard ends by itself.
    pub fn watch(&self) -> Watch {
        self.running.as_ref().expect("an engine runs until it is stopped").watch.clone()
    }

    /// Ends the fronts, answers what is under way, syncs everything. The next start then replays nothing.
    ///
    /// # Errors
    /// [`StopError`]. When a shard has ended by itself, the others are given some seconds to end.
    pub fn stop(mut self) -> Result<(), StopError> {
        self.running.take().map_or(Ok(()), Running::stop)
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if let Some(running) = self.running.take()
            && let Err(error) = running.stop()
        {
            tracing::error!(%error, "the engine has not stopped cleanly; the next start recovers");
        }
    }
}

impl Running {
    /// Waits until so many shards have started, or one of them cannot.
    fn await_started(&mut self, shards: usize) -> Result<(), StartError> {
        let mut started = 0;
        while started < shards {
            match self.events.recv() {
                Ok(Event::Started(Ok(()))) => started += 1,
                Ok(Event::Started(Err(error))) => return Err(error),
                // Its thread knows why.
                Ok(Event::Ended(shard)) => {
                    let thread = self.shards.remove(&shard).expect("a thread ends once");
                    let source = match thread.join() {
                        Ok(Ok(())) => io::Error::other("it has ended"),
                        Ok(Err(fault)) => io::Error::other(fault.to_string()),
                        Err(source) => source,
                    };
                    return Err(StartError::Shard { shard, source });
                }
                Ok(Event::FrontDone(_)) => {}
                Err(mpsc::RecvError) => unreachable!("a thread tells that it ends"),
            }
        }
        Ok(())
    }

    fn stop(self) -> Result<(), StopError> {
        let Running { shards, stop, close, events, watch: _, lock } = self;
        stop.close();
        let mut fronts: BTreeSet<usize> = shards.keys().copied().collect();
        let mut threads = fronts.clone();
        // The first shard that was not asked to end, and when to stop waiting for the others.
        let mut failed: Option<(usize, Instant)> = None;
        while !threads.is_empty() {
            if fronts.is_empty() {
                close.close();
            }
            let event = match failed {
                None => events.recv().ok(),
                Some((_, until)) => events.recv_timeout(until.saturating_duration_since(Instant::now())).ok(),
            };
            match event {
                Some(Event::Started(_)) => {}
                Some(Event::FrontDone(shard)) => drop(fronts.remove(&shard)),
                Some(Event::Ended(shard)) => {
                    fronts.remove(&shard);
                    threads.remove(&shard);
                    if !close.is_closed() {
                        failed = failed.or(Some((shard, Instant::now() + STOP_PATIENCE)));
                    }
                }
                // The fronts that still run wait for what never comes: the other shards can end without them.
                None if !close.is_closed() => {
                    close.close();
                    failed = failed.map(|(shard, _)| (shard, Instant::now() + STOP_PATIENCE));
                }
                None => break,
            }
        }
        if !threads.is_empty() {
            // They may still write: the lock goes with the process.
            tracing::error!(shards = ?threads, "these shards do not end, and are left behind");
            std::mem::forget(lock);
        }
        let failed = failed.map(|(shard, _)| shard);
        let mut result = Ok(());
        let mut ended: Vec<_> = shards.into_iter().filter(|(shard, _)| !threads.contains(shard)).collect();
        // The one that all began with is the one to be told of.
        ended.sort_by_key(|(shard, _)| Some(*shard) != failed);
        for (shard, thread) in ended {
            let ended = match thread.join() {
                Ok(Ok(())) if failed == Some(shard) => {
                    let source = io::Error::other("it was not asked to");
                    Err(StopError::Ended { shard, source })
                }
                Ok(Ok(())) => Ok(()),
                Ok(Err(fault)) => Err(StopError::Fault { shard, fault }),
                Err(source) => Err(StopError::Ended { shard, source }),
            };
            result = result.and(ended);
        }
        result
    }
}

/// Makes the data directory and takes the lock that keeps a second engine out.
fn lock_data_dir(data_dir: &Path) -> Result<Lock, StartError> {
    let failed = |doing| move |source| StartError::Io { doing, path: data_dir.to_owned(), source };
    let missing: Vec<_> = data_dir.ancestors().take_while(|path| !path.exists()).collect();
    fs::create_dir_all(data_dir).map_err(failed("creating"))?;
    for made in missing.iter().skip(1) {
        // Recovery syncs the directory above the data directory; this is for the ones above that (D1).
        let above = made.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
        fs::File::open(above).and_then(|above| above.sync_all()).map_err(failed("syncing above"))?;
    }
    let path = data_dir.join(names::LOCK_FILE);
    let file =
        fs::File::options().create(true).truncate(false).write(true).open(path).map_err(failed("locking"))?;
    match Lock::of(file) {
        Ok(lock) => Ok(lock),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(StartError::InUse { path: data_dir.to_owned() }),
        Err(errno) => Err(failed("locking")(errno.into())),
    }
}

/// What each shard's thread is given.
struct ShardSeed {
    index: usize,
    config: EngineConfig,
    topics: Arc<Published<TopicTable>>,
    settings: Arc<Published<InForce>>,
    checkpoints: Vec<PartitionCheckpoint>,
    unwritten: Option<Arc<Unwritten>>,
    damaged: Arc<BTreeMap<PartitionId, Incomplete>>,
    journal_number: u64,
    next_producer_id: ProducerId,
    handle: Handle,
    bench: Bench,
    mailbox: Receiver<Message<<EngineDisk as Disk>::File>>,
    mailboxes: Vec<Sender<Message<<EngineDisk as Disk>::File>>>,
    stop: Receiver<()>,
    close: Receiver<()>,
    events: mpsc::Sender<Event>,
}

fn start_shards<F: Front>(
    config: &EngineConfig,
    reactor: ReactorKind,
    front: F,
    recovered: Recovered,
    lock: Lock,
) -> Result<(Handle, Running), StartError> {
    let (mailboxes, receivers): (Vec<_>, Vec<_>) =
        (0..config.shards).map(|_| async_channel::bounded(MAILBOX_MESSAGES)).unzip();
    let topics = Arc::new(Published::new(recovered.topics));
    let settings = Arc::new(Published::new(recovered.settings));
    let handle = Handle::new(Shared {
        meta: recovered.meta,
        topics: topics.clone(),
        settings: settings.clone(),
        mailboxes: mailboxes.clone(),
    });
    let bench = Bench::start().map_err(|source| StartError::Thread { source })?;
    let (stop, stopped) = async_channel::bounded(1);
    let (close, closed) = async_channel::bounded(1);
    let (event, events) = mpsc::channel();
    let (watched, watch) = async_channel::bounded(config.shards);
    let mut running = Running { shards: BTreeMap::new(), stop, close, events, watch: Watch(watch), lock };
    let damaged = Arc::new(recovered.damaged);
    let unwritten = recovered.unwritten.map(Arc::new);
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
    for (index, (mailbox, checkpoints)) in receivers.into_iter().zip(recovered.checkpoints).enumerate() {
        let seed = ShardSeed {
            index,
            config: config.clone(),
            topics: topics.clone(),
            settings: settings.clone(),
            checkpoints,
            unwritten: unwritten.clone(),
            damaged: damaged.clone(),
            journal_number: recovered.journal_number,
            next_producer_id: recovered.next_producer_id,
            handle: handle.clone(),
            bench: bench.clone(),
            mailbox,
            mailboxes: mailboxes.clone(),
            stop: stopped.clone(),
            close: closed.clone(),
            events: event.clone(),
        };
        let front = front.clone();
        // More shards than cores share them; pinning would stack them on the first ones.
        let cpu = (config.pin_threads && config.shards <= cores).then_some(index);
        let name = format!("shard-{index}");
        let ended = {
            let (mailbox, stop) = (seed.mailbox.clone(), seed.stop.clone());
            let (events, watched) = (event.clone(), watched.clone());
            move || {
                // What is asked is never answered any more.
                mailbox.close();
                while mailbox.try_recv().is_ok() {}
                let _ = events.send(Event::Ended(index));
                if !stop.is_closed() {
                    let _ = watched.try_send(index);
                }
            }
        };
        let spawned =
            reactor::spawn_watched(reactor, &name, cpu, config.background_share, ended, move |disk| {
                run_shard(seed, front, disk)
            });
        match spawned {
            Ok(thread) => drop(running.shards.insert(index, thread)),
            Err(source) => {
                // What stopping says is a consequence.
                let _ = running.stop();
                return Err(StartError::Shard { shard: index, source });
            }
        }
    }
    drop((event, watched));
    match running.await_started(config.shards) {
        Ok(()) => Ok((handle, running)),
        Err(failure) => {
            // What stopping says is a consequence.
            let _ = running.stop();
            Err(failure)
        }
    }
}

async fn run_shard<F: Front>(seed: ShardSeed, front: F, own: ShardDisk) -> Result<(), Fault> {
    let disk = Latch::new(own.clone());
    let generation = u64::from_le_bytes(random_uuid()[8..].try_into().expect("8 of 16 bytes")) >> 1;
    let started = Shard::start(ShardStart {
        disk: disk.clone(),
        data_dir: seed.config.data_dir.clone(),
        index: seed.index,
        shards: seed.config.shards,
        topics: seed.topics.clone(),
        checkpoints: seed.checkpoints,
        unwritten: seed.unwritten,
        damaged: seed.damaged,
        journal_number: seed.journal_number,
        generation,
        journal_file_bytes_max: seed.config.journal_file_bytes_max,
        open_files_max: seed.config.open_files_max,
        retention_check: seed.config.retention_check,
        settings: seed.settings.clone(),
        scrub_bytes_per_second: seed.config.scrub_bytes_per_second,
        background_share: seed.config.background_share,
        clock: Rc::new(now),
        stopwatch: {
            let began = Instant::now();
            Rc::new(move || began.elapsed())
        },
    })
    .await;
    let (shard, journal) = match started {
        Ok(started) => started,
        Err(error) => {
            let _ = seed.events.send(Event::Started(Err(error)));
            return Ok(());
        }
    };
    let catalog = (seed.index == 0).then(|| {
        let (topics, mailboxes) = (seed.topics.clone(), seed.mailboxes.clone());
        let data_dir: PathBuf = seed.config.data_dir.clone();
        let new_topic_id = Rc::new(TopicId::random);
        Rc::new(Catalog::new(
            disk,
            data_dir,
            topics,
            seed.settings.clone(),
            mailboxes,
            new_topic_id,
            seed.next_producer_id,
        ))
    });
    let commits = reactor::spawn(Queue::Storage, shard.clone().run_commits(journal));
    let recycling = reactor::spawn(Queue::Storage, shard.clone().run_recycling());
    let background = reactor::spawn(Queue::Background, shard.clone().run_background());
    let write_backs = reactor::spawn(Queue::Storage, shard.clone().run_write_backs());
    let requests = reactor::spawn(Queue::Storage, shard.clone().run_requests(seed.mailbox.clone(), catalog));
    let ticking = shard.clone();
    let ticks = reactor::spawn(Queue::Storage, async move {
        loop {
            reactor::sleep(TICK).await;
            ticking.tick(now());
            reactor::set_background_share(ticking.background_share());
        }
    });
    let _ = seed.events.send(Event::Started(Ok(())));

    let local = Local::new(seed.index, shard.clone(), seed.handle, own, seed.bench, seed.stop);
    let front = reactor::spawn(Queue::Net, front.run(local.clone()));
    front.await;
    local.stopped().await;
    let _ = seed.events.send(Event::FrontDone(seed.index));
    // Nothing is ever sent; the channel closes when every front has ended.
    let _ = seed.close.recv().await;

    seed.mailbox.close();
    requests.await;
    shard.close();
    let journal = commits.await;
    ticks.cancel().await;
    write_backs.cancel().await;
    shard.end_background();
    background.await;
    recycling.await;
    shard.shut_down(journal).await
}

/// Runs a future to its end on this thread, which may be one of a runtime: an executor of its own would
/// refuse to run inside another of its kind.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(done) = future.as_mut().poll(&mut context) {
            return done;
        }
        thread::park();
    }
}
