//! Kafka's own assignor beside ours, on inputs that `server/tests/interop/assignors/generate` has made and
//! had shared out by Kafka's class.
//!
//! Kafka goes through hash tables: which of several equal partitions a member gets is chance. So each member
//! gets as many, and keeps as many where all are subscribed to the same topics. Where they are not, Kafka
//! leaves a member what it is no longer subscribed to while others are; that is not compared.

use super::*;

const ROWS: &str = include_str!("../../../../tests/interop/assignors/kafka-4.4.0.tsv");

fn topic(id: &str) -> TopicId {
    TopicId::from_bytes([id.parse().unwrap(); 16])
}

fn pairs(text: &str, between: char) -> impl Iterator<Item = (TopicId, i32)> {
    let pairs = text.split(',').filter_map(move |pair| pair.split_once(between));
    pairs.map(|(id, number)| (topic(id), number.parse().unwrap()))
}

fn assignment(text: &str) -> Assignment {
    let mut assignment = Assignment::default();
    for (topic, at) in pairs(text, '-') {
        assignment.insert(topic, at);
    }
    assignment
}

#[test]
fn each_member_gets_as_many_partitions_as_by_kafkas_assignor() {
    let mut compared = [0; 2];
    for row in ROWS.lines() {
        let [NAME, topics, said] = row.split('\t').collect::<Vec<_>>()[..] else { continue };
        let partitions = pairs(topics, ':').map(|(id, count)| (id, (0..count).collect())).collect();
        let (mut subscriptions, mut had, mut theirs) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        for member in said.split('|') {
            let (id, rest) = member.split_once('=').unwrap();
            let [_, subscribed, before, gets] = rest.split(';').collect::<Vec<_>>()[..] else {
                panic!("{row}")
            };
            let subscribed: BTreeSet<_> =
                subscribed.split(',').filter(|id| !id.is_empty()).map(topic).collect();
            subscriptions.insert(id, subscribed);
            had.insert(id, assignment(before));
            theirs.insert(id, assignment(gets));
        }
        let members = subscriptions
            .iter()
            .map(|(id, topics)| (*id, Member { topics: topics.clone(), assignment: had.get(id) }));
        let ours = assign(&members.collect(), &partitions);
        let is_even = subscriptions.values().all(|topics| Some(topics) == subscriptions.values().next());
        compared[usize::from(is_even)] += 1;
        for (id, theirs) in &theirs {
            let theirs = theirs.filtered(|topic| subscriptions[id].contains(&topic));
            assert_eq!(ours[*id].len(), theirs.len(), "{id}: {row}");
            let kept =
                |now: &Assignment| had[id].iter().filter(|(topic, at)| now.contains(*topic, *at)).count();
            if is_even {
                assert_eq!(kept(&ours[*id]), kept(&theirs), "{id} keeps as many: {row}");
            }
        }
    }
    assert!(compared.into_iter().all(|count| count > 100), "{compared:?}");
}
