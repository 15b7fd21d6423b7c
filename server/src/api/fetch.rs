//! Fetch: ranges of segment files, at once or when there is enough.
//!
//! * Every partition that is asked for is answered, once, in the order of the request. Of one that comes
//!   twice the last offset counts, as in Kafka.
//! * A request waits until there are `min_bytes`, `max_wait_ms` have passed, a partition has an error or more
//!   than this answer can take, or the connection ends.
//! * The first partition that has records gives at least one whole batch, whatever the limits; after that
//!   they hold ([`Budget`]). Batches are never cut.
//! * There are no sessions: session 0 in every answer tells clients to send whole requests (KIP-227).
//! * A consumer that reads committed records only is told with each partition which transactions that overlap
//!   its records were aborted; it passes over their records by itself.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::{Either, select};
use std::pin::pin;
use strandline_engine::error::ReadError;
use strandline_engine::topics::Topic;
use strandline_engine::types::Offset;
use strandline_engine::{File, FileRange, Isolation, ReadRequest, ReadResult, Reader, reactor};
use strandline_protocol::messages::{
    AbortedTransaction, FetchPartition, FetchRequest, FetchResponse, FetchTopic, FetchableTopicResponse,
    PartitionData, RecordsGap, decode_request,
};
use strandline_protocol::wire::writer::PART_BYTES;
use strandline_protocol::wire::{ApiKey, ErrorCode};

use crate::api::distinct::distinct_by_name;
use crate::api::{isolation, known_epoch, known_to, read_error, whole_ms};
use crate::broker::{Broker, TopicKey};
use crate::call::{Answer, Call, CallError, Ending, Pending};
use crate::quotas::QuotaKey;
use crate::security::acl::{Operation, Resource};

/// The first version that gives topics by id.
const BY_ID_FROM: i16 = 13;

/// Partitions that are looked at before others get the thread.
const STEP: usize = 64;

/// The same without what was aborted.
const PARTITION_BYTES: usize = 256;

/// The answer, when its turn has come.
pub fn answer(mut call: Call) -> Pending {
    Box::pin(async move {
        let version = call.header.version;
        let request: FetchRequest = decode_request(&std::mem::take(&mut call.body), version)?;
        let (response, ranges) = handle(&call, request).await;
        call.broker.requests.failed(call.header.key, response.error_code);
        for partition in response.responses.iter().flat_map(|topic| &topic.partitions) {
            call.broker.requests.failed(call.header.key, partition.error_code);
        }
        let mut seat = call.broker.room.seat();
        let bytes: usize = response.responses.iter().flat_map(|topic| &topic.partitions).map(footprint).sum();
        if bytes > PART_BYTES {
            seat.reserve(bytes).await;
        }
        let pieces = response.encode(version, call.header.correlation_id).map_err(CallError::from)?;
        Ok(Answer::Records { pieces, ranges, seat })
    })
}

/// About what a partition takes of the memory until its answer has left.
fn footprint(partition: &PartitionData<RecordsGap>) -> usize {
    let aborted = partition.aborted_transactions.as_ref().map_or(0, Vec::len);
    PARTITION_BYTES + 2 * aborted * size_of::<AbortedTransaction>()
}

/// A partition of the request.
struct Asked {
    /// Most bytes that the client wants of it.
    bytes_max: u64,
    /// What to read, or why not.
    read: Result<ReadRequest, ErrorCode>,
}

type Found = Result<ReadResult<File>, Nothing>;

/// Why a partition gives nothing, and where its log starts when that is why.
#[derive(Clone, Copy)]
struct Nothing {
    code: ErrorCode,
    log_start: i64,
}

impl From<ErrorCode> for Nothing {
    fn from(code: ErrorCode) -> Nothing {
        Nothing { code, log_start: -1 }
    }
}

impl From<ReadError> for Nothing {
    fn from(error: ReadError) -> Nothing {
        let log_start = match error {
            ReadError::OffsetOutOfRange { log_start, .. } => log_start.get(),
            _ => -1,
        };
        Nothing { code: read_error(&error), log_start }
    }
}

async fn handle(call: &Call, mut request: FetchRequest) -> (FetchResponse<RecordsGap>, Vec<FileRange<File>>) {
    let (broker, version, ending) = (&*call.broker, call.header.version, &call.ending);
    // Epochs 0 and -1 are full requests, which need no session; any other continues one that we never gave.
    if request.session_epoch > 0 {
        let error_code = ErrorCode::FetchSessionIdNotFound.code();
        return (FetchResponse { error_code, ..Default::default() }, Vec::new());
    }
    request.topics = once(request.topics).await;
    let bytes_max = u64::from(broker.config.fetch_bytes_max).min(request.max_bytes.max(0) as u64);
    let at_once = broker.quota_at_once(QuotaKey::ConsumerByteRate, call.session(), &call.standing);
    let bytes_max = at_once.map_or(bytes_max, |at_once| bytes_max.min(at_once));
    let isolation = isolation(request.isolation_level);
    let reader = Reader::Consumer(isolation);
    let asked = ask(call, &request, reader, bytes_max).await;
    let found = read_when_enough(broker, reader, &asked, &request, bytes_max, ending).await;

    let mut budget = Budget::new(bytes_max);
    let mut ranges = Vec::new();
    let mut found = asked.iter().zip(found);
    let mut responses = Vec::with_capacity(request.topics.len());
    let is_committed = isolation == Isolation::ReadCommitted;
    for topic in &request.topics {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for (partition, (asked, found)) in topic.partitions.iter().zip(&mut found) {
            let found = match found {
                Ok(found) => spend(broker, &mut budget, asked, found).await,
                Err(error) => Err(error),
            };
            let mut data = PartitionData {
                partition_index: partition.partition,
                aborted_transactions: is_committed.then(Vec::new),
                ..PartitionData::default()
            };
            match found {
                Ok(found) => {
                    data.high_watermark = found.high_watermark.get();
                    data.last_stable_offset = found.last_stable.get();
                    data.log_start_offset = found.log_start.get();
                    data.aborted_transactions = is_committed.then(|| aborted(&found));
                    if let Some(range) = found.batches {
                        data.records = RecordsGap { index: ranges.len(), length: range.length as u32 };
                        ranges.push(range);
                    }
                }
                Err(Nothing { code, log_start }) => {
                    data.error_code = known_to(ApiKey::Fetch, version, code).code();
                    data.high_watermark = -1;
                    data.log_start_offset = log_start;
                }
            }
            partitions.push(data);
            if partitions.len() % STEP == 0 {
                reactor::yield_if_needed().await;
            }
        }
        responses.push(FetchableTopicResponse {
            topic: topic.topic.clone(),
            topic_id: topic.topic_id,
            partitions,
        });
    }
    let bytes: u64 = ranges.iter().map(|range| range.length).sum();
    let wait = match bytes {
        0 => Duration::ZERO,
        bytes => broker.would_use(QuotaKey::ConsumerByteRate, call.session(), &call.standing, bytes),
    };
    if wait.is_zero() {
        return (FetchResponse { responses, ..Default::default() }, ranges);
    }
    // It gets nothing, and comes again when it may.
    broker.requests.throttled(call.header.key, QuotaKey::ConsumerByteRate, wait);
    call.standing.mute(wait);
    (FetchResponse { throttle_time_ms: whole_ms(wait), ..Default::default() }, Vec::new())
}

/// Each partition once.
async fn once(topics: Vec<FetchTopic>) -> Vec<FetchTopic> {
    if let [topic] = &topics[..]
        && topic.partitions.len() < 2
    {
        return topics;
    }
    let named = topics.into_iter().map(|topic| ((topic.topic, topic.topic_id), topic.partitions));
    let merged = distinct_by_name(named.collect(), |asked: &FetchPartition| asked.partition).await;
    let topics = merged.into_iter();
    topics.map(|((topic, topic_id), partitions)| FetchTopic { topic, topic_id, partitions }).collect()
}

/// What to read of each partition, or why not.
async fn ask(call: &Call, request: &FetchRequest, reader: Reader, bytes_max: u64) -> Vec<Asked> {
    let (broker, version) = (&*call.broker, call.header.version);
    let mut asked = Vec::new();
    // A replica reads for its broker, which may read everything.
    let of_replica = request.is_of_replica().then(|| call.may(Operation::ClusterAction, Resource::CLUSTER));
    for topic in &request.topics {
        let key = match version {
            BY_ID_FROM.. => TopicKey::Id(topic.topic_id),
            _ => TopicKey::Name(&topic.topic),
        };
        let found = match of_replica {
            None => call.topic(Operation::Read, key),
            Some(Ok(())) => broker.topic(key),
            Some(Err(_)) => Err(ErrorCode::TopicAuthorizationFailed),
        };
        for partition in &topic.partitions {
            asked.push(resolve(broker, &found, reader, bytes_max, partition));
            if asked.len() % STEP == 0 {
                reactor::yield_if_needed().await;
            }
        }
    }
    asked
}

fn resolve(
    broker: &Broker,
    topic: &Result<Arc<Topic>, ErrorCode>,
    reader: Reader,
    bytes_max: u64,
    asked: &FetchPartition,
) -> Asked {
    let partition_bytes_max = asked.partition_max_bytes.max(0) as u64;
    let read = || {
        let topic = topic.as_ref().map_err(|code| *code)?;
        let partition = broker.partition(topic, asked.partition)?;
        let offset = Offset::checked(asked.fetch_offset).ok_or(ErrorCode::OffsetOutOfRange)?;
        let request = ReadRequest::new(partition, offset, partition_bytes_max.min(bytes_max));
        Ok(ReadRequest { reader, leader_epoch: known_epoch(asked.current_leader_epoch), ..request })
    };
    Asked { bytes_max: partition_bytes_max, read: read() }
}

/// Reads until there are `min_bytes`, or it is time to answer with what there is.
async fn read_when_enough(
    broker: &Broker,
    reader: Reader,
    asked: &[Asked],
    request: &FetchRequest,
    bytes_max: u64,
    ending: &Ending,
) -> Vec<Found> {
    // A client that waits for as long as an idle connection lives could not be told from one that has gone.
    let wait_max = broker.config.connection_idle / 2;
    let wait = Duration::from_millis(request.max_wait_ms.max(0) as u64).min(wait_max);
    let deadline = Instant::now() + wait;
    let bytes_min = (request.min_bytes.max(0) as u64).min(bytes_max);
    loop {
        let found = read(broker, asked).await;
        let bytes: u64 = found.iter().flatten().map(ReadResult::bytes).sum();
        let left = deadline.saturating_duration_since(Instant::now());
        let is_time = left.is_zero() || ending.is_ended() || asked.is_empty();
        // What a limit or a segment's end has cut off would not come by waiting.
        let cut = found.iter().flatten().any(|found| !found.reaches_end);
        if bytes >= bytes_min || is_time || cut || found.iter().any(Result::is_err) {
            return found;
        }
        let beyond: Vec<_> = asked
            .iter()
            .zip(&found)
            .filter_map(|(asked, found)| {
                Some((asked.read.as_ref().ok()?.partition, found.as_ref().ok()?.readable_end))
            })
            .collect();
        let more = pin!(reactor::with_timeout(left, broker.shard.wait(reader, &beyond)));
        let end = pin!(ending.ended());
        match select(more, end).await {
            Either::Left(_) | Either::Right(_) => {}
        }
    }
}

async fn read(broker: &Broker, asked: &[Asked]) -> Vec<Found> {
    let reads: Vec<ReadRequest> =
        asked.iter().filter_map(|asked| asked.read.as_ref().ok().copied()).collect();
    let mut results = broker.shard.read(&reads).await.into_iter();
    asked
        .iter()
        .map(|asked| match asked.read {
            Ok(_) => {
                let result = results.next().unwrap_or(Err(ReadError::Stopping));
                result.map_err(Nothing::from)
            }
            Err(error) => Err(error.into()),
        })
        .collect()
}

/// The aborted transactions that overlap the records; none without records, as in Kafka.
fn aborted(found: &ReadResult<File>) -> Vec<AbortedTransaction> {
    if found.batches.is_none() {
        return Vec::new();
    }
    let aborted = found.aborted.iter().map(|aborted| AbortedTransaction {
        producer_id: aborted.producer_id.0,
        first_offset: aborted.first_offset.get(),
    });
    aborted.collect()
}

/// Takes a partition's share out of the budget; reads again with less where that is what is left.
async fn spend(broker: &Broker, budget: &mut Budget, asked: &Asked, mut found: ReadResult<File>) -> Found {
    match budget.share(found.bytes(), asked.bytes_max) {
        Share::Whole => {}
        Share::Nothing => found.batches = None,
        Share::AtMost(bytes_max) => {
            let request = ReadRequest { bytes_max, ..asked.read? };
            let again = broker.shard.read(&[request]).await.pop().unwrap_or(Err(ReadError::Stopping));
            found = again?;
            if found.bytes() > bytes_max {
                found.batches = None;
            }
        }
    }
    Ok(found)
}

/// What is left of a response's size, partition by partition in the order of the request.
struct Budget {
    left: u64,
    /// No partition has had records yet.
    is_first: bool,
}

/// What a partition gets.
#[derive(Debug, PartialEq, Eq)]
enum Share {
    /// All that was read.
    Whole,
    /// What fits into so many bytes, maybe nothing.
    AtMost(u64),
    Nothing,
}

impl Budget {
    fn new(bytes_max: u64) -> Budget {
        Budget { left: bytes_max, is_first: true }
    }

    /// The share of a partition for which `bytes` of whole batches were read: more than `partition_max` only
    /// when the first of them is.
    fn share(&mut self, bytes: u64, partition_max: u64) -> Share {
        if bytes == 0 {
            return Share::Whole;
        }
        if std::mem::take(&mut self.is_first) {
            self.left = self.left.saturating_sub(bytes);
            return Share::Whole;
        }
        if bytes > partition_max || self.left == 0 {
            return Share::Nothing;
        }
        if bytes <= self.left {
            self.left -= bytes;
            return Share::Whole;
        }
        // The rest is this partition's; who comes behind it is the first of a later request.
        Share::AtMost(std::mem::take(&mut self.left))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_partition_with_records_has_no_limit() {
        let mut budget = Budget::new(100);
        assert_eq!(budget.share(0, 0), Share::Whole);
        assert_eq!(budget.share(5000, 1), Share::Whole);
        assert_eq!(budget.share(1, 1), Share::Nothing, "and has used up what there was");
    }

    #[test]
    fn later_partitions_share_what_is_left() {
        let mut budget = Budget::new(100);
        assert_eq!(budget.share(40, 50), Share::Whole);
        assert_eq!(budget.share(51, 50), Share::Nothing, "its first batch is above its own limit");
        assert_eq!(budget.share(40, 50), Share::Whole);
        assert_eq!(budget.share(40, 50), Share::AtMost(20));
        assert_eq!(budget.share(1, 50), Share::Nothing);
    }
}
