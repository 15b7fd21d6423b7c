//! Appends records: collects them into batches, sends each to its leader, repeats what was lost, keeps the
//! order.
//!
//! ```text
//! push > lane.open (a batch in the making) > lane.sealed (batches, in order) > link (one request in flight a leader) > acknowledged
//! ```
//!
//! * A lane is a partition's queue. Only its front batch is ever in flight, so batches arrive in the order of
//!   their records, whatever is repeated.
//! * With `acks=all` and a broker that has InitProducerId the batches carry a producer id and sequences: a
//!   batch that was sent twice because its answer was lost is appended once. Otherwise such a batch may be
//!   there twice.
//! * At most [`QUEUED_BYTES_MAX`] wait, and one batch more; then [`Producer::push`] waits for answers.
//! * A batch that is too large for the topic is split in halves until its records stand alone.
//!
//! No thread and no clock of its own: the caller says what time it is, and calls [`Producer::poll`] while it
//! waits for records.

use super::admin::said;
use super::cluster::Retriable;
use super::connection::Connection;
use super::retry::Retry;
use crate::{Client, Code, MetadataError, RequestError, Topic, partition_of_key};
use bytes::BytesMut;
use std::collections::{BTreeMap, VecDeque};
use std::mem;
use std::time::{Duration, Instant};
use strandline_engine::format::batch::{BATCH_HEADER_BYTES, BatchHeader};
use strandline_engine::format::builder::BatchBuilder;
use strandline_engine::format::compression::{Codec, decompress};
use strandline_engine::format::record::Records;
use strandline_engine::types::{ProducerEpoch, ProducerId, Sequence, Timestamp};
use strandline_protocol::messages::{
    InitProducerIdRequest, MetadataRequest, PartitionProduceData, PartitionProduceResponse, ProduceRequest,
    ProduceResponse, TopicProduceData,
};
use strandline_protocol::wire::{ApiKey, ErrorCode};

/// What may wait to be sent or acknowledged before the caller has to.
const QUEUED_BYTES_MAX: usize = 32 * 1024 * 1024;

/// A request ends with the batch that reaches this, far below what brokers accept
/// (`socket.request.max.bytes`, 100 MiB).
const REQUEST_BYTES: usize = 8 * 1024 * 1024;

/// From this version on, topics go by their ids.
const TOPIC_IDS_FROM: i16 = 13;

/// From this version on, zstd is allowed.
const ZSTD_FROM: i16 = 7;

/// When a batch counts as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acks {
    /// When it is sent: the broker does not answer at all.
    None,
    /// When the leader has it.
    Leader,
    /// When all in-sync replicas have it.
    All,
}

impl Acks {
    fn wire(self) -> i16 {
        match self {
            Acks::None => 0,
            Acks::Leader => 1,
            Acks::All => -1,
        }
    }
}

/// How records are collected and sent.
#[derive(Clone, Copy, Debug)]
pub struct ProducerOptions {
    /// When a batch counts as written.
    pub acks: Acks,
    /// How batches are compressed.
    pub codec: Codec,
    /// A batch is sealed when it has reached this, before compression.
    pub batch_bytes: usize,
    /// A batch is sealed when its first record has waited this long.
    pub linger: Duration,
    /// Where records without a key begin to go: any number, best a random one, or many short runs would fill
    /// one partition.
    pub first_partition: u32,
}

/// A record to append.
#[derive(Clone, Copy, Debug)]
pub struct NewRecord<'a> {
    /// The key; `None` is null.
    pub key: Option<&'a [u8]>,
    /// The value; `None` is null.
    pub value: Option<&'a [u8]>,
    /// Names and values.
    pub headers: &'a [(&'a str, Option<&'a [u8]>)],
    /// Milliseconds since 1970.
    pub timestamp: Timestamp,
    /// The partition; `None` leaves it to the key, or to chance without one.
    pub partition: Option<i32>,
    /// The caller's number of the record, for errors.
    pub tag: u64,
}

/// Why records were not appended. What was acknowledged before stays.
#[derive(Debug, thiserror::Error)]
pub enum ProduceError {
    /// The topic or its leaders are not known or not reachable.
    #[error(transparent)]
    Metadata(#[from] MetadataError),
    /// A leader did not answer.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The broker gave no producer id.
    #[error("no producer id: {code}")]
    Identity {
        /// Its reason.
        code: Code,
    },
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
    /// The leader speaks a version of Produce without this codec.
    #[error("topic {topic}: the broker is too old for zstd")]
    Codec {
        /// The topic.
        topic: String,
    },
    /// The leader's answer does not have a partition that was sent.
    #[error("topic {topic}, partition {partition}: the broker's answer does not mention it")]
    NotMentioned {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
    },
    /// The leader refused a batch.
    #[error("topic {topic}, partition {partition}: {code}{}", said(message))]
    Refused {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// Its reason.
        code: Code,
        /// Its words, for the record where it has some.
        message: Option<String>,
        /// The records it is about, by the caller's numbers: the one that the broker names, or the first and
        /// last of the batch.
        tags: (u64, u64),
        /// The bytes of the batch.
        batch_bytes: usize,
    },
}

impl Retriable for ProduceError {
    fn is_retriable(&self) -> bool {
        match self {
            ProduceError::Metadata(error) => error.is_retriable(),
            ProduceError::Request(error) => error.is_retriable(),
            ProduceError::Refused { code, .. } | ProduceError::Identity { code } => code.is_retriable(),
            _ => false,
        }
    }
}

/// What was acknowledged so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Acknowledged {
    /// The records.
    pub records: u64,
    /// The bytes of their batches, as they were sent.
    pub batch_bytes: u64,
}

/// Appends to one topic.
#[derive(Debug)]
pub struct Producer {
    client: Client,
    topic: Topic,
    options: ProducerOptions,
    identity: Option<Identity>,
    lanes: Vec<Lane>,
    links: BTreeMap<i32, Link>,
    sticky: usize,
    queued_bytes: usize,
    acknowledged: Acknowledged,
    failing: Option<Retry>,
}

/// The producer id and epoch that make repetitions harmless.
#[derive(Clone, Copy, Debug)]
struct Identity {
    id: ProducerId,
    epoch: ProducerEpoch,
}

/// The batches of one partition.
#[derive(Debug)]
struct Lane {
    partition: i32,
    open: Option<Open>,
    sealed: VecDeque<Batch>,
    next_sequence: Sequence,
}

/// A batch in the making.
#[derive(Debug)]
struct Open {
    builder: BatchBuilder,
    tags: Vec<u64>,
    since: Instant,
}

/// A batch as it travels.
#[derive(Debug)]
struct Batch {
    bytes: BytesMut,
    tags: Vec<u64>,
}

/// The connection to a leader, and what it has not answered yet.
#[derive(Debug)]
struct Link {
    connection: Connection,
    in_flight: Option<InFlight>,
}

#[derive(Debug)]
struct InFlight {
    version: i16,
    correlation_id: i32,
    /// Indexes of the lanes whose front batch it carries.
    lanes: Vec<usize>,
}

impl Producer {
    /// A producer to a topic, which the broker may create.
    ///
    /// # Errors
    /// [`ProduceError`].
    pub fn open(mut client: Client, topic: &str, options: ProducerOptions) -> Result<Producer, ProduceError> {
        let topic = client.topic_or_created(topic)?;
        let identity = match options.acks {
            Acks::All => client.retrying(identify)?,
            Acks::None | Acks::Leader => None,
        };
        let lanes = topic.partitions.iter().map(|partition| Lane {
            partition: partition.index,
            open: None,
            sealed: VecDeque::new(),
            next_sequence: Sequence::FIRST,
        });
        Ok(Producer {
            lanes: lanes.collect(),
            sticky: options.first_partition as usize % topic.partitions.len().max(1),
            client,
            topic,
            options,
            identity,
            links: BTreeMap::new(),
            queued_bytes: 0,
            acknowledged: Acknowledged::default(),
            failing: None,
        })
    }

    /// What was acknowledged so far.
    pub fn acknowledged(&self) -> Acknowledged {
        self.acknowledged
    }

    /// Takes a record; waits for answers while too much is queued.
    ///
    /// # Errors
    /// [`ProduceError`], of this record or one before.
    pub fn push(&mut self, record: &NewRecord<'_>, now: Instant) -> Result<(), ProduceError> {
        let lane = self.lane_of(record)?;
        let (codec, identity) = (self.options.codec, self.identity);
        let Lane { open, next_sequence, .. } = &mut self.lanes[lane];
        let open = open.get_or_insert_with(|| {
            let builder = BatchBuilder::new(codec);
            let builder = match identity {
                Some(Identity { id, epoch }) => builder.producer(id, epoch, *next_sequence),
                None => builder,
            };
            Open { builder, tags: Vec::new(), since: now }
        });
        open.builder.push(record.timestamp, record.key, record.value, record.headers);
        open.tags.push(record.tag);
        if open.builder.bytes_estimate() >= self.options.batch_bytes {
            self.seal(lane);
            self.pump(false)?;
            while self.queued_bytes > QUEUED_BYTES_MAX {
                self.pump(true)?;
            }
        }
        Ok(())
    }

    /// Seals what has waited long enough, sends what can be sent, takes the answers that are there.
    ///
    /// # Errors
    /// [`ProduceError`], of any record so far.
    pub fn poll(&mut self, now: Instant) -> Result<(), ProduceError> {
        for lane in 0..self.lanes.len() {
            let due = |open: &Open| now.saturating_duration_since(open.since) >= self.options.linger;
            if self.lanes[lane].open.as_ref().is_some_and(due) {
                self.seal(lane);
            }
        }
        self.pump(false)
    }

    /// Sends everything and waits until it is acknowledged.
    ///
    /// # Errors
    /// [`ProduceError`], of any record so far.
    pub fn flush(&mut self) -> Result<(), ProduceError> {
        for lane in 0..self.lanes.len() {
            self.seal(lane);
        }
        while self.lanes.iter().any(|lane| !lane.sealed.is_empty()) {
            self.pump(true)?;
        }
        if self.options.acks == Acks::None {
            // Nothing is answered, but requests are carried out in order: an answer to one more question says
            // that all were read.
            for link in self.links.values_mut() {
                link.connection.call(&MetadataRequest::default())?;
            }
        }
        Ok(())
    }

    fn lane_of(&self, record: &NewRecord<'_>) -> Result<usize, ProduceError> {
        let partitions = self.lanes.len();
        let missing =
            |partition| ProduceError::NoPartition { topic: self.topic.name.clone(), partition, partitions };
        let partition = match (record.partition, record.key) {
            _ if partitions == 0 => return Err(missing(0)),
            (Some(partition), _) => partition,
            (None, Some(key)) => partition_of_key(key, partitions as i32),
            (None, None) => return Ok(self.sticky),
        };
        self.lanes.iter().position(|lane| lane.partition == partition).ok_or_else(|| missing(partition))
    }

    /// Closes the batch in the making, if there is one.
    fn seal(&mut self, index: usize) {
        let lane = &mut self.lanes[index];
        let Some(open) = lane.open.take() else { return };
        let bytes = open.builder.build();
        self.queued_bytes += bytes.len();
        lane.next_sequence = lane.next_sequence.plus(open.tags.len() as i32);
        lane.sealed.push_back(Batch { bytes, tags: open.tags });
        if self.sticky == index {
            self.sticky = (index + 1) % self.lanes.len();
        }
    }

    /// Takes answers and sends batches, once. With `wait`, it waits for an answer if one is due.
    fn pump(&mut self, wait: bool) -> Result<(), ProduceError> {
        let step = self.take_answers(wait).and_then(|()| self.send_sealed());
        let Err(error) = step else { return Ok(()) };
        if !error.is_retriable() {
            return Err(error);
        }
        // What else is in flight is waited for: who leads what may be different now, and no batch may be in
        // flight twice.
        for leader in self.busy() {
            if let Err(error) = self.take_answer(leader)
                && !error.is_retriable()
            {
                return Err(error);
            }
        }
        // Whatever has no answer is still at the front of its lane and will be sent again, in order.
        self.links.clear();
        let give_up_after = self.client.limits().give_up_after;
        let retry = self.failing.get_or_insert_with(|| Retry::new(give_up_after));
        if !retry.pause() {
            return Err(error);
        }
        self.client.note_waiting(retry, &error);
        match self.client.topic(&self.topic.name) {
            Ok(topic) if topic.partitions.len() >= self.lanes.len() => self.topic = topic,
            Ok(topic) => {
                return Err(ProduceError::NoPartition {
                    topic: topic.name,
                    partition: self.lanes.len() as i32 - 1,
                    partitions: topic.partitions.len(),
                });
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// The leaders that owe an answer.
    fn busy(&self) -> Vec<i32> {
        let busy = self.links.iter().filter(|(_, link)| link.in_flight.is_some());
        busy.map(|(leader, _)| *leader).collect()
    }

    fn take_answers(&mut self, wait: bool) -> Result<(), ProduceError> {
        for (at, leader) in self.busy().into_iter().enumerate() {
            let link = self.links.get_mut(&leader).expect("it is a link's key");
            if (wait && at == 0) || link.connection.has_news() {
                self.take_answer(leader)?;
            }
        }
        Ok(())
    }

    fn take_answer(&mut self, leader: i32) -> Result<(), ProduceError> {
        let link = self.links.get_mut(&leader).expect("it is a link's key");
        let in_flight = link.in_flight.take().expect("only busy links are asked");
        let InFlight { version, correlation_id, lanes } = in_flight;
        let frame = link.connection.receive(ApiKey::Produce, Duration::ZERO)?;
        let response = link.connection.decode::<ProduceResponse>(&frame, version, correlation_id)?;
        self.settle(response, &lanes)
    }

    /// Does with each front batch what its leader says. The first failure is returned after all have been
    /// looked at.
    fn settle(&mut self, response: ProduceResponse, lanes: &[usize]) -> Result<(), ProduceError> {
        let mut answers: BTreeMap<i32, PartitionProduceResponse> = BTreeMap::new();
        for partition in response.responses.into_iter().flat_map(|topic| topic.partition_responses) {
            answers.insert(partition.index, partition);
        }
        let mut failure: Option<ProduceError> = None;
        for &index in lanes {
            let partition = self.lanes[index].partition;
            let outcome = match answers.remove(&partition) {
                None => Err(ProduceError::NotMentioned { topic: self.topic.name.clone(), partition }),
                Some(answer) => self.settle_front(index, answer),
            };
            match outcome {
                Ok(()) => self.failing = None,
                // A failure for good is worth more than one that may pass.
                Err(error) if failure.as_ref().is_none_or(|first| first.is_retriable()) => {
                    failure = Some(error)
                }
                Err(_) => {}
            }
        }
        failure.map_or(Ok(()), Err)
    }

    fn settle_front(&mut self, index: usize, answer: PartitionProduceResponse) -> Result<(), ProduceError> {
        let code = Code(answer.error_code);
        if code.0 == 0 || code.is(ErrorCode::DuplicateSequenceNumber) {
            self.acknowledge(index);
            return Ok(());
        }
        let lane = &mut self.lanes[index];
        let front = lane.sealed.front().expect("what is in flight is at the front");
        let too_large = code.is(ErrorCode::MessageTooLarge) || code.is(ErrorCode::RecordListTooLarge);
        if too_large && front.tags.len() > 1 {
            let batch = lane.sealed.pop_front().expect("it has just been looked at");
            self.queued_bytes -= batch.bytes.len();
            for half in split(&batch).into_iter().rev() {
                self.queued_bytes += half.bytes.len();
                self.lanes[index].sealed.push_front(half);
            }
            return Ok(());
        }
        let named = answer.record_errors.into_iter().next();
        let named_tag =
            named.as_ref().and_then(|record| front.tags.get(usize::try_from(record.batch_index).ok()?));
        let ends = (front.tags[0], front.tags[front.tags.len() - 1]);
        Err(ProduceError::Refused {
            topic: self.topic.name.clone(),
            partition: lane.partition,
            code,
            tags: named_tag.map_or(ends, |tag| (*tag, *tag)),
            message: named.and_then(|record| record.batch_index_error_message).or(answer.error_message),
            batch_bytes: front.bytes.len(),
        })
    }

    fn acknowledge(&mut self, index: usize) {
        let batch = self.lanes[index].sealed.pop_front().expect("what is acknowledged was sent");
        self.queued_bytes -= batch.bytes.len();
        self.acknowledged.records += batch.tags.len() as u64;
        self.acknowledged.batch_bytes += batch.bytes.len() as u64;
    }

    /// Sends every idle leader the front batches of its lanes.
    fn send_sealed(&mut self) -> Result<(), ProduceError> {
        let mut by_leader: BTreeMap<i32, Vec<usize>> = BTreeMap::new();
        for (index, lane) in self.lanes.iter().enumerate().filter(|(_, lane)| !lane.sealed.is_empty()) {
            // A partition without a leader is dialled in vain, which says why.
            let leader = self.topic.partition(lane.partition).and_then(|partition| partition.leader.ok());
            by_leader.entry(leader.unwrap_or(-1)).or_default().push(index);
        }
        for (leader, mut lanes) in by_leader {
            if self.links.get(&leader).is_some_and(|link| link.in_flight.is_some()) {
                continue;
            }
            if !self.links.contains_key(&leader) {
                let connection = self.client.dial_leader(&self.topic, self.lanes[lanes[0]].partition)?;
                self.links.insert(leader, Link { connection, in_flight: None });
            }
            let mut bytes = 0;
            lanes.retain(|&index| {
                let fits = bytes < REQUEST_BYTES;
                bytes += self.lanes[index].sealed[0].bytes.len();
                fits
            });
            self.send_to(leader, lanes)?;
        }
        Ok(())
    }

    fn send_to(&mut self, leader: i32, lanes: Vec<usize>) -> Result<(), ProduceError> {
        let link = self.links.get_mut(&leader).expect("the caller has dialled");
        let limit = if self.topic.id.is_nil() { TOPIC_IDS_FROM - 1 } else { i16::MAX };
        let version = link.connection.version::<ProduceRequest>(limit)?;
        if self.options.codec == Codec::Zstd && version < ZSTD_FROM {
            return Err(ProduceError::Codec { topic: self.topic.name.clone() });
        }
        // The batches are lent to the request: they are needed again if it is lost.
        let lent = lanes.iter().map(|&index| {
            let lane = &mut self.lanes[index];
            let records = Some(mem::take(&mut lane.sealed[0].bytes));
            PartitionProduceData { index: lane.partition, records }
        });
        let mut request = ProduceRequest {
            transactional_id: None,
            acks: self.options.acks.wire(),
            timeout_ms: self.client.limits().request.as_millis() as i32,
            topic_data: vec![TopicProduceData {
                name: self.topic.name.clone(),
                topic_id: self.topic.id,
                partition_data: lent.collect(),
            }],
        };
        let sent = link.connection.send(version, &request);
        for (&index, data) in lanes.iter().zip(&mut request.topic_data[0].partition_data) {
            self.lanes[index].sealed[0].bytes = data.records.take().unwrap_or_default();
        }
        let correlation_id = sent?;
        match self.options.acks {
            Acks::None => {
                for index in lanes {
                    self.acknowledge(index);
                }
                self.failing = None;
            }
            Acks::Leader | Acks::All => {
                link.in_flight = Some(InFlight { version, correlation_id, lanes });
            }
        }
        Ok(())
    }
}

/// Asks for a producer id; `None` when the broker does not know the question.
fn identify(client: &mut Client) -> Result<Option<Identity>, ProduceError> {
    let mut broker = client.dial_controller()?;
    if !broker.knows(ApiKey::InitProducerId) {
        return Ok(None);
    }
    let response = broker.call(&InitProducerIdRequest::default())?;
    Code::check(response.error_code).map_err(|code| ProduceError::Identity { code })?;
    Ok(Some(Identity { id: ProducerId(response.producer_id), epoch: ProducerEpoch(response.producer_epoch) }))
}

/// No batch of our own unpacks to more: its length field says no more either.
const RECORDS_BYTES_MAX: usize = i32::MAX as usize;

/// The same records in two batches. `batch` is of our own making and has at least two.
fn split(batch: &Batch) -> [Batch; 2] {
    let header = BatchHeader::peek(&batch.bytes).expect("our own batch");
    let codec = header.codec().expect("our own batch");
    let packed = &batch.bytes[BATCH_HEADER_BYTES..];
    let records = decompress(codec, packed, RECORDS_BYTES_MAX).expect("our own batch");
    let middle = batch.tags.len() / 2;
    let mut halves =
        [(0, BatchBuilder::new(codec)), (middle, BatchBuilder::new(codec))].map(|(start, builder)| {
            match header.producer() {
                Some(producer) => {
                    let sequence = header.base_sequence().plus(start as i32);
                    builder.producer(producer.id, producer.epoch, sequence)
                }
                None => builder,
            }
        });
    for (at, record) in Records::new(&records, batch.tags.len() as u32).enumerate() {
        let record = record.expect("our own batch");
        let mut headers = Vec::new();
        for header in record.headers {
            let (name, value) = header.expect("our own batch");
            headers.push((std::str::from_utf8(name).expect("our own batch"), value));
        }
        let timestamp = header.base_timestamp().with_delta(record.timestamp_delta);
        halves[usize::from(at >= middle)].push(timestamp, record.key, record.value, &headers);
    }
    let [first, second] = halves.map(BatchBuilder::build);
    [
        Batch { bytes: first, tags: batch.tags[..middle].to_vec() },
        Batch { bytes: second, tags: batch.tags[middle..].to_vec() },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_that_is_split_keeps_its_records_their_order_and_their_sequences() {
        for codec in Codec::ALL {
            let mut builder =
                BatchBuilder::new(codec).producer(ProducerId(7), ProducerEpoch(3), Sequence(i32::MAX));
            for value in [&b"one"[..], b"two", b"three"] {
                builder.push(Timestamp(1000 + value.len() as i64), Some(b"k"), Some(value), &[("h", None)]);
            }
            let halves = split(&Batch { bytes: builder.build(), tags: vec![10, 11, 12] });

            let mut seen = Vec::new();
            for half in &halves {
                let header = BatchHeader::peek(&half.bytes).unwrap();
                let records = decompress(codec, &half.bytes[BATCH_HEADER_BYTES..], 1000).unwrap();
                for record in Records::new(&records, header.record_count() as u32) {
                    let record = record.unwrap();
                    let timestamp = header.base_timestamp().with_delta(record.timestamp_delta);
                    seen.push((record.value.unwrap().to_vec(), timestamp.0, record.headers.count()));
                }
            }
            let expected = [("one", 1003), ("two", 1003), ("three", 1005)];
            assert_eq!(seen, expected.map(|(value, timestamp)| (value.as_bytes().to_vec(), timestamp, 1)));
            assert_eq!(halves[0].tags, [10]);
            assert_eq!(halves[1].tags, [11, 12]);
            assert_eq!(BatchHeader::peek(&halves[0].bytes).unwrap().base_sequence(), Sequence(i32::MAX));
            assert_eq!(BatchHeader::peek(&halves[1].bytes).unwrap().base_sequence(), Sequence::FIRST);
        }
    }
}
