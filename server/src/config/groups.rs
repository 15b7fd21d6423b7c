//! Settings that a group has of its own: where the one in force comes from, and what a change leads to.
//!
//! They are kept with the settings for all brokers, under a name that says whose they are. A value that the
//! broker's bounds do not allow is refused; one that they do not allow any more counts as the nearest that
//! they do.

use std::collections::BTreeSet;

use strandline_engine::config::{Allowed, ConfigError, DynamicSettings, Origin, TopicConfigEntry};
use strandline_engine::topics::ConfigChange;

use super::dynamic::layers_of_broker;
use super::group_table::{
    Bounds, Form, GroupConfigEntry, PREFIX, SESSION_AND_HEARTBEAT, find, is_of_a_group,
};
use super::resolve::BrokerConfig;
use super::table::broker_config_entry;

/// The most settings that all groups have together. All of them are written with each change.
const SETTINGS_MAX: usize = 10_000;

fn kept_as(group: &str) -> String {
    format!("{PREFIX}{group}:")
}

/// What a group has set itself.
pub fn own_settings(dynamic: &DynamicSettings, group: &str) -> Vec<(String, String)> {
    let prefix = kept_as(group);
    let own = dynamic.all_brokers.iter().filter_map(|(name, value)| {
        // The id of another group may begin with this one's.
        let setting = name.strip_prefix(&prefix).filter(|setting| find(setting).is_some())?;
        Some((setting.to_owned(), value.clone()))
    });
    own.collect()
}

/// The groups that have settings of their own.
pub fn groups_with_settings(dynamic: &DynamicSettings) -> BTreeSet<&str> {
    let names = dynamic.all_brokers.iter().filter_map(|(name, _)| name.strip_prefix(PREFIX));
    names.filter_map(|name| name.rsplit_once(':')).map(|(group, _)| group).collect()
}

/// Every place that gives a setting of a group a value, the one in force first: `None` for the group itself.
pub fn group_layers(
    config: &BrokerConfig,
    dynamic: &DynamicSettings,
    own: &[(String, String)],
    entry: &'static TopicConfigEntry,
) -> Vec<(Option<Origin>, &'static str, String)> {
    let own = own.iter().filter(|(name, _)| name == entry.name);
    let own = own.map(|(_, value)| (None, entry.name, value.clone()));
    let of_broker = entry.broker_name.and_then(broker_config_entry);
    let below: Vec<_> = match of_broker {
        Some(broker) => {
            let of_broker = layers_of_broker(config, dynamic, broker);
            of_broker.map(|(origin, value)| (Some(origin), broker.name, value.to_owned())).collect()
        }
        None => entry
            .default
            .map(|value| (Some(Origin::Default), entry.name, value.to_owned()))
            .into_iter()
            .collect(),
    };
    own.chain(below).collect()
}

/// The settings there are after a change of those of a group; makes nothing.
///
/// # Errors
/// When a name is not known, a value cannot be, or groups have too many settings.
pub fn changed_group(
    config: &BrokerConfig,
    dynamic: &DynamicSettings,
    group: &str,
    change: &ConfigChange,
) -> Result<DynamicSettings, ConfigError> {
    let find = |name: &str| {
        let unknown = || ConfigError::UnknownName { name: name.to_owned() };
        find(name).ok_or_else(unknown)
    };
    let below = |name: &str| {
        let entry = &find(name)?.entry;
        let value = group_layers(config, dynamic, &[], entry).into_iter().next().map(|(_, _, value)| value);
        Ok((entry, value.unwrap_or_default()))
    };
    let mut own = own_settings(dynamic, group);
    match change {
        ConfigChange::Replace(configs) => own = configs.clone(),
        ConfigChange::Steps(steps) => steps.iter().try_for_each(|step| step.apply(&mut own, &below))?,
    }
    for (name, value) in &mut own {
        let GroupConfigEntry { entry, bounds, form } = find(name)?;
        *value = entry.canonical(value)?;
        if let Some(Form { is_one, expected }) = form
            && !is_one(value)
        {
            let (value, expected) = (value.clone(), (*expected).into());
            return Err(ConfigError::BadValue { name: entry.name, value, expected });
        }
        let Some(bounds) = bounds else { continue };
        let (min, max) = config.bounds(*bounds);
        if !value.parse().is_ok_and(|value: i64| (min..=max).contains(&value)) {
            let expected = Allowed::Between { min, max };
            return Err(ConfigError::BadValue { name: entry.name, value: value.clone(), expected });
        }
    }
    let in_effect = |name: &'static str| -> i64 {
        let layers = find(name).map(|found| group_layers(config, dynamic, &own, &found.entry));
        layers.ok().and_then(|layers| layers.first()?.2.parse().ok()).unwrap_or_default()
    };
    for (session, heartbeat) in SESSION_AND_HEARTBEAT {
        let (value, least) = (in_effect(session), in_effect(heartbeat));
        if own.iter().any(|(name, _)| name == session || name == heartbeat) && value <= least {
            let expected = Allowed::MoreThan { name: heartbeat, value: least };
            return Err(ConfigError::BadValue { name: session, value: value.to_string(), expected });
        }
    }
    let mut settings = dynamic.clone();
    let prefix = kept_as(group);
    settings
        .all_brokers
        .retain(|(name, _)| name.strip_prefix(&prefix).is_none_or(|setting| find(setting).is_err()));
    settings.all_brokers.extend(own.into_iter().map(|(name, value)| (format!("{prefix}{name}"), value)));
    let count = settings.all_brokers.iter().filter(|(name, _)| is_of_a_group(name)).count();
    if count > SETTINGS_MAX {
        let (value, expected) =
            (count.to_string(), Allowed::AtMost { count: SETTINGS_MAX, what: "settings of groups" });
        return Err(ConfigError::BadValue { name: "settings of groups", value, expected });
    }
    Ok(settings)
}

impl BrokerConfig {
    /// The number that is in force for a group, within the broker's bounds.
    ///
    /// # Panics
    /// When the table has no such setting, or one that is no whole number.
    pub fn whole_of_group(&self, dynamic: &DynamicSettings, group: &str, name: &'static str) -> i64 {
        let GroupConfigEntry { entry, bounds, .. } = find(name).expect("a name of the table");
        let key = format!("{}{name}", kept_as(group));
        let broker_name = entry.broker_name.expect("it has one");
        let set = |name: &str| dynamic.get(name).and_then(|value| value.parse().ok());
        let value = set(&key).or_else(|| set(broker_name));
        let value = value.unwrap_or_else(|| self.whole(broker_name));
        let (min, max) = bounds.map_or((0, i64::MAX), |bounds| self.bounds(bounds));
        value.clamp(min, max.max(min))
    }

    /// The least and the most that a setting of a group may be.
    pub(super) fn bounds(&self, (min, max): Bounds) -> (i64, i64) {
        (min.map_or(0, |min| self.whole(min)), self.whole(max))
    }
}

/// The value that is in force for a group, of a setting that no broker has.
///
/// # Panics
/// When the table has no such setting.
pub fn text_of_group<'a>(dynamic: &'a DynamicSettings, group: &str, name: &'static str) -> &'a str {
    let entry = &find(name).expect("a name of the table").entry;
    let own = dynamic.get(&format!("{}{name}", kept_as(group)));
    own.or(entry.default).expect("all of them have a default")
}

#[cfg(test)]
mod tests {
    use super::super::group_table::GROUP_CONFIGS;
    use super::super::{SettingError, Settings};
    use super::*;
    use strandline_engine::topics::ConfigStep;

    fn config(pairs: &[(&str, &str)]) -> Result<BrokerConfig, SettingError> {
        let mut settings = Settings::default();
        pairs.iter().try_for_each(|(name, value)| settings.set(name, value))?;
        BrokerConfig::resolve(settings)
    }

    fn set(
        dynamic: &DynamicSettings,
        group: &str,
        pairs: &[(&str, &str)],
    ) -> Result<DynamicSettings, ConfigError> {
        let step = |(name, value): &(&str, &str)| ConfigStep::Set((*name).to_owned(), (*value).to_owned());
        let change = ConfigChange::Steps(pairs.iter().map(step).collect());
        changed_group(&config(&[]).unwrap(), dynamic, group, &change)
    }

    #[test]
    fn a_group_has_its_own_within_the_bounds_of_its_broker() {
        assert!(GROUP_CONFIGS.is_sorted_by_key(|config| config.entry.name));
        let broker = config(&[]).unwrap();
        let nothing = DynamicSettings::default();
        let session = "consumer.session.timeout.ms";
        let one = set(&nothing, "g", &[(session, "50000")]).unwrap();
        let both = set(&one, "g:h", &[(session, "60000")]).unwrap();
        let value = |group| broker.whole_of_group(&both, group, session);
        assert_eq!((value("g"), value("g:h"), value("h")), (50_000, 60_000, 45_000));
        assert_eq!(groups_with_settings(&both), BTreeSet::from(["g", "g:h"]));
        for (name, refused) in
            [(session, "44999"), (session, "60001"), ("consumer.heartbeat.interval.ms", "4999"), ("no", "1")]
        {
            assert!(set(&nothing, "g", &[(name, refused)]).is_err(), "{name}={refused}");
        }
        let narrow = config(&[("group.consumer.max.session.timeout.ms", "55000")]).unwrap();
        assert_eq!(narrow.whole_of_group(&both, "g:h", session), 55_000, "what is not allowed any more");
        let none = changed_group(&broker, &both, "g", &ConfigChange::Replace(Vec::new())).unwrap();
        assert_eq!(groups_with_settings(&none), BTreeSet::from(["g:h"]));
    }

    #[test]
    fn settings_of_groups_that_do_not_go_together_are_refused_at_the_start() {
        for pairs in [
            &[("group.consumer.session.timeout.ms", "44999")][..],
            &[("group.consumer.heartbeat.interval.ms", "15001")],
            &[("group.consumer.assignment.interval.ms", "15001")],
            &[("group.consumer.min.session.timeout.ms", "60001")],
            &[("group.share.record.lock.duration.ms", "14999")],
            &[("group.share.session.timeout.ms", "60001")],
            &[
                ("group.share.max.heartbeat.interval.ms", "45000"),
                ("group.share.heartbeat.interval.ms", "45000"),
            ],
            &[
                ("group.consumer.max.heartbeat.interval.ms", "45000"),
                ("group.consumer.heartbeat.interval.ms", "45000"),
            ],
        ] {
            assert!(config(pairs).is_err(), "{pairs:?}");
        }
    }
}
