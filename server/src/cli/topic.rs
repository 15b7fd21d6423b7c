//! `strandline topic`: create, list, describe, alter and delete topics, and delete their records.

use super::common::{Cluster, CommandError, joined, name_and_value, or_dash};
use clap::Subcommand;
use serde_json::json;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::process::ExitCode;
use strandline_client::{Client, Moment, Partition, Setting, Source, Topic, TopicSpec};
use strandline_protocol::wire::ErrorCode;

const CREATE_EXAMPLES: &str = "\
Examples:
  strandline topic create events
  strandline topic create events --partitions 8 --config retention.ms=86400000
  strandline topic create state --config cleanup.policy=compact --if-not-exists";

const ALTER_EXAMPLES: &str = "\
Examples:
  strandline topic alter events --set retention.ms=3600000 --unset segment.bytes
  strandline topic alter events --partitions 16";

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) cluster: Cluster,
    #[command(subcommand)]
    command: TopicCommand,
}

#[derive(Debug, Subcommand)]
enum TopicCommand {
    /// Create a topic, and wait until it can be used
    #[command(after_help = CREATE_EXAMPLES)]
    Create {
        /// The topic
        name: String,
        /// How many partitions; the broker's num.partitions unless given
        #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..))]
        partitions: Option<i32>,
        /// A setting by Kafka's name; may be repeated
        #[arg(short, long = "config", value_name = "NAME=VALUE", value_parser = name_and_value)]
        configs: Vec<(String, String)>,
        /// Do nothing, successfully, when it is there (whatever its partitions and settings are)
        #[arg(long)]
        if_not_exists: bool,
    },
    /// Print the names of all topics, one a line
    List {
        /// Print a JSON array of objects with name, id, partitions and internal
        #[arg(long)]
        json: bool,
    },
    /// Print a topic's partitions and the settings that differ from the defaults
    Describe {
        /// The topic
        name: String,
        /// Print a JSON object
        #[arg(long)]
        json: bool,
    },
    /// Change a topic's settings, or give it more partitions; in force at once
    #[command(after_help = ALTER_EXAMPLES)]
    Alter {
        /// The topic
        name: String,
        /// Set a setting by Kafka's name; may be repeated
        #[arg(short, long, value_name = "NAME=VALUE", value_parser = name_and_value)]
        set: Vec<(String, String)>,
        /// Take a setting back to its default; may be repeated
        #[arg(short, long, value_name = "NAME")]
        unset: Vec<String>,
        /// How many partitions it shall have: more than now
        #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..))]
        partitions: Option<i32>,
    },
    /// Delete the oldest records of a topic, for good; prints what is left
    DeleteRecords {
        /// The topic
        name: String,
        /// The partition; all of them unless given
        #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(i32).range(0..))]
        partition: Option<i32>,
        /// The first offset to keep; without it, all records there are go
        #[arg(long, value_name = "OFFSET", value_parser = clap::value_parser!(i64).range(0..))]
        before: Option<i64>,
    },
    /// Delete a topic with all its records
    Delete {
        /// The topic
        name: String,
        /// Do nothing, successfully, when it is not there
        #[arg(long)]
        if_exists: bool,
    },
}

/// Does with a topic what is asked for.
pub(super) fn run(args: Args) -> Result<ExitCode, CommandError> {
    let mut client = args.cluster.connect()?;
    match args.command {
        TopicCommand::Create { name, partitions, configs, if_not_exists } => {
            let spec = TopicSpec { name, partitions, settings: configs };
            match client.create_topic(&spec) {
                Err(error) if if_not_exists && error.is(ErrorCode::TopicAlreadyExists) => {}
                done => done?,
            }
        }
        TopicCommand::List { json } => list(&client.topics()?, json, &mut io::stdout().lock())?,
        TopicCommand::Describe { name, json } => {
            let description = Description::of(&mut client, &name)?;
            let mut out = io::stdout().lock();
            match json {
                true => writeln!(out, "{}", description.json())?,
                false => description.text(&mut out)?,
            }
        }
        TopicCommand::Alter { name, set, unset, partitions } => {
            if !set.is_empty() || !unset.is_empty() {
                client.alter_topic(&name, &set, &unset)?;
            }
            if let Some(count) = partitions {
                client.grow_topic(&name, count)?;
            }
        }
        TopicCommand::DeleteRecords { name, partition, before } => {
            let topic = client.topic(&name)?;
            let all = topic.partitions.iter().map(|partition| partition.index);
            let mut out = io::stdout().lock();
            for index in partition.map_or_else(|| all.collect(), |partition| vec![partition]) {
                let earliest = client.delete_records(&name, index, before)?;
                writeln!(out, "partition {index} starts at offset {earliest}")?;
            }
        }
        TopicCommand::Delete { name, if_exists } => match client.delete_topic(&name) {
            Err(error) if if_exists && error.is(ErrorCode::UnknownTopicOrPartition) => {}
            done => done?,
        },
    }
    Ok(ExitCode::SUCCESS)
}

fn list(topics: &[Topic], json: bool, out: &mut impl Write) -> Result<(), CommandError> {
    if json {
        let topics = topics.iter().map(|topic| {
            json!({
                "name": topic.name,
                "id": topic.id.to_string(),
                "partitions": topic.partitions.len(),
                "internal": topic.internal,
            })
        });
        writeln!(out, "{}", serde_json::Value::Array(topics.collect()))?;
        return Ok(());
    }
    for topic in topics {
        writeln!(out, "{}", topic.name)?;
    }
    Ok(())
}

/// What there is to say about a topic.
struct Description {
    topic: Topic,
    earliest: BTreeMap<i32, i64>,
    latest: BTreeMap<i32, i64>,
    settings: Vec<Setting>,
}

impl Description {
    fn of(client: &mut Client, name: &str) -> Result<Description, CommandError> {
        let topic = client.topic(name)?;
        // A partition without a leader has no one to ask; the rest is worth showing.
        let led = topic.partitions.iter().filter(|partition| partition.leader.is_ok());
        let led: Vec<i32> = led.map(|partition| partition.index).collect();
        let earliest = client.offsets(name, &led, Moment::Earliest)?;
        let latest = client.offsets(name, &led, Moment::Latest)?;
        let mut settings = client.topic_settings(name)?;
        settings.retain(|setting| setting.source != Source::Default);
        Ok(Description { topic, earliest, latest, settings })
    }

    fn json(&self) -> serde_json::Value {
        let partitions = self.topic.partitions.iter().map(|partition| {
            json!({
                "partition": partition.index,
                "leader": partition.leader.ok(),
                "replicas": partition.replicas,
                "in_sync": partition.in_sync,
                "earliest": self.earliest.get(&partition.index),
                "latest": self.latest.get(&partition.index),
            })
        });
        let settings = self.settings.iter().map(|setting| (setting.name.clone(), json!(setting.value)));
        json!({
            "name": self.topic.name,
            "id": self.topic.id.to_string(),
            "internal": self.topic.internal,
            "partitions": partitions.collect::<Vec<_>>(),
            "configs": settings.collect::<serde_json::Map<_, _>>(),
        })
    }

    fn text(&self, out: &mut impl Write) -> io::Result<()> {
        writeln!(out, "topic {}, id {}", self.topic.name, self.topic.id)?;
        writeln!(
            out,
            "{:>9} {:>6} {:>12} {:>12} {:>12} {:>12}",
            "partition", "leader", "replicas", "in sync", "earliest", "latest"
        )?;
        for partition in &self.topic.partitions {
            let Partition { index, leader, replicas, in_sync } = partition;
            writeln!(
                out,
                "{index:>9} {:>6} {:>12} {:>12} {:>12} {:>12}",
                or_dash(leader.ok()),
                joined(replicas),
                joined(in_sync),
                or_dash(self.earliest.get(index)),
                or_dash(self.latest.get(index)),
            )?;
        }
        for setting in &self.settings {
            let of_broker = if setting.source == Source::Topic { "" } else { "  (of the broker)" };
            writeln!(out, "{}={}{of_broker}", setting.name, setting.shown())?;
        }
        Ok(())
    }
}
