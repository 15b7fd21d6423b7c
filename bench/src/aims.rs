//! The aims of the project, each measured by what the other commands do, and one table of all: what, how
//! much, met or not.
//!
//! ```text
//! aim      a function: runs its measurements in alternating rounds, gives a line for every bound
//! line     what | bound | median (spread) of a ratio or a quantity, round by round | met
//! ```
//! K is Apache Kafka as it comes, F the p99 of a durable append on the device alone, both from the same
//! rounds. A ratio is one of values of the same round, so a drift of the machine is in both.

use crate::broker::{Fresh, System};
use crate::measure::{Also, MeasureError};
use crate::mixed::{self, Mixed};
use crate::output::{note, out, outln};
use crate::recovery;
use crate::references;
use crate::report::{Rounds, Table, number};
use crate::series;
use crate::suite::{self, Round, Suite, SuiteResult};
use crate::table::{self, TableSize};
use crate::transactions::{self, Shape, Transactions};
use crate::workload::Workload;
use serde_json::{Value, json};
use std::cell::Cell;
use std::error::Error;
use std::io;
use std::path::PathBuf;

/// The partitions of the recovery.
const RECOVERY_PARTITIONS: u32 = 10_000;
/// What is written a second while memory is looked at.
const MEMORY_BYTES_PER_SECOND: f64 = 100e6;
/// The shapes of transactions, with what is judged of each: its throughput, its commits at that, and its
/// commits at a rate that both sides carry.
const TRANSACTIONS: [(Shape, [&str; 3]); 4] = [
    (
        Shape { partitions: 1, every_ms: 100 },
        [
            "records/s in transactions of 100 ms, 1 partition, of K's",
            "commit p99 in transactions of 100 ms, 1 partition, of K's",
            "the same by schedule",
        ],
    ),
    (
        Shape { partitions: 1, every_ms: 10 },
        [
            "records/s in transactions of 10 ms, 1 partition, of K's",
            "commit p99 in transactions of 10 ms, 1 partition, of K's",
            "the same by schedule",
        ],
    ),
    (
        Shape { partitions: 100, every_ms: 100 },
        [
            "records/s in transactions of 100 ms, 100 partitions, of K's",
            "commit p99 in transactions of 100 ms, 100 partitions, of K's",
            "the same by schedule",
        ],
    ),
    (
        Shape { partitions: 100, every_ms: 10 },
        [
            "records/s in transactions of 10 ms, 100 partitions, of K's",
            "commit p99 in transactions of 10 ms, 100 partitions, of K's",
            "the same by schedule",
        ],
    ),
];
/// The table that is cleaned beside a late reader.
const TABLE: TableSize = TableSize { keys: 100_000, updates: 10_000_000, value_bytes: 64 };
const MIB: f64 = (1 << 20) as f64;

/// What is there to run with.
#[derive(Debug)]
pub(crate) struct Aims {
    /// The broker's binary; the one beside this tool when nothing is given.
    pub(crate) strandline: Option<PathBuf>,
    /// The script that runs Apache Kafka.
    pub(crate) kafka: PathBuf,
    /// Rounds of every measurement.
    pub(crate) rounds: u32,
    /// Seconds before each.
    pub(crate) warmup: u64,
    /// Seconds of each.
    pub(crate) seconds: u64,
    /// What is read by those who come late, in 10^6 bytes.
    pub(crate) history_megabytes: u64,
    /// Where data directories are made.
    pub(crate) dir: PathBuf,
    /// What Kafka took as it comes, in records a second, once it is known.
    pub(crate) kafka_most: Cell<Option<f64>>,
}

/// What a quantity has to be.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

impl Bound {
    fn holds(self, value: f64) -> bool {
        match self {
            Bound::AtLeast(bound) => value >= bound,
            Bound::AtMost(bound) => value <= bound,
        }
    }
}

/// A line of the table.
#[derive(Debug)]
struct Line {
    what: &'static str,
    bound: Bound,
    /// The unit of the bound and of what was measured.
    unit: &'static str,
    measured: Rounds,
    /// The figures behind it.
    detail: String,
}

/// What the function of an aim gives: its lines, and everything that was measured for them.
type Found = Result<(Vec<Line>, Value), Box<dyn Error>>;

/// A row of the table of aims.
struct Aim {
    number: u32,
    name: &'static str,
    run: fn(&Aims) -> Found,
    /// How many measurements of Strandline (or a reference) and of Kafka a round of it has.
    ours: u64,
    theirs: u64,
}

const AIMS: [Aim; 11] = [
    Aim { number: 1, name: "durable produce", run: Aims::produce, ours: 2, theirs: 2 },
    Aim { number: 2, name: "latency at half load", run: Aims::half_load, ours: 1, theirs: 1 },
    Aim { number: 3, name: "produce and tail fetch by CPU", run: Aims::cpu, ours: 2, theirs: 2 },
    Aim { number: 4, name: "cached reading by CPU", run: Aims::cached_reading, ours: 2, theirs: 1 },
    Aim { number: 5, name: "1,000 partitions", run: Aims::partitions, ours: 2, theirs: 0 },
    Aim {
        number: 6,
        name: "a late reader, retention and compaction",
        run: Aims::late_reader,
        ours: 2,
        theirs: 0,
    },
    Aim { number: 7, name: "restart", run: Aims::restart, ours: 1, theirs: 0 },
    Aim { number: 8, name: "first acknowledgement", run: Aims::first_ack, ours: 0, theirs: 0 },
    Aim { number: 9, name: "memory", run: Aims::memory, ours: 1, theirs: 0 },
    Aim { number: 10, name: "small requests", run: Aims::small_requests, ours: 3, theirs: 0 },
    // Eight runs and two readings of each system.
    Aim { number: 11, name: "transactions", run: Aims::transactions, ours: 8, theirs: 7 },
];

/// About how long a start, an end and the reading back of everything take beside warm-up and window.
const OURS_BESIDE: u64 = 6;
const THEIRS_BESIDE: u64 = 14;

impl Aims {
    /// Measures the aims with these numbers (all, when none is given), saves what there is after each by
    /// `save`, and gives the table.
    pub(crate) fn run(
        &self,
        only: &[u32],
        mut save: impl FnMut(Value) -> io::Result<()>,
    ) -> Result<String, Box<dyn Error>> {
        let wanted: Vec<&Aim> =
            AIMS.iter().filter(|aim| only.is_empty() || only.contains(&aim.number)).collect();
        let each = self.warmup + self.seconds;
        let seconds: u64 = (wanted.iter())
            .map(|aim| aim.ours * (each + OURS_BESIDE) + aim.theirs * (each + THEIRS_BESIDE) + 4)
            .sum();
        let minutes = (u64::from(self.rounds) * seconds).div_ceil(60);
        outln!("{} aims, {} rounds each: about {minutes} minutes", wanted.len(), self.rounds);
        let (mut lines, mut parts, mut failures) = (Vec::new(), Vec::new(), Vec::new());
        for (place, aim) in wanted.iter().enumerate() {
            note!("aim {} ({} of {}): {}", aim.number, place + 1, wanted.len(), aim.name);
            match (aim.run)(self) {
                Ok((found, part)) => {
                    found.iter().for_each(|line| note!("  {}", line.text()));
                    lines.extend(found.into_iter().map(|line| (aim.number, line)));
                    parts.push(json!({ "number": aim.number, "name": aim.name, "part": part }));
                }
                // The others are worth having all the same.
                Err(failure) => {
                    note!("  failed: {failure}");
                    failures.push((aim.name, failure));
                }
            }
            let failed: Vec<Value> = (failures.iter())
                .map(|(name, failure)| json!({ "aim": name, "failure": failure.to_string() }))
                .collect();
            let lines: Vec<Value> = lines.iter().map(|(number, line)| line.json(*number)).collect();
            save(json!({ "lines": lines, "failed": failed, "parts": parts }))?;
        }
        match failures.pop() {
            // The table of the others has been saved, and is shown.
            Some((_, failure)) => {
                out!("\n{}", table(&lines));
                Err(failure)
            }
            None => Ok(table(&lines)),
        }
    }

    /// The load of the aims.
    fn workload(&self) -> Workload {
        Workload { warmup: self.warmup, seconds: self.seconds, ..Workload::default() }
    }

    /// Ours as it comes, ours without its syncs.
    fn ours(&self, arguments: &[String]) -> io::Result<[System; 2]> {
        let systems = suite::own_systems(self.strandline.clone(), arguments)?;
        Ok(systems.try_into().expect("there are two"))
    }

    /// Ours as it comes, Kafka as it comes, Kafka with a sync for every batch.
    fn both(&self) -> io::Result<[System; 3]> {
        let systems = suite::default_systems(self.strandline.clone(), &self.kafka)?;
        Ok(systems.try_into().expect("there are three"))
    }

    fn suite(
        &self,
        systems: Vec<System>,
        workload: Workload,
        also: Also,
    ) -> Result<SuiteResult, MeasureError> {
        Suite { systems, workload, also, rounds: self.rounds, dir: self.dir.clone() }.run()
    }

    fn produce(&self) -> Found {
        let [ours, unsynced] = self.ours(&[])?;
        let [_, kafka, kafka_synced] = self.both()?;
        let suite = self.suite(vec![ours, unsynced, kafka, kafka_synced], self.workload(), Also::CHECK)?;
        let rate = |place| suite.of(place, |round| Some(round.publish().records_per_second()));
        self.kafka_most.set(rate(2).median());
        let line = |what, bound, other: usize| Line {
            what,
            bound: Bound::AtLeast(bound),
            unit: "x",
            measured: rate(0).over(&rate(other)),
            detail: format!("{} against {} records/s", rate(0).cell(), rate(other).cell()),
        };
        let lines = vec![
            line("durable produce, of K unsynced", 1.0, 2),
            line("durable produce, of our own unsynced", 0.9, 1),
            line("durable produce, of K with flush.messages=1", 10.0, 3),
        ];
        Ok((lines, suite.json()))
    }

    fn half_load(&self) -> Found {
        let [ours, kafka, _] = self.both()?;
        let most = match self.kafka_most.get() {
            Some(most) => most,
            None => {
                let suite = self.suite(vec![kafka.clone()], self.workload(), Also::CHECK)?;
                suite.of(0, |round| Some(round.publish().records_per_second())).median().unwrap_or(0.0)
            }
        };
        let workload = Workload { rate: Some(most / 2.0), ..self.workload() };
        let suite = self.suite(vec![ours, kafka], workload, Also::CHECK)?;
        let p99 =
            |place| suite.of(place, |round| Some(round.publish().total().value_at_percentile(99.0) as f64));
        let floor = suite.device(|device| device.append.value_at_percentile(99.0) as f64);
        let allowed = Rounds(floor.0.iter().map(|floor| 2.0 * floor + 1_000.0).collect());
        let at = format!("at {} records/s", number(most / 2.0));
        let lines = vec![
            Line {
                what: "publish p99 at half of K's most, of 2F + 1 ms",
                bound: Bound::AtMost(1.0),
                unit: "x",
                measured: p99(0).over(&allowed),
                detail: format!("{} us against 2 x {} us + 1 ms, {at}", p99(0).cell(), floor.cell()),
            },
            Line {
                what: "publish p99 at half of K's most, of K's",
                bound: Bound::AtMost(1.0 / 3.0),
                unit: "x",
                measured: p99(0).over(&p99(1)),
                detail: format!("{} against {} us, {at}", p99(0).cell(), p99(1).cell()),
            },
        ];
        Ok((lines, suite.json()))
    }

    fn cpu(&self) -> Found {
        let small = Workload { record_bytes: 100, records_per_batch: 100, ..self.workload() };
        let (mut lines, mut parts) = (Vec::new(), Vec::new());
        for (what, workload) in [
            ("records per broker CPU second, produce + tail fetch, 1 KiB, of K's", self.workload()),
            ("records per broker CPU second, produce + tail fetch, 100 B, of K's", small),
        ] {
            let [ours, kafka, _] = self.both()?;
            let suite = self.suite(vec![ours, kafka], workload, Also::TAIL)?;
            let records = |place| suite.of(place, Round::records_per_cpu_second);
            lines.push(Line {
                what,
                bound: Bound::AtLeast(3.0),
                unit: "x",
                measured: records(0).over(&records(1)),
                detail: format!("{} against {} records", records(0).cell(), records(1).cell()),
            });
            parts.push(suite.json());
        }
        Ok((lines, parts.into()))
    }

    fn cached_reading(&self) -> Found {
        let [ours, kafka, _] = self.both()?;
        let reading = references::reading(
            &[ours, kafka],
            self.history_megabytes,
            self.seconds,
            self.rounds,
            &self.dir,
        )?;
        let [sendfile, ours, kafka] = [0, 1, 2].map(|column| reading.rounds(column, 0));
        let line = |what, bound, other: &Rounds| Line {
            what,
            bound: Bound::AtLeast(bound),
            unit: "x",
            measured: ours.over(other),
            detail: format!("{} against {} MB", ours.cell(), other.cell()),
        };
        let lines = vec![
            line("cached catch-up, MB per broker CPU second, of K's", 1.2, &kafka),
            line("cached catch-up, MB per broker CPU second, of sendfile's", 1.0 / 1.3, &sendfile),
        ];
        Ok((lines, reading.json()))
    }

    fn partitions(&self) -> Found {
        let [ours, _] = self.ours(&[])?;
        let (mut few, mut many, mut points) = (Rounds::default(), Rounds::default(), Vec::new());
        for round in 0..self.rounds {
            let counts = if round % 2 == 0 { [16, 1_000] } else { [1_000, 16] };
            for count in counts {
                let fresh = Fresh::start(&ours, &self.dir)?;
                let point = series::partitions(&fresh.target(), &self.workload(), &[count])?.swap_remove(0);
                if count == 16 { &mut few } else { &mut many }.0.push(point.records_per_second());
                points.push(point);
            }
        }
        let line = Line {
            what: "durable produce on 1,000 partitions, of that on 16",
            bound: Bound::AtLeast(0.8),
            unit: "x",
            measured: many.over(&few),
            detail: format!("{} against {} records/s", many.cell(), few.cell()),
        };
        Ok((vec![line], series::json(&points)))
    }

    fn late_reader(&self) -> Found {
        let [ours, _] = self.ours(&table::ARGUMENTS.map(str::to_owned))?;
        let workload = Workload { rate: Some(mixed::RATE), ..self.workload() };
        let mixed = Mixed {
            systems: vec![ours],
            workload,
            history_megabytes: self.history_megabytes,
            table: Some(TABLE),
            rounds: self.rounds,
        };
        let result = mixed.run(&self.dir)?;
        let [without, with, ratio] = result.system(0, 99.9);
        let line = Line {
            what: "publish p99.9 with a catch-up reader, retention and compaction, of that without",
            bound: Bound::AtMost(1.5),
            unit: "x",
            measured: ratio,
            detail: format!(
                "{} against {} us, at {} records/s",
                with.cell(),
                without.cell(),
                number(mixed::RATE)
            ),
        };
        Ok((vec![line], result.json()))
    }

    fn restart(&self) -> Found {
        let [ours, _] = self.ours(&[])?;
        let workload = Workload { partitions: RECOVERY_PARTITIONS, ..self.workload() };
        let found = recovery::run(&ours, &workload, self.rounds, &self.dir)?;
        let line = Line {
            what: "restart after SIGKILL with 10,000 partitions, to the first produce",
            bound: Bound::AtMost(1_000.0),
            unit: "ms",
            measured: found.first_produce_ms.clone(),
            detail: format!("{} acknowledged records, none missing", number(found.records() as f64)),
        };
        Ok((vec![line], found.json()))
    }

    fn first_ack(&self) -> Found {
        let [ours, _] = self.ours(&[])?;
        let mut measured = Rounds::default();
        for _ in 0..self.rounds {
            measured.0.push(suite::first_ack(&Fresh::start(&ours, &self.dir)?)?.as_secs_f64() * 1e3);
        }
        let json = measured.json();
        let line = Line {
            what: "empty directory to the first durable acknowledgement",
            bound: Bound::AtMost(50.0),
            unit: "ms",
            measured,
            detail: "the start of the process and creating the topic included".to_owned(),
        };
        Ok((vec![line], json))
    }

    fn memory(&self) -> Found {
        let [ours, _] = self.ours(&["--shards=2".to_owned()])?;
        let rate = MEMORY_BYTES_PER_SECOND / f64::from(Workload::default().record_bytes);
        // With the clients' linger, or it would be a test of 100,000 requests a second.
        let workload = Workload { partitions: 100, rate: Some(rate), linger_ms: 5, ..self.workload() };
        let suite = self.suite(vec![ours], workload, Also::CHECK)?;
        let line = |what, bound, measured: Rounds, own: Rounds| Line {
            what,
            bound: Bound::AtMost(bound),
            unit: "MiB",
            measured,
            detail: format!("of that anonymous: {} MiB", own.cell()),
        };
        let lines = vec![
            line(
                "resident memory, idle, 2 shards",
                32.0,
                suite.of(0, |round| Some(round.idle.resident_bytes as f64 / MIB)),
                suite.of(0, |round| Some(round.idle.anonymous_bytes as f64 / MIB)),
            ),
            line(
                "resident memory, 100 partitions under 100 MB/s",
                96.0,
                suite.of(0, |round| Some(round.measured.produce_usage?.resident_bytes as f64 / MIB)),
                suite.of(0, |round| Some(round.measured.produce_usage?.anonymous_bytes as f64 / MIB)),
            ),
        ];
        Ok((lines, suite.json()))
    }

    fn transactions(&self) -> Found {
        let [ours, kafka, _] = self.both()?;
        let transactions = Transactions {
            systems: vec![ours, kafka],
            shapes: TRANSACTIONS.map(|(shape, _)| shape).to_vec(),
            workload: Workload { producers: transactions::PRODUCERS, ..self.workload() },
            request_records: transactions::REQUEST_RECORDS,
            rate: transactions::RATE,
            history_megabytes: self.history_megabytes,
            rounds: self.rounds,
        };
        let result = transactions.run(&self.dir)?;
        let line = |what, bound, unit, [ours, kafka]: [Rounds; 2]| Line {
            what,
            bound,
            unit: "x",
            measured: ours.over(&kafka),
            detail: format!("{} against {} {unit}", ours.cell(), kafka.cell()),
        };
        let mut lines = Vec::new();
        for (place, (_, [throughput, commit, paced])) in TRANSACTIONS.into_iter().enumerate() {
            let rate = [0, 1].map(|of| result.of(of, |round| round.most(place).rates()[0]));
            let most = [0, 1].map(|of| result.of(of, |round| round.most(place).commit(99.0)));
            let by_schedule = [0, 1].map(|of| result.of(of, |round| round.paced(place).commit(99.0)));
            lines.push(line(throughput, Bound::AtLeast(2.0), "records/s", rate));
            lines.push(line(commit, Bound::AtMost(0.5), "us", most));
            lines.push(line(paced, Bound::AtMost(0.5), "us", by_schedule));
        }
        let [uncommitted, committed] =
            [0, 1].map(|level| result.of(0, move |round| round.reading_cpu()[level]));
        lines.push(Line {
            what: "catch-up, MB/s uncommitted, of those committed",
            bound: Bound::AtMost(1.05),
            unit: "x",
            measured: result.of(0, |round| 1.0 / round.committed_reading()),
            detail: format!("{} against {} s of broker CPU a GB", uncommitted.cell(), committed.cell()),
        });
        Ok((lines, result.json()))
    }

    fn small_requests(&self) -> Found {
        let systems = self.ours(&["--shards=1".to_owned()])?;
        let workload =
            Workload { warmup: self.warmup, seconds: self.seconds, ..references::small_requests() };
        let beside = references::requests(&systems, &workload, self.rounds, &self.dir)?;
        let line = |what, column| {
            let [rate, echo] = [column, 0].map(|column| beside.rounds(column, 0));
            let [cost, least] = [column, 0].map(|column| beside.rounds(column, 1));
            Line {
                what,
                bound: Bound::AtLeast(0.7),
                unit: "x",
                measured: rate.over(&echo),
                detail: format!(
                    "{} against {} requests/s, {} against {} us of server CPU each",
                    rate.cell(),
                    echo.cell(),
                    cost.cell(),
                    least.cell(),
                ),
            }
        };
        let lines = vec![
            line("small requests of one shard, of a bare epoll echo", 1),
            line("the same without syncs", 2),
        ];
        Ok((lines, beside.json()))
    }
}

impl Line {
    fn met(&self) -> Option<bool> {
        self.measured.median().map(|median| self.bound.holds(median))
    }

    fn verdict(&self) -> &'static str {
        match self.met() {
            Some(true) => "yes",
            Some(false) => "NO",
            None => "-",
        }
    }

    fn aim(&self) -> String {
        match self.bound {
            Bound::AtLeast(bound) => format!(">= {} {}", number(bound), self.unit),
            Bound::AtMost(bound) => format!("<= {} {}", number(bound), self.unit),
        }
    }

    fn text(&self) -> String {
        format!(
            "{}: {}, {} ({}): {}",
            self.what,
            self.measured.cell(),
            self.aim(),
            self.detail,
            self.verdict()
        )
    }

    fn json(&self, number: u32) -> Value {
        let (least, most) = match self.bound {
            Bound::AtLeast(bound) => (Some(bound), None),
            Bound::AtMost(bound) => (None, Some(bound)),
        };
        json!({
            "number": number, "what": self.what, "aim": self.aim(), "at_least": least, "at_most": most, "unit": self.unit,
            "measured": self.measured.json(), "shown": self.measured.cell(), "detail": self.detail, "met": self.met(),
        })
    }
}

/// The table of aims, in Markdown.
fn table(lines: &[(u32, Line)]) -> String {
    let columns = ["aim", "measured", "met", "the figures"];
    let mut table = Table::new(columns.map(str::to_owned).into());
    for (number, line) in lines {
        let cells = [line.aim(), line.measured.cell(), line.verdict().to_owned(), line.detail.clone()];
        table.line(&format!("{number}. {}", line.what), cells.into());
    }
    table.markdown()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_is_met_by_the_median_and_not_by_the_best_round() {
        let line = |bound, rounds: &[f64]| Line {
            what: "it",
            bound,
            unit: "x",
            measured: Rounds(rounds.to_vec()),
            detail: String::new(),
        };
        assert_eq!(line(Bound::AtLeast(1.0), &[0.9, 0.95, 1.5]).met(), Some(false));
        assert_eq!(line(Bound::AtLeast(1.0), &[0.9, 1.0, 1.5]).met(), Some(true));
        assert_eq!(line(Bound::AtMost(50.0), &[49.0, 51.0, 51.0]).met(), Some(false));
        assert_eq!(line(Bound::AtMost(50.0), &[]).met(), None);
        assert!(table(&[(8, line(Bound::AtMost(50.0), &[]))]).contains("<= 50.0 x"));
    }
}
