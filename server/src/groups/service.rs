//! The groups of all shards, for the handlers of any: what each request is to the coordinator of its group.

use std::sync::Arc;

use strandline_engine::Marker;
use strandline_engine::error::{AppendError, TopicError};
use strandline_engine::topics::Topic;
use strandline_engine::types::{PartitionId, TopicId};
use strandline_protocol::wire::ErrorCode;

use super::consumer::{Beat, ConsumerDescription, Heartbeat};
use super::coordinator::{
    ByPartition, Commit, CoordinatorSettings, Fetch, Fetched, GroupCoordinator, GroupReport, Listed, Within,
};
use super::group::Description;
use super::member::{Identity, Join, Joined, Sync, Synced};
use super::share::{ShareBeat, ShareDescription, ShareHeartbeat, Topics};
use super::streams::{Endpoints, StreamsBeat, StreamsDescription, StreamsHeartbeat};
use super::topic;
use crate::coordination::{Coordinators, InternalTopic, Partitions, Unavailable};
use crate::refusal::Refusal;

/// The way to the coordinators of groups. Its calls are answered with what the coordinator says, or with the
/// code for a client that finds none.
#[derive(Clone)]
pub struct Groups(Coordinators<GroupCoordinator>);

impl Groups {
    /// Coordinators for so many shards; [`Groups::run`] brings each to life.
    pub fn new(settings: CoordinatorSettings, shards: usize) -> Groups {
        Groups::on(topic::offsets_topic(settings.topic_partitions), settings, shards)
    }

    /// As [`Groups::new`], on a topic of this shape.
    pub(super) fn on(topic: InternalTopic, settings: CoordinatorSettings, shards: usize) -> Groups {
        Groups(Coordinators::new(topic, settings, shards))
    }

    /// Keeps the groups of a shard, until it is dropped.
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

    // ---- members ------------------------------------------------------------------------------------------

    /// A member wants in; see [`GroupCoordinator::join`].
    pub async fn join(
        &self,
        partitions: &impl Partitions,
        group: String,
        join: Join,
    ) -> Result<Joined, ErrorCode> {
        let key = group.clone();
        let joined = self.0.wait(partitions, &key, move |groups, turn, reply| {
            groups.join(turn, &group, join, reply);
        });
        Ok(joined.await?)
    }

    /// A member wants its assignment, or brings everybody's; see [`GroupCoordinator::sync`].
    pub async fn sync(
        &self,
        partitions: &impl Partitions,
        group: String,
        sync: Sync,
    ) -> Result<Synced, ErrorCode> {
        let key = group.clone();
        let synced = self.0.wait(partitions, &key, move |groups, turn, reply| {
            groups.sync(turn, &group, sync, reply);
        });
        Ok(synced.await?)
    }

    /// A member is alive; see [`GroupCoordinator::heartbeat`].
    pub async fn heartbeat(
        &self,
        partitions: &impl Partitions,
        group: String,
        identity: Identity,
    ) -> Result<(), ErrorCode> {
        let key = group.clone();
        let alive =
            self.0.ask(partitions, &key, move |groups, turn| groups.heartbeat(turn, &group, &identity));
        match alive.await {
            // As in Kafka: it can not be known, and nobody shall rebalance for it.
            Err(Unavailable::Loading) => Ok(()),
            alive => alive?,
        }
    }

    /// Members leave, or are made to; see [`GroupCoordinator::leave`].
    pub async fn leave(
        &self,
        partitions: &impl Partitions,
        group: String,
        leaving: Vec<Identity>,
    ) -> Result<Vec<Result<(), ErrorCode>>, ErrorCode> {
        let key = group.clone();
        self.0.change(partitions, &key, move |groups, turn| groups.leave(turn, &group, &leaving)).await?
    }

    /// A member of a consumer group joins, goes on, or leaves; see [`GroupCoordinator::consumer_heartbeat`].
    pub async fn consumer_heartbeat(
        &self,
        partitions: &impl Partitions,
        group: String,
        said: Heartbeat,
    ) -> Result<Beat, Refusal> {
        let key = group.clone();
        let beaten = self
            .0
            .change(partitions, &key, move |groups, turn| groups.consumer_heartbeat(turn, &group, &said))
            .await;
        beaten.map_err(|why| Refusal::from(ErrorCode::from(why)))?
    }

    // ---- share groups -------------------------------------------------------------------------------------

    /// A member of a share group joins, goes on, or leaves; see [`GroupCoordinator::share_heartbeat`].
    pub async fn share_heartbeat(
        &self,
        partitions: &impl Partitions,
        group: String,
        said: ShareHeartbeat,
    ) -> Result<ShareBeat, Refusal> {
        let key = group.clone();
        let beaten = self
            .0
            .change(partitions, &key, move |groups, turn| groups.share_heartbeat(turn, &group, &said))
            .await;
        beaten.map_err(|why| Refusal::from(ErrorCode::from(why)))?
    }

    /// Partitions of a share group have got their state; see [`GroupCoordinator::share_initialized`].
    pub async fn share_initialized(
        &self,
        partitions: &impl Partitions,
        group: String,
        topics: Topics,
    ) -> Result<(), ErrorCode> {
        let key = group.clone();
        self.0
            .change(partitions, &key, move |groups, turn| groups.share_initialized(turn, &group, topics))
            .await?
    }

    /// Has a share group forget topics; see [`GroupCoordinator::share_forget`].
    pub async fn share_forget(
        &self,
        partitions: &impl Partitions,
        group: String,
        topics: Vec<TopicId>,
    ) -> Result<Topics, ErrorCode> {
        let key = group.clone();
        self.0.change(partitions, &key, move |groups, _| groups.share_forget(&group, &topics)).await?
    }

    /// Whether a share group may be told where it begins; see [`GroupCoordinator::share_check_offsets`].
    pub async fn share_check_offsets(
        &self,
        partitions: &impl Partitions,
        group: String,
        makes: bool,
    ) -> Result<i32, ErrorCode> {
        let key = group.clone();
        self.0.ask(partitions, &key, move |groups, _| groups.share_check_offsets(&group, makes)).await?
    }

    /// The partitions of a share group that have a state; see [`GroupCoordinator::share_states`].
    pub async fn share_states(
        &self,
        partitions: &impl Partitions,
        group: String,
        bytes_max: usize,
    ) -> Result<Within<Option<Topics>>, ErrorCode> {
        let key = group.clone();
        Ok(self.0.ask(partitions, &key, move |groups, _| groups.share_states(&group, bytes_max)).await?)
    }

    /// What a share group is doing; see [`GroupCoordinator::describe_share`].
    pub async fn describe_share(
        &self,
        partitions: &impl Partitions,
        group: String,
        bytes_max: usize,
    ) -> Result<Within<Option<ShareDescription>>, ErrorCode> {
        let key = group.clone();
        Ok(self.0.ask(partitions, &key, move |groups, _| groups.describe_share(&group, bytes_max)).await?)
    }

    // ---- streams groups -----------------------------------------------------------------------------------

    /// A member of a streams group joins, goes on, or leaves; see [`GroupCoordinator::streams_heartbeat`].
    pub async fn streams_heartbeat(
        &self,
        partitions: &impl Partitions,
        group: String,
        said: StreamsHeartbeat,
    ) -> Result<StreamsBeat, Refusal> {
        let key = group.clone();
        let beaten = self
            .0
            .change(partitions, &key, move |groups, turn| groups.streams_heartbeat(turn, &group, &said))
            .await;
        beaten.map_err(|why| Refusal::from(ErrorCode::from(why)))?
    }

    /// Who in a streams group can be asked for which state; see [`GroupCoordinator::streams_endpoints`].
    pub async fn streams_endpoints(
        &self,
        partitions: &impl Partitions,
        group: String,
        bytes_max: usize,
    ) -> Result<Within<Option<Endpoints>>, ErrorCode> {
        let key = group.clone();
        let told = self
            .0
            .ask(partitions, &key, move |groups, turn| groups.streams_endpoints(turn, &group, bytes_max));
        Ok(told.await?)
    }

    /// What a streams group is doing; see [`GroupCoordinator::describe_streams`].
    pub async fn describe_streams(
        &self,
        partitions: &impl Partitions,
        group: String,
        bytes_max: usize,
    ) -> Result<Within<Option<StreamsDescription>>, ErrorCode> {
        let key = group.clone();
        Ok(self.0.ask(partitions, &key, move |groups, _| groups.describe_streams(&group, bytes_max)).await?)
    }

    // ---- offsets ------------------------------------------------------------------------------------------

    /// Keeps offsets; see [`GroupCoordinator::commit`].
    pub async fn commit(
        &self,
        partitions: &impl Partitions,
        group: String,
        commit: Commit,
    ) -> Result<ByPartition<ErrorCode>, ErrorCode> {
        let key = group.clone();
        self.0.change(partitions, &key, move |groups, turn| groups.commit(turn, &group, commit)).await?
    }

    /// What a group has committed; see [`GroupCoordinator::fetch`].
    pub async fn fetch(
        &self,
        partitions: &impl Partitions,
        group: String,
        fetch: Fetch,
    ) -> Result<Fetched, ErrorCode> {
        let key = group.clone();
        let fetched = self.0.wait(partitions, &key, move |groups, turn, reply| {
            groups.fetch(turn, &group, fetch, reply);
        });
        Ok(fetched.await?)
    }

    /// Whether a member may fetch offsets; see [`GroupCoordinator::check_epoch`].
    pub async fn check_epoch(
        &self,
        partitions: &impl Partitions,
        group: String,
        member_id: String,
        epoch: i32,
    ) -> Result<(), ErrorCode> {
        let key = group.clone();
        self.0.ask(partitions, &key, move |groups, _| groups.check_epoch(&group, &member_id, epoch)).await?
    }

    /// Ends a producer's transaction in a partition of the internal topic: its pending offsets count from now
    /// on, or never. See [`Coordinators::end_transaction`].
    ///
    /// # Errors
    /// When the partition is not coordinated here at the moment; within, why the log has not taken the
    /// marker.
    pub async fn end_transaction(
        &self,
        partitions: &impl Partitions,
        partition: PartitionId,
        marker: Marker,
    ) -> Result<Result<(), AppendError>, Unavailable> {
        self.0.end_transaction(partitions, partition, marker).await
    }

    /// The partition of the internal topic that a group belongs to; the topic is created when it does not
    /// exist yet.
    ///
    /// # Errors
    /// When it cannot be created.
    pub async fn partition(
        &self,
        partitions: &impl Partitions,
        group: &str,
    ) -> Result<PartitionId, TopicError> {
        self.0.partition(partitions, group).await
    }

    /// Deletes offsets of topics that nobody in the group consumes; see [`GroupCoordinator::delete_offsets`].
    pub async fn delete_offsets(
        &self,
        partitions: &impl Partitions,
        group: String,
        asked: Vec<(String, Vec<i32>)>,
    ) -> Result<ByPartition<ErrorCode>, ErrorCode> {
        let key = group.clone();
        self.0
            .change(partitions, &key, move |groups, turn| groups.delete_offsets(turn, &group, asked))
            .await?
    }

    /// Lets go of the offsets of topics that were deleted.
    pub async fn forget_deleted_topics(&self) {
        // A shard that stops, or a partition that is loading, does it when it begins.
        self.0.ask_all(|groups, turn, reply| groups.forget_deleted_topics(turn, reply)).await;
    }

    // ---- groups as a whole --------------------------------------------------------------------------------

    /// What a group is doing; see [`GroupCoordinator::describe`].
    pub async fn describe(
        &self,
        partitions: &impl Partitions,
        group: String,
        bytes_max: usize,
    ) -> Result<Within<Option<Description>>, ErrorCode> {
        let key = group.clone();
        Ok(self.0.ask(partitions, &key, move |groups, _| groups.describe(&group, bytes_max)).await?)
    }

    /// What a consumer group is doing; see [`GroupCoordinator::describe_consumer`].
    pub async fn describe_consumer(
        &self,
        partitions: &impl Partitions,
        group: String,
        bytes_max: usize,
    ) -> Result<Within<Option<ConsumerDescription>>, ErrorCode> {
        let key = group.clone();
        let described =
            self.0.ask(partitions, &key, move |groups, _| groups.describe_consumer(&group, bytes_max));
        Ok(described.await?)
    }

    /// Deletes a group that nobody is in, with its offsets; see [`GroupCoordinator::delete`].
    pub async fn delete(&self, partitions: &impl Partitions, group: String) -> Result<(), ErrorCode> {
        let key = group.clone();
        self.0.wait(partitions, &key, move |groups, turn, reply| groups.delete(turn, &group, reply)).await?
    }

    /// All groups there are.
    ///
    /// # Errors
    /// When a partition cannot tell, such as while it loads.
    pub async fn list(&self) -> Result<Vec<Listed>, ErrorCode> {
        let lists = self.0.ask_all(|groups, _, reply| reply.send(groups.list())).await;
        let lists: Vec<_> = lists.into_iter().collect::<Result<_, _>>()?;
        Ok(lists.into_iter().flatten().collect())
    }

    /// How many groups there are, as far as is known.
    pub async fn count(&self) -> usize {
        self.0.ask_all(|groups, _, reply| reply.send(groups.count())).await.into_iter().flatten().sum()
    }

    /// What the groups are, have and have committed. Those that are being loaded are left out.
    pub async fn reports(&self) -> Vec<GroupReport> {
        let reports = self.0.ask_all(|groups, _, reply| reply.send(groups.report())).await;
        reports.into_iter().flatten().flatten().collect()
    }
}
