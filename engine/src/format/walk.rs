//! The records of a batch that come in pieces: the same walk as [`Records`](super::record::Records), without
//! a buffer.
//!
//! A record that lies whole in a piece is read in place, as there. One that does not is taken field by field:
//! its numbers are collected over the pieces, its key, value and headers are only counted. So the walk holds
//! no more than one number, however large a record is, and knows of a record what a check asks for
//! ([`Seen`]).
//!
//! The two walks take the same records and refuse the same. Of what they refuse they name the same record;
//! where a record is cut off by the end of the batch, this walk may name something inside of it instead,
//! since it has come there first.

use super::record::{RecordError, RecordProblem, Records};
use super::varint::{self, VARINT_BYTES_MAX, VARLONG_BYTES_MAX};

/// What is known of a record that was walked over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its number in the batch, from 0.
    pub index: u32,
    /// Its offset less the batch's base offset.
    pub offset_delta: i32,
    /// Its timestamp less the batch's base timestamp.
    pub timestamp_delta: i64,
    /// Whether it has a key.
    pub has_key: bool,
}

/// A walk over the uncompressed records of a batch.
#[derive(Clone, Debug)]
pub struct RecordWalk {
    next: u32,
    count: u32,
    partial: Option<Partial>,
}

/// The field that is read next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Length,
    Attributes,
    TimestampDelta,
    OffsetDelta,
    KeyLength,
    ValueLength,
    HeaderCount,
    HeaderName,
    HeaderValue,
    End,
}

/// A record of which only a part has come.
#[derive(Clone, Debug)]
struct Partial {
    field: Field,
    number: [u8; VARLONG_BYTES_MAX],
    number_bytes: usize,
    /// The record's length, when it is known.
    length: usize,
    /// Bytes of the record that have not come.
    left: usize,
    /// Bytes to step over before the next field; never more than `left`.
    skip: usize,
    headers: u32,
    offset_delta: i32,
    timestamp_delta: i64,
    has_key: bool,
}

impl RecordWalk {
    /// A walk over the records of a batch that claims `count`.
    pub fn new(count: u32) -> RecordWalk {
        RecordWalk { next: 0, count, partial: None }
    }

    /// Walks over the next piece, and tells `see` of every record that ends in it.
    ///
    /// # Errors
    /// What is wrong with a record, or what `see` has said. Nothing more may be fed then.
    pub fn feed<E: From<RecordError>>(
        &mut self,
        mut piece: &[u8],
        mut see: impl FnMut(Seen) -> Result<(), E>,
    ) -> Result<(), E> {
        while !piece.is_empty() {
            if self.next == self.count {
                return Err(self.error(RecordProblem::LeftOver { left: piece.len() }).into());
            }
            if self.partial.is_none() {
                self.feed_whole(&mut piece, &mut see)?;
                if piece.is_empty() || self.next == self.count {
                    continue;
                }
            }
            let partial = self.partial.get_or_insert_with(Partial::new);
            let seen = partial.feed(&mut piece).map_err(|problem| self.error(problem))?;
            if seen {
                let partial = self.partial.take().expect("it was fed");
                let index = self.next;
                self.next += 1;
                see(Seen {
                    index,
                    offset_delta: partial.offset_delta,
                    timestamp_delta: partial.timestamp_delta,
                    has_key: partial.has_key,
                })?;
            }
        }
        Ok(())
    }

    /// Ends the walk: there are no more pieces.
    ///
    /// # Errors
    /// Records are missing.
    pub fn finish(self) -> Result<(), RecordError> {
        if self.next == self.count {
            return Ok(());
        }
        let problem = match &self.partial {
            Some(partial) if partial.field != Field::Length => {
                RecordProblem::Overrun { length: partial.length, left: partial.length - partial.left }
            }
            _ => RecordProblem::Varint(varint::VarintError::Truncated),
        };
        Err(self.error(problem))
    }

    /// The records that lie whole in the piece.
    #[inline]
    fn feed_whole<E: From<RecordError>>(
        &mut self,
        piece: &mut &[u8],
        see: &mut impl FnMut(Seen) -> Result<(), E>,
    ) -> Result<(), E> {
        while self.next < self.count && !piece.is_empty() {
            let mut records = Records::new(piece, 1);
            let record = match records.read() {
                Ok(record) => record,
                Err(problem) if is_whole(piece) => return Err(self.error(problem).into()),
                Err(_) => return Ok(()),
            };
            record.headers.check().map_err(|problem| self.error(problem))?;
            *piece = records.rest();
            let index = self.next;
            self.next += 1;
            see(Seen {
                index,
                offset_delta: record.offset_delta,
                timestamp_delta: record.timestamp_delta,
                has_key: record.key.is_some(),
            })?;
        }
        Ok(())
    }

    #[cold]
    fn error(&self, problem: RecordProblem) -> RecordError {
        RecordError { record: self.next, problem }
    }
}

/// Whether the first record ends in the piece, or is wrong from its first field on.
#[inline]
fn is_whole(mut piece: &[u8]) -> bool {
    match varint::read_varint(&mut piece) {
        Ok(length) => usize::try_from(length).is_ok_and(|length| length <= piece.len()),
        Err(_) => false,
    }
}

impl Partial {
    fn new() -> Partial {
        Partial {
            field: Field::Length,
            number: [0; VARLONG_BYTES_MAX],
            number_bytes: 0,
            length: 0,
            left: 0,
            skip: 0,
            headers: 0,
            offset_delta: 0,
            timestamp_delta: 0,
            has_key: false,
        }
    }

    /// Takes from the piece what is the record's; says whether that was all of it.
    fn feed(&mut self, piece: &mut &[u8]) -> Result<bool, RecordProblem> {
        loop {
            let skipped = self.skip.min(piece.len());
            *piece = &piece[skipped..];
            self.skip -= skipped;
            self.left -= skipped;
            if self.skip > 0 {
                return Ok(false);
            }
            match self.field {
                Field::End => return Ok(true),
                Field::Attributes => {
                    if self.left == 0 {
                        return Err(RecordProblem::Overrun { length: 1, left: 0 });
                    }
                    (self.skip, self.field) = (1, Field::TimestampDelta);
                }
                _ => {
                    if !self.collect(piece) {
                        return Ok(false);
                    }
                    self.take_number()?;
                }
            }
        }
    }

    /// Collects the bytes of a number, as far as they have come; says whether the number can be read, or
    /// never will be.
    fn collect(&mut self, piece: &mut &[u8]) -> bool {
        let is_length = self.field == Field::Length;
        let bytes_max =
            if self.field == Field::TimestampDelta { VARLONG_BYTES_MAX } else { VARINT_BYTES_MAX };
        loop {
            let is_last = self.number_bytes > 0 && self.number[self.number_bytes - 1] < 0x80;
            if is_last || self.number_bytes == bytes_max || (!is_length && self.left == 0) {
                return true;
            }
            let Some((byte, rest)) = piece.split_first() else { return false };
            *piece = rest;
            self.number[self.number_bytes] = *byte;
            self.number_bytes += 1;
            self.left -= usize::from(!is_length);
        }
    }

    fn take_number(&mut self) -> Result<(), RecordProblem> {
        let mut bytes = &self.number[..self.number_bytes];
        self.number_bytes = 0;
        if self.field == Field::TimestampDelta {
            self.timestamp_delta = varint::read_varlong(&mut bytes)?;
            self.field = Field::OffsetDelta;
            return Ok(());
        }
        let number = varint::read_varint(&mut bytes)?;
        match self.field {
            Field::Length => {
                self.length = length(number)?;
                (self.left, self.field) = (self.length, Field::Attributes);
            }
            Field::OffsetDelta => (self.offset_delta, self.field) = (number, Field::KeyLength),
            Field::KeyLength => {
                self.has_key = number != -1;
                self.skip = self.nullable(number)?;
                self.field = Field::ValueLength;
            }
            Field::ValueLength => {
                self.skip = self.nullable(number)?;
                self.field = Field::HeaderCount;
            }
            Field::HeaderCount => {
                let left = self.left;
                if number == 0 && left > 0 {
                    return Err(RecordProblem::LeftOver { left });
                }
                if number < 0 || number as usize > left / 2 {
                    return Err(RecordProblem::HeaderCount { count: number, left });
                }
                self.headers = number as u32;
                self.field = if number == 0 { Field::End } else { Field::HeaderName };
            }
            Field::HeaderName => {
                self.skip = self.within(length(number)?)?;
                self.field = Field::HeaderValue;
            }
            Field::HeaderValue => {
                self.skip = self.nullable(number)?;
                self.headers -= 1;
                let behind = self.left - self.skip;
                self.field = if self.headers == 0 { Field::End } else { Field::HeaderName };
                if self.headers == 0 && behind > 0 {
                    return Err(RecordProblem::LeftOver { left: behind });
                }
            }
            Field::Attributes | Field::TimestampDelta | Field::End => unreachable!("no 32-bit number"),
        }
        Ok(())
    }

    fn nullable(&self, number: i32) -> Result<usize, RecordProblem> {
        if number == -1 { Ok(0) } else { self.within(length(number)?) }
    }

    fn within(&self, length: usize) -> Result<usize, RecordProblem> {
        let left = self.left;
        if length > left { Err(RecordProblem::Overrun { length, left }) } else { Ok(length) }
    }
}

fn length(number: i32) -> Result<usize, RecordProblem> {
    usize::try_from(number).map_err(|_| RecordProblem::NegativeLength { found: number })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::builder::BatchBuilder;
    use crate::format::compression::Codec;
    use crate::types::Timestamp;

    fn walked(bytes: &[u8], count: u32, piece_bytes: usize) -> (Vec<Seen>, Result<(), RecordError>) {
        let mut walk = RecordWalk::new(count);
        let mut seen = Vec::new();
        for piece in bytes.chunks(piece_bytes) {
            let fed = walk.feed(piece, |record| {
                seen.push(record);
                Ok::<_, RecordError>(())
            });
            if fed.is_err() {
                return (seen, fed);
            }
        }
        (seen, walk.finish())
    }

    fn records() -> Vec<u8> {
        let mut builder = BatchBuilder::new(Codec::None);
        builder.push(
            Timestamp(1_000),
            Some(b"key"),
            Some(&[b'x'; 300]),
            &[("name", Some(b"value")), ("null", None)],
        );
        builder.push(Timestamp(i64::MIN), None, None, &[]);
        builder.push(Timestamp(77), Some(b""), Some(b""), &[("", Some(b""))]);
        builder.build()[crate::format::batch::BATCH_HEADER_BYTES..].to_vec()
    }

    #[test]
    fn records_are_the_same_in_pieces_of_any_size() {
        let bytes = records();
        let whole = walked(&bytes, 3, bytes.len());
        assert_eq!((whole.0.len(), &whole.1), (3, &Ok(())));
        for piece_bytes in 1..bytes.len() {
            assert_eq!(walked(&bytes, 3, piece_bytes), whole, "pieces of {piece_bytes}");
        }
    }

    #[test]
    fn records_that_are_missing_or_too_many_are_refused_in_pieces_of_any_size() {
        let bytes = records();
        for piece_bytes in 1..bytes.len() {
            assert!(walked(&bytes, 4, piece_bytes).1.is_err());
            assert!(walked(&bytes, 2, piece_bytes).1.is_err());
            for end in 0..bytes.len() {
                let error = walked(&bytes[..end], 3, piece_bytes).1.unwrap_err();
                assert!(error.record < 3, "{error}");
            }
        }
    }
}
