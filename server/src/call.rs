//! One request on its way through the broker: the call, the end of its connection, the answer or why there is
//! none.
//!
//! Dispatch makes a [`Call`] of a frame, a handler makes an [`Answer`] of the call, and the connection sends
//! it. [`finish`] turns a handler's message into that answer.

use std::cell::OnceCell;
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use async_channel::Receiver;
use bytes::{Bytes, BytesMut};
use futures_util::future::{Either, LocalBoxFuture, select};
use strandline_engine::topics::Topic;
use strandline_engine::{File, FileRange};
use strandline_protocol::messages::{Piece, RequestHeader, finish_frame, response_head};
use strandline_protocol::wire::writer::PART_BYTES;
use strandline_protocol::wire::{ApiKey, EncodeError, ErrorCode, Place, WireError};

use crate::access::Access;
use crate::answer::{Body, Long};
use crate::authentication::{Authentication, NotAdmitted};
use crate::authorization::Asker;
use crate::broker::{Broker, TopicKey};
use crate::quotas::Standing;
use crate::room::Seat;
use crate::security::acl::{Operation, Resource};
use crate::session::Session;

/// The client of a connection, as far as it is known: what its requests change before the next one is looked
/// at.
pub struct Client {
    /// Who asks.
    pub session: Rc<Session>,
    /// How rules name it, once somebody has asked; another one as soon as the session is another user's.
    pub asker: Rc<OnceCell<Asker>>,
    /// What it has proven.
    pub authentication: Authentication,
    /// How it stands with its quotas.
    pub standing: Standing,
}

/// A request that has come in.
pub struct Call {
    /// The broker.
    pub broker: Rc<Broker>,
    /// Its header.
    pub header: RequestHeader,
    /// What follows the header.
    pub body: BytesMut,
    /// Who asks, and may do what.
    pub access: Access,
    /// Tells who waits that the connection ends.
    pub ending: Ending,
    /// How the connection stands with its quotas.
    pub standing: Standing,
}

impl Call {
    /// Who asks.
    pub fn session(&self) -> &Rc<Session> {
        &self.access.session
    }

    /// Whether the client may do this with the resource.
    ///
    /// # Errors
    /// Kafka's code for a resource of this type: TOPIC_AUTHORIZATION_FAILED and so on.
    pub fn may(&self, operation: Operation, resource: Resource<'_>) -> Result<(), ErrorCode> {
        self.access.may(&self.broker, operation, resource)
    }

    /// Whether an answer may show the resource to the client, which has not asked for it by name.
    pub fn shows(&self, operation: Operation, resource: Resource<'_>) -> bool {
        self.access.shows(&self.broker, operation, resource)
    }

    /// The operations that the client may do with a resource, of those that are asked for, as bits (KIP-430).
    pub fn operations(&self, asked: i32, resource: Resource<'_>) -> i32 {
        self.access.operations(&self.broker, asked, resource)
    }

    /// The topic that is meant, with which the client may do this. Of a name that it may not, it is not said
    /// whether there is a topic.
    ///
    /// # Errors
    /// TOPIC_AUTHORIZATION_FAILED, and those of [`Broker::topic`].
    pub fn topic(&self, operation: Operation, key: TopicKey<'_>) -> Result<Arc<Topic>, ErrorCode> {
        self.access.topic(&self.broker, operation, key)
    }
}

/// Resolves when a connection takes no more requests: the client has gone, or the broker stops.
#[derive(Clone)]
pub struct Ending(pub(crate) Receiver<()>);

impl Ending {
    /// Waits for it.
    pub async fn ended(&self) {
        // Nothing is ever sent; the channel closes.
        let _ = self.0.recv().await;
    }

    /// The future's output, or `None` when the connection ends before; then the future is dropped.
    pub async fn or<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        match select(pin!(future), pin!(self.ended())).await {
            Either::Left((output, _)) => Some(output),
            Either::Right(_) => None,
        }
    }

    /// Whether it has come.
    pub fn is_ended(&self) -> bool {
        self.0.is_closed()
    }
}

/// What goes back to the client.
pub enum Answer {
    /// Nothing at all (Produce with acks=0).
    Nothing,
    /// A frame.
    Frame(Bytes),
    /// A frame with records out of files.
    Records {
        /// The frame's parts; a gap's index is that of its range.
        pieces: Vec<Piece>,
        /// The records.
        ranges: Vec<FileRange<File>>,
        /// Holds the memory of the parts; without bytes when they are few.
        seat: Seat,
    },
    /// A frame that is made while it is sent.
    Long(Long),
}

impl Answer {
    /// Bytes of the frame.
    pub fn bytes(&self) -> u64 {
        match self {
            Answer::Nothing => 0,
            Answer::Frame(frame) => frame.len() as u64,
            Answer::Long(long) => long.bytes as u64,
            Answer::Records { pieces, ranges, .. } => {
                let head = pieces.iter().map(|piece| match piece {
                    Piece::Bytes(bytes) => bytes.len() as u64,
                    Piece::Records(_) => 0,
                });
                head.sum::<u64>() + ranges.iter().map(|range| range.length).sum::<u64>()
            }
        }
    }
}

/// Why a request has no answer: the connection is closed then, since there is none that the client could
/// read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The bytes are not a request.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// The table does not have the API, or not in this version.
    #[error("{key} version {version} is not served")]
    NotServed {
        /// The API.
        key: ApiKey,
        /// The version asked for.
        version: i16,
    },
    /// Its client has not proven who it is.
    #[error(transparent)]
    NotAdmitted(#[from] NotAdmitted),
    /// A Produce request with acks=0 failed, and closing is the only way to say so.
    #[error("records sent with acks=0 were not appended: {0}")]
    Unacknowledged(ErrorCode),
    /// The answer does not fit its version.
    #[error("the answer can not be written: {0}")]
    Encode(#[from] EncodeError),
}

/// An answer that a connection owes.
pub struct Owed {
    /// The API that gives it.
    pub key: ApiKey,
    /// When the request was there.
    pub since: Instant,
    /// What is owed.
    pub answer: Pending,
}

/// The future of an answer.
pub type Pending = LocalBoxFuture<'static, Result<Answer, CallError>>;

/// So much of an answer is written without waiting for a turn.
const AT_ONCE_BYTES: usize = 4 << 10;

/// The answer: as a frame when it is a part of one at most, else so that it can be sent in parts, once there
/// is memory for it.
///
/// # Errors
/// [`CallError::Encode`].
pub(crate) async fn finish(
    broker: &Broker,
    header: &RequestHeader,
    body: impl Body + 'static,
    mut seat: Seat,
) -> Result<Answer, CallError> {
    body.errors(&mut |code| broker.requests.failed(header.key, code));
    let head = (header.key, header.version, header.correlation_id);
    let mut writer = response_head(head.0, head.1, head.2);
    let mut place = Place::default();
    writer.set_part_bytes(AT_ONCE_BYTES);
    let mut is_done = body.write_part(&mut place, &mut writer);
    if !is_done {
        let turn = broker.room.turn().await;
        writer.set_part_bytes(PART_BYTES);
        is_done = body.write_part(&mut place, &mut writer);
        turn.pass().await;
    }
    if is_done {
        return Ok(Answer::Frame(finish_frame(writer, 0)?));
    }
    let mut bytes = writer.position();
    while !is_done {
        let turn = broker.room.turn().await;
        writer.clear();
        is_done = body.write_part(&mut place, &mut writer);
        bytes += writer.position();
        turn.pass().await;
    }
    writer.finish()?;
    seat.reserve(PART_BYTES + body.footprint(bytes)).await;
    Ok(Answer::Long(Long::new(head, Box::new(body), bytes, seat)?))
}
