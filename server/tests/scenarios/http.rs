//! The HTTP front: who is let in, what all its answers have in common, and what it does with those that mean
//! no good.

mod by_schema;
pub(crate) mod client;
mod hosts;
mod rest;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject as _;
use serde_json::json;
use strandline_tls::rustls;

use crate::broker::{Broker, data_dir};
use crate::log::strandline;
use client::Http;

/// The arguments that have the front listen.
pub(crate) const LISTEN: [&str; 2] = ["--http-listen", "127.0.0.1:0"];

/// A listener whose users are admin (hunter2), who may do all, and bob (builder), who may do what rules say.
pub(crate) const USERS: [&str; 10] = [
    "-o",
    "listener.security.protocol.map=PLAINTEXT:SASL_PLAINTEXT",
    "-o",
    "sasl.enabled.mechanisms=PLAIN",
    "-o",
    "listener.name.plaintext.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule \
     required user_admin=\"hunter2\" user_bob=\"builder\";",
    "-o",
    "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    "-o",
    "super.users=User:admin",
];

/// A broker with the front, and a client of it.
pub(crate) fn start(data: &Path, more: &[&str]) -> (Broker, Http) {
    let broker = Broker::start(data, &[&LISTEN, more].concat());
    let client = Http::new(broker.http.expect("it listens"));
    (broker, client)
}

#[test]
fn health_and_metrics_are_answered_and_what_is_not_there_is_told_in_json() {
    let data = data_dir();
    let broker = Broker::start(data.path(), &["-o", "http.listen=127.0.0.1:0"]);
    let mut client = Http::new(broker.http.unwrap());
    for path in ["/healthz", "/readyz"] {
        assert_eq!(client.get(path).status, 200, "{path}");
    }
    let metrics = client.get("/metrics");
    assert_eq!(metrics.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    assert!(metrics.text().contains("\nstrandline_"), "{}", metrics.text());
    let nothing = client.get("/nope/at/all");
    assert_eq!(nothing.expect(404), json!({"error_code": 404, "message": "HTTP 404 Not Found"}));
    let given = client.ask("GET", "/nope", &[("X-Request-Id", "mine-7")], b"");
    assert_eq!(given.header("x-request-id"), Some("mine-7"));
    let made: Vec<_> =
        (0..2).map(|_| client.get("/nope").header("x-request-id").unwrap().to_owned()).collect();
    assert!(made[0].len() == 32 && made[0] != made[1], "{made:?}");
    assert_eq!(client.ask("PUT", "/metrics", &[], b"").expect(405)["error_code"], 405);
}

#[test]
fn users_of_the_broker_are_let_in_by_basic_and_nobody_else() {
    let data = data_dir();
    let users = "listener.name.plaintext.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.\
                 PlainLoginModule required user_admin=\"hunter2\";";
    let settings = [
        "-o",
        "listener.security.protocol.map=PLAINTEXT:SASL_PLAINTEXT",
        "-o",
        "sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256",
        "-o",
        users,
        "-o",
        "connection.failed.authentication.delay.ms=200",
    ];
    let (broker, mut nobody) = start(data.path(), &settings);
    let address = broker.http.unwrap();
    assert_eq!(nobody.get("/healthz").status, 200, "health is for everybody");
    let asked = nobody.get("/metrics");
    assert_eq!(asked.expect(401)["error_code"], 40101);
    assert!(asked.header("www-authenticate").unwrap().starts_with("Basic "));
    let mut admin = Http::new(address).user("admin", "hunter2");
    assert_eq!(admin.get("/metrics").status, 200);
    let since = Instant::now();
    assert_eq!(Http::new(address).user("admin", "hunter3").get("/metrics").status, 401);
    assert!(since.elapsed() >= Duration::from_millis(200), "who is not believed waits");

    let bootstrap = broker.address.to_string();
    let settings = data.path().join("admin.properties");
    let login = "security.protocol=SASL_PLAINTEXT\nsasl.mechanism=PLAIN\nsasl.jaas.config=org.apache.kafka.\
                 common.security.plain.PlainLoginModule required username=\"admin\" password=\"hunter2\";\n";
    std::fs::write(&settings, login).unwrap();
    let set = |password: &str| {
        let arguments = ["user", "add", "bob", "--mechanism", "SCRAM-SHA-256", "--bootstrap", &bootstrap];
        let arguments = [&arguments[..], &["--command-config", settings.to_str().unwrap()]].concat();
        strandline(&arguments, &format!("{password}\n"));
    };
    set("builder");
    let mut bob = Http::new(address).user("bob", "builder");
    for _ in 0..2 {
        assert_eq!(bob.get("/metrics").status, 200);
    }
    set("destroyer");
    assert_eq!(bob.get("/metrics").status, 401, "the password is another one now");
}

#[test]
fn where_there_are_rules_metrics_are_for_those_that_may_describe_the_cluster() {
    let data = data_dir();
    let settings = [
        "-o",
        "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "-o",
        "super.users=User:admin",
    ];
    let (_broker, mut client) = start(data.path(), &settings);
    assert_eq!(client.get("/metrics").expect(403)["error_code"], 40301);
    assert_eq!(client.get("/healthz").status, 200);
}

#[test]
fn at_the_stop_what_is_under_way_is_answered_and_silent_clients_hold_nobody_up() {
    let data = data_dir();
    let (broker, mut client) = start(data.path(), &[]);
    assert_eq!(client.get("/healthz").status, 200);
    let mut half = TcpStream::connect(broker.http.unwrap()).unwrap();
    half.write_all(b"GET /healthz HTTP/1.1\r\nHost:").unwrap();
    let since = Instant::now();
    assert_eq!(broker.stop().0, Some(0));
    assert!(since.elapsed() < Duration::from_secs(8), "{:?}", since.elapsed());
    let mut rest = Vec::new();
    // Reset or closed: it is over.
    let _ = half.read_to_end(&mut rest);
}

#[test]
fn the_front_is_like_the_listener_that_its_setting_names() {
    let settings = |like: &'static str| {
        let map = "listener.security.protocol.map=IN:PLAINTEXT,OUT:SASL_PLAINTEXT";
        let users = "listener.name.out.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.\
                     PlainLoginModule required user_admin=\"hunter2\";";
        let listeners = "listeners=IN://127.0.0.1:0,OUT://127.0.0.1:0";
        let all = [listeners, map, "sasl.enabled.mechanisms=PLAIN", users, "http.listen=127.0.0.1:0", like];
        all.into_iter().flat_map(|setting| ["-o", setting]).collect::<Vec<_>>()
    };
    for (like, status) in [("http.listener.name=in", 200), ("http.listener.name=OUT", 401)] {
        let data = data_dir();
        let data = data.path().to_str().unwrap();
        let (broker, _log) = Broker::start_bare(&[&["--data-dir", data], &settings(like)[..]].concat());
        assert_eq!(Http::new(broker.http.unwrap()).get("/metrics").status, status, "{like}");
    }
    let data = data_dir();
    let refused = Broker::refused(data.path(), &["-o", "http.listener.name=NOPE"]);
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains("http.listener.name=NOPE: expected the name of a listener of clients"), "{said}");
}

#[test]
fn a_listener_with_tls_has_its_keys_here_as_well() {
    let authority = crate::tls::Authority::new();
    let data = data_dir();
    let arguments = authority.broker("SSL", &[]);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).chain(LISTEN).collect();
    let broker = Broker::start(data.path(), &arguments);
    let address = broker.http.unwrap();
    let mut roots = rustls::RootCertStore::empty();
    let pem = std::fs::read(authority.path("authority.pem")).unwrap();
    for certificate in rustls::pki_types::CertificateDer::pem_slice_iter(&pem) {
        roots.add(certificate.unwrap()).unwrap();
    }
    let config = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let name = "localhost".try_into().unwrap();
    let session = rustls::ClientConnection::new(config.into(), name).unwrap();
    let stream = rustls::StreamOwned::new(session, TcpStream::connect(address).unwrap());
    let mut stream = std::io::BufReader::new(stream);
    stream.get_mut().write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    assert_eq!(client::read(&mut stream, false).0.status, 200);
    let mut plain = TcpStream::connect(address).unwrap();
    plain.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut heard = Vec::new();
    let _ = plain.read_to_end(&mut heard);
    assert!(!heard.starts_with(b"HTTP/1.1 200"), "nothing is answered without TLS");
}

/// Pieces of one byte once took a unit of memory each: 400 kB of them held up every other body for 30 s.
#[test]
fn d11_a_body_in_tiny_pieces_holds_up_nobody() {
    let data = data_dir();
    let (broker, mut client) = start(data.path(), &[]);
    let mut slow = TcpStream::connect(broker.http.unwrap()).unwrap();
    let head = "POST /subjects/s HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\n";
    slow.write_all(head.as_bytes()).unwrap();
    slow.write_all("1\r\n \r\n".repeat(70_000).as_bytes()).unwrap();
    let since = Instant::now();
    let topic = json!({"topic_name": "t", "partitions_count": 1});
    assert_eq!(client.post("/admin/topics", "application/vnd.kafka.v2+json", &topic).status, 201);
    assert!(since.elapsed() < Duration::from_secs(10), "{:?}", since.elapsed());
    drop(slow);
}
