//! Reads records of some partitions of one topic, each from an offset on, in the order of their offsets.
//!
//! ```text
//! poll > one fetch a leader > batches > check CRC, unpack > records from the position on > the caller
//! ```
//!
//! Records of open and aborted transactions are given like all others (read uncommitted); the markers of the
//! log are not.

use super::cluster::Retriable;
use super::connection::Connection;
use super::retry::Retry;
use crate::{Client, Code, ListOffsetsError, MetadataError, Moment, RequestError, Topic};
use bytes::Bytes;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::Duration;
use strandline_engine::format::batch::{
    BATCH_HEADER_BYTES, BatchError, BatchHeader, Batches, TimestampType, verify_crc,
};
use strandline_engine::format::compression::{Codec, DecompressError, decompress};
use strandline_engine::format::record::{Headers, RecordError, Records};
use strandline_engine::types::Timestamp;
use strandline_protocol::messages::{FetchPartition, FetchRequest, FetchResponse, FetchTopic};
use strandline_protocol::wire::ErrorCode;

/// No batch unpacks to more.
pub const UNPACKED_BYTES_MAX: usize = 256 * 1024 * 1024;

/// What a fetch may bring in all, unless its first batch is larger.
const FETCH_BYTES: i32 = 16 * 1024 * 1024;

/// What a fetch may bring of one partition, unless its first batch is larger.
const FETCH_PARTITION_BYTES: i32 = 2 * 1024 * 1024;

/// From this version on, topics go by their ids.
const TOPIC_IDS_FROM: i16 = 13;

/// Why records can not be read.
#[derive(Debug, thiserror::Error)]
pub enum ConsumeError {
    /// The topic or its leaders are not known or not reachable.
    #[error(transparent)]
    Metadata(#[from] MetadataError),
    /// A leader did not answer.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The range of a partition could not be found out.
    #[error(transparent)]
    Offsets(#[from] ListOffsetsError),
    /// The topic has no such partition.
    #[error("topic {topic} has no partition {partition}, it has {partitions}")]
    NoPartition {
        /// The topic.
        topic: String,
        /// What was asked for.
        partition: i32,
        /// How many it has.
        partitions: usize,
    },
    /// The partition does not have the offset: not any more, or not yet.
    #[error(
        "topic {topic}, partition {partition}: OFFSET_OUT_OF_RANGE (1): offset {offset} is not within {earliest} to {latest}"
    )]
    OutOfRange {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// What was asked for.
        offset: i64,
        /// The log start offset.
        earliest: i64,
        /// The high watermark, where the next record will be.
        latest: i64,
    },
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
    /// The leader said no to the whole fetch.
    #[error("topic {topic}: fetch: {code}")]
    FetchRefused {
        /// The topic.
        topic: String,
        /// Its reason.
        code: Code,
    },
    /// What came is no record batch.
    #[error("topic {topic}, partition {partition}, at offset {offset}: {source}")]
    Batch {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The position in the partition.
        offset: i64,
        /// What is wrong.
        source: BatchError,
    },
    /// A batch can not be unpacked.
    #[error("topic {topic}, partition {partition}, at offset {offset}: {source}")]
    Unpack {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The base offset of the batch.
        offset: i64,
        /// What is wrong.
        source: DecompressError,
    },
    /// A record can not be read.
    #[error("topic {topic}, partition {partition}, in the batch at offset {offset}: {source}")]
    Record {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The base offset of the batch.
        offset: i64,
        /// What is wrong.
        source: RecordError,
    },
}

impl Retriable for ConsumeError {
    fn is_retriable(&self) -> bool {
        match self {
            ConsumeError::Metadata(error) => error.is_retriable(),
            ConsumeError::Request(error) => error.is_retriable(),
            ConsumeError::Offsets(error) => error.is_retriable(),
            ConsumeError::Refused { code, .. } | ConsumeError::FetchRefused { code, .. } => {
                code.is_retriable()
            }
            _ => false,
        }
    }
}

/// A record that was read.
#[derive(Clone, Copy, Debug)]
pub struct ConsumedRecord<'a> {
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// Milliseconds since 1970, or -1 for none.
    pub timestamp: Timestamp,
    /// The key; `None` is null.
    pub key: Option<&'a [u8]>,
    /// The value; `None` is null.
    pub value: Option<&'a [u8]>,
    /// The headers.
    pub headers: Headers<'a>,
}

/// Reads some partitions of one topic.
#[derive(Debug)]
pub struct Consumer {
    client: Client,
    topic: Topic,
    positions: BTreeMap<i32, i64>,
    links: BTreeMap<i32, Connection>,
    turn: usize,
    failing: Option<Retry>,
}

impl Consumer {
    /// Reads from these offsets on, one for each partition.
    pub fn new(client: Client, topic: Topic, positions: BTreeMap<i32, i64>) -> Consumer {
        Consumer { client, topic, positions, links: BTreeMap::new(), turn: 0, failing: None }
    }

    /// For each partition the offset of the next record that will be given, or that does not exist yet.
    pub fn positions(&self) -> &BTreeMap<i32, i64> {
        &self.positions
    }

    /// Fetches once, waiting up to `wait` for records, and gives them to `each` until that breaks off; what
    /// it has not been given then comes again with the next call.
    ///
    /// # Errors
    /// [`ConsumeError`], after what may pass by itself was tried again.
    pub fn poll(
        &mut self,
        wait: Duration,
        mut each: impl FnMut(&ConsumedRecord<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, ConsumeError> {
        match self.fetch(wait, &mut each) {
            Ok(flow) => {
                self.failing = None;
                Ok(flow)
            }
            Err(ConsumeError::Refused { code, partition, .. }) if code.is(ErrorCode::OffsetOutOfRange) => {
                Err(self.out_of_range(partition)?)
            }
            Err(error) if error.is_retriable() => {
                self.links.clear();
                let give_up_after = self.client.limits().give_up_after;
                if !self.failing.get_or_insert_with(|| Retry::new(give_up_after)).pause() {
                    return Err(error);
                }
                self.topic = self.client.topic(&self.topic.name)?;
                Ok(ControlFlow::Continue(()))
            }
            Err(error) => Err(error),
        }
    }

    fn out_of_range(&mut self, partition: i32) -> Result<ConsumeError, ConsumeError> {
        let mut at = |moment| {
            let offsets = self.client.offsets(&self.topic.name, &[partition], moment)?;
            Ok::<i64, ListOffsetsError>(offsets.get(&partition).copied().unwrap_or(-1))
        };
        let (earliest, latest) = (at(Moment::Earliest)?, at(Moment::Latest)?);
        let (topic, offset) = (self.topic.name.clone(), self.positions[&partition]);
        Ok(ConsumeError::OutOfRange { topic, partition, offset, earliest, latest })
    }

    fn fetch(
        &mut self,
        wait: Duration,
        each: &mut impl FnMut(&ConsumedRecord<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, ConsumeError> {
        let mut by_leader: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
        for &index in self.positions.keys() {
            // A partition without a leader is dialled in vain, which says why.
            let leader = self.topic.partition(index).and_then(|partition| partition.leader.ok());
            by_leader.entry(leader.unwrap_or(-1)).or_default().push(index);
        }
        // All are asked before the first is waited for.
        let mut asked = Vec::with_capacity(by_leader.len());
        for (leader, mut partitions) in by_leader {
            // Brokers serve in the order of the request: each partition is first in its turn.
            let turn = self.turn % partitions.len();
            partitions.rotate_left(turn);
            asked.push((leader, self.ask(leader, &partitions, wait)?));
        }
        self.turn = self.turn.wrapping_add(1);

        let mut answers = Vec::with_capacity(asked.len());
        for (leader, (version, correlation_id)) in asked {
            let connection = self.links.get_mut(&leader).expect("it has just been asked");
            answers.push(connection.receive_fetched(version, correlation_id, wait)?);
        }
        for answer in answers {
            if self.take(answer, each)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Sends a fetch and gives its version and correlation id.
    fn ask(&mut self, leader: i32, partitions: &[i32], wait: Duration) -> Result<(i16, i32), ConsumeError> {
        if !self.links.contains_key(&leader) {
            self.links.insert(leader, self.client.dial_leader(&self.topic, partitions[0])?);
        }
        let connection = self.links.get_mut(&leader).expect("it is there or has been dialled");
        let limit = if self.topic.id.is_nil() { TOPIC_IDS_FROM - 1 } else { i16::MAX };
        let version = connection.version::<FetchRequest>(limit)?;
        let partitions = partitions.iter().map(|&partition| FetchPartition {
            partition,
            fetch_offset: self.positions[&partition],
            partition_max_bytes: FETCH_PARTITION_BYTES,
            ..FetchPartition::default()
        });
        let request = FetchRequest {
            max_wait_ms: wait.as_millis() as i32,
            min_bytes: 1,
            max_bytes: FETCH_BYTES,
            topics: vec![FetchTopic {
                topic: self.topic.name.clone(),
                topic_id: self.topic.id,
                partitions: partitions.collect(),
            }],
            ..FetchRequest::default()
        };
        Ok((version, connection.send(version, &request)?))
    }

    fn take(
        &mut self,
        answer: FetchResponse<Bytes>,
        each: &mut impl FnMut(&ConsumedRecord<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, ConsumeError> {
        let topic = || self.topic.name.clone();
        Code::check(answer.error_code).map_err(|code| ConsumeError::FetchRefused { topic: topic(), code })?;
        let mut failure = None;
        for data in answer.responses.into_iter().flat_map(|topic| topic.partitions) {
            let partition = data.partition_index;
            let Some(position) = self.positions.get_mut(&partition) else { continue };
            if let Err(code) = Code::check(data.error_code) {
                // The others' records are given first.
                failure = Some(ConsumeError::Refused { topic: topic(), partition, code });
                continue;
            }
            if read_batches(&self.topic.name, partition, &data.records, position, each)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        failure.map_or(Ok(ControlFlow::Continue(())), Err)
    }
}

/// Gives the records from `position` on, and moves it past each.
fn read_batches(
    topic: &str,
    partition: i32,
    bytes: &[u8],
    position: &mut i64,
    each: &mut impl FnMut(&ConsumedRecord<'_>) -> ControlFlow<()>,
) -> Result<ControlFlow<()>, ConsumeError> {
    for batch in Batches::new(bytes) {
        let broken = |source| {
            let (topic, offset) = (topic.to_owned(), *position);
            ConsumeError::Batch { topic, partition, offset, source }
        };
        let (header, batch) = batch.map_err(broken)?;
        // A fetch starts with the batch that holds the offset, so the first records may be from before it.
        if header.next_offset().get() <= *position {
            continue;
        }
        verify_crc(batch).map_err(broken)?;
        if !header.is_control() && read_records(topic, partition, header, batch, position, each)?.is_break() {
            return Ok(ControlFlow::Break(()));
        }
        // Compaction may have left gaps, even at the end of a batch.
        *position = header.next_offset().get();
    }
    Ok(ControlFlow::Continue(()))
}

fn read_records(
    topic: &str,
    partition: i32,
    header: &BatchHeader,
    batch: &[u8],
    position: &mut i64,
    each: &mut impl FnMut(&ConsumedRecord<'_>) -> ControlFlow<()>,
) -> Result<ControlFlow<()>, ConsumeError> {
    let (base, named) = (header.base_offset().get(), || topic.to_owned());
    let codec = header.codec().map_err(|source| ConsumeError::Batch {
        topic: named(),
        partition,
        offset: base,
        source,
    })?;
    let packed = &batch[BATCH_HEADER_BYTES..];
    let records =
        match codec {
            Codec::None => Cow::Borrowed(packed),
            codec => Cow::Owned(decompress(codec, packed, UNPACKED_BYTES_MAX).map_err(|source| {
                ConsumeError::Unpack { topic: named(), partition, offset: base, source }
            })?),
        };
    let stamped = header.timestamp_type() == TimestampType::LogAppendTime;
    for record in Records::new(&records, header.record_count().max(0) as u32) {
        let record = record.map_err(|source| ConsumeError::Record {
            topic: named(),
            partition,
            offset: base,
            source,
        })?;
        let offset = base.wrapping_add(i64::from(record.offset_delta));
        if offset < *position {
            continue;
        }
        let timestamp = match stamped {
            true => header.max_timestamp(),
            false => header.base_timestamp().with_delta(record.timestamp_delta),
        };
        *position = offset + 1;
        let consumed = ConsumedRecord {
            partition,
            offset,
            timestamp,
            key: record.key,
            value: record.value,
            headers: record.headers,
        };
        if each(&consumed).is_break() {
            return Ok(ControlFlow::Break(()));
        }
    }
    Ok(ControlFlow::Continue(()))
}
