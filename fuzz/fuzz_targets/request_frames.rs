//! Any bytes as requests.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| strandline_fuzz::server("request_frames", bytes));
