//! Any bytes as the records of a batch.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| strandline_fuzz::engine("records", bytes));
