//! The command line.

use crate::aims::Aims;
use crate::broker::{System, Target};
use crate::canned::Canned;
use crate::client::Client;
use crate::clients::Clients;
use crate::measure::{self, Also, MeasureError, Measured, cpu_per_million, flushes_per_million};
use crate::mixed::Mixed;
use crate::progress::Progress;
use crate::report::{self, Table, number};
use crate::samples::Samples;
use crate::series::{self, Point};
use crate::suite::{self, Suite};
use crate::table::{self, TableSize};
use crate::workload::{Compression, Workload};
use crate::{bare, device, loopback, mixed, null_broker, recovery, references, self_test};
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use serde_json::{Map, json};
use std::cell::Cell;
use std::fs::{self, File};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::time::Duration;

/// Named workloads: what they put before the arguments that are given.
const PRESETS: [(&str, &[&str]); 9] = [
    ("standard", &[]),
    ("small", &["--record-bytes", "100", "--records-per-batch", "100"]),
    (
        "single",
        &["--record-bytes", "100", "--records-per-batch", "1", "--producers", "64", "--in-flight", "1"],
    ),
    ("large", &["--record-bytes", "65536", "--records-per-batch", "1"]),
    ("many-partitions", &["--partitions", "1000", "--batches-per-request", "16"]),
    ("many-connections", &["--producers", "1000", "--in-flight", "1"]),
    ("keyed", &["--keys", "100000"]),
    ("leader", &["--acks", "1"]),
    ("compressed", &["--codec", "lz4", "--records-per-batch", "64"]),
];

#[derive(Parser, Debug)]
#[command(
    name = "strandline-bench",
    version,
    args_override_self = true,
    about = "Measures a Kafka broker, any Kafka broker, \
    and checks that everything it acknowledged is there."
)]
struct Line {
    #[command(subcommand)]
    command: What,
}

#[derive(Subcommand, Debug)]
enum What {
    /// Produce, as fast as the broker takes it or by schedule (--rate); then read everything back and check it.
    #[command(args_override_self = true)]
    Produce(ProduceArgs),
    /// Produce, then read everything from offset 0 and measure that.
    #[command(args_override_self = true)]
    Consume(ConsumeArgs),
    /// Produce with readers at the end of the log: from the intended send to the record in the reader's hands.
    #[command(args_override_self = true)]
    EndToEnd(EndToEndArgs),
    /// The device alone: durable 4 KiB appends and sequential writing.
    Device(DeviceArgs),
    /// The engine without a network: appends on the shards' own threads, through a front without sockets.
    Loopback(loopback::LoopbackArgs),
    /// What the tool itself can do, and whether it sees a broker that stands still for 100 ms.
    #[command(args_override_self = true)]
    SelfTest(SelfTestArgs),
    /// Strandline in both of its modes, durable and not, in alternation.
    #[command(args_override_self = true)]
    Baseline(BaselineArgs),
    /// The most that a broker takes, and the latency at 10, 25, 50, 75, 90 and 100 % of it.
    #[command(args_override_self = true)]
    Curve(SeriesArgs),
    /// The same workload on topics of more and more partitions.
    #[command(args_override_self = true)]
    Partitions(PartitionsArgs),
    /// Kill a system with SIGKILL under load, start it again: how long to the first produce, and is everything there?
    #[command(args_override_self = true)]
    Recovery(RecoveryArgs),
    /// Systems in alternation, A B A B; each started afresh for each round.
    #[command(args_override_self = true)]
    Compare(CompareArgs),
    /// Produce by schedule with a reader at the tail, without and with a reader that reads old records from the device.
    #[command(args_override_self = true)]
    Mixed(MixedArgs),
    /// Produce by schedule with a reader at the tail, without and with retention and the cleaning of a compacted topic; check every key.
    #[command(args_override_self = true)]
    Table(TableArgs),
    /// librdkafka's producer and the Java client's performance tool, on systems in alternation.
    StandardClients(StandardClientsArgs),
    /// Everything that the aims of the project ask for, in one table: aim, measured, met. Says before how long it takes.
    Aims(AimsArgs),
    /// Make one self-contained HTML page with plots from a result that was saved with --json.
    Page {
        /// The saved result.
        result: PathBuf,
        /// The page.
        page: PathBuf,
    },
    /// Servers that do nothing but echo, or nothing but sendfile, beside a broker: small requests, and reading what is cached.
    References(ReferencesArgs),
    #[command(hide = true)]
    NullBroker {
        #[arg(long)]
        listen: SocketAddr,
        /// How much there is to be read, as the workload would have sent it.
        #[arg(long, default_value_t = 0)]
        canned_bytes: usize,
        #[command(flatten)]
        workload: Workload,
    },
    #[command(hide = true)]
    EchoServer {
        #[arg(long)]
        listen: SocketAddr,
    },
    #[command(hide = true)]
    SendfileServer {
        #[arg(long)]
        listen: SocketAddr,
        #[arg(long)]
        file: PathBuf,
    },
}

/// A broker that runs already.
#[derive(Args, Debug)]
struct BrokerArgs {
    /// A broker of the cluster.
    #[arg(long, default_value = "127.0.0.1:9092")]
    broker: String,
    /// Its process id, to count its CPU, memory and writes.
    #[arg(long)]
    pid: Option<u32>,
    /// Its data directory, to count what its device does.
    #[arg(long)]
    data: Option<PathBuf>,
    /// Configuration of the topic, as name=value; may be repeated.
    #[arg(long = "topic-config", value_parser = pair)]
    topic_configs: Vec<(String, String)>,
    /// Also write the result, with raw histograms, to this file.
    #[arg(long)]
    json: Option<PathBuf>,
    /// A named workload, to which the other options are applied: standard, small, single, large, many-partitions,
    /// many-connections, keyed, leader (acks=1), compressed.
    #[arg(long)]
    preset: Option<String>,
}

impl BrokerArgs {
    fn target(&self) -> Target {
        Target {
            bootstrap: self.broker.clone(),
            pid: self.pid,
            data: self.data.clone(),
            topic_configs: self.topic_configs.clone(),
        }
    }
}

#[derive(Args, Debug)]
struct ProduceArgs {
    #[command(flatten)]
    broker: BrokerArgs,
    #[command(flatten)]
    workload: Workload,
    /// Readers that check everything afterwards; 0 to leave it unchecked.
    #[arg(long, default_value_t = 1)]
    check_readers: u32,
}

#[derive(Args, Debug)]
struct ConsumeArgs {
    #[command(flatten)]
    broker: BrokerArgs,
    #[command(flatten)]
    workload: Workload,
    /// Readers, which share the partitions.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    readers: u32,
    /// Take what is to be read out of the page cache before; needs --data.
    #[arg(long, requires = "data")]
    cold: bool,
}

#[derive(Args, Debug)]
struct EndToEndArgs {
    #[command(flatten)]
    broker: BrokerArgs,
    #[command(flatten)]
    workload: Workload,
    /// Readers, which share the partitions.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    readers: u32,
}

#[derive(Args, Debug)]
struct DeviceArgs {
    /// A directory on the device.
    #[arg(long, default_value = ".")]
    dir: PathBuf,
    /// Seconds.
    #[arg(long, default_value_t = 6)]
    seconds: u64,
    /// Also write the result to this file.
    #[arg(long)]
    json: Option<PathBuf>,
}

#[derive(Args, Debug)]
struct SelfTestArgs {
    #[command(flatten)]
    workload: Workload,
    /// The highest rate that was reported elsewhere, in records a second: fail when the ceiling is not 3 times that.
    #[arg(long)]
    highest: Option<f64>,
    /// The same for reading.
    #[arg(long)]
    highest_read: Option<f64>,
    /// Also write the result to this file.
    #[arg(long)]
    json: Option<PathBuf>,
}

#[derive(Args, Debug)]
struct RoundsArgs {
    #[command(flatten)]
    workload: Workload,
    /// Rounds.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Where the data directories of the brokers are made, each for one round.
    #[arg(long, default_value = ".")]
    dir: PathBuf,
    /// Also write the result, every round of it, to this file.
    #[arg(long)]
    json: Option<PathBuf>,
    /// See `produce --help`.
    #[arg(long)]
    preset: Option<String>,
}

#[derive(Args, Debug)]
struct BaselineArgs {
    #[command(flatten)]
    rounds: RoundsArgs,
    /// The broker's binary; the one beside this tool when nothing is given.
    #[arg(long)]
    strandline: Option<PathBuf>,
    /// An argument more for the broker, e.g. --broker-arg=--shards=1; may be repeated.
    #[arg(long = "broker-arg", allow_hyphen_values = true)]
    broker_args: Vec<String>,
}

#[derive(Args, Debug)]
struct CompareArgs {
    #[command(flatten)]
    rounds: RoundsArgs,
    #[command(flatten)]
    systems: SystemsArgs,
    /// Readers at the tail while the load runs: what the broker uses is then for both.
    #[arg(long, default_value_t = 0)]
    tail_readers: u32,
}

/// Who takes part.
#[derive(Args, Debug)]
struct SystemsArgs {
    /// The broker's binary; the one beside this tool when nothing is given.
    #[arg(long)]
    strandline: Option<PathBuf>,
    /// The script that runs Apache Kafka.
    #[arg(long, default_value = "bench/peers/kafka/kafka.sh")]
    kafka: PathBuf,
    /// Compare these instead, each as name=command with {data} and {port}; the command must become the broker. May be repeated.
    #[arg(long = "system", value_parser = pair)]
    systems: Vec<(String, String)>,
}

impl SystemsArgs {
    fn systems(&self) -> io::Result<Vec<System>> {
        if self.systems.is_empty() {
            return suite::default_systems(self.strandline.clone(), &self.kafka);
        }
        Ok(self.systems.iter().map(|(name, command)| System::parse(name.clone(), command)).collect())
    }
}

#[derive(Args, Debug)]
struct MixedArgs {
    #[command(flatten)]
    rounds: RoundsArgs,
    #[command(flatten)]
    systems: SystemsArgs,
    /// What the late reader reads, over and over, in 10^6 bytes.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..))]
    history: u64,
    /// Configuration of all topics, as name=value, e.g. of retention or compaction; may be repeated.
    #[arg(long = "topic-config", value_parser = pair)]
    topic_configs: Vec<(String, String)>,
}

#[derive(Args, Debug)]
struct TableArgs {
    #[command(flatten)]
    rounds: RoundsArgs,
    /// The broker's binary [default: the one beside this tool].
    #[arg(long)]
    strandline: Option<PathBuf>,
    /// Keys of the table.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    table_keys: u64,
    /// Updates of them, all together.
    #[arg(long, default_value_t = 10_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    table_updates: u64,
    /// Bytes of a value.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(8..=1_000))]
    table_value_bytes: u32,
}

#[derive(Args, Debug)]
struct StandardClientsArgs {
    #[command(flatten)]
    systems: SystemsArgs,
    /// The script that compiles and runs librdkafka's producer.
    #[arg(long, default_value = "bench/peers/librdkafka/librdkafka.sh")]
    librdkafka: PathBuf,
    /// Records of each run.
    #[arg(long, default_value_t = 2_000_000, value_parser = clap::value_parser!(u64).range(1000..))]
    records: u64,
    /// Bytes of a record's value.
    #[arg(long, default_value_t = 1024, value_parser = clap::value_parser!(u32).range(11..=1_048_576))]
    record_bytes: u32,
    /// Partitions of each topic.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..))]
    partitions: u32,
    /// Rounds.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Where the data directories of the brokers are made, each for one run.
    #[arg(long, default_value = ".")]
    dir: PathBuf,
    /// Also write the result, every round of it, to this file.
    #[arg(long)]
    json: Option<PathBuf>,
}

#[derive(Args, Debug)]
struct AimsArgs {
    /// Rounds of each measurement.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Seconds before each measurement: a JVM needs them.
    #[arg(long, default_value_t = 10)]
    warmup: u64,
    /// Seconds of each measurement.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// What late readers read, in 10^6 bytes.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..))]
    history: u64,
    /// One short round: whether everything runs. Its figures are no results.
    #[arg(long, conflicts_with_all = ["rounds", "warmup", "seconds", "history"])]
    quick: bool,
    /// Only the aims with these numbers, as the table in docs/benchmarking.md counts them.
    #[arg(long, value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..=10))]
    only: Vec<u32>,
    /// Where the data directories of the brokers are made, each for one round.
    #[arg(long, default_value = ".")]
    dir: PathBuf,
    /// The broker's binary; the one beside this tool when nothing is given.
    #[arg(long)]
    strandline: Option<PathBuf>,
    /// The script that runs Apache Kafka.
    #[arg(long, default_value = "bench/peers/kafka/kafka.sh")]
    kafka: PathBuf,
    /// Also write everything to this file, again after each aim.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Also make a page with plots.
    #[arg(long)]
    page: Option<PathBuf>,
}

#[derive(Args, Debug)]
struct ReferencesArgs {
    /// Rounds.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Seconds of each measurement.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// Seconds before it.
    #[arg(long, default_value_t = 3)]
    warmup: u64,
    /// What is there to read, in 10^6 bytes. It must fit the page cache.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..))]
    megabytes: u64,
    /// Where the data directories of the brokers are made, each for one round.
    #[arg(long, default_value = ".")]
    dir: PathBuf,
    /// The broker's binary; the one beside this tool when nothing is given.
    #[arg(long)]
    strandline: Option<PathBuf>,
    /// Also write the result, every round of it, to this file.
    #[arg(long)]
    json: Option<PathBuf>,
}

#[derive(Args, Debug)]
struct SeriesArgs {
    #[command(flatten)]
    broker: BrokerArgs,
    #[command(flatten)]
    workload: Workload,
}

#[derive(Args, Debug)]
struct PartitionsArgs {
    #[command(flatten)]
    series: SeriesArgs,
    /// The numbers of partitions.
    #[arg(long, value_delimiter = ',', default_value = "1,16,100,1000,10000")]
    counts: Vec<u32>,
}

#[derive(Args, Debug)]
struct RecoveryArgs {
    #[command(flatten)]
    rounds: RoundsArgs,
    /// The broker's binary; the one beside this tool when nothing is given.
    #[arg(long)]
    strandline: Option<PathBuf>,
    /// Kill this instead, as name=command with {data} and {port}; the command must become the broker.
    #[arg(long, value_parser = pair)]
    system: Option<(String, String)>,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected name=value")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// Does what the command line says.
pub(crate) fn run() -> Result<(), MeasureError> {
    let line = parse(std::env::args().collect());
    crate::broker::stop_on_signals()?;
    match line.command {
        What::Produce(args) => {
            let also = Also { catch_up_readers: args.check_readers, ..Also::NOTHING };
            single("produce", &args.broker, &args.workload, also)
        }
        What::Consume(args) => {
            let also = Also { catch_up_readers: args.readers, cold: args.cold, ..Also::NOTHING };
            single("consume", &args.broker, &args.workload, also)
        }
        What::EndToEnd(args) => {
            if args.workload.codec != Compression::None {
                return Err(MeasureError::CompressedStamps);
            }
            single(
                "end-to-end",
                &args.broker,
                &args.workload,
                Also { tail_readers: args.readers, ..Also::NOTHING },
            )
        }
        What::Device(args) => {
            let device = device::measure(&args.dir, Duration::from_secs(args.seconds))?;
            println!("{}", device.line());
            let result = json!({ "environment": report::environment(), "device": device.json() });
            Ok(report::save(args.json.as_deref(), &result)?)
        }
        What::Loopback(args) => Ok(loopback::run(&args)?),
        What::SelfTest(args) => {
            self_test::run(&args.workload, args.highest, args.highest_read, args.json.as_deref())
        }
        What::Baseline(args) => {
            let systems = suite::own_systems(args.strandline, &args.broker_args)?;
            rounds("baseline", args.rounds, systems, Also::CHECK)
        }
        What::Curve(args) => several("curve", &args, series::curve),
        What::Partitions(args) => {
            let counts = args.counts;
            several("partitions", &args.series, |target, workload| {
                series::partitions(target, workload, &counts)
            })
        }
        What::Recovery(args) => {
            let system = match args.system {
                Some((name, command)) => System::parse(name, &command),
                None => suite::own_systems(args.strandline, &[])?.swap_remove(0),
            };
            let environment = report::environment();
            println!("{}\nrecovery: {}", report::environment_line(&environment), args.rounds.workload.line());
            let found = recovery::run(&system, &args.rounds.workload, args.rounds.rounds, &args.rounds.dir)?;
            print!("{}", found.text(&system));
            let result = json!({
                "what": "recovery", "environment": environment, "workload": args.rounds.workload.json(),
                "system": system.command.join(" "), "result": found.json(),
            });
            Ok(report::save(args.rounds.json.as_deref(), &result)?)
        }
        What::Compare(args) => {
            let systems = args.systems.systems()?;
            let also = Also { tail_readers: args.tail_readers, ..Also::CHECK };
            rounds("compare", args.rounds, systems, also)
        }
        What::Mixed(args) => late_reader(args),
        What::Table(args) => cleaned_table(args),
        What::StandardClients(args) => standard_clients(args),
        What::Aims(args) => aims(args),
        What::Page { result, page } => {
            let result = serde_json::from_slice(&fs::read(&result)?).map_err(io::Error::from)?;
            Ok(fs::write(page, report::page(&result))?)
        }
        What::References(args) => references(&args),
        What::NullBroker { listen, canned_bytes, workload } => {
            let log = Canned::new(&workload, canned_bytes)?;
            Ok(null_broker::serve(TcpListener::bind(listen)?, log)?)
        }
        What::EchoServer { listen } => Ok(bare::echo(TcpListener::bind(listen)?)?),
        What::SendfileServer { listen, file } => {
            Ok(bare::sendfile(TcpListener::bind(listen)?, File::open(file)?)?)
        }
    }
}

/// Puts the arguments of a preset right behind the subcommand, where all others override them.
fn parse(mut arguments: Vec<String>) -> Line {
    let named =
        arguments.iter().enumerate().find_map(|(place, argument)| match argument.strip_prefix("--preset") {
            Some("") => arguments.get(place + 1).cloned(),
            Some(rest) => rest.strip_prefix('=').map(str::to_owned),
            None => None,
        });
    if let Some(name) = named {
        match PRESETS.iter().find(|(preset, _)| *preset == name) {
            Some((_, preset)) if arguments.len() > 1 => {
                arguments.splice(2..2, preset.iter().map(|argument| argument.to_string()));
            }
            _ => {
                let known = PRESETS.map(|(preset, _)| preset).join(", ");
                Line::command()
                    .error(
                        clap::error::ErrorKind::InvalidValue,
                        format!("no preset {name:?}; there are: {known}"),
                    )
                    .exit()
            }
        }
    }
    let matches = Line::command().get_matches_from(arguments);
    Line::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
}

fn single(what: &str, args: &BrokerArgs, workload: &Workload, also: Also) -> Result<(), MeasureError> {
    let environment = report::environment();
    println!("{}\n{what}: {}", report::environment_line(&environment), workload.line());
    println!("{} s of warm-up are not counted", workload.warmup);
    let target = args.target();
    // Say at once when nothing listens there.
    Client::connect(&target.bootstrap)?;
    let measured = measure::run(&target, workload, also, &Progress::default())?;
    print(&measured);
    let result = json!({
        "what": what, "environment": environment, "workload": workload.json(),
        "topic_configs": args.topic_configs, "result": measured.json(),
    });
    Ok(report::save(args.json.as_deref(), &result)?)
}

fn print(measured: &Measured) {
    let mut columns = vec!["publish"];
    let mut samples = vec![&measured.load.publish];
    if let Some(tail) = &measured.tail {
        columns.push("end to end");
        samples.push(&tail.samples);
    }
    let mut table = Table::new(columns.into_iter().map(str::to_owned).collect());
    let mut line = |name: &str, cell: &dyn Fn(&Samples) -> String| {
        table.line(name, samples.iter().map(|samples| cell(samples)).collect());
    };
    line("records/s", &|samples| number(samples.records_per_second()));
    line("MB/s", &|samples| number(samples.megabytes_per_second()));
    for percentile in crate::samples::PERCENTILES {
        line(&format!("p{percentile} us"), &|samples| {
            number(samples.total().value_at_percentile(percentile) as f64)
        });
    }
    line("max us", &|samples| number(samples.total().max() as f64));
    print!("{}", table.markdown());
    if measured.load.unanswered > 0 {
        println!(
            "WARNING: {} records of the window were not answered; their wait so far is counted",
            measured.load.unanswered
        );
    }
    if let Some(cached) = measured.cached {
        println!("of what was read back, {:.1} % was in the page cache before", 100.0 * cached);
    }
    if let Some(reading) = &measured.catch_up {
        println!(
            "read back: {} records/s, {} MB/s in {:.2} s",
            number(reading.records_per_second()),
            number(reading.megabytes_per_second()),
            reading.seconds
        );
    }
    let cpu = |name, usage: &Option<crate::process::Usage>, records| {
        if let (Some(used), Some(cost)) = (usage, cpu_per_million(usage.as_ref(), records)) {
            println!(
                "broker, {name}: {:.2} CPU seconds, {cost:.3} per million records, resident {} MiB (own {}), {} MB written",
                used.cpu_seconds,
                used.resident_bytes >> 20,
                used.anonymous_bytes >> 20,
                used.written_bytes / 1_000_000,
            );
            if let Some(device) = used.device {
                println!(
                    "its device, {name}: {} flushes, {} per million records, {} MB written, by whomever",
                    number(device.flushes as f64),
                    flushes_per_million(usage.as_ref(), records).map_or("-".to_owned(), number),
                    device.written_bytes / 1_000_000,
                );
            }
        }
    };
    cpu("produce", &measured.produce_usage, measured.load.publish.records());
    cpu("fetch", &measured.fetch_usage, measured.catch_up.as_ref().map_or(0, |reading| reading.records));
    println!(
        "checked: {} of {} acknowledged records read back, in order",
        measured.verified, measured.produced
    );
}

fn several(
    what: &str,
    args: &SeriesArgs,
    run: impl FnOnce(&Target, &Workload) -> Result<Vec<Point>, MeasureError>,
) -> Result<(), MeasureError> {
    let environment = report::environment();
    println!("{}\n{what}: {}", report::environment_line(&environment), args.workload.line());
    let target = args.broker.target();
    let points = run(&target, &args.workload)?;
    print!("{}", series::table(&points));
    let result = json!({
        "what": what, "environment": environment, "workload": args.workload.json(), "result": series::json(&points),
    });
    Ok(report::save(args.broker.json.as_deref(), &result)?)
}

fn late_reader(args: MixedArgs) -> Result<(), MeasureError> {
    let environment = report::environment();
    let workload = Workload { rate: args.rounds.workload.rate.or(Some(mixed::RATE)), ..args.rounds.workload };
    println!("{}\nmixed: {}", report::environment_line(&environment), workload.line());
    let mut systems = args.systems.systems()?;
    for system in &mut systems {
        system.topic_configs.extend_from_slice(&args.topic_configs);
    }
    let mixed =
        Mixed { systems, workload, history_megabytes: args.history, table: None, rounds: args.rounds.rounds };
    let result = mixed.run(&args.rounds.dir)?;
    print!("\n{}", result.text());
    let result = json!({
        "what": "mixed", "environment": environment, "workload": mixed.workload.json(),
        "history_megabytes": mixed.history_megabytes, "topic_configs": args.topic_configs, "result": result.json(),
    });
    Ok(report::save(args.rounds.json.as_deref(), &result)?)
}

fn cleaned_table(args: TableArgs) -> Result<(), MeasureError> {
    let environment = report::environment();
    let workload = Workload { rate: args.rounds.workload.rate.or(Some(mixed::RATE)), ..args.rounds.workload };
    let TableArgs { table_keys: keys, table_updates: updates, table_value_bytes: value_bytes, .. } = args;
    println!(
        "{}\ntable: {keys} keys, {updates} updates of {value_bytes} B; beside it {}",
        report::environment_line(&environment),
        workload.line()
    );
    let arguments = table::ARGUMENTS.map(str::to_owned);
    let systems = suite::own_systems(args.strandline, &arguments)?.into_iter().take(1).collect();
    let table = Some(TableSize { keys, updates, value_bytes });
    let mixed = Mixed { systems, workload, history_megabytes: 0, table, rounds: args.rounds.rounds };
    let result = mixed.run(&args.rounds.dir)?;
    print!("\n{}", result.text());
    let result = json!({
        "what": "table", "environment": environment, "workload": mixed.workload.json(),
        "keys": keys, "updates": updates, "value_bytes": value_bytes, "result": result.json(),
    });
    Ok(report::save(args.rounds.json.as_deref(), &result)?)
}

fn standard_clients(args: StandardClientsArgs) -> Result<(), MeasureError> {
    let environment = report::environment();
    let systems = args.systems.systems()?;
    let StandardClientsArgs { librdkafka, records, record_bytes, partitions, .. } = args;
    println!(
        "{}\nstandard clients: {} records of {record_bytes} B, {partitions} partitions, acks=all, as fast as they send",
        report::environment_line(&environment),
        number(records as f64),
    );
    let clients = Clients { librdkafka, kafka: args.systems.kafka, records, record_bytes, partitions };
    let result = clients.run(systems, args.rounds, &args.dir)?;
    let quantities = result.quantities();
    print!("\n{}", quantities.markdown());
    let result = json!({
        "what": "standard-clients", "environment": environment, "result": quantities.json(|_| Map::new()),
        "settings": { "records": records, "record_bytes": record_bytes, "partitions": partitions },
    });
    Ok(report::save(args.json.as_deref(), &result)?)
}

fn aims(args: AimsArgs) -> Result<(), MeasureError> {
    let environment = report::environment();
    println!("{}", report::environment_line(&environment));
    let (rounds, warmup, seconds, history_megabytes) = match args.quick {
        true => (1, 2, 3, 200),
        false => (args.rounds, args.warmup, args.seconds, args.history),
    };
    let aims = Aims {
        strandline: args.strandline,
        kafka: args.kafka,
        rounds,
        warmup,
        seconds,
        history_megabytes,
        dir: args.dir,
        kafka_most: Cell::new(None),
    };
    let table = aims.run(&args.only, |result| {
        let result = json!({
            "what": "aims", "environment": environment, "result": result,
            "settings": { "rounds": rounds, "warmup_s": warmup, "seconds": seconds, "history_megabytes": history_megabytes },
        });
        if let Some(page) = &args.page {
            fs::write(page, report::page(&result))?;
        }
        Ok(report::save(args.json.as_deref(), &result)?)
    })?;
    print!("\nMedians of {rounds} rounds (smallest-largest).\n\n{table}");
    Ok(())
}

fn references(args: &ReferencesArgs) -> Result<(), MeasureError> {
    let environment = report::environment();
    println!("{}", report::environment_line(&environment));
    let (rounds, dir) = (args.rounds, &args.dir);
    let one_shard = suite::own_systems(args.strandline.clone(), &["--shards=1".to_owned()])?;
    let timed = Workload { warmup: args.warmup, seconds: args.seconds, ..references::small_requests() };
    let requests = references::requests(&one_shard, &timed, rounds, dir)?;
    print!(
        "
{}",
        requests.text()
    );
    let mut systems = suite::own_systems(args.strandline.clone(), &[])?;
    systems.truncate(1);
    let reading = references::reading(&systems, args.megabytes, args.seconds, rounds, dir)?;
    print!(
        "
{}",
        reading.text()
    );
    let result = json!({
        "what": "references", "environment": environment, "workload": timed.json(),
        "requests": requests.json(), "reading": reading.json(),
    });
    Ok(report::save(args.json.as_deref(), &result)?)
}

fn rounds(what: &str, args: RoundsArgs, systems: Vec<System>, also: Also) -> Result<(), MeasureError> {
    let environment = report::environment();
    println!("{}\n{what}: {}", report::environment_line(&environment), args.workload.line());
    let suite = Suite { systems, workload: args.workload, also, rounds: args.rounds, dir: args.dir };
    let result = suite.run()?;
    print!("\n{}", result.text());
    let result = json!({
        "what": what, "environment": environment, "workload": suite.workload.json(), "result": result.json(),
    });
    Ok(report::save(args.json.as_deref(), &result)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workload(line: &str) -> Workload {
        match parse(line.split_whitespace().map(str::to_owned).collect()).command {
            What::Produce(args) => args.workload,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_preset_sets_what_is_not_given() {
        let preset = workload("bench produce --record-bytes 200 --preset small");
        assert_eq!((preset.record_bytes, preset.records_per_batch, preset.producers), (200, 100, 50));
    }

    #[test]
    fn every_preset_is_a_valid_command_line() {
        for (preset, _) in PRESETS {
            assert!(workload(&format!("bench produce --preset {preset}")).partitions > 0);
        }
        Line::command().debug_assert();
    }
}
