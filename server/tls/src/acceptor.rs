//! The side of a listener: its key and certificate, and which certificates it asks of clients.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};

use crate::error::{Problem, TlsError};
use crate::mapping::PrincipalMapping;
use crate::pem;
use crate::provider::{provider, tickets, versions};
use crate::settings::{
    CLIENT_AUTH, KEY_PASSWORD, KEYSTORE_CHAIN, KEYSTORE_KEY, KEYSTORE_LOCATION, KEYSTORE_PASSWORD,
    KEYSTORE_TYPE, TlsSettings, at,
};
use crate::trust::Trust;

/// Tickets that a client is given after a handshake: one connection, one ticket to come back by.
const TICKETS: usize = 1;

/// What a listener with these settings takes connections by. It reads their files. A client whose certificate
/// `mapping` has no name for is refused like one that is not trusted, and told so.
///
/// Each one has keys of its own for tickets, so that no session comes back by what another has trusted. Early
/// data (0-RTT), which could be played again, is not taken.
///
/// # Errors
/// [`TlsError`].
pub fn acceptor(settings: &TlsSettings, mapping: &PrincipalMapping) -> Result<Arc<ServerConfig>, TlsError> {
    let provider = provider(settings)?;
    let versions = versions(settings)?;
    let (chain, key) =
        identity(settings)?.ok_or(TlsError { setting: KEYSTORE_LOCATION, problem: Problem::NoIdentity })?;
    let verifier = match settings.get(CLIENT_AUTH).unwrap_or("none").to_ascii_lowercase().as_str() {
        "none" => WebPkiClientVerifier::no_client_auth(),
        word @ ("requested" | "required") => {
            let trust = Trust::of(settings)?;
            let trust = trust.ok_or(TlsError { setting: CLIENT_AUTH, problem: Problem::NoTrust })?;
            at(CLIENT_AUTH, trust.of_clients(provider.clone(), word == "required", mapping))?
        }
        other => {
            let expected = "none, requested or required";
            return at(CLIENT_AUTH, Err(Problem::Word { found: other.to_owned(), expected }));
        }
    };
    let made = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&versions)
        .and_then(|builder| builder.with_client_cert_verifier(verifier).with_single_cert(chain, key))
        .and_then(|config| Ok((config, tickets()?)));
    let (mut config, tickets) = at(KEYSTORE_LOCATION, made.map_err(Problem::Rustls))?;
    // Of the suites that both sides have, the one that stands first here is taken.
    config.ignore_client_order = true;
    config.ticketer = tickets;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = TICKETS;
    Ok(Arc::new(config))
}

/// The key and its certificates, if the settings name any.
pub(crate) fn identity(
    settings: &TlsSettings,
) -> Result<Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>, TlsError> {
    let (kind, password) = (KEYSTORE_TYPE, KEYSTORE_PASSWORD);
    let chain = settings.inline(KEYSTORE_CHAIN, kind, password)?;
    let key = settings.inline(KEYSTORE_KEY, kind, password)?;
    let store = settings.store(KEYSTORE_LOCATION, kind, password)?;
    let (chain, key, from) = match (&store, chain, key) {
        (None, None, None) => return Ok(None),
        (Some(text), None, None) => (text.as_str(), text.as_str(), [KEYSTORE_LOCATION; 2]),
        (None, Some(chain), Some(key)) => (chain, key, [KEYSTORE_CHAIN, KEYSTORE_KEY]),
        (None, ..) => return at(KEYSTORE_KEY, Err(Problem::Half)),
        (Some(_), ..) => return at(KEYSTORE_KEY, Err(Problem::Twice)),
    };
    let chain = at(from[0], pem::certificates(chain))?;
    let key = pem::private_key(key, settings.get(KEY_PASSWORD)).map_err(|problem| TlsError {
        setting: match problem {
            Problem::NoPassword | Problem::Decrypt(_) => KEY_PASSWORD,
            _ => from[1],
        },
        problem,
    })?;
    Ok(Some((chain, key)))
}
