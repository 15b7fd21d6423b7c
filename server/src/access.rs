//! What the client of one request may do: the question that handlers ask before they do it, and its line in
//! the log.
//!
//! * What a handler may ask for stands in the row of its API in the dispatch table ([`Needs`]), and nothing
//!   else may be asked: the table is what an operator is told, and what the tests go through.
//! * A resource that the client has named and may not use is logged at INFO, what it may at DEBUG; what an
//!   answer leaves out because the client may not see it is logged at TRACE.
//! * One request makes [`DENIED_LINES_MAX`] lines at INFO at the most, and the log bounds those of an
//!   address.

use std::cell::{Cell, OnceCell};
use std::rc::Rc;
use std::sync::Arc;

use strandline_engine::topics::Topic;
use strandline_protocol::wire::{ApiKey, ErrorCode};

use crate::authorization::{Asker, Sight};
use crate::broker::{Broker, TopicKey};
use crate::security::acl::{Operation, Resource, ResourceType};
use crate::session::Session;

/// What an API asks for: operations on types of resources, any of which may be asked for by one request.
pub type Needs = &'static [(Operation, ResourceType)];

/// Resources of one request that are logged as denied.
const DENIED_LINES_MAX: u32 = 10;

/// Who asks, and what for.
pub struct Access {
    /// Who asks.
    pub session: Rc<Session>,
    api: ApiKey,
    needs: Needs,
    asker: Rc<OnceCell<Asker>>,
    denied: Cell<u32>,
}

impl Access {
    /// Of a request for an API with these needs. How rules name the client is found once for all that share
    /// the cell.
    pub fn new(session: Rc<Session>, asker: Rc<OnceCell<Asker>>, api: ApiKey, needs: Needs) -> Access {
        Access { session, api, needs, asker, denied: Cell::new(0) }
    }

    /// See [`Call::may`](crate::call::Call::may).
    ///
    /// # Errors
    /// Kafka's code for a resource of this type.
    pub fn may(
        &self,
        broker: &Broker,
        operation: Operation,
        resource: Resource<'_>,
    ) -> Result<(), ErrorCode> {
        if self.is_allowed(broker, operation, resource) {
            self.note_allowed(operation, resource);
            return Ok(());
        }
        self.note_denied(operation, resource);
        Err(refusal(resource.kind))
    }

    /// See [`Call::shows`](crate::call::Call::shows).
    pub fn shows(&self, broker: &Broker, operation: Operation, resource: Resource<'_>) -> bool {
        let is_allowed = self.is_allowed(broker, operation, resource);
        if !is_allowed {
            tracing::trace!(
                peer = %self.session.peer, principal = %self.session.principal, %operation, %resource,
                api = %self.api, "not shown"
            );
        }
        is_allowed
    }

    /// See [`Call::topic`](crate::call::Call::topic).
    ///
    /// # Errors
    /// TOPIC_AUTHORIZATION_FAILED, and those of [`Broker::topic`].
    pub fn topic(
        &self,
        broker: &Broker,
        operation: Operation,
        key: TopicKey<'_>,
    ) -> Result<Arc<Topic>, ErrorCode> {
        match key {
            TopicKey::Name(name) => {
                self.may(broker, operation, Resource::topic(name))?;
                broker.topic(key)
            }
            TopicKey::Id(_) => {
                let topic = broker.topic(key)?;
                self.may(broker, operation, Resource::topic(&topic.name))?;
                Ok(topic)
            }
        }
    }

    /// Whether a producer that names no transaction may have an id: it may write without gaps anywhere, or to
    /// some topic (KIP-679).
    ///
    /// # Errors
    /// CLUSTER_AUTHORIZATION_FAILED.
    pub fn may_have_producer_id(&self, broker: &Broker) -> Result<(), ErrorCode> {
        let (operation, resource) = (Operation::IdempotentWrite, Resource::CLUSTER);
        let is_allowed = self.is_allowed(broker, operation, resource) || {
            let (write, topic) = (Operation::Write, ResourceType::Topic);
            self.asserted(write, topic);
            let settings = broker.shard.settings();
            let asker = self.asker(broker);
            broker.authorizer.allows_anywhere(&settings.dynamic.permissions, asker, topic, write)
        };
        if is_allowed {
            self.note_allowed(operation, resource);
            return Ok(());
        }
        self.note_denied(operation, resource);
        Err(refusal(resource.kind))
    }

    /// Which topics the client may describe, for whoever finds them after the request; `None` where it may
    /// all.
    pub fn sight(&self, broker: &Broker) -> Option<Sight> {
        self.asserted(Operation::Describe, ResourceType::Topic);
        if !broker.authorizer.is_on() {
            return None;
        }
        broker.authorizer.sight(&broker.shard.settings().dynamic.permissions, self.asker(broker))
    }

    /// The operations that the client may do with a resource, of those that are asked for, as bits (KIP-430).
    pub fn operations(&self, broker: &Broker, asked: i32, resource: Resource<'_>) -> i32 {
        asked & self.bits(broker, resource) as i32
    }

    fn is_allowed(&self, broker: &Broker, operation: Operation, resource: Resource<'_>) -> bool {
        self.asserted(operation, resource.kind);
        self.bits(broker, resource) & operation.bit() != 0
    }

    fn bits(&self, broker: &Broker, resource: Resource<'_>) -> u32 {
        if !broker.authorizer.is_on() {
            return u32::MAX;
        }
        let settings = broker.shard.settings();
        broker.authorizer.allowed(&settings.dynamic.permissions, self.asker(broker), resource)
    }

    fn asker(&self, broker: &Broker) -> &Asker {
        self.asker.get_or_init(|| broker.authorizer.asker(&self.session))
    }

    fn asserted(&self, operation: Operation, kind: ResourceType) {
        debug_assert!(
            self.needs.contains(&(operation, kind)),
            "{} asks for {operation} on {kind}, and its row does not say so",
            self.api
        );
    }

    fn note_allowed(&self, operation: Operation, resource: Resource<'_>) {
        tracing::debug!(
            peer = %self.session.peer, principal = %self.session.principal, %operation, %resource,
            api = %self.api, "allowed"
        );
    }

    fn note_denied(&self, operation: Operation, resource: Resource<'_>) {
        let denied = self.denied.get();
        self.denied.set(denied.saturating_add(1));
        if denied < DENIED_LINES_MAX {
            tracing::info!(
                peer = %self.session.peer, principal = %self.session.principal, %operation, %resource,
                api = %self.api, "denied"
            );
        }
    }
}

/// What a client is told that may not do what it asks for.
fn refusal(kind: ResourceType) -> ErrorCode {
    match kind {
        ResourceType::Topic => ErrorCode::TopicAuthorizationFailed,
        ResourceType::Group => ErrorCode::GroupAuthorizationFailed,
        ResourceType::TransactionalId => ErrorCode::TransactionalIdAuthorizationFailed,
        ResourceType::Cluster | ResourceType::User => ErrorCode::ClusterAuthorizationFailed,
        ResourceType::DelegationToken => ErrorCode::DelegationTokenAuthorizationFailed,
    }
}
