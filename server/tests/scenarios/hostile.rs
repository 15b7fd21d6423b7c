//! Clients that send nonsense, or nothing, or do not read: the connection ends, memory stays, nobody else is
//! disturbed.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::time::{Duration, Instant};

use strandline_protocol::messages::*;
use strandline_protocol::wire::ErrorCode;

use crate::broker::{Broker, data_dir};
use crate::client::{Client, PATIENCE, batch, fetch, produce};

fn hello() -> ApiVersionsRequest {
    ApiVersionsRequest { client_software_name: "test".to_owned(), client_software_version: "1".to_owned() }
}

#[test]
fn nonsense_closes_its_connection_and_no_other() {
    let dir = data_dir();
    let broker = Broker::start(dir.path(), &[]);
    let mut other = broker.client();
    other.create("t", 1, &[]);
    let before = broker.resident();
    let frame = |size: i32, body: &[u8]| [&size.to_be_bytes(), body].concat();
    let head = |key: i16, version: i16| {
        [&key.to_be_bytes()[..], &version.to_be_bytes(), &7i32.to_be_bytes(), &[255, 255]].concat()
    };
    // A Metadata request that announces 2^31 - 1 topics.
    let many = [head(3, 1), i32::MAX.to_be_bytes().to_vec()].concat();
    let nonsense: [(&str, Vec<u8>); 7] = [
        ("text", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec()),
        ("a length of 2 GiB", frame(i32::MAX, &[0; 100])),
        ("a negative length", frame(-5, &[0; 100])),
        ("an empty frame", frame(0, &[])),
        ("2^31 - 1 elements", frame(many.len() as i32, &many)),
        ("an unknown key", frame(10, &head(999, 0))),
        ("a version that is not served", frame(10, &head(0, 2))),
    ];
    for (what, bytes) in nonsense {
        let mut client = broker.client();
        client.stream().write_all(&bytes).unwrap();
        assert!(client.is_closed(), "{what}");
        assert_eq!(other.produce("t", 0, batch(&["fine"])).error_code, 0, "{what}");
    }
    let grown = broker.resident().saturating_sub(before);
    assert!(grown < 16 << 20, "{grown} bytes more");
}

#[test]
fn half_a_request_is_dropped_with_its_connection() {
    let dir = data_dir();
    let broker = Broker::start(dir.path(), &[]);
    let mut client = broker.client();
    client.create("t", 1, &[]);
    let whole = encode_request(11, 1, None, &produce("t", 0, batch(&["half"]), -1)).unwrap();
    for cut in [1, 4, 9, whole.len() - 1] {
        let mut client = broker.client();
        client.stream().write_all(&whole[..cut]).unwrap();
        client.stream().shutdown(Shutdown::Write).unwrap();
        assert!(client.is_closed());
    }
    assert!(client.read_all("t", 0, 0).is_empty());
}

#[test]
fn memory_follows_what_arrives_and_not_what_is_announced() {
    let dir = data_dir();
    let broker = Broker::start(dir.path(), &[]);
    let before = broker.resident();
    let mut clients: Vec<_> = (0..100).map(|_| broker.client()).collect();
    for client in &mut clients {
        // 100 MiB announced, 20 KiB sent: more than the first block holds.
        client.stream().write_all(&(100i32 << 20).to_be_bytes()).unwrap();
        client.stream().write_all(&[0; 20 << 10]).unwrap();
    }
    broker.client().call(4, &hello());
    std::thread::sleep(Duration::from_millis(100));
    let grown = broker.resident().saturating_sub(before);
    assert!(grown < 16 << 20, "{grown} bytes more");
}

#[test]
fn an_unknown_version_of_api_versions_is_answered_in_version_0() {
    let dir = data_dir();
    let broker = Broker::start(dir.path(), &[]);
    let mut client = broker.client();
    let body =
        [&18i16.to_be_bytes()[..], &99i16.to_be_bytes(), &5i32.to_be_bytes(), &[255, 255, 0, 1, 2]].concat();
    client.stream().write_all(&(body.len() as i32).to_be_bytes()).unwrap();
    client.stream().write_all(&body).unwrap();
    let (id, response) = decode_response::<ApiVersionsResponse>(&client.read_frame().unwrap(), 0).unwrap();
    assert_eq!((id, response.error_code), (5, ErrorCode::UnsupportedVersion.code()));
    let rows: Vec<_> =
        response.api_keys.iter().map(|api| (api.api_key, api.min_version, api.max_version)).collect();
    assert_eq!(rows, [(18, 0, 4)]);
    let served = client.call(4, &hello()).api_keys.len();
    assert_eq!(served, strandline::dispatch::APIS.len(), "the connection goes on");
}

#[test]
fn a_client_that_does_not_read_holds_up_nobody_else() {
    let dir = data_dir();
    let broker = Broker::start(dir.path(), &["--shards", "1"]);
    let mut other = broker.client();
    other.create("t", 1, &[]);
    let value = "v".repeat(1 << 19);
    for _ in 0..8 {
        other.produce("t", 0, batch(&[&value]));
    }
    let before = broker.resident();
    let mut slow = broker.client();
    slow.stream().set_write_timeout(Some(Duration::from_millis(200))).unwrap();
    let request = encode_request(12, 1, None, &fetch("t", &[(0, 0)])).unwrap();
    // Some 500 answers of 1 MiB: more than every socket buffer on the way.
    for _ in 0..500 {
        if slow.stream().write_all(&request).is_err() {
            break;
        }
    }
    // The slow one reads nothing before these are answered.
    for _ in 0..20 {
        assert_eq!(other.produce("t", 0, batch(&["fine"])).error_code, 0);
    }
    let grown = broker.resident().saturating_sub(before);
    assert!(grown < 32 << 20, "{grown} bytes more");
    // What it was owed it still gets.
    let (_, response) = FetchResponse::decode(&slow.read_frame().unwrap(), 12).unwrap();
    assert_eq!(response.responses[0].partitions[0].error_code, 0);
}

#[test]
fn a_thousand_idle_connections_cost_little_and_disturb_nobody() {
    let dir = data_dir();
    let broker = Broker::start(dir.path(), &[]);
    let mut client = broker.client();
    client.create("t", 1, &[]);
    let before = broker.resident();
    let idle: Vec<_> = (0..1000)
        .map(|_| {
            let mut client = broker.client();
            client.call(4, &hello());
            client
        })
        .collect();
    let grown = broker.resident().saturating_sub(before);
    assert!(grown < 16 << 20, "{grown} bytes for {} connections", idle.len());
    for at in 0..50 {
        assert_eq!(client.produce("t", 0, batch(&["fine"])).base_offset, at);
    }
}

#[test]
fn a_silent_connection_is_closed_and_a_busy_one_is_not() {
    let dir = data_dir();
    let broker = Broker::start(dir.path(), &["-o", "connections.max.idle.ms=2000"]);
    let (mut silent, mut busy) = (broker.client(), broker.client());
    let closed = std::thread::spawn(move || silent.is_closed());
    while !closed.is_finished() {
        busy.call(4, &hello());
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(closed.join().unwrap());
    busy.call(4, &hello());
}

#[test]
fn a_client_that_takes_one_long_answer_slowly_is_not_silent() {
    let dir = data_dir();
    let broker = Broker::start(dir.path(), &["-o", "connections.max.idle.ms=2000"]);
    let mut client = broker.client();
    client.create("t", 1, &[]);
    let value = "v".repeat(900 << 10);
    for _ in 0..40 {
        client.produce("t", 0, batch(&[&value]));
    }
    let mut request = fetch("t", &[(0, 0)]);
    request.topics[0].partitions[0].partition_max_bytes = i32::MAX;
    let frame = encode_request(12, 1, None, &request).unwrap();
    client.stream().write_all(&frame).unwrap();
    let mut length = [0; 4];
    client.stream().read_exact(&mut length).unwrap();
    let length = u32::from_be_bytes(length) as usize;
    assert!(length > 30 << 20, "{length} bytes in one answer");
    // Longer than a silent connection lives, and than the sockets hold.
    for piece in (0..length).step_by(1 << 20) {
        let mut bytes = vec![0; (length - piece).min(1 << 20)];
        client.stream().read_exact(&mut bytes).unwrap();
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn connections_above_the_limit_are_closed_at_once() {
    let dir = data_dir();
    let broker = Broker::start(dir.path(), &["-o", "max.connections=3"]);
    let mut kept: Vec<_> = (0..3)
        .map(|_| {
            let mut client = broker.client();
            client.call(4, &hello());
            client
        })
        .collect();
    assert!(broker.client().is_closed());
    kept[0].call(4, &hello());
}

/// Waits until the limit of connections shows that the place of one is free again.
fn assert_place_becomes_free(broker: &Broker) {
    let began = Instant::now();
    loop {
        let mut next = broker.client();
        next.send(4, &hello());
        if next.read_frame().is_ok() {
            break;
        }
        assert!(began.elapsed() < PATIENCE, "its place stays taken");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A client that waits for records, with so many requests behind, all of which the broker has.
fn waiting(broker: &Broker, behind: usize) -> Client {
    let mut waiting = broker.client();
    let mut request = fetch("t", &[(0, 0)]);
    request.max_wait_ms = i32::MAX;
    waiting.send(12, &request);
    for _ in 0..behind {
        waiting.send(4, &hello());
    }
    std::thread::sleep(Duration::from_millis(50));
    waiting
}

#[test]
fn a_client_that_goes_away_while_it_waits_leaves_nothing_behind() {
    // More than the broker takes of one connection at a time, too.
    for behind in [0, 10, 200] {
        let dir = data_dir();
        let broker = Broker::start(dir.path(), &["-o", "max.connections=2"]);
        let mut client = broker.client();
        client.create("t", 1, &[]);
        drop(waiting(&broker, behind));
        assert_place_becomes_free(&broker);
    }
}

#[test]
fn a_client_that_sends_nothing_more_is_answered_all_that_it_has_asked_for() {
    let dir = data_dir();
    let broker = Broker::start(dir.path(), &[]);
    broker.client().create("t", 1, &[]);
    for behind in [0, 200] {
        let mut client = waiting(&broker, behind);
        client.stream().shutdown(Shutdown::Write).unwrap();
        for number in 0..=behind {
            assert!(client.read_frame().is_ok(), "answer {number} of {behind}");
        }
        assert!(client.is_closed());
    }
}
