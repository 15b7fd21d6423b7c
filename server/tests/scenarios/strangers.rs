//! Who means harm at listeners that ask for a proof: floods of handshakes, proofs that were overheard,
//! issuers of tokens that say nothing or never end, and names of any letters.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};
use strandline::security::Hash;
use strandline_protocol::messages::*;
use strandline_protocol::wire::ErrorCode;
use strandline_tls::rustls::ClientConnection;
use strandline_tls::{TlsSettings, connector};

use crate::broker::{Broker, data_dir};
use crate::client::{Client, batch};
use crate::effects::until;
use crate::log::strandline;
use crate::metrics::get;
use crate::tls::{Authority, connect, metric};
use crate::tokens::{Issuer, is_believed, reads, start as start_with_keys};
use crate::transactions::code;

fn with_metrics(settings: Vec<String>) -> Vec<String> {
    [settings, vec!["--metrics-listen".to_owned(), "127.0.0.1:0".to_owned()]].concat()
}

fn start(data: &Path, arguments: &[String]) -> Broker {
    Broker::start(data, &arguments.iter().map(String::as_str).collect::<Vec<_>>())
}

/// What a client of TLS says first.
fn client_hello(authority: &Authority) -> Vec<u8> {
    let store = authority.path("authority.pem").display().to_string();
    let known =
        BTreeMap::from([("ssl.truststore.type", "PEM".to_owned()), ("ssl.truststore.location", store)]);
    let config = connector(&TlsSettings::of(|name| known.get(name).cloned())).unwrap();
    let mut session = ClientConnection::new(config, "localhost".try_into().unwrap()).unwrap();
    let mut said = Vec::new();
    session.write_tls(&mut said).unwrap();
    said
}

#[test]
fn a_flood_of_half_handshakes_holds_little_memory_and_nobody_else_up() {
    const EACH: usize = 150;
    let (dir, authority) = (data_dir(), Authority::new());
    let broker = start(dir.path(), &with_metrics(authority.broker("SSL", &[])));
    let mut good = connect(&broker, &authority.access(&[])).unwrap();
    let before = broker.resident();
    let hello = client_hello(&authority);
    // One that is answered and says no more; half of one; and a message of 16 MiB, of which one record comes.
    let endless = [&[22, 3, 1, 0x3f, 0xff, 1, 0xff, 0xff, 0xff][..], &[0; 0x3fff - 4]].concat();
    let flood: Vec<TcpStream> = [&hello[..], &hello[..hello.len() / 2], &endless]
        .into_iter()
        .flat_map(|said| vec![said; EACH])
        .map(|said| {
            let mut stream = TcpStream::connect(broker.address).unwrap();
            // One that announces too much may be cut off before it has said all.
            let _ = stream.write_all(said);
            assert_eq!(good.call(12, &MetadataRequest::default()).brokers.len(), 1);
            stream
        })
        .collect();
    let mut next = connect(&broker, &authority.access(&[])).unwrap();
    assert_eq!(next.call(12, &MetadataRequest::default()).brokers.len(), 1, "who comes later is let in");
    let grown = broker.resident().saturating_sub(before);
    assert!(grown < (3 * EACH * (64 << 10)) as u64, "{grown} bytes for {} half handshakes", flood.len());
    drop(flood);
    until("all have gone", || metric(&broker, "strandline_connections{") == 2);
}

#[test]
fn a_flood_of_half_messages_of_strangers_holds_little_memory_and_nobody_else_up() {
    const EACH: usize = 400 << 10;
    let dir = data_dir();
    add_alice(dir.path());
    let map = "listener.security.protocol.map=PLAINTEXT:SASL_PLAINTEXT";
    let settings = ["-o", map, "-o", "sasl.enabled.mechanisms=SCRAM-SHA-512", "--shards", "2"];
    let broker = Broker::start(dir.path(), &settings);
    let before = broker.resident();
    // Each says nearly all of a message that is as long as one may be.
    let half = [&(EACH as i32 + 1).to_be_bytes()[..], &vec![0; EACH]].concat();
    let flood: Vec<TcpStream> = (0..300)
        .map(|_| {
            let mut stream = TcpStream::connect(broker.address).unwrap();
            // One that is cut off may not say all of it.
            let _ = stream.write_all(&half);
            stream
        })
        .collect();
    let grown = || broker.resident().saturating_sub(before);
    until("what does not have room is cut", || grown() < 96 << 20 && cut_off(&flood) > 100);
    assert!(cut_off(&flood) < flood.len(), "and what has, is not");
    let mut alice = shaken(&broker, Hash::Sha512);
    let (code, challenge) = say(&mut alice, "n,,n=alice,r=abc");
    assert_eq!(code, ErrorCode::None, "a short message has room");
    let challenge = String::from_utf8(challenge).unwrap();
    let last = crate::sasl::scram_last(Hash::Sha512, "n=alice,r=abc", &challenge, "wonder land", "n,,");
    assert_eq!(say(&mut alice, last).0, ErrorCode::None);
    alice.create("t", 1, &[]);
    let value = "v".repeat(900_000);
    assert_eq!(alice.produce("t", 0, batch(&[&value])).error_code, 0, "one that is known has room");
}

/// How many of these connections the broker has ended.
fn cut_off(streams: &[TcpStream]) -> usize {
    let has_ended = |stream: &&TcpStream| {
        let mut socket: &TcpStream = stream;
        socket.set_nonblocking(true).unwrap();
        !matches!(socket.read(&mut [0]), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
    };
    streams.iter().filter(has_ended).count()
}

fn say(client: &mut Client, token: impl AsRef<[u8]>) -> (ErrorCode, Vec<u8>) {
    let auth_bytes = token.as_ref().to_vec().into();
    let answer = client.call(2, &SaslAuthenticateRequest { auth_bytes });
    (code(answer.error_code), answer.auth_bytes.to_vec())
}

/// Makes a user of SCRAM in a directory that has no broker yet.
fn add_alice(data: &Path) {
    Broker::start(data, &[]).stop();
    let data = data.to_str().unwrap();
    assert_eq!(strandline(&["user", "add", "alice", "--data-dir", data], "wonder land\n").0, 0);
}

fn shaken(broker: &Broker, mechanism: Hash) -> Client {
    let mut client = broker.client();
    let answer = client.call(1, &SaslHandshakeRequest { mechanism: mechanism.to_string() });
    assert_eq!(code(answer.error_code), ErrorCode::None);
    client
}

#[test]
fn a_proof_that_was_overheard_proves_nothing_and_neither_does_one_of_another_channel() {
    const FIRST: &str = "n=alice,r=fyko+d2lbbFgONRv9qkxdawL";
    let dir = data_dir();
    add_alice(dir.path());
    let map = "listener.security.protocol.map=PLAINTEXT:SASL_PLAINTEXT";
    let broker = Broker::start(dir.path(), &["-o", map, "-o", "sasl.enabled.mechanisms=SCRAM-SHA-512"]);
    let hash = Hash::Sha512;
    let challenged = |client: &mut Client, header: &str| {
        let (code, challenge) = say(client, format!("{header}{FIRST}"));
        (code == ErrorCode::None).then(|| String::from_utf8(challenge).unwrap())
    };
    // Alice's own exchange, and what somebody on the way has heard of it.
    let mut alice = shaken(&broker, hash);
    let challenge = challenged(&mut alice, "n,,").unwrap();
    let last = crate::sasl::scram_last(hash, FIRST, &challenge, "wonder land", "n,,");
    assert_eq!(say(&mut alice, &last).0, ErrorCode::None);
    let mut thief = shaken(&broker, hash);
    assert_ne!(challenged(&mut thief, "n,,").unwrap(), challenge, "the broker's part is another one");
    assert_eq!(say(&mut thief, &last).0, ErrorCode::SaslAuthenticationFailed);
    assert!(thief.is_closed());
    // On alice's own connection once more: nobody asks for it.
    assert_eq!(say(&mut alice, &last).0, ErrorCode::IllegalSaslState);
    // Channels are not bound here: who demands it, or says at the end what it has not said first, is refused.
    for header in ["p=tls-server-end-point,,", "p=tls-exporter,,", "p=,,", "x,,", "n,a=bob,"] {
        let mut client = shaken(&broker, hash);
        assert_eq!(challenged(&mut client, header), None, "{header}");
        assert!(client.is_closed());
    }
    for (first, at_the_end, holds) in [
        ("n,,", "y,,", false),
        ("y,,", "n,,", false),
        ("n,,", "p=tls-exporter,,", false),
        ("y,,", "y,,", true),
    ] {
        let mut client = shaken(&broker, hash);
        let challenge = challenged(&mut client, first).unwrap();
        let last = crate::sasl::scram_last(hash, FIRST, &challenge, "wonder land", at_the_end);
        assert_eq!(say(&mut client, &last).0 == ErrorCode::None, holds, "{first} {at_the_end}");
    }
}

/// What an issuer's server does with a client that has asked.
#[derive(Clone, Copy, Debug)]
enum Does {
    Answers,
    Hangs,
    Drips,
    SaysEndlessly,
    SaysEndlesslyInChunks,
    HasEndlessHeaders,
    Redirects,
}

/// An issuer's server on a free port; its address.
fn issuers_server(keys: String, does: Arc<Mutex<Does>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (keys, does) = (keys.clone(), *does.lock().unwrap());
            thread::spawn(move || serve(stream.unwrap(), &keys, does));
        }
    });
    format!("http://{address}/keys")
}

fn serve(mut stream: TcpStream, keys: &str, does: Does) {
    const MUCH: usize = 100 << 20;
    let _ = stream.read(&mut [0; 4096]);
    let block = vec![b' '; 64 << 10];
    let mut endlessly = |head: String, before: &str, after: &str| {
        let _ = stream.write_all(head.as_bytes());
        for _ in 0..MUCH / block.len() {
            let parts = [before.as_bytes(), &block, after.as_bytes()].concat();
            if stream.write_all(&parts).is_err() {
                return;
            }
        }
    };
    match does {
        Does::Answers => {
            let length = keys.len();
            let _ = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{keys}");
        }
        Does::Hangs => thread::sleep(Duration::from_secs(30)),
        Does::Drips => {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n");
            while stream.write_all(b" ").is_ok() {
                thread::sleep(Duration::from_millis(20));
            }
        }
        Does::SaysEndlessly => {
            endlessly(format!("HTTP/1.1 200 OK\r\nContent-Length: {MUCH}\r\n\r\n"), "", "")
        }
        Does::SaysEndlesslyInChunks => {
            endlessly(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned(),
                "10000\r\n",
                "\r\n",
            );
        }
        Does::HasEndlessHeaders => endlessly("HTTP/1.1 200 OK\r\n".to_owned(), "x:", "\r\n"),
        Does::Redirects => {
            // To where the keys are: at the same server.
            let place = stream.local_addr().unwrap();
            let _ = write!(
                stream,
                "HTTP/1.1 302 Found\r\nLocation: http://{place}/other\r\nContent-Length: 0\r\n\r\n"
            );
        }
    }
    let _ = stream.shutdown(Shutdown::Both);
}

#[test]
fn an_issuer_that_says_nothing_or_never_ends_leaves_the_keys_that_are_known() {
    const OFTEN: [&str; 2] = [
        "sasl.oauthbearer.jwks.endpoint.refresh.ms=100",
        "sasl.oauthbearer.jwks.endpoint.retry.backoff.max.ms=100",
    ];
    let alike = [
        Does::Hangs,
        Does::Drips,
        Does::SaysEndlessly,
        Does::SaysEndlesslyInChunks,
        Does::HasEndlessHeaders,
        Does::Redirects,
    ];
    // A broker for each, side by side: some take as long as the broker is patient.
    thread::scope(|scope| {
        for mode in alike {
            scope.spawn(move || {
                let (dir, issuer) = (data_dir(), Issuer::new("a"));
                let does = Arc::new(Mutex::new(Does::Answers));
                let url = issuers_server(issuer.keys(), does.clone());
                let broker = start_with_keys(dir.path(), &url, &OFTEN);
                until("the keys are there", || reads(&broker, "done") > 0);
                let token = issuer.token("alice", 600);
                assert!(is_believed(&broker, &token));
                let before = broker.resident();
                *does.lock().unwrap() = mode;
                let refused = reads(&broker, "refused");
                until("it is refused", || reads(&broker, "refused") > refused);
                assert!(is_believed(&broker, &token), "{mode:?}: the keys before stay");
                let grown = broker.resident().saturating_sub(before);
                assert!(grown < 16 << 20, "{mode:?}: {grown} bytes more");
                *does.lock().unwrap() = Does::Answers;
                let done = reads(&broker, "done");
                until("it is asked again", || reads(&broker, "done") > done);
                // In the middle of an answer that does not come, a stop is none the slower.
                *does.lock().unwrap() = mode;
                thread::sleep(Duration::from_millis(300));
                let began = Instant::now();
                assert_eq!(broker.stop().0, Some(0));
                assert!(began.elapsed() < Duration::from_secs(8), "{mode:?}: {:?}", began.elapsed());
            });
        }
    });
}

/// Names without a control character, whose letters mean something where lines are read or written. They are
/// so few that no line about them is left out.
const NAMES: [&str; 5] = [
    "o'neil \"the quoted\"",
    "back\\slash\\n",
    "\u{dc}n\u{ef}c\u{f8}de \u{1f511}",
    "right\u{202e}tfel",
    "{le=\"0.1\"} 7, a=b;c|d",
];

#[test]
fn a_name_of_any_letters_breaks_no_line_of_the_log_and_none_of_the_metrics() {
    let (dir, issuer) = (data_dir(), Issuer::new("a"));
    let keys = dir.path().join("keys.json");
    fs::write(&keys, issuer.keys()).unwrap();
    let url = format!("file://{}", keys.display());
    let more = ["authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer"];
    let arguments =
        [crate::tokens::arguments(&url, &more), vec!["--log-format".to_owned(), "json".to_owned()]];
    let arguments = arguments.concat();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (broker, log) = Broker::start_logging(dir.path(), &arguments);
    for name in NAMES {
        let token = issuer.token(name, 600);
        assert!(is_believed(&broker, &token), "{name}");
        let (mut client, _) = crate::tokens::show(&broker, &token);
        assert_eq!(code(client.create("t", 1, &[]).error_code), ErrorCode::TopicAuthorizationFailed);
        // And one that ends badly, so that its user stands in the line about it.
        let request = JoinGroupRequest { group_id: "g".to_owned(), ..Default::default() };
        let _ = client.send(5, &request);
        client.stream().write_all(&(-7i32).to_be_bytes()).unwrap();
    }
    for name in ["two\nlines", "nul\0", "\u{1b}[31mred", "carriage\rreturn", "", " "] {
        assert!(!is_believed(&broker, &issuer.token(name, 600)), "{name:?}");
    }
    let (_, page) = get(broker.metrics.unwrap(), "/metrics");
    for line in page.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let (series, value) = line.rsplit_once(' ').unwrap();
        assert!(value.parse::<f64>().is_ok() && !NAMES.iter().any(|name| series.contains(name)), "{line}");
    }
    broker.stop();
    let lines: Vec<Value> =
        log.join().unwrap().lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    for name in NAMES {
        let denied = lines.iter().find(|line| line["principal"] == json!(format!("User:{name}")));
        assert!(denied.is_some_and(|line| line["message"] == "denied"), "{name}: {lines:?}");
    }
}

#[test]
fn a_certificate_of_any_letters_breaks_no_line_of_the_log() {
    let (dir, authority) = (data_dir(), Authority::new());
    let more = [
        "ssl.client.auth=required",
        r"ssl.principal.mapping.rules=RULE:(?s)^CN=nobody.*$/nobody/,RULE:(?s)^CN=(.+),O=.*$/$1/",
        "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    ];
    for format in ["json", "text"] {
        let arguments = authority.broker("SSL", &more);
        let arguments = [arguments, vec!["--log-format".to_owned(), format.to_owned()]].concat();
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let (broker, log) = Broker::start_logging(dir.path(), &arguments);
        let names =
            ["two\nlines", "\u{1b}[2Jgone", "quoted \"name\"", "tab\tand\r\nmore", "\u{fc}ber\u{2028}"];
        for (number, name) in names.into_iter().enumerate() {
            let keystore = authority.write(&format!("{number}.pem"), name);
            let mut client = connect(&broker, &authority.access_with(&keystore)).unwrap();
            assert_eq!(code(client.create("t", 1, &[]).error_code), ErrorCode::TopicAuthorizationFailed);
        }
        broker.stop();
        let log = log.join().unwrap();
        let denied = log.lines().filter(|line| line.contains("denied")).count();
        assert_eq!(denied, names.len(), "{log}");
        for line in log.split('\n') {
            assert!(!line.contains(|letter: char| letter.is_control()), "{line:?}");
            if format == "json" && !line.is_empty() {
                serde_json::from_str::<Value>(line).expect(line);
            }
        }
    }
}

/// A challenge is no way to find out who is there.
#[test]
fn a_made_up_user_is_challenged_like_one_that_is_there() {
    let dir = data_dir();
    add_alice(dir.path());
    let map = "listener.security.protocol.map=PLAINTEXT:SASL_PLAINTEXT";
    let broker = Broker::start(dir.path(), &["-o", map, "-o", "sasl.enabled.mechanisms=SCRAM-SHA-512"]);
    let salt = |user: &str| {
        let mut client = shaken(&broker, Hash::Sha512);
        let (code, challenge) = say(&mut client, format!("n,,n={user},r=abc"));
        assert_eq!(code, ErrorCode::None);
        let challenge = String::from_utf8(challenge).unwrap();
        let field =
            |name: &str| challenge.split(',').find_map(|field| field.strip_prefix(name)).unwrap().to_owned();
        (BASE64.decode(field("s=")).unwrap(), field("i="))
    };
    let (known, made_up) = (salt("alice"), salt("nobody"));
    assert_eq!((known.0.len(), known.1), (made_up.0.len(), made_up.1.clone()), "they look alike");
    assert_eq!(salt("nobody"), made_up, "and stay what they are");
    assert_ne!(salt("somebody").0, made_up.0);
}
