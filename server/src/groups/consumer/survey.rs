//! What a consumer group comes to with the topics that there are: which each member is subscribed to, whether
//! that is news, and who shall have what.
//!
//! It is a function of what the group was when it began, and may take long: a thousand members with ten
//! thousand topics are ten million steps. It says how far it has come, and others get the thread meanwhile
//! ([`Pace`]). The group goes on, and takes in what was found when it is found.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

use regex::bytes::Regex;
use strandline_engine::topics::{Topic, TopicTable};

use super::assignment::Assignment;
use super::assignors::{self, Assignor};
use crate::coordination::Pace;

/// What a match costs, in units of [`Pace::step`].
const MATCH_UNITS: usize = 8;

/// How many topics are looked at one by one before the rest is searched.
const NEAR: usize = 4;

/// A group at the moment that a survey begins.
pub struct Survey {
    /// The topics that there are.
    pub(super) topics: Arc<TopicTable>,
    /// What members are subscribed to; each once.
    pub(super) subscriptions: Vec<Subscription>,
    /// Who they are, by their ids, each with its subscription.
    pub(super) members: Vec<assignors::Member>,
    /// How partitions are shared out.
    pub(super) assignor: Assignor,
    /// The hash of the topics that it was subscribed to.
    pub(super) hash: i64,
    /// Whether partitions are to be shared out though the topics are the same.
    pub(super) must_assign: bool,
}

/// Topics by name, and those that an expression describes.
pub(super) struct Subscription {
    pub(super) names: Arc<BTreeSet<String>>,
    pub(super) regex: Option<Rc<Regex>>,
}

/// What a survey has found.
pub struct Found {
    /// The topics that there were.
    pub(super) topics: Arc<TopicTable>,
    /// Of the topics that members are subscribed to.
    pub(super) hash: i64,
    /// What each member shall have, and whether that is something else than before; `None` when it is what
    /// it was.
    pub(super) targets: Option<BTreeMap<String, (Rc<Assignment>, bool)>>,
}

impl Survey {
    /// Looks at all of it.
    pub async fn run(self, pace: Pace) -> Found {
        let all: Vec<&Arc<Topic>> = self.topics.iter().collect();
        pace.step(1 + all.len() / 8).await;
        let subscribed = self.subscribed(&all, &pace).await;
        let mut is_used = vec![false; all.len()];
        for topics in &subscribed {
            topics.iter().for_each(|at| is_used[*at as usize] = true);
            pace.step(1 + topics.len() / 16).await;
        }
        let used: Vec<u32> = (0..all.len() as u32).filter(|at| is_used[*at as usize]).collect();
        let hash = hash(&all, &used, &pace).await;
        let targets = match self.must_assign || hash != self.hash {
            true => Some(self.assign(&all, subscribed, used, &pace).await),
            false => None,
        };
        Found { hash, targets, topics: self.topics }
    }

    /// The places in `all` of each subscription's topics, in their order.
    async fn subscribed(&self, all: &[&Arc<Topic>], pace: &Pace) -> Vec<Vec<u32>> {
        let mut subscribed = Vec::with_capacity(self.subscriptions.len());
        for Subscription { names, regex } in &self.subscriptions {
            let mut topics = places(names, all, pace).await;
            if let Some(regex) = regex {
                for (at, topic) in (0..).zip(all) {
                    if regex.is_match(topic.name.as_bytes()) {
                        topics.push(at);
                    }
                    pace.step(MATCH_UNITS).await;
                }
                topics.sort_unstable();
                topics.dedup();
            }
            pace.step(1 + topics.len() / 4).await;
            subscribed.push(topics);
        }
        subscribed
    }

    /// Shares the partitions of the topics `used` out.
    async fn assign(
        &self,
        all: &[&Arc<Topic>],
        subscribed: Vec<Vec<u32>>,
        mut used: Vec<u32>,
        pace: &Pace,
    ) -> BTreeMap<String, (Rc<Assignment>, bool)> {
        // Assignors go by the order of ids, what came until here by that of names.
        used.sort_unstable_by_key(|at| all[*at as usize].id);
        let topic = |at: &u32| {
            let topic = all[*at as usize];
            assignors::Topic { id: topic.id, partitions: topic.partitions }
        };
        let topics: Vec<_> = used.iter().map(topic).collect();
        let mut places = vec![0; all.len()];
        used.iter().zip(0..).for_each(|(at, place)| places[*at as usize] = place);
        pace.step(1 + used.len()).await;
        let mut subscriptions = Vec::with_capacity(subscribed.len());
        for mut topics in subscribed {
            topics.iter_mut().for_each(|at| *at = places[*at as usize]);
            pace.step(1 + topics.len() / 16).await;
            topics.sort_unstable();
            pace.step(topics.len() / 4).await;
            subscriptions.push(topics);
        }
        let group = assignors::Group { topics, subscriptions, members: self.members.clone() };
        let assigned = self.assignor.assign(&group, pace).await;
        let mut targets = BTreeMap::new();
        for (member, assignment) in group.members.into_iter().zip(assigned) {
            let target = match assignment == *member.assignment {
                true => (member.assignment, false),
                false => (Rc::new(assignment), true),
            };
            pace.step(1 + target.0.len() / 4).await;
            targets.insert(member.id, target);
        }
        targets
    }
}

/// The places of these names in `all`, which are in the order of their names.
async fn places(names: &BTreeSet<String>, all: &[&Arc<Topic>], pace: &Pace) -> Vec<u32> {
    let mut places = Vec::new();
    let mut begin = 0;
    for name in names {
        // The next one is near where there are many names, and may be anywhere where there are few.
        let near = all[begin..].iter().take(NEAR).position(|topic| topic.name >= *name);
        begin = near.map_or_else(
            || begin + all[begin..].partition_point(|topic| topic.name < *name),
            |at| begin + at,
        );
        if all.get(begin).is_some_and(|topic| topic.name == *name) {
            places.push(begin as u32);
        }
        pace.step(2).await;
    }
    places
}

/// Tells one state of topics from another: their names, ids and numbers of partitions (FNV-1a, which is the
/// same after a start). 0 when there is none.
async fn hash(all: &[&Arc<Topic>], used: &[u32], pace: &Pace) -> i64 {
    if used.is_empty() {
        return 0;
    }
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut take = |bytes: &[u8]| {
        for byte in bytes {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    };
    for at in used {
        let topic = all[*at as usize];
        take(topic.name.as_bytes());
        take(&topic.id.to_bytes());
        take(&topic.partitions.to_be_bytes());
        pace.step(2).await;
    }
    hash as i64
}
