//! The way back of an answer.

use futures_channel::oneshot;

use super::error::Unavailable;

/// Where an answer goes. Dropped, it tells whoever asked that there is no coordinator any more.
pub struct Reply<T>(oneshot::Sender<Result<T, Unavailable>>);

pub(crate) type Pending<T> = oneshot::Receiver<Result<T, Unavailable>>;

impl<T> Reply<T> {
    pub(crate) fn new() -> (Reply<T>, Pending<T>) {
        let (sender, receiver) = oneshot::channel();
        (Reply(sender), receiver)
    }

    /// Answers.
    pub fn send(self, answer: T) {
        self.settle(Ok(answer));
    }

    /// Whether somebody still waits for it.
    pub fn is_awaited(&self) -> bool {
        !self.0.is_canceled()
    }

    pub(super) fn settle(self, answer: Result<T, Unavailable>) {
        // Whoever asked may have gone.
        let _ = self.0.send(answer);
    }
}
