//! Properties of MQTT 5.0: what they are called, which packets have them, what they may say.

use bytes::{BufMut, Bytes, BytesMut};

use super::PROPERTIES_MAX;
use super::error::DecodeError;
use super::fields::{Fields, put_binary, put_varint, varint_bytes};
use crate::topic;

/// What has properties. Numbers are bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub(super) enum Holder {
    Connect = 1,
    Will = 1 << 1,
    ConnAck = 1 << 2,
    Publish = 1 << 3,
    Ack = 1 << 4,
    Subscribe = 1 << 5,
    SubAck = 1 << 6,
    Unsubscribe = 1 << 7,
    Disconnect = 1 << 8,
    Auth = 1 << 9,
}

/// A property's name, by its number.
#[allow(missing_docs, reason = "the names are the specification's")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Name {
    PayloadFormat = 0x01,
    MessageExpiry = 0x02,
    ContentType = 0x03,
    ResponseTopic = 0x08,
    CorrelationData = 0x09,
    SubscriptionId = 0x0b,
    SessionExpiry = 0x11,
    AssignedClientId = 0x12,
    ServerKeepAlive = 0x13,
    AuthenticationMethod = 0x15,
    AuthenticationData = 0x16,
    RequestProblemInformation = 0x17,
    WillDelay = 0x18,
    RequestResponseInformation = 0x19,
    ResponseInformation = 0x1a,
    ServerReference = 0x1c,
    ReasonString = 0x1f,
    ReceiveMaximum = 0x21,
    TopicAliasMaximum = 0x22,
    TopicAlias = 0x23,
    MaximumQos = 0x24,
    RetainAvailable = 0x25,
    User = 0x26,
    MaximumPacketSize = 0x27,
    WildcardAvailable = 0x28,
    SubscriptionIdAvailable = 0x29,
    SharedAvailable = 0x2a,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Flag,
    Two,
    Four,
    Varint,
    Text,
    Binary,
    Pair,
}

impl Name {
    const ALL: [Name; 27] = [
        Name::PayloadFormat,
        Name::MessageExpiry,
        Name::ContentType,
        Name::ResponseTopic,
        Name::CorrelationData,
        Name::SubscriptionId,
        Name::SessionExpiry,
        Name::AssignedClientId,
        Name::ServerKeepAlive,
        Name::AuthenticationMethod,
        Name::AuthenticationData,
        Name::RequestProblemInformation,
        Name::WillDelay,
        Name::RequestResponseInformation,
        Name::ResponseInformation,
        Name::ServerReference,
        Name::ReasonString,
        Name::ReceiveMaximum,
        Name::TopicAliasMaximum,
        Name::TopicAlias,
        Name::MaximumQos,
        Name::RetainAvailable,
        Name::User,
        Name::MaximumPacketSize,
        Name::WildcardAvailable,
        Name::SubscriptionIdAvailable,
        Name::SharedAvailable,
    ];

    fn of(number: u32) -> Option<Name> {
        Name::ALL.into_iter().find(|name| *name as u32 == number)
    }

    /// What it says, and who may say it: MQTT 5.0, table 2-4.
    fn rule(self) -> (Kind, u16) {
        use Holder as H;
        let message = H::Publish as u16 | H::Will as u16;
        let session = H::Connect as u16 | H::ConnAck as u16;
        match self {
            Name::PayloadFormat => (Kind::Flag, message),
            Name::MessageExpiry => (Kind::Four, message),
            Name::ContentType | Name::ResponseTopic => (Kind::Text, message),
            Name::CorrelationData => (Kind::Binary, message),
            Name::SubscriptionId => (Kind::Varint, H::Publish as u16 | H::Subscribe as u16),
            Name::SessionExpiry => (Kind::Four, session | H::Disconnect as u16),
            Name::AssignedClientId | Name::ResponseInformation => (Kind::Text, H::ConnAck as u16),
            Name::ServerKeepAlive => (Kind::Two, H::ConnAck as u16),
            Name::AuthenticationMethod => (Kind::Text, session | H::Auth as u16),
            Name::AuthenticationData => (Kind::Binary, session | H::Auth as u16),
            Name::RequestProblemInformation | Name::RequestResponseInformation => {
                (Kind::Flag, H::Connect as u16)
            }
            Name::WillDelay => (Kind::Four, H::Will as u16),
            Name::ServerReference => (Kind::Text, H::ConnAck as u16 | H::Disconnect as u16),
            Name::ReasonString => {
                let answers = H::ConnAck as u16 | H::Ack as u16 | H::SubAck as u16;
                (Kind::Text, answers | H::Disconnect as u16 | H::Auth as u16)
            }
            Name::ReceiveMaximum | Name::TopicAliasMaximum => (Kind::Two, session),
            Name::TopicAlias => (Kind::Two, H::Publish as u16),
            Name::User => (Kind::Pair, u16::MAX),
            Name::MaximumPacketSize => (Kind::Four, session),
            Name::MaximumQos
            | Name::RetainAvailable
            | Name::WildcardAvailable
            | Name::SubscriptionIdAvailable
            | Name::SharedAvailable => (Kind::Flag, H::ConnAck as u16),
        }
    }

    fn may_repeat(self, holder: Holder) -> bool {
        self == Name::User || (self == Name::SubscriptionId && holder == Holder::Publish)
    }
}

/// What a property says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// 0 or 1.
    Flag(bool),
    /// Two bytes.
    Two(u16),
    /// Four bytes.
    Four(u32),
    /// At most 268,435,455.
    Varint(u32),
    /// UTF-8.
    Text(String),
    /// Anything.
    Binary(Bytes),
    /// A name and a text of the application's.
    Pair(String, String),
}

/// One property.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Property {
    /// Its name.
    pub name: Name,
    /// What it says: of the type that its name asks for.
    pub value: Value,
}

/// The properties of a packet, in its order. Empty ones take no memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Properties(Vec<Property>);

impl Properties {
    /// In their order.
    pub fn iter(&self) -> impl Iterator<Item = &Property> {
        self.0.iter()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a number of two bytes.
    pub fn two(&mut self, name: Name, value: u16) {
        self.put(name, Value::Two(value));
    }

    /// Adds a number of four bytes.
    pub fn four(&mut self, name: Name, value: u32) {
        self.put(name, Value::Four(value));
    }

    /// Adds yes or no.
    pub fn flag(&mut self, name: Name, value: bool) {
        self.put(name, Value::Flag(value));
    }

    /// Adds a text.
    pub fn text(&mut self, name: Name, value: impl Into<String>) {
        self.put(name, Value::Text(value.into()));
    }

    /// Adds binary data.
    pub fn binary(&mut self, name: Name, value: Bytes) {
        self.put(name, Value::Binary(value));
    }

    /// Adds a number of a subscription.
    pub fn subscription_id(&mut self, id: u32) {
        self.put(Name::SubscriptionId, Value::Varint(id));
    }

    /// Adds a name and a text of the application's.
    pub fn user(&mut self, name: impl Into<String>, text: impl Into<String>) {
        self.put(Name::User, Value::Pair(name.into(), text.into()));
    }

    /// Adds one as it is.
    pub fn add(&mut self, property: Property) {
        self.0.push(property);
    }

    fn put(&mut self, name: Name, value: Value) {
        debug_assert!(name.rule().0 == kind_of(&value), "{name:?} is no {value:?}");
        self.0.push(Property { name, value });
    }

    /// The number that it says.
    pub fn number(&self, name: Name) -> Option<u32> {
        match self.get(name)? {
            Value::Flag(is) => Some(u32::from(*is)),
            Value::Two(number) => Some(u32::from(*number)),
            Value::Four(number) | Value::Varint(number) => Some(*number),
            Value::Text(_) | Value::Binary(_) | Value::Pair(..) => None,
        }
    }

    /// The text that it says.
    pub fn get_text(&self, name: Name) -> Option<&str> {
        match self.get(name)? {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The binary data that it says.
    pub fn get_binary(&self, name: Name) -> Option<&Bytes> {
        match self.get(name)? {
            Value::Binary(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// Names and texts of the application's.
    pub fn users(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().filter_map(|property| match &property.value {
            Value::Pair(name, text) => Some((name.as_str(), text.as_str())),
            _ => None,
        })
    }

    fn get(&self, name: Name) -> Option<&Value> {
        self.0.iter().find(|property| property.name == name).map(|property| &property.value)
    }

    // ---- bytes --------------------------------------------------------------------------------------------

    /// Reads a length, and so many bytes of properties.
    pub(super) fn read(fields: &mut Fields, holder: Holder) -> Result<Properties, DecodeError> {
        let length = fields.varint()? as usize;
        let mut fields = Fields::new(fields.take(length)?);
        let mut properties = Properties::default();
        let mut seen = 0u64;
        while !fields.is_empty() {
            let number = fields.varint()?;
            let name = Name::of(number).ok_or(DecodeError::Malformed("a property has an unknown number"))?;
            let (kind, holders) = name.rule();
            if holders & holder as u16 == 0 {
                return Err(DecodeError::Protocol("a property does not belong to its packet"));
            }
            if seen >> number & 1 == 1 && !name.may_repeat(holder) {
                return Err(DecodeError::Protocol("a property stands twice"));
            }
            seen |= 1 << number;
            if properties.0.len() == PROPERTIES_MAX {
                return Err(DecodeError::TooMany("a packet has more properties than are taken"));
            }
            let value = read_value(&mut fields, kind)?;
            check(name, &value)?;
            properties.0.push(Property { name, value });
        }
        Ok(properties)
    }

    fn bytes(&self) -> usize {
        let text = |text: &str| 2 + text.len().min(usize::from(u16::MAX));
        let value = |property: &Property| match &property.value {
            Value::Flag(_) => 1,
            Value::Two(_) => 2,
            Value::Four(_) => 4,
            Value::Varint(number) => varint_bytes(*number as usize),
            Value::Text(value) => text(value),
            Value::Binary(bytes) => 2 + bytes.len().min(usize::from(u16::MAX)),
            Value::Pair(name, value) => text(name) + text(value),
        };
        self.0.iter().map(|property| 1 + value(property)).sum()
    }

    /// About how many bytes of memory they take: short ones are larger there than as they are sent.
    pub fn weight(&self) -> usize {
        self.0.len() * size_of::<Property>() + self.bytes()
    }

    /// The bytes that [`Properties::write`] writes.
    pub(super) fn written_bytes(&self) -> usize {
        let bytes = self.bytes();
        varint_bytes(bytes) + bytes
    }

    /// Writes their length, and them.
    pub(super) fn write(&self, to: &mut BytesMut) {
        put_varint(to, self.bytes());
        for Property { name, value } in &self.0 {
            to.put_u8(*name as u8);
            match value {
                Value::Flag(is) => to.put_u8(u8::from(*is)),
                Value::Two(number) => to.put_u16(*number),
                Value::Four(number) => to.put_u32(*number),
                Value::Varint(number) => put_varint(to, *number as usize),
                Value::Text(text) => put_binary(to, text.as_bytes()),
                Value::Binary(bytes) => put_binary(to, bytes),
                Value::Pair(name, text) => {
                    put_binary(to, name.as_bytes());
                    put_binary(to, text.as_bytes());
                }
            }
        }
    }
}

fn kind_of(value: &Value) -> Kind {
    match value {
        Value::Flag(_) => Kind::Flag,
        Value::Two(_) => Kind::Two,
        Value::Four(_) => Kind::Four,
        Value::Varint(_) => Kind::Varint,
        Value::Text(_) => Kind::Text,
        Value::Binary(_) => Kind::Binary,
        Value::Pair(..) => Kind::Pair,
    }
}

fn read_value(fields: &mut Fields, kind: Kind) -> Result<Value, DecodeError> {
    Ok(match kind {
        Kind::Flag => match fields.byte()? {
            0 => Value::Flag(false),
            1 => Value::Flag(true),
            _ => return Err(DecodeError::Protocol("a property that is 0 or 1 is something else")),
        },
        Kind::Two => Value::Two(fields.two()?),
        Kind::Four => Value::Four(fields.four()?),
        Kind::Varint => Value::Varint(fields.varint()?),
        Kind::Text => Value::Text(fields.text()?),
        Kind::Binary => Value::Binary(fields.binary()?),
        Kind::Pair => Value::Pair(fields.text()?, fields.text()?),
    })
}

fn check(name: Name, value: &Value) -> Result<(), DecodeError> {
    match (name, value) {
        (Name::TopicAlias, Value::Two(0)) => Err(DecodeError::TopicAlias),
        (Name::ReceiveMaximum, Value::Two(0))
        | (Name::MaximumPacketSize, Value::Four(0))
        | (Name::SubscriptionId, Value::Varint(0)) => Err(DecodeError::Protocol("a property is 0")),
        (Name::ResponseTopic, Value::Text(text)) if !topic::is_name(text) => {
            Err(DecodeError::Protocol("a response topic that nothing can be published to"))
        }
        _ => Ok(()),
    }
}
