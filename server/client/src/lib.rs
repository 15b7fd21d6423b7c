//! A small blocking Kafka client over `std::net`: what the command line, the benchmark and the tests need,
//! against any broker since Kafka 0.11.
//!
//! ```text
//! cli > Client (metadata, admin, settings, offsets, groups, transactions, users, acls) > Connection (frames, versions) > Stream (a socket, or TLS over it)
//!     > Producer  one request a leader in flight, one batch a partition
//!     > Consumer  one fetch a leader in flight
//!     > GroupConsumer > Consumer, of the partitions that the group gives it
//! ```
//!
//! * Every connection of a client begins with ApiVersions; a request goes out in the highest version that
//!   both sides have. A bare [`Connection`] may do without, and say any version.
//! * A [`Client`] has one control connection, to whichever broker answers; a [`Producer`] and a [`Consumer`]
//!   dial the leaders themselves, a [`GroupConsumer`] its group's coordinator. No connection is ever shared,
//!   so an answer belongs to the question that its owner asked last.
//! * What may pass by itself (a leader that moves, a broker that restarts) is tried again until
//!   [`Limits::give_up_after`]; what will not is returned at once. A request that may have been carried out
//!   is repeated only where that does no harm.
//! * Memory is bounded: responses by [`RESPONSE_BYTES_MAX`], what a batch unpacks to by
//!   [`UNPACKED_BYTES_MAX`].
//!
//! How it connects, and as whom, is an [`Access`]. No transactional producer; groups in the classic protocol,
//! with the range assignor, of one topic a member.

mod access;
mod acls;
mod address;
mod admin;
mod assignor;
mod cluster;
mod code;
mod connection;
mod consumer;
mod group_consumer;
mod group_description;
mod groups;
mod jaas;
mod limits;
mod offsets;
mod partitioner;
mod producer;
mod retry;
mod sasl;
mod settings;
mod share_groups;
mod stream;
mod streams_groups;
#[cfg(test)]
mod tests;
mod transactions;
mod users;

pub use access::{Access, AccessError};
pub use address::{Address, AddressError, DEFAULT_PORT};
pub use admin::{AdminError, Subject, TopicSpec};
pub use cluster::{Client, MetadataError, Partition, Topic, Waiting};
pub use code::Code;
pub use connection::{ConnectError, Connection, RESPONSE_BYTES_MAX, RequestError};
pub use consumer::{ConsumeError, ConsumedRecord, Consumer, UNPACKED_BYTES_MAX};
pub use group_consumer::{GroupConsumeError, GroupConsumer};
pub use groups::{Group, GroupEpochs, GroupError, GroupOffsets, GroupSummary, Member, MemberTarget};
pub use jaas::{JaasEntry, JaasForm, jaas_entry};
pub use limits::Limits;
pub use offsets::{ListOffsetsError, Moment};
pub use partitioner::{murmur2, partition_of_key};
pub use producer::{Acks, NewRecord, ProduceError, Producer, ProducerOptions};
pub use sasl::NotProven;
pub use settings::{Setting, Source};
pub use share_groups::{ShareOffsets, ShareProgress};
pub use stream::Stream;
pub use streams_groups::{StreamsMember, StreamsTopology, Subtopology, Tasks, TasksByRole};
pub use transactions::{TransactionDescription, TransactionError, TransactionSummary};
pub use users::User;
