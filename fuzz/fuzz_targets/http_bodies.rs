//! Any bytes as a body of records, of either version of REST.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| strandline_fuzz::server("http_bodies", bytes));
