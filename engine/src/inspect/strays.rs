//! Directories that a start has set aside, since no topic had them. A broker never looks at them, so that one
//! may run meanwhile.

use std::fs;
use std::path::Path;

use super::directory::{InspectError, failed};
use crate::format::names;

/// A directory that was set aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stray {
    /// Its name in the data directory.
    pub name: String,
    /// Files in it, at any depth. Symbolic links are not followed.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// The directories of a data directory that were set aside, by name.
///
/// # Errors
/// `Io` when one can not be listed.
pub fn strays(data_dir: &Path) -> Result<Vec<Stray>, InspectError> {
    let mut strays = Vec::new();
    for entry in fs::read_dir(data_dir).map_err(failed("listing", data_dir))? {
        let entry = entry.map_err(failed("listing", data_dir))?;
        let is_dir = entry.file_type().map_err(failed("listing", data_dir))?.is_dir();
        if let Ok(name) = entry.file_name().into_string()
            && is_dir
            && names::is_stray_dir(&name)
        {
            let mut stray = Stray { name, files: 0, bytes: 0 };
            stray.count(&entry.path())?;
            strays.push(stray);
        }
    }
    strays.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(strays)
}

impl Stray {
    fn count(&mut self, directory: &Path) -> Result<(), InspectError> {
        for entry in fs::read_dir(directory).map_err(failed("listing", directory))? {
            let path = entry.map_err(failed("listing", directory))?.path();
            let meta = fs::symlink_metadata(&path).map_err(failed("reading", &path))?;
            if meta.is_dir() {
                self.count(&path)?;
            } else {
                self.files += 1;
                self.bytes += meta.len();
            }
        }
        Ok(())
    }

    /// Deletes it with everything in it, durably.
    ///
    /// # Errors
    /// `Io`; some of it may be gone then.
    pub fn delete(&self, data_dir: &Path) -> Result<(), InspectError> {
        let path = data_dir.join(&self.name);
        let delete = || {
            fs::remove_dir_all(&path)?;
            fs::File::open(data_dir)?.sync_all()
        };
        delete().map_err(failed("deleting", &path))
    }
}
