//! Reading and changing settings: those of topics, and those of a broker.

use super::connection::Connection;
use crate::admin::{AdminError, Subject};
use crate::{Client, Code};
use strandline_protocol::messages::{
    DescribeConfigsRequest, DescribeConfigsResource, IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResource, IncrementalAlterableConfig,
};

/// A setting with the value in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Kafka's name of it.
    pub name: String,
    /// `None` when it is secret, or nothing was set.
    pub value: Option<String>,
    /// Whether the value is nobody's to see.
    pub is_secret: bool,
    /// Where the value comes from.
    pub source: Source,
    /// What it does, in the broker's words.
    pub documentation: Option<String>,
}

impl Setting {
    /// The value for people.
    pub fn shown(&self) -> &str {
        match &self.value {
            Some(value) => value,
            None if self.is_secret => "(secret)",
            None => "(none)",
        }
    }
}

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// It was set for this topic.
    Topic,
    /// It was set for this broker while it ran.
    DynamicBroker,
    /// It was set for all brokers while they ran.
    DynamicDefault,
    /// The broker was started with it.
    Broker,
    /// Nobody has set it.
    Default,
}

impl Source {
    /// From Kafka's number.
    fn of(code: i8) -> Source {
        match code {
            1 => Source::Topic,
            2 => Source::DynamicBroker,
            3 => Source::DynamicDefault,
            5 => Source::Default,
            _ => Source::Broker,
        }
    }

    /// The word for people and programs.
    pub fn word(self) -> &'static str {
        match self {
            Source::Topic => "topic",
            Source::DynamicBroker => "dynamic broker",
            Source::DynamicDefault => "dynamic default",
            Source::Broker => "broker",
            Source::Default => "default",
        }
    }
}

/// Whose settings.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Resource<'a> {
    Topic(&'a str),
    Broker(i32),
}

impl Resource<'_> {
    /// The type in Kafka's number, and the name.
    fn wire(&self) -> (i8, String) {
        match self {
            Resource::Topic(name) => (2, (*name).to_owned()),
            Resource::Broker(id) => (4, id.to_string()),
        }
    }

    fn subject(&self) -> Subject {
        match self {
            Resource::Topic(name) => Subject::Topic((*name).to_owned()),
            Resource::Broker(id) => Subject::Broker(*id),
        }
    }
}

impl Client {
    /// The settings of a topic, in the broker's order.
    ///
    /// # Errors
    /// [`AdminError`].
    pub fn topic_settings(&mut self, name: &str) -> Result<Vec<Setting>, AdminError> {
        self.retrying(|client| {
            let mut broker = client.dial_controller()?;
            settings_at(&mut broker, &Resource::Topic(name))
        })
    }

    /// The settings of the broker that is the controller, in its order.
    ///
    /// # Errors
    /// [`AdminError`].
    pub fn broker_settings(&mut self) -> Result<Vec<Setting>, AdminError> {
        self.retrying(|client| {
            let mut broker = client.dial_controller()?;
            settings_at(&mut broker, &Resource::Broker(client.controller_id()))
        })
    }

    /// Sets settings of a topic, and takes others back to their defaults; all of it or nothing.
    ///
    /// # Errors
    /// [`AdminError`].
    pub fn alter_topic(
        &mut self,
        name: &str,
        set: &[(String, String)],
        unset: &[String],
    ) -> Result<(), AdminError> {
        self.retrying(|client| {
            let mut controller = client.dial_controller()?;
            alter_at(&mut controller, name, set, unset)
        })
    }
}

fn settings_at(broker: &mut Connection, resource: &Resource<'_>) -> Result<Vec<Setting>, AdminError> {
    let (resource_type, resource_name) = resource.wire();
    let asked = DescribeConfigsResource {
        resource_type,
        resource_name: resource_name.clone(),
        configuration_keys: None,
    };
    let request = DescribeConfigsRequest {
        resources: vec![asked],
        include_documentation: true,
        ..DescribeConfigsRequest::default()
    };
    let subject = || resource.subject();
    let response =
        broker.call(&request).map_err(|source| AdminError::Request { subject: subject(), source })?;
    let result = response.results.into_iter().find(|result| result.resource_name == resource_name);
    let result = result.ok_or_else(|| AdminError::NotMentioned { subject: subject() })?;
    let message = result.error_message;
    Code::check(result.error_code).map_err(|code| AdminError::Refused {
        subject: subject(),
        code,
        message,
    })?;
    let settings = result.configs.into_iter().map(|config| Setting {
        name: config.name,
        value: config.value.filter(|_| !config.is_sensitive),
        is_secret: config.is_sensitive,
        source: Source::of(config.config_source),
        documentation: config.documentation,
    });
    Ok(settings.collect())
}

fn alter_at(
    controller: &mut Connection,
    name: &str,
    set: &[(String, String)],
    unset: &[String],
) -> Result<(), AdminError> {
    /// What is done with a setting, in Kafka's numbers.
    const SET: i8 = 0;
    const DELETE: i8 = 1;
    let sets = set.iter().map(|(name, value)| IncrementalAlterableConfig {
        name: name.clone(),
        config_operation: SET,
        value: Some(value.clone()),
    });
    let unsets = unset.iter().map(|name| IncrementalAlterableConfig {
        name: name.clone(),
        config_operation: DELETE,
        value: None,
    });
    let (resource_type, resource_name) = Resource::Topic(name).wire();
    let resource = IncrementalAlterConfigsResource {
        resource_type,
        resource_name,
        configs: sets.chain(unsets).collect(),
    };
    let request = IncrementalAlterConfigsRequest { resources: vec![resource], validate_only: false };
    let subject = || Subject::Topic(name.to_owned());
    let response =
        controller.call(&request).map_err(|source| AdminError::Request { subject: subject(), source })?;
    let result = response.responses.into_iter().find(|result| result.resource_name == name);
    let result = result.ok_or_else(|| AdminError::NotMentioned { subject: subject() })?;
    let message = result.error_message;
    Code::check(result.error_code).map_err(|code| AdminError::Refused { subject: subject(), code, message })
}
