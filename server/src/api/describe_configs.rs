//! DescribeConfigs: the settings of topics, of groups and of this broker.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use strandline_engine::config::{ConfigKind, ConfigMode, InForce, Origin};
use strandline_engine::reactor::yield_if_needed;
use strandline_engine::topics::Topic;
use strandline_protocol::messages::{
    DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResourceResult, DescribeConfigsResponse,
    DescribeConfigsResult, DescribeConfigsSynonym,
};
use strandline_protocol::wire::ErrorCode;

use crate::answer::{Body, Made};
use crate::api::configs::{SOURCE_GROUP, kind_code, may, not_kept, source_code, topic_settings};
use crate::broker::Broker;
use crate::call::Call;
use crate::config::{
    BrokerConfig, GROUP_CONFIGS, broker_config_entry, broker_configs, group_layers, layers, own_settings,
};
use crate::refusal::{Refusal, told};
use crate::security::acl::Operation;

/// The resource types that are answered.
const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const GROUP: i8 = 32;

/// The settings of each resource, all or those that are named. They are made when they are written: those of
/// a topic take a hundred times its name.
pub async fn handle(call: &Call, request: DescribeConfigsRequest) -> impl Body + use<> {
    let broker = &*call.broker;
    let mut resources = Vec::new();
    let topics = broker.shard.topics();
    for (at, asked) in once(request.resources).into_iter().enumerate() {
        let may = may(call, Operation::DescribeConfigs, (asked.resource_type, &asked.resource_name));
        let of = match asked.resource_type {
            _ if let Err(error) = may => Err(Refusal::from(error)),
            TOPIC => topics.by_name(&asked.resource_name).cloned().map(Of::Topic).ok_or_else(|| {
                let message = format!("topic '{}' does not exist", asked.resource_name);
                Refusal::new(ErrorCode::UnknownTopicOrPartition, message)
            }),
            BROKER => node(broker, &asked.resource_name),
            GROUP if asked.resource_name.is_empty() => {
                Err(Refusal::new(ErrorCode::InvalidRequest, "a group has a name"))
            }
            // As in Kafka, whether there is one or not: it may have settings before it has members.
            GROUP => Ok(Of::Group),
            other => Err(Refusal::new(ErrorCode::InvalidRequest, not_kept(other))),
        };
        let keys = asked.configuration_keys.map(|keys| keys.into_iter().collect());
        resources.push(Resource { kind: asked.resource_type, name: asked.resource_name, keys, of });
        if at % STEP == STEP - 1 {
            yield_if_needed().await;
        }
    }
    let errors = resources.iter().filter_map(|resource| resource.of.as_ref().err());
    let errors = errors.map(|refusal| refusal.code.code()).collect();
    let (count, holds) = (resources.len(), resources.len() * RESOURCE_BYTES);
    let (config, in_force) = (broker.config.clone(), broker.engine.settings());
    let (synonyms, documented) = (request.include_synonyms, request.include_documentation);
    let make = move |at: usize| resources[at].describe(&config, &in_force, synonyms, documented);
    Made { message: DescribeConfigsResponse::default(), array: "results", count, make, errors, holds }
}

/// Resources that are looked at before others get the thread.
const STEP: usize = 64;

/// About what a resource takes of the memory until its settings have left.
const RESOURCE_BYTES: usize = 256;

/// A resource that is asked for.
struct Resource {
    kind: i8,
    name: String,
    keys: Option<HashSet<String>>,
    of: Result<Of, Refusal>,
}

/// Whose settings are told.
enum Of {
    Topic(Arc<Topic>),
    /// This one, of that number.
    Broker(i32),
    AllBrokers,
    /// The one of the resource's name.
    Group,
}

impl Resource {
    fn describe(
        &self,
        config: &BrokerConfig,
        in_force: &InForce,
        synonyms: bool,
        documented: bool,
    ) -> DescribeConfigsResult {
        let mut configs = match &self.of {
            Ok(Of::Topic(topic)) => of_topic(topic, in_force, documented),
            Ok(Of::Broker(id)) => of_broker(*id, config, in_force, documented),
            Ok(Of::AllBrokers) => of_all_brokers(in_force, documented),
            Ok(Of::Group) => of_group(&self.name, config, in_force, documented),
            Err(_) => Vec::new(),
        };
        let (error_code, error_message) = told(self.of.as_ref().err().cloned());
        if let Some(keys) = &self.keys {
            configs.retain(|config| keys.contains(&config.name));
        }
        if !synonyms {
            configs.iter_mut().for_each(|config| config.synonyms.clear());
        }
        DescribeConfigsResult {
            error_code,
            error_message,
            resource_type: self.kind,
            resource_name: self.name.clone(),
            configs,
        }
    }
}

/// Each resource once, with all settings that are asked of it.
fn once(resources: Vec<DescribeConfigsResource>) -> Vec<DescribeConfigsResource> {
    let mut merged: Vec<DescribeConfigsResource> = Vec::with_capacity(resources.len());
    let mut places = HashMap::with_capacity(resources.len());
    for resource in resources {
        match places.entry((resource.resource_type, resource.resource_name.clone())) {
            Entry::Vacant(place) => {
                place.insert(merged.len());
                merged.push(resource);
            }
            Entry::Occupied(place) => {
                let before = &mut merged[*place.get()].configuration_keys;
                match (before.as_mut(), resource.configuration_keys) {
                    (Some(before), Some(more)) => before.extend(more),
                    (_, None) | (None, _) => *before = None,
                }
            }
        }
    }
    merged
}

/// This broker; or with an empty name, what was set for all brokers while they ran.
fn node(broker: &Broker, name: &str) -> Result<Of, Refusal> {
    let me = broker.cluster.me().id;
    match name {
        "" => Ok(Of::AllBrokers),
        name if name == me.to_string() => Ok(Of::Broker(me)),
        other => Err(Refusal::new(ErrorCode::InvalidRequest, format!("this is broker {me}, not '{other}'"))),
    }
}

fn of_topic(topic: &Topic, in_force: &InForce, documented: bool) -> Vec<DescribeConfigsResourceResult> {
    let settings = topic_settings(&topic.own_configs, &in_force.topic_defaults);
    let configs = settings.into_iter().map(|setting| DescribeConfigsResourceResult {
        name: setting.entry.name.to_owned(),
        value: Some(setting.value),
        config_source: setting.source,
        synonyms: setting.synonyms,
        config_type: kind_code(setting.entry.kind),
        documentation: documented.then(|| setting.entry.documentation()),
        ..Default::default()
    });
    configs.collect()
}

fn of_all_brokers(in_force: &InForce, documented: bool) -> Vec<DescribeConfigsResourceResult> {
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
    shared.collect()
}

fn of_group(
    group: &str,
    config: &BrokerConfig,
    in_force: &InForce,
    documented: bool,
) -> Vec<DescribeConfigsResourceResult> {
    let own = own_settings(&in_force.dynamic, group);
    let configs = GROUP_CONFIGS.iter().map(|found| &found.entry).map(|entry| {
        let layers = group_layers(config, &in_force.dynamic, &own, entry).into_iter();
        let synonyms = layers.map(|(origin, name, value)| DescribeConfigsSynonym {
            name: name.to_owned(),
            value: Some(value),
            source: origin.map_or(SOURCE_GROUP, source_code),
        });
        let synonyms: Vec<_> = synonyms.collect();
        let first = synonyms.first();
        DescribeConfigsResourceResult {
            name: entry.name.to_owned(),
            value: first.and_then(|first| first.value.clone()),
            config_source: first.map_or(source_code(Origin::Default), |first| first.source),
            synonyms,
            config_type: kind_code(entry.kind),
            documentation: documented.then(|| entry.documentation()),
            ..Default::default()
        }
    });
    configs.collect()
}

/// The broker's own settings, and the defaults that it gives to topics.
fn of_broker(
    node_id: i32,
    config: &BrokerConfig,
    in_force: &InForce,
    documented: bool,
) -> Vec<DescribeConfigsResourceResult> {
    let configs = broker_configs().filter_map(|entry| {
        let name = entry.broker_name?;
        let is_sensitive = entry.kind == ConfigKind::Password;
        let synonyms: Vec<_> = layers(config, in_force, entry)
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
    configs.collect()
}
