//! One connection: reads requests, runs them, writes the answers in the order of the requests.
//!
//! ```text
//! socket > FrameBuffer > dispatch::arrive > queue (64 requests, 8 MiB) > answer > socket
//!          |------------ read -----------|       |-------- write --------|
//! ```
//!
//! * Both halves run side by side in one task. A client that does not read its answers fills the socket, then
//!   the queue; then its requests are not read any more.
//! * When reading ends (the client has gone, the bytes make no sense, the broker stops), what is owed is
//!   still answered; requests that wait for records are answered at once. When writing fails, reading ends.
//! * A long answer is made while it is sent. A client that does not take it gives up its seat to those who
//!   wait ([`crate::room`]).
//! * No append is ever cancelled: what has been handed over is written whether anybody waits for it or not.

use std::cell::Cell;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use futures_util::future::{Either, join, select};
use futures_util::poll;
use rustix::io::Errno;
use rustix::net::Shutdown;
use strandline_engine::reactor::yield_if_needed;
use strandline_engine::reactor::{SendFileError, receive, set_congestion_control, set_nodelay};
use strandline_engine::{File, FileRange};
use strandline_protocol::messages::Piece;
use strandline_protocol::wire::Place;
use strandline_protocol::wire::writer::PART_BYTES;

use super::frame::{FrameBuffer, FrameError};
use super::queue::{Popper, Pusher, queue};
use crate::answer::Long;
use crate::broker::Broker;
use crate::call::{Answer, CallError, Ending, Owed};
use crate::dispatch;
use crate::room::Seat;

/// Requests of one connection that may wait for their answers. Clients have 5 (Java, librdkafka with
/// idempotence) to some dozens in flight.
const OPEN_REQUESTS_MAX: usize = 64;

/// Their bytes: five batches of Kafka's default size, so that a producer never waits for this. A larger
/// request is taken alone.
const OPEN_BYTES_MAX: usize = 8 << 20;

/// Up to this many bytes of records are copied into the answer; above, `sendfile` is cheaper than the copy.
const COPY_BYTES_MAX: u64 = 16 << 10;

/// Answers that are ready are sent together up to so many bytes.
const READY_BYTES_MAX: usize = 64 << 10;

/// A client's connection.
pub(super) struct Connection {
    socket: Rc<OwnedFd>,
    peer: SocketAddr,
    active: Cell<Instant>,
    closing: Cell<Option<&'static str>>,
}

/// Why no more requests are read.
#[derive(Debug, thiserror::Error)]
enum ReadEnd {
    #[error("the client has closed it")]
    Closed,
    #[error("it ended in the middle of a request")]
    Partial,
    #[error("{0}")]
    Told(&'static str),
    #[error("no answer can be written")]
    Writing,
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error(transparent)]
    Call(#[from] CallError),
}

/// Why not all answers were written.
#[derive(Debug, thiserror::Error)]
enum WriteEnd {
    #[error(transparent)]
    Call(#[from] CallError),
    #[error("sending failed: {0}")]
    Send(#[from] io::Error),
    #[error("reading records failed: {0}")]
    Read(io::Error),
    #[error("sending records failed: {0}")]
    SendFile(#[from] SendFileError),
    #[error("it took nothing of a long answer while others waited for the memory")]
    Still,
    #[error("an answer of {announced} bytes has come to {found}")]
    Size { announced: usize, found: usize },
}

impl Connection {
    /// Takes over a connected, non-blocking socket.
    pub(super) fn new(socket: OwnedFd, peer: SocketAddr) -> Connection {
        if let Err(error) = set_nodelay(socket.as_fd()) {
            tracing::debug!(%peer, %error, "TCP_NODELAY was refused");
        }
        // Where the system does not have it, its default does.
        let _ = set_congestion_control(socket.as_fd(), "reno");
        let socket = Rc::new(socket);
        Connection { socket, peer, active: Cell::new(Instant::now()), closing: Cell::new(None) }
    }

    fn fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// When something was last received, or an answer was sent whole.
    pub(super) fn active(&self) -> Instant {
        self.active.get()
    }

    fn touch(&self) {
        self.active.set(Instant::now());
    }

    /// Takes no more requests; what is owed is still answered.
    pub(super) fn stop_reading(&self, reason: &'static str) {
        self.end(reason, Shutdown::Read);
    }

    /// Ends both directions at once.
    pub(super) fn cut(&self, reason: &'static str) {
        self.end(reason, Shutdown::Both);
    }

    fn end(&self, reason: &'static str, how: Shutdown) {
        if self.closing.get().is_none() {
            self.closing.set(Some(reason));
        }
        // An error means that the peer has ended it before.
        let _ = rustix::net::shutdown(&self.socket, how);
    }

    /// Serves the connection to its end.
    pub(super) async fn serve(&self, broker: Rc<Broker>) {
        let (pusher, popper) = queue(OPEN_REQUESTS_MAX, OPEN_BYTES_MAX);
        let (end, ending) = async_channel::bounded(1);
        let reading = async {
            let why = self.read(&broker, pusher, Ending(ending)).await;
            drop(end);
            why
        };
        let writing = async {
            let result = self.write(&broker, popper).await;
            if result.is_err() {
                self.cut("no answer can be written");
            }
            result
        };
        tracing::debug!(peer = %self.peer, shard = broker.shard.index(), "connected");
        let (read, written) = join(reading, writing).await;
        self.tell(&read, &written);
    }

    /// One line about the end, loud when somebody should look at it.
    fn tell(&self, read: &ReadEnd, written: &Result<(), WriteEnd>) {
        let peer = self.peer;
        match (written, read) {
            (
                Err(
                    reason @ (WriteEnd::Read(_)
                    | WriteEnd::Size { .. }
                    | WriteEnd::SendFile(SendFileError::FileEnded { .. })),
                ),
                _,
            ) => {
                tracing::error!(%peer, %reason, "connection closed");
            }
            (Err(reason @ (WriteEnd::Call(_) | WriteEnd::Still)), _) => {
                tracing::warn!(%peer, %reason, "connection closed");
            }
            (_, reason @ (ReadEnd::Frame(_) | ReadEnd::Call(_))) => {
                tracing::warn!(%peer, %reason, "connection closed");
            }
            (Err(reason), _) => tracing::debug!(%peer, %reason, "connection closed"),
            (Ok(()), reason) => tracing::debug!(%peer, %reason, "connection closed"),
        }
    }

    // ---- requests -----------------------------------------------------------------------------------------

    async fn read(&self, broker: &Rc<Broker>, queue: Pusher<Owed>, ending: Ending) -> ReadEnd {
        match self.read_requests(broker, &queue, &ending).await {
            Ok(never) => match never {},
            Err(end) => end,
        }
    }

    async fn read_requests(
        &self,
        broker: &Rc<Broker>,
        queue: &Pusher<Owed>,
        ending: &Ending,
    ) -> Result<std::convert::Infallible, ReadEnd> {
        let mut buffer = FrameBuffer::new(broker.config.request_bytes_max);
        let mut drained = false;
        loop {
            while let Some(frame) = buffer.next()? {
                let bytes = frame.len();
                if !queue.room(bytes).await {
                    return Err(ReadEnd::Writing);
                }
                let owed = dispatch::arrive(broker.clone(), frame, self.peer.ip(), ending.clone()).await?;
                queue.push(owed, bytes);
                yield_if_needed().await;
            }
            drained = self.receive(broker, &mut buffer, drained).await?;
        }
    }

    /// Takes bytes, and waits for them when the socket is known to be drained, or is. Says whether it is
    /// drained now.
    async fn receive(
        &self,
        broker: &Broker,
        buffer: &mut FrameBuffer,
        mut drained: bool,
    ) -> Result<bool, ReadEnd> {
        let sockets = broker.shard.sockets();
        loop {
            if let Some(reason) = self.closing.get() {
                return Err(ReadEnd::Told(reason));
            }
            // Who waits with little memory does so with a receive under way; a larger block is only had while
            // something is there for it.
            let waits = drained && buffer.rests_small();
            if drained && !waits {
                sockets.readable(self.fd()).await?;
            }
            let room = buffer.room();
            let (before, spare) = (room.len(), room.capacity() - room.len());
            if waits {
                let (result, block) = sockets.receive(&self.socket, std::mem::take(room)).await;
                *room = block;
                result?;
            } else {
                match receive(self.fd(), room) {
                    Ok(_) => {}
                    Err(Errno::AGAIN) => {
                        drained = true;
                        continue;
                    }
                    Err(Errno::INTR) => continue,
                    Err(errno) => return Err(io::Error::from(errno).into()),
                }
            }
            match room.len() - before {
                0 if self.closing.get().is_some() => {}
                0 if buffer.is_partial() => return Err(ReadEnd::Partial),
                0 => return Err(ReadEnd::Closed),
                received => {
                    buffer.advance(received);
                    self.touch();
                    return Ok(received < spare);
                }
            }
        }
    }

    // ---- answers ------------------------------------------------------------------------------------------

    async fn write(&self, broker: &Broker, queue: Popper<Owed>) -> Result<(), WriteEnd> {
        let mut ready = BytesMut::new();
        loop {
            let next = match poll!(pin!(queue.pop())) {
                Poll::Ready(next) => next,
                Poll::Pending => {
                    self.send_ready(broker, &mut ready).await?;
                    queue.pop().await
                }
            };
            let Some((mut owed, _claim)) = next else { break };
            let answer = match poll!(&mut owed.answer) {
                Poll::Ready(answer) => answer,
                Poll::Pending => {
                    self.send_ready(broker, &mut ready).await?;
                    owed.answer.await
                }
            };
            if let Ok(answer) = &answer {
                broker.requests.answered(owed.key, owed.since.elapsed(), answer.bytes());
            }
            match answer {
                Ok(Answer::Nothing) => {}
                Ok(Answer::Frame(frame)) if frame.len() < READY_BYTES_MAX => ready.extend_from_slice(&frame),
                Ok(Answer::Frame(frame)) => {
                    self.send_ready(broker, &mut ready).await?;
                    broker.shard.sockets().send(self.fd(), &frame, false).await?;
                    self.touch();
                }
                Ok(Answer::Records { pieces, ranges, seat }) => {
                    self.send_ready(broker, &mut ready).await?;
                    match seat.is_empty() {
                        true => self.write_records(broker, pieces, ranges, None).await?,
                        false => {
                            let sending = self.write_records(broker, pieces, ranges, Some(&seat));
                            unless_cut(&seat, sending).await?;
                        }
                    }
                    self.touch();
                }
                Ok(Answer::Long(long)) => {
                    self.send_ready(broker, &mut ready).await?;
                    self.write_long(broker, long).await?;
                    self.touch();
                }
                Err(error) => {
                    self.send_ready(broker, &mut ready).await?;
                    return Err(error.into());
                }
            }
            if ready.len() >= READY_BYTES_MAX {
                self.send_ready(broker, &mut ready).await?;
            }
        }
        self.send_ready(broker, &mut ready).await
    }

    /// Sends the answers that have become ready together: a turn of the shard settles several requests of a
    /// connection at once.
    async fn send_ready(&self, broker: &Broker, ready: &mut BytesMut) -> Result<(), WriteEnd> {
        if !ready.is_empty() {
            broker.shard.sockets().send(self.fd(), ready, false).await?;
            ready.clear();
            self.touch();
        }
        Ok(())
    }

    /// Makes a long answer, and sends it, part by part.
    async fn write_long(&self, broker: &Broker, long: Long) -> Result<(), WriteEnd> {
        let Long { head: mut writer, body, bytes: announced, seat } = long;
        let sending = async {
            let (mut place, mut found) = (Place::default(), 0);
            loop {
                let turn = broker.room.turn().await;
                let is_done = body.write_part(&mut place, &mut writer);
                turn.pass().await;
                found += writer.position();
                if found > announced || (is_done && found < announced) {
                    return Err(WriteEnd::Size { announced, found });
                }
                broker.shard.sockets().send(self.fd(), writer.bytes(), !is_done).await?;
                if is_done {
                    return Ok(());
                }
                writer.clear();
                self.touch();
                seat.progressed();
            }
        };
        unless_cut(&seat, sending).await
    }

    /// `seat` holds the memory of many pieces.
    async fn write_records(
        &self,
        broker: &Broker,
        mut pieces: Vec<Piece>,
        ranges: Vec<FileRange<File>>,
        seat: Option<&Seat>,
    ) -> Result<(), WriteEnd> {
        let sockets = broker.shard.sockets();
        if ranges.iter().map(|range| range.length).sum::<u64>() <= COPY_BYTES_MAX {
            let frame = copy_records(broker, &pieces, &ranges).await.map_err(WriteEnd::Read)?;
            return Ok(sockets.send(self.fd(), &frame, false).await?);
        }
        pieces.retain(|piece| !matches!(piece, Piece::Bytes(bytes) if bytes.is_empty()));
        let last = pieces.len().saturating_sub(1);
        for (at, piece) in pieces.iter().enumerate() {
            match piece {
                Piece::Bytes(bytes) => sockets.send(self.fd(), bytes, at < last).await?,
                Piece::Records(gap) => {
                    let range = &ranges[gap.index];
                    // Whoever takes a long range slowly makes progress all the while.
                    let step = if seat.is_some() { PART_BYTES as u64 } else { range.length };
                    for done in (0..range.length).step_by(step as usize) {
                        let length = step.min(range.length - done);
                        sockets.send_file(self.fd(), &range.file, range.position + done, length).await?;
                        seat.inspect(|seat| seat.progressed());
                    }
                }
            }
            seat.inspect(|seat| seat.progressed());
        }
        Ok(())
    }
}

/// Sends an answer that has a seat, unless that is lost.
async fn unless_cut(
    seat: &Seat,
    sending: impl Future<Output = Result<(), WriteEnd>>,
) -> Result<(), WriteEnd> {
    match select(pin!(sending), pin!(seat.send())).await {
        Either::Left((result, _)) => result,
        Either::Right(_) => Err(WriteEnd::Still),
    }
}

async fn copy_records(broker: &Broker, pieces: &[Piece], ranges: &[FileRange<File>]) -> io::Result<Bytes> {
    if let [Piece::Bytes(frame)] = pieces {
        return Ok(frame.clone());
    }
    let mut frame = BytesMut::new();
    for piece in pieces {
        match piece {
            Piece::Bytes(bytes) => frame.extend_from_slice(bytes),
            Piece::Records(gap) => {
                frame.extend_from_slice(&broker.shard.copy(&ranges[gap.index]).await?);
            }
        }
    }
    Ok(frame.freeze())
}
