//! Reads a message out of bytes that a stranger sent.
//!
//! Every length and count is held against what is there *before* anything is allocated, in three steps:
//!
//! 1. it is not negative, and no longer than the bytes that are left;
//! 2. an array has at most [`ARRAY_ELEMENTS_MAX`] elements, a struct at most [`TAGS_MAX`] tagged fields (the
//!    limits of Apache Kafka 4.4);
//! 3. what it will occupy once decoded is taken out of a memory budget, so that all decoded values of a
//!    request together stay below [`request_budget`].
//!
//! A request therefore costs its size as bytes, and as values up to nine times its size while it is small,
//! its size and 32 MiB when it is large, and the slack.

use crate::wire::ApiKey;
use thiserror::Error;

/// No array is longer. Apache Kafka refuses more since 4.4.
pub const ARRAY_ELEMENTS_MAX: usize = 1_000_000;

/// No struct has more tagged fields. Apache Kafka refuses more since 4.4.
pub const TAGS_MAX: usize = 10_000;

/// No string is longer, in either form: what the length field of the classic one can say. Apache Kafka
/// refuses more.
pub const STRING_BYTES_MAX: usize = i16::MAX as usize;

/// What a message may occupy however small it is.
pub const BUDGET_SLACK_BYTES: usize = 512 * 1024;

/// The first [`REQUEST_EXPANDED_BYTES_MAX`] bytes of a request may occupy so many times more as values. A
/// topic's name of 10 characters is 12 bytes on the wire and 50 as a value, one of 2 characters 4 and 42; a
/// partition of an OffsetCommit is 14 and 56.
const REQUEST_EXPANSION_MAX: usize = 8;

/// So many bytes of a request may expand. They hold what is asked of 200,000 partitions.
const REQUEST_EXPANDED_BYTES_MAX: usize = 4 << 20;

/// The most that the values of a request of so many bytes may occupy together.
pub const fn request_budget(bytes: usize) -> usize {
    let expanded = if bytes < REQUEST_EXPANDED_BYTES_MAX { bytes } else { REQUEST_EXPANDED_BYTES_MAX };
    bytes.saturating_add(REQUEST_EXPANSION_MAX * expanded + BUDGET_SLACK_BYTES)
}

/// A response may occupy this many times its size: a client chose whom it asks, and a partition in a Metadata
/// response is some 25 bytes on the wire and 100 as a value.
const RESPONSE_EXPANSION_MAX: usize = 8;

/// Why bytes are not the message they should be. `position` counts bytes from the start of what was read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum WireError {
    /// The value does not end within the message.
    #[error("{wanted} bytes wanted at byte {position}, where {left} are left")]
    Truncated {
        /// Where the value starts.
        position: usize,
        /// Its announced size.
        wanted: usize,
        /// The bytes from there to the end.
        left: usize,
    },
    /// A length or count below -1 (which is null).
    #[error("the length before byte {position} is {length}")]
    NegativeLength {
        /// The byte after the length.
        position: usize,
        /// The length.
        length: i32,
    },
    /// Null where the schema has no null in this version.
    #[error("null before byte {position}, where version {version} has no null")]
    Null {
        /// The byte after the null.
        position: usize,
        /// The version of the message.
        version: i16,
    },
    /// An array, a list of tagged fields or a string that can not or must not be that long.
    #[error("{count} {what} announced before byte {position}, at most {limit} possible")]
    TooMany {
        /// "elements", "tagged fields" or "bytes of a string".
        what: &'static str,
        /// The byte after the count.
        position: usize,
        /// The count.
        count: usize,
        /// The most that is accepted here.
        limit: usize,
    },
    /// The message is well-formed so far, but would occupy too much memory.
    #[error(
        "the value at byte {position} needs {wanted} bytes of memory, {left} are left of the message's budget"
    )]
    OverBudget {
        /// Where the value starts.
        position: usize,
        /// What it would occupy.
        wanted: usize,
        /// What is left of the budget.
        left: usize,
    },
    /// A variable-length number of more than 32 bits.
    #[error("the variable-length number at byte {position} has more than 32 bits")]
    Varint {
        /// Where it starts.
        position: usize,
    },
    /// Tagged fields come in ascending order, each once.
    #[error("tag {tag} follows tag {previous} at byte {position}")]
    TagOrder {
        /// The byte after the tag.
        position: usize,
        /// The tag.
        tag: u32,
        /// The tag before it.
        previous: u32,
    },
    /// The value of a tagged field is shorter than announced.
    #[error("the value of tag {tag} ends at byte {position}, announced was byte {expected}")]
    TagSize {
        /// Where the value ends.
        position: usize,
        /// The tag.
        tag: u32,
        /// Where it should end.
        expected: usize,
    },
    /// The message ends before the bytes do.
    #[error("{left} bytes follow the message, which ends at byte {position}")]
    Trailing {
        /// The first byte too many.
        position: usize,
        /// How many follow.
        left: usize,
    },
    /// No API has this number.
    #[error("no API has key {key}")]
    UnknownKey {
        /// The number.
        key: i16,
    },
    /// The API is known, this version of it is not.
    #[error("{key} has no version {version} here")]
    UnknownVersion {
        /// The API.
        key: ApiKey,
        /// The version.
        version: i16,
    },
}

/// A place in the bytes of one message, and what is left of its memory budget.
///
/// After an error the reader's place means nothing: drop it.
#[derive(Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    position: usize,
    version: i16,
    flexible: bool,
    budget: usize,
}

impl<'a> Reader<'a> {
    /// Reads a request from `bytes`, with the budget for strangers: [`request_budget`].
    pub fn request(bytes: &'a [u8], version: i16, flexible: bool) -> Reader<'a> {
        Reader { bytes, position: 0, version, flexible, budget: request_budget(bytes.len()) }
    }

    /// Reads a response from `bytes`, with the wider budget for a broker one has chosen: 8 times the size of
    /// `bytes` plus [`BUDGET_SLACK_BYTES`].
    pub fn response(bytes: &'a [u8], version: i16, flexible: bool) -> Reader<'a> {
        let budget = bytes.len().saturating_mul(RESPONSE_EXPANSION_MAX).saturating_add(BUDGET_SLACK_BYTES);
        Reader { bytes, position: 0, version, flexible, budget }
    }

    /// The version of the message being read.
    pub fn version(&self) -> i16 {
        self.version
    }

    /// The next byte's place, counted from the start of the bytes.
    pub fn position(&self) -> usize {
        self.position
    }

    /// What the values still to come may occupy, in bytes.
    pub fn budget_left(&self) -> usize {
        self.budget
    }

    /// Changes between the classic and the flexible form: a request header begins in the one and may end in
    /// the other.
    pub fn set_flexible(&mut self, flexible: bool) {
        self.flexible = flexible;
    }

    /// Ends the message.
    ///
    /// # Errors
    /// [`WireError::Trailing`] when bytes are left.
    pub fn finish(self) -> Result<(), WireError> {
        match self.left() {
            0 => Ok(()),
            left => Err(WireError::Trailing { position: self.position, left }),
        }
    }

    /// The next `length` bytes, without a copy.
    ///
    /// # Errors
    /// [`WireError::Truncated`].
    pub fn take(&mut self, length: usize) -> Result<&'a [u8], WireError> {
        let rest = &self.bytes[self.position..];
        match rest.split_at_checked(length) {
            Some((taken, _)) => {
                self.position += length;
                Ok(taken)
            }
            None => Err(WireError::Truncated { position: self.position, wanted: length, left: rest.len() }),
        }
    }

    /// The next `N` bytes.
    ///
    /// # Errors
    /// [`WireError::Truncated`].
    pub fn take_array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        Ok(self.take(N)?.try_into().expect("take(N) gives N bytes"))
    }

    /// The unsigned variable-length number in which compact lengths, tags and their sizes are written.
    ///
    /// # Errors
    /// [`WireError::Truncated`], [`WireError::Varint`].
    pub fn varint(&mut self) -> Result<u32, WireError> {
        let position = self.position;
        let mut value = 0u32;
        for shift in (0..35).step_by(7) {
            let [byte] = self.take_array()?;
            let bits = u32::from(byte & 0x7f);
            if shift == 28 && byte > 0x0f {
                break;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(WireError::Varint { position })
    }

    /// A nullable string, charged to the budget.
    ///
    /// What is not UTF-8 in it becomes U+FFFD, as in Kafka: the sender chose the name, and is answered by it.
    /// That makes a string longer; what would then be beyond [`STRING_BYTES_MAX`] is cut off, so that every
    /// string that was read can be written.
    ///
    /// # Errors
    /// Those of [`Reader::take`], [`WireError::NegativeLength`], [`WireError::TooMany`],
    /// [`WireError::OverBudget`].
    pub fn string(&mut self) -> Result<Option<String>, WireError> {
        let length = match self.flexible {
            true => self.compact_length()?,
            false => {
                let length = i16::from_be_bytes(self.take_array()?);
                self.classic_length(length.into())?
            }
        };
        let Some(length) = length else { return Ok(None) };
        if length > STRING_BYTES_MAX {
            let (what, position, limit) = ("bytes of a string", self.position, STRING_BYTES_MAX);
            return Err(WireError::TooMany { what, position, count: length, limit });
        }
        let bytes = self.take(length)?;
        match std::str::from_utf8(bytes) {
            Ok(text) => {
                self.charge(length)?;
                Ok(Some(text.to_owned()))
            }
            Err(_) => self.replaced(bytes).map(Some),
        }
    }

    /// The string that `bytes` are with a replacement character in the place of what is not UTF-8.
    fn replaced(&mut self, bytes: &[u8]) -> Result<String, WireError> {
        const REPLACEMENT: &str = "\u{fffd}";
        let pieces = || {
            bytes
                .utf8_chunks()
                .flat_map(|chunk| [chunk.valid(), if chunk.invalid().is_empty() { "" } else { REPLACEMENT }])
        };
        let length = pieces().map(str::len).sum::<usize>().min(STRING_BYTES_MAX);
        self.charge(length)?;
        let mut text = String::with_capacity(length);
        for piece in pieces() {
            let room = STRING_BYTES_MAX - text.len();
            text.push_str(&piece[..piece.floor_char_boundary(room)]);
            if piece.len() > room {
                break;
            }
        }
        Ok(text)
    }

    /// The bytes of a nullable byte string, without a copy. Record data is written like this.
    ///
    /// # Errors
    /// Those of [`Reader::take`], [`WireError::NegativeLength`].
    pub fn bytes(&mut self) -> Result<Option<&'a [u8]>, WireError> {
        match self.length()? {
            Some(length) => self.take(length).map(Some),
            None => Ok(None),
        }
    }

    /// The count of a nullable array whose decoded elements are `T`s, charged to the budget.
    ///
    /// # Errors
    /// [`WireError::TooMany`] when there can not be that many elements (each has at least one byte),
    /// [`WireError::OverBudget`], [`WireError::NegativeLength`].
    pub fn count<T>(&mut self) -> Result<Option<usize>, WireError> {
        let Some(count) = self.length()? else { return Ok(None) };
        let limit = self.left().min(ARRAY_ELEMENTS_MAX);
        if count > limit {
            return Err(WireError::TooMany { what: "elements", position: self.position, count, limit });
        }
        self.charge(count * size_of::<T>())?;
        Ok(Some(count))
    }

    /// Takes `wanted` bytes out of the budget. To be called before they are allocated.
    ///
    /// # Errors
    /// [`WireError::OverBudget`].
    pub fn charge(&mut self, wanted: usize) -> Result<(), WireError> {
        match self.budget.checked_sub(wanted) {
            Some(left) => {
                self.budget = left;
                Ok(())
            }
            None => Err(WireError::OverBudget { position: self.position, wanted, left: self.budget }),
        }
    }

    /// The tagged fields that end a struct; nothing in the classic form. `known` reads the value of a tag
    /// that it knows and says `true`, or says `false`, and the value is skipped.
    ///
    /// # Errors
    /// [`WireError::TooMany`], [`WireError::TagOrder`], [`WireError::TagSize`], those of `known`.
    pub fn tagged_fields(
        &mut self,
        mut known: impl FnMut(&mut Self, u32) -> Result<bool, WireError>,
    ) -> Result<(), WireError> {
        if !self.flexible {
            return Ok(());
        }
        let count = self.varint()? as usize;
        if count > TAGS_MAX {
            let (what, position, limit) = ("tagged fields", self.position, TAGS_MAX);
            return Err(WireError::TooMany { what, position, count, limit });
        }
        let mut last = None;
        for _ in 0..count {
            let tag = self.varint()?;
            if let Some(previous) = last.replace(tag)
                && previous >= tag
            {
                return Err(WireError::TagOrder { position: self.position, tag, previous });
            }
            self.tagged_field(tag, &mut known)?;
        }
        Ok(())
    }

    /// "Null is not a value here."
    pub fn null(&self) -> WireError {
        WireError::Null { position: self.position, version: self.version }
    }

    fn tagged_field(
        &mut self,
        tag: u32,
        known: &mut impl FnMut(&mut Self, u32) -> Result<bool, WireError>,
    ) -> Result<(), WireError> {
        let size = self.varint()? as usize;
        let value_position = self.position;
        self.take(size)?;
        let expected = self.position;
        self.position = value_position;

        // The value can not reach beyond its announced size.
        let message = self.bytes;
        self.bytes = &message[..expected];
        if !known(self, tag)? {
            self.position = expected;
        }
        self.bytes = message;
        match self.position == expected {
            true => Ok(()),
            false => Err(WireError::TagSize { position: self.position, tag, expected }),
        }
    }

    /// The length of bytes or the count of an array.
    fn length(&mut self) -> Result<Option<usize>, WireError> {
        match self.flexible {
            true => self.compact_length(),
            false => {
                let length = i32::from_be_bytes(self.take_array()?);
                self.classic_length(length)
            }
        }
    }

    fn compact_length(&mut self) -> Result<Option<usize>, WireError> {
        Ok(self.varint()?.checked_sub(1).map(|length| length as usize))
    }

    fn classic_length(&self, length: i32) -> Result<Option<usize>, WireError> {
        match length {
            -1 => Ok(None),
            ..-1 => Err(WireError::NegativeLength { position: self.position, length }),
            0.. => Ok(Some(length as usize)),
        }
    }

    fn left(&self) -> usize {
        self.bytes.len() - self.position
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Decode;

    fn classic(bytes: &[u8]) -> Reader<'_> {
        Reader::request(bytes, 0, false)
    }

    fn flexible(bytes: &[u8]) -> Reader<'_> {
        Reader::request(bytes, 0, true)
    }

    #[test]
    fn a_varint_has_at_most_32_bits() {
        assert_eq!(flexible(&[0]).varint(), Ok(0));
        assert_eq!(flexible(&[0xac, 0x02]).varint(), Ok(300));
        assert_eq!(flexible(&[0xff, 0xff, 0xff, 0xff, 0x0f]).varint(), Ok(u32::MAX));
        assert_eq!(
            flexible(&[0xff, 0xff, 0xff, 0xff, 0x1f]).varint(),
            Err(WireError::Varint { position: 0 })
        );
        assert_eq!(flexible(&[0x80; 6]).varint(), Err(WireError::Varint { position: 0 }));
        assert_eq!(flexible(&[0x80]).varint(), Err(WireError::Truncated { position: 1, wanted: 1, left: 0 }));
    }

    #[test]
    fn both_forms_tell_null_from_empty() {
        assert_eq!(classic(&[0xff, 0xff]).string(), Ok(None));
        assert_eq!(classic(&[0, 0]).string(), Ok(Some(String::new())));
        assert_eq!(flexible(&[0]).string(), Ok(None));
        assert_eq!(flexible(&[1]).string(), Ok(Some(String::new())));
        assert_eq!(flexible(&[3, b'h', b'i']).string(), Ok(Some("hi".to_owned())));
        assert_eq!(classic(&[0xff; 4]).bytes(), Ok(None));
        assert_eq!(classic(&[0, 0, 0, 1, 7]).bytes(), Ok(Some(&[7][..])));
        assert_eq!(String::read(&mut flexible(&[0])), Err(WireError::Null { position: 1, version: 0 }));
    }

    #[test]
    fn lengths_beyond_the_bytes_are_refused() {
        assert_eq!(
            classic(&[0x80, 0]).string(),
            Err(WireError::NegativeLength { position: 2, length: i16::MIN.into() })
        );
        assert_eq!(
            classic(&[0, 3, b'h', b'i']).string(),
            Err(WireError::Truncated { position: 2, wanted: 3, left: 2 })
        );
        let mut long = vec![0x81, 0x80, 0x02];
        long.resize(3 + STRING_BYTES_MAX + 1, b'x');
        let (what, position, count) = ("bytes of a string", 3, STRING_BYTES_MAX + 1);
        assert_eq!(
            flexible(&long).string(),
            Err(WireError::TooMany { what, position, count, limit: STRING_BYTES_MAX })
        );
    }

    #[test]
    fn what_is_not_utf8_is_replaced_and_the_budget_counts_what_it_has_become() {
        for (bytes, text) in [
            (&b"\xff\xfeA"[..], "\u{fffd}\u{fffd}A"),
            (b"caf\xe9", "caf\u{fffd}"),
            (b"a\xed\xa0\x80b", "a\u{fffd}\u{fffd}\u{fffd}b"),
            (b"\xe2\x82", "\u{fffd}"),
        ] {
            let sent = [&[0, bytes.len() as u8], bytes].concat();
            let mut reader = classic(&sent);
            let budget = reader.budget_left();
            assert_eq!(reader.string(), Ok(Some(text.to_owned())));
            assert_eq!(reader.budget_left(), budget - text.len());
            assert_eq!(reader.left(), 0);
        }
    }

    #[test]
    fn a_string_that_grows_by_replacement_can_still_be_written_and_stays_in_the_budget() {
        for before in 0..4 {
            let mut sent = i16::MAX.to_be_bytes().to_vec();
            sent.resize(2 + before, b'a');
            sent.resize(2 + STRING_BYTES_MAX, 0xff);
            let text = classic(&sent).string().unwrap().unwrap();
            assert!((STRING_BYTES_MAX - 2..=STRING_BYTES_MAX).contains(&text.len()), "{}", text.len());
            assert_eq!(text.capacity(), STRING_BYTES_MAX);
            let mut poor = Reader { budget: STRING_BYTES_MAX - 1, ..classic(&sent) };
            assert!(matches!(poor.string(), Err(WireError::OverBudget { .. })));
        }
    }

    #[test]
    fn an_array_is_no_longer_than_its_bytes_and_its_budget() {
        let count = i32::MAX.to_be_bytes();
        let (what, position) = ("elements", 4);
        assert_eq!(
            classic(&count).count::<u8>(),
            Err(WireError::TooMany { what, position, count: i32::MAX as usize, limit: 0 })
        );
        let mut million = vec![0; 2_000_004];
        million[..4].copy_from_slice(&1_000_001i32.to_be_bytes());
        assert_eq!(
            classic(&million).count::<u8>(),
            Err(WireError::TooMany { what, position, count: 1_000_001, limit: ARRAY_ELEMENTS_MAX })
        );
        million[..4].copy_from_slice(&1_000_000i32.to_be_bytes());
        assert_eq!(classic(&million).count::<u8>(), Ok(Some(1_000_000)));
        assert_eq!(
            classic(&million).count::<[u8; 100]>(),
            Err(WireError::OverBudget { position, wanted: 100_000_000, left: request_budget(million.len()) })
        );
    }

    #[test]
    fn tags_ascend_and_fill_their_size() {
        let read = |bytes: &[u8]| {
            let mut seen = Vec::new();
            let mut reader = flexible(bytes);
            reader
                .tagged_fields(|reader, tag| {
                    if tag == 1 {
                        seen.push(i16::read(reader)?);
                    }
                    Ok(tag == 1)
                })
                .and_then(|()| reader.finish())
                .map(|()| seen)
        };
        assert_eq!(read(&[0]), Ok(vec![]));
        assert_eq!(read(&[3, 0, 1, 9, 1, 2, 0, 7, 9, 0]), Ok(vec![7]), "tags 0 and 9 are unknown");
        assert_eq!(
            read(&[2, 1, 2, 0, 7, 1, 2, 0, 8]),
            Err(WireError::TagOrder { position: 6, tag: 1, previous: 1 })
        );
        assert_eq!(
            read(&[1, 1, 1, 0, 7]),
            Err(WireError::Truncated { position: 3, wanted: 2, left: 1 }),
            "the value does not reach beyond its size"
        );
        assert_eq!(read(&[1, 1, 3, 0, 7, 0]), Err(WireError::TagSize { position: 5, tag: 1, expected: 6 }));
        assert_eq!(
            read(&[0x80, 0x80, 0x40]),
            Err(WireError::TooMany { what: "tagged fields", position: 3, count: 1 << 20, limit: TAGS_MAX })
        );
        assert_eq!(read(&[0, 0]), Err(WireError::Trailing { position: 1, left: 1 }));
    }
}
