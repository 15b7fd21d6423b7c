//! A host and a port, as settings name them.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// A host and a port, as `HOST:PORT` or `[IPV6]:PORT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPort {
    /// A name or an address, without brackets.
    pub host: String,
    /// The port; 0 for any.
    pub port: u16,
}

/// What was written is not a host and a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected HOST:PORT")]
pub struct NotHostPort;

impl FromStr for HostPort {
    type Err = NotHostPort;

    fn from_str(text: &str) -> Result<HostPort, NotHostPort> {
        let (host, port) = text.rsplit_once(':').ok_or(NotHostPort)?;
        let inner = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        if inner.is_none() && host.contains([':', '[', ']', '/']) {
            return Err(NotHostPort);
        }
        let port = port.parse().map_err(|_| NotHostPort)?;
        Ok(HostPort { host: inner.unwrap_or(host).to_owned(), port })
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

impl HostPort {
    /// Whether the host stands for every address of the machine.
    pub fn is_any(&self) -> bool {
        self.host.is_empty()
            || self.host.parse() == Ok(Ipv4Addr::UNSPECIFIED)
            || self.host.parse() == Ok(Ipv6Addr::UNSPECIFIED)
    }
}
