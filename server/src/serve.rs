//! A broker in a process: the listeners, the engine with its fronts, and what both have to say.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_executor::block_on;
use rustix::process::{Resource, getrlimit};
use strandline_engine::config::{EngineConfig, TopicConfig};
use strandline_engine::error::StartError;
use strandline_engine::reactor::Chosen;
use strandline_engine::{Engine, Front, Handle, NoFront, RecoveryReport, ShardStats, StopError, Watch};

use crate::cluster::Endpoint;
use crate::config::{Advertised, BrokerConfig, HostPort, ListenerConfig};
use crate::descriptors::{Descriptors, TooFew};
use crate::fronts::http::{HttpFront, Pages, Started, Surroundings};
use crate::fronts::kafka::KafkaFront;
use crate::fronts::mqtt::{self, MqttFront};
use crate::in_process::InProcess;
use crate::jwks::{self, TokenKeys};
use crate::metrics::{self, Sources};
use crate::net::{
    Inherited, InheritedError, Keys, KeysError, Listener, Listeners, Seats, Watch as KeyWatch, bind,
};
use crate::quotas::{Used, Windows};

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
    /// The sockets that the process was started with are not those of its listeners.
    #[error(transparent)]
    Inherited(#[from] InheritedError),
    /// The keys of a listener cannot be used.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// The keys of the tokens that a listener takes cannot be used.
    #[error(transparent)]
    TokenKeys(#[from] jwks::TokenKeysError),
    /// No thread can be started that looks after the keys.
    #[error("no thread can be started for the keys of listeners: {0}")]
    KeyWatch(io::Error),
    /// The limit on open files is too small.
    #[error(transparent)]
    Descriptors(#[from] TooFew),
    /// The engine did not start.
    #[error(transparent)]
    Engine(#[from] StartError),
}

/// The name of the HTTP front's socket, where a supervisor hands it over.
const HTTP: &str = "http";

/// The name of the MQTT front's socket, where a supervisor hands it over.
const MQTT: &str = "mqtt";

/// The name of the socket that metrics are answered on, where a supervisor hands it over.
const METRICS: &str = "metrics";

/// A running broker.
pub struct Server {
    engine: Engine,
    listeners: Vec<Listening>,
    http: Option<HttpFront>,
    mqtt: Option<SocketAddr>,
    metrics: Option<metrics::Endpoint>,
    pages: metrics::Pages,
    descriptors: Descriptors,
    keys: KeyWatch,
}

/// A listener of a running broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listening {
    /// Its name.
    pub name: Arc<str>,
    /// Where it listens.
    pub address: SocketAddr,
    /// Where its clients are told to connect to, if anywhere.
    pub advertised: Option<HostPort>,
}

impl Server {
    /// Binds the listeners, then recovers the data directory and serves it. Returns when clients can connect.
    ///
    /// `shards` is by default the number of cores.
    ///
    /// # Errors
    /// [`ServeError`]; nothing was started then.
    pub fn start(config: BrokerConfig, shards: Option<usize>) -> Result<Server, ServeError> {
        Server::start_beside(config, shards, NoFront)
    }

    /// The same by sockets that are bound already; listeners for which there is none are bound.
    ///
    /// # Errors
    /// [`ServeError`]; nothing was started then.
    pub fn start_on(
        config: BrokerConfig,
        shards: Option<usize>,
        inherited: Inherited,
    ) -> Result<Server, ServeError> {
        Server::start_all(config, shards, inherited, NoFront)
    }

    /// The same with another front beside Kafka's, on the same engine. Both end their work together.
    ///
    /// # Errors
    /// [`ServeError`]; nothing was started then.
    pub fn start_beside(
        config: BrokerConfig,
        shards: Option<usize>,
        other: impl Front,
    ) -> Result<Server, ServeError> {
        Server::start_all(config, shards, Inherited::default(), other)
    }

    fn start_all(
        config: BrokerConfig,
        shards: Option<usize>,
        mut inherited: Inherited,
        other: impl Front,
    ) -> Result<Server, ServeError> {
        let engine_config = engine_config(&config, shards);
        let limit = getrlimit(Resource::Nofile).current;
        let shards = engine_config.shards;
        let descriptors = Descriptors::share_out(
            limit,
            shards.max(1),
            config.listeners.len() + usize::from(config.http.is_some()) + usize::from(config.mqtt.is_some()),
        )?;
        let engine_config = EngineConfig { open_files_max: descriptors.segments, ..engine_config };
        let config = Arc::new(config);
        let keys = Keys::open(&config)?;
        let tokens = TokenKeys::open(&config)?;
        let bound = config.listeners.iter().map(|listener| listen(listener, &keys, &mut inherited));
        let (sockets, listeners): (Vec<_>, Vec<_>) =
            bound.collect::<Result<Vec<_>, _>>()?.into_iter().unzip();
        let pages = metrics::Pages::new();
        // Before recovery: whoever supervises us sees that it runs.
        let metrics = config.metrics_listen.as_ref().map(|place| {
            let refused = |source| ServeError::Listen { place: place.clone(), source };
            let socket = inherited.take(METRICS, place).map_or_else(|| bind(place), Ok).map_err(refused)?;
            metrics::Endpoint::start(socket, descriptors.metrics, pages.clone()).map_err(refused)
        });
        let metrics = metrics.transpose()?;
        let http = config.http.as_ref().map(|(place, listener)| {
            let refused = |source| ServeError::Listen { place: place.clone(), source };
            let socket = inherited.take(HTTP, place).map_or_else(|| bind(place), Ok).map_err(refused)?;
            Ok::<_, ServeError>((socket, place.clone(), listener.clone()))
        });
        let http = http.transpose()?;
        let mqtt = listen_for_mqtt(&config, &keys, &mut inherited)?;
        inherited.all_taken()?;
        let fit = descriptors.connections;
        let most = config.whole("max.connections");
        if config.set_value("max.connections").is_some() && most > fit as i64 {
            tracing::warn!(
                limit = descriptors.limit,
                "max.connections is {most}, but no more than {fit} are taken: files need the other descriptors"
            );
        }
        let seats = Seats::new(fit, shards);
        let endpoints = listeners.iter().filter_map(endpoint).collect();
        let [windows, of_changes] = config.quota_windows().map(Windows::of);
        let used = Used::new(windows, of_changes);
        let kafka = Listeners::new(sockets, config.clone(), seats.clone(), used.clone(), shards);
        let kafka =
            KafkaFront::new(kafka, endpoints, config.clone(), (keys.clone(), tokens), used.clone(), shards);
        let mqtt_address = mqtt.as_ref().map(|(_, address)| *address);
        let mqtt = mqtt.map(|(listener, _)| {
            Listeners::new(vec![listener], config.clone(), seats.clone(), used.clone(), shards)
        });
        let mqtt = mqtt.and_then(|listeners| mqtt_front(listeners, &config, kafka.in_process(), shards));
        let http = http.map(|(socket, place, listener)| {
            let surroundings = Surroundings {
                config: config.clone(),
                listener,
                keys: keys.clone(),
                tokens: kafka.tokens().clone(),
                seats,
                used,
                in_process: kafka.in_process().clone(),
                groups: kafka.groups().clone(),
                pages: page_maker(pages.clone()),
            };
            let front = HttpFront::start(socket, surroundings);
            front.map_err(|source| ServeError::Listen { place, source })
        });
        let http = http.transpose()?;
        let engine = Engine::start(engine_config, (kafka.clone(), (mqtt.unwrap_or_default(), other)))?;
        let keys = KeyWatch::start(keys, engine.handle().clone()).map_err(ServeError::KeyWatch)?;
        if let Some(http) = &http {
            let reactor = engine.reactor().clone();
            let (engine, recovery) = (engine.handle().clone(), engine.recovery());
            http.serve(Started { engine, recovery, reactor });
        }
        {
            let (handle, recovery) = (engine.handle().clone(), engine.recovery());
            let (reactor, data_dir) = (engine.reactor().clone(), config.data_dir.clone());
            pages.serve(Sources { handle, front: kafka, recovery, reactor, data_dir });
        }
        Ok(Server { engine, listeners, http, mqtt: mqtt_address, metrics, pages, descriptors, keys })
    }

    /// Its listeners, in the order of the settings; there is at least one.
    pub fn listeners(&self) -> &[Listening] {
        &self.listeners
    }

    /// Where metrics and health are answered, if anywhere.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics.as_ref().map(metrics::Endpoint::address)
    }

    /// Where the HTTP front answers, if anywhere: a scheme and an address.
    pub fn http_address(&self) -> Option<(&'static str, SocketAddr)> {
        self.http.as_ref().map(|http| (http.scheme(), http.address()))
    }

    /// Where the MQTT front answers, if anywhere.
    pub fn mqtt_address(&self) -> Option<SocketAddr> {
        self.mqtt
    }

    /// How descriptors are shared out.
    pub fn descriptors(&self) -> Descriptors {
        self.descriptors
    }

    /// Whether a listener has TLS.
    pub fn has_keys(&self) -> bool {
        self.keys.is_needed()
    }

    /// Has the keys of all listeners read anew soon.
    pub fn renew_keys(&self) {
        self.keys.renew();
    }

    /// The engine.
    pub fn handle(&self) -> &Handle {
        self.engine.handle()
    }

    /// What the shards' threads run on.
    pub fn reactor(&self) -> &Chosen {
        self.engine.reactor()
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
        self.pages.fail(shard);
        self.engine.stop()
    }

    /// Answers what is under way, syncs everything, stops. Gives the counters of all shards together.
    ///
    /// # Errors
    /// [`StopError`]. Nothing that was acknowledged is lost: the next start recovers it.
    pub fn stop(self) -> Result<ShardStats, StopError> {
        self.pages.stop();
        // What it has asked is answered while the shards still are.
        drop(self.http);
        let stats = ShardStats::sum(&block_on(self.engine.handle().stats()));
        self.engine.stop()?;
        Ok(stats)
    }
}

/// Makes pages for the HTTP front.
fn page_maker(pages: metrics::Pages) -> Pages {
    Arc::new(move |path| pages.page(path))
}

/// The socket of the MQTT front, and where it listens, if anywhere.
fn listen_for_mqtt(
    config: &BrokerConfig,
    keys: &Keys,
    inherited: &mut Inherited,
) -> Result<Option<(Listener, SocketAddr)>, ServeError> {
    let Some(mqtt) = &config.mqtt else { return Ok(None) };
    let refused = |source| ServeError::Listen { place: mqtt.listen.clone(), source };
    let socket = inherited.take(MQTT, &mqtt.listen).map_or_else(|| bind(&mqtt.listen), Ok);
    let socket = socket.map_err(refused)?;
    let address = socket.local_addr().map_err(refused)?;
    let listener = Listener::new(MQTT.into(), socket, keys.of(&mqtt.like).cloned());
    Ok(Some((listener.like(mqtt.like.clone()), address)))
}

fn mqtt_front(
    listeners: Listeners<()>,
    config: &BrokerConfig,
    in_process: &InProcess,
    shards: usize,
) -> Option<MqttFront> {
    let mqtt = config.mqtt.as_ref()?;
    Some(MqttFront::new(mqtt::Surroundings {
        listeners,
        like: mqtt.like.clone(),
        sasl: config.listener(&mqtt.like).and_then(|listener| listener.sasl.clone()),
        has_rules: config.authorizer.is_some(),
        rules: mqtt.rules.clone(),
        in_process: in_process.clone(),
        shards,
    }))
}

/// What the engine is told of the settings.
fn engine_config(config: &BrokerConfig, shards: Option<usize>) -> EngineConfig {
    let mut engine = EngineConfig::new(&config.data_dir);
    engine.shards = shards.unwrap_or(engine.shards);
    engine.node_id = config.node_id;
    engine.cluster_id = config.cluster_id;
    engine.topic_defaults = config.topic_defaults.clone();
    engine.retention_check = config.retention_check;
    engine.cleaner = config.cleaner.clone();
    engine.scrub_bytes_per_second = config.scrub_bytes_per_second;
    engine.background_share = config.background_share;
    engine.reactor = config.reactor;
    engine
}

/// Binds a listener, unless it is already.
fn listen(
    config: &ListenerConfig,
    keys: &Keys,
    inherited: &mut Inherited,
) -> Result<(Listener, Listening), ServeError> {
    let refused = |source| ServeError::Listen { place: config.listen.clone(), source };
    let socket = inherited.take(&config.name, &config.listen);
    let socket = socket.map_or_else(|| bind(&config.listen), Ok).map_err(refused)?;
    let listener = Listener::new(config.name.clone(), socket, keys.of(&config.name).cloned());
    let address = listener.address().map_err(refused)?;
    let listening = Listening { name: config.name.clone(), address, advertised: advertised(config, address) };
    Ok((listener, listening))
}

/// Where clients are told to connect to: what was set, or where we listen, or this machine's name when we
/// listen everywhere.
fn advertised(config: &ListenerConfig, address: SocketAddr) -> Option<HostPort> {
    let mut place = match &config.advertised {
        Advertised::AsBound => config.listen.clone(),
        Advertised::At(place) => place.clone(),
        Advertised::Nowhere => return None,
    };
    if place.is_any() {
        place.host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    }
    if place.port == 0 {
        place.port = address.port();
    }
    Some(place)
}

fn endpoint(listening: &Listening) -> Option<Endpoint> {
    let HostPort { host, port } = listening.advertised.clone()?;
    Some(Endpoint { listener: listening.name.clone(), host, port })
}
