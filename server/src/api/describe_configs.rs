//! DescribeConfigs: the settings of topics and of this broker. Read only.

use crate::api::configs::{SOURCE_DEFAULT, SOURCE_FILE, kind_code, topic_settings};
use crate::config::BROKER_CONFIGS;
use crate::dispatch::Broker;
use crate::messages::{
    DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResourceResult, DescribeConfigsResponse,
    DescribeConfigsResult, DescribeConfigsSynonym,
};
use crate::wire::ErrorCode;

/// The resource types that are answered.
const TOPIC: i8 = 2;
const BROKER: i8 = 4;

/// The settings of each resource, all or those that are named.
pub async fn handle(broker: &Broker, _: i16, request: DescribeConfigsRequest) -> DescribeConfigsResponse {
    let results = request.resources.iter().map(|resource| {
        let described = match resource.resource_type {
            TOPIC => topic(broker, resource, request.include_documentation),
            BROKER => node(broker, resource, request.include_documentation),
            other => {
                let message = format!("no settings are kept for resources of type {other}");
                Err((ErrorCode::InvalidRequest, message))
            }
        };
        let (error, error_message, mut configs) = match described {
            Ok(configs) => (ErrorCode::None, None, configs),
            Err((error, message)) => (error, Some(message), Vec::new()),
        };
        if let Some(keys) = &resource.configuration_keys {
            configs.retain(|config| keys.contains(&config.name));
        }
        if !request.include_synonyms {
            configs.iter_mut().for_each(|config| config.synonyms.clear());
        }
        DescribeConfigsResult {
            error_code: error.code(),
            error_message,
            resource_type: resource.resource_type,
            resource_name: resource.resource_name.clone(),
            configs,
        }
    });
    DescribeConfigsResponse { results: results.collect(), ..Default::default() }
}

type Described = Result<Vec<DescribeConfigsResourceResult>, (ErrorCode, String)>;

fn topic(broker: &Broker, resource: &DescribeConfigsResource, documented: bool) -> Described {
    let topics = broker.shard.topics();
    let topic = topics.by_name(&resource.resource_name).ok_or_else(|| {
        let message = format!("topic '{}' does not exist", resource.resource_name);
        (ErrorCode::UnknownTopicOrPartition, message)
    })?;
    let settings = topic_settings(&topic.own_configs, broker.shard.handle().topic_defaults());
    let configs = settings.into_iter().map(|setting| DescribeConfigsResourceResult {
        name: setting.entry.name.to_owned(),
        value: Some(setting.value),
        config_source: setting.source,
        synonyms: setting.synonyms,
        config_type: kind_code(setting.entry.kind),
        documentation: documented.then(|| setting.entry.doc.to_owned()),
        ..Default::default()
    });
    Ok(configs.collect())
}

/// The broker's own settings, and the defaults that it gives to topics. An empty name asks for what all brokers share dynamically: there
/// is nothing of that kind.
fn node(broker: &Broker, resource: &DescribeConfigsResource, documented: bool) -> Described {
    if resource.resource_name.is_empty() {
        return Ok(Vec::new());
    }
    let node_id = broker.shard.handle().meta().node_id;
    if resource.resource_name != node_id.to_string() {
        let message = format!("this is broker {node_id}, not '{}'", resource.resource_name);
        return Err((ErrorCode::InvalidRequest, message));
    }
    let own = BROKER_CONFIGS.iter().map(|entry| {
        let set = broker.config.set_value(entry.name);
        (entry.name, entry, set.map(str::to_owned))
    });
    let defaults = broker.shard.handle().topic_defaults();
    let of_topics = strandline_engine::config::TOPIC_CONFIGS.iter().map(|entry| {
        let (value, is_set) = defaults.get(entry);
        (entry.broker_name, entry, is_set.then(|| value.to_owned()))
    });
    let configs = own.chain(of_topics).map(|(name, entry, set)| {
        let synonym = |value: &str, source| DescribeConfigsSynonym {
            name: name.to_owned(),
            value: Some(value.to_owned()),
            source,
        };
        let mut synonyms: Vec<_> = set.iter().map(|value| synonym(value, SOURCE_FILE)).collect();
        synonyms.push(synonym(entry.default, SOURCE_DEFAULT));
        DescribeConfigsResourceResult {
            name: name.to_owned(),
            value: synonyms[0].value.clone(),
            read_only: true,
            config_source: synonyms[0].source,
            synonyms,
            config_type: kind_code(entry.kind),
            documentation: documented.then(|| entry.doc.to_owned()),
            ..Default::default()
        }
    });
    Ok(configs.collect())
}
