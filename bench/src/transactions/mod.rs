//! Transactions: producers that commit by the clock, and readers of committed records beside readers of all.
//!
//! ```text
//! a system's round   start, warm up | each shape: as fast as it goes; read back, check | by schedule; read back, check
//!                                   | fill a topic, some of it aborted; read it uncommitted, committed, over and over
//! ```
//! A shape is the partitions that a transaction writes to and the time for which it is open. What a commit
//! takes is what its caller waits (`commitTransaction` of the Java client): the answers to all that was sent
//! before, then EndTxn. EndTxn alone is shown beside it. Records count when their commit is answered. After
//! each run a reader of committed records must find exactly those. The order of the systems, of the shapes
//! and of the two readers turns round by round.

mod load;

use crate::broker::{Fresh, System, Target};
use crate::client::{Client, Topic};
use crate::clock::{SECOND, now};
use crate::isolation::Isolation;
use crate::load::Live;
use crate::measure::{self, MeasureError, Passes, cpu_per_million};
use crate::output::note;
use crate::process::{self, Usage};
use crate::progress::Progress;
use crate::read::{self, Ends, Look, Task};
use crate::report::{Quantities, Rounds, number};
use crate::samples::{Samples, Window};
use crate::workload::Workload;
use load::{Plan, Transacted};
use serde_json::{Map, Value, json};
use std::fs::File;
use std::io;
use std::path::Path;
use std::time::Duration;

/// Producers, when nothing else is asked for: enough to keep a broker busy.
pub(crate) const PRODUCERS: u32 = 4;
/// The most records of a request, when nothing else is asked for: 256 KiB of them.
pub(crate) const REQUEST_RECORDS: u32 = 256;
/// Records a second by schedule, when nothing else is asked for: both Strandline and Kafka carry it in every
/// shape, and commit latencies can be compared.
pub(crate) const RATE: f64 = 20_000.0;
/// Seconds before each measurement, on a system that has been warmed up once.
const RUN_WARMUP: u64 = 1;
/// By schedule, how long a batch waits to be filled: `linger.ms` of the clients.
const LINGER_MS: u64 = 5;
/// What is read: partitions, and how its transactions are.
const HISTORY_PARTITIONS: u32 = 16;
const HISTORY_EVERY: Duration = Duration::from_millis(20);
/// One of so many transactions is aborted there.
const HISTORY_ABORTED_OF: u64 = 20;
/// The longest that filling it may take.
const FILL_SECONDS: u64 = 300;
/// A reader's samples are not looked at; they have to be somewhere.
const UNUSED: Window = Window { start: 0, end: SECOND };

/// What is done.
#[derive(Debug)]
pub(crate) struct Transactions {
    /// The systems, in the order of the table.
    pub(crate) systems: Vec<System>,
    /// The transactions.
    pub(crate) shapes: Vec<Shape>,
    /// Who produces: `producers`, `record_bytes`, `records_per_batch`, `in_flight`, `warmup` (once) and
    /// `seconds` (each run) count.
    pub(crate) workload: Workload,
    /// Records of a request, a batch for each partition.
    pub(crate) request_records: u32,
    /// Records a second of the runs by schedule.
    pub(crate) rate: f64,
    /// What is read, in 10^6 bytes.
    pub(crate) history_megabytes: u64,
    /// How often.
    pub(crate) rounds: u32,
}

/// What transactions are like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Partitions of the topic.
    pub(crate) partitions: u32,
    /// How long a transaction is open before its commit is called, in milliseconds.
    pub(crate) every_ms: u64,
}

/// What one run of producers was.
#[derive(Debug)]
pub(crate) struct Run {
    transacted: Transacted,
    usage: Option<Usage>,
    /// Records that a reader of committed records has found.
    verified: u64,
}

/// What one system did in one round.
#[derive(Debug)]
pub(crate) struct Round {
    /// Of each shape: as fast as it goes, and by schedule.
    shapes: Vec<[Run; 2]>,
    /// Uncommitted, committed.
    reading: [Passes; 2],
    /// Records that each of the two is shown.
    shown: [u64; 2],
}

/// What all systems did.
#[derive(Debug)]
pub(crate) struct TransactionsResult {
    shapes: Vec<Shape>,
    rate: f64,
    systems: Vec<(System, Vec<Round>)>,
}

impl Shape {
    /// For titles.
    pub(crate) fn name(self) -> String {
        let Shape { partitions, every_ms } = self;
        format!("{partitions} partition{}, {every_ms} ms", if partitions == 1 { "" } else { "s" })
    }
}

impl Transactions {
    /// Measures all of it in directories of `dir`, and says how it goes.
    pub(crate) fn run(&self, dir: &Path) -> Result<TransactionsResult, MeasureError> {
        let mut systems: Vec<(System, Vec<Round>)> =
            self.systems.iter().map(|system| (system.clone(), Vec::new())).collect();
        for round in 0..self.rounds as usize {
            note!("round {} of {}", round + 1, self.rounds);
            for place in 0..systems.len() {
                let place = (place + round) % self.systems.len();
                let (system, rounds) = &mut systems[place];
                let fresh = Fresh::start(system, dir)?;
                rounds.push(self.round(&system.name, &fresh.target(), round)?);
            }
        }
        Ok(TransactionsResult { shapes: self.shapes.clone(), rate: self.rate, systems })
    }

    /// A round on a broker that runs.
    fn round(&self, system: &str, target: &Target, round: usize) -> Result<Round, MeasureError> {
        let mut shapes: Vec<(usize, [Run; 2])> = Vec::new();
        let turned = (0..self.shapes.len()).map(|place| (place + round) % self.shapes.len());
        if let (Some(shape), 1..) = (self.shapes.first(), self.workload.warmup) {
            let workload = Workload { warmup: 0, seconds: self.workload.warmup, ..self.produces(*shape) };
            self.produce(system, target, *shape, &workload)?;
        }
        for place in turned {
            let shape = self.shapes[place];
            let most = self.produces(shape);
            let paced = Workload { rate: Some(self.rate), linger_ms: LINGER_MS, ..most.clone() };
            let most = self.produce(system, target, shape, &most)?;
            let paced = self.produce(system, target, shape, &paced)?;
            note!("  {system}, {}: {}; by schedule {}", shape.name(), most.line(), paced.line());
            shapes.push((place, [most, paced]));
        }
        shapes.sort_by_key(|(place, _)| *place);
        let (reading, shown) = self.read(system, target, round)?;
        let [uncommitted, committed] = [&reading[0], &reading[1]].map(Passes::megabytes_per_second);
        note!("  {system}: reads {} MB/s, committed {} MB/s", number(uncommitted), number(committed));
        Ok(Round { shapes: shapes.into_iter().map(|(_, runs)| runs).collect(), reading, shown })
    }

    /// How a shape is produced. Where there are many partitions each request has a batch for each of them, so
    /// that every transaction writes to all.
    fn produces(&self, shape: Shape) -> Workload {
        let batches = shape.partitions.min(self.request_records);
        let records = (self.request_records / batches).clamp(1, self.workload.records_per_batch);
        Workload {
            partitions: shape.partitions,
            batches_per_request: batches,
            records_per_batch: records,
            warmup: RUN_WARMUP,
            ..self.workload.clone()
        }
    }

    /// One run on a topic of its own, and the check of it.
    fn produce(
        &self,
        system: &str,
        target: &Target,
        shape: Shape,
        workload: &Workload,
    ) -> Result<Run, MeasureError> {
        let (topic, (transacted, usage)) = transact(system, target, shape, workload)?;
        let verified = check(&topic, &transacted, Isolation::Committed)?;
        Client::connect(&target.bootstrap)?.delete_topic(&topic.name)?;
        Ok(Run { transacted, usage, verified })
    }

    /// Fills a topic and reads it, uncommitted and committed; then what each reader is shown.
    fn read(
        &self,
        system: &str,
        target: &Target,
        round: usize,
    ) -> Result<([Passes; 2], [u64; 2]), MeasureError> {
        let shape = Shape { partitions: HISTORY_PARTITIONS, every_ms: HISTORY_EVERY.as_millis() as u64 };
        let workload = Workload { warmup: 0, seconds: FILL_SECONDS, ..self.produces(shape) };
        let topic = measure::create_topic(target, &measure::topic_name(), shape.partitions)?;
        let records = self.history_megabytes * 1_000_000 / u64::from(workload.record_bytes);
        let plan = Plan {
            workload: &workload,
            every: HISTORY_EVERY,
            aborted_of: Some(HISTORY_ABORTED_OF),
            records: Some(records),
        };
        let (live, progress) = (Live::default(), Progress::of(system));
        let filled = progress
            .phase("fill", 0)
            .watch(&live, || load::run(&plan, &target.bootstrap, &topic, now(), &live))?;
        if let Some(data) = &target.data {
            // What is written back while it is read would be somebody else's work.
            rustix::fs::syncfs(File::open(data)?).map_err(io::Error::from)?;
        }
        let isolations = [Isolation::Uncommitted, Isolation::Committed];
        let mut shown = [0; 2];
        for (shown, isolation) in shown.iter_mut().zip(isolations) {
            *shown = check(&topic, &filled, isolation)?;
        }
        let ends = Ends::default();
        ends.set(read::end_offsets(&topic)?);
        let task =
            Task { topic: &topic, readers: 1, window: UNUSED, ends: &ends, identities: &[], live: &live };
        let passes = |isolation| {
            let phase = progress.phase("read", self.workload.seconds);
            phase.watch(&live, || {
                measure::over_and_over(target, self.workload.seconds, || {
                    Ok(read::run_as(&task, isolation, Look::Headers)?.bytes)
                })
            })
        };
        let [uncommitted, committed] = isolations;
        let reading = if round.is_multiple_of(2) {
            [passes(uncommitted)?, passes(committed)?]
        } else {
            let committed = passes(committed)?;
            [passes(uncommitted)?, committed]
        };
        Client::connect(&target.bootstrap)?.delete_topic(&topic.name)?;
        Ok((reading, shown))
    }
}

/// Producers on a topic of their own.
fn transact(
    system: &str,
    target: &Target,
    shape: Shape,
    workload: &Workload,
) -> Result<(Topic, (Transacted, Option<Usage>)), MeasureError> {
    let topic = measure::create_topic(target, &measure::topic_name(), shape.partitions)?;
    let every = Duration::from_millis(shape.every_ms);
    let plan = Plan { workload, every, aborted_of: None, records: None };
    let (live, start) = (Live::default(), now() + SECOND / 10);
    let progress = Progress::of(format!("{system}, {}", shape.name()));
    let phase = progress.phase("produce", workload.warmup + workload.seconds);
    let (transacted, usage) = process::during(target.watched(), Some(workload.window(start)), || {
        phase.watch(&live, || load::run(&plan, &target.bootstrap, &topic, start, &live))
    });
    Ok((topic, (transacted?, usage)))
}

/// What the tool itself can do: the shape against a broker that does nothing.
pub(crate) fn ceiling(target: &Target, shape: Shape, seconds: u64) -> Result<Run, MeasureError> {
    let transactions = Transactions {
        systems: Vec::new(),
        shapes: Vec::new(),
        workload: Workload { producers: PRODUCERS, seconds, ..Workload::default() },
        request_records: REQUEST_RECORDS,
        rate: RATE,
        history_megabytes: 0,
        rounds: 1,
    };
    let workload = transactions.produces(shape);
    let (transacted, usage) = transact("null broker", target, shape, &workload)?.1;
    Ok(Run { transacted, usage, verified: 0 })
}

/// Whether a reader of this level is shown exactly what it must be; how many records that is.
fn check(topic: &Topic, transacted: &Transacted, isolation: Isolation) -> Result<u64, MeasureError> {
    let (ends, live) = (Ends::default(), Live::default());
    ends.set(read::end_offsets(topic)?);
    let task = Task { topic, readers: 1, window: UNUSED, ends: &ends, identities: &[], live: &live };
    let mut expected = transacted.committed.clone();
    if isolation == Isolation::Uncommitted {
        expected.extend(&transacted.aborted);
    }
    let mut reading = read::run_as(&task, isolation, Look::Records)?;
    Ok(reading.verifier.finish_exactly(&expected)?)
}

impl Run {
    /// Records of committed transactions, and the commits, a second.
    pub(crate) fn rates(&self) -> [f64; 2] {
        [&self.transacted.records, &self.transacted.commits].map(Samples::records_per_second)
    }

    /// What callers of a commit wait, in microseconds.
    pub(crate) fn commit(&self, percentile: f64) -> f64 {
        at(&self.transacted.commits, percentile)
    }

    /// For people who wait.
    pub(crate) fn line(&self) -> String {
        let [records, commits] = self.rates().map(number);
        let [median, most] = [50.0, 99.0].map(|percentile| number(self.commit(percentile)));
        format!("{records} records/s, {commits} commits/s, commit p50 {median} us, p99 {most} us")
    }

    fn json(&self) -> Value {
        json!({
            "records": self.transacted.records.json(), "commits": self.transacted.commits.json(),
            "end_txn": self.transacted.ends.json(), "retries": self.transacted.retries,
            "verified": self.verified, "usage": self.usage.as_ref().map(Usage::json),
        })
    }
}

fn at(samples: &Samples, percentile: f64) -> f64 {
    samples.total().value_at_percentile(percentile) as f64
}

impl Round {
    /// The run of a shape, as fast as it goes.
    pub(crate) fn most(&self, shape: usize) -> &Run {
        &self.shapes[shape][0]
    }

    /// The run of a shape by schedule.
    pub(crate) fn paced(&self, shape: usize) -> &Run {
        &self.shapes[shape][1]
    }

    /// MB/s of the reader of committed records, of those of the other.
    pub(crate) fn committed_reading(&self) -> f64 {
        let [uncommitted, committed] = [&self.reading[0], &self.reading[1]];
        committed.megabytes_per_second() / uncommitted.megabytes_per_second()
    }

    /// Broker CPU seconds for a GB (10^9 bytes), uncommitted and committed.
    pub(crate) fn reading_cpu(&self) -> [f64; 2] {
        [&self.reading[0], &self.reading[1]].map(|passes| {
            let cpu = passes.usage.as_ref().map_or(0.0, |usage| usage.cpu_seconds);
            cpu * 1e9 / passes.bytes as f64
        })
    }
}

impl TransactionsResult {
    /// A quantity of one system, round by round.
    pub(crate) fn of(&self, place: usize, quantity: impl Fn(&Round) -> f64) -> Rounds {
        Rounds(self.systems[place].1.iter().map(quantity).collect())
    }

    fn each(&self, quantity: impl Fn(&Round) -> f64) -> Vec<Rounds> {
        (0..self.systems.len()).map(|place| self.of(place, &quantity)).collect()
    }

    /// Every quantity of the table with its value in every round of every system.
    fn quantities(&self) -> Quantities<'_> {
        let mut lines = Vec::new();
        for (place, shape) in self.shapes.iter().enumerate() {
            lines.extend(self.lines(&shape.name(), |round| round.most(place)));
            let name = format!("{} at {}/s", shape.name(), number(self.rate));
            lines.extend(self.lines(&name, |round| round.paced(place)));
        }
        lines.extend([
            ("read uncommitted, MB/s".to_owned(), self.each(|round| round.reading[0].megabytes_per_second())),
            ("read committed, MB/s".to_owned(), self.each(|round| round.reading[1].megabytes_per_second())),
            ("read committed, of uncommitted".to_owned(), self.each(Round::committed_reading)),
            ("broker CPU s per GB read uncommitted".to_owned(), self.each(|round| round.reading_cpu()[0])),
            ("broker CPU s per GB read committed".to_owned(), self.each(|round| round.reading_cpu()[1])),
            ("records shown uncommitted".to_owned(), self.each(|round| round.shown[0] as f64)),
            ("records shown committed".to_owned(), self.each(|round| round.shown[1] as f64)),
        ]);
        Quantities { systems: self.systems.iter().map(|(system, _)| system).collect(), lines }
    }

    fn lines(&self, name: &str, of: impl Fn(&Round) -> &Run) -> Vec<(String, Vec<Rounds>)> {
        let line = |what: &str, quantity: &dyn Fn(&Run) -> f64| {
            (format!("{name}: {what}"), self.each(|round| quantity(of(round))))
        };
        vec![
            line("records/s", &|run| run.rates()[0]),
            line("MB/s", &|run| run.transacted.records.megabytes_per_second()),
            line("commits/s", &|run| run.rates()[1]),
            line("commit p50, us", &|run| run.commit(50.0)),
            line("commit p99, us", &|run| run.commit(99.0)),
            line("commit p99.9, us", &|run| run.commit(99.9)),
            line("EndTxn alone p50, us", &|run| at(&run.transacted.ends, 50.0)),
            line("EndTxn alone p99, us", &|run| at(&run.transacted.ends, 99.0)),
            line("broker CPU s per million", &|run| {
                cpu_per_million(run.usage.as_ref(), run.transacted.records.records()).unwrap_or(0.0)
            }),
            line("sent again", &|run| run.transacted.retries as f64),
        ]
    }

    /// A Markdown table.
    pub(crate) fn text(&self) -> String {
        format!(
            "Medians of {} rounds (smallest-largest); a reader of committed records found exactly what was committed.\n\n{}",
            self.systems.first().map_or(0, |(_, rounds)| rounds.len()),
            self.quantities().markdown()
        )
    }

    /// Everything.
    pub(crate) fn json(&self) -> Value {
        self.quantities().json(|place| {
            let rounds = self.systems[place].1.iter().map(|round| self.round_json(round));
            [("transaction_rounds".to_owned(), rounds.collect())].into_iter().collect()
        })
    }

    fn round_json(&self, round: &Round) -> Value {
        let shapes = self.shapes.iter().zip(&round.shapes).map(|(shape, [most, paced])| {
            (shape.name(), json!({ "most": most.json(), "by_schedule": paced.json() }))
        });
        let reading = |place: usize| {
            let passes = &round.reading[place];
            json!({
                "bytes": passes.bytes, "seconds": passes.seconds, "shown": round.shown[place],
                "usage": passes.usage.as_ref().map(Usage::json),
            })
        };
        json!({
            "shapes": shapes.collect::<Map<_, _>>(), "read_uncommitted": reading(0), "read_committed": reading(1),
        })
    }
}

#[cfg(test)]
mod tests;
