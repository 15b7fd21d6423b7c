//! Trucks that tell where they are, and who listens: see README.md beside this file.
//!
//! ```text
//! drive > truck_position (8 partitions, keyed by truck) > watch, any number of them     group "watchers"
//!                                                       > alarm > dangerous_driving     group "alarm"
//! ```

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "an example shows what it does")]

mod alarm;
mod drive;
mod position;
mod watch;

use clap::{Parser, Subcommand};
use signal_hook::consts::{SIGINT, SIGTERM};
use std::error::Error;
use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use strandline_client::{Address, AdminError, Client, Limits, MetadataError, TopicSpec};
use strandline_protocol::wire::ErrorCode;

/// Where the trucks are.
const POSITIONS: &str = "truck_position";

/// The positions that someone should look at.
const DANGEROUS: &str = "dangerous_driving";

/// Trucks, and who listens to them.
#[derive(Debug, Parser)]
struct Cli {
    /// The broker, this one or any Kafka
    #[arg(short, long, global = true, value_name = "HOST:PORT", default_value = "127.0.0.1:9092")]
    bootstrap: Address,
    #[command(subcommand)]
    program: Program,
}

#[derive(Debug, Subcommand)]
enum Program {
    /// Send the position of every truck again and again
    Drive(drive::Args),
    /// Listen to a share of the trucks, as a member of the group "watchers"
    Watch(watch::Args),
    /// Copy what is dangerous to a topic of its own, as a member of the group "alarm"
    Alarm,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = Stop::listen().map_err(Into::into).and_then(|stop| run(&cli, &stop));
    done.map_or_else(
        |error| {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        },
        |()| ExitCode::SUCCESS,
    )
}

fn run(cli: &Cli, stop: &Stop) -> Result<(), Box<dyn Error>> {
    let mut client = Client::connect(std::slice::from_ref(&cli.bootstrap), Limits::default())?;
    // Whoever comes first makes the topic.
    create(&mut client, POSITIONS, 8)?;
    match &cli.program {
        Program::Drive(args) => drive::run(client, args, stop),
        Program::Watch(args) => watch::run(client, args, stop),
        Program::Alarm => {
            create(&mut client, DANGEROUS, 1)?;
            alarm::run(client, stop)
        }
    }
}

fn create(client: &mut Client, name: &str, partitions: i32) -> Result<(), AdminError> {
    let spec = TopicSpec { name: name.to_owned(), partitions: Some(partitions), settings: Vec::new() };
    match client.create_topic(&spec) {
        Err(error) if error.is(ErrorCode::TopicAlreadyExists) => {}
        done => done?,
    }
    // Another program may have just created it.
    client.topic_or_created(name).map(drop).map_err(|error: MetadataError| error.into())
}

/// Whether the program was told to end (Ctrl-C, SIGTERM).
struct Stop(Arc<AtomicBool>);

impl Stop {
    fn listen() -> io::Result<Stop> {
        let told = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            signal_hook::flag::register(signal, Arc::clone(&told))?;
        }
        Ok(Stop(told))
    }

    fn is_told(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
