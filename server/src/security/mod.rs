//! How a client proves who it is, and who may do what: mechanisms, secrets, rules. Nothing here knows a
//! socket, a request or a setting.
//!
//! ```text
//! sasl     a mechanism and its exchange of tokens, to the name of a user
//! plain    PLAIN (RFC 4616): the password itself            jaas   the users of Kafka's setting
//! scram    SCRAM (RFC 5802, RFC 7677): a proof of it        credentials   what is kept of a password
//! oauth    OAUTHBEARER (RFC 7628): a token that an issuer has signed
//! acl      rules of who may do what, and how they are asked
//! ```
//! A secret is compared in a time that does not depend on where it differs ([`same`]). No type here shows one
//! by `Debug`, and no error names one.

pub mod acl;
mod credentials;
mod hash;
mod jaas;
mod oauth;
mod plain;
mod sasl;
mod scram;

use ring::hmac;

pub use credentials::{
    CREDENTIALS_MAX, Credential, ITERATIONS_MAX, ITERATIONS_MIN, SALT_BYTES, SALT_BYTES_MAX, Unacceptable,
    named, of_user, place,
};
pub use hash::Hash;
pub use jaas::{JaasError, plain_users};
pub use oauth::{JwksError, KeySet, TokenRules, Verifier};
pub use plain::PlainUsers;
pub use sasl::{Exchange, Known, Mechanism, Step};

/// Whether two secrets are the same. How long this takes says nothing of either but its length.
pub(crate) fn same(one: &[u8], other: &[u8]) -> bool {
    // The key is no secret: what is compared in constant time are sums that nobody can steer.
    let key = hmac::Key::new(hmac::HMAC_SHA256, b"same");
    hmac::verify(&key, one, hmac::sign(&key, other).as_ref()).is_ok()
}

/// Bytes that nobody can guess.
///
/// # Panics
/// When the system has no random bytes.
pub fn random<const BYTES: usize>() -> [u8; BYTES] {
    let mut bytes = [0; BYTES];
    let random = ring::rand::SystemRandom::new();
    ring::rand::SecureRandom::fill(&random, &mut bytes).expect("the system has random bytes");
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_the_same_when_every_byte_is() {
        assert!(same(b"", b"") && same(b"secret", b"secret"));
        for other in [&b"Secret"[..], b"secres", b"secret\0", b"secre", b""] {
            assert!(!same(b"secret", other));
        }
    }
}
