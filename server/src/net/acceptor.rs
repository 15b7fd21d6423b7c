//! The Kafka front: one shard accepts, every shard serves.
//!
//! Shard 0 takes connections from the listener and hands each to the shard that has the fewest. That shard
//! keeps it to its end, cuts it when it is silent for too long, and ends it when the broker stops.
//!
//! One that would be more than `max.connections`, or would take a descriptor that files need
//! ([`crate::descriptors`]), is closed at once. Should the descriptors of the process, or of the system, be
//! gone all the same, one that was put by takes the connection in, to close it.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_channel::{Receiver, Sender};
use futures_channel::oneshot;
use futures_util::future::join_all;
use futures_util::stream::{FuturesUnordered, StreamExt};
use futures_util::{FutureExt, select_biased};
use strandline_engine::io::is_out_of_descriptors;
use strandline_engine::reactor::{self, Queue};
use strandline_engine::{Front, Local};
use strandline_protocol::wire::ApiKey;

use super::connection::Connection;
use crate::broker::Broker;
use crate::cluster::{ClusterView, Node};
use crate::config::{BrokerConfig, HostPort};
use crate::counters::{RequestCounters, RequestStats};
use crate::groups::Groups;
use crate::room::Room;

/// Accepted connections that wait for their shard to take them up; one turn of the shard takes them all.
const HANDED_OVER_MAX: usize = 128;

/// How long to wait when the system has no descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long a client may take to fetch what it is owed when the broker stops.
const STOP_GRACE: Duration = Duration::from_secs(2);

/// The Kafka protocol as a front of the engine.
#[derive(Clone)]
pub struct KafkaFront(Arc<Shared>);

struct Shared {
    listener: TcpListener,
    config: Arc<BrokerConfig>,
    advertised: HostPort,
    groups: Groups,
    /// Connections that descriptors are left for.
    connections_fit: usize,
    seats: Vec<Seat>,
}

/// The way to one shard.
struct Seat {
    sender: Sender<ToShard>,
    receiver: Receiver<ToShard>,
    /// Every connection of the shard holds a clone: the count of clones is its load.
    load: Arc<()>,
}

impl Seat {
    fn connections(&self) -> usize {
        Arc::strong_count(&self.load) - 1
    }
}

/// What a shard is sent.
enum ToShard {
    Serve(Accepted),
    Report(oneshot::Sender<FrontReport>),
}

/// What a shard has counted of its connections.
#[derive(Clone, Debug, Default)]
pub struct FrontReport {
    /// Connections there are.
    pub connections: u64,
    /// Connections that were accepted for this shard.
    pub accepted: u64,
    /// Connections that were refused: `max.connections` was reached, or descriptors would have run out.
    /// Counted where connections are accepted, on shard 0.
    pub refused: u64,
    /// The requests, by API.
    pub requests: BTreeMap<ApiKey, RequestStats>,
}

struct Accepted {
    socket: OwnedFd,
    peer: SocketAddr,
    load: Arc<()>,
}

impl KafkaFront {
    /// A front for `shards` shards on a listener that is bound already. `advertised` is where clients are
    /// told to connect to; descriptors are left for `connections_fit` of them at a time.
    ///
    /// # Errors
    /// When the listener can not be made non-blocking.
    pub fn new(
        listener: TcpListener,
        config: Arc<BrokerConfig>,
        advertised: HostPort,
        shards: usize,
        connections_fit: usize,
    ) -> io::Result<KafkaFront> {
        listener.set_nonblocking(true)?;
        let seats = (0..shards).map(|_| {
            let (sender, receiver) = async_channel::bounded(HANDED_OVER_MAX);
            Seat { sender, receiver, load: Arc::new(()) }
        });
        let (seats, groups) = (seats.collect(), Groups::new((&*config).into(), shards));
        Ok(KafkaFront(Arc::new(Shared { listener, config, advertised, groups, connections_fit, seats })))
    }

    /// The coordinators of groups.
    pub fn groups(&self) -> &Groups {
        &self.0.groups
    }

    /// What every shard has counted. Waits for ever when a shard has stopped.
    pub async fn reports(&self) -> Vec<FrontReport> {
        let asks = self.0.seats.iter().map(async |seat| {
            let (reply, answer) = oneshot::channel();
            let _ = seat.sender.send(ToShard::Report(reply)).await;
            answer.await.ok()
        });
        join_all(asks).await.into_iter().flatten().collect()
    }
}

impl Front for KafkaFront {
    async fn run(self, shard: Local) {
        let refused = Rc::new(Cell::new(0));
        let accepting = (shard.index() == 0)
            .then(|| reactor::spawn(Queue::Net, accept(self.0.clone(), shard.clone(), refused.clone())));
        self.0.serve(shard, &refused).await;
        if let Some(accepting) = accepting {
            accepting.cancel().await;
        }
    }
}

async fn accept(shared: Arc<Shared>, shard: Local, refused: Rc<Cell<u64>>) {
    let note_refusal = |peer: SocketAddr, why| {
        refused.set(refused.get() + 1);
        tracing::warn!(%peer, why, "connection refused");
    };
    // A second descriptor of the listener: what it is does not matter.
    let mut put_by = shared.listener.try_clone().ok();
    loop {
        match shared.listener.accept() {
            Ok((stream, peer)) => {
                if let Err(error) = stream.set_nonblocking(true) {
                    tracing::warn!(%peer, %error, "connection refused");
                    continue;
                }
                let dynamic = shard.handle().settings();
                let dynamic = dynamic.dynamic.get("max.connections").and_then(|most| most.parse().ok());
                let most = dynamic.unwrap_or(shared.config.connections_max);
                if let Err(why) = shared.hand_over(stream.into(), peer, most).await {
                    note_refusal(peer, why);
                }
                // Whoever is connected goes on while many come.
                reactor::yield_if_needed().await;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if let Err(error) = shard.sockets().readable(shared.listener.as_fd()).await {
                    tracing::error!(%error, "the listener can not be waited for: no connection is accepted any more");
                    return;
                }
            }
            Err(error)
                if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted) => {}
            Err(error) if is_out_of_descriptors(&error) => {
                drop(put_by.take());
                let accepted = shared.listener.accept();
                // Who was faster has the descriptor: the connection waits.
                let peer = accepted.as_ref().ok().map(|(_, peer)| *peer);
                drop(accepted);
                put_by = shared.listener.try_clone().ok();
                match peer {
                    Some(peer) => note_refusal(peer, "there is no descriptor left"),
                    None => reactor::sleep(ACCEPT_PAUSE).await,
                }
                reactor::yield_if_needed().await;
            }
            Err(error) => {
                tracing::warn!(%error, "accepting a connection failed");
                reactor::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

impl Shared {
    /// Gives the connection to the shard with the fewest, or says why it is refused when there are `most`
    /// already, or too many for the others.
    async fn hand_over(&self, socket: OwnedFd, peer: SocketAddr, most: usize) -> Result<(), &'static str> {
        let connections: usize = self.seats.iter().map(Seat::connections).sum();
        if connections >= most {
            return Err("max.connections is reached");
        }
        if connections >= self.connections_fit {
            return Err("files need the descriptors that are left");
        }
        let seat = self.seats.iter().min_by_key(|seat| seat.connections()).expect("an engine has a shard");
        // The channel is open as long as we hold its other end.
        let accepted = Accepted { socket, peer, load: seat.load.clone() };
        let _ = seat.sender.send(ToShard::Serve(accepted)).await;
        Ok(())
    }

    /// Serves one shard's connections until the engine stops.
    async fn serve(&self, shard: Local, refused: &Cell<u64>) {
        let (meta, HostPort { host, port }) = (shard.handle().meta(), self.advertised.clone());
        let me = Node { id: meta.node_id, host, port, rack: self.config.rack.clone() };
        let broker = Rc::new(Broker {
            shard: shard.clone(),
            engine: shard.handle().clone(),
            cluster: Rc::new(ClusterView::standalone(meta.cluster_id, me)),
            config: self.config.clone(),
            groups: self.groups.clone(),
            requests: RequestCounters::default(),
            room: Room::of_shard(shard.shards()),
        });
        let coordinating = reactor::spawn(Queue::Net, self.groups.clone().run(shard.clone()));
        let connections = Rc::new(RefCell::new(HashMap::<u64, Rc<Connection>>::new()));
        let idle = self.config.connection_idle;
        let sweeping = reactor::spawn(Queue::Net, sweep(connections.clone(), idle));
        let mut tasks = FuturesUnordered::new();
        let mut accepted = pin!(self.seats[shard.index()].receiver.clone());
        let mut stopped = pin!(shard.stopped().fuse());
        let mut number = 0;
        loop {
            select_biased! {
                _ = stopped => break,
                _ = tasks.select_next_some() => {}
                next = accepted.select_next_some() => {
                    let Accepted { socket, peer, load } = match next {
                        ToShard::Serve(accepted) => accepted,
                        ToShard::Report(reply) => {
                            let _ = reply.send(FrontReport {
                                connections: connections.borrow().len() as u64,
                                accepted: number,
                                refused: refused.get(),
                                requests: broker.requests.get(),
                            });
                            continue;
                        }
                    };
                    let connection = Rc::new(Connection::new(socket, peer));
                    number += 1;
                    connections.borrow_mut().insert(number, connection.clone());
                    let (broker, connections) = (broker.clone(), connections.clone());
                    tasks.push(reactor::spawn(Queue::Net, async move {
                        connection.serve(broker).await;
                        connections.borrow_mut().remove(&number);
                        drop(load);
                    }));
                }
            }
        }
        sweeping.cancel().await;
        let all = || connections.borrow().values().cloned().collect::<Vec<_>>();
        all().iter().for_each(|connection| connection.stop_reading("the broker stops"));
        let drain = async { while tasks.next().await.is_some() {} };
        let in_time = reactor::with_timeout(STOP_GRACE, drain).await;
        if in_time.is_none() {
            all().iter().for_each(|connection| connection.cut("the broker stops"));
            while tasks.next().await.is_some() {}
        }
        coordinating.cancel().await;
    }
}

/// Cuts connections that have been silent for `idle`, a tenth of it late at most.
async fn sweep(connections: Rc<RefCell<HashMap<u64, Rc<Connection>>>>, idle: Duration) {
    loop {
        reactor::sleep((idle / 10).clamp(Duration::from_millis(10), Duration::from_secs(10))).await;
        let now = Instant::now();
        for connection in connections.borrow().values() {
            if now.saturating_duration_since(connection.active()) > idle {
                connection.cut("it was silent for connections.max.idle.ms");
            }
        }
    }
}
