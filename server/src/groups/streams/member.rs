//! A member of a streams group: what it has said of itself, what it has, and how it comes from one to the
//! next. The steps are those of a consumer's member ([`Stage`]): one that has to give tasks up stays in its
//! epoch until it has, then comes to the epoch of the target, and gets what is free.
//!
//! * An active task is free when nobody has it, and nobody in the member's process stands by it.
//! * A task to stand by is free when nobody in the member's process has it in any role.

use std::collections::BTreeMap;
use std::sync::Arc;

use strandline_protocol::messages::{StreamsGroupEndpoint, StreamsGroupKeyValue, StreamsGroupTaskOffset};

use super::tasks::{Roles, Task, Tasks};
use crate::groups::consumer::member::Stage;
use crate::groups::records::streams::{StreamsCurrentValue, StreamsMemberValue, StreamsTasksValue};

/// The epoch of a static member that has left for a while.
pub const AWAY: i32 = -2;

/// A member.
#[derive(Clone, Debug)]
pub struct Member {
    /// What it has said.
    pub about: About,
    /// What it has.
    pub held: Held,
    /// How far its state is, as it has said last. It is not in the log.
    pub offsets: Offsets,
    /// Until when it must have said something, in milliseconds.
    pub session_until: i64,
    /// Until when it must have given up what it shall; `i64::MAX` when that is nothing.
    pub revoke_until: i64,
}

/// How far the state of tasks is that a member has.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Offsets {
    /// In offsets of their changelogs together.
    pub current: Vec<StreamsGroupTaskOffset>,
    /// Where the changelogs end.
    pub end: Vec<StreamsGroupTaskOffset>,
}

/// What a member has said of itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct About {
    /// The name of a static member.
    pub instance_id: Option<String>,
    /// Where it is.
    pub rack_id: Option<String>,
    /// As its requests name it.
    pub client_id: String,
    /// Where it is, in Kafka's form: "/127.0.0.1".
    pub client_host: String,
    /// How long it may take to give tasks up, in milliseconds.
    pub rebalance_timeout_ms: i32,
    /// Of the topology that it runs.
    pub topology_epoch: i32,
    /// The process that it is in.
    pub process: Arc<str>,
    /// Where it can be asked for what its state stores hold.
    pub endpoint: Option<StreamsGroupEndpoint>,
    /// Its tags, by their names.
    pub tags: BTreeMap<String, String>,
}

impl About {
    /// Out of a record.
    pub fn from_value(value: StreamsMemberValue) -> About {
        About {
            instance_id: value.instance_id,
            rack_id: value.rack_id,
            client_id: value.client_id,
            client_host: value.client_host,
            rebalance_timeout_ms: value.rebalance_timeout_ms,
            topology_epoch: value.topology_epoch,
            process: value.process_id.as_str().into(),
            endpoint: value.user_endpoint,
            tags: value.client_tags.into_iter().map(|tag| (tag.key, tag.value)).collect(),
        }
    }

    /// As records have it.
    pub fn to_value(&self) -> StreamsMemberValue {
        StreamsMemberValue {
            instance_id: self.instance_id.clone(),
            rack_id: self.rack_id.clone(),
            client_id: self.client_id.clone(),
            client_host: self.client_host.clone(),
            rebalance_timeout_ms: self.rebalance_timeout_ms,
            topology_epoch: self.topology_epoch,
            process_id: self.process.to_string(),
            user_endpoint: self.endpoint.clone(),
            client_tags: self.tags(),
        }
    }

    /// Its tags, as the wire has them.
    pub fn tags(&self) -> Vec<StreamsGroupKeyValue> {
        let tags = self.tags.iter();
        tags.map(|(key, value)| StreamsGroupKeyValue { key: key.clone(), value: value.clone() }).collect()
    }

    /// Whether tasks may have to be shared out anew when this has become of what it was.
    pub fn concerns_all(&self, before: &About) -> bool {
        self.topology_epoch != before.topology_epoch
            || self.rack_id != before.rack_id
            || self.process != before.process
            || self.tags != before.tags
    }

    /// About what it takes of the memory.
    pub fn bytes(&self) -> usize {
        let tags: usize = self.tags.iter().map(|(key, value)| key.len() + value.len()).sum();
        size_of::<About>() + self.client_id.len() + self.client_host.len() + self.process.len() + tags
    }
}

/// What a member has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// The epoch that it is in.
    pub epoch: i32,
    /// The one before, in which it may still be by what it knows.
    pub previous_epoch: i32,
    /// How far it is with the target.
    pub stage: Stage,
    /// Its tasks.
    pub assigned: Roles,
    /// Tasks that it has to give up, and may still work on.
    pub revoking: Roles,
    /// Since which of its epochs it has each active task, also those that it has to give up: offsets that it
    /// commits in an epoch of before count from then on (KIP-1251).
    pub since: BTreeMap<Task, i32>,
}

impl Held {
    /// Out of a record. A stage of a later broker is one that has yet to reach the target.
    pub fn from_value(value: &StreamsCurrentValue) -> Held {
        let mut since = BTreeMap::new();
        let mut active = |values: &[StreamsTasksValue]| -> Tasks {
            let mut tasks = Tasks::default();
            for value in values {
                let epochs = value.assignment_epochs.as_deref().unwrap_or_default();
                for (at, task) in ids(value).enumerate() {
                    // Without one it is not known, and the member's own is the strictest.
                    since.insert(task.clone(), epochs.get(at).copied().unwrap_or(i32::MAX));
                    tasks.insert(task);
                }
            }
            tasks
        };
        let (assigned, revoking) =
            (active(&value.active_tasks), active(&value.active_tasks_pending_revocation));
        let standby = |values: &[StreamsTasksValue]| values.iter().flat_map(ids).collect();
        Held {
            epoch: value.member_epoch,
            previous_epoch: value.previous_member_epoch,
            stage: match value.state {
                0 => Stage::Stable,
                1 => Stage::Unrevoked,
                _ => Stage::Unreleased,
            },
            assigned: Roles { active: assigned, standby: standby(&value.standby_tasks) },
            revoking: Roles { active: revoking, standby: standby(&value.standby_tasks_pending_revocation) },
            since,
        }
    }

    /// As records have it.
    pub fn to_value(&self) -> StreamsCurrentValue {
        let values = |tasks: &Tasks, has_epochs: bool| -> Vec<StreamsTasksValue> {
            let values = tasks.subtopologies().map(|(id, partitions)| {
                let since = |at: &i32| self.since.get(&(id.clone(), *at)).copied().unwrap_or(self.epoch);
                StreamsTasksValue {
                    subtopology_id: id.to_string(),
                    partitions: partitions.iter().copied().collect(),
                    assignment_epochs: has_epochs.then(|| partitions.iter().map(since).collect()),
                }
            });
            values.collect()
        };
        StreamsCurrentValue {
            member_epoch: self.epoch,
            previous_member_epoch: self.previous_epoch,
            state: match self.stage {
                Stage::Stable => 0,
                Stage::Unrevoked => 1,
                Stage::Unreleased => 2,
            },
            active_tasks: values(&self.assigned.active, true),
            standby_tasks: values(&self.assigned.standby, false),
            active_tasks_pending_revocation: values(&self.revoking.active, true),
            standby_tasks_pending_revocation: values(&self.revoking.standby, false),
            ..Default::default()
        }
    }

    /// All active tasks that it has, with those that it has to give up.
    pub fn active(&self) -> impl Iterator<Item = Task> {
        self.assigned.active.iter().chain(self.revoking.active.iter())
    }

    /// All tasks that it stands by, with those that it has to give up.
    pub fn standby(&self) -> impl Iterator<Item = Task> {
        self.assigned.standby.iter().chain(self.revoking.standby.iter())
    }

    /// Whether it has what the target of this epoch wants.
    pub fn is_reconciled_to(&self, target_epoch: i32) -> bool {
        self.stage == Stage::Stable && self.epoch == target_epoch
    }

    /// Whether offsets of a task count that the member commits in an epoch of before.
    pub fn had(&self, task: &Task, epoch: i32) -> bool {
        self.since.get(task).is_some_and(|since| epoch >= *since)
    }

    /// The next step to the target. `owned` is what the member says that it has, when it says so; `is_free`
    /// whether nobody keeps a task from it in a role, active or not.
    pub fn next(
        &self,
        target_epoch: i32,
        target: &Roles,
        owned: Option<&Roles>,
        is_free: impl Fn(&Task, bool) -> bool,
    ) -> Held {
        let still_has = |revoking: &Roles| owned.is_none_or(|owned| owned.intersects(revoking));
        match self.stage {
            Stage::Stable if self.epoch == target_epoch => return self.clone(),
            Stage::Unrevoked if still_has(&self.revoking) => return self.clone(),
            Stage::Stable | Stage::Unrevoked | Stage::Unreleased => {}
        }
        let (mut assigned, revoking) = self.assigned.split(target);
        if !revoking.is_empty() && still_has(&revoking) {
            return self.at(self.epoch, Stage::Unrevoked, assigned, revoking);
        }
        // What it has just given up it may get again, in the same role.
        let mut lacks = false;
        for task in target.active.iter().filter(|task| !self.assigned.active.contains(task)) {
            match is_free(&task, true) {
                true => assigned.active.insert(task),
                false => lacks = true,
            }
        }
        for task in target.standby.iter().filter(|task| !self.assigned.standby.contains(task)) {
            match is_free(&task, false) {
                true => assigned.standby.insert(task),
                false => lacks = true,
            }
        }
        let stage = if lacks { Stage::Unreleased } else { Stage::Stable };
        self.at(target_epoch, stage, assigned, Roles::default())
    }

    fn at(&self, epoch: i32, stage: Stage, assigned: Roles, revoking: Roles) -> Held {
        let previous_epoch = if epoch == self.epoch { self.previous_epoch } else { self.epoch };
        let active = assigned.active.iter().chain(revoking.active.iter());
        let since = active.map(|task| {
            let since = self.since.get(&task).copied().unwrap_or(epoch);
            (task, since)
        });
        let since = since.collect();
        Held { epoch, previous_epoch, stage, assigned, revoking, since }
    }
}

fn ids(value: &StreamsTasksValue) -> impl Iterator<Item = Task> {
    let id: Arc<str> = value.subtopology_id.as_str().into();
    value.partitions.iter().map(move |partition| (id.clone(), *partition))
}
