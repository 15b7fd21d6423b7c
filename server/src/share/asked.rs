//! Which share partition a request means, and what holds of it.

use strandline_engine::Isolation;
use strandline_engine::types::PartitionId;

use super::coordinator::ShareKey;
use super::partition::Limits;
use crate::config::Reset;

/// Which share partition is meant, and what holds of it.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The group and the partition.
    pub key: ShareKey,
    /// The partition.
    pub partition: PartitionId,
    /// The epoch in which this broker leads it.
    pub leader_epoch: i32,
    /// The settings of the group.
    pub limits: Limits,
    /// Whether the group is given records of transactions that are not committed.
    pub isolation: Isolation,
    /// Where it begins when it never did.
    pub reset: Reset,
}
