//! A member of a consumer group: what it has said of itself, what it has, and how it comes from one to the
//! next.
//!
//! ```text
//!             a newer target, nothing to give up
//!            .-----------------------------------.
//!            v                                   |     some of the target is still with others
//!          Stable <---- all of it is free ---- Unreleased <-----------------------------------.
//!            |                                   ^                                            |
//!            |  a newer target takes some away   | the member says that it has given it up    |
//!            '-----------------------------> Unrevoked --------------------------------------'
//! ```
//!
//! Of each partition it is known in which epoch the member was given it: an offset may be committed in any
//! epoch from then on, so that a member that has yet to hear of its newest epoch is not refused (KIP-1251).
//!
//! A member that has to give partitions up stays in its epoch until it has; then it comes to the epoch of the
//! target, and gets what is free. So no partition has two owners.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use strandline_engine::types::TopicId;
use strandline_protocol::Uuid;
use strandline_protocol::wire::ErrorCode;

use super::assignment::Assignment;
use crate::authorization::Asker;
use crate::groups::records::consumer::{ClassicMemberValue, CurrentValue, HeldPartitionsValue, MemberValue};

/// The epoch of a static member that has left for a while.
pub const AWAY: i32 = -2;

/// A member.
#[derive(Clone, Debug)]
pub struct Member {
    /// What it has said.
    pub about: About,
    /// What it has.
    pub held: Held,
    /// Whom it is asked for whether it may describe a topic; `None` before it has said something here.
    pub asker: Option<Arc<Asker>>,
    /// Until when it must have said something, in milliseconds.
    pub session_until: i64,
    /// Until when it must have done what it was told: given up what it shall; or, in the classic protocol,
    /// joined again, or asked for its assignment. `i64::MAX` when that is nothing.
    pub act_until: i64,
}

impl Default for Member {
    /// One that has said nothing, and has time.
    fn default() -> Member {
        let (about, held) = (About::default(), Held::default());
        Member { about, held, asker: None, session_until: i64::MAX, act_until: i64::MAX }
    }
}

impl Member {
    /// Whether it speaks the classic protocol.
    pub fn is_classic(&self) -> bool {
        self.about.classic.is_some()
    }

    /// Begins its session anew. It is as long as the settings say, or as the member has said in the classic
    /// protocol, in milliseconds.
    pub fn renew_session(&mut self, now: i64, settings_ms: i64) {
        let classic = self.about.classic.as_ref();
        let timeout_ms = classic.map_or(settings_ms, |classic| classic.session_timeout_ms.into());
        self.session_until = now.saturating_add(timeout_ms);
    }

    /// Has it do within its time what it was told to, unless it was told so before.
    pub fn hurry(&mut self, now: i64) {
        let timeout_ms: i64 = self.about.rebalance_timeout_ms.max(0).into();
        self.act_until = self.act_until.min(now.saturating_add(timeout_ms));
    }

    /// What it is told when it names another epoch than its own.
    pub fn stale(&self) -> ErrorCode {
        match self.is_classic() {
            true => ErrorCode::IllegalGeneration,
            false => ErrorCode::StaleMemberEpoch,
        }
    }
}

/// What a member has said of itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct About {
    /// The name of a static member.
    pub instance_id: Option<String>,
    /// Where it is.
    pub rack_id: Option<String>,
    /// As its requests name it.
    pub client_id: String,
    /// Where it is, in Kafka's form: "/127.0.0.1".
    pub client_host: String,
    /// The topics that it names. Members that name the same share it.
    pub topics: Arc<BTreeSet<String>>,
    /// The topics that it describes.
    pub regex: Option<String>,
    /// How long it may take to give partitions up, in milliseconds.
    pub rebalance_timeout_ms: i32,
    /// The assignor that it prefers.
    pub assignor: Option<String>,
    /// What it has said in the classic protocol, when it speaks that.
    pub classic: Option<ClassicMemberValue>,
}

impl About {
    /// Out of a record.
    pub fn from_value(value: MemberValue) -> About {
        About {
            instance_id: value.instance_id,
            rack_id: value.rack_id,
            client_id: value.client_id,
            client_host: value.client_host,
            topics: Arc::new(value.subscribed_topic_names.into_iter().collect()),
            regex: value.subscribed_topic_regex.filter(|regex| !regex.is_empty()),
            rebalance_timeout_ms: value.rebalance_timeout_ms,
            assignor: value.server_assignor,
            classic: value.classic_member_metadata,
        }
    }

    /// As records have it.
    pub fn to_value(&self) -> MemberValue {
        MemberValue {
            instance_id: self.instance_id.clone(),
            rack_id: self.rack_id.clone(),
            client_id: self.client_id.clone(),
            client_host: self.client_host.clone(),
            subscribed_topic_names: self.topics.iter().cloned().collect(),
            subscribed_topic_regex: self.regex.clone(),
            rebalance_timeout_ms: self.rebalance_timeout_ms,
            server_assignor: self.assignor.clone(),
            classic_member_metadata: self.classic.clone(),
        }
    }
}

/// How far a member is on its way to the target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stage {
    /// It has what it shall have.
    #[default]
    Stable,
    /// It has yet to give partitions up.
    Unrevoked,
    /// It waits for partitions that others have yet to give up.
    Unreleased,
}

/// What a member has.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Held {
    /// What the member is to name in its requests.
    pub epoch: i32,
    /// The epoch before, which the member still names when an answer was lost.
    pub previous_epoch: i32,
    /// How far it is.
    pub stage: Stage,
    /// Its partitions.
    pub assigned: Assignment,
    /// Partitions that it has to give up, and may still use.
    pub revoking: Assignment,
    /// The epochs in which it was given them.
    since: Since,
}

/// In which epoch a member was given each of its partitions.
#[derive(Clone, Debug, Default, PartialEq)]
struct Since(BTreeMap<TopicId, BTreeMap<i32, i32>>);

impl Since {
    fn of(&self, topic: TopicId, partition: i32) -> Option<i32> {
        self.0.get(&topic)?.get(&partition).copied()
    }

    fn note(&mut self, topic: TopicId, partition: i32, epoch: i32) {
        self.0.entry(topic).or_default().insert(partition, epoch);
    }

    /// Partitions of a record; those that it says nothing of are of the epoch that the member is in.
    fn load(&mut self, value: &[HeldPartitionsValue], epoch: i32) {
        for topic in value {
            let id = TopicId::from_bytes(topic.topic_id.into_bytes());
            let mut epochs = topic.assignment_epochs.iter().flatten().copied();
            for partition in &topic.partitions {
                self.note(id, *partition, epochs.next().unwrap_or(epoch));
            }
        }
    }
}

impl Held {
    /// What a member has that has come with it.
    pub fn in_epoch(epoch: i32, assigned: Assignment) -> Held {
        let mut since = Since::default();
        assigned.iter().for_each(|(topic, partition)| since.note(topic, partition, epoch));
        Held { epoch, previous_epoch: epoch, assigned, since, ..Held::default() }
    }

    /// Out of a record. A stage of a later broker is one that has yet to reach the target.
    pub fn from_value(value: &CurrentValue) -> Held {
        let mut since = Since::default();
        since.load(&value.assigned_partitions, value.member_epoch);
        since.load(&value.partitions_pending_revocation, value.member_epoch);
        let from_value = |topics: &[HeldPartitionsValue]| -> Assignment {
            let topics = topics.iter().map(|topic| (TopicId::from_bytes(topic.topic_id.into_bytes()), topic));
            topics.flat_map(|(id, topic)| topic.partitions.iter().map(move |at| (id, *at))).collect()
        };
        Held {
            epoch: value.member_epoch,
            previous_epoch: value.previous_member_epoch,
            stage: match value.state {
                0 => Stage::Stable,
                1 => Stage::Unrevoked,
                _ => Stage::Unreleased,
            },
            assigned: from_value(&value.assigned_partitions),
            revoking: from_value(&value.partitions_pending_revocation),
            since,
        }
    }

    /// As records have it.
    pub fn to_value(&self) -> CurrentValue {
        CurrentValue {
            member_epoch: self.epoch,
            previous_member_epoch: self.previous_epoch,
            state: match self.stage {
                Stage::Stable => 0,
                Stage::Unrevoked => 1,
                Stage::Unreleased => 2,
            },
            assigned_partitions: self.with_epochs(&self.assigned),
            partitions_pending_revocation: self.with_epochs(&self.revoking),
        }
    }

    fn with_epochs(&self, partitions: &Assignment) -> Vec<HeldPartitionsValue> {
        let topics = partitions.topics().map(|(topic, partitions)| HeldPartitionsValue {
            topic_id: Uuid::from_bytes(topic.to_bytes()),
            partitions: partitions.iter().copied().collect(),
            assignment_epochs: Some(partitions.iter().map(|at| self.since(topic, *at)).collect()),
        });
        topics.collect()
    }

    /// The epoch in which it was given a partition that it has.
    fn since(&self, topic: TopicId, partition: i32) -> i32 {
        self.since.of(topic, partition).unwrap_or(self.epoch)
    }

    /// Whether it may say of a partition how far it was read, in this epoch: it has the partition since then,
    /// and may not have heard of its newest epoch yet.
    pub fn has_since(&self, epoch: i32, topic: TopicId, partition: i32) -> bool {
        let is_its = self.assigned.contains(topic, partition) || self.revoking.contains(topic, partition);
        is_its && self.since(topic, partition) <= epoch
    }

    /// All that it has, with what it has to give up.
    pub fn all(&self) -> impl Iterator<Item = (TopicId, i32)> {
        self.assigned.iter().chain(self.revoking.iter())
    }

    /// Whether it has what the target of this epoch wants.
    pub fn is_reconciled_to(&self, target_epoch: i32) -> bool {
        self.stage == Stage::Stable && self.epoch == target_epoch
    }

    /// The next step to the target. `owned` is what the member says that it has, when it says so;
    /// `is_wanted` whether it is subscribed to a topic, which may be news (`has_changed`); `is_free` whether
    /// nobody has a partition.
    pub fn next(
        &self,
        target_epoch: i32,
        target: &Assignment,
        owned: Option<&Assignment>,
        has_changed: bool,
        is_wanted: impl Fn(TopicId) -> bool,
        is_free: impl Fn(TopicId, i32) -> bool,
    ) -> Held {
        let still_has = |revoking: &Assignment| owned.is_none_or(|owned| owned.intersects(revoking));
        match self.stage {
            Stage::Stable if self.epoch == target_epoch && !has_changed => return self.clone(),
            Stage::Unrevoked if still_has(&self.revoking) => return self.without_unwanted(is_wanted),
            Stage::Stable | Stage::Unrevoked | Stage::Unreleased => {}
        }
        let target = target.filtered(&is_wanted);
        let (mut assigned, revoking) = self.assigned.split(|topic, at| target.contains(topic, at));
        if !revoking.is_empty() && still_has(&revoking) {
            return self.at(self.epoch, Stage::Unrevoked, assigned, revoking);
        }
        // What it has just given up it may get again.
        let is_free = |topic, at| is_free(topic, at) || self.revoking.contains(topic, at);
        let wanted = target.iter().filter(|(topic, at)| !assigned.contains(*topic, *at));
        let (free, taken): (Vec<_>, Vec<_>) = wanted.partition(|(topic, at)| is_free(*topic, *at));
        for (topic, partition) in free {
            assigned.insert(topic, partition);
        }
        let stage = if taken.is_empty() { Stage::Stable } else { Stage::Unreleased };
        self.at(target_epoch, stage, assigned, Assignment::default())
    }

    /// A member that has yet to give partitions up, and does not want others any more either.
    fn without_unwanted(&self, is_wanted: impl Fn(TopicId) -> bool) -> Held {
        let (assigned, unwanted) = self.assigned.split(|topic, _| is_wanted(topic));
        let revoking = self.revoking.iter().chain(unwanted.iter()).collect();
        self.at(self.epoch, Stage::Unrevoked, assigned, revoking)
    }

    fn at(&self, epoch: i32, stage: Stage, assigned: Assignment, revoking: Assignment) -> Held {
        let previous_epoch = if epoch == self.epoch { self.previous_epoch } else { self.epoch };
        let mut since = Since::default();
        for (topic, partition) in assigned.iter() {
            let is_new = !self.assigned.contains(topic, partition);
            since.note(topic, partition, if is_new { epoch } else { self.since(topic, partition) });
        }
        for (topic, partition) in revoking.iter() {
            since.note(topic, partition, self.since(topic, partition));
        }
        Held { epoch, previous_epoch, stage, assigned, revoking, since }
    }
}
