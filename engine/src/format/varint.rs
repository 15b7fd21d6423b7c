//! Variable-length integers as Kafka writes them: seven bits a byte, least significant first, the top bit
//! says "more".
//!
//! ```text
//! unsigned      300 = 0b10_0101100         -> ac 02
//! zigzag        0, -1, 1, -2, 2, ...       -> 00, 01, 02, 03, 04, ...
//! ```
//! Readers take from the front of a slice and leave it untouched on an error. They accept longer spellings
//! than needed (as Kafka does), but no bit beyond the width of the number. The encoding is Protocol Buffers';
//! KIP-482 and KIP-98 are where Kafka took it up.

use bytes::BufMut;

/// The most bytes of an encoded 32-bit number.
pub const VARINT_BYTES_MAX: usize = 5;
/// The most bytes of an encoded 64-bit number.
pub const VARLONG_BYTES_MAX: usize = 10;

/// Why no number could be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VarintError {
    /// The bytes end inside the number.
    #[error("the number is cut off")]
    Truncated,
    /// The number has more bits than its type.
    #[error("the number does not fit its type")]
    Overlong,
}

/// Reads an unsigned 32-bit number from the front of `bytes`.
#[inline]
pub fn read_unsigned(bytes: &mut &[u8]) -> Result<u32, VarintError> {
    // One byte is by far the most frequent case: record lengths, deltas and counts are small.
    match bytes.first() {
        Some(byte) if *byte < 0x80 => {
            *bytes = &bytes[1..];
            Ok(u32::from(*byte))
        }
        _ => {
            let wide = read_long::<VARINT_BYTES_MAX>(bytes, u64::from(u32::MAX))?;
            Ok(wide as u32)
        }
    }
}

/// Reads a zigzag 32-bit number from the front of `bytes`.
#[inline]
pub fn read_varint(bytes: &mut &[u8]) -> Result<i32, VarintError> {
    let raw = read_unsigned(bytes)?;
    Ok((raw >> 1) as i32 ^ -((raw & 1) as i32))
}

/// Reads a zigzag 64-bit number from the front of `bytes`.
#[inline]
pub fn read_varlong(bytes: &mut &[u8]) -> Result<i64, VarintError> {
    let raw = match bytes.first() {
        Some(byte) if *byte < 0x80 => {
            *bytes = &bytes[1..];
            u64::from(*byte)
        }
        _ => read_long::<VARLONG_BYTES_MAX>(bytes, u64::MAX)?,
    };
    Ok((raw >> 1) as i64 ^ -((raw & 1) as i64))
}

fn read_long<const BYTES_MAX: usize>(bytes: &mut &[u8], value_max: u64) -> Result<u64, VarintError> {
    let mut value = 0u64;
    for at in 0..BYTES_MAX {
        let byte = *bytes.get(at).ok_or(VarintError::Truncated)?;
        let bits = u64::from(byte & 0x7f);
        let shifted = bits << (7 * at);
        if shifted >> (7 * at) != bits || shifted > value_max {
            return Err(VarintError::Overlong);
        }
        value |= shifted;
        if byte < 0x80 {
            *bytes = &bytes[at + 1..];
            return Ok(value);
        }
    }
    Err(VarintError::Overlong)
}

/// Appends an unsigned 32-bit number.
pub fn write_unsigned(out: &mut impl BufMut, value: u32) {
    write_raw(out, u64::from(value));
}

/// Appends a zigzag 32-bit number.
pub fn write_varint(out: &mut impl BufMut, value: i32) {
    write_raw(out, u64::from(zigzag(value)));
}

/// Appends a zigzag 64-bit number.
pub fn write_varlong(out: &mut impl BufMut, value: i64) {
    write_raw(out, zigzag_long(value));
}

/// The bytes that [`write_varint`] appends for `value`.
pub fn varint_bytes(value: i32) -> usize {
    raw_bytes(u64::from(zigzag(value)))
}

/// The bytes that [`write_varlong`] appends for `value`.
pub fn varlong_bytes(value: i64) -> usize {
    raw_bytes(zigzag_long(value))
}

fn zigzag(value: i32) -> u32 {
    ((value << 1) ^ (value >> 31)) as u32
}

fn zigzag_long(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

fn raw_bytes(value: u64) -> usize {
    let bits = 64 - (value | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

fn write_raw(out: &mut impl BufMut, mut value: u64) {
    while value >= 0x80 {
        out.put_u8(value as u8 | 0x80);
        value >>= 7;
    }
    out.put_u8(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: [i32; 15] =
        [0, -1, 1, 63, -64, 64, -65, 8191, -8192, 8192, 1 << 20, 1 << 27, i32::MAX - 1, i32::MAX, i32::MIN];

    #[test]
    fn numbers_come_back_and_sizes_are_told_beforehand() {
        for value in SMALL {
            let mut out = Vec::new();
            write_varint(&mut out, value);
            assert_eq!(out.len(), varint_bytes(value));
            let mut rest = &out[..];
            assert_eq!(read_varint(&mut rest), Ok(value));
            assert!(rest.is_empty());

            out.clear();
            write_unsigned(&mut out, value as u32);
            assert_eq!(read_unsigned(&mut &out[..]), Ok(value as u32));

            for wide in
                [i64::from(value), i64::from(value) << 31, i64::MAX - i64::from(value as u32), i64::MIN]
            {
                out.clear();
                write_varlong(&mut out, wide);
                assert_eq!(out.len(), varlong_bytes(wide));
                assert_eq!(read_varlong(&mut &out[..]), Ok(wide));
            }
        }
    }

    #[test]
    fn the_encoding_is_the_published_one() {
        let mut out = Vec::new();
        write_unsigned(&mut out, 300);
        write_varint(&mut out, -1);
        write_varint(&mut out, 150);
        write_varlong(&mut out, i64::MIN);
        assert_eq!(out, b"\xac\x02\x01\xac\x02\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01");
    }

    #[test]
    fn a_cut_number_is_refused_and_nothing_is_taken() {
        let mut out = Vec::new();
        write_varlong(&mut out, i64::MIN);
        for end in 0..out.len() {
            let mut rest = &out[..end];
            assert_eq!(read_varlong(&mut rest), Err(VarintError::Truncated));
            assert_eq!(rest.len(), end);
        }
    }

    #[test]
    fn no_bit_beyond_the_width_is_accepted() {
        assert_eq!(read_unsigned(&mut &b"\xff\xff\xff\xff\x0f"[..]), Ok(u32::MAX));
        assert_eq!(read_unsigned(&mut &b"\xff\xff\xff\xff\x1f"[..]), Err(VarintError::Overlong));
        assert_eq!(read_unsigned(&mut &b"\x80\x80\x80\x80\x80\x00"[..]), Err(VarintError::Overlong));
        assert_eq!(read_unsigned(&mut &b"\x80\x00"[..]), Ok(0), "a longer spelling is Kafka's to accept");
        let mut long = [0xff; 10];
        long[9] = 0x01;
        assert_eq!(read_varlong(&mut &long[..]), Ok(i64::MIN));
        long[9] = 0x02;
        assert_eq!(read_varlong(&mut &long[..]), Err(VarintError::Overlong));
    }
}
