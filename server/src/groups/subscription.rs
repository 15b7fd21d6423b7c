//! Which topics a member of a consumer group subscribes to.
//!
//! The metadata of a member is opaque to the broker but for its beginning, which every version of
//! ConsumerProtocolSubscription has: `i16 version | i32 count | strings`.

use std::collections::BTreeSet;

use strandline_protocol::wire::{Decode, Reader, WireError};

/// The protocol type of consumers.
pub(super) const CONSUMER: &str = "consumer";

/// The topics that the metadata names.
///
/// # Errors
/// When it is not the metadata of a consumer.
pub(super) fn topics(metadata: &[u8]) -> Result<BTreeSet<String>, WireError> {
    let mut reader = Reader::request(metadata, 0, false);
    let _version = i16::read(&mut reader)?;
    let topics = Vec::<String>::read(&mut reader)?;
    Ok(topics.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_topics_of_any_version_are_read_and_other_bytes_are_errors() {
        let read = |bytes: &[u8]| topics(bytes).map(|topics| topics.into_iter().collect::<Vec<_>>());
        let bytes = b"\0\x01\0\0\0\x02\0\x01a\0\x02bb\xff\xff\xff\xff\0\0\0\0";
        assert_eq!(read(bytes).unwrap(), ["a", "bb"]);
        assert!(read(b"").is_err());
        assert!(read(b"\0\0\x7f\xff\xff\xff").is_err());
        assert!(read(b"\0\0\xff\xff\xff\xff").is_err(), "null");
        assert!(read(b"\0\0\0\0\0\x01\0\x09a").is_err());
    }
}
