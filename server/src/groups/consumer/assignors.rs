//! Who in a consumer group shall have what: the assignors, which are pure functions of the members, what they
//! are subscribed to, and what they have.
//!
//! The rules are those of Kafka's assignors of the same names. Where Kafka goes through members and topics in
//! the order of a Java hash table, these go through them in the order of their ids: the same group comes to
//! an assignment that is as balanced and moves as little, though not always to the same one.

mod range;
#[cfg(test)]
mod tests;
mod uneven;
mod uniform;

use std::collections::{BTreeMap, BTreeSet};

use strandline_engine::types::TopicId;

use super::assignment::Assignment;

/// How partitions are shared out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Assignor {
    /// As many for each as for the other, and as few moved as possible.
    Uniform,
    /// Of each topic a range for each, so that partitions of the same number meet.
    Range,
}

impl Assignor {
    /// All of them.
    pub const ALL: [Assignor; 2] = [Assignor::Uniform, Assignor::Range];

    /// The name that clients give.
    pub fn name(self) -> &'static str {
        match self {
            Assignor::Uniform => "uniform",
            Assignor::Range => "range",
        }
    }

    /// The assignor of this name.
    pub fn by_name(name: &str) -> Option<Assignor> {
        Assignor::ALL.into_iter().find(|assignor| assignor.name() == name)
    }

    /// What each member shall have. Every partition of a topic that a member is subscribed to goes to one
    /// of its subscribers.
    pub fn assign(self, group: &Group<'_>) -> BTreeMap<String, Assignment> {
        if group.members.is_empty() {
            return BTreeMap::new();
        }
        let mut assigned = match self {
            Assignor::Range => range::assign(group),
            Assignor::Uniform if group.is_even() => uniform::assign(group),
            Assignor::Uniform => uneven::assign(group),
        };
        for id in group.members.keys() {
            assigned.entry((*id).to_owned()).or_default();
        }
        assigned
    }
}

/// A group, for an assignor.
#[derive(Clone, Debug, Default)]
pub struct Group<'a> {
    /// The members by their ids.
    pub members: BTreeMap<&'a str, Member<'a>>,
    /// The number of partitions of each topic that a member is subscribed to.
    pub partitions: BTreeMap<TopicId, i32>,
}

/// A member, for an assignor.
#[derive(Clone, Debug)]
pub struct Member<'a> {
    /// The name of a static member.
    pub instance_id: Option<&'a str>,
    /// The topics that it is subscribed to and that exist.
    pub topics: BTreeSet<TopicId>,
    /// What it was to have before.
    pub assignment: &'a Assignment,
}

impl Group<'_> {
    /// Whether all members are subscribed to the same topics.
    fn is_even(&self) -> bool {
        let mut members = self.members.values();
        let first = members.next().map(|member| &member.topics);
        members.all(|member| Some(&member.topics) == first)
    }
}
