//! The system's threads, often enough to meet in many orders.

mod shim {
    pub(super) use std::sync::atomic::{AtomicUsize, Ordering};
    pub(super) use std::sync::{Arc, Mutex};
    pub(super) use std::thread::spawn;
}

#[path = "bodies.rs"]
mod bodies;
#[path = "../../src/sync/published.rs"]
mod published;

fn run(body: fn()) {
    (0..2_000).for_each(|_| body())
}

#[test]
fn a_reader_never_goes_back() {
    run(bodies::a_reader_never_goes_back);
}

#[test]
fn a_snapshot_outlives_its_replacement_and_goes_once() {
    run(bodies::a_snapshot_outlives_its_replacement_and_goes_once);
}

#[test]
fn one_of_two_writers_is_last() {
    run(bodies::one_of_two_writers_is_last);
}
