//! SCRAM (RFC 5802, RFC 7677) as the server speaks it: the client proves that it knows a password, and the
//! server that it knows it, too. Neither is told it.
//!
//! ```text
//! client  n,,n=alice,r=C                                   a=... and ,tokenauth=true may stand there as well
//! server  r=CS,s=SALT,i=4096
//! client  c=biws,r=CS,p=PROOF
//! server  v=SIGNATURE
//! ```
//! A user that there is not gets a salt as well, the same one each time, and fails when its proof is looked
//! at. Salt and iterations look like those of a user that there is, whoever has made that one: nobody learns
//! which users there are.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::credentials::{Credential, Found, Looks};
use super::hash::Hash;
use super::{random, same};

/// The server's side of one exchange.
pub(super) struct Scram {
    hash: Hash,
    state: State,
}

enum State {
    /// Nothing has come.
    Fresh,
    /// The first message was answered.
    Challenged(Box<Challenged>),
    /// It is over.
    Over,
}

struct Challenged {
    user: String,
    credential: Credential,
    is_known: bool,
    /// The header of the first message, which the second one repeats in `c=`.
    gs2_header: String,
    /// The client's part and ours.
    nonce: String,
    /// The first message without its header, and what we answered: a proof covers both.
    covered: String,
}

/// What a message comes to.
pub(super) enum Reply {
    Challenge(String),
    Proven { user: String, signature: String },
}

/// Unknown users are given a salt out of this.
static UNKNOWN: LazyLock<[u8; 32]> = LazyLock::new(random);

/// Bytes of our part of the nonce.
const NONCE_BYTES: usize = 18;

impl Scram {
    pub(super) fn new(hash: Hash) -> Scram {
        Scram { hash, state: State::Fresh }
    }

    /// Takes the next message of the client. `None` ends the exchange: it was no message, or no proof.
    pub(super) fn step<F: Into<Found>>(
        &mut self,
        message: &[u8],
        credential_of: impl FnOnce(&str) -> F,
    ) -> Option<Reply> {
        let nonce = BASE64.encode(random::<NONCE_BYTES>());
        self.step_with(message, &nonce, credential_of)
    }

    fn step_with<F: Into<Found>>(
        &mut self,
        message: &[u8],
        nonce: &str,
        credential_of: impl FnOnce(&str) -> F,
    ) -> Option<Reply> {
        let message = std::str::from_utf8(message).ok()?;
        match std::mem::replace(&mut self.state, State::Over) {
            State::Fresh => {
                let first = First::read(message)?;
                let (is_known, credential) = match credential_of(&first.user).into() {
                    Found::Known(credential) => (true, credential),
                    Found::Unknown(looks) => (false, made_up(self.hash, &first.user, looks)),
                };
                let nonce = format!("{}{nonce}", first.nonce);
                let salt = BASE64.encode(&credential.salt);
                let challenge = format!("r={nonce},s={salt},i={}", credential.iterations);
                self.state = State::Challenged(Box::new(Challenged {
                    covered: format!("{},{challenge}", first.bare),
                    gs2_header: first.gs2_header.to_owned(),
                    user: first.user,
                    credential,
                    is_known,
                    nonce,
                }));
                Some(Reply::Challenge(challenge))
            }
            State::Challenged(challenged) => challenged.check(self.hash, message),
            State::Over => None,
        }
    }
}

impl Challenged {
    /// Looks at the proof. ClientKey = ClientProof xor ClientSignature, and its hash is what is kept.
    fn check(&self, hash: Hash, message: &str) -> Option<Reply> {
        let (without_proof, proof) = message.rsplit_once(",p=")?;
        let mut fields = without_proof.split(',');
        let binding = BASE64.decode(fields.next()?.strip_prefix("c=")?).ok()?;
        let nonce = fields.next()?.strip_prefix("r=")?;
        let proof = BASE64.decode(proof).ok().filter(|proof| proof.len() == hash.bytes())?;
        let covered = format!("{},{without_proof}", self.covered);
        let signature = hash.hmac(&self.credential.stored_key, covered.as_bytes());
        let client_key: Vec<u8> = proof.iter().zip(&signature).map(|(proof, sign)| proof ^ sign).collect();
        let is_proven = same(&hash.digest(&client_key), &self.credential.stored_key);
        // librdkafka before 2.6.1 puts its own part before the whole once more, which Kafka 3.9 takes, too.
        // The proof covers what was said, and our part is in it.
        let is_ours = binding == self.gs2_header.as_bytes() && nonce.ends_with(&self.nonce);
        if !(is_proven && is_ours && self.is_known) {
            return None;
        }
        let signature = hash.hmac(&self.credential.server_key, covered.as_bytes());
        Some(Reply::Proven { user: self.user.clone(), signature: format!("v={}", BASE64.encode(signature)) })
    }
}

/// A credential that nobody can prove, the same one for the same name as long as this process runs.
fn made_up(hash: Hash, user: &str, looks: Looks) -> Credential {
    let sum = |what: &str| hash.hmac(&*UNKNOWN, format!("{what}:{user}").as_bytes());
    let mut salt = Vec::new();
    for number in 0.. {
        if salt.len() >= looks.salt_bytes {
            break;
        }
        salt.extend(sum(&format!("salt {number}")));
    }
    salt.truncate(looks.salt_bytes);
    Credential { iterations: looks.iterations, salt, stored_key: sum("stored"), server_key: sum("server") }
}

/// The client's first message.
struct First<'a> {
    gs2_header: &'a str,
    bare: &'a str,
    user: String,
    nonce: &'a str,
}

impl<'a> First<'a> {
    /// Channel binding is not offered, so that a client that demands it is refused; one that would have liked
    /// to (`y`) goes on. It may not ask to be another user.
    fn read(message: &'a str) -> Option<First<'a>> {
        let mut parts = message.splitn(3, ',');
        let (flag, authorization, bare) = (parts.next()?, parts.next()?, parts.next()?);
        if !matches!(flag, "n" | "y") {
            return None;
        }
        let gs2_header = &message[..message.len() - bare.len()];
        let mut fields = bare.split(',');
        let user = name(fields.next()?.strip_prefix("n=")?)?;
        let nonce = fields.next()?.strip_prefix("r=")?;
        let is_printable = nonce.bytes().all(|byte| matches!(byte, 0x21..=0x7e));
        let may_be = match authorization.strip_prefix("a=") {
            Some(other) => name(other)? == user,
            None => authorization.is_empty(),
        };
        // A delegation token in the place of a user: there are none.
        let is_token = fields.any(|extension| extension == "tokenauth=true");
        let is_whole = !user.is_empty() && !nonce.is_empty() && is_printable && may_be && !is_token;
        is_whole.then_some(First { gs2_header, bare, user, nonce })
    }
}

/// A name with its commas and equals signs, which travel as `=2C` and `=3D`.
fn name(written: &str) -> Option<String> {
    let mut parts = written.split('=');
    let mut name = parts.next()?.to_owned();
    for part in parts {
        let (letter, rest) = match part.get(..2)? {
            "2C" => (',', &part[2..]),
            "3D" => ('=', &part[2..]),
            _ => return None,
        };
        name.push(letter);
        name.push_str(rest);
    }
    Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credential(hash: Hash, password: &str, salt: &[u8], iterations: i32) -> Credential {
        let salted = hash.salted(password.as_bytes(), salt, iterations as u32);
        Credential::of_salted(hash, iterations, salt, &salted).unwrap()
    }

    /// What a client of RFC 5802 answers to a challenge; written apart from the server.
    fn client_final(hash: Hash, bare: &str, challenge: &str, password: &str, header: &str) -> String {
        client_final_with(hash, bare, challenge, challenge, password, header)
    }

    /// The same with the nonce out of `heard`.
    fn client_final_with(
        hash: Hash,
        bare: &str,
        challenge: &str,
        heard: &str,
        password: &str,
        header: &str,
    ) -> String {
        let field = |name: &str| heard.split(',').find_map(|field| field.strip_prefix(name)).unwrap();
        let salt = BASE64.decode(field("s=")).unwrap();
        let salted = hash.salted(password.as_bytes(), &salt, field("i=").parse().unwrap());
        let without_proof = format!("c={},r={}", BASE64.encode(header), field("r="));
        let client_key = hash.hmac(&salted, b"Client Key");
        let message = format!("{bare},{challenge},{without_proof}");
        let signature = hash.hmac(&hash.digest(&client_key), message.as_bytes());
        let proof: Vec<u8> = client_key.iter().zip(signature).map(|(key, sign)| key ^ sign).collect();
        format!("{without_proof},p={}", BASE64.encode(proof))
    }

    fn challenge(reply: Option<Reply>) -> Option<String> {
        match reply? {
            Reply::Challenge(challenge) => Some(challenge),
            Reply::Proven { .. } => None,
        }
    }

    fn proven(reply: Option<Reply>) -> Option<(String, String)> {
        match reply? {
            Reply::Challenge(_) => None,
            Reply::Proven { user, signature } => Some((user, signature)),
        }
    }

    /// The exchange that RFC 7677 shows in its section 3.
    #[test]
    fn the_exchange_of_rfc_7677_is_answered_byte_for_byte() {
        let kept =
            credential(Hash::Sha256, "pencil", &BASE64.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap(), 4096);
        let mut scram = Scram::new(Hash::Sha256);
        let known = |user: &str| (user == "user").then(|| kept.clone());
        let first =
            scram.step_with(b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO", "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0", known);
        assert_eq!(
            challenge(first).as_deref(),
            Some("r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096")
        );
        let last = scram.step_with(
            b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
            "",
            known,
        );
        let (user, signature) = proven(last).unwrap();
        assert_eq!((&*user, &*signature), ("user", "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="));
        assert!(scram.step_with(b"n,,n=user,r=x", "y", known).is_none(), "it is over");
    }

    #[test]
    fn the_right_password_proves_the_user_and_no_other_does() {
        for hash in Hash::ALL {
            let kept = credential(hash, "p\u{e4}ss", b"some salt", 4096);
            let known = |user: &str| (user == "a,b=c").then(|| kept.clone());
            let with = |first: &str, header: &str, password: &str| {
                let mut scram = Scram::new(hash);
                let asked = challenge(scram.step(first.as_bytes(), known))?;
                let bare = first.strip_prefix(header).unwrap();
                let last = client_final(hash, bare, &asked, password, header);
                proven(scram.step(last.as_bytes(), known)).map(|(user, _)| user)
            };
            let user = Some("a,b=c".to_owned());
            assert_eq!(with("n,,n=a=2Cb=3Dc,r=x", "n,,", "p\u{e4}ss"), user);
            assert_eq!(with("y,,n=a=2Cb=3Dc,r=x", "y,,", "p\u{e4}ss"), user);
            assert_eq!(with("n,a=a=2Cb=3Dc,n=a=2Cb=3Dc,r=x", "n,a=a=2Cb=3Dc,", "p\u{e4}ss"), user);
            assert_eq!(with("n,,n=a=2Cb=3Dc,r=x,ext=1", "n,,", "p\u{e4}ss"), user);
            assert_eq!(with("n,,n=a=2Cb=3Dc,r=x", "n,,", "pass"), None);
            assert_eq!(with("n,,n=nobody,r=x", "n,,", "p\u{e4}ss"), None);
        }
    }

    #[test]
    fn an_unknown_user_is_challenged_like_a_known_one_and_alike_each_time() {
        let ask = |user: &str| {
            let first = format!("n,,n={user},r=x");
            let asked =
                challenge(Scram::new(Hash::Sha512).step(first.as_bytes(), |_| None::<Credential>)).unwrap();
            let (_, rest) = asked.split_once(",s=").unwrap();
            rest.to_owned()
        };
        assert_eq!(ask("nobody"), ask("nobody"));
        assert_ne!(ask("nobody"), ask("nobody else"));
        assert!(ask("nobody").ends_with(",i=4096"));
    }

    #[test]
    fn a_message_that_is_none_ends_the_exchange() {
        let kept = credential(Hash::Sha256, "pencil", b"salt", 4096);
        let known = |_: &str| Some(kept.clone());
        for first in [
            "",
            "n",
            "n,,",
            "n,,n=",
            "n,,n=u",
            "n,,n=u,r=",
            "n,,r=x,n=u",
            "p=tls-unique,,n=u,r=x",
            "n,,n=,r=x",
            "n,,n=u=,r=x",
            "n,,n=u=2,r=x",
            "n,,n=u=2X,r=x",
            "n,a=other,n=u,r=x",
            "n,x,n=u,r=x",
            "n,,n=u,r=\u{e9}",
            "n,,n=u,r=x,tokenauth=true",
            "n,,m=x,n=u,r=x",
            "n,,n=u=\u{e9},r=x",
        ] {
            let mut scram = Scram::new(Hash::Sha256);
            assert!(scram.step(first.as_bytes(), known).is_none(), "{first}");
            assert!(scram.step(b"n,,n=u,r=x", known).is_none(), "a second try is a new exchange");
        }
        assert!(Scram::new(Hash::Sha256).step(b"n,,n=\xff,r=x", known).is_none());

        let last_of = |change: fn(String) -> String| {
            let mut scram = Scram::new(Hash::Sha256);
            let asked = challenge(scram.step(b"n,,n=u,r=x", known)).unwrap();
            let last = change(client_final(Hash::Sha256, "n=u,r=x", &asked, "pencil", "n,,"));
            proven(scram.step(last.as_bytes(), known)).is_some()
        };
        assert!(last_of(|last| last));
        let librdkafka = {
            let mut scram = Scram::new(Hash::Sha256);
            let asked = challenge(scram.step(b"n,,n=u,r=x", known)).unwrap();
            let doubled = asked.replacen("r=", "r=x", 1);
            // What it proves has the doubled part in the last message alone.
            let last = client_final_with(Hash::Sha256, "n=u,r=x", &asked, &doubled, "pencil", "n,,");
            proven(scram.step(last.as_bytes(), known)).is_some()
        };
        assert!(librdkafka, "its part of the nonce twice");
        assert!(!last_of(|last| last.replace("c=biws", "c=eSws")), "another header");
        assert!(!last_of(|last| last.replace(",r=x", ",r=y")), "another nonce");
        assert!(!last_of(|last| last.replace(",p=", ",q=x,p=")), "what the proof does not cover");
        assert!(!last_of(|last| last.split_once(",p=").unwrap().0.to_owned()), "no proof");
        assert!(!last_of(|last| format!("{},p=", last.split_once(",p=").unwrap().0)), "an empty proof");
        assert!(!last_of(|last| format!("{last}A")), "no Base64");
        assert!(!last_of(|_| String::new()));
    }
}
