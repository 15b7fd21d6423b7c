//! `strandline log repair`: what can be put right in place, with a copy of every file as it was.

use super::output::{LogError, progress_bar};
use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use strandline_engine::format::batch::BATCH_PREFIX_BYTES;
use strandline_engine::inspect::{DataDir, Owner, Repair, plan_repair};

/// Prints what is repaired, or would be; whether something stays as it is.
pub(super) fn run(
    directory: &Path,
    apply: bool,
    accept_loss: bool,
    backup: Option<&Path>,
    out: &mut impl Write,
) -> Result<bool, LogError> {
    let dir = DataDir::open(directory)?;
    if dir.owner == Owner::Kafka {
        writeln!(
            out,
            "Apache Kafka's directories are not repaired: Kafka does that, or strandline log salvage goes around"
        )?;
        return Ok(true);
    }
    let bar = progress_bar(&dir);
    let (repairs, stays) = plan_repair(&dir, accept_loss, &mut |bytes| bar.inc(bytes));
    bar.finish_and_clear();
    let mut copied = BTreeSet::new();
    for repair in &repairs {
        let path = repair.path().display();
        let what = match repair {
            Repair::Rewrite { bytes, lost: None, .. } => {
                format!("make anew, {} bytes; nothing is lost", bytes.len())
            }
            Repair::Rewrite { bytes, lost: Some(lost), .. } => {
                format!("make anew, {} bytes; lost: {lost}", bytes.len())
            }
            Repair::Restore { batches, .. } => {
                let count = batches.len();
                format!("put right the first {BATCH_PREFIX_BYTES} bytes of {count} batches; nothing is lost")
            }
            Repair::Cut { length, bytes, .. } => format!("cut to {length} bytes, {bytes} of a torn tail go"),
            Repair::Remove { .. } => "remove".to_owned(),
        };
        writeln!(out, "{path}: {what}")?;
        if apply {
            // Of a file that is changed twice, the first copy is the one to keep.
            let copy = copy_of(repair.path(), directory, backup);
            repair.apply(copied.insert(repair.path()).then_some(&*copy))?;
        }
    }
    match (repairs.len(), apply) {
        (0, _) => writeln!(out, "there is nothing to repair")?,
        (count, true) => writeln!(out, "{count} repaired; the files as they were are kept")?,
        (count, false) => writeln!(out, "{count} to repair; nothing was changed, --apply does it")?,
    }
    if stays > 0 {
        writeln!(
            out,
            "{stays} findings stay: strandline log verify names them, strandline log salvage goes around them"
        )?;
    }
    Ok(stays > 0 || (!apply && !repairs.is_empty()))
}

/// Where the copy of a file goes before it is changed.
fn copy_of(path: &Path, directory: &Path, backup: Option<&Path>) -> PathBuf {
    let kept = match backup {
        Some(backup) => backup.join(path.strip_prefix(directory).unwrap_or(path)),
        None => path.to_owned(),
    };
    let mut name = kept.into_os_string();
    if backup.is_none() {
        name.push(".before-repair");
    }
    name.into()
}
