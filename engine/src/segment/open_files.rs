//! How many segments of a shard keep their file and index in memory.
//!
//! Ten thousand partitions must fit a descriptor limit of twenty thousand: what was used least recently is
//! let go. What waits for a sync can not be: the shard is told when there is too much of it, syncs it, and
//! has it let go then.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};

use super::Segment;
use crate::io::Disk;
use crate::sync::Signal;

pub(crate) struct OpenFiles<D: Disk> {
    limit: usize,
    /// There are more than the limit, or no descriptor was left: the shard is to make room.
    is_crowded: Cell<bool>,
    crowded: Signal,
    clock: Cell<u64>,
    open: RefCell<Vec<Weak<Segment<D>>>>,
}

impl<D: Disk> OpenFiles<D> {
    /// At most `limit` segments stay open, not counting those with bytes that wait for a sync.
    pub(crate) fn new(limit: usize) -> Rc<OpenFiles<D>> {
        Rc::new(OpenFiles {
            limit: limit.max(1),
            is_crowded: Cell::new(false),
            crowded: Signal::new(),
            clock: Cell::new(0),
            open: RefCell::new(Vec::new()),
        })
    }

    /// Notes a use, before the segment opens its file or loads its index.
    pub(super) fn touch(&self, segment: &Rc<Segment<D>>) {
        let now = self.clock.get() + 1;
        self.clock.set(now);
        let known = segment.last_used.replace(now) != 0;
        if known {
            return;
        }
        if self.open.borrow().len() >= self.limit && !self.is_crowded.get() {
            self.release_half();
            if self.open.borrow().len() >= self.limit {
                self.note_crowd();
            }
        }
        self.open.borrow_mut().push(Rc::downgrade(segment));
    }

    /// Notes that there are too many; whoever waits for [`OpenFiles::crowded`] makes room.
    pub(crate) fn note_crowd(&self) {
        self.is_crowded.set(true);
        self.crowded.notify();
    }

    pub(crate) fn is_crowded(&self) -> bool {
        self.is_crowded.get()
    }

    /// Waits until there are too many.
    pub(crate) async fn crowded(&self) {
        self.crowded.wait().await;
    }

    /// Lets go of half of them, now that they are synced.
    pub(crate) fn relieve(&self) {
        self.is_crowded.set(false);
        self.release_half();
    }

    /// Lets go of the half that was used least recently; sorting then happens once in `limit / 2` uses.
    fn release_half(&self) {
        let mut open: Vec<_> = self.open.borrow().iter().filter_map(Weak::upgrade).collect();
        open.sort_unstable_by_key(|segment| segment.last_used.get());
        let half = open.len() / 2;
        let mut kept = Vec::with_capacity(self.limit);
        for (at, segment) in open.iter().enumerate() {
            if at < half && segment.release() {
                segment.last_used.set(0);
            } else {
                kept.push(Rc::downgrade(segment));
            }
        }
        *self.open.borrow_mut() = kept;
    }
}
