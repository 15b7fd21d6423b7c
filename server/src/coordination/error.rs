//! Why a coordinator does not answer, or did not store something; and what clients are told then.

use strandline_engine::error::AppendError;
use strandline_engine::format::check::CheckError;

use strandline_protocol::wire::{EncodeError, ErrorCode};

/// Why a request has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// The key's partition is not coordinated here, or not any more.
    #[error("this is not the coordinator")]
    NotHere,
    /// The log of the partition is being replayed.
    #[error("the coordinator is loading")]
    Loading,
    /// The log of the partition cannot be read.
    #[error("the coordinator's log cannot be read")]
    Failed,
    /// The broker stops.
    #[error("the coordinator stops")]
    Stopping,
}

/// What became of a write.
pub type Stored = Result<(), StoreError>;

/// Why records are not durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// A name is longer than the format can say.
    #[error("a name is too long")]
    NameTooLong,
    /// A record is larger than the topic takes.
    #[error("a record is too large")]
    TooLarge,
    /// A newer instance of the producer has written already.
    #[error("the producer has a newer epoch")]
    StaleProducer,
    /// The producer has no transaction here that the records could be of.
    #[error("the producer's transaction is not open")]
    NoTransaction,
    /// The engine has not taken them, for the moment or until the next start.
    #[error("the log takes no records")]
    Refused,
}

impl From<Unavailable> for ErrorCode {
    fn from(why: Unavailable) -> ErrorCode {
        match why {
            Unavailable::NotHere => ErrorCode::NotCoordinator,
            Unavailable::Loading => ErrorCode::CoordinatorLoadInProgress,
            Unavailable::Failed | Unavailable::Stopping => ErrorCode::CoordinatorNotAvailable,
        }
    }
}

impl From<StoreError> for ErrorCode {
    fn from(why: StoreError) -> ErrorCode {
        match why {
            StoreError::NameTooLong => ErrorCode::InvalidRequest,
            StoreError::TooLarge => ErrorCode::UnknownServerError,
            StoreError::StaleProducer => ErrorCode::InvalidProducerEpoch,
            StoreError::NoTransaction => ErrorCode::InvalidTxnState,
            // The client looks for its coordinator again, and comes back.
            StoreError::Refused => ErrorCode::CoordinatorNotAvailable,
        }
    }
}

impl From<EncodeError> for StoreError {
    fn from(_: EncodeError) -> StoreError {
        StoreError::NameTooLong
    }
}

impl From<&AppendError> for StoreError {
    fn from(error: &AppendError) -> StoreError {
        match error {
            AppendError::Invalid(CheckError::TooLarge { .. }) => StoreError::TooLarge,
            AppendError::StaleProducerEpoch { .. } => StoreError::StaleProducer,
            AppendError::InvalidTransactionState { .. } => StoreError::NoTransaction,
            _ => StoreError::Refused,
        }
    }
}
