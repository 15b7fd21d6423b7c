//! The side of a client: which brokers it trusts, and what it shows of itself.

use std::sync::Arc;

use rustls::ClientConfig;

use crate::acceptor::identity;
use crate::error::{Problem, TlsError};
use crate::provider::{provider, versions};
use crate::settings::{ENDPOINT_IDENTIFICATION, KEYSTORE_LOCATION, TRUSTSTORE_LOCATION, TlsSettings, at};
use crate::trust::Trust;

/// What a client with these settings connects by. It reads their files.
///
/// Without a trust store it trusts whom the system trusts. The name of a broker is checked unless
/// `ssl.endpoint.identification.algorithm` is set to nothing.
///
/// # Errors
/// [`TlsError`].
pub fn connector(settings: &TlsSettings) -> Result<Arc<ClientConfig>, TlsError> {
    let provider = provider(settings)?;
    let versions = versions(settings)?;
    let checks_name = match settings.get(ENDPOINT_IDENTIFICATION) {
        Some(word) if !word.eq_ignore_ascii_case("https") => {
            let expected = "https, or nothing";
            return at(ENDPOINT_IDENTIFICATION, Err(Problem::Word { found: word.to_owned(), expected }));
        }
        _ => !settings.is_set_empty(ENDPOINT_IDENTIFICATION),
    };
    let trust = match Trust::of(settings)? {
        Some(trust) => trust,
        None => Trust::in_the_systems()?,
    };
    let verifier = at(TRUSTSTORE_LOCATION, trust.of_brokers(provider.clone(), checks_name))?;
    let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(&versions);
    let builder = at(TRUSTSTORE_LOCATION, builder.map_err(Problem::Rustls))?;
    let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
    let config = match identity(settings)? {
        Some((chain, key)) => {
            at(KEYSTORE_LOCATION, builder.with_client_auth_cert(chain, key).map_err(Problem::Rustls))?
        }
        None => builder.with_no_client_auth(),
    };
    Ok(Arc::new(config))
}
