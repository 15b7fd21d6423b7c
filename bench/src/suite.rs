//! Systems in alternation. In each round each system gets an empty directory, is started, measured and
//! stopped, one after the other:
//!
//! ```text
//! round 1   device   A start, idle, produce, read back   B start, ...
//! round 2   device   A ...                               B ...
//! ```
//! So all of them meet the same slow drift of the machine, and none meets another one's warm cache. The order
//! of the systems turns round by round, because whoever is second finds a device that is still writing what
//! the first left.

use crate::broker::{Fresh, System};
use crate::client::{Client, ClientError, Topic, refuse};
use crate::clock::{SECOND, now, wall_ms};
use crate::device::{self, Device};
use crate::measure::{self, Also, MeasureError, Measured, cpu_per_million, flushes_per_million};
use crate::output::note;
use crate::process::Usage;
use crate::progress::Progress;
use crate::report::{Quantities, Rounds, number};
use crate::samples::Samples;
use crate::workload::Workload;
use serde_json::{Value, json};
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;
use strandline_engine::format::builder::BatchBuilder;
use strandline_engine::format::compression::Codec;
use strandline_engine::types::Timestamp;
use strandline_protocol::messages::{PartitionProduceData, ProduceRequest, TopicProduceData};

/// How long the device is measured in each round.
const DEVICE_TIME: Duration = Duration::from_secs(3);
/// How long an idle broker is left alone before its memory is looked at.
const IDLE: Duration = Duration::from_secs(1);
/// How long a new broker may refuse the first record.
const FIRST_TIMEOUT: u64 = 60 * SECOND;

/// What to compare.
#[derive(Debug)]
pub(crate) struct Suite {
    /// The systems, in the order of the table.
    pub(crate) systems: Vec<System>,
    /// What each is asked.
    pub(crate) workload: Workload,
    /// What is done beside producing.
    pub(crate) also: Also,
    /// How often.
    pub(crate) rounds: u32,
    /// Where data directories are made.
    pub(crate) dir: PathBuf,
}

/// What one system did in one round.
#[derive(Debug)]
pub(crate) struct Round {
    /// From the start of the process on an empty directory to the first acknowledged record.
    pub(crate) first_ack_seconds: f64,
    /// The process before there was any load.
    pub(crate) idle: Usage,
    /// The load.
    pub(crate) measured: Measured,
}

/// What all systems did.
#[derive(Debug)]
pub(crate) struct SuiteResult {
    systems: Vec<(System, Vec<Round>)>,
    devices: Vec<Device>,
}

impl System {
    /// A system of which nothing is known but its command.
    pub(crate) fn parse(name: String, command: &str) -> System {
        let command = command.split_whitespace().map(str::to_owned).collect();
        System { name, command, topic_configs: Vec::new(), durability: "as configured".to_owned() }
    }
}

/// Strandline as it comes, and with its syncs off.
pub(crate) fn own_systems(binary: Option<PathBuf>, arguments: &[String]) -> io::Result<Vec<System>> {
    let binary = match binary {
        Some(binary) => binary,
        None => std::env::current_exe()?.with_file_name("strandline"),
    };
    let system = |name: &str, durability: &str, extra: &[&str]| {
        let mut command = vec![binary.to_string_lossy().into_owned()];
        command.extend(["serve", "--data-dir", "{data}", "--listen", "127.0.0.1:{port}"].map(str::to_owned));
        command.extend(extra.iter().map(|argument| argument.to_string()));
        command.extend(arguments.iter().cloned());
        System {
            name: name.to_owned(),
            command,
            topic_configs: Vec::new(),
            durability: durability.to_owned(),
        }
    };
    Ok(vec![
        system("strandline", "synced before the acknowledgement", &[]),
        system(
            "strandline, unsynced",
            "page cache",
            &["-o", "log.flush.interval.messages=9223372036854775807"],
        ),
    ])
}

/// Strandline as it comes, Apache Kafka as it comes, and Apache Kafka with a sync for every batch.
pub(crate) fn default_systems(binary: Option<PathBuf>, kafka: &Path) -> io::Result<Vec<System>> {
    let mut systems = own_systems(binary, &[])?;
    systems.truncate(1);
    for (name, durability, extra) in [
        ("kafka", "page cache", ""),
        ("kafka, synced", "synced before the acknowledgement", "--override log.flush.interval.messages=1"),
    ] {
        let command = format!("{} run --data {{data}} --port {{port}} {extra}", kafka.display());
        systems
            .push(System { durability: durability.to_owned(), ..System::parse(name.to_owned(), &command) });
    }
    Ok(systems)
}

/// The same, and Strandline with its syncs off.
pub(crate) fn all_systems(binary: Option<PathBuf>, kafka: &Path) -> io::Result<Vec<System>> {
    let mut systems = own_systems(binary.clone(), &[])?;
    systems.extend(default_systems(binary, kafka)?.into_iter().skip(1));
    Ok(systems)
}

impl Suite {
    /// Measures everything, and says how it goes.
    pub(crate) fn run(&self) -> Result<SuiteResult, MeasureError> {
        let mut result = SuiteResult {
            systems: self.systems.iter().map(|system| (system.clone(), Vec::new())).collect(),
            devices: Vec::new(),
        };
        for round in 0..self.rounds {
            let device = device::measure(&self.dir, DEVICE_TIME)?;
            note!("round {} of {}: {}", round + 1, self.rounds, device.line());
            result.devices.push(device);
            for place in 0..self.systems.len() {
                let place = (place + round as usize) % self.systems.len();
                let system = &self.systems[place];
                let done = self.round(system, round)?;
                note!(
                    "  {}: {} records/s, p99 {} us, all {} there",
                    system.name,
                    number(done.publish().records_per_second()),
                    number(done.publish().total().value_at_percentile(99.0) as f64),
                    number(done.measured.verified as f64),
                );
                result.systems[place].1.push(done);
            }
        }
        Ok(result)
    }

    fn round(&self, system: &System, round: u32) -> Result<Round, MeasureError> {
        let fresh = Fresh::start(system, &self.dir)?;
        let target = fresh.target();
        let first_ack_seconds = first_ack(&fresh)?.as_secs_f64();
        thread::sleep(IDLE);
        let idle = Usage::of(fresh.broker.pid())?;
        let progress = Progress::of(format!("round {}, {}", round + 1, system.name));
        let topic = measure::create_topic(&target, &measure::topic_name(), self.workload.partitions)?;
        // The topic is not deleted: its directory is, after the broker has stopped.
        let measured = measure::on_topic(&target, &self.workload, self.also, &topic, &progress)?;
        Ok(Round { first_ack_seconds, idle, measured })
    }
}

impl Round {
    /// What the producers saw.
    pub(crate) fn publish(&self) -> &Samples {
        &self.measured.load.publish
    }

    /// Records produced (and fetched at the tail, when there was a reader) for a second of the broker's CPU.
    pub(crate) fn records_per_cpu_second(&self) -> Option<f64> {
        cpu_per_million(self.measured.produce_usage.as_ref(), self.publish().records()).map(|cpu| 1e6 / cpu)
    }
}

/// From the start of the process to the first acknowledged record, on a topic that is created for it.
pub(crate) fn first_ack(fresh: &Fresh) -> Result<Duration, MeasureError> {
    let probe = measure::create_topic(&fresh.target(), &measure::topic_name(), 1)?;
    Ok(Duration::from_nanos(first_record(&probe)? - fresh.broker.started))
}

/// Sends a topic one record, again and again until it is acknowledged; when that was.
pub(crate) fn first_record(topic: &Topic) -> Result<u64, MeasureError> {
    let mut client = Client::connect(&topic.leaders[0])?;
    let mut builder = BatchBuilder::new(Codec::None);
    builder.push(Timestamp(wall_ms()), None, Some(b"first"), &[]);
    let request = ProduceRequest {
        transactional_id: None,
        acks: -1,
        timeout_ms: 30_000,
        topic_data: vec![TopicProduceData {
            name: topic.name.clone(),
            topic_id: topic.id,
            partition_data: vec![PartitionProduceData { index: 0, records: Some(builder.build()) }],
        }],
    };
    let deadline = now() + FIRST_TIMEOUT;
    loop {
        let answer = client.call(&request)?;
        let partition = answer.responses.into_iter().flat_map(|topic| topic.partition_responses).next();
        let missing =
            ClientError::Topic { topic: topic.name.clone(), problem: "an answer without its partition" };
        let partition = partition.ok_or(missing)?;
        match refuse("Produce", partition.error_code, partition.error_message) {
            Ok(()) => return Ok(now()),
            Err(refused) if now() > deadline => return Err(refused.into()),
            Err(_) => thread::sleep(Duration::from_millis(1)),
        }
    }
}

impl SuiteResult {
    /// A quantity of one system, round by round.
    pub(crate) fn of(&self, place: usize, quantity: impl Fn(&Round) -> Option<f64>) -> Rounds {
        Rounds(self.systems[place].1.iter().filter_map(quantity).collect())
    }

    /// A quantity of the device, round by round.
    pub(crate) fn device(&self, quantity: impl Fn(&Device) -> f64) -> Rounds {
        Rounds(self.devices.iter().map(quantity).collect())
    }

    fn each(&self, quantity: impl Fn(&Round) -> Option<f64>) -> Vec<Rounds> {
        self.systems.iter().map(|(_, rounds)| Rounds(rounds.iter().filter_map(&quantity).collect())).collect()
    }

    /// Every quantity of the table with its value in every round of every system.
    fn quantities(&self) -> Quantities<'_> {
        let mebibytes = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        let percentile = |percentile: f64| {
            self.each(move |round| Some(round.publish().total().value_at_percentile(percentile) as f64))
        };
        let end_to_end = |percentile: f64| {
            self.each(move |round| {
                let tail = round.measured.tail.as_ref()?;
                Some(tail.samples.total().value_at_percentile(percentile) as f64)
            })
        };
        let reading = |quantity: fn(&crate::read::Reading) -> f64| {
            self.each(move |round| round.measured.catch_up.as_ref().map(quantity))
        };
        let written = |bytes: fn(&Usage) -> Option<u64>| {
            self.each(move |round| {
                let written = bytes(round.measured.produce_usage.as_ref()?)? as f64;
                let bytes = round.publish().bytes() as f64;
                (bytes > 0.0).then_some(written / bytes)
            })
        };
        let fetched = |round: &Round| round.measured.catch_up.as_ref().map_or(0, |reading| reading.records);
        let lines = vec![
            ("produced, records/s", self.each(|round| Some(round.publish().records_per_second()))),
            ("produced, MB/s", self.each(|round| Some(round.publish().megabytes_per_second()))),
            ("publish p50, us", percentile(50.0)),
            ("publish p99, us", percentile(99.0)),
            ("publish p99.9, us", percentile(99.9)),
            (
                "broker CPU s per million produced",
                self.each(|round| {
                    cpu_per_million(round.measured.produce_usage.as_ref(), round.publish().records())
                }),
            ),
            ("records per broker CPU second", self.each(Round::records_per_cpu_second)),
            ("end to end p50, us", end_to_end(50.0)),
            ("end to end p99, us", end_to_end(99.0)),
            (
                "device flushes per million produced",
                self.each(|round| {
                    flushes_per_million(round.measured.produce_usage.as_ref(), round.publish().records())
                }),
            ),
            ("written by the broker, bytes per record byte", written(|usage| Some(usage.written_bytes))),
            (
                "written to the device, bytes per record byte",
                written(|usage| Some(usage.device?.written_bytes)),
            ),
            ("fetched (catch-up), records/s", reading(|reading| reading.records_per_second())),
            ("fetched (catch-up), MB/s", reading(|reading| reading.megabytes_per_second())),
            (
                "broker CPU s per million fetched",
                self.each(|round| cpu_per_million(round.measured.fetch_usage.as_ref(), fetched(round))),
            ),
            ("resident idle, MiB", self.each(|round| Some(mebibytes(round.idle.resident_bytes)))),
            (
                "resident under load, MiB",
                self.each(|round| Some(mebibytes(round.measured.produce_usage?.resident_bytes))),
            ),
            (
                "of that its own, MiB",
                self.each(|round| Some(mebibytes(round.measured.produce_usage?.anonymous_bytes))),
            ),
            ("empty directory to first ack, ms", self.each(|round| Some(round.first_ack_seconds * 1e3))),
        ];
        let lines = lines.into_iter().map(|(name, rounds)| (name.to_owned(), rounds)).collect();
        Quantities { systems: self.systems.iter().map(|(system, _)| system).collect(), lines }
    }

    /// A Markdown table with the device and the durability of each system above it.
    pub(crate) fn text(&self) -> String {
        let device = |quantity: fn(&Device) -> f64| self.device(quantity).cell();
        let unanswered: u64 = self
            .systems
            .iter()
            .flat_map(|(_, rounds)| rounds)
            .map(|round| round.measured.load.unanswered)
            .sum();
        let mut text = format!(
            "Device, same run: durable 4 KiB append p50 {} us, p99 {} us; sequential write {} MB/s.\n\
             Medians of {} rounds (smallest-largest); every acknowledged record was read back and checked.\n\n{}",
            device(|device| device.append.value_at_percentile(50.0) as f64),
            device(|device| device.append.value_at_percentile(99.0) as f64),
            device(|device| device.stream_megabytes_per_second),
            self.devices.len(),
            self.quantities().markdown(),
        );
        if unanswered > 0 {
            text.push_str(&format!(
                "\n{unanswered} records were not answered; their wait so far is counted.\n"
            ));
        }
        text
    }

    /// Everything.
    pub(crate) fn json(&self) -> Value {
        let mut json = self.quantities().json(|place| {
            let rounds = self.systems[place].1.iter().map(|round| {
                json!({
                    "first_ack_seconds": round.first_ack_seconds,
                    "idle": round.idle.json(),
                    "measured": round.measured.json(),
                })
            });
            [("rounds".to_owned(), rounds.collect())].into_iter().collect()
        });
        json["devices"] = self.devices.iter().map(Device::json).collect();
        json
    }
}
