//! What must hold whatever bytes a stranger sends: see [`strandline_engine::checkers`], of which this is the
//! part that knows Kafka.
//!
//! | checker | its bytes are | what must hold |
//! |---|---|---|
//! | `request_frames` | a request's frame | values stay within their budget; written and read again, they are the same |
//! | `response_frames` | API, version, a response's frame | the same, as our own client reads it; records are parts of the frame |
//! | `group_records` | a key and a value of `__consumer_offsets`; a subscription; an assignment | the same |
//! | `share_records` | a key and a value of `__share_group_state` | the same |
//! | `transaction_records` | a key and a value of `__transaction_state` | the same |
//! | `sasl_messages` | a mechanism and messages of a client | nobody is proven without the password; challenges are short |
//! | `tokens` | keys, a token, its header, or claims that are signed | who is proven is whom claims name that hold |
//! | `names_of_users` | rules for names and a subject; users in Kafka's setting; a user as kept | DEFAULT names everybody; kept again, the same |
//! | `schema_requests` | requests to the schema registry, one a line | an id is one text; the records give the state again |
//! | `schema_records` | a key and a value of `_schemas` | the same as for other records |
//! | `schema_texts` | a type, a text, what it refers to | a canonical text stays as it is, and reads itself |
//! | `schema_pairs` | a type and two texts | they are compared within the steps that there are |
//! | `schema_values` | a type, a text and a value | what is read of it is written again, and is the same |
//! | `mqtt_packets` | a version, and packets of MQTT | what is read is written and read again, in whatever pieces it comes |
//! | `mqtt_records` | a key and a value of `__mqtt_sessions` or `__mqtt_retained` | the same as for other records |
//! | `mqtt_rules` | rules; topics and filters | a record has the topic that it was published to; subscriptions read it |
//! | `mqtt_connection` | what an MQTT client sends | it ends; whole packets of a broker are the answer |
//! | `http_bodies` | a body of records, of either version of REST | what is read has no more in it; a stream is the same wherever it is cut |
//! | `kept_texts` | a name and a text, as permissions and quotas are kept, with a zero between them | kept again, it says the same; the index decides as its rules say |

mod security;

use std::fmt::Debug;
use std::net::IpAddr;
use std::ops::Range;

use bytes::{Bytes, BytesMut};
use strandline_engine::checkers::{Checker, peak};
use strandline_engine::config::Texts;
use strandline_protocol::messages::*;
use strandline_protocol::wire::reader::request_budget;
use strandline_protocol::wire::{ApiKey, Decode, Encode, WireError};

use crate::coordination::Record;
use crate::groups::records::Change;
use crate::quotas::{Entity, read_values, whole_text};
use crate::security::acl::{Filter, Index, Permission, Resource, RuleSet};

/// The checkers of the server. What a decoder itself may take is checked inside.
pub const CHECKERS: [Checker; 19] = [
    Checker { name: "request_frames", check: request_frames, bytes_per_byte: 32, bytes_constant: 4 << 20 },
    Checker { name: "response_frames", check: response_frames, bytes_per_byte: 64, bytes_constant: 4 << 20 },
    Checker { name: "group_records", check: group_records, bytes_per_byte: 16, bytes_constant: 4 << 20 },
    Checker { name: "share_records", check: share_records, bytes_per_byte: 16, bytes_constant: 4 << 20 },
    Checker {
        name: "transaction_records",
        check: transaction_records,
        bytes_per_byte: 16,
        bytes_constant: 4 << 20,
    },
    Checker {
        name: "sasl_messages",
        check: security::sasl_messages,
        bytes_per_byte: 64,
        bytes_constant: 4 << 20,
    },
    Checker { name: "tokens", check: security::tokens, bytes_per_byte: 256, bytes_constant: 4 << 20 },
    // A rule is compiled, twice.
    Checker {
        name: "names_of_users",
        check: security::names_of_users,
        bytes_per_byte: 64,
        bytes_constant: 64 << 20,
    },
    // A text of two bytes an element is a tree of nodes; Protobuf has the files that every installation has.
    schemas("schema_requests", strandline_schemas::checkers::requests),
    schemas("schema_records", strandline_schemas::checkers::records),
    schemas("schema_texts", strandline_schemas::checkers::texts),
    schemas("schema_pairs", strandline_schemas::checkers::pairs),
    schemas("schema_values", strandline_schemas::checkers::of_schemas),
    mqtt("mqtt_packets", strandline_mqtt::checkers::packets),
    mqtt("mqtt_records", strandline_mqtt::checkers::records),
    mqtt("mqtt_rules", strandline_mqtt::checkers::rules),
    mqtt("mqtt_connection", strandline_mqtt::checkers::connection),
    // An element of two bytes is a record, and a batch of it.
    Checker {
        name: "http_bodies",
        check: crate::fronts::http::check_bodies,
        bytes_per_byte: 256,
        bytes_constant: 4 << 20,
    },
    // An entry is a rule for each operation, with its names.
    Checker { name: "kept_texts", check: kept_texts, bytes_per_byte: 256, bytes_constant: 4 << 20 },
];

const fn schemas(name: &'static str, check: fn(&[u8])) -> Checker {
    Checker { name, check, bytes_per_byte: 4096, bytes_constant: 16 << 20 }
}

const fn mqtt(name: &'static str, check: fn(&[u8])) -> Checker {
    Checker { name, check, bytes_per_byte: 4096, bytes_constant: 16 << 20 }
}

/// What an error, or the allocator's rounding, may take beyond what is counted.
const ROUNDING_BYTES: usize = 1 << 10;

/// Calls `$then::<M>` with the request `M` of the API; Produce, Fetch and ShareFetch carry records and are
/// left to the caller.
macro_rules! for_api {
    ($key:expr, $then:ident($($argument:expr),*)) => {
        match $key {
            ApiKey::ListOffsets => $then::<ListOffsetsRequest>($($argument),*),
            ApiKey::Metadata => $then::<MetadataRequest>($($argument),*),
            ApiKey::OffsetCommit => $then::<OffsetCommitRequest>($($argument),*),
            ApiKey::TxnOffsetCommit => $then::<TxnOffsetCommitRequest>($($argument),*),
            ApiKey::AddPartitionsToTxn => $then::<AddPartitionsToTxnRequest>($($argument),*),
            ApiKey::AddOffsetsToTxn => $then::<AddOffsetsToTxnRequest>($($argument),*),
            ApiKey::EndTxn => $then::<EndTxnRequest>($($argument),*),
            ApiKey::WriteTxnMarkers => $then::<WriteTxnMarkersRequest>($($argument),*),
            ApiKey::OffsetFetch => $then::<OffsetFetchRequest>($($argument),*),
            ApiKey::FindCoordinator => $then::<FindCoordinatorRequest>($($argument),*),
            ApiKey::JoinGroup => $then::<JoinGroupRequest>($($argument),*),
            ApiKey::ConsumerGroupHeartbeat => $then::<ConsumerGroupHeartbeatRequest>($($argument),*),
            ApiKey::ConsumerGroupDescribe => $then::<ConsumerGroupDescribeRequest>($($argument),*),
            ApiKey::Heartbeat => $then::<HeartbeatRequest>($($argument),*),
            ApiKey::LeaveGroup => $then::<LeaveGroupRequest>($($argument),*),
            ApiKey::SyncGroup => $then::<SyncGroupRequest>($($argument),*),
            ApiKey::DescribeGroups => $then::<DescribeGroupsRequest>($($argument),*),
            ApiKey::ListGroups => $then::<ListGroupsRequest>($($argument),*),
            ApiKey::SaslHandshake => $then::<SaslHandshakeRequest>($($argument),*),
            ApiKey::ApiVersions => $then::<ApiVersionsRequest>($($argument),*),
            ApiKey::CreateTopics => $then::<CreateTopicsRequest>($($argument),*),
            ApiKey::DeleteTopics => $then::<DeleteTopicsRequest>($($argument),*),
            ApiKey::DeleteRecords => $then::<DeleteRecordsRequest>($($argument),*),
            ApiKey::InitProducerId => $then::<InitProducerIdRequest>($($argument),*),
            ApiKey::OffsetForLeaderEpoch => $then::<OffsetForLeaderEpochRequest>($($argument),*),
            ApiKey::DescribeConfigs => $then::<DescribeConfigsRequest>($($argument),*),
            ApiKey::AlterConfigs => $then::<AlterConfigsRequest>($($argument),*),
            ApiKey::DescribeLogDirs => $then::<DescribeLogDirsRequest>($($argument),*),
            ApiKey::SaslAuthenticate => $then::<SaslAuthenticateRequest>($($argument),*),
            ApiKey::CreatePartitions => $then::<CreatePartitionsRequest>($($argument),*),
            ApiKey::DeleteGroups => $then::<DeleteGroupsRequest>($($argument),*),
            ApiKey::IncrementalAlterConfigs => $then::<IncrementalAlterConfigsRequest>($($argument),*),
            ApiKey::ListPartitionReassignments => $then::<ListPartitionReassignmentsRequest>($($argument),*),
            ApiKey::OffsetDelete => $then::<OffsetDeleteRequest>($($argument),*),
            ApiKey::DescribeCluster => $then::<DescribeClusterRequest>($($argument),*),
            ApiKey::DescribeTopicPartitions => $then::<DescribeTopicPartitionsRequest>($($argument),*),
            ApiKey::DescribeAcls => $then::<DescribeAclsRequest>($($argument),*),
            ApiKey::CreateAcls => $then::<CreateAclsRequest>($($argument),*),
            ApiKey::DeleteAcls => $then::<DeleteAclsRequest>($($argument),*),
            ApiKey::AlterReplicaLogDirs => $then::<AlterReplicaLogDirsRequest>($($argument),*),
            ApiKey::CreateDelegationToken => $then::<CreateDelegationTokenRequest>($($argument),*),
            ApiKey::RenewDelegationToken => $then::<RenewDelegationTokenRequest>($($argument),*),
            ApiKey::ExpireDelegationToken => $then::<ExpireDelegationTokenRequest>($($argument),*),
            ApiKey::DescribeDelegationToken => $then::<DescribeDelegationTokenRequest>($($argument),*),
            ApiKey::ElectLeaders => $then::<ElectLeadersRequest>($($argument),*),
            ApiKey::AlterPartitionReassignments => $then::<AlterPartitionReassignmentsRequest>($($argument),*),
            ApiKey::DescribeClientQuotas => $then::<DescribeClientQuotasRequest>($($argument),*),
            ApiKey::AlterClientQuotas => $then::<AlterClientQuotasRequest>($($argument),*),
            ApiKey::DescribeUserScramCredentials => $then::<DescribeUserScramCredentialsRequest>($($argument),*),
            ApiKey::AlterUserScramCredentials => $then::<AlterUserScramCredentialsRequest>($($argument),*),
            ApiKey::DescribeQuorum => $then::<DescribeQuorumRequest>($($argument),*),
            ApiKey::UpdateFeatures => $then::<UpdateFeaturesRequest>($($argument),*),
            ApiKey::DescribeProducers => $then::<DescribeProducersRequest>($($argument),*),
            ApiKey::UnregisterBroker => $then::<UnregisterBrokerRequest>($($argument),*),
            ApiKey::DescribeTransactions => $then::<DescribeTransactionsRequest>($($argument),*),
            ApiKey::ListTransactions => $then::<ListTransactionsRequest>($($argument),*),
            ApiKey::ListConfigResources => $then::<ListConfigResourcesRequest>($($argument),*),
            ApiKey::ShareGroupHeartbeat => $then::<ShareGroupHeartbeatRequest>($($argument),*),
            ApiKey::ShareGroupDescribe => $then::<ShareGroupDescribeRequest>($($argument),*),
            ApiKey::ShareAcknowledge => $then::<ShareAcknowledgeRequest>($($argument),*),
            ApiKey::StreamsGroupHeartbeat => $then::<StreamsGroupHeartbeatRequest>($($argument),*),
            ApiKey::StreamsGroupDescribe => $then::<StreamsGroupDescribeRequest>($($argument),*),
            ApiKey::DescribeShareGroupOffsets => $then::<DescribeShareGroupOffsetsRequest>($($argument),*),
            ApiKey::AlterShareGroupOffsets => $then::<AlterShareGroupOffsetsRequest>($($argument),*),
            ApiKey::DeleteShareGroupOffsets => $then::<DeleteShareGroupOffsetsRequest>($($argument),*),
            _ => {}
        }
    };
}

/// Decodes, and holds the memory of that against the bytes.
fn measured<T>(bytes: usize, decode: impl FnOnce() -> T) -> T {
    let mut decoded = None;
    let taken = peak(|| decoded = Some(decode()));
    assert!(taken <= request_budget(bytes) + ROUNDING_BYTES, "{taken} bytes of values from {bytes}");
    decoded.expect("it was called")
}

fn request_frames(frame: &[u8]) {
    let Ok((header, position)) = measured(frame.len(), || RequestHeader::decode(frame)) else { return };
    let body = &frame[position..];
    match header.key {
        ApiKey::Produce => produce(&header, body),
        ApiKey::Fetch => request::<FetchRequest>(&header, body),
        ApiKey::ShareFetch => request::<ShareFetchRequest>(&header, body),
        key => for_api!(key, request(&header, body)),
    }
}

fn request<M: Request + Decode + Encode + PartialEq + Debug>(header: &RequestHeader, body: &[u8]) {
    let version = header.version;
    let Ok(request) = measured(body.len(), || decode_request::<M>(body, version)) else { return };
    let client_id = header.client_id.as_deref();
    let frame = encode_request(version, header.correlation_id, client_id, &request)
        .unwrap_or_else(|error| panic!("{request:?} was read and can not be written: {error}"));
    let (read, position) = RequestHeader::decode(&frame[4..]).expect("a header of ours");
    assert_eq!(&read, header);
    let again = decode_request::<M>(&frame[4 + position..], version);
    // Values of a frame that was longer than need be can have had more room than ours give them.
    if !matches!(again, Err(WireError::OverBudget { .. })) {
        // Not equal to itself is only a quota that is not a number.
        let same = again.as_ref() == Ok(&request)
            || format!("{again:?}") == format!("{:?}", Ok::<_, WireError>(&request));
        assert!(same, "{again:?} instead of {request:?}");
    }
}

fn produce(header: &RequestHeader, body: &[u8]) {
    let version = header.version;
    let owned = BytesMut::from(body);
    let Ok(request) = measured(body.len(), || ProduceRequest::decode(owned, version)) else { return };
    let frame =
        encode_request(version, header.correlation_id, None, &request).expect("what was read can be written");
    let (_, position) = RequestHeader::decode(&frame[4..]).expect("a header of ours");
    let again = ProduceRequest::decode(BytesMut::from(&frame[4 + position..]), version);
    if !matches!(again, Err(WireError::OverBudget { .. })) {
        assert_eq!(again, Ok(request));
    }
}

fn response_frames(bytes: &[u8]) {
    let [key, version, frame @ ..] = bytes else { return };
    let (Some(key), version) = (ApiKey::of(i16::from(*key)), i16::from(*version)) else { return };
    match key {
        ApiKey::Produce => response::<ProduceResponse>(frame, version),
        ApiKey::Fetch => fetched(frame, version),
        ApiKey::ShareFetch => share_fetched(frame, version),
        key => for_api!(key, response_to(frame, version)),
    }
}

fn response_to<M: Request>(frame: &[u8], version: i16)
where
    M::Response: Decode + Encode + PartialEq + Debug,
{
    response::<M::Response>(frame, version);
}

fn response<M: strandline_protocol::wire::Message + Decode + Encode + PartialEq + Debug>(
    frame: &[u8],
    version: i16,
) {
    let Ok((correlation_id, response)) = decode_response::<M>(frame, version) else { return };
    let again = encode_response(version, correlation_id, &response)
        .unwrap_or_else(|error| panic!("{response:?} was read and can not be written: {error}"));
    let again = decode_response::<M>(&again[4..], version);
    if !matches!(again, Err(WireError::OverBudget { .. })) {
        assert_eq!(again, Ok((correlation_id, response)));
    }
}

fn fetched(frame: &[u8], version: i16) {
    let frame = Bytes::copy_from_slice(frame);
    let Ok((correlation_id, response)) = FetchResponse::decode(&frame, version) else { return };
    let place = |bytes: &[u8]| -> Range<usize> {
        let start = bytes.as_ptr() as usize;
        start..start + bytes.len()
    };
    let whole = place(&frame);
    let mut last = whole.start;
    for partition in response.responses.iter().flat_map(|topic| &topic.partitions) {
        let records = place(&partition.records);
        if !records.is_empty() {
            assert!(
                last <= records.start && records.end <= whole.end,
                "records are parts of the frame, in order"
            );
            last = records.end;
        }
    }
    // A response is written with gaps, which its sender fills. Without records there are none.
    let mut response = response;
    let partitions = response.responses.iter_mut().flat_map(|topic| &mut topic.partitions);
    partitions.for_each(|partition| partition.records = Bytes::new());
    let pieces =
        without_records(&response).encode(version, correlation_id).expect("what was read can be written");
    let [Piece::Bytes(again)] = &pieces[..] else { panic!("{pieces:?}") };
    let again = FetchResponse::decode(&again.slice(4..), version);
    if !matches!(again, Err(WireError::OverBudget { .. })) {
        assert_eq!(again, Ok((correlation_id, response)));
    }
}

fn share_fetched(frame: &[u8], version: i16) {
    let frame = Bytes::copy_from_slice(frame);
    let Ok((_, response)) = ShareFetchResponse::decode(&frame, version) else { return };
    let whole = frame.as_ptr_range();
    for partition in response.responses.iter().flat_map(|topic| &topic.partitions) {
        let is_part = whole.contains(&partition.records.as_ptr());
        assert!(partition.records.is_empty() || is_part, "records are parts of the frame");
    }
}

fn without_records(response: &FetchResponse<Bytes>) -> FetchResponse<RecordsGap> {
    let partition = |partition: &PartitionData<Bytes>| PartitionData {
        partition_index: partition.partition_index,
        error_code: partition.error_code,
        high_watermark: partition.high_watermark,
        last_stable_offset: partition.last_stable_offset,
        log_start_offset: partition.log_start_offset,
        diverging_epoch: partition.diverging_epoch.clone(),
        current_leader: partition.current_leader.clone(),
        snapshot_id: partition.snapshot_id.clone(),
        aborted_transactions: partition.aborted_transactions.clone(),
        preferred_read_replica: partition.preferred_read_replica,
        records: RecordsGap::default(),
    };
    let topic = |topic: &FetchableTopicResponse<Bytes>| FetchableTopicResponse {
        topic: topic.topic.clone(),
        topic_id: topic.topic_id,
        partitions: topic.partitions.iter().map(partition).collect(),
    };
    FetchResponse {
        throttle_time_ms: response.throttle_time_ms,
        error_code: response.error_code,
        session_id: response.session_id,
        responses: response.responses.iter().map(topic).collect(),
        node_endpoints: response.node_endpoints.clone(),
    }
}

fn group_records(bytes: &[u8]) {
    let Some((key_bytes, rest)) = bytes.split_first() else { return };
    let (key, value) = rest.split_at(usize::from(*key_bytes).min(rest.len()));
    if let Ok(subscription) = ConsumerProtocolSubscription::decode(rest)
        && let Ok(again) = subscription.encode()
    {
        assert_eq!(ConsumerProtocolSubscription::decode(&again), Ok(subscription));
    }
    if let Ok(assignment) = ConsumerProtocolAssignment::decode(rest)
        && let Ok(again) = assignment.encode()
    {
        assert_eq!(ConsumerProtocolAssignment::decode(&again), Ok(assignment));
    }
    for value in [None, Some(value)] {
        let decoded = measured(rest.len(), || Change::decode(key, value));
        let Ok(change) = decoded else { continue };
        if let Change::Foreign(kind) = change {
            assert!(!(0..=2).contains(&kind), "kind {kind} is ours");
            continue;
        }
        // A flexible string may be longer than one that is written.
        let Ok(record) = change.encode() else { continue };
        let again = Change::decode(&record.key, record.value.as_deref()).expect("a record of ours");
        assert_eq!(again.encode(), Ok(record), "what is written stays as it is");
        assert_eq!(again, as_written(change));
    }
}

/// What is written of a record that was read is read as the same.
fn round_trip<R: Record + PartialEq + Debug>(bytes: &[u8], is_ours: fn(&R) -> bool) {
    let Some((key_bytes, rest)) = bytes.split_first() else { return };
    let (key, value) = rest.split_at(usize::from(*key_bytes).min(rest.len()));
    for value in [None, Some(value)] {
        let Ok(change) = measured(rest.len(), || R::decode(key, value)) else { continue };
        if !is_ours(&change) {
            continue;
        }
        // A flexible string may be longer than one that is written.
        let Ok(record) = change.encode() else { continue };
        let again = R::decode(&record.key, record.value.as_deref());
        let again = again.unwrap_or_else(|error| panic!("{change:?} is not read again: {error}"));
        assert_eq!(again.encode(), Ok(record), "what is written stays as it is");
        assert_eq!(again, change);
    }
}

fn share_records(bytes: &[u8]) {
    round_trip(bytes, |change: &crate::share::Change| !matches!(change, crate::share::Change::Foreign(_)));
}

fn transaction_records(bytes: &[u8]) {
    round_trip(bytes, |_: &crate::transactions::Change| true);
}

fn kept_texts(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (name, text) = text.split_once('\0').unwrap_or((&text, ""));
    if let Some(entity) = Entity::of_place(name)
        && entity.clone().checked().as_ref() == Ok(&entity)
    {
        assert_eq!(Entity::of_place(&entity.place()), Some(entity));
    }
    if let Some(values) = read_values(text) {
        let again = whole_text(&values).expect("there are some");
        assert_eq!(read_values(&again), Some(values));
    }
    let rules = Filter::default().rules_of(name, text);
    if rules.is_empty() || rules.iter().any(|rule| rule.check().is_err()) {
        return;
    }
    let (mut set, mut kept) = (RuleSet::default(), Texts::default());
    for rule in &rules {
        assert!(set.insert(rule), "each is there once");
    }
    set.keep_in(kept.entries_mut());
    assert_eq!(Filter::default().rules(kept.entries()).len(), rules.len());
    let index = Index::of(&kept);
    for rule in &rules {
        assert!(rule.is_in(kept.entries()) && Filter::from(rule).rules(kept.entries()).len() == 1);
        let resource = Resource { kind: rule.resource.kind, name: &rule.resource.name };
        let host = rule
            .host
            .parse()
            .map_or_else(|_| "10.0.0.1".to_owned(), |host: IpAddr| host.to_canonical().to_string());
        let allowed = index.allowed(&rule.principal, &host, resource).expect("there is a rule about it");
        assert!(rule.permission == Permission::Allow || allowed & rule.operation.bit() == 0, "{rule}");
    }
    set.remove_from(kept.entries_mut());
    assert!(kept.entries().is_empty());
}

/// What is left of a change when it is written: newer fields of an offset are not.
fn as_written(change: Change) -> Change {
    match change {
        Change::Offset(key, Some(mut value)) => {
            value.topic_id = Default::default();
            if value.expire_timestamp != -1 {
                value.leader_epoch = -1;
            }
            Change::Offset(key, Some(value))
        }
        other => other,
    }
}
