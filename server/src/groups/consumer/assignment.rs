//! Partitions by topic: what a member shall have, has, or has yet to give up.

use std::collections::{BTreeMap, BTreeSet};

use strandline_engine::types::TopicId;
use strandline_protocol::Uuid;

use crate::groups::records::consumer::PartitionsValue;

/// Partitions by topic. No topic stands in it without a partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Assignment(BTreeMap<TopicId, BTreeSet<i32>>);

impl Assignment {
    /// Takes a partition in; whether it was not there yet.
    pub fn insert(&mut self, topic: TopicId, partition: i32) -> bool {
        self.0.entry(topic).or_default().insert(partition)
    }

    /// Takes a partition out; whether it was there.
    pub fn remove(&mut self, topic: TopicId, partition: i32) -> bool {
        let Some(partitions) = self.0.get_mut(&topic) else { return false };
        let was_there = partitions.remove(&partition);
        if partitions.is_empty() {
            self.0.remove(&topic);
        }
        was_there
    }

    /// Whether a partition of the topic is in it.
    pub fn has_topic(&self, topic: TopicId) -> bool {
        self.0.contains_key(&topic)
    }

    /// Whether the partition is in it.
    pub fn contains(&self, topic: TopicId, partition: i32) -> bool {
        self.0.get(&topic).is_some_and(|partitions| partitions.contains(&partition))
    }

    /// The topics with their partitions, in their order.
    pub fn topics(&self) -> impl Iterator<Item = (TopicId, &BTreeSet<i32>)> {
        self.0.iter().map(|(topic, partitions)| (*topic, partitions))
    }

    /// The partitions, in their order.
    pub fn iter(&self) -> impl Iterator<Item = (TopicId, i32)> {
        self.topics().flat_map(|(topic, partitions)| partitions.iter().map(move |at| (topic, *at)))
    }

    /// How many partitions there are.
    pub fn len(&self) -> usize {
        self.0.values().map(BTreeSet::len).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a partition is in both.
    pub fn intersects(&self, other: &Assignment) -> bool {
        self.iter().any(|(topic, partition)| other.contains(topic, partition))
    }

    /// Whether all of it is in the other.
    pub fn is_within(&self, other: &Assignment) -> bool {
        self.iter().all(|(topic, partition)| other.contains(topic, partition))
    }

    /// What is of topics that are wanted.
    pub fn filtered(&self, is_wanted: impl Fn(TopicId) -> bool) -> Assignment {
        let topics = self.0.iter().filter(|(topic, _)| is_wanted(**topic));
        Assignment(topics.map(|(topic, partitions)| (*topic, partitions.clone())).collect())
    }

    /// What is kept, and what is not.
    pub fn split(&self, is_kept: impl Fn(TopicId, i32) -> bool) -> (Assignment, Assignment) {
        let (kept, other): (Vec<_>, Vec<_>) = self.iter().partition(|(topic, at)| is_kept(*topic, *at));
        (kept.into_iter().collect(), other.into_iter().collect())
    }

    /// As records have it.
    pub fn to_value(&self) -> Vec<PartitionsValue> {
        let topics = self.topics().map(|(topic, partitions)| PartitionsValue {
            topic_id: Uuid::from_bytes(topic.to_bytes()),
            partitions: partitions.iter().copied().collect(),
        });
        topics.collect()
    }

    /// Out of a record.
    pub fn from_value(value: &[PartitionsValue]) -> Assignment {
        let topics = value.iter().map(|topic| (TopicId::from_bytes(topic.topic_id.into_bytes()), topic));
        topics.flat_map(|(id, topic)| topic.partitions.iter().map(move |at| (id, *at))).collect()
    }
}

impl FromIterator<(TopicId, i32)> for Assignment {
    fn from_iter<I: IntoIterator<Item = (TopicId, i32)>>(partitions: I) -> Assignment {
        let mut assignment = Assignment::default();
        for (topic, partition) in partitions {
            assignment.insert(topic, partition);
        }
        assignment
    }
}
