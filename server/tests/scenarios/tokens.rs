//! Clients that prove who they are by tokens (OAUTHBEARER), and the keys that come and go meanwhile.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use std::{fs, thread};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Value, json};
use strandline_protocol::messages::*;
use strandline_protocol::wire::ErrorCode;

use crate::broker::{Broker, data_dir};
use crate::client::Client;
use crate::effects::until;
use crate::log::strandline;
use crate::metrics::get;
use crate::transactions::code;

/// Whoever issues tokens.
pub(crate) struct Issuer {
    id: &'static str,
    key: EcdsaKeyPair,
}

impl Issuer {
    pub(crate) fn new(id: &'static str) -> Issuer {
        let random = SystemRandom::new();
        let key = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, key.as_ref(), &random).unwrap();
        Issuer { id, key }
    }

    /// Its keys, as it publishes them.
    pub(crate) fn keys(&self) -> String {
        let (x, y) = self.key.public_key().as_ref()[1..].split_at(32);
        let key = json!({
            "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": self.id,
            "x": BASE64.encode(x), "y": BASE64.encode(y),
        });
        json!({ "keys": [key] }).to_string()
    }

    /// A token for a user, for so many seconds.
    pub(crate) fn token(&self, user: &str, seconds: i64) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64;
        let header = json!({"alg": "ES256", "kid": self.id, "typ": "JWT"});
        let claims = json!({"iss": "us", "aud": ["kafka"], "sub": user, "iat": now, "exp": now + seconds});
        let text = |value: Value| BASE64.encode(value.to_string());
        let signed = format!("{}.{}", text(header), text(claims));
        let signature = self.key.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
        format!("{signed}.{}", BASE64.encode(signature))
    }
}

/// The arguments of a broker that takes tokens by the keys at `url`.
pub(crate) fn arguments(url: &str, more: &[&str]) -> Vec<String> {
    let settings = [
        "listener.security.protocol.map=PLAINTEXT:SASL_PLAINTEXT".to_owned(),
        "sasl.enabled.mechanisms=OAUTHBEARER".to_owned(),
        format!("listener.name.plaintext.oauthbearer.sasl.oauthbearer.jwks.endpoint.url={url}"),
        "sasl.oauthbearer.expected.audience=kafka".to_owned(),
        "sasl.oauthbearer.expected.issuer=us".to_owned(),
        "sasl.oauthbearer.clock.skew.seconds=0".to_owned(),
    ];
    let settings = settings.into_iter().chain(more.iter().map(|setting| (*setting).to_owned()));
    let arguments = settings.flat_map(|setting| ["-o".to_owned(), setting]);
    arguments.chain(["--metrics-listen", "127.0.0.1:0"].map(str::to_owned)).collect()
}

pub(crate) fn start(data: &Path, url: &str, more: &[&str]) -> Broker {
    let arguments = arguments(url, more);
    Broker::start(data, &arguments.iter().map(String::as_str).collect::<Vec<_>>())
}

/// How often the keys were read, or could not be.
pub(crate) fn reads(broker: &Broker, result: &str) -> u64 {
    let name = format!("strandline_token_key_reads_total{{listener=\"PLAINTEXT\",result=\"{result}\"}} ");
    let metrics = get(broker.metrics.unwrap(), "/metrics").1;
    metrics.lines().find_map(|line| line.strip_prefix(&name)).unwrap().parse().unwrap()
}

fn say(client: &mut Client, message: &str) -> SaslAuthenticateResponse {
    client.call(2, &SaslAuthenticateRequest { auth_bytes: message.to_owned().into() })
}

/// Shows a token on a new connection.
pub(crate) fn show(broker: &Broker, token: &str) -> (Client, SaslAuthenticateResponse) {
    let mut client = broker.client();
    let shaken = client.call(1, &SaslHandshakeRequest { mechanism: "OAUTHBEARER".to_owned() });
    assert_eq!(
        (code(shaken.error_code), &*shaken.mechanisms),
        (ErrorCode::None, &["OAUTHBEARER".to_owned()][..])
    );
    let answer = say(&mut client, &format!("n,,\u{1}auth=Bearer {token}\u{1}\u{1}"));
    (client, answer)
}

/// Whether a client with this token gets in; one that does not is told twice why.
pub(crate) fn is_believed(broker: &Broker, token: &str) -> bool {
    let (mut client, answer) = show(broker, token);
    assert_eq!(code(answer.error_code), ErrorCode::None, "{:?}", answer.error_message);
    if answer.auth_bytes.is_empty() {
        client.call(12, &MetadataRequest::default());
        return true;
    }
    let invalid = "{\"status\":\"invalid_token\"}";
    assert_eq!(&answer.auth_bytes[..], invalid.as_bytes());
    let answer = say(&mut client, "\u{1}");
    assert_eq!(code(answer.error_code), ErrorCode::SaslAuthenticationFailed);
    assert_eq!(answer.error_message.as_deref(), Some(invalid));
    assert!(client.is_closed());
    false
}

#[test]
fn a_client_is_who_its_token_says_until_that_ends() {
    let dir = data_dir();
    let (issuer, stranger) = (Issuer::new("a"), Issuer::new("a"));
    let keys = dir.path().join("keys.json");
    fs::write(&keys, issuer.keys()).unwrap();
    let standard = format!("authorizer.class.name={}", crate::permissions::STANDARD);
    let more = [&*standard, "super.users=User:alice", "connections.max.reauth.ms=60000"];
    let broker = start(dir.path(), &format!("file://{}", keys.display()), &more);
    assert!(!is_believed(&broker, &stranger.token("alice", 600)));
    assert!(!is_believed(&broker, &issuer.token("alice", -1)));
    assert!(!is_believed(&broker, "a.b.c"));
    let create = |client: &mut Client, topic: &str| code(client.create(topic, 1, &[]).error_code);
    let (mut bob, _) = show(&broker, &issuer.token("bob", 600));
    assert_eq!(create(&mut bob, "t"), ErrorCode::TopicAuthorizationFailed);
    let (mut alice, answer) = show(&broker, &issuer.token("alice", 600));
    assert_eq!(answer.session_lifetime_ms, 60_000, "what ends first is what the broker asks for");
    assert_eq!(create(&mut alice, "t"), ErrorCode::None);

    let (mut alice, answer) = show(&broker, &issuer.token("alice", 3));
    assert!((1..=3000).contains(&answer.session_lifetime_ms), "{} ms", answer.session_lifetime_ms);
    let began = Instant::now();
    thread::sleep(Duration::from_millis(1100));
    // It shows the next one in time (KIP-368), and goes on.
    let shaken = alice.call(1, &SaslHandshakeRequest { mechanism: "OAUTHBEARER".to_owned() });
    assert_eq!(code(shaken.error_code), ErrorCode::None);
    let next = issuer.token("alice", 5);
    let answer = say(&mut alice, &format!("n,,\u{1}auth=Bearer {next}\u{1}\u{1}"));
    assert_eq!(code(answer.error_code), ErrorCode::None);
    thread::sleep(Duration::from_millis(3200).saturating_sub(began.elapsed()));
    assert_eq!(create(&mut alice, "u"), ErrorCode::None, "by the second token");
    thread::sleep(Duration::from_millis(answer.session_lifetime_ms as u64));
    alice.send(12, &MetadataRequest::default());
    assert!(alice.is_closed(), "nothing is answered by a token that has ended");
}

#[test]
fn a_client_that_takes_the_word_of_a_bad_token_for_the_end_of_the_exchange_is_told_otherwise() {
    let (dir, issuer, stranger) = (data_dir(), Issuer::new("a"), Issuer::new("a"));
    let keys = dir.path().join("keys.json");
    fs::write(&keys, issuer.keys()).unwrap();
    let broker = start(dir.path(), &format!("file://{}", keys.display()), &[]);
    for version in [0, 3, 4] {
        let (mut client, answer) = show(&broker, &stranger.token("alice", 600));
        assert!(!answer.auth_bytes.is_empty());
        let hello = ApiVersionsRequest {
            client_software_name: "test".to_owned(),
            client_software_version: "1".to_owned(),
        };
        let told = client.call(version, &hello);
        assert_eq!(code(told.error_code), ErrorCode::IllegalSaslState, "version {version}");
        assert!(client.is_closed());
    }
    let (mut client, _) = show(&broker, &issuer.token("alice", 600));
    let hello = ApiVersionsRequest::default();
    assert_eq!(code(client.call(0, &hello).error_code), ErrorCode::None, "when it is over, it may ask");
}

/// An issuer's server: it says the status and the document of the moment.
fn serve(told: Arc<Mutex<(u16, String)>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/keys", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let (status, document) = told.lock().unwrap().clone();
            let length = document.len();
            let _ = write!(stream, "HTTP/1.1 {status} x\r\nContent-Length: {length}\r\n\r\n{document}");
        }
    });
    url
}

#[test]
fn keys_are_taken_up_when_they_come_and_kept_when_others_do_not() {
    let dir = data_dir();
    let [first, second] = ["first", "second"].map(Issuer::new);
    let told = Arc::new(Mutex::new((503, String::new())));
    let url = serve(told.clone());
    let say = |status: u16, document: String| *told.lock().unwrap() = (status, document);
    let often = [
        "sasl.oauthbearer.jwks.endpoint.refresh.ms=100",
        "sasl.oauthbearer.jwks.endpoint.retry.backoff.max.ms=100",
    ];
    let broker = start(dir.path(), &url, &often);
    let after = |result: &str| {
        let before = reads(&broker, result);
        until(result, || reads(&broker, result) > before + 1);
    };
    after("refused");
    assert!(!is_believed(&broker, &first.token("alice", 600)), "there is no key yet");
    say(200, first.keys());
    after("done");
    assert!(is_believed(&broker, &first.token("alice", 600)));
    assert!(!is_believed(&broker, &second.token("alice", 600)));
    for (status, document) in [
        (500, String::new()),
        (302, second.keys()),
        (200, "<html>".to_owned()),
        (200, "{\"keys\":[]}".to_owned()),
    ] {
        say(status, document);
        after("refused");
        assert!(is_believed(&broker, &first.token("alice", 600)), "the old ones stay");
    }
    say(200, second.keys());
    after("done");
    assert!(is_believed(&broker, &second.token("alice", 600)));
    assert!(!is_believed(&broker, &first.token("alice", 600)), "whom the set has no more");
}

#[test]
fn a_broker_that_could_believe_nobody_or_everybody_does_not_start() {
    let dir = data_dir();
    let data = dir.path().join("data");
    let broken = dir.path().join("broken.json");
    fs::write(&broken, "{}").unwrap();
    let missing = format!("file://{}", dir.path().join("missing.json").display());
    let broken = format!("file://{}", broken.display());
    for (settings, word) in [
        (&[][..], "sasl.oauthbearer.jwks.endpoint.url"),
        (
            &[("jwks.endpoint.url", "keys.json"), ("expected.issuer", "i"), ("expected.audience", "a")][..],
            "file:///PATH",
        ),
        (
            &[("jwks.endpoint.url", &*missing), ("expected.issuer", "i")][..],
            "sasl.oauthbearer.expected.audience",
        ),
        (
            &[("jwks.endpoint.url", &*missing), ("expected.audience", "a")][..],
            "sasl.oauthbearer.expected.issuer",
        ),
        (
            &[("jwks.endpoint.url", &*missing), ("expected.issuer", "i"), ("expected.audience", "a")][..],
            "No such file",
        ),
        (
            &[
                ("jwks.endpoint.url", &*broken),
                ("expected.issuer", "i"),
                ("allow.unverified.audience", "true"),
            ][..],
            "\"keys\"",
        ),
    ] {
        let mut line: Vec<String> =
            ["serve", "--data-dir", data.to_str().unwrap()].map(str::to_owned).to_vec();
        let common = ["listeners=A://127.0.0.1:0", "listener.security.protocol.map=A:SASL_PLAINTEXT"];
        let own = settings.iter().map(|(name, value)| format!("sasl.oauthbearer.{name}={value}"));
        let all =
            common.map(str::to_owned).into_iter().chain(["sasl.enabled.mechanisms=OAUTHBEARER".to_owned()]);
        line.extend(all.chain(own).flat_map(|setting| ["-o".to_owned(), setting]));
        let line: Vec<&str> = line.iter().map(String::as_str).collect();
        let (code, _, error) = strandline(&line, "");
        assert!(code != 0 && error.contains(word), "{settings:?}: {error}");
    }
}
