//! The batches of a new segment, each of which begins where the one before ends.
//!
//! ```text
//! what is left   |filler   | 7..9 |              | 14..15 |     | 18 of a transaction |           end of the group
//! the row        | 0..6    | 7..13               | 14..17       | 18                  | filler   |
//!                            '- stretched over the gap: another last offset delta, the same records
//! ```
//!
//! No checksum covers a base offset. Where none is missing, the batches before tell it, and so a reader finds
//! one that has rotted; in a gap it could be any. So compaction leaves no gap: the batch before it is
//! stretched, at no cost, or else a filler of 61 bytes takes the place.
//!
//! | the batch before a gap | is |
//! |---|---|
//! | the last of its producer | left: its last offset tells the last sequence |
//! | of a transaction, or a marker | left: a client holds its last offset against those of aborted transactions |
//! | any other | stretched |
//!
//! A batch carries the leader epoch of its first offset: a filler that of the first batch whose place it
//! takes.

use bytes::{Bytes, BytesMut};

use super::Cleaner;
use crate::format::batch::{self, BatchHeader};
use crate::types::{LeaderEpoch, Offset};

/// A row in the making. It has no more bytes than the batches that it was made of, unless those had gaps.
pub struct Row<'a> {
    cleaner: &'a Cleaner<'a>,
    /// The offset behind all that was taken in.
    end: Offset,
    /// The last batch: what follows decides whether it is stretched.
    held: Option<Bytes>,
    /// The leader epoch at `end`, where a batch stood that is gone.
    gone: Option<LeaderEpoch>,
    /// The leader epoch of the last batch.
    last: LeaderEpoch,
}

impl<'a> Row<'a> {
    /// A row from `base` on, of what `cleaner` has left.
    pub fn new(base: Offset, cleaner: &'a Cleaner<'a>) -> Row<'a> {
        Row { cleaner, end: base, held: None, gone: None, last: LeaderEpoch::FIRST }
    }

    /// Takes note of a batch of which nothing is left.
    pub fn skip(&mut self, header: &BatchHeader) {
        self.gone.get_or_insert(header.leader_epoch());
    }

    /// Takes in the next batch, and gives what goes before it. A filler is made anew if there is need of it.
    ///
    /// # Panics
    /// When the batch does not lie behind the one before: the log was checked.
    pub fn push(&mut self, batch: Bytes) -> Vec<Bytes> {
        let header = *header(&batch);
        if header.is_filler() {
            self.skip(&header);
            return Vec::new();
        }
        let before = self.close(header.base_offset());
        self.end = header.next_offset();
        self.held = Some(batch);
        (self.last, self.gone) = (header.leader_epoch(), None);
        before
    }

    /// The last batches, which end before `end`.
    pub fn finish(mut self, end: Offset) -> Vec<Bytes> {
        self.close(end)
    }

    fn close(&mut self, end: Offset) -> Vec<Bytes> {
        assert!(self.end <= end, "offsets only grow");
        let mut row = Vec::new();
        if let Some(batch) = self.held.take() {
            let is_short = self.end < end && self.may_stretch(header(&batch), end);
            row.push(if is_short { stretched(&batch, end) } else { batch });
            self.end = if is_short { end } else { self.end };
        }
        let epoch = self.gone.unwrap_or(self.last);
        while self.end < end {
            let count = (end.get() - self.end.get()).min(i64::from(i32::MAX));
            row.push(batch::without_records(self.end, count as i32, epoch).freeze());
            self.end = self.end.plus(count);
        }
        row
    }

    fn may_stretch(&self, header: &BatchHeader, end: Offset) -> bool {
        let is_of_transaction = header.is_transactional() || header.is_control();
        !is_of_transaction && !self.cleaner.is_last_of_producer(header) && header.reaches(end)
    }
}

fn header(batch: &[u8]) -> &BatchHeader {
    BatchHeader::peek(batch).expect("the cleaner has verified it")
}

fn stretched(batch: &[u8], end: Offset) -> Bytes {
    let mut stretched = BytesMut::from(batch);
    batch::stretch(&mut stretched, end);
    stretched.freeze()
}
