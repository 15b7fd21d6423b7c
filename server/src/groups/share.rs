//! Share groups (KIP-932): whoever is in one fetches from the partitions that the broker says, beside others.
//! Who has which record is not known here, but where the partition's log is (`crate::share`).
//!
//! ```text
//! group/heartbeat  what members ask and are told
//! group            who is in it, the epochs, the target assignment, which partitions have a state, time
//! assignor         who shall fetch from where
//! ```

pub mod assignor;
pub mod group;

pub use group::{ShareBeat, ShareDescription, ShareGroup, ShareGroupSettings, ShareHeartbeat, Topics};
