//! Producers by schedule and a reader at the tail, without and with a reader that comes late: it reads what was written long ago, from
//! the device, over and over. What the producers wait longer for it is the question.
//!
//! ```text
//! fill a history | without: produce by schedule + tail | with: the same + (drop the history's pages, read it from offset 0) ... |
//! ```
//! Which of the two comes first turns round by round. The load goes to topics of its own: the history stays as large as it is.

use crate::broker::{Fresh, System, Target};
use crate::cold::TopicFiles;
use crate::history::History;
use crate::measure::{self, Also, MeasureError, Measured};
use crate::progress::Progress;
use crate::report::{Quantities, Rounds, number};
use crate::workload::Workload;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;

/// Records a second when nothing else is asked for: 20 MB/s of 1 KiB, far below what any broker takes.
pub(crate) const RATE: f64 = 20_000.0;
/// The percentiles that are compared.
const PERCENTILES: [f64; 3] = [50.0, 99.0, 99.9];

/// What is done.
#[derive(Debug)]
pub(crate) struct Mixed {
    /// The systems, in the order of the table.
    pub(crate) systems: Vec<System>,
    /// The load; it has a rate.
    pub(crate) workload: Workload,
    /// What there is to catch up with, in 10^6 bytes.
    pub(crate) history_megabytes: u64,
    /// How often.
    pub(crate) rounds: u32,
}

/// What one system did in one round.
#[derive(Debug)]
struct Round {
    without: Measured,
    with: Measured,
    catch_up: CatchUp,
}

/// What the late reader did.
#[derive(Clone, Copy, Debug, Default)]
struct CatchUp {
    bytes: u64,
    seconds: f64,
    /// The largest part of the history that was found cached when a pass began.
    cached: f64,
}

/// What all systems did.
#[derive(Debug)]
pub(crate) struct MixedResult {
    systems: Vec<(System, Vec<Round>)>,
}

impl Mixed {
    /// Measures all of it in directories of `dir`, and says how it goes.
    pub(crate) fn run(&self, dir: &Path) -> Result<MixedResult, MeasureError> {
        let mut systems: Vec<(System, Vec<Round>)> =
            self.systems.iter().map(|system| (system.clone(), Vec::new())).collect();
        for round in 0..self.rounds as usize {
            eprintln!("round {} of {}", round + 1, self.rounds);
            for place in 0..systems.len() {
                let place = (place + round) % self.systems.len();
                let (system, rounds) = &mut systems[place];
                let done = self.round(system, dir, round % 2 == 1)?;
                eprintln!(
                    "  {}: publish p99.9 {} us without and {} us with a late reader, which read {} MB/s",
                    system.name,
                    number(percentile(&done.without, 99.9)),
                    number(percentile(&done.with, 99.9)),
                    number(done.catch_up.megabytes_per_second()),
                );
                rounds.push(done);
            }
        }
        Ok(MixedResult { systems })
    }

    fn round(&self, system: &System, dir: &Path, with_first: bool) -> Result<Round, MeasureError> {
        let fresh = Fresh::start(system, dir)?;
        let target = fresh.target();
        let progress = Progress::of(system.name.as_str());
        let history = History::fill(&target, self.history_megabytes, self.workload.partitions, &progress)?;
        let files = TopicFiles::synced(&fresh.data(), &history.topic.name)?;
        if with_first {
            let (with, catch_up) = self.with_late_reader(&target, &history, &files, &progress)?;
            Ok(Round { without: self.load(&target, &progress)?, with, catch_up })
        } else {
            let without = self.load(&target, &progress)?;
            let (with, catch_up) = self.with_late_reader(&target, &history, &files, &progress)?;
            Ok(Round { without, with, catch_up })
        }
    }

    fn load(&self, target: &Target, progress: &Progress) -> Result<Measured, MeasureError> {
        measure::run(target, &self.workload, Also::TAIL, progress)
    }

    fn with_late_reader(
        &self,
        target: &Target,
        history: &History,
        files: &TopicFiles,
        progress: &Progress,
    ) -> Result<(Measured, CatchUp), MeasureError> {
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            let reader = scope.spawn(|| {
                let mut catch_up = CatchUp::default();
                // At least a pass, or nothing was measured.
                while !done.load(Relaxed) || catch_up.bytes == 0 {
                    files.drop_pages()?;
                    catch_up.cached = catch_up.cached.max(files.cached()?);
                    let pass = history.read(1)?;
                    catch_up.bytes += pass.bytes;
                    catch_up.seconds += pass.seconds;
                }
                Ok::<_, MeasureError>(catch_up)
            });
            let measured = self.load(target, progress);
            done.store(true, Relaxed);
            let catch_up = reader.join().expect("a reader does not panic")?;
            Ok((measured?, catch_up))
        })
    }
}

fn percentile(measured: &Measured, percentile: f64) -> f64 {
    measured.load.publish.total().value_at_percentile(percentile) as f64
}

impl CatchUp {
    fn megabytes_per_second(&self) -> f64 {
        self.bytes as f64 / 1e6 / self.seconds
    }
}

impl MixedResult {
    fn each(&self, quantity: impl Fn(&Round) -> f64) -> Vec<Rounds> {
        self.systems.iter().map(|(_, rounds)| Rounds(rounds.iter().map(&quantity).collect())).collect()
    }

    /// A publish percentile without a late reader, with one, and the second as a multiple of the first, of each system.
    fn compared(&self, at: f64) -> [Vec<Rounds>; 3] {
        [
            self.each(|round| percentile(&round.without, at)),
            self.each(|round| percentile(&round.with, at)),
            self.each(|round| percentile(&round.with, at) / percentile(&round.without, at)),
        ]
    }

    /// [`Self::compared`] of one system.
    pub(crate) fn system(&self, place: usize, at: f64) -> [Rounds; 3] {
        self.compared(at).map(|mut systems| systems.swap_remove(place))
    }

    /// Every quantity of the table with its value in every round of every system.
    fn quantities(&self) -> Quantities<'_> {
        let end_to_end = |measured: &Measured| {
            measured.tail.as_ref().map_or(0.0, |tail| tail.samples.total().value_at_percentile(99.9) as f64)
        };
        let mut lines = Vec::new();
        for at in PERCENTILES {
            let [without, with, ratio] = self.compared(at);
            lines.push((format!("publish p{at} without, us"), without));
            lines.push((format!("publish p{at} with, us"), with));
            lines.push((format!("publish p{at}, with / without"), ratio));
        }
        lines.extend([
            ("end to end p99.9 without, us".to_owned(), self.each(|round| end_to_end(&round.without))),
            ("end to end p99.9 with, us".to_owned(), self.each(|round| end_to_end(&round.with))),
            ("late reader, MB/s".to_owned(), self.each(|round| round.catch_up.megabytes_per_second())),
            ("cached when a pass began, %".to_owned(), self.each(|round| 100.0 * round.catch_up.cached)),
            (
                "unanswered, without and with".to_owned(),
                self.each(|round| (round.without.load.unanswered + round.with.load.unanswered) as f64),
            ),
        ]);
        Quantities { systems: self.systems.iter().map(|(system, _)| system).collect(), lines }
    }

    /// A Markdown table.
    pub(crate) fn text(&self) -> String {
        self.quantities().markdown()
    }

    /// Everything.
    pub(crate) fn json(&self) -> Value {
        self.quantities().json(|place| {
            let rounds = self.systems[place].1.iter().map(|round| {
                let CatchUp { bytes, seconds, cached } = round.catch_up;
                json!({
                    "without": round.without.json(), "with": round.with.json(),
                    "late_reader": { "bytes": bytes, "seconds": seconds, "cached": cached },
                })
            });
            [("mixed_rounds".to_owned(), rounds.collect())].into_iter().collect()
        })
    }
}
