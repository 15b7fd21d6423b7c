//! The cluster as one client sees it: who the brokers are, which topics there are, who leads their
//! partitions.

use super::connection::Connection;
use super::retry::Retry;
use crate::{Access, Address, Code, ConnectError, Limits, RequestError};
use std::collections::BTreeMap;
use std::time::Duration;
use strandline_protocol::Uuid;
use strandline_protocol::messages::{
    MetadataRequest, MetadataRequestTopic, MetadataResponse, MetadataResponsePartition, MetadataResponseTopic,
};
use strandline_protocol::wire::ErrorCode;

/// How long a topic that was just created, or that the broker creates because we asked for it, may take to be
/// known with all its leaders.
const TOPIC_APPEARS_WITHIN: Duration = Duration::from_secs(5);

/// Why the brokers or topics are not known.
#[derive(Debug, thiserror::Error)]
pub enum MetadataError {
    /// No address of the list, nor any broker known from before, accepted a connection.
    #[error("no broker is reachable: {}", .attempts.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Unreachable {
        /// What each of them said.
        attempts: Vec<ConnectError>,
    },
    /// A broker was reached, but did not answer.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The broker refused to answer at all.
    #[error("metadata: {code}")]
    Refused {
        /// Its reason.
        code: Code,
    },
    /// The broker said no.
    #[error("topic {topic}: {code}")]
    Topic {
        /// The topic.
        topic: String,
        /// The broker's reason.
        code: Code,
    },
    /// The answer does not have the topic that was asked for.
    #[error("topic {topic}: the broker's answer does not mention it")]
    NotMentioned {
        /// The topic.
        topic: String,
    },
    /// The partition has no leader, or one that is not among the brokers.
    #[error("topic {topic}, partition {partition}: {code}")]
    Leader {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The broker's reason.
        code: Code,
    },
}

impl MetadataError {
    /// Whether the topic does not exist, as far as the broker knows.
    pub fn is_unknown_topic(&self) -> bool {
        matches!(self, MetadataError::Topic { code, .. } if code.is_unknown_topic())
    }
}

/// An error that may pass by itself.
pub(super) trait Retriable {
    /// Whether the same again, with fresh metadata, can succeed.
    fn is_retriable(&self) -> bool;
}

impl Retriable for MetadataError {
    fn is_retriable(&self) -> bool {
        match self {
            MetadataError::Unreachable { .. } | MetadataError::Leader { .. } => true,
            MetadataError::Request(error) => error.is_retriable(),
            MetadataError::Topic { code, .. } => code.is_retriable() && !code.is_unknown_topic(),
            MetadataError::Refused { code } => code.is_retriable(),
            MetadataError::NotMentioned { .. } => false,
        }
    }
}

/// A topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    /// Its name.
    pub name: String,
    /// Its id; all zeros from brokers that have none.
    pub id: Uuid,
    /// Whether it belongs to the broker.
    pub internal: bool,
    /// Its partitions, in ascending order.
    pub partitions: Vec<Partition>,
}

impl Topic {
    /// The partition with this number.
    pub fn partition(&self, index: i32) -> Option<&Partition> {
        self.partitions.iter().find(|partition| partition.index == index)
    }
}

/// A partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// Its number, from 0.
    pub index: i32,
    /// The broker that leads it, or why there is none.
    pub leader: Result<i32, Code>,
    /// The brokers that hold it.
    pub replicas: Vec<i32>,
    /// Those of them that are in sync.
    pub in_sync: Vec<i32>,
}

impl From<MetadataResponsePartition> for Partition {
    fn from(partition: MetadataResponsePartition) -> Partition {
        let leader = match (partition.leader_id, partition.error_code) {
            (0.., _) => Ok(partition.leader_id),
            (_, 0) => Err(Code(ErrorCode::LeaderNotAvailable.code())),
            (_, code) => Err(Code(code)),
        };
        Partition {
            index: partition.partition_index,
            leader,
            replicas: partition.replica_nodes,
            in_sync: partition.isr_nodes,
        }
    }
}

/// Which topics a metadata request is about; the brokers come with every answer.
#[derive(Clone, Copy)]
enum Asked<'a> {
    Everything,
    Nothing,
    Topic(&'a str),
}

/// A client of one cluster.
#[derive(Debug)]
pub struct Client {
    bootstrap: Vec<Address>,
    limits: Limits,
    access: Access,
    control: Option<Connection>,
    brokers: BTreeMap<i32, Address>,
    controller: i32,
    waiting: Option<Waiting>,
}

/// Told, once for each thing that is asked, why it is tried again and again.
pub type Waiting = fn(&dyn std::fmt::Display);

impl Client {
    /// Connects to the first of these addresses that answers. An address list that nobody answers on fails at
    /// once; what was reached once is waited for later on.
    ///
    /// # Errors
    /// [`MetadataError::Unreachable`].
    pub fn connect(bootstrap: &[Address], limits: Limits) -> Result<Client, MetadataError> {
        Client::connect_by(bootstrap, limits, Access::default())
    }

    /// The same, where the brokers want TLS or to know who asks.
    ///
    /// # Errors
    /// [`MetadataError::Unreachable`].
    pub fn connect_by(
        bootstrap: &[Address],
        limits: Limits,
        access: Access,
    ) -> Result<Client, MetadataError> {
        let bootstrap = bootstrap.to_vec();
        let mut client = Client {
            bootstrap,
            limits,
            access,
            control: None,
            brokers: BTreeMap::new(),
            controller: -1,
            waiting: None,
        };
        client.control()?;
        Ok(client)
    }

    /// Another client of the same cluster, with connections of its own.
    pub fn another(&self) -> Client {
        Client {
            bootstrap: self.bootstrap.clone(),
            limits: self.limits,
            access: self.access.clone(),
            control: None,
            brokers: self.brokers.clone(),
            controller: self.controller,
            waiting: self.waiting,
        }
    }

    /// Has `waiting` told what makes an operation wait that is tried again for longer than a moment.
    pub fn tell_waiting(&mut self, waiting: Waiting) {
        self.waiting = Some(waiting);
    }

    /// Tells what makes an operation wait, when it is time for that.
    pub(super) fn note_waiting(&self, retry: &mut Retry, error: &dyn std::fmt::Display) {
        if let Some(waiting) = self.waiting
            && retry.is_worth_telling()
        {
            waiting(error);
        }
    }

    /// How long things may take.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// All topics, in the order of their names.
    ///
    /// # Errors
    /// [`MetadataError`].
    pub fn topics(&mut self) -> Result<Vec<Topic>, MetadataError> {
        let response = self.retrying(|client| client.metadata(Asked::Everything, false))?;
        let mut topics = Vec::with_capacity(response.topics.len());
        for topic in response.topics {
            if let Some(name) = topic.name.clone() {
                topics.push(checked(&name, topic)?);
            }
        }
        topics.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(topics)
    }

    /// One topic, which has to exist.
    ///
    /// # Errors
    /// [`MetadataError`].
    pub fn topic(&mut self, name: &str) -> Result<Topic, MetadataError> {
        self.retrying(|client| client.topic_now(name, false))
    }

    /// One topic, which the broker may create if its settings allow that, once it has all its leaders.
    ///
    /// # Errors
    /// [`MetadataError`].
    pub fn topic_or_created(&mut self, name: &str) -> Result<Topic, MetadataError> {
        self.topic_once_led(name, true)
    }

    /// One topic, once it is known and has all its leaders.
    pub(super) fn topic_once_led(&mut self, name: &str, create: bool) -> Result<Topic, MetadataError> {
        let mut retry = Retry::new(TOPIC_APPEARS_WITHIN);
        loop {
            let found = self.topic_now(name, create).and_then(|topic| match led(&topic) {
                None => Ok(topic),
                Some(missing) => Err(missing),
            });
            match found {
                Err(error) if (error.is_retriable() || error.is_unknown_topic()) && retry.pause() => {}
                found => return found,
            }
        }
    }

    fn topic_now(&mut self, name: &str, create: bool) -> Result<Topic, MetadataError> {
        let response = self.metadata(Asked::Topic(name), create)?;
        let found = response.topics.into_iter().find(|topic| topic.name.as_deref() == Some(name));
        checked(name, found.ok_or_else(|| MetadataError::NotMentioned { topic: name.to_owned() })?)
    }

    /// Asks whichever broker answers.
    fn metadata(&mut self, asked: Asked<'_>, create: bool) -> Result<MetadataResponse, MetadataError> {
        let response: MetadataResponse = self.asking(|control| {
            let version = control.version::<MetadataRequest>(i16::MAX)?;
            let topics = match asked {
                // Version 0 has no null, and takes an empty list for all topics.
                Asked::Everything if version == 0 => Some(Vec::new()),
                Asked::Everything => None,
                Asked::Nothing => Some(Vec::new()),
                Asked::Topic(name) => {
                    let name = Some(name.to_owned());
                    Some(vec![MetadataRequestTopic { name, ..MetadataRequestTopic::default() }])
                }
            };
            let request = MetadataRequest {
                topics,
                // Before version 4 there is no way to say no.
                allow_auto_topic_creation: create || version < 4,
                ..MetadataRequest::default()
            };
            control.call_in(version, &request)
        })?;
        Code::check(response.error_code).map_err(|code| MetadataError::Refused { code })?;
        self.controller = response.controller_id;
        self.brokers = response
            .brokers
            .iter()
            .filter_map(|broker| {
                let port = u16::try_from(broker.port).ok()?;
                Some((broker.node_id, Address { host: broker.host.clone(), port }))
            })
            .collect();
        Ok(response)
    }

    /// Asks something over the control connection, which is given up when that fails.
    pub(super) fn asking<T>(
        &mut self,
        ask: impl FnOnce(&mut Connection) -> Result<T, RequestError>,
    ) -> Result<T, MetadataError> {
        let answer = self.control().and_then(|control| Ok(ask(control)?));
        if answer.is_err() {
            self.control = None;
        }
        answer
    }

    /// The control connection, or a new one: to a broker known from before, or else to the addresses given at
    /// the start.
    fn control(&mut self) -> Result<&mut Connection, MetadataError> {
        if self.control.is_none() {
            let mut attempts = Vec::new();
            let candidates = self.brokers.values().chain(&self.bootstrap);
            let mut tried: Vec<&Address> = Vec::new();
            for address in candidates {
                if tried.contains(&address) {
                    continue;
                }
                tried.push(address);
                match Connection::open_by(address, &self.limits, &self.access) {
                    Ok(connection) => {
                        self.control = Some(connection);
                        break;
                    }
                    Err(error) => attempts.push(error),
                }
            }
            if self.control.is_none() {
                return Err(MetadataError::Unreachable { attempts });
            }
        }
        Ok(self.control.as_mut().expect("it was there or has been set"))
    }

    /// A new connection to the leader of a partition.
    pub(super) fn dial_leader(&self, topic: &Topic, partition: i32) -> Result<Connection, MetadataError> {
        let refused = |code| MetadataError::Leader { topic: topic.name.clone(), partition, code };
        let unknown = Code(ErrorCode::UnknownTopicOrPartition.code());
        let leader =
            topic.partition(partition).map_or(Err(unknown), |found| found.leader).map_err(refused)?;
        let address =
            self.brokers.get(&leader).ok_or_else(|| refused(Code(ErrorCode::BrokerNotAvailable.code())))?;
        self.dial(address)
    }

    /// A new connection to the controller, or to any broker when none is named.
    pub(super) fn dial_controller(&mut self) -> Result<Connection, MetadataError> {
        self.metadata(Asked::Nothing, false)?;
        match self.brokers.get(&self.controller) {
            Some(address) => self.dial(address),
            None => {
                let address = self.control()?.address().clone();
                self.dial(&address)
            }
        }
    }

    /// The number of the controller, as the newest metadata has it.
    pub(super) fn controller_id(&self) -> i32 {
        self.controller
    }

    /// A new connection to every broker there is.
    pub(super) fn dial_all(&mut self) -> Result<Vec<Connection>, MetadataError> {
        self.metadata(Asked::Nothing, false)?;
        self.brokers.values().map(|address| self.dial(address)).collect()
    }

    pub(super) fn dial(&self, address: &Address) -> Result<Connection, MetadataError> {
        Connection::open_by(address, &self.limits, &self.access)
            .map_err(|error| MetadataError::Unreachable { attempts: vec![error] })
    }

    /// Does it until it works, fails for good, or takes too long.
    pub(super) fn retrying<T, E: Retriable + std::fmt::Display>(
        &mut self,
        mut operation: impl FnMut(&mut Client) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut retry = Retry::new(self.limits.give_up_after);
        loop {
            match operation(self) {
                Err(error) if error.is_retriable() && retry.pause() => self.note_waiting(&mut retry, &error),
                done => return done,
            }
        }
    }
}

fn checked(name: &str, topic: MetadataResponseTopic) -> Result<Topic, MetadataError> {
    Code::check(topic.error_code).map_err(|code| MetadataError::Topic { topic: name.to_owned(), code })?;
    let mut partitions: Vec<Partition> = topic.partitions.into_iter().map(Partition::from).collect();
    partitions.sort_by_key(|partition| partition.index);
    Ok(Topic { name: name.to_owned(), id: topic.topic_id, internal: topic.is_internal, partitions })
}

/// The first partition without a leader, as an error.
fn led(topic: &Topic) -> Option<MetadataError> {
    topic.partitions.iter().find_map(|partition| {
        let code = partition.leader.err()?;
        Some(MetadataError::Leader { topic: topic.name.clone(), partition: partition.index, code })
    })
}
