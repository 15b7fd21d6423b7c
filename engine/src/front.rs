//! The front seam: how a network protocol, or anything else that runs on the shards' own threads, uses the
//! engine.
//!
//! The seam speaks the engine's words only (append, read, wait, find an offset); protocols stay above it. The
//! Kafka front of the server and the loopback front of the benchmarks stand on it, and their difference is
//! the cost of the network.

use std::future::Future;
use std::io;
use std::rc::Rc;

use async_channel::Receiver;
use bytes::{Bytes, BytesMut};
use futures_channel::oneshot;
use futures_util::future::join_all;

use crate::admission::{Admission, Bench};
use crate::config::SettingsSnapshot;
use crate::error::{AppendError, DeleteRecordsError, ReadError};
use crate::format::batch::Producer;
use crate::format::marker::Marker;
use crate::handle::{Handle, PendingAppend, check_rules, unlatch};
use crate::io::{Disk, DiskFile as File};
use crate::log::{FileRange, OffsetAndTimestamp, Origin, Participation};
use crate::message::{Appending, DeleteBefore, Message, OffsetQuery, READS_AT_ONCE, ReadRequest};
use crate::partition::{ReadResult, Reader};
use crate::reactor::{EngineDisk, ShardDisk, Sockets, yield_if_needed};
use crate::shard::Shard;
use crate::stats::ShardStats;
use crate::topics::TopicSnapshot;
use crate::types::{EpochEnd, LeaderEpoch, Offset, PartitionId};

/// Something that serves the engine's shards, one instance on each of their threads.
pub trait Front: Clone + Send + 'static {
    /// Runs on the shard's thread until [`Local::stopped`] returns. When it returns earlier, the shard still
    /// serves the others.
    fn run(self, shard: Local) -> impl Future<Output = ()>;
}

/// A front that does nothing: the engine is used through its [`Handle`].
#[derive(Clone, Copy, Debug, Default)]
pub struct NoFront;

impl Front for NoFront {
    async fn run(self, shard: Local) {
        shard.stopped().await;
    }
}

/// Two fronts beside each other on one engine; a pair of pairs has more. Each ends its own work when the
/// engine stops, at the same time as the other.
impl<A: Front, B: Front> Front for (A, B) {
    async fn run(self, shard: Local) {
        futures_util::future::join(self.0.run(shard.clone()), self.1.run(shard)).await;
    }
}

/// The engine as seen from one shard's thread: its own partitions directly, those of other shards by one hop.
#[derive(Clone)]
pub struct Local {
    index: usize,
    shard: Rc<Shard<EngineDisk>>,
    handle: Handle,
    admission: Rc<Admission>,
    disk: ShardDisk,
    sockets: Sockets,
    stop: Receiver<()>,
}

impl Local {
    pub(crate) fn new(
        index: usize,
        shard: Rc<Shard<EngineDisk>>,
        handle: Handle,
        disk: ShardDisk,
        bench: Bench,
        stop: Receiver<()>,
    ) -> Local {
        let sockets = Sockets::new(&disk);
        Local { index, shard, handle, admission: Rc::new(Admission::new(bench)), disk, sockets, stop }
    }

    /// The number of this shard.
    pub fn index(&self) -> usize {
        self.index
    }

    /// Number of shards.
    pub fn shards(&self) -> usize {
        self.handle.shards()
    }

    /// The engine as a whole: what creates, changes or counts. It serves other threads as well.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Returns when the engine stops: the front should end its work.
    pub async fn stopped(&self) {
        // Nothing is ever sent; the channel closes.
        let _ = self.stop.recv().await;
    }

    /// This thread's sockets: waiting for them, receiving, sending.
    pub fn sockets(&self) -> &Sockets {
        &self.sockets
    }

    /// Copies the batches of a read out of their file, without holding up the thread when they are not in
    /// memory.
    ///
    /// # Errors
    /// What the system says; `UnexpectedEof` when the file is shorter than it was.
    pub async fn copy(&self, range: &FileRange<File>) -> io::Result<Bytes> {
        let bytes = self.disk.read(&range.file, range.position, range.length as usize).await?;
        match bytes.len() as u64 == range.length {
            true => Ok(bytes),
            false => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    fn owns(&self, partition: PartitionId) -> bool {
        partition.shard(self.shards()) == self.index
    }

    /// All topics, as this shard knows them: a change is known to every shard before it is answered. Takes no
    /// lock.
    pub fn topics(&self) -> TopicSnapshot {
        self.shard.topics()
    }

    /// The settings in force that may change while the engine runs, as this shard knows them: a change is
    /// known to every shard before it is answered. Takes no lock.
    pub fn settings(&self) -> SettingsSnapshot {
        self.shard.settings()
    }

    /// Checks one record batch against the topic's rules and hands it over; see [`Handle::append`] for the
    /// two steps of the answer. A check that is dear gives way to the shard's other work.
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

    /// The same for a batch of another origin; see [`Handle::append_as`].
    ///
    /// # Errors
    /// Those of [`Local::append`].
    pub async fn append_as(
        &self,
        partition: PartitionId,
        batch: BytesMut,
        origin: Origin,
    ) -> Result<PendingAppend, AppendError> {
        let batch = self.admission.check(batch, &check_rules(&self.topics(), partition)?).await?;
        Ok(self.hand_over(partition, Appending::Batch(batch, origin)).await)
    }

    /// Ends a transaction in a partition; see [`Handle::end_transaction`].
    pub async fn end_transaction(&self, partition: PartitionId, marker: Marker) -> PendingAppend {
        self.hand_over(partition, Appending::Marker(marker)).await
    }

    async fn hand_over(&self, partition: PartitionId, what: Appending) -> PendingAppend {
        match self.owns(partition) {
            true => PendingAppend::new(self.shard.append(partition, what).await),
            false => self.handle.hand_over(partition, what).await,
        }
    }

    /// Whether a transaction of this producer is open in a partition; see [`Handle::participation`].
    ///
    /// # Errors
    /// Those of [`Handle::participation`].
    pub async fn participation(
        &self,
        partition: PartitionId,
        producer: Producer,
    ) -> Result<Participation, AppendError> {
        match self.owns(partition) {
            true => self.shard.participation(partition, producer).await,
            false => self.handle.participation(partition, producer).await,
        }
    }

    /// Reads several partitions; the results stand in the order of the requests. See [`Handle::read`].
    pub async fn read(&self, requests: &[ReadRequest]) -> Vec<Result<ReadResult<File>, ReadError>> {
        if let [request] = requests
            && self.owns(request.partition)
        {
            return vec![self.shard.read(*request).await.map(unlatch)];
        }
        let mut by_shard: Vec<Vec<usize>> = vec![Vec::new(); self.shards()];
        for (at, request) in requests.iter().enumerate() {
            by_shard[request.partition.shard(self.shards())].push(at);
        }
        let mut results: Vec<_> = requests.iter().map(|_| Err(ReadError::Stopping)).collect();
        let remote = join_all(
            by_shard.iter().enumerate().filter(|(shard, at)| *shard != self.index && !at.is_empty()).map(
                async |(shard, at)| {
                    let asked = at.iter().map(|at| requests[*at]).collect();
                    (at, self.handle.read_at(shard, asked).await)
                },
            ),
        );
        let local = async {
            let mut found = Vec::new();
            for at in &by_shard[self.index] {
                found.push((*at, self.shard.read(requests[*at]).await.map(unlatch)));
                if found.len() % READS_AT_ONCE == 0 {
                    yield_if_needed().await;
                }
            }
            found
        };
        let (remote, local) = futures_util::future::join(remote, local).await;
        for (at, result) in local {
            results[at] = result;
        }
        for (places, found) in remote {
            for (at, result) in places.iter().zip(found) {
                results[*at] = result;
            }
        }
        results
    }

    /// Returns when one of the partitions has records for this reader beyond its offset, or is gone. Dropping
    /// the future ends the wait.
    pub async fn wait(&self, reader: Reader, beyond: &[(PartitionId, Offset)]) {
        let mut by_shard: Vec<Vec<(PartitionId, Offset)>> = vec![Vec::new(); self.shards()];
        for entry in beyond {
            by_shard[entry.0.shard(self.shards())].push(*entry);
        }
        let mut waits = Vec::new();
        for (shard, entries) in by_shard.into_iter().enumerate().filter(|(_, entries)| !entries.is_empty()) {
            if shard == self.index {
                waits.push(self.shard.wait_receiver(reader, &entries).await);
            } else {
                let (reply, receiver) = oneshot::channel();
                self.handle.send(shard, Message::Wait { reader, beyond: entries, reply }).await;
                waits.push(receiver);
            }
        }
        if !waits.is_empty() {
            // A dropped sender means that the partition has gone: that ends the wait as well.
            let _ = futures_util::future::select_all(waits).await;
        }
    }

    /// Finds an offset; `None` when no record fits. See [`Handle::find_offset`].
    pub async fn find_offset(
        &self,
        partition: PartitionId,
        query: OffsetQuery,
        leader_epoch: Option<LeaderEpoch>,
    ) -> Result<Option<OffsetAndTimestamp>, ReadError> {
        if self.owns(partition) {
            return self.shard.find_offset(partition, query, leader_epoch).await;
        }
        self.handle.find_offset(partition, query, leader_epoch).await
    }

    /// Finds where a leader epoch ends. See [`Handle::end_of_epoch`].
    pub async fn end_of_epoch(
        &self,
        partition: PartitionId,
        epoch: LeaderEpoch,
        leader_epoch: Option<LeaderEpoch>,
    ) -> Result<Option<EpochEnd>, ReadError> {
        if self.owns(partition) {
            return self.shard.end_of_epoch(partition, epoch, leader_epoch).await;
        }
        self.handle.end_of_epoch(partition, epoch, leader_epoch).await
    }

    /// Deletes the records before an offset; see [`Handle::delete_records`].
    pub async fn delete_records(
        &self,
        partition: PartitionId,
        before: DeleteBefore,
    ) -> Result<Offset, DeleteRecordsError> {
        if self.owns(partition) {
            return self.shard.delete_records(partition, before).await;
        }
        self.handle.delete_records(partition, before).await
    }

    /// The counters of this shard.
    pub fn stats(&self) -> ShardStats {
        self.shard.stats()
    }
}
