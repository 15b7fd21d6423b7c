//! What a client is told that does not get what it asks for: a status, a code, and words.
//!
//! ```text
//! {"error_code": 40401, "message": "topic nope does not exist"}
//! ```
//! The codes are those of Confluent's REST Proxy: the status, and two digits more where one status has
//! several reasons. Codes of the broker that have none of their own are told in words, by their Kafka names.

use std::time::Duration;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use strandline_protocol::wire::ErrorCode;

use crate::in_process::NoAnswer;

/// Why a request is not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    /// The status.
    pub(super) status: StatusCode,
    /// The code in the body.
    pub(super) code: u32,
    /// The words.
    pub(super) message: String,
    /// When it may be tried again.
    pub(super) after: Option<Duration>,
}

/// The body of a [`Problem`].
#[derive(Serialize)]
struct Told<'a> {
    error_code: u32,
    message: &'a str,
}

impl Problem {
    /// With the two digits that follow the status; `None` where it says enough.
    pub(super) fn new(status: StatusCode, digits: Option<u32>, message: impl Into<String>) -> Problem {
        let status_code = u32::from(status.as_u16());
        let code = digits.map_or(status_code, |digits| status_code * 100 + digits);
        Problem { status, code, message: message.into(), after: None }
    }

    /// The client has not proven who it is.
    pub(super) fn unproven() -> Problem {
        Problem::new(
            StatusCode::UNAUTHORIZED,
            Some(1),
            "a user and its password are needed, or they are wrong",
        )
    }

    /// The name that the client has for the broker is none of its own.
    pub(super) fn misdirected() -> Problem {
        let words =
            "the broker is not known by this name: use an address, or a name that stands in its listeners";
        Problem::new(StatusCode::MISDIRECTED_REQUEST, None, words)
    }

    /// It has used up its quota.
    pub(super) fn throttled(after: Duration) -> Problem {
        let message = format!("the quota is used up for {} ms", after.as_millis());
        let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, None, message);
        Problem { after: Some(after), ..problem }
    }

    /// There is no room for it now.
    pub(super) fn busy(what: &str) -> Problem {
        let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, Some(2), what);
        Problem { after: Some(Duration::from_secs(1)), ..problem }
    }

    /// The broker is not there yet, or not any more.
    pub(super) fn away(why: &str) -> Problem {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, Some(1), why)
    }

    /// Something took longer than it may.
    pub(super) fn late(what: &str) -> Problem {
        Problem::new(StatusCode::GATEWAY_TIMEOUT, None, what)
    }

    /// The body cannot be understood.
    pub(super) fn unreadable(why: impl Into<String>) -> Problem {
        Problem::new(StatusCode::BAD_REQUEST, Some(1), why)
    }

    /// The body can be understood, and cannot be.
    pub(super) fn invalid(digits: u32, why: impl Into<String>) -> Problem {
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, Some(digits), why)
    }

    /// There is nothing by this path.
    pub(super) fn nothing_here() -> Problem {
        Problem::new(StatusCode::NOT_FOUND, None, "HTTP 404 Not Found")
    }

    /// What a refusal of the broker is in HTTP, about something that it is named by.
    pub(super) fn of_kafka(code: ErrorCode, of: &str) -> Problem {
        use ErrorCode as E;
        use StatusCode as S;
        let (status, digits) = match code {
            E::UnknownTopicOrPartition | E::UnknownTopicId => (S::NOT_FOUND, Some(1)),
            E::GroupIdNotFound => (S::NOT_FOUND, Some(5)),
            E::UnknownMemberId => (S::NOT_FOUND, Some(3)),
            E::TopicAuthorizationFailed
            | E::GroupAuthorizationFailed
            | E::ClusterAuthorizationFailed
            | E::TransactionalIdAuthorizationFailed
            | E::DelegationTokenAuthorizationFailed
            | E::SecurityDisabled => (S::FORBIDDEN, Some(1)),
            E::TopicAlreadyExists | E::NonEmptyGroup | E::GroupSubscribedToTopic => (S::CONFLICT, None),
            E::MessageTooLarge | E::RecordListTooLarge => (S::PAYLOAD_TOO_LARGE, None),
            E::ThrottlingQuotaExceeded => (S::TOO_MANY_REQUESTS, None),
            E::KafkaStorageError | E::CorruptMessage | E::UnknownServerError => {
                (S::INTERNAL_SERVER_ERROR, Some(2))
            }
            // What passes by itself.
            E::LeaderNotAvailable
            | E::NotLeaderOrFollower
            | E::RequestTimedOut
            | E::BrokerNotAvailable
            | E::ReplicaNotAvailable
            | E::NetworkException
            | E::CoordinatorLoadInProgress
            | E::CoordinatorNotAvailable
            | E::NotCoordinator
            | E::NotEnoughReplicas
            | E::NotEnoughReplicasAfterAppend
            | E::NotController
            | E::FencedLeaderEpoch
            | E::UnknownLeaderEpoch
            | E::OffsetNotAvailable
            | E::UnstableOffsetCommit
            | E::ConcurrentTransactions
            | E::RebalanceInProgress
            | E::StaleMemberEpoch => (S::SERVICE_UNAVAILABLE, Some(3)),
            _ => (S::BAD_REQUEST, Some(2)),
        };
        Problem::new(status, digits, format!("{of}: {code}"))
    }
}

impl From<NoAnswer> for Problem {
    fn from(why: NoAnswer) -> Problem {
        match why {
            NoAnswer::Stopping => Problem::away("the broker stops"),
            NoAnswer::Call(_) | NoAnswer::Request(_) => Problem::invalid(6, why.to_string()),
            NoAnswer::Long(_) => Problem::invalid(7, why.to_string()),
            NoAnswer::Response(_) | NoAnswer::Records(_) => {
                Problem::new(StatusCode::INTERNAL_SERVER_ERROR, Some(2), why.to_string())
            }
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let told = Told { error_code: self.code, message: &self.message };
        let mut response = (self.status, Json(told)).into_response();
        let headers = response.headers_mut();
        if self.status == StatusCode::UNAUTHORIZED {
            let asked = HeaderValue::from_static("Basic realm=\"strandline\", charset=\"UTF-8\"");
            headers.insert(header::WWW_AUTHENTICATE, asked);
        }
        if let Some(after) = self.after {
            let seconds = after.as_millis().div_ceil(1000).max(1);
            if let Ok(value) = HeaderValue::from_str(&seconds.to_string()) {
                headers.insert(header::RETRY_AFTER, value);
            }
        }
        response
    }
}
