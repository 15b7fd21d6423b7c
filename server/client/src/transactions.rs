//! Transactions from outside: which transactional ids there are, what each is doing, and an end for one that
//! nobody ends.
//!
//! Every broker coordinates some transactional ids. A list is collected from all brokers; everything else is
//! asked of the id's own coordinator, which FindCoordinator names.

use super::admin::said;
use super::cluster::Retriable;
use super::connection::Connection;
use crate::{Address, Client, Code, MetadataError, RequestError};
use std::collections::BTreeMap;
use strandline_protocol::messages::{
    DescribeTransactionsRequest, FindCoordinatorRequest, InitProducerIdRequest, ListTransactionsRequest,
};
use strandline_protocol::wire::{ApiKey, ErrorCode};

/// What FindCoordinator calls a transaction.
const KEY_TRANSACTION: i8 = 1;

/// From this version on, FindCoordinator takes a list of keys; the one before is enough for one.
const COORDINATOR_VERSION_MAX: i16 = 3;

/// How long transactions may be open of the instance that begins only to end one.
const FENCE_TIMEOUT_MS: i32 = 60_000;

/// A transactional id in a list.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TransactionSummary {
    /// The transactional id.
    pub id: String,
    /// Its producer id.
    pub producer_id: i64,
    /// As Kafka writes it, for example `Ongoing`.
    pub state: String,
}

/// A transactional id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransactionDescription {
    /// The transactional id.
    pub id: String,
    /// The broker that coordinates it, and where that listens.
    pub coordinator: (i32, Address),
    /// As Kafka writes it, for example `Ongoing`.
    pub state: String,
    /// Its producer id.
    pub producer_id: i64,
    /// The epoch of its producer.
    pub producer_epoch: i16,
    /// How long a transaction may be open, in milliseconds.
    pub timeout_ms: i32,
    /// When the transaction began, in milliseconds since 1970; -1 for none.
    pub started_ms: i64,
    /// What the transaction has written to.
    pub partitions: BTreeMap<String, Vec<i32>>,
}

/// Why something about a transaction was not done.
#[derive(Debug, thiserror::Error)]
pub enum TransactionError {
    /// There was no broker to ask.
    #[error(transparent)]
    Metadata(#[from] MetadataError),
    /// A broker did not answer.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// A broker did not list its transactional ids.
    #[error("{address}: ListTransactions: {code}")]
    List {
        /// The broker.
        address: Address,
        /// Its reason.
        code: Code,
    },
    /// The coordinator, or whoever was to name it, said no.
    #[error("transactional id {id}: {api}: {code}{}", said(message))]
    Refused {
        /// The transactional id.
        id: String,
        /// The request.
        api: ApiKey,
        /// The reason.
        code: Code,
        /// Its words.
        message: Option<String>,
    },
    /// The coordinator is at an address that is none.
    #[error("transactional id {id}: FindCoordinator: {host}:{port} is no address")]
    Address {
        /// The transactional id.
        id: String,
        /// The host.
        host: String,
        /// The port.
        port: i32,
    },
    /// The answer does not have the transactional id that was asked for.
    #[error("transactional id {id}: {api}: the broker's answer does not mention it")]
    NotMentioned {
        /// The transactional id.
        id: String,
        /// The request.
        api: ApiKey,
    },
}

impl Retriable for TransactionError {
    fn is_retriable(&self) -> bool {
        match self {
            TransactionError::Metadata(error) => error.is_retriable(),
            TransactionError::Request(error) => error.is_retriable(),
            TransactionError::List { code, .. } | TransactionError::Refused { code, .. } => {
                code.is_retriable() || code.is(ErrorCode::ConcurrentTransactions)
            }
            TransactionError::Address { .. } | TransactionError::NotMentioned { .. } => false,
        }
    }
}

/// `Ok` for 0, else the refusal.
fn check(id: &str, api: ApiKey, code: i16, message: Option<String>) -> Result<(), TransactionError> {
    let refused = |code| TransactionError::Refused { id: id.to_owned(), api, code, message };
    Code::check(code).map_err(refused)
}

impl Client {
    /// The transactional ids of all brokers that are in one of these states, or all for no state, by name.
    ///
    /// # Errors
    /// [`TransactionError`].
    pub fn transactions(&mut self, states: &[String]) -> Result<Vec<TransactionSummary>, TransactionError> {
        self.retrying(|client| {
            let mut transactions = Vec::new();
            for mut broker in client.dial_all()? {
                let request =
                    ListTransactionsRequest { state_filters: states.to_vec(), ..Default::default() };
                let response = broker.call(&request)?;
                Code::check(response.error_code)
                    .map_err(|code| TransactionError::List { address: broker.address().clone(), code })?;
                transactions.extend(response.transaction_states.into_iter().map(|of| TransactionSummary {
                    id: of.transactional_id,
                    producer_id: of.producer_id,
                    state: of.transaction_state,
                }));
            }
            transactions.sort();
            Ok(transactions)
        })
    }

    /// What a transactional id is doing.
    ///
    /// # Errors
    /// [`TransactionError`]; TRANSACTIONAL_ID_NOT_FOUND when no producer has it.
    pub fn transaction(&mut self, id: &str) -> Result<TransactionDescription, TransactionError> {
        let api = ApiKey::DescribeTransactions;
        self.retrying(|client| {
            let (node, mut coordinator) = client.dial_transaction_coordinator(id)?;
            let request = DescribeTransactionsRequest { transactional_ids: vec![id.to_owned()] };
            let response = coordinator.call(&request)?;
            let found = response.transaction_states.into_iter().find(|of| of.transactional_id == id);
            let found = found.ok_or_else(|| TransactionError::NotMentioned { id: id.to_owned(), api })?;
            check(id, api, found.error_code, None)?;
            Ok(TransactionDescription {
                id: found.transactional_id,
                coordinator: (node, coordinator.address().clone()),
                state: found.transaction_state,
                producer_id: found.producer_id,
                producer_epoch: found.producer_epoch,
                timeout_ms: found.transaction_timeout_ms,
                started_ms: found.transaction_start_time_ms,
                partitions: found.topics.into_iter().map(|topic| (topic.topic, topic.partitions)).collect(),
            })
        })
    }

    /// Aborts the open transaction of a transactional id, and fences its producer, which gets an error with
    /// whatever it does next: an instance of it begins here.
    ///
    /// # Errors
    /// [`TransactionError`]; TRANSACTIONAL_ID_NOT_FOUND when no producer has it.
    pub fn abort_transaction(&mut self, id: &str) -> Result<(), TransactionError> {
        // Whoever mistypes an id makes none.
        self.transaction(id)?;
        self.retrying(|client| {
            let (_, mut coordinator) = client.dial_transaction_coordinator(id)?;
            let request = InitProducerIdRequest {
                transactional_id: Some(id.to_owned()),
                transaction_timeout_ms: FENCE_TIMEOUT_MS,
                ..Default::default()
            };
            let response = coordinator.call(&request)?;
            check(id, ApiKey::InitProducerId, response.error_code, None)
        })
    }

    /// A new connection to the coordinator of a transactional id, and the id of that broker.
    fn dial_transaction_coordinator(&mut self, id: &str) -> Result<(i32, Connection), TransactionError> {
        let found = self.asking(|control| {
            let version = control.version::<FindCoordinatorRequest>(COORDINATOR_VERSION_MAX)?;
            let request = FindCoordinatorRequest {
                key: id.to_owned(),
                key_type: KEY_TRANSACTION,
                ..Default::default()
            };
            control.call_in(version, &request)
        })?;
        check(id, ApiKey::FindCoordinator, found.error_code, found.error_message)?;
        match u16::try_from(found.port) {
            Ok(port) => Ok((found.node_id, self.dial(&Address { host: found.host, port })?)),
            Err(_) => {
                let (host, port) = (found.host, found.port);
                Err(TransactionError::Address { id: id.to_owned(), host, port })
            }
        }
    }
}
