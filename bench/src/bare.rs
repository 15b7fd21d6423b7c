//! Servers that do one thing and nothing else. What they need for it is the kernel's part of a broker's work:
//! sockets, wake-ups, copies.
//!
//! ```text
//! echo       whatever comes                      >  the same            one thread on one core, one epoll
//! sendfile   from u64 | bytes u64, little-endian >  that range          one thread a connection, the range by sendfile(2)
//! ```

use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::thread::{CpuSet, sched_setaffinity};
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

/// How much is read at a time.
const READ_BYTES: usize = 64 << 10;
/// The event of the listener.
const LISTENER: u64 = u64::MAX;
/// The core of the echo server: the one on which a broker has its first shard.
const ECHO_CPU: usize = 0;
/// What a reader sends for a range.
pub(crate) const RANGE_BYTES: usize = 16;

/// Sends everything back, until the process is ended. One read and one write a request, no more.
pub(crate) fn echo(listener: TcpListener) -> io::Result<()> {
    let mut cpus = CpuSet::new();
    cpus.set(ECHO_CPU);
    sched_setaffinity(None, &cpus)?;
    let mut scratch = vec![0; READ_BYTES];
    serve_each(
        listener,
        |stream| stream,
        |_, _, stream| match stream.read(&mut scratch) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            // Few and small requests are under way, so the socket takes them whole; one that does not has a
            // client that does not read.
            Ok(read) => stream.write_all(&scratch[..read]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error),
        },
    )
}

/// Accepts connections and calls `serve`, with the epoll set and the connection's key in it, for each that is
/// ready, all in this thread. One for which it fails is closed.
pub(crate) fn serve_each<C>(
    listener: TcpListener,
    connection: impl Fn(TcpStream) -> C,
    mut serve: impl FnMut(&OwnedFd, u64, &mut C) -> io::Result<()>,
) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let epoll = epoll::create(CreateFlags::CLOEXEC)?;
    epoll::add(&epoll, &listener, EventData::new_u64(LISTENER), EventFlags::IN)?;
    let mut connections: HashMap<u64, C> = HashMap::new();
    let (mut next, mut events) = (0, Vec::<Event>::with_capacity(256));
    loop {
        match epoll::wait(&epoll, rustix::buffer::spare_capacity(&mut events), None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for event in events.drain(..) {
            let key = event.data.u64();
            if key == LISTENER {
                while let Ok((stream, _)) = listener.accept() {
                    stream.set_nonblocking(true)?;
                    prepare(&stream)?;
                    epoll::add(&epoll, &stream, EventData::new_u64(next), EventFlags::IN)?;
                    connections.insert(next, connection(stream));
                    next += 1;
                }
            } else if let Some(connection) = connections.get_mut(&key)
                && serve(&epoll, key, connection).is_err()
            {
                // Its socket leaves the epoll set when it is closed.
                connections.remove(&key);
            }
        }
    }
}

/// What a broker does on its side as well: no delay, and `reno` where that may be set.
fn prepare(stream: &TcpStream) -> io::Result<()> {
    let _ = rustix::net::sockopt::set_tcp_congestion(stream, "reno");
    stream.set_nodelay(true)
}

/// Sends ranges of `file`, until the process is ended.
pub(crate) fn sendfile(listener: TcpListener, file: File) -> io::Result<()> {
    loop {
        let (stream, _) = listener.accept()?;
        prepare(&stream)?;
        let file = file.try_clone()?;
        // It ends when its reader goes.
        thread::spawn(move || send_ranges(stream, &file));
    }
}

fn send_ranges(mut stream: TcpStream, file: &File) -> io::Result<()> {
    let mut range = [0; RANGE_BYTES];
    loop {
        stream.read_exact(&mut range)?;
        let (from, bytes) = range.split_at(8);
        let mut from = u64::from_le_bytes(from.try_into().expect("8 bytes"));
        let mut left = u64::from_le_bytes(bytes.try_into().expect("8 bytes")) as usize;
        while left > 0 {
            match rustix::fs::sendfile(&stream, file, Some(&mut from), left) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(sent) => left -= sent,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Seek;
    use std::time::Duration;

    #[test]
    fn an_echo_is_what_was_sent() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        thread::spawn(move || echo(listener));
        for request in [&b"first"[..], &[7; 5000]] {
            stream.write_all(request).unwrap();
            let mut answer = vec![0; request.len()];
            stream.read_exact(&mut answer).unwrap();
            assert_eq!(answer, request);
        }
    }

    #[test]
    fn a_range_comes_whole_and_nothing_behind_it() {
        let bytes: Vec<u8> = (0..3_000_000u32).flat_map(u32::to_le_bytes).collect();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&bytes).unwrap();
        file.rewind().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        thread::spawn(move || sendfile(listener, file));
        for (from, length) in [(0, bytes.len()), (4001, 9), (8, 1_000_000)] {
            stream.write_all(&[(from as u64).to_le_bytes(), (length as u64).to_le_bytes()].concat()).unwrap();
            let mut range = vec![0; length];
            stream.read_exact(&mut range).unwrap();
            assert!(range == bytes[from..from + length], "{length} bytes from {from}");
        }
    }
}
