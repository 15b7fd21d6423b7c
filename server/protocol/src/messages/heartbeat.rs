//! Heartbeat (12): a member is alive, and learns whether its group rebalances.

use crate::message;
use crate::messages::Request;

impl Request for HeartbeatRequest {
    type Response = HeartbeatResponse;
}

message! {
    /// Says that a member is alive.
    pub struct HeartbeatRequest(Heartbeat, 0..=4) {
        (0..) group_id: String;
        (0..) generation_id: i32;
        (0..) member_id: String;
        /// Of a static member (KIP-345).
        (3..) group_instance_id: Option<String>, else refuse;
    }

    /// Says what the member shall do.
    pub struct HeartbeatResponse(Heartbeat, 0..=4) {
        (1..) throttle_time_ms: i32;
        /// REBALANCE_IN_PROGRESS: rejoin.
        (0..) error_code: i16;
    }
}
