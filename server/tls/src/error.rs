//! Why settings of TLS cannot be used: which one, and what it takes. No error holds a secret.

use std::io;
use std::path::PathBuf;

use rustls::{CertificateError, OtherError};

/// Most bytes of a file: a few thousand certificates.
pub const FILE_BYTES_MAX: u64 = 4 << 20;

/// A setting that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{setting}: {problem}")]
pub struct TlsError {
    /// The setting, without the prefix of a listener.
    pub setting: &'static str,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What is wrong with a setting.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// The file cannot be read.
    #[error("can not read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is larger than any of its kind.
    #[error("{} has more than {} bytes, which no key or certificate has", path.display(), FILE_BYTES_MAX)]
    Large {
        /// The file.
        path: PathBuf,
    },
    /// A store of Java's.
    #[error(
        "stores of type PEM are read, and this one is {kind}. Convert it once, and set the type to PEM: {}openssl \
         pkcs12 -in {} -out {path}.pem",
        first_step(kind, path),
        p12(kind, path)
    )]
    Store {
        /// Its type.
        kind: String,
        /// Where it is.
        path: String,
    },
    /// PEM whose type says otherwise.
    #[error("it is {kind}, and the store is PEM: set it to PEM")]
    NotSaidPem {
        /// What it is.
        kind: String,
    },
    /// A block that does not end, or holds something else than base64.
    #[error("block {number} is no PEM: -----BEGIN {label}-----, base64, -----END {label}-----")]
    Pem {
        /// Counted from 1.
        number: usize,
        /// What it says that it is.
        label: String,
    },
    /// A key in the form of OpenSSL before 1.0.
    #[error("a key that is encrypted has to be in PKCS#8: openssl pkcs8 -topk8 -v2 aes256 -in KEY -out NEW")]
    OldEncryption,
    /// There is none.
    #[error("no certificate stands there")]
    NoCertificate,
    /// There is none.
    #[error(
        "no private key stands there: PRIVATE KEY, ENCRYPTED PRIVATE KEY, RSA PRIVATE KEY or EC PRIVATE KEY"
    )]
    NoKey,
    /// There is more than one.
    #[error("one private key is expected, and there are {count}")]
    Keys {
        /// How many.
        count: usize,
    },
    /// The key is encrypted and nobody said by what.
    #[error("it is not set, and the private key is encrypted")]
    NoPassword,
    /// Another password, or an encryption that is not read.
    #[error("the private key can not be decrypted by it: {0}")]
    Decrypt(pkcs8::Error),
    /// Passwords of stores are for Java's.
    #[error("a PEM has no password of its own, only its key has: ssl.key.password")]
    StorePassword,
    /// A key without its certificate, or a certificate without its key.
    #[error("ssl.keystore.certificate.chain and ssl.keystore.key come together")]
    Half,
    /// The same in two ways.
    #[error("it is set beside ssl.keystore.location or ssl.truststore.location: one of both")]
    Twice,
    /// Nothing to prove by who the broker is.
    #[error("a listener with TLS needs a key and its certificate: ssl.keystore.location, or both inline")]
    NoIdentity,
    /// Nothing to hold certificates of clients against.
    #[error(
        "certificates of clients are asked for, so that ssl.truststore.location or .certificates is needed"
    )]
    NoTrust,
    /// A version that is not spoken.
    #[error("{name} is not spoken; TLSv1.2 and TLSv1.3 are")]
    Protocol {
        /// The version.
        name: String,
    },
    /// No suite of these is there.
    #[error("none of these is there; there are {there}")]
    Suites {
        /// Those that there are.
        there: String,
    },
    /// A word that it does not know.
    #[error("it is {found}, and expected is {expected}")]
    Word {
        /// The word.
        found: String,
        /// Those that it takes.
        expected: &'static str,
    },
    /// The certificate, or the key, or both together.
    #[error("{}", told(.0))]
    Rustls(#[from] rustls::Error),
    /// No root of the system's could be read.
    #[error("it is not set, and the system's own certificates can not be read")]
    NoSystemRoots,
}

/// What rustls says, in words for whoever has made the certificate.
pub fn told(error: &rustls::Error) -> String {
    let rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(inner))) = error else {
        return error.to_string();
    };
    match inner.to_string().as_str() {
        // What `openssl x509 -req` makes where it is given no extensions.
        "UnsupportedCertVersion" => {
            "the certificate is of version 1 of X.509, and of version 3 it has to be: one with extensions, for \
             instance subjectAltName"
                .to_owned()
        }
        said => said.to_owned(),
    }
}

/// Java's own stores become PKCS#12 first.
fn first_step(kind: &str, path: &str) -> String {
    match kind.eq_ignore_ascii_case("JKS") {
        true => format!(
            "keytool -importkeystore -srckeystore {path} -destkeystore {path}.p12 -deststoretype PKCS12 && "
        ),
        false => String::new(),
    }
}

fn p12(kind: &str, path: &str) -> String {
    if kind.eq_ignore_ascii_case("JKS") { format!("{path}.p12") } else { path.to_owned() }
}
