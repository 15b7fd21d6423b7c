//! What consumers of a group tell each other through JoinGroup and SyncGroup: bytes that a broker only passes
//! on.
//!
//! ```text
//! subscription  i16 version | topics            | user data | [since version 1: what the member owns, ...]
//! assignment    i16 version | topics' partitions | user data
//! ```
//!
//! Always in the classic form. Later versions only append, so the beginning of any is read here, and version
//! 0 is written.

use crate::message;
use crate::wire::{Decode, Encode, EncodeError, Reader, WireError, Writer};
use bytes::Bytes;

message! {
    /// What a member wants to read.
    pub struct ConsumerProtocolSubscription {
        (0..) topics: Vec<String>;
        /// The assignor's.
        (0..) user_data: Option<Bytes>;
    }

    /// What the leader lets a member read.
    pub struct ConsumerProtocolAssignment {
        (0..) assigned_partitions: Vec<TopicPartition>;
        /// The assignor's.
        (0..) user_data: Option<Bytes>;
    }

    /// A topic's partitions.
    pub struct TopicPartition {
        (0..) topic: String;
        (0..) partitions: Vec<i32>;
    }
}

impl ConsumerProtocolSubscription {
    /// Reads the metadata of a member whose group has the protocol type "consumer".
    ///
    /// # Errors
    /// Whatever is wrong with the bytes.
    pub fn decode(bytes: &[u8]) -> Result<ConsumerProtocolSubscription, WireError> {
        decode(bytes)
    }

    /// The metadata of a member.
    ///
    /// # Errors
    /// When a name is too long.
    pub fn encode(&self) -> Result<Bytes, EncodeError> {
        encode(self)
    }
}

impl ConsumerProtocolAssignment {
    /// Reads the assignment of a member whose group has the protocol type "consumer". Of no bytes at all,
    /// which is what a member gets whom the leader left out, the assignment is empty.
    ///
    /// # Errors
    /// Whatever is wrong with the bytes.
    pub fn decode(bytes: &[u8]) -> Result<ConsumerProtocolAssignment, WireError> {
        if bytes.is_empty() { Ok(ConsumerProtocolAssignment::default()) } else { decode(bytes) }
    }

    /// The assignment of a member.
    ///
    /// # Errors
    /// When a name is too long.
    pub fn encode(&self) -> Result<Bytes, EncodeError> {
        encode(self)
    }
}

/// The one version that is written.
const VERSION: i16 = 0;

fn decode<T: Decode>(bytes: &[u8]) -> Result<T, WireError> {
    let mut reader = Reader::response(bytes, VERSION, false);
    let _any_version = i16::read(&mut reader)?;
    T::read(&mut reader)
}

fn encode<T: Encode>(value: &T) -> Result<Bytes, EncodeError> {
    let mut writer = Writer::new(VERSION, false);
    VERSION.write(&mut writer);
    value.write(&mut writer);
    Ok(writer.finish()?.freeze())
}
