//! Kill a broker in the middle of a load, start it again on the same directory, and ask for what it had
//! promised.
//!
//! ```text
//! start .. load .. SIGKILL .. start .. first acknowledged produce (measured) .. read everything back
//! ```
//! A killed process leaves the page cache intact: this shows recovery and its time, not what a power cut
//! would take.

use crate::broker::{BrokerError, Fresh, System};
use crate::client::{Client, ClientError};
use crate::clock::{SECOND, now};
use crate::load::{self, Live, LoadError};
use crate::measure::{self, MeasureError};
use crate::output::note;
use crate::read::{self, Ends, ReadError, Task};
use crate::report::{Rounds, number};
use crate::samples::Window;
use crate::suite::first_record;
use crate::verify::Violation;
use crate::workload::Workload;
use serde_json::{Value, json};
use std::path::Path;
use std::thread;
use std::time::Duration;

/// What the rounds have found.
#[derive(Debug, Default)]
pub(crate) struct Recovery {
    /// From the start of the process to the first acknowledged produce, in milliseconds.
    pub(crate) first_produce_ms: Rounds,
    /// Records acknowledged before the kill, all of them found after it.
    acknowledged: Vec<u64>,
}

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecoveryError {
    #[error(transparent)]
    Broker(#[from] BrokerError),
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Measure(#[from] MeasureError),
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("the log is not what was acknowledged: {0}")]
    Violation(#[from] Violation),
    #[error("the broker was killed only after the load; make --seconds longer")]
    KilledTooLate,
}

/// Kills and restarts `system` in each round.
pub(crate) fn run(
    system: &System,
    workload: &Workload,
    rounds: u32,
    dir: &Path,
) -> Result<Recovery, RecoveryError> {
    let mut found = Recovery::default();
    for round in 0..rounds {
        let (first_produce, acknowledged) = one(system, workload, dir)?;
        note!(
            "round {} of {rounds}: first produce after {:.1} ms, all {acknowledged} acknowledged records there",
            round + 1,
            first_produce.as_secs_f64() * 1e3,
        );
        found.first_produce_ms.0.push(first_produce.as_secs_f64() * 1e3);
        found.acknowledged.push(acknowledged);
    }
    Ok(found)
}

fn one(system: &System, workload: &Workload, dir: &Path) -> Result<(Duration, u64), RecoveryError> {
    let mut fresh = Fresh::start(system, dir)?;
    let target = fresh.target();
    // The first produce after the restart goes to a topic of its own, so that the log that is checked has
    // only the load.
    let probe = measure::create_topic(&target, &measure::topic_name(), 1)?;
    first_record(&probe)?;
    let topic = measure::create_topic(&target, &measure::topic_name(), workload.partitions)?;
    let live = Live::default();
    let start = now() + SECOND / 10;
    let middle = Duration::from_secs(workload.warmup) + Duration::from_secs(workload.seconds) / 2;
    let load = thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(middle);
            fresh.broker.kill_now();
        });
        load::run(workload, &target.bootstrap, &topic, start, &live)
    })?;
    match load.failure {
        Some(LoadError::Closed { .. } | LoadError::Connection { .. }) => {}
        Some(failure) => return Err(failure.into()),
        None => return Err(RecoveryError::KilledTooLate),
    }

    let fresh = fresh.restart(system)?;
    let target = fresh.target();
    let mut client = Client::connect(&target.bootstrap)?;
    let probe = measure::await_topic(&mut client, &probe.name, Some(1))?;
    let first_produce = Duration::from_nanos(first_record(&probe)? - fresh.broker.started);

    let topic = measure::await_topic(&mut client, &topic.name, Some(workload.partitions))?;
    let ends = Ends::default();
    ends.set(read::end_offsets(&topic)?);
    let window = Window { start: now(), end: now() + SECOND };
    let task =
        Task { topic: &topic, readers: 1, window, ends: &ends, identities: &load.identities, live: &live };
    let mut reading = read::run(&task)?;
    reading.verifier.finish(&load.acknowledged)?;
    Ok((first_produce, load.acknowledged.values().sum()))
}

impl Recovery {
    /// Records acknowledged before the kills, in all rounds.
    pub(crate) fn records(&self) -> u64 {
        self.acknowledged.iter().sum()
    }

    /// One line for people.
    pub(crate) fn text(&self, system: &System) -> String {
        format!(
            "{}: {} ms from the start after SIGKILL to the first acknowledged produce; {} acknowledged records, none missing\n",
            system.name,
            self.first_produce_ms.cell(),
            number(self.records() as f64),
        )
    }

    /// Everything.
    pub(crate) fn json(&self) -> Value {
        json!({ "first_produce_ms": self.first_produce_ms.json(), "acknowledged": self.acknowledged })
    }
}
