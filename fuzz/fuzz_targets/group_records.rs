//! Any bytes as records of the groups' topic.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| strandline_fuzz::server("group_records", bytes));
