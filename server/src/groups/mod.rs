//! Consumer groups: who reads what, and how far they have come.
//!
//! ```text
//! api/join_group, ...  >  Groups (any shard)  --one hop-->  Coordinator of the shard that owns the group's partition
//!                                                             |  group    who is in it            (pure)
//!                                                             |  offsets  what was committed      (pure)
//!                                                             v
//!                                  records  >  __consumer_offsets, partition hash(group id) mod 50  >  the engine
//! ```
//!
//! A group belongs to one partition of the internal topic, and so to one shard, which keeps it in memory. What must survive is appended
//! there before it is acknowledged (D9), in Kafka's own format, and read again at the next start.

mod coordinator;
mod group;
mod load;
mod member;
mod offsets;
pub mod records;
mod service;
mod subscription;
#[cfg(test)]
mod tests;
mod topic;

pub use coordinator::{ByPartition, Coordinator, CoordinatorSettings, GroupReport, Listed, Reply, Within};
pub use group::{Description, Group, GroupSettings, State};
pub use member::{Identity, Join, Joined, JoinedMember, MemberDescription, Protocol, Sync, Synced};
pub use offsets::{Offsets, Retention};
pub use service::Groups;
pub use topic::{OFFSETS_TOPIC, is_internal};

/// Names a join or a sync whose answer may come later.
pub type Ticket = u64;

/// Names something that a group wants to be durable.
pub type StoreId = u64;

/// What a call to a [`Group`] leads to.
#[derive(Debug, Default)]
pub struct Effects {
    /// Joins that are answered now.
    pub joined: Vec<(Ticket, Joined)>,
    /// Syncs that are answered now.
    pub synced: Vec<(Ticket, Synced)>,
    /// What is to be made durable, in this order; [`Group::stored`] wants to know the outcome.
    pub stores: Vec<Store>,
}

/// A state of the group for the log.
#[derive(Clone, Debug)]
pub struct Store {
    /// For [`Group::stored`].
    pub id: StoreId,
    /// The group.
    pub value: records::GroupValue,
}
