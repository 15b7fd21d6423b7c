//! The table of the settings that a group has of its own, each with the broker setting that it takes the
//! place of and with the broker's bounds, as in Kafka; and what is asked of the broker's.

use strandline_engine::config::ConfigBounds::{self, Any, Whole, Words};
use strandline_engine::config::{ConfigKind, ConfigMode, TopicConfigEntry};
use strandline_engine::format::names::check_topic_name;

use super::error::{SettingError, bad};
use super::reset::Reset;
use super::settings::Settings;

/// What the name begins with under which a group's setting is kept: `group:GROUP:SETTING`.
pub(super) const PREFIX: &str = "group:";

/// The broker settings that bound a setting of a group: from below, where there is one, and from above.
pub(super) type Bounds = (Option<&'static str>, &'static str);

/// A setting of a group.
pub struct GroupConfigEntry {
    /// Its declaration; `broker_name` is the broker setting that counts where the group has none.
    pub entry: TopicConfigEntry,
    /// The broker settings that bound it.
    pub bounds: Option<(Option<&'static str>, &'static str)>,
    /// What a value must be, where neither its type nor bounds say so.
    pub form: Option<Form>,
}

/// What the values of a setting must be.
#[derive(Clone, Copy)]
pub struct Form {
    /// Whether a text is one.
    pub is_one: fn(&str) -> bool,
    /// The same in words.
    pub expected: &'static str,
}

const fn number(
    name: &'static str,
    broker_name: &'static str,
    default: &'static str,
    bounds: (&'static str, &'static str),
    doc: &'static str,
) -> GroupConfigEntry {
    bounded(name, broker_name, default, Some((Some(bounds.0), bounds.1)), doc)
}

const fn bounded(
    name: &'static str,
    broker_name: &'static str,
    default: &'static str,
    bounds: Option<Bounds>,
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
    GroupConfigEntry { entry, bounds, form: None }
}

/// One that only groups have.
const fn of_groups_alone(
    name: &'static str,
    kind: ConfigKind,
    default: &'static str,
    bounds: ConfigBounds,
    doc: &'static str,
) -> GroupConfigEntry {
    let (broker_name, default, mode) = (None, Some(default), ConfigMode::Dynamic);
    let entry = TopicConfigEntry { name, broker_name, kind, default, bounds, mode, has_effect: true, doc };
    GroupConfigEntry { entry, bounds: None, form: None }
}

/// One that is known and means nothing here.
const fn without_effect(entry: GroupConfigEntry) -> GroupConfigEntry {
    GroupConfigEntry { entry: TopicConfigEntry { has_effect: false, ..entry.entry }, ..entry }
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
    without_effect(of_groups_alone(
        "consumer.assignor.offload.enable",
        ConfigKind::Bool,
        "true",
        Any,
        "sharing out that takes long always goes on beside the group, in slices",
    )),
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
    of_groups_alone(
        "errors.deadletterqueue.copy.record.enable",
        ConfigKind::Bool,
        "false",
        Any,
        "Whether dead letters have the key, the value and the headers of their records, or only headers that say which these were (KIP-1191).",
    ),
    GroupConfigEntry {
        form: Some(Form {
            is_one: is_dead_letter_queue,
            expected: "the name of a topic that is not the broker's own, or nothing",
        }),
        ..of_groups_alone(
            "errors.deadletterqueue.topic.name",
            ConfigKind::Text,
            "",
            Any,
            "The topic that records of a share group go to that are rejected or were delivered too often (KIP-1191, share.version 2): one with errors.deadletterqueue.group.enable, whose name begins with errors.deadletterqueue.topic.name.prefix. Nothing: they are archived, and go to no topic.",
        )
    },
    without_effect(of_groups_alone(
        "share.assignment.interval.ms",
        ConfigKind::Int,
        "1000",
        Whole(0, i32::MAX as i64),
        "partitions of share groups are shared out at once: nobody has to give one up",
    )),
    without_effect(of_groups_alone(
        "share.assignor.offload.enable",
        ConfigKind::Bool,
        "true",
        Any,
        "partitions of share groups are shared out on the thread of their coordinator",
    )),
    GroupConfigEntry {
        form: Some(Form { is_one: |value| Reset::parse(value).is_some(), expected: Reset::EXPECTED }),
        ..of_groups_alone(
            "share.auto.offset.reset",
            ConfigKind::Text,
            "latest",
            Any,
            "Where the group begins in a partition that it has never fetched from: earliest, latest, or by_duration: with how far back in time, as by_duration:P1DT12H.",
        )
    },
    number(
        "share.delivery.count.limit",
        "group.share.delivery.count.limit",
        "5",
        ("group.share.min.delivery.count.limit", "group.share.max.delivery.count.limit"),
        "How often a record is given out to the group before it is archived.",
    ),
    number(
        "share.heartbeat.interval.ms",
        "group.share.heartbeat.interval.ms",
        "5000",
        ("group.share.min.heartbeat.interval.ms", "group.share.max.heartbeat.interval.ms"),
        "How often a member of the group says that it is alive.",
    ),
    of_groups_alone(
        "share.isolation.level",
        ConfigKind::Text,
        "read_uncommitted",
        Words(&["read_uncommitted", "read_committed"]),
        "Whether the group is given records of transactions that are not committed.",
    ),
    number(
        "share.partition.max.record.locks",
        "group.share.partition.max.record.locks",
        "2000",
        ("group.share.min.partition.max.record.locks", "group.share.max.partition.max.record.locks"),
        "Most records of a partition that the group has under way, from the first that is not done with on.",
    ),
    number(
        "share.record.lock.duration.ms",
        "group.share.record.lock.duration.ms",
        "30000",
        ("group.share.min.record.lock.duration.ms", "group.share.max.record.lock.duration.ms"),
        "How long a member of the group has a record before somebody else may have it.",
    ),
    of_groups_alone(
        "share.renew.acknowledge.enable",
        ConfigKind::Bool,
        "true",
        Any,
        "Whether a member may ask to have a record for longer.",
    ),
    number(
        "share.session.timeout.ms",
        "group.share.session.timeout.ms",
        "45000",
        ("group.share.min.session.timeout.ms", "group.share.max.session.timeout.ms"),
        "How long a member of the group may be silent before it is taken out. It is more than share.heartbeat.interval.ms.",
    ),
    number(
        "streams.assignment.interval.ms",
        "group.streams.assignment.interval.ms",
        "1000",
        ("group.streams.min.assignment.interval.ms", "group.streams.max.assignment.interval.ms"),
        "How long it is at least from one sharing out of the group's tasks to the next.",
    ),
    number(
        "streams.heartbeat.interval.ms",
        "group.streams.heartbeat.interval.ms",
        "5000",
        ("group.streams.min.heartbeat.interval.ms", "group.streams.max.heartbeat.interval.ms"),
        "How often a member of the streams group says that it is alive.",
    ),
    bounded(
        "streams.initial.rebalance.delay.ms",
        "group.streams.initial.rebalance.delay.ms",
        "3000",
        None,
        "How long the group, while it is empty, waits for more members than the first before tasks are shared out.",
    ),
    bounded(
        "streams.num.standby.replicas",
        "group.streams.num.standby.replicas",
        "0",
        Some((None, "group.streams.max.standby.replicas")),
        "How many members of the group stand by each task that has a state, with a copy of it.",
    ),
    number(
        "streams.session.timeout.ms",
        "group.streams.session.timeout.ms",
        "45000",
        ("group.streams.min.session.timeout.ms", "group.streams.max.session.timeout.ms"),
        "How long a member of the streams group may be silent before it is taken out. It is more than streams.heartbeat.interval.ms.",
    ),
];

/// Settings of which one is to be larger than the other.
pub(super) const SESSION_AND_HEARTBEAT: [(&str, &str); 3] = [
    ("consumer.session.timeout.ms", "consumer.heartbeat.interval.ms"),
    ("share.session.timeout.ms", "share.heartbeat.interval.ms"),
    ("streams.session.timeout.ms", "streams.heartbeat.interval.ms"),
];

/// The setting of this name.
pub(super) fn find(name: &str) -> Option<&'static GroupConfigEntry> {
    GROUP_CONFIGS.iter().find(|config| config.entry.name == name)
}

/// Refuses broker settings of groups that do not go together.
pub(super) fn check(settings: &Settings) -> Result<(), SettingError> {
    for GroupConfigEntry { entry, bounds, .. } in GROUP_CONFIGS {
        let (Some(name), Some((min, max))) = (entry.broker_name, bounds) else { continue };
        let least = min.map_or(0, |min| settings.whole(min));
        let (value, most) = (settings.whole(name), settings.whole(max));
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

/// Whether a group may have this as its dead letter queue, as far as the name goes.
fn is_dead_letter_queue(name: &str) -> bool {
    name.is_empty() || (!name.starts_with("__") && check_topic_name(name).is_ok())
}

/// Whether a setting for all brokers is a group's.
pub(super) fn is_of_a_group(name: &str) -> bool {
    name.starts_with(PREFIX)
}
