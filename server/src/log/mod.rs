//! The broker's log: a line for an event, on stderr.
//!
//! ```text
//! any thread    event > limit (by kind and peer) > line (text or JSON, fields cut) > queue of 1 MiB
//! thread "log"  queue > stderr
//! ```
//!
//! What is promised:
//!
//! * **No line stops or ends anything.** A thread that logs hands its line over; one thread writes. Where
//!   nobody takes what it writes (a full disk, a pipe whose reader stands still or has gone), lines are lost
//!   and counted, and a line says how many as soon as one can be written again.
//! * **No client floods it** (D11): [`limit`] has the rules, and what was left out is counted.
//! * **A line is a line.** Names are whatever clients like: control characters are escaped, long values cut.
//!
//! This is `tracing` with a layer of our own. The formatter of `tracing-subscriber` neither cuts nor escapes,
//! and panics when stderr can not be written; the queue of `tracing-appender` bounds lines and not bytes, and
//! does not count what could not be written.

mod limit;
mod line;
mod writer;

use std::panic::PanicHookInfo;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

use limit::{Limiter, Verdict};
use line::Line;
use writer::Writer;

pub use line::Format;

/// How long the end of the process waits for lines that were not written yet.
const FLUSH_TIME_MAX: Duration = Duration::from_secs(1);

/// The log of this process, once it has begun.
static LOG: OnceLock<Log> = OnceLock::new();

/// What became of lines that are not in the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Lines that could not be written.
    pub lost: u64,
    /// Lines that the limits left out.
    pub suppressed: u64,
}

struct Log {
    format: Format,
    limiter: Mutex<Limiter>,
    writer: Writer,
}

/// Begins the log of this process: what `filter` lets through, in this format, on stderr. Panics are told
/// there from now on.
///
/// # Errors
/// When there can not be another thread.
///
/// # Panics
/// The second time.
pub fn start(filter: EnvFilter, format: Format) -> std::io::Result<()> {
    let lost = move |lines| {
        Line::own(Level::WARN, format!("{lines} log lines were lost: they could not be written")).text(format)
    };
    let writer = Writer::start(std::io::stderr(), lost, left_out)?;
    let log = Log { format, limiter: Mutex::default(), writer };
    assert!(LOG.set(log).is_ok(), "a process has one log");
    tracing_subscriber::registry().with(filter).with(ToLog).init();
    std::panic::set_hook(Box::new(tell_panic));
    Ok(())
}

/// Waits until all lines are written, or for [`FLUSH_TIME_MAX`] where nobody takes them.
pub fn flush() {
    if let Some(log) = LOG.get() {
        log.writer.flush(FLUSH_TIME_MAX);
    }
}

/// Writes a line as it is, behind those that wait. Before the log has begun, it goes to stderr at once.
pub fn write_line(text: &str) {
    match LOG.get() {
        Some(log) => log.writer.push(format!("{text}\n")),
        None => {
            // Nobody is left to be told.
            let _ = rustix::io::write(std::io::stderr(), format!("{text}\n").as_bytes());
        }
    }
}

/// What has become of lines so far; zeros where the log is another's.
pub fn counts() -> Counts {
    let Some(log) = LOG.get() else { return Counts::default() };
    Counts { lost: log.writer.lost(), suppressed: log.limits().suppressed() }
}

impl Log {
    fn limits(&self) -> std::sync::MutexGuard<'_, Limiter> {
        // A thread that panicked in there has left numbers, which are right at every moment.
        self.limiter.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How many lines were left out, where no further line of their kind came to say it.
fn left_out() -> String {
    let Some(log) = LOG.get() else { return String::new() };
    let told = log.limits().left_out(Instant::now());
    told.iter().map(|left_out| Line::left_out(left_out).text(log.format)).collect()
}

/// In the log, and not by the standard library: where nobody takes what is written, that would wait for ever,
/// and the process would not end.
fn tell_panic(panic: &PanicHookInfo<'_>) {
    let thread = std::thread::current();
    let backtrace = std::backtrace::Backtrace::capture();
    write_line(&format!("thread '{}' {panic}\n{backtrace}", thread.name().unwrap_or("unnamed")));
    flush();
}

/// Makes lines of events.
struct ToLog;

impl<S: Subscriber> Layer<S> for ToLog {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let Some(log) = LOG.get() else { return };
        let mut line = Line::new(event);
        match log.limits().admit(event.metadata().name(), &line, Instant::now()) {
            Verdict::Write { left_out } => {
                line.note_left_out(left_out);
                log.writer.push(line.text(log.format));
            }
            Verdict::LeaveOut => {}
        }
    }
}
