//! Which offset a partition starts at, ends at, or had at a point in time.

use super::cluster::Retriable;
use crate::{Client, Code, MetadataError, RequestError, Topic};
use std::collections::BTreeMap;
use strandline_engine::types::Timestamp;
use strandline_protocol::messages::{ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic};
use strandline_protocol::wire::ErrorCode;

/// A point in a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// The log start offset.
    Earliest,
    /// The high watermark.
    Latest,
    /// The first record at or after this time, in milliseconds since 1970.
    At(Timestamp),
}

impl Moment {
    fn wire(self) -> i64 {
        match self {
            Moment::Latest => -1,
            Moment::Earliest => -2,
            Moment::At(timestamp) => timestamp.0,
        }
    }
}

/// Why an offset is not known.
#[derive(Debug, thiserror::Error)]
pub enum ListOffsetsError {
    /// The leader is not known or not reachable.
    #[error(transparent)]
    Metadata(#[from] MetadataError),
    /// The leader did not answer.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The leader said no.
    #[error("topic {topic}, partition {partition}: {code}")]
    Refused {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// Its reason.
        code: Code,
    },
}

impl Retriable for ListOffsetsError {
    fn is_retriable(&self) -> bool {
        match self {
            ListOffsetsError::Metadata(error) => error.is_retriable(),
            ListOffsetsError::Request(error) => error.is_retriable(),
            ListOffsetsError::Refused { code, .. } => code.is_retriable(),
        }
    }
}

impl Client {
    /// The offset of a moment in each of these partitions; a partition without a record at or after a point
    /// in time is left out.
    ///
    /// # Errors
    /// [`ListOffsetsError`].
    pub fn offsets(
        &mut self,
        topic: &str,
        partitions: &[i32],
        moment: Moment,
    ) -> Result<BTreeMap<i32, i64>, ListOffsetsError> {
        self.retrying(|client| {
            let topic = client.topic(topic)?;
            let mut by_leader: BTreeMap<Option<i32>, Vec<i32>> = BTreeMap::new();
            for &index in partitions {
                let leader = topic.partition(index).and_then(|partition| partition.leader.ok());
                by_leader.entry(leader).or_default().push(index);
            }
            let mut offsets = BTreeMap::new();
            for indexes in by_leader.values() {
                client.offsets_of_leader(&topic, indexes, moment, &mut offsets)?;
            }
            Ok(offsets)
        })
    }

    /// Asks the leader of these partitions, which is the same for all.
    fn offsets_of_leader(
        &self,
        topic: &Topic,
        indexes: &[i32],
        moment: Moment,
        offsets: &mut BTreeMap<i32, i64>,
    ) -> Result<(), ListOffsetsError> {
        let mut leader = self.dial_leader(topic, indexes[0])?;
        let partitions = indexes.iter().map(|&partition_index| ListOffsetsPartition {
            partition_index,
            timestamp: moment.wire(),
            ..ListOffsetsPartition::default()
        });
        let request = ListOffsetsRequest {
            topics: vec![ListOffsetsTopic { name: topic.name.clone(), partitions: partitions.collect() }],
            timeout_ms: self.limits().request.as_millis() as i32,
            ..ListOffsetsRequest::default()
        };
        let response = leader.call(&request)?;
        let mut answers: BTreeMap<i32, (i16, i64)> = BTreeMap::new();
        for answer in response.topics.into_iter().filter(|answer| answer.name == topic.name) {
            for partition in answer.partitions {
                answers.insert(partition.partition_index, (partition.error_code, partition.offset));
            }
        }
        for &partition in indexes {
            let missing = (ErrorCode::UnknownServerError.code(), -1);
            let (code, offset) = answers.get(&partition).copied().unwrap_or(missing);
            Code::check(code).map_err(|code| ListOffsetsError::Refused {
                topic: topic.name.clone(),
                partition,
                code,
            })?;
            if offset >= 0 {
                offsets.insert(partition, offset);
            }
        }
        Ok(())
    }
}
