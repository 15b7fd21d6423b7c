//! The frame of the small files that are never appended to, only replaced whole.
//!
//! ```text
//! 0      8        10        12          16    20
//! | kind | version | zero   | body bytes | crc | body ...
//! ```
//! Little-endian. The CRC-32 covers everything else, body included. The file ends where the body ends. What a
//! version means is the body's matter.

use bytes::{BufMut, Bytes, BytesMut};
use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// What a file is, as its first eight bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Kind(pub [u8; 8]);

#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Header {
    kind: [u8; 8],
    version: U16,
    reserved: U16,
    body_bytes: U32,
    crc: U32,
}

/// The bytes before the body.
pub const ENVELOPE_BYTES: usize = size_of::<Header>();

const _: () = {
    assert!(ENVELOPE_BYTES == 20);
    assert!(std::mem::offset_of!(Header, version) == 8);
    assert!(std::mem::offset_of!(Header, body_bytes) == 12);
    assert!(std::mem::offset_of!(Header, crc) == 16);
};

/// Why a file could not be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// The file is not as long as it says.
    #[error("{needed} bytes needed, {found} are there")]
    Length {
        /// The bytes of the header, or of header and body.
        needed: usize,
        /// The bytes that are there.
        found: usize,
    },
    /// Another kind of file.
    #[error("a file of kind {}, expected {}", found.escape_ascii(), expected.escape_ascii())]
    Kind {
        /// The kind that was asked for.
        expected: [u8; 8],
        /// The first bytes of the file.
        found: [u8; 8],
    },
    /// The file is damaged.
    #[error("file CRC-32 {expected:#010x} in the header, {found:#010x} over the bytes")]
    Crc {
        /// The sum in the header.
        expected: u32,
        /// The sum over the bytes.
        found: u32,
    },
    /// A newer program has written the file.
    #[error("version {found}, this program reads up to {newest}")]
    Version {
        /// The version in the header.
        found: u16,
        /// The newest version that can be read.
        newest: u16,
    },
    /// The sum is right, but the body is not what its version says.
    #[error("the body is malformed at byte {position}")]
    Body {
        /// The place in the body.
        position: usize,
    },
}

/// A file in the making: the body grows behind a header that [`Sealer::finish`] fills.
#[derive(Debug)]
pub struct Sealer {
    kind: Kind,
    version: u16,
    bytes: BytesMut,
}

impl Sealer {
    /// A file with an empty body.
    pub fn new(kind: Kind, version: u16) -> Sealer {
        let mut bytes = BytesMut::with_capacity(256);
        bytes.put_bytes(0, ENVELOPE_BYTES);
        Sealer { kind, version, bytes }
    }

    /// Where the body is appended to.
    pub fn body(&mut self) -> &mut impl BufMut {
        &mut self.bytes
    }

    /// The whole file.
    ///
    /// # Panics
    /// When the body reaches 4 GiB.
    pub fn finish(mut self) -> Bytes {
        let body_bytes = u32::try_from(self.bytes.len() - ENVELOPE_BYTES).expect("a small file is small");
        let mut header = Header {
            kind: self.kind.0,
            version: U16::new(self.version),
            reserved: U16::ZERO,
            body_bytes: U32::new(body_bytes),
            crc: U32::ZERO,
        };
        header.crc = U32::new(sum(header, &self.bytes[ENVELOPE_BYTES..]));
        self.bytes[..ENVELOPE_BYTES].copy_from_slice(header.as_bytes());
        self.bytes.freeze()
    }
}

/// The whole file around `body`.
pub fn seal(kind: Kind, version: u16, body: &[u8]) -> Bytes {
    let mut sealer = Sealer::new(kind, version);
    sealer.body().put_slice(body);
    sealer.finish()
}

/// The version and body of a whole file of this kind.
///
/// # Errors
/// [`EnvelopeError`], except `Version` and `Body`, which are for those who know what the body means.
pub fn open(kind: Kind, bytes: &[u8]) -> Result<(u16, &[u8]), EnvelopeError> {
    let (header, body) = Header::ref_from_prefix(bytes)
        .map_err(|_| EnvelopeError::Length { needed: ENVELOPE_BYTES, found: bytes.len() })?;
    if header.kind != kind.0 {
        return Err(EnvelopeError::Kind { expected: kind.0, found: header.kind });
    }
    let needed = ENVELOPE_BYTES + header.body_bytes.get() as usize;
    if needed != bytes.len() {
        return Err(EnvelopeError::Length { needed, found: bytes.len() });
    }
    let (expected, found) = (header.crc.get(), sum(*header, body));
    if expected != found {
        return Err(EnvelopeError::Crc { expected, found });
    }
    Ok((header.version.get(), body))
}

/// Like [`open`], for a kind of which only `version` exists so far.
pub(super) fn open_version(kind: Kind, version: u16, bytes: &[u8]) -> Result<Body<'_>, EnvelopeError> {
    let (found, body) = open(kind, bytes)?;
    if found == version {
        Ok(Body::new(body))
    } else {
        Err(EnvelopeError::Version { found, newest: version })
    }
}

/// Like [`open`], for a kind of which the versions from 1 to `newest` exist.
pub(super) fn open_upto(kind: Kind, newest: u16, bytes: &[u8]) -> Result<(u16, Body<'_>), EnvelopeError> {
    let (found, body) = open(kind, bytes)?;
    match found {
        1.. if found <= newest => Ok((found, Body::new(body))),
        _ => Err(EnvelopeError::Version { found, newest }),
    }
}

/// The file with the one bit turned back whose flip explains the wrong sum; `None` where no single bit does.
/// The sum tells the bit, so that nothing is guessed: other damage looks like this once in 2^32 / (8 × bytes)
/// files.
pub fn mended(bytes: &[u8]) -> Option<Vec<u8>> {
    const CRC: usize = std::mem::offset_of!(Header, crc);
    let (header, body) = Header::ref_from_prefix(bytes).ok()?;
    let difference = header.crc.get() ^ sum(*header, body);
    let flip = |byte: usize, bit: u32| {
        let mut mended = bytes.to_vec();
        mended[byte] ^= 1 << bit;
        mended
    };
    if difference.count_ones() == 1 {
        let bit = difference.trailing_zeros();
        return Some(flip(CRC + bit as usize / 8, bit % 8));
    }
    // What a flipped bit adds to the sum depends only on how many bytes follow it.
    let next = |sum: u32| (0..8).fold(sum, |sum, _| sum >> 1 ^ if sum & 1 == 1 { 0xEDB8_8320 } else { 0 });
    let mut added: [u32; 8] = std::array::from_fn(|bit| next(1 << bit));
    for byte in (0..bytes.len()).rev() {
        if !(CRC..CRC + 4).contains(&byte)
            && let Some(bit) = added.iter().position(|added| *added == difference)
        {
            return Some(flip(byte, bit as u32));
        }
        added = added.map(next);
    }
    None
}

fn sum(header: Header, body: &[u8]) -> u32 {
    let mut sum = crc32fast::Hasher::new();
    sum.update(Header { crc: U32::ZERO, ..header }.as_bytes());
    sum.update(body);
    sum.finalize()
}

/// A body that is read from front to back; every error names the place.
pub(super) struct Body<'a> {
    bytes: &'a [u8],
    rest: &'a [u8],
}

impl<'a> Body<'a> {
    fn new(bytes: &'a [u8]) -> Body<'a> {
        Body { bytes, rest: bytes }
    }

    /// The error for what was read last, or could not be.
    pub(super) fn malformed(&self) -> EnvelopeError {
        EnvelopeError::Body { position: self.bytes.len() - self.rest.len() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next fixed-size struct.
    pub(super) fn row<T: FromBytes + KnownLayout + Immutable + Unaligned>(
        &mut self,
    ) -> Result<&'a T, EnvelopeError> {
        let (row, rest) = T::ref_from_prefix(self.rest).map_err(|_| self.malformed())?;
        self.rest = rest;
        Ok(row)
    }

    /// The next `length` bytes as text.
    pub(super) fn text(&mut self, length: usize) -> Result<&'a str, EnvelopeError> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or_else(|| self.malformed())?;
        let text = std::str::from_utf8(taken).map_err(|_| self.malformed())?;
        self.rest = rest;
        Ok(text)
    }

    /// Nothing may follow.
    pub(super) fn end(&self) -> Result<(), EnvelopeError> {
        if self.rest.is_empty() { Ok(()) } else { Err(self.malformed()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn d5_a_single_flipped_bit_is_found_by_the_sum_and_turned_back() {
        for length in [0, 1, 7, 300] {
            let body: Vec<u8> = (0..length).map(|at| (at * 37) as u8).collect();
            let file = seal(Kind(*b"STRLTEST"), 1, &body).to_vec();
            for bit in 0..8 * file.len() {
                let mut broken = file.clone();
                broken[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(mended(&broken).as_deref(), Some(&file[..]), "bit {bit} of {length} bytes");
            }
        }
        assert_eq!(mended(&[0; 7]), None);
    }
}
