//! A process that is killed while it appends, by running this test binary again as that process.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::{append, create_topic, read_all, start};

/// Names the data directory, for the process that is to be killed.
const APPENDER: &str = "STRANDLINE_TEST_APPENDER";

const PARTITIONS: u32 = 5;

/// The value that a partition's record has at an offset.
fn value(partition: usize, offset: usize) -> String {
    format!("{partition}/{offset} {}", "x".repeat(offset % 1000))
}

/// Not a test of its own: it appends until it is killed, and prints what is acknowledged.
#[test]
fn appender() {
    let Some(directory) = std::env::var_os(APPENDER) else { return };
    let engine = start(&PathBuf::from(directory), 2);
    let log = engine.handle();
    let partitions: Vec<_> = match log.topics().by_name("orders") {
        Some(topic) => topic.partition_ids().collect(),
        None => create_topic(log, "orders", PARTITIONS, &[]),
    };
    let mut ends: Vec<_> = partitions.iter().map(|partition| read_all(log, *partition).len()).collect();
    loop {
        for (number, partition) in partitions.iter().enumerate() {
            let offset = append(log, *partition, &value(number, ends[number]));
            assert_eq!(offset, ends[number] as i64);
            println!("acknowledged {number} {offset}");
            ends[number] += 1;
        }
    }
}

#[test]
fn d1_what_a_killed_process_has_acknowledged_is_read_back() {
    let directory = tempfile::tempdir().unwrap();
    let mut acknowledged = vec![0; PARTITIONS as usize];
    for lines in [50, 400, 1200] {
        kill_after(directory.path(), lines, &mut acknowledged);
    }
    let engine = start(directory.path(), 3);
    let topic = engine.handle().topics().by_name("orders").expect("the topic was acknowledged").clone();
    for (number, partition) in topic.partition_ids().enumerate() {
        let found = read_all(engine.handle(), partition);
        assert!(found.len() >= acknowledged[number], "{} of {}", found.len(), acknowledged[number]);
        assert!(found.len() <= acknowledged[number] + 1, "one record at a time is in flight");
        for (offset, found) in found.iter().enumerate() {
            assert_eq!(*found, value(number, offset));
        }
    }
    engine.stop().unwrap();
}

/// Runs the appender, kills it (SIGKILL) after so many acknowledgements, and notes all that it has printed.
fn kill_after(directory: &Path, lines: usize, acknowledged: &mut [usize]) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "killed::appender", "--nocapture"])
        .env(APPENDER, directory)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    let mut seen = 0;
    for line in output.lines() {
        // The last line may be cut.
        let line = line.unwrap();
        let Some((number, offset)) = line.strip_prefix("acknowledged ").and_then(|rest| rest.split_once(' '))
        else {
            continue;
        };
        let (Ok(number), Ok(offset)) = (number.parse::<usize>(), offset.parse::<usize>()) else { continue };
        acknowledged[number] = acknowledged[number].max(offset + 1);
        seen += 1;
        if seen == lines {
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    assert!(seen >= lines, "the appender has ended by itself after {seen} acknowledgements");
}
