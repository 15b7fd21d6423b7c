//! `strandline group`: list, describe and delete consumer groups, share groups and streams groups, and set
//! how far they have read.

mod streams;

use super::common::{Cluster, CommandError, joined, note, or_dash, plain};
use super::start::rfc3339;
use clap::{Subcommand, ValueEnum};
use serde_json::json;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::process::ExitCode;
use std::str::FromStr;
use strandline_client::{
    Client, ConsumeError, Group, GroupOffsets, GroupSummary, Member, MetadataError, Moment, ShareProgress,
};
use strandline_engine::types::Timestamp;
use strandline_protocol::wire::ErrorCode;

/// The protocol type of share groups.
const SHARE: &str = "share";

/// That of streams groups.
const STREAMS: &str = "streams";

const RESET_EXAMPLES: &str = "\
Without --execute it only says what it would do. An offset outside of the partition is moved to its
nearer end; where nothing is as young as --to-datetime, it is the end.

Examples:
  strandline group reset-offsets billing --topic orders --to-earliest
  strandline group reset-offsets billing --topic orders:0,3 --to-offset 4711 --execute
  strandline group reset-offsets billing --topic orders --to-datetime 2026-03-01T12:00:00Z --execute
  strandline group reset-offsets billing --topic orders --topic refunds --shift-by -100 --execute";

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) cluster: Cluster,
    #[command(subcommand)]
    command: GroupCommand,
}

#[derive(Debug, Subcommand)]
enum GroupCommand {
    /// Print the names of all groups, one a line
    List {
        /// Only groups in these states
        #[arg(long, value_enum, value_name = "STATE,...", value_delimiter = ',', ignore_case = true)]
        state: Vec<State>,
        /// Print a JSON array of objects with name, state, type and protocol_type
        #[arg(long)]
        json: bool,
    },
    /// Print a group's members, how far it has read and how much is left
    Describe {
        /// The group
        group: String,
        /// Print a JSON object
        #[arg(long)]
        json: bool,
    },
    /// Set how far a group without members has read
    #[command(after_help = RESET_EXAMPLES)]
    ResetOffsets {
        /// The group; it is made when there is none
        group: String,
        /// A topic, or some of its partitions; may be repeated
        #[arg(long = "topic", value_name = "TOPIC[:N,...]", required = true)]
        topics: Vec<TopicPartitions>,
        #[command(flatten)]
        to: Target,
        /// Do it
        #[arg(long)]
        execute: bool,
        /// Only say what would be done (the default)
        #[arg(long, conflicts_with = "execute")]
        dry_run: bool,
        /// Print a JSON array of objects with topic, partition, committed and offset
        #[arg(long)]
        json: bool,
    },
    /// Delete groups without members, and how far they have read; ends at the first that can not be deleted
    Delete {
        /// The groups
        #[arg(required = true, value_name = "GROUP")]
        groups: Vec<String>,
        /// Pass over groups that are not there
        #[arg(long)]
        if_exists: bool,
    },
}

/// Kafka's names of the states of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum State {
    /// It has members, and each knows what it reads
    #[value(name = "Stable")]
    Stable,
    /// It has no members, but offsets
    #[value(name = "Empty")]
    Empty,
    /// It waits for its members to join
    #[value(name = "PreparingRebalance")]
    PreparingRebalance,
    /// It waits for its leader to say who reads what
    #[value(name = "CompletingRebalance")]
    CompletingRebalance,
    /// It is about to go
    #[value(name = "Dead")]
    Dead,
    /// Its broker has yet to say who reads what
    #[value(name = "Assigning")]
    Assigning,
    /// Its members have yet to come to what its broker has said
    #[value(name = "Reconciling")]
    Reconciling,
    /// The topics that its streams application needs are not as they must be
    #[value(name = "NotReady")]
    NotReady,
}

/// Partitions by topic, for people.
fn listed(assignment: &BTreeMap<String, Vec<i32>>) -> String {
    let topics =
        assignment.iter().map(|(topic, partitions)| format!("{}:{}", plain(topic), joined(partitions)));
    match topics.collect::<Vec<_>>().join(" ") {
        none if none.is_empty() => "nothing".to_owned(),
        topics => topics,
    }
}

/// The new offsets.
#[derive(Clone, Copy, Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Target {
    /// The oldest records there are
    #[arg(long)]
    to_earliest: bool,
    /// Only what comes from now on
    #[arg(long)]
    to_latest: bool,
    /// This offset in each partition
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(0..))]
    to_offset: Option<i64>,
    /// The first records at or after this time (RFC 3339)
    #[arg(long, value_name = "TIME", value_parser = time)]
    to_datetime: Option<Timestamp>,
    /// So many records on from where the group is, or back if negative
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    shift_by: Option<i64>,
}

fn time(text: &str) -> Result<Timestamp, String> {
    rfc3339(text).ok_or_else(|| "a time like 2026-03-01T12:00:00Z is expected".to_owned())
}

/// A topic, or some of its partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
struct TopicPartitions {
    topic: String,
    /// `None` is all.
    partitions: Option<Vec<i32>>,
}

impl FromStr for TopicPartitions {
    type Err = String;

    /// No topic has a colon in its name.
    fn from_str(text: &str) -> Result<TopicPartitions, String> {
        let (topic, list) = text.split_once(':').map_or((text, None), |(topic, list)| (topic, Some(list)));
        if topic.is_empty() {
            return Err("no topic, TOPIC or TOPIC:N,... is expected".to_owned());
        }
        let number = |text: &str| match text.parse() {
            Ok(number @ 0..) => Ok(number),
            Ok(_) | Err(_) => Err(format!("{text:?} is not a partition")),
        };
        let partitions = list.map(|list| list.split(',').map(number).collect::<Result<Vec<i32>, _>>());
        Ok(TopicPartitions { topic: topic.to_owned(), partitions: partitions.transpose()? })
    }
}

/// Does with groups what is asked for.
pub(super) fn run(args: Args) -> Result<ExitCode, CommandError> {
    let mut client = args.cluster.connect()?;
    let mut out = io::stdout().lock();
    match args.command {
        GroupCommand::List { state, json } => {
            let states: Vec<String> = state.iter().map(|state| format!("{state:?}")).collect();
            list(&client.groups(&states)?, json, &mut out)?;
        }
        GroupCommand::Describe { group, json } => {
            let description = Description::of(&mut client, &group)?;
            match json {
                true => writeln!(out, "{}", description.json())?,
                false => description.text(&mut out)?,
            }
        }
        GroupCommand::ResetOffsets { group, topics, to, execute, dry_run: _, json } => {
            let reset = Reset::plan(&mut client, &group, &topics, to)?;
            match reset.is_share {
                _ if !execute => {}
                true => client.set_share_group_offsets(&group, &reset.offsets)?,
                false => client.set_group_offsets(&group, &reset.offsets)?,
            }
            match json {
                true => writeln!(out, "{}", reset.json())?,
                false => reset.text(&mut out)?,
            }
            if !execute {
                note("nothing was changed; add --execute to do it");
            }
        }
        GroupCommand::Delete { groups, if_exists } => {
            for group in groups {
                match client.delete_group(&group) {
                    Err(error) if if_exists && error.is(ErrorCode::GroupIdNotFound) => {}
                    done => done?,
                }
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn list(groups: &[GroupSummary], json: bool, out: &mut impl Write) -> io::Result<()> {
    if json {
        let groups = groups.iter().map(
            |group| json!({ "name": group.name, "state": group.state, "type": group.group_type, "protocol_type": group.protocol_type }),
        );
        return writeln!(out, "{}", serde_json::Value::Array(groups.collect()));
    }
    for group in groups {
        writeln!(out, "{}", plain(&group.name))?;
    }
    Ok(())
}

/// What there is to say about a group.
struct Description {
    group: Group,
    rows: Vec<Row>,
}

/// A partition that the group has an offset in, or that a member has.
struct Row {
    topic: String,
    partition: i32,
    /// How far it has read; of a share group, the first record that it is not done with.
    committed: Option<i64>,
    /// `None` when the partition is gone or has no leader.
    end: Option<i64>,
    /// What the broker says is left, of a share group.
    told: Option<i64>,
    /// The places of its members in the group: one at most, but for share groups.
    members: Vec<usize>,
}

impl Row {
    fn lag(&self) -> Option<i64> {
        if self.told.is_some() {
            return self.told;
        }
        // An offset beyond the end belongs to records that were lost or deleted: nothing is left to read.
        Some((self.end? - self.committed?).max(0))
    }

    /// For people.
    fn members_of(&self, members: &[Member]) -> String {
        self.members.iter().map(|&at| plain(&members[at].id)).collect::<Vec<_>>().join(" ")
    }
}

impl Description {
    fn of(client: &mut Client, name: &str) -> Result<Description, CommandError> {
        let group = client.group(name)?;
        let mut rows: BTreeMap<(String, i32), Row> = BTreeMap::new();
        let row = |topic: &str, partition| {
            let (topic, members) = (topic.to_owned(), Vec::new());
            Row { topic, partition, committed: None, end: None, told: None, members }
        };
        let mut know = |topic: &str, partition, offset, told| {
            let new = Row { committed: Some(offset), told, ..row(topic, partition) };
            rows.insert((topic.to_owned(), partition), new);
        };
        if group.protocol_type == SHARE {
            for (topic, offsets) in &client.share_group_offsets(name)? {
                offsets.iter().for_each(|(&partition, at)| know(topic, partition, at.start, at.lag));
            }
        } else {
            for (topic, offsets) in &client.group_offsets(name)? {
                offsets.iter().for_each(|(&partition, &offset)| know(topic, partition, offset, None));
            }
        }
        for (at, member) in group.members.iter().enumerate() {
            for (topic, partitions) in &member.assignment {
                for &partition in partitions {
                    let entry = rows.entry((topic.clone(), partition));
                    entry.or_insert_with(|| row(topic, partition)).members.push(at);
                }
            }
        }
        let mut ends: BTreeMap<String, BTreeMap<i32, i64>> = BTreeMap::new();
        let is_streams = group.protocol_type == STREAMS;
        for row in rows.values_mut() {
            if !ends.contains_key(&row.topic) {
                ends.insert(row.topic.clone(), ends_of(client, &row.topic)?);
            }
            row.end = ends[&row.topic].get(&row.partition).copied();
        }
        // A task reads its partition of those topics of its part that have so many.
        let is_there = |row: &Row| !is_streams || row.end.is_some() || row.committed.is_some();
        Ok(Description { group, rows: rows.into_values().filter(is_there).collect() })
    }

    fn is_share(&self) -> bool {
        self.group.protocol_type == SHARE
    }

    fn json(&self) -> serde_json::Value {
        let Group {
            name,
            state,
            coordinator: (id, address),
            protocol_type,
            protocol,
            members,
            epochs,
            topology,
        } = &self.group;
        let rows = self.rows.iter().map(|row| {
            let mut shown = json!({
                "topic": row.topic,
                "partition": row.partition,
                "end": row.end,
                "lag": row.lag(),
            });
            let ids: Vec<_> = row.members.iter().map(|&at| &members[at].id).collect();
            if self.is_share() {
                shown["start"] = json!(row.committed);
                shown["members"] = json!(ids);
            } else {
                shown["committed"] = json!(row.committed);
                shown["member"] = json!(ids.first());
            }
            shown
        });
        let members = members.iter().map(|member| {
            let mut shown = json!({
                "id": member.id,
                "instance_id": member.instance_id,
                "client_id": member.client_id,
                "host": member.host,
                "assignment": member.assignment,
            });
            if let Some(target) = &member.target {
                shown["epoch"] = json!(target.epoch);
                shown["target"] = json!(target.assignment);
            }
            if let Some(member) = &member.streams {
                streams::add_member_json(member, &mut shown);
            }
            shown
        });
        let mut shown = json!({
            "name": name,
            "state": state,
            "coordinator": { "id": id, "address": address.to_string() },
            "protocol_type": protocol_type,
            "protocol": protocol,
            "members": members.collect::<Vec<_>>(),
            "partitions": rows.collect::<Vec<_>>(),
        });
        if let Some(epochs) = epochs {
            shown["epoch"] = json!(epochs.group);
            shown["target_epoch"] = json!(epochs.assignment);
        }
        if let Some(topology) = topology {
            shown["topology"] = streams::topology_json(topology);
        }
        shown
    }

    fn text(&self, out: &mut impl Write) -> io::Result<()> {
        let Group { name, state, coordinator: (id, address), protocol, members, epochs, topology, .. } =
            &self.group;
        write!(out, "group {}, {}, coordinator {id} at {address}", plain(name), plain(state))?;
        match protocol.as_str() {
            "" => {}
            protocol => write!(out, ", protocol {}", plain(protocol))?,
        }
        if let Some(epochs) = epochs {
            write!(out, ", epoch {}, target of epoch {}", epochs.group, epochs.assignment)?;
        }
        if let Some(topology) = topology {
            write!(out, ", topology of epoch {}", topology.epoch)?;
        }
        writeln!(out)?;
        if let Some(topology) = topology {
            streams::write_topology(topology, out)?;
        }
        for Member { id, instance_id, client_id, host, assignment, target, streams } in members {
            write!(out, "member {}, client {} at {}", plain(id), plain(client_id), plain(host))?;
            if let Some(instance_id) = instance_id {
                write!(out, ", instance {}", plain(instance_id))?;
            }
            if let Some(target) = target {
                write!(out, ", epoch {}", target.epoch)?;
            }
            if let Some(member) = streams {
                streams::write_member(member, out)?;
                writeln!(out)?;
                continue;
            }
            write!(out, ", reads {}", listed(assignment))?;
            match target {
                Some(target) if target.assignment != *assignment => {
                    writeln!(out, ", shall read {}", listed(&target.assignment))?;
                }
                _ => writeln!(out)?,
            }
        }
        if self.rows.is_empty() {
            return Ok(());
        }
        let width = width_of(self.rows.iter().map(|row| row.topic.as_str()));
        writeln!(
            out,
            "{:<width$} {:>9} {:>12} {:>12} {:>12} member",
            "topic",
            "partition",
            if self.is_share() { "start" } else { "committed" },
            "end",
            "lag"
        )?;
        for row in &self.rows {
            writeln!(
                out,
                "{:<width$} {:>9} {:>12} {:>12} {:>12} {}",
                plain(&row.topic),
                row.partition,
                or_dash(row.committed),
                or_dash(row.end),
                or_dash(row.lag()),
                or_dash(Some(row.members_of(members)).filter(|members| !members.is_empty())),
            )?;
        }
        Ok(())
    }
}

/// The log end offsets of a topic; none of a topic that is gone, or of partitions without a leader.
fn ends_of(client: &mut Client, topic: &str) -> Result<BTreeMap<i32, i64>, CommandError> {
    let topic = match client.topic(topic) {
        Err(MetadataError::Topic { code, .. }) if code.is_unknown_topic() => return Ok(BTreeMap::new()),
        found => found?,
    };
    let led = topic.partitions.iter().filter(|partition| partition.leader.is_ok());
    let led: Vec<i32> = led.map(|partition| partition.index).collect();
    Ok(client.offsets(&topic.name, &led, Moment::Latest)?)
}

/// Offsets to be set.
struct Reset {
    is_share: bool,
    committed: GroupOffsets,
    offsets: GroupOffsets,
}

impl Reset {
    fn plan(
        client: &mut Client,
        group: &str,
        topics: &[TopicPartitions],
        to: Target,
    ) -> Result<Reset, CommandError> {
        let is_share = match client.group(group) {
            Err(error) if error.is(ErrorCode::GroupIdNotFound) => false,
            found => {
                let Group { name, state, members, protocol_type, .. } = found?;
                if !members.is_empty() {
                    return Err(CommandError::GroupInUse { group: name, state });
                }
                protocol_type == SHARE
            }
        };
        let committed = match is_share {
            true => {
                let topics = client.share_group_offsets(group)?.into_iter();
                let starts = |at: BTreeMap<i32, ShareProgress>| {
                    at.into_iter().map(|(partition, at)| (partition, at.start)).collect()
                };
                topics.map(|(topic, at)| (topic, starts(at))).collect()
            }
            false => client.group_offsets(group)?,
        };
        let mut offsets = GroupOffsets::new();
        for TopicPartitions { topic, partitions } in topics {
            let topic = client.topic(topic)?;
            let all = || topic.partitions.iter().map(|partition| partition.index).collect();
            let partitions = partitions.clone().unwrap_or_else(all);
            if let Some(&partition) = partitions.iter().find(|&&index| topic.partition(index).is_none()) {
                let (topic, partitions) = (topic.name, topic.partitions.len());
                return Err(ConsumeError::NoPartition { topic, partition, partitions }.into());
            }
            let earliest = client.offsets(&topic.name, &partitions, Moment::Earliest)?;
            let latest = client.offsets(&topic.name, &partitions, Moment::Latest)?;
            let at_time = match to.to_datetime {
                Some(timestamp) => client.offsets(&topic.name, &partitions, Moment::At(timestamp))?,
                None => BTreeMap::new(),
            };
            let before = committed.get(&topic.name);
            for partition in partitions {
                let at = |offsets: &BTreeMap<i32, i64>| offsets.get(&partition).copied().unwrap_or(0);
                let (earliest, latest) = (at(&earliest), at(&latest));
                let offset = if to.to_earliest {
                    earliest
                } else if let Some(offset) = to.to_offset {
                    offset
                } else if let Some(by) = to.shift_by {
                    let committed = before.and_then(|offsets| offsets.get(&partition));
                    let committed = committed.ok_or_else(|| CommandError::NothingToShift {
                        group: group.to_owned(),
                        topic: topic.name.clone(),
                        partition,
                    })?;
                    committed.saturating_add(by)
                } else {
                    // The latest, or a time: where nothing is that young, only what comes is.
                    at_time.get(&partition).copied().unwrap_or(latest)
                };
                let offset = offset.clamp(earliest, latest.max(earliest));
                offsets.entry(topic.name.clone()).or_default().insert(partition, offset);
            }
        }
        Ok(Reset { is_share, committed, offsets })
    }

    /// Topic, partition, the offset that there was, the new one.
    fn rows(&self) -> impl Iterator<Item = (&str, i32, Option<i64>, i64)> {
        self.offsets.iter().flat_map(|(topic, offsets)| {
            let before = self.committed.get(topic);
            offsets.iter().map(move |(&partition, &offset)| {
                let committed = before.and_then(|before| before.get(&partition).copied());
                (topic.as_str(), partition, committed, offset)
            })
        })
    }

    fn json(&self) -> serde_json::Value {
        let rows = self.rows().map(|(topic, partition, committed, offset)| {
            json!({ "topic": topic, "partition": partition, "committed": committed, "offset": offset })
        });
        serde_json::Value::Array(rows.collect())
    }

    fn text(&self, out: &mut impl Write) -> io::Result<()> {
        let width = width_of(self.offsets.keys().map(String::as_str));
        writeln!(out, "{:<width$} {:>9} {:>12} {:>12}", "topic", "partition", "committed", "new offset")?;
        for (topic, partition, committed, offset) in self.rows() {
            let topic = plain(topic);
            writeln!(out, "{topic:<width$} {partition:>9} {:>12} {offset:>12}", or_dash(committed))?;
        }
        Ok(())
    }
}

/// How wide the column of the topics is.
fn width_of<'a>(topics: impl Iterator<Item = &'a str>) -> usize {
    topics.map(str::len).chain(["topic".len()]).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_may_name_some_of_its_partitions() {
        let read = |text: &str| text.parse::<TopicPartitions>().map(|found| (found.topic, found.partitions));
        assert_eq!(read("orders"), Ok(("orders".to_owned(), None)));
        assert_eq!(read("orders:3,0"), Ok(("orders".to_owned(), Some(vec![3, 0]))));
        for text in ["", ":1", "orders:", "orders:1,", "orders:-1", "orders:a", "orders:1:2"] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
