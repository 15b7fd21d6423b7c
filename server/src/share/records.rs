//! The records of `__share_group_state`, byte for byte as Kafka writes them, so that its own tools read the
//! topic.
//!
//! ```text
//! key    i16 kind | group, topic id, partition      kind 0: a snapshot    kind 1: what has changed since
//! value  i16 version 0 | fields, flexible           null: it is gone
//! ```
//!
//! Where Kafka writes with each update what that one changes, and never compacts the topic, an update here
//! says all that has changed since the snapshot: the last record of either key is enough, so the topic is
//! compacted like the other internal ones. Read one after the other, as Kafka does, both come to the same.

use bytes::Bytes;
use strandline_protocol::Uuid;
use strandline_protocol::message;
use strandline_protocol::wire::{Decode, Encode, EncodeError, Reader, WireError, Writer};

use super::state::{Batches, Delivery, ShareState, StateBatch};
use crate::coordination::{Encoded, Record};

message! {
    /// Which share partition it is.
    pub struct StateKey {
        (0..) group: String;
        (0..) topic_id: Uuid;
        (0..) partition: i32;
    }

    /// All that there is to a share partition.
    pub struct SnapshotValue {
        (0..) snapshot_epoch: i32;
        (0..) state_epoch: i32;
        (0..) leader_epoch: i32;
        (0..) start_offset: i64;
        (0..) delivery_complete_count: i32 = -1, tag 0;
        /// In milliseconds.
        (0..) create_timestamp: i64;
        /// In milliseconds.
        (0..) write_timestamp: i64;
        (0..) state_batches: Vec<StateBatchValue>;
    }

    /// What has changed since a snapshot.
    pub struct UpdateValue {
        (0..) snapshot_epoch: i32;
        /// -1 when it has not changed.
        (0..) leader_epoch: i32;
        /// -1 when it has not changed.
        (0..) start_offset: i64;
        (0..) delivery_complete_count: i32 = -1, tag 0;
        (0..) state_batches: Vec<StateBatchValue>;
    }

    /// What became of records that stand behind each other.
    pub struct StateBatchValue {
        (0..) first_offset: i64;
        /// The last of them.
        (0..) last_offset: i64;
        /// 0 available, 2 acknowledged, 3 archiving, 4 archived.
        (0..) delivery_state: i8;
        (0..) delivery_count: i16;
    }
}

const SNAPSHOT: i16 = 0;
const UPDATE: i16 = 1;

/// What a record says.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Change {
    /// The share partition is this, or is gone.
    Snapshot(StateKey, Option<SnapshotValue>),
    /// It has changed, or what has changed is gone.
    Update(StateKey, Option<UpdateValue>),
    /// Something that is not known, with its kind.
    Foreign(i16),
}

/// Why bytes are not a record of the topic.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RecordError {
    /// The key or the value is not what its kind says.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// A value of a version that does not exist yet.
    #[error("a value of version {0}, where 0 is known")]
    Version(i16),
}

impl Record for Change {
    type Error = RecordError;

    fn encode(&self) -> Result<Encoded, EncodeError> {
        let (key, value) = match self {
            Change::Snapshot(key, value) => {
                let value = value.as_ref().map(|value| prefixed(0, true, value));
                (prefixed(SNAPSHOT, false, key), value)
            }
            Change::Update(key, value) => {
                let value = value.as_ref().map(|value| prefixed(0, true, value));
                (prefixed(UPDATE, false, key), value)
            }
            Change::Foreign(kind) => unreachable!("a record of kind {kind} is not ours to write"),
        };
        Ok(Encoded { key: key?, value: value.transpose()? })
    }

    fn decode(key: &[u8], value: Option<&[u8]>) -> Result<Change, RecordError> {
        let (kind, key) = split(key)?;
        let whole = || {
            let mut reader = Reader::request(key, 0, false);
            let key = StateKey::read(&mut reader)?;
            reader.finish()?;
            Ok::<_, WireError>(key)
        };
        match kind {
            SNAPSHOT => Ok(Change::Snapshot(whole()?, value.map(versioned).transpose()?)),
            UPDATE => Ok(Change::Update(whole()?, value.map(versioned).transpose()?)),
            kind => Ok(Change::Foreign(kind)),
        }
    }
}

fn prefixed(number: i16, is_flexible: bool, fields: &impl Encode) -> Result<Bytes, EncodeError> {
    let mut writer = Writer::new(0, is_flexible);
    number.write(&mut writer);
    fields.write(&mut writer);
    Ok(writer.finish()?.freeze())
}

fn split(bytes: &[u8]) -> Result<(i16, &[u8]), WireError> {
    let number = Reader::request(bytes, 0, false).take_array()?;
    Ok((i16::from_be_bytes(number), &bytes[number.len()..]))
}

fn versioned<T: Decode>(bytes: &[u8]) -> Result<T, RecordError> {
    let (version, rest) = split(bytes)?;
    match version {
        // As Kafka does, bytes behind the fields are left to a future that adds some.
        0 => Ok(T::read(&mut Reader::request(rest, 0, true))?),
        version => Err(RecordError::Version(version)),
    }
}

/// Batches as records have them.
pub(super) fn to_values(batches: &Batches) -> Vec<StateBatchValue> {
    let values = batches.to_vec().into_iter().map(|batch| StateBatchValue {
        first_offset: batch.first,
        last_offset: batch.last,
        delivery_state: batch.state.id(),
        delivery_count: batch.deliveries.min(i16::MAX as u16) as i16,
    });
    values.collect()
}

/// Batches out of a record.
pub(super) fn from_values(values: &[StateBatchValue]) -> Vec<StateBatch> {
    let batches = values.iter().map(|value| StateBatch {
        first: value.first_offset,
        last: value.last_offset,
        state: Delivery::from_id(value.delivery_state),
        deliveries: value.delivery_count.max(0) as u16,
    });
    batches.collect()
}

impl ShareState {
    /// All of it, as a record has it.
    pub(super) fn to_snapshot(&self) -> SnapshotValue {
        SnapshotValue {
            snapshot_epoch: self.snapshot_epoch,
            state_epoch: self.state_epoch,
            leader_epoch: self.leader_epoch,
            start_offset: self.start,
            delivery_complete_count: self.done,
            create_timestamp: self.created,
            write_timestamp: self.written,
            state_batches: to_values(&self.batches),
        }
    }

    /// Out of a record.
    pub(super) fn from_snapshot(value: &SnapshotValue) -> ShareState {
        let mut state = ShareState::new(value.create_timestamp, value.state_epoch, value.start_offset);
        state.snapshot_epoch = value.snapshot_epoch;
        state.leader_epoch = value.leader_epoch;
        state.done = value.delivery_complete_count;
        state.written = value.write_timestamp;
        state.batches.merge(value.start_offset, &from_values(&value.state_batches));
        state
    }

    /// What has changed since the snapshot, as a record has it.
    pub(super) fn to_update(&self) -> UpdateValue {
        UpdateValue {
            snapshot_epoch: self.snapshot_epoch,
            leader_epoch: self.leader_epoch,
            start_offset: self.start,
            delivery_complete_count: self.done,
            state_batches: to_values(&self.changed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> StateKey {
        StateKey { group: "g".to_owned(), topic_id: Uuid::from_bytes([7; 16]), partition: 3 }
    }

    fn state() -> ShareState {
        let mut state = ShareState::new(5, 1, 10);
        let batch = StateBatch { first: 12, last: 14, state: Delivery::Archived, deliveries: 2 };
        state.update(4, 11, 3, &[batch]);
        state.snapshot_epoch = 6;
        state
    }

    #[test]
    fn the_bytes_are_those_of_kafkas_schemas() {
        let record = Change::Snapshot(key(), Some(state().to_snapshot())).encode().unwrap();
        let mut expected = b"\0\0\0\x01g".to_vec();
        expected.extend_from_slice(&[7; 16]);
        expected.extend_from_slice(b"\0\0\0\x03");
        assert_eq!(&record.key[..], &expected[..]);
        let batch = b"\x02\0\0\0\0\0\0\0\x0c\0\0\0\0\0\0\0\x0e\x04\0\x02\0";
        let tag = b"\x01\0\x04\0\0\0\x03";
        let mut expected = b"\0\0\0\0\0\x06\0\0\0\x01\0\0\0\x04\0\0\0\0\0\0\0\x0b".to_vec();
        expected.extend_from_slice(b"\0\0\0\0\0\0\0\x05\0\0\0\0\0\0\0\x05");
        expected.extend_from_slice(batch);
        expected.extend_from_slice(tag);
        assert_eq!(&record.value.unwrap()[..], &expected[..]);

        let record = Change::Update(key(), Some(state().to_update())).encode().unwrap();
        assert_eq!(record.key[..2], [0, 1]);
        let mut expected = b"\0\0\0\0\0\x06\0\0\0\x04\0\0\0\0\0\0\0\x0b".to_vec();
        expected.extend_from_slice(batch);
        expected.extend_from_slice(tag);
        assert_eq!(&record.value.unwrap()[..], &expected[..]);
    }

    #[test]
    fn states_have_kafkas_numbers_and_one_that_is_not_known_is_given_out_again() {
        use Delivery::{Acknowledged, Archived, Archiving, Available};
        let numbers = [Available, Acknowledged, Archiving, Archived].map(Delivery::id);
        assert_eq!(numbers, [0, 2, 3, 4]);
        assert_eq!(numbers.map(Delivery::from_id), [Available, Acknowledged, Archiving, Archived]);
        assert_eq!([1, 5, -1].map(Delivery::from_id), [Available; 3]);
    }

    #[test]
    fn what_is_written_is_read_again_and_torn_bytes_are_errors() {
        let all = [
            Change::Snapshot(key(), Some(state().to_snapshot())),
            Change::Update(key(), Some(state().to_update())),
            Change::Snapshot(key(), None),
            Change::Update(key(), None),
        ];
        for change in all {
            let record = change.encode().unwrap();
            let value = record.value.as_deref();
            assert_eq!(Change::decode(&record.key, value), Ok(change));
            for length in 0..value.map_or(0, <[u8]>::len) {
                let torn = value.map(|value| &value[..length]);
                assert!(Change::decode(&record.key, torn).is_err(), "{length}");
            }
            for length in 0..record.key.len() {
                assert!(Change::decode(&record.key[..length], None).is_err(), "{length}");
            }
        }
        assert_eq!(Change::decode(b"\0\x09", None), Ok(Change::Foreign(9)));
        let key = Change::Snapshot(key(), None).encode().unwrap().key;
        assert_eq!(Change::decode(&key, Some(b"\0\x01")), Err(RecordError::Version(1)));
    }
}
