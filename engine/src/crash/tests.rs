//! Named properties, each on many seeds.

use super::for_seeds;
use super::run::{Run, Trouble};

#[test]
fn d1_what_was_acknowledged_survives_every_crash() {
    for_seeds("d1_what_was_acknowledged_survives_every_crash", 0..300, |seed| {
        Run::new(seed, Trouble::default()).generations(5);
    });
}

#[test]
fn d3_what_was_acknowledged_survives_failing_writes_and_syncs() {
    for_seeds("d3_what_was_acknowledged_survives_failing_writes_and_syncs", 0..300, |seed| {
        Run::new(seed, Trouble { errors: true, full: false }).generations(5);
    });
}

#[test]
fn d7_what_was_acknowledged_survives_a_full_disk() {
    for_seeds("d7_what_was_acknowledged_survives_a_full_disk", 0..300, |seed| {
        Run::new(seed, Trouble { errors: false, full: true }).generations(5);
    });
}
