//! The records of `__transaction_state`, byte for byte as Kafka writes them, so that its own tools can read
//! the topic.
//!
//! ```text
//! key    i16 0 | string transactional id
//! value  i16 version | fields; flexible from 1    null: the transactional id has expired
//! ```
//!
//! Values of version 1 are written, which has what `transaction.version` 2 needs; both versions are read.

use bytes::Bytes;
use strandline_engine::format::batch::Producer;
use strandline_engine::types::{ProducerEpoch, ProducerId};
use strandline_protocol::message;
use strandline_protocol::wire::{Decode, Encode, EncodeError, Reader, WireError, Writer};

use super::transaction::{State, Transaction};
use crate::coordination::{Encoded, Record};

message! {
    /// Which transactional id it is.
    pub struct TransactionKey {
        (0..) transactional_id: String;
    }

    /// A transactional id.
    pub struct TransactionValue {
        (0..) producer_id: i64;
        (0..) producer_epoch: i16;
        /// In milliseconds.
        (0..) transaction_timeout_ms: i32;
        (0..) transaction_status: i8;
        /// `None` when it is Empty.
        (0..) transaction_partitions: Option<Vec<TransactionPartitions>>;
        /// In milliseconds since 1970.
        (0..) transaction_last_update_timestamp_ms: i64;
        /// In milliseconds since 1970; -1 for no transaction.
        (0..) transaction_start_timestamp_ms: i64;
        (1..) previous_producer_id: i64 = -1, tag 0;
        (1..) next_producer_id: i64 = -1, tag 1;
        (1..) client_transaction_version: i16, tag 2;
    }

    /// A topic's partitions in the transaction.
    pub struct TransactionPartitions {
        (0..) topic: String;
        (0..) partition_ids: Vec<i32>;
    }
}

const KEY_VERSION: i16 = 0;
const VALUE_VERSIONS: std::ops::RangeInclusive<i16> = 0..=1;
const FLEXIBLE_FROM: i16 = 1;

/// A transactional id has changed, or is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The transactional id.
    pub id: String,
    /// What it is; `None` when it has expired.
    pub transaction: Option<Transaction>,
}

/// Why bytes are not a record of the topic.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The key or the value is not what its version says.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// A key or a value of a version that does not exist yet.
    #[error("version {found}, where {known_max} is the highest known")]
    Version {
        /// The version.
        found: i16,
        /// The highest known.
        known_max: i16,
    },
    /// A state that is never written.
    #[error("a transaction in state {found}")]
    State {
        /// Its number.
        found: i8,
    },
    /// A producer that there can not be.
    #[error("producer {id} in epoch {epoch}")]
    Producer {
        /// The producer id.
        id: i64,
        /// The epoch.
        epoch: i16,
    },
}

impl Record for Change {
    type Error = RecordError;

    fn encode(&self) -> Result<Encoded, EncodeError> {
        let key = prefixed(KEY_VERSION, &TransactionKey { transactional_id: self.id.clone() })?;
        let value = self.transaction.as_ref().map(|transaction| {
            let version = *VALUE_VERSIONS.end();
            prefixed(version, &value_of(transaction))
        });
        Ok(Encoded { key, value: value.transpose()? })
    }

    fn decode(key: &[u8], value: Option<&[u8]>) -> Result<Change, RecordError> {
        let (version, key) = split(key)?;
        if version != KEY_VERSION {
            return Err(RecordError::Version { found: version, known_max: KEY_VERSION });
        }
        let mut reader = Reader::request(key, version, false);
        let TransactionKey { transactional_id: id } = TransactionKey::read(&mut reader)?;
        reader.finish()?;
        let transaction = value.map(|value| {
            let (version, value) = split(value)?;
            if !VALUE_VERSIONS.contains(&version) {
                return Err(RecordError::Version { found: version, known_max: *VALUE_VERSIONS.end() });
            }
            // As Kafka does, bytes behind the fields are left to a future that adds some.
            let mut reader = Reader::request(value, version, version >= FLEXIBLE_FROM);
            transaction_of(TransactionValue::read(&mut reader)?)
        });
        Ok(Change { id, transaction: transaction.transpose()? })
    }
}

fn value_of(transaction: &Transaction) -> TransactionValue {
    let partitions = transaction.partitions.iter().map(|(topic, indexes)| TransactionPartitions {
        topic: topic.clone(),
        partition_ids: indexes.iter().copied().collect(),
    });
    let is_empty = transaction.state == State::Empty;
    TransactionValue {
        producer_id: transaction.producer.id.0,
        producer_epoch: transaction.producer.epoch.0,
        transaction_timeout_ms: transaction.timeout_ms,
        transaction_status: transaction.state as i8,
        transaction_partitions: (!is_empty).then(|| partitions.collect()),
        transaction_last_update_timestamp_ms: transaction.updated,
        transaction_start_timestamp_ms: transaction.started,
        previous_producer_id: transaction.previous_producer_id.0,
        next_producer_id: transaction.next_producer_id.0,
        client_transaction_version: transaction.level,
    }
}

fn transaction_of(value: TransactionValue) -> Result<Transaction, RecordError> {
    let found = value.transaction_status;
    let state = State::of(found).ok_or(RecordError::State { found })?;
    let (id, epoch) = (value.producer_id, value.producer_epoch);
    if id < 0 || epoch < 0 {
        return Err(RecordError::Producer { id, epoch });
    }
    let partitions = value.transaction_partitions.into_iter().flatten();
    Ok(Transaction {
        producer: Producer { id: ProducerId(id), epoch: ProducerEpoch(epoch) },
        previous_producer_id: ProducerId(value.previous_producer_id),
        next_producer_id: ProducerId(value.next_producer_id),
        last_epoch: ProducerEpoch::NONE,
        timeout_ms: value.transaction_timeout_ms,
        state,
        partitions: partitions.map(|of| (of.topic, of.partition_ids.into_iter().collect())).collect(),
        started: value.transaction_start_timestamp_ms,
        updated: value.transaction_last_update_timestamp_ms,
        level: value.client_transaction_version,
    })
}

fn prefixed(version: i16, fields: &impl Encode) -> Result<Bytes, EncodeError> {
    let mut writer = Writer::new(version, version >= FLEXIBLE_FROM);
    version.write(&mut writer);
    fields.write(&mut writer);
    Ok(writer.finish()?.freeze())
}

/// The version at the front, and the rest.
fn split(bytes: &[u8]) -> Result<(i16, &[u8]), WireError> {
    let number = Reader::request(bytes, 0, false).take_array()?;
    Ok((i16::from_be_bytes(number), &bytes[number.len()..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change() -> Change {
        let transaction = Transaction {
            producer: Producer { id: ProducerId(42), epoch: ProducerEpoch(7) },
            previous_producer_id: ProducerId::NONE,
            next_producer_id: ProducerId::NONE,
            last_epoch: ProducerEpoch::NONE,
            timeout_ms: 60_000,
            state: State::Ongoing,
            partitions: [("tt".to_owned(), [1, 3].into())].into(),
            started: 1000,
            updated: 1001,
            level: 2,
        };
        Change { id: "x".to_owned(), transaction: Some(transaction) }
    }

    #[test]
    fn the_bytes_are_those_of_kafka() {
        let record = change().encode().unwrap();
        assert_eq!(&record.key[..], b"\0\0\0\x01x");
        assert_eq!(
            &record.value.unwrap()[..],
            b"\0\x01\0\0\0\0\0\0\0\x2a\0\x07\0\0\xea\x60\x01\
              \x02\x03tt\x03\0\0\0\x01\0\0\0\x03\0\
              \0\0\0\0\0\0\x03\xe9\0\0\0\0\0\0\x03\xe8\
              \x01\x02\x02\0\x02"
        );
    }

    #[test]
    fn what_is_written_is_read_again() {
        let ongoing = change();
        let mut rotated = change();
        let transaction = rotated.transaction.as_mut().unwrap();
        transaction.previous_producer_id = ProducerId(5);
        transaction.next_producer_id = ProducerId(6);
        let gone = Change { transaction: None, ..change() };
        for state in State::ALL {
            let mut change = change();
            change.transaction.as_mut().unwrap().state = state;
            if state == State::Empty {
                change.transaction.as_mut().unwrap().partitions.clear();
            }
            let record = change.encode().unwrap();
            assert_eq!(Change::decode(&record.key, record.value.as_deref()), Ok(change));
        }
        for change in [ongoing, rotated, gone] {
            let record = change.encode().unwrap();
            assert_eq!(Change::decode(&record.key, record.value.as_deref()), Ok(change));
        }
    }

    #[test]
    fn the_version_of_kafka_3_is_read() {
        let old = b"\0\0\0\0\0\0\0\0\0\x2a\0\x07\0\0\xea\x60\x01\
                    \0\0\0\x01\0\x02tt\0\0\0\x02\0\0\0\x01\0\0\0\x03\
                    \0\0\0\0\0\0\x03\xe9\0\0\0\0\0\0\x03\xe8";
        let mut expected = change();
        expected.transaction.as_mut().unwrap().level = 0;
        assert_eq!(Change::decode(b"\0\0\0\x01x", Some(old)), Ok(expected));
    }

    #[test]
    fn hostile_bytes_are_errors() {
        let record = change().encode().unwrap();
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
        let unknown = RecordError::Version { found: 9, known_max: 1 };
        assert_eq!(Change::decode(&record.key, Some(&[0, 9])), Err(unknown));
        assert!(Change::decode(b"\0\x01\0\x01x", None).is_err(), "a key of another version");
        for (at, byte, what) in [(16, 6, "Dead"), (2, 0x80, "no producer"), (10, 0x80, "no epoch")] {
            let mut bytes = value.to_vec();
            bytes[at] = byte;
            assert!(Change::decode(&record.key, Some(&bytes)).is_err(), "{what}");
        }
    }
}
