//! What a share partition has to know of records that were read: the offsets of their batches, and which of
//! these hold nothing for anybody.

/// Whether a batch holds records that somebody may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Archive {
    /// Nobody: they are of an aborted transaction, or markers.
    Yes,
    /// They are given out.
    No,
}

/// A record batch, as its header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadBatch {
    /// Its first offset.
    pub first: i64,
    /// Its last offset.
    pub last: i64,
    /// Whether it holds nothing for anybody.
    pub archive: Archive,
}

/// Batches of one read, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadBatches(Vec<ReadBatch>);

impl ReadBatches {
    /// Takes the next batch in. One that does not stand behind the others is left out: the engine gives none.
    pub fn push(&mut self, batch: ReadBatch) {
        let end = self.0.last().map_or(i64::MIN, |before| before.last);
        if batch.first > end && batch.last >= batch.first {
            self.0.push(batch);
        }
    }

    /// The batches.
    pub fn iter(&self) -> impl Iterator<Item = &ReadBatch> {
        self.0.iter()
    }

    /// Whether a batch begins at the offset.
    pub fn begins_at(&self, offset: i64) -> bool {
        self.0.binary_search_by_key(&offset, |batch| batch.first).is_ok()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
