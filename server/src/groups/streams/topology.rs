//! What a Streams application reads, writes and keeps, as its members say when they join. It is brought into
//! one order, so that members which say the same in another order are of one mind, and what makes no sense
//! whatever the topics is refused before anything is kept.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use strandline_protocol::messages::{
    StreamsGroupCopartitionGroup, StreamsGroupSubtopology, StreamsGroupTopicInfo, StreamsGroupTopology,
};
use strandline_protocol::wire::ErrorCode;

use crate::refusal::Refusal;

/// What the texts of a topology take at most, in bytes together: it is kept in one record.
const BYTES_MAX: usize = 512 << 10;
/// Sources of a subtopology: copartition groups name them by numbers of 16 bits.
const SOURCES_MAX: usize = i16::MAX as usize;
/// What each text, or place of a topic, is counted with besides.
const ENTRY_BYTES: usize = 8;

/// A topology in its order.
#[derive(Debug)]
pub struct Topology {
    value: StreamsGroupTopology,
    /// The ids of its subtopologies, in their order.
    ids: Vec<Arc<str>>,
    /// The subtopology that reads a topic.
    readers: HashMap<String, usize>,
}

impl Topology {
    /// As a member has said it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn new(said: StreamsGroupTopology) -> Result<Topology, Refusal> {
        let bytes = bytes(&said);
        if bytes > BYTES_MAX {
            return Err(invalid(format!("The topology has {bytes} bytes, {BYTES_MAX} are the most.")));
        }
        if said.epoch < 0 {
            return Err(Refusal::new(ErrorCode::InvalidRequest, "The topology epoch must be non-negative."));
        }
        let topology = Topology::ordered(said)?;
        topology.check_flow()?;
        Ok(topology)
    }

    /// Out of a record, which may be another broker's; `None` for one that would have been refused.
    pub fn load(value: StreamsGroupTopology) -> Option<Topology> {
        Topology::ordered(value).ok()
    }

    fn ordered(mut value: StreamsGroupTopology) -> Result<Topology, Refusal> {
        for subtopology in &mut value.subtopologies {
            order(subtopology)?;
        }
        value.subtopologies.sort_by(|a, b| a.subtopology_id.cmp(&b.subtopology_id));
        let ids: Vec<Arc<str>> =
            value.subtopologies.iter().map(|part| part.subtopology_id.as_str().into()).collect();
        if let Some(twice) = ids.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(invalid(format!("Subtopology {} is there twice.", twice[0])));
        }
        let mut readers = HashMap::new();
        for (at, part) in value.subtopologies.iter().enumerate() {
            readers.extend(sources(part).map(|topic| (topic.to_owned(), at)));
        }
        Ok(Topology { value, ids, readers })
    }

    /// Whether every subtopology reads something, and every repartition topic is written by one.
    fn check_flow(&self) -> Result<(), Refusal> {
        let parts = self.subtopologies();
        let sinks: HashSet<&String> = parts.iter().flat_map(|part| &part.repartition_sink_topics).collect();
        for part in parts {
            if sources(part).next().is_none() {
                return Err(invalid(format!(
                    "No source topics found for subtopology {}.",
                    part.subtopology_id
                )));
            }
            let unwritten =
                |topic: &&StreamsGroupTopicInfo| topic.partitions == 0 && !sinks.contains(&topic.name);
            if let Some(topic) = part.repartition_source_topics.iter().find(unwritten) {
                let message = "Failed to compute number of partitions for all repartition topics, because";
                return Err(invalid(format!("{message} {} is never used as a sink topic.", topic.name)));
            }
        }
        Ok(())
    }

    /// How often the application has changed.
    pub fn epoch(&self) -> i32 {
        self.value.epoch
    }

    /// As the wire and the records have it.
    pub fn value(&self) -> &StreamsGroupTopology {
        &self.value
    }

    /// Its parts, in the order of their ids.
    pub fn subtopologies(&self) -> &[StreamsGroupSubtopology] {
        &self.value.subtopologies
    }

    /// The part of this id.
    pub fn part(&self, id: &str) -> Option<&StreamsGroupSubtopology> {
        let at = self.ids.binary_search_by(|known| (**known).cmp(id)).ok()?;
        self.subtopologies().get(at)
    }

    /// The id of a part.
    pub fn id(&self, at: usize) -> &Arc<str> {
        &self.ids[at]
    }

    /// The id of the subtopology that reads a topic.
    pub fn reader(&self, topic: &str) -> Option<&Arc<str>> {
        self.readers.get(topic).map(|at| &self.ids[*at])
    }

    /// Every topic that it needs, each once, in the order of their names.
    pub fn topics(&self) -> BTreeSet<&str> {
        let parts = self.subtopologies().iter();
        let kept = parts.clone().flat_map(|part| part.state_changelog_topics.iter());
        parts.flat_map(sources).chain(kept.map(|topic| topic.name.as_str())).collect()
    }

    /// About what it takes of the memory.
    pub fn bytes(&self) -> usize {
        bytes(&self.value)
    }
}

/// The topics that a subtopology reads, whoever writes them.
pub(super) fn sources(part: &StreamsGroupSubtopology) -> impl Iterator<Item = &str> {
    let repartitioned = part.repartition_source_topics.iter().map(|topic| topic.name.as_str());
    part.source_topics.iter().map(String::as_str).chain(repartitioned)
}

/// The sources that a copartition group names, by their places.
pub(super) fn copartitioned<'a>(
    part: &'a StreamsGroupSubtopology,
    group: &'a StreamsGroupCopartitionGroup,
) -> impl Iterator<Item = &'a str> {
    let external = group.source_topics.iter().filter_map(|at| part.source_topics.get(place(*at)));
    let repartitioned = group.repartition_source_topics.iter();
    let repartitioned = repartitioned.filter_map(|at| part.repartition_source_topics.get(place(*at)));
    external.map(String::as_str).chain(repartitioned.map(|topic| topic.name.as_str()))
}

fn place(at: i16) -> usize {
    usize::try_from(at).unwrap_or(usize::MAX)
}

/// Brings the lists of a subtopology into order, and the places that copartition groups have in them.
fn order(part: &mut StreamsGroupSubtopology) -> Result<(), Refusal> {
    if let Some(topic) = part.state_changelog_topics.iter().find(|topic| topic.partitions != 0) {
        return Err(invalid(format!(
            "Changelog topic {} must have an undefined partition count, but it is set to {}.",
            topic.name, topic.partitions
        )));
    }
    if let Some(topic) = part.repartition_source_topics.iter().find(|topic| topic.partitions < 0) {
        return Err(invalid(format!(
            "Repartition topic {} has {} partitions.",
            topic.name, topic.partitions
        )));
    }
    let most = part.source_topics.len().max(part.repartition_source_topics.len());
    if most > SOURCES_MAX {
        return Err(invalid(format!("A subtopology has {most} source topics, {SOURCES_MAX} are the most.")));
    }
    let before: Vec<String> = part.source_topics.clone();
    part.source_topics.sort_unstable();
    let repartitioned: Vec<String> =
        part.repartition_source_topics.iter().map(|topic| topic.name.clone()).collect();
    order_topics(&mut part.repartition_source_topics);
    order_topics(&mut part.state_changelog_topics);
    part.repartition_sink_topics.sort_unstable();
    for group in &mut part.copartition_groups {
        for at in &mut group.source_topics {
            let name = before.get(place(*at)).ok_or_else(|| out_of_range(*at))?;
            *at = part.source_topics.binary_search(name).unwrap_or_default() as i16;
        }
        for at in &mut group.repartition_source_topics {
            let name = repartitioned.get(place(*at)).ok_or_else(|| out_of_range(*at))?;
            let found = part.repartition_source_topics.binary_search_by(|topic| topic.name.cmp(name));
            *at = found.unwrap_or_default() as i16;
        }
        group.source_topics.sort_unstable();
        group.repartition_source_topics.sort_unstable();
    }
    let key = |group: &StreamsGroupCopartitionGroup| {
        (group.source_topics.clone(), group.repartition_source_topics.clone())
    };
    part.copartition_groups.sort_by_cached_key(key);
    Ok(())
}

fn order_topics(topics: &mut [StreamsGroupTopicInfo]) {
    for topic in topics.iter_mut() {
        topic.topic_configs.sort_by(|a, b| (&a.key, &a.value).cmp(&(&b.key, &b.value)));
    }
    topics.sort_by(|a, b| a.name.cmp(&b.name));
}

fn bytes(topology: &StreamsGroupTopology) -> usize {
    let texts = |texts: &[String]| texts.iter().map(|text| ENTRY_BYTES + text.len()).sum::<usize>();
    let topics = |topics: &[StreamsGroupTopicInfo]| {
        let each = topics.iter().map(|topic| {
            let configs = topic.topic_configs.iter();
            let configs: usize =
                configs.map(|config| ENTRY_BYTES + config.key.len() + config.value.len()).sum();
            ENTRY_BYTES + topic.name.len() + configs
        });
        each.sum::<usize>()
    };
    let parts = topology.subtopologies.iter().map(|part| {
        let groups = part.copartition_groups.iter();
        let places =
            groups.map(|group| 1 + group.source_topics.len() + group.repartition_source_topics.len());
        ENTRY_BYTES * (1 + places.sum::<usize>())
            + part.subtopology_id.len()
            + texts(&part.source_topics)
            + texts(&part.repartition_sink_topics)
            + topics(&part.state_changelog_topics)
            + topics(&part.repartition_source_topics)
    });
    parts.sum()
}

fn out_of_range(at: i16) -> Refusal {
    invalid(format!("A copartition group names source topic {at}, which is not there."))
}

fn invalid(message: String) -> Refusal {
    Refusal::new(ErrorCode::StreamsInvalidTopology, message)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A part that reads these, and writes and reads these repartition topics.
    pub(in crate::groups) fn part(
        id: &str,
        sources: &[&str],
        sinks: &[&str],
        repartitioned: &[(&str, i32)],
        changelogs: &[&str],
    ) -> StreamsGroupSubtopology {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        let topic = |(name, partitions): (&str, i32)| StreamsGroupTopicInfo {
            name: name.to_owned(),
            partitions,
            ..Default::default()
        };
        StreamsGroupSubtopology {
            subtopology_id: id.to_owned(),
            source_topics: texts(sources),
            repartition_sink_topics: texts(sinks),
            repartition_source_topics: repartitioned.iter().copied().map(topic).collect(),
            state_changelog_topics: changelogs.iter().map(|name| topic((name, 0))).collect(),
            ..Default::default()
        }
    }

    pub(in crate::groups) fn said(subtopologies: Vec<StreamsGroupSubtopology>) -> StreamsGroupTopology {
        StreamsGroupTopology { epoch: 0, subtopologies }
    }

    fn together(
        mut part: StreamsGroupSubtopology,
        external: &[i16],
        repartitioned: &[i16],
    ) -> StreamsGroupSubtopology {
        part.copartition_groups.push(StreamsGroupCopartitionGroup {
            source_topics: external.to_vec(),
            source_topic_regex: Vec::new(),
            repartition_source_topics: repartitioned.to_vec(),
        });
        part
    }

    #[test]
    fn the_order_in_which_a_topology_is_said_does_not_count() {
        let a = together(part("1", &["s", "t"], &["r"], &[("r", 0), ("q", 3)], &["l", "k"]), &[1], &[0]);
        let b = together(part("1", &["t", "s"], &["r"], &[("q", 3), ("r", 0)], &["k", "l"]), &[0], &[1]);
        let other = part("0", &["u"], &["q"], &[], &[]);
        let one = Topology::new(said(vec![a, other.clone()])).unwrap();
        let same = Topology::new(said(vec![other, b])).unwrap();
        assert_eq!(one.value(), same.value());
        let part = &one.subtopologies()[1];
        let names: Vec<_> = copartitioned(part, &part.copartition_groups[0]).collect();
        assert_eq!(names, ["t", "r"]);
        assert_eq!(one.reader("q").map(|id| &**id), Some("1"));
        assert_eq!(one.topics().into_iter().collect::<Vec<_>>(), ["k", "l", "q", "r", "s", "t", "u"]);
        assert_eq!(Topology::load(one.value().clone()).unwrap().value(), one.value());
    }

    #[test]
    fn what_makes_no_sense_whatever_the_topics_is_refused() {
        let refused = |parts| Topology::new(said(parts)).unwrap_err().code;
        let invalid = ErrorCode::StreamsInvalidTopology;
        assert_eq!(refused(vec![part("0", &[], &[], &[], &[])]), invalid, "it reads nothing");
        assert_eq!(refused(vec![part("0", &[], &[], &[("r", 0)], &[])]), invalid, "nobody writes r");
        let twice = part("0", &["s"], &[], &[], &[]);
        assert_eq!(refused(vec![twice.clone(), twice.clone()]), invalid);
        for place in [-1, 1] {
            assert_eq!(refused(vec![together(twice.clone(), &[place], &[])]), invalid, "{place}");
            assert_eq!(refused(vec![together(twice.clone(), &[], &[place])]), invalid, "{place}");
        }
        let mut changelog = part("0", &["s"], &[], &[], &["l"]);
        changelog.state_changelog_topics[0].partitions = 1;
        assert_eq!(refused(vec![changelog]), invalid);
        let long = "n".repeat(BYTES_MAX);
        assert_eq!(refused(vec![part("0", &[&long], &[], &[], &[])]), invalid);
        let negative = StreamsGroupTopology { epoch: -1, subtopologies: vec![twice] };
        assert_eq!(Topology::new(negative).unwrap_err().code, ErrorCode::InvalidRequest);
    }
}
