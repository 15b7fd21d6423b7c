//! What a shard counts of its connections' requests. Only the shard's own thread touches it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use strandline_engine::Durations;
use strandline_protocol::wire::{ApiKey, Encode, ErrorCode};

use crate::quotas::QuotaKey;

/// What was counted of one API.
#[derive(Clone, Debug, Default)]
pub struct RequestStats {
    /// Requests that have come in.
    pub requests: u64,
    /// Their bytes, without the size before each.
    pub request_bytes: u64,
    /// Bytes of the answers, with it.
    pub response_bytes: u64,
    /// From a whole request to its answer, before that is sent: what was waited for, too.
    pub durations: Durations,
    /// How long clients had to be silent, by the quota that they had used up.
    pub throttled: BTreeMap<QuotaKey, Duration>,
    /// Errors in answers by their code; one answer may hold many.
    pub errors: BTreeMap<i16, u64>,
}

impl RequestStats {
    /// Adds all of `other`.
    pub fn merge(&mut self, other: &RequestStats) {
        self.requests += other.requests;
        self.request_bytes += other.request_bytes;
        self.response_bytes += other.response_bytes;
        self.durations.merge(&other.durations);
        for (quota, wait) in &other.throttled {
            *self.throttled.entry(*quota).or_default() += *wait;
        }
        for (code, count) in &other.errors {
            *self.errors.entry(*code).or_default() += count;
        }
    }
}

/// The counters of every API that was asked for.
#[derive(Default)]
pub struct RequestCounters(RefCell<BTreeMap<ApiKey, RequestStats>>);

impl RequestCounters {
    /// What was counted.
    pub fn get(&self) -> BTreeMap<ApiKey, RequestStats> {
        self.0.borrow().clone()
    }

    pub(crate) fn arrived(&self, key: ApiKey, bytes: usize) {
        self.of(key, |stats| {
            stats.requests += 1;
            stats.request_bytes += bytes as u64;
        });
    }

    pub(crate) fn answered(&self, key: ApiKey, took: Duration, bytes: u64) {
        self.of(key, |stats| {
            stats.response_bytes += bytes;
            stats.durations.note(took);
        });
    }

    pub(crate) fn throttled(&self, key: ApiKey, quota: QuotaKey, wait: Duration) {
        if !wait.is_zero() {
            self.of(key, |stats| *stats.throttled.entry(quota).or_default() += wait);
        }
    }

    pub(crate) fn failed(&self, key: ApiKey, code: i16) {
        if code != ErrorCode::None.code() {
            self.of(key, |stats| *stats.errors.entry(code).or_default() += 1);
        }
    }

    /// Counts every error code that a response holds.
    pub(crate) fn note_errors(&self, key: ApiKey, response: &impl Encode) {
        response.errors("", &mut |code| self.failed(key, code));
    }

    fn of(&self, key: ApiKey, note: impl FnOnce(&mut RequestStats)) {
        note(self.0.borrow_mut().entry(key).or_default());
    }
}
