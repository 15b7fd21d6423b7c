//! Settings as a file and a command line give them: names that exist, and values that each could be.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use strandline_engine::config::{TOPIC_CONFIGS, TopicDefaults};

use super::error::{Expected, SettingError, bad};
use super::table::{BROKER_CONFIGS, broker_config_entry, shown_name};

/// Settings as they were given: names that exist, values that each could be.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    values: BTreeMap<&'static str, String>,
    /// `max.connections` of single listeners, by their names as they were written.
    connections_max: BTreeMap<String, usize>,
    /// Names that their user made, see [`is_prefixed`].
    prefixed: Vec<String>,
}

/// What the name of a setting of one listener begins with.
const OF_LISTENER: &str = "listener.name.";

/// Whether a name is made by its user: of one listener, or of a plug-in that is not there.
pub(super) fn is_prefixed(name: &str) -> bool {
    [OF_LISTENER, "rsm.config.", "rlmm.config."].iter().any(|prefix| name.starts_with(prefix))
}

/// The listener whose own `max.connections` a name sets.
fn listener_with_connections_max(name: &str) -> Option<&str> {
    name.strip_prefix(OF_LISTENER)?.strip_suffix(".max.connections").filter(|name| !name.is_empty())
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
            if let Some(listener) = listener_with_connections_max(name) {
                let most = value.trim().parse().ok().filter(|most| *most > 0);
                let most = most.ok_or_else(|| bad(name.to_owned(), value, "a whole number above 0"))?;
                self.connections_max.insert(listener.to_owned(), most);
                return Ok(());
            }
            self.prefixed.push(name.to_owned());
            return Ok(());
        };
        let name = shown_name(entry);
        let value = entry.canonical(value).map_err(|_| bad(name, value.trim(), Expected::Declared(entry)))?;
        self.values.insert(name, value);
        Ok(())
    }

    /// What was set for `name`.
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// Connections that the listener may have, where it has a limit of its own. As in Kafka, the name of the
    /// setting has the listener's in lower case.
    pub(super) fn connections_max_of(&self, listener: &str) -> Option<usize> {
        self.connections_max.get(&listener.to_ascii_lowercase()).copied()
    }

    /// What was set and has no effect beside these listeners: each reason with the names that it holds for.
    pub(super) fn without_effect(&self, listeners: &[&str]) -> BTreeMap<&'static str, Vec<String>> {
        let mut found: BTreeMap<_, Vec<String>> = BTreeMap::new();
        let is_of_one = |name: &str| listeners.iter().any(|listener| listener.to_ascii_lowercase() == name);
        for name in self.connections_max.keys().filter(|name| !is_of_one(name)) {
            found
                .entry("no listener of clients has that name, which stands there in lower case")
                .or_default()
                .push(format!("{OF_LISTENER}{name}.max.connections"));
        }
        for name in &self.prefixed {
            found
                .entry(
                    "listeners have no settings of their own but max.connections, and there are no plug-ins",
                )
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
