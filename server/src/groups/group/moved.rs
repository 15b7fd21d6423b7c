//! How a classic group hands its members over, and takes them from a group of another protocol.

use strandline_protocol::wire::ErrorCode;

use super::effects::Effects;
use super::{ClassicGroup, GroupSettings, State};
use crate::groups::member::Member;
use crate::groups::records::GroupValue;
use crate::groups::subscription::CONSUMER;

impl ClassicGroup {
    /// Everybody, by their ids.
    pub(in crate::groups) fn members(&self) -> impl Iterator<Item = (&String, &Member)> {
        self.members.iter()
    }

    /// The protocol that was chosen last.
    pub(in crate::groups) fn protocol(&self) -> Option<&str> {
        self.protocol.as_deref()
    }

    /// Whether something of it is on its way to the log, and will change it.
    pub fn is_storing(&self) -> bool {
        !self.storing.is_empty()
    }

    /// The group is not this one any more: whoever waits for it joins again.
    pub fn end(&mut self, effects: &mut Effects) {
        for (id, member) in &mut self.members {
            effects.refuse(member, ErrorCode::RebalanceInProgress, id);
        }
    }

    /// A group of these members, which are in this generation already; `None` when no protocol is common to
    /// all.
    pub(in crate::groups) fn adopt(
        now: i64,
        settings: GroupSettings,
        generation: i32,
        members: Vec<(String, Member)>,
    ) -> Option<ClassicGroup> {
        let mut group = ClassicGroup::new(now, settings);
        group.generation = generation;
        group.protocol_type = Some(CONSUMER.to_owned());
        let ids: Vec<_> = members.iter().map(|(id, _)| id.clone()).collect();
        members.into_iter().for_each(|(id, member)| group.insert(id, member));
        let (_, first) = group.members.first_key_value()?;
        group.common_protocols(first).next()?;
        ids.iter().for_each(|id| group.refresh(now, id));
        group.enter(State::Stable, now);
        group.protocol = Some(group.vote().to_owned());
        group.leader = ids.into_iter().min();
        group.subscribed = group.find_subscribed();
        Some(group)
    }

    /// The record of a group whose members are about to join again: a start finds them so.
    pub fn unled_record(&self) -> GroupValue {
        GroupValue { leader: None, ..self.record(|_, member| member.assignment.clone()) }
    }

    /// Has everybody join again.
    pub fn begin_anew(&mut self, now: i64, effects: &mut Effects) {
        self.prepare_rebalance(now, effects);
    }
}
