//! How a Produce or Fetch response tells a client that asked the wrong broker who leads (KIP-951).

use crate::message;

message! {
    /// The leader of a partition.
    pub struct LeaderIdAndEpoch {
        /// -1 when unknown.
        (0..) leader_id: i32 = -1;
        (0..) leader_epoch: i32 = -1;
    }

    /// Where a leader listens.
    pub struct NodeEndpoint {
        (0..) node_id: i32;
        (0..) host: String;
        (0..) port: i32;
        (0..) rack: Option<String>;
    }
}
