//! A partition's file of aborted transactions, held against its log.
//!
//! | the file has, of what lies before the recovery point | it is |
//! |---|---|
//! | a row for each transaction that the log says was aborted | as it has to be |
//! | more rows, each of an ABORT marker of its producer | the same: compaction has removed the records |
//! | rows of markers before the log start | the same |
//! | fewer at its end | a note: there was no room, and the next opening finds them in the log |
//! | fewer in between, or a row that the log contradicts | damage |
//! | bytes that are no row that follows, where one has to be | damage |

use std::collections::BTreeMap;
use std::path::Path;

use super::finding::{Severity, What};
use crate::format::aborted::{AbortedRow, Transactions, decode_aborted, encode_aborted};
use crate::format::batch::BatchHeader;
use crate::format::marker::{EndMarker, TransactionResult};
use crate::types::{Offset, ProducerId};

/// The aborted transactions that a log tells, in the order of its batches.
#[derive(Default)]
pub(super) struct Told {
    transactions: Transactions,
    /// Those with records, by marker.
    pub(super) rows: Vec<AbortedRow>,
    /// The producers of all ABORT markers.
    markers: BTreeMap<Offset, ProducerId>,
}

impl Told {
    pub(super) fn pass(&mut self, header: &BatchHeader, batch: &[u8]) {
        let result = match header.is_control() {
            true => EndMarker::read(batch).map(|end| end.result),
            false => None,
        };
        if result == Some(TransactionResult::Abort) {
            self.markers.insert(header.base_offset(), header.producer_id());
        }
        self.rows.extend(self.transactions.pass(header, result));
    }

    /// The whole file for a log whose recovery point lies at `end`.
    pub(super) fn file(&self, end: Offset) -> Vec<u8> {
        let before = self.rows.partition_point(|row| row.marker_offset < end);
        encode_aborted(Offset::ZERO, &self.rows[..before])
    }
}

/// What is wrong with a file, with its place where that is known.
pub(super) struct Wrong {
    pub(super) severity: Severity,
    pub(super) position: Option<usize>,
    pub(super) what: What,
}

/// Holds the file at `path`, if there is one, against what the log from `log_start` on has told up to the
/// recovery point at `end`.
pub(super) fn held_against(
    path: Option<&Path>,
    told: &Told,
    log_start: Offset,
    end: Offset,
) -> Result<Vec<Wrong>, std::io::Error> {
    let mut wrong = Vec::new();
    let mut tell = |severity, position, what| wrong.push(Wrong { severity, position, what });
    let expected: Vec<_> = told.rows.iter().filter(|row| row.marker_offset < end).collect();
    let bytes = path.map(std::fs::read).transpose()?.unwrap_or_default();
    let (rows, valid_bytes) = match decode_aborted(&bytes) {
        Ok(decoded) => (decoded.rows, decoded.valid_bytes),
        Err(_) if path.is_none() => (Vec::new(), 0),
        Err(error) => {
            tell(Severity::Damage, Some(0), error.into());
            return Ok(wrong);
        }
    };
    let last = rows.last().map(|last| last.marker_offset);
    let missing: Vec<_> = expected
        .iter()
        .filter(|row| rows.binary_search_by_key(&row.marker_offset, |row| row.marker_offset).is_err())
        .collect();
    let is_hole = missing.iter().any(|row| Some(row.marker_offset) < last);
    if valid_bytes < bytes.len() {
        let left = (bytes.len() - valid_bytes) as u64;
        // What is appended behind the recovery point may be torn.
        let severity = if missing.is_empty() { Severity::Note } else { Severity::Damage };
        tell(severity, Some(valid_bytes), What::AbortedTail { bytes: left });
    } else if let Some(first) = missing.first() {
        let severity = if is_hole { Severity::Damage } else { Severity::Note };
        let (marker, rows) = (first.marker_offset, missing.len());
        tell(severity, None, What::AbortedMissing { marker, rows });
    }
    for row in rows.iter().filter(|row| (log_start..end).contains(&row.marker_offset)) {
        let (producer, marker) = (row.producer_id, row.marker_offset);
        if told.markers.get(&marker) != Some(&producer) {
            tell(Severity::Damage, None, What::AbortedMarker { producer, marker });
        }
    }
    for row in expected {
        let found = rows.binary_search_by_key(&row.marker_offset, |row| row.marker_offset);
        let Ok(found) = found.map(|at| rows[at]) else { continue };
        if found.first_offset > row.first_offset || found.last_stable > row.last_stable {
            let marker = row.marker_offset;
            tell(Severity::Damage, None, What::AbortedRow { marker });
        }
    }
    Ok(wrong)
}
