//! Listeners with TLS: what travels over them, whom they let in, what they do with what is no TLS, and how
//! their keys are replaced.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rcgen::{CertificateParams, DistinguishedName, DnType, Issuer, KeyPair};
use strandline_client::{Access, Address, ConnectError, Connection, Limits};
use strandline_protocol::messages::*;
use strandline_protocol::wire::ErrorCode;

use crate::broker::{Broker, data_dir};
use crate::client::{Client, PATIENCE, batch, fetch, values};
use crate::log::strandline;
use crate::metrics::get;

/// An authority, and what it has signed, as files.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    dir: tempfile::TempDir,
}

impl Authority {
    pub(crate) fn new() -> Authority {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "the authority");
        let certificate = params.self_signed(&key).unwrap().pem();
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("authority.pem"), certificate).unwrap();
        Authority { issuer: Issuer::new(params, key), dir }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Key and certificate of somebody, as one PEM.
    fn signed(&self, common_name: &str, names: &[&str]) -> String {
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, "Example, Inc.");
        params.distinguished_name.push(DnType::CommonName, common_name);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        format!("{}{}", key.serialize_pem(), certificate.pem())
    }

    /// The same, as a file.
    pub(crate) fn write(&self, file: &str, common_name: &str) -> PathBuf {
        let path = self.path(file);
        fs::write(&path, self.signed(common_name, &["localhost", "127.0.0.1"])).unwrap();
        path
    }

    /// The settings of a broker with this key, for a listener `PLAINTEXT` that is none.
    pub(crate) fn broker(&self, protocol: &str, more: &[&str]) -> Vec<String> {
        let keystore = self.path("broker.pem");
        if !keystore.exists() {
            self.write("broker.pem", "the broker");
        }
        let mut settings = vec![
            format!("listener.security.protocol.map=PLAINTEXT:{protocol}"),
            "ssl.keystore.type=PEM".to_owned(),
            format!("ssl.keystore.location={}", keystore.display()),
            "ssl.truststore.type=PEM".to_owned(),
            format!("ssl.truststore.location={}", self.path("authority.pem").display()),
        ];
        settings.extend(more.iter().map(|setting| (*setting).to_owned()));
        settings.into_iter().flat_map(|setting| ["-o".to_owned(), setting]).collect()
    }

    fn start(&self, data: &Path, more: &[&str]) -> Broker {
        let arguments = self.broker("SSL", more);
        Broker::start(data, &arguments.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// How a client connects that trusts the authority.
    pub(crate) fn access(&self, more: &[(&str, &str)]) -> Access {
        let authority = self.path("authority.pem").display().to_string();
        let own = [
            ("security.protocol", "SSL"),
            ("ssl.truststore.type", "PEM"),
            ("ssl.truststore.location", authority.as_str()),
        ];
        let pairs = own.iter().chain(more).map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Access::of(&pairs.collect::<Vec<_>>()).unwrap()
    }

    /// A client that shows this key as well.
    pub(crate) fn access_with(&self, keystore: &Path) -> Access {
        let keystore = keystore.to_str().unwrap();
        self.access(&[("ssl.keystore.type", "PEM"), ("ssl.keystore.location", keystore)])
    }
}

pub(crate) fn connect(broker: &Broker, access: &Access) -> Result<Client, ConnectError> {
    let address = Address { host: broker.address.ip().to_string(), port: broker.address.port() };
    let limits = Limits { connect: PATIENCE, request: PATIENCE, ..Limits::default() };
    Connection::open_by(&address, &limits, access).map(Client::over)
}

pub(crate) fn metric(broker: &Broker, name: &str) -> u64 {
    let (_, page) = get(broker.metrics.unwrap(), "/metrics");
    let lines = page.lines().filter(|line| line.starts_with(name));
    lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok()).sum()
}

/// A file takes the place of another, so that nobody reads half of it.
fn put(path: &Path, content: &str) {
    let beside = path.with_extension("new");
    fs::write(&beside, content).unwrap();
    fs::rename(&beside, path).unwrap();
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn records_travel_over_either_version_as_they_are_in_small_answers_and_in_large_ones() {
    let (dir, authority) = (data_dir(), Authority::new());
    let broker = authority.start(dir.path(), &["fetch.max.bytes=20000000"]);
    let mut written = Vec::new();
    connect(&broker, &authority.access(&[])).unwrap().create("t", 1, &[("segment.bytes", "1048576")]);
    for version in ["TLSv1.2", "TLSv1.3"] {
        let access = authority.access(&[("ssl.enabled.protocols", version)]);
        let mut client = connect(&broker, &access).unwrap();
        for size in [1, 100, 16_000, 16_384, 300_000, 900_000, 5, 700_000] {
            let value = format!("{version} {size} {}", "x".repeat(size));
            assert_eq!(client.produce("t", 0, batch(&[&value])).error_code, 0);
            written.push(value);
        }
        let read: Vec<String> = client.read_all("t", 0, 0).into_iter().map(|(_, value)| value).collect();
        assert!(read == written, "{version}");
        // In one answer of many files, and several at once.
        let mut request = fetch("t", &[(0, 0)]);
        request.max_bytes = 20_000_000;
        request.topics[0].partitions[0].partition_max_bytes = 20_000_000;
        for _ in 0..3 {
            client.send(12, &request);
        }
        for _ in 0..3 {
            let frame = client.read_frame().unwrap();
            let (_, response) = FetchResponse::decode(&frame, 12).unwrap();
            let found = values(&response.responses[0].partitions[0].records);
            assert!(
                found.len() > 1 && found.iter().all(|(offset, value)| *value == written[*offset as usize])
            );
        }
    }
}

#[test]
fn what_is_no_tls_costs_its_connection_and_a_line() {
    let (dir, authority) = (data_dir(), Authority::new());
    let arguments =
        [authority.broker("SSL", &[]), vec!["--metrics-listen".to_owned(), "127.0.0.1:0".to_owned()]]
            .concat();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (broker, log) = Broker::start_logging(dir.path(), &arguments);
    let mut good = connect(&broker, &authority.access(&[])).unwrap();
    // A client of a plaintext listener, and a browser.
    let hello = [0, 0, 0, 20, 0, 18, 0, 0, 0, 0, 0, 1, 0, 1, b'x'];
    let mut random = fastrand::Rng::with_seed(18);
    let mut attempts: Vec<Vec<u8>> =
        vec![hello.to_vec(), b"GET / HTTP/1.1\r\n\r\n".to_vec(), vec![22], vec![22, 3, 1]];
    // A record that is larger than any, a hello that is none, noise behind a good beginning.
    attempts.push([&[22, 3, 1, 0xff, 0xff][..], &[1; 70_000]].concat());
    attempts.push([&[22, 3, 1, 0, 5][..], &[1, 0, 0, 1, 0]].concat());
    for length in [5, 50, 500, 40_000] {
        let noise: Vec<u8> = (0..length).map(|_| random.u8(..)).collect();
        attempts.push([&[22, 3, 3, 1, 0][..], &noise].concat());
        attempts.push(noise);
    }
    let count = attempts.len() as u64;
    for attempt in attempts {
        let mut stream = TcpStream::connect(broker.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let _ = stream.write_all(&attempt);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut answer = Vec::new();
        // It may be cut off before all was taken.
        let _ = stream.read_to_end(&mut answer);
        // An alert and no more.
        assert!(answer.len() <= 7, "{answer:?}");
    }
    until("each is counted", || metric(&broker, "strandline_tls_handshakes_failed_total") == count);
    assert_eq!(good.call(12, &MetadataRequest::default()).brokers.len(), 1, "others go on");
    // Who says nothing at all is no line.
    drop(TcpStream::connect(broker.address).unwrap());
    until("it is gone", || metric(&broker, "strandline_connections{") == 1);
    broker.stop();
    let log = log.join().unwrap();
    assert!(log.contains("it may be one for a plaintext listener"), "{log}");
    let lines = log.lines().filter(|line| line.contains("TLS handshake failed")).count();
    assert!((1..=10).contains(&lines), "{lines} lines");
}

#[test]
fn a_handshake_that_does_not_go_on_holds_a_seat_until_its_time_is_over() {
    let (dir, authority) = (data_dir(), Authority::new());
    let arguments = authority.broker("SSL", &["max.connections=3"]);
    let arguments = [arguments, vec!["--metrics-listen".to_owned(), "127.0.0.1:0".to_owned()]].concat();
    let broker = Broker::start(dir.path(), &arguments.iter().map(String::as_str).collect::<Vec<_>>());
    let mut good = connect(&broker, &authority.access(&[])).unwrap();
    let began = Instant::now();
    let stalled = [&[][..], &[22, 3, 1, 0, 200, 1]].map(|said: &[u8]| {
        let mut stream = TcpStream::connect(broker.address).unwrap();
        stream.write_all(said).unwrap();
        stream
    });
    until("they have seats", || metric(&broker, "strandline_connections{") == 3);
    assert!(connect(&broker, &authority.access(&[])).is_err(), "no seat is left");
    for mut stream in stalled {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
    }
    let took = began.elapsed();
    assert!((Duration::from_secs(9)..Duration::from_secs(30)).contains(&took), "{took:?}");
    until("the seats are free", || connect(&broker, &authority.access(&[])).is_ok());
    assert_eq!(good.call(12, &MetadataRequest::default()).brokers.len(), 1);
    // At the stop, nobody waits for one.
    let _stalled = TcpStream::connect(broker.address).unwrap();
    until("it has a seat", || metric(&broker, "strandline_connections{") >= 2);
    let began = Instant::now();
    assert_eq!(broker.stop().0, Some(0));
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
}

/// Who a client is taken for, as the log has it when its connection ends badly.
fn taken_for(broker: Broker, log: std::thread::JoinHandle<String>, client: Client) -> String {
    let mut client = client;
    // More than a client may send before it is known, or ever.
    client.call(12, &MetadataRequest::default());
    let request = JoinGroupRequest { group_id: "g".to_owned(), ..Default::default() };
    let _ = client.call(5, &request);
    drop(client);
    broker.stop();
    log.join().unwrap()
}

#[test]
fn a_client_is_let_in_by_its_certificate_and_called_as_the_rules_say() {
    let (dir, authority, other) = (data_dir(), Authority::new(), Authority::new());
    let truck = authority.write("truck.pem", "truck-7");
    let stranger = other.write("stranger.pem", "truck-7");
    let rules = r"ssl.principal.mapping.rules=RULE:^CN=(truck-[0-9]+),O=.*$/fleet-$1/U,RULE:^CN=nobody$/x/";
    for (auth, without) in [("required", false), ("requested", true)] {
        let auth = format!("ssl.client.auth={auth}");
        let arguments =
            [authority.broker("SSL", &[&auth, rules]), vec!["--log-level".to_owned(), "debug".to_owned()]]
                .concat();
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let (broker, log) = Broker::start_logging(dir.path(), &arguments);
        assert_eq!(connect(&broker, &authority.access(&[])).is_ok(), without, "{auth}");
        let refused = connect(
            &broker,
            &authority.access(&[
                ("ssl.keystore.type", "PEM"),
                ("ssl.keystore.location", stranger.to_str().unwrap()),
            ]),
        );
        assert!(refused.is_err(), "{auth}: it is signed by another authority");
        // By no rule: it is trusted, and nobody.
        let unnamed = authority.write("unnamed.pem", "car-1");
        assert!(connect(&broker, &authority.access_with(&unnamed)).is_err(), "{auth}");
        let client = connect(&broker, &authority.access_with(&truck)).unwrap();
        let log = taken_for(broker, log, client);
        assert!(log.contains("User:FLEET-TRUCK-7"), "{auth}: {log}");
        assert!(
            log.contains(r"no rule of ssl.principal.mapping.rules is for CN=car-1,O=Example\\, Inc.")
                || log.contains(r"no rule of ssl.principal.mapping.rules is for CN=car-1,O=Example\, Inc."),
            "{log}"
        );
    }
}

#[test]
fn keys_are_replaced_while_it_runs_and_a_pair_that_cannot_be_used_replaces_none() {
    let (dir, authority) = (data_dir(), Authority::new());
    let arguments =
        [authority.broker("SSL", &[]), vec!["--metrics-listen".to_owned(), "127.0.0.1:0".to_owned()]]
            .concat();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (broker, log) = Broker::start_logging(dir.path(), &arguments);
    let by_name = |name: &str| {
        // A certificate for one name alone shows which one it is.
        let address = Address { host: name.to_owned(), port: broker.address.port() };
        Connection::open_by(&address, &Limits::default(), &authority.access(&[])).is_ok()
    };
    let reloads = |result: &str| {
        metric(
            &broker,
            &format!("strandline_tls_key_reloads_total{{listener=\"PLAINTEXT\",result=\"{result}\"}}"),
        )
    };
    let mut early = connect(&broker, &authority.access(&[])).unwrap();
    assert!(by_name("127.0.0.1"));

    // SIGHUP: at once.
    let keystore = authority.path("broker.pem");
    put(&keystore, &authority.signed("second", &["localhost"]));
    broker.hang_up();
    until("SIGHUP has them read anew", || reloads("done") == 1);
    assert!(by_name("localhost") && !by_name("127.0.0.1"), "the new one is shown");
    assert_eq!(early.call(12, &MetadataRequest::default()).brokers.len(), 1, "who is connected goes on");

    // A key without its certificate: the ones before stay.
    let half = format!(
        "{}{}",
        KeyPair::generate().unwrap().serialize_pem(),
        certificate(&authority.signed("x", &["x"]))
    );
    put(&keystore, &half);
    broker.hang_up();
    until("it is refused", || reloads("refused") == 1);
    assert!(by_name("localhost"));

    // A file that changes is seen without a word.
    put(&keystore, &authority.signed("third", &["localhost", "127.0.0.1"]));
    until("a changed file is seen", || by_name("127.0.0.1"));
    assert_eq!((reloads("done"), reloads("refused")), (2, 1));

    // By IncrementalAlterConfigs, which refuses what cannot be used.
    let other = authority.path("other.pem");
    fs::write(&other, authority.signed("fourth", &["localhost"])).unwrap();
    let mut admin = connect(&broker, &authority.access(&[])).unwrap();
    let mut alter = |path: &str| {
        let config = IncrementalAlterableConfig {
            name: "listener.name.plaintext.ssl.keystore.location".to_owned(),
            config_operation: 0,
            value: Some(path.to_owned()),
        };
        let resource = IncrementalAlterConfigsResource {
            resource_type: 4,
            resource_name: "1".to_owned(),
            configs: vec![config],
        };
        let request = IncrementalAlterConfigsRequest { resources: vec![resource], validate_only: false };
        let answer = admin.call(1, &request).responses.remove(0);
        (ErrorCode::try_from(answer.error_code).unwrap(), answer.error_message.unwrap_or_default())
    };
    let (code, why) = alter("/nowhere/x.pem");
    assert_eq!(code, ErrorCode::InvalidRequest);
    assert!(why.contains("listener PLAINTEXT: ssl.keystore.location: can not read /nowhere/x.pem"), "{why}");
    assert!(by_name("127.0.0.1"));
    assert_eq!(alter(other.to_str().unwrap()), (ErrorCode::None, String::new()));
    assert!(by_name("localhost") && !by_name("127.0.0.1"), "in force when it is answered");
    // The same name again: its file is read again.
    fs::write(&other, authority.signed("fifth", &["127.0.0.1"])).unwrap();
    assert_eq!(alter(other.to_str().unwrap()).0, ErrorCode::None);
    assert!(by_name("127.0.0.1") && !by_name("localhost"));
    broker.stop();
    let log = log.join().unwrap();
    assert!(log.contains("the old ones stay in force"), "{log}");

    let broker = Broker::start(dir.path(), &arguments);
    let address = Address { host: "127.0.0.1".to_owned(), port: broker.address.port() };
    assert!(
        Connection::open_by(&address, &Limits::default(), &authority.access(&[])).is_ok(),
        "what was altered holds after a restart"
    );
}

/// The certificate of a PEM.
fn certificate(pem: &str) -> &str {
    &pem[pem.find("-----BEGIN CERTIFICATE-----").unwrap()..]
}

#[test]
fn a_start_without_keys_that_can_be_used_is_refused_with_the_reason() {
    let (dir, authority) = (data_dir(), Authority::new());
    for (more, expected) in [
        (
            &["ssl.keystore.location=/nowhere"][..],
            "listener PLAINTEXT: ssl.keystore.location: can not read /nowhere",
        ),
        (
            &["ssl.keystore.location="],
            "listener PLAINTEXT: ssl.keystore.location: a listener with TLS needs a key",
        ),
        (
            &["ssl.keystore.type=JKS"],
            "listener PLAINTEXT: ssl.keystore.type: it is JKS, and the store is PEM",
        ),
        (
            &["ssl.principal.mapping.rules=RULE:x"],
            "ssl.principal.mapping.rules=RULE:x: expected rules for names; rule 1",
        ),
        (&["ssl.client.auth=perhaps"], "ssl.client.auth=perhaps: expected"),
    ] {
        let arguments = authority.broker("SSL", more);
        let refused = Broker::refused(dir.path(), &arguments.iter().map(String::as_str).collect::<Vec<_>>());
        let said = String::from_utf8(refused.stderr).unwrap();
        assert!(!refused.status.success() && said.contains(expected), "{said}");
    }
}

#[test]
fn the_command_line_connects_by_a_file_of_kafkas_names() {
    let (dir, authority) = (data_dir(), Authority::new());
    let users = "listener.name.plaintext.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule \
                 required user_alice=\"wonder land\";";
    let mechanisms = "sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512";
    let lifetime = "connections.max.reauth.ms=1500";
    let arguments = authority.broker("SASL_SSL", &[users, mechanisms, lifetime]);
    let broker = Broker::start(dir.path(), &arguments.iter().map(String::as_str).collect::<Vec<_>>());
    let bootstrap = format!("localhost:{}", broker.address.port());
    let file = authority.path("client.properties");
    let configure = |mechanism: &str, password: &str| {
        let text = format!(
            "# as Kafka's tools take it\nsecurity.protocol=SASL_SSL\nssl.truststore.type=PEM\n\
             ssl.truststore.location={}\nsasl.mechanism={mechanism}\n\
             sasl.jaas.config=any.Module required username=\"alice\" password=\"{password}\";\nlinger.ms=5\n",
            authority.path("authority.pem").display()
        );
        fs::write(&file, text).unwrap();
    };
    let run = |line: &[&str], input: &str| {
        let more = ["--bootstrap", &bootstrap, "--command-config", file.to_str().unwrap()];
        strandline(&[line, &more].concat(), input)
    };
    configure("PLAIN", "wonder land");
    assert_eq!(run(&["topic", "create", "t"], "").0, 0);
    assert_eq!(
        run(&["user", "add", "alice", "--mechanism", "SCRAM-SHA-256,SCRAM-SHA-512"], "other land\n").0,
        0
    );
    for mechanism in ["SCRAM-SHA-256", "SCRAM-SHA-512"] {
        configure(mechanism, "other land");
        let (code, _, told) = run(&["produce", "t"], &format!("by {mechanism}\n"));
        assert_eq!(code, 0, "{told}");
    }
    let (code, read, told) = run(&["consume", "t", "-e"], "");
    assert_eq!((code, read.as_str()), (0, "by SCRAM-SHA-256\nby SCRAM-SHA-512\n"), "{told}");
    for line in
        [&["topic", "list"][..], &["group", "list"], &["transaction", "list"], &["config", "describe"]]
    {
        let (code, _, told) = run(line, "");
        assert_eq!(code, 0, "{line:?}: {told}");
    }
    configure("SCRAM-SHA-512", "wrong");
    let (code, _, told) = run(&["topic", "list"], "");
    assert_eq!(code, 1);
    assert!(told.contains("SCRAM-SHA-512: Authentication failed") && !told.contains("wrong"), "{told}");
    fs::write(
        &file,
        "security.protocol=SSL\nssl.truststore.type=PEM\nssl.keystore.password=hunter2\nssl.provider=x\n",
    )
    .unwrap();
    let (code, _, told) = run(&["topic", "list"], "");
    assert!(code == 1 && told.contains("ssl.provider") && !told.contains("hunter2"), "{told}");

    // A connection outlives what was proven, by proving it again (KIP-368).
    configure("SCRAM-SHA-256", "other land");
    let (access, _) = Access::read(&file).unwrap();
    let mut client = connect(&broker, &access).unwrap();
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(4) {
        assert_eq!(client.call(12, &MetadataRequest::default()).brokers.len(), 1, "{:?}", began.elapsed());
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn a_listener_in_ipv6_and_one_by_name_tell_their_clients_where_they_are() {
    let (dir, authority) = (data_dir(), Authority::new());
    let settings = authority.broker(
        "PLAINTEXT",
        &[
            "listeners=INSIDE://[::1]:0,OUTSIDE://localhost:0,PLAINTEXT://127.0.0.1:0",
            "advertised.listeners=INSIDE://[::1]:0,OUTSIDE://broker.example:19092,PLAINTEXT://127.0.0.1:0",
            "listener.security.protocol.map=INSIDE:PLAINTEXT,OUTSIDE:SSL,PLAINTEXT:PLAINTEXT",
            "listener.name.outside.ssl.enabled.protocols=TLSv1.3",
        ],
    );
    let data = dir.path().join("data");
    let arguments = [vec!["--data-dir".to_owned(), data.to_str().unwrap().to_owned()], settings].concat();
    let mut process = std::process::Command::new(env!("CARGO_BIN_EXE_strandline"))
        .args(&arguments)
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut told = String::new();
    let mut out = std::io::BufReader::new(process.stdout.take().unwrap());
    while !told.ends_with("\n\n") {
        assert!(std::io::BufRead::read_line(&mut out, &mut told).unwrap() > 0, "{told}");
    }
    let lines: Vec<&str> = told.lines().filter_map(|line| line.trim().strip_prefix("listens on")).collect();
    let address = |at: usize| -> SocketAddr { lines[at].split_whitespace().next().unwrap().parse().unwrap() };
    let told = |address: SocketAddr, access: &Access| {
        let place = Address { host: address.ip().to_string(), port: address.port() };
        let mut client = Client::over(Connection::open_by(&place, &Limits::default(), access).unwrap());
        let broker = client.call(12, &MetadataRequest::default()).brokers.remove(0);
        (broker.host, broker.port)
    };
    assert!(address(0).is_ipv6());
    assert_eq!(told(address(0), &Access::default()), ("::1".to_owned(), i32::from(address(0).port())));
    assert_eq!(told(address(2), &Access::default()), ("127.0.0.1".to_owned(), i32::from(address(2).port())));
    let by = |version| {
        authority.access(&[("ssl.enabled.protocols", version), ("ssl.endpoint.identification.algorithm", "")])
    };
    assert_eq!(told(address(1), &by("TLSv1.3")), ("broker.example".to_owned(), 19092));
    let place = Address { host: "localhost".to_owned(), port: address(1).port() };
    assert!(
        Connection::open_by(&place, &Limits::default(), &by("TLSv1.2")).is_err(),
        "the listener's own versions"
    );
    process.kill().unwrap();
    process.wait().unwrap();
}
