//! What is in the logs: held against what is known, against what the engine says of transactions, and against
//! what a reader of committed records sees.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use super::{Item, PARTITIONS, Phase, STAMPED_BYTES, Transactions};
use crate::crash::images::Subject;
use crate::crash::machine::Process;
use crate::error::ReadError;
use crate::format::batch::{BatchHeader, Batches, Producer, verify_crc};
use crate::format::marker::{EndMarker, TransactionResult};
use crate::log::AbortedTransaction;
use crate::message::{OffsetQuery, ReadRequest};
use crate::partition::{Isolation, Reader};
use crate::types::{Offset, ProducerId};

const COMMITTED: Reader = Reader::Consumer(Isolation::ReadCommitted);

/// A batch or a marker that was found in a log.
struct Found {
    header: BatchHeader,
    item: Item,
}

impl Found {
    fn offset(&self) -> i64 {
        self.header.base_offset().get()
    }

    fn number(&self) -> Option<usize> {
        match self.item {
            Item::Batch(number) => Some(number),
            Item::Marker(..) => None,
        }
    }
}

/// What a whole log says.
#[derive(Default)]
struct Judged {
    /// The first offset of each open transaction.
    open: BTreeMap<ProducerId, i64>,
    /// The batches that count, with their offsets.
    committed: BTreeMap<usize, i64>,
    end: i64,
}

impl Transactions {
    /// Reads all logs. When `quiet`, nothing is appended meanwhile.
    pub(super) fn compare(&mut self, process: &Process, quiet: bool) -> Option<()> {
        let quiet = quiet || self.pending.is_empty();
        for partition in 0..PARTITIONS {
            let Some((start, log)) = self.read_whole(process, partition)? else { continue };
            let judged = self.judge(partition, start, &log, quiet);
            if quiet {
                let Some(stable) = self.compare_open(process, partition, start, &judged)? else { continue };
                self.compare_committed(process, partition, start..=stable, &judged)?;
            }
        }
        Some(())
    }

    /// Where the log starts, and all that stands behind; `None` where a disk that fails is to blame.
    fn read_whole(&mut self, process: &Process, partition: u32) -> Option<Option<(i64, Vec<Found>)>> {
        let id = self.id(partition);
        let start = match self.drive(process.owner(id).find_offset(id, OffsetQuery::Earliest, None))? {
            Ok(found) => found.expect("a log has a start").offset,
            Err(_) if self.errors => return Some(None),
            Err(error) => panic!("{id}: {error}"),
        };
        self.see_start(partition, start);
        let bytes_max = self.rng.u64(1..5000);
        let (mut log, mut next) = (Vec::new(), start);
        loop {
            let (_, bytes) = match self.drive(process.read(id, next, bytes_max))? {
                Ok(read) => read,
                Err(ReadError::Faulty { .. }) if self.errors => return Some(None),
                Err(error) => panic!("{id} offset {next}: {error}"),
            };
            if bytes.is_empty() {
                return Some(Some((start.get(), log)));
            }
            for batch in Batches::new(&bytes) {
                let (header, batch) = batch.expect("a batch");
                verify_crc(batch).expect("an intact batch");
                next = header.next_offset();
                log.push(Found { header: *header, item: self.identify(header, batch) });
            }
        }
    }

    fn identify(&self, header: &BatchHeader, batch: &[u8]) -> Item {
        if !header.is_control() {
            let number = self.by_content.get(&batch[STAMPED_BYTES..]);
            return Item::Batch(*number.unwrap_or_else(|| panic!("nobody sent {header:?}")));
        }
        let marker = EndMarker::read(batch).expect("a marker");
        Item::Marker(header.producer().expect("of a producer"), marker.result)
    }

    /// Holds a log against what is known, and says what is decided.
    fn judge(&mut self, partition: u32, start: i64, log: &[Found], quiet: bool) -> Judged {
        for (offset, item) in &self.known[&partition] {
            let found = log.iter().find(|found| found.offset() == *offset);
            assert_eq!(found.map(|found| found.item), Some(*item), "{partition} offset {offset} was known");
        }
        let mut judged = Judged { end: start, ..Judged::default() };
        let mut undecided: BTreeMap<ProducerId, Vec<(usize, i64)>> = BTreeMap::new();
        for found in log {
            self.know(partition, found.offset(), found.item);
            judged.end = found.header.next_offset().get();
            match found.item {
                Item::Batch(number) => {
                    assert!(!self.gone.contains(&number), "batch {number} has come back");
                    match found.header.producer().filter(|_| found.header.is_transactional()) {
                        Some(Producer { id, .. }) => {
                            judged.open.entry(id).or_insert(found.offset());
                            undecided.entry(id).or_default().push((number, found.offset()));
                        }
                        None => drop(judged.committed.insert(number, found.offset())),
                    }
                }
                Item::Marker(Producer { id, .. }, result) => {
                    judged.open.remove(&id);
                    let ended = undecided.remove(&id).unwrap_or_default();
                    if result == TransactionResult::Commit {
                        judged.committed.extend(ended);
                    }
                }
            }
        }
        // What was refused since a disk has failed may be there at the next start.
        if quiet && (self.is_fresh || !self.errors) {
            let found: BTreeSet<_> = log.iter().map(|found| found.number()).collect();
            let is_missing =
                |number: &usize| self.sent[*number] == partition && !found.contains(&Some(*number));
            self.gone.extend((0..self.sent.len()).filter(is_missing));
        }
        judged
    }

    /// The engine knows what is open, and where what is decided ends, which is given. The beginning of an
    /// open transaction may be deleted, and all of it: then it is open all the same.
    fn compare_open(
        &mut self,
        process: &Process,
        partition: u32,
        start: i64,
        judged: &Judged,
    ) -> Option<Option<i64>> {
        let id = self.id(partition);
        let producers = match self.drive(process.owner(id).producers(id))? {
            Ok(producers) => producers,
            Err(error) => {
                assert!(self.errors, "{id}: {error}");
                return Some(None);
            }
        };
        let mut end = judged.end;
        for (at, transactor) in self.producers.iter().enumerate() {
            let known = producers.iter().find(|known| known.id.0 == at as i64);
            let found = known.and_then(|known| known.transaction_start).map(Offset::get);
            let expected = judged.open.get(&ProducerId(at as i64)).copied();
            match found.filter(|first| *first < start) {
                None => assert_eq!(found, expected, "{id}: where the transaction of {at} begins"),
                Some(first) => {
                    let is_idle = matches!(transactor.phase, Phase::Idle) && !transactor.uncertain;
                    assert!(!is_idle, "{id}: a transaction of {at} is open from {first} on");
                }
            }
            end = found.map_or(end, |first| end.min(first));
        }
        match self.drive(process.owner(id).find_offset(id, OffsetQuery::LatestStable, None))? {
            Ok(stable) => {
                let stable = stable.expect("a log has an end").offset.get();
                assert_eq!(stable, end.max(start), "{id}: the last stable offset");
                Some(Some(stable))
            }
            Err(error) => {
                assert!(self.errors, "{id}: {error}");
                Some(None)
            }
        }
    }

    /// What a reader of committed records is left with.
    fn compare_committed(
        &mut self,
        process: &Process,
        partition: u32,
        decided: RangeInclusive<i64>,
        judged: &Judged,
    ) -> Option<()> {
        let (id, stable) = (self.id(partition), *decided.end());
        let from = self.rng.i64(decided);
        let bytes_max = self.rng.u64(1..5000);
        let (mut seen, mut next) = (BTreeMap::new(), from);
        loop {
            let request =
                ReadRequest { reader: COMMITTED, ..ReadRequest::new(id, Offset::new(next), bytes_max) };
            let (result, bytes) = match self.drive(process.read_as(request))? {
                Ok(read) => read,
                Err(error) => {
                    assert!(self.errors, "{id} offset {next}: {error}");
                    return Some(());
                }
            };
            if bytes.is_empty() {
                break;
            }
            next = self.filter(&bytes, &result.aborted, &mut seen);
            assert!(next <= stable, "{id}: {next} is read, what is decided ends at {stable}");
        }
        assert_eq!(next, stable, "{id}: a reader of committed records comes to the end of what is decided");
        let wanted = |(_, offset): &(&usize, &i64)| **offset >= from && **offset < stable;
        let expected: BTreeMap<_, _> =
            judged.committed.iter().filter(wanted).map(|(number, offset)| (*number, *offset)).collect();
        // The batch that holds the first offset is read whole.
        seen.retain(|_, offset| *offset >= from);
        assert_eq!(seen, expected, "{id}: what counts from {from} on");
        Some(())
    }

    /// What a client makes of an answer: aborted transactions are taken up where they begin, and let go at
    /// their markers. Gives the offset behind it.
    fn filter(&self, bytes: &[u8], aborted: &[AbortedTransaction], seen: &mut BTreeMap<usize, i64>) -> i64 {
        let mut waiting: Vec<_> = aborted.to_vec();
        waiting.sort_by_key(|aborted| aborted.first_offset);
        waiting.reverse();
        let mut left_out = BTreeSet::new();
        let mut next = 0;
        for batch in Batches::new(bytes) {
            let (header, batch) = batch.expect("a batch");
            next = header.next_offset().get();
            while waiting.last().is_some_and(|aborted| aborted.first_offset <= header.last_offset()) {
                left_out.extend(waiting.pop().map(|aborted| aborted.producer_id));
            }
            match self.identify(header, batch) {
                Item::Marker(Producer { id, .. }, TransactionResult::Abort) => drop(left_out.remove(&id)),
                Item::Marker(..) => {}
                Item::Batch(_) if header.is_transactional() && left_out.contains(&header.producer_id()) => {}
                Item::Batch(number) => {
                    let twice = seen.insert(number, header.base_offset().get());
                    assert_eq!(twice, None, "batch {number} is seen twice");
                }
            }
        }
        next
    }
}
