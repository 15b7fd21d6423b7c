//! Commits as they are written, and every way in which a journal file ends.

use super::*;
use crate::format::builder::BatchBuilder;
use crate::format::compression::Codec;
use crate::types::Timestamp;

fn partition() -> PartitionId {
    PartitionId::new(TopicId::from_bytes([9; 16]), 4)
}

fn batch(value: &[u8]) -> Vec<u8> {
    let mut builder = BatchBuilder::new(Codec::None);
    builder.push(Timestamp(0), None, Some(value), &[]);
    builder.build().to_vec()
}

fn commit(generation: u64, sequence: u64, value: &[u8]) -> AlignedBuffer {
    let mut buffer = AlignedBuffer::new();
    encode_commit(&mut buffer, generation, sequence, &[(partition(), 0, &batch(value))]);
    buffer
}

fn expect(sequence: u64) -> Expect {
    Expect { generation: Some(8), sequence }
}

fn end(bytes: &[u8], expect: Expect) -> End {
    read_commit(bytes, expect).map(|_| ()).expect_err("no commit")
}

#[test]
fn commits_follow_each_other_at_block_borders() {
    let mut file = AlignedBuffer::new();
    let sizes = [1, 5000, 3900, 4096, 20_000];
    for (sequence, size) in (0..).zip(sizes) {
        encode_commit(
            &mut file,
            8,
            sequence,
            &[(partition(), 0, &batch(&vec![3; size])), (partition(), 2, &batch(b"."))],
        );
    }
    let mut rest = file.as_ref();
    for sequence in 0..sizes.len() as u64 {
        let padded = peek_commit(&rest[..COMMIT_ALIGNMENT], expect(sequence)).expect("a header");
        let commit = read_commit(&rest[..padded], expect(sequence)).expect("a commit");
        commit.verify().expect("whole");
        assert_eq!(commit.padded_bytes(), padded);
        assert!(padded.is_multiple_of(COMMIT_ALIGNMENT));
        rest = &rest[padded..];
    }
    assert_eq!(end(rest, expect(5)), End::Short { needed: COMMIT_ALIGNMENT, found: 0 });
}

#[test]
fn each_end_says_why() {
    assert_eq!(end(&[0; COMMIT_ALIGNMENT], expect(0)), End::Zeros);
    assert_eq!(end(&[1; COMMIT_ALIGNMENT], expect(0)), End::Magic);
    let older = commit(7, 2, b"old");
    assert_eq!(end(older.as_ref(), expect(2)), End::Generation { expected: 8, found: 7 });
    let other = commit(8, 2, b"old");
    assert_eq!(end(other.as_ref(), expect(3)), End::Sequence { expected: 3, found: 2 });
    let mut newer = other.as_ref().to_vec();
    newer[8] = 3;
    assert_eq!(end(&newer, expect(2)), End::Version { found: 3 });
    let large = commit(8, 0, &[5; 9000]);
    assert_eq!(end(&large.as_ref()[..8192], expect(0)), End::Short { needed: 12288, found: 8192 });
    assert!(End::Zeros.is_clean() && !End::Version { found: 2 }.is_clean());
}

#[test]
fn an_absurd_size_is_refused_before_anything_is_read() {
    let sound = commit(8, 0, b"v");
    for (bytes, entry_count) in
        [(u32::MAX, 1), (COMMIT_BYTES_MAX as u32 + 1, 1), (200, u32::MAX), (39, 1), (200, 0)]
    {
        let mut forged = sound.as_ref().to_vec();
        forged[32..36].copy_from_slice(&bytes.to_le_bytes());
        forged[36..40].copy_from_slice(&entry_count.to_le_bytes());
        assert_eq!(peek_commit(&forged, expect(0)), Err(End::Size { bytes, entry_count }));
        assert_eq!(end(&forged, expect(0)), End::Size { bytes, entry_count });
    }
}

#[test]
fn a_torn_commit_is_noticed_by_one_sum_or_the_other() {
    // Every subset of one missing block: the write was cut, and an earlier use of the file shows through.
    let large = commit(8, 0, &[5; 20_000]);
    for block in 0..large.len() / COMMIT_ALIGNMENT {
        let mut torn = large.as_ref().to_vec();
        torn[block * COMMIT_ALIGNMENT..][..COMMIT_ALIGNMENT].fill(0xee);
        let result = read_commit(&torn, expect(0)).and_then(|commit| commit.verify());
        match block {
            0 => assert_eq!(result, Err(End::Magic)),
            _ => assert!(matches!(result, Err(End::Batch { entry: 0, error: BatchError::Crc { .. } }))),
        }
    }
}

#[test]
fn entries_that_contradict_their_batches_are_refused_even_under_a_right_sum() {
    let sound = commit(8, 0, b"v");
    let entry = HEADER_BYTES;
    // base offset, negative base offset, length, kind
    let forgeries: [(usize, &[u8]); 4] =
        [(16, &1i64.to_le_bytes()), (16, &(-1i64).to_le_bytes()), (28, &61u32.to_le_bytes()), (32, &[3])];
    for (place, bytes) in forgeries {
        let mut forged = sound.as_ref().to_vec();
        forged[entry + place..][..bytes.len()].copy_from_slice(bytes);
        forged[12..16].fill(0);
        let crc = crc32fast::hash(&forged[..entry + ENTRY_BYTES + BATCH_HEADER_BYTES]);
        forged[12..16].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(end(&forged, expect(0)), End::Entry { entry: 0 }, "{place}");
    }

    let mut longer = sound.as_ref().to_vec();
    let bytes = u32::from_le_bytes(longer[32..36].try_into().expect("4 bytes")) + 1;
    longer[32..36].copy_from_slice(&bytes.to_le_bytes());
    longer[12..16].fill(0);
    let crc = crc32fast::hash(&longer[..entry + ENTRY_BYTES + BATCH_HEADER_BYTES]);
    longer[12..16].copy_from_slice(&crc.to_le_bytes());
    assert_eq!(end(&longer, expect(0)), End::Entry { entry: 0 }, "bytes that no entry names");
}
