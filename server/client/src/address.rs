//! Where a broker listens, as people write it.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

/// The port of an address without one.
pub const DEFAULT_PORT: u16 = 9092;

/// `HOST:PORT`, `HOST` or `[IPV6]:PORT`. Not looked up yet.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address {
    /// A name or an IP address, without brackets.
    pub host: String,
    /// The TCP port.
    pub port: u16,
}

/// Why a text is no address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Nothing stands before the port.
    #[error("no host, HOST:PORT is expected")]
    NoHost,
    /// What follows the last colon is not a port.
    #[error("{port:?} is not a port from 1 to 65535")]
    Port {
        /// What stands there.
        port: String,
    },
    /// `[` without `]`.
    #[error("[ without ]")]
    Bracket,
    /// More colons than a host and a port have, and no IPv6 address or two of them.
    #[error("an IPv6 address with a port stands in brackets: [{host}]:{port}")]
    Unbracketed {
        /// What stands before the last colon.
        host: String,
        /// What stands behind it.
        port: String,
    },
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Address, AddressError> {
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, rest) = rest.split_once(']').ok_or(AddressError::Bracket)?;
                match rest.strip_prefix(':') {
                    None if !rest.is_empty() => return Err(AddressError::Port { port: rest.to_owned() }),
                    port => (host, port),
                }
            }
            None if text.matches(':').count() > 1 => unbracketed(text)?,
            None => match text.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            },
        };
        if host.is_empty() {
            return Err(AddressError::NoHost);
        }
        let port = match port {
            None => DEFAULT_PORT,
            Some(port) => match port.parse() {
                Ok(0) | Err(_) => return Err(AddressError::Port { port: port.to_owned() }),
                Ok(number) => number,
            },
        };
        Ok(Address { host: host.to_owned(), port })
    }
}

/// The host and the port of a text with several colons: an IPv6 address, with a port where only that makes
/// sense of it.
fn unbracketed(text: &str) -> Result<(&str, Option<&str>), AddressError> {
    let (host, port) = text.rsplit_once(':').expect("it has several");
    let is_address = |text: &str| text.split('%').next().unwrap_or(text).parse::<Ipv6Addr>().is_ok();
    match (is_address(text), is_address(host)) {
        (true, false) => Ok((text, None)),
        (false, true) => Ok((host, Some(port))),
        // Both, as ::1:9092 is; or neither.
        _ => Err(AddressError::Unbracketed { host: host.to_owned(), port: port.to_owned() }),
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_as_it_is_shown() {
        for (text, shown) in [
            ("localhost:9093", "localhost:9093"),
            ("broker", "broker:9092"),
            ("[::1]:1", "[::1]:1"),
            ("[::1]", "[::1]:9092"),
            ("fe80::1", "[fe80::1]:9092"),
            ("fe80::1%eth0", "[fe80::1%eth0]:9092"),
            ("::1:29723", "[::1]:29723"),
        ] {
            let address: Address = text.parse().unwrap();
            assert_eq!(address.to_string(), shown);
            assert_eq!(shown.parse(), Ok(address));
        }
    }

    #[test]
    fn what_is_no_address_is_refused_with_the_part_that_is_wrong() {
        assert_eq!("".parse::<Address>(), Err(AddressError::NoHost));
        assert_eq!(":9092".parse::<Address>(), Err(AddressError::NoHost));
        assert_eq!("[::1".parse::<Address>(), Err(AddressError::Bracket));
        for (text, hint) in
            [("::1:9092", "[::1]:9092"), ("2001:db8::5:1", "[2001:db8::5]:1"), ("a:b:1", "[a:b]:1")]
        {
            let said = text.parse::<Address>().unwrap_err().to_string();
            assert!(said.ends_with(hint), "{text}: {said}");
        }
        for (text, port) in [("a:", ""), ("a:0", "0"), ("a:65536", "65536"), ("[::1]9092", "9092")] {
            assert_eq!(text.parse::<Address>(), Err(AddressError::Port { port: port.to_owned() }), "{text}");
        }
    }
}
