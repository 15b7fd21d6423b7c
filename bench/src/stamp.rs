//! What every record says about itself, so that a reader can tell a lost, repeated, moved or altered one.
//!
//! ```text
//! value    0        4         8        16           24      32
//!          |producer|partition|sequence|due, ns     |chain  | filler ...
//!          |u32     |u32      |u64     |u64         |u64    |             little-endian
//! chain    mix of the chain before it, the sequence and the due time: a record fits only behind its predecessor
//! ```
//! A stream is what one producer sends to one partition; sequences count from 0 in it.

use crate::schedule::mix;

/// The bytes of a stamp, and the smallest record that can be sent.
pub(crate) const STAMP_BYTES: usize = 32;

/// A producer and the partition that it sends to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Stream {
    /// The producer's number in its run.
    pub(crate) producer: u32,
    /// The partition's index.
    pub(crate) partition: u32,
}

/// A record's place in its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// Whose it is.
    pub(crate) stream: Stream,
    /// Its number in the stream, from 0.
    pub(crate) sequence: u64,
    /// When it was due, in nanoseconds of [`crate::clock`].
    pub(crate) due: u64,
    /// The chain up to and including it.
    pub(crate) chain: u64,
}

impl Stamp {
    /// The stamp of the record that follows `chain` in its stream.
    #[inline]
    pub(crate) fn after(chain: u64, stream: Stream, sequence: u64, due: u64) -> Stamp {
        let identity = (u64::from(stream.producer) << 32) | u64::from(stream.partition);
        Stamp { stream, sequence, due, chain: mix(chain ^ mix(sequence ^ mix(due ^ identity))) }
    }

    /// Writes it over the first [`STAMP_BYTES`] of a value.
    #[inline]
    pub(crate) fn write(&self, value: &mut [u8]) {
        value[0..4].copy_from_slice(&self.stream.producer.to_le_bytes());
        value[4..8].copy_from_slice(&self.stream.partition.to_le_bytes());
        value[8..16].copy_from_slice(&self.sequence.to_le_bytes());
        value[16..24].copy_from_slice(&self.due.to_le_bytes());
        value[24..32].copy_from_slice(&self.chain.to_le_bytes());
    }

    /// The stamp of a value; `None` when it is too short to have one.
    #[inline]
    pub(crate) fn read(value: &[u8]) -> Option<Stamp> {
        let bytes = value.first_chunk::<STAMP_BYTES>()?;
        let u32_at = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("4 bytes"));
        let u64_at = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes"));
        let stream = Stream { producer: u32_at(0), partition: u32_at(4) };
        Some(Stamp { stream, sequence: u64_at(8), due: u64_at(16), chain: u64_at(24) })
    }
}
