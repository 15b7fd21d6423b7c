//! Who is answered when: one thread for all connections, which never waits for any, and two that make
//! answers.
//!
//! ```text
//!             accept, read, write                    path                what shards say
//! clients <-------------------------> "metrics" ------------> "metrics-health", "metrics-pages"
//!                                               <------------
//!                                                  answer
//! ```
//!
//! A health check must be answered whatever else is connected, so no place is ever taken for good:
//!
//! * There are as many connections as [`crate::descriptors`] leaves for them. One of the address with the
//!   most of them gives way to a new one: the one that has been silent longest, then the one that has been
//!   reading or waiting for a page longest; also where the process has no descriptor left. The head of a
//!   request comes within [`HEAD_BYTES_MAX`] and [`READ_TIME_MAX`], or the connection goes.
//! * Pages may be large, and clients slow: at most [`READERS_MAX`] are sent at a time; the oldest of the
//!   address with the most connections gives way, and all of a page is taken within [`WRITE_TIME_MAX`].
//! * A request for what is just being made has the same answer, so that as many clients as like ask the
//!   shards once.
//!
//! So there are three threads, and memory for so many heads and pages, however many connect.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::http::{HEAD_BYTES_MAX, Request, Response, Sent, Status, parse};
use crate::net::accept;

/// Connections that are sent a page at a time.
const READERS_MAX: usize = 8;

/// Time for the head of a request, from the first byte to the last.
const READ_TIME_MAX: Duration = Duration::from_secs(3);

/// Time in which an answer must be taken.
const WRITE_TIME_MAX: Duration = Duration::from_secs(5);

/// How long to wait when the system can not give another connection, or can not say what there is to do.
const PAUSE: Duration = Duration::from_millis(100);

/// Who makes an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lane {
    /// It is there at once.
    Now,
    /// Shards are asked whether they turn.
    Health,
    /// Shards are asked for all that they have counted.
    Pages,
}

/// A listener that answers until it is dropped.
pub(super) struct Listener {
    address: SocketAddr,
    wake: Wake,
    serving: Option<JoinHandle<()>>,
}

/// What the serving thread is told.
enum Told {
    Answer { path: String, answer: Arc<Sent> },
    Stop,
}

/// Tells the serving thread.
#[derive(Clone)]
struct Wake {
    told: Sender<Told>,
    pipe: Arc<PipeWriter>,
}

impl Wake {
    fn tell(&self, told: Told) {
        // It may have ended.
        let _ = self.told.send(told);
        let _ = (&*self.pipe).write(&[0]);
    }
}

impl Listener {
    /// Answers the paths that are asked for by `answer`, each in its lane, on a socket that does not block;
    /// so many connections at a time.
    pub(super) fn start(
        socket: TcpListener,
        connections_max: usize,
        lane: fn(&str) -> Lane,
        answer: impl Fn(&str) -> Response + Send + Sync + 'static,
    ) -> io::Result<Listener> {
        let address = socket.local_addr()?;
        let (pipe, writer) = io::pipe()?;
        let (told, tellings) = channel();
        let wake = Wake { told, pipe: Arc::new(writer) };
        let answer: Arc<dyn Fn(&str) -> Response + Send + Sync> = Arc::new(answer);
        let (health, pages) =
            (worker("metrics-health", &wake, &answer)?, worker("metrics-pages", &wake, &answer)?);
        let serving = Serving {
            socket,
            pipe,
            tellings,
            connections_max,
            lane,
            answer,
            health,
            pages,
            connections: BTreeMap::new(),
            next: 0,
            asked: HashMap::new(),
            accepts_from: None,
        };
        let serving = std::thread::Builder::new().name("metrics".to_owned()).spawn(move || serving.run())?;
        Ok(Listener { address, wake, serving: Some(serving) })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.wake.tell(Told::Stop);
        if let Some(serving) = self.serving.take() {
            let _ = serving.join();
        }
    }
}

/// Makes the answers of a lane, one after the other; ends with the sender.
fn worker(
    name: &str,
    wake: &Wake,
    answer: &Arc<dyn Fn(&str) -> Response + Send + Sync>,
) -> io::Result<Sender<String>> {
    let (sender, paths) = channel::<String>();
    let (wake, answer) = (wake.clone(), answer.clone());
    std::thread::Builder::new().name(name.to_owned()).spawn(move || {
        for path in paths {
            let made = Arc::new(Sent::new(answer(&path)));
            wake.tell(Told::Answer { path, answer: made });
        }
    })?;
    Ok(sender)
}

/// The serving thread.
struct Serving {
    socket: TcpListener,
    pipe: PipeReader,
    tellings: Receiver<Told>,
    connections_max: usize,
    lane: fn(&str) -> Lane,
    answer: Arc<dyn Fn(&str) -> Response + Send + Sync>,
    health: Sender<String>,
    pages: Sender<String>,
    /// By their numbers, the oldest first.
    connections: BTreeMap<u64, Connection>,
    next: u64,
    /// What is being made, and who waits for it.
    asked: HashMap<String, Vec<u64>>,
    /// No connection is accepted before.
    accepts_from: Option<Instant>,
}

struct Connection {
    stream: TcpStream,
    peer: SocketAddr,
    phase: Phase,
}

enum Phase {
    /// The head of the request is not whole.
    Reading { head: Vec<u8>, give_up: Instant },
    /// The answer is being made.
    Waiting { is_head: bool, is_page: bool },
    /// The answer is being sent.
    Writing { answer: Arc<Sent>, is_head: bool, written: usize, is_page: bool, give_up: Instant },
}

impl Serving {
    fn run(mut self) {
        let mut is_failing = false;
        loop {
            let ready = match self.wait() {
                Ok(ready) => {
                    is_failing = false;
                    ready
                }
                Err(error) => {
                    // The system is short of memory, say: health must be answered again when that is over.
                    if !is_failing {
                        tracing::error!(%error, "connections for metrics cannot be waited for: trying again");
                    }
                    is_failing = true;
                    std::thread::sleep(PAUSE);
                    Ready::default()
                }
            };
            let mut byte = [0; 64];
            if ready.is_told {
                let _ = self.pipe.read(&mut byte);
            }
            while let Ok(told) = self.tellings.try_recv() {
                match told {
                    Told::Answer { path, answer } => self.give(&path, &answer),
                    Told::Stop => return,
                }
            }
            for number in ready.connections {
                self.go_on(number);
            }
            if ready.is_asked {
                self.accept();
            }
            let now = Instant::now();
            self.connections.retain(|_, connection| match connection.phase {
                Phase::Reading { give_up, .. } if give_up <= now => {
                    // In one piece, if at all: the socket is empty.
                    let late = Sent::new(Response::of(Status::RequestTimeout));
                    let _ = connection.stream.write(late.bytes(false));
                    false
                }
                Phase::Writing { give_up, .. } => now < give_up,
                Phase::Reading { .. } | Phase::Waiting { .. } => true,
            });
        }
    }

    /// Waits until there is something to do, or a connection's time is over.
    fn wait(&self) -> io::Result<Ready> {
        let now = Instant::now();
        let ends = self.connections.values().filter_map(|connection| match connection.phase {
            Phase::Reading { give_up, .. } | Phase::Writing { give_up, .. } => Some(give_up),
            Phase::Waiting { .. } => None,
        });
        let is_paused = self.accepts_from.is_some_and(|from| now < from);
        let end = ends.chain(self.accepts_from.filter(|_| is_paused)).min();
        let timeout = end.map(|end| {
            let left = end.saturating_duration_since(now) + Duration::from_millis(1);
            Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) }
        });
        let accepting = if is_paused { PollFlags::empty() } else { PollFlags::IN };
        let mut fds = vec![
            PollFd::from_borrowed_fd(self.pipe.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(self.socket.as_fd(), accepting),
        ];
        fds.extend(self.connections.values().map(|connection| {
            let wanted = match connection.phase {
                Phase::Reading { .. } => PollFlags::IN,
                // That the client has gone is told unasked.
                Phase::Waiting { .. } => PollFlags::empty(),
                Phase::Writing { .. } => PollFlags::OUT,
            };
            PollFd::from_borrowed_fd(connection.stream.as_fd(), wanted)
        }));
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let is_ready = |fd: &PollFd<'_>| !fd.revents().is_empty();
        let ready = self.connections.iter().zip(&fds[2..]).filter(|(_, fd)| is_ready(fd));
        let connections = ready.map(|((number, _), _)| *number).collect();
        Ok(Ready { is_told: is_ready(&fds[0]), is_asked: is_ready(&fds[1]), connections })
    }

    /// Takes those who are there; not more at once than there are places, so that answers leave however fast
    /// others connect.
    fn accept(&mut self) {
        for _ in 0..self.connections_max {
            match accept(&self.socket) {
                Ok(Some((stream, peer))) => {
                    if self.connections.len() >= self.connections_max && !self.make_room() {
                        tracing::debug!(%peer, "too many connections for metrics");
                        continue;
                    }
                    let phase = Phase::Reading { head: Vec::new(), give_up: Instant::now() + READ_TIME_MAX };
                    let number = self.next;
                    self.next += 1;
                    self.connections.insert(number, Connection { stream, peer, phase });
                    // Most clients have sent their request by now.
                    self.go_on(number);
                }
                Ok(None) => return,
                Err(error) => {
                    tracing::warn!(%error, "accepting a connection for metrics failed");
                    if !self.make_room() {
                        self.accepts_from = Some(Instant::now() + PAUSE);
                        return;
                    }
                }
            }
        }
    }

    /// Closes a connection of the address that has the most of them: the one that has said nothing longest;
    /// or else the one that has been reading longest; or else the one that has waited for a page longest, as
    /// shards that are slow to count must not keep health from being asked for. False when there is none.
    fn make_room(&mut self) -> bool {
        let first = self.first_to_go(|phase| match phase {
            Phase::Reading { .. } => Some(0),
            Phase::Writing { .. } => Some(1),
            Phase::Waiting { is_page: true, .. } => Some(2),
            Phase::Waiting { is_page: false, .. } => None,
        });
        let Some(number) = first else { return false };
        if let Some(gone) = self.connections.remove(&number) {
            tracing::debug!(peer = %gone.peer, "a connection for metrics has made room for another");
        }
        true
    }

    /// Of the connections that have a rank, one of the address with the most connections, so that others are
    /// not pushed out by it; of its connections the one with the lowest rank, and of those the oldest.
    fn first_to_go(&self, rank: impl Fn(&Phase) -> Option<u8>) -> Option<u64> {
        let mut of_address: HashMap<IpAddr, usize> = HashMap::new();
        for connection in self.connections.values() {
            *of_address.entry(connection.peer.ip()).or_default() += 1;
        }
        let may_go = self.connections.iter().filter_map(|(number, connection)| {
            let rank = rank(&connection.phase)?;
            Some((Reverse(of_address[&connection.peer.ip()]), rank, *number))
        });
        may_go.min().map(|(_, _, number)| number)
    }

    /// Reads or writes as much as there is.
    fn go_on(&mut self, number: u64) {
        let Some(connection) = self.connections.get_mut(&number) else { return };
        let done = match &mut connection.phase {
            Phase::Reading { head, .. } => match read_head(&connection.stream, head) {
                Ok(None) => Ok(false),
                Ok(Some(Ok(request))) => return self.ask(number, request),
                Ok(Some(Err(status))) => {
                    let answer = Arc::new(Sent::new(Response::of(status)));
                    return self.begin_writing(number, &answer, false, false);
                }
                Err(error) => Err(error),
            },
            // It is not read from meanwhile: there is nothing to be done but to take note that the client has
            // gone.
            Phase::Waiting { .. } => Err(io::ErrorKind::ConnectionReset.into()),
            Phase::Writing { answer, is_head, written, .. } => {
                write_some(&connection.stream, answer.bytes(*is_head), written)
            }
        };
        match done {
            Ok(false) => {}
            Ok(true) => {
                if let Some(connection) = self.connections.remove(&number) {
                    let _ = connection.stream.shutdown(Shutdown::Both);
                }
            }
            Err(error) => {
                tracing::debug!(peer = %connection.peer, %error, "metrics were not sent");
                self.connections.remove(&number);
            }
        }
    }

    /// A request is whole.
    fn ask(&mut self, number: u64, request: Request) {
        let Request { path, is_head } = request;
        let (lane, is_page) = match (self.lane)(&path) {
            Lane::Now => {
                let answer = Arc::new(Sent::new((self.answer)(&path)));
                return self.begin_writing(number, &answer, is_head, false);
            }
            Lane::Health => (&self.health, false),
            Lane::Pages => (&self.pages, true),
        };
        if let Some(connection) = self.connections.get_mut(&number) {
            connection.phase = Phase::Waiting { is_head, is_page };
        }
        let waiting = self.asked.entry(path.clone()).or_default();
        if waiting.is_empty() {
            // The worker ends after us.
            let _ = lane.send(path);
        }
        waiting.push(number);
    }

    /// An answer was made: everybody who waits has it.
    fn give(&mut self, path: &str, answer: &Arc<Sent>) {
        for number in self.asked.remove(path).unwrap_or_default() {
            if let Some(Connection { phase: Phase::Waiting { is_head, is_page }, .. }) =
                self.connections.get(&number)
            {
                self.begin_writing(number, answer, *is_head, *is_page);
            }
        }
    }

    fn begin_writing(&mut self, number: u64, answer: &Arc<Sent>, is_head: bool, is_page: bool) {
        let reads =
            |connection: &Connection| matches!(connection.phase, Phase::Writing { is_page: true, .. });
        if is_page && self.connections.values().filter(|connection| reads(connection)).count() >= READERS_MAX
        {
            let page = |phase: &Phase| matches!(phase, Phase::Writing { is_page: true, .. }).then_some(0);
            if let Some(number) = self.first_to_go(page) {
                self.connections.remove(&number);
            }
        }
        if let Some(connection) = self.connections.get_mut(&number) {
            let give_up = Instant::now() + WRITE_TIME_MAX;
            connection.phase =
                Phase::Writing { answer: answer.clone(), is_head, written: 0, is_page, give_up };
            self.go_on(number);
        }
    }
}

/// What can be gone on with.
#[derive(Default)]
struct Ready {
    is_told: bool,
    is_asked: bool,
    connections: Vec<u64>,
}

/// Reads what there is of the head of a request; the request, or why it is none, once that is known.
fn read_head(mut stream: &TcpStream, head: &mut Vec<u8>) -> io::Result<Option<Result<Request, Status>>> {
    let mut block = [0; 1024];
    loop {
        let room = block.len().min(HEAD_BYTES_MAX - head.len());
        let read = match stream.read(&mut block[..room]) {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        head.extend_from_slice(&block[..read]);
        match parse(head) {
            Ok(Some(request)) => return Ok(Some(Ok(request))),
            Err(status) => return Ok(Some(Err(status))),
            Ok(None) if read == 0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(None) if head.len() == HEAD_BYTES_MAX => return Ok(Some(Err(Status::HeadTooLarge))),
            Ok(None) => {}
        }
    }
}

/// Writes what can be written; true when that was all.
fn write_some(mut stream: &TcpStream, bytes: &[u8], written: &mut usize) -> io::Result<bool> {
    while *written < bytes.len() {
        match stream.write(&bytes[*written..]) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(more) => *written += more,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::bind;

    const CONNECTIONS_MAX: usize = 128;

    fn get(address: SocketAddr, path: &str) -> String {
        let mut client = TcpStream::connect(address).unwrap();
        client.write_all(format!("GET {path} HTTP/1.1\r\n\r\n").as_bytes()).unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        answer
    }

    fn start(lane: fn(&str) -> Lane, answer: impl Fn(&str) -> Response + Send + Sync + 'static) -> Listener {
        let socket = bind(&"127.0.0.1:0".parse().unwrap()).unwrap();
        Listener::start(socket, CONNECTIONS_MAX, lane, answer).unwrap()
    }

    #[test]
    fn a_listener_that_is_dropped_takes_nobody_more() {
        let listener = start(|_| Lane::Now, |path| Response::plain(Status::Ok, path));
        let address = listener.address();
        let answer = get(address, "/a");
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\n/a\n"), "{answer}");
        drop(listener);
        assert!(TcpStream::connect(address).is_err());
    }

    #[test]
    fn health_waits_neither_for_pages_nor_for_places() {
        let (release, held) = channel::<()>();
        let held = std::sync::Mutex::new(held);
        let answer = move |path: &str| {
            if path == "/page" {
                // As a scrape does while a shard does not answer.
                let _ = held.lock().unwrap().recv();
            }
            Response::plain(Status::Ok, path)
        };
        let lane = |path: &str| if path == "/page" { Lane::Pages } else { Lane::Health };
        let listener = start(lane, answer);
        let address = listener.address();
        let mut page = TcpStream::connect(address).unwrap();
        page.write_all(b"GET /page HTTP/1.1\r\n\r\n").unwrap();
        let mut silent = Vec::new();
        for _ in 0..2 * CONNECTIONS_MAX {
            silent.push(TcpStream::connect(address).unwrap());
            if silent.len() % 16 == 0 {
                assert!(get(address, "/health").ends_with("/health\n"));
            }
        }
        // Those who wait for an answer keep their places.
        release.send(()).unwrap();
        let mut answer = String::new();
        page.read_to_string(&mut answer).unwrap();
        assert!(answer.ends_with("/page\n"), "{answer}");
        drop(release);
    }

    /// A listener whose page is made when it is released, and the way to release it; all else is answered at
    /// once.
    fn start_held() -> (Listener, Sender<()>) {
        let (release, held) = channel::<()>();
        let held = std::sync::Mutex::new(held);
        let lane = |path: &str| if path == "/page" { Lane::Pages } else { Lane::Health };
        let listener = start(lane, move |path| {
            if path == "/page" {
                let _ = held.lock().unwrap().recv();
            }
            Response::plain(Status::Ok, path)
        });
        (listener, release)
    }

    /// A connection from an address of its own.
    fn connect_from(address: [u8; 4], listener: &Listener) -> TcpStream {
        use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
        let client = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        bind(&client, &SocketAddr::from((address, 0))).unwrap();
        connect(&client, &listener.address()).unwrap();
        client.into()
    }

    #[test]
    fn an_address_with_many_connections_takes_no_place_from_another() {
        let listener = start(|_| Lane::Health, |path| Response::plain(Status::Ok, path));
        // It connects first, and is the last to ask.
        let mut quiet = connect_from([127, 0, 0, 2], &listener);
        let mut noisy = Vec::new();
        for _ in 0..2 * CONNECTIONS_MAX {
            noisy.push(TcpStream::connect(listener.address()).unwrap());
        }
        // All of them were taken when this is answered.
        assert!(get(listener.address(), "/health").ends_with("/health\n"));
        quiet.write_all(b"GET /health HTTP/1.1\r\n\r\n").unwrap();
        let mut answer = String::new();
        quiet.read_to_string(&mut answer).unwrap();
        assert!(answer.ends_with("/health\n"), "{answer}");
    }

    #[test]
    fn those_who_wait_for_a_page_take_no_place_from_health() {
        let (listener, release) = start_held();
        let mut waiting = Vec::new();
        for _ in 0..2 * CONNECTIONS_MAX {
            let mut client = TcpStream::connect(listener.address()).unwrap();
            client.write_all(b"GET /page HTTP/1.1\r\n\r\n").unwrap();
            waiting.push(client);
            if waiting.len() % 16 == 0 {
                assert!(get(listener.address(), "/health").ends_with("/health\n"));
            }
        }
        drop(release);
    }

    #[test]
    fn clients_that_have_gone_while_their_page_is_made_take_no_place_from_one_that_waits() {
        let (listener, release) = start_held();
        let ask = || {
            let mut client = TcpStream::connect(listener.address()).unwrap();
            client.write_all(b"GET /page HTTP/1.1\r\n\r\n").unwrap();
            client
        };
        let mut patient = ask();
        for _ in 0..2 * CONNECTIONS_MAX {
            let gone = ask();
            // It waits for its page when health, which came later, is answered.
            assert!(get(listener.address(), "/health").ends_with("/health\n"));
            rustix::net::sockopt::set_socket_linger(&gone, Some(Duration::ZERO)).unwrap();
        }
        release.send(()).unwrap();
        let mut answer = String::new();
        patient.read_to_string(&mut answer).unwrap();
        assert!(answer.ends_with("/page\n"), "{answer}");
        drop(release);
    }

    #[test]
    fn clients_that_do_not_read_their_page_are_few_and_the_oldest_goes() {
        const PAGE_BYTES: usize = 32 << 20;
        let lane = |path: &str| if path == "/page" { Lane::Pages } else { Lane::Health };
        let listener = start(lane, |path| {
            Response::plain(
                Status::Ok,
                if path == "/page" { "x".repeat(PAGE_BYTES) } else { path.to_owned() },
            )
        });
        let mut slow = Vec::new();
        for _ in 0..2 * READERS_MAX {
            let mut client = TcpStream::connect(listener.address()).unwrap();
            client.write_all(b"GET /page HTTP/1.1\r\n\r\n").unwrap();
            // It is being sent.
            client.read_exact(&mut [0; 1]).unwrap();
            slow.push(client);
            assert!(get(listener.address(), "/health").ends_with("/health\n"));
        }
        let rests = slow.into_iter().take(READERS_MAX).map(|mut client| {
            let mut rest = Vec::new();
            // An error is one end, too.
            let _ = client.read_to_end(&mut rest);
            rest.len()
        });
        let cut = rests.filter(|rest| *rest < PAGE_BYTES);
        assert_eq!(cut.count(), READERS_MAX, "each has made room for a later one");
    }

    #[test]
    fn those_who_ask_for_what_is_being_made_have_the_same_answer() {
        let (release, held) = channel::<()>();
        let state = std::sync::Mutex::new((held, 0));
        let listener = start(
            |_| Lane::Pages,
            move |_| {
                let mut state = state.lock().unwrap();
                let _ = state.0.recv();
                state.1 += 1;
                Response::plain(Status::Ok, format!("made {}", state.1))
            },
        );
        let mut clients: Vec<TcpStream> =
            (0..20).map(|_| TcpStream::connect(listener.address()).unwrap()).collect();
        for client in &mut clients {
            client.write_all(b"GET /page HTTP/1.1\r\n\r\n").unwrap();
        }
        // Each release makes one answer; there are never more of them than were released.
        release.send(()).unwrap();
        release.send(()).unwrap();
        drop(release);
        let answers: Vec<String> = clients
            .iter_mut()
            .map(|client| {
                let mut answer = String::new();
                client.read_to_string(&mut answer).unwrap();
                answer
            })
            .collect();
        assert!(answers.iter().all(|answer| answer.contains("made ")), "{answers:?}");
        assert!(answers.iter().filter(|answer| answer.ends_with("made 1\n")).count() >= 1);
    }
}
