//! The numbers in which a Kafka broker says what went wrong, by name.
//!
//! Messages carry them as `i16` (a newer broker may send numbers that we have no name for):
//! [`ErrorCode::code`] writes one, `ErrorCode::try_from` names one. The text is what goes into an
//! `error_message` when there is nothing better to say.
//!
//! A client takes a code that its *version* of a request does not know for [`ErrorCode::UnknownServerError`]
//! and gives up, so a handler keeps newer codes from older versions.

use thiserror::Error;

/// The error codes of Apache Kafka 4.4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
#[repr(i16)]
#[allow(missing_docs, reason = "the text of each is its documentation")]
pub enum ErrorCode {
    #[error("an unexpected error on the server")]
    UnknownServerError = -1,
    #[error("no error")]
    None = 0,
    #[error("the offset is outside the range that the partition holds")]
    OffsetOutOfRange = 1,
    #[error("the records are corrupt, too large, or lack a key that a compacted topic needs")]
    CorruptMessage = 2,
    #[error("this server has no such topic or partition")]
    UnknownTopicOrPartition = 3,
    #[error("the fetch size is not valid")]
    InvalidFetchSize = 4,
    #[error("the partition has no leader at the moment")]
    LeaderNotAvailable = 5,
    #[error("this broker neither leads nor follows the partition")]
    NotLeaderOrFollower = 6,
    #[error("the request timed out")]
    RequestTimedOut = 7,
    #[error("the broker is not available")]
    BrokerNotAvailable = 8,
    #[error("the replica is not available")]
    ReplicaNotAvailable = 9,
    #[error("the record batch is larger than the topic accepts")]
    MessageTooLarge = 10,
    #[error("the controller has moved to another broker")]
    StaleControllerEpoch = 11,
    #[error("the metadata of the committed offset is too large")]
    OffsetMetadataTooLarge = 12,
    #[error("the connection ended before a response came")]
    NetworkException = 13,
    #[error("the coordinator is still loading its state")]
    CoordinatorLoadInProgress = 14,
    #[error("the coordinator is not available")]
    CoordinatorNotAvailable = 15,
    #[error("this broker is not the coordinator")]
    NotCoordinator = 16,
    #[error("the topic's name is not legal")]
    InvalidTopic = 17,
    #[error("the record batch is larger than a segment")]
    RecordListTooLarge = 18,
    #[error("fewer replicas are in sync than the topic asks for")]
    NotEnoughReplicas = 19,
    #[error("appended, but to fewer replicas than the topic asks for")]
    NotEnoughReplicasAfterAppend = 20,
    #[error("acks is none of -1, 0 and 1")]
    InvalidRequiredAcks = 21,
    #[error("this is not the group's generation")]
    IllegalGeneration = 22,
    #[error("the member has no protocol in common with the group")]
    InconsistentGroupProtocol = 23,
    #[error("the group's name is not legal")]
    InvalidGroupId = 24,
    #[error("the group has no such member")]
    UnknownMemberId = 25,
    #[error("the session timeout is outside the range that the broker accepts")]
    InvalidSessionTimeout = 26,
    #[error("the group is rebalancing: join again")]
    RebalanceInProgress = 27,
    #[error("the committed offset does not fit a record")]
    InvalidCommitOffsetSize = 28,
    #[error("Topic authorization failed")]
    TopicAuthorizationFailed = 29,
    #[error("Group authorization failed")]
    GroupAuthorizationFailed = 30,
    #[error("Cluster authorization failed")]
    ClusterAuthorizationFailed = 31,
    #[error("a record's timestamp is outside the range that the topic accepts")]
    InvalidTimestamp = 32,
    #[error("the SASL mechanism is not supported")]
    UnsupportedSaslMechanism = 33,
    #[error("the request does not fit the state of the authentication")]
    IllegalSaslState = 34,
    #[error("this version of the request, or what it asks for, is not supported")]
    UnsupportedVersion = 35,
    #[error("a topic of this name exists")]
    TopicAlreadyExists = 36,
    #[error("the number of partitions is not valid")]
    InvalidPartitions = 37,
    #[error("the replication factor is below 1 or above the number of brokers")]
    InvalidReplicationFactor = 38,
    #[error("the assignment of replicas is not valid")]
    InvalidReplicaAssignment = 39,
    #[error("the configuration is not valid")]
    InvalidConfig = 40,
    #[error("this broker is not the controller")]
    NotController = 41,
    #[error("the request contradicts itself or the protocol")]
    InvalidRequest = 42,
    #[error("the topic's message format does not support the request")]
    UnsupportedForMessageFormat = 43,
    #[error("a policy of the broker forbids the request")]
    PolicyViolation = 44,
    #[error("the sequence number is not the one that follows")]
    OutOfOrderSequenceNumber = 45,
    #[error("the sequence number was used before")]
    DuplicateSequenceNumber = 46,
    #[error("the producer's epoch is not current")]
    InvalidProducerEpoch = 47,
    #[error("the transaction's state does not allow the request")]
    InvalidTxnState = 48,
    #[error("the producer id does not belong to the transactional id")]
    InvalidProducerIdMapping = 49,
    #[error("the transaction timeout is above the broker's maximum")]
    InvalidTransactionTimeout = 50,
    #[error("another operation on the transaction is in progress")]
    ConcurrentTransactions = 51,
    #[error("the transaction coordinator is no longer the current one")]
    TransactionCoordinatorFenced = 52,
    #[error("Transactional Id authorization failed")]
    TransactionalIdAuthorizationFailed = 53,
    #[error("security is disabled")]
    SecurityDisabled = 54,
    #[error("the operation was not attempted")]
    OperationNotAttempted = 55,
    #[error("the disk under the partition has failed")]
    KafkaStorageError = 56,
    #[error("the broker has no such log directory")]
    LogDirNotFound = 57,
    #[error("authentication failed")]
    SaslAuthenticationFailed = 58,
    #[error("the partition does not know the producer")]
    UnknownProducerId = 59,
    #[error("the partition is being reassigned")]
    ReassignmentInProgress = 60,
    #[error("delegation tokens are disabled")]
    DelegationTokenAuthDisabled = 61,
    #[error("there is no such delegation token")]
    DelegationTokenNotFound = 62,
    #[error("the principal may not renew this delegation token")]
    DelegationTokenOwnerMismatch = 63,
    #[error("this connection may not request delegation tokens")]
    DelegationTokenRequestNotAllowed = 64,
    #[error("Delegation Token authorization failed")]
    DelegationTokenAuthorizationFailed = 65,
    #[error("the delegation token has expired")]
    DelegationTokenExpired = 66,
    #[error("the type of principal is not supported")]
    InvalidPrincipalType = 67,
    #[error("the group has members")]
    NonEmptyGroup = 68,
    #[error("there is no such group")]
    GroupIdNotFound = 69,
    #[error("there is no such fetch session")]
    FetchSessionIdNotFound = 70,
    #[error("this is not the epoch of the fetch session")]
    InvalidFetchSessionEpoch = 71,
    #[error("the leader has no listener of the name that the request came in on")]
    ListenerNotFound = 72,
    #[error("deleting topics is disabled")]
    TopicDeletionDisabled = 73,
    #[error("the leader epoch of the request is older than the broker's")]
    FencedLeaderEpoch = 74,
    #[error("the leader epoch of the request is newer than the broker's")]
    UnknownLeaderEpoch = 75,
    #[error("the client does not support the partition's compression")]
    UnsupportedCompressionType = 76,
    #[error("the broker epoch has changed")]
    StaleBrokerEpoch = 77,
    #[error("the offset is not known yet after a change of leader")]
    OffsetNotAvailable = 78,
    #[error("join again with the member id of this response")]
    MemberIdRequired = 79,
    #[error("the preferred leader is not available")]
    PreferredLeaderNotAvailable = 80,
    #[error("the group is full")]
    GroupMaxSizeReached = 81,
    #[error("another member has the same group instance id")]
    FencedInstanceId = 82,
    #[error("no replica is eligible as leader")]
    EligibleLeadersNotAvailable = 83,
    #[error("the partition needs no election")]
    ElectionNotNeeded = 84,
    #[error("the partition is not being reassigned")]
    NoReassignmentInProgress = 85,
    #[error("the group is subscribed to the topic")]
    GroupSubscribedToTopic = 86,
    #[error("a record is not valid")]
    InvalidRecord = 87,
    #[error("offsets of an open transaction are pending")]
    UnstableOffsetCommit = 88,
    #[error("the quota is exhausted")]
    ThrottlingQuotaExceeded = 89,
    #[error("a newer producer has the same transactional id")]
    ProducerFenced = 90,
    #[error("there is no such resource")]
    ResourceNotFound = 91,
    #[error("the resource is named twice")]
    DuplicateResource = 92,
    #[error("the credential is not acceptable")]
    UnacceptableCredential = 93,
    #[error("the sender or receiver is not among the expected voters")]
    InconsistentVoterSet = 94,
    #[error("the version of the update is not valid")]
    InvalidUpdateVersion = 95,
    #[error("the features could not be updated")]
    FeatureUpdateFailed = 96,
    #[error("the forwarded principal could not be read")]
    PrincipalDeserializationFailure = 97,
    #[error("there is no such snapshot")]
    SnapshotNotFound = 98,
    #[error("the position is outside the snapshot")]
    PositionOutOfRange = 99,
    #[error("this server has no topic of this id")]
    UnknownTopicId = 100,
    #[error("the broker id is in use")]
    DuplicateBrokerRegistration = 101,
    #[error("the broker id is not registered")]
    BrokerIdNotRegistered = 102,
    #[error("the topic has another id than the request says")]
    InconsistentTopicId = 103,
    #[error("the request is for another cluster")]
    InconsistentClusterId = 104,
    #[error("there is no such transactional id")]
    TransactionalIdNotFound = 105,
    #[error("the fetch session mixes topic names and topic ids")]
    FetchSessionTopicIdError = 106,
    #[error("a replica of the new set is not eligible")]
    IneligibleReplica = 107,
    #[error("the partition was changed, and its leader too")]
    NewLeaderElected = 108,
    #[error("the offset has moved to tiered storage")]
    OffsetMovedToTieredStorage = 109,
    #[error("the member's epoch is fenced: join again")]
    FencedMemberEpoch = 110,
    #[error("another member still holds the group instance id")]
    UnreleasedInstanceId = 111,
    #[error("the group does not support the assignor")]
    UnsupportedAssignor = 112,
    #[error("the member's epoch is not current")]
    StaleMemberEpoch = 113,
    #[error("the request went to the wrong type of endpoint")]
    MismatchedEndpointType = 114,
    #[error("the type of endpoint is not supported")]
    UnsupportedEndpointType = 115,
    #[error("the controller id is not known")]
    UnknownControllerId = 116,
    #[error("the telemetry subscription is not known or out of date")]
    UnknownSubscriptionId = 117,
    #[error("the telemetry is larger than the broker accepts")]
    TelemetryTooLarge = 118,
    #[error("the registration of the broker is not valid")]
    InvalidRegistration = 119,
    #[error("the transaction failed and can be aborted")]
    TransactionAbortable = 120,
    #[error("the record's state does not allow the acknowledgement")]
    InvalidRecordState = 121,
    #[error("there is no such share session")]
    ShareSessionNotFound = 122,
    #[error("this is not the epoch of the share session")]
    InvalidShareSessionEpoch = 123,
    #[error("the state epoch of the share group is not current")]
    FencedStateEpoch = 124,
    #[error("the voter's key is not the replica's")]
    InvalidVoterKey = 125,
    #[error("the voter is in the set already")]
    DuplicateVoter = 126,
    #[error("the voter is not in the set")]
    VoterNotFound = 127,
    #[error("the regular expression is not valid")]
    InvalidRegularExpression = 128,
    #[error("the client's metadata is out of date: start from the bootstrap servers")]
    RebootstrapRequired = 129,
    #[error("the topology is not valid")]
    StreamsInvalidTopology = 130,
    #[error("the topology's epoch is not valid")]
    StreamsInvalidTopologyEpoch = 131,
    #[error("the topology's epoch is not current")]
    StreamsTopologyFenced = 132,
    #[error("the broker holds as many share sessions as it may")]
    ShareSessionLimitReached = 133,
    #[error("the group could not be deleted")]
    GroupDeletionFailed = 134,
    #[error("the description of the topology could not be updated")]
    StreamsTopologyDescriptionUpdateFailed = 135,
    #[error("the controller id is not registered")]
    ControllerIdNotRegistered = 136,
}

impl ErrorCode {
    /// Every code, in ascending order, without a gap.
    pub const ALL: [ErrorCode; 138] = [
        ErrorCode::UnknownServerError,
        ErrorCode::None,
        ErrorCode::OffsetOutOfRange,
        ErrorCode::CorruptMessage,
        ErrorCode::UnknownTopicOrPartition,
        ErrorCode::InvalidFetchSize,
        ErrorCode::LeaderNotAvailable,
        ErrorCode::NotLeaderOrFollower,
        ErrorCode::RequestTimedOut,
        ErrorCode::BrokerNotAvailable,
        ErrorCode::ReplicaNotAvailable,
        ErrorCode::MessageTooLarge,
        ErrorCode::StaleControllerEpoch,
        ErrorCode::OffsetMetadataTooLarge,
        ErrorCode::NetworkException,
        ErrorCode::CoordinatorLoadInProgress,
        ErrorCode::CoordinatorNotAvailable,
        ErrorCode::NotCoordinator,
        ErrorCode::InvalidTopic,
        ErrorCode::RecordListTooLarge,
        ErrorCode::NotEnoughReplicas,
        ErrorCode::NotEnoughReplicasAfterAppend,
        ErrorCode::InvalidRequiredAcks,
        ErrorCode::IllegalGeneration,
        ErrorCode::InconsistentGroupProtocol,
        ErrorCode::InvalidGroupId,
        ErrorCode::UnknownMemberId,
        ErrorCode::InvalidSessionTimeout,
        ErrorCode::RebalanceInProgress,
        ErrorCode::InvalidCommitOffsetSize,
        ErrorCode::TopicAuthorizationFailed,
        ErrorCode::GroupAuthorizationFailed,
        ErrorCode::ClusterAuthorizationFailed,
        ErrorCode::InvalidTimestamp,
        ErrorCode::UnsupportedSaslMechanism,
        ErrorCode::IllegalSaslState,
        ErrorCode::UnsupportedVersion,
        ErrorCode::TopicAlreadyExists,
        ErrorCode::InvalidPartitions,
        ErrorCode::InvalidReplicationFactor,
        ErrorCode::InvalidReplicaAssignment,
        ErrorCode::InvalidConfig,
        ErrorCode::NotController,
        ErrorCode::InvalidRequest,
        ErrorCode::UnsupportedForMessageFormat,
        ErrorCode::PolicyViolation,
        ErrorCode::OutOfOrderSequenceNumber,
        ErrorCode::DuplicateSequenceNumber,
        ErrorCode::InvalidProducerEpoch,
        ErrorCode::InvalidTxnState,
        ErrorCode::InvalidProducerIdMapping,
        ErrorCode::InvalidTransactionTimeout,
        ErrorCode::ConcurrentTransactions,
        ErrorCode::TransactionCoordinatorFenced,
        ErrorCode::TransactionalIdAuthorizationFailed,
        ErrorCode::SecurityDisabled,
        ErrorCode::OperationNotAttempted,
        ErrorCode::KafkaStorageError,
        ErrorCode::LogDirNotFound,
        ErrorCode::SaslAuthenticationFailed,
        ErrorCode::UnknownProducerId,
        ErrorCode::ReassignmentInProgress,
        ErrorCode::DelegationTokenAuthDisabled,
        ErrorCode::DelegationTokenNotFound,
        ErrorCode::DelegationTokenOwnerMismatch,
        ErrorCode::DelegationTokenRequestNotAllowed,
        ErrorCode::DelegationTokenAuthorizationFailed,
        ErrorCode::DelegationTokenExpired,
        ErrorCode::InvalidPrincipalType,
        ErrorCode::NonEmptyGroup,
        ErrorCode::GroupIdNotFound,
        ErrorCode::FetchSessionIdNotFound,
        ErrorCode::InvalidFetchSessionEpoch,
        ErrorCode::ListenerNotFound,
        ErrorCode::TopicDeletionDisabled,
        ErrorCode::FencedLeaderEpoch,
        ErrorCode::UnknownLeaderEpoch,
        ErrorCode::UnsupportedCompressionType,
        ErrorCode::StaleBrokerEpoch,
        ErrorCode::OffsetNotAvailable,
        ErrorCode::MemberIdRequired,
        ErrorCode::PreferredLeaderNotAvailable,
        ErrorCode::GroupMaxSizeReached,
        ErrorCode::FencedInstanceId,
        ErrorCode::EligibleLeadersNotAvailable,
        ErrorCode::ElectionNotNeeded,
        ErrorCode::NoReassignmentInProgress,
        ErrorCode::GroupSubscribedToTopic,
        ErrorCode::InvalidRecord,
        ErrorCode::UnstableOffsetCommit,
        ErrorCode::ThrottlingQuotaExceeded,
        ErrorCode::ProducerFenced,
        ErrorCode::ResourceNotFound,
        ErrorCode::DuplicateResource,
        ErrorCode::UnacceptableCredential,
        ErrorCode::InconsistentVoterSet,
        ErrorCode::InvalidUpdateVersion,
        ErrorCode::FeatureUpdateFailed,
        ErrorCode::PrincipalDeserializationFailure,
        ErrorCode::SnapshotNotFound,
        ErrorCode::PositionOutOfRange,
        ErrorCode::UnknownTopicId,
        ErrorCode::DuplicateBrokerRegistration,
        ErrorCode::BrokerIdNotRegistered,
        ErrorCode::InconsistentTopicId,
        ErrorCode::InconsistentClusterId,
        ErrorCode::TransactionalIdNotFound,
        ErrorCode::FetchSessionTopicIdError,
        ErrorCode::IneligibleReplica,
        ErrorCode::NewLeaderElected,
        ErrorCode::OffsetMovedToTieredStorage,
        ErrorCode::FencedMemberEpoch,
        ErrorCode::UnreleasedInstanceId,
        ErrorCode::UnsupportedAssignor,
        ErrorCode::StaleMemberEpoch,
        ErrorCode::MismatchedEndpointType,
        ErrorCode::UnsupportedEndpointType,
        ErrorCode::UnknownControllerId,
        ErrorCode::UnknownSubscriptionId,
        ErrorCode::TelemetryTooLarge,
        ErrorCode::InvalidRegistration,
        ErrorCode::TransactionAbortable,
        ErrorCode::InvalidRecordState,
        ErrorCode::ShareSessionNotFound,
        ErrorCode::InvalidShareSessionEpoch,
        ErrorCode::FencedStateEpoch,
        ErrorCode::InvalidVoterKey,
        ErrorCode::DuplicateVoter,
        ErrorCode::VoterNotFound,
        ErrorCode::InvalidRegularExpression,
        ErrorCode::RebootstrapRequired,
        ErrorCode::StreamsInvalidTopology,
        ErrorCode::StreamsInvalidTopologyEpoch,
        ErrorCode::StreamsTopologyFenced,
        ErrorCode::ShareSessionLimitReached,
        ErrorCode::GroupDeletionFailed,
        ErrorCode::StreamsTopologyDescriptionUpdateFailed,
        ErrorCode::ControllerIdNotRegistered,
    ];

    /// The number that travels on the wire.
    pub const fn code(self) -> i16 {
        self as i16
    }
}

/// A number that is no error code of Apache Kafka 4.4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("no error has code {0}")]
pub struct UnknownErrorCode(pub i16);

impl TryFrom<i16> for ErrorCode {
    type Error = UnknownErrorCode;

    fn try_from(code: i16) -> Result<ErrorCode, UnknownErrorCode> {
        let first = i32::from(Self::ALL[0].code());
        let index = usize::try_from(i32::from(code) - first).map_err(|_| UnknownErrorCode(code))?;
        Self::ALL.get(index).copied().ok_or(UnknownErrorCode(code))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_found_by_its_number() {
        for code in ErrorCode::ALL {
            assert_eq!(ErrorCode::try_from(code.code()), Ok(code));
        }
        for unknown in [i16::MIN, -2, 137, i16::MAX] {
            assert_eq!(ErrorCode::try_from(unknown), Err(UnknownErrorCode(unknown)));
        }
    }
}
