//! ShareFetch (78): records for a member of a share group (KIP-932), which nobody else of the group has at
//! the same time; and what became of those that it had.
//!
//! As that of Fetch, the response leaves gaps where the records belong; see
//! [`FetchResponse`](super::FetchResponse).

use super::fetch::pieces_of;
use super::header::{response_reader, response_writer};
use crate::message;
use crate::messages::{
    NodeEndpoint, Piece, RecordsGap, Request, ShareAcknowledgementBatch, ShareLeaderIdAndEpoch,
};
use crate::wire::{ApiKey, Decode, Encode, EncodeError, Message, Reader, WireError, Writer};
use bytes::Bytes;
use std::ops::RangeInclusive;
use uuid::Uuid;

impl Request for ShareFetchRequest {
    type Response = ShareFetchResponse<Bytes>;
}

message! {
    /// Asks for records, and says what became of others.
    pub struct ShareFetchRequest(ShareFetch, 1..=2) {
        (0..)   group_id: Option<String>;
        (0..)   member_id: Option<String>;
        /// 0 opens a share session, -1 closes it; in between each request has the next number.
        (0..)   share_session_epoch: i32;
        (0..)   max_wait_ms: i32;
        (0..)   min_bytes: i32;
        (0..)   max_bytes: i32 = i32::MAX;
        /// More come where a batch ends behind it, unless `share_acquire_mode` is 1.
        (1..)   max_records: i32;
        /// Records that are best acknowledged together.
        (1..)   batch_size: i32;
        /// 0 by whole batches, 1 no more than `max_records` (KIP-1206).
        (2..)   share_acquire_mode: i8;
        /// Whether locks are renewed by it (KIP-1222); there are no records then.
        (2..)   is_renew_ack: bool, else refuse;
        (0..)   topics: Vec<ShareFetchTopic>;
        (0..)   forgotten_topics_data: Vec<ShareForgottenTopic>;
    }

    /// A topic's partitions, which come into the session.
    pub struct ShareFetchTopic {
        (0..) topic_id: Uuid;
        (0..) partitions: Vec<ShareFetchPartition>;
    }

    /// A partition.
    pub struct ShareFetchPartition {
        (0..) partition_index: i32;
        (0..) acknowledgement_batches: Vec<ShareAcknowledgementBatch>;
    }

    /// Partitions that leave the session.
    pub struct ShareForgottenTopic {
        (0..) topic_id: Uuid;
        (0..) partitions: Vec<i32>;
    }
}

/// Records, or why not. `R` is [`RecordsGap`] for a broker and [`Bytes`] for a client.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct ShareFetchResponse<R> {
    /// How long the client shall wait before its next request, in milliseconds.
    pub throttle_time_ms: i32,
    /// For the whole request.
    pub error_code: i16,
    /// For people.
    pub error_message: Option<String>,
    /// How long the records are locked, in milliseconds.
    pub acquisition_lock_timeout_ms: i32,
    /// The topics.
    pub responses: Vec<ShareFetchableTopicResponse<R>>,
    /// Where the leaders named in `current_leader` listen.
    pub node_endpoints: Vec<NodeEndpoint>,
}

/// A topic's partitions.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct ShareFetchableTopicResponse<R> {
    /// The topic.
    pub topic_id: Uuid,
    /// The partitions.
    pub partitions: Vec<SharePartitionData<R>>,
}

/// A partition's records.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct SharePartitionData<R> {
    /// The partition.
    pub partition_index: i32,
    /// Why there are no records.
    pub error_code: i16,
    /// For people.
    pub error_message: Option<String>,
    /// Why nothing became of the acknowledgements.
    pub acknowledge_error_code: i16,
    /// For people.
    pub acknowledge_error_message: Option<String>,
    /// The leader, with the errors that tell of another one.
    pub current_leader: ShareLeaderIdAndEpoch,
    /// Record batches, maybe none, in which there may be records that the member has not acquired.
    pub records: R,
    /// Those that it has.
    pub acquired_records: Vec<AcquiredRecords>,
}

message! {
    /// Records that stand behind each other, and which the member has from now on.
    pub struct AcquiredRecords {
        (0..) first_offset: i64;
        /// The last of them.
        (0..) last_offset: i64;
        /// How often they were given out, with this time.
        (0..) delivery_count: i16;
    }
}

impl<R> Message for ShareFetchResponse<R> {
    const KEY: ApiKey = ApiKey::ShareFetch;
    const VERSIONS: RangeInclusive<i16> = ShareFetchRequest::VERSIONS;
}

impl ShareFetchResponse<RecordsGap> {
    /// The frame of the response, with its size, which counts the records too. The pieces begin and end with
    /// bytes.
    ///
    /// # Errors
    /// [`EncodeError::UnknownVersion`], or [`EncodeError::TooLong`] past 2 GiB.
    pub fn encode(&self, version: i16, correlation_id: i32) -> Result<Vec<Piece>, EncodeError> {
        let mut writer = response_writer::<Self>(version, correlation_id)?;
        let mut gaps = Vec::new();
        self.write(&mut writer, &mut gaps);
        pieces_of(writer, gaps)
    }

    fn write(&self, writer: &mut Writer, gaps: &mut Vec<(usize, RecordsGap)>) {
        self.throttle_time_ms.write(writer);
        self.error_code.write(writer);
        self.error_message.write(writer);
        self.acquisition_lock_timeout_ms.write(writer);
        writer.length(Some(self.responses.len()));
        for topic in &self.responses {
            topic.topic_id.write(writer);
            writer.length(Some(topic.partitions.len()));
            topic.partitions.iter().for_each(|partition| partition.write(writer, gaps));
            writer.tagged_fields(|_| ());
        }
        self.node_endpoints.write(writer);
        writer.tagged_fields(|_| ());
    }
}

impl SharePartitionData<RecordsGap> {
    fn write(&self, writer: &mut Writer, gaps: &mut Vec<(usize, RecordsGap)>) {
        self.partition_index.write(writer);
        self.error_code.write(writer);
        self.error_message.write(writer);
        self.acknowledge_error_code.write(writer);
        self.acknowledge_error_message.write(writer);
        self.current_leader.write(writer);
        writer.length(Some(self.records.length as usize));
        if self.records.length > 0 {
            gaps.push((writer.position(), self.records));
        }
        self.acquired_records.write(writer);
        writer.tagged_fields(|_| ());
    }
}

impl ShareFetchResponse<Bytes> {
    /// Reads a response, given without its size: the correlation id and the body. Records are parts of
    /// `frame`.
    ///
    /// # Errors
    /// [`WireError::UnknownVersion`], and whatever is wrong with the bytes.
    pub fn decode(frame: &Bytes, version: i16) -> Result<(i32, Self), WireError> {
        let (correlation_id, mut reader) = response_reader::<Self>(frame, version)?;
        let response = Self::read(&mut reader, frame)?;
        reader.finish()?;
        Ok((correlation_id, response))
    }

    fn read(reader: &mut Reader<'_>, frame: &Bytes) -> Result<Self, WireError> {
        let mut response = Self {
            throttle_time_ms: i32::read(reader)?,
            error_code: i16::read(reader)?,
            error_message: Option::read(reader)?,
            acquisition_lock_timeout_ms: i32::read(reader)?,
            ..Self::default()
        };
        let topics = reader.count::<ShareFetchableTopicResponse<Bytes>>()?.ok_or_else(|| reader.null())?;
        response.responses = Vec::with_capacity(topics);
        for _ in 0..topics {
            response.responses.push(ShareFetchableTopicResponse::read(reader, frame)?);
        }
        response.node_endpoints = Vec::read(reader)?;
        reader.tagged_fields(|_, _| Ok(false))?;
        Ok(response)
    }
}

impl ShareFetchableTopicResponse<Bytes> {
    fn read(reader: &mut Reader<'_>, frame: &Bytes) -> Result<Self, WireError> {
        let mut topic = Self { topic_id: Uuid::read(reader)?, ..Self::default() };
        let partitions = reader.count::<SharePartitionData<Bytes>>()?.ok_or_else(|| reader.null())?;
        topic.partitions = Vec::with_capacity(partitions);
        for _ in 0..partitions {
            topic.partitions.push(SharePartitionData::read(reader, frame)?);
        }
        reader.tagged_fields(|_, _| Ok(false))?;
        Ok(topic)
    }
}

impl SharePartitionData<Bytes> {
    fn read(reader: &mut Reader<'_>, frame: &Bytes) -> Result<Self, WireError> {
        let mut partition = Self {
            partition_index: i32::read(reader)?,
            error_code: i16::read(reader)?,
            error_message: Option::read(reader)?,
            acknowledge_error_code: i16::read(reader)?,
            acknowledge_error_message: Option::read(reader)?,
            current_leader: ShareLeaderIdAndEpoch::read(reader)?,
            ..Self::default()
        };
        partition.records = reader.bytes()?.map(|records| frame.slice_ref(records)).unwrap_or_default();
        partition.acquired_records = Vec::read(reader)?;
        reader.tagged_fields(|_, _| Ok(false))?;
        Ok(partition)
    }
}
