//! ListPartitionReassignments: a single node moves no partitions.

use strandline_protocol::messages::{ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse};

use crate::broker::Broker;

/// None.
pub async fn handle(
    _: &Broker,
    _: i16,
    _: ListPartitionReassignmentsRequest,
) -> ListPartitionReassignmentsResponse {
    ListPartitionReassignmentsResponse::default()
}
