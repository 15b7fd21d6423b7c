//! Every order in which loom's threads can meet, or, where these are too many, those with few interruptions.

mod shim {
    pub(super) use loom::sync::atomic::{AtomicUsize, Ordering};
    pub(super) use loom::sync::{Arc, Condvar, Mutex, MutexGuard};
    pub(super) use loom::thread::{ThreadId, spawn};

    pub(super) fn thread_id() -> ThreadId {
        loom::thread::current().id()
    }
}

#[path = "bodies.rs"]
mod bodies;
#[path = "channel.rs"]
mod channel;
#[path = "../../src/sync/published.rs"]
mod published;
#[path = "shard.rs"]
mod shard;
#[path = "../../src/sync/woken.rs"]
mod woken;

/// Three threads that lock this often can meet in more orders than can be tried. Tried are those in which
/// threads are interrupted at most this often, not counting where they wait.
const INTERRUPTIONS_MAX: usize = 4;

fn run(body: fn()) {
    loom::model(body)
}

fn run_bounded(body: fn()) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(INTERRUPTIONS_MAX);
    model.check(body)
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

#[test]
fn a_wake_is_never_lost_and_rings_once_a_sleep() {
    run_bounded(bodies::a_wake_is_never_lost_and_rings_once_a_sleep);
}

#[test]
fn a_wake_rings_no_bell_for_a_thread_that_is_awake() {
    run(bodies::a_wake_rings_no_bell_for_a_thread_that_is_awake);
}

#[test]
fn a_task_of_a_thread_that_ends_is_dropped_there_or_comes_back() {
    run(bodies::a_task_of_a_thread_that_ends_is_dropped_there_or_comes_back);
}

#[test]
fn a_message_wakes_the_shard_that_it_is_for() {
    run_bounded(bodies::a_message_wakes_the_shard_that_it_is_for);
}

#[test]
fn a_message_is_answered_or_its_sender_told_when_the_shard_stops() {
    run_bounded(bodies::a_message_is_answered_or_its_sender_told_when_the_shard_stops);
}

#[test]
fn a_file_outlives_its_segment_while_a_reader_has_it_and_closes_once() {
    run_bounded(bodies::a_file_outlives_its_segment_while_a_reader_has_it_and_closes_once);
}
