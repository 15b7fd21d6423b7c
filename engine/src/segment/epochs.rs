//! The leader epochs of a log: which one its batches carry from which offset on.
//!
//! ```text
//! offset   0          40        90           log end
//!          | epoch 0  | epoch 3 | epoch 4 ... |
//!            (0, 0)     (3, 40)   (4, 90)            a row for each, ascending in both
//! ```
//!
//! An epoch is the term of one leader (KIP-101). It never decreases along a log. No checksum covers it in a
//! batch, so these rows, which the shard's checkpoint keeps, are also what a batch that is read is held
//! against.

use std::cell::{Cell, RefCell};

use crate::types::{EpochEnd, EpochStart, LeaderEpoch, Offset};

/// The epochs of one log, shared by its segments.
#[derive(Debug, Default)]
pub(crate) struct Epochs {
    starts: RefCell<Vec<EpochStart>>,
    /// Every batch of the log is accounted for.
    complete: Cell<bool>,
}

impl Epochs {
    /// As a checkpoint has them, of a log that begins with `start`. What lies behind it is yet to be found.
    pub(crate) fn reset(&self, starts: &[EpochStart], start: Offset) {
        *self.starts.borrow_mut() = starts.to_vec();
        self.raise_start(start);
    }

    /// All that the log has was found: from now on a batch that does not fit is damaged.
    pub(crate) fn set_complete(&self) {
        self.complete.set(true);
    }

    /// The rows.
    pub(crate) fn to_vec(&self) -> Vec<EpochStart> {
        self.starts.borrow().clone()
    }

    /// The newest epoch; [`LeaderEpoch::FIRST`] before the first one.
    pub(crate) fn last(&self) -> LeaderEpoch {
        self.starts.borrow().last().map_or(LeaderEpoch::FIRST, |last| last.epoch)
    }

    /// The epoch of the batch that begins with `offset`; `None` before the first row.
    pub(crate) fn at(&self, offset: Offset) -> Option<LeaderEpoch> {
        epoch_at(&self.starts.borrow(), offset)
    }

    /// Batches from `start` on carry `epoch`.
    ///
    /// # Panics
    /// When the epoch is older than the newest one.
    pub(crate) fn begin(&self, epoch: LeaderEpoch, start: Offset) {
        let mut starts = self.starts.borrow_mut();
        let last = starts.last().map(|last| last.epoch);
        assert!(last <= Some(epoch), "{epoch:?} comes behind {last:?}");
        if last == Some(epoch) {
            return;
        }
        // An epoch of which there is no batch.
        starts.retain(|row| row.start < start);
        starts.push(EpochStart { epoch, start });
    }

    /// Takes the batches from `end` on out.
    pub(crate) fn cut(&self, end: Offset) {
        self.starts.borrow_mut().retain(|row| row.start < end);
    }

    /// The log begins with `start`.
    pub(crate) fn raise_start(&self, start: Offset) {
        let mut starts = self.starts.borrow_mut();
        let before = starts.partition_point(|row| row.start <= start);
        if before > 0 {
            starts.drain(..before - 1);
            starts[0].start = start;
        }
    }

    /// The newest epoch that is not newer than `epoch`, and where it ends: where the next one begins, or at
    /// the end of the log. Before the first row, `epoch` itself and where that begins. `None` for an epoch
    /// that is yet to come.
    pub(crate) fn end_of(&self, epoch: LeaderEpoch, log_end: Offset) -> Option<EpochEnd> {
        let starts = self.starts.borrow();
        let newer = starts.partition_point(|row| row.epoch <= epoch);
        let found = starts[..newer].last().map_or(epoch, |row| row.epoch);
        match starts.get(newer) {
            Some(next) => Some(EpochEnd { epoch: found, end: next.start }),
            None => (starts.last()?.epoch == epoch).then_some(EpochEnd { epoch, end: log_end }),
        }
    }

    /// Whether a batch that begins with `offset` can not carry `epoch`.
    pub(super) fn contradict(&self, offset: Offset, epoch: LeaderEpoch) -> bool {
        if !self.complete.get() {
            return false;
        }
        match self.at(offset) {
            Some(known) => known != epoch,
            None => self.starts.borrow().first().is_some_and(|first| epoch > first.epoch),
        }
    }
}

/// The epoch that rows have for the batch that begins with `offset`; `None` before the first one.
pub(crate) fn epoch_at(starts: &[EpochStart], offset: Offset) -> Option<LeaderEpoch> {
    let behind = starts.partition_point(|row| row.start <= offset);
    starts[..behind].last().map(|row| row.epoch)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(epoch: i32, start: i64) -> EpochStart {
        EpochStart { epoch: LeaderEpoch(epoch), start: Offset::new(start) }
    }

    fn epochs() -> Epochs {
        let epochs = Epochs::default();
        epochs.reset(&[row(0, 0), row(3, 40), row(4, 90)], Offset::ZERO);
        epochs.set_complete();
        epochs
    }

    fn end_of(epochs: &Epochs, epoch: i32) -> Option<(i32, i64)> {
        epochs.end_of(LeaderEpoch(epoch), Offset::new(100)).map(|found| (found.epoch.0, found.end.get()))
    }

    #[test]
    fn an_epoch_ends_where_the_next_one_begins() {
        let epochs = epochs();
        assert_eq!(end_of(&epochs, 0), Some((0, 40)));
        assert_eq!(end_of(&epochs, 2), Some((0, 40)), "the newest one that is not newer");
        assert_eq!(end_of(&epochs, 3), Some((3, 90)));
        assert_eq!(end_of(&epochs, 4), Some((4, 100)), "the last one ends with the log");
        assert_eq!(end_of(&epochs, 5), None, "an epoch that is yet to come");
        epochs.raise_start(Offset::new(50));
        assert_eq!(end_of(&epochs, 1), Some((1, 50)), "before all that there is");
        assert_eq!(end_of(&Epochs::default(), 0), None);
    }

    #[test]
    fn what_is_cut_off_or_deleted_takes_its_epochs_along() {
        let cut = |end| {
            let epochs = epochs();
            epochs.cut(Offset::new(end));
            epochs.to_vec()
        };
        assert_eq!(cut(91), [row(0, 0), row(3, 40), row(4, 90)]);
        assert_eq!(cut(90), [row(0, 0), row(3, 40)]);
        assert_eq!(cut(0), []);
        let raised = |start| {
            let epochs = epochs();
            epochs.raise_start(Offset::new(start));
            epochs.to_vec()
        };
        assert_eq!(raised(39), [row(0, 39), row(3, 40), row(4, 90)]);
        assert_eq!(raised(40), [row(3, 40), row(4, 90)]);
        assert_eq!(raised(200), [row(4, 200)]);
    }

    #[test]
    fn an_epoch_without_a_batch_gives_its_place_to_the_next() {
        let epochs = epochs();
        epochs.begin(LeaderEpoch(4), Offset::new(95));
        epochs.begin(LeaderEpoch(6), Offset::new(100));
        epochs.begin(LeaderEpoch(7), Offset::new(100));
        assert_eq!(epochs.to_vec(), [row(0, 0), row(3, 40), row(4, 90), row(7, 100)]);
        let older = std::panic::AssertUnwindSafe(|| epochs.begin(LeaderEpoch(6), Offset::new(200)));
        assert!(std::panic::catch_unwind(older).is_err(), "epochs never go back");
    }

    #[test]
    fn d5_a_batch_of_another_epoch_than_that_of_its_offset_is_damaged() {
        let epochs = epochs();
        for (offset, epoch, contradicts) in [(39, 0, false), (39, 3, true), (40, 0, true), (1000, 4, false)] {
            assert_eq!(epochs.contradict(Offset::new(offset), LeaderEpoch(epoch)), contradicts, "{offset}");
        }
        epochs.raise_start(Offset::new(50));
        assert!(!epochs.contradict(Offset::new(39), LeaderEpoch(0)), "nobody knows any more");
        assert!(epochs.contradict(Offset::new(39), LeaderEpoch(4)), "newer than what follows");
    }
}
