//! The `aborted` file of a partition: the transactions that were aborted in it, for the readers that leave
//! them out (`read_committed`).
//!
//! ```text
//! file   | header: magic, version, reserved, crc, purged end | row | row | ...
//! row    | producer id i64 | first offset i64 | marker offset i64 | last stable offset i64 | crc u32 |
//! ```
//! Rows are of one width, and sorted by the offset of the marker, so that a row is found by a binary search
//! with small reads: the file is as long as clients want to abort, and is never held in memory. Each row has
//! a sum of its own. Rows are appended and synced before the recovery point passes their markers; those that
//! nobody needs go from the front, by a new file in this one's place, which says so by its purged end.

use std::collections::{BTreeSet, HashMap};

use zerocopy::little_endian::{I64, U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::batch::BatchHeader;
use super::marker::TransactionResult;
use crate::types::{Offset, Position, ProducerId};

/// The version that is written.
pub const ABORTED_VERSION: u16 = 1;

/// The first bytes of the file.
pub const ABORTED_MAGIC: [u8; 8] = *b"STRLABRT";

/// Bytes of the header.
pub const ABORTED_HEADER_BYTES: usize = size_of::<FileHeader>();

/// Bytes of a row.
pub const ABORTED_ROW_BYTES: usize = size_of::<StoredRow>();

#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct FileHeader {
    magic: [u8; 8],
    version: U16,
    reserved: U16,
    crc: U32,
    purged_end: I64,
}

#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct StoredRow {
    producer_id: I64,
    first_offset: I64,
    marker_offset: I64,
    last_stable: I64,
    crc: U32,
}

const _: () = {
    assert!(size_of::<FileHeader>() == 24);
    assert!(std::mem::offset_of!(FileHeader, version) == 8);
    assert!(std::mem::offset_of!(FileHeader, crc) == 12);
    assert!(std::mem::offset_of!(FileHeader, purged_end) == 16);
    assert!(size_of::<StoredRow>() == 36);
    assert!(std::mem::offset_of!(StoredRow, first_offset) == 8);
    assert!(std::mem::offset_of!(StoredRow, marker_offset) == 16);
    assert!(std::mem::offset_of!(StoredRow, last_stable) == 24);
    assert!(std::mem::offset_of!(StoredRow, crc) == 32);
};

/// An aborted transaction of one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AbortedRow {
    /// Its producer.
    pub producer_id: ProducerId,
    /// The offset of its first record, or of the first one that was left when the row was made.
    pub first_offset: Offset,
    /// The offset of its ABORT marker.
    pub marker_offset: Offset,
    /// The last stable offset behind the marker: every transaction with a record before it has its marker at
    /// or before this one's.
    pub last_stable: Offset,
}

impl AbortedRow {
    /// The bytes that are stored.
    pub fn encode(&self) -> [u8; ABORTED_ROW_BYTES] {
        let mut row = StoredRow {
            producer_id: I64::new(self.producer_id.0),
            first_offset: I64::new(self.first_offset.get()),
            marker_offset: I64::new(self.marker_offset.get()),
            last_stable: I64::new(self.last_stable.get()),
            crc: U32::ZERO,
        };
        row.crc = U32::new(crc32fast::hash(row.as_bytes()));
        zerocopy::transmute!(row)
    }

    /// Reads the row at the front of `bytes`; `None` where none is whole.
    pub fn decode(bytes: &[u8]) -> Option<AbortedRow> {
        let (row, _) = StoredRow::ref_from_prefix(bytes).ok()?;
        if row.crc.get() != crc32fast::hash(StoredRow { crc: U32::ZERO, ..*row }.as_bytes()) {
            return None;
        }
        let row = AbortedRow {
            producer_id: ProducerId(row.producer_id.get()),
            first_offset: Offset::checked(row.first_offset.get())?,
            marker_offset: Offset::checked(row.marker_offset.get())?,
            last_stable: Offset::checked(row.last_stable.get())?,
        };
        let is_sound = !row.producer_id.is_none()
            && row.first_offset < row.marker_offset
            && row.last_stable.get() - 1 <= row.marker_offset.get();
        is_sound.then_some(row)
    }

    /// Whether the transaction has a record that a reader of the offsets from `start` to `end` may see.
    pub fn overlaps(&self, start: Offset, end: Offset) -> bool {
        self.marker_offset >= start && self.first_offset < end
    }

    /// Whether `later` may follow this row.
    pub fn precedes(&self, later: &AbortedRow) -> bool {
        self.marker_offset < later.marker_offset && self.last_stable <= later.last_stable
    }
}

/// Where the row of this number stands, counted from 0.
pub const fn row_position(number: u64) -> Position {
    Position(ABORTED_HEADER_BYTES as u64 + number * ABORTED_ROW_BYTES as u64)
}

/// How many whole rows a file of this length has room for.
pub const fn rows_in(length: u64) -> u64 {
    length.saturating_sub(ABORTED_HEADER_BYTES as u64) / ABORTED_ROW_BYTES as u64
}

/// Why a file is none of aborted transactions. It is made anew then, from the `.log` files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AbortedError {
    /// Less than a header.
    #[error("{needed} bytes of header needed, {found} are there")]
    Truncated {
        /// The bytes of a header.
        needed: usize,
        /// The bytes that are there.
        found: usize,
    },
    /// Another kind of file.
    #[error("not a file of aborted transactions")]
    Magic,
    /// A version that this program does not read.
    #[error("version {found}, this program reads {ABORTED_VERSION}")]
    Version {
        /// The version field.
        found: u16,
    },
    /// The header is damaged.
    #[error("header CRC-32 {expected:#010x} in the header, {found:#010x} over the bytes")]
    Crc {
        /// The sum in the header.
        expected: u32,
        /// The sum over the bytes.
        found: u32,
    },
    /// The purged end is negative.
    #[error("negative purged end {found}")]
    PurgedEnd {
        /// The field.
        found: i64,
    },
}

/// The start of a file. Rows of markers before `purged_end` were removed.
pub fn encode_header(purged_end: Offset) -> [u8; ABORTED_HEADER_BYTES] {
    let mut header = FileHeader {
        magic: ABORTED_MAGIC,
        version: U16::new(ABORTED_VERSION),
        reserved: U16::ZERO,
        crc: U32::ZERO,
        purged_end: I64::new(purged_end.get()),
    };
    header.crc = U32::new(crc32fast::hash(header.as_bytes()));
    zerocopy::transmute!(header)
}

/// The purged end in the header at the front of `bytes`.
///
/// # Errors
/// [`AbortedError`].
pub fn decode_header(bytes: &[u8]) -> Result<Offset, AbortedError> {
    let (header, _) = FileHeader::ref_from_prefix(bytes)
        .map_err(|_| AbortedError::Truncated { needed: ABORTED_HEADER_BYTES, found: bytes.len() })?;
    if header.magic != ABORTED_MAGIC {
        return Err(AbortedError::Magic);
    }
    if header.version.get() != ABORTED_VERSION {
        return Err(AbortedError::Version { found: header.version.get() });
    }
    let found = crc32fast::hash(FileHeader { crc: U32::ZERO, ..*header }.as_bytes());
    if header.crc.get() != found {
        return Err(AbortedError::Crc { expected: header.crc.get(), found });
    }
    let found = header.purged_end.get();
    Offset::checked(found).ok_or(AbortedError::PurgedEnd { found })
}

/// The rows at the front of `bytes`, which follow `before`: up to the first that is not whole, or does not
/// follow the one before.
pub fn decode_rows(bytes: &[u8], before: Option<AbortedRow>) -> Vec<AbortedRow> {
    let mut last = before;
    let row = |bytes| {
        let row = AbortedRow::decode(bytes)?;
        let follows = last.is_none_or(|last| last.precedes(&row));
        last = Some(row);
        follows.then_some(row)
    };
    bytes.chunks_exact(ABORTED_ROW_BYTES).map_while(row).collect()
}

/// What a file holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodedAborted {
    /// Rows of markers before it were removed.
    pub purged_end: Offset,
    /// The rows, sorted by marker.
    pub rows: Vec<AbortedRow>,
    /// The bytes of the header and these rows. Less than the file has when it is torn or damaged.
    pub valid_bytes: usize,
}

/// Reads a whole file as far as it is whole: for tools, which have the memory.
///
/// # Errors
/// [`AbortedError`] when not even the header is.
pub fn decode_aborted(bytes: &[u8]) -> Result<DecodedAborted, AbortedError> {
    let purged_end = decode_header(bytes)?;
    let mut rows = decode_rows(&bytes[ABORTED_HEADER_BYTES..], None);
    if rows.first().is_some_and(|first| first.marker_offset < purged_end) {
        rows.clear();
    }
    let valid_bytes = ABORTED_HEADER_BYTES + rows.len() * ABORTED_ROW_BYTES;
    Ok(DecodedAborted { purged_end, rows, valid_bytes })
}

/// A whole file.
pub fn encode_aborted(purged_end: Offset, rows: &[AbortedRow]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(ABORTED_HEADER_BYTES + rows.len() * ABORTED_ROW_BYTES);
    bytes.extend_from_slice(&encode_header(purged_end));
    rows.iter().for_each(|row| bytes.extend_from_slice(&row.encode()));
    bytes
}

/// The transactions of a log, followed from batch to batch, to make the rows anew.
#[derive(Debug, Default)]
pub struct Transactions {
    /// The base offset of the first batch of each that is open.
    open: HashMap<ProducerId, Offset>,
    starts: BTreeSet<Offset>,
}

impl Transactions {
    /// Takes in the next batch; `result` is what it says if it is a marker. Gives the row of a transaction
    /// that it aborts, unless no record of that is left.
    pub fn pass(&mut self, header: &BatchHeader, result: Option<TransactionResult>) -> Option<AbortedRow> {
        let (producer_id, offset) = (header.producer()?.id, header.base_offset());
        if header.is_control() {
            let first_offset = self.open.remove(&producer_id)?;
            self.starts.remove(&first_offset);
            let last_stable = self.starts.first().copied().unwrap_or(header.next_offset());
            return (result == Some(TransactionResult::Abort)).then_some(AbortedRow {
                producer_id,
                first_offset,
                marker_offset: offset,
                last_stable,
            });
        }
        // Of a batch that compaction has emptied nothing is left to be decided about.
        if header.is_transactional() && header.record_count() > 0 {
            self.starts.insert(*self.open.entry(producer_id).or_insert(offset));
        }
        None
    }
}
