//! Packs records, piece by piece, as Kafka's Java producer does.

use std::io::Write;

use flate2::write::GzEncoder;
use lz4_c::block::CompressionMode;
use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};

use super::{Codec, XERIAL_HEADER, lz4};

/// What Java's writer puts into one block of snappy.
const XERIAL_BLOCK_BYTES: usize = 32 * 1024;

const TO_MEMORY: &str = "compressing from memory to memory does not fail";

/// How records are to be packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packing {
    /// The codec.
    pub codec: Codec,
    /// The codec's level, in Kafka's ranges; `None` for the codec's own default. Snappy has none.
    pub level: Option<i32>,
}

impl From<Codec> for Packing {
    fn from(codec: Codec) -> Packing {
        Packing { codec, level: None }
    }
}

/// Records on their way into one batch.
pub struct Packer(Inner);

enum Inner {
    None(Vec<u8>),
    Gzip(GzEncoder<Vec<u8>>),
    Snappy {
        block: Vec<u8>,
        encoder: Box<snap::raw::Encoder>,
        out: Vec<u8>,
    },
    Lz4(Box<FrameEncoder<Vec<u8>>>),
    /// With a level: the slow compressor of the C library.
    Lz4High {
        block: Vec<u8>,
        level: i32,
        out: Vec<u8>,
    },
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
}

impl std::fmt::Debug for Packer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Packer").field("packed", &self.packed_bytes()).finish_non_exhaustive()
    }
}

impl Packer {
    /// An empty one.
    pub fn new(packing: Packing) -> Packer {
        Packer(match packing.codec {
            Codec::None => Inner::None(Vec::new()),
            Codec::Gzip => {
                let level = packing.level.and_then(|level| u32::try_from(level).ok());
                let level = level.map_or_else(flate2::Compression::default, flate2::Compression::new);
                Inner::Gzip(GzEncoder::new(Vec::new(), level))
            }
            Codec::Snappy => Inner::Snappy {
                block: Vec::with_capacity(XERIAL_BLOCK_BYTES),
                encoder: Box::new(snap::raw::Encoder::new()),
                out: XERIAL_HEADER.to_vec(),
            },
            Codec::Lz4 if let Some(level) = packing.level => Inner::Lz4High {
                block: Vec::with_capacity(lz4::JAVA_BLOCK_BYTES),
                level,
                out: lz4::JAVA_DESCRIPTOR.to_vec(),
            },
            Codec::Lz4 => {
                // 64 KiB blocks that do not refer to each other: the only kind that Kafka's Java reader
                // knows.
                let frame =
                    FrameInfo::new().block_size(BlockSize::Max64KB).block_mode(BlockMode::Independent);
                Inner::Lz4(Box::new(FrameEncoder::with_frame_info(frame, Vec::new())))
            }
            Codec::Zstd => {
                let level = packing.level.unwrap_or(zstd::DEFAULT_COMPRESSION_LEVEL);
                Inner::Zstd(zstd::stream::write::Encoder::new(Vec::new(), level).expect(TO_MEMORY))
            }
        })
    }

    /// Takes more of the records.
    pub fn write(&mut self, piece: &[u8]) {
        match &mut self.0 {
            Inner::None(out) => out.extend_from_slice(piece),
            Inner::Gzip(encoder) => encoder.write_all(piece).expect(TO_MEMORY),
            Inner::Snappy { block, encoder, out } => {
                in_blocks(piece, block, XERIAL_BLOCK_BYTES, |block| close_xerial_block(block, encoder, out));
            }
            Inner::Lz4High { block, level, out } => {
                in_blocks(piece, block, lz4::JAVA_BLOCK_BYTES, |block| close_lz4_block(block, *level, out));
            }
            Inner::Lz4(encoder) => encoder.write_all(piece).expect(TO_MEMORY),
            Inner::Zstd(encoder) => encoder.write_all(piece).expect(TO_MEMORY),
        }
    }

    /// The bytes that the records take for certain: all but what the codec still holds.
    pub fn packed_bytes(&self) -> usize {
        match &self.0 {
            Inner::None(out) | Inner::Snappy { out, .. } | Inner::Lz4High { out, .. } => out.len(),
            Inner::Gzip(encoder) => encoder.get_ref().len(),
            Inner::Lz4(encoder) => encoder.get_ref().len(),
            Inner::Zstd(encoder) => encoder.get_ref().len(),
        }
    }

    /// All of it.
    pub fn finish(self) -> Vec<u8> {
        match self.0 {
            Inner::None(out) => out,
            Inner::Gzip(encoder) => encoder.finish().expect(TO_MEMORY),
            Inner::Snappy { block, mut encoder, mut out } => {
                if !block.is_empty() {
                    close_xerial_block(&block, &mut encoder, &mut out);
                }
                out
            }
            Inner::Lz4High { block, level, mut out } => {
                if !block.is_empty() {
                    close_lz4_block(&block, level, &mut out);
                }
                out.extend_from_slice(&lz4::END_MARK);
                out
            }
            Inner::Lz4(encoder) => encoder.finish().expect(TO_MEMORY),
            Inner::Zstd(encoder) => encoder.finish().expect(TO_MEMORY),
        }
    }
}

/// Fills one block after the other; the last one stays open.
fn in_blocks(piece: &[u8], block: &mut Vec<u8>, block_bytes: usize, mut close: impl FnMut(&[u8])) {
    let mut rest = piece;
    while !rest.is_empty() {
        let (taken, left) = rest.split_at(rest.len().min(block_bytes - block.len()));
        block.extend_from_slice(taken);
        rest = left;
        if block.len() == block_bytes {
            close(block);
            block.clear();
        }
    }
}

fn close_xerial_block(block: &[u8], encoder: &mut snap::raw::Encoder, out: &mut Vec<u8>) {
    let packed = encoder.compress_vec(block).expect(TO_MEMORY);
    out.extend_from_slice(&(packed.len() as u32).to_be_bytes());
    out.extend_from_slice(&packed);
}

fn close_lz4_block(block: &[u8], level: i32, out: &mut Vec<u8>) {
    let mode = CompressionMode::HIGHCOMPRESSION(level);
    let packed = lz4_c::block::compress(block, Some(mode), false).expect(TO_MEMORY);
    let (length, data) = match packed.len() < block.len() {
        true => (packed.len() as u32, &packed[..]),
        false => (block.len() as u32 | lz4::STORED, block),
    };
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(data);
}

/// Packs `bytes`, by default as Kafka's Java producer does with its default levels.
pub fn compress(packing: impl Into<Packing>, bytes: &[u8]) -> Vec<u8> {
    let mut packer = Packer::new(packing.into());
    packer.write(bytes);
    packer.finish()
}
