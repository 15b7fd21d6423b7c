//! Creating, growing and deleting topics, and deleting their records. Their settings are in
//! [`super::settings`].

use super::cluster::Retriable;
use super::connection::Connection;
use crate::{Client, Code, MetadataError, RequestError};
use strandline_protocol::messages::{
    CreatableTopic, CreatableTopicConfig, CreatePartitionsRequest, CreatePartitionsTopic,
    CreateTopicsRequest, DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic, DeleteTopicState,
    DeleteTopicsRequest,
};
use strandline_protocol::wire::ErrorCode;

/// From this version on, -1 means the broker's default.
const CREATE_DEFAULTS_FROM: i16 = 4;

/// From this version on, a topic to delete is a struct.
const DELETE_STATES_FROM: i16 = 6;

/// A topic to create.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicSpec {
    /// Its name.
    pub name: String,
    /// How many partitions; `None` for the broker's default.
    pub partitions: Option<i32>,
    /// Settings that differ from the broker's.
    pub settings: Vec<(String, String)>,
}

/// What a request is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A topic.
    Topic(String),
    /// A partition of a topic.
    Partition(String, i32),
    /// A broker, by its number.
    Broker(i32),
    /// A user.
    User(String),
    /// All users.
    Users,
    /// The rules of who may do what.
    Permissions,
}

impl std::fmt::Display for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Subject::Topic(name) => write!(f, "topic {name}"),
            Subject::Partition(topic, partition) => write!(f, "topic {topic} partition {partition}"),
            Subject::Broker(id) => write!(f, "broker {id}"),
            Subject::User(name) => write!(f, "user {name}"),
            Subject::Users => write!(f, "users"),
            Subject::Permissions => write!(f, "permissions"),
        }
    }
}

/// Why nothing was done or described.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// There was no broker to ask.
    #[error(transparent)]
    Metadata(#[from] MetadataError),
    /// The broker was asked; whether it did it is not known when the connection was lost.
    #[error("{subject}: {source}")]
    Request {
        /// What it was about.
        subject: Subject,
        /// What happened.
        source: RequestError,
    },
    /// The broker said no.
    #[error("{subject}: {code}{}", said(message))]
    Refused {
        /// What it was about.
        subject: Subject,
        /// Its reason.
        code: Code,
        /// Its words.
        message: Option<String>,
    },
    /// The answer does not have the topic that was asked for.
    #[error("{subject}: the broker's answer does not mention it")]
    NotMentioned {
        /// What was asked for.
        subject: Subject,
    },
}

impl AdminError {
    /// Whether the broker said no for this reason.
    pub fn is(&self, reason: ErrorCode) -> bool {
        match self {
            AdminError::Refused { code, .. } => code.is(reason),
            AdminError::Metadata(_) | AdminError::Request { .. } | AdminError::NotMentioned { .. } => false,
        }
    }
}

impl Retriable for AdminError {
    /// A lost connection is none: the topic may have been created or deleted, and the next answer would be
    /// misread.
    fn is_retriable(&self) -> bool {
        match self {
            AdminError::Metadata(error) => error.is_retriable(),
            AdminError::Refused { code, .. } => code.is_retriable() && !code.is_unknown_topic(),
            AdminError::Request { .. } | AdminError::NotMentioned { .. } => false,
        }
    }
}

pub(super) fn said(message: &Option<String>) -> String {
    message
        .as_deref()
        .filter(|message| !message.is_empty())
        .map_or(String::new(), |words| format!(": {words}"))
}

impl Client {
    /// Creates a topic, and waits until it can be used.
    ///
    /// # Errors
    /// [`AdminError`].
    pub fn create_topic(&mut self, spec: &TopicSpec) -> Result<(), AdminError> {
        self.retrying(|client| {
            let mut controller = client.dial_controller()?;
            create_at(&mut controller, spec, client.limits().request.as_millis() as i32)
        })?;
        self.topic_once_led(&spec.name, false)?;
        Ok(())
    }

    /// Deletes a topic.
    ///
    /// # Errors
    /// [`AdminError`].
    pub fn delete_topic(&mut self, name: &str) -> Result<(), AdminError> {
        self.retrying(|client| {
            let mut controller = client.dial_controller()?;
            delete_at(&mut controller, name, client.limits().request.as_millis() as i32)
        })
    }

    /// Gives a topic more partitions, `count` in all.
    ///
    /// # Errors
    /// [`AdminError`].
    pub fn grow_topic(&mut self, name: &str, count: i32) -> Result<(), AdminError> {
        self.retrying(|client| {
            let mut controller = client.dial_controller()?;
            grow_at(&mut controller, name, count, client.limits().request.as_millis() as i32)
        })
    }

    /// Deletes the records of a partition before `offset`, or all of them. Gives the first offset that is
    /// left.
    ///
    /// # Errors
    /// [`AdminError`].
    pub fn delete_records(
        &mut self,
        topic: &str,
        partition: i32,
        offset: Option<i64>,
    ) -> Result<i64, AdminError> {
        self.retrying(|client| {
            let topic = client.topic(topic)?;
            let mut leader = client.dial_leader(&topic, partition)?;
            let timeout_ms = client.limits().request.as_millis() as i32;
            delete_records_at(&mut leader, &topic.name, partition, offset, timeout_ms)
        })
    }
}

fn create_at(controller: &mut Connection, spec: &TopicSpec, timeout_ms: i32) -> Result<(), AdminError> {
    let topic = &spec.name;
    let failed = |source| AdminError::Request { subject: Subject::Topic(topic.clone()), source };
    let version = controller.version::<CreateTopicsRequest>(i16::MAX).map_err(failed)?;
    let default = if version >= CREATE_DEFAULTS_FROM { -1 } else { 1 };
    let configs = spec.settings.iter();
    let configs =
        configs.map(|(name, value)| CreatableTopicConfig { name: name.clone(), value: Some(value.clone()) });
    let request = CreateTopicsRequest {
        topics: vec![CreatableTopic {
            name: topic.clone(),
            num_partitions: spec.partitions.unwrap_or(default),
            replication_factor: default as i16,
            configs: configs.collect(),
            ..CreatableTopic::default()
        }],
        timeout_ms,
        ..CreateTopicsRequest::default()
    };
    let response = controller.call_in(version, &request).map_err(failed)?;
    let result = response.topics.into_iter().find(|result| result.name == *topic);
    let result = result.ok_or_else(|| AdminError::NotMentioned { subject: Subject::Topic(topic.clone()) })?;
    Code::check(result.error_code).map_err(|code| AdminError::Refused {
        subject: Subject::Topic(topic.clone()),
        code,
        message: result.error_message,
    })
}

fn delete_at(controller: &mut Connection, name: &str, timeout_ms: i32) -> Result<(), AdminError> {
    let failed = |source| AdminError::Request { subject: Subject::Topic(name.to_owned()), source };
    let version = controller.version::<DeleteTopicsRequest>(i16::MAX).map_err(failed)?;
    let mut request = DeleteTopicsRequest { timeout_ms, ..DeleteTopicsRequest::default() };
    match version >= DELETE_STATES_FROM {
        true => {
            let name = Some(name.to_owned());
            request.topics = vec![DeleteTopicState { name, ..DeleteTopicState::default() }];
        }
        false => request.topic_names = vec![name.to_owned()],
    }
    let response = controller.call_in(version, &request).map_err(failed)?;
    let result = response.responses.into_iter().find(|result| result.name.as_deref() == Some(name));
    let result =
        result.ok_or_else(|| AdminError::NotMentioned { subject: Subject::Topic(name.to_owned()) })?;
    Code::check(result.error_code).map_err(|code| AdminError::Refused {
        subject: Subject::Topic(name.to_owned()),
        code,
        message: result.error_message,
    })
}

fn grow_at(controller: &mut Connection, name: &str, count: i32, timeout_ms: i32) -> Result<(), AdminError> {
    let subject = || Subject::Topic(name.to_owned());
    let topic = CreatePartitionsTopic { name: name.to_owned(), count, assignments: None };
    let request = CreatePartitionsRequest { topics: vec![topic], timeout_ms, validate_only: false };
    let response =
        controller.call(&request).map_err(|source| AdminError::Request { subject: subject(), source })?;
    let result = response.results.into_iter().find(|result| result.name == name);
    let result = result.ok_or_else(|| AdminError::NotMentioned { subject: subject() })?;
    let message = result.error_message;
    Code::check(result.error_code).map_err(|code| AdminError::Refused { subject: subject(), code, message })
}

fn delete_records_at(
    leader: &mut Connection,
    topic: &str,
    partition_index: i32,
    offset: Option<i64>,
    timeout_ms: i32,
) -> Result<i64, AdminError> {
    /// All records that there are.
    const HIGH_WATERMARK: i64 = -1;
    let subject = || Subject::Partition(topic.to_owned(), partition_index);
    let partition = DeleteRecordsPartition { partition_index, offset: offset.unwrap_or(HIGH_WATERMARK) };
    let request = DeleteRecordsRequest {
        topics: vec![DeleteRecordsTopic { name: topic.to_owned(), partitions: vec![partition] }],
        timeout_ms,
    };
    let response =
        leader.call(&request).map_err(|source| AdminError::Request { subject: subject(), source })?;
    let answers = response.topics.into_iter().filter(|answer| answer.name == topic);
    let mut answers = answers.flat_map(|answer| answer.partitions);
    let answer = answers.find(|answer| answer.partition_index == partition_index);
    let answer = answer.ok_or_else(|| AdminError::NotMentioned { subject: subject() })?;
    let refused = |code| AdminError::Refused { subject: subject(), code, message: None };
    Code::check(answer.error_code).map_err(refused)?;
    Ok(answer.low_watermark)
}
