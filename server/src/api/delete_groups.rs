//! DeleteGroups: groups that nobody is in, with their offsets, or the states of their share partitions.

use futures_util::future::join_all;
use strandline_protocol::messages::{DeletableGroupResult, DeleteGroupsRequest, DeleteGroupsResponse};
use strandline_protocol::wire::ErrorCode;

use crate::api::distinct::distinct;
use crate::api::share_group_offsets::{delete_states, versions};
use crate::call::Call;
use crate::groups::Within;
use crate::security::acl::{Operation, Resource};

/// Deletes the groups; each is gone for good when the answer leaves. A name that comes twice is answered
/// once.
pub async fn handle(call: &Call, request: DeleteGroupsRequest) -> DeleteGroupsResponse {
    let broker = &call.broker;
    let names = distinct(request.groups_names).await;
    let results = names.into_iter().map(async |group_id| {
        if let Err(error) = call.may(Operation::Delete, Resource::group(&group_id)) {
            return DeletableGroupResult { error_code: error.code(), group_id };
        }
        let states = broker.groups.share_states(&broker.shard, group_id.clone(), usize::MAX).await;
        let states = match states {
            Ok(Within::All(Some(states), _)) => Some((versions(broker, &group_id, &states).await, states)),
            _ => None,
        };
        let deleted = broker.groups.delete(&broker.shard, group_id.clone()).await;
        if let (Some((versions, states)), Ok(())) = (states, deleted) {
            delete_states(broker, &group_id, states, &versions).await;
        }
        let error = deleted.err().unwrap_or(ErrorCode::None);
        DeletableGroupResult { error_code: error.code(), group_id }
    });
    DeleteGroupsResponse { results: join_all(results).await, ..Default::default() }
}
