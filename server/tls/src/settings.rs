//! The settings that say what TLS is to be, in Kafka's names.
//!
//! The values are as they were written: what they mean is found out, and the files are read, when something
//! is made of them. So two of them are the same when they say the same, and the same says something new when
//! a file has changed.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use crate::error::{Problem, TlsError};

pub(crate) const CIPHER_SUITES: &str = "ssl.cipher.suites";
pub(crate) const CLIENT_AUTH: &str = "ssl.client.auth";
pub(crate) const ENABLED_PROTOCOLS: &str = "ssl.enabled.protocols";
pub(crate) const ENDPOINT_IDENTIFICATION: &str = "ssl.endpoint.identification.algorithm";
pub(crate) const KEY_PASSWORD: &str = "ssl.key.password";
pub(crate) const KEYSTORE_CHAIN: &str = "ssl.keystore.certificate.chain";
pub(crate) const KEYSTORE_KEY: &str = "ssl.keystore.key";
pub(crate) const KEYSTORE_LOCATION: &str = "ssl.keystore.location";
pub(crate) const KEYSTORE_PASSWORD: &str = "ssl.keystore.password";
pub(crate) const KEYSTORE_TYPE: &str = "ssl.keystore.type";
pub(crate) const TRUSTSTORE_CERTIFICATES: &str = "ssl.truststore.certificates";
pub(crate) const TRUSTSTORE_LOCATION: &str = "ssl.truststore.location";
pub(crate) const TRUSTSTORE_PASSWORD: &str = "ssl.truststore.password";
pub(crate) const TRUSTSTORE_TYPE: &str = "ssl.truststore.type";

/// Every name that is read.
pub const NAMES: [&str; 14] = [
    CIPHER_SUITES,
    CLIENT_AUTH,
    ENABLED_PROTOCOLS,
    ENDPOINT_IDENTIFICATION,
    KEY_PASSWORD,
    KEYSTORE_CHAIN,
    KEYSTORE_KEY,
    KEYSTORE_LOCATION,
    KEYSTORE_PASSWORD,
    KEYSTORE_TYPE,
    TRUSTSTORE_CERTIFICATES,
    TRUSTSTORE_LOCATION,
    TRUSTSTORE_PASSWORD,
    TRUSTSTORE_TYPE,
];

/// What was set, by name. `Debug` shows names alone: a value may be a secret.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct TlsSettings(BTreeMap<&'static str, String>);

impl fmt::Debug for TlsSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.keys()).finish()
    }
}

impl TlsSettings {
    /// What `value` gives for each of [`NAMES`].
    pub fn of(value: impl Fn(&'static str) -> Option<String>) -> TlsSettings {
        TlsSettings(NAMES.iter().filter_map(|name| Some((*name, value(name)?))).collect())
    }

    /// The files that are read.
    pub fn files(&self) -> Vec<PathBuf> {
        let locations = [KEYSTORE_LOCATION, TRUSTSTORE_LOCATION];
        locations.into_iter().filter_map(|name| self.get(name)).map(PathBuf::from).collect()
    }

    /// What was set, unless it is nothing.
    pub(crate) fn get(&self, name: &'static str) -> Option<&str> {
        self.0.get(name).map(|value| value.trim()).filter(|value| !value.is_empty())
    }

    /// Whether it was set to nothing.
    pub(crate) fn is_set_empty(&self, name: &'static str) -> bool {
        self.0.get(name).is_some_and(|value| value.trim().is_empty())
    }

    /// The words of a list.
    pub(crate) fn list(&self, name: &'static str) -> Vec<&str> {
        let words = self.get(name).unwrap_or_default().split(',').map(str::trim);
        words.filter(|word| !word.is_empty()).collect()
    }

    /// The text of a store that is a file, whose type has to say that it is PEM, as in Kafka.
    pub(crate) fn store(
        &self,
        location: &'static str,
        kind: &'static str,
        password: &'static str,
    ) -> Result<Option<String>, TlsError> {
        let Some(path) = self.get(location) else { return Ok(None) };
        let text =
            crate::pem::read(Path::new(path)).map_err(|problem| TlsError { setting: location, problem })?;
        let said = self.get(kind).unwrap_or("JKS");
        if !said.eq_ignore_ascii_case("PEM") {
            let problem = match crate::pem::looks_like_pem(&text) {
                true => Problem::NotSaidPem { kind: said.to_owned() },
                false => Problem::Store { kind: said.to_owned(), path: path.to_owned() },
            };
            return Err(TlsError { setting: kind, problem });
        }
        self.refuse_password(password)?;
        Ok(Some(String::from_utf8_lossy(&text).into_owned()))
    }

    /// What stands in the settings themselves, whose type has to say that it is PEM.
    pub(crate) fn inline(
        &self,
        setting: &'static str,
        kind: &'static str,
        password: &'static str,
    ) -> Result<Option<&str>, TlsError> {
        let Some(text) = self.get(setting) else { return Ok(None) };
        let said = self.get(kind).unwrap_or("JKS");
        if !said.eq_ignore_ascii_case("PEM") {
            return Err(TlsError { setting: kind, problem: Problem::NotSaidPem { kind: said.to_owned() } });
        }
        self.refuse_password(password)?;
        Ok(Some(text))
    }

    fn refuse_password(&self, setting: &'static str) -> Result<(), TlsError> {
        match self.get(setting) {
            Some(_) => Err(TlsError { setting, problem: Problem::StorePassword }),
            None => Ok(()),
        }
    }
}

/// A problem of a setting, as an error.
pub(crate) fn at<T>(setting: &'static str, result: Result<T, Problem>) -> Result<T, TlsError> {
    result.map_err(|problem| TlsError { setting, problem })
}
