//! The cryptography, and what of it is offered: versions of the protocol and suites of ciphers.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
#[cfg(feature = "aws-lc-rs")]
use rustls::crypto::aws_lc_rs as chosen;
#[cfg(not(feature = "aws-lc-rs"))]
use rustls::crypto::ring as chosen;
use rustls::server::ProducesTickets;
use rustls::version::{TLS12, TLS13};
use rustls::{SupportedCipherSuite, SupportedProtocolVersion};

use crate::error::{Problem, TlsError};
use crate::settings::{CIPHER_SUITES, ENABLED_PROTOCOLS, TlsSettings, at};

/// The cryptography, with the suites that the settings allow, in the order in which they name them.
///
/// # Errors
/// [`Problem::Suites`] when none is left.
pub(crate) fn provider(settings: &TlsSettings) -> Result<Arc<CryptoProvider>, TlsError> {
    let mut provider = chosen::default_provider();
    let asked = settings.list(CIPHER_SUITES);
    if !asked.is_empty() {
        let there = provider.cipher_suites.clone();
        let place = |suite: &SupportedCipherSuite| asked.iter().position(|name| *name == name_of(suite));
        provider.cipher_suites.retain(|suite| place(suite).is_some());
        provider.cipher_suites.sort_by_key(place);
        if provider.cipher_suites.is_empty() {
            let there = there.iter().map(name_of).collect::<Vec<_>>().join(", ");
            return at(CIPHER_SUITES, Err(Problem::Suites { there }));
        }
    }
    Ok(Arc::new(provider))
}

/// The name that the suite has in the register of IANA, and in Java.
fn name_of(suite: &SupportedCipherSuite) -> String {
    format!("{:?}", suite.suite()).replace("TLS13_", "TLS_")
}

/// The versions that the settings allow.
///
/// # Errors
/// [`Problem::Protocol`].
pub(crate) fn versions(settings: &TlsSettings) -> Result<Vec<&'static SupportedProtocolVersion>, TlsError> {
    let asked = settings.list(ENABLED_PROTOCOLS);
    if asked.is_empty() {
        return Ok(vec![&TLS13, &TLS12]);
    }
    let version = |name: &&str| match *name {
        "TLSv1.2" => Ok(&TLS12),
        "TLSv1.3" => Ok(&TLS13),
        other => Err(Problem::Protocol { name: other.to_owned() }),
    };
    at(ENABLED_PROTOCOLS, asked.iter().map(version).collect())
}

/// What makes tickets of sessions and reads them again. Its keys live as long as it does.
pub(crate) fn tickets() -> Result<Arc<dyn ProducesTickets>, rustls::Error> {
    chosen::Ticketer::new()
}
