//! Creating, deleting and describing topics.

use super::cluster::Retriable;
use super::connection::Connection;
use crate::client::{Client, Code, MetadataError, RequestError};
use crate::messages::{
    CreatableTopic, CreatableTopicConfig, CreateTopicsRequest, DeleteTopicState, DeleteTopicsRequest,
    DescribeConfigsRequest, DescribeConfigsResource,
};
use crate::wire::ErrorCode;

/// What DescribeConfigs calls a topic.
const RESOURCE_TOPIC: i8 = 2;

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

/// A setting of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Kafka's name of it.
    pub name: String,
    /// `None` when it is secret.
    pub value: Option<String>,
    /// Whether it was set for this topic.
    pub of_topic: bool,
}

/// Why a topic was not created, deleted or described.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// There was no broker to ask.
    #[error(transparent)]
    Metadata(#[from] MetadataError),
    /// The broker was asked; whether it did it is not known when the connection was lost.
    #[error("topic {topic}: {source}")]
    Request {
        /// The topic.
        topic: String,
        /// What happened.
        source: RequestError,
    },
    /// The broker said no.
    #[error("topic {topic}: {code}{}", said(message))]
    Refused {
        /// The topic.
        topic: String,
        /// Its reason.
        code: Code,
        /// Its words.
        message: Option<String>,
    },
    /// The answer does not have the topic that was asked for.
    #[error("topic {topic}: the broker's answer does not mention it")]
    NotMentioned {
        /// The topic.
        topic: String,
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
    /// A lost connection is none: the topic may have been created or deleted, and the next answer would be misread.
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

    /// The settings of a topic, in the broker's order.
    ///
    /// # Errors
    /// [`AdminError`].
    pub fn topic_settings(&mut self, name: &str) -> Result<Vec<Setting>, AdminError> {
        self.retrying(|client| {
            let mut broker = client.dial_controller()?;
            settings_at(&mut broker, name)
        })
    }
}

fn create_at(controller: &mut Connection, spec: &TopicSpec, timeout_ms: i32) -> Result<(), AdminError> {
    let topic = &spec.name;
    let failed = |source| AdminError::Request { topic: topic.clone(), source };
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
    let result = result.ok_or_else(|| AdminError::NotMentioned { topic: topic.clone() })?;
    Code::check(result.error_code).map_err(|code| AdminError::Refused {
        topic: topic.clone(),
        code,
        message: result.error_message,
    })
}

fn delete_at(controller: &mut Connection, name: &str, timeout_ms: i32) -> Result<(), AdminError> {
    let failed = |source| AdminError::Request { topic: name.to_owned(), source };
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
    let result = result.ok_or_else(|| AdminError::NotMentioned { topic: name.to_owned() })?;
    Code::check(result.error_code).map_err(|code| AdminError::Refused {
        topic: name.to_owned(),
        code,
        message: result.error_message,
    })
}

fn settings_at(broker: &mut Connection, name: &str) -> Result<Vec<Setting>, AdminError> {
    let request = DescribeConfigsRequest {
        resources: vec![DescribeConfigsResource {
            resource_type: RESOURCE_TOPIC,
            resource_name: name.to_owned(),
            configuration_keys: None,
        }],
        ..DescribeConfigsRequest::default()
    };
    let response =
        broker.call(&request).map_err(|source| AdminError::Request { topic: name.to_owned(), source })?;
    let result = response.results.into_iter().find(|result| result.resource_name == name);
    let result = result.ok_or_else(|| AdminError::NotMentioned { topic: name.to_owned() })?;
    Code::check(result.error_code).map_err(|code| AdminError::Refused {
        topic: name.to_owned(),
        code,
        message: result.error_message,
    })?;
    /// Where a setting of the topic itself comes from.
    const SOURCE_TOPIC: i8 = 1;
    let settings = result.configs.into_iter().map(|config| Setting {
        name: config.name,
        value: config.value.filter(|_| !config.is_sensitive),
        of_topic: config.config_source == SOURCE_TOPIC,
    });
    Ok(settings.collect())
}
