//! The one clock. Every latency is a difference of two readings of CLOCK_MONOTONIC, which all processes of a
//! machine share.

use rustix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// Nanoseconds in a second.
pub(crate) const SECOND: u64 = 1_000_000_000;

/// Nanoseconds since the machine started.
pub(crate) fn now() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    time.tv_sec as u64 * SECOND + time.tv_nsec as u64
}

/// Milliseconds since 1970: what Kafka calls a timestamp. Never used for a latency.
pub(crate) fn wall_ms() -> i64 {
    let time = clock_gettime(ClockId::Realtime);
    time.tv_sec * 1_000 + time.tv_nsec / 1_000_000
}

/// A duration in nanoseconds.
pub(crate) fn nanos(duration: Duration) -> u64 {
    duration.as_nanos() as u64
}
