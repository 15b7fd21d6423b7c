//! Any bytes as requests to the schema registry, one after the other.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| strandline_fuzz::server("schema_requests", bytes));
