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
//! * A client that has gone is noticed while the queue is full, too: what it waits for is answered at once,
//!   and what it has sent before is read.
//! * A long answer is made while it is sent. A client that does not take it gives up its seat to those who
//!   wait ([`crate::room`]).
//! * No append is ever cancelled: what has been handed over is written whether anybody waits for it or not.

use std::future::Future;
use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use async_channel::Sender;
use bytes::{Bytes, BytesMut};
use futures_util::FutureExt;
use futures_util::future::{Either, join, select};
use futures_util::poll;
use strandline_engine::reactor::{self, SendFileError, yield_if_needed};
use strandline_engine::{File, FileRange};
use strandline_protocol::messages::Piece;
use strandline_protocol::wire::Place;
use strandline_protocol::wire::writer::PART_BYTES;

use super::frame::{FrameBuffer, FrameError};
use super::queue::{Popper, Pusher, queue};
use crate::answer::Long;
use crate::authentication::Authentication;
use crate::broker::Broker;
use crate::call::{Answer, CallError, Client, Ending, Owed};
use crate::dispatch;
use crate::net::{Connection, SendRangeError, Transport};
use crate::quotas::Standing;
use crate::room::Seat;
use crate::session::Session;
use crate::share;
use crate::strangers::NoRoom;

/// Requests of one connection that may wait for their answers. Clients have 5 (Java, librdkafka with
/// idempotence) to some dozens in flight.
const OPEN_REQUESTS_MAX: usize = 64;

/// Their bytes: five batches of Kafka's default size, so that a producer never waits for this. A larger
/// request is taken alone.
const OPEN_BYTES_MAX: usize = 8 << 20;

/// Up to this many bytes of records are copied into the answer; above, `sendfile` is cheaper than the copy.
const COPY_BYTES_MAX: u64 = 16 << 10;

/// Records that are sent from their file before the connection counts as active again: a client that takes a
/// long answer slowly is not idle.
const STRETCH_BYTES: u64 = 1 << 20;

/// Answers that are ready are sent together up to so many bytes.
const READY_BYTES_MAX: usize = 64 << 10;

/// How long a client that has used up its quota is not read before it is looked whether the connection ends.
const MUTED_STEP: Duration = Duration::from_millis(500);

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
    #[error("the client has not proven who it is")]
    NotBelieved,
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error(transparent)]
    Call(#[from] CallError),
    #[error(transparent)]
    NoRoom(#[from] NoRoom),
}

/// Why not all answers were written.
#[derive(Debug, thiserror::Error)]
enum WriteEnd {
    #[error(transparent)]
    Call(#[from] CallError),
    #[error("sending failed: {0}")]
    Send(#[from] io::Error),
    #[error(transparent)]
    Records(#[from] SendRangeError),
    #[error("it took nothing of a long answer while others waited for the memory")]
    Still,
    #[error("an answer of {announced} bytes has come to {found}")]
    Size { announced: usize, found: usize },
}

/// A connection that is being served.
struct Serving<'a, T> {
    connection: &'a Connection<T>,
    broker: &'a Rc<Broker>,
}

/// Serves a connection to its end.
pub(super) async fn serve<T: Transport>(connection: &Connection<T>, broker: &Rc<Broker>) {
    let serving = Serving { connection, broker };
    let (pusher, popper) = queue(OPEN_REQUESTS_MAX, OPEN_BYTES_MAX);
    let (end, ending) = async_channel::bounded(1);
    let listener = broker.config.listener(&connection.origin().listener);
    // Where users come by SASL, a certificate lets in and says no more, as in Kafka.
    let user = connection.transport().user().filter(|_| listener.is_none_or(|it| it.sasl.is_none()));
    let mut client = Client {
        session: Rc::new(Session::new(connection.origin(), user)),
        authentication: Authentication::new(
            listener.and_then(|listener| listener.sasl.clone()),
            broker.tokens.of(&connection.origin().listener).cloned(),
        ),
        asker: Rc::default(),
        standing: Standing::default(),
    };
    let reading = async {
        let why = serving.read(&mut client, pusher, &end, Ending(ending)).await;
        drop(end);
        why
    };
    let writing = async {
        let result = serving.write(popper).await;
        if result.is_err() {
            connection.end("no answer can be written", Shutdown::Both);
        }
        result
    };
    let origin = connection.origin();
    tracing::debug!(
        peer = %origin.peer, listener = %origin.listener, shard = broker.shard.index(), "connected"
    );
    let (read, written) = join(reading, writing).await;
    let ended = share::Connection { peer: origin.peer, listener: origin.listener.clone() };
    broker.shares.end_connection(&ended).await;
    tell(&client.session, &read, &written);
}

impl<T: Transport> Serving<'_, T> {
    // ---- requests -----------------------------------------------------------------------------------------

    async fn read(
        &self,
        client: &mut Client,
        queue: Pusher<Owed>,
        end: &Sender<()>,
        ending: Ending,
    ) -> ReadEnd {
        match self.read_requests(client, &queue, end, &ending).await {
            Ok(never) => match never {},
            Err(end) => end,
        }
    }

    async fn read_requests(
        &self,
        client: &mut Client,
        queue: &Pusher<Owed>,
        end: &Sender<()>,
        ending: &Ending,
    ) -> Result<std::convert::Infallible, ReadEnd> {
        let request_bytes_max = self.broker.config.request_bytes_max;
        let most = |client: &Client| match client.authentication.request_bytes_max() {
            Some(own) => own.min(request_bytes_max),
            None => request_bytes_max,
        };
        let mut buffer = FrameBuffer::new(most(client));
        let mut stranger = self.broker.strangers.come();
        let mut drained = false;
        // Asked for when the queue is full for the first time.
        let mut gone = pin!(self.connection.transport().hung_up().fuse());
        loop {
            while let Some(frame) = buffer.next()? {
                let bytes = frame.len();
                let has_room = match select(pin!(queue.room(bytes)), gone.as_mut()).await {
                    Either::Left((has_room, _)) => has_room,
                    Either::Right((_, room)) => {
                        end.close();
                        room.await
                    }
                };
                if !has_room {
                    return Err(ReadEnd::Writing);
                }
                while let Some(left) = client.standing.muted_for() {
                    if let Some(reason) = self.connection.closing() {
                        return Err(ReadEnd::Told(reason));
                    }
                    let step = pin!(reactor::sleep(left.min(MUTED_STEP)));
                    if let Either::Right(_) = select(step, gone.as_mut()).await {
                        end.close();
                        return Err(ReadEnd::Closed);
                    }
                }
                let owed = dispatch::arrive(self.broker.clone(), client, frame, ending.clone()).await?;
                queue.push(owed, bytes);
                if client.authentication.has_failed() {
                    return Err(ReadEnd::NotBelieved);
                }
                buffer.set_bytes_max(most(client));
                yield_if_needed().await;
            }
            drained = self.receive(&mut buffer, drained).await?;
            let is_stranger = client.authentication.request_bytes_max().is_some();
            stranger.holds(if is_stranger { buffer.holds() } else { 0 })?;
        }
    }

    /// Takes bytes, and waits for them when the transport is known to be drained, or is. Says whether it is
    /// drained now.
    async fn receive(&self, buffer: &mut FrameBuffer, mut drained: bool) -> Result<bool, ReadEnd> {
        let (connection, transport) = (self.connection, self.connection.transport());
        loop {
            if let Some(reason) = connection.closing() {
                return Err(ReadEnd::Told(reason));
            }
            // Who waits with little memory does so with a receive under way; a larger block is only had while
            // something is there for it.
            let waits = drained && buffer.rests_small();
            if drained && !waits {
                transport.readable().await?;
            }
            let room = buffer.room();
            let (before, spare) = (room.len(), room.capacity() - room.len());
            if waits {
                let (result, block) = transport.receive(std::mem::take(room)).await;
                *room = block;
                result?;
            } else if transport.receive_ready(room)?.is_none() {
                drained = true;
                continue;
            }
            match room.len() - before {
                0 if connection.closing().is_some() => {}
                0 if buffer.is_partial() => return Err(ReadEnd::Partial),
                0 => return Err(ReadEnd::Closed),
                received => {
                    buffer.advance(received);
                    connection.touch();
                    return Ok(received < spare);
                }
            }
        }
    }

    // ---- answers ------------------------------------------------------------------------------------------

    async fn write(&self, queue: Popper<Owed>) -> Result<(), WriteEnd> {
        let mut ready = BytesMut::new();
        loop {
            let next = match poll!(pin!(queue.pop())) {
                Poll::Ready(next) => next,
                Poll::Pending => {
                    self.send_ready(&mut ready).await?;
                    queue.pop().await
                }
            };
            let Some((mut owed, _claim)) = next else { break };
            let answer = match poll!(&mut owed.answer) {
                Poll::Ready(answer) => answer,
                Poll::Pending => {
                    self.send_ready(&mut ready).await?;
                    owed.answer.await
                }
            };
            if let Ok(answer) = &answer {
                self.broker.requests.answered(owed.key, owed.since.elapsed(), answer.bytes());
            }
            match answer {
                Ok(Answer::Nothing) => {}
                Ok(Answer::Frame(frame)) if frame.len() < READY_BYTES_MAX => ready.extend_from_slice(&frame),
                Ok(Answer::Frame(frame)) => {
                    self.send_with(&mut ready, &frame, false).await?;
                    self.connection.touch();
                }
                Ok(Answer::Records { pieces, ranges, seat }) => {
                    match seat.is_empty() {
                        true => self.write_records(&mut ready, pieces, ranges, None).await?,
                        false => {
                            let sending = self.write_records(&mut ready, pieces, ranges, Some(&seat));
                            unless_cut(&seat, sending).await?;
                        }
                    }
                    self.connection.touch();
                }
                Ok(Answer::Long(long)) => {
                    self.send_ready(&mut ready).await?;
                    self.write_long(long).await?;
                    self.connection.touch();
                }
                Err(error) => {
                    self.send_ready(&mut ready).await?;
                    return Err(error.into());
                }
            }
            if ready.len() >= READY_BYTES_MAX {
                self.send_ready(&mut ready).await?;
            }
        }
        self.send_ready(&mut ready).await
    }

    /// Sends the answers that have become ready together: a turn of the shard settles several requests of a
    /// connection at once.
    async fn send_ready(&self, ready: &mut BytesMut) -> Result<(), WriteEnd> {
        if !ready.is_empty() {
            self.connection.transport().send(ready, false).await?;
            ready.clear();
            self.connection.touch();
        }
        Ok(())
    }

    /// Sends what is ready, and `bytes` behind it, which are ready as well.
    async fn send_with(&self, ready: &mut BytesMut, bytes: &[u8], more: bool) -> Result<(), WriteEnd> {
        let mut parts = [IoSlice::new(ready), IoSlice::new(bytes)];
        self.connection.transport().send_vectored(&mut parts, more).await?;
        ready.clear();
        Ok(())
    }

    /// Makes a long answer, and sends it, part by part.
    async fn write_long(&self, long: Long) -> Result<(), WriteEnd> {
        let Long { head: mut writer, body, bytes: announced, seat } = long;
        let sending = async {
            let (mut place, mut found) = (Place::default(), 0);
            loop {
                let turn = self.broker.room.turn().await;
                let is_done = body.write_part(&mut place, &mut writer);
                turn.pass().await;
                found += writer.position();
                if found > announced || (is_done && found < announced) {
                    return Err(WriteEnd::Size { announced, found });
                }
                self.connection.transport().send(writer.bytes(), !is_done).await?;
                if is_done {
                    return Ok(());
                }
                writer.clear();
                self.connection.touch();
                seat.progressed();
            }
        };
        unless_cut(&seat, sending).await
    }

    /// Sends what is ready, then a frame with records. `seat` holds the memory of many pieces.
    async fn write_records(
        &self,
        ready: &mut BytesMut,
        mut pieces: Vec<Piece>,
        ranges: Vec<FileRange<File>>,
        seat: Option<&Seat>,
    ) -> Result<(), WriteEnd> {
        let transport = self.connection.transport();
        if ranges.iter().map(|range| range.length).sum::<u64>() <= COPY_BYTES_MAX {
            // Reading may take its time.
            self.send_ready(ready).await?;
            let frame = copy_records(self.broker, &pieces, &ranges).await.map_err(SendRangeError::Read)?;
            return Ok(transport.send(&frame, false).await?);
        }
        pieces.retain(|piece| !matches!(piece, Piece::Bytes(bytes) if bytes.is_empty()));
        let last = pieces.len().saturating_sub(1);
        for (at, piece) in pieces.iter().enumerate() {
            match piece {
                Piece::Bytes(bytes) => self.send_with(ready, bytes, at < last).await?,
                Piece::Records(gap) => {
                    self.send_ready(ready).await?;
                    let range = &ranges[gap.index];
                    // Whoever takes a long range slowly makes progress all the while.
                    let step = if seat.is_some() { PART_BYTES as u64 } else { STRETCH_BYTES };
                    for done in (0..range.length).step_by(step as usize) {
                        let part = FileRange {
                            file: range.file.clone(),
                            position: range.position + done,
                            length: step.min(range.length - done),
                        };
                        transport.send_range(&self.broker.shard, &part).await?;
                        self.connection.touch();
                        seat.inspect(|seat| seat.progressed());
                    }
                }
            }
            seat.inspect(|seat| seat.progressed());
        }
        Ok(())
    }
}

/// One line about the end, loud when somebody should look at it.
fn tell(session: &Session, read: &ReadEnd, written: &Result<(), WriteEnd>) {
    let (peer, listener) = (session.peer, &session.listener);
    let client_id = session.client_id.as_deref();
    let principal = &session.principal;
    match (written, read) {
        (
            Err(
                reason @ (WriteEnd::Size { .. }
                | WriteEnd::Records(
                    SendRangeError::Read(_) | SendRangeError::Send(SendFileError::FileEnded { .. }),
                )),
            ),
            _,
        ) => {
            tracing::error!(%peer, %listener, %principal, client_id, %reason, "connection closed");
        }
        (Err(reason @ (WriteEnd::Call(_) | WriteEnd::Still)), _) => {
            tracing::warn!(%peer, %listener, %principal, client_id, %reason, "connection closed");
        }
        (_, reason @ (ReadEnd::Frame(_) | ReadEnd::Call(_) | ReadEnd::NotBelieved)) => {
            tracing::warn!(%peer, %listener, %principal, client_id, %reason, "connection closed");
        }
        (Err(reason), _) => tracing::debug!(%peer, %principal, client_id, %reason, "connection closed"),
        (Ok(()), reason) => tracing::debug!(%peer, %principal, client_id, %reason, "connection closed"),
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
