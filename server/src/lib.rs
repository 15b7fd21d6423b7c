//! The fronts of the Strandline engine, as a library: Kafka's, and that of HTTP beside it.
//!
//! A record's way: [`net`] (socket) > [`fronts::kafka`] (frame, order of answers) > [`dispatch`] (one table
//! of APIs) > [`api`] (one handler a file) > the engine's `Local`, and back. A module uses only what stands
//! below it:
//!
//! ```text
//! serve       puts it together
//! metrics     what goes on, for Prometheus and for whoever supervises the broker
//! fronts      from bytes to requests and back, each in its protocol
//! in_process  requests of our own threads
//! dispatch    key, version, handler: the table
//! api         the handlers
//! call        one request on its way, and its answer
//! access      what the client of one request may do
//! broker      the services of a shard, and the questions that all handlers ask
//! cluster     who the brokers are, and who leads which partition
//! transactions  what producers write to several partitions, whole or not at all
//! groups      who reads what, and how far
//! coordination  the runtime of all coordinators
//! authentication authorization  what a connection has proven of its client; what a client may do
//! session     who is at the other end of a connection
//! jwks        the keys by which tokens of clients are verified
//! net         listeners, seats, transports: what every front needs of the network
//! quotas      how much clients may use, and have used
//! answer room strangers counters config descriptors expression log refusal  long answers, their memory and that of strangers; what is counted; what can be set; descriptors; expressions of clients; log lines; why not
//! security    mechanisms and secrets: how a client proves who it is
//! ```

pub mod access;
pub mod answer;
pub mod api;
pub mod authentication;
pub mod authorization;
pub mod broker;
pub mod call;
#[cfg(any(test, feature = "testing"))]
pub mod checkers;
pub mod cluster;
pub mod config;
pub mod coordination;
pub mod counters;
pub mod descriptors;
pub mod dispatch;
pub mod expression;
pub mod fronts;
pub mod groups;
pub mod in_process;
pub mod jwks;
pub mod log;
pub mod metrics;
pub mod net;
pub mod quotas;
pub mod refusal;
pub mod room;
pub mod security;
pub mod serve;
pub mod session;
pub mod share;
pub mod strangers;
pub mod transactions;
