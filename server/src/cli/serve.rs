//! `strandline serve`: runs the broker until it is told to stop.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::{Args as ClapArgs, ValueEnum};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use strandline::config::{BrokerConfig, HostPort, SettingError, Settings, cluster_id};
use strandline::log;
use strandline::net::Inherited;
use strandline::serve::{Listening, ServeError, Server};
use strandline_engine::ShardStats;
use strandline_engine::config::ReactorChoice;
use tracing_subscriber::EnvFilter;

use super::common::{DONE, FAILED, USAGE};

#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    /// Where all data is kept [default: ./strandline-data]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Where to listen; port 0 takes any that is free [default: 127.0.0.1:9092]
    #[arg(long, value_name = "HOST:PORT")]
    listen: Option<HostPort>,
    /// Where clients are told to connect to [default: where it listens]
    #[arg(long, value_name = "HOST:PORT")]
    advertise: Option<HostPort>,
    /// Where the HTTP front answers: REST, metrics and health; port 0 takes any that is free [default:
    /// nowhere]
    #[arg(long, value_name = "HOST:PORT")]
    http_listen: Option<HostPort>,
    /// Where the MQTT front answers, 3.1.1 and 5.0; port 0 takes any that is free [default: nowhere]
    #[arg(long, value_name = "HOST:PORT")]
    mqtt_listen: Option<HostPort>,
    /// Where GET /metrics, /healthz and /readyz are answered; port 0 takes any that is free [default:
    /// nowhere]
    #[arg(long, value_name = "HOST:PORT")]
    metrics_listen: Option<HostPort>,
    /// Threads that own partitions; may change from start to start [default: the cores]
    #[arg(long, value_name = "N")]
    shards: Option<usize>,
    /// What the threads of shards run on: io_uring (ring), glommio beside io_uring, or epoll (poll);
    /// auto takes ring, or poll where io_uring is forbidden or not there [default: auto]
    #[arg(long, value_name = "auto|ring|glommio|poll")]
    reactor: Option<ReactorChoice>,
    /// Settings in Kafka's names, as a properties file
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Takes settings from KAFKA_* variables of the environment, over the file's, as Kafka's images do
    /// (KAFKA_LOG_RETENTION_MS is log.retention.ms), and the id of a new cluster from CLUSTER_ID; says on
    /// stdout what Kafka's log says at the end of a start
    #[arg(long)]
    kafka_environment: bool,
    /// One setting, over the file's and the environment's; may be repeated
    #[arg(short, value_name = "NAME=VALUE", value_parser = name_and_value)]
    option: Vec<(String, String)>,
    /// What is logged: error, warn, info, debug, trace, or a filter like strandline=debug
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    log_level: String,
    /// How log lines look; each is one line on stderr, with the time in UTC
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,
}

/// The variable by which Kafka's images are told the id of their cluster.
const CLUSTER_ID: &str = "CLUSTER_ID";

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum LogFormat {
    /// For people: time, level, module, message, fields.
    Text,
    /// A JSON object with timestamp, level, target, message and the fields.
    Json,
}

fn name_and_value(text: &str) -> Result<(String, String), &'static str> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

/// Serves until a signal; the exit code.
pub(super) fn run(args: Args) -> u8 {
    let began = Instant::now();
    if let Err(error) = start_log(&args.log_level, args.log_format) {
        return match error {
            LogError::Filter(_) => {
                log::write_line(&format!("error: --log-level {}: {error}", args.log_level));
                USAGE
            }
            LogError::Start(_) => fail(&error.to_string()),
        };
    }
    // Before any thread runs, so that none is ended by a signal that nobody expected yet.
    let signals = match Signals::new([SIGTERM, SIGINT]) {
        Ok(signals) => signals,
        Err(error) => return fail(&format!("can not wait for signals: {error}")),
    };
    let config = match configure(&args) {
        Ok(config) => config,
        Err(error) => {
            log::write_line(&format!("error: {error}"));
            return USAGE;
        }
    };
    raise_file_limit();
    let data_dir = config.data_dir.clone();
    let started = Inherited::of_process()
        .map_err(ServeError::from)
        .and_then(|inherited| Server::start_on(config, args.shards, inherited));
    let server = match started {
        Ok(server) => server,
        Err(error) => return fail(&error.to_string()),
    };
    tell_start(&server, &data_dir, began);
    // A closed standard output must not end the broker.
    let _ = greet(&server, &data_dir, began);
    if args.kafka_environment {
        let _ = greet_as_kafka(server.handle().meta().node_id);
    }

    if let Some(shard) = until_told(&server, signals) {
        tracing::error!(shard, "a shard has ended: the broker stops");
        let error = server
            .abandon(shard)
            .err()
            .map_or_else(|| format!("shard {shard} has ended"), |it| it.to_string());
        return fail(&format!("{error}; nothing acknowledged is lost, the next start recovers"));
    }
    match server.stop() {
        Ok(stats) => {
            tracing::info!(records = stats.records, batches = stats.batches, "stopped");
            let _ = part(&stats);
            DONE
        }
        Err(error) => fail(&format!("not stopped cleanly, the next start recovers: {error}")),
    }
}

/// What the broker is told while it runs.
enum Told {
    /// A shard has ended by itself.
    Ended(usize),
    /// To read the keys of its listeners anew.
    Renew,
    /// To stop.
    Stop,
}

/// Waits for a signal to stop, or for the number of a shard that ends by itself. A second signal ends the
/// process at once. Where there are keys to be read anew, SIGHUP does that; elsewhere it ends the process, as
/// it always does.
fn until_told(server: &Server, mut signals: Signals) -> Option<usize> {
    if server.has_keys()
        && let Err(error) = signals.add_signal(SIGHUP)
    {
        tracing::warn!(%error, "SIGHUP will not have keys read anew");
    }
    let (told, tells) = std::sync::mpsc::channel();
    let (watch, ended) = (server.watch(), told.clone());
    std::thread::spawn(move || {
        if let Some(shard) = watch.wait() {
            let _ = ended.send(Told::Ended(shard));
        }
    });
    std::thread::spawn(move || {
        let mut is_stopping = false;
        for signal in signals.forever() {
            match signal {
                SIGHUP => drop(told.send(Told::Renew)),
                _ if is_stopping => {
                    tracing::warn!("ended by a second signal; the next start recovers");
                    log::flush();
                    std::process::exit(i32::from(FAILED));
                }
                _ => {
                    tracing::info!("stopping; a second signal ends at once");
                    is_stopping = true;
                    let _ = told.send(Told::Stop);
                }
            }
        }
    });
    loop {
        match tells.recv().expect("the thread that waits for signals lives as long as the process") {
            Told::Ended(shard) => return Some(shard),
            Told::Renew => server.renew_keys(),
            Told::Stop => return None,
        }
    }
}

fn fail(error: &str) -> u8 {
    log::write_line(&format!("error: {error}"));
    FAILED
}

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
enum LogError {
    #[error(transparent)]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    #[error("no thread can be started for the log: {0}")]
    Start(#[from] std::io::Error),
}

fn start_log(level: &str, format: LogFormat) -> Result<(), LogError> {
    let filter = EnvFilter::builder().parse(level)?;
    let format = match format {
        LogFormat::Text => log::Format::Text { colours: std::io::stderr().is_terminal() },
        LogFormat::Json => log::Format::Json,
    };
    Ok(log::start(filter, format)?)
}

/// The file first, then single settings, then what has an argument of its own.
fn configure(args: &Args) -> Result<BrokerConfig, SettingError> {
    let mut settings = Settings::default();
    if let Some(path) = &args.config {
        let unknown = settings.read_file(path)?;
        if !unknown.is_empty() {
            let names = unknown.join(" ");
            tracing::warn!(names, file = %path.display(), "settings that nobody knows are passed over");
        }
    }
    if args.kafka_environment {
        let unknown = settings.read_environment(std::env::vars_os())?;
        if !unknown.is_empty() {
            tracing::warn!(
                names = unknown.join(" "),
                "variables of settings that nobody knows are passed over"
            );
        }
    }
    for (name, value) in &args.option {
        settings.set(name, value)?;
    }
    if let Some(listen) = &args.listen {
        settings.listen(listen)?;
    }
    if let Some(advertise) = &args.advertise {
        settings.advertise(advertise)?;
    }
    if let Some(http) = &args.http_listen {
        settings.set("http.listen", &http.to_string())?;
    }
    if let Some(mqtt) = &args.mqtt_listen {
        settings.set("mqtt.listen", &mqtt.to_string())?;
    }
    if let Some(metrics) = &args.metrics_listen {
        settings.set("metrics.listen", &metrics.to_string())?;
    }
    if let Some(reactor) = &args.reactor {
        settings.set("reactor", &reactor.to_string())?;
    }
    let mut config = BrokerConfig::resolve(settings).map_err(|error| as_given(error, args))?;
    if args.kafka_environment
        && let Ok(id) = std::env::var(CLUSTER_ID)
        && !id.is_empty()
    {
        config.cluster_id = Some(cluster_id(CLUSTER_ID, &id)?);
    }
    for (reason, names) in config.without_effect() {
        tracing::warn!(names = names.join(" "), reason, "settings have no effect here");
    }
    if !config.passed_over.is_empty() {
        let listeners = config.passed_over.join(" ");
        tracing::warn!(listeners, "listeners of controllers are passed over: a single node needs none");
    }
    if let Some(data_dir) = &args.data_dir {
        config.data_dir = data_dir.clone();
    }
    Ok(config)
}

/// The refusal of a setting that an argument has made, in the words of the argument.
fn as_given(error: SettingError, args: &Args) -> SettingError {
    let SettingError::BadValue { name, value, expected } = error else { return error };
    let (name, value) = match (&*name, &args.listen, &args.advertise) {
        ("listeners", Some(listen), _) => ("--listen".into(), listen.to_string()),
        ("advertised.listeners", _, Some(advertise)) => ("--advertise".into(), advertise.to_string()),
        _ => (name, value),
    };
    SettingError::BadValue { name, value, expected }
}

/// Takes all descriptors that we may have: each connection needs one, each open segment another.
fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, "the limit on open files stays at {:?}", limit.current);
    }
}

/// Something of each listener, with commas between.
fn each(server: &Server, of: impl Fn(&Listening) -> String) -> String {
    server.listeners().iter().map(of).collect::<Vec<_>>().join(",")
}

/// Where the clients of a listener are told to connect to.
fn told(listening: &Listening) -> String {
    listening.advertised.as_ref().map_or("nothing".to_owned(), HostPort::to_string)
}

/// The start in the log: what [`greet`] tells people.
fn tell_start(server: &Server, data_dir: &Path, began: Instant) {
    let (report, took) = server.recovery();
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        listen = each(server, |listening| listening.address.to_string()),
        advertised = each(server, told),
        metrics = server.metrics_address().map(tracing::field::display),
        http = server.http_address().map(|(_, address)| tracing::field::display(address)),
        data_dir = %data_dir.display(),
        shards = server.handle().shards(),
        reactor = server.reactor().kind.name(),
        topics = server.handle().topics().len(),
        descriptors = server.descriptors().limit,
        connections_max = server.descriptors().connections,
        segments_open_max = server.descriptors().segments,
        ready_ms = began.elapsed().as_millis() as u64,
        "started"
    );
    tracing::info!(
        journals = report.journals,
        batches = report.batches,
        partitions = report.partitions,
        damaged_partitions = report.damaged_partitions,
        took_ms = took.as_millis() as u64,
        "recovered"
    );
}

fn greet(server: &Server, data_dir: &Path, began: Instant) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    let (report, recovery) = server.recovery();
    let listeners = server.listeners();
    let place = listeners.iter().find_map(|listening| listening.advertised.as_ref());
    let place = place.map(HostPort::to_string).unwrap_or_default();
    let data_dir = data_dir.canonicalize().unwrap_or_else(|_| data_dir.to_owned());
    let topics = server.handle().topics().len();
    writeln!(out, "strandline {}", env!("CARGO_PKG_VERSION"))?;
    for listening in listeners {
        // Who has one need not know its name.
        let name = if listeners.len() > 1 { format!("{}: ", listening.name) } else { String::new() };
        let (address, told) = (listening.address, told(listening));
        writeln!(out, "  listens on   {address} ({name}clients are told {told})")?;
    }
    if let Some(address) = server.mqtt_address() {
        writeln!(out, "  mqtt         {address}")?;
    }
    if let Some((scheme, address)) = server.http_address() {
        writeln!(out, "  http         {scheme}://{address}")?;
    }
    if let Some(metrics) = server.metrics_address() {
        writeln!(out, "  metrics      http://{metrics}/metrics, /healthz, /readyz")?;
    }
    writeln!(out, "  keeps data   {}, {topics} topics", data_dir.display())?;
    writeln!(out, "  runs on      {} shards, {}", server.handle().shards(), server.reactor())?;
    writeln!(out, "  durability   {}", server.durability())?;
    writeln!(
        out,
        "  recovered    {} batches of {} partitions out of {} journal files in {:.1} ms; ready after {:.1} ms",
        report.batches,
        report.partitions,
        report.journals,
        recovery.as_secs_f64() * 1e3,
        began.elapsed().as_secs_f64() * 1e3
    )?;
    if report.damaged_partitions > 0 {
        writeln!(out, "  DAMAGED      {} partitions: see the log", report.damaged_partitions)?;
    }
    writeln!(out)?;
    writeln!(out, "  echo hello | strandline produce greetings --bootstrap {place}")?;
    writeln!(out, "  echo hello | kcat -b {place} -t greetings -P")?;
    writeln!(out, "  kcat -b {place} -t greetings -C -o beginning -e")?;
    out.flush()
}

/// What programs wait for that start Kafka's images, each for a line of its own.
fn greet_as_kafka(node: i32) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out)?;
    writeln!(out, "[BrokerLifecycleManager id={node}] Transitioning from RECOVERY to RUNNING.")?;
    writeln!(out, "[KafkaServer id={node}] started")?;
    writeln!(out, "[KafkaRaftServer nodeId={node}] Kafka Server started")?;
    out.flush()
}

fn part(stats: &ShardStats) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "stopped: {} records in {} batches; {} journal commits with {:.1} records each, {} direct and {} background syncs",
        stats.records,
        stats.batches,
        stats.journal_commits,
        stats.records_per_sync(),
        stats.direct_syncs,
        stats.background_syncs
    )?;
    out.flush()
}
