//! Consumer groups of the protocol of KIP-848: the broker says who has what.
//!
//! ```text
//! group/heartbeat  what members ask and are told
//! group            who is in it, the epochs, the target assignment, time
//! member           how a member comes from what it has to what it shall have
//! patterns         the topics of regular expressions
//! assignors        who shall have what
//! assignment       partitions by topic
//! ```

pub mod assignment;
pub mod assignors;
pub mod group;
pub mod member;
mod patterns;

pub use assignment::Assignment;
pub use assignors::Assignor;
pub use group::{Beat, ConsumerDescription, ConsumerGroup, ConsumerSettings, Heartbeat, Refusal};
