//! The messages of the Kafka protocol, one file an API, and how they become frames.
//!
//! ```text
//! frame     i32 size | header | body
//! request   i16 key | i16 version | i32 correlation id | nullable string client id | [tagged fields]
//! response  i32 correlation id | [tagged fields]
//! ```
//!
//! A file reads like the schema that it is (see [`crate::wire::message`]); names of structs and fields are
//! Kafka's. Produce requests and Fetch responses carry record data and are written by hand, so that no record
//! is ever copied: a Produce request gives its records as parts of the frame, a Fetch response leaves gaps
//! for the sender to fill.
//!
//! | | broker | client |
//! |---|---|---|
//! | request | [`RequestHeader::decode`], then [`decode_request`] of the rest | [`encode_request`] |
//! | response | [`encode_response`] | [`decode_response`] |
//! | Produce request | [`ProduceRequest::decode`] | [`encode_request`] |
//! | Fetch response | [`FetchResponse::encode`] | [`FetchResponse::decode`] |
//!
//! Frames are given with their size and taken without it. To add an API, add its file and its line here.

mod add_offsets_to_txn;
mod add_partitions_to_txn;
mod alter_client_quotas;
mod alter_configs;
mod alter_partition_reassignments;
mod alter_replica_log_dirs;
mod alter_share_group_offsets;
mod alter_user_scram_credentials;
mod api_versions;
mod consumer_group_describe;
mod consumer_group_heartbeat;
mod consumer_protocol;
mod create_acls;
mod create_delegation_token;
mod create_partitions;
mod create_topics;
mod current_leader;
mod delete_acls;
mod delete_groups;
mod delete_records;
mod delete_share_group_offsets;
mod delete_topics;
mod describe_acls;
mod describe_client_quotas;
mod describe_cluster;
mod describe_configs;
mod describe_delegation_token;
mod describe_groups;
mod describe_log_dirs;
mod describe_producers;
mod describe_quorum;
mod describe_share_group_offsets;
mod describe_topic_partitions;
mod describe_transactions;
mod describe_user_scram_credentials;
mod elect_leaders;
mod end_txn;
mod expire_delegation_token;
mod fetch;
mod find_coordinator;
mod header;
mod heartbeat;
mod incremental_alter_configs;
mod init_producer_id;
mod join_group;
mod leave_group;
mod list_config_resources;
mod list_groups;
mod list_offsets;
mod list_partition_reassignments;
mod list_transactions;
mod metadata;
mod offset_commit;
mod offset_delete;
mod offset_fetch;
mod offset_for_leader_epoch;
mod produce;
mod renew_delegation_token;
mod sasl_authenticate;
mod sasl_handshake;
mod share_acknowledge;
mod share_fetch;
mod share_group_describe;
mod share_group_heartbeat;
mod streams_group_describe;
mod streams_group_heartbeat;
mod sync_group;
mod txn_offset_commit;
mod unregister_broker;
mod update_features;
mod write_txn_markers;

pub use add_offsets_to_txn::*;
pub use add_partitions_to_txn::*;
pub use alter_client_quotas::*;
pub use alter_configs::*;
pub use alter_partition_reassignments::*;
pub use alter_replica_log_dirs::*;
pub use alter_share_group_offsets::*;
pub use alter_user_scram_credentials::*;
pub use api_versions::*;
pub use consumer_group_describe::*;
pub use consumer_group_heartbeat::*;
pub use consumer_protocol::*;
pub use create_acls::*;
pub use create_delegation_token::*;
pub use create_partitions::*;
pub use create_topics::*;
pub use current_leader::*;
pub use delete_acls::*;
pub use delete_groups::*;
pub use delete_records::*;
pub use delete_share_group_offsets::*;
pub use delete_topics::*;
pub use describe_acls::*;
pub use describe_client_quotas::*;
pub use describe_cluster::*;
pub use describe_configs::*;
pub use describe_delegation_token::*;
pub use describe_groups::*;
pub use describe_log_dirs::*;
pub use describe_producers::*;
pub use describe_quorum::*;
pub use describe_share_group_offsets::*;
pub use describe_topic_partitions::*;
pub use describe_transactions::*;
pub use describe_user_scram_credentials::*;
pub use elect_leaders::*;
pub use end_txn::*;
pub use expire_delegation_token::*;
pub use fetch::*;
pub use find_coordinator::*;
pub use header::{
    RequestHeader, decode_request, decode_response, encode_request, encode_response, finish_frame,
    response_head, set_size,
};
pub use heartbeat::*;
pub use incremental_alter_configs::*;
pub use init_producer_id::*;
pub use join_group::*;
pub use leave_group::*;
pub use list_config_resources::*;
pub use list_groups::*;
pub use list_offsets::*;
pub use list_partition_reassignments::*;
pub use list_transactions::*;
pub use metadata::*;
pub use offset_commit::*;
pub use offset_delete::*;
pub use offset_fetch::*;
pub use offset_for_leader_epoch::*;
pub use produce::*;
pub use renew_delegation_token::*;
pub use sasl_authenticate::*;
pub use sasl_handshake::*;
pub use share_acknowledge::*;
pub use share_fetch::*;
pub use share_group_describe::*;
pub use share_group_heartbeat::*;
pub use streams_group_describe::*;
pub use streams_group_heartbeat::*;
pub use sync_group::*;
pub use txn_offset_commit::*;
pub use unregister_broker::*;
pub use update_features::*;
pub use write_txn_markers::*;

use crate::wire::Message;

/// A request, and what it is answered with.
pub trait Request: Message {
    /// The answer, in the same version.
    type Response: Message;
}
