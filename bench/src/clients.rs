//! The producers that people have, instead of the tool's own: librdkafka's and the Java client's performance
//! tool, on systems in alternation.
//!
//! Their figures are what they print. What the broker used, and that everything they had acknowledged is in
//! the log, is measured here.

use crate::broker::{BrokerError, Fresh, System};
use crate::client::ClientError;
use crate::measure::{self, MeasureError, cpu_per_million};
use crate::output::note;
use crate::process::{self, Usage};
use crate::read;
use crate::report::{Quantities, Rounds, number};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The part of the records that the Java client sends before it counts, since its virtual machine compiles
/// meanwhile.
const JAVA_WARMUP_PART: u64 = 4;

/// What the clients are to do, and where they are.
#[derive(Debug)]
pub(crate) struct Clients {
    /// The script of librdkafka's producer.
    pub(crate) librdkafka: PathBuf,
    /// The script that has Kafka's tools.
    pub(crate) kafka: PathBuf,
    /// Records of a run.
    pub(crate) records: u64,
    /// Bytes of a record's value.
    pub(crate) record_bytes: u32,
    /// Partitions of a topic.
    pub(crate) partitions: u32,
}

/// Why a client gave no figures.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientsError {
    #[error(transparent)]
    Measure(#[from] MeasureError),
    #[error(transparent)]
    Broker(#[from] BrokerError),
    #[error(transparent)]
    Admin(#[from] ClientError),
    #[error("{command:?} can not be run: {source}")]
    Run { command: String, source: io::Error },
    #[error("{command:?} ended ({status}): {output}")]
    Ended { command: String, status: std::process::ExitStatus, output: String },
    #[error("{command:?} printed no figures: {output}")]
    Output { command: String, output: String },
    #[error("{client}: {acknowledged} records were acknowledged, {found} are in the log")]
    Missing { client: &'static str, acknowledged: u64, found: u64 },
}

/// A client.
#[derive(Clone, Copy, Debug)]
enum Client {
    Librdkafka,
    Java,
}

/// What a client says of its run.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Figures {
    /// Records that were acknowledged, warm-up included.
    acknowledged: u64,
    records_per_second: f64,
    /// The Java client's 99th percentile, in milliseconds.
    p99_ms: Option<f64>,
}

/// A run of a client on a system.
#[derive(Debug)]
struct Run {
    figures: Figures,
    usage: Option<Usage>,
}

/// What all clients did on all systems.
#[derive(Debug)]
pub(crate) struct ClientsResult {
    systems: Vec<(System, Vec<[Run; 2]>)>,
}

impl Client {
    const ALL: [Client; 2] = [Client::Librdkafka, Client::Java];

    fn name(self) -> &'static str {
        match self {
            Client::Librdkafka => "librdkafka",
            Client::Java => "Java",
        }
    }

    fn command(self, clients: &Clients, bootstrap: &str, topic: &str) -> Vec<String> {
        let Clients { records, record_bytes, partitions, .. } = clients;
        let (script, arguments) = match self {
            Client::Librdkafka => (
                &clients.librdkafka,
                format!("produce {bootstrap} {topic} {partitions} {records} {record_bytes}"),
            ),
            Client::Java => (
                &clients.kafka,
                format!(
                    "tool ProducerPerformance --bootstrap-server {bootstrap} --topic {topic} --num-records {records} \
                     --warmup-records {} --record-size {record_bytes} --throughput -1 --command-property acks=all",
                    records / JAVA_WARMUP_PART,
                ),
            ),
        };
        let words = arguments.split_whitespace().map(str::to_owned);
        std::iter::once(script.to_string_lossy().into_owned()).chain(words).collect()
    }

    fn parse(self, output: &str) -> Option<Figures> {
        match self {
            Client::Librdkafka => {
                let line = output.lines().rev().find(|line| line.contains(" acknowledged, "))?;
                let acknowledged = before(line, " acknowledged")?;
                let records_per_second = before(line, " records/s")?;
                Some(Figures { acknowledged: acknowledged as u64, records_per_second, p99_ms: None })
            }
            Client::Java => {
                // The last line is the steady state, the one before it counts the warm-up as well.
                let mut totals = output.lines().rev().filter(|line| line.contains(" ms 99.9th"));
                let line = totals.next().filter(|line| line.contains(" steady state records sent"))?;
                let all = totals.next()?;
                Some(Figures {
                    acknowledged: before(all, " records sent")? as u64,
                    records_per_second: before(line, " records/sec")?,
                    p99_ms: before(line, " ms 99th"),
                })
            }
        }
    }
}

/// The number that stands before `unit`.
fn before(line: &str, unit: &str) -> Option<f64> {
    line.split_once(unit)?.0.rsplit([' ', '(']).next()?.parse().ok()
}

impl Clients {
    /// Runs all clients on all systems, each on a broker of its own, and says how it goes.
    pub(crate) fn run(
        &self,
        systems: Vec<System>,
        rounds: u32,
        dir: &Path,
    ) -> Result<ClientsResult, ClientsError> {
        let mut systems: Vec<(System, Vec<[Run; 2]>)> =
            systems.into_iter().map(|system| (system, Vec::new())).collect();
        for round in 0..rounds as usize {
            note!("round {} of {rounds}", round + 1);
            for place in 0..systems.len() {
                let place = (place + round) % systems.len();
                let (system, done) = &mut systems[place];
                let [first, second] = Client::ALL;
                done.push([self.one(first, system, dir)?, self.one(second, system, dir)?]);
            }
        }
        Ok(ClientsResult { systems })
    }

    fn one(&self, client: Client, system: &System, dir: &Path) -> Result<Run, ClientsError> {
        let fresh = Fresh::start(system, dir)?;
        let (target, name) = (fresh.target(), measure::topic_name());
        if matches!(client, Client::Java) {
            // The other one creates its topic itself.
            measure::create_topic(&target, &name, self.partitions)?;
        }
        let command = client.command(self, &target.bootstrap, &name);
        let (output, usage) = process::during(target.watched(), None, || output(&command));
        let output = output?;
        let figures = client
            .parse(&output)
            .ok_or_else(|| ClientsError::Output { command: command.join(" "), output: output.clone() })?;
        let mut admin = crate::client::Client::connect(&target.bootstrap)?;
        let topic = measure::await_topic(&mut admin, &name, Some(self.partitions))?;
        let found = read::end_offsets(&topic)?.iter().sum::<i64>() as u64;
        let acknowledged = figures.acknowledged;
        if found < acknowledged {
            return Err(ClientsError::Missing { client: client.name(), acknowledged, found });
        }
        note!(
            "  {}, {}: {} records/s, all {} there",
            system.name,
            client.name(),
            number(figures.records_per_second),
            number(acknowledged as f64)
        );
        Ok(Run { figures, usage })
    }
}

fn output(command: &[String]) -> Result<String, ClientsError> {
    let line = || command.join(" ");
    let done = Command::new(&command[0])
        .args(&command[1..])
        .stdin(Stdio::null())
        .output()
        .map_err(|source| ClientsError::Run { command: line(), source })?;
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    if !done.status.success() {
        let output = text + &String::from_utf8_lossy(&done.stderr);
        return Err(ClientsError::Ended { command: line(), status: done.status, output });
    }
    Ok(text)
}

impl ClientsResult {
    /// Every quantity with its value in every round of every system.
    pub(crate) fn quantities(&self) -> Quantities<'_> {
        let each = |quantity: &dyn Fn(&[Run; 2]) -> Option<f64>| -> Vec<Rounds> {
            self.systems
                .iter()
                .map(|(_, rounds)| Rounds(rounds.iter().filter_map(quantity).collect()))
                .collect()
        };
        let mut lines = Vec::new();
        for (place, client) in Client::ALL.into_iter().enumerate() {
            let name = client.name();
            let rate = each(&|runs| Some(runs[place].figures.records_per_second));
            lines.push((format!("{name}, records/s"), rate));
            lines.push((format!("{name}, p99 ms"), each(&|runs| runs[place].figures.p99_ms)));
            let cpu =
                each(&|runs| cpu_per_million(runs[place].usage.as_ref(), runs[place].figures.acknowledged));
            lines.push((format!("{name}, broker CPU s per million"), cpu));
        }
        Quantities { systems: self.systems.iter().map(|(system, _)| system).collect(), lines }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figures_are_those_of_the_steady_state_and_the_records_all_of_them() {
        let output = "Warmup first 50000 records. Steady state results will print after the complete test summary.\n\
            41724 records sent, 8316.5 records/sec (8.12 MB/sec), 2126.1 ms avg latency, 2650.0 ms max latency.\n\
            200000 records sent, 10128.633647 records/sec (9.89 MB/sec), 1793.70 ms avg latency, 2675.00 ms max latency, 2030 ms 50th, 2453 ms 95th, 2546 ms 99th, 2645 ms 99.9th.\n\
            150000 steady state records sent, 12478.163214 records/sec (12.19 MB/sec), 2075.76 ms avg latency, 2675.00 ms max latency, 2165 ms 50th, 2468 ms 95th, 2564 ms 99th, 2646 ms 99.9th.\n";
        let figures =
            Figures { acknowledged: 200_000, records_per_second: 12_478.163214, p99_ms: Some(2_564.0) };
        assert_eq!(Client::Java.parse(output), Some(figures));
        assert_eq!(Client::Java.parse("org.apache.kafka.common.errors.TimeoutException\n"), None);
    }

    #[test]
    fn the_line_of_librdkafkas_producer_is_understood() {
        let line = "199990 acknowledged, 10 failed, 0 unknown; 4.6 s, 43954 records/s, 45 MB/s\n";
        let figures = Figures { acknowledged: 199_990, records_per_second: 43_954.0, p99_ms: None };
        assert_eq!(Client::Librdkafka.parse(line), Some(figures));
    }
}
