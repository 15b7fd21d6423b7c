//! A streams group for those who ask what it does, and for its members: who can be asked for which state.

use strandline_engine::topics::TopicTable;
use strandline_protocol::messages::{
    StreamsGroupDescribedAssignment, StreamsGroupDescribedMember, StreamsGroupDescribedSubtopology,
    StreamsGroupDescribedTopology, StreamsGroupEndpointPartitions, StreamsGroupTopicInfo,
    StreamsGroupTopicPartitions,
};

use super::StreamsGroup;
use crate::groups::group::State;
use crate::groups::streams::member::Member;
use crate::groups::streams::tasks::{Roles, Task, Tasks};
use crate::groups::streams::topology::sources;

/// A streams group as it is described to others.
#[derive(Clone, Debug)]
pub struct StreamsDescription {
    /// Where it is in its life.
    pub state: State,
    /// How often its members or topics have changed.
    pub epoch: i32,
    /// The epoch of its target assignment.
    pub target_epoch: i32,
    /// What the application reads, writes and keeps.
    pub topology: Option<StreamsGroupDescribedTopology>,
    /// Everybody, by their ids.
    pub members: Vec<StreamsGroupDescribedMember>,
}

/// Who can be asked for which state, and how often that has changed.
#[derive(Clone, Debug, PartialEq)]
pub struct Endpoints {
    /// How often.
    pub epoch: i32,
    /// What each member reads that says where it is.
    pub members: Vec<StreamsGroupEndpointPartitions>,
}

impl StreamsGroup {
    /// About what [`StreamsGroup::describe`] takes of the memory.
    pub fn description_bytes(&self) -> usize {
        let members = self.members.iter().map(|(id, Member { about, held, offsets, .. })| {
            let target = self.targets.get(id).map_or(0, |target| target.len());
            let offsets = (offsets.current.len() + offsets.end.len()) * size_of::<Task>() * 2;
            let tasks = (held.assigned.len() + target) * size_of::<i32>();
            size_of::<StreamsGroupDescribedMember>() + id.len() + about.bytes() + offsets + tasks
        });
        2 * self.topology.as_ref().map_or(0, |topology| topology.bytes()) + members.sum::<usize>()
    }

    /// The group for those who ask what it does.
    pub fn describe(&self) -> StreamsDescription {
        let members = self.members.iter().map(|(id, member)| self.described(id, member));
        StreamsDescription {
            state: self.state(),
            epoch: self.epoch,
            target_epoch: self.target_epoch,
            topology: self.described_topology(),
            members: members.collect(),
        }
    }

    fn described(
        &self,
        id: &str,
        Member { about, held, offsets, .. }: &Member,
    ) -> StreamsGroupDescribedMember {
        let nothing = Roles::default();
        let target = self.targets.get(id).map_or(&nothing, |target| target);
        let assignment = |roles: &Roles| StreamsGroupDescribedAssignment {
            active_tasks: roles.active.to_ids(),
            standby_tasks: roles.standby.to_ids(),
            warmup_tasks: Vec::new(),
        };
        StreamsGroupDescribedMember {
            member_id: id.to_owned(),
            member_epoch: held.epoch,
            instance_id: about.instance_id.clone(),
            rack_id: about.rack_id.clone(),
            client_id: about.client_id.clone(),
            client_host: about.client_host.clone(),
            topology_epoch: about.topology_epoch,
            process_id: about.process.to_string(),
            user_endpoint: about.endpoint.clone(),
            client_tags: about.tags(),
            task_offsets: offsets.current.clone(),
            task_end_offsets: offsets.end.clone(),
            assignment: assignment(&held.assigned),
            target_assignment: assignment(target),
            is_classic: false,
        }
    }

    /// The topology, with the numbers of partitions that its own topics come to where that is known.
    fn described_topology(&self) -> Option<StreamsGroupDescribedTopology> {
        let topology = self.topology.as_ref()?;
        let configured = self.configured.as_ref().filter(|configured| configured.is_ready());
        let infos = |topics: &[StreamsGroupTopicInfo]| -> Vec<StreamsGroupTopicInfo> {
            let infos = topics.iter().map(|topic| {
                let known = configured.and_then(|configured| configured.internal.get(&topic.name));
                let partitions = known.map_or(topic.partitions, |partitions| *partitions as i32);
                StreamsGroupTopicInfo { partitions, ..topic.clone() }
            });
            infos.collect()
        };
        let subtopologies = topology.subtopologies().iter().map(|part| StreamsGroupDescribedSubtopology {
            subtopology_id: part.subtopology_id.clone(),
            source_topics: part.source_topics.clone(),
            repartition_sink_topics: part.repartition_sink_topics.clone(),
            state_changelog_topics: infos(&part.state_changelog_topics),
            repartition_source_topics: infos(&part.repartition_source_topics),
        });
        Some(StreamsGroupDescribedTopology {
            epoch: topology.epoch(),
            subtopologies: Some(subtopologies.collect()),
        })
    }

    /// About what [`StreamsGroup::endpoints`] takes of the memory.
    pub fn endpoints_bytes(&self) -> usize {
        let Some(topology) = &self.topology else { return 0 };
        let tasks = |tasks: &Tasks| -> usize {
            let each = tasks.subtopologies().map(|(id, partitions)| {
                let topics = topology.part(id).into_iter().flat_map(sources);
                topics.map(|topic| 64 + topic.len() + size_of::<i32>() * partitions.len()).sum::<usize>()
            });
            each.sum()
        };
        let members = self.members.values().filter(|member| member.about.endpoint.is_some());
        members
            .map(|member| 128 + tasks(&member.held.assigned.active) + tasks(&member.held.assigned.standby))
            .sum()
    }

    /// Who can be asked for which state: what each member reads that says where it is.
    pub fn endpoints(&self, topics: &TopicTable) -> Endpoints {
        let members = self.members.values().filter_map(|Member { about, held, .. }| {
            Some(StreamsGroupEndpointPartitions {
                user_endpoint: about.endpoint.clone()?,
                active_partitions: self.partitions(topics, &held.assigned.active),
                standby_partitions: self.partitions(topics, &held.assigned.standby),
            })
        });
        Endpoints { epoch: self.endpoints_epoch, members: members.collect() }
    }

    /// The partitions that tasks read.
    fn partitions(&self, topics: &TopicTable, tasks: &Tasks) -> Vec<StreamsGroupTopicPartitions> {
        let Some(topology) = &self.topology else { return Vec::new() };
        let mut read = Vec::new();
        for (id, partitions) in tasks.subtopologies() {
            for name in topology.part(id).into_iter().flat_map(sources) {
                let Some(topic) = topics.by_name(name) else { continue };
                let there = partitions.iter().copied().filter(|at| topic.partition(*at).is_some());
                read.push(StreamsGroupTopicPartitions {
                    topic: name.to_owned(),
                    partitions: there.collect(),
                });
            }
        }
        read
    }
}
