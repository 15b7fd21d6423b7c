//! The shipping engine on a simulated machine that stops at any moment, held against a plain model.
//!
//! ```text
//! seed > settings > | start, compare all with the model | random operations | power loss, kill or stop | > again, several times
//!                     (may be stopped and repeated)       (faults, full disk)
//! ```
//!
//! What runs is the engine's own recovery, shards, journal, background and catalog, on [`SimDisk`](crate::sim::SimDisk) behind the
//! [`Latch`](crate::io::latch::Latch) of production; only threads, rings and sockets are not there. [`machine`] starts and stops it,
//! [`model`] knows what it must remember, [`run`] makes up what happens.
//!
//! A failure prints the command that repeats it. `STRANDLINE_SEED=n` runs one seed, `STRANDLINE_SEEDS=a..b` a range, in every test that
//! is driven by seeds.

mod machine;
mod model;
mod run;
mod table;
mod tests;

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

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
