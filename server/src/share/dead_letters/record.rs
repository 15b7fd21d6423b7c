//! The dead letters as records, and the batches that they are appended in.
//!
//! | header                        | value                                                       |
//! |-------------------------------|-------------------------------------------------------------|
//! | `__dlq.errors.topic`          | the topic that the record is of                             |
//! | `__dlq.errors.partition`      | its partition, in digits                                    |
//! | `__dlq.errors.offset`         | its offset, in digits                                       |
//! | `__dlq.errors.group`          | the share group                                             |
//! | `__dlq.errors.delivery.count` | how often the record was given out, in digits               |
//! | `__dlq.errors.message`        | that a client rejected it, or that it came back too often   |
//!
//! They are Kafka's, in its order and with its texts. Where the record is copied they stand behind its own
//! headers, so that the last one of a name is the broker's.

use std::borrow::Cow;

use strandline_engine::format::builder::BatchBuilder;
use strandline_engine::format::compression::Codec;
use strandline_engine::format::record::Record;
use strandline_engine::topics::Topic;
use strandline_engine::types::{PartitionId, Timestamp};

use super::{LetterError, Origin, Sent};
use crate::share::log::ShareLog;
use crate::share::partition::{Cause, Letter};

/// A batch is closed before it exceeds this; a single dead letter may make it larger.
const BATCH_BYTES: usize = 1 << 20;

/// More than a record takes besides its key, its value and its headers; more than a header takes besides its
/// name and value.
const RECORD_BYTES: usize = 48;
const HEADER_BYTES: usize = 10;

/// Takes dead letters of one share partition to one partition of its queue.
pub(super) struct Post<'a, L> {
    log: &'a L,
    to: PartitionId,
    origin: Origin<'a>,
    /// Whether one without content lacks something.
    copies: bool,
    bytes_max: usize,
    now: Timestamp,
    batch: BatchBuilder,
    /// The offsets of the batch, and how many of them have no content that was to be copied.
    offsets: Vec<(i64, i64)>,
    bare: u64,
    sent: &'a mut Sent,
}

impl<'a, L: ShareLog> Post<'a, L> {
    pub(super) fn new(
        log: &'a L,
        queue: &Topic,
        origin: Origin<'a>,
        copies: bool,
        sent: &'a mut Sent,
    ) -> Post<'a, L> {
        let segment_bytes = usize::try_from(queue.config.segment_bytes).unwrap_or(usize::MAX);
        Post {
            log,
            to: PartitionId::new(queue.id, origin.partition.index % queue.partitions),
            origin,
            copies,
            bytes_max: queue.config.max_message_bytes.min(segment_bytes),
            now: Timestamp((log.clock())()),
            batch: BatchBuilder::new(Codec::None),
            offsets: Vec::new(),
            bare: 0,
            sent,
        }
    }

    /// Puts the dead letter of a record into the batch, and appends the one before when it is full.
    ///
    /// # Errors
    /// Why that was not appended, or that the dead letter is too large even without content.
    pub(super) async fn add(
        &mut self,
        letter: &Letter,
        offset: i64,
        record: Option<&Record<'_>>,
    ) -> Result<(), LetterError> {
        let context = self.context(letter, offset);
        let mut content = record.and_then(|record| content(record, self.bytes_max));
        loop {
            let (key, value, own) =
                content.take().map_or((None, None, None), |(key, value, own)| (key, value, Some(own)));
            let is_bare = own.is_none();
            let own = own.unwrap_or_default();
            let of_record = own.iter().map(|(name, value)| (&**name, *value));
            let of_queue = context.iter().map(|(name, value)| (*name, Some(value.as_bytes())));
            let headers: Vec<_> = of_record.chain(of_queue).collect();
            if self.batch.bytes_estimate() + bytes_of(key, value, &headers) > self.bytes_max.min(BATCH_BYTES)
            {
                self.close().await?;
            }
            self.batch.push(self.now, key, value, &headers);
            let bytes = self.batch.bytes_estimate();
            if bytes <= self.bytes_max {
                self.bare += u64::from(is_bare && self.copies);
                break;
            }
            self.batch = BatchBuilder::new(Codec::None);
            if is_bare {
                return Err(LetterError::TooLarge { bytes, bytes_max: self.bytes_max });
            }
        }
        match self.offsets.last_mut() {
            Some((_, last)) if *last + 1 == offset => *last = offset,
            _ => self.offsets.push((offset, offset)),
        }
        Ok(())
    }

    /// Appends the batch, and waits until it is durable.
    ///
    /// # Errors
    /// Why it is not.
    pub(super) async fn close(&mut self) -> Result<(), LetterError> {
        let offsets = std::mem::take(&mut self.offsets);
        let bare = std::mem::take(&mut self.bare);
        let batch = std::mem::replace(&mut self.batch, BatchBuilder::new(Codec::None));
        if batch.is_empty() {
            return Ok(());
        }
        let written = batch.len() as u64;
        let pending = self.log.append(self.to, batch.build()).await?;
        L::settled(pending).await?;
        tracing::debug!(from = %self.origin, to = %self.to, written, "dead letters are written");
        self.sent.done.extend(offsets);
        self.sent.counts.written += written;
        self.sent.counts.bare += bare;
        Ok(())
    }

    fn context(&self, letter: &Letter, offset: i64) -> [(&'static str, Cow<'a, str>); 6] {
        let Origin { group, topic, partition } = self.origin;
        let message = match letter.cause {
            Cause::Rejected => "Offset rejected by client.",
            Cause::Undelivered => "Offset delivery count exceeded the threshold.",
        };
        [
            ("__dlq.errors.topic", Cow::Borrowed(topic)),
            ("__dlq.errors.partition", Cow::Owned(partition.index.to_string())),
            ("__dlq.errors.offset", Cow::Owned(offset.to_string())),
            ("__dlq.errors.group", Cow::Borrowed(group)),
            ("__dlq.errors.delivery.count", Cow::Owned(letter.deliveries.to_string())),
            ("__dlq.errors.message", Cow::Borrowed(message)),
        ]
    }
}

/// A key, a value, and headers.
type Content<'a> = (Option<&'a [u8]>, Option<&'a [u8]>, Vec<(Cow<'a, str>, Option<&'a [u8]>)>);

/// What is copied of a record; nothing of one that is too large, or whose headers cannot be read.
fn content<'a>(record: &Record<'a>, bytes_max: usize) -> Option<Content<'a>> {
    let length = |field: Option<&[u8]>| field.map_or(0, <[u8]>::len);
    let mut bytes = length(record.key) + length(record.value);
    let mut headers = Vec::new();
    for header in record.headers {
        let (name, value) = header.ok()?;
        bytes += name.len() + length(value);
        if bytes > bytes_max {
            return None;
        }
        headers.push((String::from_utf8_lossy(name), value));
    }
    (bytes <= bytes_max).then_some((record.key, record.value, headers))
}

/// No less than a record takes.
fn bytes_of(key: Option<&[u8]>, value: Option<&[u8]>, headers: &[(&str, Option<&[u8]>)]) -> usize {
    let length = |field: Option<&[u8]>| field.map_or(0, <[u8]>::len);
    let headers = headers.iter().map(|(name, value)| HEADER_BYTES + name.len() + length(*value));
    RECORD_BYTES + length(key) + length(value) + headers.sum::<usize>()
}
