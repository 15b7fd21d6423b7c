//! What a consumer group comes to with the topics that there are: which each member is subscribed to, whether
//! that is news, and who shall have what.
//!
//! It is a function of what the group was when it began, and may take long: a thousand members with ten
//! thousand topics are ten million steps. It says how far it has come, and others get the thread meanwhile
//! ([`Pace`]). The group goes on, and takes in what was found when it is found.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

use strandline_engine::topics::{Topic, TopicTable};

use super::assignment::Assignment;
use super::assignors::{self, Assignor};
use super::patterns;
use crate::authorization::{Asker, Rules};
use crate::coordination::Pace;

/// What it costs to make an expression ready, in units of [`Pace::step`], and a match.
const READY_UNITS: usize = 256;
const MATCH_UNITS: usize = 8;

/// What it costs to ask whether a client may describe a topic.
const ASK_UNITS: usize = 8;

/// How many topics are looked at one by one before the rest is searched.
const NEAR: usize = 4;

/// A group at the moment that a survey begins.
pub struct Survey {
    /// The topics that there are.
    pub(super) topics: Arc<TopicTable>,
    /// Of who may describe what; `None` where everybody may all.
    pub(super) rules: Option<Rules>,
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
    pub(super) regex: Option<Rc<str>>,
    pub(super) visible: Visible,
}

/// Which of the topics that an expression matches count. As in Kafka, those that the member may not describe
/// do not.
pub(super) enum Visible {
    /// All.
    Every,
    /// Those that the rules show to this client.
    To(Arc<Asker>),
    /// Those that the member is to have already: it has not said yet who it is.
    Only(Rc<Assignment>),
}

/// The topics of subscriptions, as places in the list of all.
struct Subscribed {
    /// Of each subscription, in their order.
    topics: Vec<Vec<u32>>,
    /// Tells one state of those that see less than they describe from another; 0 where there are none.
    hash: i64,
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
        let Subscribed { topics: subscribed, hash: of_limited } = self.subscribed(&all, &pace).await;
        let mut is_used = vec![false; all.len()];
        for topics in &subscribed {
            topics.iter().for_each(|at| is_used[*at as usize] = true);
            pace.step(1 + topics.len() / 16).await;
        }
        let used: Vec<u32> = (0..all.len() as u32).filter(|at| is_used[*at as usize]).collect();
        let hash = hash(&all, &used, &pace).await.wrapping_add(of_limited);
        let targets = match self.must_assign || hash != self.hash {
            true => Some(self.assign(&all, subscribed, used, &pace).await),
            false => None,
        };
        Found { hash, targets, topics: self.topics }
    }

    /// The places in `all` of each subscription's topics, in their order.
    async fn subscribed(&self, all: &[&Arc<Topic>], pace: &Pace) -> Subscribed {
        let mut subscribed = Subscribed { topics: Vec::with_capacity(self.subscriptions.len()), hash: 0 };
        // What an expression matches, for all who use it.
        let mut known: Vec<(&Rc<str>, Rc<Vec<u32>>)> = Vec::new();
        for Subscription { names, regex, visible } in &self.subscriptions {
            let mut topics = places(names, all, pace).await;
            if let Some(regex) = regex {
                let found = known.iter().find(|(other, _)| Rc::ptr_eq(other, regex));
                let matched = match found {
                    Some((_, matched)) => matched.clone(),
                    None => {
                        let matched = Rc::new(matches(regex, all, pace).await);
                        known.push((regex, matched.clone()));
                        matched
                    }
                };
                let mut seen = Vec::with_capacity(matched.len());
                for at in matched.iter().copied() {
                    if visible.shows(self.rules.as_ref(), all[at as usize]) {
                        seen.push(at);
                    }
                    pace.step(visible.units()).await;
                }
                if seen.len() < matched.len() {
                    // Each counts, also one that sees nothing.
                    let of_seen = hash(all, &seen, pace).await.wrapping_add(1);
                    subscribed.hash = subscribed.hash.wrapping_add(of_seen);
                }
                topics.append(&mut seen);
                topics.sort_unstable();
                topics.dedup();
            }
            pace.step(1 + topics.len() / 4).await;
            subscribed.topics.push(topics);
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

impl Visible {
    fn shows(&self, rules: Option<&Rules>, topic: &Topic) -> bool {
        match self {
            Visible::Every => true,
            Visible::To(asker) => rules.is_none_or(|rules| rules.show(asker, &topic.name)),
            Visible::Only(assignment) => assignment.has_topic(topic.id),
        }
    }

    /// What that costs.
    fn units(&self) -> usize {
        match self {
            Visible::Every => 0,
            Visible::To(_) => ASK_UNITS,
            Visible::Only(_) => 1,
        }
    }
}

/// The places in `all` of the topics that an expression matches.
async fn matches(regex: &str, all: &[&Arc<Topic>], pace: &Pace) -> Vec<u32> {
    let mut matched = Vec::new();
    // One out of the log that another broker took and this one does not matches nothing.
    let Ok(regex) = patterns::ready(regex) else { return matched };
    pace.step(READY_UNITS).await;
    for (at, topic) in (0..).zip(all) {
        if regex.matches(&topic.name) {
            matched.push(at);
        }
        pace.step(MATCH_UNITS).await;
    }
    matched
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
