//! Any bytes as a file of aborted transactions.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| strandline_fuzz::engine("aborted", bytes));
