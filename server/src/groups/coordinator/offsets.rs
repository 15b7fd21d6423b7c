//! The committed offsets of the groups of one shard: how they come in, are asked for, and go.
//!
//! * An offset can be fetched once its record is durable, and is forgotten once the record that deletes it is.
//! * Offsets go when they are deleted, when they expire, and when their topic has gone. A group that nobody is in goes with the last that
//!   expire; where the last are gone otherwise, at the next look at what has expired.
//!
//! The offsets of one group, and what of them has expired, are left to `groups/offsets`; the way to the log to the module above.

use std::rc::Rc;

use futures_channel::oneshot;
use strandline_engine::topics::TopicTable;

use super::{ByPartition, Coordinator, Entry, Reply, Within, answer, offset_key};
use crate::groups::member::Identity;
use crate::groups::records::{Change, OffsetValue};
use crate::wire::ErrorCode;

impl Coordinator {
    /// Keeps offsets; the answer says of each whether it is durable. `unknown` is what is said of a generation of a group that there is
    /// not.
    pub fn commit(
        &mut self,
        index: u32,
        group: String,
        identity: &Identity,
        unknown: ErrorCode,
        offsets: ByPartition<OffsetValue>,
        reply: Reply<ByPartition<ErrorCode>>,
    ) {
        if let Err(error) = self.check_commit(index, &group, identity, unknown) {
            return answer(reply, Err(error));
        }
        let topics = self.shard.topics();
        let mut codes = Vec::with_capacity(offsets.len());
        let mut accepted = Vec::new();
        for (topic, partitions) in offsets {
            let mut of_topic = Vec::with_capacity(partitions.len());
            for (partition, value) in partitions {
                let code = self.check_offset(&topics, &topic, partition, &value);
                if code == ErrorCode::None {
                    accepted.push((topic.clone(), partition, value));
                }
                of_topic.push((partition, code));
            }
            codes.push((topic, of_topic));
        }
        if accepted.is_empty() {
            answer(reply, Ok(codes));
            return self.schedule(index, &group);
        }
        let changes = accepted.iter().map(|(topic, partition, value)| {
            Change::Offset(offset_key(&group, topic, *partition), Some(value.clone()))
        });
        let changes = changes.collect();
        let name = group.clone();
        let then = move |coordinator: &mut Coordinator, stored: Result<(), ErrorCode>| {
            match stored {
                Ok(()) => {
                    if let Ok(entry) = coordinator.entry_or_new(index, &name) {
                        entry.had_offsets = true;
                        accepted
                            .into_iter()
                            .for_each(|(topic, at, value)| entry.offsets.put(topic, at, value));
                    }
                }
                Err(error) => {
                    let all = codes.iter_mut().flat_map(|(_, partitions)| partitions);
                    all.filter(|(_, code)| *code == ErrorCode::None).for_each(|(_, code)| *code = error);
                }
            }
            answer(reply, Ok(codes));
        };
        self.write(index, group, changes, Box::new(then));
    }

    fn check_commit(
        &mut self,
        index: u32,
        group: &str,
        identity: &Identity,
        unknown: ErrorCode,
    ) -> Result<(), ErrorCode> {
        let now = self.now;
        if self.entry(index, group)?.is_none() && identity.generation >= 0 {
            return Err(unknown);
        }
        // A group that is made here and gets nothing goes again with `schedule`.
        let checked = self.entry_or_new(index, group)?.group.commit(now, identity);
        if checked.is_err() {
            self.schedule(index, group);
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
        if !topic.is_some_and(|topic| (0..topic.partitions as i32).contains(&partition)) {
            ErrorCode::UnknownTopicOrPartition
        } else if value.metadata.encode_utf16().count() > self.settings.offset_metadata_max {
            ErrorCode::OffsetMetadataTooLarge
        } else {
            ErrorCode::None
        }
    }

    /// The offsets of these partitions, or of all that the group has.
    pub fn fetch(
        &mut self,
        index: u32,
        group: &str,
        asked: Option<Vec<(String, Vec<i32>)>>,
        bytes_max: usize,
        reply: Reply<Within<ByPartition<Option<OffsetValue>>>>,
    ) {
        let offsets = match self.entry(index, group) {
            Err(error) => return answer(reply, Err(error)),
            Ok(entry) => entry.map(|entry| &entry.offsets),
        };
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
            return answer(reply, Ok(Within::Beyond(bytes)));
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
        answer(reply, Ok(Within::All(found, bytes)));
    }

    /// Deletes offsets of topics that nobody in the group consumes.
    pub fn delete_offsets(
        &mut self,
        index: u32,
        group: String,
        asked: Vec<(String, Vec<i32>)>,
        reply: Reply<ByPartition<ErrorCode>>,
    ) {
        let topics = self.shard.topics();
        let entry = match self.entry(index, &group) {
            Err(error) => return answer(reply, Err(error)),
            Ok(None) => return answer(reply, Err(ErrorCode::GroupIdNotFound)),
            Ok(Some(entry)) => entry,
        };
        if let Err(error) = entry.group.check_offset_delete() {
            return answer(reply, Err(error));
        }
        let mut gone = Vec::new();
        let mut codes = Vec::with_capacity(asked.len());
        for (topic, partitions) in asked {
            let found = topics.by_name(&topic);
            let of_topic = partitions.into_iter().map(|at| {
                let is_there = found.is_some_and(|topic| (0..topic.partitions as i32).contains(&at));
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
        self.forget(index, group, gone, move |_, stored| answer(reply, stored.map(|()| codes)));
    }

    /// Lets go of all offsets of topics that there are not any more.
    pub fn forget_deleted_topics(&mut self, reply: Reply<()>) {
        let indexes: Vec<_> = self.partitions.keys().copied().collect();
        let reply = Rc::new(reply);
        // The last one who has it answers.
        let done = |reply| Rc::into_inner(reply).into_iter().for_each(|reply| answer(reply, Ok(())));
        for index in indexes {
            let reply = reply.clone();
            // Commits that are on their way were accepted while the topic was there.
            let sweep = move |coordinator: &mut Coordinator, _| {
                coordinator.sweep(index);
                coordinator.after_writes(index, Box::new(move |_, _| done(reply)));
            };
            self.after_writes(index, Box::new(sweep));
        }
        done(reply);
    }

    pub(super) fn sweep(&mut self, index: u32) {
        let topics = self.shard.topics();
        let Ok(partition) = self.active(index) else { return };
        let gone = partition.groups.iter().map(|(name, entry)| {
            (name.clone(), entry.offsets.partitions_of(|topic| topics.by_name(topic).is_none()))
        });
        let gone: Vec<_> = gone.filter(|(_, partitions)| !partitions.is_empty()).collect();
        for (group, partitions) in gone {
            self.forget(index, group, partitions, |_, _| {});
        }
    }

    /// Deletes what has expired in one partition. A group with a write on its way waits for the next time.
    pub(super) fn expire(&mut self, index: u32) {
        let (now, retention_ms) = (self.now, self.settings.offsets_retention_ms);
        let Ok(partition) = self.active(index) else { return };
        let quiet = partition.groups.iter().filter(|(_, entry)| entry.writes == 0);
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
                true => self.delete(index, group, oneshot::channel().0),
                false => self.forget(index, group, gone, |_, _| {}),
            }
        }
    }

    /// Deletes offsets from the log, and then from memory.
    fn forget(
        &mut self,
        index: u32,
        group: String,
        gone: Vec<(String, i32)>,
        then: impl FnOnce(&mut Coordinator, Result<(), ErrorCode>) + 'static,
    ) {
        let changes = gone.iter().map(|(topic, at)| Change::Offset(offset_key(&group, topic, *at), None));
        let changes = changes.collect();
        let name = group.clone();
        let forgotten = move |coordinator: &mut Coordinator, stored: Result<(), ErrorCode>| {
            if stored.is_ok()
                && let Ok(Some(entry)) = coordinator.entry(index, &name)
            {
                gone.iter().for_each(|(topic, at)| entry.offsets.remove(topic, *at));
            }
            then(coordinator, stored);
        };
        self.write(index, group, changes, Box::new(forgotten));
    }
}
