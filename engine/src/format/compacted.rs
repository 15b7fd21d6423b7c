//! The `compacted` file of a partition: what compaction has done to its log. It is replaced before the first segment of a round is, and
//! again behind the round.
//!
//! ```text
//! body, version 1: | gaps end i64 | clean end i64 |
//! ```
//! All before the gaps end was durable once, and may lack offsets; behind it a missing offset is damage, or a torn tail. All before the clean
//! end went through a whole round.

use bytes::{BufMut, Bytes};
use zerocopy::little_endian::I64;

use super::envelope::{self, EnvelopeError, Kind, Sealer};
use crate::types::Offset;

/// The kind of the file.
pub const COMPACTED_KIND: Kind = Kind(*b"STRLCMPT");
/// The version that is written.
pub const COMPACTED_VERSION: u16 = 1;

/// How far a log was compacted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compacted {
    /// Offsets may be missing before it.
    pub gaps_end: Offset,
    /// The first offset that no round has read.
    pub clean_end: Offset,
}

impl Compacted {
    /// The whole file.
    pub fn encode(&self) -> Bytes {
        let mut file = Sealer::new(COMPACTED_KIND, COMPACTED_VERSION);
        file.body().put_i64_le(self.gaps_end.get());
        file.body().put_i64_le(self.clean_end.get());
        file.finish()
    }

    /// Reads a whole file.
    ///
    /// # Errors
    /// [`EnvelopeError`].
    pub fn decode(bytes: &[u8]) -> Result<Compacted, EnvelopeError> {
        let mut body = envelope::open_version(COMPACTED_KIND, COMPACTED_VERSION, bytes)?;
        let ends = [body.row::<I64>()?.get(), body.row::<I64>()?.get()].map(Offset::checked);
        body.end()?;
        match ends {
            [Some(gaps_end), Some(clean_end)] => Ok(Compacted { gaps_end, clean_end }),
            _ => Err(body.malformed()),
        }
    }
}
