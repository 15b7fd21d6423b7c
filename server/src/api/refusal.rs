//! Why something that a request asks for is not done, for the client.

use strandline_engine::error::TopicError;
use strandline_protocol::wire::ErrorCode;

use crate::api::topic_error;

/// A code for the client's program, and a sentence for its user where there is more to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) code: ErrorCode,
    pub(crate) message: Option<String>,
}

impl Refusal {
    pub(crate) fn new(code: ErrorCode, message: impl Into<String>) -> Refusal {
        Refusal { code, message: Some(message.into()) }
    }

    /// Without the name, which would come back for each partition (D11).
    pub(crate) fn no_partition() -> Refusal {
        Refusal::new(ErrorCode::UnknownTopicOrPartition, "there is no such partition")
    }
}

/// With the code's own words.
impl From<ErrorCode> for Refusal {
    fn from(code: ErrorCode) -> Refusal {
        Refusal::new(code, code.to_string())
    }
}

impl From<TopicError> for Refusal {
    fn from(error: TopicError) -> Refusal {
        Refusal::new(topic_error(&error), error.to_string())
    }
}

/// What an answer says of the outcome in `error_code` and `error_message`.
pub(crate) fn told(refusal: Option<Refusal>) -> (i16, Option<String>) {
    let none = Refusal { code: ErrorCode::None, message: None };
    let Refusal { code, message } = refusal.unwrap_or(none);
    (code.code(), message)
}
