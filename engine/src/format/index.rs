//! A segment's `.index` file: sparse, by offset and by time at once.
//!
//! ```text
//! file   | header: magic, version, reserved, crc, base offset | chunk | chunk | ...
//! chunk  | magic, entry count, crc | entry | entry | ...
//! entry  | relative offset u32 | position u32 | max timestamp i64 |
//! ```
//! An entry points at the start of a batch and holds the largest timestamp of all batches **before** it in
//! the segment. So all three columns only grow, one binary search serves offsets, positions and times alike,
//! and an entry is right when it is written: nothing that is appended later changes it.
//!
//! The file is only ever appended to, a chunk at a time, without a sync. [`decode_index`] takes the chunks
//! that are whole and tells how far that was; what is missing is found again by reading batch headers from
//! the last entry on.

use zerocopy::little_endian::{I64, U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::types::{Offset, Position, Timestamp};

/// The version that is written.
pub const INDEX_VERSION: u16 = 1;

const FILE_MAGIC: [u8; 8] = *b"STRLINDX";
const CHUNK_MAGIC: [u8; 4] = *b"CHNK";

#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct FileHeader {
    magic: [u8; 8],
    version: U16,
    reserved: U16,
    crc: U32,
    base_offset: I64,
}

#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct ChunkHeader {
    magic: [u8; 4],
    count: U32,
    crc: U32,
}

#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct StoredEntry {
    relative_offset: U32,
    position: U32,
    max_timestamp: I64,
}

const _: () = {
    assert!(size_of::<FileHeader>() == 24);
    assert!(std::mem::offset_of!(FileHeader, version) == 8);
    assert!(std::mem::offset_of!(FileHeader, crc) == 12);
    assert!(std::mem::offset_of!(FileHeader, base_offset) == 16);
    assert!(size_of::<ChunkHeader>() == 12);
    assert!(std::mem::offset_of!(ChunkHeader, count) == 4);
    assert!(std::mem::offset_of!(ChunkHeader, crc) == 8);
    assert!(size_of::<StoredEntry>() == 16);
    assert!(std::mem::offset_of!(StoredEntry, position) == 4);
    assert!(std::mem::offset_of!(StoredEntry, max_timestamp) == 8);
};

/// One place in a segment where a batch starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexEntry {
    /// The batch's base offset less the segment's.
    pub relative_offset: u32,
    /// Where the batch starts in the `.log` file.
    pub position: u32,
    /// The largest timestamp of all batches before it in the segment; -1 for none.
    pub max_timestamp: Timestamp,
}

impl IndexEntry {
    /// Where the batch starts.
    pub const fn start(&self) -> Position {
        Position(self.position as u64)
    }

    /// Whether `later` may follow this entry in an index.
    fn precedes(&self, later: &IndexEntry) -> bool {
        self.relative_offset < later.relative_offset
            && self.position < later.position
            && self.max_timestamp <= later.max_timestamp
    }
}

/// Why a file is not an index at all. It is thrown away then, and made anew from the `.log` file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IndexError {
    /// Less than a header.
    #[error("{needed} bytes of header needed, {found} are there")]
    Truncated {
        /// The bytes of a header.
        needed: usize,
        /// The bytes that are there.
        found: usize,
    },
    /// Another kind of file.
    #[error("not an index file")]
    Magic,
    /// A version that this program does not read.
    #[error("index version {found}, this program reads {INDEX_VERSION}")]
    Version {
        /// The version field.
        found: u16,
    },
    /// The header is damaged.
    #[error("index header CRC-32 {expected:#010x} in the header, {found:#010x} over the bytes")]
    Crc {
        /// The sum in the header.
        expected: u32,
        /// The sum over the bytes.
        found: u32,
    },
    /// The base offset is negative.
    #[error("negative base offset {found}")]
    BaseOffset {
        /// The base offset field.
        found: i64,
    },
}

/// What an index file holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodedIndex {
    /// The base offset of the segment.
    pub base: Offset,
    /// The entries of all whole chunks, ascending in every column.
    pub entries: Vec<IndexEntry>,
    /// The bytes of the header and the whole chunks. Less than the file has when its tail is torn or damaged.
    pub valid_bytes: usize,
}

/// The start of an index file.
pub fn encode_header(base: Offset) -> Vec<u8> {
    let mut header = FileHeader {
        magic: FILE_MAGIC,
        version: U16::new(INDEX_VERSION),
        reserved: U16::ZERO,
        crc: U32::ZERO,
        base_offset: I64::new(base.get()),
    };
    header.crc = U32::new(crc32fast::hash(header.as_bytes()));
    header.as_bytes().to_vec()
}

/// One chunk to append.
///
/// # Panics
/// Without entries, or when they do not ascend: the index in memory is ours.
pub fn encode_chunk(entries: &[IndexEntry]) -> Vec<u8> {
    assert!(!entries.is_empty(), "a chunk has an entry");
    assert!(entries.is_sorted_by(|a, b| a.precedes(b)), "index entries ascend");
    let mut header = ChunkHeader {
        magic: CHUNK_MAGIC,
        count: U32::new(u32::try_from(entries.len()).expect("an index is far below 2^32 entries")),
        crc: U32::ZERO,
    };
    let mut out = Vec::with_capacity(size_of::<ChunkHeader>() + entries.len() * size_of::<StoredEntry>());
    out.extend_from_slice(header.as_bytes());
    for entry in entries {
        let stored = StoredEntry {
            relative_offset: U32::new(entry.relative_offset),
            position: U32::new(entry.position),
            max_timestamp: I64::new(entry.max_timestamp.0),
        };
        out.extend_from_slice(stored.as_bytes());
    }
    header.crc = U32::new(crc32fast::hash(&out));
    out[..size_of::<ChunkHeader>()].copy_from_slice(header.as_bytes());
    out
}

/// Reads an index file as far as it is whole.
///
/// # Errors
/// [`IndexError`] when not even the header is.
pub fn decode_index(bytes: &[u8]) -> Result<DecodedIndex, IndexError> {
    let (header, mut rest) = FileHeader::ref_from_prefix(bytes)
        .map_err(|_| IndexError::Truncated { needed: size_of::<FileHeader>(), found: bytes.len() })?;
    if header.magic != FILE_MAGIC {
        return Err(IndexError::Magic);
    }
    if header.version.get() != INDEX_VERSION {
        return Err(IndexError::Version { found: header.version.get() });
    }
    let found = crc32fast::hash(FileHeader { crc: U32::ZERO, ..*header }.as_bytes());
    if header.crc.get() != found {
        return Err(IndexError::Crc { expected: header.crc.get(), found });
    }
    let found = header.base_offset.get();
    let base = Offset::checked(found).ok_or(IndexError::BaseOffset { found })?;
    let mut entries = Vec::new();
    while let Some(after) = decode_chunk(rest, &mut entries) {
        rest = after;
    }
    Ok(DecodedIndex { base, entries, valid_bytes: bytes.len() - rest.len() })
}

/// Moves the entries of the chunk at the front of `bytes` to `entries` and returns what follows it; `None`,
/// and no entry moved, when it is not whole or does not ascend.
fn decode_chunk<'a>(bytes: &'a [u8], entries: &mut Vec<IndexEntry>) -> Option<&'a [u8]> {
    let (header, after) = ChunkHeader::ref_from_prefix(bytes).ok()?;
    if header.magic != CHUNK_MAGIC || header.count.get() == 0 {
        return None;
    }
    let (stored, rest) =
        <[StoredEntry]>::ref_from_prefix_with_elems(after, header.count.get() as usize).ok()?;
    let mut sum = crc32fast::Hasher::new();
    sum.update(ChunkHeader { crc: U32::ZERO, ..*header }.as_bytes());
    sum.update(stored.as_bytes());
    if sum.finalize() != header.crc.get() {
        return None;
    }
    let start = entries.len();
    for entry in stored {
        let entry = IndexEntry {
            relative_offset: entry.relative_offset.get(),
            position: entry.position.get(),
            max_timestamp: Timestamp(entry.max_timestamp.get()),
        };
        if entries.last().is_some_and(|last| !last.precedes(&entry)) {
            entries.truncate(start);
            return None;
        }
        entries.push(entry);
    }
    Some(rest)
}

/// The last entry at or before an offset; `None` when the scan must start at the segment's start.
pub fn floor(entries: &[IndexEntry], relative_offset: u32) -> Option<IndexEntry> {
    last_where(entries, |entry| entry.relative_offset <= relative_offset)
}

/// The last entry at or before a byte position; `None` when the scan must start at the segment's start.
pub fn floor_position(entries: &[IndexEntry], position: Position) -> Option<IndexEntry> {
    last_where(entries, |entry| entry.start() <= position)
}

/// The last entry from which a scan finds the first batch whose max timestamp is at least `timestamp`; `None`
/// when the scan must start at the segment's start.
pub fn before_timestamp(entries: &[IndexEntry], timestamp: Timestamp) -> Option<IndexEntry> {
    last_where(entries, |entry| entry.max_timestamp < timestamp)
}

fn last_where(entries: &[IndexEntry], holds: impl Fn(&IndexEntry) -> bool) -> Option<IndexEntry> {
    let count = entries.partition_point(holds);
    entries[..count].last().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries() -> Vec<IndexEntry> {
        let entry = |relative_offset, position, max_timestamp| IndexEntry {
            relative_offset,
            position,
            max_timestamp: Timestamp(max_timestamp),
        };
        vec![entry(10, 100, -1), entry(20, 200, 50), entry(30, 300, 50), entry(40, 400, 90)]
    }

    #[test]
    fn lookups_find_what_a_scan_finds() {
        let entries = entries();
        let scan = |holds: &dyn Fn(&IndexEntry) -> bool| entries.iter().copied().rfind(|entry| holds(entry));
        for at in 0..500u32 {
            assert_eq!(floor(&entries, at), scan(&|entry| entry.relative_offset <= at));
            assert_eq!(floor_position(&entries, Position::from(at)), scan(&|entry| entry.position <= at));
            let time = Timestamp(i64::from(at));
            assert_eq!(before_timestamp(&entries, time), scan(&|entry| entry.max_timestamp < time));
        }
        assert_eq!(before_timestamp(&entries, Timestamp::NONE), None);
        assert_eq!(floor_position(&entries, Position(u64::MAX)), entries.last().copied());
    }

    #[test]
    fn chunks_that_do_not_ascend_end_the_index() {
        let mut file = encode_header(Offset::ZERO);
        file.extend(encode_chunk(&entries()));
        let valid_bytes = file.len();
        file.extend(encode_chunk(&entries()[3..]));
        let read = decode_index(&file).expect("a sound header");
        assert_eq!((read.entries, read.valid_bytes), (entries(), valid_bytes));
    }
}
