//! DescribeProducers: the idempotent producers that partitions remember.

use std::collections::{BTreeMap, BTreeSet};

use strandline_engine::ActiveProducer as Remembered;
use strandline_engine::types::PartitionId;

use crate::api::read_error;
use crate::dispatch::Broker;
use crate::messages::{
    ActiveProducer, DescribeProducersPartitionResult, DescribeProducersRequest, DescribeProducersResponse,
    DescribeProducersTopicResult,
};
use crate::room::{Gathered, Seat};
use crate::wire::ErrorCode;

/// Each partition once, however often it is named.
pub async fn handle(
    broker: &Broker,
    _: i16,
    request: DescribeProducersRequest,
    seat: &mut Seat,
) -> DescribeProducersResponse {
    let mut gathered = Gathered::new(seat);
    let mut asked: BTreeMap<String, BTreeSet<i32>> = BTreeMap::new();
    for topic in request.topics {
        asked.entry(topic.name).or_default().extend(topic.partition_indexes);
    }
    let mut topics = Vec::with_capacity(asked.len());
    for (name, indexes) in asked {
        let mut partitions = Vec::with_capacity(indexes.len());
        for partition_index in indexes {
            let answer = DescribeProducersPartitionResult { partition_index, ..Default::default() };
            partitions.push(match producers(broker, &name, partition_index).await {
                Ok(found) => {
                    let bytes = found.len() * size_of::<ActiveProducer>();
                    if bytes > gathered.left() {
                        gathered.make_room(bytes).await;
                    }
                    gathered.add(bytes);
                    let active_producers = found.into_iter().map(described).collect();
                    DescribeProducersPartitionResult { active_producers, ..answer }
                }
                Err(error) => DescribeProducersPartitionResult { error_code: error.code(), ..answer },
            });
        }
        topics.push(DescribeProducersTopicResult { name, partitions });
    }
    DescribeProducersResponse { topics, ..Default::default() }
}

async fn producers(broker: &Broker, topic: &str, partition: i32) -> Result<Vec<Remembered>, ErrorCode> {
    let id = {
        let topics = broker.shard.topics();
        let index = u32::try_from(partition).ok();
        let place = topics.by_name(topic).zip(index).filter(|(topic, index)| *index < topic.partitions);
        let (topic, index) = place.ok_or(ErrorCode::UnknownTopicOrPartition)?;
        PartitionId::new(topic.id, index)
    };
    broker.shard.handle().producers(id).await.map_err(|error| read_error(&error))
}

fn described(producer: Remembered) -> ActiveProducer {
    ActiveProducer {
        producer_id: producer.id,
        producer_epoch: producer.epoch.into(),
        last_sequence: producer.last_sequence.unwrap_or(-1),
        last_timestamp: producer.last_timestamp,
        // Of the coordinator that has ended its last transaction: there was none.
        coordinator_epoch: -1,
        current_txn_start_offset: -1,
    }
}
