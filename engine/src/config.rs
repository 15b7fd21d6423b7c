//! The settings of an engine, and the layers that give a setting its value: what was set while it ran, what
//! it was started with, the table ([`TOPIC_CONFIGS`]).

mod allowed;
mod reactor;
mod topic;
mod value;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

pub use crate::format::settings::{Credentials, DynamicSettings, Texts};

pub use allowed::Allowed;
pub use reactor::{ReactorChoice, ReactorKind, UnknownReactor};
pub(crate) use topic::words_of;
pub use topic::{
    CompactionLimits, CompressionLevels, ConfigMode, DECOMPRESSED_BYTES_MAX, RetentionLimits, TOPIC_CONFIGS,
    TopicConfig, TopicConfigEntry, topic_config_entry,
};
pub use value::{ConfigBounds, ConfigKind};

/// The most shards an engine has.
pub const SHARDS_MAX: usize = 256;

/// The most partitions a topic has.
pub const PARTITIONS_MAX: u32 = 100_000;

/// The node that a new data directory is made for when nothing else is said.
pub const NODE_ID_DEFAULT: i32 = 1;

/// How an engine is started.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// Where everything is kept. Made when it is not there.
    pub data_dir: PathBuf,
    /// The node that the data directory is made for, 0 or more; a directory that is there must belong to it.
    /// `None` takes the directory's own, and [`NODE_ID_DEFAULT`] for a new one.
    pub node_id: Option<i32>,
    /// The cluster that the data directory is made for; a directory that is there must belong to it. `None`
    /// takes the directory's own, and a random one for a new directory.
    pub cluster_id: Option<[u8; 16]>,
    /// Number of threads that own partitions, 1 to [`SHARDS_MAX`]. May differ from one start to the next.
    pub shards: usize,
    /// Whether each shard's thread is pinned to a core of its own. Off for tests that share a machine.
    pub pin_threads: bool,
    /// What the shards' threads run on.
    pub reactor: ReactorChoice,
    /// Largest size of one journal file in bytes; a shard has three. They start at 1 MiB and grow with the
    /// load.
    pub journal_file_bytes_max: u64,
    /// Segments whose files stay open in each shard. Those that wait for a sync come on top, up to a third in
    /// the end; so do some 32 descriptors of each shard for its other files.
    pub open_files_max: usize,
    /// How often each shard looks for records that are kept for long enough.
    pub retention_check: Duration,
    /// How compacted topics are cleaned.
    pub cleaner: CleanerConfig,
    /// Bytes that are read in a second in search of rot, of all shards together; 0 for none.
    pub scrub_bytes_per_second: u64,
    /// Part of each shard's time that compaction and scrub may take while the shard has other work, above 0
    /// and up to 1.
    pub background_share: f64,
    /// What a topic gets where its own configuration is silent.
    pub topic_defaults: TopicDefaults,
}

/// How much compaction may take, of the whole engine.
#[derive(Clone, Debug)]
pub struct CleanerConfig {
    /// How long a shard waits that has found nothing to compact (`log.cleaner.backoff.ms`).
    pub backoff: Duration,
    /// Bytes of memory for offset maps, all shards together (`log.cleaner.dedupe.buffer.size`). A map takes
    /// 24 bytes a key, and is there during a round only.
    pub map_bytes: usize,
    /// Bytes that are read and written in a second, all shards together
    /// (`log.cleaner.io.max.bytes.per.second`).
    pub bytes_per_second: f64,
}

impl CleanerConfig {
    fn with_dynamic(&self, dynamic: &DynamicSettings) -> CleanerConfig {
        let whole = |name| dynamic.get(name).and_then(|value| value.parse::<u64>().ok());
        let backoff = whole("log.cleaner.backoff.ms").map(Duration::from_millis);
        let map_bytes = whole("log.cleaner.dedupe.buffer.size").and_then(|bytes| usize::try_from(bytes).ok());
        let rate = dynamic.get("log.cleaner.io.max.bytes.per.second").and_then(|rate| rate.parse().ok());
        CleanerConfig {
            backoff: backoff.unwrap_or(self.backoff),
            map_bytes: map_bytes.unwrap_or(self.map_bytes),
            bytes_per_second: rate.unwrap_or(self.bytes_per_second),
        }
    }
}

impl Default for CleanerConfig {
    fn default() -> CleanerConfig {
        CleanerConfig { backoff: Duration::from_secs(15), map_bytes: 128 << 20, bytes_per_second: f64::MAX }
    }
}

impl EngineConfig {
    /// Files that stay open in each shard where descriptors are no matter.
    pub const OPEN_FILES_MAX: usize = 4096;

    /// The defaults, with data in `data_dir`: as many shards as the machine has cores.
    pub fn new(data_dir: impl Into<PathBuf>) -> EngineConfig {
        EngineConfig {
            data_dir: data_dir.into(),
            node_id: None,
            cluster_id: None,
            shards: std::thread::available_parallelism().map_or(1, |cores| cores.get().min(SHARDS_MAX)),
            pin_threads: true,
            reactor: ReactorChoice::default(),
            journal_file_bytes_max: 64 << 20,
            open_files_max: EngineConfig::OPEN_FILES_MAX,
            retention_check: Duration::from_secs(300),
            cleaner: CleanerConfig::default(),
            scrub_bytes_per_second: 16 << 20,
            background_share: 0.1,
            topic_defaults: TopicDefaults::default(),
        }
    }
}

/// Why a setting was refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ConfigError {
    /// No setting of that name.
    #[error("unknown topic config name: {name}")]
    UnknownName {
        /// The name.
        name: String,
    },
    /// The setting does not take this value.
    #[error("invalid value {value} for configuration {name}: expected {expected}")]
    BadValue {
        /// The setting.
        name: &'static str,
        /// The value.
        value: String,
        /// What it takes.
        expected: Allowed,
    },
    /// It is read when the broker starts, and at no other time.
    #[error("{name} cannot be changed while the broker runs: set it where it is started")]
    ReadOnly {
        /// The setting.
        name: &'static str,
    },
    /// The same of a setting whose name its user has made.
    #[error("{name} cannot be changed while the broker runs: set it where it is started")]
    OnlyAtStart {
        /// The setting.
        name: String,
    },
    /// It belongs to one broker, and was to be set for all.
    #[error("{name} is set for one broker, not for all")]
    PerBroker {
        /// The setting.
        name: &'static str,
    },
    /// There is an end to how much is kept of something.
    #[error("at most {entries_max} entries of {what} are kept, with {bytes_max} bytes")]
    Full {
        /// What is kept.
        what: &'static str,
        /// Most entries of it.
        entries_max: usize,
        /// Most bytes.
        bytes_max: usize,
    },
    /// Words were to be added to it or taken out of it.
    #[error("{name} is not a list")]
    NotAList {
        /// The setting.
        name: &'static str,
    },
}

/// The defaults for all topics: the table's, with what the operator has set in their place.
#[derive(Clone, Debug, Default)]
pub struct TopicDefaults {
    set: BTreeMap<&'static str, String>,
    all_brokers: BTreeMap<&'static str, String>,
    this_broker: BTreeMap<&'static str, String>,
}

/// Where the value of a setting comes from; the first of these that has one wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It was set for this broker while it ran.
    ThisBroker,
    /// It was set for all brokers while they ran.
    AllBrokers,
    /// The broker was started with it.
    Start,
    /// The table.
    Default,
}

impl DynamicSettings {
    /// The places that give the setting a value, the one in force first.
    pub fn layers(&self, name: &str) -> impl Iterator<Item = (Origin, &str)> {
        let scopes = [(Origin::ThisBroker, &self.this_broker), (Origin::AllBrokers, &self.all_brokers)];
        scopes.into_iter().filter_map(move |(origin, settings)| {
            let (_, value) = settings.iter().find(|(key, _)| key == name)?;
            Some((origin, value.as_str()))
        })
    }

    /// The value in force, if any was set.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.layers(name).next().map(|(_, value)| value)
    }
}

/// Makes other settings out of those there are.
pub(crate) type SettingsChange = Box<dyn FnOnce(&InForce) -> Result<DynamicSettings, ConfigError> + Send>;

/// The settings, as one thread knows them: cloned without touching a count that other threads touch.
#[allow(
    clippy::redundant_allocation,
    reason = "the inner count is shared by the threads, the outer one is not"
)]
pub type SettingsSnapshot = Rc<Arc<InForce>>;

/// The settings in force that may change while the engine runs.
#[derive(Clone, Debug)]
pub struct InForce {
    /// What was set while it ran.
    pub dynamic: DynamicSettings,
    /// What topics get where they are silent.
    pub topic_defaults: TopicDefaults,
    /// How compacted topics are cleaned.
    pub cleaner: CleanerConfig,
    /// What it was started with.
    started_cleaner: CleanerConfig,
}

impl InForce {
    pub(crate) fn new(started: &TopicDefaults, cleaner: &CleanerConfig, dynamic: DynamicSettings) -> InForce {
        InForce {
            topic_defaults: started.with_dynamic(&dynamic),
            cleaner: cleaner.with_dynamic(&dynamic),
            started_cleaner: cleaner.clone(),
            dynamic,
        }
    }

    /// These with others that were set while it ran.
    pub(crate) fn with_dynamic(&self, dynamic: DynamicSettings) -> InForce {
        InForce::new(&self.topic_defaults, &self.started_cleaner, dynamic)
    }
}

impl TopicDefaults {
    /// Sets the default of the topic setting `name`.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), ConfigError> {
        let entry = topic_config_entry(name)?;
        self.set.insert(entry.name, entry.canonical(value)?);
        Ok(())
    }

    /// These defaults with others on top: those of `dynamic` that are settings of topics, by their broker
    /// names.
    pub(crate) fn with_dynamic(&self, dynamic: &DynamicSettings) -> TopicDefaults {
        let layer = |settings: &[(String, String)]| {
            let of_topic = |(name, value): &(String, String)| {
                let entry = TOPIC_CONFIGS.iter().find(|entry| entry.broker_name == Some(name))?;
                Some((entry.name, entry.canonical_of_earlier(value).ok()?))
            };
            settings.iter().filter_map(of_topic).collect()
        };
        TopicDefaults {
            set: self.set.clone(),
            all_brokers: layer(&dynamic.all_brokers),
            this_broker: layer(&dynamic.this_broker),
        }
    }

    /// Sets a default outside of its bounds: tests want segments that a few batches fill.
    #[cfg(any(test, feature = "testing"))]
    pub fn set_unchecked(&mut self, name: &str, value: &str) {
        self.set.insert(topic_config_entry(name).expect("a name of the table").name, value.to_owned());
    }

    /// The value in force for a topic that says nothing itself.
    pub fn get(&self, entry: &'static TopicConfigEntry) -> &str {
        self.layers(entry).next().map_or("", |(_, value)| value)
    }

    /// Every place that gives the setting a value, the one in force first.
    pub fn layers(&self, entry: &'static TopicConfigEntry) -> impl Iterator<Item = (Origin, &str)> {
        let layers = [
            (Origin::ThisBroker, self.this_broker.get(entry.name)),
            (Origin::AllBrokers, self.all_brokers.get(entry.name)),
            (Origin::Start, self.set.get(entry.name)),
        ];
        let set = layers.into_iter().filter_map(|(origin, value)| Some((origin, value?.as_str())));
        set.chain(entry.default.map(|value| (Origin::Default, value)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_set_while_it_runs_wins_for_this_broker_first() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let mut started = TopicDefaults::default();
        started.set("segment.ms", "5").unwrap();
        let dynamic = DynamicSettings {
            all_brokers: vec![
                pair("log.roll.ms", "6"),
                pair("log.cleaner.backoff.ms", "70"),
                pair("max.connections", "1"),
            ],
            this_broker: vec![pair("log.roll.ms", "7")],
            ..DynamicSettings::default()
        };
        let in_force = InForce::new(&started, &CleanerConfig::default(), dynamic);
        let entry = topic_config_entry("segment.ms").unwrap();
        let layers = |in_force: &InForce| {
            in_force
                .topic_defaults
                .layers(entry)
                .map(|(origin, value)| (origin, value.to_owned()))
                .collect::<Vec<_>>()
        };
        let layer = |origin, value: &str| (origin, value.to_owned());
        let below = [layer(Origin::Start, "5"), layer(Origin::Default, entry.default.unwrap())];
        let dynamic = [layer(Origin::ThisBroker, "7"), layer(Origin::AllBrokers, "6")];
        assert_eq!(layers(&in_force), [&dynamic[..], &below].concat());
        assert_eq!(in_force.cleaner.backoff, Duration::from_millis(70));
        let nothing = in_force.with_dynamic(DynamicSettings::default());
        assert_eq!(layers(&nothing), below);
        assert_eq!(nothing.cleaner.backoff, CleanerConfig::default().backoff);
    }
}
