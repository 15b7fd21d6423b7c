//! The device itself, measured beside every result: what a durable append costs without any broker, and how fast it streams.

use crate::clock::{SECOND, nanos, now};
use crate::samples::latency_json;
use hdrhistogram::Histogram;
use rustix::fs::{Mode, OFlags};
use serde_json::{Value, json};
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

/// The size of an append.
const APPEND_BYTES: usize = 4096;
/// The pre-written file that is appended to, over and over.
const FILE_BYTES: u64 = 64 << 20;
/// What is streamed at most.
const STREAM_BYTES_MAX: u64 = 2 << 30;
const STREAM_CHUNK_BYTES: usize = 1 << 20;

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
