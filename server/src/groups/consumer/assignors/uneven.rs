//! The assignor `uniform` where members are subscribed to different topics: topics with the most partitions
//! for each subscriber go first, each partition to the subscriber that has the fewest; then topic after topic
//! is balanced, until none is better for it.
//!
//! Balance is that of the subscribers of a topic: no two of them differ by more than one partition where one
//! has something to give. Where topics overlap, [`ROUNDS_MAX`] bounds the work, and a difference may remain.
//!
//! A topic costs its subscribers and its partitions, not their product: who has fewest and who has most is
//! found with levels that rise and sink ([`Levels`]).

use std::cmp::Reverse;
use std::collections::HashMap;
use std::rc::Rc;

use strandline_engine::types::TopicId;

use super::Group;
use crate::coordination::Pace;
use crate::groups::consumer::assignment::Assignment;

/// How often all topics are gone through at most, as in Kafka.
const ROUNDS_MAX: usize = 16;

pub(super) async fn assign(group: &Group, pace: &Pace) -> Vec<Assignment> {
    let mut sharing = Sharing::new(group, pace).await;
    sharing.assign_unowned(pace).await;
    sharing.balance(pace).await;
    sharing.finish(pace).await
}

struct Sharing {
    /// How many partitions each member gets.
    sizes: Vec<usize>,
    /// In the order in which they are shared out.
    topics: Vec<Topic>,
}

struct Topic {
    id: TopicId,
    /// By their places. Topics with the same subscribers have one list.
    subscribers: Rc<[u32]>,
    /// Who gets each partition.
    owners: Vec<Option<u32>>,
}

impl Sharing {
    async fn new(group: &Group, pace: &Pace) -> Sharing {
        let subscribers = subscribers(group, pace).await;
        let mut topics = Vec::with_capacity(group.topics.len());
        for (topic, subscribers) in group.topics.iter().zip(subscribers) {
            let owners = vec![None; topic.partitions as usize];
            topics.push(Topic { id: topic.id, subscribers, owners });
            pace.step(1 + topic.partitions as usize / 16).await;
        }
        let mut sizes = vec![0; group.members.len()];
        for (at, member) in group.members.iter().enumerate() {
            let subscribed = group.topics_of(member);
            for (topic, partitions) in member.assignment.topics() {
                pace.step(1 + partitions.len()).await;
                let Some(place) = group.place(topic) else { continue };
                if subscribed.binary_search(&place).is_err() {
                    continue;
                }
                let owners = &mut topics[place as usize].owners;
                for partition in partitions.range(0..owners.len() as i32) {
                    let owner = &mut owners[*partition as usize];
                    if owner.is_none() {
                        *owner = Some(at as u32);
                        sizes[at] += 1;
                    }
                }
            }
        }
        topics.sort_by_cached_key(Topic::rank);
        pace.step(topics.len()).await;
        Sharing { sizes, topics }
    }

    /// Gives what nobody has to the subscribers that have the fewest.
    async fn assign_unowned(&mut self, pace: &Pace) {
        for topic in &mut self.topics {
            pace.step(1 + topic.owners.len() / 16).await;
            if topic.owners.iter().all(Option::is_some) {
                continue;
            }
            let mut levels = Levels::new(&self.sizes, &topic.subscribers);
            pace.step(2 * topic.subscribers.len()).await;
            for at in 0..topic.owners.len() {
                if topic.owners[at].is_none() {
                    let fewest = levels.fewest(&self.sizes);
                    topic.owners[at] = Some(fewest);
                    self.sizes[fewest as usize] += 1;
                    pace.step(1).await;
                }
            }
        }
    }

    async fn balance(&mut self, pace: &Pace) {
        for _ in 0..ROUNDS_MAX {
            let mut moved = 0;
            for topic in self.topics.iter_mut().filter(|topic| topic.subscribers.len() > 1) {
                moved += balance(&mut self.sizes, topic, pace).await;
            }
            if moved == 0 {
                return;
            }
        }
    }

    async fn finish(self, pace: &Pace) -> Vec<Assignment> {
        let mut assigned = vec![Assignment::default(); self.sizes.len()];
        for topic in &self.topics {
            for (partition, owner) in (0..).zip(&topic.owners) {
                let owner = owner.expect("each topic has a subscriber") as usize;
                assigned[owner].insert(topic.id, partition);
                pace.step(2).await;
            }
        }
        assigned
    }
}

impl Topic {
    /// Topics with the most partitions for each subscriber first; of those, the ones with fewer subscribers,
    /// and then in Kafka's order of ids, which are numbers with a sign.
    fn rank(&self) -> (Reverse<Ratio>, usize, [i64; 2]) {
        let ratio = Ratio { partitions: self.owners.len(), subscribers: self.subscribers.len() };
        let id = self.id.to_bytes();
        let half = |at: usize| i64::from_be_bytes(id[at..at + 8].try_into().expect("eight bytes"));
        (Reverse(ratio), self.subscribers.len(), [half(0), half(8)])
    }
}

/// Partitions for each subscriber: compared without rounding.
struct Ratio {
    partitions: usize,
    subscribers: usize,
}

impl Ord for Ratio {
    fn cmp(&self, other: &Ratio) -> std::cmp::Ordering {
        (self.partitions * other.subscribers).cmp(&(other.partitions * self.subscribers))
    }
}

impl PartialOrd for Ratio {
    fn partial_cmp(&self, other: &Ratio) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Ratio {
    fn eq(&self, other: &Ratio) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Ratio {}

/// The subscribers of each topic. Topics that the same members are subscribed to have one list.
async fn subscribers(group: &Group, pace: &Pace) -> Vec<Rc<[u32]>> {
    let mut members: Vec<Vec<u32>> = vec![Vec::new(); group.subscriptions.len()];
    for (at, member) in (0..).zip(&group.members) {
        members[member.subscription].push(at);
    }
    pace.step(group.members.len()).await;
    let mut subscriptions: Vec<Vec<u32>> = vec![Vec::new(); group.topics.len()];
    for (at, topics) in (0..).zip(&group.subscriptions) {
        for chunk in topics.chunks(64) {
            chunk.iter().for_each(|topic| subscriptions[*topic as usize].push(at));
            pace.step(chunk.len() / 4).await;
        }
    }
    let mut known: HashMap<Vec<u32>, Rc<[u32]>> = HashMap::new();
    let mut lists = Vec::with_capacity(group.topics.len());
    for subscriptions in subscriptions {
        pace.step(1 + subscriptions.len() / 16).await;
        if let Some(list) = known.get(&subscriptions) {
            lists.push(list.clone());
            continue;
        }
        let mut list = Vec::new();
        for at in &subscriptions {
            list.extend_from_slice(&members[*at as usize]);
        }
        list.sort_unstable();
        pace.step(list.len()).await;
        let list: Rc<[u32]> = list.into();
        known.insert(subscriptions, list.clone());
        lists.push(list);
    }
    lists
}

/// Moves partitions of a topic from subscribers that have most to those that have fewest; how many.
async fn balance(sizes: &mut [usize], topic: &mut Topic, pace: &Pace) -> usize {
    let of = |at: &u32| sizes[*at as usize];
    let (least, most) = (topic.subscribers.iter().map(of).min(), topic.subscribers.iter().map(of).max());
    pace.step(1 + topic.subscribers.len() / 16).await;
    if most <= least.map(|least| least + 1) {
        return 0;
    }
    let mut owned: HashMap<u32, Vec<usize>> = HashMap::new();
    for (partition, owner) in topic.owners.iter().enumerate() {
        owned.entry(owner.expect("each topic has a subscriber")).or_default().push(partition);
    }
    pace.step(topic.owners.len()).await;
    let mut levels = Levels::new(sizes, &topic.subscribers);
    pace.step(2 * topic.subscribers.len()).await;
    let mut moved = 0;
    while !levels.are_even() {
        pace.step(1).await;
        let Some(most) = levels.most(sizes) else { break };
        let Some(partition) = owned.get_mut(&most).and_then(Vec::pop) else {
            // It has nothing of the topic to give, and stands aside.
            levels.exclude();
            continue;
        };
        let fewest = levels.fewest(sizes);
        if levels.are_even() {
            break;
        }
        topic.owners[partition] = Some(fewest);
        sizes[most as usize] -= 1;
        sizes[fewest as usize] += 1;
        moved += 1;
    }
    moved
}

/// Members in the order of what they have, with two levels: those with the fewest are given something one
/// after the other, and with the last of them the level rises and takes in more; those with the most give in
/// the same way.
struct Levels {
    /// By size, then by place.
    order: Vec<u32>,
    /// The first so many are at the low level, or one above it.
    low_end: usize,
    low: Option<usize>,
    low_next: usize,
    /// From here to `high_end` they are at the high level, or one below it; behind it are those that have
    /// nothing to give.
    high_begin: usize,
    high_end: usize,
    high: usize,
    /// One behind the next that gives.
    high_next: usize,
}

impl Levels {
    fn new(sizes: &[usize], members: &[u32]) -> Levels {
        let mut order = members.to_vec();
        order.sort_by_key(|at| (sizes[*at as usize], *at));
        let end = order.len();
        let high = sizes[order[end - 1] as usize] + 1;
        Levels {
            order,
            low_end: 0,
            low: None,
            low_next: 0,
            high_begin: end,
            high_end: end,
            high,
            high_next: end,
        }
    }

    fn size(&self, sizes: &[usize], at: usize) -> usize {
        sizes[self.order[at] as usize]
    }

    /// The next that is given something.
    fn fewest(&mut self, sizes: &[usize]) -> u32 {
        if self.low_next >= self.low_end {
            let low = self.low.map_or_else(|| self.size(sizes, 0), |low| low + 1);
            while self.low_end < self.order.len() && self.size(sizes, self.low_end) == low {
                self.low_end += 1;
            }
            (self.low, self.low_next) = (Some(low), 0);
        }
        self.low_next += 1;
        self.order[self.low_next - 1]
    }

    /// The next that gives, if any can.
    fn most(&mut self, sizes: &[usize]) -> Option<u32> {
        if self.high_next <= self.high_begin {
            self.high = match self.high_end <= self.high_begin && self.high_begin > 0 {
                true => self.size(sizes, self.high_begin - 1),
                false => self.high.saturating_sub(1),
            };
            while self.high_begin > 0 && self.size(sizes, self.high_begin - 1) == self.high {
                self.high_begin -= 1;
            }
            self.high_next = self.high_end;
        }
        self.high_next = self.high_next.checked_sub(1)?;
        Some(self.order[self.high_next])
    }

    /// The one that was asked last gives nothing.
    fn exclude(&mut self) {
        self.high_end -= 1;
        self.order.swap(self.high_next, self.high_end);
    }

    /// Whether nothing is to be gained by giving any more.
    fn are_even(&self) -> bool {
        self.low.is_some_and(|low| self.high <= low + 1)
    }
}
