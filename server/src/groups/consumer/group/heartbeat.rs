//! What the members of a consumer group ask: to join, to go on, to leave; and what they are told.

use std::collections::BTreeSet;
use std::sync::{Arc, Weak};

use strandline_engine::topics::TopicTable;
use strandline_protocol::wire::ErrorCode;

use super::{ConsumerGroup, ConsumerSettings};
use crate::authorization::Sight;
use crate::groups::consumer::assignment::Assignment;
use crate::groups::consumer::assignors::Assignor;
use crate::groups::consumer::member::{AWAY, About, Held, Member, Stage};
use crate::groups::consumer::patterns;
use crate::groups::records::consumer::ConsumerChange;
use crate::refusal::Refusal;

/// The epoch with which a member joins.
const JOIN: i32 = 0;
/// The epoch with which a member leaves.
const LEAVE: i32 = -1;
/// How long it is from one attempt to write a group again to the next, in milliseconds.
const MEND_PAUSE_MS: i64 = 1000;
/// What the names of a member's topics take at most, in bytes together.
pub(super) const NAMED_BYTES_MAX: usize = 1 << 20;

/// What a member says. What is `None` has not changed since it said it last.
#[derive(Clone, Debug, Default)]
pub struct Heartbeat {
    /// Its id.
    pub member_id: String,
    /// 0 to join, -1 to leave, -2 to leave for a while, or the epoch that it is in.
    pub epoch: i32,
    /// The name of a static member.
    pub instance_id: Option<String>,
    /// Where it is.
    pub rack_id: Option<String>,
    /// How long it may take to give partitions up, in milliseconds.
    pub rebalance_timeout_ms: Option<i32>,
    /// The topics that it names.
    pub topics: Option<Vec<String>>,
    /// The topics that it describes; empty for none.
    pub regex: Option<String>,
    /// The assignor that it prefers.
    pub assignor: Option<String>,
    /// The partitions that it has.
    pub owned: Option<Assignment>,
    /// As its requests name it.
    pub client_id: String,
    /// Where it is, in Kafka's form: "/127.0.0.1".
    pub client_host: String,
    /// Which topics it may describe, of those that its expression matches; `None` for all.
    pub sight: Option<Sight>,
    /// The settings that are in force for its group; `None` when they are those that it has.
    pub settings: Option<ConsumerSettings>,
}

/// What a member is told.
#[derive(Clone, Debug, PartialEq)]
pub struct Beat {
    /// Its epoch from now on.
    pub epoch: i32,
    /// When it is to come again, in milliseconds; 0 for one that has left.
    pub interval_ms: i32,
    /// What it has from now on; `None` when that has not changed.
    pub assignment: Option<Assignment>,
}

impl Heartbeat {
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
            return wrong("MemberEpoch is invalid.");
        } else if self.epoch == AWAY && self.instance_id.is_none() {
            return wrong("InstanceId can't be null.");
        }
        if self.is_joining() {
            if self.rebalance_timeout_ms.is_none() {
                return wrong("RebalanceTimeoutMs must be provided in first request.");
            } else if self.owned.as_ref().is_none_or(|owned| !owned.is_empty()) {
                return wrong("TopicPartitions must be empty when (re-)joining.");
            } else if self.topics.is_none() && self.regex.is_none() {
                return wrong(
                    "Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.",
                );
            }
        }
        let named = self.topics.iter().flatten().map(String::len).sum::<usize>();
        if named > NAMED_BYTES_MAX {
            let message = format!("SubscribedTopicNames have {named} bytes, {NAMED_BYTES_MAX} are the most.");
            return Err(Refusal::new(ErrorCode::InvalidRequest, message));
        }
        match self.assignor.as_deref() {
            Some(name) if Assignor::by_name(name).is_none() => {
                let names = Assignor::ALL.map(Assignor::name).join(", ");
                let message =
                    format!("ServerAssignor {name} is not supported. Supported assignors: {names}.");
                Err(Refusal::new(ErrorCode::UnsupportedAssignor, message))
            }
            _ => Ok(()),
        }
    }

    /// Whether it says everything, as a member does that has not heard from us.
    fn is_full(&self) -> bool {
        let has_topics = self.topics.is_some() || self.regex.is_some();
        self.is_joining() || (has_topics && self.rebalance_timeout_ms.is_some() && self.owned.is_some())
    }

    /// What a member has said of itself, with this.
    fn about(&self, before: Option<&About>, named: Option<Arc<BTreeSet<String>>>) -> About {
        let mut about = before.cloned().unwrap_or_default();
        let merge = |kept: &mut Option<String>, said: &Option<String>| {
            if said.is_some() {
                kept.clone_from(said);
            }
        };
        merge(&mut about.instance_id, &self.instance_id);
        merge(&mut about.rack_id, &self.rack_id);
        merge(&mut about.assignor, &self.assignor);
        if let Some(regex) = &self.regex {
            about.regex = Some(regex.clone()).filter(|regex| !regex.is_empty());
        }
        if let Some(topics) = named {
            about.topics = topics;
        }
        if let Some(timeout) = self.rebalance_timeout_ms {
            about.rebalance_timeout_ms = timeout;
        }
        about.client_id.clone_from(&self.client_id);
        about.client_host.clone_from(&self.client_host);
        about.classic = None;
        about
    }
}

impl ConsumerGroup {
    /// A member joins, goes on, or leaves. What is to be written is added to `changes`; the answer may leave
    /// when that is durable.
    ///
    /// # Errors
    /// Why nothing becomes of it; nothing has changed then.
    pub fn heartbeat(
        &mut self,
        now: i64,
        topics: &Arc<TopicTable>,
        said: &Heartbeat,
        changes: &mut Vec<ConsumerChange>,
    ) -> Result<Beat, Refusal> {
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
        said: &Heartbeat,
        changes: &mut Vec<ConsumerChange>,
    ) -> Result<Beat, Refusal> {
        let id = said.member_id.as_str();
        if !self.has_room_for(id, said.instance_id.as_deref()) {
            let most = self.settings.size_max;
            let message = format!("The consumer group has reached its maximum capacity of {most} members.");
            return Err(Refusal::new(ErrorCode::GroupMaxSizeReached, message));
        }
        let replaced = self.find(said)?;
        let before = self.members.get(replaced.as_deref().unwrap_or(id)).map(|member| &member.about);
        let named = match &said.topics {
            Some(topics) => Some(topics.iter().cloned().collect()),
            None => before.is_none().then(BTreeSet::new),
        };
        let named = named.map(|names| self.named.one_of(Arc::new(names)));
        let about = said.about(before, named);
        let regex = match &about.regex {
            Some(regex) if before.is_none_or(|before| before.regex != about.regex) => {
                if !self.patterns.have_room_for(regex) {
                    return Err(too_many_regexes());
                }
                check_regex(regex)?;
                Some(regex.clone())
            }
            _ => None,
        };

        // Nothing is refused from here on.
        let (sight, owned) = (Some(said.sight.as_ref()), said.owned.as_ref());
        let entering = Entering { id, replaced, about, regex, sight, owned };
        let is_given = self.enter(now, topics, entering, changes);
        let member = self.renewed(now, id);
        Ok(Beat {
            epoch: member.held.epoch,
            assignment: (is_given || said.is_full()).then(|| member.held.assigned.clone()),
            interval_ms: self.settings.heartbeat_interval_ms,
        })
    }

    /// Takes in what a member says that is in, or comes in, and takes it a step to the target; whether its
    /// partitions have changed.
    pub(super) fn enter(
        &mut self,
        now: i64,
        topics: &Arc<TopicTable>,
        entering: Entering<'_>,
        changes: &mut Vec<ConsumerChange>,
    ) -> bool {
        let Entering { id, replaced, about, regex, sight, owned } = entering;
        let before = self.members.get(replaced.as_deref().unwrap_or(id)).map(|member| &member.about);
        let is_other = |before: &About| before.topics != about.topics || before.regex != about.regex;
        let has_changed = before.is_none_or(is_other);
        let is_said = before != Some(&about) || replaced.is_some();
        let has_other_assignor = before.is_some_and(|before| before.assignor != about.assignor);
        let has_other_protocol =
            before.is_some_and(|before| before.classic.is_some() != about.classic.is_some());

        let assignor = has_other_assignor.then(|| self.assignor());
        if let Some(replaced) = &replaced {
            self.replace(replaced, id, changes);
        }
        self.take_in(id, about);
        if has_other_protocol || replaced.is_some() {
            self.members.get_mut(id).expect("it was just there").act_until = i64::MAX;
        }
        if let Some(sight) = sight {
            self.see(id, sight);
        }
        if is_said {
            changes.push(self.member_change(id));
        }
        if let Some(regex) = regex {
            self.patterns.insert(&regex);
        }
        if has_changed {
            self.forget_unused(changes);
        }
        if has_changed || assignor.is_some_and(|before| before != self.assignor()) {
            self.raise_epoch();
        }
        self.survey(now, topics, changes);
        self.write_epoch(changes);
        let step = Step { owned, has_changed, has_new_id: replaced.is_some() };
        self.reconcile(now, topics, id, step, changes)
    }

    /// Whether a member may come in; one that is in, or takes the place of one, may.
    pub(super) fn has_room_for(&self, id: &str, instance_id: Option<&str>) -> bool {
        self.members.len() < self.settings.size_max
            || self.members.contains_key(id)
            || instance_id.is_some_and(|instance| self.static_ids.contains_key(instance))
    }

    /// A member whose session begins anew.
    pub(super) fn renewed(&mut self, now: i64, id: &str) -> &Member {
        let member = self.members.get_mut(id).expect("it is a member");
        member.renew_session(now, self.settings.session_timeout_ms);
        self.wake_at = self.wake_at.min(member.session_until).min(member.act_until);
        member
    }

    /// Finds out whether the member may go on, or come in; the id of the one whose place it takes.
    fn find(&self, said: &Heartbeat) -> Result<Option<String>, Refusal> {
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
            // One of the classic protocol does not say when it leaves for a while.
            Some((_, member)) if said.is_joining() && (member.held.epoch == AWAY || member.is_classic()) => {
                tracing::info!(group = self.id, member = id, instance, "a static member comes back");
                Ok(self.static_ids.get(instance).cloned())
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
    fn replace(&mut self, before: &str, id: &str, changes: &mut Vec<ConsumerChange>) {
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
        self.taken.extend(member.held.all());
        self.targets.insert(id.to_owned(), target.clone());
        changes.push(self.target_change(id, &target));
        self.members.insert(id.to_owned(), member);
    }

    pub(super) fn take_in(&mut self, id: &str, about: About) {
        let before = self.members.get(id).and_then(|member| member.about.instance_id.as_ref());
        if let Some(before) = before.filter(|before| Some(*before) != about.instance_id.as_ref()) {
            self.static_ids.remove(before);
        }
        if let Some(instance) = &about.instance_id {
            self.static_ids.insert(instance.clone(), id.to_owned());
        }
        match self.members.get_mut(id) {
            Some(member) => member.about = about,
            None => {
                self.members.insert(id.to_owned(), Member { about, ..Member::default() });
            }
        }
    }

    /// Takes in what a member may describe. When that is news, the topics are looked at again.
    fn see(&mut self, id: &str, sight: Option<&Sight>) {
        let member = self.members.get_mut(id).expect("it was just there");
        let asker = sight.map(|sight| sight.asker.clone());
        let is_same = match (&self.rules, sight) {
            (None, None) => true,
            (Some(rules), Some(sight)) => rules.are(&sight.rules),
            _ => false,
        };
        if (!is_same && !self.patterns.are_none()) || (member.asker != asker && member.about.regex.is_some())
        {
            self.seen = Weak::new();
        }
        member.asker = asker;
        self.rules = sight.map(|sight| sight.rules.clone());
    }

    /// Takes a member a step to the target; whether its partitions have changed.
    fn reconcile(
        &mut self,
        now: i64,
        topics: &TopicTable,
        id: &str,
        step: Step<'_>,
        changes: &mut Vec<ConsumerChange>,
    ) -> bool {
        let nothing = Assignment::default();
        let member = &self.members[id];
        let target = self.targets.get(id).map_or(&nothing, |target| target);
        let next = member.held.next(
            self.target_epoch,
            target,
            step.owned,
            step.has_changed,
            |topic| self.wants(topics, member, topic),
            |topic, at| !self.taken.contains(&(topic, at)),
        );
        if next == member.held && !step.has_new_id {
            return false;
        }
        let is_given = next.assigned != member.held.assigned;
        let must_give_up = next.stage == Stage::Unrevoked;
        self.hold(id, next);
        let member = self.members.get_mut(id).expect("it is a member");
        // Of one of the classic protocol it is known by its joins.
        if !member.is_classic() {
            member.act_until = i64::MAX;
            if must_give_up {
                member.hurry(now);
            }
        }
        changes.push(self.current_change(id));
        is_given
    }

    // ---- leaving ------------------------------------------------------------------------------------------

    fn leave(&mut self, said: &Heartbeat, changes: &mut Vec<ConsumerChange>) -> Result<Beat, Refusal> {
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
                held.revoking = Assignment::default();
                held.epoch = AWAY;
                self.hold(id, held);
                self.members.get_mut(id).expect("it is a member").act_until = i64::MAX;
                changes.push(self.current_change(id));
            }
            _ => {
                self.lose(id, changes);
                self.forget_unused(changes);
                self.write_epoch(changes);
            }
        }
        Ok(Beat { epoch: said.epoch, interval_ms: 0, assignment: None })
    }
}

/// A member that comes in, or goes on, and what it says.
pub(super) struct Entering<'a> {
    pub(super) id: &'a str,
    /// The member whose place it takes.
    pub(super) replaced: Option<String>,
    pub(super) about: About,
    /// An expression that it has not described topics with before.
    pub(super) regex: Option<String>,
    /// Which topics it may describe, where it says that.
    pub(super) sight: Option<Option<&'a Sight>>,
    /// What it says that it has.
    pub(super) owned: Option<&'a Assignment>,
}

/// What a member brings to its next step.
struct Step<'a> {
    /// What it says that it has.
    owned: Option<&'a Assignment>,
    /// Whether it is subscribed to other topics than before.
    has_changed: bool,
    /// Whether it has come back under another id.
    has_new_id: bool,
}

fn too_many_regexes() -> Refusal {
    let most = patterns::REGEXES_MAX;
    let message = format!(
        "The consumer group has {most} different regular expressions, which are the most: members of a group \
         describe topics with the same ones."
    );
    Refusal::new(ErrorCode::InvalidRegularExpression, message)
}

fn check_regex(regex: &str) -> Result<(), Refusal> {
    patterns::ready(regex).map(drop).map_err(|error| {
        let message = format!("SubscribedTopicRegex `{regex}` is not a valid regular expression: {error}.");
        Refusal::new(ErrorCode::InvalidRegularExpression, message)
    })
}

/// Whether the member is in the epoch that it names, or has not heard that it is in the next. One that joins
/// has nothing, and is told anew.
fn check_epoch(held: &Held, said: &Heartbeat) -> Result<(), Refusal> {
    if said.epoch == held.epoch || (said.is_joining() && held.epoch != AWAY) {
        return Ok(());
    }
    let has_no_more = || said.owned.as_ref().is_some_and(|owned| owned.is_within(&held.assigned));
    if said.epoch < held.epoch && said.epoch == held.previous_epoch && has_no_more() {
        return Ok(());
    }
    let kind = if said.epoch > held.epoch { "greater" } else { "smaller" };
    let message = format!(
        "The consumer group member has a {kind} member epoch ({}) than the one known by the group coordinator \
         ({}). The member must abandon all its partitions and rejoin.",
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
