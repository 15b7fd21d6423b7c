//! The journal: one commit as bytes, and whole files that were damaged at one place.

use std::path::Path;

use super::index::mend_sum;
use super::input::Input;
use crate::buffer::AlignedBuffer;
use crate::format::batch::{self, BATCH_HEADER_BYTES, BatchHeader};
use crate::format::builder::BatchBuilder;
use crate::format::compression::Codec;
use crate::format::journal::{Expect, encode_commit, encode_truncation, peek_commit, read_commit};
use crate::journal::replay::read_journal;
use crate::sim::Simulation;
use crate::types::{LeaderEpoch, Offset, PartitionId, Timestamp, TopicId};

const HEADER_BYTES: usize = 40;
const ENTRY_BYTES: usize = 40;
const ENTRY_BYTES_V1: usize = 36;

/// Any bytes as a commit; then once more with its sizes and sums put right; then, as choices, a journal file
/// with one broken bit.
pub(super) fn journal(bytes: &[u8]) {
    commit(bytes);
    commit(&mended(bytes));
    damaged_file(&mut Input::new(bytes));
}

fn commit(bytes: &[u8]) {
    let number = |at: usize| {
        bytes.get(at..at + 8).map_or(0, |taken| u64::from_le_bytes(taken.try_into().expect("eight")))
    };
    let expect = Expect { generation: None, sequence: number(24) };
    let Ok(commit) = read_commit(bytes, expect) else { return };
    assert_eq!(peek_commit(bytes, expect), Ok(commit.padded_bytes()));
    assert_eq!((commit.generation(), commit.sequence()), (number(16), number(24)));
    let batches: Vec<_> = commit.batches().collect();
    let truncations: Vec<_> = commit.truncations().collect();
    assert_eq!(batches.len() + truncations.len(), commit.len());
    if let [truncation] = &truncations[..]
        && batches.is_empty()
    {
        let mut buffer = AlignedBuffer::new();
        encode_truncation(&mut buffer, commit.generation(), commit.sequence(), truncation);
        let reread = read_commit(buffer.as_ref(), expect).expect("a commit of ours");
        assert_eq!(reread.truncations().collect::<Vec<_>>(), truncations);
    }
    if !truncations.is_empty() {
        return;
    }
    let entry_bytes = if bytes[8] == 1 { ENTRY_BYTES_V1 } else { ENTRY_BYTES };
    let mut place = HEADER_BYTES + commit.len() * entry_bytes;
    for batch in &batches {
        assert_eq!(batch.range.start, place, "batches follow each other");
        assert_eq!(batch.bytes, &bytes[batch.range.clone()]);
        assert_eq!(batch.header().base_offset(), batch.base_offset);
        assert_eq!(batch.header().total_bytes(), batch.bytes.len());
        place = batch.range.end;
    }
    assert_eq!(commit.verify().is_ok(), batches.iter().all(|batch| batch.verify().is_ok()));

    let again: Vec<_> =
        batches.iter().map(|batch| (batch.partition, batch.truncations, batch.bytes)).collect();
    let mut buffer = AlignedBuffer::new();
    encode_commit(&mut buffer, commit.generation(), commit.sequence(), &again);
    let reread = read_commit(buffer.as_ref(), expect).expect("a commit of ours");
    let reread: Vec<_> =
        reread.batches().map(|batch| (batch.partition, batch.truncations, batch.bytes)).collect();
    assert_eq!(reread, again);
}

/// The bytes as one commit whose magic, version, sizes and sums are right, and whose batches have lengths and
/// sums of their own.
fn mended(bytes: &[u8]) -> Vec<u8> {
    let mut file = bytes.to_vec();
    let batch_bytes_min = ENTRY_BYTES + BATCH_HEADER_BYTES;
    let Some(room) = file.len().checked_sub(HEADER_BYTES).filter(|room| *room >= batch_bytes_min) else {
        return file;
    };
    let count = 1 + usize::from(file[36]) % (room / batch_bytes_min).min(3);
    file[..10].copy_from_slice(b"STRLJRNL\x02\0");
    let length = file.len() as u32;
    file[32..36].copy_from_slice(&length.to_le_bytes());
    file[36..40].copy_from_slice(&(count as u32).to_le_bytes());
    let (head, data) = file.split_at_mut(HEADER_BYTES + count * ENTRY_BYTES);
    let share = data.len() / count;
    let mut sum = Vec::new();
    let mut rest = data;
    for entry in 0..count {
        let own = if entry + 1 == count { rest.len() } else { share };
        let (batch, behind) = std::mem::take(&mut rest).split_at_mut(own);
        rest = behind;
        let whole = super::batches::mend(batch);
        batch.copy_from_slice(&whole);
        let row = &mut head[HEADER_BYTES + entry * ENTRY_BYTES..][..ENTRY_BYTES];
        let mut base: [u8; 8] = batch[..8].try_into().expect("eight");
        base.reverse();
        row[16..24].copy_from_slice(&base);
        row[28..32].copy_from_slice(&(own as u32).to_le_bytes());
        row[32] = 1;
        sum.extend_from_slice(&batch[..BATCH_HEADER_BYTES]);
    }
    let mut covered = [&head[..], &sum].concat();
    mend_sum(&mut covered, 12);
    head[12..16].copy_from_slice(&covered[12..16]);
    file
}

/// Commits of one generation behind each other, over what an earlier use has left; one byte is changed. Every
/// commit before it is found, no batch is that nobody wrote, and damage is told from a torn tail by what
/// stands behind.
fn damaged_file(input: &mut Input<'_>) {
    const GENERATIONS: [u64; 2] = [41, 42];
    let commits = 1 + input.below(4);
    let stale = input.below(3);
    let partition = PartitionId::new(TopicId::from_bytes([7; 16]), 0);
    let mut buffer = AlignedBuffer::new();
    let mut written = Vec::new();
    let mut ends = Vec::new();
    let mut offset = Offset::ZERO;
    for sequence in 0..commits + stale {
        let is_stale = sequence >= commits;
        let batches: Vec<_> = (0..1 + input.below(3)).map(|_| small_batch(input, &mut offset)).collect();
        let entries: Vec<_> = batches.iter().map(|batch| (partition, 0, &batch[..])).collect();
        encode_commit(&mut buffer, GENERATIONS[usize::from(!is_stale)], sequence as u64, &entries);
        if !is_stale {
            written.extend(batches);
            ends.push((buffer.len(), written.len()));
        }
    }
    let (journal_end, _) = *ends.last().expect("a commit was written");
    let position = usize::from(input.number()) % buffer.len();
    let broken_with = input.byte();
    let mut file = buffer.as_ref().to_vec();
    file[position] ^= broken_with;

    let path = Path::new("/journal-0");
    let mut simulation = Simulation::new(0);
    let disk = simulation.disk();
    disk.install(path, &file);
    let found = simulation.run_until(read_journal(&disk, path)).expect("nothing fails here");

    let intact_before = ends.iter().rfind(|(end, _)| *end <= position).map_or(0, |(_, count)| *count);
    let bytes_of = |at: u64, length: u32| &file[at as usize..][..length as usize];
    let read: Vec<&[u8]> =
        found.batches.iter().map(|batch| bytes_of(batch.position.0, batch.length)).collect();
    let expected: Vec<&[u8]> = written.iter().map(|batch| &batch[..]).collect();
    let is_intact = broken_with == 0 || position >= journal_end;
    if is_intact {
        assert_eq!(read, expected);
        assert!(found.damage.is_none());
        return;
    }
    assert_eq!(read.get(..intact_before), expected.get(..intact_before), "what stands before is found");
    // The first commit tells the generation: without it the ones behind are used, and so may be those of the
    // use before.
    if intact_before == 0 {
        return;
    }
    for batch in &read {
        assert!(expected.contains(batch), "a batch that was never written in this generation");
    }
    let (broken_end, _) = *ends.iter().find(|(end, _)| *end > position).expect("it lies in a commit");
    let is_found = read.len() == expected.len();
    // Padding has no sum, and nothing that anybody reads.
    assert!(is_found || broken_end == journal_end || found.damage.is_some(), "damage in the middle is named");
    let lost = ends.iter().position(|(end, _)| *end == broken_end).expect("a commit");
    let lost = ends[lost].1 - intact_before;
    assert!(read.len() >= expected.len() - lost, "the commits behind it still count");
}

fn small_batch(input: &mut Input<'_>, offset: &mut Offset) -> Vec<u8> {
    let mut builder = BatchBuilder::new(Codec::None);
    for _ in 0..1 + input.below(2) {
        let length = input.below(8);
        builder.push(Timestamp(i64::from(input.byte())), None, Some(input.take(length)), &[]);
    }
    let mut batch = builder.build().to_vec();
    batch::stamp(&mut batch, *offset, LeaderEpoch::FIRST);
    *offset = BatchHeader::peek(&batch).expect("a batch of ours").next_offset();
    batch
}
