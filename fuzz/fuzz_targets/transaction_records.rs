//! Any bytes as records of the transactions' topic.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| strandline_fuzz::server("transaction_records", bytes));
