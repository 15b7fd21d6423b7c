//! The subject of a certificate, written as Java's `X500Principal.getName()` writes it (RFC 2253): by that
//! name Kafka knows a client, and rules and ACLs are written for it.
//!
//! ```text
//! SEQUENCE { SET { C = DE }, SET { O = Example, Inc. }, SET { CN = truck-7 } }   >   CN=truck-7,O=Example\, Inc.,C=DE
//! ```
//! The last part comes first. A type without a short name is its number, and its value the hexadecimal of its
//! encoding: an address of mail is `1.2.840.113549.1.9.1=#16...`.

use std::fmt::Write as _;

use rustls::pki_types::CertificateDer;
use x509_cert::Certificate;
use x509_cert::attr::AttributeTypeAndValue;
use x509_cert::der::asn1::ObjectIdentifier;
use x509_cert::der::{Decode, Encode, Tag, Tagged};

/// The certificate has no subject that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the subject of the certificate can not be read: {0}")]
pub struct NoSubject(#[from] x509_cert::der::Error);

/// The types that have a short name in RFC 2253.
const SHORT: [(ObjectIdentifier, &str); 9] = [
    (ObjectIdentifier::new_unwrap("2.5.4.3"), "CN"),
    (ObjectIdentifier::new_unwrap("2.5.4.6"), "C"),
    (ObjectIdentifier::new_unwrap("2.5.4.7"), "L"),
    (ObjectIdentifier::new_unwrap("2.5.4.8"), "ST"),
    (ObjectIdentifier::new_unwrap("2.5.4.10"), "O"),
    (ObjectIdentifier::new_unwrap("2.5.4.11"), "OU"),
    (ObjectIdentifier::new_unwrap("2.5.4.9"), "STREET"),
    (ObjectIdentifier::new_unwrap("0.9.2342.19200300.100.1.25"), "DC"),
    (ObjectIdentifier::new_unwrap("0.9.2342.19200300.100.1.1"), "UID"),
];

/// The subject of a certificate; nothing for one without a name.
///
/// # Errors
/// [`NoSubject`] when it is not in the form of X.509.
pub fn subject(certificate: &CertificateDer<'_>) -> Result<String, NoSubject> {
    let certificate = Certificate::from_der(certificate)?;
    let mut parts = Vec::new();
    for part in certificate.tbs_certificate().subject().iter_rdn() {
        let values: Result<Vec<String>, NoSubject> = part.iter().map(written).collect();
        parts.push(values?.join("+"));
    }
    parts.reverse();
    Ok(parts.join(","))
}

/// `TYPE=VALUE`.
fn written(part: &AttributeTypeAndValue) -> Result<String, NoSubject> {
    let short = SHORT.iter().find(|(number, _)| *number == part.oid).map(|(_, name)| *name);
    let text = short.and_then(|name| Some((name, text(part)?)));
    Ok(match text {
        Some((name, text)) => format!("{name}={}", escaped(&text)),
        None => {
            let mut written = format!("{}=#", short.map_or_else(|| part.oid.to_string(), str::to_owned));
            for byte in part.value.to_der()? {
                let _ = write!(written, "{byte:02x}");
            }
            written
        }
    })
}

/// The letters of a value, where it is a string of letters.
fn text(part: &AttributeTypeAndValue) -> Option<String> {
    let bytes = part.value.value();
    Some(match part.value.tag() {
        Tag::Utf8String => String::from_utf8_lossy(bytes).into_owned(),
        Tag::PrintableString | Tag::Ia5String => {
            let ascii =
                |byte: &u8| if byte.is_ascii() { char::from(*byte) } else { char::REPLACEMENT_CHARACTER };
            bytes.iter().map(ascii).collect()
        }
        Tag::TeletexString => bytes.iter().map(|byte| char::from(*byte)).collect(),
        Tag::BmpString => {
            let units = bytes.chunks(2).map(|pair| match pair {
                [high, low] => u16::from_be_bytes([*high, *low]),
                _ => 0xfffd,
            });
            char::decode_utf16(units).map(|letter| letter.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
        }
        _ => return None,
    })
}

/// A value with a backslash before each letter that means something.
fn escaped(text: &str) -> String {
    let inner = text.trim_matches([' ', '\r']);
    let begin = text.len() - text.trim_start_matches([' ', '\r']).len();
    let mut written = String::with_capacity(text.len() + 2);
    for (at, letter) in text.char_indices() {
        let is_outside = at < begin || at >= begin + inner.len();
        match letter {
            '\0' => written.push_str("\\00"),
            _ => {
                if is_outside || ",=+<>#;\"\\".contains(letter) {
                    written.push('\\');
                }
                written.push(letter);
            }
        }
    }
    written
}
