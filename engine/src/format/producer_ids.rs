//! The `producer-ids` file: the first producer id that was never given out. It is written before ids below it
//! are used, so that none is ever used twice.
//!
//! ```text
//! body, version 1: | next id i64 |
//! ```

use bytes::{BufMut, Bytes};
use zerocopy::little_endian::I64;

use super::envelope::{self, EnvelopeError, Kind, Sealer};
use crate::types::ProducerId;

/// The kind of the file.
pub const PRODUCER_IDS_KIND: Kind = Kind(*b"STRLPIDS");
/// The version that is written.
pub const PRODUCER_IDS_VERSION: u16 = 1;

/// The whole file.
///
/// # Panics
/// For a negative id: ids count up from 0.
pub fn encode(next_id: ProducerId) -> Bytes {
    assert!(!next_id.is_none(), "producer ids count up from 0");
    let mut file = Sealer::new(PRODUCER_IDS_KIND, PRODUCER_IDS_VERSION);
    file.body().put_i64_le(next_id.0);
    file.finish()
}

/// Reads a whole file: the next id, 0 or more.
///
/// # Errors
/// [`EnvelopeError`].
pub fn decode(bytes: &[u8]) -> Result<ProducerId, EnvelopeError> {
    let mut body = envelope::open_version(PRODUCER_IDS_KIND, PRODUCER_IDS_VERSION, bytes)?;
    let next_id = ProducerId(body.row::<I64>()?.get());
    body.end()?;
    if next_id.is_none() { Err(body.malformed()) } else { Ok(next_id) }
}
