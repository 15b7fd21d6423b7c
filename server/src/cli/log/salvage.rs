//! `strandline log salvage`: everything that is whole, into a new directory.

use super::output::{FormatName, LogError, progress_bar};
use serde_json::json;
use std::io::{self, Write};
use std::path::Path;
use strandline_engine::inspect::{DataDir, Salvaged, salvage};

/// Prints what was copied; whether something is damaged or missing.
pub(super) fn run(
    source: &Path,
    target: &Path,
    format: FormatName,
    out: &mut impl Write,
) -> Result<bool, LogError> {
    let dir = DataDir::open(source)?;
    let bar = progress_bar(&dir);
    let (mut written, mut rows, mut damaged) = (Ok(()), 0, false);
    let mut report = |row: &Salvaged| {
        rows += 1;
        damaged |= row.damaged_bytes > 0 || !row.missing.is_empty();
        if written.is_ok() {
            written = bar.suspend(|| write_salvaged(row, format, out));
        }
    };
    // State of Kafka's coordinators and controllers is theirs.
    let wanted = |topic: &str| !topic.starts_with("__");
    let done = salvage(&dir, target, &wanted, &mut report, &mut |bytes| bar.inc(bytes));
    bar.finish_and_clear();
    written?;
    let done = done?;
    damaged |= done.topics_guessed || done.unclaimed_journaled > 0 || done.settings_lost;
    if format == FormatName::Json {
        let summary = json!({
            "type": "summary", "topics": done.topics, "partitions": rows, "topics_guessed": done.topics_guessed,
            "settings_lost": done.settings_lost, "left_out": done.left_out, "unclaimed_journaled_batches": done.unclaimed_journaled,
        });
        writeln!(out, "{summary}")?;
        return Ok(damaged);
    }
    if done.topics_guessed {
        writeln!(
            out,
            "the topic table is lost: topics have the names of their directories, and no settings"
        )?;
    }
    if done.settings_lost {
        writeln!(
            out,
            "the file settings is lost: what was set for the broker while it ran is not in the new directory"
        )?;
    }
    if done.unclaimed_journaled > 0 {
        writeln!(out, "{} batches of journals belong to no known topic", done.unclaimed_journaled)?;
    }
    if !done.left_out.is_empty() {
        writeln!(out, "left out: {}", done.left_out.join(", "))?;
    }
    writeln!(out, "{}: {} topics, {rows} partitions", target.display(), done.topics)?;
    Ok(damaged)
}

fn write_salvaged(row: &Salvaged, format: FormatName, out: &mut impl Write) -> io::Result<()> {
    if format == FormatName::Json {
        let missing: Vec<_> = row
            .missing
            .iter()
            .map(|gone| json!({"first_offset": gone.start.get(), "next_offset": gone.end.get()}))
            .collect();
        let line = json!({
            "type": "partition", "topic": row.topic, "partition": row.index, "log_start": row.log_start.get(),
            "log_end": row.log_end.get(), "batches": row.batches, "records": row.records,
            "from_journals": row.from_journals, "restored": row.restored, "damaged_bytes": row.damaged_bytes,
            "missing": missing,
        });
        return writeln!(out, "{line}");
    }
    writeln!(
        out,
        "{} partition {}: {} records in {} batches, log start {}, log end {}",
        row.topic, row.index, row.records, row.batches, row.log_start, row.log_end
    )?;
    for (count, what) in [
        (row.from_journals, "batches were only in a journal"),
        (row.restored, "batches had a wrong base offset, length or leader epoch, which was put right"),
        (row.damaged_bytes, "bytes of segments were no batches"),
    ] {
        if count > 0 {
            writeln!(out, "  {count} {what}")?;
        }
    }
    for gone in &row.missing {
        writeln!(out, "  missing: offsets {} to {}", gone.start, gone.end.get() - 1)?;
    }
    Ok(())
}
