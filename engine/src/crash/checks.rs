//! What an engine must have when it comes back: the comparison of a process with what is known (D1, D2, D4,
//! D9).

use std::path::Path;

use super::images::Subject;
use super::known::Stage;
use super::machine::{DATA_DIR, Process, Settings};
use super::model::BatchNumber;
use super::run::Run;
use crate::error::ReadError;
use crate::format::names;
use crate::message::OffsetQuery;
use crate::sim::Clock;
use crate::topics::Role;
use crate::types::{EpochEnd, LeaderEpoch, Offset, PartitionId, Timestamp};

impl Run {
    /// Compares all that the process has with what is known, and knows it from then on. `None` when the
    /// machine stops meanwhile.
    pub(super) fn check(&mut self, process: &Process) -> Option<()> {
        assert_eq!(process.report.damaged_partitions, 0, "no crash damages a partition");
        self.compare_topics(process);
        let ids: Vec<_> = self.known.model.partitions.keys().copied().collect();
        for id in ids {
            let (start, log) = self.read_whole(process, id)?;
            self.known.settle_cut(id, &log);
            self.known.model.see_start(id, start, self.clock.timestamp());
            self.known.model.compare(id, &log);
            self.known.model.note_missing(id, &log);
            self.compare_epochs(process, id, &log)?;
            self.compare_times(process, id)?;
            self.compare_files(process, id, start);
            let config = process.topics.get().by_id(id.topic).expect("it is there").config.clone();
            let partition = self.known.model.partitions.get_mut(&id).expect("it was just compared");
            partition.durable = config.is_durable();
            partition.limits = vec![config.limits()];
            partition.asked = start.get();
        }
        Some(())
    }

    /// No partition is in an older leader epoch than was acknowledged; those that a crash has left without a
    /// leader are led again.
    pub(super) fn lead_all(&mut self, process: &Process) -> Option<()> {
        let table = process.topics.get();
        for id in table.iter().flat_map(|topic| topic.partitions_here()) {
            let (_, replica) = table.replica(id).expect("it is here");
            let known = self.known.epochs.get(&id).copied().unwrap_or(LeaderEpoch::FIRST);
            assert!(replica.epoch >= known, "{id}: epoch {:?}, {known:?} was acknowledged", replica.epoch);
            if replica.role == Role::Follower {
                assert!(self.known.given_up.contains(&id), "{id} was never given up");
                self.place(process, id, Role::Leader)?;
            }
        }
        self.known.given_up.clear();
        Some(())
    }

    /// Topics that were acknowledged are there, deleted ones are not, and nothing of them is on the disk.
    fn compare_topics(&mut self, process: &Process) {
        let table = process.topics.get();
        let known = &mut self.known;
        for topic in &mut known.topics {
            let there = match topic.id {
                Some(id) => table.by_id(id).is_some(),
                None => table.by_name(&topic.name).is_some(),
            };
            match (topic.stage, there) {
                (Stage::There, false) => panic!("topic {} is lost", topic.name),
                (Stage::Gone, true) => panic!("topic {} has come back", topic.name),
                (Stage::Creating, true) => topic.id = Some(table.by_name(&topic.name).expect("found").id),
                _ => {}
            }
            topic.stage = if there { Stage::There } else { Stage::Gone };
            let found = topic.id.and_then(|id| table.by_id(id));
            if let Some(found) = found {
                let is = (found.partitions, found.own_configs.clone());
                let as_known = is == (topic.partitions, topic.configs.clone());
                assert!(
                    as_known || topic.changing.as_ref() == Some(&is),
                    "{}: {is:?}, not {:?}",
                    topic.name,
                    topic.configs
                );
                (topic.partitions, topic.configs) = is;
                topic.changing = None;
            }
            for id in (0..topic.partitions).filter_map(|index| Some(PartitionId::new(topic.id?, index))) {
                let Some(found) = found else {
                    known.model.partitions.remove(&id);
                    continue;
                };
                match known.model.partitions.get_mut(&id) {
                    None => known.model.add_partition(id, &found.config),
                    Some(partition) => {
                        // What was acknowledged before a change that nobody was told of is durable once its
                        // log is open.
                        partition.durable &= found.config.is_durable();
                        partition.limits.push(found.config.limits());
                    }
                }
            }
        }
        known.topics.retain(|topic| topic.stage == Stage::There);
        assert_eq!(table.len(), known.topics.len(), "there are no other topics");
        for (path, _) in process.disk.list_all() {
            let directory = path.parent().and_then(|parent| parent.file_name()?.to_str()).unwrap_or_default();
            assert!(!names::is_stray_dir(directory), "{} was ours, and is set aside", path.display());
            if path.starts_with(DATA_DIR)
                && let Some((topic, index)) = names::parse_partition_dir(directory)
            {
                let claimed = table.by_name(topic).is_some_and(|topic| topic.replica(index).is_some());
                assert!(claimed, "{} belongs to no topic", path.display());
            }
        }
    }

    /// What was deleted does not take up room.
    fn compare_files(&self, process: &Process, id: PartitionId, start: Offset) {
        let topics = process.topics.get();
        let name = &topics.by_id(id.topic).expect("it is there").name;
        let directory = Path::new(DATA_DIR).join(names::partition_dir(name, id.index));
        let mut bases: Vec<_> = (process.disk.list_all().iter())
            .filter(|(path, _)| path.parent() == Some(&directory))
            .filter_map(|(path, _)| Some(names::parse_segment(path.file_name()?.to_str()?)?.0))
            .collect();
        bases.sort();
        bases.dedup();
        // The log may start where the segment ends that the recovery point lies in.
        assert!(
            bases.get(2).is_none_or(|third| *third > start),
            "{id}: {bases:?} are there, the log starts at {start}"
        );
    }

    /// Where the log starts, and all batches from there on.
    pub(super) fn read_whole(
        &mut self,
        process: &Process,
        id: PartitionId,
    ) -> Option<(Offset, Vec<(i64, BatchNumber)>)> {
        let bytes_max = self.rng.u64(1..20_000);
        let mut log = Vec::new();
        let start = self.drive(process.owner(id).find_offset(id, OffsetQuery::Earliest, None))?;
        let start = start.expect("the log can be read").expect("it has a start").offset;
        let mut offset = start;
        loop {
            let read = self.drive(process.read(id, offset, bytes_max))?;
            let (result, bytes) = read.unwrap_or_else(|error| panic!("{id} offset {offset}: {error}"));
            if bytes.is_empty() {
                assert_eq!(result.high_watermark, offset, "{id}: a read before the end finds something");
                return Some((start, log));
            }
            let found = self.known.model.identify(id, &bytes);
            assert!(found[0].0 == offset.get() || offset == start, "{id}: the batch at the offset asked for");
            let (last, number) = *found.last().expect("it is not empty");
            offset = Offset::new(last + self.known.model.sent[number].timestamps.len() as i64);
            log.extend(found);
        }
    }

    /// Nobody is told of a log that is shorter than what was acknowledged: what is not there is refused, by a
    /// reason that may pass. True when something was refused.
    pub(super) fn check_not_short(&mut self, process: &Process, id: PartitionId) -> bool {
        let (start, end) = (self.known.model.partitions[&id].start, self.known.model.end(id));
        let mut refused = false;
        for query in
            [OffsetQuery::Latest, OffsetQuery::MaxTimestamp, OffsetQuery::AtTimestamp(Timestamp::MAX)]
        {
            match self.drive(process.owner(id).find_offset(id, query, None)).expect("nothing stops it") {
                Ok(found) if query == OffsetQuery::Latest => {
                    let latest = found.expect("a log has an end").offset.get();
                    assert!(latest >= end, "{id}: the end is said to be {latest}, {end} was acknowledged");
                }
                Ok(_) => assert!(!refused, "{id}: {query:?} is answered by what is left"),
                Err(ReadError::Incomplete { .. }) => refused = true,
                Err(error) => panic!("{id}: {query:?}: {error}"),
            }
        }
        let mut at = start;
        while at < end {
            match self.drive(process.read(id, Offset::new(at), 1)).expect("nothing stops it") {
                Ok((result, bytes)) => {
                    assert!(result.high_watermark.get() >= end, "{id}: the high watermark goes back");
                    assert!(!bytes.is_empty(), "{id}: nothing at {at}, {end} was acknowledged");
                    self.known.model.note_read(id, Offset::new(at), &bytes);
                }
                Err(ReadError::Incomplete { .. }) => refused = true,
                Err(ReadError::OffsetOutOfRange { log_start, .. }) if at < log_start.get() => {}
                Err(error) => panic!("{id} offset {at}, end {end}: {error}"),
            }
            at += 1;
        }
        refused
    }

    /// Each leader epoch ends where the next one begins.
    fn compare_epochs(
        &mut self,
        process: &Process,
        id: PartitionId,
        log: &[(i64, BatchNumber)],
    ) -> Option<()> {
        for (at, (_, number)) in log.iter().enumerate() {
            let epoch = self.known.model.epoch(*number);
            let next = log[at..].iter().find(|(_, number)| self.known.model.epoch(*number) > epoch);
            let end = next.map_or(self.known.model.end(id), |(offset, _)| *offset);
            let found = self.drive(process.owner(id).end_of_epoch(id, epoch, None))?;
            let found = found.expect("the log can be read");
            assert_eq!(found, Some(EpochEnd { epoch, end: Offset::new(end) }), "{id}: the end of an epoch");
        }
        Some(())
    }

    fn compare_times(&mut self, process: &Process, id: PartitionId) -> Option<()> {
        let timestamp = Clock::START.plus(self.rng.i64(-1000..300_000));
        let model = &self.known.model;
        let queries = [
            (OffsetQuery::AtTimestamp(timestamp), model.offset_for_timestamp(id, timestamp)),
            (OffsetQuery::MaxTimestamp, model.offset_of_max_timestamp(id)),
        ];
        for (query, expected) in queries {
            let found =
                self.drive(process.owner(id).find_offset(id, query, None))?.expect("the log can be read");
            let found = found.map(|found| (found.offset.get(), found.timestamp));
            assert_eq!(found, expected, "{id}: {query:?}");
        }
        Some(())
    }

    /// One read of a running engine is held against what is known.
    pub(super) fn check_read(
        &mut self,
        process: &Process,
        id: PartitionId,
        offset: Offset,
        bytes_max: u64,
    ) -> Option<()> {
        let (start, end) = (self.known.model.partitions[&id].start, self.known.model.end(id));
        match self.drive(process.read(id, offset, bytes_max))? {
            Ok((result, bytes)) => {
                assert!(offset.get() >= start, "{id}: {offset} is read, the log starts at {start}");
                self.see_start(id, result.log_start, start);
                assert!(result.high_watermark.get() >= end, "{id}: the high watermark goes back");
                assert!(offset.get() >= end || !bytes.is_empty(), "{id}: nothing at {offset} of {end}");
                self.known.model.note_read(id, offset, &bytes);
            }
            Err(ReadError::OffsetOutOfRange { log_start, high_watermark, .. }) => {
                assert!(offset < log_start, "{id} offset {offset} of {log_start} to {high_watermark}");
                self.see_start(id, log_start, start);
            }
            Err(ReadError::UnknownPartition(_)) => {
                assert!(!self.known.is_there(id.topic), "{id} exists");
            }
            Err(ReadError::NotLeader(_)) => assert!(self.known.given_up.contains(&id), "{id} is led here"),
            Err(ReadError::Faulty { fault, .. }) => {
                let may_fail = self.known.errors_seen
                    || (self.known.short_seen && fault.is_shortage())
                    || !self.known.is_there(id.topic);
                assert!(may_fail, "{id} offset {offset}: {fault}");
            }
            Err(error) => panic!("{id} offset {offset}, end {end}: {error}"),
        }
        Some(())
    }

    /// A reader who asked when the log started at `least` has seen where it starts; that it starts later may
    /// have been answered since.
    fn see_start(&mut self, id: PartitionId, seen: Offset, least: i64) {
        assert!(seen.get() >= least, "{id}: the log start goes back from {least} to {seen}");
        let Some(known) = self.known.model.partitions.get(&id).map(|partition| partition.start) else {
            return;
        };
        self.known.model.see_start(id, seen.max(Offset::new(known)), self.clock.timestamp());
    }

    /// Starts on a disk that has rotten or lied. What is read without an error was sent, and stands where it
    /// was; what is missing was reported, or is the last of its partition.
    pub(super) fn start_damaged(&mut self, settings: &Settings) {
        let Ok(process) = self.launch(settings).expect("nothing stops it") else { return };
        let ids: Vec<_> = self.known.model.partitions.keys().copied().collect();
        for id in ids.into_iter().filter(|id| process.topics.get().holds(*id)) {
            let (mut at, end) = (self.known.model.partitions[&id].start, self.known.model.end(id));
            while at < end {
                let Some(read) = self.drive(process.read(id, Offset::new(at), 1)) else { break };
                // What stands behind the damage is read on.
                if let Ok((_, bytes)) = read {
                    if bytes.is_empty() {
                        break;
                    }
                    self.known.model.note_read(id, Offset::new(at), &bytes);
                }
                at += 1;
            }
        }
    }
}
