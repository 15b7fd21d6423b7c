//! A group of either protocol, and what both have.

use strandline_protocol::wire::ErrorCode;

use super::consumer::ConsumerGroup;
use super::group::{ClassicGroup, State};
use super::member::Identity;
use super::offsets::Retention;
use super::subscription::CONSUMER;

/// A group.
pub(super) enum Kind {
    /// Its members share out the work.
    Classic(ClassicGroup),
    /// The broker does (KIP-848).
    Consumer(ConsumerGroup),
}

impl Kind {
    /// The name of the protocol.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Kind::Classic(_) => "classic",
            Kind::Consumer(_) => "consumer",
        }
    }

    /// The group, when it is of the classic protocol.
    pub(super) fn classic(&mut self) -> Option<&mut ClassicGroup> {
        match self {
            Kind::Classic(group) => Some(group),
            Kind::Consumer(_) => None,
        }
    }

    /// The group, when it is of the consumer protocol.
    pub(super) fn consumer(&mut self) -> Option<&mut ConsumerGroup> {
        match self {
            Kind::Classic(_) => None,
            Kind::Consumer(group) => Some(group),
        }
    }

    pub(super) fn state(&self) -> State {
        match self {
            Kind::Classic(group) => group.state(),
            Kind::Consumer(group) => group.state(),
        }
    }

    pub(super) fn protocol_type(&self) -> Option<&str> {
        match self {
            Kind::Classic(group) => group.protocol_type(),
            Kind::Consumer(_) => Some(CONSUMER),
        }
    }

    pub(super) fn size(&self) -> usize {
        match self {
            Kind::Classic(group) => group.size(),
            Kind::Consumer(group) => group.size(),
        }
    }

    /// Whether nothing is lost without it. A consumer group is in the log from its first member on.
    pub(super) fn is_blank(&self) -> bool {
        match self {
            Kind::Classic(group) => group.is_blank(),
            Kind::Consumer(_) => false,
        }
    }

    /// Whether nobody is in it or on the way.
    pub(super) fn is_idle(&self) -> bool {
        match self {
            Kind::Classic(group) => group.is_idle(),
            Kind::Consumer(group) => group.state() == State::Empty,
        }
    }

    pub(super) fn is_subscribed(&self, topic: &str) -> bool {
        match self {
            Kind::Classic(group) => group.is_subscribed(topic),
            Kind::Consumer(group) => group.is_subscribed(topic),
        }
    }

    pub(super) fn retention(&self) -> Retention {
        match self {
            Kind::Classic(group) => group.retention(),
            Kind::Consumer(_) => Retention::Commit,
        }
    }

    pub(super) fn wake_at(&self) -> i64 {
        match self {
            Kind::Classic(group) => group.wake_at(),
            Kind::Consumer(group) => group.wake_at(),
        }
    }

    pub(super) fn bury(&mut self) -> Result<(), ErrorCode> {
        match self {
            Kind::Classic(group) => group.bury(),
            Kind::Consumer(group) => group.bury(),
        }
    }

    pub(super) fn revive(&mut self) {
        match self {
            Kind::Classic(group) => group.revive(),
            Kind::Consumer(group) => group.revive(),
        }
    }

    pub(super) fn check_offset_delete(&self) -> Result<(), ErrorCode> {
        match self {
            Kind::Classic(group) => group.check_offset_delete(),
            Kind::Consumer(group) if group.state() == State::Dead => Err(ErrorCode::GroupIdNotFound),
            Kind::Consumer(_) => Ok(()),
        }
    }

    /// Whether offsets may be committed. `knows_epochs` says whether the client can be told of an epoch of
    /// before.
    pub(super) fn check_commit(
        &mut self,
        now: i64,
        identity: &Identity,
        is_transactional: bool,
        knows_epochs: bool,
    ) -> Result<(), ErrorCode> {
        match self {
            Kind::Classic(group) if is_transactional => group.commit_transactional(identity),
            Kind::Classic(group) => group.commit(now, identity),
            Kind::Consumer(group) => check_consumer_commit(group, identity, is_transactional, knows_epochs),
        }
    }
}

fn check_consumer_commit(
    group: &ConsumerGroup,
    identity: &Identity,
    is_transactional: bool,
    knows_epochs: bool,
) -> Result<(), ErrorCode> {
    let Identity { member_id, instance_id, generation } = identity;
    let is_nobody = *generation < 0 && member_id.is_empty() && instance_id.is_none();
    match group.state() {
        State::Dead => return Err(ErrorCode::CoordinatorNotAvailable),
        // Of who is no member, while there is none; a transaction need not say whose it is.
        State::Empty if *generation < 0 => return Ok(()),
        _ if is_transactional && is_nobody => return Ok(()),
        _ => {}
    }
    match group.check_epoch(member_id, *generation) {
        Ok(()) if !is_transactional && !knows_epochs => Err(ErrorCode::UnsupportedVersion),
        Err(ErrorCode::StaleMemberEpoch) if is_transactional => Err(ErrorCode::IllegalGeneration),
        checked => checked,
    }
}
