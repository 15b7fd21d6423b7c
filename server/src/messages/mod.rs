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

mod api_key;
mod api_versions;
mod create_topics;
mod current_leader;
mod delete_topics;
mod describe_cluster;
mod describe_configs;
mod fetch;
mod header;
mod init_producer_id;
mod list_offsets;
mod metadata;
mod produce;

pub use api_key::ApiKey;
pub use api_versions::*;
pub use create_topics::*;
pub use current_leader::*;
pub use delete_topics::*;
pub use describe_cluster::*;
pub use describe_configs::*;
pub use fetch::*;
pub use header::{RequestHeader, decode_request, decode_response, encode_request, encode_response};
pub use init_producer_id::*;
pub use list_offsets::*;
pub use metadata::*;
pub use produce::*;

use crate::wire::Message;

/// A request, and what it is answered with.
pub trait Request: Message {
    /// The answer, in the same version.
    type Response: Message;
}
