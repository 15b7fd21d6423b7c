//! A topic's settings as clients are shown them.

use strandline_engine::config::{ConfigKind, Origin, TOPIC_CONFIGS, TopicConfigEntry, TopicDefaults};
use strandline_protocol::messages::DescribeConfigsSynonym;
use strandline_protocol::wire::ErrorCode;

use crate::call::Call;
use crate::security::acl::{Operation, Resource};

/// Types of resources that are no part of the cluster as a whole, in Kafka's numbers.
const TOPIC: i8 = 2;
const GROUP: i8 = 32;

/// A value of a topic's own, in Kafka's numbers.
const SOURCE_TOPIC: i8 = 1;

/// A value of a group's own.
pub(super) const SOURCE_GROUP: i8 = 8;

/// Where another value comes from, in Kafka's numbers.
pub(super) fn source_code(origin: Origin) -> i8 {
    match origin {
        Origin::ThisBroker => 2,
        Origin::AllBrokers => 3,
        Origin::Start => 4,
        Origin::Default => 5,
    }
}

/// A setting with the value in force.
pub(super) struct Setting {
    pub(super) entry: &'static TopicConfigEntry,
    pub(super) value: String,
    pub(super) source: i8,
    /// Every place that gives a value, the one in force first.
    pub(super) synonyms: Vec<DescribeConfigsSynonym>,
}

/// All settings of a topic that sets `own` itself, by name.
pub(super) fn topic_settings(own: &[(String, String)], defaults: &TopicDefaults) -> Vec<Setting> {
    TOPIC_CONFIGS.iter().map(|entry| topic_setting(entry, own, defaults)).collect()
}

fn topic_setting(
    entry: &'static TopicConfigEntry,
    own: &[(String, String)],
    defaults: &TopicDefaults,
) -> Setting {
    let mut synonyms = Vec::with_capacity(3);
    let mut add = |name: &str, value: &str, source| {
        synonyms.push(DescribeConfigsSynonym {
            name: name.to_owned(),
            value: Some(value.to_owned()),
            source,
        });
    };
    if let Some((_, value)) = own.iter().rev().find(|(name, _)| name == entry.name) {
        // Kept by an earlier version as it was written.
        add(entry.name, &entry.canonical(value).unwrap_or_else(|_| value.clone()), SOURCE_TOPIC);
    }
    for (origin, value) in defaults.layers(entry) {
        add(entry.broker_name.unwrap_or(entry.name), value, source_code(origin));
    }
    let first = &synonyms[0];
    let (value, source) = (first.value.clone().unwrap_or_default(), first.source);
    Setting { entry, value, source, synonyms }
}

/// Why a resource of this type has no settings, for the client.
pub(super) fn not_kept(resource_type: i8) -> String {
    let name = match resource_type {
        1 => "ANY",
        8 => "BROKER_LOGGER",
        16 => "CLIENT_METRICS",
        _ => "an unknown type",
    };
    format!(
        "settings are kept here for topics, groups and brokers, and not for resources of {name} ({resource_type})"
    )
}

/// Whether the client may do this with the settings of a resource. Kafka keeps those of its brokers for who
/// may do it with the cluster.
pub(super) fn may(call: &Call, operation: Operation, (kind, name): (i8, &str)) -> Result<(), ErrorCode> {
    let resource = match kind {
        TOPIC => Resource::topic(name),
        GROUP => Resource::group(name),
        _ => Resource::CLUSTER,
    };
    call.may(operation, resource)
}

/// A type of value in Kafka's numbers.
pub(super) fn kind_code(kind: ConfigKind) -> i8 {
    match kind {
        ConfigKind::Bool => 1,
        ConfigKind::Text => 2,
        ConfigKind::Int => 3,
        ConfigKind::Short => 4,
        ConfigKind::Long => 5,
        ConfigKind::Double => 6,
        ConfigKind::List => 7,
        ConfigKind::Class => 8,
        ConfigKind::Password => 9,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_synonyms_begin_with_the_value_in_force() {
        let mut defaults = TopicDefaults::default();
        defaults.set("segment.bytes", "2097152").unwrap();
        let own = [("segment.bytes".to_owned(), "4194304".to_owned())];
        let of = |own: &[(String, String)], defaults: &TopicDefaults| {
            let all = topic_settings(own, defaults);
            let setting = all.into_iter().find(|setting| setting.entry.name == "segment.bytes").unwrap();
            let sources: Vec<_> = setting.synonyms.iter().map(|synonym| synonym.source).collect();
            (setting.value, setting.source, sources)
        };
        assert_eq!(of(&own, &defaults), ("4194304".to_owned(), 1, vec![1, 4, 5]));
        assert_eq!(of(&[], &defaults), ("2097152".to_owned(), 4, vec![4, 5]));
        assert_eq!(of(&[], &TopicDefaults::default()), ("1073741824".to_owned(), 5, vec![5]));
    }
}
