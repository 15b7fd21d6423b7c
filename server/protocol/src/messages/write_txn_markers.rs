//! WriteTxnMarkers (27): transactions end in some partitions. Between brokers, and from whoever ends one by
//! hand.

use crate::message;
use crate::messages::Request;

impl Request for WriteTxnMarkersRequest {
    type Response = WriteTxnMarkersResponse;
}

message! {
    /// Writes markers.
    pub struct WriteTxnMarkersRequest(WriteTxnMarkers, 1..=2) {
        (0..) markers: Vec<WritableTxnMarker>;
    }

    /// A transaction that ends.
    pub struct WritableTxnMarker {
        (0..) producer_id: i64;
        (0..) producer_epoch: i16;
        /// False for abort.
        (0..) transaction_result: bool;
        (0..) topics: Vec<WritableTxnMarkerTopic>;
        (0..) coordinator_epoch: i32;
        /// From 2 on, the epoch was raised by the end.
        (2..) transaction_version: i8;
    }

    /// A topic's partitions.
    pub struct WritableTxnMarkerTopic {
        (0..) name: String;
        (0..) partition_indexes: Vec<i32>;
    }

    /// What became of each marker.
    pub struct WriteTxnMarkersResponse(WriteTxnMarkers, 1..=2) {
        (0..) markers: Vec<WritableTxnMarkerResult>;
    }

    /// A transaction.
    pub struct WritableTxnMarkerResult {
        (0..) producer_id: i64;
        (0..) topics: Vec<WritableTxnMarkerTopicResult>;
    }

    /// A topic's partitions.
    pub struct WritableTxnMarkerTopicResult {
        (0..) name: String;
        (0..) partitions: Vec<WritableTxnMarkerPartitionResult>;
    }

    /// A marker that is written, or why not.
    pub struct WritableTxnMarkerPartitionResult {
        (0..) partition_index: i32;
        (0..) error_code: i16;
    }
}
