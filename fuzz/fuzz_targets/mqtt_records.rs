//! Any bytes as a key and a value of `__mqtt_sessions` or `__mqtt_retained`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| strandline_fuzz::server("mqtt_records", bytes));
