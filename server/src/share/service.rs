//! Share groups, for the handlers of a shard: the stored states, the share partitions that are served, and
//! the sessions of this shard's connections.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use strandline_engine::Local;
use strandline_engine::config::SettingsSnapshot;
use strandline_engine::types::PartitionId;

use super::coordinator::{CoordinatorSettings, ShareKey};
use super::leaders::{Queues, ShareLeaders};
use super::sessions::{Connection, Count, Opened, SessionError, Sessions, Wanted};
use super::settings::{Remembered, ShareGroupConfig, ShareSettings};
use super::states::ShareStates;
use super::topic::state_topic;
use crate::config::BrokerConfig;

/// What share groups are served by, of the broker as a whole.
#[derive(Clone)]
pub struct Shares {
    /// What is stored of share partitions.
    pub states: ShareStates,
    /// The share partitions that are served.
    pub leaders: ShareLeaders,
    count: Count,
}

/// The same for the handlers of a shard.
pub struct ShardShares {
    /// Of the broker as a whole.
    pub shares: Shares,
    sessions: RefCell<Sessions>,
    remembered: Remembered,
}

impl Shares {
    /// Share groups on so many shards; [`Shares::run`] brings each to life.
    pub fn new(settings: &ShareSettings, shards: usize) -> Shares {
        let topic = state_topic(settings.topic_partitions, settings.topic_segment_bytes);
        let of_coordinators = CoordinatorSettings { updates_max: settings.updates_max };
        Shares {
            states: ShareStates::on(topic, of_coordinators, shards),
            leaders: ShareLeaders::new(shards),
            count: Count::new(settings.sessions_max),
        }
    }

    /// Serves the share partitions of a shard, until it is dropped.
    pub async fn run(self, shard: Local, config: Arc<BrokerConfig>) {
        let states = self.states.clone().run(shard.clone());
        let (remembered, of_shard) = (Remembered::default(), shard.clone());
        let queues: Queues =
            Rc::new(move |group| remembered.get(&config, &of_shard.settings(), group).dead_letters);
        let leaders = self.leaders.clone().run(shard, self.states, queues);
        futures_util::future::join(states, leaders).await;
    }

    /// The same for the handlers of a shard.
    pub fn on_shard(&self, shard: &Local) -> Rc<ShardShares> {
        let sessions = Sessions::new(self.count.clone(), shard.index(), shard.shards());
        let (sessions, remembered) = (RefCell::new(sessions), Remembered::default());
        Rc::new(ShardShares { shares: self.clone(), sessions, remembered })
    }
}

impl ShardShares {
    /// What holds of the records of a group.
    pub fn config(
        &self,
        config: &BrokerConfig,
        in_force: &SettingsSnapshot,
        group: &str,
    ) -> ShareGroupConfig {
        self.remembered.get(config, in_force, group)
    }

    /// The session that a request belongs to; see [`Sessions::find`]. What a session before it had is
    /// released.
    ///
    /// # Errors
    /// Why it has none.
    pub async fn session(
        &self,
        connection: &Connection,
        (group, member): (&str, &str),
        wanted: Wanted,
    ) -> Result<Opened, SessionError> {
        let (opened, before) = self.sessions.borrow_mut().find(connection, group, member, wanted)?;
        if let Some((group, before)) = before {
            self.release(&group, before).await;
        }
        Ok(opened)
    }

    /// Ends a member's session, and releases what it has.
    pub async fn end_session(&self, group: &str, member: &str) {
        let ended = self.sessions.borrow_mut().end(group, member);
        if let Some(ended) = ended {
            self.release(group, ended).await;
        }
    }

    /// A connection has ended: what its sessions have is released.
    pub async fn end_connection(&self, connection: &Connection) {
        let ended = self.sessions.borrow_mut().end_connection(connection);
        for (group, ended) in ended {
            self.release(&group, ended).await;
        }
    }

    async fn release(&self, group: &str, ended: Opened) {
        for (topic, partition) in ended.partitions {
            if let Ok(index) = u32::try_from(partition) {
                let key = ShareKey { group: group.to_owned(), topic, partition };
                self.shares.leaders.release(key, PartitionId::new(topic, index), ended.number).await;
            }
        }
    }
}
