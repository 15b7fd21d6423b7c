//! What a write brings to the log of its partition: the records as batches, or the marker that ends a
//! transaction.

use bytes::BytesMut;
use strandline_engine::format::builder::BatchBuilder;
use strandline_engine::format::compression::Codec;
use strandline_engine::types::{Sequence, Timestamp};
use strandline_engine::{Marker, Participation, Producer};

use super::error::StoreError;
use super::machine::Record;

/// A batch of the log is closed when it reaches this size; a single record may make it larger.
const BATCH_BYTES: usize = 1 << 20;

/// What is to be appended, in this order.
pub(super) enum Content {
    /// Record batches.
    Batches(Vec<BytesMut>),
    /// Record batches of a transaction, and what it was found to be.
    Transactional(Vec<BytesMut>, Option<Participation>),
    /// The end of a transaction.
    Marker(Marker),
}

/// Records as batches, each with the number of its records.
#[derive(Default)]
pub(super) struct Packed {
    pub(super) batches: Vec<BytesMut>,
    pub(super) counts: Vec<usize>,
}

impl Packed {
    fn close(&mut self, batch: BatchBuilder) {
        self.counts.push(batch.len());
        self.batches.push(batch.build());
    }
}

/// Packs records, of a producer's transaction or of none.
///
/// # Errors
/// When one cannot be encoded.
pub(super) fn pack(
    now: i64,
    records: &[impl Record],
    transaction: Option<Producer>,
) -> Result<Packed, StoreError> {
    let mut packed = Packed::default();
    let mut batch = new_batch(transaction);
    for record in records {
        let encoded = record.encode()?;
        batch.push(Timestamp(now), Some(&encoded.key), encoded.value.as_deref(), &[]);
        if batch.bytes_estimate() >= BATCH_BYTES {
            packed.close(std::mem::replace(&mut batch, new_batch(transaction)));
        }
    }
    if !batch.is_empty() {
        packed.close(batch);
    }
    Ok(packed)
}

/// As Kafka's coordinators do, every batch of a transaction begins with sequence 0: a coordinator's batches
/// are not sent twice, and their sequences are not looked at.
fn new_batch(transaction: Option<Producer>) -> BatchBuilder {
    let batch = BatchBuilder::new(Codec::None);
    match transaction {
        Some(Producer { id, epoch }) => batch.producer(id, epoch, Sequence(0)).transactional(true),
        None => batch,
    }
}
