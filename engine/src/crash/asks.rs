//! What only the engine's own tests ask of a process.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_channel::oneshot;

use super::machine::{Only, Process};
use crate::config::{DynamicSettings, InForce};
use crate::error::{DeleteRecordsError, TopicError};
use crate::message::{CatalogMessage, DeleteBefore, Message};
use crate::topics::{ConfigChange, Replica, Topic, TopicDelta};
use crate::types::{Offset, PartitionId, TopicId};

impl Process {
    /// Has these settings for all brokers, and permissions and quotas of the same names and texts, instead of
    /// those there are.
    pub(super) async fn alter_settings(
        &self,
        all_brokers: Vec<(String, String)>,
    ) -> oneshot::Receiver<Result<(), TopicError>> {
        let change = Box::new(|_: &InForce| {
            let mut settings = DynamicSettings { all_brokers, ..DynamicSettings::default() };
            settings.permissions.entries_mut().extend(settings.all_brokers.iter().cloned());
            settings.quotas = settings.permissions.clone();
            Ok(settings)
        });
        self.ask_catalog(|reply| CatalogMessage::AlterSettings { change, reply }).await
    }

    /// The settings in force, of which each kind is as [`Process::alter_settings`] has set it.
    pub(super) fn settings_alike(&self) -> Arc<InForce> {
        let in_force = self.settings.get();
        let DynamicSettings { all_brokers, permissions, quotas, .. } = &in_force.dynamic;
        assert!(permissions.entries().iter().eq(all_brokers.iter().map(|(name, text)| (name, text))));
        assert_eq!(permissions, quotas);
        in_force
    }

    pub(super) async fn alter_topic(&self, id: TopicId, change: ConfigChange) -> Only<Arc<Topic>> {
        let changes = vec![(id, change)];
        Only(self.ask_catalog(|reply| CatalogMessage::AlterTopics { changes, reply }).await)
    }

    pub(super) async fn grow_topic(&self, id: TopicId, partitions: u32) -> Only<Arc<Topic>> {
        let growing = vec![(id, partitions)];
        Only(self.ask_catalog(|reply| CatalogMessage::GrowTopics { growing, reply }).await)
    }

    pub(super) async fn delete_records(
        &self,
        partition: PartitionId,
        before: DeleteBefore,
    ) -> oneshot::Receiver<Result<Offset, DeleteRecordsError>> {
        let (reply, answer) = oneshot::channel();
        let owner = partition.shard(self.shards.len());
        let _ = self.mailboxes[owner].send(Message::DeleteRecords { partition, before, reply }).await;
        answer
    }

    pub(super) async fn delete_topic(&self, id: TopicId) -> Only<()> {
        Only(self.delete_topics(vec![id]).await)
    }

    pub(super) async fn delete_topics(
        &self,
        ids: Vec<TopicId>,
    ) -> oneshot::Receiver<Vec<Result<(), TopicError>>> {
        self.ask_catalog(|reply| CatalogMessage::DeleteTopics { ids, reply }).await
    }

    /// Has another source give a partition a role.
    pub(super) async fn place(&self, id: PartitionId, replica: Replica) -> Only<Arc<Topic>> {
        let replicas = BTreeMap::from([(id.index, replica)]);
        let deltas = vec![TopicDelta::Place { topic: id.topic, replicas }];
        Only(self.ask_catalog(|reply| CatalogMessage::Apply { deltas, reply }).await)
    }
}
