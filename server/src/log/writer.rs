//! Writes lines on a thread of its own, so that a reader who stands still stops nobody else.
//!
//! ```text
//! push > | queue, 1 MiB |  > thread "log" > write(2)
//!          full: lost                        an error: lost
//! ```
//!
//! A queue is exchanged for an empty one whole, so that whoever pushes meets a lock that is held for a copy
//! of its line.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

/// What waits to be written: some thousand lines, which a terminal or a disk that hangs for a moment does not
/// lose.
const QUEUE_BYTES_MAX: usize = 1 << 20;

/// How soon it is tried to say that lines were lost, when no further line comes.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// The way to the thread.
pub(super) struct Writer(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    /// Something was pushed.
    pushed: Condvar,
    /// The thread has nothing left to write.
    rested: Condvar,
}

#[derive(Default)]
struct State {
    queue: Vec<u8>,
    is_writing: bool,
    /// Since the start.
    lost: u64,
    /// What of it a line has said.
    told: u64,
}

impl Writer {
    /// Begins to write to `to`. `lost` makes the line that says how many lines were lost; `late` gives lines
    /// that nobody pushes, and is asked now and then.
    ///
    /// # Errors
    /// When there can not be another thread.
    pub(super) fn start(
        to: impl AsFd + Send + 'static,
        lost: impl Fn(u64) -> String + Send + 'static,
        late: impl Fn() -> String + Send + 'static,
    ) -> std::io::Result<Writer> {
        let shared =
            Arc::new(Shared { state: Mutex::default(), pushed: Condvar::new(), rested: Condvar::new() });
        let writing = shared.clone();
        let write = move || writing.write(to.as_fd(), &lost, &late);
        std::thread::Builder::new().name("log".to_owned()).spawn(write)?;
        Ok(Writer(shared))
    }

    /// Hands over whole lines.
    pub(super) fn push(&self, lines: String) {
        let mut state = self.0.state();
        if state.queue.len() + lines.len() > QUEUE_BYTES_MAX {
            state.lost += count(lines.as_bytes());
        } else {
            state.queue.extend_from_slice(lines.as_bytes());
            self.0.pushed.notify_one();
        }
    }

    /// Lines that were lost since the start.
    pub(super) fn lost(&self) -> u64 {
        self.0.state().lost
    }

    /// Waits until everything is written, or so long.
    pub(super) fn flush(&self, at_most: Duration) {
        let give_up = Instant::now() + at_most;
        let mut state = self.0.state();
        while !state.queue.is_empty() || state.is_writing {
            let left = give_up.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let waited = self.0.rested.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in there panics but for want of memory.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, to: BorrowedFd<'_>, lost: &dyn Fn(u64) -> String, late: &dyn Fn() -> String) {
        let mut batch = Vec::new();
        // Whether the last line that was written is not whole.
        let mut is_torn = false;
        loop {
            let untold = self.next(&mut batch);
            if batch.is_empty() {
                batch.extend_from_slice(late().as_bytes());
            }
            let mut head = String::from(if is_torn { "\n" } else { "" });
            if untold > 0 {
                head += &lost(untold);
            }
            let is_headed = write_some(to, head.as_bytes()) == head.len();
            let written = if is_headed { write_some(to, &batch) } else { 0 };
            if is_headed && written > 0 {
                is_torn = batch[written - 1] != b'\n';
            } else if is_headed && !head.is_empty() {
                is_torn = false;
            }
            let mut state = self.state();
            state.told += if is_headed { untold } else { 0 };
            state.lost += count(&batch[written..]);
            drop(state);
            batch.clear();
        }
    }

    /// Waits for lines, a while, and takes them; says how many were lost and not told.
    fn next(&self, batch: &mut Vec<u8>) -> u64 {
        let mut state = self.state();
        if state.queue.is_empty() {
            state.is_writing = false;
            self.rested.notify_all();
            let pause = if state.lost > state.told { TRY_AGAIN } else { super::limit::TELL_EVERY };
            state = self.pushed.wait_timeout(state, pause).unwrap_or_else(PoisonError::into_inner).0;
        }
        state.is_writing = true;
        std::mem::swap(&mut state.queue, batch);
        state.lost - state.told
    }
}

fn count(lines: &[u8]) -> u64 {
    lines.iter().filter(|byte| **byte == b'\n').count() as u64
}

/// Writes as much as can be written, and says how much that was. Waits for a reader; there is no other error
/// that goes away by waiting.
fn write_some(to: BorrowedFd<'_>, bytes: &[u8]) -> usize {
    let mut written = 0;
    while written < bytes.len() {
        match rustix::io::write(to, &bytes[written..]) {
            Ok(0) => break,
            Ok(more) => written += more,
            Err(Errno::INTR) => {}
            // Whoever started us may have made it so.
            Err(Errno::AGAIN) => {
                let _ = poll(&mut [PollFd::from_borrowed_fd(to, PollFlags::OUT)], None);
            }
            Err(_) => break,
        }
    }
    written
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn start(to: impl AsFd + Send + 'static) -> Writer {
        Writer::start(to, |lost| format!("{lost} lost\n"), String::new).unwrap()
    }

    fn line(number: usize) -> String {
        format!("{number:06} {}\n", "x".repeat(93))
    }

    #[test]
    fn a_reader_that_stands_still_costs_lines_and_nobody_waits_for_it() {
        let (reader, to) = std::io::pipe().unwrap();
        let writer = start(to);
        let pushed = 3 * QUEUE_BYTES_MAX / line(0).len();
        // This would never end if a line waited for the reader.
        (0..pushed).for_each(|number| writer.push(line(number)));
        assert!(writer.lost() > 0, "more than the queue and the pipe hold");
        writer.flush(Duration::from_millis(1));

        let (mut read, mut told, mut last) = (0, 0, None);
        let mut lines = std::io::BufRead::lines(std::io::BufReader::new(reader)).map(Result::unwrap);
        // The lines that say so come by themselves once the reader goes on.
        while read + told < pushed as u64 {
            let line = lines.next().unwrap();
            if let Some(lost) = line.strip_suffix(" lost") {
                told += lost.parse::<u64>().unwrap();
                continue;
            }
            assert_eq!(line.len(), 100, "whole lines");
            let number: usize = line[..6].parse().unwrap();
            assert!(last.replace(number).is_none_or(|last| last < number), "in their order");
            read += 1;
        }
        assert_eq!((told, read + told), (writer.lost(), pushed as u64), "each line is read or counted");
    }

    #[test]
    fn lines_that_can_not_be_written_are_counted() {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let (reader, broken) = std::io::pipe().unwrap();
        drop(reader);
        for writer in [start(full), start(broken)] {
            (0..100).for_each(|number| writer.push(line(number)));
            writer.flush(Duration::from_secs(60));
            assert_eq!(writer.lost(), 100);
        }
    }

    #[test]
    fn what_was_pushed_is_written_when_it_was_waited_for() {
        let (mut reader, to) = std::io::pipe().unwrap();
        let writer = start(to);
        (0..10).for_each(|number| writer.push(line(number)));
        writer.flush(Duration::from_secs(60));
        let mut read = vec![0; 10 * line(0).len()];
        reader.read_exact(&mut read).unwrap();
        assert_eq!(read, (0..10).map(line).collect::<String>().as_bytes());
        assert_eq!(writer.lost(), 0);
    }
}
