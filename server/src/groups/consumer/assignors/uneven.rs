//! The assignor `uniform` where members are subscribed to different topics: topics with the most partitions
//! for each subscriber go first, each partition to the subscriber that has the fewest; then topic after topic
//! is balanced, until none is better for it.
//!
//! Balance is that of the subscribers of a topic: no two of them differ by more than one partition where one
//! has something to give. Where topics overlap, [`ROUNDS_MAX`] bounds the work, and a difference may remain.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use strandline_engine::types::TopicId;

use super::Group;
use crate::groups::consumer::assignment::Assignment;

/// How often all topics are gone through at most, as in Kafka.
const ROUNDS_MAX: usize = 16;

pub(super) fn assign(group: &Group<'_>) -> BTreeMap<String, Assignment> {
    let mut sharing = Sharing::new(group);
    sharing.assign_unowned();
    sharing.balance();
    sharing.finish()
}

struct Sharing<'a> {
    ids: Vec<&'a str>,
    /// How many partitions each member gets.
    sizes: Vec<usize>,
    /// In the order in which they are shared out.
    topics: Vec<Topic>,
}

struct Topic {
    id: TopicId,
    /// By their places in `ids`.
    subscribers: Vec<usize>,
    /// Who gets each partition.
    owners: Vec<Option<usize>>,
}

impl<'a> Sharing<'a> {
    fn new(group: &Group<'a>) -> Sharing<'a> {
        let mut topics: BTreeMap<TopicId, Topic> = BTreeMap::new();
        for (at, member) in group.members.values().enumerate() {
            for id in &member.topics {
                let owners = || vec![None; group.partitions[id] as usize];
                let topic = topics.entry(*id).or_insert_with(|| Topic {
                    id: *id,
                    subscribers: Vec::new(),
                    owners: owners(),
                });
                topic.subscribers.push(at);
            }
        }
        let mut sizes = vec![0; group.members.len()];
        for (at, member) in group.members.values().enumerate() {
            for (id, partition) in member.assignment.iter().filter(|(id, _)| member.topics.contains(id)) {
                let owners = &mut topics.get_mut(&id).expect("it is subscribed to").owners;
                if let Some(owner) = owners.get_mut(partition as usize)
                    && owner.is_none()
                {
                    *owner = Some(at);
                    sizes[at] += 1;
                }
            }
        }
        let mut topics: Vec<_> = topics.into_values().collect();
        // Partitions for each subscriber: compared as fractions, without rounding.
        topics.sort_by(|one, other| {
            let (ones, others) =
                (one.owners.len() * other.subscribers.len(), other.owners.len() * one.subscribers.len());
            Reverse(ones).cmp(&Reverse(others)).then(one.subscribers.len().cmp(&other.subscribers.len()))
        });
        Sharing { ids: group.members.keys().copied().collect(), sizes, topics }
    }

    /// Gives what nobody has to the subscribers that have the fewest.
    fn assign_unowned(&mut self) {
        for topic in &mut self.topics {
            for owner in topic.owners.iter_mut().filter(|owner| owner.is_none()) {
                let fewest = fewest(&self.sizes, &topic.subscribers);
                *owner = Some(fewest);
                self.sizes[fewest] += 1;
            }
        }
    }

    fn balance(&mut self) {
        for _ in 0..ROUNDS_MAX {
            let mut moved = 0;
            for topic in self.topics.iter_mut().filter(|topic| topic.subscribers.len() > 1) {
                moved += balance(&mut self.sizes, topic);
            }
            if moved == 0 {
                return;
            }
        }
    }

    fn finish(self) -> BTreeMap<String, Assignment> {
        let mut assigned = vec![Assignment::default(); self.ids.len()];
        for topic in &self.topics {
            for (partition, owner) in (0..).zip(&topic.owners) {
                assigned[owner.expect("each topic has a subscriber")].insert(topic.id, partition);
            }
        }
        self.ids.into_iter().map(str::to_owned).zip(assigned).collect()
    }
}

/// Moves partitions of a topic from subscribers that have most to those that have fewest; how many.
fn balance(sizes: &mut [usize], topic: &mut Topic) -> usize {
    let mut owned: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (partition, owner) in topic.owners.iter().enumerate() {
        owned.entry(owner.expect("each topic has a subscriber")).or_default().push(partition);
    }
    let mut moved = 0;
    loop {
        // Those with nothing of the topic to give stand aside.
        let giving = owned.iter().filter(|(_, partitions)| !partitions.is_empty()).map(|(at, _)| *at);
        let Some(most) = giving.max_by_key(|at| (sizes[*at], *at)) else { return moved };
        let fewest = fewest(sizes, &topic.subscribers);
        if sizes[most] <= sizes[fewest] + 1 {
            return moved;
        }
        let partition = owned.get_mut(&most).and_then(Vec::pop).expect("it has something to give");
        topic.owners[partition] = Some(fewest);
        (sizes[most], sizes[fewest], moved) = (sizes[most] - 1, sizes[fewest] + 1, moved + 1);
    }
}

/// The subscriber with the fewest partitions; of several, the first.
fn fewest(sizes: &[usize], subscribers: &[usize]) -> usize {
    let fewest = subscribers.iter().copied().min_by_key(|at| (sizes[*at], *at));
    fewest.expect("each topic has a subscriber")
}
