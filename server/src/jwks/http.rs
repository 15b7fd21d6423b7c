//! One GET of a document that fits into memory, over HTTP/1.1, with TLS or without.
//!
//! It follows no redirect, keeps no connection and asks for no compression: what is fetched is a few
//! kilobytes, once an hour. The whole of it has [`PATIENCE`].

use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, Instant};

use httparse::Status;
use strandline_tls::rustls::pki_types::ServerName;
use strandline_tls::rustls::{ClientConfig, ClientConnection, StreamOwned};

use crate::config::HostPort;

/// Longest answer, with its head.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// Lines of its head.
const HEADERS_MAX: usize = 64;

/// How long it may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why nothing was fetched.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    /// What the system says, or TLS.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The name has no address.
    #[error("{0} has no address")]
    NoAddress(HostPort),
    /// Another status than 200. A redirect is one of these.
    #[error("it was answered with status {0}, and 200 is expected")]
    Status(u16),
    /// No HTTP, or cut short.
    #[error("the answer is not whole, or not of HTTP/1.1")]
    Form,
    /// Too long.
    #[error("the answer is longer than {ANSWER_BYTES_MAX} bytes")]
    Long,
}

/// The body of the answer.
///
/// # Errors
/// [`FetchError`].
pub(super) fn get(
    place: &HostPort,
    path: &str,
    tls: Option<&Arc<ClientConfig>>,
) -> Result<Vec<u8>, FetchError> {
    let deadline = Instant::now() + PATIENCE;
    let socket = connect(place, deadline)?;
    match tls {
        None => exchange(&mut &socket, &socket, place, path, deadline),
        Some(config) => {
            let invalid = |error| io::Error::new(ErrorKind::InvalidInput, error);
            let name = ServerName::try_from(place.host.clone())
                .map_err(|error| io::Error::new(ErrorKind::InvalidInput, error))?;
            let session = ClientConnection::new(config.clone(), name).map_err(invalid)?;
            let mut stream = StreamOwned::new(session, socket.try_clone()?);
            exchange(&mut stream, &socket, place, path, deadline)
        }
    }
}

/// Connects to the first address that takes it.
fn connect(place: &HostPort, deadline: Instant) -> Result<TcpStream, FetchError> {
    let mut last = None;
    for address in (place.host.as_str(), place.port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, left(deadline)?) {
            Ok(socket) => return Ok(socket),
            Err(error) => last = Some(error),
        }
    }
    Err(last.map_or_else(|| FetchError::NoAddress(place.clone()), FetchError::Io))
}

/// What is left of the time; none is an error.
fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(ErrorKind::TimedOut.into()) } else { Ok(left) }
}

fn exchange(
    stream: &mut (impl Read + Write),
    socket: &TcpStream,
    place: &HostPort,
    path: &str,
    deadline: Instant,
) -> Result<Vec<u8>, FetchError> {
    socket.set_write_timeout(Some(left(deadline)?))?;
    socket.set_read_timeout(Some(left(deadline)?))?;
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {place}\r\nAccept: application/json\r\nUser-Agent: strandline\r\n\
         Connection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes())?;
    stream.flush()?;
    let (mut answer, mut block) = (Vec::new(), vec![0; 16 << 10]);
    loop {
        socket.set_read_timeout(Some(left(deadline)?))?;
        let read = match stream.read(&mut block) {
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error.into()),
        };
        answer.extend_from_slice(&block[..read]);
        if answer.len() > ANSWER_BYTES_MAX {
            return Err(FetchError::Long);
        }
        match body(&answer, read == 0)? {
            Some(body) => return Ok(body),
            None if read == 0 => return Err(FetchError::Form),
            None => {}
        }
    }
}

/// The body, once it is whole.
fn body(answer: &[u8], has_ended: bool) -> Result<Option<Vec<u8>>, FetchError> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut head = httparse::Response::new(&mut headers);
    let Status::Complete(at) = head.parse(answer).map_err(|_| FetchError::Form)? else { return Ok(None) };
    match head.code {
        Some(200) => {}
        code => return Err(FetchError::Status(code.unwrap_or_default())),
    }
    let body = &answer[at..];
    let value = |name: &str| {
        let mut found = head.headers.iter().filter(|header| header.name.eq_ignore_ascii_case(name));
        found.next().map(|header| String::from_utf8_lossy(header.value).trim().to_ascii_lowercase())
    };
    if let Some(coding) = value("transfer-encoding") {
        return if coding == "chunked" { whole_of_chunks(body) } else { Err(FetchError::Form) };
    }
    match value("content-length") {
        Some(length) => {
            let length: usize = length.parse().map_err(|_| FetchError::Form)?;
            Ok(body.get(..length).map(<[u8]>::to_vec))
        }
        None => Ok(has_ended.then(|| body.to_vec())),
    }
}

fn whole_of_chunks(mut rest: &[u8]) -> Result<Option<Vec<u8>>, FetchError> {
    let mut whole = Vec::new();
    loop {
        let Status::Complete((at, length)) =
            httparse::parse_chunk_size(rest).map_err(|_| FetchError::Form)?
        else {
            return Ok(None);
        };
        if length == 0 {
            // What may follow says nothing of the document.
            return Ok(Some(whole));
        }
        let length = usize::try_from(length).ok().filter(|length| *length <= ANSWER_BYTES_MAX);
        let length = length.ok_or(FetchError::Long)?;
        let Some(chunk) = rest.get(at..at + length) else { return Ok(None) };
        whole.extend_from_slice(chunk);
        let Some(after) = rest.get(at + length..at + length + 2) else { return Ok(None) };
        if after != b"\r\n" {
            return Err(FetchError::Form);
        }
        rest = &rest[at + length + 2..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::thread;

    /// What is made of an answer that comes in such pieces.
    fn fetched(pieces: &[&str]) -> Result<String, String> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let place = HostPort { host: "127.0.0.1".to_owned(), port: listener.local_addr().unwrap().port() };
        let pieces: Vec<String> = pieces.iter().map(|piece| (*piece).to_owned()).collect();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = [0; 4096];
            let length = stream.read(&mut asked).unwrap();
            assert!(asked[..length].starts_with(b"GET /keys?x HTTP/1.1\r\nHost: 127.0.0.1:"));
            for piece in pieces {
                // One that has seen enough has gone.
                let _ = stream.write_all(piece.as_bytes());
            }
        });
        let body = get(&place, "/keys?x", None);
        server.join().unwrap();
        body.map(|body| String::from_utf8(body).unwrap()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_document_comes_by_length_in_chunks_or_until_the_end() {
        let document = Ok("{\"keys\":[]}".to_owned());
        assert_eq!(
            fetched(&["HTTP/1.1 200 OK\r\ncontent-LENGTH: 11\r\n\r\n", "{\"keys\"", ":[]}"]),
            document
        );
        assert_eq!(fetched(&["HTTP/1.0 200 OK\r\n\r\n{\"keys\"", ":[]}"]), document);
        let chunks = [
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n7;x=y\r\n{\"keys\"\r\n",
            "4\r\n:[]}\r\n0\r\n\r\n",
        ];
        assert_eq!(fetched(&chunks), document);
    }

    #[test]
    fn what_is_cut_short_too_long_or_something_else_is_refused() {
        let told = |pieces: &[&str]| fetched(pieces).unwrap_err();
        let form = FetchError::Form.to_string();
        assert_eq!(told(&["HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n{\"keys\":[]}"]), form);
        assert_eq!(told(&["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n"]), form);
        assert_eq!(told(&["HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n"]), form);
        assert_eq!(told(&["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcdef\r\n"]), form);
        assert_eq!(told(&["HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"]), form);
        assert_eq!(told(&["SSH-2.0-x\r\n\r\n"]), form);
        assert_eq!(told(&[]), form);
        assert!(told(&["HTTP/1.1 302 Found\r\nLocation: http://x/\r\n\r\n"]).contains("status 302"));
        let long = "x".repeat(ANSWER_BYTES_MAX);
        assert_eq!(told(&["HTTP/1.1 200 OK\r\n\r\n", &long, "y"]), FetchError::Long.to_string());
        let endless = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffff\r\n";
        assert_eq!(told(&[endless]), FetchError::Long.to_string());
    }
}
