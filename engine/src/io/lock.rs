//! The lock on a data directory, which keeps a second process out.

use std::fs::File;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

/// A file that is locked until this is dropped.
///
/// It is let go by a call of its own, and not by closing the file: a child that another thread has forked has
/// the file open as well, until it has become another program.
#[derive(Debug)]
pub(crate) struct Lock(File);

impl Lock {
    /// Locks the file, if nobody has it locked: then it is WOULDBLOCK.
    pub(crate) fn of(file: File) -> Result<Lock, Errno> {
        flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        Ok(Lock(file))
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // What is not let go here goes with the file.
        let _ = flock(&self.0, FlockOperation::Unlock);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_let_go_is_free_although_a_child_has_the_file_open() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let opened = || File::options().write(true).open(file.path()).expect("it is there");
        let own = opened();
        let childs = own.try_clone().expect("a descriptor");
        let lock = Lock::of(own).expect("it is free");
        assert_eq!(Lock::of(opened()).err(), Some(Errno::WOULDBLOCK));
        drop(lock);
        assert!(Lock::of(opened()).is_ok());
        drop(childs);
    }
}
