//! Settings that change while the broker runs: where the one in force comes from, and what a change leads to.

use strandline_engine::config::{
    Allowed, ConfigError, ConfigMode, DynamicSettings, InForce, Origin, TOPIC_CONFIGS, TopicConfigEntry,
};
use strandline_engine::topics::ConfigChange;

use super::connections::{CREATION_RATE, OVERRIDES, counts_of_addresses};
use super::features::is_of_a_feature;
use super::group_table::{GROUP_CONFIGS, is_of_a_group};
use super::resolve::BrokerConfig;
use super::settings::{is_prefixed, name_of, of_one_listener};
use super::table::{broker_config_entry, shown_name};

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
    layers_of_broker(config, &in_force.dynamic, entry).map(owned).collect()
}

/// The same, for one that gives topics no default.
pub(super) fn layers_of_broker<'a>(
    config: &'a BrokerConfig,
    dynamic: &'a DynamicSettings,
    entry: &'static TopicConfigEntry,
) -> impl Iterator<Item = (Origin, &'a str)> {
    let started = config.set_value(entry.name).map(|value| (Origin::Start, value));
    let dynamic = dynamic.layers(entry.name).filter(|_| entry.mode != ConfigMode::ReadOnly);
    let default = entry.default.map(|value| (Origin::Default, value));
    dynamic.chain(started).chain(default)
}

/// The value of a broker setting that is in force and may change while the broker runs; empty for none.
///
/// # Panics
/// When the table has no such setting.
pub fn text_in_force<'a>(config: &'a BrokerConfig, dynamic: &'a DynamicSettings, name: &str) -> &'a str {
    let entry = broker_config_entry(name).expect("a name of the table");
    layers_of_broker(config, dynamic, entry).next().map_or("", |(_, value)| value)
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
        let entry = broker_config_entry(name).or_else(|| of_a_listener(config, name));
        let entry = entry.ok_or_else(|| match is_prefixed(name) {
            true => ConfigError::OnlyAtStart { name: name.to_owned() },
            false => ConfigError::UnknownName { name: name.to_owned() },
        })?;
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
    let is_apart = |name: &str| is_of_a_group(name) || is_of_a_feature(name);
    let apart: Vec<_> = settings.all_brokers.extract_if(.., |(name, _)| is_apart(name)).collect();
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
        if entry.name == OVERRIDES
            && let Err(expected) = counts_of_addresses(value)
        {
            return Err(ConfigError::BadValue { name: shown_name(entry), value: value.clone(), expected });
        }
        if let Some((min, max)) = group_bounds(config, entry.name)
            && !value.parse().is_ok_and(|value: i64| (min..=max).contains(&value))
        {
            let (name, expected) = (shown_name(entry), Allowed::Between { min, max });
            return Err(ConfigError::BadValue { name, value: value.clone(), expected });
        }
    }
    settings.all_brokers.extend(apart);
    Ok(settings)
}

/// The setting that a listener has of its own under this whole name, if it may change while the broker
/// runs.
fn of_a_listener(config: &BrokerConfig, name: &str) -> Option<&'static TopicConfigEntry> {
    let entry = of_one_listener(name)?;
    let is_of_tls = strandline_tls::NAMES.contains(&entry.name);
    if !is_of_tls && entry.name != CREATION_RATE {
        return None;
    }
    let mut listeners = config.listeners.iter().filter(|listener| listener.tls.is_some() || !is_of_tls);
    listeners.any(|listener| name_of(&listener.name, None, entry.name) == name).then_some(entry)
}

/// Whether a change of a broker's settings has keys read anew: Kafka's brokers do so for each that names one,
/// whether its value is another or not.
pub fn is_of_tls(name: &str) -> bool {
    strandline_tls::NAMES.iter().any(|setting| name.ends_with(setting))
}

/// The bounds that a default of groups has.
fn group_bounds(config: &BrokerConfig, name: &str) -> Option<(i64, i64)> {
    let found = GROUP_CONFIGS.iter().find(|config| config.entry.broker_name == Some(name))?;
    found.bounds.map(|bounds| config.bounds(bounds))
}

fn is_of_topics(entry: &TopicConfigEntry) -> bool {
    TOPIC_CONFIGS.iter().any(|other| other.broker_name == entry.broker_name)
}
