//! Which requests this broker understands: one table of key, versions and handler, which is also what ApiVersions answers from.
//!
//! A request has two stages. [`arrive`] runs in the order in which requests come in, and gives the future of the answer, which is run
//! when the answers before it have left. Produce hands its records over in the first stage, so that the appends of one connection
//! overlap and keep their order; everything else happens in the second, one request after the other, as in Kafka.

use std::future::Future;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use async_channel::Receiver;
use bytes::{Bytes, BytesMut};
use futures_util::future::{Either, LocalBoxFuture, select};
use strandline_engine::{File, FileRange, Local};

use crate::answer::{Body, Long};
use crate::api;
use crate::config::{BrokerConfig, HostPort};
use crate::groups::Groups;
use crate::messages::{ApiKey, Piece, RequestHeader, decode_request, finish_frame, response_head};
use crate::metrics::RequestCounters;
use crate::room::{Room, Seat};
use crate::wire::reader::request_budget;
use crate::wire::writer::PART_BYTES;
use crate::wire::{Decode, EncodeError, ErrorCode, Message, Place, WireError};

/// The broker as a handler on one shard sees it.
pub struct Broker {
    /// The engine.
    pub shard: Local,
    /// The settings.
    pub config: Arc<BrokerConfig>,
    /// Where clients are told to connect to.
    pub advertised: HostPort,
    /// The coordinators of groups.
    pub groups: Groups,
    /// What this shard counts.
    pub requests: RequestCounters,
    /// The memory for long answers.
    pub room: Rc<Room>,
}

/// A request that has come in.
pub struct Call {
    /// Its row in [`APIS`].
    pub api: usize,
    /// The broker.
    pub broker: Rc<Broker>,
    /// Its header.
    pub header: RequestHeader,
    /// What follows the header.
    pub body: BytesMut,
    /// Where the client is.
    pub peer: IpAddr,
    /// Tells who waits that the connection ends.
    pub ending: Ending,
}

/// Resolves when a connection takes no more requests: the client has gone, or the broker stops.
#[derive(Clone)]
pub struct Ending(pub(crate) Receiver<()>);

impl Ending {
    /// Waits for it.
    pub async fn ended(&self) {
        // Nothing is ever sent; the channel closes.
        let _ = self.0.recv().await;
    }

    /// The future's output, or `None` when the connection ends before; then the future is dropped.
    pub async fn or<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        match select(pin!(future), pin!(self.ended())).await {
            Either::Left((output, _)) => Some(output),
            Either::Right(_) => None,
        }
    }

    /// Whether it has come.
    pub fn is_ended(&self) -> bool {
        self.0.is_closed()
    }
}

/// What goes back to the client.
pub enum Answer {
    /// Nothing at all (Produce with acks=0).
    Nothing,
    /// A frame.
    Frame(Bytes),
    /// A frame with records out of files.
    Records {
        /// The frame's parts; a gap's index is that of its range.
        pieces: Vec<Piece>,
        /// The records.
        ranges: Vec<FileRange<File>>,
        /// Holds the memory of the parts; without bytes when they are few.
        seat: Seat,
    },
    /// A frame that is made while it is sent.
    Long(Long),
}

impl Answer {
    /// Bytes of the frame.
    pub fn bytes(&self) -> u64 {
        match self {
            Answer::Nothing => 0,
            Answer::Frame(frame) => frame.len() as u64,
            Answer::Long(long) => long.bytes as u64,
            Answer::Records { pieces, ranges, .. } => {
                let head = pieces.iter().map(|piece| match piece {
                    Piece::Bytes(bytes) => bytes.len() as u64,
                    Piece::Records(_) => 0,
                });
                head.sum::<u64>() + ranges.iter().map(|range| range.length).sum::<u64>()
            }
        }
    }
}

/// Why a request has no answer: the connection is closed then, since there is none that the client could read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The bytes are not a request.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// The table does not have the API, or not in this version.
    #[error("{key} version {version} is not served")]
    NotServed {
        /// The API.
        key: ApiKey,
        /// The version asked for.
        version: i16,
    },
    /// A Produce request with acks=0 failed, and closing is the only way to say so.
    #[error("records sent with acks=0 were not appended: {0}")]
    Unacknowledged(crate::wire::ErrorCode),
    /// The answer does not fit its version.
    #[error("the answer can not be written: {0}")]
    Encode(#[from] EncodeError),
}

/// An answer that a connection owes.
pub struct Owed {
    /// The row of [`APIS`] that gives it.
    pub api: usize,
    /// When the request was there.
    pub since: Instant,
    /// What is owed.
    pub answer: Pending,
}

/// The future of an answer.
pub type Pending = LocalBoxFuture<'static, Result<Answer, CallError>>;

/// One row of the table.
pub struct Api {
    /// The API.
    pub key: ApiKey,
    /// The versions that are advertised.
    pub versions: RangeInclusive<i16>,
    handler: Handler,
}

enum Handler {
    /// Does its part on arrival; the rest is the future of the answer.
    OnArrival(fn(Call) -> LocalBoxFuture<'static, Result<Pending, CallError>>),
    /// Runs when the answers before it have left.
    InTurn(fn(Call) -> Pending),
}

/// A handler of the form `async fn(&Broker, i16, Request) -> Response`.
macro_rules! in_turn {
    ($handle:path) => {
        Handler::InTurn(|mut call| {
            Box::pin(async move {
                let mut seat = call.broker.room.seat();
                let request = decode(&mut call, &mut seat).await?;
                let response = $handle(&call.broker, call.header.version, request).await;
                finish(&call.broker, call.api, &call.header, response, seat).await
            })
        })
    };
}

/// A handler of the form `async fn(&Broker, i16, Request, &mut Seat) -> Response`: what it gathers may be much more than what was asked, and
/// it takes the memory for that first.
macro_rules! seated {
    ($handle:path) => {
        Handler::InTurn(|mut call| {
            Box::pin(async move {
                let mut seat = call.broker.room.seat();
                let request = decode(&mut call, &mut seat).await?;
                let response = $handle(&call.broker, call.header.version, request, &mut seat).await;
                finish(&call.broker, call.api, &call.header, response, seat).await
            })
        })
    };
}

/// A handler of the form `async fn(&Call, Request) -> Response`: it wants to know who asks, or to wait while they are there.
macro_rules! of_caller {
    ($handle:path) => {
        Handler::InTurn(|mut call| {
            Box::pin(async move {
                let version = call.header.version;
                // The bytes are not kept while the request waits.
                let request = decode_request(&std::mem::take(&mut call.body), version)?;
                let response = $handle(&call, request).await;
                let seat = call.broker.room.seat();
                finish(&call.broker, call.api, &call.header, response, seat).await
            })
        })
    };
}

/// Reads the body of a request, once there is memory for what a long one can come to. Its bytes are gone then.
async fn decode<M: Message + Decode>(call: &mut Call, seat: &mut Seat) -> Result<M, CallError> {
    if call.body.len() > PART_BYTES {
        seat.reserve(request_budget(call.body.len())).await;
    }
    Ok(decode_request(&std::mem::take(&mut call.body), call.header.version)?)
}

/// So much of an answer is written without waiting for a turn.
const AT_ONCE_BYTES: usize = 4 << 10;

/// The answer: as a frame when it is a part of one at most, else so that it can be sent in parts, once there is memory for it.
///
/// # Errors
/// [`CallError::Encode`].
pub(crate) async fn finish(
    broker: &Broker,
    api: usize,
    header: &RequestHeader,
    body: impl Body + 'static,
    mut seat: Seat,
) -> Result<Answer, CallError> {
    body.errors(&mut |code| broker.requests.failed(api, code));
    let head = (header.key, header.version, header.correlation_id);
    let mut writer = response_head(head.0, head.1, head.2);
    let mut place = Place::default();
    writer.set_part_bytes(AT_ONCE_BYTES);
    let mut is_done = body.write_part(&mut place, &mut writer);
    if !is_done {
        let turn = broker.room.turn().await;
        writer.set_part_bytes(PART_BYTES);
        is_done = body.write_part(&mut place, &mut writer);
        turn.pass().await;
    }
    if is_done {
        return Ok(Answer::Frame(finish_frame(writer, 0)?));
    }
    let mut bytes = writer.position();
    while !is_done {
        let turn = broker.room.turn().await;
        writer.clear();
        is_done = body.write_part(&mut place, &mut writer);
        bytes += writer.position();
        turn.pass().await;
    }
    writer.finish()?;
    seat.reserve(PART_BYTES + body.footprint(bytes)).await;
    Ok(Answer::Long(Long::new(head, Box::new(body), bytes, seat)?))
}

/// What is served, and so what ApiVersions advertises.
///
/// Produce is advertised from 0 on though only 3 and later can be read: librdkafka before 2.11.1 sends its batches
/// uncompressed to a broker that does not list version 0 (KAFKA-18659).
pub const APIS: &[Api] = &[
    Api { key: ApiKey::Produce, versions: 0..=13, handler: Handler::OnArrival(api::produce::arrive) },
    Api { key: ApiKey::Fetch, versions: 4..=18, handler: Handler::InTurn(api::fetch::answer) },
    Api { key: ApiKey::ListOffsets, versions: 1..=11, handler: in_turn!(api::list_offsets::handle) },
    Api { key: ApiKey::Metadata, versions: 0..=13, handler: seated!(api::metadata::handle) },
    Api { key: ApiKey::OffsetCommit, versions: 2..=9, handler: in_turn!(api::offset_commit::handle) },
    Api { key: ApiKey::OffsetFetch, versions: 1..=9, handler: seated!(api::offset_fetch::handle) },
    Api { key: ApiKey::FindCoordinator, versions: 0..=6, handler: in_turn!(api::find_coordinator::handle) },
    Api { key: ApiKey::JoinGroup, versions: 0..=9, handler: of_caller!(api::join_group::handle) },
    Api { key: ApiKey::Heartbeat, versions: 0..=4, handler: in_turn!(api::heartbeat::handle) },
    Api { key: ApiKey::LeaveGroup, versions: 0..=5, handler: in_turn!(api::leave_group::handle) },
    Api { key: ApiKey::SyncGroup, versions: 0..=5, handler: of_caller!(api::sync_group::handle) },
    Api { key: ApiKey::DescribeGroups, versions: 0..=6, handler: seated!(api::describe_groups::handle) },
    Api { key: ApiKey::ListGroups, versions: 0..=5, handler: seated!(api::list_groups::handle) },
    Api { key: ApiKey::ApiVersions, versions: 0..=4, handler: in_turn!(api::api_versions::handle) },
    Api { key: ApiKey::CreateTopics, versions: 2..=7, handler: in_turn!(api::create_topics::handle) },
    Api { key: ApiKey::DeleteTopics, versions: 1..=6, handler: in_turn!(api::delete_topics::handle) },
    Api { key: ApiKey::DeleteRecords, versions: 0..=2, handler: in_turn!(api::delete_records::handle) },
    Api { key: ApiKey::InitProducerId, versions: 0..=5, handler: in_turn!(api::init_producer_id::handle) },
    Api {
        key: ApiKey::OffsetForLeaderEpoch,
        versions: 2..=4,
        handler: in_turn!(api::offset_for_leader_epoch::handle),
    },
    Api { key: ApiKey::DescribeAcls, versions: 1..=3, handler: in_turn!(api::acls::describe) },
    Api { key: ApiKey::CreateAcls, versions: 1..=3, handler: in_turn!(api::acls::create) },
    Api { key: ApiKey::DeleteAcls, versions: 1..=3, handler: in_turn!(api::acls::delete) },
    Api { key: ApiKey::DescribeConfigs, versions: 1..=4, handler: in_turn!(api::describe_configs::handle) },
    Api { key: ApiKey::AlterConfigs, versions: 0..=2, handler: in_turn!(api::alter_configs::replace) },
    Api {
        key: ApiKey::AlterReplicaLogDirs,
        versions: 1..=2,
        handler: in_turn!(api::alter_replica_log_dirs::handle),
    },
    Api { key: ApiKey::DescribeLogDirs, versions: 1..=5, handler: seated!(api::describe_log_dirs::handle) },
    Api { key: ApiKey::CreatePartitions, versions: 0..=3, handler: in_turn!(api::create_partitions::handle) },
    Api {
        key: ApiKey::CreateDelegationToken,
        versions: 1..=3,
        handler: in_turn!(api::delegation_tokens::create),
    },
    Api {
        key: ApiKey::RenewDelegationToken,
        versions: 1..=2,
        handler: in_turn!(api::delegation_tokens::renew),
    },
    Api {
        key: ApiKey::ExpireDelegationToken,
        versions: 1..=2,
        handler: in_turn!(api::delegation_tokens::expire),
    },
    Api {
        key: ApiKey::DescribeDelegationToken,
        versions: 1..=3,
        handler: in_turn!(api::delegation_tokens::describe),
    },
    Api { key: ApiKey::DeleteGroups, versions: 0..=2, handler: in_turn!(api::delete_groups::handle) },
    Api { key: ApiKey::ElectLeaders, versions: 0..=2, handler: in_turn!(api::elect_leaders::handle) },
    Api {
        key: ApiKey::IncrementalAlterConfigs,
        versions: 0..=1,
        handler: in_turn!(api::alter_configs::change),
    },
    Api {
        key: ApiKey::AlterPartitionReassignments,
        versions: 0..=1,
        handler: in_turn!(api::alter_partition_reassignments::handle),
    },
    Api {
        key: ApiKey::ListPartitionReassignments,
        versions: 0..=0,
        handler: in_turn!(api::list_partition_reassignments::handle),
    },
    Api { key: ApiKey::OffsetDelete, versions: 0..=0, handler: in_turn!(api::offset_delete::handle) },
    Api {
        key: ApiKey::DescribeClientQuotas,
        versions: 0..=1,
        handler: in_turn!(api::client_quotas::describe),
    },
    Api { key: ApiKey::AlterClientQuotas, versions: 0..=1, handler: in_turn!(api::client_quotas::alter) },
    Api {
        key: ApiKey::DescribeUserScramCredentials,
        versions: 0..=0,
        handler: in_turn!(api::scram_credentials::describe),
    },
    Api {
        key: ApiKey::AlterUserScramCredentials,
        versions: 0..=0,
        handler: in_turn!(api::scram_credentials::alter),
    },
    Api { key: ApiKey::DescribeQuorum, versions: 0..=2, handler: in_turn!(api::describe_quorum::handle) },
    Api { key: ApiKey::UpdateFeatures, versions: 0..=2, handler: in_turn!(api::features::update) },
    Api { key: ApiKey::DescribeCluster, versions: 0..=2, handler: in_turn!(api::describe_cluster::handle) },
    Api {
        key: ApiKey::DescribeProducers,
        versions: 0..=0,
        handler: seated!(api::describe_producers::handle),
    },
    Api { key: ApiKey::UnregisterBroker, versions: 0..=0, handler: in_turn!(api::unregister_broker::handle) },
    Api {
        key: ApiKey::DescribeTransactions,
        versions: 0..=0,
        handler: in_turn!(api::transactions::describe),
    },
    Api { key: ApiKey::ListTransactions, versions: 0..=2, handler: in_turn!(api::transactions::list) },
    Api {
        key: ApiKey::ListConfigResources,
        versions: 0..=1,
        handler: seated!(api::list_config_resources::handle),
    },
    Api {
        key: ApiKey::DescribeTopicPartitions,
        versions: 0..=0,
        handler: in_turn!(api::describe_topic_partitions::handle),
    },
];

/// First stage of a request.
///
/// # Errors
/// [`CallError`]: close the connection.
pub async fn arrive(
    broker: Rc<Broker>,
    mut frame: BytesMut,
    peer: IpAddr,
    ending: Ending,
) -> Result<Owed, CallError> {
    let since = Instant::now();
    let (header, body_at) = RequestHeader::decode(&frame)?;
    let (key, version) = (header.key, header.version);
    let Some(api) = APIS.iter().position(|api| api.key == key) else {
        return Err(CallError::NotServed { key, version });
    };
    let row = &APIS[api];
    broker.requests.arrived(api, frame.len());
    if !row.versions.contains(&version) {
        if key == ApiKey::ApiVersions {
            broker.requests.failed(api, ErrorCode::UnsupportedVersion.code());
            let answer = api::api_versions::unsupported(header.correlation_id).map_err(CallError::from);
            return Ok(Owed { api, since, answer: Box::pin(async move { answer.map(Answer::Frame) }) });
        }
        return Err(CallError::NotServed { key, version });
    }
    let body = frame.split_off(body_at);
    let call = Call { api, broker, header, body, peer, ending };
    let answer = match row.handler {
        Handler::OnArrival(handler) => handler(call).await?,
        Handler::InTurn(handler) => handler(call),
    };
    Ok(Owed { api, since, answer })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_table_is_the_served_one() {
        let documented: Vec<String> = include_str!("../../docs/protocol.md")
            .lines()
            .filter_map(|line| {
                let mut cells = line.strip_prefix("| ")?.split(" | ");
                let (key, name, versions) = (cells.next()?, cells.next()?, cells.next()?);
                key.parse::<i16>().ok()?;
                Some(format!("{key} {name} {versions}"))
            })
            .collect();
        let served: Vec<String> = APIS
            .iter()
            .map(|api| {
                format!("{} {} {}-{}", api.key.code(), api.key, api.versions.start(), api.versions.end())
            })
            .collect();
        assert_eq!(documented, served);
    }

    #[test]
    fn what_is_advertised_is_what_the_messages_can_do() {
        use crate::messages::*;
        use crate::wire::Message;
        fn readable<M: Message>() -> (ApiKey, RangeInclusive<i16>) {
            (M::KEY, M::VERSIONS)
        }
        let messages = [
            readable::<ProduceRequest>(),
            readable::<FetchRequest>(),
            readable::<ListOffsetsRequest>(),
            readable::<MetadataRequest>(),
            readable::<OffsetCommitRequest>(),
            readable::<OffsetFetchRequest>(),
            readable::<FindCoordinatorRequest>(),
            readable::<JoinGroupRequest>(),
            readable::<HeartbeatRequest>(),
            readable::<LeaveGroupRequest>(),
            readable::<SyncGroupRequest>(),
            readable::<DescribeGroupsRequest>(),
            readable::<ListGroupsRequest>(),
            readable::<DeleteGroupsRequest>(),
            readable::<OffsetDeleteRequest>(),
            readable::<ApiVersionsRequest>(),
            readable::<CreateTopicsRequest>(),
            readable::<DeleteTopicsRequest>(),
            readable::<DeleteRecordsRequest>(),
            readable::<InitProducerIdRequest>(),
            readable::<DescribeConfigsRequest>(),
            readable::<AlterConfigsRequest>(),
            readable::<DescribeLogDirsRequest>(),
            readable::<CreatePartitionsRequest>(),
            readable::<IncrementalAlterConfigsRequest>(),
            readable::<ListPartitionReassignmentsRequest>(),
            readable::<DescribeClusterRequest>(),
            readable::<DescribeTopicPartitionsRequest>(),
            readable::<OffsetForLeaderEpochRequest>(),
            readable::<DescribeAclsRequest>(),
            readable::<CreateAclsRequest>(),
            readable::<DeleteAclsRequest>(),
            readable::<AlterReplicaLogDirsRequest>(),
            readable::<CreateDelegationTokenRequest>(),
            readable::<RenewDelegationTokenRequest>(),
            readable::<ExpireDelegationTokenRequest>(),
            readable::<DescribeDelegationTokenRequest>(),
            readable::<ElectLeadersRequest>(),
            readable::<AlterPartitionReassignmentsRequest>(),
            readable::<DescribeClientQuotasRequest>(),
            readable::<AlterClientQuotasRequest>(),
            readable::<DescribeUserScramCredentialsRequest>(),
            readable::<AlterUserScramCredentialsRequest>(),
            readable::<DescribeQuorumRequest>(),
            readable::<UpdateFeaturesRequest>(),
            readable::<DescribeProducersRequest>(),
            readable::<UnregisterBrokerRequest>(),
            readable::<DescribeTransactionsRequest>(),
            readable::<ListTransactionsRequest>(),
            readable::<ListConfigResourcesRequest>(),
        ];
        assert_eq!(messages.len(), APIS.len());
        for (key, versions) in messages {
            let api = APIS.iter().find(|api| api.key == key).unwrap_or_else(|| panic!("{key} is not served"));
            assert!(api.versions.end() <= versions.end(), "{key}");
            if key != ApiKey::Produce {
                assert!(api.versions.start() >= versions.start(), "{key}");
            }
        }
        assert!(APIS.is_sorted_by_key(|api| api.key));
    }
}
