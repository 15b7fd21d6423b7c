//! What a share partition needs of its log besides the records: where it begins, where a group begins that
//! never fetched, and when there is more of it.

use std::time::{SystemTime, UNIX_EPOCH};

use strandline_engine::error::ReadError;
use strandline_engine::types::{Offset, PartitionId, Timestamp};
use strandline_engine::{Isolation, Local, OffsetQuery, Reader};
use strandline_protocol::wire::ErrorCode;

use crate::config::Reset;
use crate::coordination::Partitions;

/// The logs of a shard's partitions.
#[allow(async_fn_in_trait, reason = "it stays on the shard's thread: no future of it is `Send`")]
pub trait ShareLog: Partitions {
    /// The first offset that there is.
    ///
    /// # Errors
    /// When the log cannot be read.
    async fn log_start(&self, partition: PartitionId) -> Result<i64, ErrorCode>;

    /// Where a group begins.
    ///
    /// # Errors
    /// When the log cannot be read.
    async fn reset(&self, partition: PartitionId, reset: Reset) -> Result<i64, ErrorCode>;

    /// Returns when a group can read beyond an offset, or the partition is not here any more; the end of what
    /// it can read.
    async fn grown(&self, partition: PartitionId, isolation: Isolation, beyond: i64) -> Option<i64>;
}

impl ShareLog for Local {
    async fn log_start(&self, partition: PartitionId) -> Result<i64, ErrorCode> {
        find(self, partition, OffsetQuery::Earliest).await.map(|found| found.unwrap_or(0))
    }

    async fn reset(&self, partition: PartitionId, reset: Reset) -> Result<i64, ErrorCode> {
        let latest = async || find(self, partition, OffsetQuery::Latest).await.map(|end| end.unwrap_or(0));
        match reset {
            Reset::Earliest => self.log_start(partition).await,
            Reset::Latest => latest().await,
            Reset::ByDuration(duration) => {
                let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                let at = since.saturating_sub(duration).as_millis() as i64;
                let found = find(self, partition, OffsetQuery::AtTimestamp(Timestamp(at))).await?;
                match found {
                    Some(offset) => Ok(offset),
                    None => latest().await,
                }
            }
        }
    }

    async fn grown(&self, partition: PartitionId, isolation: Isolation, beyond: i64) -> Option<i64> {
        let beyond = Offset::checked(beyond)?;
        self.wait(Reader::Consumer(isolation), &[(partition, beyond)]).await;
        let end = match isolation {
            Isolation::ReadUncommitted => OffsetQuery::Latest,
            Isolation::ReadCommitted => OffsetQuery::LatestStable,
        };
        find(self, partition, end).await.ok().flatten()
    }
}

async fn find(log: &Local, partition: PartitionId, query: OffsetQuery) -> Result<Option<i64>, ErrorCode> {
    let found = log.find_offset(partition, query, None).await;
    let found = found.map_err(|error| match error {
        ReadError::UnknownPartition(_) => ErrorCode::UnknownTopicOrPartition,
        ReadError::NotLeader(_) | ReadError::Stopping => ErrorCode::NotLeaderOrFollower,
        _ => ErrorCode::KafkaStorageError,
    })?;
    Ok(found.map(|found| found.offset.get()))
}
