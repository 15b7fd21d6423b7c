//! ListTransactions (66): the transactional ids that a broker coordinates.

use crate::message;
use crate::messages::Request;

impl Request for ListTransactionsRequest {
    type Response = ListTransactionsResponse;
}

message! {
    /// Asks for transactional ids.
    pub struct ListTransactionsRequest(ListTransactions, 0..=2) {
        /// Empty for all.
        (0..) state_filters: Vec<String>;
        /// Empty for all.
        (0..) producer_id_filters: Vec<i64>;
        /// Only transactions that run for longer, in milliseconds; -1 for all.
        (1..) duration_filter: i64 = -1, else refuse;
        /// A regular expression; `None` for all.
        (2..) transactional_id_pattern: Option<String>, else refuse;
    }

    /// The transactional ids.
    pub struct ListTransactionsResponse(ListTransactions, 0..=2) {
        (0..) throttle_time_ms: i32;
        (0..) error_code: i16;
        /// The filters that name no state.
        (0..) unknown_state_filters: Vec<String>;
        (0..) transaction_states: Vec<ListedTransaction>;
    }

    /// A transactional id.
    pub struct ListedTransaction {
        (0..) transactional_id: String;
        (0..) producer_id: i64;
        (0..) transaction_state: String;
    }
}
