//! DeleteGroups: groups that nobody is in, with their offsets.

use futures_util::future::join_all;
use strandline_protocol::messages::{DeletableGroupResult, DeleteGroupsRequest, DeleteGroupsResponse};
use strandline_protocol::wire::ErrorCode;

use crate::api::distinct::distinct;
use crate::broker::Broker;

/// Deletes the groups; each is gone for good when the answer leaves. A name that comes twice is answered
/// once.
pub async fn handle(broker: &Broker, _: i16, request: DeleteGroupsRequest) -> DeleteGroupsResponse {
    let names = distinct(request.groups_names).await;
    let results = names.into_iter().map(async |group_id| {
        let deleted = broker.groups.delete(&broker.shard, group_id.clone()).await;
        let error = deleted.err().unwrap_or(ErrorCode::None);
        DeletableGroupResult { error_code: error.code(), group_id }
    });
    DeleteGroupsResponse { results: join_all(results).await, ..Default::default() }
}
