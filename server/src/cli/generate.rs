//! `strandline generate`: manual pages and completions of shells, out of the same declarations as `--help`.
//! For whoever packages it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap_complete::Shell;

use super::common::CommandError;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Where they are written; made when it is not there
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

/// The shells, each with the folder and the file that it looks for.
const SHELLS: [(Shell, &str, &str); 3] = [
    (Shell::Bash, "bash", "strandline"),
    (Shell::Zsh, "zsh", "_strandline"),
    (Shell::Fish, "fish", "strandline.fish"),
];

/// Writes `man1/strandline*.1`, and what each shell takes into a folder of its name.
pub(super) fn run(args: Args, mut command: clap::Command) -> Result<ExitCode, CommandError> {
    let written = write(&args.directory, &mut command);
    written.map_err(|source| CommandError::Generate { path: args.directory, source })?;
    Ok(ExitCode::SUCCESS)
}

fn write(directory: &Path, command: &mut clap::Command) -> io::Result<()> {
    for (shell, folder, file) in SHELLS {
        let folder = directory.join(folder);
        fs::create_dir_all(&folder)?;
        let mut script = Vec::new();
        clap_complete::generate(shell, command, "strandline", &mut script);
        fs::write(folder.join(file), script)?;
    }
    let pages = directory.join("man1");
    fs::create_dir_all(&pages)?;
    clap_mangen::generate_to(command.clone(), pages)
}
