//! One blocking connection to a broker: for topics, offsets and fetches, where one request at a time is
//! enough. The connection is the command line's; the socket, set as all of this tool's are, is opened here.

use crate::clock::{nanos, now};
use bytes::Bytes;
use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;
use strandline_client::{Access, ConnectError, Connection, Limits, RequestError, Stream};
use strandline_protocol::Uuid;
use strandline_protocol::messages::{
    CreatableTopic, CreatableTopicConfig, CreateTopicsRequest, DeleteTopicState, DeleteTopicsRequest,
    FetchRequest, FetchResponse, FindCoordinatorRequest, InitProducerIdRequest, ListOffsetsPartition,
    ListOffsetsRequest, ListOffsetsTopic, MetadataRequest, MetadataRequestTopic, Request, ShareFetchRequest,
    ShareFetchResponse,
};
use strandline_protocol::wire::{Decode, Encode, EncodeError, ErrorCode, Message as _, WireError};

/// What the tool calls itself on the wire.
pub(crate) const CLIENT_ID: &str = "strandline-bench";
/// How long an answer may take before the run fails.
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// From the next version on, FindCoordinator takes a list of keys.
const FIND_COORDINATOR_MAX: i16 = 3;
/// The coordinators of groups, as FindCoordinator calls them.
const COORDINATES_GROUPS: i8 = 0;
/// The coordinators of transactional ids, as FindCoordinator calls them.
const COORDINATES_TRANSACTIONS: i8 = 1;
/// How long a coordinator that is not there yet is left alone.
const COORDINATOR_PAUSE: Duration = Duration::from_millis(20);

/// Why a broker could not be talked to.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    #[error("{address}: {source}")]
    Io { address: String, source: io::Error },
    #[error("no address in {address:?}")]
    Address { address: String },
    #[error(transparent)]
    Connect(Box<ConnectError>),
    #[error(transparent)]
    Request(Box<RequestError>),
    #[error("the answer to {api}: {source}")]
    Decode { api: &'static str, source: WireError },
    #[error("{api} can not be asked: {source}")]
    Encode { api: &'static str, source: EncodeError },
    #[error("{api} refused: {code} ({message})")]
    Refused { api: &'static str, code: String, message: String },
    #[error("topic {topic}: {problem}")]
    Topic { topic: String, problem: &'static str },
    #[error(
        "{id} is coordinated by {coordinator}, and not by {here}: what is coordinated is measured on one broker"
    )]
    Coordinator { id: String, coordinator: String, here: String },
}

impl From<ConnectError> for ClientError {
    fn from(error: ConnectError) -> ClientError {
        ClientError::Connect(error.into())
    }
}

impl From<RequestError> for ClientError {
    fn from(error: RequestError) -> ClientError {
        ClientError::Request(error.into())
    }
}

/// A topic as the cluster describes it.
#[derive(Clone, Debug)]
pub(crate) struct Topic {
    /// Its name.
    pub(crate) name: String,
    /// Its id, zero when the broker is too old to say.
    pub(crate) id: Uuid,
    /// The address of each partition's leader, by partition.
    pub(crate) leaders: Vec<String>,
}

/// How this process connects to brokers, and as whom: the same for all of its connections.
static ACCESS: OnceLock<Access> = OnceLock::new();

/// Has every connection made by it. It counts once, before the first of them.
pub(crate) fn connect_by(access: Access) {
    ACCESS.set(access).expect("it is said once, when the command line is read");
}

/// A connection.
#[derive(Debug)]
pub(crate) struct Client {
    connection: Connection,
    /// The version and the number of the last fetch.
    fetch: (i16, i32),
}

impl Client {
    /// Connects and asks for the broker's versions.
    pub(crate) fn connect(address: &str) -> Result<Client, ClientError> {
        Ok(Client { connection: connection(address)?, fetch: (0, 0) })
    }

    /// The highest version of a request that both sides have.
    pub(crate) fn version<R: Request>(&self) -> Result<i16, ClientError> {
        Ok(self.connection.version::<R>(i16::MAX)?)
    }

    /// Asks and waits for the answer, in the highest version that both sides have.
    pub(crate) fn call<R>(&mut self, request: &R) -> Result<R::Response, ClientError>
    where
        R: Request + Encode,
        R::Response: Decode,
    {
        Ok(self.connection.call(request)?)
    }

    /// Sends a fetch; [`Client::fetched`] gives its answer.
    pub(crate) fn fetch(&mut self, request: &FetchRequest) -> Result<(), ClientError> {
        let version = self.version::<FetchRequest>()?;
        self.fetch = (version, self.connection.send(version, request)?);
        Ok(())
    }

    /// The answer to the last fetch.
    pub(crate) fn fetched(&mut self) -> Result<FetchResponse<Bytes>, ClientError> {
        let (version, correlation_id) = self.fetch;
        Ok(self.connection.receive_fetched(version, correlation_id, Duration::ZERO)?)
    }

    /// A share fetch and its answer.
    pub(crate) fn share_fetch(
        &mut self,
        request: &ShareFetchRequest,
    ) -> Result<ShareFetchResponse<Bytes>, ClientError> {
        let version = self.version::<ShareFetchRequest>()?;
        self.connection.send(version, request)?;
        let frame = self.connection.receive(ShareFetchRequest::KEY, Duration::ZERO)?;
        let decoded = ShareFetchResponse::decode(&frame, version);
        let (_, answer) = decoded.map_err(|source| ClientError::Decode { api: "ShareFetch", source })?;
        Ok(answer)
    }

    /// Creates a topic with one replica.
    pub(crate) fn create_topic(
        &mut self,
        topic: &str,
        partitions: u32,
        configs: &[(String, String)],
    ) -> Result<(), ClientError> {
        let configs = configs
            .iter()
            .map(|(name, value)| CreatableTopicConfig { name: name.clone(), value: Some(value.clone()) })
            .collect();
        let answer = self.call(&CreateTopicsRequest {
            topics: vec![CreatableTopic {
                name: topic.to_owned(),
                num_partitions: partitions as i32,
                replication_factor: 1,
                assignments: Vec::new(),
                configs,
            }],
            ..CreateTopicsRequest::default()
        })?;
        for topic in answer.topics {
            refuse("CreateTopics", topic.error_code, topic.error_message)?;
        }
        Ok(())
    }

    /// Deletes a topic.
    pub(crate) fn delete_topic(&mut self, topic: &str) -> Result<(), ClientError> {
        let by_state = self.version::<DeleteTopicsRequest>()? >= 6;
        let mut request = DeleteTopicsRequest { timeout_ms: 30_000, ..DeleteTopicsRequest::default() };
        match by_state {
            true => {
                request.topics =
                    vec![DeleteTopicState { name: Some(topic.to_owned()), topic_id: Uuid::nil() }]
            }
            false => request.topic_names = vec![topic.to_owned()],
        }
        for topic in self.call(&request)?.responses {
            refuse("DeleteTopics", topic.error_code, topic.error_message)?;
        }
        Ok(())
    }

    /// A topic, or `None` while it is not there or one of its partitions has no leader.
    pub(crate) fn topic(&mut self, topic: &str) -> Result<Option<Topic>, ClientError> {
        let request = MetadataRequest {
            topics: Some(vec![MetadataRequestTopic { topic_id: Uuid::nil(), name: Some(topic.to_owned()) }]),
            allow_auto_topic_creation: false,
            ..MetadataRequest::default()
        };
        let answer = self.call(&request)?;
        let Some(found) = answer.topics.first().filter(|topic| topic.error_code == 0) else {
            return Ok(None);
        };
        let mut leaders = vec![None; found.partitions.len()];
        for partition in &found.partitions {
            let leader = answer.brokers.iter().find(|broker| broker.node_id == partition.leader_id);
            let place = leaders.get_mut(partition.partition_index as usize);
            if let (Some(leader), Some(place)) = (leader, place) {
                *place = Some(format!("{}:{}", leader.host, leader.port));
            }
        }
        let Some(leaders) = leaders.into_iter().collect::<Option<Vec<_>>>() else { return Ok(None) };
        if leaders.is_empty() {
            return Ok(None);
        }
        Ok(Some(Topic { name: topic.to_owned(), id: found.topic_id, leaders }))
    }

    /// The offset at the end (`-1`) or the start (`-2`) of partitions that this broker leads.
    pub(crate) fn offsets(
        &mut self,
        topic: &str,
        partitions: &[i32],
        at: i64,
    ) -> Result<Vec<i64>, ClientError> {
        let wanted = partitions
            .iter()
            .map(|&partition_index| ListOffsetsPartition {
                partition_index,
                timestamp: at,
                ..Default::default()
            })
            .collect();
        let answer = self.call(&ListOffsetsRequest {
            topics: vec![ListOffsetsTopic { name: topic.to_owned(), partitions: wanted }],
            ..ListOffsetsRequest::default()
        })?;
        let mut offsets = HashMap::new();
        for partition in answer.topics.into_iter().flat_map(|topic| topic.partitions) {
            refuse("ListOffsets", partition.error_code, None)?;
            offsets.insert(partition.partition_index, partition.offset);
        }
        Ok(partitions.iter().map(|partition| offsets.get(partition).copied().unwrap_or(0)).collect())
    }

    /// The identity of the producer with a transactional id; it is asked for until its coordinator is there.
    pub(crate) fn transactional_producer(&mut self, id: &str) -> Result<(i64, i16), ClientError> {
        let deadline = now() + nanos(ANSWER_TIMEOUT);
        loop {
            match self.begin_transactional(id) {
                Ok(producer) => return Ok(producer),
                Err(error @ ClientError::Coordinator { .. }) => return Err(error),
                Err(error) if now() > deadline => return Err(error),
                Err(_) => thread::sleep(COORDINATOR_PAUSE),
            }
        }
    }

    fn begin_transactional(&mut self, id: &str) -> Result<(i64, i16), ClientError> {
        self.coordinated_here(id, COORDINATES_TRANSACTIONS)?;
        let answer = self.call(&InitProducerIdRequest {
            transactional_id: Some(id.to_owned()),
            transaction_timeout_ms: 60_000,
            ..InitProducerIdRequest::default()
        })?;
        refuse("InitProducerId", answer.error_code, None)?;
        Ok((answer.producer_id, answer.producer_epoch))
    }

    /// Whether this broker coordinates that: asked once, before it is there, has it made.
    fn coordinated_here(&mut self, id: &str, key_type: i8) -> Result<(), ClientError> {
        let version = self.connection.version::<FindCoordinatorRequest>(FIND_COORDINATOR_MAX)?;
        let request =
            FindCoordinatorRequest { key: id.to_owned(), key_type, ..FindCoordinatorRequest::default() };
        let found = self.connection.call_in(version, &request)?;
        refuse("FindCoordinator", found.error_code, found.error_message)?;
        let (coordinator, here) =
            (format!("{}:{}", found.host, found.port), self.connection.address().to_string());
        match coordinator == here {
            true => Ok(()),
            false => Err(ClientError::Coordinator { id: id.to_owned(), coordinator, here }),
        }
    }

    /// Waits until a group has its coordinator here.
    pub(crate) fn await_group(&mut self, group: &str) -> Result<(), ClientError> {
        let deadline = now() + nanos(ANSWER_TIMEOUT);
        loop {
            match self.coordinated_here(group, COORDINATES_GROUPS) {
                Err(error @ ClientError::Coordinator { .. }) => return Err(error),
                Err(_) if now() < deadline => thread::sleep(COORDINATOR_PAUSE),
                found => return found,
            }
        }
    }

    /// The identity of an idempotent producer.
    pub(crate) fn producer_id(&mut self) -> Result<(i64, i16), ClientError> {
        let request =
            InitProducerIdRequest { transaction_timeout_ms: 60_000, ..InitProducerIdRequest::default() };
        let answer = self.call(&request)?;
        refuse("InitProducerId", answer.error_code, None)?;
        Ok((answer.producer_id, answer.producer_epoch))
    }
}

/// A connected socket without Nagle's delay.
///
/// `reno` because the default of some machines, `bbr`, paces loopback down to a third of what it can carry;
/// where it may not be set, the default stays. It is set for every broker alike, and only for what the tool
/// sends.
pub(crate) fn open(address: &str) -> Result<TcpStream, ClientError> {
    let io = |source| ClientError::Io { address: address.to_owned(), source };
    let resolved: Vec<SocketAddr> = address.to_socket_addrs().map_err(io)?.collect();
    let address_of = resolved.iter().find(|found| found.is_ipv4()).or(resolved.first());
    let found = address_of.ok_or_else(|| ClientError::Address { address: address.to_owned() })?;
    let stream = TcpStream::connect_timeout(found, ANSWER_TIMEOUT).map_err(io)?;
    stream.set_nodelay(true).map_err(io)?;
    let _ = rustix::net::sockopt::set_tcp_congestion(&stream, "reno");
    Ok(stream)
}

/// A connection whose client has proven who it is, where that was asked for, and that knows the versions.
fn connection(address: &str) -> Result<Connection, ClientError> {
    let stream = open(address)?;
    let place = address.parse().map_err(|_| ClientError::Address { address: address.to_owned() })?;
    let limits = Limits { connect: ANSWER_TIMEOUT, request: ANSWER_TIMEOUT, ..Limits::default() };
    let nobody = Access::default();
    Ok(Connection::over_by(stream, &place, CLIENT_ID, &limits, ACCESS.get().unwrap_or(&nobody))?)
}

/// The bytes of such a connection, which do not wait. In plaintext, as nobody, nothing was said in it yet.
pub(crate) fn wire(address: &str) -> Result<Stream, ClientError> {
    let stream = match ACCESS.get() {
        None => Stream::Plain(open(address)?),
        Some(_) => connection(address)?.into_stream(),
    };
    stream.set_nonblocking().map_err(|source| ClientError::Io { address: address.to_owned(), source })?;
    Ok(stream)
}

/// An error when a code is one.
pub(crate) fn refuse(api: &'static str, code: i16, message: Option<String>) -> Result<(), ClientError> {
    if code == 0 {
        return Ok(());
    }
    let code = ErrorCode::try_from(code).map_or_else(|_| format!("code {code}"), |code| code.to_string());
    Err(ClientError::Refused { api, code, message: message.unwrap_or_default() })
}
