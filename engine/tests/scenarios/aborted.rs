//! The tools over a directory with aborted transactions: whatever has become of their file, it is told, made
//! anew from the log, and neither a broker nor a salvage shows a record that was aborted (D5, D10).

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use futures_executor::block_on;
use strandline_engine::format::aborted::{
    ABORTED_HEADER_BYTES, ABORTED_ROW_BYTES, AbortedRow, decode_aborted, encode_aborted,
};
use strandline_engine::format::batch::{BATCH_HEADER_BYTES, Batches};
use strandline_engine::format::record::Records;
use strandline_engine::inspect::{DataDir, Verified, plan_repair, salvage, verify};
use strandline_engine::types::{Offset, PartitionId, ProducerId};
use strandline_engine::{Handle, Isolation, ReadRequest, Reader, TransactionResult};

use crate::support::{append, create_topic, start};
use crate::transactions::Transactional;

const FILE: &str = "orders-0/aborted";
const ROUNDS: usize = 30;

/// A directory with transactions of two producers that reach over each other, two of three of them aborted;
/// and what counts of it.
fn stopped() -> (tempfile::TempDir, BTreeSet<String>) {
    let directory = tempfile::tempdir().unwrap();
    let engine = start(directory.path(), 1);
    let log = engine.handle();
    let partition = create_topic(log, "orders", 1, &[])[0];
    let mut producers = [Transactional::new(log), Transactional::new(log)];
    let mut counted = BTreeSet::new();
    for round in 0..ROUNDS {
        let at = round % 2;
        let result = if round % 3 == 0 { TransactionResult::Commit } else { TransactionResult::Abort };
        producers[at].send(partition, &format!("{round}, first")).unwrap();
        producers[at].send(partition, &format!("{round}, second")).unwrap();
        counted.insert(format!("{round}, of none"));
        append(log, partition, &format!("{round}, of none"));
        if result == TransactionResult::Commit {
            counted.extend([format!("{round}, first"), format!("{round}, second")]);
        }
        // The one before ends inside of this one.
        if round > 0 {
            let before = &mut producers[1 - at];
            let result = if round % 3 == 1 { TransactionResult::Commit } else { TransactionResult::Abort };
            before.end(partition, result).unwrap();
            before.next_epoch();
        }
    }
    let last = &mut producers[(ROUNDS - 1) % 2];
    last.end(partition, TransactionResult::Abort).unwrap();
    engine.stop().unwrap();
    (directory, counted)
}

/// What a reader of committed records is left with.
fn committed(directory: &Path) -> BTreeSet<String> {
    let engine = start(directory, 1);
    let log = engine.handle();
    let partition = log.topics().by_name("orders").expect("it is there").partition_ids().next().unwrap();
    let seen = committed_of(log, partition);
    engine.stop().unwrap();
    seen
}

fn committed_of(log: &Handle, partition: PartitionId) -> BTreeSet<String> {
    let (mut seen, mut next) = (BTreeSet::new(), Offset::ZERO);
    loop {
        let reader = Reader::Consumer(Isolation::ReadCommitted);
        let request = ReadRequest { reader, ..ReadRequest::new(partition, next, 700) };
        let read = block_on(log.read(&[request])).remove(0).expect("the log can be read");
        let Some(range) = read.batches else { return seen };
        let mut begins = read.aborted;
        begins.sort_by_key(|aborted| std::cmp::Reverse(aborted.first_offset));
        let mut aborting = BTreeSet::new();
        for batch in Batches::new(&range.read().unwrap()) {
            let (header, batch) = batch.unwrap();
            next = header.next_offset();
            while begins.last().is_some_and(|aborted| aborted.first_offset < next) {
                aborting.extend(begins.pop().map(|aborted| aborted.producer_id));
            }
            if header.is_control() {
                aborting.remove(&header.producer_id());
                continue;
            }
            if header.is_transactional() && aborting.contains(&header.producer_id()) {
                continue;
            }
            for record in Records::new(&batch[BATCH_HEADER_BYTES..], header.record_count() as u32) {
                let value = record.unwrap().value.unwrap();
                let is_new = seen.insert(String::from_utf8(value.to_vec()).unwrap());
                assert!(is_new, "a record is seen twice");
            }
        }
    }
}

fn verified(directory: &Path) -> (Verified, Vec<String>) {
    let mut lines = Vec::new();
    let dir = DataDir::open(directory).unwrap();
    let verified = verify(&dir, &mut |finding| lines.push(finding.to_string()), &mut |_| {});
    (verified, lines)
}

/// What may have become of the file, with what is told of it: damage, or a note.
type Fate = (&'static str, bool, fn(Vec<u8>, &[AbortedRow]) -> Option<Vec<u8>>);

const FATES: [Fate; 9] = [
    ("it is gone", false, |_, _| None),
    ("its end is gone", false, |bytes, _| Some(bytes[..bytes.len() - 2 * ABORTED_ROW_BYTES].to_vec())),
    ("a row is torn", true, |bytes, _| Some(bytes[..bytes.len() - 5].to_vec())),
    ("the header is damaged", true, |mut bytes, _| {
        bytes[13] ^= 1;
        Some(bytes)
    }),
    ("the first row is damaged", true, |mut bytes, _| {
        bytes[ABORTED_HEADER_BYTES + 3] ^= 1;
        Some(bytes)
    }),
    ("a row in the middle is damaged", true, |mut bytes, rows| {
        bytes[ABORTED_HEADER_BYTES + rows.len() / 2 * ABORTED_ROW_BYTES + 9] ^= 1;
        Some(bytes)
    }),
    ("a row in the middle is missing", true, |_, rows| {
        Some(encode_aborted(Offset::ZERO, &[&rows[..4], &rows[5..]].concat()))
    }),
    ("a row names another producer", true, |_, rows| {
        let mut rows = rows.to_vec();
        rows[7].producer_id = ProducerId(rows[7].producer_id.0 + 5);
        Some(encode_aborted(Offset::ZERO, &rows))
    }),
    ("a row begins too late", true, |_, rows| {
        let mut rows = rows.to_vec();
        rows[7].first_offset = rows[7].first_offset.plus(1);
        Some(encode_aborted(Offset::ZERO, &rows))
    }),
];

#[test]
fn d5_whatever_has_become_of_the_rows_is_told_repaired_and_salvaged() {
    let (directory, counted) = stopped();
    assert_eq!(committed(directory.path()), counted);
    let (sound, lines) = verified(directory.path());
    assert_eq!((sound.damage, sound.notes), (0, 0), "{lines:?}");
    let path = directory.path().join(FILE);
    let before = fs::read(&path).unwrap();
    let rows = decode_aborted(&before).unwrap().rows;
    assert!(rows.len() >= ROUNDS / 2, "{rows:?}");
    for (what, is_damage, change) in FATES {
        match change(before.clone(), &rows) {
            Some(bytes) => fs::write(&path, bytes).unwrap(),
            None => fs::remove_file(&path).unwrap(),
        }
        let (found, lines) = verified(directory.path());
        assert_eq!(
            (found.damage > 0, found.damage + found.notes > 0),
            (is_damage, true),
            "{what}: {lines:?}"
        );
        assert!(lines.iter().any(|line| line.contains("aborted")), "{what}: {lines:?}");

        let target = tempfile::tempdir().unwrap();
        let dir = DataDir::open(directory.path()).unwrap();
        salvage(&dir, target.path(), &|_| true, &mut |_| {}, &mut |_| {}).unwrap();
        let (found, lines) = verified(target.path());
        assert_eq!(found.damage, 0, "{what}, salvaged: {lines:?}");
        assert_eq!(committed(target.path()), counted, "{what}, salvaged");

        let (repairs, stays) = plan_repair(&dir, false, &mut |_| {});
        assert_eq!((repairs.len(), stays), (1, 0), "{what}: {repairs:?}");
        repairs[0].apply(None).unwrap();
        drop(dir);
        let (found, lines) = verified(directory.path());
        assert_eq!((found.damage, found.notes), (0, 0), "{what}, repaired: {lines:?}");
        assert_eq!(fs::read(&path).unwrap(), before, "{what}, repaired");
        assert_eq!(committed(directory.path()), counted, "{what}, repaired");
    }
}

/// A broker that starts on such a file finds what it lacks in the log, where the sums tell that it does.
#[test]
fn d10_a_broker_looks_for_rows_that_were_lost() {
    let (directory, counted) = stopped();
    let path = directory.path().join(FILE);
    let before = fs::read(&path).unwrap();
    let rows = decode_aborted(&before).unwrap().rows;
    for (what, _, change) in &FATES[..6] {
        match change(before.clone(), &rows) {
            Some(bytes) => fs::write(&path, bytes).unwrap(),
            None => drop(fs::remove_file(&path)),
        }
        assert_eq!(committed(directory.path()), counted, "{what}");
        assert_eq!(committed(directory.path()), counted, "{what}, and at the next start");
        let (found, lines) = verified(directory.path());
        assert_eq!((found.damage, found.notes), (0, 0), "{what}: {lines:?}");
        fs::write(&path, &before).unwrap();
    }
}
