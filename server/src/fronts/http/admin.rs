//! Changes of topics and settings, as all faces ask for them.

use strandline_protocol::messages::{
    CreatableTopic, CreatableTopicConfig, CreateTopicsRequest, DeleteTopicState, DeleteTopicsRequest,
    DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResourceResult,
    IncrementalAlterConfigsRequest, IncrementalAlterConfigsResource, IncrementalAlterableConfig,
};
use strandline_protocol::wire::ErrorCode;

use super::ask::Asker;
use super::problem::Problem;
use super::topics::check;

/// The versions that are asked.
const CREATE_TOPICS: i16 = 7;
const DELETE_TOPICS: i16 = 5;
const DESCRIBE_CONFIGS: i16 = 4;
const ALTER_CONFIGS: i16 = 1;

/// What is done with a setting: it is set, or its default is in force again.
pub(super) const SET: i8 = 0;
pub(super) const DELETE: i8 = 1;

/// How long the broker may take for a change of topics.
const TIMEOUT_MS: i32 = 30_000;

/// The code of a part of an answer, in the broker's words where it has some.
///
/// # Errors
/// [`Problem`] for all but NONE.
pub(super) fn check_with(code: i16, words: Option<String>, of: &str) -> Result<(), Problem> {
    let code = ErrorCode::try_from(code).unwrap_or(ErrorCode::UnknownServerError);
    if code == ErrorCode::None {
        return Ok(());
    }
    let problem = Problem::of_kafka(code, of);
    let words = words.map(|words| format!("{of}: {words}"));
    Err(Problem { message: words.unwrap_or(problem.message.clone()), ..problem })
}

/// Creates a topic, or looks whether it could be.
///
/// # Errors
/// [`Problem`], in the broker's words where it has some.
pub(super) async fn create_topic(
    asker: &Asker,
    name: &str,
    partitions: Option<i32>,
    replicas: Option<i16>,
    configs: Vec<CreatableTopicConfig>,
    validate_only: bool,
) -> Result<(), Problem> {
    let topic = CreatableTopic {
        name: name.to_owned(),
        num_partitions: partitions.unwrap_or(-1),
        replication_factor: replicas.unwrap_or(-1),
        configs,
        ..Default::default()
    };
    let request = CreateTopicsRequest { topics: vec![topic], timeout_ms: TIMEOUT_MS, validate_only };
    let answer = asker.ask(CREATE_TOPICS, &request).await?;
    for topic in answer.topics {
        check_with(topic.error_code, topic.error_message, &format!("topic {name}"))?;
    }
    Ok(())
}

/// Deletes a topic and its records.
///
/// # Errors
/// [`Problem`].
pub(super) async fn delete_topic(asker: &Asker, name: &str) -> Result<(), Problem> {
    let request = DeleteTopicsRequest {
        topic_names: vec![name.to_owned()],
        topics: Vec::<DeleteTopicState>::new(),
        timeout_ms: TIMEOUT_MS,
    };
    let answer = asker.ask(DELETE_TOPICS, &request).await?;
    for topic in answer.responses {
        check(topic.error_code, &format!("topic {name}"))?;
    }
    Ok(())
}

/// What has settings.
#[derive(Clone, Copy, Debug)]
pub(super) enum Resource<'a> {
    /// A topic.
    Topic(&'a str),
    /// The broker, by its number.
    Broker(&'a str),
}

impl Resource<'_> {
    /// As it travels.
    fn kind_and_name(&self) -> (i8, String) {
        match self {
            Resource::Topic(name) => (2, (*name).to_owned()),
            Resource::Broker(id) => (4, (*id).to_owned()),
        }
    }

    fn words(&self) -> String {
        match self {
            Resource::Topic(name) => format!("topic {name}"),
            Resource::Broker(id) => format!("broker {id}"),
        }
    }

    /// Its settings, or one of them.
    ///
    /// # Errors
    /// [`Problem`].
    pub(super) async fn settings(
        &self,
        asker: &Asker,
        only: Option<&str>,
    ) -> Result<Vec<DescribeConfigsResourceResult>, Problem> {
        let (resource_type, resource_name) = self.kind_and_name();
        let configuration_keys = only.map(|name| vec![name.to_owned()]);
        let resource = DescribeConfigsResource { resource_type, resource_name, configuration_keys };
        let request = DescribeConfigsRequest {
            resources: vec![resource],
            include_synonyms: true,
            ..Default::default()
        };
        let answer = asker.ask(DESCRIBE_CONFIGS, &request).await?;
        let mut found = Vec::new();
        for result in answer.results {
            check(result.error_code, &self.words())?;
            found.extend(result.configs);
        }
        Ok(found)
    }

    /// Changes settings of it, each by [`SET`] or [`DELETE`].
    ///
    /// # Errors
    /// [`Problem`], in the broker's words where it has some.
    pub(super) async fn change(
        &self,
        asker: &Asker,
        changes: Vec<(String, i8, Option<String>)>,
        validate_only: bool,
    ) -> Result<(), Problem> {
        let configs = changes.into_iter().map(|(name, config_operation, value)| IncrementalAlterableConfig {
            name,
            config_operation,
            value,
        });
        let (resource_type, resource_name) = self.kind_and_name();
        let resource =
            IncrementalAlterConfigsResource { resource_type, resource_name, configs: configs.collect() };
        let request = IncrementalAlterConfigsRequest { resources: vec![resource], validate_only };
        let answer = asker.ask(ALTER_CONFIGS, &request).await?;
        for result in answer.responses {
            check_with(result.error_code, result.error_message, &self.words())?;
        }
        Ok(())
    }
}

/// The word for where a setting comes from.
pub(super) fn source(number: i8) -> &'static str {
    match number {
        1 => "DYNAMIC_TOPIC_CONFIG",
        2 => "DYNAMIC_BROKER_CONFIG",
        3 => "DYNAMIC_DEFAULT_BROKER_CONFIG",
        4 => "STATIC_BROKER_CONFIG",
        5 => "DEFAULT_CONFIG",
        _ => "UNKNOWN",
    }
}
