//! The broker at one moment: what its shards and groups say, with the partitions summed up by topic.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use strandline_engine::types::PartitionId;
use strandline_engine::{Handle, ShardReport, Traffic};

use crate::groups::{GroupReport, Groups};

/// Groups that are kept of a sample. Clients make up ids.
const GROUPS_MAX: usize = 1000;

/// Partitions that nobody has used since the start, and whose directories are looked at for one sample.
const CLOSED_AT_ONCE: usize = 500;

/// After so many samples the sizes of those are forgotten: retention may have been there.
const CLOSED_SAMPLES_MAX: u32 = 240;

/// The broker at one moment.
pub(super) struct Sample {
    /// When, in milliseconds since 1970.
    pub(super) at: i64,
    /// When, by the clock that does not jump.
    pub(super) taken: Instant,
    /// The shards, without their partitions.
    pub(super) shards: Vec<ShardReport>,
    /// All topics, by name.
    pub(super) topics: BTreeMap<String, TopicSum>,
    /// The first groups by id.
    pub(super) groups: Vec<GroupSum>,
    /// The disk, where the system tells.
    pub(super) disk: Option<Disk>,
}

/// All partitions of a topic together.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct TopicSum {
    /// Bytes on the disk.
    pub(super) bytes: u64,
    /// Partitions whose bytes are not known yet.
    pub(super) unsized_partitions: u64,
    /// What came and went since the start.
    pub(super) traffic: Traffic,
}

/// A group.
#[derive(Clone, Debug)]
pub(super) struct GroupSum {
    /// Its id.
    pub(super) group: String,
    /// How far it is behind, by topic, in partitions that were used since the start.
    pub(super) lags: Vec<(String, i64)>,
}

impl GroupSum {
    /// In all topics together.
    pub(super) fn lag(&self) -> i64 {
        self.lags.iter().map(|(_, lag)| lag).sum()
    }
}

/// The file system of the data directory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Disk {
    /// Its size.
    pub(super) bytes: u64,
    /// What is free of it for the broker.
    pub(super) free: u64,
}

/// Sizes of partitions that were not used since the start, as far as they have been looked at.
#[derive(Default)]
pub(super) struct Closed {
    sizes: HashMap<PartitionId, u64>,
    samples: u32,
}

impl Sample {
    /// Asks every shard.
    pub(super) async fn take(engine: &Handle, groups: &Groups, data: &Path, closed: &mut Closed) -> Sample {
        let data = data.to_owned();
        let disk = tokio::task::spawn_blocking(move || rustix::fs::statvfs(&data));
        let (mut shards, mut groups, disk) = futures_util::join!(engine.reports(), groups.reports(), disk);
        let disk = disk.ok().and_then(Result::ok);
        let disk = disk.map(|disk| Disk {
            bytes: disk.f_blocks.saturating_mul(disk.f_frsize),
            free: disk.f_bavail.saturating_mul(disk.f_frsize),
        });
        let open: Vec<_> =
            shards.iter_mut().flat_map(|shard| std::mem::take(&mut shard.partitions)).collect();
        let ends: HashMap<PartitionId, i64> =
            open.iter().map(|partition| (partition.id, partition.log_end.get())).collect();
        let unknown = closed.look(engine, &ends).await;
        let topics = engine.topics();
        let mut sums: BTreeMap<String, TopicSum> =
            topics.iter().map(|topic| (topic.name.clone(), TopicSum::default())).collect();
        for partition in &open {
            let Some(topic) = topics.by_id(partition.id.topic) else { continue };
            let Some(sum) = sums.get_mut(&topic.name) else { continue };
            sum.bytes += partition.bytes;
            sum.traffic = sum.traffic.plus(partition.traffic);
        }
        for (id, bytes) in &closed.sizes {
            let Some(topic) = topics.by_id(id.topic) else { continue };
            let Some(sum) = sums.get_mut(&topic.name) else { continue };
            sum.bytes += bytes;
        }
        for id in unknown {
            let Some(topic) = topics.by_id(id.topic) else { continue };
            let Some(sum) = sums.get_mut(&topic.name) else { continue };
            sum.unsized_partitions += 1;
        }
        groups.sort_by(|one, other| one.group.cmp(&other.group));
        groups.truncate(GROUPS_MAX);
        let lag_of = |group: GroupReport| {
            let lags = group.committed.into_iter().filter_map(|(topic, partitions)| {
                let id = topics.by_name(&topic)?.id;
                let behind = partitions.iter().filter_map(|(index, committed)| {
                    let end = ends.get(&PartitionId::new(id, u32::try_from(*index).ok()?))?;
                    Some((end - committed).max(0))
                });
                Some((topic, behind.sum()))
            });
            GroupSum { lags: lags.collect(), group: group.group }
        };
        let groups = groups.into_iter().map(lag_of).collect();
        let at = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64);
        Sample { at, taken: Instant::now(), shards, topics: sums, groups, disk }
    }
}

impl Closed {
    /// Looks at some more of the partitions that are not open; gives those whose sizes are still unknown.
    async fn look(&mut self, engine: &Handle, open: &HashMap<PartitionId, i64>) -> Vec<PartitionId> {
        self.samples += 1;
        if self.samples > CLOSED_SAMPLES_MAX {
            *self = Closed::default();
        }
        let topics = engine.topics();
        self.sizes.retain(|id, _| !open.contains_key(id) && topics.by_id(id.topic).is_some());
        let here = topics.iter().flat_map(|topic| topic.partitions_here());
        let mut unknown: Vec<PartitionId> =
            here.filter(|id| !open.contains_key(id) && !self.sizes.contains_key(id)).collect();
        drop(topics);
        let later = unknown.split_off(unknown.len().min(CLOSED_AT_ONCE));
        let sizes = engine.sizes(&unknown).await;
        self.sizes.extend(unknown.into_iter().zip(sizes).filter_map(|(id, size)| Some((id, size.ok()?))));
        later
    }
}
