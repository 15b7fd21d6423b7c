//! ShareAcknowledge: what became of records that a member of a share group (KIP-932) had. Answered when that
//! is durable (D9).

use std::collections::BTreeMap;

use futures_util::future::join_all;
use strandline_protocol::Uuid;
use strandline_protocol::messages::{
    ShareAcknowledgePartitionData, ShareAcknowledgeRequest, ShareAcknowledgeResponse,
    ShareAcknowledgeTopicResponse, ShareAcknowledgementBatch,
};
use strandline_protocol::wire::ErrorCode;

use crate::broker::TopicKey;
use crate::call::Call;
use crate::refusal::{Refusal, told};
use crate::security::acl::{Operation, Resource};
use crate::share::{
    Acknowledgement, Asked, Connection, ENDS, Kind, OPENS, SessionError, ShareGroupConfig, ShareKey, Wanted,
};

/// Partitions that are asked at a time.
pub(super) const AT_ONCE: usize = 64;

/// The longest id of a member.
const MEMBER_ID_CHARS_MAX: usize = 36;

/// What was taken in.
pub async fn handle(call: &Call, request: ShareAcknowledgeRequest) -> ShareAcknowledgeResponse {
    let refused = |code: ErrorCode, message: String| ShareAcknowledgeResponse {
        error_code: code.code(),
        error_message: Some(message),
        ..Default::default()
    };
    let epoch = request.share_session_epoch;
    let (group, member) = match who(request.group_id, request.member_id) {
        Ok(who) => who,
        Err(message) => return refused(ErrorCode::InvalidRequest, message.to_owned()),
    };
    if let Err(code) = call.may(Operation::Read, Resource::group(&group)) {
        return refused(code, code.to_string());
    }
    if epoch == OPENS {
        let code = ErrorCode::InvalidShareSessionEpoch;
        return refused(code, code.to_string());
    }
    let shares = &call.broker.shares;
    let wanted = Wanted { epoch, ..Default::default() };
    if let Err(error) = shares.session(&connection(call), (&group, &member), wanted).await {
        let code = session_error(error);
        return refused(code, code.to_string());
    }
    let config = shares.config(&call.broker.config, &call.broker.shard.settings(), &group);
    let topics = request.topics.into_iter().flat_map(|topic| {
        let partitions = topic.partitions.into_iter();
        let id = topic.topic_id;
        partitions.map(move |partition| ((id, partition.partition_index), partition.acknowledgement_batches))
    });
    let kinds = Kinds { renews: request.is_renew_ack };
    let taken = acknowledge(call, (&group, &member), &config, topics.collect(), kinds).await;
    if epoch == ENDS {
        shares.end_session(&group, &member).await;
    }
    let mut responses: Vec<ShareAcknowledgeTopicResponse> = Vec::new();
    for ((topic_id, partition_index), result) in taken {
        let (error_code, error_message) = told(result.err());
        let data = ShareAcknowledgePartitionData {
            partition_index,
            error_code,
            error_message,
            ..Default::default()
        };
        match responses.last_mut() {
            Some(topic) if topic.topic_id == topic_id => topic.partitions.push(data),
            _ => responses.push(ShareAcknowledgeTopicResponse { topic_id, partitions: vec![data] }),
        }
    }
    ShareAcknowledgeResponse {
        acquisition_lock_timeout_ms: config.limits.lock_ms as i32,
        responses,
        ..Default::default()
    }
}

/// The group and the member that a request is of.
///
/// # Errors
/// What is wrong with them.
pub(super) fn who(group: Option<String>, member: Option<String>) -> Result<(String, String), &'static str> {
    let group = group.filter(|group| !group.is_empty()).ok_or("Invalid group id in the request.")?;
    let is_id = |member: &String| !member.is_empty() && member.chars().count() <= MEMBER_ID_CHARS_MAX;
    let member = member.filter(is_id).ok_or("Invalid member id in the request.")?;
    Ok((group, member))
}

/// The connection that a request came in by.
pub(super) fn connection(call: &Call) -> Connection {
    Connection { peer: call.session().peer, listener: call.session().listener.clone() }
}

/// The code for a request without a session.
pub(super) fn session_error(error: SessionError) -> ErrorCode {
    match error {
        SessionError::NotFound => ErrorCode::ShareSessionNotFound,
        SessionError::Epoch => ErrorCode::InvalidShareSessionEpoch,
        SessionError::LimitReached => ErrorCode::ShareSessionLimitReached,
    }
}

/// A share partition that a request means.
///
/// # Errors
/// That there is no such partition, or that another broker leads it.
pub(super) fn asked(
    call: &Call,
    group: &str,
    config: &ShareGroupConfig,
    topic_id: Uuid,
    partition: i32,
) -> Result<Asked, ErrorCode> {
    let broker = &call.broker;
    let topic = call.topic(Operation::Read, TopicKey::Id(topic_id))?;
    let id = broker.partition(&topic, partition)?;
    Ok(Asked {
        key: ShareKey { group: group.to_owned(), topic: topic.id, partition },
        partition: id,
        leader_epoch: broker.cluster.placement(id).epoch.0,
        limits: config.limits,
        isolation: config.isolation,
        reset: config.reset,
    })
}

/// What a request may say of records.
#[derive(Clone, Copy)]
pub(super) struct Kinds {
    /// Whether it renews locks.
    pub(super) renews: bool,
}

/// A partition, as requests give it.
pub(super) type At = (Uuid, i32);

/// Takes in what a member says of records, partition by partition; the results are in the order of the
/// topics' ids. Of a partition that comes twice the last counts, as in Kafka.
pub(super) async fn acknowledge(
    call: &Call,
    (group, member): (&str, &str),
    config: &ShareGroupConfig,
    said: Vec<(At, Vec<ShareAcknowledgementBatch>)>,
    kinds: Kinds,
) -> Vec<(At, Result<(), Refusal>)> {
    let broker = &call.broker;
    let said: BTreeMap<At, Vec<ShareAcknowledgementBatch>> = said.into_iter().collect();
    let mut results = Vec::with_capacity(said.len());
    let mut said = said.into_iter();
    loop {
        let some: Vec<_> = said.by_ref().take(AT_ONCE).collect();
        if some.is_empty() {
            return results;
        }
        let taken = some.into_iter().map(async |((topic, partition), batches)| {
            let result = async {
                let acknowledgements = read(batches, kinds)?;
                let asked = asked(call, group, config, topic, partition);
                let asked = asked.map_err(|code| Refusal::new(code, "there is no such partition here"))?;
                if acknowledgements.is_empty() {
                    return Ok(());
                }
                let leaders = &broker.shares.shares.leaders;
                leaders.acknowledge(asked, member.to_owned(), acknowledgements).await
            };
            ((topic, partition), result.await)
        });
        results.extend(join_all(taken).await);
    }
}

/// What is said of the records of a partition, in the order of their offsets.
fn read(batches: Vec<ShareAcknowledgementBatch>, kinds: Kinds) -> Result<Vec<Acknowledgement>, Refusal> {
    let wrong = |why| Err(Refusal::new(ErrorCode::InvalidRequest, why));
    let mut read: Vec<Acknowledgement> = Vec::with_capacity(batches.len());
    for batch in batches {
        let (first, last) = (batch.first_offset, batch.last_offset);
        let types = batch.acknowledge_types;
        if first < 0 || first > last || read.last().is_some_and(|before| first <= before.last) {
            return wrong("the offsets are not in order");
        }
        let is_for_each =
            last.checked_sub(first).and_then(|span| span.checked_add(1)) == Some(types.len() as i64);
        if types.is_empty() || (types.len() > 1 && !is_for_each) {
            return wrong("there is to be one type for all records, or one for each");
        }
        let kinds: Option<Vec<_>> = types.iter().map(|kind| kind_of(*kind, kinds)).collect();
        let Some(kinds) = kinds else { return wrong("there is no such type of acknowledgement here") };
        read.push(Acknowledgement { first, last, kinds });
    }
    Ok(read)
}

fn kind_of(kind: i8, kinds: Kinds) -> Option<Kind> {
    match kind {
        0 => Some(Kind::Gap),
        1 => Some(Kind::Accept),
        2 => Some(Kind::Release),
        3 => Some(Kind::Reject),
        4 if kinds.renews => Some(Kind::Renew),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(first_offset: i64, last_offset: i64, types: &[i8]) -> ShareAcknowledgementBatch {
        ShareAcknowledgementBatch { first_offset, last_offset, acknowledge_types: types.to_vec() }
    }

    #[test]
    fn what_is_said_of_records_is_in_order_and_of_a_known_type() {
        let plain = Kinds { renews: false };
        let read_of = |batches: &[ShareAcknowledgementBatch]| read(batches.to_vec(), plain);
        let good = read_of(&[batch(0, 4, &[1]), batch(5, 6, &[0, 3])]).unwrap();
        assert_eq!(good[1].kinds, [Kind::Gap, Kind::Reject]);
        for wrong in [
            vec![batch(4, 3, &[1])],
            vec![batch(-1, 3, &[1])],
            vec![batch(0, 4, &[1]), batch(4, 6, &[1])],
            vec![batch(0, 4, &[])],
            vec![batch(0, 4, &[1, 1])],
            vec![batch(0, i64::MAX, &[1, 1])],
            vec![batch(0, 0, &[5])],
            vec![batch(0, 0, &[-1])],
            vec![batch(0, 0, &[4])],
        ] {
            assert_eq!(read_of(&wrong).unwrap_err().code, ErrorCode::InvalidRequest, "{wrong:?}");
        }
        assert!(read(vec![batch(0, 0, &[4])], Kinds { renews: true }).is_ok());
    }

    #[test]
    fn a_request_is_of_a_group_and_a_member() {
        let some = |text: &str| Some(text.to_owned());
        assert!(who(some("g"), some("m")).is_ok());
        for (group, member) in
            [(None, some("m")), (some(""), some("m")), (some("g"), None), (some("g"), some(""))]
        {
            assert!(who(group, member).is_err());
        }
        assert!(who(some("g"), Some("m".repeat(37))).is_err());
    }
}
