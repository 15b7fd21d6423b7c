//! What was measured: every latency of a window of time, none dropped, by the second.
//!
//! A sample belongs to the second in which its record was *due*. A record due outside of the window (warm-up,
//! drain) is not part of the result; one that is due inside is, however late its answer comes.

use crate::clock::SECOND;
use hdrhistogram::Histogram;
use serde_json::{Value, json};

/// Significant decimal digits of a recorded latency.
const DIGITS: u8 = 3;

/// The percentiles that reports show.
pub(crate) const PERCENTILES: [f64; 6] = [50.0, 90.0, 95.0, 99.0, 99.9, 99.99];

/// The seconds in which something counts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    /// Its first nanosecond.
    pub(crate) start: u64,
    /// The nanosecond after its last.
    pub(crate) end: u64,
}

impl Window {
    fn second(&self, at: u64) -> Option<usize> {
        (self.start <= at && at < self.end).then(|| ((at - self.start) / SECOND) as usize)
    }

    /// Its length in seconds.
    pub(crate) fn seconds(&self) -> f64 {
        (self.end - self.start) as f64 / SECOND as f64
    }
}

/// Latencies in microseconds and a count of what was completed, per second of a window.
#[derive(Clone, Debug)]
pub(crate) struct Samples {
    window: Window,
    latencies: Vec<Histogram<u32>>,
    completed: Vec<u64>,
    bytes: u64,
}

impl Samples {
    /// None yet.
    pub(crate) fn new(window: Window) -> Samples {
        let seconds = (window.end - window.start).div_ceil(SECOND) as usize;
        let empty = || Histogram::new(DIGITS).expect("3 digits are allowed");
        Samples {
            window,
            latencies: (0..seconds).map(|_| empty()).collect(),
            completed: vec![0; seconds],
            bytes: 0,
        }
    }

    /// `count` records that were due at `due` and done at `now`, both in nanoseconds.
    pub(crate) fn latency(&mut self, due: u64, now: u64, count: u32) {
        if let Some(second) = self.window.second(due) {
            let micros = now.saturating_sub(due).div_ceil(1_000);
            self.latencies[second].record_n(micros, count).expect("the histogram grows as needed");
        }
    }

    /// `records` of `bytes` in all were done at `now`, whenever they were due: throughput.
    pub(crate) fn completed(&mut self, now: u64, records: u64, bytes: u64) {
        if let Some(second) = self.window.second(now) {
            self.completed[second] += records;
            self.bytes += bytes;
        }
    }

    /// Adds what another thread has measured in the same window.
    pub(crate) fn merge(&mut self, other: &Samples) {
        for (mine, theirs) in self.latencies.iter_mut().zip(&other.latencies) {
            mine.add(theirs).expect("the histogram grows as needed");
        }
        for (mine, theirs) in self.completed.iter_mut().zip(&other.completed) {
            *mine += theirs;
        }
        self.bytes += other.bytes;
    }

    /// All latencies of the window.
    pub(crate) fn total(&self) -> Histogram<u64> {
        let mut total = Histogram::new(DIGITS).expect("3 digits are allowed");
        for second in &self.latencies {
            for step in second.iter_recorded() {
                total.record_n(step.value_iterated_to(), u64::from(step.count_at_value())).expect("grows");
            }
        }
        total
    }

    /// Records completed in the window.
    pub(crate) fn records(&self) -> u64 {
        self.completed.iter().sum()
    }

    /// Their bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Records completed per second of the window.
    pub(crate) fn records_per_second(&self) -> f64 {
        self.records() as f64 / self.window.seconds()
    }

    /// Record bytes completed per second, in 10^6.
    pub(crate) fn megabytes_per_second(&self) -> f64 {
        self.bytes as f64 / 1e6 / self.window.seconds()
    }

    /// Everything, raw histogram included.
    pub(crate) fn json(&self) -> Value {
        let series: Vec<Value> = (self.latencies.iter().zip(&self.completed).enumerate())
            .map(|(second, (latencies, completed))| {
                json!({
                    "second": second, "records": completed,
                    "p50_us": latencies.value_at_percentile(50.0),
                    "p99_us": latencies.value_at_percentile(99.0),
                    "max_us": latencies.max(),
                })
            })
            .collect();
        json!({
            "records": self.records(),
            "records_per_second": self.records_per_second(),
            "megabytes_per_second": self.megabytes_per_second(),
            "latency": latency_json(&self.total()),
            "series": series,
        })
    }
}

/// Percentiles and the raw counts of a histogram of microseconds.
pub(crate) fn latency_json(latencies: &Histogram<u64>) -> Value {
    let mut object = serde_json::Map::new();
    object.insert("samples".into(), latencies.len().into());
    object.insert("mean_us".into(), latencies.mean().into());
    for percentile in PERCENTILES {
        object.insert(format!("p{percentile}_us"), latencies.value_at_percentile(percentile).into());
    }
    object.insert("max_us".into(), latencies.max().into());
    let raw: Vec<Value> = latencies
        .iter_recorded()
        .map(|step| json!([step.value_iterated_to(), step.count_at_value()]))
        .collect();
    object.insert("histogram_us".into(), raw.into());
    object.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Window = Window { start: 10 * SECOND, end: 13 * SECOND };

    #[test]
    fn percentiles_are_those_of_the_recorded_latencies_to_three_digits() {
        let mut samples = Samples::new(WINDOW);
        for micros in 1..=100_000u64 {
            let due = WINDOW.start + micros * 10_000;
            samples.latency(due, due + micros * 1_000, 1);
        }
        let total = samples.total();
        assert_eq!(total.len(), 100_000);
        for percentile in PERCENTILES {
            let (exact, found) = (percentile * 1_000.0, total.value_at_percentile(percentile) as f64);
            assert!((found / exact - 1.0).abs() <= 0.001, "p{percentile}: {found} instead of {exact}");
        }
    }

    #[test]
    fn a_late_answer_counts_and_what_was_due_outside_of_the_window_does_not() {
        let mut samples = Samples::new(WINDOW);
        samples.latency(WINDOW.start - 1, WINDOW.start + 5, 1);
        samples.latency(WINDOW.end, WINDOW.end + 5, 1);
        assert_eq!(samples.total().len(), 0);
        samples.latency(WINDOW.end - 1, WINDOW.end + 90 * SECOND, 3);
        assert_eq!(samples.total().len(), 3);
        assert!(samples.total().max() >= 90_000_000);
        assert_eq!(samples.latencies[2].len(), 3, "it belongs to the second in which it was due");
    }

    #[test]
    fn merging_adds_samples_and_throughput() {
        let mut a = Samples::new(WINDOW);
        a.latency(WINDOW.start, WINDOW.start + 2_000, 2);
        a.completed(WINDOW.start, 2, 200);
        let mut b = a.clone();
        b.merge(&a);
        assert_eq!((b.total().len(), b.records(), b.bytes), (4, 4, 400));
        assert_eq!(b.records_per_second(), 4.0 / 3.0);
    }
}
