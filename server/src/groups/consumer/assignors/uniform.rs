//! The assignor `uniform` where all members are subscribed to the same topics: each keeps what it has up to
//! its share, and what nobody has goes to those that have less.

use std::collections::BTreeMap;

use super::Group;
use crate::groups::consumer::assignment::Assignment;

pub(super) fn assign(group: &Group<'_>) -> BTreeMap<String, Assignment> {
    let topics = &group.members.values().next().expect("there are members").topics;
    let is_there = |topic, partition| {
        let count = group.partitions.get(&topic).filter(|_| topics.contains(&topic));
        count.is_some_and(|count| (0..*count).contains(&partition))
    };
    let total: usize = topics.iter().map(|topic| group.partitions[topic] as usize).sum();
    let (share, mut extra) = (total / group.members.len(), total % group.members.len());
    let mut kept = Assignment::default();
    let mut assigned = BTreeMap::new();
    let mut lacking = Vec::new();
    let mut freed = Vec::new();
    for (id, member) in &group.members {
        let mut left = share;
        if extra > 0 {
            (left, extra) = (left + 1, extra - 1);
        }
        let mut own = Assignment::default();
        for (topic, partition) in member.assignment.iter().filter(|(topic, at)| is_there(*topic, *at)) {
            if kept.contains(topic, partition) {
                continue;
            }
            kept.insert(topic, partition);
            match left {
                0 => freed.push((topic, partition)),
                _ => {
                    left -= 1;
                    own.insert(topic, partition);
                }
            }
        }
        assigned.insert((*id).to_owned(), own);
        if left > 0 {
            lacking.push((*id, left));
        }
    }
    let all = topics.iter().flat_map(|topic| (0..group.partitions[topic]).map(|at| (*topic, at)));
    let never_had: Vec<_> = all.filter(|(topic, at)| !kept.contains(*topic, *at)).collect();
    let mut free = never_had.into_iter().chain(freed);
    for (id, left) in lacking {
        let own = assigned.get_mut(id).expect("it was just there");
        for (topic, partition) in free.by_ref().take(left) {
            own.insert(topic, partition);
        }
    }
    debug_assert_eq!(free.next(), None, "the shares add up to the partitions");
    assigned
}
