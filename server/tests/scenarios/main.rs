//! Tests of the Kafka front through its public interface.

mod amplification;
mod answers;
mod broker;
mod broker_settings;
mod cli;
mod client;
mod configuration;
mod consumer_groups;
mod effects;
mod fronts;
mod groups;
mod hostile;
mod kafka_settings;
mod log;
mod logging;
mod metrics;
mod names;
mod node_id;
mod permissions;
mod produce_fetch;
mod quotas;
mod records;
mod refused;
mod restart;
mod retention;
mod sasl;
mod share_groups;
mod single_node;
mod streams_groups;
mod tls;
mod tokens;
mod topics;
mod transactional_offsets;
mod transactions;
#[path = "../../protocol/tests/wire/samples/mod.rs"]
mod wire_samples;
