//! The batches of a read: their headers alone, and where each stands in its file.
//!
//! Of batches the headers are read, a piece of the file at a time; the records are not looked at, but for the
//! markers that end transactions.

use std::collections::HashSet;
use std::io;

use strandline_engine::format::batch::{BATCH_HEADER_BYTES, BatchHeader};
use strandline_engine::format::marker::{EndMarker, MARKER_BYTES};
use strandline_engine::types::ProducerId;
use strandline_engine::{AbortedTransaction, File, FileRange, TransactionResult};

use crate::broker::Broker;
use crate::share::{Archive, ReadBatch, ReadBatches};

/// Bytes that are read together.
const WINDOW_BYTES: u64 = 16 << 10;

/// What was found.
pub(super) struct Walked {
    pub(super) read: ReadBatches,
    pub(super) places: Places,
}

/// Where batches stand, from the beginning of their range on.
#[derive(Default)]
pub(super) struct Places(Vec<Place>);

struct Place {
    first: i64,
    last: i64,
    at: u64,
    length: u64,
}

impl Places {
    /// The batches with the records from `first` to `last`.
    pub(super) fn slice(&self, range: &FileRange<File>, first: i64, last: i64) -> FileRange<File> {
        let from = self.0.partition_point(|place| place.last < first);
        let until = self.0.partition_point(|place| place.first <= last);
        let begin = self.0.get(from).map_or(range.length, |place| place.at);
        let end = self.0[..until].last().map_or(begin, |place| place.at + place.length);
        FileRange {
            file: range.file.clone(),
            position: range.position.saturating_add(begin),
            length: end.saturating_sub(begin),
        }
    }
}

/// The batches of a read, up to some `records_max` offsets and `bytes_max` bytes, one at least. Those of
/// aborted transactions, and markers, hold nothing for anybody.
///
/// # Errors
/// What the system says; `InvalidData` for bytes that are no batches.
pub(super) async fn walk(
    broker: &Broker,
    range: &FileRange<File>,
    aborted: &[AbortedTransaction],
    records_max: i64,
    bytes_max: u64,
) -> io::Result<Walked> {
    let mut walk = Walk::new(aborted);
    let mut at = 0;
    let mut offsets = 0;
    while at < range.length && offsets < records_max {
        let length = WINDOW_BYTES.min(range.length - at);
        let window =
            FileRange { file: range.file.clone(), position: range.position.saturating_add(at), length };
        let bytes = broker.shard.copy(&window).await?;
        let mut inside = 0;
        while offsets < records_max && is_whole(&bytes[inside..], inside == 0) {
            let header = BatchHeader::peek(&bytes[inside..]).map_err(io::Error::other)?;
            let total = header.total_bytes() as u64;
            if at + inside as u64 > 0 && at + inside as u64 + total > bytes_max {
                return Ok(walk.walked);
            }
            let batch = walk.take(&bytes[inside..], header, at + inside as u64);
            if batch.archive == Archive::No {
                offsets += batch.last - batch.first + 1;
            }
            inside += total as usize;
            if inside >= bytes.len() {
                break;
            }
        }
        if inside == 0 {
            return Err(io::ErrorKind::InvalidData.into());
        }
        at += inside as u64;
    }
    Ok(walk.walked)
}

/// Whether enough of a batch is there: its header, and of a marker all. Where a window begins there is no
/// more to be had.
fn is_whole(bytes: &[u8], is_first: bool) -> bool {
    bytes.len() >= MARKER_BYTES || (is_first && bytes.len() >= BATCH_HEADER_BYTES)
}

/// How far a walk has come.
struct Walk<'a> {
    walked: Walked,
    aborted: Vec<&'a AbortedTransaction>,
    /// Producers whose transaction is aborted by their next marker.
    open: HashSet<ProducerId>,
}

impl<'a> Walk<'a> {
    fn new(aborted: &'a [AbortedTransaction]) -> Walk<'a> {
        let mut aborted: Vec<_> = aborted.iter().collect();
        // The next one is the last of the list.
        aborted.sort_by_key(|aborted| std::cmp::Reverse(aborted.first_offset));
        let walked = Walked { read: ReadBatches::default(), places: Places::default() };
        Walk { walked, aborted, open: HashSet::new() }
    }

    fn take(&mut self, bytes: &[u8], header: &BatchHeader, at: u64) -> ReadBatch {
        let (first, last) = (header.base_offset().get(), header.last_offset().get());
        let producer = header.producer_id();
        while let Some(next) = self.aborted.pop_if(|next| next.first_offset.get() <= last) {
            self.open.insert(next.producer_id);
        }
        let archive = if header.is_control() {
            let marker = EndMarker::read(bytes);
            if marker.is_some_and(|marker| marker.result == TransactionResult::Abort) {
                self.open.remove(&producer);
            }
            Archive::Yes
        } else if header.is_transactional() && self.open.contains(&producer) {
            Archive::Yes
        } else {
            Archive::No
        };
        let batch = ReadBatch { first, last, archive };
        self.walked.read.push(batch);
        self.walked.places.0.push(Place { first, last, at, length: header.total_bytes() as u64 });
        batch
    }
}
