//! What the bytes of a connection travel over: a socket, or TLS over one.

use std::io::{self, BufRead, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use strandline_tls::rustls::pki_types::ServerName;
use strandline_tls::rustls::{ClientConfig, ClientConnection, StreamOwned};

/// A connected socket, or TLS over one.
#[derive(Debug)]
pub enum Stream {
    /// As it is.
    Plain(TcpStream),
    /// Encrypted.
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Stream {
    /// Goes through the handshake of TLS with the broker at `host`.
    ///
    /// # Errors
    /// What the socket says; and, as `InvalidData`, why the broker is not trusted.
    pub(crate) fn secured(socket: TcpStream, host: &str, config: &Arc<ClientConfig>) -> io::Result<Stream> {
        // What follows a percent sign says by which interface, and is not in a certificate.
        let name = host.split('%').next().unwrap_or(host).to_owned();
        let name =
            ServerName::try_from(name).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let session = ClientConnection::new(config.clone(), name)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let mut stream = StreamOwned::new(session, socket);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(Stream::Tls(Box::new(stream)))
    }

    /// Whether the bytes of the socket are not those that are read and written: then fewer than were asked
    /// for say nothing of whether there are more.
    pub fn is_encrypted(&self) -> bool {
        matches!(self, Stream::Tls(_))
    }

    /// From now on, what cannot be done at once is [`io::ErrorKind::WouldBlock`].
    ///
    /// # Errors
    /// What the socket says.
    pub fn set_nonblocking(&self) -> io::Result<()> {
        self.socket().set_nonblocking(true)
    }

    /// Sends what was written and is encrypted, as far as the socket takes it; whether that is all. Without
    /// TLS nothing is left behind.
    ///
    /// # Errors
    /// What the socket says.
    pub fn push(&mut self) -> io::Result<bool> {
        let Stream::Tls(stream) = self else { return Ok(true) };
        while stream.conn.wants_write() {
            match stream.conn.write_tls(&mut stream.sock) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// The socket.
    pub fn socket(&self) -> &TcpStream {
        match self {
            Stream::Plain(socket) => socket,
            Stream::Tls(stream) => &stream.sock,
        }
    }

    /// How long a read may take.
    pub(crate) fn set_read_timeout(&self, timeout: Duration) -> io::Result<()> {
        self.socket().set_read_timeout(Some(timeout))
    }

    /// Whether a read would not wait: something has come, or the peer has ended.
    pub(crate) fn has_news(&mut self) -> bool {
        loop {
            if let Stream::Tls(stream) = self {
                match stream.conn.reader().fill_buf() {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    _ => return true,
                }
            }
            let mut interest = [PollFd::new(self.socket(), PollFlags::IN)];
            if !poll(&mut interest, Some(&Timespec::default())).is_ok_and(|ready| ready > 0) {
                return false;
            }
            let Stream::Tls(stream) = self else { return true };
            // What has come need not be data: a ticket, for instance.
            let taken = stream.conn.read_tls(&mut stream.sock);
            if !taken.is_ok_and(|bytes| bytes > 0) || stream.conn.process_new_packets().is_err() {
                return true;
            }
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(socket) => socket.read(buffer),
            Stream::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(socket) => socket.write(bytes),
            Stream::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Stream::Plain(socket) => socket.flush(),
            Stream::Tls(stream) => stream.flush(),
        }
    }
}
