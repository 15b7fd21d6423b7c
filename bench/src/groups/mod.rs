//! Groups: how long a rebalance takes, how fast a queue is worked off, and what groups that do nothing cost.
//!
//! ```text
//! a system's round   for each number of members:    all join at once > stable | one of ten leaves > stable   (members)
//!                    for each number of consumers:  a filled partition, fetched and acknowledged             (queue)
//!                    groups with a member and an offset each: memory before and after                        (idle)
//! ```
//! Members speak KIP-848 and queues are share groups (KIP-932). Time counts from the first heartbeat to the
//! answer with which every partition has an owner and all members are in one epoch; that no partition has two
//! owners in between is checked, and so is that a queue gives no record to two consumers.

mod idle;
mod members;
mod queue;

use crate::broker::{Fresh, System, Target};
use crate::client::{Client, ClientError, refuse};
use crate::measure::MeasureError;
use crate::output::note;
use crate::process::{self, Usage};
use crate::report::{Quantities, Rounds, number};
use crate::workload::Workload;
use serde_json::{Map, Value, json};
use std::path::Path;
use std::time::Duration;
use strandline_protocol::messages::{
    IncrementalAlterConfigsRequest, IncrementalAlterConfigsResource, IncrementalAlterableConfig,
};
use strandline_protocol::wire::ErrorCode;

/// A resource of this type is a group.
const GROUP: i8 = 32;
/// How long a member rests when the coordinator is not there yet, in nanoseconds.
const PAUSE: u64 = 20_000_000;
/// Connections that members share: each waits for one answer at a time.
const CONNECTIONS: usize = 32;

/// What is done.
#[derive(Debug)]
pub(crate) struct Groups {
    /// The systems, in the order of the table.
    pub(crate) systems: Vec<System>,
    /// Members that join at once, a number a run.
    pub(crate) members: Vec<u32>,
    /// Partitions that they share.
    pub(crate) partitions: u32,
    /// How often a member says that it is there; the broker's default would be most of what is measured.
    pub(crate) heartbeat: Duration,
    /// Consumers of one partition, a number a run.
    pub(crate) consumers: Vec<u32>,
    /// What that partition is filled with: `record_bytes`, `records_per_batch` and `seconds` (at the most)
    /// count.
    pub(crate) workload: Workload,
    /// Records in it.
    pub(crate) backlog: u64,
    /// Groups that do nothing.
    pub(crate) idle: u32,
    /// How often.
    pub(crate) rounds: u32,
}

/// What members have seen of a rebalance.
#[derive(Debug)]
struct Rebalance {
    /// Until all that joined were stable, and until those that stayed were.
    joined: Duration,
    left: Duration,
    heartbeats: u64,
    usage: Option<Usage>,
}

/// What consumers have seen of a queue.
#[derive(Debug)]
struct Worked {
    records: u64,
    took: Duration,
    /// Acknowledgements, in microseconds.
    acknowledged: [u64; 2],
    usage: Option<Usage>,
}

/// What one system did in one round.
#[derive(Debug)]
struct Round {
    rebalances: Vec<Rebalance>,
    queues: Vec<Worked>,
    /// What a group costs in memory, in bytes.
    idle_bytes: Option<f64>,
}

/// What all systems did.
#[derive(Debug)]
pub(crate) struct GroupsResult {
    members: Vec<u32>,
    consumers: Vec<u32>,
    idle: u32,
    systems: Vec<(System, Vec<Round>)>,
}

impl Groups {
    /// Measures all of it in directories of `dir`, and says how it goes.
    pub(crate) fn run(&self, dir: &Path) -> Result<GroupsResult, MeasureError> {
        let mut systems: Vec<(System, Vec<Round>)> =
            self.systems.iter().map(|system| (system.clone(), Vec::new())).collect();
        for round in 0..self.rounds as usize {
            note!("round {} of {}", round + 1, self.rounds);
            for place in 0..systems.len() {
                let place = (place + round) % self.systems.len();
                let (system, rounds) = &mut systems[place];
                let fresh = Fresh::start(system, dir)?;
                rounds.push(self.round(&system.name, &fresh.target())?);
            }
        }
        let (members, consumers) = (self.members.clone(), self.consumers.clone());
        Ok(GroupsResult { members, consumers, idle: self.idle, systems })
    }

    fn round(&self, name: &str, target: &Target) -> Result<Round, MeasureError> {
        let mut rebalances = Vec::new();
        for &members in &self.members {
            let (rebalance, usage) = process::during(target.watched(), None, || {
                members::run(target, members, self.partitions, self.heartbeat)
            });
            let rebalance = Rebalance { usage, ..rebalance? };
            note!(
                "  {name}: {members} members stable after {} ms, after one of ten has left {} ms",
                rebalance.joined.as_millis(),
                rebalance.left.as_millis()
            );
            rebalances.push(rebalance);
        }
        let mut queues = Vec::new();
        for &consumers in &self.consumers {
            let worked = queue::run(target, consumers, self.backlog, &self.workload)?;
            note!(
                "  {name}: {consumers} consumers of a queue, {} records/s, acknowledged within p99 {} us",
                number(worked.rate()),
                worked.acknowledged[1]
            );
            queues.push(worked);
        }
        let idle_bytes = match self.idle {
            0 => None,
            groups => idle::run(target, groups)?.map(|bytes| bytes / f64::from(groups)),
        };
        Ok(Round { rebalances, queues, idle_bytes })
    }
}

/// Sets a setting of a group.
fn set(client: &mut Client, group: &str, name: &str, value: &str) -> Result<(), ClientError> {
    let change = IncrementalAlterableConfig {
        name: name.to_owned(),
        config_operation: 0,
        value: Some(value.to_owned()),
    };
    let resource = IncrementalAlterConfigsResource {
        resource_type: GROUP,
        resource_name: group.to_owned(),
        configs: vec![change],
    };
    let request = IncrementalAlterConfigsRequest { resources: vec![resource], validate_only: false };
    for response in client.call(&request)?.responses {
        refuse("IncrementalAlterConfigs", response.error_code, response.error_message)?;
    }
    Ok(())
}

/// Whether a coordinator is to be asked again.
fn is_passing(code: i16) -> bool {
    matches!(
        ErrorCode::try_from(code),
        Ok(ErrorCode::CoordinatorLoadInProgress
            | ErrorCode::CoordinatorNotAvailable
            | ErrorCode::NotCoordinator
            | ErrorCode::UnknownTopicOrPartition)
    )
}

impl Worked {
    /// Records a second.
    fn rate(&self) -> f64 {
        self.records as f64 / self.took.as_secs_f64()
    }
}

impl GroupsResult {
    fn each(&self, quantity: impl Fn(&Round) -> Option<f64>) -> Vec<Rounds> {
        let of = |rounds: &Vec<Round>| Rounds(rounds.iter().filter_map(&quantity).collect());
        self.systems.iter().map(|(_, rounds)| of(rounds)).collect()
    }

    fn quantities(&self) -> Quantities<'_> {
        let cpu = |usage: &Option<Usage>| usage.as_ref().map(|usage| usage.cpu_seconds);
        let mut lines = Vec::new();
        for (place, members) in self.members.iter().enumerate() {
            let mut line = |what: &str, of: &dyn Fn(&Rebalance) -> Option<f64>| {
                lines.push((
                    format!("{members} members: {what}"),
                    self.each(|round| of(&round.rebalances[place])),
                ));
            };
            line("all joined, stable after ms", &|of| Some(of.joined.as_secs_f64() * 1e3));
            line("one of ten left, stable after ms", &|of| Some(of.left.as_secs_f64() * 1e3));
            line("heartbeats", &|of| Some(of.heartbeats as f64));
            line("broker CPU s", &|of| cpu(&of.usage));
        }
        for (place, consumers) in self.consumers.iter().enumerate() {
            let mut line = |what: &str, of: &dyn Fn(&Worked) -> Option<f64>| {
                lines.push((
                    format!("queue, {consumers} consumers: {what}"),
                    self.each(|round| of(&round.queues[place])),
                ));
            };
            line("records/s", &|of| Some(of.rate()));
            line("acknowledgement p50, us", &|of| Some(of.acknowledged[0] as f64));
            line("acknowledgement p99, us", &|of| Some(of.acknowledged[1] as f64));
            line("broker CPU s per million", &|of| Some(cpu(&of.usage)? * 1e6 / of.records as f64));
        }
        lines.push((
            format!("{} idle groups: bytes each", number(self.idle.into())),
            self.each(|round| round.idle_bytes),
        ));
        Quantities { systems: self.systems.iter().map(|(system, _)| system).collect(), lines }
    }

    /// A Markdown table.
    pub(crate) fn text(&self) -> String {
        let rounds = self.systems.first().map_or(0, |(_, rounds)| rounds.len());
        format!(
            "Medians of {rounds} rounds (smallest-largest); no partition had two owners, and no record of a queue two consumers.\n\n{}",
            self.quantities().markdown()
        )
    }

    /// Everything.
    pub(crate) fn json(&self) -> Value {
        self.quantities().json(|place| {
            let usages = self.systems[place].1.iter().map(|round| {
                let of = |usage: &Option<Usage>| usage.as_ref().map(Usage::json);
                json!({
                    "rebalances": round.rebalances.iter().map(|rebalance| of(&rebalance.usage)).collect::<Vec<_>>(),
                    "queues": round.queues.iter().map(|queue| of(&queue.usage)).collect::<Vec<_>>(),
                })
            });
            let mut fields = Map::new();
            fields.insert("group_rounds".to_owned(), usages.collect());
            fields
        })
    }
}
