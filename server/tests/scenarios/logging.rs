//! The log: it stops nobody, whatever becomes of its lines, and no client fills it (D11).

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::Stdio;

use strandline_protocol::messages::*;

use crate::broker::{Broker, data_dir};
use crate::client::batch;
use crate::metrics::value_of;

/// Settings that make a broker say where its metrics are.
const METRICS: [&str; 2] = ["--metrics-listen", "127.0.0.1:0"];

fn started(data_dir: &Path, more: &[&str], log: impl Into<Stdio>) -> Broker {
    Broker::start_logging_to(data_dir, &[&METRICS[..], more].concat(), log)
}

/// Connects and says what no broker understands; the connection is closed, and a line says so.
fn nonsense(broker: &Broker) {
    let mut client = broker.client();
    client.stream().write_all(&[0xff; 100]).unwrap();
    assert!(client.is_closed());
}

#[test]
fn a_broker_whose_log_can_not_be_written_goes_on_and_counts() {
    let full = || std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let gone = || std::io::pipe().unwrap().1;
    for log in [Stdio::from(full()), Stdio::from(gone())] {
        let dir = data_dir();
        let broker = started(dir.path(), &[], log);
        nonsense(&broker);
        let mut client = broker.client();
        client.create("t", 1, &[]);
        assert_eq!(client.produce("t", 0, batch(&["fine"])).error_code, 0);
        // That it started, that a connection was closed, that there is a topic.
        while value_of(&broker, "strandline_log_lines_lost_total") < 3.0 {
            std::thread::yield_now();
        }
        assert_eq!(broker.stop().0, Some(0));
    }
}

#[test]
fn a_start_that_fails_says_so_by_its_exit_code_where_nobody_hears_it() {
    let dir = data_dir();
    std::fs::write(dir.path().join("meta"), "not ours").unwrap();
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    assert_eq!(Broker::ended(dir.path(), &[], full), Some(1));
    assert_eq!(Broker::ended(dir.path(), &["-o", "node.id=none"], std::io::pipe().unwrap().1), Some(2));
}

/// A terminal that was stopped with ctrl-s, `2>| less`, a collector that hangs: the pipe is full, and stays
/// so.
#[test]
fn a_broker_whose_log_is_not_read_goes_on_and_says_what_was_lost_when_it_is_read_again() {
    let dir = data_dir();
    let (reader, log) = std::io::pipe().unwrap();
    let broker = started(dir.path(), &["--log-level", "debug"], log);
    // Each connection is a line or two of debugging. The pipe holds 64 KiB and the queue 1 MiB.
    let mut client = broker.client();
    client.create("t", 1, &[]);
    while value_of(&broker, "strandline_log_lines_lost_total") == 0.0 {
        (0..100).for_each(|_| drop(broker.client()));
        assert_eq!(client.produce("t", 0, batch(&["fine"])).error_code, 0);
    }
    let told = BufReader::new(reader).lines().map(Result::unwrap);
    let mut told = told.filter(|line| line.contains("log lines were lost: they could not be written"));
    assert!(told.next().unwrap().contains(" WARN strandline::log: "));
    drop(told);
    assert_eq!(client.produce("t", 0, batch(&["fine"])).error_code, 0);
}

#[test]
fn a_client_that_is_refused_again_and_again_is_a_few_lines_and_a_number() {
    let dir = data_dir();
    let (reader, log) = std::io::pipe().unwrap();
    let broker = started(dir.path(), &[], log);
    let lines =
        std::thread::spawn(move || BufReader::new(reader).lines().map(Result::unwrap).collect::<Vec<_>>());
    // A version of Fetch that nobody offered, too: a tool that sends one does so thousands of times a second.
    let unasked = [&10i32.to_be_bytes()[..], &[0, 1, 0, 99, 0, 0, 0, 7, 0xff, 0xff]].concat();
    for _ in 0..300 {
        nonsense(&broker);
        let mut client = broker.client();
        client.stream().write_all(&unasked).unwrap();
        assert!(client.is_closed());
    }
    let suppressed = value_of(&broker, "strandline_log_lines_suppressed_total");
    assert_eq!(broker.stop().0, Some(0));
    let closed = lines
        .join()
        .unwrap()
        .iter()
        .filter(|line| line.contains("kafka::connection: connection closed"))
        .count();
    assert!((10..100).contains(&closed), "{closed} lines");
    assert_eq!(suppressed as usize + closed, 600, "each is a line or counted");
}

/// Ids of 32 kB with whatever is in them are in the log as a part of one line.
#[test]
fn a_name_does_not_break_the_log() {
    let dir = data_dir();
    let (reader, log) = std::io::pipe().unwrap();
    let broker =
        started(dir.path(), &["--log-format", "json", "-o", "offsets.retention.check.interval.ms=50"], log);
    let lines =
        std::thread::spawn(move || BufReader::new(reader).lines().map(Result::unwrap).collect::<Vec<_>>());
    let mut client = broker.client();
    client.create("t", 1, &[]);
    let group = format!("line\nbreak \u{1b}[31m\"{}", "g".repeat(32_000));
    client.call(4, &FindCoordinatorRequest { coordinator_keys: vec![group.clone()], ..Default::default() });
    let partition = OffsetCommitRequestPartition { committed_offset: 1, ..Default::default() };
    let topics = vec![OffsetCommitRequestTopic { name: "t".to_owned(), partitions: vec![partition] }];
    // It expires at once, which is a line.
    let request =
        OffsetCommitRequest { group_id: group.clone(), retention_time_ms: 0, topics, ..Default::default() };
    while client.call(4, &request).topics[0].partitions[0].error_code != 0 {
        std::thread::yield_now();
    }
    loop {
        let asked = DescribeGroupsRequest { groups: vec![group.clone()], ..Default::default() };
        if client.call(4, &asked).groups[0].group_state == "Dead" {
            break;
        }
        std::thread::yield_now();
    }
    assert_eq!(broker.stop().0, Some(0));
    let lines = lines.join().unwrap();
    let objects: Vec<serde_json::Value> =
        lines.iter().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect();
    let expired = objects.iter().find(|line| line["message"] == "offsets have expired").expect("a line");
    let told = expired["group"].as_str().unwrap();
    assert!(told.starts_with("line\nbreak \u{1b}[31m\"ggg") && told.ends_with("more bytes)"), "{told}");
    assert!(lines.iter().all(|line| line.len() < 3000));
}
