//! The command line. Each command is a file.
//!
//! ```text
//! strandline [serve]                               serve.rs
//! strandline topic create|list|describe|alter|...   topic.rs
//! strandline group list|describe|reset-offsets|delete
//!                                                  group.rs
//! strandline transaction list|describe|abort       transaction.rs
//! strandline user add|list|delete                  user.rs
//! strandline acl list|add|remove                   acl.rs
//! strandline config describe                       config.rs
//! strandline log dump|verify|repair|salvage|strays log/
//! strandline health                                health.rs
//! strandline kafka-storage random-uuid|format      kafka_storage.rs, for images
//! strandline generate                              generate.rs, for packages
//! strandline produce                               produce.rs
//! strandline consume                               consume.rs > start.rs (where from), format.rs (how it looks)
//! ```
//!
//! Promises to scripts: data goes to stdout and nothing else does; a failure is one line `error: ...` on
//! stderr and exit code 1; a command line that makes no sense is exit code 2; a reader that has seen enough
//! (`| head`) is no failure. What is tried again for longer than a moment is one line `waiting: ...` on
//! stderr.

mod acl;
mod common;
mod config;
mod consume;
mod format;
mod generate;
mod group;
mod health;
mod kafka_storage;
mod log;
mod produce;
mod serve;
mod start;
mod topic;
mod transaction;
mod user;

use clap::{CommandFactory, Parser, Subcommand};
use std::io::{self, Write};
use std::process::ExitCode;

const EXIT_CODES: &str = "\
Exit codes:
  0    done
  1    failed: no broker is reachable, it refused, or the input is broken; stderr says which
  2    the command line makes no sense
  130  ended by Ctrl-C (143: by SIGTERM), after what was begun has been finished";

/// A durable Kafka broker: it acknowledges only what would survive the power going out.
///
/// Without a command it serves.
#[derive(Debug, Parser)]
#[command(name = "strandline", version, after_help = EXIT_CODES, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: serve::Args,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the broker (the default)
    Serve(serve::Args),
    /// Create, list, describe, alter and delete topics, and delete their records
    Topic(topic::Args),
    /// List, describe and delete consumer groups, and set how far they have read
    Group(group::Args),
    /// List and describe transactional ids, and abort a transaction that nobody ends
    Transaction(transaction::Args),
    /// Add, list and delete the users that prove themselves by a password (SCRAM)
    User(user::Args),
    /// List, add and remove the rules of who may do what
    Acl(acl::Args),
    /// Show what the broker or a topic is set to
    Config(config::Args),
    /// Ask a broker whether it is well: exit code 0 when it is, 1 when not
    Health(health::Args),
    /// What Kafka's images ask of the program of this name
    #[command(hide = true)]
    KafkaStorage(kafka_storage::Args),
    /// Write manual pages and completions of shells
    #[command(hide = true)]
    Generate(generate::Args),
    /// Append lines from stdin or a file to a topic
    Produce(produce::Args),
    /// Print the records of a topic
    Consume(consume::Args),
    /// Look into the data directory of a stopped broker: print, verify, repair and salvage it
    Log(log::Args),
}

/// Runs the command that the process was started with.
pub(crate) fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(told) => return tell(&told),
    };
    match cli.command.unwrap_or(Command::Serve(cli.serve)) {
        Command::Serve(args) => {
            let code = serve::run(args);
            strandline::log::flush();
            ExitCode::from(code)
        }
        Command::Topic(args) => common::report(topic::run(args)),
        Command::Group(args) => common::report(group::run(args)),
        Command::Transaction(args) => common::report(transaction::run(args)),
        Command::User(args) => common::report(user::run(args)),
        Command::Acl(args) => common::report(acl::run(args)),
        Command::Config(args) => common::report(config::run(args)),
        Command::Health(args) => common::report(health::run(args)),
        Command::KafkaStorage(args) => common::report(kafka_storage::run(args)),
        Command::Generate(args) => common::report(generate::run(args, Cli::command())),
        Command::Produce(args) => common::report(produce::run(args)),
        Command::Consume(args) => common::report(consume::run(args)),
        Command::Log(args) => log::run(args),
    }
}

/// Prints the help, the version, or what is wrong with the command line.
fn tell(told: &clap::Error) -> ExitCode {
    let printed = told.print().and_then(|()| io::stdout().flush());
    match printed {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe && !told.use_stderr() => {
            common::note(format_args!("error: stdout: {error}"));
            ExitCode::from(common::FAILED)
        }
        // Who asked for help and has seen enough, and who hears nothing of what is wrong, has the exit code.
        _ => ExitCode::from(u8::try_from(told.exit_code()).unwrap_or(common::USAGE)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_bootstrap_addresses_may_stand_anywhere_after_the_command() {
        for line in [["topic", "-b", "one,two:1", "list"], ["topic", "list", "--bootstrap", "one,two:1"]] {
            let cli = Cli::try_parse_from(std::iter::once("strandline").chain(line)).unwrap();
            let Some(Command::Topic(args)) = cli.command else { panic!("another command") };
            let shown: Vec<String> = args.cluster.bootstrap.iter().map(ToString::to_string).collect();
            assert_eq!(shown, ["one:9092", "two:1"]);
        }
    }
}
