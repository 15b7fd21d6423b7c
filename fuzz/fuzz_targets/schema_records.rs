//! Any bytes as records of the schema registry.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| strandline_fuzz::server("schema_records", bytes));
