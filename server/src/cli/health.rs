//! `strandline health`: asks a broker whether it is well, by the page that supervisors ask for. An image has
//! no other program that could.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use strandline::config::HostPort;

use super::common::{CommandError, HealthError, plain};

/// Most bytes of an answer; that of health is some hundred.
const ANSWER_BYTES_MAX: u64 = 64 << 10;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Where the broker answers /healthz: its metrics.listen
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:9644")]
    metrics: HostPort,
    /// Ask whether it takes clients (/readyz), and not only whether it lives
    #[arg(long)]
    ready: bool,
    /// How long the answer may take
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=3600))]
    timeout: u64,
}

/// Prints what the broker says; fails unless it is well.
pub(super) fn run(args: Args) -> Result<ExitCode, CommandError> {
    let place = args.metrics;
    let path = if args.ready { "/readyz" } else { "/healthz" };
    let answer = match ask(&place, path, Duration::from_secs(args.timeout)) {
        Ok(answer) => answer,
        Err(source) => return Err(HealthError::NoAnswer { place, source }.into()),
    };
    let answer = String::from_utf8_lossy(&answer);
    let Some((status, body)) = status_and_body(&answer) else {
        return Err(HealthError::NotHttp { place }.into());
    };
    if status != 200 {
        return Err(HealthError::Unwell { place, said: body.trim().to_owned() }.into());
    }
    let mut out = io::stdout().lock();
    for line in body.lines() {
        writeln!(out, "{}", plain(line))?;
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// The whole answer, within `time` from now.
fn ask(place: &HostPort, path: &str, time: Duration) -> io::Result<Vec<u8>> {
    let until = Instant::now() + time;
    let left = || {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(io::Error::from(io::ErrorKind::TimedOut)) } else { Ok(left) }
    };
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for address in (&*place.host, place.port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, left()?) {
            Ok(stream) => return exchange(stream, place, path, left),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn exchange(
    mut stream: TcpStream,
    place: &HostPort,
    path: &str,
    left: impl Fn() -> io::Result<Duration>,
) -> io::Result<Vec<u8>> {
    stream.set_write_timeout(Some(left()?))?;
    // In one piece: whoever answers the first one may not wait for others.
    let request = format!("GET {path} HTTP/1.1\r\nHost: {place}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    let mut part = [0; 4096];
    while (answer.len() as u64) < ANSWER_BYTES_MAX {
        stream.set_read_timeout(Some(left()?))?;
        match stream.read(&mut part) {
            Ok(0) => break,
            Ok(count) => answer.extend_from_slice(&part[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Err(io::ErrorKind::TimedOut.into());
            }
            Err(error) => return Err(error),
        }
    }
    Ok(answer)
}

fn status_and_body(answer: &str) -> Option<(u16, &str)> {
    let rest = answer.strip_prefix("HTTP/1.")?;
    let status = rest.split(' ').nth(1)?.split(['\r', '\n']).next()?.parse().ok()?;
    Some((status, answer.split_once("\r\n\r\n")?.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_a_status_and_a_body_and_what_is_none_is_none() {
        assert_eq!(
            status_and_body("HTTP/1.1 503 Service Unavailable\r\nA: b\r\n\r\nno\n"),
            Some((503, "no\n"))
        );
        assert_eq!(status_and_body("HTTP/1.0 200\r\n\r\n"), Some((200, "")));
        for broken in ["", "SSH-2.0-x\r\n", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 many\r\n\r\n", "HTTP/1.1"] {
            assert_eq!(status_and_body(broken), None, "{broken:?}");
        }
    }
}
