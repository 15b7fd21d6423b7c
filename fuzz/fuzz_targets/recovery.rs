//! Any bytes as the files of a data directory.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| strandline_fuzz::engine("recovery", bytes));
