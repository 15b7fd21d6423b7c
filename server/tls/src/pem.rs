//! PEM (RFC 7468), as Kafka reads it: blocks between their lines, on one line as well, since a properties
//! file joins the lines of a value. What stands between the blocks is passed over.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use pkcs8::EncryptedPrivateKeyInfoRef;
use rustls::pki_types::{
    CertificateDer, PrivateKeyDer, PrivatePkcs1KeyDer, PrivatePkcs8KeyDer, PrivateSec1KeyDer,
};

use crate::error::{FILE_BYTES_MAX, Problem};

const BEGIN: &str = "-----BEGIN ";
const DASHES: &str = "-----";

/// A file, whole.
///
/// # Errors
/// [`Problem::Read`] and [`Problem::Large`].
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Problem> {
    let failed = |source| Problem::Read { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    match bytes.len() as u64 > FILE_BYTES_MAX {
        true => Err(Problem::Large { path: path.to_owned() }),
        false => Ok(bytes),
    }
}

/// Whether a block of PEM begins somewhere in the bytes.
pub(crate) fn looks_like_pem(bytes: &[u8]) -> bool {
    String::from_utf8_lossy(bytes).contains(BEGIN)
}

/// A block: what it says that it is, and its bytes.
struct Block<'a> {
    label: &'a str,
    der: Vec<u8>,
}

/// The blocks whose label is wanted, in their order.
fn blocks<'a>(text: &'a str, wanted: impl Fn(&str) -> bool) -> Result<Vec<Block<'a>>, Problem> {
    let mut found = Vec::new();
    let mut rest = text;
    for number in 1.. {
        let Some(begin) = rest.find(BEGIN) else { break };
        rest = &rest[begin + BEGIN.len()..];
        let broken = |label: &str| Problem::Pem { number, label: shown(label) };
        let Some((label, after)) = rest.split_once(DASHES) else { return Err(broken("")) };
        let end = format!("-----END {label}-----");
        let Some((body, after)) = after.split_once(&end) else { return Err(broken(label)) };
        rest = after;
        if !wanted(label) {
            continue;
        }
        if body.contains("Proc-Type:") {
            return Err(Problem::OldEncryption);
        }
        let letters: Vec<u8> = body.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
        let der = BASE64.decode(letters).map_err(|_| broken(label))?;
        found.push(Block { label, der });
    }
    Ok(found)
}

/// A label for an error: what follows the dashes may be anything.
fn shown(label: &str) -> String {
    label.chars().filter(|letter| letter.is_ascii_alphanumeric() || *letter == ' ').take(40).collect()
}

/// The certificates, in their order.
///
/// # Errors
/// [`Problem::Pem`] and [`Problem::NoCertificate`].
pub(crate) fn certificates(text: &str) -> Result<Vec<CertificateDer<'static>>, Problem> {
    let blocks =
        blocks(text, |label| matches!(label, "CERTIFICATE" | "X509 CERTIFICATE" | "TRUSTED CERTIFICATE"))?;
    match blocks.is_empty() {
        true => Err(Problem::NoCertificate),
        false => Ok(blocks.into_iter().map(|block| CertificateDer::from(block.der)).collect()),
    }
}

/// The one private key, decrypted by the password where it is encrypted.
///
/// # Errors
/// [`Problem::Pem`], [`Problem::NoKey`], [`Problem::Keys`], [`Problem::OldEncryption`],
/// [`Problem::NoPassword`] and [`Problem::Decrypt`].
pub(crate) fn private_key(text: &str, password: Option<&str>) -> Result<PrivateKeyDer<'static>, Problem> {
    let mut blocks = blocks(text, |label| label.ends_with("PRIVATE KEY"))?;
    let Block { label, der } = match blocks.len() {
        0 => return Err(Problem::NoKey),
        1 => blocks.remove(0),
        count => return Err(Problem::Keys { count }),
    };
    match label {
        "PRIVATE KEY" => Ok(PrivatePkcs8KeyDer::from(der).into()),
        "RSA PRIVATE KEY" => Ok(PrivatePkcs1KeyDer::from(der).into()),
        "EC PRIVATE KEY" => Ok(PrivateSec1KeyDer::from(der).into()),
        "ENCRYPTED PRIVATE KEY" => {
            let password = password.ok_or(Problem::NoPassword)?;
            let decrypted = EncryptedPrivateKeyInfoRef::try_from(&der[..])
                .map_err(Problem::Decrypt)?
                .decrypt(password)
                .map_err(Problem::Decrypt)?;
            Ok(PrivatePkcs8KeyDer::from(decrypted.as_bytes().to_vec()).into())
        }
        _ => Err(Problem::NoKey),
    }
}
