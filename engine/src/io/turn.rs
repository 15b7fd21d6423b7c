//! Giving way, without naming a runtime.

use std::future::poll_fn;
use std::task::Poll;

/// Lets every other task of the same queue that is ready run once before this one goes on.
pub async fn yield_now() {
    let mut yielded = false;
    poll_fn(|context| {
        if yielded {
            return Poll::Ready(());
        }
        yielded = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
