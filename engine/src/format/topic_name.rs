//! What a topic may be called: Kafka's rule, which also keeps a name from being anything else in a path.

/// The longest topic name; with `-` and a partition number of five digits it has the 255 bytes that file
/// systems allow.
pub const TOPIC_NAME_BYTES_MAX: usize = 249;

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

/// What metrics make of a topic's name, which writes `.` as `_`: two topics of which they would make the same
/// may not exist side by side.
pub fn metric_name(topic: &str) -> String {
    topic.replace('.', "_")
}
