//! Whether the tool can be believed: its ceilings against a broker that does nothing, and what it sees when a
//! broker stands still.
//!
//! ```text
//! latency   100 |      \            of the records due in T seconds, those due during a stop of S wait out its rest:
//! ms            |      | \          (S - x) / T of all wait longer than x, so the percentile at which x must
//!             0 |______|__\______   appear is known
//!                     stop
//! ```

use crate::broker::{Broker, BrokerError, Fresh, System, Target};
use crate::clock::{SECOND, now};
use crate::load::Live;
use crate::measure::{self, Also, MeasureError, Measured, Passes};
use crate::output::outln;
use crate::process::Usage;
use crate::progress::Progress;
use crate::read::{self, Ends, Task};
use crate::report::{self, number};
use crate::samples::Window;
use crate::transactions::{self, Shape};
use crate::workload::Workload;
use rustix::process::Signal;
use serde_json::{Value, json};
use std::io;
use std::path::Path;
use std::thread;
use std::time::Duration;

/// How long the broker stands still.
const STOP: Duration = Duration::from_millis(100);
/// The rate of the stop test: far below any ceiling.
const STOP_RATE: f64 = 5_000.0;
/// Few producers, so that what piles up during the stop is answered at once after it.
const STOP_PRODUCERS: u32 = 8;
/// The waits to look for, as parts of the stop: their percentiles are computed from the stop as it was.
const WAITS: [f64; 4] = [0.25, 0.5, 0.75, 0.9];
/// By how much the length of the stop may be off at any of them.
const TOLERANCE: f64 = 0.05;
/// What the null broker has to be read: more than any cache of the processor.
const CANNED_BYTES: usize = 256 << 20;
/// The transactions that the null broker is asked to commit.
const CEILING_SHAPES: [Shape; 2] =
    [Shape { partitions: 1, every_ms: 10 }, Shape { partitions: 100, every_ms: 10 }];
/// How often the highest reported rate must fit in the ceiling.
const HEADROOM: f64 = 3.0;

/// Why it does not hold, or could not be tried.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SelfTestError {
    #[error(transparent)]
    Broker(#[from] BrokerError),
    #[error(transparent)]
    Measure(#[from] MeasureError),
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("the ceiling of {ceiling:.0} records/s is not {wanted} times the {highest:.0} reported")]
    Ceiling { ceiling: f64, wanted: f64, highest: f64 },
    #[error(
        "a stop of the broker does not show at p{percentile:.3}: {seen_us:.0} us instead of {expected_us:.0} us"
    )]
    StopNotSeen { percentile: f64, expected_us: f64, seen_us: f64 },
}

/// Runs both, prints both, and fails when one does not hold.
pub(crate) fn run(
    workload: &Workload,
    highest: Option<f64>,
    highest_read: Option<f64>,
    json: Option<&Path>,
) -> Result<(), SelfTestError> {
    let environment = report::environment();
    outln!("{}", report::environment_line(&environment));
    let null = Fresh::start(&null_system(&[])?, &std::env::temp_dir())?;
    let target = null.target();

    outln!("ceiling of producing: {}", workload.line());
    let ceiling = measure::run(&target, workload, Also::NOTHING, &Progress::of("null broker"))?;
    let rate = ceiling.load.publish.records_per_second();
    outln!(
        "  {} records/s, {} MB/s, p50 {} us, p99 {} us; the null broker used {:.2} CPU seconds",
        number(rate),
        number(ceiling.load.publish.megabytes_per_second()),
        ceiling.load.publish.total().value_at_percentile(50.0),
        ceiling.load.publish.total().value_at_percentile(99.0),
        ceiling.produce_usage.map_or(0.0, |usage| usage.cpu_seconds),
    );

    let (reading, read_rate) = read_ceiling(workload)?;
    outln!(
        "ceiling of reading, 1 reader that checks every record:\n  {} records/s, {} MB/s; the null broker used {:.2} CPU seconds",
        number(read_rate),
        number(reading.megabytes_per_second()),
        reading.usage.map_or(0.0, |usage| usage.cpu_seconds),
    );

    let transactions = CEILING_SHAPES
        .map(|shape| Ok((shape, transactions::ceiling(&target, shape, workload.seconds)?)))
        .into_iter()
        .collect::<Result<Vec<_>, MeasureError>>()?;
    outln!("ceiling of producing in transactions:");
    transactions.iter().for_each(|(shape, run)| outln!("  {}: {}", shape.name(), run.line()));

    let stop = stop_test(&null.broker, &target, workload)?;
    outln!("a broker that stood still for {:.1} ms:", stop.stopped_us / 1e3);
    for line in &stop.lines {
        outln!(
            "  p{:.3}: {:.1} ms expected, {:.1} ms seen ({:+.1} % of the stop)",
            line.percentile,
            line.expected_us / 1e3,
            line.seen_us / 1e3,
            100.0 * line.error(),
        );
    }
    let result = json!({
        "what": "self-test", "environment": environment, "workload": workload.json(),
        "ceiling": ceiling.json(), "stop": stop.json(),
        "transactions_ceiling": transactions.iter().map(|(shape, run)| {
            let [records, commits] = run.rates();
            json!({ "shape": shape.name(), "records_per_second": records, "commits_per_second": commits })
        }).collect::<Vec<_>>(),
        "read_ceiling": {
            "records_per_second": read_rate, "megabytes_per_second": reading.megabytes_per_second(),
            "usage": reading.usage.as_ref().map(Usage::json),
        },
    });
    report::save(json, &result)?;

    for (ceiling, highest) in [(rate, highest), (read_rate, highest_read)] {
        if let Some(highest) = highest.filter(|highest| ceiling < HEADROOM * highest) {
            return Err(SelfTestError::Ceiling { ceiling, wanted: HEADROOM, highest });
        }
    }
    match stop.lines.iter().find(|line| line.error().abs() > TOLERANCE) {
        Some(&Line { percentile, expected_us, seen_us, .. }) => {
            Err(SelfTestError::StopNotSeen { percentile, expected_us, seen_us })
        }
        None => Ok(()),
    }
}

fn null_system(arguments: &[String]) -> io::Result<System> {
    let mut system = System::parse("null broker".to_owned(), "null-broker --listen 127.0.0.1:{port}");
    system.command.insert(0, std::env::current_exe()?.to_string_lossy().into_owned());
    system.command.extend_from_slice(arguments);
    Ok(system)
}

/// Reads the log of a null broker for as long as the workload says; records a second beside it.
fn read_ceiling(workload: &Workload) -> Result<(Passes, f64), MeasureError> {
    let arguments = format!(
        "--canned-bytes {CANNED_BYTES} --partitions {} --record-bytes {} --records-per-batch {}",
        workload.partitions, workload.record_bytes, workload.records_per_batch,
    );
    let arguments: Vec<String> = arguments.split(' ').map(str::to_owned).collect();
    let null = Fresh::start(&null_system(&arguments)?, &std::env::temp_dir())?;
    let target = null.target();
    let topic = measure::create_topic(&target, &measure::topic_name(), workload.partitions)?;
    let (ends, live, mut records) = (Ends::default(), Live::default(), 0);
    ends.set(read::end_offsets(&topic)?);
    let window = Window { start: 0, end: SECOND };
    let task = Task { topic: &topic, readers: 1, window, ends: &ends, identities: &[], live: &live };
    let phase = Progress::of("null broker").phase("read", workload.seconds);
    let passes = phase.watch(&live, || {
        measure::over_and_over(&target, workload.seconds, || {
            let reading = read::run(&task)?;
            records += reading.records;
            Ok(reading.bytes)
        })
    })?;
    let rate = records as f64 / passes.seconds;
    Ok((passes, rate))
}

struct Stop {
    stopped_us: f64,
    lines: Vec<Line>,
    measured: Measured,
}

struct Line {
    percentile: f64,
    expected_us: f64,
    seen_us: f64,
    stopped_us: f64,
}

impl Line {
    /// How far off the wait is, as a part of the stop.
    fn error(&self) -> f64 {
        (self.seen_us - self.expected_us) / self.stopped_us
    }
}

fn stop_test(broker: &Broker, target: &Target, workload: &Workload) -> Result<Stop, MeasureError> {
    let workload = Workload {
        rate: Some(STOP_RATE),
        producers: STOP_PRODUCERS,
        record_bytes: 100,
        records_per_batch: 16,
        batches_per_request: 1,
        warmup: 1,
        seconds: 5,
        ..workload.clone()
    };
    let middle = Duration::from_secs(workload.warmup) + Duration::from_secs(workload.seconds) / 2;
    let (measured, stopped) = thread::scope(|scope| {
        let stopper = scope.spawn(move || -> std::io::Result<u64> {
            thread::sleep(middle);
            let before = now();
            broker.signal(Signal::STOP)?;
            thread::sleep(STOP);
            broker.signal(Signal::CONT)?;
            Ok(now() - before)
        });
        let measured = measure::run(target, &workload, Also::NOTHING, &Progress::of("stop"));
        (measured, stopper.join().expect("sending signals does not panic"))
    });
    let (measured, stopped) = (measured?, stopped?);
    let seconds = stopped as f64 / SECOND as f64;
    let total = measured.load.publish.total();
    let lines = WAITS.map(|part| {
        let percentile = 100.0 * (1.0 - seconds * (1.0 - part) / workload.seconds as f64);
        Line {
            percentile,
            expected_us: part * seconds * 1e6,
            seen_us: total.value_at_percentile(percentile) as f64,
            stopped_us: seconds * 1e6,
        }
    });
    Ok(Stop { stopped_us: seconds * 1e6, lines: lines.into(), measured })
}

impl Stop {
    fn json(&self) -> Value {
        let lines: Vec<Value> = (self.lines.iter())
            .map(|line| {
                json!({ "percentile": line.percentile, "expected_us": line.expected_us, "seen_us": line.seen_us })
            })
            .collect();
        json!({ "stopped_us": self.stopped_us, "percentiles": lines, "measured": self.measured.json() })
    }
}
