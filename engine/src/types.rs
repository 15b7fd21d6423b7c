//! The nouns of the engine as types of their own, so that an offset can not be used as a byte position.
//!
//! Everything here is a small `Copy` value without behaviour beyond its bounds, shown as the number that it
//! is. A type of which every number is a value has that number as a public field; others are made through
//! their bounds. Files and the wire hold bare numbers, which become these types where they are decoded.

use std::{fmt, ops};

/// A record's logical place in a partition: 0, 1, 2, ... without reuse. Never negative.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Offset(i64);

impl Offset {
    /// The first offset of every partition.
    pub const ZERO: Offset = Offset(0);

    /// # Panics
    /// When `value` is negative: offsets from outside go through [`Offset::checked`].
    pub const fn new(value: i64) -> Offset {
        assert!(value >= 0, "an offset is never negative");
        Offset(value)
    }

    /// `None` for a negative number.
    pub const fn checked(value: i64) -> Option<Offset> {
        if value >= 0 { Some(Offset(value)) } else { None }
    }

    /// The number that travels on the wire.
    pub const fn get(self) -> i64 {
        self.0
    }

    /// The offset `count` records later; `None` past `i64::MAX`.
    pub const fn checked_add(self, count: i64) -> Option<Offset> {
        match self.0.checked_add(count) {
            Some(sum) => Offset::checked(sum),
            None => None,
        }
    }

    /// The offset `count` records later.
    ///
    /// # Panics
    /// Past `i64::MAX`.
    pub fn plus(self, count: i64) -> Offset {
        self.checked_add(count).expect("an offset stays below 2^63")
    }
}

/// A byte place in a file. A number of bytes can be added to it, and is what lies between two of them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Position(pub u64);

impl Position {
    /// The start of a file.
    pub const ZERO: Position = Position(0);

    /// The place so many bytes behind, or the last one that there is.
    pub const fn saturating_add(self, bytes: u64) -> Position {
        Position(self.0.saturating_add(bytes))
    }
}

impl From<u32> for Position {
    fn from(position: u32) -> Position {
        Position(position.into())
    }
}

impl ops::Add<u64> for Position {
    type Output = Position;

    fn add(self, bytes: u64) -> Position {
        Position(self.0 + bytes)
    }
}

impl ops::AddAssign<u64> for Position {
    fn add_assign(&mut self, bytes: u64) {
        self.0 += bytes;
    }
}

impl ops::Sub for Position {
    type Output = u64;

    fn sub(self, earlier: Position) -> u64 {
        self.0 - earlier.0
    }
}

/// Milliseconds since 1970-01-01 UTC; [`Timestamp::NONE`] where there is none.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// "No timestamp", as Kafka writes it.
    pub const NONE: Timestamp = Timestamp(-1);
    /// Larger than any other.
    pub const MAX: Timestamp = Timestamp(i64::MAX);

    /// So many milliseconds later, or the nearest that there is.
    pub const fn plus(self, ms: i64) -> Timestamp {
        Timestamp(self.0.saturating_add(ms))
    }

    /// So many milliseconds before, or the nearest that there is.
    pub const fn minus(self, ms: i64) -> Timestamp {
        Timestamp(self.0.saturating_sub(ms))
    }

    /// The milliseconds since `earlier`, negative where that is later; at most 2^63 - 1.
    pub const fn since(self, earlier: Timestamp) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// The timestamp of a record that says how far it lies from this one, its batch's. Wraps around, as it
    /// does in Kafka: what a producer wrote comes out whatever it is.
    pub const fn with_delta(self, delta: i64) -> Timestamp {
        Timestamp(self.0.wrapping_add(delta))
    }

    /// The delta by which `base` [gives](Timestamp::with_delta) this timestamp.
    pub const fn delta_from(self, base: Timestamp) -> i64 {
        self.0.wrapping_sub(base.0)
    }
}

/// The term of a partition's leader. Every batch carries that of the leader that appended it; along a log it
/// never decreases.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaderEpoch(pub i32);

impl LeaderEpoch {
    /// That of a partition's first leader, and the only one of a node that never hands over leadership.
    pub const FIRST: LeaderEpoch = LeaderEpoch(0);
}

/// Where the batches of a leader epoch begin in a log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EpochStart {
    /// The epoch.
    pub epoch: LeaderEpoch,
    /// The offset of its first record, or the one that it would have.
    pub start: Offset,
}

/// Where the batches of a leader epoch end in a log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EpochEnd {
    /// The epoch.
    pub epoch: LeaderEpoch,
    /// The offset behind its last record.
    pub end: Offset,
}

/// An idempotent or transactional producer: 0, 1, 2, ... given out by the broker, none twice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProducerId(pub i64);

impl ProducerId {
    /// "No producer", as Kafka writes it.
    pub const NONE: ProducerId = ProducerId(-1);

    /// Whether the number names no producer.
    pub const fn is_none(self) -> bool {
        self.0 < 0
    }

    /// Whether a broker may have given it: they begin with 0, and a client may call itself by any number.
    pub(crate) const fn may_be_given(self) -> bool {
        0 <= self.0 && self.0 < 1 << 62
    }
}

/// The instance of a producer; the newest one fences those before it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ProducerEpoch(pub i16);

impl ProducerEpoch {
    /// "No producer", as Kafka writes it.
    pub const NONE: ProducerEpoch = ProducerEpoch(-1);
    /// That of a producer's first instance.
    pub const FIRST: ProducerEpoch = ProducerEpoch(0);
}

/// A record's number among those that its producer has sent to the partition in this epoch, by which a retry
/// is told from a gap. They go from `i32::MAX` on to 0, so that none is smaller than another.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Sequence(pub i32);

impl Sequence {
    /// "No sequence", as Kafka writes it.
    pub const NONE: Sequence = Sequence(-1);
    /// That of a producer's first record in an epoch.
    pub const FIRST: Sequence = Sequence(0);

    /// Whether the number is no sequence.
    pub const fn is_none(self) -> bool {
        self.0 < 0
    }

    /// The sequence of the record that comes `records` later.
    pub const fn plus(self, records: i32) -> Sequence {
        Sequence(self.0.wrapping_add(records) & i32::MAX)
    }

    /// How many records later this one comes than `first`.
    pub const fn since(self, first: Sequence) -> i32 {
        self.0.wrapping_sub(first.0) & i32::MAX
    }
}

/// Shown as the number that they are.
macro_rules! shown_as_numbers {
    ($($name:ident)*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}

shown_as_numbers!(Offset Position Timestamp LeaderEpoch ProducerId ProducerEpoch Sequence);

/// A topic's identity. A topic that is deleted and made again under the same name gets another one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct TopicId([u8; 16]);

impl TopicId {
    /// "No topic", as Kafka writes it.
    pub const ZERO: TopicId = TopicId([0; 16]);

    /// A new random identity (a version 4 UUID, so never [`TopicId::ZERO`]).
    pub fn random() -> TopicId {
        TopicId(random_uuid())
    }

    /// The identity with these bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> TopicId {
        TopicId(bytes)
    }

    /// The bytes that travel on the wire.
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0
    }

    /// The identity that [`base64_url`] shows so; `None` when the text is not one.
    pub fn parse(text: &str) -> Option<TopicId> {
        let digit = |letter| Some(BASE64_URL.iter().position(|known| *known == letter)? as u128);
        if text.len() != 22 {
            return None;
        }
        let bits = text.bytes().take(21).try_fold(0, |bits, letter| Some(bits << 6 | digit(letter)?))?;
        // 21 letters have 126 bits, the last one has two more and four that are 0.
        let last = digit(text.as_bytes()[21])?;
        (last & 15 == 0).then(|| TopicId((bits << 2 | last >> 4).to_be_bytes()))
    }
}

impl fmt::Display for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&base64_url(&self.0))
    }
}

impl fmt::Debug for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// 16 random bytes in the form of a version 4 UUID.
pub fn random_uuid() -> [u8; 16] {
    let mut bytes = [0; 16];
    let mut filled = 0;
    while filled < bytes.len() {
        filled += rustix::rand::getrandom(&mut bytes[filled..], rustix::rand::GetRandomFlags::empty())
            .expect("getrandom(2) of 16 bytes does not fail once the system is up");
    }
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    bytes
}

const BASE64_URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// The 22 characters in which Kafka shows a UUID: base64url without padding.
pub fn base64_url(bytes: &[u8; 16]) -> String {
    let mut text = String::with_capacity(22);
    for chunk in bytes.chunks(3) {
        let mut bits = 0u32;
        for at in 0..3 {
            bits = (bits << 8) | u32::from(chunk.get(at).copied().unwrap_or(0));
        }
        for at in 0..=chunk.len() {
            text.push(char::from(BASE64_URL[(bits >> (18 - 6 * at)) as usize & 63]));
        }
    }
    text
}

/// One partition of one topic.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PartitionId {
    /// The topic.
    pub topic: TopicId,
    /// 0 for the first partition.
    pub index: u32,
}

impl PartitionId {
    /// The partition `index` of `topic`.
    pub const fn new(topic: TopicId, index: u32) -> PartitionId {
        PartitionId { topic, index }
    }

    /// The shard that owns this partition among `shards`: neighbours go to neighbouring shards.
    pub fn shard(self, shards: usize) -> usize {
        let hash = u64::from_le_bytes(self.topic.0[..8].try_into().expect("8 of 16 bytes"));
        ((hash % shards as u64) as usize + self.index as usize) % shards
    }
}

impl fmt::Display for PartitionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_reads_as_kafka_prints_it() {
        assert_eq!(base64_url(&[0; 16]), "AAAAAAAAAAAAAAAAAAAAAA");
        let mut one = [0; 16];
        one[15] = 1;
        assert_eq!(base64_url(&one), "AAAAAAAAAAAAAAAAAAAAAQ", "the id of __cluster_metadata");
        for _ in 0..100 {
            let id = TopicId::random();
            assert_eq!(TopicId::parse(&id.to_string()), Some(id));
        }
        for text in ["", "AAAAAAAAAAAAAAAAAAAAA", "AAAAAAAAAAAAAAAAAAAAAB", "AAAAAAAAAAAAAAAAAAAA+A"] {
            assert_eq!(TopicId::parse(text), None, "{text}");
        }
    }

    #[test]
    fn sequences_go_from_the_largest_number_on_to_0() {
        for (first, records, last) in [
            (0, 0, 0),
            (7, 3, 10),
            (i32::MAX, 0, i32::MAX),
            (i32::MAX, 1, 0),
            (i32::MAX - 1, 5, 3),
            (i32::MAX, i32::MAX, i32::MAX - 1),
            (5, i32::MAX, 4),
        ] {
            let (first, last) = (Sequence(first), Sequence(last));
            assert_eq!((first.plus(records), last.since(first)), (last, records), "{first} and {records}");
        }
    }

    #[test]
    fn partitions_of_one_topic_spread_evenly() {
        let topic = TopicId::random();
        let mut owned = [0; 3];
        for index in 0..9 {
            owned[PartitionId::new(topic, index).shard(3)] += 1;
        }
        assert_eq!(owned, [3, 3, 3]);
    }
}
