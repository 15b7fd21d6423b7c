//! The `meta` file: whose data directory this is.
//!
//! ```text
//! body, version 1: | cluster id 16 | node id i32 |
//! ```

use bytes::{BufMut, Bytes};
use zerocopy::little_endian::I32;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::envelope::{self, EnvelopeError, Kind, Sealer};

/// The kind of the file.
pub const META_KIND: Kind = Kind(*b"STRLMETA");
/// The version that is written.
pub const META_VERSION: u16 = 1;
/// Stands for a node id that was lost with the file and is taken from the settings at the next start.
pub const NODE_ID_UNKNOWN: i32 = -1;

/// Whose data directory this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meta {
    /// The cluster's identity, a UUID.
    pub cluster_id: [u8; 16],
    /// The node's number in the cluster, 0 or more, or [`NODE_ID_UNKNOWN`].
    pub node_id: i32,
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
        let mut file = Sealer::new(META_KIND, META_VERSION);
        let row = Row { cluster_id: self.cluster_id, node_id: I32::new(self.node_id) };
        file.body().put_slice(row.as_bytes());
        file.finish()
    }

    /// Reads a whole file.
    ///
    /// # Errors
    /// [`EnvelopeError`].
    pub fn decode(bytes: &[u8]) -> Result<Meta, EnvelopeError> {
        let mut body = envelope::open_version(META_KIND, META_VERSION, bytes)?;
        let row = body.row::<Row>()?;
        body.end()?;
        Ok(Meta { cluster_id: row.cluster_id, node_id: row.node_id.get() })
    }
}
