//! What a call to a group leads to: answers, and states that are to be made durable.

use strandline_protocol::wire::ErrorCode;

use crate::groups::member::{Joined, Member, Synced, Ticket};
use crate::groups::records::GroupValue;

/// Names something that a group wants to be durable.
pub type StoreId = u64;

/// What a call to a [`ClassicGroup`](super::ClassicGroup) leads to.
#[derive(Debug, Default)]
pub struct Effects {
    /// Joins that are answered now.
    pub joined: Vec<(Ticket, Joined)>,
    /// Syncs that are answered now.
    pub synced: Vec<(Ticket, Synced)>,
    /// What is to be made durable, in this order; [`ClassicGroup::stored`](super::ClassicGroup::stored) wants
    /// to know the outcome.
    pub stores: Vec<Store>,
}

/// A state of the group for the log.
#[derive(Clone, Debug)]
pub struct Store {
    /// For [`ClassicGroup::stored`](super::ClassicGroup::stored).
    pub id: StoreId,
    /// The group.
    pub value: GroupValue,
}

impl Effects {
    /// Answers what a member waits for.
    pub(super) fn refuse(&mut self, member: &mut Member, error: ErrorCode, told_id: &str) {
        if let Some(ticket) = member.joining.take() {
            self.joined.push((ticket, Joined::refused(error, told_id)));
        }
        if let Some(ticket) = member.syncing.take() {
            self.synced.push((ticket, Synced::refused(error)));
        }
    }
}
