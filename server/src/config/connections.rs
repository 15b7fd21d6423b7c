//! How many connections there may be, of all listeners, of one, of one address; and how many may come.

use std::net::IpAddr;

use strandline_engine::config::Allowed;

/// The exceptions from `max.connections.per.ip`.
pub(super) const OVERRIDES: &str = "max.connections.per.ip.overrides";

/// Connections that may come in a second.
pub(super) const CREATION_RATE: &str = "max.connection.creation.rate";

/// Connections that may come in a second, as it is at this moment; `None` where there is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConnectionRates {
    /// By all listeners together.
    pub all: Option<u32>,
    /// By the listener.
    pub listener: Option<u32>,
}

impl ConnectionRates {
    /// A rate out of a setting, whose default is no limit.
    pub(super) fn read(value: &str) -> Option<u32> {
        value.parse().ok().filter(|rate| *rate < i32::MAX as u32)
    }
}

/// Connections that there may be at a time, as it is at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// Of the process.
    pub all: usize,
    /// Of the listener.
    pub listener: usize,
    /// Of the client's address.
    pub address: usize,
}

/// What a value of [`OVERRIDES`] is expected to be.
const COUNTS_OF_ADDRESSES: &str = "ADDRESS:COUNT,ADDRESS:COUNT,... with addresses and not names";

/// `10.0.0.1:5,::1:7`: each address with its count.
///
/// # Errors
/// What is expected, when it is something else, or has an address twice.
pub(super) fn counts_of_addresses(text: &str) -> Result<Vec<(IpAddr, usize)>, Allowed> {
    let one = |text: &str| {
        let (address, count) = text.trim().rsplit_once(':')?;
        let address: IpAddr = address.trim_start_matches('[').trim_end_matches(']').parse().ok()?;
        Some((address.to_canonical(), count.trim().parse().ok()?))
    };
    let mut counts: Vec<(IpAddr, usize)> = Vec::new();
    for text in text.split(',').filter(|_| !text.trim().is_empty()) {
        let (address, count) = one(text).ok_or(COUNTS_OF_ADDRESSES)?;
        if counts.iter().any(|(other, _)| *other == address) {
            return Err(Allowed::AddressOnce { address });
        }
        counts.push((address, count));
    }
    Ok(counts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_of_addresses_are_of_either_family() {
        let of = |text| {
            let counts = counts_of_addresses(text).map_err(|expected| expected.to_string())?;
            Ok(counts.into_iter().map(|(of, count)| format!("{of} {count}")).collect::<Vec<_>>())
        };
        assert_eq!(of(""), Ok(vec![]));
        assert_eq!(of("10.0.0.1:5, ::1:7,[::2]:8").unwrap(), ["10.0.0.1 5", "::1 7", "::2 8"]);
        assert_eq!(of("::ffff:10.0.0.1:5").unwrap(), ["10.0.0.1 5"], "the same address, as it was mapped");
        for bad in ["10.0.0.1", "host:5", "10.0.0.1:-1", "10.0.0.1:5,", "10.0.0.1:"] {
            assert_eq!(of(bad), Err(COUNTS_OF_ADDRESSES.to_owned()), "{bad}");
        }
        for twice in ["::1:3,[::1]:4", "10.0.0.1:5,10.0.0.2:5,::ffff:10.0.0.1:5"] {
            assert!(
                of(twice).is_err_and(|expected: String| expected.contains("stands there twice")),
                "{twice}"
            );
        }
    }
}
