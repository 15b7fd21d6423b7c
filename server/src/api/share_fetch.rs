//! ShareFetch: records for a member of a share group (KIP-932), and what became of those that it had.
//!
//! * The partitions are those of the member's share session, which its connection has; of these only those
//!   are answered that have records, an error, or acknowledgements in the request.
//! * Acknowledgements are durable before the answer leaves (D9).
//! * A request waits until somebody of the group may have records: new ones, or ones that came back. Records
//!   that are given out are locked; of an answer that does not arrive they come back when the lock expires.
//! * Of a partition whole batches are sent, from that of the first record that the member acquired to that of
//!   the last; what else is in them the member passes over.

mod batches;
mod records;

use std::collections::BTreeMap;
use std::time::Duration;

use strandline_engine::reactor;
use strandline_engine::{File, FileRange};
use strandline_protocol::messages::{
    AcquiredRecords, RecordsGap, ShareFetchRequest, ShareFetchResponse, ShareFetchableTopicResponse,
    SharePartitionData, decode_request,
};
use strandline_protocol::wire::ErrorCode;
use strandline_protocol::wire::writer::PART_BYTES;

use crate::api::share_acknowledge::{At, Kinds, acknowledge, connection, session_error, who};
use crate::broker::uuid_of;
use crate::call::{Answer, Call, CallError, Pending};
use crate::refusal::{Refusal, told};
use crate::security::acl::{Operation, Resource};
use crate::share::{Acquired, ENDS, OPENS, Opened, SessionError, ShareGroupConfig, Wanted};

use records::{Fetched, Limit, fetch};

/// A request that takes no more than `max_records`.
const STRICT: i8 = 1;

/// About what a partition takes of the memory until its answer has left, without its acquired ranges.
const PARTITION_BYTES: usize = 256;

/// The answer, when its turn has come.
pub fn answer(mut call: Call) -> Pending {
    Box::pin(async move {
        let version = call.header.version;
        let request: ShareFetchRequest = decode_request(&std::mem::take(&mut call.body), version)?;
        let (response, ranges) = handle(&call, request).await;
        call.broker.requests.failed(call.header.key, response.error_code);
        for partition in response.responses.iter().flat_map(|topic| &topic.partitions) {
            call.broker.requests.failed(call.header.key, partition.error_code);
            call.broker.requests.failed(call.header.key, partition.acknowledge_error_code);
        }
        let mut seat = call.broker.room.seat();
        let partitions = response.responses.iter().flat_map(|topic| &topic.partitions);
        let bytes: usize = partitions
            .map(|partition| {
                PARTITION_BYTES + 2 * partition.acquired_records.len() * size_of::<AcquiredRecords>()
            })
            .sum();
        if bytes > PART_BYTES {
            seat.reserve(bytes).await;
        }
        let pieces = response.encode(version, call.header.correlation_id).map_err(CallError::from)?;
        Ok(Answer::Records { pieces, ranges, seat })
    })
}

type Answered = (ShareFetchResponse<RecordsGap>, Vec<FileRange<File>>);

fn refused(code: ErrorCode, message: impl Into<String>) -> Answered {
    let response = ShareFetchResponse {
        error_code: code.code(),
        error_message: Some(message.into()),
        ..Default::default()
    };
    (response, Vec::new())
}

async fn handle(call: &Call, mut request: ShareFetchRequest) -> Answered {
    let shares = &call.broker.shares;
    let who = who(request.group_id.take(), request.member_id.take());
    let (group, member) = match who {
        Ok(who) => who,
        Err(message) => return refused(ErrorCode::InvalidRequest, message),
    };
    if let Err(code) = call.may(Operation::Read, Resource::group(&group)) {
        return refused(code, code.to_string());
    }
    if let Err(message) = check(&request) {
        return refused(ErrorCode::InvalidRequest, message);
    }
    let epoch = request.share_session_epoch;
    let opened = match session(call, &group, &member, &request).await {
        Ok(opened) => opened,
        Err(error) => {
            if error == SessionError::LimitReached {
                // Or the client would ask again at once.
                let wait = Duration::from_millis(request.max_wait_ms.max(0) as u64);
                let wait = wait.min(call.broker.config.connection_idle / 2);
                call.ending.or(reactor::sleep(wait)).await;
            }
            let code = session_error(error);
            return refused(code, code.to_string());
        }
    };
    let config = shares.config(&call.broker.config, &call.broker.shard.settings(), &group);
    let said = request.topics.iter_mut().flat_map(|topic| {
        let id = topic.topic_id;
        topic.partitions.iter_mut().filter_map(move |partition| {
            let batches = std::mem::take(&mut partition.acknowledgement_batches);
            (!batches.is_empty()).then_some(((id, partition.partition_index), batches))
        })
    });
    let kinds = Kinds { renews: request.is_renew_ack };
    let acknowledged = acknowledge(call, (&group, &member), &config, said.collect(), kinds).await;
    let fetched = match epoch == ENDS || request.is_renew_ack {
        true => Vec::new(),
        false => {
            let limit = limit_of(call, &request);
            fetch(call, (&group, &member), opened, &config, limit).await
        }
    };
    if epoch == ENDS {
        shares.end_session(&group, &member).await;
    }
    put_together(&config, fetched, acknowledged)
}

/// What holds of a request, whatever its session.
fn check(request: &ShareFetchRequest) -> Result<(), &'static str> {
    let is_renewal = request.is_renew_ack;
    let wants = [request.max_bytes, request.min_bytes, request.max_records, request.max_wait_ms];
    if is_renewal && wants.iter().any(|wanted| *wanted != 0) {
        return Err("maxBytes, minBytes, maxRecords and maxWaitMs must be set to 0, if isRenewAck is true.");
    }
    let mut partitions = request.topics.iter().flat_map(|topic| &topic.partitions);
    let has_acknowledgements = partitions.any(|partition| !partition.acknowledgement_batches.is_empty());
    match request.share_session_epoch == OPENS && has_acknowledgements {
        true => Err("the first request of a share session has nothing to acknowledge"),
        false => Ok(()),
    }
}

async fn session(
    call: &Call,
    group: &str,
    member: &str,
    request: &ShareFetchRequest,
) -> Result<Opened, SessionError> {
    let id =
        |topic: strandline_protocol::Uuid| strandline_engine::types::TopicId::from_bytes(topic.into_bytes());
    let added = request.topics.iter().flat_map(|topic| {
        topic.partitions.iter().map(move |partition| (id(topic.topic_id), partition.partition_index))
    });
    let forgotten = request
        .forgotten_topics_data
        .iter()
        .flat_map(|topic| topic.partitions.iter().map(move |partition| (id(topic.topic_id), *partition)));
    let wanted =
        Wanted { epoch: request.share_session_epoch, added: added.collect(), forgotten: forgotten.collect() };
    call.broker.shares.session(&connection(call), (group, member), wanted).await
}

fn limit_of(call: &Call, request: &ShareFetchRequest) -> Limit {
    // A client that waits for as long as an idle connection lives could not be told from one that has gone.
    let wait = Duration::from_millis(request.max_wait_ms.max(0) as u64);
    Limit {
        bytes_max: u64::from(call.broker.config.fetch_bytes_max).min(request.max_bytes.max(0) as u64),
        bytes_min: request.min_bytes.max(0) as u64,
        records_max: request.max_records.max(0).into(),
        batch_size: request.batch_size.max(1).into(),
        is_strict: request.share_acquire_mode == STRICT,
        wait: wait.min(call.broker.config.connection_idle / 2),
    }
}

/// The answer, partition by partition.
fn put_together(
    config: &ShareGroupConfig,
    fetched: Vec<Fetched>,
    acknowledged: Vec<(At, Result<(), Refusal>)>,
) -> Answered {
    let mut ranges = Vec::new();
    let mut partitions: BTreeMap<At, SharePartitionData<RecordsGap>> = BTreeMap::new();
    for (at, result) in acknowledged {
        let (acknowledge_error_code, acknowledge_error_message) = told(result.err());
        let data = SharePartitionData {
            partition_index: at.1,
            acknowledge_error_code,
            acknowledge_error_message,
            ..Default::default()
        };
        partitions.insert(at, data);
    }
    for Fetched { topic, partition, result } in fetched {
        let at = (uuid_of(topic), partition);
        let data = partitions
            .entry(at)
            .or_insert_with(|| SharePartitionData { partition_index: partition, ..Default::default() });
        match result {
            Ok((range, acquired)) => {
                data.records = RecordsGap { index: ranges.len(), length: range.length as u32 };
                data.acquired_records = acquired.iter().map(acquired_records).collect();
                ranges.push(range);
            }
            Err(code) => {
                data.error_code = code.code();
                data.error_message = Some(code.to_string());
            }
        }
    }
    let mut responses: Vec<ShareFetchableTopicResponse<RecordsGap>> = Vec::new();
    for ((topic_id, _), data) in partitions {
        match responses.last_mut() {
            Some(topic) if topic.topic_id == topic_id => topic.partitions.push(data),
            _ => responses.push(ShareFetchableTopicResponse { topic_id, partitions: vec![data] }),
        }
    }
    let response = ShareFetchResponse {
        acquisition_lock_timeout_ms: config.limits.lock_ms as i32,
        responses,
        ..Default::default()
    };
    (response, ranges)
}

fn acquired_records(acquired: &Acquired) -> AcquiredRecords {
    AcquiredRecords {
        first_offset: acquired.first,
        last_offset: acquired.last,
        delivery_count: acquired.deliveries.min(i16::MAX as u16) as i16,
    }
}
