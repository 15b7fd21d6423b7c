//! What the front needs of the broker.

use std::sync::Arc;
use std::time::Duration;

use strandline_engine::reactor::Chosen;
use strandline_engine::{Handle, RecoveryReport};

use crate::config::BrokerConfig;
use crate::groups::Groups;
use crate::in_process::InProcess;
use crate::jwks::TokenKeys;
use crate::net::{Keys, Seats};
use crate::quotas::Used;

/// A page that somebody else makes: metrics and health.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The status.
    pub status: u16,
    /// What it is.
    pub content_type: &'static str,
    /// The page.
    pub body: String,
}

/// Makes the page of a path. It may take its time.
pub type Pages = Arc<dyn Fn(&str) -> Page + Send + Sync>;

/// What the front needs of the broker.
#[derive(Clone)]
pub struct Surroundings {
    /// The settings.
    pub config: Arc<BrokerConfig>,
    /// The listener whose clients its clients are.
    pub listener: Arc<str>,
    /// The keys of listeners.
    pub keys: Arc<Keys>,
    /// The keys of tokens.
    pub tokens: TokenKeys,
    /// Who may be connected.
    pub seats: Arc<Seats>,
    /// What clients have used of their quotas.
    pub used: Used,
    /// The way to the shards.
    pub in_process: InProcess,
    /// What groups have committed.
    pub groups: Groups,
    /// Metrics and health.
    pub pages: Pages,
}

/// A broker that has recovered.
pub struct Started {
    /// The engine.
    pub engine: Handle,
    /// What recovery found, and how long it took.
    pub recovery: (RecoveryReport, Duration),
    /// What the shards' threads run on.
    pub reactor: Chosen,
}
