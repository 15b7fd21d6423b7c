//! Why a request is refused: the five digits and the words that clients of Confluent's registry know.

use std::fmt;

/// Why a request is refused. [`Error::code`] has its number, `Display` its words.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the numbers and the words say it")]
pub enum Error {
    /// No route has this path.
    NoSuchPath,
    SubjectNotFound(String),
    VersionNotFound(i32),
    /// No schema has this id, GUID or text.
    SchemaNotFound(Option<String>),
    SubjectSoftDeleted(String),
    SubjectNotSoftDeleted(String),
    VersionSoftDeleted {
        subject: String,
        version: i32,
    },
    VersionNotSoftDeleted {
        subject: String,
        version: i32,
    },
    NoLevelOfSubject(String),
    NoModeOfSubject(String),
    Incompatible {
        subject: String,
        reasons: Vec<String>,
    },
    /// The body of the request cannot be read.
    Body(String),
    InvalidSchema(String),
    InvalidVersion(String),
    InvalidLevel,
    InvalidMode,
    NotPermitted(String),
    ReferenceExists {
        subject: String,
        version: i32,
    },
    IdDoesNotMatch {
        id: i32,
        expected: i32,
    },
    InvalidSubject(String),
    TooLarge {
        bytes: usize,
        bytes_max: usize,
    },
    InvalidRuleSet(String),
    ContextNotEmpty(String),
    /// The registry holds as much as it may.
    Full(String),
    /// Another writer was faster; to be tried again.
    Store(String),
}

impl Error {
    /// The number of the answer.
    pub fn code(&self) -> i32 {
        match self {
            Error::NoSuchPath => 404,
            Error::SubjectNotFound(_) => 40401,
            Error::VersionNotFound(_) => 40402,
            Error::SchemaNotFound(_) => 40403,
            Error::SubjectSoftDeleted(_) => 40404,
            Error::SubjectNotSoftDeleted(_) => 40405,
            Error::VersionSoftDeleted { .. } => 40406,
            Error::VersionNotSoftDeleted { .. } => 40407,
            Error::NoLevelOfSubject(_) => 40408,
            Error::NoModeOfSubject(_) => 40409,
            Error::Incompatible { .. } => 409,
            Error::Body(_) => 422,
            Error::InvalidSchema(_) => 42201,
            Error::InvalidVersion(_) => 42202,
            Error::InvalidLevel => 42203,
            Error::InvalidMode => 42204,
            Error::NotPermitted(_) | Error::Full(_) => 42205,
            Error::ReferenceExists { .. } => 42206,
            Error::IdDoesNotMatch { .. } => 42207,
            Error::InvalidSubject(_) => 42208,
            Error::TooLarge { .. } => 42209,
            Error::InvalidRuleSet(_) => 42210,
            Error::ContextNotEmpty(_) => 42211,
            Error::Store(_) => 50001,
        }
    }

    /// The status of the answer: the first three digits.
    pub fn status(&self) -> u16 {
        let code = self.code();
        u16::try_from(if code < 1000 { code } else { code / 100 }).unwrap_or(500)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::NoSuchPath => write!(f, "HTTP 404 Not Found"),
            Error::SubjectNotFound(subject) => write!(f, "Subject '{subject}' not found."),
            Error::VersionNotFound(version) => write!(f, "Version {version} not found."),
            Error::SchemaNotFound(None) => write!(f, "Schema not found"),
            Error::SchemaNotFound(Some(what)) => write!(f, "Schema {what} not found"),
            Error::SubjectSoftDeleted(subject) => {
                write!(f, "Subject '{subject}' was soft deleted. Set permanent=true to delete permanently")
            }
            Error::SubjectNotSoftDeleted(subject) => {
                write!(f, "Subject '{subject}' was not deleted first before being permanently deleted")
            }
            Error::VersionSoftDeleted { subject, version } => write!(
                f,
                "Subject '{subject}' Version {version} was soft deleted. \
                 Set permanent=true to delete permanently"
            ),
            Error::VersionNotSoftDeleted { subject, version } => write!(
                f,
                "Subject '{subject}' Version {version} was not deleted first before being permanently deleted"
            ),
            Error::NoLevelOfSubject(subject) => {
                write!(f, "Subject '{subject}' does not have subject-level compatibility configured")
            }
            Error::NoModeOfSubject(subject) => {
                write!(f, "Subject '{subject}' does not have subject-level mode configured")
            }
            Error::Incompatible { subject, reasons } => write!(
                f,
                "Schema being registered is incompatible with an earlier schema for subject \"{subject}\", \
                 details: [{}]",
                reasons.join(", ")
            ),
            Error::InvalidVersion(version) => write!(
                f,
                "The specified version '{version}' is not a valid version id. Allowed values are between \
                 [1, 2^31-1] and the string \"latest\""
            ),
            Error::InvalidLevel => write!(
                f,
                "Invalid compatibility level. Valid values are none, backward, forward, full, \
                 backward_transitive, forward_transitive, and full_transitive"
            ),
            Error::InvalidMode => {
                write!(f, "Invalid mode. Valid values are READWRITE, READONLY, IMPORT and FORWARD.")
            }
            Error::ReferenceExists { subject, version } => {
                write!(f, "One or more references exist to the schema {{magic=1,keytype=SCHEMA,")?;
                write!(f, "subject={subject},version={version}}}.")
            }
            Error::IdDoesNotMatch { id, expected } => {
                write!(f, "Schema already registered with id {expected} instead of input id {id}")
            }
            Error::InvalidSubject(subject) => {
                write!(f, "The specified subject '{subject}' is not a valid subject.")
            }
            Error::TooLarge { bytes, bytes_max } => {
                write!(f, "Register operation failed because schema is too large: ")?;
                write!(f, "its record has {bytes} bytes, the most is {bytes_max}")
            }
            Error::ContextNotEmpty(context) => write!(f, "The specified context '{context}' is not empty."),
            Error::Body(what)
            | Error::InvalidSchema(what)
            | Error::NotPermitted(what)
            | Error::InvalidRuleSet(what)
            | Error::Full(what)
            | Error::Store(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for Error {}
