//! CreatePartitions (37): more partitions for topics.

use crate::message;
use crate::messages::Request;

impl Request for CreatePartitionsRequest {
    type Response = CreatePartitionsResponse;
}

message! {
    /// Adds partitions.
    pub struct CreatePartitionsRequest(CreatePartitions, 0..=3) {
        (0..) topics: Vec<CreatePartitionsTopic>;
        (0..) timeout_ms: i32;
        /// Checks, but adds nothing.
        (0..) validate_only: bool;
    }

    /// A topic.
    pub struct CreatePartitionsTopic {
        (0..) name: String;
        /// How many partitions it shall have.
        (0..) count: i32;
        /// One for each new partition; `None` leaves the choice to the broker.
        (0..) assignments: Option<Vec<CreatePartitionsAssignment>>;
    }

    /// Where the replicas of a new partition shall be.
    pub struct CreatePartitionsAssignment {
        (0..) broker_ids: Vec<i32>;
    }

    /// What became of each topic.
    pub struct CreatePartitionsResponse(CreatePartitions, 0..=3) {
        (0..) throttle_time_ms: i32;
        (0..) results: Vec<CreatePartitionsTopicResult>;
    }

    /// A topic that has its partitions, or why not.
    pub struct CreatePartitionsTopicResult {
        (0..) name: String;
        (0..) error_code: i16;
        (0..) error_message: Option<String>;
    }
}
