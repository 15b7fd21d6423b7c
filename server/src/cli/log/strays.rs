//! `strandline log strays`: partitions' directories that a start has set aside.

use super::output::{FormatName, LogError};
use serde_json::json;
use std::io::Write;
use std::path::Path;
use strandline_engine::inspect::strays;

/// Prints the name and the bytes of each.
pub(super) fn list(directory: &Path, format: FormatName, out: &mut impl Write) -> Result<bool, LogError> {
    let strays = strays(directory)?;
    for stray in &strays {
        match format {
            FormatName::Text => {
                writeln!(out, "{}  {} bytes in {} files", stray.name, stray.bytes, stray.files)?
            }
            FormatName::Json => writeln!(
                out,
                "{}",
                json!({"type": "stray", "name": stray.name, "bytes": stray.bytes, "files": stray.files})
            )?,
        }
    }
    if format == FormatName::Text && strays.is_empty() {
        writeln!(out, "no directory was set aside")?;
    }
    Ok(false)
}

/// Deletes those of these names, or all.
pub(super) fn delete(
    directory: &Path,
    names: Option<&Vec<String>>,
    out: &mut impl Write,
) -> Result<bool, LogError> {
    let strays = strays(directory)?;
    if let Some(unknown) =
        names.into_iter().flatten().find(|name| strays.iter().all(|stray| stray.name != **name))
    {
        return Err(LogError::NoStray { directory: directory.to_owned(), name: unknown.clone() });
    }
    for stray in strays.iter().filter(|stray| names.is_none_or(|names| names.contains(&stray.name))) {
        stray.delete(directory)?;
        writeln!(out, "{}: deleted", stray.name)?;
    }
    Ok(false)
}
