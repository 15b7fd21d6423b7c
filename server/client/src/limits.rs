//! How long a client waits.

use std::time::Duration;

/// How long things may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// To set up a connection to one address.
    pub connect: Duration,
    /// From a request to its answer, beyond what the broker was asked to wait.
    pub request: Duration,
    /// For one operation with all its repetitions.
    pub give_up_after: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connect: Duration::from_secs(5),
            request: Duration::from_secs(30),
            give_up_after: Duration::from_secs(60),
        }
    }
}
