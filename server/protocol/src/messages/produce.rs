//! Produce (0): record batches to append.
//!
//! The request is read by hand: its records leave as parts of the frame, which the engine may stamp in place.
//!
//! ```text
//! body    acks .. topic .. partition | records | .. partition | records | ..
//!                                      ^^^^^^^                   ^^^^^^^
//!                                      BytesMut, split out of the frame without a copy
//! ```
//!
//! Such a part keeps the whole frame in memory as long as it lives.
use crate::message;
use crate::messages::{LeaderIdAndEpoch, NodeEndpoint, Request};
use crate::wire::{ApiKey, Decode, Encode, Message, Reader, WireError, Writer};
use bytes::BytesMut;
use std::ops::RangeInclusive;
use uuid::Uuid;

impl Request for ProduceRequest {
    type Response = ProduceResponse;
}

/// Appends records.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct ProduceRequest {
    /// `None` without a transaction.
    pub transactional_id: Option<String>,
    /// 0: no response at all; 1 and -1: when it is durable. Not checked yet: any number.
    pub acks: i16,
    /// How long to wait for replicas, in milliseconds.
    pub timeout_ms: i32,
    /// The topics.
    pub topic_data: Vec<TopicProduceData>,
}

/// A topic to append to.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct TopicProduceData {
    /// Versions 3 to 12.
    pub name: String,
    /// From version 13 on.
    pub topic_id: Uuid,
    /// The partitions.
    pub partition_data: Vec<PartitionProduceData>,
}

/// A partition to append to.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct PartitionProduceData {
    /// The partition.
    pub index: i32,
    /// Record batches. Not checked yet: any bytes.
    pub records: Option<BytesMut>,
}

impl Message for ProduceRequest {
    const KEY: ApiKey = ApiKey::Produce;
    const VERSIONS: RangeInclusive<i16> = 3..=13;
}

/// The last version that names topics; later ones give their ids.
const NAMES_UNTIL: i16 = 12;

impl ProduceRequest {
    /// Reads the body of a request: the frame after its header. No record is copied, bytes behind it are
    /// ignored.
    ///
    /// # Errors
    /// [`WireError::UnknownVersion`], and whatever is wrong with the bytes.
    pub fn decode(mut body: BytesMut, version: i16) -> Result<ProduceRequest, WireError> {
        let mut reader = Reader::request(&body, version, Self::readable(version)?);
        let mut places = Vec::new();
        let mut request = Self::read(&mut reader, &mut places)?;

        // Cut from the back, so that the places before stay where they are.
        let topics = request.topic_data.iter_mut().rev();
        let partitions = topics.flat_map(|topic| topic.partition_data.iter_mut().rev());
        for (partition, place) in partitions.zip(places.into_iter().rev()) {
            partition.records = place.map(|Place { position, length }| {
                let mut records = body.split_off(position);
                records.truncate(length);
                records
            });
        }
        Ok(request)
    }

    fn read(reader: &mut Reader<'_>, places: &mut Vec<Option<Place>>) -> Result<Self, WireError> {
        let transactional_id = Option::read(reader)?;
        let acks = i16::read(reader)?;
        let timeout_ms = i32::read(reader)?;
        let topics = reader.count::<TopicProduceData>()?.ok_or_else(|| reader.null())?;
        let mut topic_data = Vec::with_capacity(topics);
        for _ in 0..topics {
            topic_data.push(TopicProduceData::read(reader, places)?);
        }
        reader.tagged_fields(|_, _| Ok(false))?;
        Ok(ProduceRequest { transactional_id, acks, timeout_ms, topic_data })
    }
}

/// Where the records of a partition are in the body.
struct Place {
    position: usize,
    length: usize,
}

impl TopicProduceData {
    fn read(reader: &mut Reader<'_>, places: &mut Vec<Option<Place>>) -> Result<Self, WireError> {
        let mut topic = TopicProduceData::default();
        match reader.version() <= NAMES_UNTIL {
            true => topic.name = String::read(reader)?,
            false => topic.topic_id = Uuid::read(reader)?,
        }
        let partitions = reader.count::<PartitionProduceData>()?.ok_or_else(|| reader.null())?;
        // Twice, since `places` doubles as it grows from topic to topic.
        reader.charge(2 * partitions * size_of::<Option<Place>>())?;
        topic.partition_data = Vec::with_capacity(partitions);
        places.reserve(partitions);
        for _ in 0..partitions {
            let index = i32::read(reader)?;
            let length = reader.bytes()?.map(<[u8]>::len);
            places.push(length.map(|length| Place { position: reader.position() - length, length }));
            reader.tagged_fields(|_, _| Ok(false))?;
            topic.partition_data.push(PartitionProduceData { index, records: None });
        }
        reader.tagged_fields(|_, _| Ok(false))?;
        Ok(topic)
    }
}

impl Encode for ProduceRequest {
    fn write(&self, writer: &mut Writer) {
        self.transactional_id.write(writer);
        self.acks.write(writer);
        self.timeout_ms.write(writer);
        self.topic_data.write(writer);
        writer.tagged_fields(|_| ());
    }
}

impl Encode for TopicProduceData {
    fn write(&self, writer: &mut Writer) {
        match writer.version() <= NAMES_UNTIL {
            true => self.name.write(writer),
            false => self.topic_id.write(writer),
        }
        self.partition_data.write(writer);
        writer.tagged_fields(|_| ());
    }
}

impl Encode for PartitionProduceData {
    fn write(&self, writer: &mut Writer) {
        self.index.write(writer);
        writer.length(self.records.as_ref().map(BytesMut::len));
        writer.put(self.records.as_deref().unwrap_or_default());
        writer.tagged_fields(|_| ());
    }
}

message! {
    /// What became of each partition's records.
    pub struct ProduceResponse(Produce, 3..=13) {
        (3..)  responses: Vec<TopicProduceResponse>;
        (3..)  throttle_time_ms: i32;
        /// Where the leaders named in `current_leader` listen.
        (10..) node_endpoints: Vec<NodeEndpoint>, tag 0;
    }

    /// A topic's partitions.
    pub struct TopicProduceResponse {
        (3..=12) name: String;
        (13..)   topic_id: Uuid;
        (3..)    partition_responses: Vec<PartitionProduceResponse>;
    }

    /// What became of a partition's records.
    pub struct PartitionProduceResponse {
        (3..)  index: i32;
        (3..)  error_code: i16;
        /// The offset of the first record; -1 with an error.
        (3..)  base_offset: i64;
        /// -1 unless the topic is stamped with the time of the append.
        (3..)  log_append_time_ms: i64 = -1;
        (5..)  log_start_offset: i64 = -1;
        (8..)  record_errors: Vec<BatchIndexAndErrorMessage>;
        (8..)  error_message: Option<String>;
        (10..) current_leader: LeaderIdAndEpoch, tag 0;
    }

    /// A record that made its batch fail.
    pub struct BatchIndexAndErrorMessage {
        (8..) batch_index: i32;
        (8..) batch_index_error_message: Option<String>;
    }
}
