//! A topology beside the topics that there are: how many tasks each part has, which topics are to be created
//! for the application, or what is in the way. The rules are those of Kafka's InternalTopicManager:
//!
//! * A part has as many tasks as the largest of its sources has partitions.
//! * A repartition topic that says no number has as many partitions as the part that writes it has tasks.
//! * Sources that are copartitioned have the same number; a repartition topic among them that says none
//!   takes that of the others.
//! * A changelog has as many as its part has tasks.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use strandline_engine::topics::TopicTable;
use strandline_protocol::messages::{StreamsGroupSubtopology, StreamsGroupTopicInfo};

use super::topology::{Topology, copartitioned, sources};
use crate::coordination::Pace;

/// The most tasks of a group: what is shared out, written and told is made of them.
pub const TASKS_MAX: u32 = 100_000;
/// The most names that are told one by one.
const NAMES_MAX: usize = 20;

/// Something that the members of a group are told, in Kafka's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StatusCode {
    /// The member runs an application of before.
    StaleTopology = 0,
    /// Topics that are to be read are not there.
    MissingSourceTopics = 1,
    /// Topics have numbers of partitions that do not go together.
    IncorrectlyPartitionedTopics = 2,
    /// Topics of the application's own are not there yet.
    MissingInternalTopics = 3,
    /// A member wants all of them to stop.
    ShutdownApplication = 4,
    /// Tasks are shared out later.
    AssignmentDelayed = 5,
}

/// Something that the members of a group are told, with the words for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// For the client.
    pub code: StatusCode,
    /// For people.
    pub detail: String,
}

/// A topology as it can be worked on.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Configured {
    /// The parts, in the order of their ids; none when something is in the way but topics that can be
    /// created.
    pub parts: Vec<Part>,
    /// Partitions of the topics that are the application's own.
    pub internal: BTreeMap<String, u32>,
    /// The topics of these that are to be created.
    pub missing: Vec<InternalTopic>,
    /// What is in the way.
    pub problem: Option<Status>,
}

/// A part of a topology.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its id.
    pub id: Arc<str>,
    /// How many tasks it has.
    pub tasks: u32,
    /// Whether it keeps a state.
    pub is_stateful: bool,
}

/// A topic that is to be created for the application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InternalTopic {
    /// Its name.
    pub name: String,
    /// How many partitions it has.
    pub partitions: u32,
    /// 0 for the broker's default.
    pub replication_factor: i16,
    /// Its settings.
    pub configs: Vec<(String, String)>,
}

/// Partitions of topics.
type Counts<'a> = HashMap<&'a str, u32>;

impl Configured {
    /// Whether tasks can be given out.
    pub fn is_ready(&self) -> bool {
        self.problem.is_none()
    }
}

/// Looks at the topics of a topology.
pub async fn configure(topology: &Topology, topics: &TopicTable, pace: &Pace) -> Configured {
    let stuck =
        |(code, detail)| Configured { problem: Some(Status { code, detail }), ..Configured::default() };
    let mut missing = BTreeSet::new();
    for part in topology.subtopologies() {
        missing.extend(part.source_topics.iter().filter(|topic| topics.by_name(topic).is_none()));
        pace.step(1 + part.source_topics.len()).await;
    }
    if !missing.is_empty() {
        let detail = format!("Source topics {} are missing.", listed(missing));
        return stuck((StatusCode::MissingSourceTopics, detail));
    }
    let counts = match decide(topology, topics, pace).await {
        Ok(counts) => counts,
        Err(detail) => return stuck((StatusCode::IncorrectlyPartitionedTopics, detail)),
    };
    match put_together(topology, topics, &counts, pace).await {
        Ok(configured) => configured,
        Err(detail) => stuck((StatusCode::IncorrectlyPartitionedTopics, detail)),
    }
}

/// The parts and what they need, by what the repartition topics come to.
async fn put_together(
    topology: &Topology,
    topics: &TopicTable,
    counts: &Counts<'_>,
    pace: &Pace,
) -> Result<Configured, String> {
    let mut configured = Configured::default();
    let mut total = 0_u32;
    for (at, part) in topology.subtopologies().iter().enumerate() {
        let known = sources(part).filter_map(|topic| partitions(topics, counts, topic));
        let tasks = known.max().unwrap_or_default();
        total = total.saturating_add(tasks);
        let repartitioned = part.repartition_source_topics.iter();
        let repartitioned = repartitioned.map(|topic| (topic, counts.get(&*topic.name).copied()));
        // A source can be its own changelog.
        let kept = part.state_changelog_topics.iter();
        let kept = kept.filter(|topic| part.source_topics.binary_search(&topic.name).is_err());
        for (topic, count) in repartitioned.chain(kept.map(|topic| (topic, Some(tasks)))) {
            need(&mut configured, topics, topic, count.unwrap_or_default())?;
        }
        let is_stateful = !part.state_changelog_topics.is_empty();
        configured.parts.push(Part { id: topology.id(at).clone(), tasks, is_stateful });
        pace.step(1 + part.state_changelog_topics.len() + part.repartition_source_topics.len()).await;
    }
    if total > TASKS_MAX {
        return Err(format!("The topology has {total} tasks, {TASKS_MAX} are the most."));
    }
    if !configured.missing.is_empty() {
        let names = configured.missing.iter().map(|topic| &topic.name).collect();
        let detail = format!("Internal topics are missing: {}", listed(names));
        configured.problem = Some(Status { code: StatusCode::MissingInternalTopics, detail });
    }
    Ok(configured)
}

/// A topic of the application's own is needed with so many partitions.
fn need(
    configured: &mut Configured,
    topics: &TopicTable,
    topic: &StreamsGroupTopicInfo,
    partitions: u32,
) -> Result<(), String> {
    let is_known = configured.internal.insert(topic.name.clone(), partitions).is_some();
    match topics.by_name(&topic.name) {
        Some(found) if found.partitions != partitions => Err(format!(
            "Existing topic {} has different number of partitions: expected {partitions}, found {}",
            topic.name, found.partitions
        )),
        Some(_) => Ok(()),
        None if is_known => Ok(()),
        None => {
            let configs = topic.topic_configs.iter();
            configured.missing.push(InternalTopic {
                name: topic.name.clone(),
                partitions,
                replication_factor: topic.replication_factor,
                configs: configs.map(|config| (config.key.clone(), config.value.clone())).collect(),
            });
            Ok(())
        }
    }
}

/// The partitions of a topic: those that it has, or those that it is to have.
fn partitions(topics: &TopicTable, counts: &Counts<'_>, topic: &str) -> Option<u32> {
    topics.by_name(topic).map(|topic| topic.partitions).or_else(|| counts.get(topic).copied())
}

/// How many partitions each repartition topic is to have.
async fn decide<'a>(topology: &'a Topology, topics: &TopicTable, pace: &Pace) -> Result<Counts<'a>, String> {
    let mut counts = Counts::new();
    for topic in topology.subtopologies().iter().flat_map(|part| &part.repartition_source_topics) {
        if topic.partitions > 0 {
            counts.insert(&topic.name, topic.partitions as u32);
        }
    }
    follow(topology, topics, &mut counts, pace).await;
    for part in topology.subtopologies() {
        let unknown = |topic: &&StreamsGroupTopicInfo| !counts.contains_key(&*topic.name);
        if let Some(topic) = part.repartition_source_topics.iter().find(unknown) {
            return Err(format!(
                "Failed to compute number of partitions for all repartition topics, such as {}. There may be \
                 loops in the topology that cannot be resolved.",
                topic.name
            ));
        }
    }
    for part in topology.subtopologies() {
        enforce(part, topics, &mut counts)?;
        let places = part.copartition_groups.iter();
        pace.step(1 + places.map(|group| group.source_topics.len()).sum::<usize>()).await;
    }
    Ok(counts)
}

/// Goes from the sources along the repartition topics. A part is looked at when all that it reads is known;
/// where that never comes, since parts go in a circle, one of which something is known begins.
async fn follow<'a>(topology: &'a Topology, topics: &TopicTable, counts: &mut Counts<'a>, pace: &Pace) {
    let parts = topology.subtopologies();
    let mut readers: HashMap<&str, Vec<usize>> = HashMap::new();
    let mut waits_for = vec![0_usize; parts.len()];
    let (mut ready, mut begun) = (VecDeque::new(), VecDeque::new());
    for (at, part) in parts.iter().enumerate() {
        for topic in &part.repartition_source_topics {
            if !counts.contains_key(&*topic.name) {
                readers.entry(&topic.name).or_default().push(at);
                waits_for[at] += 1;
            }
        }
        match waits_for[at] {
            0 => ready.push_back(at),
            waits if waits < sources(part).count() => begun.push_back(at),
            _ => {}
        }
        pace.step(1 + part.repartition_source_topics.len()).await;
    }
    let mut is_done = vec![false; parts.len()];
    while let Some(at) = ready.pop_front().or_else(|| begun.pop_front()) {
        if std::mem::replace(&mut is_done[at], true) {
            continue;
        }
        let known = sources(&parts[at]).filter_map(|topic| {
            // A repartition topic counts as it is to be.
            counts.get(topic).copied().or_else(|| topics.by_name(topic).map(|topic| topic.partitions))
        });
        let Some(most) = known.max() else { continue };
        for sink in &parts[at].repartition_sink_topics {
            if counts.contains_key(&**sink) {
                continue;
            }
            counts.insert(sink, most);
            for reader in readers.remove(&**sink).unwrap_or_default() {
                waits_for[reader] -= 1;
                match waits_for[reader] {
                    0 => ready.push_back(reader),
                    _ => begun.push_back(reader),
                }
            }
        }
        pace.step(1 + parts[at].repartition_sink_topics.len()).await;
    }
}

/// Sources that are copartitioned get the same number of partitions, or are found to have others.
fn enforce<'a>(
    part: &'a StreamsGroupSubtopology,
    topics: &TopicTable,
    counts: &mut Counts<'a>,
) -> Result<(), String> {
    let infos: HashMap<&str, &StreamsGroupTopicInfo> =
        part.repartition_source_topics.iter().map(|topic| (topic.name.as_str(), topic)).collect();
    for group in &part.copartition_groups {
        let all: BTreeSet<&'a str> = copartitioned(part, group).collect();
        let (repartitioned, external): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|topic| infos.contains_key(topic));
        let (fixed, flexible): (Vec<_>, Vec<_>) =
            repartitioned.into_iter().partition(|topic| infos[topic].partitions > 0);
        let of_external = |topic: &&str| topics.by_name(topic).map_or(0, |topic| topic.partitions);
        let of_own = |topic: &&str| counts.get(*topic).copied().unwrap_or_default();
        let given = external.iter().map(of_external).chain(fixed.iter().map(of_own));
        let mut given = given.collect::<Vec<_>>();
        given.sort_unstable();
        given.dedup();
        if given.len() > 1 {
            let named = external.iter().map(|topic| (*topic, of_external(topic)));
            let named = named.chain(fixed.iter().map(|topic| (*topic, of_own(topic))));
            let named = named.take(NAMES_MAX).map(|(topic, count)| format!("{topic}={count}"));
            let named = named.collect::<Vec<_>>().join(", ");
            return Err(format!("Following topics do not have the same number of partitions: [{named}]"));
        }
        let most = flexible.iter().map(of_own).max();
        let Some(count) = given.first().copied().or(most) else { continue };
        flexible.into_iter().for_each(|topic| _ = counts.insert(topic, count));
    }
    Ok(())
}

/// Some of the names, for people.
fn listed(names: BTreeSet<&String>) -> String {
    let count = names.len();
    let some: Vec<_> = names.into_iter().take(NAMES_MAX).map(String::as_str).collect();
    match count.checked_sub(NAMES_MAX) {
        Some(more @ 1..) => format!("{} and {more} more", some.join(", ")),
        _ => some.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::super::topology::tests::{part, said};
    use super::*;
    use crate::coordination::{Begun, begin};
    use std::rc::Rc;
    use strandline_engine::types::TopicId;
    use strandline_protocol::messages::StreamsGroupCopartitionGroup;

    fn looked_at(parts: Vec<StreamsGroupSubtopology>, topics: &[(&str, u32)]) -> Configured {
        let topology = Rc::new(Topology::new(said(parts)).unwrap());
        let topics =
            (1..).zip(topics).map(|(id, (name, count))| (*name, TopicId::from_bytes([id; 16]), *count));
        let table = TopicTable::of(topics);
        let work = move |pace: Pace| async move { configure(&topology, &table, &pace).await };
        match begin(usize::MAX, work) {
            Begun::Done(configured) => configured,
            Begun::Stopped(_) => panic!("there is no end to its budget"),
        }
    }

    fn together(mut part: StreamsGroupSubtopology, external: &[i16], own: &[i16]) -> StreamsGroupSubtopology {
        part.copartition_groups.push(StreamsGroupCopartitionGroup {
            source_topics: external.to_vec(),
            source_topic_regex: Vec::new(),
            repartition_source_topics: own.to_vec(),
        });
        part
    }

    fn tasks(configured: &Configured) -> Vec<u32> {
        configured.parts.iter().map(|part| part.tasks).collect()
    }

    fn missing(configured: &Configured) -> Vec<(&str, u32)> {
        configured.missing.iter().map(|topic| (topic.name.as_str(), topic.partitions)).collect()
    }

    fn problem(configured: &Configured) -> StatusCode {
        configured.problem.as_ref().expect("something is in the way").code
    }

    #[test]
    fn numbers_of_partitions_go_from_the_sources_along_the_repartition_topics() {
        let parts = || {
            vec![
                part("0", &["s", "t"], &["r"], &[], &[]),
                part("1", &[], &["q"], &[("r", 0)], &["l"]),
                part("2", &[], &[], &[("q", 0), ("p", 7)], &["k"]),
            ]
        };
        let first = looked_at(parts(), &[("s", 3), ("t", 4)]);
        assert_eq!(tasks(&first), [4, 4, 7]);
        assert_eq!(missing(&first), [("r", 4), ("l", 4), ("p", 7), ("q", 4), ("k", 7)]);
        assert_eq!(problem(&first), StatusCode::MissingInternalTopics);
        let stateful: Vec<_> = first.parts.iter().map(|part| part.is_stateful).collect();
        assert_eq!(stateful, [false, true, true]);
        let there = [("s", 3), ("t", 4), ("r", 4), ("l", 4), ("p", 7), ("q", 4), ("k", 7)];
        let ready = looked_at(parts(), &there);
        assert!(ready.is_ready() && ready.missing.is_empty(), "{ready:?}");
        let mut other = there;
        other[3].1 = 5;
        assert_eq!(problem(&looked_at(parts(), &other)), StatusCode::IncorrectlyPartitionedTopics);
        assert_eq!(problem(&looked_at(parts(), &[("s", 3)])), StatusCode::MissingSourceTopics);
    }

    #[test]
    fn parts_in_a_circle_begin_where_something_is_known_and_not_at_all_where_nothing_is() {
        let circle = |sources: &[&str]| {
            vec![part("0", sources, &["a"], &[("b", 0)], &[]), part("1", &[], &["b"], &[("a", 0)], &[])]
        };
        assert_eq!(tasks(&looked_at(circle(&["s"]), &[("s", 3)])), [3, 3]);
        assert_eq!(problem(&looked_at(circle(&[]), &[])), StatusCode::IncorrectlyPartitionedTopics);
    }

    #[test]
    fn copartitioned_sources_have_the_same_number_of_partitions() {
        let joined = |fixed, external: &[i16]| {
            let join = part("1", &["u"], &[], &[("r", fixed)], &[]);
            vec![part("0", &["s"], &["r"], &[], &[]), together(join, external, &[0])]
        };
        assert_eq!(missing(&looked_at(joined(0, &[0]), &[("s", 3), ("u", 5)])), [("r", 5)]);
        assert_eq!(missing(&looked_at(joined(0, &[]), &[("s", 3), ("u", 5)])), [("r", 3)]);
        let fixed = looked_at(joined(4, &[0]), &[("s", 3), ("u", 5)]);
        assert_eq!(problem(&fixed), StatusCode::IncorrectlyPartitionedTopics);
        let own = |a, b| {
            let join = together(part("1", &[], &[], &[("a", a), ("b", b)], &[]), &[], &[0, 1]);
            vec![part("0", &["s"], &["a"], &[], &[]), part("2", &["t"], &["b"], &[], &[]), join]
        };
        let topics = [("s", 3), ("t", 5)];
        assert_eq!(missing(&looked_at(own(0, 0), &topics)), [("a", 5), ("b", 5)]);
        assert_eq!(missing(&looked_at(own(2, 0), &topics)), [("a", 2), ("b", 2)]);
        assert_eq!(problem(&looked_at(own(2, 4), &topics)), StatusCode::IncorrectlyPartitionedTopics);
        let external = together(part("0", &["s", "t"], &[], &[], &[]), &[0, 1], &[]);
        assert_eq!(problem(&looked_at(vec![external], &topics)), StatusCode::IncorrectlyPartitionedTopics);
    }

    #[test]
    fn d11_more_tasks_than_can_be_held_are_a_problem_and_a_source_may_be_its_own_changelog() {
        let many = looked_at(vec![part("0", &["s"], &[], &[], &[])], &[("s", TASKS_MAX + 1)]);
        assert_eq!(problem(&many), StatusCode::IncorrectlyPartitionedTopics);
        let own = looked_at(vec![part("0", &["s"], &[], &[], &["s"])], &[("s", 2)]);
        assert!(own.is_ready() && own.parts[0].is_stateful);
    }
}
