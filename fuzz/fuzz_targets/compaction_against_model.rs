//! Compaction of any log leaves what a model of it leaves.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| strandline_fuzz::engine("compaction_against_model", bytes));
