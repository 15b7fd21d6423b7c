//! The records of share groups (KIP-932), which share `__consumer_offsets` with the others.
//!
//! ```text
//! kind 10  a member                                  kind 13  what a member shall have
//!      11  the epoch of a group                           14  what a member has
//!      12  the epoch of its target assignment             15  the partitions that have a state
//! ```
//!
//! All values are of version 0, in the flexible form. The state itself is in `__share_group_state`.

use bytes::Bytes;
use strandline_protocol::Uuid;
use strandline_protocol::message;
use strandline_protocol::wire::{Encode, EncodeError};

use super::consumer::{MemberKey, PartitionsValue, TargetEpochValue, TargetValue};
use super::{GroupKey, RecordError, flexible, prefixed, prefixed_flexible, whole};

message! {
    /// What a member has said of itself.
    pub struct ShareMemberValue {
        (0..) rack_id: Option<String>;
        (0..) client_id: String;
        (0..) client_host: String;
        (0..) subscribed_topic_names: Vec<String>;
    }

    /// The state of a group.
    pub struct ShareEpochValue {
        (0..) epoch: i32;
        /// Tells one state of the subscribed topics from another.
        (0..) metadata_hash: i64;
    }

    /// What a member has.
    pub struct ShareCurrentValue {
        (0..) member_epoch: i32;
        (0..) previous_member_epoch: i32;
        /// Always 0, stable: a member has at once what it shall have.
        (0..) state: i8;
        (0..) assigned_partitions: Vec<PartitionsValue>;
    }

    /// The partitions that have a state.
    pub struct ShareStatesValue {
        (0..) initializing_topics: Vec<ShareTopicValue>;
        (0..) initialized_topics: Vec<ShareTopicValue>;
        (0..) deleting_topics: Vec<ShareDeletedTopicValue>;
    }

    /// Partitions of a topic.
    pub struct ShareTopicValue {
        (0..) topic_id: Uuid;
        (0..) topic_name: String;
        (0..) partitions: Vec<i32>;
    }

    /// A topic whose states are being deleted.
    pub struct ShareDeletedTopicValue {
        (0..) topic_id: Uuid;
        (0..) topic_name: String;
    }
}

const MEMBER: i16 = 10;
const EPOCH: i16 = 11;
const TARGET_EPOCH: i16 = 12;
const TARGET: i16 = 13;
const CURRENT: i16 = 14;
const STATES: i16 = 15;

/// What a record says of a share group; without a value, that the key is gone.
#[derive(Clone, Debug, PartialEq)]
pub enum ShareChange {
    /// A member is there.
    Member(MemberKey, Option<ShareMemberValue>),
    /// The group has an epoch.
    Epoch(GroupKey, Option<ShareEpochValue>),
    /// The target assignment has an epoch.
    TargetEpoch(GroupKey, Option<TargetEpochValue>),
    /// A member shall have this.
    Target(MemberKey, Option<TargetValue>),
    /// A member has this.
    Current(MemberKey, Option<ShareCurrentValue>),
    /// These partitions have a state.
    States(GroupKey, Option<ShareStatesValue>),
}

impl ShareChange {
    /// The group that it is of.
    pub fn group(&self) -> &str {
        match self {
            ShareChange::Epoch(key, _) | ShareChange::TargetEpoch(key, _) | ShareChange::States(key, _) => {
                &key.group
            }
            ShareChange::Member(key, _) | ShareChange::Target(key, _) | ShareChange::Current(key, _) => {
                &key.group
            }
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
            ShareChange::Member(key, value) => both(MEMBER, key, value),
            ShareChange::Epoch(key, value) => both(EPOCH, key, value),
            ShareChange::TargetEpoch(key, value) => both(TARGET_EPOCH, key, value),
            ShareChange::Target(key, value) => both(TARGET, key, value),
            ShareChange::Current(key, value) => both(CURRENT, key, value),
            ShareChange::States(key, value) => both(STATES, key, value),
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
    ) -> Result<Option<ShareChange>, RecordError> {
        Ok(Some(match kind {
            MEMBER => ShareChange::Member(whole(key, kind)?, value.map(flexible).transpose()?),
            EPOCH => ShareChange::Epoch(whole(key, kind)?, value.map(flexible).transpose()?),
            TARGET_EPOCH => ShareChange::TargetEpoch(whole(key, kind)?, value.map(flexible).transpose()?),
            TARGET => ShareChange::Target(whole(key, kind)?, value.map(flexible).transpose()?),
            CURRENT => ShareChange::Current(whole(key, kind)?, value.map(flexible).transpose()?),
            STATES => ShareChange::States(whole(key, kind)?, value.map(flexible).transpose()?),
            _ => return Ok(None),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coordination::Record;
    use crate::groups::records::Change;

    fn samples() -> Vec<ShareChange> {
        let group = || GroupKey { group: "g".to_owned() };
        let member = || MemberKey { group: "g".to_owned(), member_id: "m".to_owned() };
        let partitions =
            |at| vec![PartitionsValue { topic_id: Uuid::from_bytes([1; 16]), partitions: vec![at] }];
        let value = ShareMemberValue {
            rack_id: None,
            client_id: "c".to_owned(),
            client_host: "/h".to_owned(),
            subscribed_topic_names: vec!["t".to_owned()],
        };
        let topic = ShareTopicValue {
            topic_id: Uuid::from_bytes([1; 16]),
            topic_name: "t".to_owned(),
            partitions: vec![0],
        };
        let current = ShareCurrentValue {
            member_epoch: 5,
            previous_member_epoch: 4,
            state: 0,
            assigned_partitions: partitions(1),
        };
        let states = ShareStatesValue {
            initializing_topics: Vec::new(),
            initialized_topics: vec![topic],
            deleting_topics: Vec::new(),
        };
        vec![
            ShareChange::Member(member(), Some(value)),
            ShareChange::Epoch(group(), Some(ShareEpochValue { epoch: 3, metadata_hash: -9 })),
            ShareChange::TargetEpoch(
                group(),
                Some(TargetEpochValue { assignment_epoch: 8, ..Default::default() }),
            ),
            ShareChange::Target(member(), Some(TargetValue { topic_partitions: partitions(2) })),
            ShareChange::Current(member(), Some(current)),
            ShareChange::States(group(), Some(states)),
            ShareChange::States(group(), None),
        ]
    }

    #[test]
    fn the_bytes_are_those_of_kafkas_schemas() {
        let bytes = |at: usize| Change::Share(samples().swap_remove(at)).encode().unwrap();
        let member = bytes(0);
        assert_eq!(&member.key[..], b"\0\x0a\0\x01g\0\x01m");
        assert_eq!(&member.value.unwrap()[..], b"\0\0\0\x02c\x03/h\x02\x02t\0");
        let epoch = bytes(1);
        assert_eq!(&epoch.key[..], b"\0\x0b\0\x01g");
        assert_eq!(&epoch.value.unwrap()[..], b"\0\0\0\0\0\x03\xff\xff\xff\xff\xff\xff\xff\xf7\0");
        let mut expected = b"\0\0\x01\x02".to_vec();
        expected.extend_from_slice(&[1; 16]);
        expected.extend_from_slice(b"\x02t\x02\0\0\0\0\0\x01\0");
        assert_eq!(&bytes(5).value.unwrap()[..], &expected[..]);
        assert_eq!(bytes(6).value, None);
    }

    #[test]
    fn what_is_written_is_read_again_and_torn_bytes_are_errors() {
        for change in samples().into_iter().map(Change::Share) {
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
