//! What the client commands share: which cluster, what a failure looks like, how signals end them.

use clap::Args;
use signal_hook::consts::{SIGINT, SIGTERM};
use std::borrow::Cow;
use std::error::Error;
use std::fmt::Display;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use strandline_client::{
    Access, AccessError, Address, AdminError, Client, Code, ConsumeError, GroupConsumeError, GroupError,
    Limits, ListOffsetsError, MetadataError, TransactionError,
};

use strandline::config::{HostPort, SettingError};
use strandline_engine::StopError;
use strandline_engine::error::{StartError, TopicError};
use strandline_protocol::wire::ErrorCode;

/// Everything went well.
pub(super) const DONE: u8 = 0;
/// It was understood and could not be done.
pub(super) const FAILED: u8 = 1;
/// It was not understood. The argument parser uses the same.
pub(super) const USAGE: u8 = 2;

/// Which cluster a command is about.
#[derive(Debug, Args)]
pub(super) struct Cluster {
    /// Brokers to ask first, any of the cluster; the port is 9092 unless it is given
    #[arg(
        short,
        long,
        global = true,
        value_name = "HOST:PORT,...",
        value_delimiter = ',',
        default_value = "127.0.0.1:9092"
    )]
    pub(super) bootstrap: Vec<Address>,
    /// How to connect, in Kafka's names, as a properties file: security.protocol, ssl.*, sasl.mechanism,
    /// sasl.jaas.config [default: in plaintext]
    #[arg(long, global = true, value_name = "FILE")]
    command_config: Option<PathBuf>,
}

impl Cluster {
    pub(super) fn connect(&self) -> Result<Client, CommandError> {
        let access = match &self.command_config {
            None => Access::default(),
            Some(path) => {
                let (access, unknown) = Access::read(path)?;
                if !unknown.is_empty() {
                    let (names, path) = (unknown.join(" "), path.display());
                    note(format_args!("warning: {path}: not understood and passed over: {names}"));
                }
                access
            }
        };
        let mut client = Client::connect_by(&self.bootstrap, Limits::default(), access)?;
        client.tell_waiting(|error| {
            note(format_args!("waiting: {error}{}", disk_advice(&error.to_string())));
        });
        Ok(client)
    }
}

/// What a broker that answers with KAFKA_STORAGE_ERROR and no word more is most often short of.
fn disk_advice(error: &str) -> &'static str {
    let code = Code(ErrorCode::KafkaStorageError.code()).to_string();
    match error.contains(&code) && !error.contains("disk is full") {
        true => " (the broker's disk is full, or has failed: its log says which)",
        false => "",
    }
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum CommandError {
    #[error("--command-config: {0}")]
    Access(#[from] AccessError),
    #[error(transparent)]
    Metadata(#[from] MetadataError),
    #[error(transparent)]
    Admin(#[from] AdminError),
    #[error(transparent)]
    Offsets(#[from] ListOffsetsError),
    #[error(transparent)]
    Consume(#[from] ConsumeError),
    #[error(transparent)]
    Group(#[from] GroupError),
    #[error(transparent)]
    Transaction(#[from] TransactionError),
    #[error(transparent)]
    GroupConsume(#[from] GroupConsumeError),
    #[error(
        "a group begins at beginning, end or a time; to give it an offset, see strandline group reset-offsets"
    )]
    GroupStart,
    #[error("group {group}: its offsets can be reset while it has no members, and it is {state}")]
    GroupInUse { group: String, state: String },
    #[error("topic {topic}, partition {partition}: group {group} has no offset there to shift")]
    NothingToShift { group: String, topic: String, partition: i32 },
    /// As `strandline produce` tells it.
    #[error(transparent)]
    Produce(Box<dyn Error + Send + Sync>),
    #[error("the password: {0}")]
    Password(io::Error),
    #[error("a password of at least one byte is expected, on one line")]
    NoPassword,
    #[error("a rule is about something: --topic, --group, --transactional-id or --cluster")]
    NoResource,
    #[error("there is no user {name}")]
    NoUser { name: String },
    #[error("{}: no broker has been started there yet; start it once before", path.display())]
    NoDataDir { path: PathBuf },
    #[error(transparent)]
    Start(#[from] StartError),
    #[error(transparent)]
    Stop(#[from] StopError),
    #[error(transparent)]
    Settings(#[from] TopicError),
    #[error("stdout: {0}")]
    Output(#[from] io::Error),
    #[error("signals can not be caught: {0}")]
    Signals(io::Error),
    #[error(transparent)]
    Health(#[from] HealthError),
    #[error(transparent)]
    Broker(SettingError),
    #[error("writing {}: {source}", path.display())]
    Generate { path: PathBuf, source: io::Error },
}

/// Why a broker is not known to be well.
#[derive(Debug, thiserror::Error)]
pub(super) enum HealthError {
    #[error("no answer at {place}: {source}")]
    NoAnswer { place: HostPort, source: io::Error },
    #[error("what answers at {place} does not speak HTTP")]
    NotHttp { place: HostPort },
    #[error("the broker at {place} is not well: {said}")]
    Unwell { place: HostPort, said: String },
}

/// Says a line on stderr. Where nobody can hear it, the exit code must do.
pub(super) fn note(line: impl Display) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// Reports how a command ended, as the exit code.
pub(super) fn report(done: Result<ExitCode, CommandError>) -> ExitCode {
    match done {
        Ok(code) => code,
        // Whoever read our output has seen enough.
        Err(CommandError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            let error = plain(&error.to_string().replace(['\r', '\n'], " ")).to_string();
            note(format_args!("error: {error}{}", disk_advice(&error)));
            ExitCode::FAILURE
        }
    }
}

/// Whether the process was asked to end. The second time it ends at once.
#[derive(Clone, Debug)]
pub(super) struct Interrupt(Arc<AtomicUsize>);

impl Interrupt {
    pub(super) fn listen() -> Result<Interrupt, CommandError> {
        let asked = Arc::new(AtomicUsize::new(0));
        let again = Arc::new(AtomicBool::new(false));
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
    pub(super) fn exit_code(&self) -> Option<ExitCode> {
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
pub(super) fn unescape(text: &str) -> Result<String, String> {
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
pub(super) fn name_and_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("NAME=VALUE is expected".to_owned()),
    }
}

/// A cell of a table.
pub(super) fn or_dash(value: Option<impl ToString>) -> String {
    value.map_or("-".to_owned(), |value| value.to_string())
}

/// A name that somebody else has chosen, for a terminal and for one line: what ends the line, or moves the
/// cursor of who reads it, is escaped. Ids of groups and of their members are whatever clients like.
pub(super) fn plain(name: &str) -> Cow<'_, str> {
    if !name.contains(char::is_control) {
        return Cow::Borrowed(name);
    }
    let mut text = String::with_capacity(name.len() + 16);
    for letter in name.chars() {
        match letter.is_control() {
            true => text.extend(letter.escape_default()),
            false => text.push(letter),
        }
    }
    Cow::Owned(text)
}

/// Numbers as a cell of a table.
pub(super) fn joined(numbers: &[i32]) -> String {
    numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_line_and_moves_no_cursor() {
        assert_eq!(plain("a\u{1b}[2J\r\nb\u{9b}é"), "a\\u{1b}[2J\\r\\nb\\u{9b}é");
        assert!(matches!(plain("orders é"), Cow::Borrowed(_)));
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
