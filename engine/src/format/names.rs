//! What files and directories are called, and which names a topic may have.
//!
//! Parsers accept exactly what the formatters write: whatever else lies in a directory is not ours.

use crate::types::Offset;

/// The longest topic name; with `-` and a partition number of five digits it has the 255 bytes that file systems allow.
pub const TOPIC_NAME_BYTES_MAX: usize = 249;

const OFFSET_DIGITS: usize = 20;

/// Which of a segment's files a name belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SegmentFileKind {
    /// The record batches.
    Log,
    /// The sparse index.
    Index,
}

/// The name of the file with a segment's batches.
pub fn segment_log(base: Offset) -> String {
    format!("{:020}.log", base.get())
}

/// The name of a segment's index file.
pub fn segment_index(base: Offset) -> String {
    format!("{:020}.index", base.get())
}

/// What compaction has in the making.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compacting {
    /// A segment that is being written, and was not put in any other's place yet.
    Cleaned,
    /// A segment that stands in the place of all those with offsets from `base` to `end`, wherever they still are.
    Swap {
        /// The base of the first of them.
        base: Offset,
        /// The offset behind the last of them.
        end: Offset,
    },
}

/// The name of the segment that is being written in the place of those from `base` on.
pub fn cleaned_segment(base: Offset) -> String {
    format!("{:020}.cleaned", base.get())
}

/// The name of the segment that has taken the place of those from `base` to `end`.
pub fn swap_segment(base: Offset, end: Offset) -> String {
    format!("{:020}-{:020}.swap", base.get(), end.get())
}

/// What a name says about compaction; `None` when it has nothing to do with it.
pub fn parse_compacting(name: &str) -> Option<Compacting> {
    if let Some(digits) = name.strip_suffix(".cleaned") {
        return parse_offset(digits).map(|_| Compacting::Cleaned);
    }
    let (base, end) = name.strip_suffix(".swap")?.split_once('-')?;
    let (base, end) = (parse_offset(base)?, parse_offset(end)?);
    (base < end).then_some(Compacting::Swap { base, end })
}

/// The segment and the kind of file that a name belongs to; `None` when it is not a segment's.
pub fn parse_segment(name: &str) -> Option<(Offset, SegmentFileKind)> {
    let (digits, extension) = name.split_once('.')?;
    let kind = match extension {
        "log" => SegmentFileKind::Log,
        "index" => SegmentFileKind::Index,
        _ => return None,
    };
    Some((parse_offset(digits)?, kind))
}

fn parse_offset(digits: &str) -> Option<Offset> {
    if digits.len() != OFFSET_DIGITS || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Offset::checked(digits.parse().ok()?)
}

/// The file that says how far a partition was compacted.
pub const COMPACTED_FILE: &str = "compacted";

/// The name of a partition's directory.
pub fn partition_dir(topic: &str, index: u32) -> String {
    format!("{topic}-{index}")
}

/// The topic and the partition that a directory belongs to; `None` when it is not a partition's.
pub fn parse_partition_dir(name: &str) -> Option<(&str, u32)> {
    let (topic, digits) = name.rsplit_once('-')?;
    let plain = digits == "0" || !digits.starts_with('0');
    if !plain || !digits.bytes().all(|byte| byte.is_ascii_digit()) || check_topic_name(topic).is_err() {
        return None;
    }
    Some((topic, digits.parse().ok()?))
}

/// Why a topic can not have a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TopicNameError {
    /// No character at all.
    #[error("a topic name has at least one character")]
    Empty,
    /// More than [`TOPIC_NAME_BYTES_MAX`].
    #[error("a topic name of {found} bytes, at most {TOPIC_NAME_BYTES_MAX} are allowed")]
    TooLong {
        /// The bytes of the name.
        found: usize,
    },
    /// `.` and `..` are directories already.
    #[error("a topic can not be called '.' or '..'")]
    Dots,
    /// Something else than ASCII letters, digits, `.`, `_` and `-`.
    #[error("a topic name has only ASCII letters, digits, '.', '_' and '-', not {found:?}")]
    Character {
        /// The first such character.
        found: char,
    },
}

/// Kafka's rule for topic names.
///
/// # Errors
/// [`TopicNameError`].
pub fn check_topic_name(name: &str) -> Result<(), TopicNameError> {
    if name.is_empty() {
        return Err(TopicNameError::Empty);
    }
    if name.len() > TOPIC_NAME_BYTES_MAX {
        return Err(TopicNameError::TooLong { found: name.len() });
    }
    if name == "." || name == ".." {
        return Err(TopicNameError::Dots);
    }
    let allowed = |character: char| character.is_ascii_alphanumeric() || matches!(character, '.' | '_' | '-');
    match name.chars().find(|character| !allowed(*character)) {
        Some(found) => Err(TopicNameError::Character { found }),
        None => Ok(()),
    }
}

/// What metrics make of a topic's name, which writes `.` as `_`: two topics of which they would make the same may not exist side by
/// side.
pub fn metric_name(topic: &str) -> String {
    topic.replace('.', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back_and_nothing_else_is_taken_for_one() {
        assert_eq!(segment_log(Offset::new(42)), "00000000000000000042.log");
        for base in [0, 42, i64::MAX].map(Offset::new) {
            assert_eq!(parse_segment(&segment_log(base)), Some((base, SegmentFileKind::Log)));
            assert_eq!(parse_segment(&segment_index(base)), Some((base, SegmentFileKind::Index)));
        }
        for name in [
            "",
            "42.log",
            "00000000000000000042.log.deleted",
            "00000000000000000042",
            "+0000000000000000042.log",
        ] {
            assert_eq!(parse_segment(name), None, "{name}");
        }
        assert_eq!(parse_segment("09223372036854775808.log"), None, "beyond the range of offsets");

        let (base, end) = (Offset::new(42), Offset::new(i64::MAX));
        assert_eq!(swap_segment(base, base.plus(1)), "00000000000000000042-00000000000000000043.swap");
        assert_eq!(parse_compacting(&swap_segment(base, end)), Some(Compacting::Swap { base, end }));
        assert_eq!(parse_compacting(&cleaned_segment(end)), Some(Compacting::Cleaned));
        for name in [&segment_log(base), "42.cleaned", &swap_segment(end, base), &swap_segment(end, end)] {
            assert_eq!(parse_compacting(name), None, "{name}");
        }
        assert_eq!(parse_segment(&cleaned_segment(base)).or(parse_segment(&swap_segment(base, end))), None);

        assert_eq!(parse_partition_dir(&partition_dir("a-b.c", 0)), Some(("a-b.c", 0)));
        assert_eq!(parse_partition_dir("orders-4294967295"), Some(("orders", u32::MAX)));
        for name in
            ["orders", "orders-", "orders-01", "orders-+1", "orders-4294967296", "-1", "..-1", "a b-1"]
        {
            assert_eq!(parse_partition_dir(name), None, "{name}");
        }
    }

    #[test]
    fn topic_names_follow_kafka() {
        for name in ["a", "...", "A.b_c-9", &"x".repeat(249)] {
            assert_eq!(check_topic_name(name), Ok(()), "{name}");
        }
        assert_eq!(check_topic_name(""), Err(TopicNameError::Empty));
        assert_eq!(check_topic_name(&"x".repeat(250)), Err(TopicNameError::TooLong { found: 250 }));
        assert_eq!(check_topic_name(".."), Err(TopicNameError::Dots));
        assert_eq!(check_topic_name("a/b"), Err(TopicNameError::Character { found: '/' }));
        assert_eq!(check_topic_name("ä"), Err(TopicNameError::Character { found: 'ä' }));
        assert_eq!(metric_name("a.b"), metric_name("a_b"));
        assert!(metric_name("a.b") != metric_name("a-b") && metric_name("a.b") != metric_name("a.b."));
    }
}
