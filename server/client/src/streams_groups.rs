//! What streams groups (KIP-1071) have beside other groups: the application's topology, and the tasks of its
//! members.

use std::collections::BTreeMap;

use strandline_protocol::messages::{
    StreamsGroupDescribedAssignment, StreamsGroupDescribedTopology, StreamsGroupTaskIds,
    StreamsGroupTopicInfo,
};

/// What an application reads, writes and keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamsTopology {
    /// Raised by an application that is changed while it runs.
    pub epoch: i32,
    /// Its parts, in the order of their ids.
    pub subtopologies: Vec<Subtopology>,
}

/// A part of a topology: it has as many tasks as the largest of its sources has partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subtopology {
    /// Its id.
    pub id: String,
    /// The topics that it reads and others write.
    pub sources: Vec<String>,
    /// The topics of the application that it reads, and their partitions; 0 when these are not known.
    pub repartition_sources: BTreeMap<String, i32>,
    /// The topics of the application that it writes for other parts.
    pub repartition_sinks: Vec<String>,
    /// The topics that its state is kept in, and their partitions; 0 when these are not known.
    pub changelogs: BTreeMap<String, i32>,
}

/// Tasks of one role: partitions by subtopology.
pub type Tasks = BTreeMap<String, Vec<i32>>;

/// Tasks by their roles.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TasksByRole {
    /// Those that are worked on.
    pub active: Tasks,
    /// Those whose state is kept up for the case that their worker ends.
    pub standby: Tasks,
    /// Those whose state is fetched, so that they can be worked on later.
    pub warmup: Tasks,
}

/// What a member of a streams group is, and what it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamsMember {
    /// The process that it is a thread of.
    pub process_id: String,
    /// Where it can be asked for what its state stores hold.
    pub endpoint: Option<(String, u16)>,
    /// That of the topology that it runs.
    pub topology_epoch: i32,
    /// What it has.
    pub tasks: TasksByRole,
    /// What it shall have.
    pub target: TasksByRole,
}

impl TasksByRole {
    /// What is not in the other in the same role.
    pub fn without(&self, other: &TasksByRole) -> TasksByRole {
        let role = |tasks: &Tasks, other: &Tasks| -> Tasks {
            let parts = tasks.iter().map(|(part, partitions)| {
                let is_in = |partition: &i32| other.get(part).is_some_and(|other| other.contains(partition));
                let left = partitions.iter().copied().filter(|partition| !is_in(partition));
                (part.clone(), left.collect::<Vec<_>>())
            });
            parts.filter(|(_, left)| !left.is_empty()).collect()
        };
        TasksByRole {
            active: role(&self.active, &other.active),
            standby: role(&self.standby, &other.standby),
            warmup: role(&self.warmup, &other.warmup),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.active.is_empty() && self.standby.is_empty() && self.warmup.is_empty()
    }
}

impl StreamsTopology {
    /// The partitions that tasks read. Where topics of one part differ in size, some may not be there.
    pub(super) fn partitions_of(&self, tasks: &Tasks) -> BTreeMap<String, Vec<i32>> {
        let mut partitions = BTreeMap::new();
        for part in &self.subtopologies {
            if let Some(read) = tasks.get(&part.id) {
                let topics = part.sources.iter().chain(part.repartition_sources.keys());
                partitions.extend(topics.map(|topic| (topic.clone(), read.clone())));
            }
        }
        partitions
    }
}

impl From<StreamsGroupDescribedTopology> for StreamsTopology {
    fn from(topology: StreamsGroupDescribedTopology) -> StreamsTopology {
        let sized = |topics: Vec<StreamsGroupTopicInfo>| {
            topics.into_iter().map(|topic| (topic.name, topic.partitions)).collect()
        };
        let parts = topology.subtopologies.unwrap_or_default().into_iter().map(|part| Subtopology {
            id: part.subtopology_id,
            sources: part.source_topics,
            repartition_sources: sized(part.repartition_source_topics),
            repartition_sinks: part.repartition_sink_topics,
            changelogs: sized(part.state_changelog_topics),
        });
        let mut subtopologies: Vec<_> = parts.collect();
        subtopologies.sort_by(|one, other| one.id.cmp(&other.id));
        StreamsTopology { epoch: topology.epoch, subtopologies }
    }
}

impl From<StreamsGroupDescribedAssignment> for TasksByRole {
    fn from(assignment: StreamsGroupDescribedAssignment) -> TasksByRole {
        let by_part = |ids: Vec<StreamsGroupTaskIds>| {
            let parts = ids.into_iter().map(|part| {
                let mut partitions = part.partitions;
                partitions.sort_unstable();
                (part.subtopology_id, partitions)
            });
            parts.collect()
        };
        TasksByRole {
            active: by_part(assignment.active_tasks),
            standby: by_part(assignment.standby_tasks),
            warmup: by_part(assignment.warmup_tasks),
        }
    }
}
