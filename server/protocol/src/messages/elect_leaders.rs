//! ElectLeaders (43): the leader of partitions, chosen anew.

use crate::message;
use crate::messages::Request;

impl Request for ElectLeadersRequest {
    type Response = ElectLeadersResponse;
}

message! {
    /// Asks for elections.
    pub struct ElectLeadersRequest(ElectLeaders, 0..=2) {
        /// 0 the preferred replica, 1 any replica at all.
        (1..) election_type: i8, else refuse;
        /// `None` is all.
        (0..) topic_partitions: Option<Vec<ElectLeadersTopic>>;
        (0..) timeout_ms: i32 = 60_000;
    }

    /// A topic's partitions.
    pub struct ElectLeadersTopic {
        (0..) topic: String;
        (0..) partitions: Vec<i32>;
    }

    /// What became of each election.
    pub struct ElectLeadersResponse(ElectLeaders, 0..=2) {
        (0..) throttle_time_ms: i32;
        (1..) error_code: i16;
        (0..) replica_election_results: Vec<ReplicaElectionResult>;
    }

    /// A topic's partitions.
    pub struct ReplicaElectionResult {
        (0..) topic: String;
        (0..) partition_result: Vec<PartitionElectionResult>;
    }

    /// What became of one election.
    pub struct PartitionElectionResult {
        (0..) partition_id: i32;
        (0..) error_code: i16;
        (0..) error_message: Option<String>;
    }
}
