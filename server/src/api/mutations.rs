//! What a request creates and deletes of partitions, held against its client's `controller_mutation_rate`
//! (KIP-599).
//!
//! A request of a version that knows THROTTLING_QUOTA_EXCEEDED is refused that for what it asks for while its
//! client owes something; an older one is served. Both are told how long the client has to be silent, and it
//! is not listened to so long.

use std::time::Duration;

use strandline_protocol::wire::ErrorCode;

use crate::api::whole_ms;
use crate::call::Call;
use crate::quotas::QuotaKey;
use crate::refusal::Refusal;

/// What a request changes, as far as it has come.
pub(super) struct Mutations<'a> {
    call: &'a Call,
    strictly: bool,
    wait: Duration,
}

impl<'a> Mutations<'a> {
    /// Of a request, whose versions are refused from this one on.
    pub(super) fn of(call: &'a Call, strict_from: i16) -> Mutations<'a> {
        Mutations { call, strictly: call.header.version >= strict_from, wait: Duration::ZERO }
    }

    /// Whether anybody is limited: then it pays to look first whether a change can be made at all.
    pub(super) fn are_limited(&self) -> bool {
        self.call.broker.has_quota(QuotaKey::ControllerMutationRate)
    }

    /// Counts a change of so many partitions, which is about to be made.
    ///
    /// # Errors
    /// THROTTLING_QUOTA_EXCEEDED: it is not to be made.
    pub(super) fn count(&mut self, partitions: u32) -> Result<(), Refusal> {
        let Call { broker, standing, access, .. } = self.call;
        let changed = broker.change(&access.session, standing, u64::from(partitions), self.strictly);
        self.wait = self.wait.max(changed.wait);
        match changed.may {
            true => Ok(()),
            false => Err(ErrorCode::ThrottlingQuotaExceeded.into()),
        }
    }

    /// How many milliseconds the client has to be silent; it is not listened to meanwhile.
    pub(super) fn throttle(self) -> i32 {
        let Mutations { call, wait, .. } = self;
        call.broker.requests.throttled(call.header.key, QuotaKey::ControllerMutationRate, wait);
        call.standing.mute(wait);
        whole_ms(wait)
    }
}
