//! The broker's settings, in Kafka's names where Kafka has one: declared once in [`BROKER_CONFIGS`], and the
//! `broker_name` of every topic setting of the engine beside it.
//!
//! A file in Java's properties form comes first, then single settings from the command line, which win.
//! Kafka's settings that do nothing here are known as well ([`WITHOUT_EFFECT`]) and told when they are used.
//! A name that is nobody's is told and passed over in a file, as Kafka does, and an error on the command
//! line; a value that cannot be is an error everywhere.
//!
//! No service is known here: each takes the settings that are its own ([`BrokerConfig::whole`]).

mod dynamic;
mod host_port;
mod listeners;
mod resolve;
mod settings;
mod table;
mod without_effect;

pub use dynamic::{changed, layers};
pub use host_port::{HostPort, NotHostPort};
pub use resolve::BrokerConfig;
pub use settings::{SettingError, Settings};
pub use table::{BROKER_CONFIGS, broker_config_entry, broker_configs};
pub use without_effect::WITHOUT_EFFECT;

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;
    use strandline_engine::config::{TOPIC_CONFIGS, TopicConfig};

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
