//! Any bytes as packets of MQTT, in either version.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| strandline_fuzz::server("mqtt_packets", bytes));
