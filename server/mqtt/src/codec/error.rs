//! Why bytes are no packet, and what their sender is told.

use super::Reason;

/// Why bytes are no packet that is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// They have not the form of a packet.
    #[error("malformed packet: {0}")]
    Malformed(&'static str),
    /// They have, but must not be sent.
    #[error("protocol error: {0}")]
    Protocol(&'static str),
    /// It is larger than the limit.
    #[error("a packet of {bytes} bytes, where {bytes_max} are taken")]
    TooLarge {
        /// Announced.
        bytes: usize,
        /// Taken.
        bytes_max: usize,
    },
    /// It consists of more parts than the limit.
    #[error("{0}")]
    TooMany(&'static str),
    /// A version that is not spoken.
    #[error("protocol level {0} is not spoken")]
    Level(u8),
    /// A topic that nothing can be published to.
    #[error("not a topic name")]
    TopicName,
    /// An alias of 0.
    #[error("a topic alias is 0")]
    TopicAlias,
}

impl DecodeError {
    /// What the peer is told.
    pub fn reason(self) -> Reason {
        match self {
            DecodeError::Malformed(_) => Reason::MALFORMED,
            DecodeError::Protocol(_) => Reason::PROTOCOL_ERROR,
            DecodeError::TooLarge { .. } => Reason::PACKET_TOO_LARGE,
            DecodeError::TooMany(_) => Reason::IMPLEMENTATION,
            DecodeError::Level(_) => Reason::UNSUPPORTED_VERSION,
            DecodeError::TopicName => Reason::TOPIC_NAME_INVALID,
            DecodeError::TopicAlias => Reason::TOPIC_ALIAS_INVALID,
        }
    }
}
