//! What settings take, as the sentence that refuses a value says it.

use std::fmt;
use std::net::IpAddr;

use super::value::{ConfigBounds, ConfigKind, range};

/// What a setting takes.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Allowed {
    /// What its declaration says.
    Declared(ConfigKind, ConfigBounds),
    /// These words say it.
    Words(&'static str),
    /// A whole number between two others that are settings themselves.
    Between {
        /// The least.
        min: i64,
        /// The most.
        max: i64,
    },
    /// More than another setting, with its value.
    MoreThan {
        /// The other setting.
        name: &'static str,
        /// Its value.
        value: i64,
    },
    /// There is an end to how many there are.
    AtMost {
        /// As many.
        count: usize,
        /// Of these.
        what: &'static str,
    },
    /// Addresses that differ.
    AddressOnce {
        /// The one that is there twice.
        address: IpAddr,
    },
}

impl From<&'static str> for Allowed {
    fn from(words: &'static str) -> Allowed {
        Allowed::Words(words)
    }
}

impl fmt::Display for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Allowed::Declared(kind, bounds) => declared(f, kind, bounds),
            Allowed::Words(words) => f.write_str(words),
            Allowed::Between { min, max } => write!(f, "a whole number from {min} to {max}"),
            Allowed::MoreThan { name, value } => write!(f, "more than {name}, which is {value}"),
            Allowed::AtMost { count, what } => write!(f, "{count} {what} at most"),
            Allowed::AddressOnce { address } => {
                write!(f, "each address once, and {address} stands there twice")
            }
        }
    }
}

fn declared(f: &mut fmt::Formatter<'_>, kind: ConfigKind, bounds: ConfigBounds) -> fmt::Result {
    let (least, most) = range(kind);
    match (bounds, kind) {
        (ConfigBounds::Whole(from, to), _) => {
            write!(f, "a whole number from {} to {}", from.max(least), to.min(most))
        }
        (ConfigBounds::WholeOr(other, from, to), _) => {
            write!(f, "{other}, or a whole number from {from} to {to}")
        }
        (ConfigBounds::Fraction(from, to), _) => write!(f, "a number from {from} to {to}"),
        (ConfigBounds::Words(words) | ConfigBounds::WordsOfAnyCase(words), ConfigKind::List) => {
            write!(f, "any of {}, with commas between them", words.join(", "))
        }
        (ConfigBounds::Words(words) | ConfigBounds::WordsOfAnyCase(words), _) => {
            write!(f, "one of {}", words.join(", "))
        }
        (ConfigBounds::Replicas, _) => f.write_str("*, or PARTITION:BROKER,PARTITION:BROKER,..."),
        (ConfigBounds::Only("", reason), _) => write!(f, "nothing: {reason}"),
        (ConfigBounds::Only(one, reason), _) => write!(f, "{one}: {reason}"),
        (ConfigBounds::Any, ConfigKind::Bool) => f.write_str("true or false"),
        (ConfigBounds::Any, ConfigKind::Double) => f.write_str("a number"),
        (ConfigBounds::Any, _) => write!(f, "a whole number from {least} to {most}"),
    }
}

#[cfg(test)]
mod tests {
    use super::ConfigBounds::*;
    use super::*;

    #[test]
    fn a_refusal_says_what_is_expected_of_the_type() {
        let said = |kind, bounds| Allowed::Declared(kind, bounds).to_string();
        assert_eq!(said(ConfigKind::Int, Whole(1, i64::MAX)), "a whole number from 1 to 2147483647");
        assert_eq!(said(ConfigKind::Short, Any), "a whole number from -32768 to 32767");
        assert_eq!(said(ConfigKind::Bool, Any), "true or false");
        assert_eq!(said(ConfigKind::Bool, Only("false", "there is no y")), "false: there is no y");
        assert_eq!(said(ConfigKind::Text, Only("", "there is no y")), "nothing: there is no y");
        assert_eq!(said(ConfigKind::List, Words(&["a", "b"])), "any of a, b, with commas between them");
    }
}
