//! The settings together, ready for use: what each says beside the others, in the types that the broker uses.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use strandline_engine::config::{CleanerConfig, DynamicSettings, ReactorChoice, TopicDefaults};
use strandline_mqtt::rules::Rules;
use strandline_tls::TlsSettings;

use super::authorizer::AuthorizerConfig;
use super::connections::{CREATION_RATE, ConnectionLimits, ConnectionRates, OVERRIDES, counts_of_addresses};
use super::error::{SettingError, bad};
use super::group_table;
use super::host_port::HostPort;
use super::listeners::{self, ListenerConfig};
use super::settings::{Settings, name_of};
use super::tls;

/// The broker's settings, ready for use.
#[derive(Clone, Debug)]
pub struct BrokerConfig {
    /// The listeners of clients; there is at least one.
    pub listeners: Vec<ListenerConfig>,
    /// The listeners that are for controllers, which a single node does not need.
    pub passed_over: Vec<String>,
    /// Who is asked whether a client may do something, if anybody.
    pub authorizer: Option<AuthorizerConfig>,
    /// Where the HTTP front answers, if anywhere, and as the clients of which listener.
    pub http: Option<(HostPort, Arc<str>)>,
    /// The MQTT front, if there is one.
    pub mqtt: Option<MqttConfig>,
    /// Where metrics and health are answered, if anywhere.
    pub metrics_listen: Option<HostPort>,
    /// The data directory.
    pub data_dir: PathBuf,
    /// The number of this node, where it was set.
    pub node_id: Option<i32>,
    /// The cluster that the data directory is to be of, where that was asked for; no setting says so.
    pub cluster_id: Option<[u8; 16]>,
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
    /// How often old records are looked for.
    pub retention_check: Duration,
    /// How compacted topics are cleaned.
    pub cleaner: CleanerConfig,
    /// Bytes that the scrub reads in a second.
    pub scrub_bytes_per_second: u64,
    /// Part of a shard's time for compaction and scrub.
    pub background_share: f64,
    /// What the shards' threads run on.
    pub reactor: ReactorChoice,
    /// What topics get where they are silent.
    pub topic_defaults: TopicDefaults,
    settings: Settings,
}

/// The MQTT front as it is set.
#[derive(Clone, Debug)]
pub struct MqttConfig {
    /// Where it listens.
    pub listen: HostPort,
    /// The listener whose clients its own are like.
    pub like: Arc<str>,
    /// Which Kafka topic an MQTT topic is in.
    pub rules: Arc<Rules>,
}

/// Where a front beside Kafka's is, and which listener it is like.
fn beside(
    settings: &Settings,
    listeners: &[ListenerConfig],
    (listen, like_name): (&'static str, &'static str),
) -> Result<Option<(HostPort, Arc<str>)>, SettingError> {
    let (text, like) = (settings.text(listen), settings.text(like_name));
    let is_like = |listener: &&ListenerConfig| like.is_empty() || listener.name.eq_ignore_ascii_case(like);
    let listener = listeners.iter().find(is_like);
    let listener = listener.ok_or_else(|| bad(like_name, like, "the name of a listener of clients"))?;
    if text.is_empty() {
        return Ok(None);
    }
    let place = text.parse().map_err(|_| bad(listen, text, "HOST:PORT"))?;
    Ok(Some((place, listener.name.clone())))
}

/// The MQTT front, if there is one. Its rules are looked at in any case.
fn mqtt(settings: &Settings, listeners: &[ListenerConfig]) -> Result<Option<MqttConfig>, SettingError> {
    const RULES: &str = "mqtt.rules";
    let (rules, default) = (settings.text(RULES), settings.text("mqtt.default.topic"));
    let read = Rules::parse(rules, default);
    let read = read.map_err(|error| bad(RULES, rules, error))?;
    let place = beside(settings, listeners, ("mqtt.listen", "mqtt.listener.name"))?;
    Ok(place.map(|(listen, like)| MqttConfig { listen, like, rules: Arc::new(read) }))
}

/// Most windows of a quota: what a client has used is remembered for each.
const QUOTA_WINDOWS_MAX: i64 = 3600;

/// The assignors of consumer groups.
const ASSIGNORS: &str = "group.consumer.assignors";

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
        let http = beside(&settings, &listeners.clients, ("http.listen", "http.listener.name"))?;
        let mqtt = mqtt(&settings, &listeners.clients)?;
        let overrides = settings.text(OVERRIDES);
        counts_of_addresses(overrides).map_err(|expected| bad(OVERRIDES, overrides, expected))?;
        let assignors = settings.text(ASSIGNORS);
        if !assignors.split(',').all(|name| matches!(name.trim(), "uniform" | "range")) {
            return Err(bad(ASSIGNORS, assignors, "uniform, range, or both"));
        }
        group_table::check(&settings)?;
        let data_dir = match settings.text("log.dirs") {
            "" => settings.text("log.dir"),
            directories => directories,
        };
        if data_dir.is_empty() || data_dir.contains(',') {
            return Err(bad("log.dirs", data_dir, "exactly one directory"));
        }
        Ok(BrokerConfig {
            listeners: listeners.clients,
            passed_over: listeners.passed_over,
            authorizer: AuthorizerConfig::of(&settings)?,
            http,
            mqtt,
            metrics_listen,
            data_dir: data_dir.into(),
            node_id: settings.node_id()?,
            cluster_id: None,
            rack: Some(settings.text("broker.rack")).filter(|rack| !rack.is_empty()).map(str::to_owned),
            num_partitions: settings.whole("num.partitions") as u32,
            auto_create_topics: settings.is_true("auto.create.topics.enable"),
            delete_topics: settings.is_true("delete.topic.enable"),
            request_bytes_max: settings.whole("socket.request.max.bytes") as usize,
            fetch_bytes_max: settings.whole("fetch.max.bytes") as u32,
            connection_idle: Duration::from_millis(settings.whole("connections.max.idle.ms") as u64),
            retention_check: Duration::from_millis(settings.whole("log.retention.check.interval.ms") as u64),
            cleaner: CleanerConfig {
                backoff: Duration::from_millis(settings.whole("log.cleaner.backoff.ms") as u64),
                map_bytes: usize::try_from(settings.whole("log.cleaner.dedupe.buffer.size"))
                    .unwrap_or(usize::MAX),
                bytes_per_second: settings.fraction("log.cleaner.io.max.bytes.per.second"),
            },
            scrub_bytes_per_second: settings.whole("log.scrub.bytes.per.second") as u64,
            background_share: settings.fraction("background.time.share"),
            reactor: settings.text("reactor").parse().unwrap_or_default(),
            topic_defaults: settings.topic_defaults()?,
            settings,
        })
    }

    /// What was set and has no effect: each reason with the names that it holds for.
    pub fn without_effect(&self) -> BTreeMap<&'static str, Vec<String>> {
        let listeners: Vec<(&str, bool)> =
            self.listeners.iter().map(|listener| (&*listener.name, listener.tls.is_some())).collect();
        self.settings.without_effect(&listeners)
    }

    /// What a setting of the table is, for the service that it is a setting of.
    ///
    /// # Panics
    /// When the table has no such setting.
    pub fn text(&self, name: &'static str) -> &str {
        self.settings.text(name)
    }

    /// The number that a setting of the table has, for the service that it is a setting of.
    ///
    /// # Panics
    /// When the table has no such setting, or one that is no whole number.
    pub fn whole(&self, name: &'static str) -> i64 {
        self.settings.whole(name)
    }

    /// The windows in which it is counted what clients have used of their quotas, and those for changes of
    /// topics.
    pub fn quota_windows(&self) -> [(u32, Duration); 2] {
        let windows = |count, seconds| {
            let count = self.whole(count).min(QUOTA_WINDOWS_MAX) as u32;
            (count, Duration::from_secs(self.whole(seconds) as u64))
        };
        [
            windows("quota.window.num", "quota.window.size.seconds"),
            windows("controller.quota.window.num", "controller.quota.window.size.seconds"),
        ]
    }

    /// The limits for a connection from `address` by a listener.
    pub fn connection_limits(
        &self,
        dynamic: &DynamicSettings,
        listener: &str,
        address: IpAddr,
    ) -> ConnectionLimits {
        let value = |name| dynamic.get(name).unwrap_or_else(|| self.settings.text(name));
        let count = |name| value(name).parse().unwrap_or(usize::MAX);
        let exceptions = counts_of_addresses(value(OVERRIDES)).unwrap_or_default();
        let exception = exceptions.into_iter().find(|(of, _)| *of == address.to_canonical());
        ConnectionLimits {
            all: count("max.connections"),
            listener: self.listener(listener).and_then(|found| found.connections_max).unwrap_or(usize::MAX),
            address: exception.map_or_else(|| count("max.connections.per.ip"), |(_, count)| count),
        }
    }

    /// How many connections may come by a listener in a second.
    pub fn connection_rates(&self, dynamic: &DynamicSettings, listener: &str) -> ConnectionRates {
        let own = name_of(listener, None, CREATION_RATE);
        let of_listener = dynamic.get(&own).or_else(|| self.settings.of_listener_exactly(&own));
        let of_all = dynamic.get(CREATION_RATE).unwrap_or_else(|| self.settings.text(CREATION_RATE));
        ConnectionRates {
            all: ConnectionRates::read(of_all),
            listener: of_listener.and_then(ConnectionRates::read),
        }
    }

    /// What is in force of TLS for a listener.
    ///
    /// # Panics
    /// When there is no listener of this name.
    pub fn tls_settings(&self, dynamic: &DynamicSettings, listener: &str) -> TlsSettings {
        let listener = self.listener(listener).expect("a listener of these settings");
        tls::settings_of(&self.settings, dynamic, &listener.name, listener.sasl.is_some())
    }

    /// The listener of this name.
    pub fn listener(&self, name: &str) -> Option<&ListenerConfig> {
        self.listeners.iter().find(|listener| *listener.name == *name)
    }

    /// Whether a coordinator is asked before the first batch of a transaction is appended in a partition.
    pub fn verifies_transactions(&self, dynamic: &DynamicSettings) -> bool {
        let name = "transaction.partition.verification.enable";
        dynamic.get(name).unwrap_or_else(|| self.settings.text(name)) == "true"
    }

    /// The value that was set for a broker setting; `None` when the default is in force.
    pub fn set_value(&self, name: &str) -> Option<&str> {
        self.settings.value(name)
    }
}
