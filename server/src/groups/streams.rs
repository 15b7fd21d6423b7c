//! Streams groups (KIP-1071): the threads of a Kafka Streams application, to which the broker gives tasks.
//!
//! ```text
//! group/heartbeat  what members ask and are told
//! group            who is in it, the epochs, the target assignment, time
//! member           how a member comes from what it has to what it shall have
//! topology         what the application reads, writes and keeps, as its members say
//! configured       the topology beside the topics that there are: its tasks, and what is missing
//! survey           the two of them, and who shall have what
//! assignor         who shall have which task, and who stands by
//! tasks            tasks by subtopology
//! ```

pub mod assignor;
pub mod configured;
pub mod group;
pub mod member;
pub mod survey;
pub mod tasks;
pub mod topology;

pub use configured::{InternalTopic, Status, StatusCode};
pub use group::{
    Endpoints, Ongoing, StreamsBeat, StreamsDescription, StreamsGroup, StreamsHeartbeat, StreamsSettings,
};
pub use tasks::{Roles, Tasks};
