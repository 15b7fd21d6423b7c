//! The members of a consumer group that speak the classic protocol: for as long as a group migrates (KIP-848,
//! online migration), it has members of both.
//!
//! ```text
//!   join ------------> sync -----------> heartbeat, heartbeat, ... ---> join
//!   generation = epoch assignment        told to join again when the target is newer, when it has to give
//!                                        something up, and when all that it waits for is free
//! ```
//!
//! * Nobody leads: the broker says who has what, as for everybody here. Such a member takes its steps to the
//!   target with its joins, by what it says there that it owns.
//! * A member that was told to join has its rebalance timeout to do so, and as long again to ask for its
//!   assignment.

use std::collections::BTreeSet;
use std::sync::Arc;

use strandline_engine::topics::TopicTable;
use strandline_engine::types::TopicId;
use strandline_protocol::wire::ErrorCode;

use super::heartbeat::{Entering, NAMED_BYTES_MAX};
use super::{ConsumerGroup, ConsumerSettings, FIRST};
use crate::groups::consumer::embedded::{self, Embedded};
use crate::groups::consumer::member::{About, Held, Member, Stage};
use crate::groups::member::{Identity, Join, Joined, Sync, Synced, classic_value};
use crate::groups::records::consumer::ConsumerChange;
use crate::groups::subscription::CONSUMER;

/// A member that comes from a group of the classic protocol.
pub struct Moved {
    /// Its id.
    pub id: String,
    /// What it has said there.
    pub about: About,
    /// What it has.
    pub held: Held,
}

impl ConsumerGroup {
    /// A group of members that come from one of the classic protocol, in the epoch that they are in already.
    /// Its first change says all of it.
    pub fn adopt(
        id: &str,
        settings: ConsumerSettings,
        now: i64,
        epoch: i32,
        members: impl Iterator<Item = Moved>,
    ) -> ConsumerGroup {
        debug_assert!(epoch >= FIRST);
        let mut group = ConsumerGroup { epoch, target_epoch: epoch, ..ConsumerGroup::unread(id, settings) };
        for Moved { id, about, held } in members {
            let about = About { topics: group.named.one_of(about.topics), ..about };
            group.targets.insert(id.clone(), held.assigned.clone().into());
            group.take_in(&id, about);
            group.hold(&id, held);
            group.renewed(now, &id);
        }
        group.is_torn = true;
        group
    }

    /// Everybody, with what each has, by their ids.
    pub fn members(&self) -> impl Iterator<Item = (&String, &About, &Held)> {
        self.members.iter().map(|(id, member)| (id, &member.about, &member.held))
    }

    /// Whether a member speaks the classic protocol.
    pub fn is_classic(&self, id: &str) -> bool {
        self.members.get(id).is_some_and(Member::is_classic)
    }

    /// The static member whose place a member takes that joins by the classic protocol, when all others speak
    /// it.
    pub fn last_before(&self, join: &Join) -> Option<&str> {
        let replaced = self.static_ids.get(join.instance_id.as_ref()?)?;
        let is_alone = self.members.iter().all(|(id, member)| id == replaced || member.is_classic());
        (is_alone && join.member_id.is_empty()).then_some(replaced)
    }

    // ---- join ---------------------------------------------------------------------------------------------

    /// Whether a member can speak the classic protocol here.
    ///
    /// # Errors
    /// Why not.
    pub fn check_join(&self, join: &Join) -> Result<(), ErrorCode> {
        if self.is_dead {
            Err(ErrorCode::CoordinatorNotAvailable)
        } else if !self.has_room_for(&join.member_id, join.instance_id.as_deref()) {
            Err(ErrorCode::GroupMaxSizeReached)
        } else if !self.shares_protocol(join) {
            Err(ErrorCode::InconsistentGroupProtocol)
        } else {
            Ok(())
        }
    }

    /// Whether all members of the classic protocol know one of those that this one does: they would need it,
    /// were the group theirs alone.
    fn shares_protocol(&self, join: &Join) -> bool {
        let others: Vec<_> =
            self.members.values().filter_map(|member| member.about.classic.as_ref()).collect();
        let is_common = |name: &str| {
            others.iter().all(|other| other.supported_protocols.iter().any(|known| known.name == name))
        };
        join.protocol_type == CONSUMER && join.protocols.iter().any(|protocol| is_common(&protocol.name))
    }

    /// A member comes in by the classic protocol, or again. What is to be written is added to `changes`; the
    /// answer may leave when that is durable.
    pub fn join(
        &mut self,
        now: i64,
        topics: &Arc<TopicTable>,
        join: &Join,
        changes: &mut Vec<ConsumerChange>,
    ) -> Joined {
        let refused = |error| Joined::refused(error, &join.member_id);
        if let Err(error) = self.check_join(join) {
            return refused(error);
        }
        let is_new = join.member_id.is_empty();
        if is_new && join.instance_id.is_none() && join.id_required {
            return Joined::refused(ErrorCode::MemberIdRequired, &join.new_member_id);
        }
        let id = if is_new { &join.new_member_id } else { &join.member_id };
        let known = join.instance_id.as_ref().map(|instance| self.static_ids.get(instance));
        let replaced = match known {
            Some(Some(known)) if is_new => Some(known.clone()),
            Some(Some(known)) if known != id => return refused(ErrorCode::FencedInstanceId),
            Some(None) if !is_new => return refused(ErrorCode::UnknownMemberId),
            Some(_) | None => None,
        };
        let said = join.protocols.first().map(|first| embedded::subscription(&first.metadata, topics));
        let Some(Ok(said)) = said else { return refused(ErrorCode::InconsistentGroupProtocol) };
        if said.topics.iter().map(String::len).sum::<usize>() > NAMED_BYTES_MAX {
            return refused(ErrorCode::InvalidRequest);
        }
        if !self.members.contains_key(id) {
            if !is_new && !said.owned.is_empty() {
                // It was taken out, and reads what others may have been given since. Kafka takes it in.
                return refused(ErrorCode::UnknownMemberId);
            }
            tracing::info!(group = self.id, member = id, "a member joins by the classic protocol");
        }

        // Nothing is refused from here on.
        let before = self.members.get(replaced.as_ref().unwrap_or(id)).map(|member| &member.about);
        let Embedded { topics: named, owned, rack_id } = said;
        let about = about(before, join, self.named.one_of(Arc::new(named)), rack_id);
        let (owned, regex, sight) = (Some(&owned), None, None);
        let entering = Entering { id, replaced, about, regex, sight, owned };
        self.enter(now, topics, entering, changes);
        self.mend(changes);
        let member = self.members.get_mut(id).expect("it has just come");
        member.act_until = i64::MAX;
        member.hurry(now);
        let epoch = self.renewed(now, id).held.epoch;
        Joined {
            error: ErrorCode::None,
            generation: epoch,
            protocol_type: Some(CONSUMER.to_owned()),
            protocol: join.protocols.first().map(|first| first.name.clone()),
            leader: String::new(),
            skip_assignment: false,
            member_id: id.clone(),
            members: Vec::new(),
        }
    }

    // ---- sync, heartbeat ----------------------------------------------------------------------------------

    /// What the member may read. What is to be written is added to `changes`; the answer may leave when that
    /// is durable, with all that was changed before.
    ///
    /// # Errors
    /// That it has no place here, or must join again.
    pub fn sync(
        &mut self,
        now: i64,
        topics: &TopicTable,
        sync: &Sync,
        changes: &mut Vec<ConsumerChange>,
    ) -> Result<Synced, ErrorCode> {
        let member = self.find_classic(&sync.identity)?;
        let first = member.about.classic.iter().flat_map(|classic| &classic.supported_protocols).next();
        let differs = |asked: &Option<String>, own: Option<&str>| asked.is_some() && asked.as_deref() != own;
        if differs(&sync.protocol_type, Some(CONSUMER))
            || differs(&sync.protocol, first.map(|first| first.name.as_str()))
        {
            return Err(ErrorCode::InconsistentGroupProtocol);
        }
        let id = &sync.identity.member_id;
        // One that has to give something up is told what it keeps.
        if member.held.epoch < self.target_epoch && member.held.stage != Stage::Unrevoked {
            return Err(self.rebalance(now, id));
        }
        let metadata = first.map(|first| first.metadata.clone()).unwrap_or_default();
        let assignment = embedded::assignment_for(&metadata, &member.held.assigned, topics);
        self.members.get_mut(id).expect("it was just found").act_until = i64::MAX;
        self.renewed(now, id);
        self.mend(changes);
        Ok(Synced {
            error: ErrorCode::None,
            protocol_type: sync.protocol_type.clone(),
            protocol: sync.protocol.clone(),
            assignment,
        })
    }

    /// A member is alive. That the topics are others is seen here as well. What is to be written is added to
    /// `changes`; the answer need not wait for it.
    ///
    /// # Errors
    /// That it has no place here, or must join again.
    pub fn heartbeat_classic(
        &mut self,
        now: i64,
        topics: &Arc<TopicTable>,
        identity: &Identity,
        changes: &mut Vec<ConsumerChange>,
    ) -> Result<(), ErrorCode> {
        self.find_classic(identity)?;
        self.survey(now, topics, changes);
        self.write_epoch(changes);
        if !changes.is_empty() {
            self.mend(changes);
        }
        let id = &identity.member_id;
        let Held { epoch, stage, .. } = self.renewed(now, id).held;
        let has_to_join = epoch < self.target_epoch
            || match stage {
                Stage::Stable => false,
                Stage::Unrevoked => true,
                Stage::Unreleased => self.has_all_free(id),
            };
        if has_to_join { Err(self.rebalance(now, id)) } else { Ok(()) }
    }

    /// Whether nobody has any more what the member waits for.
    fn has_all_free(&self, id: &str) -> bool {
        let (member, target) = (&self.members[id], self.targets.get(id));
        let is_missing = |(topic, at): &(TopicId, i32)| !member.held.assigned.contains(*topic, *at);
        let mut missing = target.iter().flat_map(|target| target.iter()).filter(is_missing);
        missing.all(|partition| !self.taken.contains(&partition))
    }

    /// Has a member join again, within its time.
    fn rebalance(&mut self, now: i64, id: &str) -> ErrorCode {
        self.members.get_mut(id).expect("it is a member").hurry(now);
        self.renewed(now, id);
        ErrorCode::RebalanceInProgress
    }

    /// The member that speaks, when it is in the generation that it names.
    fn find_classic(&self, identity: &Identity) -> Result<&Member, ErrorCode> {
        if self.is_dead {
            return Err(ErrorCode::CoordinatorNotAvailable);
        }
        let id = self.find_named(identity)?;
        let member = &self.members[&id];
        match member.is_classic() {
            false => Err(ErrorCode::UnknownMemberId),
            true if member.held.epoch != identity.generation => Err(ErrorCode::IllegalGeneration),
            true => Ok(member),
        }
    }

    /// The id of the member that is meant: a static one has to have the id that it names.
    fn find_named(&self, Identity { member_id, instance_id, .. }: &Identity) -> Result<String, ErrorCode> {
        if let Some(instance) = instance_id {
            let known = self.static_ids.get(instance).ok_or(ErrorCode::UnknownMemberId)?;
            if known != member_id {
                return Err(ErrorCode::FencedInstanceId);
            }
        }
        self.members.contains_key(member_id).then(|| member_id.clone()).ok_or(ErrorCode::UnknownMemberId)
    }

    // ---- leaving ------------------------------------------------------------------------------------------

    /// Members leave, or are made to, whatever they speak; what became of each stands in their order. An
    /// administrator names a static one by its instance.
    pub fn leave_classic(
        &mut self,
        leaving: &[Identity],
    ) -> (Vec<Result<(), ErrorCode>>, Vec<ConsumerChange>) {
        let mut changes = Vec::new();
        let mut leave = |who: &Identity| {
            let id = match &who.instance_id {
                Some(instance) if who.member_id.is_empty() => {
                    self.static_ids.get(instance).cloned().ok_or(ErrorCode::UnknownMemberId)?
                }
                _ => self.find_named(who)?,
            };
            tracing::info!(group = self.id, member = id, "a member leaves, or is made to");
            self.remove(&id, &mut changes);
            Ok(())
        };
        let left: Vec<_> = leaving.iter().map(&mut leave).collect();
        if !changes.is_empty() {
            self.raise_epoch();
            self.forget_unused(&mut changes);
            self.write_epoch(&mut changes);
            self.mend(&mut changes);
        }
        (left, changes)
    }
}

/// What a member has said of itself, with what it says when it joins.
fn about(
    before: Option<&About>,
    join: &Join,
    topics: Arc<BTreeSet<String>>,
    rack_id: Option<String>,
) -> About {
    let before = before.cloned().unwrap_or_default();
    About {
        instance_id: join.instance_id.clone().or(before.instance_id),
        rack_id: rack_id.or(before.rack_id),
        client_id: join.client_id.clone(),
        client_host: join.client_host.clone(),
        topics,
        regex: None,
        rebalance_timeout_ms: join.rebalance_timeout_ms,
        assignor: before.assignor,
        classic: Some(classic_value(join.session_timeout_ms, &join.protocols)),
    }
}
