//! One operation in flight: what was asked, and what it does to the medium when it completes, fails or is
//! interrupted.

use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use fastrand::Rng;

use super::medium::{Medium, SimFile};
use crate::io::{Entry, OpenMode};
use crate::types::Position;

/// The kinds of operations, named after the functions of [`Disk`](crate::io::Disk).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum OperationKind {
    /// `open`.
    Open,
    /// `len`.
    Len,
    /// `read`.
    Read,
    /// `write` and `write_aligned`.
    Write,
    /// `sync`.
    Sync,
    /// `set_len`.
    SetLen,
    /// `prefetch`.
    Prefetch,
    /// `create_dir`.
    CreateDir,
    /// `list`.
    List,
    /// `rename`; its path is the old one.
    Rename,
    /// `remove_file`.
    RemoveFile,
    /// `remove_dir`.
    RemoveDir,
    /// `sync_dir`.
    SyncDir,
}

/// What was asked.
pub(super) enum Request {
    Open { path: PathBuf, mode: OpenMode },
    Len { file: SimFile },
    Read { file: SimFile, position: Position, length: usize },
    Write { file: SimFile, position: Position, bytes: Bytes },
    Sync { file: SimFile, covered: u64 },
    SetLen { file: SimFile, length: u64 },
    Prefetch { file: SimFile },
    CreateDir { path: PathBuf },
    List { path: PathBuf },
    Rename { from: PathBuf, to: PathBuf },
    RemoveFile { path: PathBuf },
    RemoveDir { path: PathBuf },
    SyncDir { path: PathBuf, covered: u64 },
}

/// What came of it.
pub(super) enum Completion {
    Done,
    File(SimFile),
    Length(u64),
    Bytes(Bytes),
    Entries(Vec<Entry>),
}

impl Request {
    pub(super) fn kind(&self) -> OperationKind {
        match self {
            Request::Open { .. } => OperationKind::Open,
            Request::Len { .. } => OperationKind::Len,
            Request::Read { .. } => OperationKind::Read,
            Request::Write { .. } => OperationKind::Write,
            Request::Sync { .. } => OperationKind::Sync,
            Request::SetLen { .. } => OperationKind::SetLen,
            Request::Prefetch { .. } => OperationKind::Prefetch,
            Request::CreateDir { .. } => OperationKind::CreateDir,
            Request::List { .. } => OperationKind::List,
            Request::Rename { .. } => OperationKind::Rename,
            Request::RemoveFile { .. } => OperationKind::RemoveFile,
            Request::RemoveDir { .. } => OperationKind::RemoveDir,
            Request::SyncDir { .. } => OperationKind::SyncDir,
        }
    }

    /// The path it is about; for an open file the one under which it was opened.
    pub(super) fn path(&self) -> &Path {
        match self {
            Request::Len { file }
            | Request::Read { file, .. }
            | Request::Write { file, .. }
            | Request::Sync { file, .. }
            | Request::SetLen { file, .. }
            | Request::Prefetch { file } => &file.path,
            Request::Open { path, .. }
            | Request::CreateDir { path }
            | Request::List { path }
            | Request::Rename { from: path, .. }
            | Request::RemoveFile { path }
            | Request::RemoveDir { path }
            | Request::SyncDir { path, .. } => path,
        }
    }

    /// Whether it can change what a crash leaves.
    pub(super) fn changes_disk(&self) -> bool {
        match self {
            Request::Open { mode, .. } => matches!(mode, OpenMode::Create | OpenMode::Truncate),
            Request::Len { .. } | Request::Read { .. } | Request::Prefetch { .. } | Request::List { .. } => {
                false
            }
            _ => true,
        }
    }

    /// It completes.
    pub(super) fn complete(&self, medium: &mut Medium, rng: &mut Rng) -> io::Result<Completion> {
        match self {
            Request::Open { path, mode } => return medium.open(path, *mode).map(Completion::File),
            Request::Len { file } => return Ok(Completion::Length(medium.file(file.node)?.cached.len())),
            Request::Read { file, position, length } => {
                return Ok(Completion::Bytes(
                    medium.file(file.node)?.cached.read(position.0, *length).into(),
                ));
            }
            Request::List { path } => return medium.list(path).map(Completion::Entries),
            Request::Write { file, position, bytes } => {
                medium.write(file.node, position.0, bytes, file.durable, rng)?;
            }
            Request::Sync { file, covered } => medium.file(file.node)?.sync(*covered),
            Request::SetLen { file, length } => medium.set_len(file.node, *length)?,
            Request::Prefetch { .. } => {}
            Request::CreateDir { path } => medium.create_dir(path)?,
            Request::Rename { from, to } => medium.rename(from, to)?,
            Request::RemoveFile { path } => medium.remove_file(path)?,
            Request::RemoveDir { path } => medium.remove_dir(path)?,
            Request::SyncDir { path, covered } => medium.sync_dir(path, *covered)?,
        }
        Ok(Completion::Done)
    }

    /// It completes on a disk that lies: what should be durable is only cached.
    pub(super) fn pretend(&self, medium: &mut Medium, rng: &mut Rng) -> io::Result<Completion> {
        match self {
            Request::Sync { .. } | Request::SyncDir { .. } => {}
            Request::Write { file, position, bytes } => {
                medium.write(file.node, position.0, bytes, false, rng)?;
            }
            _ => return self.complete(medium, rng),
        }
        Ok(Completion::Done)
    }

    /// It fails: a sync loses data, a write may leave a part behind when it is `torn`, anything else does
    /// nothing.
    pub(super) fn fail(&self, medium: &mut Medium, torn: bool, rng: &mut Rng) {
        match self {
            Request::Write { file, position, bytes } if torn => {
                write_part(medium, file, *position, bytes, rng);
            }
            Request::Sync { file, covered } => {
                medium.file(file.node).expect("an open file").sync_failed(*covered, rng);
            }
            _ => {}
        }
    }

    /// The process or the machine dies while it is in flight: all of it has happened, nothing, or a part.
    pub(super) fn interrupt(&self, medium: &mut Medium, rng: &mut Rng) {
        match self {
            Request::Write { file, position, bytes } => write_part(medium, file, *position, bytes, rng),
            Request::RemoveDir { path } if rng.bool() => {
                for entry in medium.list(path).unwrap_or_default() {
                    if !entry.is_dir && rng.bool() {
                        medium.remove_file(&path.join(entry.name)).expect("it was just listed");
                    }
                }
            }
            // Nobody is left who could learn that it failed.
            _ if rng.bool() => drop(self.complete(medium, rng)),
            _ => {}
        }
    }
}

/// Writes a prefix, often all or nothing, of what nobody will be told that it is there.
fn write_part(medium: &mut Medium, file: &SimFile, position: Position, bytes: &[u8], rng: &mut Rng) {
    let length = match rng.u8(..3) {
        0 => 0,
        1 => bytes.len(),
        _ => rng.usize(..=bytes.len()),
    };
    // A disk without room for it leaves even less.
    drop(medium.write(file.node, position.0, &bytes[..length], false, rng));
}
