//! The little of HTTP/1 that a scraper and a supervisor need: GET and HEAD, one answer a connection.
//!
//! Each connection is a thread for as long as it lasts, which is short: [`CONNECTIONS_MAX`] at a time, the head of a request within
//! [`HEAD_BYTES_MAX`] and [`READ_TIME_MAX`], the answer taken within [`WRITE_TIME_MAX`]. Whoever is slower, larger or one too many is closed.
//! No shard notices: it is only asked once a request is whole.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Connections at a time: two or three scrapers, a supervisor, somebody with curl.
const CONNECTIONS_MAX: usize = 8;

/// Longest head of a request.
const HEAD_BYTES_MAX: usize = 8 << 10;

/// Most header lines.
const HEADERS_MAX: usize = 64;

/// Time for the head of a request, from the first byte to the last.
const READ_TIME_MAX: Duration = Duration::from_secs(3);

/// Time in which some of an answer must be taken.
const WRITE_TIME_MAX: Duration = Duration::from_secs(5);

/// How long to wait when the system has no descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// An answer.
pub(super) struct Response {
    pub(super) status: Status,
    pub(super) content_type: &'static str,
    pub(super) body: String,
}

/// The statuses that we give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    Ok,
    BadRequest,
    NotFound,
    MethodNotAllowed,
    RequestTimeout,
    HeadTooLarge,
    Unavailable,
}

impl Status {
    fn line(self) -> &'static str {
        match self {
            Status::Ok => "200 OK",
            Status::BadRequest => "400 Bad Request",
            Status::NotFound => "404 Not Found",
            Status::MethodNotAllowed => "405 Method Not Allowed",
            Status::RequestTimeout => "408 Request Timeout",
            Status::HeadTooLarge => "431 Request Header Fields Too Large",
            Status::Unavailable => "503 Service Unavailable",
        }
    }
}

impl Response {
    pub(super) fn plain(status: Status, body: impl Into<String>) -> Response {
        let body = body.into() + "\n";
        Response { status, content_type: "text/plain; charset=utf-8", body }
    }

    fn of(status: Status) -> Response {
        Response::plain(status, status.line())
    }
}

/// A listener that answers until it is dropped.
pub(super) struct Listener {
    socket: TcpListener,
    accepting: Option<JoinHandle<()>>,
}

impl Listener {
    /// Answers the paths that are asked for by `answer`, each on a thread of its own.
    pub(super) fn start(
        socket: TcpListener,
        answer: impl Fn(&str) -> Response + Send + Sync + 'static,
    ) -> io::Result<Listener> {
        let accepting = socket.try_clone()?;
        let accepting = std::thread::Builder::new()
            .name("metrics".to_owned())
            .spawn(move || accept(&accepting, &Arc::new(answer)))?;
        Ok(Listener { socket, accepting: Some(accepting) })
    }

    pub(super) fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // On Linux, this is what makes a waiting accept return.
        let _ = rustix::net::shutdown(&self.socket, rustix::net::Shutdown::Both);
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}

fn accept(socket: &TcpListener, answer: &Arc<impl Fn(&str) -> Response + Send + Sync + 'static>) {
    let seats = Arc::new(());
    loop {
        match socket.accept() {
            Ok((stream, peer)) => {
                let seat = seats.clone();
                if Arc::strong_count(&seats) > CONNECTIONS_MAX + 1 {
                    tracing::debug!(%peer, "too many connections for metrics");
                    continue;
                }
                let answer = answer.clone();
                let served = std::thread::Builder::new().name("metrics-answer".to_owned()).spawn(move || {
                    let _seat = seat;
                    if let Err(error) = serve(&stream, &*answer) {
                        tracing::debug!(%peer, %error, "metrics were not sent");
                    }
                });
                if let Err(error) = served {
                    tracing::warn!(%error, "no thread for metrics");
                }
            }
            // Shut down.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => return,
            Err(error)
                if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted) => {}
            Err(error) => {
                tracing::warn!(%error, "accepting a connection for metrics failed");
                std::thread::sleep(ACCEPT_PAUSE);
            }
        }
    }
}

fn serve(stream: &TcpStream, answer: &impl Fn(&str) -> Response) -> io::Result<()> {
    stream.set_write_timeout(Some(WRITE_TIME_MAX))?;
    let (response, with_body) = match read_head(stream)? {
        Ok(Request { path, is_head }) => (answer(&path), !is_head),
        Err(status) => (Response::of(status), true),
    };
    let Response { status, content_type, body } = response;
    let head = format!(
        "HTTP/1.1 {}\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        status.line(),
        body.len()
    );
    let mut out = head.into_bytes();
    if with_body {
        out.extend_from_slice(body.as_bytes());
    }
    let give_up = Instant::now() + WRITE_TIME_MAX;
    let mut rest = &out[..];
    // The limit holds for all of it: a reader of one byte at a time does not stay.
    while !rest.is_empty() && Instant::now() < give_up {
        let written = (&*stream).write(rest)?;
        rest = &rest[written..];
    }
    stream.shutdown(Shutdown::Both)
}

struct Request {
    path: String,
    is_head: bool,
}

/// Reads as far as the head of a request goes.
fn read_head(mut stream: &TcpStream) -> io::Result<Result<Request, Status>> {
    let give_up = Instant::now() + READ_TIME_MAX;
    let mut head = [0; HEAD_BYTES_MAX];
    let mut filled = 0;
    loop {
        let left = give_up.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(Err(Status::RequestTimeout));
        }
        stream.set_read_timeout(Some(left))?;
        let read = match stream.read(&mut head[filled..]) {
            Ok(read) => read,
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                return Ok(Err(Status::RequestTimeout));
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        filled += read;
        match parse(&head[..filled]) {
            Ok(Some(request)) => return Ok(Ok(request)),
            Err(status) => return Ok(Err(status)),
            Ok(None) if read == 0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(None) if filled == head.len() => return Ok(Err(Status::HeadTooLarge)),
            Ok(None) => {}
        }
    }
}

/// The request, when its head is whole.
fn parse(head: &[u8]) -> Result<Option<Request>, Status> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(head) {
        Ok(httparse::Status::Complete(_)) => {}
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(Status::HeadTooLarge),
        Err(_) => return Err(Status::BadRequest),
    }
    let is_head = match request.method {
        Some("GET") => false,
        Some("HEAD") => true,
        _ => return Err(Status::MethodNotAllowed),
    };
    let path = request.path.unwrap_or_default();
    let path = path.split('?').next().unwrap_or_default().to_owned();
    Ok(Some(Request { path, is_head }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(head: &str) -> Result<Option<(String, bool)>, Status> {
        parse(head.as_bytes()).map(|request| request.map(|Request { path, is_head }| (path, is_head)))
    }

    #[test]
    fn a_request_is_a_path_and_nothing_before_its_head_is_whole() {
        assert_eq!(
            parsed("GET /metrics?x=1 HTTP/1.1\r\nHost: a\r\n\r\n"),
            Ok(Some(("/metrics".to_owned(), false)))
        );
        assert_eq!(parsed("HEAD /healthz HTTP/1.0\r\n\r\n"), Ok(Some(("/healthz".to_owned(), true))));
        assert_eq!(parsed("GET /metrics HTTP/1.1\r\nHost:"), Ok(None));
        assert_eq!(parsed(""), Ok(None));
    }

    #[test]
    fn what_is_no_request_for_us_is_told_so() {
        assert_eq!(parsed("POST /metrics HTTP/1.1\r\n\r\n"), Err(Status::MethodNotAllowed));
        assert_eq!(parsed("\u{1}\u{2}\u{3}"), Err(Status::BadRequest));
        let many = "x: y\r\n".repeat(HEADERS_MAX + 1);
        assert_eq!(parsed(&format!("GET / HTTP/1.1\r\n{many}\r\n")), Err(Status::HeadTooLarge));
    }

    #[test]
    fn a_listener_that_is_dropped_takes_nobody_more() {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let listener = Listener::start(socket, |path| Response::plain(Status::Ok, path)).unwrap();
        let address = listener.address().unwrap();
        let mut client = TcpStream::connect(address).unwrap();
        client.write_all(b"GET /a HTTP/1.1\r\n\r\n").unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\n/a\n"), "{answer}");
        drop(listener);
        assert!(TcpStream::connect(address).is_err());
    }
}
