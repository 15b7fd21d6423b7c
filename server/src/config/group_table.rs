//! The table of the settings that a group has of its own, each with the broker setting that it takes the
//! place of and with the broker's bounds, as in Kafka; and what is asked of the broker's.

use strandline_engine::config::ConfigBounds::{Any, Whole};
use strandline_engine::config::{ConfigKind, ConfigMode, TopicConfigEntry};

use super::error::{SettingError, bad};
use super::settings::Settings;

/// What the name begins with under which a group's setting is kept: `group:GROUP:SETTING`.
pub(super) const PREFIX: &str = "group:";

/// A setting of a group.
pub struct GroupConfigEntry {
    /// Its declaration; `broker_name` is the broker setting that counts where the group has none.
    pub entry: TopicConfigEntry,
    /// The broker settings that bound it.
    pub bounds: Option<(&'static str, &'static str)>,
}

const fn number(
    name: &'static str,
    broker_name: &'static str,
    default: &'static str,
    bounds: (&'static str, &'static str),
    doc: &'static str,
) -> GroupConfigEntry {
    let entry = TopicConfigEntry {
        name,
        broker_name: Some(broker_name),
        kind: ConfigKind::Int,
        default: Some(default),
        bounds: Whole(0, i32::MAX as i64),
        mode: ConfigMode::Dynamic,
        has_effect: true,
        doc,
    };
    GroupConfigEntry { entry, bounds: Some(bounds) }
}

/// Every setting of a group, by name.
pub const GROUP_CONFIGS: &[GroupConfigEntry] = &[
    number(
        "consumer.assignment.interval.ms",
        "group.consumer.assignment.interval.ms",
        "1000",
        ("group.consumer.min.assignment.interval.ms", "group.consumer.max.assignment.interval.ms"),
        "How long it is at least from one sharing out of the group's partitions to the next.",
    ),
    GroupConfigEntry {
        entry: TopicConfigEntry {
            name: "consumer.assignor.offload.enable",
            broker_name: None,
            kind: ConfigKind::Bool,
            default: Some("true"),
            bounds: Any,
            mode: ConfigMode::Dynamic,
            has_effect: false,
            doc: "sharing out that takes long always goes on beside the group, in slices",
        },
        bounds: None,
    },
    number(
        "consumer.heartbeat.interval.ms",
        "group.consumer.heartbeat.interval.ms",
        "5000",
        ("group.consumer.min.heartbeat.interval.ms", "group.consumer.max.heartbeat.interval.ms"),
        "How often a member of the group says that it is alive.",
    ),
    number(
        "consumer.session.timeout.ms",
        "group.consumer.session.timeout.ms",
        "45000",
        ("group.consumer.min.session.timeout.ms", "group.consumer.max.session.timeout.ms"),
        "How long a member of the group may be silent before it is taken out. It is more than consumer.heartbeat.interval.ms.",
    ),
];

/// Settings of which one is to be larger than the other.
pub(super) const SESSION_AND_HEARTBEAT: [(&str, &str); 1] =
    [("consumer.session.timeout.ms", "consumer.heartbeat.interval.ms")];

/// The setting of this name.
pub(super) fn find(name: &str) -> Option<&'static GroupConfigEntry> {
    GROUP_CONFIGS.iter().find(|config| config.entry.name == name)
}

/// Refuses broker settings of groups that do not go together.
pub(super) fn check(settings: &Settings) -> Result<(), SettingError> {
    for GroupConfigEntry { entry, bounds } in GROUP_CONFIGS {
        let (Some(name), Some((min, max))) = (entry.broker_name, bounds) else { continue };
        let (value, least, most) = (settings.whole(name), settings.whole(min), settings.whole(max));
        if least > most {
            return Err(bad(*max, settings.text(max), "no less than the setting of the same name with min"));
        } else if !(least..=most).contains(&value) {
            let expected = "a number within the settings of the same name with min and max";
            return Err(bad(name, settings.text(name), expected));
        }
    }
    for (session, heartbeat) in SESSION_AND_HEARTBEAT {
        let broker_name = |name| find(name).and_then(|config| config.entry.broker_name).expect("it has one");
        let (session, heartbeat) = (broker_name(session), broker_name(heartbeat));
        if settings.whole(session) <= settings.whole(heartbeat) {
            let expected = "more than the heartbeat interval of the same kind of groups";
            return Err(bad(session, settings.text(session), expected));
        }
    }
    Ok(())
}

/// Whether a setting for all brokers is a group's.
pub(super) fn is_of_a_group(name: &str) -> bool {
    name.starts_with(PREFIX)
}
