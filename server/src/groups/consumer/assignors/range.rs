//! The assignor `range`: of each topic, the members that are subscribed to it get a range each, in the order
//! of their names: static members first, by the names that they keep, then the others by their ids. The first
//! get one partition more where the number does not divide.

use super::Group;
use crate::coordination::Pace;
use crate::groups::consumer::assignment::Assignment;

/// What is left of a topic.
#[derive(Clone, Default)]
struct Left {
    subscribers: u32,
    /// Members that still get one more than the others.
    extra: u32,
    next: u32,
}

pub(super) async fn assign(group: &Group, pace: &Pace) -> Vec<Assignment> {
    let mut order: Vec<usize> = (0..group.members.len()).collect();
    order.sort_by_key(|at| {
        let member = &group.members[*at];
        (member.instance_id.is_none(), &member.instance_id, &member.id)
    });
    let mut left = vec![Left::default(); group.topics.len()];
    for member in &group.members {
        let topics = group.topics_of(member);
        topics.iter().for_each(|topic| left[*topic as usize].subscribers += 1);
        pace.step(1 + topics.len() / 32).await;
    }
    for (topic, left) in group.topics.iter().zip(&mut left) {
        left.extra = topic.partitions % left.subscribers.max(1);
    }
    let mut assigned = vec![Assignment::default(); group.members.len()];
    for at in order {
        for place in group.topics_of(&group.members[at]) {
            let topic = group.topics[*place as usize];
            let range = left[*place as usize].next_range(topic.partitions);
            pace.step(1 + range.len()).await;
            for partition in range {
                assigned[at].insert(topic.id, partition as i32);
            }
        }
    }
    assigned
}

impl Left {
    fn next_range(&mut self, partitions: u32) -> std::ops::Range<u32> {
        let mut count = partitions / self.subscribers;
        if self.extra > 0 {
            self.extra -= 1;
            count += 1;
        }
        let begin = self.next;
        self.next += count;
        begin..self.next
    }
}
