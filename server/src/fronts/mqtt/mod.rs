//! The MQTT front: 3.1.1 and 5.0 on the shards, with messages in Kafka's topics. What MQTT means is
//! `strandline-mqtt`'s to say; here are the sockets, and the way to the broker.
//!
//! ```text
//! net::Connection > connection: bytes > strandline_mqtt::Connection > actions
//!                     ask         topics, appends, reads: in Kafka's words, by in_process
//!                     machines    sessions and kept messages: coordinators of their internal topics
//!                     memory      what connections hold, together
//! ```
//! Its clients are those of one Kafka listener: the same users, certificates and limits, the same rules and
//! quotas. A message is acknowledged when its record is durable.

mod ask;
mod connection;
mod machines;
mod memory;
mod records;

use std::cell::Cell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime};

use async_channel::{Receiver, Sender};
use futures_channel::oneshot;
use futures_util::future::join;
use strandline_engine::config::Credentials;
use strandline_engine::reactor::{self, Queue};
use strandline_engine::{Front, Local};
use strandline_mqtt::codec::Reason;
use strandline_mqtt::connection::{Limits, Ticket};
use strandline_mqtt::message::Message;
use strandline_mqtt::retained::Kept;
use strandline_mqtt::rules::Rules;
use strandline_mqtt::session::{Record, Session as MqttSession};
use strandline_mqtt::sessions::{Ending, Open, Owner};
use strandline_mqtt::topic::Filter;

use self::ask::{Asker, Silence, ToAppend, now};
use self::machines::{
    DueWill, KeptOr, Opened, RetainedMachine, SessionsMachine, retained_topic, sessions_topic,
};
use self::memory::Memory;
use crate::config::SaslConfig;
use crate::coordination::Coordinators;
use crate::in_process::{Caller, InProcess};
use crate::net::{Connection, Listeners, Origin, Protocol, Transport};
use crate::security::{Credential, Exchange, Hash, Known, Mechanism, Step, place};
use crate::session::{Principal, Session};

/// Wills that wait to be published. What finds no room is tried again.
const WILLS_MAX: usize = 1024;

/// Kept messages that a new subscription is sent.
const KEPT_MAX: usize = 1000;

/// Passwords of SCRAM that are checked at a time: each takes milliseconds of a thread.
const CHECKS_MAX: usize = 2;

/// Longest name and password.
const SECRET_BYTES_MAX: usize = 1024;

/// How often a session is asked for that another connection has, or that is being written, and how long to
/// wait between two.
const OPEN_TRIES: usize = 100;
const OPEN_PAUSE: Duration = Duration::from_millis(50);

/// The same for a kept message while another of its topic is being written.
const KEEP_TRIES: usize = 1000;
const KEEP_PAUSE: Duration = Duration::from_millis(2);

/// MQTT as a front of the engine, or nothing.
#[derive(Clone, Default)]
pub struct MqttFront(Option<Arc<Shared>>);

/// What the front is made of.
pub struct Surroundings {
    /// Its listener.
    pub listeners: Listeners<()>,
    /// The Kafka listener that it is like.
    pub like: Arc<str>,
    /// How clients of that prove who they are.
    pub sasl: Option<Arc<SaslConfig>>,
    /// Whether there are rules about who may do what.
    pub has_rules: bool,
    /// MQTT topics and Kafka topics.
    pub rules: Arc<Rules>,
    /// The way to the broker.
    pub in_process: InProcess,
    /// Shards.
    pub shards: usize,
}

struct Shared {
    shards: usize,
    listeners: Listeners<()>,
    like: Arc<str>,
    sasl: Option<Arc<SaslConfig>>,
    has_rules: bool,
    rules: Arc<Rules>,
    limits: Limits,
    in_process: InProcess,
    sessions: Coordinators<SessionsMachine>,
    retained: Coordinators<RetainedMachine>,
    wills: Receiver<DueWill>,
    connected: Connected,
    /// Passwords that are being checked.
    checks: Mutex<usize>,
}

/// Who is connected, on whatever shard. It is looked at once a connection.
#[derive(Default)]
struct Connected(Mutex<HashMap<Owner, Sender<()>>>);

impl Connected {
    fn insert(&self, owner: Owner, taken_over: Sender<()>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(owner, taken_over);
    }

    fn remove(&self, owner: Owner) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&owner);
    }

    /// Has a connection end; false when there is none.
    fn take_over(&self, owner: Owner) -> bool {
        let connected = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(connection) = connected.get(&owner) else { return false };
        // One that was told already is ending.
        let _ = connection.try_send(());
        true
    }
}

impl MqttFront {
    /// A front; [`Front::run`] brings it to life on each shard.
    pub fn new(around: Surroundings) -> MqttFront {
        let Surroundings { listeners, like, sasl, has_rules, rules, in_process, shards } = around;
        let (to_wills, wills) = async_channel::bounded(WILLS_MAX);
        MqttFront(Some(Arc::new(Shared {
            shards,
            listeners,
            like,
            sasl,
            has_rules,
            rules,
            limits: Limits::default(),
            in_process,
            sessions: Coordinators::new(sessions_topic(), to_wills, shards),
            retained: Coordinators::new(retained_topic(), (), shards),
            wills,
            connected: Connected::default(),
            checks: Mutex::default(),
        })))
    }
}

impl Front for MqttFront {
    async fn run(self, shard: Local) {
        let Some(shared) = self.0 else { return shard.stopped().await };
        let on_shard = Rc::new(OnShard {
            caller: shared.in_process.caller(shard.index()),
            shard: shard.clone(),
            memory: Memory::of_shard(shared.shards),
            shared: shared.clone(),
            last: Cell::new(0),
        });
        let sessions = reactor::spawn(Queue::Net, shared.sessions.clone().run(shard.clone()));
        let retained = reactor::spawn(Queue::Net, shared.retained.clone().run(shard.clone()));
        let wills = reactor::spawn(Queue::Net, publish_wills(on_shard.clone()));
        let protocol = Rc::new(MqttProtocol(on_shard));
        join(shared.listeners.serve(&shard, protocol), shard.stopped()).await;
        wills.cancel().await;
        retained.cancel().await;
        sessions.cancel().await;
    }
}

/// What the front does with a shard's connections.
pub(crate) struct MqttProtocol(Rc<OnShard>);

impl Protocol for MqttProtocol {
    type Counts = ();

    async fn serve<T: Transport>(self: Rc<Self>, connection: Rc<Connection<T>>) {
        connection::serve(connection, self.0.clone()).await;
    }

    fn counts(&self) {}
}

/// The front on one shard.
pub(crate) struct OnShard {
    shard: Local,
    caller: Caller,
    shared: Arc<Shared>,
    memory: Rc<Memory>,
    last: Cell<u64>,
}

impl OnShard {
    fn next_owner(&self) -> Owner {
        self.last.set(self.last.get() + 1);
        Owner((self.shard.index() as u64) << 48 | self.last.get())
    }

    // ---- sessions -----------------------------------------------------------------------------------------

    async fn open(&self, client_id: &str, open: Open, owner: Owner) -> Opened {
        if self.shared.sessions.topic(&self.shard).await.is_err() {
            return Opened::Refused(Reason::SERVER_UNAVAILABLE);
        }
        for _ in 0..OPEN_TRIES {
            let (id, open) = (client_id.to_owned(), open.clone());
            let asked = self
                .shared
                .sessions
                .change(&self.shard, client_id, move |machine, turn| machine.open(turn, &id, open, owner));
            match asked.await {
                Ok(Opened::Busy(other)) => {
                    if !self.shared.connected.take_over(other) {
                        self.let_go(client_id, other).await;
                    }
                }
                Ok(Opened::Again) | Err(_) => {}
                Ok(opened) => return opened,
            }
            reactor::sleep(OPEN_PAUSE).await;
        }
        Opened::Refused(Reason::SERVER_BUSY)
    }

    /// A connection that is not there any more has nothing.
    async fn let_go(&self, client_id: &str, owner: Owner) {
        let id = client_id.to_owned();
        let asked = self.shared.sessions.ask(&self.shard, client_id, move |machine, _| {
            machine.let_go(&id, owner);
        });
        let _ = asked.await;
    }

    async fn store(&self, client_id: &str, owner: Owner, records: Vec<Record>) -> bool {
        let id = client_id.to_owned();
        let stored = self
            .shared
            .sessions
            .change(&self.shard, client_id, move |machine, _| machine.store(&id, owner, records));
        stored.await.unwrap_or(false)
    }

    async fn close(&self, client_id: &str, owner: Owner, session: MqttSession, ending: Ending) {
        let id = client_id.to_owned();
        let closed = self.shared.sessions.change(&self.shard, client_id, move |machine, turn| {
            machine.close(turn, &id, owner, &session, ending)
        });
        // A coordinator that is gone has the session as it was stored last.
        let _ = closed.await;
    }

    // ---- kept messages ------------------------------------------------------------------------------------

    async fn keep(&self, kept: Kept) -> Result<(), Reason> {
        let unavailable = Reason::SERVER_UNAVAILABLE;
        self.shared.retained.topic(&self.shard).await.map_err(|_| unavailable)?;
        for _ in 0..KEEP_TRIES {
            let (topic, kept) = (kept.message.topic.clone(), kept.clone());
            let asked = self
                .shared
                .retained
                .change(&self.shard, &topic, move |machine, turn| machine.set(turn, kept));
            match asked.await {
                Ok(KeptOr::Kept) => return Ok(()),
                Ok(KeptOr::Refused(reason)) => return Err(reason),
                Ok(KeptOr::Again) | Err(_) => reactor::sleep(KEEP_PAUSE).await,
            }
        }
        Err(unavailable)
    }

    async fn kept(&self, filter: &Filter) -> Vec<Kept> {
        let filter = filter.clone();
        let all = self.shared.retained.ask_all(move |machine, _, reply| {
            machine.matching(&filter, KEPT_MAX, reply);
        });
        let mut kept: Vec<Kept> = all.await.into_iter().flatten().flatten().collect();
        kept.sort_by(|one, other| one.message.topic.cmp(&other.message.topic));
        kept.truncate(KEPT_MAX);
        kept
    }

    // ---- users --------------------------------------------------------------------------------------------

    /// Who a client is, by what its listener asks for.
    async fn user(
        &self,
        session: &Session,
        name: Option<&str>,
        password: Option<&[u8]>,
    ) -> Result<Principal, Reason> {
        let Some(sasl) = self.shared.sasl.clone() else { return Ok(session.principal.clone()) };
        let denied = Reason::BAD_USER_NAME_OR_PASSWORD;
        let proven = match (name, password.and_then(|password| std::str::from_utf8(password).ok())) {
            (Some(name), Some(password)) if name.len().max(password.len()) <= SECRET_BYTES_MAX => {
                self.proves(&sasl, name, password).await?
            }
            _ => false,
        };
        match (proven, name) {
            (true, Some(name)) => Ok(Principal::user(name.to_owned())),
            _ => {
                reactor::sleep(sasl.failure_delay).await;
                Err(denied)
            }
        }
    }

    async fn proves(&self, sasl: &SaslConfig, name: &str, password: &str) -> Result<bool, Reason> {
        if sasl.lifetime(Mechanism::Plain).is_some() {
            let message = format!("\0{name}\0{password}");
            let known = Known {
                plain: &sasl.plain_users,
                scram: &Credentials::default(),
                tokens: None,
                now: SystemTime::now(),
            };
            let step = Exchange::new(Mechanism::Plain).step(message.as_bytes(), known);
            if matches!(step, Step::Proven { .. }) {
                return Ok(true);
            }
        }
        let settings = self.shard.settings();
        let credentials = &settings.dynamic.credentials.0;
        let hashes = Hash::ALL.into_iter().filter(|hash| sasl.lifetime(Mechanism::Scram(*hash)).is_some());
        let kept = hashes.filter_map(|hash| Some((hash, credentials.get(&place(hash, name))?.clone())));
        for (hash, text) in kept.collect::<Vec<_>>() {
            let Some(credential) = Credential::of_text(hash, &text) else { continue };
            let _turn = Check::begin(&self.shared).ok_or(Reason::SERVER_BUSY)?;
            let (secret, (reply, answer)) = (password.to_owned(), oneshot::channel());
            // The shard has other things to do for so long.
            let check = move || {
                // Who has gone does not hear it.
                let _ = reply.send(credential.is_of(hash, secret.as_bytes()));
            };
            let started = thread::Builder::new().name("mqtt-aside".to_owned()).spawn(check);
            if started.is_ok() && answer.await.unwrap_or(false) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// A password that is being checked.
struct Check<'a>(&'a Shared);

impl Check<'_> {
    fn begin(shared: &Shared) -> Option<Check<'_>> {
        let mut checks = shared.checks.lock().unwrap_or_else(PoisonError::into_inner);
        let has_room = *checks < CHECKS_MAX;
        *checks += usize::from(has_room);
        has_room.then_some(Check(shared))
    }
}

impl Drop for Check<'_> {
    fn drop(&mut self) {
        *self.0.checks.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
    }
}

/// Publishes wills for ever: each for the user that its client was.
async fn publish_wills(front: Rc<OnShard>) {
    while let Ok(DueWill { client_id, user, message, is_of_session }) = front.shared.wills.recv().await {
        let peer = ([0, 0, 0, 0], 0).into();
        let origin = Origin { peer, listener: front.shared.like.clone() };
        let mut session = Session::new(&origin, user.as_deref());
        session.client_id = Some(client_id.clone());
        let (caller, shard, silence) = (front.caller.clone(), front.shard.clone(), Silence::default());
        let asker = Asker { caller, session, shard, silence, has_rules: front.shared.has_rules };
        if let Err(reason) = publish_will(&front, &asker, message).await {
            tracing::warn!(client = client_id, ?reason, "the will of an MQTT client is not published");
        }
        if is_of_session {
            let id = client_id.clone();
            let sent = front
                .shared
                .sessions
                .change(&front.shard, &client_id, move |machine, _| machine.will_sent(&id));
            let _ = sent.await;
        }
    }
}

async fn publish_will(front: &OnShard, asker: &Asker, message: Message) -> Result<(), Reason> {
    let place = front.shared.rules.place(&message.topic).map_err(|_| Reason::TOPIC_NAME_INVALID)?;
    let ticket = Ticket::default();
    let (done, _) =
        asker.append(vec![ToAppend { ticket, place, message: message.clone(), once: None }]).await;
    let at = done.into_iter().next().map_or(Err(Reason::IMPLEMENTATION), |(_, appended)| appended)?;
    if message.retain {
        let kept = Kept { partition: at.partition, offset: at.offset, timestamp: now(), message };
        front.keep(kept).await?;
    }
    Ok(())
}
