//! Dead letter queues (KIP-1191): what a record becomes that a share group cannot do anything with, and the
//! topic that it goes to.
//!
//! ```text
//! Letter (offsets, cause) > the queue's topic, looked at each time > headers, and the record from its log
//!                         > batches > append
//! ```
//!
//! * Dead letters go to the queue's partition with the number of theirs, modulo how many it has, in batches
//!   made here: each is durable, as far as the queue's topic is, before the state of its records changes.
//! * What a queue must be is asked each time: its name, its setting, whether it exists. Where it must not be
//!   written, or cannot, the letters stay, and are tried again.
//! * A record that the log has lost, that cannot be unpacked within [`UNPACKED_BYTES_MAX`], or that is too
//!   large for the queue goes without its content. A record of the queue itself does not go there again.
//! * Of the memory, one call takes a batch as it is in the log, the same unpacked, and one for the queue
//!   (D11); see `leaders` for how many calls there are.

mod record;
mod source;

use std::fmt;

use strandline_engine::config::DynamicSettings;
use strandline_engine::error::{AppendError, TopicError};
use strandline_engine::topics::{NewTopic, Topic};
use strandline_engine::types::PartitionId;

use super::coordinator::ShareKey;
use super::log::ShareLog;
use super::partition::Letter;
use super::version::share_version;
use crate::config::{BrokerConfig, text_in_force, text_of_group};
use crate::coordination::RecordsError;

use record::Post;

/// What the names of the broker's own topics begin with.
const INTERNAL: &str = "__";

/// The setting of a topic that may be a queue.
const ENABLED: &str = "errors.deadletterqueue.group.enable";

/// A batch of the log is unpacked to this, at the most.
const UNPACKED_BYTES_MAX: usize = 32 << 20;

/// The dead letter queue of a group, as its settings and the broker's have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetterQueue {
    /// The topic.
    pub topic: String,
    /// Whether dead letters have the content of their records.
    pub copies: bool,
    /// What the topic's name must begin with.
    pub prefix: String,
    /// Whether the topic is created where it does not exist.
    pub creates: bool,
    /// With so many partitions.
    pub partitions: u32,
}

impl DeadLetterQueue {
    /// That of a group, if it has one.
    pub(super) fn of(
        config: &BrokerConfig,
        dynamic: &DynamicSettings,
        group: &str,
    ) -> Option<DeadLetterQueue> {
        let topic = text_of_group(dynamic, group, "errors.deadletterqueue.topic.name");
        if topic.is_empty() || share_version(dynamic) < 2 {
            return None;
        }
        let creates = text_in_force(config, dynamic, "errors.deadletterqueue.auto.create.topics.enable");
        Some(DeadLetterQueue {
            topic: topic.to_owned(),
            copies: text_of_group(dynamic, group, "errors.deadletterqueue.copy.record.enable") == "true",
            prefix: text_in_force(config, dynamic, "errors.deadletterqueue.topic.name.prefix").to_owned(),
            creates: creates == "true",
            partitions: config.num_partitions,
        })
    }
}

/// Why dead letters were not written; they are tried again.
#[derive(Debug, thiserror::Error)]
pub(super) enum LetterError {
    /// The queue is one of the broker's own topics.
    #[error("{topic} is the broker's own topic")]
    Internal {
        /// The queue.
        topic: String,
    },
    /// The queue's topic does not allow it.
    #[error("topic {topic} is no dead letter queue: set {ENABLED} of it to true")]
    NotEnabled {
        /// The queue.
        topic: String,
    },
    /// The queue does not exist.
    #[error(
        "topic {topic} does not exist: create it with {ENABLED}=true, or set \
         errors.deadletterqueue.auto.create.topics.enable of the broker to true"
    )]
    Missing {
        /// The queue.
        topic: String,
    },
    /// The queue is called something else than queues are.
    #[error(
        "topic {topic} does not begin with {prefix}, which is errors.deadletterqueue.topic.name.prefix of the \
         broker"
    )]
    Prefix {
        /// The queue.
        topic: String,
        /// What it must begin with.
        prefix: String,
    },
    /// The queue could not be created.
    #[error("the topic was not created: {0}")]
    Create(#[from] TopicError),
    /// The queue takes no batch that is large enough for a dead letter without its content.
    #[error("a dead letter takes {bytes} bytes, where max.message.bytes of the queue allows {bytes_max}")]
    TooLarge {
        /// What it takes.
        bytes: usize,
        /// What the queue takes.
        bytes_max: usize,
    },
    /// The records can not be read for the moment.
    #[error("reading the records: {0}")]
    Read(#[from] RecordsError),
    /// The queue takes nothing.
    #[error("writing to the queue: {0}")]
    Append(#[from] AppendError),
}

/// What was counted of dead letters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LetterCounts {
    /// Those that were written.
    pub written: u64,
    /// Those of them that went without the content of their records, which was to be copied.
    pub bare: u64,
    /// Times that the queue took nothing.
    pub failures: u64,
    /// Records that are to be dead letters and are not yet.
    pub waiting: u64,
}

impl LetterCounts {
    /// Adds others.
    pub fn add(&mut self, other: LetterCounts) {
        self.written += other.written;
        self.bare += other.bare;
        self.failures += other.failures;
        self.waiting += other.waiting;
    }
}

/// What became of dead letters.
#[derive(Debug, Default)]
pub(super) struct Sent {
    /// Those that are durable, or that are to go nowhere: first and last offsets.
    pub(super) done: Vec<(i64, i64)>,
    /// What was counted.
    pub(super) counts: LetterCounts,
    /// Why the others are not done.
    pub(super) error: Option<LetterError>,
}

impl Sent {
    /// Nothing is to be written.
    fn nowhere(letters: &[Letter]) -> Sent {
        Sent { done: letters.iter().map(|letter| (letter.first, letter.last)).collect(), ..Sent::default() }
    }
}

/// Where dead letters come from.
#[derive(Clone, Copy)]
struct Origin<'a> {
    group: &'a str,
    topic: &'a str,
    partition: PartitionId,
}

impl fmt::Display for Origin<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}-{}", self.group, self.topic, self.partition.index)
    }
}

/// Writes dead letters of a share partition, as many as the queue takes.
pub(super) async fn send<L: ShareLog>(
    log: &L,
    queue: Option<&DeadLetterQueue>,
    key: &ShareKey,
    letters: &[Letter],
) -> Sent {
    let topics = log.topics();
    let source = topics.by_id(key.topic).filter(|source| queue.is_some_and(|to| to.topic != source.name));
    let (Some(queue), Some(source)) = (queue, source) else { return Sent::nowhere(letters) };
    let Some(partition) = source.partition(key.partition) else { return Sent::nowhere(letters) };
    let origin = Origin { group: &key.group, topic: &source.name, partition };
    let mut sent = Sent::default();
    let result = match find(log, queue).await {
        Ok(target) => {
            let mut post = Post::new(log, &target, origin, queue.copies, &mut sent);
            let posted = source::post(log, partition, queue.copies, letters, &mut post).await;
            // What is in the batch is written, whatever has become of the next one.
            post.close().await.and(posted)
        }
        Err(error) => Err(error),
    };
    sent.counts.failures = u64::from(result.is_err());
    sent.error = result.err();
    sent
}

/// The topic of a queue, created where that is allowed.
async fn find<L: ShareLog>(log: &L, queue: &DeadLetterQueue) -> Result<Topic, LetterError> {
    let topic = queue.topic.clone();
    if topic.starts_with(INTERNAL) {
        return Err(LetterError::Internal { topic });
    }
    let found = log.topics().by_name(&topic).cloned();
    match &found {
        Some(found) if !is_enabled(found) => return Err(LetterError::NotEnabled { topic }),
        None if !queue.creates => return Err(LetterError::Missing { topic }),
        _ if !topic.starts_with(&queue.prefix) => {
            return Err(LetterError::Prefix { topic, prefix: queue.prefix.clone() });
        }
        Some(found) => return Ok((**found).clone()),
        None => {}
    }
    // Whatever other topics are, no dead letter is lost by a crash (D9).
    let configs = [(ENABLED, "true"), ("message.timestamp.type", "CreateTime"), ("flush.messages", "1")];
    let configs = configs.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let made =
        log.create_topic(NewTopic { name: topic.clone(), partitions: queue.partitions, configs }).await;
    match made {
        Ok(made) => {
            tracing::info!(topic, "a dead letter queue is created");
            Ok((*made).clone())
        }
        // Somebody else was faster: it is looked at with the next try.
        Err(error) => Err(error.into()),
    }
}

fn is_enabled(topic: &Topic) -> bool {
    topic.own_configs.iter().any(|(name, value)| name == ENABLED && value == "true")
}
