//! Many mean connections on one thread, which is cheap: what they send is made before, what they are sent is
//! thrown away.
//!
//! ```text
//!            due by schedule, a seat is free           all written
//! no stream ------------------------------> writing -----------> waiting ---- answered, closed, or patience at its end ---> free
//!     ^                                        |                    |
//!     '---------- closed by the broker --------'--------------------'          held (never reads, never sends): until the end
//! ```
//! A swarm is bounded three times over: by its seats (connections at once), by its rate (attacks begun a
//! second), and by the load beside it, with which it ends. What is due while no seat is free is not made up
//! for.

use crate::clock::{SECOND, nanos, now};
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::time::Timespec;
use serde_json::{Value, json};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

/// The longest sleep of a thread: how late it notices the end.
const WAIT_MAX: u64 = SECOND / 20;
/// Events taken from the kernel at a time.
const EVENTS: usize = 256;
/// How much of an answer is thrown away with one call.
const READ_BYTES: usize = 256 << 10;
/// How much of one connection is thrown away before the others have their turn.
const READ_TURNS: usize = 16;
/// The longest head of an answer of HTTP that is taken for one.
const HTTP_HEAD_MAX: usize = 16 << 10;
/// How long a connection may take to be made: on a loopback only a full queue of the listener takes time.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(250);
/// How long a connection that was refused, or closed, is not tried again.
const AGAIN_AFTER: Duration = Duration::from_millis(10);

/// Which of the broker's ports is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Port {
    Kafka,
    Metrics,
    Tls,
}

/// What a mean client does once its bytes are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    /// Reads so many answers and throws them away, then is ready for the next attack on the same connection.
    Answers(u32),
    /// Reads one answer of HTTP with a length, and is ready for the next attack when it says 200.
    Http,
    /// Reads nothing, and keeps the connection.
    Hold,
    /// Reads whatever comes until the broker closes or this long is over; then closes.
    Close(Duration),
}

/// One thing that is done to the broker.
#[derive(Clone, Debug)]
pub(crate) struct Attack {
    pub(crate) port: Port,
    pub(crate) bytes: Vec<u8>,
    pub(crate) then: Then,
}

/// A number of mean clients that do the same things in turn.
#[derive(Clone, Debug)]
pub(crate) struct Swarm {
    /// Connections at once.
    pub(crate) seats: usize,
    /// Attacks begun a second.
    pub(crate) per_second: f64,
    /// What is done, one after the other, over and over.
    pub(crate) attacks: Vec<Attack>,
}

/// What a swarm did, and what came of it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    /// Attacks whose bytes were all taken by the kernel.
    pub(crate) sent: u64,
    /// Answers read in full.
    pub(crate) answered: u64,
    /// Their bytes, and those of what was read of others.
    pub(crate) read_bytes: u64,
    /// Connections that the broker closed.
    pub(crate) closed: u64,
    /// Connections that could not be made.
    pub(crate) refused: u64,
    /// Connections that were open at the end.
    pub(crate) open: u64,
}

impl Tally {
    /// In a line.
    pub(crate) fn line(&self) -> String {
        let Tally { sent, answered, read_bytes, closed, refused, open } = self;
        let megabytes = read_bytes / 1_000_000;
        format!(
            "{sent} sent, {answered} answered ({megabytes} MB), {closed} closed by the broker, {refused} refused, {open} open at the end"
        )
    }

    /// All of it.
    pub(crate) fn json(&self) -> Value {
        json!({
            "sent": self.sent, "answered": self.answered, "read_bytes": self.read_bytes,
            "closed": self.closed, "refused": self.refused, "open_at_the_end": self.open,
        })
    }
}

/// A place for a connection.
#[derive(Debug, Default)]
struct Seat {
    stream: Option<(Port, TcpStream)>,
    state: State,
}

#[derive(Debug, Default)]
enum State {
    /// Nothing is under way, and nothing may be before this time.
    Free { from: u64 },
    /// So much of this attack is written.
    Writing { attack: usize, written: usize },
    /// Answers are read: of so many the rest, after so many bytes of the one that has begun.
    Reading { answers: u32, size: Vec<u8>, left: usize },
    /// An answer of HTTP is read: its head, as far as it has come, and what is left of its body once the head
    /// is whole.
    Http { head: Vec<u8>, left: Option<usize> },
    /// It stays as it is.
    #[default]
    Held,
    /// It is read until it is closed, at the latest at this time.
    Closing { until: u64 },
}

/// The broker's ports; where there is no such one, the attacks go to the first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ports {
    pub(crate) kafka: SocketAddr,
    pub(crate) metrics: Option<SocketAddr>,
    pub(crate) tls: Option<SocketAddr>,
}

/// Does what the swarm does until `done`. A swarm without attacks waits.
pub(crate) fn run(swarm: &Swarm, ports: Ports, done: &AtomicBool) -> io::Result<Tally> {
    let seats = (0..swarm.seats).map(|_| Seat { stream: None, state: State::Free { from: 0 } }).collect();
    let epoll = epoll::create(CreateFlags::CLOEXEC)?;
    let (scratch, tally) = (vec![0; READ_BYTES], Tally::default());
    let mut driver = Driver { swarm, ports, epoll, seats, scratch, tally };
    if swarm.attacks.is_empty() || swarm.seats == 0 {
        while !done.load(Relaxed) {
            thread::sleep(Duration::from_nanos(WAIT_MAX));
        }
        return Ok(driver.tally);
    }
    driver.drive(done)?;
    driver.tally.open = driver.seats.iter().filter(|seat| seat.stream.is_some()).count() as u64;
    Ok(driver.tally)
}

struct Driver<'a> {
    swarm: &'a Swarm,
    ports: Ports,
    epoll: OwnedFd,
    seats: Vec<Seat>,
    scratch: Vec<u8>,
    tally: Tally,
}

impl Driver<'_> {
    fn drive(&mut self, done: &AtomicBool) -> io::Result<()> {
        let interval = (SECOND as f64 / self.swarm.per_second) as u64;
        let (mut due, mut number) = (now(), 0);
        let mut events: Vec<Event> = Vec::with_capacity(EVENTS);
        while !done.load(Relaxed) {
            let time = now();
            for place in 0..self.seats.len() {
                if matches!(self.seats[place].state, State::Closing { until } if until <= time) {
                    self.end(place);
                }
            }
            while due <= time && !done.load(Relaxed) {
                let free = self
                    .seats
                    .iter()
                    .position(|seat| matches!(seat.state, State::Free { from } if from <= time));
                let Some(place) = free else {
                    due = time;
                    break;
                };
                self.begin(place, number % self.swarm.attacks.len())?;
                number += 1;
                // What could not be done in time is left out.
                due = (due + interval).max(time.saturating_sub(interval));
            }
            let wait = due.saturating_sub(now()).clamp(1_000_000, WAIT_MAX);
            let wait = Timespec { tv_sec: 0, tv_nsec: wait as i64 };
            match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), Some(&wait)) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            for event in events.drain(..) {
                self.go_on(event.data.u64() as usize, event.flags);
            }
        }
        Ok(())
    }

    /// Begins an attack on a free seat, on its connection when it has one to the right port.
    fn begin(&mut self, place: usize, attack: usize) -> io::Result<()> {
        let port = self.swarm.attacks[attack].port;
        if self.seats[place].stream.as_ref().is_none_or(|(open, _)| *open != port) {
            let address = match port {
                Port::Kafka => Some(self.ports.kafka),
                Port::Metrics => self.ports.metrics,
                Port::Tls => self.ports.tls,
            };
            let address = address.unwrap_or(self.ports.kafka);
            let Ok(stream) = TcpStream::connect_timeout(&address, CONNECT_TIMEOUT) else {
                self.tally.refused += 1;
                self.seats[place].stream = None;
                self.seats[place].state = State::Free { from: now() + nanos(AGAIN_AFTER) };
                return Ok(());
            };
            stream.set_nonblocking(true)?;
            let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
            epoll::add(&self.epoll, &stream, EventData::new_u64(place as u64), flags)?;
            self.seats[place].stream = Some((port, stream));
        }
        self.seats[place].state = State::Writing { attack, written: 0 };
        self.go_on(place, EventFlags::OUT);
        Ok(())
    }

    /// Takes a seat as far as it goes without waiting.
    fn go_on(&mut self, place: usize, flags: EventFlags) {
        let gone = flags.intersects(EventFlags::ERR | EventFlags::HUP);
        // One that never reads learns of its end by the event alone.
        let held = matches!(self.seats[place].state, State::Held);
        if self.seats[place].stream.is_some() && (gone || held && flags.contains(EventFlags::RDHUP)) {
            return self.closed(place);
        }
        if self.write(place).is_err() || self.read(place).is_err() {
            self.closed(place);
        }
    }

    fn write(&mut self, place: usize) -> io::Result<()> {
        let seat = &mut self.seats[place];
        let (Some((_, stream)), State::Writing { attack, written }) = (&mut seat.stream, &mut seat.state)
        else {
            return Ok(());
        };
        let Attack { bytes, then, .. } = &self.swarm.attacks[*attack];
        while *written < bytes.len() {
            match stream.write(&bytes[*written..]) {
                Ok(taken) => *written += taken,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.tally.sent += 1;
        seat.state = match *then {
            Then::Answers(answers) => State::Reading { answers, size: Vec::new(), left: 0 },
            Then::Http => State::Http { head: Vec::new(), left: None },
            Then::Hold => State::Held,
            Then::Close(patience) => State::Closing { until: now() + nanos(patience) },
        };
        Ok(())
    }

    /// Throws away what has come. An error when the connection has ended.
    fn read(&mut self, place: usize) -> io::Result<()> {
        let seat = &mut self.seats[place];
        let Some((_, stream)) = &mut seat.stream else { return Ok(()) };
        if matches!(seat.state, State::Held | State::Writing { .. }) {
            return Ok(());
        }
        for turn in 0.. {
            let read = match stream.read(&mut self.scratch) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            self.tally.read_bytes += read as u64;
            let done = match &mut seat.state {
                State::Reading { answers, size, left } => {
                    let done = take(&self.scratch[..read], answers, size, left);
                    self.tally.answered += u64::from(done);
                    *answers == 0
                }
                State::Http { head, left } => {
                    let done = take_http(&self.scratch[..read], head, left)?;
                    self.tally.answered += u64::from(done);
                    done
                }
                _ => false,
            };
            if done {
                seat.state = State::Free { from: 0 };
                return Ok(());
            }
            if turn == READ_TURNS {
                // The edge was seen; the rest needs another one.
                let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
                let data = EventData::new_u64(place as u64);
                return Ok(epoll::modify(&self.epoll, &*stream, data, flags)?);
            }
        }
        Ok(())
    }

    /// The broker has closed a seat's connection.
    fn closed(&mut self, place: usize) {
        self.tally.closed += 1;
        self.end(place);
        self.seats[place].state = State::Free { from: now() + nanos(AGAIN_AFTER) };
    }

    /// Closes a seat's connection from here.
    fn end(&mut self, place: usize) {
        self.seats[place].stream = None;
        self.seats[place].state = State::Free { from: 0 };
    }
}

/// Takes bytes as parts of answers, of which `answers` are still to come; how many of them are complete now.
fn take(mut bytes: &[u8], answers: &mut u32, size: &mut Vec<u8>, left: &mut usize) -> u32 {
    let before = *answers;
    while !bytes.is_empty() && *answers > 0 {
        if size.len() < size_of::<i32>() {
            let (first, rest) = bytes.split_at(bytes.len().min(size_of::<i32>() - size.len()));
            size.extend_from_slice(first);
            bytes = rest;
            if let Some(size) = size.first_chunk() {
                *left = i32::from_be_bytes(*size).max(0) as usize;
            }
        }
        let taken = bytes.len().min(*left);
        *left -= taken;
        bytes = &bytes[taken..];
        if size.len() == size_of::<i32>() && *left == 0 {
            *answers -= 1;
            size.clear();
        }
    }
    before - *answers
}

/// Takes bytes as parts of one answer of HTTP; whether it is complete now.
///
/// # Errors
/// When it says anything but 200, or has no length: nothing is known of what would follow.
fn take_http(mut bytes: &[u8], head: &mut Vec<u8>, left: &mut Option<usize>) -> io::Result<bool> {
    if left.is_none() {
        let seen = head.len();
        head.extend_from_slice(bytes);
        let Some(end) = head.windows(4).position(|four| four == b"\r\n\r\n") else {
            return match head.len() {
                ..=HTTP_HEAD_MAX => Ok(false),
                _ => Err(io::ErrorKind::InvalidData.into()),
            };
        };
        bytes = &bytes[end + 4 - seen..];
        let text = String::from_utf8_lossy(&head[..end]).to_ascii_lowercase();
        let length = text.lines().find_map(|line| line.strip_prefix("content-length:"));
        let length = length.and_then(|length| length.trim().parse().ok());
        *left = length.filter(|_| text.starts_with("http/1.1 200 "));
    }
    let left = left.as_mut().ok_or(io::ErrorKind::InvalidData)?;
    *left = left.saturating_sub(bytes.len());
    Ok(*left == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_of_http_is_whole_wherever_the_bytes_are_cut_and_only_200_is_one() {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc";
        for cut in 1..=answer.len() {
            let (mut head, mut left, mut done) = (Vec::new(), None, 0);
            for part in answer.chunks(cut) {
                done += u32::from(take_http(part, &mut head, &mut left).expect("it is one"));
            }
            assert_eq!(done, 1, "in pieces of {cut} bytes");
        }
        for other in [&b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"[..], b"HTTP/1.1 200 OK\r\n\r\n"] {
            assert!(take_http(other, &mut Vec::new(), &mut None).is_err());
        }
    }

    #[test]
    fn answers_are_counted_wherever_the_bytes_are_cut() {
        let stream = [&[0, 0, 0, 3, 1, 2, 3][..], &[0, 0, 0, 0], &[0, 0, 0, 1, 9]].concat();
        for cut in 1..stream.len() {
            let (mut answers, mut size, mut left) = (3, Vec::new(), 0);
            let done: u32 =
                stream.chunks(cut).map(|part| take(part, &mut answers, &mut size, &mut left)).sum();
            assert_eq!((done, answers), (3, 0), "in pieces of {cut} bytes");
        }
    }
}
