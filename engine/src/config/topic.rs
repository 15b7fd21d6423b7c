//! The settings of a topic.
//!
//! They carry Kafka's names, types, defaults and bounds, declared once in [`TOPIC_CONFIGS`]: parsing, the
//! defaults and what a front shows all come from that table. There is one default that differs from Kafka's:
//! `flush.messages` is 1, since an acknowledged record is durable here unless the topic says otherwise (see
//! `docs/decisions/`).

use std::collections::BTreeMap;

use super::value::{self, ConfigBounds, ConfigKind};
use super::{Allowed, ConfigError, TopicDefaults};
use crate::format::batch::TimestampType;
use crate::format::check::{CheckRules, Repack};
use crate::format::compression::{Codec, Packing};
use crate::types::Timestamp;

/// When the value of a broker setting may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigMode {
    /// It is read when the broker starts, and at no other time.
    ReadOnly,
    /// While the broker runs, for one broker at a time.
    PerBroker,
    /// While the broker runs, for one broker or for all.
    Dynamic,
}

/// One setting, as declared.
#[derive(Debug)]
pub struct TopicConfigEntry {
    /// Kafka's name.
    pub name: &'static str,
    /// The broker setting that gives the default for all topics; `None` where only a topic itself has it.
    pub broker_name: Option<&'static str>,
    /// The value's type.
    pub kind: ConfigKind,
    /// The default when neither topic nor broker say otherwise; `None` for no value at all, which settings of
    /// topics never have.
    pub default: Option<&'static str>,
    /// What a value must be.
    pub bounds: ConfigBounds,
    /// When the broker setting may change. A topic's own may at any time.
    pub mode: ConfigMode,
    /// Whether it does anything here. One that does not is known, checked and shown like any other.
    pub has_effect: bool,
    /// What it does, for people; of one without an effect, why it has none.
    pub doc: &'static str,
}

const NEVER: &str = "9223372036854775807";
const COMPRESSION: &[&str] = &["producer", "uncompressed", "gzip", "snappy", "lz4", "zstd"];

macro_rules! has_effect {
    () => {
        true
    };
    (nothing) => {
        false
    };
}

macro_rules! broker_name {
    () => {
        None
    };
    ($name:literal) => {
        Some($name)
    };
}

macro_rules! entries {
    ($($name:literal ($($broker:literal)?) $kind:ident = $default:expr, $bounds:expr; $($nothing:ident)? $doc:literal)*) => {
        /// Every topic setting, by name. Those marked `nothing` have no effect.
        pub const TOPIC_CONFIGS: &[TopicConfigEntry] = &[$(TopicConfigEntry {
            name: $name,
            broker_name: broker_name!($($broker)?),
            kind: ConfigKind::$kind,
            default: Some($default),
            bounds: $bounds,
            mode: ConfigMode::Dynamic,
            has_effect: has_effect!($($nothing)?),
            doc: $doc,
        }),*];
    };
}

use ConfigBounds::{Any, Fraction, Only, Replicas, Whole, WholeOr, Words};

entries! {
    "cleanup.policy" ("log.cleanup.policy") List = "delete", Words(&["delete", "compact"]);
        "What happens to old records: they are deleted, or all but the newest of each key are, or both; empty keeps them all."
    "compression.gzip.level" ("compression.gzip.level") Int = "-1", WholeOr(-1, 1, 9);
        "Level of gzip, where the broker packs records: for compression.type=gzip, and when a log is compacted; -1 for gzip's own default."
    "compression.lz4.level" ("compression.lz4.level") Int = "9", Whole(1, 17);
        "Level of lz4, where the broker packs records: for compression.type=lz4, and when a log is compacted; 9 is the fast compressor, any other the slow one."
    "compression.type" ("compression.type") Text = "producer", Words(COMPRESSION);
        "The codec that records are kept in: what comes in another one is packed anew. 'producer' keeps what the producer sent."
    "compression.zstd.level" ("compression.zstd.level") Int = "3", Whole(-131_072, 22);
        "Level of zstd, where the broker packs records: for compression.type=zstd, and when a log is compacted."
    "delete.retention.ms" ("log.cleaner.delete.retention.ms") Long = "86400000", Whole(0, i64::MAX);
        "How long a compacted topic keeps tombstones."
    "errors.deadletterqueue.group.enable" () Bool = "false", Any;
        "Whether the topic may be the dead letter queue of a share group (KIP-1191)."
    "file.delete.delay.ms" ("log.segment.delete.delay.ms") Long = "60000", Whole(0, i64::MAX);
        nothing "the file of a dropped segment is removed at once, and stays for those who are reading it"
    "flush.messages" ("log.flush.interval.messages") Long = "1", Whole(1, i64::MAX);
        "1: every append is durable before it is acknowledged. More: appends are acknowledged at once and synced after so many records."
    "flush.ms" ("log.flush.interval.ms") Long = NEVER, Whole(0, i64::MAX);
        "Where flush.messages is above 1: appends are synced after so many milliseconds."
    "follower.replication.throttled.replicas" () List = "", Replicas; nothing "a single node replicates nothing"
    "index.interval.bytes" ("log.index.interval.bytes") Int = "4096", Whole(0, i32::MAX as i64);
        "Distance of two entries of a segment's index."
    "leader.replication.throttled.replicas" () List = "", Replicas; nothing "a single node replicates nothing"
    "local.retention.bytes" ("log.local.retention.bytes") Long = "-2", Whole(-2, i64::MAX);
        nothing "there is no tiered storage, all of a log is local"
    "local.retention.ms" ("log.local.retention.ms") Long = "-2", Whole(-2, i64::MAX);
        nothing "there is no tiered storage, all of a log is local"
    "max.compaction.lag.ms" ("log.cleaner.max.compaction.lag.ms") Long = NEVER, Whole(1, i64::MAX);
        "Longest time that a record waits for compaction."
    "max.decompressed.message.bytes" ("max.decompressed.message.bytes") Int = "2147483639", Whole(1, 2_147_483_639);
        "Most bytes that a compressed batch unpacks to; never more than 268435456."
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
        nothing "acks=all waits for the replicas that a topic has, and it has one"
    "preallocate" ("log.preallocate") Bool = "false", Any; nothing "segments grow as they are written"
    "remote.copy.lag.bytes" ("log.remote.copy.lag.bytes") Long = "-1", Whole(-1, i64::MAX);
        nothing "there is no tiered storage"
    "remote.copy.lag.ms" ("log.remote.copy.lag.ms") Long = "0", Whole(-1, i64::MAX);
        nothing "there is no tiered storage"
    "remote.log.copy.disable" () Bool = "false", Any; nothing "there is no tiered storage"
    "remote.log.delete.on.disable" () Bool = "false", Any; nothing "there is no tiered storage"
    "remote.storage.enable" () Bool = "false", Only("false", "there is no tiered storage");
        nothing "there is no tiered storage"
    "retention.bytes" ("log.retention.bytes") Long = "-1", Whole(-1, i64::MAX);
        "Bytes that a partition keeps: the oldest segment goes when the others have as many; -1 for no limit."
    "retention.ms" ("log.retention.ms") Long = "604800000", Whole(-1, i64::MAX);
        "Time that a record is kept: a segment goes when its newest timestamp is older; -1 for no limit."
    "segment.bytes" ("log.segment.bytes") Int = "1073741824", Whole(1 << 20, i32::MAX as i64);
        "Size at which a segment is closed and the next one begins."
    "segment.index.bytes" ("log.index.size.max.bytes") Int = "10485760", Whole(4, i32::MAX as i64);
        nothing "an index is as large as its segment makes it"
    "segment.jitter.ms" ("log.roll.jitter.ms") Long = "0", Whole(0, i64::MAX);
        "By how much of segment.ms a segment is closed earlier at most; how much it is differs from segment to segment."
    "segment.ms" ("log.roll.ms") Long = "604800000", Whole(1, i64::MAX);
        "Age, by the records' timestamps, at which a segment is closed."
    "unclean.leader.election.enable" ("unclean.leader.election.enable") Bool = "false", Any;
        nothing "a single node elects nobody"
}

/// The declaration of the topic setting `name`.
pub fn topic_config_entry(name: &str) -> Result<&'static TopicConfigEntry, ConfigError> {
    TOPIC_CONFIGS
        .iter()
        .find(|entry| entry.name == name)
        .ok_or_else(|| ConfigError::UnknownName { name: name.to_owned() })
}

impl TopicConfigEntry {
    /// The value in the form in which it is kept and shown: read and written as Kafka does. A secret that
    /// nothing uses is not kept.
    ///
    /// # Errors
    /// [`ConfigError::BadValue`] when the setting does not take it.
    pub fn canonical(&self, value: &str) -> Result<String, ConfigError> {
        let expected = self.allowed();
        let bad = || ConfigError::BadValue { name: self.name, value: value.to_owned(), expected };
        value::canonical(self.kind, self.bounds, value).ok_or_else(bad)
    }

    /// As [`TopicConfigEntry::canonical`], of a value that an earlier version may have kept. Those passed
    /// over the empty words of a list: `compact,` was a cleanup policy, and still is.
    pub(crate) fn canonical_of_earlier(&self, value: &str) -> Result<String, ConfigError> {
        match self.canonical(value) {
            Err(_) if self.kind == ConfigKind::List => {
                self.canonical(&words_of(value).collect::<Vec<_>>().join(","))
            }
            result => result,
        }
    }

    /// What the setting takes.
    pub fn allowed(&self) -> Allowed {
        Allowed::Declared(self.kind, self.bounds)
    }

    /// What people are told about it.
    pub fn documentation(&self) -> String {
        match self.has_effect {
            true => self.doc.to_owned(),
            false => format!("has no effect here: {}", self.doc),
        }
    }
}

/// The words of a list; an empty list has none.
pub(crate) fn words_of(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim).filter(|word| !word.is_empty())
}

/// What a partition keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RetentionLimits {
    /// Milliseconds that a record is kept; `None` for ever.
    pub age_ms: Option<i64>,
    /// Bytes that are kept; `None` for any number.
    pub bytes: Option<u64>,
}

impl RetentionLimits {
    /// Whether everything is kept.
    pub fn is_none(&self) -> bool {
        *self == RetentionLimits::default()
    }

    /// Whether a segment whose newest record has this timestamp has been kept for long enough at `now`.
    pub fn is_expired(&self, max_timestamp: Timestamp, now: Timestamp) -> bool {
        let age = now.since(max_timestamp);
        max_timestamp != Timestamp::NONE && self.age_ms.is_some_and(|limit| age > limit)
    }
}

/// A topic's settings for compaction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CompactionLimits {
    /// The share of dirty bytes that a round needs to be exceeded (`min.cleanable.dirty.ratio`), 0 to 1.
    pub dirty_ratio_min: f64,
    /// Milliseconds that a record stays uncompacted at least (`min.compaction.lag.ms`).
    pub lag_min_ms: i64,
    /// Milliseconds after which a record waits for no ratio (`max.compaction.lag.ms`).
    pub lag_max_ms: i64,
}

/// How thoroughly each codec packs, where it knows levels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CompressionLevels {
    /// Of gzip (`compression.gzip.level`); `None` for its own default.
    pub gzip: Option<i32>,
    /// Of lz4 (`compression.lz4.level`); `None` for the fast compressor, which Kafka's default, 9, asks for.
    pub lz4: Option<i32>,
    /// Of zstd (`compression.zstd.level`); `None` for its own default.
    pub zstd: Option<i32>,
}

impl CompressionLevels {
    /// How a codec packs.
    pub fn packing(&self, codec: Codec) -> Packing {
        let level = match codec {
            Codec::Gzip => self.gzip,
            Codec::Lz4 => self.lz4,
            Codec::Zstd => self.zstd,
            Codec::None | Codec::Snappy => None,
        };
        Packing { codec, level }
    }
}

/// A topic's settings as the engine uses them.
#[derive(Clone, Debug, PartialEq)]
pub struct TopicConfig {
    /// Largest record batch in bytes.
    pub max_message_bytes: usize,
    /// Most bytes that a compressed batch unpacks to.
    pub max_decompressed_bytes: usize,
    /// Bytes at which a segment is closed.
    pub segment_bytes: u64,
    /// Span of record timestamps at which a segment is closed, in milliseconds.
    pub segment_ms: i64,
    /// By how much earlier than that it may be closed, in milliseconds.
    pub segment_jitter_ms: i64,
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
    pub compaction: CompactionLimits,
    /// Milliseconds that a compacted log keeps tombstones.
    pub delete_retention_ms: i64,
    /// What records are kept in; `None` for what the producer has sent.
    pub compression: Option<Codec>,
    /// How thoroughly each codec packs.
    pub levels: CompressionLevels,
    /// Records after which a sync follows; 1 for durable before acknowledged.
    pub flush_messages: u64,
    /// Milliseconds after which a sync follows where `flush_messages` is above 1.
    pub flush_ms: u64,
}

impl TopicConfig {
    /// The settings of a topic that sets `own` itself.
    pub fn resolve(defaults: &TopicDefaults, own: &[(String, String)]) -> Result<TopicConfig, ConfigError> {
        let mut checked = BTreeMap::new();
        for (name, value) in own {
            checked.insert(name.as_str(), topic_config_entry(name)?.canonical(value)?);
        }
        let text = |name: &'static str| -> &str {
            let entry = topic_config_entry(name).expect("a name of the table");
            checked.get(name).map_or_else(|| defaults.get(entry), String::as_str)
        };
        let whole = |name: &'static str| -> i64 { text(name).parse().expect("checked against the table") };
        Ok(TopicConfig {
            max_message_bytes: whole("max.message.bytes") as usize,
            max_decompressed_bytes: whole("max.decompressed.message.bytes") as usize,
            segment_bytes: whole("segment.bytes") as u64,
            segment_ms: whole("segment.ms"),
            segment_jitter_ms: whole("segment.jitter.ms"),
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
            compaction: CompactionLimits {
                dirty_ratio_min: text("min.cleanable.dirty.ratio")
                    .parse()
                    .expect("checked against the table"),
                lag_min_ms: whole("min.compaction.lag.ms"),
                lag_max_ms: whole("max.compaction.lag.ms"),
            },
            delete_retention_ms: whole("delete.retention.ms"),
            compression: match text("compression.type") {
                "uncompressed" => Some(Codec::None),
                // `producer`, the one word that is not a codec's name.
                name => Codec::ALL.into_iter().find(|codec| codec.name() == name),
            },
            levels: CompressionLevels {
                gzip: Some(whole("compression.gzip.level") as i32).filter(|level| *level >= 0),
                lz4: Some(whole("compression.lz4.level") as i32).filter(|level| *level != LZ4_FAST_LEVEL),
                zstd: Some(whole("compression.zstd.level") as i32),
            },
            flush_messages: whole("flush.messages") as u64,
            flush_ms: whole("flush.ms") as u64,
        })
    }

    /// Whether an append is durable before it is acknowledged.
    pub fn is_durable(&self) -> bool {
        self.flush_messages == 1
    }

    /// Span of record timestamps at which a segment is closed, in milliseconds. Only closed segments are
    /// compacted, so the longest lag of compaction closes them, too.
    pub fn roll_ms(&self) -> i64 {
        if self.compacted { self.segment_ms.min(self.compaction.lag_max_ms) } else { self.segment_ms }
    }

    /// By how much earlier than [`TopicConfig::roll_ms`] one segment is closed, in milliseconds: segments
    /// that were begun together must not all be closed together. `seed` names the segment, so that it is the
    /// same at each look.
    pub fn roll_jitter_ms(&self, seed: u64) -> i64 {
        match self.segment_jitter_ms.min(self.segment_ms) {
            0 => 0,
            most => fastrand::Rng::with_seed(seed).i64(0..most),
        }
    }

    /// What is kept: without a limit where the cleanup policy does not delete.
    pub fn limits(&self) -> RetentionLimits {
        match self.deleted {
            true => RetentionLimits { age_ms: self.retention_ms, bytes: self.retention_bytes },
            false => RetentionLimits::default(),
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
            decompressed_bytes_max: self.max_decompressed_bytes.min(DECOMPRESSED_BYTES_MAX),
            repack: self.compression.map(|codec| Repack {
                packing: self.levels.packing(codec),
                // What was sent is held against both before it is unpacked.
                bytes_max: self.max_message_bytes.min(self.segment_bytes as usize),
            }),
        }
    }
}

/// Kafka's default level of lz4, which stands for the fast compressor; all others are levels of the slow one.
const LZ4_FAST_LEVEL: i32 = 9;

/// Most bytes that one batch may decompress to, at any size and for any topic: compaction holds all of them
/// at once. Kafka has no such bound; 256 times the default `max.message.bytes` leaves room for every honest
/// batch.
pub const DECOMPRESSED_BYTES_MAX: usize = 256 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_passes_its_own_check() {
        for entry in TOPIC_CONFIGS {
            let default = entry.default.unwrap();
            assert_eq!(entry.canonical(default).as_deref(), Ok(default), "{}", entry.name);
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
    fn each_setting_lands_in_its_own_field() {
        let own = [
            ("max.message.bytes", "1"),
            ("max.decompressed.message.bytes", "2"),
            ("segment.bytes", "1048579"),
            ("segment.ms", "4"),
            ("segment.jitter.ms", "5"),
            ("index.interval.bytes", "6"),
            ("message.timestamp.before.max.ms", "7"),
            ("message.timestamp.after.max.ms", "8"),
            ("retention.ms", "9"),
            ("retention.bytes", "10"),
            ("min.cleanable.dirty.ratio", "0.11"),
            ("min.compaction.lag.ms", "12"),
            ("max.compaction.lag.ms", "13"),
            ("delete.retention.ms", "14"),
            ("flush.messages", "15"),
            ("flush.ms", "16"),
        ];
        let own = own.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let config = TopicConfig::resolve(&TopicDefaults::default(), &own).unwrap();
        assert_eq!((config.max_message_bytes, config.max_decompressed_bytes), (1, 2));
        assert_eq!((config.segment_bytes, config.segment_ms, config.segment_jitter_ms), (1_048_579, 4, 5));
        assert_eq!((config.index_interval_bytes, config.timestamp_before_max_ms), (6, 7));
        assert_eq!((config.timestamp_after_max_ms, config.retention_ms), (8, Some(9)));
        assert_eq!((config.retention_bytes, config.compaction.dirty_ratio_min), (Some(10), 0.11));
        assert_eq!((config.compaction.lag_min_ms, config.compaction.lag_max_ms), (12, 13));
        assert_eq!((config.delete_retention_ms, config.flush_messages, config.flush_ms), (14, 15, 16));
    }

    #[test]
    fn segments_that_were_begun_together_are_closed_at_different_times() {
        let roll_ms = |jitter: &str, seed| {
            let own = [("segment.ms", "1000"), ("segment.jitter.ms", jitter)];
            let own = own.map(|(name, value)| (name.to_owned(), value.to_owned()));
            let config = TopicConfig::resolve(&TopicDefaults::default(), &own).unwrap();
            config.roll_ms() - config.roll_jitter_ms(seed)
        };
        assert!((0..100).all(|seed| roll_ms("0", seed) == 1000));
        let found: std::collections::BTreeSet<i64> = (0..100).map(|seed| roll_ms("100", seed)).collect();
        assert!(found.len() > 20 && found.iter().all(|found| (901..=1000).contains(found)), "{found:?}");
        assert!((0..100).all(|seed| (1..=1000).contains(&roll_ms("9223372036854775807", seed))));
        assert_eq!(roll_ms("100", 7), roll_ms("100", 7));
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
            "invalid value 12 for configuration segment.bytes: expected a whole number from 1048576 to 2147483647"
        );
        assert_eq!(
            refused("cleanup.policy", "delete,shred"),
            "invalid value delete,shred for configuration cleanup.policy: expected any of delete, compact, with commas between them"
        );
    }
}
