//! Clients prove who they are before anything else is answered: PLAIN, SCRAM, again after a while, and never
//! at all.

use std::io::{Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use ring::{digest, hmac};
use strandline::security::Hash;
use strandline_protocol::messages::*;
use strandline_protocol::wire::{ApiKey, ErrorCode};

use crate::broker::{Broker, data_dir};
use crate::client::{Client, batch};
use crate::log::strandline;

const USERS: &str = "org.apache.kafka.common.security.plain.PlainLoginModule required \
                     user_admin=\"hunter2\" user_bob=\"builder\";";

/// The arguments of a broker whose one listener asks for a proof.
fn arguments(more: &[&str]) -> Vec<String> {
    let mut arguments = vec![
        "listener.security.protocol.map=PLAINTEXT:SASL_PLAINTEXT".to_owned(),
        "sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512".to_owned(),
        format!("listener.name.plaintext.plain.sasl.jaas.config={USERS}"),
    ];
    arguments.extend(more.iter().map(|setting| (*setting).to_owned()));
    arguments.into_iter().flat_map(|setting| ["-o".to_owned(), setting]).collect()
}

fn start(data: &Path, more: &[&str]) -> Broker {
    let arguments = arguments(more);
    Broker::start(data, &arguments.iter().map(String::as_str).collect::<Vec<_>>())
}

fn shake(client: &mut Client, mechanism: &str) -> SaslHandshakeResponse {
    client.call(1, &SaslHandshakeRequest { mechanism: mechanism.to_owned() })
}

fn say(client: &mut Client, token: impl AsRef<[u8]>) -> SaslAuthenticateResponse {
    client.call(2, &SaslAuthenticateRequest { auth_bytes: Bytes::copy_from_slice(token.as_ref()) })
}

pub(crate) fn plain(client: &mut Client, user: &str, password: &str) -> SaslAuthenticateResponse {
    assert_eq!(shake(client, "PLAIN").error_code, 0);
    say(client, format!("\0{user}\0{password}"))
}

fn sum(hash: Hash, key: &[u8], message: &[u8]) -> Vec<u8> {
    let algorithm = if hash == Hash::Sha256 { hmac::HMAC_SHA256 } else { hmac::HMAC_SHA512 };
    hmac::sign(&hmac::Key::new(algorithm, key), message).as_ref().to_owned()
}

/// What a client of RFC 5802 says last, which has said `bare` first and was challenged.
pub(crate) fn scram_last(hash: Hash, bare: &str, challenge: &str, password: &str, header: &str) -> String {
    let (salted, nonce) = salted(hash, challenge, password);
    let client_key = sum(hash, &salted, b"Client Key");
    let algorithm = if hash == Hash::Sha256 { &digest::SHA256 } else { &digest::SHA512 };
    let stored = digest::digest(algorithm, &client_key);
    let without_proof = format!("c={},r={nonce}", BASE64.encode(header));
    let message = format!("{bare},{challenge},{without_proof}");
    let signature = sum(hash, stored.as_ref(), message.as_bytes());
    let proof: Vec<u8> = client_key.iter().zip(signature).map(|(key, sign)| key ^ sign).collect();
    format!("{without_proof},p={}", BASE64.encode(proof))
}

/// The password with the salt of a challenge, and its nonce.
fn salted(hash: Hash, challenge: &str, password: &str) -> (Vec<u8>, String) {
    let field = |name: &str| challenge.split(',').find_map(|field| field.strip_prefix(name)).unwrap();
    let salt = BASE64.decode(field("s=")).unwrap();
    let salted = hash.salted(password.as_bytes(), &salt, field("i=").parse().unwrap());
    (salted, field("r=").to_owned())
}

/// A client's side of SCRAM; whether the broker has proven that it knows the password, too.
fn scram(client: &mut Client, hash: Hash, user: &str, password: &str) -> SaslAuthenticateResponse {
    assert_eq!(shake(client, &hash.to_string()).error_code, 0);
    let bare = format!("n={user},r=fyko+d2lbbFgONRv9qkxdawL");
    let challenge = say(client, format!("n,,{bare}"));
    assert_eq!(challenge.error_code, 0, "an unknown user is challenged as well");
    let challenge = String::from_utf8(challenge.auth_bytes.to_vec()).unwrap();
    let last = scram_last(hash, &bare, &challenge, password, "n,,");
    let answer = say(client, &last);
    if answer.error_code == 0 {
        let (salted, _) = salted(hash, &challenge, password);
        let message = format!("{bare},{challenge},{}", last.rsplit_once(",p=").unwrap().0);
        let server = sum(hash, &sum(hash, &salted, b"Server Key"), message.as_bytes());
        let expected = format!("v={}", BASE64.encode(server));
        assert_eq!(String::from_utf8_lossy(&answer.auth_bytes), expected, "the broker knows it, too");
    }
    answer
}

fn upsertion(user: &str, hash: Hash, password: &str) -> ScramCredentialUpsertion {
    let salt = Bytes::from_static(b"pepper");
    let salted_password = hash.salted(password.as_bytes(), &salt, 4096).into();
    ScramCredentialUpsertion {
        name: user.to_owned(),
        mechanism: hash.code(),
        iterations: 4096,
        salt,
        salted_password,
    }
}

fn altered(client: &mut Client, request: &AlterUserScramCredentialsRequest) -> Vec<(String, ErrorCode)> {
    let results = client.call(0, request).results.into_iter();
    results.map(|result| (result.user, ErrorCode::try_from(result.error_code).unwrap())).collect()
}

fn hello() -> ApiVersionsRequest {
    ApiVersionsRequest { client_software_name: "test".to_owned(), client_software_version: "1".to_owned() }
}

#[test]
fn nothing_is_answered_to_a_client_that_has_not_proven_who_it_is() {
    let dir = data_dir();
    let broker = start(dir.path(), &[]);
    let proving = [ApiKey::SaslHandshake, ApiKey::ApiVersions, ApiKey::SaslAuthenticate];
    for api in strandline::dispatch::APIS.iter().filter(|api| !proving.contains(&api.key)) {
        let (key, version) = (api.key, *api.versions.end());
        let mut client = broker.client();
        client.call(4, &hello());
        let flexible = key.request_header_version(version) == 2;
        let mut frame =
            [&key.code().to_be_bytes()[..], &version.to_be_bytes(), &[0, 0, 0, 7, 255, 255]].concat();
        frame.extend(flexible.then_some(0));
        frame.extend([0; 64]);
        client.stream().write_all(&(frame.len() as i32).to_be_bytes()).unwrap();
        client.stream().write_all(&frame).unwrap();
        assert!(client.is_closed(), "{key}");
    }
    let mut client = broker.client();
    assert_eq!(plain(&mut client, "bob", "builder").error_code, 0);
    client.create("t", 1, &[]);
    assert_eq!(client.produce("t", 0, batch(&["a"])).error_code, 0);
    assert_eq!(client.read_all("t", 0, 0), [(0, "a".to_owned())]);
    assert_eq!(shake(&mut client, "PLAIN").error_code, ErrorCode::IllegalSaslState.code());
    assert_eq!(client.read_all("t", 0, 0).len(), 1, "the connection goes on");
}

#[test]
fn a_wrong_password_is_told_after_a_while_and_ends_the_connection() {
    let dir = data_dir();
    let broker = start(dir.path(), &["connection.failed.authentication.delay.ms=300"]);
    for (user, password) in [("bob", "hunter2"), ("bob", ""), ("nobody", "builder"), ("", "")] {
        let mut client = broker.client();
        let began = Instant::now();
        let answer = plain(&mut client, user, password);
        assert_eq!(answer.error_code, ErrorCode::SaslAuthenticationFailed.code());
        assert_eq!(
            answer.error_message.as_deref(),
            Some("Authentication failed: Invalid username or password")
        );
        assert!(began.elapsed() >= Duration::from_millis(300), "{:?}", began.elapsed());
        assert!(client.is_closed());
    }
    // A mechanism that there is not is told, with those that there are.
    let mut client = broker.client();
    let answer = shake(&mut client, "GSSAPI");
    assert_eq!(answer.error_code, ErrorCode::UnsupportedSaslMechanism.code());
    assert_eq!(answer.mechanisms, ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]);
    assert_eq!(plain(&mut client, "bob", "builder").error_code, 0);
}

/// Clients before Kafka 1.0: tokens travel as frames without headers.
#[test]
fn tokens_may_come_bare() {
    let dir = data_dir();
    let broker = start(dir.path(), &[]);
    let bare = |token: &[u8]| {
        let mut client = broker.client();
        let shaken = client.call(0, &SaslHandshakeRequest { mechanism: "PLAIN".to_owned() });
        assert_eq!(shaken.error_code, 0);
        client.stream().write_all(&(token.len() as i32).to_be_bytes()).unwrap();
        client.stream().write_all(token).unwrap();
        client
    };
    let mut client = bare(b"\0bob\0builder");
    let mut size = [7; 4];
    client.stream().read_exact(&mut size).unwrap();
    assert_eq!(size, [0; 4], "an empty token says yes");
    assert_eq!(client.call(12, &MetadataRequest::default()).brokers.len(), 1);
    assert!(bare(b"\0bob\0wrong").is_closed());
    assert!(bare(b"").is_closed());
}

#[test]
fn a_user_is_durable_when_the_answer_is_there_and_gone_when_it_is_deleted() {
    let dir = data_dir();
    let broker = start(dir.path(), &[]);
    let mut admin = broker.client();
    plain(&mut admin, "admin", "hunter2");
    let both = Hash::ALL.map(|hash| upsertion("alice", hash, "wonderland"));
    let request = AlterUserScramCredentialsRequest { upsertions: both.to_vec(), ..Default::default() };
    assert_eq!(altered(&mut admin, &request), [("alice".to_owned(), ErrorCode::None)]);
    broker.kill();

    let broker = start(dir.path(), &[]);
    let mut admin = broker.client();
    plain(&mut admin, "admin", "hunter2");
    for hash in Hash::ALL {
        let mut client = broker.client();
        assert_eq!(scram(&mut client, hash, "alice", "wonderland").error_code, 0);
        assert_eq!(client.call(12, &MetadataRequest::default()).brokers.len(), 1);
        for (user, password) in [("alice", "wonder"), ("nobody", "wonderland")] {
            let mut client = broker.client();
            let answer = scram(&mut client, hash, user, password);
            assert_eq!(answer.error_code, ErrorCode::SaslAuthenticationFailed.code(), "{user}");
            assert!(answer.error_message.unwrap().ends_with(&hash.to_string()));
            assert!(client.is_closed());
        }
    }
    let told = admin.call(0, &DescribeUserScramCredentialsRequest { users: None }).results;
    let infos = |infos: &[CredentialInfo]| {
        infos.iter().map(|info| (info.mechanism, info.iterations)).collect::<Vec<_>>()
    };
    assert_eq!((told.len(), &*told[0].user), (1, "alice"));
    assert_eq!(infos(&told[0].credential_infos), [(1, 4096), (2, 4096)]);

    let deletion = |mechanism| ScramCredentialDeletion { name: "alice".to_owned(), mechanism };
    let request = AlterUserScramCredentialsRequest { deletions: vec![deletion(1)], ..Default::default() };
    assert_eq!(altered(&mut admin, &request), [("alice".to_owned(), ErrorCode::None)]);
    assert_ne!(scram(&mut broker.client(), Hash::Sha256, "alice", "wonderland").error_code, 0);
    assert_eq!(scram(&mut broker.client(), Hash::Sha512, "alice", "wonderland").error_code, 0);
    assert_eq!(altered(&mut admin, &request), [("alice".to_owned(), ErrorCode::ResourceNotFound)]);
}

#[test]
fn what_no_user_can_have_is_refused_for_that_user_alone() {
    let dir = data_dir();
    let broker = Broker::start(dir.path(), &[]);
    let mut client = broker.client();
    let good = upsertion("good", Hash::Sha256, "x");
    let few = ScramCredentialUpsertion { name: "few".to_owned(), iterations: 4095, ..good.clone() };
    let many = ScramCredentialUpsertion { name: "many".to_owned(), iterations: 16385, ..good.clone() };
    let nameless = ScramCredentialUpsertion { name: String::new(), ..good.clone() };
    let unknown = ScramCredentialUpsertion { name: "unknown".to_owned(), mechanism: 3, ..good.clone() };
    let short = ScramCredentialUpsertion { name: "short".to_owned(), mechanism: 2, ..good.clone() };
    let twice = ScramCredentialUpsertion { name: "twice".to_owned(), ..good.clone() };
    let other = upsertion("twice", Hash::Sha512, "x");
    let request = AlterUserScramCredentialsRequest {
        deletions: vec![ScramCredentialDeletion { name: "absent".to_owned(), mechanism: 1 }],
        upsertions: vec![few, many, nameless, unknown, short, twice.clone(), other, twice, good],
    };
    let expected = [
        ("absent", ErrorCode::ResourceNotFound),
        ("few", ErrorCode::UnacceptableCredential),
        ("many", ErrorCode::UnacceptableCredential),
        ("", ErrorCode::UnacceptableCredential),
        ("unknown", ErrorCode::UnsupportedSaslMechanism),
        ("short", ErrorCode::UnacceptableCredential),
        ("twice", ErrorCode::DuplicateResource),
        ("good", ErrorCode::None),
    ];
    assert_eq!(altered(&mut client, &request), expected.map(|(user, code)| (user.to_owned(), code)));
    let told = client.call(0, &DescribeUserScramCredentialsRequest { users: None }).results;
    assert_eq!(told.iter().map(|told| &*told.user).collect::<Vec<_>>(), ["good"]);
}

#[test]
fn a_client_proves_it_again_in_time_or_is_cut() {
    let dir = data_dir();
    let broker = start(dir.path(), &["connections.max.reauth.ms=2500"]);
    let [mut again, mut silent] = [broker.client(), broker.client()];
    for client in [&mut again, &mut silent] {
        assert_eq!(plain(client, "bob", "builder").session_lifetime_ms, 2500);
    }
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(plain(&mut again, "bob", "builder").error_code, 0);
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(again.call(12, &MetadataRequest::default()).brokers.len(), 1);
    silent.send(12, &MetadataRequest::default());
    assert!(silent.is_closed());
    // As somebody else it may not go on.
    assert_eq!(plain(&mut again, "admin", "hunter2").error_code, ErrorCode::SaslAuthenticationFailed.code());
    assert!(again.is_closed());
}

#[test]
fn a_stranger_has_little_room_and_its_noise_ends_its_connection() {
    let dir = data_dir();
    let broker = start(dir.path(), &["sasl.server.max.receive.size=4096"]);
    let before = broker.resident();
    let mut large = broker.client();
    large.stream().write_all(&5000i32.to_be_bytes()).unwrap();
    assert!(large.is_closed(), "more than a stranger may say");
    let mut random = fastrand::Rng::with_seed(18);
    for _ in 0..300 {
        let mut client = broker.client();
        let mechanism = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"][random.usize(..3)];
        let version = random.i16(0..2);
        let shaken = client.call(version, &SaslHandshakeRequest { mechanism: mechanism.to_owned() });
        assert_eq!(shaken.error_code, 0);
        let token: Vec<u8> = (0..random.usize(..2000)).map(|_| random.u8(..)).collect();
        match version {
            0 => {
                client.stream().write_all(&(token.len() as i32).to_be_bytes()).unwrap();
                client.stream().write_all(&token).unwrap();
            }
            _ => assert_ne!(say(&mut client, token).error_code, 0),
        }
        assert!(client.is_closed());
    }
    let mut client = broker.client();
    assert_eq!(plain(&mut client, "bob", "builder").error_code, 0);
    client.create("t", 1, &[]);
    let value = "v".repeat(20_000);
    assert_eq!(client.produce("t", 0, batch(&[&value])).error_code, 0, "one that is known has room");
    let grown = broker.resident().saturating_sub(before);
    assert!(grown < 16 << 20, "{grown} bytes more");
}

#[test]
fn secrets_are_in_no_log_and_shown_to_no_client() {
    let dir = data_dir();
    let arguments = arguments(&[]);
    let mut arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    arguments.extend(["--log-level", "trace"]);
    let (broker, log) = Broker::start_logging(dir.path(), &arguments);
    let mut client = broker.client();
    plain(&mut client, "admin", "hunter2");
    let credential = upsertion("alice", Hash::Sha256, "wonderland");
    let salted = BASE64.encode(&credential.salted_password);
    let request = AlterUserScramCredentialsRequest { upsertions: vec![credential], ..Default::default() };
    altered(&mut client, &request);
    scram(&mut broker.client(), Hash::Sha256, "alice", "wonderland");
    plain(&mut broker.client(), "bob", "wrong-password");
    let resource =
        DescribeConfigsResource { resource_type: 4, resource_name: "1".to_owned(), configuration_keys: None };
    let request = DescribeConfigsRequest {
        resources: vec![resource],
        include_documentation: true,
        include_synonyms: true,
    };
    let shown = format!("{:?}", client.call(4, &request));
    broker.stop();
    let log = log.join().unwrap();
    assert!(log.contains("User:admin") || log.contains("connected"), "{log}");
    let kept = std::fs::read(dir.path().join("settings")).unwrap();
    let kept = String::from_utf8_lossy(&kept);
    assert!(kept.contains("SCRAM-SHA-256:alice"));
    for secret in ["hunter2", "wonderland", "wrong-password", &salted] {
        assert!(!log.contains(secret) && !shown.contains(secret) && !kept.contains(secret), "{secret}");
    }
    let stored = kept.split("stored_key=").nth(1).unwrap().split(',').next().unwrap();
    assert!(!log.contains(stored) && !shown.contains(stored));
    let (_, dumped, _) = strandline(&["log", "dump", dir.path().to_str().unwrap()], "");
    assert!(dumped.contains("SCRAM-SHA-256:alice") && !dumped.contains(stored));
}

#[test]
fn users_are_added_listed_and_deleted_whether_the_broker_runs_or_not() {
    let dir = data_dir();
    let data = dir.path().to_str().unwrap();
    let there = ["--data-dir", data];
    let run = |arguments: &[&str], password: &str| {
        let (code, out, error) = strandline(&[&["user"], arguments].concat(), password);
        (code, out, error)
    };
    let (code, _, error) = run(&[&["list"], &there[..]].concat(), "");
    assert!(code == 1 && error.contains("no broker has been started there yet"), "{error}");
    let broker = start(dir.path(), &[]);
    let (code, _, error) = run(&[&["list"], &there[..]].concat(), "");
    assert!(code == 1 && error.contains("in use by another process"), "{error}");
    broker.stop();

    let (code, _, error) = run(&[&["add", "alice"], &there[..]].concat(), "wonderland\n");
    assert_eq!((code, &*error), (0, ""));
    let (code, out, _) = run(&[&["list"], &there[..]].concat(), "");
    assert_eq!((code, &*out), (0, "alice  SCRAM-SHA-512\n"));
    let broker = start(dir.path(), &[]);
    assert_eq!(scram(&mut broker.client(), Hash::Sha512, "alice", "wonderland").error_code, 0);
    broker.stop();

    // At a broker that runs, by a listener that asks for no proof.
    let broker = Broker::start(dir.path(), &[]);
    let address = broker.address.to_string();
    let at = ["--bootstrap", &address];
    let both = ["add", "b,o=b", "--mechanism", "scram-sha-256,SCRAM-SHA-512", "--iterations", "5000"];
    assert_eq!(run(&[&both, &at[..]].concat(), "builder\n").0, 0);
    assert_eq!(run(&[&["add", "c"], &at[..]].concat(), "\n").0, 1, "a password has a letter");
    assert_eq!(run(&[&["add", "c", "--iterations", "4095"], &at[..]].concat(), "").0, 2);
    let (_, out, _) = run(&[&["list", "--json"], &at[..]].concat(), "");
    let listed: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(listed[1]["name"], "b,o=b");
    assert_eq!(
        listed[1]["credentials"][0],
        serde_json::json!({"mechanism": "SCRAM-SHA-256", "iterations": 5000})
    );
    assert_eq!(run(&[&["delete", "alice"], &at[..]].concat(), "").0, 0);
    let (code, _, error) = run(&[&["delete", "alice"], &at[..]].concat(), "");
    assert_eq!((code, &*error), (1, "error: there is no user alice\n"));
    broker.stop();

    let broker = start(dir.path(), &[]);
    assert_ne!(scram(&mut broker.client(), Hash::Sha512, "alice", "wonderland").error_code, 0);
    for hash in Hash::ALL {
        assert_eq!(scram(&mut broker.client(), hash, "b=2Co=3Db", "builder").error_code, 0);
    }
}
