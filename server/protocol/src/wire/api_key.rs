//! The APIs of Kafka by number and name, and the one rule that depends on the number: from which version on
//! an API is in the flexible form, and with it which header its requests and responses have.

use std::fmt;

/// The APIs of Apache Kafka 4.4 that have a valid version, up to key 92. The name is for log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(i16)]
#[allow(missing_docs, reason = "Kafka's names")]
pub enum ApiKey {
    Produce = 0,
    Fetch = 1,
    ListOffsets = 2,
    Metadata = 3,
    OffsetCommit = 8,
    OffsetFetch = 9,
    FindCoordinator = 10,
    JoinGroup = 11,
    Heartbeat = 12,
    LeaveGroup = 13,
    SyncGroup = 14,
    DescribeGroups = 15,
    ListGroups = 16,
    SaslHandshake = 17,
    ApiVersions = 18,
    CreateTopics = 19,
    DeleteTopics = 20,
    DeleteRecords = 21,
    InitProducerId = 22,
    OffsetForLeaderEpoch = 23,
    AddPartitionsToTxn = 24,
    AddOffsetsToTxn = 25,
    EndTxn = 26,
    WriteTxnMarkers = 27,
    TxnOffsetCommit = 28,
    DescribeAcls = 29,
    CreateAcls = 30,
    DeleteAcls = 31,
    DescribeConfigs = 32,
    AlterConfigs = 33,
    AlterReplicaLogDirs = 34,
    DescribeLogDirs = 35,
    SaslAuthenticate = 36,
    CreatePartitions = 37,
    CreateDelegationToken = 38,
    RenewDelegationToken = 39,
    ExpireDelegationToken = 40,
    DescribeDelegationToken = 41,
    DeleteGroups = 42,
    ElectLeaders = 43,
    IncrementalAlterConfigs = 44,
    AlterPartitionReassignments = 45,
    ListPartitionReassignments = 46,
    OffsetDelete = 47,
    DescribeClientQuotas = 48,
    AlterClientQuotas = 49,
    DescribeUserScramCredentials = 50,
    AlterUserScramCredentials = 51,
    Vote = 52,
    BeginQuorumEpoch = 53,
    EndQuorumEpoch = 54,
    DescribeQuorum = 55,
    AlterPartition = 56,
    UpdateFeatures = 57,
    Envelope = 58,
    FetchSnapshot = 59,
    DescribeCluster = 60,
    DescribeProducers = 61,
    BrokerRegistration = 62,
    BrokerHeartbeat = 63,
    UnregisterBroker = 64,
    DescribeTransactions = 65,
    ListTransactions = 66,
    AllocateProducerIds = 67,
    ConsumerGroupHeartbeat = 68,
    ConsumerGroupDescribe = 69,
    ControllerRegistration = 70,
    GetTelemetrySubscriptions = 71,
    PushTelemetry = 72,
    AssignReplicasToDirs = 73,
    ListConfigResources = 74,
    DescribeTopicPartitions = 75,
    ShareGroupHeartbeat = 76,
    ShareGroupDescribe = 77,
    ShareFetch = 78,
    ShareAcknowledge = 79,
    AddRaftVoter = 80,
    RemoveRaftVoter = 81,
    UpdateRaftVoter = 82,
    InitializeShareGroupState = 83,
    ReadShareGroupState = 84,
    WriteShareGroupState = 85,
    DeleteShareGroupState = 86,
    ReadShareGroupStateSummary = 87,
    StreamsGroupHeartbeat = 88,
    StreamsGroupDescribe = 89,
    DescribeShareGroupOffsets = 90,
    AlterShareGroupOffsets = 91,
    DeleteShareGroupOffsets = 92,
}

use ApiKey::*;

impl ApiKey {
    /// Every API with its first flexible version, in ascending order.
    const FLEXIBLE_FROM: [(ApiKey, i16); 89] = [
        (Produce, 9),
        (Fetch, 12),
        (ListOffsets, 6),
        (Metadata, 9),
        (OffsetCommit, 8),
        (OffsetFetch, 6),
        (FindCoordinator, 3),
        (JoinGroup, 6),
        (Heartbeat, 4),
        (LeaveGroup, 4),
        (SyncGroup, 4),
        (DescribeGroups, 5),
        (ListGroups, 3),
        (SaslHandshake, NEVER),
        (ApiVersions, 3),
        (CreateTopics, 5),
        (DeleteTopics, 4),
        (DeleteRecords, 2),
        (InitProducerId, 2),
        (OffsetForLeaderEpoch, 4),
        (AddPartitionsToTxn, 3),
        (AddOffsetsToTxn, 3),
        (EndTxn, 3),
        (WriteTxnMarkers, 1),
        (TxnOffsetCommit, 3),
        (DescribeAcls, 2),
        (CreateAcls, 2),
        (DeleteAcls, 2),
        (DescribeConfigs, 4),
        (AlterConfigs, 2),
        (AlterReplicaLogDirs, 2),
        (DescribeLogDirs, 2),
        (SaslAuthenticate, 2),
        (CreatePartitions, 2),
        (CreateDelegationToken, 2),
        (RenewDelegationToken, 2),
        (ExpireDelegationToken, 2),
        (DescribeDelegationToken, 2),
        (DeleteGroups, 2),
        (ElectLeaders, 2),
        (IncrementalAlterConfigs, 1),
        (AlterPartitionReassignments, 0),
        (ListPartitionReassignments, 0),
        (OffsetDelete, NEVER),
        (DescribeClientQuotas, 1),
        (AlterClientQuotas, 1),
        (DescribeUserScramCredentials, 0),
        (AlterUserScramCredentials, 0),
        (Vote, 0),
        (BeginQuorumEpoch, 1),
        (EndQuorumEpoch, 1),
        (DescribeQuorum, 0),
        (AlterPartition, 0),
        (UpdateFeatures, 0),
        (Envelope, 0),
        (FetchSnapshot, 0),
        (DescribeCluster, 0),
        (DescribeProducers, 0),
        (BrokerRegistration, 0),
        (BrokerHeartbeat, 0),
        (UnregisterBroker, 0),
        (DescribeTransactions, 0),
        (ListTransactions, 0),
        (AllocateProducerIds, 0),
        (ConsumerGroupHeartbeat, 0),
        (ConsumerGroupDescribe, 0),
        (ControllerRegistration, 0),
        (GetTelemetrySubscriptions, 0),
        (PushTelemetry, 0),
        (AssignReplicasToDirs, 0),
        (ListConfigResources, 0),
        (DescribeTopicPartitions, 0),
        (ShareGroupHeartbeat, 0),
        (ShareGroupDescribe, 0),
        (ShareFetch, 0),
        (ShareAcknowledge, 0),
        (AddRaftVoter, 0),
        (RemoveRaftVoter, 0),
        (UpdateRaftVoter, 0),
        (InitializeShareGroupState, 0),
        (ReadShareGroupState, 0),
        (WriteShareGroupState, 0),
        (DeleteShareGroupState, 0),
        (ReadShareGroupStateSummary, 0),
        (StreamsGroupHeartbeat, 0),
        (StreamsGroupDescribe, 0),
        (DescribeShareGroupOffsets, 0),
        (AlterShareGroupOffsets, 0),
        (DeleteShareGroupOffsets, 0),
    ];

    /// Every API, in ascending order.
    pub fn all() -> impl Iterator<Item = ApiKey> {
        Self::FLEXIBLE_FROM.into_iter().map(|(key, _)| key)
    }

    /// The API with this number, if any has it.
    pub fn of(code: i16) -> Option<ApiKey> {
        let found = Self::FLEXIBLE_FROM.binary_search_by_key(&code, |&(known, _)| known.code());
        found.ok().map(|index| Self::FLEXIBLE_FROM[index].0)
    }

    /// The number that travels on the wire.
    pub const fn code(self) -> i16 {
        self as i16
    }

    /// The first version whose messages are in the flexible form (KIP-482), requests and responses alike;
    /// `i16::MAX` when there is none.
    pub fn flexible_from(self) -> i16 {
        let found = Self::FLEXIBLE_FROM.binary_search_by_key(&self, |&(key, _)| key);
        Self::FLEXIBLE_FROM[found.expect("the table has every API")].1
    }

    /// 2 for flexible requests, which have tagged fields in the header too, else 1.
    pub fn request_header_version(self, version: i16) -> i16 {
        if version >= self.flexible_from() { 2 } else { 1 }
    }

    /// 1 for flexible responses, which have tagged fields in the header too, else 0. An ApiVersions response
    /// always has 0: its reader does not know yet what the broker can write.
    pub fn response_header_version(self, version: i16) -> i16 {
        if self != ApiVersions && version >= self.flexible_from() { 1 } else { 0 }
    }
}

/// SaslHandshake and OffsetDelete stay in the classic form.
const NEVER: i16 = i16::MAX;

impl fmt::Display for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_api_is_found_by_its_number_and_no_dead_one_is() {
        for key in ApiKey::all() {
            assert_eq!(ApiKey::of(key.code()), Some(key));
            assert!(key.flexible_from() >= 0);
        }
        for dead in [i16::MIN, -1, 4, 5, 6, 7, 93, i16::MAX] {
            assert_eq!(ApiKey::of(dead), None);
        }
    }
}
