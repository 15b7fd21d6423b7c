//! The stored state of all share partitions, for whoever serves them: what each request is to the coordinator
//! of its share partition.

use std::sync::Arc;

use strandline_engine::error::TopicError;
use strandline_engine::topics::Topic;
use strandline_protocol::wire::ErrorCode;

use super::coordinator::{CoordinatorSettings, Replaces, ShareCoordinator, ShareKey, StateVersion, Summary};
use super::partition::StateWrite;
use super::state::Stored;
use crate::coordination::{Coordinators, InternalTopic, Partitions};

/// The way to the coordinators of share partitions. Its calls are answered with what the coordinator says, or
/// with the code for a client that finds none.
#[derive(Clone)]
pub struct ShareStates(Coordinators<ShareCoordinator>);

impl ShareStates {
    /// Coordinators for so many shards, on a topic of this shape; [`ShareStates::run`] brings each to life.
    pub fn on(topic: InternalTopic, settings: CoordinatorSettings, shards: usize) -> ShareStates {
        ShareStates(Coordinators::new(topic, settings, shards))
    }

    /// Keeps the share partitions of a shard, until it is dropped.
    pub async fn run(self, partitions: impl Partitions) {
        self.0.run(partitions).await;
    }

    /// The internal topic, created when it does not exist yet.
    ///
    /// # Errors
    /// When it cannot be created.
    pub async fn topic(&self, partitions: &impl Partitions) -> Result<Arc<Topic>, TopicError> {
        self.0.topic(partitions).await
    }

    /// A group has a share partition from now on; see [`ShareCoordinator::initialize`].
    pub async fn initialize(
        &self,
        partitions: &impl Partitions,
        key: ShareKey,
        (state_epoch, start): (i32, i64),
        replaces: Replaces,
    ) -> Result<(), ErrorCode> {
        let name = key.name();
        let initialized = self.0.change(partitions, &name, move |machine, turn| {
            machine.initialize(turn, &key, state_epoch, start, replaces)
        });
        initialized.await?
    }

    /// What is stored; see [`ShareCoordinator::read`].
    pub async fn read(
        &self,
        partitions: &impl Partitions,
        key: ShareKey,
        leader_epoch: i32,
    ) -> Result<Stored, ErrorCode> {
        let name = key.name();
        self.0.change(partitions, &name, move |machine, turn| machine.read(turn, &key, leader_epoch)).await?
    }

    /// Takes a change in, durably; see [`ShareCoordinator::write`].
    pub async fn write(
        &self,
        partitions: &impl Partitions,
        key: ShareKey,
        (state_epoch, leader_epoch): (i32, i32),
        change: StateWrite,
    ) -> Result<(), ErrorCode> {
        let name = key.name();
        let written = self.0.change(partitions, &name, move |machine, turn| {
            machine.write(turn, &key, state_epoch, leader_epoch, &change)
        });
        written.await?
    }

    /// A group has a share partition no more; see [`ShareCoordinator::delete`].
    pub async fn delete(
        &self,
        partitions: &impl Partitions,
        key: ShareKey,
        version: StateVersion,
    ) -> Result<(), ErrorCode> {
        let name = key.name();
        self.0.change(partitions, &name, move |machine, turn| machine.delete(turn, &key, version)).await?
    }

    /// What others want to know of a share partition; see [`ShareCoordinator::summary`].
    pub async fn summary(
        &self,
        partitions: &impl Partitions,
        key: ShareKey,
    ) -> Result<Option<Summary>, ErrorCode> {
        let name = key.name();
        Ok(self.0.ask(partitions, &name, move |machine, _| machine.summary(&key)).await?)
    }

    /// Lets go of the share partitions of topics that were deleted.
    pub async fn forget_deleted_topics(&self) {
        // A shard that stops, or a partition that is loading, does it when it begins.
        self.0.ask_all(|machine, turn, reply| machine.forget_deleted_topics(turn, reply)).await;
    }
}
