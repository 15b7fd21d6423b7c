//! Any bytes as permissions and quotas.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| strandline_fuzz::server("kept_texts", bytes));
