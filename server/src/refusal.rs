//! Why something that a client asks for is not done, for the client.

use strandline_protocol::wire::ErrorCode;

/// A code for the client's program, and a sentence for its user where there is more to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// For the program.
    pub code: ErrorCode,
    /// For its user.
    pub message: Option<String>,
}

impl Refusal {
    /// A refusal with its reason.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Refusal {
        Refusal { code, message: Some(message.into()) }
    }

    /// Without the name, which would come back for each partition (D11).
    pub fn no_partition() -> Refusal {
        Refusal::new(ErrorCode::UnknownTopicOrPartition, "there is no such partition")
    }
}

/// With the code's own words.
impl From<ErrorCode> for Refusal {
    fn from(code: ErrorCode) -> Refusal {
        Refusal::new(code, code.to_string())
    }
}

/// What an answer says of the outcome in `error_code` and `error_message`.
pub fn told(refusal: Option<Refusal>) -> (i16, Option<String>) {
    let none = Refusal { code: ErrorCode::None, message: None };
    let Refusal { code, message } = refusal.unwrap_or(none);
    (code.code(), message)
}
