//! Bytes of whoever wants to be let in: tokens of SASL, tokens of issuers and their keys, rules that turn
//! certificates into names, and how users are kept.

use std::sync::LazyLock;
use std::sync::mpsc::sync_channel;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Value, json};
use strandline_engine::config::Credentials;
use strandline_tls::PrincipalMapping;

use crate::security::{
    Credential, Exchange, Hash, KeySet, Known, Mechanism, PlainUsers, Step, TokenRules, Verifier, place,
    plain_users,
};

/// A user who may come by PLAIN and by SCRAM.
const USER: &str = "u";
const PASSWORD: &str = "secret";

/// What stands in a token for the nonce of the broker's last challenge, which no fuzzer guesses.
const NONCE: &[u8] = b"%nonce%";

/// Messages of one exchange.
const MESSAGES_MAX: usize = 4;

/// How much longer than the message that it answers a challenge may be.
const CHALLENGE_BYTES: usize = 1 << 10;

/// The moment at which tokens have to hold, in seconds since 1970.
const NOW: u64 = 1_800_000_000;

/// How much the clocks of issuer and broker may differ, in seconds.
const SKEW: u64 = 30;

static USERS: LazyLock<(PlainUsers, Credentials)> = LazyLock::new(|| {
    let plain = [(USER.to_owned(), PASSWORD.to_owned())].into_iter().collect();
    let mut scram = Credentials::default();
    for hash in [Hash::Sha256, Hash::Sha512] {
        let salted = hash.salted(PASSWORD.as_bytes(), b"salt", 4096);
        let credential = Credential::of_salted(hash, 4096, b"salt", &salted).expect("it is acceptable");
        scram.0.insert(place(hash, USER), credential.to_text());
    }
    (plain, scram)
});

/// An issuer, its published keys and whoever verifies by them.
static ISSUER: LazyLock<(EcdsaKeyPair, Verifier)> = LazyLock::new(|| {
    let (curve, random) = (&ECDSA_P256_SHA256_FIXED_SIGNING, SystemRandom::new());
    let key = EcdsaKeyPair::generate_pkcs8(curve, &random).expect("a key");
    let key = EcdsaKeyPair::from_pkcs8(curve, key.as_ref(), &random).expect("that key");
    let (x, y) = key.public_key().as_ref()[1..].split_at(32);
    let keys = json!({"keys": [{"kty": "EC", "crv": "P-256", "x": BASE64.encode(x), "y": BASE64.encode(y)}]});
    let rules = TokenRules {
        audiences: vec!["kafka".to_owned()],
        issuer: Some("i".to_owned()),
        skew: Duration::from_secs(SKEW),
        scope_claim: "scope".to_owned(),
        user_claim: "sub".to_owned(),
    };
    let verifier = Verifier::new(rules, sync_channel(1).0);
    verifier.replace(KeySet::parse(keys.to_string().as_bytes()).expect("keys of ours"));
    (key, verifier)
});

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(NOW)
}

fn step(exchange: &mut Exchange, token: &[u8]) -> Step {
    let (plain, scram) = &*USERS;
    exchange.step(token, Known { plain, scram, tokens: Some(&ISSUER.1), now: now() })
}

/// The first byte is the mechanism; each message has its length before it. Nobody is proven by SCRAM or by a
/// token whose bytes come from nowhere, and by PLAIN only with the password.
pub(super) fn sasl_messages(bytes: &[u8]) {
    let Some((mechanism, mut rest)) = bytes.split_first() else { return };
    let mechanism = Mechanism::ALL[usize::from(*mechanism) % Mechanism::ALL.len()];
    let mut exchange = Exchange::new(mechanism);
    let (mut nonce, mut is_over) = (Vec::new(), false);
    for _ in 0..MESSAGES_MAX {
        let Some((length, after)) = rest.split_first() else { return };
        let (token, after) = after.split_at(usize::from(*length).min(after.len()));
        rest = after;
        let token = with_nonce(token, &nonce);
        match step(&mut exchange, &token) {
            Step::Challenge(challenge) => {
                assert!(!is_over, "{mechanism}: an exchange that is over goes on");
                assert!(challenge.len() <= token.len() + CHALLENGE_BYTES, "{mechanism}");
                let text = String::from_utf8(challenge).expect("challenges are text");
                let of_broker = text.strip_prefix("r=").and_then(|text| text.split(',').next());
                nonce = of_broker.unwrap_or_default().as_bytes().to_vec();
            }
            Step::Proven { user, .. } => {
                let named = |authorization: &str| format!("{authorization}\0{USER}\0{PASSWORD}").into_bytes();
                assert_eq!(mechanism, Mechanism::Plain, "{token:?}");
                assert!(token == named("") || token == named(USER), "{token:?} proves {user}");
            }
            Step::Denied => is_over = mechanism != Mechanism::Plain,
        }
    }
}

fn with_nonce(token: &[u8], nonce: &[u8]) -> Vec<u8> {
    match token.windows(NONCE.len()).position(|window| window == NONCE) {
        Some(at) => [&token[..at], nonce, &token[at + NONCE.len()..]].concat(),
        None => token.to_vec(),
    }
}

/// The first byte says what the others are: keys of an issuer, a whole token, a token's header, or claims
/// that the issuer has signed. Only the last may prove somebody, and then what they say has to hold.
pub(super) fn tokens(bytes: &[u8]) {
    let Some((kind, rest)) = bytes.split_first() else { return };
    let said = |token: &str| {
        let message = format!("n,,\u{1}auth=Bearer {token}\u{1}\u{1}");
        step(&mut Exchange::new(Mechanism::Bearer), message.as_bytes())
    };
    let is_proven = |token: &str| matches!(said(token), Step::Proven { .. });
    match kind % 4 {
        0 => {
            if let Ok(keys) = KeySet::parse(rest) {
                assert!(!keys.is_empty());
            }
        }
        1 => assert!(!is_proven(&String::from_utf8_lossy(rest))),
        2 => {
            let (header, claims) = (BASE64.encode(rest), BASE64.encode(whole_claims().to_string()));
            let signature = BASE64.encode([0; 64]);
            assert!(!is_proven(&format!("{header}.{claims}.{signature}")), "nobody has signed it");
        }
        _ => {
            let signed = format!("{}.{}", BASE64.encode(r#"{"alg":"ES256"}"#), BASE64.encode(rest));
            let signature = ISSUER.0.sign(&SystemRandom::new(), signed.as_bytes()).expect("a signature");
            if let Step::Proven { user, lasts, .. } =
                said(&format!("{signed}.{}", BASE64.encode(signature.as_ref())))
            {
                check_claims(rest, &user, lasts.expect("a token ends"));
            }
        }
    }
}

fn whole_claims() -> Value {
    json!({"iss": "i", "aud": "kafka", "sub": USER, "iat": NOW, "exp": NOW + 600})
}

fn check_claims(text: &[u8], user: &str, lasts: Duration) {
    let claims: Value = serde_json::from_slice(text).expect("it was read");
    assert_eq!(claims["sub"].as_str(), Some(user));
    assert_eq!(claims["iss"], "i");
    let is_kafkas = |audience: &Value| audience == "kafka";
    assert!(
        is_kafkas(&claims["aud"]) || claims["aud"].as_array().is_some_and(|all| all.iter().any(is_kafkas))
    );
    let ends = claims["exp"].as_f64().expect("a token has an end");
    assert!(ends + SKEW as f64 > NOW as f64, "it has expired");
    assert!(!lasts.is_zero() && lasts.as_secs_f64() <= ends + SKEW as f64 - NOW as f64 + 1.0);
    assert!(!user.trim().is_empty() && !user.contains(char::is_control));
}

/// Rules and a subject, with a zero between them; users in Kafka's setting; a user as SCRAM's are kept.
pub(super) fn names_of_users(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (rules, subject) = text.split_once('\0').unwrap_or((&text, "CN=u,O=o"));
    if PrincipalMapping::parse(rules).is_ok() {
        let and_default = PrincipalMapping::parse(&format!("{rules},DEFAULT"));
        let named = and_default.expect("one more rule can be read").name(subject);
        assert!(named.is_ok(), "by DEFAULT everybody has a name");
    }
    if let Ok(users) = plain_users(&text) {
        let (scram, tokens) = (Credentials::default(), None);
        let known = Known { plain: &users, scram: &scram, tokens, now: now() };
        let step = Exchange::new(Mechanism::Plain).step(b"\0nobody at all\0\0", known);
        assert_eq!(step, Step::Denied, "nobody comes without a password");
    }
    for hash in [Hash::Sha256, Hash::Sha512] {
        if let Some(credential) = Credential::of_text(hash, &text) {
            assert_eq!(Credential::of_text(hash, &credential.to_text()), Some(credential));
        }
    }
}
