//! The shipping engine on a simulated machine that stops at any moment, held against a plain model.
//!
//! ```text
//! seed > plan > | start, compare all with the model | operations | power loss, kill or stop | > again, several times
//!               (may be stopped and repeated)       (faults, full disk)
//!                 |                                    |
//!                 +--- crash images at each moment ----+
//! ```
//!
//! What runs is the engine's own recovery, shards, journal, background and catalog, on [`SimDisk`](crate::sim::SimDisk) behind the
//! [`Latch`](crate::io::latch::Latch) of production; only threads, rings and sockets are not there. [`plan`] makes up what happens, [`run`]
//! plays it on a [`machine`], [`model`] and [`known`] say what must be there, [`checks`] looks, [`images`] looks after every crash there may be.
//!
//! A failure prints the command that repeats it, and a plan that is as small as it could be made. `STRANDLINE_SEED=n` runs one seed,
//! `STRANDLINE_SEEDS=a..b` a range, in every test that is driven by seeds; with `STRANDLINE_SHRINK=off` no smaller plan is looked for.

mod checks;
mod full;
mod images;
mod known;
mod machine;
mod model;
mod plan;
mod rot;
mod run;
mod shrink;
mod steps;
mod table;
mod tests;

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use plan::Plan;

/// Plays a plan for each seed of the range, or of those that the environment names; cuts down one that fails.
fn for_plans(test: &str, seeds: Range<u64>, make: impl Fn(u64) -> Plan, play: impl Fn(&Plan)) {
    for_seeds(test, seeds, |seed| {
        let plan = make(seed);
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| play(&plan))) {
            if std::env::var("STRANDLINE_SHRINK").is_ok_and(|value| value == "off") {
                resume_unwind(panic);
            }
            eprintln!("seed {seed} fails; looking for a smaller plan that does");
            eprintln!("{:#?}", shrink::shrink(&plan, &play));
            resume_unwind(panic);
        }
    });
}

/// Runs `body` with each seed of the range, or with those that the environment names.
fn for_seeds(test: &str, seeds: Range<u64>, body: impl Fn(u64)) {
    for seed in chosen_seeds().unwrap_or(seeds) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| body(seed))) {
            eprintln!(
                "repeat with: STRANDLINE_SEED={seed} cargo test -p strandline-engine crash::tests::{test} -- --nocapture"
            );
            resume_unwind(panic);
        }
    }
}

fn chosen_seeds() -> Option<Range<u64>> {
    let number = |text: &str| text.trim().parse::<u64>().expect("a seed is a whole number");
    if let Ok(seed) = std::env::var("STRANDLINE_SEED") {
        return Some(number(&seed)..number(&seed) + 1);
    }
    let seeds = std::env::var("STRANDLINE_SEEDS").ok()?;
    let (first, end) = seeds.split_once("..").expect("STRANDLINE_SEEDS is a range: 0..1000");
    Some(number(first)..number(end))
}
