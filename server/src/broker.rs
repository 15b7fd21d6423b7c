//! The broker as its handlers see it: the services of one shard, and the questions that all handlers ask of
//! them.
//!
//! Which topic is meant, and which partition of it, is asked here and nowhere else: it is the one place where
//! a broker says that a partition does not exist, or that another broker leads it.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use strandline_engine::topics::Topic;
use strandline_engine::types::{PartitionId, TopicId};
use strandline_engine::{Handle, Local};
use strandline_protocol::Uuid;
use strandline_protocol::wire::ErrorCode;

use crate::authorization::Authorizer;
use crate::cluster::ClusterView;
use crate::config::BrokerConfig;
use crate::counters::RequestCounters;
use crate::groups::Groups;
use crate::jwks::TokenKeys;
use crate::net::Keys;
use crate::quotas::{Changed, QuotaKey, Quotas, Standing, Who};
use crate::room::Room;
use crate::session::Session;
use crate::share::ShardShares;
use crate::strangers::Strangers;
use crate::transactions::{Confirmed, Transactions};

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
    /// The keys of the listeners.
    pub keys: Arc<Keys>,
    /// The keys of the tokens that listeners take.
    pub tokens: TokenKeys,
    /// The coordinators of groups.
    pub groups: Groups,
    /// The coordinators of transactions.
    pub transactions: Transactions,
    /// What they have said of transactions that are open.
    pub confirmed: Confirmed,
    /// Share groups.
    pub shares: Rc<ShardShares>,
    /// Who decides what clients may do.
    pub authorizer: Authorizer,
    /// How much clients may use.
    pub quotas: Quotas,
    /// What this shard counts.
    pub requests: RequestCounters,
    /// The memory for long answers.
    pub room: Rc<Room>,
    /// The memory of clients that have not proven who they are.
    pub strangers: Strangers,
}

/// How a request says which topic it means.
#[derive(Clone, Copy, Debug)]
pub enum TopicKey<'a> {
    /// By its name.
    Name(&'a str),
    /// By its id.
    Id(Uuid),
}

fn who<'a>(session: &'a Session, standing: &'a Standing) -> Who<'a> {
    let client_id = session.client_id.as_deref().unwrap_or_default();
    Who { user: &session.principal.name, client_id, standing }
}

/// The id of a topic, as it travels.
pub fn uuid_of(topic: TopicId) -> Uuid {
    Uuid::from_bytes(topic.to_bytes())
}

/// The topic with an id that came over the wire.
fn topic_id_of(id: Uuid) -> TopicId {
    TopicId::from_bytes(id.into_bytes())
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

    /// Notes what a client has used of a quota; how long it has to be silent for it.
    pub fn used(&self, key: QuotaKey, session: &Session, standing: &Standing, amount: u64) -> Duration {
        self.quotas.used(&self.shard.settings().dynamic.quotas, key, who(session, standing), amount)
    }

    /// The same of what it does not get when it would be too much.
    pub fn would_use(&self, key: QuotaKey, session: &Session, standing: &Standing, bytes: u64) -> Duration {
        self.quotas.would_use(&self.shard.settings().dynamic.quotas, key, who(session, standing), bytes)
    }

    /// Whether anybody has such a quota.
    pub fn has_quota(&self, key: QuotaKey) -> bool {
        self.quotas.has(&self.shard.settings().dynamic.quotas, key)
    }

    /// Notes that a client changes so many partitions, unless it is held to its quota strictly and owes some.
    pub fn change(&self, session: &Session, standing: &Standing, partitions: u64, strictly: bool) -> Changed {
        let settings = self.shard.settings();
        self.quotas.change(&settings.dynamic.quotas, who(session, standing), partitions, strictly)
    }

    /// The most that a client gets of it at once, where there is a quota.
    pub fn quota_at_once(&self, key: QuotaKey, session: &Session, standing: &Standing) -> Option<u64> {
        self.quotas.most(&self.shard.settings().dynamic.quotas, key, who(session, standing))
    }

    /// The partition that is meant, when this broker leads it. Whether it does so in the epoch that a client
    /// expects is told by the shard that owns the partition, which serves it in the same step.
    ///
    /// # Errors
    /// UNKNOWN_TOPIC_OR_PARTITION, NOT_LEADER_OR_FOLLOWER; looked for in this order.
    pub fn partition(&self, topic: &Topic, index: i32) -> Result<PartitionId, ErrorCode> {
        let partition = topic.partition(index).ok_or(ErrorCode::UnknownTopicOrPartition)?;
        match self.cluster.leads(partition) {
            true => Ok(partition),
            false => Err(ErrorCode::NotLeaderOrFollower),
        }
    }
}
