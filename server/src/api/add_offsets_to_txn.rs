//! AddOffsetsToTxn: a transaction is to commit offsets of a group, as clients before KIP-890 say it.

use strandline_engine::format::batch::Producer;
use strandline_engine::types::{ProducerEpoch, ProducerId};
use strandline_protocol::messages::{AddOffsetsToTxnRequest, AddOffsetsToTxnResponse};
use strandline_protocol::wire::ErrorCode;

use crate::api::transactions::known_to;
use crate::call::Call;
use crate::groups::OFFSETS_TOPIC;
use crate::security::acl::{Operation, Resource};
use crate::transactions::ByTopic;

/// The first version whose clients know PRODUCER_FENCED.
const FENCED_FROM: i16 = 2;

/// Adds the partition that the group's offsets are kept in.
pub async fn handle(call: &Call, request: AddOffsetsToTxnRequest) -> AddOffsetsToTxnResponse {
    let version = call.header.version;
    let error = add(call, request).await.err().unwrap_or(ErrorCode::None);
    AddOffsetsToTxnResponse { error_code: known_to(version, FENCED_FROM, error).code(), ..Default::default() }
}

async fn add(call: &Call, request: AddOffsetsToTxnRequest) -> Result<(), ErrorCode> {
    let AddOffsetsToTxnRequest { transactional_id: id, producer_id, producer_epoch, group_id } = request;
    let broker = &call.broker;
    call.may(Operation::Write, Resource::transactional_id(&id))?;
    call.may(Operation::Read, Resource::group(&group_id))?;
    if id.is_empty() {
        return Err(ErrorCode::InvalidRequest);
    }
    if group_id.is_empty() {
        return Err(ErrorCode::InvalidGroupId);
    }
    let partition = broker.groups.partition(&broker.shard, &group_id).await.map_err(|error| {
        tracing::warn!(%error, "the topic that groups are kept in was not made");
        ErrorCode::CoordinatorNotAvailable
    })?;
    let producer = Producer { id: ProducerId(producer_id), epoch: ProducerEpoch(producer_epoch) };
    let added = ByTopic::from([(OFFSETS_TOPIC.to_owned(), [partition.index as i32].into())]);
    broker.transactions.add_partitions(&broker.shard, id, producer, added, 0).await
}
