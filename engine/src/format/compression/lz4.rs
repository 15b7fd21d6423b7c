//! The LZ4 frame format, as far as Kafka's Java reader knows it.
//!
//! ```text
//! magic        flags  block size  content size  descriptor   then blocks: length  data  checksum    length 0   content
//! 04 22 4d 18  u8     u8          u64, or none  checksum u8               u32     ...   u32 or none  end mark  checksum u32, or none
//! ```
//! Blocks are independent of each other, the reserved bits are 0, there is no dictionary. Content size and
//! content checksum are stepped over, and nothing behind the end mark is looked at. The blocks themselves are
//! unpacked by `lz4_flex`; what [`ends_as_specified`] adds is what the C library and Java demand of the end
//! of a block, and `lz4_flex` does not.

use std::ops::Range;

const MAGIC: [u8; 4] = [0x04, 0x22, 0x4d, 0x18];
const VERSION: u8 = 0b0100_0000;
const INDEPENDENT: u8 = 0b0010_0000;
const BLOCK_SUM: u8 = 0b0001_0000;
const CONTENT_SIZE: u8 = 0b0000_1000;
const CONTENT_SUM: u8 = 0b0000_0100;
/// The bit in the length of a block that is not packed.
pub(super) const STORED: u32 = 1 << 31;

/// How Java's writer begins a frame: version 1, independent blocks of 64 KiB, no checksums.
pub(super) const JAVA_DESCRIPTOR: [u8; 7] = [0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82];
pub(super) const JAVA_BLOCK_BYTES: usize = 64 << 10;
pub(super) const END_MARK: [u8; 4] = [0; 4];

/// What the frame's descriptor says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    flags: u8,
    block_bytes_max: usize,
}

/// One block, or the end mark.
pub(super) struct Block {
    /// The bytes that it takes in the frame, its length and checksum included.
    pub(super) bytes: usize,
    pub(super) data: Data,
}

/// Where in its bytes a block's data lies.
pub(super) enum Data {
    Packed(Range<usize>),
    Stored(Range<usize>),
    End,
}

impl Frame {
    /// The descriptor at the front of `bytes`, and the bytes that it takes; `None` for what Java's reader
    /// refuses.
    pub(super) fn read(bytes: &[u8]) -> Option<(Frame, usize)> {
        let [flags, block_size, ..] = *bytes.strip_prefix(&MAGIC)? else { return None };
        let known = VERSION | INDEPENDENT;
        let optional = BLOCK_SUM | CONTENT_SIZE | CONTENT_SUM;
        if flags & !optional != known || block_size & 0x8f != 0 || !(4..=7).contains(&(block_size >> 4)) {
            return None;
        }
        let descriptor_bytes = if flags & CONTENT_SIZE == 0 { 2 } else { 10 };
        let end = MAGIC.len() + descriptor_bytes;
        let sum = *bytes.get(end)?;
        if sum != (xxh32(&bytes[MAGIC.len()..end]) >> 8) as u8 {
            return None;
        }
        let block_bytes_max = 1 << (2 * (block_size >> 4) + 8);
        Some((Frame { flags, block_bytes_max }, end + 1))
    }

    /// The most bytes that a block unpacks to.
    pub(super) fn block_bytes_max(&self) -> usize {
        self.block_bytes_max
    }

    /// The block at the front of `bytes`; `None` for what Java's reader refuses.
    pub(super) fn next_block(&self, bytes: &[u8]) -> Option<Block> {
        let (length, rest) = bytes.split_first_chunk::<4>()?;
        let length = u32::from_le_bytes(*length);
        let data_bytes = (length & !STORED) as usize;
        if data_bytes == 0 {
            let sum_bytes = if self.flags & CONTENT_SUM == 0 { 0 } else { 4 };
            return (rest.len() >= sum_bytes).then_some(Block { bytes: 4 + sum_bytes, data: Data::End });
        }
        if data_bytes > self.block_bytes_max {
            return None;
        }
        let data = rest.get(..data_bytes)?;
        let mut block_bytes = 4 + data_bytes;
        if self.flags & BLOCK_SUM != 0 {
            let (sum, _) = rest[data_bytes..].split_first_chunk::<4>()?;
            if u32::from_le_bytes(*sum) != xxh32(data) {
                return None;
            }
            block_bytes += sum.len();
        }
        let range = 4..4 + data_bytes;
        let data = if length & STORED == 0 { Data::Packed(range) } else { Data::Stored(range) };
        Some(Block { bytes: block_bytes, data })
    }
}

fn xxh32(bytes: &[u8]) -> u32 {
    twox_hash::XxHash32::oneshot(0, bytes)
}

/// Whether a packed block ends as the format asks for, which unpacks to `written` bytes where there is room
/// for `room`: its last five bytes are literals, and the last match begins twelve bytes before the end of the
/// room at the latest. The decoders of the C library and of Java refuse what does not.
///
/// Only for a block that `lz4_flex` has unpacked: its lengths are right.
pub(super) fn ends_as_specified(block: &[u8], written: usize, room: usize) -> bool {
    /// Between the literals before a match and the end of the block: an offset, a token and five literals.
    const READ_MARGIN: usize = 8;
    const WRITE_MARGIN: usize = 12;
    const LAST_LITERALS: usize = 5;
    const MATCH_BYTES_MIN: usize = 4;
    let length = |nibble: u8, at: &mut usize| {
        let mut length = usize::from(nibble);
        if nibble == 15 {
            while let Some(more) = block.get(*at) {
                *at += 1;
                length += usize::from(*more);
                if *more != 255 {
                    break;
                }
            }
        }
        length
    };
    let mut at = 0;
    // Where the last match stands in the block, and how long it is.
    let mut last = None;
    while let Some(token) = block.get(at) {
        at += 1;
        let literals = length(token >> 4, &mut at);
        at += literals;
        if at >= block.len() {
            let Some((place, copied)) = last else { return true };
            let end = written.saturating_sub(literals);
            let begin = end.saturating_sub(copied);
            return place + READ_MARGIN <= block.len()
                && begin + WRITE_MARGIN <= room
                && end + LAST_LITERALS <= room;
        }
        let place = at;
        at += 2;
        let copied = length(token & 15, &mut at) + MATCH_BYTES_MIN;
        last = Some((place, copied));
    }
    // It ends with a match.
    false
}
