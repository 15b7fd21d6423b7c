//! What consumers of a group tell each other through JoinGroup and SyncGroup: bytes that a broker only passes
//! on.
//!
//! ```text
//! subscription  i16 version | topics             | user data | 1: owned partitions | 2: generation | 3: rack
//! assignment    i16 version | topics' partitions | user data
//! ```
//!
//! Always in the classic form. Later versions only append: of one that is not known, what is known is read.
//! Some clients name a version whose fields they leave out; they have said what version 0 says. A
//! subscription is written in the oldest version that says all of it, an assignment in the version that its
//! reader names.

use crate::message;
use crate::wire::{Decode, Encode, EncodeError, Reader, WireError, Writer};
use bytes::Bytes;

message! {
    /// What a member wants to read.
    pub struct ConsumerProtocolSubscription {
        (0..) topics: Vec<String>;
        /// The assignor's.
        (0..) user_data: Option<Bytes>;
        /// What it reads already.
        (1..) owned_partitions: Vec<TopicPartition>;
        /// The generation in which it was given these; -1 when it does not say.
        (2..) generation_id: i32 = -1;
        /// Where it is.
        (3..) rack_id: Option<String>;
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

/// The newest version that is known.
const NEWEST: i16 = 3;

impl ConsumerProtocolSubscription {
    /// Reads the metadata of a member whose group has the protocol type "consumer".
    ///
    /// # Errors
    /// Whatever is wrong with the bytes.
    pub fn decode(bytes: &[u8]) -> Result<ConsumerProtocolSubscription, WireError> {
        decode(bytes, version(bytes)?).or_else(|_| decode(bytes, 0))
    }

    /// The metadata of a member.
    ///
    /// # Errors
    /// When a name is too long.
    pub fn encode(&self) -> Result<Bytes, EncodeError> {
        let version = match self {
            ConsumerProtocolSubscription { rack_id: Some(_), .. } => 3,
            ConsumerProtocolSubscription { generation_id, .. } if *generation_id != -1 => 2,
            ConsumerProtocolSubscription { owned_partitions, .. } if !owned_partitions.is_empty() => 1,
            _ => 0,
        };
        encode(self, version)
    }
}

impl ConsumerProtocolAssignment {
    /// Reads the assignment of a member whose group has the protocol type "consumer". Of no bytes at all,
    /// which is what a member gets whom the leader left out, the assignment is empty.
    ///
    /// # Errors
    /// Whatever is wrong with the bytes.
    pub fn decode(bytes: &[u8]) -> Result<ConsumerProtocolAssignment, WireError> {
        if bytes.is_empty() { Ok(ConsumerProtocolAssignment::default()) } else { decode(bytes, 0) }
    }

    /// The assignment of a member.
    ///
    /// # Errors
    /// When a name is too long.
    pub fn encode(&self) -> Result<Bytes, EncodeError> {
        encode(self, 0)
    }

    /// The assignment of a member with this metadata, in the version that it speaks.
    ///
    /// # Errors
    /// When a name is too long.
    pub fn encode_for(&self, metadata: &[u8]) -> Result<Bytes, EncodeError> {
        encode(self, version(metadata).unwrap_or(0))
    }
}

/// The version that the bytes are of, as far as it is known.
fn version(bytes: &[u8]) -> Result<i16, WireError> {
    Ok(i16::read(&mut Reader::response(bytes, 0, false))?.clamp(0, NEWEST))
}

fn decode<T: Decode>(bytes: &[u8], version: i16) -> Result<T, WireError> {
    let mut reader = Reader::response(bytes, version, false);
    let _version = i16::read(&mut reader)?;
    T::read(&mut reader)
}

fn encode<T: Encode>(value: &T, version: i16) -> Result<Bytes, EncodeError> {
    let mut writer = Writer::new(version, false);
    version.write(&mut writer);
    value.write(&mut writer);
    Ok(writer.finish()?.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subscription_of_every_version_is_read_and_one_that_lacks_its_fields_says_what_version_0_says() {
        let all = b"\0\x03\0\0\0\x01\0\x01t\xff\xff\xff\xff\0\0\0\x01\0\x01u\0\0\0\x01\0\0\0\x07\
                    \0\0\0\x05\0\x01r";
        let owned = TopicPartition { topic: "u".to_owned(), partitions: vec![7] };
        let oldest = ConsumerProtocolSubscription { topics: vec!["t".to_owned()], ..Default::default() };
        let owning = ConsumerProtocolSubscription { owned_partitions: vec![owned], ..oldest.clone() };
        let in_generation = ConsumerProtocolSubscription { generation_id: 5, ..owning.clone() };
        let newest = ConsumerProtocolSubscription { rack_id: Some("r".to_owned()), ..in_generation.clone() };
        assert_eq!(newest.encode().unwrap()[..], all[..]);
        for said in [&oldest, &owning, &in_generation, &newest] {
            assert_eq!(ConsumerProtocolSubscription::decode(&said.encode().unwrap()), Ok(said.clone()));
        }
        let mut later = all.to_vec();
        (later[1], later[3]) = (9, 0);
        later.push(1);
        assert_eq!(ConsumerProtocolSubscription::decode(&later), Ok(newest));
        let short = b"\0\x01\0\0\0\x01\0\x01t\xff\xff\xff\xff";
        assert_eq!(ConsumerProtocolSubscription::decode(short), Ok(oldest));
        assert_eq!(ConsumerProtocolAssignment::default().encode_for(all).unwrap()[..2], [0, 3]);
    }
}
