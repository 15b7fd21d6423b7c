//! Share groups (KIP-932): records of a partition that several members take, each of them its own, and say of
//! each what became of it.
//!
//! ```text
//! api/share_fetch, share_acknowledge
//!   |  sessions     which partitions a member fetches from, by its connection
//!   v
//! leaders           beside the log of each partition, on its shard: who has which record
//!   |  partition    the rules of one share partition    (pure)
//!   v
//! states            one hop to the coordinator of the share partition
//!   |  coordinator  the machine of one partition
//!   v
//! records  >  __share_group_state, partition hash(group, topic id, partition) mod 50  >  the engine
//! ```
//!
//! What a group can do nothing with goes from `leaders` to its dead letter queue, where it has one
//! (`dead_letters`).
//!
//! Who is in a share group, and fetches from where, is in `groups::share`. What becomes of a record is
//! durable before its acknowledgement is answered (D9): it never comes back, whatever crashes. What
//! nobody has acknowledged is given out again when its lock has expired, its member's session has ended,
//! or the broker has started anew.

mod asked;
mod batches;
mod coordinator;
#[cfg(test)]
mod crash;
mod dead_letters;
mod leaders;
mod log;
mod partition;
mod records;
mod service;
mod sessions;
mod settings;
mod spans;
mod state;
mod states;
mod topic;
mod version;

pub use asked::Asked;
pub use batches::{Archive, ReadBatch, ReadBatches};
pub use coordinator::{Replaces, ShareKey, StateVersion, Summary};
pub use dead_letters::{DeadLetterQueue, LetterCounts};
pub use leaders::{Found, Looked, NextFetch, ShareLeaders, Turn, TurnNumber, Wait};
pub use log::ShareLog;
pub use partition::{Acknowledgement, Acquired, Kind, Limits, Want};
#[cfg(any(test, feature = "testing"))]
pub(crate) use records::Change;
pub use service::{ShardShares, Shares};
pub use sessions::{Connection, ENDS, OPENS, Opened, SessionError, Wanted};
pub use settings::{ShareGroupConfig, ShareSettings};
pub use states::ShareStates;
pub use topic::STATE_TOPIC;
pub use version::{SHARE_VERSION, share_version};
