//! Any bytes as responses.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| strandline_fuzz::server("response_frames", bytes));
