//! The assignor `range`: of each topic, the members that are subscribed to it get a range each, in the order
//! of their names: static members first, by the names that they keep, then the others by their ids. The first
//! get one partition more where the number does not divide.

use std::collections::BTreeMap;

use strandline_engine::types::TopicId;

use super::Group;
use crate::groups::consumer::assignment::Assignment;

/// What is left of a topic.
struct Left {
    partitions: i32,
    members: i32,
    /// Members that still get one more than the others.
    extra: i32,
    next: i32,
}

pub(super) fn assign(group: &Group<'_>) -> BTreeMap<String, Assignment> {
    let mut members: Vec<_> = group.members.iter().collect();
    members.sort_by_key(|(id, member)| (member.instance_id.is_none(), member.instance_id, **id));
    let mut topics: BTreeMap<TopicId, Left> = BTreeMap::new();
    for topic in members.iter().flat_map(|(_, member)| &member.topics) {
        let partitions = group.partitions[topic];
        topics.entry(*topic).or_insert(Left { partitions, members: 0, extra: 0, next: 0 }).members += 1;
    }
    topics.values_mut().for_each(|topic| topic.extra = topic.partitions % topic.members);
    let assigned = members.into_iter().map(|(id, member)| {
        let partitions = member.topics.iter().flat_map(|topic| {
            let left = topics.get_mut(topic).expect("it has been counted");
            left.next_range().map(move |partition| (*topic, partition))
        });
        ((*id).to_owned(), partitions.collect())
    });
    assigned.collect()
}

impl Left {
    fn next_range(&mut self) -> std::ops::Range<i32> {
        let mut count = self.partitions / self.members;
        if self.extra > 0 {
            self.extra -= 1;
            count += 1;
        }
        let begin = self.next;
        self.next += count;
        begin..self.next
    }
}
