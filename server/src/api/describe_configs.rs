//! DescribeConfigs: the settings of topics and of this broker.

use strandline_engine::config::{ConfigKind, ConfigMode, Origin};

use crate::api::configs::{kind_code, not_kept, source_code, topic_settings};
use crate::config::{broker_config_entry, broker_configs, layers};
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
            other => Err((ErrorCode::InvalidRequest, not_kept(other))),
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
    let settings = topic_settings(&topic.own_configs, &broker.shard.handle().settings().topic_defaults);
    let configs = settings.into_iter().map(|setting| DescribeConfigsResourceResult {
        name: setting.entry.name.to_owned(),
        value: Some(setting.value),
        config_source: setting.source,
        synonyms: setting.synonyms,
        config_type: kind_code(setting.entry.kind),
        documentation: documented.then(|| setting.entry.documentation()),
        ..Default::default()
    });
    Ok(configs.collect())
}

/// The broker's own settings, and the defaults that it gives to topics. An empty name asks for what was set for all brokers while they
/// ran.
fn node(broker: &Broker, resource: &DescribeConfigsResource, documented: bool) -> Described {
    let in_force = broker.shard.handle().settings();
    if resource.resource_name.is_empty() {
        let shared = in_force.dynamic.all_brokers.iter().filter_map(|(name, value)| {
            let source = source_code(Origin::AllBrokers);
            let entry = broker_config_entry(name)?;
            let is_sensitive = entry.kind == ConfigKind::Password;
            let value = Some(value.clone()).filter(|_| !is_sensitive);
            let synonym = DescribeConfigsSynonym { name: name.clone(), value: value.clone(), source };
            Some(DescribeConfigsResourceResult {
                name: name.clone(),
                value,
                is_sensitive,
                config_source: source,
                synonyms: vec![synonym],
                config_type: kind_code(entry.kind),
                documentation: documented.then(|| entry.documentation()),
                ..Default::default()
            })
        });
        return Ok(shared.collect());
    }
    let node_id = broker.shard.handle().meta().node_id;
    if resource.resource_name != node_id.to_string() {
        let message = format!("this is broker {node_id}, not '{}'", resource.resource_name);
        return Err((ErrorCode::InvalidRequest, message));
    }
    let configs = broker_configs().filter_map(|entry| {
        let name = entry.broker_name?;
        let is_sensitive = entry.kind == ConfigKind::Password;
        let synonyms: Vec<_> = layers(&broker.config, &in_force, entry)
            .into_iter()
            .map(|(origin, value)| {
                let is_id = matches!(name, "node.id" | "broker.id") && origin == Origin::Default;
                let value = if is_id { node_id.to_string() } else { value };
                let source = source_code(origin);
                let value = Some(value).filter(|_| !is_sensitive);
                DescribeConfigsSynonym { name: name.to_owned(), value, source }
            })
            .collect();
        let first = synonyms.first();
        Some(DescribeConfigsResourceResult {
            name: name.to_owned(),
            value: first.and_then(|first| first.value.clone()),
            read_only: entry.mode == ConfigMode::ReadOnly,
            is_sensitive,
            config_source: first.map_or(source_code(Origin::Default), |first| first.source),
            synonyms,
            config_type: kind_code(entry.kind),
            documentation: documented.then(|| entry.documentation()),
        })
    });
    Ok(configs.collect())
}
