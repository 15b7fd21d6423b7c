//! The log of a broker that has none: stamped batches, made before they are asked for, so that to serve them
//! costs no more than to send them.
//!
//! ```text
//! partition   | batch, base offset 0 | batch, base offset n | ...      all of one size, so an offset is a position by division
//! ```
//! Every partition holds what producer 0 would have sent to it, and stands every check of a reader.

use crate::client::{ClientError, Topic};
use crate::clock::wall_ms;
use crate::stamp::{Stamp, Stream};
use crate::template::Template;
use crate::workload::{Compression, Workload};
use bytes::Bytes;
use strandline_protocol::Uuid;
use strandline_protocol::messages::ProduceRequest;
use strandline_protocol::wire::Message;

/// Partitions with the same number of batches.
#[derive(Debug)]
pub(crate) struct Canned {
    partitions: Vec<Bytes>,
    batch_bytes: usize,
    records_per_batch: usize,
}

impl Canned {
    /// About `bytes` in all partitions of the workload's topic together, at least a batch in each.
    pub(crate) fn new(workload: &Workload, bytes: usize) -> Result<Canned, ClientError> {
        // The stamps of compressed records can not be written.
        let workload = Workload { codec: Compression::None, ..workload.clone() };
        let records_per_batch = workload.records_per_batch as usize;
        let topic = Topic { name: String::new(), id: Uuid::nil(), leaders: Vec::new() };
        let template =
            Template::new(&workload, &topic, *ProduceRequest::VERSIONS.end(), 1, records_per_batch)?;
        let batches = (bytes / workload.partitions as usize / template.bytes()).max(1);
        let now = wall_ms();
        let mut batch_bytes = 0;
        let mut fill = |partition: u32| {
            let stream = Stream { producer: 0, partition };
            let (mut log, mut request, mut sequence, mut chain) = (Vec::new(), Vec::new(), 0, 0);
            for _ in 0..batches {
                request.clear();
                let base_offset = sequence as i64;
                let mut copied = template.copy(&mut request, 0);
                copied.batch(0, partition as i32, None, now, || {
                    let stamp = Stamp::after(chain, stream, sequence, 0);
                    (chain, sequence) = (stamp.chain, sequence + 1);
                    stamp
                });
                let start = log.len();
                log.extend_from_slice(copied.records(0));
                log[start..start + 8].copy_from_slice(&base_offset.to_be_bytes());
                batch_bytes = log.len() - start;
            }
            Bytes::from(log)
        };
        let partitions = (0..workload.partitions).map(&mut fill).collect();
        Ok(Canned { partitions, batch_bytes, records_per_batch })
    }

    /// The offset behind the last record; 0 for a partition that is not here.
    pub(crate) fn end(&self, partition: i32) -> i64 {
        let bytes = self.partition(partition).map_or(0, Bytes::len);
        (bytes / self.batch_bytes * self.records_per_batch) as i64
    }

    /// Whole batches from the one with `offset` on, at most `bytes` unless the first is larger; none behind
    /// the end.
    pub(crate) fn read(&self, partition: i32, offset: i64, bytes: usize) -> Bytes {
        let Some(log) = self.partition(partition) else { return Bytes::new() };
        let first = usize::try_from(offset).unwrap_or(0) / self.records_per_batch;
        let start = first.saturating_mul(self.batch_bytes).min(log.len());
        let wanted = (bytes / self.batch_bytes).max(1) * self.batch_bytes;
        log.slice(start..log.len().min(start + wanted))
    }

    fn partition(&self, partition: i32) -> Option<&Bytes> {
        self.partitions.get(usize::try_from(partition).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::Verifier;
    use strandline_engine::format::batch::{BATCH_HEADER_BYTES, Batches, verify_crc};
    use strandline_engine::format::record::Records;

    #[test]
    fn what_is_read_piece_by_piece_passes_every_check_of_a_reader() {
        let workload =
            Workload { partitions: 3, record_bytes: 100, records_per_batch: 7, ..Workload::default() };
        let canned = Canned::new(&workload, 100_000).unwrap();
        let mut verifier = Verifier::default();
        for partition in 0..3 {
            let mut offset = 0;
            while offset < canned.end(partition) {
                let piece = canned.read(partition, offset, 3_000);
                assert!(piece.len() <= 3_000, "{} bytes", piece.len());
                for batch in Batches::new(&piece) {
                    let (header, bytes) = batch.unwrap();
                    verify_crc(bytes).unwrap();
                    assert_eq!(header.base_offset().get(), offset);
                    offset = header.next_offset().get();
                    for record in Records::new(&bytes[BATCH_HEADER_BYTES..], 7) {
                        let stamp = Stamp::read(record.unwrap().value.unwrap()).unwrap();
                        verifier.record(partition as u32, &stamp).unwrap();
                    }
                }
            }
            assert!(offset > 100 && canned.read(partition, offset, 3_000).is_empty());
        }
        assert_eq!(canned.read(0, 0, 1).len(), canned.batch_bytes, "never less than a batch");
        assert_eq!((canned.end(3), canned.end(-1)), (0, 0));
    }
}
