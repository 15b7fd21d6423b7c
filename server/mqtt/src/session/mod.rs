//! What is known of a client beyond its connection: what it subscribes to, how far it has read, what is in
//! flight in both directions, its will, and how long all this is kept.
//!
//! ```text
//!  Session   subscriptions, expiry, will        one record a client
//!  Outbox    cursors and flights to the client  one record for each partition that it reads from
//!  Inbox     messages of QoS 2 from the client  one record a client
//! ```
//! A backlog is a cursor in each partition, never a copy: messages are read from the log when they are sent.
//! What must be durable before which packet leaves is said in [`Outbox`] and [`Inbox`]; the bytes are in
//! [`records`].

mod inbox;
mod outbox;
pub mod records;
#[cfg(test)]
mod tests;
mod values;

use std::collections::BTreeMap;

pub use inbox::{Arrived, Inbox};
pub use outbox::{Flight, Outbox, UnknownId};
pub use records::Record;
pub use values::{
    Appended, CursorValue, FlightValue, InboxValue, Once, PENDING_MAX, Pending, Producer, Stage,
};

use crate::codec::{Name, Options, Properties, Will};
use crate::message::Message;

/// A session that never expires by itself: MQTT 5.0, 3.1.2.11.2.
pub const NEVER: u32 = u32::MAX;

/// Filters of one session: what a client costs in memory, and each of its messages in time. Devices have a
/// few, dashboards some dozens.
pub const SUBSCRIPTIONS_MAX: usize = 1000;

/// Their bytes: a record has them all, and so has the memory of a client that sleeps.
pub const SUBSCRIPTION_BYTES_MAX: usize = 64 << 10;

/// Partitions that one session reads from: its cursors. A filter for everything has one for each partition of
/// each topic.
pub const CURSORS_MAX: usize = 10_000;

/// A partition of a Kafka topic, by the topic's id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Partition {
    /// The topic.
    pub topic: [u8; 16],
    /// Its number.
    pub index: u32,
}

/// One filter of a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Subscription {
    /// How its messages are wanted.
    pub options: Options,
    /// The number that they carry; 0 when the client gave none.
    pub id: u32,
    /// When it was made, in milliseconds since 1970. A client that catches up is not sent what was published
    /// before, as far as records say when they were.
    pub since: i64,
}

/// What is durable of a client, its cursors and flights aside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Session {
    /// Whose it is: nobody else takes it over.
    pub user: Option<String>,
    /// Seconds that it is kept after its connection has ended; 0 ends it with that, [`NEVER`] keeps it.
    pub expiry: u32,
    /// When its connection ended, in milliseconds since 1970; `None` while there is one.
    pub ended_at: Option<i64>,
    /// What is still to be published for the client when it is lost.
    pub will: Option<Will>,
    /// By filter, as the client wrote it.
    pub subscriptions: BTreeMap<String, Subscription>,
}

impl Session {
    /// Whether it outlives its connection.
    pub fn is_kept(&self) -> bool {
        self.expiry > 0
    }

    /// When it ends, in milliseconds since 1970; `i64::MAX` while there is a connection, and when it never
    /// does.
    pub fn ends_at(&self) -> i64 {
        match self.ended_at {
            Some(at) if self.expiry != NEVER => at.saturating_add(i64::from(self.expiry) * 1000),
            _ => i64::MAX,
        }
    }

    /// When its will is to be published: after its delay, or when the session ends, whichever comes first.
    pub fn will_at(&self) -> i64 {
        let (Some(will), Some(at)) = (&self.will, self.ended_at) else { return i64::MAX };
        let delay = will.properties.number(Name::WillDelay).unwrap_or(0);
        at.saturating_add(i64::from(delay) * 1000).min(self.ends_at())
    }
}

/// The message that a will is.
pub fn message_of(will: &Will, client_id: &str) -> Message {
    let mut properties = Properties::default();
    copy_properties(&will.properties, &mut properties);
    Message {
        topic: will.topic.clone(),
        payload: will.payload.clone(),
        qos: will.qos,
        retain: will.retain,
        client_id: Some(client_id.to_owned()),
        properties,
    }
}

/// Copies what travels with a message.
pub(crate) fn copy_properties(from: &Properties, to: &mut Properties) {
    for name in [Name::ContentType, Name::ResponseTopic] {
        if let Some(text) = from.get_text(name) {
            to.text(name, text);
        }
    }
    if let Some(seconds) = from.number(Name::MessageExpiry) {
        to.four(Name::MessageExpiry, seconds);
    }
    // 0 says as much as nothing.
    if from.number(Name::PayloadFormat) == Some(1) {
        to.flag(Name::PayloadFormat, true);
    }
    if let Some(data) = from.get_binary(Name::CorrelationData) {
        to.binary(Name::CorrelationData, data.clone());
    }
    from.users().for_each(|(name, text)| to.user(name, text));
}

/// All that is durable of one client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// The session.
    pub session: Session,
    /// By partition.
    pub cursors: BTreeMap<Partition, CursorValue>,
    /// What came in.
    pub inbox: InboxValue,
}
