//! Every message in every version against another implementation of the protocol, the crate `kafka-protocol`.
//!
//! For each sample: our bytes are read by theirs, and written by theirs give the same bytes; read by ours
//! they show the same names and values as theirs do; where the version has every field, they give back the
//! sample. The comparison is of the `Debug` texts: struct and field names are Kafka's on both sides, so a
//! pair of fields of one type in the wrong order shows.

mod groups;
mod share;
mod streams;
mod transactions;

use crate::samples::{self, Seed};
use bytes::{Buf, Bytes, BytesMut};
use kafka_protocol::messages as theirs;
use kafka_protocol::protocol::{Decodable, Encodable, Message as TheirMessage};
use std::fmt::Debug;
use strandline_protocol::Uuid;
use strandline_protocol::messages::*;
use strandline_protocol::wire::{ApiKey, Decode, Encode, EncodeError, ErrorCode, Message, WireError};

const SEEDS: std::ops::RangeInclusive<u64> = 1..=20;
const CORRELATION_ID: i32 = 0x0102_0304;
const CLIENT_ID: &str = "a client";

/// The `Debug` text of theirs in our words: no wrappers, no unknown tags. In both, an optional
/// field that the version lacks may be null or empty.
fn names_and_values(value: &impl Debug) -> String {
    let mut text = format!("{value:?}").replace(", unknown_tagged_fields: {}", "");
    text = text.replace(" { unknown_tagged_fields: {} }", "");
    for wrapper in ["BrokerId", "GroupId", "TopicName", "TransactionalId", "ProducerId"] {
        while let Some(start) = text.find(&format!("{wrapper}(")) {
            let end = start + text[start..].find(')').unwrap();
            text.remove(end);
            text.replace_range(start..=start + wrapper.len(), "");
        }
    }
    for empty in ["Some(\"\")", "Some([])"] {
        text = text.replace(empty, "None");
    }
    // InitProducerId 6 never became stable.
    for unstable in [
        ", enable_2_pc: false, keep_prepared_txn: false",
        ", ongoing_txn_producer_id: -1, ongoing_txn_producer_epoch: -1",
    ] {
        text = text.replace(unstable, "");
    }
    // `match` is a keyword.
    for theirs in ["_match: ", "r#match: "] {
        text = text.replace(theirs, "match_name: ");
    }
    // DescribeLogDirs 5 is younger than the oracle.
    text = text.replace(", is_cordoned: false", "");
    // So is WriteTxnMarkers 2.
    text = text.replace(", transaction_version: 0", "");
    // And the second versions of ShareFetch and ShareAcknowledge, and DescribeShareGroupOffsets 1.
    for young in [
        ", share_acquire_mode: 0, is_renew_ack: false",
        ", is_renew_ack: false",
        ", acquisition_lock_timeout_ms: 0",
        ", lag: -1",
        // Of ShareFetch 0, which is gone.
        ", partition_max_bytes: 0",
    ] {
        text = text.replace(young, "");
    }
    // Structs whose name Kafka has twice.
    for (ours, both) in [
        ("IncrementalAlterConfigsResource {", "AlterConfigsResource {"),
        ("IncrementalAlterableConfig {", "AlterableConfig {"),
        ("OffsetForLeaderPartitionResult {", "EpochEndOffset {"),
        ("ElectLeadersTopic {", "TopicPartitions {"),
        ("PartitionElectionResult {", "PartitionResult {"),
        ("ConsumerGroupHeartbeatT", "T"),
        ("ConsumerGroupHeartbeatA", "A"),
        ("ConsumerGroupDescribedGroup {", "DescribedGroup {"),
        ("ConsumerGroupDescribed", ""),
        ("ShareGroupHeartbeatT", "T"),
        ("ShareGroupHeartbeatA", "A"),
        ("ShareGroupDescribedGroup {", "DescribedGroup {"),
        ("ShareGroupDescribed", ""),
        ("ShareFetchTopic {", "FetchTopic {"),
        ("ShareFetchPartition {", "FetchPartition {"),
        ("ShareForgottenTopic {", "ForgottenTopic {"),
        ("SharePartitionData {", "PartitionData {"),
        ("ShareLeaderIdAndEpoch {", "LeaderIdAndEpoch {"),
        ("ShareAcknowledgementBatch {", "AcknowledgementBatch {"),
        ("ShareAcknowledgeTopic {", "AcknowledgeTopic {"),
        ("ShareAcknowledgePartition {", "AcknowledgePartition {"),
        ("ShareAcknowledgePartitionData {", "PartitionData {"),
        ("DescribeQuorumTopic {", "TopicData {"),
        ("DescribeQuorumPartition {", "PartitionData {"),
        ("DescribeQuorumTopicResult {", "TopicData {"),
        ("DescribeQuorumPartitionResult {", "PartitionData {"),
        ("QuorumReplica {", "ReplicaState {"),
        ("QuorumNode {", "Node {"),
        ("QuorumListener {", "Listener {"),
        ("DescribeProducersTopic {", "TopicRequest {"),
        ("DescribeProducersTopicResult {", "TopicResponse {"),
        ("DescribeProducersPartitionResult {", "PartitionResponse {"),
        ("ActiveProducer {", "ProducerState {"),
        ("ListedTransaction {", "TransactionState {"),
        ("DescribedTransaction {", "TransactionState {"),
        ("TransactionTopic {", "TopicData {"),
        ("QuotaComponent {", "ComponentData {"),
        ("DescribedQuota {", "EntryData {"),
        ("DescribedQuotaEntity {", "EntityData {"),
        ("QuotaValue {", "ValueData {"),
        ("AlterQuota {", "EntryData {"),
        ("AlterQuotaEntity {", "EntityData {"),
        ("AlterQuotaStep {", "OpData {"),
        ("AlteredQuota {", "EntryData {"),
        ("AlteredQuotaEntity {", "EntityData {"),
        ("ScramUserName {", "UserName {"),
    ] {
        text = text.replace(ours, both);
    }
    // OffsetCommit and OffsetFetch 10 name topics by id.
    for next in ["partitions", "partition_indexes"] {
        text = text.replace(&format!(", topic_id: {}, {next}", Uuid::nil()), &format!(", {next}"));
    }
    text
}

/// Reads a body by theirs, holds it against the text of ours, and writes it again. Versions that are younger
/// than the oracle are left to [`versions_younger_than_the_oracle_are_as_kafka_writes_them`].
fn through_theirs<T: Decodable + Encodable + Debug + TheirMessage>(
    body: &[u8],
    ours: &impl Debug,
    version: i16,
) {
    if version > T::VERSIONS.max {
        return;
    }
    let context = format!("{} version {version}", std::any::type_name::<T>());
    let mut rest = Bytes::copy_from_slice(body);
    let read = T::decode(&mut rest, version).unwrap_or_else(|error| panic!("{context}: {error}"));
    assert!(rest.is_empty(), "{context}: they leave {} bytes", rest.len());
    assert_eq!(names_and_values(&read), names_and_values(ours), "{context}");
    let mut written = BytesMut::new();
    read.encode(&mut written, version).unwrap_or_else(|error| panic!("{context}: {error}"));
    assert_eq!(written, body, "{context}");
}

/// The body of a request's frame, whose header theirs has read.
fn request_body(frame: &Bytes, key: ApiKey, version: i16) -> Bytes {
    let mut rest = frame.clone();
    assert_eq!(rest.get_i32() as usize, rest.len(), "the size counts what follows it");

    let (header, body_position) = RequestHeader::decode(&rest).unwrap();
    let client_id = Some(CLIENT_ID.to_owned());
    assert_eq!(header, RequestHeader { key, version, correlation_id: CORRELATION_ID, client_id });

    let body = rest.slice(body_position..);
    let their_version =
        theirs::ApiKey::try_from(key.code()).expect("their key").request_header_version(version);
    let header = theirs::RequestHeader::decode(&mut rest, their_version).unwrap();
    assert_eq!((header.request_api_key, header.request_api_version), (key.code(), version));
    assert_eq!(header.correlation_id, CORRELATION_ID);
    assert_eq!(header.client_id.as_deref(), Some(CLIENT_ID));
    assert_eq!(rest, body, "the body starts at the same byte");
    body
}

/// The body of a response's frame, whose header theirs has read.
fn response_body(frame: &Bytes, key: ApiKey, version: i16) -> Bytes {
    let mut rest = frame.clone();
    assert_eq!(rest.get_i32() as usize, rest.len(), "the size counts what follows it");
    let their_version =
        theirs::ApiKey::try_from(key.code()).expect("their key").response_header_version(version);
    let header = theirs::ResponseHeader::decode(&mut rest, their_version).unwrap();
    assert_eq!(header.correlation_id, CORRELATION_ID);
    rest
}

fn check_request<M, T>(sample: fn(i16, &mut Seed) -> M)
where
    M: Request + Decode + Encode + Default + Debug + PartialEq,
    T: Decodable + Encodable + Debug + TheirMessage,
{
    let check = |version, request: &M| {
        let frame = encode_request(version, CORRELATION_ID, Some(CLIENT_ID), request).unwrap();
        let body = request_body(&frame, M::KEY, version);
        let read: M = decode_request(&body, version).unwrap();
        through_theirs::<T>(&body, &read, version);
        assert_eq!(
            encode_request(version, CORRELATION_ID, Some(CLIENT_ID), &read),
            Ok(frame),
            "what was read writes the same"
        );
        read
    };
    for seed in SEEDS {
        for version in M::VERSIONS {
            check(version, &sample(version, &mut Seed::new(seed)));
        }
    }
    for version in M::VERSIONS {
        assert_eq!(check(version, &M::default()), M::default(), "version {version}");
    }
    unknown_versions_are_refused::<M>();
}

/// `whole` is a version that has every field of the response.
fn check_response<M, T>(sample: fn(i16, &mut Seed) -> M, whole: Option<i16>)
where
    M: Message + Decode + Encode + Default + Debug + PartialEq,
    T: Decodable + Encodable + Debug + TheirMessage,
{
    let check = |version, response: &M| {
        let frame = encode_response(version, CORRELATION_ID, response).unwrap();
        let body = response_body(&frame, M::KEY, version);
        let (correlation_id, read): (i32, M) = decode_response(&frame[4..], version).unwrap();
        assert_eq!(correlation_id, CORRELATION_ID);
        through_theirs::<T>(&body, &read, version);
        assert_eq!(
            encode_response(version, CORRELATION_ID, &read),
            Ok(frame),
            "what was read writes the same"
        );
        read
    };
    for seed in SEEDS {
        for version in M::VERSIONS {
            let response = sample(version, &mut Seed::new(seed));
            let read = check(version, &response);
            if whole == Some(version) {
                assert_eq!(read, response);
            }
        }
    }
    for version in M::VERSIONS {
        check(version, &M::default());
    }
    unknown_versions_are_refused::<M>();
}

fn unknown_versions_are_refused<M: Message>() {
    for version in [M::VERSIONS.start() - 1, M::VERSIONS.end() + 1] {
        let key = M::KEY;
        assert_eq!(M::readable(version), Err(WireError::UnknownVersion { key, version }));
        assert_eq!(M::writable(version), Err(EncodeError::UnknownVersion { key, version }));
    }
}

#[test]
fn sasl_handshake_and_authenticate_agree_with_the_oracle() {
    check_request::<_, theirs::SaslHandshakeRequest>(samples::sasl_handshake_request);
    check_response::<_, theirs::SaslHandshakeResponse>(samples::sasl_handshake_response, Some(0));
    check_request::<_, theirs::SaslAuthenticateRequest>(samples::sasl_authenticate_request);
    check_response::<_, theirs::SaslAuthenticateResponse>(samples::sasl_authenticate_response, Some(1));
}

#[test]
fn api_versions_agrees_with_the_oracle() {
    check_request::<_, theirs::ApiVersionsRequest>(samples::api_versions_request);
    check_response::<_, theirs::ApiVersionsResponse>(samples::api_versions_response, Some(4));
}

#[test]
fn metadata_agrees_with_the_oracle() {
    check_request::<_, theirs::MetadataRequest>(samples::metadata_request);
    check_response::<_, theirs::MetadataResponse>(samples::metadata_response, None);
}

#[test]
fn create_topics_agrees_with_the_oracle() {
    check_request::<_, theirs::CreateTopicsRequest>(samples::create_topics_request);
    check_response::<_, theirs::CreateTopicsResponse>(samples::create_topics_response, Some(7));
}

#[test]
fn delete_topics_agrees_with_the_oracle() {
    check_request::<_, theirs::DeleteTopicsRequest>(samples::delete_topics_request);
    check_response::<_, theirs::DeleteTopicsResponse>(samples::delete_topics_response, Some(6));
}

#[test]
fn list_offsets_agrees_with_the_oracle() {
    check_request::<_, theirs::ListOffsetsRequest>(samples::list_offsets_request);
    check_response::<_, theirs::ListOffsetsResponse>(samples::list_offsets_response, Some(11));
}

#[test]
fn describe_cluster_agrees_with_the_oracle() {
    check_request::<_, theirs::DescribeClusterRequest>(samples::describe_cluster_request);
    check_response::<_, theirs::DescribeClusterResponse>(samples::describe_cluster_response, Some(2));
}

#[test]
fn describe_configs_agrees_with_the_oracle() {
    check_request::<_, theirs::DescribeConfigsRequest>(samples::describe_configs_request);
    check_response::<_, theirs::DescribeConfigsResponse>(samples::describe_configs_response, Some(4));
}

#[test]
fn find_coordinator_agrees_with_the_oracle() {
    check_request::<_, theirs::FindCoordinatorRequest>(samples::find_coordinator_request);
    check_response::<_, theirs::FindCoordinatorResponse>(samples::find_coordinator_response, Some(6));
}

#[test]
fn join_group_agrees_with_the_oracle() {
    check_request::<_, theirs::JoinGroupRequest>(samples::join_group_request);
    check_response::<_, theirs::JoinGroupResponse>(samples::join_group_response, Some(9));
}

#[test]
fn sync_group_agrees_with_the_oracle() {
    check_request::<_, theirs::SyncGroupRequest>(samples::sync_group_request);
    check_response::<_, theirs::SyncGroupResponse>(samples::sync_group_response, Some(5));
}

#[test]
fn leave_group_agrees_with_the_oracle() {
    check_request::<_, theirs::LeaveGroupRequest>(samples::leave_group_request);
    check_response::<_, theirs::LeaveGroupResponse>(samples::leave_group_response, Some(5));
}

#[test]
fn offset_commit_agrees_with_the_oracle() {
    check_request::<_, theirs::OffsetCommitRequest>(samples::offset_commit_request);
    check_response::<_, theirs::OffsetCommitResponse>(samples::offset_commit_response, Some(9));
}

#[test]
fn txn_offset_commit_agrees_with_the_oracle() {
    check_request::<_, theirs::TxnOffsetCommitRequest>(samples::txn_offset_commit_request);
    check_response::<_, theirs::TxnOffsetCommitResponse>(samples::txn_offset_commit_response, Some(5));
}

#[test]
fn offset_fetch_agrees_with_the_oracle() {
    check_request::<_, theirs::OffsetFetchRequest>(samples::offset_fetch_request);
    check_response::<_, theirs::OffsetFetchResponse>(samples::offset_fetch_response, Some(9));
}

#[test]
fn incremental_alter_configs_agrees_with_the_oracle() {
    check_request::<_, theirs::IncrementalAlterConfigsRequest>(samples::incremental_alter_configs_request);
    check_response::<_, theirs::IncrementalAlterConfigsResponse>(
        samples::incremental_alter_configs_response,
        Some(1),
    );
}

#[test]
fn alter_configs_agrees_with_the_oracle() {
    check_request::<_, theirs::AlterConfigsRequest>(samples::alter_configs_request);
    check_response::<_, theirs::AlterConfigsResponse>(samples::alter_configs_response, Some(2));
}

#[test]
fn create_partitions_agrees_with_the_oracle() {
    check_request::<_, theirs::CreatePartitionsRequest>(samples::create_partitions_request);
    check_response::<_, theirs::CreatePartitionsResponse>(samples::create_partitions_response, Some(3));
}

#[test]
fn delete_records_agrees_with_the_oracle() {
    check_request::<_, theirs::DeleteRecordsRequest>(samples::delete_records_request);
    check_response::<_, theirs::DeleteRecordsResponse>(samples::delete_records_response, Some(2));
}

#[test]
fn describe_log_dirs_agrees_with_the_oracle() {
    check_request::<_, theirs::DescribeLogDirsRequest>(samples::describe_log_dirs_request);
    check_response::<_, theirs::DescribeLogDirsResponse>(samples::describe_log_dirs_response, Some(5));
}

#[test]
fn list_partition_reassignments_agrees_with_the_oracle() {
    check_request::<_, theirs::ListPartitionReassignmentsRequest>(
        samples::list_partition_reassignments_request,
    );
    check_response::<_, theirs::ListPartitionReassignmentsResponse>(
        samples::list_partition_reassignments_response,
        Some(0),
    );
}

#[test]
fn describe_topic_partitions_agrees_with_the_oracle() {
    check_request::<_, theirs::DescribeTopicPartitionsRequest>(samples::describe_topic_partitions_request);
    check_response::<_, theirs::DescribeTopicPartitionsResponse>(
        samples::describe_topic_partitions_response,
        Some(0),
    );
}

#[test]
fn elect_leaders_agrees_with_the_oracle() {
    check_request::<_, theirs::ElectLeadersRequest>(samples::elect_leaders_request);
    check_response::<_, theirs::ElectLeadersResponse>(samples::elect_leaders_response, Some(2));
}

#[test]
fn alter_partition_reassignments_agrees_with_the_oracle() {
    check_request::<_, theirs::AlterPartitionReassignmentsRequest>(
        samples::alter_partition_reassignments_request,
    );
    check_response::<_, theirs::AlterPartitionReassignmentsResponse>(
        samples::alter_partition_reassignments_response,
        Some(1),
    );
}

#[test]
fn describe_quorum_agrees_with_the_oracle() {
    check_request::<_, theirs::DescribeQuorumRequest>(samples::describe_quorum_request);
    check_response::<_, theirs::DescribeQuorumResponse>(samples::describe_quorum_response, Some(2));
}

#[test]
fn describe_producers_agrees_with_the_oracle() {
    check_request::<_, theirs::DescribeProducersRequest>(samples::describe_producers_request);
    check_response::<_, theirs::DescribeProducersResponse>(samples::describe_producers_response, Some(0));
}

#[test]
fn list_config_resources_agrees_with_the_oracle() {
    check_request::<_, theirs::ListConfigResourcesRequest>(samples::list_config_resources_request);
    check_response::<_, theirs::ListConfigResourcesResponse>(
        samples::list_config_resources_response,
        Some(1),
    );
}

#[test]
fn describe_client_quotas_agrees_with_the_oracle() {
    check_request::<_, theirs::DescribeClientQuotasRequest>(samples::describe_client_quotas_request);
    check_response::<_, theirs::DescribeClientQuotasResponse>(
        samples::describe_client_quotas_response,
        Some(1),
    );
}

#[test]
fn alter_client_quotas_agrees_with_the_oracle() {
    check_request::<_, theirs::AlterClientQuotasRequest>(samples::alter_client_quotas_request);
    check_response::<_, theirs::AlterClientQuotasResponse>(samples::alter_client_quotas_response, Some(1));
}

#[test]
fn describe_user_scram_credentials_agrees_with_the_oracle() {
    check_request::<_, theirs::DescribeUserScramCredentialsRequest>(
        samples::describe_user_scram_credentials_request,
    );
    check_response::<_, theirs::DescribeUserScramCredentialsResponse>(
        samples::describe_user_scram_credentials_response,
        Some(0),
    );
}

#[test]
fn alter_user_scram_credentials_agrees_with_the_oracle() {
    check_request::<_, theirs::AlterUserScramCredentialsRequest>(
        samples::alter_user_scram_credentials_request,
    );
    check_response::<_, theirs::AlterUserScramCredentialsResponse>(
        samples::alter_user_scram_credentials_response,
        Some(0),
    );
}

#[test]
fn update_features_agrees_with_the_oracle() {
    check_request::<_, theirs::UpdateFeaturesRequest>(samples::update_features_request);
    check_response::<_, theirs::UpdateFeaturesResponse>(samples::update_features_response, None);
}

#[test]
fn unregister_broker_agrees_with_the_oracle() {
    check_request::<_, theirs::UnregisterBrokerRequest>(samples::unregister_broker_request);
    check_response::<_, theirs::UnregisterBrokerResponse>(samples::unregister_broker_response, Some(0));
}

#[test]
fn describe_acls_agrees_with_the_oracle() {
    check_request::<_, theirs::DescribeAclsRequest>(samples::describe_acls_request);
    check_response::<_, theirs::DescribeAclsResponse>(samples::describe_acls_response, Some(3));
}

#[test]
fn create_acls_agrees_with_the_oracle() {
    check_request::<_, theirs::CreateAclsRequest>(samples::create_acls_request);
    check_response::<_, theirs::CreateAclsResponse>(samples::create_acls_response, Some(3));
}

#[test]
fn delete_acls_agrees_with_the_oracle() {
    check_request::<_, theirs::DeleteAclsRequest>(samples::delete_acls_request);
    check_response::<_, theirs::DeleteAclsResponse>(samples::delete_acls_response, Some(3));
}

#[test]
fn alter_replica_log_dirs_agrees_with_the_oracle() {
    check_request::<_, theirs::AlterReplicaLogDirsRequest>(samples::alter_replica_log_dirs_request);
    check_response::<_, theirs::AlterReplicaLogDirsResponse>(
        samples::alter_replica_log_dirs_response,
        Some(2),
    );
}

#[test]
fn create_delegation_token_agrees_with_the_oracle() {
    check_request::<_, theirs::CreateDelegationTokenRequest>(samples::create_delegation_token_request);
    check_response::<_, theirs::CreateDelegationTokenResponse>(
        samples::create_delegation_token_response,
        Some(3),
    );
}

#[test]
fn renew_delegation_token_agrees_with_the_oracle() {
    check_request::<_, theirs::RenewDelegationTokenRequest>(samples::renew_delegation_token_request);
    check_response::<_, theirs::RenewDelegationTokenResponse>(
        samples::renew_delegation_token_response,
        Some(2),
    );
}

#[test]
fn expire_delegation_token_agrees_with_the_oracle() {
    check_request::<_, theirs::ExpireDelegationTokenRequest>(samples::expire_delegation_token_request);
    check_response::<_, theirs::ExpireDelegationTokenResponse>(
        samples::expire_delegation_token_response,
        Some(2),
    );
}

#[test]
fn describe_delegation_token_agrees_with_the_oracle() {
    check_request::<_, theirs::DescribeDelegationTokenRequest>(samples::describe_delegation_token_request);
    check_response::<_, theirs::DescribeDelegationTokenResponse>(
        samples::describe_delegation_token_response,
        Some(3),
    );
}

#[test]
fn offset_for_leader_epoch_agrees_with_the_oracle() {
    check_request::<_, theirs::OffsetForLeaderEpochRequest>(samples::offset_for_leader_epoch_request);
    check_response::<_, theirs::OffsetForLeaderEpochResponse>(
        samples::offset_for_leader_epoch_response,
        Some(4),
    );
}

#[test]
fn fetch_requests_and_produce_responses_agree_with_the_oracle() {
    check_request::<_, theirs::FetchRequest>(samples::fetch_request);
    check_response::<_, theirs::ProduceResponse>(samples::produce_response, None);
}

#[test]
fn produce_requests_agree_with_the_oracle() {
    for (seed, version) in SEEDS.flat_map(|seed| (3..=13).map(move |version| (seed, version))) {
        let request = samples::produce_request(version, &mut Seed::new(seed));
        let frame = encode_request(version, CORRELATION_ID, Some(CLIENT_ID), &request).unwrap();
        let body = request_body(&frame, ApiKey::Produce, version);
        let read = ProduceRequest::decode(BytesMut::from(&body[..]), version).unwrap();
        assert_eq!(read, request);
        through_theirs::<theirs::ProduceRequest>(&body, &read, version);
    }
    unknown_versions_are_refused::<ProduceRequest>();
}

#[test]
fn records_of_a_produce_request_are_parts_of_its_frame() {
    let request = samples::produce_request(9, &mut Seed::new(7));
    let frame = encode_request(9, CORRELATION_ID, Some(CLIENT_ID), &request).unwrap();
    let body = BytesMut::from(&request_body(&frame, ApiKey::Produce, 9)[..]);
    let memory = body.as_ptr_range();
    let read = ProduceRequest::decode(body, 9).unwrap();
    let records: Vec<_> = read
        .topic_data
        .iter()
        .flat_map(|topic| &topic.partition_data)
        .filter_map(|p| p.records.as_ref())
        .collect();
    assert!(!records.is_empty());
    for records in records {
        assert!(memory.contains(&records.as_ptr()), "the records have not moved");
    }
}

#[test]
fn fetch_responses_agree_with_the_oracle() {
    for (seed, version) in SEEDS.flat_map(|seed| (4..=18).map(move |version| (seed, version))) {
        let response = samples::fetch_response(version, &mut Seed::new(seed));
        let frame = samples::fetch_frame(response.clone(), version, CORRELATION_ID);
        let body = response_body(&frame, ApiKey::Fetch, version);
        let frame = frame.slice(4..);
        let (correlation_id, read) = FetchResponse::decode(&frame, version).unwrap();
        assert_eq!((correlation_id, &read), (CORRELATION_ID, &response));
        for partition in read.responses.iter().flat_map(|topic| &topic.partitions) {
            let records = partition.records.as_ptr();
            assert!(partition.records.is_empty() || frame.as_ptr_range().contains(&records));
        }
        let mut rest = body.clone();
        let their = theirs::FetchResponse::decode(&mut rest, version).unwrap();
        assert!(rest.is_empty());
        let mut shown = their.clone();
        for partition in shown.responses.iter_mut().flat_map(|topic| &mut topic.partitions) {
            partition.records = None;
        }
        let without_records = samples::map_records(read, |_| None::<Bytes>);
        assert_eq!(names_and_values(&shown), names_and_values(&without_records), "version {version}");
        let mut written = BytesMut::new();
        their.encode(&mut written, version).unwrap();
        assert_eq!(written, body, "version {version}");
    }
    unknown_versions_are_refused::<FetchResponse<Bytes>>();
}

#[test]
fn an_empty_fetch_is_empty_and_never_null() {
    let response = |version| {
        let partitions = vec![PartitionData::default()];
        let responses = vec![FetchableTopicResponse { partitions, ..Default::default() }];
        let response = FetchResponse::<RecordsGap> { responses, ..Default::default() };
        let pieces = response.encode(version, 1).unwrap();
        match &pieces[..] {
            [Piece::Bytes(bytes)] => bytes.clone(),
            other => panic!("no gap is left for no records: {other:?}"),
        }
    };
    assert!(response(4).ends_with(&[0, 0, 0, 0]), "a length of 0");
    assert!(response(17).ends_with(&[1, 0, 0, 0]), "a compact length of 0, then three empty lists of tags");
}

#[test]
fn a_request_that_its_version_can_not_carry_is_refused() {
    let by_id = DeleteTopicsRequest { topics: vec![DeleteTopicState::default()], ..Default::default() };
    assert_eq!(
        encode_request(5, 1, None, &by_id),
        Err(EncodeError::NotInVersion { field: "topics", version: 5 })
    );
    assert!(encode_request(6, 1, None, &by_id).is_ok());

    let all = MetadataRequest { topics: None, ..Default::default() };
    assert_eq!(
        encode_request(0, 1, None, &all),
        Err(EncodeError::NotInVersion { field: "topics", version: 0 })
    );
    assert!(encode_request(1, 1, None, &all).is_ok());
    let all_offsets = OffsetFetchRequest { topics: None, ..Default::default() };
    assert_eq!(
        encode_request(1, 1, None, &all_offsets),
        Err(EncodeError::NotInVersion { field: "topics", version: 1 })
    );
    let error = JoinGroupResponse { protocol_name: None, ..Default::default() };
    assert_eq!(
        encode_response(6, 1, &error),
        Err(EncodeError::NotInVersion { field: "protocol_name", version: 6 })
    );
    let a_static_member = HeartbeatRequest { group_instance_id: Some("one".into()), ..Default::default() };
    assert_eq!(
        encode_request(2, 1, None, &a_static_member),
        Err(EncodeError::NotInVersion { field: "group_instance_id", version: 2 })
    );
    assert!(matches!(
        decode_request::<MetadataRequest>(&[0xff; 4], 0),
        Err(WireError::Null { position: 4, version: 0 })
    ));
    assert_eq!(decode_request::<MetadataRequest>(&[0xff; 4], 1), Ok(all));
}

#[test]
fn null_agrees_with_the_oracle_where_it_exists() {
    for version in 1..=13 {
        let request = MetadataRequest { topics: None, ..Default::default() };
        let frame = encode_request(version, CORRELATION_ID, Some(CLIENT_ID), &request).unwrap();
        let body = request_body(&frame, ApiKey::Metadata, version);
        through_theirs::<theirs::MetadataRequest>(&body, &request, version);
    }
    for version in 2..=9 {
        let request = match version {
            ..8 => OffsetFetchRequest { topics: None, ..Default::default() },
            8.. => {
                let groups = vec![OffsetFetchRequestGroup { topics: None, ..Default::default() }];
                OffsetFetchRequest { groups, ..Default::default() }
            }
        };
        let frame = encode_request(version, CORRELATION_ID, Some(CLIENT_ID), &request).unwrap();
        let body = request_body(&frame, ApiKey::OffsetFetch, version);
        assert_eq!(decode_request(&body, version), Ok(request.clone()));
        through_theirs::<theirs::OffsetFetchRequest>(&body, &request, version);
    }
    for version in 7..=9 {
        let response = JoinGroupResponse { protocol_name: None, ..Default::default() };
        let frame = encode_response(version, CORRELATION_ID, &response).unwrap();
        let body = response_body(&frame, ApiKey::JoinGroup, version);
        through_theirs::<theirs::JoinGroupResponse>(&body, &response, version);
    }
    for version in DescribeLogDirsRequest::VERSIONS {
        let request = DescribeLogDirsRequest { topics: None };
        let frame = encode_request(version, CORRELATION_ID, Some(CLIENT_ID), &request).unwrap();
        let body = request_body(&frame, ApiKey::DescribeLogDirs, version);
        through_theirs::<theirs::DescribeLogDirsRequest>(&body, &request, version);
    }
    for version in 12..=13 {
        let topic = MetadataResponseTopic { error_code: 100, ..Default::default() };
        let response = MetadataResponse { topics: vec![topic], ..Default::default() };
        let frame = encode_response(version, CORRELATION_ID, &response).unwrap();
        let body = response_body(&frame, ApiKey::Metadata, version);
        through_theirs::<theirs::MetadataResponse>(&body, &response, version);
    }
}

/// By Kafka's schemas: ListOffsets 11 is written as 10 is, DescribeLogDirs 5 has one field more.
#[test]
fn versions_younger_than_the_oracle_are_as_kafka_writes_them() {
    let same = |of: &[Bytes]| assert_eq!(of[0], of[1]);
    let s = || Seed::new(11);
    let body = |frame: Bytes, version| request_body(&frame, ApiKey::ListOffsets, version);
    let request = |version| {
        let sample = samples::list_offsets_request(10, &mut s());
        body(encode_request(version, CORRELATION_ID, Some(CLIENT_ID), &sample).unwrap(), version)
    };
    same(&[request(10), request(11)]);
    let response = |version| {
        let sample = samples::list_offsets_response(10, &mut s());
        encode_response(version, CORRELATION_ID, &sample).unwrap()
    };
    same(&[response(10), response(11)]);

    let result =
        |is_cordoned| DescribeLogDirsResult { log_dir: "/d".into(), is_cordoned, ..Default::default() };
    let results = vec![result(false), result(true)];
    let response = DescribeLogDirsResponse { results, ..Default::default() };
    let frame = encode_response(5, CORRELATION_ID, &response).unwrap();
    // The error, the compact string, no topics, two unknown sizes.
    let directory = [&[0, 0, 3, b'/', b'd', 1][..], &[0xff; 16]].concat();
    let body = [&[0, 0, 0, 0, 0, 0, 3][..], &directory, &[0, 0], &directory, &[1, 0, 0]].concat();
    assert_eq!(response_body(&frame, ApiKey::DescribeLogDirs, 5), body);
}

#[test]
fn what_consumers_tell_each_other_agrees_with_the_oracle() {
    let topics = vec!["one".to_owned(), "another".to_owned()];
    let user_data = Some(Bytes::from_static(b"x"));
    let ours = ConsumerProtocolSubscription { topics, user_data, ..Default::default() };
    let written = ours.encode().unwrap();
    let (version, body) = written.split_at(2);
    assert_eq!(version, [0, 0]);
    let theirs = theirs::ConsumerProtocolSubscription::decode(&mut Bytes::copy_from_slice(body), 0).unwrap();
    assert_eq!(names_and_values(&theirs.topics), r#"["one", "another"]"#);
    assert_eq!(theirs.user_data, ours.user_data);
    for version in 0..=3i16 {
        let mut later = BytesMut::from(&version.to_be_bytes()[..]);
        theirs.encode(&mut later, version).unwrap();
        assert_eq!(ConsumerProtocolSubscription::decode(&later), Ok(ours.clone()), "version {version}");
    }

    let assigned_partitions = vec![TopicPartition { topic: "one".into(), partitions: vec![2, 0] }];
    let ours = ConsumerProtocolAssignment { assigned_partitions, user_data: None };
    let written = ours.encode().unwrap();
    let theirs = theirs::ConsumerProtocolAssignment::decode(&mut written.slice(2..), 0).unwrap();
    let partitions = &theirs.assigned_partitions[0];
    assert_eq!((partitions.topic.as_str(), &partitions.partitions[..]), ("one", &[2, 0][..]));
    assert_eq!(ConsumerProtocolAssignment::decode(&written), Ok(ours));
    assert_eq!(ConsumerProtocolAssignment::decode(b""), Ok(ConsumerProtocolAssignment::default()));
    for length in 1..written.len() {
        assert!(ConsumerProtocolAssignment::decode(&written[..length]).is_err(), "cut to {length}");
    }
}

#[test]
fn header_versions_agree_with_the_oracle() {
    for key in ApiKey::all() {
        // Kafka 4.1 had these two only as previews.
        if matches!(key, ApiKey::StreamsGroupHeartbeat | ApiKey::StreamsGroupDescribe) {
            continue;
        }
        let their = theirs::ApiKey::try_from(key.code()).expect("their key");
        assert_eq!(key.to_string(), format!("{their:?}"));
        let versions = their.valid_versions();
        for version in versions.min..=versions.max {
            assert_eq!(key.request_header_version(version), their.request_header_version(version), "{key}");
            assert_eq!(key.response_header_version(version), their.response_header_version(version), "{key}");
        }
    }
}

#[test]
fn error_codes_agree_with_the_oracle() {
    for code in (-1..=133).filter(|code| *code != 0) {
        let their = kafka_protocol::ResponseError::try_from_code(code).unwrap();
        let name = format!("{:?}", ErrorCode::try_from(code).unwrap());
        // Kafka calls this INVALID_TOPIC_EXCEPTION, and everyone else INVALID_TOPIC.
        assert_eq!(name, format!("{their:?}").replace("InvalidTopicException", "InvalidTopic"));
    }
}
