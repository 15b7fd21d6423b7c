//! The `topics` file: every topic with its identity, its size, what is configured for it, and which of its
//! partitions are here.
//!
//! ```text
//! body, version 1: topic after topic up to the end
//! body, version 2: | count of deleted topics u32 | each deleted topic |  then as version 1
//! body, version 3: | count of deleted topics u32 | each deleted topic, with its first partition |
//!                  then topic after topic, each with its placement, up to the end
//! topic     | id 16 | partitions u32 | config count u32 | name length u16 | name |  then each config
//! config    | key length u16 | value length u32 | key | value |
//! deleted   | id 16 | partitions u32 | name length u16 | (version 3: first partition u32) | name |
//! placement | kind u8: 0 all, 1 those listed | replica count u32 |  then each replica, by partition
//! replica   | partition u32 | leader epoch i32 | role u8: 1 leader, 2 follower |
//! ```
//! The oldest version is written that can say it: a broker that stands alone writes 1, and 2 while topics are
//! being deleted.
//!
//! A deleted topic stays in the table until its directories are gone: what stands in them is removed by the
//! word of the table alone, and never because nobody claims it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use bytes::{BufMut, Bytes};
use zerocopy::little_endian::{I32, U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::envelope::{self, Body, EnvelopeError, Kind, Sealer};
use super::topic_name::check_topic_name;
use crate::types::{LeaderEpoch, TopicId};

/// The kind of the file.
pub const TOPICS_KIND: Kind = Kind(*b"STRLTOPC");
/// The newest version.
pub const TOPICS_VERSION: u16 = 3;

/// The version without deleted topics.
const WITHOUT_DELETED: u16 = 1;

/// The version in which all partitions of a topic are here.
const WITHOUT_PLACEMENT: u16 = 2;

/// What a placement says of the partitions that it does not list: they are here, or not.
const ALL: u8 = 0;
const THESE: u8 = 1;

const LEADER: u8 = 1;
const FOLLOWER: u8 = 2;

/// All that the file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicsFile {
    /// The topics there are.
    pub topics: Vec<TopicRecord>,
    /// Topics that were deleted, and of which directories may still be there. None has the name of a topic
    /// that there is.
    pub deleted: Vec<DeletedTopic>,
}

/// Partitions of a topic that was deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeletedTopic {
    /// The name that it had.
    pub name: String,
    /// The identity that it had.
    pub id: TopicId,
    /// The partitions that were here, 1 or more. Where others stood between them, the topic has several of
    /// these.
    pub partitions: Range<u32>,
}

/// One topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicRecord {
    /// The name, valid by [`check_topic_name`].
    pub name: String,
    /// The identity.
    pub id: TopicId,
    /// The number of partitions, 1 or more, wherever they are.
    pub partitions: u32,
    /// What is configured, key and value.
    pub configs: Vec<(String, String)>,
    /// Which of the partitions are here.
    pub placement: Placement,
}

impl TopicRecord {
    /// What is here of a partition; `None` where nothing is, and for a number that the topic does not have.
    pub fn replica(&self, index: u32) -> Option<Replica> {
        self.placement.replica(index).filter(|_| index < self.partitions)
    }
}

/// Which partitions of a topic are here, and in which role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Placement {
    /// All of them. This broker leads those that are not listed from the beginning.
    All(BTreeMap<u32, Replica>),
    /// Those that are listed.
    These(BTreeMap<u32, Replica>),
}

impl Placement {
    /// As it is where a broker stands alone.
    pub const ALONE: Placement = Placement::All(BTreeMap::new());

    /// What is here of a partition of the topic.
    pub fn replica(&self, index: u32) -> Option<Replica> {
        match self {
            Placement::All(replicas) => Some(replicas.get(&index).copied().unwrap_or(Replica::ALONE)),
            Placement::These(replicas) => replicas.get(&index).copied(),
        }
    }

    /// The partitions that are listed.
    pub fn listed(&self) -> &BTreeMap<u32, Replica> {
        let (Placement::All(replicas) | Placement::These(replicas)) = self;
        replicas
    }
}

/// A partition that is here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replica {
    /// What this broker is to it.
    pub role: Role,
    /// The term since which it is that. Where the log has a later one, that counts.
    pub epoch: LeaderEpoch,
}

impl Replica {
    /// What every partition is to a broker that stands alone.
    pub const ALONE: Replica = Replica { role: Role::Leader, epoch: LeaderEpoch::FIRST };
}

/// What a broker is to a partition that is here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It takes appends, and serves readers.
    Leader,
    /// Another broker leads, or none.
    Follower,
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

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct PlacementRow {
    kind: u8,
    replica_count: U32,
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct ReplicaRow {
    partition: U32,
    epoch: I32,
    role: u8,
}

const _: () = {
    assert!(size_of::<TopicRow>() == 26);
    assert!(size_of::<DeletedRow>() == 22);
    assert!(size_of::<ConfigRow>() == 6);
    assert!(size_of::<PlacementRow>() == 5);
    assert!(size_of::<ReplicaRow>() == 9);
};

impl TopicsFile {
    /// The oldest version that can say it.
    fn version(&self) -> u16 {
        let is_placed = self.topics.iter().any(|topic| topic.placement != Placement::ALONE);
        match (is_placed || self.deleted.iter().any(|topic| topic.partitions.start > 0), &self.deleted[..]) {
            (true, _) => TOPICS_VERSION,
            (false, [_, ..]) => WITHOUT_PLACEMENT,
            (false, []) => WITHOUT_DELETED,
        }
    }
}

/// The whole file.
///
/// # Panics
/// For a topic that [`decode`] would refuse: the table checks what it takes in.
pub fn encode(table: &TopicsFile) -> Bytes {
    let version = table.version();
    let mut file = Sealer::new(TOPICS_KIND, version);
    let body = file.body();
    if version > WITHOUT_DELETED {
        body.put_u32_le(table.deleted.len() as u32);
    }
    for topic in &table.deleted {
        assert!(
            check_topic_name(&topic.name).is_ok() && !topic.partitions.is_empty(),
            "it was a valid topic"
        );
        let row = DeletedRow {
            id: topic.id.to_bytes(),
            partitions: U32::new(topic.partitions.end - topic.partitions.start),
            name_bytes: U16::new(topic.name.len() as u16),
        };
        body.put_slice(row.as_bytes());
        if version > WITHOUT_PLACEMENT {
            body.put_u32_le(topic.partitions.start);
        }
        body.put_slice(topic.name.as_bytes());
    }
    for topic in &table.topics {
        encode_topic(body, topic);
        if version > WITHOUT_PLACEMENT {
            encode_placement(body, topic);
        }
    }
    file.finish()
}

fn encode_topic(body: &mut impl BufMut, topic: &TopicRecord) {
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

fn encode_placement(body: &mut impl BufMut, topic: &TopicRecord) {
    let kind = match &topic.placement {
        Placement::All(_) => ALL,
        Placement::These(_) => THESE,
    };
    let replicas = topic.placement.listed();
    let row = PlacementRow { kind, replica_count: U32::new(replicas.len() as u32) };
    body.put_slice(row.as_bytes());
    for (index, Replica { role, epoch }) in replicas {
        assert!(*index < topic.partitions && *epoch >= LeaderEpoch::FIRST, "a partition of the topic");
        let role = match role {
            Role::Leader => LEADER,
            Role::Follower => FOLLOWER,
        };
        let row = ReplicaRow { partition: U32::new(*index), epoch: I32::new(epoch.0), role };
        body.put_slice(row.as_bytes());
    }
}

/// Reads a whole file of any version.
///
/// # Errors
/// [`EnvelopeError`]; `Body` also for a name, a partition count, a key or a replica that no topic can have,
/// for a version that says no more than an older one could, and for a deleted topic whose name another topic
/// has: its directories would be taken for the deleted one's.
pub fn decode(bytes: &[u8]) -> Result<TopicsFile, EnvelopeError> {
    let (version, mut body) = envelope::open_upto(TOPICS_KIND, TOPICS_VERSION, bytes)?;
    let mut file = TopicsFile::default();
    if version > WITHOUT_DELETED {
        let count = body.row::<U32>()?.get();
        // The count is not trusted with memory: the list grows only by what was read.
        for _ in 0..count {
            file.deleted.push(decode_deleted(&mut body, version)?);
        }
    }
    let deleted: BTreeSet<&str> = file.deleted.iter().map(|topic| &*topic.name).collect();
    while !body.is_empty() {
        let mut topic = decode_topic(&mut body)?;
        if version > WITHOUT_PLACEMENT {
            topic.placement = decode_placement(&mut body, topic.partitions)?;
        }
        if deleted.contains(&*topic.name) {
            return Err(body.malformed());
        }
        file.topics.push(topic);
    }
    if file.version() == version { Ok(file) } else { Err(body.malformed()) }
}

fn decode_deleted(body: &mut Body<'_>, version: u16) -> Result<DeletedTopic, EnvelopeError> {
    let row = body.row::<DeletedRow>()?;
    let first = if version > WITHOUT_PLACEMENT { body.row::<U32>()?.get() } else { 0 };
    let name = body.text(usize::from(row.name_bytes.get()))?;
    let end = first.checked_add(row.partitions.get()).filter(|end| *end > first);
    let end = end.filter(|_| check_topic_name(name).is_ok()).ok_or_else(|| body.malformed())?;
    Ok(DeletedTopic { name: name.to_owned(), id: TopicId::from_bytes(row.id), partitions: first..end })
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
        placement: Placement::ALONE,
    })
}

fn decode_placement(body: &mut Body<'_>, partitions: u32) -> Result<Placement, EnvelopeError> {
    let row = body.row::<PlacementRow>()?;
    let mut replicas = BTreeMap::new();
    // The count is not trusted with memory: the map grows only by what was read.
    for _ in 0..row.replica_count.get() {
        let row = body.row::<ReplicaRow>()?;
        let (index, epoch) = (row.partition.get(), LeaderEpoch(row.epoch.get()));
        let role = match row.role {
            LEADER => Role::Leader,
            FOLLOWER => Role::Follower,
            _ => return Err(body.malformed()),
        };
        let ascends = replicas.last_key_value().is_none_or(|(last, _)| *last < index);
        if !ascends || index >= partitions || epoch < LeaderEpoch::FIRST {
            return Err(body.malformed());
        }
        replicas.insert(index, Replica { role, epoch });
    }
    match row.kind {
        ALL => Ok(Placement::All(replicas)),
        THESE => Ok(Placement::These(replicas)),
        _ => Err(body.malformed()),
    }
}
