//! AlterConfigs and IncrementalAlterConfigs: the settings of topics and of groups, and those of the broker
//! that may change while it runs, for this one or for all. Durable, and in force, when the answer leaves.
//!
//! Kafka takes names for its brokers that nobody knows; here they are refused, as a misspelt setting would
//! never do anything.

use std::collections::{HashMap, HashSet};

use strandline_engine::config::{ConfigError, InForce, Origin};
use strandline_engine::error::TopicError;
use strandline_engine::reactor::yield_if_needed;
use strandline_engine::topics::{ConfigChange, ConfigStep};
use strandline_engine::types::TopicId;
use strandline_protocol::messages::{
    AlterConfigsRequest, AlterConfigsResource, AlterConfigsResourceResponse, AlterConfigsResponse,
    IncrementalAlterConfigsRequest, IncrementalAlterConfigsResource, IncrementalAlterConfigsResponse,
    IncrementalAlterableConfig,
};
use strandline_protocol::wire::ErrorCode;

use crate::api::configs::{may, not_kept};
use crate::broker::Broker;
use crate::call::Call;
use crate::config::{changed, changed_group, is_of_tls};
use crate::refusal::{Refusal, told};
use crate::security::acl::Operation;

/// Resource types, in Kafka's numbers.
const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const GROUP: i8 = 32;

/// What IncrementalAlterConfigs does with a setting, in Kafka's numbers.
const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

/// What is asked for one resource: its type, its name, the change.
type Asked = (i8, String, Result<ConfigChange, Refusal>);

fn invalid(message: String) -> Refusal {
    Refusal::new(ErrorCode::InvalidRequest, message)
}

/// Replaces all settings of each resource.
pub async fn replace(call: &Call, request: AlterConfigsRequest) -> AlterConfigsResponse {
    let asked = |resource: &AlterConfigsResource| {
        (resource.resource_type, resource.resource_name.clone(), replacement(resource))
    };
    let asked = request.resources.iter().map(asked).collect();
    let responses = alter(call, asked, request.validate_only).await;
    AlterConfigsResponse { responses, ..Default::default() }
}

/// Changes single settings of each resource.
pub async fn change(call: &Call, request: IncrementalAlterConfigsRequest) -> IncrementalAlterConfigsResponse {
    let asked = |resource: &IncrementalAlterConfigsResource| {
        (resource.resource_type, resource.resource_name.clone(), steps(resource))
    };
    let asked = request.resources.iter().map(asked).collect();
    let responses = alter(call, asked, request.validate_only).await;
    IncrementalAlterConfigsResponse { responses, ..Default::default() }
}

/// Alters the resources: topics together, with one write of the topic table. One that comes twice is not
/// changed at all, and answered once.
async fn alter(call: &Call, asked: Vec<Asked>, validate_only: bool) -> Vec<AlterConfigsResourceResponse> {
    let broker = &*call.broker;
    let asked = refuse_repeated(asked);
    let mut done = Vec::with_capacity(asked.len());
    let (mut topics, mut changes) = (Vec::new(), Vec::new());
    for (at, (kind, name, change)) in asked.into_iter().enumerate() {
        let may = may(call, Operation::AlterConfigs, (kind, &name));
        let refusal = match (kind, change) {
            _ if let Err(error) = may => Some(Refusal::from(error)),
            (_, Err(refusal)) => Some(refusal),
            (TOPIC, Ok(change)) => match check_topic(broker, &name, &change) {
                Ok(id) => {
                    topics.push(at);
                    changes.push((id, change));
                    None
                }
                Err(refusal) => Some(refusal),
            },
            (BROKER, Ok(change)) => alter_broker(broker, &name, change, validate_only).await.err(),
            (GROUP, Ok(change)) => alter_group(broker, &name, change, validate_only).await.err(),
            (other, Ok(_)) => Some(invalid(not_kept(other))),
        };
        done.push((kind, name, refusal));
        yield_if_needed().await;
    }
    if !validate_only && !changes.is_empty() {
        let altered = broker.engine.alter_topics(changes).await;
        for (at, altered) in topics.into_iter().zip(altered) {
            done[at].2 = altered.err().map(Refusal::from);
        }
    }
    let answers = done.into_iter().map(|(resource_type, resource_name, refusal)| {
        let (error_code, error_message) = told(refusal);
        AlterConfigsResourceResponse { error_code, error_message, resource_type, resource_name }
    });
    answers.collect()
}

/// Each resource once.
fn refuse_repeated(mut asked: Vec<Asked>) -> Vec<Asked> {
    let mut named: HashMap<(i8, String), u32> = HashMap::new();
    for (kind, name, _) in &asked {
        *named.entry((*kind, name.clone())).or_insert(0) += 1;
    }
    asked.retain_mut(|(kind, name, change)| {
        let Some(count) = named.remove(&(*kind, name.clone())) else { return false };
        if count > 1 {
            let message = format!("'{name}' is named {count} times in one request");
            *change = Err(Refusal::new(ErrorCode::InvalidRequest, message));
        }
        true
    });
    asked
}

fn replacement(resource: &AlterConfigsResource) -> Result<ConfigChange, Refusal> {
    let mut configs = Vec::with_capacity(resource.configs.len());
    let mut names = HashSet::new();
    for config in &resource.configs {
        if !names.insert(&config.name) {
            return Err(invalid(format!("{} is given twice", config.name)));
        }
        let value = config.value.clone();
        let value = value
            .ok_or_else(|| Refusal::new(ErrorCode::InvalidConfig, format!("{} has no value", config.name)))?;
        configs.push((config.name.clone(), value));
    }
    Ok(ConfigChange::Replace(configs))
}

fn steps(resource: &IncrementalAlterConfigsResource) -> Result<ConfigChange, Refusal> {
    let mut steps = Vec::with_capacity(resource.configs.len());
    let mut names = HashSet::new();
    for config in &resource.configs {
        if !names.insert(&config.name) {
            return Err(invalid(format!("{} is changed twice", config.name)));
        }
        steps.push(step(config)?);
    }
    Ok(ConfigChange::Steps(steps))
}

fn step(config: &IncrementalAlterableConfig) -> Result<ConfigStep, Refusal> {
    let name = config.name.clone();
    let made: fn(String, String) -> ConfigStep = match config.config_operation {
        SET => ConfigStep::Set,
        DELETE => return Ok(ConfigStep::Delete(name)),
        APPEND => ConfigStep::Append,
        SUBTRACT => ConfigStep::Subtract,
        other => return Err(invalid(format!("{name}: there is no operation {other}"))),
    };
    match config.value.clone() {
        Some(value) => Ok(made(name, value)),
        None => Err(invalid(format!("{name} has no value"))),
    }
}

/// The topic that is to change, when it can.
fn check_topic(broker: &Broker, name: &str, change: &ConfigChange) -> Result<TopicId, Refusal> {
    let topics = broker.shard.topics();
    let topic = topics.by_name(name).ok_or_else(|| TopicError::Unknown(name.to_owned()))?;
    let defaults = &broker.engine.settings().topic_defaults;
    topic.changed_configs(change, defaults).map_err(TopicError::from)?;
    Ok(topic.id)
}

async fn alter_broker(
    broker: &Broker,
    name: &str,
    change: ConfigChange,
    validate_only: bool,
) -> Result<(), Refusal> {
    let refused = |error: TopicError| match &error {
        TopicError::Config(ConfigError::UnknownName { name }) => {
            invalid(format!("there is no broker setting {name}"))
        }
        TopicError::Config(_) => invalid(error.to_string()),
        _ => error.into(),
    };
    let me = broker.cluster.me().id;
    let scope = match name {
        "" => Origin::AllBrokers,
        name if name == me.to_string() => Origin::ThisBroker,
        other => return Err(invalid(format!("this is broker {me}, not '{other}'"))),
    };
    let is_of_keys = change.names().any(is_of_tls) && !broker.keys.is_empty();
    let config = broker.config.clone();
    let change = move |in_force: &InForce| changed(&config, in_force, scope, &change);
    if is_of_keys {
        let wanted = change(&broker.engine.settings()).map_err(|error| refused(error.into()))?;
        let unusable = broker.keys.check(wanted).await.err();
        if let Some(why) = unusable {
            return Err(Refusal::new(ErrorCode::InvalidRequest, why.to_string()));
        }
    }
    match validate_only {
        true => change(&broker.engine.settings()).map(drop).map_err(|error| refused(error.into())),
        false => {
            broker.engine.alter_settings(change).await.map_err(refused)?;
            if is_of_keys {
                broker.keys.renew(&broker.engine).await;
            }
            Ok(())
        }
    }
}

async fn alter_group(
    broker: &Broker,
    name: &str,
    change: ConfigChange,
    validate_only: bool,
) -> Result<(), Refusal> {
    if name.is_empty() {
        return Err(invalid("a group has a name".to_owned()));
    }
    let (config, group) = (broker.config.clone(), name.to_owned());
    let change = move |in_force: &InForce| changed_group(&config, &in_force.dynamic, &group, &change);
    let altered = match validate_only {
        true => change(&broker.engine.settings()).map(drop).map_err(TopicError::from),
        false => broker.engine.alter_settings(change).await,
    };
    altered.map_err(|error| match error {
        TopicError::Config(ConfigError::UnknownName { name }) => {
            Refusal::new(ErrorCode::InvalidConfig, format!("there is no setting {name} of groups"))
        }
        error => error.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(of: &[(&str, i8, Option<&str>)]) -> Result<ConfigChange, ErrorCode> {
        let configs = of.iter().map(|(name, config_operation, value)| IncrementalAlterableConfig {
            name: (*name).to_owned(),
            config_operation: *config_operation,
            value: value.map(str::to_owned),
        });
        let resource = IncrementalAlterConfigsResource { configs: configs.collect(), ..Default::default() };
        steps(&resource).map_err(|refusal| refusal.code)
    }

    #[test]
    fn a_change_names_a_setting_once_and_has_a_value_unless_it_deletes() {
        assert!(changes(&[("a", SET, Some("1")), ("b", DELETE, None), ("c", SUBTRACT, Some("x"))]).is_ok());
        assert_eq!(changes(&[("a", SET, None)]).unwrap_err(), ErrorCode::InvalidRequest);
        assert_eq!(changes(&[("a", 4, Some("1"))]).unwrap_err(), ErrorCode::InvalidRequest);
        let twice = [("a", SET, Some("1")), ("a", DELETE, None)];
        assert_eq!(changes(&twice).unwrap_err(), ErrorCode::InvalidRequest);
    }

    #[test]
    fn a_resource_that_comes_twice_is_refused_once() {
        let nothing = || Ok(ConfigChange::Replace(Vec::new()));
        let asked = [(TOPIC, "a"), (BROKER, "a"), (TOPIC, "b"), (TOPIC, "b")]
            .map(|(kind, name)| (kind, name.to_owned(), nothing()));
        let changed = |asked: Vec<Asked>| asked.into_iter().map(|(_, _, change)| change.is_ok());
        assert!(changed(refuse_repeated(asked.to_vec())).eq([true, true, false]));
    }
}
