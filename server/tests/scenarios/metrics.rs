//! `/metrics`, `/healthz`, `/readyz`: they tell what goes on, in a form that scrapers read, and nobody can
//! hurt the broker through them.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use strandline::metrics::{Kind, METRICS, Metric, PARTITION_METRICS};
use strandline_protocol::messages::*;

use crate::broker::{Broker, data_dir};
use crate::client::{Client, batch, fetch};

fn started(data_dir: &std::path::Path, more: &[&str]) -> (Broker, SocketAddr) {
    let broker = Broker::start(data_dir, &[&["--metrics-listen", "127.0.0.1:0"], more].concat());
    let metrics = broker.metrics.expect("it says where");
    (broker, metrics)
}

/// The status and the body.
pub(crate) fn get(address: SocketAddr, path: &str) -> (u16, String) {
    ask(address, format!("GET {path} HTTP/1.1\r\nHost: here\r\n\r\n").as_bytes())
}

fn ask(address: SocketAddr, request: &[u8]) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    // Who is refused may be cut off before all is sent.
    let _ = stream.write_all(request);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split(' ').nth(1).map_or(0, |status| status.parse().unwrap());
    (status, body.to_owned())
}

/// A metric without labels.
pub(crate) fn value_of(broker: &Broker, name: &str) -> f64 {
    let (status, body) = get(broker.metrics.expect("it says where"), "/metrics");
    assert_eq!(status, 200);
    let line = body.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("{name} is not in\n{body}")).parse().unwrap()
}

/// The series of an exposition, and nothing in it that is not of the format.
fn series(body: &str, declared: &[Metric]) -> BTreeMap<String, f64> {
    let mut found = BTreeMap::new();
    let mut heads = BTreeSet::new();
    let (mut helped, mut metric): (&str, Option<&Metric>) = ("", None);
    for line in body.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            helped = help.split(' ').next().unwrap();
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').unwrap();
            assert_eq!(helped, name, "the help comes first");
            assert!(heads.insert(name.to_owned()), "{name} comes twice");
            let of_it = declared.iter().find(|metric| metric.name == name).expect(name);
            assert_eq!(of_it.kind.word(), kind);
            metric = Some(of_it);
        } else {
            let (name, value) = line.rsplit_once(' ').unwrap();
            let of_it = metric.expect("a series has a head");
            let suffix = name.strip_prefix(of_it.name).expect("a series stands under its head");
            let suffix = suffix.split('{').next().unwrap();
            let suffixes: &[&str] =
                if of_it.kind == Kind::Histogram { &["_bucket", "_sum", "_count"] } else { &[""] };
            assert!(suffixes.contains(&suffix), "{line}");
            assert!(found.insert(name.to_owned(), value.parse().unwrap()).is_none(), "{name} comes twice");
        }
    }
    let all: BTreeSet<String> = declared.iter().map(|metric| metric.name.to_owned()).collect();
    assert_eq!(heads, all, "what is declared is what is exported");
    found
}

fn commit(client: &mut Client, group: &str, topic: &str, offset: i64) {
    let partition = OffsetCommitRequestPartition { committed_offset: offset, ..Default::default() };
    let topics = vec![OffsetCommitRequestTopic { name: topic.to_owned(), partitions: vec![partition] }];
    let request = OffsetCommitRequest { group_id: group.to_owned(), topics, ..Default::default() };
    // Asking makes the topic of groups, which is then read.
    let asked = FindCoordinatorRequest { coordinator_keys: vec![group.to_owned()], ..Default::default() };
    client.call(4, &asked);
    while client.call(8, &request).topics[0].partitions[0].error_code != 0 {
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn what_was_produced_read_and_refused_is_in_the_metrics() {
    let dir = data_dir();
    let (broker, metrics) = started(dir.path(), &["--shards", "2"]);
    let mut client = broker.client();
    client.create("t", 3, &[]);
    client.create("table", 1, &[("cleanup.policy", "compact")]);
    for partition in 0..3 {
        client.produce("t", partition, batch(&["a", "b"]));
    }
    assert_ne!(client.produce("table", 0, batch(&["without a key"])).error_code, 0);
    assert_eq!(client.read_all("t", 0, 0).len(), 2);
    commit(&mut client, "a \"group\"", "t", 0);
    client.fetch(12, &fetch("t", &[(1, 99)]));

    let (status, body) = get(metrics, "/metrics");
    assert_eq!(status, 200);
    let found = series(&body, METRICS);
    let of = |name: &str| *found.get(name).unwrap_or_else(|| panic!("{name} is not in\n{body}"));
    let of_shards =
        |name: &str| of(&format!("{name}{{shard=\"0\"}}")) + of(&format!("{name}{{shard=\"1\"}}"));
    assert_eq!(of("strandline_topic_appended_records_total{topic=\"t\"}"), 6.0);
    assert_eq!(of("strandline_topic_appended_batches_total{topic=\"t\"}"), 3.0);
    assert_eq!(of("strandline_topic_partitions{topic=\"t\"}"), 3.0);
    assert_eq!(of("strandline_topic_segments{topic=\"t\"}"), 3.0);
    let bytes = of("strandline_topic_appended_bytes_total{topic=\"t\"}");
    assert_eq!(of("strandline_topic_size_bytes{topic=\"t\"}"), bytes);
    assert_eq!(of("strandline_topic_read_bytes_total{topic=\"t\"}"), bytes / 3.0);
    assert!(of_shards("strandline_appended_records_total") > 6.0, "the group's offset is a record, too");
    assert_eq!(
        of_shards("strandline_sync_duration_seconds_count"),
        of_shards("strandline_journal_commits_total")
    );
    assert!(of_shards("strandline_journal_size_bytes") >= 6.0 * f64::from(1 << 20));
    assert!(of_shards("strandline_journal_used_bytes") > 0.0);
    let of_listener = |name: &str| {
        ["0", "1"]
            .iter()
            .map(|shard| of(&format!("{name}{{shard=\"{shard}\",listener=\"PLAINTEXT\"}}")))
            .sum::<f64>()
    };
    assert_eq!(of_listener("strandline_connections"), 1.0);
    assert!(of_listener("strandline_connections_accepted_total") >= 1.0);
    assert_eq!(of("strandline_connections_refused_total{listener=\"PLAINTEXT\"}"), 0.0);
    assert_eq!(of("strandline_requests_total{api=\"Produce\"}"), 4.0);
    assert_eq!(of("strandline_request_duration_seconds_count{api=\"Produce\"}"), 4.0);
    assert_eq!(of("strandline_request_errors_total{api=\"Produce\",error=\"INVALID_RECORD\"}"), 1.0);
    assert_eq!(of("strandline_request_errors_total{api=\"Fetch\",error=\"OFFSET_OUT_OF_RANGE\"}"), 1.0);
    assert_eq!(of("strandline_groups{state=\"Empty\"}"), 1.0);
    assert_eq!(of("strandline_group_lag_records{group=\"a \\\"group\\\"\",topic=\"t\"}"), 2.0);
    assert!(of("process_resident_memory_bytes") > 1e6 && of("process_open_fds") > 5.0);
    assert!(of("strandline_data_dir_free_bytes") > 0.0);

    let (status, body) = get(metrics, "/metrics/partitions");
    assert_eq!(status, 200);
    let found = series(&body, PARTITION_METRICS);
    for partition in 0..3 {
        let of = |name: &str| found[&format!("strandline_{name}{{topic=\"t\",partition=\"{partition}\"}}")];
        assert_eq!((of("partition_log_start_offset"), of("partition_log_end_offset")), (0.0, 2.0));
        assert_eq!((of("partition_segments"), of("partition_fenced")), (1.0, 0.0));
    }
    let lag = "strandline_group_partition_lag_records{group=\"a \\\"group\\\"\",topic=\"t\",partition=\"0\"}";
    assert_eq!(found[lag], 2.0);
}

/// docs/operations.md has a table of all metrics; `STRANDLINE_WRITE_DOCS=1 cargo test -p strandline metrics`
/// writes it anew.
#[test]
fn the_documented_metrics_are_the_exported_ones() {
    const MARKS: [&str; 2] = ["<!-- metrics: made by a test -->\n", "<!-- end of metrics -->"];
    let mut table = String::new();
    for (path, metrics) in [("/metrics", METRICS), ("/metrics/partitions", PARTITION_METRICS)] {
        table += &format!("\n`{path}`\n\n| metric | kind | labels | meaning |\n|---|---|---|---|\n");
        for Metric { name, kind, labels, help } in metrics {
            table += &format!("| `{name}` | {} | {} | {help} |\n", kind.word(), labels.join(", "));
        }
    }
    let path = file("docs/operations.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (head, rest) = page.split_once(MARKS[0]).expect("the first mark");
    let (found, tail) = rest.split_once(MARKS[1]).expect("the second mark");
    let table = table + "\n";
    if std::env::var_os("STRANDLINE_WRITE_DOCS").is_some() {
        std::fs::write(&path, [head, MARKS[0], &table, MARKS[1], tail].concat()).unwrap();
    } else {
        assert!(found == table, "write it anew: STRANDLINE_WRITE_DOCS=1 cargo test -p strandline metrics");
    }
}

/// What a dashboard asks for that nobody exports stays empty, and an alert never comes.
#[test]
fn the_dashboard_and_the_alerts_name_exported_metrics_only() {
    let declared: BTreeSet<String> = METRICS
        .iter()
        .chain(PARTITION_METRICS)
        .flat_map(|metric| match metric.kind {
            Kind::Histogram => {
                ["_bucket", "_sum", "_count"].map(|end| format!("{}{end}", metric.name)).to_vec()
            }
            Kind::Counter | Kind::Gauge => vec![metric.name.to_owned()],
        })
        .collect();
    for (name, least) in [("grafana.json", 30), ("alerts.yml", 8)] {
        let text = std::fs::read_to_string(file(&format!("server/packaging/{name}"))).unwrap();
        let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
        let named: BTreeSet<&str> =
            words.filter(|word| word.starts_with("strandline_") || word.starts_with("process_")).collect();
        let unknown: Vec<_> = named.iter().filter(|name| !declared.contains(**name)).collect();
        assert!(unknown.is_empty(), "{name} asks for {unknown:?}");
        assert!(named.len() >= least, "{name} asks for {} metrics only", named.len());
    }
    let dashboard = std::fs::read_to_string(file("server/packaging/grafana.json")).unwrap();
    serde_json::from_str::<serde_json::Value>(&dashboard).unwrap();
}

fn file(path: &str) -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

#[test]
fn a_broker_that_serves_is_alive_and_ready() {
    let dir = data_dir();
    let (broker, metrics) = started(dir.path(), &["--shards", "3"]);
    let (status, health) = get(metrics, "/healthz");
    assert_eq!(status, 200);
    assert!(health.starts_with("3 shards turn on "), "{health}");
    assert_eq!(get(metrics, "/readyz"), (200, "ready\n".to_owned()));
    assert_eq!(get(metrics, "/metrics?name=x").0, 200);
    assert_eq!(get(metrics, "/").0, 404);
    assert_eq!(ask(metrics, b"HEAD /readyz HTTP/1.0\r\n\r\n"), (200, String::new()));
    assert_eq!(broker.stop().0, Some(0));
    assert!(TcpStream::connect(metrics).is_err());
}

#[test]
fn a_log_line_is_an_object_where_that_is_asked_for() {
    let dir = data_dir();
    let ended = Broker::refused(dir.path(), &["--log-format", "xml"]);
    assert_eq!(ended.status.code(), Some(2), "no such format");
    let dir = data_dir();
    let (broker, log) = Broker::start_logging(dir.path(), &["--log-format", "json"]);
    assert_eq!(broker.stop().0, Some(0));
    let lines: Vec<serde_json::Value> =
        log.join().unwrap().lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    let line = |message: &str| lines.iter().find(|line| line["message"] == message).expect(message);
    assert_eq!(
        line("started")["shards"].as_u64(),
        Some(std::thread::available_parallelism().unwrap().get() as u64)
    );
    assert_eq!(line("recovered")["damaged_partitions"], 0);
    assert_eq!(line("stopped")["level"], "INFO");
}

#[test]
fn hostile_scrapers_are_cut_off_and_disturb_nobody() {
    let dir = data_dir();
    let (broker, metrics) = started(dir.path(), &[]);
    let mut client = broker.client();
    client.create("t", 1, &[]);
    let before = broker.resident();
    assert_eq!(ask(metrics, b"POST /metrics HTTP/1.1\r\n\r\n").0, 405);
    assert_eq!(ask(metrics, &[0xff; 100]).0, 400);
    let huge = format!("GET /metrics HTTP/1.1\r\nX: {}", "x".repeat(1 << 20));
    assert!([0, 431].contains(&ask(metrics, huge.as_bytes()).0), "more than a head may have");

    // A byte now and then, more of them than there are places, and one that never says anything.
    let began = Instant::now();
    let mut slow: Vec<TcpStream> = (0..40).map(|_| TcpStream::connect(metrics).unwrap()).collect();
    while began.elapsed() < Duration::from_secs(4) {
        for stream in slow.iter_mut().skip(1) {
            let _ = stream.write_all(b"G");
        }
        assert_eq!(client.produce("t", 0, batch(&["fine"])).error_code, 0);
        std::thread::sleep(Duration::from_millis(200));
    }
    assert_eq!(get(metrics, "/healthz").0, 200, "their time is over");
    for mut stream in slow {
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let mut rest = Vec::new();
        // Cut off with or without words; a timeout would be an error of its own kind.
        if let Err(error) = stream.read_to_end(&mut rest) {
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
        }
    }
    let grown = broker.resident().saturating_sub(before);
    assert!(grown < 16 << 20, "{grown} bytes more");
}

/// A supervisor that gets no answer ends the broker.
#[test]
fn health_is_answered_beside_half_open_connections_and_clients_that_do_not_read() {
    let dir = data_dir();
    let (_broker, metrics) = started(dir.path(), &[]);
    let mut others = Vec::new();
    for at in 0..64 {
        let mut half_open = TcpStream::connect(metrics).unwrap();
        if at % 2 == 0 {
            half_open.write_all(b"GET /metr").unwrap();
        }
        others.push(half_open);
        if at % 4 == 0 {
            let mut never_reads = TcpStream::connect(metrics).unwrap();
            never_reads.write_all(b"GET /metrics HTTP/1.1\r\n\r\n").unwrap();
            others.push(never_reads);
        }
        assert_eq!(get(metrics, "/healthz").0, 200, "beside {} others", others.len());
    }
    assert_eq!(get(metrics, "/readyz").0, 200);
    assert_eq!(get(metrics, "/metrics").0, 200);
}
