//! The command line against a broker: what a script may rely on.
//!
//! Each test starts `strandline serve` on a free port with an empty directory. With
//! `STRANDLINE_CLI_BROKER=HOST:PORT` the tests use that broker instead, which may be any Kafka: topics have
//! names of their own and are left behind.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use strandline_protocol::wire::ErrorCode;

use crate::broker::Broker as Serving;
use crate::effects::until;
use crate::metrics::value_of;
use crate::transactions::{Level, Producer, sees};

const STRANDLINE: &str = env!("CARGO_BIN_EXE_strandline");

/// How long a broker may take to start, or a record to arrive.
const PATIENCE: Duration = Duration::from_secs(60);

/// A broker for one test.
struct Broker {
    address: String,
    #[expect(dead_code, reason = "it ends, and its directory goes, with the test")]
    serving: Option<(Serving, tempfile::TempDir)>,
}

impl Broker {
    fn start() -> Broker {
        if let Ok(address) = std::env::var("STRANDLINE_CLI_BROKER") {
            return Broker { address, serving: None };
        }
        let directory = tempfile::tempdir().unwrap();
        // The first member of a group need not wait for others.
        let serving = Serving::start(directory.path(), &["-o", "group.initial.rebalance.delay.ms=0"]);
        Broker { address: serving.address.to_string(), serving: Some((serving, directory)) }
    }

    /// The command, ready to run against this broker.
    fn command(&self, line: &[&str]) -> Command {
        let mut command = Command::new(STRANDLINE);
        command.args(line).args(["--bootstrap", &self.address]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn run(&self, line: &[&str], input: &str) -> Outcome {
        let mut child = self.command(line).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_owned();
        let feeder = thread::spawn(move || {
            // A command that refuses its arguments does not read.
            let _ = stdin.write_all(input.as_bytes());
        });
        let output = child.wait_with_output().unwrap();
        feeder.join().unwrap();
        Outcome::of(output)
    }

    /// Runs a command that has to succeed, and gives what it prints.
    fn done(&self, line: &[&str], input: &str) -> String {
        let outcome = self.run(line, input);
        assert_eq!(outcome.code, Some(0), "{line:?}: {}", outcome.stderr);
        outcome.stdout
    }

    /// Runs a command that has to fail with exit code 1 and one line on stderr after `summaries` others, and
    /// gives that line.
    fn refused(&self, line: &[&str], input: &str, summaries: usize) -> String {
        let outcome = self.run(line, input);
        assert_eq!(outcome.code, Some(1), "{line:?}: {}", outcome.stderr);
        let lines: Vec<&str> = outcome.stderr.lines().collect();
        assert_eq!(lines.len(), summaries + 1, "{line:?}: {}", outcome.stderr);
        let error = lines[summaries].strip_prefix("error: ");
        error.unwrap_or_else(|| panic!("{line:?}: {}", outcome.stderr)).to_owned()
    }

    /// What a command prints as JSON.
    fn json(&self, line: &[&str]) -> serde_json::Value {
        serde_json::from_str(&self.done(&[line, &["--json"]].concat(), "")).unwrap()
    }

    /// A new topic with this many partitions.
    fn topic(&self, name: &str, partitions: &str) -> String {
        let name = new_name(name);
        self.done(&["topic", "create", &name, "--partitions", partitions], "");
        name
    }
}

/// A name that no broker has seen.
fn new_name(name: &str) -> String {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    format!("{name}-{}", since.as_nanos())
}

struct Outcome {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Outcome {
    fn of(output: Output) -> Outcome {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Outcome { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

/// `0\n1\n2\n...`
fn numbers(count: usize) -> String {
    (0..count).fold(String::new(), |mut text, number| {
        writeln!(text, "{number}").unwrap();
        text
    })
}

#[test]
fn a_topic_is_created_listed_described_and_deleted() {
    let broker = Broker::start();
    let topic = broker.topic("life", "3");
    let again = ["topic", "create", &topic, "--config", "retention.ms=1"];
    assert!(broker.refused(&again, "", 0).contains("TOPIC_ALREADY_EXISTS (36)"));
    broker.done(&["topic", "create", &topic, "--if-not-exists"], "");
    assert!(broker.done(&["topic", "list"], "").lines().any(|line| line == topic));

    let list: serde_json::Value =
        serde_json::from_str(&broker.done(&["topic", "list", "--json"], "")).unwrap();
    let entry = list.as_array().unwrap().iter().find(|entry| entry["name"] == topic).unwrap();
    assert_eq!(entry["partitions"], 3);

    broker.done(&["produce", &topic, "--partition", "2"], "one\ntwo\n");
    let text = broker.done(&["topic", "describe", &topic, "--json"], "");
    let description: serde_json::Value = serde_json::from_str(&text).unwrap();
    let latest =
        description["partitions"].as_array().unwrap().iter().map(|partition| partition["latest"].as_i64());
    assert_eq!(latest.collect::<Vec<_>>(), [Some(0), Some(0), Some(2)]);

    broker.done(&["topic", "delete", &topic], "");
    assert!(broker.refused(&["topic", "delete", &topic], "", 0).contains("UNKNOWN_TOPIC_OR_PARTITION (3)"));
    broker.done(&["topic", "delete", &topic, "--if-exists"], "");
    assert!(broker.refused(&["topic", "describe", &topic], "", 0).contains(&topic));
}

#[test]
fn a_setting_of_the_topic_is_described_and_a_default_is_not() {
    let broker = Broker::start();
    let topic = broker.topic("settings-base", "1") + "-own";
    broker.done(&["topic", "create", &topic, "--config", "retention.ms=86400000"], "");
    let text = broker.done(&["topic", "describe", &topic, "--json"], "");
    let description: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(description["configs"], serde_json::json!({"retention.ms": "86400000"}));
}

#[test]
fn a_topic_is_altered_grown_and_emptied() {
    let broker = Broker::start();
    let topic = broker.topic("altered", "1");
    broker.done(&["topic", "alter", &topic, "--set", "retention.ms=86400000", "--set", "segment.ms=7"], "");
    broker.done(&["topic", "alter", &topic, "--unset", "segment.ms", "--partitions", "2"], "");
    let text = broker.done(&["topic", "describe", &topic, "--json"], "");
    let description: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(description["configs"], serde_json::json!({"retention.ms": "86400000"}));
    assert_eq!(description["partitions"].as_array().unwrap().len(), 2);
    let settings = broker.done(&["config", "describe", "--topic", &topic], "");
    assert!(settings.starts_with("retention.ms=86400000  (topic)\n"), "{settings}");
    assert!(
        broker.refused(&["topic", "alter", &topic, "--set", "retention.ms=soon"], "", 0).contains("soon")
    );

    broker.done(&["produce", &topic, "--partition", "0"], "a\nb\nc\n");
    let left = broker.done(&["topic", "delete-records", &topic, "--partition", "0", "--before", "2"], "");
    assert_eq!(left, "partition 0 starts at offset 2\n");
    let left = broker.done(&["topic", "delete-records", &topic], "");
    assert_eq!(left, "partition 0 starts at offset 3\npartition 1 starts at offset 0\n");
}

#[test]
fn lines_come_back_as_they_were_in_every_codec() {
    let broker = Broker::start();
    let input = numbers(20_000);
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let topic = broker.topic(codec, "1");
        broker.done(&["produce", &topic, "--codec", codec], &input);
        assert_eq!(broker.done(&["consume", &topic, "--exit-at-end"], ""), input, "{codec}");
    }
}

#[test]
fn lines_come_back_whatever_has_to_acknowledge_them() {
    let broker = Broker::start();
    let input = numbers(5_000);
    for acks in ["0", "1", "all"] {
        let topic = broker.topic("acks", "1");
        broker.done(&["produce", &topic, "--acks", acks], &input);
        assert_eq!(broker.done(&["consume", &topic, "--exit-at-end"], ""), input, "acks {acks}");
    }
}

#[test]
fn batches_that_are_too_large_are_split_and_stay_in_order() {
    let broker = Broker::start();
    let topic = broker.topic("split-base", "1") + "-small";
    broker.done(&["topic", "create", &topic, "--partitions", "1", "--config", "max.message.bytes=2000"], "");
    let input = numbers(5_000);
    broker.done(&["produce", &topic], &input);
    assert_eq!(broker.done(&["consume", &topic, "--exit-at-end"], ""), input);
}

#[test]
fn a_line_that_is_too_large_is_named_and_the_lines_before_it_are_there() {
    let broker = Broker::start();
    let topic = broker.topic("large", "1");
    let input = format!("before\n{}\nafter\n", "x".repeat(2_000_000));
    let error = broker.refused(&["produce", &topic], &input, 1);
    assert!(
        error.starts_with(&format!("line 2: topic {topic}, partition 0: MESSAGE_TOO_LARGE (10)")),
        "{error}"
    );
    let found = broker.done(&["consume", &topic, "--exit-at-end"], "");
    assert_eq!(found.lines().next(), Some("before"));
    assert!(found.len() < 100);
}

#[test]
fn keys_decide_the_partition_as_in_the_java_client() {
    let broker = Broker::start();
    let topic = broker.topic("keys", "100");
    // murmur2 of "21" is -973932308, of "foobar" -790332482 and of "abc" 479470107 (Kafka's UtilsTest); the
    // sign bit is dropped.
    broker.done(&["produce", &topic, "--key-separator", ":"], "21:a\nfoobar:b:c\nabc:\n");
    let found =
        broker.done(&["consume", &topic, "-e", "--print", "partition,key,value", "--separator", "|"], "");
    let mut found: Vec<&str> = found.lines().collect();
    found.sort_unstable();
    assert_eq!(found, ["40|21|a", "66|foobar|b:c", "7|abc|"]);
}

#[test]
fn a_line_without_its_key_is_named_and_the_lines_before_it_are_there() {
    let broker = Broker::start();
    let topic = broker.topic("no-key", "1");
    let error = broker.refused(&["produce", &topic, "--key-separator", ":"], "k:v\nbroken\nk:w\n", 1);
    assert!(error.starts_with("line 2: "), "{error}");
    assert_eq!(broker.done(&["consume", &topic, "--exit-at-end"], ""), "v\n");
}

#[test]
fn json_has_everything_a_record_has() {
    let broker = Broker::start();
    let topic = broker.topic("json", "1");
    broker.done(&["produce", &topic, "-K", "=", "-H", "a=1", "-H", "a=", "-p", "0"], "k=\"v\"\n");
    let text = broker.done(&["consume", &topic, "--exit-at-end", "--format", "json"], "");
    let record: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert!(record["timestamp"].as_i64().unwrap() > 1_700_000_000_000);
    let headers = serde_json::json!([{"name": "a", "value": "1"}, {"name": "a", "value": ""}]);
    for (field, value) in [
        ("topic", serde_json::json!(topic)),
        ("partition", serde_json::json!(0)),
        ("offset", serde_json::json!(0)),
        ("key", serde_json::json!("k")),
        ("value", serde_json::json!("\"v\"")),
        ("headers", headers),
    ] {
        assert_eq!(record[field], value, "{field}");
    }
}

#[test]
fn consuming_starts_where_it_is_told_to_and_counts() {
    let broker = Broker::start();
    let topic = broker.topic("from", "1");
    broker.done(&["produce", &topic], &numbers(100));
    thread::sleep(Duration::from_millis(20));
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
    broker.done(&["produce", &topic], "late\n");

    let from = |start: &str| broker.done(&["consume", &topic, "--exit-at-end", "--from", start], "");
    assert_eq!(from("98"), "98\n99\nlate\n");
    assert_eq!(from("end"), "");
    assert_eq!(from("101"), "");
    assert_eq!(from(&format!("@{now}")), "late\n");
    assert_eq!(from("2100-01-01T00:00:00Z"), "");
    assert_eq!(from("1999-01-01T00:00:00Z").lines().count(), 101);
    assert_eq!(broker.done(&["consume", &topic, "--count", "2", "--from", "50"], ""), "50\n51\n");
    assert_eq!(broker.done(&["consume", &topic, "--count", "0"], ""), "");
}

#[test]
fn what_is_not_there_is_a_clear_error() {
    let broker = Broker::start();
    let topic = broker.topic("missing", "1");
    let error = broker.refused(&["consume", &topic, "--from", "5"], "", 0);
    assert!(error.contains("OFFSET_OUT_OF_RANGE (1): offset 5 is not within 0 to 0"), "{error}");
    let error = broker.refused(&["consume", &topic, "--partition", "7"], "", 0);
    assert_eq!(error, format!("topic {topic} has no partition 7, it has 1"));
    let error = broker.refused(&["consume", "no-such-topic", "--exit-at-end"], "", 0);
    assert_eq!(error, "topic no-such-topic: UNKNOWN_TOPIC_OR_PARTITION (3)");
}

/// A consumer that goes on, and its next lines.
struct Following {
    child: Child,
    lines: std::sync::mpsc::Receiver<String>,
}

impl Following {
    fn start(broker: &Broker, line: &[&str]) -> Following {
        let mut child = broker.command(line).spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = std::sync::mpsc::channel();
        thread::spawn(move || out.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Following { child, lines }
    }

    fn next(&self) -> String {
        self.lines.recv_timeout(PATIENCE).expect("a line in time")
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn following_prints_what_comes_and_ends_with_130_when_interrupted() {
    let broker = Broker::start();
    let topic = broker.topic("follow", "2");
    broker.done(&["produce", &topic, "--partition", "0"], "old\n");
    let mut following = Following::start(&broker, &["consume", &topic]);
    assert_eq!(following.next(), "old");
    broker.done(&["produce", &topic, "--partition", "1"], "new\n");
    assert_eq!(following.next(), "new");
    let pid = following.child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    assert_eq!(following.child.wait().unwrap().code(), Some(130));
}

#[test]
fn a_typed_line_is_sent_without_waiting_for_the_next() {
    let broker = Broker::start();
    let topic = broker.topic("linger", "1");
    let following = Following::start(&broker, &["consume", &topic]);
    let mut producer = broker.command(&["produce", &topic]).spawn().unwrap();
    let mut stdin: ChildStdin = producer.stdin.take().unwrap();
    for line in ["one", "two"] {
        writeln!(stdin, "{line}").unwrap();
        assert_eq!(following.next(), line);
    }
    drop(stdin);
    assert!(producer.wait().unwrap().success());
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let broker = Broker::start();
    let topic = broker.topic("pipe", "1");
    broker.done(&["produce", &topic], &numbers(200_000));
    let mut child = broker.command(&["consume", &topic, "--exit-at-end"]).spawn().unwrap();
    let mut first = [0; 4];
    child.stdout.take().unwrap().read_exact(&mut first).unwrap();
    let outcome = Outcome::of(child.wait_with_output().unwrap());
    assert_eq!((&first, outcome.code, outcome.stderr.as_str()), (b"0\n1\n", Some(0), ""));
}

/// The committed offset, the end and the lag of each partition.
fn progress(broker: &Broker, group: &str) -> Vec<[Option<i64>; 3]> {
    let described = broker.json(&["group", "describe", group]);
    let rows = described["partitions"].as_array().unwrap().iter();
    rows.map(|row| [row["committed"].as_i64(), row["end"].as_i64(), row["lag"].as_i64()]).collect()
}

#[test]
fn a_group_goes_on_where_it_has_stopped_and_shows_how_much_is_left() {
    let broker = Broker::start();
    let (topic, group) = (broker.topic("group-lag", "1"), new_name("lag"));
    broker.done(&["produce", &topic], &numbers(100));
    let consume = ["consume", &topic, "--group", &group];
    assert_eq!(broker.done(&[&consume[..], &["--count", "10"]].concat(), ""), numbers(10));
    assert_eq!(progress(&broker, &group), [[Some(10), Some(100), Some(90)]]);
    assert_eq!(broker.done(&[&consume[..], &["-e"]].concat(), ""), numbers(100)[numbers(10).len()..]);
    assert_eq!(progress(&broker, &group), [[Some(100), Some(100), Some(0)]]);
    assert_eq!(broker.done(&[&consume[..], &["-e"]].concat(), ""), "");

    let another = new_name("another");
    let consume = ["consume", &topic, "--group", &another, "-e"];
    assert_eq!(
        broker.done(&[&consume[..], &["--from", "end"]].concat(), ""),
        "",
        "from the end the first time"
    );
    let offset = [&consume[..], &["--from", "7"]].concat();
    assert!(broker.refused(&offset, "", 0).contains("reset-offsets"));
}

#[test]
fn a_group_is_listed_by_its_state_and_deleted() {
    let broker = Broker::start();
    let (topic, group) = (broker.topic("group-life", "1"), new_name("life"));
    let error = broker.refused(&["group", "describe", &group], "", 0);
    assert!(error.starts_with(&format!("group {group}: DescribeGroups: GROUP_ID_NOT_FOUND (69)")), "{error}");
    broker.done(&["produce", &topic], "x\n");
    broker.done(&["consume", &topic, "--group", &group, "-e"], "");

    let lists = |state: &[&str]| {
        let line = [&["group", "list"][..], state].concat();
        broker.done(&line, "").lines().any(|line| line == group)
    };
    assert!(lists(&[]) && lists(&["--state", "empty"]) && lists(&["--state", "Stable,Empty"]));
    assert!(!lists(&["--state", "Stable"]));
    let listed = broker.json(&["group", "list"]);
    let entry = listed.as_array().unwrap().iter().find(|entry| entry["name"] == group).unwrap();
    assert_eq!((&entry["state"], &entry["protocol_type"]), (&"Empty".into(), &"consumer".into()));

    broker.done(&["group", "delete", &group], "");
    let error = broker.refused(&["group", "delete", &group], "", 0);
    assert_eq!(error, format!("group {group}: DeleteGroups: GROUP_ID_NOT_FOUND (69)"));
    broker.done(&["group", "delete", &group, "--if-exists"], "");
    assert!(!lists(&[]));
}

#[test]
fn an_id_that_a_client_has_chosen_is_one_line_and_moves_no_cursor() {
    let broker = Broker::start();
    let (topic, group) = (broker.topic("odd-ids", "1"), new_name("odd"));
    let (odd, shown) = (format!("{group}\u{1b}[2J\nforged"), format!("{group}\\u{{1b}}[2J\\nforged"));
    broker.done(&["produce", &topic], "x\n");
    broker.done(&["consume", &topic, "--group", &odd, "-e"], "");

    let listed = broker.done(&["group", "list"], "");
    assert!(listed.lines().any(|line| line == shown), "{listed}");
    let described = broker.done(&["group", "describe", &odd], "");
    assert!(described.starts_with(&format!("group {shown}, Empty")), "{described}");
    broker.done(&["group", "delete", &odd], "");
    let error = broker.refused(&["group", "delete", &odd], "", 0);
    for said in [listed, described, error] {
        assert!(!said.contains('\u{1b}') && !said.lines().any(|line| line == "forged"), "{said}");
    }
}

#[test]
fn offsets_are_reset_only_when_told_to_and_stay_within_the_partition() {
    let broker = Broker::start();
    let (topic, group) = (broker.topic("reset", "2"), new_name("reset"));
    broker.done(&["produce", &topic, "--partition", "0"], &numbers(100));
    broker.done(&["produce", &topic, "--partition", "1"], &numbers(10));
    let committed = || {
        let rows = progress(&broker, &group);
        rows.iter().map(|row| row[0].unwrap()).collect::<Vec<i64>>()
    };
    let reset = |line: &[&str]| {
        broker.done(&[&["group", "reset-offsets", &group, "--topic"][..], line, &["--execute"]].concat(), "");
        committed()
    };
    let shift = ["group", "reset-offsets", &group, "--topic", &topic, "--shift-by", "1"];
    assert!(broker.refused(&shift, "", 0).ends_with("has no offset there to shift"));
    assert_eq!(reset(&[&topic, "--to-latest"]), [100, 10], "a group that there was not");

    let plan = broker.json(&["group", "reset-offsets", &group, "--topic", &topic, "--to-earliest"]);
    assert_eq!(plan[0], serde_json::json!({"topic": topic, "partition": 0, "committed": 100, "offset": 0}));
    assert_eq!(committed(), [100, 10], "not executed");

    assert_eq!(reset(&[&topic, "--to-offset", "50"]), [50, 10]);
    assert_eq!(reset(&[&topic, "--shift-by", "-20"]), [30, 0]);
    assert_eq!(reset(&[&format!("{topic}:1"), "--to-offset", "3"]), [30, 3]);
    assert_eq!(reset(&[&topic, "--to-datetime", "2100-01-01T00:00:00Z"]), [100, 10]);
    assert_eq!(reset(&[&topic, "--to-datetime", "1999-01-01T00:00:00Z"]), [0, 0]);
    let missing = format!("{topic}:2");
    let error = ["group", "reset-offsets", &group, "--topic", &missing, "--to-latest"];
    assert_eq!(broker.refused(&error, "", 0), format!("topic {topic} has no partition 2, it has 2"));
    assert_eq!(broker.done(&["consume", &topic, "-g", &group, "-e"], "").lines().count(), 110);
}

#[test]
fn two_members_share_the_partitions_and_one_takes_over_from_the_other() {
    let broker = Broker::start();
    let (topic, group) = (broker.topic("share", "2"), new_name("share"));
    let consume = ["consume", &topic, "--group", &group, "--print", "partition,value"];
    let mut one = Following::start(&broker, &consume);
    let two = Following::start(&broker, &consume);
    let shares = || {
        let described = broker.json(&["group", "describe", &group]);
        let members = described["members"].as_array().unwrap().iter();
        members.map(|member| member["assignment"][&topic].clone()).collect::<Vec<_>>()
    };
    let shared_as = |expected: &[serde_json::Value]| {
        let deadline = Instant::now() + PATIENCE;
        while broker.run(&["group", "describe", &group], "").code != Some(0) || shares() != expected {
            assert!(Instant::now() < deadline, "{:?}", shares());
            thread::sleep(Duration::from_millis(50));
        }
    };
    shared_as(&[serde_json::json!([0]), serde_json::json!([1])]);
    broker.done(&["produce", &topic, "--partition", "0"], "a\n");
    broker.done(&["produce", &topic, "--partition", "1"], "b\n");
    // Which of them has which partition is chance.
    let mut lines = [one.next(), two.next()];
    lines.sort_unstable();
    assert_eq!(lines, ["0\ta", "1\tb"]);

    let in_use = ["group", "reset-offsets", &group, "--topic", &topic, "--to-earliest", "--execute"];
    let error = broker.refused(&in_use, "", 0);
    assert!(error.starts_with(&format!("group {group}: its offsets can be reset while")), "{error}");
    let error = broker.refused(&["group", "delete", &group], "", 0);
    assert_eq!(error, format!("group {group}: DeleteGroups: NON_EMPTY_GROUP (68)"));

    let pid = one.child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    assert_eq!(one.child.wait().unwrap().code(), Some(143));
    shared_as(&[serde_json::json!([0, 1])]);
    broker.done(&["produce", &topic, "--partition", "0"], "c\n");
    broker.done(&["produce", &topic, "--partition", "1"], "d\n");
    let mut lines = [two.next(), two.next()];
    lines.sort_unstable();
    assert_eq!(lines, ["0\tc", "1\td"], "and nothing that was committed");
}

#[test]
fn an_ipv6_address_is_understood_with_its_brackets_and_without_where_it_is_clear() {
    if TcpListener::bind("[::1]:0").is_err() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let serving = Serving::start(directory.path(), &["--listen", "[::1]:0"]);
    let port = serving.address.port();
    for (number, address) in [format!("[::1]:{port}"), format!("::1:{port}")].into_iter().enumerate() {
        let broker = Broker { address, serving: None };
        broker.done(&["produce", "t"], "line\n");
        let found = broker.done(&["consume", "t", "--exit-at-end"], "");
        assert_eq!(found.lines().count(), number + 1);
    }
    let line = ["topic", "list", "--bootstrap", "::1:9092"];
    let output = Command::new(STRANDLINE).args(line).output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(2) && error.contains("in brackets: [::1]:9092"), "{error}");
}

#[test]
fn nobody_there_is_exit_code_1_and_nonsense_is_2() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let broker = Broker { address: nobody.to_string(), serving: None };
    for line in [&["topic", "list"][..], &["group", "list"], &["produce", "t"], &["consume", "t"]] {
        let error = broker.refused(line, "", 0);
        assert!(error.starts_with(&format!("no broker is reachable: {nobody}: ")), "{error}");
    }
    for line in [&["consume"][..], &["consume", "t", "--from", "x"], &["produce", "t", "--acks", "2"]] {
        let outcome = broker.run(line, "");
        assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(2), ""), "{line:?}");
    }
}

/// A command whose stdout or stderr goes there; the exit code, and what stderr has where that is not it.
fn ended(line: &[&str], stdout: Stdio, stderr: Stdio, stdin: Stdio) -> (Option<i32>, String) {
    let child = Command::new(STRANDLINE).args(line).stdin(stdin).stdout(stdout).stderr(stderr).spawn();
    let output = child.unwrap().wait_with_output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

/// Nobody reads it any more.
fn gone() -> Stdio {
    std::io::pipe().unwrap().1.into()
}

/// Every write to it fails for want of room.
fn full() -> Stdio {
    std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap().into()
}

/// `| head` ends a command quietly; a full disk is a failure that has a name.
#[test]
fn a_reader_that_has_seen_enough_is_no_failure_and_a_full_disk_is_one() {
    let broker = Broker::start();
    let topic = broker.topic("seen", "2");
    broker.done(&["produce", &topic], "a\nb\n");
    broker.done(&["consume", &topic, "--group", "readers", "--from", "beginning", "--exit-at-end"], "");
    let address = &["--bootstrap", broker.address.as_str()][..];
    let of_broker: [&[&str]; 7] = [
        &["topic", "list"],
        &["topic", "describe", &topic],
        &["consume", &topic, "--from", "beginning", "--exit-at-end"],
        &["group", "list"],
        &["group", "describe", "readers"],
        &["group", "reset-offsets", "readers", "--topic", &topic, "--to-earliest"],
        &["config", "describe"],
    ];
    let mut lines: Vec<Vec<&str>> = of_broker.iter().map(|line| [line, address].concat()).collect();
    lines.extend([
        vec!["--help"],
        vec!["--version"],
        vec!["topic", "--help"],
        vec!["log", "verify", "--help"],
    ]);
    for line in &lines {
        let (code, errors) = ended(line, gone(), Stdio::piped(), Stdio::null());
        assert_eq!(code, Some(0), "{line:?}: {errors}");
        assert!(!errors.contains("error"), "{line:?}: {errors}");
        let (code, errors) = ended(line, full(), Stdio::piped(), Stdio::null());
        assert_eq!(code, Some(1), "{line:?}: {errors}");
        assert!(errors.lines().any(|line| line.starts_with("error: stdout: ")), "{line:?}: {errors}");
    }
}

#[test]
fn a_failure_is_an_exit_code_where_its_words_can_not_be_said() {
    let broker = Broker::start();
    let address = &["--bootstrap", broker.address.as_str()][..];
    let topic = broker.topic("unheard", "1");
    let failures: [(&[&str], i32); 6] = [
        (&["topic", "describe", "there-is-none"], 1),
        (&["group", "describe", "there-is-none"], 1),
        (&["consume", "there-is-none", "--exit-at-end"], 1),
        (&["consume"], 2),
        (&["topic", "there-is-no-such-command"], 2),
        (&["produce", &topic], 0),
    ];
    for (line, expected) in failures {
        for unheard in [gone(), full()] {
            let line = [line, if expected == 2 { &[] } else { address }].concat();
            let (code, _) = ended(&line, Stdio::null(), unheard, Stdio::null());
            assert_eq!(code, Some(expected), "{line:?}");
        }
    }
}

#[test]
fn a_transaction_is_listed_described_and_aborted() {
    let directory = tempfile::tempdir().unwrap();
    let serving = Serving::start(directory.path(), &["--metrics-listen", "127.0.0.1:0"]);
    let address = serving.address.to_string();
    let broker = Broker { address: address.clone(), serving: None };
    let topic = broker.topic("payments", "1");
    let mut producer = Producer::begin(&serving, "till 7\n", Level::New);
    producer.write(&topic, 0, &["first", "second"]);

    assert_eq!(broker.done(&["transaction", "list"], ""), "till 7\\n\n");
    assert_eq!(broker.done(&["transaction", "list", "--state", "Empty,CompleteCommit"], ""), "");
    let listed = broker.json(&["transaction", "list", "--state", "ongoing"]);
    let id =
        serde_json::json!([{ "id": "till 7\n", "state": "Ongoing", "producer_id": producer.producer_id }]);
    assert_eq!(listed, id);
    let described = broker.json(&["transaction", "describe", "till 7\n"]);
    assert_eq!(described["state"], "Ongoing");
    assert_eq!(described["coordinator"]["address"], address);
    assert_eq!(described["timeout_ms"], 60_000);
    assert_eq!(described["partitions"], serde_json::json!({ (topic.as_str()): [0] }));
    let said = broker.done(&["transaction", "describe", "till 7\n"], "");
    assert!(said.contains("Ongoing") && said.contains(&format!("writes to {topic}:0")), "{said}");
    let stable_lag = format!("strandline_topic_last_stable_lag_records{{topic=\"{topic}\"}}");
    assert_eq!(value_of(&serving, &stable_lag), 2.0);

    broker.done(&["transaction", "abort", "till 7\n"], "");
    // A new instance of its producer has begun in its place.
    assert_eq!(broker.json(&["transaction", "describe", "till 7\n"])["state"], "Empty");
    until("its marker is written", || value_of(&serving, &stable_lag) == 0.0);
    assert_eq!(producer.end(true), ErrorCode::ProducerFenced);
    sees(&mut serving.client(), &topic, 0, &[]);

    let refused = broker.refused(&["transaction", "describe", "till 8"], "", 0);
    assert!(refused.contains("till 8"), "{refused}");
    let refused = broker.refused(&["transaction", "abort", "till 8"], "", 0);
    assert!(refused.contains("till 8"), "{refused}");
}
