//! Who in a consumer group shall have what: the assignors, which are pure functions of the members, what they
//! are subscribed to, and what they have.
//!
//! The rules are those of Kafka's assignors of the same names. Where Kafka goes through members and topics in
//! the order of a Java hash table, these go through them in the order of their ids: the same group comes to
//! an assignment that is as balanced and moves as little, though not always to the same one.
//!
//! A large group takes long: an assignor says how far it has come ([`Pace::step`]).

mod range;
#[cfg(test)]
mod tests;
mod uneven;
mod uniform;

use std::rc::Rc;

use strandline_engine::types::TopicId;

use super::assignment::Assignment;
use crate::coordination::Pace;

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

    /// What each member shall have, in their order. Every partition of a topic that a member is subscribed to
    /// goes to one of its subscribers.
    pub async fn assign(self, group: &Group, pace: &Pace) -> Vec<Assignment> {
        if group.members.is_empty() {
            return Vec::new();
        }
        match self {
            Assignor::Range => range::assign(group, pace).await,
            Assignor::Uniform if group.is_even(pace).await => uniform::assign(group, pace).await,
            Assignor::Uniform => uneven::assign(group, pace).await,
        }
    }
}

/// A group, for an assignor.
#[derive(Clone, Debug, Default)]
pub struct Group {
    /// The topics that members are subscribed to, by their ids.
    pub topics: Vec<Topic>,
    /// What members are subscribed to: places in `topics`, in their order. Many members have one of these.
    pub subscriptions: Vec<Vec<u32>>,
    /// The members, by their ids.
    pub members: Vec<Member>,
}

/// A topic, for an assignor.
#[derive(Clone, Copy, Debug)]
pub struct Topic {
    /// Its id.
    pub id: TopicId,
    /// The number of its partitions.
    pub partitions: u32,
}

/// A member, for an assignor.
#[derive(Clone, Debug)]
pub struct Member {
    /// Its id.
    pub id: String,
    /// The name of a static member.
    pub instance_id: Option<String>,
    /// Which of the group's subscriptions it has.
    pub subscription: usize,
    /// What it was to have before.
    pub assignment: Rc<Assignment>,
}

impl Group {
    /// Whether all members are subscribed to the same topics.
    async fn is_even(&self, pace: &Pace) -> bool {
        let first = &self.subscriptions[self.members[0].subscription];
        let mut is_used = vec![false; self.subscriptions.len()];
        self.members.iter().for_each(|member| is_used[member.subscription] = true);
        for (topics, is_used) in self.subscriptions.iter().zip(is_used) {
            pace.step(1 + topics.len() / 32).await;
            if is_used && topics != first {
                return false;
            }
        }
        true
    }

    /// The topics of a member.
    fn topics_of(&self, member: &Member) -> &[u32] {
        &self.subscriptions[member.subscription]
    }

    /// The place of a topic in `topics`.
    fn place(&self, topic: TopicId) -> Option<u32> {
        self.topics.binary_search_by_key(&topic, |topic| topic.id).ok().map(|at| at as u32)
    }
}
