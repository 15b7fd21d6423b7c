//! Any bytes as a record batch.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| strandline_fuzz::engine("record_batch", bytes));
