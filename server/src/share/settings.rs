//! What the settings of the broker and of a group say of share groups.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use strandline_engine::Isolation;
use strandline_engine::config::{DynamicSettings, InForce, SettingsSnapshot};

use super::dead_letters::DeadLetterQueue;
use super::partition::Limits;
use crate::config::{BrokerConfig, Reset, text_of_group};

/// The smallest segment that a topic may ask for.
const SEGMENT_BYTES_MIN: u64 = 1 << 20;

/// Groups whose settings are remembered at a time.
const REMEMBERED_MAX: usize = 1000;

/// The broker's settings of share groups, apart from what a group may have itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShareSettings {
    /// The most share sessions at a time.
    pub sessions_max: usize,
    /// Updates that are written between two snapshots, at the most.
    pub updates_max: u32,
    /// Partitions that the internal topic is made with.
    pub topic_partitions: u32,
    /// Bytes of a segment of the internal topic.
    pub topic_segment_bytes: u64,
}

/// What holds of the records of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShareGroupConfig {
    /// Locks and deliveries.
    pub limits: Limits,
    /// Whether it is given records of transactions that are not committed.
    pub isolation: Isolation,
    /// Where it begins when it never fetched.
    pub reset: Reset,
    /// Where records go that it can do nothing with.
    pub dead_letters: Option<Rc<DeadLetterQueue>>,
}

impl From<&BrokerConfig> for ShareSettings {
    fn from(config: &BrokerConfig) -> ShareSettings {
        ShareSettings {
            sessions_max: config.whole("group.share.max.share.sessions") as usize,
            updates_max: config.whole("share.coordinator.snapshot.update.records.per.snapshot") as u32,
            topic_partitions: config.whole("share.coordinator.state.topic.num.partitions") as u32,
            topic_segment_bytes: (config.whole("share.coordinator.state.topic.segment.bytes") as u64)
                .max(SEGMENT_BYTES_MIN),
        }
    }
}

impl ShareGroupConfig {
    /// Those of one group, as they are in force.
    pub fn of(config: &BrokerConfig, dynamic: &DynamicSettings, group: &str) -> ShareGroupConfig {
        let whole = |name| config.whole_of_group(dynamic, group, name);
        let text = |name| text_of_group(dynamic, group, name);
        let dead_letters = DeadLetterQueue::of(config, dynamic, group).map(Rc::new);
        ShareGroupConfig {
            limits: Limits {
                lock_ms: whole("share.record.lock.duration.ms"),
                deliveries_max: whole("share.delivery.count.limit") as u16,
                locks_max: whole("share.partition.max.record.locks"),
                is_renewable: text("share.renew.acknowledge.enable") == "true",
                has_dead_letters: dead_letters.is_some(),
            },
            isolation: match text("share.isolation.level") {
                "read_committed" => Isolation::ReadCommitted,
                _ => Isolation::ReadUncommitted,
            },
            reset: Reset::parse(text("share.auto.offset.reset")).unwrap_or(Reset::Latest),
            dead_letters,
        }
    }
}

/// The settings of groups that a shard has asked for, until any setting changes: each takes several look-ups
/// among all of them.
#[derive(Default)]
pub(super) struct Remembered(RefCell<Known>);

#[derive(Default)]
struct Known {
    /// The settings that they are of.
    of: Option<Arc<InForce>>,
    groups: HashMap<String, ShareGroupConfig>,
}

impl Remembered {
    /// Those of one group.
    pub(super) fn get(
        &self,
        config: &BrokerConfig,
        in_force: &SettingsSnapshot,
        group: &str,
    ) -> ShareGroupConfig {
        let mut known = self.0.borrow_mut();
        let is_current = known.of.as_ref().is_some_and(|of| Arc::ptr_eq(of, in_force));
        if !is_current || known.groups.len() >= REMEMBERED_MAX {
            *known = Known { of: Some((**in_force).clone()), groups: HashMap::new() };
        }
        if let Some(found) = known.groups.get(group) {
            return found.clone();
        }
        let found = ShareGroupConfig::of(config, &in_force.dynamic, group);
        known.groups.insert(group.to_owned(), found.clone());
        found
    }
}
