//! The records inside a batch, after decompression.
//!
//! ```text
//! length  attributes  timestamp  offset  key      key  value    value  header  then per header:
//! varint  u8, unused  delta      delta   length   ...  length   ...    count   name length, name, value length, value
//!                     varlong    varint  varint        varint          varint  varint             varint
//! '- counts from here ------------------------------------------------------------------------->
//! ```
//! A length of -1 is a null. The walk borrows everything, never allocates, steps over bodies by their
//! lengths, and looks at headers only when it is asked to ([`Headers`]).

use super::batch::BatchError;
use super::compression::DecompressError;
use super::varint::{self, VarintError};

/// Why the records of a stored batch cannot be read: it is damaged (D5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordsError {
    /// The bytes are not those that were stored.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// The records can not be unpacked.
    #[error(transparent)]
    Decompress(#[from] DecompressError),
    /// The records can not be read.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// A record does not lie between the one before and the end of the batch.
    #[error("offset delta {found} where {least} to {most} are left")]
    OffsetDelta {
        /// The least that it may be.
        least: i32,
        /// The batch's last offset delta.
        most: i32,
        /// The record's offset delta.
        found: i32,
    },
}

/// Why a record could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("record {record}: {problem}")]
pub struct RecordError {
    /// The number of the record in its batch, from 0.
    pub record: u32,
    /// What is wrong with it.
    pub problem: RecordProblem,
}

/// What is wrong with a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordProblem {
    /// A number could not be read.
    #[error(transparent)]
    Varint(#[from] VarintError),
    /// A length is below -1, or is -1 where a null is not allowed.
    #[error("negative length {found}")]
    NegativeLength {
        /// The length as read.
        found: i32,
    },
    /// A length reaches beyond what holds it.
    #[error("a length of {length} where {left} bytes are left")]
    Overrun {
        /// The length as read.
        length: usize,
        /// The bytes that are there.
        left: usize,
    },
    /// Bytes are left over inside the record, or after the last one.
    #[error("{left} bytes left over")]
    LeftOver {
        /// The number of those bytes.
        left: usize,
    },
    /// More headers are announced than the bytes could hold.
    #[error("{count} headers in {left} bytes")]
    HeaderCount {
        /// The count as read.
        count: i32,
        /// The bytes that are there.
        left: usize,
    },
}

/// One record, borrowed from its batch.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Its offset less the batch's base offset.
    pub offset_delta: i32,
    /// Its timestamp less the batch's base timestamp.
    pub timestamp_delta: i64,
    /// The key; `None` is null.
    pub key: Option<&'a [u8]>,
    /// The value; `None` is null, a tombstone in a compacted topic.
    pub value: Option<&'a [u8]>,
    /// The headers, not looked at yet.
    pub headers: Headers<'a>,
}

/// The records of one batch, in order. Ends after the first error.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    bytes: &'a [u8],
    next: u32,
    count: u32,
}

impl<'a> Records<'a> {
    /// A walk over the uncompressed records area of a batch that claims `count` records.
    pub fn new(bytes: &'a [u8], count: u32) -> Records<'a> {
        Records { bytes, next: 0, count }
    }

    /// The bytes behind the records that were given out so far.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.bytes
    }

    /// The next record, without a look at the count.
    #[inline]
    pub(super) fn read(&mut self) -> Result<Record<'a>, RecordProblem> {
        read_record(&mut self.bytes)
    }

    /// Closes the walk, so that nothing follows an error.
    #[cold]
    fn fail(&mut self, problem: RecordProblem) -> Option<Result<Record<'a>, RecordError>> {
        let record = self.next;
        self.next = self.count;
        self.bytes = &[];
        Some(Err(RecordError { record, problem }))
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, RecordError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.next == self.count {
            return match self.bytes.len() {
                0 => None,
                left => self.fail(RecordProblem::LeftOver { left }),
            };
        }
        match read_record(&mut self.bytes) {
            Ok(record) => {
                self.next += 1;
                Some(Ok(record))
            }
            Err(problem) => self.fail(problem),
        }
    }
}

#[inline]
fn read_record<'a>(bytes: &mut &'a [u8]) -> Result<Record<'a>, RecordProblem> {
    let length = varint::read_varint(bytes)?;
    let mut body = take(bytes, length)?;
    take(&mut body, 1)?; // attributes: no bit has a meaning yet, and Kafka ignores them all
    let timestamp_delta = varint::read_varlong(&mut body)?;
    let offset_delta = varint::read_varint(&mut body)?;
    let key = take_nullable(&mut body)?;
    let value = take_nullable(&mut body)?;
    let count = varint::read_varint(&mut body)?;
    if count == 0 && !body.is_empty() {
        return Err(RecordProblem::LeftOver { left: body.len() });
    }
    // A header is two lengths at least.
    if count < 0 || count as usize > body.len() / 2 {
        return Err(RecordProblem::HeaderCount { count, left: body.len() });
    }
    let headers = Headers { bytes: body, left: count as u32 };
    Ok(Record { offset_delta, timestamp_delta, key, value, headers })
}

/// Writes a record again, with another timestamp delta.
///
/// # Panics
/// When `record` is not the bytes of one whole record, its length included, that [`Records`] has given out.
pub(crate) fn write_at_delta(out: &mut Vec<u8>, record: &[u8], timestamp_delta: i64) {
    const WALKED: &str = "the record was walked before";
    let mut rest = record;
    varint::read_varint(&mut rest).expect(WALKED);
    let attributes = take(&mut rest, 1).expect(WALKED);
    varint::read_varlong(&mut rest).expect(WALKED);
    let length = attributes.len() + varint::varlong_bytes(timestamp_delta) + rest.len();
    varint::write_varint(out, i32::try_from(length).expect("a record stays below 2 GiB"));
    out.extend_from_slice(attributes);
    varint::write_varlong(out, timestamp_delta);
    out.extend_from_slice(rest);
}

/// The headers of one record, read as they are asked for. Ends after the first error.
#[derive(Clone, Copy, Debug)]
pub struct Headers<'a> {
    bytes: &'a [u8],
    left: u32,
}

impl Headers<'_> {
    /// Walks over all headers.
    ///
    /// # Errors
    /// The first thing that is wrong with them.
    #[inline]
    pub fn check(self) -> Result<(), RecordProblem> {
        for header in self {
            header?;
        }
        Ok(())
    }
}

impl<'a> Headers<'a> {
    fn read(&mut self) -> Result<(&'a [u8], Option<&'a [u8]>), RecordProblem> {
        let length = varint::read_varint(&mut self.bytes)?;
        let name = take(&mut self.bytes, length)?;
        let value = take_nullable(&mut self.bytes)?;
        self.left -= 1;
        if self.left == 0 && !self.bytes.is_empty() {
            return Err(RecordProblem::LeftOver { left: self.bytes.len() });
        }
        Ok((name, value))
    }
}

impl<'a> Iterator for Headers<'a> {
    type Item = Result<(&'a [u8], Option<&'a [u8]>), RecordProblem>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            return None;
        }
        let header = self.read();
        if header.is_err() {
            self.left = 0;
        }
        Some(header)
    }
}

#[inline]
fn take<'a>(bytes: &mut &'a [u8], length: i32) -> Result<&'a [u8], RecordProblem> {
    let Ok(length) = usize::try_from(length) else {
        return Err(RecordProblem::NegativeLength { found: length });
    };
    let Some((taken, rest)) = bytes.split_at_checked(length) else {
        return Err(RecordProblem::Overrun { length, left: bytes.len() });
    };
    *bytes = rest;
    Ok(taken)
}

#[inline]
fn take_nullable<'a>(bytes: &mut &'a [u8]) -> Result<Option<&'a [u8]>, RecordProblem> {
    match varint::read_varint(bytes)? {
        -1 => Ok(None),
        length => take(bytes, length).map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The walk's answers for one record with this body behind its length.
    fn problem(body: &[u8]) -> RecordProblem {
        let bytes = [&[2 * body.len() as u8], body].concat();
        let record = Records::new(&bytes, 1).next().expect("an answer");
        match record {
            Ok(record) => record.headers.check().expect_err("a malformed record"),
            Err(error) => error.problem,
        }
    }

    #[test]
    fn each_thing_that_can_be_wrong_with_a_record_is_named() {
        // attributes, timestamp delta, offset delta, key length, value length, header count, headers
        assert_eq!(problem(&[0, 0, 0, 1, 1, 0, 9]), RecordProblem::LeftOver { left: 1 });
        assert_eq!(problem(&[0, 0, 0, 1, 1, 1]), RecordProblem::HeaderCount { count: -1, left: 0 });
        assert_eq!(problem(&[0, 0, 0, 1, 1, 4, 0, 1, 0]), RecordProblem::HeaderCount { count: 2, left: 3 });
        assert_eq!(problem(&[0, 0, 0, 3, 1, 0]), RecordProblem::NegativeLength { found: -2 });
        assert_eq!(problem(&[0, 0, 0, 20, 1, 0]), RecordProblem::Overrun { length: 10, left: 2 });
        assert_eq!(problem(&[0, 0, 0, 1, 1]), RecordProblem::Varint(VarintError::Truncated));
        assert_eq!(problem(&[0, 0, 0, 1, 1, 2, 1, 1]), RecordProblem::NegativeLength { found: -1 });
        assert_eq!(problem(&[0, 0, 0, 1, 1, 2, 0, 1, 9]), RecordProblem::LeftOver { left: 1 });
        assert_eq!(problem(&[]), RecordProblem::Overrun { length: 1, left: 0 });
    }

    #[test]
    fn a_walk_ends_after_its_first_error() {
        let mut records = Records::new(&[2, 0, 0, 0], 1_000_000);
        assert!(records.next().is_some_and(|record| record.is_err()));
        assert!(records.next().is_none());
    }
}
