//! The console: who is let in, what its pages show and how large they are, and that what strangers write into
//! records and names stays text.

mod by_schema;
mod changes;

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use strandline_protocol::messages::*;

use crate::broker::{Broker, data_dir};
use crate::http::client::{Heard, Http, chunk};
use crate::http::{USERS, start};

const TEXT: &str = "application/vnd.kafka.text.v2+json";

/// What no page is larger than.
const PAGE_BYTES_MAX: usize = 60_000;

/// A text that a page must not take for markup.
const HOSTILE: &str = "<script>alert(1)</script>\"'&<img src=x onerror=alert(2)>";

/// A broker, and a browser that knows it by `localhost`.
fn open(data: &Path, more: &[&str]) -> (Broker, Http) {
    let (broker, _) = start(data, more);
    let browser = Http::new(broker.http.unwrap()).with("Host", "localhost");
    (broker, browser)
}

fn create(broker: &Broker, topic: &str, partitions: i32) {
    let topic = CreatableTopic {
        name: topic.to_owned(),
        num_partitions: partitions,
        replication_factor: 1,
        ..Default::default()
    };
    let request = CreateTopicsRequest { topics: vec![topic], timeout_ms: 30_000, validate_only: false };
    let answer: CreateTopicsResponse = broker.client().call(5, &request);
    assert_eq!(answer.topics[0].error_code, 0, "{answer:?}");
}

fn produce(browser: &mut Http, topic: &str, partition: i32, records: Value) {
    let path = format!("/topics/{topic}/partitions/{partition}");
    let answer = browser.post(&path, TEXT, &json!({"records": records})).expect(200);
    assert_eq!(answer["offsets"][0]["error_code"], Value::Null, "{answer}");
}

/// A page, which is as every page is.
fn page(browser: &mut Http, path: &str) -> String {
    let heard = browser.get(path);
    assert_eq!(heard.status, 200, "{path}: {}", heard.text());
    is_guarded(&heard, path);
    assert_eq!(heard.header("content-type"), Some("text/html; charset=utf-8"), "{path}");
    let text = heard.text().to_owned();
    assert!(
        text.starts_with("<!DOCTYPE html><html lang=\"en\">") && text.ends_with("</html>"),
        "{path}: {text}"
    );
    assert!(text.len() <= PAGE_BYTES_MAX, "{path} has {} bytes", text.len());
    // Nothing inline, which the policy would not run either.
    let scripts = text.matches("<script").count();
    assert_eq!(scripts, 1, "{path}: one script, from a file: {text}");
    assert!(!text.contains(" style=") && !text.contains("<style") && !text.contains("javascript:"), "{path}");
    assert!(!text.contains(" onerror=alert(2)>"), "{path}");
    text
}

fn is_guarded(heard: &Heard, path: &str) {
    let policy = heard.header("content-security-policy").unwrap_or_default();
    assert!(
        policy.starts_with("default-src 'self';") && policy.contains("frame-ancestors 'none'"),
        "{path}: {policy}"
    );
    for (name, value) in [("x-content-type-options", "nosniff"), ("x-frame-options", "DENY")] {
        assert_eq!(heard.header(name), Some(value), "{path}");
    }
}

/// Looks at a page until it has this.
fn until(browser: &mut Http, path: &str, has: &str) -> String {
    let patience = Instant::now() + Duration::from_secs(30);
    loop {
        let text = page(browser, path);
        if text.contains(has) {
            return text;
        }
        assert!(Instant::now() < patience, "{path} has no {has}: {text}");
        std::thread::sleep(Duration::from_millis(300));
    }
}

#[test]
fn a_browser_is_led_to_the_console_and_has_its_files_once() {
    let data = data_dir();
    let (_broker, mut browser) = open(data.path(), &[]);
    let led = browser.ask("GET", "/", &[("Accept", "text/html,*/*")], b"");
    assert_eq!((led.status, led.header("location")), (303, Some("/console")));
    assert_eq!(browser.get("/").expect(404)["error_code"], 404, "a script is not");
    let overview = until(&mut browser, "/console", "Counted</dt><dd><time");
    for words in [
        "Acknowledged means on the disk",
        "None was found",
        " free of ",
        "Shards and journals",
        "nobody has logged in",
    ] {
        assert!(overview.contains(words), "{words}: {overview}");
    }
    for (path, media) in [
        ("/console/style.css", "text/css; charset=utf-8"),
        ("/console/script.js", "text/javascript; charset=utf-8"),
        ("/console/icon.svg", "image/svg+xml"),
    ] {
        assert!(overview.contains(&format!("\"{path}\"")), "{path}");
        let file = browser.get(path);
        assert_eq!((file.status, file.header("content-type")), (200, Some(media)), "{path}");
        assert!(file.body.len() <= PAGE_BYTES_MAX);
        is_guarded(&file, path);
        let tag = file.header("etag").unwrap().to_owned();
        let again = browser.ask("GET", path, &[("If-None-Match", &tag)], b"");
        assert_eq!((again.status, again.body.len()), (304, 0), "{path}");
    }
    let nothing = browser.get("/console/topics/none");
    assert_eq!(nothing.status, 404);
    assert!(
        nothing.text().starts_with("<!DOCTYPE html>") && nothing.text().contains("topic none"),
        "{}",
        nothing.text()
    );
    is_guarded(&nothing, "none");
}

#[test]
fn a_name_that_a_stranger_points_at_the_broker_opens_nothing() {
    let data = data_dir();
    let (broker, mut browser) =
        open(data.path(), &["-o", "advertised.listeners=PLAINTEXT://broker.example:9092"]);
    create(&broker, "t", 1);
    produce(&mut browser, "t", 0, json!([{"value": "secret"}]));
    let address = broker.http.unwrap();
    for own in
        [address.to_string(), "[::1]:9".to_owned(), "localhost:7".to_owned(), "BROKER.example".to_owned()]
    {
        assert_eq!(
            Http::new(address).with("Host", &own).get("/console/topics/t/messages").status,
            200,
            "{own}"
        );
    }
    let paths = [
        "/",
        "/console",
        "/console/topics",
        "/console/topics/t/messages",
        "/console/topics/t/tail",
        "/console/script.js",
    ];
    for foreign in ["evil.example", "localhost.evil.example:80", "127.0.0.1.evil.example", ""] {
        for path in paths {
            let heard = Http::new(address).with("Host", foreign).get(path);
            assert_eq!(heard.status, 421, "{foreign} {path}");
            assert!(!heard.text().contains("secret"));
        }
    }
}

#[test]
fn a_page_stays_small_with_10_000_partitions() {
    let data = data_dir();
    let (broker, mut browser) = open(data.path(), &[]);
    create(&broker, "big", 9_000);
    // Names as long as they may be.
    for number in 0..100 {
        create(&broker, &format!("{number:03}{}", "x".repeat(246)), 10);
    }
    let list = until(&mut browser, "/console/topics?sort=partitions", "9,000");
    assert!(list.contains("1 to 40 of 101"), "{list}");
    let last = page(&mut browser, "/console/topics?page=3");
    assert!(last.contains("81 to 101 of 101") && last.contains(">big</a>"), "{last}");
    assert!(page(&mut browser, "/console/topics?q=bi").contains(">big</a>"));
    page(&mut browser, "/console");
    let partitions = page(&mut browser, "/console/topics/big?page=90");
    assert!(partitions.contains("8,901 to 9,000 of 9,000"), "{partitions}");
    // A number that is too large is the last page.
    assert_eq!(page(&mut browser, "/console/topics/big?page=18446744073709551615"), partitions);
    let messages = page(&mut browser, "/console/topics/big/messages");
    assert!(messages.contains("these are the first 64"), "{messages}");
    page(&mut browser, "/console/topics/big/messages?partition=8999");
}

#[test]
fn messages_are_found_by_offset_time_and_text_and_told_how_far_it_was_looked() {
    let data = data_dir();
    let (broker, mut browser) = open(data.path(), &[]);
    create(&broker, "t", 2);
    for partition in 0..2 {
        let record = |at: i64| json!({"key": format!("k{at}"), "value": format!("value-{partition}-{at}"), "timestamp": at * 1000});
        let records: Vec<Value> = (0..200).map(record).collect();
        produce(&mut browser, "t", partition, records.into());
    }
    let path = "/console/topics/t/messages";
    let newest = page(&mut browser, path);
    assert!(
        newest.contains("value-0-199") && newest.contains("value-1-199") && !newest.contains("value-0-100"),
        "{newest}"
    );
    assert!(newest.contains("25 messages of 26 that were looked at, up to the end."), "{newest}");
    assert!(
        newest.find("value-0-199").unwrap() < newest.find("value-0-195").unwrap(),
        "the newest stands first"
    );
    let oldest = page(&mut browser, &format!("{path}?from=start&partition=1"));
    assert!(
        oldest.contains("value-1-0<") && oldest.contains("value-1-24<") && !oldest.contains("value-1-25<"),
        "{oldest}"
    );
    assert!(oldest.contains("25 messages of 25 that were looked at; there are more."), "{oldest}");
    let next = "href=\"/console/topics/t/messages?from=at&amp;at=1%3A25\" rel=\"next\"";
    assert!(oldest.contains(next), "{oldest}");
    let on = page(&mut browser, &format!("{path}?from=at&at=1%3A25"));
    assert!(on.contains("value-1-25<") && on.contains("value-1-49<") && !on.contains("value-0-"), "{on}");
    let by_offset = page(&mut browser, &format!("{path}?from=offset&offset=150&partition=0"));
    assert!(by_offset.contains("value-0-150<") && !by_offset.contains("value-0-149<"));
    for time in ["100500", "1970-01-01T00:01:40.500Z", "1970-01-01T00:01:40.5"] {
        let by_time = page(&mut browser, &format!("{path}?from=time&time={time}&partition=0"));
        assert!(by_time.contains("value-0-101<") && !by_time.contains("value-0-100<"), "{by_time}");
    }
    let filtered = page(&mut browser, &format!("{path}?from=start&text=-77"));
    assert!(filtered.contains("2 messages of 400 that were looked at, up to the end."), "{filtered}");
    let by_key = page(&mut browser, &format!("{path}?from=start&key=k77&text=value-1"));
    assert!(by_key.contains("1 message of 400") && by_key.contains("value-1-77<"), "{by_key}");
    let from_the_end = page(&mut browser, &format!("{path}?text=-77"));
    assert!(from_the_end.contains("2 messages of 400"), "{from_the_end}");

    let file = browser.get("/console/topics/t/records.jsonl?from=at&at=0:198,1:199");
    assert!(file.header("content-disposition").unwrap().starts_with("attachment"));
    let lines: Vec<Value> = file.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 3, "{}", file.text());
    assert!(lines.iter().all(|line| line["offset"].as_i64().unwrap() >= 198));
    let one = page(&mut browser, "/console/topics/t/message?partition=1&offset=42");
    assert!(one.contains("value-1-42<") && one.contains("k42<"), "{one}");
    let bytes = browser.get("/console/topics/t/bytes?partition=1&offset=42&part=value");
    assert_eq!(
        (bytes.text(), bytes.header("content-type")),
        ("value-1-42", Some("application/octet-stream"))
    );
    for (path, status) in [
        ("message?partition=1&offset=200", 404),
        ("message?partition=2&offset=0", 404),
        ("message?partition=x&offset=0", 400),
        ("messages?partition=7", 404),
        ("messages?from=nowhere", 422),
        ("messages?from=at&at=0:x", 422),
        ("messages?from=at&at=9:0", 404),
        ("messages?from=time&time=yesterday", 422),
    ] {
        let refused = browser.get(&format!("/console/topics/t/{path}"));
        assert_eq!(refused.status, status, "{path}: {}", refused.text());
        assert!(refused.text().starts_with("<!DOCTYPE html>"), "{path}");
    }
}

#[test]
fn what_strangers_write_stays_text() {
    let data = data_dir();
    let (broker, mut browser) = open(data.path(), &[]);
    create(&broker, "t", 1);
    let header = "aGVhZGVy";
    let record = json!({"key": HOSTILE, "value": HOSTILE, "headers": [{"key": HOSTILE, "value": header}]});
    let records: Vec<Value> = (0..30).map(|_| record.clone()).collect();
    produce(&mut browser, "t", 0, records.into());
    let long = "<\"&".repeat(10_000);
    let records: Vec<Value> = (0..30).map(|_| json!({"key": long, "value": long})).collect();
    for path in [
        "/console/topics/t/messages",
        "/console/topics/t/messages?from=start",
        "/console/topics/t/message?partition=0&offset=0",
    ] {
        let text = page(&mut browser, path);
        assert!(text.contains("&lt;script&gt;alert(1)&lt;/script&gt;&quot;"), "{path}: {text}");
    }
    produce(&mut browser, "t", 0, records.into());
    page(&mut browser, "/console/topics/t/messages");
    page(&mut browser, "/console/topics/t/message?partition=0&offset=40");
    let quoted = "%22%3E%3Cscript%3Ealert(1)%3C/script%3E";
    for path in [
        format!("/console/topics?q={quoted}"),
        format!("/console/topics/t/messages?key={quoted}&text={quoted}"),
        format!("/console/topics/t/messages?offset={quoted}&time={quoted}"),
    ] {
        let text = page(&mut browser, &path);
        assert!(text.contains("&quot;&gt;&lt;script&gt;"), "{path}: {text}");
    }
    let lost = browser.get(&format!("/console/topics/{quoted}"));
    assert!(lost.status >= 400 && !lost.text().contains("<script>"), "{}", lost.text());
}

/// A stream of events.
struct Live(BufReader<TcpStream>);

impl Live {
    fn open(browser: &mut Http, path: &str, last: Option<&str>) -> Live {
        let mut stream = browser.take();
        let last = last.map(|id| format!("Last-Event-ID: {id}\r\n")).unwrap_or_default();
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n{last}\r\n");
        stream.get_mut().write_all(request.as_bytes()).unwrap();
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            stream.read_line(&mut head).unwrap();
        }
        assert!(head.starts_with("HTTP/1.1 200") && head.contains("text/event-stream"), "{head}");
        Live(stream)
    }

    /// The next event: its id, and what it has.
    fn next(&mut self) -> (String, Value) {
        loop {
            let text = String::from_utf8(chunk(&mut self.0).expect("it goes on")).unwrap();
            let Some(rest) = text.strip_prefix("id: ") else { continue };
            let (id, data) = rest.split_once("\ndata: ").unwrap();
            return (id.to_owned(), serde_json::from_str(data.trim_end()).unwrap());
        }
    }
}

#[test]
fn the_live_view_leaves_nothing_out_however_fast_it_comes_and_goes_on_where_it_was() {
    let data = data_dir();
    let (broker, mut browser) = open(data.path(), &[]);
    create(&broker, "t", 2);
    produce(&mut browser, "t", 0, json!([{"value": "before"}]));
    let address = broker.http.unwrap();
    let mut live = Live::open(&mut Http::new(address), "/console/topics/t/tail?text=v", None);
    for round in 0..20 {
        let records: Vec<Value> = (0..100).map(|at| json!({"value": format!("v{round}-{at}")})).collect();
        produce(&mut browser, "t", round % 2, records.into());
    }
    let (mut values, mut seen, mut last) = (Vec::new(), 0, String::new());
    while values.len() < 2_000 {
        let (id, event) = live.next();
        assert_eq!(event["skipped"], 0);
        seen += event["seen"].as_u64().unwrap();
        values.extend(event["records"].as_array().unwrap().iter().map(|record| record["value"].to_string()));
        last = id;
    }
    assert_eq!(seen, 2_000, "nothing of what was there before");
    values.sort();
    values.dedup();
    assert_eq!((values.len(), last.as_str()), (2_000, "0:1001,1:1000"));
    drop(live);
    // A browser that comes again; what was deleted meanwhile is counted.
    produce(&mut browser, "t", 1, json!([{"value": "v-gone"}, {"value": "v-there"}]));
    let partition = DeleteRecordsPartition { partition_index: 1, offset: 1001 };
    let topic = DeleteRecordsTopic { name: "t".to_owned(), partitions: vec![partition] };
    let request = DeleteRecordsRequest { topics: vec![topic], timeout_ms: 10_000 };
    let answer: DeleteRecordsResponse = broker.client().call(2, &request);
    assert_eq!(answer.topics[0].partitions[0].error_code, 0);
    let mut live = Live::open(&mut Http::new(address), "/console/topics/t/tail", Some(&last));
    let (id, event) = live.next();
    assert_eq!((event["skipped"].clone(), id.as_str()), (json!(1), "0:1001,1:1002"));
    assert_eq!(event["records"][0]["value"], "v-there");
}

#[test]
fn the_live_view_says_when_it_is_not_behind_any_more() {
    let data = data_dir();
    let (broker, mut browser) = open(data.path(), &[]);
    create(&broker, "t", 1);
    let mut live = Live::open(&mut Http::new(broker.http.unwrap()), "/console/topics/t/tail", None);
    // As many as an event has.
    let records: Vec<Value> = (0..200).map(|at| json!({"value": at.to_string()})).collect();
    produce(&mut browser, "t", 0, records.into());
    let began = Instant::now();
    while live.next().1["is_behind"] == true {}
    assert!(began.elapsed() < Duration::from_secs(10), "it is told at once, not with the next record");
}

#[test]
fn whoever_may_not_see_it_does_not() {
    let data = data_dir();
    let (broker, mut nobody) = open(data.path(), &USERS);
    let asked = nobody.get("/console");
    assert_eq!(asked.status, 401);
    assert!(asked.header("www-authenticate").unwrap().starts_with("Basic "));
    let (mut admin, mut bob) = (open_as(&broker, "admin", "hunter2"), open_as(&broker, "bob", "builder"));
    let new = json!({"topic_name": "vault", "partitions_count": 1});
    assert_eq!(admin.post("/admin/topics", "application/json", &new).status, 201);
    assert!(page(&mut admin, "/console/topics").contains(">vault</a>"));
    assert!(page(&mut admin, "/console").contains("logged in as admin"));
    let list = page(&mut bob, "/console/topics");
    assert!(!list.contains("vault") && list.contains("no topic that you may see"), "{list}");
    let overview = page(&mut bob, "/console");
    assert!(
        overview.contains("for users that may describe the cluster") && !overview.contains("Journal"),
        "{overview}"
    );
    for path in ["", "/messages", "/groups", "/message?partition=0&offset=0", "/tail", "/records.jsonl"] {
        let refused = bob.get(&format!("/console/topics/vault{path}"));
        assert_eq!(refused.status, 403, "{path}: {}", refused.text());
    }
}

fn open_as(broker: &Broker, user: &str, password: &str) -> Http {
    Http::new(broker.http.unwrap()).with("Host", "localhost").user(user, password)
}
