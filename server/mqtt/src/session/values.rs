//! What records say of messages on their way.

use super::Partition;

/// Messages that wait for their PUBREL. A client that sends by the receive maximum has fewer.
pub const PENDING_MAX: usize = 1024;

/// Who appends, in Kafka's words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Producer {
    /// Its id.
    pub id: i64,
    /// Its epoch.
    pub epoch: i16,
}

/// By what a partition knows an append again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Once {
    /// Who.
    pub producer: Producer,
    /// Which, in its partition.
    pub sequence: i32,
}

/// Where a message stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Appended {
    /// In which partition.
    pub partition: Partition,
    /// At which offset.
    pub offset: i64,
    /// Since when, in milliseconds since 1970.
    pub timestamp: i64,
}

/// A message that the client has not released.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pending {
    /// Where it goes.
    pub partition: Partition,
    /// By what it is known there.
    pub once: Once,
    /// It is in the log, and kept if it asked for that: PUBREC may have been sent.
    pub is_done: bool,
}

/// How far a message is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// QoS 1: sent, or to be sent again.
    Sent,
    /// QoS 2: its number is on its way to the disk.
    Waiting,
    /// QoS 2: its number is durable; it is sent, or to be sent again.
    Numbered,
    /// QoS 2: the client has it, and that is on its way to the disk.
    Received,
    /// QoS 2: that is durable. PUBREL is sent, or to be sent again.
    Released,
}

/// How far a client has been sent a partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CursorValue {
    /// What is before it, and not in flight, is settled; `None` when the partition is not read any more.
    pub next: Option<i64>,
    /// In flight.
    pub flights: Vec<FlightValue>,
}

/// A message in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlightValue {
    /// Its number.
    pub id: u16,
    /// Its record.
    pub offset: i64,
    /// Sent, numbered or released.
    pub stage: Stage,
    /// It is sent as a kept message.
    pub is_kept: bool,
}

/// Messages of QoS 2 that the client has not released.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InboxValue {
    /// With their numbers.
    pub pending: Vec<(u16, Pending)>,
}
