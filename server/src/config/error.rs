//! Why settings are refused: which one, what it was, what it takes.

use std::borrow::Cow;
use std::io;
use std::path::PathBuf;

use strandline_engine::config::{Allowed, ConfigError};
use strandline_mqtt::rules::RuleError;
use strandline_tls::MappingError;

use super::host_port::HostPort;
use crate::security::{JaasError, Mechanism};

/// Why settings were refused.
#[derive(Debug, thiserror::Error)]
pub enum SettingError {
    /// The file can not be read.
    #[error("can not read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is not in the properties form.
    #[error("{path}: {source}")]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Where and what.
        source: java_properties::PropertiesError,
    },
    /// No setting of that name.
    #[error("there is no setting {name}")]
    Unknown {
        /// The name.
        name: String,
    },
    /// The setting does not take this value.
    #[error("{name}={value}: expected {expected}")]
    BadValue {
        /// The setting, or the argument that stands for it.
        name: Cow<'static, str>,
        /// The value.
        value: String,
        /// What it takes, apart: seldom is there an error, and every answer has the room for one.
        expected: Box<Expected>,
    },
    /// The argument is for a broker with one listener.
    #[error(
        "{argument} is for a broker with one listener, and listeners={listeners} has several: change {setting} instead"
    )]
    SeveralListeners {
        /// The argument.
        argument: &'static str,
        /// What was set.
        listeners: String,
        /// The setting that it stands for.
        setting: &'static str,
    },
}

/// What a setting takes.
#[derive(Debug, thiserror::Error)]
pub enum Expected {
    /// What any setting of its kind takes.
    #[error("{0}")]
    Allowed(Allowed),
    /// What the topic setting takes that it gives a default to.
    #[error(transparent)]
    Topic(#[from] ConfigError),
    /// Rules that can be told apart.
    #[error("rules that can be told apart; {0}")]
    Rules(#[from] RuleError),
    /// The other name's value.
    #[error("the same as node.id, {node_id}")]
    NodeId {
        /// That value.
        node_id: i32,
    },
    /// Another protocol.
    #[error("PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL behind {listener}, and not {protocol}")]
    Protocols {
        /// The listener.
        listener: String,
        /// Its protocol.
        protocol: String,
    },
    /// Names that differ.
    #[error("each name once, and {listener} stands there twice")]
    NameOnce {
        /// The one that is there twice.
        listener: String,
    },
    /// Places that differ.
    #[error("a place of its own for each: {one} and {other} have one")]
    OwnPlaces {
        /// One listener.
        one: String,
        /// Another one at the same place.
        other: String,
    },
    /// Names that `listeners` has.
    #[error("names of listeners, of which {listener} is none")]
    Listener {
        /// The name that it has not.
        listener: String,
    },
    /// A protocol for every name.
    #[error("{listener}:PLAINTEXT among its pairs: it names the protocol of every listener")]
    Protocol {
        /// The name without one.
        listener: String,
    },
    /// A mechanism that there is.
    #[error("mechanisms among {}, for {listener}", mechanisms())]
    Mechanisms {
        /// The listener that has others.
        listener: String,
    },
    /// Users, in the form in which Kafka has them.
    #[error("{0}")]
    Jaas(JaasError),
    /// Rules for the names of users.
    #[error("rules for names; {0}")]
    MappingRules(MappingError),
    /// A place that somebody can connect to.
    #[error("places that clients can connect to: {place} stands for every address of a machine")]
    Routable {
        /// The place that is none.
        place: HostPort,
    },
    /// A listener that clients are told of.
    #[error("the name of a listener that is advertised, of which there are: {}", names.join(", "))]
    Advertised {
        /// Those that there are.
        names: Vec<String>,
    },
}

fn mechanisms() -> String {
    Mechanism::ALL.map(|mechanism| mechanism.to_string()).join(", ")
}

impl From<&'static str> for Expected {
    fn from(words: &'static str) -> Expected {
        Expected::Allowed(words.into())
    }
}

impl From<Allowed> for Expected {
    fn from(allowed: Allowed) -> Expected {
        Expected::Allowed(allowed)
    }
}

pub(super) fn bad(
    name: impl Into<Cow<'static, str>>,
    value: &str,
    expected: impl Into<Expected>,
) -> SettingError {
    SettingError::BadValue { name: name.into(), value: value.to_owned(), expected: Box::new(expected.into()) }
}
