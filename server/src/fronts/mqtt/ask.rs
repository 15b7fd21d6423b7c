//! What a connection asks of the broker, in Kafka's words: topics, appends, reads. The rules, quotas and
//! counters are those of a Kafka client that asks the same ([`crate::in_process`]).

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use strandline_client::partition_of_key;
use strandline_engine::Local;
use strandline_engine::format::builder::BatchBuilder;
use strandline_engine::format::compression::Codec;
use strandline_engine::topics::TopicSnapshot;
use strandline_engine::types::{ProducerEpoch, ProducerId, Sequence, Timestamp, TopicId};
use strandline_mqtt::codec::Reason;
use strandline_mqtt::connection::{Appended, Ticket};
use strandline_mqtt::message::Message;
use strandline_mqtt::retained::Kept;
use strandline_mqtt::rules::{Place, Source};
use strandline_mqtt::session::{Once, Partition, Pending, Producer};
use strandline_protocol::messages::{
    DescribeProducersRequest, DescribeProducersTopic, FetchPartition, FetchRequest, FetchTopic,
    InitProducerIdRequest, ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic, MetadataRequest,
    MetadataRequestTopic, PartitionData, PartitionProduceData, ProduceRequest, Request, TopicProduceData,
};
use strandline_protocol::wire::{Decode, Encode, ErrorCode};

use crate::in_process::{Caller, NoAnswer, Said};
use crate::session::Session;

/// The versions that are asked: the last ones that name topics.
const PRODUCE: i16 = 12;
const FETCH: i16 = 12;
const METADATA: i16 = 12;
const LIST_OFFSETS: i16 = 8;
const INIT_PRODUCER_ID: i16 = 4;
const DESCRIBE_PRODUCERS: i16 = 0;

/// For all replicas; here, for the disk.
const ALL: i16 = -1;

/// Bytes of records in one request: below the default of `max.message.bytes`.
const BATCH_BYTES: usize = 512 << 10;

/// Bytes of records that a connection fetches at once; the first batch comes in any case.
const FETCH_BYTES: i32 = 256 << 10;

/// How long a fetch waits for records.
const FETCH_WAIT: Duration = Duration::from_secs(20);

const EARLIEST: i64 = -2;
const LATEST: i64 = -1;

/// Milliseconds since 1970.
pub(super) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// A message on its way to the log.
pub(super) struct ToAppend {
    pub(super) ticket: Ticket,
    pub(super) place: Place,
    pub(super) message: Message,
    pub(super) once: Option<(Partition, Once)>,
}

/// What became of messages.
pub(super) type Appends = Vec<(Ticket, Result<Appended, Reason>)>;

/// What a client is told when the broker says this.
pub(super) fn reason_of(code: i16) -> Reason {
    match ErrorCode::try_from(code) {
        Ok(ErrorCode::TopicAuthorizationFailed | ErrorCode::ClusterAuthorizationFailed) => {
            Reason::NOT_AUTHORIZED
        }
        Ok(ErrorCode::InvalidTopic) => Reason::TOPIC_NAME_INVALID,
        Ok(ErrorCode::MessageTooLarge | ErrorCode::RecordListTooLarge) => Reason::PACKET_TOO_LARGE,
        Ok(ErrorCode::PolicyViolation | ErrorCode::ThrottlingQuotaExceeded) => Reason::QUOTA_EXCEEDED,
        Ok(_) | Err(_) => Reason::IMPLEMENTATION,
    }
}

/// Until when a client is not listened to, since it has used up a quota.
#[derive(Clone, Default)]
pub(super) struct Silence(Rc<Cell<Option<Instant>>>);

impl Silence {
    fn lasts(&self, silent: Duration) {
        if let Some(until) = Instant::now().checked_add(silent).filter(|_| !silent.is_zero()) {
            self.0.set(self.0.get().max(Some(until)));
        }
    }

    /// How much of it is left.
    pub(super) fn left(&self) -> Option<Duration> {
        let left = self.0.get()?.saturating_duration_since(Instant::now());
        (!left.is_zero()).then_some(left)
    }
}

/// Asks for one client.
#[derive(Clone)]
pub(super) struct Asker {
    pub(super) caller: Caller,
    pub(super) session: Session,
    pub(super) shard: Local,
    pub(super) silence: Silence,
    /// Whether there are rules about who may do what.
    pub(super) has_rules: bool,
}

/// Where partitions end or begin.
#[derive(Default)]
struct Offsets {
    found: Vec<(Partition, i64)>,
    /// There are others, about which the client may not ask.
    are_denied: bool,
}

/// Partitions of one topic, by its name.
type ByTopic<T> = BTreeMap<String, Vec<T>>;

impl Asker {
    async fn ask<M>(&self, version: i16, request: &M) -> Result<M::Response, Reason>
    where
        M: Request + Encode,
        M::Response: Decode,
    {
        let said = self.caller.ask(&self.session, version, request).await;
        let Said { response, silent } = said.map_err(unanswered)?;
        self.silence.lasts(silent);
        Ok(response)
    }

    fn topics(&self) -> TopicSnapshot {
        self.shard.topics()
    }

    /// The name of a topic that is there.
    pub(super) fn name_of(&self, partition: Partition) -> Option<String> {
        let topics = self.topics();
        topics.by_id(TopicId::from_bytes(partition.topic)).map(|topic| topic.name.clone())
    }

    // ---- appending ----------------------------------------------------------------------------------------

    /// Which partition a message goes to; its topic is created where clients may have that.
    pub(super) async fn partition_of(&self, place: &Place) -> Result<Partition, Reason> {
        for may_create in [true, false] {
            if let Some(topic) = self.topics().by_name(&place.topic) {
                let count = i32::try_from(topic.partitions).unwrap_or(i32::MAX);
                let index = partition_of_key(place.key.as_bytes(), count).unsigned_abs();
                return Ok(Partition { topic: topic.id.to_bytes(), index });
            }
            if may_create {
                self.create(&place.topic).await?;
            }
        }
        Err(Reason::IMPLEMENTATION)
    }

    async fn create(&self, name: &str) -> Result<(), Reason> {
        let topic = MetadataRequestTopic { name: Some(name.to_owned()), ..Default::default() };
        let request = MetadataRequest {
            topics: Some(vec![topic]),
            allow_auto_topic_creation: true,
            ..Default::default()
        };
        let found = self.ask(METADATA, &request).await?.topics.pop();
        match found.map_or(0, |topic| topic.error_code) {
            0 => Ok(()),
            code => Err(reason_of(code)),
        }
    }

    /// A producer that nobody else is.
    pub(super) async fn producer(&self) -> Result<Producer, Reason> {
        let answer = self.ask(INIT_PRODUCER_ID, &InitProducerIdRequest::default()).await?;
        match answer.error_code {
            0 => Ok(Producer { id: answer.producer_id, epoch: answer.producer_epoch }),
            code => Err(reason_of(code)),
        }
    }

    /// Appends messages from the front of the queue, as many as fit into one request in their order, and says
    /// what became of each when it is durable.
    pub(super) async fn append(&self, queue: Vec<ToAppend>) -> (Appends, Vec<ToAppend>) {
        let (mut done, mut batches) = (Appends::new(), Batches::default());
        let mut queue = queue.into_iter();
        let mut rest = Vec::new();
        for next in queue.by_ref() {
            let partition = match next.once {
                Some((partition, _)) => Ok(partition),
                None => self.partition_of(&next.place).await,
            };
            let partition = match partition {
                Ok(partition) => partition,
                Err(reason) => {
                    done.push((next.ticket, Err(reason)));
                    continue;
                }
            };
            if !batches.takes(partition, &next) {
                rest.push(next);
                break;
            }
            batches.put(partition, next);
        }
        rest.extend(queue);
        done.extend(self.produce(batches).await);
        (done, rest)
    }

    async fn produce(&self, batches: Batches) -> Appends {
        if batches.open.is_empty() {
            return Appends::new();
        }
        let mut topic_data: BTreeMap<String, TopicProduceData> = BTreeMap::new();
        let mut waiting = BTreeMap::new();
        for (partition, Batch { topic, builder, messages, .. }) in batches.open {
            let data = PartitionProduceData { index: partition.index as i32, records: Some(builder.build()) };
            let entry = topic_data.entry(topic.clone()).or_default();
            entry.name.clone_from(&topic);
            entry.partition_data.push(data);
            waiting.insert((topic, partition.index as i32), (partition, messages));
        }
        let topic_data = topic_data.into_values().collect();
        let request = ProduceRequest { acks: ALL, timeout_ms: 30_000, topic_data, ..Default::default() };
        let mut done = Appends::new();
        match self.ask(PRODUCE, &request).await {
            Ok(answer) => {
                for topic in answer.responses {
                    for found in topic.partition_responses {
                        let Some((partition, messages)) = waiting.remove(&(topic.name.clone(), found.index))
                        else {
                            continue;
                        };
                        for (at, (ticket, timestamp)) in messages.into_iter().enumerate() {
                            let timestamp = match found.log_append_time_ms {
                                -1 => timestamp,
                                stamped => stamped,
                            };
                            let offset = found.base_offset + at as i64;
                            let appended = match found.error_code {
                                0 => Ok(Appended { partition, offset, timestamp }),
                                code => Err(reason_of(code)),
                            };
                            done.push((ticket, appended));
                        }
                    }
                }
                let unanswered = waiting.into_values().flat_map(|(_, messages)| messages);
                done.extend(unanswered.map(|(ticket, _)| (ticket, Err(Reason::IMPLEMENTATION))));
            }
            Err(reason) => {
                let all = waiting.into_values().flat_map(|(_, messages)| messages);
                done.extend(all.map(|(ticket, _)| (ticket, Err(reason))));
            }
        }
        done
    }

    /// Which of these messages are in the log. A producer's state has no offset of them: the end of the log
    /// stands for it, which is right as long as nobody has published anything newer to the same topic.
    pub(super) async fn resolve(
        &self,
        pending: Vec<(u16, Pending)>,
    ) -> Result<Vec<(u16, Option<Appended>)>, Reason> {
        let mut found = Vec::with_capacity(pending.len());
        for (id, Pending { partition, once, .. }) in pending {
            let Some(name) = self.name_of(partition) else {
                found.push((id, None));
                continue;
            };
            let index = partition.index as i32;
            let topic = DescribeProducersTopic { name, partition_indexes: vec![index] };
            let answer =
                self.ask(DESCRIBE_PRODUCERS, &DescribeProducersRequest { topics: vec![topic] }).await?;
            let producers = answer.topics.into_iter().flat_map(|topic| topic.partitions);
            let mut is_there = false;
            for partition in producers {
                if partition.error_code != 0 {
                    return Err(reason_of(partition.error_code));
                }
                is_there |= partition.active_producers.iter().any(|producer| {
                    producer.producer_id == once.producer.id && producer.last_sequence >= once.sequence
                });
            }
            let end = match is_there {
                true => self.end_of(partition).await?,
                false => 0,
            };
            let at = Appended { partition, offset: (end - 1).max(0), timestamp: now() };
            found.push((id, is_there.then_some(at)));
        }
        Ok(found)
    }

    async fn end_of(&self, partition: Partition) -> Result<i64, Reason> {
        let Some(name) = self.name_of(partition) else { return Ok(0) };
        let Offsets { found, .. } = self.offsets([(name, vec![partition.index])].into(), LATEST).await?;
        Ok(found.first().map_or(0, |(_, end)| *end))
    }

    // ---- reading ------------------------------------------------------------------------------------------

    /// The partitions of topics that a filter reads, with where they end for readers of committed records.
    ///
    /// # Errors
    /// When the client may read none of them.
    pub(super) async fn ends(&self, sources: &[Source]) -> Result<Vec<(Partition, i64)>, Reason> {
        for name in sources.iter().filter_map(Source::exact) {
            if self.topics().by_name(name).is_none() {
                // Where topics are not created by being named, it is followed once it is there.
                let _ = self.create(name).await;
            }
        }
        let Offsets { found, are_denied } = self.offsets(self.partitions_of(sources), LATEST).await?;
        // Whoever may ask for offsets may not always read.
        let denied = self.denied(&found).await?;
        let count = found.len();
        let found: Vec<_> = found.into_iter().filter(|(partition, _)| !denied.contains(partition)).collect();
        match found.is_empty() && (are_denied || count > 0) {
            true => Err(Reason::NOT_AUTHORIZED),
            false => Ok(found),
        }
    }

    /// All partitions of topics that a filter reads, with where each begins, as far as the client may know.
    ///
    /// # Errors
    /// When there is no answer.
    pub(super) async fn starts(&self, sources: &[Source]) -> Result<Vec<(Partition, Option<i64>)>, Reason> {
        let wanted = self.partitions_of(sources);
        let Offsets { found, .. } = self.offsets(wanted.clone(), EARLIEST).await?;
        let found: BTreeMap<Partition, i64> = found.into_iter().collect();
        let topics = self.topics();
        let all = wanted.into_iter().filter_map(|(name, partitions)| {
            let topic = topics.by_name(&name)?.id.to_bytes();
            Some(partitions.into_iter().map(move |index| Partition { topic, index }))
        });
        Ok(all.flatten().map(|partition| (partition, found.get(&partition).copied())).collect())
    }

    fn partitions_of(&self, sources: &[Source]) -> ByTopic<u32> {
        let topics = self.topics();
        let matching = topics.iter().filter(|topic| {
            !topic.name.starts_with("__") && sources.iter().any(|source| source.contains(&topic.name))
        });
        matching.map(|topic| (topic.name.clone(), (0..topic.partitions).collect())).collect()
    }

    async fn offsets(&self, wanted: ByTopic<u32>, timestamp: i64) -> Result<Offsets, Reason> {
        if wanted.is_empty() {
            return Ok(Offsets::default());
        }
        let topics = wanted.into_iter().map(|(name, partitions)| {
            let partition = |index: u32| ListOffsetsPartition {
                partition_index: index as i32,
                timestamp,
                ..Default::default()
            };
            ListOffsetsTopic { name, partitions: partitions.into_iter().map(partition).collect() }
        });
        let request =
            ListOffsetsRequest { isolation_level: 1, topics: topics.collect(), ..Default::default() };
        let answer = self.ask(LIST_OFFSETS, &request).await?;
        let known = self.topics();
        let mut offsets = Offsets::default();
        for topic in answer.topics {
            let Some(id) = known.by_name(&topic.name).map(|topic| topic.id.to_bytes()) else { continue };
            for partition in &topic.partitions {
                offsets.are_denied |= is_denied(partition.error_code);
                if partition.error_code == 0 {
                    let index = partition.partition_index.unsigned_abs();
                    offsets.found.push((Partition { topic: id, index }, partition.offset.max(0)));
                }
            }
        }
        Ok(offsets)
    }

    /// Those of these that the client may not read.
    async fn denied(&self, places: &[(Partition, i64)]) -> Result<BTreeSet<Partition>, Reason> {
        if places.is_empty() {
            return Ok(BTreeSet::new());
        }
        let answer = self.fetch_from(places, Duration::ZERO, 1).await?;
        let denied = answer.into_iter().filter(|(_, data)| is_denied(data.error_code));
        Ok(denied.map(|(partition, _)| partition).collect())
    }

    /// What is kept of topics that are there and that the client may read.
    pub(super) async fn readable(&self, kept: Vec<Kept>) -> Vec<Kept> {
        let places: BTreeMap<Partition, i64> = kept.iter().map(|it| (it.partition, it.offset)).collect();
        let places: Vec<(Partition, i64)> =
            places.into_iter().filter(|(partition, _)| self.name_of(*partition).is_some()).collect();
        let Ok(denied) = self.denied(&places).await else { return Vec::new() };
        let may = |kept: &Kept| {
            let is_there = places.binary_search_by_key(&kept.partition, |place| place.0).is_ok();
            is_there && !denied.contains(&kept.partition)
        };
        kept.into_iter().filter(may).collect()
    }

    /// Records of partitions, each from an offset on; waits for some. Rights are those of the moment at which
    /// they are there, not only of that at which they were asked for.
    pub(super) async fn fetch(
        &self,
        wanted: &[(Partition, i64)],
    ) -> Result<Vec<(Partition, PartitionData<Bytes>)>, Reason> {
        let mut found = self.fetch_from(wanted, FETCH_WAIT, FETCH_BYTES).await?;
        let with_records = found.iter().filter(|(_, data)| !data.records.is_empty());
        // Nothing is at the end: what is answered are the rights.
        let ends: Vec<(Partition, i64)> =
            with_records.map(|(partition, data)| (*partition, data.high_watermark)).collect();
        if self.has_rules && !ends.is_empty() {
            let denied = self.denied(&ends).await?;
            found.retain(|(partition, _)| !denied.contains(partition));
        }
        Ok(found)
    }

    /// One record.
    pub(super) async fn fetch_one(
        &self,
        partition: Partition,
        offset: i64,
    ) -> Result<Option<PartitionData<Bytes>>, Reason> {
        let found = self.fetch_from(&[(partition, offset)], Duration::ZERO, 1).await?;
        Ok(found.into_iter().next().map(|(_, data)| data))
    }

    async fn fetch_from(
        &self,
        wanted: &[(Partition, i64)],
        wait: Duration,
        bytes_max: i32,
    ) -> Result<Vec<(Partition, PartitionData<Bytes>)>, Reason> {
        let mut topics: Vec<FetchTopic> = Vec::new();
        for (partition, offset) in wanted {
            let Some(topic) = self.name_of(*partition) else { continue };
            let asked = FetchPartition {
                partition: partition.index as i32,
                fetch_offset: *offset,
                partition_max_bytes: bytes_max,
                ..Default::default()
            };
            match topics.last_mut().filter(|last| last.topic == topic) {
                Some(last) => last.partitions.push(asked),
                None => topics.push(FetchTopic { topic, partitions: vec![asked], ..Default::default() }),
            }
        }
        let request = FetchRequest {
            max_wait_ms: wait.as_millis() as i32,
            min_bytes: 1,
            max_bytes: bytes_max,
            isolation_level: 1,
            topics,
            ..Default::default()
        };
        let said = self.caller.fetch(&self.session, FETCH, &request).await.map_err(unanswered)?;
        let Said { response: answer, silent } = said;
        self.silence.lasts(silent);
        let known = self.topics();
        let mut found = Vec::new();
        for topic in answer.responses {
            let Some(id) = known.by_name(&topic.topic).map(|topic| topic.id.to_bytes()) else { continue };
            found.extend(
                topic
                    .partitions
                    .into_iter()
                    .map(|data| (Partition { topic: id, index: data.partition_index.unsigned_abs() }, data)),
            );
        }
        Ok(found)
    }
}

fn is_denied(code: i16) -> bool {
    ErrorCode::try_from(code) == Ok(ErrorCode::TopicAuthorizationFailed)
}

fn unanswered(why: NoAnswer) -> Reason {
    match why {
        NoAnswer::Stopping => Reason::SERVER_SHUTTING_DOWN,
        _ => Reason::IMPLEMENTATION,
    }
}

/// Messages of one partition, in one batch.
struct Batch {
    topic: String,
    builder: BatchBuilder,
    messages: Vec<(Ticket, i64)>,
    is_once: bool,
}

/// The batches of one request.
#[derive(Default)]
struct Batches {
    open: BTreeMap<Partition, Batch>,
    bytes: usize,
}

impl Batches {
    /// Whether a message can go with the others: one of QoS 2 has a batch of its own, and there is one batch
    /// a partition.
    fn takes(&self, partition: Partition, next: &ToAppend) -> bool {
        let is_alone = |batch: &Batch| batch.is_once || next.once.is_some();
        self.bytes < BATCH_BYTES && !self.open.get(&partition).is_some_and(is_alone)
    }

    fn put(&mut self, partition: Partition, next: ToAppend) {
        let ToAppend { ticket, place, message, once } = next;
        let Place { topic, key } = place;
        let batch = self.open.entry(partition).or_insert_with(|| {
            let mut builder = BatchBuilder::new(Codec::None);
            if let Some((_, Once { producer, sequence })) = once {
                let (id, epoch) = (ProducerId(producer.id), ProducerEpoch(producer.epoch));
                builder = builder.producer(id, epoch, Sequence(sequence));
            }
            Batch { topic, builder, messages: Vec::new(), is_once: once.is_some() }
        });
        let headers = message.headers();
        let headers: Vec<(&str, Option<&[u8]>)> =
            headers.iter().map(|(name, value)| (name.as_str(), Some(&value[..]))).collect();
        let before = batch.builder.bytes_estimate();
        let timestamp = now();
        batch.builder.push(Timestamp(timestamp), Some(key.as_bytes()), Some(&message.payload), &headers);
        self.bytes += batch.builder.bytes_estimate() - before;
        batch.messages.push((ticket, timestamp));
    }
}
