//! Does what the command line says: one arm a subcommand.
//!
//! A measurement's arm takes the arguments (`arguments`) to the module that measures, prints what came of it
//! beside the environment it was measured in, and saves the same as JSON when it is asked to. How something
//! is measured is left to those modules.

use crate::aims::Aims;
use crate::arguments::{
    AimsArgs, BrokerArgs, GroupsArgs, HostileArgs, MixedArgs, ReferencesArgs, RoundsArgs, SeriesArgs,
    StandardClientsArgs, SystemsArgs, TableArgs, TransactionsArgs, What, parse,
};
use crate::broker::{System, Target};
use crate::canned::Canned;
use crate::client::Client;
use crate::clients::Clients;
use crate::groups::Groups;
use crate::hostile::{self, Hostile, Kind};
use crate::measure::{self, Also, MeasureError, Measured, cpu_per_million, flushes_per_million};
use crate::mixed::Mixed;
use crate::output::{out, outln};
use crate::progress::Progress;
use crate::report::{self, Table, number};
use crate::samples::Samples;
use crate::series::{self, Point};
use crate::suite::{self, Suite};
use crate::table::{self, TableSize};
use crate::transactions::{Shape, Transactions};
use crate::workload::{Compression, Workload};
use crate::{bare, device, loopback, mixed, null_broker, recovery, references, self_test};
use serde_json::{Map, json};
use std::cell::Cell;
use std::error::Error;
use std::fs::{self, File};
use std::io;
use std::net::TcpListener;
use std::time::Duration;

/// How a command ends. Each has errors of its own; here they are only told.
type Done = Result<(), Box<dyn Error>>;

/// What was asked for can not be measured.
#[derive(Debug, thiserror::Error)]
#[error("end-to-end latency needs the stamp of every record: not with --codec")]
struct CompressedStamps;

/// Does what the command line says.
pub(crate) fn run() -> Done {
    let line = parse(std::env::args().collect());
    crate::broker::stop_on_signals()?;
    if let Some(access) = line.command.access()? {
        crate::client::connect_by(access);
    }
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
                return Err(CompressedStamps.into());
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
            outln!("{}", device.line());
            let result = json!({ "environment": report::environment(), "device": device.json() });
            Ok(report::save(args.json.as_deref(), &result)?)
        }
        What::Loopback(args) => Ok(loopback::run(&args)?),
        What::SelfTest(args) => {
            Ok(self_test::run(&args.workload, args.highest, args.highest_read, args.json.as_deref())?)
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
            outln!("{}\nrecovery: {}", report::environment_line(&environment), args.rounds.workload.line());
            let found = recovery::run(&system, &args.rounds.workload, args.rounds.rounds, &args.rounds.dir)?;
            out!("{}", found.text(&system));
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
        What::Hostile(args) => hostile_mix(args),
        What::Transactions(args) => transactions(args),
        What::Groups(args) => groups(args),
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

fn single(what: &str, args: &BrokerArgs, workload: &Workload, also: Also) -> Done {
    let environment = report::environment();
    outln!("{}\n{what}: {}", report::environment_line(&environment), workload.line());
    outln!("{} s of warm-up are not counted", workload.warmup);
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
    out!("{}", table.markdown());
    if measured.load.unanswered > 0 {
        outln!(
            "WARNING: {} records of the window were not answered; their wait so far is counted",
            measured.load.unanswered
        );
    }
    if let Some(cached) = measured.cached {
        outln!("of what was read back, {:.1} % was in the page cache before", 100.0 * cached);
    }
    if let Some(reading) = &measured.catch_up {
        outln!(
            "read back: {} records/s, {} MB/s in {:.2} s",
            number(reading.records_per_second()),
            number(reading.megabytes_per_second()),
            reading.seconds
        );
    }
    let cpu = |name, usage: &Option<crate::process::Usage>, records| {
        if let (Some(used), Some(cost)) = (usage, cpu_per_million(usage.as_ref(), records)) {
            outln!(
                "broker, {name}: {:.2} CPU seconds, {cost:.3} per million records, resident {} MiB (own {}), {} MB written",
                used.cpu_seconds,
                used.resident_bytes >> 20,
                used.anonymous_bytes >> 20,
                used.written_bytes / 1_000_000,
            );
            if let Some(device) = used.device {
                outln!(
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
    outln!(
        "checked: {} of {} acknowledged records read back, in order",
        measured.verified,
        measured.produced
    );
}

fn several(
    what: &str,
    args: &SeriesArgs,
    run: impl FnOnce(&Target, &Workload) -> Result<Vec<Point>, MeasureError>,
) -> Done {
    let environment = report::environment();
    outln!("{}\n{what}: {}", report::environment_line(&environment), args.workload.line());
    let target = args.broker.target();
    let points = run(&target, &args.workload)?;
    out!("{}", series::table(&points));
    let result = json!({
        "what": what, "environment": environment, "workload": args.workload.json(), "result": series::json(&points),
    });
    Ok(report::save(args.broker.json.as_deref(), &result)?)
}

fn late_reader(args: MixedArgs) -> Done {
    let environment = report::environment();
    let workload = Workload { rate: args.rounds.workload.rate.or(Some(mixed::RATE)), ..args.rounds.workload };
    outln!("{}\nmixed: {}", report::environment_line(&environment), workload.line());
    let mut systems = args.systems.systems()?;
    for system in &mut systems {
        system.topic_configs.extend_from_slice(&args.topic_configs);
    }
    let mixed =
        Mixed { systems, workload, history_megabytes: args.history, table: None, rounds: args.rounds.rounds };
    let result = mixed.run(&args.rounds.dir)?;
    out!("\n{}", result.text());
    let result = json!({
        "what": "mixed", "environment": environment, "workload": mixed.workload.json(),
        "history_megabytes": mixed.history_megabytes, "topic_configs": args.topic_configs, "result": result.json(),
    });
    Ok(report::save(args.rounds.json.as_deref(), &result)?)
}

fn cleaned_table(args: TableArgs) -> Done {
    let environment = report::environment();
    let workload = Workload { rate: args.rounds.workload.rate.or(Some(mixed::RATE)), ..args.rounds.workload };
    let TableArgs { table_keys: keys, table_updates: updates, table_value_bytes: value_bytes, .. } = args;
    outln!(
        "{}\ntable: {keys} keys, {updates} updates of {value_bytes} B; beside it {}",
        report::environment_line(&environment),
        workload.line()
    );
    let arguments = table::ARGUMENTS.map(str::to_owned);
    let systems = suite::own_systems(args.strandline, &arguments)?.into_iter().take(1).collect();
    let table = Some(TableSize { keys, updates, value_bytes });
    let mixed = Mixed { systems, workload, history_megabytes: 0, table, rounds: args.rounds.rounds };
    let result = mixed.run(&args.rounds.dir)?;
    out!("\n{}", result.text());
    let result = json!({
        "what": "table", "environment": environment, "workload": mixed.workload.json(),
        "keys": keys, "updates": updates, "value_bytes": value_bytes, "result": result.json(),
    });
    Ok(report::save(args.rounds.json.as_deref(), &result)?)
}

fn hostile_mix(args: HostileArgs) -> Done {
    let environment = report::environment();
    let workload =
        Workload { rate: args.rounds.workload.rate.or(Some(hostile::RATE)), ..args.rounds.workload };
    let kinds = if args.only.is_empty() { Kind::ALWAYS.to_vec() } else { args.only };
    let names: Vec<&str> = kinds.iter().map(|kind| kind.name()).collect();
    outln!(
        "{}\nhostile: {}; beside it {}",
        report::environment_line(&environment),
        workload.line(),
        names.join(", "),
    );
    let systems = match args.systems.is_empty() {
        false => args.systems.iter().map(|(name, command)| System::parse(name.clone(), command)).collect(),
        true => {
            suite::own_systems(args.strandline, &hostile::arguments(&kinds))?.into_iter().take(1).collect()
        }
    };
    let hostile = Hostile {
        systems,
        workload,
        kinds,
        wide_partitions: args.wide_partitions,
        bomb_bytes: (args.bomb_megabytes as usize) << 20,
        rounds: args.rounds.rounds,
    };
    let result = hostile.run(&args.rounds.dir)?;
    out!("\n{}", result.text());
    let result = json!({
        "what": "hostile", "environment": environment, "workload": hostile.workload.json(), "kinds": names,
        "wide_partitions": hostile.wide_partitions, "bomb_bytes": hostile.bomb_bytes, "result": result.json(),
    });
    Ok(report::save(args.rounds.json.as_deref(), &result)?)
}

fn groups(args: GroupsArgs) -> Done {
    let environment = report::environment();
    let mut systems = args.systems.systems()?;
    if args.systems.systems.is_empty() {
        systems.truncate(2);
    }
    outln!(
        "{}\ngroups: members that say every {} ms that they are there, {} partitions; queues of {} records of {} B",
        report::environment_line(&environment),
        args.heartbeat_ms,
        args.partitions,
        args.backlog,
        args.record_bytes,
    );
    let workload = Workload { record_bytes: args.record_bytes, seconds: args.seconds, ..Workload::default() };
    let groups = Groups {
        systems,
        members: args.members,
        partitions: args.partitions,
        heartbeat: Duration::from_millis(args.heartbeat_ms),
        consumers: args.consumers,
        workload,
        backlog: args.backlog,
        idle: args.idle,
        rounds: args.rounds,
    };
    let found = groups.run(&args.dir)?;
    out!("\n{}", found.text());
    let result = json!({ "what": "groups", "environment": environment, "result": found.json() });
    Ok(report::save(args.json.as_deref(), &result)?)
}

fn transactions(args: TransactionsArgs) -> Done {
    let environment = report::environment();
    let SystemsArgs { strandline, kafka, systems: others } = &args.systems;
    let systems = match (args.both_ways, others.is_empty()) {
        (true, true) => suite::all_systems(strandline.clone(), kafka)?,
        (_, is_default) => {
            let mut systems = args.systems.systems()?;
            if is_default {
                systems.truncate(2);
            }
            systems
        }
    };
    let shapes = (args.partitions.iter())
        .flat_map(|&partitions| args.every_ms.iter().map(move |&every_ms| Shape { partitions, every_ms }))
        .collect();
    let workload = Workload {
        producers: args.producers,
        record_bytes: args.record_bytes,
        records_per_batch: args.records_per_batch,
        in_flight: args.in_flight,
        warmup: args.warmup,
        seconds: args.seconds,
        ..Workload::default()
    };
    outln!(
        "{}\ntransactions: {} producers with a transactional id each, {} B records, up to {} a batch and {} a request, \
         {} in flight, acks=all; as fast as it goes, and at {} records/s by schedule",
        report::environment_line(&environment),
        args.producers,
        args.record_bytes,
        args.records_per_batch,
        args.request_records,
        args.in_flight,
        number(args.rate),
    );
    let transactions = Transactions {
        systems,
        shapes,
        workload,
        request_records: args.request_records,
        rate: args.rate,
        history_megabytes: args.history,
        rounds: args.rounds,
    };
    let result = transactions.run(&args.dir)?;
    out!("\n{}", result.text());
    let result = json!({
        "what": "transactions", "environment": environment, "workload": transactions.workload.json(),
        "request_records": args.request_records, "rate": args.rate, "history_megabytes": args.history,
        "result": result.json(),
    });
    Ok(report::save(args.json.as_deref(), &result)?)
}

fn standard_clients(args: StandardClientsArgs) -> Done {
    let environment = report::environment();
    let systems = args.systems.systems()?;
    let StandardClientsArgs { librdkafka, records, record_bytes, partitions, .. } = args;
    outln!(
        "{}\nstandard clients: {} records of {record_bytes} B, {partitions} partitions, acks=all, as fast as they send",
        report::environment_line(&environment),
        number(records as f64),
    );
    let clients = Clients { librdkafka, kafka: args.systems.kafka, records, record_bytes, partitions };
    let result = clients.run(systems, args.rounds, &args.dir)?;
    let quantities = result.quantities();
    out!("\n{}", quantities.markdown());
    let result = json!({
        "what": "standard-clients", "environment": environment, "result": quantities.json(|_| Map::new()),
        "settings": { "records": records, "record_bytes": record_bytes, "partitions": partitions },
    });
    Ok(report::save(args.json.as_deref(), &result)?)
}

fn aims(args: AimsArgs) -> Done {
    let environment = report::environment();
    outln!("{}", report::environment_line(&environment));
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
        report::save(args.json.as_deref(), &result)
    })?;
    out!("\nMedians of {rounds} rounds (smallest-largest).\n\n{table}");
    Ok(())
}

fn references(args: &ReferencesArgs) -> Done {
    let environment = report::environment();
    outln!("{}", report::environment_line(&environment));
    let (rounds, dir) = (args.rounds, &args.dir);
    let one_shard = suite::own_systems(args.strandline.clone(), &["--shards=1".to_owned()])?;
    let timed = Workload { warmup: args.warmup, seconds: args.seconds, ..references::small_requests() };
    let requests = references::requests(&one_shard, &timed, rounds, dir)?;
    out!(
        "
{}",
        requests.text()
    );
    let mut systems = suite::own_systems(args.strandline.clone(), &[])?;
    systems.truncate(1);
    let reading = references::reading(&systems, args.megabytes, args.seconds, rounds, dir)?;
    out!(
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

fn rounds(what: &str, args: RoundsArgs, systems: Vec<System>, also: Also) -> Done {
    let environment = report::environment();
    outln!("{}\n{what}: {}", report::environment_line(&environment), args.workload.line());
    let suite = Suite { systems, workload: args.workload, also, rounds: args.rounds, dir: args.dir };
    let result = suite.run()?;
    out!("\n{}", result.text());
    let result = json!({
        "what": what, "environment": environment, "workload": suite.workload.json(), "result": result.json(),
    });
    Ok(report::save(args.json.as_deref(), &result)?)
}
