//! The command line: what the commands share. Each command is a file.
//!
//! ```text
//! strandline topic create|list|describe|delete     topic.rs
//! strandline produce                               produce.rs
//! strandline consume                               consume.rs > start.rs (where from), format.rs (how it looks)
//! ```
//!
//! Promises to scripts: data goes to stdout and nothing else does; a failure is one line `error: ...` on stderr and exit code 1; a
//! command line that makes no sense is exit code 2; a reader that has seen enough (`| head`) is no failure.

mod consume;
mod format;
mod produce;
mod start;
mod topic;

use crate::client::{
    Address, AdminError, Client, ConsumeError, Limits, ListOffsetsError, MetadataError, ProduceError,
};
use clap::{Parser, Subcommand};
use signal_hook::consts::{SIGINT, SIGTERM};
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

const EXIT_CODES: &str = "\
Exit codes:
  0    done
  1    failed: no broker is reachable, the broker refused, the input is broken; one line on stderr says what
  2    the command line makes no sense
  130  ended by Ctrl-C (143: by SIGTERM), after what was begun has been finished";

/// A Kafka broker that acknowledges only what would survive the power going out, and the tools to use it.
#[derive(Debug, Parser)]
#[command(name = "strandline", version, after_help = EXIT_CODES, propagate_version = true)]
pub struct Cli {
    /// Brokers to ask first, any of the cluster; the port is 9092 unless it is given
    #[arg(
        short,
        long,
        global = true,
        value_name = "HOST:PORT,...",
        value_delimiter = ',',
        default_value = "127.0.0.1:9092"
    )]
    bootstrap: Vec<Address>,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Create, list, describe and delete topics
    #[command(subcommand)]
    Topic(topic::TopicCommand),
    /// Append lines from stdin or a file to a topic
    Produce(produce::ProduceCommand),
    /// Print the records of a topic
    Consume(consume::ConsumeCommand),
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
enum CommandError {
    #[error(transparent)]
    Metadata(#[from] MetadataError),
    #[error(transparent)]
    Admin(#[from] AdminError),
    #[error(transparent)]
    Offsets(#[from] ListOffsetsError),
    #[error(transparent)]
    Consume(#[from] ConsumeError),
    #[error("{}{error}{}", produce::lines_of(error), produce::advice_on(error))]
    Produce { error: ProduceError },
    #[error("line {line}: there is no key separator {separator:?} in it")]
    NoKey { line: u64, separator: String },
    #[error("line {line}: it is longer than {limit} bytes")]
    LongLine { line: u64, limit: usize },
    #[error("{}: {source}", path.display())]
    Input { path: PathBuf, source: io::Error },
    #[error("stdout: {0}")]
    Output(#[from] io::Error),
    #[error("signals can not be caught: {0}")]
    Signals(io::Error),
}

impl From<ProduceError> for CommandError {
    fn from(error: ProduceError) -> CommandError {
        CommandError::Produce { error }
    }
}

/// Runs the command that the process was started with.
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.command {
        Command::Topic(command) => command.run(&cli.bootstrap).map(|()| ExitCode::SUCCESS),
        Command::Produce(command) => command.run(&cli.bootstrap),
        Command::Consume(command) => command.run(&cli.bootstrap),
    };
    match done {
        Ok(code) => code,
        Err(CommandError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", error.to_string().replace(['\r', '\n'], " "));
            ExitCode::FAILURE
        }
    }
}

fn connect(bootstrap: &[Address]) -> Result<Client, MetadataError> {
    Client::connect(bootstrap, Limits::default())
}

/// Whether the process was asked to end. The second time it ends at once.
#[derive(Clone, Debug)]
struct Interrupt(Arc<AtomicUsize>);

impl Interrupt {
    fn listen() -> Result<Interrupt, CommandError> {
        let asked = Arc::new(AtomicUsize::new(0));
        let again = Arc::new(std::sync::atomic::AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            let listening = signal_hook::flag::register_conditional_shutdown(
                signal,
                exit_code(signal as usize).into(),
                Arc::clone(&again),
            )
            .and_then(|_| signal_hook::flag::register(signal, Arc::clone(&again)))
            .and_then(|_| signal_hook::flag::register_usize(signal, Arc::clone(&asked), signal as usize));
            listening.map_err(CommandError::Signals)?;
        }
        Ok(Interrupt(asked))
    }

    /// The exit code to end with, once the process was asked to.
    fn exit_code(&self) -> Option<ExitCode> {
        match self.0.load(Ordering::Relaxed) {
            0 => None,
            signal => Some(ExitCode::from(exit_code(signal))),
        }
    }
}

/// What shells report for a process that a signal ended.
fn exit_code(signal: usize) -> u8 {
    128 + signal as u8
}

/// A separator as it was typed, with `\t`, `\n`, `\0` and `\\` for what is hard to type.
fn unescape(text: &str) -> Result<String, String> {
    let mut plain = String::new();
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        plain.push(match letter {
            '\\' => match letters.next() {
                Some('t') => '\t',
                Some('n') => '\n',
                Some('0') => '\0',
                Some('\\') => '\\',
                _ => return Err("after \\ only t, n, 0 or \\ is known".to_owned()),
            },
            letter => letter,
        });
    }
    Ok(plain)
}

/// `NAME=VALUE`, of which only the value may be empty or hold another `=`.
fn name_and_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("NAME=VALUE is expected".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_bootstrap_addresses_may_stand_before_or_after_the_command() {
        for line in [["-b", "one,two:1", "topic", "list"], ["topic", "list", "--bootstrap", "one,two:1"]] {
            let cli = Cli::try_parse_from(std::iter::once("strandline").chain(line)).unwrap();
            let shown: Vec<String> = cli.bootstrap.iter().map(ToString::to_string).collect();
            assert_eq!(shown, ["one:9092", "two:1"]);
        }
    }

    #[test]
    fn a_separator_may_be_escaped() {
        assert_eq!(unescape(r"a\tb\\n\0"), Ok("a\tb\\n\0".to_owned()));
        assert!(unescape(r"\").is_err());
        assert!(unescape(r"\x").is_err());
    }

    #[test]
    fn a_value_may_be_empty_and_a_name_may_not() {
        assert_eq!(name_and_value("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        assert_eq!(name_and_value("a="), Ok(("a".to_owned(), String::new())));
        assert!(name_and_value("=b").is_err());
        assert!(name_and_value("a").is_err());
    }
}
