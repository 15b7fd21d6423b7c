//! Any bytes as messages of a client that wants to be let in.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| strandline_fuzz::server("sasl_messages", bytes));
