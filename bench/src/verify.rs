//! Checks that everything that was acknowledged is there: once, in order, unaltered.
//!
//! A stream must read back without a gap from its first record on (the generator stops at the first refusal,
//! so there is never a hole to excuse) and reach at least as far as it was acknowledged. More than that may
//! be there: sent, but not answered in time.

use crate::stamp::{Stamp, Stream};
use std::collections::HashMap;

/// What must not be in a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Violation {
    /// A record is gone, or has overtaken another one.
    #[error("producer {0} partition {1}: record {expected} is missing, {found} follows instead", stream.producer, stream.partition)]
    Missing { stream: Stream, expected: u64, found: u64 },
    /// A record came again.
    #[error("producer {0} partition {1}: record {found} came again, {expected} was next", stream.producer, stream.partition)]
    Repeated { stream: Stream, expected: u64, found: u64 },
    /// The right number, but not the record that was sent.
    #[error("producer {0} partition {1}: record {sequence} is not the one that was sent", stream.producer, stream.partition)]
    Altered { stream: Stream, sequence: u64 },
    /// A record that lies in another partition than it was sent to.
    #[error("a record of producer {0} for partition {1} is in partition {found_in}", stream.producer, stream.partition)]
    Misplaced { stream: Stream, found_in: u32 },
    /// A record that no generator made.
    #[error("partition {partition} offset {offset}: a record without a stamp")]
    Foreign { partition: u32, offset: i64 },
    /// The end of a stream is not there.
    #[error("producer {0} partition {1}: {acknowledged} records acknowledged, {found} found", stream.producer, stream.partition)]
    Short { stream: Stream, acknowledged: u64, found: u64 },
    /// Records that are only to be seen by those who read uncommitted, or by nobody.
    #[error("producer {0} partition {1}: {found} records found, {expected} were to be seen", stream.producer, stream.partition)]
    Surplus { stream: Stream, expected: u64, found: u64 },
    /// The batch is not what its sum says.
    #[error("partition {partition} offset {offset}: the sum of the batch is wrong")]
    Crc { partition: u32, offset: i64 },
}

/// How far a stream has been read.
#[derive(Clone, Copy, Debug, Default)]
struct Position {
    next: u64,
    chain: u64,
}

/// Reads along.
#[derive(Debug, Default)]
pub(crate) struct Verifier {
    streams: HashMap<Stream, Position>,
    /// The stream of the last record, out of the map while its batch is read.
    current: Option<(Stream, Position)>,
}

impl Verifier {
    /// The next record of a partition.
    #[inline]
    pub(crate) fn record(&mut self, partition: u32, stamp: &Stamp) -> Result<(), Violation> {
        let stream = stamp.stream;
        if stream.partition != partition {
            return Err(Violation::Misplaced { stream, found_in: partition });
        }
        if !matches!(self.current, Some((current, _)) if current == stream) {
            self.put_back();
            self.current = Some((stream, self.streams.get(&stream).copied().unwrap_or_default()));
        }
        let (_, position) = self.current.as_mut().expect("it was set above");
        let (expected, found) = (position.next, stamp.sequence);
        if found < expected {
            return Err(Violation::Repeated { stream, expected, found });
        }
        if found > expected {
            return Err(Violation::Missing { stream, expected, found });
        }
        if Stamp::after(position.chain, stream, found, stamp.due).chain != stamp.chain {
            return Err(Violation::Altered { stream, sequence: found });
        }
        *position = Position { next: found + 1, chain: stamp.chain };
        Ok(())
    }

    /// A batch whose records can not be looked at singly: `count` records from `first` on.
    pub(crate) fn batch(&mut self, stream: Stream, first: u64, count: u64) -> Result<(), Violation> {
        self.put_back();
        let position = self.streams.entry(stream).or_default();
        if first < position.next {
            return Err(Violation::Repeated { stream, expected: position.next, found: first });
        }
        if first > position.next {
            return Err(Violation::Missing { stream, expected: position.next, found: first });
        }
        position.next += count;
        Ok(())
    }

    fn put_back(&mut self) {
        if let Some((stream, position)) = self.current.take() {
            self.streams.insert(stream, position);
        }
    }

    /// Takes over the streams of a verifier that read other partitions.
    pub(crate) fn merge(&mut self, mut other: Verifier) {
        self.put_back();
        other.put_back();
        self.streams.extend(other.streams);
    }

    /// Whether all that was acknowledged has been read: the number of records by stream.
    pub(crate) fn finish(&mut self, acknowledged: &HashMap<Stream, u64>) -> Result<u64, Violation> {
        self.put_back();
        for (&stream, &acknowledged) in acknowledged {
            let found = self.streams.get(&stream).map_or(0, |position| position.next);
            if found < acknowledged {
                return Err(Violation::Short { stream, acknowledged, found });
            }
        }
        Ok(self.streams.values().map(|position| position.next).sum())
    }

    /// Whether exactly these records have been read: the number of records by stream.
    pub(crate) fn finish_exactly(&mut self, records: &HashMap<Stream, u64>) -> Result<u64, Violation> {
        let total = self.finish(records)?;
        for (&stream, &Position { next: found, .. }) in &self.streams {
            let expected = records.get(&stream).copied().unwrap_or(0);
            if found > expected {
                return Err(Violation::Surplus { stream, expected, found });
            }
        }
        Ok(total)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: Stream = Stream { producer: 3, partition: 1 };

    fn stamps(count: u64) -> Vec<Stamp> {
        let mut chain = 0;
        (0..count)
            .map(|sequence| {
                let stamp = Stamp::after(chain, STREAM, sequence, 1_000 + sequence);
                chain = stamp.chain;
                stamp
            })
            .collect()
    }

    fn read(stamps: &[Stamp]) -> Result<u64, Violation> {
        let mut verifier = Verifier::default();
        for stamp in stamps {
            let mut value = [0; 40];
            stamp.write(&mut value);
            verifier.record(1, &Stamp::read(&value).expect("it has a stamp"))?;
        }
        verifier.finish(&HashMap::from([(STREAM, 10)]))
    }

    #[test]
    fn an_intact_stream_is_accepted_with_more_than_was_acknowledged() {
        assert_eq!(read(&stamps(10)), Ok(10));
        assert_eq!(read(&stamps(12)), Ok(12));
    }

    #[test]
    fn a_lost_record_is_found_in_the_middle_and_at_the_end() {
        let mut gap = stamps(10);
        gap.remove(4);
        assert_eq!(read(&gap), Err(Violation::Missing { stream: STREAM, expected: 4, found: 5 }));
        assert_eq!(read(&stamps(9)), Err(Violation::Short { stream: STREAM, acknowledged: 10, found: 9 }));
        assert_eq!(read(&[]), Err(Violation::Short { stream: STREAM, acknowledged: 10, found: 0 }));
    }

    #[test]
    fn exactly_is_neither_less_nor_more_nor_of_another_stream() {
        let exactly = |records: &[(Stream, u64)]| {
            let mut verifier = Verifier::default();
            for stamp in stamps(10) {
                verifier.record(1, &stamp).expect("it is the next");
            }
            verifier.finish_exactly(&records.iter().copied().collect())
        };
        assert_eq!(exactly(&[(STREAM, 10)]), Ok(10));
        let more = Violation::Surplus { stream: STREAM, expected: 9, found: 10 };
        assert_eq!(exactly(&[(STREAM, 9)]), Err(more));
        assert_eq!(exactly(&[]), Err(Violation::Surplus { stream: STREAM, expected: 0, found: 10 }));
        let less = Violation::Short { stream: STREAM, acknowledged: 11, found: 10 };
        assert_eq!(exactly(&[(STREAM, 11)]), Err(less));
    }

    #[test]
    fn a_repeated_or_overtaken_record_is_found() {
        let mut twice = stamps(10);
        twice.insert(4, twice[3]);
        assert_eq!(read(&twice), Err(Violation::Repeated { stream: STREAM, expected: 4, found: 3 }));
        let mut swapped = stamps(10);
        swapped.swap(4, 5);
        assert_eq!(read(&swapped), Err(Violation::Missing { stream: STREAM, expected: 4, found: 5 }));
    }

    #[test]
    fn an_altered_record_is_found_by_the_chain() {
        let mut altered = stamps(10);
        altered[6].due += 1;
        assert_eq!(read(&altered), Err(Violation::Altered { stream: STREAM, sequence: 6 }));
    }

    #[test]
    fn a_record_in_the_wrong_partition_is_found() {
        let mut verifier = Verifier::default();
        assert_eq!(
            verifier.record(2, &stamps(1)[0]),
            Err(Violation::Misplaced { stream: STREAM, found_in: 2 })
        );
    }

    #[test]
    fn interleaved_streams_are_told_apart() {
        let other = Stream { producer: 4, partition: 1 };
        let mut verifier = Verifier::default();
        let mine = stamps(2);
        verifier.record(1, &mine[0]).expect("the first of one stream");
        let theirs = Stamp::after(0, other, 0, 5);
        verifier.record(1, &theirs).expect("the first of the other");
        verifier.record(1, &mine[1]).expect("the second of one stream");
        assert_eq!(verifier.finish(&HashMap::from([(STREAM, 2), (other, 1)])), Ok(3));
    }
}
