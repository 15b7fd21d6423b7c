//! A group of either protocol, and what both have.

use std::collections::HashSet;

use strandline_engine::types::TopicId;
use strandline_protocol::wire::ErrorCode;

use super::consumer::ConsumerGroup;
use super::group::{ClassicGroup, State};
use super::member::Identity;
use super::offsets::Retention;
use super::records::{Change, GroupKey};
use super::share::ShareGroup;
use super::streams::StreamsGroup;
use super::subscription::CONSUMER;

/// A group.
pub(super) enum Kind {
    /// Its members share out the work.
    Classic(ClassicGroup),
    /// The broker does (KIP-848).
    Consumer(ConsumerGroup),
    /// Its members share partitions (KIP-932).
    Share(ShareGroup),
    /// The broker gives out the tasks of an application (KIP-1071).
    Streams(StreamsGroup),
}

/// The protocol type of share groups.
const SHARE: &str = "share";

/// The protocol type of streams groups.
const STREAMS: &str = "streams";

impl Kind {
    /// The name of the protocol.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Kind::Classic(_) => "classic",
            Kind::Consumer(_) => "consumer",
            Kind::Share(_) => SHARE,
            Kind::Streams(_) => STREAMS,
        }
    }

    /// The group, when it is of the classic protocol.
    pub(super) fn classic(&mut self) -> Option<&mut ClassicGroup> {
        match self {
            Kind::Classic(group) => Some(group),
            Kind::Consumer(_) | Kind::Share(_) | Kind::Streams(_) => None,
        }
    }

    /// The group, when it is of the consumer protocol.
    pub(super) fn consumer(&mut self) -> Option<&mut ConsumerGroup> {
        match self {
            Kind::Consumer(group) => Some(group),
            Kind::Classic(_) | Kind::Share(_) | Kind::Streams(_) => None,
        }
    }

    pub(super) fn state(&self) -> State {
        match self {
            Kind::Classic(group) => group.state(),
            Kind::Consumer(group) => group.state(),
            Kind::Share(group) => group.state(),
            Kind::Streams(group) => group.state(),
        }
    }

    pub(super) fn protocol_type(&self) -> Option<&str> {
        match self {
            Kind::Classic(group) => group.protocol_type(),
            Kind::Consumer(_) => Some(CONSUMER),
            Kind::Share(_) => Some(SHARE),
            Kind::Streams(_) => Some(STREAMS),
        }
    }

    pub(super) fn size(&self) -> usize {
        match self {
            Kind::Classic(group) => group.size(),
            Kind::Consumer(group) => group.size(),
            Kind::Share(group) => group.size(),
            Kind::Streams(group) => group.size(),
        }
    }

    /// Whether nothing is lost without it. What is not classic is in the log from its first member on.
    pub(super) fn is_blank(&self) -> bool {
        match self {
            Kind::Classic(group) => group.is_blank(),
            Kind::Consumer(_) | Kind::Share(_) | Kind::Streams(_) => false,
        }
    }

    /// Whether nobody is in it or on the way, and it may go. A share group stays until it is deleted, as in
    /// Kafka: it has come somewhere.
    pub(super) fn is_idle(&self) -> bool {
        match self {
            Kind::Classic(group) => group.is_idle(),
            Kind::Consumer(group) => group.state() == State::Empty,
            Kind::Streams(group) => group.state() == State::Empty,
            Kind::Share(_) => false,
        }
    }

    /// Whether a consumer group may take its place: nobody is in it. An id that was given out, and that
    /// nobody has come with yet, is good there as well.
    pub(super) fn is_vacant(&self) -> bool {
        match self {
            Kind::Classic(group) => group.size() == 0 && group.state() != State::Dead,
            Kind::Consumer(_) | Kind::Share(_) | Kind::Streams(_) => self.is_idle(),
        }
    }

    /// Which of these topics somebody in the group reads.
    pub(super) fn subscribed<'a>(&self, topics: &[&'a str]) -> HashSet<&'a str> {
        let is_subscribed: &dyn Fn(&str) -> bool = match self {
            Kind::Consumer(group) => return group.subscribed(topics),
            Kind::Classic(group) => &|topic| group.is_subscribed(topic),
            Kind::Share(group) => &|topic| group.is_subscribed(topic),
            Kind::Streams(group) => &|topic| group.is_subscribed(topic),
        };
        topics.iter().copied().filter(|topic| is_subscribed(topic)).collect()
    }

    pub(super) fn retention(&self) -> Retention {
        match self {
            Kind::Classic(group) => group.retention(),
            Kind::Consumer(_) | Kind::Share(_) | Kind::Streams(_) => Retention::Commit,
        }
    }

    pub(super) fn wake_at(&self) -> i64 {
        match self {
            Kind::Classic(group) => group.wake_at(),
            Kind::Consumer(group) => group.wake_at(),
            Kind::Share(group) => group.wake_at(),
            Kind::Streams(group) => group.wake_at(),
        }
    }

    /// What the log is told when the group is gone.
    pub(super) fn tombstones(&self, id: &str) -> Vec<Change> {
        match self {
            Kind::Classic(_) => vec![Change::Group(GroupKey { group: id.to_owned() }, None)],
            Kind::Consumer(group) => group.tombstones().into_iter().map(Change::Consumer).collect(),
            Kind::Share(group) => group.tombstones().into_iter().map(Change::Share).collect(),
            Kind::Streams(group) => group.tombstones().into_iter().map(Change::Streams).collect(),
        }
    }

    pub(super) fn bury(&mut self) -> Result<(), ErrorCode> {
        match self {
            Kind::Classic(group) => group.bury(),
            Kind::Consumer(group) => group.bury(),
            Kind::Share(group) => group.bury(),
            Kind::Streams(group) => group.bury(),
        }
    }

    pub(super) fn revive(&mut self) {
        match self {
            Kind::Classic(group) => group.revive(),
            Kind::Consumer(group) => group.revive(),
            Kind::Share(group) => group.revive(),
            Kind::Streams(group) => group.revive(),
        }
    }

    pub(super) fn check_offset_delete(&self) -> Result<(), ErrorCode> {
        match self {
            Kind::Classic(group) => group.check_offset_delete(),
            Kind::Consumer(group) if group.state() == State::Dead => Err(ErrorCode::GroupIdNotFound),
            Kind::Streams(group) if group.state() == State::Dead => Err(ErrorCode::GroupIdNotFound),
            // It commits none.
            Kind::Share(_) => Err(ErrorCode::GroupIdNotFound),
            Kind::Consumer(_) | Kind::Streams(_) => Ok(()),
        }
    }

    /// Whether offsets of these partitions may be committed. `knows_epochs` says whether the client can be
    /// told of an epoch of before.
    pub(super) fn check_commit<'a>(
        &mut self,
        now: i64,
        identity: &Identity,
        partitions: impl Iterator<Item = (&'a str, Option<TopicId>, i32)>,
        is_transactional: bool,
        knows_epochs: bool,
    ) -> Result<(), ErrorCode> {
        match self {
            Kind::Classic(group) if is_transactional => group.commit_transactional(identity),
            Kind::Classic(group) => group.commit(now, identity),
            Kind::Consumer(group) => {
                let partitions = partitions.map(|(_, topic, partition)| (topic, partition));
                let check = |id: &str, epoch| group.check_commit(id, epoch, partitions);
                let knows_epochs = knows_epochs || group.is_classic(&identity.member_id);
                check_epoch_commit(group.state(), check, identity, is_transactional, knows_epochs)
            }
            Kind::Streams(group) => {
                let partitions = partitions.map(|(topic, _, partition)| (topic, partition));
                let check = |id: &str, epoch| group.check_commit(id, epoch, partitions);
                check_epoch_commit(group.state(), check, identity, is_transactional, knows_epochs)
            }
            Kind::Share(_) => Err(ErrorCode::GroupIdNotFound),
        }
    }
}

/// In a group whose members have epochs, of which `check` knows.
fn check_epoch_commit(
    state: State,
    check: impl FnOnce(&str, i32) -> Result<(), ErrorCode>,
    identity: &Identity,
    is_transactional: bool,
    knows_epochs: bool,
) -> Result<(), ErrorCode> {
    let Identity { member_id, instance_id, generation } = identity;
    let is_nobody = *generation < 0 && member_id.is_empty() && instance_id.is_none();
    match state {
        State::Dead => return Err(ErrorCode::CoordinatorNotAvailable),
        // Of who is no member, while there is none; a transaction need not say whose it is.
        State::Empty if *generation < 0 => return Ok(()),
        _ if is_transactional && is_nobody => return Ok(()),
        _ => {}
    }
    match check(member_id, *generation) {
        Ok(()) if !is_transactional && !knows_epochs => Err(ErrorCode::UnsupportedVersion),
        Err(ErrorCode::StaleMemberEpoch) if is_transactional => Err(ErrorCode::IllegalGeneration),
        checked => checked,
    }
}
