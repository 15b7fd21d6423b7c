//! The records behind dead letters, as their log has them: read batch by batch, unpacked in pieces, and
//! handed on one by one.

use std::borrow::Cow;

use strandline_engine::error::ReadError;
use strandline_engine::format::batch::{BATCH_HEADER_BYTES, BatchHeader, Batches, verify_crc};
use strandline_engine::format::compression::{
    Codec, DecompressError, PIECE_BYTES, Strictness, Unpacker, decompress,
};
use strandline_engine::format::record::Records;
use strandline_engine::types::{Offset, PartitionId};

use super::record::Post;
use super::{LetterError, UNPACKED_BYTES_MAX};
use crate::coordination::{Partitions, RecordsError};
use crate::share::log::ShareLog;
use crate::share::partition::Letter;

/// What is read at once, unless one batch is larger.
const READ_BYTES: u64 = 1 << 20;

/// After so many records it is looked whether others wait.
const RECORDS_AT_ONCE: usize = 512;

/// Dead letters one by one, in the order of their offsets.
struct Letters<'a> {
    letters: &'a [Letter],
    next: Option<i64>,
}

impl<'a> Letters<'a> {
    fn new(letters: &'a [Letter]) -> Letters<'a> {
        Letters { letters, next: letters.first().map(|letter| letter.first) }
    }

    /// The next one, where it is not behind `last`.
    fn peek(&self, last: i64) -> Option<(&'a Letter, i64)> {
        let offset = self.next.filter(|offset| *offset <= last)?;
        Some((self.letters.first()?, offset))
    }

    fn step(&mut self) {
        let Some((letter, rest)) = self.letters.split_first() else { return };
        self.next = self.next.filter(|offset| *offset < letter.last).map(|offset| offset + 1);
        if self.next.is_none() {
            *self = Letters::new(rest);
        }
    }
}

/// Posts all dead letters, with the content of their records where that is copied and there.
pub(super) async fn post<L: ShareLog>(
    log: &L,
    partition: PartitionId,
    copies: bool,
    letters: &[Letter],
    post: &mut Post<'_, L>,
) -> Result<(), LetterError> {
    let mut letters = Letters::new(letters);
    while let Some((_, offset)) = letters.peek(i64::MAX) {
        // Without content, up to here.
        let mut bare = if copies { offset - 1 } else { i64::MAX };
        if copies {
            match log.read(partition, Offset::new(offset), READ_BYTES).await {
                Ok(bytes) => post_of(log, &bytes, &mut letters, post).await?,
                Err(RecordsError::Read(ReadError::OffsetOutOfRange { log_start, .. })) => {
                    bare = log_start.get() - 1;
                }
                Err(error) if is_passing(&error) => return Err(error.into()),
                Err(error) => {
                    tracing::warn!(%partition, offset, %error, "a dead letter goes without its record");
                }
            }
            // What no batch has is not in the log.
            if letters.peek(i64::MAX).is_some_and(|(_, next)| next == offset) {
                bare = bare.max(offset);
            }
        }
        while let Some((letter, offset)) = letters.peek(bare) {
            post.add(letter, offset, None).await?;
            letters.step();
        }
    }
    Ok(())
}

/// Whether the records may be read later.
fn is_passing(error: &RecordsError) -> bool {
    error.is_shortage() || matches!(error, RecordsError::Read(ReadError::Stopping | ReadError::NotLeader(_)))
}

/// Posts the dead letters of records up to the end of these batches.
async fn post_of<L: ShareLog>(
    log: &L,
    bytes: &[u8],
    letters: &mut Letters<'_>,
    post: &mut Post<'_, L>,
) -> Result<(), LetterError> {
    for batch in Batches::new(bytes) {
        let Ok((header, batch)) = batch else { return Ok(()) };
        let last = header.last_offset().get();
        if let Some((_, offset)) = letters.peek(last) {
            let unpacked = match is_sound(header, batch, offset) {
                true => unpack(log, header, batch).await.ok(),
                false => None,
            };
            if let Some(records) = &unpacked {
                let records = Records::new(records, header.record_count().max(0) as u32);
                post_records(log, header.base_offset().get(), records, letters, post).await?;
            }
        }
        while let Some((letter, offset)) = letters.peek(last) {
            post.add(letter, offset, None).await?;
            letters.step();
        }
        log.yield_if_needed().await;
    }
    Ok(())
}

fn is_sound(header: &BatchHeader, batch: &[u8], offset: i64) -> bool {
    let sound = verify_crc(batch);
    if let Err(error) = &sound {
        tracing::warn!(offset, %error, "a dead letter goes without its record");
    }
    sound.is_ok() && !header.is_control()
}

/// Posts the dead letters of the records of a batch, and of what is missing between them.
async fn post_records<L: ShareLog>(
    log: &L,
    base: i64,
    records: Records<'_>,
    letters: &mut Letters<'_>,
    post: &mut Post<'_, L>,
) -> Result<(), LetterError> {
    for (count, record) in records.enumerate() {
        let Ok(record) = record else { return Ok(()) };
        let at = base + i64::from(record.offset_delta);
        while let Some((letter, offset)) = letters.peek(at) {
            post.add(letter, offset, Some(&record).filter(|_| offset == at)).await?;
            letters.step();
        }
        if count % RECORDS_AT_ONCE == RECORDS_AT_ONCE - 1 {
            log.yield_if_needed().await;
        }
    }
    Ok(())
}

/// The records of a batch.
async fn unpack<'a>(
    log: &impl Partitions,
    header: &BatchHeader,
    batch: &'a [u8],
) -> Result<Cow<'a, [u8]>, DecompressError> {
    let packed = &batch[BATCH_HEADER_BYTES..];
    let codec = match header.codec() {
        Ok(Codec::None) => return Ok(Cow::Borrowed(packed)),
        Ok(codec) => codec,
        // The engine takes in no batch of another.
        Err(_) => return Err(DecompressError::Invalid { codec: Codec::None }),
    };
    let mut unpacker = Unpacker::default();
    unpacker.begin(codec, UNPACKED_BYTES_MAX, PIECE_BYTES, Strictness::Read);
    let mut records = Vec::new();
    loop {
        match unpacker.next(packed) {
            Ok(Some(piece)) => records.extend_from_slice(piece),
            Ok(None) => return Ok(Cow::Owned(records)),
            // Frames of blocks that refer to each other are unpacked in one go.
            Err(DecompressError::Invalid { codec: Codec::Lz4 }) => {
                return decompress(codec, packed, UNPACKED_BYTES_MAX).map(Cow::Owned);
            }
            Err(error) => return Err(error),
        }
        log.yield_if_needed().await;
    }
}
