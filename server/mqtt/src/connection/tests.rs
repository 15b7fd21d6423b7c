//! One connection, step by step: what leaves before what is durable, limits, the end.

use super::*;
use crate::codec::{Name, Options, Qos, Subscribe, Unsubscribe, Will};
use crate::retained::Kept;
use crate::session::{CursorValue, FlightValue, InboxValue, NEVER, Stage, Stored};

const NOW: i64 = 1_700_000_000_000;
const P: Partition = Partition { topic: [1; 16], index: 0 };

struct Wire {
    connection: Connection,
    version: Version,
}

fn connect(version: Version) -> Connect {
    Connect {
        version,
        client_id: "c".into(),
        clean_start: false,
        keep_alive: 10,
        will: None,
        user_name: None,
        password: None,
        properties: Properties::default(),
    }
}

fn kept() -> Connect {
    let mut connect = connect(Version::V5);
    connect.properties.four(Name::SessionExpiry, NEVER);
    connect
}

impl Wire {
    fn new(version: Version, limits: Limits) -> Wire {
        let rules = Arc::new(Rules::parse("a/{x} -> a key={x}", "mqtt").unwrap());
        Wire { connection: Connection::new(limits, rules, "assigned".into(), NOW), version }
    }

    /// A connection that was let in.
    fn open(connect: Connect, stored: Stored) -> Wire {
        let limits = Limits { receive_max: 3, aliases_max: 2, ..Limits::default() };
        let mut wire = Wire::new(connect.version, limits);
        wire.hear(Packet::Connect(Box::new(connect)));
        let Some(Action::Open(asked)) = wire.action() else { panic!("a session is asked for") };
        let mut stored = stored;
        stored.session.expiry = asked.open.expiry;
        wire.connection.opened(&stored, true);
        wire
    }

    fn let_in(connect: Connect) -> Wire {
        let mut wire = Wire::open(connect, Stored::default());
        assert!(matches!(wire.said()[..], [Packet::ConnAck(_)]));
        wire
    }

    fn hear(&mut self, packet: Packet) {
        let mut bytes = BytesMut::new();
        assert!(encode(&packet, self.version, usize::MAX, &mut bytes));
        self.connection.receive(&mut bytes, NOW);
    }

    fn said(&mut self) -> Vec<Packet> {
        let mut bytes = BytesMut::from(&self.connection.output()[..]);
        let mut packets = Vec::new();
        while let Some(packet) = decode(&mut bytes, Some(self.version), usize::MAX).unwrap() {
            packets.push(packet);
        }
        packets
    }

    fn action(&mut self) -> Option<Action> {
        self.connection.action()
    }

    fn appends(&mut self) -> Ticket {
        match self.action() {
            Some(Action::Append { ticket, .. }) => ticket,
            other => panic!("{other:?}"),
        }
    }

    fn stores(&mut self) -> (Ticket, Vec<Record>) {
        match self.action() {
            Some(Action::Store { ticket, records }) => (ticket, records),
            other => panic!("{other:?}"),
        }
    }

    fn closes(&mut self) -> Closing {
        match self.action() {
            Some(Action::Close(closing)) => *closing,
            other => panic!("{other:?}"),
        }
    }

    fn reason_of_the_end(&mut self) -> Reason {
        match &self.said()[..] {
            [Packet::Disconnect(end)] => end.reason,
            other => panic!("{other:?}"),
        }
    }

    fn subscribe(&mut self, filter: &str, qos: Qos) {
        let options = Options { qos, ..Options::default() };
        self.subscribe_with(filter, options, Properties::default());
    }

    fn subscribe_with(&mut self, filter: &str, options: Options, properties: Properties) {
        self.hear(Packet::Subscribe(Subscribe {
            id: 1,
            properties,
            filters: vec![(filter.into(), options)],
        }));
        loop {
            match self.action().expect("it is asked about") {
                Action::Follow { ticket, .. } => {
                    return self.connection.followed(ticket, vec![Ok(vec![(P, 0)])], NOW);
                }
                Action::Kept { .. } => {}
                other => panic!("{other:?}"),
            }
        }
    }
}

fn publish(topic: &str, qos: Qos, id: u16) -> Publish {
    let properties = Properties::default();
    Publish {
        dup: false,
        qos,
        retain: false,
        topic: topic.into(),
        id,
        properties,
        payload: Bytes::from_static(b"x"),
    }
}

fn at(offset: i64) -> Appended {
    Appended { partition: P, offset, timestamp: NOW }
}

fn acks(packets: &[Packet]) -> Vec<(u16, Reason)> {
    packets
        .iter()
        .map(|packet| match packet {
            Packet::PubAck(ack) | Packet::PubRec(ack) | Packet::PubComp(ack) | Packet::PubRel(ack) => {
                (ack.id, ack.reason)
            }
            other => panic!("{other:?}"),
        })
        .collect()
}

fn offered(offset: i64, topic: &str, qos: Qos) -> Offered {
    let message =
        Message { topic: topic.into(), payload: Bytes::from_static(b"x"), qos, ..Message::default() };
    Offered { offset, timestamp: NOW, message: Some(message) }
}

// ---- messages from the client -----------------------------------------------------------------------------

#[test]
fn puback_follows_the_disk_and_the_order_of_the_messages() {
    for version in [Version::V3, Version::V5] {
        let mut wire = Wire::let_in(connect(version));
        for id in 1..4 {
            wire.hear(Packet::Publish(publish("a/1", Qos::AtLeastOnce, id)));
        }
        let tickets = [wire.appends(), wire.appends(), wire.appends()];
        wire.connection.appended(tickets[2], Ok(at(0)));
        wire.connection.appended(tickets[1], Ok(at(1)));
        assert!(wire.said().is_empty(), "the first is not durable");
        wire.connection.appended(tickets[0], Ok(at(2)));
        let success = |id| (id, Reason::SUCCESS);
        assert_eq!(acks(&wire.said()), [success(1), success(2), success(3)]);
    }
}

#[test]
fn a_message_that_is_kept_is_acknowledged_when_that_is_durable_too() {
    let mut wire = Wire::let_in(connect(Version::V5));
    wire.hear(Packet::Publish(Publish { retain: true, ..publish("a/1", Qos::AtLeastOnce, 1) }));
    let ticket = wire.appends();
    wire.connection.appended(ticket, Ok(at(7)));
    assert!(wire.said().is_empty());
    let Some(Action::Retain { ticket, at: where_to, .. }) = wire.action() else { panic!("it is kept") };
    assert_eq!(where_to, at(7));
    wire.connection.retained(ticket, Ok(()));
    assert_eq!(acks(&wire.said()), [(1, Reason::SUCCESS)]);
}

#[test]
fn qos_2_is_numbered_appended_and_released_each_durably_before_the_next() {
    let mut wire = Wire::let_in(kept());
    wire.hear(Packet::Publish(publish("a/1", Qos::ExactlyOnce, 7)));
    let Some(Action::Place { ticket, needs_producer: true, place }) = wire.action() else {
        panic!("a place")
    };
    assert_eq!((place.topic.as_str(), place.key.as_str()), ("a", "1"));
    let producer = Some(Producer { id: 5, epoch: 0 });
    wire.connection.placed(ticket, Ok(Placed { partition: P, producer }));
    let (ticket, records) = wire.stores();
    assert!(matches!(&records[..], [Record::Inbox(_, Some(inbox))] if inbox.pending.len() == 1));
    assert_eq!(wire.action(), None, "nothing is appended before");
    wire.connection.stored(ticket, true);
    let Some(Action::Append { ticket, once: Some((P, once)), .. }) = wire.action() else {
        panic!("an append")
    };
    assert_eq!((once.producer.id, once.sequence), (5, 0));
    wire.hear(Packet::Publish(Publish { dup: true, ..publish("a/1", Qos::ExactlyOnce, 7) }));
    assert_eq!((wire.said(), wire.action()), (vec![], None), "it is under way");
    wire.connection.appended(ticket, Ok(at(0)));
    assert_eq!(acks(&wire.said()), [(7, Reason::SUCCESS)]);
    wire.hear(Packet::Publish(Publish { dup: true, ..publish("a/1", Qos::ExactlyOnce, 7) }));
    assert_eq!((acks(&wire.said()), wire.action()), (vec![(7, Reason::SUCCESS)], None), "it is there");
    wire.hear(Packet::PubRel(Ack::new(7, Reason::SUCCESS)));
    assert!(wire.said().is_empty(), "PUBCOMP waits for the record");
    let (ticket, records) = wire.stores();
    assert_eq!(records, [Record::Inbox("c".into(), None)]);
    wire.connection.stored(ticket, true);
    assert_eq!(acks(&wire.said()), [(7, Reason::SUCCESS)]);
}

#[test]
fn what_an_earlier_connection_had_under_way_is_found_out_before_connack() {
    let once = |sequence| Once { producer: Producer { id: 5, epoch: 0 }, sequence };
    let pending = |sequence, is_done| Pending { partition: P, once: once(sequence), is_done };
    let inbox =
        InboxValue { pending: vec![(1, pending(0, true)), (2, pending(1, false)), (3, pending(2, false))] };
    let mut wire = Wire::open(kept(), Stored { inbox, ..Stored::default() });
    assert!(wire.said().is_empty());
    let Some(Action::Resolve { ticket, pending }) = wire.action() else { panic!("a question") };
    assert_eq!(pending.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [2, 3]);
    wire.connection.resolved(ticket, &[(2, Some(at(9))), (3, None)]);
    assert!(matches!(wire.said()[..], [Packet::ConnAck(_)]));
    wire.hear(Packet::Publish(publish("a/1", Qos::ExactlyOnce, 2)));
    assert_eq!((acks(&wire.said()), wire.action()), (vec![(2, Reason::SUCCESS)], None));
    wire.hear(Packet::Publish(publish("a/1", Qos::ExactlyOnce, 3)));
    assert!(matches!(wire.action(), Some(Action::Place { .. })), "it never came");
}

#[test]
fn a_message_that_was_found_in_the_log_is_kept_before_it_is_acknowledged() {
    let once = Once { producer: Producer { id: 5, epoch: 0 }, sequence: 0 };
    let pending = vec![(2, Pending { partition: P, once, is_done: false })];
    let mut wire = Wire::open(kept(), Stored { inbox: InboxValue { pending }, ..Stored::default() });
    let Some(Action::Resolve { ticket, .. }) = wire.action() else { panic!("a question") };
    wire.connection.resolved(ticket, &[(2, Some(at(9)))]);
    wire.said();
    // The broker may have crashed between the append and the record of what is kept.
    wire.hear(Packet::Publish(Publish { retain: true, dup: true, ..publish("a/1", Qos::ExactlyOnce, 2) }));
    assert!(wire.said().is_empty());
    let Some(Action::Retain { ticket, at: found, .. }) = wire.action() else { panic!("it is kept") };
    assert_eq!(found, at(9));
    wire.connection.retained(ticket, Ok(()));
    assert_eq!(acks(&wire.said()), [(2, Reason::SUCCESS)]);
}

#[test]
fn a_refused_message_is_told_in_5_and_ends_the_connection_in_3() {
    let mut wire = Wire::let_in(connect(Version::V5));
    wire.hear(Packet::Publish(publish("a/1", Qos::AtLeastOnce, 1)));
    let ticket = wire.appends();
    wire.connection.appended(ticket, Err(Reason::NOT_AUTHORIZED));
    assert_eq!(acks(&wire.said()), [(1, Reason::NOT_AUTHORIZED)]);
    wire.hear(Packet::Publish(publish("$SYS/x", Qos::AtLeastOnce, 2)));
    assert_eq!(acks(&wire.said()), [(2, Reason::TOPIC_NAME_INVALID)]);
    let mut wire = Wire::let_in(connect(Version::V3));
    wire.hear(Packet::Publish(publish("a/1", Qos::AtLeastOnce, 1)));
    let ticket = wire.appends();
    wire.connection.appended(ticket, Err(Reason::NOT_AUTHORIZED));
    assert!(wire.said().is_empty(), "a PUBACK would say that it is there");
    assert!(wire.closes().session.is_some());
}

#[test]
fn the_receive_maximum_and_what_is_under_way_are_bounds() {
    let mut wire = Wire::let_in(connect(Version::V5));
    (1..5).for_each(|id| wire.hear(Packet::Publish(publish("a/1", Qos::AtLeastOnce, id))));
    assert_eq!(wire.reason_of_the_end(), Reason::RECEIVE_MAXIMUM_EXCEEDED);
    let mut wire = Wire::let_in(connect(Version::V3));
    let mut bytes = BytesMut::new();
    for _ in 0..UNDER_WAY_MAX + 10 {
        encode(&Packet::Publish(publish("a/1", Qos::AtMostOnce, 0)), Version::V3, usize::MAX, &mut bytes);
    }
    wire.connection.receive(&mut bytes, NOW);
    assert!(wire.connection.is_paused() && !bytes.is_empty(), "nothing more is read");
    let ticket = wire.appends();
    wire.connection.appended(ticket, Ok(at(0)));
    assert!(!wire.connection.is_paused());
}

#[test]
fn large_messages_of_qos_2_count_from_their_coming_until_they_are_answered() {
    const PAYLOAD_BYTES: usize = 1_000_000;
    let mut wire = Wire::let_in(connect(Version::V3));
    let mut bytes = BytesMut::new();
    for id in 1..=6 {
        let payload = vec![0; PAYLOAD_BYTES].into();
        let large = Publish { payload, retain: true, ..publish("a/1", Qos::ExactlyOnce, id) };
        encode(&Packet::Publish(large), Version::V3, usize::MAX, &mut bytes);
    }
    wire.connection.receive(&mut bytes, NOW);
    let taken = UNDER_WAY_BYTES_MAX.div_ceil(PAYLOAD_BYTES);
    let mut waiting = taken;
    while let Some(action) = wire.action() {
        let held = wire.connection.holds();
        assert!((waiting * PAYLOAD_BYTES..(waiting + 1) * PAYLOAD_BYTES).contains(&held), "{held}");
        match action {
            Action::Place { ticket, needs_producer, .. } => {
                let producer = needs_producer.then_some(Producer { id: 5, epoch: 0 });
                wire.connection.placed(ticket, Ok(Placed { partition: P, producer }));
            }
            Action::Store { ticket, .. } => wire.connection.stored(ticket, true),
            Action::Append { ticket, .. } => wire.connection.appended(ticket, Ok(at(0))),
            Action::Retain { ticket, .. } => {
                assert_eq!(wire.connection.is_paused(), waiting == taken, "nothing more is read");
                wire.connection.retained(ticket, Ok(()));
                waiting -= 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(acks(&wire.said()).len(), taken);
    assert_eq!((waiting, wire.connection.holds()), (0, 0));
}

#[test]
fn an_alias_stands_for_the_topic_that_it_was_given() {
    let mut wire = Wire::let_in(connect(Version::V5));
    let aliased = |topic: &str, alias: u16| {
        let mut message = publish(topic, Qos::AtMostOnce, 0);
        message.properties.two(Name::TopicAlias, alias);
        Packet::Publish(message)
    };
    wire.hear(aliased("a/1", 2));
    wire.hear(aliased("", 2));
    for _ in 0..2 {
        let Some(Action::Append { message, .. }) = wire.action() else { panic!("an append") };
        assert_eq!(message.topic, "a/1");
        assert!(message.properties.is_empty());
    }
    wire.hear(aliased("", 1));
    assert_eq!(wire.reason_of_the_end(), Reason::PROTOCOL_ERROR);
    let mut wire = Wire::let_in(connect(Version::V5));
    wire.hear(aliased("a/1", 3));
    assert_eq!(wire.reason_of_the_end(), Reason::TOPIC_ALIAS_INVALID);
}

// ---- messages to the client -------------------------------------------------------------------------------

#[test]
fn suback_waits_for_the_records_of_a_session_that_is_kept() {
    let mut wire = Wire::let_in(kept());
    wire.subscribe("a/+", Qos::AtLeastOnce);
    assert!(wire.said().is_empty());
    let (ticket, records) = wire.stores();
    assert!(matches!(&records[..], [Record::Cursor(_, P, Some(_)), Record::Session(..)]), "{records:?}");
    wire.connection.stored(ticket, true);
    assert!(matches!(&wire.said()[..], [Packet::SubAck(ack)] if ack.reasons == [Reason(1)]));
    assert!(matches!(wire.action(), Some(Action::Kept { .. })));
    let mut wire = Wire::let_in(connect(Version::V5));
    wire.subscribe("a/+", Qos::AtLeastOnce);
    assert!(matches!(wire.said()[..], [Packet::SubAck(_)]), "nothing is written of one that ends with it");
}

#[test]
fn messages_are_sent_as_surely_as_both_sides_ask() {
    let mut wire = Wire::let_in(connect(Version::V5));
    wire.subscribe("a/+", Qos::AtLeastOnce);
    wire.said();
    let records = vec![
        offered(0, "a/1", Qos::AtMostOnce),
        offered(1, "a/1", Qos::ExactlyOnce),
        offered(2, "b", Qos::ExactlyOnce),
        Offered { message: None, ..offered(3, "a/1", Qos::ExactlyOnce) },
    ];
    wire.connection.offer(P, records, 4, NOW);
    let sent = wire.said();
    let qos = sent.iter().map(|packet| match packet {
        Packet::Publish(publish) => publish.qos,
        other => panic!("{other:?}"),
    });
    assert_eq!(qos.collect::<Vec<_>>(), [Qos::AtMostOnce, Qos::AtLeastOnce]);
    assert_eq!(wire.connection.wants(), [(P, 4)]);
}

#[test]
fn no_more_is_in_flight_than_the_client_takes() {
    let mut asked = connect(Version::V5);
    asked.properties.two(Name::ReceiveMaximum, 2);
    let mut wire = Wire::let_in(asked);
    wire.subscribe("a/+", Qos::AtLeastOnce);
    wire.said();
    wire.connection.offer(P, (0..5).map(|at| offered(at, "a/1", Qos::AtLeastOnce)).collect(), 5, NOW);
    assert_eq!((wire.said().len(), wire.connection.wants()), (2, vec![]));
    wire.hear(Packet::PubAck(Ack::new(1, Reason::SUCCESS)));
    assert_eq!(wire.connection.wants(), [(P, 2)]);
}

#[test]
fn qos_2_is_sent_when_its_number_is_durable_and_released_when_that_it_came_is() {
    let mut wire = Wire::let_in(kept());
    wire.subscribe("a/+", Qos::ExactlyOnce);
    let (ticket, _) = wire.stores();
    wire.connection.stored(ticket, true);
    wire.said();
    wire.action();
    wire.connection.offer(P, vec![offered(0, "a/1", Qos::ExactlyOnce)], 1, NOW);
    assert!(wire.said().is_empty());
    let (ticket, _) = wire.stores();
    wire.connection.stored(ticket, true);
    assert!(matches!(&wire.said()[..], [Packet::Publish(publish)] if publish.id == 1 && !publish.dup));
    wire.hear(Packet::PubRec(Ack::new(1, Reason::SUCCESS)));
    assert!(wire.said().is_empty());
    let (ticket, _) = wire.stores();
    wire.connection.stored(ticket, true);
    assert!(matches!(&wire.said()[..], [Packet::PubRel(_)]));
    wire.hear(Packet::PubComp(Ack::new(1, Reason::SUCCESS)));
    assert_eq!(wire.connection.wants(), [(P, 1)]);
}

#[test]
fn what_was_in_flight_is_sent_again_first_and_asked_again_whether_the_client_may() {
    let flight = |id, offset, stage| FlightValue { id, offset, stage, is_kept: id == 1 };
    let flights = vec![
        flight(1, 3, Stage::Sent),
        flight(2, 4, Stage::Numbered),
        flight(3, 5, Stage::Released),
        flight(4, 6, Stage::Sent),
    ];
    let mut stored =
        Stored { cursors: [(P, CursorValue { next: Some(9), flights })].into(), ..Stored::default() };
    stored.session.subscriptions.insert("a/+".into(), crate::session::Subscription::default());
    let mut wire = Wire::open(kept(), stored);
    assert!(
        matches!(&wire.said()[..], [Packet::ConnAck(ack), Packet::PubRel(rel)] if ack.session_present && rel.id == 3)
    );
    assert!(wire.connection.wants().is_empty(), "nothing new before");
    let mut reread = Vec::new();
    while let Some(action) = wire.action() {
        match action {
            Action::Reread { id, offset, .. } => reread.push((id, offset)),
            Action::Survey { ticket, .. } => wire.connection.surveyed(ticket, Some(&[(P, Some(0))])),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(reread, [(1, 3), (2, 4), (4, 6)]);
    let found = |offset| offered(offset, "a/1", Qos::ExactlyOnce).message.map(|message| (NOW, message));
    wire.connection.reread(1, found(3), NOW);
    wire.connection.reread(2, found(4), NOW);
    wire.connection.reread(4, None, NOW);
    let sent = wire.said();
    assert!(matches!(&sent[..], [Packet::Publish(one), Packet::Publish(two)]
        if one.dup && one.retain && (one.id, one.qos) == (1, Qos::AtLeastOnce) && two.dup && (two.id, two.qos) == (2, Qos::ExactlyOnce)));
    assert_eq!(wire.connection.wants(), [(P, 9)]);
}

#[test]
fn partitions_of_which_nothing_could_be_found_out_are_read_on() {
    let mut wire = Wire::let_in(connect(Version::V5));
    wire.subscribe("a/+", Qos::AtLeastOnce);
    wire.said();
    assert!(matches!(wire.action(), Some(Action::Kept { .. })));
    let before = wire.connection.wants();
    assert_eq!(before.len(), 1);
    for starts in [None, Some(&[(P, None)][..])] {
        wire.connection.survey();
        let Some(Action::Survey { ticket, .. }) = wire.action() else { panic!("it is asked") };
        wire.connection.surveyed(ticket, starts);
        assert_eq!(wire.connection.wants(), before);
    }
}

#[test]
fn options_of_a_subscription_are_kept_to() {
    let mut wire = Wire::let_in(connect(Version::V5));
    let mut numbered = Properties::default();
    numbered.subscription_id(11);
    let options =
        Options { qos: Qos::AtMostOnce, no_local: true, retain_as_published: true, retain_handling: 2 };
    wire.subscribe_with("a/+", options, numbered);
    wire.subscribe("a/1", Qos::AtMostOnce);
    wire.said();
    let Some(Action::Kept { filter }) = wire.action() else { panic!("of the second filter") };
    assert_eq!((filter.text(), wire.action()), ("a/1", None));
    let mut own = offered(0, "a/2", Qos::AtMostOnce);
    own.message.as_mut().unwrap().client_id = Some("c".into());
    let mut retained = offered(1, "a/1", Qos::AtMostOnce);
    retained.message.as_mut().unwrap().retain = true;
    let mut expired = offered(2, "a/1", Qos::AtMostOnce);
    expired.message.as_mut().unwrap().properties.four(Name::MessageExpiry, 10);
    expired.timestamp = NOW - 10_000;
    let mut alive = offered(3, "a/1", Qos::AtMostOnce);
    alive.message.as_mut().unwrap().properties.four(Name::MessageExpiry, 10);
    alive.timestamp = NOW - 9_000;
    wire.connection.offer(P, vec![own, retained, expired, alive], 4, NOW);
    let sent = wire.said();
    let [Packet::Publish(first), Packet::Publish(second)] = &sent[..] else { panic!("{sent:?}") };
    assert!(first.retain && first.properties.number(Name::SubscriptionId) == Some(11));
    assert_eq!(second.properties.number(Name::MessageExpiry), Some(1));
}

#[test]
fn what_is_kept_comes_with_the_retain_flag_and_a_number() {
    let mut wire = Wire::let_in(connect(Version::V5));
    wire.subscribe("a/+", Qos::AtLeastOnce);
    wire.said();
    let Some(Action::Kept { filter }) = wire.action() else { panic!("it is asked for") };
    let message = offered(5, "a/1", Qos::AtLeastOnce).message.unwrap();
    let kept = |offset| Kept { partition: P, offset, timestamp: NOW, message: message.clone() };
    wire.connection.kept(&filter, vec![kept(5)], NOW);
    assert!(matches!(&wire.said()[..], [Packet::Publish(publish)] if publish.retain && publish.id > 0));
}

#[test]
fn filters_are_bounded_and_what_is_no_filter_is_told() {
    let mut wire = Wire::let_in(connect(Version::V5));
    let filters = ["a/#/b", "$share/g/a", "b"].map(|filter| (filter.to_owned(), Options::default()));
    let subscribe = Subscribe { id: 4, properties: Properties::default(), filters: filters.into() };
    wire.hear(Packet::Subscribe(subscribe));
    let Some(Action::Follow { ticket, filters }) = wire.action() else { panic!("it is asked about") };
    assert_eq!(filters.len(), 1);
    wire.connection.followed(ticket, vec![Err(Reason::NOT_AUTHORIZED)], NOW);
    let said = wire.said();
    let [Packet::SubAck(ack)] = &said[..] else { panic!("{said:?}") };
    assert_eq!(ack.reasons, [Reason::TOPIC_FILTER_INVALID, Reason(0x9e), Reason::NOT_AUTHORIZED]);
    let long = "x".repeat(crate::session::SUBSCRIPTION_BYTES_MAX / 2);
    for (at, expected) in [(1, Reason(0)), (2, Reason::QUOTA_EXCEEDED)] {
        wire.subscribe(&format!("{long}{at}"), Qos::AtMostOnce);
        let said = wire.said();
        let Some(Packet::SubAck(ack)) = said.last() else { panic!("{said:?}") };
        assert_eq!(ack.reasons, [expected], "{at}");
    }
}

#[test]
fn an_unsubscribed_filter_gets_nothing_and_its_partitions_are_left() {
    let mut wire = Wire::let_in(connect(Version::V5));
    wire.subscribe("a/+", Qos::AtLeastOnce);
    wire.said();
    wire.action();
    let filters = vec!["a/+".to_owned(), "b".to_owned()];
    wire.hear(Packet::Unsubscribe(Unsubscribe { id: 2, properties: Properties::default(), filters }));
    let said = wire.said();
    let [Packet::UnsubAck(ack)] = &said[..] else { panic!("{said:?}") };
    assert_eq!(ack.reasons, [Reason::SUCCESS, Reason::NO_SUBSCRIPTION_EXISTED]);
    let Some(Action::Survey { ticket, sources }) = wire.action() else { panic!("what is read is asked") };
    assert!(sources.is_empty());
    wire.connection.surveyed(ticket, None);
    assert_eq!(wire.connection.wants(), [], "no filter is left, whatever is read");
    wire.connection.survey();
    let Some(Action::Survey { ticket, .. }) = wire.action() else { panic!("it is asked again") };
    wire.connection.surveyed(ticket, Some(&[]));
    wire.connection.offer(P, vec![offered(0, "a/1", Qos::AtLeastOnce)], 1, NOW);
    assert!(wire.said().is_empty() && wire.connection.wants().is_empty());
}

// ---- the beginning and the end ----------------------------------------------------------------------------

#[test]
fn connack_says_what_differs_from_what_was_asked() {
    let limits = Limits { session_expiry_max: 60, keep_alive_max: 30, ..Limits::default() };
    let mut wire = Wire::new(Version::V5, limits);
    let mut asked = Connect { client_id: String::new(), keep_alive: 0, ..kept() };
    asked.clean_start = true;
    wire.hear(Packet::Connect(Box::new(asked)));
    let Some(Action::Open(opening)) = wire.action() else { panic!("a session is asked for") };
    assert_eq!((opening.client_id.as_str(), opening.open.expiry), ("assigned", 60));
    let mut stored = Stored::default();
    stored.session.expiry = 60;
    wire.connection.opened(&stored, false);
    let said = wire.said();
    let [Packet::ConnAck(ack)] = &said[..] else { panic!("{said:?}") };
    let number = |name| ack.properties.number(name);
    assert_eq!(ack.properties.get_text(Name::AssignedClientId), Some("assigned"));
    assert_eq!((number(Name::SessionExpiry), number(Name::ServerKeepAlive)), (Some(60), Some(30)));
    assert_eq!(wire.connection.wake_at(), NOW + 45_000);
}

#[test]
fn a_client_that_is_not_let_in_is_told_and_leaves_no_session() {
    let mut wire = Wire::new(Version::V3, Limits::default());
    wire.hear(Packet::Connect(Box::new(Connect { client_id: String::new(), ..connect(Version::V3) })));
    assert!(matches!(&wire.said()[..], [Packet::ConnAck(ack)] if ack.reason == Reason(2)));
    assert_eq!(wire.closes().session, None);
    let mut wire = Wire::new(Version::V3, Limits::default());
    wire.hear(Packet::Connect(Box::new(connect(Version::V3))));
    wire.action();
    wire.connection.refused(Reason::BAD_USER_NAME_OR_PASSWORD);
    assert!(matches!(&wire.said()[..], [Packet::ConnAck(ack)] if ack.reason == Reason(4)));
    assert_eq!(wire.closes().session, None);
    let mut wire = Wire::new(Version::V3, Limits::default());
    let mut old = BytesMut::from(&b"\x10\x10\x00\x06MQIsdp\x03\x02\x00\x3c\x00\x02ab"[..]);
    wire.connection.receive(&mut old, NOW);
    assert!(matches!(&wire.said()[..], [Packet::ConnAck(ack)] if ack.reason == Reason(1)));
}

#[test]
fn a_will_is_for_who_is_lost_and_not_for_who_says_goodbye() {
    let will = Will {
        topic: "a/1".into(),
        payload: Bytes::new(),
        qos: Qos::AtMostOnce,
        retain: false,
        properties: Properties::default(),
    };
    let goodbye = |reason| Packet::Disconnect(Disconnect { reason, properties: Properties::default() });
    let with_will = |how: &dyn Fn(&mut Wire)| {
        let mut wire = Wire::let_in(Connect { will: Some(will.clone()), ..connect(Version::V5) });
        how(&mut wire);
        wire.said();
        wire.closes().session.expect("it had one").1.with_will
    };
    assert!(!with_will(&|wire| wire.hear(goodbye(Reason::SUCCESS))));
    assert!(with_will(&|wire| wire.hear(goodbye(Reason::DISCONNECT_WITH_WILL))));
    assert!(with_will(&|wire| wire.connection.lost()));
    assert!(with_will(&|wire| wire.connection.taken_over()));
    assert!(with_will(&|wire| wire.connection.tick(NOW + 15_000)));
    assert!(with_will(&|wire| wire.hear(Packet::PingResp)));
    assert!(!with_will(&|wire| wire.connection.stop()));
    let mut wire = Wire::new(Version::V5, Limits::default());
    let reserved = Will { topic: "$SYS/x".into(), ..will };
    wire.hear(Packet::Connect(Box::new(Connect { will: Some(reserved), ..connect(Version::V5) })));
    assert!(matches!(&wire.said()[..], [Packet::ConnAck(ack)] if ack.reason == Reason::TOPIC_NAME_INVALID));
}

#[test]
fn a_connection_that_ends_waits_for_what_is_under_way() {
    let mut wire = Wire::let_in(kept());
    wire.hear(Packet::Publish(publish("a/1", Qos::AtLeastOnce, 1)));
    let ticket = wire.appends();
    wire.connection.lost();
    assert_eq!(wire.action(), None);
    wire.connection.appended(ticket, Ok(at(0)));
    assert!(wire.closes().session.is_some());
    assert!(wire.said().is_empty());
    let mut wire = Wire::new(Version::V5, Limits::default());
    wire.hear(Packet::Connect(Box::new(kept())));
    assert!(matches!(wire.action(), Some(Action::Open(_))));
    wire.connection.lost();
    assert_eq!(wire.action(), None, "the session may be on its way");
    wire.connection.opened(&Stored::default(), false);
    let (_, ending) = wire.closes().session.expect("it has one now");
    assert!(!ending.with_will);
}

#[test]
fn a_stranger_takes_no_more_memory_than_a_connect_may_have() {
    let mut wire = Wire::new(Version::V5, Limits::default());
    // A CONNECT of 200 KB is announced.
    wire.connection.receive(&mut BytesMut::from(&[0x10, 0xc0, 0x9a, 0x0c][..]), NOW);
    assert_eq!(wire.closes().session, None);
    assert!(wire.said().is_empty(), "before CONNECT there is nobody to tell");
}

#[test]
fn silence_ends_a_connection() {
    let mut wire = Wire::let_in(connect(Version::V5));
    wire.connection.tick(NOW + 14_999);
    assert!(wire.said().is_empty());
    wire.hear(Packet::PingReq);
    assert_eq!(wire.said(), [Packet::PingResp]);
    wire.connection.tick(NOW + 15_000);
    assert_eq!(wire.reason_of_the_end(), Reason::KEEP_ALIVE_TIMEOUT);
    let mut wire = Wire::new(Version::V5, Limits::default());
    assert_eq!(wire.connection.wake_at(), NOW + 10_000);
    wire.connection.tick(NOW + 10_000);
    assert_eq!(wire.closes().session, None);
}

#[test]
fn what_clients_must_not_send_ends_the_connection_with_its_reason() {
    let cases = [
        (Packet::Connect(Box::new(connect(Version::V5))), Reason::PROTOCOL_ERROR),
        (Packet::PingResp, Reason::PROTOCOL_ERROR),
        (
            Packet::Auth(Disconnect { reason: Reason(0x18), properties: Properties::default() }),
            Reason::PROTOCOL_ERROR,
        ),
    ];
    for (packet, reason) in cases {
        let mut wire = Wire::let_in(connect(Version::V5));
        wire.hear(packet);
        assert_eq!(wire.reason_of_the_end(), reason);
    }
    let mut wire = Wire::let_in(connect(Version::V5));
    let mut properties = Properties::default();
    properties.four(Name::SessionExpiry, 5);
    wire.hear(Packet::Disconnect(Disconnect { reason: Reason::SUCCESS, properties }));
    assert_eq!(wire.reason_of_the_end(), Reason::PROTOCOL_ERROR);
}

#[test]
fn a_session_that_cannot_be_written_ends_the_connection() {
    let mut wire = Wire::let_in(kept());
    wire.subscribe("a/+", Qos::AtLeastOnce);
    let (ticket, _) = wire.stores();
    wire.connection.stored(ticket, false);
    assert_eq!(wire.reason_of_the_end(), Reason::SERVER_UNAVAILABLE);
}

#[test]
fn a_message_larger_than_the_client_takes_counts_as_delivered() {
    let mut asked = connect(Version::V5);
    asked.properties.four(Name::MaximumPacketSize, 40);
    let mut wire = Wire::let_in(asked);
    wire.subscribe("a/+", Qos::AtLeastOnce);
    wire.said();
    let mut large = offered(0, "a/1", Qos::AtLeastOnce);
    large.message.as_mut().unwrap().payload = vec![0; 50].into();
    wire.connection.offer(P, vec![large, offered(1, "a/1", Qos::AtLeastOnce)], 2, NOW);
    assert_eq!(wire.said().len(), 1);
    assert_eq!(wire.connection.wants(), [(P, 2)]);
}
