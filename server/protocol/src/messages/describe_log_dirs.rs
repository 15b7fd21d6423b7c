//! DescribeLogDirs (35): the directories of a broker, and how large each partition is.

use crate::message;
use crate::messages::Request;

impl Request for DescribeLogDirsRequest {
    type Response = DescribeLogDirsResponse;
}

message! {
    /// Asks for directories.
    pub struct DescribeLogDirsRequest(DescribeLogDirs, 1..=5) {
        /// `None` is all.
        (1..) topics: Option<Vec<DescribableLogDirTopic>> = Some(Vec::new());
    }

    /// A topic's partitions.
    pub struct DescribableLogDirTopic {
        (1..) topic: String;
        (1..) partitions: Vec<i32>;
    }

    /// The directories.
    pub struct DescribeLogDirsResponse(DescribeLogDirs, 1..=5) {
        (1..) throttle_time_ms: i32;
        (3..) error_code: i16;
        (1..) results: Vec<DescribeLogDirsResult>;
    }

    /// A directory.
    pub struct DescribeLogDirsResult {
        (1..) error_code: i16;
        (1..) log_dir: String;
        (1..) topics: Vec<DescribeLogDirsTopic>;
        /// Of the volume; -1 when not known.
        (4..) total_bytes: i64 = -1;
        /// Of the volume; -1 when not known.
        (4..) usable_bytes: i64 = -1;
        /// No new partitions come here.
        (5..) is_cordoned: bool;
    }

    /// A topic's partitions.
    pub struct DescribeLogDirsTopic {
        (1..) name: String;
        (1..) partitions: Vec<DescribeLogDirsPartition>;
    }

    /// A partition.
    pub struct DescribeLogDirsPartition {
        (1..) partition_index: i32;
        /// Of its segments, in bytes.
        (1..) partition_size: i64;
        /// From the high watermark to the log end offset.
        (1..) offset_lag: i64;
        /// The partition is moving to this directory and not yet served from it.
        (1..) is_future_key: bool;
    }
}
