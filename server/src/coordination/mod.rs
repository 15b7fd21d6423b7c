//! The runtime of coordinators: one mailbox a shard, ordered writes, loading and time, for any state machine
//! that is kept in an internal topic.
//!
//! ```text
//!  handler (any shard)
//!    | Coordinators::ask, change, wait            hash of the key > partition > shard
//!    v
//!  mailbox (bounded) > task                       one for all partitions of a shard; waits for none of them
//!                        |
//!                        v
//!                      Runtime                    which partitions are coordinated here, in which epoch
//!                        |  Machine: (request) -> (records, answer)        memory is not changed yet
//!                        |
//!                        '-- records > batches > Partitions::append --.
//!                                                                     | settled, in the partition's order
//!                            Machine::replay(records) <---------------'  memory is changed, the answer leaves
//! ```
//!
//! What a machine can rely on:
//!
//! * Memory says what is durable: a record is replayed into the machine when the engine has acknowledged it,
//!   by the same function that replays it at a start. A write that fails has nothing to undo, and nobody is
//!   shown what could vanish (D2, D9).
//! * The writes of one partition settle in the order in which they were appended, so that memory and log
//!   agree on which of two was later.
//! * A write may be part of a producer's transaction: it is replayed as pending, and counts or not by the
//!   marker that [`Coordinators::end_transaction`] appends in the same order. Loading replays both in the
//!   same way, so that a transaction that was open when the process ended is open again.
//! * A partition is served when its log has been replayed, from [`Coordinators::begin`] to
//!   [`Coordinators::resign`]. Of two leaders the one of the older epoch is ignored.
//! * Time is an argument: a machine says when it wants to be woken.
//! * What may take long runs beside the machine, in slices, and comes back as a call of it ([`Work`]).
//!
//! The runtime knows no group, no transaction and no message: the name of the topic and its settings, and
//! everything that a record or a request means, are the machine's. It stands on [`Partitions`], which a shard
//! of the engine implements, and so does the crash simulation.

mod content;
mod coordinators;
mod error;
mod load;
mod machine;
mod partitions;
mod reply;
mod runtime;
#[cfg(test)]
pub(crate) mod simulated;
mod task;
#[cfg(test)]
mod tests;
mod topic;
mod work;
mod writes;

pub use coordinators::Coordinators;
pub use error::{StoreError, Stored, Unavailable};
pub use machine::{Encoded, Finish, Machine, Outcome, Record, Transactional, Turn, Work, Write};
pub use partitions::{Partitions, RecordsError};
pub use reply::Reply;
pub use topic::InternalTopic;
pub use work::{Begun, Pace, Working, begin};
