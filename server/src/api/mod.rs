//! The handlers: what each request does. They know messages and the engine, and no socket.
//!
//! What the engine refuses becomes one of Kafka's error codes here, in one place for each kind of refusal.

pub mod acls;
pub mod add_offsets_to_txn;
pub mod add_partitions_to_txn;
pub mod alter_configs;
pub mod alter_partition_reassignments;
pub mod alter_replica_log_dirs;
pub mod api_versions;
pub mod client_quotas;
mod configs;
pub mod consumer_group_describe;
pub mod consumer_group_heartbeat;
pub mod create_partitions;
pub mod create_topics;
pub mod delegation_tokens;
pub mod delete_groups;
pub mod delete_records;
pub mod delete_topics;
pub mod describe_cluster;
pub mod describe_configs;
pub mod describe_groups;
pub mod describe_log_dirs;
pub mod describe_producers;
pub mod describe_quorum;
pub mod describe_topic_partitions;
mod distinct;
pub mod elect_leaders;
pub mod end_txn;
pub mod features;
pub mod fetch;
pub mod find_coordinator;
pub mod heartbeat;
mod in_transaction;
pub mod init_producer_id;
pub mod join_group;
pub mod leave_group;
pub mod list_config_resources;
pub mod list_groups;
pub mod list_offsets;
pub mod list_partition_reassignments;
pub mod metadata;
mod mutations;
pub mod offset_commit;
pub mod offset_delete;
pub mod offset_fetch;
pub mod offset_for_leader_epoch;
mod operations;
pub mod produce;
pub mod sasl;
pub mod scram_credentials;
pub mod share_acknowledge;
pub mod share_fetch;
pub mod share_group_describe;
pub mod share_group_heartbeat;
pub mod share_group_offsets;
pub mod streams_group_describe;
pub mod streams_group_heartbeat;
pub mod sync_group;
mod together;
pub mod transactions;
pub mod txn_offset_commit;
pub mod unregister_broker;
pub mod write_txn_markers;

use std::time::Duration;

use strandline_engine::Isolation;
use strandline_engine::config::ConfigError;
use strandline_engine::error::{AppendError, DeleteRecordsError, ReadError, TopicError};
use strandline_engine::format::check::CheckError;
use strandline_engine::format::compression::DecompressError;
use strandline_engine::types::LeaderEpoch;
use strandline_protocol::wire::{ApiKey, ErrorCode};

use crate::call::Call;
use crate::refusal::Refusal;
use crate::security::acl::{Operation, Resource};

/// The code for an append that was refused. Corrupt bytes are retriable, so that a client sends them again;
/// rules that the same bytes break again are not.
pub(crate) fn append_error(error: &AppendError) -> ErrorCode {
    match error {
        AppendError::UnknownPartition(_) => ErrorCode::UnknownTopicOrPartition,
        AppendError::Invalid(error) => check_error(error),
        AppendError::OutOfOrderSequence { .. } => ErrorCode::OutOfOrderSequenceNumber,
        AppendError::StaleProducerEpoch { .. } => ErrorCode::InvalidProducerEpoch,
        AppendError::InvalidTransactionState { .. } => ErrorCode::InvalidTxnState,
        AppendError::CoordinatorFenced { .. } => ErrorCode::TransactionCoordinatorFenced,
        // Retriable (D7). Kafka would take the directory offline and answer the same.
        AppendError::NoSpace(_) | AppendError::Shortage { .. } | AppendError::Fenced { .. } => {
            ErrorCode::KafkaStorageError
        }
        // Retriable: of a broker that stops, whoever leads next will know.
        AppendError::NotLeader(_) | AppendError::Stopping => ErrorCode::NotLeaderOrFollower,
    }
}

fn check_error(error: &CheckError) -> ErrorCode {
    match error {
        // A Java producer splits a batch that is too large, and so finds its way back from one that unpacks
        // to too much as well.
        CheckError::TooLarge { .. } | CheckError::Decompress(DecompressError::TooLarge { .. }) => {
            ErrorCode::MessageTooLarge
        }
        CheckError::Corrupt(_) => ErrorCode::CorruptMessage,
        CheckError::LogAppendTime => ErrorCode::InvalidTimestamp,
        CheckError::Rejected(records) if records.any_timestamp() => ErrorCode::InvalidTimestamp,
        CheckError::NoBatch
        | CheckError::Magic { .. }
        | CheckError::ManyBatches { .. }
        | CheckError::BaseOffset { .. }
        | CheckError::Counts { .. }
        | CheckError::Control
        | CheckError::Sequence { .. }
        | CheckError::Codec { .. }
        | CheckError::Decompress(DecompressError::Invalid { .. })
        | CheckError::Record(_)
        | CheckError::OffsetDelta { .. }
        | CheckError::Rejected(_) => ErrorCode::InvalidRecord,
    }
}

/// The code for a read that was refused.
pub(crate) fn read_error(error: &ReadError) -> ErrorCode {
    match error {
        ReadError::UnknownPartition(_) => ErrorCode::UnknownTopicOrPartition,
        ReadError::OffsetOutOfRange { .. } => ErrorCode::OffsetOutOfRange,
        // A consumer stops at the offset and says so, instead of asking again for ever; it may be told to go
        // on behind it (D5).
        ReadError::Faulty { fault, .. } if fault.is_damage() => ErrorCode::CorruptMessage,
        // A consumer waits, until it is back or somebody has decided (D2).
        ReadError::Faulty { .. } | ReadError::Incomplete { .. } => ErrorCode::KafkaStorageError,
        ReadError::FencedLeaderEpoch { .. } => ErrorCode::FencedLeaderEpoch,
        ReadError::UnknownLeaderEpoch { .. } => ErrorCode::UnknownLeaderEpoch,
        ReadError::NotLeader(_) | ReadError::Stopping => ErrorCode::NotLeaderOrFollower,
    }
}

/// The code for records that were not deleted.
pub(crate) fn delete_records_error(error: &DeleteRecordsError) -> ErrorCode {
    match error {
        DeleteRecordsError::UnknownPartition(_) => ErrorCode::UnknownTopicOrPartition,
        DeleteRecordsError::OffsetOutOfRange { .. } => ErrorCode::OffsetOutOfRange,
        DeleteRecordsError::Compacted(_) => ErrorCode::PolicyViolation,
        DeleteRecordsError::NoSpace(_) | DeleteRecordsError::Faulty { .. } => ErrorCode::KafkaStorageError,
        DeleteRecordsError::NotLeader(_) | DeleteRecordsError::Stopping => ErrorCode::NotLeaderOrFollower,
    }
}

impl From<TopicError> for Refusal {
    fn from(error: TopicError) -> Refusal {
        Refusal::new(topic_error(&error), error.to_string())
    }
}

/// The code for a topic that was not made, changed or deleted.
pub(crate) fn topic_error(error: &TopicError) -> ErrorCode {
    match error {
        TopicError::Name(_) | TopicError::Collides { .. } => ErrorCode::InvalidTopic,
        TopicError::Exists(_) => ErrorCode::TopicAlreadyExists,
        TopicError::Unknown(_) | TopicError::UnknownPartition(_) => ErrorCode::UnknownTopicOrPartition,
        TopicError::StaleLeaderEpoch { .. } => ErrorCode::FencedLeaderEpoch,
        TopicError::Partitions { .. } | TopicError::DoesNotGrow { .. } => ErrorCode::InvalidPartitions,
        TopicError::Config(
            ConfigError::UnknownName { .. }
            | ConfigError::BadValue { .. }
            | ConfigError::ReadOnly { .. }
            | ConfigError::OnlyAtStart { .. }
            | ConfigError::PerBroker { .. }
            | ConfigError::NotAList { .. },
        ) => ErrorCode::InvalidConfig,
        TopicError::Config(ConfigError::Full { .. }) => ErrorCode::PolicyViolation,
        TopicError::Storage(_) | TopicError::NoSpace(_) => ErrorCode::KafkaStorageError,
        TopicError::Stopping => ErrorCode::NotController,
    }
}

/// The code as this version of a request knows it: a client takes one that it does not know for fatal.
pub(crate) fn known_to(key: ApiKey, version: i16, code: ErrorCode) -> ErrorCode {
    match (key, code) {
        (ApiKey::Produce, ErrorCode::KafkaStorageError) if version <= 3 => ErrorCode::NotLeaderOrFollower,
        (ApiKey::Fetch, ErrorCode::KafkaStorageError) if version <= 5 => ErrorCode::NotLeaderOrFollower,
        _ => code,
    }
}

/// The leader epoch that a client believes in; -1 is a client that does not know.
pub(crate) fn known_epoch(epoch: i32) -> Option<LeaderEpoch> {
    (epoch >= 0).then_some(LeaderEpoch(epoch))
}

/// A wait as it travels: milliseconds, rounded up.
pub(crate) fn whole_ms(wait: Duration) -> i32 {
    i32::try_from(wait.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX)
}

/// A topic that a client has named, what is asked of it, and why it is not done.
pub(crate) type DeniedTopic<T> = (String, T, ErrorCode);

/// Tells the topics with which a client may do this from those with which it may not.
pub(crate) fn allowed_topics<T>(
    call: &Call,
    operation: Operation,
    named: impl IntoIterator<Item = (String, T)>,
) -> (Vec<(String, T)>, Vec<DeniedTopic<T>>) {
    let (mut allowed, mut denied) = (Vec::new(), Vec::new());
    for (name, asked) in named {
        match call.may(operation, Resource::topic(&name)) {
            Ok(()) => allowed.push((name, asked)),
            Err(error) => denied.push((name, asked, error)),
        }
    }
    (allowed, denied)
}

/// Which records a client with this `isolation_level` wants to see.
pub(crate) fn isolation(level: i8) -> Isolation {
    match level {
        1 => Isolation::ReadCommitted,
        _ => Isolation::ReadUncommitted,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use strandline_engine::error::{Damage, FaultKind};
    use strandline_engine::types::{Offset, PartitionId, Position, TopicId};

    use super::*;

    #[test]
    fn damage_stops_a_consumer_and_a_refusal_lets_it_try_again() {
        let damage = FaultKind::Damage {
            path: "00000000000000000000.log".into(),
            position: Position(7),
            offset: Offset::new(3),
            what: Damage::JournaledBatch,
        };
        let refusal = FaultKind::Io {
            operation: "read",
            path: "00000000000000000000.log".into(),
            position: Position(7),
            source: std::io::ErrorKind::Other.into(),
        };
        let partition = PartitionId::new(TopicId::random(), 0);
        let code = |fault| read_error(&ReadError::Faulty { partition, fault: Arc::new(fault) });
        assert_eq!(code(damage), ErrorCode::CorruptMessage);
        assert_eq!(code(refusal), ErrorCode::KafkaStorageError);
    }
}
