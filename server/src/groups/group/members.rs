//! The members of a group: how they come in, stay and go, and the list of them.
//!
//! * A member is in until it leaves, its session ends, or a rebalance goes on without it. An id that was
//!   given out and that nobody has come with yet (KIP-394) is no member, but the others wait for it.
//! * A static member (KIP-345) that comes back under a new id takes the place that it had. Where that needs
//!   no rebalance, it is answered when the log has its new id.
//! * The list, the names of static members and the count of supported protocols change together, in `insert`,
//!   `remove`, `rename` and `set_terms`.
//!
//! What a change of members leads to, a rebalance or the end of one, and the timers are left to the state
//! machine, the module above.

use std::collections::{BTreeSet, HashMap};

use strandline_protocol::wire::ErrorCode;

use super::effects::Effects;
use super::{ClassicGroup, JoinTimer, State, Storing, Swap};
use crate::groups::member::{Identity, Join, Joined, Member, Terms, Ticket};

/// How long a member that has not been in a generation yet may wait to get into one, in milliseconds.
const NEW_MEMBER_JOIN_MS: i64 = 5 * 60 * 1000;

/// Ids that were given out and whose members have not come back. A client that asks again and again gets no
/// more.
const PENDING_MAX: usize = 10_000;

impl ClassicGroup {
    // ---- join ---------------------------------------------------------------------------------------------

    /// A member wants in.
    pub fn join(&mut self, now: i64, ticket: Ticket, join: Join, effects: &mut Effects) {
        let refused = if self.state == State::Dead {
            Some(Joined::refused(ErrorCode::CoordinatorNotAvailable, &join.member_id))
        } else if !self.has_room_for(&join.member_id) {
            self.remove(&join.member_id, effects);
            self.complete_join_if_all(now, effects);
            Some(Joined::refused(ErrorCode::GroupMaxSizeReached, ""))
        } else if !self.supports(&join) {
            Some(Joined::refused(ErrorCode::InconsistentGroupProtocol, &join.member_id))
        } else {
            None
        };
        match refused {
            Some(refused) => effects.joined.push((ticket, refused)),
            None if join.member_id.is_empty() => self.join_new(now, ticket, join, effects),
            None => self.join_known(now, ticket, join, effects),
        }
    }

    fn has_room_for(&self, member_id: &str) -> bool {
        match self.state {
            State::Empty | State::Dead | State::Assigning | State::Reconciling | State::NotReady => true,
            // Who joins first stays: the setting may be smaller than the group.
            State::PreparingRebalance => {
                self.members.get(member_id).is_some_and(|member| member.joining.is_some())
                    || self.members.values().filter(|member| member.joining.is_some()).count()
                        < self.settings.size_max
            }
            State::CompletingRebalance | State::Stable => {
                self.members.contains_key(member_id) || self.members.len() < self.settings.size_max
            }
        }
    }

    /// Whether the member's protocols and the group's have one in common.
    fn supports(&self, join: &Join) -> bool {
        if self.state == State::Empty {
            return !join.protocol_type.is_empty() && !join.protocols.is_empty();
        }
        self.protocol_type.as_deref() == Some(&join.protocol_type)
            && join.protocols.iter().any(|protocol| {
                self.supported.get(&protocol.name).copied().unwrap_or(0) == self.members.len()
            })
    }

    fn join_new(&mut self, now: i64, ticket: Ticket, join: Join, effects: &mut Effects) {
        let id = join.new_member_id.clone();
        let known = join.instance_id.as_ref().and_then(|instance| self.static_ids.get(instance)).cloned();
        if let Some(old_id) = known {
            self.swap_static(now, ticket, join, old_id, effects);
        } else if join.instance_id.is_none() && join.id_required {
            if self.pending_joins.len() == PENDING_MAX {
                effects.joined.push((ticket, Joined::refused(ErrorCode::GroupMaxSizeReached, "")));
                return;
            }
            let until = now + i64::from(join.session_timeout_ms);
            self.due(until);
            self.pending_joins.insert(id.clone(), until);
            effects.joined.push((ticket, Joined::refused(ErrorCode::MemberIdRequired, &id)));
        } else {
            self.add(now, ticket, id, join, effects);
        }
    }

    fn join_known(&mut self, now: i64, ticket: Ticket, join: Join, effects: &mut Effects) {
        let id = join.member_id.clone();
        if join.instance_id.is_none() && self.pending_joins.contains_key(&id) {
            self.add(now, ticket, id, join, effects);
            return;
        }
        if let Err(error) = self.check(&id, join.instance_id.as_deref()) {
            effects.joined.push((ticket, Joined::refused(error, &id)));
            return;
        }
        let is_same = self.members[&id].terms.protocols == join.protocols;
        let is_leader = self.leader.as_ref() == Some(&id);
        match self.state {
            // It may not have received the answer.
            State::CompletingRebalance if is_same => effects.joined.push((ticket, self.joined(&id))),
            State::Stable if is_same && !is_leader => effects.joined.push((ticket, self.joined(&id))),
            // A leader that joins again has seen what members can not tell, such as new partitions.
            State::PreparingRebalance | State::CompletingRebalance | State::Stable => {
                self.update(&id, join, ticket, effects);
                self.rebalance(now, effects);
            }
            State::Empty | State::Dead | State::Assigning | State::Reconciling | State::NotReady => {
                unreachable!("an empty group has no member that could join again")
            }
        }
    }

    fn add(&mut self, now: i64, ticket: Ticket, id: String, join: Join, effects: &mut Effects) {
        if self.members.is_empty() {
            self.protocol_type = Some(join.protocol_type.clone());
        }
        if let Some(JoinTimer { initial: Some(initial), .. }) = &mut self.join_timer {
            initial.has_new = true;
        }
        let mut member = Member::new(join);
        member.joining = Some(ticket);
        member.expires_at = now + NEW_MEMBER_JOIN_MS;
        self.due(member.expires_at);
        self.pending_joins.remove(&id);
        self.leader.get_or_insert_with(|| id.clone());
        self.insert(id, member);
        self.rebalance(now, effects);
    }

    /// Takes over what a member says when it joins again.
    fn update(&mut self, id: &str, join: Join, ticket: Ticket, effects: &mut Effects) {
        let terms = Terms {
            session_timeout_ms: join.session_timeout_ms,
            rebalance_timeout_ms: join.rebalance_timeout_ms,
            protocols: join.protocols,
        };
        self.set_terms(id, terms);
        let member = self.members.get_mut(id).expect("it was found before");
        if let Some(earlier) = member.joining.replace(ticket) {
            // Its connection has most likely gone.
            effects.joined.push((earlier, Joined::refused(ErrorCode::RebalanceInProgress, id)));
        }
    }

    fn set_terms(&mut self, id: &str, terms: Terms) {
        let member = self.members.get_mut(id).expect("it was found before");
        let before = std::mem::replace(&mut member.terms, terms);
        count(&mut self.supported, &before, -1);
        count(&mut self.supported, &self.members[id].terms, 1);
    }

    // ---- static members -----------------------------------------------------------------------------------

    /// A static member came back without its id: it takes the place that it had.
    fn swap_static(&mut self, now: i64, ticket: Ticket, join: Join, old_id: String, effects: &mut Effects) {
        let new_id = join.new_member_id.clone();
        let instance_id = join.instance_id.clone().unwrap_or_default();
        let leader_before = self.leader.clone().unwrap_or_default();
        let may_skip_assignment = join.may_skip_assignment;
        self.rename(&instance_id, &old_id, &new_id, ErrorCode::FencedInstanceId, effects);
        self.refresh(now, &new_id);
        let old_terms = self.members[&new_id].terms.clone();
        self.update(&new_id, join, ticket, effects);
        match self.state {
            State::Stable if self.protocol.as_deref() == Some(self.vote()) => {
                let swap =
                    Swap { instance_id, old_id, old_terms, new_id, leader_before, may_skip_assignment };
                let value = self.record(|_, member| member.assignment.clone());
                self.store(value, Storing::Swap(Box::new(swap)), effects);
            }
            // The leader has been told, or is being told, of the old id.
            State::Stable | State::CompletingRebalance => self.prepare_rebalance(now, effects),
            State::PreparingRebalance => self.complete_join_if_all(now, effects),
            State::Empty | State::Dead | State::Assigning | State::Reconciling | State::NotReady => {
                unreachable!("an empty group has no static member")
            }
        }
    }

    pub(super) fn swap_stored(
        &mut self,
        now: i64,
        swap: Swap,
        result: Result<(), ErrorCode>,
        effects: &mut Effects,
    ) {
        let Some(member) = self.members.get_mut(&swap.new_id) else { return };
        // With a rebalance on its way, the member takes part in it under its new id.
        if self.state != State::Stable {
            return;
        }
        let Some(ticket) = member.joining.take() else { return };
        let mut joined = self.joined(&swap.new_id);
        match result {
            Ok(()) if swap.may_skip_assignment => {
                joined.skip_assignment = self.leader.as_ref() == Some(&swap.new_id);
            }
            // It would assign if it knew that it leads.
            Ok(()) => {
                joined.members = Vec::new();
                joined.leader = swap.leader_before;
            }
            Err(error) => {
                let (instance, old, new) = (&swap.instance_id, &swap.old_id, &swap.new_id);
                self.rename(instance, new, old, error, effects);
                self.set_terms(&swap.old_id, swap.old_terms);
                self.refresh(now, &swap.old_id);
                joined = Joined::refused(error, "");
            }
        }
        if result.is_ok() {
            self.refresh(now, &swap.new_id);
        }
        effects.joined.push((ticket, joined));
    }

    /// Gives a static member another id. Who waits under the old one is told `error`.
    fn rename(&mut self, instance: &str, old: &str, new: &str, error: ErrorCode, effects: &mut Effects) {
        let mut member = self.members.remove(old).expect("a static member is a member");
        effects.refuse(&mut member, error, old);
        member.is_new = false;
        self.members.insert(new.to_owned(), member);
        self.static_ids.insert(instance.to_owned(), new.to_owned());
        if self.leader.as_deref() == Some(old) {
            self.leader = Some(new.to_owned());
        }
        if self.pending_syncs.remove(old) {
            self.pending_syncs.insert(new.to_owned());
        }
    }

    // ---- heartbeat, commit, leave -------------------------------------------------------------------------

    /// A member is alive.
    ///
    /// # Errors
    /// That it has no place here, or must join again.
    pub fn heartbeat(&mut self, now: i64, identity: &Identity) -> Result<(), ErrorCode> {
        self.check_generation(identity)?;
        self.refresh(now, &identity.member_id);
        match self.state {
            State::PreparingRebalance => Err(ErrorCode::RebalanceInProgress),
            _ => Ok(()),
        }
    }

    /// Whether a commit is accepted; it is a sign of life as well.
    ///
    /// # Errors
    /// That it is not, and why.
    pub fn commit(&mut self, now: i64, identity: &Identity) -> Result<(), ErrorCode> {
        if self.state == State::Dead {
            return Err(ErrorCode::CoordinatorNotAvailable);
        }
        let is_member = !identity.member_id.is_empty() || identity.instance_id.is_some();
        if self.state == State::Empty && identity.generation < 0 {
            // Administrators, and consumers that choose their partitions themselves.
            return Ok(());
        }
        if !is_member && identity.generation < 0 {
            return Err(ErrorCode::UnknownMemberId);
        }
        self.check_generation(identity)?;
        if self.state == State::CompletingRebalance {
            return Err(ErrorCode::RebalanceInProgress);
        }
        self.refresh(now, &identity.member_id);
        Ok(())
    }

    /// Whether a transaction may commit offsets. Unlike a commit without one it may during a rebalance, from
    /// an old client that does not say who it is, and it is no sign of life.
    ///
    /// # Errors
    /// That it may not, and why.
    pub fn commit_transactional(&self, identity: &Identity) -> Result<(), ErrorCode> {
        if self.state == State::Dead {
            return Err(ErrorCode::CoordinatorNotAvailable);
        }
        let is_anonymous = identity.member_id.is_empty() && identity.instance_id.is_none();
        if identity.generation < 0 && (is_anonymous || self.state == State::Empty) {
            return Ok(());
        }
        self.check_generation(identity)
    }

    /// Members leave, or are made to: by an administrator, who names a static one by its instance. What
    /// became of each stands in their order.
    ///
    /// # Errors
    /// When nobody can be found out.
    pub fn leave(
        &mut self,
        now: i64,
        leaving: &[Identity],
        effects: &mut Effects,
    ) -> Result<Vec<Result<(), ErrorCode>>, ErrorCode> {
        if self.state == State::Dead {
            return Err(ErrorCode::CoordinatorNotAvailable);
        }
        let left: Vec<_> = leaving.iter().map(|who| self.leave_one(who, effects)).collect();
        if left.iter().any(Result::is_ok) {
            self.after_loss(now, effects);
        }
        Ok(left)
    }

    fn leave_one(&mut self, who: &Identity, effects: &mut Effects) -> Result<(), ErrorCode> {
        let id = match &who.instance_id {
            Some(instance) if who.member_id.is_empty() => {
                self.static_ids.get(instance).cloned().ok_or(ErrorCode::UnknownMemberId)?
            }
            _ => who.member_id.clone(),
        };
        if !self.pending_joins.contains_key(&id) {
            self.check(&id, who.instance_id.as_deref())?;
        }
        self.remove(&id, effects);
        Ok(())
    }

    // ---- the list -----------------------------------------------------------------------------------------

    fn check(&self, member_id: &str, instance_id: Option<&str>) -> Result<(), ErrorCode> {
        if let Some(instance) = instance_id {
            let current = self.static_ids.get(instance).ok_or(ErrorCode::UnknownMemberId)?;
            if current != member_id {
                return Err(ErrorCode::FencedInstanceId);
            }
        }
        self.members.contains_key(member_id).then_some(()).ok_or(ErrorCode::UnknownMemberId)
    }

    pub(super) fn check_generation(&self, identity: &Identity) -> Result<(), ErrorCode> {
        if self.state == State::Dead {
            return Err(ErrorCode::CoordinatorNotAvailable);
        }
        self.check(&identity.member_id, identity.instance_id.as_deref())?;
        match identity.generation == self.generation {
            true => Ok(()),
            false => Err(ErrorCode::IllegalGeneration),
        }
    }

    /// Begins the member's session anew.
    pub(super) fn refresh(&mut self, now: i64, id: &str) {
        if let Some(member) = self.members.get_mut(id) {
            member.expires_at = now + i64::from(member.terms.session_timeout_ms);
            let at = member.expires_at;
            self.due(at);
        }
    }

    pub(super) fn insert(&mut self, id: String, member: Member) {
        count(&mut self.supported, &member.terms, 1);
        if let Some(instance) = &member.instance_id {
            self.static_ids.insert(instance.clone(), id.clone());
        }
        self.members.insert(id, member);
    }

    /// Lets a member go, or an id that was given out. Who still waits under it is told that nobody knows it.
    pub(super) fn remove(&mut self, id: &str, effects: &mut Effects) {
        self.pending_joins.remove(id);
        if self.pending_syncs.remove(id) && self.pending_syncs.is_empty() {
            self.sync_timer = None;
        }
        let Some(mut member) = self.members.remove(id) else { return };
        effects.refuse(&mut member, ErrorCode::UnknownMemberId, "");
        count(&mut self.supported, &member.terms, -1);
        if let Some(instance) = &member.instance_id {
            self.static_ids.remove(instance);
        }
        if self.leader.as_deref() == Some(id) {
            self.leader = self.members.keys().next().cloned();
        }
    }
}

/// Counts a member's protocols in or out, each once.
fn count(supported: &mut HashMap<String, usize>, terms: &Terms, by: isize) {
    let names: BTreeSet<_> = terms.protocols.iter().map(|protocol| protocol.name.as_str()).collect();
    for name in names {
        let counted = supported.entry(name.to_owned()).or_default();
        *counted = counted.checked_add_signed(by).expect("what goes out came in");
        if *counted == 0 {
            supported.remove(name);
        }
    }
}
