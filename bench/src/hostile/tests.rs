//! The mean clients against a broker in this process.

use super::*;
use clap::ValueEnum;
use strandline::config::{BrokerConfig, Settings};
use strandline::serve::Server;

/// Two seconds of everything, small enough for a machine that runs other tests: what the mean clients get
/// shall not be what the honest ones lose. How fast it is, is for a release build on a machine of its own.
#[test]
fn every_kind_of_mean_client_is_served_or_closed_and_the_honest_load_loses_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let settings = [("listeners", "PLAINTEXT://127.0.0.1:0"), ("http.listen", "127.0.0.1:0")];
    let data = dir.path().to_string_lossy().into_owned();
    let mut config = Settings::default();
    for (name, value) in settings.into_iter().chain([("log.dirs", data.as_str())]) {
        config.set(name, value).expect("a valid setting");
    }
    let config = BrokerConfig::resolve(config).expect("valid settings");
    let server = Server::start(config, Some(2)).expect("the broker starts");
    let place = Place {
        target: Target {
            bootstrap: server.listeners()[0].address.to_string(),
            pid: None,
            data: None,
            topic_configs: Vec::new(),
        },
        // Handshakes of TLS are garbage there.
        ports: Ports {
            kafka: server.listeners()[0].address,
            metrics: server.http_address().map(|(_, address)| address),
            tls: None,
        },
        output: None,
    };
    let hostile = Hostile {
        systems: Vec::new(),
        workload: Workload {
            partitions: 4,
            producers: 4,
            rate: Some(200.0),
            warmup: 0,
            seconds: 2,
            ..Workload::default()
        },
        kinds: Kind::value_variants().to_vec(),
        wide_partitions: 20,
        bomb_bytes: 4 << 20,
        rounds: 1,
    };
    let half = hostile.on(&place, true, &attacks::bombs(4 << 20), &Progress::default());
    let half = half.expect("it can be measured");
    assert_eq!((half.failure, half.failed), (None, 0), "no honest record fails");
    assert!(half.verified > 0, "and all of them are read back");
    assert!(half.health.answered > 0);
    assert_eq!(half.tallies.len(), Kind::value_variants().len());
    for (kind, tally) in half.tallies {
        assert!(tally.sent > 0, "{}: {}", kind.name(), tally.line());
        let (answers, stays) = match kind {
            Kind::Bombs | Kind::Amplify | Kind::Rest => (true, false),
            Kind::Garbage | Kind::LogFlood | Kind::Handshakes => (false, false),
            Kind::HalfOpen | Kind::NeverReading | Kind::Idle => (false, true),
        };
        assert!(!answers || tally.answered > 0, "{}: {}", kind.name(), tally.line());
        assert!(!stays || tally.open + tally.closed > 0, "{}: {}", kind.name(), tally.line());
    }
    server.stop().expect("it stops");
}

#[test]
fn a_bomb_fits_a_batch_and_is_many_times_as_large_inside() {
    let bombs = attacks::bombs(2 << 20);
    assert_eq!(bombs.len(), 4);
    for bomb in bombs {
        assert!((62..=1_000_000).contains(&bomb.len()), "{} bytes", bomb.len());
        assert!(bomb.len() * 15 < 2 << 20, "{} bytes", bomb.len());
    }
}
