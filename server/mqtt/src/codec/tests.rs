//! Packets by the specification's examples and rules, and round trips of random ones.

use bytes::{Bytes, BytesMut};

use super::*;

const ALL: usize = 1 << 20;

fn read(bytes: &[u8], version: Option<Version>) -> Result<Option<Packet>, DecodeError> {
    decode(&mut BytesMut::from(bytes), version, ALL)
}

fn error(bytes: &[u8], version: Option<Version>) -> DecodeError {
    read(bytes, version).expect_err("it is refused")
}

#[test]
fn a_connect_of_the_specification_is_read() {
    let bytes = [
        0x10, 0x10, 0x00, 0x04, b'M', b'Q', b'T', b'T', 0x05, 0x02, 0x00, 0x0a, 0x05, 0x11, 0x00, 0x00, 0x00,
        0x0a, 0x00, 0x00,
    ];
    let mut with_length = bytes;
    with_length[1] = (bytes.len() - 2) as u8;
    let Some(Packet::Connect(connect)) = read(&with_length, None).unwrap() else { panic!("a CONNECT") };
    assert_eq!((connect.version, connect.clean_start, connect.keep_alive), (Version::V5, true, 10));
    assert_eq!(connect.properties.number(Name::SessionExpiry), Some(10));
    assert_eq!(connect.client_id, "");
}

#[test]
fn flags_of_connect_that_must_not_be_are_refused() {
    let connect = |level: u8, flags: u8, rest: &[u8]| {
        let mut bytes = vec![0x10, 0, 0, 4, b'M', b'Q', b'T', b'T', level, flags, 0, 0];
        if level == 5 {
            bytes.push(0);
        }
        bytes.extend_from_slice(&[0, 1, b'c']);
        bytes.extend_from_slice(rest);
        bytes[1] = (bytes.len() - 2) as u8;
        read(&bytes, None)
    };
    for level in [4, 5] {
        assert!(connect(level, 0, &[]).is_ok());
        assert!(matches!(connect(level, 1, &[]), Err(DecodeError::Malformed(_))), "the reserved flag");
        assert!(matches!(connect(level, 0x08, &[]), Err(DecodeError::Malformed(_))), "a will's QoS alone");
        assert!(matches!(connect(level, 0x20, &[]), Err(DecodeError::Malformed(_))), "a will's retain alone");
        assert!(matches!(connect(level, 0x1c, &[]), Err(DecodeError::Malformed(_))), "a will of QoS 3");
        assert!(matches!(connect(level, 0, &[0]), Err(DecodeError::Malformed(_))), "more than all");
    }
    // MQTT 5.0, 3.1.2.9: a password may come alone; 3.1.1 forbids it.
    assert!(matches!(connect(4, 0x40, &[0, 1, b'p']), Err(DecodeError::Malformed(_))));
    assert!(connect(5, 0x40, &[0, 1, b'p']).is_ok());
    assert_eq!(connect(3, 0, &[]), Err(DecodeError::Level(3)));
    assert_eq!(connect(6, 0, &[]), Err(DecodeError::Level(6)));
}

#[test]
fn a_length_is_not_believed() {
    // 256 MiB are announced: it is refused by the header alone, and nothing was allocated.
    let mut buffer = BytesMut::from(&[0x30, 0xff, 0xff, 0xff, 0x7f][..]);
    let error = decode(&mut buffer, Some(Version::V5), ALL).unwrap_err();
    assert_eq!(error, DecodeError::TooLarge { bytes: PACKET_BYTES_MAX, bytes_max: ALL });
    assert!(buffer.capacity() < 1024);
    // What may still come is waited for, without room being made.
    let mut buffer = BytesMut::from(&[0x30, 0x80, 0x80, 0x20][..]);
    assert_eq!(decode(&mut buffer, Some(Version::V5), ALL), Ok(None));
    assert!(buffer.capacity() < 1024);
    assert!(matches!(error_of(&[0x30, 0xff, 0xff, 0xff, 0xff]), DecodeError::Malformed(_)));
    assert!(matches!(error_of(&[0x30, 0x80, 0x00]), DecodeError::Malformed(_)), "more bytes than needed");
}

fn error_of(bytes: &[u8]) -> DecodeError {
    error(bytes, Some(Version::V5))
}

#[test]
fn what_must_not_be_published_is_refused() {
    assert!(matches!(error_of(&[0x36, 3, 0, 1, b'a']), DecodeError::Malformed("a QoS of 3")));
    assert!(matches!(error_of(&[0x38, 4, 0, 1, b'a', 0]), DecodeError::Malformed(_)), "QoS 0 again");
    assert_eq!(error_of(&[0x30, 4, 0, 1, b'+', 0]), DecodeError::TopicName);
    assert_eq!(error_of(&[0x30, 3, 0, 0, 0]), DecodeError::Protocol("a message has no topic and no alias"));
    assert_eq!(error_of(&[0x32, 6, 0, 1, b'a', 0, 0, 0]), DecodeError::Protocol("a packet id is 0"));
    assert!(matches!(error_of(&[0x30, 3, 0, 1, b'a']), DecodeError::Malformed(_)), "no length of properties");
    assert!(matches!(error_of(&[0x30, 4, 0, 1, 0, 0]), DecodeError::Malformed(_)), "U+0000");
    assert!(matches!(error_of(&[0x30, 4, 0, 1, 0xff, 0]), DecodeError::Malformed(_)), "no UTF-8");
    assert_eq!(error_of(&[0x30, 7, 0, 1, b'a', 3, 0x23, 0, 0]), DecodeError::TopicAlias);
    assert_eq!(error(&[0x30, 2, 0, 0], Some(Version::V3)), DecodeError::TopicName);
}

#[test]
fn properties_stand_once_and_where_they_belong() {
    // PUBLISH with a session expiry; with two content types; with two user properties.
    assert!(matches!(error_of(&[0x30, 9, 0, 1, b'a', 5, 0x11, 0, 0, 0, 1]), DecodeError::Protocol(_)));
    let twice = [0x30, 10, 0, 1, b'a', 6, 0x03, 0, 0, 0x03, 0, 0];
    assert_eq!(error_of(&twice), DecodeError::Protocol("a property stands twice"));
    let users = [0x30, 14, 0, 1, b'a', 10, 0x26, 0, 0, 0, 0, 0x26, 0, 0, 0, 0];
    assert!(read(&users, Some(Version::V5)).is_ok());
    assert!(matches!(error_of(&[0x30, 6, 0, 1, b'a', 2, 0x7f, 0]), DecodeError::Malformed(_)), "unknown");
    assert!(matches!(error_of(&[0x30, 6, 0, 1, b'a', 9, 0x01, 0]), DecodeError::Malformed(_)), "too long");
    assert!(
        matches!(error_of(&[0x30, 6, 0, 1, b'a', 2, 0x01, 2]), DecodeError::Protocol(_)),
        "neither 0 nor 1"
    );
}

#[test]
fn lists_are_bounded_and_not_empty() {
    assert!(matches!(error_of(&[0x82, 3, 0, 1, 0]), DecodeError::Protocol(_)));
    let mut filters = Subscribe {
        id: 1,
        properties: Properties::default(),
        filters: vec![("a".into(), Options::default()); FILTERS_MAX],
    };
    let written = |filters: &Subscribe| {
        let mut bytes = BytesMut::new();
        assert!(encode(&Packet::Subscribe(filters.clone()), Version::V5, ALL, &mut bytes));
        bytes
    };
    assert!(read(&written(&filters), Some(Version::V5)).is_ok());
    filters.filters.push(("a".into(), Options::default()));
    assert!(matches!(error_of(&written(&filters)), DecodeError::TooMany(_)));
    let mut properties = Properties::default();
    for _ in 0..=PROPERTIES_MAX {
        properties.user("", "");
    }
    let publish = Publish { properties, ..message("a", Qos::AtMostOnce, 0) };
    let mut bytes = BytesMut::new();
    assert!(encode(&Packet::Publish(publish), Version::V5, ALL, &mut bytes));
    assert!(matches!(error_of(&bytes), DecodeError::TooMany(_)));
}

fn message(topic: &str, qos: Qos, id: u16) -> Publish {
    let properties = Properties::default();
    Publish { dup: false, qos, retain: false, topic: topic.into(), id, properties, payload: Bytes::new() }
}

#[test]
fn only_connect_comes_first() {
    assert!(matches!(error(&[0xc0, 0], None), DecodeError::Protocol(_)));
    assert_eq!(read(&[], None), Ok(None));
    assert_eq!(read(&[0x10], None), Ok(None));
}

#[test]
fn a_packet_larger_than_the_peer_takes_is_not_written() {
    let publish =
        Packet::Publish(Publish { payload: vec![0; 100].into(), ..message("a", Qos::AtMostOnce, 0) });
    let mut bytes = BytesMut::new();
    assert!(!encode(&publish, Version::V5, 105, &mut bytes));
    assert!(bytes.is_empty());
    assert!(encode(&publish, Version::V5, 106, &mut bytes));
    assert_eq!(bytes.len(), 106);
}

#[test]
fn answers_of_the_old_version_are_as_it_has_them() {
    let written = |packet: Packet| {
        let mut bytes = BytesMut::new();
        assert!(encode(&packet, Version::V3, ALL, &mut bytes));
        bytes.to_vec()
    };
    let mut properties = Properties::default();
    properties.text(Name::ReasonString, "why");
    let ack = Ack { id: 258, reason: Reason::NOT_AUTHORIZED, properties: properties.clone() };
    assert_eq!(written(Packet::PubAck(ack)), [0x40, 2, 1, 2]);
    let ack =
        ConnAck { session_present: false, reason: Reason::NOT_AUTHORIZED, properties: properties.clone() };
    assert_eq!(written(Packet::ConnAck(ack)), [0x20, 2, 0, 5]);
    let ack = SubAck { id: 1, properties, reasons: vec![Reason(1), Reason::NOT_AUTHORIZED] };
    assert_eq!(written(Packet::SubAck(ack.clone())), [0x90, 4, 0, 1, 1, 0x80]);
    assert_eq!(written(Packet::UnsubAck(ack)), [0xb0, 2, 0, 1]);
}

#[test]
fn random_packets_are_read_as_they_were_written() {
    for seed in 0..2000 {
        let mut random = fastrand::Rng::with_seed(seed);
        let version = if random.bool() { Version::V3 } else { Version::V5 };
        let packet = random_packet(&mut random, version);
        let mut bytes = BytesMut::new();
        assert!(encode(&packet, version, ALL, &mut bytes), "seed {seed}");
        let whole = bytes.clone();
        let known = (!matches!(packet, Packet::Connect(_))).then_some(version);
        for cut in 0..whole.len() {
            let mut part = BytesMut::from(&whole[..cut]);
            assert_eq!(decode(&mut part, known, ALL), Ok(None), "seed {seed}, {cut} bytes");
        }
        assert_eq!(decode(&mut bytes, known, ALL), Ok(Some(packet)), "seed {seed}");
        assert!(bytes.is_empty());
    }
}

fn text(random: &mut fastrand::Rng) -> String {
    (0..random.usize(1..9)).map(|_| random.choice(['a', 'b', '/', 'é', '😀', '-']).unwrap()).collect()
}

fn binary(random: &mut fastrand::Rng) -> Bytes {
    (0..random.usize(0..200)).map(|_| random.u8(..)).collect()
}

fn random_packet(random: &mut fastrand::Rng, version: Version) -> Packet {
    let is_new = version == Version::V5;
    let mut users = Properties::default();
    if is_new && random.bool() {
        users.user(text(random), text(random));
    }
    let reason = if is_new { Reason(random.u8(..)) } else { Reason::SUCCESS };
    let id = random.u16(1..);
    let ack = Ack { id, reason, properties: users.clone() };
    let qos = Qos::from_bits(random.u8(0..3)).unwrap();
    match random.u8(if is_new { 0..15 } else { 0..14 }) {
        0 => {
            let will = random.bool().then(|| Will {
                topic: text(random),
                payload: binary(random),
                qos,
                retain: random.bool(),
                properties: users.clone(),
            });
            let user_name = random.bool().then(|| text(random));
            let password = (user_name.is_some() && random.bool()).then(|| binary(random));
            Packet::Connect(Box::new(Connect {
                version,
                client_id: text(random),
                clean_start: random.bool(),
                keep_alive: random.u16(..),
                will,
                user_name,
                password,
                properties: users,
            }))
        }
        1 => Packet::ConnAck(ConnAck { session_present: random.bool(), reason, properties: users }),
        2 => {
            if is_new && random.bool() {
                users.two(Name::TopicAlias, random.u16(1..));
                users.subscription_id(random.u32(1..1 << 28));
                users.subscription_id(random.u32(1..1 << 28));
                users.binary(Name::CorrelationData, binary(random));
                users.four(Name::MessageExpiry, random.u32(..));
            }
            let id = if qos == Qos::AtMostOnce { 0 } else { id };
            let dup = qos != Qos::AtMostOnce && random.bool();
            let (topic, payload) = (text(random), binary(random));
            Packet::Publish(Publish {
                dup,
                qos,
                retain: random.bool(),
                topic,
                id,
                properties: users,
                payload,
            })
        }
        3 => Packet::PubAck(ack),
        4 => Packet::PubRec(ack),
        5 => Packet::PubRel(ack),
        6 => Packet::PubComp(ack),
        7 => {
            let mut options = Options { qos, ..Options::default() };
            if is_new {
                options.no_local = random.bool();
                options.retain_as_published = random.bool();
                options.retain_handling = random.u8(0..3);
            }
            Packet::Subscribe(Subscribe { id, properties: users, filters: vec![(text(random), options)] })
        }
        8 => Packet::SubAck(SubAck { id, properties: users, reasons: vec![Reason(qos as u8)] }),
        9 => Packet::Unsubscribe(Unsubscribe { id, properties: users, filters: vec![text(random)] }),
        10 => {
            let reasons = if is_new { vec![reason] } else { Vec::new() };
            Packet::UnsubAck(SubAck { id, properties: users, reasons })
        }
        11 => Packet::PingReq,
        12 => Packet::PingResp,
        13 => Packet::Disconnect(Disconnect { reason, properties: users }),
        _ => Packet::Auth(Disconnect { reason, properties: users }),
    }
}
