//! AlterReplicaLogDirs (34): partitions that have to move to another directory of their broker.

use crate::message;
use crate::messages::Request;

impl Request for AlterReplicaLogDirsRequest {
    type Response = AlterReplicaLogDirsResponse;
}

message! {
    /// Moves partitions.
    pub struct AlterReplicaLogDirsRequest(AlterReplicaLogDirs, 1..=2) {
        (1..) dirs: Vec<AlterReplicaLogDir>;
    }

    /// A directory, and what has to be there.
    pub struct AlterReplicaLogDir {
        (1..) path: String;
        (1..) topics: Vec<AlterReplicaLogDirTopic>;
    }

    /// A topic's partitions.
    pub struct AlterReplicaLogDirTopic {
        (1..) name: String;
        (1..) partitions: Vec<i32>;
    }

    /// What became of each move.
    pub struct AlterReplicaLogDirsResponse(AlterReplicaLogDirs, 1..=2) {
        (1..) throttle_time_ms: i32;
        (1..) results: Vec<AlterReplicaLogDirTopicResult>;
    }

    /// A topic's partitions.
    pub struct AlterReplicaLogDirTopicResult {
        (1..) topic_name: String;
        (1..) partitions: Vec<AlterReplicaLogDirPartitionResult>;
    }

    /// What became of one move.
    pub struct AlterReplicaLogDirPartitionResult {
        (1..) partition_index: i32;
        (1..) error_code: i16;
    }
}
