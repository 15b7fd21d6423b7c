//! Kafka's range assignor: each topic's partitions, in order, in equal runs, among the members that want the
//! topic.
//!
//! ```text
//! 8 partitions, 3 members   0 1 2 | 3 4 5 | 6 7      the first members, by their ids, have one more
//! ```

use std::collections::BTreeMap;

/// The name under which members agree on it.
pub(super) const RANGE: &str = "range";

/// For each member, by its id, the partitions of each topic. `subscriptions` has the topics that each member
/// wants, and `partitions` how many each topic has; a topic that is not there has none.
pub(super) fn range(
    subscriptions: &BTreeMap<String, Vec<String>>,
    partitions: &BTreeMap<String, i32>,
) -> BTreeMap<String, BTreeMap<String, Vec<i32>>> {
    let mut assigned: BTreeMap<String, BTreeMap<String, Vec<i32>>> =
        subscriptions.keys().map(|member| (member.clone(), BTreeMap::new())).collect();
    for (topic, &count) in partitions {
        let wants = |topics: &Vec<String>| topics.contains(topic);
        let members: Vec<&String> =
            subscriptions.iter().filter(|(_, topics)| wants(topics)).map(|(id, _)| id).collect();
        let mut next = 0;
        for (at, member) in members.iter().enumerate() {
            let more = i32::from((at as i32) < count % members.len() as i32);
            let end = next + count / members.len() as i32 + more;
            if end > next {
                let of_member = assigned.get_mut(*member).expect("every member has an entry");
                of_member.insert(topic.clone(), (next..end).collect());
            }
            next = end;
        }
    }
    assigned
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(members: &[(&str, &[&str])], topics: &[(&str, i32)]) -> Vec<(String, String, Vec<i32>)> {
        let owned = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        let subscriptions = members.iter().map(|(id, topics)| (id.to_string(), owned(topics))).collect();
        let partitions = topics.iter().map(|(topic, count)| (topic.to_string(), *count)).collect();
        let assigned = range(&subscriptions, &partitions).into_iter();
        assigned
            .flat_map(|(member, topics)| {
                topics.into_iter().map(move |(topic, partitions)| (member.clone(), topic, partitions))
            })
            .collect()
    }

    fn share(member: &str, topic: &str, partitions: &[i32]) -> (String, String, Vec<i32>) {
        (member.to_owned(), topic.to_owned(), partitions.to_vec())
    }

    #[test]
    fn every_partition_has_one_member_and_the_first_members_have_one_more() {
        assert_eq!(
            shares(&[("b", &["t"]), ("a", &["t"]), ("c", &["t"])], &[("t", 8)]),
            [share("a", "t", &[0, 1, 2]), share("b", "t", &[3, 4, 5]), share("c", "t", &[6, 7])]
        );
        assert_eq!(
            shares(&[("a", &["t"]), ("b", &["t"]), ("c", &["t"])], &[("t", 2)]),
            [share("a", "t", &[0]), share("b", "t", &[1])]
        );
    }

    #[test]
    fn a_member_has_nothing_of_a_topic_that_it_does_not_want() {
        assert_eq!(
            shares(&[("a", &["t", "u", "gone"]), ("b", &["u"])], &[("t", 2), ("u", 2)]),
            [share("a", "t", &[0, 1]), share("a", "u", &[0]), share("b", "u", &[1])]
        );
    }
}
