//! Any bytes as two schemas, one to be read with the other.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| strandline_fuzz::server("schema_pairs", bytes));
