//! Any bytes as records of the share groups' topic.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| strandline_fuzz::server("share_records", bytes));
