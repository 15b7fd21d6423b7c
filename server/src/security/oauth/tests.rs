//! Tokens of an issuer of ours, and what becomes of them in the hands of others.

use std::sync::mpsc::{Receiver, sync_channel};
use std::time::UNIX_EPOCH;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use ring::hmac;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _,
    RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256, RsaEncoding, RsaKeyPair,
    RsaPublicKeyComponents,
};
use serde_json::{Value, json};

use super::jwk::KEYS_MAX;
use super::jwt::TOKEN_BYTES_MAX;
use super::*;

/// A key for these tests alone: `ring` makes none for RSA.
const RSA: &[u8] = include_bytes!("tests/rsa.pk8");

/// Whoever issues tokens.
struct Issuer {
    rsa: RsaKeyPair,
    p256: EcdsaKeyPair,
    p384: EcdsaKeyPair,
}

/// The moment of the tests, in seconds since 1970.
const NOW: u64 = 1_800_000_000;

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(NOW)
}

fn text(value: &Value) -> String {
    BASE64.encode(value.to_string())
}

impl Issuer {
    fn new() -> Issuer {
        let random = SystemRandom::new();
        let [p256, p384] =
            [&ECDSA_P256_SHA256_FIXED_SIGNING, &ECDSA_P384_SHA384_FIXED_SIGNING].map(|curve| {
                let key = EcdsaKeyPair::generate_pkcs8(curve, &random).unwrap();
                EcdsaKeyPair::from_pkcs8(curve, key.as_ref(), &random).unwrap()
            });
        Issuer { rsa: RsaKeyPair::from_pkcs8(RSA).unwrap(), p256, p384 }
    }

    /// Its keys, as it publishes them, with what else such sets have.
    fn keys(&self) -> Value {
        let point = |key: &EcdsaKeyPair, curve: &str, id: &str| {
            let point = &key.public_key().as_ref()[1..];
            let (x, y) = point.split_at(point.len() / 2);
            json!({"kty": "EC", "crv": curve, "kid": id, "x": BASE64.encode(x), "y": BASE64.encode(y)})
        };
        let public: RsaPublicKeyComponents<Vec<u8>> = self.rsa.public().into();
        let rsa = |id: &str| {
            json!({
                "kty": "RSA", "kid": id, "use": "sig",
                "n": BASE64.encode(&public.n),
                "e": BASE64.encode(&public.e),
            })
        };
        let mut only = rsa("only-rs256");
        only["alg"] = "RS256".into();
        let mut encrypts = rsa("encrypts");
        encrypts["use"] = "enc".into();
        json!({"keys": [
            rsa("rsa"), only, encrypts, point(&self.p256, "P-256", "p256"), point(&self.p384, "P-384", "p384"),
            {"kty": "oct", "kid": "secret", "k": "c2VjcmV0"}, {"kty": "OKP", "crv": "Ed25519", "x": "AA"}, 7,
        ]})
    }

    /// A token that says this, signed as its header says.
    fn sign(&self, header: &Value, claims: &Value) -> String {
        let signed = format!("{}.{}", text(header), text(claims));
        let random = SystemRandom::new();
        let rsa = |padding: &'static dyn RsaEncoding| {
            let mut signature = vec![0; self.rsa.public().modulus_len()];
            self.rsa.sign(padding, &random, signed.as_bytes(), &mut signature).unwrap();
            signature
        };
        let signature = match header["alg"].as_str().unwrap() {
            "RS256" => rsa(&RSA_PKCS1_SHA256),
            "RS384" => rsa(&RSA_PKCS1_SHA384),
            "RS512" => rsa(&RSA_PKCS1_SHA512),
            "PS256" => rsa(&RSA_PSS_SHA256),
            "ES256" => self.p256.sign(&random, signed.as_bytes()).unwrap().as_ref().to_vec(),
            "ES384" => self.p384.sign(&random, signed.as_bytes()).unwrap().as_ref().to_vec(),
            // What an attacker signs with the issuer's public key as if it were a secret.
            "HS256" => {
                let key = hmac::Key::new(hmac::HMAC_SHA256, self.rsa.public_key().as_ref());
                hmac::sign(&key, signed.as_bytes()).as_ref().to_vec()
            }
            _ => Vec::new(),
        };
        format!("{signed}.{}", BASE64.encode(signature))
    }
}

fn rules() -> TokenRules {
    TokenRules {
        audiences: vec!["kafka".to_owned(), "other".to_owned()],
        issuer: Some("https://issuer".to_owned()),
        skew: Duration::from_secs(30),
        scope_claim: "scope".to_owned(),
        user_claim: "sub".to_owned(),
    }
}

/// Claims that meet them, for ten minutes.
fn claims() -> Value {
    json!({"iss": "https://issuer", "aud": "kafka", "sub": "alice", "scope": "a b", "iat": NOW, "exp": NOW + 600})
}

fn with(name: &str, value: impl Into<Value>) -> Value {
    let mut claims = claims();
    claims[name] = value.into();
    claims
}

fn without(name: &str) -> Value {
    let mut claims = claims();
    claims.as_object_mut().unwrap().remove(name);
    claims
}

fn verifier(issuer: &Issuer, rules: TokenRules) -> (Verifier, Receiver<()>) {
    let (tell, told) = sync_channel(1);
    let verifier = Verifier::new(rules, tell);
    verifier.replace(KeySet::parse(issuer.keys().to_string().as_bytes()).unwrap());
    (verifier, told)
}

#[test]
fn a_token_is_believed_by_each_algorithm_of_the_list_and_the_key_that_it_names() {
    let issuer = Issuer::new();
    let (verifier, told) = verifier(&issuer, rules());
    let alice = Ok(Holder { user: "alice".to_owned(), lasts: Duration::from_secs(630) });
    for (algorithm, key) in [
        ("RS256", "rsa"),
        ("RS256", "only-rs256"),
        ("RS384", "rsa"),
        ("RS512", "rsa"),
        ("PS256", "rsa"),
        ("ES256", "p256"),
        ("ES384", "p384"),
    ] {
        let token = issuer.sign(&json!({"alg": algorithm, "kid": key, "typ": "at+jwt"}), &claims());
        assert_eq!(verifier.holder(&token, now()), alice, "{algorithm} {key}");
        let token = issuer.sign(&json!({"alg": algorithm}), &claims());
        assert_eq!(verifier.holder(&token, now()), alice, "{algorithm} without a name of its key");
        let mut changed = token.clone().into_bytes();
        let at = token.find('.').unwrap() + 20;
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).unwrap();
        assert_eq!(verifier.holder(&changed, now()), Err(Unfit::Signature), "{algorithm}");
    }
    assert!(told.try_recv().is_err());
    let token = issuer.sign(&json!({"alg": "RS256", "kid": "next"}), &claims());
    assert_eq!(verifier.holder(&token, now()), Err(Unfit::NoKey));
    assert_eq!(verifier.holder(&token, now()), Err(Unfit::NoKey));
    assert_eq!((told.try_recv().is_ok(), told.try_recv().is_ok()), (true, false), "it is asked for once");
}

#[test]
fn no_token_is_believed_without_a_signature_or_by_a_secret_or_by_a_key_for_something_else() {
    let issuer = Issuer::new();
    let (verifier, _told) = verifier(&issuer, rules());
    for (header, why) in [
        (json!({"alg": "none"}), Unfit::Algorithm),
        (json!({"alg": "None", "kid": "rsa"}), Unfit::Algorithm),
        (json!({"alg": "HS256", "kid": "rsa"}), Unfit::Algorithm),
        (json!({"alg": "HS256", "kid": "secret"}), Unfit::Algorithm),
        (json!({"alg": "EdDSA"}), Unfit::Algorithm),
        (json!({"alg": "rs256"}), Unfit::Algorithm),
        (json!({"alg": "ES256", "kid": "rsa"}), Unfit::NoKey),
        (json!({"alg": "ES256", "kid": "p384"}), Unfit::NoKey),
        (json!({"alg": "RS512", "kid": "only-rs256"}), Unfit::NoKey),
        (json!({"alg": "RS256", "kid": "encrypts"}), Unfit::NoKey),
        (json!({"alg": "RS256", "kid": 7}), Unfit::Form),
        (json!({"alg": "RS256", "kid": "rsa", "crit": ["b64"], "b64": false}), Unfit::Critical),
    ] {
        assert_eq!(verifier.holder(&issuer.sign(&header, &claims()), now()), Err(why), "{header}");
    }
    let stranger = Issuer::new();
    let token = stranger.sign(&json!({"alg": "ES256", "kid": "p256"}), &claims());
    assert_eq!(verifier.holder(&token, now()), Err(Unfit::Signature), "of somebody else's key of that name");
    let token = issuer.sign(&json!({"alg": "ES256", "kid": "p256"}), &claims());
    let parts: Vec<&str> = token.split('.').collect();
    let [header, body, signature] = parts[..] else { panic!("three parts") };
    let others = issuer.sign(&json!({"alg": "ES256", "kid": "p256"}), &with("sub", "admin"));
    let others: Vec<&str> = others.split('.').collect();
    for (made_up, why) in [
        (format!("{header}.{}.{signature}", others[1]), Unfit::Signature),
        (format!("{}.{body}.{signature}", text(&json!({"alg": "none"}))), Unfit::Algorithm),
        (format!("{header}.{body}."), Unfit::Signature),
        (format!("{header}.{body}"), Unfit::Form),
        (format!("{header}.{body}.{signature}="), Unfit::Form),
        (format!("{header}.{body}.x.{signature}"), Unfit::Signature),
        (String::new(), Unfit::Form),
        ("..".to_owned(), Unfit::Form),
        ("[".repeat(TOKEN_BYTES_MAX + 1), Unfit::Long),
        (format!("{}.{body}.{signature}", BASE64.encode("[".repeat(40_000))), Unfit::Form),
    ] {
        assert_eq!(verifier.holder(&made_up, now()), Err(why), "{made_up:.80}");
    }
}

#[test]
fn a_token_holds_for_its_time_its_issuer_and_its_audience_alone() {
    let issuer = Issuer::new();
    let (verifier, _told) = verifier(&issuer, rules());
    let holder = |claims: &Value| {
        verifier.holder(&issuer.sign(&json!({"alg": "ES256", "kid": "p256"}), claims), now())
    };
    for (claims, why) in [
        (with("exp", NOW - 30), Unfit::Expired),
        (with("exp", -1), Unfit::Claim("exp")),
        (with("exp", "soon"), Unfit::Claim("exp")),
        (without("exp"), Unfit::Claim("exp")),
        (without("iat"), Unfit::Claim("iat")),
        (with("nbf", NOW + 31), Unfit::NotYet),
        (with("iss", "https://issuer/"), Unfit::Issuer),
        (without("iss"), Unfit::Issuer),
        (with("aud", "kafk"), Unfit::Audience),
        (with("aud", json!(["x", 7])), Unfit::Audience),
        (without("aud"), Unfit::Audience),
        (with("scope", 7), Unfit::Claim("of scopes")),
        (with("scope", json!(["a", " "])), Unfit::Claim("of scopes")),
        (without("sub"), Unfit::Claim("of the user")),
        (with("sub", " "), Unfit::Claim("of the user")),
        (with("sub", json!(["alice"])), Unfit::Claim("of the user")),
        (with("sub", "a\nb"), Unfit::Claim("of the user")),
    ] {
        assert_eq!(holder(&claims), Err(why), "{claims}");
    }
    let lasts = |claims: &Value| holder(claims).unwrap().lasts;
    assert_eq!(lasts(&with("exp", NOW - 29)), Duration::from_secs(1), "by what clocks may differ");
    assert_eq!(lasts(&with("nbf", NOW + 30)), Duration::from_secs(630));
    assert_eq!(lasts(&with("aud", json!(["x", "other"]))), Duration::from_secs(630));
    assert_eq!(lasts(&without("scope")), Duration::from_secs(630));
    assert!(lasts(&with("exp", 1e300)) > Duration::from_secs(1 << 37), "until the year 9999");

    let anybody = TokenRules {
        audiences: Vec::new(),
        issuer: None,
        user_claim: "email".to_owned(),
        scope_claim: "scp".to_owned(),
        skew: Duration::ZERO,
    };
    let (verifier, _told) = self::verifier(&issuer, anybody);
    let claims = json!({"email": "a@b", "scope": 7, "scp": ["x"], "iat": NOW, "exp": NOW as f64 + 0.5});
    let holder = verifier.holder(&issuer.sign(&json!({"alg": "ES256"}), &claims), now()).unwrap();
    assert_eq!(holder.user, "a@b");
    assert!(holder.lasts > Duration::ZERO && holder.lasts <= Duration::from_millis(500));
}

#[test]
fn a_refusal_is_told_as_json_and_ends_the_exchange_with_the_next_message() {
    let issuer = Issuer::new();
    let (verifier, _told) = verifier(&issuer, rules());
    let good = issuer.sign(&json!({"alg": "ES256"}), &claims());
    let message =
        |authorization: &str, token: &str| format!("n,{authorization},\u{1}auth=Bearer {token}\u{1}\u{1}");
    let step = |bearer: &mut Bearer, message: &str| bearer.step(message.as_bytes(), &verifier, now());
    let proves = |message: &str| {
        let step = step(&mut Bearer::default(), message);
        matches!(step, Some(Reply::Proven { user, lasts }) if user == "alice" && lasts.as_secs() == 630)
    };
    assert!(proves(&message("", &good)) && proves(&message("a=alice", &good)));
    assert!(step(&mut Bearer::default(), &message("a=bob", &good)).is_none(), "it is not another's");
    assert!(step(&mut Bearer::default(), &good).is_none(), "it has no form");
    let mut bearer = Bearer::default();
    let bad = issuer.sign(&json!({"alg": "none"}), &claims());
    let Some(Reply::Challenge(told)) = step(&mut bearer, &message("", &bad)) else { panic!("it is told") };
    assert_eq!(told, "{\"status\":\"invalid_token\"}");
    assert!(step(&mut bearer, &message("", &good)).is_none(), "nothing is tried twice");
}

#[test]
fn a_set_without_a_key_that_can_be_used_is_refused_and_others_are_passed_over() {
    let issuer = Issuer::new();
    let parse = |set: &Value| KeySet::parse(set.to_string().as_bytes());
    assert_eq!(parse(&issuer.keys()).map(|keys| keys.len()), Ok(4));
    let rsa = issuer.keys()["keys"][0].clone();
    let with = |name: &str, value: Value| {
        let mut key = rsa.clone();
        key[name] = value;
        json!({"keys": [key]})
    };
    assert_eq!(parse(&with("key_ops", json!(["verify"]))).map(|keys| keys.len()), Ok(1));
    for useless in [
        json!({"keys": []}),
        json!({"keys": [{"kty": "oct", "k": "AA"}, null, "x"]}),
        with("key_ops", json!(["encrypt"])),
        with("alg", "ES256".into()),
        with("alg", "HS256".into()),
        with("n", "!".into()),
        with("kty", "EC".into()),
    ] {
        assert_eq!(parse(&useless), Err(JwksError::NoKey), "{useless}");
    }
    for other in ["", "[]", "{}", "{\"keys\":{}}", "<html>"] {
        assert_eq!(KeySet::parse(other.as_bytes()), Err(JwksError::Form), "{other}");
    }
    let many = json!({"keys": vec![rsa; KEYS_MAX + 1]});
    assert_eq!(parse(&many), Err(JwksError::TooMany));
}

/// Whatever bytes a client sends: no message of noise proves anything, and none ends the process.
#[test]
fn noise_around_a_token_proves_nobody() {
    let issuer = Issuer::new();
    let (verifier, _told) = verifier(&issuer, rules());
    let good = issuer.sign(&json!({"alg": "ES256", "kid": "p256"}), &with("exp", NOW - 100));
    let message = format!("n,,\u{1}auth=Bearer {good}\u{1}\u{1}").into_bytes();
    let mut random = fastrand::Rng::with_seed(7628);
    for _ in 0..3000 {
        let mut noise = message.clone();
        for _ in 0..random.usize(..4) {
            let at = random.usize(..noise.len());
            match random.u8(..3) {
                0 => noise[at] = random.u8(..),
                1 => noise.truncate(at.max(1)),
                _ => drop(noise.splice(at..at, [random.u8(..)])),
            }
        }
        let step = Bearer::default().step(&noise, &verifier, now());
        assert!(!matches!(step, Some(Reply::Proven { .. })), "{noise:?}");
    }
}
