//! The `topics` file: every topic with its identity, its size and what is configured for it.
//!
//! ```text
//! body, version 1: topic after topic up to the end
//! topic   | id 16 | partitions u32 | config count u32 | name length u16 | name |  then each config
//! config  | key length u16 | value length u32 | key | value |
//! ```

use bytes::{BufMut, Bytes};
use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::envelope::{self, Body, EnvelopeError, Kind, Sealer};
use super::names;
use crate::types::TopicId;

/// The kind of the file.
pub const TOPICS_KIND: Kind = Kind(*b"STRLTOPC");
/// The version that is written.
pub const TOPICS_VERSION: u16 = 1;

/// One topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicRecord {
    /// The name, valid by [`names::check_topic_name`].
    pub name: String,
    /// The identity.
    pub id: TopicId,
    /// The number of partitions, 1 or more.
    pub partitions: u32,
    /// What is configured, key and value.
    pub configs: Vec<(String, String)>,
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct TopicRow {
    id: [u8; 16],
    partitions: U32,
    config_count: U32,
    name_bytes: U16,
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct ConfigRow {
    key_bytes: U16,
    value_bytes: U32,
}

const _: () = {
    assert!(size_of::<TopicRow>() == 26);
    assert!(size_of::<ConfigRow>() == 6);
};

/// The whole file.
///
/// # Panics
/// For a topic that [`decode`] would refuse: the table checks what it takes in.
pub fn encode(topics: &[TopicRecord]) -> Bytes {
    let mut file = Sealer::new(TOPICS_KIND, TOPICS_VERSION);
    let body = file.body();
    for topic in topics {
        assert!(names::check_topic_name(&topic.name).is_ok() && topic.partitions > 0, "a valid topic");
        let row = TopicRow {
            id: topic.id.to_bytes(),
            partitions: U32::new(topic.partitions),
            config_count: U32::new(topic.configs.len() as u32),
            name_bytes: U16::new(topic.name.len() as u16),
        };
        body.put_slice(row.as_bytes());
        body.put_slice(topic.name.as_bytes());
        for (key, value) in &topic.configs {
            assert!(!key.is_empty(), "a config has a key");
            let row = ConfigRow {
                key_bytes: U16::new(u16::try_from(key.len()).expect("a config key is a word")),
                value_bytes: U32::new(u32::try_from(value.len()).expect("a config value is a line")),
            };
            body.put_slice(row.as_bytes());
            body.put_slice(key.as_bytes());
            body.put_slice(value.as_bytes());
        }
    }
    file.finish()
}

/// Reads a whole file.
///
/// # Errors
/// [`EnvelopeError`]; `Body` also for a name, a partition count or a key that no topic can have.
pub fn decode(bytes: &[u8]) -> Result<Vec<TopicRecord>, EnvelopeError> {
    let mut body = envelope::open_version(TOPICS_KIND, TOPICS_VERSION, bytes)?;
    let mut topics = Vec::new();
    while !body.is_empty() {
        topics.push(decode_topic(&mut body)?);
    }
    Ok(topics)
}

fn decode_topic(body: &mut Body<'_>) -> Result<TopicRecord, EnvelopeError> {
    let row = body.row::<TopicRow>()?;
    let name = body.text(usize::from(row.name_bytes.get()))?;
    if names::check_topic_name(name).is_err() || row.partitions.get() == 0 {
        return Err(body.malformed());
    }
    // The count is not trusted with memory: a list grows only by what was read.
    let mut configs = Vec::new();
    for _ in 0..row.config_count.get() {
        let row = body.row::<ConfigRow>()?;
        let key = body.text(usize::from(row.key_bytes.get()))?;
        let value = body.text(row.value_bytes.get() as usize)?;
        if key.is_empty() {
            return Err(body.malformed());
        }
        configs.push((key.to_owned(), value.to_owned()));
    }
    Ok(TopicRecord {
        name: name.to_owned(),
        id: TopicId::from_bytes(row.id),
        partitions: row.partitions.get(),
        configs,
    })
}
