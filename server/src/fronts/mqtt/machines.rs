//! Sessions and kept messages, each a coordinator's state: memory says what is durable, and a start replays
//! it.
//!
//! ```text
//!  a connection, on any shard > Coordinators, by client id   > SessionsMachine > __mqtt_sessions
//!                             > Coordinators, by MQTT topic  > RetainedMachine > __mqtt_retained
//! ```
//! What must be found whole after a crash is one batch. Wills that are due leave by a channel to whoever
//! publishes them, and are said to be sent when they are durable.

use std::collections::BTreeSet;

use async_channel::Sender;
use bytes::Bytes;
use strandline_engine::types::Offset;
use strandline_mqtt::codec::Reason;
use strandline_mqtt::message::Message;
use strandline_mqtt::retained::{Kept, RETAINED_TOPIC, Retain, Retained, RetainedRecord};
use strandline_mqtt::session::records::{Record as SessionRecord, RecordError, SESSIONS_TOPIC};
use strandline_mqtt::session::{Session, Stored};
use strandline_mqtt::sessions::{Due, Ending, Open, Opening, Owner, Ready, Sessions};
use strandline_mqtt::topic::Filter;
use strandline_protocol::wire::EncodeError;

use crate::coordination::{
    self, Encoded, InternalTopic, Machine, Outcome, Record, Reply, StoreError, Turn, Write,
};

/// Partitions of both topics: the shards that the work spreads over.
const PARTITIONS: u32 = 16;

/// Bytes of their segments.
const SEGMENT_BYTES: u64 = 100 << 20;

/// Sessions and wills that are looked at in one call.
const DUE_MAX: usize = 100;

/// What is due and not done is looked at again after so many milliseconds.
const AGAIN_MS: i64 = 1000;

/// The topic of sessions.
pub(super) fn sessions_topic() -> InternalTopic {
    InternalTopic::compacted(SESSIONS_TOPIC, PARTITIONS, SEGMENT_BYTES, "uncompressed")
}

/// The topic of kept messages.
pub(super) fn retained_topic() -> InternalTopic {
    InternalTopic::compacted(RETAINED_TOPIC, PARTITIONS, SEGMENT_BYTES, "uncompressed")
}

/// A will that is due.
pub(super) struct DueWill {
    pub(super) client_id: String,
    /// Whom it is published for.
    pub(super) user: Option<String>,
    pub(super) message: Message,
    /// A session has it still, and is to be told.
    pub(super) is_of_session: bool,
}

/// What the machines of sessions are made with: where wills go.
pub(super) type Wills = Sender<DueWill>;

/// A record of sessions, for the runtime.
pub(super) struct OfSession(SessionRecord);

impl Record for OfSession {
    type Error = RecordError;

    fn encode(&self) -> Result<Encoded, EncodeError> {
        Ok(Encoded { key: self.0.key(), value: self.0.value() })
    }

    fn decode(key: &[u8], value: Option<&[u8]>) -> Result<OfSession, RecordError> {
        SessionRecord::parse(key, value).map(OfSession)
    }
}

/// What follows when a write has settled.
pub(super) enum Then {
    Nothing,
    /// A connection gets the session; it has none when the write has failed.
    Opened(String, Owner),
    /// A connection has ended.
    Closed(String, Owner),
    /// A will was sent.
    Sent(String),
}

/// What becomes of a CONNECT.
pub(super) enum Opened {
    Ready(Box<Ready>),
    /// This connection has to end first.
    Busy(Owner),
    /// Something of the session is on its way: ask again.
    Again,
    Refused(Reason),
}

/// The sessions of one partition.
pub(super) struct SessionsMachine {
    wills: Wills,
    sessions: Sessions,
    /// Clients whose will is being published.
    sending: BTreeSet<String>,
    not_before: i64,
}

type SessionsTurn<'a> = Turn<'a, SessionsMachine>;

fn session_write(client_id: &str, records: Vec<SessionRecord>, then: Then) -> Write<SessionsMachine> {
    let records = records.into_iter().map(OfSession).collect();
    Write { key: Some(client_id.to_owned()), records, transaction: None, is_whole: true, then }
}

impl SessionsMachine {
    /// A client connects.
    pub(super) fn open(
        &mut self,
        turn: &SessionsTurn<'_>,
        client_id: &str,
        open: Open,
        owner: Owner,
    ) -> Outcome<SessionsMachine, Opened> {
        if turn.is_in_flight(client_id) && self.sessions.owner(client_id).is_none() {
            return Outcome::Answer(Opened::Again);
        }
        let user = open.user.clone();
        let ready = match self.sessions.open(client_id, open, owner, turn.now) {
            Opening::Busy(other) => return Outcome::Answer(Opened::Busy(other)),
            Opening::Refused(reason) => return Outcome::Answer(Opened::Refused(reason)),
            Opening::Ready(ready) => ready,
        };
        if let Some(message) = &ready.will {
            let (client_id, message) = (client_id.to_owned(), message.clone());
            self.send(DueWill { client_id, user, message, is_of_session: false });
        }
        if ready.records.is_empty() {
            return Outcome::Answer(Opened::Ready(ready));
        }
        let then = Then::Opened(client_id.to_owned(), owner);
        let write = session_write(client_id, ready.records.clone(), then);
        let answer = move |stored: coordination::Stored| match stored {
            Ok(()) => Opened::Ready(ready),
            Err(_) => Opened::Refused(Reason::SERVER_UNAVAILABLE),
        };
        Outcome::Write(write, Box::new(answer))
    }

    /// The records of a connection; false when it has the session no more, or they are not durable.
    pub(super) fn store(
        &mut self,
        client_id: &str,
        owner: Owner,
        records: Vec<SessionRecord>,
    ) -> Outcome<SessionsMachine, bool> {
        if self.sessions.store(client_id, owner, &records).is_err() {
            return Outcome::Answer(false);
        }
        Outcome::Write(session_write(client_id, records, Then::Nothing), Box::new(|stored| stored.is_ok()))
    }

    /// A connection ends.
    pub(super) fn close(
        &mut self,
        turn: &SessionsTurn<'_>,
        client_id: &str,
        owner: Owner,
        session: &Session,
        ending: Ending,
    ) -> Outcome<SessionsMachine, ()> {
        match self.sessions.close(client_id, owner, session, ending, turn.now) {
            Ok(records) if !records.is_empty() => {
                let then = Then::Closed(client_id.to_owned(), owner);
                Outcome::Write(session_write(client_id, records, then), Box::new(|_| ()))
            }
            _ => {
                self.sessions.closed(client_id, owner);
                Outcome::Answer(())
            }
        }
    }

    /// A connection that was not let in gives the session back as it was.
    pub(super) fn let_go(&mut self, client_id: &str, owner: Owner) {
        self.sessions.closed(client_id, owner);
    }

    /// A will is durable, or will never be.
    pub(super) fn will_sent(&mut self, client_id: &str) -> Outcome<SessionsMachine, ()> {
        match self.sessions.will_sent(client_id) {
            Some(record) => {
                let then = Then::Sent(client_id.to_owned());
                Outcome::Write(session_write(client_id, vec![record], then), Box::new(|_| ()))
            }
            None => {
                self.sending.remove(client_id);
                Outcome::Answer(())
            }
        }
    }

    /// What is durable of a client.
    pub(super) fn stored(&self, client_id: &str) -> Option<Stored> {
        self.sessions.stored(client_id)
    }

    fn send(&mut self, will: DueWill) -> bool {
        // A full channel is tried again when the session is looked at again.
        self.wills.try_send(will).is_ok()
    }
}

impl Machine for SessionsMachine {
    type Settings = Wills;
    type Record = OfSession;
    type Then = Then;

    fn new(wills: &Wills) -> SessionsMachine {
        SessionsMachine {
            wills: wills.clone(),
            sessions: Sessions::default(),
            sending: BTreeSet::new(),
            not_before: 0,
        }
    }

    fn replay(&mut self, _: i64, _: Offset, record: OfSession) {
        self.sessions.replay(record.0);
    }

    fn begin(&mut self, turn: &mut SessionsTurn<'_>) {
        self.sessions.begin(turn.now);
        if !self.sessions.is_empty() {
            tracing::info!(sessions = self.sessions.len(), "sessions of MQTT clients are loaded");
        }
    }

    fn settled(
        &mut self,
        _: &mut SessionsTurn<'_>,
        _: Option<&str>,
        then: Then,
        stored: coordination::Stored,
    ) {
        match then {
            Then::Nothing => {}
            Then::Opened(client_id, owner) => {
                if stored.is_err() {
                    self.sessions.closed(&client_id, owner);
                }
            }
            Then::Closed(client_id, owner) => self.sessions.closed(&client_id, owner),
            Then::Sent(client_id) => {
                self.sending.remove(&client_id);
            }
        }
    }

    fn wake_at(&self) -> i64 {
        match self.sessions.wake_at() {
            i64::MAX => i64::MAX,
            at => at.max(self.not_before),
        }
    }

    fn tick(&mut self, turn: &mut SessionsTurn<'_>) {
        for due in self.sessions.due(turn.now, DUE_MAX) {
            match due {
                Due::Will { client_id, message } => {
                    if self.sending.contains(&client_id) || turn.is_in_flight(&client_id) {
                        continue;
                    }
                    let user = self.stored(&client_id).and_then(|stored| stored.session.user);
                    let will = DueWill { client_id: client_id.clone(), user, message, is_of_session: true };
                    if self.send(will) {
                        self.sending.insert(client_id);
                    }
                }
                Due::End(records) => {
                    let Some(client_id) = records.first().map(|record| record.client_id().to_owned()) else {
                        continue;
                    };
                    if !turn.is_in_flight(&client_id) {
                        turn.write_all_of(session_write(&client_id, records, Then::Nothing));
                    }
                }
            }
        }
        // What was begun is due until it is durable.
        self.not_before = turn.now + AGAIN_MS;
    }
}

/// A record of kept messages, for the runtime.
pub(super) struct OfRetained(RetainedRecord);

impl Record for OfRetained {
    type Error = RecordError;

    fn encode(&self) -> Result<Encoded, EncodeError> {
        Ok(Encoded { key: self.0.key(), value: self.0.value() })
    }

    fn decode(key: &[u8], value: Option<&[u8]>) -> Result<OfRetained, RecordError> {
        RetainedRecord::parse(key, value).map(OfRetained)
    }
}

/// What became of a message that is to be kept.
pub(super) enum KeptOr {
    Kept,
    /// Another of its topic is on its way: ask again.
    Again,
    Refused(Reason),
}

/// The kept messages of one partition.
pub(super) struct RetainedMachine {
    retained: Retained,
}

impl RetainedMachine {
    /// A message is to be kept, or ends what is.
    pub(super) fn set(
        &mut self,
        turn: &Turn<'_, RetainedMachine>,
        kept: Kept,
    ) -> Outcome<RetainedMachine, KeptOr> {
        let topic = kept.message.topic.clone();
        if turn.is_in_flight(&topic) {
            return Outcome::Answer(KeptOr::Again);
        }
        match self.retained.set(kept) {
            Retain::Nothing => Outcome::Answer(KeptOr::Kept),
            Retain::Full => Outcome::Answer(KeptOr::Refused(Reason::QUOTA_EXCEEDED)),
            Retain::Write(record) => {
                let records = vec![OfRetained(record)];
                let write = Write { key: Some(topic), records, transaction: None, is_whole: true, then: () };
                let answer = |stored: coordination::Stored| match stored {
                    Ok(()) => KeptOr::Kept,
                    Err(StoreError::TooLarge) => KeptOr::Refused(Reason::PACKET_TOO_LARGE),
                    Err(_) => KeptOr::Refused(Reason::SERVER_UNAVAILABLE),
                };
                Outcome::Write(write, Box::new(answer))
            }
        }
    }

    /// What is kept of topics that match, at most so many.
    pub(super) fn matching(&self, filter: &Filter, most: usize, reply: Reply<Vec<Kept>>) {
        let (found, _) = self.retained.matching(filter, "", most);
        reply.send(found.into_iter().cloned().collect());
    }
}

impl Machine for RetainedMachine {
    type Settings = ();
    type Record = OfRetained;
    type Then = ();

    fn new((): &()) -> RetainedMachine {
        RetainedMachine { retained: Retained::default() }
    }

    fn replay(&mut self, _: i64, _: Offset, record: OfRetained) {
        self.retained.replay(record.0);
    }

    fn begin(&mut self, _: &mut Turn<'_, RetainedMachine>) {
        if !self.retained.is_empty() {
            tracing::info!(messages = self.retained.len(), "messages that MQTT clients have kept are loaded");
        }
    }

    fn settled(
        &mut self,
        _: &mut Turn<'_, RetainedMachine>,
        _: Option<&str>,
        (): (),
        _: coordination::Stored,
    ) {
    }

    fn wake_at(&self) -> i64 {
        i64::MAX
    }

    fn tick(&mut self, _: &mut Turn<'_, RetainedMachine>) {}
}

/// The bytes of a record's value, or nothing.
pub(super) fn or_empty(value: Option<&[u8]>) -> Bytes {
    Bytes::copy_from_slice(value.unwrap_or_default())
}
