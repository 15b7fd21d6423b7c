//! The checkers on seeds: packets, records and rules as they should be, with bytes changed.

use bytes::BytesMut;

use super::*;
use crate::codec::{Connect, Options, Properties, Publish, Qos, Subscribe};
use crate::session::{CursorValue, FlightValue, InboxValue, Once, Pending, Session, Stage};

type Checker = (&'static str, fn(&[u8]), fn() -> Vec<Vec<u8>>);

const CHECKERS: [Checker; 4] = [
    ("packets", packets, seeds_of_packets),
    ("records", records, seeds_of_records),
    ("rules", rules, seeds_of_rules),
    ("connection", connection, seeds_of_connections),
];

fn life(version: Version) -> BytesMut {
    let mut bytes = BytesMut::new();
    let mut say = |packet: Packet| assert!(encode(&packet, version, usize::MAX, &mut bytes));
    let mut properties = Properties::default();
    let mut message = Properties::default();
    let mut numbered = Properties::default();
    if version == Version::V5 {
        properties.four(Name::SessionExpiry, 100);
        message.two(Name::TopicAlias, 1);
        message.user("trace", "7");
        message.text(Name::ContentType, "text/csv");
        message.four(Name::MessageExpiry, 60);
        numbered.subscription_id(3);
    }
    let (client_id, user_name) = ("c".to_owned(), Some("u".to_owned()));
    say(Packet::Connect(Box::new(Connect {
        version,
        client_id,
        clean_start: false,
        keep_alive: 10,
        will: None,
        user_name,
        password: None,
        properties,
    })));
    let options = Options { qos: Qos::ExactlyOnce, ..Options::default() };
    let filters = vec![("a/+".to_owned(), options), ("#".to_owned(), Options::default())];
    say(Packet::Subscribe(Subscribe { id: 1, properties: numbered, filters }));
    for (id, qos) in [(0, Qos::AtMostOnce), (2, Qos::AtLeastOnce), (3, Qos::ExactlyOnce)] {
        say(Packet::Publish(Publish {
            dup: false,
            qos,
            retain: id == 2,
            topic: "a/1".into(),
            id,
            properties: message.clone(),
            payload: "payload".into(),
        }));
    }
    let ack = |id| crate::codec::Ack::new(id, crate::codec::Reason::SUCCESS);
    say(Packet::PubRel(ack(3)));
    (1..4).for_each(|id| say(Packet::PubRec(ack(id))));
    (1..4).for_each(|id| say(Packet::PubComp(ack(id))));
    say(Packet::PingReq);
    bytes
}

fn seeds_of_packets() -> Vec<Vec<u8>> {
    let of = |number: u8, version| [&[number][..], &life(version)].concat();
    vec![of(0, Version::V3), of(1, Version::V5)]
}

fn seeds_of_connections() -> Vec<Vec<u8>> {
    vec![life(Version::V3).to_vec(), life(Version::V5).to_vec()]
}

fn seeds_of_records() -> Vec<Vec<u8>> {
    let mut session =
        Session { user: Some("ann".into()), expiry: 60, ended_at: Some(1), ..Session::default() };
    session.subscriptions.insert("a/+".into(), crate::session::Subscription::default());
    let stages = [Stage::Sent, Stage::Numbered, Stage::Released];
    let flight = |(at, stage): (usize, &Stage)| FlightValue {
        id: at as u16 + 1,
        offset: at as i64,
        stage: *stage,
        is_kept: at == 0,
    };
    let cursor = CursorValue { next: Some(3), flights: stages.iter().enumerate().map(flight).collect() };
    let pending = Pending { partition: Partition::default(), once: Once::default(), is_done: false };
    let inbox = InboxValue { pending: vec![(1, pending)] };
    let records = [
        Record::Session("c".into(), Some(Box::new(session))),
        Record::Cursor("c".into(), Partition::default(), Some(cursor)),
        Record::Inbox("c".into(), Some(inbox)),
    ];
    let both = |key: &[u8], value: &[u8]| [key, &[0xfe, 0xfe], value].concat();
    let mut seeds: Vec<Vec<u8>> =
        records.iter().map(|record| both(&record.key(), &record.value().unwrap())).collect();
    let message = Message { topic: "t".into(), payload: "x".into(), retain: true, ..Message::default() };
    let kept = crate::retained::Kept { partition: Partition::default(), offset: 1, timestamp: 2, message };
    let record = RetainedRecord { topic: "t".into(), kept: Some(Box::new(kept)) };
    seeds.push(both(&record.key(), &record.value().unwrap()));
    seeds
}

fn seeds_of_rules() -> Vec<Vec<u8>> {
    let rules = "truck/{id}/position -> truck_position key={id}\nb/{b}/{p#} -> b_{b} key={p}\nr/+/# -> r";
    let topics = "truck/7/position\nb/1/a/b\nr/x\nother\ntruck/+/position\nb/#\n+/1/#\n#";
    vec![format!("{rules}\0{topics}").into_bytes(), format!("{{x#}} -> t key={{x}}\0{topics}").into_bytes()]
}

fn changed(seed: &[u8], random: &mut fastrand::Rng) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..random.usize(1..6) {
        if bytes.is_empty() {
            break;
        }
        let place = random.usize(0..bytes.len());
        match random.u8(0..5) {
            0 => bytes[place] = random.u8(..),
            1 => bytes[place] ^= 1 << random.u8(0..8),
            2 => drop(bytes.remove(place)),
            3 => bytes.insert(place, b"+#/{}\0\n-> $"[random.usize(0..11)]),
            _ => {
                let end = random.usize(place..bytes.len().min(place + 20));
                let piece = bytes[place..end].to_vec();
                let to = random.usize(0..bytes.len());
                bytes.splice(to..to, piece);
            }
        }
    }
    bytes
}

#[test]
fn seeds_with_bytes_changed_pass_their_checkers() {
    for (name, check, seeds) in CHECKERS {
        for (at, seed) in seeds().into_iter().enumerate() {
            check(&seed);
            for number in 0..2000 {
                let bytes = changed(&seed, &mut fastrand::Rng::with_seed(number));
                let passed = std::panic::catch_unwind(|| check(&bytes));
                assert!(passed.is_ok(), "{name}, seed {at}, change {number}: {bytes:?}");
            }
        }
    }
}
