//! The `compacted` file of a partition: what compaction has done to its log. It is replaced before the first
//! segment of a round is, and again behind the round.
//!
//! ```text
//! body, version 2: | compacted end i64 | clean end i64 | gaps end i64 |
//! body, version 1: | compacted end i64 | clean end i64 |                    its gaps end is the compacted end
//! ```
//! All before the compacted end was durable once. All before the clean end went through a whole round. Before
//! the gaps end offsets may be missing between two batches; behind it a missing offset is damage, or a torn
//! tail.

use bytes::{BufMut, Bytes};
use zerocopy::little_endian::I64;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::envelope::{self, EnvelopeError, Kind, Sealer};
use crate::types::Offset;

/// The kind of the file.
pub const COMPACTED_KIND: Kind = Kind(*b"STRLCMPT");
/// The version that is written.
pub const COMPACTED_VERSION: u16 = 2;

/// The body of version 1, and the beginning of that of version 2.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Ends {
    compacted_end: I64,
    clean_end: I64,
}

#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct StoredBody {
    ends: Ends,
    gaps_end: I64,
}

const _: () = {
    assert!(size_of::<Ends>() == 16);
    assert!(std::mem::offset_of!(Ends, clean_end) == 8);
    assert!(size_of::<StoredBody>() == 24);
    assert!(std::mem::offset_of!(StoredBody, gaps_end) == 16);
};

/// How far a log was compacted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compacted {
    /// All before it was durable once.
    pub compacted_end: Offset,
    /// The first offset that no round has read.
    pub clean_end: Offset,
    /// Before it offsets may be missing between two batches: a release that wrote version 1 has compacted
    /// there.
    pub gaps_end: Offset,
}

impl Compacted {
    /// The whole file.
    pub fn encode(&self) -> Bytes {
        let body = StoredBody {
            ends: Ends {
                compacted_end: I64::new(self.compacted_end.get()),
                clean_end: I64::new(self.clean_end.get()),
            },
            gaps_end: I64::new(self.gaps_end.get()),
        };
        let mut file = Sealer::new(COMPACTED_KIND, COMPACTED_VERSION);
        file.body().put_slice(body.as_bytes());
        file.finish()
    }

    /// Reads a whole file of either version.
    ///
    /// # Errors
    /// [`EnvelopeError`].
    pub fn decode(bytes: &[u8]) -> Result<Compacted, EnvelopeError> {
        let (version, mut body) = envelope::open_upto(COMPACTED_KIND, COMPACTED_VERSION, bytes)?;
        let stored = match version {
            1 => {
                let ends = *body.row::<Ends>()?;
                StoredBody { ends, gaps_end: ends.compacted_end }
            }
            _ => *body.row::<StoredBody>()?,
        };
        body.end()?;
        let ends = [stored.ends.compacted_end, stored.ends.clean_end, stored.gaps_end];
        match ends.map(|end| Offset::checked(end.get())) {
            [Some(compacted_end), Some(clean_end), Some(gaps_end)] => {
                Ok(Compacted { compacted_end, clean_end, gaps_end })
            }
            _ => Err(body.malformed()),
        }
    }
}
