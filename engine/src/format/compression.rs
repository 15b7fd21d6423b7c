//! The four codecs of a record batch, bounded.
//!
//! | codec  | framing                                                                         | after the end                   |
//! |--------|---------------------------------------------------------------------------------|---------------------------------|
//! | gzip   | one or more members                                                             | what is no member is ignored    |
//! | snappy | xerial blocks (`82 "SNAPPY" 00`, two versions, then length and block) or one raw block | less than a length is ignored |
//! | lz4    | one frame of independent blocks                                                 | ignored                         |
//! | zstd   | one or more frames                                                              | an error, unless a frame begins |
//!
//! That is what Kafka's Java readers do. [`Unpacker`] is how records are unpacked where somebody else waits:
//! in pieces. [`decompress`] is the same in one go, for those who need all of the records at once. [`Packer`]
//! and [`compress`] are the way back.

mod lz4;
mod pack;
mod unpack;

use std::io::Read;

pub use pack::{Packer, Packing, compress};
pub use unpack::{PIECE_BYTES, Strictness, Unpacker};

const XERIAL_MAGIC: &[u8; 8] = b"\x82SNAPPY\0";
/// Magic, version 1, lowest compatible version 1.
const XERIAL_HEADER: &[u8; XERIAL_HEADER_BYTES] = b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01";
const XERIAL_HEADER_BYTES: usize = 16;

/// How the records of a batch are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Codec {
    /// Not at all.
    None,
    /// RFC 1952.
    Gzip,
    /// Snappy.
    Snappy,
    /// The LZ4 frame format.
    Lz4,
    /// RFC 8878.
    Zstd,
}

impl Codec {
    /// Every codec, in the order of their numbers.
    pub const ALL: [Codec; 5] = [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];

    /// The codec with this number in a batch's attributes.
    pub const fn from_id(id: u8) -> Option<Codec> {
        match id {
            0 => Some(Codec::None),
            1 => Some(Codec::Gzip),
            2 => Some(Codec::Snappy),
            3 => Some(Codec::Lz4),
            4 => Some(Codec::Zstd),
            _ => None,
        }
    }

    /// The number in a batch's attributes.
    pub const fn id(self) -> u8 {
        self as u8
    }

    /// The name that Kafka's `compression.type` uses.
    pub const fn name(self) -> &'static str {
        match self {
            Codec::None => "none",
            Codec::Gzip => "gzip",
            Codec::Snappy => "snappy",
            Codec::Lz4 => "lz4",
            Codec::Zstd => "zstd",
        }
    }
}

/// Why bytes could not be decompressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecompressError {
    /// The output would be larger than the caller allows: a bomb, or a limit that is too small.
    #[error("{} data unpacks to more than {limit} bytes", codec.name())]
    TooLarge {
        /// The codec.
        codec: Codec,
        /// The caller's limit.
        limit: usize,
    },
    /// The bytes are not what the codec writes.
    #[error("invalid {} data", codec.name())]
    Invalid {
        /// The codec.
        codec: Codec,
    },
}

/// Unpacks records that were stored, to at most `limit` bytes.
///
/// # Errors
/// [`DecompressError`].
pub fn decompress(codec: Codec, bytes: &[u8], limit: usize) -> Result<Vec<u8>, DecompressError> {
    let mut unpacker = Unpacker::default();
    unpacker.begin(codec, limit, PIECE_BYTES, Strictness::Read);
    let mut out = Vec::new();
    loop {
        match unpacker.next(bytes) {
            Ok(Some(piece)) => out.extend_from_slice(piece),
            Ok(None) => return Ok(out),
            // Frames of blocks that refer to each other were taken once.
            Err(DecompressError::Invalid { codec: Codec::Lz4 }) => return unlz4_linked(bytes, limit),
            Err(error) => return Err(error),
        }
    }
}

fn unlz4_linked(bytes: &[u8], limit: usize) -> Result<Vec<u8>, DecompressError> {
    // The decoder takes the end of its input for the end of the frame; that must not be. So an end mark (with
    // room for a content sum) follows the input, and a decoder that touches it has missed the frame's own.
    const END_MARK: [u8; 8] = [0; 8];
    let codec = Codec::Lz4;
    let invalid = DecompressError::Invalid { codec };
    let mut decoder = lz4_flex::frame::FrameDecoder::new(bytes.chain(&END_MARK[..]));
    let mut out = Vec::new();
    let room = (limit as u64).saturating_add(1);
    let read = decoder.by_ref().take(room).read_to_end(&mut out).map_err(|_| invalid)?;
    if read > limit {
        return Err(DecompressError::TooLarge { codec, limit });
    }
    let (_, end_mark) = decoder.into_inner().into_inner();
    if end_mark.len() == END_MARK.len() { Ok(out) } else { Err(invalid) }
}

#[cfg(test)]
mod tests;
