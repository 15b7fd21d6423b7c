//! Which of the older schemas a new one has to get along with, and what the answer says where it does not.

use crate::limits::{Budget, TooComplex};
use crate::parsed::Parsed;
use crate::settings::Level;

/// Bytes of an old schema that are shown in an answer.
const SHOWN_BYTES_MAX: usize = 10 * 1024;
/// Reasons that one answer has.
const REASONS_MAX: usize = 1_000;

/// Bytes of older texts that are understood for one request.
const OLDER_BYTES_MAX: usize = 64 << 20;

/// An older version.
pub(crate) struct Older {
    pub(crate) version: i32,
    /// Its text, as answers show it.
    pub(crate) text: String,
    pub(crate) parsed: Parsed,
}

/// Why a schema does not get along with older ones; empty where it does.
///
/// `older` gives the versions that count, the latest first, each when it is asked for: where the level is not
/// transitive, the first alone is.
pub(crate) fn reasons(
    level: Level,
    new: &Parsed,
    older: impl IntoIterator<Item = Result<Older, String>>,
) -> Vec<String> {
    if level == Level::None {
        return Vec::new();
    }
    let mut budget = Budget::new();
    let mut bytes = 0;
    for older in older {
        bytes += older.as_ref().map_or(0, |older| older.text.len());
        if bytes > OLDER_BYTES_MAX {
            return vec![TooComplex::WORDS.to_owned()];
        }
        let reasons = match older {
            Ok(older) if older.parsed.schema_type() != new.schema_type() => {
                vec!["Incompatible because of different schema type".to_owned()]
            }
            Ok(older) => against(level, new, &older, &mut budget),
            Err(error) => vec![error],
        };
        if !reasons.is_empty() || !level.is_transitive() {
            return reasons;
        }
    }
    Vec::new()
}

fn against(level: Level, new: &Parsed, older: &Older, budget: &mut Budget) -> Vec<String> {
    let mut reasons = Vec::new();
    let mut shows_older = false;
    if level.is_read_by_older() {
        let found = asked(older.parsed.cannot_read(new, budget));
        shows_older = !found.is_empty() && !level.reads_older();
        reasons.extend(found.iter().map(|reason| named(reason, "old", "new")));
    }
    if level.reads_older() {
        let found = asked(new.cannot_read(&older.parsed, budget));
        shows_older |= !found.is_empty();
        reasons.extend(found.iter().map(|reason| named(reason, "new", "old")));
    }
    reasons.truncate(REASONS_MAX);
    if shows_older {
        reasons.push(format!("{{oldSchemaVersion: {}}}", older.version));
        let text = &older.text;
        reasons.push(match text.char_indices().map(|(at, _)| at).find(|at| *at >= SHOWN_BYTES_MAX) {
            Some(end) => format!("{{oldSchema: <truncated> '{}...'}}", &text[..end]),
            None => format!("{{oldSchema: '{text}'}}"),
        });
    }
    reasons
}

fn asked(found: Result<Vec<String>, TooComplex>) -> Vec<String> {
    found.unwrap_or_else(|TooComplex| vec![TooComplex::WORDS.to_owned()])
}

/// Puts in which schema is meant, for the first and for the second `%s`.
fn named(reason: &str, reader: &str, writer: &str) -> String {
    reason.replacen("%s", reader, 1).replacen("%s", writer, 1)
}
