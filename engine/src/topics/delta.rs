//! What changes the topic table: deltas, from one of two sources.
//!
//! A broker that stands alone is its own source. Its catalog makes a delta of each request (a topic is asked
//! for, and gets an identity), and takes it in. In a cluster the controllers decide, and a source outside of
//! the engine hands over the deltas that follow from that ([`Handle::apply`](crate::Handle::apply)). Either
//! way the catalog does the same with them: it makes room in the data directory, writes the table, and has
//! every shard act on it.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use super::{NewTopic, Topic, canonical};
use crate::config::{TopicConfig, TopicDefaults};
use crate::error::TopicError;
use crate::format::topics::{DeletedTopic, Placement, Replica};
use crate::types::{LeaderEpoch, PartitionId, TopicId};

/// One change of which topics there are, or of what is here of one of them.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum TopicDelta {
    /// There is another topic.
    Create {
        /// Its identity.
        id: TopicId,
        /// Its name, its size and its settings.
        new: NewTopic,
        /// What of it is here.
        placement: Placement,
    },
    /// A topic has more partitions, all in all. They are here where all of them are; else a
    /// [`Place`](TopicDelta::Place) says which are.
    Grow {
        /// The topic.
        topic: TopicId,
        /// Their number.
        partitions: u32,
    },
    /// These partitions of a topic are here from now on, or have another role. What is here of the others
    /// stays as it is. An older leader epoch than the last one is refused.
    Place {
        /// The topic.
        topic: TopicId,
        /// The partitions, by number.
        replicas: BTreeMap<u32, Replica>,
    },
    /// A topic has these settings of its own, by Kafka's names, and no others.
    Configure {
        /// The topic.
        topic: TopicId,
        /// The settings.
        configs: Vec<(String, String)>,
    },
    /// A topic is gone, and its records with it.
    Delete {
        /// The topic.
        topic: TopicId,
    },
}

/// What a delta makes of a topic.
pub(crate) enum Change {
    /// Another one of it, or the first.
    To {
        /// What it was.
        old: Option<Arc<Topic>>,
        /// What it is.
        new: Topic,
    },
    /// Nothing.
    Gone(Arc<Topic>),
}

impl Change {
    /// The name of the topic.
    pub(crate) fn name(&self) -> &str {
        match self {
            Change::To { new, .. } => &new.name,
            Change::Gone(old) => &old.name,
        }
    }

    /// The partitions that come to be here.
    pub(crate) fn arrivals(&self) -> impl Iterator<Item = u32> {
        let (old, new) = match self {
            Change::To { old, new } => (old.as_ref(), Some(new)),
            Change::Gone(_) => (None, None),
        };
        let was_here = move |index: &u32| old.is_some_and(|old| old.replica(*index).is_some());
        new.into_iter().flat_map(Topic::here).filter(move |index| !was_here(index))
    }
}

/// A new topic, whose settings were checked.
pub(super) fn created(
    id: TopicId,
    new: NewTopic,
    placement: Placement,
    config: TopicConfig,
) -> Result<Topic, TopicError> {
    let NewTopic { name, partitions, configs: mut own_configs } = new;
    canonical(&mut own_configs)?;
    placement.listed().iter().try_for_each(|(index, replica)| {
        check_replica(PartitionId::new(id, *index), partitions, replica, LeaderEpoch::FIRST)
    })?;
    Ok(Topic { name, id, partitions, own_configs, config: Arc::new(config), placement })
}

/// The topic once some of its partitions have these roles.
pub(super) fn placed(old: &Topic, replicas: BTreeMap<u32, Replica>) -> Result<Topic, TopicError> {
    let mut placement = old.placement.clone();
    let (Placement::All(listed) | Placement::These(listed)) = &mut placement;
    for (index, replica) in replicas {
        let current = old.replica(index).map_or(LeaderEpoch::FIRST, |current| current.epoch);
        check_replica(PartitionId::new(old.id, index), old.partitions, &replica, current)?;
        listed.insert(index, replica);
    }
    Ok(Topic { placement, ..old.clone() })
}

fn check_replica(
    partition: PartitionId,
    partitions: u32,
    replica: &Replica,
    current: LeaderEpoch,
) -> Result<(), TopicError> {
    if partition.index >= partitions {
        return Err(TopicError::UnknownPartition(partition));
    }
    if replica.epoch < current {
        return Err(TopicError::StaleLeaderEpoch { partition, current, found: replica.epoch });
    }
    Ok(())
}

/// The topic with other settings of its own.
pub(super) fn configured(
    old: &Topic,
    mut own_configs: Vec<(String, String)>,
    defaults: &TopicDefaults,
) -> Result<Topic, TopicError> {
    canonical(&mut own_configs)?;
    let config = Arc::new(TopicConfig::resolve(defaults, &own_configs)?);
    Ok(Topic { own_configs, config, ..old.clone() })
}

/// What is to be removed of a topic that is gone.
pub(super) fn deleted(topic: &Topic) -> Vec<DeletedTopic> {
    let of_range = |partitions| DeletedTopic { name: topic.name.clone(), id: topic.id, partitions };
    ranges_of(topic.here()).into_iter().map(of_range).collect()
}

/// Ascending numbers as ranges.
fn ranges_of(numbers: impl Iterator<Item = u32>) -> Vec<Range<u32>> {
    let mut ranges: Vec<Range<u32>> = Vec::new();
    for number in numbers {
        match ranges.last_mut() {
            Some(last) if last.end == number => last.end += 1,
            _ => ranges.push(number..number + 1),
        }
    }
    ranges
}
