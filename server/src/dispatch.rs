//! Which requests this broker understands: one table of key, versions, what its client must be allowed, and
//! handler. ApiVersions answers from it.
//!
//! A request has two stages. [`arrive`] runs in the order in which requests come in, and gives the future of
//! the answer, which is run when the answers before it have left. Produce hands its records over in the first
//! stage, so that the appends of one connection overlap and keep their order; everything else happens in the
//! second, one request after the other, as in Kafka. What a client proves of itself is looked at on arrival,
//! too: the next request is another client's.

mod meter;

use std::ops::RangeInclusive;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use futures_util::future::LocalBoxFuture;
use strandline_protocol::messages::{
    ApiVersion, ApiVersionsRequest, ApiVersionsResponse, RequestHeader, decode_request,
};
use strandline_protocol::wire::reader::request_budget;
use strandline_protocol::wire::writer::PART_BYTES;
use strandline_protocol::wire::{ApiKey, Decode, ErrorCode, Message};

use crate::access::{Access, Needs};
use crate::api;
use crate::api::api_versions::{NAMED_FROM, software};
use crate::broker::Broker;
use crate::call::{Answer, Call, CallError, Client, Ending, Owed, Pending, finish};
use crate::room::Seat;
use crate::security::acl::{Operation, ResourceType};
use crate::session::Session;
use meter::Meter;

/// A longer name of a client's program, with its version, is not remembered.
const SOFTWARE_BYTES_MAX: usize = 512;

/// One row of the table.
pub struct Api {
    /// The API.
    pub key: ApiKey,
    /// The versions that are advertised.
    pub versions: RangeInclusive<i16>,
    /// What its client must be allowed: the handler asks for these, for what the request names, and for
    /// nothing else.
    pub needs: Needs,
    handler: Handler,
}

impl Api {
    fn advertised(&self) -> ApiVersion {
        let (api_key, versions) = (self.key.code(), &self.versions);
        ApiVersion { api_key, min_version: *versions.start(), max_version: *versions.end() }
    }
}

/// An answer, and how long it waits before it is given.
type Later = (Bytes, Duration);

enum Handler {
    /// Changes what is known of the client, and is answered on arrival, or a while later.
    OfClient(fn(Call, &mut Client) -> Result<Later, CallError>),
    /// Does its part on arrival; the rest is the future of the answer.
    OnArrival(fn(Call) -> LocalBoxFuture<'static, Result<Pending, CallError>>),
    /// Runs when the answers before it have left.
    InTurn(fn(Call) -> Pending),
}

/// Reads the request, has it answered by the expression, and makes the answer ready to be sent.
macro_rules! answered {
    ($call:ident, $request:ident, $seat:ident => $answer:expr) => {
        Handler::InTurn(|mut $call| {
            Box::pin(async move {
                let mut $seat = $call.broker.room.seat();
                let $request = decode(&mut $call, &mut $seat).await?;
                let response = $answer.await;
                finish(&$call.broker, &$call.header, response, $seat).await
            })
        })
    };
}

/// A handler of the form `async fn(&Broker, i16, Request) -> Response`.
macro_rules! in_turn {
    ($handle:path) => {
        answered!(call, request, seat => $handle(&call.broker, call.header.version, request))
    };
}

/// A handler of the form `async fn(&Call, Request) -> Response`: it asks what its client may do.
macro_rules! of_caller {
    ($handle:path) => {
        answered!(call, request, seat => $handle(&call, request))
    };
}

/// A handler of the form `async fn(&Call, Request, &mut Seat) -> Response`: what it gathers may be much more
/// than what was asked, and it takes the memory for that first.
macro_rules! seated {
    ($handle:path) => {
        answered!(call, request, seat => $handle(&call, request, &mut seat))
    };
}

/// A handler of the form `async fn(&Call, Request) -> Response` that waits for others while the client is
/// there: its request's bytes are not kept meanwhile, nor is memory for them.
macro_rules! parked {
    ($handle:path) => {
        Handler::InTurn(|mut call| {
            Box::pin(async move {
                let version = call.header.version;
                let request = decode_request(&std::mem::take(&mut call.body), version)?;
                let response = $handle(&call, request).await;
                let seat = call.broker.room.seat();
                finish(&call.broker, &call.header, response, seat).await
            })
        })
    };
}

/// Reads the body of a request, once there is memory for what a long one can come to. Its bytes are gone
/// then.
async fn decode<M: Message + Decode>(call: &mut Call, seat: &mut Seat) -> Result<M, CallError> {
    if call.body.len() > PART_BYTES {
        seat.reserve(request_budget(call.body.len())).await;
    }
    Ok(decode_request(&std::mem::take(&mut call.body), call.header.version)?)
}

/// What a client must be allowed, in one word.
type Need = (Operation, ResourceType);

const WRITE_TOPIC: Need = (Operation::Write, ResourceType::Topic);
const WRITE_TRANSACTION: Need = (Operation::Write, ResourceType::TransactionalId);
const READ_TOPIC: Need = (Operation::Read, ResourceType::Topic);
const ACT_AS_BROKER: Need = (Operation::ClusterAction, ResourceType::Cluster);
const DESCRIBE_TOPIC: Need = (Operation::Describe, ResourceType::Topic);
const CREATE_TOPIC: Need = (Operation::Create, ResourceType::Topic);
const CREATE_ANYWHERE: Need = (Operation::Create, ResourceType::Cluster);
const DESCRIBE_CLUSTER: Need = (Operation::Describe, ResourceType::Cluster);
const READ_GROUP: Need = (Operation::Read, ResourceType::Group);
const DESCRIBE_GROUP: Need = (Operation::Describe, ResourceType::Group);
const DESCRIBE_TRANSACTION: Need = (Operation::Describe, ResourceType::TransactionalId);
const DESCRIBE_CONFIGS_OF_TOPIC: Need = (Operation::DescribeConfigs, ResourceType::Topic);
const DELETE_TOPIC: Need = (Operation::Delete, ResourceType::Topic);
const WRITE_IDEMPOTENTLY: Need = (Operation::IdempotentWrite, ResourceType::Cluster);
const ALTER_CLUSTER: Need = (Operation::Alter, ResourceType::Cluster);
const DESCRIBE_CONFIGS: Need = (Operation::DescribeConfigs, ResourceType::Cluster);
const DESCRIBE_CONFIGS_OF_GROUP: Need = (Operation::DescribeConfigs, ResourceType::Group);
const ALTER_CONFIGS_OF_TOPIC: Need = (Operation::AlterConfigs, ResourceType::Topic);
const ALTER_CONFIGS: Need = (Operation::AlterConfigs, ResourceType::Cluster);
const ALTER_CONFIGS_OF_GROUP: Need = (Operation::AlterConfigs, ResourceType::Group);
const ALTER_TOPIC: Need = (Operation::Alter, ResourceType::Topic);
const DELETE_GROUP: Need = (Operation::Delete, ResourceType::Group);

/// What is served, and so what ApiVersions advertises.
///
/// Produce is advertised from 0 on though only 3 and later can be read: librdkafka before 2.11.1 sends its
/// batches uncompressed to a broker that does not list version 0 (KAFKA-18659).
pub const APIS: &[Api] = &[
    Api {
        key: ApiKey::Produce,
        versions: 0..=13,
        needs: &[WRITE_TOPIC, WRITE_TRANSACTION],
        handler: Handler::OnArrival(api::produce::arrive),
    },
    Api {
        key: ApiKey::Fetch,
        versions: 4..=18,
        needs: &[READ_TOPIC, ACT_AS_BROKER],
        handler: Handler::InTurn(api::fetch::answer),
    },
    Api {
        key: ApiKey::ListOffsets,
        versions: 1..=11,
        needs: &[DESCRIBE_TOPIC],
        handler: of_caller!(api::list_offsets::handle),
    },
    Api {
        key: ApiKey::Metadata,
        versions: 0..=13,
        needs: &[DESCRIBE_TOPIC, CREATE_TOPIC, CREATE_ANYWHERE, DESCRIBE_CLUSTER],
        handler: seated!(api::metadata::handle),
    },
    Api {
        key: ApiKey::OffsetCommit,
        versions: 2..=9,
        needs: &[READ_GROUP, READ_TOPIC],
        handler: of_caller!(api::offset_commit::handle),
    },
    Api {
        key: ApiKey::OffsetFetch,
        versions: 1..=9,
        needs: &[DESCRIBE_GROUP, DESCRIBE_TOPIC],
        handler: seated!(api::offset_fetch::handle),
    },
    Api {
        key: ApiKey::FindCoordinator,
        versions: 0..=6,
        needs: &[DESCRIBE_GROUP, DESCRIBE_TRANSACTION, ACT_AS_BROKER],
        handler: of_caller!(api::find_coordinator::handle),
    },
    Api {
        key: ApiKey::JoinGroup,
        versions: 0..=9,
        needs: &[READ_GROUP],
        handler: parked!(api::join_group::handle),
    },
    Api {
        key: ApiKey::Heartbeat,
        versions: 0..=4,
        needs: &[READ_GROUP],
        handler: of_caller!(api::heartbeat::handle),
    },
    Api {
        key: ApiKey::LeaveGroup,
        versions: 0..=5,
        needs: &[READ_GROUP],
        handler: of_caller!(api::leave_group::handle),
    },
    Api {
        key: ApiKey::SyncGroup,
        versions: 0..=5,
        needs: &[READ_GROUP],
        handler: parked!(api::sync_group::handle),
    },
    Api {
        key: ApiKey::DescribeGroups,
        versions: 0..=6,
        needs: &[DESCRIBE_GROUP],
        handler: seated!(api::describe_groups::handle),
    },
    Api {
        key: ApiKey::ListGroups,
        versions: 0..=5,
        needs: &[DESCRIBE_CLUSTER, DESCRIBE_GROUP],
        handler: seated!(api::list_groups::handle),
    },
    Api {
        key: ApiKey::SaslHandshake,
        versions: 0..=1,
        needs: &[],
        handler: Handler::OfClient(api::sasl::handshake),
    },
    Api { key: ApiKey::ApiVersions, versions: 0..=4, needs: &[], handler: in_turn!(api_versions) },
    Api {
        key: ApiKey::CreateTopics,
        versions: 2..=7,
        needs: &[CREATE_ANYWHERE, CREATE_TOPIC, DESCRIBE_CONFIGS_OF_TOPIC],
        handler: of_caller!(api::create_topics::handle),
    },
    Api {
        key: ApiKey::DeleteTopics,
        versions: 1..=6,
        needs: &[DELETE_TOPIC, DESCRIBE_TOPIC],
        handler: of_caller!(api::delete_topics::handle),
    },
    Api {
        key: ApiKey::DeleteRecords,
        versions: 0..=2,
        needs: &[DELETE_TOPIC],
        handler: of_caller!(api::delete_records::handle),
    },
    Api {
        key: ApiKey::InitProducerId,
        versions: 0..=5,
        needs: &[WRITE_TRANSACTION, WRITE_IDEMPOTENTLY, WRITE_TOPIC],
        handler: of_caller!(api::init_producer_id::handle),
    },
    Api {
        key: ApiKey::OffsetForLeaderEpoch,
        versions: 2..=4,
        needs: &[DESCRIBE_TOPIC, ACT_AS_BROKER],
        handler: of_caller!(api::offset_for_leader_epoch::handle),
    },
    Api {
        key: ApiKey::AddPartitionsToTxn,
        versions: 0..=5,
        needs: &[WRITE_TRANSACTION, WRITE_TOPIC, ACT_AS_BROKER],
        handler: of_caller!(api::add_partitions_to_txn::handle),
    },
    Api {
        key: ApiKey::AddOffsetsToTxn,
        versions: 0..=4,
        needs: &[WRITE_TRANSACTION, READ_GROUP],
        handler: of_caller!(api::add_offsets_to_txn::handle),
    },
    Api {
        key: ApiKey::EndTxn,
        versions: 0..=5,
        needs: &[WRITE_TRANSACTION],
        handler: of_caller!(api::end_txn::handle),
    },
    Api {
        key: ApiKey::WriteTxnMarkers,
        versions: 1..=2,
        needs: &[ALTER_CLUSTER, ACT_AS_BROKER],
        handler: of_caller!(api::write_txn_markers::handle),
    },
    Api {
        key: ApiKey::TxnOffsetCommit,
        versions: 0..=5,
        needs: &[WRITE_TRANSACTION, READ_GROUP, READ_TOPIC],
        handler: of_caller!(api::txn_offset_commit::handle),
    },
    Api {
        key: ApiKey::DescribeAcls,
        versions: 1..=3,
        needs: &[DESCRIBE_CLUSTER],
        handler: seated!(api::acls::describe),
    },
    Api {
        key: ApiKey::CreateAcls,
        versions: 1..=3,
        needs: &[ALTER_CLUSTER],
        handler: of_caller!(api::acls::create),
    },
    Api {
        key: ApiKey::DeleteAcls,
        versions: 1..=3,
        needs: &[ALTER_CLUSTER],
        handler: seated!(api::acls::delete),
    },
    Api {
        key: ApiKey::DescribeConfigs,
        versions: 1..=4,
        needs: &[DESCRIBE_CONFIGS_OF_TOPIC, DESCRIBE_CONFIGS, DESCRIBE_CONFIGS_OF_GROUP],
        handler: of_caller!(api::describe_configs::handle),
    },
    Api {
        key: ApiKey::AlterConfigs,
        versions: 0..=2,
        needs: &[ALTER_CONFIGS_OF_TOPIC, ALTER_CONFIGS, ALTER_CONFIGS_OF_GROUP],
        handler: of_caller!(api::alter_configs::replace),
    },
    Api {
        key: ApiKey::AlterReplicaLogDirs,
        versions: 1..=2,
        needs: &[ALTER_CLUSTER],
        handler: of_caller!(api::alter_replica_log_dirs::handle),
    },
    Api {
        key: ApiKey::DescribeLogDirs,
        versions: 1..=5,
        needs: &[DESCRIBE_CLUSTER],
        handler: seated!(api::describe_log_dirs::handle),
    },
    Api {
        key: ApiKey::SaslAuthenticate,
        versions: 0..=2,
        needs: &[],
        handler: Handler::OfClient(api::sasl::authenticate),
    },
    Api {
        key: ApiKey::CreatePartitions,
        versions: 0..=3,
        needs: &[ALTER_TOPIC],
        handler: of_caller!(api::create_partitions::handle),
    },
    Api {
        key: ApiKey::CreateDelegationToken,
        versions: 1..=3,
        needs: &[],
        handler: in_turn!(api::delegation_tokens::create),
    },
    Api {
        key: ApiKey::RenewDelegationToken,
        versions: 1..=2,
        needs: &[],
        handler: in_turn!(api::delegation_tokens::renew),
    },
    Api {
        key: ApiKey::ExpireDelegationToken,
        versions: 1..=2,
        needs: &[],
        handler: in_turn!(api::delegation_tokens::expire),
    },
    Api {
        key: ApiKey::DescribeDelegationToken,
        versions: 1..=3,
        needs: &[],
        handler: in_turn!(api::delegation_tokens::describe),
    },
    Api {
        key: ApiKey::DeleteGroups,
        versions: 0..=2,
        needs: &[DELETE_GROUP],
        handler: of_caller!(api::delete_groups::handle),
    },
    Api {
        key: ApiKey::ElectLeaders,
        versions: 0..=2,
        needs: &[ALTER_CLUSTER],
        handler: of_caller!(api::elect_leaders::handle),
    },
    Api {
        key: ApiKey::IncrementalAlterConfigs,
        versions: 0..=1,
        needs: &[ALTER_CONFIGS_OF_TOPIC, ALTER_CONFIGS, ALTER_CONFIGS_OF_GROUP],
        handler: of_caller!(api::alter_configs::change),
    },
    Api {
        key: ApiKey::AlterPartitionReassignments,
        versions: 0..=1,
        needs: &[ALTER_CLUSTER],
        handler: of_caller!(api::alter_partition_reassignments::handle),
    },
    Api {
        key: ApiKey::ListPartitionReassignments,
        versions: 0..=0,
        needs: &[DESCRIBE_CLUSTER],
        handler: of_caller!(api::list_partition_reassignments::handle),
    },
    Api {
        key: ApiKey::OffsetDelete,
        versions: 0..=0,
        needs: &[DELETE_GROUP, READ_TOPIC],
        handler: of_caller!(api::offset_delete::handle),
    },
    Api {
        key: ApiKey::DescribeClientQuotas,
        versions: 0..=1,
        needs: &[DESCRIBE_CONFIGS],
        handler: seated!(api::client_quotas::describe),
    },
    Api {
        key: ApiKey::AlterClientQuotas,
        versions: 0..=1,
        needs: &[ALTER_CONFIGS],
        handler: of_caller!(api::client_quotas::alter),
    },
    Api {
        key: ApiKey::DescribeUserScramCredentials,
        versions: 0..=0,
        needs: &[DESCRIBE_CLUSTER],
        handler: seated!(api::scram_credentials::describe),
    },
    Api {
        key: ApiKey::AlterUserScramCredentials,
        versions: 0..=0,
        needs: &[ALTER_CLUSTER],
        handler: of_caller!(api::scram_credentials::alter),
    },
    Api {
        key: ApiKey::DescribeQuorum,
        versions: 0..=2,
        needs: &[DESCRIBE_CLUSTER],
        handler: of_caller!(api::describe_quorum::handle),
    },
    Api {
        key: ApiKey::UpdateFeatures,
        versions: 0..=2,
        needs: &[ALTER_CLUSTER],
        handler: of_caller!(api::features::update),
    },
    Api {
        key: ApiKey::DescribeCluster,
        versions: 0..=2,
        needs: &[DESCRIBE_CLUSTER],
        handler: of_caller!(api::describe_cluster::handle),
    },
    Api {
        key: ApiKey::DescribeProducers,
        versions: 0..=0,
        needs: &[READ_TOPIC],
        handler: seated!(api::describe_producers::handle),
    },
    Api {
        key: ApiKey::UnregisterBroker,
        versions: 0..=0,
        needs: &[ALTER_CLUSTER],
        handler: of_caller!(api::unregister_broker::handle),
    },
    Api {
        key: ApiKey::DescribeTransactions,
        versions: 0..=0,
        needs: &[DESCRIBE_TRANSACTION, DESCRIBE_TOPIC],
        handler: seated!(api::transactions::describe),
    },
    Api {
        key: ApiKey::ListTransactions,
        versions: 0..=2,
        needs: &[DESCRIBE_TRANSACTION],
        handler: seated!(api::transactions::list),
    },
    Api {
        key: ApiKey::ConsumerGroupHeartbeat,
        versions: 0..=1,
        needs: &[READ_GROUP, DESCRIBE_TOPIC],
        handler: of_caller!(api::consumer_group_heartbeat::handle),
    },
    Api {
        key: ApiKey::ConsumerGroupDescribe,
        versions: 0..=1,
        needs: &[DESCRIBE_GROUP, DESCRIBE_TOPIC],
        handler: seated!(api::consumer_group_describe::handle),
    },
    Api {
        key: ApiKey::ListConfigResources,
        versions: 0..=1,
        needs: &[DESCRIBE_CONFIGS],
        handler: seated!(api::list_config_resources::handle),
    },
    Api {
        key: ApiKey::DescribeTopicPartitions,
        versions: 0..=0,
        needs: &[DESCRIBE_TOPIC],
        handler: of_caller!(api::describe_topic_partitions::handle),
    },
    Api {
        key: ApiKey::ShareGroupHeartbeat,
        versions: 1..=1,
        needs: &[READ_GROUP, DESCRIBE_TOPIC],
        handler: of_caller!(api::share_group_heartbeat::handle),
    },
    Api {
        key: ApiKey::ShareGroupDescribe,
        versions: 1..=1,
        needs: &[DESCRIBE_GROUP, DESCRIBE_TOPIC],
        handler: seated!(api::share_group_describe::handle),
    },
    Api {
        key: ApiKey::ShareFetch,
        versions: 1..=2,
        needs: &[READ_GROUP, READ_TOPIC],
        handler: Handler::InTurn(api::share_fetch::answer),
    },
    Api {
        key: ApiKey::ShareAcknowledge,
        versions: 1..=2,
        needs: &[READ_GROUP, READ_TOPIC],
        handler: of_caller!(api::share_acknowledge::handle),
    },
    Api {
        key: ApiKey::StreamsGroupHeartbeat,
        versions: 0..=1,
        needs: &[READ_GROUP, DESCRIBE_TOPIC, CREATE_TOPIC, CREATE_ANYWHERE],
        handler: seated!(api::streams_group_heartbeat::handle),
    },
    Api {
        key: ApiKey::StreamsGroupDescribe,
        versions: 0..=1,
        needs: &[DESCRIBE_GROUP, DESCRIBE_TOPIC],
        handler: seated!(api::streams_group_describe::handle),
    },
    Api {
        key: ApiKey::DescribeShareGroupOffsets,
        versions: 0..=1,
        needs: &[DESCRIBE_GROUP, DESCRIBE_TOPIC],
        handler: seated!(api::share_group_offsets::describe),
    },
    Api {
        key: ApiKey::AlterShareGroupOffsets,
        versions: 0..=0,
        needs: &[READ_GROUP, READ_TOPIC],
        handler: of_caller!(api::share_group_offsets::alter),
    },
    Api {
        key: ApiKey::DeleteShareGroupOffsets,
        versions: 0..=0,
        needs: &[DELETE_GROUP, READ_TOPIC],
        handler: of_caller!(api::share_group_offsets::delete),
    },
];

/// The one handler that reads the table it stands in.
async fn api_versions(broker: &Broker, version: i16, request: ApiVersionsRequest) -> ApiVersionsResponse {
    let settings = broker.shard.settings();
    api::api_versions::answer(APIS.iter().map(Api::advertised), &settings.dynamic, version, &request)
}

/// First stage of a request. What it says of the client is in the session from then on.
///
/// # Errors
/// [`CallError`]: close the connection.
pub async fn arrive(
    broker: Rc<Broker>,
    client: &mut Client,
    mut frame: BytesMut,
    ending: Ending,
) -> Result<Owed, CallError> {
    let since = Instant::now();
    if client.authentication.expects_bare_token() {
        let key = ApiKey::SaslAuthenticate;
        broker.requests.arrived(key, frame.len());
        let answer = api::sasl::bare_token(&broker, client, &frame);
        return Ok(Owed { key, since, answer: Box::pin(answer) });
    }
    let (header, body_at) = RequestHeader::decode(&frame)?;
    let (key, version) = (header.key, header.version);
    let Some(row) = APIS.iter().find(|api| api.key == key) else {
        return Err(CallError::NotServed { key, version });
    };
    client.authentication.admit(key)?;
    broker.requests.arrived(key, frame.len());
    if !row.versions.contains(&version) {
        if key == ApiKey::ApiVersions {
            broker.requests.failed(key, ErrorCode::UnsupportedVersion.code());
            let answer = api::api_versions::unsupported(row.advertised(), header.correlation_id);
            let answer = answer.map(Answer::Frame).map_err(CallError::from);
            return Ok(Owed { key, since, answer: Box::pin(async move { answer }) });
        }
        return Err(CallError::NotServed { key, version });
    }
    if key == ApiKey::ApiVersions && client.authentication.is_interrupted() {
        broker.requests.failed(key, ErrorCode::IllegalSaslState.code());
        let answer = api::api_versions::out_of_turn(version, header.correlation_id);
        let answer = answer.map(Answer::Frame).map_err(CallError::from);
        return Ok(Owed { key, since, answer: Box::pin(async move { answer }) });
    }
    let body = frame.split_off(body_at);
    note_client(&mut client.session, &header, &body);
    let access = Access::new(client.session.clone(), client.asker.clone(), key, row.needs);
    let call = Call { broker, header, body, access, ending, standing: client.standing.clone() };
    let meter = Meter::of(&call);
    let answer: Pending = match (&row.handler, &meter) {
        (Handler::OfClient(handler), _) => {
            let (frame, after) = handler(call, client)?;
            Box::pin(api::sasl::answered(frame, after))
        }
        (Handler::OnArrival(handler), Some(meter)) => meter.measure(handler(call)).await?,
        (Handler::OnArrival(handler), None) => handler(call).await?,
        (Handler::InTurn(handler), _) => handler(call),
    };
    let answer = match meter {
        Some(meter) => meter.over(answer),
        None => answer,
    };
    Ok(Owed { key, since, answer })
}

/// Takes down what a request says of its client. Most say the same each time.
fn note_client(session: &mut Rc<Session>, header: &RequestHeader, body: &[u8]) {
    if session.client_id != header.client_id {
        Rc::make_mut(session).client_id.clone_from(&header.client_id);
    }
    let names_it = header.key == ApiKey::ApiVersions && header.version >= NAMED_FROM;
    if names_it && body.len() <= SOFTWARE_BYTES_MAX {
        // One that cannot be read is refused in its turn.
        let request = decode_request(body, header.version).ok();
        let software = request.as_ref().and_then(software);
        if software.is_some() && software != session.software {
            Rc::make_mut(session).software = software;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Origin;
    use crate::session::Software;
    use strandline_protocol::messages::{HeartbeatRequest, Request, encode_request};
    use strandline_protocol::wire::Encode;

    #[test]
    fn a_session_knows_what_requests_say_and_a_request_keeps_the_one_that_it_came_in_with() {
        let origin = Origin { peer: ([127, 0, 0, 1], 1).into(), listener: "IN".into() };
        let mut session = Rc::new(Session::new(&origin, None));
        fn note<M: Request + Encode>(session: &mut Rc<Session>, version: i16, client_id: &str, request: &M) {
            let frame = encode_request(version, 1, Some(client_id), request).unwrap();
            let (header, body_at) = RequestHeader::decode(&frame[4..]).unwrap();
            note_client(session, &header, &frame[4 + body_at..]);
        }
        let hello = |name: &str| ApiVersionsRequest {
            client_software_name: name.to_owned(),
            client_software_version: "1.2".to_owned(),
        };
        note(&mut session, 4, "one", &hello("kafka-tool"));
        let software = Software { name: "kafka-tool".to_owned(), version: "1.2".to_owned() };
        assert_eq!((session.client_id.as_deref(), &session.software), (Some("one"), &Some(software)));
        let before = session.clone();
        note(&mut session, 4, "one", &HeartbeatRequest::default());
        assert!(Rc::ptr_eq(&before, &session), "what says the same makes no new one");
        note(&mut session, 4, "other", &hello("no name at all"));
        assert_eq!((before.client_id.as_deref(), session.client_id.as_deref()), (Some("one"), Some("other")));
        assert_eq!(before.software, session.software, "what is no name is not taken down");
    }

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
        use strandline_protocol::messages::*;
        use strandline_protocol::wire::Message;
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
            readable::<TxnOffsetCommitRequest>(),
            readable::<FindCoordinatorRequest>(),
            readable::<JoinGroupRequest>(),
            readable::<HeartbeatRequest>(),
            readable::<LeaveGroupRequest>(),
            readable::<SyncGroupRequest>(),
            readable::<DescribeGroupsRequest>(),
            readable::<ListGroupsRequest>(),
            readable::<DeleteGroupsRequest>(),
            readable::<OffsetDeleteRequest>(),
            readable::<SaslHandshakeRequest>(),
            readable::<SaslAuthenticateRequest>(),
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
            readable::<AddPartitionsToTxnRequest>(),
            readable::<AddOffsetsToTxnRequest>(),
            readable::<EndTxnRequest>(),
            readable::<WriteTxnMarkersRequest>(),
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
            readable::<ConsumerGroupHeartbeatRequest>(),
            readable::<ConsumerGroupDescribeRequest>(),
            readable::<ShareGroupHeartbeatRequest>(),
            readable::<ShareGroupDescribeRequest>(),
            readable::<ShareFetchRequest>(),
            readable::<ShareAcknowledgeRequest>(),
            readable::<StreamsGroupHeartbeatRequest>(),
            readable::<StreamsGroupDescribeRequest>(),
            readable::<DescribeShareGroupOffsetsRequest>(),
            readable::<AlterShareGroupOffsetsRequest>(),
            readable::<DeleteShareGroupOffsetsRequest>(),
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
