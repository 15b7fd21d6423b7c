//! The scrub: reads everything that is durable again and again, so that rot is found while there may still be
//! another copy somewhere (D5).
//!
//! It reads past the page cache, where the system has direct I/O: what counts is what the medium has, and no
//! page that a reader needs is pushed out. It goes through the logs of the shard and then through its small
//! files, at a rate that nobody else notices, a step of at most 128 KiB between two yields. It changes
//! nothing. What it finds damaged is told once, counted, and checked again by who reads it next.
//!
//! Of a partition that is not open it has a view of its own, which is let go when it was read: an idle one
//! stays a row. Segments may go while they are read, by retention or compaction, and what then stands under
//! their name is another file: damage counts only where the segment is still the log's.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use bytes::Bytes;

use super::Shard;
use super::rate::Rate;
use crate::error::{Fault, io_fault};
use crate::format::names::{self, DataFile, Scope, Sum};
use crate::io::{Disk, OpenMode, is_shortage};
use crate::log::{CHECK_ROWS_BYTES, Log};
use crate::partition::Partition;
use crate::segment::{OpenFiles, Segment, Walk};
use crate::types::{PartitionId, Position, Timestamp};

/// Milliseconds between the beginnings of two rounds, at least: a small broker has nothing to find every
/// second.
const ROUND_MS: i64 = 3_600_000;

pub(super) struct Scrubbing {
    pub(super) rate: Rate,
    is_on: bool,
    next_round: Cell<Timestamp>,
    /// Small files that were found damaged: each is told once.
    damaged: RefCell<BTreeSet<PathBuf>>,
}

/// The shard stops.
struct Ended;

impl Scrubbing {
    pub(super) fn new(bytes_per_second: u64, shards: usize, now: Timestamp) -> Scrubbing {
        Scrubbing {
            rate: Rate::new(bytes_per_second as f64 / shards as f64, now),
            is_on: bytes_per_second > 0,
            next_round: Cell::new(now),
            damaged: RefCell::default(),
        }
    }
}

impl<D: Disk> Shard<D> {
    /// Reads round after round, until [`Shard::end_background`].
    pub(super) async fn run_scrubbing(&self) {
        if !self.scrubbing.is_on {
            return;
        }
        while self.scrubbing.rate.next_tick().await {
            let now = (self.clock)();
            if now < self.scrubbing.next_round.get() {
                continue;
            }
            self.scrubbing.next_round.set(now.plus(ROUND_MS));
            match self.scrub_round().await {
                Ok(()) => self.counters.add(|stats| stats.scrubs += 1),
                Err(Ended) => return,
            }
        }
    }

    async fn scrub_round(&self) -> Result<(), Ended> {
        let topics = self.topics.get();
        let mine = |id: &PartitionId| id.shard(self.shards) == self.index;
        for id in topics.iter().flat_map(|topic| topic.partitions_here()).filter(mine) {
            self.pay_scrub(0).await?;
            match self.view(id).await {
                Ok(Some(partition)) => self.scrub_partition(&partition).await?,
                Ok(None) => {}
                Err(fault) if fault.is_shortage() => self.note_shortage(&fault),
                Err(fault) => {
                    tracing::error!(partition = %id, %fault, "the scrub can not open the partition")
                }
            }
        }
        self.scrub_small_files(Scope::Shard, &self.directory).await?;
        if self.index == 0 {
            self.scrub_small_files(Scope::DataDir, &self.data_dir).await?;
        }
        Ok(())
    }

    /// Reads the small files of a directory whole, those that are there.
    async fn scrub_small_files(&self, scope: Scope, directory: &Path) -> Result<(), Ended> {
        for file in DataFile::ALL.into_iter().filter(|file| file.scope() == scope && !file.may_be_torn()) {
            if let (Some(name), Sum::Whole(_, check)) = (file.fixed_name(), file.sum()) {
                self.scrub_file(directory.join(name), |bytes| check(bytes).err()).await?;
            }
        }
        Ok(())
    }

    /// The partition, or a view of one that is not open; `None` where nothing of it is known to be durable.
    async fn view(&self, id: PartitionId) -> Result<Option<Rc<Partition<D>>>, Fault> {
        let _one_at_a_time = self.opening.lock().await;
        if let Some(open) = self.partitions.borrow().get(&id) {
            return Ok(Some(open.clone()));
        }
        let topics = self.topics.get();
        let (Some((topic, replica)), Some(point)) =
            (topics.replica(id), self.closed.borrow().get(&id).cloned())
        else {
            return Ok(None);
        };
        let directory = self.data_dir.join(names::partition_dir(&topic.name, id.index));
        let recovery = Log::open(self.disk.clone(), OpenFiles::new(1), &directory, id, Some(&point)).await?;
        Ok(Some(Rc::new(Partition::new(id, recovery.log, topic.config.clone(), replica, point, None))))
    }

    /// Tells what was found in a segment that is still the log's.
    async fn note_rot(
        &self,
        seen: &Rc<Partition<D>>,
        segment: &Rc<Segment<D>>,
        truncations: u32,
        fault: &Fault,
    ) {
        let is_open = |id| self.partitions.borrow().get(&id).is_some_and(|open| Rc::ptr_eq(open, seen));
        let was_opened = self.partitions.borrow().contains_key(&seen.id) && !is_open(seen.id);
        let is_current = seen.log.holds(segment) && !seen.log.has_open_replacement();
        // Where it was opened meanwhile, the next round looks at what is there then.
        let was_truncated = seen.log.truncations() != truncations;
        if was_opened || was_truncated || !is_current || seen.is_closed() || !self.topics.get().holds(seen.id)
        {
            return;
        }
        if let Ok(Some(partition)) = self.partition(seen.id).await {
            partition.note_fault(fault);
        }
    }

    async fn scrub_partition(&self, partition: &Rc<Partition<D>>) -> Result<(), Ended> {
        for (segment, end) in partition.log.durable_segments(&partition.durable()) {
            self.scrub_segment(partition, &segment, end).await?;
        }
        self.scrub_aborted(partition).await?;
        self.scrub_small_files(Scope::Partition, partition.log.directory()).await
    }

    async fn scrub_segment(
        &self,
        partition: &Rc<Partition<D>>,
        segment: &Rc<Segment<D>>,
        end: Position,
    ) -> Result<(), Ended> {
        let (path, truncations) = (segment.log_path(), partition.log.truncations());
        let fault = |position, error| io_fault("read", &*path, position, error);
        // Opened anew: the segment's own handle reads through the page cache.
        let file = match self.disk.open(&path, OpenMode::Durable).await {
            Ok(file) => file,
            Err(error) if is_shortage(&error) => {
                self.note_shortage(&fault(Position::ZERO, error));
                return Ok(());
            }
            Err(error) => {
                self.note_rot(partition, segment, truncations, &fault(Position::ZERO, error)).await;
                return Ok(());
            }
        };
        let (file, fault) = (&file, &fault);
        let read = async move |position, length| -> Result<Bytes, Fault> {
            self.disk.read(file, position, length).await.map_err(|error| fault(position, error))
        };
        let mut walk = Walk::new(segment, Position::ZERO, segment.base(), end);
        let (mut paid, mut skipped) = (Position::ZERO, false);
        loop {
            let step = walk.next(&read).await;
            let passed = walk.position - paid;
            paid = walk.position;
            self.counters.add(|stats| stats.scrubbed_bytes += passed);
            self.pay_scrub(passed as usize).await?;
            match step {
                Ok(Some(_)) => skipped = false,
                Ok(None) => break,
                Err(found) if found.is_damage() => {
                    segment.distrust(walk.position);
                    // Behind a damaged batch whose length has rotted nothing fits: that is the same place.
                    if !skipped {
                        self.note_rot(partition, segment, truncations, &found).await;
                        skipped = walk.skip();
                        if skipped {
                            continue;
                        }
                    }
                    skipped = false;
                    // The header is rotten: the index tells where the next batches are.
                    match segment.next_indexed(walk.position).await {
                        Ok(Some((position, offset))) if position < end => walk.go_to(position, offset),
                        _ => break,
                    }
                }
                Err(refused) if refused.is_shortage() => {
                    self.note_shortage(&refused);
                    break;
                }
                Err(refused) => {
                    self.note_rot(partition, segment, truncations, &refused).await;
                    break;
                }
            }
        }
        Ok(())
    }

    /// Reads the rows of aborted transactions. Who needs one that is damaged has it made anew.
    async fn scrub_aborted(&self, partition: &Rc<Partition<D>>) -> Result<(), Ended> {
        let mut next = 0;
        loop {
            match partition.log.check_aborted(next).await {
                Ok(Some(rows)) => next = rows,
                Ok(None) => return Ok(()),
                Err(refused) if refused.is_shortage() => {
                    self.note_shortage(&refused);
                    return Ok(());
                }
                Err(found) => {
                    let id = partition.id;
                    let other = |open: &Rc<Partition<D>>| !Rc::ptr_eq(open, partition);
                    // Where it was opened meanwhile, the next round looks at what is there then.
                    let was_opened = self.partitions.borrow().get(&id).is_some_and(other);
                    if !was_opened && let Ok(Some(partition)) = self.partition(id).await {
                        partition.note_fault(&found);
                    }
                    return Ok(());
                }
            }
            self.counters.add(|stats| stats.scrubbed_bytes += CHECK_ROWS_BYTES as u64);
            self.pay_scrub(CHECK_ROWS_BYTES).await?;
        }
    }

    /// Reads a small file whole, if it is there.
    async fn scrub_file<E: std::fmt::Display>(
        &self,
        path: PathBuf,
        problem: impl Fn(&[u8]) -> Option<E>,
    ) -> Result<(), Ended> {
        let read = async {
            let file = self.disk.open(&path, OpenMode::Durable).await?;
            let length = self.disk.len(&file).await?;
            self.disk.read(&file, Position::ZERO, length as usize).await
        };
        let problem = match read.await {
            // Nothing is known of it; the next round looks again.
            Err(error) if is_shortage(&error) => {
                self.note_shortage(&io_fault("read", path, Position::ZERO, error));
                return Ok(());
            }
            Ok(bytes) => {
                self.counters.add(|stats| stats.scrubbed_bytes += bytes.len() as u64);
                self.pay_scrub(bytes.len()).await?;
                problem(&bytes).map(|error| error.to_string())
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => Some(error.to_string()),
        };
        if let Some(what) = problem
            && self.scrubbing.damaged.borrow_mut().insert(path.clone())
        {
            tracing::error!(path = %path.display(), what, "the file is damaged: replace it before the next start");
            self.counters.add(|stats| stats.damages += 1);
        }
        Ok(())
    }

    async fn pay_scrub(&self, bytes: usize) -> Result<(), Ended> {
        if self.scrubbing.rate.pay(bytes).await { Ok(()) } else { Err(Ended) }
    }
}
