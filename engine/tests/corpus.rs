//! What fuzzers have found and what they start from, held against the engine's checkers, with the memory that
//! each takes.

use std::path::Path;

use strandline_engine::checkers::{CHECKERS, Counted};

#[global_allocator]
static COUNTED: Counted = Counted;

#[test]
fn every_file_of_the_corpus_passes_its_checker() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
    for checker in CHECKERS {
        checker.replay(&corpus);
    }
}

#[test]
fn bytes_from_seeds_pass_every_checker() {
    for checker in CHECKERS {
        let fails = |seed: &u64| {
            let mut random = fastrand::Rng::with_seed(*seed);
            let bytes: Vec<u8> = (0..random.usize(..300)).map(|_| random.u8(..)).collect();
            std::panic::catch_unwind(|| checker.run(&bytes)).is_err()
        };
        let failing: Vec<u64> = (0..500).filter(fails).collect();
        assert!(failing.is_empty(), "{} does not pass seeds {failing:?}", checker.name);
    }
}
