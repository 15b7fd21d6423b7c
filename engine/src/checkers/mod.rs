//! What must hold whatever the bytes are: one function for each kind of bytes, for fuzzers, and for tests
//! over what fuzzers have found.
//!
//! | checker | its bytes are | what must hold |
//! |---|---|---|
//! | `record_batch` | record batches | the walk, the sums and the rules for clients agree; what is let in is read, cleaned and built again |
//! | `records` | codec, count, packed records | limits are exact, packing again gives the same, a walk takes all or ends |
//! | `journal` | a commit; choices for a file with a broken byte | written the same again; all before the break is found, nothing that nobody wrote |
//! | `aborted` | a file of aborted transactions | rows ascend, written the same again, a row read by itself is the same |
//! | `index` | an index file | columns ascend, lookups find what a scan finds, written the same again |
//! | `small_files` | a choice of file and its body; a name | written the same again; no flipped bit is let through |
//! | `recovery` | choices of files in a data directory, and of damage | a start ends; nothing broken is read; further starts find the same |
//! | `log_against_model` | choices of operations of one log | every answer is that of a list of batches, with their transactions, also after a crash |
//! | `compaction_against_model` | choices of records and settings | what is left is the newest record of each key |
//!
//! A checker puts lengths and sums right and looks again: behind a sum a fuzzer finds nothing by itself. It
//! panics where something does not hold, and that is all that it does. `fuzz/` feeds them by coverage,
//! `tests/corpus.rs` with what is kept; [`Checker::run`] is the same for both.

#![allow(clippy::print_stderr, reason = "whoever runs a checker is told what did not pass, before it panics")]

mod aborted;
mod batches;
pub(crate) mod compaction;
mod directory;
mod index;
mod input;
mod journal;
mod log;
mod memory;
mod small_files;

use std::path::Path;

pub use memory::{Counted, peak};

/// A property of bytes.
#[derive(Clone, Copy, Debug)]
pub struct Checker {
    /// What its fuzz target and its corpus are called.
    pub name: &'static str,
    /// Panics where the property does not hold.
    pub check: fn(&[u8]),
    /// The most memory that it takes: so many bytes for each byte of the input ...
    pub bytes_per_byte: usize,
    /// ... and so many whatever the input.
    pub bytes_constant: usize,
}

/// The checkers of the engine. A decoder takes twice its input at most; the rest is what the checker itself
/// compares with.
pub const CHECKERS: [Checker; 9] = [
    Checker {
        name: "record_batch",
        check: batches::record_batch,
        bytes_per_byte: 64,
        bytes_constant: UNPACKED,
    },
    Checker { name: "records", check: batches::records, bytes_per_byte: 4, bytes_constant: UNPACKED },
    Checker { name: "journal", check: journal::journal, bytes_per_byte: 8, bytes_constant: 1 << 20 },
    Checker { name: "aborted", check: aborted::aborted, bytes_per_byte: 8, bytes_constant: 4 << 10 },
    Checker { name: "index", check: index::index, bytes_per_byte: 8, bytes_constant: 4 << 10 },
    Checker {
        name: "small_files",
        check: small_files::small_files,
        bytes_per_byte: 8,
        bytes_constant: 4 << 10,
    },
    Checker {
        name: "recovery",
        check: directory::recovery,
        bytes_per_byte: 1 << 10,
        bytes_constant: 4 << 20,
    },
    Checker {
        name: "log_against_model",
        check: log::log_against_model,
        bytes_per_byte: 1 << 10,
        bytes_constant: 4 << 20,
    },
    Checker {
        name: "compaction_against_model",
        check: compaction::compaction_against_model,
        bytes_per_byte: 1 << 10,
        bytes_constant: 4 << 20,
    },
];

/// Unpacked records, a few times, and the blocks of the codecs: LZ4 takes 16 MiB where a frame announces
/// blocks of 4 MiB.
const UNPACKED: usize = 18 << 20;

impl Checker {
    /// The checker of this name.
    ///
    /// # Panics
    /// When there is none.
    pub fn named(checkers: &[Checker], name: &str) -> Checker {
        *checkers.iter().find(|checker| checker.name == name).expect("a checker has this name")
    }

    /// Checks the bytes, and the memory that it takes where [`Counted`] is installed.
    ///
    /// # Panics
    /// When something does not hold.
    pub fn run(&self, bytes: &[u8]) {
        let peak = peak(|| (self.check)(bytes));
        let most = self.bytes_per_byte * bytes.len() + self.bytes_constant;
        assert!(
            peak <= most,
            "{}: {peak} bytes of memory for {} of input, at most {most}",
            self.name,
            bytes.len()
        );
    }

    /// Checks every file of the checker's corpus, a directory of its name in `corpus`, and says how many
    /// there were.
    ///
    /// # Panics
    /// When something does not hold, after the name of the file, or when there is no file.
    pub fn replay(&self, corpus: &Path) -> usize {
        let directory = corpus.join(self.name);
        let listed =
            std::fs::read_dir(&directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
        let mut files = 0;
        for entry in listed {
            let path = entry.expect("the directory can be listed").path();
            let bytes = std::fs::read(&path).expect("the file can be read");
            let failed = std::panic::catch_unwind(|| self.run(&bytes)).err();
            if let Some(panic) = failed {
                eprintln!("{} does not pass", path.display());
                std::panic::resume_unwind(panic);
            }
            files += 1;
        }
        assert!(files > 0, "{} is empty", directory.display());
        files
    }
}
