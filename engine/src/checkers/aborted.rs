//! A partition's file of aborted transactions.

use super::index::mend_sum;
use crate::format::aborted::{
    ABORTED_HEADER_BYTES, ABORTED_ROW_BYTES, AbortedRow, DecodedAborted, decode_aborted, decode_rows,
    encode_aborted, row_position, rows_in,
};

/// Any bytes as such a file; then once more with all of its sums put right.
pub(super) fn aborted(bytes: &[u8]) {
    read(bytes);
    read(&mended(bytes));
}

fn read(bytes: &[u8]) {
    let Ok(decoded) = decode_aborted(bytes) else { return };
    let DecodedAborted { purged_end, rows, valid_bytes } = &decoded;
    assert!(*valid_bytes <= bytes.len() && rows.len() as u64 <= rows_in(bytes.len() as u64));
    let ascends = rows.windows(2).all(|pair| {
        pair[0].marker_offset < pair[1].marker_offset && pair[0].last_stable <= pair[1].last_stable
    });
    assert!(ascends, "rows are sorted by marker, and the last stable offset does not fall");
    assert!(rows.first().is_none_or(|first| first.marker_offset >= *purged_end));
    assert_eq!(encode_aborted(*purged_end, rows), bytes[..*valid_bytes], "written the same again");
    for (number, row) in rows.iter().enumerate().take(8) {
        let position = row_position(number as u64).0 as usize;
        assert_eq!(AbortedRow::decode(&bytes[position..]), Some(*row), "a row by itself");
        assert!(row.first_offset < row.marker_offset);
        assert!(row.overlaps(row.marker_offset, row.marker_offset.plus(1)));
        assert!(!row.overlaps(row.first_offset, row.first_offset));
        let rest = decode_rows(&bytes[position + ABORTED_ROW_BYTES..*valid_bytes], Some(*row));
        assert_eq!(rest, rows[number + 1..], "what follows a row follows it");
    }
}

/// The bytes with the magic and the sums that the header and each row would have.
pub(super) fn mended(bytes: &[u8]) -> Vec<u8> {
    let mut file = bytes.to_vec();
    if file.len() < ABORTED_HEADER_BYTES {
        return file;
    }
    file[..12].copy_from_slice(b"STRLABRT\x01\0\0\0");
    mend_sum(&mut file[..ABORTED_HEADER_BYTES], 12);
    for row in file[ABORTED_HEADER_BYTES..].chunks_exact_mut(ABORTED_ROW_BYTES) {
        // Hardly any of 64 bits would ascend: one byte of each number is left of it.
        row[..32].chunks_exact_mut(8).for_each(|field| field[1..].fill(0));
        mend_sum(row, 32);
    }
    file
}
