//! The shard's write-ahead journal as bytes: a sequence of commits, each at a multiple of
//! [`COMMIT_ALIGNMENT`].
//!
//! ```text
//! file    | commit 0        | commit 1    | commit 2        | zeros, or what an earlier use of the file left |
//! commit  | header | entry 0 ... entry n-1 | batch 0 ... batch n-1, byte for byte | zeros up to the alignment |
//!                                            or the data of a truncation, which is summed whole
//!           '-- crc covers these ---------'  '- and the first 61 bytes of each: the batch's own sum lies there
//! ```
//! **No record is summed twice.** A batch brings a CRC-32C over its records, which was verified when it came
//! in. The commit's sum covers the header, the entries and each batch's header (base offset, leader epoch and
//! that very CRC-32C are not covered by it). So a commit is whole when [`read_commit`] accepts it **and**
//! [`Commit::verify`] does; only then may it be replayed.
//!
//! **A log may be truncated** ([`Truncation`]). Every entry says how often its log was truncated before: what
//! was appended before a truncation counts no more after it, whichever file it stands in. In version 1, which
//! has no such number, no log was ever truncated.
//!
//! The file is written ahead with zeros and used again and again, so its end is not the end of the journal.
//! That is where the generation changes (each use of a file has its own) or the sequence does not go on by
//! one; [`End`] says which. Whether an end is a torn tail or damage in the middle is for the journal to say,
//! who can look for commits further on.

use std::ops::Range;

use zerocopy::little_endian::{I64, U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::batch::{self, BATCH_HEADER_BYTES, BatchError, BatchHeader};
use crate::buffer::AlignedBuffer;
use crate::types::{Offset, PartitionId, Position, Timestamp, TopicId};

/// Commits start at multiples of this many bytes and are padded to one.
pub const COMMIT_ALIGNMENT: usize = AlignedBuffer::ALIGNMENT;
/// The most bytes of a commit without padding: one batch as large as a request may be (100 MiB), and room for
/// its company. A reader allocates this much for what a damaged header says, and never more.
pub const COMMIT_BYTES_MAX: usize = 128 << 20;
/// The version that is written.
pub const JOURNAL_VERSION: u16 = 2;

const MAGIC: [u8; 8] = *b"STRLJRNL";
const KIND_BATCH: u8 = 1;
const KIND_TRUNCATION: u8 = 2;

/// The start of a commit.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct CommitHeader {
    magic: [u8; 8],
    version: U16,
    reserved: U16,
    crc: U32,
    generation: U64,
    sequence: U64,
    bytes: U32,
    entry_count: U32,
}

const HEADER_BYTES: usize = size_of::<CommitHeader>();

const _: () = {
    assert!(HEADER_BYTES == 40);
    assert!(std::mem::offset_of!(CommitHeader, version) == 8);
    assert!(std::mem::offset_of!(CommitHeader, crc) == 12);
    assert!(std::mem::offset_of!(CommitHeader, generation) == 16);
    assert!(std::mem::offset_of!(CommitHeader, sequence) == 24);
    assert!(std::mem::offset_of!(CommitHeader, bytes) == 32);
    assert!(std::mem::offset_of!(CommitHeader, entry_count) == 36);
};

/// What one batch or truncation of a commit is and where it belongs. In version 1 it ends with the reserved
/// bytes.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Entry {
    topic: [u8; 16],
    base_offset: I64,
    partition: U32,
    length: U32,
    kind: u8,
    reserved: [u8; 3],
    truncations: U32,
}

const ENTRY_BYTES: usize = size_of::<Entry>();
const ENTRY_BYTES_V1: usize = 36;

/// The data of a truncation.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct TruncationRow {
    segment_base: I64,
    position: U64,
    max_timestamp: I64,
}

/// The data bytes of a truncation.
pub const TRUNCATION_BYTES: usize = size_of::<TruncationRow>();

const _: () = {
    assert!(ENTRY_BYTES == 40);
    assert!(std::mem::offset_of!(Entry, truncations) == ENTRY_BYTES_V1);
    assert!(TRUNCATION_BYTES == 24);
    assert!(std::mem::offset_of!(TruncationRow, position) == 8);
    assert!(std::mem::offset_of!(Entry, base_offset) == 16);
    assert!(std::mem::offset_of!(Entry, partition) == 24);
    assert!(std::mem::offset_of!(Entry, length) == 28);
    assert!(std::mem::offset_of!(Entry, kind) == 32);
};

/// The bytes that a commit takes in the file, padding included.
pub const fn commit_bytes(entry_count: usize, data_bytes: usize) -> usize {
    unpadded_bytes(entry_count, data_bytes).next_multiple_of(COMMIT_ALIGNMENT)
}

const fn unpadded_bytes(entry_count: usize, data_bytes: usize) -> usize {
    HEADER_BYTES + entry_count * ENTRY_BYTES + data_bytes
}

/// A batch for [`encode_commit`]: where it belongs, how often its log was truncated, and its bytes.
pub type NewBatch<'a> = (PartitionId, u32, &'a [u8]);

/// Appends one commit to `buffer`, ready for a direct write. Each of `batches` is one whole, stamped batch;
/// their bytes are copied once.
///
/// # Panics
/// When `buffer` does not end at a multiple of [`COMMIT_ALIGNMENT`], when something is not one whole batch,
/// when there is none, or beyond [`COMMIT_BYTES_MAX`]: all of that is the journal's own work.
pub fn encode_commit(buffer: &mut AlignedBuffer, generation: u64, sequence: u64, batches: &[NewBatch<'_>]) {
    let start = buffer.len();
    let bytes = unpadded_bytes(batches.len(), batches.iter().map(|(.., batch)| batch.len()).sum());
    assert!(!batches.is_empty(), "a commit has a batch");
    assert!(bytes <= COMMIT_BYTES_MAX, "a commit of {bytes} bytes could not be read back");

    let header = begin_commit(buffer, generation, sequence, bytes, batches.len());
    for (partition, truncations, batch) in batches {
        let batch_header = BatchHeader::peek(batch).expect("a batch of ours has a valid header");
        assert_eq!(batch_header.total_bytes(), batch.len(), "one whole batch");
        let entry = Entry {
            topic: partition.topic.to_bytes(),
            base_offset: I64::new(batch_header.base_offset().get()),
            partition: U32::new(partition.index),
            length: U32::new(batch.len() as u32),
            kind: KIND_BATCH,
            reserved: [0; 3],
            truncations: U32::new(*truncations),
        };
        buffer.extend(entry.as_bytes());
    }
    let mut sum = crc32fast::Hasher::new();
    sum.update(&buffer.as_ref()[start..]);
    for (.., batch) in batches {
        sum.update(&batch[..BATCH_HEADER_BYTES]);
        buffer.extend(batch);
    }
    end_commit(buffer, start, header, sum);
}

/// Appends a commit that holds nothing but a truncation to `buffer`, ready for a direct write.
///
/// # Panics
/// When `buffer` does not end at a multiple of [`COMMIT_ALIGNMENT`].
pub fn encode_truncation(
    buffer: &mut AlignedBuffer,
    generation: u64,
    sequence: u64,
    truncation: &Truncation,
) {
    let start = buffer.len();
    let header = begin_commit(buffer, generation, sequence, unpadded_bytes(1, TRUNCATION_BYTES), 1);
    let entry = Entry {
        topic: truncation.partition.topic.to_bytes(),
        base_offset: I64::new(truncation.end.get()),
        partition: U32::new(truncation.partition.index),
        length: U32::new(TRUNCATION_BYTES as u32),
        kind: KIND_TRUNCATION,
        reserved: [0; 3],
        truncations: U32::new(truncation.truncations),
    };
    let row = TruncationRow {
        segment_base: I64::new(truncation.segment_base.get()),
        position: U64::new(truncation.position.0),
        max_timestamp: I64::new(truncation.max_timestamp.0),
    };
    buffer.extend(entry.as_bytes());
    buffer.extend(row.as_bytes());
    let mut sum = crc32fast::Hasher::new();
    sum.update(&buffer.as_ref()[start..]);
    end_commit(buffer, start, header, sum);
}

fn begin_commit(
    buffer: &mut AlignedBuffer,
    generation: u64,
    sequence: u64,
    bytes: usize,
    entry_count: usize,
) -> CommitHeader {
    assert!(buffer.len().is_multiple_of(COMMIT_ALIGNMENT), "a commit starts at a block");
    let header = CommitHeader {
        magic: MAGIC,
        version: U16::new(JOURNAL_VERSION),
        reserved: U16::ZERO,
        crc: U32::ZERO,
        generation: U64::new(generation),
        sequence: U64::new(sequence),
        bytes: U32::new(bytes as u32),
        entry_count: U32::new(entry_count as u32),
    };
    buffer.extend(header.as_bytes());
    header
}

fn end_commit(buffer: &mut AlignedBuffer, start: usize, header: CommitHeader, sum: crc32fast::Hasher) {
    let header = CommitHeader { crc: U32::new(sum.finalize()), ..header };
    buffer.as_mut()[start..start + HEADER_BYTES].copy_from_slice(header.as_bytes());
    buffer.pad();
}

/// What the commit at a place must be to belong to the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expect {
    /// This use of the file; `None` for the first commit of a file, which tells it.
    pub generation: Option<u64>,
    /// 0 for the first commit of a file, then one more each.
    pub sequence: u64,
}

/// Why the journal ends at a place: there is no whole commit that belongs to it. The log line's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum End {
    /// Nothing was ever written here.
    #[error("unwritten space")]
    Zeros,
    /// The file ends.
    #[error("{needed} bytes needed, {found} are left")]
    Short {
        /// The bytes of a block, or of the commit with its padding.
        needed: usize,
        /// The bytes that are there.
        found: usize,
    },
    /// Something else than the start of a commit, such as the inside of an older one.
    #[error("no commit starts here")]
    Magic,
    /// A commit of a version that this program does not read. **Not** an end to write on from.
    #[error("commit version {found}, this program reads {JOURNAL_VERSION}")]
    Version {
        /// The version field.
        found: u16,
    },
    /// A commit of another use of the file.
    #[error("generation {found}, expected {expected}")]
    Generation {
        /// This use.
        expected: u64,
        /// The generation field.
        found: u64,
    },
    /// A commit out of turn.
    #[error("sequence {found}, expected {expected}")]
    Sequence {
        /// The next one.
        expected: u64,
        /// The sequence field.
        found: u64,
    },
    /// The header names an impossible size.
    #[error("a commit of {bytes} bytes with {entry_count} entries")]
    Size {
        /// The size field.
        bytes: u32,
        /// The entry count field.
        entry_count: u32,
    },
    /// Header, entries or batch headers are not what was summed: a torn write, or damage.
    #[error("commit CRC-32 {expected:#010x} in the header, {found:#010x} over the bytes")]
    Crc {
        /// The sum in the header.
        expected: u32,
        /// The sum over the bytes.
        found: u32,
    },
    /// The sum is right and the entries still contradict the batches: a bug of the writer, or a forgery.
    #[error("entry {entry} does not fit its batch")]
    Entry {
        /// The number of the entry, from 0.
        entry: u32,
    },
    /// The records of a batch are not what was summed: a torn write, or damage.
    #[error("batch {entry}: {error}")]
    Batch {
        /// The number of the entry, from 0.
        entry: u32,
        /// What the batch says.
        error: BatchError,
    },
}

impl End {
    /// Whether this is how a journal ends that was never interrupted: unwritten space, the file's end, or an
    /// earlier use of it.
    pub const fn is_clean(self) -> bool {
        matches!(self, End::Zeros | End::Short { .. } | End::Magic | End::Generation { .. })
    }
}

/// A commit whose header, entries and batch headers are right.
#[derive(Clone, Copy, Debug)]
pub struct Commit<'a> {
    header: &'a CommitHeader,
    entries: &'a [u8],
    bytes: &'a [u8],
}

/// A log is cut off: all from `end` on goes. What lies before was durable in the segments when this was
/// written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Truncation {
    /// The log.
    pub partition: PartitionId,
    /// How often it is truncated, this time included.
    pub truncations: u32,
    /// The offset that the next record gets.
    pub end: Offset,
    /// The segment that the log ends in. With a position of 0 there need not be one: what stands before it is
    /// closed.
    pub segment_base: Offset,
    /// Where that segment's `.log` file ends.
    pub position: Position,
    /// The largest timestamp of that segment's batches that stay; -1 for none.
    pub max_timestamp: Timestamp,
}

/// One batch of a commit.
#[derive(Clone, Debug)]
pub struct JournalBatch<'a> {
    /// Where it belongs.
    pub partition: PartitionId,
    /// Its base offset.
    pub base_offset: Offset,
    /// How often its log was truncated before.
    pub truncations: u32,
    /// Its place in the commit, counted from the commit's start.
    pub range: Range<usize>,
    /// The batch.
    pub bytes: &'a [u8],
}

impl JournalBatch<'_> {
    /// The header, which [`read_commit`] has checked.
    pub fn header(&self) -> &BatchHeader {
        BatchHeader::raw(self.bytes).expect("read_commit has seen this header")
    }

    /// Compares the batch with its own CRC-32C.
    ///
    /// # Errors
    /// [`BatchError::Crc`].
    pub fn verify(&self) -> Result<(), BatchError> {
        batch::verify_crc(self.bytes)
    }
}

/// The bytes, padding included, of the commit whose first block (or more) is `bytes`: what to read before
/// [`read_commit`].
///
/// # Errors
/// [`End`], as far as the header tells. The size is at most [`COMMIT_BYTES_MAX`] rounded up, and not yet
/// covered by a sum.
pub fn peek_commit(bytes: &[u8], expect: Expect) -> Result<usize, End> {
    peek(bytes, expect).map(|header| (header.bytes.get() as usize).next_multiple_of(COMMIT_ALIGNMENT))
}

impl CommitHeader {
    fn entry_bytes(&self) -> usize {
        if self.version.get() == 1 { ENTRY_BYTES_V1 } else { ENTRY_BYTES }
    }
}

impl Entry {
    /// What version 1 does not have is 0.
    fn read(bytes: &[u8]) -> Entry {
        let mut whole = [0; ENTRY_BYTES];
        whole[..bytes.len()].copy_from_slice(bytes);
        Entry::read_from_bytes(&whole).expect("an entry has these bytes")
    }

    /// Bytes of its data that the commit's sum covers.
    fn summed_bytes(&self) -> usize {
        if self.kind == KIND_TRUNCATION { TRUNCATION_BYTES } else { BATCH_HEADER_BYTES }
    }

    fn partition(&self) -> PartitionId {
        PartitionId::new(TopicId::from_bytes(self.topic), self.partition.get())
    }

    /// Whether it is one that a commit of this version may have, and tells the truth about its data.
    fn fits(&self, version: u16, data: &[u8]) -> bool {
        let Some(offset) = Offset::checked(self.base_offset.get()) else { return false };
        match self.kind {
            KIND_BATCH => BatchHeader::peek(data)
                .is_ok_and(|head| head.total_bytes() == data.len() && head.base_offset() == offset),
            KIND_TRUNCATION if version > 1 => TruncationRow::read_from_bytes(data)
                .is_ok_and(|row| Offset::checked(row.segment_base.get()).is_some_and(|base| base <= offset)),
            _ => false,
        }
    }
}

fn peek(bytes: &[u8], expect: Expect) -> Result<&CommitHeader, End> {
    let Ok((header, _)) = CommitHeader::ref_from_prefix(bytes) else {
        return Err(End::Short { needed: COMMIT_ALIGNMENT, found: bytes.len() });
    };
    if header.magic != MAGIC {
        let unwritten = header.as_bytes().iter().all(|byte| *byte == 0);
        return Err(if unwritten { End::Zeros } else { End::Magic });
    }
    if !(1..=JOURNAL_VERSION).contains(&header.version.get()) {
        return Err(End::Version { found: header.version.get() });
    }
    let found = header.generation.get();
    if let Some(expected) = expect.generation
        && expected != found
    {
        return Err(End::Generation { expected, found });
    }
    if header.sequence.get() != expect.sequence {
        return Err(End::Sequence { expected: expect.sequence, found: header.sequence.get() });
    }
    let (bytes, entry_count) = (header.bytes.get(), header.entry_count.get());
    let entry_least =
        header.entry_bytes() + if header.version.get() == 1 { BATCH_HEADER_BYTES } else { TRUNCATION_BYTES };
    let least = HEADER_BYTES as u64 + u64::from(entry_count) * entry_least as u64;
    if entry_count == 0 || u64::from(bytes) < least || bytes as usize > COMMIT_BYTES_MAX {
        return Err(End::Size { bytes, entry_count });
    }
    Ok(header)
}

/// The commit at the start of `bytes`, which reach to its end or beyond.
///
/// The records are not looked at: ask [`Commit::verify`] before one of them is used.
///
/// # Errors
/// [`End`]: the journal ends before this place.
pub fn read_commit(bytes: &[u8], expect: Expect) -> Result<Commit<'_>, End> {
    let header = peek(bytes, expect)?;
    let length = header.bytes.get() as usize;
    let short = End::Short { needed: length.next_multiple_of(COMMIT_ALIGNMENT), found: bytes.len() };
    let bytes = bytes.get(..length).ok_or(short)?;
    let entries = &bytes[HEADER_BYTES..][..header.entry_count.get() as usize * header.entry_bytes()];
    let commit = Commit { header, entries, bytes };

    let mut sum = crc32fast::Hasher::new();
    sum.update(CommitHeader { crc: U32::ZERO, ..*header }.as_bytes());
    sum.update(entries);
    let mut fits = Ok(());
    let mut place = commit.data_start();
    for (number, entry) in (0..).zip(commit.entries()) {
        let head = bytes.get(place..).and_then(|rest| rest.get(..entry.summed_bytes()));
        let Some(head) = head else {
            fits = Err(End::Entry { entry: number });
            break;
        };
        sum.update(head);
        place += entry.length.get() as usize;
    }
    let (expected, found) = (header.crc.get(), sum.finalize());
    if expected != found {
        return Err(End::Crc { expected, found });
    }
    fits?;
    if place != length {
        return Err(End::Entry { entry: header.entry_count.get() - 1 });
    }
    for (number, (entry, range)) in (0..).zip(commit.places()) {
        if !bytes.get(range).is_some_and(|data| entry.fits(header.version.get(), data)) {
            return Err(End::Entry { entry: number });
        }
    }
    Ok(commit)
}

impl<'a> Commit<'a> {
    /// This use of the file.
    pub fn generation(&self) -> u64 {
        self.header.generation.get()
    }

    /// The number of the commit in this use of the file.
    pub fn sequence(&self) -> u64 {
        self.header.sequence.get()
    }

    /// The bytes that the commit takes in the file: the next one starts that much later.
    pub fn padded_bytes(&self) -> usize {
        self.bytes.len().next_multiple_of(COMMIT_ALIGNMENT)
    }

    /// The number of batches and truncations, 1 or more.
    pub fn len(&self) -> usize {
        self.header.entry_count.get() as usize
    }

    /// Never: a commit has an entry.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// The batches in the order in which they were appended.
    pub fn batches(&self) -> impl Iterator<Item = JournalBatch<'a>> + use<'a> {
        let bytes = self.bytes;
        self.places().filter(|(entry, _)| entry.kind == KIND_BATCH).map_while(move |(entry, range)| {
            Some(JournalBatch {
                partition: entry.partition(),
                base_offset: Offset::checked(entry.base_offset.get())?,
                truncations: entry.truncations.get(),
                bytes: bytes.get(range.clone())?,
                range,
            })
        })
    }

    /// The truncations.
    pub fn truncations(&self) -> impl Iterator<Item = Truncation> + use<'a> {
        let bytes = self.bytes;
        self.places().filter(|(entry, _)| entry.kind == KIND_TRUNCATION).map_while(move |(entry, range)| {
            let row = TruncationRow::read_from_bytes(bytes.get(range)?).ok()?;
            Some(Truncation {
                partition: entry.partition(),
                truncations: entry.truncations.get(),
                end: Offset::checked(entry.base_offset.get())?,
                segment_base: Offset::checked(row.segment_base.get())?,
                position: Position(row.position.get()),
                max_timestamp: Timestamp(row.max_timestamp.get()),
            })
        })
    }

    fn entries(&self) -> impl Iterator<Item = Entry> + use<'a> {
        self.entries.chunks_exact(self.header.entry_bytes()).map(Entry::read)
    }

    /// The entries, and where the data of each lies.
    fn places(&self) -> impl Iterator<Item = (Entry, Range<usize>)> + use<'a> {
        self.entries().scan(self.data_start(), |place, entry| {
            let range = *place..*place + entry.length.get() as usize;
            *place = range.end;
            Some((entry, range))
        })
    }

    /// Compares every batch with its own CRC-32C: the second half of what makes a commit whole.
    ///
    /// # Errors
    /// [`End::Batch`] for the first that differs.
    pub fn verify(&self) -> Result<(), End> {
        for (entry, batch) in (0..).zip(self.batches()) {
            batch.verify().map_err(|error| End::Batch { entry, error })?;
        }
        Ok(())
    }

    fn data_start(&self) -> usize {
        HEADER_BYTES + self.entries.len()
    }
}

#[cfg(test)]
mod tests;
