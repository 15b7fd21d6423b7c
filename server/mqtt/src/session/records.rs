//! The records of `__mqtt_sessions`, byte for byte. Numbers have the big end first; a text is its length in
//! two bytes, and UTF-8.
//!
//! ```text
//!  key    kind (2)  client id (text)  [topic id (16)  partition (4)]       kind 0 session, 1 cursor, 2 inbox
//!
//!  value  version (2), which is 0, and then:
//!  0 session  flags (1: 1 user, 2 ended, 4 will)  expiry, seconds (4)
//!             [user (text)]  [ended at, ms (8)]
//!             [will: flags (1: 1 retain, QoS << 1)  topic (text)  properties (4, bytes)  payload (4, bytes)]
//!             count (4), and for each filter: filter (text)  options (1, as in SUBSCRIBE)  id (4)
//!             since, ms (8)
//!  1 cursor   next offset, -1 for none (8)  count (2), and for each flight: id (2)  offset (8)
//!             stage (1: 0 QoS 1, 1 QoS 2 sent, 2 QoS 2 released; 4 more for a kept message)
//!  2 inbox    count (2), and for each message: id (2)  topic id (16)  partition (4)  producer id (8)
//!             epoch (2)  sequence (4)  1 when it is in the log (1)
//! ```
//! A record without a value removes its key. Properties are written as MQTT 5.0 has them in a will.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::values::{CursorValue, FlightValue, InboxValue, Once, PENDING_MAX, Pending, Producer, Stage};
use super::{Partition, SUBSCRIPTIONS_MAX, Session, Subscription};
use crate::codec::fields::{Fields, put_binary};
use crate::codec::{DecodeError, Options, Qos, Will, read_alone, write_alone};
use crate::topic::{self, Filter};

/// The topic of these records.
pub const SESSIONS_TOPIC: &str = "__mqtt_sessions";

const SESSION: u16 = 0;
const CURSOR: u16 = 1;
const INBOX: u16 = 2;
const VERSION: u16 = 0;

/// A record; without a value it removes what its key names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// The session of a client.
    Session(String, Option<Box<Session>>),
    /// A cursor of a client.
    Cursor(String, Partition, Option<CursorValue>),
    /// What came in from a client.
    Inbox(String, Option<InboxValue>),
}

/// Why bytes are no such record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// A kind that is not known.
    #[error("a record of kind {0}")]
    Kind(u16),
    /// A version that is not known: a newer broker may have written it.
    #[error("a record of version {0}")]
    Version(u16),
    /// A field that makes no sense.
    #[error("a record of which {0} makes no sense")]
    Field(&'static str),
    /// A field that does not fit.
    #[error(transparent)]
    Decode(#[from] DecodeError),
}

impl Record {
    /// Whose it is.
    pub fn client_id(&self) -> &str {
        match self {
            Record::Session(client_id, _) | Record::Cursor(client_id, ..) | Record::Inbox(client_id, _) => {
                client_id
            }
        }
    }

    /// The record's key.
    pub fn key(&self) -> Bytes {
        let mut key = BytesMut::new();
        key.put_u16(match self {
            Record::Session(..) => SESSION,
            Record::Cursor(..) => CURSOR,
            Record::Inbox(..) => INBOX,
        });
        put_binary(&mut key, self.client_id().as_bytes());
        if let Record::Cursor(_, partition, _) = self {
            put_partition(&mut key, *partition);
        }
        key.freeze()
    }

    /// The record's value; `None` removes the key.
    pub fn value(&self) -> Option<Bytes> {
        let mut value = BytesMut::new();
        value.put_u16(VERSION);
        match self {
            Record::Session(_, session) => put_session(&mut value, session.as_ref()?),
            Record::Cursor(_, _, cursor) => put_cursor(&mut value, cursor.as_ref()?),
            Record::Inbox(_, inbox) => put_inbox(&mut value, inbox.as_ref()?),
        }
        Some(value.freeze())
    }

    /// Reads a record.
    ///
    /// # Errors
    /// When it is none that this version writes.
    pub fn parse(key: &[u8], value: Option<&[u8]>) -> Result<Record, RecordError> {
        let mut key = Fields::new(Bytes::copy_from_slice(key));
        let kind = key.two()?;
        if kind > INBOX {
            return Err(RecordError::Kind(kind));
        }
        let client_id = key.text()?;
        let partition = if kind == CURSOR { take_partition(&mut key)? } else { Partition::default() };
        key.end()?;
        let mut value = value.map(|value| Fields::new(Bytes::copy_from_slice(value)));
        if let Some(value) = &mut value {
            match value.two()? {
                VERSION => {}
                version => return Err(RecordError::Version(version)),
            }
        }
        Ok(match kind {
            SESSION => Record::Session(client_id, value.map(take_session).transpose()?.map(Box::new)),
            CURSOR => Record::Cursor(client_id, partition, value.map(take_cursor).transpose()?),
            _ => Record::Inbox(client_id, value.map(take_inbox).transpose()?),
        })
    }
}

fn put_partition(to: &mut BytesMut, partition: Partition) {
    to.put_slice(&partition.topic);
    to.put_u32(partition.index);
}

fn take_partition(fields: &mut Fields) -> Result<Partition, RecordError> {
    let mut topic = [0; 16];
    topic.copy_from_slice(&fields.take(16)?);
    Ok(Partition { topic, index: fields.four()? })
}

fn take_eight(fields: &mut Fields) -> Result<i64, RecordError> {
    Ok(fields.take(8)?.get_i64())
}

fn take_flag(fields: &mut Fields) -> Result<bool, RecordError> {
    match fields.byte()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(RecordError::Field("a flag")),
    }
}

fn put_session(to: &mut BytesMut, session: &Session) {
    let Session { user, expiry, ended_at, will, subscriptions } = session;
    let flags = u8::from(user.is_some()) | u8::from(ended_at.is_some()) << 1 | u8::from(will.is_some()) << 2;
    to.put_u8(flags);
    to.put_u32(*expiry);
    if let Some(user) = user {
        put_binary(to, user.as_bytes());
    }
    if let Some(at) = ended_at {
        to.put_i64(*at);
    }
    if let Some(will) = will {
        to.put_u8(u8::from(will.retain) | (will.qos as u8) << 1);
        put_binary(to, will.topic.as_bytes());
        let properties = write_alone(&will.properties);
        to.put_u32(properties.len() as u32);
        to.put_slice(&properties);
        to.put_u32(will.payload.len() as u32);
        to.put_slice(&will.payload);
    }
    to.put_u32(subscriptions.len() as u32);
    for (filter, subscription) in subscriptions {
        put_binary(to, filter.as_bytes());
        to.put_u8(subscription.options.bits());
        to.put_u32(subscription.id);
        to.put_i64(subscription.since);
    }
}

fn take_session(mut fields: Fields) -> Result<Session, RecordError> {
    let flags = fields.byte()?;
    if flags > 7 {
        return Err(RecordError::Field("the flags"));
    }
    let mut session = Session { expiry: fields.four()?, ..Session::default() };
    session.user = (flags & 1 != 0).then(|| fields.text()).transpose()?;
    session.ended_at = (flags & 2 != 0).then(|| take_eight(&mut fields)).transpose()?;
    session.will = (flags & 4 != 0).then(|| take_will(&mut fields)).transpose()?;
    let count = fields.four()? as usize;
    if count > SUBSCRIPTIONS_MAX {
        return Err(RecordError::Field("the number of filters"));
    }
    for _ in 0..count {
        let filter = fields.text()?;
        Filter::parse(&filter).map_err(|_| RecordError::Field("a filter"))?;
        let options = Options::from_bits(fields.byte()?)?;
        let subscription = Subscription { options, id: fields.four()?, since: take_eight(&mut fields)? };
        session.subscriptions.insert(filter, subscription);
    }
    fields.end()?;
    Ok(session)
}

fn take_will(fields: &mut Fields) -> Result<Will, RecordError> {
    let flags = fields.byte()?;
    let qos = Qos::from_bits(flags >> 1).ok_or(RecordError::Field("the QoS of a will"))?;
    let topic = fields.text()?;
    if !topic::is_name(&topic) {
        return Err(RecordError::Field("the topic of a will"));
    }
    let length = fields.four()? as usize;
    let properties = read_alone(fields.take(length)?)?;
    let length = fields.four()? as usize;
    let payload = fields.take(length)?;
    Ok(Will { topic, payload, qos, retain: flags & 1 == 1, properties })
}

fn put_cursor(to: &mut BytesMut, cursor: &CursorValue) {
    to.put_i64(cursor.next.unwrap_or(-1));
    to.put_u16(cursor.flights.len() as u16);
    for flight in &cursor.flights {
        to.put_u16(flight.id);
        to.put_i64(flight.offset);
        let stage = match flight.stage {
            Stage::Sent => 0,
            Stage::Waiting | Stage::Numbered => 1,
            Stage::Received | Stage::Released => 2,
        };
        to.put_u8(stage | u8::from(flight.is_kept) << 2);
    }
}

fn take_cursor(mut fields: Fields) -> Result<CursorValue, RecordError> {
    let next = match take_eight(&mut fields)? {
        -1 => None,
        next if next < 0 => return Err(RecordError::Field("an offset")),
        next => Some(next),
    };
    let mut cursor = CursorValue { next, flights: Vec::new() };
    for _ in 0..fields.two()? {
        let (id, offset) = (fields.id()?, take_eight(&mut fields)?);
        let bits = fields.byte()?;
        let stage = match bits & !4 {
            0 => Stage::Sent,
            1 => Stage::Numbered,
            2 => Stage::Released,
            _ => return Err(RecordError::Field("a stage")),
        };
        cursor.flights.push(FlightValue { id, offset, stage, is_kept: bits & 4 != 0 });
    }
    fields.end()?;
    Ok(cursor)
}

fn put_inbox(to: &mut BytesMut, inbox: &InboxValue) {
    to.put_u16(inbox.pending.len() as u16);
    for (id, pending) in &inbox.pending {
        to.put_u16(*id);
        put_partition(to, pending.partition);
        to.put_i64(pending.once.producer.id);
        to.put_i16(pending.once.producer.epoch);
        to.put_i32(pending.once.sequence);
        to.put_u8(u8::from(pending.is_done));
    }
}

fn take_inbox(mut fields: Fields) -> Result<InboxValue, RecordError> {
    let mut inbox = InboxValue::default();
    let count = usize::from(fields.two()?);
    if count > PENDING_MAX {
        return Err(RecordError::Field("the number of messages"));
    }
    for _ in 0..count {
        let id = fields.id()?;
        let partition = take_partition(&mut fields)?;
        let producer = Producer { id: take_eight(&mut fields)?, epoch: fields.two()? as i16 };
        let once = Once { producer, sequence: fields.four()? as i32 };
        inbox.pending.push((id, Pending { partition, once, is_done: take_flag(&mut fields)? }));
    }
    fields.end()?;
    Ok(inbox)
}
