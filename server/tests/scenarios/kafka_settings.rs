//! Every setting of Apache Kafka's is known, as Kafka declares it: `tests/interop/kafka-settings` has what
//! its artifact says.

use std::collections::{BTreeMap, BTreeSet};

use strandline::config::{BROKER_CONFIGS, WITHOUT_EFFECT, broker_config_entry, broker_configs};
use strandline_engine::config::{ConfigBounds, ConfigKind, ConfigMode, TOPIC_CONFIGS, TopicConfigEntry};
use strandline_protocol::messages::*;
use strandline_protocol::wire::ErrorCode;

use crate::broker::{Broker, data_dir};
use crate::client::Client;

const FACTS: &str = include_str!("../interop/kafka-settings/kafka-4.4.0.tsv");

/// A setting as Kafka declares it.
struct Fact {
    scope: &'static str,
    name: &'static str,
    /// Type, default, values, when it may change, the broker's name of a topic setting.
    says: [&'static str; 5],
}

const ASPECTS: [&str; 5] = ["type", "default", "values", "while it runs", "broker name"];

fn facts() -> Vec<Fact> {
    let lines = FACTS.lines().filter(|line| !line.starts_with('#'));
    let fact = |line: &'static str| {
        let mut columns = line.split('\t');
        let mut next = || columns.next().unwrap();
        Fact { scope: next(), name: next(), says: std::array::from_fn(|_| next()) }
    };
    lines.map(fact).collect()
}

/// Where we differ: the names, the aspect, the reason.
const DIFFERENT: &[(&[&str], &str, &str)] = &[
    (
        &["flush.messages", "log.flush.interval.messages"],
        "default",
        "an acknowledged record is durable unless the topic says otherwise: decision 5",
    ),
    (
        &["log.flush.interval.ms", "log.retention.ms", "log.roll.jitter.ms", "log.roll.ms"],
        "default",
        "the value in force is shown, where Kafka shows none and takes it from a coarser unit",
    ),
    (
        &["node.id", "process.roles", "controller.listener.names"],
        "default",
        "nobody has to set them for one node",
    ),
    (
        &["listeners"],
        "default",
        "a broker without security is reachable from elsewhere when that is asked for",
    ),
    (&["log.dir"], "default", "data is not kept in a directory for temporary files"),
    (&["max.connections"], "default", "memory is bounded"),
    (
        &["listeners", "listener.security.protocol.map", "sasl.enabled.mechanisms"],
        "while it runs",
        "listeners are opened when the broker starts, and at no other time",
    ),
    (
        &[
            "ssl.key.password",
            "ssl.keystore.certificate.chain",
            "ssl.keystore.key",
            "ssl.keystore.password",
            "ssl.truststore.certificates",
            "ssl.truststore.password",
        ],
        "while it runs",
        "a secret is kept in files that its owner protects, not among the settings that the broker keeps",
    ),
    (
        &[
            "retention.bytes",
            "log.retention.bytes",
            "log.retention.hours",
            "log.retention.minutes",
            "log.retention.ms",
            "log.flush.interval.ms",
            "log.roll.jitter.ms",
            "log.roll.ms",
            "broker.id",
            "connections.max.idle.ms",
            "group.initial.rebalance.delay.ms",
            "group.max.session.timeout.ms",
            "group.min.session.timeout.ms",
            "log.cleaner.dedupe.buffer.size",
            "log.cleaner.io.max.bytes.per.second",
            "max.connections",
            "offset.metadata.max.bytes",
            "socket.request.max.bytes",
        ],
        "values",
        "a value that means nothing is refused when it is set, not found out later",
    ),
    (
        &[
            "num.partitions",
            "offsets.topic.num.partitions",
            "share.coordinator.state.topic.num.partitions",
            "transaction.state.log.num.partitions",
        ],
        "values",
        "a topic has 100,000 partitions at most",
    ),
];

fn kind(kind: ConfigKind) -> &'static str {
    match kind {
        ConfigKind::Bool => "BOOLEAN",
        ConfigKind::Short => "SHORT",
        ConfigKind::Int => "INT",
        ConfigKind::Long => "LONG",
        ConfigKind::Double => "DOUBLE",
        ConfigKind::Text => "STRING",
        ConfigKind::List => "LIST",
        ConfigKind::Class => "CLASS",
        ConfigKind::Password => "PASSWORD",
    }
}

fn sorted(words: &str) -> String {
    let mut words: Vec<&str> = words.split(',').map(str::trim).collect();
    words.sort_unstable();
    words.join(", ")
}

/// What a value must be, as Kafka's validators write it.
fn values(entry: &TopicConfigEntry) -> String {
    let most_of_all = match entry.kind {
        ConfigKind::Short => i64::from(i16::MAX),
        ConfigKind::Int => i64::from(i32::MAX),
        _ => i64::MAX,
    };
    match entry.bounds {
        ConfigBounds::Whole(least, most) if most >= most_of_all => format!("[{least},...]"),
        ConfigBounds::Whole(least, most) => format!("[{least},...,{most}]"),
        ConfigBounds::WholeOr(other, least, most) => format!("[{least},...,{most}] or {other}"),
        ConfigBounds::Fraction(least, most) => format!("[{least},...,{most}]"),
        ConfigBounds::Words(words) => format!("[{}]", sorted(&words.join(","))),
        ConfigBounds::WordsOfAnyCase(words) => format!("(case insensitive) [{}]", sorted(&words.join(","))),
        ConfigBounds::Replicas => "[partitionId]:[brokerId],[partitionId]:[brokerId],...".to_owned(),
        // The one value and its reason stand in the table.
        ConfigBounds::Only(..) | ConfigBounds::Any => String::new(),
    }
}

/// Kafka's text in the same order of words; that something may not be empty is true of every word that means
/// something.
fn values_of_kafka(text: &str) -> String {
    match text {
        "non-empty list" | "non-empty string" | "non-null string" => String::new(),
        _ => match text.rsplit_once('[') {
            Some((before, words)) if words.contains(", ") => {
                format!("{before}[{}]", sorted(words.trim_end_matches(']')))
            }
            _ => text.to_owned(),
        },
    }
}

#[test]
fn every_setting_of_kafkas_is_known_with_its_type_default_and_values() {
    let mut different: BTreeSet<(&str, &str)> =
        DIFFERENT.iter().flat_map(|(names, aspect, _)| names.iter().map(|name| (*name, *aspect))).collect();
    let mut wrong = Vec::new();
    for Fact { scope, name, says } in facts() {
        let entry = match scope {
            "topic" => TOPIC_CONFIGS.iter().find(|entry| entry.name == name),
            _ => broker_config_entry(name),
        };
        let Some(entry) = entry else {
            wrong.push(format!("{scope} {name}: not known"));
            continue;
        };
        let mode = match entry.mode {
            _ if scope == "topic" => "",
            ConfigMode::ReadOnly => "read-only",
            ConfigMode::PerBroker => "per-broker",
            ConfigMode::Dynamic => "cluster-wide",
        };
        let broker_name = if scope == "topic" { entry.broker_name.unwrap_or("") } else { "" };
        let default = entry.default.unwrap_or("(null)");
        let ours = [
            kind(entry.kind).to_owned(),
            default.to_owned(),
            values(entry),
            mode.to_owned(),
            broker_name.to_owned(),
        ];
        // "only": it can be set while the broker runs, and in no file. We know it in files, too.
        let mode_of_kafka = if says[3] == "only" { "cluster-wide" } else { says[3] };
        let theirs = [
            says[0].to_owned(),
            says[1].to_owned(),
            values_of_kafka(says[2]),
            mode_of_kafka.to_owned(),
            says[4].to_owned(),
        ];
        for ((aspect, ours), theirs) in ASPECTS.iter().zip(ours).zip(theirs) {
            if ours != theirs && !different.remove(&(name, *aspect)) {
                wrong.push(format!("{scope} {name}: {aspect} is {ours:?} here and {theirs:?} there"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(different.is_empty(), "listed as different and the same: {different:?}");
}

#[test]
fn a_setting_that_is_not_kafkas_says_so_and_one_without_an_effect_says_why() {
    let kafkas: BTreeSet<&str> =
        facts().iter().filter(|fact| fact.scope == "broker").map(|fact| fact.name).collect();
    for entry in BROKER_CONFIGS {
        let says_so = entry.doc.contains("Not in Kafka.");
        // The artifact declares what its broker reads, and the authorizer reads its own.
        let is_of_authorizer = entry.doc.contains("It is Kafka's authorizer that has this setting.");
        assert_eq!(says_so || is_of_authorizer, !kafkas.contains(entry.name), "{}", entry.name);
    }
    for entry in TOPIC_CONFIGS.iter().chain(WITHOUT_EFFECT).filter(|entry| !entry.has_effect) {
        let documentation = entry.documentation();
        assert!(
            documentation.starts_with("has no effect here: ") && !documentation.ends_with('.'),
            "{documentation}"
        );
    }
    let mut names = BTreeSet::new();
    assert!(broker_configs().all(|entry| names.insert(entry.broker_name)), "a setting is declared once");
}

fn described(client: &mut Client, kind: i8, name: &str) -> BTreeMap<String, DescribeConfigsResourceResult> {
    let resource = DescribeConfigsResource {
        resource_type: kind,
        resource_name: name.to_owned(),
        configuration_keys: None,
    };
    let request = DescribeConfigsRequest {
        resources: vec![resource],
        include_documentation: true,
        include_synonyms: true,
    };
    let configs = client.call(4, &request).results.remove(0).configs;
    configs.into_iter().map(|config| (config.name.clone(), config)).collect()
}

fn alter(client: &mut Client, kind: i8, name: &str, set: &[(&str, &str)]) -> (ErrorCode, String) {
    let config = |(name, value): &(&str, &str)| IncrementalAlterableConfig {
        name: (*name).to_owned(),
        config_operation: 0,
        value: Some((*value).to_owned()),
    };
    let resource = IncrementalAlterConfigsResource {
        resource_type: kind,
        resource_name: name.to_owned(),
        configs: set.iter().map(config).collect(),
    };
    let request = IncrementalAlterConfigsRequest { resources: vec![resource], validate_only: false };
    let answer = client.call(1, &request).responses.remove(0);
    (ErrorCode::try_from(answer.error_code).unwrap(), answer.error_message.unwrap_or_default())
}

/// MirrorMaker 2 copies all settings of a topic in one change: one that is refused takes all others with it.
#[test]
fn a_change_with_every_setting_of_a_kafka_topic_is_accepted_whole() {
    let dir = data_dir();
    let broker = Broker::start(dir.path(), &[]);
    let mut client = broker.client();
    client.create("t", 1, &[]);
    let facts = facts();
    let topic: Vec<&Fact> = facts.iter().filter(|fact| fact.scope == "topic").collect();
    let all: Vec<_> = topic.iter().map(|fact| (fact.name, fact.says[1])).collect();
    assert_eq!(alter(&mut client, 2, "t", &all), (ErrorCode::None, String::new()));
    let settings = described(&mut client, 2, "t");
    for (name, value) in &all {
        assert_eq!(
            (settings[*name].value.as_deref(), settings[*name].config_source),
            (Some(*value), 1),
            "{name}"
        );
    }
    for entry in TOPIC_CONFIGS {
        assert_eq!(settings[entry.name].documentation.as_deref(), Some(&*entry.documentation()));
    }
    let throttles = [
        ("leader.replication.throttled.replicas", "0:1,1:1"),
        ("follower.replication.throttled.replicas", "*"),
        ("local.retention.ms", "1000"),
    ];
    assert_eq!(alter(&mut client, 2, "t", &throttles).0, ErrorCode::None);

    let before = described(&mut client, 2, "t");
    let tiered = [("retention.ms", "5"), ("remote.storage.enable", "true")];
    let (code, said) = alter(&mut client, 2, "t", &tiered);
    assert_eq!(code, ErrorCode::InvalidConfig);
    assert_eq!(
        said,
        "invalid value true for configuration remote.storage.enable: expected false: there is no tiered storage"
    );
    assert!(described(&mut client, 2, "t") == before, "all of it or nothing");
    let made = client.create("u", 1, &[("remote.storage.enable", "TRUE")]);
    assert_eq!(made.error_code, ErrorCode::InvalidConfig.code());
    assert_eq!(client.create("v", 1, &[("remote.storage.enable", "False")]).error_code, 0);
}

/// What Kafka's tools set for brokers while they run: throttles of moved replicas, threads, certificates.
#[test]
fn every_dynamic_setting_of_a_kafka_broker_can_be_set_where_kafka_lets_it() {
    let dir = data_dir();
    let broker = Broker::start(dir.path(), &[]);
    let mut client = broker.client();
    for entry in WITHOUT_EFFECT.iter().filter(|entry| entry.mode != ConfigMode::ReadOnly) {
        let value = entry.default.unwrap_or("");
        let value = if value.is_empty() && entry.kind == ConfigKind::Text { "word" } else { value };
        let set = [(entry.name, value)];
        assert_eq!(alter(&mut client, 4, "1", &set), (ErrorCode::None, String::new()), "{}", entry.name);
        let (code, said) = alter(&mut client, 4, "", &set);
        match entry.mode {
            ConfigMode::PerBroker => {
                assert_eq!(code, ErrorCode::InvalidRequest);
                assert!(said.contains("is set for one broker, not for all"), "{said}");
            }
            _ => assert_eq!(code, ErrorCode::None, "{said}"),
        }
    }
    let read_only = alter(&mut client, 4, "1", &[("replica.fetch.max.bytes", "1")]);
    assert_eq!(read_only.0, ErrorCode::InvalidRequest);
    let of_listener = alter(&mut client, 4, "1", &[("listener.name.plaintext.max.connections", "7")]);
    assert_eq!(of_listener.0, ErrorCode::InvalidRequest);
    assert!(
        of_listener.1.contains("max.connections cannot be changed while the broker runs"),
        "{}",
        of_listener.1
    );
    let settings = described(&mut client, 4, "1");
    let rate = &settings["leader.replication.throttled.rate"];
    assert_eq!((rate.value.as_deref(), rate.config_source), (Some("9223372036854775807"), 2));
    assert_eq!(settings.len(), broker_configs().count());
}

/// A secret that nothing uses is kept nowhere: not in the data directory, not in the log, and no client is
/// shown it.
#[test]
fn a_secret_is_shown_to_nobody_and_kept_nowhere() {
    let dir = data_dir();
    let file = dir.path().join("server.properties");
    std::fs::write(&file, "ssl.keystore.password=hunter2\n").unwrap();
    let data = dir.path().join("data");
    let (broker, log) = Broker::start_logging(&data, &["--config", file.to_str().unwrap()]);
    let mut client = broker.client();
    assert_eq!(alter(&mut client, 4, "1", &[("sasl.jaas.config", "hunter2")]).0, ErrorCode::None);
    for name in ["ssl.key.password", "listener.name.plaintext.ssl.keystore.key"] {
        assert_eq!(alter(&mut client, 4, "1", &[(name, "hunter2")]).0, ErrorCode::InvalidRequest, "{name}");
    }
    for (name, config) in described(&mut client, 4, "1") {
        let is_secret = broker_config_entry(&name).unwrap().kind == ConfigKind::Password;
        assert_eq!(config.is_sensitive, is_secret, "{name}");
        assert!(!format!("{config:?}").contains("hunter2"), "{name}");
        assert!(!is_secret || config.value.is_none(), "{name}");
    }
    broker.stop();
    assert!(!log.join().unwrap().contains("hunter2"));
    let kept = std::fs::read(data.join("settings")).unwrap();
    assert!(!String::from_utf8_lossy(&kept).contains("hunter2"));
}

/// The settings of the file that Kafka is delivered with, `config/server.properties`.
const SERVER_PROPERTIES: &str = "\
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=localhost:9093
listeners=PLAINTEXT://:9092,CONTROLLER://:9093
inter.broker.listener.name=PLAINTEXT
advertised.listeners=PLAINTEXT://localhost:9092,CONTROLLER://localhost:9093
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL
num.network.threads=3
num.io.threads=8
socket.send.buffer.bytes=102400
socket.receive.buffer.bytes=102400
socket.request.max.bytes=104857600
log.dirs=/tmp/kraft-combined-logs
num.partitions=1
num.recovery.threads.per.data.dir=1
offsets.topic.replication.factor=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
log.retention.hours=168
log.segment.bytes=1073741824
log.retention.check.interval.ms=300000
listener.name.plaintext.ssl.keystore.location=/nowhere
zookeeper.connect=localhost:2181
";

#[test]
fn the_file_that_kafka_is_delivered_with_starts_the_broker_and_what_does_nothing_is_told() {
    let dir = data_dir();
    let file = dir.path().join("server.properties");
    // The listeners of the file, on ports that are free.
    let text = SERVER_PROPERTIES.replace("PLAINTEXT://:9092", "PLAINTEXT://127.0.0.1:0");
    std::fs::write(&file, text).unwrap();
    let data = dir.path().join("data");
    let (broker, log) =
        Broker::start_bare(&["--config", file.to_str().unwrap(), "--data-dir", data.to_str().unwrap()]);
    let cluster = broker.client().call(2, &DescribeClusterRequest::default());
    let told: Vec<_> = cluster.brokers.iter().map(|broker| (broker.host.as_str(), broker.port)).collect();
    assert_eq!(told, [("localhost", 9092)]);
    broker.stop();
    let log = log.join().unwrap();
    let line = |word: &str| {
        let line = log.lines().find(|line| line.contains(word)).unwrap_or_else(|| panic!("{word}: {log}"));
        assert!(line.contains("WARN"), "{line}");
        line.to_owned()
    };
    assert!(line("num.io.threads").contains("a thread per core does all work"));
    assert!(line("transaction.state.log.min.isr").contains("a single node replicates nothing"));
    assert!(
        line("listener.name.plaintext.ssl.keystore.location").contains("no listener with TLS has that name")
    );
    assert!(line("zookeeper.connect").contains("settings that nobody knows are passed over"));
    assert!(line("CONTROLLER://:9093").contains("listeners of controllers are passed over"));
    assert_eq!(
        log.lines().filter(|line| line.contains("WARN")).count(),
        log.lines().filter(|line| line.contains("no effect here")).count() + 2
    );
}
