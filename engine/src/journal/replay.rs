//! Reading a shard's journal files at start.
//!
//! A file holds the commits of its present use, one behind the other, then zeros or what an earlier use has
//! left. Reading follows the sequence; where it ends, the rest of the file is searched for commits of the
//! same generation. There are none after a crash, since a commit is written only when all before it are
//! durable: if there is one, what stands before it was damaged later (D5), and the commits behind it still
//! count.
//!
//! Where the very first commit is not whole, the file's generation is not known. What stands behind it is
//! either left from the use before, and then before every recovery point and skipped; or the first commit was
//! damaged, and then it is missed where the offsets behind it do not continue the log. So it is used, and
//! says nothing about damage.

use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use crate::format::journal::{COMMIT_ALIGNMENT, Commit, End, Expect, Truncation, peek_commit, read_commit};
use crate::io::{Disk, OpenMode};
use crate::types::{Offset, PartitionId, Position};

/// Bytes read at once in search of commits behind the end, and when a file is written again.
const SEARCH_BYTES: usize = 1 << 20;

/// A batch that a journal file holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct JournaledBatch {
    pub(crate) partition: PartitionId,
    /// How often its log was truncated before.
    pub(crate) truncations: u32,
    pub(crate) base_offset: Offset,
    pub(crate) next_offset: Offset,
    pub(crate) position: Position,
    pub(crate) length: u32,
}

/// What one journal file holds.
pub(crate) struct JournalContent {
    pub(crate) path: PathBuf,
    pub(crate) batches: Vec<JournaledBatch>,
    pub(crate) truncations: Vec<Truncation>,
    /// Where the sequence of commits breaks off although there are later ones.
    pub(crate) damage: Option<(Position, End)>,
}

/// Writes the file's bytes again where they are, and syncs them: from then on what was read of it survives.
/// The process before may have ended because a write had failed: the system then shows from memory what the
/// medium lacks, and never writes it (D3).
pub(crate) async fn rewrite_journal<D: Disk>(disk: &D, path: &Path) -> io::Result<()> {
    let file = disk.open(path, OpenMode::Existing).await?;
    let end = Position(disk.len(&file).await?);
    let mut position = Position::ZERO;
    while position < end {
        let bytes = disk.read(&file, position, SEARCH_BYTES.min((end - position) as usize)).await?;
        if bytes.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let read = bytes.len() as u64;
        disk.write(&file, position, vec![bytes]).await?;
        position += read;
    }
    disk.sync(&file).await
}

/// Reads the file's commits; the batches themselves are verified, and left in the file.
pub(crate) async fn read_journal<D: Disk>(disk: &D, path: &Path) -> io::Result<JournalContent> {
    let file = disk.open(path, OpenMode::Existing).await?;
    let file_end = Position(disk.len(&file).await?);
    let mut content =
        JournalContent { path: path.to_owned(), batches: Vec::new(), truncations: Vec::new(), damage: None };
    let mut expect = Expect { generation: None, sequence: 0 };
    let mut position = Position::ZERO;
    loop {
        let read = read_commit_at(disk, &file, position, file_end, expect).await?;
        match read {
            Ok(bytes) => {
                let commit = parse(&bytes, expect).expect("verified when it was read");
                expect.generation = Some(commit.generation());
                expect.sequence = commit.sequence() + 1;
                note(&mut content, &commit, position);
                position += commit.padded_bytes() as u64;
            }
            Err(end) => {
                if expect.generation.is_none() && matches!(end, End::Zeros) {
                    return Ok(content);
                }
                let behind = position + COMMIT_ALIGNMENT as u64;
                let Some((found, next)) = find_commit(disk, &file, behind, file_end, expect).await? else {
                    return Ok(content);
                };
                match expect.generation {
                    Some(_) => drop(content.damage.get_or_insert((position, end))),
                    None => {
                        tracing::warn!(path = %path.display(), %end, "the journal's first commit is not whole; those behind it are used");
                    }
                }
                position = found;
                expect = next;
            }
        }
    }
}

fn parse(bytes: &Bytes, expect: Expect) -> Result<Commit<'_>, End> {
    let commit = read_commit(bytes, expect)?;
    commit.verify()?;
    Ok(commit)
}

fn note(content: &mut JournalContent, commit: &Commit<'_>, position: Position) {
    content.batches.extend(commit.batches().map(|batch| JournaledBatch {
        partition: batch.partition,
        truncations: batch.truncations,
        base_offset: batch.base_offset,
        next_offset: batch.header().next_offset(),
        position: position + batch.range.start as u64,
        length: batch.bytes.len() as u32,
    }));
    content.truncations.extend(commit.truncations());
}

/// The bytes of the whole, verified commit at `position`.
async fn read_commit_at<D: Disk>(
    disk: &D,
    file: &D::File,
    position: Position,
    end: Position,
    expect: Expect,
) -> io::Result<Result<Bytes, End>> {
    let block = disk.read(file, position, COMMIT_ALIGNMENT).await?;
    let total = match peek_commit(&block, expect) {
        Ok(total) => total,
        Err(end) => return Ok(Err(end)),
    };
    // A length beyond the file is a lie; believing it would cost memory.
    if position + total as u64 > end {
        return Ok(Err(End::Short { needed: total, found: (end - position) as usize }));
    }
    let bytes = disk.read(file, position, total).await?;
    let end = parse(&bytes, expect).err();
    Ok(end.map_or(Ok(bytes), Err))
}

/// The next place from `start` on where a whole commit of the expected generation, with at least the expected
/// sequence, begins; and what that commit is.
async fn find_commit<D: Disk>(
    disk: &D,
    file: &D::File,
    start: Position,
    end: Position,
    wanted: Expect,
) -> io::Result<Option<(Position, Expect)>> {
    let mut at = start;
    while at < end {
        let chunk = disk.read(file, at, SEARCH_BYTES.min((end - at) as usize)).await?;
        for (number, block) in chunk.chunks(COMMIT_ALIGNMENT).enumerate() {
            // The sequence that a block claims comes from the refusal; then it is read as if it were
            // expected.
            let probe = Expect { generation: wanted.generation, sequence: u64::MAX };
            let Err(End::Sequence { found, .. }) = peek_commit(block, probe) else { continue };
            if found < wanted.sequence {
                continue;
            }
            let position = at + (number * COMMIT_ALIGNMENT) as u64;
            let expect = Expect { generation: wanted.generation, sequence: found };
            if read_commit_at(disk, file, position, end, expect).await?.is_ok() {
                return Ok(Some((position, expect)));
            }
        }
        at += chunk.len().max(1) as u64;
    }
    Ok(None)
}
