//! The broker as its handlers see it: the services of one shard, and the questions that all handlers ask of
//! them.
//!
//! Which topic is meant, and which partition of it, is asked here and nowhere else: it is the one place where
//! a broker says that a partition does not exist, that another broker leads it, or that the client expects
//! another epoch.

use std::rc::Rc;
use std::sync::Arc;

use strandline_engine::topics::Topic;
use strandline_engine::types::{LeaderEpoch, PartitionId, TopicId};
use strandline_engine::{Handle, Local};
use strandline_protocol::Uuid;
use strandline_protocol::wire::ErrorCode;

use crate::cluster::ClusterView;
use crate::config::BrokerConfig;
use crate::counters::RequestCounters;
use crate::groups::Groups;
use crate::room::Room;

/// The broker as a handler on one shard sees it.
pub struct Broker {
    /// The records, and the topics there are, from this shard's thread.
    pub shard: Local,
    /// The engine as a whole: what creates, changes or counts.
    pub engine: Handle,
    /// Who the brokers are, and who leads what.
    pub cluster: Rc<ClusterView>,
    /// The settings.
    pub config: Arc<BrokerConfig>,
    /// The coordinators of groups.
    pub groups: Groups,
    /// What this shard counts.
    pub requests: RequestCounters,
    /// The memory for long answers.
    pub room: Rc<Room>,
}

/// How a request says which topic it means.
#[derive(Clone, Copy, Debug)]
pub enum TopicKey<'a> {
    /// By its name.
    Name(&'a str),
    /// By its id.
    Id(Uuid),
}

/// The id of a topic, as it travels.
pub fn uuid_of(topic: TopicId) -> Uuid {
    Uuid::from_bytes(topic.to_bytes())
}

/// The topic with an id that came over the wire.
fn topic_id_of(id: Uuid) -> TopicId {
    TopicId::from_bytes(id.into_bytes())
}

/// A partition that this broker leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Led {
    /// The partition.
    pub id: PartitionId,
    /// The epoch in which this broker leads it.
    pub epoch: LeaderEpoch,
}

impl Broker {
    /// The topic that is meant.
    ///
    /// # Errors
    /// UNKNOWN_TOPIC_ID or UNKNOWN_TOPIC_OR_PARTITION.
    pub fn topic(&self, key: TopicKey<'_>) -> Result<Arc<Topic>, ErrorCode> {
        let topics = self.shard.topics();
        let found = match key {
            TopicKey::Name(name) => topics.by_name(name).ok_or(ErrorCode::UnknownTopicOrPartition),
            TopicKey::Id(id) => topics.by_id(topic_id_of(id)).ok_or(ErrorCode::UnknownTopicId),
        };
        found.cloned()
    }

    /// The partition that is meant, when this broker leads it, and in the epoch that the client expects; -1
    /// is a client that expects none.
    ///
    /// # Errors
    /// UNKNOWN_TOPIC_OR_PARTITION, NOT_LEADER_OR_FOLLOWER, FENCED_LEADER_EPOCH, UNKNOWN_LEADER_EPOCH; looked
    /// for in this order.
    pub fn partition(&self, topic: &Topic, index: i32, expected_epoch: i32) -> Result<Led, ErrorCode> {
        let id = topic.partition(index).ok_or(ErrorCode::UnknownTopicOrPartition)?;
        let epoch = self.cluster.led_here(id).ok_or(ErrorCode::NotLeaderOrFollower)?;
        check_epoch(expected_epoch, epoch)?;
        Ok(Led { id, epoch })
    }
}

/// The epoch of a client that expects none.
pub const ANY_EPOCH: i32 = -1;

/// Compares the epoch that a client expects with ours: with a lower one the client has missed an election,
/// with a higher one this broker has.
fn check_epoch(expected: i32, ours: LeaderEpoch) -> Result<(), ErrorCode> {
    match expected {
        ..0 => Ok(()),
        _ if expected < ours.0 => Err(ErrorCode::FencedLeaderEpoch),
        _ if expected > ours.0 => Err(ErrorCode::UnknownLeaderEpoch),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_epoch_is_fenced_and_a_newer_one_is_unknown() {
        let ours = LeaderEpoch(3);
        assert_eq!(check_epoch(ANY_EPOCH, ours), Ok(()));
        assert_eq!(check_epoch(3, ours), Ok(()));
        assert_eq!(check_epoch(2, ours), Err(ErrorCode::FencedLeaderEpoch));
        assert_eq!(check_epoch(4, ours), Err(ErrorCode::UnknownLeaderEpoch));
    }
}
