//! A batch of the log, verified and decompressed, with its records at their offsets.

use std::borrow::Cow;

use crate::config::DECOMPRESSED_BYTES_MAX;
use crate::format::batch::{self, BATCH_HEADER_BYTES, BatchError, BatchHeader};
use crate::format::compression::{Codec, decompress};
use crate::format::record::{Record, Records, RecordsError};
use crate::types::{Offset, Timestamp};

/// A batch whose checksum holds.
#[derive(Debug)]
pub struct Unpacked<'a> {
    pub(super) header: &'a BatchHeader,
    pub(super) codec: Codec,
    /// The records, uncompressed.
    pub(super) records: Cow<'a, [u8]>,
}

/// One record at its place in the log.
#[derive(Clone, Copy, Debug)]
pub struct Placed<'a> {
    /// Its offset.
    pub offset: Offset,
    /// What its producer has given it, whoever gives the timestamps of the batch.
    pub timestamp: Timestamp,
    /// What it holds.
    pub record: Record<'a>,
    /// The whole record, as it stands in the batch.
    pub(super) bytes: &'a [u8],
}

/// The header of exactly one batch, whose checksum holds.
///
/// # Errors
/// [`RecordsError::Batch`].
pub fn verified(batch: &[u8]) -> Result<&BatchHeader, RecordsError> {
    let header = BatchHeader::peek(batch)?;
    if header.total_bytes() != batch.len() {
        return Err(BatchError::Truncated { needed: header.total_bytes(), found: batch.len() }.into());
    }
    batch::verify_crc(batch)?;
    Ok(header)
}

impl<'a> Unpacked<'a> {
    /// Takes what [`verified`] has passed, with its header.
    ///
    /// # Errors
    /// [`RecordsError::Batch`] for an unknown codec, [`RecordsError::Decompress`].
    pub fn new(header: &'a BatchHeader, batch: &'a [u8]) -> Result<Unpacked<'a>, RecordsError> {
        let packed = &batch[BATCH_HEADER_BYTES..];
        let codec = header.codec()?;
        let records = match codec {
            Codec::None => Cow::Borrowed(packed),
            _ => Cow::Owned(decompress(codec, packed, DECOMPRESSED_BYTES_MAX)?),
        };
        Ok(Unpacked { header, codec, records })
    }

    /// The records, in order; nothing follows the first error.
    pub fn records(&self) -> impl Iterator<Item = Result<Placed<'_>, RecordsError>> {
        let header = self.header;
        let most = header.last_offset_delta();
        let mut walk = Records::new(&self.records, header.record_count().max(0) as u32);
        let mut least = 0;
        std::iter::from_fn(move || {
            let before = walk.rest();
            let record = match walk.next()? {
                Ok(record) => record,
                Err(error) => return Some(Err(error.into())),
            };
            let found = record.offset_delta;
            if found < least || found > most {
                return Some(Err(RecordsError::OffsetDelta { least, most, found }));
            }
            least = found.saturating_add(1);
            Some(Ok(Placed {
                offset: header.base_offset().plus(i64::from(found)),
                timestamp: header.base_timestamp().with_delta(record.timestamp_delta),
                record,
                bytes: &before[..before.len() - walk.rest().len()],
            }))
        })
    }
}
