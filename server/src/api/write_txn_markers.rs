//! WriteTxnMarkers: transactions end in some partitions, whatever their coordinators say. It is how a
//! transaction is ended by hand that nobody coordinates any more (KIP-664).
//!
//! A partition takes no marker of an older coordinator than the one before. So one that claims an epoch that
//! no coordinator has yet would shut out those of the coordinator itself: it is refused, where Kafka believes
//! it.

use strandline_engine::format::batch::Producer;
use strandline_engine::reactor::yield_if_needed;
use strandline_engine::types::{LeaderEpoch, ProducerEpoch, ProducerId};
use strandline_engine::{Marker, TransactionResult};
use strandline_protocol::messages::{
    WritableTxnMarker, WritableTxnMarkerPartitionResult, WritableTxnMarkerResult, WritableTxnMarkerTopic,
    WritableTxnMarkerTopicResult, WriteTxnMarkersRequest, WriteTxnMarkersResponse,
};
use strandline_protocol::wire::ErrorCode;

use crate::api::append_error;
use crate::api::distinct::distinct_by_name;
use crate::api::together::together;
use crate::broker::{Broker, TopicKey};
use crate::call::Call;
use crate::groups::OFFSETS_TOPIC;
use crate::security::acl::{Operation, Resource};
use crate::transactions::{BUMPING_LEVEL, STATE_TOPIC};

/// What became of each marker.
pub async fn handle(call: &Call, request: WriteTxnMarkersRequest) -> WriteTxnMarkersResponse {
    let may = match call.shows(Operation::Alter, Resource::CLUSTER) {
        true => Ok(()),
        false => call.may(Operation::ClusterAction, Resource::CLUSTER),
    };
    let mut markers = Vec::with_capacity(request.markers.len());
    for asked in request.markers {
        markers.push(write(&call.broker, asked, may).await);
        yield_if_needed().await;
    }
    WriteTxnMarkersResponse { markers }
}

async fn write(
    broker: &Broker,
    asked: WritableTxnMarker,
    may: Result<(), ErrorCode>,
) -> WritableTxnMarkerResult {
    let marker = Marker {
        producer: Producer { id: ProducerId(asked.producer_id), epoch: ProducerEpoch(asked.producer_epoch) },
        coordinator_epoch: asked.coordinator_epoch,
        result: match asked.transaction_result {
            true => TransactionResult::Commit,
            false => TransactionResult::Abort,
        },
        bumped: i16::from(asked.transaction_version) >= BUMPING_LEVEL,
    };
    let named = asked.topics.into_iter();
    let named = named.map(|WritableTxnMarkerTopic { name, partition_indexes }| (name, partition_indexes));
    let mut topics = Vec::new();
    for (name, indexes) in distinct_by_name(named.collect(), |index: &i32| *index).await {
        let partitions = together(&indexes, async |index| {
            let appended = match may {
                Ok(()) => append(broker, &name, *index, marker).await,
                Err(error) => Err(error),
            };
            let error = appended.err().unwrap_or(ErrorCode::None);
            WritableTxnMarkerPartitionResult { partition_index: *index, error_code: error.code() }
        });
        let partitions = partitions.await;
        topics.push(WritableTxnMarkerTopicResult { name, partitions });
    }
    WritableTxnMarkerResult { producer_id: asked.producer_id, topics }
}

async fn append(broker: &Broker, topic: &str, index: i32, marker: Marker) -> Result<(), ErrorCode> {
    let is_nobody = marker.producer.id.is_none() || marker.producer.epoch < ProducerEpoch::FIRST;
    if is_nobody || !(0..=newest_coordinator(broker).0).contains(&marker.coordinator_epoch) {
        return Err(ErrorCode::InvalidRequest);
    }
    let found = broker.topic(TopicKey::Name(topic))?;
    let partition = broker.partition(&found, index)?;
    let ended = match topic {
        OFFSETS_TOPIC => broker.groups.end_transaction(&broker.shard, partition, marker).await?,
        _ => broker.shard.end_transaction(partition, marker).await.settled().await.map(drop),
    };
    ended.map_err(|error| append_error(&error))
}

/// The newest epoch of a coordinator: they are those in which the partitions of the state topic are led.
fn newest_coordinator(broker: &Broker) -> LeaderEpoch {
    let Ok(topic) = broker.topic(TopicKey::Name(STATE_TOPIC)) else { return LeaderEpoch::FIRST };
    let replicas = (0..topic.partitions).filter_map(|index| topic.replica(index));
    replicas.map(|replica| replica.epoch).max().unwrap_or(LeaderEpoch::FIRST)
}
