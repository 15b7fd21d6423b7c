//! Reads the groups of one partition of the internal topic, as they were left.
//!
//! Later records replace earlier ones of the same key, so that it does not matter whether compaction has been there. Memory is that of
//! the groups there are, and of one read.

use std::borrow::Cow;
use std::collections::HashMap;

use strandline_engine::error::ReadError;
use strandline_engine::format::batch::{BATCH_HEADER_BYTES, BatchError, BatchHeader, Batches, verify_crc};
use strandline_engine::format::compression::{Codec, DecompressError, decompress};
use strandline_engine::format::record;
use strandline_engine::io::is_shortage;
use strandline_engine::reactor::yield_if_needed;
use strandline_engine::types::{Offset, PartitionId};
use strandline_engine::{Local, ReadRequest};

use super::offsets::Offsets;
use super::records::{Change, GroupValue};

/// What is read at once, unless one batch is larger.
const READ_BYTES: u64 = 1 << 20;

/// No batch of the topic unpacks to more; ours are not packed.
const UNPACKED_BYTES_MAX: usize = 64 << 20;

/// What the log knows of one group.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    /// `None` for a group that only has offsets.
    pub(super) value: Option<GroupValue>,
    pub(super) offsets: Offsets,
}

/// Why a partition could not be read to its end: its groups are not served then.
#[derive(Debug, thiserror::Error)]
pub(super) enum LoadError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("reading records failed: {0}")]
    Io(#[from] std::io::Error),
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
        match self {
            LoadError::Read(ReadError::Faulty { fault, .. }) => fault.is_shortage(),
            LoadError::Io(error) => is_shortage(error),
            _ => false,
        }
    }
}

/// Everything that the partition says, by group id.
pub(super) async fn load(
    shard: &Local,
    partition: PartitionId,
) -> Result<HashMap<String, Loaded>, LoadError> {
    let mut groups = HashMap::new();
    let mut next = Offset::ZERO;
    loop {
        let request = ReadRequest { partition, offset: next, bytes_max: READ_BYTES };
        let found = match shard.read(&[request]).await.pop().expect("one answer to one request") {
            Err(ReadError::OffsetOutOfRange { log_start, .. }) if next < log_start => {
                next = log_start;
                continue;
            }
            found => found?,
        };
        let Some(range) = found.batches else { break };
        let bytes = shard.copy(&range).await?;
        let mut batches = Batches::new(&bytes);
        for batch in &mut batches {
            let (header, batch) = batch.map_err(|source| LoadError::Batch { offset: next, source })?;
            let offset = header.base_offset();
            verify_crc(batch).map_err(|source| LoadError::Batch { offset, source })?;
            let codec = header.codec().map_err(|source| LoadError::Batch { offset, source })?;
            if !header.is_control() {
                take_batch(header, codec, batch, next, &mut groups)?;
            }
            next = header.next_offset();
            yield_if_needed().await;
        }
        if batches.consumed() == 0 {
            return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
        }
    }
    groups.retain(|_, loaded: &mut Loaded| loaded.value.is_some() || !loaded.offsets.is_empty());
    Ok(groups)
}

/// Takes in the records from `next` on: compaction may just have stretched the batch before it over that.
fn take_batch(
    header: &BatchHeader,
    codec: Codec,
    batch: &[u8],
    next: Offset,
    groups: &mut HashMap<String, Loaded>,
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
    for record in record::Records::new(&records, header.record_count().max(0) as u32) {
        let record = record.map_err(|source| LoadError::Record { offset, source })?;
        if offset.plus(i64::from(record.offset_delta)) < next {
            continue;
        }
        match Change::decode(record.key.unwrap_or_default(), record.value) {
            Ok(change) => apply(change, groups),
            // Kafka passes over what it does not know as well: a newer broker may have written it.
            Err(reason) => tracing::warn!(%offset, %reason, "a record of the internal topic is passed over"),
        }
    }
    Ok(())
}

fn apply(change: Change, groups: &mut HashMap<String, Loaded>) {
    match change {
        Change::Offset(key, value) => {
            let offsets = &mut groups.entry(key.group).or_default().offsets;
            match value {
                Some(value) => offsets.put(key.topic, key.partition, value),
                None => offsets.remove(&key.topic, key.partition),
            }
        }
        Change::Group(key, value) => groups.entry(key.group).or_default().value = value,
        Change::Foreign(kind) => tracing::debug!(kind, "a record of a group protocol that is not served"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::groups::records::{GroupKey, OffsetKey, OffsetValue};

    #[test]
    fn later_records_replace_earlier_ones_and_tombstones_leave_nothing() {
        let offset = |partition, value: Option<i64>| {
            let key = OffsetKey { group: "g".to_owned(), topic: "t".to_owned(), partition };
            Change::Offset(key, value.map(|offset| OffsetValue { offset, ..Default::default() }))
        };
        let group = |generation: Option<i32>| {
            let value = generation.map(|generation| GroupValue { generation, ..Default::default() });
            Change::Group(GroupKey { group: "g".to_owned() }, value)
        };
        let mut groups = HashMap::new();
        let changes = [
            group(Some(1)),
            offset(0, Some(5)),
            offset(1, Some(6)),
            group(Some(2)),
            offset(0, Some(7)),
            offset(1, None),
            Change::Foreign(3),
        ];
        for change in changes {
            apply(change, &mut groups);
        }
        let loaded = &groups["g"];
        assert_eq!(loaded.value.as_ref().unwrap().generation, 2);
        assert_eq!(loaded.offsets.get("t", 0).unwrap().offset, 7);
        assert!(loaded.offsets.get("t", 1).is_none());
        apply(group(None), &mut groups);
        apply(offset(0, None), &mut groups);
        assert!(groups["g"].value.is_none() && groups["g"].offsets.is_empty());
    }
}
