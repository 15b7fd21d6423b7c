//! What is going on, while it is: a line that moves on a terminal, nothing elsewhere.

use crate::clock::{SECOND, now};
use crate::load::Live;
use indicatif::{ProgressBar, ProgressStyle};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

/// How often the line moves.
const TICK: Duration = Duration::from_millis(250);

/// Where progress is shown, and what it is about.
#[derive(Clone, Debug, Default)]
pub(crate) struct Progress {
    /// What stands before every phase: which system, which round.
    pub(crate) prefix: String,
}

/// A part of a run.
#[derive(Debug)]
pub(crate) struct Phase {
    bar: ProgressBar,
    seconds: u64,
}

impl Progress {
    /// For a part of the run with a name of its own.
    pub(crate) fn of(prefix: impl Into<String>) -> Progress {
        Progress { prefix: prefix.into() }
    }

    /// A phase of about `seconds`, 0 when that is not known.
    pub(crate) fn phase(&self, what: &str, seconds: u64) -> Phase {
        let bar = ProgressBar::new_spinner();
        bar.set_style(ProgressStyle::with_template("{spinner} {prefix}{msg}").expect("a valid template"));
        bar.set_prefix(format!("{}{}{what}: ", self.prefix, if self.prefix.is_empty() { "" } else { ", " }));
        Phase { bar, seconds }
    }
}

impl Phase {
    /// Shows `live` while `work` runs.
    pub(crate) fn watch<T>(&self, live: &Live, work: impl FnOnce() -> T) -> T {
        let (done, started) = (AtomicBool::new(false), now());
        let count = || live.acknowledged.load(Relaxed) + live.read.load(Relaxed);
        if self.bar.is_hidden() {
            return work();
        }
        thread::scope(|scope| {
            scope.spawn(|| {
                let (mut before, mut at) = (count(), now());
                while !done.load(Relaxed) {
                    thread::sleep(TICK);
                    let (records, time) = (count(), now());
                    let rate = (records - before) as f64 * SECOND as f64 / (time - at) as f64;
                    (before, at) = (records, time);
                    let elapsed = (time - started) / SECOND;
                    let of = if self.seconds > 0 { format!(" of {}", self.seconds) } else { String::new() };
                    self.bar.set_message(format!("{elapsed}{of} s, {records} records, {rate:.0}/s"));
                    self.bar.tick();
                }
                self.bar.finish_and_clear();
            });
            let result = work();
            done.store(true, Relaxed);
            result
        })
    }
}
