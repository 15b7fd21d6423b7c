//! What fuzzers start from, and bytes from seeds, held against the checkers.

use std::fs;
use std::path::Path;

use strandline_schemas::checkers;

/// A folder of `fuzz/corpus`, and what its files are held against.
type Checker = (&'static str, fn(&[u8]));

const CHECKERS: [Checker; 5] = [
    ("schema_requests", checkers::requests),
    ("schema_records", checkers::records),
    ("schema_texts", checkers::texts),
    ("schema_pairs", checkers::pairs),
    ("schema_values", checkers::of_schemas),
];

fn files(checker: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(checker);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    entries.map(|entry| fs::read(entry.unwrap().path()).unwrap()).collect()
}

#[test]
fn every_file_of_the_corpus_passes_its_checker() {
    for (name, check) in CHECKERS {
        let files = files(name);
        assert!(!files.is_empty(), "{name} starts from something");
        files.iter().for_each(|bytes| check(bytes));
    }
}

#[test]
fn files_of_the_corpus_with_bytes_changed_pass_their_checkers() {
    for (name, check) in CHECKERS {
        for (at, file) in files(name).into_iter().enumerate() {
            for seed in 0..400 {
                let mut random = fastrand::Rng::with_seed(seed);
                let mut bytes = file.clone();
                for _ in 0..random.usize(1..5) {
                    let place = random.usize(0..bytes.len());
                    match random.u8(0..4) {
                        0 => bytes[place] = random.u8(..),
                        1 => drop(bytes.remove(place)),
                        2 => bytes.insert(place, b"{}[]\",:0;=\n\t"[random.usize(0..12)]),
                        _ => {
                            let end = random.usize(place..bytes.len().min(place + 20));
                            let piece = bytes[place..end].to_vec();
                            let to = random.usize(0..bytes.len());
                            bytes.splice(to..to, piece);
                        }
                    }
                }
                let passed = std::panic::catch_unwind(|| check(&bytes));
                assert!(
                    passed.is_ok(),
                    "{name}, file {at}, seed {seed}: {}",
                    String::from_utf8_lossy(&bytes)
                );
            }
        }
    }
}
