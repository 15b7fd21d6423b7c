//! Producers by schedule and a reader at the tail, without and with what else a broker has to do: a reader
//! that comes late and reads what was written long ago, from the device, over and over; retention of what is
//! produced; the cleaning of a table. What the producers wait longer for it is the question.
//!
//! ```text
//! fill a history, a table | without: produce by schedule + tail | with: the same + (drop the history's pages, read it from offset 0) ...
//!                                                                                + the table is cleaned, the load's records deleted
//! ```
//! Which of the two comes first turns round by round. The table is cleaned once a round, from the beginning
//! of the window on. The load goes to topics of its own: the history stays as large as it is.

use crate::broker::{BrokerError, Fresh, System, Target};
use crate::cold::TopicFiles;
use crate::history::History;
use crate::measure::{self, Also, MeasureError, Measured};
use crate::output::note;
use crate::progress::Progress;
use crate::report::{Quantities, Rounds, number};
use crate::table::{Cleaning, RETENTION, SEGMENTS, Table, TableError, TableSize};
use crate::workload::Workload;
use serde_json::{Value, json};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

/// Records a second when nothing else is asked for: 20 MB/s of 1 KiB, far below what any broker takes.
pub(crate) const RATE: f64 = 20_000.0;
/// The lowest priority that a thread can have.
const NICE_MAX: i32 = 19;
/// The percentiles that are compared.
const PERCENTILES: [f64; 3] = [50.0, 99.0, 99.9];

/// What is done.
#[derive(Debug)]
pub(crate) struct Mixed {
    /// The systems, in the order of the table.
    pub(crate) systems: Vec<System>,
    /// The load; it has a rate.
    pub(crate) workload: Workload,
    /// What there is to catch up with, in 10^6 bytes; 0 for no late reader.
    pub(crate) history_megabytes: u64,
    /// The table that is cleaned, if any; then the systems were started with [`crate::table::ARGUMENTS`], and
    /// retention runs, too.
    pub(crate) table: Option<TableSize>,
    /// How often.
    pub(crate) rounds: u32,
}

/// What one system did in one round.
#[derive(Debug)]
struct Round {
    without: Measured,
    with: Measured,
    catch_up: CatchUp,
    cleaning: Option<Cleaning>,
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

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MixedError {
    #[error(transparent)]
    Broker(#[from] BrokerError),
    #[error(transparent)]
    Measure(#[from] MeasureError),
    #[error(transparent)]
    Table(#[from] TableError),
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl Mixed {
    /// Measures all of it in directories of `dir`, and says how it goes.
    pub(crate) fn run(&self, dir: &Path) -> Result<MixedResult, MixedError> {
        let mut systems: Vec<(System, Vec<Round>)> =
            self.systems.iter().map(|system| (system.clone(), Vec::new())).collect();
        for round in 0..self.rounds as usize {
            note!("round {} of {}", round + 1, self.rounds);
            for place in 0..systems.len() {
                let place = (place + round) % self.systems.len();
                let (system, rounds) = &mut systems[place];
                let done = self.round(system, dir, round % 2 == 1)?;
                note!(
                    "  {}: publish p99.9 {} us without and {} us with",
                    system.name,
                    number(percentile(&done.without, 99.9)),
                    number(percentile(&done.with, 99.9)),
                );
                if done.catch_up.bytes > 0 {
                    let rate = number(done.catch_up.megabytes_per_second());
                    note!("  {}: the late reader had {rate} MB/s", system.name);
                }
                if let Some(cleaning) = done.cleaning {
                    note!(
                        "  {}: the table was cleaned in {:.1} s, from {} to {} MB; {} records are left, every key is right",
                        system.name,
                        cleaning.seconds,
                        cleaning.bytes_before / 1_000_000,
                        cleaning.bytes_after / 1_000_000,
                        number(cleaning.records_left as f64),
                    );
                }
                rounds.push(done);
            }
        }
        Ok(MixedResult { systems })
    }

    fn round(&self, system: &System, dir: &Path, with_first: bool) -> Result<Round, MixedError> {
        let fresh = Fresh::start(system, dir)?;
        let mut target = fresh.target();
        let progress = Progress::of(system.name.as_str());
        let history = match self.history_megabytes {
            0 => None,
            megabytes => {
                let history = History::fill(&target, megabytes, self.workload.partitions, &progress)?;
                let files = TopicFiles::synced(&fresh.data(), &history.topic.name)?;
                Some((history, files))
            }
        };
        let table = self.table.map(|size| Table::fill(&target, size, &progress)).transpose()?;
        if let Some(table) = &table {
            // Else whichever half comes first finds a device that still writes the table.
            TopicFiles::synced(&fresh.data(), &table.name)?;
            target = with_config(&target, SEGMENTS);
        }
        let with = || self.with_others(&target, history.as_ref(), table.as_ref(), &progress);
        let (without, (with, catch_up, mut cleaning)) = if with_first {
            let with = with()?;
            (self.load(&target, &progress)?, with)
        } else {
            (self.load(&target, &progress)?, with()?)
        };
        if let (Some(cleaning), Some(table)) = (&mut cleaning, &table) {
            cleaning.records_left = table.check()?;
        }
        Ok(Round { without, with, catch_up, cleaning })
    }

    fn load(&self, target: &Target, progress: &Progress) -> Result<Measured, MeasureError> {
        measure::run(target, &self.workload, Also::TAIL, progress)
    }

    fn with_others(
        &self,
        target: &Target,
        history: Option<&(History, TopicFiles)>,
        table: Option<&Table>,
        progress: &Progress,
    ) -> Result<(Measured, CatchUp, Option<Cleaning>), MeasureError> {
        let done = AtomicBool::new(false);
        let retained = if table.is_some() { with_config(target, RETENTION) } else { target.clone() };
        thread::scope(|scope| {
            let reader = history.map(|(history, files)| scope.spawn(|| late_reader(history, files, &done)));
            let warmup = Duration::from_secs(self.workload.warmup);
            let cleaning = table.map(|table| scope.spawn(move || table.clean(target, warmup)));
            let measured = self.load(&retained, progress);
            done.store(true, Relaxed);
            let catch_up =
                reader.map(|reader| reader.join().expect("a reader does not panic")).transpose()?;
            let cleaning =
                cleaning.map(|cleaning| cleaning.join().expect("it does not panic")).transpose()?;
            Ok((measured?, catch_up.unwrap_or_default(), cleaning))
        })
    }
}

fn with_config(target: &Target, (name, value): (&str, &str)) -> Target {
    let mut target = target.clone();
    target.topic_configs.push((name.to_owned(), value.to_owned()));
    target
}

fn late_reader(history: &History, files: &TopicFiles, done: &AtomicBool) -> Result<CatchUp, MeasureError> {
    // Elsewhere the late reader has a machine of its own. Here its checking takes a core only when broker and
    // load leave one; what it asks of the broker stays. The threads that it starts inherit this.
    let lowered = rustix::process::setpriority_process(Some(rustix::thread::gettid()), NICE_MAX);
    lowered.map_err(std::io::Error::from)?;
    let mut catch_up = CatchUp::default();
    // At least a pass, or nothing was measured.
    while !done.load(Relaxed) || catch_up.bytes == 0 {
        files.drop_pages()?;
        catch_up.cached = catch_up.cached.max(files.cached()?);
        let pass = history.read(1)?;
        catch_up.bytes += pass.bytes;
        catch_up.seconds += pass.seconds;
    }
    Ok(catch_up)
}

fn percentile(measured: &Measured, percentile: f64) -> f64 {
    measured.load.publish.total().value_at_percentile(percentile) as f64
}

impl CatchUp {
    fn megabytes_per_second(&self) -> f64 {
        if self.bytes == 0 { 0.0 } else { self.bytes as f64 / 1e6 / self.seconds }
    }
}

impl MixedResult {
    fn each(&self, quantity: impl Fn(&Round) -> f64) -> Vec<Rounds> {
        self.systems.iter().map(|(_, rounds)| Rounds(rounds.iter().map(&quantity).collect())).collect()
    }

    /// A publish percentile without a late reader, with one, and the second as a multiple of the first, of
    /// each system.
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
            (
                "unanswered, without and with".to_owned(),
                self.each(|round| (round.without.load.unanswered + round.with.load.unanswered) as f64),
            ),
        ]);
        let any = |of: fn(&Round) -> bool| self.systems.iter().flat_map(|(_, rounds)| rounds).any(of);
        if any(|round| round.catch_up.bytes > 0) {
            lines.extend([
                ("late reader, MB/s".to_owned(), self.each(|round| round.catch_up.megabytes_per_second())),
                ("cached when a pass began, %".to_owned(), self.each(|round| 100.0 * round.catch_up.cached)),
            ]);
        }
        if any(|round| round.cleaning.is_some()) {
            let cleaning =
                |of: fn(&Cleaning) -> f64| self.each(|round| round.cleaning.as_ref().map_or(0.0, of));
            lines.extend([
                ("cleaning, MB/s".to_owned(), cleaning(Cleaning::megabytes_per_second)),
                ("cleaning, s".to_owned(), cleaning(|cleaning| cleaning.seconds)),
                ("table before, MB".to_owned(), cleaning(|cleaning| cleaning.bytes_before as f64 / 1e6)),
                ("table after, MB".to_owned(), cleaning(|cleaning| cleaning.bytes_after as f64 / 1e6)),
                ("records left".to_owned(), cleaning(|cleaning| cleaning.records_left as f64)),
            ]);
        }
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
                    "cleaning": round.cleaning.map(|cleaning| json!({
                        "seconds": cleaning.seconds, "bytes_before": cleaning.bytes_before,
                        "bytes_after": cleaning.bytes_after, "records_left": cleaning.records_left,
                    })),
                })
            });
            [("mixed_rounds".to_owned(), rounds.collect())].into_iter().collect()
        })
    }
}
