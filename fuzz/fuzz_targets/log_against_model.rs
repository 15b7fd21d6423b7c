//! Any operations on a log leave what a model of it has.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| strandline_fuzz::engine("log_against_model", bytes));
