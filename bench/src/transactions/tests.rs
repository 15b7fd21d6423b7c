//! Transactions on a broker in this process.

use super::*;
use strandline::config::{BrokerConfig, Settings};
use strandline::serve::Server;
use tempfile::TempDir;

fn start() -> (TempDir, Server, Target) {
    let dir = tempfile::tempdir().expect("a directory");
    let data = dir.path().to_string_lossy().into_owned();
    let mut config = Settings::default();
    for (name, value) in [("listeners", "PLAINTEXT://127.0.0.1:0"), ("log.dirs", data.as_str())] {
        config.set(name, value).expect("a valid setting");
    }
    let config = BrokerConfig::resolve(config).expect("valid settings");
    let server = Server::start(config, Some(2)).expect("the broker starts");
    let bootstrap = server.listeners()[0].address.to_string();
    (dir, server, Target { bootstrap, pid: None, data: None, topic_configs: Vec::new() })
}

/// How fast it is, is for a release build on a machine of its own.
#[test]
fn everything_is_measured_and_exactly_what_was_committed_is_read() {
    let (_dir, server, target) = start();
    let workload = Workload {
        producers: 3,
        record_bytes: 1_000,
        records_per_batch: 4,
        warmup: 1,
        seconds: 1,
        ..Workload::default()
    };
    let transactions = Transactions {
        systems: Vec::new(),
        shapes: vec![Shape { partitions: 1, every_ms: 10 }, Shape { partitions: 5, every_ms: 50 }],
        workload,
        request_records: 16,
        rate: 500.0,
        history_megabytes: 1,
        rounds: 1,
    };
    let round = transactions.round("ours", &target, 1).expect("it can be measured");
    for place in 0..2 {
        for run in [round.most(place), round.paced(place)] {
            assert!(run.verified > 0, "records are committed");
            assert!(run.transacted.commits.records() > 1, "by more than one commit");
            assert!(run.commit(50.0) >= at(&run.transacted.ends, 50.0), "EndTxn is a part of a commit");
            assert!(run.transacted.aborted.is_empty());
        }
        // A second of its schedule and the warm-up before it, and not what it takes at most.
        assert!((500..2_000).contains(&round.paced(place).verified), "{}", round.paced(place).verified);
    }
    assert!(round.shown[1] < round.shown[0], "aborted records are not shown: {:?}", round.shown);
    assert!(round.reading.iter().all(|passes| passes.bytes > 0));
    server.stop().expect("it stops");
}

#[test]
fn what_was_aborted_is_found_by_who_reads_uncommitted_alone() {
    let (_dir, server, target) = start();
    let topic = measure::create_topic(&target, &measure::topic_name(), 3).expect("a topic");
    let workload =
        Workload { producers: 2, record_bytes: 100, warmup: 0, seconds: 60, ..Workload::default() };
    let plan = Plan {
        workload: &workload,
        every: Duration::from_millis(5),
        aborted_of: Some(2),
        records: Some(4_000),
    };
    let (live, started) = (Live::default(), now());
    let done = load::run(&plan, &target.bootstrap, &topic, started, &live).expect("all are ended");
    // A run ends with its last commit. It used to sleep until an answer could no longer come.
    assert!(now() < started + workload.seconds * SECOND, "it sleeps when nothing is left to do");
    let (committed, aborted): (u64, u64) = (done.committed.values().sum(), done.aborted.values().sum());
    assert!(committed > 0 && aborted > 0 && committed + aborted >= 4_000, "{committed}, {aborted}");
    let shown = |isolation| check(&topic, &done, isolation).expect("exactly what is to be shown");
    assert_eq!(shown(Isolation::Committed), committed);
    assert_eq!(shown(Isolation::Uncommitted), committed + aborted);

    // The check bites: a reader of everything sees more than was committed.
    let mistaken = Transacted { aborted: Default::default(), ..done };
    let error = check(&topic, &mistaken, Isolation::Uncommitted).expect_err("aborted records");
    let MeasureError::Violation(violation) = &error else { panic!("{error}") };
    assert!(matches!(violation, crate::verify::Violation::Surplus { expected: 0, .. }), "{violation}");
    server.stop().expect("it stops");
}

#[test]
fn a_request_has_a_batch_for_every_partition() {
    let transactions = Transactions {
        systems: Vec::new(),
        shapes: Vec::new(),
        workload: Workload { producers: 4, ..Workload::default() },
        request_records: 256,
        rate: RATE,
        history_megabytes: 1,
        rounds: 1,
    };
    let request = |partitions| {
        let workload = transactions.produces(Shape { partitions, every_ms: 10 });
        (workload.batches_per_request, workload.records_per_batch)
    };
    assert_eq!([1, 16, 100, 1_000].map(request), [(1, 16), (16, 16), (100, 2), (256, 1)]);
}
