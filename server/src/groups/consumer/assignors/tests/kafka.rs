//! Kafka's own assignors beside ours, on inputs that `server/tests/interop/assignors/generate` has made and
//! had shared out by Kafka's classes.
//!
//! `range`, and `uniform` where members are subscribed to different topics, give the same to everybody.
//! `uniform` where all are subscribed to the same goes through a hash table in Kafka: there everybody gets as
//! many, and keeps as many.

use super::*;

const ROWS: &str = include_str!("../../../../../tests/interop/assignors/kafka-4.4.0.tsv");

fn numbers<T: std::str::FromStr>(text: &str, between: char) -> impl Iterator<Item = (T, T)>
where
    T::Err: std::fmt::Debug,
{
    let pairs: Vec<_> = text.split(',').filter(|pair| !pair.is_empty()).collect();
    let pairs = pairs.into_iter().map(move |pair| {
        let (left, right) = pair.split_once(between).expect("a pair");
        (left.parse().unwrap(), right.parse().unwrap())
    });
    pairs.collect::<Vec<_>>().into_iter()
}

fn assignment(text: &str) -> Assignment {
    numbers::<i32>(text, '-').map(|(of, at)| (topic(of as u8), at)).collect()
}

#[test]
fn what_kafkas_assignors_give_ours_give_too() {
    let mut compared = [0; 3];
    for row in ROWS.lines().filter(|row| !row.starts_with('#')) {
        let [name, topics, members] = row.split('\t').collect::<Vec<_>>()[..] else { panic!("{row}") };
        // That of share groups is looked at where ours is.
        let Some(assignor) = Assignor::by_name(name) else { continue };
        let partitions = numbers::<i32>(topics, ':').map(|(id, count)| (topic(id as u8), count)).collect();
        let mut play = Play { partitions, ..Play::default() };
        let mut theirs = BTreeMap::new();
        for member in members.split('|') {
            let (id, rest) = member.split_once('=').unwrap();
            let [instance, subscribed, had, gets] = rest.split(';').collect::<Vec<_>>()[..] else {
                panic!("{row}")
            };
            let subscribed = subscribed.split(',').filter_map(|id| id.parse().ok()).map(topic).collect();
            let instance = Some(instance.to_owned()).filter(|name| !name.is_empty());
            play.members.insert(id.to_owned(), (instance, subscribed));
            play.assigned.insert(id.to_owned(), assignment(had));
            theirs.insert(id.to_owned(), assignment(gets));
        }
        let had = play.assigned.clone();
        let mut subscriptions = play.members.values().map(|(_, topics)| topics);
        let first = subscriptions.next();
        let is_even = subscriptions.all(|topics| Some(topics) == first);
        play.assign(assignor);
        if assignor == Assignor::Range || !is_even {
            compared[usize::from(assignor == Assignor::Uniform)] += 1;
            assert_eq!(play.assigned, theirs, "{row}");
            continue;
        }
        compared[2] += 1;
        let kept = |assigned: &BTreeMap<String, Assignment>, id: &str| {
            had[id].iter().filter(|(topic, at)| assigned[id].contains(*topic, *at)).count()
        };
        for id in play.members.keys() {
            assert_eq!(play.assigned[id].len(), theirs[id].len(), "{id} gets as many: {row}");
            assert_eq!(kept(&play.assigned, id), kept(&theirs, id), "{id} keeps as many: {row}");
        }
    }
    assert!(compared.into_iter().all(|count| count > 100), "{compared:?}");
}
