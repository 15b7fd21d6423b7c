//! The broker's settings, in Kafka's names where Kafka has one: declared once in [`BROKER_CONFIGS`], and the
//! `broker_name` of every topic setting of the engine beside it.
//!
//! A file in Java's properties form comes first, then single settings from the command line, which win.
//! Kafka's settings that do nothing here are known as well ([`WITHOUT_EFFECT`]) and told when they are used.
//! A name that is nobody's is told and passed over in a file, as Kafka does, and an error on the command
//! line; a value that cannot be is an error everywhere.
//!
//! No service is known here: each takes the settings that are its own ([`BrokerConfig::whole`]).

mod authorizer;
mod bearer;
mod connections;
mod dynamic;
mod environment;
mod error;
mod features;
mod group_table;
mod groups;
mod host_port;
mod listeners;
mod reset;
mod resolve;
mod sasl;
mod settings;
mod table;
mod tls;
mod without_effect;

pub use authorizer::AuthorizerConfig;
pub use bearer::{BearerConfig, KeysPlace};
pub use connections::{ConnectionLimits, ConnectionRates};
pub use dynamic::{changed, is_of_tls, layers, text_in_force};
pub use environment::cluster_id;
pub use error::{Expected, SettingError};
pub use features::{feature_level, with_feature_level};
pub use group_table::{Form, GROUP_CONFIGS, GroupConfigEntry};
pub use groups::{changed_group, group_layers, groups_with_settings, own_settings, text_of_group};
pub use host_port::{HostPort, NotHostPort};
pub use listeners::{Advertised, ListenerConfig};
pub use reset::Reset;
pub use resolve::BrokerConfig;
pub use sasl::SaslConfig;
pub use settings::Settings;
pub use table::{BROKER_CONFIGS, broker_config_entry, broker_configs};
pub use tls::TlsConfig;
pub use without_effect::WITHOUT_EFFECT;

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;
    use strandline_engine::config::{DynamicSettings, TOPIC_CONFIGS, TopicConfig};

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
        let [listener] = &config.listeners[..] else { panic!("one listener") };
        assert_eq!((&*listener.name, listener.listen.to_string().as_str()), ("PLAINTEXT", "127.0.0.1:9092"));
        assert_eq!((&listener.advertised, listener.connections_max), (&Advertised::AsBound, None));
        assert_eq!(config.data_dir, Path::new("./strandline-data"));
        assert_eq!((config.num_partitions, config.node_id), (1, None));
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
            refusal(&[("listeners", "A://:9093"), ("listener.security.protocol.map", "A:TLS")]),
            "listener.security.protocol.map=A:TLS: expected PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL behind A, and \
             not TLS"
        );
        assert_eq!(refusal(&[("log.dirs", "/a,/b")]), "log.dirs=/a,/b: expected exactly one directory");
    }

    #[test]
    fn a_listener_of_a_kafka_file_is_understood() {
        let listen = |text: &str| settings(&[("listeners", text)]).unwrap().listeners.remove(0).listen;
        assert!(listen("PLAINTEXT://:9092").is_any());
        assert!(listen("PLAINTEXT://0.0.0.0:9092,CONTROLLER://:9093").is_any());
        assert_eq!(listen("plaintext://[::1]:1"), HostPort { host: "::1".to_owned(), port: 1 });
        assert_eq!(listen("PLAINTEXT://[::1]:1").to_string(), "[::1]:1");
        for bad in ["", "host", "host:", "host:99999", "::1:80", "[::1:80"] {
            assert_eq!(bad.parse::<HostPort>(), Err(NotHostPort), "{bad}");
        }
    }

    #[test]
    fn each_listener_has_its_place_its_address_and_its_limit() {
        let listeners = |more: &[(&str, &str)]| {
            let map = ("listener.security.protocol.map", "IN:PLAINTEXT,Out:PLAINTEXT,CONTROLLER:PLAINTEXT");
            let three = ("listeners", "IN://127.0.0.1:0, out://:9093,CONTROLLER://:9094");
            settings(&[&[map, three], more].concat())
        };
        let config = listeners(&[]).unwrap();
        let names: Vec<&str> = config.listeners.iter().map(|listener| &*listener.name).collect();
        assert_eq!(names, ["IN", "OUT"]);
        assert_eq!(config.passed_over, ["CONTROLLER://:9094"]);
        let told = ("advertised.listeners", "OUT://far:1,in://near:2");
        let config = listeners(&[told, ("listener.name.out.max.connections", "7")]).unwrap();
        let place = |text: &str| Advertised::At(text.parse().unwrap());
        let told = config.listeners.iter().map(|found| (found.advertised.clone(), found.connections_max));
        assert!(told.eq([(place("near:2"), None), (place("far:1"), Some(7))]));

        let limits = |listener| config.connection_limits(&Default::default(), listener, [10, 0, 0, 1].into());
        assert_eq!((limits("IN").all, limits("IN").listener), (10_000, usize::MAX));
        assert_eq!((limits("OUT").listener, limits("OUT").address), (7, i32::MAX as usize));
        // As in Kafka, a listener that is not among them is open, and clients are told of nothing there.
        let config = listeners(&[("advertised.listeners", "IN://near:2")]).unwrap();
        let told: Vec<_> = config.listeners.iter().map(|listener| listener.advertised.clone()).collect();
        assert_eq!(told, [place("near:2"), Advertised::Nowhere]);
        for (refused, because) in [
            ("IN://near:2,NOPE://far:1", "names of listeners, of which NOPE is none"),
            ("IN://near:2,OUT://far:1,in://far:3", "each name once, and in stands there twice"),
            ("IN://0.0.0.0:1", "places that clients can connect to: 0.0.0.0:1 stands for every address"),
            ("IN://[::]:1", "places that clients can connect to: [::]:1 stands for every address"),
            ("CONTROLLER://far:1", "at least one listener of clients"),
        ] {
            let said = listeners(&[("advertised.listeners", refused)]).unwrap_err().to_string();
            let start = format!("advertised.listeners={refused}: expected {because}");
            assert!(said.starts_with(&start), "{said}");
        }
        let between =
            |name| listeners(&[("advertised.listeners", "IN://a:2"), ("inter.broker.listener.name", name)]);
        assert!(between("in").is_ok());
        for refused in ["OUT", "NOPE", "CONTROLLER"] {
            assert_eq!(
                between(refused).unwrap_err().to_string(),
                format!(
                    "inter.broker.listener.name={refused}: expected the name of a listener that is advertised, of \
                     which there are: IN"
                )
            );
        }
    }

    #[test]
    fn the_limit_of_a_listener_is_known_by_its_name_in_lower_case() {
        let (key, value) = ("listener.name.OUT.max.connections", "7");
        assert_eq!(refusal(&[(key, "0")]), format!("{key}=0: expected a whole number from 1 to 2147483647"));
        let map = ("listener.security.protocol.map", "OUT:PLAINTEXT");
        let unknown = "listener.name.nope.max.connections";
        let config = settings(&[map, ("listeners", "OUT://:0"), (key, value), (unknown, "3")]).unwrap();
        assert_eq!(config.listeners[0].connections_max, None);
        let told: Vec<_> = config.without_effect().into_iter().collect();
        assert_eq!(told.len(), 1, "{told:?}");
        assert_eq!(told[0].1, [key, unknown]);
    }

    #[test]
    fn what_an_argument_says_of_the_one_listener_is_said_with_its_name() {
        let place: HostPort = "far:1".parse().unwrap();
        let given = |listeners: Option<&str>| {
            let mut settings = Settings::default();
            settings.set("listener.security.protocol.map", "IN:PLAINTEXT,OUT:PLAINTEXT")?;
            listeners.map_or(Ok(()), |listeners| settings.set("listeners", listeners))?;
            settings.listen(&"127.0.0.1:7".parse().unwrap())?;
            settings.advertise(&place)?;
            let listener = BrokerConfig::resolve(settings)?.listeners.remove(0);
            Ok((listener.name.to_string(), listener.listen.port, listener.advertised))
        };
        let told = Advertised::At(place.clone());
        for (listeners, name) in
            [(None, "PLAINTEXT"), (Some("IN://:9092"), "IN"), (Some("OUT://:1,CONTROLLER://:2"), "OUT")]
        {
            let given: Result<_, SettingError> = given(listeners);
            assert_eq!(given.unwrap(), (name.to_owned(), 7, told.clone()));
        }
        let several: SettingError = given(Some("IN://:1,OUT://:2")).unwrap_err();
        assert!(several.to_string().starts_with("--listen is for a broker with one listener"), "{several}");
    }

    #[test]
    fn an_address_has_its_own_limit_or_that_of_all() {
        let config =
            settings(&[("max.connections.per.ip", "3"), ("max.connections.per.ip.overrides", "10.0.0.2:5")]);
        let config = config.unwrap();
        let most = |dynamic: &[(&str, &str)], last| {
            let all_brokers =
                dynamic.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            let dynamic = DynamicSettings { all_brokers, ..Default::default() };
            config.connection_limits(&dynamic, "PLAINTEXT", [10, 0, 0, last].into()).address
        };
        assert_eq!((most(&[], 1), most(&[], 2)), (3, 5));
        let changed = [("max.connections.per.ip", "4"), ("max.connections.per.ip.overrides", "10.0.0.1:9")];
        assert_eq!((most(&changed, 1), most(&changed, 2)), (9, 4));
        assert_eq!(
            refusal(&[("max.connections.per.ip.overrides", "host:5")]),
            "max.connections.per.ip.overrides=host:5: expected ADDRESS:COUNT,ADDRESS:COUNT,... with addresses \
             and not names"
        );
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
        let refused = file("num.partitions=x").unwrap_err();
        assert!(matches!(refused, SettingError::BadValue { name, .. } if name == "num.partitions"));
    }
}
