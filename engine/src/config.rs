//! The settings of an engine and of a topic.
//!
//! Topic settings carry Kafka's names, types, defaults and bounds, declared once in [`TOPIC_CONFIGS`]: parsing, the defaults and
//! what a front shows all come from that table. There is one default that differs from Kafka's: `flush.messages` is 1, since
//! an acknowledged record is durable here unless the topic says otherwise (see `docs/decisions/`).

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::compaction;
use crate::format::batch::TimestampType;
use crate::format::check::CheckRules;
use crate::types::{NO_TIMESTAMP, Timestamp};

/// The most shards an engine has.
pub const SHARDS_MAX: usize = 256;

/// The most partitions a topic has.
pub const PARTITIONS_MAX: u32 = 100_000;

/// How an engine is started.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// Where everything is kept. Made when it is not there.
    pub data_dir: PathBuf,
    /// Number of threads that own partitions, 1 to [`SHARDS_MAX`]. May differ from one start to the next.
    pub shards: usize,
    /// Whether each shard's thread is pinned to a core of its own. Off for tests that share a machine.
    pub pin_threads: bool,
    /// Largest size of one journal file in bytes; a shard has three. They start at 1 MiB and grow with the load.
    pub journal_file_bytes_max: u64,
    /// Files that stay open in each shard.
    pub open_files_max: usize,
    /// How often each shard looks for records that are kept for long enough.
    pub retention_check: Duration,
    /// How compacted topics are cleaned.
    pub cleaner: CleanerConfig,
    /// What a topic gets where its own configuration is silent.
    pub topic_defaults: TopicDefaults,
}

/// How much compaction may take, of the whole engine.
#[derive(Clone, Debug)]
pub struct CleanerConfig {
    /// How long a shard waits that has found nothing to compact (`log.cleaner.backoff.ms`).
    pub backoff: Duration,
    /// Bytes of memory for offset maps, all shards together (`log.cleaner.dedupe.buffer.size`). A map takes 24 bytes a key, and is there
    /// during a round only.
    pub map_bytes: usize,
    /// Bytes that are read and written in a second, all shards together (`log.cleaner.io.max.bytes.per.second`).
    pub bytes_per_second: f64,
}

impl Default for CleanerConfig {
    fn default() -> CleanerConfig {
        CleanerConfig { backoff: Duration::from_secs(15), map_bytes: 128 << 20, bytes_per_second: f64::MAX }
    }
}

impl EngineConfig {
    /// The defaults, with data in `data_dir`: as many shards as the machine has cores.
    pub fn new(data_dir: impl Into<PathBuf>) -> EngineConfig {
        EngineConfig {
            data_dir: data_dir.into(),
            shards: std::thread::available_parallelism().map_or(1, |cores| cores.get().min(SHARDS_MAX)),
            pin_threads: true,
            journal_file_bytes_max: 64 << 20,
            open_files_max: 4096,
            retention_check: Duration::from_secs(300),
            cleaner: CleanerConfig::default(),
            topic_defaults: TopicDefaults::default(),
        }
    }
}

/// The type of a setting's value, as Kafka's clients are told it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigKind {
    /// `true` or `false`.
    Bool,
    /// A whole number of 32 bits.
    Int,
    /// A whole number of 64 bits.
    Long,
    /// A number with a fraction.
    Double,
    /// One word of a set.
    Text,
    /// Words of a set, with commas between them.
    List,
}

/// What a setting's value must be.
#[derive(Clone, Copy, Debug)]
pub enum ConfigBounds {
    /// A whole number from the first to the second.
    Whole(i64, i64),
    /// A number from the first to the second.
    Fraction(f64, f64),
    /// One of these words; of a [`ConfigKind::List`], any of them.
    Words(&'static [&'static str]),
    /// Anything.
    Any,
}

/// One topic setting, as declared.
#[derive(Debug)]
pub struct TopicConfigEntry {
    /// Kafka's name.
    pub name: &'static str,
    /// The broker setting that gives the default for all topics.
    pub broker_name: &'static str,
    /// The value's type.
    pub kind: ConfigKind,
    /// The default when neither topic nor broker say otherwise.
    pub default: &'static str,
    /// What a value must be.
    pub bounds: ConfigBounds,
    /// What it does, for people.
    pub doc: &'static str,
}

const NEVER: &str = "9223372036854775807";
const COMPRESSION: &[&str] = &["producer", "uncompressed", "gzip", "snappy", "lz4", "zstd"];

macro_rules! entries {
    ($($name:literal ($broker:literal) $kind:ident = $default:expr, $bounds:expr; $doc:literal)*) => {
        /// Every topic setting, by name.
        pub const TOPIC_CONFIGS: &[TopicConfigEntry] = &[$(TopicConfigEntry {
            name: $name, broker_name: $broker, kind: ConfigKind::$kind, default: $default, bounds: $bounds, doc: $doc,
        }),*];
    };
}

use ConfigBounds::{Any, Fraction, Whole, Words};

entries! {
    "cleanup.policy" ("log.cleanup.policy") List = "delete", Words(&["delete", "compact"]);
        "What happens to old records: they are deleted, or all but the newest of each key are, or both; empty keeps them all."
    "compression.gzip.level" ("compression.gzip.level") Int = "-1", Whole(-1, 9); "Level of gzip."
    "compression.lz4.level" ("compression.lz4.level") Int = "9", Whole(1, 17); "Level of lz4."
    "compression.type" ("compression.type") Text = "producer", Words(COMPRESSION);
        "The codec that records are kept in; 'producer' keeps what the producer sent."
    "compression.zstd.level" ("compression.zstd.level") Int = "3", Whole(-131_072, 22); "Level of zstd."
    "delete.retention.ms" ("log.cleaner.delete.retention.ms") Long = "86400000", Whole(0, i64::MAX);
        "How long a compacted topic keeps tombstones."
    "file.delete.delay.ms" ("log.segment.delete.delay.ms") Long = "60000", Whole(0, i64::MAX);
        "Accepted; the file of a dropped segment is removed at once, and stays for those who are reading it."
    "flush.messages" ("log.flush.interval.messages") Long = "1", Whole(1, i64::MAX);
        "1: every append is durable before it is acknowledged. More: appends are acknowledged at once and synced after so many records."
    "flush.ms" ("log.flush.interval.ms") Long = NEVER, Whole(0, i64::MAX);
        "Where flush.messages is above 1: appends are synced after so many milliseconds."
    "follower.replication.throttled.replicas" ("follower.replication.throttled.replicas") List = "", Any;
        "Accepted for tools; a single node replicates nothing."
    "index.interval.bytes" ("log.index.interval.bytes") Int = "4096", Whole(0, i32::MAX as i64);
        "Distance of two entries of a segment's index."
    "leader.replication.throttled.replicas" ("leader.replication.throttled.replicas") List = "", Any;
        "Accepted for tools; a single node replicates nothing."
    "max.compaction.lag.ms" ("log.cleaner.max.compaction.lag.ms") Long = NEVER, Whole(1, i64::MAX);
        "Longest time that a record waits for compaction."
    "max.message.bytes" ("message.max.bytes") Int = "1048588", Whole(0, i32::MAX as i64);
        "Largest record batch, as it is sent."
    "message.timestamp.after.max.ms" ("log.message.timestamp.after.max.ms") Long = "3600000", Whole(0, i64::MAX);
        "How far in the future a record's timestamp may lie."
    "message.timestamp.before.max.ms" ("log.message.timestamp.before.max.ms") Long = NEVER, Whole(0, i64::MAX);
        "How far in the past a record's timestamp may lie."
    "message.timestamp.type" ("log.message.timestamp.type") Text = "CreateTime", Words(&["CreateTime", "LogAppendTime"]);
        "Whose clock a record's timestamp comes from."
    "min.cleanable.dirty.ratio" ("log.cleaner.min.cleanable.ratio") Double = "0.5", Fraction(0.0, 1.0);
        "Share of uncompacted bytes from which on a log is compacted."
    "min.compaction.lag.ms" ("log.cleaner.min.compaction.lag.ms") Long = "0", Whole(0, i64::MAX);
        "Shortest time that a record stays uncompacted."
    "min.insync.replicas" ("min.insync.replicas") Int = "1", Whole(1, i32::MAX as i64);
        "Replicas that acks=all waits for; never more than the topic has."
    "preallocate" ("log.preallocate") Bool = "false", Any; "Accepted; segments grow as they are written."
    "retention.bytes" ("log.retention.bytes") Long = "-1", Whole(-1, i64::MAX);
        "Bytes that a partition keeps: the oldest segment goes when the others have as many; -1 for no limit."
    "retention.ms" ("log.retention.ms") Long = "604800000", Whole(-1, i64::MAX);
        "Time that a record is kept: a segment goes when its newest timestamp is older; -1 for no limit."
    "segment.bytes" ("log.segment.bytes") Int = "1073741824", Whole(1 << 20, i32::MAX as i64);
        "Size at which a segment is closed and the next one begins."
    "segment.index.bytes" ("log.index.size.max.bytes") Int = "10485760", Whole(4, i32::MAX as i64);
        "Accepted; an index is as large as its segment makes it."
    "segment.jitter.ms" ("log.roll.jitter.ms") Long = "0", Whole(0, i64::MAX);
        "Accepted; a segment is closed at segment.ms exactly."
    "segment.ms" ("log.roll.ms") Long = "604800000", Whole(1, i64::MAX);
        "Age, by the records' timestamps, at which a segment is closed."
    "unclean.leader.election.enable" ("unclean.leader.election.enable") Bool = "false", Any;
        "Accepted for tools; a single node elects nobody."
}

/// Why a setting was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// No setting of that name.
    #[error("unknown topic config name: {name}")]
    UnknownName {
        /// The name.
        name: String,
    },
    /// The setting does not take this value.
    #[error("invalid value {value} for configuration {name}: {expected}")]
    BadValue {
        /// The setting.
        name: &'static str,
        /// The value.
        value: String,
        /// What it takes.
        expected: String,
    },
    /// Words were to be added to it or taken out of it.
    #[error("{name} is not a list")]
    NotAList {
        /// The setting.
        name: &'static str,
    },
}

/// The declaration of the topic setting `name`.
pub fn topic_config_entry(name: &str) -> Result<&'static TopicConfigEntry, ConfigError> {
    TOPIC_CONFIGS
        .iter()
        .find(|entry| entry.name == name)
        .ok_or_else(|| ConfigError::UnknownName { name: name.to_owned() })
}

impl TopicConfigEntry {
    /// Whether the setting takes `value`.
    pub fn check(&self, value: &str) -> Result<(), ConfigError> {
        let bad =
            |expected: String| ConfigError::BadValue { name: self.name, value: value.to_owned(), expected };
        match self.bounds {
            Any if self.kind == ConfigKind::Bool => match value {
                "true" | "false" => Ok(()),
                _ => Err(bad("true or false".to_owned())),
            },
            Any => Ok(()),
            Whole(least, most) => match value.trim().parse::<i64>() {
                Ok(number) if (least..=most).contains(&number) => Ok(()),
                _ => Err(bad(format!("a whole number from {least} to {most}"))),
            },
            Fraction(least, most) => match value.trim().parse::<f64>() {
                Ok(number) if (least..=most).contains(&number) => Ok(()),
                _ => Err(bad(format!("a number from {least} to {most}"))),
            },
            Words(words) => {
                let known = |word: &str| words.contains(&word);
                let good = match self.kind {
                    ConfigKind::List => words_of(value).all(known),
                    _ => known(value),
                };
                if good { Ok(()) } else { Err(bad(format!("one of {}", words.join(", ")))) }
            }
        }
    }
}

/// The words of a list; an empty list has none.
pub(crate) fn words_of(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim).filter(|word| !word.is_empty())
}

/// The defaults for all topics: the table's, with what the operator has set in their place.
#[derive(Clone, Debug, Default)]
pub struct TopicDefaults {
    set: BTreeMap<&'static str, String>,
}

impl TopicDefaults {
    /// Sets the default of the topic setting `name`.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), ConfigError> {
        let entry = topic_config_entry(name)?;
        entry.check(value)?;
        self.set.insert(entry.name, value.trim().to_owned());
        Ok(())
    }

    /// Sets a default outside of its bounds: tests want segments that a few batches fill.
    #[cfg(test)]
    pub(crate) fn set_unchecked(&mut self, name: &str, value: &str) {
        self.set.insert(topic_config_entry(name).expect("a name of the table").name, value.to_owned());
    }

    /// The value in force for a topic that says nothing itself, and whether the operator set it.
    pub fn get(&self, entry: &'static TopicConfigEntry) -> (&str, bool) {
        match self.set.get(entry.name) {
            Some(value) => (value, true),
            None => (entry.default, false),
        }
    }
}

/// What a partition keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Milliseconds that a record is kept; `None` for ever.
    pub age_ms: Option<i64>,
    /// Bytes that are kept; `None` for any number.
    pub bytes: Option<u64>,
}

impl Limits {
    /// Whether everything is kept.
    pub fn is_none(&self) -> bool {
        *self == Limits::default()
    }

    /// Whether a segment whose newest record has this timestamp has been kept for long enough at `now`.
    pub fn is_expired(&self, max_timestamp: Timestamp, now: Timestamp) -> bool {
        let age = now.saturating_sub(max_timestamp);
        max_timestamp != NO_TIMESTAMP && self.age_ms.is_some_and(|limit| age > limit)
    }
}

/// A topic's settings as the engine uses them.
#[derive(Clone, Debug, PartialEq)]
pub struct TopicConfig {
    /// Largest record batch in bytes.
    pub max_message_bytes: usize,
    /// Bytes at which a segment is closed.
    pub segment_bytes: u64,
    /// Span of record timestamps at which a segment is closed, in milliseconds.
    pub segment_ms: i64,
    /// Bytes between two entries of a segment's index.
    pub index_interval_bytes: u64,
    /// Whose clock the timestamps come from.
    pub timestamp_type: TimestampType,
    /// How far back a timestamp may lie, in milliseconds.
    pub timestamp_before_max_ms: i64,
    /// How far ahead a timestamp may lie, in milliseconds.
    pub timestamp_after_max_ms: i64,
    /// Whether the log is compacted, so that every record needs a key.
    pub compacted: bool,
    /// Whether old records are deleted, by time and size.
    pub deleted: bool,
    /// Milliseconds that a record is kept where `deleted`; `None` for no limit.
    pub retention_ms: Option<i64>,
    /// Bytes that a partition keeps where `deleted`; `None` for no limit.
    pub retention_bytes: Option<u64>,
    /// When a compacted log is due.
    pub compaction: compaction::Limits,
    /// Milliseconds that a compacted log keeps tombstones.
    pub delete_retention_ms: i64,
    /// Records after which a sync follows; 1 for durable before acknowledged.
    pub flush_messages: u64,
    /// Milliseconds after which a sync follows where `flush_messages` is above 1.
    pub flush_ms: u64,
}

impl TopicConfig {
    /// The settings of a topic that sets `own` itself.
    pub fn resolve(defaults: &TopicDefaults, own: &[(String, String)]) -> Result<TopicConfig, ConfigError> {
        for (name, value) in own {
            topic_config_entry(name)?.check(value)?;
        }
        let text = |name: &'static str| -> &str {
            let entry = topic_config_entry(name).expect("a name of the table");
            match own.iter().rev().find(|(key, _)| key == name) {
                Some((_, value)) => value.trim(),
                None => defaults.get(entry).0,
            }
        };
        let whole = |name: &'static str| -> i64 { text(name).parse().expect("checked against the table") };
        Ok(TopicConfig {
            max_message_bytes: whole("max.message.bytes") as usize,
            segment_bytes: whole("segment.bytes") as u64,
            segment_ms: whole("segment.ms"),
            index_interval_bytes: whole("index.interval.bytes") as u64,
            timestamp_type: match text("message.timestamp.type") {
                "LogAppendTime" => TimestampType::LogAppendTime,
                _ => TimestampType::CreateTime,
            },
            timestamp_before_max_ms: whole("message.timestamp.before.max.ms"),
            timestamp_after_max_ms: whole("message.timestamp.after.max.ms"),
            compacted: words_of(text("cleanup.policy")).any(|policy| policy == "compact"),
            deleted: words_of(text("cleanup.policy")).any(|policy| policy == "delete"),
            retention_ms: Some(whole("retention.ms")).filter(|limit| *limit >= 0),
            retention_bytes: u64::try_from(whole("retention.bytes")).ok(),
            compaction: compaction::Limits {
                dirty_ratio_min: text("min.cleanable.dirty.ratio")
                    .parse()
                    .expect("checked against the table"),
                lag_min_ms: whole("min.compaction.lag.ms"),
                lag_max_ms: whole("max.compaction.lag.ms"),
            },
            delete_retention_ms: whole("delete.retention.ms"),
            flush_messages: whole("flush.messages") as u64,
            flush_ms: whole("flush.ms") as u64,
        })
    }

    /// Whether an append is durable before it is acknowledged.
    pub fn is_durable(&self) -> bool {
        self.flush_messages == 1
    }

    /// Span of record timestamps at which a segment is closed, in milliseconds. Only closed segments are compacted, so the longest lag of
    /// compaction closes them, too.
    pub fn roll_ms(&self) -> i64 {
        if self.compacted { self.segment_ms.min(self.compaction.lag_max_ms) } else { self.segment_ms }
    }

    /// What is kept: without a limit where the cleanup policy does not delete.
    pub fn limits(&self) -> Limits {
        match self.deleted {
            true => Limits { age_ms: self.retention_ms, bytes: self.retention_bytes },
            false => Limits::default(),
        }
    }

    /// The rules that a batch must keep at `now`.
    pub fn check_rules(&self, now: Timestamp) -> CheckRules {
        CheckRules {
            bytes_max: self.max_message_bytes,
            keys_required: self.compacted,
            timestamp_type: self.timestamp_type,
            before_max_ms: self.timestamp_before_max_ms,
            after_max_ms: self.timestamp_after_max_ms,
            now,
            decompressed_bytes_max: DECOMPRESSED_BYTES_MAX,
        }
    }
}

/// Most bytes that one batch may decompress to: above it the batch is refused as a bomb. Kafka has no such bound; 256 times the
/// default `max.message.bytes` leaves room for every honest batch.
pub const DECOMPRESSED_BYTES_MAX: usize = 256 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_passes_its_own_check() {
        for entry in TOPIC_CONFIGS {
            entry.check(entry.default).unwrap_or_else(|error| panic!("{error}"));
        }
        TopicConfig::resolve(&TopicDefaults::default(), &[]).unwrap();
    }

    #[test]
    fn a_topic_overrides_the_operator_who_overrides_the_table() {
        let mut defaults = TopicDefaults::default();
        defaults.set("segment.bytes", "2097152").unwrap();
        defaults.set("flush.messages", "100").unwrap();
        let own = [("segment.bytes".to_owned(), "4194304".to_owned())];
        let config = TopicConfig::resolve(&defaults, &own).unwrap();
        assert_eq!(config.segment_bytes, 4 << 20);
        assert_eq!(config.flush_messages, 100);
        assert!(!config.is_durable());
    }

    #[test]
    fn the_longest_lag_closes_the_segments_of_a_compacted_topic() {
        let roll_ms = |policy: &str| {
            let own = [("cleanup.policy", policy), ("segment.ms", "500"), ("max.compaction.lag.ms", "300")];
            let own = own.map(|(name, value)| (name.to_owned(), value.to_owned()));
            TopicConfig::resolve(&TopicDefaults::default(), &own).unwrap().roll_ms()
        };
        assert_eq!((roll_ms("delete"), roll_ms("compact"), roll_ms("compact,delete")), (500, 300, 300));
    }

    #[test]
    fn a_refusal_names_the_setting_and_what_it_takes() {
        let refused = |name: &str, value: &str| {
            TopicConfig::resolve(&TopicDefaults::default(), &[(name.to_owned(), value.to_owned())])
                .unwrap_err()
                .to_string()
        };
        assert_eq!(refused("segment.byte", "1"), "unknown topic config name: segment.byte");
        assert_eq!(
            refused("segment.bytes", "12"),
            "invalid value 12 for configuration segment.bytes: a whole number from 1048576 to 2147483647"
        );
        assert_eq!(
            refused("cleanup.policy", "delete,shred"),
            "invalid value delete,shred for configuration cleanup.policy: one of delete, compact"
        );
    }
}
