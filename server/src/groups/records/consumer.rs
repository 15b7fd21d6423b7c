//! The records of consumer groups (KIP-848), which share `__consumer_offsets` with the others.
//!
//! ```text
//! kind 3   the epoch of a group            kind 6   the epoch of its target assignment
//!      5   a member                             7   what a member shall have
//!      16  topics of a regular expression       8   what a member has
//! ```
//!
//! All values are of version 0, in the flexible form. Kind 4 was written by Kafka 4.0 and before, and says
//! nothing that is not found out again.

use bytes::Bytes;
use strandline_protocol::Uuid;
use strandline_protocol::message;
use strandline_protocol::wire::{Decode, Encode, EncodeError};

use super::{GroupKey, RecordError, flexible, prefixed, prefixed_flexible, whole};

message! {
    /// The state of a group.
    pub struct EpochValue {
        (0..) epoch: i32;
        /// Tells one state of the subscribed topics from another; 0 when it is not known.
        (0..) metadata_hash: i64, tag 0;
    }

    /// Which member it is.
    pub struct MemberKey {
        (0..) group: String;
        (0..) member_id: String;
    }

    /// What a member has said of itself.
    pub struct MemberValue {
        (0..) instance_id: Option<String>;
        (0..) rack_id: Option<String>;
        (0..) client_id: String;
        (0..) client_host: String;
        (0..) subscribed_topic_names: Vec<String>;
        (0..) subscribed_topic_regex: Option<String>;
        /// In milliseconds; -1 when it is not known.
        (0..) rebalance_timeout_ms: i32 = -1;
        (0..) server_assignor: Option<String>;
        /// Of a member that speaks the classic protocol.
        (0..) classic_member_metadata: Option<ClassicMemberValue>, tag 0;
    }

    /// What there is to a member that speaks the classic protocol.
    pub struct ClassicMemberValue {
        (0..) session_timeout_ms: i32;
        (0..) supported_protocols: Vec<ClassicProtocolValue>;
    }

    /// A protocol of such a member.
    pub struct ClassicProtocolValue {
        (0..) name: String;
        (0..) metadata: Bytes;
    }

    /// Partitions of a topic.
    pub struct PartitionsValue {
        (0..) topic_id: Uuid;
        (0..) partitions: Vec<i32>;
    }

    /// Partitions of a topic that a member has.
    pub struct HeldPartitionsValue {
        (0..) topic_id: Uuid;
        (0..) partitions: Vec<i32>;
        /// Of each, the epoch in which it was given to the member (KIP-1251); null in records of Kafka before
        /// 4.3.
        (0..) assignment_epochs: Option<Vec<i32>>, tag 0;
    }

    /// The state of a group's target assignment.
    pub struct TargetEpochValue {
        (0..) assignment_epoch: i32;
        /// When it was found, in milliseconds; 0 when that is not known.
        (0..) assignment_timestamp: i64, tag 0;
    }

    /// What a member shall have.
    pub struct TargetValue {
        (0..) topic_partitions: Vec<PartitionsValue>;
    }

    /// What a member has.
    pub struct CurrentValue {
        (0..) member_epoch: i32;
        (0..) previous_member_epoch: i32;
        /// 0 stable, 1 it has yet to give partitions up, 2 it waits for partitions of others.
        (0..) state: i8;
        (0..) assigned_partitions: Vec<HeldPartitionsValue>;
        (0..) partitions_pending_revocation: Vec<HeldPartitionsValue>;
    }

    /// Which regular expression of which group it is.
    pub struct RegexKey {
        (0..) group: String;
        (0..) regex: String;
    }

    /// The topics that a regular expression matches.
    pub struct RegexValue {
        (0..) topics: Vec<String>;
        /// Of the metadata that it was matched against.
        (0..) version: i64;
        /// When, in milliseconds.
        (0..) timestamp: i64;
    }
}

const EPOCH: i16 = 3;
const MEMBER: i16 = 5;
const TARGET_EPOCH: i16 = 6;
const TARGET: i16 = 7;
const CURRENT: i16 = 8;
const REGEX: i16 = 16;

/// What a record says of a consumer group; without a value, that the key is gone.
#[derive(Clone, Debug, PartialEq)]
pub enum ConsumerChange {
    /// The group has an epoch.
    Epoch(GroupKey, Option<EpochValue>),
    /// A member is there.
    Member(MemberKey, Option<MemberValue>),
    /// The target assignment has an epoch.
    TargetEpoch(GroupKey, Option<TargetEpochValue>),
    /// A member shall have this.
    Target(MemberKey, Option<TargetValue>),
    /// A member has this.
    Current(MemberKey, Option<CurrentValue>),
    /// A regular expression matches these topics.
    Regex(RegexKey, Option<RegexValue>),
}

impl ConsumerChange {
    /// The group that it is of.
    pub fn group(&self) -> &str {
        match self {
            ConsumerChange::Epoch(key, _) | ConsumerChange::TargetEpoch(key, _) => &key.group,
            ConsumerChange::Member(key, _)
            | ConsumerChange::Target(key, _)
            | ConsumerChange::Current(key, _) => &key.group,
            ConsumerChange::Regex(key, _) => &key.group,
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
            ConsumerChange::Epoch(key, value) => both(EPOCH, key, value),
            ConsumerChange::Member(key, value) => both(MEMBER, key, value),
            ConsumerChange::TargetEpoch(key, value) => both(TARGET_EPOCH, key, value),
            ConsumerChange::Target(key, value) => both(TARGET, key, value),
            ConsumerChange::Current(key, value) => both(CURRENT, key, value),
            ConsumerChange::Regex(key, value) => both(REGEX, key, value),
        }
    }

    /// Reads a record whose key is of this kind; `None` when the kind is no consumer group's.
    ///
    /// # Errors
    /// When the bytes are not what the kind says.
    pub(super) fn decode(
        kind: i16,
        key: &[u8],
        value: Option<&[u8]>,
    ) -> Result<Option<ConsumerChange>, RecordError> {
        fn both<K: Decode, V: Decode>(
            kind: i16,
            key: &[u8],
            value: Option<&[u8]>,
            change: fn(K, Option<V>) -> ConsumerChange,
        ) -> Result<Option<ConsumerChange>, RecordError> {
            Ok(Some(change(whole(key, kind)?, value.map(flexible).transpose()?)))
        }
        match kind {
            EPOCH => both(kind, key, value, ConsumerChange::Epoch),
            MEMBER => both(kind, key, value, ConsumerChange::Member),
            TARGET_EPOCH => both(kind, key, value, ConsumerChange::TargetEpoch),
            TARGET => both(kind, key, value, ConsumerChange::Target),
            CURRENT => both(kind, key, value, ConsumerChange::Current),
            REGEX => both(kind, key, value, ConsumerChange::Regex),
            _ => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Change;
    use super::*;
    use crate::coordination::Record;

    fn partitions(topic: u8) -> Vec<PartitionsValue> {
        vec![PartitionsValue { topic_id: Uuid::from_bytes([topic; 16]), partitions: vec![0, 7] }]
    }

    fn held(topic: u8, assignment_epochs: Option<Vec<i32>>) -> Vec<HeldPartitionsValue> {
        let (topic_id, partitions) = (Uuid::from_bytes([topic; 16]), vec![0, 7]);
        vec![HeldPartitionsValue { topic_id, partitions, assignment_epochs }]
    }

    fn samples() -> Vec<ConsumerChange> {
        let group = || GroupKey { group: "g".to_owned() };
        let member = || MemberKey { group: "g".to_owned(), member_id: "m".to_owned() };
        let value = MemberValue {
            instance_id: Some("i".to_owned()),
            client_id: "c".to_owned(),
            client_host: "/h".to_owned(),
            subscribed_topic_names: vec!["t".to_owned()],
            rebalance_timeout_ms: 300_000,
            ..Default::default()
        };
        let current = CurrentValue {
            member_epoch: 5,
            previous_member_epoch: 4,
            state: 1,
            assigned_partitions: held(1, Some(vec![3, 5])),
            partitions_pending_revocation: Vec::new(),
        };
        let protocol = ClassicProtocolValue { name: "range".to_owned(), metadata: Bytes::from_static(b"x") };
        let classic = ClassicMemberValue { session_timeout_ms: 1000, supported_protocols: vec![protocol] };
        let of_classic = MemberValue { classic_member_metadata: Some(classic), ..value.clone() };
        let before = CurrentValue { assigned_partitions: held(1, None), ..current.clone() };
        let regex = RegexKey { group: "g".to_owned(), regex: "t.*".to_owned() };
        let topics = RegexValue { topics: vec!["t1".to_owned()], version: 2, timestamp: 3 };
        let targets = TargetEpochValue { assignment_epoch: 8, assignment_timestamp: 9 };
        vec![
            ConsumerChange::Epoch(group(), Some(EpochValue { epoch: 3, metadata_hash: 0 })),
            ConsumerChange::Epoch(group(), Some(EpochValue { epoch: 3, metadata_hash: -9 })),
            ConsumerChange::Member(member(), Some(value)),
            ConsumerChange::TargetEpoch(group(), Some(targets)),
            ConsumerChange::Target(member(), Some(TargetValue { topic_partitions: partitions(2) })),
            ConsumerChange::Current(member(), Some(current)),
            ConsumerChange::Regex(regex, Some(topics)),
            ConsumerChange::Current(member(), None),
            ConsumerChange::Current(member(), Some(before)),
            ConsumerChange::Member(member(), Some(of_classic)),
        ]
    }

    #[test]
    fn the_bytes_are_those_of_kafkas_schemas() {
        let bytes = |at: usize| Change::Consumer(samples().swap_remove(at)).encode().unwrap();
        let epoch = bytes(0);
        assert_eq!(&epoch.key[..], b"\0\x03\0\x01g");
        assert_eq!(&epoch.value.unwrap()[..], b"\0\0\0\0\0\x03\0");
        assert_eq!(&bytes(1).value.unwrap()[..], b"\0\0\0\0\0\x03\x01\0\x08\xff\xff\xff\xff\xff\xff\xff\xf7");
        let member = bytes(2);
        assert_eq!(&member.key[..], b"\0\x05\0\x01g\0\x01m");
        assert_eq!(&member.value.unwrap()[..], b"\0\0\x02i\0\x02c\x03/h\x02\x02t\0\0\x04\x93\xe0\0\0");
        let of_classic = bytes(9).value.unwrap();
        let expected =
            b"\0\0\x02i\0\x02c\x03/h\x02\x02t\0\0\x04\x93\xe0\0\x01\0\x10\x01\0\0\x03\xe8\x02\x06range\x02x\0\0";
        assert_eq!(&of_classic[..], expected);
        let current = bytes(5).value.unwrap();
        let mut expected = b"\0\0\0\0\0\x05\0\0\0\x04\x01\x02".to_vec();
        expected.extend_from_slice(&[1; 16]);
        let (mut with_epochs, mut before) = (expected.clone(), expected);
        with_epochs.extend_from_slice(b"\x03\0\0\0\0\0\0\0\x07\x01\0\x09\x03\0\0\0\x03\0\0\0\x05\x01\0");
        assert_eq!(&current[..], &with_epochs[..]);
        before.extend_from_slice(b"\x03\0\0\0\0\0\0\0\x07\0\x01\0");
        assert_eq!(&bytes(8).value.unwrap()[..], &before[..]);
        assert_eq!(&bytes(6).key[..], b"\0\x10\0\x01g\0\x03t.*");
    }

    #[test]
    fn what_is_written_is_read_again_and_torn_bytes_are_errors() {
        for change in samples().into_iter().map(Change::Consumer) {
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
