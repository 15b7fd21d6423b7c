//! Makes files cold: takes their pages out of the page cache from outside of the process that owns them.
//!
//! A page that is not written back yet can not be dropped, so the file is synced first; a page that a process
//! has mapped stays. Whether it worked is looked at, not believed.

use rustix::fs::{Advice, fadvise};
use rustix::io::{Errno, ReadWriteFlags, preadv2};
use std::fs::{self, File};
use std::io::{self, IoSliceMut};
use std::path::{Path, PathBuf};

/// How far apart the places are at which a file is looked at.
const LOOK_EVERY: u64 = 1 << 20;

/// The name of a file of records. Indexes are left alone: brokers map them, and what is mapped stays.
const SEGMENT: &str = "log";

/// Files that hold the records of a topic, as every known broker lays them out: `<topic>-<partition>/<base
/// offset>.log`.
#[derive(Debug)]
pub(crate) struct TopicFiles(Vec<PathBuf>);

impl TopicFiles {
    /// The files of `topic` under the data directory `data`, on the device now.
    ///
    /// # Errors
    /// When a directory can not be read or a file not synced, and `NotFound` when there is no such file.
    pub(crate) fn synced(data: &Path, topic: &str) -> io::Result<TopicFiles> {
        let mut files = Vec::new();
        find(data, &format!("{topic}-"), &mut files)?;
        for file in &files {
            File::open(file)?.sync_all()?;
        }
        match files.is_empty() {
            true => Err(io::Error::new(
                io::ErrorKind::NotFound,
                format!("no files of {topic} in {}", data.display()),
            )),
            false => Ok(TopicFiles(files)),
        }
    }

    /// Takes them out of the page cache. The broker may have removed some of them by now.
    pub(crate) fn drop_pages(&self) -> io::Result<()> {
        for file in self.open() {
            fadvise(&file?, 0, None, Advice::DontNeed)?;
        }
        Ok(())
    }

    /// The part of the places looked at whose page is cached, from 0 to 1.
    pub(crate) fn cached(&self) -> io::Result<f64> {
        let (mut looked, mut cached) = (0u32, 0u32);
        for file in self.open() {
            let file = file?;
            // Or looking at a page would read those behind it.
            fadvise(&file, 0, None, Advice::Random)?;
            for position in (0..file.metadata()?.len()).step_by(LOOK_EVERY as usize) {
                let mut byte = [0];
                looked += 1;
                match preadv2(&file, &mut [IoSliceMut::new(&mut byte)], position, ReadWriteFlags::NOWAIT) {
                    Ok(_) => cached += 1,
                    Err(Errno::AGAIN) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(f64::from(cached) / f64::from(looked.max(1)))
    }

    fn open(&self) -> impl Iterator<Item = io::Result<File>> {
        let opened = self.0.iter().map(File::open);
        opened.filter(|file| !matches!(file, Err(error) if error.kind() == io::ErrorKind::NotFound))
    }
}

/// Collects the files of every directory below `directory` whose name starts with `prefix`.
fn find(directory: &Path, prefix: &str, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if !entry.file_type()?.is_dir() {
            continue;
        }
        if !entry.file_name().to_string_lossy().starts_with(prefix) {
            find(&entry.path(), prefix, files)?;
            continue;
        }
        for file in fs::read_dir(entry.path())? {
            let path = file?.path();
            if path.extension().is_some_and(|extension| extension == SEGMENT) {
                files.push(path);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    #[test]
    fn dropped_files_are_cold_until_they_are_read_and_no_other_topic_is_touched() {
        // Not in /tmp, which may be a file system in memory.
        let data = tempfile::tempdir_in(".").unwrap();
        for (directory, bytes) in [("t-0", 4 << 20), ("logs/t-1", 2 << 20), ("logs/tt-0", 1 << 20)] {
            fs::create_dir_all(data.path().join(directory)).unwrap();
            fs::write(data.path().join(directory).join("00.log"), vec![1; bytes]).unwrap();
        }
        fs::write(data.path().join("t-0/00.index"), [1; 1000]).unwrap();
        let topic = TopicFiles::synced(data.path(), "t").unwrap();
        let other = TopicFiles::synced(data.path(), "tt").unwrap();
        assert_eq!((topic.0.len(), other.0.len()), (2, 1));
        assert_eq!(topic.cached().unwrap(), 1.0);
        // A page that something in the kernel has in hand stays for that long.
        let give_up = Instant::now() + Duration::from_secs(60);
        while topic.cached().unwrap() > 0.0 {
            assert!(Instant::now() < give_up, "{} of it stay", topic.cached().unwrap());
            topic.drop_pages().unwrap();
        }
        assert_eq!(other.cached().unwrap(), 1.0);
        fs::read(&topic.0[0]).unwrap();
        assert!(topic.cached().unwrap() > 0.3, "{}", topic.cached().unwrap());
        assert!(TopicFiles::synced(data.path(), "missing").is_err());
    }
}
