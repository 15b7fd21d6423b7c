//! Transactions: what producers write to several partitions, seen whole or not at all (D10).
//!
//! ```text
//! api/init_producer_id, ...  >  Transactions (any shard)  >  coordination: one hop to the coordinator of the id's partition
//!                                                                   |  coordinator  the machine of one partition
//!                                                                   |  transaction  the rules of one id  (pure)
//!                                                                   v
//!                                records  >  __transaction_state, partition hash(transactional id) mod 50  >  the engine
//!                                                                   |
//!                                                                   v
//!                                markers  >  a control batch in each partition of the transaction
//! ```
//!
//! A transactional id belongs to one partition of the internal topic, and so to one shard, which keeps it in
//! memory. What must survive is appended there before it is acknowledged (D9), in Kafka's own format, and
//! read again at the next start. How that is done is `coordination`'s.

mod confirmed;
mod coordinator;
#[cfg(test)]
mod crash;
mod markers;
mod records;
mod service;
mod settings;
#[cfg(test)]
mod tests;
mod topic;
mod transaction;

pub use confirmed::Confirmed;
pub use coordinator::{
    Adding, CoordinatorSettings, Counts, Given, Listed, Marking, Report, Then, TransactionCoordinator,
};
pub use records::{Change, RecordError};
pub use service::Transactions;
pub use settings::TransactionSettings;
pub use topic::STATE_TOPIC;
pub use transaction::{BUMPING_LEVEL, ByTopic, Init, Next, State, Transaction};
