//! What is stored of a share partition: where it starts, and what became of records from there on. A write
//! says what has changed; this is what all of them come to.

use super::spans::Spans;

/// The start of a share partition that nobody has fetched from yet.
pub(super) const UNINITIALIZED: i64 = -1;

/// What became of records, durably.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// They may be given out.
    Available,
    /// They are done.
    Acknowledged,
    /// They are not given out any more, and their dead letters are not written yet.
    Archiving,
    /// They are not given out any more.
    Archived,
}

impl Delivery {
    /// As records have it.
    pub fn id(self) -> i8 {
        match self {
            Delivery::Available => 0,
            Delivery::Acknowledged => 2,
            Delivery::Archiving => 3,
            Delivery::Archived => 4,
        }
    }

    /// Out of a record. One that somebody had, which is never written, is available again.
    pub fn from_id(id: i8) -> Delivery {
        match id {
            2 => Delivery::Acknowledged,
            3 => Delivery::Archiving,
            4 => Delivery::Archived,
            _ => Delivery::Available,
        }
    }
}

/// What became of records that stand behind each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateBatch {
    /// The first offset.
    pub first: i64,
    /// The last one.
    pub last: i64,
    /// What became of them.
    pub state: Delivery,
    /// How often they were given out.
    pub deliveries: u16,
}

/// What became of records, the newer over the older.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Batches(Spans<(Delivery, u16)>);

impl Batches {
    /// Takes newer ones in, and lets go of what is before `start`.
    pub(super) fn merge(&mut self, start: i64, newer: &[StateBatch]) {
        for batch in newer {
            self.0.set(batch.first, batch.last, (batch.state, batch.deliveries));
        }
        self.0.remove_before(start);
    }

    /// All of them, in order.
    pub(super) fn to_vec(&self) -> Vec<StateBatch> {
        let all = self.0.iter().map(|(first, last, (state, deliveries))| StateBatch {
            first,
            last,
            state: *state,
            deliveries: *deliveries,
        });
        all.collect()
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

/// What is stored of a share partition, for whoever serves it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Raised when the group is told to begin elsewhere: whoever knows an older one is fenced.
    pub state_epoch: i32,
    /// Everything before it is done with; [`UNINITIALIZED`] when nobody has fetched yet.
    pub start: i64,
    /// What became of records from there on, in order.
    pub batches: Vec<StateBatch>,
}

/// What is stored of a share partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ShareState {
    /// Counts its snapshots.
    pub(super) snapshot_epoch: i32,
    /// As in [`Stored`].
    pub(super) state_epoch: i32,
    /// The epoch of the leader that wrote last.
    pub(super) leader_epoch: i32,
    /// As in [`Stored`].
    pub(super) start: i64,
    /// Offsets from `start` on that are done with; -1 when that is not known.
    pub(super) done: i32,
    /// When it was made, in milliseconds.
    pub(super) created: i64,
    /// When it was written as a whole last, in milliseconds.
    pub(super) written: i64,
    /// What became of records from `start` on.
    pub(super) batches: Batches,
    /// What of that has changed since it was written as a whole.
    pub(super) changed: Batches,
    /// How often it has.
    pub(super) updates: u32,
}

impl ShareState {
    /// A share partition that nobody has fetched from, or that is to begin at `start`.
    pub(super) fn new(now: i64, state_epoch: i32, start: i64) -> ShareState {
        ShareState {
            snapshot_epoch: 0,
            state_epoch,
            leader_epoch: 0,
            start,
            done: 0,
            created: now,
            written: now,
            batches: Batches::default(),
            changed: Batches::default(),
            updates: 0,
        }
    }

    /// For whoever serves it.
    pub(super) fn stored(&self) -> Stored {
        Stored { state_epoch: self.state_epoch, start: self.start, batches: self.batches.to_vec() }
    }

    /// Takes a change in.
    pub(super) fn update(&mut self, leader_epoch: i32, start: i64, done: i32, newer: &[StateBatch]) {
        if leader_epoch != -1 {
            self.leader_epoch = leader_epoch;
        }
        if start != UNINITIALIZED {
            self.start = start;
        }
        self.done = done;
        self.batches.merge(self.start, newer);
        self.changed.merge(self.start, newer);
        self.updates += 1;
    }
}
