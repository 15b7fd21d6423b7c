//! `strandline log`: looking into a data directory that no broker runs on, and putting right what can be.
//!
//! ```text
//! log dump      what stands in files and directories, damage included       log_dump.rs
//! log verify    everything held against everything else
//! log repair    what can be put right in place
//! log salvage   everything that is whole, into a new directory
//! log strays    partitions' directories that were set aside: listed, deleted
//! ```
//!
//! Apache Kafka's data directories are read alike. Nothing is changed but by `repair --apply` and `strays delete`.
//!
//! Promises to scripts: exit code 0 when nothing is damaged, 1 when something is, 2 when the command line makes no sense or the
//! system refuses. With `--format json` every line on stdout is an object.

use super::common::note;
use super::log_dump;
use clap::{Subcommand, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use strandline_engine::inspect::{
    DataDir, Finding, InspectError, Owner, Repair, Salvaged, Severity, plan_repair, salvage, strays, verify,
};
use strandline_engine::types::Offset;

/// Something is damaged, or missing.
pub(super) const DAMAGED: u8 = 1;

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
    Dump(log_dump::Args),
    /// Check every batch, record, index entry and side file of a directory
    Verify {
        /// A data directory, or one partition's
        directory: PathBuf,
        #[command(flatten)]
        format: Format,
    },
    /// Make indexes and side files anew, cut torn tails, remove leftovers; prints what it would do unless --apply is given
    Repair {
        /// A data directory, or one partition's
        directory: PathBuf,
        /// Do it. Every file is copied first
        #[arg(long)]
        apply: bool,
        /// Where the copies go; beside the files, as NAME.before-repair, unless given
        #[arg(long, value_name = "DIR", requires = "apply")]
        backup: Option<PathBuf>,
        /// Give up the records of partitions whose directory is gone: their logs go on, empty, where they ended
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
    /// List or delete directories that a start has set aside because no topic had them; a broker may run meanwhile
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

#[derive(Clone, Copy, Debug, clap::Args)]
pub(super) struct Format {
    /// How the output looks
    #[arg(long, value_enum, default_value_t = FormatName::Text)]
    pub(super) format: FormatName,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum FormatName {
    /// Lines for people
    Text,
    /// One JSON object a line
    Json,
}

/// Why a command could not be done.
#[derive(Debug, thiserror::Error)]
pub(super) enum LogError {
    #[error(transparent)]
    Inspect(#[from] InspectError),
    #[error("{}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{}: no directory {name:?} was set aside; `strandline log strays list` prints them", directory.display())]
    NoStray { directory: PathBuf, name: String },
    #[error("stdout: {0}")]
    Output(#[from] io::Error),
}

/// Runs a command, and gives its exit code.
pub(super) fn run(args: Args) -> ExitCode {
    let mut out = BufWriter::new(io::stdout().lock());
    let done = match args.command {
        Command::Dump(args) => log_dump::run(&args, &mut out),
        Command::Verify { directory, format } => run_verify(&directory, format.format, &mut out),
        Command::Repair { directory, apply, backup, accept_loss } => {
            run_repair(&directory, apply, accept_loss, backup.as_deref(), &mut out)
        }
        Command::Salvage { source, to, format } => run_salvage(&source, &to, format.format, &mut out),
        Command::Strays { command: StraysCommand::List { directory, format } } => {
            list_strays(&directory, format.format, &mut out)
        }
        Command::Strays { command: StraysCommand::Delete { directory, names, all } } => {
            delete_strays(&directory, (!all).then_some(&names), &mut out)
        }
    };
    match done.and_then(|damaged| Ok(out.flush().map(|()| damaged)?)) {
        Ok(damaged) => ExitCode::from(if damaged { DAMAGED } else { super::DONE }),
        // Whoever read our output has seen enough.
        Err(LogError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            note(format_args!("error: {error}"));
            ExitCode::from(super::USAGE)
        }
    }
}

/// A bar for those who watch; nothing for scripts.
fn progress_bar(dir: &DataDir) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let segments = dir.partitions.iter().flat_map(|partition| &partition.segments);
    let style =
        ProgressStyle::with_template("{bar:40} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left");
    ProgressBar::new(segments.map(|segment| segment.length).sum())
        .with_style(style.expect("the template is right"))
}

fn run_verify(directory: &Path, format: FormatName, out: &mut impl Write) -> Result<bool, LogError> {
    let dir = DataDir::open(directory)?;
    let bar = progress_bar(&dir);
    let mut written = Ok(());
    let mut report = |finding: &Finding| {
        let line = match format {
            FormatName::Text => finding.to_string(),
            FormatName::Json => finding_json(finding).to_string(),
        };
        if written.is_ok() {
            written = bar.suspend(|| writeln!(out, "{line}"));
        }
    };
    let verified = verify(&dir, &mut report, &mut |bytes| bar.inc(bytes));
    bar.finish_and_clear();
    written?;
    let owner = match dir.owner {
        Owner::Strandline => "",
        Owner::Kafka => "Apache Kafka's: the segments were verified, Kafka's own side files were not; ",
        Owner::Partition => "one partition without its topic table, checkpoint and journals; ",
    };
    match format {
        FormatName::Text => writeln!(
            out,
            "{}: {owner}{} partitions, {} segments, {} batches, {} records: {} damaged, {} notes",
            directory.display(),
            verified.partitions,
            verified.segments,
            verified.batches,
            verified.records,
            verified.damage,
            verified.notes,
        )?,
        FormatName::Json => writeln!(
            out,
            "{}",
            json!({
                "type": "summary", "partitions": verified.partitions, "segments": verified.segments,
                "batches": verified.batches, "records": verified.records, "damage": verified.damage,
                "notes": verified.notes,
            })
        )?,
    }
    Ok(verified.damage > 0)
}

fn list_strays(directory: &Path, format: FormatName, out: &mut impl Write) -> Result<bool, LogError> {
    let strays = strays(directory)?;
    for stray in &strays {
        match format {
            FormatName::Text => {
                writeln!(out, "{}  {} bytes in {} files", stray.name, stray.bytes, stray.files)?
            }
            FormatName::Json => writeln!(
                out,
                "{}",
                json!({"type": "stray", "name": stray.name, "bytes": stray.bytes, "files": stray.files})
            )?,
        }
    }
    if format == FormatName::Text && strays.is_empty() {
        writeln!(out, "no directory was set aside")?;
    }
    Ok(false)
}

fn delete_strays(
    directory: &Path,
    names: Option<&Vec<String>>,
    out: &mut impl Write,
) -> Result<bool, LogError> {
    let strays = strays(directory)?;
    if let Some(unknown) =
        names.into_iter().flatten().find(|name| strays.iter().all(|stray| stray.name != **name))
    {
        return Err(LogError::NoStray { directory: directory.to_owned(), name: unknown.clone() });
    }
    for stray in strays.iter().filter(|stray| names.is_none_or(|names| names.contains(&stray.name))) {
        stray.delete(directory)?;
        writeln!(out, "{}: deleted", stray.name)?;
    }
    Ok(false)
}

fn finding_json(finding: &Finding) -> Value {
    let severity = match finding.severity {
        Severity::Note => "note",
        Severity::Damage => "damage",
    };
    let offset = |offset: Option<Offset>| offset.map(Offset::get);
    json!({
        "type": severity,
        "path": finding.path.display().to_string(),
        "position": finding.position,
        "first_offset": offset(finding.offsets.as_ref().map(|offsets| offsets.start)),
        "next_offset": offset(finding.offsets.as_ref().map(|offsets| offsets.end)),
        "what": finding.what.to_string(),
    })
}

fn run_repair(
    directory: &Path,
    apply: bool,
    accept_loss: bool,
    backup: Option<&Path>,
    out: &mut impl Write,
) -> Result<bool, LogError> {
    let dir = DataDir::open(directory)?;
    if dir.owner == Owner::Kafka {
        writeln!(
            out,
            "Apache Kafka's directories are not repaired: Kafka does that, or strandline log salvage goes around"
        )?;
        return Ok(true);
    }
    let bar = progress_bar(&dir);
    let (repairs, stays) = plan_repair(&dir, accept_loss, &mut |bytes| bar.inc(bytes));
    bar.finish_and_clear();
    for repair in &repairs {
        let path = repair.path().display();
        let what = match repair {
            Repair::Rewrite { bytes, lost: None, .. } => {
                format!("make anew, {} bytes; nothing is lost", bytes.len())
            }
            Repair::Rewrite { bytes, lost: Some(lost), .. } => {
                format!("make anew, {} bytes; lost: {lost}", bytes.len())
            }
            Repair::Cut { length, bytes, .. } => format!("cut to {length} bytes, {bytes} of a torn tail go"),
            Repair::Remove { .. } => "remove".to_owned(),
        };
        writeln!(out, "{path}: {what}")?;
        if apply {
            repair.apply(&copy_of(repair.path(), directory, backup))?;
        }
    }
    match (repairs.len(), apply) {
        (0, _) => writeln!(out, "there is nothing to repair")?,
        (count, true) => writeln!(out, "{count} repaired; the files as they were are kept")?,
        (count, false) => writeln!(out, "{count} to repair; nothing was changed, --apply does it")?,
    }
    if stays > 0 {
        writeln!(
            out,
            "{stays} findings stay: strandline log verify names them, strandline log salvage goes around them"
        )?;
    }
    Ok(stays > 0 || (!apply && !repairs.is_empty()))
}

/// Where the copy of a file goes before it is changed.
fn copy_of(path: &Path, directory: &Path, backup: Option<&Path>) -> PathBuf {
    let kept = match backup {
        Some(backup) => backup.join(path.strip_prefix(directory).unwrap_or(path)),
        None => path.to_owned(),
    };
    let mut name = kept.into_os_string();
    if backup.is_none() {
        name.push(".before-repair");
    }
    name.into()
}

fn run_salvage(
    source: &Path,
    target: &Path,
    format: FormatName,
    out: &mut impl Write,
) -> Result<bool, LogError> {
    let dir = DataDir::open(source)?;
    let bar = progress_bar(&dir);
    let (mut written, mut rows, mut damaged) = (Ok(()), 0, false);
    let mut report = |row: &Salvaged| {
        rows += 1;
        damaged |= row.damaged_bytes > 0 || !row.missing.is_empty();
        if written.is_ok() {
            written = bar.suspend(|| write_salvaged(row, format, out));
        }
    };
    // State of Kafka's coordinators and controllers is theirs.
    let wanted = |topic: &str| !topic.starts_with("__");
    let done = salvage(&dir, target, &wanted, &mut report, &mut |bytes| bar.inc(bytes));
    bar.finish_and_clear();
    written?;
    let done = done?;
    damaged |= done.topics_guessed || done.unclaimed_journaled > 0 || done.settings_lost;
    if format == FormatName::Json {
        let summary = json!({
            "type": "summary", "topics": done.topics, "partitions": rows, "topics_guessed": done.topics_guessed,
            "settings_lost": done.settings_lost, "left_out": done.left_out, "unclaimed_journaled_batches": done.unclaimed_journaled,
        });
        writeln!(out, "{summary}")?;
        return Ok(damaged);
    }
    if done.topics_guessed {
        writeln!(
            out,
            "the topic table is lost: topics have the names of their directories, and no settings"
        )?;
    }
    if done.settings_lost {
        writeln!(
            out,
            "the file settings is lost: what was set for the broker while it ran is not in the new directory"
        )?;
    }
    if done.unclaimed_journaled > 0 {
        writeln!(out, "{} batches of journals belong to no known topic", done.unclaimed_journaled)?;
    }
    if !done.left_out.is_empty() {
        writeln!(out, "left out: {}", done.left_out.join(", "))?;
    }
    writeln!(out, "{}: {} topics, {rows} partitions", target.display(), done.topics)?;
    Ok(damaged)
}

fn write_salvaged(row: &Salvaged, format: FormatName, out: &mut impl Write) -> io::Result<()> {
    if format == FormatName::Json {
        let missing: Vec<_> = row
            .missing
            .iter()
            .map(|gone| json!({"first_offset": gone.start.get(), "next_offset": gone.end.get()}))
            .collect();
        let line = json!({
            "type": "partition", "topic": row.topic, "partition": row.index, "log_start": row.log_start.get(),
            "log_end": row.log_end.get(), "batches": row.batches, "records": row.records,
            "from_journals": row.from_journals, "restored": row.restored, "damaged_bytes": row.damaged_bytes,
            "missing": missing,
        });
        return writeln!(out, "{line}");
    }
    writeln!(
        out,
        "{} partition {}: {} records in {} batches, log start {}, log end {}",
        row.topic, row.index, row.records, row.batches, row.log_start, row.log_end
    )?;
    for (count, what) in [
        (row.from_journals, "batches were only in a journal"),
        (row.restored, "batches had a wrong base offset, which was put right"),
        (row.damaged_bytes, "bytes of segments were no batches"),
    ] {
        if count > 0 {
            writeln!(out, "  {count} {what}")?;
        }
    }
    for gone in &row.missing {
        writeln!(out, "  missing: offsets {} to {}", gone.start, gone.end.get() - 1)?;
    }
    Ok(())
}
