//! The messages of the Kafka protocol, one file an API, and how they become frames.
//!
//! ```text
//! frame     i32 size | header | body
//! request   i16 key | i16 version | i32 correlation id | nullable string client id | [tagged fields]
//! response  i32 correlation id | [tagged fields]
//! ```
//!
//! A file reads like the schema that it is (see [`crate::wire::message`]); names of structs and fields are Kafka's.
//! Produce requests and Fetch responses carry record data and are written by hand, so that no record is ever copied: a
//! Produce request gives its records as parts of the frame, a Fetch response leaves gaps for the sender to fill.
//!
//! | | broker | client |
//! |---|---|---|
//! | request | [`RequestHeader::decode`], then [`decode_request`] of the rest | [`encode_request`] |
//! | response | [`encode_response`] | [`decode_response`] |
//! | Produce request | [`ProduceRequest::decode`] | [`encode_request`] |
//! | Fetch response | [`FetchResponse::encode`] | [`FetchResponse::decode`] |
//!
//! Frames are given with their size and taken without it. To add an API, add its file and its line here.

mod alter_configs;
mod api_key;
mod api_versions;
mod consumer_protocol;
mod create_partitions;
mod create_topics;
mod current_leader;
mod delete_groups;
mod delete_records;
mod delete_topics;
mod describe_cluster;
mod describe_configs;
mod describe_groups;
mod describe_log_dirs;
mod describe_topic_partitions;
mod fetch;
mod find_coordinator;
mod header;
mod heartbeat;
mod incremental_alter_configs;
mod init_producer_id;
mod join_group;
mod leave_group;
mod list_groups;
mod list_offsets;
mod list_partition_reassignments;
mod metadata;
mod offset_commit;
mod offset_delete;
mod offset_fetch;
mod offset_for_leader_epoch;
mod produce;
mod sync_group;

pub use alter_configs::*;
pub use api_key::ApiKey;
pub use api_versions::*;
pub use consumer_protocol::*;
pub use create_partitions::*;
pub use create_topics::*;
pub use current_leader::*;
pub use delete_groups::*;
pub use delete_records::*;
pub use delete_topics::*;
pub use describe_cluster::*;
pub use describe_configs::*;
pub use describe_groups::*;
pub use describe_log_dirs::*;
pub use describe_topic_partitions::*;
pub use fetch::*;
pub use find_coordinator::*;
pub use header::{RequestHeader, decode_request, decode_response, encode_request, encode_response};
pub use heartbeat::*;
pub use incremental_alter_configs::*;
pub use init_producer_id::*;
pub use join_group::*;
pub use leave_group::*;
pub use list_groups::*;
pub use list_offsets::*;
pub use list_partition_reassignments::*;
pub use metadata::*;
pub use offset_commit::*;
pub use offset_delete::*;
pub use offset_fetch::*;
pub use offset_for_leader_epoch::*;
pub use produce::*;
pub use sync_group::*;

use crate::wire::Message;

/// A request, and what it is answered with.
pub trait Request: Message {
    /// The answer, in the same version.
    type Response: Message;
}
