//! Who has a session, what is left of it, wills, expiry.

use bytes::Bytes;

use super::*;
use crate::codec::{Name, Properties, Qos};
use crate::session::{CursorValue, NEVER, Partition};

const A: Owner = Owner(1);
const B: Owner = Owner(2);
const P: Partition = Partition { topic: [1; 16], index: 0 };

fn will(delay: u32) -> Will {
    let mut properties = Properties::default();
    properties.four(Name::WillDelay, delay);
    Will {
        topic: "w".into(),
        payload: Bytes::from_static(b"x"),
        qos: Qos::AtLeastOnce,
        retain: false,
        properties,
    }
}

fn kept(expiry: u32) -> Open {
    Open { expiry, ..Open::default() }
}

fn write(sessions: &mut Sessions, records: Vec<Record>) {
    records.into_iter().for_each(|record| sessions.replay(record));
}

fn ready(sessions: &mut Sessions, open: Open, owner: Owner, now: i64) -> Ready {
    match sessions.open("c", open, owner, now) {
        Opening::Ready(ready) => {
            write(sessions, ready.records.clone());
            *ready
        }
        other => panic!("{other:?}"),
    }
}

fn close(sessions: &mut Sessions, owner: Owner, session: &Session, ending: Ending, now: i64) {
    let records = sessions.close("c", owner, session, ending, now).unwrap();
    write(sessions, records);
    sessions.closed("c", owner);
}

fn lost() -> Ending {
    Ending { with_will: true, ..Ending::default() }
}

#[test]
fn a_session_is_in_one_place_at_a_time() {
    let mut sessions = Sessions::default();
    let first = ready(&mut sessions, kept(NEVER), A, 0);
    assert_eq!(sessions.open("c", kept(NEVER), B, 0), Opening::Busy(A));
    let cursor = Record::Cursor("c".into(), P, Some(CursorValue { next: Some(5), flights: Vec::new() }));
    assert_eq!(sessions.store("c", B, std::slice::from_ref(&cursor)), Err(Fenced));
    assert_eq!(
        sessions.store("c", A, &[Record::Inbox("other".into(), None)]),
        Err(Fenced),
        "its own records only"
    );
    let ending = Ending { records: vec![cursor], ..Ending::default() };
    let records = sessions.close("c", A, &first.stored.session, ending, 0).unwrap();
    assert_eq!(sessions.open("c", kept(NEVER), B, 0), Opening::Busy(A), "until the last records are durable");
    write(&mut sessions, records);
    sessions.closed("c", A);
    let second = ready(&mut sessions, kept(NEVER), B, 0);
    assert!(second.is_present && second.stored.cursors[&P].next == Some(5));
    assert_eq!(sessions.close("c", A, &first.stored.session, Ending::default(), 0), Err(Fenced));
}

#[test]
fn a_clean_start_removes_everything_and_publishes_the_will_of_before() {
    let mut sessions = Sessions::default();
    let open = Open { will: Some(will(60)), ..kept(NEVER) };
    let first = ready(&mut sessions, open, A, 0);
    let cursor = Record::Cursor("c".into(), P, Some(CursorValue::default()));
    close(&mut sessions, A, &first.stored.session, Ending { records: vec![cursor], ..lost() }, 1000);
    let again = ready(&mut sessions, Open { clean_start: true, ..kept(NEVER) }, B, 2000);
    assert!(!again.is_present && again.will.is_some());
    assert_eq!(
        again.stored,
        Stored { session: Session { expiry: NEVER, ..Session::default() }, ..Stored::default() }
    );
    assert_eq!(sessions.stored("c").unwrap(), again.stored);
}

#[test]
fn another_user_does_not_get_a_session() {
    let mut sessions = Sessions::default();
    let open = |user: &str| Open { user: Some(user.into()), ..kept(NEVER) };
    let first = ready(&mut sessions, open("ann"), A, 0);
    close(&mut sessions, A, &first.stored.session, Ending::default(), 0);
    assert_eq!(sessions.open("c", open("bob"), B, 0), Opening::Refused(Reason::NOT_AUTHORIZED));
    assert_eq!(sessions.open("c", kept(NEVER), B, 0), Opening::Refused(Reason::NOT_AUTHORIZED));
    assert!(ready(&mut sessions, open("ann"), B, 0).is_present);
}

#[test]
fn a_will_is_published_after_its_delay_and_not_when_the_client_is_back() {
    let mut sessions = Sessions::default();
    let open = Open { will: Some(will(5)), ..kept(60) };
    let first = ready(&mut sessions, open.clone(), A, 0);
    assert_eq!(sessions.wake_at(), i64::MAX);
    close(&mut sessions, A, &first.stored.session, lost(), 1000);
    assert_eq!((sessions.wake_at(), sessions.due(5999, 9).len()), (6000, 0));
    let Due::Will { client_id, message } = &sessions.due(6000, 9)[0] else { panic!("a will") };
    assert_eq!(
        (client_id.as_str(), message.topic.as_str(), message.client_id.as_deref()),
        ("c", "w", Some("c"))
    );
    // It is back before that is done.
    let second = ready(&mut sessions, open, B, 6000);
    assert_eq!((sessions.will_sent("c"), sessions.due(i64::MAX, 9)), (None, Vec::new()));
    close(&mut sessions, B, &second.stored.session, lost(), 7000);
    let sent = sessions.will_sent("c").unwrap();
    write(&mut sessions, vec![sent]);
    assert_eq!(sessions.wake_at(), 67_000, "then the session ends");
    let Due::End(records) = sessions.due(67_000, 9).remove(0) else { panic!("the end") };
    write(&mut sessions, records);
    assert!(sessions.is_empty() && sessions.wake_at() == i64::MAX);
}

#[test]
fn a_client_that_says_goodbye_leaves_no_will_and_may_change_how_long_it_is_kept() {
    let mut sessions = Sessions::default();
    let first = ready(&mut sessions, Open { will: Some(will(0)), ..kept(60) }, A, 0);
    let ending = Ending { expiry: Some(5), ..Ending::default() };
    close(&mut sessions, A, &first.stored.session, ending, 1000);
    assert_eq!(sessions.wake_at(), 6000);
    let second = ready(&mut sessions, kept(60), A, 2000);
    assert!(second.is_present);
    let ending = Ending { expiry: Some(0), ..Ending::default() };
    close(&mut sessions, A, &second.stored.session, ending, 2000);
    assert!(sessions.is_empty());
}

#[test]
fn a_session_that_ends_with_its_connection_leaves_nothing_but_its_will() {
    let mut sessions = Sessions::default();
    let plain = ready(&mut sessions, Open::default(), A, 0);
    assert!(plain.records.is_empty(), "nothing of it is written");
    close(&mut sessions, A, &plain.stored.session, lost(), 0);
    assert!(sessions.is_empty());
    let with_will = ready(&mut sessions, Open { will: Some(will(60)), ..Open::default() }, A, 0);
    close(&mut sessions, A, &with_will.stored.session, lost(), 1000);
    assert!(matches!(sessions.due(1000, 9)[..], [Due::Will { .. }]), "the end of the session does not wait");
    let sent = sessions.will_sent("c").unwrap();
    write(&mut sessions, vec![sent]);
    let Due::End(records) = sessions.due(1000, 9).remove(0) else { panic!("the end") };
    write(&mut sessions, records);
    assert!(sessions.is_empty());
}

#[test]
fn after_a_crash_who_was_connected_is_lost() {
    let mut sessions = Sessions::default();
    let open = Open { will: Some(will(5)), ..kept(60) };
    let records = ready(&mut sessions, open, A, 0).records;
    let mut again = Sessions::default();
    write(&mut again, records);
    again.begin(10_000);
    assert_eq!(again.wake_at(), 15_000);
    assert!(ready(&mut again, kept(60), A, 11_000).is_present);
}

#[test]
fn a_session_that_was_kept_and_is_to_end_is_not_found_after_a_crash() {
    let mut sessions = Sessions::default();
    let first = ready(&mut sessions, kept(NEVER), A, 0);
    let cursor = Record::Cursor("c".into(), P, Some(CursorValue::default()));
    close(&mut sessions, A, &first.stored.session, Ending { records: vec![cursor], ..Ending::default() }, 0);
    let second = ready(&mut sessions, kept(0), B, 0);
    assert!(second.is_present && second.stored.cursors.contains_key(&P));
    assert_eq!(sessions.stored("c"), None);
}
