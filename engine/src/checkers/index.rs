//! A segment's index file.

use crate::format::index::{
    DecodedIndex, before_timestamp, decode_index, encode_chunk, encode_header, floor, floor_position,
};
use crate::types::Position;

const HEADER_BYTES: usize = 24;
const CHUNK_HEADER_BYTES: usize = 12;
const ENTRY_BYTES: usize = 16;

/// Any bytes as an index file; then once more with all of its sums put right.
pub(super) fn index(bytes: &[u8]) {
    read(bytes);
    read(&mended(bytes));
}

fn read(bytes: &[u8]) {
    let Ok(decoded) = decode_index(bytes) else { return };
    let DecodedIndex { base, entries, valid_bytes } = &decoded;
    assert!(*valid_bytes <= bytes.len() && entries.len() * ENTRY_BYTES <= *valid_bytes);
    let ascends = entries.windows(2).all(|pair| {
        pair[0].relative_offset < pair[1].relative_offset
            && pair[0].position < pair[1].position
            && pair[0].max_timestamp <= pair[1].max_timestamp
    });
    assert!(ascends, "every column ascends");
    assert_eq!(decode_index(&bytes[..*valid_bytes]).as_ref(), Ok(&decoded), "what is valid is all there is");

    let mut again = encode_header(*base);
    if !entries.is_empty() {
        again.extend(encode_chunk(entries));
    }
    let reread = decode_index(&again).expect("an index of ours");
    assert_eq!((&reread.base, &reread.entries), (base, entries));

    for entry in entries.iter().take(8) {
        let (offset, position, time) = (entry.relative_offset, entry.position, entry.max_timestamp);
        let last = |holds: &dyn Fn(&_) -> bool| entries.iter().copied().rfind(|entry| holds(entry));
        for at in [offset.saturating_sub(1), offset, offset.saturating_add(1)] {
            assert_eq!(floor(entries, at), last(&|entry| entry.relative_offset <= at));
        }
        for at in [Position::from(position.saturating_sub(1)), Position::from(position)] {
            assert_eq!(floor_position(entries, at), last(&|entry| entry.start() <= at));
        }
        assert_eq!(before_timestamp(entries, time), last(&|entry| entry.max_timestamp < time));
    }
}

/// The bytes with the sums that the header and each chunk would have. A magic is put right as well: few
/// inputs would have one.
pub(super) fn mended(bytes: &[u8]) -> Vec<u8> {
    let mut file = bytes.to_vec();
    if file.len() < HEADER_BYTES {
        return file;
    }
    file[..10].copy_from_slice(b"STRLINDX\x01\0");
    mend_sum(&mut file[..HEADER_BYTES], 12);
    let mut rest = &mut file[HEADER_BYTES..];
    while rest.len() >= CHUNK_HEADER_BYTES + ENTRY_BYTES {
        rest[..4].copy_from_slice(b"CHNK");
        let count = u32::from_le_bytes([rest[4], rest[5], rest[6], rest[7]]);
        // Most counts are too large to be there.
        let count = 1 + count.saturating_sub(1) % 8;
        let bytes = CHUNK_HEADER_BYTES + count as usize * ENTRY_BYTES;
        if bytes > rest.len() {
            break;
        }
        rest[4..8].copy_from_slice(&count.to_le_bytes());
        mend_sum(&mut rest[..bytes], 8);
        rest = &mut rest[bytes..];
    }
    file
}

/// Puts the CRC-32 of `bytes` into them, at this place.
pub(super) fn mend_sum(bytes: &mut [u8], at: usize) {
    bytes[at..at + 4].fill(0);
    let sum = crc32fast::hash(bytes);
    bytes[at..at + 4].copy_from_slice(&sum.to_le_bytes());
}
