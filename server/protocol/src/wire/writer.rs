//! Writes a message into bytes of our own.
//!
//! Writing a field can fail only when the message does not fit its version, which is rare and ours to repair,
//! so the first failure is latched and reported once, by [`Writer::finish`]: code that writes fields has no
//! error path.

use crate::wire::ApiKey;
use crate::wire::reader::STRING_BYTES_MAX;
use bytes::{BufMut, BytesMut};
use thiserror::Error;

/// Why a message can not be written.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum EncodeError {
    /// The API has no such version here.
    #[error("{key} has no version {version} here")]
    UnknownVersion {
        /// The API.
        key: ApiKey,
        /// The version.
        version: i16,
    },
    /// A field that must not be dropped has a value that this version can not carry.
    #[error("version {version} can not carry this value of {field}")]
    NotInVersion {
        /// The field.
        field: &'static str,
        /// The version.
        version: i16,
    },
    /// A string, an array, bytes or a whole frame longer than its length field can say.
    #[error("a length of {length} does not fit its field, which holds {limit}")]
    TooLong {
        /// The length, in bytes or elements.
        length: usize,
        /// The most that fits.
        limit: usize,
    },
}

/// Room that a message starts with: the answer to a produce request of one partition, and a little more.
const BYTES_FIRST: usize = 128;

/// A long message is written in parts of so many bytes, and a little more: some 50 us of work. A part ends
/// between two elements of an array, so that a single value is never cut.
pub const PART_BYTES: usize = 64 << 10;

/// The bytes of a message in the making.
#[derive(Debug)]
pub struct Writer {
    bytes: BytesMut,
    version: i16,
    flexible: bool,
    cuts_strings: bool,
    part_bytes: usize,
    failure: Option<EncodeError>,
}

impl Writer {
    /// An empty message of this version and form.
    pub fn new(version: i16, flexible: bool) -> Writer {
        let bytes = BytesMut::with_capacity(BYTES_FIRST);
        Writer { bytes, version, flexible, cuts_strings: false, part_bytes: PART_BYTES, failure: None }
    }

    /// The version of the message being written.
    pub fn version(&self) -> i16 {
        self.version
    }

    /// How many bytes are written.
    pub fn position(&self) -> usize {
        self.bytes.len()
    }

    /// Whether enough is written to be sent for itself.
    pub fn has_part(&self) -> bool {
        self.bytes.len() >= self.part_bytes
    }

    /// Takes so many bytes for a part, instead of [`PART_BYTES`].
    pub fn set_part_bytes(&mut self, part_bytes: usize) {
        self.part_bytes = part_bytes;
    }

    /// What is written.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Writes into what is written.
    ///
    /// # Panics
    /// When it does not reach so far.
    pub fn patch(&mut self, position: usize, bytes: &[u8]) {
        self.bytes[position..position + bytes.len()].copy_from_slice(bytes);
    }

    /// Forgets what is written, so that the next part can be. What could not be written stays noted.
    pub fn clear(&mut self) {
        self.bytes.clear();
    }

    /// The first thing that could not be written.
    pub fn failure(&self) -> Option<&EncodeError> {
        self.failure.as_ref()
    }

    /// Changes between the classic and the flexible form: a request header begins in the one and may end in
    /// the other.
    pub fn set_flexible(&mut self, flexible: bool) {
        self.flexible = flexible;
    }

    /// Writes as much of a string as one may have, from now on, instead of failing: for answers. The name
    /// that a client chose may be as long as a string can be, and the sentence that quotes it longer; half a
    /// sentence is a better answer than none.
    pub fn cut_strings(&mut self) {
        self.cuts_strings = true;
    }

    /// The message.
    ///
    /// # Errors
    /// The first thing that could not be written.
    pub fn finish(self) -> Result<BytesMut, EncodeError> {
        match self.failure {
            None => Ok(self.bytes),
            Some(failure) => Err(failure),
        }
    }

    /// Notes a failure; [`Writer::finish`] reports the first.
    pub fn fail(&mut self, failure: EncodeError) {
        self.failure.get_or_insert(failure);
    }

    /// "This version can not carry the value of `field`."
    pub fn refuse(&mut self, field: &'static str) {
        self.fail(EncodeError::NotInVersion { field, version: self.version });
    }

    /// Bytes as they are.
    pub fn put(&mut self, bytes: &[u8]) {
        self.bytes.put_slice(bytes);
    }

    /// An unsigned variable-length number.
    pub fn varint(&mut self, mut value: u32) {
        while value >= 0x80 {
            self.bytes.put_u8(value as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.put_u8(value as u8);
    }

    /// A nullable string, of at most [`STRING_BYTES_MAX`] bytes in both forms: clients take no longer one.
    pub fn str(&mut self, text: Option<&str>) {
        let text = match text {
            Some(text) if text.len() > STRING_BYTES_MAX && self.cuts_strings => {
                Some(&text[..text.floor_char_boundary(STRING_BYTES_MAX)])
            }
            Some(text) if text.len() > STRING_BYTES_MAX => {
                self.fail(EncodeError::TooLong { length: text.len(), limit: STRING_BYTES_MAX });
                None
            }
            text => text,
        };
        match self.flexible {
            true => self.compact_length(text.map(str::len)),
            // It fits: it was just measured.
            false => self.bytes.put_i16(text.map_or(-1, |text| text.len() as i16)),
        }
        self.put(text.unwrap_or_default().as_bytes());
    }

    /// The length of nullable bytes or the count of a nullable array; the bytes or elements follow.
    pub fn length(&mut self, length: Option<usize>) {
        if self.flexible {
            self.compact_length(length);
        } else {
            let value = length.map_or(Ok(-1), i32::try_from);
            let value = value.unwrap_or_else(|_| self.too_long(length.unwrap_or(0), i32::MAX as usize));
            self.bytes.put_i32(value);
        }
    }

    /// The tagged fields that end a struct; nothing in the classic form. `fields` writes them with
    /// [`TaggedFields::put`].
    pub fn tagged_fields(&mut self, fields: impl FnOnce(&mut TaggedFields<'_>)) {
        if self.flexible {
            let count_position = self.position();
            self.bytes.put_u8(0);
            fields(&mut TaggedFields { writer: self, count_position });
        }
    }

    fn compact_length(&mut self, length: Option<usize>) {
        let value = length.map_or(Ok(0), |length| u32::try_from(length + 1));
        let value = value.unwrap_or_else(|_| self.too_long(length.unwrap_or(0), u32::MAX as usize - 1));
        self.varint(value);
    }

    fn too_long<N: Default>(&mut self, length: usize, limit: usize) -> N {
        self.fail(EncodeError::TooLong { length, limit });
        N::default()
    }
}

/// The tagged fields of one struct in the making.
#[derive(Debug)]
pub struct TaggedFields<'a> {
    writer: &'a mut Writer,
    count_position: usize,
}

impl TaggedFields<'_> {
    /// One field, as `write` writes it. Fields come in ascending order of their tags; one equal to its
    /// default is not written.
    ///
    /// # Panics
    /// From the 128th field on: no Kafka struct has a dozen.
    pub fn put(&mut self, tag: u32, write: impl FnOnce(&mut Writer)) {
        let bytes = &mut self.writer.bytes;
        bytes[self.count_position] += 1;
        assert!(bytes[self.count_position] < 0x80, "the count of tagged fields is a varint of one byte");
        self.writer.varint(tag);

        // The size stands before the value and is known after it: write it behind, then turn the two round.
        let value_position = self.writer.position();
        write(self.writer);
        let size_position = self.writer.position();
        self.writer.varint((size_position - value_position) as u32);
        let size_length = self.writer.position() - size_position;
        self.writer.bytes[value_position..].rotate_right(size_length);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Encode;

    fn written(flexible: bool, write: impl FnOnce(&mut Writer)) -> Result<Vec<u8>, EncodeError> {
        let mut writer = Writer::new(0, flexible);
        write(&mut writer);
        writer.finish().map(|bytes| bytes.to_vec())
    }

    #[test]
    fn both_forms_tell_null_from_empty() {
        assert_eq!(written(false, |w| w.str(None)), Ok(vec![0xff, 0xff]));
        assert_eq!(written(false, |w| w.str(Some("hi"))), Ok(vec![0, 2, b'h', b'i']));
        assert_eq!(written(true, |w| w.str(None)), Ok(vec![0]));
        assert_eq!(written(true, |w| w.str(Some(""))), Ok(vec![1]));
        assert_eq!(written(true, |w| w.length(Some(300))), Ok(vec![0xad, 0x02]));
        assert_eq!(written(false, |w| w.length(None)), Ok(vec![0xff; 4]));
    }

    #[test]
    fn a_string_too_long_for_its_length_field_is_an_error() {
        let text = "x".repeat(32_768);
        for flexible in [false, true] {
            assert_eq!(
                written(flexible, |w| w.str(Some(&text))),
                Err(EncodeError::TooLong { length: 32_768, limit: 32_767 })
            );
            assert!(written(flexible, |w| w.str(Some(&text[1..]))).is_ok());
        }
    }

    #[test]
    fn an_answer_has_as_much_of_a_string_as_fits() {
        let text = "x".repeat(32_766) + "é";
        for (flexible, head) in [(false, &[0x7f, 0xfe][..]), (true, &[0xff, 0xff, 0x01])] {
            let cut = written(flexible, |w| {
                w.cut_strings();
                w.str(Some(&text));
            });
            assert_eq!(cut.unwrap(), [head, &text.as_bytes()[..32_766]].concat());
        }
    }

    #[test]
    fn a_tagged_value_follows_its_size() {
        assert_eq!(written(true, |w| w.tagged_fields(|_| ())), Ok(vec![0]));
        assert_eq!(written(false, |w| w.tagged_fields(|_| unreachable!())), Ok(vec![]));
        let two = written(true, |w| {
            w.tagged_fields(|tags| {
                tags.put(0, |writer| 7i16.write(writer));
                tags.put(3, |writer| "x".repeat(200).write(writer));
            });
        })
        .unwrap();
        assert_eq!(two[..11], [2, 0, 2, 0, 7, 3, 0xca, 0x01, 0xc9, 0x01, b'x']);
        assert_eq!(two.len(), 10 + 200);
    }
}
