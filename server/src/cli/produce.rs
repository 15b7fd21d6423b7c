//! `strandline produce`: appends lines from stdin or a file.
//!
//! ```text
//! reader thread: read > whole lines ==(bounded channel)==> main thread: line > key, value > Producer
//! ```
//!
//! The thread is there so that a line typed now is sent after `--linger` even if the next one never comes.

use super::common::{Cluster, CommandError, Interrupt, name_and_value, note, unescape};
use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressStyle};
use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant, SystemTime};
use strandline_client::{Acks, NewRecord, ProduceError, Producer, ProducerOptions};
use strandline_engine::format::compression::Codec;
use strandline_engine::types::Timestamp;
use strandline_protocol::wire::ErrorCode;

/// What is read at once.
const CHUNK_BYTES: usize = 256 * 1024;

/// Chunks that wait for the main thread.
const CHUNKS_QUEUED: usize = 4;

/// No line is longer: a broker takes no request above 100 MiB.
const LINE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// How often signals, lingering batches and the progress bar are looked after, at least.
const TICK_MAX: Duration = Duration::from_millis(100);

/// What is done sooner needs no progress bar.
const PROGRESS_AFTER: Duration = Duration::from_secs(1);

const EXAMPLES: &str = "\
Each line is a record; the line feed is not part of it, and a last line without one counts.
A key decides the partition as in Kafka's Java client; records without a key fill one partition
after the other, a batch each. With --acks all the producer is idempotent: nothing is appended
twice, whatever is repeated. The summary on stderr says how many records were acknowledged.

Examples:
  echo hello | strandline produce events
  strandline produce events access.log --codec zstd
  printf 'user1:login\\nuser2:logout\\n' | strandline produce events --key-separator :
  strandline produce events --partition 0 --header source=import --header run=7 data.txt";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(flatten)]
    cluster: Cluster,
    /// The topic; created when the broker's settings allow that
    topic: String,
    /// The lines; stdin unless given, or when it is -
    file: Option<PathBuf>,
    /// What ends the key at the front of each line; \t, \n, \0 and \\ are known
    #[arg(short = 'K', long, value_name = "TEXT", value_parser = separator)]
    key_separator: Option<String>,
    /// Append to this partition, whatever the key
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(i32).range(0..))]
    partition: Option<i32>,
    /// A header for every record; may be repeated
    #[arg(short = 'H', long = "header", value_name = "NAME=VALUE", value_parser = name_and_value)]
    headers: Vec<(String, String)>,
    /// How batches are compressed
    #[arg(short = 'z', long, value_enum, default_value_t = CodecName::None)]
    codec: CodecName,
    /// Who has to have a batch before it counts: nobody (0), the leader (1), all in-sync replicas (all)
    #[arg(long, value_enum, default_value_t = AcksName::All)]
    acks: AcksName,
    /// Send a batch when it has this many bytes, before compression
    #[arg(long, value_name = "BYTES", default_value_t = 256 * 1024,
          value_parser = clap::value_parser!(u32).range(1..=16 * 1024 * 1024))]
    batch_bytes: u32,
    /// Send a batch when its first record has waited this many milliseconds
    #[arg(long, value_name = "MS", default_value_t = 5, value_parser = clap::value_parser!(u32).range(..=60_000))]
    linger: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum CodecName {
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum AcksName {
    #[value(name = "0")]
    None,
    #[value(name = "1")]
    Leader,
    #[value(name = "all", alias = "-1")]
    All,
}

fn separator(text: &str) -> Result<String, String> {
    match unescape(text)? {
        separator if separator.is_empty() => Err("it must not be empty".to_owned()),
        separator => Ok(separator),
    }
}

/// Why lines were not appended.
#[derive(Debug, thiserror::Error)]
enum ProduceFailure {
    #[error("{}{error}{}", lines_of(error), advice_on(error))]
    Producer {
        #[from]
        error: ProduceError,
    },
    #[error("line {line}: there is no key separator {separator:?} in it")]
    NoKey { line: u64, separator: String },
    #[error("line {line}: it is longer than {limit} bytes")]
    LongLine { line: u64, limit: usize },
    #[error("{}: {source}", path.display())]
    Input { path: PathBuf, source: io::Error },
}

impl From<ProduceFailure> for CommandError {
    fn from(failure: ProduceFailure) -> CommandError {
        CommandError::Produce(failure.into())
    }
}

/// Appends lines.
pub(super) fn run(args: Args) -> Result<ExitCode, CommandError> {
    let interrupt = Interrupt::listen()?;
    let file = args.file.as_deref().filter(|path| *path != Path::new("-"));
    let input = Input::open(file)?;
    let opened = Producer::open(args.cluster.connect()?, &args.topic, args.options());
    let producer = opened.map_err(ProduceFailure::from)?;
    let mut run = Run::new(args, producer, &input);
    let read = run.read(input, &interrupt);
    // Whatever ended it, what was read before is sent, and counted as far as it was acknowledged.
    let flushed = match &read {
        Err(ProduceFailure::Producer { .. }) => Ok(()),
        _ => run.producer.flush().map_err(ProduceFailure::from),
    };
    run.summary();
    read.and(flushed)?;
    Ok(interrupt.exit_code().unwrap_or(ExitCode::SUCCESS))
}

impl Args {
    fn options(&self) -> ProducerOptions {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        ProducerOptions {
            acks: match self.acks {
                AcksName::None => Acks::None,
                AcksName::Leader => Acks::Leader,
                AcksName::All => Acks::All,
            },
            codec: match self.codec {
                CodecName::None => Codec::None,
                CodecName::Gzip => Codec::Gzip,
                CodecName::Snappy => Codec::Snappy,
                CodecName::Lz4 => Codec::Lz4,
                CodecName::Zstd => Codec::Zstd,
            },
            batch_bytes: self.batch_bytes as usize,
            linger: Duration::from_millis(self.linger.into()),
            first_partition: now.subsec_micros(),
        }
    }

    /// Key and value of a line.
    fn split<'a>(&self, line: &'a [u8], number: u64) -> Result<(Option<&'a [u8]>, &'a [u8]), ProduceFailure> {
        let Some(separator) = &self.key_separator else { return Ok((None, line)) };
        let found = line.windows(separator.len()).position(|window| window == separator.as_bytes());
        let Some(at) = found else {
            return Err(ProduceFailure::NoKey { line: number, separator: separator.clone() });
        };
        Ok((Some(&line[..at]), &line[at + separator.len()..]))
    }
}

/// Where lines come from.
struct Input {
    path: PathBuf,
    reader: Box<dyn Read + Send>,
    /// `None` when it is not a file of known size.
    bytes: Option<u64>,
    /// Whether someone types.
    terminal: bool,
}

impl Input {
    fn open(path: Option<&Path>) -> Result<Input, ProduceFailure> {
        let Some(path) = path else {
            let terminal = io::stdin().is_terminal();
            return Ok(Input { path: "stdin".into(), reader: Box::new(io::stdin()), bytes: None, terminal });
        };
        let failed = |source| ProduceFailure::Input { path: path.to_owned(), source };
        let file = File::open(path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        let bytes = metadata.is_file().then_some(metadata.len());
        Ok(Input { path: path.to_owned(), reader: Box::new(file), bytes, terminal: false })
    }

    /// Reads in a thread of its own until the end, an error, or nobody wants more.
    fn start(self) -> Receiver<Result<Vec<u8>, ProduceFailure>> {
        let (sender, receiver) = sync_channel(CHUNKS_QUEUED);
        // Never joined: it may wait for a keyboard forever.
        thread::spawn(move || {
            if let Err(error) = send_lines(self, &sender) {
                // Without a receiver there is nobody to tell.
                let _ = sender.send(Err(error));
            }
        });
        receiver
    }
}

/// Sends what is there at the moment as whole lines.
fn send_lines(
    mut input: Input,
    sender: &SyncSender<Result<Vec<u8>, ProduceFailure>>,
) -> Result<(), ProduceFailure> {
    let mut lines_sent = 0;
    let mut pending: Vec<u8> = Vec::new();
    loop {
        let start = pending.len();
        pending.resize(start + CHUNK_BYTES, 0);
        let read = match input.reader.read(&mut pending[start..]) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
            Err(source) => return Err(ProduceFailure::Input { path: input.path, source }),
            Ok(0) => {
                pending.truncate(start);
                if !pending.is_empty() {
                    let _ = sender.send(Ok(pending));
                }
                return Ok(());
            }
            Ok(read) => read,
        };
        pending.truncate(start + read);
        let Some(last) = pending[start..].iter().rposition(|byte| *byte == b'\n') else {
            if pending.len() > LINE_BYTES_MAX {
                return Err(ProduceFailure::LongLine { line: lines_sent + 1, limit: LINE_BYTES_MAX });
            }
            continue;
        };
        let rest = pending.split_off(start + last + 1);
        lines_sent += pending.iter().filter(|byte| **byte == b'\n').count() as u64;
        if sender.send(Ok(pending)).is_err() {
            return Ok(());
        }
        pending = rest;
    }
}

/// One run of the command.
struct Run {
    args: Args,
    producer: Producer,
    progress: Progress,
    started: Instant,
    lines: u64,
    bytes: u64,
}

impl Run {
    fn new(args: Args, producer: Producer, input: &Input) -> Run {
        let started = Instant::now();
        let progress = Progress {
            bar: None,
            wanted: io::stderr().is_terminal() && !input.terminal,
            from: started + PROGRESS_AFTER,
            bytes: input.bytes,
        };
        Run { args, producer, progress, started, lines: 0, bytes: 0 }
    }

    /// Pushes every line until the end or an interrupt.
    fn read(&mut self, input: Input, interrupt: &Interrupt) -> Result<(), ProduceFailure> {
        let tick = Duration::from_millis(self.args.linger.into()).clamp(Duration::from_millis(1), TICK_MAX);
        let chunks = input.start();
        while interrupt.exit_code().is_none() {
            match chunks.recv_timeout(tick) {
                Ok(chunk) => self.push_lines(&chunk?)?,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
            let now = Instant::now();
            self.producer.poll(now)?;
            self.progress.show(now, self.bytes, self.producer.acknowledged().records);
        }
        Ok(())
    }

    fn push_lines(&mut self, chunk: &[u8]) -> Result<(), ProduceFailure> {
        let headers: Vec<(&str, Option<&[u8]>)> =
            self.args.headers.iter().map(|(name, value)| (name.as_str(), Some(value.as_bytes()))).collect();
        let now = Instant::now();
        let clock = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        for line in chunk.split_inclusive(|byte| *byte == b'\n') {
            self.lines += 1;
            self.bytes += line.len() as u64;
            let line = line.strip_suffix(b"\n").unwrap_or(line);
            if line.len() > LINE_BYTES_MAX {
                return Err(ProduceFailure::LongLine { line: self.lines, limit: LINE_BYTES_MAX });
            }
            let (key, value) = self.args.split(line, self.lines)?;
            let record = NewRecord {
                key,
                value: Some(value),
                headers: &headers,
                timestamp: Timestamp(clock.as_millis() as i64),
                partition: self.args.partition,
                tag: self.lines,
            };
            self.producer.push(&record, now)?;
        }
        Ok(())
    }

    fn summary(&mut self) {
        self.progress.end();
        let seconds = self.started.elapsed().as_secs_f64();
        let records = self.producer.acknowledged().records;
        let verb = if self.args.acks == AcksName::None { "sent" } else { "acknowledged" };
        note(format_args!(
            "{records} records {verb} of {} read, {} bytes, {seconds:.3} s, {:.0} records/s, {:.2} MB/s",
            self.lines,
            self.bytes,
            records as f64 / seconds,
            self.bytes as f64 / 1e6 / seconds,
        ));
    }
}

/// The progress bar, once there is one.
struct Progress {
    bar: Option<ProgressBar>,
    wanted: bool,
    from: Instant,
    bytes: Option<u64>,
}

impl Progress {
    fn show(&mut self, now: Instant, bytes: u64, records: u64) {
        if !self.wanted || now < self.from {
            return;
        }
        let bar = self.bar.get_or_insert_with(|| match self.bytes {
            Some(bytes) => ProgressBar::new(bytes).with_style(style(
                "{wide_bar} {bytes} of {total_bytes}, {bytes_per_sec}, {msg} records, {eta} left",
            )),
            None => ProgressBar::new_spinner()
                .with_style(style("{spinner} {msg} records, {bytes}, {bytes_per_sec}, {elapsed}")),
        });
        bar.set_message(records.to_string());
        bar.set_position(bytes);
    }

    fn end(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("our own template")
}

/// Which lines a failure is about: `line 3: ` or `lines 3 to 90: `.
fn lines_of(error: &ProduceError) -> String {
    match error {
        ProduceError::Refused { tags: (first, last), .. } if first == last => format!("line {first}: "),
        ProduceError::Refused { tags: (first, last), .. } => format!("lines {first} to {last}: "),
        _ => String::new(),
    }
}

/// What helps against a failure.
fn advice_on(error: &ProduceError) -> String {
    match error {
        ProduceError::Refused { code, batch_bytes, .. } if code.is(ErrorCode::MessageTooLarge) => {
            format!(" (it needs {batch_bytes} bytes; the topic's max.message.bytes is the limit)")
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(input: &'static [u8]) -> Vec<Result<Vec<u8>, String>> {
        let input = Input { path: "test".into(), reader: Box::new(input), bytes: None, terminal: false };
        input.start().into_iter().map(|chunk| chunk.map_err(|error| error.to_string())).collect()
    }

    #[test]
    fn a_chunk_has_whole_lines_and_the_last_may_lack_its_end() {
        assert_eq!(lines(b"one\ntwo\nthr"), [Ok(b"one\ntwo\n".to_vec()), Ok(b"thr".to_vec())]);
        assert_eq!(lines(b"\n"), [Ok(b"\n".to_vec())]);
        assert_eq!(lines(b""), []);
    }

    #[test]
    fn a_line_without_end_is_refused_with_its_number() {
        let mut input = b"short\n".to_vec();
        input.resize(LINE_BYTES_MAX + 2 * CHUNK_BYTES, b'x');
        let got = lines(input.leak());
        assert_eq!(got[0], Ok(b"short\n".to_vec()));
        assert_eq!(got[1..], [Err(format!("line 2: it is longer than {LINE_BYTES_MAX} bytes"))]);
    }
}
