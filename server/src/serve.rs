//! A broker in a process: the listener, the engine with the Kafka front on it, and what both have to say.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_executor::block_on;
use rustix::process::{Resource, getrlimit};
use strandline_engine::config::{EngineConfig, TopicConfig};
use strandline_engine::error::StartError;
use strandline_engine::{Engine, Handle, RecoveryReport, ShardStats, StopError, Watch};

use crate::config::{BrokerConfig, HostPort};
use crate::descriptors::{Descriptors, TooFew};
use crate::metrics::{Endpoint, Sources};
use crate::net::acceptor::KafkaFront;

/// Why a broker did not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The port is taken, the host is not ours, ...
    #[error("can not listen on {place}: {source}")]
    Listen {
        /// Where.
        place: HostPort,
        /// What the system said.
        source: io::Error,
    },
    /// The limit on open files is too small.
    #[error(transparent)]
    Descriptors(#[from] TooFew),
    /// The engine did not start.
    #[error(transparent)]
    Engine(#[from] StartError),
}

/// A running broker.
pub struct Server {
    engine: Engine,
    address: SocketAddr,
    advertised: HostPort,
    metrics: Option<Endpoint>,
    descriptors: Descriptors,
}

impl Server {
    /// Binds the listeners, then recovers the data directory and serves it. Returns when clients can connect.
    ///
    /// `shards` is by default the number of cores.
    ///
    /// # Errors
    /// [`ServeError`]; nothing was started then.
    pub fn start(config: BrokerConfig, shards: Option<usize>) -> Result<Server, ServeError> {
        let mut engine_config = EngineConfig::new(&config.data_dir);
        engine_config.shards = shards.unwrap_or(engine_config.shards);
        let limit = getrlimit(Resource::Nofile).current;
        let descriptors = Descriptors::share_out(limit, engine_config.shards.max(1))?;
        engine_config.open_files_max = descriptors.segments;
        let listen = config.listen.clone();
        let refused = |source| ServeError::Listen { place: listen.clone(), source };
        let listener = bind(&listen).map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        let advertised = advertised(&config, address);

        engine_config.node_id = config.node_id;
        engine_config.topic_defaults = config.topic_defaults.clone();
        engine_config.retention_check = config.retention_check;
        engine_config.cleaner = config.cleaner.clone();
        engine_config.scrub_bytes_per_second = config.scrub_bytes_per_second;
        engine_config.background_share = config.background_share;
        // Before recovery: whoever supervises us sees that it runs.
        let metrics = config.metrics_listen.as_ref().map(|place| {
            let refused = |source| ServeError::Listen { place: place.clone(), source };
            let socket = bind(place).map_err(refused)?;
            Endpoint::start(socket, descriptors.metrics).map_err(refused)
        });
        let metrics = metrics.transpose()?;
        let (config, shards) = (Arc::new(config), engine_config.shards);
        let seats = descriptors.connections;
        if config.set_value("max.connections").is_some() && config.connections_max > seats {
            tracing::warn!(
                limit = descriptors.limit,
                "max.connections is {}, but no more than {seats} are taken: files need the other descriptors",
                config.connections_max
            );
        }
        let front =
            KafkaFront::new(listener, config.clone(), advertised.clone(), shards, seats).map_err(refused)?;
        let engine = Engine::start(engine_config, front.clone())?;
        if let Some(metrics) = &metrics {
            let (handle, recovery) = (engine.handle().clone(), engine.recovery());
            metrics.serve(Sources { handle, front, recovery, data_dir: config.data_dir.clone() });
        }
        Ok(Server { engine, address, advertised, metrics, descriptors })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where metrics and health are answered, if anywhere.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics.as_ref().map(Endpoint::address)
    }

    /// How descriptors are shared out.
    pub fn descriptors(&self) -> Descriptors {
        self.descriptors
    }

    /// Where clients are told to connect to.
    pub fn advertised(&self) -> &HostPort {
        &self.advertised
    }

    /// The engine.
    pub fn handle(&self) -> &Handle {
        self.engine.handle()
    }

    /// What recovery found, and how long it took.
    pub fn recovery(&self) -> (RecoveryReport, Duration) {
        self.engine.recovery()
    }

    /// When a topic that says nothing itself is durable, in words.
    pub fn durability(&self) -> String {
        let config = TopicConfig::resolve(&self.handle().settings().topic_defaults, &[]);
        match config {
            Ok(config) if !config.is_durable() => format!(
                "RELAXED: acknowledged first, synced after {} records (log.flush.interval.messages) or {} ms \
                 (log.flush.interval.ms)",
                config.flush_messages, config.flush_ms
            ),
            _ => "every record is on disk before it is acknowledged".to_owned(),
        }
    }

    /// Tells when a shard ends by itself: then the broker can not go on.
    pub fn watch(&self) -> Watch {
        self.engine.watch()
    }

    /// Ends a broker of which a shard has ended by itself; whoever asks for its health is told until then.
    /// The other shards answer what is under way, as far as they can.
    ///
    /// # Errors
    /// Always: why the shard has ended.
    pub fn abandon(self, shard: usize) -> Result<(), StopError> {
        if let Some(metrics) = &self.metrics {
            metrics.fail(shard);
        }
        self.engine.stop()
    }

    /// Answers what is under way, syncs everything, stops. Gives the counters of all shards together.
    ///
    /// # Errors
    /// [`StopError`]. Nothing that was acknowledged is lost: the next start recovers it.
    pub fn stop(self) -> Result<ShardStats, StopError> {
        if let Some(metrics) = &self.metrics {
            metrics.stop();
        }
        let stats = ShardStats::sum(&block_on(self.engine.handle().stats()));
        self.engine.stop()?;
        Ok(stats)
    }
}

/// How long a port may be in use. A killed broker's listener is held by its ring, which the kernel takes
/// apart some 10 ms after the process has gone.
const PORT_RELEASE: Duration = Duration::from_secs(2);

fn bind(place: &HostPort) -> io::Result<TcpListener> {
    let host = if place.host.is_empty() { "0.0.0.0" } else { &place.host };
    let give_up = Instant::now() + PORT_RELEASE;
    loop {
        match TcpListener::bind((host, place.port)) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && Instant::now() < give_up => {
                std::thread::sleep(Duration::from_millis(5));
            }
            result => return result,
        }
    }
}

/// Where clients are told to connect to: what was set, or where we listen, or this machine's name when we
/// listen everywhere.
fn advertised(config: &BrokerConfig, address: SocketAddr) -> HostPort {
    let mut place = config.advertised.clone().unwrap_or_else(|| config.listen.clone());
    if place.is_any() {
        place.host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    }
    if place.port == 0 {
        place.port = address.port();
    }
    place
}
