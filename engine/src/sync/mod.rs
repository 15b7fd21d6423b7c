//! What threads and tasks share, and nothing else: mailboxes between shards, published snapshots, wake-ups.

mod published;
mod signal;

pub(crate) use published::Published;
pub(crate) use signal::Signal;
