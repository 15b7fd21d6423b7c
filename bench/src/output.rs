//! What is printed: figures on stdout, how far it is on stderr.
//!
//! The macros of the standard library panic where nobody reads. Here a reader who has seen enough ends
//! nothing: brokers have been started that must be stopped in their order. The first failure is kept, and
//! [`end`] says it.

use std::fmt::Arguments;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Mutex;

/// Why figures could not be printed.
static FAILURE: Mutex<Option<io::Error>> = Mutex::new(None);

/// Figures, as they are.
macro_rules! out {
    ($($what:tt)*) => { $crate::output::print(format_args!($($what)*)) };
}

/// A line of figures.
macro_rules! outln {
    ($($what:tt)*) => { $crate::output::print(format_args!("{}\n", format_args!($($what)*))) };
}

/// A line for those who watch.
macro_rules! note {
    ($($what:tt)*) => { $crate::output::tell(format_args!($($what)*)) };
}
pub(crate) use {note, out, outln};

pub(crate) fn print(what: Arguments<'_>) {
    let mut failure = FAILURE.lock().expect("nothing panics while it holds the lock");
    if failure.is_none() {
        *failure = io::stdout().lock().write_fmt(what).err();
    }
}

pub(crate) fn tell(line: Arguments<'_>) {
    // Who does not hear it misses nothing.
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// The exit code of a command that has done its work: failed when its figures were not printed, unless their
/// reader has seen enough.
pub(crate) fn end() -> ExitCode {
    let mut failure = FAILURE.lock().expect("nothing panics while it holds the lock");
    match failure.take().or_else(|| io::stdout().flush().err()) {
        Some(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            tell(format_args!("error: stdout: {error}"));
            ExitCode::FAILURE
        }
        _ => ExitCode::SUCCESS,
    }
}
