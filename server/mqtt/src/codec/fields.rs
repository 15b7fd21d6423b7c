//! The types that packets, and records, are made of: numbers, texts, binary data; the big end first.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::error::DecodeError;

/// What is left to be read of a packet.
pub(crate) struct Fields {
    bytes: Bytes,
}

impl Fields {
    pub(crate) fn new(bytes: Bytes) -> Fields {
        Fields { bytes }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(crate) fn byte(&mut self) -> Result<u8, DecodeError> {
        self.take(1).map(|mut bytes| bytes.get_u8())
    }

    pub(crate) fn two(&mut self) -> Result<u16, DecodeError> {
        self.take(2).map(|mut bytes| bytes.get_u16())
    }

    pub(crate) fn four(&mut self) -> Result<u32, DecodeError> {
        self.take(4).map(|mut bytes| bytes.get_u32())
    }

    /// A packet id: it is never 0.
    pub(crate) fn id(&mut self) -> Result<u16, DecodeError> {
        match self.two()? {
            0 => Err(DecodeError::Protocol("a packet id is 0")),
            id => Ok(id),
        }
    }

    /// Seven bits a byte, the lowest first, in as few bytes as there can be.
    pub(crate) fn varint(&mut self) -> Result<u32, DecodeError> {
        let mut value = 0;
        for place in 0..4 {
            let byte = self.byte()?;
            value |= u32::from(byte & 0x7f) << (7 * place);
            if byte & 0x80 == 0 {
                return match byte == 0 && place > 0 {
                    true => Err(DecodeError::Malformed("a number has more bytes than it needs")),
                    false => Ok(value),
                };
            }
        }
        Err(DecodeError::Malformed("a number of variable length has a fifth byte"))
    }

    pub(crate) fn binary(&mut self) -> Result<Bytes, DecodeError> {
        let length = self.two()?;
        self.take(usize::from(length))
    }

    pub(crate) fn text(&mut self) -> Result<String, DecodeError> {
        let bytes = self.binary()?;
        let text = std::str::from_utf8(&bytes).map_err(|_| DecodeError::Malformed("a text is not UTF-8"))?;
        match text.contains('\0') {
            true => Err(DecodeError::Malformed("a text contains U+0000")),
            false => Ok(text.to_owned()),
        }
    }

    pub(crate) fn take(&mut self, length: usize) -> Result<Bytes, DecodeError> {
        match length <= self.bytes.len() {
            true => Ok(self.bytes.split_to(length)),
            false => Err(DecodeError::Malformed("a field is longer than its packet")),
        }
    }

    pub(crate) fn rest(self) -> Bytes {
        self.bytes
    }

    pub(crate) fn end(self) -> Result<(), DecodeError> {
        match self.is_empty() {
            true => Ok(()),
            false => Err(DecodeError::Malformed("something follows the last field")),
        }
    }
}

/// The bytes that a number takes.
pub(crate) fn varint_bytes(value: usize) -> usize {
    match value {
        0..0x80 => 1,
        0x80..0x4000 => 2,
        0x4000..0x20_0000 => 3,
        _ => 4,
    }
}

pub(crate) fn put_varint(to: &mut BytesMut, mut value: usize) {
    debug_assert!(value < 1 << 28, "callers hold the limit");
    while value >= 0x80 {
        to.put_u8(value as u8 | 0x80);
        value >>= 7;
    }
    to.put_u8(value as u8);
}

/// A text or binary data. What is longer than its length can say is cut: texts that this side makes are
/// short, and others have come in by the same field.
pub(crate) fn put_binary(to: &mut BytesMut, bytes: &[u8]) {
    let bytes = &bytes[..bytes.len().min(usize::from(u16::MAX))];
    to.put_u16(bytes.len() as u16);
    to.put_slice(bytes);
}
