//! The number in which a broker says no: how it is shown, and whether asking again can help.

use std::fmt;
use strandline_protocol::wire::ErrorCode;

/// An error code as it came over the wire; newer brokers have numbers that we do not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Code(pub i16);

impl Code {
    /// `Ok` for 0, which is no error.
    pub(super) fn check(code: i16) -> Result<(), Code> {
        if code == 0 { Ok(()) } else { Err(Code(code)) }
    }

    /// Whether it is this one.
    pub fn is(self, code: ErrorCode) -> bool {
        self.0 == code.code()
    }

    /// Whether the same request can succeed later, maybe at another broker: Kafka's own list, as far as it
    /// concerns the requests of this client.
    pub fn is_retriable(self) -> bool {
        use ErrorCode::*;
        matches!(
            ErrorCode::try_from(self.0),
            Ok(CorruptMessage
                | UnknownTopicOrPartition
                | LeaderNotAvailable
                | NotLeaderOrFollower
                | RequestTimedOut
                | BrokerNotAvailable
                | ReplicaNotAvailable
                | NetworkException
                | CoordinatorLoadInProgress
                | CoordinatorNotAvailable
                | NotEnoughReplicas
                | NotEnoughReplicasAfterAppend
                | NotController
                | NotCoordinator
                | KafkaStorageError
                | ListenerNotFound
                | FencedLeaderEpoch
                | UnknownLeaderEpoch
                | OffsetNotAvailable
                | ThrottlingQuotaExceeded
                | UnknownTopicId
                | InconsistentTopicId)
        )
    }

    /// Whether the topic itself may be what is missing.
    pub fn is_unknown_topic(self) -> bool {
        self.is(ErrorCode::UnknownTopicOrPartition) || self.is(ErrorCode::UnknownTopicId)
    }
}

/// Kafka's name of the error with its number: `TOPIC_ALREADY_EXISTS (36)`.
impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match ErrorCode::try_from(self.0) {
            Err(_) => write!(f, "error code {}", self.0),
            // The one whose name in Kafka is not its name in words.
            Ok(ErrorCode::InvalidTopic) => write!(f, "INVALID_TOPIC_EXCEPTION ({})", self.0),
            Ok(code) => {
                let mut name = String::new();
                for letter in format!("{code:?}").chars() {
                    if letter.is_ascii_uppercase() && !name.is_empty() {
                        name.push('_');
                    }
                    name.push(letter.to_ascii_uppercase());
                }
                write!(f, "{name} ({})", self.0)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_shown_by_the_name_that_kafka_gives_it() {
        for (code, name) in [
            (3, "UNKNOWN_TOPIC_OR_PARTITION (3)"),
            (17, "INVALID_TOPIC_EXCEPTION (17)"),
            (-1, "UNKNOWN_SERVER_ERROR (-1)"),
            (4711, "error code 4711"),
        ] {
            assert_eq!(Code(code).to_string(), name);
        }
    }
}
