//! What the members of a share group ask: to join, to go on, to leave; and what they are told.

use std::sync::Arc;

use strandline_engine::topics::TopicTable;
use strandline_protocol::wire::ErrorCode;

use super::{About, Member, ShareGroup, ShareGroupSettings, Topics};
use crate::groups::consumer::Assignment;
use crate::groups::records::share::ShareChange;
use crate::refusal::Refusal;

/// The epoch with which a member joins.
const JOIN: i32 = 0;
/// The epoch with which a member leaves.
const LEAVE: i32 = -1;

/// What a member says.
#[derive(Clone, Debug, Default)]
pub struct ShareHeartbeat {
    /// Its id, which it has chosen itself.
    pub member_id: String,
    /// 0 to join, -1 to leave, or the epoch that it is in.
    pub epoch: i32,
    /// Where it is.
    pub rack_id: Option<String>,
    /// The topics that it is subscribed to; `None` when that has not changed.
    pub topics: Option<Vec<String>>,
    /// As its requests name it.
    pub client_id: String,
    /// Where it is, in Kafka's form: "/127.0.0.1".
    pub client_host: String,
    /// The settings that are in force for its group; `None` when they are those that it has.
    pub settings: Option<ShareGroupSettings>,
}

/// What a member is told.
#[derive(Clone, Debug, PartialEq)]
pub struct ShareBeat {
    /// Its epoch from now on.
    pub epoch: i32,
    /// When it is to come again, in milliseconds; 0 for one that has left.
    pub interval_ms: i32,
    /// Where it fetches from; `None` when that has not changed.
    pub assignment: Option<Assignment>,
    /// The partitions that have no state yet: they are given out when they have.
    pub stateless: Topics,
    /// The epoch of the group.
    pub group_epoch: i32,
}

impl ShareHeartbeat {
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
        if self.member_id.is_empty() {
            wrong("MemberId can't be empty.")
        } else if self.rack_id.as_deref() == Some("") {
            wrong("RackId can't be empty.")
        } else if self.epoch < LEAVE {
            wrong("MemberEpoch is invalid.")
        } else if self.is_joining() && self.topics.as_ref().is_none_or(Vec::is_empty) {
            wrong("SubscribedTopicNames must be set in first request.")
        } else {
            Ok(())
        }
    }
}

impl ShareGroup {
    /// A member joins, goes on, or leaves. What is to be written is added to `changes`; the answer may leave
    /// when that is durable.
    ///
    /// # Errors
    /// Why nothing becomes of it; nothing has changed then.
    pub fn heartbeat(
        &mut self,
        now: i64,
        topics: &Arc<TopicTable>,
        said: &ShareHeartbeat,
        changes: &mut Vec<ShareChange>,
    ) -> Result<ShareBeat, Refusal> {
        if self.is_dead {
            return Err(ErrorCode::CoordinatorNotAvailable.into());
        }
        self.settings = said.settings.unwrap_or(self.settings);
        let beat = match said.epoch {
            LEAVE => self.leave(topics, said, changes)?,
            _ => self.go_on(now, topics, said, changes)?,
        };
        self.mend(changes);
        Ok(beat)
    }

    fn go_on(
        &mut self,
        now: i64,
        topics: &Arc<TopicTable>,
        said: &ShareHeartbeat,
        changes: &mut Vec<ShareChange>,
    ) -> Result<ShareBeat, Refusal> {
        let id = said.member_id.as_str();
        if self.members.len() >= self.settings.size_max && !self.members.contains_key(id) {
            let most = self.settings.size_max;
            let message = format!("The share group has reached its maximum capacity of {most} members.");
            return Err(Refusal::new(ErrorCode::GroupMaxSizeReached, message));
        }
        match self.members.get(id) {
            Some(member) => check_epoch(member, said.epoch)?,
            None if said.is_joining() => tracing::info!(group = self.id, member = id, "a member joins"),
            None => return Err(self.unknown(id)),
        }

        // Nothing is refused from here on.
        let before = self.members.get(id).map(|member| &member.about);
        let about = About {
            rack_id: said.rack_id.clone().or_else(|| before.and_then(|before| before.rack_id.clone())),
            client_id: said.client_id.clone(),
            client_host: said.client_host.clone(),
            topics: match &said.topics {
                Some(topics) => topics.iter().cloned().collect(),
                None => before.map(|before| before.topics.clone()).unwrap_or_default(),
            },
        };
        let is_said = before != Some(&about);
        let mut is_changed = before.is_none_or(|before| before.topics != about.topics);
        let member = self.members.entry(id.to_owned()).or_insert_with(|| Member::new(About::default()));
        member.about = about;
        member.session_until = now.saturating_add(self.settings.session_timeout_ms);
        self.wake_at = self.wake_at.min(member.session_until);
        if is_said {
            changes.push(self.member_change(id));
        }
        if is_changed || !self.has_seen(topics) {
            is_changed |= self.look(topics);
        }
        if is_changed || self.is_restated {
            self.epoch += 1;
            changes.push(self.epoch_change());
        }
        if self.epoch > self.target_epoch {
            self.assign(topics, changes);
        }
        let is_given = self.reconcile(id, changes);

        let stateless = self.stateless(topics);
        let member = &self.members[id];
        let is_full = said.is_joining() || said.topics.is_some();
        Ok(ShareBeat {
            epoch: member.epoch,
            interval_ms: self.settings.heartbeat_interval_ms,
            assignment: (is_given || is_full).then(|| member.assigned.clone()),
            stateless,
            group_epoch: self.epoch,
        })
    }

    /// Gives a member what it shall have; whether its partitions have changed.
    fn reconcile(&mut self, id: &str, changes: &mut Vec<ShareChange>) -> bool {
        let target = self.targets.get(id).cloned().unwrap_or_default();
        let member = self.members.get_mut(id).expect("it is a member");
        let is_given = member.assigned != target;
        if member.epoch == self.target_epoch && !is_given {
            return false;
        }
        member.previous_epoch = member.epoch;
        member.epoch = self.target_epoch;
        member.assigned = target;
        changes.push(self.current_change(id));
        is_given
    }

    fn leave(
        &mut self,
        topics: &Arc<TopicTable>,
        said: &ShareHeartbeat,
        changes: &mut Vec<ShareChange>,
    ) -> Result<ShareBeat, Refusal> {
        let id = said.member_id.as_str();
        if !self.members.contains_key(id) {
            return Err(self.unknown(id));
        }
        tracing::info!(group = self.id, member = id, "a member leaves");
        self.lose(topics, id, changes);
        Ok(ShareBeat {
            epoch: LEAVE,
            interval_ms: 0,
            assignment: None,
            stateless: Topics::new(),
            group_epoch: self.epoch,
        })
    }

    fn unknown(&self, id: &str) -> Refusal {
        let message = format!("Member {id} is not a member of group {}.", self.id);
        Refusal::new(ErrorCode::UnknownMemberId, message)
    }
}

/// Whether the member is in the epoch that it names, or has not heard that it is in the next.
fn check_epoch(member: &Member, epoch: i32) -> Result<(), Refusal> {
    if epoch == JOIN || epoch == member.epoch || (epoch < member.epoch && epoch == member.previous_epoch) {
        return Ok(());
    }
    let kind = if epoch > member.epoch { "greater" } else { "smaller" };
    let message = format!(
        "The share group member has a {kind} member epoch ({epoch}) than the one known by the group \
         coordinator ({}). The member must abandon all its partitions and rejoin.",
        member.epoch
    );
    Err(Refusal::new(ErrorCode::FencedMemberEpoch, message))
}
