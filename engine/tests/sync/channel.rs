//! A channel for loom, with the names and the contract of `async-channel`, of which it has what the tests
//! use.
//!
//! The parts that `async-channel` is made of have loom tests of their own, which need a build of their own.
//! Under std the same tests run on the real one.

use std::collections::VecDeque;
use std::fmt::{self, Debug, Formatter};
use std::future::poll_fn;
use std::task::{Poll, Waker};

use super::shim::{Arc, Mutex};

struct Channel<T> {
    messages: VecDeque<T>,
    closed: bool,
    /// Who waits for a message: one receiver.
    waiting: Option<Waker>,
}

pub(crate) struct Sender<T>(Arc<Mutex<Channel<T>>>);

pub(crate) struct Receiver<T>(Arc<Mutex<Channel<T>>>);

/// The channel has been closed: the message comes back, and goes with this.
pub(crate) struct TrySendError<T>(T);

impl<T> Debug for TrySendError<T> {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str("TrySendError")
    }
}

/// The channel has been closed, and is empty.
#[derive(Debug)]
pub(crate) struct RecvError;

/// The tests never fill it.
pub(crate) fn bounded<T>(_capacity: usize) -> (Sender<T>, Receiver<T>) {
    let channel = Channel { messages: VecDeque::new(), closed: false, waiting: None };
    let channel = Arc::new(Mutex::new(channel));
    (Sender(channel.clone()), Receiver(channel))
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Sender<T> {
        Sender(self.0.clone())
    }
}

impl<T> Sender<T> {
    pub(crate) fn try_send(&self, message: T) -> Result<(), TrySendError<T>> {
        let waiting = {
            let mut channel = self.0.lock().expect("nobody panics");
            if channel.closed {
                return Err(TrySendError(message));
            }
            channel.messages.push_back(message);
            channel.waiting.take()
        };
        waiting.into_iter().for_each(Waker::wake);
        Ok(())
    }

    pub(crate) fn close(&self) {
        close(&self.0);
    }
}

impl<T> Receiver<T> {
    pub(crate) async fn recv(&self) -> Result<T, RecvError> {
        poll_fn(|context| {
            let mut channel = self.0.lock().expect("nobody panics");
            match channel.messages.pop_front() {
                Some(message) => Poll::Ready(Ok(message)),
                None if channel.closed => Poll::Ready(Err(RecvError)),
                None => {
                    channel.waiting = Some(context.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }

    /// Takes no more messages; those that are there are still received.
    pub(crate) fn close(&self) {
        close(&self.0);
    }
}

fn close<T>(channel: &Mutex<Channel<T>>) {
    let waiting = {
        let mut channel = channel.lock().expect("nobody panics");
        channel.closed = true;
        channel.waiting.take()
    };
    waiting.into_iter().for_each(Waker::wake);
}
