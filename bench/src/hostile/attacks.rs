//! What mean clients send, all of it made before the load starts: a swarm a kind.
//!
//! | kind | what is sent | what it is after |
//! |---|---|---|
//! | bombs | valid batches of one record that unpack to up to 255 MiB, in every codec | memory, the shard's time |
//! | amplify | a name repeated thousands of times, where the answer to one is large | memory, the shard's time |
//! | half-open | nothing, half a frame, half a line of HTTP; the connection stays | seats |
//! | never-reading | many requests with large answers, and no read | memory owed to the peer |
//! | garbage | noise, sizes that lie, cut frames, versions and keys there are none of, mutated requests | the parser; connections |
//! | log-flood | what a broker wants to complain of, on a new connection each | the log and its disk |
//! | idle | nothing, or one ApiVersions; the connection stays | descriptors |
//! | handshakes | the beginning of TLS, whole, cut or with noise after it, on a new connection each | sums of keys on the shard's thread |
//! | rest | records sent and read by REST, each on a connection that stays, as fast as they are answered | the shards' time |
//!
//! Seats and rates are such that one kind asks for a few percent of a core when each of its requests is
//! refused at once, and for many times the machine when each is done as it asks.

use super::swarm::{Attack, Port, Swarm, Then};
use crate::broker::Target;
use crate::client::{CLIENT_ID, Client, ClientError, Topic, refuse};
use crate::clock::{SECOND, now};
use crate::measure::{self, MeasureError};
use crate::schedule::mix;
use bytes::{BufMut, Bytes};
use clap::ValueEnum;
use std::thread;
use std::time::Duration;
use strandline_engine::format::builder::BatchBuilder;
use strandline_engine::format::compression::Codec;
use strandline_engine::types::Timestamp;
use strandline_protocol::messages::{
    ApiVersionsRequest, DescribeConfigsRequest, DescribeConfigsResource, DescribeGroupsRequest,
    DescribeTopicPartitionsRequest, FetchPartition, FetchRequest, FetchTopic, FindCoordinatorRequest,
    JoinGroupRequest, JoinGroupRequestProtocol, MetadataRequest, MetadataRequestTopic, OffsetCommitRequest,
    OffsetCommitRequestPartition, OffsetCommitRequestTopic, OffsetFetchRequest, OffsetFetchRequestGroup,
    PartitionProduceData, ProduceRequest, Request, SyncGroupRequest, SyncGroupRequestAssignment,
    TopicProduceData, TopicRequest, encode_request,
};
use strandline_protocol::wire::{Encode, ErrorCode, Message};

/// Partitions of the topic that bombs and broken batches go to.
const TARGET_PARTITIONS: u32 = 4;
/// How often a name is repeated in a request.
const REPEATED: usize = 2_000;
/// The same for names whose answers are the largest.
const REPEATED_GROUPS: usize = 200;
/// Bytes of a member's metadata, and of its assignment.
const MEMBER_BYTES: usize = 256 << 10;
/// Partitions named in one OffsetCommit.
const COMMITTED_AT_ONCE: usize = 1_000;
/// The longest session timeout that Kafka allows: the group outlives the load without a heartbeat.
const SESSION_MS: i32 = 1_800_000;
/// Requests that one never-reading connection sends.
const UNREAD_REQUESTS: usize = 32;
/// How long a broker may take until it serves a new group.
const COORDINATOR_TIMEOUT: u64 = 60 * SECOND;
/// How long garbage waits for what comes of it.
const PATIENCE: Duration = Duration::from_millis(200);
/// How long a handshake that is given up waits for the broker's half.
const ABANDONED_AFTER: Duration = Duration::from_millis(20);
/// Records of TLS (RFC 8446, 5.1).
const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;
/// The most a batch may be by default (`message.max.bytes`), with room for the header.
const BATCH_BYTES_MAX: usize = 1_000_000;
/// Mutated requests among the garbage.
const MUTATED: usize = 64;
/// Records in one request of REST.
const REST_RECORDS: usize = 100;
/// What bombs are packed with.
const CODECS: [Codec; 4] = [Codec::Zstd, Codec::Gzip, Codec::Lz4, Codec::Snappy];

/// A kind of mean client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// Compression bombs.
    Bombs,
    /// Requests whose answers are thousands of times as large.
    Amplify,
    /// Connections that stop in the middle of a request, on both ports.
    HalfOpen,
    /// Requests with large answers that are never read.
    NeverReading,
    /// What is no request.
    Garbage,
    /// Requests and batches that are worth a line in the log.
    LogFlood,
    /// Connections that say nothing.
    Idle,
    /// Connections that begin TLS and have the broker do its sums for nothing.
    Handshakes,
    /// No mean clients, but as many of REST as it takes to fill the thread of HTTP.
    Rest,
}

impl Kind {
    /// Those that want nothing of a broker but its port.
    pub(crate) const ALWAYS: [Kind; 7] = [
        Kind::Bombs,
        Kind::Amplify,
        Kind::HalfOpen,
        Kind::NeverReading,
        Kind::Garbage,
        Kind::LogFlood,
        Kind::Idle,
    ];

    /// What the command line and tables call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Bombs => "bombs",
            Kind::Amplify => "amplify",
            Kind::HalfOpen => "half-open",
            Kind::NeverReading => "never-reading",
            Kind::Garbage => "garbage",
            Kind::LogFlood => "log-flood",
            Kind::Idle => "idle",
            Kind::Handshakes => "handshakes",
            Kind::Rest => "rest",
        }
    }

    /// Connections at once, and attacks begun a second.
    fn pace(self) -> (usize, f64) {
        match self {
            Kind::Bombs => (64, 64.0),
            Kind::Amplify => (8, 20.0),
            Kind::HalfOpen => (64, 100.0),
            Kind::NeverReading => (64, 64.0),
            Kind::Garbage => (64, 200.0),
            Kind::LogFlood => (32, 400.0),
            Kind::Idle => (500, 250.0),
            Kind::Handshakes => (256, 2_000.0),
            Kind::Rest => (16, 100_000.0),
        }
    }
}

/// Everything that is sent, by kind.
#[derive(Debug)]
pub(crate) struct Armory(Vec<(Kind, Swarm)>);

impl Armory {
    /// Makes on the broker what the kinds need there, and then what they send.
    pub(crate) fn prepare(
        target: &Target,
        wide_partitions: u32,
        kinds: &[Kind],
        bombs: &[Vec<u8>],
    ) -> Result<Armory, MeasureError> {
        let place = Place::prepare(target, wide_partitions, kinds)?;
        let mut client = Client::connect(&target.bootstrap)?;
        let client = &mut client;
        let swarms = kinds.iter().map(|&kind| {
            let attacks = match kind {
                Kind::Bombs => place.bombs(client, bombs)?,
                Kind::Amplify => place.amplify(client)?,
                Kind::HalfOpen => half_open(),
                Kind::NeverReading => place.never_reading(client)?,
                Kind::Garbage => place.garbage(client)?,
                Kind::LogFlood => place.log_flood(client)?,
                Kind::Idle => place.idle(client)?,
                Kind::Handshakes => handshakes(),
                Kind::Rest => place.rest(),
            };
            let (seats, per_second) = kind.pace();
            Ok((kind, Swarm { seats, per_second, attacks }))
        });
        Ok(Armory(swarms.collect::<Result<_, MeasureError>>()?))
    }

    /// What a kind sends.
    pub(crate) fn of(&self, kind: Kind) -> &Swarm {
        let found = self.0.iter().find(|(of, _)| *of == kind);
        &found.expect("every kind that takes part was prepared").1
    }
}

/// Batches of one record that unpack to as much as asked for, or to what the codec can do within
/// `message.max.bytes`.
pub(crate) fn bombs(bytes: usize) -> Vec<Vec<u8>> {
    let bomb = |codec: Codec| {
        let mut bytes = bytes;
        loop {
            let mut builder = BatchBuilder::new(codec);
            builder.push(Timestamp::default(), None, Some(&vec![0; bytes]), &[]);
            let batch = builder.build();
            if batch.len() <= BATCH_BYTES_MAX {
                return batch.to_vec();
            }
            // All of them pack zeros by a constant factor.
            bytes = (bytes as f64 * 0.98 * BATCH_BYTES_MAX as f64 / batch.len() as f64) as usize;
        }
    };
    CODECS.map(bomb).into()
}

/// Most are sound until the broker has answered with its key and its signature.
fn handshakes() -> Vec<Attack> {
    let hello = client_hello(&[0x13, 1]);
    let noise: Vec<u8> = (0..64).map(|at| mix(at) as u8).collect();
    let record = |kind: u8, body: &[u8]| [&[kind, 3, 3, 0, body.len() as u8], body].concat();
    let sent = [
        // It goes once it has the answer.
        (hello.clone(), ABANDONED_AFTER),
        ([&hello[..], &record(HANDSHAKE, &noise)].concat(), PATIENCE),
        ([&hello[..], &record(APPLICATION_DATA, &noise)].concat(), PATIENCE),
        // No cipher that there is; half of it; a record that is no handshake.
        (client_hello(&[0x5a, 0x5a]), PATIENCE),
        (hello[..hello.len() / 2].to_vec(), PATIENCE),
        (record(APPLICATION_DATA, &noise), PATIENCE),
    ];
    sent.map(|(bytes, patience)| Attack { port: Port::Tls, bytes, then: Then::Close(patience) }).into()
}

/// A ClientHello of TLS 1.3 (RFC 8446, 4.1.2) with one cipher. Any 32 bytes are a key of X25519.
fn client_hello(cipher: &[u8; 2]) -> Vec<u8> {
    fn sized(bytes: &[u8]) -> Vec<u8> {
        [&(bytes.len() as u16).to_be_bytes(), bytes].concat()
    }
    let extensions: [(u8, Vec<u8>); 4] = [
        // Versions: 1.3. Groups: x25519. Signatures: ecdsa_secp256r1_sha256, rsa_pss_rsae_sha256.
        (43, vec![2, 3, 4]),
        (10, sized(&[0, 29])),
        (13, sized(&[4, 3, 8, 4])),
        (51, sized(&[&[0, 29][..], &sized(&[9; 32])].concat())),
    ];
    let extensions = extensions.map(|(kind, body)| [&[0, kind][..], &sized(&body)].concat()).concat();
    // Version and random; no session; the cipher; no compression.
    let hello = [&[3, 3][..], &[7; 32], &[0], &sized(cipher), &[1, 0], &sized(&extensions)].concat();
    let message = [&[1, 0][..], &sized(&hello)].concat();
    [&[HANDSHAKE, 3, 1][..], &sized(&message)].concat()
}

/// What stands on the broker for mean clients to ask of.
struct Place {
    /// A topic of many partitions, with an offset committed in each.
    wide: Topic,
    /// Where batches go.
    target: Topic,
    /// A group with a large member.
    group: String,
}

impl Place {
    fn prepare(target: &Target, wide_partitions: u32, kinds: &[Kind]) -> Result<Place, MeasureError> {
        let large = kinds.iter().any(|kind| matches!(kind, Kind::Amplify | Kind::NeverReading));
        let wide_partitions = if large { wide_partitions } else { 1 };
        let name = measure::topic_name();
        let wide = measure::create_topic(target, &format!("{name}-wide"), wide_partitions)?;
        let batches = measure::create_topic(target, &format!("{name}-target"), TARGET_PARTITIONS)?;
        let place = Place { wide, target: batches, group: format!("{name}-group") };
        if large {
            let mut client = Client::connect(&target.bootstrap)?;
            for group in [place.group.clone(), place.offsets_group()] {
                await_coordinator(&mut client, group)?;
            }
            place.commit(&mut client)?;
            place.join(&mut client)?;
        }
        Ok(place)
    }

    fn offsets_group(&self) -> String {
        format!("{}-offsets", self.group)
    }

    /// An offset in every partition of the wide topic.
    fn commit(&self, client: &mut Client) -> Result<(), MeasureError> {
        let partitions: Vec<i32> = (0..).take(self.wide.leaders.len()).collect();
        for part in partitions.chunks(COMMITTED_AT_ONCE) {
            let partitions = part.iter().map(|&partition_index| OffsetCommitRequestPartition {
                partition_index,
                committed_offset: 1,
                committed_metadata: Some("x".repeat(100)),
                ..Default::default()
            });
            let topic =
                OffsetCommitRequestTopic { name: self.wide.name.clone(), partitions: partitions.collect() };
            let request = OffsetCommitRequest {
                group_id: self.offsets_group(),
                topics: vec![topic],
                ..Default::default()
            };
            let answer = client.call(&request)?;
            for partition in answer.topics.into_iter().flat_map(|topic| topic.partitions) {
                refuse("OffsetCommit", partition.error_code, None)?;
            }
        }
        Ok(())
    }

    /// A member with much to say of itself.
    fn join(&self, client: &mut Client) -> Result<(), MeasureError> {
        let large = Bytes::from(vec![b'm'; MEMBER_BYTES]);
        let mut request = JoinGroupRequest {
            group_id: self.group.clone(),
            session_timeout_ms: SESSION_MS,
            rebalance_timeout_ms: SESSION_MS,
            protocol_type: "hostile".to_owned(),
            protocols: vec![JoinGroupRequestProtocol { name: "hostile".to_owned(), metadata: large.clone() }],
            ..Default::default()
        };
        let mut joined = client.call(&request)?;
        if joined.error_code == ErrorCode::MemberIdRequired.code() {
            request.member_id = joined.member_id;
            joined = client.call(&request)?;
        }
        refuse("JoinGroup", joined.error_code, None)?;
        let assignment =
            SyncGroupRequestAssignment { member_id: joined.member_id.clone(), assignment: large };
        let synced = client.call(&SyncGroupRequest {
            group_id: self.group.clone(),
            generation_id: joined.generation_id,
            member_id: joined.member_id,
            protocol_type: Some("hostile".to_owned()),
            protocol_name: Some("hostile".to_owned()),
            assignments: vec![assignment],
            ..Default::default()
        })?;
        Ok(refuse("SyncGroup", synced.error_code, None)?)
    }

    fn produce(&self, client: &Client, partition: usize, batch: &[u8]) -> Result<Vec<u8>, MeasureError> {
        let partition_data =
            vec![PartitionProduceData { index: partition as i32, records: Some(batch.into()) }];
        let request = ProduceRequest {
            transactional_id: None,
            acks: -1,
            timeout_ms: 30_000,
            topic_data: vec![TopicProduceData {
                name: self.target.name.clone(),
                topic_id: self.target.id,
                partition_data,
            }],
        };
        frame(client, &request)
    }

    fn bombs(&self, client: &Client, bombs: &[Vec<u8>]) -> Result<Vec<Attack>, MeasureError> {
        let to = |place: usize| place % self.target.leaders.len();
        let produce = (0..).zip(bombs).map(|(place, bomb)| self.produce(client, to(place), bomb));
        Ok(produce.collect::<Result<Vec<_>, _>>()?.into_iter().map(answered).collect())
    }

    fn named(&self, times: usize) -> Vec<MetadataRequestTopic> {
        // By name in every version: by id, a topic is looked up elsewhere.
        vec![MetadataRequestTopic { name: Some(self.wide.name.clone()), ..Default::default() }; times]
    }

    fn offsets_of(&self, times: usize) -> OffsetFetchRequest {
        let group =
            OffsetFetchRequestGroup { group_id: self.offsets_group(), topics: None, ..Default::default() };
        OffsetFetchRequest { groups: vec![group; times], ..Default::default() }
    }

    fn configs_of(&self, times: usize) -> DescribeConfigsRequest {
        let topic = DescribeConfigsResource {
            resource_type: 2,
            resource_name: self.wide.name.clone(),
            ..Default::default()
        };
        DescribeConfigsRequest {
            resources: vec![topic; times],
            include_synonyms: true,
            include_documentation: true,
        }
    }

    fn amplify(&self, client: &Client) -> Result<Vec<Attack>, MeasureError> {
        let metadata = MetadataRequest { topics: Some(self.named(REPEATED)), ..Default::default() };
        let groups =
            DescribeGroupsRequest { groups: vec![self.group.clone(); REPEATED_GROUPS], ..Default::default() };
        let mut frames = vec![
            frame(client, &metadata)?,
            frame(client, &groups)?,
            frame(client, &self.offsets_of(REPEATED_GROUPS))?,
            frame(client, &self.configs_of(REPEATED))?,
        ];
        let topics = vec![TopicRequest { name: self.wide.name.clone() }; REPEATED];
        let pages = DescribeTopicPartitionsRequest {
            topics,
            response_partition_limit: i32::MAX,
            ..Default::default()
        };
        // It came with Kafka 3.8.
        if client.version::<DescribeTopicPartitionsRequest>().is_ok() {
            frames.push(frame(client, &pages)?);
        }
        Ok(frames.into_iter().map(answered).collect())
    }

    fn never_reading(&self, client: &Client) -> Result<Vec<Attack>, MeasureError> {
        let groups = DescribeGroupsRequest { groups: vec![self.group.clone()], ..Default::default() };
        let partitions = (0..).take(self.wide.leaders.len()).map(|partition| FetchPartition {
            partition,
            partition_max_bytes: 1 << 20,
            ..Default::default()
        });
        let topics = vec![FetchTopic {
            topic: self.wide.name.clone(),
            topic_id: self.wide.id,
            partitions: partitions.collect(),
        }];
        let fetch = FetchRequest { max_bytes: 50 << 20, topics, ..Default::default() };
        let frames = [
            frame(client, &MetadataRequest { topics: None, ..Default::default() })?,
            frame(client, &groups)?,
            frame(client, &self.offsets_of(1))?,
            frame(client, &self.configs_of(1))?,
            frame(client, &fetch)?,
        ];
        let held = |bytes: Vec<u8>| Attack { port: Port::Kafka, bytes, then: Then::Hold };
        Ok(frames.map(|frame| held(frame.repeat(UNREAD_REQUESTS))).into())
    }

    fn garbage(&self, client: &Client) -> Result<Vec<Attack>, MeasureError> {
        let metadata = frame(client, &MetadataRequest { topics: Some(self.named(3)), ..Default::default() })?;
        let groups =
            frame(client, &DescribeGroupsRequest { groups: vec![self.group.clone()], ..Default::default() })?;
        let mut builder = BatchBuilder::new(Codec::None);
        builder.push(Timestamp::default(), Some(b"key"), Some(b"value"), &[("header", Some(b"value"))]);
        let produce = self.produce(client, 0, &builder.build())?;
        let whole = [metadata, groups, produce];
        let mut all: Vec<Vec<u8>> = vec![
            i32::MAX.to_be_bytes().into(),
            (-1i32).to_be_bytes().into(),
            0i32.to_be_bytes().into(),
            b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(),
            // The beginning of TLS.
            [0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3].repeat(20),
            // No such key, no such version, a client id that is longer than the frame, an array of 2^31 - 1
            // topics.
            request(9_999, 0, &[]),
            request(3, 32_767, &[]),
            request(18, 32_767, &[]),
            framed(&[0, 3, 0, 1, 0, 0, 0, 7, 0x7f, 0xff, b'x']),
            request(3, 1, &i32::MAX.to_be_bytes()),
            request(0, 3, &[0xff; 64]),
        ];
        for bytes in &whole {
            all.push(bytes[..bytes.len() / 2].to_vec());
        }
        for seed in 0..MUTATED {
            let word = |turn: usize| mix((seed << 8 | turn) as u64) as usize;
            let mut bytes = whole[seed % whole.len()].clone();
            for turn in 0..1 + seed % 4 {
                // The size stays: what is wrong is in the frame.
                let at = 4 + word(2 * turn) % (bytes.len() - 4);
                bytes[at] = word(2 * turn + 1) as u8;
            }
            all.push(bytes);
            let noise: Vec<u8> =
                (0..8 + word(9) % 2_000).map(|at| mix((seed << 16 | at) as u64) as u8).collect();
            all.push(if seed % 2 == 0 { framed(&noise) } else { noise });
        }
        let mut attacks: Vec<Attack> = all.into_iter().map(|bytes| closing(Port::Kafka, bytes)).collect();
        attacks.push(closing(Port::Metrics, vec![0xff; 1_000]));
        attacks.push(closing(Port::Metrics, [&b"GET /"[..], &[b'a'; 60_000]].concat()));
        Ok(attacks)
    }

    fn log_flood(&self, client: &Client) -> Result<Vec<Attack>, MeasureError> {
        let mut builder = BatchBuilder::new(Codec::None);
        builder.push(Timestamp::default(), None, Some(b"value"), &[]);
        let mut broken = builder.build().to_vec();
        *broken.last_mut().expect("a batch has bytes") ^= 1;
        let mut unpackable = BatchBuilder::new(Codec::Zstd);
        unpackable.push(Timestamp::default(), None, Some(&[b'v'; 500]), &[]);
        let mut unpackable = unpackable.build().to_vec();
        unpackable.truncate(unpackable.len() - 9);
        let frames = [
            // Fetch in a version that is unknown here, as a tool of a newer Kafka sends it unasked.
            request(1, 99, &[0; 40]),
            self.produce(client, 1, &broken)?,
            framed(&[0xff; 100]),
            self.produce(client, 2, &unpackable)?,
            i32::MAX.to_be_bytes().into(),
        ];
        Ok(frames.map(|bytes| closing(Port::Kafka, bytes)).into())
    }

    /// Three requests in four send a hundred records of JSON, the fourth reads some.
    fn rest(&self) -> Vec<Attack> {
        let path = format!("/topics/{}", self.target.name);
        let records: Vec<String> = (0..REST_RECORDS)
            .map(|at| {
                format!(
                    r#"{{"key":"truck-{at}","value":{{"speed":{at},"place":[48.1,11.6],"note":"{}"}}}}"#,
                    "x".repeat(64)
                )
            })
            .collect();
        let body = format!(r#"{{"records":[{}]}}"#, records.join(","));
        let sent = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/vnd.kafka.json.v2+json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let read = (0..self.target.leaders.len()).map(|partition| {
            format!(
                "GET {path}/partitions/{partition}/records?max_records={REST_RECORDS} HTTP/1.1\r\nHost: localhost\r\n\r\n"
            )
        });
        let attack =
            |text: String| Attack { port: Port::Metrics, bytes: text.into_bytes(), then: Then::Http };
        read.flat_map(|read| [sent.clone(), sent.clone(), sent.clone(), read]).map(attack).collect()
    }

    fn idle(&self, client: &Client) -> Result<Vec<Attack>, MeasureError> {
        let hello = frame(client, &ApiVersionsRequest::default())?;
        let held = |bytes: Vec<u8>| Attack { port: Port::Kafka, bytes, then: Then::Hold };
        Ok(vec![held(Vec::new()), held(hello)])
    }
}

/// Waits until the broker serves a group: the first question makes the topic of groups, which is then read.
fn await_coordinator(client: &mut Client, group: String) -> Result<(), MeasureError> {
    let wanted = FindCoordinatorRequest { coordinator_keys: vec![group.clone()], ..Default::default() };
    let offsets = OffsetFetchRequestGroup { group_id: group, topics: None, ..Default::default() };
    let offsets = OffsetFetchRequest { groups: vec![offsets], ..Default::default() };
    let started = now();
    loop {
        client.call(&wanted)?;
        let code = client.call(&offsets)?.groups.first().map_or(0, |group| group.error_code);
        match refuse("OffsetFetch", code, None) {
            Err(refused) if now() - started > COORDINATOR_TIMEOUT => return Err(refused.into()),
            Err(_) => thread::sleep(Duration::from_millis(20)),
            Ok(()) => return Ok(()),
        }
    }
}

fn half_open() -> Vec<Attack> {
    let kafka = [&b""[..], b"\0\0", b"\0\0\x10\0\0\x03\0\x0c", b"\x06\0\0\0\0\x03\0\x0c\0\0\0\x01\xff\xff"];
    let metrics = [&b""[..], b"GET /hea", b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n"];
    let held = |port: Port, bytes: &[u8]| Attack { port, bytes: bytes.to_vec(), then: Then::Hold };
    let mut attacks = Vec::new();
    for place in 0..kafka.len().max(metrics.len()) {
        attacks.push(held(Port::Kafka, kafka[place % kafka.len()]));
        attacks.push(held(Port::Metrics, metrics[place % metrics.len()]));
    }
    // Whole, and never read.
    attacks.push(held(Port::Metrics, b"GET /metrics/partitions HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    attacks
}

fn answered(bytes: Vec<u8>) -> Attack {
    Attack { port: Port::Kafka, bytes, then: Then::Answers(1) }
}

fn closing(port: Port, bytes: Vec<u8>) -> Attack {
    Attack { port, bytes, then: Then::Close(PATIENCE) }
}

/// A request with its size before it, in the highest version that both sides have.
fn frame<R: Request + Encode + Message>(client: &Client, request: &R) -> Result<Vec<u8>, MeasureError> {
    let version = client.version::<R>()?;
    let frame = encode_request(version, 1, Some(CLIENT_ID), request)
        .map_err(|source| ClientError::Encode { api: "a hostile request", source })?;
    Ok(frame.to_vec())
}

/// A request of any key and version, with a header of the oldest form.
fn request(key: i16, version: i16, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(10 + body.len());
    bytes.put_i16(key);
    bytes.put_i16(version);
    bytes.put_i32(1);
    bytes.put_i16(-1);
    bytes.extend_from_slice(body);
    framed(&bytes)
}

fn framed(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as i32).to_be_bytes()[..], bytes].concat()
}
