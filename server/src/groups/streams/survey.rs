//! What a streams group comes to with the topics that there are: the topology beside them, whether that is
//! news, and who shall have what.
//!
//! It is a function of what the group was when it began, and may take long. It says how far it has come, and
//! others get the thread meanwhile ([`Pace`]). The group goes on, and takes in what was found when it is
//! found.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use strandline_engine::topics::TopicTable;

use super::assignor;
use super::configured::{Configured, configure};
use super::tasks::Roles;
use super::topology::Topology;
use crate::coordination::Pace;

/// A group at the moment that a survey begins.
pub struct Survey {
    /// The topics that there are.
    pub(super) topics: Arc<TopicTable>,
    /// What the application reads, writes and keeps.
    pub(super) topology: Rc<Topology>,
    /// What it came to when it was looked last.
    pub(super) configured: Option<Rc<Configured>>,
    /// Who they are, in the order of their ids.
    pub(super) members: Vec<assignor::Member>,
    /// How many stand by each task.
    pub(super) standbys: u32,
    /// The hash of the topics as they were.
    pub(super) hash: i64,
    /// Whether the epoch that the topology was valid in is another.
    pub(super) is_valid: bool,
    /// Whether tasks are to be shared out though the topics are the same.
    pub(super) must_assign: bool,
    /// Whether they may be by now.
    pub(super) may_assign: bool,
}

/// What a survey has found.
pub struct Found {
    /// The topics that there were.
    pub(super) topics: Arc<TopicTable>,
    /// Of the topics that the topology needs.
    pub(super) hash: i64,
    /// What it comes to.
    pub(super) configured: Rc<Configured>,
    /// What each member shall have, and whether that is something else than before; `None` when it is what
    /// it was, or is found out later.
    pub(super) targets: Option<BTreeMap<String, (Rc<Roles>, bool)>>,
}

impl Survey {
    /// Looks at all of it.
    pub async fn run(self, pace: Pace) -> Found {
        let hash = hash(&self.topology, &self.topics, &pace).await;
        let known = self.configured.filter(|_| hash == self.hash);
        let configured = match known {
            Some(known) => known,
            None => Rc::new(configure(&self.topology, &self.topics, &pace).await),
        };
        let is_news = hash != self.hash || configured.is_ready() != self.is_valid;
        let targets = match self.may_assign && (self.must_assign || is_news) {
            true => Some(share_out(&configured, self.members, self.standbys, &pace).await),
            false => None,
        };
        Found { topics: self.topics, hash, configured, targets }
    }
}

/// Shares the tasks out; while something is in the way there are none.
async fn share_out(
    configured: &Configured,
    members: Vec<assignor::Member>,
    standbys: u32,
    pace: &Pace,
) -> BTreeMap<String, (Rc<Roles>, bool)> {
    let parts = if configured.is_ready() { configured.parts.clone() } else { Vec::new() };
    let group = assignor::Group { parts, members, standbys };
    let given = assignor::assign(&group, pace).await;
    let mut targets = BTreeMap::new();
    for (member, roles) in group.members.into_iter().zip(given) {
        pace.step(1 + roles.len() / 4).await;
        let target = match roles == *member.before {
            true => (member.before, false),
            false => (Rc::new(roles), true),
        };
        targets.insert(member.id, target);
    }
    targets
}

/// Tells one state of the topology's topics from another: their names, ids and numbers of partitions (FNV-1a,
/// which is the same after a start). 0 when there is none.
async fn hash(topology: &Topology, topics: &TopicTable, pace: &Pace) -> i64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut is_any = false;
    let mut take = |bytes: &[u8]| {
        for byte in bytes {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    };
    let names = topology.topics();
    pace.step(1 + names.len()).await;
    for name in names {
        let Some(topic) = topics.by_name(name) else { continue };
        is_any = true;
        take(name.as_bytes());
        take(&topic.id.to_bytes());
        take(&topic.partitions.to_be_bytes());
        pace.step(2).await;
    }
    if is_any { hash as i64 } else { 0 }
}
