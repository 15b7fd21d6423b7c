//! What may be asked on the command line: the subcommands, their arguments, and the presets.
//!
//! Owns their names, defaults and bounds, and the help that is printed of them; a line that makes no sense
//! ends the process with clap's message. The arguments of a workload are in `workload`, those of the engine
//! alone in `loopback`; what is done with them all is in `command`.

use crate::broker::{System, Target};
use crate::hostile::Kind;
use crate::loopback::LoopbackArgs;
use crate::output::note;
use crate::suite;
use crate::transactions;
use crate::workload::Workload;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use strandline_client::{Access, AccessError};

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

/// Puts the arguments of a preset right behind the subcommand, where all others override them.
pub(crate) fn parse(mut arguments: Vec<String>) -> Line {
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

#[derive(Parser, Debug)]
#[command(
    name = "strandline-bench",
    version,
    args_override_self = true,
    about = "Measures a Kafka broker, any Kafka broker, \
    and checks that everything it acknowledged is there."
)]
pub(crate) struct Line {
    #[command(subcommand)]
    pub(crate) command: What,
}

#[derive(Subcommand, Debug)]
pub(crate) enum What {
    /// Produce, as fast as the broker takes it or by schedule (--rate); then read everything back and check
    /// it.
    #[command(args_override_self = true)]
    Produce(ProduceArgs),
    /// Produce, then read everything from offset 0 and measure that.
    #[command(args_override_self = true)]
    Consume(ConsumeArgs),
    /// Produce with readers at the end of the log: from the intended send to the record in the reader's
    /// hands.
    #[command(args_override_self = true)]
    EndToEnd(EndToEndArgs),
    /// The device alone: durable 4 KiB appends and sequential writing.
    Device(DeviceArgs),
    /// The engine without a network: appends on the shards' own threads, through a front without sockets.
    Loopback(LoopbackArgs),
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
    /// Kill a system with SIGKILL under load, start it again: how long to the first produce, and is
    /// everything there?
    #[command(args_override_self = true)]
    Recovery(RecoveryArgs),
    /// Systems in alternation, A B A B; each started afresh for each round.
    #[command(args_override_self = true)]
    Compare(CompareArgs),
    /// Produce by schedule with a reader at the tail, without and with a reader that reads old records from
    /// the device.
    #[command(args_override_self = true)]
    Mixed(MixedArgs),
    /// Produce by schedule with a reader at the tail, without and with retention and the cleaning of a
    /// compacted topic; check every key.
    #[command(args_override_self = true)]
    Table(TableArgs),
    /// Produce by schedule, without and with clients that mean harm: bombs, floods, amplification, half-open,
    /// never reading, garbage.
    #[command(args_override_self = true)]
    Hostile(HostileArgs),
    /// Produce in transactions that are committed by the clock, and read committed records beside all of
    /// them; check that exactly what was committed is there.
    #[command(args_override_self = true)]
    Transactions(TransactionsArgs),
    /// Consumer groups whose members all come at once and some of whom leave, share groups that work off a
    /// queue, and groups that do nothing.
    #[command(args_override_self = true)]
    Groups(GroupsArgs),
    /// librdkafka's producer and the Java client's performance tool, on systems in alternation.
    StandardClients(StandardClientsArgs),
    /// Everything that the aims of the project ask for, in one table: aim, measured, met. Says before how
    /// long it takes.
    Aims(AimsArgs),
    /// Make one self-contained HTML page with plots from a result that was saved with --json.
    Page {
        /// The saved result.
        result: PathBuf,
        /// The page.
        page: PathBuf,
    },
    /// Servers that do nothing but echo, or nothing but sendfile, beside a broker: small requests, and
    /// reading what is cached.
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

/// How the tool connects.
#[derive(Args, Debug)]
pub(crate) struct AccessArgs {
    /// How to connect, in Kafka's names, as a properties file: security.protocol, ssl.*, sasl.mechanism,
    /// sasl.jaas.config [default: in plaintext]. What is proven has to hold as long as the measurement.
    #[arg(long, value_name = "FILE")]
    command_config: Option<PathBuf>,
}

impl AccessArgs {
    /// How to connect, where that was said.
    ///
    /// # Errors
    /// [`AccessError`].
    fn access(&self) -> Result<Option<Access>, AccessError> {
        let Some(path) = &self.command_config else { return Ok(None) };
        let (access, unknown) = Access::read(path)?;
        if !unknown.is_empty() {
            note!("warning: {}: not understood and passed over: {}", path.display(), unknown.join(" "));
        }
        Ok(Some(access))
    }
}

/// A broker that runs already.
#[derive(Args, Debug)]
pub(crate) struct BrokerArgs {
    /// A broker of the cluster.
    #[arg(long, default_value = "127.0.0.1:9092")]
    pub(crate) broker: String,
    #[command(flatten)]
    access: AccessArgs,
    /// Its process id, to count its CPU, memory and writes.
    #[arg(long)]
    pub(crate) pid: Option<u32>,
    /// Its data directory, to count what its device does.
    #[arg(long)]
    pub(crate) data: Option<PathBuf>,
    /// Configuration of the topic, as name=value; may be repeated.
    #[arg(long = "topic-config", value_parser = pair)]
    pub(crate) topic_configs: Vec<(String, String)>,
    /// Also write the result, with raw histograms, to this file.
    #[arg(long)]
    pub(crate) json: Option<PathBuf>,
    /// A named workload, to which the other options are applied: standard, small, single, large,
    /// many-partitions, many-connections, keyed, leader (acks=1), compressed.
    #[arg(long)]
    pub(crate) preset: Option<String>,
}

impl BrokerArgs {
    pub(crate) fn target(&self) -> Target {
        Target {
            bootstrap: self.broker.clone(),
            pid: self.pid,
            data: self.data.clone(),
            topic_configs: self.topic_configs.clone(),
        }
    }
}

impl What {
    /// How to connect to the broker that is measured, where that was said.
    ///
    /// # Errors
    /// [`AccessError`].
    pub(crate) fn access(&self) -> Result<Option<Access>, AccessError> {
        match self {
            What::Produce(ProduceArgs { broker, .. })
            | What::Consume(ConsumeArgs { broker, .. })
            | What::EndToEnd(EndToEndArgs { broker, .. })
            | What::Curve(SeriesArgs { broker, .. }) => broker.access.access(),
            What::Partitions(args) => args.series.broker.access.access(),
            What::Compare(args) => args.access.access(),
            _ => Ok(None),
        }
    }
}

#[derive(Args, Debug)]
pub(crate) struct ProduceArgs {
    #[command(flatten)]
    pub(crate) broker: BrokerArgs,
    #[command(flatten)]
    pub(crate) workload: Workload,
    /// Readers that check everything afterwards; 0 to leave it unchecked.
    #[arg(long, default_value_t = 1)]
    pub(crate) check_readers: u32,
}

#[derive(Args, Debug)]
pub(crate) struct ConsumeArgs {
    #[command(flatten)]
    pub(crate) broker: BrokerArgs,
    #[command(flatten)]
    pub(crate) workload: Workload,
    /// Readers, which share the partitions.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) readers: u32,
    /// Take what is to be read out of the page cache before; needs --data.
    #[arg(long, requires = "data")]
    pub(crate) cold: bool,
}

#[derive(Args, Debug)]
pub(crate) struct EndToEndArgs {
    #[command(flatten)]
    pub(crate) broker: BrokerArgs,
    #[command(flatten)]
    pub(crate) workload: Workload,
    /// Readers, which share the partitions.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) readers: u32,
}

#[derive(Args, Debug)]
pub(crate) struct DeviceArgs {
    /// A directory on the device.
    #[arg(long, default_value = ".")]
    pub(crate) dir: PathBuf,
    /// Seconds.
    #[arg(long, default_value_t = 6)]
    pub(crate) seconds: u64,
    /// Also write the result to this file.
    #[arg(long)]
    pub(crate) json: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct SelfTestArgs {
    #[command(flatten)]
    pub(crate) workload: Workload,
    /// The highest rate that was reported elsewhere, in records a second: fail when the ceiling is not 3
    /// times that.
    #[arg(long)]
    pub(crate) highest: Option<f64>,
    /// The same for reading.
    #[arg(long)]
    pub(crate) highest_read: Option<f64>,
    /// Also write the result to this file.
    #[arg(long)]
    pub(crate) json: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct RoundsArgs {
    #[command(flatten)]
    pub(crate) workload: Workload,
    /// Rounds.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) rounds: u32,
    /// Where the data directories of the brokers are made, each for one round.
    #[arg(long, default_value = ".")]
    pub(crate) dir: PathBuf,
    /// Also write the result, every round of it, to this file.
    #[arg(long)]
    pub(crate) json: Option<PathBuf>,
    /// See `produce --help`.
    #[arg(long)]
    pub(crate) preset: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct BaselineArgs {
    #[command(flatten)]
    pub(crate) rounds: RoundsArgs,
    /// The broker's binary; the one beside this tool when nothing is given.
    #[arg(long)]
    pub(crate) strandline: Option<PathBuf>,
    /// An argument more for the broker, e.g. --broker-arg=--shards=1; may be repeated.
    #[arg(long = "broker-arg", allow_hyphen_values = true)]
    pub(crate) broker_args: Vec<String>,
}

#[derive(Args, Debug)]
pub(crate) struct CompareArgs {
    #[command(flatten)]
    pub(crate) rounds: RoundsArgs,
    #[command(flatten)]
    pub(crate) systems: SystemsArgs,
    #[command(flatten)]
    access: AccessArgs,
    /// Readers at the tail while the load runs: what the broker uses is then for both.
    #[arg(long, default_value_t = 0)]
    pub(crate) tail_readers: u32,
}

/// Who takes part.
#[derive(Args, Debug)]
pub(crate) struct SystemsArgs {
    /// The broker's binary; the one beside this tool when nothing is given.
    #[arg(long)]
    pub(crate) strandline: Option<PathBuf>,
    /// The script that runs Apache Kafka.
    #[arg(long, default_value = "bench/peers/kafka/kafka.sh")]
    pub(crate) kafka: PathBuf,
    /// Compare these instead, each as name=command with {data} and {port}; the command must become the
    /// broker. May be repeated.
    #[arg(long = "system", value_parser = pair)]
    pub(crate) systems: Vec<(String, String)>,
}

impl SystemsArgs {
    pub(crate) fn systems(&self) -> io::Result<Vec<System>> {
        if self.systems.is_empty() {
            return suite::default_systems(self.strandline.clone(), &self.kafka);
        }
        Ok(self.systems.iter().map(|(name, command)| System::parse(name.clone(), command)).collect())
    }
}

#[derive(Args, Debug)]
pub(crate) struct MixedArgs {
    #[command(flatten)]
    pub(crate) rounds: RoundsArgs,
    #[command(flatten)]
    pub(crate) systems: SystemsArgs,
    /// What the late reader reads, over and over, in 10^6 bytes.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) history: u64,
    /// Configuration of all topics, as name=value, e.g. of retention or compaction; may be repeated.
    #[arg(long = "topic-config", value_parser = pair)]
    pub(crate) topic_configs: Vec<(String, String)>,
}

#[derive(Args, Debug)]
pub(crate) struct TableArgs {
    #[command(flatten)]
    pub(crate) rounds: RoundsArgs,
    /// The broker's binary [default: the one beside this tool].
    #[arg(long)]
    pub(crate) strandline: Option<PathBuf>,
    /// Keys of the table.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    pub(crate) table_keys: u64,
    /// Updates of them, all together.
    #[arg(long, default_value_t = 10_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) table_updates: u64,
    /// Bytes of a value.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(8..=1_000))]
    pub(crate) table_value_bytes: u32,
}

#[derive(Args, Debug)]
pub(crate) struct HostileArgs {
    #[command(flatten)]
    pub(crate) rounds: RoundsArgs,
    /// The broker's binary [default: the one beside this tool].
    #[arg(long)]
    pub(crate) strandline: Option<PathBuf>,
    /// Measure these instead, each as name=command with {data} and {port}, {metrics} where it answers
    /// /healthz, and {tls} where it speaks TLS; the command must become the broker. May be repeated.
    #[arg(long = "system", value_parser = pair)]
    pub(crate) systems: Vec<(String, String)>,
    /// Only mean clients of these kinds [default: all but handshakes, which want a port with TLS,
    /// and rest, which is no mean client].
    #[arg(long, value_enum, value_delimiter = ',')]
    pub(crate) only: Vec<Kind>,
    /// Partitions of the topic whose answers are large.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) wide_partitions: u32,
    /// MiB that a compression bomb unpacks to, where the codec can do that within a batch of 1 MB.
    #[arg(long, default_value_t = 255, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(crate) bomb_megabytes: u32,
}

#[derive(Args, Debug)]
pub(crate) struct TransactionsArgs {
    #[command(flatten)]
    pub(crate) systems: SystemsArgs,
    /// Beside Strandline and Kafka also Strandline without its syncs, and Kafka with one for every batch.
    #[arg(long)]
    pub(crate) both_ways: bool,
    /// The numbers of partitions that a transaction writes to.
    #[arg(long, value_delimiter = ',', default_value = "1,100", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) partitions: Vec<u32>,
    /// How long transactions are open, in milliseconds, each with each number of partitions.
    #[arg(long, value_delimiter = ',', default_value = "100,10", value_parser = clap::value_parser!(u64).range(1..=60_000))]
    pub(crate) every_ms: Vec<u64>,
    /// Producers, each with a transactional id and a connection of its own.
    #[arg(long, default_value_t = transactions::PRODUCERS, value_parser = clap::value_parser!(u32).range(1..=256))]
    pub(crate) producers: u32,
    /// Bytes of a record's value (at least 32).
    #[arg(long, default_value_t = 1024, value_parser = clap::value_parser!(u32).range(32..=1_000_000))]
    pub(crate) record_bytes: u32,
    /// The most records of a batch.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) records_per_batch: u32,
    /// The most records of a request, which has a batch for every partition.
    #[arg(long, default_value_t = transactions::REQUEST_RECORDS, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) request_records: u32,
    /// The most requests of a producer that are not answered yet.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=5))]
    pub(crate) in_flight: u32,
    /// Records a second of all producers together in the runs by schedule, in which commit latencies are
    /// compared.
    #[arg(long, default_value_t = transactions::RATE)]
    pub(crate) rate: f64,
    /// What the readers read, over and over, in 10^6 bytes.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) history: u64,
    /// Seconds for which a system that was started is warmed up, once.
    #[arg(long, default_value_t = 5)]
    pub(crate) warmup: u64,
    /// Seconds of each measurement.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(crate) seconds: u64,
    /// Rounds.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) rounds: u32,
    /// Where the data directories of the brokers are made, each for one round.
    #[arg(long, default_value = ".")]
    pub(crate) dir: PathBuf,
    /// Also write the result, every round of it, to this file.
    #[arg(long)]
    pub(crate) json: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct StandardClientsArgs {
    #[command(flatten)]
    pub(crate) systems: SystemsArgs,
    /// The script that compiles and runs librdkafka's producer.
    #[arg(long, default_value = "bench/peers/librdkafka/librdkafka.sh")]
    pub(crate) librdkafka: PathBuf,
    /// Records of each run.
    #[arg(long, default_value_t = 2_000_000, value_parser = clap::value_parser!(u64).range(1000..))]
    pub(crate) records: u64,
    /// Bytes of a record's value.
    #[arg(long, default_value_t = 1024, value_parser = clap::value_parser!(u32).range(11..=1_048_576))]
    pub(crate) record_bytes: u32,
    /// Partitions of each topic.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) partitions: u32,
    /// Rounds.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) rounds: u32,
    /// Where the data directories of the brokers are made, each for one run.
    #[arg(long, default_value = ".")]
    pub(crate) dir: PathBuf,
    /// Also write the result, every round of it, to this file.
    #[arg(long)]
    pub(crate) json: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct AimsArgs {
    /// Rounds of each measurement.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) rounds: u32,
    /// Seconds before each measurement: a JVM needs them.
    #[arg(long, default_value_t = 10)]
    pub(crate) warmup: u64,
    /// Seconds of each measurement.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(crate) seconds: u64,
    /// What late readers read, in 10^6 bytes.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) history: u64,
    /// One short round: whether everything runs. Its figures are no results.
    #[arg(long, conflicts_with_all = ["rounds", "warmup", "seconds", "history"])]
    pub(crate) quick: bool,
    /// Only the aims with these numbers, as the table in docs/benchmarking.md counts them.
    #[arg(long, value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..=11))]
    pub(crate) only: Vec<u32>,
    /// Where the data directories of the brokers are made, each for one round.
    #[arg(long, default_value = ".")]
    pub(crate) dir: PathBuf,
    /// The broker's binary; the one beside this tool when nothing is given.
    #[arg(long)]
    pub(crate) strandline: Option<PathBuf>,
    /// The script that runs Apache Kafka.
    #[arg(long, default_value = "bench/peers/kafka/kafka.sh")]
    pub(crate) kafka: PathBuf,
    /// Also write everything to this file, again after each aim.
    #[arg(long)]
    pub(crate) json: Option<PathBuf>,
    /// Also make a page with plots.
    #[arg(long)]
    pub(crate) page: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct ReferencesArgs {
    /// Rounds.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) rounds: u32,
    /// Seconds of each measurement.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(crate) seconds: u64,
    /// Seconds before it.
    #[arg(long, default_value_t = 3)]
    pub(crate) warmup: u64,
    /// What is there to read, in 10^6 bytes. It must fit the page cache.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) megabytes: u64,
    /// Where the data directories of the brokers are made, each for one round.
    #[arg(long, default_value = ".")]
    pub(crate) dir: PathBuf,
    /// The broker's binary; the one beside this tool when nothing is given.
    #[arg(long)]
    pub(crate) strandline: Option<PathBuf>,
    /// Also write the result, every round of it, to this file.
    #[arg(long)]
    pub(crate) json: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct SeriesArgs {
    #[command(flatten)]
    pub(crate) broker: BrokerArgs,
    #[command(flatten)]
    pub(crate) workload: Workload,
}

#[derive(Args, Debug)]
pub(crate) struct PartitionsArgs {
    #[command(flatten)]
    pub(crate) series: SeriesArgs,
    /// The numbers of partitions.
    #[arg(long, value_delimiter = ',', default_value = "1,16,100,1000,10000")]
    pub(crate) counts: Vec<u32>,
}

#[derive(Args, Debug)]
pub(crate) struct GroupsArgs {
    #[command(flatten)]
    pub(crate) systems: SystemsArgs,
    /// Members that join a consumer group at once, a number a run.
    #[arg(long, value_delimiter = ',', default_value = "100,1000", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) members: Vec<u32>,
    /// Partitions that they share.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) partitions: u32,
    /// How often a member says that it is there, in milliseconds.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u64).range(1..=60_000))]
    pub(crate) heartbeat_ms: u64,
    /// Consumers of a share group on one partition, a number a run.
    #[arg(long, value_delimiter = ',', default_value = "1,10,100", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) consumers: Vec<u32>,
    /// Records that wait in it.
    #[arg(long, default_value_t = 400_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) backlog: u64,
    /// Bytes of a record's value (at least 32).
    #[arg(long, default_value_t = 1024, value_parser = clap::value_parser!(u32).range(32..=1_000_000))]
    pub(crate) record_bytes: u32,
    /// The longest that they work, in seconds.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(crate) seconds: u64,
    /// Groups that do nothing; 0 for none.
    #[arg(long, default_value_t = 10_000)]
    pub(crate) idle: u32,
    /// Rounds.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) rounds: u32,
    /// Where data directories are made.
    #[arg(long, default_value = ".")]
    pub(crate) dir: PathBuf,
    /// Everything that was measured, as JSON, into this file.
    #[arg(long)]
    pub(crate) json: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct RecoveryArgs {
    #[command(flatten)]
    pub(crate) rounds: RoundsArgs,
    /// The broker's binary; the one beside this tool when nothing is given.
    #[arg(long)]
    pub(crate) strandline: Option<PathBuf>,
    /// Kill this instead, as name=command with {data} and {port}; the command must become the broker.
    #[arg(long, value_parser = pair)]
    pub(crate) system: Option<(String, String)>,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected name=value")?;
    Ok((name.to_owned(), value.to_owned()))
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
