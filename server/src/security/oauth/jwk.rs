//! The keys by which tokens are verified: a JSON Web Key Set (RFC 7517), as whoever issues tokens publishes
//! it.
//!
//! A set may hold keys for other ends, and of kinds that are not known here: they are passed over. One
//! without any key that can be used is refused as a whole, so that the keys before it stay.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384,
    RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};
use serde_json::Value;

/// Most keys of a set.
pub(super) const KEYS_MAX: usize = 1000;

/// Keys of a set that a token without a `kid` is tried by: a signature each.
const TRIED_MAX: usize = 4;

/// Bytes of a coordinate on each of the curves.
const P256_BYTES: usize = 32;
const P384_BYTES: usize = 48;

/// Before a point that is written with both coordinates.
const UNCOMPRESSED: u8 = 4;

/// How a token may be signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Algorithm {
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Es256,
    Es384,
}

impl Algorithm {
    /// All that are taken.
    const ALL: [(&'static str, Algorithm); 6] = [
        ("RS256", Algorithm::Rs256),
        ("RS384", Algorithm::Rs384),
        ("RS512", Algorithm::Rs512),
        ("PS256", Algorithm::Ps256),
        ("ES256", Algorithm::Es256),
        ("ES384", Algorithm::Es384),
    ];

    pub(super) fn of_name(name: &str) -> Option<Algorithm> {
        Algorithm::ALL.into_iter().find(|(known, _)| *known == name).map(|(_, algorithm)| algorithm)
    }
}

/// Why a set is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JwksError {
    /// Another form.
    #[error("it is no JSON object with an array \"keys\"")]
    Form,
    /// More than [`KEYS_MAX`].
    #[error("it has more than {KEYS_MAX} keys")]
    TooMany,
    /// Nothing in it can be used.
    #[error("none of its keys verifies signatures by RS256, RS384, RS512, PS256, ES256 or ES384")]
    NoKey,
}

/// Keys that are known.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct KeySet(Vec<Key>);

#[derive(Debug, PartialEq, Eq)]
struct Key {
    id: Option<String>,
    /// The one algorithm that it is for, where it says so.
    algorithm: Option<Algorithm>,
    public: Public,
}

#[derive(Debug, PartialEq, Eq)]
enum Public {
    Rsa { modulus: Vec<u8>, exponent: Vec<u8> },
    P256(Vec<u8>),
    P384(Vec<u8>),
}

impl KeySet {
    /// Reads a set.
    ///
    /// # Errors
    /// [`JwksError`].
    pub fn parse(text: &[u8]) -> Result<KeySet, JwksError> {
        let set: Value = serde_json::from_slice(text).map_err(|_| JwksError::Form)?;
        let keys = set.get("keys").and_then(Value::as_array).ok_or(JwksError::Form)?;
        if keys.len() > KEYS_MAX {
            return Err(JwksError::TooMany);
        }
        let keys: Vec<Key> = keys.iter().filter_map(Key::read).collect();
        match keys.is_empty() {
            true => Err(JwksError::NoKey),
            false => Ok(KeySet(keys)),
        }
    }

    /// How many keys it has.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether one of the keys that a token may be signed by has signed it; `None` when there is no such key.
    pub(super) fn verifies(
        &self,
        id: Option<&str>,
        algorithm: Algorithm,
        message: &[u8],
        signature: &[u8],
    ) -> Option<bool> {
        let may_be = |key: &&Key| id.is_none_or(|id| key.id.as_deref() == Some(id)) && key.is_for(algorithm);
        let mut keys = self.0.iter().filter(may_be).take(TRIED_MAX).peekable();
        keys.peek()?;
        Some(keys.any(|key| key.verifies(algorithm, message, signature)))
    }
}

impl Key {
    fn read(key: &Value) -> Option<Key> {
        let text = |name: &str| key.get(name).and_then(Value::as_str);
        let bytes = |name: &str| BASE64.decode(text(name)?).ok();
        let is_for_signatures = text("use").is_none_or(|word| word == "sig")
            && key.get("key_ops").is_none_or(|operations| {
                operations.as_array().is_some_and(|words| words.iter().any(|word| word == "verify"))
            });
        let point = |width: usize| {
            let (x, y) = (bytes("x")?, bytes("y")?);
            (x.len() == width && y.len() == width).then(|| [&[UNCOMPRESSED][..], &x[..], &y[..]].concat())
        };
        let public = match (text("kty")?, text("crv")) {
            ("RSA", _) => Public::Rsa { modulus: bytes("n")?, exponent: bytes("e")? },
            ("EC", Some("P-256")) => Public::P256(point(P256_BYTES)?),
            ("EC", Some("P-384")) => Public::P384(point(P384_BYTES)?),
            _ => return None,
        };
        let algorithm = match text("alg") {
            Some(name) => Some(Algorithm::of_name(name)?),
            None => None,
        };
        let key = Key { id: text("kid").map(str::to_owned), algorithm, public };
        let is_of_its_kind = algorithm.is_none_or(|algorithm| key.is_for(algorithm));
        (is_for_signatures && is_of_its_kind).then_some(key)
    }

    fn is_for(&self, algorithm: Algorithm) -> bool {
        let is_of_kind = match algorithm {
            Algorithm::Rs256 | Algorithm::Rs384 | Algorithm::Rs512 | Algorithm::Ps256 => {
                matches!(self.public, Public::Rsa { .. })
            }
            Algorithm::Es256 => matches!(self.public, Public::P256(_)),
            Algorithm::Es384 => matches!(self.public, Public::P384(_)),
        };
        is_of_kind && self.algorithm.is_none_or(|own| own == algorithm)
    }

    fn verifies(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        let verified = match (&self.public, algorithm) {
            (Public::Rsa { modulus, exponent }, _) => {
                let parameters = match algorithm {
                    Algorithm::Rs256 => &RSA_PKCS1_2048_8192_SHA256,
                    Algorithm::Rs384 => &RSA_PKCS1_2048_8192_SHA384,
                    Algorithm::Rs512 => &RSA_PKCS1_2048_8192_SHA512,
                    Algorithm::Ps256 => &RSA_PSS_2048_8192_SHA256,
                    Algorithm::Es256 | Algorithm::Es384 => return false,
                };
                RsaPublicKeyComponents { n: modulus, e: exponent }.verify(parameters, message, signature)
            }
            (Public::P256(point), Algorithm::Es256) => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(message, signature)
            }
            (Public::P384(point), Algorithm::Es384) => {
                UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, point).verify(message, signature)
            }
            _ => return false,
        };
        verified.is_ok()
    }
}
