//! The engine as it ships, on a real disk: processes that are killed, shards that change in number, many
//! partitions.

#![allow(clippy::print_stdout, reason = "a process that is killed says how far it came")]

mod aborted;
mod foreign;
mod killed;
mod listing;
mod second_reader;
mod source;
mod support;
mod tokio;
mod transactions;
mod whole;
