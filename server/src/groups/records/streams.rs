//! The records of streams groups (KIP-1071), which share `__consumer_offsets` with the others.
//!
//! ```text
//! kind 17  the epoch of a group                      kind 21  what a member shall have
//!      19  a member                                       22  what a member has
//!      20  the epoch of its target assignment             23  the topology of the application
//! ```
//!
//! All values are of version 0, in the flexible form. Kind 18 was written by Kafka before 4.1, and says
//! nothing that is not found out again. Tasks that warm up, which no broker gives out yet, are left out.

use bytes::Bytes;
use strandline_protocol::message;
use strandline_protocol::messages::{
    StreamsGroupEndpoint, StreamsGroupKeyValue, StreamsGroupTaskIds, StreamsGroupTopology,
};
use strandline_protocol::wire::{Encode, EncodeError};

use super::consumer::{MemberKey, TargetEpochValue};
use super::{GroupKey, RecordError, flexible, prefixed, prefixed_flexible, whole};

message! {
    /// The state of a group.
    pub struct StreamsEpochValue {
        (0..) epoch: i32;
        /// Tells one state of the topology's topics from another.
        (0..) metadata_hash: i64;
        /// The epoch of the topology whose topics are as they must be; -1 when they are not.
        (0..) validated_topology_epoch: i32 = -1, tag 0;
        /// The settings that tasks were shared out by.
        (0..) last_assignment_configs: Option<Vec<StreamsGroupKeyValue>>, tag 1;
    }

    /// What a member has said of itself.
    pub struct StreamsMemberValue {
        (0..) instance_id: Option<String>;
        (0..) rack_id: Option<String>;
        (0..) client_id: String;
        (0..) client_host: String;
        /// In milliseconds.
        (0..) rebalance_timeout_ms: i32 = -1;
        (0..) topology_epoch: i32;
        (0..) process_id: String;
        (0..) user_endpoint: Option<StreamsGroupEndpoint>;
        (0..) client_tags: Vec<StreamsGroupKeyValue>;
    }

    /// What a member shall have.
    pub struct StreamsTargetValue {
        (0..) active_tasks: Vec<StreamsGroupTaskIds>;
        (0..) standby_tasks: Vec<StreamsGroupTaskIds>;
        (0..) warmup_tasks: Vec<StreamsGroupTaskIds>;
    }

    /// What a member has.
    pub struct StreamsCurrentValue {
        (0..) member_epoch: i32;
        (0..) previous_member_epoch: i32;
        /// 0 stable, 1 it has yet to give tasks up, 2 it waits for tasks of others.
        (0..) state: i8;
        (0..) active_tasks: Vec<StreamsTasksValue>;
        (0..) standby_tasks: Vec<StreamsTasksValue>;
        (0..) warmup_tasks: Vec<StreamsTasksValue>;
        (0..) active_tasks_pending_revocation: Vec<StreamsTasksValue>;
        (0..) standby_tasks_pending_revocation: Vec<StreamsTasksValue>;
        (0..) warmup_tasks_pending_revocation: Vec<StreamsTasksValue>;
    }

    /// Tasks of a subtopology that a member has.
    pub struct StreamsTasksValue {
        (0..) subtopology_id: String;
        (0..) partitions: Vec<i32>;
        /// Since which of its epochs it has each; of active tasks alone.
        (0..) assignment_epochs: Option<Vec<i32>>, tag 0;
    }
}

const EPOCH: i16 = 17;
const MEMBER: i16 = 19;
const TARGET_EPOCH: i16 = 20;
const TARGET: i16 = 21;
const CURRENT: i16 = 22;
const TOPOLOGY: i16 = 23;

/// What a record says of a streams group; without a value, that the key is gone.
#[derive(Clone, Debug, PartialEq)]
pub enum StreamsChange {
    /// The group has an epoch.
    Epoch(GroupKey, Option<StreamsEpochValue>),
    /// A member is there.
    Member(MemberKey, Option<StreamsMemberValue>),
    /// The target assignment has an epoch.
    TargetEpoch(GroupKey, Option<TargetEpochValue>),
    /// A member shall have this.
    Target(MemberKey, Option<StreamsTargetValue>),
    /// A member has this.
    Current(MemberKey, Option<StreamsCurrentValue>),
    /// The application has this topology.
    Topology(GroupKey, Option<StreamsGroupTopology>),
}

impl StreamsChange {
    /// The group that it is of.
    pub fn group(&self) -> &str {
        match self {
            StreamsChange::Epoch(key, _)
            | StreamsChange::TargetEpoch(key, _)
            | StreamsChange::Topology(key, _) => &key.group,
            StreamsChange::Member(key, _)
            | StreamsChange::Target(key, _)
            | StreamsChange::Current(key, _) => &key.group,
        }
    }

    /// The key and the value of the record that says so.
    ///
    /// # Errors
    /// [`EncodeError::TooLong`] for a string that is too long.
    pub(super) fn encode(&self) -> Result<(Bytes, Option<Bytes>), EncodeError> {
        fn both(
            kind: i16,
            key: &impl Encode,
            value: &Option<impl Encode>,
        ) -> Result<(Bytes, Option<Bytes>), EncodeError> {
            let value = value.as_ref().map(|value| prefixed_flexible(0, value));
            Ok((prefixed(kind, key)?, value.transpose()?))
        }
        match self {
            StreamsChange::Epoch(key, value) => both(EPOCH, key, value),
            StreamsChange::Member(key, value) => both(MEMBER, key, value),
            StreamsChange::TargetEpoch(key, value) => both(TARGET_EPOCH, key, value),
            StreamsChange::Target(key, value) => both(TARGET, key, value),
            StreamsChange::Current(key, value) => both(CURRENT, key, value),
            StreamsChange::Topology(key, value) => both(TOPOLOGY, key, value),
        }
    }

    /// Reads a record without its kind; `None` when the kind is another protocol's.
    ///
    /// # Errors
    /// [`RecordError`].
    pub(super) fn decode(
        kind: i16,
        key: &[u8],
        value: Option<&[u8]>,
    ) -> Result<Option<StreamsChange>, RecordError> {
        Ok(Some(match kind {
            EPOCH => StreamsChange::Epoch(whole(key, kind)?, value.map(flexible).transpose()?),
            MEMBER => StreamsChange::Member(whole(key, kind)?, value.map(flexible).transpose()?),
            TARGET_EPOCH => StreamsChange::TargetEpoch(whole(key, kind)?, value.map(flexible).transpose()?),
            TARGET => StreamsChange::Target(whole(key, kind)?, value.map(flexible).transpose()?),
            CURRENT => StreamsChange::Current(whole(key, kind)?, value.map(flexible).transpose()?),
            TOPOLOGY => StreamsChange::Topology(whole(key, kind)?, value.map(flexible).transpose()?),
            _ => return Ok(None),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coordination::Record;
    use crate::groups::records::Change;
    use strandline_protocol::messages::{
        StreamsGroupCopartitionGroup, StreamsGroupSubtopology, StreamsGroupTopicInfo,
    };

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    fn topology() -> StreamsGroupTopology {
        let config = |key: &str, value: &str| StreamsGroupKeyValue { key: key.into(), value: value.into() };
        let changelog = StreamsGroupTopicInfo {
            name: "l".into(),
            partitions: 0,
            replication_factor: 0,
            topic_configs: vec![config("cleanup.policy", "compact")],
        };
        let repartition = StreamsGroupTopicInfo { name: "r".into(), partitions: 3, ..Default::default() };
        let subtopology = StreamsGroupSubtopology {
            subtopology_id: "0".into(),
            source_topics: texts(&["s", "t"]),
            source_topic_regex: Vec::new(),
            state_changelog_topics: vec![changelog],
            repartition_sink_topics: texts(&["k"]),
            repartition_source_topics: vec![repartition],
            copartition_groups: vec![StreamsGroupCopartitionGroup {
                source_topics: vec![1],
                source_topic_regex: Vec::new(),
                repartition_source_topics: vec![0],
            }],
        };
        StreamsGroupTopology { epoch: 2, subtopologies: vec![subtopology] }
    }

    fn samples() -> Vec<StreamsChange> {
        let group = || GroupKey { group: "g".to_owned() };
        let member = || MemberKey { group: "g".to_owned(), member_id: "m".to_owned() };
        let epoch = StreamsEpochValue {
            epoch: 3,
            metadata_hash: -9,
            validated_topology_epoch: 2,
            last_assignment_configs: Some(vec![StreamsGroupKeyValue {
                key: "num.standby.replicas".into(),
                value: "1".into(),
            }]),
        };
        let value = StreamsMemberValue {
            instance_id: None,
            rack_id: Some("a".into()),
            client_id: "c".into(),
            client_host: "/h".into(),
            rebalance_timeout_ms: 300_000,
            topology_epoch: 2,
            process_id: "p".into(),
            user_endpoint: Some(StreamsGroupEndpoint { host: "e".into(), port: 40_000 }),
            client_tags: vec![StreamsGroupKeyValue { key: "k".into(), value: "v".into() }],
        };
        let ids = |partitions: &[i32]| {
            vec![StreamsGroupTaskIds { subtopology_id: "0".into(), partitions: partitions.to_vec() }]
        };
        let target = StreamsTargetValue {
            active_tasks: ids(&[0, 7]),
            standby_tasks: ids(&[1]),
            warmup_tasks: Vec::new(),
        };
        let tasks = |partitions: &[i32], assignment_epochs| {
            vec![StreamsTasksValue {
                subtopology_id: "0".into(),
                partitions: partitions.to_vec(),
                assignment_epochs,
            }]
        };
        let current = StreamsCurrentValue {
            member_epoch: 5,
            previous_member_epoch: 4,
            state: 1,
            active_tasks: tasks(&[0, 7], Some(vec![5, 3])),
            standby_tasks: tasks(&[1], None),
            active_tasks_pending_revocation: tasks(&[2], Some(vec![2])),
            ..Default::default()
        };
        let targets = TargetEpochValue { assignment_epoch: 8, assignment_timestamp: 9 };
        vec![
            StreamsChange::Epoch(group(), Some(epoch)),
            StreamsChange::Member(member(), Some(value)),
            StreamsChange::TargetEpoch(group(), Some(targets)),
            StreamsChange::Target(member(), Some(target)),
            StreamsChange::Current(member(), Some(current)),
            StreamsChange::Topology(group(), Some(topology())),
            StreamsChange::Topology(group(), None),
        ]
    }

    /// What Kafka 4.4 writes of the same.
    #[test]
    fn the_bytes_are_those_of_kafka() {
        let keys: [&[u8]; 6] = [
            b"\0\x11\0\x01g",
            b"\0\x13\0\x01g\0\x01m",
            b"\0\x14\0\x01g",
            b"\0\x15\0\x01g\0\x01m",
            b"\0\x16\0\x01g\0\x01m",
            b"\0\x17\0\x01g",
        ];
        let values: [&[u8]; 6] = [
            b"\0\0\0\0\0\x03\xff\xff\xff\xff\xff\xff\xff\xf7\x02\0\x04\0\0\0\x02\x01\x19\x02\
            \x15num.standby.replicas\x021\0",
            b"\0\0\0\x02a\x02c\x03/h\0\x04\x93\xe0\0\0\0\x02\x02p\x01\x02e\x9c@\0\x02\x02k\x02\
            v\0\0",
            b"\0\0\0\0\0\x08\x01\0\x08\0\0\0\0\0\0\0\x09",
            b"\0\0\x02\x020\x03\0\0\0\0\0\0\0\x07\0\x02\x020\x02\0\0\0\x01\0\x01\0",
            b"\0\0\0\0\0\x05\0\0\0\x04\x01\x02\x020\x03\0\0\0\0\0\0\0\x07\x01\0\x09\x03\0\0\0\
            \x05\0\0\0\x03\x02\x020\x02\0\0\0\x01\0\x01\x02\x020\x02\0\0\0\x02\x01\0\x05\x02\
            \0\0\0\x02\x01\x01\0",
            b"\0\0\0\0\0\x02\x02\x020\x03\x02s\x02t\x01\x02\x02l\0\0\0\0\0\0\x02\x0fcleanup.po\
            licy\x08compact\0\0\x02\x02k\x02\x02r\0\0\0\x03\0\0\x01\0\x02\x02\0\x01\x01\x02\
            \0\0\0\0\0",
        ];
        let records: Vec<_> =
            samples().into_iter().map(|change| Change::Streams(change).encode().unwrap()).collect();
        for (record, (key, value)) in records.iter().zip(keys.into_iter().zip(values)) {
            assert_eq!((&record.key[..], record.value.as_deref()), (key, Some(value)));
        }
        assert_eq!(records[6].value, None);
    }

    #[test]
    fn what_is_written_is_read_again_and_torn_bytes_are_errors() {
        for change in samples().into_iter().map(Change::Streams) {
            let record = change.encode().unwrap();
            let value = record.value.as_deref();
            assert_eq!(Change::decode(&record.key, value), Ok(change));
            for length in 0..value.map_or(0, <[u8]>::len) {
                let torn = value.map(|value| &value[..length]);
                assert!(Change::decode(&record.key, torn).is_err(), "{length}");
            }
        }
    }
}
