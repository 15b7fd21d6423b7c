//! Packets of MQTT 3.1.1 and 5.0 as values, and as bytes. The one module that knows what a packet looks like.
//!
//! ```text
//!  byte 0        kind << 4 | flags
//!  byte 1..5     remaining length: 7 bits a byte, the lowest first, at most four bytes
//!  then          what the kind says: [packet id] [properties, in 5.0] fields, payload
//! ```
//!
//! * A length that a peer announces is compared with the largest packet that is taken, and nothing is
//!   allocated for it: memory grows with what has arrived.
//! * Payloads are slices of the buffer that was received, never copies.
//! * What the specification calls malformed, or a protocol error, is an error with the reason code that the
//!   peer is to be told. Nothing panics, whatever the bytes.
//!
//! Both directions of every packet are here, so that what is written can be read again in a test.

mod decode;
mod encode;
mod error;
pub(crate) mod fields;
mod properties;
#[cfg(test)]
mod tests;

use bytes::Bytes;

pub use decode::decode;
pub(crate) use decode::read_alone;
pub use encode::encode;
pub(crate) use encode::write_alone;
pub use error::DecodeError;
pub use properties::{Name, Properties, Property, Value};

/// Filters of one SUBSCRIBE or UNSUBSCRIBE. A filter takes four bytes on the wire at least, and some forty in
/// memory; clients send a few at a time.
pub const FILTERS_MAX: usize = 1024;

/// Properties of one packet. The smallest takes two bytes on the wire, and some sixty in memory.
pub const PROPERTIES_MAX: usize = 256;

/// The largest packet that can be written: four bytes of seven bits, and the header.
pub const PACKET_BYTES_MAX: usize = 268_435_455 + 5;

/// The version of the protocol that a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// 3.1.1, level 4.
    V3,
    /// 5.0, level 5.
    V5,
}

/// How surely a message is delivered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Qos {
    /// At most once.
    #[default]
    AtMostOnce = 0,
    /// At least once.
    AtLeastOnce = 1,
    /// Exactly once.
    ExactlyOnce = 2,
}

impl Qos {
    /// Reads two bits.
    pub fn from_bits(bits: u8) -> Option<Qos> {
        match bits {
            0 => Some(Qos::AtMostOnce),
            1 => Some(Qos::AtLeastOnce),
            2 => Some(Qos::ExactlyOnce),
            _ => None,
        }
    }
}

/// Why, as a number: MQTT 5.0, section 2.4. From 0x80 on it is a failure.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reason(pub u8);

impl std::fmt::Debug for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Reason({:#04x})", self.0)
    }
}

#[allow(missing_docs, reason = "the names are the specification's")]
impl Reason {
    pub const SUCCESS: Reason = Reason(0x00);
    pub const DISCONNECT_WITH_WILL: Reason = Reason(0x04);
    pub const NO_MATCHING_SUBSCRIBERS: Reason = Reason(0x10);
    pub const NO_SUBSCRIPTION_EXISTED: Reason = Reason(0x11);
    pub const UNSPECIFIED: Reason = Reason(0x80);
    pub const MALFORMED: Reason = Reason(0x81);
    pub const PROTOCOL_ERROR: Reason = Reason(0x82);
    pub const IMPLEMENTATION: Reason = Reason(0x83);
    pub const UNSUPPORTED_VERSION: Reason = Reason(0x84);
    pub const CLIENT_ID_NOT_VALID: Reason = Reason(0x85);
    pub const BAD_USER_NAME_OR_PASSWORD: Reason = Reason(0x86);
    pub const NOT_AUTHORIZED: Reason = Reason(0x87);
    pub const SERVER_UNAVAILABLE: Reason = Reason(0x88);
    pub const SERVER_BUSY: Reason = Reason(0x89);
    pub const SERVER_SHUTTING_DOWN: Reason = Reason(0x8b);
    pub const BAD_AUTHENTICATION_METHOD: Reason = Reason(0x8c);
    pub const KEEP_ALIVE_TIMEOUT: Reason = Reason(0x8d);
    pub const SESSION_TAKEN_OVER: Reason = Reason(0x8e);
    pub const TOPIC_FILTER_INVALID: Reason = Reason(0x8f);
    pub const TOPIC_NAME_INVALID: Reason = Reason(0x90);
    pub const PACKET_ID_IN_USE: Reason = Reason(0x91);
    pub const PACKET_ID_NOT_FOUND: Reason = Reason(0x92);
    pub const RECEIVE_MAXIMUM_EXCEEDED: Reason = Reason(0x93);
    pub const TOPIC_ALIAS_INVALID: Reason = Reason(0x94);
    pub const PACKET_TOO_LARGE: Reason = Reason(0x95);
    pub const QUOTA_EXCEEDED: Reason = Reason(0x97);

    /// Whether it is a failure.
    pub fn is_failure(self) -> bool {
        self.0 >= 0x80
    }

    /// What a CONNACK of 3.1.1 says instead; `None` where the specification has the connection closed without
    /// a word.
    pub fn return_code(self) -> Option<u8> {
        match self {
            Reason::SUCCESS => Some(0),
            Reason::UNSUPPORTED_VERSION => Some(1),
            Reason::CLIENT_ID_NOT_VALID => Some(2),
            Reason::UNSPECIFIED
            | Reason::IMPLEMENTATION
            | Reason::SERVER_UNAVAILABLE
            | Reason::SERVER_BUSY
            | Reason::QUOTA_EXCEEDED
            | Reason::SERVER_SHUTTING_DOWN => Some(3),
            Reason::BAD_USER_NAME_OR_PASSWORD | Reason::BAD_AUTHENTICATION_METHOD => Some(4),
            Reason::NOT_AUTHORIZED => Some(5),
            _ => None,
        }
    }
}

/// One packet. No variant is much larger than a PUBLISH.
#[allow(missing_docs, reason = "the names are the specification's")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packet {
    Connect(Box<Connect>),
    ConnAck(ConnAck),
    Publish(Publish),
    PubAck(Ack),
    PubRec(Ack),
    PubRel(Ack),
    PubComp(Ack),
    Subscribe(Subscribe),
    SubAck(SubAck),
    Unsubscribe(Unsubscribe),
    UnsubAck(SubAck),
    PingReq,
    PingResp,
    Disconnect(Disconnect),
    Auth(Disconnect),
}

/// A client introduces itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connect {
    /// What it speaks.
    pub version: Version,
    /// Its name; empty asks for one.
    pub client_id: String,
    /// Nothing of an older session is wanted. In 3.1.1 the session ends with the connection, too.
    pub clean_start: bool,
    /// Seconds within which something is heard of the client; 0 is never.
    pub keep_alive: u16,
    /// What is published for it when it is lost.
    pub will: Option<Will>,
    /// Its user.
    pub user_name: Option<String>,
    /// Its password.
    pub password: Option<Bytes>,
    /// Of 5.0.
    pub properties: Properties,
}

/// What is published when a client is lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Will {
    /// Where to.
    pub topic: String,
    /// What.
    pub payload: Bytes,
    /// How surely.
    pub qos: Qos,
    /// Whether it is kept for later subscribers.
    pub retain: bool,
    /// Of 5.0: the delay among them.
    pub properties: Properties,
}

/// The answer to CONNECT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnAck {
    /// The client finds its session as it left it.
    pub session_present: bool,
    /// In 3.1.1 a return code goes out in its place ([`Reason::return_code`]).
    pub reason: Reason,
    /// Of 5.0.
    pub properties: Properties,
}

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publish {
    /// It may have been sent before.
    pub dup: bool,
    /// How surely.
    pub qos: Qos,
    /// It is to be kept; to a subscriber: it was kept.
    pub retain: bool,
    /// Empty where an alias stands for it.
    pub topic: String,
    /// Its number while it is in flight; 0 with QoS 0.
    pub id: u16,
    /// Of 5.0.
    pub properties: Properties,
    /// What.
    pub payload: Bytes,
}

/// PUBACK, PUBREC, PUBREL or PUBCOMP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ack {
    /// Which message.
    pub id: u16,
    /// What became of it.
    pub reason: Reason,
    /// Of 5.0.
    pub properties: Properties,
}

impl Ack {
    /// Without properties.
    pub fn new(id: u16, reason: Reason) -> Ack {
        Ack { id, reason, properties: Properties::default() }
    }
}

/// How the messages of one filter are wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// At most so surely.
    pub qos: Qos,
    /// None that this client has published.
    pub no_local: bool,
    /// With the retain flag that they were published with.
    pub retain_as_published: bool,
    /// Kept messages: 0 at each SUBSCRIBE, 1 when the subscription is new, 2 never.
    pub retain_handling: u8,
}

impl Options {
    /// As SUBSCRIBE of 5.0 has them.
    pub(crate) fn bits(self) -> u8 {
        self.qos as u8
            | u8::from(self.no_local) << 2
            | u8::from(self.retain_as_published) << 3
            | self.retain_handling << 4
    }

    pub(crate) fn from_bits(bits: u8) -> Result<Options, DecodeError> {
        let qos = Qos::from_bits(bits & 3).ok_or(DecodeError::Malformed("a QoS of 3"))?;
        let retain_handling = bits >> 4 & 3;
        if bits & 0xc0 != 0 {
            return Err(DecodeError::Malformed("reserved bits of a subscription are set"));
        }
        if retain_handling == 3 {
            return Err(DecodeError::Protocol("a retain handling of 3"));
        }
        Ok(Options { qos, no_local: bits & 4 != 0, retain_as_published: bits & 8 != 0, retain_handling })
    }
}

/// Filters, and how their messages are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscribe {
    /// The number that the answer has.
    pub id: u16,
    /// Of 5.0: the subscription identifier among them.
    pub properties: Properties,
    /// One at least.
    pub filters: Vec<(String, Options)>,
}

/// The answer to SUBSCRIBE or UNSUBSCRIBE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubAck {
    /// The number of what it answers.
    pub id: u16,
    /// Of 5.0.
    pub properties: Properties,
    /// One for each filter. An UNSUBACK of 3.1.1 has none on the wire.
    pub reasons: Vec<Reason>,
}

/// Filters that are not wanted any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsubscribe {
    /// The number that the answer has.
    pub id: u16,
    /// Of 5.0.
    pub properties: Properties,
    /// One at least.
    pub filters: Vec<String>,
}

/// The end, or a step of authentication: a reason, and more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disconnect {
    /// Why.
    pub reason: Reason,
    /// Of 5.0.
    pub properties: Properties,
}
