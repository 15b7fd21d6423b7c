//! The records of `__consumer_offsets`, byte for byte as Kafka writes them, so that its own tools can read
//! the topic.
//!
//! ```text
//! key    i16 kind | fields, classic form          kind 0 and 1: an offset    kind 2: a group
//! value  i16 version | fields; flexible from 4    null: the offset, or the group, is gone
//! ```
//!
//! What is written: keys of kind 1 and 2, values of version 3 (offsets with a time of their own to expire:
//! version 1, the only one that has the field). What is read: every version there is. Keys of the kinds in
//! [`consumer`] belong to consumer groups, those in [`share`] to share groups, those in [`streams`] to
//! streams groups; those of other kinds belong to group protocols that are not served; they are told apart
//! from bytes that make no sense.

pub mod consumer;
pub mod share;
pub mod streams;

use bytes::Bytes;
use strandline_protocol::Uuid;
use strandline_protocol::message;
use strandline_protocol::wire::{Decode, Encode, EncodeError, Reader, WireError, Writer};

use crate::coordination::{Encoded, Record};

pub use consumer::ConsumerChange;
pub use share::ShareChange;
pub use streams::StreamsChange;

message! {
    /// Whose offset it is.
    pub struct OffsetKey {
        (0..) group: String;
        (0..) topic: String;
        (0..) partition: i32;
    }

    /// An offset that was committed.
    pub struct OffsetValue {
        (0..)   offset: i64;
        /// -1 when the consumer did not say.
        (3..)   leader_epoch: i32 = -1;
        (0..)   metadata: String;
        /// When it was committed, in milliseconds.
        (0..)   commit_timestamp: i64;
        /// When it expires whatever the settings say, in milliseconds; -1 for no such time.
        (1..=1) expire_timestamp: i64 = -1;
        (4..)   topic_id: Uuid, tag 0;
    }

    /// Which group it is.
    pub struct GroupKey {
        (0..) group: String;
    }

    /// A group as it is after a rebalance.
    pub struct GroupValue {
        (0..) protocol_type: String;
        (0..) generation: i32;
        (0..) protocol: Option<String>;
        (0..) leader: Option<String>;
        /// Since when the group is in its state, in milliseconds; -1 when that is not known.
        (2..) current_state_timestamp: i64 = -1;
        (0..) members: Vec<GroupMemberValue>;
    }

    /// A member of a group.
    pub struct GroupMemberValue {
        (0..) member_id: String;
        (3..) group_instance_id: Option<String>;
        (0..) client_id: String;
        (0..) client_host: String;
        /// In milliseconds; -1 for that of the session.
        (1..) rebalance_timeout: i32 = -1;
        /// In milliseconds.
        (0..) session_timeout: i32;
        (0..) subscription: Bytes;
        (0..) assignment: Bytes;
    }
}

const OFFSET_KEYS: std::ops::RangeInclusive<i16> = 0..=1;
const GROUP_KEY: i16 = 2;

const VALUE_VERSIONS: std::ops::RangeInclusive<i16> = 0..=4;
const FLEXIBLE_FROM: i16 = 4;
const VALUE_VERSION: i16 = 3;
/// The only version that has a time to expire.
const EXPIRING_VERSION: i16 = 1;

/// What a record says.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// An offset was committed, or is gone.
    Offset(OffsetKey, Option<OffsetValue>),
    /// A group has changed, or is gone.
    Group(GroupKey, Option<GroupValue>),
    /// Something of a consumer group has changed, or is gone.
    Consumer(ConsumerChange),
    /// Something of a share group has changed, or is gone.
    Share(ShareChange),
    /// Something of a streams group has changed, or is gone.
    Streams(StreamsChange),
    /// Something of a group protocol that is not served, with its kind.
    Foreign(i16),
}

/// Why bytes are not a record of the topic.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The key or the value is not what its kind or version says.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// A value of a version that does not exist yet.
    #[error("a value of version {found}, where 0 to {known} are known")]
    Version {
        /// The version.
        found: i16,
        /// The newest that is known.
        known: i16,
    },
}

impl Record for Change {
    type Error = RecordError;

    /// The record that says so. `Foreign` is never written.
    ///
    /// # Errors
    /// [`EncodeError::TooLong`] for a string beyond 32,767 bytes.
    fn encode(&self) -> Result<Encoded, EncodeError> {
        let (key, value) = match self {
            Change::Offset(key, value) => {
                let value = value.as_ref().map(|value| {
                    let expires = value.expire_timestamp != -1;
                    prefixed(if expires { EXPIRING_VERSION } else { VALUE_VERSION }, value)
                });
                (prefixed(*OFFSET_KEYS.end(), key), value)
            }
            Change::Group(key, value) => {
                (prefixed(GROUP_KEY, key), value.as_ref().map(|value| prefixed(VALUE_VERSION, value)))
            }
            Change::Consumer(change) => {
                let (key, value) = change.encode()?;
                return Ok(Encoded { key, value });
            }
            Change::Share(change) => {
                let (key, value) = change.encode()?;
                return Ok(Encoded { key, value });
            }
            Change::Streams(change) => {
                let (key, value) = change.encode()?;
                return Ok(Encoded { key, value });
            }
            Change::Foreign(kind) => unreachable!("a record of kind {kind} is another protocol's to write"),
        };
        Ok(Encoded { key: key?, value: value.transpose()? })
    }

    /// Reads a record.
    ///
    /// # Errors
    /// [`RecordError`]; memory stays below some twice the bytes.
    fn decode(key: &[u8], value: Option<&[u8]>) -> Result<Change, RecordError> {
        let (kind, key) = split(key)?;
        if OFFSET_KEYS.contains(&kind) {
            Ok(Change::Offset(whole(key, kind)?, value.map(versioned).transpose()?))
        } else if kind == GROUP_KEY {
            Ok(Change::Group(whole(key, kind)?, value.map(versioned).transpose()?))
        } else {
            if let Some(change) = ConsumerChange::decode(kind, key, value)? {
                return Ok(Change::Consumer(change));
            }
            if let Some(change) = ShareChange::decode(kind, key, value)? {
                return Ok(Change::Share(change));
            }
            let change = StreamsChange::decode(kind, key, value)?;
            Ok(change.map_or(Change::Foreign(kind), Change::Streams))
        }
    }
}

fn prefixed(version: i16, fields: &impl Encode) -> Result<Bytes, EncodeError> {
    written(version, false, fields)
}

fn prefixed_flexible(version: i16, fields: &impl Encode) -> Result<Bytes, EncodeError> {
    written(version, true, fields)
}

fn written(version: i16, is_flexible: bool, fields: &impl Encode) -> Result<Bytes, EncodeError> {
    let mut writer = Writer::new(version, is_flexible);
    version.write(&mut writer);
    fields.write(&mut writer);
    Ok(writer.finish()?.freeze())
}

/// The number at the front, and the rest.
fn split(bytes: &[u8]) -> Result<(i16, &[u8]), WireError> {
    let number = Reader::request(bytes, 0, false).take_array()?;
    Ok((i16::from_be_bytes(number), &bytes[number.len()..]))
}

fn whole<T: Decode>(bytes: &[u8], version: i16) -> Result<T, WireError> {
    // The keys' numbers are kinds; none of them is flexible.
    let mut reader = Reader::request(bytes, version, false);
    let key = T::read(&mut reader)?;
    reader.finish()?;
    Ok(key)
}

fn versioned<T: Decode>(bytes: &[u8]) -> Result<T, RecordError> {
    let (version, rest) = split(bytes)?;
    if !VALUE_VERSIONS.contains(&version) {
        return Err(RecordError::Version { found: version, known: *VALUE_VERSIONS.end() });
    }
    // As Kafka does, bytes behind the fields are left to a future that adds some.
    Ok(T::read(&mut Reader::request(rest, version, version >= FLEXIBLE_FROM))?)
}

/// A value of which there is version 0 alone, which is flexible.
fn flexible<T: Decode>(bytes: &[u8]) -> Result<T, RecordError> {
    let (version, rest) = split(bytes)?;
    if version != 0 {
        return Err(RecordError::Version { found: version, known: 0 });
    }
    Ok(T::read(&mut Reader::request(rest, version, true))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offset_key() -> OffsetKey {
        OffsetKey { group: "g".to_owned(), topic: "tt".to_owned(), partition: 7 }
    }

    fn offset_value() -> OffsetValue {
        OffsetValue {
            offset: 42,
            leader_epoch: 5,
            metadata: "m".to_owned(),
            commit_timestamp: 1000,
            ..Default::default()
        }
    }

    fn group_value() -> GroupValue {
        GroupValue {
            protocol_type: "consumer".to_owned(),
            generation: 3,
            protocol: Some("range".to_owned()),
            leader: Some("a".to_owned()),
            current_state_timestamp: 9,
            members: vec![GroupMemberValue {
                member_id: "a".to_owned(),
                group_instance_id: Some("i".to_owned()),
                client_id: "c".to_owned(),
                client_host: "/h".to_owned(),
                rebalance_timeout: 60_000,
                session_timeout: 45_000,
                subscription: Bytes::from_static(b"sub"),
                assignment: Bytes::from_static(b"asg"),
            }],
        }
    }

    fn group_key() -> GroupKey {
        GroupKey { group: "g".to_owned() }
    }

    #[test]
    fn the_bytes_are_those_of_kafka() {
        let record = Change::Offset(offset_key(), Some(offset_value())).encode().unwrap();
        assert_eq!(&record.key[..], b"\0\x01\0\x01g\0\x02tt\0\0\0\x07");
        assert_eq!(
            &record.value.unwrap()[..],
            b"\0\x03\0\0\0\0\0\0\0\x2a\0\0\0\x05\0\x01m\0\0\0\0\0\0\x03\xe8"
        );
        let expiring = OffsetValue { expire_timestamp: 2000, leader_epoch: -1, ..offset_value() };
        let record = Change::Offset(offset_key(), Some(expiring)).encode().unwrap();
        assert_eq!(
            &record.value.unwrap()[..],
            b"\0\x01\0\0\0\0\0\0\0\x2a\0\x01m\0\0\0\0\0\0\x03\xe8\0\0\0\0\0\0\x07\xd0"
        );
        let record = Change::Group(group_key(), Some(group_value())).encode().unwrap();
        assert_eq!(&record.key[..], b"\0\x02\0\x01g");
        assert_eq!(
            &record.value.unwrap()[..],
            b"\0\x03\0\x08consumer\0\0\0\x03\0\x05range\0\x01a\0\0\0\0\0\0\0\x09\0\0\0\x01\
              \0\x01a\0\x01i\0\x01c\0\x02/h\0\0\xea\x60\0\0\xaf\xc8\0\0\0\x03sub\0\0\0\x03asg"
        );
    }

    #[test]
    fn what_is_written_is_read_again() {
        let expiring = OffsetValue { expire_timestamp: 2000, leader_epoch: -1, ..offset_value() };
        for change in [
            Change::Offset(offset_key(), Some(offset_value())),
            Change::Offset(offset_key(), Some(expiring)),
            Change::Offset(offset_key(), None),
            Change::Group(group_key(), Some(group_value())),
            Change::Group(group_key(), None),
        ] {
            let record = change.encode().unwrap();
            assert_eq!(Change::decode(&record.key, record.value.as_deref()), Ok(change));
        }
    }

    #[test]
    fn the_flexible_version_and_old_ones_are_read() {
        let key = Change::Offset(offset_key(), None).encode().unwrap().key;
        let mut flexible = b"\0\x04\0\0\0\0\0\0\0\x2a\0\0\0\x05\x02m\0\0\0\0\0\0\x03\xe8\x01\0\x10".to_vec();
        flexible.extend_from_slice(&[7; 16]);
        let Ok(Change::Offset(_, Some(value))) = Change::decode(&key, Some(&flexible)) else { panic!() };
        assert_eq!(value, OffsetValue { topic_id: Uuid::from_bytes([7; 16]), ..offset_value() });
        let oldest = b"\0\0\0\0\0\0\0\0\0\x2a\0\x01m\0\0\0\0\0\0\x03\xe8";
        let Ok(Change::Offset(_, Some(value))) = Change::decode(&key, Some(oldest)) else { panic!() };
        assert_eq!(value, OffsetValue { leader_epoch: -1, ..offset_value() });
    }

    #[test]
    fn hostile_bytes_are_errors() {
        let record = Change::Group(group_key(), Some(group_value())).encode().unwrap();
        let value = record.value.unwrap();
        for length in 0..value.len() {
            assert!(Change::decode(&record.key, Some(&value[..length])).is_err(), "{length}");
        }
        for length in 0..record.key.len() {
            assert!(Change::decode(&record.key[..length], None).is_err(), "{length}");
        }
        // Any byte may be anything: no panic.
        for at in 0..value.len() {
            for byte in [0, 0x7f, 0x80, 0xff] {
                let mut bytes = value.to_vec();
                bytes[at] = byte;
                let _ = Change::decode(&record.key, Some(&bytes));
            }
        }
        assert_eq!(
            Change::decode(&record.key, Some(&[0, 9])),
            Err(RecordError::Version { found: 9, known: 4 })
        );
        assert_eq!(Change::decode(&[0, 18, 0, 1, b'g'], Some(&[0, 0])), Ok(Change::Foreign(18)));
        assert!(Change::decode(b"\0\x02\0\x01gx", None).is_err(), "bytes behind a key");
        let long = GroupKey { group: "g".repeat(40_000) };
        assert!(Change::Group(long, None).encode().is_err());
    }
}
