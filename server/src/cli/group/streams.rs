//! What `strandline group describe` shows of streams groups beside what it shows of all: the topology, and
//! the tasks of each member.
//!
//! A task that a member has and shall not have any longer is one that it gives up; one that it shall have and
//! has not is one that it gets. Between the two, when a member knows that it is to give a task up and has
//! not said that it did, the broker tells nobody of it: then the member's epoch is behind that of the target.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde_json::{Value, json};
use strandline_client::{StreamsMember, StreamsTopology, TasksByRole};

use super::{listed, plain};

/// The words for a line about a member, from the second comma on.
pub(super) fn write_member(member: &StreamsMember, out: &mut impl Write) -> io::Result<()> {
    let StreamsMember { process_id, endpoint, topology_epoch, tasks, target } = member;
    write!(out, ", topology {topology_epoch}, process {}", plain(process_id))?;
    if let Some((host, port)) = endpoint {
        write!(out, ", endpoint {}:{port}", plain(host))?;
    }
    write!(out, ", works on {}", listed(&tasks.active))?;
    for (verb, tasks) in [("stands by", &tasks.standby), ("warms up", &tasks.warmup)] {
        if !tasks.is_empty() {
            write!(out, ", {verb} {}", listed(tasks))?;
        }
    }
    for (verb, tasks) in [("gives up", tasks.without(target)), ("gets", target.without(tasks))] {
        if !tasks.is_empty() {
            write!(out, ", {verb} {}", by_role(&tasks))?;
        }
    }
    Ok(())
}

/// Tasks for people; the role is said of those that are not worked on.
fn by_role(tasks: &TasksByRole) -> String {
    let roles = [("", &tasks.active), ("standby ", &tasks.standby), ("warm-up ", &tasks.warmup)];
    let some = roles.into_iter().filter(|(_, tasks)| !tasks.is_empty());
    some.map(|(role, tasks)| format!("{role}{}", listed(tasks))).collect::<Vec<_>>().join(" ")
}

/// A line for each part of the topology.
pub(super) fn write_topology(topology: &StreamsTopology, out: &mut impl Write) -> io::Result<()> {
    for part in &topology.subtopologies {
        write!(out, "subtopology {}", plain(&part.id))?;
        let repartitioned = part.repartition_sources.keys();
        let sources: Vec<_> = part.sources.iter().chain(repartitioned).map(|topic| plain(topic)).collect();
        write!(out, ", reads {}", or_nothing(sources.join(" ")))?;
        let sinks: Vec<_> = part.repartition_sinks.iter().map(|topic| plain(topic)).collect();
        if !sinks.is_empty() {
            write!(out, ", writes {}", sinks.join(" "))?;
        }
        let kept: Vec<_> = part.changelogs.keys().map(|topic| plain(topic)).collect();
        if !kept.is_empty() {
            write!(out, ", keeps {}", kept.join(" "))?;
        }
        writeln!(out)?;
    }
    Ok(())
}

fn or_nothing(text: String) -> String {
    if text.is_empty() { "nothing".to_owned() } else { text }
}

/// The topology as JSON.
pub(super) fn topology_json(topology: &StreamsTopology) -> Value {
    let sized = |topics: &BTreeMap<String, i32>| -> Value {
        topics.iter().map(|(name, partitions)| json!({ "name": name, "partitions": partitions })).collect()
    };
    let parts = topology.subtopologies.iter().map(|part| {
        json!({
            "id": part.id,
            "sources": part.sources,
            "repartition_sources": sized(&part.repartition_sources),
            "repartition_sinks": part.repartition_sinks,
            "changelogs": sized(&part.changelogs),
        })
    });
    json!({ "epoch": topology.epoch, "subtopologies": parts.collect::<Vec<_>>() })
}

/// Adds to a member as JSON what only members of streams groups have.
pub(super) fn add_member_json(member: &StreamsMember, shown: &mut Value) {
    let StreamsMember { process_id, endpoint, topology_epoch, tasks, target } = member;
    shown["process_id"] = json!(process_id);
    shown["endpoint"] = json!(endpoint.as_ref().map(|(host, port)| json!({ "host": host, "port": port })));
    shown["topology_epoch"] = json!(topology_epoch);
    shown["tasks"] = tasks_json(tasks);
    shown["target_tasks"] = tasks_json(target);
    shown["gives_up"] = tasks_json(&tasks.without(target));
    shown["gets"] = tasks_json(&target.without(tasks));
}

fn tasks_json(TasksByRole { active, standby, warmup }: &TasksByRole) -> Value {
    json!({ "active": active, "standby": standby, "warmup": warmup })
}
