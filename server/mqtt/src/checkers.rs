//! What must hold whatever bytes a stranger sends, for fuzzers and for `cargo test`: no panic, memory in
//! proportion to what has come, packets and records that are read as they were written.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use bytes::BytesMut;

use crate::codec::{DecodeError, Name, Packet, Value, Version, decode, encode};
use crate::connection::{Action, Appended, Connection, Limits, Placed};
use crate::message::Message;
use crate::retained::{Retained, RetainedRecord};
use crate::rules::Rules;
use crate::session::{Outbox, Partition, Producer, Record};
use crate::sessions::{Opening, Owner, Sessions};
use crate::topic::{self, Filter};

const PACKET_BYTES_MAX: usize = 1 << 16;
const NOW: i64 = 1_700_000_000_000;

/// A version, and packets one after the other.
pub fn packets(bytes: &[u8]) {
    let Some((version, bytes)) = bytes.split_first() else { return };
    let version = if version & 1 == 0 { Version::V3 } else { Version::V5 };
    let mut buffer = BytesMut::from(bytes);
    // CONNECT alone is taken first, and no other comes after.
    for known in [None, Some(version)] {
        let mut again = buffer.clone();
        while let Ok(Some(packet)) = decode(&mut again, known, PACKET_BYTES_MAX) {
            check_packet(&packet, version);
        }
    }
    // It does not matter in which pieces they come.
    let whole = all_of(&mut buffer.clone(), version);
    let mut piecewise = (Vec::new(), None);
    let mut part = BytesMut::new();
    while !buffer.is_empty() && piecewise.1.is_none() {
        let piece = buffer.len().min(1 + buffer.len() % 7);
        part.extend_from_slice(&buffer.split_to(piece));
        let (packets, error) = all_of(&mut part, version);
        piecewise.0.extend(packets);
        piecewise.1 = error;
    }
    assert_eq!(piecewise, whole, "in pieces as in one");
}

fn all_of(buffer: &mut BytesMut, version: Version) -> (Vec<Packet>, Option<DecodeError>) {
    let mut packets = Vec::new();
    loop {
        match decode(buffer, Some(version), PACKET_BYTES_MAX) {
            Ok(Some(packet)) => packets.push(packet),
            Ok(None) => return (packets, None),
            Err(error) => return (packets, Some(error)),
        }
    }
}

fn check_packet(packet: &Packet, version: Version) {
    let (version, known) = match packet {
        Packet::Connect(connect) => (connect.version, None),
        _ => (version, Some(version)),
    };
    // An old version has fewer words than there are reasons.
    if version == Version::V3 && matches!(packet, Packet::ConnAck(_) | Packet::SubAck(_)) {
        return;
    }
    let mut written = BytesMut::new();
    assert!(encode(packet, version, usize::MAX, &mut written), "{packet:?}");
    let again = decode(&mut written, known, usize::MAX);
    assert_eq!(again.as_ref(), Ok(&Some(packet.clone())), "what was read is written and read again");
}

/// Keys and values with zeros of two bytes between them: records of sessions, then of what is kept.
pub fn records(bytes: &[u8]) {
    let at = bytes.windows(2).position(|pair| pair == [0xfe, 0xfe]).unwrap_or(bytes.len());
    let (key, value) = (&bytes[..at], bytes.get(at + 2..));
    if let Ok(record) = Record::parse(key, value) {
        let again = Record::parse(&record.key(), record.value().as_deref());
        assert_eq!(again.as_ref(), Ok(&record), "what is written stays as it is");
        if let Record::Cursor(_, partition, Some(cursor)) = &record {
            let mut outbox = Outbox::restore(&[(*partition, cursor.clone())].into());
            assert!(outbox.len() <= cursor.flights.len());
            outbox.flights().iter().for_each(|(id, _)| outbox.drop_flight(*id));
            assert!(outbox.is_empty());
        }
        let mut sessions = Sessions::default();
        sessions.replay(record.clone());
        sessions.begin(NOW);
        sessions.due(i64::MAX, 10);
        let open = sessions.open(record.client_id(), crate::sessions::Open::default(), Owner(1), NOW);
        if let Opening::Ready(ready) = open {
            ready.records.into_iter().for_each(|record| sessions.replay(record));
            sessions.closed(record.client_id(), Owner(1));
        }
    }
    if let Ok(record) = RetainedRecord::parse(key, value) {
        let again = RetainedRecord::parse(&record.key(), record.value().as_deref());
        assert_eq!(again.as_ref(), Ok(&record), "what is written stays as it is");
        let mut retained = Retained::default();
        retained.replay(record.clone());
        retained.replay(RetainedRecord { kept: None, ..record });
        assert_eq!(retained, Retained::default(), "nothing is left of it");
    }
}

/// Rules, a zero, and topics and filters with line ends between them.
pub fn rules(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (rules, topics) = text.split_once('\0').unwrap_or((&text, ""));
    let Ok(rules) = Rules::parse(rules, "mqtt") else { return };
    let topics: Vec<&str> = topics.split('\n').take(50).filter(|topic| topic::is_name(topic)).collect();
    let filters = text.split(['\n', '\0']).take(50).filter_map(|text| Filter::parse(text).ok());
    let filters: Vec<Filter> = filters.collect();
    for topic in topics {
        let Ok(place) = rules.place(topic) else { continue };
        let key = Some(place.key.as_bytes());
        let said = rules.topic_of(topic, &place.topic, key);
        assert_eq!(said.as_deref(), Some(topic), "a record has the topic that it was published to");
        if let Some(found) = rules.topic_of("", &place.topic, key) {
            assert_eq!(rules.place(&found), Ok(place.clone()), "{topic} and {found}");
        }
        for filter in filters.iter().filter(|filter| filter.matches(topic)) {
            let sources = rules.sources(filter.pattern());
            let is_found = sources.iter().any(|source| source.contains(&place.topic));
            assert!(is_found, "{} leads to {} of {topic}", filter.text(), place.topic);
        }
    }
}

/// What a connection is sent, to a front that does everything at once.
pub fn connection(bytes: &[u8]) {
    let rules = Arc::new(Rules::parse("a/{x} -> a key={x}", "mqtt").expect("rules"));
    let limits =
        Limits { packet_bytes_max: PACKET_BYTES_MAX, receive_max: 8, flights_max: 4, ..Limits::default() };
    let mut connection = Connection::new(limits, rules, "assigned".into(), NOW);
    let mut front = Front::default();
    let mut buffer = BytesMut::new();
    for piece in bytes.chunks(37) {
        buffer.extend_from_slice(piece);
        for _ in 0..64 {
            connection.receive(&mut buffer, NOW);
            if !front.serve(&mut connection) {
                break;
            }
        }
    }
    connection.lost();
    while front.serve(&mut connection) {}
    assert!(front.is_closed, "it ends when it is lost");
    assert!(front.said <= (bytes.len() + 64) * 64 + front.delivered, "{} bytes are an answer", front.said);
}

#[derive(Default)]
struct Front {
    sessions: Sessions,
    retained: Retained,
    log: Vec<Message>,
    producers: i64,
    said: usize,
    delivered: usize,
    is_closed: bool,
}

impl Front {
    /// Does what is to be done; false when there was nothing.
    fn serve(&mut self, connection: &mut Connection) -> bool {
        let mut output = connection.output();
        self.said += output.len();
        let partition = Partition::default();
        let mut did = !output.is_empty();
        if let Some(version) = connection.version() {
            let mut bytes = BytesMut::from(&output[..]);
            while let Ok(Some(packet)) = decode(&mut bytes, Some(version), usize::MAX) {
                let is_ours = !matches!(packet, Packet::Connect(_) | Packet::Subscribe(_) | Packet::PingReq);
                assert!(is_ours, "{packet:?} of a broker");
            }
            assert!(bytes.is_empty(), "whole packets: {bytes:?}");
        }
        output.clear();
        while let Some(action) = connection.action() {
            did = true;
            self.act(connection, action);
        }
        for (_, next) in connection.wants() {
            let end = self.log.len() as i64;
            if next < end {
                let from = usize::try_from(next).expect("an offset");
                let offered =
                    self.log.iter().enumerate().skip(from).map(|(at, message)| crate::connection::Offered {
                        offset: at as i64,
                        timestamp: NOW,
                        message: Some(message.clone()),
                    });
                let offered: Vec<_> = offered.take(3).collect();
                self.delivered +=
                    offered.iter().filter_map(|one| one.message.as_ref()).map(bytes_of).sum::<usize>();
                let next = next + offered.len() as i64;
                connection.offer(partition, offered, next, NOW);
                did = true;
            }
        }
        did
    }

    fn act(&mut self, connection: &mut Connection, action: Action) {
        let partition = Partition::default();
        let client_id = connection.client_id().to_owned();
        match action {
            Action::Open(asked) => match self.sessions.open(&asked.client_id, asked.open, Owner(1), NOW) {
                Opening::Ready(ready) => {
                    ready.records.iter().for_each(|record| self.replay(record));
                    connection.opened(&ready.stored, ready.is_present);
                }
                Opening::Busy(_) | Opening::Refused(_) => {
                    connection.refused(crate::codec::Reason::SERVER_BUSY)
                }
            },
            Action::Resolve { ticket, .. } => connection.resolved(ticket, &[]),
            Action::Place { ticket, needs_producer, .. } => {
                self.producers += 1;
                let producer = needs_producer.then_some(Producer { id: self.producers, epoch: 0 });
                connection.placed(ticket, Ok(Placed { partition, producer }));
            }
            Action::Append { ticket, message, .. } => {
                assert!(topic::is_name(&message.topic));
                let headers = message.headers();
                let headers = headers.iter().map(|(name, value)| (name.as_str(), Some(&value[..])));
                let again = Message::of_record(message.payload.clone(), headers);
                assert_eq!(sorted(&again), sorted(&message), "a record says what was published");
                let at = Appended { partition, offset: self.log.len() as i64, timestamp: NOW };
                self.log.push(message);
                connection.appended(ticket, Ok(at));
            }
            Action::Retain { ticket, .. } => connection.retained(ticket, Ok(())),
            Action::Store { ticket, records } => {
                assert_eq!(self.sessions.store(&client_id, Owner(1), &records), Ok(()));
                records.iter().for_each(|record| self.replay(record));
                connection.stored(ticket, true);
            }
            Action::Follow { ticket, filters } => {
                let found = filters.iter().map(|_| Ok(vec![(partition, self.log.len() as i64)])).collect();
                connection.followed(ticket, found, NOW);
            }
            Action::Survey { ticket, .. } => connection.surveyed(ticket, Some(&[(partition, Some(0))])),
            Action::Kept { filter } => {
                let (kept, _) = self.retained.matching(&filter, "", 10);
                let kept = kept.into_iter().cloned().collect();
                connection.kept(&filter, kept, NOW);
            }
            Action::Reread { id, .. } => connection.reread(id, None, NOW),
            Action::Close(closing) => {
                assert!(!self.is_closed, "once");
                self.is_closed = true;
                if let Some((session, ending)) = closing.session {
                    let records =
                        self.sessions.close(&client_id, Owner(1), &session, ending, NOW).expect("it is ours");
                    records.iter().for_each(|record| self.replay(record));
                    self.sessions.closed(&client_id, Owner(1));
                }
            }
        }
    }

    fn replay(&mut self, record: &Record) {
        let again = Record::parse(&record.key(), record.value().as_deref());
        assert_eq!(again.as_ref(), Ok(record), "a record is read as it was written");
        self.sessions.replay(record.clone());
    }
}

fn bytes_of(message: &Message) -> usize {
    let texts = message.properties.iter().map(|property| match &property.value {
        Value::Text(text) => text.len() + 8,
        Value::Binary(bytes) => bytes.len() + 8,
        Value::Pair(name, text) => name.len() + text.len() + 8,
        _ => 8,
    });
    // Twice: QoS 2 that is sent again.
    2 * (message.topic.len() + message.payload.len() + 64 + texts.sum::<usize>())
}

/// Their order is not a message's.
fn sorted(message: &Message) -> (Message, Vec<(Name, String)>) {
    let mut properties: Vec<(Name, String)> =
        message.properties.iter().map(|property| (property.name, format!("{:?}", property.value))).collect();
    properties.sort();
    (Message { properties: crate::codec::Properties::default(), ..message.clone() }, properties)
}
