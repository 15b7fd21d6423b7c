//! Directories of partitions that no topic has here any more: removed when their topic was deleted, set aside
//! when nobody knows whose they are.
//!
//! * What is removed is named by the topic table, as a partition or as a topic that was deleted. Of a
//!   directory only our own files are removed, one by one; where anything else stands in it, the rest is set
//!   aside.
//! * What looks like a partition of ours and is in no table is set aside: renamed as Kafka renames it
//!   ([`names::stray_dir`]), named in the log, and kept for ever. `strandline log strays` lists and deletes
//!   such directories.
//! * Anything else is not ours and stays as it is: other names, plain files, symbolic links, directories
//!   without a file of ours.

use std::io;
use std::path::Path;

use crate::format::names::{self, DataFile, Scope};
use crate::io::{Disk, Entry};
use crate::types::random_uuid;

/// Whether a file is one that this engine writes in such a directory.
fn is_ours(entry: &Entry, scope: Scope) -> bool {
    !entry.is_dir && DataFile::parse(scope, &entry.name).is_some()
}

/// Whether a directory holds a partition's files.
///
/// # Errors
/// When it can not be listed; one that is not there holds nothing.
pub(crate) async fn holds_partition<D: Disk>(disk: &D, path: &Path) -> io::Result<bool> {
    match disk.list(path).await {
        Ok(entries) => Ok(entries.iter().any(|entry| is_ours(entry, Scope::Partition))),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// Removes a partition's directory that the topic table names, if it is there. Durable with the next sync of
/// the data directory.
///
/// # Errors
/// What the system says; some files may be gone then.
pub(crate) async fn remove_partition<D: Disk>(disk: &D, data_dir: &Path, name: &str) -> io::Result<()> {
    match remove_files(disk, &data_dir.join(name), Scope::Partition).await {
        Ok(true) => Ok(()),
        Ok(false) => set_aside(disk, data_dir, name).await,
        // A plain file of that name is none of ours.
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// Removes the directory of a shard that there is not any more, unless there is something in it that is not
/// ours.
///
/// # Errors
/// What the system says; some files may be gone then.
pub(crate) async fn remove_shard<D: Disk>(disk: &D, path: &Path) -> io::Result<()> {
    if !remove_files(disk, path, Scope::Shard).await? {
        tracing::warn!(directory = %path.display(), "what is left in it is not ours: the directory is kept");
    }
    Ok(())
}

/// Removes our files from a directory, and the directory with them; false when something else stands in it.
async fn remove_files<D: Disk>(disk: &D, path: &Path, scope: Scope) -> io::Result<bool> {
    let entries = disk.list(path).await?;
    let (ours, foreign): (Vec<_>, Vec<_>) = entries.iter().partition(|entry| is_ours(entry, scope));
    for entry in ours {
        disk.remove_file(&path.join(&entry.name)).await?;
    }
    if foreign.is_empty() {
        disk.remove_dir(path).await?;
    }
    Ok(foreign.is_empty())
}

/// Renames a directory of the data directory to what nobody takes for a partition. Durable with the next sync
/// of the data directory.
///
/// # Errors
/// What the system says, for instance of a directory that something is mounted on; nothing has changed then.
pub(crate) async fn set_aside<D: Disk>(disk: &D, data_dir: &Path, name: &str) -> io::Result<()> {
    let stray = names::stray_dir(name, random_uuid());
    disk.rename(&data_dir.join(name), &data_dir.join(&stray)).await?;
    tracing::warn!(
        directory = %data_dir.join(name).display(),
        stray,
        "no topic has this directory here: it is set aside and kept, strandline log strays lists and deletes such directories"
    );
    Ok(())
}
