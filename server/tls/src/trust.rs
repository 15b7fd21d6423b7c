//! Whom one trusts: the certificates of a trust store, and what follows from them.
//!
//! As in Java and OpenSSL, a certificate that stands in the store itself is trusted as it is. Web PKI asks
//! more of it: one that signed itself, as `openssl req -x509` makes it, says that it is an authority, and
//! counts there for nobody's own. Its signature and, at a client, its name are checked all the same.

use std::fmt;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_name;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, RootCertStore,
    SignatureScheme,
};

use crate::error::{Problem, TlsError};
use crate::mapping::PrincipalMapping;
use crate::pem;
use crate::settings::{
    TRUSTSTORE_CERTIFICATES, TRUSTSTORE_LOCATION, TRUSTSTORE_PASSWORD, TRUSTSTORE_TYPE, TlsSettings, at,
};
use crate::subject::subject;

/// Certificates that are trusted.
pub(crate) struct Trust {
    certificates: Vec<CertificateDer<'static>>,
    roots: Arc<RootCertStore>,
}

impl Trust {
    /// Those that the settings name; `None` when they name no store.
    ///
    /// # Errors
    /// [`TlsError`].
    pub(crate) fn of(settings: &TlsSettings) -> Result<Option<Trust>, TlsError> {
        let (kind, password) = (TRUSTSTORE_TYPE, TRUSTSTORE_PASSWORD);
        let inline = settings.inline(TRUSTSTORE_CERTIFICATES, kind, password)?;
        let store = settings.store(TRUSTSTORE_LOCATION, kind, password)?;
        let (setting, text) = match (inline, store) {
            (None, None) => return Ok(None),
            (Some(_), Some(_)) => return at(TRUSTSTORE_CERTIFICATES, Err(Problem::Twice)),
            (Some(text), None) => (TRUSTSTORE_CERTIFICATES, text.to_owned()),
            (None, Some(text)) => (TRUSTSTORE_LOCATION, text),
        };
        at(setting, pem::certificates(&text).and_then(Trust::in_these)).map(Some)
    }

    /// Those that the system trusts.
    ///
    /// # Errors
    /// [`Problem::NoSystemRoots`] when there is none.
    pub(crate) fn in_the_systems() -> Result<Trust, TlsError> {
        let mut roots = RootCertStore::empty();
        let (taken, _) = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        match taken {
            0 => at(TRUSTSTORE_LOCATION, Err(Problem::NoSystemRoots)),
            _ => Ok(Trust { certificates: Vec::new(), roots: Arc::new(roots) }),
        }
    }

    fn in_these(certificates: Vec<CertificateDer<'static>>) -> Result<Trust, Problem> {
        let mut roots = RootCertStore::empty();
        for certificate in &certificates {
            roots.add(certificate.clone())?;
        }
        Ok(Trust { certificates, roots: Arc::new(roots) })
    }

    /// What verifies certificates of clients. Where none is demanded, a client without one is let in as well.
    pub(crate) fn of_clients(
        self,
        provider: Arc<CryptoProvider>,
        is_demanded: bool,
        mapping: &PrincipalMapping,
    ) -> Result<Arc<dyn ClientCertVerifier>, Problem> {
        let builder = WebPkiClientVerifier::builder_with_provider(self.roots, provider);
        let builder = if is_demanded { builder } else { builder.allow_unauthenticated() };
        let inner = builder.build().map_err(|error| Error::General(error.to_string()))?;
        Ok(Arc::new(OfClients { inner, certificates: self.certificates, mapping: mapping.clone() }))
    }

    /// What verifies the certificate of a broker, and its name where that is to be.
    pub(crate) fn of_brokers(
        self,
        provider: Arc<CryptoProvider>,
        checks_name: bool,
    ) -> Result<Arc<dyn ServerCertVerifier>, Problem> {
        let builder = WebPkiServerVerifier::builder_with_provider(self.roots, provider);
        let inner = builder.build().map_err(|error| Error::General(error.to_string()))?;
        Ok(Arc::new(OfBrokers { inner, certificates: self.certificates, checks_name }))
    }
}

struct OfClients {
    inner: Arc<dyn ClientCertVerifier>,
    certificates: Vec<CertificateDer<'static>>,
    /// What they are called: who is called nothing is told while the handshake lasts. Once it is over there
    /// is no word for it, and clients would take the end of the connection for a broker that is down.
    mapping: PrincipalMapping,
}

impl fmt::Debug for OfClients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OfClients").field("certificates", &self.certificates.len()).finish_non_exhaustive()
    }
}

impl ClientCertVerifier for OfClients {
    fn offer_client_auth(&self) -> bool {
        self.inner.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.inner.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.inner.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        own: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if !self.certificates.iter().any(|trusted| trusted == own) {
            self.inner.verify_client_cert(own, between, now)?;
        }
        self.mapping.name(&subject(own).map_err(nobody)?).map_err(nobody)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        own: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, own, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        own: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, own, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// A certificate that is trusted, and that nobody is called by.
fn nobody(why: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(why))))
}

struct OfBrokers {
    inner: Arc<WebPkiServerVerifier>,
    certificates: Vec<CertificateDer<'static>>,
    checks_name: bool,
}

impl fmt::Debug for OfBrokers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("OfBrokers");
        shown.field("certificates", &self.certificates.len()).field("checks_name", &self.checks_name);
        shown.finish_non_exhaustive()
    }
}

impl ServerCertVerifier for OfBrokers {
    fn verify_server_cert(
        &self,
        own: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.certificates.iter().any(|trusted| trusted == own) {
            if self.checks_name {
                verify_server_name(&ParsedCertificate::try_from(own)?, name)?;
            }
            return Ok(ServerCertVerified::assertion());
        }
        match self.inner.verify_server_cert(own, between, name, ocsp, now) {
            // The name is what is looked at last.
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if !self.checks_name => Ok(ServerCertVerified::assertion()),
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        own: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, own, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        own: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, own, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}
