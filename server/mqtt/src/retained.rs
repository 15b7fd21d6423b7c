//! Messages that are kept: of each topic the newest that was published with the retain flag.
//!
//! ```text
//!  __mqtt_retained   key: the MQTT topic
//!                    value: version (2), which is 0  topic id (16)  partition (4)  offset (8)
//!                           timestamp, ms (8)
//!                           flags (1: 1 published by a client, QoS << 1)  [client id (text)]
//!                           properties (4, bytes, as in a will)  payload (the rest)
//! ```
//! The newest is the one with the largest offset in the log of its topic, in which all messages of a topic
//! stand in one partition: whoever comes late with an older one changes nothing. A record without a value
//! says that nothing is kept any more.

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::codec::fields::{Fields, put_binary};
use crate::codec::{Name, Qos, read_alone, write_alone};
use crate::message::Message;
use crate::session::records::RecordError;
use crate::session::{Partition, copy_properties};
use crate::topic::{self, Filter};

/// The topic of these records.
pub const RETAINED_TOPIC: &str = "__mqtt_retained";

/// Bytes of topics and messages that one partition of the topic keeps in memory. Past it a message is
/// published and not kept, and its publisher is told.
pub const RETAINED_BYTES_MAX: usize = 64 << 20;

/// What one kept message takes beside its bytes.
const ENTRY_BYTES: usize = 256;

const VERSION: u16 = 0;

/// A message that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Where it stands in the log of its topic.
    pub partition: Partition,
    /// There.
    pub offset: i64,
    /// When it was published, in milliseconds since 1970.
    pub timestamp: i64,
    /// What.
    pub message: Message,
}

impl Kept {
    /// Whether it is still worth delivering.
    pub fn is_alive(&self, now: i64) -> bool {
        let expiry = self.message.properties.number(Name::MessageExpiry);
        expiry.is_none_or(|seconds| self.timestamp.saturating_add(i64::from(seconds) * 1000) > now)
    }
}

/// A record of the topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetainedRecord {
    /// The MQTT topic.
    pub topic: String,
    /// What is kept of it.
    pub kept: Option<Box<Kept>>,
}

impl RetainedRecord {
    /// The record's key.
    pub fn key(&self) -> Bytes {
        self.topic.clone().into()
    }

    /// The record's value; `None` when nothing is kept.
    pub fn value(&self) -> Option<Bytes> {
        let Kept { partition, offset, timestamp, message } = &**self.kept.as_ref()?;
        let mut value = BytesMut::with_capacity(64 + message.payload.len());
        value.put_u16(VERSION);
        value.put_slice(&partition.topic);
        value.put_u32(partition.index);
        value.put_i64(*offset);
        value.put_i64(*timestamp);
        value.put_u8(u8::from(message.client_id.is_some()) | (message.qos as u8) << 1);
        if let Some(client_id) = &message.client_id {
            put_binary(&mut value, client_id.as_bytes());
        }
        let properties = write_alone(&message.properties);
        value.put_u32(properties.len() as u32);
        value.put_slice(&properties);
        value.put_slice(&message.payload);
        Some(value.freeze())
    }

    /// Reads a record.
    ///
    /// # Errors
    /// When it is none that this version writes.
    pub fn parse(key: &[u8], value: Option<&[u8]>) -> Result<RetainedRecord, RecordError> {
        let topic = std::str::from_utf8(key).ok().filter(|topic| topic::is_name(topic));
        let topic = topic.ok_or(RecordError::Field("the key"))?.to_owned();
        let Some(value) = value else { return Ok(RetainedRecord { topic, kept: None }) };
        let mut fields = Fields::new(Bytes::copy_from_slice(value));
        match fields.two()? {
            VERSION => {}
            version => return Err(RecordError::Version(version)),
        }
        let mut partition = Partition::default();
        partition.topic.copy_from_slice(&fields.take(16)?);
        partition.index = fields.four()?;
        let (offset, timestamp) = (fields.take(8)?.get_i64(), fields.take(8)?.get_i64());
        let flags = fields.byte()?;
        let qos = Qos::from_bits(flags >> 1).ok_or(RecordError::Field("the QoS"))?;
        let client_id = (flags & 1 == 1).then(|| fields.text()).transpose()?;
        let length = fields.four()? as usize;
        let mut properties = crate::codec::Properties::default();
        copy_properties(&read_alone(fields.take(length)?)?, &mut properties);
        let payload = fields.rest();
        let message = Message { topic: topic.clone(), payload, qos, retain: true, client_id, properties };
        let kept = Box::new(Kept { partition, offset, timestamp, message });
        Ok(RetainedRecord { topic, kept: Some(kept) })
    }
}

/// What becomes of a message that is to be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Retain {
    /// This record makes it so, once it is durable.
    Write(RetainedRecord),
    /// A newer one is kept already, or nothing was kept.
    Nothing,
    /// There is no room.
    Full,
}

/// What is kept: a replay of the records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Retained {
    kept: BTreeMap<String, Kept>,
    bytes: usize,
}

impl Retained {
    /// Takes in a record that is durable.
    pub fn replay(&mut self, record: RetainedRecord) {
        let RetainedRecord { topic, kept } = record;
        if let Some(old) = self.kept.remove(&topic) {
            self.bytes -= bytes_of(&topic, &old);
        }
        if let Some(kept) = kept {
            self.bytes += bytes_of(&topic, &kept);
            self.kept.insert(topic, *kept);
        }
    }

    /// A message was published that is to be kept, or that ends it with an empty payload. The caller has
    /// taken in all records before: one message of a topic is asked about at a time.
    pub fn set(&self, kept: Kept) -> Retain {
        let topic = kept.message.topic.clone();
        let old = self.kept.get(&topic);
        // Another partition is another log: the topic was deleted and made again, or got more partitions.
        if old.is_some_and(|old| old.partition == kept.partition && old.offset >= kept.offset) {
            return Retain::Nothing;
        }
        if kept.message.payload.is_empty() {
            return match old {
                Some(_) => Retain::Write(RetainedRecord { topic, kept: None }),
                None => Retain::Nothing,
            };
        }
        let old_bytes = old.map_or(0, |old| bytes_of(&topic, old));
        if self.bytes - old_bytes + bytes_of(&topic, &kept) > RETAINED_BYTES_MAX {
            return Retain::Full;
        }
        Retain::Write(RetainedRecord { topic, kept: Some(Box::new(kept)) })
    }

    /// What is kept of a topic.
    pub fn get(&self, topic: &str) -> Option<&Kept> {
        self.kept.get(topic)
    }

    /// What a new subscriber is sent, from a topic on: at most so many, and the topic after which to go on.
    pub fn matching(&self, filter: &Filter, after: &str, kept_max: usize) -> (Vec<&Kept>, Option<&str>) {
        let pattern = filter.pattern();
        // Everything that matches begins with what stands before the first wildcard.
        let fixed = pattern.find(['+', '#']).map_or(pattern, |at| pattern[..at].trim_end_matches('/'));
        let from = if after < fixed { fixed } else { after };
        let mut found = Vec::new();
        for (topic, kept) in self.kept.range::<str, _>((Bound::Included(from), Bound::Unbounded)) {
            if !topic.starts_with(fixed) {
                break;
            }
            if !filter.matches(topic) || (!after.is_empty() && topic == after) {
                continue;
            }
            if found.len() == kept_max {
                return (found.clone(), found.last().map(|kept: &&Kept| kept.message.topic.as_str()));
            }
            found.push(kept);
        }
        (found, None)
    }

    /// Messages that are kept.
    pub fn len(&self) -> usize {
        self.kept.len()
    }

    /// Whether nothing is kept.
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }
}

fn bytes_of(topic: &str, kept: &Kept) -> usize {
    let properties: usize = kept.message.properties.iter().count() * 64;
    ENTRY_BYTES + 2 * topic.len() + kept.message.payload.len() + properties
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(topic: &str, offset: i64, payload: &str) -> Kept {
        let message = Message {
            topic: topic.into(),
            payload: payload.to_owned().into(),
            qos: Qos::AtLeastOnce,
            retain: true,
            client_id: Some("c".into()),
            ..Message::default()
        };
        Kept { partition: Partition { topic: [7; 16], index: 1 }, offset, timestamp: 1000, message }
    }

    fn set(retained: &mut Retained, kept: Kept) {
        if let Retain::Write(record) = retained.set(kept) {
            retained.replay(record);
        }
    }

    #[test]
    fn the_newest_by_the_log_is_kept_in_whatever_order_they_come() {
        for seed in 0..200 {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut offsets: Vec<i64> = (0..random.i64(1..8)).collect();
            random.shuffle(&mut offsets);
            let newest = offsets.len() as i64 - 1;
            let mut retained = Retained::default();
            for offset in offsets {
                set(&mut retained, kept("t", offset, "x"));
            }
            assert_eq!(retained.get("t").unwrap().offset, newest, "seed {seed}");
        }
    }

    #[test]
    fn an_empty_payload_ends_it_and_takes_no_room() {
        let mut retained = Retained::default();
        assert_eq!(retained.set(kept("t", 0, "")), Retain::Nothing);
        set(&mut retained, kept("t", 1, "x"));
        set(&mut retained, kept("t", 2, ""));
        assert_eq!((retained.len(), retained.bytes), (0, 0));
    }

    #[test]
    fn there_is_a_bound_and_what_was_kept_stays() {
        let mut retained = Retained::default();
        let large = "x".repeat(RETAINED_BYTES_MAX / 2);
        set(&mut retained, kept("a", 1, &large));
        assert_eq!(retained.set(kept("b", 2, &large)), Retain::Full);
        assert!(matches!(retained.set(kept("a", 3, &large)), Retain::Write(_)), "its own room is its own");
    }

    #[test]
    fn subscribers_are_sent_what_matches_in_pieces() {
        let mut retained = Retained::default();
        let topics = ["a", "a/b", "a/b/c", "a/c", "ab", "b", "$SYS/x"];
        for (at, topic) in topics.iter().enumerate() {
            set(&mut retained, kept(topic, at as i64, "x"));
        }
        for filter in ["#", "a/#", "a", "+", "a/+", "+/b", "a/b/#", "$SYS/#", "b/#", "x"] {
            let filter = Filter::parse(filter).unwrap();
            let expected: Vec<&str> =
                retained.kept.keys().map(String::as_str).filter(|t| filter.matches(t)).collect();
            for piece in 1..4 {
                let (mut found, mut after) = (Vec::new(), Some(""));
                while let Some(from) = after {
                    let (kept, more) = retained.matching(&filter, from, piece);
                    found.extend(kept.iter().map(|kept| kept.message.topic.as_str()));
                    after = more;
                }
                assert_eq!(found, expected, "{} by {piece}", filter.text());
            }
        }
    }

    #[test]
    fn records_are_these_bytes() {
        let mut entry = kept("t/1", 9, "hi");
        entry.message.properties.text(Name::ContentType, "x");
        let record = RetainedRecord { topic: "t/1".into(), kept: Some(Box::new(entry)) };
        let mut golden = vec![0, 0];
        golden.extend_from_slice(&[7; 16]);
        golden.extend_from_slice(&[0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 3, 0xe8]);
        golden.extend_from_slice(&[3, 0, 1, b'c', 0, 0, 0, 5, 4, 3, 0, 1, b'x', b'h', b'i']);
        assert_eq!((&record.key()[..], record.value().unwrap()), (&b"t/1"[..], golden.into()));
        assert_eq!(RetainedRecord::parse(&record.key(), record.value().as_deref()), Ok(record.clone()));
        let gone = RetainedRecord { topic: "t/1".into(), kept: None };
        assert_eq!(RetainedRecord::parse(&gone.key(), None), Ok(gone));
        assert_eq!(RetainedRecord::parse(b"t", Some(&[0, 1])), Err(RecordError::Version(1)));
    }

    #[test]
    fn a_message_expires() {
        let mut entry = kept("t", 1, "x");
        assert!(entry.is_alive(i64::MAX));
        entry.message.properties.four(Name::MessageExpiry, 2);
        assert!(entry.is_alive(2999) && !entry.is_alive(3000));
    }
}
