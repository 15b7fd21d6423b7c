//! The Kafka front: from bytes to requests, and back to bytes in the order of the requests. What a request
//! means is [`crate::dispatch`]'s to say, what a connection is [`crate::net`]'s.
//!
//! ```text
//! net::Connection > connection: reader: bytes > frame > queue of answers to be  (bounded)
//!                               writer:                 queue > bytes, file ranges > net::Transport
//! ```

mod connection;
mod frame;
mod queue;

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use futures_util::future::join;
use strandline_engine::reactor::{self, Queue};
use strandline_engine::{Front, Local};
use strandline_protocol::wire::ApiKey;

use crate::authorization::Authorizer;
use crate::broker::Broker;
use crate::cluster::{ClusterView, Endpoint, Node};
use crate::config::BrokerConfig;
use crate::counters::{RequestCounters, RequestStats};
use crate::groups::Groups;
use crate::in_process::InProcess;
use crate::jwks::TokenKeys;
use crate::net::{Connection, Keys, Listeners, Protocol, Report, Transport};
use crate::quotas::{Quotas, Used};
use crate::room::Room;
use crate::share::Shares;
use crate::strangers::Strangers;
use crate::transactions::{Confirmed, Transactions};

/// What a shard counts of its requests, by API.
pub type RequestCounts = BTreeMap<ApiKey, RequestStats>;

/// The Kafka protocol as a front of the engine.
#[derive(Clone)]
pub struct KafkaFront(Arc<Shared>);

struct Shared {
    listeners: Listeners<RequestCounts>,
    endpoints: Vec<Endpoint>,
    config: Arc<BrokerConfig>,
    keys: Arc<Keys>,
    tokens: TokenKeys,
    groups: Groups,
    transactions: Transactions,
    shares: Shares,
    used: Used,
    in_process: InProcess,
}

impl KafkaFront {
    /// A front for so many shards. The endpoints are where clients of each listener are told to connect to;
    /// `used` is what they have used of their quotas.
    pub fn new(
        listeners: Listeners<RequestCounts>,
        endpoints: Vec<Endpoint>,
        config: Arc<BrokerConfig>,
        (keys, tokens): (Arc<Keys>, TokenKeys),
        used: Used,
        shards: usize,
    ) -> KafkaFront {
        let groups = Groups::new((&*config).into(), shards);
        let transactions = Transactions::new(&(&*config).into(), shards);
        let shares = Shares::new(&(&*config).into(), shards);
        let in_process = InProcess::new(shards);
        let shared = Shared {
            listeners,
            endpoints,
            config,
            keys,
            tokens,
            groups,
            transactions,
            shares,
            used,
            in_process,
        };
        KafkaFront(Arc::new(shared))
    }

    /// The coordinators of groups.
    pub fn groups(&self) -> &Groups {
        &self.0.groups
    }

    /// The coordinators of transactions.
    pub fn transactions(&self) -> &Transactions {
        &self.0.transactions
    }

    /// Share groups.
    pub fn shares(&self) -> &Shares {
        &self.0.shares
    }

    /// The way by which other threads of the process ask the shards.
    pub fn in_process(&self) -> &InProcess {
        &self.0.in_process
    }

    /// The keys of the listeners.
    pub fn keys(&self) -> &Arc<Keys> {
        &self.0.keys
    }

    /// The keys of the tokens that listeners take.
    pub fn tokens(&self) -> &TokenKeys {
        &self.0.tokens
    }

    /// What every shard has counted. Waits for ever when a shard has stopped.
    pub async fn reports(&self) -> Vec<Report<RequestCounts>> {
        self.0.listeners.reports().await
    }

    /// What serves the connections of a shard, on its thread.
    pub fn on_shard(&self, shard: &Local) -> KafkaProtocol {
        let Shared { endpoints, config, keys, tokens, groups, transactions, shares, used, .. } = &*self.0;
        let meta = shard.handle().meta();
        let me = Node { id: meta.node_id, rack: config.rack.clone(), endpoints: endpoints.clone() };
        KafkaProtocol(Rc::new(Broker {
            shard: shard.clone(),
            engine: shard.handle().clone(),
            cluster: Rc::new(ClusterView::standalone(meta.cluster_id, me)),
            config: config.clone(),
            keys: keys.clone(),
            tokens: tokens.clone(),
            groups: groups.clone(),
            transactions: transactions.clone(),
            confirmed: Confirmed::default(),
            shares: shares.on_shard(shard),
            authorizer: Authorizer::new(config.authorizer.clone()),
            quotas: Quotas::new(used.clone()),
            requests: RequestCounters::default(),
            room: Room::of_shard(shard.shards()),
            strangers: Strangers::default(),
        }))
    }
}

impl Front for KafkaFront {
    async fn run(self, shard: Local) {
        let protocol = Rc::new(self.on_shard(&shard));
        let groups = reactor::spawn(Queue::Net, self.groups().clone().run(shard.clone()));
        let transactions = self.transactions().clone().run(shard.clone(), self.groups().clone());
        let transactions = reactor::spawn(Queue::Net, transactions);
        let shares =
            reactor::spawn(Queue::Net, self.shares().clone().run(shard.clone(), self.0.config.clone()));
        let of_process = self.0.in_process.serve(protocol.0.clone());
        join(self.0.listeners.serve(&shard, protocol), of_process).await;
        shares.cancel().await;
        transactions.cancel().await;
        groups.cancel().await;
    }
}

/// What the Kafka front does with a shard's connections.
pub struct KafkaProtocol(Rc<Broker>);

impl Protocol for KafkaProtocol {
    type Counts = RequestCounts;

    async fn serve<T: Transport>(self: Rc<Self>, connection: Rc<Connection<T>>) {
        connection::serve(&connection, &self.0).await;
    }

    fn counts(&self) -> RequestCounts {
        self.0.requests.get()
    }
}
