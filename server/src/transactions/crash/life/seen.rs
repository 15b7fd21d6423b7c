//! What a consumer of committed records sees of the machine, and what the groups of clients have committed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use strandline_engine::crash::Subject;
use strandline_engine::error::ReadError;
use strandline_engine::format::batch::{BATCH_HEADER_BYTES, Batches};
use strandline_engine::format::record::Records;
use strandline_engine::types::Offset;

use super::{CLIENTS, Life, PARTITIONS, Running, TIMEOUT_MS, group_of, partition_id};
use crate::groups::{Fetch, Within};
use crate::transactions::State;
use crate::transactions::crash::known::{Seen, Value};

impl Life {
    /// Holds what is seen against what is known.
    pub(in super::super) fn compare(&mut self, running: &Running, is_settled: bool) -> Option<()> {
        let (mut values, mut stable) = (BTreeMap::new(), BTreeSet::new());
        for partition in 0..PARTITIONS {
            let Some((found, end)) = self.read(running, partition)? else { return Some(()) };
            values.insert(partition, found);
            if self.is_stable(running, partition, end)? {
                stable.insert(partition);
            }
        }
        let mut offsets = BTreeMap::new();
        for client in 0..CLIENTS {
            let found = self.patiently(running, async |shard| {
                let all = Fetch { asked: None, require_stable: false, bytes_max: usize::MAX };
                running.groups.fetch(shard, group_of(client), all).await
            });
            let Ok(Within::All(found, _)) = found? else { panic!("the offsets of {client} are not told") };
            let found = found.into_iter().flat_map(|(_, offsets)| offsets);
            offsets.extend(found.filter_map(|(_, value)| Some((client, value.expect("no error")?.offset))));
        }
        let seen = Seen { values, stable, offsets };
        match is_settled {
            true => self.known.see_all(&seen),
            false => self.known.see(&seen),
        }
        Some(())
    }

    /// What a consumer of committed records sees, and how far it comes; nothing where the disk is to blame.
    fn read(&mut self, running: &Running, partition: i32) -> Option<Option<(Vec<Value>, Offset)>> {
        let id = partition_id(running, partition);
        let (mut found, mut next) = (Vec::new(), Offset::ZERO);
        loop {
            let read = self.drive(running.process.read_committed(id, next, 1000))?;
            let (result, bytes) = match read {
                Ok(read) => read,
                Err(ReadError::OffsetOutOfRange { log_start, .. }) if next < log_start => {
                    next = log_start;
                    continue;
                }
                Err(ReadError::Faulty { .. }) if self.is_troubled => return Some(None),
                Err(error) => panic!("partition {partition} is not read: {error}"),
            };
            if bytes.is_empty() {
                return Some(Some((found, next)));
            }
            let mut begins: Vec<_> =
                result.aborted.iter().map(|of| (of.first_offset, of.producer_id)).collect();
            begins.sort();
            let mut begins = begins.into_iter().peekable();
            let mut aborting = BTreeSet::new();
            for batch in Batches::new(&bytes) {
                let (header, batch) = batch.expect("whole batches");
                next = header.next_offset();
                let producer = header.producer().map(|producer| producer.id);
                while let Some((_, producer)) = begins.next_if(|(first, _)| *first < next) {
                    aborting.insert(producer);
                }
                match producer {
                    Some(producer) if header.is_control() => drop(aborting.remove(&producer)),
                    Some(producer) if aborting.contains(&producer) => {}
                    _ => {
                        let records = &batch[BATCH_HEADER_BYTES..];
                        for record in Records::new(records, header.record_count() as u32) {
                            let value = record.expect("a record").value.expect("a value");
                            found.push(value_of(value));
                        }
                    }
                }
            }
        }
    }

    /// Whether `end`, which a consumer of committed records comes to, is the end of the log.
    fn is_stable(&mut self, running: &Running, partition: i32, end: Offset) -> Option<bool> {
        let id = partition_id(running, partition);
        let read = self.drive(running.process.read_committed(id, end, 1000))?;
        assert!(self.is_troubled || read.is_ok(), "it is read");
        Some(read.is_ok_and(|(result, _)| result.last_stable == result.high_watermark))
    }

    /// When all times are over, the end of every partition is stable.
    pub(in super::super) fn nothing_stays_open(&mut self, running: &Running) -> Option<()> {
        for _ in 0..3 {
            self.pass_time(running, Duration::from_millis(TIMEOUT_MS as u64))?;
            self.drive(running.process.pass_time(100))?;
        }
        self.settle(running)?;
        for partition in 0..PARTITIONS {
            let (_, end) = self.read(running, partition)?.expect("nothing is wrong");
            assert!(self.is_stable(running, partition, end)?, "partition {partition} stays open");
        }
        self.compare(running, true)?;
        let known = self.drive(running.transactions.list())?.expect("they are told");
        assert!(known.iter().all(|of| of.state != State::Ongoing), "{known:?}");
        Some(())
    }
}

fn value_of(bytes: &[u8]) -> Value {
    let text = std::str::from_utf8(bytes).expect("a value of ours");
    let numbers: Vec<u32> = text.split(' ').map(|number| number.parse().expect("a number")).collect();
    ((numbers[0] as usize, numbers[1]), numbers[2])
}
