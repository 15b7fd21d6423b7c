//! ListPartitionReassignments: a single node moves no partitions.

use strandline_protocol::messages::{ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse};

use crate::call::Call;
use crate::security::acl::{Operation, Resource};

/// None.
pub async fn handle(call: &Call, _: ListPartitionReassignmentsRequest) -> ListPartitionReassignmentsResponse {
    if let Err(error) = call.may(Operation::Describe, Resource::CLUSTER) {
        return ListPartitionReassignmentsResponse { error_code: error.code(), ..Default::default() };
    }
    ListPartitionReassignmentsResponse::default()
}
