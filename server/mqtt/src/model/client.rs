//! A client as the specification has it: it keeps its state over lost connections, sends again what was not
//! acknowledged, and knows messages of QoS 2 by their numbers.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::{Bytes, BytesMut};

use super::broker::Broker;
use crate::codec::{
    Ack, Connect, Name, Options, Packet, Properties, Publish, Qos, Reason, Subscribe, Version, decode, encode,
};

const SUBSCRIBE_ID: u16 = 9999;

#[derive(Debug)]
struct Outgoing {
    publish: Publish,
    is_received: bool,
}

#[derive(Debug)]
pub(super) struct Client {
    who: usize,
    pub(super) id: String,
    /// With which it subscribes.
    pub(super) qos: u8,
    connection: Option<u64>,
    is_let_in: bool,
    was_let_in: bool,
    next: u32,
    to_publish: VecDeque<Publish>,
    outgoing: BTreeMap<u16, Outgoing>,
    order: VecDeque<u16>,
    incoming: BTreeSet<u16>,
    to_say: BytesMut,
    heard: BytesMut,
    is_subscribing: bool,
    /// Where the log ended when SUBACK came.
    pub(super) subscribed_at: Option<Vec<i64>>,
    pub(super) acknowledged: Vec<(u32, u8)>,
    pub(super) delivered: Vec<u32>,
}

impl Client {
    pub(super) fn new(who: usize, random: &mut fastrand::Rng) -> Client {
        Client {
            who,
            id: format!("client-{who}"),
            qos: random.u8(1..3),
            connection: None,
            is_let_in: false,
            was_let_in: false,
            next: who as u32 * 1_000_000,
            to_publish: VecDeque::new(),
            outgoing: BTreeMap::new(),
            order: VecDeque::new(),
            incoming: BTreeSet::new(),
            to_say: BytesMut::new(),
            heard: BytesMut::new(),
            is_subscribing: false,
            subscribed_at: None,
            acknowledged: Vec::new(),
            delivered: Vec::new(),
        }
    }

    pub(super) fn is_calm(&self, broker: &Broker) -> bool {
        let is_served = self.connection.is_some_and(|connection| broker.is_calm(connection));
        let said = self.to_say.is_empty() && self.heard.is_empty();
        let done = self.to_publish.is_empty() && self.outgoing.is_empty() && self.incoming.is_empty();
        is_served && said && done && self.is_let_in && self.subscribed_at.is_some()
    }

    pub(super) fn connect(&mut self, broker: &mut Broker) {
        if self.connection.is_some_and(|connection| broker.is_open(connection)) {
            return;
        }
        self.forget();
        self.connection = Some(broker.accept(self.who));
        let mut properties = Properties::default();
        properties.four(Name::SessionExpiry, u32::MAX);
        let connect = Connect {
            version: Version::V5,
            client_id: self.id.clone(),
            clean_start: false,
            keep_alive: 0,
            will: None,
            user_name: None,
            password: None,
            properties,
        };
        self.write(&Packet::Connect(Box::new(connect)));
    }

    /// The connection is no more; what it has learned stays.
    pub(super) fn forget(&mut self) {
        self.connection = None;
        self.is_let_in = false;
        self.is_subscribing = false;
        self.to_say.clear();
        self.heard.clear();
    }

    pub(super) fn lose(&mut self, broker: &mut Broker) {
        if let Some(connection) = self.connection {
            broker.lost(connection);
        }
        self.forget();
    }

    pub(super) fn publish(&mut self, random: &mut fastrand::Rng) {
        if self.to_publish.len() > 5 {
            return;
        }
        self.next += 1;
        let qos = if random.bool() { Qos::AtLeastOnce } else { Qos::ExactlyOnce };
        let topic = format!("t/{}", random.u8(0..4));
        let payload = Bytes::from(self.next.to_string());
        let (retain, properties) = (random.u8(0..3) == 0, Properties::default());
        self.to_publish.push_back(Publish { dup: false, qos, retain, topic, id: 0, properties, payload });
    }

    /// Publishes what it has to, and sends some bytes.
    pub(super) fn say(&mut self, broker: &mut Broker, random: &mut fastrand::Rng) {
        // The receive maximum of the broker.
        if self.is_let_in
            && self.outgoing.len() < 4
            && let Some(mut publish) = self.to_publish.pop_front()
        {
            publish.id = (1..).find(|id| !self.outgoing.contains_key(id)).unwrap();
            self.write(&Packet::Publish(publish.clone()));
            publish.dup = true;
            self.order.push_back(publish.id);
            self.outgoing.insert(publish.id, Outgoing { publish, is_received: false });
        }
        let Some(connection) = self.connection else { return };
        let bytes = random.usize(0..=self.to_say.len());
        broker.hear(connection, &self.to_say.split_to(bytes));
    }

    /// Takes some bytes, and answers.
    pub(super) fn hear(&mut self, broker: &mut Broker, random: &mut fastrand::Rng) {
        let Some(connection) = self.connection else { return };
        match broker.say(connection, random) {
            Some(bytes) => self.heard.extend_from_slice(&bytes),
            None => return self.forget(),
        }
        while let Some(packet) = decode(&mut self.heard, Some(Version::V5), 1 << 20).expect("packets") {
            self.take(packet, broker);
        }
    }

    fn write(&mut self, packet: &Packet) {
        assert!(encode(packet, Version::V5, 1 << 20, &mut self.to_say));
    }

    fn take(&mut self, packet: Packet, broker: &Broker) {
        match packet {
            Packet::ConnAck(ack) => {
                assert_eq!(ack.reason, Reason::SUCCESS);
                assert!(ack.session_present || !self.was_let_in, "a session that was there is there");
                (self.is_let_in, self.was_let_in) = (true, true);
                self.resume();
            }
            Packet::SubAck(ack) => {
                assert_eq!(ack.reasons, [Reason(self.qos)]);
                self.subscribed_at.get_or_insert_with(|| broker.ends());
            }
            Packet::Publish(publish) => {
                let number = std::str::from_utf8(&publish.payload).unwrap().parse().unwrap();
                let is_new = publish.qos < Qos::ExactlyOnce || self.incoming.insert(publish.id);
                // What was kept is another delivery of the same message.
                if is_new && !publish.retain {
                    self.delivered.push(number);
                }
                let ack = Ack::new(publish.id, Reason::SUCCESS);
                match publish.qos {
                    Qos::AtMostOnce => {}
                    Qos::AtLeastOnce => self.write(&Packet::PubAck(ack)),
                    Qos::ExactlyOnce => self.write(&Packet::PubRec(ack)),
                }
            }
            Packet::PubRel(ack) => {
                self.incoming.remove(&ack.id);
                self.write(&Packet::PubComp(Ack::new(ack.id, Reason::SUCCESS)));
            }
            Packet::PubAck(ack) => self.done(ack, 1),
            Packet::PubRec(ack) => {
                assert_eq!(ack.reason, Reason::SUCCESS);
                if let Some(outgoing) = self.outgoing.get_mut(&ack.id) {
                    outgoing.is_received = true;
                    self.write(&Packet::PubRel(Ack::new(ack.id, Reason::SUCCESS)));
                }
            }
            Packet::PubComp(ack) => self.done(ack, 2),
            Packet::Disconnect(end) => assert_eq!(end.reason, Reason::SESSION_TAKEN_OVER),
            other => panic!("{other:?} from a broker"),
        }
    }

    fn done(&mut self, ack: Ack, qos: u8) {
        assert!(!ack.reason.is_failure() || qos == 2, "{ack:?}");
        if let Some(outgoing) = self.outgoing.remove(&ack.id) {
            let number = std::str::from_utf8(&outgoing.publish.payload).unwrap().parse().unwrap();
            self.acknowledged.push((number, qos));
            self.order.retain(|id| *id != ack.id);
        }
    }

    /// Sends again what was not acknowledged, in the order in which it was sent.
    fn resume(&mut self) {
        for id in self.order.clone() {
            let outgoing = &self.outgoing[&id];
            let packet = match outgoing.is_received {
                true => Packet::PubRel(Ack::new(id, Reason::SUCCESS)),
                false => Packet::Publish(outgoing.publish.clone()),
            };
            self.write(&packet);
        }
        if self.subscribed_at.is_none() && !self.is_subscribing {
            self.is_subscribing = true;
            let options = Options { qos: Qos::from_bits(self.qos).unwrap(), ..Options::default() };
            let filters = vec![("t/+".to_owned(), options)];
            self.write(&Packet::Subscribe(Subscribe {
                id: SUBSCRIBE_ID,
                properties: Properties::default(),
                filters,
            }));
        }
    }
}
