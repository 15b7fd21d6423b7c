//! A broker beside a server that does nothing but the kernel's part of its work (see [`crate::bare`]), in
//! alternation.
//!
//! ```text
//! requests   generator, 64 connections, 1 request each   >  echo | broker with one shard     requests/s, CPU a request
//! reading    one connection, cached bytes, over and over >  sendfile | broker                MB a CPU second
//! ```

use crate::bare::RANGE_BYTES;
use crate::broker::{Fresh, System};
use crate::client::{self, Topic};
use crate::clock::{SECOND, now};
use crate::history::History;
use crate::load::{self, Live};
use crate::measure::{self, Also, MeasureError, Passes};
use crate::output::note;
use crate::process::{self, Usage};
use crate::progress::Progress;
use crate::report::{Rounds, Table, number};
use crate::workload::Workload;
use serde_json::{Value, json};
use std::io::{self, Read, Write};
use std::path::Path;
use strandline_protocol::Uuid;

/// How much the sendfile reader takes at a time.
const READ_BYTES: usize = 1 << 20;

/// 100 B, one record a request, 64 connections with one request each: every request is a wake-up of somebody.
pub(crate) fn small_requests() -> Workload {
    Workload { producers: 64, record_bytes: 100, records_per_batch: 1, in_flight: 1, ..Workload::default() }
}

/// Quantities of a reference and of systems: the rounds of each, the reference first.
#[derive(Debug)]
pub(crate) struct Beside {
    title: String,
    /// What stands in one line of the table is compared with the reference in the next: its name, and the
    /// values.
    columns: Vec<(String, Vec<Vec<f64>>)>,
    quantities: &'static [&'static str],
}

/// The quantities of [`requests`].
const REQUESTS: [&str; 3] = ["requests/s", "server CPU us a request", "server CPU, cores"];
/// The quantities of [`reading`].
const READING: [&str; 3] = ["MB a server CPU second", "MB/s", "server CPU, cores"];

impl Beside {
    fn new(
        title: String,
        reference: &str,
        systems: &[System],
        quantities: &'static [&'static str],
    ) -> Beside {
        let names = std::iter::once(reference.to_owned()).chain(systems.iter().map(|it| it.name.clone()));
        Beside { title, columns: names.map(|name| (name, Vec::new())).collect(), quantities }
    }

    fn add(&mut self, column: usize, values: [f64; 3]) {
        let (name, rounds) = &mut self.columns[column];
        let shown = self.quantities.iter().zip(values);
        let shown: Vec<String> =
            shown.map(|(quantity, value)| format!("{quantity} {}", number(value))).collect();
        note!("  {name}: {}", shown.join(", "));
        rounds.push(values.to_vec());
    }

    /// A quantity of a column: 0 is the reference, 1 the first system.
    pub(crate) fn rounds(&self, column: usize, quantity: usize) -> Rounds {
        Rounds(self.columns[column].1.iter().map(|values| values[quantity]).collect())
    }

    /// The first quantity of a column, as a part of the reference's in the same round.
    fn ratio(&self, column: usize) -> Rounds {
        self.rounds(column, 0).over(&self.rounds(0, 0))
    }

    /// A table: medians and spread.
    pub(crate) fn text(&self) -> String {
        let mut table = Table::new(self.columns.iter().map(|(name, _)| name.clone()).collect());
        for (place, quantity) in self.quantities.iter().enumerate() {
            let cells = (0..self.columns.len()).map(|column| self.rounds(column, place).cell());
            table.line(quantity, cells.collect());
        }
        let ratios = (1..self.columns.len()).map(|column| self.ratio(column).cell());
        let ratios = std::iter::once("1".to_owned()).chain(ratios).collect();
        table.line(&format!("{}, of the reference", self.quantities[0]), ratios);
        format!("{}\n\n{}", self.title, table.markdown())
    }

    /// Everything.
    pub(crate) fn json(&self) -> Value {
        let columns = self.columns.iter().enumerate().map(|(column, (name, _))| {
            let mut object = serde_json::Map::new();
            object.insert("name".to_owned(), name.as_str().into());
            for (place, quantity) in self.quantities.iter().enumerate() {
                object.insert((*quantity).to_owned(), self.rounds(column, place).json());
            }
            if column > 0 {
                object.insert("ratio".to_owned(), self.ratio(column).json());
            }
            Value::Object(object)
        });
        json!({ "title": self.title, "quantities": self.quantities, "columns": columns.collect::<Vec<_>>() })
    }
}

/// `workload` on an echo server and on each system: requests a second, and what one costs the server.
pub(crate) fn requests(
    systems: &[System],
    workload: &Workload,
    rounds: u32,
    dir: &Path,
) -> Result<Beside, MeasureError> {
    let title = format!("small requests beside an echo server: {}", workload.line());
    let mut beside = Beside::new(title, "echo", systems, &REQUESTS);
    let figures = |load: &load::Load, usage: Option<Usage>| {
        let requests = load.publish.records() as f64 / f64::from(workload.records_per_batch);
        let cpu = usage.map_or(0.0, |usage| usage.cpu_seconds);
        let seconds = workload.seconds as f64;
        [requests / seconds, cpu * 1e6 / requests, cpu / seconds]
    };
    alternate(rounds, systems.len(), |column| {
        let values = match column.checked_sub(1) {
            None => {
                let (load, usage) = echoed(workload)?;
                figures(&load, usage)
            }
            Some(place) => {
                let fresh = Fresh::start(&systems[place], dir)?;
                let progress = Progress::of(systems[place].name.as_str());
                let measured = measure::run(&fresh.target(), workload, Also::CHECK, &progress)?;
                figures(&measured.load, measured.produce_usage)
            }
        };
        beside.add(column, values);
        Ok(())
    })?;
    Ok(beside)
}

/// `megabytes` read over and over for `seconds`, by sendfile and from each system; all of it cached.
pub(crate) fn reading(
    systems: &[System],
    megabytes: u64,
    seconds: u64,
    rounds: u32,
    dir: &Path,
) -> Result<Beside, MeasureError> {
    let title = format!(
        "reading {megabytes} MB out of the page cache for {seconds} s, beside sendfile(2) of as much"
    );
    let mut beside = Beside::new(title, "sendfile", systems, &READING);
    alternate(rounds, systems.len(), |column| {
        let Passes { bytes, usage, seconds } = match column.checked_sub(1) {
            None => sent(megabytes, seconds, dir)?,
            Some(place) => fetched(&systems[place], megabytes, seconds, dir)?,
        };
        let megabytes = bytes as f64 / 1e6;
        let cpu = usage.map_or(0.0, |usage| usage.cpu_seconds);
        beside.add(column, [megabytes / cpu, megabytes / seconds, cpu / seconds]);
        Ok(())
    })?;
    Ok(beside)
}

/// Calls `measure` for the reference (0) and each system (from 1 on), in another order each round.
fn alternate(
    rounds: u32,
    systems: usize,
    mut measure: impl FnMut(usize) -> Result<(), MeasureError>,
) -> Result<(), MeasureError> {
    for round in 0..rounds {
        note!("round {} of {rounds}", round + 1);
        for place in 0..=systems {
            measure((place + round as usize) % (systems + 1))?;
        }
    }
    Ok(())
}

/// A server of [`crate::bare`], in a process of its own.
fn bare(arguments: &str, dir: &Path) -> Result<Fresh, MeasureError> {
    let mut system = System::parse("reference".to_owned(), arguments);
    system.command.insert(0, std::env::current_exe()?.to_string_lossy().into_owned());
    Ok(Fresh::start_any(&system, dir, |address| client::open(address).map(drop))?)
}

fn echoed(workload: &Workload) -> Result<(load::Load, Option<Usage>), MeasureError> {
    let server = bare("echo-server --listen 127.0.0.1:{port}", &std::env::temp_dir())?;
    let leaders = vec![server.broker.address.clone(); workload.partitions as usize];
    // Of the length that other topics have: it is part of a request.
    let topic = Topic { name: measure::topic_name(), id: Uuid::from_u128(1), leaders };
    let (live, start) = (Live::default(), now() + SECOND / 10);
    let window = Some(workload.window(start));
    let phase = Progress::of("echo").phase("requests", workload.warmup + workload.seconds);
    let (load, usage) = process::during(server.target().watched(), window, || {
        phase.watch(&live, || load::echo(workload, &topic, start, &live))
    });
    let mut load = load?;
    match load.failure.take() {
        Some(failure) => Err(failure.into()),
        None => Ok((load, usage)),
    }
}

fn sent(megabytes: u64, seconds: u64, dir: &Path) -> Result<Passes, MeasureError> {
    let mut file = tempfile::NamedTempFile::new_in(dir)?;
    let chunk = vec![0x5a; 1_000_000];
    for _ in 0..megabytes {
        file.write_all(&chunk)?;
    }
    // What is written back while it is read would be somebody else's work.
    file.as_file().sync_all()?;
    let arguments = format!("sendfile-server --listen 127.0.0.1:{{port}} --file {}", file.path().display());
    let server = bare(&arguments, dir)?;
    let mut stream = client::open(&server.broker.address)?;
    let bytes = megabytes * 1_000_000;
    let mut scratch = vec![0; READ_BYTES];
    let mut pass = || -> io::Result<()> {
        let mut range = [0; RANGE_BYTES];
        range[8..].copy_from_slice(&bytes.to_le_bytes());
        stream.write_all(&range)?;
        let mut left = bytes;
        while left > 0 {
            let wanted = left.min(READ_BYTES as u64) as usize;
            stream.read_exact(&mut scratch[..wanted])?;
            left -= wanted as u64;
        }
        Ok(())
    };
    pass()?;
    measure::over_and_over(&server.target(), seconds, || Ok(pass().map(|()| bytes)?))
}

fn fetched(system: &System, megabytes: u64, seconds: u64, dir: &Path) -> Result<Passes, MeasureError> {
    let fresh = Fresh::start(system, dir)?;
    let target = fresh.target();
    let progress = Progress::of(system.name.as_str());
    let history = History::fill(&target, megabytes, Workload::default().partitions, &progress)?;
    let pass = || -> Result<u64, MeasureError> { Ok(history.read(1)?.bytes) };
    // A warm-up, as the other side has it.
    pass()?;
    measure::over_and_over(&target, seconds, pass)
}
