//! The engine as it ships, on a real disk: processes that are killed, shards that change in number, many partitions.

mod killed;
mod listing;
mod second_reader;
mod support;
mod whole;
