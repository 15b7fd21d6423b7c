//! FindCoordinator (10): which broker keeps a consumer group, or a transaction.
//!
//! Versions 0 to 3 ask for one key and answer in the response itself; from version 4 on there is a list on
//! both sides (KIP-699).

use crate::message;
use crate::messages::Request;

impl Request for FindCoordinatorRequest {
    type Response = FindCoordinatorResponse;
}

message! {
    /// Asks for coordinators.
    pub struct FindCoordinatorRequest(FindCoordinator, 0..=6) {
        (0..=3) key: String, else refuse;
        /// 0 group, 1 transaction, 2 share group (from version 6 on).
        (1..)   key_type: i8, else refuse;
        (4..)   coordinator_keys: Vec<String>, else refuse;
    }

    /// The coordinators.
    pub struct FindCoordinatorResponse(FindCoordinator, 0..=6) {
        (1..)   throttle_time_ms: i32;
        (0..=3) error_code: i16, else refuse;
        (1..=3) error_message: Option<String>;
        /// -1 with an error.
        (0..=3) node_id: i32, else refuse;
        (0..=3) host: String, else refuse;
        /// -1 with an error.
        (0..=3) port: i32, else refuse;
        (4..)   coordinators: Vec<Coordinator>, else refuse;
    }

    /// The coordinator of one key.
    pub struct Coordinator {
        (4..) key: String;
        /// -1 with an error.
        (4..) node_id: i32;
        (4..) host: String;
        /// -1 with an error.
        (4..) port: i32;
        (4..) error_code: i16;
        (4..) error_message: Option<String>;
    }
}
