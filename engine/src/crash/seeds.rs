//! Tests that are driven by seeds, and the command that repeats one that fails.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// Runs `body` with each seed of the range, or with those that the environment names. `arguments` are those
/// with which `cargo test` runs this test alone.
pub fn for_seeds(arguments: &str, seeds: Range<u64>, body: impl Fn(u64)) {
    for seed in chosen_seeds().unwrap_or(seeds) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| body(seed))) {
            eprintln!("repeat with: STRANDLINE_SEED={seed} cargo test {arguments} -- --nocapture");
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
