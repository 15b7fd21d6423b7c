//! The MQTT front beside Kafka's: messages in both directions, sessions that outlive connections and crashes,
//! kept messages, wills, users.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use strandline::config::{BrokerConfig, Settings};
use strandline::security::acl::{Operation, Permission, ResourceType};
use strandline::serve::Server;
use strandline_mqtt::codec::{
    Ack, ConnAck, Connect, Disconnect, Name, Options, Packet, Properties, Publish, Qos, Reason, Subscribe,
    Version, Will, decode, encode,
};
use strandline_protocol::messages::{AclCreation, MetadataRequest};

use crate::broker::{Broker, data_dir};
use crate::client::Client;
use crate::effects::until;
use crate::permissions::{STANDARD, created, rule};
use crate::sasl::plain;

const PATIENCE: Duration = Duration::from_secs(20);

/// An MQTT client of few lines.
struct Mqtt {
    stream: TcpStream,
    version: Version,
    heard: BytesMut,
}

impl Mqtt {
    fn new(address: SocketAddr, version: Version) -> Mqtt {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Mqtt { stream, version, heard: BytesMut::new() }
    }

    /// One that was let in; with what CONNACK says.
    fn connect(address: SocketAddr, connect: Connect) -> (Mqtt, ConnAck) {
        let mut client = Mqtt::new(address, connect.version);
        client.say(&Packet::Connect(Box::new(connect)));
        match client.hear() {
            Packet::ConnAck(ack) => (client, ack),
            other => panic!("{other:?}"),
        }
    }

    fn say(&mut self, packet: &Packet) {
        let mut bytes = BytesMut::new();
        assert!(encode(packet, self.version, usize::MAX, &mut bytes));
        self.stream.write_all(&bytes).unwrap();
    }

    /// The next packet; `None` when the broker has closed the connection.
    fn next(&mut self) -> Option<Packet> {
        loop {
            if let Some(packet) = decode(&mut self.heard, Some(self.version), usize::MAX).unwrap() {
                return Some(packet);
            }
            let mut bytes = [0; 4096];
            match self.stream.read(&mut bytes) {
                Ok(0) => return None,
                Ok(count) => self.heard.extend_from_slice(&bytes[..count]),
                // Other tests of this process have signals.
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => panic!("nothing comes: {error}"),
            }
        }
    }

    fn hear(&mut self) -> Packet {
        self.next().expect("the connection is there")
    }

    fn publish(&mut self, topic: &str, qos: Qos, id: u16, payload: &str, retain: bool) {
        let (topic, payload) = (topic.to_owned(), Bytes::from(payload.to_owned()));
        let properties = Properties::default();
        self.say(&Packet::Publish(Publish { dup: false, qos, retain, topic, id, properties, payload }));
    }

    /// Publishes with QoS 1, and waits for PUBACK.
    fn publish_surely(&mut self, topic: &str, payload: &str, retain: bool) {
        self.publish(topic, Qos::AtLeastOnce, 1, payload, retain);
        assert_eq!(self.hear(), Packet::PubAck(Ack::new(1, Reason::SUCCESS)));
    }

    fn subscribe(&mut self, filter: &str, qos: Qos) {
        let options = Options { qos, ..Options::default() };
        let filters = vec![(filter.to_owned(), options)];
        self.say(&Packet::Subscribe(Subscribe { id: 9, properties: Properties::default(), filters }));
        match self.hear() {
            Packet::SubAck(ack) => assert_eq!(ack.reasons, [Reason(qos as u8)], "{filter}"),
            other => panic!("{other:?}"),
        }
    }

    /// The next message; acknowledged, QoS 2 to its end.
    fn message(&mut self) -> Publish {
        let publish = match self.hear() {
            Packet::Publish(publish) => publish,
            other => panic!("{other:?}"),
        };
        let ack = Ack::new(publish.id, Reason::SUCCESS);
        match publish.qos {
            Qos::AtMostOnce => {}
            Qos::AtLeastOnce => self.say(&Packet::PubAck(ack)),
            Qos::ExactlyOnce => {
                self.say(&Packet::PubRec(ack.clone()));
                assert_eq!(self.hear(), Packet::PubRel(ack.clone()));
                self.say(&Packet::PubComp(ack));
            }
        }
        publish
    }

    fn texts(&mut self, count: usize) -> Vec<String> {
        (0..count).map(|_| String::from_utf8(self.message().payload.to_vec()).unwrap()).collect()
    }

    fn goodbye(mut self) {
        let end = Disconnect { reason: Reason::SUCCESS, properties: Properties::default() };
        self.say(&Packet::Disconnect(end));
        assert_eq!(self.next(), None);
    }
}

fn named(client_id: &str, version: Version) -> Connect {
    Connect {
        version,
        client_id: client_id.to_owned(),
        clean_start: true,
        keep_alive: 60,
        will: None,
        user_name: None,
        password: None,
        properties: Properties::default(),
    }
}

fn kept(client_id: &str) -> Connect {
    let mut connect = Connect { clean_start: false, ..named(client_id, Version::V5) };
    connect.properties.four(Name::SessionExpiry, u32::MAX);
    connect
}

fn start(data: &Path, more: &[(&str, &str)]) -> (Server, SocketAddr) {
    let data = data.to_str().unwrap();
    let mut settings = Settings::default();
    let basic = [
        ("log.dirs", data),
        ("listeners", "PLAINTEXT://127.0.0.1:0"),
        ("mqtt.listen", "127.0.0.1:0"),
        ("mqtt.rules", "truck/{id}/position -> truck_position key={id}"),
        ("num.partitions", "4"),
    ];
    for (name, value) in basic.iter().chain(more) {
        settings.set(name, value).unwrap();
    }
    let server = Server::start(BrokerConfig::resolve(settings).unwrap(), Some(2)).unwrap();
    let address = server.mqtt_address().expect("it listens");
    (server, address)
}

fn kafka(server: &Server) -> Client {
    Client::connect(server.listeners()[0].address)
}

#[test]
fn what_devices_publish_is_read_by_kafka_consumers_and_what_producers_write_by_devices() {
    let data = data_dir();
    let (server, address) = start(data.path(), &[]);
    for version in [Version::V3, Version::V5] {
        let (mut device, ack) = Mqtt::connect(address, named("device", version));
        assert_eq!((ack.reason, ack.session_present), (Reason::SUCCESS, false));
        let (mut watcher, _) = Mqtt::connect(address, named("watcher", version));
        watcher.subscribe("truck/+/position", Qos::AtLeastOnce);
        device.publish("truck/7/position", Qos::AtMostOnce, 0, "first", false);
        device.publish_surely("truck/7/position", "second", false);
        assert_eq!(watcher.texts(2), ["first", "second"]);
        device.publish("truck/8/position", Qos::ExactlyOnce, 5, "third", false);
        assert_eq!(device.hear(), Packet::PubRec(Ack::new(5, Reason::SUCCESS)));
        device.say(&Packet::PubRel(Ack::new(5, Reason::SUCCESS)));
        assert_eq!(device.hear(), Packet::PubComp(Ack::new(5, Reason::SUCCESS)));
        let third = watcher.message();
        assert_eq!((third.topic.as_str(), &third.payload[..]), ("truck/8/position", &b"third"[..]));
        device.goodbye();
        watcher.goodbye();
    }
    let found: usize = (0..4).map(|index| kafka(&server).read_all("truck_position", index, 0).len()).sum();
    assert_eq!(found, 6, "Kafka's clients read what was published");
    server.stop().unwrap();
}

#[test]
fn a_session_gets_what_came_while_its_client_and_the_broker_were_away() {
    let data = data_dir();
    let (server, address) = start(data.path(), &[]);
    let (mut sleeper, ack) = Mqtt::connect(address, kept("sleeper"));
    assert!(!ack.session_present);
    sleeper.subscribe("news/#", Qos::ExactlyOnce);
    sleeper.goodbye();
    let (mut device, _) = Mqtt::connect(address, named("device", Version::V5));
    device.publish_surely("news/a", "one", false);
    device.publish_surely("news/a", "two", false);
    drop(device);
    server.stop().unwrap();
    let (server, address) = start(data.path(), &[]);
    let (mut sleeper, ack) = Mqtt::connect(address, kept("sleeper"));
    assert!(ack.session_present);
    assert_eq!(sleeper.texts(2), ["one", "two"]);
    sleeper.goodbye();
    let (mut sleeper, _) = Mqtt::connect(address, kept("sleeper"));
    let (mut device, _) = Mqtt::connect(address, named("device", Version::V5));
    device.publish_surely("news/a", "three", false);
    assert_eq!(sleeper.texts(1), ["three"], "and nothing twice");
    server.stop().unwrap();
}

#[test]
fn a_message_that_was_not_acknowledged_comes_again_on_the_next_connection() {
    let data = data_dir();
    let (server, address) = start(data.path(), &[]);
    let (mut reader, _) = Mqtt::connect(address, kept("reader"));
    reader.subscribe("a", Qos::AtLeastOnce);
    let (mut device, _) = Mqtt::connect(address, named("device", Version::V5));
    device.publish_surely("a", "x", false);
    let Packet::Publish(first) = reader.hear() else { panic!("a message") };
    assert!(!first.dup);
    // The next connection takes over while this one is there.
    let (mut again, ack) = Mqtt::connect(address, kept("reader"));
    assert!(ack.session_present);
    let Packet::Disconnect(end) = reader.hear() else { panic!("the end") };
    assert_eq!((end.reason, reader.next()), (Reason::SESSION_TAKEN_OVER, None));
    let second = again.message();
    assert_eq!((second.dup, second.id, second.payload), (true, first.id, first.payload));
    again.goodbye();
    server.stop().unwrap();
}

#[test]
fn the_newest_kept_message_is_there_for_who_comes_later_and_after_a_start() {
    let data = data_dir();
    let (server, address) = start(data.path(), &[]);
    let (mut device, _) = Mqtt::connect(address, named("device", Version::V5));
    for text in ["old", "new"] {
        device.publish_surely("state/1", text, true);
    }
    device.publish_surely("state/2", "gone", true);
    device.publish_surely("state/2", "", true);
    device.goodbye();
    server.stop().unwrap();
    let (server, address) = start(data.path(), &[]);
    let (mut late, _) = Mqtt::connect(address, named("late", Version::V5));
    late.subscribe("state/#", Qos::AtLeastOnce);
    let found = late.message();
    assert!(found.retain);
    assert_eq!((found.topic.as_str(), &found.payload[..]), ("state/1", &b"new"[..]));
    let (mut device, _) = Mqtt::connect(address, named("device", Version::V5));
    device.publish_surely("state/3", "live", true);
    let live = late.message();
    assert_eq!((live.retain, live.topic.as_str()), (false, "state/3"), "state/2 is kept no more");
    server.stop().unwrap();
}

#[test]
fn the_will_of_a_client_that_is_lost_is_published() {
    let data = data_dir();
    let (server, address) = start(data.path(), &[]);
    let (mut watcher, _) = Mqtt::connect(address, named("watcher", Version::V5));
    watcher.subscribe("gone/+", Qos::AtLeastOnce);
    let will = |topic: &str| Will {
        topic: topic.to_owned(),
        payload: Bytes::from_static(b"bye"),
        qos: Qos::AtLeastOnce,
        retain: false,
        properties: Properties::default(),
    };
    let connect = |id: &str| Connect { will: Some(will(&format!("gone/{id}"))), ..named(id, Version::V5) };
    let (polite, _) = Mqtt::connect(address, connect("polite"));
    polite.goodbye();
    let (lost, _) = Mqtt::connect(address, connect("lost"));
    drop(lost);
    assert_eq!(watcher.message().topic, "gone/lost");
    server.stop().unwrap();
}

#[test]
fn users_of_the_listener_are_let_in_by_their_passwords_and_nobody_else() {
    let data = data_dir();
    let users = "org.apache.kafka.common.security.plain.PlainLoginModule required user_ann=\"secret\";";
    let settings = [
        ("listener.security.protocol.map", "PLAINTEXT:SASL_PLAINTEXT"),
        ("sasl.enabled.mechanisms", "PLAIN"),
        ("listener.name.plaintext.plain.sasl.jaas.config", users),
        ("connection.failed.authentication.delay.ms", "100"),
    ];
    let (server, address) = start(data.path(), &settings);
    let with = |password: Option<&str>| Connect {
        user_name: Some("ann".into()),
        password: password.map(|password| Bytes::from(password.to_owned())),
        ..named("c", Version::V5)
    };
    let (_, ack) = Mqtt::connect(address, with(Some("secret")));
    assert_eq!(ack.reason, Reason::SUCCESS);
    for connect in [with(Some("guess")), with(None), named("c", Version::V5)] {
        let since = Instant::now();
        let (mut client, ack) = Mqtt::connect(address, connect);
        assert_eq!((ack.reason, client.next()), (Reason::BAD_USER_NAME_OR_PASSWORD, None));
        assert!(since.elapsed() >= Duration::from_millis(100), "who is not believed waits");
    }
    server.stop().unwrap();
}

#[test]
fn rights_are_asked_at_every_delivery_and_before_what_is_kept_is_sent() {
    let data = data_dir();
    let users =
        "org.apache.kafka.common.security.plain.PlainLoginModule required user_admin=\"a\" user_bob=\"b\";";
    let settings = [
        ("listener.security.protocol.map", "PLAINTEXT:SASL_PLAINTEXT"),
        ("sasl.enabled.mechanisms", "PLAIN"),
        ("listener.name.plaintext.plain.sasl.jaas.config", users),
        ("authorizer.class.name", STANDARD),
        ("super.users", "User:admin"),
    ];
    let (server, address) = start(data.path(), &settings);
    let user = |id: &str, name: &str| Connect {
        user_name: Some(name.to_owned()),
        password: Some(Bytes::from(name[..1].to_owned())),
        ..named(id, Version::V5)
    };
    let (mut admin, _) = Mqtt::connect(address, user("admin", "admin"));
    admin.publish_surely("truck/1/position", "kept", true);
    let mut kafka = kafka(&server);
    assert_eq!(plain(&mut kafka, "admin", "a").error_code, 0);
    let (mut bob, _) = Mqtt::connect(address, user("bob", "bob"));
    let subscribe = || {
        let filters = vec![("truck/+/position".to_owned(), Options::default())];
        Packet::Subscribe(Subscribe { id: 9, properties: Properties::default(), filters })
    };
    bob.say(&subscribe());
    let Packet::SubAck(ack) = bob.hear() else { panic!("SUBACK") };
    assert_eq!(ack.reasons, [Reason::NOT_AUTHORIZED]);
    bob.publish("truck/1/position", Qos::AtLeastOnce, 3, "no", false);
    assert_eq!(bob.hear(), Packet::PubAck(Ack::new(3, Reason::NOT_AUTHORIZED)));
    let read = rule(ResourceType::Topic, "truck_position", Operation::Read);
    let describe = rule(ResourceType::Topic, "truck_position", Operation::Describe);
    created(&mut kafka, &[read.clone(), describe]);
    bob.subscribe("truck/+/position", Qos::AtLeastOnce);
    assert_eq!(bob.texts(1), ["kept"]);
    admin.publish_surely("truck/1/position", "live", false);
    assert_eq!(bob.texts(1), ["live"]);
    // He may still ask where it ends, and read no more.
    let denial = AclCreation { permission_type: Permission::Deny.code(), ..read };
    created(&mut kafka, &[denial]);
    admin.publish_surely("truck/1/position", "secret", true);
    admin.publish_surely("open", "for all", true);
    bob.say(&subscribe());
    let Packet::SubAck(ack) = bob.hear() else { panic!("SUBACK") };
    assert_eq!(ack.reasons, [Reason::NOT_AUTHORIZED], "neither is what has come since then sent");
    created(&mut kafka, &[rule(ResourceType::Topic, "mqtt", Operation::Read)]);
    bob.subscribe("#", Qos::AtLeastOnce);
    assert_eq!(bob.texts(1), ["for all"]);
    bob.say(&Packet::PingReq);
    assert_eq!(bob.hear(), Packet::PingResp, "the other kept message is not sent");
    server.stop().unwrap();
}

#[test]
fn the_front_is_like_the_listener_and_by_the_rules_that_its_settings_name() {
    let data = data_dir();
    let users = "org.apache.kafka.common.security.plain.PlainLoginModule required user_ann=\"secret\";";
    let settings = [
        ("listeners", "OPEN://127.0.0.1:0,CLOSED://127.0.0.1:0"),
        ("listener.security.protocol.map", "OPEN:PLAINTEXT,CLOSED:SASL_PLAINTEXT"),
        ("sasl.enabled.mechanisms", "PLAIN"),
        ("listener.name.closed.plain.sasl.jaas.config", users),
        ("connection.failed.authentication.delay.ms", "0"),
        ("mqtt.listener.name", "closed"),
        ("mqtt.default.topic", "rest"),
        ("mqtt.rules", "a/{x} -> a_{x} key=k"),
    ];
    let (server, address) = start(data.path(), &settings);
    let (_, ack) = Mqtt::connect(address, named("c", Version::V5));
    assert_eq!(ack.reason, Reason::BAD_USER_NAME_OR_PASSWORD);
    let password = Some(Bytes::from_static(b"secret"));
    let ann = Connect { user_name: Some("ann".into()), password, ..named("c", Version::V5) };
    let (mut device, _) = Mqtt::connect(address, ann);
    device.publish_surely("a/1", "by a rule", false);
    device.publish_surely("b", "by none", false);
    let topics = kafka(&server).call(12, &MetadataRequest { topics: None, ..Default::default() }).topics;
    let mut names: Vec<String> = topics.into_iter().filter_map(|topic| topic.name).collect();
    names.retain(|name| !name.starts_with("__"));
    assert_eq!(names, ["a_1", "rest"]);
    server.stop().unwrap();
    for (setting, value, because) in [
        ("mqtt.rules", "a/+ -> t; a/{x} -> u", "rule 2"),
        ("mqtt.listener.name", "nope", "the name of a listener"),
        ("mqtt.listen", "nowhere", "HOST:PORT"),
    ] {
        let mut settings = Settings::default();
        settings.set(setting, value).unwrap();
        let refused = BrokerConfig::resolve(settings).unwrap_err().to_string();
        assert!(refused.starts_with(setting) && refused.contains(because), "{refused}");
    }
}

#[test]
fn connections_hold_so_much_together_and_those_that_let_nothing_go_are_cut_for_others() {
    const HELD_MAX: u64 = 128 << 20;
    let data = data_dir();
    let broker = Broker::start(data.path(), &["--mqtt-listen", "127.0.0.1:0"]);
    let address = broker.mqtt.unwrap();
    let (mut device, _) = Mqtt::connect(address, named("device", Version::V3));
    device.publish_surely("a/1", "the topic is there", false);
    let before = broker.resident();
    let large = "x".repeat(1_000_000);
    let mut half: Vec<Mqtt> = (0..300)
        .map(|at| {
            let (mut client, _) = Mqtt::connect(address, named(&format!("half-{at}"), Version::V3));
            let mut bytes = BytesMut::new();
            let (topic, payload) = ("a/1".to_owned(), Bytes::from(large.clone()));
            let (properties, qos) = (Properties::default(), Qos::AtLeastOnce);
            let publish = Publish { dup: false, qos, retain: false, topic, id: 1, properties, payload };
            assert!(encode(&Packet::Publish(publish), Version::V3, usize::MAX, &mut bytes));
            bytes.truncate(900_000);
            client.stream.write_all(&bytes).unwrap();
            client
        })
        .collect();
    device.publish_surely("a/1", "small ones go on", false);
    let grown = broker.resident().saturating_sub(before);
    assert!(grown < HELD_MAX + HELD_MAX / 2, "{grown} bytes more");
    let is_cut = |client: &mut Mqtt| {
        client.stream.set_nonblocking(true).unwrap();
        let read = client.stream.read(&mut [0; 16]);
        read.map_or_else(|error| error.kind() == ErrorKind::ConnectionReset, |count| count == 0)
    };
    until("one after the other is cut", || {
        half.iter_mut().filter_map(|client| is_cut(client).then_some(())).count() > 3
    });
    drop(half);
    device.publish_surely("a/1", &large, false);
}

#[test]
fn what_is_acknowledged_is_there_after_the_broker_was_killed() {
    let data = data_dir();
    let more = ["--mqtt-listen", "127.0.0.1:0"];
    let broker = Broker::start(data.path(), &more);
    let (mut reader, _) = Mqtt::connect(broker.mqtt.unwrap(), kept("reader"));
    reader.subscribe("#", Qos::ExactlyOnce);
    let (mut device, _) = Mqtt::connect(broker.mqtt.unwrap(), kept("device"));
    device.publish_surely("a/1", "one", true);
    device.publish("a/2", Qos::ExactlyOnce, 7, "two", false);
    assert_eq!(device.hear(), Packet::PubRec(Ack::new(7, Reason::SUCCESS)));
    drop(broker);
    let broker = Broker::start(data.path(), &more);
    let (mut device, ack) = Mqtt::connect(broker.mqtt.unwrap(), kept("device"));
    assert!(ack.session_present);
    // The client has not heard PUBREC, and sends it again.
    device.publish("a/2", Qos::ExactlyOnce, 7, "two", false);
    assert_eq!(device.hear(), Packet::PubRec(Ack::new(7, Reason::SUCCESS)));
    device.say(&Packet::PubRel(Ack::new(7, Reason::SUCCESS)));
    assert_eq!(device.hear(), Packet::PubComp(Ack::new(7, Reason::SUCCESS)));
    let (mut fresh, _) = Mqtt::connect(broker.mqtt.unwrap(), named("fresh", Version::V5));
    fresh.subscribe("a/#", Qos::AtLeastOnce);
    assert_eq!(fresh.texts(1), ["one"], "it is kept");
    let mut consumer = Client::connect(broker.address);
    let twos = consumer.read_all("mqtt", 0, 0).into_iter().filter(|(_, value)| value == "two");
    assert_eq!(twos.count(), 1, "and QoS 2 is there once");
}
