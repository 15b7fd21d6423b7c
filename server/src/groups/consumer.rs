//! Consumer groups of the protocol of KIP-848: the broker says who has what.
//!
//! ```text
//! group/heartbeat  what members ask and are told
//! group/classic    what members ask that speak the classic protocol (online migration)
//! embedded         what those say in the bytes of their protocol
//! group            who is in it, the epochs, the target assignment, time
//! member           how a member comes from what it has to what it shall have
//! named            the names that members give
//! patterns         regular expressions
//! survey           which topics there are for whom, and whether that is news
//! assignors        who shall have what
//! assignment       partitions by topic
//! ```

pub mod assignment;
pub mod assignors;
pub mod embedded;
pub mod group;
pub mod member;
mod named;
mod patterns;
pub mod survey;

pub use assignment::Assignment;
pub use assignors::Assignor;
pub use group::{Beat, ConsumerDescription, ConsumerGroup, ConsumerSettings, Heartbeat, Moved, Ongoing};
