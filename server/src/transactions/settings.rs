//! The settings of transactions.

/// The settings of transactions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransactionSettings {
    /// The longest time that transactions may be open, in milliseconds.
    pub timeout_max_ms: i32,
    /// How long a transactional id is kept that nobody uses, in milliseconds.
    pub expiration_ms: i64,
    /// How often it is looked for transactions whose time is up, in milliseconds.
    pub timeout_check_ms: i64,
    /// How often it is looked for transactional ids to forget, in milliseconds.
    pub expiration_check_ms: i64,
    /// Partitions that the internal topic is made with.
    pub topic_partitions: u32,
    /// Bytes of a segment of the internal topic.
    pub topic_segment_bytes: u64,
}
