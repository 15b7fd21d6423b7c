//! A client of HTTP/1.1 for tests: one connection, which is kept.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::Value;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(40);

/// A client.
pub(crate) struct Http {
    address: SocketAddr,
    headers: Vec<(String, String)>,
    stream: Option<BufReader<TcpStream>>,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Heard {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Heard {
    /// A header's value.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(found, _)| found.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// The body, after a status that was expected.
    pub(crate) fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text());
        if self.body.is_empty() { Value::Null } else { self.json() }
    }
}

impl Http {
    pub(crate) fn new(address: SocketAddr) -> Http {
        Http { address, headers: Vec::new(), stream: None }
    }

    /// With a header in each request.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Http {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// As a user.
    pub(crate) fn user(self, user: &str, password: &str) -> Http {
        let token = BASE64.encode(format!("{user}:{password}"));
        self.with("Authorization", &format!("Basic {token}"))
    }

    pub(crate) fn get(&mut self, path: &str) -> Heard {
        self.ask("GET", path, &[], b"")
    }

    pub(crate) fn delete(&mut self, path: &str) -> Heard {
        self.ask("DELETE", path, &[], b"")
    }

    /// Sends JSON as this type.
    pub(crate) fn post(&mut self, path: &str, content_type: &str, body: &Value) -> Heard {
        self.ask("POST", path, &[("Content-Type", content_type)], body.to_string().as_bytes())
    }

    pub(crate) fn ask(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Heard {
        let mut head = format!("{method} {path} HTTP/1.1\r\n");
        let own = self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let all: Vec<(&str, &str)> = own.chain(headers.iter().copied()).collect();
        if !all.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            head.push_str("Host: here\r\n");
        }
        for (name, value) in all {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
        let mut message = head.into_bytes();
        message.extend_from_slice(body);
        let mut stream = self.take();
        stream.get_mut().write_all(&message).unwrap();
        let (heard, is_kept) = read(&mut stream, method == "HEAD");
        self.stream = is_kept.then_some(stream);
        heard
    }

    /// The connection, for who writes and reads by itself.
    pub(crate) fn take(&mut self) -> BufReader<TcpStream> {
        self.stream.take().unwrap_or_else(|| {
            let stream = TcpStream::connect(self.address).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            stream.set_nodelay(true).unwrap();
            BufReader::new(stream)
        })
    }
}

/// Reads an answer; whether the connection goes on.
pub(crate) fn read(stream: &mut impl BufRead, is_head: bool) -> (Heard, bool) {
    let mut line = || {
        let mut line = String::new();
        stream.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    };
    let status = line();
    let status = status.split(' ').nth(1).unwrap_or_else(|| panic!("no status: {status}")).parse().unwrap();
    let mut heard = Heard { status, headers: Vec::new(), body: Vec::new() };
    loop {
        let header = line();
        let Some((name, value)) = header.split_once(':') else { break };
        heard.headers.push((name.to_owned(), value.trim().to_owned()));
    }
    let is_kept = heard.header("connection") != Some("close");
    if is_head || status == 204 || status == 304 {
        return (heard, is_kept);
    }
    if let Some(length) = heard.header("content-length") {
        heard.body = vec![0; length.parse().unwrap()];
        stream.read_exact(&mut heard.body).unwrap();
    } else if heard.header("transfer-encoding") == Some("chunked") {
        while let Some(chunk) = chunk(stream) {
            heard.body.extend(chunk);
        }
    } else {
        stream.read_to_end(&mut heard.body).unwrap();
        return (heard, false);
    }
    (heard, is_kept)
}

/// The next chunk of an answer, if there is one more.
pub(crate) fn chunk(stream: &mut impl BufRead) -> Option<Vec<u8>> {
    let mut size = String::new();
    stream.read_line(&mut size).unwrap();
    let size = usize::from_str_radix(size.trim_end(), 16).unwrap_or(0);
    let mut chunk = vec![0; size + 2];
    stream.read_exact(&mut chunk).unwrap();
    chunk.truncate(size);
    (size > 0).then_some(chunk)
}
