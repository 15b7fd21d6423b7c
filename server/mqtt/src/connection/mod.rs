//! One client's connection: bytes in, bytes and actions out. Whoever has the socket does the actions and says
//! what became of each; nothing here waits, reads a clock or rolls dice.
//!
//! ```text
//!  bytes > receive > packets > Action::Append  > appended     PUBACK, PUBREC: when the record is durable
//!                              Action::Place   > placed       QoS 2: which partition, before it is numbered
//!                              Action::Store   > stored       records of the session, one batch at a time
//!                              Action::Follow  > followed     SUBSCRIBE: which partitions, from which offset
//!                              Action::Retain  > retained     a message that is kept
//!  wants > offer, Action::Reread > reread                     records of the log, to the client
//!  output                                                     bytes to the socket
//!  Action::Close                                              the last thing: what the session is left with
//! ```
//! * `opening`: CONNECT to CONNACK, and what was in flight. `publishing`: messages from the client.
//!   `delivering`: messages to it. `subscribing`: what it wants.
//! * Messages of one QoS are handed over in the order in which they came, and acknowledged in that order.
//! * Only one batch of the session's records is on its way: what comes up meanwhile goes with the next, so
//!   that a busy client shares its writes.
//! * A connection that ends waits for the actions that are under way, so that the next one of the client
//!   finds out what has become of them.

mod delivering;
mod opening;
mod publishing;
mod subscribing;
#[cfg(test)]
mod tests;

pub use crate::session::Appended;
pub use delivering::Offered;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use crate::codec::{
    Ack, Connect, Disconnect, Packet, Properties, Publish, Reason, SubAck, Version, decode, encode,
};
use crate::message::Message;
use crate::rules::{Place, Rules, Source};
use crate::session::{Inbox, Once, Outbox, Partition, Pending, Producer, Record, Session};
use crate::sessions::{Ending, Open};
use crate::subscriptions::Subscriptions;
use crate::topic::Filter;

/// Appends, and what comes before and after them, that one connection may have under way. Past it nothing
/// more is read from the client.
pub const UNDER_WAY_MAX: usize = 256;

/// Bytes of messages in them ([`Message::weight`]).
pub const UNDER_WAY_BYTES_MAX: usize = 4 << 20;

/// Bytes that wait for the client to take them. Past it no messages are read for it.
pub const OUTPUT_BYTES_MAX: usize = 1 << 20;

/// The largest CONNECT: whoever sends it has not proven who it is. The longest will fits with room to spare.
pub const CONNECT_BYTES_MAX: usize = 128 << 10;

/// What a client may do: the settings of its listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The largest packet that is taken.
    pub packet_bytes_max: usize,
    /// Messages of QoS 1 and 2 that the client may have unacknowledged.
    pub receive_max: u16,
    /// Those to it, where it does not ask for fewer.
    pub flights_max: u16,
    /// Topics that the client may give numbers to.
    pub aliases_max: u16,
    /// Seconds that a session is kept at most.
    pub session_expiry_max: u32,
    /// Seconds within which something has to be heard of a client, whatever it asks for; 0 does not care.
    pub keep_alive_max: u16,
    /// Milliseconds from the connection to its CONNECT.
    pub connect_within: i64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            packet_bytes_max: 1 << 20,
            receive_max: 256,
            flights_max: 256,
            aliases_max: 32,
            session_expiry_max: crate::session::NEVER,
            keep_alive_max: 0,
            connect_within: 10_000,
        }
    }
}

/// Names an action, for the answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(u64);

/// What has to be done for a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Find out who it is, and ask for its session: [`Connection::opened`] or [`Connection::refused`].
    Open(Box<Asked>),
    /// Find out whether these are in the log: [`Connection::resolved`].
    Resolve {
        /// For the answer.
        ticket: Ticket,
        /// Messages of QoS 2 that an earlier connection had under way.
        pending: Vec<(u16, Pending)>,
    },
    /// Say which partition a message goes to: [`Connection::placed`].
    Place {
        /// For the answer.
        ticket: Ticket,
        /// Where to.
        place: Place,
        /// The answer has a new producer.
        needs_producer: bool,
    },
    /// Append a record, in the order of these actions: [`Connection::appended`] when it is durable.
    Append {
        /// For the answer.
        ticket: Ticket,
        /// Where to.
        place: Place,
        /// What.
        message: Message,
        /// To this partition, as this sequence.
        once: Option<(Partition, Once)>,
    },
    /// Keep a message, or nothing if its payload is empty: [`Connection::retained`] when that is durable.
    Retain {
        /// For the answer.
        ticket: Ticket,
        /// What, with its topic.
        message: Message,
        /// Where it stands in the log.
        at: Appended,
    },
    /// Write these records of the session, whole: [`Connection::stored`] when they are durable.
    Store {
        /// For the answer.
        ticket: Ticket,
        /// Of this client alone.
        records: Vec<Record>,
    },
    /// Say whether the client may subscribe, which partitions are meant, and where each ends now:
    /// [`Connection::followed`].
    Follow {
        /// For the answer.
        ticket: Ticket,
        /// Filters, with the topics that may have what they match.
        filters: Vec<(Filter, Vec<Source>)>,
    },
    /// Say which partitions there are now, and where each begins: [`Connection::surveyed`].
    Survey {
        /// For the answer.
        ticket: Ticket,
        /// All that the session reads.
        sources: Vec<Source>,
    },
    /// Hand over what is kept: [`Connection::kept`].
    Kept {
        /// Of topics that match.
        filter: Filter,
    },
    /// Read one record again: [`Connection::reread`].
    Reread {
        /// Its number.
        id: u16,
        /// Where it is.
        partition: Partition,
        /// There.
        offset: i64,
    },
    /// Send the output, and end. Then the session is closed, if there is one.
    Close(Box<Closing>),
}

/// What CONNECT says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The client's own, or the one that it is given.
    pub client_id: String,
    /// What it wants of its session; the user is for the front to fill in.
    pub open: Open,
    /// Who it says it is.
    pub user_name: Option<String>,
    /// By which it proves it.
    pub password: Option<Bytes>,
}

/// What a connection leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closing {
    /// Why, for the log.
    pub why: &'static str,
    /// The session that it had, and how it leaves it; `None` when it never had one.
    pub session: Option<(Session, Ending)>,
}

/// What an action is waited for.
#[derive(Debug)]
enum Awaited {
    Resolve,
    Place { id: u16, place: Place, message: Box<Message> },
    Append { answer: Answer, retain: Option<Box<Message>>, weight: usize },
    Retain { answer: Answer, weight: usize },
    Store(Vec<Then>),
    Follow(Box<subscribing::Asked>),
    Survey,
}

/// The packet that a message is answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    None,
    PubAck(u16),
    PubRec(u16),
}

/// What follows when the session's records are durable.
#[derive(Debug)]
enum Then {
    Append { id: u16, place: Place, message: Box<Message>, once: (Partition, Once) },
    Deliver(Publish),
    PubRel(u16),
    PubComp(u16, Reason),
    SubAck(SubAck, Vec<Filter>),
    UnsubAck(SubAck),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nothing has come.
    New,
    /// CONNECT has come.
    Opening,
    /// The session is there; what was under way is asked.
    Restoring,
    Open,
    /// Nothing is read any more; what is under way is waited for.
    Ending,
    Ended,
}

/// See the module.
pub struct Connection {
    limits: Limits,
    rules: Arc<Rules>,
    phase: Phase,
    version: Option<Version>,
    client_id: String,
    connect: Option<Box<Connect>>,
    session: Option<Session>,
    session_changed: bool,
    is_present: bool,
    tree: Subscriptions<String, ()>,
    outbox: Outbox,
    inbox: Inbox,
    /// Topics by their numbers.
    aliases: Vec<String>,
    /// Answers to messages of QoS 1 in their order; `None` while it is under way. Then those of QoS 2.
    pub_acks: VecDeque<(u16, Option<Reason>)>,
    pub_recs: VecDeque<(u16, Option<Reason>)>,
    awaited: BTreeMap<Ticket, Awaited>,
    last_ticket: u64,
    under_way: usize,
    under_way_bytes: usize,
    thens: Vec<Then>,
    storing: bool,
    following: bool,
    /// Flights that are to be sent again, in order, and those that are being read.
    resend: VecDeque<u16>,
    rereading: usize,
    /// Sent on this connection, and not acknowledged to the end.
    sent: BTreeSet<u16>,
    receive_max: usize,
    client_packet_bytes_max: usize,
    keep_alive: i64,
    heard: i64,
    with_will: bool,
    expiry: Option<u32>,
    why: &'static str,
    output: BytesMut,
    actions: VecDeque<Action>,
    dropped: u64,
}

impl Connection {
    /// A connection that was accepted now. `assigned` is the client's id if it has none.
    pub fn new(limits: Limits, rules: Arc<Rules>, assigned: String, now: i64) -> Connection {
        Connection {
            limits,
            rules,
            phase: Phase::New,
            version: None,
            client_id: assigned,
            connect: None,
            session: None,
            session_changed: false,
            is_present: false,
            tree: Subscriptions::new(subscribing::NODES_MAX),
            outbox: Outbox::default(),
            inbox: Inbox::default(),
            aliases: Vec::new(),
            pub_acks: VecDeque::new(),
            pub_recs: VecDeque::new(),
            awaited: BTreeMap::new(),
            last_ticket: 0,
            under_way: 0,
            under_way_bytes: 0,
            thens: Vec::new(),
            storing: false,
            following: false,
            resend: VecDeque::new(),
            rereading: 0,
            sent: BTreeSet::new(),
            receive_max: usize::from(u16::MAX),
            client_packet_bytes_max: usize::MAX,
            keep_alive: 0,
            heard: now,
            with_will: true,
            expiry: None,
            why: "",
            output: BytesMut::new(),
            actions: VecDeque::new(),
            dropped: 0,
        }
    }

    // ---- what the front asks ------------------------------------------------------------------------------

    /// What is to be done next.
    pub fn action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// Bytes to the socket.
    pub fn output(&mut self) -> Bytes {
        self.output.split().freeze()
    }

    /// Bytes that it has in memory for its client: messages on their way to the log, and what
    /// [`Connection::output`] would give.
    pub fn holds(&self) -> usize {
        self.under_way_bytes + self.output.len()
    }

    /// The client's id: its own once CONNECT has come.
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    /// What it speaks, once CONNECT has come.
    pub fn version(&self) -> Option<Version> {
        self.version
    }

    /// Whether nothing is to be read from the socket now: [`Connection::receive`] would take nothing.
    pub fn is_paused(&self) -> bool {
        match self.phase {
            Phase::New => false,
            Phase::Open => {
                self.following
                    || self.under_way >= UNDER_WAY_MAX
                    || self.under_way_bytes >= UNDER_WAY_BYTES_MAX
                    || self.output.len() >= OUTPUT_BYTES_MAX
            }
            Phase::Opening | Phase::Restoring | Phase::Ending | Phase::Ended => true,
        }
    }

    /// Kept messages that were not delivered because the client does not take them.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// When [`Connection::tick`] is to be called, in milliseconds.
    pub fn wake_at(&self) -> i64 {
        match self.phase {
            Phase::New => self.heard + self.limits.connect_within,
            Phase::Open if self.keep_alive > 0 => self.heard + self.keep_alive,
            _ => i64::MAX,
        }
    }

    // ---- what happens -------------------------------------------------------------------------------------

    /// Takes the packets that are in the buffer, until none is whole or nothing more is taken for now.
    pub fn receive(&mut self, buffer: &mut BytesMut, now: i64) {
        while !self.is_paused() {
            let bytes_max = match self.phase {
                Phase::New => self.limits.packet_bytes_max.min(CONNECT_BYTES_MAX),
                _ => self.limits.packet_bytes_max,
            };
            match decode(buffer, self.version, bytes_max) {
                Ok(Some(packet)) => {
                    self.heard = now;
                    self.packet(packet);
                }
                Ok(None) => break,
                Err(error) => {
                    self.fail(error.reason(), "a packet that is none");
                    break;
                }
            }
        }
        self.settle();
    }

    /// Looks at the time.
    pub fn tick(&mut self, now: i64) {
        if now >= self.wake_at() {
            match self.phase {
                Phase::New => self.end(None, "no CONNECT has come"),
                _ => self.end(Some(Reason::KEEP_ALIVE_TIMEOUT), "nothing was heard within the keep-alive"),
            }
        }
        self.settle();
    }

    /// The client has gone, or sending to it has failed.
    pub fn lost(&mut self) {
        self.end(None, "the client has gone");
        self.settle();
    }

    /// Another connection has come for the session.
    pub fn taken_over(&mut self) {
        self.end(Some(Reason::SESSION_TAKEN_OVER), "another connection has come for the session");
        self.settle();
    }

    /// The broker stops. Wills are not published: the client is not lost.
    pub fn stop(&mut self) {
        self.with_will = false;
        self.end(Some(Reason::SERVER_SHUTTING_DOWN), "the broker stops");
        self.settle();
    }

    // ---- inside -------------------------------------------------------------------------------------------

    fn packet(&mut self, packet: Packet) {
        match packet {
            Packet::Connect(connect) => self.connect(connect),
            Packet::Publish(publish) => self.publish(publish),
            Packet::PubAck(ack) => {
                if self.outbox.acknowledged(ack.id).is_ok() {
                    self.sent.remove(&ack.id);
                }
            }
            Packet::PubRec(ack) => self.pub_rec(&ack),
            Packet::PubRel(ack) => self.pub_rel(ack.id),
            Packet::PubComp(ack) => {
                if self.outbox.completed(ack.id).is_ok() {
                    self.sent.remove(&ack.id);
                }
            }
            Packet::Subscribe(subscribe) => self.subscribe(subscribe),
            Packet::Unsubscribe(unsubscribe) => self.unsubscribe(&unsubscribe),
            Packet::PingReq => drop(self.send(&Packet::PingResp)),
            Packet::Disconnect(end) => self.disconnect(&end),
            Packet::ConnAck(_)
            | Packet::SubAck(_)
            | Packet::UnsubAck(_)
            | Packet::PingResp
            | Packet::Auth(_) => self.fail(Reason::PROTOCOL_ERROR, "a packet that clients do not send"),
        }
    }

    fn act(&mut self, awaited: Awaited, action: impl FnOnce(Ticket) -> Action) {
        self.last_ticket += 1;
        let ticket = Ticket(self.last_ticket);
        self.awaited.insert(ticket, awaited);
        self.actions.push_back(action(ticket));
    }

    fn send(&mut self, packet: &Packet) -> bool {
        let version = self.version.unwrap_or(Version::V5);
        encode(packet, version, self.client_packet_bytes_max, &mut self.output)
    }

    fn is_kept(&self) -> bool {
        self.session.as_ref().is_some_and(Session::is_kept)
    }

    /// Something the client must not do.
    fn fail(&mut self, reason: Reason, why: &'static str) {
        match self.phase {
            // Before CONNECT there is nobody to tell, but of a version that is not spoken.
            Phase::New if reason == Reason::UNSUPPORTED_VERSION => {
                // Any version understands the answer of the oldest.
                self.version = Some(Version::V3);
                self.refuse(reason, why);
            }
            Phase::New => self.end(None, why),
            _ => self.end(Some(reason), why),
        }
    }

    /// Ends the connection: the client is told where its version can say it.
    fn end(&mut self, reason: Option<Reason>, why: &'static str) {
        if matches!(self.phase, Phase::Ending | Phase::Ended) {
            return;
        }
        if let Some(reason) = reason
            && self.version == Some(Version::V5)
            && self.phase == Phase::Open
        {
            self.send(&Packet::Disconnect(Disconnect { reason, properties: Properties::default() }));
        }
        if self.phase == Phase::Restoring {
            // It was never let in.
            self.connect = None;
            self.with_will = false;
        }
        self.phase = Phase::Ending;
        self.why = why;
        self.thens.clear();
    }

    /// What is done after everything else that happens: answers in their order, records, the end.
    fn settle(&mut self) {
        self.answer();
        match self.phase {
            Phase::Open => {
                self.send_again();
                self.store();
            }
            Phase::Ending if self.awaited.is_empty() && self.connect.is_none() => self.close(),
            _ => {}
        }
    }

    /// Sends what is answered, in order.
    fn answer(&mut self) {
        while let Some((id, Some(reason))) = self.pub_acks.front().copied() {
            self.pub_acks.pop_front();
            self.send_if_open(Packet::PubAck(Ack::new(id, reason)));
        }
        while let Some((id, Some(reason))) = self.pub_recs.front().copied() {
            self.pub_recs.pop_front();
            self.send_if_open(Packet::PubRec(Ack::new(id, reason)));
        }
    }

    fn send_if_open(&mut self, packet: Packet) {
        if self.phase == Phase::Open {
            self.send(&packet);
        }
    }

    /// Has the session's records written that something waits for.
    fn store(&mut self) {
        if self.storing || !(self.outbox.is_urgent() || self.session_changed || !self.thens.is_empty()) {
            return;
        }
        let thens = std::mem::take(&mut self.thens);
        let records = self.records(false);
        if !self.is_kept() || records.is_empty() {
            return self.go_on(thens);
        }
        self.storing = true;
        self.act(Awaited::Store(thens), |ticket| Action::Store { ticket, records });
    }

    /// Records of what has changed: what is urgent, or all of it.
    fn records(&mut self, all: bool) -> Vec<Record> {
        let id = &self.client_id;
        let cursors = if all { self.outbox.all_records() } else { self.outbox.urgent_records() };
        let cursors = cursors.into_iter();
        let mut records: Vec<Record> =
            cursors.map(|(partition, value)| Record::Cursor(id.clone(), partition, value)).collect();
        if self.inbox.is_changed() {
            records.push(Record::Inbox(id.clone(), self.inbox.record()));
        }
        if std::mem::take(&mut self.session_changed)
            && let Some(session) = &self.session
        {
            records.push(Record::Session(id.clone(), Some(Box::new(session.clone()))));
        }
        records
    }

    /// The session's records are durable, or are not.
    pub fn stored(&mut self, ticket: Ticket, is_durable: bool) {
        let Some(Awaited::Store(thens)) = self.take(ticket) else { return };
        self.storing = false;
        match is_durable {
            true => self.go_on(thens),
            false => self.end(Some(Reason::SERVER_UNAVAILABLE), "the session could not be written"),
        }
        self.settle();
    }

    fn go_on(&mut self, thens: Vec<Then>) {
        if self.phase != Phase::Open {
            return;
        }
        for then in thens {
            match then {
                Then::Append { id, place, message, once } => {
                    self.goes(message.weight());
                    self.append(place, *message, Answer::PubRec(id), Some(once));
                }
                Then::Deliver(publish) => self.deliver_stored(publish),
                Then::PubRel(id) => {
                    if self.outbox.stored(id).is_some() {
                        self.send(&Packet::PubRel(Ack::new(id, Reason::SUCCESS)));
                    }
                }
                Then::PubComp(id, reason) => {
                    self.send(&Packet::PubComp(Ack::new(id, reason)));
                }
                Then::SubAck(ack, filters) => {
                    self.send(&Packet::SubAck(ack));
                    self.actions.extend(filters.into_iter().map(|filter| Action::Kept { filter }));
                }
                Then::UnsubAck(ack) => {
                    self.send(&Packet::UnsubAck(ack));
                }
            }
        }
    }

    fn take(&mut self, ticket: Ticket) -> Option<Awaited> {
        let awaited = self.awaited.remove(&ticket)?;
        match &awaited {
            Awaited::Place { message, .. } => self.goes(message.weight()),
            Awaited::Append { weight, .. } | Awaited::Retain { weight, .. } => self.goes(*weight),
            Awaited::Resolve | Awaited::Store(_) | Awaited::Follow(_) | Awaited::Survey => {}
        }
        Some(awaited)
    }

    /// A message is under way, at one of the places where it waits: it counts until it goes on from there.
    fn comes(&mut self, weight: usize) {
        self.under_way += 1;
        self.under_way_bytes += weight;
    }

    fn goes(&mut self, weight: usize) {
        self.under_way -= 1;
        self.under_way_bytes -= weight;
    }

    fn close(&mut self) {
        self.phase = Phase::Ended;
        let records = if self.is_kept() { self.records(true) } else { Vec::new() };
        let ending = Ending { records, with_will: self.with_will, expiry: self.expiry };
        let session = self.session.take().map(|session| (session, ending));
        self.actions.push_back(Action::Close(Box::new(Closing { why: self.why, session })));
    }
}

/// A producer for a connection, with the partition of its first message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Where the message goes.
    pub partition: Partition,
    /// New, where it was asked for.
    pub producer: Option<Producer>,
}
