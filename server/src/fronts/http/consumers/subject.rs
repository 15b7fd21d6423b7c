//! What a consumer is made with, and what it reads.

use std::time::Duration;

use strandline_engine::Isolation;

use crate::fronts::http::records::Form;

/// A partition of a topic.
pub(in crate::fronts::http) type Partition = (String, i32);

/// Where to begin in a partition of which the group has no offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::fronts::http) enum Reset {
    /// With the first record.
    Earliest,
    /// With the next one.
    Latest,
    /// Nowhere: that is an error.
    None,
}

/// What an instance was made with.
#[derive(Clone, Debug)]
pub(in crate::fronts::http) struct Settings {
    /// How keys and values stand in its answers.
    pub(in crate::fronts::http) form: Form,
    /// Where it begins.
    pub(in crate::fronts::http) reset: Reset,
    /// Whether what is done is committed without being told.
    pub(in crate::fronts::http) auto_commit: bool,
    /// Bytes that are waited for.
    pub(in crate::fronts::http) bytes_min: usize,
    /// How long they are.
    pub(in crate::fronts::http) wait: Duration,
    /// What it sees of transactions.
    pub(in crate::fronts::http) isolation: Isolation,
}

/// What an instance reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::fronts::http) enum Subscription {
    /// Nothing yet.
    None,
    /// What the group gives it of these topics.
    Topics(Vec<String>),
    /// What it gives it of topics with such names.
    Pattern(String),
    /// What it was told.
    Assigned,
}
