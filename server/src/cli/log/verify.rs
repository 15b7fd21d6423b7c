//! `strandline log verify`: everything held against everything else.

use super::output::{FormatName, LogError, progress_bar};
use serde_json::{Value, json};
use std::io::Write;
use std::path::Path;
use strandline_engine::inspect::{DataDir, Finding, Owner, Severity, verify};
use strandline_engine::types::Offset;

/// Prints what was found; whether something is damaged.
pub(super) fn run(directory: &Path, format: FormatName, out: &mut impl Write) -> Result<bool, LogError> {
    let dir = DataDir::open(directory)?;
    let bar = progress_bar(&dir);
    let mut written = Ok(());
    let mut report = |finding: &Finding| {
        let line = match format {
            FormatName::Text => finding.to_string(),
            FormatName::Json => finding_json(finding).to_string(),
        };
        if written.is_ok() {
            written = bar.suspend(|| writeln!(out, "{line}"));
        }
    };
    let verified = verify(&dir, &mut report, &mut |bytes| bar.inc(bytes));
    bar.finish_and_clear();
    written?;
    let owner = match dir.owner {
        Owner::Strandline => "",
        Owner::Kafka => "Apache Kafka's: the segments were verified, Kafka's own side files were not; ",
        Owner::Partition => "one partition without its topic table, checkpoint and journals; ",
    };
    match format {
        FormatName::Text => writeln!(
            out,
            "{}: {owner}{} partitions, {} segments, {} batches, {} records: {} damaged, {} notes",
            directory.display(),
            verified.partitions,
            verified.segments,
            verified.batches,
            verified.records,
            verified.damage,
            verified.notes,
        )?,
        FormatName::Json => writeln!(
            out,
            "{}",
            json!({
                "type": "summary", "partitions": verified.partitions, "segments": verified.segments,
                "batches": verified.batches, "records": verified.records, "damage": verified.damage,
                "notes": verified.notes,
            })
        )?,
    }
    Ok(verified.damage > 0)
}

fn finding_json(finding: &Finding) -> Value {
    let severity = match finding.severity {
        Severity::Note => "note",
        Severity::Damage => "damage",
    };
    let offset = |offset: Option<Offset>| offset.map(Offset::get);
    json!({
        "type": severity,
        "path": finding.path.display().to_string(),
        "position": finding.position.map(|position| position.0),
        "first_offset": offset(finding.offsets.as_ref().map(|offsets| offsets.start)),
        "next_offset": offset(finding.offsets.as_ref().map(|offsets| offsets.end)),
        "what": finding.what.to_string(),
    })
}
