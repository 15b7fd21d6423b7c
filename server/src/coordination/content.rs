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

/// Packs records, of a producer's transaction or of none; into one batch where they must be found together.
///
/// # Errors
/// When one cannot be encoded.
pub(super) fn pack(
    now: i64,
    records: &[impl Record],
    transaction: Option<Producer>,
    is_whole: bool,
) -> Result<Packed, StoreError> {
    let mut packed = Packed::default();
    let mut batch = new_batch(transaction);
    for record in records {
        let encoded = record.encode()?;
        batch.push(Timestamp(now), Some(&encoded.key), encoded.value.as_deref(), &[]);
        if !is_whole && batch.bytes_estimate() >= BATCH_BYTES {
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

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use strandline_protocol::wire::EncodeError;

    use super::*;
    use crate::coordination::Encoded;

    /// A record of half a batch.
    struct Half;

    impl Record for Half {
        type Error = &'static str;

        fn encode(&self) -> Result<Encoded, EncodeError> {
            Ok(Encoded { key: Bytes::from_static(b"k"), value: Some(vec![0; BATCH_BYTES / 2].into()) })
        }

        fn decode(_: &[u8], _: Option<&[u8]>) -> Result<Half, &'static str> {
            Ok(Half)
        }
    }

    #[test]
    fn d9_records_that_are_found_together_or_not_at_all_are_one_batch_and_others_are_several() {
        let counts = |is_whole| pack(0, &[Half, Half, Half, Half, Half], None, is_whole).unwrap().counts;
        assert_eq!(counts(false), [2, 2, 1]);
        assert_eq!(counts(true), [5]);
    }
}
