//! `strandline log`: looking into a data directory that no broker runs on, and putting right what can be.
//!
//! ```text
//! log dump      what stands in files and directories, damage included        dump.rs
//! log verify    everything held against everything else                      verify.rs
//! log repair    what can be put right in place                               repair.rs
//! log salvage   everything that is whole, into a new directory               salvage.rs
//! log strays    partitions' directories that were set aside: listed, deleted  strays.rs
//! ```
//!
//! Apache Kafka's data directories are read alike. Nothing is changed but by `repair --apply` and `strays
//! delete`.
//!
//! Promises to scripts: exit code 0 when nothing is damaged, 1 when something is, 2 when the command line
//! makes no sense or the system refuses. With `--format json` every line on stdout is an object.

mod dump;
mod output;
mod repair;
mod salvage;
mod strays;
mod verify;

use super::common::{DONE, USAGE, note};
use clap::Subcommand;
use output::{Format, LogError};
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;

/// Something is damaged, or missing.
const DAMAGED: u8 = 1;

const EXAMPLES: &str = "\
The broker must be stopped. Kafka's own data directories are read, too.

Exit codes:
  0  nothing is damaged
  1  something is damaged or missing; stdout says what and where
  2  the command line makes no sense, or the system refuses; stderr says which

Examples:
  strandline log verify /var/lib/strandline
  strandline log dump --records /var/lib/strandline/orders-0
  strandline log dump --format json --from 100 --to 200 00000000000000000000.log
  strandline log repair /var/lib/strandline             what would be done
  strandline log repair /var/lib/strandline --apply
  strandline log salvage /var/lib/strandline --to /var/lib/strandline-new
  strandline log salvage /var/lib/kafka/data --to /var/lib/strandline
  strandline log strays list /var/lib/strandline        no need to stop the broker for strays";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print what stands in files, partitions or data directories; damage is an entry like others
    Dump(dump::Args),
    /// Check every batch, record, index entry and side file of a directory
    Verify {
        /// A data directory, or one partition's
        directory: PathBuf,
        #[command(flatten)]
        format: Format,
    },
    /// Make indexes and side files anew, cut torn tails, remove leftovers; prints what it would do unless
    /// --apply is given
    Repair {
        /// A data directory, or one partition's
        directory: PathBuf,
        /// Do it. Every file is copied first
        #[arg(long)]
        apply: bool,
        /// Where the copies go; beside the files, as NAME.before-repair, unless given
        #[arg(long, value_name = "DIR", requires = "apply")]
        backup: Option<PathBuf>,
        /// Give up the records of partitions whose directory is gone: their logs go on, empty, where they
        /// ended
        #[arg(long)]
        accept_loss: bool,
    },
    /// Copy everything that is whole to a new directory, around any damage; offsets stay
    Salvage {
        /// A data directory, of Strandline or of Kafka, or one partition's; it is only read
        source: PathBuf,
        /// The new data directory
        #[arg(long, value_name = "DIR")]
        to: PathBuf,
        #[command(flatten)]
        format: Format,
    },
    /// List or delete directories that a start has set aside because no topic had them; a broker may run
    /// meanwhile
    Strays {
        #[command(subcommand)]
        command: StraysCommand,
    },
}

#[derive(Debug, Subcommand)]
enum StraysCommand {
    /// Print the name and the bytes of each
    List {
        /// The data directory
        directory: PathBuf,
        #[command(flatten)]
        format: Format,
    },
    /// Delete some for good, with everything in them
    Delete {
        /// The data directory
        directory: PathBuf,
        /// Their names, as `list` prints them
        #[arg(required_unless_present = "all", conflicts_with = "all")]
        names: Vec<String>,
        /// All that there are
        #[arg(long)]
        all: bool,
    },
}

/// Runs a command, and gives its exit code.
pub(super) fn run(args: Args) -> ExitCode {
    let mut out = BufWriter::new(io::stdout().lock());
    let done = match args.command {
        Command::Dump(args) => dump::run(&args, &mut out),
        Command::Verify { directory, format } => verify::run(&directory, format.format, &mut out),
        Command::Repair { directory, apply, backup, accept_loss } => {
            repair::run(&directory, apply, accept_loss, backup.as_deref(), &mut out)
        }
        Command::Salvage { source, to, format } => salvage::run(&source, &to, format.format, &mut out),
        Command::Strays { command: StraysCommand::List { directory, format } } => {
            strays::list(&directory, format.format, &mut out)
        }
        Command::Strays { command: StraysCommand::Delete { directory, names, all } } => {
            strays::delete(&directory, (!all).then_some(&names), &mut out)
        }
    };
    match done.and_then(|damaged| Ok(out.flush().map(|()| damaged)?)) {
        Ok(damaged) => ExitCode::from(if damaged { DAMAGED } else { DONE }),
        // Whoever read our output has seen enough.
        Err(LogError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            note(format_args!("error: {error}"));
            ExitCode::from(USAGE)
        }
    }
}
