//! SASL (RFC 4422) as Kafka uses it: a mechanism that the client chooses, and tokens that go back and forth
//! until it has proven to be a user, or has not.

use std::fmt;
use std::time::{Duration, SystemTime};

use strandline_engine::config::Credentials;

use super::credentials::found;
use super::hash::Hash;
use super::oauth::{Bearer, INVALID_TOKEN, Reply as BearerReply, Verifier};
use super::plain::PlainUsers;
use super::scram::{Reply, Scram};

/// How a client proves who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mechanism {
    /// By its password.
    Plain,
    /// By a proof that it knows it.
    Scram(Hash),
    /// By a token that somebody else has signed.
    Bearer,
}

impl fmt::Display for Mechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Mechanism::Plain => f.write_str("PLAIN"),
            Mechanism::Scram(hash) => hash.fmt(f),
            Mechanism::Bearer => f.write_str("OAUTHBEARER"),
        }
    }
}

impl Mechanism {
    /// All that there are.
    pub const ALL: [Mechanism; 4] =
        [Mechanism::Plain, Mechanism::Scram(Hash::Sha256), Mechanism::Scram(Hash::Sha512), Mechanism::Bearer];

    /// The mechanism of this name.
    pub fn of_name(name: &str) -> Option<Mechanism> {
        Mechanism::ALL.into_iter().find(|mechanism| mechanism.to_string() == name)
    }

    /// Why a client was not believed, in Kafka's words. They are the same whatever was wrong.
    pub fn denial(self) -> String {
        match self {
            Mechanism::Plain => "Authentication failed: Invalid username or password".to_owned(),
            Mechanism::Scram(_) => format!(
                "Authentication failed during authentication due to invalid credentials with SASL mechanism {self}"
            ),
            Mechanism::Bearer => INVALID_TOKEN.to_owned(),
        }
    }
}

/// The users that there are.
#[derive(Clone, Copy)]
pub struct Known<'a> {
    /// Those of PLAIN.
    pub plain: &'a PlainUsers,
    /// Those of SCRAM.
    pub scram: &'a Credentials,
    /// Who knows whom a token is of, where tokens are taken.
    pub tokens: Option<&'a Verifier>,
    /// The moment at which a token has to hold.
    pub now: SystemTime,
}

/// One client's exchange.
pub struct Exchange(Tokens);

enum Tokens {
    Plain,
    Scram(Hash, Box<Scram>),
    Bearer(Bearer),
}

/// What a token comes to.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// The client is to answer this.
    Challenge(Vec<u8>),
    /// It is this user; the token is for it.
    Proven {
        /// The last token.
        token: Vec<u8>,
        /// The user's name.
        user: String,
        /// For how long that is known, where what it has shown comes to an end.
        lasts: Option<Duration>,
    },
    /// It is not believed, and the exchange is over.
    Denied,
}

impl Exchange {
    /// One that nothing was said in.
    pub fn new(mechanism: Mechanism) -> Exchange {
        Exchange(match mechanism {
            Mechanism::Plain => Tokens::Plain,
            Mechanism::Scram(hash) => Tokens::Scram(hash, Box::new(Scram::new(hash))),
            Mechanism::Bearer => Tokens::Bearer(Bearer::default()),
        })
    }

    /// Takes the client's next token.
    pub fn step(&mut self, token: &[u8], known: Known<'_>) -> Step {
        match &mut self.0 {
            Tokens::Plain => match known.plain.user_of(token) {
                Some(user) => Step::Proven { token: Vec::new(), user, lasts: None },
                None => Step::Denied,
            },
            Tokens::Scram(hash, scram) => match scram.step(token, |user| found(known.scram, *hash, user)) {
                Some(Reply::Challenge(challenge)) => Step::Challenge(challenge.into_bytes()),
                Some(Reply::Proven { user, signature }) => {
                    Step::Proven { token: signature.into_bytes(), user, lasts: None }
                }
                None => Step::Denied,
            },
            Tokens::Bearer(bearer) => {
                match known.tokens.and_then(|verifier| bearer.step(token, verifier, known.now)) {
                    Some(BearerReply::Proven { user, lasts }) => {
                        Step::Proven { token: Vec::new(), user, lasts: Some(lasts) }
                    }
                    Some(BearerReply::Challenge(told)) => Step::Challenge(told.as_bytes().to_vec()),
                    None => Step::Denied,
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mechanism_is_known_by_the_name_that_it_shows() {
        for mechanism in Mechanism::ALL {
            assert_eq!(Mechanism::of_name(&mechanism.to_string()), Some(mechanism));
            assert!(mechanism.denial().contains("invalid") || mechanism.denial().contains("Invalid"));
        }
        for name in ["", "plain", "GSSAPI", "SCRAM-SHA-1", "oauthbearer"] {
            assert_eq!(Mechanism::of_name(name), None);
        }
    }

    /// Whatever bytes a client sends: no token of noise proves anything.
    #[test]
    fn noise_proves_nobody() {
        let plain: PlainUsers = [("u".to_owned(), "secret".to_owned())].into_iter().collect();
        let scram = Credentials::default();
        let mut random = fastrand::Rng::with_seed(18);
        for mechanism in Mechanism::ALL {
            for _ in 0..2000 {
                let mut exchange = Exchange::new(mechanism);
                for _ in 0..3 {
                    let mut token: Vec<u8> = (0..random.usize(..60)).map(|_| random.u8(..)).collect();
                    if random.bool() {
                        token.splice(0..0, *b"n,,n=u,r=x");
                    }
                    let known =
                        Known { plain: &plain, scram: &scram, tokens: None, now: SystemTime::UNIX_EPOCH };
                    let step = exchange.step(&token, known);
                    assert!(!matches!(step, Step::Proven { .. }), "{token:?}");
                }
            }
        }
    }
}
