//! Fetch (1): record batches from an offset on.
//!
//! The response is written and read by hand. A broker leaves gaps where records belong and sends them from
//! where they are, a client gets them as parts of the frame:
//!
//! ```text
//! encode  [ Bytes | Records{index, length} | Bytes | Records{index, length} | Bytes ]
//!           size, header, topic, partition   partition                        tags
//! ```

use super::header::{finish_frame, response_reader, response_writer};
use crate::message;
use crate::messages::{LeaderIdAndEpoch, NodeEndpoint, Request};
use crate::wire::{ApiKey, Decode, Encode, EncodeError, Message, Reader, WireError, Writer};
use bytes::Bytes;
use std::ops::RangeInclusive;
use uuid::Uuid;

impl Request for FetchRequest {
    type Response = FetchResponse<Bytes>;
}

message! {
    /// Asks for records.
    pub struct FetchRequest(Fetch, 4..=18) {
        (12..)   cluster_id: Option<String>, tag 0;
        /// -1 for a client.
        (4..=14) replica_id: i32 = -1, else refuse;
        (15..)   replica_state: ReplicaState, tag 1;
        (4..)    max_wait_ms: i32;
        (4..)    min_bytes: i32;
        (4..)    max_bytes: i32 = i32::MAX;
        /// 0 reads uncommitted, 1 reads committed.
        (4..)    isolation_level: i8;
        (7..)    session_id: i32;
        /// -1 without a session, 0 for a new one (KIP-227).
        (7..)    session_epoch: i32 = -1;
        (4..)    topics: Vec<FetchTopic>;
        (7..)    forgotten_topics_data: Vec<ForgottenTopic>, else refuse;
        (11..)   rack_id: String;
    }

    /// Who asks, when it is a replica.
    pub struct ReplicaState {
        (15..) replica_id: i32 = -1;
        (15..) replica_epoch: i64 = -1;
    }

    /// A topic's partitions.
    pub struct FetchTopic {
        (4..=12) topic: String;
        (13..)   topic_id: Uuid;
        (4..)    partitions: Vec<FetchPartition>;
    }

    /// Where to start in a partition.
    pub struct FetchPartition {
        (4..)  partition: i32;
        /// -1 when the client does not know it.
        (9..)  current_leader_epoch: i32 = -1;
        (4..)  fetch_offset: i64;
        (12..) last_fetched_epoch: i32 = -1, else refuse;
        /// Of a follower.
        (5..)  log_start_offset: i64 = -1;
        (4..)  partition_max_bytes: i32;
        (17..) replica_directory_id: Uuid, tag 0;
        /// Of a follower.
        (18..) high_watermark: i64 = i64::MAX, tag 1;
    }

    /// Partitions that leave the session.
    pub struct ForgottenTopic {
        (7..=12) topic: String;
        (13..)   topic_id: Uuid;
        (7..)    partitions: Vec<i32>;
    }
}

/// Records, or why not. `R` is [`RecordsGap`] for a broker and [`Bytes`] for a client.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct FetchResponse<R> {
    /// How long the client shall wait before its next request, in milliseconds.
    pub throttle_time_ms: i32,
    /// From version 7 on, for the whole request.
    pub error_code: i16,
    /// From version 7 on; 0 without a session.
    pub session_id: i32,
    /// The topics.
    pub responses: Vec<FetchableTopicResponse<R>>,
    /// From version 16 on: where the leaders named in `current_leader` listen.
    pub node_endpoints: Vec<NodeEndpoint>,
}

/// A topic's partitions.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct FetchableTopicResponse<R> {
    /// Versions 4 to 12.
    pub topic: String,
    /// From version 13 on.
    pub topic_id: Uuid,
    /// The partitions.
    pub partitions: Vec<PartitionData<R>>,
}

/// A partition's records.
#[derive(Clone, Debug, PartialEq)]
pub struct PartitionData<R> {
    /// The partition.
    pub partition_index: i32,
    /// Why there are no records.
    pub error_code: i16,
    /// -1 with an error.
    pub high_watermark: i64,
    /// -1 when not known.
    pub last_stable_offset: i64,
    /// From version 5 on.
    pub log_start_offset: i64,
    /// From version 12 on: where the log of a follower and ours part.
    pub diverging_epoch: EpochEndOffset,
    /// From version 12 on.
    pub current_leader: LeaderIdAndEpoch,
    /// From version 12 on: the snapshot that a follower must begin with.
    pub snapshot_id: SnapshotId,
    /// `None` when the client reads uncommitted.
    pub aborted_transactions: Option<Vec<AbortedTransaction>>,
    /// From version 11 on; -1 for none.
    pub preferred_read_replica: i32,
    /// Record batches, maybe none. Never null: librdkafka takes null for an error.
    pub records: R,
}

impl FetchRequest {
    /// Whether a replica asks, in whichever field its version says so.
    pub fn is_of_replica(&self) -> bool {
        self.replica_id >= 0 || self.replica_state.replica_id >= 0
    }
}

impl<R: Default> Default for PartitionData<R> {
    fn default() -> Self {
        PartitionData {
            partition_index: 0,
            error_code: 0,
            high_watermark: 0,
            last_stable_offset: -1,
            log_start_offset: -1,
            diverging_epoch: EpochEndOffset::default(),
            current_leader: LeaderIdAndEpoch::default(),
            snapshot_id: SnapshotId::default(),
            aborted_transactions: None,
            preferred_read_replica: -1,
            records: R::default(),
        }
    }
}

message! {
    /// The end of an epoch in our log.
    pub struct EpochEndOffset {
        (12..) epoch: i32 = -1;
        (12..) end_offset: i64 = -1;
    }

    /// A snapshot of the cluster's metadata.
    pub struct SnapshotId {
        (12..) end_offset: i64 = -1;
        (12..) epoch: i32 = -1;
    }

    /// A transaction whose records in this response do not count.
    pub struct AbortedTransaction {
        (4..) producer_id: i64;
        (4..) first_offset: i64;
    }
}

/// Records that the sender of a Fetch response puts where the encoded bytes leave a gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct RecordsGap {
    /// Which records: the caller's number.
    pub index: usize,
    /// How many bytes. 0 is a partition without records: nothing is to be filled, so no piece is made.
    pub length: u32,
}

/// A part of a Fetch response, in the order in which the parts are sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Bytes as they are.
    Bytes(Bytes),
    /// Exactly that many bytes of records.
    Records(RecordsGap),
}

/// The frame of a response in pieces; the gaps are where its bytes leave room for records.
pub(super) fn pieces_of(writer: Writer, gaps: Vec<(usize, RecordsGap)>) -> Result<Vec<Piece>, EncodeError> {
    let records_bytes = gaps.iter().map(|(_, gap)| gap.length as usize).sum();
    let mut rest = finish_frame(writer, records_bytes)?;
    let mut pieces = Vec::with_capacity(2 * gaps.len() + 1);
    let mut sliced = 0;
    for (position, gap) in gaps {
        pieces.push(Piece::Bytes(rest.split_to(position - sliced)));
        pieces.push(Piece::Records(gap));
        sliced = position;
    }
    pieces.push(Piece::Bytes(rest));
    Ok(pieces)
}

impl<R> Message for FetchResponse<R> {
    const KEY: ApiKey = ApiKey::Fetch;
    const VERSIONS: RangeInclusive<i16> = FetchRequest::VERSIONS;
}

/// The last version that names topics; later ones give their ids.
const NAMES_UNTIL: i16 = 12;

impl FetchResponse<RecordsGap> {
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
        let version = writer.version();
        self.throttle_time_ms.write(writer);
        if version >= 7 {
            self.error_code.write(writer);
            self.session_id.write(writer);
        }
        writer.length(Some(self.responses.len()));
        for topic in &self.responses {
            topic.write(writer, gaps);
        }
        writer.tagged_fields(|tags| {
            if version >= 16 && !self.node_endpoints.is_empty() {
                tags.put(0, |writer| self.node_endpoints.write(writer));
            }
        });
    }
}

impl FetchableTopicResponse<RecordsGap> {
    fn write(&self, writer: &mut Writer, gaps: &mut Vec<(usize, RecordsGap)>) {
        match writer.version() <= NAMES_UNTIL {
            true => self.topic.write(writer),
            false => self.topic_id.write(writer),
        }
        writer.length(Some(self.partitions.len()));
        for partition in &self.partitions {
            partition.write(writer, gaps);
        }
        writer.tagged_fields(|_| ());
    }
}

impl PartitionData<RecordsGap> {
    fn write(&self, writer: &mut Writer, gaps: &mut Vec<(usize, RecordsGap)>) {
        let version = writer.version();
        self.partition_index.write(writer);
        self.error_code.write(writer);
        self.high_watermark.write(writer);
        self.last_stable_offset.write(writer);
        if version >= 5 {
            self.log_start_offset.write(writer);
        }
        self.aborted_transactions.write(writer);
        if version >= 11 {
            self.preferred_read_replica.write(writer);
        }
        writer.length(Some(self.records.length as usize));
        if self.records.length > 0 {
            gaps.push((writer.position(), self.records));
        }
        writer.tagged_fields(|tags| {
            if self.diverging_epoch != EpochEndOffset::default() {
                tags.put(0, |writer| self.diverging_epoch.write(writer));
            }
            if self.current_leader != LeaderIdAndEpoch::default() {
                tags.put(1, |writer| self.current_leader.write(writer));
            }
            if self.snapshot_id != SnapshotId::default() {
                tags.put(2, |writer| self.snapshot_id.write(writer));
            }
        });
    }
}

impl FetchResponse<Bytes> {
    /// Reads a response, given without its size: the correlation id and the body. Records are parts of
    /// `frame`; null is read as no records.
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
        let version = reader.version();
        let mut response = Self { throttle_time_ms: i32::read(reader)?, ..Self::default() };
        if version >= 7 {
            response.error_code = i16::read(reader)?;
            response.session_id = i32::read(reader)?;
        }
        let topics = reader.count::<FetchableTopicResponse<Bytes>>()?.ok_or_else(|| reader.null())?;
        response.responses = Vec::with_capacity(topics);
        for _ in 0..topics {
            response.responses.push(FetchableTopicResponse::read(reader, frame)?);
        }
        reader.tagged_fields(|reader, tag| {
            if tag == 0 && version >= 16 {
                response.node_endpoints = Vec::read(reader)?;
                return Ok(true);
            }
            Ok(false)
        })?;
        Ok(response)
    }
}

impl FetchableTopicResponse<Bytes> {
    fn read(reader: &mut Reader<'_>, frame: &Bytes) -> Result<Self, WireError> {
        let mut topic = Self::default();
        match reader.version() <= NAMES_UNTIL {
            true => topic.topic = String::read(reader)?,
            false => topic.topic_id = Uuid::read(reader)?,
        }
        let partitions = reader.count::<PartitionData<Bytes>>()?.ok_or_else(|| reader.null())?;
        topic.partitions = Vec::with_capacity(partitions);
        for _ in 0..partitions {
            topic.partitions.push(PartitionData::read(reader, frame)?);
        }
        reader.tagged_fields(|_, _| Ok(false))?;
        Ok(topic)
    }
}

impl PartitionData<Bytes> {
    fn read(reader: &mut Reader<'_>, frame: &Bytes) -> Result<Self, WireError> {
        let version = reader.version();
        let mut partition = Self {
            partition_index: i32::read(reader)?,
            error_code: i16::read(reader)?,
            high_watermark: i64::read(reader)?,
            last_stable_offset: i64::read(reader)?,
            ..Self::default()
        };
        if version >= 5 {
            partition.log_start_offset = i64::read(reader)?;
        }
        partition.aborted_transactions = Option::read(reader)?;
        if version >= 11 {
            partition.preferred_read_replica = i32::read(reader)?;
        }
        partition.records = reader.bytes()?.map(|records| frame.slice_ref(records)).unwrap_or_default();
        reader.tagged_fields(|reader, tag| {
            match tag {
                0 => partition.diverging_epoch = EpochEndOffset::read(reader)?,
                1 => partition.current_leader = LeaderIdAndEpoch::read(reader)?,
                2 => partition.snapshot_id = SnapshotId::read(reader)?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(partition)
    }
}
