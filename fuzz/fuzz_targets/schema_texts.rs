//! Any bytes as a schema, with what it refers to.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| strandline_fuzz::server("schema_texts", bytes));
