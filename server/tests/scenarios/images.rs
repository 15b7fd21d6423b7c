//! What images and packages rely on: settings from the environment, the lines that are waited for, `health`,
//! `kafka-storage` and `generate`. The images themselves: `tests/images`.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use strandline_protocol::messages::{MetadataRequest, MetadataRequestTopic};

use crate::broker::{self, Broker, data_dir};
use crate::client::Client;

const STRANDLINE: &str = env!("CARGO_BIN_EXE_strandline");
const CLUSTER: &str = "4L6g3nShT-eMCtK--X86sw";

fn strandline(line: &[&str]) -> Command {
    let mut command = Command::new(STRANDLINE);
    command.args(line);
    command
}

fn told(output: &Output) -> (Option<i32>, String) {
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn a_broker_takes_settings_and_the_id_of_its_cluster_from_the_environment() {
    let dir = data_dir();
    let started = |cluster: &str, more: &[&str]| {
        let mut command = broker::command(dir.path(), &[&["--kafka-environment"], more].concat());
        command.env("CLUSTER_ID", cluster).env("KAFKA_NUM_PARTITIONS", "3").env("KAFKA_NO_SUCH_SETTING", "1");
        command
    };
    let (broker, log) = Broker::greeted_logging(started(CLUSTER, &[]));
    let topics = vec![MetadataRequestTopic { name: Some("t".to_owned()), ..Default::default() }];
    let request =
        MetadataRequest { topics: Some(topics), allow_auto_topic_creation: true, ..Default::default() };
    let mut client = broker.client();
    let answer = client.call(12, &request);
    assert_eq!(answer.cluster_id.as_deref(), Some(CLUSTER));
    drop(client);
    assert_eq!(broker.stop().0, Some(0));
    let log = log.join().unwrap();
    assert!(log.contains("KAFKA_NO_SUCH_SETTING") && !log.contains("KAFKA_NUM_PARTITIONS"), "{log}");

    // An argument wins; the directory is of its cluster from then on.
    let refused = |command: &mut Command| told(&command.output().unwrap());
    let (code, said) = refused(&mut started("5L6g3nShT-eMCtK--X86sw", &[]));
    assert_eq!(code, Some(1));
    assert!(said.contains(CLUSTER) && said.contains("5L6g3nShT-eMCtK--X86sw"), "{said}");
    let (code, said) = refused(&mut started("not an id", &[]));
    assert_eq!(code, Some(2));
    assert!(said.contains("error: CLUSTER_ID=not an id: expected 16 bytes in base64"), "{said}");
    let (code, said) = refused(started(CLUSTER, &[]).env("KAFKA_NUM_PARTITIONS", "three"));
    assert_eq!(code, Some(2));
    assert!(said.contains("error: KAFKA_NUM_PARTITIONS=three: expected "), "{said}");
    let (broker, _log) = Broker::greeted_logging(started(CLUSTER, &["-o", "num.partitions=5"]));
    let topics = vec![MetadataRequestTopic { name: Some("u".to_owned()), ..Default::default() }];
    let request =
        MetadataRequest { topics: Some(topics), allow_auto_topic_creation: true, ..Default::default() };
    let mut client = broker.client();
    let partitions = |client: &mut Client| {
        client.call(12, &request);
        client.call(12, &request).topics[0].partitions.len()
    };
    assert_eq!(partitions(&mut client), 5);
}

#[test]
fn the_lines_that_are_waited_for_come_once_it_serves_each_on_its_own() {
    let dir = data_dir();
    let mut process =
        broker::command(dir.path(), &["--kafka-environment"]).stderr(Stdio::null()).spawn().unwrap();
    let lines = BufReader::new(process.stdout.take().unwrap()).lines().map(Result::unwrap);
    let last = "[KafkaRaftServer nodeId=1] Kafka Server started";
    let mut address = None;
    let mut found = Vec::new();
    for line in lines {
        if let Some(rest) = line.trim_start().strip_prefix("listens on ") {
            address = rest.split_whitespace().next().map(|address| address.parse().unwrap());
        }
        found.push(line);
        if found.last().is_some_and(|line| line.contains("Kafka Server started")) {
            break;
        }
    }
    Client::connect(address.unwrap()).call(12, &MetadataRequest::default());
    process.kill().unwrap();
    process.wait().unwrap();
    let waited = [
        "[BrokerLifecycleManager id=1] Transitioning from RECOVERY to RUNNING.",
        "[KafkaServer id=1] started",
        last,
    ];
    assert!(found.ends_with(&waited.map(str::to_owned)), "{found:#?}");
}

#[test]
fn without_being_asked_a_broker_does_not_look_at_the_environment() {
    let dir = data_dir();
    let mut command = broker::command(dir.path(), &[]);
    command.env("CLUSTER_ID", "not an id").env("KAFKA_NUM_PARTITIONS", "three");
    let (broker, _log) = Broker::greeted_logging(command);
    let (code, out) = broker.stop();
    assert_eq!(code, Some(0));
    assert!(!out.contains("Kafka"), "{out}");
}

#[test]
fn health_is_the_exit_code_and_says_what_is_wrong() {
    let dir = data_dir();
    let broker = Broker::start(dir.path(), &["--metrics-listen", "127.0.0.1:0"]);
    let metrics = broker.metrics.unwrap().to_string();
    for more in [&[][..], &["--ready"]] {
        let output = strandline(&[&["health", "--metrics", &metrics], more].concat()).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        assert!(!output.stdout.is_empty());
    }
    broker.kill();
    let (code, said) = told(&strandline(&["health", "--metrics", &metrics]).output().unwrap());
    assert_eq!(
        (code, said.starts_with(&format!("error: no answer at {metrics}: "))),
        (Some(1), true),
        "{said}"
    );
}

#[test]
fn what_is_no_broker_and_what_says_nothing_is_not_well() {
    let answers = |answer: &'static [u8]| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let place = listener.local_addr().unwrap().to_string();
        let serving = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 512];
            let _ = stream.read(&mut request);
            let _ = stream.write_all(answer);
            if answer.is_empty() {
                // Until the other side has had enough.
                let _ = stream.read(&mut request);
            }
        });
        let began = Instant::now();
        let output = strandline(&["health", "--metrics", &place, "--timeout", "1"]).output().unwrap();
        serving.join().unwrap();
        let (code, said) = told(&output);
        assert_eq!(code, Some(1), "{said}");
        (said.replace(&place, "HERE"), began.elapsed())
    };
    assert_eq!(answers(b"SSH-2.0-x\r\n").0, "error: what answers at HERE does not speak HTTP\n");
    let unwell = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 14\r\n\r\nshard 1 hangs\n";
    assert_eq!(answers(unwell).0, "error: the broker at HERE is not well: shard 1 hangs\n");
    let (said, took) = answers(b"");
    assert!(
        said.starts_with("error: no answer at HERE: ") && took >= Duration::from_secs(1),
        "{said} {took:?}"
    );
}

#[test]
fn a_directory_that_is_formatted_with_a_user_has_the_user_and_the_cluster() {
    let dir = data_dir();
    let place = dir.path().join("data");
    let format = |more: &[&str]| {
        let line =
            [&["kafka-storage", "format", "--ignore-formatted", "-t", CLUSTER, "-c", "/no/such/file"], more];
        let output = strandline(&line.concat()).env("KAFKA_LOG_DIRS", &place).output().unwrap();
        told(&output)
    };
    // Nothing to do, and nothing done.
    assert_eq!(format(&[]).0, Some(0));
    assert!(!place.exists());
    let user = "SCRAM-SHA-256=[name=app,password=of-app]";
    for _ in 0..2 {
        assert_eq!(format(&["--add-scram", user]), (Some(0), String::new()));
    }
    let listed = strandline(&["user", "list", "--data-dir"]).arg(&place).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&listed.stdout), "app  SCRAM-SHA-256\n");
    let (code, said) = format(&["--add-scram", "PLAIN=[name=app,password=x]"]);
    assert_eq!(code, Some(2));
    assert!(said.contains("SCRAM-SHA-512") && !said.contains("of-app"), "{said}");
    let mut start = broker::command(&place, &["--kafka-environment"]);
    let (broker, _log) = Broker::greeted_logging({
        start.env("CLUSTER_ID", CLUSTER);
        start
    });
    broker.kill();
    let random = || {
        let output = strandline(&["kafka-storage", "random-uuid"]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let (one, other) = (random(), random());
    assert!(one.trim().len() == 22 && one != other, "{one}{other}");
}

#[test]
fn every_command_has_a_manual_page_and_each_shell_its_completions() {
    let dir = data_dir();
    let made = strandline(&["generate"]).arg(dir.path()).output().unwrap();
    assert_eq!(made.status.code(), Some(0), "{made:?}");
    for page in ["strandline", "strandline-serve", "strandline-topic-create", "strandline-log-salvage"] {
        let text = std::fs::read_to_string(dir.path().join(format!("man1/{page}.1"))).unwrap();
        assert!(text.contains(".TH"), "{page}");
    }
    for file in ["bash/strandline", "zsh/_strandline", "fish/strandline.fish"] {
        let text = std::fs::read_to_string(dir.path().join(file)).unwrap();
        assert!(text.contains("salvage"), "{file}");
    }
    let refused = strandline(&["generate", "/dev/null/x"]).output().unwrap();
    let (code, said) = told(&refused);
    assert_eq!((code, said.starts_with("error: writing /dev/null/x: ")), (Some(1), true), "{said}");
}
