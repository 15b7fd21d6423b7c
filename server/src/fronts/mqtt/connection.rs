//! One connection: bytes to the state machine, its actions to the broker, what became of them back to it.
//!
//! ```text
//!  socket > Machine::receive > actions > tasks (appends in their order, the others side by side) > events
//!  socket < Machine::output                                                                      <
//! ```
//! Everything of a connection runs in one task. What is under way when the client goes is waited for: the
//! next connection of the client begins with what this one has left.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::net::Shutdown;
use std::pin::pin;
use std::rc::Rc;
use std::time::{Duration, Instant};

use async_channel::Receiver;
use bytes::{Bytes, BytesMut};
use futures_util::future::{Fuse, FutureExt, LocalBoxFuture};
use futures_util::select_biased;
use futures_util::stream::{FuturesUnordered, StreamExt};
use strandline_engine::reactor;
use strandline_mqtt::codec::Reason;
use strandline_mqtt::connection::{Action, Asked, Closing, Connection as Machine, Offered, Placed, Ticket};
use strandline_mqtt::message::Message;
use strandline_mqtt::retained::Kept;
use strandline_mqtt::session::{Appended, Partition};
use strandline_mqtt::sessions::Owner;
use strandline_mqtt::topic::Filter;
use strandline_protocol::messages::PartitionData;
use strandline_protocol::wire::ErrorCode;

use super::OnShard;
use super::ask::{Appends, Asker, Silence, ToAppend, now};
use super::machines::Opened;
use super::memory::Share;
use super::records::walk;
use crate::net::{Connection, Transport};
use crate::session::{Principal, Session};

/// Bytes of room that is made in the buffer at a time.
const ROOM_BYTES: usize = 4 << 10;

/// How often time and topics are looked at.
const TICK: Duration = Duration::from_millis(500);

/// How long a partition that was refused is not read again.
const REFUSED_PAUSE: Duration = Duration::from_secs(2);

/// What has happened.
enum Event {
    Readable(io::Result<()>),
    Sent(io::Result<()>),
    Tick,
    TakenOver,
    Opened(Session, Opened),
    Refused(Reason),
    Resolved(Ticket, Result<Vec<(u16, Option<Appended>)>, Reason>),
    Placed(Ticket, Result<Placed, Reason>),
    Appended(Appends, Vec<ToAppend>),
    Retained(Ticket, Result<(), Reason>),
    Stored(Ticket, bool),
    Followed(Ticket, Vec<Result<Vec<(Partition, i64)>, Reason>>),
    Surveyed(Ticket, Result<Vec<(Partition, Option<i64>)>, Reason>),
    Kept(Filter, Vec<Kept>),
    Reread(u16, Option<(i64, Message)>),
    Heard,
    Closed,
}

type Tasks = FuturesUnordered<LocalBoxFuture<'static, Event>>;
type Fetched = Result<Vec<(Partition, PartitionData<Bytes>)>, Reason>;

enum Next {
    Event(Option<Event>),
    Fetched(Fetched),
}

/// A connection that is served.
struct Serving<T> {
    connection: Rc<Connection<T>>,
    front: Rc<OnShard>,
    machine: Machine,
    owner: Owner,
    asker: Asker,
    tasks: Tasks,
    buffer: BytesMut,
    is_reading: bool,
    is_sending: bool,
    /// Bytes that the socket has been given and not taken.
    sending: usize,
    share: Share,
    /// Nothing more comes, or can be sent.
    is_lost: bool,
    appends: Vec<ToAppend>,
    is_appending: bool,
    fetching: Fuse<LocalBoxFuture<'static, Fetched>>,
    /// What the fetch under way reads, and from where; nothing when there is none.
    fetched: BTreeMap<Partition, i64>,
    /// Until when these are not read: the last read came to nothing, not even to waiting.
    refused: BTreeMap<Partition, Instant>,
    /// The end of its silence is waited for.
    is_silent: bool,
    topics: usize,
    is_closed: bool,
}

/// Serves a connection to its end.
pub(super) async fn serve<T: Transport>(connection: Rc<Connection<T>>, front: Rc<OnShard>) {
    let owner = front.next_owner();
    let (taken_over, told) = async_channel::bounded(1);
    front.shared.connected.insert(owner, taken_over);
    let session = Session {
        listener: front.shared.like.clone(),
        ..Session::new(connection.origin(), connection.transport().user())
    };
    let assigned = format!("auto-{:016x}", u64::from_be_bytes(crate::security::random::<8>()));
    let machine = Machine::new(front.shared.limits, front.shared.rules.clone(), assigned, now());
    let asker = Asker {
        caller: front.caller.clone(),
        session,
        shard: front.shard.clone(),
        silence: Silence::default(),
        has_rules: front.shared.has_rules,
    };
    let mut serving = Serving {
        connection,
        front: front.clone(),
        machine,
        owner,
        asker,
        tasks: Tasks::new(),
        buffer: BytesMut::new(),
        is_reading: false,
        is_sending: false,
        sending: 0,
        share: Share::new(front.memory.clone(), Instant::now()),
        is_lost: false,
        appends: Vec::new(),
        is_appending: false,
        fetching: Fuse::terminated(),
        fetched: BTreeMap::new(),
        refused: BTreeMap::new(),
        is_silent: false,
        topics: 0,
        is_closed: false,
    };
    serving.run(told).await;
    front.shared.connected.remove(owner);
}

impl<T: Transport> Serving<T> {
    async fn run(&mut self, told: Receiver<()>) {
        self.later(tick());
        self.later(async move {
            // A closed channel is the end of the front.
            let _ = told.recv().await;
            Event::TakenOver
        });
        loop {
            self.work();
            if self.is_closed && (self.is_lost || !self.is_sending) {
                self.connection.end("the client's connection is over", Shutdown::Both);
                return;
            }
            let next = {
                let mut tasks = pin!(self.tasks.next().fuse());
                let mut fetching = pin!(&mut self.fetching);
                select_biased! {
                    event = tasks => Next::Event(event),
                    fetched = fetching => Next::Fetched(fetched),
                }
            };
            match next {
                Next::Event(Some(event)) => self.happened(event),
                Next::Event(None) => return,
                Next::Fetched(fetched) => self.fetched(fetched),
            }
            reactor::yield_if_needed().await;
        }
    }

    fn later(&self, event: impl Future<Output = Event> + 'static) {
        self.tasks.push(event.boxed_local());
    }

    /// Does everything that can be done now.
    fn work(&mut self) {
        if let Some(why) = self.connection.closing()
            && !self.is_lost
        {
            match why {
                "the broker stops" => self.machine.stop(),
                _ => self.machine.lost(),
            }
        }
        while let Some(action) = self.machine.action() {
            self.begin(action);
        }
        self.append();
        self.send();
        if !self.is_silent
            && let Some(left) = self.asker.silence.left()
        {
            self.is_silent = true;
            self.later(async move {
                reactor::sleep(left).await;
                Event::Heard
            });
        }
        if self.buffer.is_empty() && self.buffer.capacity() > ROOM_BYTES {
            // What a large packet needed is not for ever.
            self.buffer = BytesMut::new();
        }
        self.share.holds(self.buffer.capacity() + self.sending + self.machine.holds(), Instant::now());
        if !self.is_silent && self.share.may_grow() {
            self.read();
            self.receive();
        }
    }

    // ---- the socket ---------------------------------------------------------------------------------------

    fn receive(&mut self) {
        if self.is_reading || self.is_lost || self.is_closed || self.machine.is_paused() {
            return;
        }
        self.is_reading = true;
        let connection = self.connection.clone();
        self.later(async move { Event::Readable(connection.transport().readable().await) });
    }

    fn readable(&mut self, result: io::Result<()>) {
        self.is_reading = false;
        if result.is_err() {
            return self.lose();
        }
        if self.machine.is_paused() || self.is_lost {
            return;
        }
        self.buffer.reserve(ROOM_BYTES);
        let before = self.buffer.len();
        match self.connection.transport().receive_ready(&mut self.buffer) {
            Ok(None) => {}
            // Others have their turn: what is left in the socket is read with the next event.
            Ok(Some(_)) if self.buffer.len() > before => {
                self.connection.touch();
                self.machine.receive(&mut self.buffer, now());
            }
            Ok(Some(_)) | Err(_) => self.lose(),
        }
    }

    fn lose(&mut self) {
        self.is_lost = true;
        match self.connection.closing() {
            Some("the broker stops") => self.machine.stop(),
            _ => self.machine.lost(),
        }
    }

    fn send(&mut self) {
        if self.is_sending || self.is_lost {
            return;
        }
        let bytes = self.machine.output();
        if bytes.is_empty() {
            return;
        }
        self.is_sending = true;
        self.sending = bytes.len();
        let connection = self.connection.clone();
        self.later(async move { Event::Sent(connection.transport().send(&bytes, false).await) });
    }

    // ---- actions ------------------------------------------------------------------------------------------

    fn begin(&mut self, action: Action) {
        let (asker, front) = (self.asker.clone(), self.front.clone());
        let client_id = self.machine.client_id().to_owned();
        let owner = self.owner;
        match action {
            Action::Open(asked) => self.later(open(front, asker, *asked, owner)),
            Action::Resolve { ticket, pending } => {
                self.later(async move { Event::Resolved(ticket, asker.resolve(pending).await) });
            }
            Action::Place { ticket, place, needs_producer } => self.later(async move {
                let placed = async {
                    let partition = asker.partition_of(&place).await?;
                    let producer = if needs_producer { Some(asker.producer().await?) } else { None };
                    Ok(Placed { partition, producer })
                };
                Event::Placed(ticket, placed.await)
            }),
            Action::Append { ticket, place, message, once } => {
                self.appends.push(ToAppend { ticket, place, message, once });
            }
            Action::Retain { ticket, message, at } => {
                let Appended { partition, offset, timestamp } = at;
                let kept = Kept { partition, offset, timestamp, message };
                self.later(async move { Event::Retained(ticket, front.keep(kept).await) });
            }
            Action::Store { ticket, records } => self.later(async move {
                let stored = front.store(&client_id, owner, records).await;
                Event::Stored(ticket, stored)
            }),
            Action::Follow { ticket, filters } => self.later(async move {
                let mut found = Vec::with_capacity(filters.len());
                for (_, sources) in &filters {
                    found.push(asker.ends(sources).await);
                }
                Event::Followed(ticket, found)
            }),
            Action::Survey { ticket, sources } => {
                self.later(async move { Event::Surveyed(ticket, asker.starts(&sources).await) });
            }
            Action::Kept { filter } => {
                self.later(async move {
                    let kept = asker.readable(front.kept(&filter).await).await;
                    Event::Kept(filter, kept)
                });
            }
            Action::Reread { id, partition, offset } => {
                self.later(reread(front, asker, id, partition, offset))
            }
            Action::Close(closing) => self.close(*closing),
        }
    }

    fn append(&mut self) {
        if self.is_appending || self.appends.is_empty() {
            return;
        }
        self.is_appending = true;
        let (asker, appends) = (self.asker.clone(), std::mem::take(&mut self.appends));
        self.later(async move {
            let (done, rest) = asker.append(appends).await;
            Event::Appended(done, rest)
        });
    }

    fn close(&mut self, closing: Closing) {
        let Closing { why, session } = closing;
        let origin = self.connection.origin();
        tracing::debug!(
            peer = %origin.peer, listener = %origin.listener, client = self.machine.client_id(), why,
            "an MQTT client is disconnected"
        );
        let Some((session, ending)) = session else {
            self.is_closed = true;
            return;
        };
        let (front, client_id, owner) = (self.front.clone(), self.machine.client_id().to_owned(), self.owner);
        self.later(async move {
            front.close(&client_id, owner, session, ending).await;
            Event::Closed
        });
    }

    // ---- records ------------------------------------------------------------------------------------------

    /// Has records read that are wanted. A fetch that waits for others is dropped.
    fn read(&mut self) {
        let now = Instant::now();
        self.refused.retain(|_, until| *until > now);
        let mut wants = self.machine.wants();
        wants.retain(|(partition, _)| !self.refused.contains_key(partition));
        let is_the_same = || wants.iter().map(|(partition, _)| partition).eq(self.fetched.keys());
        if wants.is_empty() || (!self.fetched.is_empty() && is_the_same()) {
            return;
        }
        self.fetched = wants.iter().copied().collect();
        let asker = self.asker.clone();
        let fetch: LocalBoxFuture<'static, Fetched> = async move { asker.fetch(&wants).await }.boxed_local();
        self.fetching = fetch.fuse();
    }

    fn fetched(&mut self, fetched: Fetched) {
        let mut asked = std::mem::take(&mut self.fetched);
        for (partition, data) in fetched.unwrap_or_default() {
            let Some(from) = asked.get(&partition).copied() else { continue };
            if ErrorCode::try_from(data.error_code) == Ok(ErrorCode::OffsetOutOfRange) {
                // Retention was faster: it goes on where there is something.
                let start = data.log_start_offset.max(0);
                if start > from {
                    self.machine.offer(partition, Vec::new(), start, now());
                    asked.remove(&partition);
                }
                continue;
            }
            if data.error_code == 0 && self.take(partition, from, &data) {
                asked.remove(&partition);
            }
        }
        let until = Instant::now() + REFUSED_PAUSE;
        self.refused.extend(asked.into_keys().map(|partition| (partition, until)));
    }

    /// Takes what was read of a partition; false when it cannot be.
    fn take(&mut self, partition: Partition, from: i64, data: &PartitionData<Bytes>) -> bool {
        if data.records.is_empty() {
            return true;
        }
        let Some(topic) = self.asker.name_of(partition) else { return false };
        let aborted = data.aborted_transactions.as_deref().unwrap_or_default();
        match walk(&data.records, aborted, from, &topic, &self.front.shared.rules) {
            Some(found) => self.machine.offer(partition, found.records, found.next, now()),
            None => {
                tracing::warn!(topic, partition = partition.index, from, "records cannot be read");
                return false;
            }
        }
        true
    }

    // ---- events -------------------------------------------------------------------------------------------

    fn happened(&mut self, event: Event) {
        let machine = &mut self.machine;
        match event {
            Event::Readable(result) => self.readable(result),
            Event::Sent(result) => {
                self.is_sending = false;
                self.sending = 0;
                match result {
                    Ok(()) => {
                        self.share.moved(Instant::now());
                        self.connection.touch();
                    }
                    Err(_) => self.lose(),
                }
            }
            Event::Tick => self.tick(),
            Event::TakenOver => machine.taken_over(),
            Event::Opened(session, opened) => {
                self.asker.session = session;
                match opened {
                    Opened::Ready(ready) => machine.opened(&ready.stored, ready.is_present),
                    Opened::Refused(reason) => machine.refused(reason),
                    Opened::Busy(_) | Opened::Again => machine.refused(Reason::SERVER_BUSY),
                }
            }
            Event::Refused(reason) => machine.refused(reason),
            Event::Resolved(ticket, Ok(found)) => machine.resolved(ticket, &found),
            Event::Resolved(_, Err(_)) => self.lose(),
            Event::Placed(ticket, placed) => machine.placed(ticket, placed),
            Event::Appended(done, rest) => {
                done.into_iter().for_each(|(ticket, appended)| machine.appended(ticket, appended));
                let later = std::mem::replace(&mut self.appends, rest);
                self.appends.extend(later);
                self.is_appending = false;
            }
            Event::Retained(ticket, result) => machine.retained(ticket, result),
            Event::Stored(ticket, is_durable) => machine.stored(ticket, is_durable),
            Event::Followed(ticket, found) => machine.followed(ticket, found, now()),
            Event::Surveyed(ticket, found) => machine.surveyed(ticket, found.ok().as_deref()),
            Event::Kept(filter, kept) => machine.kept(&filter, kept, now()),
            Event::Reread(id, found) => machine.reread(id, found, now()),
            Event::Heard => self.is_silent = false,
            Event::Closed => self.is_closed = true,
        }
        // What came while nothing was taken.
        self.machine.receive(&mut self.buffer, now());
    }

    fn tick(&mut self) {
        self.later(tick());
        self.machine.tick(now());
        if self.share.is_stuck(Instant::now()) && !self.is_lost {
            let origin = self.connection.origin();
            tracing::debug!(
                peer = %origin.peer, listener = %origin.listener, client = self.machine.client_id(),
                "an MQTT client holds memory that others need, and takes nothing"
            );
            self.lose();
        }
        if self.machine.session().is_some() && !self.is_lost {
            // Keep-alive says who is silent for too long.
            self.connection.touch();
        }
        let topics = self.front.shard.topics();
        let version = topics.iter().map(|topic| topic.partitions as usize + 1).sum();
        if std::mem::replace(&mut self.topics, version) != version && self.machine.session().is_some() {
            self.machine.survey();
        }
    }
}

async fn tick() -> Event {
    reactor::sleep(TICK).await;
    Event::Tick
}

/// Finds out who it is, and gets the session.
async fn open(front: Rc<OnShard>, mut asker: Asker, asked: Asked, owner: Owner) -> Event {
    let Asked { client_id, mut open, user_name, password } = asked;
    match front.user(&asker.session, user_name.as_deref(), password.as_deref()).await {
        Ok(principal) => {
            open.user = (principal != Principal::ANONYMOUS).then(|| principal.name.to_string());
            asker.session.principal = principal;
        }
        Err(reason) => return Event::Refused(reason),
    }
    asker.session.client_id = Some(client_id.clone());
    let opened = front.open(&client_id, open, owner).await;
    Event::Opened(asker.session, opened)
}

async fn reread(front: Rc<OnShard>, asker: Asker, id: u16, partition: Partition, offset: i64) -> Event {
    let found = async {
        let topic = asker.name_of(partition)?;
        let data = asker.fetch_one(partition, offset).await.ok()??;
        let aborted = data.aborted_transactions.as_deref().unwrap_or_default();
        let found = walk(&data.records, aborted, offset, &topic, &front.shared.rules)?;
        let Offered { offset: at, timestamp, message } = found.records.into_iter().next()?;
        (at == offset).then_some((timestamp, message?))
    };
    Event::Reread(id, found.await)
}
