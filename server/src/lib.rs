//! The Kafka front of the Strandline engine, as a library.
//!
//! A record's way: [`net`] (socket, frame, order of answers) > [`dispatch`] (one table of APIs) > [`api`] (one handler a file) > the
//! engine's `Local`, and back. [`groups`] coordinates who reads what. [`client`] is the other end of it. [`messages`] and [`wire`] are the bytes; [`config`] is what can be set; [`metrics`] and
//! [`log`] tell what goes on; [`serve`] puts it together. What long answers may take of the memory is [`answer`]'s and [`room`]'s.

pub mod answer;
pub mod api;
pub mod checkers;
pub mod client;
pub mod config;
pub mod descriptors;
pub mod dispatch;
pub mod groups;
pub mod log;
pub mod messages;
pub mod metrics;
pub mod net;
pub mod room;
pub mod serve;
pub mod wire;
