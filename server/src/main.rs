//! The `strandline` program; see [`strandline::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    strandline::cli::run()
}
