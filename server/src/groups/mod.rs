//! Consumer groups: who reads what, and how far they have come.
//!
//! ```text
//! api/join_group, ...  >  Groups (any shard)  >  coordination: one hop to the coordinator of the group's partition
//!                                                             |  coordinator  the machine of one partition
//!                                                             |  group        who is in a group     (pure)
//!                                                             |  offsets      what was committed    (pure)
//!                                                             |  pending      what transactions will commit    (pure)
//!                                                             v
//!                                  records  >  __consumer_offsets, partition hash(group id) mod 50  >  the engine
//! ```
//!
//! There are four protocols: the classic one ([`ClassicGroup`]), in which members share out the work, that of
//! KIP-848 ([`consumer`]), in which the broker does, that of share groups ([`share`]), whose members take
//! records of the same partitions, and that of streams groups ([`streams`]), in which the broker gives out
//! the tasks of an application.
//!
//! A group belongs to one partition of the internal topic, and so to one shard, which keeps it in memory.
//! What must survive is appended there before it is acknowledged (D9), in Kafka's own format, and read again
//! at the next start. How that is done is `coordination`'s.

pub mod consumer;
mod coordinator;
#[cfg(test)]
pub(crate) mod crash;
mod group;
mod kind;
mod member;
mod migration;
mod offsets;
mod pending;
pub mod records;
mod removed;
mod service;
mod settings;
pub mod share;
pub mod streams;
mod subscription;
#[cfg(test)]
mod tests;
mod topic;

pub use coordinator::{
    ByPartition, Commit, Conversion, CoordinatorSettings, Fetch, Fetched, GroupCoordinator, GroupReport,
    Left, Listed, Then, Within,
};
pub use group::{ClassicGroup, Description, Effects, GroupSettings, State, Store, StoreId};
pub use member::{Identity, Join, Joined, JoinedMember, MemberDescription, Protocol, Sync, Synced, Ticket};
pub use migration::MigrationPolicy;
pub use offsets::{Committed, Offsets, Retention};
pub use pending::Pending;
pub use service::Groups;
pub use topic::{OFFSETS_TOPIC, is_internal};
