//! Tasks by subtopology: what a member shall have, has, or has yet to give up. A task is a subtopology for
//! one partition of its sources.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use strandline_protocol::messages::StreamsGroupTaskIds;

/// A task: its subtopology, and the number of the partition.
pub type Task = (Arc<str>, i32);

/// Tasks by subtopology. No subtopology stands in it without a task.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tasks(BTreeMap<Arc<str>, BTreeSet<i32>>);

/// Tasks by what is done with them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roles {
    /// Tasks that work: each is with one member at the most.
    pub active: Tasks,
    /// Tasks that keep a copy of the state.
    pub standby: Tasks,
}

impl Tasks {
    /// Takes a task in.
    pub fn insert(&mut self, (subtopology, partition): Task) {
        self.0.entry(subtopology).or_default().insert(partition);
    }

    /// Takes a task out.
    pub fn remove(&mut self, (subtopology, partition): &Task) {
        if let Some(partitions) = self.0.get_mut(subtopology) {
            partitions.remove(partition);
            if partitions.is_empty() {
                self.0.remove(subtopology);
            }
        }
    }

    /// Whether the task is in it.
    pub fn contains(&self, (subtopology, partition): &Task) -> bool {
        self.0.get(subtopology).is_some_and(|partitions| partitions.contains(partition))
    }

    /// The subtopologies with the partitions of their tasks, in their order.
    pub fn subtopologies(&self) -> impl Iterator<Item = (&Arc<str>, &BTreeSet<i32>)> {
        self.0.iter()
    }

    /// The tasks, in their order.
    pub fn iter(&self) -> impl Iterator<Item = Task> {
        self.0.iter().flat_map(|(id, partitions)| partitions.iter().map(move |at| (id.clone(), *at)))
    }

    /// How many tasks there are.
    pub fn len(&self) -> usize {
        self.0.values().map(BTreeSet::len).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a task is in both.
    pub fn intersects(&self, other: &Tasks) -> bool {
        self.iter().any(|task| other.contains(&task))
    }

    /// Whether all of it is in the other.
    pub fn is_within(&self, other: &Tasks) -> bool {
        self.iter().all(|task| other.contains(&task))
    }

    /// What is in the other as well, and what is not.
    pub fn split(&self, other: &Tasks) -> (Tasks, Tasks) {
        let (kept, gone): (Vec<_>, Vec<_>) = self.iter().partition(|task| other.contains(task));
        (kept.into_iter().collect(), gone.into_iter().collect())
    }

    /// As the wire and the records have it.
    pub fn to_ids(&self) -> Vec<StreamsGroupTaskIds> {
        let subtopologies = self.0.iter().map(|(id, partitions)| StreamsGroupTaskIds {
            subtopology_id: id.to_string(),
            partitions: partitions.iter().copied().collect(),
        });
        subtopologies.collect()
    }

    /// Out of a request or a record.
    pub fn from_ids(ids: &[StreamsGroupTaskIds]) -> Tasks {
        let mut tasks = Tasks::default();
        for StreamsGroupTaskIds { subtopology_id, partitions } in ids {
            let id: Arc<str> = subtopology_id.as_str().into();
            partitions.iter().for_each(|partition| tasks.insert((id.clone(), *partition)));
        }
        tasks
    }
}

impl FromIterator<Task> for Tasks {
    fn from_iter<I: IntoIterator<Item = Task>>(tasks: I) -> Tasks {
        let mut all = Tasks::default();
        tasks.into_iter().for_each(|task| all.insert(task));
        all
    }
}

impl Roles {
    /// How many tasks there are, in any role.
    pub fn len(&self) -> usize {
        self.active.len() + self.standby.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.active.is_empty() && self.standby.is_empty()
    }

    /// Whether a task is in both in the same role.
    pub fn intersects(&self, other: &Roles) -> bool {
        self.active.intersects(&other.active) || self.standby.intersects(&other.standby)
    }

    /// Whether all of it is in the other, in the same roles.
    pub fn is_within(&self, other: &Roles) -> bool {
        self.active.is_within(&other.active) && self.standby.is_within(&other.standby)
    }

    /// What is in the other as well, and what is not.
    pub fn split(&self, other: &Roles) -> (Roles, Roles) {
        let (active, no_active) = self.active.split(&other.active);
        let (standby, no_standby) = self.standby.split(&other.standby);
        (Roles { active, standby }, Roles { active: no_active, standby: no_standby })
    }
}
