//! The machine's memory as it is on a machine that has run for a day: full of page cache.
//!
//! In a virtual machine, free memory is often not there until it is touched: the guest reports free pages,
//! the host takes them back, and the first write to each is a trap into the host. Measured here, the first
//! touch of a gigabyte costs 2.4 s of CPU time, several times what a broker needs for it otherwise, and
//! whoever runs on memory that was just freed pays less. So before each system starts, free memory is filled
//! with the clean pages of a file of zeros; the kernel takes them back as the broker writes, and every system
//! finds the same.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// What is left free: above the mark at which the kernel begins to reclaim on its own.
const FREE_BYTES: u64 = 400 << 20;
/// Memory is left as it is on a larger machine: filling would take minutes.
const TOTAL_BYTES_MAX: u64 = 64 << 30;
/// What is read between two looks at what is free.
const STEP_BYTES: usize = 16 << 20;

/// The length of the file of zeros: more than is ever read of it.
const FILLER_BYTES: u64 = 8 << 40;

/// The file of zeros, and how far it was read. No place is read twice: a page that comes back soon after it
/// was reclaimed counts as one in use, and the kernel would sooner let go of what the brokers wrote.
static FILLER: Mutex<Option<Filler>> = Mutex::new(None);

struct Filler {
    file: File,
    at: u64,
}

/// Fills free memory with page cache. The file that it takes for that has no blocks on the disk of `dir`, and
/// no name.
pub(crate) fn fill(dir: &Path) -> io::Result<()> {
    let total = meminfo("MemTotal")?;
    if total > TOTAL_BYTES_MAX {
        return Ok(());
    }
    let mut filler = FILLER.lock().unwrap_or_else(PoisonError::into_inner);
    let filler = match filler.as_mut() {
        Some(filler) => filler,
        None => {
            let file = tempfile::tempfile_in(dir)?;
            file.set_len(FILLER_BYTES)?;
            filler.insert(Filler { file, at: 0 })
        }
    };
    let mut step = vec![0; STEP_BYTES];
    let end = (filler.at + total).min(FILLER_BYTES);
    while filler.at < end && meminfo("MemFree")? > FREE_BYTES {
        filler.at += filler.file.read_at(&mut step, filler.at)? as u64;
    }
    Ok(())
}

/// A line of /proc/meminfo, in bytes.
fn meminfo(name: &str) -> io::Result<u64> {
    parse(&std::fs::read_to_string("/proc/meminfo")?, name)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, format!("/proc/meminfo has no {name}")))
}

fn parse(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_found_by_its_whole_name() {
        let text = "MemTotal:       24684044 kB\nMemFree:          255828 kB\nMemFreeish: 1 kB\nHugePages_Total:       0\n";
        assert_eq!(parse(text, "MemFree"), Some(255_828 << 10));
        assert_eq!(parse(text, "Mem"), None);
        assert_eq!(parse(text, "HugePages_Total"), None, "no size");
    }
}
