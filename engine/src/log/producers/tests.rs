//! Producers by themselves: sequences, epochs, transactions, and what a truncation takes back.

use super::*;
use crate::format::batch::{BATCH_HEADER_BYTES, stamp};
use crate::format::builder::BatchBuilder;
use crate::format::compression::Codec;
use crate::types::LeaderEpoch;

fn batch(epoch: i16, sequence: i32, records: usize, base_offset: i64) -> Vec<u8> {
    let mut builder =
        BatchBuilder::new(Codec::None).producer(ProducerId(7), ProducerEpoch(epoch), Sequence(sequence));
    for _ in 0..records {
        builder.push(Timestamp(1000), None, Some(b"v"), &[]);
    }
    let mut bytes = builder.build().to_vec();
    stamp(&mut bytes, Offset::new(base_offset), LeaderEpoch::FIRST);
    bytes
}

fn judge(producers: &Producers, bytes: &[u8]) -> Result<SequenceCheck, AppendError> {
    assert!(bytes.len() > BATCH_HEADER_BYTES);
    DraftProducers::default().check(producers, BatchHeader::peek(bytes).unwrap(), Origin::Client)
}

fn noted(batches: &[Vec<u8>]) -> Producers {
    let mut producers = Producers::default();
    for bytes in batches {
        producers.note(BatchHeader::peek(bytes).unwrap(), EndMarker::read(bytes));
    }
    producers
}

#[test]
fn a_batch_sent_again_is_answered_with_its_first_offset() {
    let sent: Vec<_> = (0..6).map(|n| batch(0, n * 10, 10, 100 + i64::from(n) * 10)).collect();
    let producers = noted(&sent);
    for again in &sent[1..] {
        let base_offset = BatchHeader::peek(again).unwrap().base_offset();
        assert_eq!(
            judge(&producers, again).unwrap(),
            SequenceCheck::Duplicate { base_offset, timestamp: Timestamp(1000) }
        );
    }
    assert!(
        matches!(
            judge(&producers, &sent[0]),
            Err(AppendError::OutOfOrderSequence { expected: Sequence(60), .. })
        ),
        "older than the window of five"
    );
}

#[test]
fn a_gap_is_refused_and_the_next_sequence_is_not() {
    let producers = noted(&[batch(0, 0, 3, 0)]);
    assert_eq!(judge(&producers, &batch(0, 3, 1, 0)).unwrap(), SequenceCheck::New);
    assert!(matches!(
        judge(&producers, &batch(0, 4, 1, 0)),
        Err(AppendError::OutOfOrderSequence {
            expected: Sequence(3),
            found: Sequence(4),
            producer_id: ProducerId(7)
        })
    ));
    assert!(judge(&producers, &batch(0, 0, 2, 0)).is_err(), "same start, other end: no duplicate");
}

#[test]
fn a_new_epoch_starts_at_zero_and_fences_the_old_one() {
    let producers = noted(&[batch(1, 0, 3, 0)]);
    assert_eq!(judge(&producers, &batch(2, 0, 1, 0)).unwrap(), SequenceCheck::New);
    assert!(matches!(judge(&producers, &batch(2, 3, 1, 0)), Err(AppendError::OutOfOrderSequence { .. })));
    assert!(matches!(
        judge(&producers, &batch(0, 3, 1, 0)),
        Err(AppendError::StaleProducerEpoch { current: ProducerEpoch(1), found: ProducerEpoch(0), .. })
    ));
}

#[test]
fn sequences_wrap_after_the_largest_number() {
    let producers = noted(&[batch(0, i32::MAX - 1, 2, 0)]);
    assert_eq!(judge(&producers, &batch(0, 0, 1, 0)).unwrap(), SequenceCheck::New);
}

#[test]
fn a_dropped_draft_leaves_nothing_behind() {
    let mut settled = noted(&[batch(0, 0, 3, 0)]);
    let next = batch(0, 3, 2, 3);
    let mut draft = DraftProducers::default();
    draft.note(&settled, BatchHeader::peek(&next).unwrap(), None);
    assert!(matches!(
        draft.check(&settled, BatchHeader::peek(&next).unwrap(), Origin::Client),
        Ok(SequenceCheck::Duplicate { .. })
    ));
    assert_eq!(judge(&settled, &next).unwrap(), SequenceCheck::New);
    settled.adopt(draft);
    assert!(matches!(judge(&settled, &next), Ok(SequenceCheck::Duplicate { .. })));
}

#[test]
fn what_is_cut_off_was_never_sent() {
    let sent: Vec<_> = (0..7).map(|n| batch(0, n * 10, 10, 100 + i64::from(n) * 10)).collect();
    let mut producers = noted(&sent);
    assert!(producers.roll_back(Offset::new(150)).is_empty());
    assert_eq!(judge(&producers, &sent[5]).unwrap(), SequenceCheck::New);
    assert!(matches!(judge(&producers, &sent[4]), Ok(SequenceCheck::Duplicate { .. })));
    assert_eq!(
        producers.roll_back(Offset::new(120)),
        HashSet::from([ProducerId(7)]),
        "older batches have to tell"
    );
    assert_eq!(judge(&producers, &sent[3]).unwrap(), SequenceCheck::New);
}

/// A log that starts in a batch ends there, and not in it, once it is cut off to its start.
#[test]
fn d1_a_batch_that_the_end_lies_in_is_no_longer_a_duplicate() {
    let sent = [batch(0, 0, 4, 5), batch(0, 4, 2, 9)];
    let mut producers = noted(&sent);
    producers.roll_back(Offset::new(9));
    assert!(matches!(judge(&producers, &sent[0]), Ok(SequenceCheck::Duplicate { .. })));
    assert_eq!(producers.roll_back(Offset::new(7)), HashSet::from([ProducerId(7)]));
    assert_eq!(judge(&producers, &sent[0]).unwrap(), SequenceCheck::New);
}

#[test]
fn the_checkpoint_keeps_the_window() {
    let producers = noted(&[batch(3, 0, 3, 0), batch(3, 3, 1, 3)]);
    let restored = Producers::from_checkpoint(&producers.to_checkpoint());
    assert_eq!(restored.states, producers.states);
    assert_eq!(restored.open, producers.open);
}

// ---- transactions -----------------------------------------------------------------------------------------

/// A batch of a transaction with one record.
fn part(id: i64, epoch: i16, sequence: i32, base_offset: i64) -> Vec<u8> {
    let mut builder = BatchBuilder::new(Codec::None)
        .producer(ProducerId(id), ProducerEpoch(epoch), Sequence(sequence))
        .transactional(true);
    builder.push(Timestamp(1000 + base_offset), None, Some(b"v"), &[]);
    let mut bytes = builder.build().to_vec();
    stamp(&mut bytes, Offset::new(base_offset), LeaderEpoch::FIRST);
    bytes
}

fn marker(id: i64, epoch: i16, result: TransactionResult) -> Marker {
    let producer = Producer { id: ProducerId(id), epoch: ProducerEpoch(epoch) };
    Marker { producer, coordinator_epoch: 3, result, bumped: false }
}

fn end(id: i64, epoch: i16, result: TransactionResult, base_offset: i64) -> Vec<u8> {
    let mut bytes = marker(id, epoch, result).build(Timestamp(2000)).to_vec();
    stamp(&mut bytes, Offset::new(base_offset), LeaderEpoch::FIRST);
    bytes
}

fn guard(producers: &Producers, id: i64, epoch: i16) -> VerificationGuard {
    match producers.participation(Producer { id: ProducerId(id), epoch: ProducerEpoch(epoch) }) {
        Participation::Absent(guard) => guard,
        Participation::Open => panic!("a transaction is open"),
    }
}

fn judge_as(producers: &Producers, bytes: &[u8], origin: Origin) -> Result<SequenceCheck, AppendError> {
    DraftProducers::default().check(producers, BatchHeader::peek(bytes).unwrap(), origin)
}

fn judge_marker(producers: &Producers, marker: &Marker) -> Result<(), AppendError> {
    DraftProducers::default().check_marker(producers, marker)
}

fn is_refused(judged: Result<SequenceCheck, AppendError>) -> bool {
    matches!(judged, Err(AppendError::InvalidTransactionState { .. }))
}

const COMMIT: TransactionResult = TransactionResult::Commit;
const ABORT: TransactionResult = TransactionResult::Abort;

#[test]
fn a_transaction_begins_only_with_the_word_of_its_coordinator() {
    let producers = noted(&[end(7, 0, COMMIT, 0)]);
    for (known, id) in [(true, 7), (false, 8)] {
        let first = part(id, 0, 0, 1);
        assert!(is_refused(judge_as(&producers, &first, Origin::Client)), "{known}");
        assert_eq!(judge_as(&producers, &first, Origin::Coordinator(None)).unwrap(), SequenceCheck::New);
        let guard = Origin::Transaction(guard(&producers, id, 0));
        assert_eq!(judge_as(&producers, &first, guard).unwrap(), SequenceCheck::New);
    }
    let producers = noted(&[part(7, 0, 0, 0)]);
    assert_eq!(judge(&producers, &part(7, 0, 1, 1)).unwrap(), SequenceCheck::New, "it is open");
    let newer = part(7, 1, 0, 1);
    assert!(is_refused(judge(&producers, &newer)), "what is open is of another epoch");
}

#[test]
fn whoever_has_an_epoch_for_each_transaction_begins_with_the_first_sequence() {
    let (producers, first, later) = (Producers::default(), part(7, 3, 0, 0), part(7, 3, 4, 0));
    let guard = guard(&producers, 7, 3);
    assert_eq!(judge_as(&producers, &first, Origin::EpochOfItsOwn(guard)).unwrap(), SequenceCheck::New);
    assert!(matches!(
        judge_as(&producers, &later, Origin::EpochOfItsOwn(guard)),
        Err(AppendError::OutOfOrderSequence { expected: Sequence::FIRST, found: Sequence(4), .. })
    ));
    // Its sequences go on from transaction to transaction, and what they were may be forgotten.
    assert_eq!(judge_as(&producers, &later, Origin::Transaction(guard)).unwrap(), SequenceCheck::New);
}

#[test]
fn a_guard_is_stale_once_a_marker_has_come() {
    let mut producers = Producers::default();
    let before = guard(&producers, 7, 0);
    for (at, sequence) in [(0, 0), (2, 1)] {
        let first = part(7, 0, sequence, at);
        let now = guard(&producers, 7, 0);
        assert_eq!(judge_as(&producers, &first, Origin::Transaction(now)).unwrap(), SequenceCheck::New);
        producers.note(BatchHeader::peek(&first).unwrap(), None);
        let closed = end(7, 0, COMMIT, at + 1);
        producers.note(BatchHeader::peek(&closed).unwrap(), EndMarker::read(&closed));
        let late = part(7, 0, sequence + 1, at + 2);
        for stale in [before, now] {
            assert!(is_refused(judge_as(&producers, &late, Origin::Transaction(stale))));
        }
    }
}

#[test]
fn a_coordinators_record_is_held_to_what_its_transaction_was_when_it_was_verified() {
    let verified = |producers: &Producers| {
        let producer = Producer { id: ProducerId(7), epoch: ProducerEpoch(0) };
        Origin::Coordinator(Some(producers.participation(producer)))
    };
    let mut producers = Producers::default();
    let absent = verified(&producers);
    let first = part(7, 0, 0, 0);
    assert_eq!(judge_as(&producers, &first, absent).unwrap(), SequenceCheck::New);
    producers.note(BatchHeader::peek(&first).unwrap(), None);
    let open = verified(&producers);
    for origin in [absent, open] {
        assert_eq!(judge_as(&producers, &part(7, 0, 0, 1), origin).unwrap(), SequenceCheck::New);
    }
    let closed = end(7, 0, COMMIT, 1);
    producers.note(BatchHeader::peek(&closed).unwrap(), EndMarker::read(&closed));
    for stale in [absent, open] {
        assert!(is_refused(judge_as(&producers, &part(7, 0, 0, 2), stale)), "nobody would end it");
    }
    let again = verified(&producers);
    assert_eq!(judge_as(&producers, &part(7, 0, 0, 2), again).unwrap(), SequenceCheck::New);
}

#[test]
fn a_producer_with_an_open_transaction_sends_nothing_beside_it() {
    let producers = noted(&[part(7, 0, 0, 0)]);
    for origin in [Origin::Client, Origin::Coordinator(None)] {
        let beside = judge_as(&producers, &batch(0, 1, 1, 1), origin);
        assert!(
            matches!(
                beside,
                Err(AppendError::InvalidTransactionState {
                    producer_id: ProducerId(7),
                    transaction_start: Some(Offset::ZERO)
                })
            ),
            "{origin:?}"
        );
    }
    let producers = noted(&[part(7, 0, 0, 0), end(7, 0, ABORT, 1)]);
    assert_eq!(judge(&producers, &batch(0, 1, 1, 2)).unwrap(), SequenceCheck::New);
    let again = judge(&producers, &part(7, 0, 0, 2)).unwrap();
    assert!(
        matches!(again, SequenceCheck::Duplicate { base_offset: Offset::ZERO, .. }),
        "it was lost on its way"
    );
}

#[test]
fn a_coordinator_has_no_sequences_but_an_epoch() {
    let producers = noted(&[part(7, 2, 0, 0)]);
    assert_eq!(
        judge_as(&producers, &part(7, 2, 0, 1), Origin::Coordinator(None)).unwrap(),
        SequenceCheck::New
    );
    assert!(matches!(
        judge_as(&producers, &part(7, 1, 0, 1), Origin::Coordinator(None)),
        Err(AppendError::StaleProducerEpoch { .. })
    ));
}

#[test]
fn a_marker_of_an_older_epoch_is_refused() {
    let open = noted(&[end(7, 2, COMMIT, 0), part(7, 2, 0, 1)]);
    let ended = noted(&[part(7, 2, 0, 0), end(7, 2, ABORT, 1)]);
    let bumped = |epoch| Marker { bumped: true, ..marker(7, epoch, COMMIT) };
    for (producers, is_open) in [(&open, true), (&ended, false)] {
        assert!(matches!(
            judge_marker(producers, &marker(7, 1, COMMIT)),
            Err(AppendError::StaleProducerEpoch { current: ProducerEpoch(2), .. })
        ));
        assert!(judge_marker(producers, &marker(7, 2, COMMIT)).is_ok());
        assert!(judge_marker(producers, &bumped(3)).is_ok());
        // Sent again after the answer was lost; a late one would end the next transaction.
        assert_eq!(judge_marker(producers, &bumped(2)).is_ok(), !is_open);
        let older = Marker { coordinator_epoch: 2, ..marker(7, 3, COMMIT) };
        assert!(matches!(
            judge_marker(producers, &older),
            Err(AppendError::CoordinatorFenced { current: 3, found: 2, .. })
        ));
    }
    assert!(judge_marker(&Producers::default(), &bumped(0)).is_ok(), "nobody knows the producer");
}

/// KIP-890: a batch of the epoch before the marker comes too late, and the next one counts from 0.
#[test]
fn a_marker_that_raises_the_epoch_fences_what_comes_late() {
    let producers = noted(&[part(7, 0, 0, 0), end(7, 1, COMMIT, 1)]);
    assert!(matches!(judge(&producers, &part(7, 0, 1, 2)), Err(AppendError::StaleProducerEpoch { .. })));
    let guard = Origin::Transaction(guard(&producers, 7, 1));
    assert_eq!(judge_as(&producers, &part(7, 1, 0, 2), guard).unwrap(), SequenceCheck::New);
    assert!(matches!(
        judge_as(&producers, &part(7, 1, 4, 2), guard),
        Err(AppendError::OutOfOrderSequence { expected: Sequence::FIRST, .. })
    ));
}

#[test]
fn the_first_open_transaction_is_where_what_is_decided_ends() {
    let mut producers = noted(&[part(7, 0, 0, 0), part(8, 0, 0, 1), part(7, 0, 1, 2)]);
    assert_eq!(producers.first_open(), Some(Offset::ZERO));
    assert_eq!(producers.open_transactions(), (2, Some(Timestamp(1000))));
    let mut note = |bytes: Vec<u8>| {
        let row = producers.note(BatchHeader::peek(&bytes).unwrap(), EndMarker::read(&bytes));
        (row, producers.first_open())
    };
    let row = AbortedRow {
        producer_id: ProducerId(7),
        first_offset: Offset::ZERO,
        marker_offset: Offset::new(3),
        last_stable: Offset::new(1),
    };
    assert_eq!(note(end(7, 0, ABORT, 3)), (Some(row), Some(Offset::new(1))));
    assert_eq!(note(end(7, 0, ABORT, 4)), (None, Some(Offset::new(1))), "it was empty");
    assert_eq!(note(end(8, 0, COMMIT, 5)), (None, None));
    assert_eq!(note(part(8, 0, 1, 6)), (None, Some(Offset::new(6))));
    let row = AbortedRow {
        producer_id: ProducerId(8),
        first_offset: Offset::new(6),
        marker_offset: Offset::new(7),
        last_stable: Offset::new(8),
    };
    assert_eq!(note(end(8, 0, ABORT, 7)), (Some(row), None));
}

#[test]
fn a_draft_ends_what_it_has_begun_and_a_dropped_one_leaves_nothing_open() {
    let mut settled = noted(&[part(7, 0, 0, 0)]);
    for adopts in [false, true] {
        let mut draft = DraftProducers::default();
        for bytes in [part(8, 0, 0, 1), end(7, 0, ABORT, 2), part(7, 0, 1, 3), end(8, 0, ABORT, 4)] {
            draft.note(&settled, BatchHeader::peek(&bytes).unwrap(), EndMarker::read(&bytes));
        }
        assert!(draft.check_marker(&settled, &Marker { bumped: true, ..marker(7, 0, ABORT) }).is_err());
        if adopts {
            let rows = settled.adopt(draft);
            let rows: Vec<_> = rows.iter().map(|row| (row.producer_id.0, row.last_stable.get())).collect();
            assert_eq!(rows, [(7, 1), (8, 3)]);
        }
        assert_eq!(settled.first_open(), Some(Offset::new(if adopts { 3 } else { 0 })));
    }
}

#[test]
fn a_producer_with_an_open_transaction_does_not_expire() {
    let mut producers = noted(&[part(7, 0, 0, 0), part(8, 0, 0, 1), end(8, 0, COMMIT, 2)]);
    producers.expire(Timestamp(5000));
    assert_eq!(producers.active().iter().map(|active| active.id.0).collect::<Vec<_>>(), [7]);
    assert_eq!(producers.first_open(), Some(Offset::ZERO));
}

/// What the log has before the end, noted from its first batch on, is what a truncation leaves.
#[test]
fn d1_a_truncation_takes_back_what_was_begun_and_what_was_ended() {
    let log = [
        part(7, 0, 0, 0),
        part(8, 0, 0, 1),
        end(7, 0, ABORT, 2),
        part(7, 0, 1, 3),
        end(8, 1, COMMIT, 4),
        part(8, 1, 0, 5),
        end(7, 0, COMMIT, 6),
        end(8, 1, ABORT, 7),
        part(9, 0, 0, 8),
    ];
    for end in 0..=log.len() {
        let mut producers = noted(&log);
        let forgotten = producers.roll_back(Offset::new(end as i64));
        for bytes in &log[..end] {
            let header = BatchHeader::peek(bytes).unwrap();
            if forgotten.contains(&header.producer_id()) {
                producers.note(header, EndMarker::read(bytes));
            }
        }
        let expected = noted(&log[..end]);
        let shown = |producers: &Producers| {
            let mut rows = producers.to_checkpoint();
            // The largest timestamp is not taken back.
            rows.iter_mut().for_each(|row| row.last_timestamp = Timestamp::NONE);
            rows
        };
        assert_eq!(shown(&producers), shown(&expected), "cut at {end}");
        assert_eq!(producers.first_open(), expected.first_open(), "cut at {end}");
    }
}

#[test]
fn the_checkpoint_keeps_transactions() {
    let producers = noted(&[part(7, 0, 0, 0), end(8, 4, COMMIT, 1), part(8, 4, 0, 2)]);
    let restored = Producers::from_checkpoint(&producers.to_checkpoint());
    assert_eq!(restored.states, producers.states);
    assert_eq!(restored.first_open(), Some(Offset::ZERO));
    assert!(matches!(
        judge_marker(&restored, &Marker { coordinator_epoch: 2, ..marker(8, 4, COMMIT) }),
        Err(AppendError::CoordinatorFenced { .. })
    ));
}

/// Of a batch that compaction has emptied no record is left that somebody could read.
#[test]
fn an_emptied_batch_begins_no_transaction() {
    let mut emptied = part(7, 0, 0, 0);
    emptied[57..61].copy_from_slice(&0i32.to_be_bytes());
    let producers = noted(&[emptied]);
    assert_eq!(producers.first_open(), None);
    assert_eq!(judge(&producers, &batch(0, 1, 1, 1)).unwrap(), SequenceCheck::New, "its sequence is known");
}

#[test]
fn a_guard_outlives_what_is_remembered_of_its_producer() {
    let mut producers = noted(&[part(7, 0, 0, 0), end(7, 0, COMMIT, 1)]);
    let guard = Origin::Transaction(guard(&producers, 7, 0));
    producers.expire(Timestamp(5000));
    assert_eq!(judge_as(&producers, &part(7, 0, 1, 2), guard).unwrap(), SequenceCheck::New);
}
