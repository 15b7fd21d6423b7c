//! Any bytes as a schema, and a value that is said to be one of it.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| strandline_fuzz::server("schema_values", bytes));
