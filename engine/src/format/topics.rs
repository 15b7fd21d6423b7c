//! The `topics` file: every topic with its identity, its size and what is configured for it.
//!
//! ```text
//! body, version 1: topic after topic up to the end
//! body, version 2: | count of deleted topics u32 | each deleted topic |  then as version 1
//! topic   | id 16 | partitions u32 | config count u32 | name length u16 | name |  then each config
//! config  | key length u16 | value length u32 | key | value |
//! deleted | id 16 | partitions u32 | name length u16 | name |
//! ```
//! A deleted topic stays in the table until its directories are gone: what stands in them is removed by the
//! word of the table alone, and never because nobody claims it. Version 2 is written while there is one.

use std::collections::BTreeSet;

use bytes::{BufMut, Bytes};
use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::envelope::{self, Body, EnvelopeError, Kind, Sealer};
use super::topic_name::check_topic_name;
use crate::types::TopicId;

/// The kind of the file.
pub const TOPICS_KIND: Kind = Kind(*b"STRLTOPC");
/// The newest version.
pub const TOPICS_VERSION: u16 = 2;

/// The version without deleted topics.
const WITHOUT_DELETED: u16 = 1;

/// All that the file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicsFile {
    /// The topics there are.
    pub topics: Vec<TopicRecord>,
    /// Topics that were deleted, and of which directories may still be there. None has the name of a topic
    /// that there is.
    pub deleted: Vec<DeletedTopic>,
}

/// A topic that was deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeletedTopic {
    /// The name that it had.
    pub name: String,
    /// The identity that it had.
    pub id: TopicId,
    /// The number of partitions that it had, 1 or more.
    pub partitions: u32,
}

/// One topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicRecord {
    /// The name, valid by [`check_topic_name`].
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

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct DeletedRow {
    id: [u8; 16],
    partitions: U32,
    name_bytes: U16,
}

const _: () = {
    assert!(size_of::<TopicRow>() == 26);
    assert!(size_of::<DeletedRow>() == 22);
    assert!(size_of::<ConfigRow>() == 6);
};

/// The whole file.
///
/// # Panics
/// For a topic that [`decode`] would refuse: the table checks what it takes in.
pub fn encode(TopicsFile { topics, deleted }: &TopicsFile) -> Bytes {
    let version = if deleted.is_empty() { WITHOUT_DELETED } else { TOPICS_VERSION };
    let mut file = Sealer::new(TOPICS_KIND, version);
    let body = file.body();
    if version > WITHOUT_DELETED {
        body.put_u32_le(deleted.len() as u32);
    }
    for topic in deleted {
        assert!(check_topic_name(&topic.name).is_ok() && topic.partitions > 0, "it was a valid topic");
        let row = DeletedRow {
            id: topic.id.to_bytes(),
            partitions: U32::new(topic.partitions),
            name_bytes: U16::new(topic.name.len() as u16),
        };
        body.put_slice(row.as_bytes());
        body.put_slice(topic.name.as_bytes());
    }
    for topic in topics {
        assert!(check_topic_name(&topic.name).is_ok() && topic.partitions > 0, "a valid topic");
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

/// Reads a whole file of either version.
///
/// # Errors
/// [`EnvelopeError`]; `Body` also for a name, a partition count or a key that no topic can have, for a
/// version 2 without a deleted topic, and for a deleted topic whose name another topic has: its directories
/// would be taken for the deleted one's.
pub fn decode(bytes: &[u8]) -> Result<TopicsFile, EnvelopeError> {
    let (version, mut body) = envelope::open_upto(TOPICS_KIND, TOPICS_VERSION, bytes)?;
    let mut file = TopicsFile::default();
    if version > WITHOUT_DELETED {
        let count = body.row::<U32>()?.get();
        if count == 0 {
            return Err(body.malformed());
        }
        // The count is not trusted with memory: the list grows only by what was read.
        for _ in 0..count {
            file.deleted.push(decode_deleted(&mut body)?);
        }
    }
    let deleted: BTreeSet<&str> = file.deleted.iter().map(|topic| &*topic.name).collect();
    while !body.is_empty() {
        let topic = decode_topic(&mut body)?;
        if deleted.contains(&*topic.name) {
            return Err(body.malformed());
        }
        file.topics.push(topic);
    }
    Ok(file)
}

fn decode_deleted(body: &mut Body<'_>) -> Result<DeletedTopic, EnvelopeError> {
    let row = body.row::<DeletedRow>()?;
    let name = body.text(usize::from(row.name_bytes.get()))?;
    if check_topic_name(name).is_err() || row.partitions.get() == 0 {
        return Err(body.malformed());
    }
    let (id, partitions) = (TopicId::from_bytes(row.id), row.partitions.get());
    Ok(DeletedTopic { name: name.to_owned(), id, partitions })
}

fn decode_topic(body: &mut Body<'_>) -> Result<TopicRecord, EnvelopeError> {
    let row = body.row::<TopicRow>()?;
    let name = body.text(usize::from(row.name_bytes.get()))?;
    if check_topic_name(name).is_err() || row.partitions.get() == 0 {
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
