//! A produce load by schedule, without and with mean clients beside it: what the honest producers wait
//! longer, and what the broker's memory, CPU and log grow by, is the question.
//!
//! ```text
//! without: start, make the wide topic and the groups | produce by schedule                              | read back, check
//! with:    the same                                  | produce by schedule + the swarms, a thread each  | read back, check
//!                                                    | + a probe of /healthz, in both halves
//! ```
//! Each half has a broker of its own, so that neither inherits the other's memory, and which one comes first
//! turns round by round. What the mean clients send is in `attacks`, how they send it in `swarm`. A load that
//! the broker ends is a result here, and not the end of the run; what was acknowledged until then is not
//! checked, since the generator stops at the first refusal.

mod attacks;
mod swarm;

pub(crate) use attacks::Kind;

use crate::broker::{Fresh, System, Target};
use crate::clock::{SECOND, now};
use crate::load::{self, Live};
use crate::measure::{self, MeasureError};
use crate::output::note;
use crate::process::{self, Usage};
use crate::progress::Progress;
use crate::read::{self, Ends, Task};
use crate::report::{Quantities, Rounds, number};
use crate::samples::{Samples, Window};
use crate::workload::Workload;
use attacks::Armory;
use serde_json::{Map, Value, json};
use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::Duration;
use swarm::{Ports, Tally};

/// Records a second when nothing else is asked for: a few percent of what a broker takes, so that what the
/// mean clients cost is seen and not what the load does.
pub(crate) const RATE: f64 = 2_000.0;
/// What our own broker is started with beside its defaults: somewhere to ask whether it is alive, which has
/// REST as well where clients of it take part.
pub(crate) fn arguments(kinds: &[Kind]) -> [String; 2] {
    let face = if kinds.contains(&Kind::Rest) { "--http-listen" } else { "--metrics-listen" };
    [face, "127.0.0.1:{metrics}"].map(str::to_owned)
}
/// The lowest priority that a thread can have.
const NICE_MAX: i32 = 19;
/// The percentiles that are compared.
const PERCENTILES: [f64; 3] = [50.0, 99.0, 99.9];
/// How often the broker is asked whether it is alive.
const PROBE_EVERY: Duration = Duration::from_millis(200);
/// How long it may take to say so: what a supervisor commonly allows.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);
/// What resets `VmHWM` of a process when it is written to its `clear_refs`.
const RESET_PEAK: &str = "5";

/// What is done.
#[derive(Debug)]
pub(crate) struct Hostile {
    /// The systems, in the order of the table.
    pub(crate) systems: Vec<System>,
    /// The honest load; it has a rate.
    pub(crate) workload: Workload,
    /// Which mean clients there are.
    pub(crate) kinds: Vec<Kind>,
    /// Partitions of the topic whose answers are large.
    pub(crate) wide_partitions: u32,
    /// Bytes that a compression bomb unpacks to, where the codec can do it below `message.max.bytes`.
    pub(crate) bomb_bytes: usize,
    /// How often.
    pub(crate) rounds: u32,
}

/// A broker that runs.
#[derive(Debug)]
struct Place {
    target: Target,
    ports: Ports,
    /// Where its output goes, its log included.
    output: Option<PathBuf>,
}

/// What one half of a round saw.
#[derive(Debug)]
struct Half {
    publish: Samples,
    /// Records of the window that were not acknowledged in time.
    failed: u64,
    /// What ended the load before its time.
    failure: Option<String>,
    /// Records read back and checked.
    verified: u64,
    /// CPU and memory of the broker.
    usage: Option<Usage>,
    /// Its largest resident memory while the load ran, in bytes, as the kernel keeps it; 0 when it does not.
    peak_bytes: u64,
    /// What it wrote to its output in that time.
    log_bytes: u64,
    /// Whether /healthz answered.
    health: Health,
    /// What each kind of mean client did.
    tallies: Vec<(Kind, Tally)>,
}

/// How often the broker said that it is alive.
#[derive(Clone, Copy, Debug, Default)]
struct Health {
    answered: u64,
    failed: u64,
    slowest_ms: u64,
}

/// What one system did in one round.
#[derive(Debug)]
struct Round {
    without: Half,
    with: Half,
}

/// What all systems did.
#[derive(Debug)]
pub(crate) struct HostileResult {
    systems: Vec<(System, Vec<Round>)>,
}

impl Hostile {
    /// Measures all of it in directories of `dir`, and says how it goes.
    pub(crate) fn run(&self, dir: &Path) -> Result<HostileResult, MeasureError> {
        let bombs = self.kinds.contains(&Kind::Bombs).then(|| attacks::bombs(self.bomb_bytes));
        let bombs = bombs.unwrap_or_default();
        let mut systems: Vec<(System, Vec<Round>)> =
            self.systems.iter().map(|system| (system.clone(), Vec::new())).collect();
        for round in 0..self.rounds as usize {
            note!("round {} of {}", round + 1, self.rounds);
            for place in 0..systems.len() {
                let place = (place + round) % self.systems.len();
                let (system, rounds) = &mut systems[place];
                let half = |hostile: bool| self.half(system, dir, hostile, &bombs);
                let (without, with) = match round % 2 {
                    0 => (half(false)?, half(true)?),
                    _ => {
                        let with = half(true)?;
                        (half(false)?, with)
                    }
                };
                let done = Round { without, with };
                done.say(&system.name);
                rounds.push(done);
            }
        }
        Ok(HostileResult { systems })
    }

    fn half(
        &self,
        system: &System,
        dir: &Path,
        hostile: bool,
        bombs: &[Vec<u8>],
    ) -> Result<Half, MeasureError> {
        let fresh = Fresh::start(system, dir)?;
        let address = |text: &str| text.parse::<SocketAddr>().map_err(io::Error::other);
        let place = Place {
            target: fresh.target(),
            ports: Ports {
                kafka: address(&fresh.broker.address)?,
                metrics: fresh.broker.metrics.as_deref().map(address).transpose()?,
                tls: fresh.broker.tls.as_deref().map(address).transpose()?,
            },
            output: Some(fresh.data().with_extension("out")),
        };
        let progress = Progress::of(format!("{}, {}", system.name, if hostile { "with" } else { "without" }));
        self.on(&place, hostile, bombs, &progress)
    }

    /// One half, on a broker that runs.
    fn on(
        &self,
        place: &Place,
        hostile: bool,
        bombs: &[Vec<u8>],
        progress: &Progress,
    ) -> Result<Half, MeasureError> {
        let Place { target, ports, output } = place;
        let armory = Armory::prepare(target, self.wide_partitions, &self.kinds, bombs)?;
        let topic = measure::create_topic(target, &measure::topic_name(), self.workload.partitions)?;
        let output_bytes = || {
            let metadata = output.as_ref().and_then(|output| fs::metadata(output).ok());
            metadata.map_or(0, |metadata| metadata.len())
        };

        let (live, start, before) = (Live::default(), now() + SECOND / 10, output_bytes());
        let window = self.workload.window(start);
        let done = AtomicBool::new(false);
        if let Some(pid) = target.pid {
            // Where it may not be reset, the peak is that of the whole life of the process, its start
            // included.
            let _ = fs::write(format!("/proc/{pid}/clear_refs"), RESET_PEAK);
        }
        let phase = progress.phase("produce", self.workload.warmup + self.workload.seconds);
        let ((load, health, tallies), usage) = process::during(target.watched(), Some(window), || {
            thread::scope(|scope| {
                let probe = ports.metrics.map(|address| {
                    let done = &done;
                    scope.spawn(move || probe(address, done))
                });
                let kinds = if hostile { self.kinds.as_slice() } else { &[] };
                let swarms: Vec<_> = (kinds.iter())
                    .map(|&kind| {
                        let (arms, done) = (&armory, &done);
                        scope.spawn(move || -> io::Result<Tally> {
                            lower_priority()?;
                            swarm::run(arms.of(kind), *ports, done)
                        })
                    })
                    .collect();
                let load =
                    phase.watch(&live, || load::run(&self.workload, &target.bootstrap, &topic, start, &live));
                done.store(true, Relaxed);
                let health =
                    probe.map_or_else(Health::default, |probe| probe.join().expect("it does not panic"));
                let tallies: io::Result<Vec<_>> = (kinds.iter().zip(swarms))
                    .map(|(&kind, swarm)| Ok((kind, swarm.join().expect("a swarm does not panic")?)))
                    .collect();
                (load, health, tallies)
            })
        });
        let peak_bytes = target.pid.and_then(|pid| process::peak_resident(pid).ok()).unwrap_or(0);
        let log_bytes = output_bytes() - before;
        let mut half = Half {
            publish: Samples::new(window),
            failed: 0,
            failure: None,
            verified: 0,
            usage,
            peak_bytes,
            log_bytes,
            health,
            tallies: tallies?,
        };
        let load = match load {
            Ok(load) => load,
            Err(refused) => {
                half.failure = Some(refused.to_string());
                return Ok(half);
            }
        };
        half.publish = load.publish;
        half.failed = load.unanswered;
        half.failure = load.failure.map(|failure| failure.to_string());
        if half.failure.is_none() {
            let ends = Ends::default();
            ends.set(read::end_offsets(&topic)?);
            let window = Window { start: now(), end: now() + 600 * SECOND };
            let identities = &load.identities;
            let task = Task { topic: &topic, readers: 1, window, ends: &ends, identities, live: &live };
            half.verified = read::run(&task)?.verifier.finish(&load.acknowledged)?;
        }
        Ok(half)
    }
}

/// The mean clients have a machine of their own elsewhere. Here they take what broker and load leave; what
/// they ask of the broker stays.
fn lower_priority() -> io::Result<()> {
    Ok(rustix::process::setpriority_process(Some(rustix::thread::gettid()), NICE_MAX)?)
}

/// Asks a broker whether it is alive, on a new connection each time as a supervisor does, until `done`.
fn probe(address: SocketAddr, done: &AtomicBool) -> Health {
    let mut health = Health::default();
    while !done.load(Relaxed) {
        let asked = now();
        match is_alive(address) {
            Ok(true) => health.answered += 1,
            _ => health.failed += 1,
        }
        health.slowest_ms = health.slowest_ms.max((now() - asked) / 1_000_000);
        thread::sleep(PROBE_EVERY);
    }
    health
}

fn is_alive(address: SocketAddr) -> io::Result<bool> {
    let mut stream = TcpStream::connect_timeout(&address, PROBE_TIMEOUT)?;
    stream.set_read_timeout(Some(PROBE_TIMEOUT))?;
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut status = [0; 12];
    stream.read_exact(&mut status)?;
    Ok(status.ends_with(b" 200"))
}

impl Half {
    fn percentile(&self, at: f64) -> f64 {
        self.publish.total().value_at_percentile(at) as f64
    }

    fn json(&self) -> Value {
        let tallies: Map<String, Value> =
            self.tallies.iter().map(|(kind, tally)| (kind.name().to_owned(), tally.json())).collect();
        json!({
            "publish": self.publish.json(), "records_failed": self.failed, "failure": self.failure,
            "verified": self.verified, "usage": self.usage.as_ref().map(Usage::json),
            "peak_resident_bytes": self.peak_bytes, "log_bytes": self.log_bytes,
            "health": {
                "answered": self.health.answered, "failed": self.health.failed,
                "slowest_ms": self.health.slowest_ms,
            },
            "clients": tallies,
        })
    }
}

impl Round {
    /// What happened, for people who wait.
    fn say(&self, system: &str) {
        for (name, half) in [("without", &self.without), ("with", &self.with)] {
            note!(
                "  {system}, {name}: publish p50 {}, p99 {}, p99.9 {} us, {} records/s, {} failed; \
                 resident {} MiB at most; {} B of log",
                number(half.percentile(50.0)),
                number(half.percentile(99.0)),
                number(half.percentile(99.9)),
                number(half.publish.records_per_second()),
                half.failed,
                half.peak_bytes >> 20,
                number(half.log_bytes as f64),
            );
            if let Some(failure) = &half.failure {
                note!("  {system}, {name}: THE LOAD ENDED: {failure}");
            }
            if half.health.failed > 0 {
                note!("  {system}, {name}: /healthz did not answer {} times", half.health.failed);
            }
        }
        for (kind, tally) in &self.with.tallies {
            note!("    {}: {}", kind.name(), tally.line());
        }
    }
}

impl HostileResult {
    fn each(&self, quantity: impl Fn(&Round) -> f64) -> Vec<Rounds> {
        self.systems.iter().map(|(_, rounds)| Rounds(rounds.iter().map(&quantity).collect())).collect()
    }

    /// A quantity of both halves, a line each.
    fn both(&self, name: &str, quantity: impl Fn(&Half) -> f64) -> [(String, Vec<Rounds>); 2] {
        [
            (format!("{name} without"), self.each(|round| quantity(&round.without))),
            (format!("{name} with"), self.each(|round| quantity(&round.with))),
        ]
    }

    /// Every quantity of the table with its value in every round of every system.
    fn quantities(&self) -> Quantities<'_> {
        let mebibytes = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        let mut lines = Vec::new();
        for at in PERCENTILES {
            lines.extend(self.both(&format!("publish p{at}, us,"), |half| half.percentile(at)));
            let ratio = |round: &Round| round.with.percentile(at) / round.without.percentile(at).max(1.0);
            lines.push((format!("publish p{at}, with / without"), self.each(ratio)));
        }
        lines.extend(self.both("records/s", |half| half.publish.records_per_second()));
        lines.extend(self.both("records failed", |half| half.failed as f64));
        lines.extend(self.both("loads that ended early", |half| f64::from(half.failure.is_some())));
        lines.extend(self.both("resident at most, MiB,", |half| mebibytes(half.peak_bytes)));
        let cpu = |half: &Half| half.usage.as_ref().map_or(0.0, |usage| usage.cpu_seconds);
        lines.extend(self.both("broker CPU, s,", cpu));
        lines.extend(self.both("log, bytes,", |half| half.log_bytes as f64));
        lines.extend(self.both("/healthz not answered", |half| half.health.failed as f64));
        lines.extend(self.both("/healthz slowest, ms,", |half| half.health.slowest_ms as f64));
        let total = |counter: fn(&Tally) -> u64| {
            self.each(|round| round.with.tallies.iter().map(|(_, tally)| counter(tally)).sum::<u64>() as f64)
        };
        lines.extend([
            ("hostile, sent".to_owned(), total(|tally| tally.sent)),
            ("hostile, answered".to_owned(), total(|tally| tally.answered)),
            ("hostile, closed".to_owned(), total(|tally| tally.closed)),
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
            let rounds = self.systems[place].1.iter();
            let rounds =
                rounds.map(|round| json!({ "without": round.without.json(), "with": round.with.json() }));
            [("hostile_rounds".to_owned(), rounds.collect())].into_iter().collect()
        })
    }
}

#[cfg(test)]
mod tests;
