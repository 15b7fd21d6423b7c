//! Golden bytes of the records, and what numbers and stages promise.

use bytes::Bytes;

use super::records::RecordError;
use super::*;
use crate::codec::Qos;

const P: Partition = Partition { topic: [7; 16], index: 2 };
const Q: Partition = Partition { topic: [7; 16], index: 3 };

fn golden(record: &Record, key: &[u8], value: &[u8]) {
    assert_eq!(&record.key()[..], key, "key");
    assert_eq!(&record.value().unwrap()[..], value, "value");
    assert_eq!(Record::parse(key, Some(value)).as_ref(), Ok(record));
}

fn joined(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

#[test]
fn a_session_is_these_bytes() {
    let mut properties = Properties::default();
    properties.four(Name::WillDelay, 5);
    let will = Will {
        topic: "w".into(),
        payload: Bytes::from_static(b"bye"),
        qos: Qos::AtLeastOnce,
        retain: true,
        properties,
    };
    let options =
        Options { qos: Qos::ExactlyOnce, no_local: true, retain_as_published: false, retain_handling: 1 };
    let subscriptions = [("t/+".to_owned(), Subscription { options, id: 9, since: 256 })].into();
    let session = Session {
        user: Some("ann".into()),
        expiry: 60,
        ended_at: Some(1000),
        will: Some(will),
        subscriptions,
    };
    let value = joined(&[
        &[0, 0, 7, 0, 0, 0, 60, 0, 3],
        b"ann",
        &[0, 0, 0, 0, 0, 0, 3, 0xe8],
        &[3, 0, 1, b'w', 0, 0, 0, 6, 5, 0x18, 0, 0, 0, 5, 0, 0, 0, 3],
        b"bye",
        &[0, 0, 0, 1, 0, 3, b't', b'/', b'+', 0x16, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 1, 0],
    ]);
    let record = Record::Session("c1".into(), Some(Box::new(session)));
    golden(&record, &[0, 0, 0, 2, b'c', b'1'], &value);
    let plain = Record::Session("c1".into(), Some(Box::default()));
    golden(&plain, &[0, 0, 0, 2, b'c', b'1'], &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
}

#[test]
fn a_cursor_is_these_bytes() {
    let flights = vec![
        FlightValue { id: 1, offset: 4, stage: Stage::Sent, is_kept: false },
        FlightValue { id: 2, offset: 5, stage: Stage::Numbered, is_kept: false },
        FlightValue { id: 258, offset: 6, stage: Stage::Released, is_kept: true },
    ];
    let record = Record::Cursor("c".into(), P, Some(CursorValue { next: Some(8), flights }));
    let key = joined(&[&[0, 1, 0, 1, b'c'], &[7; 16], &[0, 0, 0, 2]]);
    let value = joined(&[
        &[0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 3],
        &[0, 1, 0, 0, 0, 0, 0, 0, 0, 4, 0],
        &[0, 2, 0, 0, 0, 0, 0, 0, 0, 5, 1],
        &[1, 2, 0, 0, 0, 0, 0, 0, 0, 6, 6],
    ]);
    golden(&record, &key, &value);
    let unread = Record::Cursor("c".into(), P, Some(CursorValue::default()));
    golden(&unread, &key, &[0, 0, 255, 255, 255, 255, 255, 255, 255, 255, 0, 0]);
    assert_eq!(Record::parse(&key, None), Ok(Record::Cursor("c".into(), P, None)));
}

#[test]
fn an_inbox_is_these_bytes() {
    let once = Once { producer: Producer { id: 258, epoch: 3 }, sequence: 12 };
    let pending = vec![(7, Pending { partition: P, once, is_done: true })];
    let record = Record::Inbox("c".into(), Some(InboxValue { pending }));
    let value =
        joined(&[&[0, 0, 0, 1, 0, 7], &[7; 16], &[0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 1, 2, 0, 3, 0, 0, 0, 12, 1]]);
    golden(&record, &[0, 2, 0, 1, b'c'], &value);
}

#[test]
fn records_of_others_are_refused() {
    assert_eq!(Record::parse(&[0, 3, 0, 0], None), Err(RecordError::Kind(3)));
    assert_eq!(Record::parse(&[0, 0, 0, 0], Some(&[0, 1])), Err(RecordError::Version(1)));
    assert!(matches!(Record::parse(&[0, 0, 0, 5], None), Err(RecordError::Decode(_))));
    assert!(Record::parse(&[0, 2, 0, 0], Some(&[0, 0, 0xff, 0xff])).is_err());
}

fn sent(outbox: &mut Outbox, offset: i64, qos: Qos) -> u16 {
    outbox.take(P, offset, qos).expect("there is a number")
}

/// What was written last of each partition, as a start finds it.
fn after_a_crash(written: &[(Partition, Option<CursorValue>)]) -> Outbox {
    let values = written.iter().filter_map(|(partition, value)| Some((*partition, value.clone()?)));
    Outbox::restore(&values.collect())
}

#[test]
fn after_a_crash_what_is_in_flight_is_sent_again_and_nothing_else() {
    let mut outbox = Outbox::default();
    assert!(outbox.follow(P, 3));
    let ids: Vec<u16> = (4..8).map(|offset| sent(&mut outbox, offset, Qos::AtLeastOnce)).collect();
    outbox.pass(P, 10);
    outbox.acknowledged(ids[1]).unwrap();
    assert_eq!(outbox.acknowledged(ids[1]), Err(UnknownId));
    let again = after_a_crash(&outbox.all_records());
    assert_eq!(again.next(P), Some(10));
    let flights: Vec<(u16, i64)> = again.flights().iter().map(|(id, flight)| (*id, flight.offset)).collect();
    assert_eq!(flights, [(ids[0], 4), (ids[2], 6), (ids[3], 7)]);
}

#[test]
fn pubrel_waits_until_it_is_durable_that_the_client_has_the_message() {
    let mut outbox = Outbox::default();
    outbox.follow(P, 0);
    let id = sent(&mut outbox, 0, Qos::ExactlyOnce);
    assert_eq!(outbox.received(id), Err(UnknownId), "it was not sent before its number is durable");
    let numbered = outbox.urgent_records();
    assert_eq!(outbox.stored(id), Some(Stage::Numbered));
    assert_eq!(outbox.received(id), Ok(false), "PUBREL has to wait");
    assert_eq!(outbox.completed(id), Err(UnknownId));
    let received = outbox.urgent_records();
    assert_eq!(outbox.stored(id), Some(Stage::Released));
    assert_eq!(outbox.received(id), Ok(true), "PUBREC again is answered at once");
    outbox.completed(id).unwrap();
    let stage =
        |written: &[(Partition, Option<CursorValue>)]| after_a_crash(written).flight(id).unwrap().stage;
    assert_eq!((stage(&numbered), stage(&received)), (Stage::Numbered, Stage::Released));
}

#[test]
fn a_number_that_some_record_has_is_not_used_for_another_message() {
    let mut outbox = Outbox::default();
    outbox.follow(P, 0);
    outbox.follow(Q, 0);
    let id = sent(&mut outbox, 0, Qos::ExactlyOnce);
    drop(outbox.urgent_records());
    outbox.stored(id);
    outbox.received(id).unwrap();
    drop(outbox.urgent_records());
    outbox.stored(id);
    outbox.completed(id).unwrap();
    // The record of P still says that it is in flight.
    let mut others = Vec::new();
    for offset in 0..i64::from(u16::MAX) {
        match outbox.take(Q, offset, Qos::AtLeastOnce) {
            Some(other) => others.push(other),
            None => break,
        }
    }
    assert_eq!(others.len(), usize::from(u16::MAX) - 1);
    assert!(!others.contains(&id));
    drop(outbox.all_records());
    assert_eq!(outbox.take(Q, 70_000, Qos::AtLeastOnce), Some(id), "now no record has it");
}

#[test]
fn partitions_that_are_read_are_bounded() {
    let mut outbox = Outbox::default();
    for index in 0..CURSORS_MAX as u32 {
        assert!(outbox.follow(Partition { topic: [0; 16], index }, 0));
    }
    assert!(!outbox.follow(P, 0));
    assert_eq!(outbox.take_kept(P, 0, Qos::AtLeastOnce), None);
}

#[test]
fn a_sequence_is_given_once_and_what_was_not_appended_never_came() {
    let mut inbox = Inbox::default();
    let producer = Some(Producer { id: 1, epoch: 0 });
    assert_eq!((inbox.arrived(7), inbox.arrived(7)), (Arrived::New, Arrived::Underway));
    inbox.arrived(8);
    assert_eq!(inbox.placed(7, P, producer).unwrap().sequence, 0);
    assert_eq!(inbox.placed(8, P, None).unwrap().sequence, 1);
    let value = inbox.record().unwrap();
    let mut again = Inbox::restore(&value);
    assert!(!again.released(7), "it is not known yet");
    let at = Appended { partition: P, offset: 5, timestamp: 0 };
    again.resolve(7, Some(at));
    again.resolve(8, None);
    assert_eq!((again.arrived(7), again.arrived(8)), (Arrived::Found(at), Arrived::New));
    again.done(7);
    assert_eq!(again.arrived(7), Arrived::Known);
    assert!(again.released(7) && !again.released(7));
    assert!(again.is_changed());
}

#[test]
fn messages_that_are_not_released_are_bounded() {
    let mut inbox = Inbox::default();
    for id in 1..=PENDING_MAX as u16 {
        assert_eq!(inbox.arrived(id), Arrived::New);
    }
    assert_eq!(inbox.arrived(PENDING_MAX as u16 + 1), Arrived::Full);
}
