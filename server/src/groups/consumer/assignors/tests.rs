//! What holds of every assignment, in random groups that change; and some that are Kafka's own examples.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::coordination::{Begun, begin};

mod kafka;

const SEEDS: u64 = 300;

fn topic(number: u8) -> TopicId {
    TopicId::from_bytes([number; 16])
}

/// A group that can be changed, with what its members were given last.
#[derive(Default)]
struct Play {
    partitions: BTreeMap<TopicId, i32>,
    members: BTreeMap<String, (Option<String>, BTreeSet<TopicId>)>,
    assigned: BTreeMap<String, Assignment>,
}

impl Play {
    fn member(mut self, id: &str, topics: &[u8]) -> Play {
        self.members.insert(id.to_owned(), (None, topics.iter().map(|number| topic(*number)).collect()));
        self
    }

    fn topic(mut self, number: u8, partitions: i32) -> Play {
        self.partitions.insert(topic(number), partitions);
        self
    }

    fn assign(&mut self, assignor: Assignor) {
        let group = self.group();
        let ids: Vec<_> = group.members.iter().map(|member| member.id.clone()).collect();
        let Begun::Done(assigned) =
            begin(usize::MAX, |pace| async move { assignor.assign(&group, &pace).await })
        else {
            panic!("it is not that much");
        };
        self.assigned = ids.into_iter().zip(assigned).collect();
    }

    fn group(&self) -> Group {
        let wanted = |topic: &&TopicId| self.members.values().any(|(_, topics)| topics.contains(topic));
        let topics: Vec<_> = self.partitions.keys().filter(wanted).copied().collect();
        let members = self.members.iter().enumerate().map(|(at, (id, (instance_id, _)))| Member {
            id: id.clone(),
            instance_id: instance_id.clone(),
            subscription: at,
            assignment: Rc::new(self.assigned.get(id).cloned().unwrap_or_default()),
        });
        let subscriptions = self.members.values().map(|(_, subscribed)| {
            let places = (0..).zip(&topics).filter(|(_, topic)| subscribed.contains(topic));
            places.map(|(at, _)| at).collect()
        });
        let partitions = |id: &TopicId| Topic { id: *id, partitions: self.partitions[id] as u32 };
        Group {
            topics: topics.iter().map(partitions).collect(),
            subscriptions: subscriptions.collect(),
            members: members.collect(),
        }
    }

    /// What a member has of a topic.
    fn of(&self, member: &str, number: u8) -> Vec<i32> {
        self.assigned[member].iter().filter(|(id, _)| *id == topic(number)).map(|(_, at)| at).collect()
    }

    fn check_each_partition_is_with_one_subscriber(&self) {
        let mut owners: BTreeMap<(TopicId, i32), &str> = BTreeMap::new();
        for (id, assignment) in &self.assigned {
            for (topic, at) in assignment.iter() {
                assert!(self.members[id].1.contains(&topic), "{id} has {topic:?}, which it does not want");
                assert_eq!(owners.insert((topic, at), id), None, "two have {topic:?} {at}");
            }
        }
        for (topic, count) in &self.partitions {
            if self.members.values().any(|(_, topics)| topics.contains(topic)) {
                (0..*count).for_each(|at| assert!(owners.contains_key(&(*topic, at)), "{topic:?} {at}"));
            }
        }
    }

    /// No subscriber of a topic has two more than another, where it has something of the topic to give.
    fn check_balance(&self) {
        for topic in self.partitions.keys() {
            let subscribers: Vec<_> = self
                .members
                .iter()
                .filter(|(_, (_, topics))| topics.contains(topic))
                .map(|(id, _)| id)
                .collect();
            let size = |id: &&String| self.assigned[*id].len();
            let Some(least) = subscribers.iter().map(size).min() else { continue };
            for id in subscribers {
                let gives = self.assigned[id].topics().any(|(of, _)| of == *topic);
                assert!(!gives || size(&id) <= least + 1, "{id} has {}, another {least}", size(&id));
            }
        }
    }

    fn change(&mut self, rng: &mut fastrand::Rng) {
        match rng.u8(..6) {
            0 => _ = self.partitions.insert(topic(rng.u8(..5)), rng.i32(1..20)),
            1 => _ = self.partitions.remove(&topic(rng.u8(..5))),
            2 => drop(self.members.remove(&format!("m{}", rng.u8(..8)))),
            _ => {
                let topics = (0..5).filter(|_| rng.bool()).map(topic).collect();
                let id = rng.u8(..8);
                let instance = (id < 3).then(|| format!("i{}", 9 - id));
                self.members.insert(format!("m{id}"), (instance, topics));
            }
        }
        self.assigned.retain(|id, _| self.members.contains_key(id));
    }
}

#[test]
fn in_changing_groups_each_partition_is_with_one_subscriber_and_nobody_has_much_more_than_another() {
    for seed in 0..SEEDS {
        let mut rng = fastrand::Rng::with_seed(seed);
        let assignor = *rng.choice(&Assignor::ALL).unwrap();
        let mut play = Play::default();
        for _ in 0..20 {
            play.change(&mut rng);
            play.assign(assignor);
            play.check_each_partition_is_with_one_subscriber();
            if assignor == Assignor::Uniform {
                play.check_balance();
            }
            let before = play.assigned.clone();
            play.assign(assignor);
            assert_eq!(play.assigned, before, "seed {seed}: nothing changes where nothing has changed");
        }
    }
}

#[test]
fn an_even_group_moves_no_more_than_it_must() {
    for seed in 0..SEEDS {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut play = Play::default().topic(0, rng.i32(1..40)).topic(1, rng.i32(1..40));
        for _ in 0..10 {
            match rng.bool() {
                true => play = play.member(&format!("m{}", rng.u8(..9)), &[0, 1]),
                false => drop(play.members.remove(&format!("m{}", rng.u8(..9)))),
            }
            play.assigned.retain(|id, _| play.members.contains_key(id));
            let before = play.assigned.clone();
            play.assign(Assignor::Uniform);
            if play.members.is_empty() {
                continue;
            }
            let total = play.partitions.values().sum::<i32>() as usize;
            let (share, extra) = (total / play.members.len(), total % play.members.len());
            let sizes: Vec<_> = play.assigned.values().map(Assignment::len).collect();
            assert!(sizes.iter().all(|size| (share..=share + usize::from(extra > 0)).contains(size)));
            for (id, assignment) in &play.assigned {
                let had = before.get(id).cloned().unwrap_or_default();
                let kept = had.iter().filter(|(topic, at)| assignment.contains(*topic, *at)).count();
                assert!(kept >= had.len().min(share), "seed {seed}: {id} keeps {kept} of {}", had.len());
            }
        }
    }
}

#[test]
fn range_gives_ranges_in_the_order_of_members() {
    let mut play = Play::default().topic(1, 3).topic(3, 2).member("a", &[1, 3]).member("b", &[1, 3]);
    play.assign(Assignor::Range);
    assert_eq!((play.of("a", 1), play.of("a", 3)), (vec![0, 1], vec![0]));
    assert_eq!((play.of("b", 1), play.of("b", 3)), (vec![2], vec![1]));
    let mut play = Play::default().topic(1, 3).topic(2, 3).topic(3, 2);
    play = play.member("a", &[1, 2]).member("b", &[3]).member("c", &[2, 3]);
    play.assign(Assignor::Range);
    assert_eq!((play.of("a", 1), play.of("a", 2)), (vec![0, 1, 2], vec![0, 1]));
    assert_eq!((play.of("b", 3), play.of("c", 2), play.of("c", 3)), (vec![0], vec![2], vec![1]));
}

#[test]
fn static_members_go_first_by_the_names_that_they_keep() {
    let mut play = Play::default().topic(1, 3).member("a", &[1]).member("b", &[1]).member("c", &[1]);
    play.members.get_mut("c").unwrap().0 = Some("i1".to_owned());
    play.members.get_mut("b").unwrap().0 = Some("i2".to_owned());
    play.assign(Assignor::Range);
    assert_eq!((play.of("c", 1), play.of("b", 1), play.of("a", 1)), (vec![0], vec![1], vec![2]));
}

#[test]
fn a_member_that_comes_takes_from_those_that_have_most() {
    let mut play = Play::default().topic(1, 4).topic(2, 4).member("a", &[1, 2]).member("b", &[1, 2]);
    play.assign(Assignor::Uniform);
    assert_eq!((play.assigned["a"].len(), play.assigned["b"].len()), (4, 4));
    let before = play.assigned.clone();
    play = play.member("c", &[1, 2]);
    play.assign(Assignor::Uniform);
    for id in ["a", "b"] {
        assert!(play.assigned[id].is_within(&before[id]), "what it has it had before");
    }
    assert_eq!(play.assigned.values().map(Assignment::len).collect::<Vec<_>>(), [3, 3, 2]);
}
