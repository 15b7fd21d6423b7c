//! Requests of this process's own threads: what a front off the shards asks of the broker, by message.
//!
//! ```text
//! another thread: Caller::ask > a bounded way to a shard > dispatch::arrive, as for a connection
//!                             < one-shot channel         < the answer as bytes, how long to be silent
//! ```
//! What is asked is a request of the table of [`dispatch`], so that rules, quotas, counters and coordinators
//! are those of Kafka's clients. Who asks was found out by the front ([`Session`]); here it is believed.
//! Whoever drops the question ends its waiting, as a client that goes; an append goes on.
//!
//! Memory: an answer is held whole. The asker bounds what it asks for; an answer of more than
//! [`ANSWER_BYTES_MAX`] is not made.

use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use async_channel::{Receiver, Sender};
use bytes::{Buf as _, Bytes, BytesMut};
use futures_channel::oneshot;
use futures_util::stream::{FuturesUnordered, StreamExt};
use futures_util::{FutureExt, select_biased};
use strandline_engine::reactor::{self, Queue, Task};
use strandline_engine::{File, FileRange};
use strandline_protocol::messages::{
    FetchRequest, FetchResponse, Piece, Request, decode_response, encode_request,
};
use strandline_protocol::wire::{Decode, Encode, EncodeError, Place, WireError};

use crate::answer::Long;
use crate::authentication::Authentication;
use crate::broker::Broker;
use crate::call::{Answer, CallError, Client, Ending};
use crate::dispatch;
use crate::quotas::Standing;
use crate::session::Session;

/// Questions that wait for a shard to take them up.
const WAITING_MAX: usize = 128;

/// A longer answer is not given: several fetches of the largest batch that a topic takes by default.
const ANSWER_BYTES_MAX: u64 = 64 << 20;

/// How long answers may take when the broker stops.
const STOP_GRACE: Duration = Duration::from_secs(2);

/// Bytes of a frame's size.
const SIZE_BYTES: usize = 4;

/// The ways to the shards.
#[derive(Clone)]
pub struct InProcess(Arc<[Way]>);

struct Way {
    sender: Sender<Asked>,
    receiver: Receiver<Asked>,
}

/// A question on its way.
struct Asked {
    session: Session,
    /// The request, without its size.
    frame: BytesMut,
    /// Closes when nobody waits any more.
    ending: Receiver<()>,
    reply: oneshot::Sender<Result<Answered, NoAnswer>>,
}

/// An answer as it travels between threads.
struct Answered {
    /// The response, without its size.
    frame: Bytes,
    silent: Duration,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum NoAnswer {
    /// The broker stops.
    #[error("the broker stops")]
    Stopping,
    /// The request was not taken.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The request does not fit its version.
    #[error("the request can not be written: {0}")]
    Request(#[from] EncodeError),
    /// The answer can not be read.
    #[error("the answer can not be read: {0}")]
    Response(#[from] WireError),
    /// Records can not be read from their file.
    #[error("records can not be read: {0}")]
    Records(#[from] std::io::Error),
    /// The answer is longer than the asker may hold.
    #[error("the answer has {0} bytes, and at most {ANSWER_BYTES_MAX} are held")]
    Long(u64),
}

/// An answer, and how long its client has to be silent for what it has used.
#[derive(Debug)]
pub struct Said<M> {
    /// The answer.
    pub response: M,
    /// How long; zero for most.
    pub silent: Duration,
}

impl InProcess {
    /// Ways to so many shards.
    pub fn new(shards: usize) -> InProcess {
        let ways = (0..shards).map(|_| {
            let (sender, receiver) = async_channel::bounded(WAITING_MAX);
            Way { sender, receiver }
        });
        InProcess(ways.collect())
    }

    /// Whoever asks by this shard.
    ///
    /// # Panics
    /// Without such a shard.
    pub fn caller(&self, shard: usize) -> Caller {
        Caller(self.0[shard].sender.clone())
    }

    /// Answers what is asked by a shard, on its thread, until the engine stops.
    pub async fn serve(&self, broker: Rc<Broker>) {
        let shard = broker.shard.clone();
        let way = &self.0[shard.index()];
        let mut asked = pin!(way.receiver.clone());
        let mut stopped = pin!(shard.stopped().fuse());
        let mut tasks: FuturesUnordered<Task<()>> = FuturesUnordered::new();
        loop {
            select_biased! {
                _ = stopped => break,
                _ = tasks.select_next_some() => {}
                next = asked.select_next_some() => {
                    tasks.push(reactor::spawn(Queue::Net, reply(broker.clone(), next)));
                }
            }
        }
        way.receiver.close();
        // What has not been taken up is told so: its reply is dropped.
        while way.receiver.try_recv().is_ok() {}
        reactor::with_timeout(STOP_GRACE, async { while tasks.next().await.is_some() {} }).await;
        // An append that is under way goes on in its shard.
        for task in tasks {
            task.detach();
        }
    }
}

async fn reply(broker: Rc<Broker>, asked: Asked) {
    let Asked { session, frame, ending, reply } = asked;
    let answered = answer(&broker, session, frame, ending).await;
    // Who has gone does not hear it.
    let _ = reply.send(answered);
}

async fn answer(
    broker: &Rc<Broker>,
    session: Session,
    frame: BytesMut,
    ending: Receiver<()>,
) -> Result<Answered, NoAnswer> {
    let standing = Standing::default();
    let mut client = Client {
        session: Rc::new(session),
        asker: Rc::default(),
        authentication: Authentication::new(None, None),
        standing: standing.clone(),
    };
    let owed = dispatch::arrive(broker.clone(), &mut client, frame, Ending(ending)).await?;
    let answer = owed.answer.await?;
    let bytes = answer.bytes();
    if bytes > ANSWER_BYTES_MAX {
        return Err(NoAnswer::Long(bytes));
    }
    let mut frame = match answer {
        Answer::Nothing => Bytes::new(),
        Answer::Frame(frame) => frame,
        Answer::Records { pieces, ranges, seat } => {
            let frame = with_records(broker, &pieces, &ranges).await?;
            drop(seat);
            frame
        }
        Answer::Long(long) => whole(broker, long).await,
    };
    let frame = frame.split_off(SIZE_BYTES.min(frame.len()));
    Ok(Answered { frame, silent: standing.muted_for().unwrap_or_default() })
}

/// A frame with its records in it.
async fn with_records(
    broker: &Broker,
    pieces: &[Piece],
    ranges: &[FileRange<File>],
) -> Result<Bytes, std::io::Error> {
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

/// A long answer, made part by part with a turn of the shard between two.
async fn whole(broker: &Broker, long: Long) -> Bytes {
    let Long { head: mut writer, body, bytes, seat } = long;
    let (mut frame, mut place) = (BytesMut::with_capacity(bytes), Place::default());
    loop {
        let turn = broker.room.turn().await;
        let is_done = body.write_part(&mut place, &mut writer);
        turn.pass().await;
        frame.extend_from_slice(writer.bytes());
        seat.progressed();
        if is_done {
            return frame.freeze();
        }
        writer.clear();
    }
}

/// Asks the broker from any thread.
#[derive(Clone)]
pub struct Caller(Sender<Asked>);

impl Caller {
    /// Asks in a version, for the client of a session, and waits for the answer. When the future is dropped,
    /// what waits for records or members is answered to nobody; an append is done all the same.
    ///
    /// # Errors
    /// [`NoAnswer`].
    pub async fn ask<M>(
        &self,
        session: &Session,
        version: i16,
        request: &M,
    ) -> Result<Said<M::Response>, NoAnswer>
    where
        M: Request + Encode,
        M::Response: Decode,
    {
        let frame = encode_request(version, 0, session.client_id.as_deref(), request)?;
        let Answered { frame, silent } = self.send(session, frame).await?;
        let (_, response) = decode_response::<M::Response>(&frame, version)?;
        Ok(Said { response, silent })
    }

    /// The same for records, which are parts of the answer's bytes.
    ///
    /// # Errors
    /// [`NoAnswer`].
    pub async fn fetch(
        &self,
        session: &Session,
        version: i16,
        request: &FetchRequest,
    ) -> Result<Said<FetchResponse<Bytes>>, NoAnswer> {
        let frame = encode_request(version, 0, session.client_id.as_deref(), request)?;
        let Answered { frame, silent } = self.send(session, frame).await?;
        let (_, response) = FetchResponse::decode(&frame, version)?;
        Ok(Said { response, silent })
    }

    async fn send(&self, session: &Session, mut frame: Bytes) -> Result<Answered, NoAnswer> {
        frame.advance(SIZE_BYTES);
        let frame = frame.try_into_mut().unwrap_or_else(|shared| BytesMut::from(&shared[..]));
        let (reply, answer) = oneshot::channel();
        let (waits, ending) = async_channel::bounded(1);
        let asked = Asked { session: session.clone(), frame, ending, reply };
        self.0.send(asked).await.map_err(|_| NoAnswer::Stopping)?;
        let answered = answer.await.map_err(|_| NoAnswer::Stopping)?;
        drop(waits);
        answered
    }
}
