//! The broker's settings, in Kafka's names where Kafka has one: declared once in [`BROKER_CONFIGS`], and the
//! `broker_name` of every topic setting of the engine beside it.
//!
//! A file in Java's properties form comes first, then single settings from the command line, which win.
//! Kafka's settings that do nothing here are known as well ([`WITHOUT_EFFECT`]) and told when they are used.
//! A name that is nobody's is told and passed over in a file, as Kafka does, and an error on the command
//! line; a value that cannot be is an error everywhere.

mod listeners;
mod without_effect;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use crate::groups::{CoordinatorSettings, GroupSettings};
use strandline_engine::config::ConfigBounds::{Any, Fraction, Only, Whole, Words};
use strandline_engine::config::{
    CleanerConfig, ConfigError, ConfigKind, ConfigMode, DynamicSettings, InForce, Origin, TOPIC_CONFIGS,
    TopicConfigEntry, TopicDefaults,
};
use strandline_engine::topics::ConfigChange;

pub use without_effect::WITHOUT_EFFECT;

macro_rules! entries {
    ($($name:literal $kind:ident $($mode:ident)? = $default:tt, $bounds:expr; $doc:literal)*) => {
        /// Every setting of the broker that has an effect and is not the default of a topic setting, by name.
        /// Those marked `dynamic` may change while the broker runs: those of Kafka's that do.
        pub const BROKER_CONFIGS: &[TopicConfigEntry] = &[$(TopicConfigEntry {
            name: $name,
            broker_name: Some($name),
            kind: ConfigKind::$kind,
            default: without_effect::default_value!($default),
            bounds: $bounds,
            mode: without_effect::mode!($($mode)?),
            has_effect: true,
            doc: $doc,
        }),*];
    };
}

entries! {
    "advertised.listeners" List = null, Any;
        "Where clients are told to connect to: NAME://HOST:PORT, with the name of the listener. Default: listeners."
    "auto.create.topics.enable" Bool = "true", Any; "Whether asking for a topic creates it."
    "background.time.share" Double = "0.1", Fraction(0.001, 1.0);
        "Part of each thread's time that compaction and scrub may take while the thread has other work; up to a half while compaction falls behind. Not in Kafka."
    "broker.id" Int = "-1", Whole(-1, i32::MAX as i64); "The old name of node.id; -1 for none."
    "broker.rack" Text = null, Any; "The rack that clients are told this node stands in."
    "connections.max.idle.ms" Long = "600000", Whole(1, i64::MAX); "Time after which a silent connection is closed."
    "controller.listener.names" List = "", Any;
        "Listeners that are for controllers: a single node needs none, and passes over theirs."
    "controller.quorum.voters" List = "", Any; "The controllers: this node alone, as ID@HOST:PORT, or nothing."
    "default.replication.factor" Int = "1", Only("1", "a single node keeps one replica");
        "Replicas of a topic that says nothing: a single node keeps one."
    "delete.topic.enable" Bool = "true", Any; "Whether topics may be deleted."
    "fetch.max.bytes" Int = "57671680", Whole(1024, i32::MAX as i64); "Largest answer to a fetch."
    "group.initial.rebalance.delay.ms" Int = "3000", Whole(0, i32::MAX as i64);
        "How long the first rebalance of an empty group waits for more members."
    "group.max.session.timeout.ms" Int = "1800000", Whole(1, i32::MAX as i64); "Longest session of a member."
    "group.max.size" Int = "2147483647", Whole(1, i32::MAX as i64); "Most members of a group."
    "group.min.session.timeout.ms" Int = "6000", Whole(1, i32::MAX as i64); "Shortest session of a member."
    "listener.security.protocol.map" Text =
        "SASL_SSL:SASL_SSL,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT", Any;
        "The protocol of each listener, as NAME:PROTOCOL; the listener of clients speaks PLAINTEXT."
    "listeners" List = "PLAINTEXT://127.0.0.1:9092", Any;
        "Where to listen: one NAME://HOST:PORT for clients; those of controllers are passed over."
    "log.cleaner.backoff.ms" Long dynamic = "15000", Whole(0, i64::MAX); "How long the cleaner waits that has found nothing to compact."
    "log.cleaner.dedupe.buffer.size" Long dynamic = "134217728", Whole(1 << 20, i64::MAX);
        "Bytes for the newest offsets of keys, of all shards together: 24 a key. With too few, compaction takes more rounds."
    "log.cleaner.io.max.bytes.per.second" Double dynamic = "1.7976931348623157E308", Fraction(1.0, f64::MAX);
        "Bytes that compaction reads and writes in a second, of all shards together."
    "log.dir" List = "./strandline-data", Any; "The data directory; log.dirs wins."
    "log.dirs" List = null, Any; "The data directory: exactly one."
    "log.retention.check.interval.ms" Long = "300000", Whole(1, i64::MAX); "How often the broker looks for records that are old enough to be deleted."
    "log.retention.hours" Int = "168", Whole(-1, i32::MAX as i64); "As log.retention.ms, which wins, in hours."
    "log.retention.minutes" Int = null, Whole(-1, i32::MAX as i64); "As log.retention.ms, which wins, in minutes."
    "log.roll.hours" Int = "168", Whole(1, i32::MAX as i64); "As log.roll.ms, which wins, in hours."
    "log.roll.jitter.hours" Int = "0", Whole(0, i32::MAX as i64); "As log.roll.jitter.ms, which wins, in hours."
    "log.scrub.bytes.per.second" Long = "16777216", Whole(0, i64::MAX);
        "Bytes that are read in a second in search of rotten ones, of all shards together, past the page cache; 0 for none. Not in Kafka."
    "max.connections" Int dynamic = "10000", Whole(1, i32::MAX as i64);
        "Connections at a time; more are closed at once. The limit on open files may leave room for fewer."
    "metrics.listen" Text = null, Any; "Where to answer GET /metrics, /healthz and /readyz: HOST:PORT. Default: nowhere. Not in Kafka."
    "node.id" Int = "1", Whole(0, i32::MAX as i64);
        "The number of this node. It is taken at the first start on a new data directory, which keeps it; another one is refused later."
    "num.partitions" Int = "1", Whole(1, 100_000); "Partitions of a topic that says nothing."
    "offset.metadata.max.bytes" Int = "4096", Whole(0, i32::MAX as i64); "Longest metadata of a committed offset."
    "offsets.retention.check.interval.ms" Long = "600000", Whole(1, i64::MAX); "How often it is looked for expired offsets."
    "offsets.retention.minutes" Int = "10080", Whole(1, i32::MAX as i64);
        "How long offsets are kept: of an empty group since it is empty, else since their commit."
    "offsets.topic.num.partitions" Int = "50", Whole(1, 100_000);
        "Partitions that the topic of groups is made with; it keeps what it was made with."
    "process.roles" List = "broker,controller", Words(&["broker", "controller"]);
        "What this node is: a broker, and what a controller does for it. Either alone would need another node."
    "socket.request.max.bytes" Int = "104857600", Whole(1024, i32::MAX as i64); "Largest request."
}

/// Every broker setting: those of the broker alone, with and without an effect, and those that give topics
/// their defaults.
pub fn broker_configs() -> impl Iterator<Item = &'static TopicConfigEntry> {
    let of_topics = TOPIC_CONFIGS.iter().filter(|entry| entry.broker_name.is_some());
    BROKER_CONFIGS.iter().chain(WITHOUT_EFFECT).chain(of_topics)
}

/// The declaration of the broker setting `name`.
pub fn broker_config_entry(name: &str) -> Option<&'static TopicConfigEntry> {
    broker_configs().find(|entry| entry.broker_name == Some(name))
}

fn is_of_topics(entry: &TopicConfigEntry) -> bool {
    TOPIC_CONFIGS.iter().any(|other| std::ptr::eq(other, entry))
}

/// Every place that gives a broker setting a value, the one in force first.
pub fn layers(
    config: &BrokerConfig,
    in_force: &InForce,
    entry: &'static TopicConfigEntry,
) -> Vec<(Origin, String)> {
    let owned = |(origin, value): (Origin, &str)| (origin, value.to_owned());
    if is_of_topics(entry) {
        return in_force.topic_defaults.layers(entry).map(owned).collect();
    }
    let started = config.set_value(entry.name).map(|value| (Origin::Start, value));
    let dynamic = in_force.dynamic.layers(entry.name).filter(|_| entry.mode != ConfigMode::ReadOnly);
    let default = entry.default.map(|value| (Origin::Default, value));
    dynamic.chain(started).chain(default).map(owned).collect()
}

/// The settings there are after a change of those for all brokers, or for this one; makes nothing.
///
/// # Errors
/// When a name is not known or cannot be changed in this scope, or a value cannot be.
pub fn changed(
    config: &BrokerConfig,
    in_force: &InForce,
    scope: Origin,
    change: &ConfigChange,
) -> Result<DynamicSettings, ConfigError> {
    let find = |name: &str| {
        let entry =
            broker_config_entry(name).ok_or_else(|| ConfigError::UnknownName { name: name.to_owned() })?;
        match (entry.mode, scope) {
            (ConfigMode::ReadOnly, _) => Err(ConfigError::ReadOnly { name: shown_name(entry) }),
            (ConfigMode::PerBroker, Origin::AllBrokers) => {
                Err(ConfigError::PerBroker { name: shown_name(entry) })
            }
            (ConfigMode::PerBroker | ConfigMode::Dynamic, _) => Ok(entry),
        }
    };
    let below = |name: &str| {
        let entry = find(name)?;
        let layers = layers(config, in_force, entry);
        let is_below = |origin: Origin| match scope {
            Origin::ThisBroker => origin != Origin::ThisBroker,
            _ => !matches!(origin, Origin::ThisBroker | Origin::AllBrokers),
        };
        let value = layers.into_iter().find(|(origin, _)| is_below(*origin)).map(|(_, value)| value);
        Ok((entry, value.unwrap_or_default()))
    };
    let mut settings = in_force.dynamic.clone();
    let own = match scope {
        Origin::ThisBroker => &mut settings.this_broker,
        _ => &mut settings.all_brokers,
    };
    match change {
        ConfigChange::Replace(configs) => {
            *own = configs.iter().map(|(name, value)| (name.clone(), value.trim().to_owned())).collect();
        }
        ConfigChange::Steps(steps) => steps.iter().try_for_each(|step| step.apply(own, &below))?,
    }
    for (name, value) in own {
        let entry = find(name)?;
        *value = entry.canonical(value).map_err(|error| match error {
            ConfigError::BadValue { value, expected, .. } => {
                ConfigError::BadValue { name: shown_name(entry), value, expected }
            }
            other => other,
        })?;
    }
    Ok(settings)
}

/// The name by which the broker has the setting.
fn shown_name(entry: &TopicConfigEntry) -> &'static str {
    entry.broker_name.unwrap_or(entry.name)
}

/// Why settings were refused.
#[derive(Debug, thiserror::Error)]
pub enum SettingError {
    /// The file can not be read.
    #[error("can not read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is not in the properties form.
    #[error("{path}: {source}")]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Where and what.
        source: java_properties::PropertiesError,
    },
    /// No setting of that name.
    #[error("there is no setting {name}")]
    Unknown {
        /// The name.
        name: String,
    },
    /// The setting does not take this value.
    #[error("{name}={value}: expected {expected}")]
    BadValue {
        /// The setting.
        name: &'static str,
        /// The value.
        value: String,
        /// What it takes.
        expected: String,
    },
}

/// A host and a port, as `HOST:PORT` or `[IPV6]:PORT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPort {
    /// A name or an address, without brackets.
    pub host: String,
    /// The port; 0 for any.
    pub port: u16,
}

/// What was written is not a host and a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected HOST:PORT")]
pub struct NotHostPort;

impl FromStr for HostPort {
    type Err = NotHostPort;

    fn from_str(text: &str) -> Result<HostPort, NotHostPort> {
        let (host, port) = text.rsplit_once(':').ok_or(NotHostPort)?;
        let inner = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        if inner.is_none() && host.contains([':', '[', ']', '/']) {
            return Err(NotHostPort);
        }
        let port = port.parse().map_err(|_| NotHostPort)?;
        Ok(HostPort { host: inner.unwrap_or(host).to_owned(), port })
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

impl HostPort {
    /// Whether the host stands for every address of the machine.
    pub fn is_any(&self) -> bool {
        self.host.is_empty()
            || self.host.parse() == Ok(Ipv4Addr::UNSPECIFIED)
            || self.host.parse() == Ok(Ipv6Addr::UNSPECIFIED)
    }
}

/// Settings as they were given: names that exist, values that each could be.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    values: BTreeMap<&'static str, String>,
    /// Names that their user made, see [`is_prefixed`].
    prefixed: Vec<String>,
}

/// Whether a name is made by its user: of one listener, or of a plug-in that is not there.
fn is_prefixed(name: &str) -> bool {
    ["listener.name.", "rsm.config.", "rlmm.config."].iter().any(|prefix| name.starts_with(prefix))
}

impl Settings {
    /// Reads a properties file. The names that it has and nobody knows are returned.
    ///
    /// # Errors
    /// When it can not be read, or a value can not be.
    pub fn read_file(&mut self, path: &Path) -> Result<Vec<String>, SettingError> {
        let file = std::fs::File::open(path)
            .map_err(|source| SettingError::Read { path: path.to_owned(), source })?;
        let mut pairs = Vec::new();
        java_properties::PropertiesIter::new(io::BufReader::new(file))
            .read_into(|name, value| pairs.push((name, value)))
            .map_err(|source| SettingError::Syntax { path: path.to_owned(), source })?;
        let mut unknown = Vec::new();
        for (name, value) in pairs {
            match self.set(&name, &value) {
                Err(SettingError::Unknown { name }) => unknown.push(name),
                result => result?,
            }
        }
        Ok(unknown)
    }

    /// Sets one setting, in the place of what it was.
    ///
    /// # Errors
    /// [`SettingError::Unknown`] and [`SettingError::BadValue`].
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), SettingError> {
        let Some(entry) = broker_config_entry(name) else {
            if !is_prefixed(name) {
                return Err(SettingError::Unknown { name: name.to_owned() });
            }
            self.prefixed.push(name.to_owned());
            return Ok(());
        };
        let name = shown_name(entry);
        let value = entry.canonical(value).map_err(|_| bad(name, value.trim(), &entry.expected()))?;
        self.values.insert(name, value);
        Ok(())
    }

    /// What was set and has no effect: each reason with the names that it holds for.
    fn without_effect(&self) -> BTreeMap<&'static str, Vec<&str>> {
        let mut found: BTreeMap<_, Vec<&str>> = BTreeMap::new();
        for name in &self.prefixed {
            found
                .entry("listeners have no settings of their own, and there are no plug-ins")
                .or_default()
                .push(name);
        }
        for name in self.values.keys() {
            if let Some(entry) = broker_config_entry(name).filter(|entry| !entry.has_effect) {
                found.entry(entry.doc).or_default().push(name);
            }
        }
        found
    }

    fn text(&self, name: &'static str) -> &str {
        let entry = BROKER_CONFIGS.iter().find(|entry| entry.name == name).expect("a name of the table");
        self.values.get(name).map_or(entry.default.unwrap_or_default(), String::as_str)
    }

    fn whole(&self, name: &'static str) -> i64 {
        self.text(name).parse().expect("checked against the table")
    }

    fn fraction(&self, name: &'static str) -> f64 {
        self.text(name).parse().expect("checked against the table")
    }

    fn is_true(&self, name: &'static str) -> bool {
        self.text(name) == "true"
    }

    /// What was set, in Kafka's new name or its old one.
    fn node_id(&self) -> Result<Option<i32>, SettingError> {
        let set = |name: &'static str| {
            let is_set = self.values.contains_key(name);
            is_set.then(|| self.whole(name) as i32).filter(|id| *id >= 0)
        };
        match (set("node.id"), set("broker.id")) {
            (Some(node), Some(broker)) if node != broker => {
                Err(bad("broker.id", &broker.to_string(), &format!("the same as node.id, {node}")))
            }
            (node, broker) => Ok(node.or(broker)),
        }
    }

    /// Refuses roles that need other nodes.
    fn check_roles(&self) -> Result<(), SettingError> {
        let roles = self.text("process.roles");
        if !["broker", "controller"].iter().all(|role| roles.split(',').any(|found| found == *role)) {
            let expected = "broker,controller: this node works alone, without a quorum of others";
            return Err(bad("process.roles", roles, expected));
        }
        let voters = self.text("controller.quorum.voters");
        if voters.contains(',') {
            return Err(bad(
                "controller.quorum.voters",
                voters,
                "this node alone: it joins no quorum of others",
            ));
        }
        Ok(())
    }

    fn groups(&self) -> CoordinatorSettings {
        let session = |name| self.whole(name) as i32;
        CoordinatorSettings {
            group: GroupSettings {
                initial_rebalance_delay_ms: self.whole("group.initial.rebalance.delay.ms"),
                size_max: self.whole("group.max.size") as usize,
            },
            session_timeout_ms: session("group.min.session.timeout.ms")
                ..=session("group.max.session.timeout.ms"),
            offsets_retention_ms: self.whole("offsets.retention.minutes") * 60_000,
            retention_check_ms: self.whole("offsets.retention.check.interval.ms"),
            offset_metadata_max: self.whole("offset.metadata.max.bytes") as usize,
            topic_partitions: self.whole("offsets.topic.num.partitions") as u32,
        }
    }

    /// The defaults for topics.
    fn topic_defaults(&self) -> Result<TopicDefaults, SettingError> {
        let mut defaults = TopicDefaults::default();
        let mut set = |name: &'static str, from: &'static str, value: &str| {
            defaults.set(name, value).map_err(|error| bad(from, value, &error.to_string()))
        };
        // Kafka's precedence: milliseconds before minutes before hours. The last one that is set stays.
        for (name, from, unit) in [
            ("retention.ms", "log.retention.hours", 3_600_000),
            ("retention.ms", "log.retention.minutes", 60_000),
            ("segment.ms", "log.roll.hours", 3_600_000),
            ("segment.jitter.ms", "log.roll.jitter.hours", 3_600_000),
        ] {
            if let Some(value) = self.values.get(from) {
                let count: i64 = value.parse().map_err(|_| bad(from, value, "a whole number"))?;
                let milliseconds = if count < 0 { -1 } else { count * unit };
                set(name, from, &milliseconds.to_string())?;
            }
        }
        for entry in TOPIC_CONFIGS {
            let value = entry.broker_name.and_then(|name| self.values.get(name));
            if let Some(value) = value {
                set(entry.name, shown_name(entry), value)?;
            }
        }
        Ok(defaults)
    }
}

fn bad(name: &'static str, value: &str, expected: &str) -> SettingError {
    SettingError::BadValue { name, value: value.to_owned(), expected: expected.to_owned() }
}

/// The broker's settings, ready for use.
#[derive(Clone, Debug)]
pub struct BrokerConfig {
    /// Where to listen.
    pub listen: HostPort,
    /// Where clients are told to connect to, when it is not where we listen.
    pub advertised: Option<HostPort>,
    /// The listeners that are for controllers, which a single node does not need.
    pub passed_over: Vec<String>,
    /// Where metrics and health are answered, if anywhere.
    pub metrics_listen: Option<HostPort>,
    /// The data directory.
    pub data_dir: PathBuf,
    /// The number of this node, where it was set.
    pub node_id: Option<i32>,
    /// The rack that clients are told, if any.
    pub rack: Option<String>,
    /// Partitions of a topic that says nothing.
    pub num_partitions: u32,
    /// Whether asking for a topic creates it.
    pub auto_create_topics: bool,
    /// Whether topics may be deleted.
    pub delete_topics: bool,
    /// Largest request in bytes, without its size.
    pub request_bytes_max: usize,
    /// Largest answer to a fetch in bytes of records.
    pub fetch_bytes_max: u32,
    /// Time after which a silent connection is closed.
    pub connection_idle: Duration,
    /// Connections at a time.
    pub connections_max: usize,
    /// How often old records are looked for.
    pub retention_check: Duration,
    /// How compacted topics are cleaned.
    pub cleaner: CleanerConfig,
    /// Bytes that the scrub reads in a second.
    pub scrub_bytes_per_second: u64,
    /// Part of a shard's time for compaction and scrub.
    pub background_share: f64,
    /// What topics get where they are silent.
    pub topic_defaults: TopicDefaults,
    /// The coordinators of groups.
    pub groups: CoordinatorSettings,
    settings: Settings,
}

impl BrokerConfig {
    /// Puts the settings together.
    ///
    /// # Errors
    /// [`SettingError::BadValue`].
    pub fn resolve(settings: Settings) -> Result<BrokerConfig, SettingError> {
        settings.check_roles()?;
        let listeners = listeners::of(&settings)?;
        let metrics_listen = match settings.text("metrics.listen") {
            "" => None,
            text => Some(text.parse().map_err(|_| bad("metrics.listen", text, "HOST:PORT"))?),
        };
        let data_dir = match settings.text("log.dirs") {
            "" => settings.text("log.dir"),
            directories => directories,
        };
        if data_dir.is_empty() || data_dir.contains(',') {
            return Err(bad("log.dirs", data_dir, "exactly one directory"));
        }
        Ok(BrokerConfig {
            listen: listeners.listen,
            advertised: listeners.advertised,
            passed_over: listeners.passed_over,
            metrics_listen,
            data_dir: data_dir.into(),
            node_id: settings.node_id()?,
            rack: Some(settings.text("broker.rack")).filter(|rack| !rack.is_empty()).map(str::to_owned),
            num_partitions: settings.whole("num.partitions") as u32,
            auto_create_topics: settings.is_true("auto.create.topics.enable"),
            delete_topics: settings.is_true("delete.topic.enable"),
            request_bytes_max: settings.whole("socket.request.max.bytes") as usize,
            fetch_bytes_max: settings.whole("fetch.max.bytes") as u32,
            connection_idle: Duration::from_millis(settings.whole("connections.max.idle.ms") as u64),
            connections_max: settings.whole("max.connections") as usize,
            retention_check: Duration::from_millis(settings.whole("log.retention.check.interval.ms") as u64),
            cleaner: CleanerConfig {
                backoff: Duration::from_millis(settings.whole("log.cleaner.backoff.ms") as u64),
                map_bytes: usize::try_from(settings.whole("log.cleaner.dedupe.buffer.size"))
                    .unwrap_or(usize::MAX),
                bytes_per_second: settings.fraction("log.cleaner.io.max.bytes.per.second"),
            },
            scrub_bytes_per_second: settings.whole("log.scrub.bytes.per.second") as u64,
            background_share: settings.fraction("background.time.share"),
            topic_defaults: settings.topic_defaults()?,
            groups: settings.groups(),
            settings,
        })
    }

    /// What was set and has no effect: each reason with the names that it holds for.
    pub fn without_effect(&self) -> BTreeMap<&'static str, Vec<&str>> {
        self.settings.without_effect()
    }

    /// The value that was set for a broker setting; `None` when the default is in force.
    pub fn set_value(&self, name: &str) -> Option<&str> {
        self.settings.values.get(name).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use strandline_engine::config::TopicConfig;

    fn settings(pairs: &[(&str, &str)]) -> Result<BrokerConfig, SettingError> {
        let mut settings = Settings::default();
        for (name, value) in pairs {
            settings.set(name, value)?;
        }
        BrokerConfig::resolve(settings)
    }

    fn topic(pairs: &[(&str, &str)]) -> TopicConfig {
        TopicConfig::resolve(&settings(pairs).unwrap().topic_defaults, &[]).unwrap()
    }

    fn refusal(pairs: &[(&str, &str)]) -> String {
        settings(pairs).unwrap_err().to_string()
    }

    #[test]
    fn every_default_of_the_table_can_be_used() {
        let config = settings(&[]).unwrap();
        assert_eq!(config.listen.to_string(), "127.0.0.1:9092");
        assert_eq!(config.data_dir, Path::new("./strandline-data"));
        assert_eq!((config.num_partitions, config.node_id, config.advertised), (1, None, None));
        assert_eq!(config.request_bytes_max, 100 << 20);
        assert!(BROKER_CONFIGS.is_sorted_by_key(|entry| entry.name));
        for entry in broker_configs() {
            let Some(default) = entry.default else { continue };
            assert_eq!(entry.canonical(default).as_deref(), Ok(default), "{}", entry.name);
        }
    }

    #[test]
    fn a_broker_setting_is_the_default_of_the_topic_setting() {
        assert_eq!(topic(&[("message.max.bytes", "5000")]).max_message_bytes, 5000);
        assert_eq!(topic(&[("log.segment.bytes", "2097152")]).segment_bytes, 2 << 20);
        assert!(!topic(&[("log.flush.interval.messages", "1000")]).is_durable());
    }

    #[test]
    fn the_finer_unit_wins() {
        assert_eq!(topic(&[("log.roll.hours", "2")]).segment_ms, 7_200_000);
        assert_eq!(topic(&[("log.roll.ms", "5"), ("log.roll.hours", "2")]).segment_ms, 5);
        assert_eq!(topic(&[("log.roll.jitter.hours", "1")]).segment_jitter_ms, 3_600_000);
        let both = [("log.roll.jitter.ms", "5"), ("log.roll.jitter.hours", "1")];
        assert_eq!(topic(&both).segment_jitter_ms, 5);
        let retention = |pairs: &[(&str, &str)]| {
            let defaults = settings(pairs).unwrap().topic_defaults;
            let entry = TOPIC_CONFIGS.iter().find(|entry| entry.name == "retention.ms").unwrap();
            defaults.get(entry).to_owned()
        };
        let (hours, minutes) = (("log.retention.hours", "3"), ("log.retention.minutes", "2"));
        assert_eq!(retention(&[hours]), "10800000");
        assert_eq!(retention(&[minutes, hours]), "120000");
        assert_eq!(retention(&[("log.retention.ms", "7"), minutes, hours]), "7");
        assert_eq!(retention(&[("log.retention.hours", "-1")]), "-1");
    }

    #[test]
    fn a_refusal_names_the_setting_the_value_and_what_is_expected() {
        assert_eq!(refusal(&[("num.partition", "1")]), "there is no setting num.partition");
        assert_eq!(
            refusal(&[("num.partitions", "0")]),
            "num.partitions=0: expected a whole number from 1 to 100000"
        );
        assert_eq!(
            refusal(&[("auto.create.topics.enable", "yes")]),
            "auto.create.topics.enable=yes: expected true or false"
        );
        assert_eq!(
            refusal(&[("log.segment.bytes", "12")]),
            "log.segment.bytes=12: expected a whole number from 1048576 to 2147483647"
        );
        assert_eq!(
            refusal(&[("listeners", "SSL://:9093")]),
            "listeners=SSL://:9093: expected a listener in PLAINTEXT: SSL is SSL, and there is no TLS and no SASL"
        );
        assert_eq!(refusal(&[("log.dirs", "/a,/b")]), "log.dirs=/a,/b: expected exactly one directory");
    }

    #[test]
    fn a_listener_of_a_kafka_file_is_understood() {
        let listen = |text: &str| settings(&[("listeners", text)]).unwrap().listen;
        assert!(listen("PLAINTEXT://:9092").is_any());
        assert!(listen("PLAINTEXT://0.0.0.0:9092,CONTROLLER://:9093").is_any());
        assert_eq!(listen("plaintext://[::1]:1"), HostPort { host: "::1".to_owned(), port: 1 });
        assert_eq!(listen("PLAINTEXT://[::1]:1").to_string(), "[::1]:1");
        for bad in ["", "host", "host:", "host:99999", "::1:80", "[::1:80"] {
            assert_eq!(bad.parse::<HostPort>(), Err(NotHostPort), "{bad}");
        }
    }

    #[test]
    fn a_file_may_hold_what_nobody_knows_but_no_bad_value() {
        let file = |text: &str| {
            let path = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(path.path(), text).unwrap();
            let mut settings = Settings::default();
            settings.read_file(path.path()).map(|unknown| (unknown, settings))
        };
        let (unknown, settings) =
            file("# a comment\nnum.partitions = 3\nzookeeper.connect=x\nlog.dirs=/tmp/a\\\n  b\n").unwrap();
        assert_eq!(unknown, ["zookeeper.connect"]);
        let config = BrokerConfig::resolve(settings).unwrap();
        assert_eq!((config.num_partitions, config.data_dir), (3, "/tmp/ab".into()));
        assert!(matches!(
            file("num.partitions=x"),
            Err(SettingError::BadValue { name: "num.partitions", .. })
        ));
    }
}
