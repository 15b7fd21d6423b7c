//! The four codecs of a record batch, bounded.
//!
//! | codec  | framing                                                                         | after the end                   |
//! |--------|---------------------------------------------------------------------------------|---------------------------------|
//! | gzip   | one or more members                                                             | what is no member is ignored    |
//! | snappy | xerial blocks (`82 "SNAPPY" 00`, two versions, then length and block) or one raw block | an error                 |
//! | lz4    | one frame                                                                       | ignored                         |
//! | zstd   | one or more frames                                                              | an error                        |
//!
//! That is what Kafka's Java readers do. Memory grows with the output as it appears and stops at the caller's limit, so neither a
//! bomb nor a header that promises gigabytes costs more than that. What comes on top is the codec's own: 16 MiB where an LZ4 frame announces
//! blocks of 4 MiB, and for zstd a window of at most 128 MiB, of which only what is written takes memory.

use std::io::{Read, Write};

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

/// Unpacks `bytes` to at most `limit` bytes.
///
/// # Errors
/// [`DecompressError`].
pub fn decompress(codec: Codec, bytes: &[u8], limit: usize) -> Result<Vec<u8>, DecompressError> {
    match codec {
        Codec::None if bytes.len() > limit => Err(DecompressError::TooLarge { codec, limit }),
        Codec::None => Ok(bytes.to_vec()),
        Codec::Gzip => gunzip(bytes, limit),
        Codec::Snappy => unsnappy(bytes, limit),
        Codec::Lz4 => unlz4(bytes, limit),
        Codec::Zstd => {
            let decoder = zstd::stream::read::Decoder::with_buffer(bytes)
                .map_err(|_| DecompressError::Invalid { codec })?;
            let mut out = Vec::new();
            read_bounded(codec, decoder, &mut out, limit)?;
            Ok(out)
        }
    }
}

fn read_bounded(
    codec: Codec,
    reader: impl Read,
    out: &mut Vec<u8>,
    limit: usize,
) -> Result<(), DecompressError> {
    let left = limit - out.len();
    let read = reader
        .take((left as u64).saturating_add(1))
        .read_to_end(out)
        .map_err(|_| DecompressError::Invalid { codec })?;
    if read > left { Err(DecompressError::TooLarge { codec, limit }) } else { Ok(()) }
}

fn gunzip(bytes: &[u8], limit: usize) -> Result<Vec<u8>, DecompressError> {
    let codec = Codec::Gzip;
    let mut out = Vec::new();
    let mut rest = bytes;
    loop {
        let mut member = flate2::bufread::GzDecoder::new(rest);
        if member.header().is_none() {
            // The first member must be there. After it, what does not open one is padding to Java's reader, and to ours.
            return if rest.len() == bytes.len() { Err(DecompressError::Invalid { codec }) } else { Ok(out) };
        }
        read_bounded(codec, &mut member, &mut out, limit)?;
        rest = member.into_inner();
        if rest.is_empty() {
            return Ok(out);
        }
    }
}

fn unlz4(bytes: &[u8], limit: usize) -> Result<Vec<u8>, DecompressError> {
    // The decoder takes the end of its input for the end of the frame; Java's reader does not, and neither may we. So an end mark
    // (with room for a content sum) follows the input, and a decoder that touches it has missed the frame's own.
    const END_MARK: [u8; 8] = [0; 8];
    let codec = Codec::Lz4;
    let mut decoder = lz4_flex::frame::FrameDecoder::new(bytes.chain(&END_MARK[..]));
    let mut out = Vec::new();
    read_bounded(codec, &mut decoder, &mut out, limit)?;
    let (_, end_mark) = decoder.into_inner().into_inner();
    if end_mark.len() == END_MARK.len() { Ok(out) } else { Err(DecompressError::Invalid { codec }) }
}

const XERIAL_MAGIC: &[u8; 8] = b"\x82SNAPPY\0";
/// Magic, version 1, lowest compatible version 1.
const XERIAL_HEADER: &[u8; 16] = b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01";
/// What Java's writer puts into one block.
const XERIAL_BLOCK_BYTES: usize = 32 * 1024;
/// Snappy's best: a copy of 64 bytes in an element of 3, rounded up.
const SNAPPY_RATIO_MAX: usize = 22;

fn unsnappy(bytes: &[u8], limit: usize) -> Result<Vec<u8>, DecompressError> {
    let mut out = Vec::new();
    if !bytes.starts_with(XERIAL_MAGIC) {
        unsnappy_block(bytes, &mut out, limit)?;
        return Ok(out);
    }
    let invalid = DecompressError::Invalid { codec: Codec::Snappy };
    let mut rest = bytes.get(XERIAL_HEADER.len()..).ok_or(invalid)?;
    while !rest.is_empty() {
        // Streams that were glued together repeat the header, which no block length looks like: it would be negative.
        if rest.starts_with(XERIAL_MAGIC) {
            rest = rest.get(XERIAL_HEADER.len()..).ok_or(invalid)?;
            continue;
        }
        let (length, after) = rest.split_first_chunk::<4>().ok_or(invalid)?;
        let (block, after) = after.split_at_checked(u32::from_be_bytes(*length) as usize).ok_or(invalid)?;
        unsnappy_block(block, &mut out, limit)?;
        rest = after;
    }
    Ok(out)
}

fn unsnappy_block(block: &[u8], out: &mut Vec<u8>, limit: usize) -> Result<(), DecompressError> {
    let codec = Codec::Snappy;
    let invalid = |_| DecompressError::Invalid { codec };
    let length = snap::raw::decompress_len(block).map_err(invalid)?;
    if length > limit - out.len() {
        return Err(DecompressError::TooLarge { codec, limit });
    }
    if length > block.len().saturating_mul(SNAPPY_RATIO_MAX) {
        return Err(DecompressError::Invalid { codec });
    }
    let start = out.len();
    out.resize(start + length, 0);
    let written = snap::raw::Decoder::new().decompress(block, &mut out[start..]).map_err(invalid)?;
    out.truncate(start + written);
    Ok(())
}

/// Packs `bytes` as Kafka's Java producer does with its default levels.
pub fn compress(codec: Codec, bytes: &[u8]) -> Vec<u8> {
    const TO_MEMORY: &str = "compressing from memory to memory does not fail";
    match codec {
        Codec::None => bytes.to_vec(),
        Codec::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
            encoder.write_all(bytes).expect(TO_MEMORY);
            encoder.finish().expect(TO_MEMORY)
        }
        Codec::Snappy => {
            let mut out = XERIAL_HEADER.to_vec();
            let mut encoder = snap::raw::Encoder::new();
            for block in bytes.chunks(XERIAL_BLOCK_BYTES) {
                let packed = encoder.compress_vec(block).expect(TO_MEMORY);
                out.extend_from_slice(&(packed.len() as u32).to_be_bytes());
                out.extend_from_slice(&packed);
            }
            out
        }
        Codec::Lz4 => {
            // 64 KiB blocks that do not refer to each other: the only kind that Kafka's Java reader knows.
            let frame = lz4_flex::frame::FrameInfo::new()
                .block_size(lz4_flex::frame::BlockSize::Max64KB)
                .block_mode(lz4_flex::frame::BlockMode::Independent);
            let mut encoder = lz4_flex::frame::FrameEncoder::with_frame_info(frame, Vec::new());
            encoder.write_all(bytes).expect(TO_MEMORY);
            encoder.finish().expect(TO_MEMORY)
        }
        Codec::Zstd => zstd::stream::encode_all(bytes, zstd::DEFAULT_COMPRESSION_LEVEL).expect(TO_MEMORY),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text() -> Vec<u8> {
        (0..100_000u32).map(|at| (at % 251) as u8 ^ (at >> 10) as u8).collect()
    }

    #[test]
    fn what_is_compressed_comes_back() {
        for codec in Codec::ALL {
            assert_eq!(Codec::from_id(codec.id()), Some(codec));
            for bytes in [&b""[..], b"x", &text()] {
                let packed = compress(codec, bytes);
                assert_eq!(decompress(codec, &packed, bytes.len()).as_deref(), Ok(bytes), "{}", codec.name());
            }
        }
    }

    #[test]
    fn output_stops_at_the_limit() {
        for codec in Codec::ALL {
            let error = DecompressError::TooLarge { codec, limit: 99_999 };
            assert_eq!(decompress(codec, &compress(codec, &text()), 99_999), Err(error));
        }
    }

    #[test]
    fn snappy_is_read_in_both_framings() {
        let raw = b"\x0a\x10hello\x12\x05\x00";
        assert_eq!(decompress(Codec::Snappy, raw, 100).as_deref(), Ok(&b"hellohello"[..]));
        let block = [&[0, 0, 0, raw.len() as u8][..], raw].concat();
        let glued = [&XERIAL_HEADER[..], &block, &block, XERIAL_HEADER, &block].concat();
        assert_eq!(decompress(Codec::Snappy, &glued, 100).as_deref(), Ok(&b"hellohello".repeat(3)[..]));
    }

    #[test]
    fn a_promise_of_gigabytes_is_not_believed() {
        let invalid = Err(DecompressError::Invalid { codec: Codec::Snappy });
        assert_eq!(decompress(Codec::Snappy, b"\xff\xff\xff\xff\x07\x00a", usize::MAX), invalid);
    }

    #[test]
    fn bytes_after_the_end_are_treated_as_kafka_does() {
        let with_tail = |codec| [&compress(codec, b"records")[..], b"tail of no codec"].concat();
        for codec in [Codec::Gzip, Codec::Lz4] {
            assert_eq!(decompress(codec, &with_tail(codec), 100).as_deref(), Ok(&b"records"[..]));
        }
        for codec in [Codec::Snappy, Codec::Zstd] {
            assert_eq!(decompress(codec, &with_tail(codec), 100), Err(DecompressError::Invalid { codec }));
        }
        for codec in [Codec::Gzip, Codec::Zstd] {
            let twice = [compress(codec, b"rec"), compress(codec, b"ords")].concat();
            assert_eq!(decompress(codec, &twice, 7).as_deref(), Ok(&b"records"[..]));
        }
    }

    #[test]
    fn a_cut_stream_is_an_error_and_a_damaged_one_stays_in_bounds() {
        for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
            let sound = compress(codec, &b"some records, some more records".repeat(3));
            for end in 0..sound.len() {
                // Xerial blocks have no end of their own: a cut between two of them is a shorter stream.
                let short = codec == Codec::Snappy && end == XERIAL_HEADER.len();
                let cut = decompress(codec, &sound[..end], 200);
                assert_eq!(cut.is_ok(), short, "{} cut to {end}", codec.name());
            }
            let mut copy = sound.clone();
            for bit in 0..sound.len() * 8 {
                copy[bit / 8] ^= 1 << (bit % 8);
                let _ = decompress(codec, &copy, 200).map(|out| assert!(out.len() <= 200));
                copy[bit / 8] ^= 1 << (bit % 8);
            }
        }
    }

    #[test]
    fn an_lz4_frame_as_java_writes_it_is_read() {
        let frame = b"\x04\x22\x4d\x18\x60\x40\x82\x05\x00\x00\x80hello\x00\x00\x00\x00";
        assert_eq!(decompress(Codec::Lz4, frame, 5).as_deref(), Ok(&b"hello"[..]));
    }
}
