//! The listeners of a front: one shard accepts, every shard serves.
//!
//! Shard 0 takes connections from each listener and hands each to the shard that has the fewest, whatever
//! front these are of. That shard keeps it to its end, cuts it when it is silent for too long, and ends it
//! when the broker stops: then nothing more is read, what is owed is answered, and who does not take it
//! within a while is cut.
//!
//! One that comes too soon after others, by the rate of all listeners or of its own (KIP-612), is accepted
//! later, and those behind it with it. One that gets no seat ([`Seats`]) is closed at once. One that its
//! address makes too soon after others, where there is a quota for that, is held for a while and closed then:
//! it keeps its seat meanwhile, is not read, and holds nobody up. Should the descriptors of the process, or
//! of the system, be gone all the same, one that was put by takes the connection in, to close it.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_channel::{Receiver, Sender};
use futures_channel::oneshot;
use futures_util::future::{join_all, select};
use futures_util::stream::{FuturesUnordered, StreamExt};
use futures_util::{FutureExt, select_biased};
use strandline_engine::Local;
use strandline_engine::io::is_out_of_descriptors;
use strandline_engine::reactor::{self, Queue, Task};

use super::accept::accept;
use super::connection::{Connection, Endable, Origin};
use super::seats::{Seat, Seats};
use super::tls::{Acceptor, Tls};
use super::transport::{Plain, Transport};
use crate::config::BrokerConfig;
use crate::quotas::{Quotas, Used};

/// Accepted connections that wait for their shard to take them up; one turn of the shard takes them all.
const HANDED_OVER_MAX: usize = 128;

/// How long to wait when the system has no descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long a client may take to fetch what it is owed when the broker stops.
const STOP_GRACE: Duration = Duration::from_secs(2);

/// A listener that is bound already.
pub struct Listener {
    name: Arc<str>,
    /// The listener whose limits and seats it shares: itself, for most.
    like: Arc<str>,
    socket: TcpListener,
    /// What it takes connections by, where it has TLS.
    tls: Option<Arc<Acceptor>>,
}

impl Listener {
    /// A non-blocking listener, by a name that no other listener of the process has.
    pub fn new(name: Arc<str>, socket: TcpListener, tls: Option<Arc<Acceptor>>) -> Listener {
        Listener { like: name.clone(), name, socket, tls }
    }

    /// The same with the limits of another one: what is connected to either counts for both.
    #[must_use]
    pub fn like(self, other: Arc<str>) -> Listener {
        Listener { like: other, ..self }
    }

    /// Its name.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Where it listens.
    ///
    /// # Errors
    /// What the system says.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }
}

/// What a front does with the connections of one shard.
pub trait Protocol: 'static {
    /// What it counts.
    type Counts: Send + 'static;

    /// Serves a connection to its end. After [`Connection::closing`] it should come soon.
    fn serve<T: Transport>(self: Rc<Self>, connection: Rc<Connection<T>>) -> impl Future<Output = ()>;

    /// What it has counted.
    fn counts(&self) -> Self::Counts;
}

/// What a shard has counted of a front's connections.
#[derive(Clone, Debug, Default)]
pub struct Report<C> {
    /// By listener.
    pub listeners: Vec<ListenerReport>,
    /// What the protocol has counted.
    pub counts: C,
}

/// What a shard has counted of the connections of one listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerReport {
    /// The listener.
    pub listener: Arc<str>,
    /// Connections there are.
    pub connections: u64,
    /// Connections that were accepted for this shard.
    pub accepted: u64,
    /// Connections that got no seat. Counted where connections are accepted, on shard 0.
    pub refused: u64,
    /// Connections that were held unread and closed, since their address makes too many.
    pub held: u64,
    /// For how long connections were accepted later than they came, since too many did. Counted as `refused`.
    pub delayed: Duration,
    /// Connections that came to nothing before a byte was received: TLS handshakes that failed.
    pub unopened: u64,
}

/// What a shard counts of the connections of one listener.
struct Tally {
    listener: Arc<str>,
    connections: Cell<u64>,
    accepted: Cell<u64>,
    refused: Cell<u64>,
    held: Cell<u64>,
    delayed: Cell<Duration>,
    unopened: Cell<u64>,
}

impl Tally {
    fn report(&self) -> ListenerReport {
        ListenerReport {
            listener: self.listener.clone(),
            connections: self.connections.get(),
            accepted: self.accepted.get(),
            refused: self.refused.get(),
            held: self.held.get(),
            delayed: self.delayed.get(),
            unopened: self.unopened.get(),
        }
    }
}

/// The listeners of a front, and the way to each shard; `C` is what its protocol counts.
pub struct Listeners<C>(Arc<Shared<C>>);

impl<C> Clone for Listeners<C> {
    fn clone(&self) -> Listeners<C> {
        Listeners(self.0.clone())
    }
}

struct Shared<C> {
    listeners: Vec<Listener>,
    config: Arc<BrokerConfig>,
    seats: Arc<Seats>,
    used: Used,
    ways: Vec<Way<C>>,
}

/// The way to one shard.
struct Way<C> {
    sender: Sender<ToShard<C>>,
    receiver: Receiver<ToShard<C>>,
}

/// What a shard is sent.
enum ToShard<C> {
    Serve(Accepted),
    Report(oneshot::Sender<Report<C>>),
}

struct Accepted {
    stream: TcpStream,
    origin: Origin,
    seat: Seat,
    tls: Option<Arc<Acceptor>>,
    /// How long it is held, to be closed then.
    held: Duration,
}

impl<C: Send + 'static> Listeners<C> {
    /// The listeners of a front on so many shards; it shares the seats, and what clients have used of their
    /// quotas, with the others.
    pub fn new(
        listeners: Vec<Listener>,
        config: Arc<BrokerConfig>,
        seats: Arc<Seats>,
        used: Used,
        shards: usize,
    ) -> Listeners<C> {
        let ways = (0..shards).map(|_| {
            let (sender, receiver) = async_channel::bounded(HANDED_OVER_MAX);
            Way { sender, receiver }
        });
        Listeners(Arc::new(Shared { listeners, config, seats, used, ways: ways.collect() }))
    }

    /// What every shard has counted. Waits for ever when a shard has stopped.
    pub async fn reports(&self) -> Vec<Report<C>> {
        let asks = self.0.ways.iter().map(async |way| {
            let (reply, answer) = oneshot::channel();
            let _ = way.sender.send(ToShard::Report(reply)).await;
            answer.await.ok()
        });
        join_all(asks).await.into_iter().flatten().collect()
    }

    /// Serves one shard's connections until the engine stops and all of them have ended.
    pub async fn serve<P: Protocol<Counts = C>>(&self, shard: &Local, protocol: Rc<P>) {
        let tally = |listener: &Listener| {
            let [connections, accepted, refused, held, unopened] = std::array::from_fn(|_| Cell::new(0));
            let (listener, delayed) = (listener.name.clone(), Cell::default());
            Rc::new(Tally { listener, connections, accepted, refused, held, delayed, unopened })
        };
        let tallies: Vec<Rc<Tally>> = self.0.listeners.iter().map(tally).collect();
        let accepting: Vec<Task<()>> = match shard.index() {
            0 => (0..self.0.listeners.len())
                .map(|at| self.0.clone().accept(at, shard.clone(), tallies[at].clone()))
                .map(|accepting| reactor::spawn(Queue::Net, accepting))
                .collect(),
            _ => Vec::new(),
        };
        let mut served = Served::new(protocol, tallies, self.0.config.connection_idle);
        let mut handed_over = pin!(self.0.ways[shard.index()].receiver.clone());
        let mut stopped = pin!(shard.stopped().fuse());
        loop {
            select_biased! {
                _ = stopped => break,
                _ = served.tasks.select_next_some() => {}
                next = handed_over.select_next_some() => match next {
                    ToShard::Serve(accepted) => served.begin(shard, accepted),
                    ToShard::Report(reply) => drop(reply.send(served.report())),
                },
            }
        }
        // Nobody comes while the others go.
        for accepting in accepting {
            accepting.cancel().await;
        }
        served.drain().await;
    }
}

impl<C: Send + 'static> Shared<C> {
    /// Accepts from a listener for ever.
    async fn accept(self: Arc<Self>, at: usize, shard: Local, tally: Rc<Tally>) {
        let listener = &self.listeners[at];
        let Listener { name, like, socket, .. } = listener;
        let note_refusal = |peer: SocketAddr, why: &dyn fmt::Display| {
            tally.refused.set(tally.refused.get() + 1);
            tracing::warn!(%peer, listener = %name, %why, "connection refused");
        };
        // A second descriptor of the listener: what it is does not matter.
        let mut put_by = socket.try_clone().ok();
        let quotas = Quotas::new(self.used.clone());
        loop {
            match accept(socket) {
                Ok(Some((stream, peer))) => {
                    let rates = self.config.connection_rates(&shard.handle().settings().dynamic, like);
                    let later = quotas.came_by(like, rates);
                    if !later.is_zero() {
                        tally.delayed.set(tally.delayed.get() + later);
                        reactor::sleep(later).await;
                    }
                    let settings = shard.handle().settings();
                    let limits = self.config.connection_limits(&settings.dynamic, like, peer.ip());
                    match self.seats.take(like, peer.ip(), limits) {
                        Ok(seat) => {
                            let held = quotas.came(&settings.dynamic.quotas, peer.ip());
                            self.hand_over(stream, peer, listener, seat, held).await;
                        }
                        Err(why) => note_refusal(peer, &why),
                    }
                    // Whoever is connected goes on while many come.
                    reactor::yield_if_needed().await;
                }
                Ok(None) => {
                    if let Err(error) = shard.sockets().readable(socket.as_fd()).await {
                        tracing::error!(
                            listener = %name, %error,
                            "the listener can not be waited for: no connection is accepted any more"
                        );
                        return;
                    }
                }
                Err(error) if is_out_of_descriptors(&error) => {
                    drop(put_by.take());
                    // Who was faster has the descriptor: the connection waits.
                    let peer = accept(socket).ok().flatten().map(|(_, peer)| peer);
                    put_by = socket.try_clone().ok();
                    match peer {
                        Some(peer) => note_refusal(peer, &"there is no descriptor left"),
                        None => reactor::sleep(ACCEPT_PAUSE).await,
                    }
                    reactor::yield_if_needed().await;
                }
                Err(error) => {
                    tracing::warn!(listener = %name, %error, "accepting a connection failed");
                    reactor::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn hand_over(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        listener: &Listener,
        seat: Seat,
        held: Duration,
    ) {
        let way = &self.ways[seat.shard()];
        let origin = Origin { peer, listener: listener.name.clone() };
        let accepted = Accepted { stream, origin, seat, tls: listener.tls.clone(), held };
        // The channel is open as long as we hold its other end.
        let _ = way.sender.send(ToShard::Serve(accepted)).await;
    }
}

/// The connections of one shard, by their numbers.
type Open = Rc<RefCell<HashMap<u64, Rc<dyn Endable>>>>;

/// What serves the connections of one shard.
struct Served<P> {
    protocol: Rc<P>,
    open: Open,
    tasks: FuturesUnordered<Task<()>>,
    /// The number of the last connection.
    last: u64,
    /// One for each listener.
    tallies: Vec<Rc<Tally>>,
    sweeping: Task<()>,
}

impl<P: Protocol> Served<P> {
    fn new(protocol: Rc<P>, tallies: Vec<Rc<Tally>>, idle: Duration) -> Served<P> {
        let open = Open::default();
        let sweeping = reactor::spawn(Queue::Net, sweep(open.clone(), idle));
        Served { protocol, open, tasks: FuturesUnordered::new(), last: 0, tallies, sweeping }
    }

    fn begin(&mut self, shard: &Local, accepted: Accepted) {
        let Accepted { stream, origin, seat, tls, held } = accepted;
        if !held.is_zero() {
            return self.hold(shard.clone(), stream, &origin, seat, held);
        }
        let Some(acceptor) = tls else {
            return self.serve(Plain::new(stream, shard.sockets()), origin, seat);
        };
        match Tls::new(stream, shard.sockets(), acceptor) {
            Ok(transport) => self.serve(transport, origin, seat),
            Err(error) => {
                let Origin { peer, listener } = origin;
                tracing::error!(%peer, %listener, %error, "a TLS session can not be begun");
            }
        }
    }

    /// Holds a connection that is one too many, and closes it then, or when the broker stops.
    fn hold(&mut self, shard: Local, stream: TcpStream, origin: &Origin, seat: Seat, held: Duration) {
        let Origin { peer, listener } = origin;
        let tally = self.tally(listener);
        tally.held.set(tally.held.get() + 1);
        tracing::debug!(%peer, %listener, ?held, "held: its address has used up its connection_creation_rate");
        self.tasks.push(reactor::spawn(Queue::Net, async move {
            select(pin!(reactor::sleep(held)), pin!(shard.stopped())).await;
            drop((stream, seat));
        }));
    }

    fn tally(&self, listener: &Arc<str>) -> Rc<Tally> {
        let tally = self.tallies.iter().find(|tally| tally.listener == *listener);
        tally.expect("a connection comes in by one of the listeners").clone()
    }

    /// Opens a connection and serves it, in a task of its own.
    fn serve<T: Transport>(&mut self, transport: T, origin: Origin, seat: Seat) {
        let tally = self.tally(&origin.listener);
        tally.accepted.set(tally.accepted.get() + 1);
        tally.connections.set(tally.connections.get() + 1);
        let connection = Rc::new(Connection::new(transport, origin));
        self.last += 1;
        let number = self.last;
        self.open.borrow_mut().insert(number, connection.clone());
        let (protocol, open) = (self.protocol.clone(), self.open.clone());
        self.tasks.push(reactor::spawn(Queue::Net, async move {
            let Origin { peer, listener } = connection.origin();
            match connection.transport().open(*peer, listener).await {
                true => protocol.serve(connection).await,
                false => tally.unopened.set(tally.unopened.get() + 1),
            }
            open.borrow_mut().remove(&number);
            tally.connections.set(tally.connections.get() - 1);
            drop(seat);
        }));
    }

    fn report(&self) -> Report<P::Counts> {
        let listeners = self.tallies.iter().map(|tally| tally.report()).collect();
        Report { listeners, counts: self.protocol.counts() }
    }

    /// Ends all connections: first what comes in, then, for those that do not take what they are owed, all.
    async fn drain(mut self) {
        self.sweeping.cancel().await;
        let open = self.open;
        let end = |how| {
            let all: Vec<_> = open.borrow().values().cloned().collect();
            all.iter().for_each(|connection| connection.end("the broker stops", how));
        };
        end(Shutdown::Read);
        let ended = async { while self.tasks.next().await.is_some() {} };
        if reactor::with_timeout(STOP_GRACE, ended).await.is_none() {
            end(Shutdown::Both);
            while self.tasks.next().await.is_some() {}
        }
    }
}

/// Cuts connections that have been silent for `idle`, a tenth of it late at most.
async fn sweep(open: Open, idle: Duration) {
    loop {
        reactor::sleep((idle / 10).clamp(Duration::from_millis(10), Duration::from_secs(10))).await;
        let now = Instant::now();
        for connection in open.borrow().values() {
            if now.saturating_duration_since(connection.active()) > idle {
                connection.end("it was silent for connections.max.idle.ms", Shutdown::Both);
            }
        }
    }
}
