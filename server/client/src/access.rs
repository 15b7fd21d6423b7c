//! How a client connects: by TLS or without it, and as whom. In Kafka's names, as the file has them that
//! Kafka's own tools take by `--command-config`.
//!
//! ```text
//! security.protocol=SASL_SSL
//! ssl.truststore.type=PEM
//! ssl.truststore.location=/etc/kafka/authority.pem
//! sasl.mechanism=SCRAM-SHA-512
//! sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required username="alice" password="...";
//! ```

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use strandline_tls::rustls::ClientConfig;
use strandline_tls::{TlsError, TlsSettings, connector};

use crate::jaas::{JaasForm, jaas_entry};
use crate::sasl::{Mechanism, Sasl};

/// How a client connects; by default in plaintext, as nobody. `Debug` shows no secret.
#[derive(Clone, Debug, Default)]
pub struct Access {
    pub(crate) tls: Option<Arc<ClientConfig>>,
    pub(crate) sasl: Option<Arc<Sasl>>,
}

/// Why settings of a client cannot be used. It names no value that may be a secret.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// The file cannot be read.
    #[error("can not read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is not in the properties form.
    #[error("{}: {source}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Where and what.
        source: java_properties::PropertiesError,
    },
    /// Another protocol.
    #[error("security.protocol={found}: expected PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL")]
    Protocol {
        /// What was set.
        found: String,
    },
    /// A mechanism that this client has not.
    #[error("sasl.mechanism={found}: expected PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512")]
    Mechanism {
        /// What was set.
        found: String,
    },
    /// The user is not there to be read.
    #[error("sasl.jaas.config: expected {0}")]
    Jaas(#[from] JaasForm),
    /// The entry has no user, or no password.
    #[error("sasl.jaas.config: expected MODULE required username=\"NAME\" password=\"PASSWORD\";")]
    NoUser,
    /// A setting of TLS.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// Names that are understood beside those of TLS.
const NAMES: [&str; 3] = ["security.protocol", "sasl.mechanism", "sasl.jaas.config"];

impl Access {
    /// Reads a properties file; and gives the names in it that would say how to connect, and are not
    /// understood. All others are another program's.
    ///
    /// # Errors
    /// [`AccessError`].
    pub fn read(path: &Path) -> Result<(Access, Vec<String>), AccessError> {
        let file = std::fs::File::open(path);
        let file = file.map_err(|source| AccessError::Read { path: path.to_owned(), source })?;
        let mut pairs = Vec::new();
        java_properties::PropertiesIter::new(io::BufReader::new(file))
            .read_into(|name, value| pairs.push((name, value)))
            .map_err(|source| AccessError::Syntax { path: path.to_owned(), source })?;
        let is_known = |name: &str| NAMES.contains(&name) || strandline_tls::NAMES.contains(&name);
        let is_ours =
            |name: &str| ["security.", "ssl.", "sasl."].iter().any(|prefix| name.starts_with(prefix));
        let names = pairs.iter().map(|(name, _)| name).filter(|name| is_ours(name) && !is_known(name));
        let unknown = names.cloned().collect();
        Ok((Access::of(&pairs)?, unknown))
    }

    /// What names and values say; the last of a name counts.
    ///
    /// # Errors
    /// [`AccessError`].
    pub fn of(pairs: &[(String, String)]) -> Result<Access, AccessError> {
        let value = |name: &str| {
            let found = pairs.iter().rev().find(|(found, _)| found == name);
            found.map(|(_, value)| value.trim())
        };
        let protocol = value("security.protocol").unwrap_or("PLAINTEXT");
        let (has_tls, has_sasl) = match protocol.to_ascii_uppercase().as_str() {
            "PLAINTEXT" => (false, false),
            "SSL" => (true, false),
            "SASL_PLAINTEXT" => (false, true),
            "SASL_SSL" => (true, true),
            _ => return Err(AccessError::Protocol { found: protocol.to_owned() }),
        };
        let tls = has_tls.then(|| connector(&TlsSettings::of(|name| value(name).map(str::to_owned))));
        let sasl = has_sasl.then(|| sasl(value("sasl.mechanism"), value("sasl.jaas.config")));
        Ok(Access { tls: tls.transpose()?, sasl: sasl.transpose()?.map(Arc::new) })
    }
}

fn sasl(mechanism: Option<&str>, jaas: Option<&str>) -> Result<Sasl, AccessError> {
    // Kafka's default, which needs Kerberos.
    let named = mechanism.unwrap_or("GSSAPI");
    let mechanism = Mechanism::ALL.into_iter().find(|known| known.to_string() == named);
    let mechanism = mechanism.ok_or_else(|| AccessError::Mechanism { found: named.to_owned() })?;
    let entry = jaas_entry(jaas.ok_or(AccessError::NoUser)?)?;
    let option = |name: &str| {
        let found = entry.options.iter().rev().find(|(found, _)| found == name);
        found.map(|(_, value)| value.clone())
    };
    match (option("username"), option("password")) {
        (Some(user), Some(password)) if !user.is_empty() => Ok(Sasl { mechanism, user, password }),
        _ => Err(AccessError::NoUser),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pairs: &[(&str, &str)]) -> Result<Access, AccessError> {
        let pairs = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Access::of(&pairs.collect::<Vec<_>>())
    }

    const JAAS: (&str, &str) = ("sasl.jaas.config", "m required username=\"alice\" password=\"hunter2\";");

    #[test]
    fn settings_say_by_what_and_as_whom_to_connect() {
        let plain = of(&[("security.protocol", "plaintext"), JAAS]).unwrap();
        assert!(plain.tls.is_none() && plain.sasl.is_none());
        let scram = [("security.protocol", "SASL_PLAINTEXT"), ("sasl.mechanism", "SCRAM-SHA-512"), JAAS];
        let scram = of(&scram).unwrap();
        let sasl = scram.sasl.as_ref().unwrap();
        assert_eq!((sasl.mechanism, sasl.user.as_str()), (Mechanism::ScramSha512, "alice"));
        assert!(!format!("{scram:?}").contains("hunter2"));
    }

    #[test]
    fn what_cannot_be_used_is_refused_and_the_refusal_tells_no_secret() {
        let sasl = ("security.protocol", "SASL_PLAINTEXT");
        let plain = ("sasl.mechanism", "PLAIN");
        let cases: &[(&[(&str, &str)], &str)] = &[
            (&[("security.protocol", "TLS")], "security.protocol=TLS: expected PLAINTEXT"),
            (&[sasl, JAAS], "sasl.mechanism=GSSAPI: expected PLAIN"),
            (&[sasl, plain], "sasl.jaas.config: expected MODULE required username"),
            (
                &[sasl, plain, ("sasl.jaas.config", "m required username=\"hunter2\";")],
                "sasl.jaas.config: expected",
            ),
            (&[sasl, plain, ("sasl.jaas.config", "hunter2")], "sasl.jaas.config: expected MODULE"),
            (
                &[("security.protocol", "SSL"), ("ssl.truststore.location", "/nowhere/x.pem")],
                "ssl.truststore.location: can not read /nowhere/x.pem",
            ),
        ];
        for (pairs, expected) in cases {
            let said = of(pairs).unwrap_err().to_string();
            assert!(said.starts_with(expected) && !said.contains("hunter2"), "{said}");
        }
    }
}
