//! ListPartitionReassignments: a single node moves no partitions.

use crate::broker::Broker;
use crate::messages::{ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse};

/// None.
pub async fn handle(
    _: &Broker,
    _: i16,
    _: ListPartitionReassignmentsRequest,
) -> ListPartitionReassignmentsResponse {
    ListPartitionReassignmentsResponse::default()
}
