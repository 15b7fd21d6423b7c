//! The shipping engine on a simulated machine that stops at any moment, held against a plain model.
//!
//! ```text
//! seed > plan > | start, compare all with the model | operations | power loss, kill or stop | > again, several times
//!               (may be stopped and repeated)       (faults, full disk)
//!                 |                                    |
//!                 +--- crash images at each moment ----+
//! ```
//!
//! What runs is the engine's own recovery, shards, journal, background and catalog, on
//! [`SimDisk`](crate::sim::SimDisk) behind the `Latch` of production; only threads, rings and sockets are not
//! there. `plan` makes up what happens, `run` plays it on a `machine`, `model` and `known` say what must be
//! there, `checks` looks, `images` looks after every crash there may be.
//!
//! The machine, the images and the seeds are public behind the feature `testing`: what is built on the engine
//! can be crashed in the same way.
//!
//! A failure prints the command that repeats it, and a plan that is as small as it could be made.
//! `STRANDLINE_SEED=n` runs one seed, `STRANDLINE_SEEDS=a..b` a range, in every test that is driven by seeds;
//! with `STRANDLINE_SHRINK=off` no smaller plan is looked for.

#![allow(clippy::print_stderr, reason = "a test that fails says how to repeat it")]

#[cfg(test)]
mod asks;
#[cfg(test)]
mod checks;
#[cfg(test)]
mod full;
mod images;
#[cfg(test)]
mod known;
mod machine;
#[cfg(test)]
mod model;
#[cfg(test)]
mod plan;
#[cfg(test)]
mod rot;
#[cfg(test)]
mod run;
pub mod seeds;
#[cfg(test)]
mod shrink;
#[cfg(test)]
mod steps;
#[cfg(test)]
mod table;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod transactions;
#[cfg(test)]
mod watermarks;

#[cfg(test)]
use std::ops::Range;
#[cfg(test)]
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

#[cfg(test)]
use plan::Plan;

pub use images::{Counts, Image, Images, Subject};
pub use machine::{DATA_DIR, Ending, Found, ORDINARY, Process, Settings, start};

/// Plays a plan for each seed of the range, or of those that the environment names; cuts down one that fails.
#[cfg(test)]
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
#[cfg(test)]
fn for_seeds(test: &str, seeds: Range<u64>, body: impl Fn(u64)) {
    if let Ok(level) = std::env::var("STRANDLINE_LOG") {
        let level: tracing::Level =
            level.parse().expect("STRANDLINE_LOG is a level: error, warn, info, debug");
        let log = tracing_subscriber::fmt().without_time().with_ansi(false).with_writer(std::io::stderr);
        // Another test may have set it.
        let _ = log.with_max_level(level).try_init();
    }
    seeds::for_seeds(&format!("-p strandline-engine crash::tests::{test}"), seeds, body);
}
