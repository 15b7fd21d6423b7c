//! The `meta` file: whose data directory this is.
//!
//! ```text
//! body, version 1: | cluster id 16 | node id i32 |
//! body, version 2: | cluster id 16 | node id i32 | directory id 16 |
//! ```

use std::fmt;

use bytes::{BufMut, Bytes};
use zerocopy::little_endian::I32;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::envelope::{self, EnvelopeError, Kind, Sealer};
use crate::types::{base64_url, random_uuid};

/// The kind of the file.
pub const META_KIND: Kind = Kind(*b"STRLMETA");
/// The newest version.
pub const META_VERSION: u16 = 2;
/// Stands for a node id that was lost with the file and is taken from the settings at the next start.
pub const NODE_ID_UNKNOWN: i32 = -1;

/// The version without a directory id.
const WITHOUT_DIRECTORY_ID: u16 = 1;

/// The identities that Kafka keeps for other meanings: the first hundred UUIDs (KIP-858).
const RESERVED_IDS: u128 = 100;

/// The identity of a data directory, a UUID (KIP-858): a directory that was lost and made again is another
/// one, whatever node it belongs to. Never one of those that Kafka keeps for "none", "lost" and "migrating".
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct DirectoryId([u8; 16]);

impl DirectoryId {
    /// A new one. As in Kafka, its text does not begin with a dash, which tools would take for an option.
    pub fn random() -> DirectoryId {
        loop {
            let id = DirectoryId::from_bytes(random_uuid()).expect("a random UUID names its version");
            if !id.to_string().starts_with('-') {
                return id;
            }
        }
    }

    /// The identity with these bytes; `None` for a reserved one.
    pub fn from_bytes(bytes: [u8; 16]) -> Option<DirectoryId> {
        (u128::from_be_bytes(bytes) >= RESERVED_IDS).then_some(DirectoryId(bytes))
    }

    /// The bytes that travel on the wire.
    pub fn to_bytes(self) -> [u8; 16] {
        self.0
    }
}

impl fmt::Display for DirectoryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&base64_url(&self.0))
    }
}

impl fmt::Debug for DirectoryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Whose data directory this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meta {
    /// The cluster's identity, a UUID.
    pub cluster_id: [u8; 16],
    /// The node's number in the cluster, 0 or more, or [`NODE_ID_UNKNOWN`].
    pub node_id: i32,
    /// The directory's own identity; `None` where a release without them has written the file, until the next
    /// start.
    pub directory_id: Option<DirectoryId>,
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Row {
    cluster_id: [u8; 16],
    node_id: I32,
}

const _: () = assert!(size_of::<Row>() == 20);

impl Meta {
    /// The whole file.
    pub fn encode(&self) -> Bytes {
        let version = if self.directory_id.is_some() { META_VERSION } else { WITHOUT_DIRECTORY_ID };
        let mut file = Sealer::new(META_KIND, version);
        let row = Row { cluster_id: self.cluster_id, node_id: I32::new(self.node_id) };
        file.body().put_slice(row.as_bytes());
        if let Some(id) = self.directory_id {
            file.body().put_slice(&id.to_bytes());
        }
        file.finish()
    }

    /// Reads a whole file of either version.
    ///
    /// # Errors
    /// [`EnvelopeError`]; `Body` also for a reserved directory id.
    pub fn decode(bytes: &[u8]) -> Result<Meta, EnvelopeError> {
        let (version, mut body) = envelope::open_upto(META_KIND, META_VERSION, bytes)?;
        let row = body.row::<Row>()?;
        let directory_id = match version {
            WITHOUT_DIRECTORY_ID => None,
            _ => Some(DirectoryId::from_bytes(*body.row::<[u8; 16]>()?).ok_or_else(|| body.malformed())?),
        };
        body.end()?;
        Ok(Meta { cluster_id: row.cluster_id, node_id: row.node_id.get(), directory_id })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reserved_directory_id_is_neither_made_nor_read() {
        for reserved in [0, 1, 2, 99u128] {
            let bytes = reserved.to_be_bytes();
            assert_eq!(DirectoryId::from_bytes(bytes), None);
            let mut file = Sealer::new(META_KIND, META_VERSION);
            file.body().put_slice(&[7; 20]);
            file.body().put_slice(&bytes);
            assert!(matches!(Meta::decode(&file.finish()), Err(EnvelopeError::Body { .. })), "{reserved}");
        }
        assert!(DirectoryId::from_bytes(100u128.to_be_bytes()).is_some());
        assert!((0..1000).all(|_| !DirectoryId::random().to_string().starts_with('-')));
    }
}
