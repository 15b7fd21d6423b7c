//! DeleteRecords: the records before an offset go, partition by partition. Durable when the answer leaves.

use futures_util::future::join_all;
use strandline_engine::DeleteBefore;
use strandline_engine::types::Offset;
use strandline_protocol::messages::{
    DeleteRecordsPartition, DeleteRecordsPartitionResult, DeleteRecordsRequest, DeleteRecordsResponse,
    DeleteRecordsTopicResult,
};
use strandline_protocol::wire::ErrorCode;

use crate::api::delete_records_error;
use crate::api::distinct::distinct_by_name;
use crate::broker::TopicKey;
use crate::call::Call;
use crate::security::acl::Operation;

/// "All that there are."
const HIGH_WATERMARK: i64 = -1;

/// Deletes in all partitions at once: those of one shard share one write of its checkpoint. Of a partition
/// that is named twice, the last offset counts.
pub async fn handle(call: &Call, request: DeleteRecordsRequest) -> DeleteRecordsResponse {
    let named = request.topics.into_iter().map(|topic| (topic.name, topic.partitions)).collect();
    let asked = distinct_by_name(named, |asked: &DeleteRecordsPartition| asked.partition_index).await;
    let topics = asked.iter().map(async |(topic, partitions)| {
        let partitions = partitions.iter().map(async |asked| {
            let answer =
                DeleteRecordsPartitionResult { partition_index: asked.partition_index, ..Default::default() };
            match delete(call, topic, asked).await {
                Ok(low_watermark) => DeleteRecordsPartitionResult { low_watermark, ..answer },
                Err(error) => {
                    DeleteRecordsPartitionResult { low_watermark: -1, error_code: error.code(), ..answer }
                }
            }
        });
        DeleteRecordsTopicResult { name: topic.clone(), partitions: join_all(partitions).await }
    });
    DeleteRecordsResponse { topics: join_all(topics).await, ..Default::default() }
}

/// The first offset that is left.
async fn delete(call: &Call, topic: &str, asked: &DeleteRecordsPartition) -> Result<i64, ErrorCode> {
    let broker = &call.broker;
    let topic = call.topic(Operation::Delete, TopicKey::Name(topic))?;
    let partition = broker.partition(&topic, asked.partition_index)?;
    let before = match asked.offset {
        HIGH_WATERMARK => DeleteBefore::HighWatermark,
        offset => DeleteBefore::Offset(Offset::checked(offset).ok_or(ErrorCode::OffsetOutOfRange)?),
    };
    let deleted = broker.shard.delete_records(partition, before).await;
    deleted.map(Offset::get).map_err(|error| delete_records_error(&error))
}
