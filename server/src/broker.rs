//! The broker as its handlers see it: the services of one shard.

use std::rc::Rc;
use std::sync::Arc;

use strandline_engine::Local;

use crate::config::{BrokerConfig, HostPort};
use crate::counters::RequestCounters;
use crate::groups::Groups;
use crate::room::Room;

/// The broker as a handler on one shard sees it.
pub struct Broker {
    /// The engine.
    pub shard: Local,
    /// The settings.
    pub config: Arc<BrokerConfig>,
    /// Where clients are told to connect to.
    pub advertised: HostPort,
    /// The coordinators of groups.
    pub groups: Groups,
    /// What this shard counts.
    pub requests: RequestCounters,
    /// The memory for long answers.
    pub room: Rc<Room>,
}
