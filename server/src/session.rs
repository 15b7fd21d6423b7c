//! Who is at the other end of a connection: what requests are answered, allowed and logged by, whatever front
//! they come in by.
//!
//! A session is a value. What becomes known while the connection lasts (the client's name, who it is) makes a
//! new one, and a request keeps the one that it came in with.

use std::borrow::Cow;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::net::Origin;

/// Who is at the other end, as far as it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// The client's end of the connection.
    pub peer: SocketAddr,
    /// The listener that it came in by.
    pub listener: Arc<str>,
    /// Whom its requests are allowed or refused for.
    pub principal: Principal,
    /// What the client calls itself.
    pub client_id: Option<String>,
    /// The program that it says it is.
    pub software: Option<Software>,
}

/// A user, or whatever else may be allowed something; Kafka's `KafkaPrincipal`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// What it is: `User`.
    pub kind: Cow<'static, str>,
    /// Its name.
    pub name: Cow<'static, str>,
}

/// The kind of principal that there is.
const USER: &str = "User";

/// A client's program (KIP-511).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Software {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
}

impl Principal {
    /// Whoever has not said who it is.
    pub const ANONYMOUS: Principal =
        Principal { kind: Cow::Borrowed(USER), name: Cow::Borrowed("ANONYMOUS") };

    /// A user.
    pub fn user(name: String) -> Principal {
        Principal { kind: Cow::Borrowed(USER), name: name.into() }
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind, self.name)
    }
}

impl Session {
    /// Of a connection that has said nothing yet, by which its client may have proven to be a user.
    pub fn new(origin: &Origin, user: Option<&str>) -> Session {
        Session {
            peer: origin.peer,
            listener: origin.listener.clone(),
            principal: user.map_or(Principal::ANONYMOUS, |user| Principal::user(user.to_owned())),
            client_id: None,
            software: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_not_said_who_it_is_is_called_as_in_kafka() {
        assert_eq!(Principal::ANONYMOUS.to_string(), "User:ANONYMOUS");
    }
}
