//! The topic table: which topics there are, what is configured for each, and which of their partitions are
//! here.
//!
//! One shard changes it, by deltas ([`TopicDelta`]); every shard and every front looks at an immutable
//! snapshot of it ([`TopicTable`], behind an `Arc`). A change is durable before anybody sees it: the file is
//! replaced whole (D9).

mod delta;

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::Arc;

use crate::config::{
    ConfigError, ConfigKind, PARTITIONS_MAX, TopicConfig, TopicConfigEntry, TopicDefaults,
    topic_config_entry, words_of,
};
use crate::error::TopicError;
use crate::format::names;
use crate::format::topics::{DeletedTopic, TopicRecord, TopicsFile};
pub use crate::format::topics::{Placement, Replica, Role};
use crate::types::{PartitionId, TopicId};
pub(crate) use delta::Change;
pub use delta::TopicDelta;

/// One topic.
#[derive(Clone, Debug)]
pub struct Topic {
    /// The name.
    pub name: String,
    /// The identity; another one when a topic of the same name is made again.
    pub id: TopicId,
    /// Number of partitions, 1 or more, wherever they are.
    pub partitions: u32,
    /// What the topic sets itself, by Kafka's names.
    pub own_configs: Vec<(String, String)>,
    /// What is in force.
    pub config: Arc<TopicConfig>,
    /// Which of the partitions are here.
    pub placement: Placement,
}

impl Topic {
    /// The partition with this number, as a client names it, if there is one.
    pub fn partition(&self, index: i32) -> Option<PartitionId> {
        let index = u32::try_from(index).ok().filter(|index| *index < self.partitions)?;
        Some(PartitionId::new(self.id, index))
    }

    /// The partitions, in order, wherever they are.
    pub fn partition_ids(&self) -> impl Iterator<Item = PartitionId> + use<> {
        let topic = self.id;
        (0..self.partitions).map(move |index| PartitionId::new(topic, index))
    }

    /// What is here of a partition; `None` where nothing is, and for a number that the topic does not have.
    pub fn replica(&self, index: u32) -> Option<Replica> {
        self.placement.replica(index).filter(|_| index < self.partitions)
    }

    /// The numbers of the partitions that are here, in order.
    fn here(&self) -> impl Iterator<Item = u32> {
        let (all, these) = match &self.placement {
            Placement::All(_) => (0..self.partitions, None),
            Placement::These(here) => (0..0, Some(here)),
        };
        all.chain(these.into_iter().flat_map(BTreeMap::keys).copied())
    }

    /// The partitions that are here, in order.
    pub fn partitions_here(&self) -> impl Iterator<Item = PartitionId> {
        self.here().map(|index| PartitionId::new(self.id, index))
    }

    /// The settings of its own that the topic has after a change; makes nothing.
    ///
    /// # Errors
    /// When a name or a value can not be, or a list is asked for of a setting that is none.
    pub fn changed_configs(
        &self,
        change: &ConfigChange,
        defaults: &TopicDefaults,
    ) -> Result<Vec<(String, String)>, ConfigError> {
        let mut own = match change {
            ConfigChange::Replace(configs) => configs.clone(),
            ConfigChange::Steps(_) => self.own_configs.clone(),
        };
        if let ConfigChange::Steps(steps) = change {
            let below = |name: &str| {
                let entry = topic_config_entry(name)?;
                Ok((entry, defaults.get(entry).to_owned()))
            };
            for step in steps {
                step.apply(&mut own, &below)?;
            }
        }
        canonical(&mut own)?;
        TopicConfig::resolve(defaults, &own)?;
        Ok(own)
    }

    fn record(&self) -> TopicRecord {
        TopicRecord {
            name: self.name.clone(),
            id: self.id,
            partitions: self.partitions,
            configs: self.own_configs.clone(),
            placement: self.placement.clone(),
        }
    }
}

/// Settings of a topic's own in the form in which they are kept.
fn canonical(own: &mut [(String, String)]) -> Result<(), ConfigError> {
    for (name, value) in own {
        *value = topic_config_entry(name)?.canonical(value)?;
    }
    Ok(())
}

/// Brings a kept value into the form of today, and says whether there is one: a setting that an earlier
/// version took must not keep the broker from starting.
fn still_accepted(topic: &str, name: &str, value: &mut String) -> bool {
    let Ok(entry) = topic_config_entry(name) else { return true };
    match entry.canonical_of_earlier(value) {
        Ok(canonical) => *value = canonical,
        Err(error) => {
            tracing::warn!(topic, %error, "a setting of an earlier version is not accepted any more: the default holds");
            return false;
        }
    }
    true
}

/// What is asked for when a topic is made.
#[derive(Clone, Debug)]
pub struct NewTopic {
    /// The name, by Kafka's rules.
    pub name: String,
    /// Number of partitions, 1 to [`PARTITIONS_MAX`].
    pub partitions: u32,
    /// Settings of its own, by Kafka's names.
    pub configs: Vec<(String, String)>,
}

/// How the settings of a topic's own change.
#[derive(Clone, Debug)]
pub enum ConfigChange {
    /// These are all that it has.
    Replace(Vec<(String, String)>),
    /// One after the other.
    Steps(Vec<ConfigStep>),
}

impl ConfigChange {
    /// The names that it is about, each as often as it comes.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let (pairs, steps) = match self {
            ConfigChange::Replace(pairs) => (&pairs[..], &[][..]),
            ConfigChange::Steps(steps) => (&[][..], &steps[..]),
        };
        pairs.iter().map(|(name, _)| name.as_str()).chain(steps.iter().map(ConfigStep::name))
    }
}

/// What lies below a setting of one's own: its declaration, and the value that is in force without it.
pub type Below = (&'static TopicConfigEntry, String);

/// One step of a change. Names are Kafka's.
#[derive(Clone, Debug)]
pub enum ConfigStep {
    /// The setting gets this value.
    Set(String, String),
    /// The setting is the default again.
    Delete(String),
    /// These words are added to the list that is in force.
    Append(String, String),
    /// These words are taken out of the list that is in force.
    Subtract(String, String),
}

impl ConfigStep {
    /// The name of the setting.
    pub fn name(&self) -> &str {
        let (ConfigStep::Set(name, _)
        | ConfigStep::Delete(name)
        | ConfigStep::Append(name, _)
        | ConfigStep::Subtract(name, _)) = self;
        name
    }

    /// Changes settings that are one's own; `below` knows what lies below each.
    ///
    /// # Errors
    /// When there is no such name, or it is not a list and words come or go.
    pub fn apply(
        &self,
        own: &mut Vec<(String, String)>,
        below: &dyn Fn(&str) -> Result<Below, ConfigError>,
    ) -> Result<(), ConfigError> {
        let name = self.name();
        let (entry, below) = below(name)?;
        let in_force = own.iter().rev().find(|(key, _)| key == name);
        let in_force = in_force.map_or(&*below, |(_, value)| value);
        let value = match self {
            ConfigStep::Set(_, value) => Some(value.trim().to_owned()),
            ConfigStep::Delete(_) => None,
            ConfigStep::Append(..) | ConfigStep::Subtract(..) if entry.kind != ConfigKind::List => {
                return Err(ConfigError::NotAList { name: entry.name });
            }
            ConfigStep::Append(_, words) => {
                let mut list: Vec<&str> = words_of(in_force).collect();
                for word in words_of(words) {
                    if !list.contains(&word) {
                        list.push(word);
                    }
                }
                Some(list.join(","))
            }
            ConfigStep::Subtract(_, words) => {
                let gone: Vec<&str> = words_of(words).collect();
                Some(words_of(in_force).filter(|word| !gone.contains(word)).collect::<Vec<_>>().join(","))
            }
        };
        own.retain(|(key, _)| key != name);
        own.extend(value.map(|value| (name.to_owned(), value)));
        Ok(())
    }
}

/// All topics, as one thread knows them: cloned without touching a count that other threads touch.
#[allow(
    clippy::redundant_allocation,
    reason = "the inner count is shared by the threads, the outer one is not"
)]
pub type TopicSnapshot = Rc<Arc<TopicTable>>;

/// All topics at one moment.
#[derive(Clone, Debug, Default)]
pub struct TopicTable {
    by_name: BTreeMap<String, Arc<Topic>>,
    by_id: HashMap<TopicId, Arc<Topic>>,
    /// The topics of whose names metrics make something else, or that others could be taken for, by what they
    /// make.
    by_metric_name: HashMap<String, Arc<Topic>>,
    /// Topics that were deleted, and whose directories are not known to be gone.
    deleted: Vec<DeletedTopic>,
}

impl TopicTable {
    pub(crate) fn from_file(file: TopicsFile, defaults: &TopicDefaults) -> Result<TopicTable, ConfigError> {
        let mut table = TopicTable { deleted: file.deleted, ..TopicTable::default() };
        for mut record in file.topics {
            record.configs.retain_mut(|(name, value)| still_accepted(&record.name, name, value));
            let config = Arc::new(TopicConfig::resolve(defaults, &record.configs)?);
            table.insert(Topic {
                name: record.name,
                id: record.id,
                partitions: record.partitions,
                own_configs: record.configs,
                config,
                placement: record.placement,
            });
        }
        Ok(table)
    }

    pub(crate) fn to_file(&self) -> TopicsFile {
        let topics = self.by_name.values().map(|topic| topic.record()).collect();
        TopicsFile { topics, deleted: self.deleted.clone() }
    }

    /// Topics that were deleted, and whose directories are not known to be gone.
    pub(crate) fn deleted(&self) -> &[DeletedTopic] {
        &self.deleted
    }

    /// This table once the directories of some deleted topics are gone.
    pub(crate) fn without_deleted(&self, gone: impl Fn(&DeletedTopic) -> bool) -> TopicTable {
        let mut table = self.clone();
        table.forget_deleted(gone);
        table
    }

    /// Forgets deleted topics whose directories are gone.
    pub(crate) fn forget_deleted(&mut self, gone: impl Fn(&DeletedTopic) -> bool) {
        self.deleted.retain(|topic| !gone(topic));
    }

    /// Topics of these names, identities and numbers of partitions, for tests of what goes by topics.
    #[cfg(any(test, feature = "testing"))]
    pub fn of<'a>(topics: impl IntoIterator<Item = (&'a str, TopicId, u32)>) -> TopicTable {
        let config = TopicConfig::resolve(&TopicDefaults::default(), &[]).expect("the defaults are settings");
        let config = Arc::new(config);
        let mut table = TopicTable::default();
        for (name, id, partitions) in topics {
            let (own_configs, config) = (Vec::new(), config.clone());
            let placement = Placement::ALONE;
            table.insert(Topic { name: name.to_owned(), id, partitions, own_configs, config, placement });
        }
        table
    }

    fn insert(&mut self, topic: Topic) -> Arc<Topic> {
        let topic = Arc::new(topic);
        self.by_id.insert(topic.id, topic.clone());
        if may_collide(&topic.name) {
            self.by_metric_name.insert(names::metric_name(&topic.name), topic.clone());
        }
        self.by_name.insert(topic.name.clone(), topic.clone());
        topic
    }

    /// The topic of that name.
    pub fn by_name(&self, name: &str) -> Option<&Arc<Topic>> {
        self.by_name.get(name)
    }

    /// The topic of that identity.
    pub fn by_id(&self, id: TopicId) -> Option<&Arc<Topic>> {
        self.by_id.get(&id)
    }

    /// All topics in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Topic>> {
        self.by_name.values()
    }

    /// Number of topics.
    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    /// Whether there is no topic.
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// The topic of a partition that is here, and what this broker is to it.
    pub fn replica(&self, partition: PartitionId) -> Option<(&Arc<Topic>, Replica)> {
        let topic = self.by_id(partition.topic)?;
        Some((topic, topic.replica(partition.index)?))
    }

    /// Whether a partition is here.
    pub fn holds(&self, partition: PartitionId) -> bool {
        self.replica(partition).is_some()
    }

    /// Checks what is asked for against the rules and against the topics there are; makes nothing.
    pub fn check_new(&self, new: &NewTopic, defaults: &TopicDefaults) -> Result<TopicConfig, TopicError> {
        names::check_topic_name(&new.name)?;
        if self.by_name.contains_key(&new.name) {
            return Err(TopicError::Exists(new.name.clone()));
        }
        if may_collide(&new.name)
            && let Some(other) = self.by_metric_name.get(&names::metric_name(&new.name))
        {
            return Err(TopicError::Collides { name: new.name.clone(), other: other.name.clone() });
        }
        if new.partitions == 0 || new.partitions > PARTITIONS_MAX {
            return Err(TopicError::Partitions { found: new.partitions, max: PARTITIONS_MAX });
        }
        Ok(TopicConfig::resolve(defaults, &new.configs)?)
    }

    /// What a delta makes of its topic; changes nothing.
    pub(crate) fn change(&self, delta: TopicDelta, defaults: &TopicDefaults) -> Result<Change, TopicError> {
        let (old, new) = match delta {
            TopicDelta::Create { id, new, placement } => {
                let config = self.check_new(&new, defaults)?;
                if let Some(other) = self.by_id(id) {
                    return Err(TopicError::Exists(other.name.clone()));
                }
                return Ok(Change::To { old: None, new: delta::created(id, new, placement, config)? });
            }
            TopicDelta::Delete { topic } => return Ok(Change::Gone(self.known(topic)?.clone())),
            TopicDelta::Grow { topic, partitions } => {
                let old = self.check_growth(topic, partitions)?;
                (old, Topic { partitions, ..Topic::clone(old) })
            }
            TopicDelta::Place { topic, replicas } => {
                let old = self.known(topic)?;
                (old, delta::placed(old, replicas)?)
            }
            TopicDelta::Configure { topic, configs } => {
                let old = self.known(topic)?;
                (old, delta::configured(old, configs, defaults)?)
            }
        };
        Ok(Change::To { old: Some(old.clone()), new })
    }

    /// Takes in a change of this table. A topic that is gone stands among the deleted ones then.
    pub(crate) fn take_in(&mut self, change: Change) -> Arc<Topic> {
        match change {
            Change::To { new, .. } => self.insert(new),
            Change::Gone(topic) => {
                self.by_id.remove(&topic.id);
                self.by_name.remove(&topic.name);
                if may_collide(&topic.name) {
                    self.by_metric_name.remove(&names::metric_name(&topic.name));
                }
                self.deleted.extend(delta::deleted(&topic));
                topic
            }
        }
    }

    /// The topic of that identity.
    ///
    /// # Errors
    /// [`TopicError::Unknown`].
    pub(crate) fn known(&self, id: TopicId) -> Result<&Arc<Topic>, TopicError> {
        self.by_id(id).ok_or_else(|| TopicError::Unknown(id.to_string()))
    }

    /// This table with other defaults.
    pub(crate) fn with_defaults(&self, defaults: &TopicDefaults) -> Result<TopicTable, ConfigError> {
        TopicTable::from_file(self.to_file(), defaults)
    }

    /// Checks whether the topic `id` can have so many partitions; changes nothing.
    pub fn check_growth(&self, id: TopicId, partitions: u32) -> Result<&Arc<Topic>, TopicError> {
        let topic = self.known(id)?;
        if partitions > PARTITIONS_MAX {
            return Err(TopicError::Partitions { found: partitions, max: PARTITIONS_MAX });
        }
        if partitions <= topic.partitions {
            let (name, current) = (topic.name.clone(), topic.partitions);
            return Err(TopicError::DoesNotGrow { name, current, found: partitions });
        }
        Ok(topic)
    }
}

/// Whether there can be another name of which metrics make the same.
fn may_collide(topic: &str) -> bool {
    topic.contains(['.', '_'])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(own: &[(&str, &str)]) -> Topic {
        let own_configs = own.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        Topic {
            name: "orders".to_owned(),
            id: TopicId::ZERO,
            partitions: 1,
            own_configs,
            config: Arc::new(TopicConfig::resolve(&TopicDefaults::default(), &[]).unwrap()),
            placement: Placement::ALONE,
        }
    }

    fn changed(own: &[(&str, &str)], steps: &[ConfigStep]) -> Result<String, String> {
        let changed =
            topic(own).changed_configs(&ConfigChange::Steps(steps.to_vec()), &TopicDefaults::default());
        let shown = |own: Vec<(String, String)>| {
            own.into_iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
        };
        changed.map(shown).map_err(|error| error.to_string())
    }

    fn step(make: fn(String, String) -> ConfigStep, name: &str, value: &str) -> ConfigStep {
        make(name.to_owned(), value.to_owned())
    }

    #[test]
    fn steps_change_what_they_name_and_leave_the_rest() {
        use ConfigStep::{Append, Delete, Set, Subtract};
        let own = [("retention.ms", "5"), ("segment.ms", "7")];
        let changed = |steps: &[ConfigStep]| changed(&own, steps);
        assert_eq!(changed(&[]), Ok("retention.ms=5 segment.ms=7".to_owned()));
        assert_eq!(
            changed(&[step(Set, "retention.ms", " 6 ")]),
            Ok("segment.ms=7 retention.ms=6".to_owned())
        );
        assert_eq!(changed(&[Delete("segment.ms".to_owned())]), Ok("retention.ms=5".to_owned()));
        assert_eq!(changed(&[Delete("flush.ms".to_owned())]), Ok("retention.ms=5 segment.ms=7".to_owned()));
        let both = changed(&[Delete("segment.ms".to_owned()), step(Append, "cleanup.policy", "compact")]);
        assert_eq!(both, Ok("retention.ms=5 cleanup.policy=delete,compact".to_owned()), "onto the default");
        let none = changed(&[step(Subtract, "cleanup.policy", "compact,delete")]);
        assert_eq!(none, Ok("retention.ms=5 segment.ms=7 cleanup.policy=".to_owned()), "keeps for ever");
    }

    #[test]
    fn a_change_that_can_not_be_is_refused_whole() {
        use ConfigStep::{Append, Delete, Set};
        let good = step(Set, "retention.ms", "6");
        let refused = |bad| changed(&[], &[good.clone(), bad]).unwrap_err();
        assert_eq!(refused(Delete("retention".to_owned())), "unknown topic config name: retention");
        assert_eq!(refused(step(Append, "retention.ms", "7")), "retention.ms is not a list");
        assert!(refused(step(Set, "retention.ms", "soon")).starts_with("invalid value soon"));
        assert!(refused(step(Append, "cleanup.policy", "shred")).starts_with("invalid value delete,shred"));
    }

    /// Until values were held against all of Kafka's bounds, a topic could have the level 0 of gzip.
    #[test]
    fn a_value_that_an_earlier_version_took_is_the_default_and_keeps_no_broker_from_starting() {
        let own = [("compression.gzip.level", "0"), ("retention.ms", "+5"), ("cleanup.policy", "compact,")];
        let file = |record| TopicsFile { topics: vec![record], deleted: Vec::new() };
        let mut record = topic(&own).record();
        let table = TopicTable::from_file(file(record.clone()), &TopicDefaults::default()).unwrap();
        let found = table.by_name("orders").unwrap();
        let kept = [("retention.ms", "5"), ("cleanup.policy", "compact")];
        assert_eq!(found.own_configs, kept.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert_eq!(
            (found.config.retention_ms, found.config.compacted, found.config.deleted),
            (Some(5), true, false)
        );
        record.configs.push(("of.a.later.version".to_owned(), "1".to_owned()));
        assert!(TopicTable::from_file(file(record), &TopicDefaults::default()).is_err());
    }

    #[test]
    fn values_are_kept_as_they_are_shown() {
        let set = [
            step(ConfigStep::Set, "preallocate", "True"),
            step(ConfigStep::Set, "min.cleanable.dirty.ratio", "0.50"),
            step(ConfigStep::Set, "cleanup.policy", "compact , delete"),
        ];
        let kept = "preallocate=true min.cleanable.dirty.ratio=0.5 cleanup.policy=compact,delete";
        assert_eq!(changed(&[], &set).unwrap(), kept);
    }
}
