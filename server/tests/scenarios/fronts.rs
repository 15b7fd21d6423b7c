//! What fronts share: several listeners of one front, several fronts on one engine, and transports that are
//! no socket.

use std::cell::{Cell, RefCell};
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use async_channel::{Receiver, Sender};
use bytes::{Buf, Bytes, BytesMut};
use futures_executor::block_on;
use futures_util::future::{Either, select};
use strandline::config::{BrokerConfig, Settings};
use strandline::fronts::kafka::KafkaFront;
use strandline::jwks::TokenKeys;
use strandline::net::{Connection, Keys, Listener, Listeners, Origin, Protocol, Seats, Transport, bind};
use strandline::quotas::Used;
use strandline::serve::{Listening, Server};
use strandline_engine::config::EngineConfig;
use strandline_engine::reactor;
use strandline_engine::types::{Offset, PartitionId};
use strandline_engine::{Engine, Front, Local, ReadRequest, Reader};
use strandline_protocol::messages::*;
use strandline_protocol::wire::{Encode, ErrorCode};

use crate::broker::data_dir;
use crate::broker_settings::set;
use crate::client::{Client, PATIENCE, batch, fetch, produce, values};
use crate::metrics::get;

fn config(data_dir: &Path, more: &[(&str, &str)]) -> BrokerConfig {
    let data_dir = data_dir.to_str().unwrap();
    let mut settings = Settings::default();
    for (name, value) in [("log.dirs", data_dir), ("listeners", "PLAINTEXT://127.0.0.1:0")].iter().chain(more)
    {
        settings.set(name, value).unwrap();
    }
    BrokerConfig::resolve(settings).unwrap()
}

/// A client that comes from an address of its own.
fn connect_from(address: [u8; 4], to: SocketAddr) -> TcpStream {
    use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
    let client = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    bind(&client, &SocketAddr::from((address, 0))).unwrap();
    connect(&client, &to).unwrap();
    client.into()
}

/// The size of an answer, or 0 when the connection was closed instead.
fn asked(mut stream: &TcpStream) -> usize {
    let request = ApiVersionsRequest {
        client_software_name: "test".to_owned(),
        client_software_version: "1".to_owned(),
    };
    // It may be closed already.
    let _ = stream.write_all(&frame(4, &request));
    let mut size = [0; 4];
    stream.read_exact(&mut size).map_or(0, |()| u32::from_be_bytes(size) as usize)
}

fn frame<M: Request + Encode>(version: i16, request: &M) -> Bytes {
    encode_request(version, 7, Some("scenarios"), request).unwrap()
}

#[test]
fn a_client_is_told_the_addresses_of_the_listener_that_it_came_in_by() {
    let dir = data_dir();
    let config = config(
        dir.path(),
        &[
            ("listeners", "IN://127.0.0.1:0,OUT://127.0.0.1:0"),
            ("listener.security.protocol.map", "IN:PLAINTEXT,OUT:PLAINTEXT"),
            ("advertised.listeners", "IN://127.0.0.1:0,out://far.example:1234"),
        ],
    );
    let server = Server::start(config, Some(2)).unwrap();
    let [inside, outside] = server.listeners() else { panic!("two listeners") };
    let told = [("127.0.0.1".to_owned(), i32::from(inside.address.port())), ("far.example".to_owned(), 1234)];
    for (listening, told) in [inside, outside].into_iter().zip(told) {
        let mut client = Client::connect(listening.address);
        let metadata = client.call(12, &MetadataRequest::default());
        let brokers: Vec<_> = metadata.brokers.into_iter().map(|broker| (broker.host, broker.port)).collect();
        assert_eq!(brokers, std::slice::from_ref(&told), "Metadata");
        let cluster = client.call(2, &DescribeClusterRequest::default());
        let brokers: Vec<_> = cluster.brokers.into_iter().map(|broker| (broker.host, broker.port)).collect();
        assert_eq!(brokers, std::slice::from_ref(&told), "DescribeCluster");
        let keys = vec!["group".to_owned()];
        let request = FindCoordinatorRequest { coordinator_keys: keys, ..Default::default() };
        let coordinator = client.call(4, &request).coordinators.remove(0);
        assert_eq!((coordinator.host, coordinator.port), told, "FindCoordinator from 4");
        let request = FindCoordinatorRequest { key: "group".to_owned(), ..Default::default() };
        let coordinator = client.call(3, &request);
        assert_eq!((coordinator.host, coordinator.port), told, "FindCoordinator to 3");
    }
    let quorum = Client::connect(inside.address).call(2, &DescribeQuorumRequest::default());
    let names: Vec<_> = quorum.nodes[0].listeners.iter().map(|listener| listener.name.as_str()).collect();
    assert_eq!(names, ["IN", "OUT"]);
    // Records come in by one and go out by the other.
    let mut client = Client::connect(inside.address);
    client.create("t", 1, &[]);
    assert_eq!(client.produce("t", 0, batch(&["a"])).error_code, 0);
    assert_eq!(Client::connect(outside.address).read_all("t", 0, 0), [(0, "a".to_owned())]);
    server.stop().unwrap();
}

#[test]
fn a_listener_that_is_not_advertised_is_open_and_its_clients_are_told_of_no_broker() {
    let dir = data_dir();
    let config = config(
        dir.path(),
        &[
            ("listeners", "IN://127.0.0.1:0,OUT://127.0.0.1:0"),
            ("listener.security.protocol.map", "IN:PLAINTEXT,OUT:PLAINTEXT"),
            ("advertised.listeners", "IN://near.example:7"),
        ],
    );
    let server = Server::start(config, Some(1)).unwrap();
    let [inside, outside] = server.listeners() else { panic!("two listeners") };
    let told = |listening: &Listening| {
        let mut client = Client::connect(listening.address);
        let metadata = client.call(12, &MetadataRequest::default());
        let cluster = client.call(2, &DescribeClusterRequest::default());
        let request = FindCoordinatorRequest { key: "group".to_owned(), ..Default::default() };
        let coordinator = client.call(3, &request);
        (metadata.brokers.len(), cluster.brokers.len(), coordinator.error_code)
    };
    assert_eq!(told(inside), (1, 1, ErrorCode::None.code()));
    assert_eq!(told(outside), (0, 0, ErrorCode::CoordinatorNotAvailable.code()));
    assert_eq!(outside.advertised, None);
    server.stop().unwrap();
}

#[test]
fn a_listener_and_an_address_have_limits_of_their_own() {
    let dir = data_dir();
    let config = config(
        dir.path(),
        &[
            ("listeners", "IN://127.0.0.1:0,OUT://127.0.0.1:0"),
            ("listener.security.protocol.map", "IN:PLAINTEXT,OUT:PLAINTEXT"),
            ("listener.name.out.max.connections", "2"),
            ("max.connections.per.ip", "3"),
            ("max.connections.per.ip.overrides", "127.0.0.3:1"),
        ],
    );
    let server = Server::start(config, Some(2)).unwrap();
    let [inside, outside] = server.listeners() else { panic!("two listeners") };
    let admitted = |address, to, count: usize| -> Vec<TcpStream> {
        let clients = (0..count).map(|_| connect_from(address, to)).collect::<Vec<_>>();
        clients.into_iter().filter(|client| asked(client) > 0).collect()
    };
    let mut outer = admitted([127, 0, 0, 1], outside.address, 4);
    assert_eq!(outer.len(), 2, "listener.name.out.max.connections");
    assert_eq!(admitted([127, 0, 0, 2], inside.address, 5).len(), 3, "max.connections.per.ip");
    assert_eq!(admitted([127, 0, 0, 3], inside.address, 3).len(), 1, "max.connections.per.ip.overrides");
    // Two of the address are outside.
    assert_eq!(admitted([127, 0, 0, 1], inside.address, 3).len(), 1, "of all listeners together");
    outer.pop();
    let began = Instant::now();
    while admitted([127, 0, 0, 4], outside.address, 1).is_empty() {
        assert!(began.elapsed() < PATIENCE, "the seat of who has gone stays taken");
    }
    server.stop().unwrap();
}

#[test]
fn connections_that_come_too_fast_are_accepted_later_and_none_is_refused() {
    let dir = data_dir();
    let more = [
        ("listeners", "IN://127.0.0.1:0,OUT://127.0.0.1:0"),
        ("listener.security.protocol.map", "IN:PLAINTEXT,OUT:PLAINTEXT"),
        ("listener.name.out.max.connection.creation.rate", "3"),
        ("quota.window.num", "2"),
        ("metrics.listen", "127.0.0.1:0"),
    ];
    let server = Server::start(config(dir.path(), &more), Some(2)).unwrap();
    let metrics = server.metrics_address().unwrap();
    let [inside, outside] = [0, 1].map(|at| server.listeners()[at].address);
    let mut client = Client::connect(inside);
    let come = |to: SocketAddr, count: usize| {
        std::thread::spawn(move || {
            let began = Instant::now();
            let clients: Vec<_> = (0..count).map(|_| TcpStream::connect(to).unwrap()).collect();
            assert!(clients.iter().all(|client| asked(client) > 0), "one is refused");
            began.elapsed()
        })
    };
    let at_once = Duration::from_secs(1);
    let late = come(outside, 8);
    assert!(asked(&TcpStream::connect(inside).unwrap()) > 0);
    assert!(!late.is_finished(), "another listener is not held up");
    assert!(late.join().unwrap() > at_once, "listener.name.out.max.connection.creation.rate");
    let delayed = get(metrics, "/metrics").1;
    assert!(delayed.contains("strandline_connections_delayed_seconds_total{listener=\"OUT\"}"), "{delayed}");
    assert!(
        delayed.contains("strandline_connections_delayed_seconds_total{listener=\"IN\"} 0\n"),
        "{delayed}"
    );

    set(&mut client, "", "max.connection.creation.rate", "2");
    assert!(come(inside, 6).join().unwrap() > at_once, "max.connection.creation.rate");
    let unlimited = i32::MAX.to_string();
    set(&mut client, "", "max.connection.creation.rate", &unlimited);
    set(&mut client, "1", "listener.name.out.max.connection.creation.rate", &unlimited);
    let soon = [inside, outside].map(|to| come(to, 60));
    for took in soon.map(|come| come.join().unwrap()) {
        // They would take 20 seconds.
        assert!(took < Duration::from_secs(10), "{took:?}");
    }
    server.stop().unwrap();
}

// ---- a second front ---------------------------------------------------------------------------------------

/// A front without sockets: it does what it is told over a channel.
#[derive(Clone)]
struct MemoryFront {
    told: Receiver<Told>,
    /// Tells when its work on a shard is done.
    ended: mpsc::Sender<usize>,
}

/// What it is told. Each answer is the values from an offset on.
enum Told {
    Append(&'static str, mpsc::Sender<Vec<(i64, String)>>),
    /// When there are records.
    Read(i64, mpsc::Sender<Vec<(i64, String)>>),
}

fn the_partition(shard: &Local) -> PartitionId {
    PartitionId::new(shard.topics().by_name("t").expect("it was created").id, 0)
}

async fn append(shard: &Local, value: &str) -> Vec<(i64, String)> {
    let pending = shard.append(the_partition(shard), batch(&[value])).await.unwrap();
    let offset = pending.settled().await.unwrap().base_offset;
    vec![(offset.get(), value.to_owned())]
}

async fn read(shard: &Local, offset: i64) -> Vec<(i64, String)> {
    let (partition, offset) = (the_partition(shard), Offset::new(offset));
    loop {
        let result = shard.read(&[ReadRequest::new(partition, offset, 1 << 20)]).await.remove(0).unwrap();
        if let Some(range) = result.batches {
            return values(&shard.copy(&range).await.unwrap());
        }
        shard.wait(Reader::default(), &[(partition, offset)]).await;
    }
}

impl Front for MemoryFront {
    async fn run(self, shard: Local) {
        loop {
            match select(std::pin::pin!(self.told.recv()), std::pin::pin!(shard.stopped())).await {
                Either::Left((Ok(Told::Append(value, answer)), _)) => {
                    answer.send(append(&shard, value).await).unwrap();
                }
                Either::Left((Ok(Told::Read(offset, answer)), _)) => {
                    answer.send(read(&shard, offset).await).unwrap();
                }
                Either::Left((Err(_), _)) | Either::Right(_) => break,
            }
        }
        let _ = self.ended.send(shard.index());
    }
}

#[test]
fn two_fronts_on_one_engine_append_to_and_read_the_same_partition_and_end_together() {
    let dir = data_dir();
    let (tell, told) = async_channel::unbounded();
    let (ended, ends) = mpsc::channel();
    let front = MemoryFront { told, ended };
    let server = Server::start_beside(config(dir.path(), &[]), Some(2), front).unwrap();
    let ask = |told: fn(mpsc::Sender<_>) -> Told| {
        let (answer, answers) = mpsc::channel();
        tell.send_blocking(told(answer)).unwrap();
        answers
    };
    let mut client = Client::connect(server.listeners()[0].address);
    client.create("t", 1, &[]);
    assert_eq!(client.produce("t", 0, batch(&["kafka"])).base_offset, 0);
    assert_eq!(
        ask(|it| Told::Append("memory", it)).recv_timeout(PATIENCE).unwrap(),
        [(1, "memory".to_owned())]
    );
    let both = [(0, "kafka".to_owned()), (1, "memory".to_owned())];
    assert_eq!(client.read_all("t", 0, 0), both);
    assert_eq!(ask(|it| Told::Read(0, it)).recv_timeout(PATIENCE).unwrap(), both);

    // Each waits for what the other appends.
    let waiting = ask(|it| Told::Read(2, it));
    client.produce("t", 0, batch(&["wakes memory"]));
    assert_eq!(waiting.recv_timeout(PATIENCE).unwrap(), [(2, "wakes memory".to_owned())]);
    let mut request = fetch("t", &[(0, 3)]);
    request.max_wait_ms = i32::MAX;
    client.send(12, &request);
    ask(|it| Told::Append("wakes kafka", it)).recv_timeout(PATIENCE).unwrap();
    let (_, response) = FetchResponse::decode(&client.read_frame().unwrap(), 12).unwrap();
    assert_eq!(values(&response.responses[0].partitions[0].records), [(3, "wakes kafka".to_owned())]);

    // What is under way is answered by both when the broker stops.
    request.topics[0].partitions[0].fetch_offset = 4;
    client.send(12, &request);
    client.send(12, &MetadataRequest::default());
    let began = Instant::now();
    let stopping = std::thread::spawn(move || server.stop());
    let (_, response) = FetchResponse::decode(&client.read_frame().unwrap(), 12).unwrap();
    assert_eq!(response.responses[0].partitions[0].error_code, 0);
    let mut shards: Vec<_> = ends.iter().take(2).collect();
    stopping.join().unwrap().unwrap();
    shards.sort_unstable();
    assert_eq!(shards, [0, 1]);
    assert!(began.elapsed() < Duration::from_secs(10), "nobody waited for the other's clients");
}

// ---- the kit under another protocol -----------------------------------------------------------------------

/// A front that sends back what it receives, over listeners of its own.
#[derive(Clone)]
struct EchoFront(Listeners<u64>);

#[derive(Default)]
struct Echo {
    bytes: Cell<u64>,
}

impl Front for EchoFront {
    async fn run(self, shard: Local) {
        self.0.serve(&shard, Rc::new(Echo::default())).await;
    }
}

impl Protocol for Echo {
    type Counts = u64;

    async fn serve<T: Transport>(self: Rc<Self>, connection: Rc<Connection<T>>) {
        loop {
            let (result, mut received) = connection.transport().receive(BytesMut::with_capacity(100)).await;
            if result.is_err() || received.is_empty() {
                break;
            }
            connection.touch();
            self.bytes.set(self.bytes.get() + received.len() as u64);
            if received.starts_with(b"late") {
                // What is owed when the broker stops.
                reactor::sleep(Duration::from_millis(300)).await;
                received.extend_from_slice(b" but sent");
            }
            if connection.transport().send(&received, false).await.is_err() {
                break;
            }
        }
    }

    fn counts(&self) -> u64 {
        self.bytes.get()
    }
}

#[test]
fn any_protocol_has_seats_ends_silent_connections_and_answers_what_it_owes_at_the_stop() {
    let dir = data_dir();
    let shards = 2;
    let settings = [("connections.max.idle.ms", "1000"), ("max.connections", "2")];
    let config = Arc::new(config(dir.path(), &settings));
    let listener = Listener::new("ECHO".into(), bind(&config.listeners[0].listen).unwrap(), None);
    let address = listener.address().unwrap();
    let listeners =
        Listeners::new(vec![listener], config.clone(), Seats::new(10, shards), Used::default(), shards);
    let mut engine = EngineConfig::new(&config.data_dir);
    engine.shards = shards;
    let engine = Engine::start(engine, EchoFront(listeners.clone())).unwrap();
    let echoed = |mut stream: &TcpStream, text: &str| {
        stream.write_all(text.as_bytes()).unwrap();
        let mut answer = vec![0; text.len()];
        stream.read_exact(&mut answer).map(|()| answer == text.as_bytes()).unwrap_or(false)
    };
    let connect = || TcpStream::connect(address).unwrap();
    let (silent, busy) = (connect(), connect());
    assert!(echoed(&silent, "one") && echoed(&busy, "other"));
    assert_eq!(connect().read(&mut [0]).unwrap_or(0), 0, "there are two seats");
    let reports = block_on(listeners.reports());
    let of_each: Vec<_> = reports
        .iter()
        .map(|report| (report.listeners[0].connections, report.listeners[0].accepted))
        .collect();
    assert_eq!(of_each, [(1, 1), (1, 1)], "each shard has one");
    assert_eq!(reports.iter().map(|report| report.listeners[0].refused).sum::<u64>(), 1);
    assert_eq!(reports.iter().map(|report| report.counts).sum::<u64>(), 8);

    let ended = std::thread::spawn(move || (&silent).read(&mut [0]).unwrap_or(0));
    let began = Instant::now();
    while !ended.is_finished() {
        assert!(began.elapsed() < PATIENCE, "a silent connection stays");
        assert!(echoed(&busy, "busy"));
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(ended.join().unwrap(), 0, "it was silent for too long");

    let received = || block_on(listeners.reports()).iter().map(|report| report.counts).sum::<u64>();
    let before = received();
    (&busy).write_all(b"late").unwrap();
    while received() == before {
        std::thread::yield_now();
    }
    let stopping = std::thread::spawn(move || engine.stop());
    let mut rest = String::new();
    (&busy).read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "late but sent");
    stopping.join().unwrap().unwrap();
}

// ---- a transport that is no socket ------------------------------------------------------------------------

/// The broker's end of a connection in memory. Records cannot be sent from their files over it, and what
/// comes in comes in small pieces.
struct Duplex {
    incoming: Receiver<Bytes>,
    /// What has come and was not received.
    come: RefCell<Bytes>,
    has_ended: Cell<bool>,
    outgoing: RefCell<Option<mpsc::Sender<Bytes>>>,
}

/// The client's end.
struct MemoryClient {
    outgoing: Sender<Bytes>,
    incoming: mpsc::Receiver<Bytes>,
    come: BytesMut,
}

/// Bytes that come in at once.
const PIECE_BYTES: usize = 100;

fn duplex() -> (Duplex, MemoryClient) {
    let (to_broker, from_client) = async_channel::bounded(2);
    let (to_client, from_broker) = mpsc::channel();
    let broker = Duplex {
        incoming: from_client,
        come: RefCell::default(),
        has_ended: Cell::new(false),
        outgoing: RefCell::new(Some(to_client)),
    };
    (broker, MemoryClient { outgoing: to_broker, incoming: from_broker, come: BytesMut::new() })
}

impl Transport for Duplex {
    async fn readable(&self) -> io::Result<()> {
        if self.come.borrow().is_empty() && !self.has_ended.get() {
            match self.incoming.recv().await {
                Ok(bytes) => *self.come.borrow_mut() = bytes,
                Err(_) => self.has_ended.set(true),
            }
        }
        Ok(())
    }

    fn receive_ready(&self, buffer: &mut BytesMut) -> io::Result<Option<usize>> {
        let mut come = self.come.borrow_mut();
        if come.is_empty() {
            return Ok(self.has_ended.get().then_some(0));
        }
        let piece = PIECE_BYTES.min(come.len()).min(buffer.capacity() - buffer.len());
        buffer.extend_from_slice(&come[..piece]);
        come.advance(piece);
        Ok(Some(piece))
    }

    async fn send(&self, bytes: &[u8], _: bool) -> io::Result<()> {
        let bytes = Bytes::copy_from_slice(bytes);
        let outgoing = self.outgoing.borrow();
        let sent = outgoing.as_ref().is_some_and(|outgoing| outgoing.send(bytes).is_ok());
        if sent { Ok(()) } else { Err(io::ErrorKind::BrokenPipe.into()) }
    }

    fn end(&self, how: Shutdown) {
        if how != Shutdown::Write {
            self.incoming.close();
        }
        if how != Shutdown::Read {
            drop(self.outgoing.take());
        }
    }
}

impl MemoryClient {
    /// The answer to a request, without its size, and in how many pieces it came.
    fn call(&mut self, request: Bytes) -> (Bytes, usize) {
        self.outgoing.send_blocking(request).unwrap();
        self.read_frame()
    }

    fn read_frame(&mut self) -> (Bytes, usize) {
        let mut pieces = 0;
        loop {
            if let Some(size) = self.come.first_chunk() {
                let size = u32::from_be_bytes(*size) as usize;
                if self.come.len() >= 4 + size {
                    self.come.advance(4);
                    return (self.come.split_to(size).freeze(), pieces);
                }
            }
            self.come.extend_from_slice(&self.incoming.recv_timeout(PATIENCE).unwrap());
            pieces += 1;
        }
    }
}

/// Kafka's protocol over connections that it is handed.
#[derive(Clone)]
struct MemoryKafka {
    kafka: KafkaFront,
    connections: Receiver<Duplex>,
}

impl Front for MemoryKafka {
    async fn run(self, shard: Local) {
        let protocol = Rc::new(self.kafka.on_shard(&shard));
        let serving = async {
            while let Ok(duplex) = self.connections.recv().await {
                let origin = Origin { peer: ([127, 0, 0, 1], 1).into(), listener: Arc::from("PLAINTEXT") };
                protocol.clone().serve(Rc::new(Connection::new(duplex, origin))).await;
            }
        };
        select(std::pin::pin!(serving), std::pin::pin!(shard.stopped())).await;
    }
}

/// The answer to a request over a socket, without its size.
fn call(mut stream: &TcpStream, request: &[u8]) -> Bytes {
    stream.write_all(request).unwrap();
    read_frame(stream)
}

fn read_frame(mut stream: &TcpStream) -> Bytes {
    let mut size = [0; 4];
    stream.read_exact(&mut size).unwrap();
    let mut frame = vec![0; u32::from_be_bytes(size) as usize];
    stream.read_exact(&mut frame).unwrap();
    frame.into()
}

#[test]
fn a_transport_that_cannot_send_files_carries_the_same_bytes_and_so_do_answers_that_leave_together() {
    let dir = data_dir();
    // Nothing is waited for, so that answers that are asked for together are ready together.
    let shards = 1;
    let (connect, connections) = async_channel::unbounded();
    let config = config(dir.path(), &[("fetch.max.bytes", "20000000")]);
    let seats = Seats::new(0, shards);
    let none = Listeners::new(Vec::new(), Arc::new(config.clone()), seats, Used::default(), shards);
    let shared = Arc::new(config.clone());
    let keys = Keys::open(&shared).unwrap();
    let kafka =
        KafkaFront::new(none, Vec::new(), shared, (keys, TokenKeys::default()), Used::default(), shards);
    let front = MemoryKafka { kafka, connections };
    let server = Server::start_beside(config, Some(shards), front).unwrap();
    let mut client = Client::connect(server.listeners()[0].address);
    client.create("t", 3, &[("segment.bytes", "1048576")]);
    let large = "x".repeat(300_000);
    for round in 0..6 {
        for partition in 0..3 {
            let values = [format!("{round} {partition}"), large.clone()];
            let values: Vec<&str> = values.iter().map(String::as_str).collect();
            assert_eq!(client.produce("t", partition, batch(&values)).error_code, 0);
        }
    }
    let small = produce("small", 0, batch(&["a", "b"]), -1);
    client.create("small", 1, &[]);
    client.call(11, &small);
    let (duplex, mut memory) = duplex();
    connect.send_blocking(duplex).unwrap();
    let limited = |bytes| {
        let mut request = fetch("t", &[(0, 1), (1, 0), (2, 4)]);
        request.topics[0].partitions.iter_mut().for_each(|asked| asked.partition_max_bytes = bytes);
        request
    };
    for version in [4, 11, 12] {
        let requests = [
            (limited(50 << 20), true),
            (limited(1), true),
            (fetch("small", &[(0, 0)]), false),
            (fetch("t", &[(0, 12)]), false),
        ];
        for (request, is_long) in requests {
            let request = frame(version, &request);
            let over_socket = call(client.stream(), &request);
            let (in_memory, pieces) = memory.call(request);
            assert!(over_socket == in_memory, "version {version}");
            assert_eq!(pieces > 1, is_long, "records that are many are copied piece by piece");
        }
    }

    let short = frame(0, &ListPartitionReassignmentsRequest::default());
    let long = frame(12, &limited(50 << 20));
    let requests = [&short, &short, &long, &short, &long, &long, &short].map(Bytes::clone);
    let one_by_one: Vec<Bytes> = requests.iter().map(|request| call(client.stream(), request)).collect();
    let together: Bytes = requests.concat().into();
    client.stream().write_all(&together).unwrap();
    assert!(one_by_one.iter().all(|answer| *answer == read_frame(client.stream())));
    memory.outgoing.send_blocking(together).unwrap();
    assert!(one_by_one.iter().all(|answer| *answer == memory.read_frame().0));
    drop(memory);
    server.stop().unwrap();
}
