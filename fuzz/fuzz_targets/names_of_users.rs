//! Any bytes as rules for names, and users as they are kept.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| strandline_fuzz::server("names_of_users", bytes));
