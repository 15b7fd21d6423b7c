//! Looking for room on a disk that was full: for what the journals keep of partitions that a start could not
//! bring back, and for the appends that were refused.
//!
//! A start on a full disk leaves acknowledged batches in the journals where their segments have no room for
//! them ([`Incomplete`]). The partition serves what its log has and refuses what lies behind, until one of
//! these looks has put the batches back. They are durable meanwhile: the journals' files stay until a start
//! that finds everything in its place.
//!
//! A shard that nobody appends to would never know that the disk has room again: the same look writes some
//! bytes, and removes them.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::rc::Rc;

use bytes::Bytes;

use super::Shard;
use crate::error::{Damage, Fault, FaultKind, MissingCause, io_fault};
use crate::format::batch::{BatchHeader, verify_crc};
use crate::format::names;
use crate::io::{Disk, OpenMode};
use crate::journal::replay::JournaledBatch;
use crate::partition::{Incomplete, Partition};
use crate::segment::WriteFailure;
use crate::types::{LeaderEpoch, PartitionId, Position, Timestamp};

/// Milliseconds from one look to the next.
const LOOK_MS: i64 = 1000;

/// Bytes that a look writes: what a small append needs, with the blocks that tell where it is.
const PROBE_BYTES: usize = 64 << 10;

pub(super) struct Room {
    /// Partitions whose batches wait in a journal.
    waiting: RefCell<BTreeSet<PartitionId>>,
    next_look: Cell<Timestamp>,
    is_due: Cell<bool>,
}

impl Room {
    pub(super) fn new(damaged: &BTreeMap<PartitionId, Incomplete>, shard: usize, shards: usize) -> Room {
        let waits = |(id, lacks): (&PartitionId, &Incomplete)| {
            (!lacks.journaled.is_empty() && id.shard(shards) == shard).then_some(*id)
        };
        Room {
            waiting: RefCell::new(damaged.iter().filter_map(waits).collect()),
            next_look: Cell::default(),
            is_due: Cell::new(false),
        }
    }
}

fn of_fault(fault: Fault) -> WriteFailure {
    if fault.is_shortage() { WriteFailure::Shortage(fault) } else { WriteFailure::Fault(fault) }
}

impl<D: Disk> Shard<D> {
    /// Asks for a look when it is time for one, and something waits for room. True when there must be a turn
    /// for it.
    pub(super) fn wants_room(&self, now: Timestamp) -> bool {
        let waits = self.disk_full.get() || !self.room.waiting.borrow().is_empty();
        if !waits || now < self.room.next_look.get() {
            return false;
        }
        self.room.next_look.set(now.plus(LOOK_MS));
        self.room.is_due.set(true);
        true
    }

    /// Looks, if that was asked for. In a turn, which may wait for the background, and not the other way
    /// round: what the background does is what commits wait for.
    pub(super) async fn look_for_room(&self) {
        if !self.room.is_due.take() {
            return;
        }
        let _no_background = self.background.lock().await;
        let waiting: Vec<_> = self.room.waiting.borrow().iter().copied().collect();
        for id in waiting {
            let partition = match self.partition(id).await {
                Ok(Some(partition)) => partition,
                // The topic was deleted.
                Ok(None) => {
                    self.room.waiting.borrow_mut().remove(&id);
                    continue;
                }
                Err(fault) => {
                    tracing::error!(partition = %id, %fault, "the partition can not be opened");
                    continue;
                }
            };
            match self.bring_back(&partition).await {
                Ok(()) => {
                    tracing::info!(partition = %id, "there is room: all acknowledged records are back in their log")
                }
                Err(WriteFailure::NoSpace | WriteFailure::Shortage(_)) => continue,
                Err(WriteFailure::Fault(fault)) => partition.fence(&fault),
            }
            self.room.waiting.borrow_mut().remove(&id);
        }
        if self.disk_full.get() && self.has_room().await {
            self.disk_full.set(false);
            tracing::info!(shard = self.index, "the disk has room again: appends go on");
        }
    }

    /// Puts the journal's batches behind what the log has.
    async fn bring_back(&self, partition: &Rc<Partition<D>>) -> Result<(), WriteFailure> {
        let Some(lacks) = partition.incomplete() else { return Ok(()) };
        for (journal, batch) in &lacks.journaled {
            if batch.base_offset >= partition.log.end() {
                self.put_back(partition, journal, batch).await?;
            }
        }
        if partition.log.end() < lacks.end {
            return Err(WriteFailure::Fault(lacks.fault));
        }
        partition.complete();
        partition.wake();
        match partition.sync().await {
            // They are in the journal until a start that finds them synced.
            Err(fault) if fault.is_shortage() => Ok(()),
            synced => synced.map_err(of_fault),
        }
    }

    async fn put_back(
        &self,
        partition: &Rc<Partition<D>>,
        journal: &PathBuf,
        batch: &JournaledBatch,
    ) -> Result<(), WriteFailure> {
        let log = &partition.log;
        let bytes = self.read_journaled(journal, batch).await.map_err(of_fault)?;
        if batch.base_offset > log.end() {
            let (path, cause) = (log.directory().to_owned(), MissingCause::BeforeJournal);
            let missing = FaultKind::Missing { path, offset: log.end(), end: batch.base_offset, cause };
            return Err(WriteFailure::Fault(missing.into()));
        }
        let epoch = BatchHeader::peek(&bytes).map_or(LeaderEpoch::FIRST, |header| header.leader_epoch());
        if epoch < log.last_epoch() {
            let (path, position, offset) = (journal.clone(), batch.position, batch.base_offset);
            let what = Damage::JournaledEpoch { found: epoch, last: log.last_epoch() };
            return Err(WriteFailure::Fault(FaultKind::Damage { path, position, offset, what }.into()));
        }
        let mut draft = log.draft(&partition.config()).await.map_err(of_fault)?;
        draft.push_stamped(log, bytes);
        match draft.write(log).await {
            Ok(()) => {
                partition.adopt(draft);
                Ok(())
            }
            Err(failure) => {
                log.discard(draft).await.map_err(of_fault)?;
                Err(failure)
            }
        }
    }

    async fn read_journaled(&self, journal: &PathBuf, batch: &JournaledBatch) -> Result<Bytes, Fault> {
        let failed = |error| io_fault("read", journal, batch.position, error);
        let file = self.disk.open(journal, OpenMode::Existing).await.map_err(failed)?;
        let bytes = self.disk.read(&file, batch.position, batch.length as usize).await.map_err(failed)?;
        match bytes.len() == batch.length as usize && verify_crc(&bytes).is_ok() {
            true => Ok(bytes),
            false => {
                let (path, position, offset) = (journal.clone(), batch.position, batch.base_offset);
                let what = Damage::JournaledBatch;
                Err(FaultKind::Damage { path, position, offset, what }.into())
            }
        }
    }

    /// Whether some bytes can be written.
    async fn has_room(&self) -> bool {
        let name = format!("{}{}", names::CHECKPOINT_COPY_FILE, names::TEMPORARY);
        let path = self.directory.join(name);
        let written = async {
            let file = self.disk.open(&path, OpenMode::Truncate).await?;
            self.disk.write(&file, Position::ZERO, vec![Bytes::from_static(&[0; PROBE_BYTES])]).await
        };
        let written = written.await;
        let removed = self.disk.remove_file(&path).await;
        written.is_ok() && removed.is_ok()
    }
}
