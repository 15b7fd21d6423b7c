//! The committed offsets of the groups of one partition: how they come in, are asked for, and go.
//!
//! * An offset can be fetched once its record is durable, and is forgotten once the record that deletes it
//!   is.
//! * An offset of a transaction is pending when its record is durable, and counts when the transaction is
//!   committed. Until then nothing of its partition expires, and whoever wants to know what is stable is told
//!   to come again: also when its record is still on its way, since its member was in the group when it came.
//! * Offsets go when they are deleted, when they expire, and when their topic has gone. A group that nobody
//!   is in goes with the last that expire; where the last are gone otherwise, at the next look at what has
//!   expired.
//!
//! The offsets of one group, and what of them has expired, are left to `groups/offsets`; the way to the log
//! to the runtime.

use std::collections::HashSet;

use strandline_engine::topics::TopicTable;
use strandline_protocol::wire::ErrorCode;

use super::{Entry, GroupCoordinator, GroupTurn, Then, offset_key, tombstones};
use crate::coordination::{Outcome, Reply, Transactional, Write};
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
    /// The transaction that they are part of; `None` when they count at once.
    pub transaction: Option<Transactional>,
}

/// Offsets that are asked for.
#[derive(Clone, Debug)]
pub struct Fetch {
    /// Of these partitions; `None` for all that the group has.
    pub asked: Option<Vec<(String, Vec<i32>)>>,
    /// Whether an error is wanted where an open transaction is about to change the offset (KIP-447).
    pub require_stable: bool,
    /// What the answer may take of the memory.
    pub bytes_max: usize,
}

/// What a group has of each partition that was asked for, or UNSTABLE_OFFSET_COMMIT.
pub type Fetched = Within<ByPartition<Result<Option<OffsetValue>, ErrorCode>>>;

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
        let (key, transaction) = (Some(group.to_owned()), commit.transaction);
        let write = Write { key, records, transaction, is_whole: false, then: Then::Nothing };
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
        let entry = self.entry_or_new(turn.now, group);
        let is_transactional = commit.transaction.is_some();
        // Versions that know of groups that do not exist know of epochs.
        let knows_epochs = commit.unknown == ErrorCode::GroupIdNotFound;
        let topics = turn.topics();
        let partitions = commit.offsets.iter().flat_map(|(topic, partitions)| {
            let id = topics.by_name(topic).map(|topic| topic.id);
            partitions.iter().map(move |(partition, _)| (topic.as_str(), id, *partition))
        });
        let identity = &commit.identity;
        let checked =
            entry.group.check_commit(turn.now, identity, partitions, is_transactional, knows_epochs);
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

    /// What a group has committed. What is stable is known when everything has settled that was on its way.
    pub fn fetch(&self, turn: &mut GroupTurn<'_>, group: &str, fetch: Fetch, reply: Reply<Fetched>) {
        if !(fetch.require_stable && turn.is_in_flight(group)) {
            return reply.send(self.find(group, fetch));
        }
        let of = group.to_owned();
        let tell = move |groups: &GroupCoordinator| reply.send(groups.find(&of, fetch));
        turn.write(Some(group.to_owned()), Vec::new(), Then::Tell(Box::new(tell)));
    }

    fn find(&self, group: &str, fetch: Fetch) -> Fetched {
        let Fetch { asked, require_stable, bytes_max } = fetch;
        let entry = self.groups.get(group);
        let find = |topic: &str, at| {
            let entry = entry?;
            let is_unstable = require_stable && entry.pending.contains(topic, at);
            match is_unstable {
                true => Some(Err(ErrorCode::UnstableOffsetCommit)),
                false => entry.offsets.get(topic, at).map(|committed| Ok(&committed.value)),
            }
        };
        let asked = asked.unwrap_or_else(|| {
            let offsets = entry.iter().flat_map(|entry| entry.offsets.topics());
            offsets.map(|(topic, of)| (topic.to_owned(), of.keys().copied().collect())).collect()
        });
        let bytes_of = |topic: &str, at| {
            let metadata = find(topic, at).and_then(Result::ok).map_or(0, |value| value.metadata.len());
            size_of::<(i32, Result<Option<OffsetValue>, ErrorCode>)>() + metadata
        };
        let bytes: usize = asked
            .iter()
            .flat_map(|(topic, partitions)| partitions.iter().map(move |at| (topic, *at)))
            .map(|(topic, at)| bytes_of(topic, at))
            .sum();
        if bytes > bytes_max {
            return Within::Beyond(bytes);
        }
        let found = asked.into_iter().map(|(topic, partitions)| {
            let found = partitions.into_iter().map(|at| (at, find(&topic, at).transpose()));
            let found = found.map(|(at, found)| (at, found.map(|value| value.cloned())));
            let found = found.collect();
            (topic, found)
        });
        Within::All(found.collect(), bytes)
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
        let there = asked.iter().map(|(topic, _)| topic.as_str());
        let there: Vec<_> = there.filter(|topic| topics.by_name(topic).is_some()).collect();
        let subscribed: HashSet<String> =
            entry.group.subscribed(&there).into_iter().map(str::to_owned).collect();
        for (topic, partitions) in asked {
            let found = topics.by_name(&topic);
            let is_subscribed = subscribed.contains(&topic);
            let of_topic = partitions.into_iter().map(|at| {
                let is_there = found.and_then(|topic| topic.partition(at)).is_some();
                let code = match is_there {
                    false => ErrorCode::UnknownTopicOrPartition,
                    true if is_subscribed => ErrorCode::GroupSubscribedToTopic,
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
        let (key, records) = (Some(group.to_owned()), tombstones(group, &gone));
        let write = Write { key, records, transaction: None, is_whole: false, then: Then::Nothing };
        Outcome::Write(write, Box::new(move |stored| stored.map(|()| codes).map_err(ErrorCode::from)))
    }

    /// Lets go of all offsets of topics that do not exist any more. Commits that are on their way were
    /// accepted while the topic was there: they settle first.
    pub fn forget_deleted_topics(&mut self, turn: &mut GroupTurn<'_>, reply: Reply<()>) {
        turn.write(None, Vec::new(), Then::Sweep(reply));
    }

    pub(super) fn sweep(&mut self, turn: &mut GroupTurn<'_>) {
        self.sweep_shares(turn);
        let topics = turn.topics();
        for (group, entry) in &self.groups {
            let gone = entry.partitions_of(|topic| topics.by_name(topic).is_none());
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
            let Entry { group, offsets, pending, .. } = entry;
            let mut gone =
                offsets.expired(now, retention_ms, group.retention(), |topics| group.subscribed(topics));
            gone.retain(|(topic, at)| !pending.contains(topic, *at));
            let all: usize = offsets.topics().map(|(_, partitions)| partitions.len()).sum();
            let is_whole = gone.len() == all && group.is_idle() && pending.is_empty();
            (name.clone(), is_whole, gone)
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
