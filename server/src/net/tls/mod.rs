//! TLS over a socket. rustls does the protocol, without a socket of its own; here its bytes travel.
//!
//! ```text
//! socket > incoming (32 KiB at most) > rustls: decrypts a record at a time > the buffer of the connection
//! answers, and files in pieces > rustls: encrypts 64 KiB at most > socket, as it takes them
//! ```
//! * Both directions share one session, which is borrowed for no longer than a step: never across an await.
//!   What is to be sent queues up in the session, so that its order stays whoever sends it.
//! * A handshake has [`HANDSHAKE`], holds the seat of its connection, and gives way to others between its
//!   steps.
//! * An idle connection holds no buffer of ours: `incoming` goes when nothing is in it.
//!
//! Records of a file pass through memory here; a plain socket goes on having `sendfile`. Were the kernel to
//! encrypt, that would be another transport, with the keys of a session that was opened here.

mod acceptor;
mod keys;

use std::cell::{Cell, OnceCell, RefCell};
use std::io::{self, BufRead as _, IoSlice, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::BorrowedFd;
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use strandline_engine::reactor::{self, Sockets, send_ready, yield_if_needed};
use strandline_tls::rustls::{self, ServerConnection};
use strandline_tls::{NoRule, NoSubject, subject, told};

pub use acceptor::Acceptor;
pub use keys::{Keys, KeysError, Reloads, Watch};

use super::transport::{Plain, Transport};

/// How long a handshake may take: round trips over any network, and the sums of a slow client. Whoever takes
/// longer holds a seat for nothing.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Most that is taken from the socket at once: two records.
const INCOMING_BYTES: usize = 32 << 10;

/// Most that is decrypted before others get the thread: some 100 us.
const DECRYPTED_BYTES: usize = 256 << 10;

/// What is encrypted before it is sent.
const PIECE_BYTES: usize = 64 << 10;

/// What a record of a handshake begins with.
const HANDSHAKE_RECORD: u8 = 22;

/// A connection over TLS.
pub struct Tls {
    socket: Plain,
    session: RefCell<ServerConnection>,
    acceptor: std::sync::Arc<Acceptor>,
    /// Received, and not yet given to the session.
    incoming: RefCell<BytesMut>,
    /// Bytes that were encrypted and are left for the next send.
    unsent: Cell<usize>,
    user: OnceCell<String>,
}

/// Why a handshake came to nothing.
#[derive(Debug, thiserror::Error)]
enum NotOpened {
    #[error("the client has left before it said anything")]
    Silent,
    #[error("the client has left in the middle of it")]
    Left,
    #[error("what the client says is no TLS: it may be one for a plaintext listener")]
    NoTls,
    #[error("it took longer than {} s", HANDSHAKE.as_secs())]
    Slow,
    #[error("{}", told(.0))]
    Tls(#[from] rustls::Error),
    #[error(transparent)]
    Subject(#[from] NoSubject),
    #[error(transparent)]
    Rule(#[from] NoRule),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// The socket, as far as it takes bytes at this moment.
struct Ready<'a>(BorrowedFd<'a>);

impl Write for Ready<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        loop {
            match send_ready(self.0, parts) {
                Err(errno) if errno == rustix::io::Errno::INTR => {}
                sent => return Ok(sent?),
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Tls {
    /// Takes over a non-blocking socket, on a thread with these sockets. It is open after
    /// [`Transport::open`].
    ///
    /// # Errors
    /// What rustls says; it has no reason to.
    pub fn new(
        stream: TcpStream,
        sockets: &Sockets,
        acceptor: std::sync::Arc<Acceptor>,
    ) -> Result<Tls, rustls::Error> {
        let mut session = ServerConnection::new(acceptor.config())?;
        // What is encrypted at once is bounded here.
        session.set_buffer_limit(None);
        Ok(Tls {
            socket: Plain::new(stream, sockets),
            session: RefCell::new(session),
            acceptor,
            incoming: RefCell::default(),
            unsent: Cell::new(0),
            user: OnceCell::new(),
        })
    }

    /// Sends what the socket takes now; whether that is all.
    fn push(&self) -> io::Result<bool> {
        let mut session = self.session.borrow_mut();
        while session.wants_write() {
            match session.write_tls(&mut Ready(self.socket.fd())) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Sends all that is encrypted.
    async fn flush(&self) -> io::Result<()> {
        self.unsent.set(0);
        while !self.push()? {
            self.socket.writable().await?;
        }
        Ok(())
    }

    /// Gives the session what has been received, or receives something to give; false when nothing has come.
    fn feed(&self) -> Result<bool, NotOpened> {
        let mut incoming = self.incoming.borrow_mut();
        let mut session = self.session.borrow_mut();
        if incoming.is_empty() {
            incoming.reserve(INCOMING_BYTES);
            match self.socket.receive_ready(&mut incoming)? {
                Some(0) => {
                    // It learns of the end.
                    session.read_tls(&mut io::empty())?;
                    return Ok(true);
                }
                Some(_) => {}
                None => {
                    *incoming = BytesMut::new();
                    return Ok(false);
                }
            }
        }
        let taken = session.read_tls(&mut &incoming[..])?;
        incoming.advance(taken);
        session.process_new_packets()?;
        Ok(true)
    }

    /// Goes through a handshake, and finds out who the client is.
    async fn shake_hands(&self) -> Result<(), NotOpened> {
        let mut is_first = true;
        loop {
            self.flush().await?;
            if !self.session.borrow().is_handshaking() {
                break;
            }
            if is_first {
                self.begin().await?;
                is_first = false;
            }
            match self.feed() {
                Ok(true) => {}
                Ok(false) => self.socket.readable().await?,
                Err(error) => {
                    // The client is told why, if it still listens.
                    let _ = self.push();
                    return Err(error);
                }
            }
            // The session has been told of an end that came too early.
            let has_ended = {
                let mut session = self.session.borrow_mut();
                session.is_handshaking() && !session.wants_write() && is_over(&mut session)
            };
            if has_ended {
                return Err(NotOpened::Left);
            }
            yield_if_needed().await;
        }
        let session = self.session.borrow();
        if let Some(own) = session.peer_certificates().and_then(|chain| chain.first()) {
            let name = self.acceptor.mapping().name(&subject(own)?)?;
            // It is set once.
            let _ = self.user.set(name);
        }
        Ok(())
    }

    /// Waits for the first bytes, and looks at the first of them: whoever speaks no TLS is told apart.
    async fn begin(&self) -> Result<(), NotOpened> {
        let mut incoming = BytesMut::new();
        loop {
            incoming.reserve(INCOMING_BYTES);
            match self.socket.receive_ready(&mut incoming)? {
                Some(0) => return Err(NotOpened::Silent),
                Some(_) if incoming[0] != HANDSHAKE_RECORD => return Err(NotOpened::NoTls),
                Some(_) => break,
                None => {}
            }
            incoming = BytesMut::new();
            self.socket.readable().await?;
        }
        *self.incoming.borrow_mut() = incoming;
        Ok(())
    }

    /// Whether something is there that needs no socket to be received.
    fn has_some(&self) -> bool {
        if !self.incoming.borrow().is_empty() {
            return true;
        }
        let mut session = self.session.borrow_mut();
        // An end is something as well.
        session.reader().fill_buf().map_or_else(|error| error.kind() != io::ErrorKind::WouldBlock, |_| true)
    }
}

/// Whether the peer has ended its side.
fn is_over(session: &mut ServerConnection) -> bool {
    match session.reader().fill_buf() {
        Ok(decrypted) => decrypted.is_empty(),
        Err(error) => error.kind() == io::ErrorKind::UnexpectedEof,
    }
}

impl Transport for Tls {
    async fn readable(&self) -> io::Result<()> {
        match self.has_some() {
            true => Ok(()),
            false => self.socket.readable().await,
        }
    }

    async fn hung_up(&self) -> io::Result<()> {
        self.socket.hung_up().await
    }

    fn receive_ready(&self, buffer: &mut BytesMut) -> io::Result<Option<usize>> {
        let mut received = 0;
        loop {
            let mut session = self.session.borrow_mut();
            let mut reader = session.reader();
            match reader.fill_buf() {
                // It has ended, by saying so or by leaving: frames tell whether something is missing.
                Ok([]) => return Ok(Some(received)),
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(Some(received)),
                Ok(decrypted) => {
                    let taken = decrypted.len().min(buffer.capacity() - buffer.len());
                    buffer.extend_from_slice(&decrypted[..taken]);
                    reader.consume(taken);
                    received += taken;
                    if buffer.len() == buffer.capacity() || received >= DECRYPTED_BYTES {
                        return Ok(Some(received));
                    }
                    continue;
                }
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
                Err(_) => drop(session),
            }
            match self.feed() {
                Ok(true) => {}
                Ok(false) => return Ok((received > 0).then_some(received)),
                Err(error) => {
                    let _ = self.push();
                    return Err(match error {
                        NotOpened::Io(error) => error,
                        other => io::Error::new(io::ErrorKind::InvalidData, other),
                    });
                }
            }
        }
    }

    async fn send(&self, bytes: &[u8], more: bool) -> io::Result<()> {
        for (at, piece) in bytes.chunks(PIECE_BYTES).enumerate() {
            if at > 0 {
                yield_if_needed().await;
            }
            self.session.borrow_mut().writer().write_all(piece)?;
            self.unsent.set(self.unsent.get() + piece.len());
            // What follows at once leaves together with it.
            if self.unsent.get() >= PIECE_BYTES {
                self.flush().await?;
            }
        }
        match more || self.unsent.get() == 0 {
            true => Ok(()),
            false => self.flush().await,
        }
    }

    fn end(&self, how: Shutdown) {
        if how != Shutdown::Read {
            self.session.borrow_mut().send_close_notify();
            let _ = self.push();
        }
        self.socket.end(how);
    }

    async fn open(&self, peer: SocketAddr, listener: &str) -> bool {
        let opened = reactor::with_timeout(HANDSHAKE, self.shake_hands()).await;
        let reason = match opened.unwrap_or(Err(NotOpened::Slow)) {
            Ok(()) => return true,
            Err(reason) => reason,
        };
        // What waits for the socket holds it: only this ends it for the peer.
        self.end(Shutdown::Both);
        match reason {
            // A supervisor that looks whether the port is open.
            NotOpened::Silent => tracing::debug!(%peer, %listener, %reason, "no TLS handshake"),
            _ => tracing::warn!(%peer, %listener, %reason, "TLS handshake failed"),
        }
        false
    }

    fn user(&self) -> Option<&str> {
        self.user.get().map(String::as_str)
    }
}

impl Drop for Tls {
    fn drop(&mut self) {
        // A peer that is still there knows by this that nothing was cut off.
        self.session.borrow_mut().send_close_notify();
        let _ = self.push();
    }
}
