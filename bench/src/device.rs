//! The device itself: what a durable append costs without any broker and how fast it streams, measured beside
//! every result, and what the device was asked to do meanwhile.

use crate::clock::{SECOND, nanos, now};
use crate::samples::latency_json;
use hdrhistogram::Histogram;
use rustix::fs::{Mode, OFlags};
use serde_json::{Value, json};
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The size of an append.
const APPEND_BYTES: usize = 4096;
/// The pre-written file that is appended to, over and over.
const FILE_BYTES: u64 = 64 << 20;
/// What is streamed at most.
const STREAM_BYTES_MAX: u64 = 2 << 30;
const STREAM_CHUNK_BYTES: usize = 1 << 20;
/// The unit in which the kernel counts, whatever the device's own is.
const SECTOR_BYTES: u64 = 512;

/// What a device can do.
#[derive(Debug)]
pub(crate) struct Device {
    /// One 4 KiB O_DIRECT|O_DSYNC append after the other, in microseconds.
    pub(crate) append: Histogram<u64>,
    /// Sequential buffered writing with a sync at the end, in 10^6 bytes a second.
    pub(crate) stream_megabytes_per_second: f64,
    /// Whether the appends went around the page cache; some file systems refuse O_DIRECT.
    pub(crate) direct: bool,
}

/// A buffer at the alignment that O_DIRECT asks for.
#[repr(align(4096))]
struct Aligned([u8; APPEND_BYTES]);

/// Measures the device under `directory`, half of `time` for each part.
pub(crate) fn measure(directory: &Path, time: Duration) -> io::Result<Device> {
    let mut append = Histogram::new(3).expect("3 digits are allowed");
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    let chunk = vec![0x5a; STREAM_CHUNK_BYTES];
    for _ in 0..FILE_BYTES / chunk.len() as u64 {
        file.write_all(&chunk)?;
    }
    file.as_file().sync_all()?;

    let open = |flags| rustix::fs::open(file.path(), OFlags::WRONLY | OFlags::DSYNC | flags, Mode::empty());
    let (durable, direct) = match open(OFlags::DIRECT) {
        Ok(file) => (File::from(file), true),
        Err(_) => (File::from(open(OFlags::empty())?), false),
    };
    let page = Box::new(Aligned([0xa5; APPEND_BYTES]));
    let until = now() + nanos(time) / 2;
    let mut position = 0;
    while now() < until {
        let before = now();
        durable.write_all_at(&page.0, position)?;
        append.record((now() - before).div_ceil(1_000)).expect("the histogram grows as needed");
        position = (position + APPEND_BYTES as u64) % FILE_BYTES;
    }

    let mut stream = tempfile::tempfile_in(directory)?;
    let (before, mut written) = (now(), 0);
    while now() - before < nanos(time) / 2 && written < STREAM_BYTES_MAX {
        stream.write_all(&chunk)?;
        written += chunk.len() as u64;
    }
    stream.sync_data()?;
    let seconds = (now() - before) as f64 / SECOND as f64;
    Ok(Device { append, stream_megabytes_per_second: written as f64 / 1e6 / seconds, direct })
}

impl Device {
    /// One line for people.
    pub(crate) fn line(&self) -> String {
        format!(
            "device: durable 4 KiB append p50 {} us, p99 {} us{}; sequential write {:.0} MB/s",
            self.append.value_at_percentile(50.0),
            self.append.value_at_percentile(99.0),
            if self.direct { "" } else { " (through the page cache)" },
            self.stream_megabytes_per_second,
        )
    }

    /// All of it.
    pub(crate) fn json(&self) -> Value {
        json!({
            "durable_append_4k": latency_json(&self.append),
            "direct": self.direct,
            "sequential_write_megabytes_per_second": self.stream_megabytes_per_second,
        })
    }
}

/// Where the kernel counts what a whole block device was asked to do.
#[derive(Clone, Debug)]
pub(crate) struct DeviceStat(PathBuf);

/// Counters of a block device. They only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct DeviceCounters {
    /// Flushes of its cache that it has completed. Requests that wait together are flushed for together.
    pub(crate) flushes: u64,
    /// Bytes written.
    pub(crate) written_bytes: u64,
}

impl DeviceStat {
    /// The device that holds `path`; `None` when there is none to be found, as under a file system in memory.
    pub(crate) fn of(path: &Path) -> Option<DeviceStat> {
        let number = rustix::fs::stat(path).ok()?.st_dev;
        let name = format!("{}:{}", rustix::fs::major(number), rustix::fs::minor(number));
        let device = fs::canonicalize(Path::new("/sys/dev/block").join(name)).ok()?;
        // Flushes are counted for a disk as a whole, not for its partitions.
        let disk = match device.join("partition").exists() {
            true => device.parent()?.to_owned(),
            false => device,
        };
        let stat = DeviceStat(disk.join("stat"));
        stat.read().is_some().then_some(stat)
    }

    /// What it has done until now.
    pub(crate) fn read(&self) -> Option<DeviceCounters> {
        parse_stat(&fs::read_to_string(&self.0).ok()?)
    }
}

/// The line of `/sys/block/<disk>/stat`, whose fields are in the kernel's `Documentation/block/stat.rst`.
/// Flushes came with Linux 5.5.
fn parse_stat(line: &str) -> Option<DeviceCounters> {
    let fields: Vec<u64> = line.split_whitespace().map_while(|field| field.parse().ok()).collect();
    let (&sectors, &flushes) = (fields.get(6)?, fields.get(15)?);
    Some(DeviceCounters { flushes, written_bytes: sectors * SECTOR_BYTES })
}

impl DeviceCounters {
    /// What was done since `earlier`.
    pub(crate) fn since(&self, earlier: &DeviceCounters) -> DeviceCounters {
        DeviceCounters {
            flushes: self.flushes.saturating_sub(earlier.flushes),
            written_bytes: self.written_bytes.saturating_sub(earlier.written_bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flushes_and_sectors_are_taken_from_their_fields() {
        let line = " 1661648 47213 48752026 2763762 5641637 383257 1474157240 5518792 0 654708 8552664 446610 57 1028866336 142994 1786012 127114\n";
        let counters = DeviceCounters { flushes: 1_786_012, written_bytes: 1_474_157_240 * 512 };
        assert_eq!(parse_stat(line), Some(counters));
        assert_eq!(
            parse_stat("1 2 3 4 5 6 7 8 9 10 11 12 13 14 15"),
            None,
            "a kernel that does not count flushes"
        );
        assert_eq!(parse_stat(""), None);
    }

    #[test]
    fn a_sync_of_this_directory_is_counted_on_its_device() {
        let directory = tempfile::tempdir_in(".").unwrap();
        let Some(stat) = DeviceStat::of(directory.path()) else { return };
        let cache = fs::read_to_string(stat.0.with_file_name("queue/write_cache")).unwrap_or_default();
        let before = stat.read().unwrap();
        let mut file = tempfile::tempfile_in(directory.path()).unwrap();
        file.write_all(&[1; 1 << 20]).unwrap();
        file.sync_all().unwrap();
        let done = stat.read().unwrap().since(&before);
        assert!(done.written_bytes >= 1 << 20, "{done:?}");
        // A device without a cache of its own is never flushed.
        assert!(done.flushes > 0 || cache.trim() != "write back", "{done:?}");
    }
}
