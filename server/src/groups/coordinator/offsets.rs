//! The committed offsets of the groups of one partition: how they come in, are asked for, and go.
//!
//! * An offset can be fetched once its record is durable, and is forgotten once the record that deletes it
//!   is.
//! * Offsets go when they are deleted, when they expire, and when their topic has gone. A group that nobody
//!   is in goes with the last that expire; where the last are gone otherwise, at the next look at what has
//!   expired.
//!
//! The offsets of one group, and what of them has expired, are left to `groups/offsets`; the way to the log
//! to the runtime.

use strandline_engine::topics::TopicTable;
use strandline_protocol::wire::ErrorCode;

use super::{Entry, GroupCoordinator, GroupTurn, Then, offset_key};
use crate::coordination::{Outcome, Reply, Write};
use crate::groups::member::Identity;
use crate::groups::records::{Change, OffsetValue};

/// Offsets by topic and partition, as they are asked for or told.
pub type ByPartition<T> = Vec<(String, Vec<(i32, T)>)>;

/// What was asked for, when it takes no more of the memory than the asker has for it.
#[derive(Clone, Debug)]
pub enum Within<T> {
    /// All of it, and about how many bytes it takes.
    All(T, usize),
    /// Nothing yet: it takes about so many bytes, which is too much.
    Beyond(usize),
}

/// Offsets that a group commits.
#[derive(Clone, Debug)]
pub struct Commit {
    /// Who commits them.
    pub identity: Identity,
    /// What is said of a generation of a group that does not exist.
    pub unknown: ErrorCode,
    /// The offsets.
    pub offsets: ByPartition<OffsetValue>,
}

/// What becomes of each offset, or why nothing becomes of any.
type Committed = Result<ByPartition<ErrorCode>, ErrorCode>;

impl GroupCoordinator {
    /// Keeps offsets; the answer says of each whether it is durable.
    pub fn commit(
        &mut self,
        turn: &mut GroupTurn<'_>,
        group: &str,
        commit: Commit,
    ) -> Outcome<GroupCoordinator, Committed> {
        if let Err(error) = self.check_commit(turn, group, &commit) {
            return Outcome::Answer(Err(error));
        }
        let topics = turn.topics();
        let mut codes = Vec::with_capacity(commit.offsets.len());
        let mut records = Vec::new();
        for (topic, partitions) in commit.offsets {
            let mut of_topic = Vec::with_capacity(partitions.len());
            for (partition, value) in partitions {
                let code = self.check_offset(&topics, &topic, partition, &value);
                if code == ErrorCode::None {
                    records.push(Change::Offset(offset_key(group, &topic, partition), Some(value)));
                }
                of_topic.push((partition, code));
            }
            codes.push((topic, of_topic));
        }
        if records.is_empty() {
            self.schedule(turn, group);
            return Outcome::Answer(Ok(codes));
        }
        let write = Write { key: Some(group.to_owned()), records, then: Then::Nothing };
        Outcome::Write(
            write,
            Box::new(move |stored| {
                if let Err(error) = stored {
                    let accepted = codes.iter_mut().flat_map(|(_, partitions)| partitions);
                    let accepted = accepted.filter(|(_, code)| *code == ErrorCode::None);
                    accepted.for_each(|(_, code)| *code = error.into());
                }
                Ok(codes)
            }),
        )
    }

    fn check_commit(&mut self, turn: &GroupTurn<'_>, group: &str, commit: &Commit) -> Result<(), ErrorCode> {
        if !self.groups.contains_key(group) && commit.identity.generation >= 0 {
            return Err(commit.unknown);
        }
        // A group that is made here and gets nothing goes again with `schedule`.
        let checked = self.entry_or_new(turn.now, group).group.commit(turn.now, &commit.identity);
        if checked.is_err() {
            self.schedule(turn, group);
        }
        checked
    }

    fn check_offset(
        &self,
        topics: &TopicTable,
        topic: &str,
        partition: i32,
        value: &OffsetValue,
    ) -> ErrorCode {
        let topic = topics.by_name(topic);
        if topic.and_then(|topic| topic.partition(partition)).is_none() {
            ErrorCode::UnknownTopicOrPartition
        } else if value.metadata.encode_utf16().count() > self.settings.offset_metadata_max {
            ErrorCode::OffsetMetadataTooLarge
        } else {
            ErrorCode::None
        }
    }

    /// The offsets of these partitions, or of all that the group has.
    pub fn fetch(
        &self,
        group: &str,
        asked: Option<Vec<(String, Vec<i32>)>>,
        bytes_max: usize,
    ) -> Within<ByPartition<Option<OffsetValue>>> {
        let offsets = self.groups.get(group).map(|entry| &entry.offsets);
        let bytes_of = |value: Option<&OffsetValue>| {
            size_of::<(i32, Option<OffsetValue>)>() + value.map_or(0, |value| value.metadata.len())
        };
        let bytes: usize = match (&asked, offsets) {
            (Some(asked), offsets) => asked
                .iter()
                .flat_map(|(topic, partitions)| partitions.iter().map(move |at| (topic, *at)))
                .map(|(topic, at)| bytes_of(offsets.and_then(|offsets| offsets.get(topic, at))))
                .sum(),
            (None, Some(offsets)) => {
                let values = offsets.topics().flat_map(|(_, partitions)| partitions.values());
                values.map(|value| bytes_of(Some(value))).sum()
            }
            (None, None) => 0,
        };
        if bytes > bytes_max {
            return Within::Beyond(bytes);
        }
        let found = match (asked, offsets) {
            (Some(asked), offsets) => asked
                .into_iter()
                .map(|(topic, partitions)| {
                    let find = |at| (at, offsets.and_then(|offsets| offsets.get(&topic, at)).cloned());
                    let found = partitions.into_iter().map(find).collect();
                    (topic, found)
                })
                .collect(),
            (None, Some(offsets)) => offsets
                .topics()
                .map(|(topic, partitions)| {
                    let all = partitions.iter().map(|(at, value)| (*at, Some(value.clone())));
                    (topic.to_owned(), all.collect())
                })
                .collect(),
            (None, None) => Vec::new(),
        };
        Within::All(found, bytes)
    }

    /// Deletes offsets of topics that nobody in the group consumes.
    pub fn delete_offsets(
        &mut self,
        turn: &mut GroupTurn<'_>,
        group: &str,
        asked: Vec<(String, Vec<i32>)>,
    ) -> Outcome<GroupCoordinator, Committed> {
        let Some(entry) = self.groups.get(group) else {
            return Outcome::Answer(Err(ErrorCode::GroupIdNotFound));
        };
        if let Err(error) = entry.group.check_offset_delete() {
            return Outcome::Answer(Err(error));
        }
        let topics = turn.topics();
        let mut gone = Vec::new();
        let mut codes = Vec::with_capacity(asked.len());
        for (topic, partitions) in asked {
            let found = topics.by_name(&topic);
            let of_topic = partitions.into_iter().map(|at| {
                let is_there = found.and_then(|topic| topic.partition(at)).is_some();
                let code = match is_there {
                    false => ErrorCode::UnknownTopicOrPartition,
                    true if entry.group.is_subscribed(&topic) => ErrorCode::GroupSubscribedToTopic,
                    true => ErrorCode::None,
                };
                if code == ErrorCode::None {
                    gone.push((topic.clone(), at));
                }
                (at, code)
            });
            let of_topic = of_topic.collect();
            codes.push((topic, of_topic));
        }
        let write =
            Write { key: Some(group.to_owned()), records: tombstones(group, &gone), then: Then::Nothing };
        Outcome::Write(write, Box::new(move |stored| stored.map(|()| codes).map_err(ErrorCode::from)))
    }

    /// Lets go of all offsets of topics that do not exist any more. Commits that are on their way were
    /// accepted while the topic was there: they settle first.
    pub fn forget_deleted_topics(&mut self, turn: &mut GroupTurn<'_>, reply: Reply<()>) {
        turn.write(None, Vec::new(), Then::Sweep(reply));
    }

    pub(super) fn sweep(&mut self, turn: &mut GroupTurn<'_>) {
        let topics = turn.topics();
        for (group, entry) in &self.groups {
            let gone = entry.offsets.partitions_of(|topic| topics.by_name(topic).is_none());
            if !gone.is_empty() {
                turn.write(Some(group.clone()), tombstones(group, &gone), Then::Nothing);
            }
        }
    }

    /// Deletes what has expired. A group with a write on its way waits for the next time: what expires may
    /// just be committed anew.
    pub(super) fn expire(&mut self, turn: &mut GroupTurn<'_>) {
        let (now, retention_ms) = (turn.now, self.settings.offsets_retention_ms);
        let quiet = self.groups.iter().filter(|(name, _)| !turn.is_in_flight(name));
        let expired = quiet.map(|(name, entry)| {
            let Entry { group, offsets, .. } = entry;
            let is_subscribed = |topic: &str| group.is_subscribed(topic);
            let gone = offsets.expired(now, retention_ms, group.retention(), is_subscribed);
            let all: usize = offsets.topics().map(|(_, partitions)| partitions.len()).sum();
            (name.clone(), gone.len() == all && group.is_idle(), gone)
        });
        let expired: Vec<_> = expired.filter(|(_, whole, gone)| *whole || !gone.is_empty()).collect();
        for (group, whole, gone) in expired {
            match gone.len() {
                0 => tracing::debug!(group, "the group has nobody and no offsets: it goes"),
                offsets => tracing::info!(group, offsets, "offsets have expired"),
            }
            match whole {
                true => {
                    // An idle group can be buried.
                    if self.bury(&group).is_ok() {
                        turn.write(Some(group), Vec::new(), Then::Inter(None));
                    }
                }
                false => {
                    let records = tombstones(&group, &gone);
                    turn.write(Some(group), records, Then::Nothing);
                }
            }
        }
    }
}

fn tombstones(group: &str, gone: &[(String, i32)]) -> Vec<Change> {
    gone.iter().map(|(topic, at)| Change::Offset(offset_key(group, topic, *at), None)).collect()
}
