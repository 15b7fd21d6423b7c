//! Who in a share group shall fetch from where: Kafka's `simple` assignor. Every partition has a member, and
//! every member a partition; where there are more members than partitions, several share one.
//!
//! ```text
//! sharing   members of a partition: ceil(members / partitions), so 1 where there are partitions enough
//! quota     partitions of a member: its even part of partitions * sharing
//! ```
//!
//! Members keep what they have as far as both allow. Where all members are subscribed to the same topics, the
//! rule holds of the partitions of all topics together, else of those of each topic by itself, as in Kafka.

#[cfg(test)]
mod kafka;

use std::collections::{BTreeMap, BTreeSet};

use strandline_engine::types::TopicId;

use crate::groups::consumer::Assignment;

/// The name of the assignor.
pub const NAME: &str = "simple";

/// A member, for the assignor.
#[derive(Clone, Debug)]
pub struct Member<'a> {
    /// The topics that it is subscribed to and that can be fetched from.
    pub topics: BTreeSet<TopicId>,
    /// What it was to have before.
    pub assignment: Option<&'a Assignment>,
}

/// What each member shall have, of these partitions by topic.
pub fn assign(
    members: &BTreeMap<&str, Member<'_>>,
    partitions: &BTreeMap<TopicId, BTreeSet<i32>>,
) -> BTreeMap<String, Assignment> {
    let mut assigned: BTreeMap<String, Assignment> =
        members.keys().map(|id| ((*id).to_owned(), Assignment::default())).collect();
    let topics: BTreeSet<TopicId> =
        members.values().flat_map(|member| member.topics.iter().copied()).collect();
    let of = |topic: &TopicId| {
        let partitions = partitions.get(topic).into_iter().flatten();
        partitions.map(|at| (*topic, *at)).collect::<Vec<_>>()
    };
    if members.values().all(|member| member.topics == topics) {
        let ids: Vec<&str> = members.keys().copied().collect();
        let all: Vec<_> = topics.iter().flat_map(of).collect();
        share_out(&ids, members, &all, &mut assigned);
        return assigned;
    }
    for topic in &topics {
        let subscribed = members.iter().filter(|(_, member)| member.topics.contains(topic));
        let ids: Vec<&str> = subscribed.map(|(id, _)| *id).collect();
        share_out(&ids, members, &of(topic), &mut assigned);
    }
    assigned
}

/// Shares partitions out among members that are subscribed to all of their topics.
fn share_out(
    ids: &[&str],
    members: &BTreeMap<&str, Member<'_>>,
    all: &[(TopicId, i32)],
    assigned: &mut BTreeMap<String, Assignment>,
) {
    if all.is_empty() {
        return;
    }
    let sharing = ids.len().div_ceil(all.len());
    let slots = all.len() * sharing;
    let quota = |at: usize| ((at + 1) * slots).div_ceil(ids.len()) - (at * slots).div_ceil(ids.len());
    let mut left: BTreeMap<(TopicId, i32), usize> = all.iter().map(|at| (*at, sharing)).collect();
    let mut given: Vec<Assignment> = vec![Assignment::default(); ids.len()];
    let mut counts = vec![0; ids.len()];
    for (at, id) in ids.iter().enumerate() {
        for partition in members[id].assignment.into_iter().flat_map(Assignment::iter) {
            if counts[at] < quota(at)
                && let Some(left) = left.get_mut(&partition).filter(|left| **left > 0)
            {
                *left -= 1;
                counts[at] += 1;
                given[at].insert(partition.0, partition.1);
            }
        }
    }
    // What is left goes round: a member takes a partition once.
    let mut open: Vec<(TopicId, i32)> = Vec::new();
    for (partition, left) in left {
        open.extend(std::iter::repeat_n(partition, left));
    }
    let mut next = 0;
    for (at, given) in given.iter_mut().enumerate() {
        let mut passed = Vec::new();
        while counts[at] < quota(at) && next < open.len() {
            let partition = open[next];
            next += 1;
            match given.insert(partition.0, partition.1) {
                true => counts[at] += 1,
                false => passed.push(partition),
            }
        }
        // For the next member: they are the same partition, or this one has them.
        next -= passed.len();
        open[next..next + passed.len()].copy_from_slice(&passed);
    }
    for (id, given) in ids.iter().zip(given) {
        let assignment = assigned.get_mut(*id).expect("every member is there");
        for (topic, partition) in given.iter() {
            assignment.insert(topic, partition);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assignment_of(
        subscribed: &[(&str, &[u8])],
        topics: &[(u8, i32)],
        before: &BTreeMap<String, Assignment>,
    ) -> BTreeMap<String, Assignment> {
        let id = |number: u8| TopicId::from_bytes([number; 16]);
        let partitions = topics.iter().map(|(topic, count)| (id(*topic), (0..*count).collect()));
        let members = subscribed.iter().map(|(name, topics)| {
            let topics = topics.iter().map(|topic| id(*topic)).collect();
            (*name, Member { topics, assignment: before.get(*name) })
        });
        assign(&members.collect(), &partitions.collect())
    }

    #[test]
    fn every_member_has_a_partition_and_every_partition_a_member() {
        for seed in 0..300 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let names: Vec<_> = (0..rng.usize(1..12)).map(|at| format!("m{at}")).collect();
            let topics: Vec<_> = (0..rng.u8(1..4)).map(|topic| (topic, rng.i32(1..6))).collect();
            let numbers: Vec<u8> = topics.iter().map(|(topic, _)| *topic).collect();
            let subscribed: Vec<_> = names.iter().map(|name| (name.as_str(), &numbers[..])).collect();
            let count = rng.usize(1..=subscribed.len());
            let before = assignment_of(&subscribed[..count], &topics, &BTreeMap::new());
            let after = assignment_of(&subscribed, &topics, &before);
            let partitions: usize = topics.iter().map(|(_, count)| *count as usize).sum();
            let counts: Vec<_> = after.values().map(Assignment::len).collect();
            let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
            assert!(*least >= 1 && most - least <= 1, "seed {seed}: {counts:?}");
            let mut shared: BTreeMap<_, usize> = BTreeMap::new();
            after.values().flat_map(Assignment::iter).for_each(|at| *shared.entry(at).or_default() += 1);
            assert_eq!(shared.len(), partitions, "seed {seed}: every partition has a member");
            let most = names.len().div_ceil(partitions);
            assert!(shared.values().all(|members| *members <= most), "seed {seed}: {shared:?}");
        }
    }

    #[test]
    fn who_stays_keeps_what_it_has() {
        let before = assignment_of(&[("a", &[1]), ("b", &[1])], &[(1, 4)], &BTreeMap::new());
        let after = assignment_of(&[("a", &[1]), ("b", &[1]), ("c", &[1])], &[(1, 4)], &before);
        for name in ["a", "b"] {
            assert!(after[name].is_within(&before[name]), "{name}");
        }
        assert_eq!(after["c"].len(), 1);
        assert_eq!(assignment_of(&[("a", &[1]), ("b", &[1])], &[(1, 4)], &before), before);
    }

    #[test]
    fn where_subscriptions_differ_each_topic_is_shared_out_by_itself() {
        let after =
            assignment_of(&[("a", &[1]), ("b", &[2]), ("c", &[1, 2])], &[(1, 4), (2, 6)], &BTreeMap::new());
        let of = |name: &str, topic: u8| {
            after[name]
                .topics()
                .find(|(id, _)| *id == TopicId::from_bytes([topic; 16]))
                .map_or(0, |it| it.1.len())
        };
        assert_eq!((of("a", 1), of("c", 1)), (2, 2));
        assert_eq!((of("b", 2), of("c", 2)), (3, 3));
    }

    #[test]
    fn nobody_fetches_from_what_it_is_not_subscribed_to() {
        let after =
            assignment_of(&[("a", &[1]), ("b", &[2]), ("c", &[])], &[(1, 2), (2, 3)], &BTreeMap::new());
        assert_eq!((after["a"].len(), after["b"].len(), after["c"].len()), (2, 3, 0));
        assert!(after["a"].topics().all(|(topic, _)| topic == TopicId::from_bytes([1; 16])));
    }
}
