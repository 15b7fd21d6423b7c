//! What the broker keeps of a password for SCRAM (RFC 5802, section 3): enough to check a proof, and not
//! enough to make one.
//!
//! The engine keeps it durably, as a text under a name:
//!
//! ```text
//! SCRAM-SHA-256:alice     salt=BASE64,stored_key=BASE64,server_key=BASE64,iterations=4096
//! ```

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use strandline_engine::config::Credentials;

use super::hash::Hash;
use super::same;

/// Fewest iterations that a password is hashed with: RFC 7677 asks for no fewer.
pub const ITERATIONS_MIN: u32 = 4096;

/// Most iterations: as in Kafka, whose clients refuse more.
pub const ITERATIONS_MAX: u32 = 16384;

/// Longest salt that is kept, several times what anybody takes.
pub const SALT_BYTES_MAX: usize = 1024;

/// Bytes of the salts that the command line makes.
pub const SALT_BYTES: usize = 16;

/// Most credentials of a broker: with names of 20 bytes, 20 MiB of memory and of the file that has them all.
pub const CREDENTIALS_MAX: usize = 100_000;

/// What is kept of a password. `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    pub(super) iterations: u32,
    pub(super) salt: Vec<u8>,
    pub(super) stored_key: Vec<u8>,
    pub(super) server_key: Vec<u8>,
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential").field("iterations", &self.iterations).finish_non_exhaustive()
    }
}

/// Why a password is not taken, in Kafka's words where it has some.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unacceptable {
    /// Fewer iterations than [`ITERATIONS_MIN`].
    #[error("Too few iterations: at least {ITERATIONS_MIN} are needed")]
    FewIterations,
    /// More than [`ITERATIONS_MAX`].
    #[error("Too many iterations: at most {ITERATIONS_MAX} are allowed")]
    ManyIterations,
    /// No salt, or more of it than [`SALT_BYTES_MAX`].
    #[error("the salt has {0} bytes, and 1 to {SALT_BYTES_MAX} are allowed")]
    Salt(usize),
    /// It is not what the mechanism makes of a password.
    #[error("the salted password has {found} bytes, and the mechanism makes {expected}")]
    SaltedPassword {
        /// The bytes that came.
        found: usize,
        /// Those that a hash of the mechanism has.
        expected: usize,
    },
}

impl Credential {
    /// What is kept of a password that a client has salted and hashed already.
    ///
    /// # Errors
    /// [`Unacceptable`].
    pub fn of_salted(
        hash: Hash,
        iterations: i32,
        salt: &[u8],
        salted_password: &[u8],
    ) -> Result<Credential, Unacceptable> {
        let iterations = u32::try_from(iterations).map_err(|_| Unacceptable::FewIterations)?;
        match iterations {
            ..ITERATIONS_MIN => return Err(Unacceptable::FewIterations),
            ITERATIONS_MIN..=ITERATIONS_MAX => {}
            _ => return Err(Unacceptable::ManyIterations),
        }
        if salt.is_empty() || salt.len() > SALT_BYTES_MAX {
            return Err(Unacceptable::Salt(salt.len()));
        }
        let (found, expected) = (salted_password.len(), hash.bytes());
        if found != expected {
            return Err(Unacceptable::SaltedPassword { found, expected });
        }
        let client_key = hash.hmac(salted_password, b"Client Key");
        let server_key = hash.hmac(salted_password, b"Server Key");
        let stored_key = hash.digest(&client_key);
        Ok(Credential { iterations, salt: salt.to_owned(), stored_key, server_key })
    }

    /// Whether it was made of this password. Takes milliseconds, and is nothing for the thread of a shard.
    pub fn is_of(&self, hash: Hash, password: &[u8]) -> bool {
        let salted = hash.salted(password, &self.salt, self.iterations);
        same(&hash.digest(&hash.hmac(&salted, b"Client Key")), &self.stored_key)
    }

    /// How often the password was hashed.
    pub fn iterations(&self) -> u32 {
        self.iterations
    }

    /// As it is kept.
    pub fn to_text(&self) -> String {
        let [salt, stored, server] =
            [&self.salt, &self.stored_key, &self.server_key].map(|bytes| BASE64.encode(bytes));
        format!("salt={salt},stored_key={stored},server_key={server},iterations={}", self.iterations)
    }

    /// Reads what [`Credential::to_text`] has written; `None` for anything else.
    pub fn of_text(hash: Hash, text: &str) -> Option<Credential> {
        let mut fields = text.split(',');
        let mut field = |name: &str| fields.next()?.strip_prefix(name)?.strip_prefix('=');
        let salt = BASE64.decode(field("salt")?).ok()?;
        let stored_key = BASE64.decode(field("stored_key")?).ok()?;
        let server_key = BASE64.decode(field("server_key")?).ok()?;
        let iterations = field("iterations")?.parse().ok()?;
        let fits = stored_key.len() == hash.bytes() && server_key.len() == hash.bytes();
        (fits && fields.next().is_none()).then_some(Credential { iterations, salt, stored_key, server_key })
    }
}

/// The name under which the credential of a user is kept.
pub fn place(hash: Hash, user: &str) -> String {
    format!("{hash}:{user}")
}

/// The mechanism and the user of such a name.
pub fn named(place: &str) -> Option<(Hash, &str)> {
    let (hash, user) = place.split_once(':')?;
    Some((Hash::of_name(hash)?, user))
}

/// The credential of a user, if there is one.
pub fn of_user(credentials: &Credentials, hash: Hash, user: &str) -> Option<Credential> {
    Credential::of_text(hash, credentials.0.get(&place(hash, user))?)
}

/// What a client sees of a credential before it has proven anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Looks {
    pub(super) salt_bytes: usize,
    pub(super) iterations: u32,
}

/// What there is of a user.
pub(super) enum Found {
    Known(Credential),
    /// Nothing, and this is how it has to look all the same.
    Unknown(Looks),
}

impl From<Option<Credential>> for Found {
    fn from(found: Option<Credential>) -> Found {
        found.map_or(
            Found::Unknown(Looks { salt_bytes: SALT_BYTES, iterations: ITERATIONS_MIN }),
            Found::Known,
        )
    }
}

/// The credential of a user. One that there is not looks like the next one behind it by name: whether users
/// were made by our command line, by Kafka's or by both, it stands out from none.
pub(super) fn found(credentials: &Credentials, hash: Hash, user: &str) -> Found {
    if let Some(credential) = of_user(credentials, hash, user) {
        return Found::Known(credential);
    }
    let prefix = place(hash, "");
    let from = |first: String| {
        let next = credentials.0.range(first..).next().filter(|(name, _)| name.starts_with(&prefix));
        next.and_then(|(_, text)| Credential::of_text(hash, text))
    };
    match from(place(hash, user)).or_else(|| from(prefix.clone())) {
        Some(like) => Found::Unknown(Looks { salt_bytes: like.salt.len(), iterations: like.iterations }),
        None => None.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_is_kept_and_found_again() {
        for hash in Hash::ALL {
            let salted = hash.salted(b"pencil", b"salt", ITERATIONS_MIN);
            let credential = Credential::of_salted(hash, 4096, b"salt", &salted).unwrap();
            let text = credential.to_text();
            assert_eq!(Credential::of_text(hash, &text), Some(credential.clone()));
            assert!(credential.is_of(hash, b"pencil") && !credential.is_of(hash, b"pencils"));
            assert_eq!(format!("{credential:?}"), "Credential { iterations: 4096, .. }");
            for damaged in ["", "salt=", &text[1..], &text[..text.len() - 5], &format!("{text},x")] {
                assert_eq!(Credential::of_text(hash, damaged), None, "{damaged}");
            }
            let other = Hash::ALL.into_iter().find(|other| *other != hash).unwrap();
            assert_eq!(Credential::of_text(other, &text), None, "of another mechanism");
            let name = place(hash, "a:b");
            assert_eq!(named(&name), Some((hash, "a:b")));
            let credentials = Credentials([(name, text)].into());
            assert_eq!(of_user(&credentials, hash, "a:b"), Some(credential));
            assert_eq!(of_user(&credentials, hash, "a"), None);
        }
    }

    #[test]
    fn what_is_too_weak_or_no_hash_is_refused() {
        let taken = |iterations, salt: &[u8], salted: &[u8]| {
            Credential::of_salted(Hash::Sha256, iterations, salt, salted).map(|taken| taken.iterations)
        };
        assert_eq!(taken(4096, b"s", &[1; 32]), Ok(4096));
        assert_eq!(taken(16384, &[1; 1024], &[1; 32]), Ok(16384));
        for few in [i32::MIN, -1, 0, 4095] {
            assert_eq!(taken(few, b"s", &[1; 32]), Err(Unacceptable::FewIterations));
        }
        assert_eq!(taken(16385, b"s", &[1; 32]), Err(Unacceptable::ManyIterations));
        assert_eq!(taken(4096, b"", &[1; 32]), Err(Unacceptable::Salt(0)));
        assert_eq!(taken(4096, &[1; 1025], &[1; 32]), Err(Unacceptable::Salt(1025)));
        let wrong = Unacceptable::SaltedPassword { found: 31, expected: 32 };
        assert_eq!(taken(4096, b"s", &[1; 31]), Err(wrong));
    }

    #[test]
    fn a_user_that_there_is_not_looks_like_one_of_the_same_mechanism_that_there_is() {
        let of = |hash: Hash, salt: &[u8], iterations: i32| {
            let salted = hash.salted(b"pencil", salt, 4096);
            Credential::of_salted(hash, iterations, salt, &salted).unwrap().to_text()
        };
        let (one, other) = (Hash::Sha256, Hash::Sha512);
        let kept = Credentials(
            [
                (place(one, "bob"), of(one, &[7; 26], 8192)),
                (place(one, "dave"), of(one, &[7; 16], 4096)),
                (place(other, "carol"), of(other, &[7; 300], 5000)),
            ]
            .into(),
        );
        let looks = |credentials: &Credentials, hash, user| match found(credentials, hash, user) {
            Found::Unknown(looks) => (looks.salt_bytes, looks.iterations),
            Found::Known(_) => panic!("{user} is known"),
        };
        assert!(matches!(found(&kept, one, "bob"), Found::Known(_)));
        for (user, expected) in [("alice", (26, 8192)), ("carol", (16, 4096)), ("erin", (26, 8192))] {
            assert_eq!(looks(&kept, one, user), expected, "{user}");
        }
        assert_eq!(looks(&kept, other, "bob"), (300, 5000));
        assert_eq!(looks(&kept, other, "dave"), (300, 5000));
        assert_eq!(looks(&Credentials::default(), one, "bob"), (SALT_BYTES, ITERATIONS_MIN));
    }
}
