//! What a process has used, and what the device below it has done, as the kernel counts it. Linux only.

use crate::clock::{nanos, now};
use crate::device::{DeviceCounters, DeviceStat};
use crate::samples::Window;
use serde_json::{Value, json};
use std::fs;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

/// The unit of the times in `/proc/<pid>/stat`: USER_HZ, 100 on every architecture that the tool is built
/// for.
const TICKS_PER_SECOND: f64 = 100.0;
/// How often resident memory is looked at.
const SAMPLE_EVERY: Duration = Duration::from_millis(100);

/// A reading of the counters of a process.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    /// CPU seconds in user mode and in the kernel, of all threads that live or have lived.
    pub(crate) cpu_seconds: f64,
    /// Resident memory in bytes, shared and file pages included.
    pub(crate) resident_bytes: u64,
    /// Resident memory that is the process's own.
    pub(crate) anonymous_bytes: u64,
    /// Bytes it has caused to be written to devices; page cache counts when it is dirtied. 0 when the kernel
    /// does not say.
    pub(crate) written_bytes: u64,
    /// What the device of its data has done, for whomever. `None` when that is not known.
    pub(crate) device: Option<DeviceCounters>,
}

/// A process, and the device that holds its data.
#[derive(Clone, Debug)]
pub(crate) struct Watched {
    /// The process.
    pub(crate) pid: u32,
    /// The device, when it is known.
    pub(crate) device: Option<DeviceStat>,
}

impl Watched {
    fn read(&self) -> io::Result<Usage> {
        let device = self.device.as_ref().and_then(DeviceStat::read);
        Ok(Usage { device, ..Usage::of(self.pid)? })
    }
}

impl Usage {
    /// The counters of `pid` now.
    pub(crate) fn of(pid: u32) -> io::Result<Usage> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        // The name, in brackets, may contain anything; utime and stime are fields 14 and 15.
        let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        let ticks: f64 = after_name
            .split_whitespace()
            .skip(11)
            .take(2)
            .filter_map(|field| field.parse::<f64>().ok())
            .sum();
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let io = fs::read_to_string(format!("/proc/{pid}/io")).unwrap_or_default();
        Ok(Usage {
            cpu_seconds: ticks / TICKS_PER_SECOND,
            resident_bytes: field(&status, "VmRSS:") * 1024,
            anonymous_bytes: field(&status, "RssAnon:") * 1024,
            written_bytes: field(&io, "write_bytes:"),
            device: None,
        })
    }

    /// What was used since `earlier`; memory as it is now.
    pub(crate) fn since(&self, earlier: &Usage) -> Usage {
        Usage {
            cpu_seconds: self.cpu_seconds - earlier.cpu_seconds,
            written_bytes: self.written_bytes - earlier.written_bytes,
            device: self.device.zip(earlier.device).map(|(later, earlier)| later.since(&earlier)),
            ..*self
        }
    }

    /// All of it.
    pub(crate) fn json(&self) -> Value {
        json!({
            "cpu_seconds": self.cpu_seconds,
            "resident_bytes": self.resident_bytes,
            "resident_anonymous_bytes": self.anonymous_bytes,
            "device_written_bytes": self.written_bytes,
            "device": self.device.map(|device| json!({ "flushes": device.flushes, "written_bytes": device.written_bytes })),
        })
    }
}

/// The largest resident memory of `pid` so far, in bytes: since it started, or since its `clear_refs` was
/// last told to forget it.
pub(crate) fn peak_resident(pid: u32) -> io::Result<u64> {
    Ok(field(&fs::read_to_string(format!("/proc/{pid}/status"))?, "VmHWM:") * 1024)
}

fn field(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()).and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// Runs `work` and says what was used in `window`, or all the while without one; memory at its largest, all
/// the while. Without a process, or with one that can not be read, nothing.
pub(crate) fn during<T>(
    watched: Option<Watched>,
    window: Option<Window>,
    work: impl FnOnce() -> T,
) -> (T, Option<Usage>) {
    let Some((watched, before)) =
        watched.and_then(|watched| watched.read().ok().map(|before| (watched, before)))
    else {
        return (work(), None);
    };
    let window = window.unwrap_or(Window { start: 0, end: u64::MAX });
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let watcher = scope.spawn(|| watch(&watched, before, window, &done));
        let result = work();
        done.store(true, Relaxed);
        (result, watcher.join().expect("reading counters does not panic"))
    })
}

fn watch(watched: &Watched, mut first: Usage, window: Window, done: &AtomicBool) -> Option<Usage> {
    let mut peak = first;
    let mut last = None;
    let mut time = now();
    while !done.load(Relaxed) {
        // Both ends of the window are met exactly; between them is nothing that could be missed.
        let wake = [window.start, window.end, time + nanos(SAMPLE_EVERY)];
        let wake = wake.into_iter().filter(|&at| at > time).min().unwrap_or(time);
        thread::sleep(Duration::from_nanos(wake - time));
        let before = std::mem::replace(&mut time, now());
        let usage = watched.read().ok()?;
        peak.resident_bytes = peak.resident_bytes.max(usage.resident_bytes);
        peak.anonymous_bytes = peak.anonymous_bytes.max(usage.anonymous_bytes);
        if (before..time).contains(&window.start) {
            first = usage;
        }
        if (before..time).contains(&window.end) {
            last = Some(usage);
        }
    }
    let last = last.or_else(|| watched.read().ok())?;
    let memory = Usage { resident_bytes: peak.resident_bytes, anonymous_bytes: peak.anonymous_bytes, ..last };
    Some(memory.since(&first))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SECOND;
    use rustix::time::{ClockId, clock_gettime};
    use std::hint::black_box;

    fn ourselves() -> Option<Watched> {
        Some(Watched { pid: std::process::id(), device: None })
    }

    #[test]
    fn a_busy_second_costs_a_cpu_second_and_memory_is_seen_at_its_largest() {
        let ((), used) = during(ourselves(), None, || {
            // Of CPU, not of time: a busy machine gives us less of it.
            let spent = || clock_gettime(ClockId::ThreadCPUTime);
            let (before, buffer) = (spent(), vec![1u8; 64 << 20]);
            while (spent() - before).tv_nsec < 500_000_000 {
                black_box(&buffer);
            }
        });
        let used = used.expect("our own counters can be read");
        assert!((0.4..5.0).contains(&used.cpu_seconds), "{} s", used.cpu_seconds);
        assert!(used.anonymous_bytes >= 64 << 20, "{} bytes", used.anonymous_bytes);
    }

    #[test]
    fn what_is_used_before_and_after_the_window_is_not_counted() {
        let spent =
            || nanos(Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).expect("it is positive"));
        let start = now() + SECOND / 2;
        let window = Window { start, end: start + SECOND / 10 };
        let (((), used), all) = during(ourselves(), None, || {
            during(ourselves(), Some(window), || {
                let before = spent();
                // Of CPU, not of time: a busy machine gives us less of it.
                while now() < start + SECOND || spent() - before < SECOND {}
            })
        });
        let (used, all) =
            (used.expect("it can be read").cpu_seconds, all.expect("it can be read").cpu_seconds);
        assert!(used < all / 2.0, "{used} s of {all} s");
    }
}
