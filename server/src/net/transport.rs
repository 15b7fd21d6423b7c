//! What the bytes of a connection travel over: a plain socket, or TLS over one ([`super::Tls`]).
//!
//! A front asks its transport and never the socket, so that it serves any. What a transport has to be able to
//! do is to receive, to send and to end. What it may do better has an answer that is good enough: it sends
//! several pieces one after the other, and the records of a file by copying them. A plain socket has one
//! system call for the former, and `sendfile` for the latter; bytes that are encrypted on their way have to
//! pass through memory.

use std::future::Future;
use std::io::{self, IoSlice};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

use bytes::BytesMut;
use rustix::io::Errno;
use strandline_engine::reactor::{SendFileError, Sockets, receive, set_congestion_control, set_nodelay};
use strandline_engine::{File, FileRange, Local};

/// Records are copied in pieces of so many bytes where they cannot be sent from their file: what a connection
/// takes of the memory meanwhile.
const COPY_BYTES: u64 = 64 << 10;

/// Why the records of a file were not sent whole.
#[derive(Debug, thiserror::Error)]
pub enum SendRangeError {
    /// They could not be read.
    #[error("reading records failed: {0}")]
    Read(io::Error),
    /// They could not be sent.
    #[error("sending records failed: {0}")]
    Send(#[from] SendFileError),
}

/// Something that a connection's bytes travel over. Both directions may be used at the same time, each by one
/// task.
///
/// A send whose future was dropped has sent an unknown part: the connection is to be ended then, as after an
/// error.
pub trait Transport: 'static {
    /// Waits until there is something to be received, or the peer has ended.
    fn readable(&self) -> impl Future<Output = io::Result<()>>;

    /// Waits until the peer has ended its side, or the transport has failed, whether anything is left to be
    /// received or not. A transport that does not know without receiving waits for ever.
    fn hung_up(&self) -> impl Future<Output = io::Result<()>> {
        std::future::pending()
    }

    /// Receives what there is into the buffer's spare capacity, which must not be empty; 0 when the peer has
    /// ended, `None` when nothing has come.
    fn receive_ready(&self, buffer: &mut BytesMut) -> io::Result<Option<usize>>;

    /// Receives into the buffer's spare capacity, which must not be empty, as soon as something has come. The
    /// buffer comes back unchanged when the peer has ended. What is received after the future was dropped is
    /// lost.
    fn receive(&self, mut buffer: BytesMut) -> impl Future<Output = (io::Result<()>, BytesMut)> {
        async move {
            loop {
                match self.receive_ready(&mut buffer) {
                    Ok(Some(_)) => return (Ok(()), buffer),
                    Ok(None) => {}
                    Err(error) => return (Err(error), buffer),
                }
                if let Err(error) = self.readable().await {
                    return (Err(error), buffer);
                }
            }
        }
    }

    /// Sends all of `bytes`. `more` says that something follows at once: both may leave together.
    fn send(&self, bytes: &[u8], more: bool) -> impl Future<Output = io::Result<()>>;

    /// Sends all of `parts`, one after the other.
    fn send_vectored(&self, parts: &mut [IoSlice<'_>], more: bool) -> impl Future<Output = io::Result<()>> {
        async move {
            let last = parts.len().saturating_sub(1);
            for (at, part) in parts.iter().enumerate() {
                self.send(part, more || at < last).await?;
            }
            Ok(())
        }
    }

    /// Sends a stretch of a file, without holding up the thread when it is not in memory. `shard` is the one
    /// that the connection belongs to.
    fn send_range(
        &self,
        shard: &Local,
        range: &FileRange<File>,
    ) -> impl Future<Output = Result<(), SendRangeError>> {
        async move {
            for done in (0..range.length).step_by(COPY_BYTES as usize) {
                let piece = FileRange {
                    file: range.file.clone(),
                    position: range.position + done,
                    length: COPY_BYTES.min(range.length - done),
                };
                let bytes = shard.copy(&piece).await.map_err(SendRangeError::Read)?;
                let is_last = done + piece.length == range.length;
                self.send(&bytes, !is_last).await.map_err(SendFileError::Io)?;
            }
            Ok(())
        }
    }

    /// Ends one direction or both: what waits for it returns.
    fn end(&self, how: Shutdown);

    /// Does what has to be done before the first byte is received; false when it came to nothing, which was
    /// told then. Who has ended it meanwhile is not waited for.
    fn open(&self, _peer: SocketAddr, _listener: &str) -> impl Future<Output = bool> {
        std::future::ready(true)
    }

    /// The user that the peer has proven to be by opening it.
    fn user(&self) -> Option<&str> {
        None
    }
}

/// A connected socket, as it is.
pub struct Plain {
    socket: Rc<OwnedFd>,
    sockets: Sockets,
}

impl Plain {
    /// Takes over a non-blocking socket, on a thread with these sockets.
    pub fn new(stream: TcpStream, sockets: &Sockets) -> Plain {
        let socket = Rc::new(OwnedFd::from(stream));
        if let Err(error) = set_nodelay(socket.as_fd()) {
            tracing::debug!(%error, "TCP_NODELAY was refused");
        }
        // Where the system does not have it, its default does.
        let _ = set_congestion_control(socket.as_fd(), "reno");
        Plain { socket, sockets: sockets.clone() }
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Waits until the socket takes more.
    pub(super) async fn writable(&self) -> io::Result<()> {
        self.sockets.writable(self.fd()).await
    }
}

impl Transport for Plain {
    async fn readable(&self) -> io::Result<()> {
        self.sockets.readable(self.fd()).await
    }

    async fn hung_up(&self) -> io::Result<()> {
        self.sockets.hung_up(self.fd()).await
    }

    fn receive_ready(&self, buffer: &mut BytesMut) -> io::Result<Option<usize>> {
        loop {
            match receive(self.fd(), buffer) {
                Ok(received) => return Ok(Some(received)),
                Err(Errno::AGAIN) => return Ok(None),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    async fn receive(&self, buffer: BytesMut) -> (io::Result<()>, BytesMut) {
        self.sockets.receive(&self.socket, buffer).await
    }

    async fn send(&self, bytes: &[u8], more: bool) -> io::Result<()> {
        self.sockets.send(self.fd(), bytes, more).await
    }

    async fn send_vectored(&self, parts: &mut [IoSlice<'_>], more: bool) -> io::Result<()> {
        self.sockets.send_vectored(self.fd(), parts, more).await
    }

    async fn send_range(&self, _: &Local, range: &FileRange<File>) -> Result<(), SendRangeError> {
        Ok(self.sockets.send_file(self.fd(), &range.file, range.position, range.length).await?)
    }

    fn end(&self, how: Shutdown) {
        let how = match how {
            Shutdown::Read => rustix::net::Shutdown::Read,
            Shutdown::Write => rustix::net::Shutdown::Write,
            Shutdown::Both => rustix::net::Shutdown::Both,
        };
        // An error means that the peer has ended it before.
        let _ = rustix::net::shutdown(&self.socket, how);
    }
}
