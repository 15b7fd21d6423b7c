//! One step after the other, each waited for: what tests of one property are written in.

use std::time::Duration;

use super::images::Subject;
use super::machine::Process;
use super::run::Run;
use crate::error::{AppendError, DeleteRecordsError};
use crate::message::{Appended, DeleteBefore, OffsetQuery};
use crate::types::{Offset, PartitionId};

impl Run {
    pub(super) fn create_now(&mut self, process: &Process, name: &str, partitions: u32) -> Vec<PartitionId> {
        self.create(process, name, partitions, Vec::new()).expect("nothing stops it");
        self.wait_for_answers(process).expect("nothing stops it");
        let topics = process.topics.get();
        topics.by_name(name).expect("the topic is made").partition_ids().collect()
    }

    /// Appends a batch of two records and waits for the answer.
    pub(super) fn append_now(&mut self, process: &Process, id: PartitionId) -> Result<Appended, AppendError> {
        let number = self.new_batch(id, 2, 100, None);
        let batch = self.known.model.sent[number].bytes[..].into();
        let config = process.topics.get().by_id(id.topic).expect("it is there").config.clone();
        let rules = config.check_rules(self.clock.timestamp());
        let checked = crate::format::check::check(batch, &rules).expect("the batch keeps the rules");
        let append = async { process.owner(id).append(id, checked).await.await.expect("it is answered") };
        let answer = self.drive(append).expect("nothing stops it");
        if let Ok(appended) = &answer {
            self.known.model.know(id, appended.base_offset.get(), number, "was acknowledged");
        }
        answer
    }

    /// Reads a partition whole: all that was acknowledged is there.
    pub(super) fn read_now(&mut self, process: &Process, id: PartitionId) {
        let (start, log) = self.read_whole(process, id).expect("nothing stops it");
        self.known.model.see_start(id, start, self.clock.timestamp());
        self.known.model.compare(id, &log);
    }

    /// Lets a minute pass, and the background do what it does then.
    pub(super) fn retain_now(&mut self, process: &Process) {
        self.clock.advance(Duration::from_secs(60));
        process.shards.iter().for_each(|shard| shard.tick(self.clock.timestamp()));
        self.settle();
    }

    /// Lets some seconds pass, in which the shards look whether there is room again.
    pub(super) fn look_for_room_now(&mut self, process: &Process) {
        for _ in 0..3 {
            self.clock.advance(Duration::from_secs(2));
            process.shards.iter().for_each(|shard| shard.tick(self.clock.timestamp()));
            self.settle();
        }
    }

    pub(super) fn log_start_now(&mut self, process: &Process, id: PartitionId) -> i64 {
        let found = self.drive(process.owner(id).find_offset(id, OffsetQuery::Earliest, None));
        let found = found.expect("nothing stops it").expect("the log can be read");
        let start = found.expect("it has a start").offset;
        self.known.model.see_start(id, start, self.clock.timestamp());
        start.get()
    }

    /// Deletes all records of a partition.
    pub(super) fn delete_now(
        &mut self,
        process: &Process,
        id: PartitionId,
    ) -> Result<Offset, DeleteRecordsError> {
        self.known.model.partitions.get_mut(&id).expect("it is there").asked = i64::MAX;
        self.drive(process.owner(id).delete_records(id, DeleteBefore::HighWatermark))
            .expect("nothing stops it")
    }
}
