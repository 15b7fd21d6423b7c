//! Any bytes as tokens of issuers and their keys.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| strandline_fuzz::server("tokens", bytes));
