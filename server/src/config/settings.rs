//! Settings as a file and a command line give them: names that exist, and values that each could be.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::io;
use std::path::Path;

use strandline_engine::config::{ConfigKind, TOPIC_CONFIGS, TopicConfigEntry, TopicDefaults};

use super::connections::CREATION_RATE;
use super::error::{Expected, SettingError, bad};
use super::table::{BROKER_CONFIGS, broker_config_entry, shown_name};
use crate::security::Mechanism;

/// Settings as they were given: names that exist, values that each could be.
#[derive(Clone, Default)]
pub struct Settings {
    values: BTreeMap<&'static str, String>,
    /// What single listeners and their mechanisms have of their own, by the whole names as they were written.
    of_listeners: BTreeMap<String, String>,
    /// Names that their user made, see [`is_prefixed`].
    prefixed: Vec<String>,
}

/// Names alone: a value may be a secret.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.values.keys()).entries(self.of_listeners.keys()).finish()
    }
}

/// What the name of a setting of TLS begins with.
const OF_TLS: &str = "ssl.";

/// What the name of a setting of tokens begins with.
const OF_TOKENS: &str = "sasl.oauthbearer.";

/// What the name of a setting of one listener begins with.
const OF_LISTENER: &str = "listener.name.";

/// Whether a name is made by its user: of one listener, or of a plug-in that is not there.
pub(super) fn is_prefixed(name: &str) -> bool {
    [OF_LISTENER, "rsm.config.", "rlmm.config."].iter().any(|prefix| name.starts_with(prefix))
}

/// What a listener may have of its own, and its mechanisms where it says so.
fn of_listeners() -> impl Iterator<Item = (&'static str, bool)> {
    let of_tls = strandline_tls::NAMES.into_iter().chain([MAPPING_RULES]).map(|name| (name, false));
    let of_both = [
        ("connections.max.reauth.ms", true),
        (CREATION_RATE, false),
        ("max.connections", false),
        (PLAIN_USERS, true),
        ("sasl.enabled.mechanisms", false),
        ("sasl.server.max.receive.size", true),
    ];
    let of_tokens = BROKER_CONFIGS.iter().map(|entry| entry.name).filter(|name| name.starts_with(OF_TOKENS));
    of_both.into_iter().chain(of_tls).chain(of_tokens.map(|name| (name, true)))
}

/// The rules for the names of users by their certificates.
pub(super) const MAPPING_RULES: &str = "ssl.principal.mapping.rules";

/// The users of PLAIN, which a listener has for this mechanism alone.
pub(super) const PLAIN_USERS: &str = "sasl.jaas.config";

/// The setting of [`of_listeners`] that such a name sets, whatever the listener.
pub(super) fn of_one_listener(name: &str) -> Option<&'static TopicConfigEntry> {
    let rest = name.strip_prefix(OF_LISTENER)?;
    let is_of = |setting: &str| {
        let whose = rest.strip_suffix(setting).and_then(|rest| rest.strip_suffix('.'));
        whose.is_some_and(|whose| !whose.is_empty())
    };
    let (setting, _) = of_listeners().find(|(setting, _)| is_of(setting))?;
    broker_config_entry(setting)
}

/// The name by which a listener, or a mechanism of it, has a setting of its own. As in Kafka, both stand
/// there in lower case.
pub(super) fn name_of(listener: &str, mechanism: Option<Mechanism>, setting: &str) -> String {
    let mechanism = mechanism.map_or(String::new(), |mechanism| format!("{mechanism}."));
    format!("{OF_LISTENER}{}.{}{setting}", listener.to_ascii_lowercase(), mechanism.to_ascii_lowercase())
}

/// A value as its declaration has it.
fn checked(
    entry: &'static TopicConfigEntry,
    name: Cow<'static, str>,
    value: &str,
) -> Result<String, SettingError> {
    match entry.kind {
        // The canonical form of a secret is nothing.
        ConfigKind::Password if entry.has_effect || name.starts_with(OF_LISTENER) => Ok(value.to_owned()),
        _ => entry.canonical(value).map_err(|_| bad(name, value.trim(), entry.allowed())),
    }
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
            let Some(entry) = of_one_listener(name) else {
                self.prefixed.push(name.to_owned());
                return Ok(());
            };
            let value = checked(entry, name.to_owned().into(), value)?;
            self.of_listeners.insert(name.to_owned(), value);
            return Ok(());
        };
        let name = shown_name(entry);
        let value = checked(entry, name.into(), value)?;
        self.values.insert(name, value);
        Ok(())
    }

    /// Forgets what was set for `name`.
    pub(super) fn forget(&mut self, name: &str) {
        self.values.remove(name);
    }

    /// What was set for `name`.
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// What a listener has of its own, or its mechanism, where that is asked for.
    pub(super) fn of_listener(
        &self,
        listener: &str,
        mechanism: Option<Mechanism>,
        setting: &str,
    ) -> Option<&str> {
        let of_mechanism = mechanism.map(|_| name_of(listener, mechanism, setting));
        let of_both = of_mechanism.into_iter().chain([name_of(listener, None, setting)]);
        of_both.into_iter().find_map(|name| self.of_listeners.get(&name)).map(String::as_str)
    }

    /// What was set under this whole name.
    pub(super) fn of_listener_exactly(&self, name: &str) -> Option<&str> {
        self.of_listeners.get(name).map(String::as_str)
    }

    /// Connections that the listener may have, where it has a limit of its own.
    pub(super) fn connections_max_of(&self, listener: &str) -> Option<usize> {
        self.of_listener(listener, None, "max.connections")?.parse().ok()
    }

    /// What was set and has no effect beside these listeners, each with whether it has TLS: each reason with
    /// the names that it holds for.
    pub(super) fn without_effect(&self, listeners: &[(&str, bool)]) -> BTreeMap<&'static str, Vec<String>> {
        let mut found: BTreeMap<_, Vec<String>> = BTreeMap::new();
        let mut taken = HashSet::new();
        for (listener, has_tls) in listeners {
            for (setting, has_mechanisms) in of_listeners() {
                if setting.starts_with(OF_TLS) && !*has_tls {
                    continue;
                }
                if setting == PLAIN_USERS {
                    taken.insert(name_of(listener, Some(Mechanism::Plain), setting));
                    continue;
                }
                taken.insert(name_of(listener, None, setting));
                let mechanisms = Mechanism::ALL.into_iter().filter(|_| has_mechanisms);
                taken.extend(mechanisms.map(|mechanism| name_of(listener, Some(mechanism), setting)));
            }
        }
        for name in self.of_listeners.keys().filter(|name| !taken.contains(*name)) {
            let reason = if name.ends_with(PLAIN_USERS) {
                "users in a setting are those of PLAIN: listener.name.NAME.plain.sasl.jaas.config"
            } else if of_one_listener(name).is_some_and(|entry| entry.name.starts_with(OF_TLS)) {
                "no listener with TLS has that name, which stands there in lower case"
            } else {
                "no listener of clients has that name, which stands there in lower case"
            };
            found.entry(reason).or_default().push(name.clone());
        }
        for name in &self.prefixed {
            found
                .entry("listeners have no such setting of their own, and there are no plug-ins")
                .or_default()
                .push(name.clone());
        }
        for name in self.values.keys() {
            if let Some(entry) = broker_config_entry(name).filter(|entry| !entry.has_effect) {
                found.entry(entry.doc).or_default().push((*name).to_owned());
            }
        }
        found
    }

    pub(super) fn text(&self, name: &'static str) -> &str {
        let entry = BROKER_CONFIGS.iter().find(|entry| entry.name == name).expect("a name of the table");
        self.values.get(name).map_or(entry.default.unwrap_or_default(), String::as_str)
    }

    pub(super) fn whole(&self, name: &'static str) -> i64 {
        self.text(name).parse().expect("checked against the table")
    }

    pub(super) fn fraction(&self, name: &'static str) -> f64 {
        self.text(name).parse().expect("checked against the table")
    }

    pub(super) fn is_true(&self, name: &'static str) -> bool {
        self.text(name) == "true"
    }

    /// What was set, in Kafka's new name or its old one.
    pub(super) fn node_id(&self) -> Result<Option<i32>, SettingError> {
        let set = |name: &'static str| {
            let is_set = self.values.contains_key(name);
            is_set.then(|| self.whole(name) as i32).filter(|id| *id >= 0)
        };
        match (set("node.id"), set("broker.id")) {
            (Some(node), Some(broker)) if node != broker => {
                Err(bad("broker.id", &broker.to_string(), Expected::NodeId { node_id: node }))
            }
            (node, broker) => Ok(node.or(broker)),
        }
    }

    /// Refuses roles that need other nodes.
    pub(super) fn check_roles(&self) -> Result<(), SettingError> {
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

    /// The defaults for topics.
    pub(super) fn topic_defaults(&self) -> Result<TopicDefaults, SettingError> {
        let mut defaults = TopicDefaults::default();
        let mut set = |name: &'static str, from: &'static str, value: &str| {
            defaults.set(name, value).map_err(|error| bad(from, value, error))
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
