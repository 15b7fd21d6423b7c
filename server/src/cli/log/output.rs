//! What the commands of `strandline log` share: how output looks, what a failure is, a bar for those who
//! watch.

use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressStyle};
use std::io::{self, IsTerminal};
use std::path::PathBuf;
use strandline_engine::inspect::{DataDir, InspectError};

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

/// A bar for those who watch; nothing for scripts.
pub(super) fn progress_bar(dir: &DataDir) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let segments = dir.partitions.iter().flat_map(|partition| &partition.segments);
    let style =
        ProgressStyle::with_template("{bar:40} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left");
    ProgressBar::new(segments.map(|segment| segment.length).sum())
        .with_style(style.expect("the template is right"))
}
