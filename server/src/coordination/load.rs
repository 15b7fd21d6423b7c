//! Replays the log of one partition of an internal topic into a machine.
//!
//! Later records replace earlier ones of the same key, so that it does not matter whether compaction has been
//! there. Records of a transaction are pending until its marker comes, which may be never. Memory is that of
//! the machine, and of one read.

use std::borrow::Cow;

use strandline_engine::error::ReadError;
use strandline_engine::format::batch::{BATCH_HEADER_BYTES, BatchError, BatchHeader, Batches, verify_crc};
use strandline_engine::format::compression::{Codec, DecompressError, decompress};
use strandline_engine::format::marker::EndMarker;
use strandline_engine::format::record;
use strandline_engine::types::{Offset, PartitionId};

use super::machine::{Machine, Record};
use super::partitions::{Partitions, RecordsError};

/// What is read at once, unless one batch is larger.
const READ_BYTES: u64 = 1 << 20;

/// No batch of an internal topic unpacks to more; ours are not packed.
const UNPACKED_BYTES_MAX: usize = 64 << 20;

/// Why a partition could not be replayed to its end: it is not served then.
#[derive(Debug, thiserror::Error)]
pub(super) enum LoadError {
    #[error(transparent)]
    Records(#[from] RecordsError),
    #[error("the log ends within a batch at offset {offset}")]
    Cut { offset: Offset },
    #[error("the batch at offset {offset}: {source}")]
    Batch { offset: Offset, source: BatchError },
    #[error("the batch at offset {offset}: {source}")]
    Unpack { offset: Offset, source: DecompressError },
    #[error("the batch at offset {offset}: {source}")]
    Record { offset: Offset, source: record::RecordError },
}

impl LoadError {
    /// Whether the system was short of something that comes back.
    pub(super) fn is_shortage(&self) -> bool {
        matches!(self, LoadError::Records(error) if error.is_shortage())
    }

    /// Whether records are missing that may come back.
    pub(super) fn is_incomplete(&self) -> bool {
        matches!(self, LoadError::Records(error) if error.is_incomplete())
    }
}

/// A machine that knows everything that the partition says.
pub(super) async fn load<M: Machine>(
    partitions: &impl Partitions,
    partition: PartitionId,
    settings: &M::Settings,
) -> Result<M, LoadError> {
    let clock = partitions.clock();
    let mut machine = M::new(settings);
    let mut next = Offset::ZERO;
    loop {
        let bytes = match partitions.read(partition, next, READ_BYTES).await {
            Err(RecordsError::Read(ReadError::OffsetOutOfRange { log_start, .. })) if next < log_start => {
                next = log_start;
                continue;
            }
            read => read?,
        };
        if bytes.is_empty() {
            return Ok(machine);
        }
        let mut batches = Batches::new(&bytes);
        for batch in &mut batches {
            let (header, batch) = batch.map_err(|source| LoadError::Batch { offset: next, source })?;
            let offset = header.base_offset();
            verify_crc(batch).map_err(|source| LoadError::Batch { offset, source })?;
            let codec = header.codec().map_err(|source| LoadError::Batch { offset, source })?;
            match header.is_control() {
                true => replay_marker(&mut machine, clock(), header, batch, next),
                false => replay_batch(&mut machine, clock(), header, codec, batch, next)?,
            }
            next = header.next_offset();
            partitions.yield_if_needed().await;
        }
        if batches.consumed() == 0 {
            return Err(LoadError::Cut { offset: next });
        }
    }
}

/// Replays the end of a transaction. Of what the log marks besides, a newer broker may have written some.
fn replay_marker<M: Machine>(machine: &mut M, now: i64, header: &BatchHeader, batch: &[u8], next: Offset) {
    // As with records: compaction may have stretched the batch.
    if header.base_offset() < next {
        return;
    }
    if let Some(producer) = header.producer()
        && let Some(marker) = EndMarker::read(batch)
    {
        machine.end_transaction(now, producer.id, marker.result);
    }
}

/// Replays the records from `next` on: compaction may just have stretched the batch before it over that.
fn replay_batch<M: Machine>(
    machine: &mut M,
    now: i64,
    header: &BatchHeader,
    codec: Codec,
    batch: &[u8],
    next: Offset,
) -> Result<(), LoadError> {
    let offset = header.base_offset();
    let packed = &batch[BATCH_HEADER_BYTES..];
    let records = match codec {
        Codec::None => Cow::Borrowed(packed),
        codec => Cow::Owned(
            decompress(codec, packed, UNPACKED_BYTES_MAX)
                .map_err(|source| LoadError::Unpack { offset, source })?,
        ),
    };
    let transaction = header.producer().filter(|_| header.is_transactional());
    for record in record::Records::new(&records, header.record_count().max(0) as u32) {
        let record = record.map_err(|source| LoadError::Record { offset, source })?;
        let at = offset.plus(i64::from(record.offset_delta));
        if at < next {
            continue;
        }
        match M::Record::decode(record.key.unwrap_or_default(), record.value) {
            Ok(record) => match transaction {
                Some(producer) => machine.replay_pending(now, at, producer.id, record),
                None => machine.replay(now, at, record),
            },
            Err(reason) => tracing::warn!(%offset, %reason, "a record of an internal topic is passed over"),
        }
    }
    Ok(())
}
