//! The names that the broker answers to, as the Host of a request has them.
//!
//! A site may point a name of its own at this machine, and a browser that is on it then takes the broker for
//! a part of that site, and hands it all that is answered. So a name has to be one that the broker itself is
//! known by, or one that no stranger can have: an address, a name without a dot, or one below a domain that
//! is not given to anybody.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::config::{Advertised, BrokerConfig};

/// Domains that are not given to anybody (RFC 6761, RFC 6762, RFC 8375, ICANN's for networks inside), and
/// that of services in Kubernetes.
const OF_NOBODY: [&str; 6] = [".home.arpa", ".internal", ".local", ".localhost", ".svc", ".test"];

/// The names by which the broker is known.
pub(super) struct Hosts(BTreeSet<String>);

impl Hosts {
    /// Those of the settings, and the machine's own.
    pub(super) fn new(config: &BrokerConfig) -> Hosts {
        let mut names = BTreeSet::new();
        names.insert(rustix::system::uname().nodename().to_string_lossy().to_lowercase());
        for listener in &config.listeners {
            names.insert(listener.listen.host.to_lowercase());
            if let Advertised::At(place) = &listener.advertised {
                names.insert(place.host.to_lowercase());
            }
        }
        names.extend(config.http.as_ref().map(|(place, _)| place.host.to_lowercase()));
        Hosts(names)
    }

    /// Whether it may be the Host of a request; the port does not matter.
    pub(super) fn has(&self, host: &str) -> bool {
        if let Some(rest) = host.strip_prefix('[') {
            return rest.split(']').next().is_some_and(|address| address.parse::<IpAddr>().is_ok());
        }
        let name = host.split(':').next().unwrap_or_default();
        let name = name.strip_suffix('.').unwrap_or(name).to_lowercase();
        !name.is_empty()
            && (!name.contains('.')
                || name.parse::<IpAddr>().is_ok()
                || OF_NOBODY.iter().any(|domain| name.ends_with(domain))
                || self.0.contains(&name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_our_own_or_of_nobody_is_let_in_and_no_other() {
        let hosts = Hosts(["broker.example"].map(str::to_owned).into());
        for own in [
            "localhost",
            "LOCALHOST:8080",
            "localhost.:80",
            "broker:8080",
            "127.0.0.1",
            "10.1.2.3:8080",
            "[::1]:8080",
            "[::1]",
            "Broker.Example:1",
            "broker.here.svc:80",
            "broker.here.svc.cluster.local",
            "printer.Internal.",
        ] {
            assert!(hosts.has(own), "{own}");
        }
        for foreign in [
            "",
            ".",
            ":80",
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "svc.evil.example",
            "[",
            "[evil]:80",
            "[evil.example]",
        ] {
            assert!(!hosts.has(foreign), "{foreign}");
        }
    }
}
