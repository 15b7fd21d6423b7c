//! Walking a journal file from commit to commit, as recovery does (`journal/replay.rs` has the rules), with
//! everything on the way named.

use crate::format::journal::{COMMIT_ALIGNMENT, Commit, End, Expect, peek_commit, read_commit};
use crate::types::Position;

/// The next thing in a journal file.
#[derive(Clone, Copy, Debug)]
pub enum JournalItem<'a> {
    /// A whole commit; all of its batches hold.
    Commit {
        /// Where it begins in the file.
        position: Position,
        /// The commit.
        commit: Commit<'a>,
    },
    /// The sequence of commits breaks off although later ones of the same use follow.
    Damage {
        /// Where it breaks off.
        position: Position,
        /// Bytes up to the next commit.
        bytes: u64,
        /// What is found there.
        end: End,
    },
    /// The first commit of the file is not whole, and others follow, which recovery uses: they are what an
    /// earlier use of the file has left, or it was damaged.
    LostStart {
        /// Where the first whole commit is.
        position: Position,
        /// What is found at the beginning.
        end: End,
    },
    /// Where the journal ends.
    End {
        /// Where no commit follows.
        position: Position,
        /// What is found there.
        end: End,
    },
}

/// The commits of a whole journal file.
#[derive(Clone, Debug)]
pub struct JournalWalk<'a> {
    bytes: &'a [u8],
    position: usize,
    expect: Expect,
    done: bool,
}

impl<'a> JournalWalk<'a> {
    /// A walk over a whole file.
    pub fn new(bytes: &'a [u8]) -> JournalWalk<'a> {
        JournalWalk { bytes, position: 0, expect: Expect { generation: None, sequence: 0 }, done: false }
    }

    /// The next place from `start` on where a whole commit of this use of the file stands that is not before
    /// the next one.
    fn find_commit(&self, start: usize) -> Option<(usize, Expect)> {
        (start..self.bytes.len()).step_by(COMMIT_ALIGNMENT).find_map(|place| {
            let probe = Expect { generation: self.expect.generation, sequence: u64::MAX };
            let Err(End::Sequence { found, .. }) = peek_commit(&self.bytes[place..], probe) else {
                return None;
            };
            let expect = Expect { sequence: found, ..self.expect };
            let is_whole = found >= self.expect.sequence && whole(&self.bytes[place..], expect).is_ok();
            is_whole.then_some((place, expect))
        })
    }
}

fn whole(bytes: &[u8], expect: Expect) -> Result<Commit<'_>, End> {
    // A block that the file ends in is not one that was written ahead.
    if bytes.len() < COMMIT_ALIGNMENT {
        return Err(End::Short { needed: COMMIT_ALIGNMENT, found: bytes.len() });
    }
    let needed = peek_commit(bytes, expect)?;
    if needed > bytes.len() {
        return Err(End::Short { needed, found: bytes.len() });
    }
    let commit = read_commit(bytes, expect)?;
    commit.verify()?;
    Ok(commit)
}

impl<'a> Iterator for JournalWalk<'a> {
    type Item = JournalItem<'a>;

    fn next(&mut self) -> Option<JournalItem<'a>> {
        if self.done {
            return None;
        }
        let place = self.position;
        let position = Position(place as u64);
        match whole(&self.bytes[place.min(self.bytes.len())..], self.expect) {
            Ok(commit) => {
                self.expect =
                    Expect { generation: Some(commit.generation()), sequence: commit.sequence() + 1 };
                self.position += commit.padded_bytes();
                Some(JournalItem::Commit { position, commit })
            }
            Err(end) => {
                let is_unused = self.expect.generation.is_none() && matches!(end, End::Zeros);
                let found = self.find_commit(place + COMMIT_ALIGNMENT).filter(|_| !is_unused);
                let Some((next, expect)) = found else {
                    self.done = true;
                    return Some(JournalItem::End { position, end });
                };
                let lost_start = self.expect.generation.is_none();
                self.position = next;
                self.expect = expect;
                Some(match lost_start {
                    true => JournalItem::LostStart { position: Position(next as u64), end },
                    false => JournalItem::Damage { position, bytes: (next - place) as u64, end },
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buffer::AlignedBuffer;
    use crate::format::builder::BatchBuilder;
    use crate::format::compression::Codec;
    use crate::format::journal::encode_commit;
    use crate::io::pwrite::PwriteDisk;
    use crate::journal::replay::read_journal;
    use crate::types::{PartitionId, Timestamp, TopicId};

    fn commits(generation: u64, count: u64) -> Vec<u8> {
        let mut buffer = AlignedBuffer::new();
        let partition = PartitionId::new(TopicId::from_bytes([7; 16]), 3);
        for sequence in 0..count {
            let mut batch = BatchBuilder::new(Codec::None);
            batch.push(Timestamp(0), None, Some(&vec![b'x'; 1000 + 2000 * sequence as usize]), &[]);
            encode_commit(&mut buffer, generation, sequence, &[(partition, 0, &batch.build())]);
        }
        buffer.as_ref().to_vec()
    }

    /// A file in its second use.
    fn journal() -> Vec<u8> {
        let mut bytes = commits(5, 6);
        let second = commits(9, 4);
        bytes[..second.len()].copy_from_slice(&second);
        bytes
    }

    /// The walk and recovery read the same batches from the same places, and call the same place damaged.
    #[test]
    fn d5_a_journal_is_walked_as_recovery_reads_it_wherever_it_is_damaged() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal-0");
        let sound = journal();
        for place in (0..sound.len()).step_by(331) {
            let mut bytes = sound.clone();
            bytes[place] ^= 0x10;
            std::fs::write(&path, &bytes).unwrap();
            let content = futures_executor::block_on(read_journal(&PwriteDisk, &path)).unwrap();
            let expected: Vec<_> =
                content.batches.iter().map(|batch| (batch.position, u64::from(batch.length))).collect();
            let mut found = Vec::new();
            let mut damage = None;
            for item in JournalWalk::new(&bytes) {
                match item {
                    JournalItem::Commit { position, commit } => found.extend(
                        commit
                            .batches()
                            .map(|batch| (position + batch.range.start as u64, batch.bytes.len() as u64)),
                    ),
                    JournalItem::Damage { position, end, .. } => drop(damage.get_or_insert((position, end))),
                    JournalItem::LostStart { .. } | JournalItem::End { .. } => {}
                }
            }
            assert_eq!((found, damage), (expected, content.damage), "byte {place}");
        }
    }
}
