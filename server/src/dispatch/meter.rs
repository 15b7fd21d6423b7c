//! How much of its thread the answering of a request takes, held against its client's `request_percentage`
//! (KIP-124).
//!
//! What counts is the time of the polls of the request's two stages, the sum of what the thread did for it
//! and for nobody else. Sending the answer is not in it, nor what other threads do: the packing of large
//! batches, the disk. Where nobody has such a quota nothing is measured.
//!
//! The client is answered first and not listened to afterwards. How long that is stands in no answer: it is
//! known once the answer is made.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::time::{Duration, Instant};

use strandline_protocol::wire::ApiKey;

use crate::broker::Broker;
use crate::call::{Call, Pending};
use crate::quotas::{QuotaKey, Standing};
use crate::session::Session;

/// The time that a request has taken; it is its client's when the meter is dropped, answered or not.
pub(super) struct Meter {
    broker: Rc<Broker>,
    session: Rc<Session>,
    standing: Standing,
    key: ApiKey,
    spent: Cell<Duration>,
}

impl Meter {
    /// For a request, where anybody has such a quota.
    pub(super) fn of(call: &Call) -> Option<Meter> {
        call.broker.has_quota(QuotaKey::RequestPercentage).then(|| Meter {
            broker: call.broker.clone(),
            session: call.session().clone(),
            standing: call.standing.clone(),
            key: call.header.key,
            spent: Cell::default(),
        })
    }

    /// Runs a stage, and measures it.
    pub(super) async fn measure<T>(&self, stage: impl Future<Output = T>) -> T {
        let mut stage = pin!(stage);
        poll_fn(|context| {
            let since = Instant::now();
            let polled = stage.as_mut().poll(context);
            self.spent.set(self.spent.get() + since.elapsed());
            polled
        })
        .await
    }

    /// The last stage, measured.
    pub(super) fn over(self, answer: Pending) -> Pending {
        Box::pin(async move { self.measure(answer).await })
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        let nanoseconds = u64::try_from(self.spent.get().as_nanos()).unwrap_or(u64::MAX);
        let wait = self.broker.used(QuotaKey::RequestPercentage, &self.session, &self.standing, nanoseconds);
        self.broker.requests.throttled(self.key, QuotaKey::RequestPercentage, wait);
        self.standing.mute(wait);
    }
}
