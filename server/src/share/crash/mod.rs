//! Share groups under crashes: coordinators and leaders as in production, on the simulated disk, asked from
//! any shard and crashed at every operation of it.

mod life;

use std::ops::Range;
use std::rc::Rc;

use strandline_engine::crash::{Images, seeds};

use crate::coordination::simulated::Trouble;
use life::{Counted, Life};

fn for_seeds(test: &str, range: Range<u64>, body: impl Fn(u64)) {
    seeds::for_seeds(&format!("-p strandline --lib share::crash::{test}"), range, body);
}

#[test]
fn d9_no_crash_at_any_moment_brings_a_record_back_or_loses_one() {
    let counts: Counted = Rc::default();
    for_seeds("d9_no_crash_at_any_moment_brings_a_record_back_or_loses_one", 0..1, |seed| {
        let mut life = Life::new(seed, Trouble::NONE);
        life.images = Some(Images::new(counts.clone()));
        life.questions_max = 25;
        life.generations(2);
        counts.borrow_mut().seeds += 1;
    });
    eprintln!("{}", counts.borrow());
    assert!(counts.borrow().images > 300, "{}", counts.borrow());
}

#[test]
fn d9_what_was_acknowledged_is_done_and_all_else_comes_again_after_every_crash() {
    let acknowledged = std::cell::Cell::new(0);
    let name = "d9_what_was_acknowledged_is_done_and_all_else_comes_again_after_every_crash";
    for_seeds(name, 0..60, |seed| {
        let mut life = Life::new(seed, Trouble::NONE);
        life.generations(4);
        acknowledged.set(acknowledged.get() + life.known.acknowledged);
    });
    eprintln!("{} records were acknowledged", acknowledged.get());
    assert!(acknowledged.get() > 1000);
}

#[test]
fn d3_acknowledgements_survive_failing_writes_and_syncs_and_a_full_disk() {
    for_seeds("d3_acknowledgements_survive_failing_writes_and_syncs_and_a_full_disk", 0..60, |seed| {
        let trouble = Trouble { errors: seed % 2 == 0, full: seed % 2 == 1 };
        Life::new(seed, trouble).generations(4);
    });
}

#[test]
fn d9_no_crash_at_any_moment_loses_a_dead_letter() {
    let counts: Counted = Rc::default();
    for_seeds("d9_no_crash_at_any_moment_loses_a_dead_letter", 0..2, |seed| {
        let mut life = Life::new(seed, Trouble::NONE);
        life.has_queue = true;
        life.images = Some(Images::new(counts.clone()));
        life.questions_max = 25;
        life.generations(2);
        counts.borrow_mut().seeds += 1;
    });
    eprintln!("{}", counts.borrow());
    assert!(counts.borrow().images > 600, "{}", counts.borrow());
}

#[test]
fn d9_what_is_rejected_is_a_dead_letter_after_every_crash_and_nothing_else_is() {
    let letters = std::cell::Cell::new(0);
    let name = "d9_what_is_rejected_is_a_dead_letter_after_every_crash_and_nothing_else_is";
    for_seeds(name, 0..60, |seed| {
        let mut life = Life::new(seed, Trouble::NONE);
        life.has_queue = true;
        life.generations(4);
        letters.set(letters.get() + life.known.letters.len());
    });
    eprintln!("{} dead letters were written", letters.get());
    assert!(letters.get() > 200);
}

#[test]
fn d3_dead_letters_survive_failing_writes_and_syncs_and_a_full_disk() {
    for_seeds("d3_dead_letters_survive_failing_writes_and_syncs_and_a_full_disk", 0..60, |seed| {
        let trouble = Trouble { errors: seed % 2 == 0, full: seed % 2 == 1 };
        let mut life = Life::new(seed, trouble);
        life.has_queue = true;
        life.generations(4);
    });
}
