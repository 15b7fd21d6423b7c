//! Truncating a log while it is used: `log/truncate.rs` has the steps and what a crash between them leaves.
//!
//! All of it happens in a turn, so that nothing is appended meanwhile, and under the lock of the background,
//! so that nothing is synced, deleted or compacted, and no checkpoint is written in between. Readers go on;
//! one that was reading what goes reads again.

use futures_channel::oneshot;

use super::Shard;
use super::inbox::AskedTruncation;
use crate::error::{AppendError, Fault, TruncateError, io_fault};
use crate::io::Disk;
use crate::journal::{CommitFailure, Journal, PoolFailure};
use crate::types::{Offset, PartitionId, Position};

impl<D: Disk> Shard<D> {
    /// Cuts a log off at `to`, or before the batch that holds it. Durable when it returns; gives the offset
    /// that the next record gets.
    pub(crate) async fn truncate(&self, partition: PartitionId, to: Offset) -> Result<Offset, TruncateError> {
        let (reply, answer) = oneshot::channel();
        self.inbox.push_truncation(AskedTruncation { partition, to, reply });
        answer.await.unwrap_or(Err(TruncateError::Stopping))
    }

    pub(super) async fn truncate_now(
        &self,
        journal: &mut Journal<D>,
        id: PartitionId,
        to: Offset,
    ) -> Result<Offset, TruncateError> {
        let faulty = |fault: Fault| TruncateError::Faulty { partition: id, fault };
        let partition = match self.partition(id).await {
            Ok(Some(partition)) => partition,
            Ok(None) => return Err(TruncateError::UnknownPartition(id)),
            Err(fault) => return Err(faulty(fault)),
        };
        // A full journal file is recycled under the lock that is taken next.
        journal.make_room_for_truncation().await.map_err(|failure| match failure {
            CommitFailure::NoSpace => TruncateError::NoSpace(id),
            CommitFailure::Unavailable(fault)
            | CommitFailure::Shortage(fault)
            | CommitFailure::Fault(fault) => faulty(fault),
        })?;
        let _no_background = self.background.lock().await;
        partition.check_appendable().map_err(|refusal| match refusal {
            AppendError::Fenced { fault, .. } => faulty(fault),
            _ => TruncateError::NoSpace(id),
        })?;
        if partition.log.has_open_replacement() {
            // The next start puts the new segment in place, with what would be cut off now.
            let unfinished =
                std::io::Error::other("a compaction has failed half-way; the next start finishes it");
            return Err(faulty(io_fault("truncate", partition.log.directory(), Position::ZERO, unfinished)));
        }
        let log_start = partition.log.log_start();
        if to < log_start {
            return Err(TruncateError::OffsetOutOfRange { requested: to, log_start });
        }
        if to >= partition.log.end() {
            return Ok(partition.log.end());
        }
        partition.log.clear_leftovers().await.map_err(faulty)?;
        partition.sync().await.map_err(faulty)?;
        let written = |refusal| match refusal {
            PoolFailure::NoSpace => TruncateError::NoSpace(id),
            PoolFailure::Fault(fault) => faulty(fault),
        };
        // It tells the next start what the log knows of producers and leader epochs, up to where it is cut
        // off.
        self.write_checkpoint().await.map_err(written)?;
        let cut = partition.log.plan_cut(to).await.map_err(faulty)?;
        let end = cut.truncation.end;
        if let Err(failure) = journal.commit_truncation(&cut.truncation).await {
            let fault = match failure {
                CommitFailure::Shortage(fault)
                | CommitFailure::Fault(fault)
                | CommitFailure::Unavailable(fault) => fault,
                CommitFailure::NoSpace => unreachable!("there is room in the file"),
            };
            // Whether the next start finds it is not known: it must find nothing that was appended after.
            partition.fence(&fault);
            return Err(faulty(fault));
        }
        partition.truncate(cut).await.map_err(faulty)?;
        tracing::info!(partition = %id, %end, "the log was truncated");
        // Whoever writes it next lifts the wait of the appends; where that never comes, the next start
        // truncates again.
        self.write_checkpoint().await.map_err(written)?;
        Ok(end)
    }
}
