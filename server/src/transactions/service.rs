//! The transactions of all shards, for the handlers of any: what each request is to the coordinator of its
//! transactional id.

use std::sync::Arc;

use async_channel::Receiver;
use strandline_engine::TransactionResult;
use strandline_engine::error::TopicError;
use strandline_engine::format::batch::Producer;
use strandline_engine::topics::Topic;
use strandline_engine::types::ProducerId;
use strandline_protocol::wire::ErrorCode;

use super::coordinator::{
    Adding, CoordinatorSettings, Given, Listed, Marking, Report, TransactionCoordinator,
};
use super::markers::Writer;
use super::settings::TransactionSettings;
use super::topic;
use super::transaction::{ByTopic, Init, Transaction};
use crate::coordination::{Coordinators, InternalTopic, Partitions};
use crate::groups::Groups;

/// The way to the coordinators of transactions. Its calls are answered with what the coordinator says, or
/// with the code for a client that finds none.
#[derive(Clone)]
pub struct Transactions {
    coordinators: Coordinators<TransactionCoordinator>,
    markings: Receiver<Marking>,
}

impl Transactions {
    /// Coordinators for so many shards; [`Transactions::run`] brings each to life.
    pub fn new(settings: &TransactionSettings, shards: usize) -> Transactions {
        let topic = topic::state_topic(settings.topic_partitions, settings.topic_segment_bytes);
        Transactions::on(topic, settings, shards)
    }

    /// As [`Transactions::new`], on a topic of this shape.
    pub(super) fn on(topic: InternalTopic, settings: &TransactionSettings, shards: usize) -> Transactions {
        let (markers, markings) = async_channel::unbounded();
        let settings = CoordinatorSettings {
            timeout_max_ms: settings.timeout_max_ms,
            expiration_ms: settings.expiration_ms,
            timeout_check_ms: settings.timeout_check_ms,
            expiration_check_ms: settings.expiration_check_ms,
            markers,
        };
        Transactions { coordinators: Coordinators::new(topic, settings, shards), markings }
    }

    /// Keeps the transactional ids of a shard and writes markers, until it is dropped.
    pub async fn run(self, partitions: impl Partitions, groups: Groups) {
        let Transactions { coordinators, markings } = self;
        let writer = Writer { coordinators: coordinators.clone(), partitions: partitions.clone(), groups };
        futures_util::future::join(coordinators.run(partitions), writer.run(markings)).await;
    }

    /// The internal topic, created when it does not exist yet.
    ///
    /// # Errors
    /// When it cannot be created.
    pub async fn topic(&self, partitions: &impl Partitions) -> Result<Arc<Topic>, TopicError> {
        self.coordinators.topic(partitions).await
    }

    // ---- requests -----------------------------------------------------------------------------------------

    /// An instance of a producer begins, or goes on after an error; see [`TransactionCoordinator::init`].
    pub async fn init_producer_id(
        &self,
        partitions: &impl Partitions,
        id: String,
        init: Init,
    ) -> Result<Producer, ErrorCode> {
        let ask = async |fresh: Option<ProducerId>| {
            let (key, init) = (id.clone(), init.clone());
            let asked = self
                .coordinators
                .change(partitions, &id, move |machine, turn| machine.init(turn, &key, &init, fresh));
            asked.await?
        };
        with_producer_id(partitions, ask).await
    }

    /// A transaction is to write to these partitions as well; see [`TransactionCoordinator::add`].
    pub async fn add_partitions(
        &self,
        partitions: &impl Partitions,
        id: String,
        producer: Producer,
        added: ByTopic,
        level: i16,
    ) -> Result<(), ErrorCode> {
        let key = id.clone();
        let asked = self
            .coordinators
            .change(partitions, &key, move |machine, turn| machine.add(turn, &id, producer, added, level));
        asked.await?
    }

    /// Whether a transaction is to write to each of these partitions; see [`TransactionCoordinator::verify`].
    pub async fn verify_partitions(
        &self,
        partitions: &impl Partitions,
        id: String,
        producer: Producer,
        asked: Vec<(String, i32)>,
    ) -> Result<Vec<Result<(), ErrorCode>>, ErrorCode> {
        let key = id.clone();
        let verified =
            self.coordinators.ask(partitions, &key, move |machine, _| machine.verify(&id, producer, &asked));
        verified.await?
    }

    /// A client ends its transaction; see [`TransactionCoordinator::end`].
    pub async fn end(
        &self,
        partitions: &impl Partitions,
        id: String,
        producer: Producer,
        result: TransactionResult,
        level: i16,
    ) -> Result<Producer, ErrorCode> {
        let ask = async |fresh: Option<ProducerId>| {
            let key = id.clone();
            let asked = self.coordinators.change(partitions, &id, move |machine, turn| {
                machine.end(turn, &key, producer, result, level, fresh)
            });
            asked.await?
        };
        with_producer_id(partitions, ask).await
    }

    /// The same, and waits where it would be told CONCURRENT_TRANSACTIONS; see
    /// [`TransactionCoordinator::add_in_turn`]. Who does not want to wait any more drops the future.
    pub async fn add_partitions_in_turn(
        &self,
        partitions: &impl Partitions,
        id: String,
        producer: Producer,
        added: ByTopic,
        level: i16,
    ) -> Result<(), ErrorCode> {
        let key = id.clone();
        let added = self.coordinators.wait(partitions, &key, move |machine, turn, reply| {
            machine.add_in_turn(turn, &id, Adding { producer, partitions: added, level, reply });
        });
        added.await?
    }

    // ---- questions ----------------------------------------------------------------------------------------

    /// What is known of a transactional id.
    pub async fn describe(
        &self,
        partitions: &impl Partitions,
        id: String,
    ) -> Result<Option<Transaction>, ErrorCode> {
        let key = id.clone();
        Ok(self.coordinators.ask(partitions, &key, move |machine, _| machine.describe(&id)).await?)
    }

    /// All transactional ids there are.
    ///
    /// # Errors
    /// When a partition cannot tell, such as while it loads.
    pub async fn list(&self) -> Result<Vec<Listed>, ErrorCode> {
        let lists =
            self.coordinators.ask_all(|machine, turn, reply| reply.send(machine.list(turn.now))).await;
        let lists: Vec<_> = lists.into_iter().collect::<Result<_, _>>()?;
        Ok(lists.into_iter().flatten().collect())
    }

    /// What is counted, of all partitions together. Those that are being loaded are left out.
    pub async fn report(&self) -> Report {
        let reports = self.coordinators.ask_all(|machine, _, reply| reply.send(machine.report())).await;
        reports.into_iter().flatten().fold(Report::default(), Report::plus)
    }
}

/// Asks, and once more with a fresh producer id when one is needed.
async fn with_producer_id(
    partitions: &impl Partitions,
    ask: impl AsyncFn(Option<ProducerId>) -> Result<Given<Producer>, ErrorCode>,
) -> Result<Producer, ErrorCode> {
    if let Given::Answer(producer) = ask(None).await? {
        return Ok(producer);
    }
    let fresh = partitions.allocate_producer_id().await.map_err(|error| {
        tracing::error!(%error, "no producer id");
        // Retriable, where KAFKA_STORAGE_ERROR is fatal to the Java producer at this point.
        ErrorCode::CoordinatorNotAvailable
    })?;
    match ask(Some(fresh)).await? {
        Given::Answer(producer) => Ok(producer),
        Given::NeedsProducerId => unreachable!("it was given one"),
    }
}
