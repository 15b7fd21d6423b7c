//! Any bytes as rules, and topics and filters.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| strandline_fuzz::server("mqtt_rules", bytes));
