//! The client's side of SASL: PLAIN (RFC 4616) and SCRAM (RFC 5802, RFC 7677), as tokens.
//!
//! ```text
//! PLAIN   NUL user NUL password
//! SCRAM   n,,n=alice,r=C    >  r=CS,s=SALT,i=4096  >  c=biws,r=CS,p=PROOF  >  v=SIGNATURE, which is checked
//! ```

use std::fmt;
use std::num::NonZeroU32;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ring::rand::SecureRandom as _;
use ring::{digest, hmac, pbkdf2, rand};

/// Fewest rounds that are taken: those of RFC 7677.
const ITERATIONS_MIN: u32 = 4096;

/// Most rounds that are taken: a second of work. A broker that is none could ask for more.
const ITERATIONS_MAX: u32 = 1_000_000;

/// Bytes of our part of the nonce, before they are letters.
const NONCE_BYTES: usize = 18;

/// How a client proves who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mechanism {
    Plain,
    ScramSha256,
    ScramSha512,
}

impl fmt::Display for Mechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Mechanism::Plain => "PLAIN",
            Mechanism::ScramSha256 => "SCRAM-SHA-256",
            Mechanism::ScramSha512 => "SCRAM-SHA-512",
        })
    }
}

impl Mechanism {
    /// All that there are.
    pub(crate) const ALL: [Mechanism; 3] = [Mechanism::Plain, Mechanism::ScramSha256, Mechanism::ScramSha512];

    fn hmac(self, key: &[u8], message: &[u8]) -> Vec<u8> {
        let algorithm = match self {
            Mechanism::ScramSha512 => hmac::HMAC_SHA512,
            _ => hmac::HMAC_SHA256,
        };
        hmac::sign(&hmac::Key::new(algorithm, key), message).as_ref().to_owned()
    }

    fn digest(self, message: &[u8]) -> Vec<u8> {
        let algorithm = match self {
            Mechanism::ScramSha512 => &digest::SHA512,
            _ => &digest::SHA256,
        };
        digest::digest(algorithm, message).as_ref().to_owned()
    }

    fn salted(self, password: &[u8], salt: &[u8], iterations: NonZeroU32) -> Vec<u8> {
        let (algorithm, bytes) = match self {
            Mechanism::ScramSha512 => (pbkdf2::PBKDF2_HMAC_SHA512, digest::SHA512_OUTPUT_LEN),
            _ => (pbkdf2::PBKDF2_HMAC_SHA256, digest::SHA256_OUTPUT_LEN),
        };
        let mut salted = vec![0; bytes];
        pbkdf2::derive(algorithm, iterations, salt, password, &mut salted);
        salted
    }
}

/// A user who proves to be one. `Debug` shows no password.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Sasl {
    pub(crate) mechanism: Mechanism,
    pub(crate) user: String,
    pub(crate) password: String,
}

impl fmt::Debug for Sasl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Sasl");
        shown.field("mechanism", &self.mechanism).field("user", &self.user).finish_non_exhaustive()
    }
}

/// Why an exchange came to nothing on our side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotProven {
    /// The broker's message has another form.
    #[error("the broker's answer is no message of this mechanism")]
    Form,
    /// It wants too few rounds, or too many.
    #[error("the broker asks for {iterations} iterations: {ITERATIONS_MIN} to {ITERATIONS_MAX} are expected")]
    Iterations {
        /// As many.
        iterations: u32,
    },
    /// It does not know the password itself.
    #[error("the broker has not proven that it knows the user")]
    Broker,
}

/// One exchange.
pub(crate) struct Exchange<'a> {
    sasl: &'a Sasl,
    state: State,
}

enum State {
    Begun { nonce: String },
    Proving { signature: Vec<u8> },
    Over,
}

impl Sasl {
    /// An exchange, and its first token.
    pub(crate) fn begin(&self) -> (Exchange<'_>, Vec<u8>) {
        if self.mechanism == Mechanism::Plain {
            let token = format!("\0{}\0{}", self.user, self.password).into_bytes();
            return (Exchange { sasl: self, state: State::Over }, token);
        }
        let mut random = [0; NONCE_BYTES];
        rand::SystemRandom::new().fill(&mut random).expect("the system has random bytes");
        let nonce = BASE64.encode(random);
        let token = format!("n,,{}", self.first_bare(&nonce)).into_bytes();
        (Exchange { sasl: self, state: State::Begun { nonce } }, token)
    }

    fn first_bare(&self, nonce: &str) -> String {
        format!("n={},r={nonce}", self.user.replace('=', "=3D").replace(',', "=2C"))
    }
}

impl Exchange<'_> {
    /// Takes the broker's token; the next of ours, or `None` when nothing is left to say.
    ///
    /// # Errors
    /// [`NotProven`].
    pub(crate) fn step(&mut self, token: &[u8]) -> Result<Option<Vec<u8>>, NotProven> {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Begun { nonce } => self.prove(&nonce, token).map(Some),
            State::Proving { signature } => {
                let token = std::str::from_utf8(token).ok().and_then(|token| token.strip_prefix("v="));
                match token.and_then(|token| BASE64.decode(token).ok()) {
                    Some(theirs) if theirs == signature => Ok(None),
                    _ => Err(NotProven::Broker),
                }
            }
            State::Over => Ok(None),
        }
    }

    fn prove(&mut self, nonce: &str, token: &[u8]) -> Result<Vec<u8>, NotProven> {
        let mechanism = self.sasl.mechanism;
        let challenge = std::str::from_utf8(token).map_err(|_| NotProven::Form)?;
        let field =
            |name| challenge.split(',').find_map(|field| field.strip_prefix(name)).ok_or(NotProven::Form);
        let both = field("r=")?;
        if !both.starts_with(nonce) || both == nonce {
            return Err(NotProven::Form);
        }
        let salt = BASE64.decode(field("s=")?).map_err(|_| NotProven::Form)?;
        let iterations: u32 = field("i=")?.parse().map_err(|_| NotProven::Form)?;
        let rounds = NonZeroU32::new(iterations)
            .filter(|_| (ITERATIONS_MIN..=ITERATIONS_MAX).contains(&iterations))
            .ok_or(NotProven::Iterations { iterations })?;
        let salted = mechanism.salted(self.sasl.password.as_bytes(), &salt, rounds);
        let client_key = mechanism.hmac(&salted, b"Client Key");
        let without_proof = format!("c=biws,r={both}");
        let covered = format!("{},{challenge},{without_proof}", self.sasl.first_bare(nonce));
        let signature = mechanism.hmac(&mechanism.digest(&client_key), covered.as_bytes());
        let proof: Vec<u8> = client_key.iter().zip(signature).map(|(key, sign)| key ^ sign).collect();
        let signature = mechanism.hmac(&mechanism.hmac(&salted, b"Server Key"), covered.as_bytes());
        self.state = State::Proving { signature };
        Ok(format!("{without_proof},p={}", BASE64.encode(proof)).into_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alice() -> Sasl {
        Sasl { mechanism: Mechanism::ScramSha256, user: "user".to_owned(), password: "pencil".to_owned() }
    }

    /// The exchange of RFC 7677, section 3.
    #[test]
    fn a_proof_is_that_of_the_rfc() {
        let sasl = alice();
        let state = State::Begun { nonce: "rOprNGfwEbeRWgbNEkqO".to_owned() };
        let mut exchange = Exchange { sasl: &sasl, state };
        let challenge =
            "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
        let proof = exchange.step(challenge.as_bytes()).unwrap().unwrap();
        assert_eq!(
            String::from_utf8(proof).unwrap(),
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
        );
        let last = exchange.step(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
        assert_eq!(last, Ok(None));
    }

    #[test]
    fn a_broker_that_does_not_know_the_user_is_not_believed() {
        let sasl = alice();
        let challenged = |challenge: &str| {
            let mut exchange = Exchange { sasl: &sasl, state: State::Begun { nonce: "abc".to_owned() } };
            let step = exchange.step(challenge.as_bytes());
            (exchange, step)
        };
        let (mut exchange, step) = challenged("r=abcdef,s=AAAA,i=4096");
        assert!(step.is_ok());
        assert_eq!(exchange.step(b"v=AAAA"), Err(NotProven::Broker));
        for (challenge, why) in [
            ("r=abc,s=AAAA,i=4096", NotProven::Form),
            ("r=other,s=AAAA,i=4096", NotProven::Form),
            ("r=abcdef,s=!,i=4096", NotProven::Form),
            ("e=unknown-user", NotProven::Form),
            ("r=abcdef,s=AAAA,i=1", NotProven::Iterations { iterations: 1 }),
            ("r=abcdef,s=AAAA,i=4000000000", NotProven::Iterations { iterations: 4_000_000_000 }),
        ] {
            assert_eq!(challenged(challenge).1, Err(why), "{challenge}");
        }
    }
}
