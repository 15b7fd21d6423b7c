//! What the members of a streams group ask: to join, to go on, to leave; and what they are told.

use std::rc::Rc;
use std::sync::Arc;

use strandline_engine::topics::TopicTable;
use strandline_protocol::messages::{
    StreamsGroupEndpoint, StreamsGroupKeyValue, StreamsGroupTaskOffset, StreamsGroupTopology,
};
use strandline_protocol::wire::ErrorCode;

use super::{StreamsGroup, StreamsSettings};
use crate::groups::consumer::member::Stage;
use crate::groups::records::streams::StreamsChange;
use crate::groups::streams::configured::{InternalTopic, Status, StatusCode};
use crate::groups::streams::member::{AWAY, About, Held, Member};
use crate::groups::streams::tasks::Roles;
use crate::groups::streams::topology::Topology;
use crate::refusal::Refusal;

/// The epoch with which a member joins.
const JOIN: i32 = 0;
/// The epoch with which a member leaves.
const LEAVE: i32 = -1;
/// How long it is from one attempt to write a group again to the next, in milliseconds.
const MEND_PAUSE_MS: i64 = 1000;
/// What the tags of a member take at most, in bytes together.
const TAGS_BYTES_MAX: usize = 16 << 10;
/// The offsets of a member's state that are kept: they are a hint.
const OFFSETS_MAX: usize = 1024;

/// What a member says. What is `None` has not changed since it said it last.
#[derive(Clone, Debug, Default)]
pub struct StreamsHeartbeat {
    /// Its id.
    pub member_id: String,
    /// 0 to join, -1 to leave, -2 to leave for a while, or the epoch that it is in.
    pub epoch: i32,
    /// The name of a static member.
    pub instance_id: Option<String>,
    /// Where it is.
    pub rack_id: Option<String>,
    /// How long it may take to give tasks up, in milliseconds.
    pub rebalance_timeout_ms: Option<i32>,
    /// What its application reads, writes and keeps.
    pub topology: Option<StreamsGroupTopology>,
    /// The tasks that it has; those of one role alone make no sense.
    pub owned: Option<Roles>,
    /// The process that it is in.
    pub process_id: Option<String>,
    /// Where it can be asked for what its state stores hold.
    pub endpoint: Option<StreamsGroupEndpoint>,
    /// Its tags.
    pub tags: Option<Vec<StreamsGroupKeyValue>>,
    /// How far its state is.
    pub offsets: Option<Vec<StreamsGroupTaskOffset>>,
    /// Where the changelogs of its state end.
    pub end_offsets: Option<Vec<StreamsGroupTaskOffset>>,
    /// Whether all members shall stop.
    pub wants_shutdown: bool,
    /// As its requests name it.
    pub client_id: String,
    /// Where it is, in Kafka's form: "/127.0.0.1".
    pub client_host: String,
    /// The settings that are in force for its group; `None` when they are those that it has.
    pub settings: Option<StreamsSettings>,
}

/// What a member is told.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamsBeat {
    /// Its epoch from now on.
    pub epoch: i32,
    /// When it is to come again, in milliseconds; 0 for one that has left.
    pub interval_ms: i32,
    /// What it has from now on; `None` when that has not changed.
    pub assignment: Option<Roles>,
    /// What is wrong with the group, or up.
    pub status: Vec<Status>,
    /// How often it has changed who can be asked for which state.
    pub endpoints_epoch: i32,
    /// Topics that are to be created for the application.
    pub missing: Vec<InternalTopic>,
}

impl StreamsHeartbeat {
    /// Whether the member leaves.
    pub fn is_leaving(&self) -> bool {
        self.epoch == LEAVE || self.epoch == AWAY
    }

    /// Whether it would make a group that does not exist.
    pub fn is_joining(&self) -> bool {
        self.epoch == JOIN
    }

    /// What holds of what is said, whatever the group.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(&self) -> Result<(), Refusal> {
        let wrong = |message: &str| Err(Refusal::new(ErrorCode::InvalidRequest, message));
        let is_empty = |text: &Option<String>| text.as_deref() == Some("");
        if self.member_id.is_empty() {
            return wrong("MemberId can't be empty.");
        } else if is_empty(&self.instance_id) {
            return wrong("InstanceId can't be empty.");
        } else if is_empty(&self.rack_id) {
            return wrong("RackId can't be empty.");
        } else if self.epoch < AWAY {
            let message = format!("MemberEpoch is {}, but must be greater than or equal to -2.", self.epoch);
            return wrong(&message);
        } else if self.epoch == AWAY && self.instance_id.is_none() {
            return wrong("InstanceId can't be null.");
        }
        if !self.is_joining() {
            if self.topology.is_some() {
                return wrong("Topology can only be provided when (re-)joining.");
            }
        } else if self.rebalance_timeout_ms.is_none() {
            return wrong("RebalanceTimeoutMs must be provided in first request.");
        } else if self.owned.as_ref().is_some_and(|owned| !owned.is_empty()) {
            return wrong("ActiveTasks and StandbyTasks must be empty when (re-)joining.");
        }
        let regexes = self.topology.iter().flat_map(|topology| &topology.subtopologies);
        if regexes.into_iter().any(|part| !part.source_topic_regex.is_empty()) {
            return wrong("Regular expressions for source topics are not supported yet.");
        }
        let tags = self.tags.iter().flatten().map(|tag| tag.key.len() + tag.value.len()).sum::<usize>();
        if tags > TAGS_BYTES_MAX {
            return wrong(&format!("ClientTags have {tags} bytes, {TAGS_BYTES_MAX} are the most."));
        }
        match self.is_joining() && self.topology.is_none() {
            true => wrong("Topology must be non-null when (re-)joining."),
            false => Ok(()),
        }
    }

    /// What a member has said of itself, with this.
    fn about(&self, before: Option<&About>) -> About {
        let mut about = before.cloned().unwrap_or_default();
        if self.instance_id.is_some() {
            about.instance_id.clone_from(&self.instance_id);
        }
        if self.rack_id.is_some() {
            about.rack_id.clone_from(&self.rack_id);
        }
        // One that joins says all of it.
        if self.endpoint.is_some() || self.is_joining() {
            about.endpoint.clone_from(&self.endpoint);
        }
        if let Some(timeout) = self.rebalance_timeout_ms {
            about.rebalance_timeout_ms = timeout;
        }
        if let Some(topology) = &self.topology {
            about.topology_epoch = topology.epoch;
        }
        if let Some(process) = self.process_id.as_deref().filter(|process| **process != *about.process) {
            about.process = process.into();
        }
        if let Some(tags) = &self.tags {
            about.tags = tags.iter().map(|tag| (tag.key.clone(), tag.value.clone())).collect();
        }
        about.client_id.clone_from(&self.client_id);
        about.client_host.clone_from(&self.client_host);
        about
    }
}

impl StreamsGroup {
    /// A member joins, goes on, or leaves. What is to be written is added to `changes`; the answer may leave
    /// when that is durable.
    ///
    /// # Errors
    /// Why nothing becomes of it; nothing has changed then.
    pub fn heartbeat(
        &mut self,
        now: i64,
        topics: &Arc<TopicTable>,
        said: &StreamsHeartbeat,
        changes: &mut Vec<StreamsChange>,
    ) -> Result<StreamsBeat, Refusal> {
        if self.is_dead {
            return Err(ErrorCode::CoordinatorNotAvailable.into());
        }
        self.settings = said.settings.unwrap_or(self.settings);
        let beat = match said.is_leaving() {
            true => self.leave(said, changes)?,
            false => self.go_on(now, topics, said, changes)?,
        };
        if changes.is_empty() && self.is_torn {
            // What it would be told is not in the log. All of the group is written again, but not for
            // everybody who asks while that fails.
            if (0..MEND_PAUSE_MS).contains(&(now - self.mended_at)) {
                return Err(ErrorCode::CoordinatorNotAvailable.into());
            }
            self.mended_at = now;
        }
        self.mend(changes);
        Ok(beat)
    }

    // ---- going on -----------------------------------------------------------------------------------------

    fn go_on(
        &mut self,
        now: i64,
        topics: &Arc<TopicTable>,
        said: &StreamsHeartbeat,
        changes: &mut Vec<StreamsChange>,
    ) -> Result<StreamsBeat, Refusal> {
        let id = said.member_id.as_str();
        let replaced = self.find(said)?;
        if self.members.len() >= self.settings.size_max
            && !self.members.contains_key(id)
            && replaced.is_none()
        {
            let most = self.settings.size_max;
            let message = format!("The streams group has reached its maximum capacity of {most} members.");
            return Err(Refusal::new(ErrorCode::GroupMaxSizeReached, message));
        }
        let topology = self.topology_of(said)?;
        let before = self.members.get(replaced.as_deref().unwrap_or(id)).map(|member| &member.about);
        let about = said.about(before);
        let is_said = before != Some(&about) || replaced.is_some();
        let concerns_all = before.is_none_or(|before| about.concerns_all(before));

        // Nothing is refused from here on.
        if self.members.is_empty() {
            self.delayed_until = now.saturating_add(self.settings.initial_rebalance_delay_ms);
        }
        if let Some(topology) = topology {
            (self.topology, self.configured) = (Some(Rc::new(topology)), None);
            changes.extend(self.topology_change());
        }
        if let Some(replaced) = &replaced {
            self.replace(replaced, id, changes);
        }
        self.take_in(id, about);
        if is_said {
            changes.push(self.member_change(id));
        }
        let member = self.members.get_mut(id).expect("it was just there");
        let some = |offsets: &Vec<_>| offsets.iter().take(OFFSETS_MAX).cloned().collect();
        if let Some(offsets) = &said.offsets {
            member.offsets.current = some(offsets);
        }
        if let Some(offsets) = &said.end_offsets {
            member.offsets.end = some(offsets);
        }
        if concerns_all || self.standbys != self.settings.standbys {
            self.raise_epoch();
        }
        if said.wants_shutdown && self.shutdown.is_none() {
            tracing::info!(group = self.id, member = id, "a member wants the whole application to stop");
            self.shutdown = Some(id.to_owned());
        }
        self.survey(now, topics, changes);
        self.write_epoch(changes);
        let is_given = self.reconcile(now, id, said.owned.as_ref(), replaced.is_some(), changes);

        let member = self.members.get_mut(id).expect("it was just there");
        member.session_until = now.saturating_add(self.settings.session_timeout_ms);
        self.wake_at = self.wake_at.min(member.session_until).min(member.revoke_until);
        // One that has something else has not heard what it was told.
        let has_other = said.owned.as_ref().is_some_and(|owned| *owned != member.held.assigned);
        let is_told = is_given || said.is_joining() || has_other;
        let (epoch, assignment) = (member.held.epoch, is_told.then(|| member.held.assigned.clone()));
        Ok(self.told(now, id, epoch, assignment))
    }

    /// What a member is told besides, with what it has.
    fn told(&self, now: i64, id: &str, epoch: i32, assignment: Option<Roles>) -> StreamsBeat {
        let mut status = Vec::new();
        let member_epoch = self.members[id].about.topology_epoch;
        if let Some(topology) = self.topology.as_ref().filter(|topology| member_epoch < topology.epoch()) {
            let detail = format!(
                "The member's topology epoch {member_epoch} is behind the group's topology epoch {}.",
                topology.epoch()
            );
            status.push(Status { code: StatusCode::StaleTopology, detail });
        }
        status.extend(self.configured.iter().filter_map(|configured| configured.problem.clone()));
        if let Some(member) = &self.shutdown {
            let detail = format!(
                "Streams group member {member} encountered a fatal error and requested a shutdown for the \
                 entire application."
            );
            status.push(Status { code: StatusCode::ShutdownApplication, detail });
        }
        if self.epoch > self.target_epoch
            && let Some(why) = self.delay(now)
        {
            status.push(Status { code: StatusCode::AssignmentDelayed, detail: why.to_owned() });
        }
        StreamsBeat {
            epoch,
            interval_ms: self.settings.heartbeat_interval_ms,
            assignment,
            status,
            endpoints_epoch: self.endpoints_epoch,
            missing: self.configured.as_ref().map_or_else(Vec::new, |found| found.missing.clone()),
        }
    }

    /// The topology that the group gets by this, when it has none yet.
    fn topology_of(&self, said: &StreamsHeartbeat) -> Result<Option<Topology>, Refusal> {
        let Some(topology) = &said.topology else { return Ok(None) };
        let topology = Topology::new(topology.clone())?;
        match &self.topology {
            None => Ok(Some(topology)),
            // A member that runs an application of before is told so.
            Some(known) if known.epoch() > topology.epoch() => Ok(None),
            Some(known) if known.value() == topology.value() => Ok(None),
            Some(_) => {
                let message = "Topology updates are not supported yet.";
                Err(Refusal::new(ErrorCode::InvalidRequest, message))
            }
        }
    }

    /// Finds out whether the member may go on, or come in; the id of the one whose place it takes.
    fn find(&self, said: &StreamsHeartbeat) -> Result<Option<String>, Refusal> {
        let id = said.member_id.as_str();
        let Some(instance) = &said.instance_id else {
            match self.members.get(id) {
                Some(member) => check_epoch(&member.held, said)?,
                None if said.is_joining() => tracing::info!(group = self.id, member = id, "a member joins"),
                None => return Err(unknown_member(id, &self.id)),
            }
            return Ok(None);
        };
        let known = self.static_ids.get(instance).map(|known| (known, &self.members[known]));
        match known {
            None if said.is_joining() => {
                tracing::info!(group = self.id, member = id, instance, "a static member joins");
                Ok(None)
            }
            None => {
                let message = format!("Instance id {instance} is unknown.");
                Err(Refusal::new(ErrorCode::UnknownMemberId, message))
            }
            Some((known, member)) if said.is_joining() && member.held.epoch == AWAY => {
                tracing::info!(group = self.id, member = id, instance, "a static member comes back");
                Ok(Some(known.clone()))
            }
            Some((known, member)) if known == id => check_epoch(&member.held, said).map(|()| None),
            Some((known, _)) if !said.is_joining() => Err(fenced(id, instance, known)),
            Some((known, _)) => {
                let message = format!(
                    "Static member {id} with instance id {instance} cannot join the group because the instance \
                     id is owned by {known} member."
                );
                Err(Refusal::new(ErrorCode::UnreleasedInstanceId, message))
            }
        }
    }

    /// A static member that has come back under another id: it gets what it had.
    fn replace(&mut self, before: &str, id: &str, changes: &mut Vec<StreamsChange>) {
        let target = self.targets.get(before).cloned().unwrap_or_default();
        if let Some(surveying) = &mut self.surveying {
            // It may come back more than once.
            let known = surveying.renamed.iter_mut().find(|(_, after)| after == before);
            match known {
                Some((_, after)) => id.clone_into(after),
                None => surveying.renamed.push((before.to_owned(), id.to_owned())),
            }
        }
        let mut member = self.remove(before, changes).expect("it was just found");
        self.remove(id, changes);
        (member.held.epoch, member.held.previous_epoch) = (JOIN, JOIN);
        member.held.stage = Stage::Stable;
        self.note_held(&member.held, &member.about.process);
        self.targets.insert(id.to_owned(), target.clone());
        changes.push(self.target_change(id, &target));
        self.members.insert(id.to_owned(), member);
    }

    fn take_in(&mut self, id: &str, about: About) {
        let before = self.members.get(id).and_then(|member| member.about.instance_id.as_ref());
        if let Some(before) = before.filter(|before| Some(*before) != about.instance_id.as_ref()) {
            self.static_ids.remove(before);
        }
        if let Some(instance) = &about.instance_id {
            self.static_ids.insert(instance.clone(), id.to_owned());
        }
        let mut member = self.members.remove(id).unwrap_or_else(Member::unknown);
        if member.about.process != about.process {
            // Its tasks are the other process's now.
            self.forget_held(&member.held, &member.about.process);
            self.note_held(&member.held, &about.process);
        }
        if member.about.endpoint != about.endpoint {
            self.endpoints_epoch = self.endpoints_epoch.wrapping_add(1);
        }
        member.about = about;
        self.members.insert(id.to_owned(), member);
    }

    /// Takes a member a step to the target; whether its tasks have changed.
    fn reconcile(
        &mut self,
        now: i64,
        id: &str,
        owned: Option<&Roles>,
        has_new_id: bool,
        changes: &mut Vec<StreamsChange>,
    ) -> bool {
        let nothing = Roles::default();
        let member = &self.members[id];
        let target = self.targets.get(id).map_or(&nothing, |target| target);
        let next = member
            .held
            .next(self.target_epoch, target, owned, |task, is_active| self.is_free(member, task, is_active));
        if next == member.held && !has_new_id {
            return false;
        }
        let is_given = next.assigned != member.held.assigned;
        let timeout_ms: i64 = member.about.rebalance_timeout_ms.max(0).into();
        let revoke_until = match next.stage {
            Stage::Unrevoked => now.saturating_add(timeout_ms),
            Stage::Stable | Stage::Unreleased => i64::MAX,
        };
        if is_given && member.about.endpoint.is_some() {
            self.endpoints_epoch = self.endpoints_epoch.wrapping_add(1);
        }
        self.hold(id, next);
        self.members.get_mut(id).expect("it is a member").revoke_until = revoke_until;
        changes.push(self.current_change(id));
        is_given
    }

    // ---- leaving ------------------------------------------------------------------------------------------

    fn leave(
        &mut self,
        said: &StreamsHeartbeat,
        changes: &mut Vec<StreamsChange>,
    ) -> Result<StreamsBeat, Refusal> {
        let id = said.member_id.as_str();
        match &said.instance_id {
            Some(instance) => match self.static_ids.get(instance) {
                Some(known) if known == id => {}
                Some(known) => return Err(fenced(id, instance, known)),
                None => {
                    let message = format!("Instance id {instance} is unknown.");
                    return Err(Refusal::new(ErrorCode::UnknownMemberId, message));
                }
            },
            None if !self.members.contains_key(id) => return Err(unknown_member(id, &self.id)),
            None => {}
        }
        tracing::info!(group = self.id, member = id, epoch = said.epoch, "a member leaves");
        match said.epoch {
            AWAY => {
                // Its place is kept until its session ends.
                let mut held = self.members[id].held.clone();
                held.revoking = Roles::default();
                held.since.retain(|task, _| held.assigned.active.contains(task));
                held.epoch = AWAY;
                self.hold(id, held);
                self.members.get_mut(id).expect("it is a member").revoke_until = i64::MAX;
                changes.push(self.current_change(id));
            }
            _ => {
                if said.wants_shutdown && self.members.len() > 1 && self.shutdown.is_none() {
                    self.shutdown = Some(id.to_owned());
                }
                self.lose(id, changes);
                self.write_epoch(changes);
            }
        }
        Ok(StreamsBeat {
            epoch: said.epoch,
            interval_ms: 0,
            assignment: None,
            status: Vec::new(),
            endpoints_epoch: self.endpoints_epoch,
            missing: Vec::new(),
        })
    }
}

/// Whether the member is in the epoch that it names, or has not heard that it is in the next. One that joins
/// has nothing, and is told anew.
fn check_epoch(held: &Held, said: &StreamsHeartbeat) -> Result<(), Refusal> {
    if said.epoch == held.epoch || (said.is_joining() && held.epoch != AWAY) {
        return Ok(());
    }
    let has_no_more = || said.owned.as_ref().is_some_and(|owned| owned.is_within(&held.assigned));
    if said.epoch < held.epoch && said.epoch == held.previous_epoch && has_no_more() {
        return Ok(());
    }
    let kind = if said.epoch > held.epoch { "greater" } else { "smaller" };
    let message = format!(
        "The streams group member has a {kind} member epoch ({}) than the one known by the group coordinator \
         ({}). The member must abandon all its tasks and rejoin.",
        said.epoch, held.epoch
    );
    Err(Refusal::new(ErrorCode::FencedMemberEpoch, message))
}

fn unknown_member(id: &str, group: &str) -> Refusal {
    Refusal::new(ErrorCode::UnknownMemberId, format!("Member {id} is not a member of group {group}."))
}

fn fenced(id: &str, instance: &str, known: &str) -> Refusal {
    let message = format!("Static member {id} with instance id {instance} was fenced by member {known}.");
    Refusal::new(ErrorCode::FencedInstanceId, message)
}
