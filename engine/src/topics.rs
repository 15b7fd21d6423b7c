//! The topic table: which topics there are, and what is configured for each.
//!
//! One shard changes it; every shard and every front looks at an immutable snapshot of it ([`TopicTable`], behind an `Arc`). A change is
//! durable before anybody sees it: the file is replaced whole (D9).

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::config::{ConfigError, PARTITIONS_MAX, TopicConfig, TopicDefaults};
use crate::error::TopicError;
use crate::format::names;
use crate::format::topics::TopicRecord;
use crate::types::{PartitionId, TopicId};

/// One topic.
#[derive(Clone, Debug)]
pub struct Topic {
    /// The name.
    pub name: String,
    /// The identity; another one when a topic of the same name is made again.
    pub id: TopicId,
    /// Number of partitions, 1 or more.
    pub partitions: u32,
    /// What the topic sets itself, by Kafka's names.
    pub own_configs: Vec<(String, String)>,
    /// What is in force.
    pub config: Arc<TopicConfig>,
}

impl Topic {
    /// The partitions, in order.
    pub fn partition_ids(&self) -> impl Iterator<Item = PartitionId> + use<> {
        let topic = self.id;
        (0..self.partitions).map(move |index| PartitionId::new(topic, index))
    }

    fn record(&self) -> TopicRecord {
        TopicRecord {
            name: self.name.clone(),
            id: self.id,
            partitions: self.partitions,
            configs: self.own_configs.clone(),
        }
    }
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

/// All topics at one moment.
#[derive(Clone, Debug, Default)]
pub struct TopicTable {
    by_name: BTreeMap<String, Arc<Topic>>,
    by_id: HashMap<TopicId, Arc<Topic>>,
}

impl TopicTable {
    pub(crate) fn from_records(
        records: Vec<TopicRecord>,
        defaults: &TopicDefaults,
    ) -> Result<TopicTable, ConfigError> {
        let mut table = TopicTable::default();
        for record in records {
            let config = Arc::new(TopicConfig::resolve(defaults, &record.configs)?);
            table.insert(Topic {
                name: record.name,
                id: record.id,
                partitions: record.partitions,
                own_configs: record.configs,
                config,
            });
        }
        Ok(table)
    }

    pub(crate) fn records(&self) -> Vec<TopicRecord> {
        self.by_name.values().map(|topic| topic.record()).collect()
    }

    fn insert(&mut self, topic: Topic) {
        let topic = Arc::new(topic);
        self.by_id.insert(topic.id, topic.clone());
        self.by_name.insert(topic.name.clone(), topic);
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

    /// Whether there is such a partition.
    pub fn holds(&self, partition: PartitionId) -> bool {
        self.by_id(partition.topic).is_some_and(|topic| partition.index < topic.partitions)
    }

    /// Checks what is asked for against the rules and against the topics there are; makes nothing.
    pub fn check_new(&self, new: &NewTopic, defaults: &TopicDefaults) -> Result<TopicConfig, TopicError> {
        names::check_topic_name(&new.name)?;
        if self.by_name.contains_key(&new.name) {
            return Err(TopicError::Exists(new.name.clone()));
        }
        if let Some(other) = self.by_name.keys().find(|other| names::collides(other, &new.name)) {
            return Err(TopicError::Collides { name: new.name.clone(), other: other.clone() });
        }
        if new.partitions == 0 || new.partitions > PARTITIONS_MAX {
            return Err(TopicError::Partitions { found: new.partitions, max: PARTITIONS_MAX });
        }
        Ok(TopicConfig::resolve(defaults, &new.configs)?)
    }

    /// This table with one topic more.
    pub(crate) fn with(
        &self,
        new: NewTopic,
        id: TopicId,
        defaults: &TopicDefaults,
    ) -> Result<TopicTable, TopicError> {
        let config = Arc::new(self.check_new(&new, defaults)?);
        let mut table = self.clone();
        table.insert(Topic {
            name: new.name,
            id,
            partitions: new.partitions,
            own_configs: new.configs,
            config,
        });
        Ok(table)
    }

    /// This table without the topic `id`.
    pub(crate) fn without(&self, id: TopicId) -> TopicTable {
        let mut table = self.clone();
        if let Some(topic) = table.by_id.remove(&id) {
            table.by_name.remove(&topic.name);
        }
        table
    }
}
