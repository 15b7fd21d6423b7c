//! Batches and truncations that wait for the shard's next turn.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use crate::error::{AppendError, TruncateError};
use crate::message::{Appended, Appending, Reply};
use crate::sync::Signal;
use crate::types::{Offset, PartitionId};

/// Bytes that may wait before whoever brings more has to wait too: several turns' worth, so that the disk
/// never starves.
const WAITING_BYTES_MAX: usize = 32 << 20;

/// A batch or a marker that has arrived.
pub(crate) struct Arrival {
    pub(crate) partition: PartitionId,
    pub(crate) what: Appending,
    pub(crate) reply: Reply<Result<Appended, AppendError>>,
}

/// A log that is to be cut off.
pub(crate) struct AskedTruncation {
    pub(crate) partition: PartitionId,
    pub(crate) to: Offset,
    pub(crate) reply: Reply<Result<Offset, TruncateError>>,
}

#[derive(Default)]
pub(crate) struct Inbox {
    waiting: RefCell<VecDeque<Arrival>>,
    truncations: RefCell<VecDeque<AskedTruncation>>,
    /// Somebody wants a turn without bringing anything.
    woken: Cell<bool>,
    bytes: Cell<usize>,
    arrived: Signal,
    closed: Cell<bool>,
    room: RefCell<VecDeque<futures_channel::oneshot::Sender<()>>>,
}

impl Inbox {
    /// Waits until more batches may come. Those who wait go on in the order in which they came.
    pub(crate) async fn room(&self) {
        while self.bytes.get() >= WAITING_BYTES_MAX && !self.closed.get() {
            let (sender, receiver) = futures_channel::oneshot::channel();
            self.room.borrow_mut().push_back(sender);
            // A dropped sender means that the inbox has closed: the loop's condition tells.
            let _ = receiver.await;
        }
    }

    /// Takes in a batch. After [`Inbox::close`] it is refused.
    pub(crate) fn push(&self, arrival: Arrival) {
        if self.closed.get() {
            let _ = arrival.reply.send(Err(AppendError::Stopping));
            return;
        }
        self.bytes.set(self.bytes.get() + arrival.what.bytes());
        self.waiting.borrow_mut().push_back(arrival);
        self.arrived.notify();
    }

    /// Takes in a truncation. After [`Inbox::close`] it is refused.
    pub(crate) fn push_truncation(&self, asked: AskedTruncation) {
        if self.closed.get() {
            let _ = asked.reply.send(Err(TruncateError::Stopping));
            return;
        }
        self.truncations.borrow_mut().push_back(asked);
        self.arrived.notify();
    }

    /// A truncation for the turn that has begun.
    pub(crate) fn take_truncation(&self) -> Option<AskedTruncation> {
        self.truncations.borrow_mut().pop_front()
    }

    /// Asks for a turn, be there batches or not.
    pub(crate) fn wake(&self) {
        self.woken.set(true);
        self.arrived.notify();
    }

    /// The batches of the next turn: not more than `bytes_max` unless the first alone is, and none where
    /// something else wants the turn. `None` once closed and empty.
    pub(crate) async fn take(&self, bytes_max: usize) -> Option<Vec<Arrival>> {
        let is_empty = || self.waiting.borrow().is_empty() && self.truncations.borrow().is_empty();
        while is_empty() && !self.woken.take() {
            if self.closed.get() {
                return None;
            }
            self.arrived.wait().await;
        }
        let mut taken = Vec::new();
        let mut bytes = 0;
        let mut waiting = self.waiting.borrow_mut();
        while let Some(next) = waiting.front() {
            let length = next.what.bytes();
            if !taken.is_empty() && bytes + length > bytes_max {
                break;
            }
            bytes += length;
            taken.extend(waiting.pop_front());
        }
        self.bytes.set(self.bytes.get() - bytes);
        if self.bytes.get() < WAITING_BYTES_MAX {
            for sender in self.room.borrow_mut().drain(..) {
                let _ = sender.send(());
            }
        }
        Some(taken)
    }

    /// How many batches wait, and their bytes.
    pub(crate) fn waiting(&self) -> (u64, u64) {
        (self.waiting.borrow().len() as u64, self.bytes.get() as u64)
    }

    /// Takes no more batches; those that wait are still taken out.
    pub(crate) fn close(&self) {
        self.closed.set(true);
        self.arrived.notify();
        self.room.borrow_mut().clear();
    }
}
