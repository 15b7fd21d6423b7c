//! How many connections there may be: of all listeners, of one, of one address.

use std::net::IpAddr;

/// The exceptions from `max.connections.per.ip`.
pub(super) const OVERRIDES: &str = "max.connections.per.ip.overrides";

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
pub(super) const COUNTS_OF_ADDRESSES: &str = "ADDRESS:COUNT,ADDRESS:COUNT,... with addresses and not names";

/// `10.0.0.1:5,::1:7`; `None` when it is something else.
pub(super) fn counts_of_addresses(text: &str) -> Option<Vec<(IpAddr, usize)>> {
    let one = |text: &str| {
        let (address, count) = text.trim().rsplit_once(':')?;
        let address: IpAddr = address.trim_start_matches('[').trim_end_matches(']').parse().ok()?;
        Some((address.to_canonical(), count.trim().parse().ok()?))
    };
    text.split(',').filter(|_| !text.trim().is_empty()).map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_of_addresses_are_of_either_family() {
        let of = |text| {
            counts_of_addresses(text).map(|counts| {
                counts.into_iter().map(|(of, count)| format!("{of} {count}")).collect::<Vec<_>>()
            })
        };
        assert_eq!(of(""), Some(vec![]));
        assert_eq!(of("10.0.0.1:5, ::1:7,[::2]:8").unwrap(), ["10.0.0.1 5", "::1 7", "::2 8"]);
        assert_eq!(of("::ffff:10.0.0.1:5").unwrap(), ["10.0.0.1 5"], "the same address, as it was mapped");
        for bad in ["10.0.0.1", "host:5", "10.0.0.1:-1", "10.0.0.1:5,", "10.0.0.1:"] {
            assert_eq!(of(bad), None, "{bad}");
        }
    }
}
